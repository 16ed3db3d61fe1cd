/* The largest and smallest eigenvalues at once, and the smallest alone: against LAPACK and known spectra; and float Lanczos on a spectrum as
   nets have them, which a solver without reorthogonalisation fills with copies, and where the residual of the recurrence lies. */

#include "operators.h"

#include "pitot/probe.h"
#include "pitot/solve.h"

static const double TIGHT = sizeof(pitot_real) == 4 ? 1e-5 : 1e-9, EXACT = sizeof(pitot_real) == 4 ? 2e-6 : 1e-13;

enum { MOST = 64 };

typedef struct probe {
    int64_t n;
    int top, bottom;
    pitot_real *work, *basis;
    pitot_eigenpair pairs[MOST];
    int64_t products;
    pitot_lanczos set;
} probe;

static probe probe_new(int64_t n, int top, int bottom, int64_t vectors) {
    int k = top + bottom;
    pitot_real *room = mem_alloc((vectors + k) * n, sizeof *room);
    probe p = { .n = n, .top = top, .bottom = bottom, .work = room, .basis = room + vectors * n };
    p.set = (pitot_lanczos){ .struct_size = sizeof p.set, .vectors = vectors, .work = p.work, .seed = 3 };
    return p;
}

static void probe_free(probe *p) {
    mem_free(p->work);
}

/* One search, with all that must hold whatever comes out; returns how many have converged. */
static int search(probe *p, matrix *m, double size) {
    pitot_linop op = operator_of(m);
    int k = p->top + p->bottom, converged = 0;
    int64_t blocks = mem_count().requests;
    m->calls = 0;
    assert_int_equal(pitot_lanczos_ends(&op, &p->set, p->top, p->bottom, p->basis, p->pairs, &p->products), PITOT_OK);
    assert_int_equal(mem_count().requests, blocks);
    assert_int_equal(p->products, m->calls);
    assert_true(p->products <= (p->set.products ? p->set.products : 100));
    for (int j = 0; j < k; j++) {
        const pitot_eigenpair *pair = &p->pairs[j];
        const pitot_real *u = p->basis + j * p->n;
        if (isnan(pair->value)) {
            assert_true(isnan(pair->residual) && !pair->converged && pitot_sum_squares(u, p->n) <= 0);
            continue;
        }
        for (int i = 0; i <= j; i++)
            if (!isnan(p->pairs[i].value)) assert_true(fabs(pitot_dot(u, p->basis + i * p->n, p->n) - (i == j)) <= 1e-5);
        if (j && j != p->top) assert_true(j < p->top ? pair->value <= pair[-1].value : pair->value >= pair[-1].value);
        double rest = true_residual(m, u, pair->value);
        if (pair->residual < 0.5 * rest - EXACT * size)
            fail_msg("pair %d of %d + %d, n = %d: residual %g said, %g true", j, p->top, p->bottom, (int)p->n, pair->residual,
                     rest);
        converged += pair->converged;
    }
    return converged;
}

/* ---- against the eigenvalues ---- */

/* Cold and warm, to a tight tolerance; `value` (n) ascending. */
static void check_ends(matrix *m, int top, int bottom, int64_t vectors, const double *value, const char *name) {
    int64_t n = m->n;
    probe p = probe_new(n, top, bottom, vectors);
    p.set.tolerance = TIGHT;
    p.set.products = 5000;
    double size = fmax(fabs(value[0]), fabs(value[n - 1]));
    int tops = top < n ? top : (int)n, bottoms = bottom < n - tops ? bottom : (int)n - tops;
    for (int warm = 0; warm < 2; warm++) {
        int converged = search(&p, m, size);
        for (int j = 0; j < tops + bottoms; j++) {
            double right = j < tops ? value[n - 1 - j] : value[j - tops];
            int many =
                j >= tops && j - tops < n - 1 && value[j - tops + 1] - right <= 0; /* not all of a multiple one where it is dense */
            if (!(fabs(p.pairs[j].value - right) <= (many || (j > tops && value[j - tops - 1] >= right) ? 0.02 : 2 * TIGHT) * size))
                fail_msg("%s%s: n = %d, %d + %d, %d vectors, pair %d: %.9g instead of %.9g", name, warm ? ", warm" : "", (int)n,
                         top, bottom, (int)vectors, j, p.pairs[j].value, right);
        }
        if (converged != tops + bottoms)
            fail_msg("%s: n = %d, %d + %d, %d vectors: %d converged", name, (int)n, top, bottom, (int)vectors, converged);
        for (int j = tops + bottoms; j < top + bottom; j++) assert_true(isnan(p.pairs[j].value));
    }
    probe_free(&p);
}

