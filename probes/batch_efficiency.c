/* batch_efficiency.c: what the present batch size B costs and buys (McCandlish et al. 2018, "An empirical model of large-batch training",
   section 2). With B_simple = S / G2, unbiased (noise_scale):

       efficiency  B / (B + B_simple)   of the progress that a step along the true gradient would make
       steps       1 + B_simple / B     to the same loss, for each that an infinite batch would take

   B_simple stands for the critical batch, at which a step makes half that progress; where curvature differs much between directions it
   is off by a factor (curvature_noise). Where G2 is not above 0, the gradient cannot be told from noise: the efficiency is 0, and only the
   intervals say more. */

#include "pitot/probe.h"

#include <math.h>

static const pitot_band band = {
    /* B / B_simple = r within 0.3 .. 3, 0.05 .. 10; the efficiency is r / (1 + r) */
    .warn_below = 0.3 / 1.3,
    .warn_above = 3 / 4.0,
    .alarm_below = 0.05 / 1.05,
    .alarm_above = 10 / 11.0,
    .says =
        "low: steps are mostly noise, a larger batch is nearly free speed; high: a smaller batch would get as far on fewer samples",
};

static const pitot_output outputs[] = {
    { "", PITOT_SCALAR, PITOT_LINEAR_AXIS, "", "progress of a step over that of an infinite batch", &band },
    { "interval", PITOT_LIST, PITOT_LINEAR_AXIS, "", "95 % interval of the efficiency", NULL },
    { "critical_batch", PITOT_SCALAR, PITOT_LOG_AXIS, "samples", "critical batch, from the simple noise scale", NULL },
    { "critical_interval", PITOT_LIST, PITOT_LOG_AXIS, "samples", "95 % interval of the critical batch", NULL },
    { "steps", PITOT_SCALAR, PITOT_LOG_AXIS, "", "steps to the same loss, over those of an infinite batch", NULL },
    { 0 },
};

static int32_t backward(const pitot_frame *f) {
    pitot_noise v;
    double b = (double)f->samples->n;
    if (pitot_noise_estimate(f->samples, &v)) return pitot_undefined(f, "one sample has no spread"), PITOT_OK;
    if (!isfinite(v.s) || !isfinite(v.g2)) return pitot_undefined(f, "a gradient is not finite"), PITOT_OK;
    if (f->samples->mean_square == 0) return pitot_undefined(f, "the gradient is zero"), PITOT_OK;
    pitot_emit(f, "", b / (b + v.b_simple));
    if (!isnan(v.interval[0])) {
        pitot_emit_list(f, "interval", (double[]){ b / (b + v.interval[1]), b / (b + v.interval[0]) }, 2);
        pitot_emit_list(f, "critical_interval", v.interval, 2);
    }
    if (isfinite(v.b_simple)) {
        pitot_emit(f, "critical_batch", v.b_simple);
        pitot_emit(f, "steps", 1 + v.b_simple / b);
    } else pitot_remark(f, "the gradient cannot be told from noise: the batch is far below the critical one");
    return PITOT_OK;
}

const pitot_probe pitot_probe_batch_efficiency = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_SAMPLES,
    .presets = 0,
    .spans = 1,
    .name = "batch_efficiency",
    .summary = "efficiency of the batch size, the critical batch, both with intervals, and the steps that it costs",
    .paper = "McCandlish, Kaplan, Amodei 2018, arXiv 1812.06162",
    .formula = "B / (B + B_simple); steps 1 + B_simple / B",
    .outputs = outputs,
    .backward = backward,
};
