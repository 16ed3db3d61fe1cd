/* directional_sharpness.c: curvature along the step that the optimizer has taken (Pan, Li 2023, "Toward understanding why Adam converges
   faster than SGD for Transformers"). Where it is small, a long step does no harm: adaptive optimizers go along flatter directions than
   gradient descent does at the same point. H of the step's own mini-batch, at the parameters that it started from. */

#include "pitot/probe.h"

#include <math.h>

static const pitot_output outputs[] = {
    { "", PITOT_SCALAR, PITOT_SYMLOG_AXIS, "", "curvature along the step", NULL },
    { 0 },
};

static int32_t update(const pitot_frame *f) {
    const pitot_real *s, *hs;
    int32_t status = pitot_step_product(f, &s, &hs);
    if (status == PITOT_EHOST) return pitot_undefined(f, "the product with the Hessian failed"), PITOT_OK;
    if (status) return status;
    double square = pitot_sum_squares(s, f->size), bend = pitot_dot(s, hs, f->size);
    if (square == 0) pitot_undefined(f, "the parameters did not move");
    else if (!isfinite(bend / square)) pitot_undefined(f, "the step or its product with the Hessian is not finite");
    else pitot_emit(f, "", bend / square);
    return PITOT_OK;
}

const pitot_probe pitot_probe_directional_sharpness = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_STEP,
    .presets = 0,
    .spans = 1,
    .name = "directional_sharpness",
    .summary = "curvature of the mini-batch's loss along the step taken",
    .paper = "Pan, Li 2023, arXiv 2306.00204",
    .formula = "s'Hs / |s|^2, s = theta_{t+1} - theta_t",
    .outputs = outputs,
    .update = update,
};
