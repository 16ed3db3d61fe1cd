/* Options of methods that their traces do not reach, against loops written out, and methods without a trace.
   reference cases: svrg */

#include "base/random.h"
#include "mlp.h"

#ifdef PITOT_DOUBLE
static const double tolerance = 1e-12;
#else
static const double tolerance = 2e-5; /* ten steps of floats, values of order 1 */
#endif

GOLDEN_FILE("tests/golden/optimizers_curvature.json");

static void must_be(const char *what, int step, int64_t i, double got, double want) {
    if (!(fabs(got - want) <= tolerance * fmax(1, fabs(want))))
        fail_msg("%s, step %d, value %d: %.17g, not %.17g", what, step, (int)i, got, want);
}

/* ---- sania: two tensors, one step length; every option ---- */

typedef struct sania_case {
    const char *const set[12];
    double lr, least, beta, eps; /* beta 0: a sum */
    int root;
} sania_case;

enum { FIRST = 5, ALL = 8 };

static double given_loss; /* of the batch */

static int32_t give_batch(void *user, int64_t *samples, int64_t *columns, double *loss) {
    (void)user;
    *samples = 3;
    *columns = 1;
    *loss = given_loss;
    return PITOT_OK;
}

/* Losses from far above f* to below it: whole steps, parts of steps, none. */
static void check_sania(const sania_case *c) {
    pitot_real x[ALL], g[ALL];
    double y[ALL], v[ALL] = { 0 };
    const pitot_real *const at[2] = { g, g + FIRST };
    pitot_optim_tensor list[2] = { { "a", FIRST, x, &at[0], { 0 } }, { "b", ALL - FIRST, x + FIRST, &at[1], { 0 } } };
    pitot_optim *o = pitot_optim_new("sania", NULL);
    int whole = 0, part = 0, none = 0;
    for (const char *const *set = c->set; *set; set += 2) assert_int_equal(pitot_optim_set(o, set[0], set[1], NULL), PITOT_OK);
    pitot_optim_offer(o, &(pitot_optim_source){ .struct_size = sizeof(pitot_optim_source), .batch = give_batch });
    for (int i = 0; i < ALL; i++) y[i] = (double)(x[i] = (pitot_real)(0.25 * i - 1));
    assert_int_equal(pitot_optim_prepare(o, list, 2, 1, NULL), PITOT_OK);
    for (int t = 1; t <= 10; t++) {
        double d[ALL], norm = 0;
        for (int i = 0; i < ALL; i++) g[i] = (pitot_real)(random_uniform(4, 1, (uint64_t)t, (uint64_t)i) - 0.4);
        for (int i = 0; i < ALL; i++) {
            double h = (double)g[i], b = v[i] = c->beta > 0 ? c->beta * v[i] + (1 - c->beta) * h * h : v[i] + h * h;
            if (c->beta > 0) b /= 1 - pow(c->beta, t);
            if (c->root) b = sqrt(b);
            d[i] = h / fmax(b, c->eps);
            norm += h * d[i];
        }
        double above = norm * (t % 4 == 0 ? 0.7 : t % 4 == 1 ? 0.2 : t % 4 == 2 ? 0.45 : -0.1), share = 2 * above / norm;
        given_loss = c->least + above;
        share = share <= 0 ? 0 : share > 1 ? 1 : 1 - sqrt(1 - share);
        *(share == 0 ? &none : share == 1 ? &whole : &part) += 1;
        assert_int_equal(pitot_optim_step(o), PITOT_OK);
        for (int i = 0; i < ALL; i++) must_be("sania", t, i, (double)x[i], y[i] -= c->lr * share * d[i]);
    }
    assert_true(whole && part && none);
    given_loss = NAN;
    memcpy(g, x, sizeof g);
    assert_int_equal(pitot_optim_step(o), PITOT_EHOST);
    assert_memory_equal(g, x, sizeof g);
    pitot_optim_free(o);
}

