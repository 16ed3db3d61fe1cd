/* bases.c: see bases.h. */

#include "optim/core/bases.h"

#include "base/blas.h"
#include "optim/core/matrix.h"

#include <string.h>

static void copy(int64_t n, const pitot_real *from, pitot_real *to) {
    memcpy(to, from, (size_t)n * sizeof *to);
}

/* Whether column i comes before column j: by value, ties by number. */
static int before(const pitot_real *value, int64_t stride, int falling, int64_t i, int64_t j) {
    pitot_real a = value[i * stride], b = value[j * stride];
    if (a == b) return i < j;
    return falling ? a > b : a < b;
}

/* Numbers 0..n-1 in order of their values; Shell's sort, in place. */
static void sort(int64_t n, const pitot_real *value, int64_t stride, int falling, int64_t *order) {
    int64_t gap = 1;
    for (int64_t i = 0; i < n; i++) order[i] = i;
    while (gap < n / 3) gap = 3 * gap + 1;
    for (; gap > 0; gap /= 3)
        for (int64_t i = gap; i < n; i++) {
            int64_t x = order[i], j = i;
            for (; j >= gap && before(value, stride, falling, x, order[j - gap]); j -= gap) order[j] = order[j - gap];
            order[j] = x;
        }
}

static void transpose(int64_t n, const pitot_real *from, pitot_real *to) {
    enum { TILE = 32 };
    for (int64_t i0 = 0; i0 < n; i0 += TILE)
        for (int64_t j0 = 0; j0 < n; j0 += TILE)
            for (int64_t i = i0; i < n && i < i0 + TILE; i++)
                for (int64_t j = j0; j < n && j < j0 + TILE; j++) to[j * n + i] = from[i * n + j];
}

/* ---- decomposition ---- */

int64_t basis_eigen_work(int64_t n) {
    int64_t work = blas_eigenvectors_work(n);
    return work < 0 ? -1 : n * n + n + work;
}

int basis_eigen(int64_t n, const pitot_real *m, int falling, pitot_real *q, double *work) {
    double *a = work, *value = a + n * n;
    for (int64_t i = 0; i < n * n; i++) a[i] = (double)m[i];
    if (blas_eigenvectors(n, a, value, value + n)) return 1;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) q[i * n + j] = (pitot_real)a[(falling ? n - 1 - j : j) * n + i];
    return 0;
}

/* ---- orthogonal iteration ---- */

int64_t basis_iterate_work(int64_t n) {
    return 2 * n * n + n + blas_orthonormal_work(n);
}

int basis_iterate(int64_t n, const pitot_real *m, pitot_real *q, int64_t *order, pitot_real *work) {
    pitot_real *t = work, *c = t + n * n, *diagonal = c + n * n;
    blas_gemm(1, 0, n, n, n, 1, q, n, m, n, 0, t, n); /* row j: M q_j */
    for (int64_t j = 0; j < n; j++) {
        double sum = 0;
        for (int64_t i = 0; i < n; i++) sum += (double)t[j * n + i] * (double)q[i * n + j];
        diagonal[j] = (pitot_real)sum;
    }
    sort(n, diagonal, 1, 1, order);
    for (int64_t j = 0; j < n; j++) copy(n, t + order[j] * n, c + j * n);
    int failed = blas_orthonormal(n, c, NULL, diagonal + n);
    if (!failed) transpose(n, c, q);
    for (int64_t j = 0; failed && j < n; j++) order[j] = j;
    return failed;
}

/* ---- QR algorithm ---- */

int64_t basis_refine_work(int64_t n) {
    return 3 * n * n + blas_orthonormal_work(n);
}

static int diagonal_enough(int64_t n, const pitot_real *b, double tolerance) {
    double off = 0, all = matrix_squares(b, n, n, n);
    for (int64_t i = 0; i < n; i++) {
        off += matrix_squares(b + i * n, 1, i, i);
        off += matrix_squares(b + i * n + i + 1, 1, n - 1 - i, n - 1 - i);
    }
    return off <= tolerance * tolerance * all;
}

static void order_columns(int64_t n, const int64_t *order, pitot_real *q, pitot_real *row) {
    for (int64_t i = 0; i < n; i++) {
        copy(n, q + i * n, row);
        for (int64_t j = 0; j < n; j++) q[i * n + j] = row[order[j]];
    }
}

int basis_refine(int64_t n, const pitot_real *m, double tolerance, int64_t most, pitot_real *q, int64_t *order, int64_t *made,
                 pitot_real *work) {
    pitot_real *b = work, *c = b + n * n, *r = c + n * n, *more = r + n * n;
    int failed = 0;
    *made = 0;
    blas_gemm(1, 0, n, n, n, 1, q, n, m, n, 0, c, n);
    blas_gemm(0, 0, n, n, n, 1, c, n, q, n, 0, b, n);
    while (*made < most && !diagonal_enough(n, b, tolerance)) {
        copy(n * n, b, c);
        failed = blas_orthonormal(n, c, r, more); /* B = Q_B R; c = Q_B', r = R' */
        if (failed) break;
        blas_gemm(0, 0, n, n, n, 1, c, n, r, n, 0, b, n); /* (R Q_B)' */
        blas_gemm(0, 1, n, n, n, 1, q, n, c, n, 0, r, n);
        copy(n * n, r, q);
        ++*made;
    }
    sort(n, b, n + 1, 0, order);
    order_columns(n, order, q, c);
    return failed;
}
