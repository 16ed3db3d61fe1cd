/* export_events.c: a run as an event file of TensorBoard.

   The file is a row of records: length (uint64), its checksum, the bytes, their checksum (uint32 each, all little-endian); a checksum
   is crc32c, rotated and shifted so that checksums of checksums stay good (tensorflow/core/lib/io/record_writer.h). The bytes are
   protocol buffers: Event of event.proto, with Summary of summary.proto inside. Fields, by number:

     Event           1 wall_time (double)  2 step (int64)  3 file_version (string)  5 summary
     Summary         1 value, repeated
     Summary.Value   1 tag (string)  2 simple_value (float)  5 histo
     HistogramProto  1 min  2 max  3 num  4 sum  5 sum_squares (double)  6 bucket_limit  7 bucket (packed doubles) */

#include "export.h"
#include "figure/page.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 }; /* wire types */

typedef struct message { /* a protocol buffer that grows */
    unsigned char *data;
    size_t n, room;
    int failed; /* no memory: it is not whole */
} message;

typedef struct histogram { /* a list NAME.counts that has a NAME.edges beside it */
    char *counts, *edges;
    char *tag; /* NAME in well-formed UTF-8 */
    pitot_list list;
    int64_t at; /* the first one that is still to come */
} histogram;

typedef struct event_file {
    FILE *out;
    uint32_t table[256]; /* of crc32c */
    message event, summary, value;
    double start;
    histogram *histogram; /* [n] */
    int64_t n;
} event_file;

/* ---- protocol buffers ------------------------------------------------------------------------------------------------ */

static void put_bytes(message *m, const void *from, size_t n) {
    if (m->n + n > m->room) {
        size_t room = 2 * m->room + n + 256;
        unsigned char *larger = realloc(m->data, room);
        if (!larger) m->failed = 1;
        if (!larger) return;
        m->data = larger;
        m->room = room;
    }
    if (n) memcpy(m->data + m->n, from, n);
    m->n += n;
}

static void put_varint(message *m, uint64_t v) {
    unsigned char byte[10];
    size_t n = 0;
    for (; v >= 0x80; v >>= 7) byte[n++] = (unsigned char)(v | 0x80);
    byte[n++] = (unsigned char)v;
    put_bytes(m, byte, n);
}

static void put_key(message *m, unsigned field, unsigned type) {
    put_varint(m, field << 3 | type);
}

static void little_endian(uint64_t v, unsigned char *out, int n) {
    for (int i = 0; i < n; i++) out[i] = (unsigned char)(v >> 8 * i);
}

static void put_raw_double(message *m, double v) {
    unsigned char byte[8];
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    little_endian(bits, byte, 8);
    put_bytes(m, byte, 8);
}

static void put_double(message *m, unsigned field, double v) {
    put_key(m, field, FIXED64);
    put_raw_double(m, v);
}

static void put_doubles(message *m, unsigned field, const double *v, int64_t n) {
    put_key(m, field, BYTES);
    put_varint(m, 8 * (uint64_t)n);
    for (int64_t i = 0; i < n; i++) put_raw_double(m, v[i]);
}

/* To the nearest float; what is beyond the largest one becomes infinite. */
static void put_float(message *m, unsigned field, double v) {
    float f = fabs(v) > FLT_MAX ? (v > 0 ? INFINITY : -INFINITY) : (float)v;
    unsigned char byte[4];
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    little_endian(bits, byte, 4);
    put_key(m, field, FIXED32);
    put_bytes(m, byte, 4);
}

static void put_inner(message *m, unsigned field, const void *from, size_t n) {
    put_key(m, field, BYTES);
    put_varint(m, n);
    put_bytes(m, from, n);
}

/* ---- records --------------------------------------------------------------------------------------------------------- */

static void make_table(uint32_t *table) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++) c = c & 1 ? c >> 1 ^ 0x82f63b78u : c >> 1; /* Castagnoli's polynomial, reflected */
        table[i] = c;
    }
}

static uint32_t masked_sum(const uint32_t *table, const unsigned char *p, size_t n) {
    uint32_t c = 0xffffffffu;
    for (size_t i = 0; i < n; i++) c = table[(c ^ p[i]) & 0xff] ^ c >> 8;
    c = ~c;
    return (c >> 15 | c << 17) + 0xa282ead8u;
}

static void write_record(event_file *f, const message *m) {
    unsigned char head[12], tail[4];
    little_endian(m->n, head, 8);
    little_endian(masked_sum(f->table, head, 8), head + 8, 4);
    little_endian(masked_sum(f->table, m->data, m->n), tail, 4);
    fwrite(head, 1, sizeof head, f->out);
    fwrite(m->data, 1, m->n, f->out);
    fwrite(tail, 1, sizeof tail, f->out);
}

/* ---- events ---------------------------------------------------------------------------------------------------------- */

static void begin_event(event_file *f, double wall) {
    f->event.n = 0;
    put_double(&f->event, 1, isfinite(wall) ? wall : f->start);
}

static void write_version(event_file *f) {
    static const char version[] = "brain.Event:2";
    begin_event(f, f->start);
    put_inner(&f->event, 3, version, sizeof version - 1);
    write_record(f, &f->event);
}

/* What the summary holds, if anything, as an event. */
static void write_summary(event_file *f, int64_t step, double wall) {
    if (!f->summary.n) return;
    begin_event(f, wall);
    put_key(&f->event, 2, VARINT);
    put_varint(&f->event, (uint64_t)step);
    put_inner(&f->event, 5, f->summary.data, f->summary.n);
    if (!f->event.failed && !f->summary.failed && !f->value.failed) write_record(f, &f->event);
    f->summary.n = 0;
}

