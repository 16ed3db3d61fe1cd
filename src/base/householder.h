/* householder.h: a symmetric matrix to tridiagonal form, on threads. */

#ifndef PITOT_SRC_HOUSEHOLDER_H
#define PITOT_SRC_HOUSEHOLDER_H

#include "pitot/base.h"

/* d (n), e (n - 1): diagonal and off-diagonal of a tridiagonal matrix with a's eigenvalues; a (n,n), finite and of ordinary size: its upper
   triangle is overwritten; work (householder_work(threads, n)). The same threads: the same bits, whatever BLAS's. Cost: 4/3 n^3 flops, half of
   them products with blocks. */
void householder_tridiagonal(int threads, int64_t n, pitot_real *a, pitot_real *d, pitot_real *e, pitot_real *work);
int64_t householder_work(int threads, int64_t n);

#endif
