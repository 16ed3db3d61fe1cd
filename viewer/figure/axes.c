/* axes.c: the left and the lower side of a plot: ticks that do not touch, their labels, grid lines. See figure.h. */

#include "figure.h"

#include <math.h>
#include <string.h>

static const double rule = 0.6;

/* ---- ticks that do not touch ------------------------------------------------------------------------------------------ */

static int touch_upwards(const axis *a, const ticks *t, double length, double font) {
    double before = -INFINITY;
    for (int i = 0; i < t->n; i++) {
        if (t->tick[i].minor) continue;
        double at = length * axis_at(a, t->tick[i].value);
        if (at - before < 1.25 * font) return 1;
        before = at;
    }
    return 0;
}

/* What would still touch the label below loses its own. */
static void keep_apart(const axis *a, ticks *t, double length, double font) {
    double before = -INFINITY;
    for (int i = 0; i < t->n; i++) {
        double at = length * axis_at(a, t->tick[i].value);
        if (t->tick[i].minor) continue;
        if (at - before < 1.25 * font) t->tick[i].minor = 1;
        else before = at;
    }
}

void axes_ticks_left(const axis *a, double length, double font, ticks *t) {
    int wanted = (int)(length / (2.7 * font) + 0.7);
    wanted = wanted < 2 ? 2 : wanted > 6 ? 6 : wanted;
    do t->n = axis_ticks(a, wanted, t->tick, AXES_TICKS);
    while (touch_upwards(a, t, length, font) && --wanted > 0);
    keep_apart(a, t, length, font);
}

static int touch_sideways(cairo_t *cr, const axis *a, const ticks *t, double length, const ink *i) {
    double before = -INFINITY;
    for (int k = 0; k < t->n; k++) {
        if (t->tick[k].minor) continue;
        double w = ink_number_width(cr, i, t->tick[k].label), at = length * axis_at(a, t->tick[k].value);
        if (at - w / 2 - before < 0.9 * i->size) return 1;
        before = at + w / 2;
    }
    return 0;
}

/* Steps are whole numbers, and so are their ticks. */
static void keep_whole(ticks *t) {
    int n = 0;
    for (int k = 0; k < t->n; k++)
        if (t->tick[k].value == floor(t->tick[k].value)) t->tick[n++] = t->tick[k];
    for (int k = 0; k < n; k++) { /* labels may have digits for the ticks that went */
        double v = t->tick[k].value;
        if (n < t->n && fabs(v) < 1e6) format_value(v, 6, t->tick[k].label, sizeof t->tick[k].label);
    }
    t->n = n;
}

void axes_ticks_below(cairo_t *cr, const axis *a, double length, double font, int whole, ticks *t) {
    const ink i = { font, 0, INK_CENTRE, ink_text };
    int wanted = (int)(length / ((whole ? 5.5 : 3.2) * font));
    wanted = wanted < 1 ? 1 : wanted > 8 ? 8 : wanted;
    do {
        t->n = axis_ticks(a, wanted, t->tick, AXES_TICKS);
        if (whole) keep_whole(t);
    } while (touch_sideways(cr, a, t, length, &i) && --wanted > 0);
}

double axes_left_width(cairo_t *cr, const axis *a, double length, double font) {
    const ink number = { font, 0, INK_LEFT, ink_text };
    double width = 0;
    ticks t;
    axes_ticks_left(a, length, font, &t);
    for (int i = 0; i < t.n; i++) width = fmax(width, ink_number_width(cr, &number, t.tick[i].label) + AXES_TICK + 0.45 * font);
    return width;
}

/* ---- drawing --------------------------------------------------------------------------------------------------------- */

double axes_pixel(cairo_t *cr, const frame *f, double v, int vertical) {
    if (!f->snap) return v;
    double x = vertical ? 0 : v, y = vertical ? v : 0;
    cairo_user_to_device(cr, &x, &y);
    x = floor(x) + 0.5;
    y = floor(y) + 0.5;
    cairo_device_to_user(cr, &x, &y);
    return vertical ? y : x;
}

