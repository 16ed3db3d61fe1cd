/* radam.c: Adam whose step waits until the variance of its denominator is bounded (Liu et al. 2019, arXiv 1908.03265, algorithm 2):

       rho_inf = 2/(1-beta2) - 1,   rho_t = rho_inf - 2 t beta2^t/(1-beta2^t)
       rho_t > threshold:  x -= lr/(1-beta1^t) r m sqrt(1-beta2^t) / (sqrt(v) + eps)
                           r^2 = (rho_t-4)(rho_t-2) rho_inf / ((rho_inf-4)(rho_inf-2) rho_t)
       otherwise:          x -= lr/(1-beta1^t) m

   The paper's threshold is 4; its authors' code and PyTorch take 5, and their eps. */

#include "net/real.h"
#include "optim/core/moment.h"
#include "optim/core/quotient.h"
#include "optim/core/spans.h"
#include "pitot/hot.h"
#include "pitot/optim.h"

typedef struct radam_options {
    double lr, betas[2], eps, weight_decay;
    int64_t decoupled;
    double threshold;
} radam_options;

static const pitot_option table[] = {
    { "lr", PITOT_REAL, 1, offsetof(radam_options, lr), "0.001", 0, 1e6, NULL, "", "learning rate" },
    { "betas", PITOT_REAL, 2, offsetof(radam_options, betas), "0.9,0.999", 0, PITOT_BELOW_ONE, NULL, "",
      "decay of the averages of gradient and squared gradient" },
    { "eps", PITOT_REAL, 1, offsetof(radam_options, eps), "1e-8", 0, 1e6, NULL, "", "added to the root in the denominator" },
    { "weight_decay", PITOT_REAL, 1, offsetof(radam_options, weight_decay), "0", 0, 1e6, NULL, "",
      "L2: times x is added to the gradient" },
    { "decoupled_weight_decay", PITOT_BOOL, 1, offsetof(radam_options, decoupled), "false", 0, 0, NULL, "",
      "x is multiplied by 1 - lr weight_decay instead" },
    { "threshold", PITOT_REAL, 1, offsetof(radam_options, threshold), "4", 4, 1e6, NULL, "",
      "rho above which steps are adaptive; 5: as PyTorch and the authors' code" },
    { 0 },
};

static const char *const slots[] = { "exp_avg", "exp_avg_sq", NULL };

/* r of the head, or 0 before the step is adaptive. */
static double rectification(const radam_options *o, int64_t t) {
    double b2 = o->betas[1], power = pow(b2, (double)t), end = 2 / (1 - b2) - 1, rho = end - 2 * (double)t * power / (1 - power);
    return rho > o->threshold ? sqrt((rho - 4) * (rho - 2) * end / ((end - 4) * (end - 2) * rho)) : 0;
}

PITOT_HOT static void update(const pitot_update *u) {
    const radam_options *o = u->options;
    double r = rectification(o, u->t), plain = o->lr / (1 - pow(o->betas[0], (double)u->t));
    pitot_real b1 = (pitot_real)o->betas[0], b2 = (pitot_real)o->betas[1], c1 = (pitot_real)(1 - o->betas[0]),
               c2 = (pitot_real)(1 - o->betas[1]), eps = (pitot_real)o->eps,
               keep = (pitot_real)(o->decoupled ? 1 - o->lr * o->weight_decay : 1),
               add = (pitot_real)(o->decoupled ? 0 : o->weight_decay);
    pitot_real step = (pitot_real)(r > 0 ? plain * r * sqrt(1 - pow(o->betas[1], (double)u->t)) : plain);
    pitot_real *restrict x = u->x, *restrict m = u->state[0], *restrict v = u->state[1];
    const pitot_real *restrict g = u->g;
    if (r > 0) {
        for (span k = spans_of(u); spans_next(u, &k);)
            for (int64_t i = k.begin; i < k.end; i++) {
                pitot_real gi = g[i] + add * x[i];
                m[i] = b1 * m[i] + c1 * gi;
                v[i] = b2 * v[i] + c2 * gi * gi;
                x[i] = keep * x[i] - quotient(step * m[i], REAL(sqrt)(v[i]) + eps);
            }
        return;
    }
    for (span k = spans_of(u); spans_next(u, &k);)
        for (int64_t i = k.begin; i < k.end; i++) {
            pitot_real gi = g[i] + add * x[i];
            m[i] = b1 * m[i] + c1 * gi;
            v[i] = b2 * v[i] + c2 * gi * gi;
            x[i] = keep * x[i] - step * m[i];
        }
}

/* P = (sqrt(v) + eps) / sqrt(1-beta2^t), once steps are adaptive. */
static int32_t view(const pitot_stepping *s, int64_t i, int32_t k, pitot_preconditioner *view) {
    const radam_options *o = s->options;
    double corrected = 1 - pow(o->betas[1], (double)s->tensor[i].t);
    if (!(rectification(o, s->tensor[i].t) > 0)) return PITOT_EORDER;
    return diagonal_view(&s->tensor[i], k, s->tensor[i].state[1], -0.5, 1 / corrected, o->eps / sqrt(corrected), view);
}

const pitot_optimizer pitot_optimizer_radam = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .name = "radam",
    .summary = "Adam, its step rectified by the variance of the denominator; without it at first",
    .paper = "Liu et al. 2019, arXiv 1908.03265, algorithm 2",
    .formula = "m, v as Adam; rho_t = rho_inf - 2 t b2^t/(1-b2^t); x -= lr r m/(1-b1^t) sqrt(1-b2^t)/(sqrt(v)+eps) if rho_t > "
               "threshold, else "
               "lr m/(1-b1^t)",
    .memory = "2 D values",
    .cost = "one pass over D",
    .options_size = sizeof(radam_options),
    .options = table,
    .slots = slots,
    .update = update,
    .careful = 1,
    .view = view,
};
