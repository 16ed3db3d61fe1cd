/* pitot/curve.h: curvature of a net's loss on any set of samples, as operators (pitot/linop.h): Hessian, Gauss-Newton, sampled
   Gauss-Newton and empirical Fisher matrix, of all parameters, of named ones, or block by block; their diagonals, the Jacobian, the
   gradient. And operators made of operators: damped, summed, cut out, inverted. Solvers (pitot/solve.h) take any of them, and a host's own:

       static int32_t apply(void *self, const pitot_real *x, pitot_real *y, int64_t k) {
           const double *diagonal = self;
           for (int64_t i = 0; i < 3 * k; i++) y[i] = (pitot_real)(diagonal[i % 3] * x[i]);
           return PITOT_OK;
       }
       double diagonal[3] = { 1, 2, 5 };
       pitot_linop op = { .struct_size = sizeof op, .name = "mine", .n = 3, .symmetric = 1, .exact = 1, .apply = apply, .self = diagonal };

   `checked` is 0 there: so each solver makes its first product twice, and refuses an operator that gives two answers. pitot_linop_check
   sets it. An operator over samples of a data set has it from the start, one over a batch of the caller's, whose arrays may change, has not.

   Everything is of the mean loss over all samples of a point, a last chunk that is smaller included with its own weight, without weight
   decay: that is the optimizer's, and adds its factor to the diagonal (pitot_damped). Dropout is off. */

#ifndef PITOT_CURVE_H
#define PITOT_CURVE_H

#include "pitot/base.h"
#include "pitot/data.h"
#include "pitot/linop.h"
#include "pitot/net.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- a point: a net with its weights, and samples ---- */

typedef struct pitot_point pitot_point;

typedef struct pitot_point_config {
    size_t struct_size;
    pitot_net *net;   /* prepared, weights loaded; its batch is the size of a chunk. The caller's, and must outlive the point */
    pitot_data *data; /* samples first..first+samples of a data set ... */
    int64_t first, samples; /* samples 0: all from `first` on */
    const pitot_net_batch
        *batch;        /* ... or, with data NULL, these: any number, not only the net's batch. Its arrays must outlive the point */
    const char *group; /* layers ("conv1") or parameters ("conv1.weight"), separated by commas; NULL: all */
    uint64_t seed;     /* of ggn_mc's labels, which are functions of it and of the sample's place in the data set (batch.ids) */
    int64_t draws;     /* labels a sample; 0: 1 */
    /* After each chunk of a pass: how many samples are done. An answer other than 0 ends the call under way, which returns it. Or NULL. */
    int32_t (*progress)(void *user, int64_t done, int64_t of);
    void *user;
    int64_t columns; /* vectors that go through a chunk together, of an operator with several chunks; 0: 4 */
} pitot_point_config;

/* NULL, with a message: PITOT_EINVAL: no net, no samples or fewer than asked for, a class out of range, a name that is not there (the
   message lists those that are), a weight that is not finite (named); PITOT_EORDER: the net is not prepared; PITOT_EMISMATCH: the data
   set does not suit the net; PITOT_ENOMEM. Allocated, with n samples in a chunk, D parameters, d of them in the group: a chunk of the data
   set (n times input and answer); 2 D values for a group that is not all; D values and columns * d doubles if there is more than one chunk.
   An operator adds, once: the net's room for products (pitot_net_prepare_products); n C values for empirical_fisher, n draws C for ggn_mc.
   Products allocate nothing. */
PITOT_API pitot_point *pitot_point_new(const pitot_point_config *config, pitot_error *error);
PITOT_API void pitot_point_free(pitot_point *p); /* NULL allowed */

