/* Trace and diagonal: against the same estimators written out naively with the same vectors, exactly on matrices of low rank, in
   expectation, with the spread that their errors say, and what is said when something is wrong. */

#include "operators.h"

#include "base/sums.h"
#include "curve/draws.h"
#include "pitot/probe.h"
#include "pitot/trace.h"

static const double ROUND = sizeof(pitot_real) == 4 ? 1.2e-7 : 2.3e-16;

typedef int32_t (*trace_function)(const pitot_linop *op, const pitot_draws *settings, pitot_estimate *out, pitot_error *error);

static const trace_function traces[] = { pitot_trace_hutchinson, pitot_trace_hutchpp, pitot_trace_xtrace };

typedef struct probe {
    pitot_draws set;
    pitot_real *out, *spread;
    pitot_estimate e;
    pitot_error error;
} probe;

static probe probe_new(int64_t n, int64_t products, int64_t vectors) {
    probe p = { .set = { .struct_size = sizeof p.set, .products = products, .vectors = vectors, .seed = 4 } };
    p.set.work = mem_alloc((vectors + 2) * n, sizeof(pitot_real));
    p.out = p.set.work + vectors * n;
    p.spread = p.out + n;
    return p;
}

static void probe_free(probe *p) {
    mem_free(p->set.work);
}

static int32_t apply_columns(void *self, const pitot_real *x, pitot_real *y, int64_t k) {
    int64_t n = ((matrix *)self)->n;
    int32_t status = PITOT_OK;
    for (int64_t j = 0; j < k && !status; j++) status = apply_matrix(self, x + j * n, y + j * n, 1);
    return status;
}

static pitot_linop columns_of(matrix *m) {
    pitot_linop op = operator_of(m);
    op.apply = apply_columns;
    return op;
}

static void trace(probe *p, matrix *m, int which) {
    pitot_linop op = columns_of(m);
    m->calls = 0;
    int64_t blocks = mem_count().blocks;
    assert_int_equal(traces[which](&op, &p->set, &p->e, &p->error), PITOT_OK);
    assert_int_equal(mem_count().blocks, blocks);
    assert_int_equal(p->e.products, m->calls);
    assert_true(p->e.products <= p->set.products && p->e.complete == 1 && p->e.floor <= 0);
    assert_int_equal(p->e.converged, p->e.error <= (p->set.tolerance > 0 ? p->set.tolerance : 1e-2) * fabs(p->e.value));
}

static void diagonal(probe *p, matrix *m, int extended) {
    pitot_linop op = columns_of(m);
    m->calls = 0;
    int64_t blocks = mem_count().blocks;
    if (extended) assert_int_equal(pitot_diagonal_xdiag(&op, &p->set, p->out, p->spread, &p->e, &p->error), PITOT_OK);
    else assert_int_equal(pitot_diagonal_hutchinson(&op, &p->set, p->out, p->spread, &p->e, &p->error), PITOT_OK);
    assert_int_equal(mem_count().blocks, blocks);
    assert_int_equal(p->e.products, m->calls);
    assert_true(p->e.products <= p->set.products && p->e.complete == 1);
}

/* Of rank r; eigenvalues fall off like 1/(1+i)^decay, every third negative. */
static double *low_rank(int64_t n, int64_t r, double decay, uint64_t counter) {
    double *a = mem_alloc(n * n, sizeof *a), *u = mem_alloc(n, sizeof *u);
    for (int64_t k = 0; k < r; k++) {
        double value = (k % 3 == 2 ? -1 : 1) / pow(1 + (double)k, decay);
        for (int64_t i = 0; i < n; i++) u[i] = gauss(&counter);
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++) a[i * n + j] += value * u[i] * u[j];
    }
    mem_free(u);
    return a;
}

static double trace_of(const double *a, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i * n + i];
    return sum;
}

static double size_of(const double *a, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n * n; i++) sum += a[i] * a[i];
    return sqrt(sum);
}

/* ---- written out ---- */

enum { N = 40 };

