/* individual_losses.c: the loss of each sample of the batch. */

#include "pitot/probe.h"

static const pitot_output outputs[] = {
    { "", PITOT_LIST, PITOT_LINEAR_AXIS, "", "loss of each sample", NULL },
    { 0 },
};

static int32_t backward(const pitot_frame *f) {
    pitot_emit_samples(f, "", f->losses, f->n);
    return PITOT_OK;
}

const pitot_probe pitot_probe_individual_losses = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_LOSSES,
    .presets = PITOT_ON_REQUEST,
    .spans = 1,
    .name = "individual_losses",
    .summary = "loss of each sample",
    .paper = "",
    .formula = "l_n",
    .outputs = outputs,
    .backward = backward,
};
