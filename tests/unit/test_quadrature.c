/* Stochastic Lanczos quadrature: the Gauss rule against LAPACK, moments against products one by one, sums and curves against the
   eigenvalues themselves, copies of nodes and their weights, and what is said when something is wrong. */

#include "operators.h"

#include "base/sums.h"
#include "curve/draws.h"
#include "curve/tridiagonal.h"
#include "pitot/probe.h"
#include "pitot/quadrature.h"

static const double ROUND = sizeof(pitot_real) == 4 ? 1.2e-7 : 2.3e-16;

/* ---- one run ---- */

typedef struct probe {
    pitot_quadrature_config set;
    pitot_quadrature q;
    pitot_error error;
} probe;

/* Columns one by one, as `matrix` takes them. */
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

static void probe_free(probe *p) {
    mem_free(p->set.work);
    mem_free(p->q.node);
    mem_free(p->q.weight);
    mem_free(p->q.used);
}

static void make_room(probe *p, int64_t n) {
    int64_t steps = p->set.steps ? p->set.steps : 64, draws = p->set.draws ? p->set.draws : 4;
    p->set.struct_size = sizeof p->set;
    p->set.work = mem_alloc(pitot_quadrature_vectors(&p->set) * n, sizeof(pitot_real));
    p->q.node = mem_alloc(steps * draws, sizeof(double));
    p->q.weight = mem_alloc(steps * draws, sizeof(double));
    p->q.used = mem_alloc(draws, sizeof(int32_t));
}

static void check_rule(const pitot_quadrature *q) {
    for (int32_t d = 0; d < q->draws; d++) {
        double sum = 0;
        assert_true(q->used[d] >= 1 && q->used[d] <= q->steps);
        for (int32_t k = 0; k < q->used[d]; k++) {
            const double *node = q->node + d * q->steps;
            assert_true(isfinite(node[k]) && (k == 0 || node[k] >= node[k - 1]) && q->weight[d * q->steps + k] >= 0);
            sum += q->weight[d * q->steps + k];
        }
        assert_true(fabs(sum - 1) <= 1e-14);
    }
}

static probe run(matrix *m, pitot_quadrature_config set) {
    probe p = { .set = set };
    pitot_linop op = columns_of(m);
    make_room(&p, m->n);
    m->calls = 0;
    int64_t blocks = mem_count().blocks;
    assert_int_equal(pitot_quadrature_run(&op, &p.set, &p.q, &p.error), PITOT_OK);
    assert_int_equal(mem_count().blocks, blocks);
    assert_int_equal(p.q.products, m->calls);
    assert_true(p.q.n == m->n && p.q.complete == 1 && p.q.floor >= 0);
    check_rule(&p.q);
    return p;
}

/* ---- the rule of a tridiagonal matrix ---- */

static void check_against_lapack(int m, int kind) {
    double d[200], e[200], node[200], weight[200], work[200], *z = mem_alloc(m * m, sizeof *z), size = 0;
    uint64_t counter = (uint64_t)(m * 10 + kind);
    for (int i = 0; i < m; i++) {
        d[i] = kind == 1 ? 0 : kind == 2 ? pow(10, -i % 9) : gauss(&counter);
        e[i] = kind == 3 && i % 4 == 3 ? 0 : kind == 4 ? 1e150 * gauss(&counter) : gauss(&counter);
        node[i] = d[i];
        weight[i] = e[i];
    }
    assert_int_equal(tridiagonal_rule(m, node, weight, work), 1);
    assert_int_equal(LAPACKE_dstev(LAPACK_ROW_MAJOR, 'V', m, d, e, z, m), 0);
    for (int i = 0; i < m; i++) size = fmax(size, fabs(d[i]));
    for (int i = 0; i < m; i++) {
        double near = 0, right = 0; /* of a cluster, the sum is known */
        for (int j = 0; j < m; j++) {
            if (fabs(d[j] - d[i]) <= 1e-9 * size) right += z[j] * z[j];
            if (fabs(node[j] - d[i]) <= 1e-9 * size) near += weight[j];
        }
        assert_true(fabs(node[i] - d[i]) <= 1e-14 * m * size);
        if (fabs(near - right) > 1e-10) fail_msg("m = %d, kind %d, node %d: weight %g instead of %g", m, kind, i, near, right);
    }
    mem_free(z);
}

