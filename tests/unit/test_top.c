/* Several of the largest eigenvalues: against LAPACK, on spectra that are known, degenerate or like a net's, with noise, along drifting
   operators, and what is said when something is wrong. */

#include "operators.h"

#include "base/sums.h"
#include "pitot/probe.h"
#include "pitot/solve.h"

static const double TIGHT = sizeof(pitot_real) == 4 ? 1e-5 : 1e-9, EXACT = sizeof(pitot_real) == 4 ? 2e-6 : 1e-13;

enum { MOST = 64 };

typedef struct probe { /* of one size */
    int64_t n;
    int k;
    pitot_real *work, *basis;
    pitot_eigenpair pairs[MOST];
    int64_t products;
    pitot_lanczos set;
} probe;

static probe probe_new(int64_t n, int k, int64_t vectors) {
    pitot_real *room = mem_alloc((vectors + k) * n, sizeof *room);
    probe p = { .n = n, .k = k, .work = room, .basis = room + vectors * n };
    p.set = (pitot_lanczos){ .struct_size = sizeof p.set, .vectors = vectors, .work = p.work, .seed = 3 };
    return p;
}

static void probe_free(probe *p) {
    mem_free(p->work);
}

static void forget(probe *p) {
    memset(p->basis, 0, (size_t)(p->k * p->n) * sizeof *p->basis);
}

/* Orthonormal rows, in order, and what is said where there is no pair. */
static void check_basis(const probe *p, int found) {
    for (int j = 0; j < p->k; j++) {
        const pitot_real *u = p->basis + j * p->n;
        const pitot_eigenpair *pair = &p->pairs[j];
        if (j >= found) {
            assert_true(isnan(pair->value) && isnan(pair->residual) && !pair->converged);
            assert_true(pitot_sum_squares(u, p->n) <= 0);
            continue;
        }
        assert_true(isfinite(pair->value) && isfinite(pair->residual) && pair->residual >= 0);
        for (int i = 0; i <= j; i++) {
            double dot = pitot_dot(u, p->basis + i * p->n, p->n);
            if (fabs(dot - (i == j)) > 1e-5) fail_msg("rows %d and %d of %d, n = %d: product %g", i, j, p->k, (int)p->n, dot);
        }
        if (j) assert_true(pair->value <= pair[-1].value);
    }
}

/* One search, with all that must hold whatever comes out; `size`: the largest magnitude of the spectrum. */
static int search(probe *p, matrix *m, double size) {
    pitot_linop op = operator_of(m);
    int found = 0, converged = 0;
    m->calls = 0;
    int64_t blocks = mem_count().requests;
    assert_int_equal(pitot_lanczos_top(&op, &p->set, p->k, p->basis, p->pairs, &p->products), PITOT_OK);
    assert_int_equal(mem_count().requests, blocks);
    assert_int_equal(p->products, m->calls);
    assert_true(p->products <= (p->set.products ? p->set.products : 100));
    while (found < p->k && !isnan(p->pairs[found].value)) found++;
    check_basis(p, found);
    double tolerance = p->set.tolerance > 0 ? p->set.tolerance : 1e-2;
    for (int j = 0; j < found; j++) {
        const pitot_eigenpair *pair = &p->pairs[j];
        double rest = true_residual(m, p->basis + j * p->n, pair->value);
        if (pair->residual < 0.5 * rest - EXACT * size)
            fail_msg("pair %d, n = %d: residual %g said, %g true", j, (int)p->n, pair->residual, rest);
        if (pair->converged) assert_true(pair->residual <= tolerance * size * (1 + 1e-5));
        converged += pair->converged;
    }
    return converged;
}

