/* roots.c: see roots.h. */

#include "optim/core/roots.h"

#include "base/blas.h"
#include "optim/core/matrix.h"

#include <float.h>
#include <math.h>

#ifdef PITOT_DOUBLE
#define REAL_EPSILON DBL_EPSILON
#define REAL_MAX DBL_MAX
#else
#define REAL_EPSILON FLT_EPSILON
#define REAL_MAX FLT_MAX
#endif

int64_t roots_work(int64_t n) {
    int64_t work = blas_eigenvectors_work(n);
    return work < 0 ? -1 : n * n + n + work;
}

/* Square roots of the powers, in place; 0 if they are not all finite. */
static int raise_values(int64_t n, double eps, double power, double *value) {
    double shift = value[0] < 0 ? -value[0] : 0, least = eps > 0 ? -1 : (double)n * REAL_EPSILON * (value[n - 1] + shift);
    int fine = 1;
    for (int64_t i = 0; i < n; i++) {
        double v = value[i] + shift + eps;
        value[i] = v <= least || v <= 0 ? 0 : pow(v, -power / 2);
        fine &= value[i] * value[i] <= REAL_MAX;
    }
    return fine;
}

/* From signs as even as the multiples of the golden ratio. */
double roots_largest(int64_t n, const pitot_real *m, double *work) {
    double *v = work, *u = v + n, value = 0, before = -1, norm = sqrt((double)n);
    for (int64_t i = 0; i < n; i++) v[i] = ((uint64_t)i * 0x9e3779b97f4a7c15u >> 63 ? 1 : -1) / norm;
    for (int k = 0; k < 100 && fabs(value - before) > 1e-9 * value; k++) {
        before = value;
        value = norm = 0;
        for (int64_t i = 0; i < n; i++) {
            u[i] = 0;
            for (int64_t j = 0; j < n; j++) u[i] += (double)m[i * n + j] * v[j];
            value += u[i] * v[i];
            norm += u[i] * u[i];
        }
        if (!(norm > 0 && norm < INFINITY)) return 0;
        for (int64_t i = 0; i < n; i++) v[i] = u[i] / sqrt(norm);
    }
    return value;
}

int roots_inverse(int64_t n, const pitot_real *m, double scale, double eps, double power, pitot_real *out, double *work) {
    double *a = work, *value = a + n * n, *more = value + n;
    for (int64_t i = 0; i < n * n; i++) a[i] = scale * (double)m[i];
    if (blas_eigenvectors(n, a, value, more) || !raise_values(n, eps, power, value)) return 1;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) a[i * n + j] *= value[i];
    blas_gram_alone(n, n, a, 0, more);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i; j < n; j++) out[i * n + j] = (pitot_real)more[i * n + j];
    matrix_mirror(n, out);
    return 0;
}