static void test_rule(void **state) {
    (void)state;
    static const int sizes[] = { 1, 2, 3, 7, 40, 200 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int kind = 0; kind < 5; kind++) check_against_lapack(sizes[i], kind);
    double node[3] = { 1, NAN, 2 }, weight[3] = { 1, 1, 1 }, work[3];
    assert_int_equal(tridiagonal_rule(3, node, weight, work), 0);
}

/* ---- moments: sum of weight node^j = v'A^j v, j <= 2 steps - 1 ---- */

static void check_moments(int reorthogonalise, int together, int gaussian) {
    enum { N = 60, M = 6, DRAWS = 3 };
    double *a = random_symmetric(N, 8);
    matrix m = matrix_new(N, NULL, a);
    probe p = run(&m, (pitot_quadrature_config){ .steps = M,
                                                 .draws = DRAWS,
                                                 .reorthogonalise = reorthogonalise,
                                                 .together = together,
                                                 .gaussian = gaussian,
                                                 .seed = 5 });
    for (int d = 0; d < DRAWS; d++) {
        pitot_real start[N];
        double v[N], y[N], square = 0, size = 0;
        if (gaussian) draws_normal(start, N, 5, random_purpose("quadrature"), (uint64_t)d);
        else draws_signs(start, N, 5, random_purpose("quadrature"), (uint64_t)d);
        for (int i = 0; i < N; i++) v[i] = (double)start[i], square += v[i] * v[i];
        for (int k = 0; k < M; k++) size = fmax(size, fabs(p.q.node[d * M + k]));
        for (int power = 0; power < 2 * M; power++) {
            double right = 0, sum = 0;
            for (int i = 0; i < N; i++) right += v[i] * (double)start[i] / square;
            for (int k = 0; k < M; k++) sum += p.q.weight[d * M + k] * pow(p.q.node[d * M + k], power);
            if (fabs(sum - right) > 100 * ROUND * pow(size, power))
                fail_msg("draw %d, moment %d: %.9g instead of %.9g", d, power, sum, right);
            for (int i = 0; i < N; i++) {
                y[i] = 0;
                for (int j = 0; j < N; j++) y[i] += a[i * N + j] * v[j];
            }
            memcpy(v, y, sizeof v);
        }
    }
    probe_free(&p);
    mem_free(m.x);
    mem_free(a);
}

static void test_moments(void **state) {
    (void)state;
    for (int reorthogonalise = 0; reorthogonalise <= PITOT_REORTH_FULL; reorthogonalise++)
        for (int together = 1; together <= 4; together++) check_moments(reorthogonalise, together, together % 2);
}

/* ---- sums against the eigenvalues ---- */

typedef struct sums {
    double trace, frobenius, logdet, dimension, mass, energy;
} sums;

static sums sums_of(const double *value, int64_t n, double delta) {
    sums s = { 0 };
    double all = 0;
    for (int64_t i = 0; i < n; i++) {
        s.trace += value[i];
        s.frobenius += value[i] * value[i];
        s.logdet += log(value[i] + delta);
        s.dimension += fmax(value[i], 0) / (fmax(value[i], 0) + delta);
        s.mass += (value[i] < 0) / (double)n;
        s.energy += fmax(-value[i], 0);
        all += fabs(value[i]);
    }
    s.energy /= all;
    return s;
}

static void near_to(const char *what, double got, const double *at, double right, double round) {
    double error = *at;
    if (!(fabs(got - right) <= 5 * error + round * fabs(right)) || !(error >= 0))
        fail_msg("%s: %.9g +- %g instead of %.9g", what, got, error, right);
}

