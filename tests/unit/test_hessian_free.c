/* Hessian-free optimization against dense solutions: conjugate gradients by their definition, as minimisers over Krylov spaces; the stopping
   rule by a loop of its own; going back, line search and damping by losses made up for it.

   reference cases: hessian_free */

#include "optim/core/optimizer.h"
#include "quadratics.h"

#include "base/random.h"

#ifdef PITOT_DOUBLE
static const double tolerance = 1e-10;
#else
static const double tolerance = 1e-4; /* a few iterations of rounding 1e-7, condition below 100 */
#endif

/* H = B'B/2 + spread on the diagonal; squares of three magnitudes. */
static quadratic drawn_quadratic(int n, double spread) {
    quadratic q = { .n = n };
    double b[MOST * MOST];
    for (int i = 0; i < n * n; i++) b[i] = random_uniform(9, 3, 1, (uint64_t)i) - 0.5;
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
            q.h[i * n + j] = i == j ? 0.5 + spread * i * i : 0;
            for (int k = 0; k < n; k++) q.h[i * n + j] += b[k * n + i] * b[k * n + j] / 2;
        }
        q.b[i] = random_uniform(9, 3, 2, (uint64_t)i);
        q.x[i] = (pitot_real)(4 * random_uniform(9, 3, 3, (uint64_t)i) - 2);
        q.squares[i] = 0.1 * (1 + i % 3);
    }
    return q;
}

static void must_be(double value, double want, const char *what, int i) {
    if (!(fabs(value - want) <= tolerance * (1 + fabs(want)))) fail_msg("%s %d: %.17g, not %.17g", what, i, value, want);
}

static double lambda_of(pitot_optim *o) {
    pitot_optim_array a;
    for (int64_t j = 0; pitot_optim_state(o, j, &a) == PITOT_OK; j++)
        if (strcmp(a.name, ":lambda") == 0) return *(double *)a.data;
    fail_msg("no lambda");
    return 0;
}

/* ---- dense algebra ---- */

/* x = A^-1 b by elimination with pivots; a and b are overwritten. */
static void solve(int n, double *a, double *b, double *x) {
    for (int c = 0; c < n; c++) {
        int p = c;
        for (int r = c + 1; r < n; r++)
            if (fabs(a[r * n + c]) > fabs(a[p * n + c])) p = r;
        for (int k = 0; k < n; k++) {
            double kept = a[c * n + k];
            a[c * n + k] = a[p * n + k];
            a[p * n + k] = kept;
        }
        double kept = b[c];
        b[c] = b[p];
        b[p] = kept;
        for (int r = c + 1; r < n; r++) {
            double by = a[r * n + c] / a[c * n + c];
            for (int k = c; k < n; k++) a[r * n + k] -= by * a[c * n + k];
            b[r] -= by * b[c];
        }
    }
    for (int r = n - 1; r >= 0; r--) {
        x[r] = b[r];
        for (int k = r + 1; k < n; k++) x[r] -= a[r * n + k] * x[k];
        x[r] /= a[r * n + r];
    }
}

static void product(const quadratic *q, double lambda, const double *v, double *out) {
    for (int64_t i = 0; i < q->n; i++) {
        out[i] = lambda * v[i];
        for (int64_t j = 0; j < q->n; j++) out[i] += q->h[i * q->n + j] * v[j];
    }
}

/* d minimises g'd + d'(H + lambda I)d/2 over d0 + span of k Krylov vectors of the preconditioned matrix, made orthogonal as they come. */
static void krylov(const quadratic *q, double lambda, int k, const double *g, const double *d0, double *d) {
    double basis[MOST][MOST], r[MOST], a[MOST * MOST], b[MOST], c[MOST], av[MOST];
    int n = (int)q->n;
    product(q, lambda, d0, r);
    for (int i = 0; i < n; i++) r[i] = -g[i] - r[i];
    for (int j = 0; j < k; j++) {
        double length = 0;
        if (j) product(q, lambda, basis[j - 1], av);
        for (int i = 0; i < n; i++) basis[j][i] = (j ? av[i] : r[i]) / pow(q->squares[i] + lambda, 0.75);
        for (int twice = 0; twice < 2; twice++)
            for (int l = 0; l < j; l++) {
                double dot = 0;
                for (int i = 0; i < n; i++) dot += basis[l][i] * basis[j][i];
                for (int i = 0; i < n; i++) basis[j][i] -= dot * basis[l][i];
            }
        for (int i = 0; i < n; i++) length += basis[j][i] * basis[j][i];
        for (int i = 0; i < n; i++) basis[j][i] /= sqrt(length);
    }
    for (int j = 0; j < k; j++) {
        product(q, lambda, basis[j], av);
        b[j] = 0;
        for (int i = 0; i < n; i++) b[j] += basis[j][i] * r[i];
        for (int l = 0; l < k; l++) {
            a[l * k + j] = 0;
            for (int i = 0; i < n; i++) a[l * k + j] += basis[l][i] * av[i];
        }
    }
    solve(k, a, b, c);
    for (int i = 0; i < n; i++) {
        d[i] = d0[i];
        for (int j = 0; j < k; j++) d[i] += c[j] * basis[j][i];
    }
}

