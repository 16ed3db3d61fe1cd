/* constant.c: a share of the learning rate for the first steps, all of it from then on, as PyTorch's ConstantLR. */

#include "pitot/optim.h"

typedef struct constant_options {
    int64_t steps;
    double factor;
} constant_options;

static const pitot_option table[] = {
    { "steps", PITOT_INT, 1, offsetof(constant_options, steps), "5", 0, 1e15, NULL, "steps", "how long" },
    { "factor", PITOT_REAL, 1, offsetof(constant_options, factor), "0.3333333333333333", 0, 1e6, NULL, "",
      "share of the learning rate until then" },
    { 0 },
};

static double factor(const void *options, int64_t t, int64_t steps) {
    const constant_options *o = options;
    (void)steps;
    return t <= o->steps ? o->factor : 1;
}

const pitot_optimizer pitot_wrapper_constant = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .name = "constant",
    .summary = "a share of the learning rate for the first steps",
    .paper = "PyTorch, ConstantLR",
    .formula = "lr factor for t <= steps, lr after",
    .memory = "none",
    .cost = "none",
    .options_size = sizeof(constant_options),
    .options = table,
    .factor = factor,
};
