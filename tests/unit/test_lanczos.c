/* Extreme eigenvalues: against LAPACK on dense matrices, on spectra that are known or awkward, with noise, along drifting operators,
   and what is said when something is wrong. */

#include "operators.h"

#include "base/sums.h"
#include "curve/eigen.h"
#include "pitot/probe.h"
#include "pitot/solve.h"

static const double TIGHT = sizeof(pitot_real) == 4 ? 1e-5 : 1e-9, EXACT = sizeof(pitot_real) == 4 ? 2e-6 : 1e-13;

/* ---- one search, with all that must hold whatever comes out ---- */

typedef struct probe { /* of one size */
    int64_t n;
    pitot_real *work, *top, *bottom;
    pitot_lanczos set;
} probe;

static probe probe_new(int64_t n, int64_t vectors) {
    pitot_real *room = mem_alloc((vectors + 2) * n, sizeof *room);
    probe p = { .n = n, .top = room, .bottom = room + n, .work = room + 2 * n };
    p.set = (pitot_lanczos){ .struct_size = sizeof p.set, .vectors = vectors, .work = p.work, .seed = 3 };
    return p;
}

static void probe_free(probe *p) {
    mem_free(p->top);
}

static void forget(probe *p) {
    memset(p->top, 0, (size_t)p->n * sizeof *p->top);
    memset(p->bottom, 0, (size_t)p->n * sizeof *p->bottom);
}

static double size_of(const pitot_extremes *e) {
    return fmax(fabs(e->largest.value), fabs(e->smallest.value));
}

static void check_pair(matrix *m, const pitot_real *u, const pitot_eigenpair *pair, const pitot_extremes *e, double tolerance) {
    double size = size_of(e), rest = true_residual(m, u, pair->value), square = pitot_sum_squares(u, m->n);
    assert_true(isfinite(pair->value) && isfinite(pair->residual) && pair->residual >= 0);
    assert_true(fabs(square - 1) < 1e-5);
    if (pair->residual < 0.5 * rest - EXACT * size) fail_msg("residual %g said, %g true, n = %d", pair->residual, rest, (int)m->n);
    assert_int_equal(pair->converged, pair->residual <= tolerance * size);
}

static pitot_extremes search(probe *p, matrix *m) {
    pitot_linop op = operator_of(m);
    pitot_extremes e = { .struct_size = sizeof e };
    m->calls = 0;
    int64_t blocks = mem_count().requests;
    assert_int_equal(pitot_lanczos_extremes(&op, &p->set, p->top, p->bottom, &e), PITOT_OK);
    assert_int_equal(mem_count().requests, blocks);
    assert_int_equal(e.products, m->calls);
    assert_true(e.products <= (p->set.products ? p->set.products : 100));
    double tolerance = p->set.tolerance > 0 ? p->set.tolerance : 1e-2;
    check_pair(m, p->top, &e.largest, &e, tolerance);
    check_pair(m, p->bottom, &e.smallest, &e, tolerance);
    assert_true(e.largest.value >= e.smallest.value - EXACT * size_of(&e));
    return e;
}

/* Cold, to a tight tolerance: both ends are what they should be. */
static pitot_extremes check_ends(matrix *m, int64_t vectors, double largest, double smallest) {
    probe p = probe_new(m->n, vectors);
    p.set.tolerance = TIGHT;
    p.set.products = 3000;
    pitot_extremes e = search(&p, m);
    double bound = 2 * TIGHT * fmax(fabs(largest), fabs(smallest));
    if (fabs(e.largest.value - largest) > bound || fabs(e.smallest.value - smallest) > bound)
        fail_msg("n = %d, %d vectors: %.9g %.9g instead of %.9g %.9g", (int)m->n, (int)vectors, e.largest.value, e.smallest.value,
                 largest, smallest);
    assert_true(e.largest.converged && e.smallest.converged);
    probe_free(&p);
    return e;
}

/* ---- against LAPACK ---- */

static void check_dense(int64_t n, int64_t vectors) {
    double *a = random_symmetric(n, (uint64_t)n * 100000), *value = lapack_values(a, n);
    matrix m = matrix_new(n, NULL, a);
    check_ends(&m, vectors, value[n - 1], value[0]);
    mem_free(m.x);
    mem_free(value);
    mem_free(a);
}

