/* adamw_schedule_free.c: no schedule, an average instead (Defazio et al. 2024, arXiv 2405.15682, algorithm 1, AdamW). Three points: the
   gradient is taken at y, steps move z, x is their weighted average, which is the one to evaluate:

       L_t = lr min(t/warmup, 1) sqrt(1-beta2^t),   w_t = t^r max_i(L_i)^weight_lr_power,   c = w_t / sum w
       v = beta2 v + (1-beta2) g^2,   u = g/(sqrt(v) + eps) + wd y,   z -= L u,   x = (1-c) x + c z,   y = (1-beta1) z + beta1 x

   The parameters hold y; x is made of y and z: x = y + (1 - 1/beta1) (z - y). Without lr_correction, as the authors' code has it, v is
   corrected in the denominator and L and w are not. Sum of weights and largest L are kept of each tensor, for those that skip steps. */

#include "net/real.h"
#include "optim/core/moment.h"
#include "optim/core/quotient.h"
#include "optim/core/spans.h"
#include "pitot/hot.h"
#include "pitot/optim.h"

#include <string.h>

typedef struct free_options {
    double lr, betas[2], eps, weight_decay;
    int64_t warmup;
    double r, power;
    int64_t lr_correction;
} free_options;

static const pitot_option table[] = {
    { "lr", PITOT_REAL, 1, offsetof(free_options, lr), "0.0025", 0, 1e6, NULL, "", "learning rate; one to ten times AdamW's" },
    { "betas", PITOT_REAL, 2, offsetof(free_options, betas), "0.9,0.999", 0, PITOT_BELOW_ONE, NULL, "",
      "how far from z to x gradients are taken, above 0; decay of the average of squared gradients" },
    { "eps", PITOT_REAL, 1, offsetof(free_options, eps), "1e-8", 0, 1e6, NULL, "", "added to the root in the denominator" },
    { "weight_decay", PITOT_REAL, 1, offsetof(free_options, weight_decay), "0", 0, 1e6, NULL, "",
      "times y is added to the step, before the learning rate" },
    { "warmup_steps", PITOT_INT, 1, offsetof(free_options, warmup), "0", 0, 1e15, NULL, "steps",
      "in which the learning rate rises in a line" },
    { "r", PITOT_REAL, 1, offsetof(free_options, r), "0", 0, 10, NULL, "",
      "weights in the average grow with this power of the step" },
    { "weight_lr_power", PITOT_REAL, 1, offsetof(free_options, power), "2", 0, 10, NULL, "",
      "and with this power of the largest learning rate so far" },
    { "lr_correction", PITOT_BOOL, 1, offsetof(free_options, lr_correction), "true", 0, 0, NULL, "",
      "bias correction in the learning rate, and so in the weights, as in the paper; false: in the denominator, as in the authors' "
      "code" },
    { 0 },
};

enum { Z, V, AVERAGE };

static int32_t check(const void *options, pitot_error *error) {
    if (((const free_options *)options)->betas[0] > 0) return PITOT_OK;
    return pitot_fail(error, PITOT_EINVAL,
                      "optimizer adamw_schedule_free: the first beta is 0; the average needs one above 0, say 0.9");
}

static int32_t layout(pitot_layout *l, pitot_error *error) {
    (void)error;
    if (l->i < 0) return PITOT_OK;
    pitot_slot_like(l, "z", l->i, 1);
    pitot_slot_like(l, "exp_avg_sq", l->i, 1);
    pitot_slot_add(l, "weights", PITOT_F64, 1, (const int64_t[]){ 2 }); /* their sum; the largest L */
    return PITOT_OK;
}

typedef struct numbers {
    double lr, c, root;
} numbers;

