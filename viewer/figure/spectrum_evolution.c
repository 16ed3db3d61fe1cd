/* spectrum_evolution.c: how a spectrum changes over checkpoints. See spectrum.h. */

#include "spectrum.h"

#include "spectrum_shape.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINES = 5 }; /* eigenvalues at each end that are drawn as lines */

static const double narrow = 0.05, deepest = 1e-6, rule = 0.6;

typedef struct series {
    const spectrum *s;
    int n;
} series;

typedef struct sheet {
    cairo_t *cr;
    const surface_page *page;
    const spectrum *s;
    int n, by_step;
    double font;
    frame f;
    double most, least; /* of the density's colours */
} sheet;

static double step_of(const sheet *t, int k) {
    return t->by_step ? (double)t->s[k].step : k;
}

static int steps_ascend(const spectrum *s, int n) {
    for (int k = 0; k < n; k++)
        if (s[k].step < 0 || (k && s[k].step <= s[k - 1].step)) return 0;
    return 1;
}

/* ---- axes ---- */

/* One for all: their nodes together, and the eigenvalues. */
static int32_t find_axis(const sheet *t, axis *y) {
    int64_t room = 0, n = 0, m = 0;
    for (int k = 0; k < t->n; k++) room += (int64_t)t->s[k].draws * t->s[k].steps;
    double *node = calloc((size_t)room + 1, sizeof *node), *weight = calloc((size_t)room + 1, sizeof *weight);
    double *value = calloc((size_t)t->n * (2 * SPECTRUM_PAIRS + 1), sizeof *value);
    int32_t status = node && weight && value ? PITOT_OK : PITOT_ENOMEM;
    for (int k = 0; k < t->n && !status; k++) {
        const spectrum *s = &t->s[k];
        int64_t from = n;
        n += spectrum_nodes_of(s, node + n, weight + n, room - n);
        for (; from < n; from++) weight[from] /= t->n;
        for (int32_t i = 0; i < s->n_top; i++) value[m++] = s->top[i].value;
        for (int32_t i = 0; i < s->n_bottom; i++) value[m++] = s->bottom[i].value;
        if (s->limit > 0 && s->n_top && s->limit < 30 * fabs(s->top[0].value)) value[m++] = s->limit;
    }
    spectrum_nodes q = { node, weight, n, t->s->parameters };
    if (!status) *y = spectrum_axis(&q, value, m);
    for (int64_t k = 0, at = 0; k < t->n && !status; k++) { /* as wide around 0 as the one that tells least there */
        int64_t own = 0;
        for (int32_t i = 0; i < t->s[k].draws; i++) own += t->s[k].used[i];
        for (int64_t i = at; i < at + own; i++) weight[i] *= t->n;
        y->linear = fmax(y->linear, spectrum_axis(&(spectrum_nodes){ node + at, weight + at, own, 1 }, NULL, 0).linear);
        at += own;
    }
    free(node), free(weight), free(value);
    return status;
}

static axis steps_axis(const sheet *t) {
    double lo = step_of(t, 0), hi = step_of(t, t->n - 1), pad = t->n > 1 ? 0.5 * (hi - lo) / (t->n - 1) : 0.5;
    return (axis){ AXIS_LINEAR, lo - pad, hi + pad, 0 };
}

/* ---- the map ---- */

static double edge(const sheet *t, int k) { /* between checkpoints k-1 and k */
    double v = k <= 0 ? t->f.x.lo : k >= t->n ? t->f.x.hi : (step_of(t, k - 1) + step_of(t, k)) / 2;
    return t->f.area.x + t->f.area.w * axis_at(&t->f.x, v);
}

static int32_t column_of(const sheet *t, int k, double *out, int64_t rows) {
    const spectrum *s = &t->s[k];
    int64_t room = (int64_t)s->draws * s->steps;
    double *node = calloc((size_t)room + 1, sizeof *node), *weight = calloc((size_t)room + 1, sizeof *weight);
    if (node && weight) {
        spectrum_nodes q = { node, weight, spectrum_nodes_of(s, node, weight, room), s->parameters };
        if (!spectrum_is_density(s)) q.n = 0;
        spectrum_density(&t->f.y, &q, narrow, out, rows);
    }
    free(node), free(weight);
    return node && weight ? PITOT_OK : PITOT_ENOMEM;
}

