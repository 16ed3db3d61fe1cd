/* adam.c: Kingma, Ba 2014 (arXiv 1412.6980), algorithm 1; weight decay is L2, added to the gradient. */

#include "optim/core/adam.h"

static const pitot_option table[] = ADAM_OPTIONS("0", "L2: times x is added to the gradient");

static void update(const pitot_update *u) {
    adam_update(u, 1, ((const adam_options *)u->options)->weight_decay);
}

const pitot_optimizer pitot_optimizer_adam = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .name = "adam",
    .summary = "averages of gradient and squared gradient, bias-corrected",
    .paper = "Kingma, Ba 2014, arXiv 1412.6980, algorithm 1",
    .formula = "g += wd x; m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2; x -= lr/(1-b1^t) m / (sqrt(v/(1-b2^t)) + eps)",
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
