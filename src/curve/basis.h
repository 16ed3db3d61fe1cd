/* basis.h: loops over a few long vectors, each one pass over memory: blocks of all vectors go through the cache together. Vectors are
   rows of n values, one after another; sums are in double, threaded as those of probe.h, the same bits every time for one thread count. */

#ifndef PITOT_SRC_BASIS_H
#define PITOT_SRC_BASIS_H

#include "pitot/base.h"

enum { BASIS_MOST = 64, BASIS_PAIR = 2 }; /* rows of a pass where nothing else is said; vectors that one pass serves */

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

/* Of `count` vectors y, `step` values apart, at most BASIS_PAIR: out[a * m + j] = v_j'y_a, with one pass over the rows, any number of them. */
void basis_products(const pitot_real *v, int64_t m, int64_t n, pitot_real *y, int64_t step, int count, double *out);

/* y_a -= sum_j h[a * m + j] v_j, in the same way; square[a]: y_a'y_a of what is left; left (count,m), NULL: not wanted: v_j'y_a of it, as
   soon as that row and those of the same or an earlier group of BASIS_MOST have been subtracted. */
void basis_subtract(const pitot_real *v, int64_t m, int64_t n, pitot_real *y, int64_t step, int count, const double *h,
                    double *square, double *left);

/* Rows of out (q,n) = sum_i c[i * apart + j] v_i for j < q; out may be v. m, q <= BASIS_MIXED. */
enum { BASIS_MIXED = 256 };
void basis_mix(const pitot_real *v, int m, int64_t n, const double *c, int apart, int q, pitot_real *out);

/* y *= scale. */
void basis_scale(pitot_real *y, int64_t n, double scale);

/* y -= c v, then x'y is returned; x may be y. */
double basis_update(pitot_real *y, double c, const pitot_real *v, const pitot_real *x, int64_t n);

/* A step of the three-term recurrence in two passes: product = y'y, u'y, v'y; then y = scale (y - a u - b v), of which y'y is returned. */
void basis_three_products(pitot_real *y, pitot_real *u, pitot_real *v, int64_t n, double product[3]);
double basis_three(pitot_real *y, double a, pitot_real *u, double b, pitot_real *v, double scale, int64_t n);

/* The same in Paige's order, with v behind u from then on: y -= b v, product = u'y, y'y; then v = u, u = scale (y - a u), of which u'u is
   returned. */
void basis_subtract_one(pitot_real *y, double b, pitot_real *v, pitot_real *u, int64_t n, double product[2]);
double basis_turn(pitot_real *y, double a, pitot_real *u, pitot_real *v, double scale, int64_t n);

/* y = v + c y. */
void basis_combine(pitot_real *y, double c, const pitot_real *v, int64_t n);

/* y += amount * a direction of length about 1: the draw-th of this seed and step, values uniform. */
void basis_add_random(pitot_real *y, int64_t n, double amount, uint64_t seed, uint64_t step, uint64_t draw);

#endif
