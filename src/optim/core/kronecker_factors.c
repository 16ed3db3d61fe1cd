/* kronecker_factors.c: factors and second moments of a batch, and their averages. */

#include "base/blas.h"
#include "optim/core/kronecker_parts.h"
#include "optim/core/matrix.h"
#include "optim/core/optimizer.h"
#include "pitot/hot.h"

#include <string.h>

void kronecker_round(const kronecker *k, pitot_real *x, int64_t n) {
    for (int64_t i = 0; k->bf16 && i < n; i++) x[i] = (pitot_real)pitot_of_bf16(pitot_bf16_of((float)x[i]));
}

/* What the square of G is multiplied by, for the mean over samples of squares of their own gradients; or, `mean`, of those of the mean loss. */
static double square_scale(const kronecker *k, const pitot_capture *c) {
    double n = (double)c->n, scale = c->scale != 0 ? c->scale : 1;
    return scale * scale * (k->mean ? 1 / n : n);
}

static int64_t block_of(const layer *l, const pitot_capture *c, int64_t from) {
    return c->n - from < l->samples ? c->n - from : l->samples;
}

/* ---- factors ---- */

static void add_group(void *user, const layer *l, const pitot_capture *c, int64_t group, int64_t k) {
    const kronecker_job *j = user;
    int64_t p = j->k->reduce ? 1 : l->positions;
    pitot_real *s = j->room.sums + l->sums + group * (l->rows * l->rows + l->columns * l->columns), *a = s + l->rows * l->rows;
    for (int64_t from = 0; from < c->n; from += l->samples) {
        int64_t n = block_of(l, c, from);
        const pitot_real *g = layer_gradients(l, c, group, from, n, (int)j->k->reduce, j->room.g);
        blas_syrk(1, l->rows, n * p, square_scale(j->k, c), g, l->rows, k > 0 || from > 0, s, l->rows);
        if (k > 0) continue;
        const pitot_real *x = layer_inputs(l, c, group, from, n, (int)j->k->reduce, j->room.a);
        blas_syrk(1, l->columns, n * p, 1 / ((double)c->n * (double)p), x, l->columns, from > 0, a, l->columns);
    }
}

/* Of `batch` the upper triangle counts: below it stands what an earlier step left. */
static void take_factor(const kronecker *k, pitot_real *to, const pitot_real *batch, int64_t n, double count) {
    int identity = k->start == KRONECKER_FROM_IDENTITY;
    double stays = !identity && count / (count + 1) < k->stat_decay ? count / (count + 1) : k->stat_decay;
    for (int64_t i = 0; count == 0 && i < n; i++) to[i * n + i] = identity ? 1 : 0;
    pitot_real kept = (pitot_real)stays;
    matrix_average(n, (double)kept, (double)(1 - kept), batch, to);
    kronecker_round(k, to, n * n);
}

int32_t kronecker_average(kronecker_job *j) {
    int32_t status = fisher_send(j->s, j->k->fisher, j->k->purpose, j->room.layer, j->n, add_group, j);
    for (int64_t i = 0; i < j->n && !status; i++) {
        const layer *l = &j->room.layer[i];
        int64_t size = l->rows * l->rows + l->columns * l->columns;
        for (int64_t group = 0; group < l->groups; group++) {
            double *number = kronecker_numbers(j, l, group);
            const pitot_real *s = j->room.sums + l->sums + group * size, *a = s + l->rows * l->rows;
            if (!matrix_triangle_finite(l->rows, s) || !matrix_triangle_finite(l->columns, a)) continue;
            take_factor(j->k, kronecker_slot(j, l, KRONECKER_S, group), s, l->rows, number[KRONECKER_COUNT]);
            take_factor(j->k, kronecker_slot(j, l, KRONECKER_A, group), a, l->columns, number[KRONECKER_COUNT]);
            number[KRONECKER_COUNT]++;
        }
    }
    return status;
}

/* ---- second moments ---- */

PITOT_HOT static void square(pitot_real *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] *= x[i];
}

PITOT_HOT static void add_squares(pitot_real *restrict to, const pitot_real *restrict x, int64_t n, pitot_real scale) {
    for (int64_t i = 0; i < n; i++) to[i] += scale * x[i] * x[i];
}

/* sum (rows, columns) += scale times the sum over samples of (U'G'AV)^2; tg and ta hold GU and AV. Where a sample is one row, the squares of its
   gradient are products of squares. */
static void add_moments(const kronecker_job *j, const layer *l, int64_t n, double scale, pitot_real *sum) {
    const kronecker_room *r = &j->room;
    int64_t p = l->positions;
    if (p == 1) {
        square(r->tg, n * l->rows);
        square(r->ta, n * l->columns);
        blas_gemm(1, 0, l->rows, l->columns, n, scale, r->tg, l->rows, r->ta, l->columns, 1, sum, l->columns);
    }
    for (int64_t i = 0; i < n && p > 1; i++) {
        blas_gemm(1, 0, l->rows, l->columns, p, 1, r->tg + i * p * l->rows, l->rows, r->ta + i * p * l->columns, l->columns, 0,
                  r->mid, l->columns);
        add_squares(sum, r->mid, l->rows * l->columns, (pitot_real)scale);
    }
}

static void moments_of(void *user, const layer *l, const pitot_capture *c, int64_t group, int64_t k) {
    const kronecker_job *j = user;
    if (kronecker_numbers(j, l, group)[KRONECKER_COMPUTED] == 0) return;
    const pitot_real *u = kronecker_slot(j, l, KRONECKER_S_USED, group), *v = kronecker_slot(j, l, KRONECKER_A_USED, group);
    int64_t size = l->rows * l->columns, p = l->positions;
    pitot_real *sum = j->room.sums + l->sums + group * size;
    if (k == 0) memset(sum, 0, (size_t)size * sizeof *sum);
    for (int64_t from = 0; from < c->n; from += l->samples) {
        int64_t n = block_of(l, c, from);
        const pitot_real *g = layer_gradients(l, c, group, from, n, 0, j->room.g);
        const pitot_real *x = layer_inputs(l, c, group, from, n, 0, j->room.a);
        blas_gemm(0, 0, n * p, l->rows, l->rows, 1, g, l->rows, u, l->rows, 0, j->room.tg, l->rows);
        blas_gemm(0, 0, n * p, l->columns, l->columns, 1, x, l->columns, v, l->columns, 0, j->room.ta, l->columns);
        add_moments(j, l, n, square_scale(j->k, c), sum);
    }
}

int32_t kronecker_moments(kronecker_job *j) {
    int32_t status = fisher_send(j->s, j->k->fisher, j->k->purpose, j->room.layer, j->n, moments_of, j);
    for (int64_t i = 0; i < j->n && !status; i++) {
        const layer *l = &j->room.layer[i];
        int64_t size = l->rows * l->columns;
        for (int64_t group = 0; group < l->groups; group++) {
            const pitot_real *sum = j->room.sums + l->sums + group * size;
            if (kronecker_numbers(j, l, group)[KRONECKER_COMPUTED] == 0 || !finite_values(sum, size)) continue;
            pitot_real *moments = kronecker_slot(j, l, KRONECKER_MOMENTS, group);
            memcpy(moments, sum, (size_t)size * sizeof *sum);
            kronecker_round(j->k, moments, size);
        }
    }
    return status;
}
