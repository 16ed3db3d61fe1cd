/* roots.h: inverse roots of symmetric positive semidefinite matrices. */

#ifndef PITOT_SRC_ROOTS_H
#define PITOT_SRC_ROOTS_H

#include "pitot/base.h"

/* out (n,n) = (scale M + shift I + eps I)^-power, by eigendecomposition in double; shift lifts a least eigenvalue below 0 to 0. With eps 0 on the
   range of M alone: eigenvalues up to n epsilon times the largest become 0. work: roots_work(n) values. Nothing is allocated; the same bits with
   any number of threads. Nonzero: no convergence or values that are not finite; out is as it was. */
int roots_inverse(int64_t n, const pitot_real *m, double scale, double eps, double power, pitot_real *out, double *work);
int64_t roots_work(int64_t n); /* -1: too large */

#endif
