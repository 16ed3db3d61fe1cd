/* panel.c: see panel.h. Fused multiply-adds are asked for by name: -ffp-contract=off keeps the compiler from making any. Every loop over
   rows is unrolled, so that the sums are registers. */

#include "base/panel.h"

#include "pitot/hot.h"

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

enum { W = PANEL_COLUMNS / 2, H = PANEL_COLUMNS / 4, ROWS = PANEL_ROWS / 2 }; /* values of a vector; rows that 16 registers hold */

__attribute__((target("avx512f"))) static void avx512(const pitot_real *l, const pitot_real *r, int64_t n, int add,
                                                      pitot_real *tile, int64_t ld) {
    wide sum[PANEL_ROWS][2];
#pragma GCC unroll 12
    for (int i = 0; i < PANEL_ROWS; i++) sum[i][0] = sum[i][1] = WIDE(setzero)();
    for (; n > 0; n--, l += PANEL_ROWS, r += PANEL_COLUMNS) {
        wide left = WIDE(loadu)(r), right = WIDE(loadu)(r + W);
#pragma GCC unroll 12
        for (int i = 0; i < PANEL_ROWS; i++) {
            wide x = WIDE(set1)(l[i]);
            sum[i][0] = WIDE(fmadd)(x, left, sum[i][0]);
            sum[i][1] = WIDE(fmadd)(x, right, sum[i][1]);
        }
    }
#pragma GCC unroll 12
    for (int i = 0; i < PANEL_ROWS; i++, tile += ld) {
        WIDE(storeu)(tile, add ? WIDE(add)(WIDE(loadu)(tile), sum[i][0]) : sum[i][0]);
        WIDE(storeu)(tile + W, add ? WIDE(add)(WIDE(loadu)(tile + W), sum[i][1]) : sum[i][1]);
    }
}

__attribute__((target("avx512f"))) static void gather_avx512(const panel_entry *entry, int64_t n, const pitot_real *r, int add,
                                                             pitot_real *first, pitot_real *second) {
    wide f0 = WIDE(setzero)(), f1 = f0, s0 = f0, s1 = f0;
    for (int64_t k = 0; k < n; k++) {
        const pitot_real *x = r + entry[k].at;
        wide left = WIDE(loadu)(x), right = WIDE(loadu)(x + W), f = WIDE(set1)(entry[k].l[0]), s = WIDE(set1)(entry[k].l[1]);
        f0 = WIDE(fmadd)(f, left, f0);
        f1 = WIDE(fmadd)(f, right, f1);
        s0 = WIDE(fmadd)(s, left, s0);
        s1 = WIDE(fmadd)(s, right, s1);
    }
    WIDE(storeu)(first, add ? WIDE(add)(WIDE(loadu)(first), f0) : f0);
    WIDE(storeu)(first + W, add ? WIDE(add)(WIDE(loadu)(first + W), f1) : f1);
    WIDE(storeu)(second, add ? WIDE(add)(WIDE(loadu)(second), s0) : s0);
    WIDE(storeu)(second + W, add ? WIDE(add)(WIDE(loadu)(second + W), s1) : s1);
}

/* A quarter of the tile: half its rows, half its columns. */
__attribute__((target("avx2,fma"))) static void quarter(const pitot_real *l, const pitot_real *r, int64_t n, int add,
                                                        pitot_real *tile, int64_t ld) {
    half sum[ROWS][2];
#pragma GCC unroll 12
    for (int i = 0; i < ROWS; i++) sum[i][0] = sum[i][1] = HALF(setzero)();
    for (; n > 0; n--, l += PANEL_ROWS, r += PANEL_COLUMNS) {
        half left = HALF(loadu)(r), right = HALF(loadu)(r + H);
#pragma GCC unroll 12
        for (int i = 0; i < ROWS; i++) {
            half x = HALF(set1)(l[i]);
            sum[i][0] = HALF(fmadd)(x, left, sum[i][0]);
            sum[i][1] = HALF(fmadd)(x, right, sum[i][1]);
        }
    }
#pragma GCC unroll 12
    for (int i = 0; i < ROWS; i++, tile += ld) {
        HALF(storeu)(tile, add ? HALF(add)(HALF(loadu)(tile), sum[i][0]) : sum[i][0]);
        HALF(storeu)(tile + H, add ? HALF(add)(HALF(loadu)(tile + H), sum[i][1]) : sum[i][1]);
    }
}

