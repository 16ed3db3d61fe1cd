/* toeplitz.c: see toeplitz.h. Products of two are products of polynomials, and transposing changes neither these nor Pi. */

#include "optim/core/toeplitz.h"

#include "base/blas.h"
#include "pitot/hot.h"

#include <string.h>

enum { PANEL = 64 /* columns of K that stand at once */ };

int64_t toeplitz_room(int64_t d) {
    return d * PANEL;
}

/* panel (d, n): columns at..at+n of K */
static void fill_panel(int64_t d, const pitot_real *k, int lower, int64_t at, int64_t n, pitot_real *panel) {
    for (int64_t i = 0; i < d; i++)
        for (int64_t j = 0; j < n; j++) {
            int64_t off = lower ? i - (at + j) : at + j - i;
            panel[i * n + j] = off < 0 ? 0 : k[off];
        }
}

void toeplitz_rows(int64_t d, const pitot_real *k, int lower, const pitot_real *x, int64_t n, pitot_real *y, pitot_real *room) {
    for (int64_t at = 0; at < d; at += PANEL) {
        int64_t columns = d - at < PANEL ? d - at : PANEL, from = lower ? at : 0, to = lower ? d : at + columns;
        fill_panel(d, k, lower, at, columns, room);
        blas_gemm(0, 0, n, columns, to - from, 1, x + from, d, room + from * columns, columns, 0, y + at, d);
    }
}

PITOT_HOT static pitot_real dot(const pitot_real *restrict x, const pitot_real *restrict y, int64_t n) {
    enum { LANES = 16 };
    pitot_real part[LANES] = { 0 }, sum = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) part[l] += x[i + l] * y[i + l];
    for (int l = 0; l < LANES; l++) sum += part[l];
    for (; i < n; i++) sum += x[i] * y[i];
    return sum;
}

void toeplitz_gram(int64_t d, const pitot_real *x, int64_t n, double scale, int add, pitot_real *out) {
    for (int64_t j = 0; j < d; j++) {
        double sum = 0;
        for (int64_t r = 0; r < n; r++) sum += (double)dot(x + r * d, x + r * d + j, d - j);
        sum *= scale * (j ? 2 : 1) / (double)(d - j);
        out[j] = (pitot_real)(add ? (double)out[j] + sum : sum);
    }
}

/* Along diagonal j of K'K stand the sums of k_s k_{s+j} over s = 0..i, i = 0..d-1-j. */
void toeplitz_square(int64_t d, const pitot_real *k, pitot_real *out) {
    for (int64_t j = 0; j < d; j++) {
        double sum = 0;
        for (int64_t s = 0; s < d - j; s++) sum += (double)(d - j - s) * (double)k[s] * (double)k[s + j];
        out[j] = (pitot_real)(sum * (j ? 2 : 1) / (double)(d - j));
    }
}

void toeplitz_product(int64_t d, const pitot_real *k, const pitot_real *m, pitot_real *out) {
    for (int64_t j = 0; j < d; j++) {
        double sum = 0;
        for (int64_t i = 0; i <= j; i++) sum += (double)k[i] * (double)m[j - i];
        out[j] = (pitot_real)sum;
    }
}
