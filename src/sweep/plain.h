/* plain.h: a linear layer used once, at one position: g_n = scale * L_n R_n', L (n,rows) and R (n,columns) being G and A, or A and G of a
   transposed weight. */

#ifndef PITOT_SRC_SWEEP_PLAIN_H
#define PITOT_SRC_SWEEP_PLAIN_H

#include "base/panel.h"
#include "sweep/parts.h"

typedef struct factor { /* L or R */
    const pitot_real *x;
    int64_t d, ld;
    double *norm;        /* (n): squared norms */
    int exponent;        /* 2 to this brings the longest vector near 2^25: products of squares then stay in range */
    int64_t panel;       /* PANEL_ROWS or PANEL_COLUMNS; without a kernel d: one panel is (n,d) */
    pitot_real *square;  /* (x*2^exponent)^2 in panels (n,panel) */
    pitot_real *copy;    /* (n,d): x*2^exponent where x is far out of range, else unused */
    const pitot_real *y; /* x or the copy: what inner products are made of, and what it was multiplied by */
    int64_t ld_y;
    int exponent_y;
} factor;

typedef struct grid {      /* blocks of the weight; each is one tile, or, where rows are cut, each of its rows is one */
    int64_t rows, columns; /* of the largest block; whole panels */
    int64_t down, across;  /* blocks */
} grid;

typedef struct plain {
    const sweep_job *job;
    const sweep_target *t;
    int32_t index;
    int threads, gram; /* gram: along from Gram matrices, not from products with the mean */
    double scale;
    factor left, right;
    panel_kernel kernel; /* NULL: moments by BLAS */
    grid g;
    double *along, *deviation;   /* (n): this target's. deviation -1: cancels */
    double *part;                /* (threads,n) */
    pitot_real *products;        /* (threads, along_room) */
    pitot_real *variance, *mean; /* (threads, block) */
    int curves;                  /* curvature from target.q */
    int exponent_q;              /* what brings q near 2^50 */
    double *norm_q;              /* (n) */
    pitot_real *q;               /* q_scale q 2^exponent_q, in panels as the left factor's */
    pitot_real *curvature;       /* (threads, block) */
    panel_gather gather;         /* NULL: none */
    panel_entry *entry;          /* (left.d, n): samples with a value in left.square or q; behind a ReLU both have the same */
    int32_t *entries;            /* (runs, left.d in whole panels): how many, RUN samples each, from a multiple of RUN on */
    int sparse;                  /* so few that products of both are taken from them */
} plain;

enum { RUN = 256 }; /* samples that a kernel adds up at once, which bounds the rounding */

int64_t along_room(void); /* values of pitot_real for one thread */
int gram_pays(int64_t n, int64_t rows, int64_t columns);
/* g_n'g from Gram matrices: into part. */
void gram_products(const plain *p);
/* A thread's share of g_n'g from products with the mean: into along. */
void along_task(void *job, int64_t begin, int64_t end, int thread);
/* From the threads' shares: along, and deviation by the difference of squares. Returns how many of the latter cancel. */
int64_t along_finish(plain *p);
/* The cancelled ones once more, value by value. */
void deviation_task(void *job, int64_t begin, int64_t end, int thread);

grid grid_of(int64_t rows, int64_t columns);
/* Blocks begin..end: their moments, handed to the job's sink. */
void block_task(void *job, int64_t begin, int64_t end, int thread);

#endif