/* d: values of the group's parameters, or D. Vectors hold them in the order of pitot_net_params, without gaps. */
PITOT_API int64_t pitot_point_size(const pitot_point *p);
PITOT_API int64_t pitot_point_samples(const pitot_point *p); /* N */
PITOT_API int64_t pitot_point_outputs(const pitot_point *p); /* C */
/* What went wrong in the latest call, or in an operator's latest product; status PITOT_OK: nothing. */
PITOT_API const pitot_error *pitot_point_error(const pitot_point *p);
/* To be called when weights or samples have changed. If all samples are one chunk its passes are kept from call to call; other uses of the
   net are noticed, and the passes made again, but not a change of weights. The net must not be prepared again while there is a point. */
PITOT_API void pitot_point_changed(pitot_point *p);

enum {                       /* kinds of operator, (d,d), l_n sample n's own loss, f_n its outputs, J_n their Jacobian */
       PITOT_OP_HESSIAN = 1, /* exact: mean of d2 l_n (Pearlmutter 1994) */
       PITOT_OP_GGN,         /* exact: mean of J_n' (d2 l_n / df2) J_n (Schraudolph 2002) */
       PITOT_OP_GGN_MC,      /* mean over samples and drawn labels y of J_n' s s' J_n, s the loss's gradient in f at y: unbiased */
       PITOT_OP_EMPIRICAL_FISHER /* mean of g_n g_n', g_n the gradient of l_n */
};
typedef struct pitot_operator_info {
    const char *name, *summary, *formula, *paper;
} pitot_operator_info;
/* The i-th kind is i + 1; 0 when there are no more. */
PITOT_API int32_t pitot_operator_get(int64_t i, pitot_operator_info *info);
/* "hessian", "ggn", "ggn_mc", "empirical_fisher"; NULL: no such kind. */
PITOT_API const char *pitot_operator_name(int32_t kind);
PITOT_API int32_t pitot_operator_find(const char *name); /* 0: there is none */

/* Calls below use the net, its outputs and its gradients as their own; one thread at a time for all points of a net. The same threads give
   the same bits; other chunks the same numbers up to round-off: sums over chunks are in double. A result that is not finite is
   PITOT_EINVAL, and pitot_point_error names the parameter where it is; progress can end them all. PITOT_EORDER: the net was prepared anew.
   One gradient is the cost of a forward and a backward pass over all samples. */

/* *loss: the mean loss; out (d) its gradient, or NULL: the loss alone. Cost: a gradient; of one
   chunk whose passes are kept, a backward pass, and nothing for the loss. */
PITOT_API int32_t pitot_point_gradient(pitot_point *p, double *loss, pitot_real *out);

/* Fills in *op, whose name is the kind's; good as long as the point. Cost of a product: hessian about two gradients, the others about one
   and a half; less for a group near the output: layers below its first one are not passed through. With several chunks passes come on top:
   one gradient for hessian, a forward pass for the others, for each `columns` vectors that are asked for at once. PITOT_EINVAL: no such
   kind; PITOT_ENOMEM.
   pitot_lanczos_top and pitot_quadrature_run, given *op itself, make smaller products with shorter vectors where there are linear
   layers with more inputs (and, behind another layer, outputs) than samples, these are one chunk, and the group is everything: what
   lies outside of the span of a layer's inputs, or of its gradients, has the eigenvalue 0. Results are the same up to round-off. The
   first such call allocates, once for a point, up to 4 values for each sample and each input or output of such layers, and takes the
   time of two or three products; without that memory products are made as ever. */
PITOT_API int32_t pitot_point_operator(pitot_point *p, int32_t kind, pitot_linop *op);
/* The same with zeros between different layers: a block for each, or what the group has of it. A block's product goes through what lies
   above its layer only: for L layers of the same size, about (L + 1)/2 products of the whole. */
PITOT_API int32_t pitot_point_blocks(pitot_point *p, int32_t kind, pitot_linop *op);
/* out (d): the operator's diagonal; ggn_mc's with the labels of the operator. Cost: a gradient and pitot_net_diagonal_cost of the kind, as
   ggn_mc with one draw for empirical_fisher; nothing less for a group. PITOT_EINVAL: no such kind, no room; PITOT_ENOMEM. */
