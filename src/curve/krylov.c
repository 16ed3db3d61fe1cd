/* krylov.c: see krylov.h. */

#include "curve/krylov.h"

#include "base/blas.h"
#include "base/random.h"
#include "curve/check.h"
#include "curve/tridiagonal.h"
#include "pitot/probe.h"

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

enum { LEAST_VECTORS = 6, TRIES = 4, ALIGNED = 64 };

static const double AIMED = 1e-2, KEPT = 0.6, LEAST_ORTHOGONAL = 1e-2;

static const double UNIT = sizeof(pitot_real) == 4 ? FLT_EPSILON : DBL_EPSILON;

/* The matrices in the struct itself. */
static void use_own(krylov *z, int64_t vectors) {
    double *next = z->own;
    z->apart = EIGEN_MOST;
    z->room = vectors < EIGEN_MOST ? (int)vectors : EIGEN_MOST;
    double **parts[] = { &z->h, &z->link, &z->lost, &z->s, &z->scratch };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++, next += EIGEN_MOST * EIGEN_MOST) *parts[i] = next;
    z->value = next;
}

/* Doubles for matrices of `room` rows. */
static int64_t doubles_for(int64_t room) {
    return 6 * room * room + 2 * room + blas_eigenvectors_work(room);
}

/* The matrices behind the rows, in the caller's work space, with as many rows as leave room for them; 0: no more than use_own offers. */
static int use_work(krylov *z, int64_t vectors) {
    int64_t room = vectors < KRYLOV_MOST ? vectors : KRYLOV_MOST, bytes;
    if (__builtin_mul_overflow(vectors, z->n * (int64_t)sizeof *z->row, &bytes)) return 0;
    while (room > EIGEN_MOST && room * z->n * (int64_t)sizeof *z->row + doubles_for(room) * (int64_t)sizeof *z->h + ALIGNED > bytes)
        room--;
    if (room <= EIGEN_MOST) return 0;
    uintptr_t end = (uintptr_t)(z->row + room * z->n);
    double *next = (double *)(void *)((char *)(z->row + room * z->n) + (ALIGNED - end % ALIGNED) % ALIGNED);
    double **parts[] = { &z->h, &z->link, &z->lost, &z->s, &z->scratch, &z->omega };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++, next += room * room) *parts[i] = next;
    z->value = next;
    z->last = next + room;
    z->lapack = next + 2 * room;
    z->apart = z->room = (int)room;
    return 1;
}

int krylov_open(krylov *z, const pitot_linop *op, const pitot_lanczos *set) {
    if (!op || !set || !op->apply || !op->symmetric || op->n <= 0 || !set->work || set->vectors < LEAST_VECTORS ||
        set->products < 0 || !(set->tolerance >= 0) || !(set->random >= 0) || !isfinite(set->tolerance) || !isfinite(set->random))
        return 0;
    *z = (krylov){ .op = op, .n = op->n, .row = set->work, .seed = set->seed, .step = set->step, .plain = 1, .noise = 1 };
    if (set->struct_size >= offsetof(pitot_lanczos, error) + sizeof set->error) z->error = set->error;
    z->large = set->vectors > EIGEN_MOST && use_work(z, set->vectors);
    z->most = fmin(krylov_tolerance(set), LEAST_ORTHOGONAL);
    z->semi = z->large && z->most >= sqrt(UNIT);
    if (!z->large) use_own(z, set->vectors);
    return 1;
}

/* Nothing of what was known of H's eigenpairs holds; `plain`: but its form does. */
static void change(krylov *z, int plain) {
    z->solved = 0;
    z->plain = z->plain && plain;
}

int krylov_add(krylov *z, double least) {
    double along[KRYLOV_MOST];
    int rows = z->k + z->p;
    pitot_real *v = krylov_row(z, rows);
    least *= sqrt(pitot_sum_squares(v, z->n));
    double rest = z->semi ? krylov_welcome(z, rows, least) : basis_orthogonalise_many(z->row, rows, z->n, v, along, least);
    if (!(rest > 0)) return 0;
    basis_scale(v, z->n, 1 / rest);
    memset(z->link + z->p++ * z->apart, 0, (size_t)z->apart * sizeof *z->link);
    change(z, rows == 0);
    return 1;
}

void krylov_add_random(krylov *z) {
    int rows = z->k + z->p, added = 0;
    for (int i = 0; i < TRIES && rows < z->n && !added; i++) {
        memset(krylov_row(z, rows), 0, (size_t)z->n * sizeof(pitot_real));
        basis_add_random(krylov_row(z, rows), z->n, 1, z->seed, z->step, z->draws++);
        if (z->within) reduced_project(z->within, krylov_row(z, rows));
        added = krylov_add(z, 0);
    }
}

