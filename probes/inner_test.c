/* inner_test.c: do the samples agree on the slope along the gradient? (Bollapragada, Byrd, Nocedal 2017, "Adaptive sampling strategies for
   stochastic optimization".) The half-width, in lengths of the gradient, of the band in which the true gradient's share along the
   mini-batch's is to be expected. 0.9 is the usual threshold for a larger batch. */

#include "pitot/probe.h"

#include <math.h>

static const pitot_output outputs[] = {
    { "", PITOT_SCALAR, PITOT_LOG_AXIS, "", "inner-product test, half-width of the band along the gradient", NULL },
    { 0 },
};

static int32_t backward(const pitot_frame *f) {
    const pitot_samples *m = f->samples;
    double n = (double)m->n, all = 0;
    if (!m->along) return pitot_undefined(f, "the step came in several micro-batches"), PITOT_OK;
    if (m->n < 2) return pitot_undefined(f, "one sample has no variance"), PITOT_OK;
    if (m->mean_square == 0) return pitot_undefined(f, "the gradient is 0"), PITOT_OK;
    for (int64_t i = 0; i < m->listed; i++) {
        double off = pitot_sample_counts(m, i) ? m->along[i] / m->mean_square - 1 : 0;
        all += off * off;
    }
    pitot_emit(f, "", sqrt(all / (n * (n - 1))));
    return PITOT_OK;
}

const pitot_probe pitot_probe_inner_test = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_SAMPLES,
    .presets = PITOT_ECONOMY | PITOT_BUSINESS | PITOT_FULL,
    .spans = 1,
    .name = "inner_test",
    .summary = "inner-product test: spread of the samples' slopes along the gradient",
    .paper = "Bollapragada, Byrd, Nocedal 2017, arXiv 1710.11258",
    .formula = "sqrt(sum_n (g_n'g/|g|^2 - 1)^2 / (N (N-1)))",
    .outputs = outputs,
    .backward = backward,
};