static void times(const double *a, const double *x, double *y) {
    for (int i = 0; i < N; i++) {
        y[i] = 0;
        for (int j = 0; j < N; j++) y[i] += a[i * N + j] * x[j];
    }
}

static void test_vector(int i, double *x) {
    pitot_real v[N];
    draws_signs(v, N, 4, random_purpose("trace"), (uint64_t)i);
    for (int j = 0; j < N; j++) x[j] = (double)v[j];
}

/* An orthonormal basis of all products but those of vector `without`; returns its size. */
static int range_without(const double *a, int k, int without, double q[][N]) {
    int r = 0;
    for (int i = 0; i < k; i++) {
        double x[N], before = 0, after = 0;
        if (i == without) continue;
        test_vector(i, x);
        times(a, x, q[r]);
        for (int l = 0; l < N; l++) before += q[r][l] * q[r][l];
        for (int pass = 0; pass < 3; pass++)
            for (int j = 0; j < r; j++) {
                double along = 0;
                for (int l = 0; l < N; l++) along += q[j][l] * q[r][l];
                for (int l = 0; l < N; l++) q[r][l] -= along * q[j][l];
            }
        for (int l = 0; l < N; l++) after += q[r][l] * q[r][l];
        if (after <= 1e-20 * before) continue;
        for (int l = 0; l < N; l++) q[r][l] /= sqrt(after);
        r++;
    }
    return r;
}

static void project_out(double q[][N], int r, double *x) {
    for (int j = 0; j < r; j++) {
        double along = 0;
        for (int l = 0; l < N; l++) along += q[j][l] * x[l];
        for (int l = 0; l < N; l++) x[l] -= along * q[j][l];
    }
}

/* tr(Q_i'A Q_i) + omega'P A P omega, and diag(Q_i Q_i'A) + omega . P A omega. */
static double naive(const double *a, int k, int i, double *d) {
    static double q[64][N];
    int r = range_without(a, k, i, q);
    double sum = 0, omega[N], x[N], y[N];
    memset(d, 0, N * sizeof *d);
    for (int j = 0; j < r; j++) {
        times(a, q[j], y);
        for (int l = 0; l < N; l++) d[l] += q[j][l] * y[l], sum += q[j][l] * y[l];
    }
    test_vector(i, omega);
    times(a, omega, y);
    project_out(q, r, y);
    for (int l = 0; l < N; l++) d[l] += omega[l] * y[l];
    memcpy(x, omega, sizeof x);
    project_out(q, r, x);
    times(a, x, y);
    for (int l = 0; l < N; l++) sum += x[l] * y[l];
    return sum;
}

static double mean_of(const double *x, int k, int step) {
    double sum = 0;
    for (int i = 0; i < k; i++) sum += x[i * step];
    return sum / k;
}

static double error_of(const double *x, int k, int step) {
    double mean = mean_of(x, k, step), sum = 0;
    for (int i = 0; i < k; i++) sum += (x[i * step] - mean) * (x[i * step] - mean);
    return sqrt(sum / k / (k - 1));
}

static void check_naive(const double *a, int k, const char *name, double slack) {
    double t[64], d[64 * N], size = size_of(a, N), bound = slack * ROUND * size;
    matrix m = matrix_new(N, NULL, a);
    probe p = probe_new(N, 2 * k, 2 * k);
    for (int i = 0; i < k; i++) t[i] = naive(a, k, i, d + i * N);
    trace(&p, &m, 2);
    assert_int_equal(p.e.draws, k);
    if (fabs(p.e.value - mean_of(t, k, 1)) > bound || fabs(p.e.error - error_of(t, k, 1)) > bound)
        fail_msg("%s, k = %d: XTrace %.9g +- %.9g instead of %.9g +- %.9g", name, k, p.e.value, p.e.error, mean_of(t, k, 1),
                 error_of(t, k, 1));
    diagonal(&p, &m, 1);
    for (int l = 0; l < N; l++)
        if (fabs((double)p.out[l] - mean_of(d + l, k, N)) > bound || fabs((double)p.spread[l] - error_of(d + l, k, N)) > bound)
            fail_msg("%s, k = %d: XDiag, value %d: %.9g +- %.9g instead of %.9g +- %.9g", name, k, l, (double)p.out[l],
                     (double)p.spread[l], mean_of(d + l, k, N), error_of(d + l, k, N));
    mem_free(m.x);
    probe_free(&p);
}