/* To a tight tolerance, cold and then from what was found: all k are what they should be; `value` (n), ascending. */
static void check_top(matrix *m, int k, int64_t vectors, const double *value, const char *name) {
    probe p = probe_new(m->n, k, vectors);
    p.set.tolerance = TIGHT;
    p.set.products = 5000;
    int64_t n = m->n;
    double size = fmax(fabs(value[0]), fabs(value[n - 1]));
    int there = n < k ? (int)n : k;
    for (int warm = 0; warm < 2; warm++) {
        int converged = search(&p, m, size);
        for (int j = 0; j < there; j++)
            if (!(fabs(p.pairs[j].value - value[n - 1 - j]) <= 2 * TIGHT * size))
                fail_msg("%s%s: n = %d, k = %d, %d vectors, value %d: %.9g instead of %.9g", name, warm ? ", warm" : "", (int)n, k,
                         (int)vectors, j, p.pairs[j].value, value[n - 1 - j]);
        if (converged != there) fail_msg("%s: n = %d, k = %d, %d vectors: %d converged", name, (int)n, k, (int)vectors, converged);
        for (int j = there; j < k; j++) assert_true(isnan(p.pairs[j].value));
    }
    probe_free(&p);
}

/* ---- against LAPACK ---- */

static void check_dense(double *a, int64_t n, int k, int64_t vectors, const char *name) {
    double *value = lapack_values(a, n);
    matrix m = matrix_new(n, NULL, a);
    check_top(&m, k, vectors, value, name);
    mem_free(m.x);
    mem_free(value);
}

static void test_against_lapack(void **state) {
    (void)state;
    for (int64_t n = 1; n <= 12; n++) {
        double *a = random_symmetric(n, (uint64_t)n * 100000);
        for (int k = 1; k <= 14; k += 3)
            for (int64_t more = 4; more <= 20; more += 8) check_dense(a, n, k, k + more < 6 ? 6 : k + more, "small");
        check_dense(a, n, 3, 6, "small, least room");
        mem_free(a);
    }
    static const int64_t sizes[] = { 17, 31, 64, 65, 100, 173 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        double *a = random_symmetric(sizes[i], (uint64_t)sizes[i]);
        check_dense(a, sizes[i], 5, 20, "dense");
        check_dense(a, sizes[i], 12, 30, "dense");
        check_dense(a, sizes[i], 20, 64, "dense");
        check_dense(a, sizes[i], 40, 1000, "dense");
        check_dense(a, sizes[i], 61, 1000, "dense, most pairs");
        mem_free(a);
    }
}

/* X'X/m, X (m,n) normal. */
static void check_wishart(int64_t n, int64_t samples, int k, int64_t vectors) {
    uint64_t counter = (uint64_t)(n * samples);
    double *x = mem_alloc(n * samples, sizeof *x), *a = mem_alloc(n * n, sizeof *a);
    for (int64_t i = 0; i < n * samples; i++) x[i] = gauss(&counter);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            for (int64_t s = 0; s < samples; s++) a[i * n + j] += x[s * n + i] * x[s * n + j] / (double)samples;
        }
    check_dense(a, n, k, vectors, "Wishart");
    mem_free(x);
    mem_free(a);
}

static void test_wishart(void **state) {
    (void)state;
    check_wishart(80, 400, 10, 26);
    check_wishart(80, 400, 10, 16);
    check_wishart(80, 30, 10, 26);
    check_wishart(80, 8, 12, 32); /* four of them are zeros, of which there are 72 */
}

/* ---- known spectra ---- */

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void check_spectrum(const spectrum *s) {
    double *diagonal = mem_alloc(s->n, sizeof *diagonal), *mirror = mem_alloc(2 * s->n, sizeof *mirror);
    double *value = mem_alloc(s->n, sizeof *value);
    fill(s, diagonal);
    memcpy(value, diagonal, (size_t)s->n * sizeof *value);
    qsort(value, (size_t)s->n, sizeof *value, ascending);
    matrix m = matrix_new(s->n, diagonal, NULL);
    for (int mirrored = 0; mirrored < 2; mirrored++) {
        if (mirrored) set_mirrors(&m, mirror);
        check_top(&m, 1, 6, value, s->name);
        check_top(&m, 2, 12, value, s->name);
        check_top(&m, 5, 20, value, s->name);
        check_top(&m, 8, 30, value, s->name);
    }
    mem_free(m.x);
    mem_free(value);
    mem_free(mirror);
    mem_free(diagonal);
}

