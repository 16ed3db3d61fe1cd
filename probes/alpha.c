/* alpha.c: where the step came to rest (Schneider, Dangel, Hennig 2021, section 3.1 and appendix): a parabola through what two mini-batches
   say of the loss along the step, each value weighted by its noise. -1: the step did not move at all; 0: it reached the parabola's
   minimum; 1: it climbed as high on the other side; below -1: it started uphill.

   Along s = theta_{t+1} - theta_t, with x in [0,1] the share of it:

       observed     f_1, f_2       mean losses of both mini-batches,       noise  var(l_n), of single samples, unbiased
                    d_1, d_2       mean slopes g_n's of both,              noise  var(g_n's)
       model        f(x) = w_0 + w_1 x + w_2 x^2,  weighted least squares
       alpha        -2 w_2 / w_1 - 1;  -1 if w_2 <= 0

   Only the ratios of the noises matter. A noise of exactly 0 counts as 1e-10, of slopes per unit of length. Any optimizer: the slopes come
   from the samples' gradients and the step itself. */

#include "pitot/probe.h"

#include <math.h>

typedef struct state { /* of the step's start */
    double loss, loss_noise, slope, slope_noise, length;
    int there;
} state;

static const pitot_output outputs[] = {
    { "", PITOT_SCALAR, PITOT_SYMLOG_AXIS, "", "step length: -1 none, 0 to the minimum, 1 mirrored", NULL },
    { 0 },
};

typedef struct spread {
    double mean, variance;
} spread;

static spread spread_of(const pitot_frame *f, double (*value)(const pitot_frame *f, int64_t i)) {
    const pitot_samples *m = f->samples;
    double n = (double)m->n, sum = 0, all = 0;
    for (int64_t i = 0; i < m->listed; i++)
        if (pitot_sample_counts(m, i)) sum += value(f, i);
    for (int64_t i = 0; i < m->listed; i++) {
        double off = pitot_sample_counts(m, i) ? value(f, i) - sum / n : 0;
        all += off * off;
    }
    return (spread){ sum / n, all / (n - 1) };
}

static double loss_of(const pitot_frame *f, int64_t i) {
    return (double)f->losses[i];
}

static double slope_of(const pitot_frame *f, int64_t i) {
    return f->projection[i];
}

static double at_least(double noise, double unit) {
    return noise == 0 ? 1e-10 * unit : noise;
}

/* Of the step of length `length`; 0: there is nothing to be said of it. */
static int look(const pitot_frame *f, double length, state *s) {
    if (f->samples->n < 2) return pitot_undefined(f, "one sample has no variance"), 0;
    if (!f->projection)
        return pitot_undefined(f, "the samples' gradients along the step are not known: are captures kept until after the update?"),
               0;
    spread loss = spread_of(f, loss_of), slope = spread_of(f, slope_of);
    *s = (state){
        f->loss * f->to_mean, at_least(loss.variance, 1), slope.mean, at_least(slope.variance, length * length), length, 1
    };
    return 1;
}

static int32_t update(const pitot_frame *f) {
    state *s = f->state;
    double square = 0;
    s->there = 0;
    for (int64_t i = 0; i < f->n_tensors; i++) square += pitot_step_square(f, i);
    look(f, sqrt(square), s);
    return PITOT_OK;
}

/* w of the least squares, from its normal equations; 0: they are singular. */
static int fit(const state *a, const state *b, double w[3]) {
    const double phi[4][3] = { { 1, 0, 0 }, { 1, 1, 1 }, { 0, 1, 0 }, { 0, 1, 2 } };
    const double y[4] = { a->loss, b->loss, a->slope, b->slope };
    const double noise[4] = { a->loss_noise, b->loss_noise, a->slope_noise, b->slope_noise };
    double m[3][4] = { { 0 } };
    for (int k = 0; k < 4; k++)
        for (int i = 0; i < 3; i++) {
            for (int j = 0; j < 3; j++) m[i][j] += phi[k][i] * phi[k][j] / noise[k];
            m[i][3] += phi[k][i] * y[k] / noise[k];
        }
    for (int i = 0; i < 3; i++) { /* symmetric and positive: no pivots are needed */
        if (!(m[i][i] > 0)) return 0;
        for (int k = 0; k < 3; k++) {
            double factor = k == i ? 0 : m[k][i] / m[i][i];
            for (int j = i; j < 4; j++) m[k][j] -= factor * m[i][j];
        }
    }
    for (int i = 0; i < 3; i++) w[i] = m[i][3] / m[i][i];
    return 1;
}

static int32_t next(const pitot_frame *f) {
    const state *a = f->state;
    state b;
    double w[3];
    if (!a->there || !look(f, a->length, &b)) return PITOT_OK;
    if (a->length == 0) pitot_emit(f, "", -1);
    else if (!fit(a, &b, w)) pitot_undefined(f, "losses or slopes are not finite, or without a parabola through them");
    else pitot_emit(f, "", w[2] <= 0 ? -1 : -2 * w[2] / w[1] - 1);
    return PITOT_OK;
}

const pitot_probe pitot_probe_alpha = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_LOSS | PITOT_NEED_LENGTH | PITOT_NEED_LOSSES | PITOT_NEED_SAMPLES | PITOT_NEED_PROJECTION,
    .presets = PITOT_ECONOMY | PITOT_BUSINESS | PITOT_FULL,
    .spans = 2,
    .name = "alpha",
    .summary = "where the step came to rest on a parabola along it: 0 at its minimum",
    .paper = "Schneider, Dangel, Hennig 2021, arXiv 2102.06604",
    .formula = "-2 w_2/w_1 - 1 of the parabola w through losses and slopes at both ends of the step, weighted by their noise",
    .state_size = sizeof(state),
    .outputs = outputs,
    .update = update,
    .next = next,
};