static void test_against_lapack(void **state) {
    (void)state;
    static const int64_t sizes[] = { 1, 2, 3, 5, 8, 12, 31, 64, 100, 173 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int64_t n = sizes[i];
        double *a = random_symmetric(n, (uint64_t)n * 1000), *value = lapack_values(a, n);
        matrix m = matrix_new(n, NULL, a);
        check_ends(&m, 1, 1, 10, value, "dense");
        check_ends(&m, 0, 1, 6, value, "dense");
        check_ends(&m, 0, 5, 20, value, "dense");
        check_ends(&m, 3, 2, 15, value, "dense");
        check_ends(&m, 2, 5, 24, value, "dense");
        check_ends(&m, 8, 8, 40, value, "dense");
        if (n > 64) check_ends(&m, 30, 31, 64, value, "dense, most pairs");
        mem_free(m.x);
        mem_free(value);
        mem_free(a);
    }
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double *sorted(const double *diagonal, int64_t n) {
    double *value = mem_alloc(n, sizeof *value);
    memcpy(value, diagonal, (size_t)n * sizeof *value);
    qsort(value, (size_t)n, sizeof *value, ascending);
    return value;
}

static void test_known_spectra(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof spectra / sizeof *spectra; i++) {
        int64_t n = spectra[i].n;
        double *diagonal = mem_alloc(n, sizeof *diagonal), *mirror = mem_alloc(2 * n, sizeof *mirror);
        fill(&spectra[i], diagonal);
        double *value = sorted(diagonal, n);
        matrix m = matrix_new(n, diagonal, NULL);
        for (int mirrored = 0; mirrored < 2; mirrored++) {
            if (mirrored) set_mirrors(&m, mirror);
            check_ends(&m, 0, 3, 16, value, spectra[i].name);
            check_ends(&m, 2, 2, 20, value, spectra[i].name);
            check_ends(&m, 4, 3, 30, value, spectra[i].name);
        }
        mem_free(m.x);
        mem_free(value);
        mem_free(mirror);
        mem_free(diagonal);
    }
}

/* The k smallest are the largest of the operator turned around: within the tolerance. */
static void test_bottom_is_top(void **state) {
    (void)state;
    double *a = random_symmetric(90, 17), *b = random_symmetric(90, 17);
    for (int i = 0; i < 90 * 90; i++) b[i] = -a[i];
    matrix m = matrix_new(90, NULL, a), turned = matrix_new(90, NULL, b);
    pitot_linop op = operator_of(&m), minus = operator_of(&turned);
    probe p = probe_new(90, 0, 6, 20), q = probe_new(90, 6, 0, 20);
    assert_int_equal(pitot_lanczos_bottom(&op, &p.set, 6, p.basis, p.pairs, &p.products), PITOT_OK);
    assert_int_equal(pitot_lanczos_top(&minus, &q.set, 6, q.basis, q.pairs, &q.products), PITOT_OK);
    assert_true(p.pairs[0].value < 0 && p.pairs[5].converged);
    for (int j = 0; j < 6; j++) assert_true(fabs(p.pairs[j].value + q.pairs[j].value) <= 1e-2 * 30);
    assert_true(llabs(p.products - q.products) <= 6);
    mem_free(m.x);
    mem_free(turned.x);
    mem_free(a);
    mem_free(b);
    probe_free(&p);
    probe_free(&q);
}

/* ---- as nets have them ---- */

static void check_net_like(matrix *m, const double *value, int top, int bottom, double noise, double tolerance, int all) {
    probe p = probe_new(m->n, top, bottom, top + bottom + 16);
    int64_t cold = 0;
    m->noise = noise;
    p.set.tolerance = tolerance;
    p.set.products = 400;
    for (int step = 0; step < 2; step++) {
        p.set.step = (uint64_t)step;
        int converged = search(&p, m, 50);
        if (all) assert_int_equal(converged, top + bottom);
        else assert_true(converged < top + bottom);
        if (step == 0) cold = p.products;
        for (int j = 0; j < top + bottom; j++) {
            double right = j < top ? value[m->n - 1 - j] : value[j - top];
            if (fabs(p.pairs[j].value - right) > fmax(tolerance, 4 * noise) * 50)
                fail_msg("%d + %d, noise %g: pair %d is %g instead of %g", top, bottom, noise, j, p.pairs[j].value, right);
        }
    }
    print_message("%d + %d, noise %g, tolerance %g: %d products cold, %d from what was found; residuals %.2g to %.2g\n", top,
                  bottom, noise, tolerance, (int)cold, (int)p.products, p.pairs[top ? 0 : bottom - 1].residual,
                  p.pairs[top + bottom - 1].residual);
    probe_free(&p);
    m->noise = 0;
}

static void test_net_like(void **state) {
    (void)state;
    double *diagonal = mem_alloc(MANY, sizeof *diagonal);
    fill_net_like(diagonal, MANY);
    double *value = sorted(diagonal, MANY);
    matrix m = matrix_new(MANY, diagonal, NULL);
    check_net_like(&m, value, 10, 0, 0, 1e-3, 1);
    check_net_like(&m, value, 10, 0, 1e-5, 1e-3, 1);
    check_net_like(&m, value, 10, 0, 1e-3, 1e-2, 1);
    check_net_like(&m, value, 10, 0, 1e-3, 1e-3, 0); /* the products' noise is above what is wanted: said */
    check_net_like(&m, value, 0, 1, 0, 1e-3, 1);
    check_net_like(&m, value, 10, 1, 0, 1e-3, 1);
    check_net_like(&m, value, 10, 10, 0, 1e-3, 1);
    mem_free(m.x);
    mem_free(value);
    mem_free(diagonal);
}

