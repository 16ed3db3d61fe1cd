/* vivit_top.c: the leading eigenpairs of a dense symmetric matrix, in double: block Krylov iteration with restarts (Golub, Underwood
   1977). A block of somewhat more vectors than are wanted is multiplied DEPTH - 1 times, the span of all blocks gives Ritz pairs, and the
   best of those begin again. A block finds eigenvectors of multiple eigenvalues that a single vector would pass over. Where many pairs are
   wanted, or that does not converge, LAPACK makes all of them. */

#include "curve/vivit.h"

#include "base/alloc.h"
#include "base/blas.h"
#include "base/random.h"

#include <math.h>
#include <string.h>

enum { DEPTH = 6, MORE = 6, CYCLES = 12, SMALL = 8 };

typedef struct krylov {
    int64_t n, block, size; /* size = DEPTH block */
    const double *a;
    double *q, *aq;           /* (size,n): orthonormal rows, and their products */
    double *x, *ax;           /* (block,n): Ritz vectors */
    double *t, *value, *work; /* (size,size), (size) */
    uint64_t drawn;
} krylov;

/* ---- all of them ---- */

static int32_t all_pairs(int64_t n, const double *a, int64_t k, double *value, double *vector) {
    int64_t more = blas_eigenvectors_work(n);
    double *copy = more < 0 ? NULL : mem_alloc(n, (size_t)n * sizeof *copy), *all = mem_alloc(n, sizeof *all);
    double *work = more < 0 ? NULL : mem_alloc(more, sizeof *work);
    int32_t status = copy && all && work ? PITOT_OK : PITOT_ENOMEM;
    if (!status) {
        memcpy(copy, a, (size_t)(n * n) * sizeof *copy);
        if (blas_eigenvectors(n, copy, all, work)) status = PITOT_EHOST;
    }
    for (int64_t j = 0; !status && j < k; j++) {
        value[j] = all[n - 1 - j];
        memcpy(vector + j * n, copy + (n - 1 - j) * n, (size_t)n * sizeof *vector);
    }
    mem_free(copy);
    mem_free(all);
    mem_free(work);
    return status;
}

/* ---- blocks ---- */

static double norm(const double *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i] * x[i];
    return sqrt(sum);
}

static void draw(krylov *s, double *x) {
    double pair[2] = { 0 };
    for (int64_t i = 0; i < s->n; i++) {
        if (i % 2 == 0) random_normal(1, random_purpose("vivit.top"), s->drawn, (uint64_t)i, pair);
        x[i] = pair[i % 2];
    }
    s->drawn++;
}

static void subtract_projection(const krylov *s, double *x, int64_t from, int64_t to) {
    for (int64_t j = from; j < to; j++) {
        const double *q = s->q + j * s->n;
        double along = 0;
        for (int64_t i = 0; i < s->n; i++) along += q[i] * x[i];
        for (int64_t i = 0; i < s->n; i++) x[i] -= along * q[i];
    }
}

/* Row `row` of q, orthogonal to those before `from`, becomes a unit vector orthogonal to all before it; another direction where it lies in
   their span. */
static void finish_row(krylov *s, int64_t from, int64_t row) {
    double *x = s->q + row * s->n, before = norm(x, s->n), after = 0;
    for (int tries = 0; tries < 4; tries++) {
        subtract_projection(s, x, from, row);
        after = norm(x, s->n);
        if (after > 0.5 * before) break;
        if (!(after > 1e-10 * before)) {
            draw(s, x);
            from = 0;
            before = norm(x, s->n);
        } else before = after;
    }
    for (int64_t i = 0; i < s->n; i++) x[i] /= after;
}

/* Rows from..from+block of q, twice at once against all blocks before, then one by one. */
static void orthonormalise(krylov *s, int64_t from) {
    int64_t n = s->n, b = s->block;
    double *x = s->q + from * n;
    for (int twice = 0; twice < 2 && from > 0; twice++) {
        blas_gemm_double(0, 1, b, from, n, 1, x, n, s->q, n, 0, s->work, from);
        blas_gemm_double(0, 0, b, n, from, -1, s->work, from, s->q, n, 1, x, n);
    }
    for (int64_t i = 0; i < b; i++) finish_row(s, from, from + i);
}

