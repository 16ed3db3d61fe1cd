/* selu.c: y = scale (x if x > 0 else alpha (exp(x) - 1)), Klambauer et al. 2017 */

#include "net/op.h"
#include "net/real.h"

/* the fixed point for mean 0 and variance 1 */
static const pitot_real alpha = (pitot_real)1.6732632423543772848170429916717;
static const pitot_real scale = (pitot_real)1.0507009873554804934193349852946;

static pitot_real value(pitot_real x, const void *attributes) {
    (void)attributes;
    return x > 0 ? scale * x : scale * alpha * REAL(expm1)(x);
}

static pitot_real slope(pitot_real x, pitot_real y, const void *attributes) {
    (void)attributes;
    return x > 0 ? scale : y + scale * alpha;
}

static pitot_real bend(pitot_real x, pitot_real y, const void *attributes) {
    (void)attributes;
    return x > 0 ? 0 : y + scale * alpha;
}
#define BEND_OF_DY

#include "net/pointwise.inc"

const op op_selu = {
    .name = "selu",
    .summary = "y = scale (x if x > 0 else alpha (exp(x) - 1)), Klambauer et al. 2017",
    .inputs_min = 1,
    .inputs_max = 1,
    .flags = OP_NEEDS_OUTPUT,
    .shape = same_shape,
    .forward = forward,
    .backward = backward,
    .tangent = tangent,
    .tangent_backward = tangent_backward,
    .hesscale = hesscale,
};
