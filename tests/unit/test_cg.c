/* Conjugate gradients: against LAPACK, true residuals, several columns beside one by one, preconditioned, and what is said of operators
   that are not positive definite, not finite, or hopeless. */

#include "operators.h"

#include "base/sums.h"
#include "pitot/probe.h"
#include "pitot/trace.h"

static const double ROUND = sizeof(pitot_real) == 4 ? 1.2e-7 : 2.3e-16, TIGHT = sizeof(pitot_real) == 4 ? 1e-5 : 1e-11;

enum { N = 60, MOST = 6 };

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

typedef struct probe {
    int64_t n, k;
    pitot_real *b, *x;
    pitot_cg_column c[MOST];
    pitot_cg_config set;
    pitot_error error;
} probe;

static probe probe_new(int64_t n, int64_t k) {
    uint64_t counter = 77;
    pitot_real *room = mem_alloc(6 * k * n, sizeof *room);
    probe p = { .n = n, .k = k, .b = room, .x = room + k * n };
    p.set = (pitot_cg_config){ .struct_size = sizeof p.set, .work = room + 2 * k * n, .tolerance = TIGHT, .products = 1000 };
    for (int64_t i = 0; i < k * n; i++) p.b[i] = (pitot_real)gauss(&counter);
    return p;
}

static void probe_free(probe *p) {
    mem_free(p->b);
}

static void forget(probe *p) {
    memset(p->x, 0, (size_t)(p->k * p->n) * sizeof *p->x);
}

/* |b - (A + damping I) x| / |b| of column j, without noise. */
static double rest_of(const probe *p, matrix *m, int64_t j) {
    const pitot_real *x = p->x + j * p->n, *b = p->b + j * p->n;
    double sum = 0, size = 0;
    multiply(m, x, m->y);
    for (int64_t i = 0; i < p->n; i++) {
        sum += pow((double)b[i] - m->y[i] - p->set.damping * (double)x[i], 2);
        size += (double)b[i] * (double)b[i];
    }
    return sqrt(sum / (size > 0 ? size : 1));
}

/* One call, with all that must hold whatever comes out; returns how many have converged. */
static int solve(probe *p, matrix *m) {
    pitot_linop op = columns_of(m);
    int converged = 0;
    int64_t all = 0, blocks = mem_count().blocks;
    m->calls = 0;
    assert_int_equal(pitot_cg(&op, &p->set, p->k, p->b, p->x, p->c, &p->error), PITOT_OK);
    assert_int_equal(mem_count().blocks, blocks);
    for (int64_t j = 0; j < p->k; j++) {
        const pitot_cg_column *c = &p->c[j];
        double rest = rest_of(p, m, j);
        assert_true(c->products <= p->set.products);
        if (!(c->residual >= 0.5 * rest - 20 * ROUND)) fail_msg("column %d: residual %g said, %g true", (int)j, c->residual, rest);
        if (m->noise <= 0 && fabs(c->residual - rest) > 0.1 * rest + 100 * ROUND)
            fail_msg("column %d: residual %g said, %g true", (int)j, c->residual, rest);
        assert_int_equal(c->converged, c->residual <= p->set.tolerance);
        converged += c->converged;
        all += c->products;
    }
    assert_int_equal(all, m->calls);
    return converged;
}

/* Q diag Q': positive definite, eigenvalues from 1 to `condition`, evenly in the logarithm. */
static double *positive(int64_t n, double condition) {
    double *a = random_symmetric(n, 31), *value = mem_alloc(n, sizeof *value), *out = mem_alloc(n * n, sizeof *out);
    assert_int_equal(LAPACKE_dsyev(LAPACK_ROW_MAJOR, 'V', 'U', (lapack_int)n, a, (lapack_int)n, value), 0);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            for (int64_t l = 0; l < n; l++)
                out[i * n + j] += a[i * n + l] * a[j * n + l] * pow(condition, (double)l / (double)(n - 1));
    mem_free(a);
    mem_free(value);
    return out;
}

/* ---- solutions ---- */

