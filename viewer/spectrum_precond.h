/* spectrum_precond.h: the optimizer of a run, made anew from what its manifest says, and its preconditioner at each checkpoint. */

#ifndef PITOT_VIEWER_SPECTRUM_PRECOND_H
#define PITOT_VIEWER_SPECTRUM_PRECOND_H

#include "pitot.h"

typedef struct spectrum_precond { /* cleared before it is opened; stays where it is */
    pitot_optim *optim;
    pitot_provided provided;
    pitot_precond_tensor *tensor; /* (n): the net's parameters */
    int64_t n;
    pitot_precond *at; /* of the checkpoint read last; NULL: none */
} spectrum_precond;

/* The optimizer of run directory `run` on a prepared net. PITOT_ENOTSUP: the run does not say which, or it has no preconditioner. */
int32_t precond_open(spectrum_precond *p, const char *run, pitot_net *net, pitot_error *error);
void precond_close(spectrum_precond *p); /* after a failure, too */

/* Parameters and optimizer state from a checkpoint, and `at` from these. Statuses of pitot_checkpoint_read and pitot_precond_of. */
int32_t precond_read(spectrum_precond *p, const char *checkpoint, pitot_net *net, pitot_error *error);

const char *precond_name(const spectrum_precond *p); /* "adam" */
/* Largest eigenvalue of P^(1/2) H P^(1/2) at which the optimizer is stable while P stays, at the next learning rate, and its formula in
   `name`; NaN and "" if that is not known. x -= lr P m, m an average of gradients: (2+2b)/((1-b) lr) (Cohen et al. 2022, arXiv 2207.14484);
   x -= lr b, b = momentum b + P g + weight_decay x: 2(1+momentum)/lr - weight_decay. Decay of parameters apart from that (adamw) moves the limit by a
   share of lr weight_decay / 2, which is left out. */
double precond_limit(const spectrum_precond *p, char *name, size_t size);

#endif