static double share_of(const sheet *t, double v) {
    return v > t->least ? log(v / t->least) / log(t->most / t->least) : -1;
}

static int32_t draw_map(sheet *t) {
    int64_t rows = (int64_t)fmax(t->f.area.h / 1.2, 2);
    double *v = calloc((size_t)(t->n * rows), sizeof *v), h = t->f.area.h / (double)rows;
    int32_t status = v ? PITOT_OK : PITOT_ENOMEM;
    t->most = 0;
    for (int k = 0; k < t->n && !status; k++) status = column_of(t, k, v + k * rows, rows);
    for (int64_t i = 0; i < t->n * rows && !status; i++) t->most = fmax(t->most, v[i]);
    spectrum_nodes one = { .parameters = t->s->parameters };
    t->least = fmax(0.3 * spectrum_single(&one, narrow), deepest * t->most);
    t->least = fmin(t->least, t->most / 10);
    cairo_save(t->cr);
    cairo_set_antialias(t->cr, CAIRO_ANTIALIAS_NONE);
    for (int k = 0; k < t->n && !status; k++)
        for (int64_t i = 0; i < rows; i++) {
            double share = share_of(t, v[k * rows + i]);
            if (share < 0) continue;
            ink_set(t->cr, ink_mix((rgb){ 1, 1, 1 }, ink_heat(share), fmin(1, 0.25 + 1.5 * share)));
            cairo_rectangle(t->cr, edge(t, k), t->f.area.y + t->f.area.h - (double)(i + 1) * h, edge(t, k + 1) - edge(t, k), h);
            cairo_fill(t->cr);
        }
    cairo_restore(t->cr);
    free(v);
    return status;
}

/* ---- lines over it ---- */

static double value_of(const spectrum *s, int top, int i) {
    int32_t n = top ? s->n_top : s->n_bottom;
    return i < n ? (top ? s->top : s->bottom)[i].value : NAN;
}

static void draw_line(const sheet *t, int top, int i, rgb colour, double width) {
    for (int pass = 0; pass < 2; pass++) { /* white below, so that it is seen on any colour */
        cairo_new_path(t->cr);
        for (int k = 0; k < t->n; k++) {
            double v = value_of(&t->s[k], top, i), x = t->f.area.x + t->f.area.w * axis_at(&t->f.x, step_of(t, k)),
                   y = t->f.area.y + t->f.area.h * (1 - axis_at(&t->f.y, v));
            if (isnan(v)) cairo_new_sub_path(t->cr);
            else cairo_line_to(t->cr, x, y);
        }
        cairo_set_line_width(t->cr, pass ? width : width + 1.2);
        cairo_set_line_join(t->cr, CAIRO_LINE_JOIN_ROUND);
        ink_set(t->cr, pass ? colour : (rgb){ 1, 1, 1 });
        cairo_stroke(t->cr);
    }
    for (int k = 0; k < t->n && t->n <= 60 && i == 0; k++) {
        double v = value_of(&t->s[k], top, i);
        if (isnan(v)) continue;
        cairo_arc(t->cr, t->f.area.x + t->f.area.w * axis_at(&t->f.x, step_of(t, k)),
                  t->f.area.y + t->f.area.h * (1 - axis_at(&t->f.y, v)), 1.7, 0, 2 * M_PI);
        ink_set(t->cr, colour);
        cairo_fill(t->cr);
    }
}

static void draw_limit(const sheet *t) {
    static const double dashes[] = { 4, 2.5 };
    const spectrum *s = &t->s[t->n - 1];
    double at = axis_at(&t->f.y, s->limit), y = t->f.area.y + t->f.area.h * (1 - at);
    char text[96], number[32];
    if (!(at > 0 && at < 1)) return;
    ink_set(t->cr, ink_alarm);
    cairo_set_line_width(t->cr, 1.1);
    cairo_set_dash(t->cr, dashes, 2, 0);
    cairo_move_to(t->cr, t->f.area.x, y);
    cairo_line_to(t->cr, t->f.area.x + t->f.area.w, y);
    cairo_stroke(t->cr);
    cairo_set_dash(t->cr, NULL, 0, 0);
    format_value(s->limit, 3, number, sizeof number);
    snprintf(text, sizeof text, "%s = %s", s->limit_name, number);
    ink i = { 0.95 * t->font, 0, INK_LEFT, ink_alarm };
    ink_draw(t->cr, &i, t->f.area.x + 3, y - 0.4 * t->font, text);
}