static void avx2(const pitot_real *l, const pitot_real *r, int64_t n, int add, pitot_real *tile, int64_t ld) {
    for (int i = 0; i < 4; i++) {
        int row = i % 2 * ROWS, column = i / 2 * W;
        quarter(l + row, r + column, n, add, tile + row * ld + column, ld);
    }
}

panel_kernel panel_choose(int32_t most) {
    __builtin_cpu_init();
    if ((most == PANEL_BEST || most >= PANEL_AVX512) && __builtin_cpu_supports("avx512f")) return avx512;
    if ((most == PANEL_BEST || most >= PANEL_AVX2) && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return avx2;
    return NULL;
}

panel_gather panel_choose_gather(int32_t most) {
    __builtin_cpu_init();
    return (most == PANEL_BEST || most >= PANEL_AVX512) && __builtin_cpu_supports("avx512f") ? gather_avx512 : NULL;
}

#else

panel_kernel panel_choose(int32_t most) {
    (void)most;
    return NULL;
}

panel_gather panel_choose_gather(int32_t most) {
    (void)most;
    return NULL;
}

#endif

/* ---- filling ---- */

static inline void square_rows(const pitot_real *x, int64_t ld, int64_t rows, int64_t columns, int64_t panel, pitot_real factor,
                               pitot_real *out) {
    for (; rows > 0; rows--, x += ld, out += panel) {
        for (int64_t i = 0; i < columns; i++) out[i] = (factor * x[i]) * (factor * x[i]);
        for (int64_t i = columns; i < panel; i++) out[i] = 0;
    }
}

PITOT_HOT static void square(const pitot_real *x, int64_t ld, int64_t rows, int64_t columns, int64_t panel, pitot_real factor,
                             pitot_real *out) {
    if (columns == PANEL_ROWS && panel == PANEL_ROWS) square_rows(x, ld, rows, PANEL_ROWS, PANEL_ROWS, factor, out);
    else if (columns == PANEL_COLUMNS && panel == PANEL_COLUMNS)
        square_rows(x, ld, rows, PANEL_COLUMNS, PANEL_COLUMNS, factor, out);
    else square_rows(x, ld, rows, columns, panel, factor, out);
}

static inline void scale_rows(const pitot_real *x, int64_t ld, int64_t rows, int64_t columns, int64_t panel, pitot_real factor,
                              pitot_real *out) {
    for (; rows > 0; rows--, x += ld, out += panel) {
        for (int64_t i = 0; i < columns; i++) out[i] = factor * x[i];
        for (int64_t i = columns; i < panel; i++) out[i] = 0;
    }
}

PITOT_HOT static void scale(const pitot_real *x, int64_t ld, int64_t rows, int64_t columns, int64_t panel, pitot_real factor,
                            pitot_real *out) {
    if (columns == PANEL_ROWS && panel == PANEL_ROWS) scale_rows(x, ld, rows, PANEL_ROWS, PANEL_ROWS, factor, out);
    else scale_rows(x, ld, rows, columns, panel, factor, out);
}

void panel_square(const pitot_real *x, int64_t ld, int64_t rows, int64_t columns, int64_t panel, pitot_real factor,
                  pitot_real *out) {
    square(x, ld, rows, columns, panel, factor, out);
}

void panel_scale(const pitot_real *x, int64_t ld, int64_t rows, int64_t columns, int64_t panel, pitot_real factor,
                 pitot_real *out) {
    scale(x, ld, rows, columns, panel, factor, out);
}
