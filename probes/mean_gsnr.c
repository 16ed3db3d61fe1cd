/* mean_gsnr.c: gradient signal-to-noise ratio, averaged over the parameters (Liu et al. 2020, "Understanding why neural networks
   generalize well through GSNR of parameters"): the squared mean of a parameter's gradient over its variance between samples. Near 1/N a
   layer's gradient is nothing but noise. */

#include "pitot/probe.h"

typedef struct options {
    double epsilon;
} options;

static const pitot_option table[] = {
    { "epsilon", PITOT_REAL, 1, offsetof(options, epsilon), "1e-5", 0, 1e30, NULL, "", "added to the variance" },
    { 0 },
};

static const pitot_output outputs[] = {
    { "", PITOT_SCALAR_PER_TENSOR, PITOT_LOG_AXIS, "", "mean signal-to-noise ratio of the gradient", NULL },
    { 0 },
};

enum { RATIOS, VALUES, SUMS, LANES = 8 };

PITOT_HOT static void moments(const pitot_frame *f, const pitot_moments *m, double *sums) {
    const pitot_real epsilon = (pitot_real)((const options *)f->options)->epsilon;
    const pitot_real *mean = m->mean, *variance = m->variance;
    double lane[LANES] = { 0 };
    int64_t n = m->end - m->begin, i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] += (double)(mean[i + j] * mean[i + j] / (variance[i + j] + epsilon));
    for (; i < n; i++) lane[0] += (double)(mean[i] * mean[i] / (variance[i] + epsilon));
    for (int j = 0; j < LANES; j++) sums[RATIOS] += lane[j];
    sums[VALUES] += (double)n;
}

static int32_t backward(const pitot_frame *f) {
    double ratios = 0, values = 0;
    if (f->samples->n < 2) return pitot_undefined(f, "one sample has no variance"), PITOT_OK;
    for (int64_t i = 0; i < f->n_tensors; i++) {
        const double *s = f->sums + i * SUMS;
        if (s[VALUES] == 0) continue;
        pitot_emit_tensor(f, "", i, s[RATIOS] / s[VALUES]);
        ratios += s[RATIOS];
        values += s[VALUES];
    }
    pitot_emit(f, "", ratios / values);
    return PITOT_OK;
}

const pitot_probe pitot_probe_mean_gsnr = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_MOMENTS,
    .presets = 0,
    .spans = 1,
    .name = "mean_gsnr",
    .summary = "gradient signal-to-noise ratio, mean over the values of each parameter and of all",
    .paper = "Liu, Jiang, Bai, Chen, Wang 2020, arXiv 2001.07384",
    .formula = "mean_j g_j^2 / (mean_n (g_nj - g_j)^2 + epsilon)",
    .options_size = sizeof(options),
    .options = table,
    .n_sums = SUMS,
    .outputs = outputs,
    .backward = backward,
    .moments = moments,
};
