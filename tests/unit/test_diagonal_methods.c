/* Methods with a drawn diagonal of the Hessian, against what their authors' code really produced (tests/golden/optimizers_curvature.json)
   and against loops written out.

   reference cases: adahessian, sophia */

#include "base/random.h"
#include "mlp.h"

#ifdef PITOT_DOUBLE
static const double tolerance = 1e-13, on_net = 1e-12;
#else
static const double tolerance = 1e-6,
                    on_net = 2e-6; /* five steps of floats; a net's gradients and products are good to 1e-6 of theirs */
#endif

GOLDEN_FILE("tests/golden/optimizers_curvature.json");

static void must_be(double value, double want, double within, const char *name, int step) {
    if (!(fabs(value - want) <= within)) fail_msg("%s, step %d: %.17g, not %.17g", name, step, value, want);
}

/* ---- traces ---- */

static pitot_real recorded[2]; /* what hvp returns */

static int32_t recorded_hvp(void *user, const pitot_real *v, pitot_real *out) {
    (void)user;
    (void)v;
    memcpy(out, recorded, sizeof recorded);
    return PITOT_OK;
}

static void record(const cJSON *trace, int step) {
    const cJSON *draws = cJSON_GetObjectItem(trace, "draws");
    double z[2];
    recorded[0] = 3;
    recorded[1] = 1;
    if (!draws) return;
    for (int i = 0; i < 2; i++) z[i] = cJSON_GetArrayItem(cJSON_GetArrayItem(draws, step), i)->valuedouble;
    recorded[0] = (pitot_real)(3 * z[0] + z[1]);
    recorded[1] = (pitot_real)(z[0] + z[1]);
}

static void check_on_a(const cJSON *trace, const char *name) {
    quadratic q = problem_a();
    set_list options;
    int step = 0;
    golden_options(trace, &options);
    quadratic_begin(&q, cJSON_GetObjectItem(trace, "optimizer")->valuestring, options.set);
    q.optim->source.hvp = recorded_hvp;
    for (const cJSON *want = cJSON_GetObjectItem(trace, "iterates")->child; want; want = want->next, step++) {
        record(trace, step);
        quadratic_gradient(&q);
        memcpy(q.drawn, q.g, sizeof q.drawn);
        assert_int_equal(pitot_optim_step(q.optim), PITOT_OK);
        for (int i = 0; i < 2; i++) must_be((double)q.x[i], cJSON_GetArrayItem(want, i)->valuedouble, tolerance, name, step + 1);
    }
    assert_int_equal(step, 5);
    quadratic_end(&q);
}

static void check_on_mlp(const cJSON *trace, const char *name) {
    const cJSON *draws = cJSON_GetObjectItem(trace, "draws");
    mlp m;
    set_list options;
    int step = 0;
    golden_options(trace, &options);
    mlp_begin(&m, golden, cJSON_GetObjectItem(trace, "optimizer")->valuestring, options.set, 1);
    for (const cJSON *want = cJSON_GetObjectItem(trace, "iterates")->child; want; want = want->next, step++) {
        double x[MLP_D];
        for (int i = 0; draws && i < MLP_D; i++)
            m.z[i] = (pitot_real)cJSON_GetArrayItem(cJSON_GetArrayItem(draws, step), i)->valuedouble;
        assert_int_equal(mlp_step(&m), PITOT_OK);
        mlp_values(&m, 0, x);
        for (int i = 0; i < MLP_D; i++) must_be(x[i], cJSON_GetArrayItem(want, i)->valuedouble, on_net, name, step + 1);
    }
    assert_int_equal(step, 5);
    mlp_end(&m);
}

static void test_traces(void **state) {
    (void)state;
    for (const cJSON *t = cJSON_GetObjectItem(golden, "traces")->child; t; t = t->next) {
        const char *name = cJSON_GetObjectItem(t, "name")->valuestring;
        if (!strcmp(cJSON_GetObjectItem(t, "optimizer")->valuestring, "natural_gradient")) continue;
        if (cJSON_GetObjectItem(t, "problem")->valuestring[0] == 'A') check_on_a(t, name);
        else check_on_mlp(t, name);
    }
}

/* ---- loops ---- */

/* The same draws by the functions that make them. */
static void normal(const char *name, int t, double v[2]) {
    random_normal(7, random_purpose(name), (uint64_t)t, 0, v);
}

static void product_a(const double v[2], double out[2]) {
    out[0] = 3 * v[0] + v[1];
    out[1] = v[0] + v[1];
}

/* Both estimators, refreshed every third step, with steps that are clipped and steps that are not, and h below 0. */
static void check_sophia(int gnb, double gamma) {
    enum { STEPS = 10 };
    char text[NUMBER_ROOM];
    quadratic q = problem_a();
    double x[2] = { 1, -2 }, m[2] = { 0 }, h[2] = { 0 };
    int clipped = 0, inside = 0;
    number_write(gamma, text);
    quadratic_begin(&q, "sophia",
                    (const char *const[]){ "lr", "0.05", "gamma", text, "weight_decay", "0.2", "every", "3", "betas", "0.9,0.5",
                                           "estimator", gnb ? "gnb" : "hutchinson", NULL });
    pitot_optim_plan(q.optim, 0, 7);
    for (int t = 1; t <= STEPS; t++) {
        double g[2], u[2], hu[2];
        product_a(x, g);
        normal("sophia", t, u);
        product_a(u, hu);
        for (int i = 0; i < 2; i++) {
            q.drawn[i] = (pitot_real)(0.5 * i + 0.25 * t);
            double estimate = gnb ? 4 * (double)q.drawn[i] * (double)q.drawn[i] : u[i] * hu[i];
            m[i] = 0.9 * m[i] + 0.1 * g[i];
            if (t % 3 == 1) h[i] = 0.5 * h[i] + 0.5 * estimate;
            double ratio = m[i] / fmax(gamma * h[i], 1e-12);
            clipped += fabs(ratio) > 1;
            inside += fabs(ratio) < 1;
            x[i] = (1 - 0.05 * 0.2) * x[i] - 0.05 * fmax(-1, fmin(1, ratio));
        }
        assert_int_equal(quadratic_step(&q), PITOT_OK);
        for (int i = 0; i < 2; i++) must_be((double)q.x[i], x[i], 4 * tolerance, gnb ? "Sophia-G" : "Sophia-H", t);
    }
    assert_true(clipped > 0 && inside > 0);
    assert_int_equal(q.products, gnb ? 0 : 4);
    quadratic_end(&q);
}

