/* tridiagonal.h: the quadrature rule of a Jacobi matrix. */

#ifndef PITOT_SRC_TRIDIAGONAL_H
#define PITOT_SRC_TRIDIAGONAL_H

/* node (m): in, the diagonal of a symmetric tridiagonal matrix; out, its eigenvalues, ascending. weight (m): in, below the diagonal (the
   last one counts for nothing); out, the squared first components of the unit eigenvectors, whose sum is 1. work (m). By the implicit QL
   algorithm on the first row of the eigenvectors alone (Golub, Welsch 1969, "Calculation of Gauss quadrature rules", Math. Comp. 23):
   about 20 m^2 flops, the same bits with every LAPACK. Returns 0 if it did not converge, which what is not finite makes it do. */
int tridiagonal_rule(int m, double *node, double *weight, double *work);

#endif
