/* loss.c: the mini-batch loss, as the host reduces it. */

#include "pitot/probe.h"

static const pitot_output outputs[] = {
    { "", PITOT_SCALAR, PITOT_LINEAR_AXIS, "", "mini-batch loss", NULL },
    { 0 },
};

static int32_t backward(const pitot_frame *f) {
    pitot_emit(f, "", f->loss);
    return PITOT_OK;
}

const pitot_probe pitot_probe_loss = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_LOSS,
    .presets = PITOT_ECONOMY | PITOT_BUSINESS | PITOT_FULL,
    .spans = 1,
    .name = "loss",
    .summary = "mini-batch loss",
    .paper = "",
    .formula = "L = (1/N) sum_n l_n",
    .outputs = outputs,
    .backward = backward,
};
