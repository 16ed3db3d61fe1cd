/* Singular values: against LAPACK's own of the matrix itself, at every shape, stride and magnitude; identities; what is refused. */

#include "operators.h"

#include "pitot/solve.h"

#include <float.h>
#include <time.h>

/* Where sigma is small beside the largest, its square has lost it: sqrt(n eps). */
static const double ROUND = 1e-7, EXACT = 1e-14;

static double *lapack_singular(const pitot_real *x, int64_t rows, int64_t cols, int64_t row_step, int64_t col_step) {
    int64_t m = rows < cols ? rows : cols;
    double *copy = mem_alloc(rows * cols, sizeof *copy), *sigma = mem_alloc(m, sizeof *sigma), *rest = mem_alloc(m, sizeof *rest),
           none;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) copy[i * cols + j] = (double)x[i * row_step + j * col_step];
    assert_int_equal(LAPACKE_dgesvd(LAPACK_ROW_MAJOR, 'N', 'N', (lapack_int)rows, (lapack_int)cols, copy, (lapack_int)cols, sigma,
                                    &none, 1, &none, 1, rest),
                     0);
    mem_free(rest);
    mem_free(copy);
    return sigma;
}

/* A value behind what was asked for stays as it is. */
static double *singular(const pitot_real *x, int64_t rows, int64_t cols, int64_t row_step, int64_t col_step) {
    int64_t m = rows < cols ? rows : cols, need = pitot_singular_work(rows, cols);
    double *sigma = mem_alloc(m + 1, sizeof *sigma), *work = mem_alloc(need + 1, sizeof *work);
    memset(work, 0xFF, (size_t)need * sizeof *work); /* what lies in it does not matter */
    sigma[m] = work[need] = 123;
    int64_t requests = mem_count().requests;
    assert_int_equal(pitot_singular_values(x, rows, cols, row_step, col_step, sigma, work), PITOT_OK);
    assert_int_equal(mem_count().requests, requests);
    assert_true(sigma[m] == 123 && work[need] == 123);
    mem_free(work);
    return sigma;
}

static void check(const pitot_real *x, int64_t rows, int64_t cols, int64_t row_step, int64_t col_step) {
    int64_t m = rows < cols ? rows : cols;
    double *right = lapack_singular(x, rows, cols, row_step, col_step), *sigma = singular(x, rows, cols, row_step, col_step);
    double most = 0, sum = 0, frobenius = 0;
    for (int64_t i = 0; i < m; i++) {
        double bound = fmin(ROUND * right[0], right[i] > 0 ? EXACT * right[0] * (right[0] / right[i]) : ROUND * right[0]);
        if (!(fabs(sigma[i] - right[i]) <= bound))
            fail_msg("(%d,%d): value %d is %.17g, not %.17g", (int)rows, (int)cols, (int)i, sigma[i], right[i]);
        assert_true(sigma[i] >= 0 && (i == 0 || sigma[i] <= sigma[i - 1]));
    }
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) most = fmax(most, fabs((double)x[i * row_step + j * col_step]));
    for (int64_t i = 0; i < rows && most > 0; i++)
        for (int64_t j = 0; j < cols; j++) frobenius += pow((double)x[i * row_step + j * col_step] / most, 2);
    for (int64_t i = 0; i < m && most > 0; i++) sum += pow(sigma[i] / most, 2);
    assert_true(fabs(sum - frobenius) <= 1e-12 * frobenius);
    mem_free(sigma);
    mem_free(right);
}

static pitot_real *normal(int64_t n, uint64_t counter) {
    pitot_real *x = mem_alloc(n, sizeof *x);
    for (int64_t i = 0; i < n; i++) x[i] = (pitot_real)gauss(&counter);
    return x;
}

static void test_shapes(void **state) {
    (void)state;
    static const int64_t sizes[] = { 1, 2, 3, 7, 32, 33, 100, 257 };
    enum { SIZES = sizeof sizes / sizeof *sizes };
    pitot_real *x = normal(257 * 257, 1);
    for (int i = 0; i < SIZES; i++)
        for (int j = 0; j < SIZES; j++) check(x, sizes[i], sizes[j], sizes[j], 1);
    mem_free(x);
    x = normal(70000, 2);
    check(x, 1, 70000, 70000, 1); /* several panels */
    check(x, 70000, 1, 1, 1);
    check(x, 35000, 2, 2, 1);
    check(x, 140, 500, 500, 1);
    check(x, 600, 116, 116, 1);
    mem_free(x);
}

