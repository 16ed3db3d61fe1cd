/* pitot/precond.h: an optimizer's preconditioner, as its factors show it (pitot_preconditioner), applied to vectors; and an operator seen
   through it. P is what a gradient is multiplied by: with Adam 1/(sqrt(v) + eps), with Shampoo L^(-1/4) (x) R^(-1/4), with K-FAC the inverse. */

#ifndef PITOT_PRECOND_H
#define PITOT_PRECOND_H

#include "pitot/base.h"
#include "pitot/linop.h"
#include "pitot/optim.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pitot_precond pitot_precond;

typedef struct pitot_precond_tensor { /* in the order of vectors of D values */
    int64_t size, rows;               /* rows of the tensor as a matrix: its first axis */
} pitot_precond_tensor;

/* From factors whose param and bias are 1 + the index of a tensor (param 0: all of them, diagonal), on axes 0 and 1 or the diagonal, as they are
   in use: inverse, or basis with eigenvalues or `corrected`. What no factor is about stays as it is; a bias column whose bias is not known is
   left out after each power. What factors point to is copied. NULL with a message: PITOT_EINVAL: sizes do not fit, or a factor shows neither;
   PITOT_EHOST: it is not finite, or not positive beyond round-off; PITOT_ENOMEM. Cost: an eigendecomposition of every `inverse` (9 n^3
   flops). */
PITOT_API pitot_precond *pitot_precond_new(const pitot_preconditioner *factors, int64_t n, const pitot_precond_tensor *tensors,
                                           int64_t n_tensors, pitot_error *error);
/* The same of an optimizer whose tensors these are, as its last update left it: up to what lengthens or shortens whole updates (clipping, kl_clip,
   grafting). PITOT_ENOTSUP: it has no preconditioner, or does not show all of it; PITOT_EORDER: none is in use yet. */
PITOT_API pitot_precond *pitot_precond_of(const pitot_optim *optim, const pitot_precond_tensor *tensors, int64_t n_tensors,
                                          pitot_error *error);
PITOT_API void pitot_precond_free(pitot_precond *p); /* NULL allowed */

/* y (D) = P^power x, power 1, 1/2, -1/2 or any other; y may be x. PITOT_EINVAL: something is NULL. One thread at a time. Cost: of a block (m,n)
   with factors on both axes 4 m n (m + n) flops, without allocation. */
PITOT_API int32_t pitot_precond_apply(pitot_precond *p, double power, const pitot_real *x, pitot_real *y);

/* y = P^(1/2) Op P^(1/2) x: similar to P Op, whose largest eigenvalue is what the learning rate has to keep up with; symmetric if Op is. p and
   inner stay the caller's and outlive it. Room for one vector is taken with the first call. */
PITOT_API int32_t pitot_precond_operator(pitot_precond *p, const pitot_linop *inner, pitot_linop *out);

#ifdef __cplusplus
}
#endif

#endif
