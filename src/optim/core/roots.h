/* roots.h: inverse roots of symmetric positive semidefinite matrices. */

#ifndef PITOT_SRC_ROOTS_H
#define PITOT_SRC_ROOTS_H

#include "pitot/base.h"

/* out (n,n) = (scale M + shift I + eps I)^-power, by eigendecomposition in double; shift lifts a least eigenvalue below 0 to 0. With eps 0 on the
   range of M alone: eigenvalues up to n epsilon times the largest become 0. work: roots_work(n) values. Nothing is allocated; the same bits with
   any number of threads. Nonzero: no convergence or values that are not finite; out is as it was. */
int roots_inverse(int64_t n, const pitot_real *m, double scale, double eps, double power, pitot_real *out, double *work);
int64_t roots_work(int64_t n); /* -1: too large */

/* out (n,n) = (scale M + eps I)^(-1/p) by coupled Newton iteration in double, until |Y - I|_F, Y the residual, is at most `tolerance`, or `most`
   times; eps > 0 where M may be singular: what is 0 never comes to 1. work: roots_newton_work(n) values. Nonzero: the residual stayed above 0.1,
   or values are not finite; out is as it was. */
int roots_newton(int64_t n, const pitot_real *m, double scale, double eps, int64_t p, double tolerance, int64_t most,
                 pitot_real *out, double *work);
int64_t roots_newton_work(int64_t n);

/* The largest eigenvalue of M (n,n), positive semidefinite, by at most 100 steps of the power method; from below. work: 2 n values. */
double roots_largest(int64_t n, const pitot_real *m, double *work);

#endif
