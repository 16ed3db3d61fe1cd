/* pitot/linop.h: a linear operator and an optimizer's preconditioner, as abstract types. Curvature probes and solvers see only
   these; nets, optimizers and hosts fill them in. Neither side knows the other. */

#ifndef PITOT_LINOP_H
#define PITOT_LINOP_H

#include "pitot/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* y = Op x on k columns at once. A frozen object: same samples, same dropout mask, same normalisation for as long as it exists. */
typedef struct pitot_linop {
    size_t struct_size;
    const char *name;  /* "hessian" */
    int64_t n;         /* rows and columns */
    int32_t symmetric; /* 1: x'Op y = y'Op x */
    int32_t exact;     /* 1: no finite differences, no sampling */
    /* x and y: k columns of n values, column j at x + j*n; they do not overlap. 0 or a status. One thread at a time. */
    int32_t (*apply)(void *self, const pitot_real *x, pitot_real *y, int64_t k);
    void *self;
    double error; /* of a product, relative to its length, beyond round-off: finite differences estimate it; 0 if exact */
    /* 1: known to give one vector the same product every time: pitot_linop_check has seen it (and sets this), or it cannot be otherwise.
       0: a solver makes the first product it needs once more, and refuses, with PITOT_EMISMATCH and a message, an operator whose two
       products differ in a bit, and by more than 2 `error` of their length. With several vectors to a call that is the first of them, twice
       by itself. */
    int32_t checked;
    int32_t reserved;
} pitot_linop;

/* One factor of a preconditioner: the update multiplies by (factor + damping I)^power along that axis of that tensor. */
typedef struct pitot_preconditioner {
    size_t struct_size;
    int32_t param;                 /* id of the parameter; 0: all parameters, flat (diagonal only) */
    int32_t axis;                  /* 0: rows, 1: columns, ...; -1: diagonal, element by element */
    int32_t bias_column;           /* 1: this axis has the bias folded in as its last index */
    int32_t bias;                  /* id of that bias, 0: not known */
    int64_t n;                     /* factor is n x n; diagonal: n values */
    const pitot_real *factor;      /* (n,n) symmetric, or (n): the running average as it is now */
    const pitot_real *basis;       /* (n,n), columns are the eigenvectors in use, or NULL */
    const pitot_real *eigenvalues; /* (n) in use with that basis, of bias_correction * factor as it was then, undamped; or NULL */
    const pitot_real *inverse;     /* (n,n) the inverse or root in use, or NULL */
    double power;                  /* -1 K-FAC, -1/4 Shampoo, -1/2 Adam */
    double damping, eps;           /* inside the power; added after the root (Adam) */
    double bias_correction;        /* factor times this is unbiased; 0: 1 */
    int64_t computed;              /* step at which basis or inverse was computed; of a diagonal its last estimate, 0: not told */
    /* Of a tensor seen as a matrix (rows, columns), row-major, the bias counted as its last column if there is one: the block that
       this factor is about. All 0: all of it, rows the first axis. */
    int64_t rows, columns, first_row, n_rows, first_column, n_columns;
    /* (n_rows, n_columns): in the bases of both axes the update divides by (corrected * correction + damping)^-corrected_power + eps, value by
       value, and not by what eigenvalues make; NULL: by these. Shown with either factor. */
    const pitot_real *corrected;
    double corrected_power; /* -1/2 SOAP, -1 EKFAC */
    double correction;      /* corrected times this is unbiased; 0: 1 */
    /* 1: factor and inverse along that axis are diagonal, (n) values, without a basis; not for pitot_add_preconditioner */
    int32_t diagonal;
    int32_t reserved;
} pitot_preconditioner;

#ifdef __cplusplus
}
#endif

#endif
