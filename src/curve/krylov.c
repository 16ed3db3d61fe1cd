/* krylov.c: see krylov.h. */

#include "curve/krylov.h"

#include "pitot/probe.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { TRIES = 4 };

static const double UNIT = sizeof(pitot_real) == 4 ? FLT_EPSILON : DBL_EPSILON;

/* Row k becomes a random unit vector orthogonal to V, not coupled to it. */
static void go_on_at_random(krylov *z) {
    double along[BASIS_MOST];
    pitot_real *v = krylov_row(z, z->k);
    memset(z->link, 0, sizeof z->link);
    z->has_next = 0;
    for (int i = 0; i < TRIES && z->k < z->n && !z->has_next; i++) {
        memset(v, 0, (size_t)z->n * sizeof *v);
        basis_add_random(v, z->n, 1, z->seed, z->step, z->draws++);
        double rest = basis_orthogonalise(z->row, z->k, z->n, v, along, 0);
        if (rest > 0) basis_scale(v, z->n, 1 / rest);
        z->has_next = rest > 0;
    }
}

void krylov_start(krylov *z) {
    double square = pitot_sum_squares(z->row, z->n);
    z->k = 0;
    z->has_next = square > 0 && isfinite(square);
    if (z->has_next) basis_scale(z->row, z->n, 1 / sqrt(square));
    else go_on_at_random(z);
}

static int32_t apply(krylov *z, const pitot_real *x, pitot_real *y) {
    z->products++;
    return z->op->apply(z->op->self, x, y, 1);
}

int32_t krylov_step(krylov *z) {
    int k = z->k;
    double along[BASIS_MOST], square = 0;
    int32_t status = apply(z, krylov_row(z, k), krylov_row(z, k + 1));
    if (status) return status;
    double rest = basis_orthogonalise(z->row, k + 1, z->n, krylov_row(z, k + 1), along, 4 * UNIT * z->largest);
    if (!isfinite(rest)) return PITOT_EHOST;
    for (int i = 0; i < k; i++) z->h[i][k] = z->h[k][i] = (along[i] + z->link[i]) / 2;
    z->h[k][k] = along[k];
    for (int i = 0; i <= k; i++) square += along[i] * along[i];
    z->largest = fmax(z->largest, hypot(sqrt(square), rest));
    z->k = k + 1;
    if (rest == 0 || z->k >= z->n) {
        go_on_at_random(z);
        return PITOT_OK;
    }
    basis_scale(krylov_row(z, k + 1), z->n, 1 / rest);
    memset(z->link, 0, sizeof z->link);
    z->link[k] = rest;
    return PITOT_OK;
}

void krylov_solve(krylov *z) {
    double a[EIGEN_MOST][EIGEN_MOST];
    for (int i = 0; i < z->k; i++) memcpy(a[i], z->h[i], (size_t)z->k * sizeof **a);
    eigen_symmetric(z->k, a, z->value, z->s);
}

/* The residual of column j is this times v. */
static double krylov_link(const krylov *z, int j) {
    double sum = 0;
    for (int i = 0; i < z->k; i++) sum += z->link[i] * z->s[i][j];
    return sum;
}

double krylov_estimate(const krylov *z, int j) {
    return fabs(krylov_link(z, j));
}

void krylov_vector(const krylov *z, int j, pitot_real *u) {
    double c[BASIS_MOST][BASIS_MOST];
    for (int i = 0; i < z->k; i++) c[i][0] = z->s[i][j];
    basis_mix(z->row, z->k, z->n, c, 1, u);
    basis_scale(u, z->n, 1 / sqrt(pitot_sum_squares(u, z->n)));
}

int32_t krylov_measure(krylov *z, const pitot_real *u, double *value, double *residual) {
    double left;
    pitot_real *y = krylov_row(z, z->k + z->has_next);
    int32_t status = apply(z, u, y);
    if (status) return status;
    basis_reduce(u, 1, z->n, y, NULL, value);
    *residual = sqrt(basis_reduce(u, 1, z->n, y, value, &left));
    return isfinite(*value) && isfinite(*residual) ? PITOT_OK : PITOT_EHOST;
}

/* sqrt(2) y - a u - b w: squared length */
static double rest_of_pair(const pitot_real *y, double a, const pitot_real *u, double b, const pitot_real *w, int64_t n) {
    double rest = 0;
    for (int64_t i = 0; i < n; i++) {
        double r = M_SQRT2 * (double)y[i] - a * (double)u[i] - b * (double)w[i];
        rest += r * r;
    }
    return rest;
}

int32_t krylov_measure_pair(krylov *z, const int column[2], pitot_real *u, pitot_real *w, double value[2], double residual[2]) {
    pitot_real *y = krylov_row(z, z->k + z->has_next);
    double link[2] = { krylov_link(z, column[0]), krylov_link(z, column[1]) }, sign = link[0] * link[1] < 0 ? -1 : 1;
    krylov_vector(z, column[0], u);
    krylov_vector(z, column[1], w);
    for (int64_t i = 0; i < z->n; i++) w[i] = (pitot_real)(((double)u[i] + sign * (double)w[i]) * M_SQRT1_2);
    int32_t status = apply(z, w, y);
    if (status) return status;
    krylov_vector(z, column[1], w);
    value[0] = M_SQRT2 * pitot_dot(u, y, z->n);
    value[1] = M_SQRT2 * sign * pitot_dot(w, y, z->n);
    double rest = rest_of_pair(y, value[0], u, sign * value[1], w, z->n), expected = fabs(link[0]) + fabs(link[1]),
           more = sqrt(fmax(0, rest - expected * expected));
    for (int i = 0; i < 2; i++) residual[i] = fabs(link[i]) + more;
    return isfinite(rest) && isfinite(value[0]) && isfinite(value[1]) ? PITOT_OK : PITOT_EHOST;
}

/* Columns to keep: half, alternately from the top and from the bottom. */
static int choose(const krylov *z, int *column) {
    int m = z->k / 2, top = z->k - 1, bottom = 0;
    for (int i = 0; i < m; i++) column[i] = i % 2 ? bottom++ : top--;
    return m;
}

void krylov_make_room(krylov *z) {
    if (z->k + 1 < z->room) return;
    int column[EIGEN_MOST], m = choose(z, column);
    double c[BASIS_MOST][BASIS_MOST], link[EIGEN_MOST] = { 0 };
    for (int j = 0; j < m; j++)
        for (int i = 0; i < z->k; i++) {
            c[i][j] = z->s[i][column[j]];
            link[j] += z->link[i] * c[i][j];
        }
    basis_mix(z->row, z->k, z->n, c, m, z->row);
    if (z->has_next) memcpy(krylov_row(z, m), krylov_row(z, z->k), (size_t)z->n * sizeof(pitot_real));
    for (int i = 0; i < m; i++)
        for (int j = 0; j < m; j++) z->h[i][j] = i == j ? z->value[column[i]] : 0;
    memcpy(z->link, link, sizeof link);
    z->k = m;
    z->restarts++;
    krylov_solve(z);
}
