/* matrix.c: see matrix.h. */

#include "optim/core/matrix.h"

#include "base/threads.h"
#include "optim/core/optimizer.h"
#include "pitot/hot.h"

#include <string.h>

enum { LANES = 16, TILE = 64, WORTH_THREADS = 256, BLOCK = 1 << 16 /* values that one thread adds up by itself */, BLOCKS = 256 };

/* As many partial sums as lanes, so that it vectorises without changing an order of additions. */
PITOT_HOT static double row_squares(const pitot_real *restrict x, int64_t n) {
    double sum[LANES] = { 0 }, all = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++) sum[k] += (double)x[i + k] * (double)x[i + k];
    for (; i < n; i++) sum[i % LANES] += (double)x[i] * (double)x[i];
    for (int k = 0; k < LANES; k++) all += sum[k];
    return all;
}

typedef struct squares_job {
    const pitot_real *x;
    int64_t n, block;
    double sum[BLOCKS];
} squares_job;

static void block_squares(void *job, int64_t begin, int64_t end, int thread) {
    squares_job *j = job;
    (void)thread;
    for (int64_t b = begin; b < end; b++) {
        int64_t at = b * j->block;
        j->sum[b] = row_squares(j->x + at, j->n - at < j->block ? j->n - at : j->block);
    }
}

static double long_squares(const pitot_real *x, int64_t n) {
    squares_job j = { .x = x, .n = n, .block = n <= (int64_t)BLOCK * BLOCKS ? BLOCK : (n + BLOCKS - 1) / BLOCKS };
    int64_t blocks = (n + j.block - 1) / j.block;
    double sum = 0;
    threads_run(threads_default(), blocks, block_squares, &j);
    for (int64_t b = 0; b < blocks; b++) sum += j.sum[b];
    return sum;
}

double matrix_squares(const pitot_real *x, int64_t rows, int64_t cols, int64_t ld) {
    double sum = 0;
    if (ld == cols) return rows * cols > BLOCK ? long_squares(x, rows * cols) : row_squares(x, rows * cols);
    for (int64_t i = 0; i < rows; i++) sum += row_squares(x + i * ld, cols);
    return sum;
}

/* Rows from..to of the lower triangle. */
static void mirror_rows(int64_t n, int64_t from, int64_t to, pitot_real *a) {
    for (int64_t j0 = 0; j0 < to; j0 += TILE)
        for (int64_t i = from; i < to; i++)
            for (int64_t j = j0; j < i && j < j0 + TILE; j++) a[i * n + j] = a[j * n + i];
}

typedef struct triangle_job {
    int64_t n;
    pitot_real *a;
    const pitot_real *from;
    pitot_real keep, add;
} triangle_job;

/* What belongs to item k of half as many as there are, rounded up: one from each end, so that all have as much to do. */
static int64_t other_end(int64_t k, int64_t count) {
    return count - 1 - k;
}

static void mirror_tiles(void *job, int64_t begin, int64_t end, int thread) {
    const triangle_job *t = job;
    int64_t tiles = (t->n + TILE - 1) / TILE;
    (void)thread;
    for (int64_t k = begin; k < end; k++)
        for (int half = 0; half < 2; half++) {
            int64_t tile = half ? other_end(k, tiles) : k, to = (tile + 1) * TILE;
            if (!half || tile != k) mirror_rows(t->n, tile * TILE, to < t->n ? to : t->n, t->a);
        }
}

static int threads_for(int64_t n) {
    return n >= WORTH_THREADS ? threads_default() : 1;
}

void matrix_mirror(int64_t n, pitot_real *a) {
    triangle_job job = { .n = n, .a = a };
    int64_t tiles = (n + TILE - 1) / TILE;
    threads_run(threads_for(n), (tiles + 1) / 2, mirror_tiles, &job);
}

PITOT_HOT static void average_row(int64_t n, pitot_real keep, pitot_real add, const pitot_real *restrict from,
                                  pitot_real *restrict to) {
    for (int64_t i = 0; i < n; i++) to[i] = keep * to[i] + add * from[i];
}

static void average_rows(void *job, int64_t begin, int64_t end, int thread) {
    const triangle_job *t = job;
    int64_t n = t->n;
    (void)thread;
    for (int64_t k = begin; k < end; k++)
        for (int half = 0; half < 2; half++) {
            int64_t i = half ? other_end(k, n) : k, at = i * (n + 1);
            if (!half || i != k) average_row(n - i, t->keep, t->add, t->from + at, t->a + at);
        }
}

void matrix_average(int64_t n, double keep, double add, const pitot_real *from, pitot_real *to) {
    triangle_job job = { n, to, from, (pitot_real)keep, (pitot_real)add };
    threads_run(threads_for(n), (n + 1) / 2, average_rows, &job);
}

int matrix_triangle_finite(int64_t n, const pitot_real *a) {
    for (int64_t i = 0; i < n; i++)
        if (!finite_values(a + i * (n + 1), n - i)) return 0;
    return 1;
}

void matrix_identity(int64_t n, double scale, pitot_real *a) {
    memset(a, 0, (size_t)(n * n) * sizeof *a);
    for (int64_t i = 0; i < n; i++) a[i * n + i] = (pitot_real)scale;
}

int32_t matrix_bounded(const pitot_stepping *s) {
    for (int64_t i = 0; i < s->n; i++) {
        const pitot_tensor_state *t = &s->tensor[i];
        if (t->g && !(matrix_squares(t->g, 1, t->size, t->size) < MATRIX_MOST)) return PITOT_EHOST;
    }
    return PITOT_OK;
}
