/* psgd.h: fitting one Kronecker factor Q of PSGD's preconditioner P = Q'Q (Li 2015, arXiv 1512.04202; 2024, 2402.11858), and where its random numbers
   come from. */

#ifndef PITOT_SRC_PSGD_H
#define PITOT_SRC_PSGD_H

#include "pitot/optim.h"

typedef struct psgd_draws {
    void (*normal)(void *self, int64_t n, pitot_real *out);
    double (*uniform)(void *self); /* in (0,1) */
    void *self;
} psgd_draws;

enum { PSGD_PROBES = 32 }; /* directions in which a norm is looked for */

/* A lower bound of the spectral norm of A (n,n), symmetric positive semidefinite or skew: subspace iteration from random vectors turned towards
   A's longest row. Draws PSGD_PROBES * n normal numbers. work: psgd_norm_work(n) values. */
double psgd_norm(int64_t n, const pitot_real *a, int skew, const psgd_draws *draws, pitot_real *work);
int64_t psgd_norm_work(int64_t n);

/* Turns Q (n,n) a little towards symmetric positive: Q = exp(a R) Q to second order, R = (Q' - Q)/||Q' - Q||, a <= 1/8 by line search on the trace.
   Draws as psgd_norm. work: psgd_turn_work(n) values. */
void psgd_turn(int64_t n, pitot_real *q, const psgd_draws *draws, pitot_real *work);
int64_t psgd_turn_work(int64_t n);

/* The same to third order, U = I + a R + (a R)^2/2 + (a R)^3/8, a <= 1/3: what is symmetric, or not turned closer to it, stays. */
void psgd_turn_far(int64_t n, pitot_real *q, const psgd_draws *draws, pitot_real *work);

/* Largest |Q' - Q| over largest |Q|; Q becomes (Q + Q')/2. */
double psgd_skew(int64_t n, const pitot_real *q);
void psgd_symmetrize(int64_t n, pitot_real *q);

/* A step of the whole optimizer with random numbers from elsewhere than (seed, t). */
int32_t psgd_kron_step(pitot_stepping *s, const psgd_draws *draws);

#endif
