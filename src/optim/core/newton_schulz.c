/* newton_schulz.c: see newton_schulz.h. */

#include "optim/core/newton_schulz.h"

#include "base/blas.h"
#include "optim/core/matrix.h"

#include <math.h>
#include <string.h>

int64_t newton_schulz_work(int64_t rows, int64_t cols) {
    int64_t n = rows < cols ? rows : cols;
    return rows * cols + 2 * n * n;
}

/* B (n,n) = b A + c A^2 + a I, A symmetric: what X is multiplied by. */
static void polynomial(int64_t n, const pitot_real *a, pitot_real *b) {
    memcpy(b, a, (size_t)(n * n) * sizeof *b);
    blas_gemm(0, 0, n, n, n, 2.0315, a, n, a, n, -4.7750, b, n);
    for (int64_t i = 0; i < n; i++) b[i * n + i] += (pitot_real)3.4445;
}

pitot_real *newton_schulz(int64_t rows, int64_t cols, int steps, double eps, pitot_real *x, pitot_real *work) {
    int wide = rows <= cols;
    int64_t n = wide ? rows : cols, size = rows * cols;
    pitot_real *next = work, *a = work + size, *b = a + n * n;
    pitot_real scale = (pitot_real)(1 / (sqrt(matrix_squares(x, 1, size, size)) + eps));
    for (int64_t i = 0; i < size; i++) x[i] *= scale;
    for (int k = 0; k < steps; k++) {
        blas_syrk(!wide, n, wide ? cols : rows, 1, x, cols, 0, a, n);
        matrix_mirror(n, a);
        polynomial(n, a, b);
        if (wide) blas_gemm(0, 0, rows, cols, n, 1, b, n, x, cols, 0, next, cols);
        else blas_gemm(0, 0, rows, cols, n, 1, x, cols, b, n, 0, next, cols);
        pitot_real *old = x;
        x = next;
        next = old;
    }
    return x;
}
