/* psgd.c: see psgd.h. */

#include "optim/core/psgd.h"

#include "base/blas.h"
#include "optim/core/matrix.h"

#include <float.h>
#include <math.h>

#ifdef PITOT_DOUBLE
#define REAL_MIN DBL_MIN
#else
#define REAL_MIN FLT_MIN
#endif

static double length(int64_t n, const pitot_real *x) {
    return sqrt(matrix_squares(x, 1, n, n));
}

static void scale(int64_t n, double by, const pitot_real *x, pitot_real *out) {
    for (int64_t i = 0; i < n; i++) out[i] = (pitot_real)((double)x[i] * by);
}

/* ---- norm ---- */

int64_t psgd_norm_work(int64_t n) {
    return n * n + 2 * PSGD_PROBES * n;
}

/* The largest on the diagonal, or for skew matrices anywhere. */
static double largest(int64_t n, const pitot_real *a, int skew) {
    double most = skew ? 0 : (double)a[0];
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = skew ? 0 : i; j < (skew ? n : i + 1); j++) {
            double x = skew ? fabs((double)a[i * n + j]) : (double)a[i * n + j];
            most = x > most ? x : most;
        }
    return most;
}

static const pitot_real *longest_row(int64_t n, const pitot_real *a) {
    const pitot_real *row = a;
    double most = -1;
    for (int64_t i = 0; i < n; i++) {
        double x = matrix_squares(a + i * n, 1, n, n);
        if (x > most) most = x, row = a + i * n;
    }
    return row;
}

/* v = row + sign(<row, v>) v */
static void turn_towards(int64_t n, const pitot_real *row, pitot_real *v) {
    double product = 0;
    for (int64_t i = 0; i < n; i++) product += (double)row[i] * (double)v[i];
    pitot_real sign = (pitot_real)((product > 0) - (product < 0));
    for (int64_t i = 0; i < n; i++) v[i] = row[i] + sign * v[i];
}

double psgd_norm(int64_t n, const pitot_real *given, int skew, const psgd_draws *draws, pitot_real *work) {
    pitot_real *a = work, *v = a + n * n, *u = v + PSGD_PROBES * n;
    double unit = largest(n, given, skew) + REAL_MIN, most = 0;
    scale(n * n, 1 / unit, given, a);
    draws->normal(draws->self, PSGD_PROBES * n, v);
    const pitot_real *row = longest_row(n, a);
    for (int64_t k = 0; k < PSGD_PROBES; k++) turn_towards(n, row, v + k * n);
    for (int half = 0; half < 2; half++) {
        blas_gemm(0, 0, PSGD_PROBES, n, n, 1, v, n, a, n, 0, u, n);
        for (int64_t k = 0; k < PSGD_PROBES; k++) scale(n, 1 / (length(n, u + k * n) + REAL_MIN), u + k * n, u + k * n);
        blas_gemm(0, 0, PSGD_PROBES, n, n, 1, u, n, a, n, 0, v, n);
    }
    for (int64_t k = 0; k < PSGD_PROBES; k++) most = fmax(most, length(n, v + k * n));
    return unit * most;
}

/* ---- orthogonal Procrustes problem ---- */

int64_t psgd_turn_work(int64_t n) {
    return 3 * n * n + psgd_norm_work(n);
}

static double trace(int64_t n, const pitot_real *a) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)a[i * n + i];
    return sum;
}

void psgd_turn(int64_t n, pitot_real *q, const psgd_draws *draws, pitot_real *work) {
    pitot_real *r = work, *rq = r + n * n, *rrq = rq + n * n;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) r[i * n + j] = q[j * n + i] - q[i * n + j];
    double norm = psgd_norm(n, r, 1, draws, rrq + n * n);
    scale(n * n, 1 / (norm + REAL_MIN), r, r);
    blas_gemm(0, 0, n, n, n, 1, r, n, q, n, 0, rq, n);
    blas_gemm(0, 0, n, n, n, 1, r, n, rq, n, 0, rrq, n);
    double t1 = trace(n, rq), t2 = trace(n, rrq), a = t2 < 0 && -t1 / t2 < 0.125 ? -t1 / t2 : 0.125;
    pitot_real first = (pitot_real)a, second = (pitot_real)(a * a / 2);
    for (int64_t i = 0; i < n * n; i++) q[i] += first * rq[i] + second * rrq[i];
}
