/* krylov.c: see krylov.h. */

#include "curve/krylov.h"

#include "base/random.h"
#include "pitot/probe.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { LEAST_VECTORS = 6, TRIES = 4 };

static const double AIMED = 1e-2, KEPT = 0.6;

static const double UNIT = sizeof(pitot_real) == 4 ? FLT_EPSILON : DBL_EPSILON;

int krylov_open(krylov *z, const pitot_linop *op, const pitot_lanczos *set) {
    if (!op || !set || !op->apply || !op->symmetric || op->n <= 0 || !set->work || set->vectors < LEAST_VECTORS ||
        set->products < 0 || !(set->tolerance >= 0) || !(set->random >= 0) || !isfinite(set->tolerance) || !isfinite(set->random))
        return 0;
    *z = (krylov){ .op = op, .n = op->n, .row = set->work, .seed = set->seed, .step = set->step };
    z->room = set->vectors < EIGEN_MOST ? (int)set->vectors : EIGEN_MOST;
    return 1;
}

int krylov_add(krylov *z, double least) {
    double along[BASIS_MOST];
    int rows = z->k + z->p;
    pitot_real *v = krylov_row(z, rows);
    double length = sqrt(pitot_sum_squares(v, z->n)), rest = basis_orthogonalise(z->row, rows, z->n, v, along, least * length);
    if (!(rest > 0)) return 0;
    basis_scale(v, z->n, 1 / rest);
    memset(z->link[z->p++], 0, sizeof *z->link);
    return 1;
}

void krylov_add_random(krylov *z) {
    int rows = z->k + z->p, added = 0;
    for (int i = 0; i < TRIES && rows < z->n && !added; i++) {
        memset(krylov_row(z, rows), 0, (size_t)z->n * sizeof(pitot_real));
        basis_add_random(krylov_row(z, rows), z->n, 1, z->seed, z->step, z->draws++);
        added = krylov_add(z, 0);
    }
}

void krylov_start(krylov *z) {
    double square = pitot_sum_squares(z->row, z->n);
    z->k = 0;
    z->p = square > 0 && isfinite(square);
    if (z->p) basis_scale(z->row, z->n, 1 / sqrt(square));
    else krylov_add_random(z);
}

void krylov_aim(krylov *z, const double *g) {
    double c[BASIS_MOST][BASIS_MOST], normal[BASIS_MOST], old[EIGEN_MOST], square = 0;
    for (int i = 0; i < z->p; i++) square += g[i] * g[i];
    if (!(square > 0) || square - g[0] * g[0] <= AIMED * square) return;
    double length = copysign(sqrt(square), -g[0]),
           half = length * (length - g[0]); /* I - normal normal'/half takes length e to g */
    for (int i = 0; i < z->p; i++) normal[i] = g[i] - (i == 0 ? length : 0);
    for (int i = 0; i < z->p; i++)
        for (int j = 0; j < z->p; j++) c[i][j] = (i == j) - normal[i] * normal[j] / half;
    basis_mix(krylov_row(z, z->k), z->p, z->n, c, z->p, krylov_row(z, z->k));
    for (int col = 0; col < z->k; col++) {
        for (int i = 0; i < z->p; i++) old[i] = z->link[i][col];
        for (int i = 0; i < z->p; i++) {
            z->link[i][col] = 0;
            for (int j = 0; j < z->p; j++) z->link[i][col] += c[i][j] * old[j];
        }
    }
}

static int32_t apply(krylov *z, const pitot_real *x, pitot_real *y) {
    z->products++;
    return z->op->apply(z->op->self, x, y, 1);
}

/* Column k of H, L and G after a product: `along` V, the vector itself and the rest of P; P loses its first. */
static void take_column(krylov *z, const double *along) {
    int k = z->k;
    for (int i = 0; i < k; i++) z->h[i][k] = z->h[k][i] = (along[i] + z->link[0][i]) / 2;
    z->h[k][k] = along[k];
    for (int i = 0; i <= k; i++) z->lost[i][k] = z->lost[k][i] = 0;
    for (int i = 1; i < z->p; i++) {
        memcpy(z->link[i - 1], z->link[i], sizeof *z->link);
        z->link[i - 1][k] = along[k + i];
    }
    z->k++;
    z->p--;
}