/* Within five standard errors, as seen from 16 draws (t distribution: one in 6,000), and the errors are of the size they should be: what
   signs leave of a random symmetric matrix's trace has the variance 2 sum of squares off the diagonal. */
static void test_sums(void **state) {
    (void)state;
    enum { N = 120, DRAWS = 16 };
    double *a = random_symmetric(N, 3), off = 0, error;
    for (int i = 0; i < N; i++) a[i * N + i] += 15;
    double *value = lapack_values(a, N), delta = 30;
    sums right = sums_of(value, N, delta);
    for (int i = 0; i < N * N; i++)
        if (i / N != i % N) off += a[i] * a[i];
    matrix m = matrix_new(N, NULL, a);
    for (int gaussian = 0; gaussian < 2; gaussian++) {
        probe p = run(&m, (pitot_quadrature_config){ .steps = 40, .draws = DRAWS, .gaussian = gaussian, .seed = 1 });
        near_to("trace", pitot_quadrature_trace(&p.q, &error), &error, right.trace, 0);
        double spread = sqrt(2 * off / DRAWS);
        assert_true(error > 0.4 * spread && error < 2 * spread);
        near_to("frobenius", pitot_quadrature_frobenius(&p.q, &error), &error, right.frobenius, 0);
        near_to("logdet", pitot_quadrature_logdet(&p.q, delta, &error), &error, right.logdet, 1e-6);
        near_to("dimension", pitot_quadrature_effective_dimension(&p.q, delta, &error), &error, right.dimension, 1e-6);
        near_to("negative mass", pitot_quadrature_negative_mass(&p.q, &error), &error, right.mass, 0.02);
        near_to("negative energy", pitot_quadrature_negative_energy(&p.q, &error), &error, right.energy, 0.02);
        assert_true(isnan(pitot_quadrature_logdet(&p.q, 1, NULL)));
        assert_true(isnan(pitot_quadrature_effective_dimension(&p.q, 0, &error)) && isnan(error));
        p.q.draws = 1;
        assert_true(isfinite(pitot_quadrature_trace(&p.q, &error)) && isnan(error));
        p.q.draws = 0;
        assert_true(isnan(pitot_quadrature_trace(&p.q, &error)) && isnan(pitot_quadrature_negative_energy(&p.q, NULL)));
        probe_free(&p);
    }
    mem_free(value);
    mem_free(m.x);
    mem_free(a);
}

/* With signs, of a diagonal matrix: every draw has the trace and the norm exactly, and as many steps as there are values. */
static void test_exact(void **state) {
    (void)state;
    enum { N = 300 };
    double diagonal[N], error;
    for (int i = 0; i < N; i++) diagonal[i] = i % 5 - 1;
    matrix m = matrix_new(N, diagonal, NULL);
    for (int reorthogonalise = 0; reorthogonalise <= PITOT_REORTH_FULL; reorthogonalise++) {
        probe p = run(&m, (pitot_quadrature_config){ .reorthogonalise = reorthogonalise, .together = 3 });
        for (int d = 0; d < 4; d++) {
            assert_int_equal(p.q.used[d], 5);
            for (int k = 0; k < 5; k++) {
                assert_true(fabs(p.q.node[d * 64 + k] - (k - 1)) <= 40 * ROUND);
                assert_true(fabs(p.q.weight[d * 64 + k] - 0.2) <= 40 * ROUND);
            }
        }
        assert_true(fabs(pitot_quadrature_trace(&p.q, &error) - N) <= 100 * ROUND * N && error <= 100 * ROUND * N);
        assert_true(fabs(pitot_quadrature_frobenius(&p.q, &error) - 3 * N) <= 100 * ROUND * N);
        assert_true(fabs(pitot_quadrature_negative_mass(&p.q, &error) - 0.2) <= 40 * ROUND);
        assert_true(fabs(pitot_quadrature_negative_energy(&p.q, &error) - 1.0 / 7) <= 40 * ROUND);
        probe_free(&p);
    }
    mem_free(m.x);
}

