/* pitot/kron.h: Kronecker-factored curvature of a net at its last batch: K-FAC, KFLR, KFRA, the empirical and the input-only form, and
   EKFAC; as operators, inverted, and in numbers.

   Block of a layer y = W a + b, with the bias as last column of its weight and 1 as last value of its input: vec of the (rows, columns)
   matrix [W b] row by row, and its block of the GGN of the mean loss

       G ~ B (x) A,   (B (x) A) vec(X) = vec(B X A),   A = E[a a'] (columns, columns),   B = E[sum of s s'] (rows, rows)

   E the mean over the samples of the batch, s what the columns of a root of the loss's Hessian in the outputs become on the way down (of
   each sample's own loss, not over N). Groups of a convolution are blocks of their own. T positions share a weight:

       PITOT_KRON_EXPAND   A = 1/(N T) sum over samples and positions of a a',  B = 1/N the same sum of s s'
       PITOT_KRON_REDUCE   A = 1/N sum of (mean over positions of a)(...)',     B = 1/N sum of (sum over positions of s)(...)'

   (Martens, Grosse 2015; Grosse, Martens 2016; Botev, Ritter, Barber 2017; George et al. 2018; Benzing 2022; Eschenhagen et al. 2023,
   "Kronecker-Factored Approximate Curvature for Modern Neural Network Architectures".) BackPACK differs: the bias is apart
   (separate_bias), for convolutions A = 1/N sum over samples and positions of a a' (T times ours of expand) and B as in reduce. */

#ifndef PITOT_KRON_H
#define PITOT_KRON_H

#include "pitot/base.h"
#include "pitot/linop.h"
#include "pitot/net.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {                      /* where s comes from */
       PITOT_KRON_KFAC = 1, /* labels drawn from what the net predicts: unbiased for KFLR's B */
       PITOT_KRON_KFLR = 2, /* an exact root: B is what an infinite number of draws would give */
       PITOT_KRON_KFRA = 3, /* a recursion over B averaged over samples; chains of linear layers and ops on single values alone */
       PITOT_KRON_EMPIRICAL = 4, /* the gradients of the batch's own labels: of the empirical Fisher matrix */
       PITOT_KRON_INPUT = 5      /* B = I: FOOF, ISAAC */
};
enum { PITOT_KRON_EXPAND = 0, PITOT_KRON_REDUCE = 1 };

typedef struct pitot_kron pitot_kron;

typedef struct pitot_kron_config {
    size_t struct_size;
    pitot_net *net;        /* after pitot_net_backward; used by pitot_kron_new alone */
    int32_t kind, sharing; /* PITOT_KRON_...; sharing 0: expand */
    int32_t
        corrected; /* 1: EKFAC: in the eigenbases of A and B, the diagonal of the matrix that `kind` is about. KFAC, KFLR, EMPIRICAL */
    int32_t separate_bias; /* 1: biases have blocks of their own, A = 1 */
    int64_t draws;         /* KFAC: labels a sample; 0: 1 */
    uint64_t seed;         /* of the labels */
} pitot_kron_config;

/* The factors, made at once; free with pitot_kron_free (NULL allowed). NULL with a message: PITOT_EORDER before a backward pass,
   PITOT_EINVAL, PITOT_ENOMEM, PITOT_ENOTSUP (a layer that has no Kronecker form; KFRA and a net that is not such a chain; EKFAC of KFRA or
   INPUT), PITOT_EHOST (activations or gradients are not finite). Cost: N T (columns^2 + rows^2) flops a layer for each column, and the way
   down of the columns (pitot_net_diagonal_cost of the same kind); EKFAC goes down twice. Same seed and threads: the same bits. One thread
   at a time, also for what follows. */
PITOT_API pitot_kron *pitot_kron_new(const pitot_kron_config *config, pitot_error *error);
PITOT_API void pitot_kron_free(pitot_kron *k);
PITOT_API int64_t pitot_kron_size(const pitot_kron *k); /* D */

typedef struct pitot_kron_block {
    size_t struct_size;
    const char *name;     /* of the layer */
    int32_t weight, bias; /* where in pitot_net_params; -1: not in this block */
    int32_t group, reserved;
    int64_t first_row;       /* of the weight's rows, or the bias's values: where this group begins */
    int64_t rows, columns;   /* of the block's matrix; columns with the bias */
    const pitot_real *A, *B; /* (columns,columns), (rows,rows), symmetric; k's own */
} pitot_kron_block;
/* The i-th block, layer after layer and group after group; PITOT_EINVAL: there are no more. Free of cost. */
PITOT_API int32_t pitot_kron_factor(const pitot_kron *k, int64_t i, pitot_kron_block *block);

/* y = C x, the blocks on C's diagonal: two products a block and column, four with EKFAC. Zero for parameters that the loss does not see. out
   lives as long as k. */
PITOT_API int32_t pitot_kron_operator(pitot_kron *k, pitot_linop *out);

enum {                       /* where the damping goes */
       PITOT_KRON_EXACT = 1, /* (B (x) A + delta I)^-1, by the eigenvalues of A and B */
       PITOT_KRON_PI = 2, /* (B + sqrt(delta)/pi I)^-1 (x) (A + pi sqrt(delta) I)^-1, pi^2 = (tr A/columns) / (tr B/rows): Martens,
                                          Grosse 2015, 6.3; 1 where a trace is 0 */
       PITOT_KRON_PLAIN = 3 /* the same with pi = 1. curvlinops adds delta itself to both: that is delta^2 here */
};

typedef struct pitot_kron_inverse { /* the caller's; stays where it is while op is in use */
    pitot_linop op;                 /* y = C^-1 x */
    pitot_kron *k;
    double damping;
    int32_t kind, reserved;
} pitot_kron_inverse;

/* The inverse of C with delta = damping > 0. EKFAC: EXACT alone. Parameters that no block covers: x / delta. PITOT_EINVAL; PITOT_ENOMEM;
   PITOT_EHOST: no eigenvalues were found. The first call finds the eigenvectors of all factors (in double; about 9 (columns^3 + rows^3)
   flops a block); each product is four products of matrices a block. */
PITOT_API int32_t pitot_kron_invert(pitot_kron *k, double damping, int32_t kind, pitot_kron_inverse *out, pitot_error *error);

typedef struct pitot_kron_facts {
    size_t struct_size;
    double trace, frobenius, largest; /* of C: tr C, sqrt(tr C^2), the largest eigenvalue */
    double logdet;                    /* log det (C + damping I); -infinity if that is singular */
} pitot_kron_facts;
/* From the eigenvalues; damping >= 0. Statuses and first call as pitot_kron_invert. */
PITOT_API int32_t pitot_kron_get_facts(pitot_kron *k, double damping, pitot_kron_facts *facts);

#ifdef __cplusplus
}
#endif

#endif
