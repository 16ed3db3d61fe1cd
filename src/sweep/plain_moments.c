/* plain_moments.c: see plain.h. variance = scale^2/N (L^2)'(R^2) - mean^2, a product of squares block by block: tile by tile from panels,
   each tile finished while it is in cache, or by BLAS. Values that cancel are made again as sums over the samples. */

#include "sweep/plain.h"

#include "base/blas.h"
#include "pitot/hot.h"

#include <math.h>
#include <string.h>

enum {
    BLOCK = (1 << 18) / sizeof(pitot_real),
    WIDE = 1024,
    SMALL = 1 << 14
};                   /* values of a block, of a row in it; not worth a cut */
enum { GROUP = 16 }; /* values of one pass of mend */

/* Long rows are cut, so that a block has many: the same columns serve them all. */
grid grid_of(int64_t rows, int64_t columns) {
    grid g = { .columns = columns, .across = 1 };
    if (rows <= 0 || columns <= 0) return (grid){ 1, 1, 0, 0 };
    if (columns > WIDE) {
        g.columns = whole(parts(columns, parts(columns, WIDE)), PANEL_COLUMNS);
        g.across = parts(columns, g.columns);
    }
    int64_t panels = parts(rows, PANEL_ROWS);
    g.down = parts(panels, most(1, BLOCK / g.columns / PANEL_ROWS));
    if (g.down > 2 || rows > SMALL / g.columns) g.down = least(panels, whole(g.down, 4)); /* the same for 2 and 4 threads */
    g.rows = parts(panels, g.down) * PANEL_ROWS;
    return g;
}

/* Factors whose product is f; neither leaves the range of a pitot_real before what it multiplies does. */
static void split(double f, pitot_real out[2]) {
    int e;
    frexp(f, &e);
    out[0] = (pitot_real)ldexp(1, e / 2);
    out[1] = (pitot_real)(f / ldexp(1, e / 2));
}

typedef struct units {               /* from sums of squares of the scaled factors, and from target.mean */
    pitot_real mean[2], variance[2]; /* sqrt(N) mean in the scaled factors' units; back, and 1/N */
    pitot_real curvature[2];         /* back: a power of two */
} units;

static units units_of(const plain *p) {
    double power = ldexp(1, p->left.exponent + p->right.exponent), n = (double)p->job->n;
    units u;
    split(p->scale == 0 ? 0 : p->job->mean_scale / p->scale * power * sqrt(n), u.mean);
    split(p->scale * p->scale / power / power / n, u.variance);
    split(ldexp(1, -p->exponent_q - 2 * p->right.exponent), u.curvature);
    return u;
}

typedef struct piece { /* of the weight */
    int64_t row, column, rows, columns;
    pitot_real *v; /* (rows,columns), rows ld apart: its variances */
    int64_t ld;
} piece;

/* v (rows,columns) = variances from sums of squares, -1 where the mean takes nearly all. Returns whether there are any of these. */
static inline int subtract(const pitot_real *sum, const pitot_real *restrict mean, int64_t ld_mean, int64_t rows, int64_t columns,
                           const units *u, pitot_real *restrict v, int64_t ld) {
    pitot_real m0 = u->mean[0], m1 = u->mean[1], v0 = u->variance[0], v1 = u->variance[1];
    int32_t cancelled[PANEL_COLUMNS] = { 0 }, any = 0;
    for (int64_t i = 0; i < rows; i++, sum += PANEL_COLUMNS, mean += ld_mean, v += ld)
        for (int64_t j = 0; j < columns; j++) {
            pitot_real m = mean[j] * m0 * m1, d = sum[j] - m * m;
            int cancels = d < sum[j] * (pitot_real)0x1p-8;
            v[j] = cancels ? -1 : d * v0 * v1;
            cancelled[j] |= cancels;
        }
    for (int j = 0; j < PANEL_COLUMNS; j++) any |= cancelled[j];
    return any;
}

