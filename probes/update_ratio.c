/* update_ratio.c: the step's length beside the parameters': about 1e-3 in nets that train well; far above, the step tears down what was
   learned, far below, hardly anything moves. */

#include "pitot/probe.h"

#include <math.h>

static const pitot_band band = {
    .warn_below = 1e-6,
    .warn_above = 1e-1,
    .alarm_below = -INFINITY,
    .alarm_above = 1,
    .says = "a step is as long as the parameters themselves: lower the learning rate or warm it up",
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
    .paper = "",
    .formula = "|theta_{t+1} - theta_t| / |theta_t|",
    .outputs = outputs,
    .update = update,
};