PITOT_API int32_t pitot_point_diagonal(pitot_point *p, int32_t kind, pitot_real *out, pitot_error *error);

/* out (N,C) = J v, v (d); out (d) = J' u, u (N,C): of all samples, not divided by N. Cost: about 2/3 and 1 gradient. */
PITOT_API int32_t pitot_point_jvp(pitot_point *p, const pitot_real *v, pitot_real *out);
PITOT_API int32_t pitot_point_vjp(pitot_point *p, const pitot_real *u, pitot_real *out);

/* ---- can it be relied on ---- */

typedef struct pitot_linop_report {
    size_t struct_size;
    int32_t finite;     /* products had no NaN or infinity */
    int32_t repeatable; /* two products with one vector have the same bits */
    int32_t symmetric;  /* asymmetry is within the bound below */
    int32_t reserved;
    int64_t differing, first; /* values that differ between the two; the first of them, -1: none */
    double difference;        /* |A v - A v again| / |A v| */
    double asymmetry;         /* |u'A v - v'A u| / sqrt(|A u||v||u||A v|), u and v random signs */
    int64_t products;
} pitot_linop_report;

/* Applies op to one random vector twice, and to another: what should be frozen and symmetric before a solver relies on it. work (4,n).
   PITOT_OK: it may be used, and op.checked is 1, so that no solver makes a product to see that again. PITOT_EMISMATCH: products differ in a
   bit, and by more than 2 op.error, or it calls itself symmetric and asymmetry is above 1e4 units of round-off
   and 2 op.error; PITOT_EHOST: not finite; PITOT_EINVAL: something is NULL, n < 1; a status of the operator. The message says what was
   seen, and the report (NULL allowed) holds it in all cases but the last two. Cost: three products. */
PITOT_API int32_t pitot_linop_check(pitot_linop *op, pitot_real *work, uint64_t seed, pitot_linop_report *report,
                                    pitot_error *error);

/* ---- operators made of operators ----

   Each is a struct of the caller's with an `op` to hand on, which points to the struct: it must stay where it is. What it was made of must
   outlive it. A status of an inner operator is passed on. `error` is what is known of a product's, as in pitot_linop; `checked` is the inner
   operators'. The two inverses iterate: of an inner one that is not checked they make the first product twice, in their first call alone. */

/* y = A x + delta x. k columns go to A together. PITOT_EINVAL: something is NULL, delta not finite. */
typedef struct pitot_damped {
    pitot_linop op;
    const pitot_linop *inner;
    double delta;
} pitot_damped;
PITOT_API int32_t pitot_damped_init(pitot_damped *s, const pitot_linop *inner, double delta);

/* y = a A x + b B x, column by column. work (n). PITOT_EMISMATCH: A and B differ in n; PITOT_EINVAL: as above. */
typedef struct pitot_combined {
    pitot_linop op;
    const pitot_linop *first, *second;
    double a, b;
    pitot_real *work;
} pitot_combined;
PITOT_API int32_t pitot_combined_init(pitot_combined *s, double a, const pitot_linop *first, double b, const pitot_linop *second,
                                      pitot_real *work);

/* Rows and columns index[0..n) of A (m,m), column by column: ascending, no two the same, in 0..m-1. work (2,m). Cost: a product of A; of a
   net's parameters take a point's group instead. PITOT_EINVAL: as above, or an index is not as it should be. */
typedef struct pitot_submatrix {
    pitot_linop op;
    const pitot_linop *inner;
    const int64_t *index;
    pitot_real *work;
} pitot_submatrix;
PITOT_API int32_t pitot_submatrix_init(pitot_submatrix *s, const pitot_linop *inner, const int64_t *index, int64_t n,
                                       pitot_real *work);

