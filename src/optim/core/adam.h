/* adam.h: what Adam and AdamW have in common.

       m = beta1 m + (1-beta1) g,   v = beta2 v + (1-beta2) g^2,   x -= lr/(1-beta1^t) m / (sqrt(v)/sqrt(1-beta2^t) + eps)

   with amsgrad (Reddi, Kale, Kumar 2018) the largest v so far in place of v. */

#ifndef PITOT_SRC_ADAM_H
#define PITOT_SRC_ADAM_H

#include "pitot/hot.h"
#include "net/real.h"
#include "optim/core/moment.h"
#include "optim/core/quotient.h"
#include "optim/core/spans.h"
#include "pitot/optim.h"

typedef struct adam_options {
    double lr, betas[2], eps, weight_decay;
    int64_t amsgrad;
} adam_options;

static const char *const adam_slots[] = { "exp_avg", "exp_avg_sq", "max_exp_avg_sq", NULL };

static inline uint32_t adam_uses(const void *options) {
    return ((const adam_options *)options)->amsgrad ? 7 : 3;
}

/* decay: x is multiplied by it first (decoupled weight decay); l2: times x is added to g. */
PITOT_HOT static void adam_update(const pitot_update *u, double decay, double l2) {
    const adam_options *o = u->options;
    pitot_real b1 = (pitot_real)o->betas[0], b2 = (pitot_real)o->betas[1], c1 = (pitot_real)(1 - o->betas[0]),
               c2 = (pitot_real)(1 - o->betas[1]);
    double bc1 = 1 - pow(o->betas[0], (double)u->t), bc2 = 1 - pow(o->betas[1], (double)u->t);
    pitot_real step = (pitot_real)(o->lr / bc1), root = (pitot_real)(1 / sqrt(bc2)), eps = (pitot_real)o->eps,
               keep = (pitot_real)decay, add = (pitot_real)l2;
    pitot_real *restrict x = u->x, *restrict m = u->state[0], *restrict v = u->state[1], *restrict most = u->state[2];
    const pitot_real *restrict g = u->g;
    if (most) {
        for (span r = spans_of(u); spans_next(u, &r);)
            for (int64_t i = r.begin; i < r.end; i++) {
                pitot_real gi = g[i] + add * x[i];
                m[i] = b1 * m[i] + c1 * gi;
                v[i] = b2 * v[i] + c2 * gi * gi;
                most[i] = v[i] > most[i] ? v[i] : most[i];
                x[i] = keep * x[i] - quotient(step * m[i], REAL(sqrt)(most[i]) * root + eps);
            }
        return;
    }
    for (span r = spans_of(u); spans_next(u, &r);)
        for (int64_t i = r.begin; i < r.end; i++) {
            pitot_real gi = g[i] + add * x[i];
            m[i] = b1 * m[i] + c1 * gi;
            v[i] = b2 * v[i] + c2 * gi * gi;
            x[i] = keep * x[i] - quotient(step * m[i], REAL(sqrt)(v[i]) * root + eps);
        }
}

/* P = sqrt(v/(1-beta2^t)) + eps */
static inline int32_t adam_view(const pitot_stepping *s, int64_t i, int32_t k, pitot_preconditioner *view) {
    const adam_options *o = s->options;
    const pitot_tensor_state *t = &s->tensor[i];
    return moment_view(t, k, t->state[2] ? t->state[2] : t->state[1], o->betas[1], o->eps, view);
}

/* clang-format off */
#define ADAM_OPTIONS(decay, decay_help)                                                                                                \
    {                                                                                                                                  \
        { "lr", PITOT_REAL, 1, offsetof(adam_options, lr), "0.001", 0, 1e6, NULL, "", "learning rate" },                               \
            { "betas", PITOT_REAL, 2, offsetof(adam_options, betas), "0.9,0.999", 0, PITOT_BELOW_ONE, NULL, "",                        \
              "decay of the averages of gradient and squared gradient" },                                                              \
            { "eps", PITOT_REAL, 1, offsetof(adam_options, eps), "1e-8", 0, 1e6, NULL, "", "added to the root in the denominator" },   \
            { "weight_decay", PITOT_REAL, 1, offsetof(adam_options, weight_decay), decay, 0, 1e6, NULL, "", decay_help },              \
            { "amsgrad", PITOT_BOOL, 1, offsetof(adam_options, amsgrad), "false", 0, 0, NULL, "", "divide by the largest average so far" }, \
            { 0 },                                                                                                                     \
    }
/* clang-format on */

#endif
