/* sigmoid.c: y = 1 / (1 + exp(-x)) */

#include "net/op.h"
#include "net/real.h"

static pitot_real value(pitot_real x, const void *attributes) {
    (void)attributes;
    return 1 / (1 + REAL(exp)(-x));
}

static pitot_real slope(pitot_real x, pitot_real y, const void *attributes) {
    (void)x;
    (void)attributes;
    return y * (1 - y);
}

static pitot_real bend(pitot_real x, pitot_real y, const void *attributes) {
    (void)x;
    (void)attributes;
    return 1 - 2 * y;
}
#define BEND_OF_DX

#include "net/pointwise.inc"

const op op_sigmoid = {
    .name = "sigmoid",
    .summary = "y = 1 / (1 + exp(-x))",
    .inputs_min = 1,
    .inputs_max = 1,
    .flags = OP_IN_PLACE | OP_NEEDS_OUTPUT,
    .shape = same_shape,
    .forward = forward,
    .backward = backward,
    .tangent = tangent,
    .tangent_backward = tangent_backward,
    .hesscale = hesscale,
};