static void add_scalar(event_file *f, const char *tag, double v) {
    f->value.n = 0;
    put_inner(&f->value, 1, tag, strlen(tag));
    put_float(&f->value, 2, v);
    put_inner(&f->summary, 1, f->value.data, f->value.n);
}

/* Scalars of a step, an event for each of its records. */
static void write_scalars(event_file *f, const export_table *t, int64_t step) {
    double wall = f->start;
    for (int64_t i = 0; i < t->n; i++) {
        if (!export_has(t, i, step)) continue;
        double own = isfinite(t->series[i].wall[t->at[i]]) ? t->series[i].wall[t->at[i]] : f->start;
        if (own != wall) write_summary(f, step, wall);
        wall = own;
        add_scalar(f, t->name[i], t->series[i].value[t->at[i]]);
    }
    write_summary(f, step, wall);
}

/* ---- histograms ------------------------------------------------------------------------------------------------------ */

/* Sums take every value to lie in the middle of its bin. */
static void put_histogram(message *m, const counts *c) {
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < c->nx; i++) {
        double middle = c->x[i] + (c->x[i + 1] - c->x[i]) / 2;
        sum += c->count[i] * middle;
        squares += c->count[i] * middle * middle;
    }
    put_double(m, 1, c->x[0]);
    put_double(m, 2, c->x[c->nx]);
    put_double(m, 3, c->total);
    put_double(m, 4, sum);
    put_double(m, 5, squares);
    put_doubles(m, 6, c->x + 1, c->nx);
    put_doubles(m, 7, c->count, c->nx);
}

/* 0: no memory. Lists that do not fit together are left out. */
static int write_histogram(event_file *f, const export_table *t, const histogram *h) {
    message histo = { 0 };
    counts c;
    int got = counts_read(t->log, h->counts, h->edges, NULL, h->list.step[h->at], &c);
    if (got == 0) return 1;
    if (got < 0) return 0;
    put_histogram(&histo, &c);
    counts_free(&c);
    f->value.n = 0;
    put_inner(&f->value, 1, h->tag, strlen(h->tag));
    put_inner(&f->value, 5, histo.data, histo.n);
    put_inner(&f->summary, 1, f->value.data, f->value.n);
    free(histo.data);
    write_summary(f, h->list.step[h->at], h->list.wall[h->at]);
    return !histo.failed;
}

/* Those at steps up to `step`, so that the file's steps ascend. */
static int write_histograms(event_file *f, const export_table *t, int64_t step) {
    for (int64_t i = 0; i < f->n; i++) {
        histogram *h = &f->histogram[i];
        for (; h->at < h->list.n && h->list.step[h->at] <= step; h->at++)
            if (!write_histogram(f, t, h)) return 0;
    }
    return 1;
}

/* "NAME.counts" of a list: NAME, its edges and its steps. 1; 0: it is no such list; -1: no memory. */
static int make_histogram(const pitot_log *log, int64_t i, histogram *h) {
    static const char counts_end[] = ".counts", edges_end[] = ".edges";
    pitot_list list;
    pitot_log_list(log, i, &list);
    size_t n = strlen(list.name), end = sizeof counts_end - 1;
    if (n <= end || strcmp(list.name + n - end, counts_end) != 0) return 0;
    char *name = strdup(list.name), *edges = malloc(n + sizeof edges_end);
    if (name) name[n - end] = 0;
    if (name && edges) snprintf(edges, n + sizeof edges_end, "%s%s", name, edges_end);
    if (name && edges && pitot_log_find_list(log, edges) < 0) {
        free(name);
        free(edges);
        return 0;
    }
    *h = (histogram){ strdup(list.name), edges, name ? export_utf8(name) : NULL, list, 0 };
    free(name);
    return h->counts && h->edges && h->tag ? 1 : -1;
}

static int find_histograms(event_file *f, const pitot_log *log) {
    int64_t lists = pitot_log_list_count(log);
    f->histogram = calloc((size_t)lists + 1, sizeof *f->histogram);
    for (int64_t i = 0; f->histogram && i < lists; i++) {
        int made = make_histogram(log, i, &f->histogram[f->n]);
        f->n += made != 0;
        if (made < 0) return 0;
    }
    return f->histogram != NULL;
}

/* ---- the file -------------------------------------------------------------------------------------------------------- */

static int write_events(event_file *f, export_table *t) {
    int64_t step;
    int good = 1;
    write_version(f);
    while (good && (step = export_next(t)) != INT64_MAX && !ferror(f->out)) {
        good = write_histograms(f, t, step - 1);
        write_scalars(f, t, step);
        export_done(t, step);
        good = good && !f->event.failed && !f->summary.failed && !f->value.failed;
    }
    good = good && write_histograms(f, t, INT64_MAX);
    progress_end(&t->line);
    return good;
}

int export_tfevents(export_table *t, FILE *out, double start) {
    event_file *f = calloc(1, sizeof *f);
    int good = f != NULL;
    if (f) {
        f->out = out;
        f->start = start;
        make_table(f->table);
        good = find_histograms(f, t->log) && write_events(f, t);
        for (int64_t i = 0; i < f->n; i++) {
            free(f->histogram[i].counts);
            free(f->histogram[i].edges);
            free(f->histogram[i].tag);
        }
        free(f->histogram);
        free(f->event.data);
        free(f->summary.data);
        free(f->value.data);
        free(f);
    }
    if (!good && !ferror(out)) errno = ENOMEM;
    return good && !ferror(out);
}