static void test_against_lapack(void **state) {
    (void)state;
    for (int64_t n = 1; n <= 12; n++)
        for (int64_t vectors = 6; vectors <= 20; vectors += 7) check_dense(n, vectors);
    static const int64_t sizes[] = { 17, 31, 64, 65, 100, 173 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) check_dense(sizes[i], 20);
    check_dense(100, 6);
    check_dense(100, 7);
    check_dense(150, 64);
    check_dense(150, 1000);
}

/* The small eigenproblem by itself: values, and A s = value s. */
static void check_small(int n, double scale) {
    static double a[EIGEN_MOST][EIGEN_MOST], b[EIGEN_MOST][EIGEN_MOST], s[EIGEN_MOST][EIGEN_MOST], value[EIGEN_MOST];
    double *dense = random_symmetric(n, 7);
    for (int i = 0; i < n * n; i++) dense[i] *= scale;
    double *right = lapack_values(dense, n), size = fmax(fabs(right[0]), fabs(right[n - 1]));
    for (int i = 0; i < n; i++) memcpy(a[i], dense + i * n, (size_t)n * sizeof **a);
    memcpy(b, a, sizeof b);
    eigen_symmetric(n, a, value, s);
    for (int j = 0; j < n; j++) {
        assert_true(fabs(value[j] - right[j]) <= 1e-13 * size);
        for (int i = 0; i < n; i++) {
            double sum = -value[j] * s[i][j];
            for (int k = 0; k < n; k++) sum += b[i][k] * s[k][j];
            assert_true(fabs(sum) <= 1e-13 * size);
        }
    }
    mem_free(right);
    mem_free(dense);
}

static void test_small_problems(void **state) {
    (void)state;
    static const int sizes[] = { 1, 2, 3, 5, 20, 63, 64 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        check_small(sizes[i], 1);
        check_small(sizes[i], 1e-150);
        check_small(sizes[i], 1e150);
    }
}

/* ---- known spectra ---- */

/* As a diagonal matrix, and in a basis of no special directions. */
static void test_known_spectra(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof spectra / sizeof *spectra; i++) {
        const spectrum *s = &spectra[i];
        double *diagonal = mem_alloc(s->n, sizeof *diagonal), *mirror = mem_alloc(2 * s->n, sizeof *mirror);
        fill(s, diagonal);
        matrix m = matrix_new(s->n, diagonal, NULL);
        for (int64_t vectors = 6; vectors <= 20; vectors += 14) check_ends(&m, vectors, s->high, s->low);
        set_mirrors(&m, mirror);
        for (int64_t vectors = 6; vectors <= 20; vectors += 14) check_ends(&m, vectors, s->high, s->low);
        mem_free(m.x);
        mem_free(mirror);
        mem_free(diagonal);
    }
}

/* ---- a spectrum as nets have them, with noise in the products ---- */

static void check_noise(matrix *m, double noise, double tolerance, int expected) {
    probe p = probe_new(m->n, 20);
    p.set.tolerance = tolerance;
    m->noise = noise;
    for (int step = 0; step < 3; step++) {
        p.set.step = (uint64_t)step;
        pitot_extremes e = search(&p, m);
        assert_int_equal(e.largest.converged && e.smallest.converged, expected);
        assert_true(fabs(e.largest.value - 50) < 1e-3 * 50 && e.smallest.value >= -0.8 - 50 * noise);
    }
    probe_free(&p);
    m->noise = 0;
}

static void test_noise(void **state) {
    (void)state;
    double *diagonal = mem_alloc(MANY, sizeof *diagonal);
    fill_net_like(diagonal, MANY);
    matrix m = matrix_new(MANY, diagonal, NULL);
    check_noise(&m, 0, 1e-2, 1);
    check_noise(&m, 1e-5, 1e-2, 1);
    check_noise(&m, 1e-3, 1e-2, 1);
    check_noise(&m, 1e-3, 1e-4, 0); /* below the noise: said, not pretended */
    check_ends(&m, 20, 50, -0.8);
    mem_free(m.x);
    mem_free(diagonal);
}

/* ---- limits and starts ---- */

