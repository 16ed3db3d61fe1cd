/* winograd_tile.c: see winograd_tile.h. Toom-Cook with the points 0, 1, -1, infinity or 0, 1, -1, 2, -2, infinity: A and, but for the factors D
   of its rows, G hold powers of the points, and B the coefficients of Lagrange's polynomials. */

#include "net/winograd_tile.h"

#include "pitot/hot.h"

#include <string.h>

#if defined(__x86_64__) && !defined(PITOT_DOUBLE)
#include <xmmintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))
enum { SIDE = TILE_MOST, LANES = TILE_LANES };

/* ---- transposition ---- */

enum { BLOCK = 4 };

/* to (4,4) = from' */
INLINE void turn_block(const pitot_real *from, int64_t ld, pitot_real *to, int64_t ld_to) {
#if defined(__x86_64__) && !defined(PITOT_DOUBLE)
    __m128 a = _mm_loadu_ps(from), b = _mm_loadu_ps(from + ld), c = _mm_loadu_ps(from + 2 * ld), d = _mm_loadu_ps(from + 3 * ld);
    _MM_TRANSPOSE4_PS(a, b, c, d);
    _mm_storeu_ps(to, a);
    _mm_storeu_ps(to + ld_to, b);
    _mm_storeu_ps(to + 2 * ld_to, c);
    _mm_storeu_ps(to + 3 * ld_to, d);
#else
    for (int i = 0; i < BLOCK; i++)
        for (int j = 0; j < BLOCK; j++) to[j * ld_to + i] = from[i * ld + j];
#endif
}

/* to (columns, rows) = from (rows, columns)'; the last block of a side overlaps its neighbour. */
INLINE void turn(const pitot_real *from, int64_t ld, int64_t rows, int64_t columns, pitot_real *to, int64_t ld_to) {
    if (rows < BLOCK || columns < BLOCK) {
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < columns; j++) to[j * ld_to + i] = from[i * ld + j];
        return;
    }
    for (int64_t j = 0; j < columns; j += BLOCK) {
        if (j > columns - BLOCK) j = columns - BLOCK;
        for (int64_t i = 0; i < rows; i += BLOCK) {
            if (i > rows - BLOCK) i = rows - BLOCK;
            turn_block(from + i * ld + j, ld, to + j * ld_to + i, ld_to);
        }
    }
}

/* ---- in one dimension: from values `step` apart to values `to` apart; side and n are constants where these are inlined ---- */

INLINE void times_b_transposed(const pitot_real *x, int64_t step, int side, pitot_real *t, int64_t to) {
#pragma omp simd
    for (int l = 0; l < LANES; l++) {
        pitot_real x0 = x[l], x1 = x[step + l], x2 = x[2 * step + l], x3 = x[3 * step + l];
        if (side == 4) {
            t[l] = x0 - x2;
            t[to + l] = x2 + x1;
            t[2 * to + l] = x2 - x1;
            t[3 * to + l] = x3 - x1;
        } else {
            pitot_real x4 = x[4 * step + l], x5 = x[5 * step + l], a = x4 - 4 * x2, b = x3 - 4 * x1, c = x4 - x2, d = x3 - x1;
            t[l] = 4 * (x0 - x2) + c;
            t[to + l] = a + b;
            t[2 * to + l] = a - b;
            t[3 * to + l] = c + 2 * d;
            t[4 * to + l] = c - 2 * d;
            t[5 * to + l] = x5 - x3 - 4 * d;
        }
    }
}

INLINE void put(pitot_real *x, pitot_real value, int add) {
    *x = add ? *x + value : value;
}

