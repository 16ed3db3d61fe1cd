/* parameters.c: the parameters themselves, all of them, as they stood when the gradient was made. */

#include "pitot/probe.h"

#include <string.h>

static const pitot_output outputs[] = {
    { "", PITOT_TENSORS, PITOT_SYMLOG_AXIS, "", "parameters", NULL },
    { 0 },
};

/* A copy: the update comes before the step ends. */
static int32_t backward(const pitot_frame *f) {
    for (int64_t i = 0; i < f->n_tensors; i++) {
        const pitot_tensor *t = &f->tensor[i];
        if (t->size == 0) continue;
        memcpy(t->state, t->data, (size_t)t->size * sizeof *t->state);
        pitot_emit_values(f, "", i, t->state);
    }
    return PITOT_OK;
}

const pitot_probe pitot_probe_parameters = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_GRADS,
    .presets = PITOT_ON_REQUEST,
    .spans = 1,
    .name = "parameters",
    .summary = "all parameters, every value",
    .paper = "Schneider, Dangel, Hennig 2021, arXiv 2102.06604",
    .formula = "theta_t",
    .tensor_state = 1,
    .outputs = outputs,
    .backward = backward,
};
