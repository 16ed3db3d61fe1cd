/* line.c: one series as a line. See figure.h.

   The time to stroke a path grows faster than its length, so a line is first reduced to at most four points per column of pixels
   and then stroked in short pieces. Colours are opaque: pieces that overlap at their ends do not show. */

#include "figure.h"

#include <math.h>
#include <string.h>

enum { PIECE = 256, MARKED = 30 }; /* points per stroke; lines of fewer points get a mark on each */

void line_positions(const frame *f, const line *l, double *at) {
    for (int64_t i = 0; i < l->n; i++) at[i] = axis_at(&f->y, l->value[i]);
}

/* ---- smoothing ------------------------------------------------------------------------------------------------------- */

double line_weight(const double *at, int64_t n) {
    double bend = 0, before[2] = { NAN, NAN };
    int64_t count = 0, bends = 0;
    for (int64_t i = 0; i < n; i++) {
        if (isnan(at[i])) continue;
        double second = at[i] - 2 * before[0] + before[1];
        if (!isnan(second)) bend += second * second, bends++;
        before[1] = before[0];
        before[0] = at[i];
        count++;
    }
    if (count < 60 || bends == 0) return 0;
    double noise = sqrt(bend / (double)bends / 6); /* as share of the height, if the values are independent around a curve */
    return noise < 0.003 ? 0 : 1 - 1 / (1 + (double)count / 120);
}

/* sum over j of w^|i-j| at[j] / sum over j of w^|i-j|, over the points that are there, in two passes. */
void line_smooth(double *at, int64_t n, double w, double *scratch) {
    if (!(w > 0)) return;
    double sum = 0, weight = 0, log_w = log(w);
    int64_t later = 0; /* points to the right */
    for (int64_t i = n - 1; i >= 0; i--) {
        scratch[i] = sum;
        if (isnan(at[i])) continue;
        sum = w * (sum + at[i]);
        later++;
    }
    sum = 0;
    for (int64_t i = 0; i < n; i++) {
        if (isnan(at[i])) continue;
        double right = w * (1 - exp((double)--later * log_w)) / (1 - w);
        sum = w * sum + at[i];
        weight = w * weight + 1;
        at[i] = (sum + scratch[i]) / (weight + right);
    }
}

/* ---- strokes --------------------------------------------------------------------------------------------------------- */

typedef struct point {
    double x, y;
} point;

typedef struct pen {
    cairo_t *cr;
    point last;
    int down;    /* points since the pen went down */
    int pending; /* points in cairo's path */
    double width;
} pen;

static void dot(cairo_t *cr, point p, double radius) {
    cairo_new_path(cr);
    cairo_arc(cr, p.x, p.y, radius, 0, 2 * M_PI);
    cairo_fill(cr);
}

static void pen_to(pen *p, point to) {
    if (p->down == 0) {
        cairo_move_to(p->cr, to.x, to.y);
    } else {
        cairo_line_to(p->cr, to.x, to.y);
        if (++p->pending >= PIECE) {
            cairo_stroke(p->cr);
            cairo_move_to(p->cr, to.x, to.y);
            p->pending = 0;
        }
    }
    p->last = to;
    p->down++;
}

static void pen_up(pen *p) {
    if (p->down > 1) cairo_stroke(p->cr);
    if (p->down == 1) dot(p->cr, p->last, fmax(1.4, p->width)); /* a point between gaps would have no length */
    cairo_new_path(p->cr);
    p->down = p->pending = 0;
}

typedef struct column { /* the points of one column of pixels, by order of arrival */
    int64_t at, n, least_at, greatest_at;
    point first, last, least, greatest;
} column;

static void column_add(column *c, point p) {
    if (c->n == 0) c->first = c->least = c->greatest = p, c->least_at = c->greatest_at = 0;
    if (p.y < c->least.y) c->least = p, c->least_at = c->n;
    if (p.y > c->greatest.y) c->greatest = p, c->greatest_at = c->n;
    c->last = p;
    c->n++;
}

static void column_draw(column *c, pen *p) {
    if (c->n == 0) return;
    int least_first = c->least_at <= c->greatest_at;
    int64_t early_at = least_first ? c->least_at : c->greatest_at, late_at = least_first ? c->greatest_at : c->least_at;
    pen_to(p, c->first);
    if (early_at > 0) pen_to(p, least_first ? c->least : c->greatest);
    if (late_at > early_at && late_at < c->n - 1) pen_to(p, least_first ? c->greatest : c->least);
    if (c->n > 1) pen_to(p, c->last);
    c->n = 0;
}

static int64_t count_points(const double *at, int64_t n) {
    int64_t count = 0;
    for (int64_t i = 0; i < n && count <= MARKED; i++) count += !isnan(at[i]);
    return count;
}

void line_stroke(cairo_t *cr, const frame *f, const line *l, const double *at, double width) {
    pen p = { cr, { 0, 0 }, 0, 0, width };
    column c;
    memset(&c, 0, sizeof c);
    int marks = width > 1 && count_points(at, l->n) <= MARKED;
    cairo_set_line_width(cr, width);
    cairo_set_line_join(cr, CAIRO_LINE_JOIN_ROUND);
    cairo_set_line_cap(cr, l->run >= 8 ? CAIRO_LINE_CAP_BUTT : CAIRO_LINE_CAP_ROUND);
    ink_dash(cr, l->run);
    for (int64_t i = 0; i < l->n; i++) {
        point here = { f->area.x + f->area.w * axis_at(&f->x, line_x(l, i)), f->area.y + f->area.h * (1 - at[i]) };
        if (isnan(here.x) || isnan(here.y)) {
            column_draw(&c, &p);
            pen_up(&p);
            continue;
        }
        int64_t k = (int64_t)floor((here.x - f->area.x) / f->column);
        if (c.n && k != c.at) column_draw(&c, &p);
        c.at = k;
        column_add(&c, here);
    }
    column_draw(&c, &p);
    pen_up(&p);
    cairo_set_dash(cr, NULL, 0, 0);
    for (int64_t i = 0; marks && i < l->n; i++) {
        point here = { f->area.x + f->area.w * axis_at(&f->x, line_x(l, i)), f->area.y + f->area.h * (1 - at[i]) };
        if (!isnan(here.x) && !isnan(here.y)) dot(cr, here, 1.35 * width);
    }
}
