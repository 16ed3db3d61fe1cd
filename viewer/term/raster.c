/* raster.c: see raster.h. */

#include "term/raster.h"

#include <math.h>
#include <stdlib.h>

enum { LONG_GAP = 4 }; /* usual distances */

int raster_resize(raster *r, int rows, int cols, double first, double last) {
    int64_t need = rows > 0 && cols > 0 ? (int64_t)rows * cols : 0;
    if (need > r->room) {
        raster_cell *larger = malloc((size_t)need * sizeof *larger);
        if (!larger) return 0;
        free(r->cell);
        r->cell = larger;
        r->room = need;
    }
    r->rows = need ? rows : 0;
    r->cols = need ? cols : 0;
    r->first = first;
    r->last = last > first ? last : first + 1;
    r->scale = r->cols / (r->last - r->first + 1);
    for (int64_t i = 0; i < need; i++) r->cell[i] = (raster_cell){ 0, 0 };
    return 1;
}

void raster_free(raster *r) {
    free(r->cell);
    *r = (raster){ 0 };
}

double raster_steps(const raster *r) {
    double steps = (r->last - r->first + 1) / (r->cols > 0 ? r->cols : 1);
    return steps > 1 ? steps : 1;
}

static void note(raster_cell *c, double v) {
    if (c->there && (!isfinite(c->v) || (isfinite(v) && fabs(v) <= fabs(c->v)))) return;
    *c = (raster_cell){ v, 1 };
}

/* The column of a step within the span. */
static int column_of(const raster *r, double step) {
    double at = (step - r->first) * r->scale;
    return at <= 0 ? 0 : at >= r->cols ? r->cols - 1 : (int)at;
}

/* The first value that reaches into the span. */
static int64_t first_within(const pitot_series *s, double first) {
    int64_t low = 0, high = s->n;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if ((double)s->step[middle] < first) low = middle + 1;
        else high = middle;
    }
    return low > 0 ? low - 1 : 0;
}

void raster_fill(raster *r, int row, const pitot_series *s) {
    if (row < 0 || row >= r->rows || s->n < 1) return;
    raster_cell *out = r->cell + (int64_t)row * r->cols;
    double usual = s->n > 1 ? ((double)s->step[s->n - 1] - (double)s->step[0]) / (double)(s->n - 1) : 1;
    for (int64_t i = first_within(s, r->first); i < s->n && (double)s->step[i] <= r->last; i++) {
        double step = (double)s->step[i], next = i + 1 < s->n ? (double)s->step[i + 1] : step + usual;
        if (next - step > LONG_GAP * usual) next = step + usual;
        if (next <= r->first) continue;
        int from = column_of(r, step), behind = next > r->last ? r->cols : column_of(r, next);
        note(&out[from], s->value[i]);
        for (int k = from + 1; k < behind; k++) note(&out[k], s->value[i]);
    }
}

axis raster_axis(const raster *r, int scale) {
    double lo = INFINITY, hi = -INFINITY, least = INFINITY, logs = 0;
    int64_t n = 0;
    for (int64_t i = 0; i < (int64_t)r->rows * r->cols; i++) {
        double v = r->cell[i].v;
        if (!r->cell[i].there || !isfinite(v)) continue;
        lo = fmin(lo, v), hi = fmax(hi, v);
        if (v > 0) least = fmin(least, v);
        if (v != 0) logs += log10(fabs(v)), n++;
    }
    if (lo > hi) return (axis){ AXIS_LINEAR, 0, 1, 0 };
    if (scale == AXIS_LOG && hi > 0) return (axis){ AXIS_LOG, least, hi > least ? hi : least * 1.0000001, 0 };
    if (scale == AXIS_SYMLOG && n) {
        double size = fmax(fabs(lo), fabs(hi)), linear = fmax(pow(10, floor(logs / (double)n)), size * 1e-4);
        return (axis){ AXIS_SYMLOG, lo, hi > lo ? hi : lo + linear, linear };
    }
    return (axis){ AXIS_LINEAR, lo, hi > lo ? hi : lo + fmax(fabs(lo) * 1e-9, 1e-300), 0 };
}
