/* clip_samples.c: every sample's own gradient shortened to a length before they are averaged (Abadi et al. 2016, arXiv 1607.00133, without
   noise): mean_n g_n min(1, max / |g_n|). */

#include "optim/core/optimizer.h"

typedef struct clip_samples_options {
    double max;
    int64_t most;
} clip_samples_options;

static const pitot_option table[] = {
    { "max", PITOT_REAL, 1, offsetof(clip_samples_options, max), "1", PITOT_ABOVE_ZERO, 1e12, NULL, "",
      "longest gradient of a sample" },
    { "most", PITOT_INT, 1, offsetof(clip_samples_options, most), "65536", 1, 1e9, NULL, "samples",
      "largest batch there is work space for, 8 bytes each; a step on a larger one ends with \"would exceed the byte budget\": "
      "raise it" },
    { 0 },
};

static int32_t layout(pitot_layout *l, pitot_error *error) {
    const clip_samples_options *o = l->options;
    (void)error;
    if (l->i < 0) l->scratch = l->parameters * (int64_t)sizeof(pitot_real) + (o->most + 8) * (int64_t)sizeof(double);
    return PITOT_OK;
}

static int32_t step(pitot_stepping *s) {
    const clip_samples_options *o = s->options;
    const pitot_optim_source *from = s->source;
    double *norm = s->scratch, loss;
    pitot_real *g = (pitot_real *)(norm + (o->most + 7) / 8 * 8);
    int64_t n, columns;
    int32_t status = from->batch(from->user, &n, &columns, &loss);
    if (!status && n > o->most) status = PITOT_EBUDGET;
    if (!status) status = from->norms(from->user, norm);
    for (int64_t k = 0; k < n && !status; k++) norm[k] = norm[k] > o->max ? o->max / norm[k] : 1;
    if (!status) status = from->weigh(from->user, norm, g);
    if (!status && !finite_values(g, s->parameters)) status = PITOT_EHOST;
    if (status) return status;
    for (int64_t i = 0; i < s->n; i++)
        if (s->tensor[i].g) s->tensor[i].g = g + s->tensor[i].at;
    return pitot_inner(s);
}

const pitot_optimizer pitot_wrapper_clip_samples = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .needs = PITOT_WANTS_SAMPLES,
    .name = "clip_samples",
    .summary = "shortens every sample's own gradient to a length",
    .paper = "Abadi et al. 2016, arXiv 1607.00133, algorithm 1 without noise",
    .formula = "g = mean_n g_n min(1, max / |g_n|)",
    .memory = "D values and a number a sample of work space",
    .cost = "norms from the layers; another backward pass",
    .options_size = sizeof(clip_samples_options),
    .options = table,
    .layout = layout,
    .step = step,
    .changes = 1,
};