static void test_left_out(void **state) {
    (void)state;
    for (int k = 2; k <= 12; k += 5) {
        double *full = random_symmetric(N, (uint64_t)k), *decays = low_rank(N, N, 2, 7), *low = low_rank(N, 4, 1, 3);
        check_naive(full, k, "full rank", 200);
        check_naive(decays, k, "decaying", 2000);
        check_naive(low, k, "rank 4", 200);
        memset(full, 0, N * N * sizeof *full); /* blocks on which signs agree: dependent, and one vector alone in its direction */
        for (int i = 0; i < 4; i++) full[i * N + i] = 1 + i / 2, full[i * N + (i ^ 1)] = 0.5;
        check_naive(full, k, "blocks", 200);
        mem_free(full);
        mem_free(decays);
        mem_free(low);
    }
}

static void test_hutchinson(void **state) {
    (void)state;
    enum { DRAWS = 13 };
    double *a = random_symmetric(N, 5), t[DRAWS], d[DRAWS * N], x[N], y[N];
    matrix m = matrix_new(N, NULL, a);
    for (int i = 0; i < DRAWS; i++) {
        test_vector(i, x);
        times(a, x, y);
        t[i] = 0;
        for (int l = 0; l < N; l++) t[i] += x[l] * y[l], d[i * N + l] = x[l] * y[l];
    }
    double bound = 100 * ROUND * size_of(a, N);
    for (int64_t vectors = 2; vectors <= 22; vectors += 5) {
        probe p = probe_new(N, DRAWS, vectors);
        trace(&p, &m, 0);
        assert_true(p.e.draws == DRAWS && p.e.products == DRAWS);
        assert_true(fabs(p.e.value - mean_of(t, DRAWS, 1)) <= bound && fabs(p.e.error - error_of(t, DRAWS, 1)) <= bound);
        diagonal(&p, &m, 0);
        for (int l = 0; l < N; l++) {
            assert_true(fabs((double)p.out[l] - mean_of(d + l, DRAWS, N)) <= bound);
            assert_true(fabs((double)p.spread[l] - error_of(d + l, DRAWS, N)) <= bound);
        }
        probe_free(&p);
    }
    mem_free(m.x);
    mem_free(a);
}

/* ---- exact where they should be ---- */

static void check_low_rank(int64_t n, int64_t r, int64_t products) {
    double *a = low_rank(n, r, 0.5, (uint64_t)(n + r)), right = trace_of(a, n), bound = 300 * ROUND * size_of(a, n);
    matrix m = matrix_new(n, NULL, a);
    probe p = probe_new(n, products, products);
    for (int which = 1; which < 3; which++) {
        trace(&p, &m, which);
        if (!(fabs(p.e.value - right) <= bound && p.e.error <= bound))
            fail_msg("n = %d, rank %d, %d products: %.9g +- %g instead of %.9g", (int)n, (int)r, (int)products, p.e.value,
                     p.e.error, right);
    }
    diagonal(&p, &m, 1);
    for (int64_t i = 0; i < n; i++) assert_true(fabs((double)p.out[i] - a[i * n + i]) <= bound && (double)p.spread[i] <= bound);
    trace(&p, &m, 0);
    assert_true(p.e.error > 100 * bound);
    mem_free(m.x);
    mem_free(a);
    probe_free(&p);
}

static void test_exact(void **state) {
    (void)state;
    check_low_rank(50, 1, 6);
    check_low_rank(50, 6, 18);
    check_low_rank(50, 5, 31);
    check_low_rank(300, 60, 200); /* more rows than go into one group */
    check_low_rank(300, 66, 240);
    check_low_rank(7, 3, 100); /* more products than a matrix has dimensions */
}

/* ---- in expectation ---- */

enum { SEEDS = 400 };