static void test_sania(void **state) {
    static const sania_case cases[] = {
        { { "eps", "0.01", NULL }, 1, 0, 0, 0.01, 0 },
        { { "lr", "0.5", "least_loss", "-2", "eps", "0.2", "root", "true", NULL }, 0.5, -2, 0, 0.2, 1 },
        { { "preconditioner", "adam", "beta", "0.8", "least_loss", "0.25", "eps", "0.001", NULL }, 1, 0.25, 0.8, 0.001, 0 },
        { { "preconditioner", "adam", "beta", "0.9", "root", "true", "lr", "0.1", NULL }, 0.1, 0, 0.9, 0.1, 1 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_sania(&cases[i]);
}

/* Without the root, and with eps out of the way, gradients and parameters in other units make the same steps in them. */
static void test_sania_scales(void **state) {
    static const double unit[2] = { 16, 0.25 };
    double x[2][2];
    (void)state;
    for (int k = 0; k < 2; k++) {
        quadratic q = problem_a();
        for (int i = 0; i < 2 && k; i++) {
            q.x[i] /= (pitot_real)unit[i];
            for (int j = 0; j < 2; j++) q.h[i * 2 + j] *= unit[i] * unit[j];
        }
        quadratic_begin(&q, "sania", (const char *const[]){ "eps", "1e-20", NULL });
        for (int t = 0; t < 6; t++) assert_int_equal(quadratic_step(&q), PITOT_OK);
        for (int i = 0; i < 2; i++) x[k][i] = (double)q.x[i] * (k ? unit[i] : 1);
        quadratic_end(&q);
    }
    for (int i = 0; i < 2; i++) must_be("sania in other units", 6, i, x[1][i], x[0][i]);
}

/* ---- adahesscale: whichever diagonal, by the net's own function ---- */

static void check_adahesscale(const char *name, int32_t kind) {
    mlp m;
    double x[MLP_D], g[MLP_D], y[MLP_D], first[MLP_D] = { 0 }, second[MLP_D] = { 0 };
    pitot_real h[MLP_D];
    mlp_begin(&m, golden, "adahesscale",
              (const char *const[]){ "lr", "0.01", "diagonal", name, "betas", "0.8,0.9", "eps", "1e-3", NULL }, 0);
    mlp_values(&m, 0, y);
    for (int t = 1; t <= 5; t++) {
        mlp_backward(&m, m.classes);
        mlp_values(&m, 1, g);
        assert_int_equal(pitot_net_diagonal(m.net, kind, 0, 0, 0, h, NULL), PITOT_OK);
        assert_int_equal(mlp_step(&m), PITOT_OK);
        mlp_values(&m, 0, x);
        for (int i = 0; i < MLP_D; i++) {
            first[i] = 0.8 * first[i] + 0.2 * g[i];
            second[i] = 0.9 * second[i] + 0.1 * (double)h[i] * (double)h[i];
            y[i] -= 0.01 / (1 - pow(0.8, t)) * first[i] / (sqrt(second[i] / (1 - pow(0.9, t))) + 1e-3);
            must_be(name, t, i, x[i], y[i]);
            y[i] = x[i];
        }
    }
    mlp_end(&m);
}

static void test_adahesscale(void **state) {
    (void)state;
    check_adahesscale("hesscale", PITOT_DIAGONAL_HESSCALE);
    check_adahesscale("hesscale_gn", PITOT_DIAGONAL_HESSCALE_GN);
    check_adahesscale("ggn", PITOT_DIAGONAL_GGN);
    check_adahesscale("hessian", PITOT_DIAGONAL_HESSIAN);
}

/* ---- squares beyond the range of pitot_real ---- */

static const pitot_real huge = (pitot_real)(sizeof(pitot_real) == 8 ? 1e200 : 1e25);
static pitot_real given_diagonal;

static int32_t give_diagonal(void *user, int32_t kind, int64_t draws, uint64_t seed, pitot_real *out) {
    (void)user, (void)kind, (void)draws, (void)seed;
    for (int i = 0; out && i < FIRST; i++) out[i] = given_diagonal;
    return PITOT_OK;
}

static void must_keep(pitot_optim *o, const pitot_real *x, const pitot_real *was) {
    pitot_optim_array a;
    assert_int_equal(pitot_optim_step(o), PITOT_EHOST);
    assert_memory_equal(x, was, FIRST * sizeof *x);
    for (int64_t j = 0; pitot_optim_state(o, j, &a) == PITOT_OK; j++)
        for (int64_t i = 0; a.dtype == (sizeof *x == 8 ? PITOT_F64 : PITOT_F32) && i < a.bytes / (int64_t)sizeof *x; i++)
            assert_true(isfinite((double)((const pitot_real *)a.data)[i]));
}

/* An average of squares that is infinite would stay so: such a step is none, and the next one moves. */
static void check_huge(const char *name, int diagonal) {
    pitot_real x[FIRST] = { 1, 2, 3, 4, 5 }, g[FIRST] = { 1, 1, 1, 1, 1 }, was[FIRST];
    const pitot_real *const at = g;
    pitot_error error = { 0 };
    pitot_optim *o = pitot_optim_new(name, NULL);
    given_loss = given_diagonal = 1;
    pitot_optim_offer(o, &(pitot_optim_source){
                             .struct_size = sizeof(pitot_optim_source), .batch = give_batch, .diagonal = give_diagonal });
    if (pitot_optim_prepare(o, &(pitot_optim_tensor){ "w", FIRST, x, &at, { 0 } }, 1, 1, &error)) fail_msg("%s", error.text);
    assert_int_equal(pitot_optim_step(o), PITOT_OK);
    memcpy(was, x, sizeof was);
    *(diagonal ? &given_diagonal : &g[2]) = huge;
    must_keep(o, x, was);
    given_diagonal = g[2] = 1;
    assert_int_equal(pitot_optim_step(o), PITOT_OK);
    for (int i = 0; i < FIRST; i++) assert_true(isfinite((double)x[i]) && x[i] < was[i]);
    pitot_optim_free(o);
}

static void test_huge(void **state) {
    (void)state;
    check_huge("sania", 0);
    check_huge("adahesscale", 1);
}

/* ---- svrg: a finite sum of quadratics, sample by sample ---- */

enum { SUM = 12, SIDE = 3, BATCH = 5 }; /* batches of 5, 5, 2 */

typedef struct finite_sum { /* f_n(x) = |A_n x - b_n|^2/2 */
    double a[SUM][SIDE * SIDE], b[SUM][SIDE];
    pitot_real x[SIDE], g[SIDE];
    int64_t first, n; /* the batch */
    int passes;
} finite_sum;

/* out = mean of the gradients of samples first..first+n at x */
static void mean_gradient(const finite_sum *f, const double *x, int64_t first, int64_t n, double *out) {
    memset(out, 0, SIDE * sizeof *out);
    for (int64_t k = first; k < first + n; k++)
        for (int r = 0; r < SIDE; r++) {
            double residual = -f->b[k][r];
            for (int i = 0; i < SIDE; i++) residual += f->a[k][r * SIDE + i] * x[i];
            for (int i = 0; i < SIDE; i++) out[i] += f->a[k][r * SIDE + i] * residual / (double)n;
        }
}

static void give_gradient(finite_sum *f, int64_t first, int64_t n) {
    double x[SIDE], g[SIDE];
    for (int i = 0; i < SIDE; i++) x[i] = (double)f->x[i];
    mean_gradient(f, x, first, n, g);
    for (int i = 0; i < SIDE; i++) f->g[i] = (pitot_real)g[i];
}

static int32_t sum_gradient(void *user, double *loss) {
    finite_sum *f = user;
    give_gradient(f, f->first, f->n);
    return *loss = 0, PITOT_OK;
}

static int32_t sum_data(void *user, double *loss) {
    finite_sum *f = user;
    f->passes++;
    give_gradient(f, 0, SUM);
    return *loss = 0, PITOT_OK;
}

static int32_t sum_batch(void *user, int64_t *samples, int64_t *columns, double *loss) {
    const finite_sum *f = user;
    *samples = f->n;
    *columns = 1;
    return *loss = 0, PITOT_OK;
}

static finite_sum make_sum(void) {
    finite_sum f = { .x = { 1, -1, (pitot_real)0.5 } };
    for (int k = 0; k < SUM; k++)
        for (int i = 0; i < SIDE * SIDE; i++) {
            f.a[k][i] = random_uniform(3, 1, (uint64_t)k, (uint64_t)i) - 0.5;
            if (i < SIDE) f.b[k][i] = random_uniform(3, 2, (uint64_t)k, (uint64_t)i);
        }
    return f;
}

static pitot_optim *svrg_on(finite_sum *f, const pitot_real *const *at, const char *const *set, int64_t samples,
                            pitot_error *error) {
    pitot_optim *o = pitot_optim_new("svrg", error);
    for (; *set; set += 2) assert_int_equal(pitot_optim_set(o, set[0], set[1], error), PITOT_OK);
    pitot_optim_plan_data(o, samples);
    pitot_optim_offer(o, &(pitot_optim_source){ .struct_size = sizeof(pitot_optim_source),
                                                .user = f,
                                                .gradient = sum_gradient,
                                                .data = sum_data,
                                                .batch = sum_batch });
    pitot_optim_prepare(o, &(pitot_optim_tensor){ "w", SIDE, f->x, at, { 0 } }, 1, 1, error);
    return o;
}

/* `renewal`: steps between settings of y, in a run through the data in order. */
static void check_svrg(const char *const *set, int64_t samples, int renewal, int batch) {
    finite_sum f = make_sum();
    const pitot_real *at = f.g;
    pitot_error error = { 0 };
    double x[SIDE], y[SIDE] = { 0 }, all[SIDE] = { 0 }, now[SIDE], old[SIDE];
    pitot_optim *o = svrg_on(&f, &at, set, samples, &error);
    if (error.status) fail_msg("%s", error.text);
    for (int i = 0; i < SIDE; i++) x[i] = (double)f.x[i];
    for (int t = 0; t < 14; t++) {
        f.first = t % ((SUM + batch - 1) / batch) * batch;
        f.n = SUM - f.first < batch ? SUM - f.first : batch;
        give_gradient(&f, f.first, f.n);
        assert_int_equal(pitot_optim_step(o), PITOT_OK);
        if (t % renewal == 0) {
            memcpy(y, x, sizeof y);
            mean_gradient(&f, y, 0, SUM, all);
        }
        mean_gradient(&f, x, f.first, f.n, now);
        mean_gradient(&f, y, f.first, f.n, old);
        for (int i = 0; i < SIDE; i++) {
            x[i] -= 0.3 * (now[i] - old[i] + all[i]);
            must_be("svrg", t + 1, i, (double)f.x[i], x[i]);
        }
    }
    assert_int_equal(f.passes, (14 + renewal - 1) / renewal);
    pitot_optim_free(o);
}

static void test_svrg(void **state) {
    (void)state;
    check_svrg((const char *const[]){ "lr", "0.3", NULL }, SUM, 6, BATCH);
    check_svrg((const char *const[]){ "lr", "0.3", "epochs", "1", NULL }, SUM, 3, BATCH);
    check_svrg((const char *const[]){ "lr", "0.3", "every", "4", NULL }, 0, 4, BATCH);
    check_svrg((const char *const[]){ "lr", "0.3", "epochs", "0", "every", "5", NULL }, SUM, 5, BATCH);
    check_svrg((const char *const[]){ "lr", "0.3", "epochs", "1", NULL }, SUM, 1, SUM); /* gradient descent */
}

/* Batches do not agree at the minimum of the sum: plain descent on them goes on moving there, svrg gets there. */
static void test_svrg_converges(void **state) {
    finite_sum f = make_sum();
    const pitot_real *at = f.g;
    pitot_error error = { 0 };
    double x[SIDE], g[SIDE], left = 0;
    (void)state;
    pitot_optim *o = svrg_on(&f, &at, (const char *const[]){ "lr", "0.8", NULL }, SUM, &error);
    for (int t = 0; t < 3000; t++) {
        f.first = t % 3 * BATCH;
        f.n = SUM - f.first < BATCH ? SUM - f.first : BATCH;
        give_gradient(&f, f.first, f.n);
        assert_int_equal(pitot_optim_step(o), PITOT_OK);
    }
    for (int i = 0; i < SIDE; i++) x[i] = (double)f.x[i];
    mean_gradient(&f, x, 0, SUM, g);
    for (int i = 0; i < SIDE; i++) left += fabs(g[i]);
    assert_true(left < (sizeof(pitot_real) == 8 ? 1e-12 : 1e-5));
    mean_gradient(&f, x, 0, BATCH, g);
    assert_true(fabs(g[0]) + fabs(g[1]) + fabs(g[2]) > 1e-2);
    pitot_optim_free(o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sania), cmocka_unit_test(test_sania_scales), cmocka_unit_test(test_adahesscale),
        cmocka_unit_test(test_huge),  cmocka_unit_test(test_svrg),         cmocka_unit_test(test_svrg_converges),
    };
    return cmocka_run_group_tests(tests, read_golden, free_golden);
}