/* ---- a spectrum as nets have them: copies of nodes ---- */

static int count_above(const pitot_quadrature *q, double x, double *weight) {
    int count = 0;
    *weight = 0;
    for (int32_t k = 0; k < q->used[0]; k++)
        if (q->node[k] > x) count++, *weight += q->weight[k];
    return count;
}

static void test_copies(void **state) {
    (void)state;
    double *diagonal = mem_alloc(MANY, sizeof *diagonal), weight[4] = { 0 };
    fill_net_like(diagonal, MANY);
    matrix m = matrix_new(MANY, diagonal, NULL);
    int count[4], orthogonalised[4];
    for (int kind = PITOT_REORTH_NONE; kind <= PITOT_REORTH_FULL; kind++) {
        probe p = run(&m, (pitot_quadrature_config){ .steps = 160, .draws = 1, .gaussian = 1, .reorthogonalise = kind });
        count[kind] = count_above(&p.q, 1.5, &weight[kind]);
        orthogonalised[kind] = p.q.reorthogonal;
        probe_free(&p);
    }
    print_message("nodes above 1.5: %d without, %d semi-, %d full; times orthogonalised: %d %d; weights %.9g %.9g %.9g\n", count[1],
                  count[2], count[3], orthogonalised[2], orthogonalised[3], weight[1], weight[2], weight[3]);
    assert_true(count[1] > 60);
    assert_int_equal(count[2], 10);
    assert_int_equal(count[3], 10);
    assert_int_equal(orthogonalised[1], 0);
    assert_int_equal(orthogonalised[3], 159);
    assert_true(orthogonalised[2] > 0 && orthogonalised[2] < 120);
    for (int kind = PITOT_REORTH_NONE; kind <= PITOT_REORTH_SEMI; kind++)
        assert_true(fabs(weight[kind] - weight[3]) <= (sizeof(pitot_real) == 4 ? 2e-6 : 1e-10) * weight[3]);
    mem_free(m.x);
    mem_free(diagonal);
}

/* Products of vectors stay below sqrt(u): seen in T, whose nodes are eigenvalues to round-off where they have converged. */
static void test_semi_is_full(void **state) {
    (void)state;
    enum { N = 2000, M = 120 };
    double *diagonal = mem_alloc(N, sizeof *diagonal), most = 0;
    fill_net_like(diagonal, N);
    matrix m = matrix_new(N, diagonal, NULL);
    pitot_quadrature_config set = { .steps = M, .draws = 2, .reorthogonalise = PITOT_REORTH_FULL };
    probe full = run(&m, set);
    set.reorthogonalise = PITOT_REORTH_SEMI;
    probe semi = run(&m, set);
    for (int d = 0; d < 2; d++)
        for (int k = M - 10; k < M; k++) most = fmax(most, fabs(semi.q.node[d * M + k] - full.q.node[d * M + k]));
    print_message("semi-orthogonal: %d of %d, outliers differ by %g\n", (int)semi.q.reorthogonal, (int)full.q.reorthogonal, most);
    assert_true(most <= 20 * ROUND * 50);
    probe_free(&full);
    probe_free(&semi);
    mem_free(m.x);
    mem_free(diagonal);
}

/* ---- curves ---- */

static void mixture(pitot_quadrature *q, double *node, double *weight, int32_t *used, double outlier) {
    *q = (pitot_quadrature){
        .struct_size = sizeof *q, .n = 1000, .draws = 2, .steps = 3, .node = node, .weight = weight, .used = used
    };
    const double nodes[] = { -1, 0, outlier, 0.5, outlier / 3, 7e7 }, weights[] = { 0.1, 0.6, 0.3, 0.9, 0.1, 7 };
    memcpy(node, nodes, sizeof nodes);
    memcpy(weight, weights, sizeof weights);
    used[0] = 3;
    used[1] = 2;
}

