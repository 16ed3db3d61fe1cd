/* spectrum.c: one spectrum on a page. See spectrum.h.

       Spectrum of the Hessian
       model   D parameters   N samples
       share per decade                          Numbers
       1 |      _/\_                 o  o  o|      trace   12 +- 1
         |   __/    \__              |  |  ||      ...
       0 +-----------------------------------|    Largest, residual
       1 |           ______----------------        1  10.1 +- 0.01
       0 +----------+-------------------------
       -0.1         0      0.1     1      10
                     eigenvalue
*/

#include "spectrum.h"

#include "spectrum_shape.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 172 }; /* points for the numbers */

static const double narrow = 0.035;             /* units: standard deviation of a single eigenvalue */
static const double deepest = 1e-7, rule = 0.6; /* of the density's axis, below its top */

typedef struct sheet {
    cairo_t *cr;
    const surface_page *page;
    const spectrum *s;
    spectrum_nodes q;
    double *node, *weight;
    int is_density;
    axis x;
    double font, left, width; /* of the plots */
} sheet;

/* ---- axes ---- */

static int include_limit(const spectrum *s) {
    double most = s->n_top ? fabs(s->top[0].value) : 0;
    return s->limit > 0 && s->limit < 1e3 * fmax(most, 1e-300);
}

static axis find_axis(const sheet *f) {
    double values[2 * SPECTRUM_PAIRS + 1];
    int64_t m = 0;
    for (int32_t i = 0; i < f->s->n_top; i++) values[m++] = f->s->top[i].value;
    for (int32_t i = 0; i < f->s->n_bottom; i++) values[m++] = f->s->bottom[i].value;
    if (include_limit(f->s)) values[m++] = f->s->limit;
    spectrum_nodes q = f->q;
    double sizes[2 * SPECTRUM_PAIRS];
    if (!q.n) { /* eigenvalues alone: they are the mass */
        int64_t n = f->s->n_top + f->s->n_bottom;
        for (int64_t i = 0; i < n; i++) sizes[i] = 1 / (double)n;
        q = (spectrum_nodes){ values, sizes, n, f->s->parameters };
    }
    return spectrum_axis(&q, values, m);
}

static void straight(cairo_t *cr, double x0, double y0, double x1, double y1) {
    cairo_move_to(cr, x0, y0);
    cairo_line_to(cr, x1, y1);
    cairo_stroke(cr);
}

/* The upper plot's share of the axis below: lines without labels. */
static void draw_upright(cairo_t *cr, const frame *f, double font) {
    ticks t;
    axes_ticks_below(cr, &f->x, f->area.w, font, 0, &t);
    cairo_set_line_width(cr, rule);
    for (int i = 0; i < t.n; i++) {
        double x = axes_pixel(cr, f, f->area.x + f->area.w * axis_at(&f->x, t.tick[i].value), 0), bottom = f->area.y + f->area.h;
        if (t.tick[i].minor) continue;
        ink_set(cr, t.tick[i].value == 0 ? ink_mix(ink_grid, ink_grey, 0.45) : ink_grid);
        straight(cr, x, f->area.y, x, bottom);
        ink_set(cr, ink_grey);
        straight(cr, x, bottom, x, bottom + AXES_TICK);
    }
}

static double place_x(const frame *f, double v) {
    return f->area.x + f->area.w * axis_at(&f->x, v);
}

/* ---- the density ---- */

static void fill_curve(cairo_t *cr, const frame *f, const double *v, int64_t n, rgb colour) {
    double bottom = f->area.y + f->area.h;
    for (int pass = 0; pass < 2; pass++) {
        cairo_new_path(cr);
        if (!pass) cairo_move_to(cr, f->area.x, bottom);
        for (int64_t i = 0; i < n; i++) {
            double at = v[i] > f->y.lo ? axis_at(&f->y, v[i]) : 0;
            cairo_line_to(cr, f->area.x + f->area.w * ((double)i + 0.5) / (double)n, bottom - f->area.h * fmin(at, 1));
        }
        if (!pass) cairo_line_to(cr, f->area.x + f->area.w, bottom);
        ink_set(cr, pass ? colour : ink_pale(colour));
        cairo_set_line_width(cr, 0.9);
        cairo_set_line_join(cr, CAIRO_LINE_JOIN_ROUND);
        if (pass) cairo_stroke(cr);
        else cairo_fill(cr);
    }
}