static void test_strides(void **state) {
    (void)state;
    pitot_real *x = normal(40000, 3);
    check(x, 40, 70, 1, 40); /* transposed */
    check(x, 70, 40, 1, 70);
    check(x, 40, 70, 211, 3);
    check(x, 70, 40, 3, 500);
    check(x, 300, 20, 64, 1); /* columns of a wider one */
    check(x, 20, 300, 1, 64);
    check(x + 39999, 30, 50, -50, -1); /* backwards */
    check(x, 12, 9, 0, 1);             /* the same row twelve times */
    mem_free(x);
}

/* rank r: the rest is round-off, of the sum and of pitot_real. */
static void test_rank(void **state) {
    (void)state;
    enum { ROWS = 120, COLS = 90 };
    for (int rank = 0; rank <= 20; rank += 5) {
        pitot_real *x = mem_alloc(ROWS * COLS, sizeof *x), *a = normal(ROWS * 20, 4), *b = normal(COLS * 20, 5);
        for (int i = 0; i < ROWS; i++)
            for (int j = 0; j < COLS; j++) {
                for (int r = 0; r < rank; r++) x[i * COLS + j] += a[i * 20 + r] * b[j * 20 + r];
            }
        check(x, ROWS, COLS, COLS, 1);
        double *sigma = singular(x, ROWS, COLS, COLS, 1), faint = sizeof(pitot_real) == 4 ? 1e-5 : ROUND;
        for (int i = 0; i < COLS; i++) assert_true(i < rank ? sigma[i] > 0.05 * sigma[0] : sigma[i] <= faint * sigma[0]);
        mem_free(sigma);
        mem_free(a);
        mem_free(b);
        mem_free(x);
    }
}

/* Powers of two give the same digits, to the ends of the range. */
static void test_magnitudes(void **state) {
    (void)state;
    const int far = sizeof(pitot_real) == 4 ? 120 : 1000;
    pitot_real *x = normal(60 * 45, 6), *y = mem_alloc(60 * 45, sizeof *y);
    double *right = singular(x, 60, 45, 45, 1);
    for (int power = -far; power <= far; power += far / 2) {
        for (int i = 0; i < 60 * 45; i++) y[i] = (pitot_real)ldexp((double)x[i], power);
        if (power > -far) check(y, 60, 45, 45, 1);
        double *sigma = singular(y, 60, 45, 45, 1);
        for (int i = 0; i < 45; i++) assert_true(fabs(ldexp(sigma[i], -power) - right[i]) <= ROUND * right[0]);
        mem_free(sigma);
    }
    memset(y, 0, 60 * 45 * sizeof *y);
    y[77] = sizeof(pitot_real) == 4 ? (pitot_real)1e-45 : (pitot_real)5e-324; /* the smallest there is */
    double *sigma = singular(y, 60, 45, 45, 1);
    assert_true(fabs(sigma[0] - (double)y[77]) <= 0 && sigma[1] <= 0);
    mem_free(sigma);
    y[77] = sizeof(pitot_real) == 4 ? (pitot_real)FLT_MAX : (pitot_real)DBL_MAX;
    sigma = singular(y, 60, 45, 45, 1);
    assert_true(fabs(sigma[0] / (double)y[77] - 1) <= 1e-15 && sigma[1] <= 0);
    mem_free(sigma);
    mem_free(right);
    mem_free(y);
    mem_free(x);
}

