/* bits.h: numbers from their bit patterns, as files and other people's memory hold them. The upper half of a float is a bfloat16. */

#ifndef PITOT_SRC_BITS_H
#define PITOT_SRC_BITS_H

#include <stdint.h>
#include <string.h>

static inline float bits_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline double bits_double(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* IEEE half precision, exactly: denormals are multiples of 2^-24, NaN keeps its payload. */
static inline float bits_half(uint32_t bits) {
    uint32_t sign = (bits & 0x8000u) << 16, exponent = bits >> 10 & 0x1fu, fraction = bits & 0x3ffu;
    if (exponent == 0) {
        float value = (float)fraction * 0x1p-24f;
        return sign ? -value : value;
    }
    uint32_t wide = exponent == 0x1fu ? 0xffu : exponent + 112;
    return bits_float(sign | wide << 23 | fraction << 13);
}

#endif
