/* softplus.c: y = log(1 + exp(beta x)) / beta; x itself where beta x > threshold */

#include "net/op.h"
#include "net/real.h"

typedef struct attributes_softplus {
    double beta, threshold;
} attributes_softplus;

static const pitot_option table[] = {
    { "beta", PITOT_REAL, 1, offsetof(attributes_softplus, beta), "1", 1e-6, 1e6, NULL, "", "sharpness of the bend" },
    { "threshold", PITOT_REAL, 1, offsetof(attributes_softplus, threshold), "20", 0, 80, NULL, "", "beta x above which y = x" },
    { 0 },
};

static pitot_real value(pitot_real x, const void *attributes) {
    const attributes_softplus *a = attributes;
    pitot_real z = (pitot_real)a->beta * x;
    return z > (pitot_real)a->threshold ? x : REAL(log1p)(REAL(exp)(z)) / (pitot_real)a->beta;
}

static pitot_real slope(pitot_real x, pitot_real y, const void *attributes) {
    const attributes_softplus *a = attributes;
    (void)y;
    pitot_real z = (pitot_real)a->beta * x;
    return z > (pitot_real)a->threshold ? 1 : 1 / (1 + REAL(exp)(-z));
}

static pitot_real bend(pitot_real x, pitot_real y, const void *attributes) {
    const attributes_softplus *a = attributes;
    (void)y;
    pitot_real z = (pitot_real)a->beta * x;
    if (z > (pitot_real)a->threshold) return 0;
    pitot_real s = 1 / (1 + REAL(exp)(-z));
    return (pitot_real)a->beta * s * (1 - s);
}
#define BEND_OF_DY

#include "net/pointwise.inc"

const op op_softplus = {
    .name = "softplus",
    .summary = "y = log(1 + exp(beta x)) / beta; x itself where beta x > threshold",
    .attributes_size = sizeof(attributes_softplus),
    .attributes = table,
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
