/* lion.c: the sign of an average of gradients (Chen et al. 2023, arXiv 2302.06675, algorithm 2). Two averages, one state: the step takes
   beta1, what is kept takes beta2, after the step. */

#include "optim/core/spans.h"
#include "pitot/hot.h"
#include "pitot/optim.h"

typedef struct lion_options {
    double lr, betas[2], weight_decay;
} lion_options;

static const pitot_option table[] = {
    { "lr", PITOT_REAL, 1, offsetof(lion_options, lr), "0.0001", 0, 1e6, NULL, "",
      "learning rate: how far every value goes; a third to a tenth of Adam's" },
    { "betas", PITOT_REAL, 2, offsetof(lion_options, betas), "0.9,0.99", 0, PITOT_BELOW_ONE, NULL, "",
      "decay of the average in the step, and of the one that is kept" },
    { "weight_decay", PITOT_REAL, 1, offsetof(lion_options, weight_decay), "0", 0, 1e6, NULL, "",
      "x is multiplied by 1 - lr weight_decay before the step; three to ten times AdamW's" },
    { 0 },
};

static const char *const slots[] = { "exp_avg", NULL };

PITOT_HOT static void update(const pitot_update *u) {
    const lion_options *o = u->options;
    pitot_real lr = (pitot_real)o->lr, keep = (pitot_real)(1 - o->lr * o->weight_decay), b1 = (pitot_real)o->betas[0],
               b2 = (pitot_real)o->betas[1], c1 = (pitot_real)(1 - o->betas[0]), c2 = (pitot_real)(1 - o->betas[1]);
    pitot_real *restrict x = u->x, *restrict m = u->state[0];
    const pitot_real *restrict g = u->g;
    for (span r = spans_of(u); spans_next(u, &r);)
        for (int64_t i = r.begin; i < r.end; i++) {
            pitot_real c = b1 * m[i] + c1 * g[i];
            x[i] = keep * x[i] - lr * (pitot_real)((c > 0) - (c < 0));
            m[i] = b2 * m[i] + c2 * g[i];
        }
}

const pitot_optimizer pitot_optimizer_lion = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .name = "lion",
    .summary = "the sign of an average of gradients, with decoupled decay",
    .paper = "Chen et al. 2023, arXiv 2302.06675, algorithm 2",
    .formula = "x *= 1 - lr wd; x -= lr sign(b1 m + (1-b1) g); m = b2 m + (1-b2) g",
    .memory = "D values",
    .cost = "one pass over D",
    .options_size = sizeof(lion_options),
    .options = table,
    .slots = slots,
    .update = update,
    .careful = 1,
};
