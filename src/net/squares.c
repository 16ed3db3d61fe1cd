/* squares.c: the squares' end of a way down (columns.c), for a layer y = W x + b: dW = scale sum_n q_n (a_n^2)', db = scale sum_n q_n, from
   panels (panel.h): tile by tile, each of which is written once; where there is no kernel, by BLAS. */

#include "base/blas.h"
#include "base/panel.h"
#include "base/threads.h"
#include "net/net.h"
#include "pitot/hot.h"

#include <string.h>

enum {
    RUN = 256,              /* samples that a kernel adds up at once, which bounds the rounding */
    ACROSS = 32,            /* panels of a^2 that stay in cache */
    TOGETHER = 16,          /* samples that are filled in together */
    GRAIN = 16,             /* outputs of which a thread's share is made */
    WORTH_THREADS = 1 << 18 /* flops from which a second thread pays */
};

typedef struct job {
    const square_sum *s;
    panel_kernel kernel;
    int64_t left, right;    /* values of a panel's row; without a kernel, one panel is all of them */
    pitot_real *q, *square; /* in panels (n, left), (n, right) */
    int64_t down, across;   /* tiles */
} job;

static int64_t parts(int64_t n, int64_t each) {
    return (n + each - 1) / each;
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

int64_t squares_room(int64_t n, int64_t din, int64_t dout) {
    return n * (parts(din, PANEL_COLUMNS) * PANEL_COLUMNS + parts(dout, PANEL_ROWS) * PANEL_ROWS);
}

/* A few samples at a time: their rows stay in cache from panel to panel. */
static void fill(const job *j, int64_t begin, int64_t n) {
    const square_sum *s = j->s;
    for (int64_t i = 0; i < s->dout; i += j->left)
        panel_scale(s->q + begin * s->dout + i, s->dout, n, least(j->left, s->dout - i), j->left, (pitot_real)s->scale,
                    j->q + i * s->n + begin * j->left);
    for (int64_t i = 0; s->weight && i < s->din; i += j->right)
        panel_square(s->a + begin * s->din + i, s->din, n, least(j->right, s->din - i), j->right, 1,
                     j->square + i * s->n + begin * j->right);
}

static void fill_task(void *argument, int64_t begin, int64_t end, int thread) {
    (void)thread;
    for (int64_t k = begin; k < end; k += TOGETHER) fill(argument, k, least(TOGETHER, end - k));
}

/* Tile (row,column) of dW, in panels: in its place, where it is whole. */
static void one_tile(const job *j, int64_t row, int64_t column) {
    _Alignas(64) pitot_real sum[PANEL_ROWS * PANEL_COLUMNS];
    const square_sum *s = j->s;
    int64_t rows = least(PANEL_ROWS, s->dout - row * PANEL_ROWS), columns = least(PANEL_COLUMNS, s->din - column * PANEL_COLUMNS);
    const pitot_real *l = j->q + row * PANEL_ROWS * s->n, *r = j->square + column * PANEL_COLUMNS * s->n;
    pitot_real *out = s->weight + row * PANEL_ROWS * s->din + column * PANEL_COLUMNS;
    int whole = rows == PANEL_ROWS && columns == PANEL_COLUMNS;
    for (int64_t i = 0; i < rows; i++) { /* on their way while the squares are summed */
        __builtin_prefetch(out + i * s->din, 1);
        __builtin_prefetch(out + i * s->din + columns / 2, 1);
        __builtin_prefetch(out + i * s->din + columns - 1, 1);
    }
    for (int64_t k = 0; k < s->n; k += RUN)
        j->kernel(l + k * PANEL_ROWS, r + k * PANEL_COLUMNS, least(RUN, s->n - k), k > 0, whole ? out : sum,
                  whole ? s->din : PANEL_COLUMNS);
    for (int64_t i = 0; !whole && i < rows; i++) memcpy(out + i * s->din, sum + i * PANEL_COLUMNS, (size_t)columns * sizeof *sum);
}

/* Row by row of tiles, ACROSS of them before the next row: they share what stays in cache. */
static void tile_task(void *argument, int64_t begin, int64_t end, int thread) {
    const job *j = argument;
    (void)thread;
    for (int64_t t = begin; t < end; t++) {
        int64_t from = t / (j->down * ACROSS) * ACROSS, k = t - from * j->down, width = least(ACROSS, j->across - from);
        one_tile(j, k / width, from + k % width);
    }
}

static void blas_task(void *argument, int64_t begin, int64_t end, int thread) {
    const job *j = argument;
    const square_sum *s = j->s;
    int64_t from = begin * GRAIN, rows = least(end * GRAIN, s->dout) - from;
    (void)thread;
    blas_gemm(1, 0, rows, s->din, s->n, 1, j->q + from, s->dout, j->square, s->din, 0, s->weight + from * s->din, s->din);
}

PITOT_HOT static void add_rows(const pitot_real *q, int64_t rows, int64_t columns, int64_t ld, pitot_real *sum) {
    for (; rows > 0; rows--, q += ld)
        for (int64_t i = 0; i < columns; i++) sum[i] += q[i];
}

/* Whole cache lines of db, so that no two threads write to one. */
static void bias_task(void *argument, int64_t begin, int64_t end, int thread) {
    const square_sum *s = ((const job *)argument)->s;
    int64_t from = begin * GRAIN, size = least(end * GRAIN, s->dout) - from;
    (void)thread;
    memset(s->bias + from, 0, (size_t)size * sizeof *s->bias);
    add_rows(s->q + from, s->n, size, s->dout, s->bias + from);
    panel_scale(s->bias + from, size, 1, size, size, (pitot_real)s->scale, s->bias + from);
}

void squares_sum(const square_sum *s) {
    job j = { .s = s, .kernel = panel_choose(s->kernel), .q = s->room };
    int threads = 2.0 * (double)s->n * (double)s->din * (double)s->dout < WORTH_THREADS ? 1 : s->threads;
    if (s->n <= 0 || s->din <= 0 || s->dout <= 0) return;
    j.left = j.kernel ? PANEL_ROWS : s->dout;
    j.right = j.kernel ? PANEL_COLUMNS : s->din;
    j.square = j.q + s->n * parts(s->dout, j.left) * j.left;
    j.down = parts(s->dout, j.left);
    j.across = parts(s->din, j.right);
    threads_run(threads, s->n, fill_task, &j);
    if (s->bias) threads_run(threads, parts(s->dout, GRAIN), bias_task, &j);
    if (s->weight && j.kernel) threads_run(threads, j.down * j.across, tile_task, &j);
    else if (s->weight) threads_run(threads, parts(s->dout, GRAIN), blas_task, &j);
}