static void draw_lines(const sheet *t) {
    cairo_save(t->cr);
    cairo_rectangle(t->cr, t->f.area.x, t->f.area.y, t->f.area.w, t->f.area.h);
    cairo_clip(t->cr);
    for (int i = LINES - 1; i >= 0; i--) {
        draw_line(t, 0, i, i ? ink_mix(ink_run(3), (rgb){ 1, 1, 1 }, 0.35) : ink_run(3), i ? 0.7 : 1.5);
        draw_line(t, 1, i, i ? ink_mix(ink_run(1), (rgb){ 1, 1, 1 }, 0.35) : ink_run(1), i ? 0.7 : 1.5);
    }
    draw_limit(t);
    cairo_restore(t->cr);
}

/* ---- scale, legend, trace ---- */

static void draw_scale(const sheet *t, double x, double y, double h) {
    ink number = { 0.92 * t->font, 0, INK_LEFT, ink_text }, name = { t->font, 0, INK_CENTRE, ink_grey };
    axis a = { AXIS_LOG, t->least, t->most, 0 };
    ticks k;
    if (!(t->least < t->most)) return;
    for (int i = 0; i < 64; i++) {
        double share = (i + 0.5) / 64;
        ink_set(t->cr, ink_mix((rgb){ 1, 1, 1 }, ink_heat(share), fmin(1, 0.25 + 1.5 * share)));
        cairo_rectangle(t->cr, x, y + h * (63 - i) / 64, 0.9 * t->font, h / 64 + 0.2);
        cairo_fill(t->cr);
    }
    axes_ticks_left(&a, h, t->font, &k);
    for (int i = 0; i < k.n; i++)
        if (!k.tick[i].minor)
            ink_number(t->cr, &number, x + 1.3 * t->font, y + h * (1 - axis_at(&a, k.tick[i].value)) + 0.33 * t->font,
                       k.tick[i].label);
    spectrum_upright(t->cr, &name, x + 5.2 * t->font, y + h / 2, "share of the eigenvalues per decade");
}

static void draw_legend(const sheet *t, double y) {
    static const char *const names[] = { "smallest", "largest" };
    ink name = { t->font, 0, INK_RIGHT, ink_text };
    double x = t->f.area.x + t->f.area.w;
    for (int i = 0; i < 2; i++) {
        x -= ink_draw(t->cr, &name, x, y, names[i]) + 0.4 * t->font;
        ink_set(t->cr, ink_run(i ? 1 : 3));
        cairo_rectangle(t->cr, x - 1.6 * t->font, y - 0.45 * t->font, 1.6 * t->font, 1.5);
        cairo_fill(t->cr);
        x -= 2.6 * t->font;
    }
}

static void draw_trace(const sheet *t, rect area) {
    frame f = { .area = area, .x = t->f.x, .column = t->page->column, .snap = t->page->snap };
    double *v = calloc(2 * (size_t)t->n, sizeof *v);
    if (!v) return;
    for (int k = 0; k < t->n; k++) {
        double e = isfinite(t->s[k].trace.error) ? t->s[k].trace.error : 0;
        v[2 * k] = t->s[k].trace.value - e, v[2 * k + 1] = t->s[k].trace.value + e;
    }
    f.y = axis_fit(AXIS_LINEAR, v, 2 * t->n);
    axes_draw(t->cr, &f, t->font, 1, t->by_step ? "step" : "checkpoint");
    cairo_set_line_width(t->cr, 1);
    ink_set(t->cr, ink_run(0));
    for (int pass = 0; pass < 2; pass++)
        for (int k = 0; k < t->n; k++) {
            double x = area.x + area.w * axis_at(&f.x, step_of(t, k));
            if (!isfinite(v[2 * k])) continue;
            if (pass) {
                cairo_move_to(t->cr, x, area.y + area.h * (1 - axis_at(&f.y, v[2 * k])));
                cairo_line_to(t->cr, x, area.y + area.h * (1 - axis_at(&f.y, v[2 * k + 1])));
                cairo_stroke(t->cr);
            } else cairo_line_to(t->cr, x, area.y + area.h * (1 - axis_at(&f.y, t->s[k].trace.value)));
            if (!pass && k == t->n - 1) cairo_stroke(t->cr);
        }
    cairo_new_path(t->cr);
    free(v);
}

