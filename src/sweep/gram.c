/* gram.c: see parts.h. A linear layer at one position: K = scale^2 (LL') o (RR'), the factors' Gram matrices value by value. All else:
   tiles of a block of the target's values, of all samples, times their transpose, block by block; what else is wanted of the tiles is
   taken on the way.

   Where a vector is too long or too short for products in pitot_real, it is made again with a length near 1, by a power of two. */

#include "sweep/gram.h"

#include "base/threads.h"

#include <math.h>

/* Values of one sample's block, of all samples' blocks; rows of 2^k values would meet in the same cache lines. */
enum { LEAST_BLOCK = 256, BLOCK = 1 << 14, BLOCKS = (1 << 23) / sizeof(pitot_real), PAD = 16 };

typedef struct cut {
    int64_t width, rows, columns; /* the target as a matrix: values of a row; rows and columns of the largest block */
} cut;

typedef struct gram {
    const sweep_job *job;
    const sweep_target *t;
    int threads, plain;
    double scale; /* of what the vectors are multiples of */
    vectors v[2]; /* plain: G, A; else the tiles */
    triangle sums;
    /* tiles */
    cut c;
    matrix_block at;
    double common;
    int64_t unfolded, planes; /* values for one thread */
    pitot_real *room_unfolded, *room_planes;
} gram;

/* ---- room ---- */

/* Values of a row of the target as a matrix that all its products share; else all its values. */
static int64_t width_of(const sweep_target *t) {
    int64_t width = 0;
    for (int32_t i = 0; i < t->n_uses; i++) {
        const sweep_use *u = &t->use[i];
        if (u->kind != SWEEP_LINEAR && u->kind != SWEEP_CONV) continue;
        if (width && width != use_width(u)) return t->size;
        width = use_width(u);
    }
    return width ? width : t->size;
}

static const sweep_use *first_conv(const sweep_target *t) {
    for (int32_t i = 0; i < t->n_uses; i++)
        if (t->use[i].kind == SWEEP_CONV) return &t->use[i];
    return NULL;
}

/* Blocks of linear layers are near square, since a product's cost is packing both sides. Those of a convolution are whole groups, or all
   rows of a group and columns of whole channels: each channel is then unfolded once. */
static cut cut_of(int64_t n, const sweep_target *t) {
    int64_t values = most(LEAST_BLOCK, least(BLOCK, BLOCKS / most(1, n))), width = width_of(t), unit = 1;
    const sweep_use *u = first_conv(t);
    cut c = { .width = width };
    if (width <= 0) return (cut){ 1, 1, 1 };
    if (u && width == use_width(u)) {
        unit = u->w.kernel[0] * u->w.kernel[1];
        c.rows = u->m * width <= values ? values / (u->m * width) * u->m : least(u->m, most(1, values / unit));
    } else c.rows = most((int64_t)sqrt((double)values), values / width);
    c.rows = least(t->size / width, c.rows);
    c.columns = least(width, most(1, values / c.rows / unit) * unit);
    return c;
}

static vectors take_vectors(int64_t n, int64_t d, int64_t ld, arena *a) {
    vectors v = { .d = d, .ld = ld };
    v.square = arena_take(a, 1, n, sizeof *v.square);
    v.unit = arena_take(a, 1, n, sizeof *v.unit);
    v.copy = arena_take(a, n, ld, sizeof *v.copy);
    return v;
}

static void lay_out_factors(gram *g, arena *a) {
    const sweep_use *u = g->t->use;
    int64_t n = g->job->n;
    g->scale = g->job->scale * u->scale;
    g->v[0] = take_vectors(n, u->dout, u->dout, a);
    g->v[1] = take_vectors(n, u->din, u->din, a);
    g->threads = sweep_threads(g->job, (double)n * (double)n * (double)(u->din + u->dout), n);
}

static void lay_out_tiles(gram *g, arena *a) {
    int64_t n = g->job->n;
    double flops = (double)n;
    g->common = common_scale(g->t);
    g->scale = g->job->scale * g->common;
    g->c = cut_of(n, g->t);
    for (int32_t i = 0; i < g->t->n_uses; i++) {
        const sweep_use *u = &g->t->use[i];
        flops += 2 * (double)use_positions(u);
        g->unfolded = most(g->unfolded, to_lines(use_unfolded(u)));
        g->planes = most(g->planes, to_lines(use_planes(u)));
    }
    g->threads = sweep_threads(g->job, (double)n * (double)g->t->size * flops, n);
    g->v[0] = take_vectors(n, 0, to_lines(g->c.rows * g->c.columns) + PAD, a);
    g->room_unfolded = arena_take(a, g->threads, g->unfolded, sizeof *g->room_unfolded);
    g->room_planes = arena_take(a, g->threads, g->planes, sizeof *g->room_planes);
}

