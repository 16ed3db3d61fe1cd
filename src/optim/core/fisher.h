/* fisher.h: output gradients of which Fisher, and what of them is a sample's own.

   drawn: labels drawn from what the model predicts, one a sample (Martens, Grosse 2015); exact: columns of a root of the loss's Hessian in
   the outputs, which add up to the expectation over labels; empirical: the labels given. */

#ifndef PITOT_SRC_OPTIM_FISHER_H
#define PITOT_SRC_OPTIM_FISHER_H

#include "pitot/optim.h"

enum { FISHER_DRAWN, FISHER_EXACT, FISHER_EMPIRICAL }; /* in the order of FISHER_NAMES */
#define FISHER_NAMES "drawn|exact|empirical"
#define FISHER_HELP "labels drawn from the model, all of the model's labels, or those given"

uint32_t fisher_wants(int64_t fisher); /* PITOT_WANTS_... */

/* Calls `see` with layers showing each set of output gradients in turn: one, or with FISHER_EXACT one per column. Squares are to be added up.
   Afterwards layers show the labels given. The same purpose and step: the same draws. */
int32_t fisher_send(const pitot_stepping *s, int64_t fisher, const char *purpose, int32_t (*see)(void *user, int64_t k),
                    void *user);

#endif
