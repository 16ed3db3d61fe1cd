/* sample_diag_ggn.c: the diagonal of the GGN of each sample's own loss: N times BackPACK's diag_ggn_exact_batch. Within config.memory. */

#include "pitot/probe.h"

static const pitot_output outputs[] = {
    { "", PITOT_SAMPLE_TENSORS, PITOT_SYMLOG_AXIS, "", "diagonals of the samples' GGNs", NULL },
    { 0 },
};

static int32_t backward(const pitot_frame *f) {
    pitot_curvature c;
    int32_t status = pitot_sample_diagonal(f, PITOT_CURVATURE_GGN, 1, &c);
    for (int64_t i = 0; i < f->n_tensors && !status; i++)
        if (f->tensor[i].grad) pitot_emit_sample_values(f, "", i, c.values + pitot_offset(f, i), f->n, f->size);
    return status;
}

const pitot_probe pitot_probe_sample_diag_ggn = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_GRADS | PITOT_NEED_DIAGONAL,
    .presets = PITOT_ON_REQUEST,
    .spans = 1,
    .name = "sample_diag_ggn",
    .summary = "diagonal of each sample's generalised Gauss-Newton matrix, exact",
    .paper = "Dangel, Kunstner, Hennig 2020, arXiv 1912.10985",
    .formula = "diag(J_n' (d2 l_n / d f_n^2) J_n)",
    .outputs = outputs,
    .backward = backward,
};