/* x, ax, value = the best Ritz pairs of a block Krylov space that begins with x. 0: LAPACK failed. */
static int cycle(krylov *s) {
    int64_t n = s->n, b = s->block, m = s->size;
    memcpy(s->q, s->x, (size_t)(b * n) * sizeof *s->q);
    orthonormalise(s, 0);
    for (int64_t d = 0; d < DEPTH; d++) {
        double *aq = s->aq + d * b * n;
        blas_gemm_double(0, 0, b, n, n, 1, s->q + d * b * n, n, s->a, n, 0, aq, n);
        if (d == DEPTH - 1) break;
        memcpy(s->q + (d + 1) * b * n, aq, (size_t)(b * n) * sizeof *aq);
        orthonormalise(s, (d + 1) * b);
    }
    blas_gemm_double(0, 1, m, m, n, 1, s->q, n, s->aq, n, 0, s->t, m);
    if (blas_eigenvectors(m, s->t, s->value, s->work)) return 0;
    blas_gemm_double(0, 0, b, n, m, 1, s->t + (m - b) * m, m, s->q, n, 0, s->x, n);
    blas_gemm_double(0, 0, b, n, m, 1, s->t + (m - b) * m, m, s->aq, n, 0, s->ax, n);
    return 1;
}

static double residual(const krylov *s, int64_t row, double value) {
    const double *x = s->x + row * s->n, *ax = s->ax + row * s->n;
    double sum = 0;
    for (int64_t i = 0; i < s->n; i++) sum += (ax[i] - value * x[i]) * (ax[i] - value * x[i]);
    return sqrt(sum);
}

/* Rows and values are ascending: the last k. */
static int converged(const krylov *s, int64_t k) {
    double most = fabs(s->value[s->size - 1]), tolerance = sizeof(pitot_real) == 8 ? 1e-12 : 1e-6;
    for (int64_t j = 1; j <= k; j++)
        if (!(residual(s, s->block - j, s->value[s->size - j]) <= tolerance * most)) return 0;
    return 1;
}

static int make_room(krylov *s) {
    int64_t m = s->size, work = blas_eigenvectors_work(m);
    s->q = mem_alloc(m, (size_t)s->n * sizeof *s->q);
    s->aq = mem_alloc(m, (size_t)s->n * sizeof *s->q);
    s->x = mem_alloc(s->block, (size_t)s->n * sizeof *s->q);
    s->ax = mem_alloc(s->block, (size_t)s->n * sizeof *s->q);
    s->t = mem_alloc(m, (size_t)m * sizeof *s->q);
    s->value = mem_alloc(m, sizeof *s->q);
    s->work = work < 0 ? NULL : mem_alloc(work, sizeof *s->q); /* more than (block, size) */
    return s->q && s->aq && s->x && s->ax && s->t && s->value && s->work;
}

int32_t vivit_leading(int64_t n, const double *a, int64_t k, double *value, double *vector) {
    krylov s = { .n = n, .block = k + MORE, .size = DEPTH * (k + MORE), .a = a };
    int found = 0, ready;
    if (n < SMALL * s.block) return all_pairs(n, a, k, value, vector);
    ready = make_room(&s);
    for (int64_t i = 0; ready && i < s.block; i++) draw(&s, s.x + i * n);
    for (int i = 0; ready && !found && i < CYCLES && cycle(&s); i++) found = converged(&s, k);
    for (int64_t j = 0; found && j < k; j++) {
        value[j] = s.value[s.size - 1 - j];
        memcpy(vector + j * n, s.x + (s.block - 1 - j) * n, (size_t)n * sizeof *vector);
    }
    void *const blocks[] = { s.q, s.aq, s.x, s.ax, s.t, s.value, s.work };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) mem_free(blocks[i]);
    return !ready ? PITOT_ENOMEM : found ? PITOT_OK : all_pairs(n, a, k, value, vector);
}
