/* Callbacks after the update (PITOT_LATE): `hvp` sees the parameters of the step, `forward` those that the update left, and everything
   stands where the update left it when the hook returns, whatever the memory looks like and whatever callbacks do. */

#include "smooth.h"

static const char three[] = "directional_sharpness, critical_step, reduction_ratio";

static const double by = sizeof(pitot_real) == 8 ? 1e-9 : 2e-4;

static void late_start(host *h) {
    host_start(h);
    h->late = 1;
    h->offers = 1u << CALL_HVP | 1u << CALL_FORWARD;
}

/* ---- the values, against the dense Hessian at the step's parameters ---- */

static void check_values(const host *h) {
    static double dense[D_ALL * D_ALL];
    double g[D_ALL], s[D_ALL], slope = 0, bend = 0, square = 0;
    dense_hessian(&h->p, h->home, 0, h->n, dense);
    double before = model(&h->p, h->home, 0, h->n, NULL, g), after = model(&h->p, h->next, 0, h->n, NULL, NULL);
    for (int t = 0, i = 0; t < TENSORS; t++)
        for (int k = 0; k < size_of[t]; k++, i++) s[i] = in_d(h, t) ? h->next[i] - h->home[i] : 0;
    for (int i = 0; i < D_ALL; i++) {
        slope += g[i] * s[i];
        square += s[i] * s[i];
        for (int j = 0; j < D_ALL; j++) bend += s[i] * dense[i * D_ALL + j] * s[j];
    }
    double off = by * 4 * square, model_change = slope + bend / 2; /* |H| is no more than about 4 */
    if (!(fabs(value_of(h->run, "directional_sharpness") - bend / square) <= 4 * by))
        fail_msg("directional sharpness %.12g, not %.12g", value_of(h->run, "directional_sharpness"), bend / square);
    if (bend > 100 * off &&
        !(fabs(value_of(h->run, "critical_step") + 2 * slope / bend) <= (off / bend + 10 * by) * fabs(2 * slope / bend)))
        fail_msg("critical step %.12g, not %.12g", value_of(h->run, "critical_step"), -2 * slope / bend);
    double ratio = (after - before) / model_change;
    if (!(fabs(value_of(h->run, "reduction_ratio") - ratio) <= 20 * by * fabs(ratio)))
        fail_msg("reduction ratio %.12g, not %.12g", value_of(h->run, "reduction_ratio"), ratio);
}

static void set_up_host(host *h, int i) {
    late_start(h);
    switch (i) {
    case 1: h->strided = 1; break;
    case 2: h->stacked = 1, h->strided = 1; break;
    case 3: h->by_address = 1, h->moving = 1; break;
    case 4: h->carried = 1; break;
    case 5: h->frozen = 1 | 8; break;
    case 6: h->dtype = h->grad_dtype = PITOT_F64; break;
    case 7: h->dtype = h->grad_dtype = PITOT_F32; break;
    case 8: h->p.reduction = PITOT_SUM, h->p.kind = PITOT_HALF_SQUARED_ERROR, h->n = 2; break;
    case 9: h->p.reduction = PITOT_MEAN_TERMS, h->p.weighted = 1, h->p.t = 2; break; /* some terms are masked */
    case 10: h->loss_scale = 8, h->grad_scale = -1; break;
    case 11: h->n = 1; break;
    case 12: h->captures = 1; break;
    default: break;
    }
}
enum { HOSTS = 13 };

static void test_values(void **state) {
    (void)state;
    static host h;
    for (int i = 0; i < HOSTS; i++) {
        char probes[200];
        set_up_host(&h, i);
        /* others that call `hvp` before the update, or none */
        snprintf(probes, sizeof probes, i % 2 ? "%s, loss" : "hess_max_ev, batch_sharpness, distance, %s", three);
        host_open(&h, NULL, probes, NULL);
        pitot_add_guard(h.run, "running statistics", h.guarded, sizeof h.guarded);
        for (int64_t step = 0; step < 4; step++) {
            uint32_t due = host_step(&h, step); /* which looks whether everything is where it was */
            assert_true(due & PITOT_DUE_LATE && due & PITOT_DUE_UPDATE);
            assert_int_equal(step_of(h.run, "directional_sharpness"), step);
            assert_int_equal(h.calls[CALL_FORWARD], 1); /* one product and one forward pass for all three */
            if (i % 2) assert_int_equal(h.calls[CALL_HVP], 1);
            assert_int_equal(h.away, 0);
            check_values(&h);
            assert_string_equal(pitot_last_error(h.run), "");
        }
        if (i != 3) assert_as_alone(&h, 4); /* 3: gradients lie elsewhere each time */
        pitot_close(h.run, PITOT_DONE);
    }
}