static gram gram_of(const sweep_job *job, const sweep_target *t, arena *a) {
    gram g = { .job = job, .t = t, .plain = plain_fits(t) };
    if (g.plain) lay_out_factors(&g, a);
    else lay_out_tiles(&g, a);
    g.sums = triangle_of(job->gram, job->n, g.threads, !g.plain, a);
    return g;
}

void gram_work(const sweep_job *job, const sweep_target *t, arena *a) {
    gram_of(job, t, a);
}

/* ---- a linear layer at one position ---- */

static void length_task(void *job, int64_t begin, int64_t end, int thread) {
    gram *g = job;
    (void)thread;
    for (int f = 0; f < 2; f++)
        for (int64_t n = begin; n < end; n++) {
            vectors *v = &g->v[f];
            v->square[n] = loop_square(v->x + n * v->ld, v->d);
            v->unit[n] = vector_unit(v->square[n]);
        }
}

static void copy_task(void *job, int64_t begin, int64_t end, int thread) {
    const vectors *v = job;
    (void)thread;
    for (int64_t n = begin; n < end; n++) loop_scale(v->x + n * v->ld, 1 / v->unit[n], v->d, v->copy + n * v->d);
}

static void moderate(vectors *v, int64_t n, int threads) {
    int needed = 0;
    for (int64_t i = 0; i < n; i++) needed |= v->unit[i] != 1;
    if (!needed) return;
    threads_run(threads, n, copy_task, v);
    v->x = v->copy;
    v->ld = v->d;
}

static void factors_run(gram *g) {
    const sweep_use *u = g->t->use;
    g->v[0].x = u->g;
    g->v[0].ld = u->g_sample;
    g->v[1].x = u->a;
    g->v[1].ld = u->a_sample;
    threads_run(g->threads, g->job->n, length_task, g);
    for (int f = 0; f < 2; f++) moderate(&g->v[f], g->job->n, g->threads);
    triangle_add(&g->sums, g->v, 2, g->scale);
}

/* ---- tiles ---- */

static void make_task(void *job, int64_t begin, int64_t end, int thread) {
    const gram *g = job;
    const vectors *v = &g->v[0];
    tile_room room = { g->room_unfolded + thread * g->unfolded, g->room_planes + thread * g->planes };
    for (int64_t n = begin; n < end; n++) {
        pitot_real *x = v->copy + n * v->ld;
        for (int32_t i = 0; i < g->t->n_uses; i++) {
            const sweep_use *u = &g->t->use[i];
            tile_block(u, n, &g->at, g->c.width, u->scale == g->common ? 1 : u->scale, i > 0, &room, x);
        }
        v->square[n] = loop_square(x, v->d);
        v->unit[n] = vector_unit(v->square[n]);
        if (v->unit[n] != 1) loop_scale(x, 1 / v->unit[n], v->d, x);
    }
}

static void tiles_run(gram *g) {
    int64_t rows = g->t->size / g->c.width;
    g->v[0].x = g->v[0].copy;
    for (int64_t row = 0; row < rows; row += g->c.rows)
        for (int64_t column = 0; column < g->c.width; column += g->c.columns) {
            g->at = (matrix_block){ row, least(g->c.rows, rows - row), column, least(g->c.columns, g->c.width - column) };
            g->v[0].d = g->at.rows * g->at.columns;
            threads_run(g->threads, g->job->n, make_task, g);
            triangle_add(&g->sums, g->v, 1, g->scale);
        }
}

/* ---- all ---- */

void gram_run(const sweep_job *job, int32_t target, arena *a) {
    gram g = gram_of(job, &job->target[target], a);
    if (g.t->size <= 0 || !g.t->n_uses) return;
    if (g.plain) factors_run(&g);
    else tiles_run(&g);
    triangle_finish(&g.sums);
}

void gram_finish(const sweep_job *job) {
    int64_t n = job->n;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < i; j++) job->gram[i * n + j] = job->gram[j * n + i];
}
