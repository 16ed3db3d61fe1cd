/* bases.h: orthonormal bases in which symmetric matrices are nearly diagonal. Q (n,n), row-major, columns are the basis. All allocate nothing and
   give the same bits with any number of threads; a status other than 0 leaves an orthonormal Q, as it was but for whole iterations. */

#ifndef PITOT_SRC_BASES_H
#define PITOT_SRC_BASES_H

#include "pitot/base.h"

/* Eigenvectors of M, by values that rise, or fall if `falling`, by decomposition in double. About 9 n^3 flops. work: basis_eigen_work(n). */
int basis_eigen(int64_t n, const pitot_real *m, int falling, pitot_real *q, double *work);
int64_t basis_eigen_work(int64_t n); /* -1: too large */

/* One orthogonal iteration from Q (Vyas et al. 2024, algorithm 4): columns in order of falling diagonal of Q'MQ, order[j] the old column's number,
   then the Q of M Q = QR. About 6 n^3 flops. work: basis_iterate_work(n) values. */
int basis_iterate(int64_t n, const pitot_real *m, pitot_real *q, int64_t *order, pitot_real *work);
int64_t basis_iterate_work(int64_t n);

/* QR algorithm on B = Q'MQ from Q until ||B - diag B|| <= tolerance ||B|| (Frobenius) or `most` iterations were made (Eschenhagen et al. 2025,
   section 4.2); columns by rising diagonal of B at last. *made: iterations. About 4 n^3 flops and 7 n^3 an iteration. work: basis_refine_work(n)
   values. */
int basis_refine(int64_t n, const pitot_real *m, double tolerance, int64_t most, pitot_real *q, int64_t *order, int64_t *made,
                 pitot_real *work);
int64_t basis_refine_work(int64_t n);

#endif
