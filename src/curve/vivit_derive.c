/* vivit_derive.c: what gradients and curvature of single samples are along eigenvectors, e_k = V e~_k / sqrt(lambda_k), and Newton's step
   from that (Dangel, Tatzel, Hennig 2022, "ViViT", eq. 8-11): gamma_kn = e~_k' V'g_n / sqrt(lambda_k), lambda_kn = N sum over c of
   (K e~_k)_nc^2 / lambda_k. */

#include "curve/vivit.h"

#include "base/alloc.h"
#include "base/blas.h"
#include "base/random.h"
#include "base/threads.h"
#include "pitot/hot.h"
#include "pitot/probe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- eigenvectors ---- */

PITOT_HOT static void multiply(pitot_real *x, int64_t n, pitot_real by) {
    for (int64_t i = 0; i < n; i++) x[i] *= by;
}

typedef struct vectors { /* (k,d), to be made unit vectors */
    pitot_real *x;
    int64_t d;
} vectors;

static void normalise(void *job, int64_t begin, int64_t end, int thread) {
    const vectors *j = job;
    (void)thread;
    for (int64_t r = begin; r < end; r++) {
        pitot_real *x = j->x + r * j->d;
        double square = pitot_sum_squares(x, j->d);
        multiply(x, j->d, square > 0 ? (pitot_real)(1 / sqrt(square)) : 0);
    }
}

int32_t pitot_vivit_vectors(pitot_vivit *v, int32_t group, int64_t k, const double *vector, pitot_real *out, pitot_error *error) {
    int32_t status = vivit_check(v, group, vector ? out : NULL, error);
    if (status) return status;
    const vivit_group *g = &v->group[group];
    if (factor_apply(&v->v, g->at, k, vector, out, g->size))
        return pitot_fail(error, PITOT_ENOMEM, "no memory for %lld eigenvectors", (long long)k);
    threads_run(v->net->threads, k, normalise, &(vectors){ out, g->size });
    return PITOT_OK;
}

/* ---- derivatives ---- */

/* V'g_n for all gradients */
static int32_t make_cross(pitot_vivit *v, vivit_group *g) {
    factor gradients;
    if (g->cross) return PITOT_OK;
    double *c = mem_alloc(v->v.columns, (size_t)v->n_grad * sizeof *c);
    if (!c || factor_gradients(&gradients, v->net, v->grad_sample, v->n_grad, v->wanted)) {
        mem_free(c);
        return PITOT_ENOMEM;
    }
    int32_t status = factor_product(&v->v, &gradients, g->at, c);
    factor_free(&gradients);
    if (status) mem_free(c);
    else g->cross = c;
    return status;
}

typedef struct derivatives {
    int64_t k;
    double *gamma, *lambda; /* (k,n_grad), (k,n_ggn) */
    double *product;        /* (k,columns): K e~ */
} derivatives;

static void free_derivatives(derivatives *d) {
    mem_free(d->gamma);
    mem_free(d->lambda);
    mem_free(d->product);
}

static double largest(const double *value, int64_t k) {
    double most = 0;
    for (int64_t j = 0; j < k; j++) most = fmax(most, value[j]);
    return most;
}

static int is_round_off(const pitot_vivit *v, double value, double most) {
    return !(value > vivit_round_off(v) * most);
}

static void divide(const pitot_vivit *v, derivatives *d, const double *value) {
    double most = largest(value, d->k);
    for (int64_t r = 0; r < d->k; r++) {
        double by = is_round_off(v, value[r], most) ? NAN : value[r];
        for (int64_t j = 0; j < v->n_grad; j++) d->gamma[r * v->n_grad + j] /= sqrt(by);
        for (int64_t j = 0; j < v->v.n; j++) {
            double sum = 0;
            for (int64_t c = 0; c < v->v.m; c++) {
                double p = d->product[(r * v->v.n + j) * v->v.m + c];
                sum += p * p;
            }
            d->lambda[r * v->v.n + j] = (double)v->v.n * sum / by;
        }
    }
}

