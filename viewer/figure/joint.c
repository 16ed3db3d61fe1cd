/* joint.c: gradient elements against the parameters that they belong to: counts of the newest step as colours, with both marginals;
   and the same of each tensor, small. See page.h. */

#include "page.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SMALL = 24 };

static const char counts_key[] = "grad_hist_2d.counts", x_key[] = "grad_hist_2d.x_edges", y_key[] = "grad_hist_2d.y_edges";

/* log(count+1) over log(most+1) */
static int level_of(const counts *c, double n) {
    return n > 0 ? (int)((HEAT_LEVELS - 1) * log1p(n) / log1p(fmax(c->most, 1))) : HEAT_NONE;
}

static int32_t draw_cells(const view *v, const frame *f, const counts *c) {
    heat h;
    if (!heat_make(&h, c->nx, c->ny)) return PITOT_ENOMEM;
    for (int64_t i = 0; i <= c->nx; i++) h.x[i] = f->area.x + f->area.w * axis_at(&f->x, c->x[i]);
    for (int64_t j = 0; j <= c->ny; j++) h.y[j] = f->area.y + f->area.h * (1 - axis_at(&f->y, c->y[j]));
    for (int64_t i = 0; i < c->nx; i++)
        for (int64_t j = 0; j < c->ny; j++) h.level[j * c->nx + i] = (signed char)level_of(c, c->count[i * c->ny + j]);
    heat_draw(v, &h, ink_heat);
    heat_free(&h);
    return PITOT_OK;
}

/* Sums over the other direction as bars of log(sum+1), on top (along x) or at the right (along y). */
static void draw_marginal(const view *v, const frame *f, const counts *c, int along_y, rect a) {
    int64_t n = along_y ? c->ny : c->nx, m = along_y ? c->nx : c->ny;
    double most = 1;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < n; i++) {
            double sum = 0;
            for (int64_t j = 0; j < m; j++) sum += c->count[along_y ? j * c->ny + i : i * c->ny + j];
            most = fmax(most, sum);
            if (pass == 0 || !(sum > 0)) continue;
            double share = log1p(sum) / log1p(most), b0, b1;
            b0 = along_y ? axis_at(&f->y, c->y[i]) : axis_at(&f->x, c->x[i]);
            b1 = along_y ? axis_at(&f->y, c->y[i + 1]) : axis_at(&f->x, c->x[i + 1]);
            if (along_y) cairo_rectangle(v->cr, a.x, a.y + a.h * (1 - b1), a.w * share, a.h * (b1 - b0));
            else cairo_rectangle(v->cr, a.x + a.w * b0, a.y + a.h * (1 - share), a.w * (b1 - b0), a.h * share);
        }
    ink_set(v->cr, ink_mix(v->accent, (rgb){ 1, 1, 1 }, 0.35));
    cairo_fill(v->cr);
}

static frame frame_of(const view *v, rect a, const counts *c) {
    return (frame){ a, { AXIS_LINEAR, c->x[0], c->x[c->nx], 0 }, { AXIS_LINEAR, c->y[0], c->y[c->ny], 0 }, v->column, v->snap };
}

static int32_t draw_joint(const view *v, rect body, const counts *c) {
    const ink name = { v->font, 0, INK_CENTRE, ink_grey };
    double left = fmax(v->left, 3.6 * v->font), foot = 2.35 * v->font + AXES_TICK, up = 0.16 * body.h, beside = 0.12 * body.w;
    rect a = { body.x + left, body.y + up + 1.5, body.w - left - beside - 1.5, body.h - up - 1.5 - foot };
    if (a.w < 8 * v->font || a.h < 4 * v->font) a = body, up = beside = 0;
    frame f = frame_of(v, a, c);
    if (up > 0) axes_draw(v->cr, &f, v->font, 1, "element of a sample's gradient");
    int32_t status = draw_cells(v, &f, c);
    if (up > 0) draw_marginal(v, &f, c, 0, (rect){ a.x, body.y, a.w, up });
    if (up > 0) draw_marginal(v, &f, c, 1, (rect){ a.x + a.w + 1.5, a.y, beside, a.h });
    if (up > 0) view_rotated(v, &name, body.x + 0.9 * v->font, a.y + a.h / 2, "parameter");
    return status;
}

static void step_note(const counts *c, char *note, size_t size) {
    char step[32];
    format_value((double)c->step, 12, step, sizeof step);
    snprintf(note, size, "step %s", step);
}

