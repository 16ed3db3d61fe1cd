/* blas.h: the BLAS and LAPACK calls in use, row-major. */

#ifndef PITOT_SRC_BLAS_H
#define PITOT_SRC_BLAS_H

#include "pitot/base.h"

/* C (m,n) = alpha op(A) op(B) + beta C, op(A) (m,k), op(B) (k,n). lda, ldb, ldc: elements from one row to the next. */
void blas_gemm(int trans_a, int trans_b, int64_t m, int64_t n, int64_t k, double alpha, const pitot_real *a, int64_t lda,
               const pitot_real *b, int64_t ldb, double beta, pitot_real *c, int64_t ldc);

/* The upper triangle of C (n,n) = alpha A A' + beta C, A (n,k); or with A (k,n), of alpha A'A + beta C, if `trans`. */
void blas_syrk(int trans, int64_t n, int64_t k, double alpha, const pitot_real *a, int64_t lda, double beta, pitot_real *c,
               int64_t ldc);

/* B (m,n) becomes op(A)^-1 B, or B op(A)^-1 if `right`; A upper triangular, without gaps. */
void blas_trsm(int right, int trans, int64_t m, int64_t n, const pitot_real *a, pitot_real *b, int64_t ldb);

/* Rows of a (n,n) become orthonormal, row j in the span of the first j + 1 as they were: with P the matrix of the rows as columns, P = QR and
   row j is column j of Q, diagonal of R >= 0. r: NULL, or R' (n,n), lower triangular. On one thread; nothing is allocated. work:
   blas_orthonormal_work(n) values. Nonzero: LAPACK refused. */
int blas_orthonormal(int64_t n, pitot_real *a, pitot_real *r, pitot_real *work);
int64_t blas_orthonormal_work(int64_t n);

/* Rows of a (m,n), m <= n, become an orthonormal basis of a space that holds them, in double, on one thread; nothing is allocated. work:
   blas_orthonormal_rows_work(m) values. Nonzero: LAPACK refused. */
int blas_orthonormal_rows(int64_t m, int64_t n, double *a, double *work);
int64_t blas_orthonormal_rows_work(int64_t m);

/* Positive definite A (n,n), of which the upper triangle counts, becomes its inverse, whole; in double, on one thread. Nothing is allocated.
   Nonzero: not positive definite, a is lost. */
int blas_inverse(int64_t n, double *a);

/* The upper triangle of G (n,n) = A'A, or G + A'A if `add`; A (k,n), without gaps, in double. */
void blas_gram(int64_t n, int64_t k, const double *a, int add, double *g);

/* The same on one thread, with the same bits whatever BLAS's threads. */
void blas_gram_alone(int64_t n, int64_t k, const double *a, int add, double *g);

/* x (n) = A^-1 x, A symmetric (n,n), from its upper triangle, which becomes Cholesky's factor; in double, on one thread. Nothing is allocated.
   Nonzero: A is not positive definite, x is as it was. */
int blas_solve_positive(int64_t n, double *a, double *x);

/* Eigenvalues of a symmetric matrix (n,n), in ascending order, from its upper triangle, which is overwritten; work:
   blas_eigenvalues_work(n) values. Nothing is allocated. Nonzero: no convergence. */
int blas_eigenvalues(int64_t n, double *a, double *value, double *work);
int64_t blas_eigenvalues_work(int64_t n); /* -1: more than LAPACK's integers count */

/* The same in the precision of pitot_real, on threads: the same threads, the same bits, whatever BLAS's. a is finite and stays; work:
   blas_real_eigenvalues_work(threads, n) values. */
int blas_real_eigenvalues(int threads, int64_t n, const double *a, double *value, pitot_real *work);
int64_t blas_real_eigenvalues_work(int threads, int64_t n); /* -1: more than LAPACK's integers count */

/* In double again, on one thread, with vectors: row j of a becomes the unit eigenvector of value[j]. work: blas_eigenvectors_work(n) values. */
int blas_eigenvectors(int64_t n, double *a, double *value, double *work);
int64_t blas_eigenvectors_work(int64_t n); /* -1: more than LAPACK's integers count */

/* blas_gemm in double. */
void blas_gemm_double(int trans_a, int trans_b, int64_t m, int64_t n, int64_t k, double alpha, const double *a, int64_t lda,
                      const double *b, int64_t ldb, double beta, double *c, int64_t ldc);

/* y (n) = A x, or A'x if `trans`; A (n,n), in double. */
void blas_product(int trans, int64_t n, const double *a, const double *x, double *y);

#endif
