/* sample_diag_hessian.c: the diagonal of the Hessian of each sample's own loss: N times BackPACK's diag_h_batch, whose mean over samples is
   its sum. Within config.memory. */

#include "pitot/probe.h"

static const pitot_output outputs[] = {
    { "", PITOT_SAMPLE_TENSORS, PITOT_SYMLOG_AXIS, "", "diagonals of the samples' Hessians", NULL },
    { 0 },
};

static int32_t backward(const pitot_frame *f) {
    pitot_curvature c;
    int32_t status = pitot_sample_diagonal(f, PITOT_CURVATURE_HESSIAN, 1, &c);
    for (int64_t i = 0; i < f->n_tensors && !status; i++)
        if (f->tensor[i].grad) pitot_emit_sample_values(f, "", i, c.values + pitot_offset(f, i), f->n, f->size);
    return status;
}

const pitot_probe pitot_probe_sample_diag_hessian = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_GRADS | PITOT_NEED_DIAGONAL,
    .presets = PITOT_ON_REQUEST,
    .spans = 1,
    .name = "sample_diag_hessian",
    .summary = "diagonal of each sample's Hessian, exact",
    .paper = "Dangel, Kunstner, Hennig 2020, arXiv 1912.10985",
    .formula = "d2 l_n / d theta_j^2",
    .outputs = outputs,
    .backward = backward,
};
