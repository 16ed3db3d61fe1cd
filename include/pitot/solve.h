/* pitot/solve.h: eigenvalues of any pitot_linop: a net's Hessian, a host's callback, a matrix. */

#ifndef PITOT_SOLVE_H
#define PITOT_SOLVE_H

#include "pitot/base.h"
#include "pitot/linop.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pitot_lanczos {
    size_t struct_size;
    double tolerance; /* residual |Op u - theta u| wanted, as a share of the largest |theta| seen; 0: 1e-2 */
    /* Most products with the operator, those that check the residuals included; 0: 100. One more where the operator is not `checked`
       (pitot_linop), which is counted, too, and changes nothing else. */
    int64_t products;
    int64_t vectors;  /* vectors of n values in `work`: 6 or more, of which 256 are used. The search restarts when they are full; 10
                            are enough along a training run, 20 find a small end more surely from a cold start, 100 or more spare
                            several eigenvalues restarts and most of the reorthogonalisation: see pitot_lanczos_top */
    pitot_real *work; /* (vectors, n) */
    double random;    /* share of a random direction in a warm start, so that an eigenvector that came up from below is found.
                            One call in four, drawn from (seed, step), searches on for it: mostly within 5 calls; 0: 0.1 */
    uint64_t seed, step; /* of that direction */
    pitot_error *error;  /* PITOT_EMISMATCH in words: in what the operator's two products differ; NULL: not wanted */
} pitot_lanczos;

typedef struct pitot_eigenpair {
    double value;      /* theta = u' Op u */
    double residual;   /* |Op u - theta u| with |u| = 1, checked by a product made for it; an eigenvalue lies within it of theta. At
                          least the products' own `error` times the largest |theta| */
    int32_t converged; /* residual <= tolerance * largest |theta| */
    int32_t reserved;
} pitot_eigenpair;

typedef struct pitot_extremes {
    size_t struct_size;
    pitot_eigenpair largest, smallest; /* of a symmetric operator, by sign: -5 is smaller than 2 */
    int64_t products;                  /* with the operator, in all */
    int64_t restarts;                  /* of the search, with `work` full */
} pitot_extremes;

/* Largest and smallest eigenvalue of a symmetric operator by Lanczos iteration with full reorthogonalisation and thick restart
   (Wu, Simon 2000, SIAM J. Matrix Anal. Appl. 22); sums in double, on the threads of the hook that it is called from or else
   OpenMP's, the same bits every time for one thread count. top, bottom (n): in, eigenvectors of a similar operator to start from,
   or zeros (what is not finite counts as zeros); out, the unit eigenvectors found, measured by products with themselves or by one
   with their sum. A residual says that an eigenvalue is near, not that none lies beyond: of an end that is small beside the other,
   tolerance * largest |theta| is about what is known. They need not have converged: when `products` are used up, or the products'
   own noise is above the tolerance (then the search ends after two measurements), the result is PITOT_OK with what was reached.
   With one vector to speak of (n = 1, products < 3) it stands for both ends. An operator that yields values that are not finite,
   or a status != 0, ends the search with PITOT_EHOST or that status, one that gives one vector two products with PITOT_EMISMATCH; top
   and bottom are then of no use. PITOT_EINVAL: op is not symmetric, vectors < 6, something is NULL or negative. Nothing is allocated;
   300 KB of stack. Cost: products with the operator (with a tolerance of 1e-2, 8 to 16 cold, 5 to 6 along an operator that drifts
   slowly, 9 to 20 from one mini-batch to another, 3 if nothing has moved), and about 8 n flops for each vector kept with each. Not
   thread-safe on one `work`. */
PITOT_API int32_t pitot_lanczos_extremes(const pitot_linop *op, const pitot_lanczos *settings, pitot_real *top, pitot_real *bottom,
                                         pitot_extremes *out);

