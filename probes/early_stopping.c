/* early_stopping.c: is there anything left in the gradient but noise? (Mahsereci, Balles, Lassner, Hennig 2017, "Early stopping without a
   validation set".) Above 0 the mini-batch gradients are no larger than their noise would make them: the evidence says stop.
   It looks at gradients alone, so it holds for any optimizer. */

#include "pitot/probe.h"

#include <math.h>

static const pitot_band band = {
    -INFINITY, 0, -INFINITY, INFINITY,
    "mini-batch gradients are within their own noise: nothing is left to learn at this batch size; stop, "
    "or use a larger batch"
};

typedef struct options {
    double epsilon;
} options;

static const pitot_option table[] = {
    { "epsilon", PITOT_REAL, 1, offsetof(options, epsilon), "1e-5", 0, 1e30, NULL, "", "added to the variance" },
    { 0 },
};

static const pitot_output outputs[] = {
    { "", PITOT_SCALAR, PITOT_SYMLOG_AXIS, "", "early-stopping criterion; above 0: stop", &band },
    { 0 },
};

enum { RATIOS, VALUES, SUMS, LANES = 8 };

PITOT_HOT static void moments(const pitot_frame *f, const pitot_moments *m, double *sums) {
    const pitot_real epsilon = (pitot_real)((const options *)f->options)->epsilon;
    const pitot_real unbiased = m->n > 1 ? (pitot_real)((double)m->n / (double)(m->n - 1)) : 1;
    const pitot_real *mean = m->mean, *variance = m->variance;
    double lane[LANES] = { 0 };
    int64_t n = m->end - m->begin, i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] += (double)(mean[i + j] * mean[i + j] / (unbiased * variance[i + j] + epsilon));
    for (; i < n; i++) lane[0] += (double)(mean[i] * mean[i] / (unbiased * variance[i] + epsilon));
    for (int j = 0; j < LANES; j++) sums[RATIOS] += lane[j];
    sums[VALUES] += (double)n;
}

static int32_t backward(const pitot_frame *f) {
    double ratios = 0, values = 0;
    if (f->samples->n < 2) return pitot_undefined(f, "one sample has no variance"), PITOT_OK;
    for (int64_t i = 0; i < f->n_tensors; i++) {
        ratios += f->sums[i * SUMS + RATIOS];
        values += f->sums[i * SUMS + VALUES];
    }
    pitot_emit(f, "", 1 - (double)f->samples->n * ratios / values);
    return PITOT_OK;
}

const pitot_probe pitot_probe_early_stopping = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_MOMENTS,
    .presets = 0,
    .spans = 1,
    .name = "early_stopping",
    .summary = "evidence-based early stopping: above 0, gradients are nothing but noise",
    .paper = "Mahsereci, Balles, Lassner, Hennig 2017, arXiv 1703.09580",
    .formula = "1 - N mean_j g_j^2 / (sum_n (g_nj - g_j)^2 / (N-1) + epsilon)",
    .options_size = sizeof(options),
    .options = table,
    .n_sums = SUMS,
    .outputs = outputs,
    .backward = backward,
    .moments = moments,
};
