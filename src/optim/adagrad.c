/* adagrad.c: Duchi, Hazan, Singer 2011, figure 1, diagonal, as in PyTorch: eps after the root, L2 decay, a learning rate that may decay. */

#include "net/real.h"
#include "optim/core/moment.h"
#include "optim/core/quotient.h"
#include "optim/core/spans.h"
#include "pitot/hot.h"
#include "pitot/optim.h"

typedef struct adagrad_options {
    double lr, lr_decay, weight_decay, initial, eps;
} adagrad_options;

static const pitot_option table[] = {
    { "lr", PITOT_REAL, 1, offsetof(adagrad_options, lr), "0.01", 0, 1e6, NULL, "", "learning rate" },
    { "lr_decay", PITOT_REAL, 1, offsetof(adagrad_options, lr_decay), "0", 0, 1e6, NULL, "",
      "step t has the learning rate lr / (1 + (t-1) lr_decay)" },
    { "weight_decay", PITOT_REAL, 1, offsetof(adagrad_options, weight_decay), "0", 0, 1e6, NULL, "",
      "L2: times x is added to the gradient" },
    { "initial_accumulator_value", PITOT_REAL, 1, offsetof(adagrad_options, initial), "0", 0, 1e6, NULL, "",
      "where the sum of squares begins" },
    { "eps", PITOT_REAL, 1, offsetof(adagrad_options, eps), "1e-10", 0, 1e6, NULL, "", "added to the root in the denominator" },
    { 0 },
};

static const char *const slots[] = { "sum", NULL };

static void begin(pitot_stepping *s) {
    const adagrad_options *o = s->options;
    for (int64_t i = 0; i < s->n; i++) {
        pitot_real *sum = s->tensor[i].state[0];
        for (int64_t k = 0; k < s->tensor[i].size; k++) sum[k] = (pitot_real)o->initial;
    }
}

PITOT_HOT static void update(const pitot_update *u) {
    const adagrad_options *o = u->options;
    pitot_real lr = (pitot_real)(o->lr / (1 + (double)(u->t - 1) * o->lr_decay)), wd = (pitot_real)o->weight_decay,
               eps = (pitot_real)o->eps;
    pitot_real *restrict x = u->x, *restrict sum = u->state[0];
    const pitot_real *restrict g = u->g;
    for (span r = spans_of(u); spans_next(u, &r);)
        for (int64_t i = r.begin; i < r.end; i++) {
            pitot_real gi = g[i] + wd * x[i];
            sum[i] += gi * gi;
            x[i] -= quotient(lr * gi, REAL(sqrt)(sum[i]) + eps);
        }
}

/* P = sqrt(sum) + eps */
static int32_t view(const pitot_stepping *s, int64_t i, int32_t k, pitot_preconditioner *view) {
    return diagonal_view(&s->tensor[i], k, s->tensor[i].state[0], -0.5, 1, ((const adagrad_options *)s->options)->eps, view);
}

const pitot_optimizer pitot_optimizer_adagrad = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .name = "adagrad",
    .summary = "divides by the root of the sum of all squared gradients",
    .paper = "Duchi, Hazan, Singer 2011, JMLR 12, figure 1, diagonal",
    .formula = "g += wd x; s += g^2; x -= lr/(1 + (t-1) lr_decay) g / (sqrt(s) + eps)",
    .memory = "D values",
    .cost = "one pass over D",
    .options_size = sizeof(adagrad_options),
    .options = table,
    .slots = slots,
    .begin = begin,
    .update = update,
    .careful = 1,
    .view = view,
};
