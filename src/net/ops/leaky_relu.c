/* leaky_relu.c: y = x if x > 0 else negative_slope x */

#include "net/op.h"
#include "net/real.h"

typedef struct attributes_leaky_relu {
    double negative_slope;
} attributes_leaky_relu;

static const pitot_option table[] = {
    { "negative_slope", PITOT_REAL, 1, offsetof(attributes_leaky_relu, negative_slope), "0.01", -1e6, 1e6, NULL, "",
      "slope below 0" },
    { 0 },
};

static pitot_real value(pitot_real x, const void *attributes) {
    const attributes_leaky_relu *a = attributes;
    return x > 0 ? x : (pitot_real)a->negative_slope * x;
}

static pitot_real slope(pitot_real x, pitot_real y, const void *attributes) {
    const attributes_leaky_relu *a = attributes;
    (void)y;
    return x > 0 ? 1 : (pitot_real)a->negative_slope;
}

#include "net/pointwise.inc"

const op op_leaky_relu = {
    .name = "leaky_relu",
    .summary = "y = x if x > 0 else negative_slope x",
    .attributes_size = sizeof(attributes_leaky_relu),
    .attributes = table,
    .inputs_min = 1,
    .inputs_max = 1,
    .flags = 0,
    .shape = same_shape,
    .forward = forward,
    .backward = backward,
    .tangent = tangent,
    .hesscale = hesscale,
};
