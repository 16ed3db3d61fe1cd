/* precond.h: what a factor multiplies by along its axis, in its eigenbasis. */

#ifndef PITOT_SRC_PRECOND_H
#define PITOT_SRC_PRECOND_H

#include "pitot/linop.h"

/* Rows of `basis` (n,n) become the eigenvectors of the symmetric `from` (n,n), `value` (n) its eigenvalues, ascending. 0 or PITOT_ENOMEM,
   PITOT_EHOST. */
int32_t precond_decompose(int64_t n, const double *from, double *basis, double *value);
/* Rows of `basis` become the basis in use, value (n) what the factor multiplies by there: (eigenvalue + damping)^power, or the eigenvalues of
   its inverse, where that is all there is to apply. A basis by itself, or with `corrected`, leaves value as it is. work (n,n). */
int32_t precond_in_use(const pitot_preconditioner *p, double *basis, double *value, double *work);
/* Whether value is told. */
int precond_applies(const pitot_preconditioner *p);
/* What `corrected` of c multiplies by, from one of its values. */
double precond_corrected(const pitot_preconditioner *c, double value);

#endif
