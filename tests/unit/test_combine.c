/* Operators made of operators against dense algebra, what they say of themselves, what they refuse; and pitot_linop_check, which must see an
   operator that changes, one that is not symmetric, one with NaN. */

#include "base/alloc.h"
#include "base/random.h"
#include "pitot/curve.h"

#include <lapacke.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { N = 23, VECTORS = 3 };

static const double round_off = sizeof(pitot_real) == 8 ? 1e-13 : 1e-5; /* of a product of N values, with room */

/* ---- a dense operator of the host's, that misbehaves on request ---- */

typedef struct dense {
    pitot_linop linop;
    int64_t n, calls;
    double m[N * N]; /* rows */
    double drift;    /* added to the matrix's first value at every call */
    int32_t fail_at; /* call that returns 55; 0: none */
    int nan;
} dense;

static int32_t apply_dense(void *self, const pitot_real *x, pitot_real *y, int64_t k) {
    dense *a = self;
    a->calls += k;
    if (a->fail_at && a->calls >= a->fail_at) return 55;
    a->m[0] += a->drift;
    for (int64_t j = 0; j < k; j++)
        for (int64_t i = 0; i < a->n; i++) {
            double sum = a->nan && i == 3 ? NAN : 0;
            for (int64_t l = 0; l < a->n; l++) sum += a->m[i * a->n + l] * (double)x[j * a->n + l];
            y[j * a->n + i] = (pitot_real)sum;
        }
    return PITOT_OK;
}

static double uniform(uint64_t stream, int64_t i) {
    return 2 * random_uniform(7, 70, stream, (uint64_t)i) - 1;
}

static void open_dense(dense *a, int64_t n) {
    a->n = n;
    a->linop = (pitot_linop){ .struct_size = sizeof a->linop,
                              .name = "mine",
                              .n = n,
                              .symmetric = 1,
                              .exact = 1,
                              .apply = apply_dense,
                              .self = a,
                              .checked = 1 };
}

static void symmetric(dense *a, uint64_t stream) {
    memset(a, 0, sizeof *a);
    open_dense(a, N);
    for (int i = 0; i < N; i++)
        for (int j = 0; j <= i; j++) a->m[i * N + j] = a->m[j * N + i] = uniform(stream, i * N + j);
}

/* B'B/N + I/2: eigenvalues between 1/2 and about 3 */
static void positive(dense *a, uint64_t stream) {
    double b[N * N];
    memset(a, 0, sizeof *a);
    open_dense(a, N);
    for (int i = 0; i < N * N; i++) b[i] = uniform(stream, i);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            a->m[i * N + j] = i == j ? 0.5 : 0;
            for (int k = 0; k < N; k++) a->m[i * N + j] += b[k * N + i] * b[k * N + j] / N;
        }
}

static void fill_vectors(pitot_real *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] = (pitot_real)uniform(99, i);
}

/* M x for (n,n), k columns */
static void multiply(const double *m, int64_t n, const pitot_real *x, double *y, int64_t k) {
    memset(y, 0, (size_t)(n * k) * sizeof *y);
    for (int64_t j = 0; j < k; j++)
        for (int64_t i = 0; i < n; i++)
            for (int64_t l = 0; l < n; l++) y[j * n + i] += m[i * n + l] * (double)x[j * n + l];
}

static double apart(const pitot_real *got, const double *want, int64_t n) {
    double most = 0, scale = 1e-300;
    for (int64_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)got[i] - want[i]));
        scale = fmax(scale, fabs(want[i]));
    }
    return most / scale;
}

static void check_product(const pitot_linop *linop, const double *m, double tolerance) {
    pitot_real x[VECTORS * N], y[VECTORS * N];
    double want[VECTORS * N];
    fill_vectors(x, VECTORS * N);
    multiply(m, linop->n, x, want, VECTORS);
    int64_t requests = mem_count().requests;
    assert_int_equal(linop->apply(linop->self, x, y, VECTORS), PITOT_OK);
    assert_int_equal(mem_count().requests, requests);
    double off = apart(y, want, VECTORS * linop->n);
    if (!(off <= tolerance)) fail_msg("%s: off by %g, %g are allowed", linop->name, off, tolerance);
}