static void test_cumulative(void **state) {
    (void)state;
    double node[6], weight[6], out[6];
    int32_t used[2];
    pitot_quadrature q;
    mixture(&q, node, weight, used, 9);
    const double x[6] = { -2, -1, 0.2, 0.5, 3, 9 }, right[6] = { 0, 0.05, 0.35, 0.8, 0.85, 1 };
    pitot_quadrature_cumulative(&q, x, 6, out);
    for (int i = 0; i < 6; i++) assert_true(fabs(out[i] - right[i]) <= 1e-15);
}

static double symlog(double t, double linear) {
    return fabs(t) <= 1 ? t * linear : copysign(linear * pow(10, fabs(t) - 1), t);
}

/* Mass around the outlier and in all, from evenly spaced points; the outlier at every phase between two of them. */
static void check_mass(double outlier, double linear, int points) {
    double node[6], weight[6], *x = mem_alloc(points, sizeof *x), *out = mem_alloc(points, sizeof *out);
    int32_t used[2];
    pitot_quadrature q;
    for (int phase = 0; phase < 7; phase++) {
        mixture(&q, node, weight, used, outlier * (1 + phase / 7.0 * 4.0 / points));
        double from = linear > 0 ? -16 : -1.5 * outlier, to = linear > 0 ? 22 : 2.5 * outlier, gap = (to - from) / (points - 1),
               all = 0, around = 0;
        for (int i = 0; i < points; i++) x[i] = linear > 0 ? symlog(from + i * gap, linear) : from + i * gap;
        pitot_quadrature_density(&q, x, points, linear, 0, out);
        for (int i = 0; i < points; i++) {
            assert_true(out[i] >= 0);
            all += gap * out[i];
        }
        pitot_quadrature_density(&q, x, points, linear, gap * (1 + 1e-12), out); /* as narrow as the points allow */
        for (int i = 0; i < points; i++)
            if (x[i] > 0.6 * outlier) around += gap * out[i];
        if (fabs(all - 1) > 1e-7) fail_msg("range %g, linear %g, %d points: mass %.9g", outlier, linear, points, all);
        if (points >= 500 && fabs(around - 0.15) > 2e-3)
            fail_msg("range %g, linear %g: %.9g around the outlier", outlier, linear, around);
    }
    mem_free(x);
    mem_free(out);
}

static void test_density(void **state) {
    (void)state;
    for (double outlier = 10; outlier <= 1e7; outlier *= 100) {
        check_mass(outlier, 0, 60);
        check_mass(outlier, 0, 500);
        check_mass(outlier, 1e-3, 100);
        check_mass(outlier, 1e-3, 2000);
        check_mass(outlier, 1, 500);
    }
    double node[6], weight[6], out[2], right = 0;
    const double x[2] = { 0.3, 20 };
    int32_t used[2];
    pitot_quadrature q;
    mixture(&q, node, weight, used, 9);
    pitot_quadrature_density(&q, x, 2, 0, 0.25, out);
    for (int k = 0; k < 5; k++) right += weight[k] / 2 * exp(-0.5 * pow((0.3 - node[k]) / 0.25, 2)) / (0.25 * sqrt(2 * M_PI));
    assert_true(fabs(out[0] - right) <= 1e-14 && out[1] < 1e-100);
    const double one[3] = { 5, 5.1, 5.3 }; /* all in one place */
    q.draws = 1;
    used[0] = 1;
    assert_true(pitot_quadrature_width(&q, one, 1, 0) > 0);
    assert_true(pitot_quadrature_width(&q, one, 3, 0) >= 0.2);
}

/* ---- draws by themselves, the same bits ---- */

static int32_t stop_at(void *user, int64_t done, int64_t of) {
    int64_t *limit = user;
    assert_true(done >= 1 && done <= of);
    return done >= limit[0];
}

