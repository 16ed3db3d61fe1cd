/* operators.h: symmetric operators with known spectra for the tests of eigenvalues: a diagonal between mirrors, a dense matrix, and one
   that drifts. They count, add noise, and fail when told to. They call themselves checked, so that calls are those of the search alone, and noise
   gets into it: what solvers make of an operator that does not is in test_checked.c. */

#ifndef PITOT_TESTS_OPERATORS_H
#define PITOT_TESTS_OPERATORS_H

#include "base/alloc.h"
#include "base/random.h"
#include "pitot/linop.h"

#include <lapacke.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static inline double gauss(uint64_t *counter) {
    double out[2];
    random_normal(11, 99, 0, (*counter)++, out);
    return out[0];
}

/* Under valgrind and sanitizers: fewer rounds of the same. */
static inline int is_brief(void) {
    const char *text = getenv("PITOT_FUZZ_SCALE");
    return text && strtod(text, NULL) < 1;
}

/* ---- diag + mirrors, or dense ---- */

typedef struct matrix {
    int64_t n;
    const double *diagonal, *dense; /* (n), (n,n): one of them */
    double *mirror;                 /* (2,n) unit vectors or NULL: M diag M', M = (I - 2 a a')(I - 2 b b') */
    double noise;                   /* relative to |Op x|, per value N(0,1)/sqrt(n) */
    uint64_t drawn;
    int64_t calls, fails_at, nan_at; /* 0: never */
    double *x, *y;                   /* (n) each */
} matrix;

static inline void reflect(const double *a, double *x, int64_t n) {
    double dot = 0;
    for (int64_t i = 0; i < n; i++) dot += a[i] * x[i];
    for (int64_t i = 0; i < n; i++) x[i] -= 2 * dot * a[i];
}

/* y = A x, without noise. */
static inline void multiply(matrix *m, const pitot_real *x, double *y) {
    int64_t n = m->n;
    for (int64_t i = 0; i < n; i++) m->x[i] = (double)x[i];
    if (m->mirror)
        for (int k = 0; k < 2; k++) reflect(m->mirror + k * n, m->x, n);
    for (int64_t i = 0; i < n; i++) {
        y[i] = m->diagonal ? m->diagonal[i] * m->x[i] : 0;
        if (m->dense)
            for (int64_t j = 0; j < n; j++) y[i] += m->dense[i * n + j] * m->x[j];
    }
    if (m->mirror)
        for (int k = 1; k >= 0; k--) reflect(m->mirror + k * n, y, n);
}

static inline int32_t apply_matrix(void *self, const pitot_real *x, pitot_real *y, int64_t k) {
    matrix *m = self;
    assert_int_equal(k, 1);
    m->calls++;
    if (m->calls == m->fails_at) return -77;
    multiply(m, x, m->y);
    double square = 0;
    for (int64_t i = 0; i < m->n; i++) square += m->y[i] * m->y[i];
    double size = m->noise * sqrt(square / (double)m->n);
    for (int64_t i = 0; i < m->n; i++) y[i] = (pitot_real)(m->y[i] + (size > 0 ? size * gauss(&m->drawn) : 0));
    if (m->calls == m->nan_at) y[m->n / 2] = NAN;
    return PITOT_OK;
}

static inline pitot_linop operator_of(matrix *m) {
    return (pitot_linop){ .struct_size = sizeof(pitot_linop),
                          .name = "matrix",
                          .n = m->n,
                          .symmetric = 1,
                          .exact = 1,
                          .apply = apply_matrix,
                          .self = m,
                          .checked = 1 };
}

static inline matrix matrix_new(int64_t n, const double *diagonal, const double *dense) {
    double *room = mem_alloc(2 * n, sizeof *room);
    return (matrix){ .n = n, .diagonal = diagonal, .dense = dense, .x = room, .y = room + n };
}