static void invert(const double *m, double *inverse) {
    int pivot[N];
    memcpy(inverse, m, N * N * sizeof *m);
    assert_int_equal(LAPACKE_dgetrf(LAPACK_ROW_MAJOR, N, N, inverse, N, pivot), 0);
    assert_int_equal(LAPACKE_dgetri(LAPACK_ROW_MAJOR, N, inverse, N, pivot), 0);
}

/* ---- damped, summed, cut out ---- */

static void test_damped(void **state) {
    (void)state;
    dense a;
    pitot_damped s;
    double m[N * N];
    symmetric(&a, 1);
    a.linop.error = 0.25;
    memcpy(m, a.m, sizeof m);
    for (int i = 0; i < N; i++) m[i * N + i] += 0.75;
    assert_int_equal(pitot_damped_init(&s, &a.linop, 0.75), PITOT_OK);
    assert_true(s.op.n == N && s.op.symmetric && s.op.exact && s.op.error == 0.25);
    check_product(&s.op, m, round_off);
    a.fail_at = 1;
    pitot_real x[N] = { 0 }, y[N];
    assert_int_equal(s.op.apply(s.op.self, x, y, 1), 55);
    assert_int_equal(pitot_damped_init(&s, &a.linop, NAN), PITOT_EINVAL);
    assert_int_equal(pitot_damped_init(&s, NULL, 1), PITOT_EINVAL);
}

static void test_combined(void **state) {
    (void)state;
    dense a, b;
    pitot_combined s;
    pitot_real work[N];
    double m[N * N];
    symmetric(&a, 1);
    symmetric(&b, 2);
    b.linop.exact = 0;
    b.linop.error = 0.5;
    for (int i = 0; i < N * N; i++) m[i] = 2 * a.m[i] - 3 * b.m[i];
    assert_int_equal(pitot_combined_init(&s, 2, &a.linop, -3, &b.linop, work), PITOT_OK);
    assert_true(s.op.symmetric && !s.op.exact && s.op.error == 0.5);
    check_product(&s.op, m, round_off);
    b.linop.n = N - 1;
    assert_int_equal(pitot_combined_init(&s, 2, &a.linop, -3, &b.linop, work), PITOT_EMISMATCH);
    assert_int_equal(pitot_combined_init(&s, 2, &a.linop, -3, &b.linop, NULL), PITOT_EINVAL);
}

static void test_submatrix(void **state) {
    (void)state;
    dense a;
    pitot_submatrix s;
    pitot_real work[2 * N];
    const int64_t index[] = { 0, 3, 4, 11, N - 1 }, twice[] = { 1, 1 }, back[] = { 2, 1 }, out[] = { 0, N }, below[] = { -1, 2 };
    double m[25];
    symmetric(&a, 1);
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 5; j++) m[i * 5 + j] = a.m[index[i] * N + index[j]];
    assert_int_equal(pitot_submatrix_init(&s, &a.linop, index, 5, work), PITOT_OK);
    assert_int_equal(s.op.n, 5);
    check_product(&s.op, m, round_off);
    assert_int_equal(pitot_submatrix_init(&s, &a.linop, twice, 2, work), PITOT_EINVAL);
    assert_int_equal(pitot_submatrix_init(&s, &a.linop, back, 2, work), PITOT_EINVAL);
    assert_int_equal(pitot_submatrix_init(&s, &a.linop, out, 2, work), PITOT_EINVAL);
    assert_int_equal(pitot_submatrix_init(&s, &a.linop, below, 2, work), PITOT_EINVAL);
    assert_int_equal(pitot_submatrix_init(&s, &a.linop, index, 0, work), PITOT_EINVAL);
}

