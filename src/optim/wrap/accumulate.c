/* accumulate.c: the gradients of `every` steps averaged, and then one step of what is inside; the steps between leave it alone. A tensor
   without a gradient in some of them counts as zero there, as in PyTorch; without one in all of them it is left out. What asks for curvature
   itself (second-order methods) sees the last batch alone there. */

#include "pitot/hot.h"
#include "pitot/optim.h"

#include <string.h>

typedef struct accumulate_options {
    int64_t every;
} accumulate_options;

static const pitot_option table[] = {
    { "every", PITOT_INT, 1, offsetof(accumulate_options, every), "4", 1, 1e9, NULL, "steps", "gradients in a mean" },
    { 0 },
};

static int32_t layout(pitot_layout *l, pitot_error *error) {
    (void)error;
    if (l->i < 0) l->scratch = l->parameters * (int64_t)sizeof(pitot_real);
    if (l->i < 0) return PITOT_OK;
    pitot_slot_like(l, "sum", l->i, 1);
    pitot_slot_add(l, "seen", PITOT_F64, 0, NULL); /* 1: there was a gradient since the last step */
    return PITOT_OK;
}

PITOT_HOT static void add(pitot_real *restrict sum, const pitot_real *restrict g, pitot_real by, int64_t n) {
    for (int64_t i = 0; i < n; i++) sum[i] += by * g[i];
}

PITOT_HOT static void finish(const pitot_real *restrict sum, const pitot_real *restrict g, pitot_real by, int64_t n,
                             pitot_real *restrict out) {
    for (int64_t i = 0; i < n; i++) out[i] = sum[i] + by * g[i];
}

static void collect(pitot_tensor_state *t, pitot_real by) {
    double *seen = t->state[1];
    if (!t->g) return;
    add(t->state[0], t->g, by, t->size);
    *seen = 1;
}

static void mean(pitot_tensor_state *t, pitot_real by, pitot_real *out) {
    const double *seen = t->state[1];
    if (t->g) {
        finish(t->state[0], t->g, by, t->size, out);
        t->g = out;
    } else if (*seen > 0) t->g = t->state[0];
}

/* Sums of shares: the mean of finite gradients is finite. They stay until the step inside has been made: one that fails is made again with
   the next gradient. */
static int32_t step(pitot_stepping *s) {
    const accumulate_options *o = s->options;
    pitot_real by = (pitot_real)(1 / (double)o->every);
    if (s->t % o->every) {
        for (int64_t i = 0; i < s->n; i++) collect(&s->tensor[i], by);
        return PITOT_OK;
    }
    for (int64_t i = 0; i < s->n; i++) mean(&s->tensor[i], by, (pitot_real *)s->scratch + s->tensor[i].at);
    int32_t status = pitot_inner(s);
    for (int64_t i = 0; i < s->n && !status; i++) {
        const pitot_tensor_state *t = &s->tensor[i];
        memset(t->state[0], 0, (size_t)t->size * sizeof(pitot_real));
        memset(t->state[1], 0, sizeof(double));
    }
    return status;
}

static int64_t inner_steps(const void *options, int64_t steps) {
    return steps / ((const accumulate_options *)options)->every;
}

const pitot_optimizer pitot_wrapper_accumulate = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .name = "accumulate",
    .summary = "one step with the mean of several steps' gradients",
    .paper = "large batches in several passes; as in PyTorch, with the mean",
    .formula = "every `every` steps: g = (g_1 + ... + g_every) / every; layers and curvature are those of the last",
    .memory = "D values; D of work space",
    .cost = "one pass over D",
    .options_size = sizeof(accumulate_options),
    .options = table,
    .layout = layout,
    .step = step,
    .changes = 1,
    .inner_steps = inner_steps,
};
