/* blas.h: the BLAS calls in use, for pitot_real, row-major. */

#ifndef PITOT_SRC_BLAS_H
#define PITOT_SRC_BLAS_H

#include "pitot/base.h"

/* C (m,n) = alpha op(A) op(B) + beta C, op(A) (m,k), op(B) (k,n). lda, ldb, ldc: elements from one row to the next. */
void blas_gemm(int trans_a, int trans_b, int64_t m, int64_t n, int64_t k, double alpha, const pitot_real *a, int64_t lda,
               const pitot_real *b, int64_t ldb, double beta, pitot_real *c, int64_t ldc);

#endif
