/* silu.c: y = x sigmoid(x) */

#include "net/op.h"
#include "net/real.h"

static pitot_real value(pitot_real x, const void *attributes) {
    (void)attributes;
    return x / (1 + REAL(exp)(-x));
}

static pitot_real slope(pitot_real x, pitot_real y, const void *attributes) {
    (void)y;
    (void)attributes;
    pitot_real s = 1 / (1 + REAL(exp)(-x));
    return s * (1 + x * (1 - s));
}

static pitot_real bend(pitot_real x, pitot_real y, const void *attributes) {
    (void)y;
    (void)attributes;
    pitot_real s = 1 / (1 + REAL(exp)(-x));
    return s * (1 - s) * (2 + x * (1 - 2 * s));
}
#define BEND_OF_DY

#include "net/pointwise.inc"

const op op_silu = {
    .name = "silu",
    .summary = "y = x sigmoid(x)",
    .inputs_min = 1,
    .inputs_max = 1,
    .flags = 0,
    .shape = same_shape,
    .forward = forward,
    .backward = backward,
    .tangent = tangent,
    .tangent_backward = tangent_backward,
    .hesscale = hesscale,
};