/* The k largest eigenvalues of a symmetric operator, by sign, k <= vectors - 3 and <= 61, by the same iteration, with the same sums
   and statuses, and nothing allocated (but see pitot_point_operator); 400 KB of stack. With more than 64 vectors, the last few of which
   then hold the small matrices (8 r^2 doubles for r vectors that stay), and a tolerance of sqrt(u) or more (3.5e-4, in double 1.5e-8),
   vectors are reorthogonalised only when products of two of them come up to the tolerance, or to 1e-2 (Simon 1984, Math. Comp. 42), and
   those found once more. basis (k,n): in, eigenvectors of a similar operator to start from, largest value first, or zeros (rows that
   are not finite count as zeros); out, the unit eigenvectors found, orthogonal, largest value first. pairs (k): theta as the iteration
   has it, and a residual that adds to the iteration's own what one product shows, with the sum of all k vectors under random signs: the
   errors of products and round-off of all k together. Pairs there is no vector for (n < k, or `products` < k + 1) have value and
   residual NaN, are not converged, and their rows are zeros. Pairs need not have converged, as above, and are told apart by it;
   `tolerance` is of the largest |theta| seen at either end. A residual says that an eigenvalue is near, not that none was passed over.
   So a cold start, or one with some rows zero, takes 8 steps more from another random direction, and further ones as long as they find
   something; a warm one, from the sum of its vectors and a share of `random`, a product with each vector that was left behind: multiple
   eigenvalues mostly come out with all their vectors, if there are k + 4 rows of work or more. One that came up from below where the
   vectors have nothing is found mostly at once. Of eigenvalues that lie within tolerance * largest |theta| of each other the wrong one
   may be returned. Work for k + 8 vectors or more keeps restarts few. Cost: products with the operator (with a tolerance of 1e-2, k =
   10 and 10 outliers in a spectrum as nets have them: 25 to 35 cold, 13 to 17 warm, whether vectors turn by 0 or by 0.3 from call to
   call), and for each about 12 n flops per vector kept, of which the larger work above takes a third or less. PITOT_EINVAL: as above,
   or k < 1 or more than the vectors allow. Not thread-safe on one `work`. */
PITOT_API int32_t pitot_lanczos_top(const pitot_linop *op, const pitot_lanczos *settings, int32_t k, pitot_real *basis,
                                    pitot_eigenpair *pairs, int64_t *products);

/* The k smallest, by sign, smallest value first; else as pitot_lanczos_top. */
PITOT_API int32_t pitot_lanczos_bottom(const pitot_linop *op, const pitot_lanczos *settings, int32_t k, pitot_real *basis,
                                       pitot_eigenpair *pairs, int64_t *products);

/* Both at once, from one Krylov space: pairs and rows of basis 0 to top - 1 are the largest, largest first, those from `top` on the
   `bottom` smallest, smallest first; top + bottom <= vectors - 3, either may be 0. Of an operator with fewer rows than that the largest
   come first, and pairs there is no vector for are as above. `tolerance` is of the largest |theta| at either end: a small end is
   known as well as that. Cost on a net's spectrum (10 outliers up to 50, the rest in [-0.8,
   1.2]) with a tolerance of 1e-3: 10 + 1 pairs 30 products cold and 13 warm, 10 + 10, of which nine are in the thick of it, 128 and 95. */
PITOT_API int32_t pitot_lanczos_ends(const pitot_linop *op, const pitot_lanczos *settings, int32_t top, int32_t bottom,
                                     pitot_real *basis, pitot_eigenpair *pairs, int64_t *products);

/* y = P^(-1/2) Op P^(-1/2) x for a diagonal P > 0, as an operator: similar to P^(-1) Op, and symmetric if Op is. root (n): 1/sqrt(P).
   work (n). All stay the caller's, and must outlive it, and `s` must stay where it is: its op points to it. Columns are made one by one; a
   status of the inner operator ends that and is passed on. `error` is the inner one's, as it stands after the latest product: relative to
   the length before the outer factor, which can make more of it. Two passes over n values for each column beside the product. */
typedef struct pitot_scaled {
    pitot_linop op; /* what to hand on */
    const pitot_linop *inner;
    const pitot_real *root;
    pitot_real *work;
} pitot_scaled;
PITOT_API void pitot_scaled_init(pitot_scaled *s, const pitot_linop *inner, const pitot_real *root, pitot_real *work);

/* Singular values of a matrix (rows, cols), row_step and col_step values from one element to the next (of any sign), descending, in sigma
   (min(rows,cols)). From the eigenvalues of the smaller Gram matrix, in double, of the matrix over a power of two, so that nothing
   overflows: sigma is good to about 1e-15 sigma_1^2/sigma, those below 1e-7 of the largest are round-off. work: pitot_singular_work(rows,
   cols) doubles, at least min^2 of them. PITOT_EINVAL: something is NULL, rows or cols < 1, or too large to count; PITOT_EHOST: a value is
   not finite. Nothing is allocated. Cost: min^2 max + 4/3 min^3 flops in BLAS and LAPACK, on the threads that they take; the same bits every
   time for one number of them. (1000,784): about 40 ms on two cores. */
PITOT_API int32_t pitot_singular_values(const pitot_real *x, int64_t rows, int64_t cols, int64_t row_step, int64_t col_step,
                                        double *sigma, double *work);
PITOT_API int64_t pitot_singular_work(int64_t rows, int64_t cols); /* -1: too large to count, or < 1 */

#ifdef __cplusplus
}
#endif

#endif
