/* factor.h: matrices whose columns are gradients of single samples with respect to the parameters: the factor V of the GGN, G = V V'
   (Dangel, Tatzel, Hennig 2022, "ViViT", TMLR, eq. 5-7), and the samples' own gradients. Neither is formed: what came back to the layers'
   outputs is kept, and products are made from that and the layers' inputs. */

#ifndef PITOT_SRC_NET_FACTOR_H
#define PITOT_SRC_NET_FACTOR_H

#include "net/net.h"

typedef struct factor { /* column (j,m) is scale J_j' s_jm, of sample[j]; columns in this order */
    pitot_net *net;
    int64_t n, m, columns; /* samples, columns of each, n m */
    int64_t *sample;       /* (n) */
    double scale;
    pitot_real **s; /* (n_nodes): (n, m, *out) of nodes with wanted parameters; NULL: others */
} factor;

/* V of the GGN of the mean loss of these samples (NULL: the first n of the batch); the net is as backward left it. wanted (n_params): 0
   leaves a parameter out. PITOT_ENOMEM; PITOT_EBUDGET and a message: what is kept would take more than `memory` bytes. Cost: about
   columns / n gradients without their products for weights. */
int32_t factor_new(factor *f, pitot_net *net, const roots *r, const int64_t *sample, int64_t n, const unsigned char *wanted,
                   int64_t memory, pitot_error *error);
/* The samples' gradients, each of its own loss: m = 1, scale = the batch. Cost: a copy. */
int32_t factor_gradients(factor *f, pitot_net *net, const int64_t *sample, int64_t n, const unsigned char *wanted);
void factor_free(factor *f);

/* Layers of `at` (n_params): where a parameter lies in vectors of the caller's; -1: it does not count. */

/* k (a.columns, b.columns) += A'B over those parameters; a == b: its upper triangle alone. Sums of at most CHUNK bytes of columns in
   pitot_real, beyond that in double. PITOT_ENOMEM. Cost: of a linear layer, columns^2 out flops (half with a == b); of a convolution,
   columns^2 parameters, and columns times the gradient of its weight, for as many positions as are not 0 in all columns of a sample; or,
   with few positions P, samples^2 P^2 K, K weights to an output channel. */
int32_t factor_product(const factor *a, const factor *b, const int64_t *at, double *k);
enum { FACTOR_CHUNK = 1 << 25 };

/* out (rows, ld): row r = sum of the columns times c (rows, columns) [r], at the parameters' places; others are left. PITOT_ENOMEM. Cost:
   rows gradients of weights. */
int32_t factor_apply(const factor *f, const int64_t *at, int64_t rows, const double *c, pitot_real *out, int64_t ld);

/* Inputs of the samples to node k (n, in), gathered into `to` unless they lie together already. */
const pitot_real *factor_inputs(const factor *f, int32_t k, pitot_real *to);

#endif
