/* random.c: see random.h. */

#include "base/random.h"

#include <math.h>

static uint32_t multiply_high(uint32_t a, uint32_t b, uint32_t *low) {
    uint64_t product = (uint64_t)a * b;
    *low = (uint32_t)product;
    return (uint32_t)(product >> 32);
}

void random_block(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint32_t low0, low1;
        uint32_t high0 = multiply_high(0xD2511F53u, c0, &low0), high1 = multiply_high(0xCD9E8D57u, c2, &low1);
        c0 = high1 ^ c1 ^ k0;
        c1 = low1;
        c2 = high0 ^ c3 ^ k1;
        c3 = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* Mixes a 64-bit word so that close inputs give unrelated outputs (the finaliser of splitmix64). */
static uint64_t mix(uint64_t x) {
    x += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

uint64_t random_bits(uint64_t seed, uint64_t purpose, uint64_t step, uint64_t index) {
    uint64_t k = mix(seed ^ mix(purpose));
    const uint32_t counter[4] = { (uint32_t)index, (uint32_t)(index >> 32), (uint32_t)step, (uint32_t)(step >> 32) };
    const uint32_t key[2] = { (uint32_t)k, (uint32_t)(k >> 32) };
    uint32_t out[4];
    random_block(counter, key, out);
    return (uint64_t)out[0] << 32 | out[1];
}

double random_uniform(uint64_t seed, uint64_t purpose, uint64_t step, uint64_t index) {
    return ((double)(random_bits(seed, purpose, step, index) >> 11) + 0.5) * 0x1p-53;
}

void random_normal(uint64_t seed, uint64_t purpose, uint64_t step, uint64_t index, double out[2]) {
    double radius = sqrt(-2 * log(random_uniform(seed, purpose, step, 2 * index)));
    double angle = 6.283185307179586 * random_uniform(seed, purpose, step, 2 * index + 1);
    out[0] = radius * cos(angle);
    out[1] = radius * sin(angle);
}

void random_permutation(uint64_t seed, uint64_t purpose, uint64_t step, int64_t n, int64_t *out) {
    for (int64_t i = 0; i < n; i++) out[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = (int64_t)(random_bits(seed, purpose, step, (uint64_t)i) % (uint64_t)(i + 1));
        int64_t swap = out[i];
        out[i] = out[j];
        out[j] = swap;
    }
}

uint64_t random_purpose(const char *name) {
    uint64_t h = UINT64_C(0xCBF29CE484222325);
    for (; *name; name++) h = (h ^ (unsigned char)*name) * UINT64_C(0x100000001B3);
    return h | UINT64_C(1) << 63;
}