/* ---- inverses ---- */

/* |A y - x| / |x| in double, of the worst column. */
static double residual_of(const dense *a, const pitot_real *x, const pitot_real *y, int64_t k) {
    double ay[VECTORS * N], worst = 0;
    multiply(a->m, N, y, ay, k);
    for (int64_t j = 0; j < k; j++) {
        double rest = 0, length = 0;
        for (int64_t i = j * N; i < (j + 1) * N; i++) {
            rest += (ay[i] - (double)x[i]) * (ay[i] - (double)x[i]);
            length += (double)x[i] * (double)x[i];
        }
        worst = fmax(worst, sqrt(rest / length));
    }
    return worst;
}

/* What is said of the residual is what it is. */
static void check_solved(const pitot_linop *linop, const pitot_solved *solved, dense *a, double tolerance) {
    pitot_real x[VECTORS * N], y[VECTORS * N];
    fill_vectors(x, VECTORS * N);
    a->calls = 0;
    assert_int_equal(linop->apply(linop->self, x, y, VECTORS), PITOT_OK);
    double true_one = residual_of(a, x, y, VECTORS);
    if (!(fabs(solved->residual - true_one) <= 0.01 * true_one + round_off))
        fail_msg("%s: says %g, is %g", linop->name, solved->residual, true_one);
    assert_int_equal(solved->converged, solved->residual <= tolerance);
    assert_int_equal(solved->products, a->calls);
    assert_true(linop->error == solved->residual);
}

static void test_inverse_cg(void **state) {
    (void)state;
    static const double tolerances[] = { 1e-1, 1e-3, sizeof(pitot_real) == 8 ? 1e-11 : 1e-5 };
    dense a;
    pitot_inverse_cg s;
    pitot_real work[4 * N], zero[N] = { 0 }, y[N];
    double inverse[N * N];
    positive(&a, 3);
    invert(a.m, inverse);
    int64_t last = 0;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pitot_inverse_cg_init(&s, &a.linop, tolerances[i], 0, work), PITOT_OK);
        assert_true(s.op.symmetric && !s.op.exact);
        check_solved(&s.op, &s.solved, &a, tolerances[i]);
        assert_true(s.solved.converged && s.solved.products > last);
        last = s.solved.products;
        check_product(&s.op, inverse, 10 * tolerances[i]); /* condition number 6, and lengths for largest values */
    }
    assert_int_equal(s.op.apply(s.op.self, zero, y, 1), PITOT_OK);
    assert_true(y[0] == 0 && s.solved.converged && s.solved.residual == 0 && s.solved.products == 0);
    assert_int_equal(pitot_inverse_cg_init(&s, &a.linop, tolerances[2], 4, work), PITOT_OK); /* stops short */
    check_solved(&s.op, &s.solved, &a, tolerances[2]);
    assert_true(!s.solved.converged && s.solved.products == VECTORS * 4 && s.solved.residual < 0.5);
}

/* What the recurrence believes falls below any tolerance; what is true stays above one that is below round-off, and is what is said. */
static void test_cg_floor(void **state) {
    (void)state;
    const int is_double = sizeof(pitot_real) == 8;
    dense a;
    pitot_inverse_cg s;
    pitot_real work[4 * N];
    symmetric(&a, 1);
    memset(a.m, 0, sizeof a.m);
    for (int i = 0; i < N; i++) a.m[i * N + i] = pow(is_double ? 1e-8 : 1e-4, (double)i / (N - 1));
    assert_int_equal(pitot_inverse_cg_init(&s, &a.linop, is_double ? 1e-18 : 1e-10, 5000, work), PITOT_OK);
    check_solved(&s.op, &s.solved, &a, s.tolerance);
    assert_true(!s.solved.converged && s.solved.residual < round_off); /* it starts again from the true one, and gets that far */
}

