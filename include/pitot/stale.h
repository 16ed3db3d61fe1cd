/* pitot/stale.h: how far a preconditioner in use is from the one that its own running averages would give now.

   Of one factor, A its running average (times bias_correction), delta its damping, Q and Lambda basis and eigenvalues in use, X the inverse or
   root in use, p its power (Eschenhagen et al. 2025, "Purifying Shampoo", arXiv 2506.03595, for the first two):

       basis error    |offdiag(Q'A Q)|_F / |A|_F: what no choice of eigenvalues can mend. 0: Q is a basis of eigenvectors
       value error    |diag(Q'A Q) - Lambda|_F / |A|_F
       error          |A - Q Lambda Q'|_F / |A|_F; its square is the sum of both squares, exactly
       inverse error  |(A + delta I) X^q - I|_F / sqrt(n), q = -1/p a whole number; X = Q (Lambda + delta I)^p Q' if no
                      other is shown
       condition      of A + delta I, and of (A + delta I)^(1/2) X^q (A + delta I)^(1/2): 1 where nothing is stale. Eigenvalues of A that
                      round-off has made negative count as 0

   Of a block with `corrected` moments these multiply, and neither inverse error nor condition after is defined.

   Of a block of a tensor with its factors on one or both axes, P the preconditioner in use, P' the fresh one (eigenvalues and eigenvectors of A
   as it is; `corrected` moments are carried over: the diagonal in the fresh bases of the matrix that they are the diagonal of in those in use;
   within an eigenspace of several dimensions the basis in use is as fresh as any), g the gradient's block:

       angle          between P g and P' g
       lost           1 - (g'P g)^2 / ((P g)'P'^-1 (P g) g'P' g): the share of the decrease that P' predicts for its own best step that is
                      lost along P g, whatever its length; 0 where it is round-off

   P' knows the same averages as P does: methods that keep none, but move their preconditioner itself (SINGD, PSGD), lose nothing by this
   measure at any age. */

#ifndef PITOT_STALE_H
#define PITOT_STALE_H

#include "pitot/base.h"
#include "pitot/linop.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pitot_stale_factor { /* NaN: not defined for what the factor holds */
    size_t struct_size;
    double basis_error, value_error, error;
    double inverse_error;
    double condition, condition_after;
    double seconds; /* that a fresh decomposition took here, in double, on one thread */
} pitot_stale_factor;

typedef struct pitot_stale_update { /* NaN: P cannot be applied with what the factors hold */
    size_t struct_size;
    double angle; /* degrees; below 1e-5 it is round-off */
    double lost;
    double along, stale, fresh; /* g'P g, (P g)'P'^-1 (P g), g'P' g: sums over blocks give the figures of several together */
    double dot, stale_square, fresh_square; /* (P g)'P' g, |P g|^2, |P' g|^2, likewise */
} pitot_stale_update;

/* Block of a tensor with factor `left` on its rows and `right` on its columns, either may be NULL. g (rows, columns) of the block, row_step
   values from one row to the next, bias (rows): its last column where `right` has bias_column; NULL: 0. left_out, right_out, update: NULL: not
   wanted. PITOT_EINVAL: both NULL, sizes do not fit, or a damping is negative; PITOT_EHOST: something is not finite, a factor is not symmetric
   (to 1 % of its norm: a triangle is not enough) or has an eigenvalue below -1/10 of its largest, a basis is not orthogonal (|QQ' - I|_F above
   0.05 sqrt(n)), or no eigenvalues were found; PITOT_ENOMEM.
   Cost: for each factor of n rows an eigendecomposition (9 n^3 flops), eigenvalues for condition_after, and some products n^3; for the block a few
   products rows columns (rows + columns). Thread-safe. */
PITOT_API int32_t pitot_stale(const pitot_preconditioner *left, const pitot_preconditioner *right, int64_t rows, int64_t columns,
                              const pitot_real *g, int64_t row_step, const pitot_real *bias, pitot_stale_factor *left_out,
                              pitot_stale_factor *right_out, pitot_stale_update *update);

/* The refresh interval, in steps, that loses least if a refresh costs `cost` steps and `lost` is what is lost at age `age`, growing in
   proportion to it: T maximises (T - s T^2/2) / (T + cost), s = lost/age: T = sqrt(cost^2 + 2 cost/s) - cost, at least 1. Infinity where
   nothing is lost; NaN where age < 1 or something is not a number. */
PITOT_API double pitot_stale_interval(double cost, double lost, double age);

#ifdef __cplusplus
}
#endif

#endif
