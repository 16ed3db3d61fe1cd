/* tic_trace.c: Takeuchi information criterion from traces (Thomas et al. 2020): mean squared length of the samples' gradients over the trace of
   the curvature. Steadier than the one from diagonals, and coarser. */

#include "pitot/probe.h"

typedef struct options {
    int64_t curvature, draws;
    double epsilon;
} options;

static const pitot_option table[] = {
    PITOT_CURVATURE_OPTIONS(options),
    { "epsilon", PITOT_REAL, 1, offsetof(options, epsilon), "1e-7", 0, 1e30, NULL, "", "added to the trace" },
    { 0 },
};

static const pitot_output outputs[] = {
    { "", PITOT_SCALAR, PITOT_SYMLOG_AXIS, "", "Takeuchi information criterion, from traces", NULL },
    { 0 },
};

static int32_t backward(const pitot_frame *f) {
    const options *o = f->options;
    pitot_curvature c;
    double squares = 0;
    int32_t status = pitot_diagonal(f, (int32_t)o->curvature, o->draws, &c);
    if (status) return status;
    for (int64_t i = 0; i < f->samples->listed; i++) squares += f->samples->square[i];
    pitot_emit(f, "", squares / (double)f->samples->n / (pitot_sum(c.values, f->size) + o->epsilon));
    return PITOT_OK;
}

const pitot_probe pitot_probe_tic_trace = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_GRADS | PITOT_NEED_SAMPLES | PITOT_NEED_DIAGONAL,
    .presets = 0,
    .spans = 1,
    .name = "tic_trace",
    .summary = "Takeuchi information criterion from traces",
    .paper = "Thomas et al. 2020, arXiv 1906.07774",
    .formula = "mean_n |g_n|^2 / (sum_j C_jj + epsilon)",
    .options_size = sizeof(options),
    .options = table,
    .outputs = outputs,
    .backward = backward,
};