static inline void set_mirrors(matrix *m, double *mirror) {
    uint64_t counter = 1000;
    for (int k = 0; k < 2; k++) {
        double *a = mirror + k * m->n, square = 0;
        for (int64_t i = 0; i < m->n; i++) {
            a[i] = gauss(&counter);
            square += a[i] * a[i];
        }
        for (int64_t i = 0; i < m->n; i++) a[i] /= sqrt(square);
    }
    m->mirror = mirror;
}

/* |A u - theta u| without noise; theta as reported. */
static inline double true_residual(matrix *m, const pitot_real *u, double theta) {
    double square = 0;
    multiply(m, u, m->y);
    for (int64_t i = 0; i < m->n; i++) square += (m->y[i] - theta * (double)u[i]) * (m->y[i] - theta * (double)u[i]);
    return sqrt(square);
}

static inline double *random_symmetric(int64_t n, uint64_t counter) {
    double *a = mem_alloc(n * n, sizeof *a);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++) a[i * n + j] = a[j * n + i] = gauss(&counter);
    return a;
}

static inline double *lapack_values(const double *a, int64_t n) {
    double *copy = mem_alloc(n * n, sizeof *copy), *value = mem_alloc(n, sizeof *value);
    memcpy(copy, a, (size_t)(n * n) * sizeof *copy);
    assert_int_equal(LAPACKE_dsyev(LAPACK_ROW_MAJOR, 'N', 'U', (lapack_int)n, copy, (lapack_int)n, value), 0);
    mem_free(copy);
    return value;
}

/* ---- known spectra ---- */

typedef struct spectrum {
    const char *name;
    int64_t n;
    double value[6];  /* the first ones */
    double from, to;  /* the rest, evenly */
    double high, low; /* right answers */
} spectrum;

static const spectrum spectra[] = {
    { "negative end larger", 3, { -5, 1, 2 }, 0, 0, 2, -5 },
    { "nearly opposite", 3, { 2, -1.99, 0.5 }, 0, 0, 2, -1.99 },
    { "opposite", 2, { 3, -3 }, 0, 0, 3, -3 },
    { "opposite, many", 300, { 3, -3 }, -1, 1, 3, -3 },
    { "one", 1, { -4 }, 0, 0, -4, -4 },
    { "one, zero", 1, { 0 }, 0, 0, 0, 0 },
    { "zero", 50, { 0 }, 0, 0, 0, 0 },
    { "all equal", 50, { 7, 7, 7, 7, 7, 7 }, 7, 7, 7, 7 },
    { "all equal, negative", 50, { -7, -7, -7, -7, -7, -7 }, -7, -7, -7, -7 },
    { "rank one", 200, { 9 }, 0, 0, 9, 0 },
    { "rank one, negative", 200, { -9 }, 0, 0, 0, -9 },
    { "double at the top", 200, { 9, 9, -2 }, 0, 1, 9, -2 },
    { "triple at both ends", 200, { 9, 9, 9, -9, -9, -9 }, -1, 1, 9, -9 },
    { "cluster at the top", 200, { 9, 8.99, 8.98, 8.97, 8.96, -2 }, 0, 1, 9, -2 },
    { "two values", 100, { -1, -1, -1, -1, -1, -1 }, 2, 2, 2, -1 },
    { "all positive", 200, { 10 }, 1, 2, 10, 1 },
    { "all negative", 200, { -10 }, -2, -1, -1, -10 },
    { "small", 100, { 1e-12, -2e-12 }, -1e-13, 1e-13, 1e-12, -2e-12 },
    { "large", 100, { 1e12, -2e12 }, -1e11, 1e11, 1e12, -2e12 },
};

static inline void fill(const spectrum *s, double *diagonal) {
    for (int64_t i = 0; i < s->n; i++)
        diagonal[i] = i < 6 ? s->value[i] : s->from + (s->to - s->from) * (double)(i - 6) / (double)(s->n > 7 ? s->n - 7 : 1);
    for (int64_t i = 0; i < 6 && i < s->n; i++)
        if (s->value[i] == 0 && s->n > 6) diagonal[i] = s->from;
}

/* ---- a spectrum as nets have them ---- */

enum { MANY = 20000 };