/* A stem as high as a single eigenvalue is in the density, with its residual as error bar. */
static void draw_stems(cairo_t *cr, const frame *f, const spectrum_pair *p, int32_t n, double height, rgb colour) {
    double bottom = f->area.y + f->area.h, top = bottom - f->area.h * height;
    for (int32_t i = n - 1; i >= 0; i--) {
        double x = place_x(f, p[i].value), lo = place_x(f, p[i].value - p[i].residual), hi = place_x(f, p[i].value + p[i].residual);
        if (!(x >= f->area.x && x <= f->area.x + f->area.w)) continue;
        ink_set(cr, colour);
        cairo_set_line_width(cr, 0.9);
        straight(cr, x, bottom, x, top);
        if (hi - lo > 5) { /* as wide as the head, or it is not seen */
            straight(cr, lo, top, hi, top);
            straight(cr, lo, top - 2, lo, top + 2);
            straight(cr, hi, top - 2, hi, top + 2);
        }
        cairo_new_path(cr);
        cairo_arc(cr, x, top, 2.3, 0, 2 * M_PI);
        if (p[i].converged) cairo_fill_preserve(cr);
        else cairo_set_source_rgb(cr, 1, 1, 1), cairo_fill_preserve(cr);
        ink_set(cr, p[i].converged ? (rgb){ 1, 1, 1 } : colour);
        cairo_set_line_width(cr, 0.5);
        cairo_stroke(cr);
    }
}

static void draw_limit(cairo_t *cr, const frame *f, const spectrum *s, double font, int named) {
    static const double dashes[] = { 4, 2.5 };
    double x = place_x(f, s->limit);
    if (!include_limit(s) || !(x > f->area.x && x < f->area.x + f->area.w)) return;
    ink_set(cr, ink_alarm);
    cairo_set_line_width(cr, 1.1);
    cairo_set_dash(cr, dashes, 2, 0);
    straight(cr, x, f->area.y, x, f->area.y + f->area.h);
    cairo_set_dash(cr, NULL, 0, 0);
    if (!named) return;
    char text[96], number[32];
    format_value(s->limit, 3, number, sizeof number);
    snprintf(text, sizeof text, "%s = %s", s->limit_name, number);
    ink i = { 0.95 * font, 0, INK_RIGHT, ink_alarm };
    if (x - f->area.x < ink_width(cr, &i, text) + 4) i.align = INK_LEFT;
    ink_draw(cr, &i, x + (i.align == INK_LEFT ? 3 : -3), f->area.y + 1.0 * font, text);
}

/* What the marks are, from the right edge leftwards. */
static void draw_legend(const sheet *f, double y) {
    const struct {
        int there;
        const char *text;
        rgb colour;
    } list[] = { { f->s->n_bottom > 0, "smallest", ink_run(3) }, { f->s->n_top > 0, "largest", ink_run(1) } };
    ink name = { f->font, 0, INK_RIGHT, ink_text };
    double x = f->left + f->width;
    for (int i = 0; i < 2; i++) {
        char text[32];
        if (!list[i].there) continue;
        snprintf(text, sizeof text, "%d %s", (int)(i ? f->s->n_top : f->s->n_bottom), list[i].text);
        x -= ink_draw(f->cr, &name, x, y, text) + 0.7 * f->font;
        ink_set(f->cr, list[i].colour);
        cairo_arc(f->cr, x, y - 0.35 * f->font, 2.3, 0, 2 * M_PI);
        cairo_fill(f->cr);
        x -= 1.4 * f->font;
    }
}

