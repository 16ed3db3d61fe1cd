/* adamw.c: Loshchilov, Hutter 2017 (arXiv 1711.05101), algorithm 2, in the form that PyTorch made common: the decay is multiplied by
   the learning rate and comes before the step. */

#include "optim/core/adam.h"

static const pitot_option table[] = ADAM_OPTIONS("0.01", "x is multiplied by 1 - lr weight_decay before the step");

static void update(const pitot_update *u) {
    const adam_options *o = u->options;
    adam_update(u, 1 - o->lr * o->weight_decay, 0);
}

const pitot_optimizer pitot_optimizer_adamw = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .name = "adamw",
    .summary = "Adam with weight decay apart from the gradient",
    .paper = "Loshchilov, Hutter 2017, arXiv 1711.05101, algorithm 2",
    .formula = "x *= 1 - lr wd; m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2; x -= lr/(1-b1^t) m / (sqrt(v/(1-b2^t)) + eps)",
    .memory = "2 D values; 3 D with amsgrad",
    .cost = "one pass over D",
    .options_size = sizeof(adam_options),
    .options = table,
    .slots = adam_slots,
    .uses = adam_uses,
    .update = update,
    .careful = 1,
    .view = adam_view,
};
