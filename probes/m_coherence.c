/* m_coherence.c: how many samples' worth of agreement the batch holds (Chatterjee, Zielinski 2020, "Making coherence out of nothing at
   all"): N where all samples' gradients are the same, 1 where they are orthogonal, 0 where they cancel.

       c = N |g|^2 / mean |g_n|^2 = |sum g_n|^2 / sum |g_n|^2

   Pure noise reads 1, give or take sqrt(2 (1 - 1/N) tr S^2) / tr S. `sigmas` is (c - 1) over that, tr S^2 estimated from the products
   of each sample with all others: r_n = g_n'g - |g_n|^2/N has the variance tr S^2 (N-1)/N^2 where the true gradient is 0, and

       tr S^2 = N^2 / ((N-1) (N-2)) sum (r_n - mean r)^2

   1/c is the gradient diversity. B_simple = (N - c) / (c - 1), without bias. */

#include "pitot/probe.h"

#include <math.h>

static const pitot_band band = {
    .warn_below = 2,
    .warn_above = INFINITY,
    .alarm_below = -INFINITY,
    .alarm_above = INFINITY,
    .says = "hardly more agreement than noise has",
};

static const pitot_band noise = {
    .warn_below = 2,
    .warn_above = INFINITY,
    .alarm_below = 2,
    .alarm_above = INFINITY,
    .says = "the batch's gradient cannot be told from pure noise: average over more samples, or lower the learning rate",
};

static const pitot_output outputs[] = {
    { "", PITOT_SCALAR, PITOT_LOG_AXIS, "samples", "agreement of the samples' gradients", &band },
    { "sigmas", PITOT_SCALAR, PITOT_SYMLOG_AXIS, "", "distance from what pure noise reads, in its standard deviations", &noise },
    { 0 },
};

/* Standard deviation of c where the true gradient is 0. */
static double spread_of_noise(const pitot_samples *m, double sum) {
    double n = (double)m->n, mean = 0, square = 0;
    for (int64_t i = 0; i < m->listed; i++) mean += m->counts[i] ? (m->along[i] - m->square[i] / n) / n : 0;
    for (int64_t i = 0; i < m->listed; i++) {
        double d = m->along[i] - m->square[i] / n - mean;
        square += m->counts[i] ? d * d : 0;
    }
    double trace = n * n / ((n - 1) * (n - 2)) * square;
    return sqrt(2 * n * (n - 1) * trace) / sum;
}

static int32_t backward(const pitot_frame *f) {
    const pitot_samples *m = f->samples;
    double n = (double)m->n, sum = 0;
    for (int64_t i = 0; i < m->listed; i++) sum += m->square[i];
    if (!isfinite(sum) || !isfinite(m->mean_square)) return pitot_undefined(f, "a gradient is not finite"), PITOT_OK;
    if (sum == 0) return pitot_undefined(f, "all gradients are zero"), PITOT_OK;
    double c = n * n * m->mean_square / sum;
    pitot_emit(f, "", c);
    if (!m->along || m->n < 3) return PITOT_OK;
    double spread = spread_of_noise(m, sum);
    if (spread > 0) pitot_emit(f, "sigmas", (c - 1) / spread);
    return PITOT_OK;
}

const pitot_probe pitot_probe_m_coherence = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_SAMPLES,
    .presets = 0,
    .spans = 1,
    .name = "m_coherence",
    .summary = "agreement of the samples' gradients: N if all are the same, 1 if they are orthogonal",
    .paper = "Chatterjee, Zielinski 2020, arXiv 2008.01217",
    .formula = "N |g|^2 / mean |g_n|^2",
    .outputs = outputs,
    .backward = backward,
};
