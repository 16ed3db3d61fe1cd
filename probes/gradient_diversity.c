/* gradient_diversity.c: how different the samples' gradients are (Yin et al. 2018, "Gradient diversity: a key ingredient for scalable
   distributed learning"): 1/N where all are the same, 1 where they are orthogonal, above 1 where they oppose each other. Batches larger
   than the diversity times the number of samples that it was measured on bring no more speed. The inverse of m_coherence. */

#include "pitot/probe.h"

#include <math.h>

static const pitot_output outputs[] = {
    { "", PITOT_SCALAR, PITOT_LOG_AXIS, "", "diversity of the samples' gradients", NULL },
    { 0 },
};

static int32_t backward(const pitot_frame *f) {
    const pitot_samples *m = f->samples;
    double n = (double)m->n, sum = 0;
    for (int64_t i = 0; i < m->listed; i++) sum += m->square[i];
    if (!isfinite(sum) || !isfinite(m->mean_square)) return pitot_undefined(f, "a gradient is not finite"), PITOT_OK;
    if (m->mean_square == 0) return pitot_undefined(f, "the gradient is zero"), PITOT_OK;
    pitot_emit(f, "", sum / (n * n * m->mean_square));
    return PITOT_OK;
}

const pitot_probe pitot_probe_gradient_diversity = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_SAMPLES,
    .presets = 0,
    .spans = 1,
    .name = "gradient_diversity",
    .summary = "diversity of the samples' gradients: 1/N if all are the same, 1 if they are orthogonal",
    .paper = "Yin, Pananjady, Lam, Papailiopoulos, Ramchandran, Bartlett 2018, arXiv 1706.05699",
    .formula = "sum |g_n|^2 / |sum g_n|^2",
    .outputs = outputs,
    .backward = backward,
};