/* A status; d's arrays are to be freed in any case. */
static int32_t make_derivatives(pitot_vivit *v, int32_t group, int64_t k, const double *value, const double *vector, derivatives *d,
                                pitot_error *error) {
    const double *gram;
    *d = (derivatives){ .k = k };
    int32_t status = pitot_vivit_gram(v, group, &gram, error);
    if (status) return status;
    int64_t n = v->v.columns;
    d->gamma = mem_alloc(k, (size_t)v->n_grad * sizeof *d->gamma);
    d->lambda = mem_alloc(k, (size_t)v->v.n * sizeof *d->lambda);
    d->product = mem_alloc(k, (size_t)n * sizeof *d->product);
    if (!d->gamma || !d->lambda || !d->product || make_cross(v, &v->group[group]))
        return pitot_fail(error, PITOT_ENOMEM, "no memory for derivatives along %lld directions", (long long)k);
    blas_gemm_double(0, 0, k, v->n_grad, n, 1, vector, n, v->group[group].cross, v->n_grad, 0, d->gamma, v->n_grad);
    blas_gemm_double(0, 0, k, n, n, 1, vector, n, gram, n, 0, d->product, n);
    divide(v, d, value);
    return PITOT_OK;
}

static double mean_of(const double *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i];
    return sum / (double)n;
}

static double snr_of(const double *x, int64_t n) {
    double mean = mean_of(x, n), sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (x[i] - mean) * (x[i] - mean);
    return n < 2 ? NAN : mean * mean / (sum / (double)(n - 1));
}

static void summarise(const double *x, int64_t k, int64_t n, double *mean, double *snr) {
    for (int64_t r = 0; mean && r < k; r++) mean[r] = mean_of(x + r * n, n);
    for (int64_t r = 0; snr && r < k; r++) snr[r] = snr_of(x + r * n, n);
}

int32_t pitot_vivit_derive(pitot_vivit *v, int32_t group, int64_t k, const double *value, const double *vector,
                           const pitot_vivit_derivatives *out, pitot_error *error) {
    derivatives d;
    int32_t status = vivit_check(v, group, value && vector && k > 0 ? out : NULL, error);
    if (status) return status;
    status = make_derivatives(v, group, k, value, vector, &d, error);
    if (!status) {
        summarise(d.gamma, k, v->n_grad, out->gamma_mean, out->gamma_snr);
        summarise(d.lambda, k, v->v.n, out->lambda_mean, out->lambda_snr);
        if (out->gamma) memcpy(out->gamma, d.gamma, (size_t)(k * v->n_grad) * sizeof *d.gamma);
        if (out->lambda) memcpy(out->lambda, d.lambda, (size_t)(k * v->v.n) * sizeof *d.lambda);
        for (int64_t r = 0; out->weak && r < k; r++) out->weak[r] = !(value[r] > 1e-4 * largest(value, k));
    }
    free_derivatives(&d);
    return status;
}

/* ---- Newton's step ---- */

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct resampled { /* means over samples drawn with replacement */
    int64_t n;
    double *gamma, *lambda, *gain; /* (n) */
} resampled;

static double resampled_mean(const double *x, int64_t n, uint64_t seed, uint64_t stream, int64_t resample) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[(int64_t)((double)n * random_uniform(seed, random_purpose("vivit.bootstrap"), stream,
                                                      (uint64_t)resample << 32 | (uint64_t)i))];
    return sum / (double)n;
}

/* Linear between order statistics, as NumPy's. */
static double quantile_of(double *x, int64_t n, double q) {
    qsort(x, (size_t)n, sizeof *x, ascending);
    double at = q * (double)(n - 1);
    int64_t i = (int64_t)at;
    return i + 1 < n ? x[i] + (at - (double)i) * (x[i + 1] - x[i]) : x[n - 1];
}

typedef struct bootstrap {
    int64_t points, resamples;
    double lowest, highest, quantile;
} bootstrap;

static bootstrap bootstrap_of(const pitot_vivit_damping *d) {
    return (bootstrap){ .points = d->points > 0 ? d->points : 100,
                        .resamples = d->resamples > 0 ? d->resamples : 100,
                        .lowest = d->lowest > 0 ? d->lowest : 1e-3,
                        .highest = d->highest > 0 ? d->highest : 100,
                        .quantile = d->quantile > 0 ? d->quantile : 0.05 };
}

