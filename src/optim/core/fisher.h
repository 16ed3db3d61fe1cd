/* fisher.h: output gradients of which Fisher, and layers with them.

   drawn: labels drawn from what the model predicts, one a sample (Martens, Grosse 2015); exact: columns of a root of the loss's Hessian in
   the outputs, which add up to the expectation over labels; empirical: the labels given. */

#ifndef PITOT_SRC_OPTIM_FISHER_H
#define PITOT_SRC_OPTIM_FISHER_H

#include "optim/core/layer.h"

enum { FISHER_DRAWN, FISHER_EXACT, FISHER_EMPIRICAL }; /* in the order of FISHER_NAMES */
#define FISHER_NAMES "drawn|exact|empirical"
#define FISHER_HELP "labels drawn from the model, all of the model's labels, or those given"

uint32_t fisher_wants(int64_t fisher); /* PITOT_WANTS_... */

/* Calls `see` for each group of each of the n layers in `list`, once for every set k of output gradients: one, or with FISHER_EXACT one per
   column, whose squares are to be added up. Afterwards layers show the labels given. The same purpose and step: the same draws. */
typedef void fisher_see(void *user, const layer *l, const pitot_capture *c, int64_t group, int64_t k);
int32_t fisher_send(const pitot_stepping *s, int64_t fisher, const char *purpose, const layer *list, int64_t n, fisher_see *see,
                    void *user);

#endif
