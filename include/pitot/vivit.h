/* pitot/vivit.h: the generalised Gauss-Newton matrix of a batch in the space of its samples (Dangel, Tatzel, Hennig 2022, "ViViT:
   Curvature access through the generalized Gauss-Newton's low-rank structure", TMLR). G = V V' with V (D, NM): M columns for each of N
   samples. Its non-zero eigenvalues are those of the Gram matrix K = V'V (NM,NM), its eigenvectors V times K's: so a spectrum that is
   exact costs no product with G, and V is never formed.

   M is C - 1 for cross_entropy, whose Hessian in the outputs has that rank, and C for other losses; or `draws` columns from labels drawn
   from what the net predicts, which is an estimate: the largest eigenvalue comes out too large, mostly by 5 to 100 %.

   An object belongs to one net and one backward pass: the net must not run forward, and its parameters must not move, as long as it is
   asked for Gram matrices, vectors or derivatives that it has not made before. One thread at a time. The same seed and threads give the
   same bits. Memory comes from the allocator in calls; a NULL `error` is allowed everywhere. */

#ifndef PITOT_VIVIT_H
#define PITOT_VIVIT_H

#include "pitot/base.h"
#include "pitot/net.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pitot_vivit pitot_vivit;

typedef struct pitot_vivit_config {
    size_t struct_size;
    pitot_net *net;     /* after forward and backward of a batch; the caller's, in use while the object exists */
    const char *groups; /* layers or parameters by name, separated by commas, groups by semicolons: "conv1, conv2.weight; fc1". Each
                           group has a G of its own, a block of the whole one. NULL: one group of all parameters */
    int32_t per_layer;  /* 1, with groups NULL: a group for each layer */
    int32_t reserved;
    int64_t draws;                             /* columns a sample, drawn; 0: exact */
    uint64_t seed;                             /* of the draws */
    const int64_t *ggn_samples, *grad_samples; /* which samples of the batch G is of, and the derivatives of first order; each once;
                                                   NULL: all */
    int64_t n_ggn, n_grad;
    int64_t memory; /* most bytes for what is kept of the columns at the layers: NM times the values of their outputs; 0: 2 GiB */
} pitot_vivit_config;

/* NULL and a message: PITOT_EORDER before a backward pass; PITOT_EINVAL: a sample that is not there or comes twice, draws < 0, a name that
   nothing has; PITOT_EBUDGET: over `memory`; PITOT_ENOMEM. Cost: the way down of NM columns, about M gradients without what they do to
   weights. */
PITOT_API pitot_vivit *pitot_vivit_new(const pitot_vivit_config *config, pitot_error *error);
PITOT_API void pitot_vivit_free(pitot_vivit *v);

PITOT_API int32_t pitot_vivit_groups(const pitot_vivit *v);
PITOT_API int64_t pitot_vivit_columns(const pitot_vivit *v); /* n = NM: rows of every K, sample by sample */
PITOT_API int64_t pitot_vivit_parameters(const pitot_vivit *v,
                                         int32_t group); /* d: vectors hold the group's in pitot_net_params' order */
PITOT_API const char *pitot_vivit_name(const pitot_vivit *v, int32_t group); /* as given; "" for all; the layer's */

/* ---- of one group; its Gram matrix is made when first needed and kept. All: PITOT_EINVAL: no such group, or a NULL; PITOT_EHOST and a
   message: weights, samples or losses are not finite, so that K is not; PITOT_ENOMEM ---- */

/* *gram (n,n), symmetric, the object's own. Cost: for a linear layer n^2 out flops; for a convolution n^2 times its weights, and the
   forming of its columns at positions that a ReLU or a pooling window after it passes; less where its output has few positions. */
PITOT_API int32_t pitot_vivit_gram(pitot_vivit *v, int32_t group, const double **gram, pitot_error *error);
/* tr K = tr G. */
PITOT_API int32_t pitot_vivit_trace(pitot_vivit *v, int32_t group, double *trace, pitot_error *error);
/* value (n): all eigenvalues of K in ascending order: G's, but for its D - n zeros. Those below about n epsilon of the largest, negative
   ones among them, are round-off. Cost: 4/3 n^3 flops. */
