/* diag_hessian.c: the Hessian's diagonal, exact. Where the net is piecewise linear it is the GGN's; where it is not, it costs a product for each
   unit of a layer (convolutions: for each weight). In the scaling of BackPACK's diag_h: that of the mean loss. */

#include "pitot/probe.h"

static const pitot_output outputs[] = {
    { "", PITOT_TENSORS, PITOT_SYMLOG_AXIS, "", "diagonal of the Hessian", NULL },
    { 0 },
};

static int32_t backward(const pitot_frame *f) {
    pitot_curvature c;
    int32_t status = pitot_diagonal(f, PITOT_CURVATURE_HESSIAN, 1, &c);
    for (int64_t i = 0; i < f->n_tensors && !status; i++)
        if (f->tensor[i].grad) pitot_emit_values(f, "", i, c.values + pitot_offset(f, i));
    return status;
}

const pitot_probe pitot_probe_diag_hessian = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_GRADS | PITOT_NEED_DIAGONAL,
    .presets = PITOT_ON_REQUEST,
    .spans = 1,
    .name = "diag_hessian",
    .summary = "diagonal of the Hessian, exact",
    .paper = "Dangel, Kunstner, Hennig 2020, arXiv 1912.10985",
    .formula = "d2 L / d theta_j^2",
    .outputs = outputs,
    .backward = backward,
};