static void draw_head(const sheet *f, double y, const char *title, const char *label) {
    ink bold = { 1.1 * f->font, 1, INK_LEFT, ink_text }, grey = { f->font, 0, INK_LEFT, ink_grey };
    double x = f->left + ink_draw(f->cr, &bold, f->left, y, title) + 0.8 * f->font;
    ink_draw(f->cr, &grey, x, y, label);
}

static int32_t draw_density(const sheet *f, rect area, const char *below) {
    frame fr = { .area = area, .x = f->x, .column = f->page->column, .snap = f->page->snap };
    int64_t columns = (int64_t)fmax(area.w / fr.column, 2);
    double *v = calloc((size_t)columns, sizeof *v), single = spectrum_single(&f->q, narrow), most = single;
    if (!v) return PITOT_ENOMEM;
    if (f->is_density) spectrum_density(&f->x, &f->q, narrow, v, columns);
    for (int64_t i = 0; i < columns; i++) most = fmax(most, v[i]);
    double floor_at = fmin(fmax(single / 8, most * deepest), most / 100);
    fr.y = (axis){ AXIS_LOG, floor_at, most * pow(most / floor_at, 0.14), 0 };
    draw_upright(f->cr, &fr, f->font);
    if (f->is_density) axes_draw(f->cr, &fr, f->font, 1, below);
    else {
        fr.y = (axis){ AXIS_LINEAR, 0, 1, 0 };
        axes_draw(f->cr, &fr, f->font, 0, below);
    }
    cairo_save(f->cr);
    cairo_rectangle(f->cr, area.x, area.y - 3, area.w, area.h + 3);
    cairo_clip(f->cr);
    if (f->is_density) fill_curve(f->cr, &fr, v, columns, ink_run(0));
    double height = f->is_density ? fmax(axis_at(&fr.y, single), 0.06) : 0.6;
    draw_stems(f->cr, &fr, f->s->bottom, f->s->n_bottom, height, ink_run(3));
    draw_stems(f->cr, &fr, f->s->top, f->s->n_top, height, ink_run(1));
    cairo_restore(f->cr);
    draw_limit(f->cr, &fr, f->s, f->font, 1);
    free(v);
    return PITOT_OK;
}

/* ---- the cumulative curve: of each draw, and of all ---- */

static void stroke_steps(cairo_t *cr, const frame *f, const double *v, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        cairo_line_to(cr, f->area.x + f->area.w * ((double)i + 1) / (double)n, f->area.y + f->area.h * (1 - axis_at(&f->y, v[i])));
    cairo_stroke(cr);
}

static int32_t draw_cumulative(const sheet *f, rect area) {
    frame fr = { .area = area, .x = f->x, .y = { AXIS_LINEAR, 0, 1.04, 0 }, .column = f->page->column, .snap = f->page->snap };
    int64_t columns = (int64_t)fmax(area.w / fr.column, 2), at = 0;
    double *v = calloc((size_t)columns, sizeof *v);
    if (!v) return PITOT_ENOMEM;
    axes_draw(f->cr, &fr, f->font, 1, "eigenvalue");
    cairo_set_line_join(f->cr, CAIRO_LINE_JOIN_MITER);
    cairo_set_line_width(f->cr, 0.5);
    ink_set(f->cr, ink_pale(ink_run(0)));
    for (int32_t i = 0; i < f->s->draws && f->s->draws > 1; at += f->s->used[i++]) {
        spectrum_nodes one = { f->node + at, f->s->weight + (int64_t)i * f->s->steps, f->s->used[i], f->s->parameters };
        spectrum_cumulative(&f->x, &one, v, columns);
        stroke_steps(f->cr, &fr, v, columns);
    }
    spectrum_cumulative(&f->x, &f->q, v, columns);
    cairo_set_line_width(f->cr, 1.2);
    ink_set(f->cr, ink_run(0));
    stroke_steps(f->cr, &fr, v, columns);
    draw_limit(f->cr, &fr, f->s, f->font, 0);
    free(v);
    return PITOT_OK;
}