static void test_cg_refuses(void **state) {
    (void)state;
    dense a;
    pitot_inverse_cg s;
    pitot_real work[4 * N], x[N], y[N];
    symmetric(&a, 1);
    fill_vectors(x, N);
    assert_int_equal(pitot_inverse_cg_init(&s, &a.linop, 1e-3, 0, work), PITOT_OK);
    assert_int_equal(s.op.apply(s.op.self, x, y, 1), PITOT_ENOTSUP);
    assert_true(!s.solved.converged);
    for (int i = 0; i < N; i++) assert_true(isfinite(y[i]));
    positive(&a, 3);
    a.nan = 1;
    assert_int_equal(s.op.apply(s.op.self, x, y, 1), PITOT_EHOST);
    a.nan = 0;
    a.fail_at = (int32_t)a.calls + 3;
    assert_int_equal(s.op.apply(s.op.self, x, y, 1), 55);
    a.fail_at = 0;
    x[2] = (pitot_real)NAN;
    assert_int_equal(s.op.apply(s.op.self, x, y, 1), PITOT_EHOST);
    a.linop.symmetric = 0;
    assert_int_equal(pitot_inverse_cg_init(&s, &a.linop, 1e-3, 0, work), PITOT_EINVAL);
    a.linop.symmetric = 1;
    assert_int_equal(pitot_inverse_cg_init(&s, &a.linop, NAN, 0, work), PITOT_EINVAL);
    assert_int_equal(pitot_inverse_cg_init(&s, &a.linop, 1e-3, 1, work), PITOT_EINVAL);
    assert_int_equal(pitot_inverse_cg_init(&s, &a.linop, 1e-3, 0, NULL), PITOT_EINVAL);
}

/* scale sum_k (I - scale A)^k, by Horner's rule */
static void dense_series(const double *a, double scale, int terms, double *sum) {
    memset(sum, 0, N * N * sizeof *sum);
    for (int k = 0; k <= terms; k++) {
        double next[N * N];
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) {
                next[i * N + j] = sum[i * N + j] + (i == j ? scale : 0);
                for (int l = 0; l < N; l++) next[i * N + j] -= scale * a[i * N + l] * sum[l * N + j];
            }
        memcpy(sum, next, sizeof next);
    }
}

static void test_neumann(void **state) {
    (void)state;
    dense a;
    pitot_inverse_neumann s;
    pitot_real work[2 * N], x[N], y[N];
    double want[N * N], last = 0;
    positive(&a, 3);
    fill_vectors(x, N);
    for (int terms = 0; terms <= 60; terms += 20) {
        dense_series(a.m, 0.4, terms, want);
        assert_int_equal(pitot_inverse_neumann_init(&s, &a.linop, 0.4, terms, 1e-4, work), PITOT_OK);
        check_solved(&s.op, &s.solved, &a, 1e-4);
        assert_int_equal(s.solved.products, VECTORS * (terms + 1));
        assert_true(terms > 0 ? s.solved.residual < last / 10 : !s.solved.converged);
        last = s.solved.residual;
        check_product(&s.op, want, 10 * round_off);
    }
    assert_true(s.solved.converged);
    assert_int_equal(pitot_inverse_neumann_init(&s, &a.linop, 40, 1000, 1e-4, work), PITOT_OK);
    assert_int_equal(s.op.apply(s.op.self, x, y, 1), PITOT_ENOTSUP);
    assert_true(!s.solved.converged && s.solved.products < 3);
    symmetric(&a, 1);
    assert_int_equal(pitot_inverse_neumann_init(&s, &a.linop, 0.1, 1000, 1e-4, work), PITOT_OK);
    assert_int_equal(s.op.apply(s.op.self, x, y, 1), PITOT_ENOTSUP);
    a.nan = 1;
    assert_int_equal(s.op.apply(s.op.self, x, y, 1), PITOT_EHOST);
    a.fail_at = 1;
    assert_int_equal(s.op.apply(s.op.self, x, y, 1), 55);
    assert_int_equal(pitot_inverse_neumann_init(&s, &a.linop, 0, 10, 1e-4, work), PITOT_EINVAL);
    assert_int_equal(pitot_inverse_neumann_init(&s, &a.linop, 1, -1, 1e-4, work), PITOT_EINVAL);
}

