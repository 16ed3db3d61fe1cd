/* spectrum_numbers.c: what a spectrum's figure says in words and numbers. See spectrum.h. */

#include "spectrum.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *last_part(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static const char *kind_name(const char *kind) {
    static const char *const names[][2] = { { "hessian", "Hessian" },
                                            { "ggn", "Gauss-Newton matrix" },
                                            { "ggn_mc", "sampled Gauss-Newton matrix" },
                                            { "empirical_fisher", "empirical Fisher matrix" } };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i][0], kind) == 0) return names[i][1];
    return kind;
}

void spectrum_title(const spectrum *s, char *out, size_t size) {
    snprintf(out, size, "Spectrum of the %s%s%s%s%s", kind_name(s->kind), s->preconditioned[0] ? " preconditioned by " : "",
             s->preconditioned, s->group[0] ? ", " : "", s->group);
}

void spectrum_subtitle(const spectrum *s, char *out, size_t size) {
    char d[32], n[32];
    format_value((double)s->parameters, 16, d, sizeof d);
    format_value((double)s->samples, 16, n, sizeof n);
    snprintf(out, size, "%s   %s parameters   %s samples of %s", last_part(s->model), d, n, s->data);
}

fact_list spectrum_facts(const spectrum *s) {
    fact_list f = { .n = 5 };
    snprintf(f.fact[0].key, sizeof f.fact[0].key, "operator");
    snprintf(f.fact[0].value, sizeof f.fact[0].value, "%s%s%s", s->kind[0] ? s->kind : "?",
             s->preconditioned[0] ? ", preconditioned by " : "", s->preconditioned);
    snprintf(f.fact[1].key, sizeof f.fact[1].key, "model");
    snprintf(f.fact[1].value, sizeof f.fact[1].value, "%.230s", s->model[0] ? s->model : "?");
    snprintf(f.fact[2].key, sizeof f.fact[2].key, "weights");
    snprintf(f.fact[2].value, sizeof f.fact[2].value, "%.230s", s->weights[0] ? s->weights : "?");
    snprintf(f.fact[3].key, sizeof f.fact[3].key, "data");
    snprintf(f.fact[3].value, sizeof f.fact[3].value, "%.200s, %lld samples", s->data, (long long)s->samples);
    snprintf(f.fact[4].key, sizeof f.fact[4].key, "precision");
    snprintf(f.fact[4].value, sizeof f.fact[4].value, "%s", s->precision[0] ? s->precision : "?");
    return f;
}

void spectrum_upright(cairo_t *cr, const ink *i, double x, double y, const char *text) {
    cairo_save(cr);
    cairo_translate(cr, x, y);
    cairo_rotate(cr, -1.5707963267948966);
    ink_draw(cr, i, 0, 0, text);
    cairo_restore(cr);
}

/* ---- rows of a name and a number ---- */

typedef struct column {
    cairo_t *cr;
    rect area;
    double font, y;
} column;

static int has_room(const column *c, double lines) {
    return c->y + lines * 1.5 * c->font <= c->area.y + c->area.h;
}

/* NAME, then at the right VALUE, or VALUE +- ERROR. */
static void row(column *c, const char *name, double value, double error, const char *before, const char *behind) {
    ink key = { c->font, 0, INK_LEFT, ink_grey }, number = { c->font, 0, INK_RIGHT, ink_text };
    char text[48];
    double x = c->area.x + c->area.w;
    if (!has_room(c, 1)) return;
    c->y += 1.5 * c->font;
    if (*behind) x -= ink_draw(c->cr, &number, x, c->y, behind) + 0.25 * c->font;
    if (isfinite(error)) {
        ink pale = number;
        pale.colour = ink_grey;
        format_value(error, 2, text, sizeof text);
        ink_number(c->cr, &pale, x, c->y, text);
        x -= ink_number_width(c->cr, &pale, text) + 0.3 * c->font;
        x -= ink_draw(c->cr, &pale, x, c->y, "\xc2\xb1") + 0.3 * c->font;
    }
    format_value(value, 4, text, sizeof text);
    if (isfinite(value)) {
        ink_number(c->cr, &number, x, c->y, text);
        x -= ink_number_width(c->cr, &number, text) + 0.3 * c->font;
    } else
        x -= ink_draw(c->cr, &number, x, c->y, isnan(value) ? "?" : value > 0 ? "\xe2\x88\x9e" : "-\xe2\x88\x9e") + 0.3 * c->font;
    if (*before) x -= ink_draw(c->cr, &number, x, c->y, before) + 0.3 * c->font;
    ink_fit(c->cr, &key, c->area.x, c->y, x - c->area.x, name);
}

