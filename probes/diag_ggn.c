/* diag_ggn.c: the generalised Gauss-Newton matrix's diagonal, exact: each of the C columns of the output Hessian's root goes back through the
   net. In the scaling of BackPACK's diag_ggn_exact: that of the mean loss. */

#include "pitot/probe.h"

static const pitot_output outputs[] = {
    { "", PITOT_TENSORS, PITOT_SYMLOG_AXIS, "", "diagonal of the GGN", NULL },
    { 0 },
};

static int32_t backward(const pitot_frame *f) {
    pitot_curvature c;
    int32_t status = pitot_diagonal(f, PITOT_CURVATURE_GGN, 1, &c);
    for (int64_t i = 0; i < f->n_tensors && !status; i++)
        if (f->tensor[i].grad) pitot_emit_values(f, "", i, c.values + pitot_offset(f, i));
    return status;
}

const pitot_probe pitot_probe_diag_ggn = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_GRADS | PITOT_NEED_DIAGONAL,
    .presets = PITOT_ON_REQUEST,
    .spans = 1,
    .name = "diag_ggn",
    .summary = "diagonal of the generalised Gauss-Newton matrix, exact",
    .paper = "Dangel, Kunstner, Hennig 2020, arXiv 1912.10985",
    .formula = "diag(J' (d2 L / d f^2) J)",
    .outputs = outputs,
    .backward = backward,
};