PITOT_API int32_t pitot_vivit_eigenvalues(pitot_vivit *v, int32_t group, double *value, pitot_error *error);
/* The k largest, 1 <= k <= n: value (k), descending; vector (k,n): unit eigenvectors of K, orthogonal. By block Krylov iteration with
   restarts (Golub, Underwood 1977) to residuals of 1e-12 of the largest (float: 1e-6), all of K's eigenvectors where k is not small beside n.
   Cost: (n = 1152, k = 10) tens of ms. */
PITOT_API int32_t pitot_vivit_top(pitot_vivit *v, int32_t group, int64_t k, double *value, double *vector, pitot_error *error);
/* out (k,d): unit eigenvectors e = V e~ / |V e~| of G from K's, vector (k,n). Rows of eigenvalue 0 are zeros. Cost: k gradients of the
   weights alone. */
PITOT_API int32_t pitot_vivit_vectors(pitot_vivit *v, int32_t group, int64_t k, const double *vector, pitot_real *out,
                                      pitot_error *error);

typedef struct pitot_vivit_derivatives { /* along k eigenvectors; arrays are the caller's; NULL: not wanted */
    size_t struct_size;
    double *gamma;                    /* (k,n_grad): e_k' g_n, g_n the gradient of sample n's own loss */
    double *lambda;                   /* (k,n_ggn): e_k' G_n e_k, of its own GGN; their mean is the eigenvalue */
    double *gamma_mean, *gamma_snr;   /* (k): mean over samples; its square over the samples' variance (by n - 1) */
    double *lambda_mean, *lambda_snr; /* (k). An SNR is NaN with one sample, and infinite where all are the same */
    int32_t *weak; /* (k): 1: an eigenvalue below 1e-4 of the largest given, by whose root is divided: not to be relied on */
} pitot_vivit_derivatives;
/* Of pairs as pitot_vivit_top gives them. A direction whose eigenvalue is round-off gets NaN throughout, and is weak. gamma's signs are
   those of the vectors'. Cost: first call, products of the columns with the samples' gradients: about 1/M of the Gram matrix, and the
   forming of columns of convolutions again; then 2 n^2 k. */
PITOT_API int32_t pitot_vivit_derive(pitot_vivit *v, int32_t group, int64_t k, const double *value, const double *vector,
                                     const pitot_vivit_derivatives *out, pitot_error *error);

enum { PITOT_DAMPING_CONSTANT = 1, PITOT_DAMPING_BOOTSTRAP };

typedef struct pitot_vivit_damping {
    size_t struct_size;
    int32_t kind;
    int32_t points, resamples; /* bootstrap: dampings tried, evenly spaced on a log scale; resamples of the samples; 0: 100 */
    int32_t reserved;
    double constant;        /* 0: 1 */
    double lowest, highest; /* bootstrap: of the dampings; 0: 1e-3, 100 */
    double quantile;        /* bootstrap: 0: 0.05 */
    uint64_t seed;          /* bootstrap */
} pitot_vivit_damping;
/* step (d) = sum over k of tau_k e_k, tau_k = - gamma_k / (lambda_k + delta_k) with means over samples (Dangel et al. 2022, eq. 11): a
   Newton step in the top space with a damping for each direction. delta (k), unless NULL: the dampings. Constant: all the same. Bootstrap:
   the delta whose gain - gamma tau - lambda tau^2 / 2, with gamma and lambda means over samples drawn with replacement, has the largest
   `quantile` over the resamples; infinite, so that the step leaves the direction out, where that is below 0. Directions of eigenvalue 0
   are left out, too. Cost: as derive, and one gradient of the weights. */
PITOT_API int32_t pitot_vivit_newton(pitot_vivit *v, int32_t group, int64_t k, const double *value, const double *vector,
                                     const pitot_vivit_damping *damping, pitot_real *step, double *delta, pitot_error *error);

#ifdef __cplusplus
}
#endif

#endif