static void words(column *c, const char *text, rgb colour) {
    ink plain = { c->font, 0, INK_LEFT, colour };
    if (!has_room(c, 1)) return;
    c->y += 1.5 * c->font;
    ink_fit(c->cr, &plain, c->area.x, c->y, c->area.w, text);
}

static void head(column *c, const char *text) {
    ink bold = { c->font, 1, INK_LEFT, ink_text };
    if (!has_room(c, 2.4)) return;
    c->y += 2 * c->font;
    ink_draw(c->cr, &bold, c->area.x, c->y, text);
}

static void add_moments(column *c, const spectrum *s) {
    char name[64], number[24];
    if (!s->draws) return;
    row(c, "trace", s->trace.value, s->trace.error, "", "");
    row(c, "Frobenius norm", sqrt(s->frobenius.value), s->frobenius.error / (2 * sqrt(s->frobenius.value)), "", "");
    if (!spectrum_is_density(s)) return;
    row(c, "negative eigenvalues", 100 * s->negative_mass.value, 100 * s->negative_mass.error, "", "%");
    row(c, "their share of \xce\xa3|\xce\xbb|", 100 * s->negative_energy.value, 100 * s->negative_energy.error, "", "%");
    format_value(s->damping, 2, number, sizeof number);
    snprintf(name, sizeof name, "dimension, \xce\xb4 = %s", number);
    row(c, name, s->dimension.value, s->dimension.error, "", "");
    row(c, "condition", s->condition, NAN,
        !isfinite(s->condition)      ? ""
        : strcmp(s->kind, "hessian") ? "\xe2\x89\xa5"
                                     : "\xe2\x89\x88",
        "");
}

static void add_pairs(column *c, const char *name, const spectrum_pair *p, int32_t n, int32_t most) {
    if (n < 2 || !has_room(c, 4)) return;
    head(c, name);
    for (int32_t i = 0; i < n && i < most; i++) {
        char rank[32];
        snprintf(rank, sizeof rank, "%d%s", (int)i + 1, p[i].converged ? "" : " not converged");
        row(c, rank, p[i].value, p[i].residual, "", "");
    }
}

void spectrum_numbers(cairo_t *cr, const spectrum *s, rect area, double font) {
    column c = { cr, area, font, area.y };
    head(&c, "Numbers");
    row(&c, "loss", s->loss, NAN, "", "");
    if (s->n_top) row(&c, "largest", s->top[0].value, s->top[0].residual, "", "");
    if (s->n_bottom) row(&c, "smallest", s->bottom[0].value, s->bottom[0].residual, "", "");
    add_moments(&c, s);
    if (s->limit_name[0]) {
        char name[64];
        snprintf(name, sizeof name, "limit %s", s->limit_name);
        row(&c, name, s->limit, NAN, "", "");
        if (s->n_top) row(&c, "largest over limit", s->top[0].value / s->limit, NAN, "", "");
    }
    row(&c, "products", (double)s->products, NAN, "", "");
    if (!s->complete) words(&c, "interrupted: partial", ink_alarm);
    else if (!s->converged) words(&c, "not all eigenvalues converged", ink_alarm);
    double left = (area.y + area.h - c.y) / (1.5 * font);
    int32_t most = (int32_t)fmax((left - 4) / 2, 2);
    add_pairs(&c, "Largest, residual", s->top, s->n_top, most);
    add_pairs(&c, "Smallest, residual", s->bottom, s->n_bottom, most);
}