static void gradient_at(const quadratic *q, const double *x, double *g) {
    product(q, 0, x, g);
    for (int64_t i = 0; i < q->n; i++) g[i] -= q->b[i];
}

/* ---- solutions ---- */

/* Linear least squares without damping: one step is the minimum. */
static void test_one_step(void **state) {
    (void)state;
    quadratic q = drawn_quadratic(8, 0.05);
    double a[MOST * MOST], b[MOST], want[MOST];
    memcpy(a, q.h, sizeof a);
    memcpy(b, q.b, sizeof b);
    solve(8, a, b, want);
    quadratic_begin(&q, "hessian_free", (const char *const[]){ "damping", "0", "tolerance", "0", "max_iterations", "24", NULL });
    assert_int_equal(quadratic_step(&q), PITOT_OK);
    for (int i = 0; i < 8; i++) must_be((double)q.x[i], want[i], "minimum", i);
    assert_true(lambda_of(q.optim) == 0);
    quadratic_end(&q);
}

/* Three iterations a step, four steps: each from 0.95 of the solution before, lambda by the ratio. */
static void test_iterates(void **state) {
    (void)state;
    enum { N = 9, STEPS = 4, K = 3 };
    quadratic q = drawn_quadratic(N, 0.1);
    double x[N], d[MOST] = { 0 }, lambda = 0.5;
    for (int i = 0; i < N; i++) x[i] = (double)q.x[i];
    quadratic_begin(&q, "hessian_free", (const char *const[]){ "damping", "0.5", "max_iterations", "3", NULL });
    for (int t = 1; t <= STEPS; t++) {
        double g[MOST], d0[MOST] = { 0 }, ad[MOST], model = 0, fall = 0;
        gradient_at(&q, x, g);
        for (int i = 0; i < N; i++) d0[i] = 0.95 * d[i];
        krylov(&q, lambda, K, g, d0, d);
        product(&q, 0, d, ad);
        for (int i = 0; i < N; i++) {
            fall += g[i] * d[i] + d[i] * ad[i] / 2;
            model += g[i] * d[i] + d[i] * (ad[i] + lambda * d[i]) / 2;
            x[i] += d[i];
        }
        lambda *= fall / model > 0.75 ? 2.0 / 3 : fall / model < 0.25 ? 1.5 : 1;
        assert_int_equal(quadratic_step(&q), PITOT_OK);
        for (int i = 0; i < N; i++) must_be((double)q.x[i], x[i], "iterate", i);
        assert_true(fabs(lambda_of(q.optim) - lambda) < 1e-12);
        assert_int_equal(q.products, t * (K + 1));
    }
    quadratic_end(&q);
}

/* ---- when to stop ---- */

static int iterations_by_the_rule(const quadratic *q, double lambda, double epsilon) {
    double x[MOST] = { 0 }, g[MOST], d[MOST] = { 0 }, r[MOST], p[MOST], ap[MOST], phi[200] = { 0 }, rr = 0;
    int n = (int)q->n;
    for (int i = 0; i < n; i++) x[i] = (double)q->x[i];
    gradient_at(q, x, g);
    for (int i = 0; i < n; i++) {
        p[i] = r[i] = -g[i];
        rr += r[i] * r[i];
    }
    for (int i = 1; i < 200; i++) {
        double pap = 0, before = rr;
        product(q, lambda, p, ap);
        for (int k = 0; k < n; k++) pap += p[k] * ap[k];
        rr = phi[i] = 0;
        for (int k = 0; k < n; k++) {
            d[k] += before / pap * p[k];
            r[k] -= before / pap * ap[k];
            rr += r[k] * r[k];
            phi[i] += (g[k] - r[k]) * d[k] / 2;
        }
        for (int k = 0; k < n; k++) p[k] = r[k] + rr / before * p[k];
        int window = i / 10 > 10 ? i / 10 : 10;
        if (i > window && phi[i] < 0 && (phi[i] - phi[i - window]) / phi[i] < window * epsilon) return i;
    }
    return 200;
}

