/* lanczos.c: both ends of a spectrum, by thick-restart Lanczos iteration (krylov.h). What it starts from and when it stops:

   A warm start is the one vector 0.3 top + bottom + a random part: the top is found sooner, the bottom gains more from a good start. One
   Krylov space for both ends took fewer products on drifting spectra than a block started from the two vectors.

   The first product answers whether anything has moved: if Op (top + bottom) lies in the span of the two, they are measured as they
   are, and a still operator costs three products. That alone would never see an eigenvalue that has grown past them in a direction
   where the vectors have nothing: on a share of the calls, drawn at random, the search takes DEEP steps whatever the
   residuals say; there the random part, with products of its own, has come out. */

#include "base/random.h"
#include "curve/krylov.h"
#include "pitot/probe.h"
#include "pitot/solve.h"

#include <math.h>
#include <string.h>

enum { LEAST_STEPS = 2, DEEP = 6, ROUNDS = 2 };

static const double DEEP_SHARE = 0.25, CLOSE = 0.95, TOP_WEIGHT = 0.3;

typedef struct search {
    krylov k;
    const pitot_lanczos *set;
    double tolerance, bar; /* bar: of the decomposition's own residuals, before it is worth measuring them */
    int64_t limit;
    int steps, taken; /* least, so far */
    pitot_real *top, *bottom;
    pitot_extremes *out;
} search;

/* Makes x unit; 0 if it is zero or not finite. */
static int make_unit(pitot_real *x, int64_t n) {
    double square = pitot_sum_squares(x, n);
    if (!(square > 0) || !isfinite(square)) return 0;
    basis_scale(x, n, 1 / sqrt(square));
    return 1;
}

/* Puts into row 0 what to start from; returns how many of the two vectors are in it. */
static int start(search *z) {
    krylov *k = &z->k;
    pitot_real *v = k->row;
    double share = z->set->random > 0 ? z->set->random : 0.1;
    int top = make_unit(z->top, k->n), bottom = make_unit(z->bottom, k->n);
    if (top && bottom && fabs(pitot_dot(z->top, z->bottom, k->n)) > 0.5) bottom = 0;
    double weight = bottom ? TOP_WEIGHT : 1;
    for (int64_t i = 0; i < k->n; i++)
        v[i] = (pitot_real)((top ? weight * (double)z->top[i] : 0) + (bottom ? (double)z->bottom[i] : 0));
    if (top || bottom) basis_add_random(v, k->n, top && bottom ? share : 1, k->seed, k->step, k->draws++);
    krylov_start(k);
    return top + bottom;
}

static int32_t measure(search *z, const pitot_real *u, pitot_eigenpair *pair) {
    return krylov_measure(&z->k, u, &pair->value, &pair->residual);
}

static void judge(search *z) {
    pitot_eigenpair *a = &z->out->largest, *b = &z->out->smallest;
    double size = fmax(fabs(a->value), fabs(b->value)), limit = z->tolerance * size;
    a->residual = fmax(a->residual, z->k.op->error * size);
    b->residual = fmax(b->residual, z->k.op->error * size);
    a->converged = a->residual <= limit;
    b->converged = b->residual <= limit;
}

static int is_done(const search *z) {
    return z->out->largest.converged && z->out->smallest.converged;
}

/* Measures top; bottom too, unless it is the same vector. */
static int32_t measure_both(search *z, int same) {
    int32_t status = measure(z, z->top, &z->out->largest);
    if (!status && !same) status = measure(z, z->bottom, &z->out->smallest);
    if (status) return status;
    if (same) {
        memcpy(z->bottom, z->top, (size_t)z->k.n * sizeof *z->top);
        z->out->smallest = z->out->largest;
    }
    judge(z);
    return PITOT_OK;
}

