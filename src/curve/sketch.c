/* sketch.c: see sketch.h. Products of long vectors go through BLAS a part at a time, and parts are added up in double. */

#include "curve/sketch.h"

#include "base/alloc.h"
#include "base/blas.h"
#include "curve/basis.h"
#include "curve/draws.h"

#include <math.h>
#include <string.h>

static const double ALONE = 1 - 1e-6; /* leverage from which a test vector is the only one to hold its direction */

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

int32_t sketch_open(sketch *k, const pitot_linop *op, const pitot_draws *set, pitot_estimate *out, pitot_error *error,
                    const char *what) {
    *k = (sketch){ 0 };
    int32_t status = drawing_open(&k->d, op, set, out, error, what, 4, 1);
    if (status) return status;
    k->k = least(k->d.products / 2, k->d.n);
    k->d.of = 2 * k->k;
    status = drawing_need(&k->d, what, 2 * k->k);
    if (status) return status;
    int64_t square;
    if (__builtin_mul_overflow(k->k, k->k, &square)) return drawing_close(&k->d, PITOT_ENOMEM, 0);
    k->q = set->work;
    k->z = k->q + k->k * k->d.n;
    k->y = mem_alloc(square, sizeof *k->y);
    k->s = mem_alloc(square, sizeof *k->s);
    k->small = mem_alloc(square, sizeof *k->small);
    k->part = mem_alloc(k->k, 2 * SKETCH_PART * sizeof *k->part);
    if (k->y && k->s && k->small && k->part) return PITOT_OK;
    sketch_close(k);
    return drawing_close(&k->d, PITOT_ENOMEM, 0);
}

void sketch_close(sketch *k) {
    mem_free(k->y);
    mem_free(k->s);
    mem_free(k->small);
    mem_free(k->part);
}

/* ---- Q, R, Z ---- */

/* Row i of q, a product, becomes the next of Q unless nothing of it is new. */
static int32_t take(sketch *k, int64_t i) {
    int64_t n = k->d.n;
    pitot_real *y = k->q + k->r * n;
    if (i != k->r) memcpy(y, k->q + i * n, (size_t)n * sizeof *y);
    double rest = basis_orthogonalise_many(k->q, k->r, n, y, k->y + i * k->k, 0);
    if (!isfinite(rest)) return PITOT_EHOST;
    if (!(rest > 0)) return PITOT_OK;
    basis_scale(y, n, 1 / rest);
    k->y[i * k->k + k->r++] = rest;
    return PITOT_OK;
}

static int32_t find_range(sketch *k) {
    int32_t status = PITOT_OK;
    for (int64_t i = 0; i < k->k && !status && !k->d.stopped; i += DRAWING_TOGETHER) {
        int64_t count = least(DRAWING_TOGETHER, k->k - i);
        for (int64_t j = 0; j < count; j++) drawing_signs(&k->d, k->z + j * k->d.n, i + j);
        status = drawing_apply(&k->d, k->z, k->q + i * k->d.n, count);
        for (int64_t j = 0; j < count && !status; j++) status = take(k, i + j);
    }
    return status;
}

static int32_t find_image(sketch *k) {
    int32_t status = PITOT_OK;
    for (int64_t i = 0; i < k->r && !status && !k->d.stopped; i += DRAWING_TOGETHER) {
        int64_t count = least(DRAWING_TOGETHER, k->r - i);
        status = drawing_apply(&k->d, k->q + i * k->d.n, k->z + i * k->d.n, count);
    }
    return status;
}

/* ---- leaving one out ---- */

static void make_unit(double *s, int64_t n) {
    double square = 0;
    for (int64_t j = 0; j < n; j++) square += s[j] * s[j];
    for (int64_t j = 0; j < n; j++) s[j] = square > 0 && isfinite(square) ? s[j] / sqrt(square) : 0;
}

/* Full rank: s_i along R^-T e_i; R' is lower triangular, and its rows are those of y. */
static void leave_out(sketch *k) {
    for (int64_t i = 0; i < k->k; i++) {
        double *s = k->s + i * k->k;
        s[i] = 1;
        for (int64_t j = i + 1; j < k->k; j++) {
            const double *row = k->y + j * k->k;
            double sum = 0;
            for (int64_t l = i; l < j; l++) sum += row[l] * s[l];
            s[j] = -sum / row[j];
        }
        make_unit(s, k->k);
    }
}