static void test_stopping(void **state) {
    (void)state;
    quadratic q = drawn_quadratic(MOST, 4);
    int slow = iterations_by_the_rule(&q, 0.01, 5e-4), fast = iterations_by_the_rule(&q, 0.01, 0.05);
    assert_true(slow < 60 && slow > 11 && fast < slow);
    for (int k = 0; k < 2; k++) {
        quadratic run = drawn_quadratic(MOST, 4);
        quadratic_begin(&run, "hessian_free",
                        (const char *const[]){ "damping", "0.01", "precondition", "false", "tolerance", k ? "0.05" : "5e-4",
                                               NULL });
        assert_int_equal(quadratic_step(&run), PITOT_OK);
        int slack = sizeof(pitot_real) == 8 ? 0 : 1, want = (k ? fast : slow) + 1; /* one product at the start */
        if (run.products > want + slack || run.products < want - slack) fail_msg("%d products, by the rule %d", run.products, want);
        quadratic_end(&run);
    }
}

/* ---- made up losses ---- */

static double target[MOST]; /* the loss is the squared distance from it, times 1e6: more than any slope asks for */
static int data_passes;

static int32_t distance(void *user, double *loss) {
    const quadratic *q = user;
    *loss = 0;
    for (int64_t i = 0; i < q->n; i++) *loss += 1e6 * ((double)q->x[i] - target[i]) * ((double)q->x[i] - target[i]);
    return PITOT_OK;
}

/* Where k iterations lead. */
static void lead(int k, double *x) {
    char most[16];
    quadratic q = drawn_quadratic(12, 0.5);
    snprintf(most, sizeof most, "%d", k);
    quadratic_begin(&q, "hessian_free", (const char *const[]){ "damping", "0.5", "max_iterations", most, NULL });
    assert_int_equal(quadratic_step(&q), PITOT_OK);
    for (int i = 0; i < 12; i++) x[i] = (double)q.x[i];
    quadratic_end(&q);
}

/* The step by a loss that is least at `target`, and lambda after it. */
static double step_by_distance(const char *most, quadratic *q) {
    *q = drawn_quadratic(12, 0.5);
    quadratic_begin(q, "hessian_free", (const char *const[]){ "damping", "0.5", "max_iterations", most, NULL });
    q->optim->source.loss = distance;
    q->optim->source.batch = NULL;
    assert_int_equal(quadratic_step(q), PITOT_OK);
    double lambda = lambda_of(q->optim);
    quadratic_end(q);
    return lambda;
}

static double share; /* of what the quadratic falls by that the loss falls by */

static int32_t shared_loss(void *user, double *loss) {
    *loss = share * quadratic_value(user);
    return PITOT_OK;
}

/* Almost undamped, the model says what the quadratic does: lambda by the share alone. */
static void test_thresholds(void **state) {
    (void)state;
    static const double shares[] = { 0.2, 0.3, 0.45, 0.55, 0.7, 0.8 }, times[] = { 1.5, 1, 1, 1, 1, 1 / 1.5 };
    for (size_t k = 0; k < sizeof shares / sizeof *shares; k++) {
        quadratic q = drawn_quadratic(12, 0.5);
        share = shares[k];
        quadratic_begin(&q, "hessian_free", (const char *const[]){ "damping", "1e-6", NULL });
        q.optim->source.loss = shared_loss;
        q.optim->source.batch = NULL;
        assert_int_equal(quadratic_step(&q), PITOT_OK);
        must_be(lambda_of(q.optim) * 1e6, times[k], "damping", (int)k);
        quadratic_end(&q);
    }
}

/* Conjugate gradients begin from where they ended, not from the iterate that the step went back to. */
static void test_where_to_begin(void **state) {
    (void)state;
    quadratic q, from = drawn_quadratic(12, 0.5);
    pitot_optim_array a = { 0 };
    double last[MOST];
    lead(9, last);
    lead(3, target);
    q = drawn_quadratic(12, 0.5);
    quadratic_begin(&q, "hessian_free", (const char *const[]){ "damping", "0.5", "max_iterations", "9", NULL });
    q.optim->source.loss = distance;
    q.optim->source.batch = NULL;
    assert_int_equal(quadratic_step(&q), PITOT_OK);
    for (int64_t j = 0; strcmp(a.name, ":direction"); j++) assert_int_equal(pitot_optim_state(q.optim, j, &a), PITOT_OK);
    for (int i = 0; i < 12; i++) {
        must_be((double)q.x[i], target[i], "back to the iterate", 3);
        must_be((double)((const pitot_real *)a.data)[i], last[i] - (double)from.x[i], "the solution", 9);
    }
    quadratic_end(&q);
}

/* Of nine iterates those after ceil(1.3^j) are kept, and the last. */
static void test_going_back(void **state) {
    (void)state;
    static const int stored[] = { 1, 2, 3, 4, 5, 7, 9 };
    for (size_t k = 0; k < sizeof stored / sizeof *stored; k++) {
        quadratic q;
        lead(stored[k], target);
        step_by_distance("9", &q);
        for (int i = 0; i < 12; i++) must_be((double)q.x[i], target[i], "back to the iterate", stored[k]);
    }
}