/* No copies: of the 14 largest, ten are outliers, however far the search goes on behind them. */
static void test_no_copies(void **state) {
    (void)state;
    int64_t n = is_brief() ? 2000 : MANY;
    double *diagonal = mem_alloc(n, sizeof *diagonal);
    fill_net_like(diagonal, n);
    matrix m = matrix_new(n, diagonal, NULL);
    probe p = probe_new(n, 14, 2, 40);
    p.set.tolerance = sizeof(pitot_real) == 4 ? 2e-7 : 1e-12; /* below what is possible in float */
    p.set.products = 160;
    search(&p, &m, 50);
    int outliers = 0;
    for (int j = 0; j < 14; j++) outliers += p.pairs[j].value > 1.5;
    assert_int_equal(outliers, 10);
    for (int j = 0; j < 10; j++) {
        double right = 2 * pow(25, (9 - j) / 9.0);
        assert_true(fabs(p.pairs[j].value - right) <= 1e-5 * 50 * (sizeof(pitot_real) == 4 ? 1 : 1e-6));
    }
    probe_free(&p);
    mem_free(m.x);
    mem_free(diagonal);
}

/* What the products say of their own error is the least that is said of a residual. */
static void test_own_error(void **state) {
    (void)state;
    double *a = random_symmetric(90, 17);
    matrix m = matrix_new(90, NULL, a);
    pitot_linop op = operator_of(&m);
    probe p = probe_new(90, 3, 3, 20);
    pitot_extremes e;
    for (int i = 0; i < 2; i++) {
        op.error = i ? 0.05 : 0.004;
        assert_int_equal(pitot_lanczos_ends(&op, &p.set, 3, 3, p.basis, p.pairs, &p.products), PITOT_OK);
        for (int j = 0; j < 6; j++) {
            assert_true(p.pairs[j].residual >= 0.999 * op.error * p.pairs[0].value);
            assert_int_equal(p.pairs[j].converged, i == 0);
        }
        assert_int_equal(pitot_lanczos_extremes(&op, &p.set, p.basis, p.basis + 90, &e), PITOT_OK);
        assert_true(e.largest.residual >= 0.999 * op.error * e.largest.value &&
                    e.smallest.residual >= 0.999 * op.error * e.largest.value);
        assert_true(e.largest.converged == (i == 0) && e.smallest.converged == (i == 0));
    }
    probe_free(&p);
    mem_free(m.x);
    mem_free(a);
}

/* ---- limits, and what goes wrong ---- */

static void test_limits(void **state) {
    (void)state;
    double *a = random_symmetric(100, 1);
    matrix m = matrix_new(100, NULL, a);
    for (int64_t limit = 1; limit <= 20; limit++) {
        probe p = probe_new(100, 2, 3, 12);
        p.set.tolerance = TIGHT;
        p.set.products = limit;
        for (int step = 0; step < 3; step++) {
            p.set.step = (uint64_t)step;
            assert_int_equal(search(&p, &m, 30), 0);
            assert_int_equal(p.products, limit);
            assert_true(isnan(p.pairs[4].value) == (limit < 6));
        }
        m.calls = 0;
        m.nan_at = limit;
        pitot_linop op = operator_of(&m);
        assert_int_equal(pitot_lanczos_ends(&op, &p.set, 2, 3, p.basis, p.pairs, &p.products), PITOT_EHOST);
        m.nan_at = 0;
        probe_free(&p);
    }
    mem_free(m.x);
    mem_free(a);
}

static void test_settings(void **state) {
    (void)state;
    double diagonal[9] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
    matrix m = matrix_new(9, diagonal, NULL);
    pitot_linop op = operator_of(&m);
    probe p = probe_new(9, 3, 3, 10);
    static const int counts[][2] = { { 0, 0 }, { -1, 2 }, { 2, -1 }, { 4, 4 }, { INT32_MAX, INT32_MAX } };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        assert_int_equal(pitot_lanczos_ends(&op, &p.set, counts[i][0], counts[i][1], p.basis, p.pairs, &p.products), PITOT_EINVAL);
    assert_int_equal(pitot_lanczos_bottom(&op, &p.set, 0, p.basis, p.pairs, &p.products), PITOT_EINVAL);
    assert_int_equal(pitot_lanczos_bottom(&op, &p.set, 3, NULL, p.pairs, &p.products), PITOT_EINVAL);
    assert_int_equal(m.calls, 0);
    mem_free(m.x);
    probe_free(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_lapack), cmocka_unit_test(test_known_spectra), cmocka_unit_test(test_bottom_is_top),
        cmocka_unit_test(test_net_like),       cmocka_unit_test(test_no_copies),     cmocka_unit_test(test_own_error),
        cmocka_unit_test(test_limits),         cmocka_unit_test(test_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
