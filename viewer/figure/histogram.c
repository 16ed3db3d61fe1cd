/* histogram.c: how often elements of the gradients of single samples had which value, at the newest step and, as an outline, at the
   first. See page.h. */

#include "page.h"

#include <math.h>
#include <stdio.h>

static double at(double length, const axis *a, double v) {
    double x = axis_at(a, v);
    return length * (isnan(x) || x < 0 ? 0 : x > 1 ? 1 : x);
}

static void trace(const view *v, const frame *f, const counts *c) {
    double bottom = f->area.y + f->area.h;
    cairo_new_path(v->cr);
    cairo_move_to(v->cr, f->area.x + at(f->area.w, &f->x, c->x[0]), bottom);
    for (int64_t i = 0; i < c->nx; i++) {
        double y = bottom - at(f->area.h, &f->y, c->count[i]);
        cairo_line_to(v->cr, f->area.x + at(f->area.w, &f->x, c->x[i]), y);
        cairo_line_to(v->cr, f->area.x + at(f->area.w, &f->x, c->x[i + 1]), y);
    }
    cairo_line_to(v->cr, f->area.x + at(f->area.w, &f->x, c->x[c->nx]), bottom);
}

static void draw_key(const view *v, const frame *f, const counts *c, int64_t first) {
    ink text = { v->font, 0, INK_RIGHT, ink_grey };
    char number[32], words[96];
    double y = f->area.y + 1.1 * v->font;
    format_value(c->total > 0 ? 100 * (c->count[0] + c->count[c->nx - 1]) / c->total : 0, 2, number, sizeof number);
    snprintf(words, sizeof words, "edge bins: %s %%", number);
    ink_draw(v->cr, &text, f->area.x + f->area.w, y, words);
    if (first < 0) return;
    text.align = INK_LEFT;
    format_value((double)first, 12, number, sizeof number);
    snprintf(words, sizeof words, "outline: step %s", number);
    ink_draw(v->cr, &text, f->area.x + 0.5 * v->font, y, words);
}

static void draw_counts(const view *v, rect body, const counts *c, const counts *first) {
    rect a = { body.x + v->left, body.y, body.w - v->left - v->right, body.h - 2.35 * v->font - AXES_TICK };
    int bare = a.w < 8 * v->font || a.h < 4 * v->font;
    double most = fmax(c->most, first ? first->most : 0), lo = c->x[0], hi = c->x[c->nx];
    if (first) lo = fmin(lo, first->x[0]), hi = fmax(hi, first->x[first->nx]);
    frame f = { bare ? body : a, { AXIS_LINEAR, lo, hi, 0 }, { AXIS_LOG, 0.6, fmax(2, 1.6 * most), 0 }, v->column, v->snap };
    if (!bare) axes_draw(v->cr, &f, v->font, 1, "element of a sample's gradient");
    trace(v, &f, c);
    cairo_set_source_rgba(v->cr, v->accent.r, v->accent.g, v->accent.b, 0.7);
    cairo_fill(v->cr);
    if (first) {
        trace(v, &f, first);
        ink_set(v->cr, ink_grey);
        cairo_set_line_width(v->cr, 0.8);
        cairo_stroke(v->cr);
    }
    if (!bare) draw_key(v, &f, c, first ? first->step : -1);
}

int32_t histogram_draw(const view *v) {
    static const char counts_key[] = "grad_hist_1d.counts", edges_key[] = "grad_hist_1d.edges";
    counts c, first;
    pitot_list list;
    int has = counts_read(v->log, counts_key, edges_key, NULL, INT64_MAX, &c);
    if (has < 0) return has;
    if (has == 0 && pitot_log_find_list(v->log, counts_key) >= 0)
        return view_hint(v, NULL, "its counts and edges do not fit together");
    if (has == 0) return view_hint(v, counts_key, NULL);
    pitot_log_list(v->log, pitot_log_find_list(v->log, counts_key), &list);
    int also = list.n > 1 ? counts_read(v->log, counts_key, edges_key, NULL, list.step[0], &first) : 0;
    char note[48], step[32];
    format_value((double)c.step, 12, step, sizeof step);
    snprintf(note, sizeof note, "step %s", step);
    if (also >= 0) draw_counts(v, view_head(v, v->what->label, note), &c, also ? &first : NULL);
    counts_free(&c);
    if (also > 0) counts_free(&first);
    return also < 0 ? also : PITOT_OK;
}