static void test_limits(void **state) {
    (void)state;
    double *a = random_symmetric(100, 1);
    matrix m = matrix_new(100, NULL, a);
    probe p = probe_new(100, 6);
    p.set.tolerance = TIGHT;
    for (int64_t limit = 1; limit <= 12; limit++) {
        forget(&p);
        p.set.products = limit;
        for (int step = 0; step < 3; step++) {
            p.set.step = (uint64_t)step;
            pitot_extremes e = search(&p, &m);
            assert_true(!e.largest.converged && !e.smallest.converged);
        }
    }
    mem_free(m.x);
    mem_free(a);
    probe_free(&p);
}

static void check_exact_start(int64_t vectors) {
    int64_t n = 2000, all = 0, least = 100;
    double *diagonal = mem_alloc(n, sizeof *diagonal);
    fill_net_like(diagonal, n);
    matrix m = matrix_new(n, diagonal, NULL);
    probe p = probe_new(n, vectors);
    for (int step = 0; step < 40; step++) {
        forget(&p);
        p.top[9] = -3;
        p.bottom[10] = (pitot_real)1e-3;
        p.set.step = (uint64_t)step;
        pitot_extremes e = search(&p, &m);
        assert_true(fabs(e.largest.value - 50) < 0.05 && e.smallest.value < -0.2 && e.smallest.converged && e.largest.converged);
        all += e.products;
        if (e.products < least) least = e.products;
    }
    print_message("exact start, %d vectors: least %d products, %.2f on average\n", (int)vectors, (int)least, (double)all / 40);
    assert_int_equal(least, 3);
    assert_true(all <= 5 * 40);
    mem_free(m.x);
    mem_free(diagonal);
    probe_free(&p);
}

static void test_exact_start(void **state) {
    (void)state;
    check_exact_start(20);
    check_exact_start(6);
}

/* Whatever lies in the vectors: the answer is right. */
static void spoil(probe *p, int kind) {
    uint64_t counter = (uint64_t)kind;
    forget(p);
    for (int64_t i = 0; i < p->n; i++) {
        double z = gauss(&counter);
        if (kind == 0) p->top[i] = p->bottom[i] = (pitot_real)z;
        if (kind == 1) p->top[i] = (pitot_real)z, p->bottom[i] = (pitot_real)(-2 * z);
        if (kind == 2) p->top[i] = (pitot_real)(1e30 * z);
        if (kind == 3) p->bottom[i] = (pitot_real)(1e-30 * z);
        if (kind == 4) p->top[i] = i == 5 ? (pitot_real)NAN : (pitot_real)z, p->bottom[i] = (pitot_real)z;
        if (kind == 5) p->top[i] = i == 5 ? (pitot_real)INFINITY : (pitot_real)z, p->bottom[i] = i == 5 ? (pitot_real)NAN : 0;
        if (kind == 6) p->top[i] = i == 10, p->bottom[i] = i == 9; /* changed places */
        if (kind == 7) p->top[i] = i == 3, p->bottom[i] = i == 4;  /* other eigenvectors */
        if (kind == 8) p->top[i] = i == 9, p->bottom[i] = i == 9;
    }
}

static void test_bad_starts(void **state) {
    (void)state;
    int64_t n = 500;
    double *diagonal = mem_alloc(n, sizeof *diagonal);
    fill_net_like(diagonal, n);
    matrix m = matrix_new(n, diagonal, NULL);
    probe p = probe_new(n, 12);
    p.set.tolerance = 1e-4;
    p.set.step = 1;
    for (int kind = 0; kind <= 8; kind++) {
        spoil(&p, kind);
        pitot_extremes e = search(&p, &m);
        if (kind == 7) continue; /* eigenvectors that stand still are believed, mostly: test_crossing */
        if (fabs(e.largest.value - 50) > 1e-3 || fabs(e.smallest.value + 0.8) > 1e-2)
            fail_msg("start %d: %g %g", kind, e.largest.value, e.smallest.value);
    }
    mem_free(m.x);
    mem_free(diagonal);
    probe_free(&p);
}

