/* pitot/trace.h: trace and diagonal of an operator from products with random vectors, and systems with it by conjugate gradients. */

#ifndef PITOT_TRACE_H
#define PITOT_TRACE_H

#include "pitot/base.h"
#include "pitot/linop.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- trace and diagonal ---- */

typedef struct pitot_draws {
    size_t struct_size;
    /* To spend, at most; 0: 30. Beside them one that shows whether an operator that is not `checked` (pitot_linop) stands still, or two if more
       than one product goes by the first call. */
    int64_t products;
    double tolerance; /* error wanted, as a share of the value: what `converged` goes by, nothing stops early; 0: 1e-2 */
    uint64_t seed;    /* of the test vectors, which are random signs */
    pitot_real *work; /* (vectors, n) */
    int64_t vectors;  /* of n values in `work`: at least what each function says; with more, up to 8 products go by one call */
    int32_t (*progress)(void *user, int64_t done, int64_t of); /* products; not 0: end here; NULL allowed */
    void *user;
} pitot_draws;

typedef struct pitot_estimate {
    size_t struct_size;
    double value;
    double error;      /* standard error, from the spread of the draws; NaN of a single one. As uncertain itself as draws are few */
    double floor;      /* what the products' own error (linop's `error`) may add, whatever the draws; 0 if they are exact */
    int64_t products;  /* made, in all */
    int32_t draws;     /* that the error is from */
    int32_t converged; /* hypot(error, floor) <= tolerance |value| */
    int32_t complete;  /* 0: interrupted. Hutchinson: of the draws there are; the others: value and error are NaN */
    int32_t reserved;
} pitot_estimate;

/* All of them: PITOT_EINVAL: settings that make no sense, too few products or vectors; PITOT_EHOST: a product is not finite;
   PITOT_EMISMATCH: one vector has two products; PITOT_ENOMEM, also for one or two vectors where the operator is not `checked`; a status
   of the operator's is passed on. Sums in double; the same bits for the same seed, threads and vectors. Not thread-safe on one `work`.

   Hutchinson 1989: mean of v'Op v. 2 vectors. Any operator. The error falls with 1/sqrt(products), from sqrt(2 sum of squares off the
   diagonal), wherever the trace comes from. */
PITOT_API int32_t pitot_trace_hutchinson(const pitot_linop *op, const pitot_draws *settings, pitot_estimate *out,
                                         pitot_error *error);

/* Hutch++ (Meyer, Musco, Musco, Woodruff 2021, SOSA): a third of the products sketch the range, a third give its part of the trace, a
   third the rest by Hutchinson. products / 3 + 2 vectors, products >= 3. Any operator; exact, up to round-off, if its rank is at most
   products / 3. Beside the products about 6 n (products/3)^2 flops. */
PITOT_API int32_t pitot_trace_hutchpp(const pitot_linop *op, const pitot_draws *settings, pitot_estimate *out, pitot_error *error);

/* XTrace (Epperly, Tropp, Webber 2024, SIAM J. Matrix Anal. Appl. 45): every vector serves the sketch and, left out of it, the estimate
   of the rest; the mean over them, and the error from their spread. Symmetric operators. 2 (products / 2) vectors, products >= 4 (n >= 2);
   exact, up to round-off, if the rank is less than products / 2. Best where the spectrum falls off, as a GGN's does. Beside the
   products about 6 n (products/2)^2 flops in BLAS. The values left out share the rest of the sketch: with 9 vectors the error said was
   0.8 of the true one. */
PITOT_API int32_t pitot_trace_xtrace(const pitot_linop *op, const pitot_draws *settings, pitot_estimate *out, pitot_error *error);

/* The diagonal: out (n), and its standard error value by value in `spread` (n) or NULL. `total`: the sum of `out`, with the root of the
   sum of squares of `spread` as its error (NaN if that is NULL); converged: that root <= tolerance * |diagonal|. Hutchinson: mean of
   v . Op v; 2 vectors; any operator; needs `spread`. XDiag (as XTrace): symmetric ones; 2 (products / 2) vectors. */
PITOT_API int32_t pitot_diagonal_hutchinson(const pitot_linop *op, const pitot_draws *settings, pitot_real *out, pitot_real *spread,
                                            pitot_estimate *total, pitot_error *error);
PITOT_API int32_t pitot_diagonal_xdiag(const pitot_linop *op, const pitot_draws *settings, pitot_real *out, pitot_real *spread,
                                       pitot_estimate *total, pitot_error *error);

/* ---- conjugate gradients ---- */

typedef struct pitot_cg_config {
    size_t struct_size;
    double tolerance;                  /* residual |b - Op x| wanted, as a share of |b|; 0: 1e-3 */
    int64_t products;                  /* most with a column, those that check residuals included; 0: 100 */
    double damping;                    /* of (Op + damping I) x = b, >= 0 */
    const pitot_linop *preconditioner; /* about the inverse of Op + damping I, symmetric positive definite; NULL: none */
    pitot_real *work;                  /* (3 k, n); (4 k, n) with a preconditioner */
    int32_t (*progress)(void *user, int64_t done, int64_t of); /* products of a column; not 0: end here; NULL allowed */
    void *user;
} pitot_cg_config;

typedef struct pitot_cg_column {
    double
        residual; /* |b - Op x| / |b|, from a product made for it, and what the products' own error adds; NaN: there was none left */
    /* That this column took part in. With one of the columns, where the operator is not `checked` (pitot_linop), one more than asked for, or
       two if several set out together: whether it stands still. */
    int64_t products;
    int32_t converged;  /* residual <= tolerance */
    int32_t indefinite; /* 1: a direction d with d'Op d <= 0 was met, and the column stopped before it; 2: the preconditioner is not
                           positive definite */
    double curvature;   /* d'Op d / d'd of the latest direction */
} pitot_cg_column;

/* Op x = b for k columns at once, each of which converges by itself and leaves the products to the others (Hestenes, Stiefel 1952). op:
   symmetric, meant to be positive definite. b, x (k,n); x: in, where to start from, or zeros; out, the solutions, in order. The residual of the
   recurrence drifts away from the true one: so that is computed when all columns are done, and the iteration goes on from it where it is
   too large, as long as that helps. b = 0 gives x = 0. columns (k). PITOT_OK also if nothing has converged: the columns say so.
   PITOT_EINVAL: op or preconditioner is not symmetric or does not fit, b or x is not finite, settings make no sense; PITOT_EHOST: a
   product is not finite (x then is of no use); PITOT_EMISMATCH: op or preconditioner, where not `checked`, gives one vector two
   products; a status of the operators' is passed on. Nothing is allocated for one column, 130 bytes for each of several. Cost:
   sqrt(condition)/2 log(2/tolerance) products a column at most, and six passes over n values with each. Not thread-safe on one `work`. */
PITOT_API int32_t pitot_cg(const pitot_linop *op, const pitot_cg_config *settings, int64_t k, const pitot_real *b, pitot_real *x,
                           pitot_cg_column *columns, pitot_error *error);

#ifdef __cplusplus
}
#endif

#endif