/* What y = Op p_0 has along V and P, as H is symmetric; p_0'y itself is computed. */
static void expect(const krylov *z, const pitot_real *y, double *along) {
    memset(along, 0, (size_t)(z->k + z->p) * sizeof *along);
    for (int i = 0; i < z->k; i++) along[i] = z->link[0][i];
    along[z->k] = pitot_dot(krylov_row(z, z->k), y, z->n);
}

int32_t krylov_step(krylov *z) {
    int rows = z->k + z->p;
    double along[BASIS_MOST], square = 0;
    pitot_real *y = krylov_row(z, rows);
    int32_t status = apply(z, krylov_row(z, z->k), y);
    if (status) return status;
    expect(z, y, along);
    double rest = basis_orthogonalise_guess(z->row, rows, z->n, y, along, 4 * UNIT * z->largest);
    if (!isfinite(rest)) return PITOT_EHOST;
    for (int i = 0; i < rows; i++) square += along[i] * along[i];
    z->largest = fmax(z->largest, hypot(sqrt(square), rest));
    take_column(z, along);
    if (rest > 0 && rows < z->n) {
        basis_scale(y, z->n, 1 / rest);
        memset(z->link[z->p], 0, sizeof *z->link);
        z->link[z->p++][z->k - 1] = rest;
    } else if (z->p == 0) krylov_add_random(z);
    return PITOT_OK;
}

void krylov_solve(krylov *z) {
    double a[EIGEN_MOST][EIGEN_MOST];
    for (int i = 0; i < z->k; i++) memcpy(a[i], z->h[i], (size_t)z->k * sizeof **a);
    eigen_symmetric(z->k, a, z->value, z->s);
}

void krylov_residual(const krylov *z, int j, double *g) {
    for (int i = 0; i < z->p; i++) {
        g[i] = 0;
        for (int col = 0; col < z->k; col++) g[i] += z->link[i][col] * z->s[col][j];
    }
}

double krylov_estimate(const krylov *z, int j) {
    double g[EIGEN_MOST], square = 0;
    krylov_residual(z, j, g);
    for (int i = 0; i < z->p; i++) square += g[i] * g[i];
    for (int i = 0; i < z->k; i++)
        for (int l = 0; l < z->k; l++) square += z->s[i][j] * z->lost[i][l] * z->s[l][j];
    return sqrt(fmax(square, 0));
}

void krylov_vector(const krylov *z, int j, pitot_real *u) {
    double c[BASIS_MOST][BASIS_MOST];
    for (int i = 0; i < z->k; i++) c[i][0] = z->s[i][j];
    basis_mix(z->row, z->k, z->n, c, 1, u);
    basis_scale(u, z->n, 1 / sqrt(pitot_sum_squares(u, z->n)));
}

