/* spectrum_measure.c: see spectrum_measure.h. */

#include "spectrum_measure.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FEW_VECTORS = 64, MOST_VECTORS = 200, BASIS_BYTES = 1 << 30 };

static const double least_share = 1e-4; /* of the largest |theta|: an end below is taken as it is found */

typedef struct guard { /* the operator, whose products are counted and can be stopped */
    pitot_linop op;
    const pitot_linop *inner;
    const spectrum_task *task;
    int64_t products, of; /* made; expected */
    int stopped;
    int patient; /* 1: the caller asks `stopped` itself, and keeps what it has */
} guard;

static int32_t apply(void *self, const pitot_real *x, pitot_real *y, int64_t k) {
    guard *g = self;
    if (g->stopped && !g->patient) return PITOT_EOFF;
    int32_t status = g->inner->apply(g->inner->self, x, y, k);
    g->op.error = g->inner->error;
    g->products += k;
    if (g->task->progress && g->task->progress(g->task->user, g->products, g->of)) g->stopped = 1;
    return status ? status : g->stopped && !g->patient ? PITOT_EOFF : PITOT_OK;
}

/* ---- both ends ---- */

/* An eigenvalue lies within residual^2 / gap of theta, gap the distance to the rest of the spectrum (Kato, Temple). The pair's neighbours
   stand for that; the last one of the list has none behind. What products themselves are off by stays. */
static void bound(const guard *g, double largest, spectrum_pair *p, int32_t n) {
    double off = largest * fmax(g->op.error, 8 * (sizeof(pitot_real) == 8 ? DBL_EPSILON : (double)FLT_EPSILON));
    for (int32_t i = 0; i < n; i++) {
        double gap = i + 1 < n ? fabs(p[i].value - p[i + 1].value) - p[i + 1].residual : 0;
        if (i > 0) gap = fmin(gap, fabs(p[i].value - p[i - 1].value) - p[i - 1].residual);
        double error = gap > p[i].residual ? p[i].residual * p[i].residual / gap : p[i].residual;
        p[i].error = fmin(fmax(error, off), fmax(p[i].residual, off));
    }
}

static int32_t at_most(int64_t a, int64_t b) {
    return (int32_t)(a < b ? a : b);
}

/* Vectors to iterate in, for a tolerance: where it lets them be less than orthogonal up to round-off (pitot_lanczos_top), as many as
   BASIS_BYTES hold, so that nothing is made twice; else, or if these are no more, enough to keep restarts few. */
static int32_t vectors_for(const guard *g, double tolerance) {
    int32_t wanted = at_most(g->task->pairs, g->op.n), few = at_most(2 * (int64_t)wanted + 10, FEW_VECTORS);
    int32_t many = at_most(BASIS_BYTES / (int64_t)sizeof(pitot_real) / g->op.n, MOST_VECTORS);
    return many > FEW_VECTORS && tolerance >= sqrt(sizeof(pitot_real) == 8 ? DBL_EPSILON : (double)FLT_EPSILON) ? many : few;
}

/* basis: what to start from, and what was found; room behind it. */
static int32_t find_end(guard *g, int bottom, double tolerance, pitot_real *basis, spectrum_pair *out, int32_t *n) {
    const spectrum_task *t = g->task;
    pitot_eigenpair pair[SPECTRUM_PAIRS];
    int32_t wanted = at_most(t->pairs, g->op.n);
    pitot_lanczos how = { .struct_size = sizeof how,
                          .tolerance = tolerance,
                          .products = 60 * wanted + 400,
                          .vectors = vectors_for(g, tolerance),
                          .work = basis + (int64_t)wanted * g->op.n,
                          .seed = t->seed,
                          .step = (uint64_t)bottom };
    int64_t products;
    int32_t status = (bottom ? pitot_lanczos_bottom : pitot_lanczos_top)(&g->op, &how, wanted, basis, pair, &products);
    *n = 0;
    for (int32_t i = 0; i < wanted && !status; i++)
        if (isfinite(pair[i].value)) out[(*n)++] = (spectrum_pair){ pair[i].value, pair[i].residual, 0, pair[i].converged };
    return status;
}

/* Tolerances are shares of the largest |theta|, and the smaller end would hardly be known: where it is no round-off, once more from what
   was found, with one that suits it. */
static int32_t refine(guard *g, double tolerance, double largest, int bottom, pitot_real *basis, spectrum_pair *p, int32_t *n) {
    double own = *n ? fabs(p[0].value) / largest : 0, worst = 0;
    for (int32_t i = 0; i < *n; i++) worst = fmax(worst, p[i].residual);
    if (!(own > least_share) || worst <= 10 * tolerance * own * largest) return PITOT_OK;
    return find_end(g, bottom, fmax(10 * tolerance * own, 4 * (double)FLT_EPSILON), basis, p, n);
}

/* ---- numbers ---- */

static double largest_of(const spectrum *s) {
    double most = 0;
    for (int32_t i = 0; i < s->n_top; i++) most = fmax(most, fabs(s->top[i].value));
    for (int32_t i = 0; i < s->n_bottom; i++) most = fmax(most, fabs(s->bottom[i].value));
    for (int64_t i = 0; i < s->draws; i++)
        for (int64_t k = 0; k < s->used[i]; k++) most = fmax(most, fabs(s->node[i * s->steps + k]));
    return most;
}

