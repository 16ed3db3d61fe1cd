/* sgd.c: gradient descent with momentum (Polyak 1964; Nesterov 1983 as in Sutskever et al. 2013), as in PyTorch: the buffer starts as
   the first gradient, undamped, and the learning rate multiplies the buffer when it is used. */

#include "optim/core/spans.h"
#include "pitot/hot.h"
#include "pitot/optim.h"

typedef struct sgd_options {
    double lr, momentum, dampening, weight_decay;
    int64_t nesterov;
} sgd_options;

static const pitot_option table[] = {
    { "lr", PITOT_REAL, 1, offsetof(sgd_options, lr), "0.001", 0, 1e6, NULL, "",
      "learning rate; 0.001 is PyTorch's, 0.01 to 0.1 is usual" },
    { "momentum", PITOT_REAL, 1, offsetof(sgd_options, momentum), "0", 0, 1e6, NULL, "", "share of the buffer that stays" },
    { "dampening", PITOT_REAL, 1, offsetof(sgd_options, dampening), "0", -1e6, 1e6, NULL, "",
      "share of the gradient kept out of the buffer" },
    { "weight_decay", PITOT_REAL, 1, offsetof(sgd_options, weight_decay), "0", 0, 1e6, NULL, "",
      "L2: times x is added to the gradient" },
    { "nesterov", PITOT_BOOL, 1, offsetof(sgd_options, nesterov), "false", 0, 0, NULL, "",
      "step from where momentum leads; needs momentum > 0, dampening 0" },
    { 0 },
};

static const char *const slots[] = { "momentum_buffer", NULL };

static int32_t check(const void *options, pitot_error *error) {
    const sgd_options *o = options;
    if (o->nesterov && (o->momentum <= 0 || o->dampening != 0))
        return pitot_fail(error, PITOT_EINVAL, "optimizer sgd: nesterov needs momentum > 0 and dampening 0; set momentum=0.9, say");
    return PITOT_OK;
}

static uint32_t uses(const void *options) {
    return ((const sgd_options *)options)->momentum != 0;
}

static int32_t plain(const void *options) {
    const sgd_options *o = options;
    return o->momentum == 0 && o->weight_decay == 0;
}

PITOT_HOT static void update(const pitot_update *u) {
    const sgd_options *o = u->options;
    pitot_real lr = (pitot_real)o->lr, wd = (pitot_real)o->weight_decay, mu = (pitot_real)o->momentum,
               add = (pitot_real)(1 - o->dampening);
    pitot_real *restrict x = u->x, *restrict buffer = u->state[0];
    const pitot_real *restrict g = u->g;
    if (!buffer) {
        for (span r = spans_of(u); spans_next(u, &r);)
            for (int64_t i = r.begin; i < r.end; i++) x[i] -= lr * (g[i] + wd * x[i]);
        return;
    }
    pitot_real stays = u->t == 1 ? 0 : mu, comes = u->t == 1 ? 1 : add, ahead = o->nesterov ? mu : 1, own = o->nesterov ? 1 : 0;
    for (span r = spans_of(u); spans_next(u, &r);)
        for (int64_t i = r.begin; i < r.end; i++) {
            pitot_real gi = g[i] + wd * x[i];
            buffer[i] = stays * buffer[i] + comes * gi;
            x[i] -= lr * (own * gi + ahead * buffer[i]);
        }
}

const pitot_optimizer pitot_optimizer_sgd = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .name = "sgd",
    .summary = "gradient descent, with momentum, dampening, Nesterov's look-ahead and L2 decay",
    .paper = "Robbins, Monro 1951; Polyak 1964; Sutskever et al. 2013",
    .formula = "g += wd x; b = momentum b + (1-dampening) g (b = g at first); x -= lr b, or lr (g + momentum b) with nesterov",
    .memory = "none; D values with momentum",
    .cost = "one pass over D",
    .options_size = sizeof(sgd_options),
    .options = table,
    .slots = slots,
    .check = check,
    .uses = uses,
    .update = update,
    .careful = 1,
    .plain = plain,
};
