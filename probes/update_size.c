/* update_size.c: how far a step moved the parameters. */

#include "pitot/probe.h"

#include <math.h>

static const pitot_output outputs[] = {
    { "", PITOT_PER_TENSOR, PITOT_LOG_AXIS, "", "length of the step", NULL },
    { 0 },
};

static int32_t update(const pitot_frame *f) {
    double all = 0;
    for (int64_t i = 0; i < f->n_tensors; i++) {
        double square = pitot_step_square(f, i);
        all += square;
        pitot_emit_tensor(f, "", i, sqrt(square));
    }
    pitot_emit(f, "", sqrt(all));
    return PITOT_OK;
}

const pitot_probe pitot_probe_update_size = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_LENGTH,
    .presets = PITOT_ECONOMY | PITOT_BUSINESS | PITOT_FULL,
    .spans = 1,
    .name = "update_size",
    .summary = "L2 norm of the step, per parameter and in all",
    .paper = "Schneider, Dangel, Hennig 2021, arXiv 2102.06604",
    .formula = "|theta_{t+1} - theta_t|",
    .outputs = outputs,
    .update = update,
};
