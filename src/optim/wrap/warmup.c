/* warmup.c: the learning rate straight up from a share of it in the first steps (Goyal et al. 2017, arXiv 1706.02677), as PyTorch's LinearLR
   with its defaults. */

#include "pitot/optim.h"

typedef struct warmup_options {
    int64_t steps;
    double first;
} warmup_options;

static const pitot_option table[] = {
    { "steps", PITOT_INT, 1, offsetof(warmup_options, steps), "5", 1, 1e15, NULL, "steps", "how long" },
    { "first", PITOT_REAL, 1, offsetof(warmup_options, first), "0.3333333333333333", 0, 1, NULL, "",
      "share of the learning rate at its start" },
    { 0 },
};

static double factor(const void *options, int64_t t, int64_t steps) {
    const warmup_options *o = options;
    (void)steps;
    return t - 1 < o->steps ? o->first + (1 - o->first) * (double)(t - 1) / (double)o->steps : 1;
}

const pitot_optimizer pitot_wrapper_warmup = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .name = "warmup",
    .summary = "learning rate straight up from a share of it at first",
    .paper = "Goyal et al. 2017, arXiv 1706.02677",
    .formula = "lr (first + (1 - first) min((t-1)/steps, 1))",
    .memory = "none",
    .cost = "none",
    .options_size = sizeof(warmup_options),
    .options = table,
    .factor = factor,
};