/* ---- the page ---- */

static double draw_top(const sheet *f, rect area) {
    char text[512];
    ink big = { 1.65 * f->font, 1, INK_LEFT, ink_text }, grey = { f->font, 0, INK_LEFT, ink_grey };
    spectrum_title(f->s, text, sizeof text);
    ink_fit(f->cr, &big, area.x, area.y + big.size, area.w, text);
    spectrum_subtitle(f->s, text, sizeof text);
    ink_fit(f->cr, &grey, area.x, area.y + big.size + 1.9 * f->font, area.w, text);
    ink_fit(f->cr, &grey, area.x, area.y + big.size + 3.4 * f->font, area.w, f->s->weights);
    return big.size + 4.4 * f->font;
}

static int32_t draw_plots(sheet *f, rect area) {
    double head = 1.9 * f->font, foot = 3.2 * f->font, between = 1.6 * f->font, room = area.h - head - foot;
    if (!f->is_density) {
        draw_head(f, area.y + 1.2 * f->font, "Eigenvalues", "at both ends");
        draw_legend(f, area.y + 1.2 * f->font);
        return draw_density(f, (rect){ f->left, area.y + head, f->width, room }, "eigenvalue");
    }
    room -= head + between;
    rect upper = { f->left, area.y + head, f->width, 0.68 * room };
    rect lower = { f->left, upper.y + upper.h + between + head, f->width, 0.32 * room };
    draw_head(f, area.y + 1.2 * f->font, "Density", "share of the eigenvalues per decade");
    draw_legend(f, area.y + 1.2 * f->font);
    draw_head(f, lower.y - 0.7 * f->font, "Cumulative", "share of the eigenvalues below");
    int32_t status = draw_density(f, upper, NULL);
    return status ? status : draw_cumulative(f, lower);
}

static int32_t draw_sheet(cairo_t *cr, const surface_page *page) {
    const spectrum *s = page->user;
    sheet f = { .cr = cr, .page = page, .s = s, .font = fmin(fmax(page->width / 75, 5), 9) };
    int64_t room = (int64_t)s->draws * s->steps;
    double margin = 1.6 * f.font;
    f.node = calloc((size_t)room + 1, sizeof *f.node);
    f.weight = calloc((size_t)room + 1, sizeof *f.weight);
    int32_t status = f.node && f.weight ? PITOT_OK : PITOT_ENOMEM;
    if (!status) {
        f.q = (spectrum_nodes){ f.node, f.weight, spectrum_nodes_of(s, f.node, f.weight, room), s->parameters };
        f.is_density = spectrum_is_density(s);
        f.x = find_axis(&f);
        rect area = { margin, margin, page->width - 2 * margin, page->height - 2 * margin };
        double used = draw_top(&f, area), side = fmin(SIDE * f.font / 7.7, 0.4 * area.w), inset = 3.6 * f.font;
        f.left = area.x + inset;
        f.width = area.w - inset - side - 2 * f.font;
        status = draw_plots(&f, (rect){ area.x, area.y + used, area.w, area.h - used });
        spectrum_numbers(cr, s, (rect){ area.x + area.w - side, area.y + used - 1.0 * f.font, side, area.h - used + f.font },
                         f.font);
    }
    free(f.node);
    free(f.weight);
    return status;
}

int32_t spectrum_figure(const char *path, const spectrum *s, const spectrum_look *look, pitot_error *error) {
    char title[128];
    fact_list facts = spectrum_facts(s);
    spectrum_title(s, title, sizeof title);
    surface_page page = { .width = 72 * (look && look->width > 0 ? look->width : 8),
                          .height = 72 * (look && look->height > 0 ? look->height
                                          : spectrum_is_density(s) ? 5.4
                                                                   : 4.2),
                          .dpi = look && look->dpi > 0 ? look->dpi : 200,
                          .title = title,
                          .facts = &facts,
                          .draw = draw_sheet,
                          .user = (void *)(uintptr_t)s };
    return surface_write(path, &page, error);
}
