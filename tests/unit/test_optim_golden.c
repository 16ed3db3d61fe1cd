/* Methods against what their references really produced, one file a method (method_cases.h). The problems, all of which offer everything that a
   method may want:

       A    (3x0^2 + x1^2)/2 + x0 x1 from (1,-2), one tensor of shape (2); A2: (1,2)
       B    sum C W^2/2 + 0.05 (sum W)^2, one tensor of shape (2,3)
       mlp  the net of optimizers_curvature.json: 4 -> 5 tanh -> 3, cross-entropy, six samples, the same in every step

   The loss of A and B is f itself, of a batch of 4 samples that are alike; the data set is the batch. */

#include "method_cases.h"
#include "mlp.h"

#ifdef PITOT_DOUBLE
static const double tolerance = 1e-11;
#else
static const double tolerance = 1e-5; /* ten steps of floats, values of order 1 */
#endif

GOLDEN_FILE("tests/golden/optimizers_curvature.json"); /* has the net */

static const char *text_of(const cJSON *trace, const char *field) {
    const cJSON *item = cJSON_GetObjectItem(trace, field);
    if (!item || !cJSON_IsString(item) || !item->valuestring[0]) fail_msg("a trace without %s", field);
    return item->valuestring;
}

static double tolerance_of(const cJSON *trace) {
    const cJSON *item = cJSON_GetObjectItem(trace, "tolerance");
    return item && item->valuedouble > tolerance ? item->valuedouble : tolerance;
}

static void check_point(const cJSON *trace, int step, const cJSON *want, const double *x, int64_t n) {
    assert_int_equal(cJSON_GetArraySize(want), n);
    for (int64_t i = 0; i < n; i++) {
        double expected = cJSON_GetArrayItem(want, (int)i)->valuedouble;
        if (!(fabs(x[i] - expected) <= tolerance_of(trace)))
            fail_msg("%s, step %d, value %d: %.17g, the reference has %.17g", text_of(trace, "name"), step, (int)i, x[i], expected);
    }
}

/* ---- quadratics ---- */

static quadratic problem_b(void) {
    static const double c[] = { 3, 1, 2, 0.5, 1.5, 1 }, x[] = { 1, -2, 0.5, 0.3, 0.7, -1.1 };
    quadratic q = { .n = 6 };
    for (int i = 0; i < 6; i++) {
        q.x[i] = (pitot_real)x[i];
        for (int j = 0; j < 6; j++) q.h[i * 6 + j] = 0.1 + (i == j ? c[i] : 0);
    }
    return q;
}

static int32_t data_gradient(void *user, double *loss) {
    return source_gradient(user, loss);
}

static int32_t diagonal(void *user, int32_t kind, int64_t draws, uint64_t seed, pitot_real *out) {
    const quadratic *q = user;
    (void)kind, (void)draws, (void)seed;
    for (int64_t i = 0; out && i < q->n; i++) out[i] = (pitot_real)q->h[i * (q->n + 1)];
    return PITOT_OK;
}

static void begin_quadratic(quadratic *q, const char *problem, const char *optimizer, const cJSON *trace) {
    set_list options;
    pitot_error error = { 0 };
    pitot_optim_source source;
    pitot_optim_tensor tensor = { "w", q->n, q->x, &q->at, { 0 } };
    if (problem[0] == 'B') tensor.shape[0] = 2, tensor.shape[1] = 3;
    if (problem[1]) tensor.shape[0] = 1, tensor.shape[1] = 2;
    golden_options(trace, &options);
    quadratic_source(q, &source);
    source.data = data_gradient;
    source.diagonal = diagonal;
    q->optim = pitot_optim_new(optimizer, &error);
    if (!q->optim) fail_msg("%s", error.text);
    for (const char *const *set = options.set; *set; set += 2)
        if (pitot_optim_set(q->optim, set[0], set[1], &error)) fail_msg("%s: %s", text_of(trace, "name"), error.text);
    pitot_optim_plan_data(q->optim, 4);
    assert_int_equal(pitot_optim_offer(q->optim, &source), PITOT_OK);
    if (pitot_optim_prepare(q->optim, &tensor, 1, 1, &error)) fail_msg("%s: %s", text_of(trace, "name"), error.text);
}

static int check_quadratic(const char *problem, const char *optimizer, const cJSON *trace) {
    quadratic q = problem[0] == 'A' ? problem_a() : problem_b();
    int step = 0;
    begin_quadratic(&q, problem, optimizer, trace);
    for (const cJSON *want = cJSON_GetObjectItem(trace, "iterates")->child; want; want = want->next) {
        double x[MOST];
        if (quadratic_step(&q)) fail_msg("%s: step %d", text_of(trace, "name"), step + 1);
        for (int64_t i = 0; i < q.n; i++) x[i] = (double)q.x[i];
        check_point(trace, ++step, want, x, q.n);
    }
    quadratic_end(&q);
    return step;
}

/* ---- the net ---- */

static int check_net(const char *optimizer, const cJSON *trace) {
    mlp m;
    set_list options;
    int step = 0;
    golden_options(trace, &options);
    mlp_begin(&m, golden, optimizer, options.set, 0);
    for (const cJSON *want = cJSON_GetObjectItem(trace, "iterates")->child; want; want = want->next) {
        double x[MLP_D];
        if (mlp_step(&m)) fail_msg("%s: step %d", text_of(trace, "name"), step + 1);
        mlp_values(&m, 0, x);
        check_point(trace, ++step, want, x, MLP_D);
    }
    mlp_end(&m);
    return step;
}

static void check_trace(const char *optimizer, const cJSON *trace, void *user) {
    const char *problem = text_of(trace, "problem");
    text_of(trace, "reference");
    int steps = strcmp(problem, "mlp") ? check_quadratic(problem, optimizer, trace) : check_net(optimizer, trace);
    if (steps < 3) fail_msg("%s: only %d steps", text_of(trace, "name"), steps);
    ++*(int *)user;
}

static void test_traces(void **state) {
    int n = 0;
    (void)state;
    method_cases("traces", check_trace, &n);
    assert_true(n > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_traces) };
    return cmocka_run_group_tests(tests, read_golden, free_golden);
}
