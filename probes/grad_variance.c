/* grad_variance.c: variance of the samples' gradients, value by value. */

#include "pitot/probe.h"

#include <string.h>

static const pitot_output outputs[] = {
    { "", PITOT_TENSORS, PITOT_LOG_AXIS, "", "variance of the gradient over samples", NULL },
    { 0 },
};

static void moments(const pitot_frame *f, const pitot_moments *m, double *sums) {
    (void)f;
    memcpy(m->state + m->begin, m->variance, (size_t)(m->end - m->begin) * sizeof *m->variance);
    sums[0] += 1;
}

static int32_t backward(const pitot_frame *f) {
    for (int64_t i = 0; i < f->n_tensors; i++)
        if (f->sums[i] > 0) pitot_emit_values(f, "", i, f->tensor[i].state);
    return PITOT_OK;
}

const pitot_probe pitot_probe_grad_variance = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_MOMENTS,
    .presets = PITOT_ON_REQUEST,
    .spans = 1,
    .name = "grad_variance",
    .summary = "biased variance over samples of each value's gradient",
    .paper = "Dangel, Kunstner, Hennig 2020, arXiv 1912.10985 (there of gradients divided by N)",
    .formula = "mean_n (g_n - g)^2",
    .tensor_state = 1,
    .n_sums = 1,
    .outputs = outputs,
    .backward = backward,
    .moments = moments,
};