static void check_solution(const probe *p, const double *a, double condition) {
    double *copy = mem_alloc(N * N, sizeof *copy), x[N];
    for (int64_t j = 0; j < p->k; j++) {
        double size = 0, wrong = 0;
        memcpy(copy, a, N * N * sizeof *copy);
        for (int i = 0; i < N; i++) {
            copy[i * N + i] += p->set.damping;
            x[i] = (double)p->b[j * N + i];
        }
        assert_int_equal(LAPACKE_dposv(LAPACK_ROW_MAJOR, 'U', N, 1, copy, N, x, 1), 0);
        for (int i = 0; i < N; i++) {
            size += x[i] * x[i];
            wrong += pow(x[i] - (double)p->x[j * N + i], 2);
        }
        assert_true(sqrt(wrong / size) <= 2 * condition * TIGHT);
    }
    mem_free(copy);
}

static void test_against_lapack(void **state) {
    (void)state;
    for (double condition = 1; condition < 2000; condition *= 10)
        for (int damped = 0; damped < 2; damped++) {
            double *a = positive(N, condition);
            matrix m = matrix_new(N, NULL, a);
            probe p = probe_new(N, 3);
            p.set.damping = damped * 0.5;
            assert_int_equal(solve(&p, &m), 3);
            check_solution(&p, a, condition);
            for (int j = 0; j < 3; j++) /* at most what the bound says, and the check */
                assert_true((double)p.c[j].products <= 3 + sqrt(condition) / 2 * log(4 * sqrt(condition) / TIGHT));
            probe_free(&p);
            mem_free(m.x);
            mem_free(a);
        }
}

/* Side by side: the same bits as one by one, easy ones leave early, and zero costs nothing. */
static void test_columns(void **state) {
    (void)state;
    double *a = positive(N, 300);
    matrix m = matrix_new(N, NULL, a);
    probe p = probe_new(N, 5), one = probe_new(N, 1);
    memset(p.b + 3 * N, 0, N * sizeof *p.b);
    p.x[3 * N + 1] = 5; /* the solution of nothing is nothing, wherever it starts from */
    for (int i = 0; i < N; i++) p.b[N + i] = (pitot_real)(a[i * N + 4] / 100);
    p.x[N + 4] = (pitot_real)0.01; /* starts at its solution */
    pitot_real start[5 * N];
    memcpy(start, p.x, sizeof start);
    assert_int_equal(solve(&p, &m), 5);
    assert_int_equal(p.c[1].products, 1);
    assert_int_equal(p.c[3].products, 0);
    assert_true(pitot_sum_squares(p.x + 3 * N, N) <= 0 && p.c[3].residual <= 0);
    for (int j = 0; j < 5; j++) {
        if (j == 3) continue;
        memcpy(one.b, p.b + j * N, N * sizeof *one.b);
        memcpy(one.x, start + j * N, N * sizeof *one.x);
        if (j != 1) one.x[0] = (pitot_real)1e-30; /* as the others: with a product for the start */
        assert_int_equal(solve(&one, &m), 1);
        assert_int_equal(one.c[0].products, p.c[j].products);
        assert_memory_equal(one.x, p.x + j * N, N * sizeof *one.x);
    }
    probe_free(&p);
    probe_free(&one);
    mem_free(m.x);
    mem_free(a);
}

static void test_warm(void **state) {
    (void)state;
    double *a = positive(N, 300);
    matrix m = matrix_new(N, NULL, a);
    probe p = probe_new(N, 2);
    assert_int_equal(solve(&p, &m), 2);
    int64_t cold = p.c[0].products;
    for (int i = 0; i < 2 * N; i++) p.x[i] = (pitot_real)((double)p.x[i] * (1 + 1e-3 * (i % 3)));
    assert_int_equal(solve(&p, &m), 2);
    assert_true(p.c[0].products < cold && p.c[0].products > 1);
    assert_int_equal(solve(&p, &m), 2);
    assert_true(p.c[0].products == 1 && p.c[1].products == 1);
    probe_free(&p);
    mem_free(m.x);
    mem_free(a);
}

