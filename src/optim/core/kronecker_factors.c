/* kronecker_factors.c: factors and second moments of a batch, and their averages. */

#include "base/blas.h"
#include "base/threads.h"
#include "optim/core/kronecker_parts.h"
#include "optim/core/matrix.h"
#include "optim/core/optimizer.h"
#include "pitot/hot.h"
#include "pitot/probe.h"

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

typedef struct gram_job { /* a group of a layer */
    const kronecker_job *j;
    const layer *l;
    const pitot_capture *c;
    int64_t group, k;
    double keep, add;  /* s = keep s + add the batch's; likewise a */
    pitot_real *s, *a; /* upper triangles */
} gram_job;

static int64_t factor_values(const layer *l) {
    return l->rows * l->rows + l->columns * l->columns;
}

/* Rows as they are, on BLAS's threads. */
static void add_rows(const gram_job *q) {
    const kronecker_job *j = q->j;
    const layer *l = q->l;
    int64_t p = j->k->reduce ? 1 : l->positions, all = q->c->n;
    int reduce = (int)j->k->reduce;
    double for_s = q->add * square_scale(j->k, q->c), for_a = q->add / ((double)all * (double)p);
    for (int64_t from = 0; from < all; from += l->samples) {
        int64_t n = block_of(l, q->c, from);
        const pitot_real *g = layer_gradients(l, q->c, q->group, from, n, reduce, j->room.g);
        blas_syrk(1, l->rows, n * p, for_s, g, l->rows, q->k > 0 || from > 0 ? 1 : q->keep, q->s, l->rows);
        if (q->k > 0) continue;
        const pitot_real *x = layer_inputs(l, q->c, q->group, from, n, reduce, j->room.a);
        blas_syrk(1, l->columns, n * p, for_a, x, l->columns, from > 0 ? 1 : q->keep, q->a, l->columns);
    }
}

/* Blocks begin..end of samples of a convolution, on this thread: into sums of its own, but for the first of the threads. */
static void add_blocks(void *job, int64_t begin, int64_t end, int thread) {
    const gram_job *q = job;
    const layer *l = q->l;
    const kronecker_room *r = &q->j->room;
    pitot_real *s = thread ? r->more + (thread - 1) * factor_values(l) : q->s, *a = thread ? s + l->rows * l->rows : q->a;
    for (int64_t b = begin; b < end; b++) {
        int64_t from = b * l->samples, n = block_of(l, q->c, from), m = n * l->positions;
        int add = b > begin || (!thread && q->k > 0);
        const pitot_real *g = layer_gradients_across(l, q->c, q->group, from, n, r->g + thread * r->g_each);
        blas_syrk(0, l->rows, m, square_scale(q->j->k, q->c), g, m, add, s, l->rows);
        if (q->k > 0) continue;
        const pitot_real *x = layer_inputs_across(l, q->c, q->group, from, n, r->a + thread * r->a_each);
        blas_syrk(0, l->columns, m, 1 / ((double)q->c->n * (double)l->positions), x, m, b > begin, a, l->columns);
    }
}

PITOT_HOT static void add_values(pitot_real *restrict to, const pitot_real *restrict x, int64_t n) {
    for (int64_t i = 0; i < n; i++) to[i] += x[i];
}

/* Convolutions, position by position: blocks of samples side by side. */
static int is_split(const kronecker *k, const layer *l) {
    return l->conv && !k->reduce;
}

static void add_split(const gram_job *q) {
    const layer *l = q->l;
    int64_t blocks = (q->c->n + l->samples - 1) / l->samples, threads = q->j->s->threads < blocks ? q->j->s->threads : blocks;
    threads_run((int)threads, blocks, add_blocks, (void *)q);
    for (int64_t i = 1; i < threads; i++)
        add_values(q->s, q->j->room.more + (i - 1) * factor_values(l), q->k > 0 ? l->rows * l->rows : factor_values(l));
}

/* Share of a factor that stays. */
static double stays_of(const kronecker *k, double count) {
    if (k->start == KRONECKER_FROM_BATCH && count / (count + 1) < k->stat_decay) return count / (count + 1);
    return k->stat_decay;
}

static void begin_factor(const kronecker *k, pitot_real *to, int64_t n, double count) {
    if (count == 0) matrix_identity(n, k->start == KRONECKER_FROM_IDENTITY, to);
}

/* ---- averages: at once, or of sums that are whole ---- */

/* Where one pass down the net makes all of a batch's factors and no threads have sums of their own, there is no need for sums. */
static int is_direct(const kronecker *k, const layer *l) {
    return !is_split(k, l) && k->fisher != FISHER_EXACT;
}