/* How a solve went: of the latest call of an inverse's `apply`, the worst of its columns. */
typedef struct pitot_solved {
    double residual;   /* |A y - x| / |x|, from a product made for it; 0 for x = 0 */
    int32_t converged; /* residual <= tolerance */
    int32_t reserved;
    int64_t products; /* of all columns */
} pitot_solved;

/* y = A^-1 x for a symmetric positive definite A (damp it) by conjugate gradients (Hestenes, Stiefel 1952), column by column from y = 0 (pitot_cg),
   scalars in double. It stops at `tolerance` as the recurrence has it, then makes the true residual; if that is above, it starts from there
   again while products are left and it helps. A solve that stops short is PITOT_OK: `solved` says how far it came, and op.error is its
   residual. PITOT_ENOTSUP: p'A p <= 0, A is not positive definite. PITOT_EHOST: values that are not finite; PITOT_EMISMATCH: A gives one vector
   two products. work (3,n). Cost: about sqrt(condition number)/2 log(2/tolerance) products, and one. */
typedef struct pitot_inverse_cg {
    pitot_linop op;
    const pitot_linop *inner;
    double tolerance; /* 0: 1e-6 in double, 1e-4 in float */
    int64_t products; /* most of a column, 2 or more; 0: 2 n + 2, at most 1000 */
    pitot_real *work;
    pitot_solved solved;
} pitot_inverse_cg;
PITOT_API int32_t pitot_inverse_cg_init(pitot_inverse_cg *s, const pitot_linop *inner, double tolerance, int64_t products,
                                        pitot_real *work);

/* y = scale * sum over k = 0..terms of (I - scale A)^k x, which tends to A^-1 x if all eigenvalues of A lie in (0, 2/scale) (Lorraine,
   Vicol, Duvenaud 2020); linear in x and symmetric for any number of terms. `solved` holds the residual, whose limit is `tolerance`.
   PITOT_ENOTSUP: terms grow, as they then do for ever: an eigenvalue is beyond 2/scale or below 0; PITOT_EMISMATCH: A gives one vector two
   products. work (2,n). Cost: terms + 1 products. */
typedef struct pitot_inverse_neumann {
    pitot_linop op;
    const pitot_linop *inner;
    double scale, tolerance;
    int64_t terms;
    pitot_real *work;
    pitot_solved solved;
} pitot_inverse_neumann;
PITOT_API int32_t pitot_inverse_neumann_init(pitot_inverse_neumann *s, const pitot_linop *inner, double scale, int64_t terms,
                                             double tolerance, pitot_real *work);

/* y = (A + delta I)^power x for a small symmetric A, from all its eigenvalues and eigenvectors (LAPACK's dsyevd of (A + A')/2, in double).
   init takes n products, two more if A is not checked, and about 9 n^3 flops, and allocates n^2 + 4 n doubles that stay, and at the
   most 3 n^2 more while it runs; pitot_spectral_free frees them. A product: 4 n^2 flops. Eigenvalues below n units of round-off of the
   largest are noise, and so is their power. PITOT_EINVAL: something is NULL, not symmetric, or (value + delta)^power is not a number (a
   negative base, zero under a negative power): the message says which eigenvalue; PITOT_ENOTSUP: n > 20000; PITOT_EHOST: not finite;
   PITOT_EMISMATCH: A gives one vector two products; PITOT_ENOMEM. */
typedef struct pitot_spectral {
    pitot_linop op;
    double power, delta;
    double *value;  /* (n) eigenvalues of A, ascending */
    double *vector; /* (n,n) row j: the unit eigenvector of value[j] */
    double *scale;  /* (n) (value + delta)^power */
    double *work;   /* (2,n) */
} pitot_spectral;
PITOT_API int32_t pitot_spectral_init(pitot_spectral *s, const pitot_linop *inner, double power, double delta, pitot_error *error);
PITOT_API void pitot_spectral_free(pitot_spectral *s);

#ifdef __cplusplus
}
#endif

#endif