/* diag(1..10^6) around a small rest: the inverse of the diagonal takes the condition away. */
static void test_preconditioner(void **state) {
    (void)state;
    double *a = positive(N, 3), inverse[N];
    for (int i = 0; i < N; i++) inverse[i] = pow(10, -6.0 * i / (N - 1));
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) a[i * N + j] /= sqrt(inverse[i] * inverse[j]);
    matrix m = matrix_new(N, NULL, a), d = matrix_new(N, inverse, NULL);
    pitot_linop preconditioner = columns_of(&d);
    probe p = probe_new(N, 2);
    p.set.tolerance = 1e-3;
    solve(&p, &m);
    int64_t plain = p.c[0].products;
    forget(&p);
    p.set.preconditioner = &preconditioner;
    assert_int_equal(solve(&p, &m), 2);
    print_message("condition 1e6: %d products, %d with the diagonal\n", (int)plain, (int)p.c[0].products);
    assert_true(2 * p.c[0].products < plain && d.calls > 0);
    for (int i = 0; i < N; i++) inverse[i] *= i == 7 ? -1e9 : 1;
    forget(&p);
    solve(&p, &m);
    assert_true(p.c[0].indefinite == 2 && !p.c[0].converged);
    probe_free(&p);
    mem_free(m.x);
    mem_free(d.x);
    mem_free(a);
}

/* ---- where it cannot ---- */

/* In float the recurrence goes on to fall where the true residual has come to rest: that is what is said. */
static void test_round_off(void **state) {
    (void)state;
    double *a = positive(N, 1e5);
    matrix m = matrix_new(N, NULL, a);
    probe p = probe_new(N, 2);
    p.set.tolerance = ROUND / 50;
    p.set.products = 20000;
    solve(&p, &m);
    print_message("at round-off: residual %g after %d products\n", p.c[0].residual, (int)p.c[0].products);
    assert_true(!p.c[0].converged && p.c[0].products < 20000 && p.c[0].residual < 1e5 * ROUND);
    m.noise = 1e-3;
    p.set.tolerance = 1e-8;
    forget(&p);
    solve(&p, &m);
    print_message("with noise: residual %g after %d products\n", p.c[0].residual, (int)p.c[0].products);
    assert_true(!p.c[0].converged && p.c[0].products < 20000);
    probe_free(&p);
    mem_free(m.x);
    mem_free(a);
}

static void test_own_error(void **state) {
    (void)state;
    double *a = positive(N, 10);
    matrix m = matrix_new(N, NULL, a);
    pitot_linop op = columns_of(&m);
    probe p = probe_new(N, 1);
    op.error = 0.01;
    assert_int_equal(pitot_cg(&op, &p.set, 1, p.b, p.x, p.c, NULL), PITOT_OK);
    assert_true(p.c[0].residual >= 0.0099 && !p.c[0].converged);
    p.set.tolerance = 0.02;
    forget(&p);
    assert_int_equal(pitot_cg(&op, &p.set, 1, p.b, p.x, p.c, NULL), PITOT_OK);
    assert_true(p.c[0].residual >= 0.0099 && p.c[0].converged);
    probe_free(&p);
    mem_free(m.x);
    mem_free(a);
}

static void test_indefinite(void **state) {
    (void)state;
    double diagonal[N];
    for (int i = 0; i < N; i++) diagonal[i] = i == 5 ? -2 : 1 + i % 7;
    matrix m = matrix_new(N, diagonal, NULL);
    probe p = probe_new(N, 2);
    p.b[N + 5] = 0; /* the second one never meets it */
    assert_int_equal(solve(&p, &m), 1);
    assert_true(p.c[0].indefinite == 1 && !p.c[0].converged && p.c[0].curvature <= 0 && p.c[0].curvature >= -2);
    assert_true(p.c[1].indefinite == 0 && p.c[1].converged && p.c[1].curvature > 0);
    p.set.damping = 2.5;
    forget(&p);
    assert_int_equal(solve(&p, &m), 2);
    for (int i = 0; i < N; i++) diagonal[i] = 0;
    p.set.damping = 0;
    forget(&p);
    assert_int_equal(solve(&p, &m), 0);
    assert_true(p.c[0].indefinite == 1 && fabs(p.c[0].residual - 1) <= 100 * ROUND && pitot_sum_squares(p.x, 2 * N) <= 0);
    probe_free(&p);
    mem_free(m.x);
}

static void test_limits(void **state) {
    (void)state;
    double *a = positive(N, 1000), before = INFINITY;
    matrix m = matrix_new(N, NULL, a);
    probe p = probe_new(N, 2);
    for (int64_t limit = 1; limit <= 20; limit++) {
        forget(&p);
        p.set.products = limit;
        assert_int_equal(solve(&p, &m), 0);
        assert_int_equal(p.c[0].products, limit == 1 ? 0 : limit);
        assert_true(p.c[0].residual < 10);
        before = fmin(before, p.c[0].residual);
    }
    assert_true(before < 0.5);
    probe_free(&p);
    mem_free(m.x);
    mem_free(a);
}