/* Whether sums of squares of what layer l saw stay in range: no factor then has a larger value. */
static int is_bounded(const kronecker *k, const layer *l, const pitot_capture *c) {
    int64_t a = l->conv ? l->groups * l->w.channels * l->w.in[0] * l->w.in[1] : l->positions * l->values,
            g = l->groups * l->rows * l->positions, repeated = l->conv ? l->w.kernel[0] * l->w.kernel[1] : 1;
    return pitot_sum_squares(c->A, c->n * a) * (double)repeated < MATRIX_MOST &&
           pitot_sum_squares(c->G, c->n * g) * square_scale(k, c) * (double)l->positions < MATRIX_MOST;
}

static void average_directly(const kronecker_job *j, const layer *l, const pitot_capture *c, int64_t group) {
    double *count = &kronecker_numbers(j, l, group)[KRONECKER_COUNT], stays = (double)(pitot_real)stays_of(j->k, *count);
    pitot_real *s = kronecker_slot(j, l, KRONECKER_S, group), *a = kronecker_slot(j, l, KRONECKER_A, group);
    if (!is_bounded(j->k, l, c)) return;
    begin_factor(j->k, s, l->rows, *count);
    begin_factor(j->k, a, l->columns, *count);
    add_rows(&(gram_job){ j, l, c, group, 0, stays, 1 - stays, s, a });
    kronecker_round(j->k, s, l->rows * l->rows);
    kronecker_round(j->k, a, l->columns * l->columns);
    ++*count;
}

static void add_group(void *user, const layer *l, const pitot_capture *c, int64_t group, int64_t k) {
    const kronecker_job *j = user;
    if (is_direct(j->k, l)) {
        average_directly(j, l, c, group);
        return;
    }
    pitot_real *s = j->room.sums + l->sums + group * factor_values(l);
    gram_job q = { j, l, c, group, k, 0, 1, s, s + l->rows * l->rows };
    if (is_split(j->k, l)) add_split(&q);
    else add_rows(&q);
}

static void take_factor(const kronecker *k, pitot_real *to, const pitot_real *batch, int64_t n, double count) {
    pitot_real kept = (pitot_real)stays_of(k, count);
    begin_factor(k, to, n, count);
    matrix_average(n, (double)kept, (double)(1 - kept), batch, to);
    kronecker_round(k, to, n * n);
}

