/* plot.c: one panel. See figure.h.

       title  3 not finite                    first ====== last      the tensors' colours
       what it is [unit]
        10 |~~~~.___
           |        ~~~~~~~~ 0.31                                     the last value
         0 +----------------
           0      500   1000
                 step
*/

#include "figure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLE = 4096 };

/* ---- the axis of the values ------------------------------------------------------------------------------------------ */

typedef struct sample { /* of the values of all lines; the extremes of each line are always in it */
    double v[SAMPLE + 8];
    int64_t n;
} sample;

static void sample_extremes(sample *s, const line *l) {
    double lo = INFINITY, hi = -INFINITY, least = INFINITY;
    for (int64_t i = 0; i < l->n; i++) {
        double v = l->value[i];
        if (!isfinite(v)) continue;
        if (v < lo) lo = v;
        if (v > hi) hi = v;
        if (v > 0 && v < least) least = v;
    }
    if (lo > hi || s->n + 3 > SAMPLE) return;
    s->v[s->n++] = lo;
    s->v[s->n++] = hi;
    if (isfinite(least)) s->v[s->n++] = least;
}

static void sample_line(sample *s, const line *l, int64_t share) {
    int64_t stride = l->n / (share > 0 ? share : 1) + 1;
    for (int64_t i = 0; i < l->n && s->n < SAMPLE; i += stride)
        if (isfinite(l->value[i])) s->v[s->n++] = l->value[i];
}

static void sample_all(const plot *p, sample *s) {
    int64_t lines = p->n_main + p->n_tensor, share = (SAMPLE - 3 * lines) / (lines > 0 ? lines : 1);
    s->n = 0;
    for (int64_t i = 0; i < p->n_main; i++) sample_extremes(s, &p->main[i]);
    for (int64_t i = 0; i < p->n_tensor; i++) sample_extremes(s, &p->tensor[i]);
    if (p->level_name && s->n > 0) s->v[s->n++] = p->level;
    for (int64_t i = 0; i < p->n_main; i++) sample_line(s, &p->main[i], share);
    for (int64_t i = 0; i < p->n_tensor; i++) sample_line(s, &p->tensor[i], share);
}

/* Ten times the largest value that a line begins with; infinite if none begins above 0. */
static double top_of(const plot *p) {
    double first = 0;
    for (int64_t k = 0; k < p->n_main; k++) {
        const line *l = &p->main[k];
        int64_t i = 0;
        while (i < l->n && !isfinite(l->value[i])) i++;
        if (i < l->n) first = fmax(first, l->value[i]);
    }
    return first > 0 ? 10 * first : INFINITY;
}

