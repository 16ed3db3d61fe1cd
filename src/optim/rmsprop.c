/* rmsprop.c: Tieleman, Hinton 2012 (lecture 6.5); centered: Graves 2013 (arXiv 1308.0850), equations 38 to 45. As in PyTorch: eps after
   the root, averages from 0, the learning rate multiplies the momentum buffer when it is used. As in TensorFlow: eps in the root, the average of
   squares from 1, the learning rate of each step goes into the buffer. */

#include "net/real.h"
#include "optim/core/moment.h"
#include "optim/core/quotient.h"
#include "optim/core/spans.h"
#include "pitot/hot.h"
#include "pitot/optim.h"

typedef struct rmsprop_options {
    double lr, alpha, eps, weight_decay, momentum;
    int64_t centered, form;
} rmsprop_options;

enum { TORCH, TF }; /* form */

static const pitot_option table[] = {
    { "lr", PITOT_REAL, 1, offsetof(rmsprop_options, lr), "0.01", 0, 1e6, NULL, "",
      "learning rate; 0.01 is PyTorch's: first steps are 1/sqrt(1-alpha), ten times, as long, which many nets do not bear; 0.001 "
      "is usual" },
    { "alpha", PITOT_REAL, 1, offsetof(rmsprop_options, alpha), "0.99", 0, PITOT_BELOW_ONE, NULL, "",
      "decay of the average of squared gradients" },
    { "eps", PITOT_REAL, 1, offsetof(rmsprop_options, eps), "1e-8", 0, 1e6, NULL, "", "added to the root in the denominator" },
    { "weight_decay", PITOT_REAL, 1, offsetof(rmsprop_options, weight_decay), "0", 0, 1e6, NULL, "",
      "L2: times x is added to the gradient" },
    { "momentum", PITOT_REAL, 1, offsetof(rmsprop_options, momentum), "0", 0, 1e6, NULL, "", "share of the buffer that stays" },
    { "centered", PITOT_BOOL, 1, offsetof(rmsprop_options, centered), "false", 0, 0, NULL, "",
      "divide by the root of the variance, the square of the average gradient taken off" },
    { "form", PITOT_CHOICE, 1, offsetof(rmsprop_options, form), "torch", 0, 0, "torch|tf", "",
      "tf: eps is added in the root, the average of squares begins at 1, steps enter the buffer times their learning rate" },
    { 0 },
};

static const char *const slots[] = { "square_avg", "grad_avg", "momentum_buffer", NULL };

static uint32_t uses(const void *options) {
    const rmsprop_options *o = options;
    return 1u | (o->centered ? 2u : 0) | (o->momentum > 0 ? 4u : 0);
}

static void begin(pitot_stepping *s) {
    for (int64_t i = 0; i < s->n && ((const rmsprop_options *)s->options)->form == TF; i++)
        for (int64_t k = 0; k < s->tensor[i].size; k++) ((pitot_real *)s->tensor[i].state[0])[k] = 1;
}

/* One loop for each of eight: `centered`, `momentum` and `tf` are constants where it is called. Round-off may leave a variance below 0. */
static inline __attribute__((always_inline)) void run(const pitot_update *u, int centered, int momentum, int tf) {
    const rmsprop_options *o = u->options;
    pitot_real lr = (pitot_real)o->lr, a = (pitot_real)o->alpha, c = (pitot_real)(1 - o->alpha), eps = (pitot_real)o->eps,
               wd = (pitot_real)o->weight_decay, mu = (pitot_real)o->momentum;
    pitot_real *restrict x = u->x, *restrict square = u->state[0], *restrict mean = u->state[1], *restrict buffer = u->state[2];
    const pitot_real *restrict g = u->g;
    for (span r = spans_of(u); spans_next(u, &r);)
        for (int64_t i = r.begin; i < r.end; i++) {
            pitot_real gi = g[i] + wd * x[i], v = a * square[i] + c * gi * gi;
            square[i] = v;
            if (centered) {
                pitot_real m = a * mean[i] + c * gi;
                mean[i] = m;
                v -= m * m;
                v = v > 0 ? v : 0;
            }
            pitot_real step = tf ? lr * quotient(gi, REAL(sqrt)(v + eps)) : quotient(gi, REAL(sqrt)(v) + eps);
            if (momentum) step = buffer[i] = mu * buffer[i] + step;
            x[i] -= tf ? step : lr * step;
        }
}

static inline __attribute__((always_inline)) void run_form(const pitot_update *u, int tf) {
    if (u->state[1] && u->state[2]) run(u, 1, 1, tf);
    else if (u->state[1]) run(u, 1, 0, tf);
    else if (u->state[2]) run(u, 0, 1, tf);
    else run(u, 0, 0, tf);
}

PITOT_HOT static void update(const pitot_update *u) {
    if (((const rmsprop_options *)u->options)->form == TF) run_form(u, 1);
    else run_form(u, 0);
}

/* P = sqrt(square_avg) + eps, or sqrt(square_avg + eps); the variance of `centered` stands nowhere. */
static int32_t view(const pitot_stepping *s, int64_t i, int32_t k, pitot_preconditioner *view) {
    const rmsprop_options *o = s->options;
    if (o->centered) return PITOT_ENOTSUP;
    int32_t status = diagonal_view(&s->tensor[i], k, s->tensor[i].state[0], -0.5, 1, o->form == TF ? 0 : o->eps, view);
    if (!status && o->form == TF) view->damping = o->eps;
    return status;
}

const pitot_optimizer pitot_optimizer_rmsprop = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .name = "rmsprop",
    .summary = "divides by the root of the average squared gradient, or of the variance; with momentum",
    .paper = "Tieleman, Hinton 2012, lecture 6.5; centered: Graves 2013, arXiv 1308.0850, equations 38 to 45",
    .formula = "g += wd x; v = a v + (1-a) g^2; centered: m = a m + (1-a) g, v - m^2 for v; b = momentum b + g / (sqrt(v) + eps); "
               "x -= lr b",
    .memory = "D values; D more when centered, D more with momentum",
    .cost = "one pass over D",
    .options_size = sizeof(rmsprop_options),
    .options = table,
    .slots = slots,
    .uses = uses,
    .begin = begin,
    .update = update,
    .careful = 1,
    .view = view,
};
