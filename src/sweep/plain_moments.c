/* plain_moments.c: see plain.h. variance = scale^2/N (L^2)'(R^2) - mean^2, a product of squares block by block; values that cancel are
   made again as sums over the samples. */

#include "sweep/plain.h"

#include "base/blas.h"
#include "pitot/hot.h"

#include <math.h>

enum { BLOCK = (1 << 19) / sizeof(pitot_real), WIDE = 1024, GROUP = 16 }; /* values of a block, of a row in it; of one pass */

/* Long rows are cut, so that a block has many: a product of few rows spends its time on the columns' packing. */
grid grid_of(int64_t rows, int64_t columns) {
    grid g = { .columns = columns, .across = 1 };
    if (rows <= 0 || columns <= 0) return (grid){ 1, 1, 0, 0 };
    if (columns > WIDE) {
        g.columns = to_lines(parts(columns, parts(columns, WIDE)));
        g.across = parts(columns, g.columns);
    }
    g.rows = least(rows, most(1, BLOCK / g.columns));
    int64_t down = parts(rows, g.rows);
    if (down > 2) down = (down + 3) / 4 * 4; /* the same for 2 and 4 threads */
    g.rows = parts(rows, down);
    g.down = parts(rows, g.rows);
    return g;
}

/* Factors whose product is f; neither leaves the range of a pitot_real before what it multiplies does. */
static void split(double f, pitot_real out[2]) {
    int e;
    frexp(f, &e);
    out[0] = (pitot_real)ldexp(1, e / 2);
    out[1] = (pitot_real)(f / ldexp(1, e / 2));
}

typedef struct units {               /* from second moments of the scaled factors, and from target.mean */
    pitot_real part;                 /* 1/N */
    pitot_real mean[2], variance[2]; /* to the scaled factors' units; back */
} units;

static units units_of(const plain *p) {
    double power = ldexp(1, p->left.exponent + p->right.exponent);
    units u = { .part = (pitot_real)(1 / (double)p->job->n) };
    split(p->scale == 0 ? 0 : p->job->mean_scale / p->scale * power, u.mean);
    split(p->scale * p->scale / power / power, u.variance);
    return u;
}

/* v (n): sums of squares on entry, variances on return, -1 where the mean takes nearly all. Returns how many of these. */
PITOT_HOT static int64_t subtract_mean(const pitot_real *mean, int64_t n, const units *u, pitot_real *v) {
    pitot_real part = u->part, m0 = u->mean[0], m1 = u->mean[1], v0 = u->variance[0], v1 = u->variance[1];
    int32_t cancelled = 0;
    for (int64_t i = 0; i < n; i++) {
        pitot_real second = v[i] * part, m = mean[i] * m0 * m1, d = second - m * m;
        int cancels = d < second * (pitot_real)0x1p-8;
        v[i] = cancels ? -1 : d * v0 * v1;
        cancelled += cancels;
    }
    return cancelled;
}

/* variance (GROUP) of l_n * r_n[0..GROUP) over samples; columns <= GROUP of them exist */
PITOT_HOT static void centred(const plain *p, int64_t row, int64_t column, int64_t columns, double variance[GROUP]) {
    const pitot_real *l = p->left.x + row, *r = p->right.x + column;
    int64_t n = p->job->n, ld_left = p->left.ld, ld_right = p->right.ld;
    double mean[GROUP] = { 0 }, sum[GROUP] = { 0 }, x[GROUP] = { 0 };
    for (int64_t k = 0; k < n; k++) {
        double g = p->scale * (double)l[k * ld_left];
        for (int64_t i = 0; i < columns; i++) x[i] = (double)r[k * ld_right + i];
        for (int64_t i = 0; i < GROUP; i++) mean[i] += g * x[i];
    }
    for (int64_t i = 0; i < GROUP; i++) mean[i] /= (double)n;
    for (int64_t k = 0; k < n; k++) {
        double g = p->scale * (double)l[k * ld_left];
        for (int64_t i = 0; i < columns; i++) x[i] = (double)r[k * ld_right + i];
        for (int64_t i = 0; i < GROUP; i++) sum[i] += (g * x[i] - mean[i]) * (g * x[i] - mean[i]);
    }
    for (int64_t i = 0; i < GROUP; i++) variance[i] = sum[i] / (double)n;
}

/* Values column..column+n of a row that subtract_mean left at -1. */
static void mend(const plain *p, int64_t row, int64_t column, int64_t n, pitot_real *v) {
    double variance[GROUP];
    for (int64_t from = 0; from < n; from += GROUP) {
        int64_t columns = least(GROUP, n - from);
        int cancelled = 0;
        for (int64_t i = from; i < from + columns; i++) cancelled |= v[i] < 0;
        if (!cancelled) continue;
        centred(p, row, column + from, columns, variance);
        for (int64_t i = from; i < from + columns; i++)
            if (v[i] < 0) v[i] = (pitot_real)variance[i - from];
    }
}

static void one_row(const plain *p, const units *u, int64_t row, int64_t column, int64_t columns, pitot_real *v) {
    if (p->job->n == 1)
        for (int64_t i = 0; i < columns; i++) v[i] = 0;
    else if (subtract_mean(p->t->mean + row * p->right.d + column, columns, u, v)) mend(p, row, column, columns, v);
}

static void hand_over(const plain *p, int64_t index, int64_t begin, int64_t end, const pitot_real *variance, int thread) {
    const sweep_job *j = p->job;
    pitot_real *mean = p->mean + thread * to_lines(p->g.rows * p->g.columns);
    sweep_tile tile = { .target = p->index, .thread = thread, .index = index, .begin = begin, .end = end, .variance = variance };
    tile.mean = p->t->mean + begin;
    if (j->mean_scale != 1) loop_scale(tile.mean, j->mean_scale, end - begin, mean);
    if (j->mean_scale != 1) tile.mean = mean;
    j->moments(j->user, &tile);
}

static void one_block(const plain *p, const units *u, int64_t block, int thread) {
    const factor *l = &p->left, *r = &p->right;
    const grid *g = &p->g;
    int64_t row = block / g->across * g->rows, column = block % g->across * g->columns;
    int64_t rows = least(g->rows, l->d - row), columns = least(g->columns, r->d - column);
    pitot_real *v = p->variance + thread * to_lines(g->rows * g->columns);
    if (p->job->n > 1) blas_gemm(1, 0, rows, columns, p->job->n, 1, l->square + row, l->d, r->square + column, r->d, 0, v, columns);
    for (int64_t i = 0; i < rows; i++) {
        one_row(p, u, row + i, column, columns, v + i * columns);
        int64_t begin = (row + i) * r->d + column;
        if (g->across > 1)
            hand_over(p, (row + i) * g->across + column / g->columns, begin, begin + columns, v + i * columns, thread);
    }
    if (g->across == 1) hand_over(p, block, row * r->d, (row + rows) * r->d, v, thread);
}

void block_task(void *job, int64_t begin, int64_t end, int thread) {
    const plain *p = job;
    units u = units_of(p);
    for (int64_t k = begin; k < end; k++) one_block(p, &u, k, thread);
}
