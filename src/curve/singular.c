/* singular.c: singular values from the smaller Gram matrix. With m = min(rows, cols), the matrix goes through a panel of `deep` of its
   longer side's items at a time, in double and divided by a power of two, so that the largest magnitude is below 1 and no square
   overflows. `work` is the Gram matrix (m,m), the panel (deep,m), and what LAPACK wants. */

#include "base/blas.h"
#include "pitot/solve.h"

#include <math.h>
#include <stdlib.h>

enum { LEAST_DEEP = 256, LEAST_PANEL = 1 << 15, LEAST_EXPONENT = -1000 };

typedef struct shape {
    int64_t m, length, deep; /* the shorter side, the longer one, items of it in a panel */
} shape;

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static shape shape_of(int64_t rows, int64_t cols) {
    shape s = { .m = least(rows, cols), .length = rows < cols ? cols : rows };
    s.deep = least(s.length, LEAST_DEEP > LEAST_PANEL / s.m ? LEAST_DEEP : LEAST_PANEL / s.m);
    return s;
}

int64_t pitot_singular_work(int64_t rows, int64_t cols) {
    int64_t count, gram;
    if (rows < 1 || cols < 1) return -1;
    shape s = shape_of(rows, cols);
    int64_t more = blas_eigenvalues_work(s.m);
    if (more < 0 || __builtin_mul_overflow(s.m, s.m, &gram) || __builtin_mul_overflow(s.m, s.deep, &count) ||
        __builtin_add_overflow(count, gram, &count) || __builtin_add_overflow(count, more, &count))
        return -1;
    return count > INT64_MAX / (int64_t)sizeof(double) ? -1 : count;
}

typedef struct matrix { /* seen so that item i of the longer side has m values */
    const pitot_real *x;
    int64_t i_step, j_step;
} matrix;

/* Largest magnitude; not finite if a value is not. */
static double largest(const matrix *a, const shape *s) {
    double most = 0, bad = 0;
    int inner = llabs(a->i_step) < llabs(a->j_step);
    int64_t outer_n = inner ? s->m : s->length, inner_n = inner ? s->length : s->m;
    int64_t outer_step = inner ? a->j_step : a->i_step, inner_step = inner ? a->i_step : a->j_step;
    for (int64_t o = 0; o < outer_n; o++)
        for (int64_t i = 0; i < inner_n; i++) {
            double v = (double)a->x[o * outer_step + i * inner_step];
            most = fmax(most, fabs(v));
            bad += v - v;
        }
    return bad == 0 ? most : NAN;
}

/* Items begin to begin + n - 1 into the panel (n,m), times scale; along the matrix's shorter step. */
static void fill(const matrix *a, const shape *s, int64_t begin, int64_t n, double scale, double *panel) {
    const pitot_real *x = a->x + begin * a->i_step;
    if (llabs(a->i_step) < llabs(a->j_step)) {
        for (int64_t j = 0; j < s->m; j++)
            for (int64_t i = 0; i < n; i++) panel[i * s->m + j] = scale * (double)x[i * a->i_step + j * a->j_step];
        return;
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < s->m; j++) panel[i * s->m + j] = scale * (double)x[i * a->i_step + j * a->j_step];
}

int32_t pitot_singular_values(const pitot_real *x, int64_t rows, int64_t cols, int64_t row_step, int64_t col_step, double *sigma,
                              double *work) {
    if (!x || !sigma || !work || pitot_singular_work(rows, cols) < 0) return PITOT_EINVAL;
    shape s = shape_of(rows, cols);
    matrix a = { x, rows < cols ? col_step : row_step, rows < cols ? row_step : col_step };
    double *gram = work, *panel = gram + s.m * s.m, most = largest(&a, &s);
    int exponent = 0;
    if (!isfinite(most)) return PITOT_EHOST;
    frexp(most, &exponent);
    if (exponent < LEAST_EXPONENT) exponent = LEAST_EXPONENT;
    for (int64_t begin = 0; begin < s.length; begin += s.deep) {
        int64_t n = least(s.deep, s.length - begin);
        fill(&a, &s, begin, n, ldexp(1, -exponent), panel);
        blas_gram(s.m, n, panel, begin > 0, gram);
    }
    if (blas_eigenvalues(s.m, gram, sigma, panel + s.deep * s.m)) return PITOT_EHOST;
    for (int64_t i = 0, j = s.m - 1; i <= j; i++, j--) {
        double low = sigma[i], high = sigma[j];
        sigma[i] = ldexp(sqrt(fmax(high, 0)), exponent);
        sigma[j] = ldexp(sqrt(fmax(low, 0)), exponent);
    }
    return PITOT_OK;
}
