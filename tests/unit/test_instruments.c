/* What the sweep and the Hessian give first of all: noise scale, GSNR, lengths, moments, extreme eigenvalues (situation.h). */

#include "situation.h"

/* ---- the probes ---- */

static void check_noise(const situation *s) {
    check_noise_scale(s->run, &s->t);
    assert_int_equal(check_readings(s->run, &s->t).intervals, 1);
}

static void check_mean_gsnr(const situation *s) {
    check_gsnr(s->run, &s->t, s->step);
}

static void check_sample_grad_l2(const situation *s) {
    assert_int_equal(check_readings(s->run, &s->t).lists, 1);
}

static void check_sum_grad_squared(const situation *s) {
    assert_int_equal(check_readings(s->run, &s->t).sums, s->t.n_tensors);
}

static void check_grad_variance(const situation *s) {
    assert_int_equal(check_readings(s->run, &s->t).variances, s->t.n_tensors);
}

/* The eigenvector that the probe has kept: |H u - value u| in doubles. */
static double true_residual(const situation *s, int32_t which, double value) {
    double u[MOST_D], length = 0, all = 0;
    const slot *p = NULL;
    int64_t at = 0;
    for (int32_t i = 0; i < s->run->n_slots; i++)
        if (strcmp(s->run->slot[i].probe->name, "hess_max_ev") == 0) p = &s->run->slot[i];
    for (int64_t k = 0; k < s->n_params; k++)
        for (int64_t j = 0, size = pitot_net_params(s->net)[k].size; j < size; j++)
            u[at++] = (double)p->tensor_state[s->attached.first - 1 + k][which * size + j];
    assert_int_equal(at, s->size);
    for (int64_t i = 0; i < s->size; i++) {
        double sum = -value * u[i];
        for (int64_t j = 0; j < s->size; j++) sum += s->hessian[i * s->size + j] * u[j];
        all += sum * sum;
        length += u[i] * u[i];
    }
    assert_close(length, 1, 64 * close_by, 1, "length of the eigenvector");
    return sqrt(all);
}

static void check_hess_max_ev(const situation *s) {
    static const char *const names[2][2] = { { "hess_max_ev", "hess_max_ev.residual" },
                                             { "hess_max_ev.min", "hess_max_ev.min_residual" } };
    double largest = fmax(fabs(s->values[0]), fabs(s->values[s->size - 1])),
           noise = 16 * close_by * largest * sqrt((double)s->size);
    for (int end = 0; end < 2; end++) {
        double value = value_of(s->run, names[end][0]), residual = value_of(s->run, names[end][1]);
        double exact = s->values[end ? 0 : s->size - 1], is = true_residual(s, end, value);
        if (!(residual >= 0.5 * is - noise)) fail_msg("%s: residual %g, but it is %g", names[end][0], residual, is);
        /* one product stands for both pairs, so that each may be given the round-off of the other */
        if (!(residual <= 2 * is + 4 * noise)) fail_msg("%s: residual %g, it is only %g", names[end][0], residual, is);
        assert_true(residual <= 0.01 * largest * (1 + 1e-6));
        assert_close(value, exact, 1, residual + noise, names[end][0]);
        assert_true(end ? value >= exact - noise : value <= exact + noise); /* of all vectors, none goes beyond */
    }
    assert_true(value_of(s->run, "hess_max_ev.products") >= 3);
    double error;
    assert_int_equal(pitot_value(s->run, "hess_max_ev.product_error", &error, NULL), PITOT_ENOTSUP); /* products are exact */
}

static const reference references[] = {
    { "grad_variance", check_grad_variance, 0 },   { "hess_max_ev", check_hess_max_ev, 0 },
    { "mean_gsnr", check_mean_gsnr, 0 },           { "noise_scale", check_noise, 0 },
    { "sample_grad_l2", check_sample_grad_l2, 0 }, { "sum_grad_squared", check_sum_grad_squared, 0 },
};

static void test_instruments(void **state) {
    (void)state;
    run_family("instruments", references, sizeof references / sizeof *references, NULL);
}

/* Every probe that needs more than a host of level 0 has a family that looks at it. */
static void test_families(void **state) {
    (void)state;
    for (const pitot_probe *const *p = pitot_probes(); *p; p++)
        if (!is_mine(*p) && is_beyond(*p) && !family_of((*p)->name)) fail_msg("probe %s has no reference case", (*p)->name);
}

/* More than one layer deep in options: a tolerance that is asked for is kept. */
static void test_tolerance(void **state) {
    (void)state;
    static situation s;
    uint64_t seed = 8;
    open_case(&s, &cases[0]);
    pitot_close(s.run, PITOT_DONE);
    s.run = must_open(NULL, &(pitot_config){ sizeof(pitot_config), .probes = "hess_max_ev",
                                             .options = sizeof(pitot_real) == 8 ? "hess_max_ev.tolerance=1e-8"
                                                                                : "hess_max_ev.tolerance=1e-4" });
    assert_int_equal(pitot_attach(&s.attached, s.net, s.run), PITOT_OK);
    draw_batch(&s, &seed);
    double loss, largest;
    pitot_net_batch b = batch_of(&s, 0, s.c->n);
    assert_int_equal(pitot_begin(s.run, 0) & (PITOT_DUE_CALLBACKS | PITOT_DUE_CAPTURES), PITOT_DUE_CALLBACKS);
    pitot_net_forward(s.net, &b, &loss);
    pitot_attached_forward(&s.attached, &b, loss);
    pitot_net_backward(s.net);
    pitot_attached_backward(&s.attached);
    make_hessian(&s);
    pitot_after_update(s.run, 1);
    check_hess_max_ev(&s);
    largest = fmax(fabs(s.values[0]), s.values[s.size - 1]);
    assert_true(value_of(s.run, "hess_max_ev.residual") <= (sizeof(pitot_real) == 8 ? 1e-8 : 1e-4) * largest * 1.001);
    close_case(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_instruments), cmocka_unit_test(test_families),
                                        cmocka_unit_test(test_tolerance) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
