/* alpha.c: where on the way to the minimum the steps end: the unit parabola that the loss along a step is scaled to, and how often
   alpha had which value. -1: at the start of the step, 0: in the minimum, 1: as high on the other side. See page.h.

   Schneider, Dangel, Hennig, "Cockpit: a practical debugging tool for the training of deep neural networks", 2021, section 3.1. */

#include "page.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BINS = 60 };

static const double edge = 1.5, top = 1.75; /* the parabola is drawn over [-edge, edge] x [0, top] */

typedef struct group {          /* of values */
    double share[BINS], middle; /* median: one wild step says nothing of the others; NaN: no finite value */
    int64_t n, below, above, lost;
} group;

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of those that are finite. */
static double median(const double *v, int64_t n) {
    double *sorted = calloc((size_t)(n > 0 ? n : 1), sizeof *sorted), middle = NAN;
    int64_t m = 0;
    for (int64_t i = 0; sorted && i < n; i++)
        if (isfinite(v[i])) sorted[m++] = v[i];
    if (m) qsort(sorted, (size_t)m, sizeof *sorted, by_size);
    if (m) middle = m % 2 ? sorted[m / 2] : 0.5 * (sorted[m / 2 - 1] + sorted[m / 2]);
    free(sorted);
    return middle;
}

static void count(const double *v, int64_t n, group *g) {
    memset(g, 0, sizeof *g);
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(v[i])) {
            g->lost++;
            continue;
        }
        g->n++;
        if (v[i] < -edge) g->below++;
        else if (v[i] > edge) g->above++;
        else g->share[(int)fmin((v[i] + edge) / (2 * edge) * BINS, BINS - 1)]++;
    }
    g->middle = median(v, n);
    for (int i = 0; i < BINS; i++) g->share[i] /= g->n ? (double)g->n : 1;
}

static double x_of(rect a, double alpha) {
    return a.x + a.w * (alpha + edge) / (2 * edge);
}

static double y_of(rect a, double height) {
    return a.y + a.h * (1 - height / top);
}

static void draw_bars(const view *v, rect a, const group *g, double most, rgb colour, double opacity) {
    for (int i = 0; i < BINS; i++) {
        double h = 0.7 * a.h * g->share[i] / most;
        if (h > 0) cairo_rectangle(v->cr, a.x + a.w * i / BINS, a.y + a.h - h, a.w / BINS, h);
    }
    cairo_set_source_rgba(v->cr, colour.r, colour.g, colour.b, opacity);
    cairo_fill(v->cr);
}

static void draw_parabola(const view *v, rect a) {
    cairo_new_path(v->cr);
    for (int i = 0; i <= 120; i++) {
        double x = -sqrt(top) + 2 * sqrt(top) * i / 120;
        cairo_line_to(v->cr, x_of(a, x), y_of(a, x * x));
    }
    ink_set(v->cr, ink_text);
    cairo_set_line_width(v->cr, 1.3);
    cairo_stroke(v->cr);
}

static void draw_places(const view *v, rect a) {
    static const struct {
        double at;
        const char *number, *name;
    } places[] = { { -1, "-1", "start" }, { 0, "0", "minimum" }, { 1, "1", "mirror point" } };
    const ink number = { v->font, 0, INK_CENTRE, ink_text }, name = { v->font, 0, INK_CENTRE, ink_grey };
    double bottom = a.y + a.h;
    cairo_set_line_width(v->cr, 0.6);
    for (int i = 0; i < 3; i++) {
        double x = x_of(a, places[i].at);
        ink_set(v->cr, ink_mix(ink_grid, ink_grey, 0.35));
        cairo_move_to(v->cr, x, a.y);
        cairo_line_to(v->cr, x, bottom + AXES_TICK);
        cairo_stroke(v->cr);
        ink_number(v->cr, &number, x, bottom + AXES_TICK + v->font, places[i].number);
        ink_draw(v->cr, &name, x, bottom + AXES_TICK + 2.15 * v->font, places[i].name);
    }
    ink_set(v->cr, ink_grey);
    cairo_move_to(v->cr, a.x, bottom);
    cairo_line_to(v->cr, a.x + a.w, bottom);
    cairo_stroke(v->cr);
}

