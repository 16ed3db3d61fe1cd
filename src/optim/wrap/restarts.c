/* restarts.c: the learning rate along half a cosine again and again, each time T_mult times as long (Loshchilov, Hutter 2016, "SGDR",
   equation 5), as PyTorch's CosineAnnealingWarmRestarts. */

#include "pitot/optim.h"

#include <math.h>

typedef struct restarts_options {
    int64_t first, mult;
    double last;
} restarts_options;

static const pitot_option table[] = {
    { "T0", PITOT_INT, 1, offsetof(restarts_options, first), "10", 1, 1e15, NULL, "steps", "length of the first period" },
    { "mult", PITOT_INT, 1, offsetof(restarts_options, mult), "1", 1, 1e6, NULL, "", "times as long each period after it" },
    { "last", PITOT_REAL, 1, offsetof(restarts_options, last), "0", 0, 1, NULL, "",
      "share of the learning rate that periods fall to" },
    { 0 },
};

static double factor(const void *options, int64_t t, int64_t steps) {
    const restarts_options *o = options;
    double at = (double)(t - 1), length = (double)o->first;
    (void)steps;
    if (o->mult == 1) at = fmod(at, length);
    for (; at >= length; length *= (double)o->mult) at -= length;
    return o->last + (1 - o->last) * (1 + cos(M_PI * at / length)) / 2;
}

const pitot_optimizer pitot_wrapper_restarts = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .name = "restarts",
    .summary = "learning rate along half a cosine, and again from the top",
    .paper = "Loshchilov, Hutter 2016, arXiv 1608.03983, equation 5",
    .formula = "lr (last + (1 - last) (1 + cos(pi at/T)) / 2), at since the restart, T = T0 mult^restarts",
    .memory = "none",
    .cost = "none",
    .options_size = sizeof(restarts_options),
    .options = table,
    .factor = factor,
};
