/* difference.c: see difference.h. */

#include "curve/difference.h"

#include "pitot/hot.h"
#include "base/sums.h"
#include "base/threads.h"
#include "pitot/probe.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { TRIES = 10 }; /* step sizes, each compared with its half */

static const double UNIT = sizeof(pitot_real) == 4 ? FLT_EPSILON : DBL_EPSILON, FACTOR = 4;

typedef struct combine_job {
    const pitot_real *x, *y;
    pitot_real *out;
    double scale;
} combine_job;

PITOT_HOT static void combine(const combine_job *c, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) c->out[i] = (pitot_real)(c->scale * ((double)c->x[i] - (c->y ? (double)c->y[i] : 0)));
}

static void combine_task(void *job, int64_t begin, int64_t end, int thread) {
    (void)thread;
    combine(job, begin, end);
}

/* out = scale (x - y); y NULL: 0. */
static void scaled_difference(const pitot_real *x, const pitot_real *y, double scale, pitot_real *out, int64_t n) {
    combine_job job = { x, y, out, scale };
    threads_run(sums_threads(n), n, combine_task, &job);
}

static int32_t gradient(difference *d, double h, pitot_real *g) {
    d->evaluations++;
    return d->gradient(d->self, d->work, h, g);
}

/* out = H u, u in the first work vector; uses the second. */
static int32_t product(difference *d, double h, pitot_real *out) {
    pitot_real *g = d->work + d->op.n;
    int32_t status = gradient(d, h, out);
    if (!status) status = gradient(d, -h, g);
    if (!status) scaled_difference(out, g, 1 / (2 * h), out, d->op.n);
    return status;
}

/* out = H u with h; *apart: how far the product with h/2 is from it, relative to it; infinity if one of them is not finite. */
static int32_t compare(difference *d, double h, pitot_real *out, double *apart) {
    int64_t n = d->op.n;
    pitot_real *half = d->work + 2 * n;
    int32_t status = product(d, h, out);
    if (!status) status = product(d, h / 2, half);
    if (status) return status;
    double length = sqrt(pitot_sum_squares(out, n)), gap = sqrt(pitot_sum_squared_difference(out, half, n));
    *apart = gap == 0 ? 0 : length > 0 ? gap / length : INFINITY;
    if (isnan(*apart) || isinf(length)) *apart = INFINITY;
    return PITOT_OK;
}

typedef struct walk {
    double step, apart; /* the best so far */
    int tries;
} walk;

/* From the best step on by `factor`, for as long as sizes agree better. */
static int32_t go(difference *d, walk *w, double factor, pitot_real *out) {
    while (w->tries < TRIES && w->apart > 2 * UNIT) {
        double h = w->step * factor, apart;
        int32_t status = compare(d, h, out, &apart);
        if (status) return status;
        w->tries++;
        if (apart >= w->apart && isfinite(w->apart)) break;
        w->step = h;
        w->apart = apart;
    }
    return PITOT_OK;
}

/* Finds the step; out = H u with it. */
static int32_t look(difference *d, pitot_real *out) {
    int known = d->step > 0;
    walk w = { .step = known ? d->step : cbrt(UNIT / 2) * (d->norm > 0 && isfinite(d->norm) ? d->norm : 1), .tries = 1 };
    int32_t status = compare(d, w.step, out, &w.apart);
    int as_before = known && w.apart <= FACTOR * fmax(d->best, 8 * UNIT);
    double first = w.step;
    if (!status && !as_before) status = go(d, &w, 1 / FACTOR, out);
    if (!status && !as_before && w.step == first && isfinite(w.apart)) status = go(d, &w, FACTOR, out);
    if (!status && w.tries > 1) status = product(d, w.step, out);
    if (status) return status;
    if (isinf(w.apart)) return PITOT_EHOST;
    d->step = w.step;
    d->op.error = w.apart;
    if (!as_before) d->best = w.apart;
    d->is_checked = 1;
    return PITOT_OK;
}

static int32_t apply_one(difference *d, const pitot_real *x, pitot_real *y) {
    int64_t n = d->op.n;
    double length = sqrt(pitot_sum_squares(x, n));
    if (!isfinite(length)) return PITOT_EINVAL;
    if (length == 0) {
        memset(y, 0, (size_t)n * sizeof *y);
        return PITOT_OK;
    }
    scaled_difference(x, NULL, 1 / length, d->work, n);
    int32_t status = d->is_checked ? product(d, d->step, y) : look(d, y);
    if (!status) scaled_difference(y, NULL, length, y, n);
    return status;
}

static int32_t apply(void *self, const pitot_real *x, pitot_real *y, int64_t k) {
    difference *d = self;
    for (int64_t j = 0; j < k; j++) {
        int32_t status = apply_one(d, x + j * d->op.n, y + j * d->op.n);
        if (status) return status;
    }
    return PITOT_OK;
}

void difference_init(difference *d, difference_gradient g, void *self, int64_t n, double norm, pitot_real *work) {
    *d = (difference){ .op = { .struct_size = sizeof d->op, .name = "hessian", .n = n, .symmetric = 1, .apply = apply, .self = d },
                       .gradient = g,
                       .self = self,
                       .work = work,
                       .norm = norm };
}

void difference_moved(difference *d, double norm) {
    d->norm = norm;
    d->is_checked = 0;
}
