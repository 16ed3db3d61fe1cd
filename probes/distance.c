/* distance.c: how far the parameters are from where the run began. Keeps a copy of them; what joins later is measured from then on. */

#include "pitot/probe.h"

#include <math.h>
#include <string.h>

typedef struct distance_state {
    int64_t started; /* 1: there are copies; tensors that come later are measured from then on */
} distance_state;

static const pitot_output outputs[] = {
    { "", PITOT_PER_TENSOR, PITOT_LINEAR_AXIS, "", "distance from the start", NULL },
    { 0 },
};

static int32_t backward(const pitot_frame *f) {
    distance_state *s = f->state;
    double all = 0;
    if (!s->started && f->step != f->first_step) return pitot_undefined(f, "was not on at the run's first step"), PITOT_OK;
    for (int64_t i = 0; i < f->n_tensors; i++) {
        const pitot_tensor *t = &f->tensor[i];
        if (t->fresh) memcpy(t->state, t->data, (size_t)t->size * sizeof *t->state);
        double square = pitot_sum_squared_difference(t->data, t->state, t->size);
        all += square;
        pitot_emit_tensor(f, "", i, sqrt(square));
    }
    s->started = 1;
    pitot_emit(f, "", sqrt(all));
    return PITOT_OK;
}

const pitot_probe pitot_probe_distance = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_GRADS,
    .presets = PITOT_ECONOMY | PITOT_BUSINESS | PITOT_FULL,
    .spans = 1,
    .name = "distance",
    .summary = "L2 distance from the first step's parameters, per parameter and in all",
    .paper = "Schneider, Dangel, Hennig 2021, arXiv 2102.06604",
    .formula = "|theta_t - theta_0|",
    .state_size = sizeof(distance_state),
    .tensor_state = 1,
    .start_always = 1,
    .outputs = outputs,
    .backward = backward,
};