static void test_line_search(void **state) {
    (void)state;
    quadratic q, from = drawn_quadratic(12, 0.5);
    double full[MOST];
    lead(1, full);
    for (int i = 0; i < 12; i++) target[i] = ((double)from.x[i] + full[i]) / 2;
    double lambda = step_by_distance("1", &q);
    for (int i = 0; i < 12; i++)
        must_be((double)q.x[i], (double)from.x[i] + 0.8 * (full[i] - (double)from.x[i]), "0.8 of the way", i);
    assert_true(lambda == 0.75);
    for (int i = 0; i < 12; i++) target[i] = (double)from.x[i];
    lambda = step_by_distance("4", &q);
    assert_memory_equal(q.x, from.x, sizeof q.x);
    assert_true(lambda == 0.75);
}

/* Where no step is any good lambda grows by half each time, up to 1e12. */
static void test_most_damping(void **state) {
    (void)state;
    quadratic q = drawn_quadratic(12, 0.5);
    double want = 0.5;
    for (int i = 0; i < 12; i++) target[i] = (double)q.x[i];
    quadratic_begin(&q, "hessian_free", (const char *const[]){ "damping", "0.5", "max_iterations", "2", NULL });
    q.optim->source.loss = distance;
    q.optim->source.batch = NULL;
    for (int t = 0; t < 90; t++) {
        assert_int_equal(quadratic_step(&q), PITOT_OK);
        want = want * 1.5 < 1e12 ? want * 1.5 : 1e12;
        assert_true(lambda_of(q.optim) == want);
    }
    assert_true(want == 1e12);
    quadratic_end(&q);
}

static int32_t whole_data(void *user, double *loss) {
    data_passes++;
    return source_gradient(user, loss);
}

/* Gradient and losses of the data set: where that is the batch, the same step. */
static void test_data(void **state) {
    (void)state;
    quadratic a = drawn_quadratic(7, 0.1), b = drawn_quadratic(7, 0.1);
    pitot_optim *o = pitot_optim_new("hessian_free", NULL);
    pitot_optim_set(o, "data", "true", NULL);
    assert_true(pitot_optim_wants(o) & PITOT_WANTS_DATA);
    pitot_optim_free(o);
    quadratic_begin(&a, "hessian_free", NULL);
    b.at = b.g;
    b.optim = pitot_optim_new("hessian_free", NULL);
    pitot_optim_set(b.optim, "data", "true", NULL);
    pitot_optim_source source = a.optim->source;
    source.user = &b;
    source.data = whole_data;
    source.loss = distance; /* not to be asked */
    pitot_optim_offer(b.optim, &source);
    pitot_optim_tensor tensor = { "w", 7, b.x, &b.at, { 0 } };
    assert_int_equal(pitot_optim_prepare(b.optim, &tensor, 1, 1, NULL), PITOT_OK);
    for (int t = 0; t < 3; t++) {
        assert_int_equal(quadratic_step(&a), PITOT_OK);
        assert_int_equal(quadratic_step(&b), PITOT_OK);
        assert_memory_equal(a.x, b.x, sizeof a.x);
    }
    assert_true(data_passes >= 6);
    quadratic_end(&a);
    quadratic_end(&b);
}

/* Products that fail end the step with everything as it was. */
static void test_odd_products(void **state) {
    (void)state;
    quadratic q = drawn_quadratic(5, 0.1);
    quadratic_begin(&q, "hessian_free", NULL);
    assert_int_equal(quadratic_step(&q), PITOT_OK);
    double lambda = lambda_of(q.optim), kept = q.h[0];
    pitot_real before[5];
    memcpy(before, q.x, sizeof before);
    quadratic_gradient(&q);
    q.h[0] = NAN;
    assert_int_equal(pitot_optim_step(q.optim), PITOT_EHOST);
    assert_memory_equal(q.x, before, sizeof before);
    assert_true(lambda_of(q.optim) == lambda && pitot_optim_steps(q.optim) == 1);
    q.h[0] = kept;
    assert_int_equal(quadratic_step(&q), PITOT_OK);
    quadratic_end(&q);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_step),     cmocka_unit_test(test_iterates),       cmocka_unit_test(test_stopping),
        cmocka_unit_test(test_thresholds),   cmocka_unit_test(test_where_to_begin), cmocka_unit_test(test_going_back),
        cmocka_unit_test(test_line_search),  cmocka_unit_test(test_data),           cmocka_unit_test(test_odd_products),
        cmocka_unit_test(test_most_damping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