/* ---- powers ---- */

static void square(const double *m, double *mm) {
    memset(mm, 0, N * N * sizeof *mm);
    for (int i = 0; i < N; i++)
        for (int k = 0; k < N; k++)
            for (int j = 0; j < N; j++) mm[i * N + j] += m[i * N + k] * m[k * N + j];
}

static void test_spectral(void **state) {
    (void)state;
    dense a;
    pitot_spectral s, root;
    double want[N * N], damped[N * N];
    int64_t blocks = mem_count().blocks;
    positive(&a, 3);
    memcpy(damped, a.m, sizeof damped);
    for (int i = 0; i < N; i++) damped[i * N + i] += 0.25;
    invert(damped, want);
    assert_int_equal(pitot_spectral_init(&s, &a.linop, -1, 0.25, NULL), PITOT_OK);
    assert_int_equal(a.calls, N);
    check_product(&s.op, want, 10 * round_off);
    for (int i = 1; i < N; i++) assert_true(s.value[i] >= s.value[i - 1]);
    pitot_spectral_free(&s);
    assert_int_equal(pitot_spectral_init(&s, &a.linop, 1, 0.25, NULL), PITOT_OK);
    check_product(&s.op, damped, 10 * round_off);
    pitot_spectral_free(&s);
    /* the inverse of the square of the inverse's root */
    assert_int_equal(pitot_spectral_init(&root, &a.linop, -0.5, 0.25, NULL), PITOT_OK);
    assert_int_equal(pitot_spectral_init(&s, &root.op, 2, 0, NULL), PITOT_OK);
    check_product(&s.op, want, 10 * round_off);
    pitot_spectral_free(&s);
    pitot_spectral_free(&root);
    symmetric(&a, 1); /* of both signs */
    square(a.m, want);
    assert_int_equal(pitot_spectral_init(&s, &a.linop, 2, 0, NULL), PITOT_OK);
    check_product(&s.op, want, 10 * round_off);
    pitot_spectral_free(&s);
    assert_int_equal(mem_count().blocks, blocks);
}

static void test_spectral_refuses(void **state) {
    (void)state;
    dense a;
    pitot_spectral s;
    pitot_error error = { 0 };
    int64_t blocks = mem_count().blocks;
    symmetric(&a, 1);
    assert_int_equal(pitot_spectral_init(&s, &a.linop, 0.5, 0, &error), PITOT_EINVAL);
    assert_non_null(strstr(error.text, "eigenvalue 0 is -"));
    error.status = 0;
    memset(a.m, 0, sizeof a.m);
    assert_int_equal(pitot_spectral_init(&s, &a.linop, -1, 0, &error), PITOT_EINVAL);
    assert_non_null(strstr(error.text, "is 0:"));
    a.nan = 1;
    assert_int_equal(pitot_spectral_init(&s, &a.linop, -1, 1, NULL), PITOT_EHOST);
    a.fail_at = 5;
    assert_int_equal(pitot_spectral_init(&s, &a.linop, -1, 1, NULL), 55);
    a.linop.n = 20001;
    assert_int_equal(pitot_spectral_init(&s, &a.linop, -1, 1, NULL), PITOT_ENOTSUP);
    a.linop.n = N;
    a.linop.symmetric = 0;
    assert_int_equal(pitot_spectral_init(&s, &a.linop, -1, 1, NULL), PITOT_EINVAL);
    positive(&a, 3);
    for (int64_t k = 1; k <= 7; k++) {
        mem_fail_at(k, 0);
        assert_int_equal(pitot_spectral_init(&s, &a.linop, -1, 1, NULL), PITOT_ENOMEM);
        mem_fail_at(0, 0);
        assert_int_equal(mem_count().blocks, blocks);
    }
}

