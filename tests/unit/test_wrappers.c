/* Wrappers against what the named references really produced (tests/golden/wrappers.json) and against loops written out.

   reference cases: sam, average, accumulate, clip_norm, clip_value, cosine, restarts, warmup, linear, step, constant */

#include "quadratics.h"

#ifdef PITOT_DOUBLE
static const double tolerance = 1e-14;
#else
static const double tolerance = 1e-6; /* five steps at values of 2, each rounded to 1.2e-7 of them */
#endif

GOLDEN_FILE("tests/golden/wrappers.json");

static const char *text_of(const cJSON *entry, const char *field) {
    return cJSON_GetObjectItem(entry, field)->valuestring;
}

static void must_be(double value, double want, const char *name, int step) {
    if (!(fabs(value - want) <= tolerance)) fail_msg("%s, step %d: %.17g, not %.17g", name, step, value, want);
}

/* ---- learning rates ---- */

/* The rate before each step is what `next_lr` says and after it what `lr` says; the parameter moves by it. */
static void check_rates(const char *name, const char *wrapper, const char *const *set, double base, const double *want, int n,
                        int64_t plan) {
    char full[64], number[NUMBER_ROOM];
    pitot_real x = 0, g = -1;
    const pitot_real *at = &g;
    pitot_optim_tensor tensor = { "w", 1, &x, &at, { 0 } };
    snprintf(full, sizeof full, "sgd+%s", wrapper);
    number_write(base, number);
    pitot_optim *o = pitot_optim_new(full, NULL);
    assert_int_equal(pitot_optim_set(o, "lr", number, NULL), PITOT_OK);
    for (; set && *set; set += 2) assert_int_equal(pitot_optim_set(o, set[0], set[1], NULL), PITOT_OK);
    pitot_optim_plan(o, plan, 1);
    assert_int_equal(pitot_optim_prepare(o, &tensor, 1, 1, NULL), PITOT_OK);
    for (int i = 0; i < n; i++) {
        if (!(fabs(pitot_optim_next_lr(o) - want[i]) <= 1e-15 * base))
            fail_msg("%s, step %d: lr %.17g, not %.17g", name, i + 1, pitot_optim_next_lr(o), want[i]);
        x = 0;
        assert_int_equal(pitot_optim_step(o), PITOT_OK);
        assert_true(fabs(pitot_optim_lr(o) - want[i]) <= 1e-15 * base);
        must_be((double)x, want[i], name, i + 1);
    }
    pitot_optim_free(o);
}

static void test_schedules(void **state) {
    (void)state;
    for (const cJSON *s = cJSON_GetObjectItem(golden, "schedules")->child; s; s = s->next) {
        double want[16];
        set_list options;
        int n = 0;
        for (const cJSON *v = cJSON_GetObjectItem(s, "lr")->child; v; v = v->next) want[n++] = v->valuedouble;
        golden_options(s, &options);
        check_rates(text_of(s, "name"), text_of(s, "wrapper"), options.set, cJSON_GetObjectItem(s, "base_lr")->valuedouble, want, n,
                    0);
    }
}

/* StepLR and ConstantLR by their definition; ends of schedules that follow the training; constant after the end. */
static void test_more_schedules(void **state) {
    (void)state;
    const double third = 0.3333333333333333;
    check_rates("StepLR", "step", (const char *const[]){ "step.size", "2", "step.gamma", "0.5", NULL }, 1,
                (double[]){ 1, 1, 0.5, 0.5, 0.25, 0.25, 0.125 }, 7, 0);
    check_rates("a third each", "step", NULL, 1, (double[]){ 1, 1, 1, 0.1, 0.1, 0.1, 0.010000000000000002 }, 7, 7);
    check_rates("no end known", "step", NULL, 1, (double[]){ 1, 1, 1 }, 3, 0);
    check_rates("ConstantLR", "constant", NULL, 1, (double[]){ third, third, third, third, third, 1, 1 }, 7, 0);
    check_rates("to a share", "linear", (const char *const[]){ "linear.last", "0.5", NULL }, 1,
                (double[]){ 1, 0.875, 0.75, 0.625, 0.5, 0.5, 0.5 }, 7, 4);
    check_rates("no end known", "linear", NULL, 1, (double[]){ 1, 1, 1 }, 3, 0);
    check_rates("after the end", "cosine", (const char *const[]){ "cosine.last", "0.5", NULL }, 1,
                (double[]){ 1, 0.75, 0.5, 0.5, 0.5 }, 5, 2);
    check_rates("every two", "restarts", (const char *const[]){ "restarts.T0", "2", "restarts.last", "0.5", NULL }, 1,
                (double[]){ 1, 0.75, 1, 0.75, 1, 0.75 }, 6, 0);
    check_rates("times three", "restarts", (const char *const[]){ "restarts.T0", "1", "restarts.mult", "3", NULL }, 1,
                (double[]){ 1, 1, 0.75, 0.25, 1 }, 5, 0);
    check_rates("up and down", "warmup+linear", (const char *const[]){ "warmup.steps", "2", "warmup.first", "0", NULL }, 1,
                (double[]){ 0, 0.375, 0.5, 0.25, 0 }, 5, 4);
}