/* x = B t, or with `add` added to x */
INLINE void times_b(const pitot_real *t, int64_t step, int side, pitot_real *x, int64_t to, int add) {
#pragma omp simd
    for (int l = 0; l < LANES; l++) {
        pitot_real t0 = t[l], t1 = t[step + l], t2 = t[2 * step + l], t3 = t[3 * step + l], p = t1 + t2, q = t1 - t2;
        if (side == 4) {
            put(x + l, t0, add);
            put(x + to + l, q - t3, add);
            put(x + 2 * to + l, p - t0, add);
            put(x + 3 * to + l, t3, add);
        } else {
            pitot_real t4 = t[4 * step + l], t5 = t[5 * step + l], r = t3 + t4, d = 2 * (t3 - t4);
            put(x + l, 4 * t0, add);
            put(x + to + l, 4 * (t5 - q) - d, add);
            put(x + 2 * to + l, -5 * t0 - 4 * p - r, add);
            put(x + 3 * to + l, q + d - 5 * t5, add);
            put(x + 4 * to + l, t0 + p + r, add);
            put(x + 5 * to + l, t5, add);
        }
    }
}

/* The polynomial with n coefficients w at the points. */
INLINE void at_points(const pitot_real *w, int64_t step, int n, int side, pitot_real *t, int64_t to) {
#pragma omp simd
    for (int l = 0; l < LANES; l++) {
        pitot_real w0 = w[l], w1 = w[step + l], w2 = n > 2 ? w[2 * step + l] : 0, w3 = n > 3 ? w[3 * step + l] : 0;
        pitot_real w4 = n > 4 ? w[4 * step + l] : 0, last = n == 2 ? w1 : n == 3 ? w2 : n == 4 ? w3 : w4;
        pitot_real e = n > 4 ? w0 + w2 + w4 : n > 2 ? w0 + w2 : w0, o = n > 3 ? w1 + w3 : w1;
        t[l] = w0;
        t[to + l] = e + o;
        t[2 * to + l] = e - o;
        if (side == 6) {
            pitot_real f = n > 4 ? w0 + 4 * w2 + 16 * w4 : n > 2 ? w0 + 4 * w2 : w0, u = n > 3 ? 2 * w1 + 8 * w3 : 2 * w1;
            t[3 * to + l] = f + u;
            t[4 * to + l] = f - u;
        }
        t[(side - 1) * to + l] = last;
    }
}

/* The transpose. */
INLINE void from_points(const pitot_real *t, int64_t step, int n, int side, pitot_real *w, int64_t to) {
#pragma omp simd
    for (int l = 0; l < LANES; l++) {
        pitot_real last = t[(side - 1) * step + l], p = t[step + l] + t[2 * step + l], q = t[step + l] - t[2 * step + l];
        pitot_real w0 = t[l] + p, w1 = q, w2 = p;
        if (side == 6) {
            pitot_real r = t[3 * step + l] + t[4 * step + l], d = t[3 * step + l] - t[4 * step + l];
            w0 += r;
            w1 += 2 * d;
            w2 += 4 * r;
            if (n > 3) w[3 * to + l] = n == 4 ? q + 8 * d + last : q + 8 * d;
            if (n > 4) w[4 * to + l] = p + 16 * r + last;
        }
        w[l] = w0;
        w[to + l] = n == 2 ? w1 + last : w1;
        if (n > 2) w[2 * to + l] = n == 3 ? w2 + last : w2;
    }
}

/* ---- in two ---- */

INLINE void input_tile(const pitot_real *x, const tiles *t, int side, pitot_real *points) {
    pitot_real half[SIDE][SIDE][LANES];
    for (int i = 0; i < side; i++) times_b_transposed(x + i * t->wide, t->deep, side, half[i][0], LANES);
    for (int j = 0; j < side; j++) times_b_transposed(half[0][j], SIDE * LANES, side, points + j * t->stride, side * t->stride);
}

INLINE void input_gradient_tile(const pitot_real *points, const tiles *t, int side, pitot_real *x) {
    pitot_real half[SIDE][SIDE][LANES];
    for (int j = 0; j < side; j++) times_b(points + j * t->stride, side * t->stride, side, half[0][j], SIDE * LANES, 0);
    for (int i = 0; i < side; i++) times_b(half[i][0], LANES, side, x + i * t->wide, t->deep, 1);
}

