/* update_ratio.c: the step's length beside the parameters'. About 1e-3 in nets that train well (Stanford CS231n, course notes); far above,
   the step tears down what was learned, far below, hardly anything moves. The bounds are of the order of magnitude, no more: biases that
   begin at zero lie above for a while, and a learning rate that is let fall to zero ends below. */

#include "pitot/probe.h"

#include <math.h>

static const pitot_band band = {
    .warn_below = 3e-4,
    .warn_above = 3e-3,
    .alarm_below = 1e-4,
    .alarm_above = 1e-2,
    .says = "a step is far from a thousandth of the parameters: above, it tears down what was learned: lower the learning rate or "
            "warm it "
            "up; below, hardly anything moves: raise it, unless it has been lowered on purpose",
};

static const pitot_output outputs[] = {
    { "", PITOT_PER_TENSOR, PITOT_LOG_AXIS, "", "length of the step over that of the parameters", &band },
    { 0 },
};

static int32_t update(const pitot_frame *f) {
    double moved = 0, size = 0;
    for (int64_t i = 0; i < f->n_tensors; i++) {
        const pitot_tensor *t = &f->tensor[i];
        double step = pitot_sum_squared_difference(t->data, t->before, t->size), length = pitot_sum_squares(t->before, t->size);
        moved += step;
        size += length;
        if (length != 0) pitot_emit_tensor(f, "", i, sqrt(step / length));
    }
    if (size != 0) pitot_emit(f, "", sqrt(moved / size));
    else pitot_undefined(f, "all parameters are zero");
    return PITOT_OK;
}

const pitot_probe pitot_probe_update_ratio = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_BEFORE,
    .presets = 0,
    .spans = 1,
    .name = "update_ratio",
    .summary = "length of the step relative to the parameters, per parameter and in all",
    .paper = "Stanford CS231n, course notes (about 1e-3)",
    .formula = "|theta_{t+1} - theta_t| / |theta_t|",
    .outputs = outputs,
    .update = update,
};
