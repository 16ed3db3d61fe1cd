/* reduction_ratio.c: by how much the loss of the mini-batch changed with the step, beside what its quadratic model had said (Martens 2010,
   "Deep learning via Hessian-free optimization", 4.1). Near 1 the model can be trusted as far as the step goes. The rule of Levenberg and
   Marquardt: below 1/4, damp the model more (times 3/2); above 3/4, less (times 2/3). Below 0 the loss went the other way.

   A loss is known to some units of its last place only: where the model says less than that, there is no ratio. */

#include "pitot/probe.h"

#include <float.h>
#include <math.h>

static const pitot_band band = {
    .warn_below = 0.25,
    .warn_above = INFINITY,
    .alarm_below = 0,
    .alarm_above = INFINITY,
    .says = "the loss of the step's own samples went the other way than its quadratic model: the step leaves the region where "
            "curvature says anything; damp more, or lower the learning rate",
};

static const pitot_output outputs[] = {
    { "", PITOT_SCALAR, PITOT_LINEAR_AXIS, "", "change of the loss over what the quadratic model says", &band },
    { "actual", PITOT_SCALAR, PITOT_NOT_DRAWN, "", "change of the mini-batch's loss", NULL },
    { "model", PITOT_SCALAR, PITOT_NOT_DRAWN, "", "change that the quadratic model says", NULL },
    { 0 },
};

/* Differences of two means over samples are off by 0.2 units of the mean's last place (measured on nets of ours), by 1 where the host
   rounds its losses to pitot_real: from here on the ratio has two digits. */
static const double UNITS = 64;

static int32_t update(const pitot_frame *f) {
    const double unit = sizeof(pitot_real) == 8 ? DBL_EPSILON : (double)FLT_EPSILON;
    const pitot_real *s, *hs, *g;
    double after = NAN;
    int32_t status = pitot_step_product(f, &s, &hs);
    if (!status) status = pitot_step_gradient(f, &g);
    if (!status) status = pitot_loss_after(f, &after);
    if (status == PITOT_EHOST) return pitot_undefined(f, "the product with the Hessian, or the forward pass, failed"), PITOT_OK;
    if (status) return status;
    double model = pitot_dot(g, s, f->size) + 0.5 * pitot_dot(s, hs, f->size), actual = after - f->loss;
    if (pitot_sum_squares(s, f->size) == 0) pitot_undefined(f, "the parameters did not move");
    else if (!isfinite(model)) pitot_undefined(f, "gradient, step or product are not finite");
    else if (!isfinite(actual)) pitot_undefined(f, "the loss is not finite before or after the step, or the host has not said it");
    else if (fabs(model) <= UNITS * unit * fmax(fabs(f->loss), fabs(after)))
        pitot_undefined(f, "the change is too small for the loss to show it");
    else {
        pitot_emit(f, "", actual / model);
        pitot_emit(f, "actual", actual);
        pitot_emit(f, "model", model);
    }
    return PITOT_OK;
}

const pitot_probe pitot_probe_reduction_ratio = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_LOSS | PITOT_NEED_STEP,
    .presets = 0,
    .spans = 1,
    .name = "reduction_ratio",
    .summary = "change of the mini-batch's loss with the step, over what its quadratic model says",
    .paper = "Martens 2010, ICML",
    .formula = "(L(theta_{t+1}) - L(theta_t)) / (g's + s'Hs/2), s = theta_{t+1} - theta_t",
    .outputs = outputs,
    .update = update,
};