static void test_known_spectra(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof spectra / sizeof *spectra; i++) check_spectrum(&spectra[i]);
}

/* ---- a spectrum as nets have them: cold, with noise, from what was found ---- */

static void check_net_like(matrix *m, double noise, double tolerance, int expected) {
    probe p = probe_new(m->n, 10, 26);
    p.set.tolerance = tolerance;
    m->noise = noise;
    int64_t cold = 0;
    for (int step = 0; step < 4; step++) {
        p.set.step = (uint64_t)step;
        int converged = search(&p, m, 50);
        if (step == 0) cold = p.products;
        if (converged != (expected ? 10 : 0)) fail_msg("noise %g, tolerance %g: %d converged", noise, tolerance, converged);
        for (int j = 0; j < 10; j++) {
            double right = 2 * pow(25, (9 - j) / 9.0), wrong = fabs(p.pairs[j].value - right);
            if (wrong > p.pairs[j].residual)
                fail_msg("noise %g, tolerance %g: value %d is %g, not %g, residual %g", noise, tolerance, j, p.pairs[j].value,
                         right, p.pairs[j].residual);
        }
    }
    print_message("noise %g, tolerance %g: %d products cold, %d from what was found\n", noise, tolerance, (int)cold,
                  (int)p.products);
    probe_free(&p);
    m->noise = 0;
}

static void test_net_like(void **state) {
    (void)state;
    double *diagonal = mem_alloc(MANY, sizeof *diagonal), *value = mem_alloc(MANY, sizeof *value);
    fill_net_like(diagonal, MANY);
    memcpy(value, diagonal, MANY * sizeof *value);
    qsort(value, MANY, sizeof *value, ascending);
    matrix m = matrix_new(MANY, diagonal, NULL);
    check_net_like(&m, 0, 1e-2, 1);
    check_net_like(&m, 0, 1e-4, 1);
    check_net_like(&m, 1e-5, 1e-2, 1);
    check_net_like(&m, 1e-3, 1e-2, 1);
    check_net_like(&m, 1e-3, 1e-4, 0); /* below the noise: said, not pretended */
    check_top(&m, 10, 26, value, "net-like");
    mem_free(m.x);
    mem_free(value);
    mem_free(diagonal);
}

/* Either way to the largest one. */
static void test_one_is_the_largest(void **state) {
    (void)state;
    double *a = random_symmetric(90, 17);
    matrix m = matrix_new(90, NULL, a);
    probe p = probe_new(90, 1, 12);
    pitot_real *ends = mem_alloc(2 * 90, sizeof *ends);
    pitot_linop op = operator_of(&m);
    pitot_extremes e;
    p.set.tolerance = TIGHT;
    p.set.products = 1000;
    double *value = lapack_values(a, 90), size = fmax(fabs(value[0]), fabs(value[89]));
    assert_int_equal(search(&p, &m, size), 1);
    assert_int_equal(pitot_lanczos_extremes(&op, &p.set, ends, ends + 90, &e), PITOT_OK);
    assert_true(fabs(e.largest.value - p.pairs[0].value) <= 2 * TIGHT * size);
    assert_true(fabs(fabs(pitot_dot(ends, p.basis, 90)) - 1) <= 1e-3);
    mem_free(value);
    mem_free(ends);
    mem_free(m.x);
    mem_free(a);
    probe_free(&p);
}

/* ---- more than 64 vectors: orthogonal as far as needed, matrices in `work` ---- */

