/* clip_norm.c: the gradient of all tensors together, shortened to a length (Pascanu, Mikolov, Bengio 2013, arXiv 1211.5063), as PyTorch's
   clip_grad_norm_: times min(1, max / (|g| + 1e-6)). */

#include "pitot/optim.h"
#include "pitot/probe.h"

#include <math.h>

typedef struct clip_norm_options {
    double max;
} clip_norm_options;

static const pitot_option table[] = {
    { "max", PITOT_REAL, 1, offsetof(clip_norm_options, max), "1", PITOT_ABOVE_ZERO, 1e12, NULL, "", "longest gradient" },
    { 0 },
};

static int32_t layout(pitot_layout *l, pitot_error *error) {
    (void)error;
    if (l->i < 0) l->scratch = l->parameters * (int64_t)sizeof(pitot_real);
    return PITOT_OK;
}

static int32_t step(pitot_stepping *s) {
    const clip_norm_options *o = s->options;
    double square = 0;
    for (int64_t i = 0; i < s->n; i++)
        if (s->tensor[i].g) square += pitot_sum_squares(s->tensor[i].g, s->tensor[i].size);
    double by = o->max / (sqrt(square) + 1e-6);
    for (int64_t i = 0; i < s->n && by < 1; i++) {
        pitot_tensor_state *t = &s->tensor[i];
        pitot_real *clipped = (pitot_real *)s->scratch + t->at;
        for (int64_t k = 0; t->g && k < t->size; k++) clipped[k] = (pitot_real)(by * (double)t->g[k]);
        if (t->g) t->g = clipped;
    }
    return pitot_inner(s);
}

const pitot_optimizer pitot_wrapper_clip_norm = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .name = "clip_norm",
    .summary = "shortens the gradient of all tensors together to a length",
    .paper = "Pascanu, Mikolov, Bengio 2013, arXiv 1211.5063",
    .formula = "g *= min(1, max / (|g| + 1e-6)), |g| over all tensors",
    .memory = "D values of work space",
    .cost = "two passes over D",
    .options_size = sizeof(clip_norm_options),
    .options = table,
    .layout = layout,
    .step = step,
    .changes = 1,
};