/* Clipped or cleared after the backward pass, before the update: g is that of the backward pass. */
static void test_cleared_gradient(void **state) {
    (void)state;
    static host h;
    int came_back;
    late_start(&h);
    host_open(&h, NULL, three, NULL);
    for (int64_t step = 0; step < 3; step++) {
        host_half(&h, step, &came_back);
        host_update(&h);
        scale_gradients(&h, 0);
        pitot_after_update(h.run, 0.05);
        check_values(&h);
    }
    pitot_close(h.run, PITOT_DONE);
}

/* ---- what is missing ---- */

static void must_lack(const host *h, const char *probe, const char *what) {
    if (state_of(h->run, probe) != PITOT_STATE_LEVEL || !strstr(why_of(h->run, probe), what))
        fail_msg("%s: state %d, \"%s\", not \"%s\"", probe, state_of(h->run, probe), why_of(h->run, probe), what);
    assert_int_equal(step_of(h->run, probe), -1);
}

static void test_not_offered(void **state) {
    (void)state;
    static host h;
    static const char *const names[] = { "directional_sharpness", "critical_step", "reduction_ratio" };
    for (int i = 0; i < 4; i++) {
        late_start(&h);
        if (i == 0) h.late = 0;
        if (i == 1) h.offers = 1u << CALL_HVP;
        if (i == 2) h.offers = 1u << CALL_FORWARD | 1u << CALL_GRAD; /* differences will not do */
        if (i == 3) h.micro = 2;
        host_open(&h, NULL, three, NULL);
        uint32_t due = host_step(&h, 0);
        if (i < 3) assert_int_equal(due, 0);
        for (int k = 0; k < 3; k++)
            must_lack(&h, names[k], i == 3 ? "in one piece" : i == 0 ? "PITOT_LATE" : "callbacks `hvp`, `forward`");
        assert_int_equal(h.calls[CALL_HVP] + h.calls[CALL_FORWARD] + h.calls[CALL_GRAD], 0);
        pitot_close(h.run, PITOT_DONE);
    }
}

/* 16 bits are too few to be moved back to within rounding. */
static void test_half_precision(void **state) {
    (void)state;
    static host h;
    uint16_t data[2] = { 0x3c00, 0x3c00 }, grad[2] = { 0 };
    late_start(&h);
    host_open(&h, NULL, three, NULL);
    pitot_param p = { .struct_size = sizeof p, .name = "half", .data = data, .grad = grad, .shape = { 2 }, .dtype = PITOT_F16 };
    assert_true(pitot_add_param(h.run, &p) > 0);
    host_step(&h, 0);
    must_lack(&h, "directional_sharpness", "16 bits");
    assert_int_equal(data[0], 0x3c00);
    pitot_close(h.run, PITOT_DONE);
}

/* A tensor that is gone when the update has been made: no value, and nothing is touched. */
static void test_gone(void **state) {
    (void)state;
    static host h;
    int came_back;
    late_start(&h);
    host_open(&h, NULL, three, NULL);
    host_half(&h, 0, &came_back);
    host_update(&h);
    pitot_bind_param(h.run, h.id[1], NULL, NULL);
    pitot_after_update(h.run, 0.05);
    assert_int_equal(state_of(h.run, "directional_sharpness"), PITOT_STATE_UNDEFINED);
    assert_int_equal(h.calls[CALL_HVP] + h.calls[CALL_FORWARD], 0);
    pitot_bind_param(h.run, h.id[1], h.data[1], h.grad[0][1]);
    host_step(&h, 1);
    check_values(&h);
    pitot_close(h.run, PITOT_DONE);
}

/* ---- broken promises ---- */

typedef struct broken {
    enum bad bad;
    int callback;
    const char *says;
} broken;

static const broken cases[] = {
    { CHANGES_GUARD, CALL_HVP, "changed running statistics" },
    { CHANGES_GUARD, CALL_FORWARD, "changed running statistics" },
    { CHANGES_FROZEN, CALL_HVP, "changed w1" },
    { CHANGES_FROZEN, CALL_FORWARD, "changed w1" },
    { CHANGES_PARAMETER, CALL_FORWARD, "changed w2" },
    { SAYS_STATUS, CALL_HVP, "failed (status -77)" },
    { SAYS_STATUS, CALL_FORWARD, "failed (status -77)" },
    { SAYS_NOTHING, CALL_HVP, "without a status" },
    { SAYS_NOTHING, CALL_FORWARD, "without a status" },
    { SAYS_CANNOT, CALL_HVP, "says that it cannot" },
    { SAYS_CANNOT, CALL_FORWARD, "says that it cannot" },
};