/* Lower triangle of g (r,r), rows k apart, in place; 0: not positive definite. */
static int cholesky(double *g, int64_t r, int64_t k) {
    for (int64_t i = 0; i < r; i++)
        for (int64_t j = 0; j <= i; j++) {
            double sum = g[i * k + j];
            for (int64_t l = 0; l < j; l++) sum -= g[i * k + l] * g[j * k + l];
            if (i == j && !(sum > 0)) return 0;
            g[i * k + j] = i == j ? sqrt(sum) : sum / g[j * k + j];
        }
    return 1;
}

/* x := (L L')^-1 x */
static void solve(const double *l, int64_t r, int64_t k, double *x) {
    for (int64_t i = 0; i < r; i++) {
        for (int64_t j = 0; j < i; j++) x[i] -= l[i * k + j] * x[j];
        x[i] /= l[i * k + i];
    }
    for (int64_t i = r - 1; i >= 0; i--) {
        for (int64_t j = i + 1; j < r; j++) x[i] -= l[j * k + i] * x[j];
        x[i] /= l[i * k + i];
    }
}

/* Rank below k: only a vector of leverage 1, R e_i'(R R')^-1 R e_i, takes a direction with it, the one along (R R')^-1 R e_i. */
static void leave_out_of_many(sketch *k) {
    double *g = k->small;
    for (int64_t a = 0; a < k->r; a++)
        for (int64_t b = 0; b <= a; b++) {
            g[a * k->k + b] = 0;
            for (int64_t i = 0; i < k->k; i++) g[a * k->k + b] += k->y[i * k->k + a] * k->y[i * k->k + b];
        }
    if (!cholesky(g, k->r, k->k)) return;
    for (int64_t i = 0; i < k->k; i++) {
        const double *y = k->y + i * k->k;
        double *s = k->s + i * k->k, leverage = 0;
        memcpy(s, y, (size_t)k->r * sizeof *s);
        solve(g, k->r, k->k, s);
        for (int64_t j = 0; j < k->r; j++) leverage += y[j] * s[j];
        if (leverage >= ALONE) make_unit(s, k->r);
        else memset(s, 0, (size_t)k->r * sizeof *s);
    }
}

int32_t sketch_make(sketch *k) {
    int32_t status = find_range(k);
    if (!status && !k->d.stopped) status = find_image(k);
    if (status || k->d.stopped) return status;
    if (k->r == k->k) leave_out(k);
    else leave_out_of_many(k);
    return PITOT_OK;
}

/* ---- small products of long vectors ---- */

void sketch_products(const sketch *k, const pitot_real *b, int64_t count, double *out) {
    const int64_t n = k->d.n, r = k->r;
    pitot_real *signs = k->part, *tile = k->part + k->k * SKETCH_PART; /* k <= SKETCH_PART, or the tile goes by rows */
    memset(out, 0, (size_t)(r * count) * sizeof *out);
    for (int64_t begin = 0; begin < n; begin += SKETCH_PART) {
        int64_t length = least(SKETCH_PART, n - begin);
        for (int64_t i = 0; i < count && !b; i++)
            draws_signs_part(signs + i * length, begin, length, k->d.set->seed, k->d.purpose, (uint64_t)i);
        for (int64_t first = 0; first < count; first += SKETCH_PART) {
            int64_t few = least(SKETCH_PART, count - first);
            const pitot_real *right = b ? b + first * n + begin : signs + first * length;
            blas_gemm(0, 1, r, few, length, 1, k->q + begin, n, right, b ? n : length, 0, tile, few);
            for (int64_t i = 0; i < r; i++)
                for (int64_t j = 0; j < few; j++) out[i * count + first + j] += (double)tile[i * few + j];
        }
    }
}

double sketch_size(const sketch *k) {
    double sum = 0;
    for (int64_t i = 0; i < k->k; i++) {
        double square = 0;
        for (int64_t j = 0; j < k->r; j++) square += k->y[i * k->k + j] * k->y[i * k->k + j];
        sum += sqrt(square * (double)k->d.n);
    }
    return sum / (double)k->k;
}
