/* noise_scale.c: how large a batch pays: the noise of the samples' gradients beside the length of their mean (McCandlish et al. 2018,
   "An empirical model of large-batch training"). Far below the noise scale, a larger batch is nearly free speed; far above, samples are
   wasted.

   With g the mean of N per-sample gradients g_n, a = |g|^2:

       S = sum |g_n - g|^2 / (N-1)        trace of the samples' covariance, unbiased
       G2 = a - S/N                       squared length of the true gradient, unbiased (may come out negative)
       B_simple = S / G2                  95 % interval: Fieller's, with the jackknife's covariance of (S, G2); its upper end is infinite
                                          where G2 cannot be told from 0

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

typedef struct spread { /* S, G2 and the jackknife's variances and covariance of them */
    double s, g2, ss, gg, sg;
} spread;

/* A sample that does not count. One that does, with a gradient of 0, deviates from g. */
static int is_left_out(const pitot_samples *m, int64_t i) {
    return m->listed != m->n && m->square[i] == 0 && m->deviation[i] == 0;
}

/* S and G2 without sample i. */
static void without(const pitot_samples *m, int64_t i, double *s, double *g2) {
    double n = (double)m->n, a = (n * n * m->mean_square - 2 * n * m->along[i] + m->square[i]) / ((n - 1) * (n - 1));
    *s = (m->scatter - n / (n - 1) * m->deviation[i]) / (n - 2);
    *g2 = a - *s / (n - 1);
}

static spread jackknife(const pitot_samples *m) {
    double n = (double)m->n, s, g2, mean_s = 0, mean_g = 0;
    spread v = { m->scatter / (n - 1), m->mean_square - m->scatter / (n - 1) / n, 0, 0, 0 };
    for (int64_t i = 0; i < m->listed; i++) {
        if (is_left_out(m, i)) continue;
        without(m, i, &s, &g2);
        mean_s += s / n;
        mean_g += g2 / n;
    }
    for (int64_t i = 0; i < m->listed; i++) {
        if (is_left_out(m, i)) continue;
        without(m, i, &s, &g2);
        v.ss += (n - 1) / n * (s - mean_s) * (s - mean_s);
        v.gg += (n - 1) / n * (g2 - mean_g) * (g2 - mean_g);
        v.sg += (n - 1) / n * (s - mean_s) * (g2 - mean_g);
    }
    return v;
}

/* All ratios R with (S - R G2)^2 <= z^2 var(S - R G2), R >= 0 (Fieller 1954). */
static void interval(const spread *v, double out[2]) {
    const double z2 = 1.959963984540054 * 1.959963984540054;
    double a = v->g2 * v->g2 - z2 * v->gg, b = v->s * v->g2 - z2 * v->sg, c = v->s * v->s - z2 * v->ss, d = b * b - a * c;
    double root = d > 0 ? sqrt(d) : 0, low = a != 0 ? (b - root) / a : 0, high = a != 0 ? (b + root) / a : INFINITY;
    int bounded = a > 0 && v->g2 > 0;
    out[0] = bounded ? low : d > 0 && c > 0 ? fmax(low, high) : 0; /* c <= 0: R = 0 is among them */
    out[1] = bounded ? high : INFINITY;
    if (!(out[0] > 0)) out[0] = 0;
}

static void per_sample(const pitot_frame *f) {
    const pitot_samples *m = f->samples;
    double n = (double)m->n, s = m->scatter / (n - 1), g2 = m->mean_square - s / n, range[2];
    pitot_emit(f, "", s / m->mean_square);
    pitot_emit(f, "unbiased.s", s);
    pitot_emit(f, "unbiased.g2", g2);
    pitot_emit(f, "unbiased.b_simple", ratio(s, g2));
    if (!m->along || m->n < 3) return;
    spread v = jackknife(m);
    interval(&v, range);
    pitot_emit_list(f, "interval", range, 2);
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
