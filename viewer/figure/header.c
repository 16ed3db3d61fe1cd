/* header.c: the runs' facts on top of a page. See page.h. */

#include "page.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct flow { /* pieces of text set one after the other into lines */
    cairo_t *cr;
    double left, right, x, y, leading;
    int lines, most, draw;
} flow;

/* Moves to the next line if the piece does not fit; 0 if there are no more. */
static int flow_take(flow *f, double width) {
    if (f->x > f->left && f->x + width > f->right) {
        if (f->lines == f->most) return 0;
        f->x = f->left;
        f->y += f->leading;
        f->lines++;
    }
    return f->lines <= f->most;
}

const char *header_value(const fact_list *facts, const char *key) {
    for (int i = 0; i < facts->n; i++)
        if (strcmp(facts->fact[i].key, key) == 0) return facts->fact[i].value;
    return "";
}

int header_common(const page *p, const char *key) {
    for (int r = 1; r < p->n; r++)
        if (strcmp(header_value(&p->facts[r], key), header_value(&p->facts[0], key)) != 0) return 0;
    return 1;
}

static void flow_fact(flow *f, const page *p, const char *key, const char *value) {
    ink name = { p->font, 0, INK_LEFT, ink_grey }, text = { p->font, 0, INK_LEFT, ink_text };
    double w = ink_width(f->cr, &name, key), gap = 0.4 * p->font;
    double room = fmin(ink_width(f->cr, &text, value), f->right - f->left - w - gap);
    if (!flow_take(f, w + gap + room)) return;
    if (f->draw) ink_draw(f->cr, &name, f->x, f->y, key);
    if (f->draw) ink_fit(f->cr, &text, f->x + w + gap, f->y, room + 0.01, value);
    f->x += w + gap + room + 1.7 * p->font;
}

/* What distinguishes run r from the others: "optimizer adam: lr=0.001". */
static void difference(const page *p, int r, char *out, size_t size) {
    static const char *const telling[] = { "model", "data", "optimizer", "batch", "seed", "steps" };
    out[0] = 0;
    for (size_t i = 0; i < sizeof telling / sizeof *telling; i++) {
        const char *value = header_value(&p->facts[r], telling[i]);
        size_t n = strlen(out);
        if (!*value || header_common(p, telling[i])) continue;
        int named = strcmp(telling[i], "optimizer") != 0 && strcmp(telling[i], "model") != 0;
        snprintf(out + n, size - n, "%s%s%s%s", n ? ", " : "", named ? telling[i] : "", named ? " " : "", value);
    }
}

static void flow_run(flow *f, const page *p, int r) {
    char text[400];
    ink name = { p->font, 1, INK_LEFT, ink_text }, rest = { p->font, 0, INK_LEFT, ink_grey };
    difference(p, r, text, sizeof text);
    double key = 2.4 * p->font, gap = 0.6 * p->font, all = f->right - f->left - key - 3 * gap;
    double w_name = fmin(ink_width(f->cr, &name, p->run[r].name), all);
    double w_rest = fmin(text[0] ? ink_width(f->cr, &rest, text) : 0, all - w_name);
    if (!flow_take(f, key + gap + w_name + gap + w_rest)) return;
    if (f->draw) {
        ink_set(f->cr, ink_run(r));
        ink_dash(f->cr, r);
        cairo_set_line_width(f->cr, 2);
        cairo_move_to(f->cr, f->x, f->y - 0.35 * p->font);
        cairo_line_to(f->cr, f->x + key, f->y - 0.35 * p->font);
        cairo_stroke(f->cr);
        cairo_set_dash(f->cr, NULL, 0, 0);
        ink_fit(f->cr, &name, f->x + key + gap, f->y, w_name + 0.01, p->run[r].name);
        if (w_rest > 0) ink_fit(f->cr, &rest, f->x + key + gap + w_name + gap, f->y, w_rest + 0.01, text);
    }
    f->x += key + gap + w_name + gap + w_rest + 2 * p->font;
}

static void flow_facts(flow *f, const page *p) {
    for (int i = 0; i < p->facts[0].n; i++) {
        const char *key = p->facts[0].fact[i].key;
        if (header_common(p, key)) flow_fact(f, p, key, p->facts[0].fact[i].value);
    }
}

/* Draws it, or with draw 0 only measures it. Returns its height. */
double header_draw(cairo_t *cr, const page *p, rect area, int draw) {
    char title[300];
    ink big = { 1.65 * p->font, 1, INK_LEFT, ink_text };
    snprintf(title, sizeof title, "%s", p->run[0].name);
    if (p->n > 1) snprintf(title, sizeof title, "%d runs", p->n);
    double y = area.y + big.size;
    if (draw) ink_fit(cr, &big, area.x, y, area.w, title);
    int room = (int)(p->height / 80);
    flow f = { cr, area.x, area.x + area.w, area.x, y + 2.0 * p->font, 1.55 * p->font, 1, room < 3 ? room : 3, draw };
    flow_facts(&f, p);
    if (p->n > 1) {
        if (f.x > f.left) f.x = f.left, f.y += f.leading;
        f.lines = 1;
        f.most = room;
        for (int r = 0; r < p->n; r++) flow_run(&f, p, r);
    }
    return (f.x > f.left ? f.y + 0.4 * p->font : y + 0.5 * p->font) - area.y;
}
