/* matrix.h: what methods on matrices share: sums of squares, symmetric matrices, gradients too large to square. */

#ifndef PITOT_SRC_MATRIX_H
#define PITOT_SRC_MATRIX_H

#include "pitot/optim.h"

/* Sum of squares of X (rows, cols), ld values from row to row, in double and in a fixed order. */
double matrix_squares(const pitot_real *x, int64_t rows, int64_t cols, int64_t ld);

/* Copies the upper triangle of a (n,n) to the lower one; like matrix_average on BLAS's threads, with the same bits on any number. */
void matrix_mirror(int64_t n, pitot_real *a);
/* The upper triangle of to (n,n) = keep to + add from. */
void matrix_average(int64_t n, double keep, double add, const pitot_real *from, pitot_real *to);
int matrix_triangle_finite(int64_t n, const pitot_real *a); /* the upper one */
void matrix_identity(int64_t n, double scale, pitot_real *a);

/* PITOT_EHOST if a tensor's squared gradients add up to more than MATRIX_MOST: products with itself would leave the range of pitot_real and
   spoil averages for good. */
int32_t matrix_bounded(const pitot_stepping *s);

#ifdef PITOT_DOUBLE
#define MATRIX_MOST 1e140
#else
#define MATRIX_MOST 1e32
#endif

#endif
