/* noise.c: the gradient noise scale of a step's samples (McCandlish et al. 2018), and how far it is to be trusted: the jackknife's
   variances of S and G2, sample by sample, and Fieller's interval of their ratio. */

#include "run/run.h"

#include <math.h>

typedef struct spread { /* S, G2 and the jackknife's variances and covariance of them */
    double s, g2, ss, gg, sg;
} spread;

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
        if (!m->counts[i]) continue;
        without(m, i, &s, &g2);
        mean_s += s / n;
        mean_g += g2 / n;
    }
    for (int64_t i = 0; i < m->listed; i++) {
        if (!m->counts[i]) continue;
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

int32_t pitot_noise_estimate(const pitot_samples *m, pitot_noise *out) {
    double n = (double)m->n, s = m->scatter / (n - 1), g2 = m->mean_square - s / n;
    *out = (pitot_noise){ s, g2, g2 > 0 ? s / g2 : INFINITY, { NAN, NAN } };
    if (m->n < 2) return PITOT_ENOTSUP;
    if (!m->along || m->n < 3) return PITOT_OK;
    spread v = jackknife(m);
    interval(&v, out->interval);
    return PITOT_OK;
}