/* All of them are there, to the tolerance, and no copies; cold and warm. */
static void check_wide(matrix *m, int k, int64_t vectors, double tolerance, const double *value, const char *name) {
    int64_t n = m->n;
    probe p = probe_new(n, k, vectors);
    p.set.tolerance = tolerance;
    p.set.products = 3000;
    double size = fmax(fabs(value[0]), fabs(value[n - 1]));
    int there = n < k ? (int)n : k;
    for (int warm = 0; warm < 2; warm++) {
        p.set.step = (uint64_t)warm;
        if (search(&p, m, size) != there) fail_msg("%s: k = %d, %d vectors: not converged", name, k, (int)vectors);
        for (int j = 0; j < there; j++)
            if (!(fabs(p.pairs[j].value - value[n - 1 - j]) <= 2 * tolerance * size))
                fail_msg("%s%s: k = %d, %d vectors, tolerance %g, value %d: %.9g instead of %.9g", name, warm ? ", warm" : "", k,
                         (int)vectors, tolerance, j, p.pairs[j].value, value[n - 1 - j]);
        if (n >= MANY) print_message("%s: k = %d, %d vectors: %d products\n", name, k, (int)vectors, (int)p.products);
    }
    probe_free(&p);
}

static void test_wide(void **state) {
    (void)state;
    double *diagonal = mem_alloc(MANY, sizeof *diagonal), *value = mem_alloc(MANY, sizeof *value);
    fill_net_like(diagonal, MANY);
    memcpy(value, diagonal, MANY * sizeof *value);
    qsort(value, MANY, sizeof *value, ascending);
    matrix m = matrix_new(MANY, diagonal, NULL);
    check_wide(&m, 10, 140, 1e-3, value, "net-like");
    check_wide(&m, 30, 220, 4e-4, value, "net-like");
    check_wide(&m, 30, 75, 1e-3, value, "net-like, with restarts");
    m.noise = 1e-4; /* of which the operator says nothing */
    check_wide(&m, 10, 140, 1e-2, value, "net-like, noise");
    mem_free(m.x);
    mem_free(value);
    mem_free(diagonal);
    for (size_t i = 0; i < sizeof spectra / sizeof *spectra; i++) {
        int64_t n = spectra[i].n;
        double *few = mem_alloc(n, sizeof *few), *mirror = mem_alloc(2 * n, sizeof *mirror), *right = mem_alloc(n, sizeof *right);
        fill(&spectra[i], few);
        memcpy(right, few, (size_t)n * sizeof *few);
        qsort(right, (size_t)n, sizeof *right, ascending);
        matrix d = matrix_new(n, few, NULL);
        set_mirrors(&d, mirror);
        check_wide(&d, 5, 1500, 1e-3, right, spectra[i].name);
        mem_free(d.x);
        mem_free(right);
        mem_free(mirror);
        mem_free(few);
    }
}

/* ---- limits and starts ---- */

static void test_limits(void **state) {
    (void)state;
    double *a = random_symmetric(100, 1);
    matrix m = matrix_new(100, NULL, a);
    probe p = probe_new(100, 5, 10);
    p.set.tolerance = TIGHT;
    for (int64_t limit = 1; limit <= 20; limit++) {
        forget(&p);
        p.set.products = limit;
        for (int step = 0; step < 3; step++) {
            p.set.step = (uint64_t)step;
            assert_int_equal(search(&p, &m, 30), 0);
            assert_int_equal(p.products, limit);
            assert_true(isnan(p.pairs[4].value) == (limit < 6));
        }
    }
    mem_free(m.x);
    mem_free(a);
    probe_free(&p);
}

/* Whatever lies in the vectors: the answer is right. */
static void spoil(probe *p, int kind) {
    uint64_t counter = (uint64_t)kind;
    forget(p);
    for (int64_t i = 0; i < p->k * p->n; i++) {
        double z = gauss(&counter);
        int64_t j = i / p->n, at = i % p->n;
        pitot_real *v = &p->basis[i];
        if (kind == 0) *v = (pitot_real)z;
        if (kind == 1) *v = (pitot_real)(at % 7);
        if (kind == 2) *v = (pitot_real)(1e30 * z);
        if (kind == 3) *v = (pitot_real)(1e-30 * z);
        if (kind == 4) *v = at == 5 && j % 2 ? (pitot_real)NAN : (pitot_real)z;
        if (kind == 5) *v = at == 5 ? (pitot_real)INFINITY : (pitot_real)z;
        if (kind == 6) *v = at == j + 4; /* the right ones, in the opposite order */
        if (kind == 7) *v = at == j;     /* two of them, and other eigenvectors */
        if (kind == 8) *v = at == 9;
        if (kind == 9) *v = j == 2 ? (pitot_real)z : 0;
    }
}

