/* layers.c: a quantity of every tensor over the steps, as colours: tensors from the input down, steps to the right. See page.h.

   Columns of steps and rows of tensors that would be finer than can be seen are joined; the largest value of each is shown, so that no
   spike is lost, and what is not finite wins over everything. */

#include "page.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_COLUMNS = 240 };

typedef struct raster {
    double *value; /* (rows, columns): -Inf: nothing there, NaN: something not finite */
    int64_t rows, columns;
    int64_t per_row; /* tensors that share a row */
    double least, most;
    int all_positive;
} raster;

static void note_value(double *cell, double v) {
    if (isnan(*cell)) return;
    if (!isfinite(v)) *cell = NAN;
    else if (v > *cell) *cell = v;
}

static int64_t column_at(const raster *r, const axis *steps, int64_t step) {
    int64_t k = (int64_t)(axis_at(steps, (double)step) * (double)r->columns);
    return k < 0 ? 0 : k >= r->columns ? r->columns - 1 : k;
}

/* A value stands until the next one: a quantity that is tracked every k steps has no holes, one that stopped ends. */
static void fill_row(const raster *r, const axis *steps, const pitot_series *s, double *row) {
    int64_t usual = s->n > 1 ? (s->step[s->n - 1] - s->step[0]) / (s->n - 1) : 1;
    for (int64_t i = 0; i < s->n; i++) {
        int64_t next = i + 1 < s->n ? s->step[i + 1] : s->step[i] + usual;
        if (next - s->step[i] > 4 * usual) next = s->step[i] + usual; /* a gap stays one */
        int64_t from = column_at(r, steps, s->step[i]), to = column_at(r, steps, next);
        note_value(&row[from], s->value[i]);
        for (int64_t k = from + 1; k < to; k++) note_value(&row[k], s->value[i]);
    }
}

static void find_range(raster *r) {
    r->least = INFINITY;
    r->most = -INFINITY;
    r->all_positive = 1;
    for (int64_t i = 0; i < r->rows * r->columns; i++) {
        double v = r->value[i];
        if (!isfinite(v)) continue;
        if (v < 0) r->all_positive = 0;
        if (v > r->most) r->most = v;
        if (v < r->least && v != 0) r->least = v;
    }
    if (r->least > r->most) r->least = r->most;
}

static int32_t make_raster(const view *v, const panel *p, rect area, raster *r) {
    double rows = fmax(area.h / 2, 1); /* two points a row at least */
    r->per_row = (int64_t)ceil((double)p->n / rows);
    r->rows = (p->n + r->per_row - 1) / r->per_row;
    double span = v->steps.hi - v->steps.lo, columns = fmin(fmax(area.w / 1.2, 1), MOST_COLUMNS);
    r->columns = (int64_t)fmax(1, span < columns ? ceil(span) : columns);
    r->value = malloc((size_t)(r->rows * r->columns) * sizeof *r->value);
    if (!r->value) return PITOT_ENOMEM;
    for (int64_t i = 0; i < r->rows * r->columns; i++) r->value[i] = -INFINITY;
    for (int64_t i = 0; i < p->n; i++) {
        pitot_series s;
        if (pitot_log_series(v->log, v->list->series[p->first + i], &s) == PITOT_OK)
            fill_row(r, &v->steps, &s, r->value + i / r->per_row * r->columns);
    }
    find_range(r);
    return PITOT_OK;
}

/* Level of a value between the extremes, on a log scale if all are positive. */
static int level_of(const raster *r, double v) {
    if (isnan(v)) return HEAT_ALARM;
    if (!isfinite(v)) return HEAT_NONE;
    double t = r->all_positive && r->least > 0 ? (v > 0 ? log(v / r->least) / log(r->most / r->least) : 0)
                                               : (v - r->least) / (r->most - r->least);
    if (!(r->most > r->least)) t = 0.5;
    return (int)(fmin(fmax(t, 0), 1) * (HEAT_LEVELS - 1));
}

static int32_t draw_raster(const view *v, rect a, const raster *r) {
    heat h;
    if (!heat_make(&h, r->columns, r->rows)) return PITOT_ENOMEM;
    for (int64_t i = 0; i <= r->columns; i++) h.x[i] = a.x + a.w * (double)i / (double)r->columns;
    for (int64_t j = 0; j <= r->rows; j++) h.y[j] = a.y + a.h * (double)j / (double)r->rows;
    for (int64_t i = 0; i < r->rows * r->columns; i++) h.level[i] = (signed char)level_of(r, r->value[i]);
    heat_draw(v, &h, ink_cividis);
    heat_free(&h);
    return PITOT_OK;
}

static const char *tensor_name(const view *v, const panel *p, int64_t i) {
    pitot_series s;
    if (pitot_log_series(v->log, v->list->series[p->first + i], &s) != PITOT_OK) return "";
    const char *slash = strchr(s.name, '/');
    return slash ? slash + 1 : s.name;
}

static double names_width(const view *v, const panel *p, double most) {
    const ink name = { 0.92 * v->font, 0, INK_RIGHT, ink_text };
    double width = 0;
    for (int64_t i = 0; i < p->n && i < 512; i++) width = fmax(width, ink_width(v->cr, &name, tensor_name(v, p, i)));
    return fmin(width, most);
}

/* Every row's name where there is room, else every second, fifth, ... */
static void draw_names(const view *v, rect a, const panel *p, const raster *r, double width) {
    double h = a.h / (double)r->rows;
    int64_t stride = (int64_t)ceil(1.1 * v->font / h);
    for (int64_t i = 0; i < r->rows; i += stride) {
        const char *name = tensor_name(v, p, i * r->per_row);
        ink text = { 0.92 * v->font, 0, INK_LEFT, ink_text };
        double w = fmin(ink_width(v->cr, &text, name), width);
        ink_fit(v->cr, &text, a.x - 0.5 * v->font - w, a.y + ((double)i + 0.5) * h + 0.34 * v->font, w + 0.01, name);
    }
}

int32_t layers_draw(const view *v) {
    const panel *p = view_panel(v, v->what->keys, strlen(v->what->keys));
    raster r;
    if (!p || p->n == 0) return view_hint(v, NULL, NULL);
    rect body = { v->cell.x, v->cell.y + 1.88 * v->font, v->cell.w, v->cell.h - 1.88 * v->font };
    double names = names_width(v, p, 0.24 * body.w), foot = 2.35 * v->font + AXES_TICK;
    rect a = { body.x + names + 0.7 * v->font, body.y, body.w - names - v->font, body.h - foot };
    int bare = a.w < 8 * v->font || a.h < 3 * v->font;
    if (bare) a = body;
    if (a.w < 1 || a.h < 1) return PITOT_OK;
    if (make_raster(v, p, a, &r) != PITOT_OK) return PITOT_ENOMEM;
    frame f = { a, v->steps, { AXIS_LINEAR, 0, 1, 0 }, v->column, v->snap };
    if (!bare) axes_draw(v->cr, &f, v->font, 0, "step");
    int32_t status = draw_raster(v, a, &r);
    if (!bare) draw_names(v, a, p, &r, names);
    if (!bare && r.most >= r.least) view_head_scaled(v, v->what->label, "", r.least, r.most, ink_cividis);
    free(r.value);
    return status;
}
