/* Products with the Hessian by differences of gradients: where they are exact, how far they are off and whether that is known, what is
   done when gradients fail. */

#include "base/alloc.h"
#include "base/random.h"
#include "curve/difference.h"
#include "pitot/probe.h"
#include "pitot/solve.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { N = 300, TERMS = 40, MOST_FIRST = 42 };

static const double UNIT = sizeof(pitot_real) == 4 ? FLT_EPSILON : DBL_EPSILON;

/* f(x) = scale log sum_i exp(a_i'x) + x'Cx / 2, C = diag(c): Hessian scale (sum p_i a_i a_i' - m m') + C, m = sum p_i a_i. */
typedef struct smooth {
    double a[TERMS][N], c[N], x[N], scale;
    int64_t calls, fails_at, nan_from;
    double last;
} smooth;

static double gauss(uint64_t *counter) {
    double out[2];
    random_normal(12, 98, 0, (*counter)++, out);
    return out[0];
}

static void smooth_fill(smooth *f, double scale, double curvature) {
    uint64_t counter = 0;
    memset(f, 0, sizeof *f);
    f->scale = scale;
    for (int i = 0; i < TERMS; i++)
        for (int j = 0; j < N; j++) f->a[i][j] = gauss(&counter) / sqrt(N);
    for (int j = 0; j < N; j++) {
        f->c[j] = curvature * gauss(&counter);
        f->x[j] = (double)(pitot_real)gauss(&counter);
    }
}

/* p (TERMS): softmax of A x; m (N). */
static void softmax(const smooth *f, const double *x, double *p, double *m) {
    double sum = 0;
    for (int i = 0; i < TERMS; i++) {
        p[i] = 0;
        for (int j = 0; j < N; j++) p[i] += f->a[i][j] * x[j];
        sum += p[i] = exp(p[i]);
    }
    memset(m, 0, N * sizeof *m);
    for (int i = 0; i < TERMS; i++) {
        p[i] /= sum;
        for (int j = 0; j < N; j++) m[j] += p[i] * f->a[i][j];
    }
}

static void true_product(const smooth *f, const pitot_real *v, double *out) {
    double p[TERMS], m[N], along = 0;
    softmax(f, f->x, p, m);
    for (int j = 0; j < N; j++) along += m[j] * (double)v[j];
    for (int j = 0; j < N; j++) out[j] = f->c[j] * (double)v[j] - f->scale * along * m[j];
    for (int i = 0; i < TERMS; i++) {
        double dot = 0;
        for (int j = 0; j < N; j++) dot += f->a[i][j] * (double)v[j];
        for (int j = 0; j < N; j++) out[j] += f->scale * p[i] * dot * f->a[i][j];
    }
}

/* With parameters and gradient rounded to pitot_real, as a net has them. */
static int32_t smooth_gradient(void *self, const pitot_real *direction, double h, pitot_real *g) {
    smooth *f = self;
    double x[N], p[TERMS], m[N], square = 0;
    f->calls++;
    if (f->calls == f->fails_at) return -55;
    for (int j = 0; j < N; j++) {
        x[j] = (double)(pitot_real)(f->x[j] + h * (double)direction[j]);
        square += (double)direction[j] * (double)direction[j];
    }
    assert_true(fabs(square - 1) < 1e-5);
    softmax(f, x, p, m);
    for (int j = 0; j < N; j++) g[j] = (pitot_real)(f->scale * m[j] + f->c[j] * x[j]);
    if (f->nan_from && f->calls >= f->nan_from) g[3] = NAN;
    return PITOT_OK;
}

static double norm_of(const double *x) {
    double square = 0;
    for (int j = 0; j < N; j++) square += x[j] * x[j];
    return sqrt(square);
}

/* |H v - product| / |product|. */
static double true_error(const smooth *f, const pitot_real *v, const pitot_real *product) {
    double right[N], square = 0;
    true_product(f, v, right);
    for (int j = 0; j < N; j++) square += pow(right[j] - (double)product[j], 2);
    return sqrt(square / pitot_sum_squares(product, N));
}

static void random_vector(pitot_real *v, uint64_t counter, double scale) {
    counter *= 1000000;
    for (int j = 0; j < N; j++) v[j] = (pitot_real)(scale * gauss(&counter));
}

