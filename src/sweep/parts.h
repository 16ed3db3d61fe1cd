/* parts.h: what the files of this folder share: the division of `work`, one sample's tile, and the two ways through a target. */

#ifndef PITOT_SRC_SWEEP_PARTS_H
#define PITOT_SRC_SWEEP_PARTS_H

#include "base/threads.h"
#include "sweep/sweep.h"

/* ---- work ---- */

typedef struct arena { /* base NULL: only counts */
    char *base;
    int64_t used, most; /* bytes; too much for an int64_t: most = INT64_MAX */
} arena;

/* count blocks of `each` values of `size` bytes, aligned to 64; NULL while only counting. */
void *arena_take(arena *a, int64_t count, int64_t each, size_t size);

/* Rounded up so that blocks side by side share no cache line. */
static inline int64_t to_lines(int64_t values) {
    return (values + 15) / 16 * 16;
}

static inline int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static inline int64_t most(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static inline int64_t parts(int64_t n, int64_t each) {
    return (n + each - 1) / each;
}

static inline int64_t whole(int64_t n, int64_t each) {
    return parts(n, each) * each;
}

/* job.threads, or 1 where `flops` are not worth a second one; never more than `items`. */
int sweep_threads(const sweep_job *job, double flops, int64_t items);

/* ---- tile.c ---- */

typedef struct tile_room { /* one thread's */
    pitot_real *unfolded;  /* (k,P) */
    pitot_real *planes;    /* (channels,h,w) of one group, for what comes channels last */
} tile_room;

int64_t use_width(const sweep_use *u);     /* values of one row of the tile; 1 for tiles that are vectors */
int64_t use_positions(const sweep_use *u); /* t or P */
int64_t use_unfolded(const sweep_use *u);  /* values of tile_room.unfolded, tile_room.planes */
int64_t use_planes(const sweep_use *u);

/* U (k,P) of a group of sample n: in the input itself, or made in `room`. */
const pitot_real *use_input(const sweep_use *u, int64_t n, int64_t group, const tile_room *room);

/* out (end-begin) = alpha * values begin..end of the tile of sample n, or + that. */
void tile_make(const sweep_use *u, int64_t n, int64_t begin, int64_t end, double alpha, int add, const tile_room *room,
               pitot_real *out);

typedef struct matrix_block { /* of a matrix */
    int64_t row, rows, column, columns;
} matrix_block;

/* Like tile_make, for a block (rows,columns) of the tile seen as a matrix with rows of `width` values. Of a convolution's input it unfolds
   those channels alone that the columns belong to. */
void tile_block(const sweep_use *u, int64_t n, const matrix_block *b, int64_t width, double alpha, int add, const tile_room *room,
                pitot_real *out);

/* ---- plain.c, tiled.c ---- */

int plain_fits(const sweep_target *t);
int64_t plain_tiles(const sweep_target *t);
void plain_work(const sweep_job *job, const sweep_target *t, arena *a);
void plain_run(const sweep_job *job, int32_t target, arena *a);
/* weight (n), NULL: all 1. */
void plain_sum(const sweep_job *job, const sweep_target *t, const double *weight, arena *a, pitot_real *out);

int64_t tiled_tiles(const sweep_target *t);
double common_scale(const sweep_target *t); /* of all uses; 1 if they differ */
void tiled_work(const sweep_job *job, const sweep_target *t, arena *a);
void tiled_run(const sweep_job *job, int32_t target, arena *a);
void tiled_sum(const sweep_job *job, const sweep_target *t, const double *weight, arena *a, pitot_real *out);
/* tiled_run serves SWEEP_PROJECTION, too: it makes the tiles anyway, or no other way is cheaper. */
int tiled_projects(const sweep_job *job, const sweep_target *t);

/* ---- project.c: g_n'd without the tile ---- */

/* Every use can do without. */
int project_pays(const sweep_target *t);
void project_work(const sweep_job *job, const sweep_target *t, arena *a);
void project_run(const sweep_job *job, int32_t target, arena *a);

/* ---- pairs.c: products of samples with samples, (x_i'y_j) of two factors each, block by block ---- */

enum { PAIRS = 128 }; /* samples of a block, at most */

typedef struct pair_side { /* x (rows,d), y (columns,d) */
    const pitot_real *x, *y;
    int64_t ld_x, ld_y, d;
} pair_side;

typedef struct pairs {
    pair_side side[2];
    int64_t rows, columns;
    int same; /* y is x: what is left of the diagonal is not made */
    int threads;
    pitot_real *room; /* (threads, pairs_room()) */
} pairs;

int64_t pairs_room(void);
/* Where block k of n samples begins; it ends where the next does. Of parts(n, PAIRS) blocks. */
int64_t pairs_cut(int64_t n, int64_t k);
/* Makes the products, then hands rows begin..end of the block to each thread. */
void pairs_run(const pairs *p, thread_task rows, void *job);
/* For such a task: sum over columns j of (x_i'y_j) of one factor times that of the other; once for each row. columns (columns), unless
   NULL: += each of them. If `same`, both are of columns from the row's own on; its own goes into the sum alone. */
double pairs_row(const pairs *p, int64_t row, double *columns);

/* ---- outer.c: the same where target.outer.n > 0 ---- */

void outer_work(const sweep_job *job, const sweep_target *t, arena *a);
void outer_run(const sweep_job *job, int32_t target, arena *a);

/* ---- samples.c ---- */

void samples_work(const sweep_job *job, const sweep_target *t, arena *a);

/* ---- gram.c: g_n'g_m ---- */

void gram_work(const sweep_job *job, const sweep_target *t, arena *a);
/* Adds what one target gives to rows n of job.gram, columns m >= n. */
void gram_run(const sweep_job *job, int32_t target, arena *a);
/* Columns m < n from the others. */
void gram_finish(const sweep_job *job);

/* ---- ghost.c: |g_n|^2 = sum_{t,s} (A_t'A_s)(G_t'G_s) without the tile ---- */

/* The single use's positions are so few that this costs less than the tile. */
int ghost_pays(const sweep_target *t);
int64_t ghost_room(const sweep_target *t); /* values of pitot_real for one thread */
/* -1: cancels, under- or overflows too much to be trusted. */
double ghost_square(const sweep_use *u, int64_t n, const tile_room *room, pitot_real *products);

/* ---- loops.c: sums in double ---- */

double loop_square(const pitot_real *x, int64_t n);
double loop_dot(const pitot_real *x, const pitot_real *y, int64_t n);

typedef struct loop_sums {
    double square, along, deviation;
} loop_sums;

/* With g = scale*x and m = mean_scale*mean: sum[i] += (g-m)^2, and |g|^2, g'm, |g-m|^2. */
loop_sums loop_centre(const pitot_real *x, double scale, const pitot_real *mean, double mean_scale, int64_t n, double *sum);
/* |scale*x - mean_scale*mean|^2 */
double loop_deviation(const pitot_real *x, double scale, const pitot_real *mean, double mean_scale, int64_t n);
/* out = factor*x */
void loop_scale(const pitot_real *x, double factor, int64_t n, pitot_real *out);

#endif