static void straight(cairo_t *cr, double x0, double y0, double x1, double y1) {
    cairo_move_to(cr, x0, y0);
    cairo_line_to(cr, x1, y1);
    cairo_stroke(cr);
}

static void draw_left(cairo_t *cr, const frame *f, double font) {
    ink number = { font, 0, INK_RIGHT, ink_text };
    double x = axes_pixel(cr, f, f->area.x, 0);
    ticks t;
    axes_ticks_left(&f->y, f->area.h, font, &t);
    for (int i = 0; i < t.n; i++) {
        const tick *k = &t.tick[i];
        double at = f->area.y + f->area.h * (1 - axis_at(&f->y, k->value)), y = axes_pixel(cr, f, at, 1);
        cairo_set_line_width(cr, rule);
        ink_set(cr, ink_grid);
        if (!k->minor) straight(cr, x, y, f->area.x + f->area.w, y);
        ink_set(cr, ink_grey);
        cairo_set_line_width(cr, k->minor ? 0.6 * rule : rule);
        straight(cr, x - (k->minor ? 0.6 : 1) * AXES_TICK, y, x, y);
        ink_number(cr, &number, f->area.x - AXES_TICK - 0.35 * font, at + 0.36 * font, k->label);
    }
}

static void draw_below(cairo_t *cr, const frame *f, double font, const char *name) {
    ink number = { font, 0, INK_CENTRE, ink_text }, what = { font, 0, INK_CENTRE, ink_grey };
    double bottom = f->area.y + f->area.h, y = axes_pixel(cr, f, bottom, 1);
    ticks t;
    axes_ticks_below(cr, &f->x, f->area.w, font, !name || strcmp(name, "step") == 0, &t);
    cairo_set_line_width(cr, rule);
    for (int i = 0; i < t.n; i++) {
        double at = f->area.x + f->area.w * axis_at(&f->x, t.tick[i].value), x = axes_pixel(cr, f, at, 0);
        if (t.tick[i].minor && f->x.scale == AXIS_LINEAR) continue;
        ink_set(cr, ink_grid);
        if (!t.tick[i].minor) straight(cr, x, f->area.y, x, y);
        ink_set(cr, ink_grey);
        straight(cr, x, y, x, y + (t.tick[i].minor ? 0.6 : 1) * AXES_TICK);
        if (name) ink_number(cr, &number, at, bottom + AXES_TICK + 1.0 * font, t.tick[i].label);
    }
    if (name) ink_draw(cr, &what, f->area.x + f->area.w / 2, bottom + AXES_TICK + 2.15 * font, name);
}

/* A zero that lies inside is drawn stronger than the grid. */
static void draw_zero(cairo_t *cr, const frame *f, int upright) {
    double y = axis_at(&f->y, 0), x = axis_at(&f->x, 0);
    cairo_set_line_width(cr, rule);
    ink_set(cr, ink_mix(ink_grid, ink_grey, 0.45));
    if (f->y.scale != AXIS_LOG && y > 0 && y < 1) {
        y = axes_pixel(cr, f, f->area.y + f->area.h * (1 - y), 1);
        straight(cr, f->area.x, y, f->area.x + f->area.w, y);
    }
    if (upright && f->x.scale != AXIS_LOG && x > 0 && x < 1) {
        x = axes_pixel(cr, f, f->area.x + f->area.w * x, 0);
        straight(cr, x, f->area.y, x, f->area.y + f->area.h);
    }
}

void axes_draw(cairo_t *cr, const frame *f, double font, int left, const char *below) {
    double x = axes_pixel(cr, f, f->area.x, 0), y = axes_pixel(cr, f, f->area.y + f->area.h, 1);
    cairo_set_line_cap(cr, CAIRO_LINE_CAP_BUTT);
    if (left) draw_left(cr, f, font);
    draw_below(cr, f, font, below);
    draw_zero(cr, f, below && strcmp(below, "step") != 0);
    cairo_set_line_width(cr, rule);
    ink_set(cr, ink_grey);
    if (left) straight(cr, x, f->area.y, x, y);
    straight(cr, x, y, f->area.x + f->area.w, y);
}
