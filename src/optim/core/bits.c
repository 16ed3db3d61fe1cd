/* bits.c: values as bit patterns: what is finite, and bfloat16. */

#include "base/bits.h"
#include "optim/core/optimizer.h"
#include "optim/core/spans.h"
#include "pitot/hot.h"

#include <string.h>

PITOT_HOT static real_bits largest(const pitot_real *x, int64_t n) {
    return largest_run(x, n);
}

int finite_values(const pitot_real *x, int64_t n) {
    return largest(x, n) < INFINITE;
}

int good_values(const pitot_real *x, int64_t n) {
    return largest(x, n) < TOO_LARGE;
}

uint16_t pitot_bf16_of(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(u >> 16 | 0x40); /* NaN stays NaN */
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1)) >> 16);
}

float pitot_of_bf16(uint16_t x) {
    uint32_t u = (uint32_t)x << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}
