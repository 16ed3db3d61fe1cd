/* ortho_test.c: how much of the samples' gradients is at right angles to their mean? (Bollapragada, Byrd, Nocedal 2017.) With the other two,
   norm_test^2 = inner_test^2 + ortho_test^2. tan 80 degrees, 5.84, is the usual threshold. */

#include "pitot/probe.h"

#include <math.h>

static const pitot_output outputs[] = {
    { "", PITOT_SCALAR, PITOT_LOG_AXIS, "", "orthogonality test, half-width of the band across the gradient", NULL },
    { 0 },
};

/* |g_n|^2 - (g_n'g)^2/|g|^2 = |g_n - g|^2 - (g_n'g/|g|^2 - 1)^2 |g|^2, which does not cancel where samples agree. */
static int32_t backward(const pitot_frame *f) {
    const pitot_samples *m = f->samples;
    double n = (double)m->n, all = 0;
    if (!m->along) return pitot_undefined(f, "the step came in several micro-batches"), PITOT_OK;
    if (m->n < 2) return pitot_undefined(f, "one sample has no variance"), PITOT_OK;
    if (m->mean_square == 0) return pitot_undefined(f, "the gradient is 0"), PITOT_OK;
    for (int64_t i = 0; i < m->listed; i++) {
        if (!pitot_sample_counts(m, i)) continue;
        double off = m->along[i] / m->mean_square - 1, across = m->deviation[i] / m->mean_square - off * off;
        all += across < 0 ? 0 : across;
    }
    pitot_emit(f, "", sqrt(all / (n * (n - 1))));
    return PITOT_OK;
}

const pitot_probe pitot_probe_ortho_test = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_SAMPLES,
    .presets = PITOT_ECONOMY | PITOT_BUSINESS | PITOT_FULL,
    .spans = 1,
    .name = "ortho_test",
    .summary = "orthogonality test: spread of the samples' gradients across their mean",
    .paper = "Bollapragada, Byrd, Nocedal 2017, arXiv 1710.11258",
    .formula = "sqrt(sum_n (|g_n|^2/|g|^2 - (g_n'g)^2/|g|^4) / (N (N-1)))",
    .outputs = outputs,
    .backward = backward,
};