static void same_draws(const pitot_quadrature *a, const pitot_quadrature *b, int draws) {
    for (int d = 0; d < draws; d++) {
        assert_int_equal(a->used[d], b->used[d]);
        assert_memory_equal(a->node + d * a->steps, b->node + d * b->steps, (size_t)a->used[d] * sizeof *a->node);
        assert_memory_equal(a->weight + d * a->steps, b->weight + d * b->steps, (size_t)a->used[d] * sizeof *a->node);
    }
}

static void test_draws(void **state) {
    (void)state;
    double *diagonal = mem_alloc(1000, sizeof *diagonal);
    fill_net_like(diagonal, 1000);
    matrix m = matrix_new(1000, diagonal, NULL);
    for (int kind = 0; kind <= PITOT_REORTH_FULL; kind++) {
        pitot_quadrature_config set = { .steps = 20, .draws = 5, .reorthogonalise = kind, .gaussian = 1, .seed = 9 };
        probe all = run(&m, set);
        set.draws = 2;
        probe two = run(&m, set);
        set.draws = 5;
        set.together = 3;
        probe side = run(&m, set);
        same_draws(&all.q, &two.q, 2);
        same_draws(&all.q, &side.q, 5);
        assert_true(fabs(all.q.node[9] - all.q.node[29]) > 0); /* draws differ */
        for (int64_t limit = 1; limit <= 100; limit += 7) {
            probe cut = { .set = set };
            pitot_linop op = columns_of(&m);
            cut.set.progress = stop_at;
            cut.set.user = &limit;
            make_room(&cut, 1000);
            assert_int_equal(pitot_quadrature_run(&op, &cut.set, &cut.q, NULL), PITOT_OK);
            int whole = 0;
            while (whole < cut.q.draws && cut.q.used[whole] == 20) whole++;
            same_draws(&all.q, &cut.q, whole);
            check_rule(&cut.q);
            assert_int_equal(cut.q.complete, cut.q.products == 100);
            assert_true(isfinite(pitot_quadrature_trace(&cut.q, NULL)));
            probe_free(&cut);
        }
        probe_free(&all);
        probe_free(&two);
        probe_free(&side);
    }
    mem_free(m.x);
    mem_free(diagonal);
}

static void test_threads(void **state) {
    (void)state;
    int64_t n = 150001;
    double *diagonal = mem_alloc(n, sizeof *diagonal);
    fill_net_like(diagonal, n);
    matrix m = matrix_new(n, diagonal, NULL);
    pitot_quadrature_config set = { .steps = 12, .draws = 1, .reorthogonalise = PITOT_REORTH_SEMI };
    probe one = run(&m, set);
    sums_set_threads(2);
    probe a = run(&m, set), b = run(&m, set);
    sums_set_threads(1);
    same_draws(&a.q, &b.q, 1);
    for (int k = 0; k < 12; k++) assert_true(fabs(one.q.node[k] - a.q.node[k]) <= 1e4 * ROUND * 50);
    probe_free(&one);
    probe_free(&a);
    probe_free(&b);
    mem_free(m.x);
    mem_free(diagonal);
}

/* ---- what goes wrong ---- */

static void test_sizes(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof spectra / sizeof *spectra; i++) {
        double *diagonal = mem_alloc(spectra[i].n, sizeof *diagonal), low, high;
        fill(&spectra[i], diagonal);
        matrix m = matrix_new(spectra[i].n, diagonal, NULL);
        sums right = sums_of(diagonal, m.n, 0);
        double size = fmax(fabs(spectra[i].high), fabs(spectra[i].low));
        for (int kind = 0; kind <= PITOT_REORTH_FULL; kind++) {
            probe p = run(&m, (pitot_quadrature_config){ .reorthogonalise = kind, .gaussian = kind == 3 });
            assert_true(p.q.used[0] <= m.n);
            if (kind < 3) assert_true(fabs(pitot_quadrature_trace(&p.q, NULL) - right.trace) <= 20 * ROUND * size * (double)m.n);
            pitot_quadrature_range(&p.q, &low, &high);
            assert_true(low >= spectra[i].low - 20 * ROUND * size && high <= spectra[i].high + 20 * ROUND * size);
            probe_free(&p);
        }
        mem_free(m.x);
        mem_free(diagonal);
    }
}