/* The Ritz pairs at the ends of the decomposition: two with one product. */
static int32_t measure_ends(search *z) {
    krylov *k = &z->k;
    const int column[2] = { k->k - 1, 0 };
    double value[2], residual[2];
    if (k->k == 1) {
        krylov_vector(k, 0, z->top);
        return measure_both(z, 1);
    }
    int32_t status = krylov_measure_pair(k, column, z->top, z->bottom, value, residual);
    if (status) return status;
    z->out->largest = (pitot_eigenpair){ .value = value[0], .residual = residual[0] };
    z->out->smallest = (pitot_eigenpair){ .value = value[1], .residual = residual[1] };
    judge(z);
    return PITOT_OK;
}

/* After the first step, from Op v in the span of rows 0 and 1: whether its part outside of the span of top and bottom is small enough
   for both of them to have converged. */
static int has_not_moved(const search *z) {
    const krylov *k = &z->k;
    double along[2], g = pitot_dot(z->top, z->bottom, k->n), a = k->h[0], b = k->link[0];
    const pitot_real *u[2] = { z->top, z->bottom };
    for (int i = 0; i < 2; i++)
        along[i] = a * pitot_dot(u[i], k->row, k->n) + b * (k->p ? pitot_dot(u[i], krylov_row(k, 1), k->n) : 0);
    double inside = (along[0] * along[0] + along[1] * along[1] - 2 * g * along[0] * along[1]) / (1 - g * g);
    double outside = sqrt(fmax(0, a * a + b * b - inside));
    return outside <= 0.7 * z->tolerance * fmax(fabs(along[0]), fabs(along[1]));
}

static int seems_done(const search *z) {
    const krylov *k = &z->k;
    double limit = z->bar * z->tolerance * fmax(fabs(k->value[0]), fabs(k->value[k->k - 1]));
    int enough = z->taken >= z->steps || k->k >= k->n;
    return enough && krylov_estimate(k, 0) <= limit && krylov_estimate(k, k->k - 1) <= limit;
}

/* Whether the limit leaves room for a step and the measurements. */
static int may_step(const search *z) {
    return z->k.p > 0 && z->k.products + 2 <= z->limit;
}

static int32_t step(search *z) {
    z->taken++;
    return krylov_step(&z->k);
}

static int32_t iterate(search *z) {
    krylov *k = &z->k;
    for (int rounds = 0; rounds < ROUNDS;) {
        int32_t status = step(z);
        if (status) return status;
        status = krylov_solve(k);
        if (!status) status = krylov_make_room(k, 1);
        if (status) return status;
        if (!seems_done(z) && may_step(z)) continue;
        status = measure_ends(z);
        if (status || is_done(z) || !may_step(z)) return status;
        z->bar *= 0.5;
        rounds++;
    }
    return PITOT_OK;
}

static int32_t find(search *z) {
    krylov *k = &z->k;
    int warm = start(z);
    if (z->limit < 2) {
        memcpy(z->top, k->row, (size_t)k->n * sizeof *z->top);
        return measure_both(z, 1);
    }
    if (warm && random_uniform(k->seed, RANDOM_LANCZOS, k->step, UINT64_MAX) < DEEP_SHARE) z->steps = DEEP;
    if (warm == 2 && z->steps < DEEP && z->limit >= 5) {
        int32_t status = step(z);
        if (status) return status;
        if (has_not_moved(z)) {
            status = measure_both(z, 0);
            if (status || is_done(z) || !may_step(z)) return status;
        }
    }
    return iterate(z);
}

int32_t pitot_lanczos_extremes(const pitot_linop *op, const pitot_lanczos *settings, pitot_real *top, pitot_real *bottom,
                               pitot_extremes *out) {
    search z = { .set = settings, .bar = CLOSE, .steps = LEAST_STEPS, .top = top, .bottom = bottom, .out = out };
    if (!krylov_open(&z.k, op, settings) || !top || !bottom || !out) return PITOT_EINVAL;
    *out = (pitot_extremes){ .struct_size = sizeof *out };
    z.tolerance = krylov_tolerance(settings);
    z.limit = krylov_limit(settings);
    int32_t status = find(&z);
    out->products = z.k.products + z.k.repeated;
    out->restarts = z.k.restarts;
    return status;
}
