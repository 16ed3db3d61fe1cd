/* critical_step.c: how many times the step taken one could go before the quadratic model of the mini-batch's loss is back where it
   started: with q(a) = a g's + a^2/2 s'Hs, the a > 0 with q(a) = 0. Above 2, a longer step would have gone further down; at 2, the step ends
   at the minimum along its direction; between 1 and 2 it overshoots; below 1, it overshoots so far that the loss of its own samples
   rises; below 0, it leads uphill from the start, as momentum does at times. */

#include "pitot/probe.h"

#include <math.h>

static const pitot_band band = {
    .warn_below = 1,
    .warn_above = INFINITY,
    .alarm_below = -INFINITY,
    .alarm_above = INFINITY,
    .says =
        "the step raises the loss of the samples that it is made from: if that goes on, lower the learning rate or the momentum",
};

static const pitot_output outputs[] = {
    { "", PITOT_SCALAR, PITOT_SYMLOG_AXIS, "", "multiple of the step at which the quadratic model is back at its start", &band },
    { 0 },
};

static int32_t update(const pitot_frame *f) {
    const pitot_real *s, *hs, *g;
    int32_t status = pitot_step_product(f, &s, &hs);
    if (!status) status = pitot_step_gradient(f, &g);
    if (status == PITOT_EHOST) return pitot_undefined(f, "the product with the Hessian failed"), PITOT_OK;
    if (status) return status;
    double slope = pitot_dot(g, s, f->size), bend = pitot_dot(s, hs, f->size);
    if (pitot_sum_squares(s, f->size) == 0) pitot_undefined(f, "the parameters did not move");
    else if (!isfinite(slope) || !isfinite(bend)) pitot_undefined(f, "gradient, step or product are not finite");
    else if (bend <= 0) pitot_undefined(f, "the loss does not curve upwards along the step: the model has no bottom");
    else pitot_emit(f, "", -2 * slope / bend);
    return PITOT_OK;
}

const pitot_probe pitot_probe_critical_step = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_STEP,
    .presets = 0,
    .spans = 1,
    .name = "critical_step",
    .summary = "multiple of the step taken up to which the quadratic model of the mini-batch's loss lies below its start",
    .paper = "",
    .formula = "-2 g's / s'Hs, s = theta_{t+1} - theta_t",
    .outputs = outputs,
    .update = update,
};