int32_t krylov_measure(krylov *z, const pitot_real *u, double *value, double *residual) {
    double left;
    pitot_real *y = krylov_row(z, z->k + z->p);
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
    pitot_real *y = krylov_row(z, z->k + z->p);
    double link[2] = { 0 };
    for (int i = 0; i < 2; i++) krylov_residual(z, column[i], &link[i]);
    double sign = link[0] * link[1] < 0 ? -1 : 1;
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

int32_t krylov_check(krylov *z, int bottom, int top, double *error) {
    double c[BASIS_MOST][BASIS_MOST] = { { 0 } }, expected[BASIS_MOST] = { 0 }, left[BASIS_MOST], share = 1 / sqrt(bottom + top);
    int rows = z->k + z->p;
    for (int j = 0; j < z->k; j++) {
        if (j >= bottom && j < z->k - top) continue;
        double sign = random_uniform(z->seed, RANDOM_LANCZOS, z->step, UINT64_MAX - 1 - (uint64_t)(z->products * EIGEN_MOST + j));
        for (int i = 0; i < z->k; i++) {
            double part = (sign < 0.5 ? -share : share) * z->s[i][j];
            c[i][0] += part;
            expected[i] += z->value[j] * part;
        }
    }
    for (int i = 0; i < z->p; i++)
        for (int col = 0; col < z->k; col++) expected[z->k + i] += z->link[i][col] * c[col][0];
    basis_mix(z->row, z->k, z->n, c, 1, krylov_row(z, rows));
    int32_t status = apply(z, krylov_row(z, rows), krylov_row(z, rows + 1));
    if (status) return status;
    *error = sqrt(basis_reduce(z->row, rows, z->n, krylov_row(z, rows + 1), expected, left)) / share;
    return isfinite(*error) ? PITOT_OK : PITOT_EHOST;
}

/* Columns to keep: half, alternately from the top and from the bottom; or what is wanted and part of what there is room for, from where
   something is wanted. */
static int choose(const krylov *z, int spare, int *column) {
    int wanted = z->top + z->bottom, more = z->room - spare - z->p - wanted, m = wanted ? wanted + (int)(KEPT * more) : z->k / 2;
    int top = z->k - 1, bottom = 0;
    for (int i = 0; i < m; i++) {
        int ends = (z->top > 0) - (z->bottom > 0), down = i < wanted ? i >= z->top : ends ? ends < 0 : (i - wanted) % 2;
        column[i] = down ? bottom++ : top--;
    }
    return m;
}

/* c'a c, a (k,k), c (k,m), in place. */
static void congruence(double a[][EIGEN_MOST], double c[][BASIS_MOST], int k, int m) {
    double product[EIGEN_MOST];
    for (int i = 0; i < k; i++) {
        for (int j = 0; j < m; j++) {
            product[j] = 0;
            for (int l = 0; l < k; l++) product[j] += a[i][l] * c[l][j];
        }
        memcpy(a[i], product, (size_t)m * sizeof *product);
    }
    for (int j = 0; j < m; j++) {
        for (int i = 0; i < m; i++) {
            product[i] = 0;
            for (int l = 0; l < k; l++) product[i] += c[l][i] * a[l][j];
        }
        for (int i = 0; i < m; i++) a[i][j] = product[i];
    }
}

/* Row i of P goes: what it had of L is lost. */
static void drop(krylov *z, int i) {
    for (int a = 0; a < z->k; a++)
        for (int b = 0; b < z->k; b++) z->lost[a][b] += z->link[i][a] * z->link[i][b];
    for (z->p--; i < z->p; i++) {
        memcpy(z->link[i], z->link[i + 1], sizeof *z->link);
        memcpy(krylov_row(z, z->k + i), krylov_row(z, z->k + i + 1), (size_t)z->n * sizeof(pitot_real));
    }
}

static void drop_negligible(krylov *z) {
    for (int i = z->p - 1; i >= 0 && z->p > 1; i--) {
        double square = 0;
        for (int j = 0; j < z->k; j++) square += z->link[i][j] * z->link[i][j];
        if (square <= z->negligible * z->negligible) drop(z, i);
    }
}

void krylov_make_room(krylov *z, int spare) {
    if (z->k + (z->p > 0 ? z->p : 1) + spare <= z->room) return;
    int column[EIGEN_MOST], k = z->k, m = choose(z, spare, column);
    double c[BASIS_MOST][BASIS_MOST], link[EIGEN_MOST];
    for (int j = 0; j < m; j++)
        for (int i = 0; i < k; i++) c[i][j] = z->s[i][column[j]];
    for (int q = 0; q < z->p; q++) {
        memcpy(link, z->link[q], sizeof link);
        for (int j = 0; j < m; j++) {
            z->link[q][j] = 0;
            for (int i = 0; i < k; i++) z->link[q][j] += link[i] * c[i][j];
        }
    }
    congruence(z->lost, c, k, m);
    basis_mix(z->row, k, z->n, c, m, z->row);
    memmove(krylov_row(z, m), krylov_row(z, k), (size_t)(z->p * z->n) * sizeof(pitot_real));
    for (int i = 0; i < m; i++)
        for (int j = 0; j < m; j++) z->h[i][j] = i == j ? z->value[column[i]] : 0;
    z->k = m;
    z->restarts++;
    drop_negligible(z);
    krylov_solve(z);
}