/* 10 outliers from 2 to 50, -0.8, and a bulk in [-0.4, 1.2]. */
static inline void fill_net_like(double *diagonal, int64_t n) {
    uint64_t counter = 5;
    for (int64_t i = 0; i < n; i++) {
        double z = gauss(&counter), v = 0.3 * fabs(z * z * z) * (gauss(&counter) > 1.2816 ? -0.3 : 1);
        diagonal[i] = i < 10 ? 2 * pow(25, (double)i / 9) : i == 10 ? -0.8 : fmin(fmax(v, -0.4), 1.2);
    }
}

/* ---- a drifting operator: sum of outliers u u' and a bulk on the rest ---- */

enum { OUTLIERS = 13, WIDE = 1000 };

typedef struct drift {
    double u[OUTLIERS][WIDE], value[OUTLIERS], bulk[WIDE];
    uint64_t counter;
    int64_t calls;
} drift;

static inline double inner(const double *a, const double *b) {
    double sum = 0;
    for (int i = 0; i < WIDE; i++) sum += a[i] * b[i];
    return sum;
}

static inline void add(double *a, double scale, const double *b) {
    for (int i = 0; i < WIDE; i++) a[i] += scale * b[i];
}

static inline void orthonormalise(drift *d) {
    for (int pass = 0; pass < 2; pass++)
        for (int j = 0; j < OUTLIERS; j++) {
            for (int k = 0; k < j; k++) add(d->u[j], -inner(d->u[j], d->u[k]), d->u[k]);
            add(d->u[j], 1 / sqrt(inner(d->u[j], d->u[j])) - 1, d->u[j]);
        }
}

/* y = sum value u u'x + P bulk P x, P = I - U U'. */
static inline void drift_multiply(const drift *d, const pitot_real *x, double *y) {
    double p[WIDE], along[OUTLIERS];
    for (int i = 0; i < WIDE; i++) p[i] = (double)x[i];
    for (int j = 0; j < OUTLIERS; j++) {
        along[j] = inner(d->u[j], p);
        add(p, -along[j], d->u[j]);
    }
    for (int i = 0; i < WIDE; i++) y[i] = d->bulk[i] * p[i];
    for (int j = 0; j < OUTLIERS; j++) add(y, d->value[j] * along[j] - inner(d->u[j], y), d->u[j]);
}

static inline int32_t apply_drift(void *self, const pitot_real *x, pitot_real *y, int64_t k) {
    drift *d = self;
    double out[WIDE];
    assert_int_equal(k, 1);
    d->calls++;
    drift_multiply(d, x, out);
    for (int i = 0; i < WIDE; i++) y[i] = (pitot_real)out[i];
    return PITOT_OK;
}

static inline void drift_start(drift *d, double outliers_from, double negative) {
    memset(d, 0, sizeof *d);
    fill_net_like(d->bulk, WIDE);
    for (int i = 0; i <= 10; i++) d->bulk[i] = 0.1;
    for (int j = 0; j < OUTLIERS; j++)
        for (int i = 0; i < WIDE; i++) d->u[j][i] = gauss(&d->counter);
    for (int j = 0; j < 10; j++) d->value[j] = outliers_from * pow(50 / outliers_from, j / 9.0);
    for (int j = 10; j < OUTLIERS; j++) d->value[j] = negative / (j - 9);
    orthonormalise(d);
}

/* Turns every outlier's vector by about `angle`, half of it among each other; values move by one percent. */
static inline void drift_on(drift *d, double angle) {
    static double u[OUTLIERS][WIDE];
    memcpy(u, d->u, sizeof u);
    for (int j = 0; j < OUTLIERS; j++) {
        for (int k = 0; k < OUTLIERS; k++) add(d->u[j], angle * sqrt(0.5 / OUTLIERS) * gauss(&d->counter), u[k]);
        for (int i = 0; i < WIDE; i++) d->u[j][i] += angle * sqrt(0.5 / WIDE) * gauss(&d->counter);
        d->value[j] *= 1 + 0.01 * gauss(&d->counter);
    }
    orthonormalise(d);
}

#endif
