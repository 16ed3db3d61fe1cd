/* cosine.c: the learning rate along half a cosine (Loshchilov, Hutter 2016, "SGDR", without restarts), as PyTorch's CosineAnnealingLR but
   constant after its end. */

#include "pitot/optim.h"

#include <math.h>

typedef struct cosine_options {
    int64_t steps;
    double last;
} cosine_options;

static const pitot_option table[] = {
    { "steps", PITOT_INT, 1, offsetof(cosine_options, steps), "0", 0, 1e15, NULL, "steps",
      "how long; 0: to the end of the training" },
    { "last", PITOT_REAL, 1, offsetof(cosine_options, last), "0", 0, 1, NULL, "", "share of the learning rate at its end" },
    { 0 },
};

static double factor(const void *options, int64_t t, int64_t steps) {
    const cosine_options *o = options;
    double length = o->steps ? (double)o->steps : (double)steps, at = (double)(t - 1);
    if (!(length > 0)) return 1;
    if (at > length) at = length;
    return o->last + (1 - o->last) * (1 + cos(M_PI * at / length)) / 2;
}

const pitot_optimizer pitot_wrapper_cosine = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .name = "cosine",
    .summary = "learning rate along half a cosine",
    .paper = "Loshchilov, Hutter 2016, arXiv 1608.03983",
    .formula = "lr (last + (1 - last) (1 + cos(pi (t-1)/steps)) / 2)",
    .memory = "none",
    .cost = "none",
    .options_size = sizeof(cosine_options),
    .options = table,
    .factor = factor,
};
