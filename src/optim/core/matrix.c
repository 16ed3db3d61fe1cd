/* matrix.c: see matrix.h. */

#include "optim/core/matrix.h"

#include "pitot/hot.h"

#include <string.h>

enum { LANES = 16, TILE = 64 };

/* As many partial sums as lanes, so that it vectorises without changing an order of additions. */
PITOT_HOT static double row_squares(const pitot_real *restrict x, int64_t n) {
    double sum[LANES] = { 0 }, all = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++) sum[k] += (double)x[i + k] * (double)x[i + k];
    for (; i < n; i++) sum[i % LANES] += (double)x[i] * (double)x[i];
    for (int k = 0; k < LANES; k++) all += sum[k];
    return all;
}

double matrix_squares(const pitot_real *x, int64_t rows, int64_t cols, int64_t ld) {
    double sum = 0;
    if (ld == cols) return row_squares(x, rows * cols);
    for (int64_t i = 0; i < rows; i++) sum += row_squares(x + i * ld, cols);
    return sum;
}

void matrix_mirror(int64_t n, pitot_real *a) {
    for (int64_t i0 = 0; i0 < n; i0 += TILE)
        for (int64_t j0 = 0; j0 <= i0; j0 += TILE)
            for (int64_t i = i0; i < n && i < i0 + TILE; i++)
                for (int64_t j = j0; j < i && j < j0 + TILE; j++) a[i * n + j] = a[j * n + i];
}

void matrix_identity(int64_t n, double scale, pitot_real *a) {
    memset(a, 0, (size_t)(n * n) * sizeof *a);
    for (int64_t i = 0; i < n; i++) a[i * n + i] = (pitot_real)scale;
}

int32_t matrix_bounded(const pitot_stepping *s) {
    for (int64_t i = 0; i < s->n; i++) {
        const pitot_tensor_state *t = &s->tensor[i];
        if (t->g && !(matrix_squares(t->g, 1, t->size, t->size) < MATRIX_MOST)) return PITOT_EHOST;
    }
    return PITOT_OK;
}