static void test_bad_starts(void **state) {
    (void)state;
    int64_t n = 500;
    double *diagonal = mem_alloc(n, sizeof *diagonal);
    fill_net_like(diagonal, n);
    matrix m = matrix_new(n, diagonal, NULL);
    for (int64_t vectors = 10; vectors <= 20; vectors += 5) {
        probe p = probe_new(n, 6, vectors);
        p.set.tolerance = 1e-4;
        p.set.step = 1;
        p.set.products = 300;
        for (int kind = 0; kind <= 9; kind++) {
            spoil(&p, kind);
            assert_int_equal(search(&p, &m, 50), 6);
            if (kind == 7) continue; /* eigenvectors that stand still are believed, mostly: test_crossing */
            for (int j = 0; j < 6; j++)
                if (fabs(p.pairs[j].value - 2 * pow(25, (9 - j) / 9.0)) > 1e-2)
                    fail_msg("start %d: value %d: %g", kind, j, p.pairs[j].value);
        }
        probe_free(&p);
    }
    mem_free(m.x);
    mem_free(diagonal);
}

/* An eigenvalue has grown past the others where their vectors have nothing: it is found within a few calls. */
static int steps_to_find(int64_t n, double above, uint64_t seed) {
    double *diagonal = mem_alloc(n, sizeof *diagonal);
    for (int64_t i = 0; i < n; i++) diagonal[i] = 0.3 * (double)i / (double)n;
    for (int64_t i = 0; i < 5; i++) diagonal[i] = 1 - 0.1 * (double)i;
    diagonal[5] = above;
    matrix m = matrix_new(n, diagonal, NULL);
    probe p = probe_new(n, 5, 18);
    p.set.seed = seed;
    for (int64_t i = 0; i < 5; i++) p.basis[i * n + i] = 1;
    int step = 0;
    for (; step < 100; step++) {
        p.set.step = (uint64_t)step * 10;
        search(&p, &m, above);
        if (p.pairs[0].value > above - 0.02) break;
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
    assert_true(most <= 8 && all <= 2 * rounds);
}

/* ---- along a drifting operator ---- */

static void check_drift(const drift *d, const probe *p) {
    double value[OUTLIERS], y[WIDE];
    memcpy(value, d->value, sizeof value);
    qsort(value, OUTLIERS, sizeof *value, ascending);
    double size = fmax(value[OUTLIERS - 1], -value[0]);
    check_basis(p, p->k);
    for (int j = 0; j < p->k; j++) {
        const pitot_real *u = p->basis + j * p->n;
        const pitot_eigenpair *pair = &p->pairs[j];
        double square = 0;
        drift_multiply(d, u, y);
        for (int i = 0; i < WIDE; i++) square += pow(y[i] - pair->value * (double)u[i], 2);
        assert_true(pair->converged && pair->residual <= 1e-2 * size * (1 + 1e-5));
        if (pair->residual < 0.5 * sqrt(square) - EXACT * size) fail_msg("residual %g said, %g true", pair->residual, sqrt(square));
        assert_true(pair->value <= value[OUTLIERS - 1 - j] + 1e-5 * size && pair->value >= value[OUTLIERS - 1 - j] - 0.02 * size);
    }
}

/* Mean number of products along the way. */
static double follow(int k, int64_t vectors, double negative, double angle) {
    static drift d;
    drift_start(&d, 2, negative);
    probe p = probe_new(WIDE, k, vectors);
    pitot_linop op = { .struct_size = sizeof op, .n = WIDE, .symmetric = 1, .apply = apply_drift, .self = &d, .checked = 1 };
    int64_t all = 0, steps = 40, cold = 0;
    for (int64_t step = 0; step <= steps; step++) {
        p.set.step = (uint64_t)step;
        assert_int_equal(pitot_lanczos_top(&op, &p.set, k, p.basis, p.pairs, &p.products), PITOT_OK);
        check_drift(&d, &p);
        if (step) all += p.products;
        else cold = p.products;
        drift_on(&d, angle);
    }
    assert_int_equal(d.calls, all + cold);
    probe_free(&p);
    print_message("k = %d, %d vectors, negative end %g, angle %g: %d products cold, %.2f warm\n", k, (int)vectors, negative, angle,
                  (int)cold, (double)all / (double)steps);
    assert_true(cold <= 35);
    return (double)all / (double)steps;
}

static void test_drift(void **state) {
    (void)state;
    static const double angles[] = { 0, 0.01, 0.03, 0.1, 0.3 };
    for (size_t i = 0; i < sizeof angles / sizeof *angles; i += is_brief() ? 4 : 1) {
        assert_true(follow(10, 26, -0.8, angles[i]) <= 18);
        assert_true(follow(10, 26, -20, angles[i]) <= 18);
        assert_true(follow(10, 18, -0.8, angles[i]) <= 18);
        assert_true(follow(3, 14, -0.8, angles[i]) <= 8);
    }
}

/* ---- the same bits; threads ---- */

static void check_bits(int threads) {
    int64_t n = 150001;
    double *diagonal = mem_alloc(n, sizeof *diagonal);
    fill_net_like(diagonal, n);
    matrix m = matrix_new(n, diagonal, NULL);
    probe p = probe_new(n, 4, 10), q = probe_new(n, 4, 10);
    p.set.tolerance = q.set.tolerance = 1e-3;
    memset(q.work, 0xFF, (size_t)(10 * n) * sizeof *q.work); /* what lies in `work` does not matter */
    sums_set_threads(threads);
    for (int step = 0; step < 2; step++) {
        p.set.step = q.set.step = (uint64_t)step;
        assert_int_equal(search(&p, &m, 50), 4);
        assert_int_equal(search(&q, &m, 50), 4);
        assert_memory_equal(p.pairs, q.pairs, 4 * sizeof *p.pairs);
        assert_memory_equal(p.basis, q.basis, (size_t)(4 * n) * sizeof *p.basis);
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
    for (int64_t at = 1; at <= 30; at++) {
        matrix m = matrix_new(60, NULL, a);
        pitot_linop op = operator_of(&m);
        probe p = probe_new(60, 4, 12);
        m.fails_at = at;
        assert_int_equal(pitot_lanczos_top(&op, &p.set, 4, p.basis, p.pairs, &p.products), -77);
        assert_int_equal(p.products, at);
        m.calls = m.fails_at = 0;
        m.nan_at = at;
        forget(&p);
        assert_int_equal(pitot_lanczos_top(&op, &p.set, 4, p.basis, p.pairs, &p.products), PITOT_EHOST);
        assert_int_equal(p.products, at);
        m.calls = m.nan_at = 0;
        search(&p, &m, 30); /* from what the failure left behind */
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
    probe p = probe_new(9, 3, 6);
    pitot_lanczos set;
    int k;
#define REFUSED(change)                                                                                 \
    do {                                                                                                \
        op = good, set = p.set, k = 3;                                                                  \
        change;                                                                                         \
        assert_int_equal(pitot_lanczos_top(&op, &set, k, p.basis, p.pairs, &p.products), PITOT_EINVAL); \
    } while (0)
    REFUSED(k = 0);
    REFUSED(k = -1);
    REFUSED(k = 4);
    REFUSED((k = 62, set.vectors = 1000));
    REFUSED(set.vectors = 5);
    REFUSED(set.work = NULL);
    REFUSED(set.products = -1);
    REFUSED(set.tolerance = -1);
    REFUSED(set.tolerance = NAN);
    REFUSED(set.random = -0.1);
    REFUSED(op.symmetric = 0);
    REFUSED(op.apply = NULL);
    REFUSED(op.n = 0);
    assert_int_equal(pitot_lanczos_top(NULL, &p.set, 3, p.basis, p.pairs, &p.products), PITOT_EINVAL);
    assert_int_equal(pitot_lanczos_top(&good, NULL, 3, p.basis, p.pairs, &p.products), PITOT_EINVAL);
    assert_int_equal(pitot_lanczos_top(&good, &p.set, 3, NULL, p.pairs, &p.products), PITOT_EINVAL);
    assert_int_equal(pitot_lanczos_top(&good, &p.set, 3, p.basis, NULL, &p.products), PITOT_EINVAL);
    assert_int_equal(pitot_lanczos_top(&good, &p.set, 3, p.basis, p.pairs, NULL), PITOT_EINVAL);
    assert_int_equal(m.calls, 0);
    mem_free(m.x);
    probe_free(&p);
}

/* ---- between two diagonal factors ---- */

static void test_scaled(void **state) {
    (void)state;
    enum { N = 40, K = 3 };
    uint64_t counter = 9;
    double *a = random_symmetric(N, 4), *b = mem_alloc(N * N, sizeof *b);
    pitot_real root[N], work[N], x[K * N], y[K * N];
    for (int i = 0; i < N; i++) root[i] = (pitot_real)exp(gauss(&counter));
    for (int i = 0; i < K * N; i++) x[i] = (pitot_real)gauss(&counter);
    for (int i = 0; i < N * N; i++) b[i] = (double)root[i / N] * a[i] * (double)root[i % N];
    matrix m = matrix_new(N, NULL, a), direct = matrix_new(N, NULL, b);
    pitot_linop inner_op = operator_of(&m);
    pitot_scaled s;
    inner_op.exact = 0;
    inner_op.error = 0.25;
    pitot_scaled_init(&s, &inner_op, root, work);
    assert_true(s.op.struct_size == sizeof s.op && s.op.n == N && s.op.symmetric == 1 && s.op.exact == 0 && s.op.name);
    assert_true(s.op.error == 0.25);
    inner_op.error = 0.5; /* what the products say of themselves later on */
    assert_int_equal(s.op.apply(s.op.self, x, y, K), PITOT_OK);
    assert_true(s.op.error == 0.5);
    assert_int_equal(m.calls, K);
    for (int j = 0; j < K; j++) {
        double right[N], most = 0;
        multiply(&direct, x + j * N, right);
        for (int i = 0; i < N; i++) most = fmax(most, fabs(right[i]));
        for (int i = 0; i < N; i++) assert_true(fabs((double)y[j * N + i] - right[i]) <= EXACT * most);
    }
    m.fails_at = K + 2;
    assert_int_equal(s.op.apply(s.op.self, x, y, K), -77);
    assert_int_equal(m.calls, K + 2);
    m.fails_at = 0;
    double *value = lapack_values(b, N), size = fmax(fabs(value[0]), fabs(value[N - 1]));
    probe p = probe_new(N, 5, 20);
    p.set.tolerance = TIGHT;
    p.set.products = 500;
    assert_int_equal(pitot_lanczos_top(&s.op, &p.set, 5, p.basis, p.pairs, &p.products), PITOT_OK);
    for (int j = 0; j < 5; j++) assert_true(fabs(p.pairs[j].value - value[N - 1 - j]) <= 2 * TIGHT * size);
    probe_free(&p);
    mem_free(value);
    mem_free(m.x);
    mem_free(direct.x);
    mem_free(b);
    mem_free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_lapack),
        cmocka_unit_test(test_wishart),
        cmocka_unit_test(test_known_spectra),
        cmocka_unit_test(test_net_like),
        cmocka_unit_test(test_one_is_the_largest),
        cmocka_unit_test(test_wide),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_bad_starts),
        cmocka_unit_test(test_crossing),
        cmocka_unit_test(test_drift),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_failing_operator),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_scaled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
