/* noise_scale.c: how large a batch pays: the noise of the samples' gradients beside the length of their mean (McCandlish et al. 2018,
   "An empirical model of large-batch training"). Far below the noise scale, a larger batch is nearly free speed; far above, samples are
   wasted.

   With g the mean of N per-sample gradients g_n, a = |g|^2:

       S = sum |g_n - g|^2 / (N-1)        trace of the samples' covariance, unbiased
       G2 = a - S/N                       squared length of the true gradient, unbiased (may come out negative)
       B_simple = S / G2                  with a 95 % interval: pitot_noise_estimate

   Where the host accumulates micro-batches of n_k samples, their lengths alone give a second estimate, noisier, at no cost:

       S = (mean |g_k|^2 - a) / (mean 1/n_k - 1/N),   G2 = a - S/N,   B_simple = average of S / average of G2 over steps */

#include "pitot/probe.h"

#include <math.h>

typedef struct options {
    double memory;
} options;

static const pitot_option table[] = {
    { "memory", PITOT_REAL, 1, offsetof(options, memory), "0.99", 0, 1, NULL, "",
      "two-batch estimate: what an average keeps of its past at each tracked step" },
    { 0 },
};

typedef struct averages { /* of the two-batch estimate */
    double s, g2;
} averages;

static const pitot_output outputs[] = {
    { "", PITOT_SCALAR, PITOT_LOG_AXIS, "samples", "gradient noise over gradient, tr S / |g|^2", NULL },
    { "unbiased.s", PITOT_SCALAR, PITOT_NOT_DRAWN, "", "trace of the gradient covariance", NULL },
    { "unbiased.g2", PITOT_SCALAR, PITOT_NOT_DRAWN, "", "squared length of the true gradient", NULL },
    { "unbiased.b_simple", PITOT_SCALAR, PITOT_LOG_AXIS, "samples", "simple noise scale", NULL },
    { "interval", PITOT_LIST, PITOT_LOG_AXIS, "samples", "95 % interval of the simple noise scale", NULL },
    { "two_batch.s", PITOT_SCALAR, PITOT_NOT_DRAWN, "", "trace of the gradient covariance, from micro-batches", NULL },
    { "two_batch.g2", PITOT_SCALAR, PITOT_NOT_DRAWN, "", "squared length of the true gradient, from micro-batches", NULL },
    { "two_batch.b_simple", PITOT_SCALAR, PITOT_LOG_AXIS, "samples", "simple noise scale, from averages over micro-batches", NULL },
    { 0 },
};

static double ratio(double s, double g2) {
    return g2 > 0 ? s / g2 : INFINITY;
}

static void per_sample(const pitot_frame *f) {
    pitot_noise v;
    pitot_noise_estimate(f->samples, &v);
    pitot_emit(f, "", v.s / f->samples->mean_square);
    pitot_emit(f, "unbiased.s", v.s);
    pitot_emit(f, "unbiased.g2", v.g2);
    pitot_emit(f, "unbiased.b_simple", v.b_simple);
    if (!isnan(v.interval[0])) pitot_emit_list(f, "interval", v.interval, 2);
}

static void two_batch(const pitot_frame *f, int alone) {
    averages *past = f->state;
    double keep = past->s == 0 && past->g2 == 0 ? 0 : ((const options *)f->options)->memory, small = 0, inverse = 0, all = 0, n = 0;
    for (int64_t k = 0; k < f->n_micro; k++) {
        n += (double)f->micro[k].n;
        small += f->micro[k].square / (double)f->n_micro;
        inverse += 1 / (double)f->micro[k].n / (double)f->n_micro;
    }
    for (int64_t i = 0; i < f->n_tensors; i++)
        if (f->tensor[i].grad) all += pitot_sum_squares(f->tensor[i].grad, f->tensor[i].size);
    all *= f->to_mean * f->to_mean;
    if (all == 0 && alone) {
        pitot_undefined(f, "the gradient is zero");
        return;
    }
    double s = (small - all) / (inverse - 1 / n), g2 = all - s / n;
    if (isfinite(s) && isfinite(g2)) {
        past->s = keep * past->s + (1 - keep) * s;
        past->g2 = keep * past->g2 + (1 - keep) * g2;
    }
    if (alone) pitot_emit(f, "", s / all);
    pitot_emit(f, "two_batch.s", s);
    pitot_emit(f, "two_batch.g2", g2);
    pitot_emit(f, "two_batch.b_simple", ratio(past->s, past->g2));
}

static int32_t backward(const pitot_frame *f) {
    int sampled = f->samples && f->samples->n > 1;
    if (!sampled && !f->micro) return pitot_undefined(f, "one sample has no spread"), PITOT_OK;
    if (sampled && f->samples->mean_square == 0) return pitot_undefined(f, "the gradient is zero"), PITOT_OK;
    if (sampled) per_sample(f);
    if (f->micro) two_batch(f, !sampled);
    return PITOT_OK;
}

const pitot_probe pitot_probe_noise_scale = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_GRADS,
    .needs_one = PITOT_NEED_SAMPLES | PITOT_NEED_MICRO,
    .presets = 0,
    .spans = 1,
    .name = "noise_scale",
    .summary = "gradient noise scale: the batch size up to which larger batches pay, with an interval",
    .paper = "McCandlish, Kaplan, Amodei 2018, arXiv 1812.06162",
    .formula = "tr S / |g|^2; unbiased S = sum |g_n - g|^2 / (N-1), G2 = |g|^2 - S/N, B_simple = S / G2",
    .options_size = sizeof(options),
    .options = table,
    .state_size = sizeof(averages),
    .outputs = outputs,
    .backward = backward,
};
