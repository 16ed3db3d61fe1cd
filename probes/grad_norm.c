/* grad_norm.c: length of the mini-batch gradient, of each parameter and of all together. */

#include "pitot/probe.h"

#include <math.h>

static const pitot_output outputs[] = {
    { "", PITOT_PER_TENSOR, PITOT_LOG_AXIS, "", "norm of the gradient", NULL },
    { 0 },
};

static int32_t backward(const pitot_frame *f) {
    double all = 0;
    int64_t seen = 0;
    for (int64_t i = 0; i < f->n_tensors; i++) {
        if (!f->tensor[i].grad) continue;
        double square = pitot_gradient_square(f, i);
        all += square;
        seen++;
        pitot_emit_tensor(f, "", i, sqrt(square));
    }
    if (seen) pitot_emit(f, "", sqrt(all));
    else pitot_undefined(f, "no parameter has a gradient");
    return PITOT_OK;
}

const pitot_probe pitot_probe_grad_norm = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_GRADS,
    .presets = PITOT_ECONOMY | PITOT_BUSINESS | PITOT_FULL,
    .spans = 1,
    .name = "grad_norm",
    .summary = "L2 norm of the gradient, per parameter and in all",
    .paper = "Schneider, Dangel, Hennig 2021, arXiv 2102.06604",
    .formula = "|g|",
    .outputs = outputs,
    .backward = backward,
};
