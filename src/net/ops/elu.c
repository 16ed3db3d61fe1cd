/* elu.c: y = x if x > 0 else alpha (exp(x) - 1) */

#include "net/op.h"
#include "net/real.h"

typedef struct attributes_elu {
    double alpha;
} attributes_elu;

static const pitot_option table[] = {
    { "alpha", PITOT_REAL, 1, offsetof(attributes_elu, alpha), "1", -1e6, 1e6, NULL, "", "minus the value far below 0" },
    { 0 },
};

static pitot_real value(pitot_real x, const void *attributes) {
    const attributes_elu *a = attributes;
    return x > 0 ? x : (pitot_real)a->alpha * REAL(expm1)(x);
}

static pitot_real slope(pitot_real x, pitot_real y, const void *attributes) {
    const attributes_elu *a = attributes;
    return x > 0 ? 1 : y + (pitot_real)a->alpha;
}

static pitot_real bend(pitot_real x, pitot_real y, const void *attributes) {
    const attributes_elu *a = attributes;
    return x > 0 ? 0 : y + (pitot_real)a->alpha;
}
#define BEND_OF_DY

#include "net/pointwise.inc"

const op op_elu = {
    .name = "elu",
    .summary = "y = x if x > 0 else alpha (exp(x) - 1)",
    .attributes_size = sizeof(attributes_elu),
    .attributes = table,
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
