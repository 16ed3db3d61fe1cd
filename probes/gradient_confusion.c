/* gradient_confusion.c: how much a step on one sample can undo another (Sankararaman et al. 2020, "The impact of neural network
   overparameterization on gradient confusion and stochastic gradient descent"): the bound eta with g_n'g_m >= -eta for all pairs. Small
   or below 0, stochastic steps hardly hinder each other; large, they converge slowly. Grows with depth, shrinks with width. Of the pair
   that sets it, the cosine says how opposed the two are whatever their lengths. */

#include "pitot/probe.h"

#include <math.h>

static const pitot_output outputs[] = {
    { "", PITOT_SCALAR, PITOT_SYMLOG_AXIS, "", "most that two samples' gradients oppose each other", NULL },
    { "cosine", PITOT_SCALAR, PITOT_LINEAR_AXIS, "", "cosine between those two", NULL },
    { "pair", PITOT_LIST, PITOT_NOT_DRAWN, "", "which two: in the data set, or in the batch if the host has not said", NULL },
    { 0 },
};

static int32_t backward(const pitot_frame *f) {
    const pitot_samples *m = f->samples;
    int64_t n = m->listed, a = -1, b = -1;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < i; j++) {
            if (!m->counts[i] || !m->counts[j]) continue;
            double k = f->gram[i * n + j];
            if (!isfinite(k)) return pitot_undefined(f, "a product of gradients is not finite"), PITOT_OK;
            if (a < 0 || k < f->gram[b * n + a]) a = j, b = i;
        }
    if (a < 0) return pitot_undefined(f, "there is no pair of samples"), PITOT_OK;
    double least = f->gram[b * n + a], lengths = sqrt(f->gram[a * n + a]) * sqrt(f->gram[b * n + b]);
    pitot_emit(f, "", 0 - least);
    if (lengths > 0) pitot_emit(f, "cosine", least / lengths);
    pitot_emit_list(f, "pair", (double[]){ (double)(m->ids ? m->ids[a] : a), (double)(m->ids ? m->ids[b] : b) }, 2);
    return PITOT_OK;
}

const pitot_probe pitot_probe_gradient_confusion = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_GRAM,
    .presets = 0,
    .spans = 1,
    .name = "gradient_confusion",
    .summary = "largest opposition between two samples' gradients, its cosine, and which two",
    .paper = "Sankararaman, De, Xu, Huang, Goldstein 2020, arXiv 1904.06963",
    .formula = "-min over n != m of g_n'g_m",
    .outputs = outputs,
    .backward = backward,
};