/* An eigenvalue has grown past the top where the top's vector has nothing: it is found within a few calls. */
static int steps_to_find(int64_t n, double above, uint64_t seed) {
    double *diagonal = mem_alloc(n, sizeof *diagonal);
    for (int64_t i = 0; i < n; i++) diagonal[i] = 0.3 * (double)i / (double)n;
    diagonal[0] = 1;
    diagonal[1] = -0.5;
    diagonal[2] = above;
    matrix m = matrix_new(n, diagonal, NULL);
    probe p = probe_new(n, 20);
    p.set.seed = seed;
    p.top[0] = p.bottom[1] = 1;
    int step = 0;
    for (pitot_extremes e; step < 100; step++) {
        p.set.step = (uint64_t)step * 10;
        e = search(&p, &m);
        if (e.largest.value > above - 0.02) break;
    }
    mem_free(m.x);
    mem_free(diagonal);
    probe_free(&p);
    return step + 1;
}

static void test_crossing(void **state) {
    (void)state;
    int all = 0, most = 0, rounds = is_brief() ? 4 : 20;
    for (uint64_t seed = 0; seed < (uint64_t)rounds; seed++) {
        int steps = steps_to_find(seed % 2 || is_brief() ? 1000 : 30000, seed % 4 < 2 ? 1.3 : 1.1, seed);
        all += steps;
        if (steps > most) most = steps;
    }
    print_message("crossing: found after %.1f calls on average, %d at most\n", (double)all / rounds, most);
    assert_true(most <= 20 && (all <= 6 * rounds || is_brief()));
}

/* ---- a drifting operator ---- */

static void check_drift_pair(const drift *d, const pitot_real *u, const pitot_eigenpair *pair, double size) {
    double y[WIDE], square = 0;
    drift_multiply(d, u, y);
    for (int i = 0; i < WIDE; i++) square += pow(y[i] - pair->value * (double)u[i], 2);
    assert_true(pair->converged && pair->residual <= 1e-2 * size && pair->residual >= 0.5 * sqrt(square));
}

/* Mean number of products along the way; each value is within its residual of what it should be. */
static double follow(double outliers_from, double negative, double angle) {
    static drift d;
    drift_start(&d, outliers_from, negative);
    probe p = probe_new(WIDE, 20);
    pitot_linop op = { .struct_size = sizeof op, .n = WIDE, .symmetric = 1, .apply = apply_drift, .self = &d, .checked = 1 };
    int64_t all = 0, steps = 40, cold = 0;
    for (int64_t step = 0; step <= steps; step++) {
        pitot_extremes e;
        p.set.step = (uint64_t)step;
        assert_int_equal(pitot_lanczos_extremes(&op, &p.set, p.top, p.bottom, &e), PITOT_OK);
        double most = 0, least = 0;
        for (int j = 0; j < OUTLIERS; j++) {
            most = fmax(most, d.value[j]);
            least = fmin(least, d.value[j]);
        }
        check_drift_pair(&d, p.top, &e.largest, size_of(&e));
        check_drift_pair(&d, p.bottom, &e.smallest, size_of(&e));
        assert_true(e.largest.value <= most * (1 + 1e-5) && e.largest.value >= most - 0.02 * size_of(&e));
        assert_true(e.smallest.value >= least - 1e-5 * size_of(&e) && e.smallest.value <= least + 0.03 * size_of(&e));
        if (step) all += e.products;
        else cold = e.products;
        drift_on(&d, angle);
    }
    assert_int_equal(d.calls, all + cold);
    probe_free(&p);
    print_message("outliers from %g to 50, negative end %g, angle %g: %d products cold, %.2f warm\n", outliers_from, negative,
                  angle, (int)cold, (double)all / (double)steps);
    return (double)all / (double)steps;
}

static void test_drift(void **state) {
    (void)state;
    static const double angles[] = { 0, 0.045, 0.1, 0.2 };
    for (size_t i = 0; i < sizeof angles / sizeof *angles; i += is_brief() ? 3 : 1) {
        assert_true(follow(2, -0.8, angles[i]) <= 8);
        assert_true(follow(10, -4, angles[i]) <= 8);
        assert_true(follow(2, -20, angles[i]) <= 8);
    }
}

/* ---- the same bits; threads ---- */

