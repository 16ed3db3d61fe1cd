/* hesscale.c: HesScale (Elsayed, Mahmood 2022): the Hessian's diagonal from a recursion that keeps only the diagonals of the layers' Hessians:
   exact at the last layer, an approximation before it, at about the price of a gradient. */

#include "pitot/probe.h"

static const pitot_output outputs[] = {
    { "", PITOT_TENSORS, PITOT_SYMLOG_AXIS, "", "HesScale diagonal", NULL },
    { 0 },
};

static int32_t backward(const pitot_frame *f) {
    pitot_curvature c;
    int32_t status = pitot_diagonal(f, PITOT_CURVATURE_HESSCALE, 1, &c);
    for (int64_t i = 0; i < f->n_tensors && !status; i++)
        if (f->tensor[i].grad) pitot_emit_values(f, "", i, c.values + pitot_offset(f, i));
    return status;
}

const pitot_probe pitot_probe_hesscale = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_GRADS | PITOT_NEED_DIAGONAL,
    .presets = PITOT_ON_REQUEST,
    .spans = 1,
    .name = "hesscale",
    .summary = "HesScale: the Hessian's diagonal by a recursion over diagonals, approximate before the last layer",
    .paper = "Elsayed, Mahmood 2022, arXiv 2210.11639",
    .formula = "q_l = sigma'^2 W^2 q_{l+1} + sigma'' W' delta_{l+1};  C = q a^2",
    .outputs = outputs,
    .backward = backward,
};