static void cut_top(sample *s, double top) {
    int64_t n = 0;
    for (int64_t i = 0; i < s->n; i++)
        if (s->v[i] <= top) s->v[n++] = s->v[i];
    if (n < s->n) s->v[n++] = top;
    s->n = n;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The middle nine tenths of the values take less than a fiftieth of their range: on a linear axis they would lie on one line. */
static int is_crowded(sample *s) {
    if (s->n < 20) return 0;
    qsort(s->v, (size_t)s->n, sizeof *s->v, ascending);
    double lo = s->v[s->n / 20], hi = s->v[s->n - 1 - s->n / 20];
    return hi / 50 - lo / 50 < (s->v[s->n - 1] / 50 - s->v[0] / 50) / 50 && hi > lo;
}

static int changes_sign(const sample *s) {
    for (int64_t i = 0; i < s->n; i++)
        if (s->v[i] < 0) return 1;
    return 0;
}

axis plot_axis(const plot *p) {
    sample *s = malloc(sizeof *s);
    if (!s) return axis_fit(AXIS_LINEAR, NULL, 0);
    sample_all(p, s);
    if (p->top) cut_top(s, top_of(p));
    int scale = p->scale;
    if (scale == AXIS_LOG && changes_sign(s)) scale = AXIS_SYMLOG;
    if (scale == AXIS_LINEAR && !p->fixed && is_crowded(s)) scale = s->v[0] > 0 ? AXIS_LOG : AXIS_SYMLOG;
    axis a = axis_fit(scale, s->v, s->n);
    free(s);
    return a;
}

/* ---- margins --------------------------------------------------------------------------------------------------------- */

static double line_height(const plot *p) {
    return 1.4 * p->font;
}

static double head_height(const plot *p) {
    return (p->labelled == PLOT_LABEL_BELOW ? 2.2 : 1.2) * line_height(p) + 0.2 * p->font;
}

static double foot_height(const plot *p) {
    return p->upper ? 0.6 * p->font : AXES_TICK + 2.35 * p->font;
}

static double area_height(const plot *p, double height) {
    return fmax(height - head_height(p) - foot_height(p), 1);
}

/* Three digits, or as many as tell a hundredth of the axis. */
static void last_text(const axis *a, const line *l, char *text, size_t size) {
    double v = l->value[l->n - 1], finer = a->scale == AXIS_LINEAR ? log10(fabs(v) / (a->hi - a->lo)) : 0;
    format_value(v, finer > 1 && finer < 10 ? 2 + (int)ceil(finer) : 3, text, size);
    if (!isfinite(v)) snprintf(text, size, "%s", isnan(v) ? "NaN" : v > 0 ? "Inf" : "-Inf");
}

void plot_margins(cairo_t *cr, const plot *p, double height, double *left, double *right) {
    ink small = { p->font, 0, INK_LEFT, ink_text };
    axis a = plot_axis(p);
    *left = fmax(*left, axes_left_width(cr, &a, area_height(p, height), p->font));
    for (int64_t i = 0; i < p->n_main; i++) {
        char text[32];
        if (p->main[i].n == 0) continue;
        last_text(&a, &p->main[i], text, sizeof text);
        *right = fmax(*right, ink_number_width(cr, &small, text) + 0.6 * p->font);
    }
}

/* ---- the head -------------------------------------------------------------------------------------------------------- */

typedef struct absent { /* values that a line cannot show */
    int64_t nan, infinite, low;
} absent;

static absent count_absent(const plot *p, const frame *f) {
    absent a = { 0, 0, 0 };
    for (int64_t k = 0; k < p->n_main + p->n_tensor; k++) {
        const line *l = k < p->n_main ? &p->main[k] : &p->tensor[k - p->n_main];
        for (int64_t i = 0; i < l->n; i++) {
            a.nan += isnan(l->value[i]) != 0;
            a.infinite += isinf(l->value[i]) != 0;
            a.low += f->y.scale == AXIS_LOG && isfinite(l->value[i]) && l->value[i] <= 0;
        }
    }
    return a;
}

static void absent_text(const absent *a, char *text, size_t size) {
    const struct {
        int64_t n;
        const char *name;
    } kinds[] = { { a->nan, "NaN" }, { a->infinite, "Inf" }, { a->low, "\xe2\x89\xa4 0" } };
    text[0] = 0;
    for (int i = 0; i < 3; i++) {
        char number[32];
        size_t n = strlen(text);
        format_value((double)kinds[i].n, 6, number, sizeof number);
        if (kinds[i].n) snprintf(text + n, size - n, "%s%s %s", n ? ", " : "", number, kinds[i].name);
    }
}

/* Names of the first and the last tensor with the colours between them; from the right edge x leftwards. */
static void draw_depth(cairo_t *cr, const plot *p, double x, double y, double room) {
    if (p->n_tensor < 1 || room < 3 * p->font) return;
    ink name = { 0.88 * p->font, 0, INK_RIGHT, ink_grey };
    const char *first = p->tensor[0].name, *last = p->tensor[p->n_tensor - 1].name;
    double bar = 3.2 * p->font, gap = 0.5 * p->font, w_first = ink_width(cr, &name, first), w_last = ink_width(cr, &name, last);
    if (p->n_tensor == 1) first = "", w_first = 0;
    if (w_first + w_last + bar + 2 * gap > room || p->labelled == PLOT_LABEL_BESIDE) first = last = "", w_first = w_last = 0;
    if (*last) x -= ink_draw(cr, &name, x, y, last) + gap;
    int cells = p->n_tensor > 40 ? 40 : (int)p->n_tensor;
    double h = 0.34 * p->font, top = y - 0.32 * p->font - h / 2;
    for (int i = 0; i < cells; i++) {
        double pad = cells <= 12 ? 0.12 : -0.02;
        ink_set(cr, p->tensor[cells > 1 ? i * (p->n_tensor - 1) / (cells - 1) : 0].colour);
        cairo_rectangle(cr, x - bar + bar * (i + pad) / cells, top, bar * (1 - 2 * pad) / cells, h);
        cairo_fill(cr);
    }
    if (*first) ink_draw(cr, &name, x - bar - gap, y, first);
}

/* The main lines' names, each behind a piece of its colour, from the right edge x leftwards. Returns the width used. */
static double draw_legend(cairo_t *cr, const plot *p, double x, double y, double room) {
    ink name = { 0.92 * p->font, 0, INK_RIGHT, ink_text };
    double start = x, key = 1.1 * p->font;
    for (int64_t i = p->legend ? p->n_main - 1 : -1; i >= 0; i--) {
        double w = ink_width(cr, &name, p->main[i].name) + key + 0.35 * p->font;
        if (start - x + w > room) break;
        x -= ink_draw(cr, &name, x, y, p->main[i].name) + 0.35 * p->font;
        ink_set(cr, p->main[i].colour);
        cairo_rectangle(cr, x - key, y - 0.42 * p->font, key, 0.18 * p->font);
        cairo_fill(cr);
        x -= key + 0.9 * p->font;
    }
    return start - x;
}

static void draw_head(cairo_t *cr, rect cell, const plot *p, const frame *f) {
    ink title = { 1.15 * p->font, 1, INK_LEFT, ink_text }, alarm = { p->font, 0, INK_LEFT, ink_alarm };
    ink label = { p->font, 0, INK_LEFT, ink_grey };
    double x = cell.x, y = cell.y + 1.1 * p->font, right = f->area.x + f->area.w;
    char text[160], lost[96];
    absent a = count_absent(p, f);
    absent_text(&a, lost, sizeof lost);
    x += ink_fit(cr, &title, x, y, right - x, p->title) + (p->labelled == PLOT_LABEL_BESIDE ? 0.6 : 0.9) * p->font;
    if (lost[0]) x += ink_fit(cr, &alarm, x, y, right - x, lost) + 0.9 * p->font;
    right -= draw_legend(cr, p, right, y, right - x);
    if (!p->legend) draw_depth(cr, p, right, y, right - x);
    if (!p->legend && p->n_tensor > 0) right -= 4 * p->font;
    snprintf(text, sizeof text, "%s%s%s%s%s", p->label, p->unit[0] && p->label[0] ? " " : "", p->unit[0] ? "[" : "", p->unit,
             p->unit[0] ? "]" : "");
    if (p->labelled == PLOT_LABEL_BELOW) ink_fit(cr, &label, cell.x, y + line_height(p), cell.w, text);
    if (p->labelled == PLOT_LABEL_BESIDE && right - x > 3 * p->font) ink_fit(cr, &label, x, y, right - x, text);
}

/* ---- marks for values that no line shows ------------------------------------------------------------------------------ */

static void straight(cairo_t *cr, double x0, double y0, double x1, double y1) {
    cairo_move_to(cr, x0, y0);
    cairo_line_to(cr, x1, y1);
    cairo_stroke(cr);
}

static void mark(cairo_t *cr, char kind, double x, double y, double r) {
    cairo_new_path(cr);
    if (kind == 'n') {
        straight(cr, x - r, y - r, x + r, y + r);
        straight(cr, x - r, y + r, x + r, y - r);
        return;
    }
    double up = kind == '+' ? -1 : 1;
    cairo_move_to(cr, x, y + up * r);
    cairo_line_to(cr, x - r, y - up * r);
    cairo_line_to(cr, x + r, y - up * r);
    cairo_close_path(cr);
    cairo_fill(cr);
}

static char mark_of(const frame *f, double v) {
    if (isnan(v)) return 'n';
    if (isinf(v)) return v > 0 ? '+' : '-';
    if (axis_at(&f->y, v) > 1) return '+';
    return f->y.scale == AXIS_LOG && v <= 0 ? '0' : 0;
}

/* NaN, infinities and what is above the axis at the top edge, -Inf and what a log axis cannot show at the bottom; at most one of a kind where
   they would cover each other. */
static void draw_marks(cairo_t *cr, const frame *f, const line *l, double font) {
    double r = 0.27 * font, before[128];
    for (int i = 0; i < 128; i++) before[i] = -INFINITY;
    ink_set(cr, ink_alarm);
    cairo_set_line_width(cr, 1);
    cairo_set_line_cap(cr, CAIRO_LINE_CAP_BUTT);
    for (int64_t i = 0; i < l->n; i++) {
        char kind = mark_of(f, l->value[i]);
        if (!kind) continue;
        double x = f->area.x + f->area.w * axis_at(&f->x, line_x(l, i));
        if (x - before[(int)kind] < 2.2 * r) continue;
        before[(int)kind] = x;
        int low = kind == '-' || kind == '0';
        mark(cr, kind, x, low ? f->area.y + f->area.h - 1.4 * r : f->area.y + 1.4 * r, r);
    }
}

/* ---- lines to hold a curve against ------------------------------------------------------------------------------------ */

typedef struct levels { /* heights of the words that stand already */
    double text[8];
    int n;
} levels;

static int is_free(const levels *all, double text, double height) {
    for (int i = 0; i < all->n; i++)
        if (fabs(all->text[i] - text) < height) return 0;
    return 1;
}

static void draw_words(cairo_t *cr, const plot *p, const frame *f, double text, const char *words, rgb colour) {
    ink small = { 0.85 * p->font, 0, INK_RIGHT, colour };
    double right = f->area.x + f->area.w - 0.3 * p->font, width = ink_width(cr, &small, words);
    cairo_set_source_rgba(cr, 1, 1, 1, 0.75);
    cairo_rectangle(cr, right - width - 0.2 * p->font, text - 0.75 * p->font, width + 0.4 * p->font, 0.95 * p->font);
    cairo_fill(cr);
    ink_draw(cr, &small, right, text, words);
}

/* A dashed line at a value and what it is, where it lies on the axis; without words where these would lie on others. */
static void draw_level(cairo_t *cr, const plot *p, const frame *f, double value, const char *name, rgb colour, levels *all) {
    char number[32], words[64];
    double at = isfinite(value) ? axis_at(&f->y, value) : NAN;
    if (!(at > 0 && at < 1)) return;
    double y = axes_pixel(cr, f, f->area.y + f->area.h * (1 - at), 1);
    ink_set(cr, ink_mix(colour, (rgb){ 1, 1, 1 }, 0.35));
    cairo_set_line_width(cr, 0.7);
    cairo_set_dash(cr, (const double[]){ 3, 2 }, 2, 0);
    straight(cr, f->area.x, y, f->area.x + f->area.w, y);
    cairo_set_dash(cr, NULL, 0, 0);
    double text = y - f->area.y > 1.2 * p->font ? y - 0.25 * p->font : y + 0.9 * p->font;
    if (!is_free(all, text, 0.95 * p->font)) return;
    format_value(value, 4, number, sizeof number);
    snprintf(words, sizeof words, "%s %s", name, number);
    draw_words(cr, p, f, text, words, colour);
    all->text[all->n++] = text;
}

/* The most urgent first: it has its words. */
static void draw_levels(cairo_t *cr, const plot *p, const frame *f) {
    const rgb warn = { 0.72, 0.50, 0.10 };
    const pitot_band *b = p->band;
    levels all = { .n = 0 };
    if (b) draw_level(cr, p, f, b->alarm_below, "alarm below", ink_alarm, &all);
    if (b) draw_level(cr, p, f, b->alarm_above, "alarm above", ink_alarm, &all);
    if (b) draw_level(cr, p, f, b->warn_below, "warn below", warn, &all);
    if (b) draw_level(cr, p, f, b->warn_above, "warn above", warn, &all);
    if (p->level_name) draw_level(cr, p, f, p->level, p->level_name, ink_grey, &all);
}

/* ---- last values ----------------------------------------------------------------------------------------------------- */

typedef struct end { /* the right end of a line and its text */
    double y;
    const line *line;
} end;

static int by_height(const void *a, const void *b) {
    double x = ((const end *)a)->y, y = ((const end *)b)->y;
    return (x > y) - (x < y);
}

/* Moves them apart, keeping their order, within top..bottom. */
static void spread(end *e, int64_t n, double top, double bottom, double step) {
    for (int64_t i = 0; i < n; i++) e[i].y = fmax(e[i].y, i ? e[i - 1].y + step : top);
    for (int64_t i = n - 1; i >= 0; i--) e[i].y = fmin(e[i].y, i < n - 1 ? e[i + 1].y - step : bottom);
}

static void draw_ends(cairo_t *cr, const plot *p, const frame *f, end *e, int64_t n) {
    double step = 1.12 * p->font, top = f->area.y + 0.3 * p->font, bottom = f->area.y + f->area.h - 0.1 * p->font;
    if ((double)n * step > bottom - top + step) return; /* too many runs: their legend has to do */
    qsort(e, (size_t)n, sizeof *e, by_height);
    spread(e, n, top, bottom, step);
    for (int64_t i = 0; i < n; i++) {
        char text[32];
        last_text(&f->y, e[i].line, text, sizeof text);
        int lost = !isfinite(e[i].line->value[e[i].line->n - 1]);
        ink value = { p->font, 0, INK_LEFT, lost ? ink_alarm : ink_mix(e[i].line->colour, ink_text, 0.25) };
        ink_number(cr, &value, f->area.x + f->area.w + 0.45 * p->font, e[i].y + 0.36 * p->font, text);
    }
}

/* ---- the whole ------------------------------------------------------------------------------------------------------- */

static int64_t longest(const plot *p) {
    int64_t n = 1;
    for (int64_t i = 0; i < p->n_main; i++)
        if (p->main[i].n > n) n = p->main[i].n;
    for (int64_t i = 0; i < p->n_tensor; i++)
        if (p->tensor[i].n > n) n = p->tensor[i].n;
    return n;
}

static double weight_of(const plot *p, const double *at, int64_t n) {
    return p->smooth < 0 ? line_weight(at, n) : p->smooth;
}

static void draw_tensors(cairo_t *cr, const plot *p, const frame *f, double *at, double *scratch) {
    for (int64_t i = 0; i < p->n_tensor; i++) {
        const line *l = &p->tensor[i];
        line_positions(f, l, at);
        line_smooth(at, l->n, weight_of(p, at, l->n), scratch);
        ink_set(cr, l->colour);
        line_stroke(cr, f, l, at, 0.75);
    }
}

/* The line as it is, pale if a smoothed one will lie on it. */
static void draw_raw(cairo_t *cr, const plot *p, const frame *f, double *at) {
    for (int64_t i = 0; i < p->n_main; i++) {
        const line *l = &p->main[i];
        line_positions(f, l, at);
        if (!(weight_of(p, at, l->n) > 0)) continue;
        ink_set(cr, ink_pale(l->colour));
        line_stroke(cr, f, l, at, 0.6);
    }
}

/* Where the last value stands; what the axis cannot show has its mark at the top or at the bottom. */
static double last_height(const frame *f, const line *l) {
    double v = l->value[l->n - 1], at = axis_at(&f->y, v);
    return !isnan(at) ? at : isfinite(v) || v < 0 ? 0 : 1;
}

static int64_t draw_main(cairo_t *cr, const plot *p, const frame *f, double *at, double *scratch, end *ends) {
    int64_t n = 0;
    for (int64_t i = 0; i < p->n_main; i++) {
        const line *l = &p->main[i];
        if (l->n == 0) continue;
        line_positions(f, l, at);
        line_smooth(at, l->n, weight_of(p, at, l->n), scratch);
        ink_set(cr, l->colour);
        line_stroke(cr, f, l, at, p->n_main > 1 ? 1.2 : 1.35);
        ends[n++] = (end){ f->area.y + f->area.h * (1 - last_height(f, l)), l };
    }
    return n;
}

int32_t plot_draw(cairo_t *cr, rect cell, const plot *p) {
    rect area = { cell.x + p->left, cell.y + head_height(p), cell.w - p->left - p->right, area_height(p, cell.h) };
    int bare = area.w < 3 * p->font || area.h < 2 * p->font; /* no room for words */
    if (bare) area = cell;
    frame f = { area, p->x, plot_axis(p), p->column, p->snap };
    size_t n = (size_t)longest(p);
    double *at = malloc(2 * n * sizeof *at);
    end *ends = calloc((size_t)p->n_main + 1, sizeof *ends);
    if (at && ends) {
        if (!bare) axes_draw(cr, &f, p->font, 1, p->upper ? NULL : p->seconds ? "seconds of training, without probes" : "step");
        if (!bare) draw_head(cr, cell, p, &f);
        cairo_save(cr);
        cairo_rectangle(cr, area.x - 2, area.y - 2, area.w + 4, area.h + 4);
        cairo_clip(cr);
        draw_raw(cr, p, &f, at);
        draw_tensors(cr, p, &f, at, at + n);
        int64_t n_ends = draw_main(cr, p, &f, at, at + n, ends);
        for (int64_t i = 0; i < p->n_tensor; i++) draw_marks(cr, &f, &p->tensor[i], p->font);
        for (int64_t i = 0; i < p->n_main; i++) draw_marks(cr, &f, &p->main[i], p->font);
        cairo_restore(cr);
        if (!bare) draw_levels(cr, p, &f);
        if (!bare) draw_ends(cr, p, &f, ends, n_ends);
    }
    int32_t status = at && ends ? PITOT_OK : PITOT_ENOMEM;
    free(at);
    free(ends);
    return status;
}