void krylov_start(krylov *z) {
    if (z->within) reduced_project(z->within, z->row);
    double square = pitot_sum_squares(z->row, z->n);
    z->k = 0;
    z->p = square > 0 && isfinite(square);
    if (z->p) basis_scale(z->row, z->n, 1 / sqrt(square));
    else krylov_add_random(z);
}

/* Rows of `m` from row `first` on, p of them, become C times them, in columns 0 to columns - 1. */
static void combine_rows(const krylov *z, double *m, int first, const double *c, int columns) {
    double old[KRYLOV_MOST];
    for (int col = 0; col < columns; col++) {
        for (int i = 0; i < z->p; i++) old[i] = m[(first + i) * z->apart + col];
        for (int i = 0; i < z->p; i++) {
            double sum = 0;
            for (int j = 0; j < z->p; j++) sum += c[i * z->apart + j] * old[j];
            m[(first + i) * z->apart + col] = sum;
        }
    }
}

/* The same reflection for omega, whose columns follow its rows. */
static void combine_omega(const krylov *z, const double *c) {
    combine_rows(z, z->omega, z->k, c, z->k);
    for (int i = 0; i < z->k; i++)
        for (int j = 0; j < z->p; j++) z->omega[i * z->apart + z->k + j] = z->omega[(z->k + j) * z->apart + i];
}

void krylov_aim(krylov *z, const double *g) {
    double normal[KRYLOV_MOST], *c = z->scratch, square = 0;
    for (int i = 0; i < z->p; i++) square += g[i] * g[i];
    if (!(square > 0) || square - g[0] * g[0] <= AIMED * square) return;
    double length = copysign(sqrt(square), -g[0]),
           half = length * (length - g[0]); /* I - normal normal'/half takes length e to g */
    for (int i = 0; i < z->p; i++) normal[i] = g[i] - (i == 0 ? length : 0);
    for (int i = 0; i < z->p; i++)
        for (int j = 0; j < z->p; j++) c[i * z->apart + j] = (i == j) - normal[i] * normal[j] / half;
    basis_mix(krylov_row(z, z->k), z->p, z->n, c, z->apart, z->p, krylov_row(z, z->k));
    combine_rows(z, z->link, 0, c, z->k);
    if (z->semi) combine_omega(z, c);
}

/* y: the first free row, or the next. After the first product of all, which P alone stands before, the one behind it is free, too. */
static int32_t apply(krylov *z, const pitot_real *x, pitot_real *y) {
    int first = z->products++ == 0;
    int32_t status = z->op->apply(z->op->self, x, y, 1);
    return status || !first ? status : check_repeat(z->op, x, y, 1, y + z->n, &z->repeated, z->error);
}

/* Column k of H, L and G after a product: `along` V, the vector itself and the rest of P; P loses its first. */
static void take_column(krylov *z, const double *along) {
    int k = z->k, apart = z->apart;
    for (int i = 0; i < k; i++) z->h[i * apart + k] = z->h[k * apart + i] = (along[i] + z->link[i]) / 2;
    z->h[k * apart + k] = along[k];
    for (int i = 0; i <= k; i++) z->lost[i * apart + k] = z->lost[k * apart + i] = 0;
    for (int i = 1; i < z->p; i++) {
        memcpy(z->link + (i - 1) * apart, z->link + i * apart, (size_t)apart * sizeof *z->link);
        z->link[(i - 1) * apart + k] = along[k + i];
    }
    z->k++;
    z->p--;
    change(z, 1);
}

/* What y = Op p_0 has along V and P, as H is symmetric; p_0'y itself is computed. */
static void expect(const krylov *z, const pitot_real *y, double *along) {
    memset(along, 0, (size_t)(z->k + z->p) * sizeof *along);
    for (int i = 0; i < z->k; i++) along[i] = z->link[i];
    along[z->k] = pitot_dot(krylov_row(z, z->k), y, z->n);
}

/* y without all that it has along V and P. */
static double part_of_all(krylov *z, pitot_real *y, double *along) {
    int rows = z->k + z->p;
    double least = 4 * UNIT * z->largest;
    if (rows > BASIS_MOST) return basis_orthogonalise_many(z->row, rows, z->n, y, along, least);
    expect(z, y, along);
    return basis_orthogonalise_guess(z->row, rows, z->n, y, along, least);
}