INLINE void output_tile(const pitot_real *points, const tiles *t, int n, int side, pitot_real *y) {
    pitot_real half[SIDE][4][LANES];
    for (int i = 0; i < side; i++) from_points(points + i * side * t->stride, t->stride, n, side, half[i][0], LANES);
    for (int j = 0; j < n; j++) from_points(half[0][j], 4 * LANES, n, side, y + j * t->deep, t->wide);
}

INLINE void output_gradient_tile(const pitot_real *y, const tiles *t, int n, int side, pitot_real *points) {
    pitot_real half[4][SIDE][LANES];
    for (int i = 0; i < n; i++) at_points(y + i * t->wide, t->deep, n, side, half[i][0], LANES);
    for (int j = 0; j < side; j++) at_points(half[0][j], SIDE * LANES, n, side, points + j * t->stride, side * t->stride);
}

/* Calls WORK for each tile, whose image begins at `at` values and whose points at `place`, and each vector of its channels. */
#define EACH_TILE(WORK)                                                                          \
    for (int64_t i = 0, place = 0; i < t->count[0]; i++)                                         \
        for (int64_t j = 0; j < t->count[1]; j++)                                                \
            for (int64_t k = 0, at = i * t->step * t->wide + j * t->step * t->deep; k < t->deep; \
                 k += LANES, at += LANES, place += LANES)                                        \
                WORK;

PITOT_HOT static void of_input(const tiles *t, const pitot_real *x, pitot_real *points) {
    if (t->side == 4) EACH_TILE(input_tile(x + at, t, 4, points + place))
    else EACH_TILE(input_tile(x + at, t, 6, points + place))
}

PITOT_HOT static void to_input(const tiles *t, const pitot_real *points, pitot_real *x) {
    if (t->side == 4) EACH_TILE(input_gradient_tile(points + place, t, 4, x + at))
    else EACH_TILE(input_gradient_tile(points + place, t, 6, x + at))
}

PITOT_HOT static void to_output(const tiles *t, const pitot_real *points, pitot_real *y) {
    if (t->side == 4) EACH_TILE(output_tile(points + place, t, 2, 4, y + at))
    else if (t->step == 2) EACH_TILE(output_tile(points + place, t, 2, 6, y + at))
    else EACH_TILE(output_tile(points + place, t, 4, 6, y + at))
}

PITOT_HOT static void of_output(const tiles *t, const pitot_real *y, pitot_real *points) {
    if (t->side == 4) EACH_TILE(output_gradient_tile(y + at, t, 2, 4, points + place))
    else if (t->step == 2) EACH_TILE(output_gradient_tile(y + at, t, 2, 6, points + place))
    else EACH_TILE(output_gradient_tile(y + at, t, 4, 6, points + place))
}

/* ---- kernels ---- */

/* Value i of D. */
INLINE pitot_real factor(int side, int i) {
    if (side == 4) return (pitot_real)(i == 1 || i == 2 ? 1.0 / 2 : 1);
    return (pitot_real)(i == 0 ? 1.0 / 4 : i < 3 ? -1.0 / 6 : i < 5 ? 1.0 / 24 : 1);
}

INLINE void kernel_points(const pitot_real *w, int n, int side, pitot_real *points, int64_t stride) {
    pitot_real half[5][SIDE][LANES];
    for (int i = 0; i < n; i++) at_points(w + i * n * LANES, LANES, n, side, half[i][0], LANES);
    for (int j = 0; j < side; j++) {
        at_points(half[0][j], SIDE * LANES, n, side, points + j * stride, side * stride);
        for (int i = 0; i < side; i++)
            for (int l = 0; l < LANES; l++) points[(i * side + j) * stride + l] *= factor(side, i) * factor(side, j);
    }
}

INLINE void kernel_from_points(const pitot_real *points, int64_t stride, int n, int side, pitot_real *w) {
    pitot_real half[SIDE][5][LANES], row[SIDE][LANES];
    for (int i = 0; i < side; i++) {
        for (int j = 0; j < side; j++)
            for (int l = 0; l < LANES; l++) row[j][l] = points[(i * side + j) * stride + l] * (factor(side, i) * factor(side, j));
        from_points(row[0], LANES, n, side, half[i][0], LANES);
    }
    for (int j = 0; j < n; j++) from_points(half[0][j], 5 * LANES, n, side, w + j * LANES, n * LANES);
}