static double value_of(probe *p, matrix *m, int which, uint64_t seed, double *error) {
    p->set.seed = seed;
    if (which < 3) trace(p, m, which);
    else diagonal(p, m, which == 4);
    *error = which < 3 ? p->e.error : (double)p->spread[3];
    return which < 3 ? p->e.value : (double)p->out[3];
}

static void test_expectation(void **state) {
    (void)state;
    double *a = low_rank(30, 30, 1, 2), spread[5];
    matrix m = matrix_new(30, NULL, a);
    int seeds = is_brief() ? 60 : SEEDS;
    for (int which = 0; which < 5; which++) {
        probe p = probe_new(30, 18, 18);
        double t[SEEDS], squares = 0, error, right = which < 3 ? trace_of(a, 30) : a[3 * 31];
        for (int s = 0; s < seeds; s++) {
            t[s] = value_of(&p, &m, which, (uint64_t)s + 100, &error);
            squares += error * error / seeds;
        }
        double sure = error_of(t, seeds, 1);
        spread[which] = sure * sqrt(seeds);
        print_message("estimator %d: bias %.2f standard errors; spread %.4g, said %.4g\n", which,
                      (mean_of(t, seeds, 1) - right) / sure, spread[which], sqrt(squares));
        assert_true(fabs(mean_of(t, seeds, 1) - right) <= 4 * sure);
        assert_true(sqrt(squares) > 0.6 * spread[which] && sqrt(squares) < 1.6 * spread[which]);
        probe_free(&p);
    }
    assert_true(spread[2] < spread[1] && spread[1] < spread[0] && spread[4] < spread[3]);
    mem_free(m.x);
    mem_free(a);
}

/* ---- the same, whatever goes together; interrupted; wrong ---- */

static void test_together(void **state) {
    (void)state;
    double *a = low_rank(60, 60, 1, 9);
    matrix m = matrix_new(60, NULL, a);
    probe few = probe_new(60, 30, 12), many = probe_new(60, 30, 40);
    trace(&few, &m, 1);
    trace(&many, &m, 1);
    assert_true(fabs(few.e.value - many.e.value) <= 20 * ROUND * size_of(a, 60));
    double value = many.e.value;
    trace(&many, &m, 1);
    assert_memory_equal(&value, &many.e.value, sizeof value);
    probe_free(&few);
    probe_free(&many);
    mem_free(m.x);
    mem_free(a);
}

static int32_t stop_at(void *user, int64_t done, int64_t of) {
    assert_true(done >= 1 && done <= of && of <= 24);
    return done >= *(int64_t *)user;
}

static void test_interrupted(void **state) {
    (void)state;
    double *a = random_symmetric(50, 1);
    matrix m = matrix_new(50, NULL, a);
    pitot_linop op = columns_of(&m);
    for (int64_t limit = 1; limit < 24; limit += 3)
        for (int which = 0; which < 5; which++) {
            probe p = probe_new(50, 24, 24);
            if (which == 0 || which == 3) p.set.vectors = 2;
            p.set.progress = stop_at;
            p.set.user = &limit;
            int32_t status = which < 3    ? traces[which](&op, &p.set, &p.e, NULL)
                             : which == 3 ? pitot_diagonal_hutchinson(&op, &p.set, p.out, p.spread, &p.e, NULL)
                                          : pitot_diagonal_xdiag(&op, &p.set, p.out, NULL, &p.e, NULL);
            assert_int_equal(status, PITOT_OK);
            assert_true(p.e.products >= limit && p.e.products <= limit + 8 && !p.e.complete && (which % 3 == 0 || !p.e.converged));
            assert_int_equal(isfinite(p.e.value) != 0, which == 0 || which == 3);
            assert_int_equal(isnan(p.e.error) != 0, which == 1 || which == 2 || which == 4 || limit == 1);
            probe_free(&p);
        }
    mem_free(m.x);
    mem_free(a);
}

static int32_t any(int which, const pitot_linop *op, probe *p) {
    p->error.status = PITOT_OK;
    if (which < 3) return traces[which](op, &p->set, &p->e, &p->error);
    if (which == 3) return pitot_diagonal_hutchinson(op, &p->set, p->out, p->spread, &p->e, &p->error);
    return pitot_diagonal_xdiag(op, &p->set, p->out, p->spread, &p->e, &p->error);
}