/* A ball on the parabola where the median is; beyond the edges, at the edge. */
static void draw_ball(const view *v, rect a, double middle, rgb colour) {
    if (!isfinite(middle)) return;
    double x = fmax(-sqrt(top), fmin(sqrt(top), middle));
    cairo_new_path(v->cr);
    cairo_arc(v->cr, x_of(a, x), y_of(a, x * x), 0.5 * v->font, 0, 2 * M_PI);
    ink_set(v->cr, colour);
    cairo_fill_preserve(v->cr);
    cairo_set_source_rgb(v->cr, 1, 1, 1);
    cairo_set_line_width(v->cr, 0.8);
    cairo_stroke(v->cr);
}

/* "<- 12 | 34 ->": values that lie beyond. */
static void draw_beyond(const view *v, rect a, const group *g) {
    ink text = { v->font, 0, INK_LEFT, ink_grey };
    char number[32], words[48];
    double y = a.y + a.h - 0.5 * v->font;
    format_value((double)g->below, 6, number, sizeof number);
    snprintf(words, sizeof words, "\xe2\x97\x82 %s", number);
    if (g->below) ink_draw(v->cr, &text, a.x + 0.2 * v->font, y, words);
    format_value((double)g->above, 6, number, sizeof number);
    snprintf(words, sizeof words, "%s \xe2\x96\xb8", number);
    text.align = INK_RIGHT;
    if (g->above) ink_draw(v->cr, &text, a.x + a.w - 0.2 * v->font, y, words);
}

static void draw_key(const view *v, rect a, int row, const char *what, const group *g, rgb colour) {
    const ink text = { v->font, 0, INK_LEFT, ink_text };
    char n[32], middle[32], words[120];
    format_value((double)g->n, 9, n, sizeof n);
    format_value(g->middle, 3, middle, sizeof middle);
    const char *sign = middle[0] == '-' ? "\xe2\x88\x92" : "";
    snprintf(words, sizeof words, "%s (%s): median %s%s", what, n, sign, g->n ? middle + (middle[0] == '-') : "\xe2\x80\x93");
    double w = ink_width(v->cr, &text, words) + 1.3 * v->font, x = a.x + (a.w - w) / 2, y = a.y + (1.1 + 1.35 * row) * v->font;
    cairo_set_source_rgba(v->cr, 1, 1, 1, 0.8);
    cairo_rectangle(v->cr, x - 0.3 * v->font, y - v->font, w + 0.6 * v->font, 1.35 * v->font);
    cairo_fill(v->cr);
    ink_set(v->cr, colour);
    cairo_rectangle(v->cr, x, y - 0.72 * v->font, 0.8 * v->font, 0.8 * v->font);
    cairo_fill(v->cr);
    ink_draw(v->cr, &text, x + 1.3 * v->font, y, words);
}

int32_t alpha_draw(const view *v) {
    const rgb all_colour = { 0.62, 0.63, 0.66 };
    pitot_series s;
    group all, last;
    char note[64] = "", value[32];
    if (!view_series(v, "alpha", &s)) return view_hint(v, "alpha", NULL);
    int64_t tenth = (s.n + 9) / 10;
    count(s.value, s.n, &all);
    count(s.value + s.n - tenth, tenth, &last);
    format_value(s.value[s.n - 1], 3, value, sizeof value);
    snprintf(note, sizeof note, "now %s%s", value[0] == '-' ? "\xe2\x88\x92" : "", value + (value[0] == '-'));
    rect body = view_head(v, v->what->label, note);
    rect a = { body.x + v->left, body.y, body.w - v->left - v->right, body.h - 2.35 * v->font - AXES_TICK };
    if (a.w < 8 * v->font || a.h < 4 * v->font) a = body;
    double most = 1e-9;
    for (int i = 0; i < BINS; i++) most = fmax(most, fmax(all.share[i], last.share[i]));
    draw_places(v, a);
    draw_bars(v, a, &all, most, all_colour, 0.75);
    draw_bars(v, a, &last, most, v->accent, 0.55);
    draw_parabola(v, a);
    draw_ball(v, a, all.middle, all_colour);
    draw_ball(v, a, last.middle, v->accent);
    draw_beyond(v, a, &all);
    draw_key(v, a, 0, "all", &all, all_colour);
    draw_key(v, a, 1, "last 10 %", &last, v->accent);
    return PITOT_OK;
}
