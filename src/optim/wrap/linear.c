/* linear.c: the learning rate straight down to a share of it, and there to stay: PyTorch's LinearLR with end_factor below 1. */

#include "pitot/optim.h"

typedef struct linear_options {
    int64_t steps;
    double last;
} linear_options;

static const pitot_option table[] = {
    { "steps", PITOT_INT, 1, offsetof(linear_options, steps), "0", 0, 1e15, NULL, "steps",
      "how long; 0: to the end of the training" },
    { "last", PITOT_REAL, 1, offsetof(linear_options, last), "0", 0, 1, NULL, "", "share of the learning rate at its end" },
    { 0 },
};

static double factor(const void *options, int64_t t, int64_t steps) {
    const linear_options *o = options;
    double length = o->steps ? (double)o->steps : (double)steps, at = (double)(t - 1);
    if (!(length > 0)) return 1;
    return at < length ? 1 - (1 - o->last) * at / length : o->last;
}

const pitot_optimizer pitot_wrapper_linear = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .name = "linear",
    .summary = "learning rate straight down to a share of it",
    .paper = "PyTorch, LinearLR; Defazio et al. 2023, arXiv 2310.07831, on why",
    .formula = "lr (1 - (1 - last) min((t-1)/steps, 1))",
    .memory = "none",
    .cost = "none",
    .options_size = sizeof(linear_options),
    .options = table,
    .factor = factor,
};