/* The smallest |lambda| that was seen; what is round-off of the largest counts as 0. */
static double smallest_of(const spectrum *s, double largest) {
    double least = INFINITY, nothing = largest * (sizeof(pitot_real) == 8 ? 1e-14 : 1e-7);
    for (int64_t i = 0; i < s->draws; i++)
        for (int64_t k = 0; k < s->used[i]; k++) least = fmin(least, fabs(s->node[i * s->steps + k]));
    for (int32_t i = 0; i < s->n_bottom; i++) least = fmin(least, fabs(s->bottom[i].value));
    return least <= nothing ? 0 : least;
}

static void derive(spectrum *s, const pitot_quadrature *q, double damping) {
    double largest = largest_of(s);
    s->trace.value = pitot_quadrature_trace(q, &s->trace.error);
    s->frobenius.value = pitot_quadrature_frobenius(q, &s->frobenius.error);
    if (!spectrum_is_density(s)) return;
    s->negative_mass.value = pitot_quadrature_negative_mass(q, &s->negative_mass.error);
    s->negative_energy.value = pitot_quadrature_negative_energy(q, &s->negative_energy.error);
    s->damping = damping > 0 ? damping : largest > 0 ? largest / 1000 : 1;
    s->dimension.value = pitot_quadrature_effective_dimension(q, s->damping, &s->dimension.error);
    s->condition = largest > 0 ? largest / smallest_of(s, largest) : NAN;
}

static int32_t is_stopped(void *user, int64_t done, int64_t of) {
    (void)done, (void)of;
    return ((const guard *)user)->stopped;
}

static int32_t add_quadrature(guard *g, spectrum *s, pitot_error *error) {
    const spectrum_task *t = g->task;
    int32_t steps = t->steps < g->op.n ? t->steps : (int32_t)g->op.n;
    if (spectrum_reserve(s, t->draws, steps)) return pitot_fail(error, PITOT_ENOMEM, "no memory for %d nodes", t->draws * steps);
    pitot_quadrature_config c = {
        .struct_size = sizeof c, .steps = steps, .draws = t->draws, .seed = t->seed, .progress = is_stopped, .user = g
    };
    pitot_quadrature q = { .struct_size = sizeof q, .node = s->node, .weight = s->weight, .used = s->used };
    int64_t vectors = pitot_quadrature_vectors(&c);
    c.work = calloc((size_t)vectors, (size_t)g->op.n * sizeof *c.work);
    g->patient = 1;
    int32_t status = c.work ? pitot_quadrature_run(&g->op, &c, &q, error) : pitot_fail(error, PITOT_ENOMEM, "no memory");
    free(c.work);
    s->draws = q.draws;
    if (!status && s->draws) derive(s, &q, t->damping);
    return status;
}

/* ---- the whole ---- */

static int32_t add_ends(guard *g, spectrum *s, pitot_error *error) {
    int32_t k = g->task->pairs, status;
    pitot_real *basis;
    if (!k) return PITOT_OK;
    double tolerance = g->task->tolerance;
    int64_t vectors = vectors_for(g, tolerance), few = vectors_for(g, 0), rows = k + (vectors > few ? vectors : few);
    basis = calloc((size_t)rows, (size_t)g->op.n * sizeof *basis);
    if (!basis) return pitot_fail(error, PITOT_ENOMEM, "no memory for %lld vectors; a smaller --top takes fewer", (long long)rows);
    status = find_end(g, 0, tolerance, basis, s->top, &s->n_top);
    double top = s->n_top ? fabs(s->top[0].value) : 0;
    if (!status) memset(basis, 0, (size_t)k * (size_t)g->op.n * sizeof *basis);
    if (!status) status = find_end(g, 1, tolerance, basis, s->bottom, &s->n_bottom);
    double largest = fmax(top, s->n_bottom ? fabs(s->bottom[0].value) : 0);
    if (!status) status = refine(g, tolerance, largest, 1, basis, s->bottom, &s->n_bottom);
    free(basis);
    bound(g, largest, s->top, s->n_top);
    bound(g, largest, s->bottom, s->n_bottom);
    return status;
}

int32_t spectrum_measure(const pitot_linop *op, const spectrum_task *task, spectrum *s, pitot_error *error) {
    guard g = { .op = *op, .inner = op, .task = task };
    pitot_error inner = { 0 };
    g.op.apply = apply, g.op.self = &g;
    g.of = (int64_t)task->draws * task->steps + (task->pairs ? 2 * (4 * task->pairs + 30) : 0);
    s->n_top = s->n_bottom = 0;
    s->trace = s->frobenius = s->negative_mass = s->negative_energy = s->dimension = (spectrum_estimate){ NAN, NAN };
    s->damping = s->condition = NAN;
    int32_t status = add_ends(&g, s, &inner);
    if (!status && task->draws) status = add_quadrature(&g, s, &inner);
    s->products = g.products;
    s->complete = !status && !g.stopped;
    s->converged = s->complete;
    for (int32_t i = 0; i < s->n_top; i++) s->converged = s->converged && s->top[i].converged;
    for (int32_t i = 0; i < s->n_bottom; i++) s->converged = s->converged && s->bottom[i].converged;
    if (!status || g.stopped) return PITOT_OK;
    if (status == PITOT_EHOST)
        return pitot_fail(error, status, "a product with the %s is not finite: weights or samples are too large", op->name);
    return pitot_fail(error, status, "%s", inner.text[0] ? inner.text : pitot_strerror(status));
}