static void test_failing_operator(void **state) {
    (void)state;
    double *a = random_symmetric(50, 1);
    for (int which = 0; which < 5; which++)
        for (int64_t at = 1; at <= 24; at++) {
            matrix m = matrix_new(50, NULL, a);
            pitot_linop op = columns_of(&m);
            probe p = probe_new(50, 24, 24);
            m.fails_at = at;
            assert_int_equal(any(which, &op, &p), -77);
            m.calls = m.fails_at = 0;
            m.nan_at = at;
            assert_int_equal(any(which, &op, &p), PITOT_EHOST);
            assert_true(p.error.status == PITOT_EHOST && p.error.text[0] && isnan(p.e.value) && !p.e.converged && !p.e.complete);
            probe_free(&p);
            mem_free(m.x);
        }
    mem_free(a);
}

static void test_settings(void **state) {
    (void)state;
    double value[9] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
    matrix m = matrix_new(9, value, NULL);
    pitot_linop good = columns_of(&m), op;
    probe p = probe_new(9, 12, 12);
    pitot_draws set = p.set;
    for (int which = 0; which < 5; which++) {
#define REFUSED(change)                                      \
    do {                                                     \
        op = good, p.set = set;                              \
        change;                                              \
        assert_int_equal(any(which, &op, &p), PITOT_EINVAL); \
        assert_true(p.error.text[0] && m.calls == 0);        \
    } while (0)
        REFUSED(op.n = 0);
        REFUSED(op.apply = NULL);
        REFUSED(p.set.work = NULL);
        REFUSED(p.set.products = -1);
        REFUSED(p.set.vectors = which % 3 == 0 ? 1 : 5);
        REFUSED(p.set.vectors = -1);
        REFUSED(p.set.tolerance = NAN);
        if (which == 2 || which == 4) REFUSED(op.symmetric = 0);
        if (which == 1) REFUSED(p.set.products = 2);
        if (which == 2 || which == 4) REFUSED(p.set.products = 3);
        assert_int_equal(any(which, NULL, &p), PITOT_EINVAL);
        p.set = set;
        for (int64_t at = 1; at <= 9; at++) {
            mem_fail_at(at, 0);
            int32_t status = any(which, &good, &p);
            mem_fail_at(0, 0);
            assert_true(status == PITOT_ENOMEM || status == PITOT_OK);
            if (at == 1) assert_int_equal(status, which % 3 == 0 ? PITOT_OK : PITOT_ENOMEM);
        }
        op = good;
        op.error = 0.125;
        assert_int_equal(any(which, &op, &p), PITOT_OK);
        assert_true(p.e.floor > 0.1 && !p.e.converged);
        m.calls = 0;
    }
    mem_free(m.x);
    probe_free(&p);
}

static void test_threads(void **state) {
    (void)state;
    int64_t n = 140001;
    double *value = mem_alloc(n, sizeof *value), right = 0;
    fill_net_like(value, n);
    for (int64_t i = 0; i < n; i++) right += value[i];
    matrix m = matrix_new(n, value, NULL);
    sums_set_threads(2);
    for (int which = 0; which < 3; which++) {
        probe p = probe_new(n, 6, 6);
        trace(&p, &m, which);
        pitot_estimate first = p.e;
        trace(&p, &m, which);
        assert_memory_equal(&first.value, &p.e.value, sizeof first.value);
        assert_true(fabs(p.e.value - right) <= 5 * p.e.error + 1e-4 * right);
        probe_free(&p);
    }
    sums_set_threads(1);
    mem_free(m.x);
    mem_free(value);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_left_out),         cmocka_unit_test(test_hutchinson), cmocka_unit_test(test_exact),
        cmocka_unit_test(test_expectation),      cmocka_unit_test(test_together),   cmocka_unit_test(test_interrupted),
        cmocka_unit_test(test_failing_operator), cmocka_unit_test(test_settings),   cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