static void check_bits(int threads) {
    int64_t n = 150001;
    double *diagonal = mem_alloc(n, sizeof *diagonal);
    fill_net_like(diagonal, n);
    matrix m = matrix_new(n, diagonal, NULL);
    probe p = probe_new(n, 8), q = probe_new(n, 8);
    p.set.tolerance = q.set.tolerance = 1e-3;
    memset(q.work, 0xFF, (size_t)(8 * n) * sizeof *q.work); /* what lies in `work` does not matter */
    sums_set_threads(threads);
    for (int step = 0; step < 2; step++) {
        p.set.step = q.set.step = (uint64_t)step;
        pitot_extremes a = search(&p, &m), b = search(&q, &m);
        assert_memory_equal(&a, &b, sizeof a);
        assert_memory_equal(p.top, q.top, (size_t)n * sizeof *p.top);
        assert_memory_equal(p.bottom, q.bottom, (size_t)n * sizeof *p.bottom);
        assert_true(a.restarts > 0 || step > 0);
        assert_true(fabs(a.largest.value - 50) < 0.01);
    }
    sums_set_threads(1);
    mem_free(m.x);
    mem_free(diagonal);
    probe_free(&p);
    probe_free(&q);
}

static void test_same_bits(void **state) {
    (void)state;
    if (!is_brief()) check_bits(1);
    check_bits(2);
}

/* ---- what goes wrong ---- */

static void test_failing_operator(void **state) {
    (void)state;
    double *a = random_symmetric(60, 2);
    for (int64_t at = 1; at <= 8; at++) {
        matrix m = matrix_new(60, NULL, a);
        pitot_linop op = operator_of(&m);
        probe p = probe_new(60, 8);
        pitot_extremes e;
        m.fails_at = at;
        assert_int_equal(pitot_lanczos_extremes(&op, &p.set, p.top, p.bottom, &e), -77);
        assert_int_equal(e.products, at);
        m.calls = m.fails_at = 0;
        m.nan_at = at;
        forget(&p);
        assert_int_equal(pitot_lanczos_extremes(&op, &p.set, p.top, p.bottom, &e), PITOT_EHOST);
        assert_int_equal(e.products, at);
        m.calls = m.nan_at = 0;
        search(&p, &m); /* from what the failure left behind */
        probe_free(&p);
        mem_free(m.x);
    }
    mem_free(a);
}

static void test_settings(void **state) {
    (void)state;
    double diagonal[9] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
    matrix m = matrix_new(9, diagonal, NULL);
    pitot_linop good = operator_of(&m), op;
    probe p = probe_new(9, 6);
    pitot_lanczos set;
    pitot_extremes e;
#define REFUSED(change)                                                                         \
    do {                                                                                        \
        op = good, set = p.set;                                                                 \
        change;                                                                                 \
        assert_int_equal(pitot_lanczos_extremes(&op, &set, p.top, p.bottom, &e), PITOT_EINVAL); \
    } while (0)
    REFUSED(set.vectors = 5);
    REFUSED(set.vectors = -1);
    REFUSED(set.work = NULL);
    REFUSED(set.products = -1);
    REFUSED(set.tolerance = -1);
    REFUSED(set.tolerance = NAN);
    REFUSED(set.random = -0.1);
    REFUSED(set.random = INFINITY);
    REFUSED(op.symmetric = 0);
    REFUSED(op.apply = NULL);
    REFUSED(op.n = 0);
    assert_int_equal(pitot_lanczos_extremes(NULL, &p.set, p.top, p.bottom, &e), PITOT_EINVAL);
    assert_int_equal(pitot_lanczos_extremes(&good, NULL, p.top, p.bottom, &e), PITOT_EINVAL);
    assert_int_equal(pitot_lanczos_extremes(&good, &p.set, NULL, p.bottom, &e), PITOT_EINVAL);
    assert_int_equal(pitot_lanczos_extremes(&good, &p.set, p.top, NULL, &e), PITOT_EINVAL);
    assert_int_equal(pitot_lanczos_extremes(&good, &p.set, p.top, p.bottom, NULL), PITOT_EINVAL);
    assert_int_equal(m.calls, 0);
    mem_free(m.x);
    probe_free(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_problems), cmocka_unit_test(test_against_lapack),   cmocka_unit_test(test_known_spectra),
        cmocka_unit_test(test_noise),          cmocka_unit_test(test_limits),           cmocka_unit_test(test_exact_start),
        cmocka_unit_test(test_bad_starts),     cmocka_unit_test(test_crossing),         cmocka_unit_test(test_drift),
        cmocka_unit_test(test_same_bits),      cmocka_unit_test(test_failing_operator), cmocka_unit_test(test_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