/* ---- iterates ---- */

static void test_traces(void **state) {
    (void)state;
    for (const cJSON *t = cJSON_GetObjectItem(golden, "traces")->child; t; t = t->next) {
        quadratic q = problem_a();
        set_list options;
        int step = 0;
        golden_options(t, &options);
        quadratic_begin(&q, text_of(t, "optimizer"), options.set);
        for (const cJSON *want = cJSON_GetObjectItem(t, "iterates")->child; want; want = want->next) {
            assert_int_equal(quadratic_step(&q), PITOT_OK);
            for (int i = 0; i < 2; i++)
                must_be((double)q.x[i], cJSON_GetArrayItem(want, i)->valuedouble, text_of(t, "name"), step + 1);
            step++;
        }
        assert_int_equal(step, 5);
        quadratic_end(&q);
    }
}

/* ---- SAM ---- */

static void gradient_a(const double x[2], double g[2]) {
    g[0] = 3 * x[0] + x[1];
    g[1] = x[0] + x[1];
}

/* Clipped, adaptive, with momentum, along half a cosine: written out. */
static void test_composed(void **state) {
    (void)state;
    enum { STEPS = 6 };
    quadratic q = problem_a();
    double x[2] = { 1, -2 }, buffer[2] = { 0 };
    quadratic_begin(&q, "sgd+clip_norm+sam+cosine",
                    (const char *const[]){ "lr", "0.1", "momentum", "0.9", "sam.rho", "0.5", "sam.adaptive", "true", "sam.eta",
                                           "0.25", "clip_norm.max", "0.7", "cosine.steps", "6", NULL });
    for (int t = 1; t <= STEPS; t++) {
        double g[2], tg[2], there[2], square = 0, lr = 0.1 * (1 + cos(M_PI * (t - 1) / STEPS)) / 2;
        gradient_a(x, g);
        for (int i = 0; i < 2; i++) {
            tg[i] = (fabs(x[i]) + 0.25) * g[i];
            square += tg[i] * tg[i];
        }
        for (int i = 0; i < 2; i++) there[i] = x[i] + 0.5 * (fabs(x[i]) + 0.25) * tg[i] / (sqrt(square) + 1e-12);
        gradient_a(there, g);
        double clip = fmin(1, 0.7 / (hypot(g[0], g[1]) + 1e-6));
        for (int i = 0; i < 2; i++) {
            buffer[i] = (t > 1 ? 0.9 * buffer[i] : 0) + clip * g[i];
            x[i] -= lr * buffer[i];
        }
        assert_int_equal(quadratic_step(&q), PITOT_OK);
        for (int i = 0; i < 2; i++) must_be((double)q.x[i], x[i], "composed", t);
        assert_int_equal(q.gradients, t);
    }
    quadratic_end(&q);
}

/* Two tensors, one without a gradient; a gradient that fails; a rate of 0: the parameters are the same bits. */
static void test_sam_restores(void **state) {
    (void)state;
    quadratic q = problem_a();
    q.x[0] = (pitot_real)0.1;
    quadratic_begin(&q, "sgd+sam", (const char *const[]){ "lr", "0", "sam.rho", "0.3", NULL });
    pitot_real before[2] = { q.x[0], q.x[1] };
    assert_int_equal(quadratic_step(&q), PITOT_OK);
    assert_memory_equal(q.x, before, sizeof before);
    q.fail_at = q.gradients + 1;
    assert_int_equal(quadratic_step(&q), PITOT_EHOST);
    assert_memory_equal(q.x, before, sizeof before);
    assert_true(pitot_optim_steps(q.optim) == 1);
    quadratic_gradient(&q);
    pitot_real g[2] = { q.g[0], q.g[1] };
    assert_int_equal(pitot_optim_step(q.optim), PITOT_OK);
    assert_memory_equal(q.g, g, sizeof g);
    quadratic_end(&q);
}

