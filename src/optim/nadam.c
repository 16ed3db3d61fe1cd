/* nadam.c: Adam with Nesterov's look-ahead (Dozat 2016), its momentum growing with the step, in the form of PyTorch's documentation:

       mu_t = beta1 (1 - 0.96^(t psi)/2),   P_t = mu_1 ... mu_t,   m, v Adam's averages
       x -= lr ((1-mu_t)/(1-P_t) g + mu_{t+1}/(1 - P_t mu_{t+1}) m) / (sqrt(v/(1-beta2^t)) + eps)

   The product is state: each tensor has its own count of steps. */

#include "net/real.h"
#include "optim/core/moment.h"
#include "optim/core/quotient.h"
#include "optim/core/spans.h"
#include "pitot/hot.h"
#include "pitot/optim.h"

typedef struct nadam_options {
    double lr, betas[2], eps, weight_decay, momentum_decay;
    int64_t decoupled;
} nadam_options;

static const pitot_option table[] = {
    { "lr", PITOT_REAL, 1, offsetof(nadam_options, lr), "0.002", 0, 1e6, NULL, "", "learning rate" },
    { "betas", PITOT_REAL, 2, offsetof(nadam_options, betas), "0.9,0.999", 0, PITOT_BELOW_ONE, NULL, "",
      "decay of the averages of gradient and squared gradient" },
    { "eps", PITOT_REAL, 1, offsetof(nadam_options, eps), "1e-8", 0, 1e6, NULL, "", "added to the root in the denominator" },
    { "weight_decay", PITOT_REAL, 1, offsetof(nadam_options, weight_decay), "0", 0, 1e6, NULL, "",
      "L2: times x is added to the gradient" },
    { "momentum_decay", PITOT_REAL, 1, offsetof(nadam_options, momentum_decay), "0.004", 0, 1e6, NULL, "",
      "psi: how fast the momentum grows from half to all of beta1" },
    { "decoupled_weight_decay", PITOT_BOOL, 1, offsetof(nadam_options, decoupled), "false", 0, 0, NULL, "",
      "x is multiplied by 1 - lr weight_decay instead" },
    { 0 },
};

enum { M, V, PRODUCT };

static int32_t layout(pitot_layout *l, pitot_error *error) {
    (void)error;
    if (l->i < 0) return PITOT_OK;
    pitot_slot_like(l, "exp_avg", l->i, 1);
    pitot_slot_like(l, "exp_avg_sq", l->i, 1);
    pitot_slot_add(l, "mu_product", PITOT_F64, 0, NULL);
    return PITOT_OK;
}

typedef struct numbers { /* of a step: what gradient and average are multiplied by */
    double of_g, of_m;
} numbers;

PITOT_HOT static void update(const pitot_update *u) {
    const nadam_options *o = u->options;
    const numbers *n = u->step;
    pitot_real b1 = (pitot_real)o->betas[0], b2 = (pitot_real)o->betas[1], c1 = (pitot_real)(1 - o->betas[0]),
               c2 = (pitot_real)(1 - o->betas[1]), of_g = (pitot_real)n->of_g, of_m = (pitot_real)n->of_m, eps = (pitot_real)o->eps,
               root = (pitot_real)(1 / sqrt(1 - pow(o->betas[1], (double)u->t))),
               keep = (pitot_real)(o->decoupled ? 1 - o->lr * o->weight_decay : 1),
               add = (pitot_real)(o->decoupled ? 0 : o->weight_decay);
    pitot_real *restrict x = u->x, *restrict m = u->state[M], *restrict v = u->state[V];
    const pitot_real *restrict g = u->g;
    for (span r = spans_of(u); spans_next(u, &r);)
        for (int64_t i = r.begin; i < r.end; i++) {
            pitot_real gi = g[i] + add * x[i];
            m[i] = b1 * m[i] + c1 * gi;
            v[i] = b2 * v[i] + c2 * gi * gi;
            x[i] = keep * x[i] - quotient(of_g * gi + of_m * m[i], REAL(sqrt)(v[i]) * root + eps);
        }
}

static int32_t step(pitot_stepping *s) {
    const nadam_options *o = s->options;
    for (int64_t i = 0; i < s->n; i++) {
        const pitot_tensor_state *tensor = &s->tensor[i];
        if (!tensor->g) continue;
        double *product = tensor->state[PRODUCT], kept = *product, t = (double)tensor->t;
        double mu = o->betas[0] * (1 - 0.5 * pow(0.96, t * o->momentum_decay)),
               next = o->betas[0] * (1 - 0.5 * pow(0.96, (t + 1) * o->momentum_decay));
        *product = (tensor->t == 1 ? 1 : *product) * mu;
        numbers n = { o->lr * (1 - mu) / (1 - *product), o->lr * next / (1 - *product * next) };
        if (!pitot_elementwise(s, i, update, &n)) *product = kept;
    }
    return PITOT_OK;
}

static int32_t view(const pitot_stepping *s, int64_t i, int32_t k, pitot_preconditioner *view) {
    const nadam_options *o = s->options;
    return moment_view(&s->tensor[i], k, s->tensor[i].state[V], o->betas[1], o->eps, view);
}

const pitot_optimizer pitot_optimizer_nadam = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .name = "nadam",
    .summary = "Adam with Nesterov's look-ahead and a momentum that grows",
    .paper = "Dozat 2016, Incorporating Nesterov Momentum into Adam, ICLR workshop",
    .formula =
        "mu_t = b1 (1 - 0.96^(t psi)/2); P_t = mu_1...mu_t; m, v as Adam; x -= lr ((1-mu_t)/(1-P_t) g + mu_{t+1}/(1-P_{t+1}) m) / "
        "(sqrt(v/(1-b2^t)) + eps)",
    .memory = "2 D values",
    .cost = "one pass over D",
    .options_size = sizeof(nadam_options),
    .options = table,
    .layout = layout,
    .step = step,
    .careful = 1,
    .view = view,
};
