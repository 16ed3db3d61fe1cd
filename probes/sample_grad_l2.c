/* sample_grad_l2.c: squared length of each sample's gradient. */

#include "pitot/probe.h"

static const pitot_output outputs[] = {
    { "", PITOT_LIST, PITOT_LOG_AXIS, "", "squared norm of each sample's gradient", NULL },
    { 0 },
};

static int32_t backward(const pitot_frame *f) {
    pitot_emit_list(f, "", f->samples->square, f->samples->listed);
    return PITOT_OK;
}

const pitot_probe pitot_probe_sample_grad_l2 = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_SAMPLES,
    .presets = PITOT_ON_REQUEST,
    .spans = 1,
    .name = "sample_grad_l2",
    .summary = "squared L2 norm of each sample's gradient, over the whole net",
    .paper = "Dangel, Kunstner, Hennig 2020, arXiv 1912.10985 (batch_l2, there of gradients divided by N)",
    .formula = "|g_n|^2",
    .outputs = outputs,
    .backward = backward,
};
