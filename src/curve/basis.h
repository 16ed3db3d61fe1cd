/* basis.h: loops over a few long vectors, each one pass over memory: blocks of all vectors go through the cache together. Vectors are
   rows of n values, one after another; sums are in double, threaded as those of probe.h, the same bits every time for one thread count. */

#ifndef PITOT_SRC_BASIS_H
#define PITOT_SRC_BASIS_H

#include "pitot/base.h"

enum { BASIS_MOST = 64 }; /* rows */

/* y -= sum_j h[j] v_j, then out[j] = v_j'y, of what is left. Returns y'y of it. v (m,n); h, out (m). h NULL: y stays; out NULL:
   not wanted. */
double basis_reduce(const pitot_real *v, int m, int64_t n, pitot_real *y, const double *h, double *out);

/* Makes y orthogonal to the orthonormal rows of v, subtracting until no more than round-off is left, at most three times; h (m): what
   was along them. Returns the length of the rest; 0 if the rest is round-off. `least`: lengths up to it are round-off anyway. NaN if
   anything was not finite. */
double basis_orthogonalise(const pitot_real *v, int m, int64_t n, pitot_real *y, double *h, double least);

/* The same from h as it stands, what is about along them: one pass less over the rows if that is right up to a share of the rest. */
double basis_orthogonalise_guess(const pitot_real *v, int m, int64_t n, pitot_real *y, double *h, double least);

/* As basis_orthogonalise for any number of rows, a group of at most BASIS_MOST after the other; h NULL: not wanted. */
double basis_orthogonalise_many(const pitot_real *v, int64_t m, int64_t n, pitot_real *y, double *h, double least);

/* Rows of out (q,n) = sum_i c[i][j] v_i for j < q; out may be v. c: rows BASIS_MOST apart. m, q <= BASIS_MOST. */
void basis_mix(const pitot_real *v, int m, int64_t n, double c[][BASIS_MOST], int q, pitot_real *out);

/* y *= scale. */
void basis_scale(pitot_real *y, int64_t n, double scale);

/* y -= c v, then x'y is returned; x may be y. */
double basis_update(pitot_real *y, double c, const pitot_real *v, const pitot_real *x, int64_t n);

/* y = v + c y. */
void basis_combine(pitot_real *y, double c, const pitot_real *v, int64_t n);

/* y += amount * a direction of length about 1: the draw-th of this seed and step, values uniform. */
void basis_add_random(pitot_real *y, int64_t n, double amount, uint64_t seed, uint64_t step, uint64_t draw);

#endif