static smooth f;
static pitot_real work[DIFFERENCE_VECTORS * N], v[2 * N], y[2 * N];

/* Nothing is cut off: only round-off is left, and large steps make it small. */
static void test_quadratic(void **state) {
    (void)state;
    difference d;
    smooth_fill(&f, 0, 1);
    difference_init(&d, smooth_gradient, &f, N, norm_of(f.x), work);
    for (int i = 0; i < 5; i++) {
        random_vector(v, 1 + (uint64_t)i, pow(10, 4 * i - 8));
        assert_int_equal(d.op.apply(d.op.self, v, y, 1), PITOT_OK);
        double error = true_error(&f, v, y);
        if (error > 30 * UNIT || d.op.error > 30 * UNIT) fail_msg("off by %g, %g said", error, d.op.error);
        if (i == 0) assert_true(f.calls <= MOST_FIRST);
    }
    assert_int_equal(d.evaluations, f.calls);
}

/* What is said about the error is right within a factor of 10, at the product for which it was found. */
static void check_error(double scale, double curvature, double norm, double at_most) {
    difference d;
    smooth_fill(&f, scale, curvature);
    difference_init(&d, smooth_gradient, &f, N, norm, work);
    for (int point = 0; point < 6; point++) {
        random_vector(v, 50 + (uint64_t)point, 1);
        int64_t before = f.calls;
        assert_int_equal(d.op.apply(d.op.self, v, y, 1), PITOT_OK);
        assert_true(f.calls - before <= MOST_FIRST);
        double error = true_error(&f, v, y);
        if (error > at_most) fail_msg("scale %g: off by %g, said %g, step %g", scale, error, d.op.error, d.step);
        if (d.op.error > 10 * error || d.op.error < error / 10)
            fail_msg("scale %g, point %d: off by %g, %g said, step %g", scale, point, error, d.op.error, d.step);
        before = f.calls;
        random_vector(v, 70 + (uint64_t)point, 3);
        assert_int_equal(d.op.apply(d.op.self, v, y, 1), PITOT_OK);
        assert_int_equal(f.calls - before, 2);
        assert_true(true_error(&f, v, y) <= 4 * at_most);
        for (int j = 0; j < N; j++) f.x[j] = (double)(pitot_real)(0.95 * f.x[j]);
        difference_moved(&d, norm_of(f.x));
    }
}

static void test_error(void **state) {
    (void)state;
    double fine = sizeof(pitot_real) == 4 ? 5e-3 : 1e-7;
    smooth_fill(&f, 1, 0);
    double norm = norm_of(f.x);
    check_error(1, 0, norm, fine);
    check_error(1000, 0, norm, fine);
    check_error(100, 0.3, norm, fine);
    check_error(1, 0, 1e-3 * norm, fine); /* a start that is far off */
    check_error(1, 0, 1e3 * norm, fine);
    check_error(1, 0, 0, fine);
}

/* Later points cost two gradients more if the step is still good. */
static void test_remembered(void **state) {
    (void)state;
    difference d;
    smooth_fill(&f, 1, 0);
    difference_init(&d, smooth_gradient, &f, N, norm_of(f.x), work);
    random_vector(v, 1, 1);
    assert_int_equal(d.op.apply(d.op.self, v, y, 1), PITOT_OK);
    double step = d.step;
    int64_t before = f.calls;
    difference_moved(&d, norm_of(f.x));
    assert_int_equal(d.op.apply(d.op.self, v, y, 1), PITOT_OK);
    assert_int_equal(f.calls - before, 4);
    assert_true(d.step == step);
}

static void test_columns_and_zero(void **state) {
    (void)state;
    difference d;
    smooth_fill(&f, 1, 0);
    difference_init(&d, smooth_gradient, &f, N, norm_of(f.x), work);
    memset(v, 0, sizeof v);
    for (int j = 0; j < N; j++) y[j] = 7;
    assert_int_equal(d.op.apply(d.op.self, v, y, 1), PITOT_OK);
    for (int j = 0; j < N; j++) assert_true(y[j] == 0);
    assert_int_equal(f.calls, 0);
    random_vector(v, 1, 1);
    random_vector(v + N, 2, 1);
    assert_int_equal(d.op.apply(d.op.self, v, y, 2), PITOT_OK);
    assert_true(true_error(&f, v, y) < 0.02 && true_error(&f, v + N, y + N) < 0.02);
    pitot_real again[N];
    assert_int_equal(d.op.apply(d.op.self, v + N, again, 1), PITOT_OK);
    assert_memory_equal(again, y + N, sizeof again);
}

