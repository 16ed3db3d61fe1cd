/* export_table.c: series side by side, step by step. See export.h. */

#include "export.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SHOW_EVERY = 1024 }; /* values between looks at the clock */

double export_clock(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Bytes of the UTF-8 character at p (RFC 3629: neither overlong nor a surrogate nor beyond U+10FFFF); 0: there is none. */
static int utf8_length(const unsigned char *p) {
    int n = p[0] < 0x80                   ? 1
            : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
            : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
            : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
                                          : 0;
    for (int i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f)) return 0;
    return (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f) ? 0 : n;
}

char *export_utf8(const char *text) {
    static const char unknown[] = "\xef\xbf\xbd";
    const unsigned char *p = (const unsigned char *)text;
    char *copy = malloc(3 * strlen(text) + 1), *out = copy;
    if (!copy) return NULL;
    while (*p) {
        int n = utf8_length(p);
        memcpy(out, n ? (const char *)p : unknown, n ? (size_t)n : 3);
        out += n ? n : 3;
        p += n ? n : 1;
    }
    *out = 0;
    return copy;
}

void export_table_free(export_table *t) {
    for (int64_t i = 0; t->name && i < t->n; i++) free(t->name[i]);
    free(t->name);
    free(t->series);
    free(t->at);
    *t = (export_table){ 0 };
}

int32_t export_table_make(const pitot_log *log, export_table *t) {
    int64_t n = pitot_log_series_count(log);
    int good;
    *t = (export_table){ .log = log, .n = n, .started = export_clock() };
    t->series = calloc((size_t)n + 1, sizeof *t->series);
    t->name = calloc((size_t)n + 1, sizeof *t->name);
    t->at = calloc((size_t)n + 1, sizeof *t->at);
    good = t->series && t->name && t->at;
    for (int64_t i = 0; good && i < n; i++) {
        pitot_log_series(log, i, &t->series[i]);
        t->name[i] = export_utf8(t->series[i].name);
        good = t->name[i] != NULL;
        t->all += t->series[i].n;
    }
    if (!good) export_table_free(t);
    else progress_start(&t->line);
    return good ? PITOT_OK : PITOT_ENOMEM;
}

int64_t export_next(const export_table *t) {
    int64_t next = INT64_MAX;
    for (int64_t i = 0; i < t->n; i++)
        if (t->at[i] < t->series[i].n && t->series[i].step[t->at[i]] < next) next = t->series[i].step[t->at[i]];
    return next;
}

int export_has(const export_table *t, int64_t i, int64_t step) {
    return t->at[i] < t->series[i].n && t->series[i].step[t->at[i]] == step;
}

void export_done(export_table *t, int64_t step) {
    int64_t before = t->done / SHOW_EVERY;
    for (int64_t i = 0; i < t->n; i++) {
        int has = export_has(t, i, step);
        t->at[i] += has;
        t->done += has;
    }
    if (t->done / SHOW_EVERY == before) return;
    double rate = (double)t->done / (export_clock() - t->started + 1e-9);
    progress_show(&t->line, "values written", (double)t->done, (double)t->all, rate, (double)(t->all - t->done) / rate);
}
