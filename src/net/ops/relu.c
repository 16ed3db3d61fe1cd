/* relu.c: y = max(x, 0); NaN stays NaN */

#include "net/op.h"
#include "net/real.h"

static pitot_real value(pitot_real x, const void *attributes) {
    (void)attributes;
    return x < 0 ? 0 : x;
}

static pitot_real slope(pitot_real x, pitot_real y, const void *attributes) {
    (void)x;
    (void)attributes;
    return y > 0 ? 1 : 0;
}

#include "net/pointwise.inc"

const op op_relu = {
    .name = "relu",
    .summary = "y = max(x, 0); NaN stays NaN",
    .inputs_min = 1,
    .inputs_max = 1,
    .flags = OP_IN_PLACE | OP_NEEDS_OUTPUT,
    .shape = same_shape,
    .forward = forward,
    .backward = backward,
    .tangent = tangent,
    .hesscale = hesscale,
};