static double best_damping(const bootstrap *b, double gamma, double lambda, resampled *r) {
    double best = INFINITY, most = 0;
    for (int64_t i = 0; i < b->points; i++) {
        double share = b->points > 1 ? (double)i / (double)(b->points - 1) : 0;
        double delta = b->lowest * pow(b->highest / b->lowest, share), tau = -gamma / (lambda + delta);
        for (int64_t j = 0; j < r->n; j++) r->gain[j] = -r->gamma[j] * tau - r->lambda[j] * tau * tau / 2;
        double gain = quantile_of(r->gain, r->n, b->quantile);
        if (gain >= 0 && (gain > most || best == INFINITY)) most = gain, best = delta;
    }
    return best;
}

static int32_t bootstrap_dampings(const pitot_vivit *v, const pitot_vivit_damping *how, const derivatives *d, double *delta) {
    bootstrap b = bootstrap_of(how);
    double *room = mem_alloc(3 * b.resamples, sizeof *room);
    resampled r = { b.resamples, room, room + b.resamples, room + 2 * b.resamples };
    for (int64_t k = 0; room && k < d->k; k++) {
        const double *gamma = d->gamma + k * v->n_grad, *lambda = d->lambda + k * v->v.n;
        for (int64_t j = 0; j < r.n; j++) {
            r.gamma[j] = resampled_mean(gamma, v->n_grad, how->seed, (uint64_t)(2 * k), j);
            r.lambda[j] = resampled_mean(lambda, v->v.n, how->seed, (uint64_t)(2 * k + 1), j);
        }
        delta[k] = best_damping(&b, mean_of(gamma, v->n_grad), mean_of(lambda, v->v.n), &r);
    }
    mem_free(room);
    return room ? PITOT_OK : PITOT_ENOMEM;
}

/* Weights of the Gram vectors in the step: tau / sqrt(lambda). */
static void combine(const pitot_vivit *v, const derivatives *d, const double *value, const double *vector, const double *delta,
                    double *sum) {
    double most = largest(value, d->k);
    for (int64_t r = 0; r < d->k; r++) {
        if (is_round_off(v, value[r], most)) continue;
        double tau = -mean_of(d->gamma + r * v->n_grad, v->n_grad) / (mean_of(d->lambda + r * v->v.n, v->v.n) + delta[r]);
        for (int64_t i = 0; i < v->v.columns; i++) sum[i] += tau / sqrt(value[r]) * vector[r * v->v.columns + i];
    }
}

static int32_t newton(pitot_vivit *v, int32_t group, const derivatives *d, const double *value, const double *vector,
                      const pitot_vivit_damping *how, pitot_real *step, double *delta) {
    double *sum = mem_alloc(v->v.columns, sizeof *sum), *room = mem_alloc(d->k, sizeof *room);
    int32_t status = sum && room ? PITOT_OK : PITOT_ENOMEM;
    for (int64_t r = 0; !status && r < d->k; r++) room[r] = how->constant != 0 ? how->constant : 1;
    if (!status && how->kind == PITOT_DAMPING_BOOTSTRAP) status = bootstrap_dampings(v, how, d, room);
    if (!status) {
        combine(v, d, value, vector, room, sum);
        status = factor_apply(&v->v, v->group[group].at, 1, sum, step, v->group[group].size);
        if (delta) memcpy(delta, room, (size_t)d->k * sizeof *delta);
    }
    mem_free(sum);
    mem_free(room);
    return status;
}

int32_t pitot_vivit_newton(pitot_vivit *v, int32_t group, int64_t k, const double *value, const double *vector,
                           const pitot_vivit_damping *damping, pitot_real *step, double *delta, pitot_error *error) {
    derivatives d;
    int32_t status = vivit_check(v, group, value && vector && damping && k > 0 ? step : NULL, error);
    if (status) return status;
    if (damping->kind != PITOT_DAMPING_CONSTANT && damping->kind != PITOT_DAMPING_BOOTSTRAP)
        return pitot_fail(error, PITOT_EINVAL, "kind: there is no damping %ld", (long)damping->kind);
    if (!(damping->constant >= 0) || !(damping->quantile >= 0 && damping->quantile <= 1) || damping->points > 1 << 20 ||
        damping->resamples > 1 << 20)
        return pitot_fail(error, PITOT_EINVAL, "damping: a value is out of range");
    status = make_derivatives(v, group, k, value, vector, &d, error);
    if (!status && newton(v, group, &d, value, vector, damping, step, delta))
        status = pitot_fail(error, PITOT_ENOMEM, "no memory for a step");
    free_derivatives(&d);
    return status;
}