static void test_broken(void **state) {
    (void)state;
    static host h;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int order = 0; order < 2; order++) {
            const broken *b = &cases[i];
            char probes[200];
            late_start(&h);
            h.bad = b->bad, h.bad_callback = b->callback, h.frozen = b->bad == CHANGES_FROZEN, h.strided = order;
            snprintf(probes, sizeof probes, order ? "%s, loss, distance" : "loss, distance, %s", three);
            host_open(&h, NULL, probes, NULL);
            pitot_add_guard(h.run, "running statistics", h.guarded, sizeof h.guarded);
            for (int64_t step = 0; step < 4; step++) {
                host_step(&h, step);
                const char *why = why_of(h.run, "reduction_ratio");
                if (state_of(h.run, "reduction_ratio") != PITOT_STATE_ERROR || !strstr(why, b->says) ||
                    !strstr(why, b->callback == CALL_HVP ? "`hvp`" : "`forward`"))
                    fail_msg("step %d: state %d, \"%s\", not \"%s\"", (int)step, state_of(h.run, "reduction_ratio"), why, b->says);
                assert_non_null(strstr(pitot_last_error(h.run), b->says));
                assert_int_equal(health_of(h.run).errors, 1);
                assert_int_equal(step_of(h.run, "loss"), step);
                assert_int_equal(step_of(h.run, "distance"), step);
                if (step) assert_int_equal(h.calls[b->callback], 0);
            }
            assert_as_alone(&h, 4);
            h.bad = GOOD;
            host_offer(&h); /* mended: on again */
            host_step(&h, 4);
            assert_int_equal(state_of(h.run, "reduction_ratio"), PITOT_STATE_OK);
            pitot_close(h.run, PITOT_DONE);
        }
}

/* What `hvp` does to parameters that have been moved goes with them. */
static void test_changed_while_away(void **state) {
    (void)state;
    static host h;
    late_start(&h);
    h.bad = CHANGES_PARAMETER, h.bad_callback = CALL_HVP;
    host_open(&h, NULL, three, NULL);
    for (int64_t step = 0; step < 3; step++) host_step(&h, step);
    assert_as_alone(&h, 3);
    pitot_close(h.run, PITOT_DONE);
}

/* A product that is not finite: no value at that step, and that is all. */
static void test_not_finite(void **state) {
    (void)state;
    static host h;
    late_start(&h);
    host_open(&h, NULL, three, NULL);
    for (int64_t step = 0; step < 4; step++) {
        h.bad = step == 1 ? GIVES_NAN : GOOD, h.bad_callback = CALL_HVP;
        host_step(&h, step);
        assert_int_equal(state_of(h.run, "directional_sharpness"), step == 1 ? PITOT_STATE_UNDEFINED : PITOT_STATE_OK);
        if (step == 1) assert_non_null(strstr(why_of(h.run, "reduction_ratio"), "not finite"));
    }
    assert_as_alone(&h, 4);
    assert_string_equal(pitot_last_error(h.run), "");
    pitot_close(h.run, PITOT_DONE);
}

/* A callback that is jumped out of, with the parameters moved back: the next hook, or closing the run, puts them where the update had
   left them. */
static void test_jump(void **state) {
    (void)state;
    static host h;
    for (int which = CALL_HVP; which <= CALL_FORWARD; which++)
        for (int closes = 0; closes < 2; closes++) {
            int came_back;
            late_start(&h);
            h.offers |= 1u << CALL_GRAD;
            host_open(&h, NULL, "hess_max_ev@2, directional_sharpness, critical_step, reduction_ratio", NULL);
            host_step(&h, 0);
            h.bad = JUMPS, h.bad_callback = which, h.jump_at = 1;
            host_half(&h, 1, &came_back);
            assert_true(came_back);
            assert_int_equal(host_finish(&h), 0);
            if (closes) {
                double theta[D_ALL];
                pitot_close(h.run, PITOT_DONE);
                read_theta(&h, theta);
                assert_memory_equal(theta, h.next, sizeof theta);
                continue;
            }
            h.bad = GOOD;
            for (int64_t step = 2; step < 5; step++) {
                host_step(&h, step);
                if (step == 2 && which == CALL_HVP) assert_int_equal(h.last_calls, 1); /* `grad` stands in, before the update */
                assert_int_equal(state_of(h.run, "directional_sharpness"), PITOT_STATE_ERROR);
                assert_non_null(strstr(why_of(h.run, "directional_sharpness"), "did not come back"));
            }
            assert_as_alone(&h, 5);
            pitot_close(h.run, PITOT_DONE);
        }
}

/* Hooks called from inside do nothing. */
static void test_hooks_inside(void **state) {
    (void)state;
    static host h;
    for (int which = CALL_HVP; which <= CALL_FORWARD; which++) {
        late_start(&h);
        h.bad = CALLS_HOOKS, h.bad_callback = which;
        host_open(&h, NULL, three, NULL);
        for (int64_t step = 0; step < 3; step++) {
            host_step(&h, step);
            check_values(&h);
        }
        assert_int_equal(h.wrong_inside, 0);
        assert_as_alone(&h, 3);
        pitot_close(h.run, PITOT_DONE);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_cleared_gradient),
        cmocka_unit_test(test_not_offered),
        cmocka_unit_test(test_half_precision),
        cmocka_unit_test(test_gone),
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_changed_while_away),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_jump),
        cmocka_unit_test(test_hooks_inside),
    };
    return cmocka_run_group_tests(tests, set_up_smooth, remove_folder);
}
