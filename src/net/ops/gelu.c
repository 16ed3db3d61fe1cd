/* gelu.c: y = x Phi(x), Phi the normal distribution; or its tanh approximation (Hendrycks, Gimpel 2016) */

#include "net/op.h"
#include "net/real.h"

typedef struct attributes_gelu {
    int64_t approximate;
} attributes_gelu;

static const pitot_option table[] = {
    { "approximate", PITOT_CHOICE, 1, offsetof(attributes_gelu, approximate), "none", 0, 0, "none|tanh", "", "none: exact" },
    { 0 },
};

static const pitot_real root_half = (pitot_real)0.70710678118654752440;        /* 1/sqrt(2) */
static const pitot_real density = (pitot_real)0.39894228040143267794;          /* 1/sqrt(2 pi) */
static const pitot_real root_two_over_pi = (pitot_real)0.79788456080286535588; /* sqrt(2/pi) */
static const pitot_real cubic = (pitot_real)0.044715;

static pitot_real bent(pitot_real x) {
    return root_two_over_pi * (x + cubic * x * x * x);
}

static pitot_real value(pitot_real x, const void *attributes) {
    const attributes_gelu *a = attributes;
    if (a->approximate) return x * (1 + REAL(tanh)(bent(x))) / 2;
    return x * (1 + REAL(erf)(x * root_half)) / 2;
}

static pitot_real slope(pitot_real x, pitot_real y, const void *attributes) {
    const attributes_gelu *a = attributes;
    (void)y;
    if (!a->approximate) return (1 + REAL(erf)(x * root_half)) / 2 + x * density * REAL(exp)(-x * x / 2);
    pitot_real t = REAL(tanh)(bent(x));
    return (1 + t) / 2 + x * (1 - t * t) * root_two_over_pi * (1 + 3 * cubic * x * x) / 2;
}

static pitot_real bend(pitot_real x, pitot_real y, const void *attributes) {
    const attributes_gelu *a = attributes;
    (void)y;
    if (!a->approximate) {
        pitot_real p = density * REAL(exp)(-x * x / 2);
        return 2 * p - x * (x * p);
    }
    pitot_real t = REAL(tanh)(bent(x)), u = root_two_over_pi * (1 + 3 * cubic * x * x), v = 6 * root_two_over_pi * cubic * x;
    pitot_real dt = (1 - t * t) * u; /* bent' = u, bent'' = v */
    return dt + x * ((1 - t * t) * v - 2 * t * dt * u) / 2;
}
#define BEND_OF_DY

#include "net/pointwise.inc"

const op op_gelu = {
    .name = "gelu",
    .summary = "y = x Phi(x), Phi the normal distribution; or its tanh approximation (Hendrycks, Gimpel 2016)",
    .attributes_size = sizeof(attributes_gelu),
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
