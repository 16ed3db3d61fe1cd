/* clip_value.c: every value of the gradient brought into [-max, max], as PyTorch's clip_grad_value_. */

#include "pitot/hot.h"
#include "pitot/optim.h"

typedef struct clip_value_options {
    double max;
} clip_value_options;

static const pitot_option table[] = {
    { "max", PITOT_REAL, 1, offsetof(clip_value_options, max), "1", PITOT_ABOVE_ZERO, 1e12, NULL, "", "largest magnitude" },
    { 0 },
};

static int32_t layout(pitot_layout *l, pitot_error *error) {
    (void)error;
    if (l->i < 0) l->scratch = l->parameters * (int64_t)sizeof(pitot_real);
    return PITOT_OK;
}

PITOT_HOT static void clamp(const pitot_real *restrict g, pitot_real max, int64_t n, pitot_real *restrict out) {
    for (int64_t i = 0; i < n; i++) {
        pitot_real low = g[i] > max ? max : g[i];
        out[i] = low < -max ? -max : low;
    }
}

static int32_t step(pitot_stepping *s) {
    const clip_value_options *o = s->options;
    for (int64_t i = 0; i < s->n; i++) {
        pitot_tensor_state *t = &s->tensor[i];
        pitot_real *clipped = (pitot_real *)s->scratch + t->at;
        if (!t->g) continue;
        clamp(t->g, (pitot_real)o->max, t->size, clipped);
        t->g = clipped;
    }
    return pitot_inner(s);
}

const pitot_optimizer pitot_wrapper_clip_value = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .name = "clip_value",
    .summary = "brings every value of the gradient into a range",
    .paper = "PyTorch, clip_grad_value_",
    .formula = "g = min(max(g, -max), max), value by value",
    .memory = "D values of work space",
    .cost = "one pass over D",
    .options_size = sizeof(clip_value_options),
    .options = table,
    .layout = layout,
    .step = step,
    .changes = 1,
};
