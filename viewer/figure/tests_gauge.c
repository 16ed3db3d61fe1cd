/* tests_gauge.c: how far the gradients of single samples scatter around their mean g, in lengths of g. The newest step as a target: a
   disc of radius norm_test, a band of half width inner_test along g and one of half width ortho_test across it; beside it all three
   over the steps. Byrd, Chin, Nocedal, Wu 2012; Bollapragada, Byrd, Nocedal 2018. See page.h. */

#include "page.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NORM, INNER, ORTHO, TESTS };

static const char *const key[TESTS] = { "norm_test", "inner_test", "ortho_test" };

static rgb colour_of(int k) {
    return ink_run(k == NORM ? 0 : k == INNER ? 1 : 2);
}

/* Symlog, linear up to 0.1, as far as +-2 or the next of 5, 10, 20, ... that holds everything. */
static axis range_of(const double *value) {
    double most = 0, end = 2;
    for (int k = 0; k < TESTS; k++)
        if (isfinite(value[k])) most = fmax(most, fabs(value[k]));
    for (int i = 0; i < 400 && end < 1.15 * most && end < 1e300; i++) end *= i % 3 == 0 ? 2.5 : 2;
    return (axis){ AXIS_SYMLOG, -end, end, 0.1 };
}

static double at_x(const frame *f, double v) {
    return f->area.x + f->area.w * axis_at(&f->x, v);
}

static double at_y(const frame *f, double v) {
    return f->area.y + f->area.h * (1 - axis_at(&f->y, v));
}

/* The outline is drawn stronger than the inside, so that what lies behind shows. */
static void paint(cairo_t *cr, rgb c, double opacity) {
    cairo_set_source_rgba(cr, c.r, c.g, c.b, opacity);
    cairo_fill_preserve(cr);
    ink_set(cr, c);
    cairo_set_line_width(cr, 1.1);
    cairo_stroke(cr);
}

static void draw_shapes(const view *v, const frame *f, const double *value) {
    rect a = f->area;
    cairo_t *cr = v->cr;
    cairo_save(cr);
    cairo_rectangle(cr, a.x, a.y, a.w, a.h);
    cairo_clip(cr);
    if (isfinite(value[ORTHO])) {
        cairo_rectangle(cr, at_x(f, -value[ORTHO]), a.y - 4, at_x(f, value[ORTHO]) - at_x(f, -value[ORTHO]), a.h + 8);
        paint(cr, colour_of(ORTHO), 0.13);
    }
    if (isfinite(value[INNER])) {
        cairo_rectangle(cr, a.x - 4, at_y(f, value[INNER]), a.w + 8, at_y(f, -value[INNER]) - at_y(f, value[INNER]));
        paint(cr, colour_of(INNER), 0.16);
    }
    cairo_new_path(cr);
    for (int i = 0; i < 360 && isfinite(value[NORM]); i++) {
        double angle = 2 * M_PI * i / 360;
        cairo_line_to(cr, at_x(f, value[NORM] * cos(angle)), at_y(f, value[NORM] * sin(angle)));
    }
    cairo_close_path(cr);
    if (isfinite(value[NORM])) paint(cr, colour_of(NORM), 0.16);
    cairo_restore(cr);
}

static void draw_target(const view *v, rect cell, const double *value) {
    double foot = 2.35 * v->font + AXES_TICK, side = fmin(cell.w - 3.4 * v->font, cell.h - foot);
    const ink name = { v->font, 0, INK_CENTRE, ink_grey };
    axis range = range_of(value);
    if (side < 4 * v->font) return;
    frame f = { { cell.x + 3.4 * v->font, cell.y, fmax(side, 1), fmax(side, 1) }, range, range, v->column, v->snap };
    axes_draw(v->cr, &f, v->font, 1, "across g");
    view_rotated(v, &name, cell.x + 0.9 * v->font, f.area.y + side / 2, "along g");
    draw_shapes(v, &f, value);
    double x = at_x(&f, 0), y = at_y(&f, 0), r = 0.5 * v->font;
    ink_set(v->cr, ink_text);
    cairo_set_line_width(v->cr, 1);
    cairo_move_to(v->cr, x - r, y);
    cairo_line_to(v->cr, x + r, y);
    cairo_move_to(v->cr, x, y - r);
    cairo_line_to(v->cr, x, y + r);
    cairo_stroke(v->cr);
}

static plot strip_of(const view *v, const line *l, int k, int upper) {
    const panel *p = view_panel(v, key[k], strlen(key[k]));
    return (plot){
        .title = key[k],
        .label = "",
        .unit = "",
        .scale = AXIS_LOG,
        .x = v->steps,
        .main = l,
        .n_main = 1,
        .smooth = v->smooth,
        .font = 0.94 * v->font,
        .upper = upper,
        .band = p ? p->band : NULL,
        .column = v->column,
        .snap = v->snap,
    };
}

/* The three over the steps, one above the other. */
static int32_t draw_strips(const view *v, rect cell, const line *l, const int *has, int count) {
    double left = 0, right = 0, foot = 2.35 * v->font, h = (cell.h - foot) / count;
    int32_t status = PITOT_OK;
    for (int k = 0; k < TESTS; k++) {
        plot p = strip_of(v, &l[k], k, 1);
        if (has[k]) plot_margins(v->cr, &p, h, &left, &right);
    }
    for (int k = 0, i = 0; k < TESTS && status == PITOT_OK; k++) {
        if (!has[k]) continue;
        plot p = strip_of(v, &l[k], k, i < count - 1);
        p.left = left;
        p.right = right;
        status = plot_draw(v->cr, (rect){ cell.x, cell.y + i * h, cell.w, i == count - 1 ? h + foot : h }, &p);
        i++;
    }
    return status;
}

int32_t tests_draw(const view *v) {
    line l[TESTS];
    double value[TESTS] = { NAN, NAN, NAN };
    int has[TESTS], count = 0;
    int64_t newest = -1;
    for (int k = 0; k < TESTS; k++) {
        pitot_series s;
        has[k] = view_series(v, key[k], &s);
        if (!has[k]) continue;
        l[k] = (line){ key[k], s.step, s.value, s.n, colour_of(k), 0, NULL, 0 };
        if (s.step[s.n - 1] > newest) newest = s.step[s.n - 1];
        count++;
    }
    if (count == 0) return view_hint(v, key[NORM], NULL);
    for (int k = 0; k < TESTS; k++)
        if (has[k] && l[k].step[l[k].n - 1] == newest) value[k] = l[k].value[l[k].n - 1];
    char note[48], step[32];
    format_value((double)newest, 12, step, sizeof step);
    snprintf(note, sizeof note, "step %s", step);
    rect body = view_head(v, v->what->label, note);
    double side = fmin(0.5 * body.w, body.h - 2.35 * v->font - AXES_TICK + 3.4 * v->font), gap = 1.2 * v->font;
    draw_target(v, (rect){ body.x, body.y + 0.4 * v->font, side, body.h - 0.4 * v->font }, value);
    return draw_strips(v, (rect){ body.x + side + gap, body.y, body.w - side - gap, body.h }, l, has, count);
}
