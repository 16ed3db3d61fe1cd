/* history.c: see history.h. */

#include "term/history.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "term/reading.h"

enum { LABELS = 8, LABELLED_COLS = 28, STEPPED_ROWS = 4, TICKS = 32 };

typedef struct drawing {
    screen *s;
    const history *h;
    place plot, labels, steps;
    int64_t first, last; /* steps in sight */
    int count;           /* bins of a line */
    axis y;
} drawing;

static void divide(drawing *d, place at) {
    int left = d->h->labelled && at.cols >= LABELLED_COLS && at.rows >= 2 ? LABELS : 0;
    int below = d->h->stepped && at.rows >= STEPPED_ROWS;
    d->labels = (place){ at.row, at.col, left ? at.rows - below : 0, left };
    d->plot = (place){ at.row, at.col + left, at.rows - below, at.cols - left };
    d->steps = (place){ at.row + at.rows - 1, d->plot.col, below, d->plot.cols };
}

/* ---- the axis -------------------------------------------------------------------------------------------------------- */

/* Extremes of the bins stand for all values. */
static int32_t fit(drawing *d) {
    int64_t n = 0;
    double *v = calloc((size_t)d->count * HISTORY_LINES * 3 + 1, sizeof *v);
    if (!v) return PITOT_ENOMEM;
    for (int i = 0; i < d->count * d->h->lines; i++) {
        const bin *b = &d->s->bins[i];
        if (!b->n) continue;
        v[n++] = b->min;
        v[n++] = b->max;
        v[n++] = b->least;
    }
    if (isfinite(d->h->level)) v[n++] = d->h->level;
    d->y = axis_fit(d->h->scale, v, n);
    free(v);
    return PITOT_OK;
}

static int row_of(const drawing *d, double v) {
    double at = axis_at(&d->y, v);
    return at >= 0 && at <= 1 ? d->plot.rows - 1 - (int)(floor(at * (4.0 * d->plot.rows - 1) + 0.5) / 4) : -1;
}

static void draw_labels(const drawing *d) {
    tick t[TICKS];
    canvas *c = &d->s->canvas;
    int n = d->labels.rows ? axis_ticks(&d->y, d->plot.rows < 6 ? 2 : d->plot.rows / 2, t, TICKS) : 0, last = d->plot.rows;
    for (int row = 0; row < d->labels.rows; row++)
        canvas_put(c, d->labels.row + row, d->labels.col + LABELS - 1, c->ascii ? '|' : 0x2502, PEN_AXIS);
    for (int i = 0; i < n; i++) {
        int row = row_of(d, t[i].value);
        if (t[i].minor || row < 0 || row >= last) continue;
        canvas_text_right(c, d->labels.row + row, d->labels.col + LABELS - 1, LABELS - 1, t[i].label, PEN_DIM);
        canvas_put(c, d->labels.row + row, d->labels.col + LABELS - 1, c->ascii ? '+' : 0x2524, PEN_AXIS);
        last = row;
    }
}

/* ---- steps ----------------------------------------------------------------------------------------------------------- */

static int col_of(const drawing *d, double step) {
    double lo = (double)d->first, hi = (double)d->last;
    double share = hi > lo ? (step - lo) / (hi - lo) : 0;
    return share >= 0 && share <= 1 ? (int)(share * (d->count - 1) + 0.5) / 2 : -1;
}

static void draw_steps(const drawing *d) {
    axis x = { AXIS_LINEAR, (double)d->first, (double)d->last, 0 };
    tick t[TICKS];
    int n = d->steps.rows ? axis_ticks(&x, d->steps.cols / 14 + 2, t, TICKS) : 0, free_from = d->steps.col;
    for (int i = 0; i < n; i++) {
        int length = (int)strlen(t[i].label), from = d->steps.col + col_of(d, t[i].value) - length / 2;
        if (t[i].minor || t[i].value != floor(t[i].value)) continue;
        if (from < d->steps.col) from = d->steps.col;
        if (from + length > d->steps.col + d->steps.cols) from = d->steps.col + d->steps.cols - length;
        if (from < free_from) continue;
        canvas_text(&d->s->canvas, d->steps.row, from, length, t[i].label, PEN_DIM);
        free_from = from + length + 2;
    }
}

/* ---- all of it ------------------------------------------------------------------------------------------------------- */

static void draw_marks(const drawing *d) {
    canvas *c = &d->s->canvas;
    int row = row_of(d, d->h->level), col = d->h->mark >= 0 ? col_of(d, (double)d->h->mark) : -1;
    for (int i = 0; i < d->plot.cols && row >= 0 && isfinite(d->h->level); i++)
        canvas_put(c, d->plot.row + row, d->plot.col + i, c->ascii ? '-' : 0x254c, PEN_WARN);
    for (int i = 0; i < d->plot.rows && col >= 0; i++)
        canvas_put(c, d->plot.row + i, d->plot.col + col, c->ascii ? '|' : 0x2502, PEN_AXIS);
}

int32_t history_draw(screen *s, const shown *all, place at, const history *h) {
    drawing d = { .s = s, .h = h };
    if (at.rows < 1 || at.cols < 1) return PITOT_OK;
    divide(&d, at);
    reading_range(s, all, &d.first, &d.last);
    d.count = 2 * d.plot.cols;
    if (!screen_reserve(s, (int64_t)d.count * HISTORY_LINES)) return PITOT_ENOMEM;
    for (int k = 0; k < h->lines; k++) bins_fill(s->bins + k * d.count, d.count, (double)d.first, (double)d.last, &h->line[k]);
    int32_t status = fit(&d);
    if (status != PITOT_OK) return status;
    draw_marks(&d);
    for (int k = h->lines - 1; k >= 0; k--) canvas_line(&s->canvas, d.plot, &d.y, s->bins + k * d.count, h->pen[k]);
    for (int k = h->lines - 1; k >= 0; k--) canvas_marks(&s->canvas, d.plot, s->bins + k * d.count, PEN_ALARM);
    draw_labels(&d);
    draw_steps(&d);
    return PITOT_OK;
}