static void test_sophia(void **state) {
    (void)state;
    check_sophia(1, 0.1);
    check_sophia(0, 0.25);
}

/* On a diagonal Hessian |z H z| is the diagonal whatever the signs: v = h^2, steps of Adam with h. Refreshed every other step; a power. */
static void test_adahessian(void **state) {
    (void)state;
    quadratic q = { .n = 3, .h = { 4, 0, 0, 0, -2, 0, 0, 0, 0.5 }, .x = { 1, -2, 3 } };
    double x[3] = { 1, -2, 3 }, m[3] = { 0 };
    const double h[3] = { 4, -2, 0.5 };
    quadratic_begin(&q, "adahessian",
                    (const char *const[]){ "lr", "0.1", "hessian_power", "0.5", "every", "2", "eps", "0.25", NULL });
    for (int t = 1; t <= 6; t++) {
        for (int i = 0; i < 3; i++) {
            m[i] = 0.9 * m[i] + 0.1 * h[i] * x[i];
            x[i] -= 0.1 * m[i] / (1 - pow(0.9, t)) / (sqrt(fabs(h[i])) + 0.25);
        }
        assert_int_equal(quadratic_step(&q), PITOT_OK);
        assert_int_equal(q.products, (t + 1) / 2);
        for (int i = 0; i < 3; i++) must_be((double)q.x[i], x[i], 4 * tolerance, "AdaHessian", t);
    }
    quadratic_end(&q);
}

static int32_t ramp(void *user, const pitot_real *v, pitot_real *out) {
    (void)user;
    for (int i = 0; i < 12; i++) out[i] = v[i] * (pitot_real)(i % 2 ? -i - 1 : i + 1); /* |Hv| 1, 2, ... 12 */
    return PITOT_OK;
}

/* A kernel's values share the mean of magnitudes; without a kernel each has its own. */
static void test_kernels(void **state) {
    (void)state;
    for (int kernel = 0; kernel < 2; kernel++) {
        pitot_real x[12] = { 0 }, g[12];
        const pitot_real *at = g;
        pitot_optim_tensor tensor = { "w", 12, x, &at, { 3, 1, 2, 2 } };
        pitot_preconditioner v;
        if (!kernel) memcpy(tensor.shape, (int64_t[PITOT_DIMS]){ 3, 4 }, sizeof tensor.shape);
        for (int i = 0; i < 12; i++) g[i] = 1;
        pitot_optim *o = pitot_optim_new("adahessian", NULL);
        pitot_optim_source source = { .struct_size = sizeof source, .hvp = ramp };
        pitot_optim_offer(o, &source);
        assert_int_equal(pitot_optim_prepare(o, &tensor, 1, 1, NULL), PITOT_OK);
        assert_int_equal(pitot_optim_step(o), PITOT_OK);
        assert_int_equal(pitot_optim_view(o, 0, 0, &v), PITOT_OK);
        for (int i = 0; i < 12; i++) {
            double d = kernel ? 4.0 * (double)(i / 4) + 2.5 : i + 1;
            must_be((double)v.factor[i] * v.bias_correction, d * d, 200 * tolerance, "D^2", i);
            must_be((double)x[i], -0.15 / (d + 1e-4), tolerance, "a kernel's step", i);
        }
        pitot_optim_free(o);
    }
}

/* A product that is not finite ends the step before anything moved. */
static void test_odd_products(void **state) {
    (void)state;
    static const char *const names[] = { "adahessian", "sophia" };
    for (int k = 0; k < 2; k++) {
        quadratic odd = problem_a(), plain = problem_a();
        const char *set[] = { "lr", "0.1", k ? "estimator" : NULL, "hutchinson", k ? "every" : NULL, "1", NULL };
        quadratic_begin(&odd, names[k], set);
        quadratic_begin(&plain, names[k], set);
        for (int t = 1; t <= 4; t++) {
            pitot_real before[2] = { odd.x[0], odd.x[1] };
            odd.h[0] = t == 2 ? NAN : 3;
            if (t == 2) {
                quadratic_gradient(&odd);
                odd.g[0] = odd.g[1] = 1;
                assert_int_equal(pitot_optim_step(odd.optim), PITOT_EHOST);
                assert_memory_equal(odd.x, before, sizeof before);
                continue;
            }
            assert_int_equal(quadratic_step(&odd), PITOT_OK);
            assert_int_equal(quadratic_step(&plain), PITOT_OK);
            assert_memory_equal(odd.x, plain.x, 2 * sizeof *odd.x);
        }
        quadratic_end(&odd);
        quadratic_end(&plain);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_traces),  cmocka_unit_test(test_sophia),       cmocka_unit_test(test_adahessian),
        cmocka_unit_test(test_kernels), cmocka_unit_test(test_odd_products),
    };
    return cmocka_run_group_tests(tests, read_golden, free_golden);
}
