/* spectrum_shape.c: see spectrum_shape.h. */

#include "spectrum_shape.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DECADES = 5 }; /* most beyond the linear part */

static const double share_near_zero =
    0.5; /* of the mass that the linear part holds, as far as decades allow: there nodes lie far apart */
static const double nothing = 1e-12; /* weights that no axis needs to make room for */

static const double widest = 1; /* gap that is spread over, in units */

enum { MANY = 8 }; /* eigenvalues of a node that is no longer an outlier */

static double bend(double v, double linear) {
    return fabs(v) <= linear ? v / linear : copysign(1 + log10(fabs(v) / linear), v);
}

static double unbend(double u, double linear) {
    return fabs(u) <= 1 ? u * linear : copysign(linear * pow(10, fabs(u) - 1), u);
}

typedef struct sized {
    double size, weight;
} sized;

static int ascending(const void *a, const void *b) {
    double x = ((const sized *)a)->size, y = ((const sized *)b)->size;
    return (x > y) - (x < y);
}

/* |lambda| below which that share of the mass lies; 0 if out of memory. */
static double quantile(const spectrum_nodes *q, double share) {
    sized *list = calloc((size_t)q->n + 1, sizeof *list);
    double sum = 0, found = 0;
    if (!list) return 0;
    for (int64_t i = 0; i < q->n; i++) list[i] = (sized){ fabs(q->node[i]), q->weight[i] };
    qsort(list, (size_t)q->n, sizeof *list, ascending);
    for (int64_t i = 0; i < q->n && sum < share; i++) sum += list[i].weight, found = list[i].size;
    free(list);
    return found;
}

axis spectrum_axis(const spectrum_nodes *q, const double *values, int64_t m) {
    double lo = 0, hi = 0;
    for (int64_t i = 0; i < q->n; i++)
        if (isfinite(q->node[i]) && q->weight[i] > nothing) lo = fmin(lo, q->node[i]), hi = fmax(hi, q->node[i]);
    for (int64_t i = 0; i < m; i++)
        if (isfinite(values[i])) lo = fmin(lo, values[i]), hi = fmax(hi, values[i]);
    double size = fmax(-lo, hi);
    if (!(size > 1e-290) || size > 1e290) return (axis){ AXIS_SYMLOG, -1, 1, 1 };
    double top = floor(log10(size)), typical = quantile(q, share_near_zero);
    double e = typical > 0 ? ceil(log10(typical)) : top - DECADES;
    double linear = pow(10, fmin(fmax(e, top - DECADES), top));
    double from = bend(lo, linear), to = bend(hi, linear), pad = fmax(0.05 * (to - from), 0.3);
    return (axis){ AXIS_SYMLOG, unbend(from - pad, linear), unbend(to + pad, linear), linear };
}

double spectrum_unit(const axis *a) {
    return 1 / (bend(a->hi, a->linear) - bend(a->lo, a->linear));
}

double spectrum_single(const spectrum_nodes *q, double width) {
    return 1 / (fmax((double)q->parameters, 1) * width * sqrt(2 * 3.141592653589793));
}

/* Distance of two nodes in units; NaN if they are not neighbours of one draw. */
static double gap(const axis *a, const spectrum_nodes *q, int64_t i, int64_t k) {
    if (i < 0 || k >= q->n || !(q->node[i] <= q->node[k])) return NAN;
    return bend(q->node[k], a->linear) - bend(q->node[i], a->linear);
}

static double draws_of(const spectrum_nodes *q) {
    double n = 1;
    for (int64_t i = 1; i < q->n; i++) n += q->node[i] < q->node[i - 1];
    return n;
}

/* many: weight of a node that stands for many eigenvalues */
static double width_of(const axis *a, const spectrum_nodes *q, int64_t i, double width, double many) {
    if (q->weight[i] < many) return width;
    double left = gap(a, q, i - 1, i), right = gap(a, q, i, i + 1);
    double half = 0.25 * (fmin(isnan(left) ? right : left, widest) + fmin(isnan(right) ? left : right, widest));
    return half > width ? half : width;
}

void spectrum_density(const axis *a, const spectrum_nodes *q, double width, double *out, int64_t columns) {
    double from = bend(a->lo, a->linear), step = (bend(a->hi, a->linear) - from) / (double)columns;
    double many = MANY / draws_of(q) / fmax((double)q->parameters, 1);
    memset(out, 0, (size_t)columns * sizeof *out);
    for (int64_t i = 0; i < q->n; i++) {
        if (!isfinite(q->node[i])) continue;
        double at = bend(q->node[i], a->linear) - from, w = width_of(a, q, i, width, many), scale = 1 / (w * sqrt(2));
        double first = floor((at - 7 * w) / step), last = ceil((at + 7 * w) / step);
        int64_t k = first > 0 ? (int64_t)fmin(first, (double)columns) : 0, end = (int64_t)fmax(fmin(last, (double)columns), 0);
        double before = erf(((double)k * step - at) * scale);
        for (; k < end; k++) {
            double after = erf(((double)(k + 1) * step - at) * scale);
            out[k] += q->weight[i] * 0.5 * (after - before) / step;
            before = after;
        }
    }
}

void spectrum_cumulative(const axis *a, const spectrum_nodes *q, double *out, int64_t columns) {
    double sum = 0;
    memset(out, 0, (size_t)columns * sizeof *out);
    for (int64_t i = 0; i < q->n; i++) {
        double at = axis_at(a, q->node[i]);
        if (isnan(at) || at >= 1) continue;
        out[at > 0 ? (int64_t)(at * (double)columns) : 0] += q->weight[i];
    }
    for (int64_t k = 0; k < columns; k++) out[k] = sum += out[k];
}