PITOT_HOT static void of_kernels(const kernels *k, const pitot_real *w, pitot_real *points) {
    pitot_real values[25][LANES] = { 0 };
    int64_t area = k->size * k->size;
    for (int64_t i = 0; i < k->rows; i++)
        for (int64_t j = 0; j < k->ld; j += LANES) {
            int64_t n = k->columns - j < LANES ? k->columns - j : LANES;
            if (n < LANES) memset(values, 0, sizeof values);
            turn(w + i * k->row + j * k->column, k->column, n, area, values[0], LANES);
            pitot_real *to = points + i * k->ld + j;
            if (k->side == 4) kernel_points(values[0], 3, 4, to, k->stride);
            else if (k->size == 3) kernel_points(values[0], 3, 6, to, k->stride);
            else kernel_points(values[0], 5, 6, to, k->stride);
        }
}

PITOT_HOT static void to_kernels(const kernels *k, const pitot_real *points, pitot_real *w) {
    pitot_real values[25][LANES];
    int64_t area = k->size * k->size;
    for (int64_t i = 0; i < k->rows; i++)
        for (int64_t j = 0; j < k->columns; j += LANES) {
            int64_t n = k->columns - j < LANES ? k->columns - j : LANES;
            const pitot_real *from = points + i * k->ld + j;
            if (k->side == 4) kernel_from_points(from, k->stride, 3, 4, values[0]);
            else if (k->size == 3) kernel_from_points(from, k->stride, 3, 6, values[0]);
            else kernel_from_points(from, k->stride, 5, 6, values[0]);
            turn(values[0], LANES, area, n, w + i * k->row + j * k->column, k->column);
        }
}

/* ---- images ---- */

PITOT_HOT static void interleave(const pitot_real *x, int64_t channels, int64_t rows, int64_t columns, pitot_real *to, int64_t wide,
                                 int64_t deep) {
    for (int64_t i = 0; i < rows; i++) turn(x + i * columns, rows * columns, channels, columns, to + i * wide, deep);
}

PITOT_HOT static void separate(const pitot_real *from, int64_t wide, int64_t deep, int64_t channels, int64_t rows, int64_t columns,
                               const pitot_real *bias, pitot_real *y) {
    for (int64_t i = 0; i < rows; i++) turn(from + i * wide, deep, columns, channels, y + i * columns, rows * columns);
    for (int64_t c = 0; bias && c < channels; c++)
        for (int64_t i = 0; i < rows * columns; i++) y[c * rows * columns + i] += bias[c];
}

/* ---- clones of an exported function would be exported, too: hence a static one under each ---- */

void tiles_of_input(const tiles *t, const pitot_real *x, pitot_real *points) {
    of_input(t, x, points);
}

void tiles_to_input(const tiles *t, const pitot_real *points, pitot_real *x) {
    to_input(t, points, x);
}

void tiles_to_output(const tiles *t, const pitot_real *points, pitot_real *y) {
    to_output(t, points, y);
}

void tiles_of_output(const tiles *t, const pitot_real *y, pitot_real *points) {
    of_output(t, y, points);
}

void tiles_of_kernels(const kernels *k, const pitot_real *w, pitot_real *points) {
    of_kernels(k, w, points);
}

void tiles_to_kernels(const kernels *k, const pitot_real *points, pitot_real *w) {
    to_kernels(k, points, w);
}

void tiles_interleave(const pitot_real *x, int64_t channels, int64_t rows, int64_t columns, pitot_real *to, int64_t wide,
                      int64_t deep) {
    interleave(x, channels, rows, columns, to, wide, deep);
}

void tiles_separate(const pitot_real *from, int64_t wide, int64_t deep, int64_t channels, int64_t rows, int64_t columns,
                    const pitot_real *bias, pitot_real *y) {
    separate(from, wide, deep, channels, rows, columns, bias, y);
}