/* ---- can it be relied on ---- */

static void test_check(void **state) {
    (void)state;
    dense a;
    pitot_real work[4 * N];
    pitot_error error = { 0 };
    pitot_linop_report r = { .struct_size = sizeof r };
    symmetric(&a, 1);
    a.linop.checked = 0;
    assert_int_equal(pitot_linop_check(&a.linop, work, 1, &r, &error), PITOT_OK);
    assert_true(r.finite && r.repeatable && r.symmetric && r.products == 3 && a.calls == 3 && a.linop.checked == 1);
    assert_true(r.differing == 0 && r.first == -1 && r.difference == 0 && r.asymmetry < round_off);
    a.drift = sizeof(pitot_real) == 8 ? 1e-12 : 1e-3; /* of one value */
    assert_int_equal(pitot_linop_check(&a.linop, work, 1, &r, &error), PITOT_EMISMATCH);
    assert_true(!r.repeatable && r.differing == 1 && r.first == 0 && r.difference > 0 && r.difference < a.drift &&
                !a.linop.checked);
    assert_non_null(
        strstr(error.text, "mine: two products with one vector differ in 1 of 23 values, first in value 0, most in value 0"));
    a.drift = 0;
    error.status = 0;
    a.m[5] += 0.5;
    assert_int_equal(pitot_linop_check(&a.linop, work, 1, &r, &error), PITOT_EMISMATCH);
    assert_true(r.repeatable && !r.symmetric && r.asymmetry > 2e-3 && r.asymmetry < 0.1);
    assert_non_null(strstr(error.text, "symmetric"));
    a.linop.error = 0.1; /* by its own account no better */
    assert_int_equal(pitot_linop_check(&a.linop, work, 1, &r, NULL), PITOT_OK);
    a.linop.error = 0;
    a.linop.symmetric = 0; /* and if it does not call itself so */
    assert_int_equal(pitot_linop_check(&a.linop, work, 1, &r, NULL), PITOT_OK);
    assert_true(!r.symmetric);
    a.nan = 1;
    error.status = 0;
    assert_int_equal(pitot_linop_check(&a.linop, work, 1, &r, &error), PITOT_EHOST);
    assert_true(!r.finite && r.repeatable);
    assert_non_null(strstr(error.text, "not finite"));
    a.fail_at = 1;
    assert_int_equal(pitot_linop_check(&a.linop, work, 1, &r, NULL), 55);
    assert_int_equal(pitot_linop_check(&a.linop, NULL, 1, &r, NULL), PITOT_EINVAL);
    assert_int_equal(pitot_linop_check(NULL, work, 1, NULL, NULL), PITOT_EINVAL);
}

/* Zeros are symmetric, and stand still. */
static void test_check_zeros(void **state) {
    (void)state;
    dense a;
    pitot_real work[4 * N];
    pitot_linop_report r = { .struct_size = sizeof r };
    symmetric(&a, 1);
    memset(a.m, 0, sizeof a.m);
    assert_int_equal(pitot_linop_check(&a.linop, work, 1, &r, NULL), PITOT_OK);
    assert_true(r.symmetric && r.asymmetry == 0 && r.difference == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damped),     cmocka_unit_test(test_combined),    cmocka_unit_test(test_submatrix),
        cmocka_unit_test(test_inverse_cg), cmocka_unit_test(test_cg_floor),    cmocka_unit_test(test_cg_refuses),
        cmocka_unit_test(test_neumann),    cmocka_unit_test(test_spectral),    cmocka_unit_test(test_spectral_refuses),
        cmocka_unit_test(test_check),      cmocka_unit_test(test_check_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