int32_t joint_draw(const view *v) {
    counts c;
    char note[48];
    int has = counts_read(v->log, counts_key, x_key, y_key, INT64_MAX, &c);
    if (has < 0) return has;
    if (has == 0 && pitot_log_find_list(v->log, counts_key) >= 0)
        return view_hint(v, NULL, "its counts and edges do not fit together");
    if (has == 0) return view_hint(v, counts_key, NULL);
    step_note(&c, note, sizeof note);
    rect body = view_head_scaled(v, v->what->label, note, 0, c.most, ink_heat);
    int32_t status = draw_joint(v, body, &c);
    counts_free(&c);
    return status;
}

/* ---- per tensor -------------------------------------------------------------------------------------------------------- */

static const char *tensor_of(const char *name) {
    size_t n = sizeof counts_key - 1;
    return strncmp(name, counts_key, n) == 0 && name[n] == '/' && name[n + 1] ? name + n + 1 : NULL;
}

int64_t joints_count(const pitot_log *log) {
    pitot_list list;
    int64_t n = 0;
    for (int64_t i = 0; pitot_log_list(log, i, &list) == PITOT_OK; i++) n += tensor_of(list.name) && list.n > 0;
    return n;
}

/* A tensor may have edges of its own; else those of the whole net are its. */
static int read_tensor(const pitot_log *log, const char *name, counts *c) {
    char x[512], y[512];
    snprintf(x, sizeof x, "%s/%s", x_key, tensor_of(name));
    snprintf(y, sizeof y, "%s/%s", y_key, tensor_of(name));
    if (pitot_log_find_list(log, x) < 0) snprintf(x, sizeof x, "%s", x_key);
    if (pitot_log_find_list(log, y) < 0) snprintf(y, sizeof y, "%s", y_key);
    return counts_read(log, name, x, y, INT64_MAX, c);
}

static int32_t draw_small(const view *v, rect cell, const char *name) {
    const ink title = { v->font, 0, INK_LEFT, ink_text };
    counts c;
    int has = read_tensor(v->log, name, &c);
    if (has < 0) return has;
    ink_fit(v->cr, &title, cell.x, cell.y + v->font, cell.w, tensor_of(name));
    rect a = { cell.x, cell.y + 1.5 * v->font, fmax(cell.w, 1), fmax(cell.h - 1.5 * v->font, 1) };
    ink_set(v->cr, ink_mix(ink_grid, ink_grey, 0.35));
    cairo_set_line_width(v->cr, 0.6);
    cairo_rectangle(v->cr, a.x, a.y, a.w, a.h);
    cairo_stroke(v->cr);
    if (!has) return PITOT_OK;
    frame f = frame_of(v, a, &c);
    double x = axis_at(&f.x, 0), y = axis_at(&f.y, 0);
    int32_t status = draw_cells(v, &f, &c);
    ink_set(v->cr, ink_grey);
    cairo_set_line_width(v->cr, 0.4);
    if (x > 0 && x < 1) cairo_move_to(v->cr, a.x + a.w * x, a.y), cairo_line_to(v->cr, a.x + a.w * x, a.y + a.h);
    if (y > 0 && y < 1) cairo_move_to(v->cr, a.x, a.y + a.h * (1 - y)), cairo_line_to(v->cr, a.x + a.w, a.y + a.h * (1 - y));
    cairo_stroke(v->cr);
    counts_free(&c);
    return status;
}

int32_t joints_draw(const view *v) {
    int64_t n = joints_count(v->log), drawn = 0, most = n < MOST_SMALL ? n : MOST_SMALL;
    rect cell[MOST_SMALL];
    pitot_list list;
    char note[64] = "";
    int32_t status = PITOT_OK;
    if (n == 0) return view_hint(v, NULL, "no 2-d histograms of single tensors in this log: see `pitot list probes grad_hist_2d`");
    if (n > most) snprintf(note, sizeof note, "the first %d of %lld tensors", MOST_SMALL, (long long)n);
    rect body = view_head(v, v->what->label, note);
    layout_cells(body, most, cell);
    for (int64_t i = 0; drawn < most && status == PITOT_OK && pitot_log_list(v->log, i, &list) == PITOT_OK; i++)
        if (tensor_of(list.name) && list.n > 0) status = draw_small(v, cell[drawn++], list.name);
    return status;
}