static void test_failures(void **state) {
    (void)state;
    for (int64_t at = 1; at <= 14; at++) {
        difference d;
        smooth_fill(&f, 1, 0);
        difference_init(&d, smooth_gradient, &f, N, norm_of(f.x), work);
        f.fails_at = at;
        random_vector(v, 1, 1);
        assert_int_equal(d.op.apply(d.op.self, v, y, 1), -55);
        assert_int_equal(d.evaluations, at);
        assert_int_equal(d.op.apply(d.op.self, v, y, 1), PITOT_OK);
        assert_true(true_error(&f, v, y) < 0.02);
    }
    difference d;
    smooth_fill(&f, 1, 0);
    f.nan_from = 1;
    difference_init(&d, smooth_gradient, &f, N, norm_of(f.x), work);
    assert_int_equal(d.op.apply(d.op.self, v, y, 1), PITOT_EHOST);
    assert_true(f.calls <= MOST_FIRST);
    v[5] = NAN;
    assert_int_equal(d.op.apply(d.op.self, v, y, 1), PITOT_EINVAL);
}

/* Gradients that are not finite far away: smaller steps are found. */
static int32_t short_sighted(void *self, const pitot_real *direction, double h, pitot_real *g) {
    int32_t status = smooth_gradient(self, direction, h, g);
    if (fabs(h) > 0.5) g[0] = INFINITY;
    return status;
}

static void test_short_sight(void **state) {
    (void)state;
    difference d;
    smooth_fill(&f, 1, 0);
    difference_init(&d, short_sighted, &f, N, sizeof(pitot_real) == 4 ? 3e4 : 3e6, work);
    random_vector(v, 1, 1);
    assert_int_equal(d.op.apply(d.op.self, v, y, 1), PITOT_OK);
    assert_true(true_error(&f, v, y) < 0.02 && d.op.error < 0.02);
}

/* Both ends of the spectrum from gradients alone, against those from exact products. */
static int32_t apply_exact(void *self, const pitot_real *x, pitot_real *out, int64_t k) {
    double right[N];
    assert_int_equal(k, 1);
    true_product(self, x, right);
    for (int j = 0; j < N; j++) out[j] = (pitot_real)right[j];
    return PITOT_OK;
}

static void test_ends(void **state) {
    (void)state;
    static pitot_real rows[20 * N], top[N], bottom[N];
    difference d;
    smooth_fill(&f, 50, 0.01);
    difference_init(&d, smooth_gradient, &f, N, norm_of(f.x), work);
    pitot_lanczos set = { .struct_size = sizeof set, .vectors = 20, .work = rows };
    pitot_linop exact = { .struct_size = sizeof exact, .n = N, .symmetric = 1, .apply = apply_exact, .self = &f };
    pitot_extremes a, b;
    assert_int_equal(pitot_lanczos_extremes(&d.op, &set, top, bottom, &a), PITOT_OK);
    memset(top, 0, sizeof top);
    memset(bottom, 0, sizeof bottom);
    set.tolerance = 1e-5;
    set.products = 1000;
    assert_int_equal(pitot_lanczos_extremes(&exact, &set, top, bottom, &b), PITOT_OK);
    double size = fmax(fabs(b.largest.value), fabs(b.smallest.value));
    assert_true(a.largest.converged && a.smallest.converged);
    assert_true(fabs(a.largest.value - b.largest.value) <= 1.5e-2 * size);
    assert_true(a.smallest.value >= b.smallest.value - 1e-2 * size);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quadratic),  cmocka_unit_test(test_error),
        cmocka_unit_test(test_remembered), cmocka_unit_test(test_columns_and_zero),
        cmocka_unit_test(test_failures),   cmocka_unit_test(test_short_sight),
        cmocka_unit_test(test_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