/* The same for a tile of sums. */
PITOT_HOT static int subtract_mean(const pitot_real *sum, const pitot_real *mean, int64_t ld_mean, const units *given,
                                   const piece *c) {
    const units u = *given;
    if (c->columns == PANEL_COLUMNS) return subtract(sum, mean, ld_mean, c->rows, PANEL_COLUMNS, &u, c->v, c->ld);
    return subtract(sum, mean, ld_mean, c->rows, c->columns, &u, c->v, c->ld);
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

/* sum (PANEL_ROWS,PANEL_COLUMNS), rows ld apart: left's product with R^2, of a tile, made here, or by BLAS, in its own place. */
static void sum_tile(const plain *p, const pitot_real *left, const piece *c, pitot_real *sum, int64_t ld) {
    int64_t n = p->job->n;
    const pitot_real *l = left + c->row * n, *r = p->right.square + c->column * n;
    for (int64_t k = 0; p->kernel && k < n; k += RUN)
        p->kernel(l + k * PANEL_ROWS, r + k * PANEL_COLUMNS, least(RUN, n - k), k > 0, sum, ld);
    for (int64_t i = 0; !p->kernel && i < c->rows; i++) memcpy(sum + i * ld, c->v + i * c->ld, (size_t)c->columns * sizeof *sum);
}

/* On its way while the squares are summed. */
static void prefetch_mean(const plain *p, const piece *c) {
    const pitot_real *mean = p->t->mean + c->row * p->right.d + c->column;
    for (int64_t i = 0; i < c->rows; i++, mean += p->right.d) {
        __builtin_prefetch(mean);
        __builtin_prefetch(mean + c->columns / 2);
        __builtin_prefetch(mean + c->columns - 1);
    }
}

static void from_sums(const plain *p, const pitot_real *sum, const units *u, const piece *c) {
    int64_t d = p->right.d;
    if (!subtract_mean(sum, p->t->mean + c->row * d + c->column, d, u, c)) return;
    for (int64_t i = 0; i < c->rows; i++) mend(p, c->row + i, c->column, c->columns, c->v + i * c->ld);
}

static void one_tile(const plain *p, const units *u, const piece *c) {
    _Alignas(64) pitot_real sum[PANEL_ROWS * PANEL_COLUMNS];
    prefetch_mean(p, c);
    sum_tile(p, p->left.square, c, sum, PANEL_COLUMNS);
    from_sums(p, sum, u, c);
}

/* ---- curvature, in the same blocks ---- */

PITOT_HOT static void scale_back(const pitot_real *sum, const units *given, const piece *c) {
    const pitot_real u0 = given->curvature[0], u1 = given->curvature[1];
    for (int64_t i = 0; i < c->rows; i++)
        for (int64_t j = 0; j < c->columns; j++) c->v[i * c->ld + j] = sum[i * PANEL_COLUMNS + j] * u0 * u1;
}

/* Its sums are what is wanted: a whole tile of them can be made in its place. */
static int is_direct(const plain *p) {
    return p->exponent_q == -2 * p->right.exponent;
}

static void curve_tile(const plain *p, const units *u, const piece *c) {
    _Alignas(64) pitot_real sum[PANEL_ROWS * PANEL_COLUMNS];
    int whole = is_direct(p) && p->kernel && c->rows == PANEL_ROWS && c->columns == PANEL_COLUMNS;
    sum_tile(p, p->q, c, whole ? c->v : sum, whole ? c->ld : PANEL_COLUMNS);
    if (!whole) scale_back(sum, u, c);
}

/* PANEL_COLUMNS values of one row of each. */
static void gather_row(const plain *p, int64_t row, int64_t column, pitot_real *sum, pitot_real *curve) {
    int64_t n = p->job->n, columns = whole(p->left.d, PANEL_ROWS);
    const pitot_real *r = p->right.square + column * n;
    for (int64_t run = 0, k = 0; k < n; run++, k += RUN)
        p->gather(p->entry + row * n + k, p->entries[run * columns + row], r + k * PANEL_COLUMNS, k > 0, sum, curve);
}

/* Both tiles, c of variances and k of curvature, from entries. */
static void two_tiles(const plain *p, const units *u, const piece *c, const piece *k) {
    _Alignas(64) pitot_real sum[PANEL_ROWS * PANEL_COLUMNS], curve[PANEL_ROWS * PANEL_COLUMNS];
    int direct = is_direct(p) && c->columns == PANEL_COLUMNS;
    prefetch_mean(p, c);
    for (int64_t i = 0; i < PANEL_ROWS; i++)
        gather_row(p, c->row + i, c->column, sum + i * PANEL_COLUMNS,
                   direct && i < c->rows ? k->v + i * k->ld : curve + i * PANEL_COLUMNS);
    from_sums(p, sum, u, c);
    if (!direct) scale_back(curve, u, k);
}

/* Down before across: a panel of R^2 stays in cache while the entries pass. */
static void gather_block(const plain *p, const units *u, const piece *b, pitot_real *curvature) {
    for (int64_t j = 0; j < b->columns; j += PANEL_COLUMNS)
        for (int64_t i = 0; i < b->rows; i += PANEL_ROWS) {
            int64_t rows = least(PANEL_ROWS, b->rows - i), columns = least(PANEL_COLUMNS, b->columns - j), at = i * b->ld + j;
            piece c = { b->row + i, b->column + j, rows, columns, b->v + at, b->ld }, k = c;
            k.v = curvature + at;
            two_tiles(p, u, &c, &k);
        }
}

static void multiply_block(const plain *p, const pitot_real *left, const piece *b) {
    const factor *l = &p->left, *r = &p->right;
    if (!p->kernel)
        blas_gemm(1, 0, b->rows, b->columns, p->job->n, 1, left + b->row, l->d, r->square + b->column, r->d, 0, b->v, b->ld);
}

/* Variances, and, where it is wanted, curvature (curvature: its block, or NULL): tiles of both from the same panel of R^2. */
static void fill_block(const plain *p, const units *u, const piece *b, pitot_real *curvature) {
    piece made = *b;
    made.v = curvature;
    if (p->sparse) {
        gather_block(p, u, b, curvature);
        return;
    }
    multiply_block(p, p->left.square, b);
    if (curvature) multiply_block(p, p->q, &made);
    for (int64_t i = 0; i < b->rows; i += PANEL_ROWS)
        for (int64_t j = 0; j < b->columns; j += PANEL_COLUMNS) {
            int64_t rows = least(PANEL_ROWS, b->rows - i), columns = least(PANEL_COLUMNS, b->columns - j), at = i * b->ld + j;
            one_tile(p, u, &(piece){ b->row + i, b->column + j, rows, columns, b->v + at, b->ld });
            if (curvature) curve_tile(p, u, &(piece){ b->row + i, b->column + j, rows, columns, curvature + at, b->ld });
        }
}

/* Rows and columns of block k; those of one block down differ by at most a panel between any two. */
static piece piece_of(const plain *p, int64_t k, pitot_real *v) {
    const grid *g = &p->g;
    int64_t panels = parts(p->left.d, PANEL_ROWS), down = k / g->across, column = k % g->across * g->columns;
    int64_t row = panels * down / g->down * PANEL_ROWS, end = panels * (down + 1) / g->down * PANEL_ROWS;
    int64_t columns = least(g->columns, p->right.d - column);
    return (piece){ row, column, least(end, p->left.d) - row, columns, v, columns };
}

static void hand_over(const plain *p, int64_t index, int64_t begin, int64_t end, const pitot_real *variance,
                      const pitot_real *curvature, int thread) {
    const sweep_job *j = p->job;
    pitot_real *mean = p->mean + thread * to_lines(p->g.rows * p->g.columns);
    sweep_tile tile = { .target = p->index, .thread = thread, .index = index, .begin = begin, .end = end, .variance = variance };
    tile.curvature = curvature;
    tile.mean = p->t->mean + begin;
    if (j->mean_scale != 1) loop_scale(tile.mean, j->mean_scale, end - begin, mean);
    if (j->mean_scale != 1) tile.mean = mean;
    j->moments(j->user, &tile);
}

static void one_block(const plain *p, const units *u, int64_t k, int thread) {
    const grid *g = &p->g;
    int64_t d = p->right.d;
    int64_t place = thread * to_lines(g->rows * g->columns);
    piece b = piece_of(p, k, p->variance + place);
    pitot_real *made = p->curves ? p->curvature + place : NULL;
    if (p->job->n == 1) memset(b.v, 0, (size_t)(b.rows * b.columns) * sizeof *b.v);
    else fill_block(p, u, &b, made);
    if (g->across == 1) hand_over(p, k, b.row * d, (b.row + b.rows) * d, b.v, made, thread);
    for (int64_t i = 0; g->across > 1 && i < b.rows; i++) {
        int64_t begin = (b.row + i) * d + b.column;
        hand_over(p, (b.row + i) * g->across + b.column / g->columns, begin, begin + b.columns, b.v + i * b.ld,
                  made ? made + i * b.ld : NULL, thread);
    }
}

void block_task(void *job, int64_t begin, int64_t end, int thread) {
    const plain *p = job;
    units u = units_of(p);
    for (int64_t k = begin; k < end; k++) one_block(p, &u, k, thread);
}
