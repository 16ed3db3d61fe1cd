/* eigen.h: eigenvalues of the small symmetric matrices that projections leave. */

#ifndef PITOT_SRC_EIGEN_H
#define PITOT_SRC_EIGEN_H

enum { EIGEN_MOST = 64 };

/* a (n,n), rows EIGEN_MOST apart, symmetric: its eigenvalues in ascending order, column j of s the unit eigenvector of value[j]. a is
   overwritten. Cyclic Jacobi rotations (Golub, Van Loan, "Matrix Computations", 8.5): the same bits with every BLAS. n <= EIGEN_MOST;
   cost: about 50 n^3 flops. */
void eigen_symmetric(int n, double a[EIGEN_MOST][EIGEN_MOST], double value[EIGEN_MOST], double s[EIGEN_MOST][EIGEN_MOST]);

#endif