static int32_t stop_at(void *user, int64_t done, int64_t of) {
    assert_true(done >= 1 && done <= of);
    return done >= *(int64_t *)user;
}

static void test_failing(void **state) {
    (void)state;
    double *a = positive(N, 1000);
    for (int64_t at = 1; at <= 20; at++) {
        matrix m = matrix_new(N, NULL, a);
        pitot_linop op = columns_of(&m);
        probe p = probe_new(N, 2);
        m.fails_at = at;
        assert_int_equal(pitot_cg(&op, &p.set, 2, p.b, p.x, p.c, &p.error), -77);
        forget(&p);
        m.calls = m.fails_at = 0;
        m.nan_at = at;
        assert_int_equal(pitot_cg(&op, &p.set, 2, p.b, p.x, p.c, &p.error), PITOT_EHOST);
        assert_true(p.error.status == PITOT_EHOST && p.error.text[0]);
        forget(&p);
        m.calls = m.nan_at = 0;
        p.set.progress = stop_at;
        p.set.user = &at;
        assert_int_equal(pitot_cg(&op, &p.set, 2, p.b, p.x, p.c, NULL), PITOT_OK);
        assert_true(isnan(p.c[0].residual) && !p.c[0].converged && p.c[0].products == at);
        probe_free(&p);
        mem_free(m.x);
    }
    mem_free(a);
}

static void test_settings(void **state) {
    (void)state;
    double diagonal[9] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
    matrix m = matrix_new(9, diagonal, NULL);
    pitot_linop good = columns_of(&m), op, other = good;
    probe p = probe_new(9, 2);
    pitot_cg_config set;
    int64_t k;
#define REFUSED(change)                                                              \
    do {                                                                             \
        op = good, set = p.set, k = 2;                                               \
        change;                                                                      \
        assert_int_equal(pitot_cg(&op, &set, k, p.b, p.x, p.c, NULL), PITOT_EINVAL); \
    } while (0)
    REFUSED(k = 0);
    REFUSED(k = INT64_MAX / 8);
    REFUSED(op.symmetric = 0);
    REFUSED(op.n = 0);
    REFUSED(op.apply = NULL);
    REFUSED(set.work = NULL);
    REFUSED(set.tolerance = -1);
    REFUSED(set.tolerance = NAN);
    REFUSED(set.products = -1);
    REFUSED(set.damping = -1);
    REFUSED(set.damping = INFINITY);
    other.n = 8;
    REFUSED(set.preconditioner = &other);
    other.n = 9, other.symmetric = 0;
    REFUSED(set.preconditioner = &other);
    p.b[4] = (pitot_real)NAN;
    REFUSED((void)0);
    p.b[4] = 0;
    p.x[10] = (pitot_real)INFINITY;
    REFUSED((void)0);
    p.x[10] = 0;
    assert_int_equal(pitot_cg(NULL, &p.set, 2, p.b, p.x, p.c, NULL), PITOT_EINVAL);
    assert_int_equal(pitot_cg(&good, NULL, 2, p.b, p.x, p.c, NULL), PITOT_EINVAL);
    assert_int_equal(pitot_cg(&good, &p.set, 2, NULL, p.x, p.c, NULL), PITOT_EINVAL);
    assert_int_equal(pitot_cg(&good, &p.set, 2, p.b, NULL, p.c, NULL), PITOT_EINVAL);
    assert_int_equal(pitot_cg(&good, &p.set, 2, p.b, p.x, NULL, NULL), PITOT_EINVAL);
    assert_int_equal(m.calls, 0);
    mem_fail_at(1, 0);
    assert_int_equal(pitot_cg(&good, &p.set, 2, p.b, p.x, p.c, NULL), PITOT_ENOMEM);
    mem_fail_at(0, 0);
    assert_int_equal(solve(&p, &m), 2);
    mem_free(m.x);
    probe_free(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_lapack), cmocka_unit_test(test_columns),   cmocka_unit_test(test_warm),
        cmocka_unit_test(test_preconditioner), cmocka_unit_test(test_round_off), cmocka_unit_test(test_own_error),
        cmocka_unit_test(test_indefinite),     cmocka_unit_test(test_limits),    cmocka_unit_test(test_failing),
        cmocka_unit_test(test_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
