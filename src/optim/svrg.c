/* svrg.c: stochastic variance-reduced gradient (Johnson, Zhang 2013, NIPS 26, procedure SVRG, option I): the noise that a batch's gradient has at old
   parameters y is taken from the one that it has at x,

       x -= lr (g(x) - g(y) + G(y)),   G the gradient of the whole data set

   y is set to x, and G made, at first and whenever steps have seen the data `epochs` times since; where the loop
   does not say how many samples there are (pitot_optim_plan_data), every `every` steps. In a step that does
   so g(x) - g(y) is 0. A data set of which a step sees all makes it gradient descent. */

#include "optim/core/flat.h"
#include "pitot/hot.h"

#include <string.h>

typedef struct svrg_options {
    double lr, epochs;
    int64_t every;
} svrg_options;

static const pitot_option table[] = {
    { "lr", PITOT_REAL, 1, offsetof(svrg_options, lr), "0.1", 0, 1e6, NULL, "",
      "learning rate; the same all the way in the paper" },
    { "epochs", PITOT_REAL, 1, offsetof(svrg_options, epochs), "2", 0, 1e9, NULL, "",
      "passes over the data between two settings of y; the paper: 2, and 5 for nets; 0: steps are counted" },
    { "every", PITOT_INT, 1, offsetof(svrg_options, every), "100", 1, 1e9, NULL, "steps",
      "the same in steps, where epochs is 0 or the loop does not say how many samples there are" },
    { 0 },
};

enum { Y, MEAN, SINCE = 0 /* of the run: samples, or steps, since y was set; -1: it never was */ };
enum { X, G, N_VECTORS }; /* scratch, (D) each */

static uint32_t wants(const void *options) {
    return ((const svrg_options *)options)->epochs > 0 ? PITOT_WANTS_BATCH : 0;
}

static int32_t layout(pitot_layout *l, pitot_error *error) {
    (void)error;
    if (l->i >= 0) {
        pitot_slot_like(l, "snapshot", l->i, 1);
        pitot_slot_like(l, "mean_gradient", l->i, 1);
        return PITOT_OK;
    }
    pitot_slot_add(l, "since", PITOT_F64, 0, NULL);
    l->scratch = N_VECTORS * l->parameters * (int64_t)sizeof(pitot_real);
    return PITOT_OK;
}

static void begin(pitot_stepping *s) {
    *(double *)s->run[SINCE] = -1;
}

static int counts_samples(const pitot_stepping *s) {
    return ((const svrg_options *)s->options)->epochs > 0 && s->data_samples > 0;
}

static int is_due(const pitot_stepping *s) {
    const svrg_options *o = s->options;
    double since = *(const double *)s->run[SINCE],
           most = counts_samples(s) ? o->epochs * (double)s->data_samples : (double)o->every;
    return since < 0 || since >= most;
}

/* y = x, G, and the step along it. */
static int32_t renew(pitot_stepping *s) {
    double loss, lr = ((const svrg_options *)s->options)->lr;
    int32_t status = pitot_data_gradient(s, &loss);
    for (int64_t i = 0; i < s->n && !status; i++) {
        const pitot_tensor_state *t = &s->tensor[i];
        memcpy(t->state[Y], t->x, (size_t)t->size * sizeof *t->x);
        if (!t->g) continue;
        memcpy(t->state[MEAN], t->g, (size_t)t->size * sizeof *t->g);
        flat_add(t->x, -lr, t->g, t->size);
    }
    return status;
}

PITOT_HOT static void go(pitot_real *restrict x, pitot_real lr, const pitot_real *restrict g, const pitot_real *restrict old,
                         const pitot_real *restrict mean, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] -= lr * (g[i] - old[i] + mean[i]);
}

static int32_t reduced_step(pitot_stepping *s) {
    const svrg_options *o = s->options;
    pitot_real *x = (pitot_real *)s->scratch + X * s->parameters, *g = x + G * s->parameters;
    double loss;
    flat_parameters(s, x);
    flat_gradient(s, g);
    for (int64_t i = 0; i < s->n; i++) memcpy(s->tensor[i].x, s->tensor[i].state[Y], (size_t)s->tensor[i].size * sizeof *x);
    int32_t status = pitot_gradient(s, &loss);
    flat_move(s, x, 0, NULL);
    for (int64_t i = 0; i < s->n && !status; i++) {
        const pitot_tensor_state *t = &s->tensor[i];
        if (t->g) go(t->x, (pitot_real)o->lr, g + t->at, t->g, t->state[MEAN], t->size);
    }
    return status;
}

static int32_t step(pitot_stepping *s) {
    double *since = s->run[SINCE], loss;
    int64_t samples = 1, columns;
    int due = is_due(s);
    int32_t status = counts_samples(s) ? s->source->batch(s->source->user, &samples, &columns, &loss) : PITOT_OK;
    if (!status) status = due ? renew(s) : reduced_step(s);
    if (!status) *since = (due ? 0 : *since) + (double)samples;
    return status;
}

const pitot_optimizer pitot_optimizer_svrg = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .needs = PITOT_WANTS_GRADIENT | PITOT_WANTS_DATA,
    .name = "svrg",
    .summary = "gradient descent on batches, their noise at old parameters taken away",
    .paper = "Johnson, Zhang 2013, Accelerating stochastic gradient descent using predictive variance reduction, NIPS 26",
    .formula = "x -= lr (g(x) - g(y) + G(y)); y = x, and G(y) the gradient of all data, every 2 epochs",
    .memory = "2 D values; 2 D of work space",
    .cost = "another forward and backward pass; one over the data every 2 epochs",
    .options_size = sizeof(svrg_options),
    .options = table,
    .wants = wants,
    .layout = layout,
    .begin = begin,
    .step = step,
};