/* Diagonal, geometric: known exactly, and down to where the square is lost. */
static void test_known(void **state) {
    (void)state;
    enum { N = 50 };
    pitot_real *x = mem_alloc(N * N, sizeof *x);
    for (int i = 0; i < N; i++) x[i * N + (i * 7) % N] = (pitot_real)ldexp(i % 2 ? -1 : 1, -i / 2);
    double *sigma = singular(x, N, N, N, 1);
    for (int i = 0; i < N; i++) assert_true(fabs(sigma[i] - ldexp(1, -i / 2)) <= ROUND);
    for (int i = 0; i < 20; i++) assert_true(fabs(sigma[i] - ldexp(1, -i / 2)) <= 1e-12 * ldexp(1, i / 2));
    mem_free(sigma);
    mem_free(x);
}

static void test_refused(void **state) {
    (void)state;
    pitot_real *x = normal(30 * 20, 7);
    int64_t need = pitot_singular_work(30, 20);
    double sigma[20], *work = mem_alloc(need, sizeof *work);
    static const double bad[] = { NAN, INFINITY, -INFINITY };
    for (int kind = 0; kind < 3; kind++)
        for (int64_t at = 0; at < 600; at += 199) {
            pitot_real was = x[at];
            x[at] = (pitot_real)bad[kind];
            assert_int_equal(pitot_singular_values(x, 30, 20, 20, 1, sigma, work), PITOT_EHOST);
            assert_int_equal(pitot_singular_values(x, 20, 30, 1, 20, sigma, work), PITOT_EHOST);
            x[at] = was;
        }
    assert_int_equal(pitot_singular_values(NULL, 30, 20, 20, 1, sigma, work), PITOT_EINVAL);
    assert_int_equal(pitot_singular_values(x, 30, 20, 20, 1, NULL, work), PITOT_EINVAL);
    assert_int_equal(pitot_singular_values(x, 30, 20, 20, 1, sigma, NULL), PITOT_EINVAL);
    static const int64_t odd[] = { 0, -1, INT64_MIN };
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pitot_singular_values(x, odd[i], 20, 20, 1, sigma, work), PITOT_EINVAL);
        assert_int_equal(pitot_singular_values(x, 30, odd[i], 20, 1, sigma, work), PITOT_EINVAL);
        assert_int_equal(pitot_singular_work(odd[i], 20), -1);
        assert_int_equal(pitot_singular_work(30, odd[i]), -1);
    }
    assert_int_equal(pitot_singular_work(INT64_MAX, INT64_MAX), -1);
    assert_int_equal(pitot_singular_work((int64_t)1 << 32, (int64_t)1 << 32), -1);
    assert_true(pitot_singular_work(INT64_MAX, 1) > 0); /* a panel at a time */
    assert_true(pitot_singular_work(1, INT64_MAX) == pitot_singular_work(INT64_MAX, 1));
    mem_free(work);
    mem_free(x);
}

/* The same bits every time; how long the size of a layer takes. */
static void test_layer(void **state) {
    (void)state;
    const int64_t rows = is_brief() ? 100 : 1000, cols = is_brief() ? 78 : 784;
    pitot_real *x = normal(rows * cols, 8);
    double *work = mem_alloc(pitot_singular_work(rows, cols), sizeof *work), *a = mem_alloc(cols, sizeof *a);
    double *b = singular(x, rows, cols, cols, 1), best = 1e9;
    for (int i = 0; i < 5; i++) {
        struct timespec t0, t1;
        clock_gettime(CLOCK_MONOTONIC, &t0);
        assert_int_equal(pitot_singular_values(x, rows, cols, cols, 1, a, work), PITOT_OK);
        clock_gettime(CLOCK_MONOTONIC, &t1);
        best = fmin(best, (double)(t1.tv_sec - t0.tv_sec) * 1e3 + 1e-6 * (double)(t1.tv_nsec - t0.tv_nsec));
        assert_memory_equal(a, b, (size_t)cols * sizeof *a);
    }
    print_message("(%d,%d): %.1f ms, %.1f MB of work\n", (int)rows, (int)cols, best,
                  8e-6 * (double)pitot_singular_work(rows, cols));
    mem_free(b);
    mem_free(a);
    mem_free(work);
    mem_free(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),     cmocka_unit_test(test_strides), cmocka_unit_test(test_rank),
        cmocka_unit_test(test_magnitudes), cmocka_unit_test(test_known),   cmocka_unit_test(test_refused),
        cmocka_unit_test(test_layer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
