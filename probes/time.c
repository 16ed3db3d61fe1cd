/* time.c: wall-clock time of the step, seconds since 1970. */

#include "pitot/probe.h"

static const pitot_output outputs[] = {
    { "", PITOT_SCALAR, PITOT_LINEAR_AXIS, "s", "seconds since 1970", NULL },
    { 0 },
};

static int32_t backward(const pitot_frame *f) {
    pitot_emit(f, "", f->wall);
    return PITOT_OK;
}

const pitot_probe pitot_probe_time = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_LOSS,
    .presets = 0,
    .spans = 1,
    .name = "time",
    .summary = "wall-clock time of the step",
    .paper = "",
    .formula = "",
    .outputs = outputs,
    .backward = backward,
};
