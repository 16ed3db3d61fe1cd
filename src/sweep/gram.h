/* gram.h: products of vectors of all samples with each other, added to the upper triangle of a Gram matrix. */

#ifndef PITOT_SRC_SWEEP_GRAM_H
#define PITOT_SRC_SWEEP_GRAM_H

#include "sweep/parts.h"

typedef struct vectors { /* vector n: unit[n] * x_n, x (n,d) */
    const pitot_real *x;
    int64_t d, ld;
    double *square, *unit; /* (n): |unit[n] x_n|^2, powers of two */
    pitot_real *copy;      /* (n,ld) */
} vectors;

typedef struct triangle { /* columns m >= n of rows n */
    int64_t n;
    int threads;
    double *gram;         /* (n,n) */
    double *part;         /* (threads-1,n,n): of threads beyond the first; NULL: threads work on rows of their own */
    double *weight;       /* (n) */
    pitot_real *products; /* (threads, 2 factors, a product) */
} triangle;

/* What makes a length near 1 of one whose products could leave the range, or lose digits at its lower end; else 1. */
double vector_unit(double square);

/* Room for sums into `gram`. split: by values of the vectors, not by rows, unless that takes too much of it. */
triangle triangle_of(double *gram, int64_t n, int threads, int split, arena *a);
/* gram_nm += scale^2 x_n'x_m, or, factors = 2, the product of such for v[0] and v[1]. */
void triangle_add(const triangle *s, const vectors *v, int factors, double scale);
void triangle_finish(const triangle *s);

#endif
