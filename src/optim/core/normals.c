/* normals.c: see normals.h. Philox4x32-10 (base/random.h) with a key for (seed, purpose, step), LANES counters side by side, and Box and Muller's
   transformation in series of its own, so that all of it vectorises: calls of log, sin and cos do not. */

#include "optim/core/normals.h"

#include "base/random.h"
#include "base/threads.h"
#include "pitot/hot.h"

#include <math.h>
#include <string.h>

enum { LANES = NORMALS_BLOCK / 4, WORTH_THREADS = 32 /* blocks */ };

typedef struct words {
    uint32_t w[4][LANES];
} words;

#define INLINE static inline __attribute__((always_inline))

/* Blocks at counters first..first + LANES. */
INLINE void philox(uint64_t first, uint64_t key, words *out) {
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int l = 0; l < LANES; l++) {
        out->w[0][l] = (uint32_t)(first + (uint64_t)l);
        out->w[1][l] = (uint32_t)((first + (uint64_t)l) >> 32);
        out->w[2][l] = out->w[3][l] = 0;
    }
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u)
        for (int l = 0; l < LANES; l++) {
            uint64_t a = UINT64_C(0xD2511F53) * out->w[0][l], b = UINT64_C(0xCD9E8D57) * out->w[2][l];
            uint32_t c1 = out->w[1][l], c3 = out->w[3][l];
            out->w[0][l] = (uint32_t)(b >> 32) ^ c1 ^ k0;
            out->w[1][l] = (uint32_t)b;
            out->w[2][l] = (uint32_t)(a >> 32) ^ c3 ^ k1;
            out->w[3][l] = (uint32_t)a;
        }
}

/* ln x, x > 0 and normal: x = 2^e m, m about 1, ln m = 2 artanh((m - 1) / (m + 1)). */
INLINE float logarithm(float x) {
    int32_t bits, up;
    float m;
    memcpy(&bits, &x, sizeof bits);
    up = bits - 0x3f3504f3; /* 1/sqrt 2: m is above it */
    int32_t e = up >> 23, mantissa = bits - (int32_t)((uint32_t)e << 23);
    memcpy(&m, &mantissa, sizeof m);
    float s = (m - 1) / (m + 1), q = s * s;
    float series = 2 * s * (1 + q * (1.0f / 3 + q * (1.0f / 5 + q * (1.0f / 7 + q * (1.0f / 9)))));
    return series + (float)e * 0.69314718f;
}

/* cos and sin of 2 pi w / 2^32: within an eighth of a turn of the nearest quarter, by their series. */
INLINE void turn(uint32_t w, float *cosine, float *sine) {
    uint32_t quarter = (w + 0x20000000u) >> 30;
    float x = (float)(int32_t)(w - (quarter << 30)) * 1.46291808e-9f, q = x * x; /* 2 pi / 2^32 */
    float c = 1 + q * (-1.0f / 2 + q * (1.0f / 24 + q * (-1.0f / 720 + q * (1.0f / 40320))));
    float s = x * (1 + q * (-1.0f / 6 + q * (1.0f / 120 + q * (-1.0f / 5040 + q * (1.0f / 362880)))));
    float a = quarter & 1 ? s : c, b = quarter & 1 ? c : s;
    *cosine = (quarter + 1) & 2 ? -a : a;
    *sine = quarter & 2 ? -b : b;
}

PITOT_HOT static void make_block(uint64_t first, uint64_t key, pitot_real *restrict out) {
    words r;
    philox(first, key, &r);
    for (int half = 0; half < 2; half++)
        for (int l = 0; l < LANES; l++) {
            float c, s, u = ((float)(int32_t)(r.w[2 * half][l] >> 9) + 0.5f) * 0x1p-23f; /* exact */
            float radius = sqrtf(-2 * logarithm(u));
            turn(r.w[2 * half + 1][l], &c, &s);
            out[2 * half * LANES + l] = (pitot_real)(radius * c);
            out[(2 * half + 1) * LANES + l] = (pitot_real)(radius * s);
        }
}

typedef struct normals_job {
    uint64_t key, index;
    int64_t n;
    pitot_real *out;
} normals_job;

static void make_blocks(void *job, int64_t begin, int64_t end, int thread) {
    const normals_job *j = job;
    (void)thread;
    for (int64_t b = begin; b < end; b++) {
        int64_t left = j->n - b * NORMALS_BLOCK;
        uint64_t first = (j->index + (uint64_t)b) * LANES;
        pitot_real last[NORMALS_BLOCK], *to = j->out + b * NORMALS_BLOCK;
        make_block(first, j->key, left < NORMALS_BLOCK ? last : to);
        if (left < NORMALS_BLOCK) memcpy(to, last, (size_t)left * sizeof *last);
    }
}

void normals(uint64_t seed, uint64_t purpose, uint64_t step, uint64_t index, int threads, int64_t n, pitot_real *out) {
    normals_job j = { random_bits(seed, purpose, step, UINT64_MAX), index, n, out };
    int64_t blocks = (n + NORMALS_BLOCK - 1) / NORMALS_BLOCK;
    threads_run(blocks >= WORTH_THREADS ? threads : 1, blocks, make_blocks, &j);
}
