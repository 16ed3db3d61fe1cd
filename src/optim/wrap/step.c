/* step.c: the learning rate times gamma once every `size` steps, as PyTorch's StepLR. */

#include "pitot/optim.h"

#include <math.h>

typedef struct step_options {
    int64_t size;
    double gamma;
} step_options;

static const pitot_option table[] = {
    { "size", PITOT_INT, 1, offsetof(step_options, size), "0", 0, 1e15, NULL, "steps", "between two; 0: a third of the training" },
    { "gamma", PITOT_REAL, 1, offsetof(step_options, gamma), "0.1", 0, 1e6, NULL, "", "share of the learning rate that stays" },
    { 0 },
};

static double factor(const void *options, int64_t t, int64_t steps) {
    const step_options *o = options;
    int64_t size = o->size ? o->size : (steps + 2) / 3;
    return size > 0 ? pow(o->gamma, (double)((t - 1) / size)) : 1;
}

const pitot_optimizer pitot_wrapper_step = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .name = "step",
    .summary = "learning rate down by a factor every so many steps",
    .paper = "PyTorch, StepLR",
    .formula = "lr gamma^floor((t-1)/size)",
    .memory = "none",
    .cost = "none",
    .options_size = sizeof(step_options),
    .options = table,
    .factor = factor,
};