/* ---- the page ---- */

static double draw_top(const sheet *t, rect area) {
    char text[512];
    ink big = { 1.65 * t->font, 1, INK_LEFT, ink_text }, grey = { t->font, 0, INK_LEFT, ink_grey };
    spectrum_title(t->s, text, sizeof text);
    ink_fit(t->cr, &big, area.x, area.y + big.size, area.w, text);
    spectrum_subtitle(t->s, text, sizeof text);
    ink_fit(t->cr, &grey, area.x, area.y + big.size + 1.9 * t->font, area.w, text);
    return big.size + 3.0 * t->font;
}

static void head(const sheet *t, double y, const char *title, const char *label) {
    ink bold = { 1.1 * t->font, 1, INK_LEFT, ink_text }, grey = { t->font, 0, INK_LEFT, ink_grey };
    double x = t->f.area.x + ink_draw(t->cr, &bold, t->f.area.x, y, title) + 0.8 * t->font;
    ink_draw(t->cr, &grey, x, y, label);
}

static int32_t draw_sheet(cairo_t *cr, const surface_page *page) {
    const series *of = page->user;
    sheet t = { .cr = cr, .page = page, .s = of->s, .n = of->n, .by_step = steps_ascend(of->s, of->n) };
    t.font = fmin(fmax(page->width / 75, 5), 9);
    double margin = 1.6 * t.font, inset = 4.6 * t.font, side = 7.5 * t.font;
    rect area = { margin, margin, page->width - 2 * margin, page->height - 2 * margin };
    double used = draw_top(&t, area) + 2.2 * t.font, foot = 3.2 * t.font, between = 3.4 * t.font;
    double room = area.h - used - foot - between;
    t.f = (frame){ .area = { area.x + inset, area.y + used, area.w - inset - side, 0.76 * room },
                   .column = page->column,
                   .snap = page->snap };
    t.f.x = steps_axis(&t);
    int32_t status = find_axis(&t, &t.f.y);
    if (!status) status = draw_map(&t);
    if (status) return status;
    axes_draw(cr, &t.f, t.font, 1, NULL);
    cairo_set_line_width(cr, rule);
    draw_lines(&t);
    head(&t, t.f.area.y - 0.7 * t.font, "Eigenvalues", "density, and both ends");
    draw_legend(&t, t.f.area.y - 0.7 * t.font);
    draw_scale(&t, t.f.area.x + t.f.area.w + 1.2 * t.font, t.f.area.y, t.f.area.h);
    rect lower = { t.f.area.x, t.f.area.y + t.f.area.h + between, t.f.area.w, 0.24 * room };
    head(&t, lower.y - 0.7 * t.font, "Trace", "with standard error");
    draw_trace(&t, lower);
    return PITOT_OK;
}

int32_t spectrum_evolution_figure(const char *path, const spectrum *s, int n, const spectrum_look *look, pitot_error *error) {
    char title[128];
    series of = { s, n };
    if (n < 1) return pitot_fail(error, PITOT_EINVAL, "figure: there is no spectrum");
    fact_list facts = spectrum_facts(s);
    spectrum_title(s, title, sizeof title);
    surface_page page = { .width = 72 * (look && look->width > 0 ? look->width : 8),
                          .height = 72 * (look && look->height > 0 ? look->height : 5.4),
                          .dpi = look && look->dpi > 0 ? look->dpi : 200,
                          .title = title,
                          .facts = &facts,
                          .draw = draw_sheet,
                          .user = &of };
    return surface_write(path, &page, error);
}