int32_t krylov_step(krylov *z) {
    int rows = z->k + z->p;
    double along[KRYLOV_MOST], square = 0;
    pitot_real *y = krylov_row(z, rows);
    int32_t status = apply(z, krylov_row(z, z->k), y);
    if (status) return status;
    double rest = z->semi ? krylov_part(z, along) : part_of_all(z, y, along);
    if (!isfinite(rest)) return PITOT_EHOST;
    for (int i = 0; i < rows; i++) square += along[i] * along[i];
    z->largest = fmax(z->largest, hypot(sqrt(square), rest));
    take_column(z, along);
    if (rest > 0 && rows < z->n) {
        if (!z->semi) basis_scale(y, z->n, 1 / rest);
        memset(z->link + z->p * z->apart, 0, (size_t)z->apart * sizeof *z->link);
        z->link[z->p++ * z->apart + z->k - 1] = rest;
    } else if (z->p == 0) krylov_add_random(z);
    return PITOT_OK;
}

/* By LAPACK: a in scratch without gaps, eigenvectors as rows. */
static int solve_large(krylov *z) {
    int k = z->k;
    for (int i = 0; i < k; i++) memcpy(z->scratch + i * k, z->h + i * z->apart, (size_t)k * sizeof *z->h);
    if (blas_eigenvectors(k, z->scratch, z->value, z->lapack)) return 0;
    for (int j = 0; j < k; j++)
        for (int i = 0; i < k; i++) z->s[i * z->apart + j] = z->scratch[j * k + i];
    return 1;
}

int32_t krylov_solve(krylov *z) {
    if (z->solved) return PITOT_OK;
    if (z->large) {
        if (!solve_large(z)) return PITOT_EHOST;
    } else {
        for (int i = 0; i < z->k; i++) memcpy(z->scratch + i * z->apart, z->h + i * z->apart, (size_t)z->k * sizeof *z->h);
        eigen_symmetric(z->k, (double(*)[EIGEN_MOST])(void *)z->scratch, z->value, (double(*)[EIGEN_MOST])(void *)z->s);
    }
    z->solved = 1;
    return PITOT_OK;
}

/* The last components are the first ones of the matrix turned around. */
int32_t krylov_glance(krylov *z) {
    double work[KRYLOV_MOST];
    int k = z->k;
    if (z->solved || !z->large || !z->plain || z->p > 1) return krylov_solve(z);
    for (int i = 0; i < k; i++) {
        int from = k - 1 - i;
        z->value[i] = z->h[from * z->apart + from];
        z->last[i] = from > 0 ? z->h[from * z->apart + from - 1] : 0;
    }
    if (!tridiagonal_rule(k, z->value, z->last, work)) return PITOT_EHOST;
    for (int i = 0; i < k; i++) z->last[i] = sqrt(z->last[i]);
    return PITOT_OK;
}

void krylov_residual(const krylov *z, int j, double *g) {
    for (int i = 0; i < z->p; i++) {
        g[i] = 0;
        for (int col = 0; col < z->k; col++) g[i] += z->link[i * z->apart + col] * z->s[col * z->apart + j];
    }
}

double krylov_estimate(const krylov *z, int j) {
    double g[KRYLOV_MOST], square = 0;
    if (!z->solved) return z->p ? fabs(z->link[z->k - 1]) * z->last[j] : 0;
    krylov_residual(z, j, g);
    for (int i = 0; i < z->p; i++) square += g[i] * g[i];
    for (int i = 0; i < z->k; i++)
        for (int l = 0; l < z->k && z->restarts; l++)
            square += z->s[i * z->apart + j] * z->lost[i * z->apart + l] * z->s[l * z->apart + j];
    return sqrt(fmax(square, 0));
}

