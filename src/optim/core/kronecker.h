/* kronecker.h: what K-FAC and EKFAC have in common: factors of a layer's Fisher block, S (x) A with S (rows, rows) the mean of gg' and
   A (columns, columns) of aa', their averages over steps, what is made of them every so often, and a step of momentum with the
   preconditioned gradient. Parameters that are not a layer's take the same step with the gradient itself.

       KRONECKER_PI       D = (S + sqrt(l)/pi I)^-1 G (A + pi sqrt(l) I)^-1, pi^2 = (tr A / columns) / (tr S / rows)
       KRONECKER_EACH     D = (S + l I)^-1 G (A + l I)^-1
       KRONECKER_EIGEN    D = U [(U'GV) / (s + l)] V', S = U diag U', A = V diag V', s = the outer product of the eigenvalues
       KRONECKER_BATCH    the same with s the mean over the batch of the samples' own (U'GV)^2
       KRONECKER_AVERAGE  with s an average over steps of N (U'GV)^2, the batch's

   then x -= lr b, b = momentum b + nu D + weight_decay x, nu = min(1, sqrt(kl_clip / sum lr^2 <D,G>)). */

#ifndef PITOT_SRC_OPTIM_KRONECKER_H
#define PITOT_SRC_OPTIM_KRONECKER_H

#include "optim/core/fisher.h"
#include "optim/core/layer.h"
#include "optim/core/overlap.h"

enum {
    KRONECKER_PI,
    KRONECKER_EIGEN,
    KRONECKER_EACH,
    KRONECKER_BATCH,
    KRONECKER_AVERAGE
};                                                                            /* form: in the order of the options' choices */
enum { KRONECKER_ADAPT_NONE, KRONECKER_ADAPT_LAMBDA, KRONECKER_ADAPT_GAMMA }; /* the last: lambda too */
enum { KRONECKER_FROM_BATCH, KRONECKER_FROM_IDENTITY };                       /* how averages begin */

typedef struct kronecker {                                                         /* options of both */
    double lr, momentum, weight_decay, damping, stat_decay, moment_decay, kl_clip; /* kl_clip 0: none */
    int64_t t_cov, t_inv, t_first; /* steps between factors, between decompositions; first steps, which all have theirs */
    int64_t t_basis, moments;      /* EKFAC's: in place of t_inv, 0 in K-FAC; s KRONECKER_BATCH or KRONECKER_AVERAGE */
    int64_t fisher, form, start, reduce, mean, bf16, max_dim, overlap;
    int64_t model, adapt, t_damping, t_gamma; /* the step that kronecker_model.c describes; what is adapted, every so many steps */
    int64_t apart, keep; /* a bias has S alone and no column of A; damping stays in the averages. Of PI and EACH */
    const char *purpose; /* of draws */
} kronecker;

/* Of a descriptor whose options are a struct kronecker. */
uint32_t kronecker_wants(const void *options);
int32_t kronecker_layout(pitot_layout *l, pitot_error *error);
void kronecker_begin(pitot_stepping *s);
int32_t kronecker_step(pitot_stepping *s);
int32_t kronecker_view(const pitot_stepping *s, int64_t i, int32_t f, pitot_preconditioner *view);

#endif