static void test_failing_operator(void **state) {
    (void)state;
    double *a = random_symmetric(40, 2);
    for (int64_t at = 1; at <= 30; at++)
        for (int together = 1; together <= 2; together++) {
            matrix m = matrix_new(40, NULL, a);
            pitot_linop op = columns_of(&m);
            probe p = { .set = { .steps = 10, .draws = 3, .together = together } };
            make_room(&p, 40);
            m.fails_at = at;
            assert_int_equal(pitot_quadrature_run(&op, &p.set, &p.q, NULL), -77);
            m.calls = m.fails_at = 0;
            m.nan_at = at;
            assert_int_equal(pitot_quadrature_run(&op, &p.set, &p.q, &p.error), PITOT_EHOST);
            assert_true(p.error.status == PITOT_EHOST && p.error.text[0]);
            assert_true(p.q.draws == 0 && !p.q.complete);
            probe_free(&p);
            mem_free(m.x);
        }
    mem_free(a);
}

static void test_settings(void **state) {
    (void)state;
    double diagonal[5] = { 1, 2, 3, 4, 5 };
    matrix m = matrix_new(5, diagonal, NULL);
    pitot_linop good = columns_of(&m), op;
    probe p = { .set = { .steps = 5, .draws = 2 } };
    make_room(&p, 5);
    pitot_quadrature_config set;
    pitot_quadrature q;
#define REFUSED(change)                                                            \
    do {                                                                           \
        op = good, set = p.set, q = p.q;                                           \
        change;                                                                    \
        assert_int_equal(pitot_quadrature_run(&op, &set, &q, NULL), PITOT_EINVAL); \
    } while (0)
    REFUSED(op.symmetric = 0);
    REFUSED(op.n = 0);
    REFUSED(op.apply = NULL);
    REFUSED(set.work = NULL);
    REFUSED(set.steps = -1);
    REFUSED(set.steps = PITOT_QUADRATURE_STEPS + 1);
    REFUSED(set.draws = -1);
    REFUSED(set.together = 65);
    REFUSED(set.reorthogonalise = 4);
    REFUSED(q.node = NULL);
    REFUSED(q.weight = NULL);
    REFUSED(q.used = NULL);
    REFUSED(op.n = INT64_MAX / 2);
    assert_int_equal(pitot_quadrature_run(NULL, &p.set, &p.q, NULL), PITOT_EINVAL);
    assert_int_equal(pitot_quadrature_run(&good, NULL, &p.q, NULL), PITOT_EINVAL);
    assert_int_equal(pitot_quadrature_run(&good, &p.set, NULL, NULL), PITOT_EINVAL);
    assert_int_equal(m.calls, 0);
    assert_true(pitot_quadrature_vectors(NULL) == -1 && pitot_quadrature_vectors(&p.set) == 3);
    mem_fail_at(1, 0);
    assert_int_equal(pitot_quadrature_run(&good, &p.set, &p.q, NULL), PITOT_ENOMEM);
    mem_fail_at(0, 0);
    good.error = 0.5;
    assert_int_equal(pitot_quadrature_run(&good, &p.set, &p.q, NULL), PITOT_OK);
    assert_true(p.q.floor >= 2.5 && pitot_quadrature_negative_mass(&p.q, NULL) <= 0);
    probe_free(&p);
    mem_free(m.x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rule),       cmocka_unit_test(test_moments), cmocka_unit_test(test_sums),
        cmocka_unit_test(test_exact),      cmocka_unit_test(test_copies),  cmocka_unit_test(test_semi_is_full),
        cmocka_unit_test(test_cumulative), cmocka_unit_test(test_density), cmocka_unit_test(test_draws),
        cmocka_unit_test(test_threads),    cmocka_unit_test(test_sizes),   cmocka_unit_test(test_failing_operator),
        cmocka_unit_test(test_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
