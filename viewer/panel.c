/* panel.c: which plots a run has, made from the names of its series. See view.h.

   `probe` and `probe/tensor` are one panel, `probe.field` is one of its own, and so is every number of the host's ("val/loss").
   What a panel means and how it is best drawn stands in the registry's output tables. */

#include "view.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RANK_LOSS, RANK_VALIDATION = 1, RANK_FIRST = 10, RANK_PROBE = 20, RANK_HOST = 30, RANK_BOOKKEEPING = 40 };

typedef struct entry { /* one series, and the panel it belongs to */
    const char *name;
    int length; /* of the panel's name in front of it */
    int tensor; /* 1: one of the panel's tensors */
    int rank;   /* RANK_... */
    int64_t series;
} entry;

/* Numbers that hosts log themselves and that everybody knows. */
static const struct {
    const char *name, *label;
} known[] = {
    { "loss", "loss of the mini-batch" },
    { "val/loss", "loss on validation data" },
    { "val/accuracy", "accuracy on validation data" },
    { "lr", "learning rate" },
    { "overhead", "share of the time that probes take" },
};

static int is_word(const char *name, int length, const char *word) {
    return (int)strlen(word) == length && memcmp(name, word, (size_t)length) == 0;
}

/* Length of the probe's name at the beginning of a panel's name. */
static int probe_length(const char *name, int length) {
    for (int i = 0; i < length; i++)
        if (name[i] == '.') return i;
    return length;
}

static const pitot_probe *find_probe(const char *name, int length) {
    char probe[64];
    if (length <= 0 || length >= (int)sizeof probe) return NULL;
    memcpy(probe, name, (size_t)length);
    probe[length] = 0;
    return pitot_probe_find(probe);
}

/* A probe that this program does not know still shows itself by its whole: "mine" beside "mine/0.weight". */
static int has_whole(const pitot_log *log, const char *name, int length) {
    char whole[256];
    if (length <= 0 || length >= (int)sizeof whole) return 0;
    memcpy(whole, name, (size_t)length);
    whole[length] = 0;
    return pitot_log_find(log, whole) >= 0;
}

/* ---- order ----------------------------------------------------------------------------------------------------------- */

static int rank_of(const char *name, int length) {
    static const char *const first[] = { "grad_norm", "update_size", "update_ratio", "distance" };
    int probe = probe_length(name, length);
    if (is_word(name, length, "loss")) return RANK_LOSS;
    if (is_word(name, length, "val/loss")) return RANK_VALIDATION;
    if (is_word(name, length, "val/accuracy")) return RANK_VALIDATION + 1;
    if (length > 4 && memcmp(name, "val/", 4) == 0) return RANK_VALIDATION + 2;
    if (is_word(name, probe, "time") || is_word(name, length, "overhead")) return RANK_BOOKKEEPING;
    for (int i = 0; i < 4; i++)
        if (is_word(name, probe, first[i])) return RANK_FIRST + i;
    return find_probe(name, probe) ? RANK_PROBE : RANK_HOST;
}

static entry entry_of(const pitot_log *log, const char *name, int64_t series) {
    const char *slash = strchr(name, '/');
    int length = (int)strlen(name), front = slash ? (int)(slash - name) : length;
    entry e = { name, length, 0, 0, series };
    int validation = is_word(name, front, "val");
    if (slash && !validation && (find_probe(name, probe_length(name, front)) || has_whole(log, name, front))) {
        e.length = front;
        e.tensor = 1;
    }
    e.rank = rank_of(name, e.length);
    return e;
}

static int compare_panels(const entry *a, const entry *b) {
    if (a->rank != b->rank) return a->rank < b->rank ? -1 : 1;
    int least = a->length < b->length ? a->length : b->length;
    int c = memcmp(a->name, b->name, (size_t)least);
    return c ? c : (a->length > b->length) - (a->length < b->length);
}

static int compare(const void *left, const void *right) {
    const entry *a = left, *b = right;
    int c = compare_panels(a, b);
    if (c) return c;
    if (a->tensor != b->tensor) return a->tensor - b->tensor;
    return (a->series > b->series) - (a->series < b->series); /* tensors as the host described them */
}

/* ---- meaning --------------------------------------------------------------------------------------------------------- */

