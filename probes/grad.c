/* grad.c: the gradient itself, all of it. */

#include "pitot/probe.h"

static const pitot_output outputs[] = {
    { "", PITOT_TENSORS, PITOT_SYMLOG_AXIS, "", "gradient of the mini-batch loss", NULL },
    { 0 },
};

static int32_t backward(const pitot_frame *f) {
    for (int64_t i = 0; i < f->n_tensors; i++)
        if (f->tensor[i].grad) pitot_emit_values(f, "", i, f->tensor[i].grad);
    return PITOT_OK;
}

const pitot_probe pitot_probe_grad = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_GRADS,
    .presets = PITOT_ON_REQUEST,
    .spans = 1,
    .name = "grad",
    .summary = "gradient of the mini-batch loss, every value",
    .paper = "",
    .formula = "g = dL/dtheta",
    .outputs = outputs,
    .backward = backward,
};
