/* Products of squares, beside sums in long double, with every kernel: rows and columns around a panel's, samples around what a kernel adds
   up at once, on one thread and on several, with the same bits every time. */

#include "base/panel.h"
#include "net/net.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Terms are positive: each of the roundings of squares, products and sums of n terms takes a part of them. */
static double rounding(int64_t n) {
    return (sizeof(pitot_real) == 8 ? 0x1p-52 : 0x1p-23) * (double)(n + 4);
}

static pitot_real *drawn(int64_t n, uint32_t seed) {
    pitot_real *x = malloc((size_t)(n ? n : 1) * sizeof *x);
    assert_non_null(x);
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (pitot_real)((double)(seed >> 8) * 0x1p-23 - 1);
    }
    return x;
}

static pitot_real *marked(int64_t n) {
    pitot_real *x = malloc((size_t)n * sizeof *x);
    assert_non_null(x);
    for (int64_t i = 0; i < n; i++) x[i] = -7;
    return x;
}

static void check_value(double is, long double should, int64_t n, const char *what) {
    if (!(fabs(is - (double)should) <= rounding(n) * (double)should)) fail_msg("%s: %.17g, not %.17Lg", what, is, should);
}

static void check_sums(const square_sum *s) {
    for (int64_t i = 0; i < s->dout; i++) {
        long double all = 0;
        for (int64_t k = 0; k < s->n; k++) all += (long double)s->q[k * s->dout + i];
        if (s->bias) check_value((double)s->bias[i], (long double)s->scale * all, s->n, "bias");
        for (int64_t j = 0; s->weight && j < s->din; j++) {
            long double sum = 0;
            for (int64_t k = 0; k < s->n; k++) {
                long double a = (long double)s->a[k * s->din + j];
                sum += (long double)s->q[k * s->dout + i] * a * a;
            }
            check_value((double)s->weight[i * s->din + j], (long double)s->scale * sum, s->n, "weight");
        }
    }
}

/* Also that nothing is written beyond. */
static void check_size(int64_t n, int64_t din, int64_t dout, int32_t kernel, int32_t threads) {
    enum { MARGIN = 64 };
    pitot_real *a = drawn(n * din, 3), *q = drawn(n * dout, 5), *again = marked(dout * din);
    pitot_real *weight = marked(dout * din + MARGIN), *bias = marked(dout + MARGIN), *room = aligned_alloc(64, 1 << 24);
    assert_non_null(room);
    assert_true(squares_room(n, din, dout) * (int64_t)sizeof *room <= 1 << 24);
    for (int64_t i = 0; i < n * dout; i++) q[i] *= q[i];
    square_sum s = { n, din, dout, a, q, 0.37, weight, bias, room, threads, kernel };
    squares_sum(&s);
    check_sums(&s);
    for (int i = 0; i < MARGIN; i++) assert_true(weight[dout * din + i] == -7 && bias[dout + i] == -7);
    s.weight = again, s.bias = NULL;
    squares_sum(&s);
    assert_memory_equal(weight, again, (size_t)(dout * din) * sizeof *again);
    for (int64_t i = 0; i < dout; i++) bias[i] = -7;
    s.weight = NULL, s.bias = bias;
    squares_sum(&s);
    check_sums(&s);
    free(a), free(q), free(again), free(weight), free(bias), free(room);
}

static void sums_of_products(void **state) {
    (void)state;
    static const int64_t sizes[][3] = { { 1, 1, 1 },
                                        { 3, PANEL_COLUMNS, PANEL_ROWS },
                                        { 5, PANEL_COLUMNS + 1, PANEL_ROWS - 1 },
                                        { 128, 3 * PANEL_COLUMNS - 1, 2 * PANEL_ROWS + 1 },
                                        { 255, 70, 10 },
                                        { 257, 33, 25 },
                                        { 600, 40, 13 },
                                        { 2, 33 * PANEL_COLUMNS + 5, 3 * PANEL_ROWS + 2 }, /* more panels than go together */
                                        { 20, 200, 150 } };
    for (int32_t kernel = PANEL_NONE; kernel <= PANEL_AVX512; kernel++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            for (int32_t threads = 1; threads <= 3; threads++) check_size(sizes[i][0], sizes[i][1], sizes[i][2], kernel, threads);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(sums_of_products) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