int32_t kronecker_average(kronecker_job *j) {
    int32_t status = fisher_send(j->s, j->k->fisher, j->k->purpose, j->room.layer, j->n, add_group, j);
    for (int64_t i = 0; i < j->n && !status; i++) {
        const layer *l = &j->room.layer[i];
        int64_t size = factor_values(l);
        for (int64_t group = 0; group < l->groups && !is_direct(j->k, l); group++) {
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

void kronecker_rotate(const kronecker_job *j, const layer *l, int64_t group, int64_t rows, const pitot_real *g,
                      const pitot_real *a) {
    const pitot_real *u = kronecker_slot(j, l, KRONECKER_S_USED, group), *v = kronecker_slot(j, l, KRONECKER_A_USED, group);
    blas_gemm(0, 0, rows, l->rows, l->rows, 1, g, l->rows, u, l->rows, 0, j->room.tg, l->rows);
    blas_gemm(0, 0, rows, l->columns, l->columns, 1, a, l->columns, v, l->columns, 0, j->room.ta, l->columns);
}

/* Where a sample is one row, the squares of its gradient are products of squares. */
void kronecker_add_squares(const kronecker_job *j, const layer *l, const pitot_capture *c, int64_t n, pitot_real *sum) {
    const kronecker_room *r = &j->room;
    int64_t p = l->positions, size = l->rows * l->columns;
    double scale = square_scale(j->k, c);
    if (p == 1) {
        square(r->tg, n * l->rows);
        square(r->ta, n * l->columns);
        blas_gemm(1, 0, l->rows, l->columns, n, scale, r->tg, l->rows, r->ta, l->columns, 1, sum, l->columns);
    }
    for (int64_t i = 0; i < n && p > 1; i++) {
        blas_gemm(1, 0, l->rows, l->columns, p, 1, r->tg + i * p * l->rows, l->rows, r->ta + i * p * l->columns, l->columns, 0,
                  r->mid, l->columns);
        add_squares(sum, r->mid, size, (pitot_real)scale);
    }
}

typedef struct square_job { /* a group of a convolution */
    const kronecker_job *j;
    const layer *l;
    const pitot_capture *c;
    int64_t group;
    pitot_real *sum;
} square_job;

/* Samples begin..end, all on this thread: into a sum of its own, but for the first of the threads. The products are (rows, columns) each, and lie
   where a thread's own factors do. */
static void square_samples(void *job, int64_t begin, int64_t end, int thread) {
    const square_job *q = job;
    const layer *l = q->l;
    const kronecker_room *r = &q->j->room;
    int64_t rows = l->rows, columns = l->columns, p = l->positions, size = rows * columns;
    const pitot_real *u = kronecker_slot(q->j, l, KRONECKER_S_USED, q->group),
                     *v = kronecker_slot(q->j, l, KRONECKER_A_USED, q->group);
    pitot_real *tg = r->tg + thread * r->tg_each, *ta = r->ta + thread * r->ta_each;
    pitot_real *sum = thread ? r->more + (thread - 1) * factor_values(l) : q->sum, *mid = thread ? sum + size : r->mid;
    pitot_real scale = (pitot_real)square_scale(q->j->k, q->c);
    if (thread) memset(sum, 0, (size_t)size * sizeof *sum);
    for (int64_t from = begin, n; from < end; from += n) {
        n = end - from < l->samples ? end - from : l->samples;
        int64_t m = n * p;
        const pitot_real *g = layer_gradients_across(l, q->c, q->group, from, n, r->g + thread * r->g_each);
        const pitot_real *x = layer_inputs_across(l, q->c, q->group, from, n, r->a + thread * r->a_each);
        blas_gemm(1, 0, rows, m, rows, 1, u, rows, g, m, 0, tg, m);
        blas_gemm(1, 0, columns, m, columns, 1, v, columns, x, m, 0, ta, m);
        for (int64_t i = 0; i < n; i++) {
            blas_gemm(0, 1, rows, columns, p, 1, tg + i * p, m, ta + i * p, m, 0, mid, columns);
            add_squares(sum, mid, size, scale);
        }
    }
}

static void square_side_by_side(const square_job *q) {
    const layer *l = q->l;
    int64_t threads = q->j->s->threads < q->c->n ? q->j->s->threads : q->c->n;
    threads_run((int)threads, q->c->n, square_samples, (void *)q);
    for (int64_t i = 1; i < threads; i++) add_values(q->sum, q->j->room.more + (i - 1) * factor_values(l), l->rows * l->columns);
}

void kronecker_squares(const kronecker_job *j, const layer *l, const pitot_capture *c, int64_t group, pitot_real *sum) {
    if (l->conv && l->positions > 1) {
        square_side_by_side(&(square_job){ j, l, c, group, sum });
        return;
    }
    for (int64_t from = 0; from < c->n; from += l->samples) {
        int64_t n = block_of(l, c, from);
        const pitot_real *g = layer_gradients(l, c, group, from, n, 0, j->room.g);
        const pitot_real *x = layer_inputs(l, c, group, from, n, 0, j->room.a);
        kronecker_rotate(j, l, group, n * l->positions, g, x);
        kronecker_add_squares(j, l, c, n, sum);
    }
}

pitot_real *kronecker_sums(const kronecker_job *j, const layer *l, int64_t group, int anew) {
    int64_t size = l->rows * l->columns;
    pitot_real *sum = j->room.sums + l->sums + group * size;
    if (anew) memset(sum, 0, (size_t)size * sizeof *sum);
    return sum;
}

void kronecker_take_squares(const kronecker_job *j, const layer *l, int64_t group) {
    const pitot_real *sum = kronecker_sums(j, l, group, 0);
    pitot_real *moments = kronecker_slot(j, l, KRONECKER_MOMENTS, group);
    int64_t size = l->rows * l->columns;
    if (!finite_values(sum, size)) return;
    memcpy(moments, sum, (size_t)size * sizeof *sum);
    kronecker_round(j->k, moments, size);
}

static void see_squares(void *user, const layer *l, const pitot_capture *c, int64_t group, int64_t k) {
    const kronecker_job *j = user;
    if (kronecker_numbers(j, l, group)[KRONECKER_COMPUTED] > 0)
        kronecker_squares(j, l, c, group, kronecker_sums(j, l, group, k == 0));
}

int32_t kronecker_moments(kronecker_job *j) {
    int32_t status = fisher_send(j->s, j->k->fisher, j->k->purpose, j->room.layer, j->n, see_squares, j);
    for (int64_t i = 0; i < j->n && !status; i++) {
        const layer *l = &j->room.layer[i];
        for (int64_t group = 0; group < l->groups; group++)
            if (kronecker_numbers(j, l, group)[KRONECKER_COMPUTED] > 0) kronecker_take_squares(j, l, group);
    }
    return status;
}