/* ---- accumulation ---- */

/* Three gradients, then one step with their mean: the iterates of plain descent on the means; tensor b has a gradient in the second alone. */
static void test_accumulate(void **state) {
    (void)state;
    pitot_real a[2] = { 1, 2 }, b[1] = { 3 }, ga[2], gb[1] = { 6 };
    const pitot_real *at[2] = { ga, NULL };
    pitot_optim_tensor tensors[2] = { { "a", 2, a, &at[0], { 0 } }, { "b", 1, b, &at[1], { 0 } } };
    pitot_optim *o = pitot_optim_new("sgd+accumulate", NULL);
    double want[2] = { 1, 2 }, mean[2] = { 0 }, buffer[2] = { 0 };
    pitot_optim_set(o, "lr", "0.5", NULL);
    pitot_optim_set(o, "momentum", "0.9", NULL);
    pitot_optim_set(o, "accumulate.every", "3", NULL);
    assert_int_equal(pitot_optim_prepare(o, tensors, 2, 1, NULL), PITOT_OK);
    for (int t = 1; t <= 9; t++) {
        at[1] = t == 2 ? gb : NULL;
        for (int i = 0; i < 2; i++) {
            ga[i] = (pitot_real)(t * 0.25 - i);
            mean[i] += (double)ga[i] / 3;
        }
        for (int i = 0; i < 2 && t % 3 == 0; i++) {
            buffer[i] = (t > 3 ? 0.9 * buffer[i] : 0) + mean[i];
            want[i] -= 0.5 * buffer[i];
            mean[i] = 0;
        }
        assert_int_equal(pitot_optim_step(o), PITOT_OK);
        for (int i = 0; i < 2; i++) must_be((double)a[i], want[i], "accumulate", t);
        must_be((double)b[0], t < 3 ? 3 : 2, "accumulate, second tensor", t);
    }
    pitot_optim_free(o);
}

/* ---- averages ---- */

static void check_average(const char *kind, int start, int every) {
    char from[16], step[16];
    pitot_real x = 1, g = 1;
    const pitot_real *at = &g;
    pitot_optim_tensor tensor = { "w", 1, &x, &at, { 0 } };
    pitot_optim *o = pitot_optim_new("sgd+average", NULL);
    double want = 1, average = 0, sum = 0;
    int count = 0;
    snprintf(from, sizeof from, "%d", start);
    snprintf(step, sizeof step, "%d", every);
    pitot_optim_set(o, "lr", "0.125", NULL);
    pitot_optim_set(o, "average.kind", kind, NULL);
    pitot_optim_set(o, "average.decay", "0.75", NULL);
    pitot_optim_set(o, "average.start", from, NULL);
    pitot_optim_set(o, "average.every", step, NULL);
    assert_int_equal(pitot_optim_prepare(o, &tensor, 1, 1, NULL), PITOT_OK);
    for (int t = 1; t <= 7; t++) {
        g = (pitot_real)(t * t % 5) - 1;
        want -= 0.125 * (double)g;
        if (t >= start && (t - start) % every == 0) {
            sum += want;
            average = kind[0] == 's' ? sum / (count + 1) : count ? 0.75 * average + 0.25 * want : want;
            count++;
        }
        assert_int_equal(pitot_optim_step(o), PITOT_OK);
        must_be((double)x, want, kind, t);
        pitot_optim_evaluate(o, 1);
        must_be((double)x, t < start ? want : average, kind, t);
        assert_int_equal(pitot_optim_step(o), PITOT_EORDER);
        pitot_optim_evaluate(o, 0);
        must_be((double)x, want, kind, t);
    }
    pitot_optim_free(o);
}

static void test_average(void **state) {
    (void)state;
    check_average("ema", 1, 1);
    check_average("ema", 3, 2);
    check_average("swa", 1, 1);
    check_average("swa", 2, 2);
    check_average("swa", 9, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schedules), cmocka_unit_test(test_more_schedules), cmocka_unit_test(test_traces),
        cmocka_unit_test(test_composed),  cmocka_unit_test(test_sam_restores),   cmocka_unit_test(test_accumulate),
        cmocka_unit_test(test_average),
    };
    return cmocka_run_group_tests(tests, read_golden, free_golden);
}