PITOT_HOT static void update(const pitot_update *u) {
    const free_options *o = u->options;
    const numbers *n = u->step;
    pitot_real b2 = (pitot_real)o->betas[1], c2 = (pitot_real)(1 - o->betas[1]), root = (pitot_real)n->root,
               eps = (pitot_real)o->eps, wd = (pitot_real)o->weight_decay, c = (pitot_real)n->c, lr = (pitot_real)n->lr,
               back = (pitot_real)(n->lr * (1 - o->betas[0] * (1 - n->c)));
    pitot_real *restrict y = u->x, *restrict z = u->state[Z], *restrict v = u->state[V];
    const pitot_real *restrict g = u->g;
    for (span r = spans_of(u); spans_next(u, &r);)
        for (int64_t i = r.begin; i < r.end; i++) {
            v[i] = b2 * v[i] + c2 * g[i] * g[i];
            pitot_real step = quotient(g[i], REAL(sqrt)(v[i]) * root + eps) + wd * y[i];
            y[i] += c * (z[i] - y[i]) - back * step;
            z[i] -= lr * step;
        }
}

static numbers numbers_of(const free_options *o, int64_t t, double weights[2]) {
    double corrected = sqrt(1 - pow(o->betas[1], (double)t));
    numbers n = { o->lr * (t < o->warmup ? (double)t / (double)o->warmup : 1), 0, 1 };
    if (o->lr_correction) n.lr *= corrected;
    else n.root = 1 / corrected;
    if (n.lr > weights[1]) weights[1] = n.lr;
    double weight = pow((double)t, o->r) * pow(weights[1], o->power);
    weights[0] += weight;
    n.c = weights[0] > 0 ? weight / weights[0] : 0;
    return n;
}

static int32_t step(pitot_stepping *s) {
    for (int64_t i = 0; i < s->n; i++) {
        pitot_tensor_state *t = &s->tensor[i];
        if (!t->g) continue;
        if (t->t == 1) memcpy(t->state[Z], t->x, (size_t)t->size * sizeof *t->x);
        double *weights = t->state[AVERAGE], kept[2] = { weights[0], weights[1] };
        numbers n = numbers_of(s->options, t->t, weights);
        if (!pitot_elementwise(s, i, update, &n)) memcpy(weights, kept, sizeof kept);
    }
    return PITOT_OK;
}

static void evaluate(pitot_stepping *s) {
    pitot_real by = (pitot_real)(1 - 1 / ((const free_options *)s->options)->betas[0]);
    for (int64_t i = 0; i < s->n; i++) {
        pitot_real *x = s->tensor[i].x;
        const pitot_real *z = s->tensor[i].state[Z];
        for (int64_t k = 0; s->tensor[i].t > 0 && k < s->tensor[i].size; k++) x[k] += by * (z[k] - x[k]);
    }
}

/* P = sqrt(v/(1-beta2^t)) + eps, with lr_correction (sqrt(v) + eps)/sqrt(1-beta2^t) */
static int32_t view(const pitot_stepping *s, int64_t i, int32_t k, pitot_preconditioner *view) {
    const free_options *o = s->options;
    double corrected = 1 - pow(o->betas[1], (double)s->tensor[i].t);
    return diagonal_view(&s->tensor[i], k, s->tensor[i].state[V], -0.5, 1 / corrected,
                         o->lr_correction ? o->eps / sqrt(corrected) : o->eps, view);
}

const pitot_optimizer pitot_optimizer_adamw_schedule_free = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .name = "adamw_schedule_free",
    .summary = "AdamW without a schedule: gradients between the last point and a running average, which is evaluated",
    .paper = "Defazio et al. 2024, arXiv 2405.15682, algorithm 1",
    .formula = "v = b2 v + (1-b2) g^2; L = lr sqrt(1-b2^t); z -= L (g/(sqrt(v)+eps) + wd y); c = L^2 / sum L^2; x = (1-c) x + c z; "
               "y = (1-b1) z + b1 x, gradients at y, evaluation at x",
    .memory = "2 D values; D more to evaluate",
    .cost = "one pass over D",
    .options_size = sizeof(free_options),
    .options = table,
    .check = check,
    .layout = layout,
    .step = step,
    .careful = 1,
    .view = view,
    .evaluate = evaluate,
};
