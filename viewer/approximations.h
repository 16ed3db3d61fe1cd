/* approximations.h: how far approximations of curvature are from the exact GGN or Hessian of a net at a batch: `pitot inspect --probes
   approximations`. */

#ifndef PITOT_VIEWER_APPROXIMATIONS_H
#define PITOT_VIEWER_APPROXIMATIONS_H

#include "answer.h"

typedef struct args args;

typedef struct comparison { /* of one block of an approximation, or of the truth itself */
    int64_t parameters;
    double error, error_spread; /* |C - G|_F / |G|_F and its standard error; 0: every column was seen */
    double norm, norm_spread;   /* the truth: |G|_F */
    double top;                 /* largest eigenvalue */
    double cosine;              /* of (C + delta I)^-1 g with (G + delta I)^-1 g */
    double residual;            /* of the truth's step, relative; > tolerance: CG did not get there */
    int32_t top_converged, exact;
} comparison;

typedef struct approximations {
    int asked;
    int32_t hessian; /* 1: truth is the Hessian, 0: the GGN */
    double damping;
    int64_t draws, dense, vectors; /* labels a sample; columns of a block seen one by one up to; random vectors beyond */
    int64_t iterations;            /* of CG, at most */
    uint64_t seed;
    int64_t n_blocks; /* 0: overall, then layers */
    char **layer;     /* (n_blocks) names; [0] "overall" */
    int64_t *from;    /* (n_blocks) where their parameters begin in vectors of D values */
    comparison *truth;
    int64_t n_kinds;
    comparison *result; /* (n_kinds, n_blocks) */
    char (*why)[256];   /* (n_kinds): why not; "" if there are results */
    int64_t products;   /* with the truth */
} approximations;

/* Options from --set approximations.KEY=VALUE; EXIT_DONE or EXIT_USAGE. */
int approximations_read(approximations *a, const args *from);
/* After forward and backward of the batch. Says on standard error what it will cost before it begins. */
int32_t approximations_measure(approximations *a, pitot_net *net, const pitot_net_batch *batch, pitot_error *error);
void approximations_write(writer *w, const approximations *a);
void approximations_free(approximations *a);

#endif