void krylov_vector(const krylov *z, int j, pitot_real *u) {
    basis_mix(z->row, z->k, z->n, z->s + j, z->apart, 1, u);
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

static double sign_of(const krylov *z, int j) {
    uint64_t index = UINT64_MAX - 1 - (uint64_t)(z->products * EIGEN_MOST + j);
    return random_uniform(z->seed, RANDOM_LANCZOS, z->step, index) < 0.5 ? -1 : 1;
}

int32_t krylov_check(krylov *z, int bottom, int top, double *error) {
    double c[KRYLOV_MOST] = { 0 }, expected[KRYLOV_MOST] = { 0 }, share = 1 / sqrt(bottom + top);
    int rows = z->k + z->p, apart = z->apart;
    for (int j = 0; j < z->k; j++) {
        if (j >= bottom && j < z->k - top) continue;
        double sign = sign_of(z, j);
        for (int i = 0; i < z->k; i++) {
            double part = sign * share * z->s[i * apart + j];
            c[i] += part;
            expected[i] += z->value[j] * part;
        }
    }
    for (int i = 0; i < z->p; i++)
        for (int col = 0; col < z->k; col++) expected[z->k + i] += z->link[i * apart + col] * c[col];
    basis_mix(z->row, z->k, z->n, c, 1, 1, krylov_row(z, rows));
    int32_t status = apply(z, krylov_row(z, rows), krylov_row(z, rows + 1));
    if (status) return status;
    basis_subtract(z->row, rows, z->n, krylov_row(z, rows + 1), 0, 1, expected, error, NULL);
    *error = sqrt(*error) / share;
    return isfinite(*error) ? PITOT_OK : PITOT_EHOST;
}

int32_t krylov_check_vectors(krylov *z, const int *column, int m, const pitot_real *u, double *error) {
    double c[KRYLOV_MOST], value[KRYLOV_MOST], expected[KRYLOV_MOST] = { 0 }, g[KRYLOV_MOST], share = 1 / sqrt(m);
    pitot_real *x = krylov_row(z, z->k + z->p), *y = x + z->n;
    for (int j = 0; j < m; j++) {
        c[j] = sign_of(z, column[j]) * share;
        value[j] = c[j] * z->value[column[j]];
        krylov_residual(z, column[j], g);
        for (int i = 0; i < z->p; i++) expected[i] += c[j] * g[i];
    }
    basis_mix(u, m, z->n, c, 1, 1, x);
    int32_t status = apply(z, x, y);
    if (status) return status;
    basis_subtract(u, m, z->n, y, 0, 1, value, error, NULL);
    basis_subtract(krylov_row(z, z->k), z->p, z->n, y, 0, 1, expected, error, NULL);
    *error = sqrt(*error) / share;
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
static void congruence(const krylov *z, double *a, const double *c, int k, int m) {
    double product[KRYLOV_MOST];
    for (int i = 0; i < k; i++) {
        for (int j = 0; j < m; j++) {
            product[j] = 0;
            for (int l = 0; l < k; l++) product[j] += a[i * z->apart + l] * c[l * z->apart + j];
        }
        memcpy(a + i * z->apart, product, (size_t)m * sizeof *product);
    }
    for (int j = 0; j < m; j++) {
        for (int i = 0; i < m; i++) {
            product[i] = 0;
            for (int l = 0; l < k; l++) product[i] += c[l * z->apart + i] * a[l * z->apart + j];
        }
        for (int i = 0; i < m; i++) a[i * z->apart + j] = product[i];
    }
}

/* Row i of P goes: what it had of L is lost. */
static void drop(krylov *z, int i) {
    const double *gone = z->link + i * z->apart;
    for (int a = 0; a < z->k; a++)
        for (int b = 0; b < z->k; b++) z->lost[a * z->apart + b] += gone[a] * gone[b];
    for (z->p--; i < z->p; i++) {
        memcpy(z->link + i * z->apart, z->link + (i + 1) * z->apart, (size_t)z->apart * sizeof *z->link);
        memcpy(krylov_row(z, z->k + i), krylov_row(z, z->k + i + 1), (size_t)z->n * sizeof(pitot_real));
    }
}

static void drop_negligible(krylov *z) {
    for (int i = z->p - 1; i >= 0 && z->p > 1; i--) {
        double square = 0;
        for (int j = 0; j < z->k; j++) square += z->link[i * z->apart + j] * z->link[i * z->apart + j];
        if (square <= z->negligible * z->negligible) drop(z, i);
    }
}

/* H, L and G of the Ritz vectors with coordinates c (k,m). */
static void keep(krylov *z, const int *column, const double *c, int m) {
    double product[KRYLOV_MOST];
    int k = z->k, apart = z->apart;
    for (int q = 0; q < z->p; q++) {
        double *link = z->link + q * apart;
        for (int j = 0; j < m; j++) {
            product[j] = 0;
            for (int i = 0; i < k; i++) product[j] += link[i] * c[i * apart + j];
        }
        memcpy(link, product, (size_t)m * sizeof *link);
    }
    congruence(z, z->lost, c, k, m);
    for (int i = 0; i < m; i++)
        for (int j = 0; j < m; j++) z->h[i * apart + j] = i == j ? z->value[column[i]] : 0;
    z->k = m;
    z->restarts++;
    change(z, 0);
}

int32_t krylov_make_room(krylov *z, int spare) {
    if (z->k + (z->p > 0 ? z->p : 1) + spare <= z->room) return PITOT_OK;
    int32_t status = krylov_solve(z);
    if (status) return status;
    int column[KRYLOV_MOST], k = z->k, m = choose(z, spare, column);
    double *c = z->scratch;
    for (int j = 0; j < m; j++)
        for (int i = 0; i < k; i++) c[i * z->apart + j] = z->s[i * z->apart + column[j]];
    basis_mix(z->row, k, z->n, c, z->apart, m, z->row);
    memmove(krylov_row(z, m), krylov_row(z, k), (size_t)(z->p * z->n) * sizeof(pitot_real));
    keep(z, column, c, m);
    drop_negligible(z);
    if (z->semi) krylov_renew(z);
    return krylov_solve(z);
}