static int axis_of(int32_t proposed) {
    return proposed == PITOT_LOG_AXIS ? AXIS_LOG : proposed == PITOT_SYMLOG_AXIS ? AXIS_SYMLOG : AXIS_LINEAR;
}

static const pitot_output *find_output(const pitot_probe *probe, const char *field, int length) {
    const pitot_output *o = probe ? probe->outputs : NULL;
    for (; o && o->label; o++)
        if (is_word(field, length, o->field ? o->field : "")) return o;
    return NULL;
}

static int ends_with(const char *name, int length, const char *end) {
    int n = (int)strlen(end);
    return length >= n && strncmp(name + length - n, end, (size_t)n) == 0;
}

/* Numbers that say how far another one is to be trusted, or what it cost, stay in the log. */
static int is_drawn(const entry *e) {
    if (ends_with(e->name, e->length, ".seconds")) return 0;
    int probe = probe_length(e->name, e->length), field = probe < e->length ? probe + 1 : e->length;
    const pitot_output *o = find_output(find_probe(e->name, probe), e->name + field, e->length - field);
    return !o || o->axis != PITOT_NOT_DRAWN;
}

/* Copies text, cut between characters if it is too long. */
static void copy_text(char *out, size_t size, const char *text, size_t length) {
    if (length >= size) {
        length = size - 1;
        while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80) length--;
    }
    memcpy(out, text, length);
    out[length] = 0;
}

static void describe(panel *p, const char *name, int length) {
    int probe = probe_length(name, length), field = probe < length ? probe + 1 : length;
    copy_text(p->title, sizeof p->title, name, (size_t)length);
    const pitot_output *o = find_output(find_probe(name, probe), name + field, length - field);
    if (is_word(name, length, "val/loss")) o = find_output(find_probe("loss", 4), "", 0);
    if (o) {
        p->scale = axis_of(o->axis);
        p->band = o->band;
        copy_text(p->label, sizeof p->label, o->label, strlen(o->label));
        copy_text(p->unit, sizeof p->unit, o->unit ? o->unit : "", o->unit ? strlen(o->unit) : 0);
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (is_word(name, length, known[i].name) && (!o || strchr(name, '/')))
            copy_text(p->label, sizeof p->label, known[i].label, strlen(known[i].label));
}

/* ---- the list -------------------------------------------------------------------------------------------------------- */

static void fill(panel_list *list, const entry *e, int64_t n) {
    panel *p = list->panel;
    for (int64_t i = 0; i < n; i++) {
        if (i == 0 || compare_panels(&e[i - 1], &e[i]) != 0) {
            p = &list->panel[list->n++];
            p->main = -1;
            p->rank = e[i].rank;
            p->first = list->n_series;
            describe(p, e[i].name, e[i].length);
        }
        if (e[i].tensor) {
            list->series[list->n_series++] = e[i].series;
            p->n++;
        } else {
            p->main = e[i].series;
        }
    }
}

int32_t panel_list_make(const pitot_log *log, panel_list *list) {
    int64_t count = pitot_log_series_count(log), n = 0;
    size_t room = count > 0 ? (size_t)count : 1;
    *list = (panel_list){ 0, 0, calloc(room, sizeof(panel)), calloc(room, sizeof(int64_t)) };
    entry *e = calloc(room, sizeof *e);
    if (!list->panel || !list->series || !e) {
        free(e);
        panel_list_free(list);
        return PITOT_ENOMEM;
    }
    for (int64_t i = 0; i < count; i++) {
        pitot_series s;
        if (pitot_log_series(log, i, &s) != PITOT_OK || !s.name) continue;
        e[n] = entry_of(log, s.name, i);
        n += is_drawn(&e[n]);
    }
    if (n > 1) qsort(e, (size_t)n, sizeof *e, compare);
    fill(list, e, n);
    free(e);
    return PITOT_OK;
}

void panel_list_free(panel_list *list) {
    free(list->panel);
    free(list->series);
    *list = (panel_list){ 0, 0, NULL, NULL };
}

void smooth(const double *v, int64_t n, double w, double *out) {
    double sum = 0, weight = 0;
    if (!(w > 0)) w = 0;
    if (w > 0.999999) w = 0.999999;
    for (int64_t i = 0; i < n; i++) {
        double now = v[i];
        if (isfinite(now)) {
            sum = w * sum + (1 - w) * now;
            weight = w * weight + (1 - w);
            now = sum / weight;
        }
        out[i] = now;
    }
}
