/* sum_grad_squared.c: second moment of the samples' gradients, value by value. */

#include "pitot/probe.h"

static const pitot_output outputs[] = {
    { "", PITOT_TENSORS, PITOT_LOG_AXIS, "", "sum over samples of the squared gradient", NULL },
    { 0 },
};

PITOT_HOT static void moments(const pitot_frame *f, const pitot_moments *m, double *sums) {
    pitot_real n = (pitot_real)m->n;
    (void)f;
    for (int64_t i = 0; i < m->end - m->begin; i++) m->state[m->begin + i] = n * (m->variance[i] + m->mean[i] * m->mean[i]);
    sums[0] += 1;
}

static int32_t backward(const pitot_frame *f) {
    for (int64_t i = 0; i < f->n_tensors; i++)
        if (f->sums[i] > 0) pitot_emit_values(f, "", i, f->tensor[i].state);
    return PITOT_OK;
}

const pitot_probe pitot_probe_sum_grad_squared = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_MOMENTS,
    .presets = PITOT_ON_REQUEST,
    .spans = 1,
    .name = "sum_grad_squared",
    .summary = "sum over samples of each value's squared gradient",
    .paper = "Dangel, Kunstner, Hennig 2020, arXiv 1912.10985 (there of gradients divided by N)",
    .formula = "sum_n g_n^2",
    .tensor_state = 1,
    .n_sums = 1,
    .outputs = outputs,
    .backward = backward,
    .moments = moments,
};
