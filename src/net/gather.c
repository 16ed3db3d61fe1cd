/* gather.c: see gather.h. Fused multiply-adds are asked for by name: -ffp-contract=off keeps the compiler from making any. */

#include "net/gather.h"

#define INLINE static inline __attribute__((always_inline))
enum { MOST_SUMS = 24, MOST_VECTORS = 8, MOST_PAIR = GATHER_ROWS };

/* ---- anywhere ---- */

typedef pitot_real small __attribute__((vector_size(16), aligned(sizeof(pitot_real)), may_alias));

#define TARGET
#define NAME(x) plain_##x
#define VECTOR small
#define LANES (GATHER_LANES / 4)
#define SUMS 12
#define LOAD(p) (*(const small *)(p))
#define STORE(p, x) (*(small *)(p) = (x))
#define SPREAD(x) ((small){ 0 } + (x))
#define MULTIPLY_ADD(a, b, c) ((a) * (b) + (c))
#include "net/gather.inc"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(PITOT_NO_CLONES)

#include <immintrin.h>

#ifdef PITOT_DOUBLE
#define WIDE(operation) _mm512_##operation##_pd
#define HALF(operation) _mm256_##operation##_pd
typedef __m512d wide;
typedef __m256d half;
#else
#define WIDE(operation) _mm512_##operation##_ps
#define HALF(operation) _mm256_##operation##_ps
typedef __m512 wide;
typedef __m256 half;
#endif

#define TARGET __attribute__((target("avx2,fma")))
#define NAME(x) avx2_##x
#define VECTOR half
#define LANES (GATHER_LANES / 2)
#define SUMS 12
#define LOAD HALF(loadu)
#define STORE HALF(storeu)
#define SPREAD HALF(set1)
#define MULTIPLY_ADD HALF(fmadd)
#include "net/gather.inc"

#define TARGET __attribute__((target("avx512f")))
#define NAME(x) avx512_##x
#define VECTOR wide
#define LANES GATHER_LANES
#define SUMS 24
#define LOAD WIDE(loadu)
#define STORE WIDE(storeu)
#define SPREAD WIDE(set1)
#define MULTIPLY_ADD WIDE(fmadd)
#include "net/gather.inc"

static int32_t there_is(int32_t most) {
    __builtin_cpu_init();
    if ((most == GATHER_BEST || most >= GATHER_AVX512) && __builtin_cpu_supports("avx512f")) return GATHER_AVX512;
    if ((most == GATHER_BEST || most >= GATHER_AVX2) && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return GATHER_AVX2;
    return GATHER_PLAIN;
}

gather_kernel gather_choose(int32_t most) {
    int32_t best = there_is(most);
    return best == GATHER_AVX512 ? avx512_all : best == GATHER_AVX2 ? avx2_all : plain_all;
}

gather_pair gather_choose_pair(int32_t most) {
    int32_t best = there_is(most);
    return best == GATHER_AVX512 ? avx512_pairs : best == GATHER_AVX2 ? avx2_pairs : plain_pairs;
}

#else

gather_kernel gather_choose(int32_t most) {
    (void)most;
    return plain_all;
}

gather_pair gather_choose_pair(int32_t most) {
    (void)most;
    return plain_pairs;
}

#endif

int64_t gather_rows(int64_t n) {
    static const int64_t rows[] = { 1, 2, 4, 6, 9, GATHER_ROWS };
    int i = 0;
    while (rows[i] < n) i++;
    return rows[i];
}

int64_t gather_panel(int64_t rows) {
    return (rows == 1 ? 8 : rows == 2 ? 4 : 2) * GATHER_LANES;
}
