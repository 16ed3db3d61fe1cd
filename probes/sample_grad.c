/* sample_grad.c: each sample's own gradient, as it is: N times BackPACK's grad_batch, which is of the mean loss. (N, D) values: within
   config.memory, or not at all. */

#include "pitot/probe.h"

static const pitot_output outputs[] = {
    { "", PITOT_SAMPLE_TENSORS, PITOT_SYMLOG_AXIS, "", "the samples' gradients", NULL },
    { 0 },
};

static int32_t backward(const pitot_frame *f) {
    for (int64_t i = 0; i < f->n_tensors; i++) {
        const pitot_real *g;
        int32_t status = pitot_sample_gradients(f, i, &g);
        if (status) return status;
        if (g) pitot_emit_sample_values(f, "", i, g, f->samples->listed, f->tensor[i].size);
    }
    return PITOT_OK;
}

const pitot_probe pitot_probe_sample_grad = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_GRADS | PITOT_NEED_LAYERS,
    .presets = PITOT_ON_REQUEST,
    .spans = 1,
    .name = "sample_grad",
    .summary = "each sample's gradient",
    .paper = "Dangel, Kunstner, Hennig 2020, arXiv 1912.10985",
    .formula = "g_n",
    .outputs = outputs,
    .backward = backward,
};
