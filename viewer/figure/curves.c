/* curves.c: quantities over the steps: one or several on an axis, axes above or beside each other. See page.h. */

#include "page.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TRACKS = 4, MOST_KEYS = 6 };

typedef struct track { /* one axis */
    line main[MOST_KEYS];
    int64_t n_main;
    line *tensor;
    int64_t n_tensor;
    const panel *panel; /* of its first quantity that the log has */
} track;

static int add_series(const view *v, int64_t series, const char *name, rgb colour, line *out) {
    pitot_series s;
    if (pitot_log_series(v->log, series, &s) != PITOT_OK || s.n == 0) return 0;
    *out = (line){ name ? name : s.name, s.step, s.value, s.n, colour, 0, NULL, 0 };
    return 1;
}

/* The tensors of a panel, thin, coloured by depth. */
static int32_t add_tensors(const view *v, track *t) {
    const panel *p = t->panel;
    t->tensor = calloc((size_t)p->n + 1, sizeof *t->tensor);
    if (!t->tensor) return PITOT_ENOMEM;
    for (int64_t i = 0; i < p->n; i++) {
        line *l = &t->tensor[t->n_tensor];
        t->n_tensor +=
            add_series(v, v->list->series[p->first + i], NULL, ink_depth(p->n > 1 ? (double)i / (double)(p->n - 1) : 0.5), l);
        const char *slash = l->name ? strchr(l->name, '/') : NULL;
        if (slash) l->name = slash + 1;
    }
    return PITOT_OK;
}

/* "min" of "hess_max_ev.min": beside its whole that is enough. */
static const char *short_name(const char *title) {
    const char *dot = strrchr(title, '.');
    return dot && dot[1] ? dot + 1 : title;
}

/* Keys "a,b" as far as the log has them. The first is the run's own ink when its tensors lie behind it. */
static int32_t read_track(const view *v, const char *keys, size_t length, track *t) {
    const char *end = keys + length;
    int count = 0;
    *t = (track){ .n_main = 0 };
    for (const char *key = keys; key < end && t->n_main < MOST_KEYS; count++) {
        const char *stop = memchr(key, ',', (size_t)(end - key));
        const panel *p = view_panel(v, key, (size_t)((stop ? stop : end) - key));
        if (p && !t->panel) t->panel = p;
        if (p && p->main >= 0)
            t->n_main += add_series(v, p->main, short_name(p->title), count ? ink_run(count) : v->accent, &t->main[t->n_main]);
        key = stop ? stop + 1 : end;
    }
    if (!t->panel || count > 1) return PITOT_OK;
    if (t->panel->n > 0 && t->n_main > 0) t->main[0].colour = ink_text;
    return add_tensors(v, t);
}

static int is_empty(const track *t) {
    return t->n_main + t->n_tensor == 0;
}

/* The tracks that the log can fill. *beside: they stand side by side. */
static int32_t read_tracks(const view *v, track *t, int *n, int *beside) {
    int32_t status = PITOT_OK;
    *n = *beside = 0;
    for (const char *keys = v->what->keys; *keys && *n < MOST_TRACKS && status == PITOT_OK;) {
        size_t length = strcspn(keys, "|;");
        status = read_track(v, keys, length, &t[*n]);
        if (keys[length] == ';') *beside = 1;
        if (is_empty(&t[*n])) free(t[*n].tensor);
        else ++*n;
        keys += length + (keys[length] != 0);
    }
    return status;
}

static void free_tracks(track *t, int n) {
    for (int i = 0; i < n; i++) free(t[i].tensor);
}

static plot plot_of(const view *v, const track *t, int n, int upper) {
    static const char *const level[] = { NULL, "batch" };
    int one = n == 1 && t->n_main < 2;
    const char *name = n == 1 ? v->what->name : t->panel->title;
    return (plot){
        .title = name,
        .label = one || !*v->what->label || n > 1 ? t->panel->label : v->what->label,
        .unit = t->panel->unit,
        .scale = t->panel->scale,
        .x = v->steps,
        .main = t->main,
        .n_main = t->n_main,
        .tensor = t->tensor,
        .n_tensor = t->n_tensor,
        .smooth = v->smooth,
        .font = v->font,
        .labelled = PLOT_LABEL_BESIDE,
        .legend = t->n_main > 1,
        .upper = upper,
        .band = t->panel->band,
        .level = v->what->level ? view_batch(v) : NAN,
        .level_name = isfinite(view_batch(v)) ? level[v->what->level] : NULL,
        .left = v->left,
        .right = v->right,
        .column = v->column,
        .snap = v->snap,
    };
}

/* Cells of the tracks: beside each other the first takes three fifths, above each other the last has the labels of the steps. */
static rect cell_of(const view *v, int i, int n, int beside) {
    rect c = v->cell;
    double gap = 1.6 * v->font, foot = 2.35 * v->font;
    if (beside && n > 1) {
        double first = 0.6 * (c.w - gap);
        return i == 0 ? (rect){ c.x, c.y, first, c.h } : (rect){ c.x + first + gap, c.y, c.w - first - gap, c.h };
    }
    double h = (c.h - foot) / n;
    return (rect){ c.x, c.y + i * h, c.w, i == n - 1 ? h + foot : h };
}

void curves_margins(const view *v, double *left, double *right) {
    track t[MOST_TRACKS];
    int n, beside;
    if (read_tracks(v, t, &n, &beside) == PITOT_OK)
        for (int i = 0; i < n; i++) {
            plot p = plot_of(v, &t[i], n, 0);
            plot_margins(v->cr, &p, cell_of(v, i, n, beside).h, left, right);
        }
    free_tracks(t, n);
}

int32_t curves_draw(const view *v) {
    track t[MOST_TRACKS];
    int n, beside;
    int32_t status = read_tracks(v, t, &n, &beside);
    if (status == PITOT_OK && n == 0) return view_hint(v, NULL, NULL);
    for (int i = 0; i < n && status == PITOT_OK; i++) {
        plot p = plot_of(v, &t[i], n, !beside && i < n - 1);
        status = plot_draw(v->cr, cell_of(v, i, n, beside), &p);
    }
    free_tracks(t, n);
    return status;
}
