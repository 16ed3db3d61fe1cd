/* pitot/quadrature.h: the spectrum of a symmetric operator as a whole, by stochastic Lanczos quadrature: density, cumulative curve, and
   sums over all eigenvalues. Nodes and weights are kept; curves are drawn from them afterwards. */

#ifndef PITOT_QUADRATURE_H
#define PITOT_QUADRATURE_H

#include "pitot/base.h"
#include "pitot/linop.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { /* how far Lanczos vectors are kept orthogonal */
       PITOT_REORTH_AUTO = 0,
       PITOT_REORTH_NONE, /* three vectors are kept. Where an end of the spectrum has converged, copies of nodes appear; their weights add
                                up to the right one, so that the sum over any smooth f, and the density, are what they should be */
       PITOT_REORTH_SEMI, /* all are kept, and made use of when Simon's recurrence says that products of two of them come up to
                                sqrt(u): nodes and weights as good as with FULL, without copies */
       PITOT_REORTH_FULL  /* against all of them at each step: the reference */
};
enum { PITOT_QUADRATURE_STEPS = 1024 }; /* most of a draw */

/* Of a draw, the mean of f over the eigenvalues is about sum_k weight[k] f(node[k]), exact in expectation for polynomials up to the
   power 2 used - 1. The arrays are the caller's. */
typedef struct pitot_quadrature {
    size_t struct_size;
    int64_t n; /* rows of the operator */
    int32_t draws, steps;
    double *node, *weight; /* (draws,steps): nodes of a draw ascend, its weights sum to 1; those behind used[draw] mean nothing */
    int32_t *used;         /* (draws): steps made, fewer where an invariant subspace ended */
    int64_t products;      /* with the operator, in all */
    int32_t complete;      /* 0: interrupted; `draws` are there, the last ones with the steps they came to */
    int32_t reorthogonal;  /* times that a vector was made orthogonal to all */
    double floor;          /* nodes between -floor and floor cannot be told from 0: round-off and the products' own error */
} pitot_quadrature;

typedef struct pitot_quadrature_config {
    size_t struct_size;
    int32_t steps, draws;    /* 0: 64, 4. Steps that come to more than n are n */
    int32_t reorthogonalise; /* PITOT_REORTH_..., AUTO: NONE, enough for all that is below */
    int32_t together;        /* draws that go side by side, with one call for their products; 0: 1, at most 64 */
    int32_t gaussian;        /* start vectors: 0 random signs, with the smaller variance mostly; 1 normal */
    int32_t reserved;
    uint64_t seed;
    pitot_real *work;                                          /* (pitot_quadrature_vectors, n) */
    int32_t (*progress)(void *user, int64_t done, int64_t of); /* steps' products; not 0: end here; NULL allowed */
    void *user;
} pitot_quadrature_config;

/* Vectors of n values in `work`: 3 for each draw of those together, and `steps` more unless AUTO or NONE. -1: the settings make no sense. */
PITOT_API int64_t pitot_quadrature_vectors(const pitot_quadrature_config *config);

/* Lanczos iteration from `draws` random vectors, sums in double, and the Gauss rule of each (Golub, Welsch 1969; Ubaru, Chen, Saad 2017,
   SIAM J. Matrix Anal. Appl. 38). q: in, its arrays, for config's draws and steps; the rest is filled in. Draw d is the same whatever
   their number, and with the same bits for the same thread count and `together`. PITOT_EINVAL: not symmetric, or the settings make no
   sense; PITOT_EHOST: a product is not finite; PITOT_EMISMATCH: one vector has two products; PITOT_ENOMEM: 25 KB for each of those
   together; a status of the operator's is passed on; with any of them there is nothing in q. Interrupted by progress: PITOT_OK and
   complete = 0. Cost: draws * steps products, and one that shows whether the operator stands still, unless it is `checked` (two if draws go
   together); without reorthogonalisation about three passes over the vectors with each. Not thread-safe on one `work`. */
PITOT_API int32_t pitot_quadrature_run(const pitot_linop *op, const pitot_quadrature_config *config, pitot_quadrature *q,
                                       pitot_error *error);

/* ---- sums over all eigenvalues ----
   Each with its standard error over the draws in *error (NULL allowed; NaN of a single draw): no more than the spread that was seen, so
   hardly to be trusted with fewer than 4 draws. NaN if there is no draw. Cost: nothing to speak of. Any thread. */

/* sum of f over the eigenvalues: n times the mean. */
PITOT_API double pitot_quadrature_sum(const pitot_quadrature *q, double (*f)(const void *user, double x), const void *user,
                                      double *error);
PITOT_API double pitot_quadrature_trace(const pitot_quadrature *q, double *error);
PITOT_API double pitot_quadrature_frobenius(const pitot_quadrature *q, double *error); /* squared norm: sum lambda^2 */
/* log det(Op + delta I); NaN if a node is at -delta or below. */
PITOT_API double pitot_quadrature_logdet(const pitot_quadrature *q, double delta, double *error);
/* sum lambda / (lambda + delta) over the positive ones, delta > 0 (else NaN). */
PITOT_API double pitot_quadrature_effective_dimension(const pitot_quadrature *q, double delta, double *error);
/* Share of the eigenvalues that are negative, below -floor; share of sum |lambda| that those have (ratio of means, its error by the
   delta method). */
PITOT_API double pitot_quadrature_negative_mass(const pitot_quadrature *q, double *error);
PITOT_API double pitot_quadrature_negative_energy(const pitot_quadrature *q, double *error);
/* Smallest and largest node of all draws: inside of the spectrum but for round-off. NaN without a draw. */
PITOT_API void pitot_quadrature_range(const pitot_quadrature *q, double *low, double *high);

/* ---- curves ----
   At m values x, of the mean over the draws. `linear` says in what coordinate: 0: x itself; > 0: symmetric-log, x / linear up to there,
   and +-(1 + log10(|x| / linear)) beyond, one unit a decade. Cost: m nodes each. Any thread. */

/* Share of the eigenvalues up to x: a staircase, with a step at each node. */
PITOT_API void pitot_quadrature_cumulative(const pitot_quadrature *q, const double *x, int64_t m, double *out);

/* Density per unit of the coordinate: a normal curve of standard deviation `width`, in units of the coordinate, for each node, evaluated
   where it is asked for; nothing is put into bins. Its integral over the coordinate is 1 however wide the spectrum, and so is the sum
   over evenly spaced points to 1e-8, as long as they are no further apart than `width`. 0: pitot_quadrature_width of these points. */
PITOT_API void pitot_quadrature_density(const pitot_quadrature *q, const double *x, int64_t m, double linear, double width,
                                        double *out);

/* A width that suits the range and loses nothing at points x (m), ascending: the nodes' range over 3 `steps`, but at least the largest
   distance of neighbours, both in the coordinate. */
PITOT_API double pitot_quadrature_width(const pitot_quadrature *q, const double *x, int64_t m, double linear);

#ifdef __cplusplus
}
#endif

#endif
