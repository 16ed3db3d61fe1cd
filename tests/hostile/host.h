/* host.h: a host that tests/fault/hostile.c watches. Compiled with -Ofast: no NaN, no infinity, no subnormal number, no order of additions
   as far as this code knows. Its tensors lie at odd addresses and move every step. */

#ifndef PITOT_TESTS_HOSTILE_HOST_H
#define PITOT_TESTS_HOSTILE_HOST_H

#include "pitot/hooks.h"

enum { HOST_IN = 5, HOST_OUT = 3, HOST_SAMPLES = 4, HOST_STILL = 3, HOST_VALUES = HOST_IN * HOST_OUT + HOST_OUT + HOST_STILL };

enum { HOST_FAILS = 1, HOST_NAN = 2, HOST_INFINITE = 4, HOST_COMMA = 8, HOST_ROUNDS = 16 }; /* what goes wrong in a step */

typedef struct host host;

/* A host on a run (NULL: alone); it does not own the run. NULL: out of memory. */
host *host_new(pitot_run *run, int exact);
void host_free(host *h);
/* Forward, backward, update with hooks; comma: a locale, or NULL. Returns the mask. */
uint32_t host_step(host *h, int64_t step, int how, const char *comma);
/* Weights and the gradient of the last step, bit by bit (HOST_VALUES each), and its loss. */
void host_look(const host *h, float *weights, float *gradient, double *loss);
int64_t host_called(const host *h); /* callbacks, in all */

#endif
