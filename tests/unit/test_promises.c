/* What callbacks promise, broken in every way: the callback is off with its name and what it did, everything is put back, the other probes
   and the training go on as if nothing had been. */

#include "smooth.h"

enum {
    GRAD = 1 << CALL_GRAD,
    HVP = 1 << CALL_HVP,
    FORWARD = 1 << CALL_FORWARD,
    JVP = 1 << CALL_JVP,
    VJP = 1 << CALL_VJP,
    ROOT = 1 << CALL_ROOT
};

static const char *const callback_names[] = { "grad", "hvp", "forward", "jvp", "vjp", "hessian_root" };

static void must_say(const char *text, const char *callback, const char *what, const char *where) {
    char name[40];
    snprintf(name, sizeof name, "callback `%s`", callback);
    if (!strstr(text, name) || !strstr(text, what)) fail_msg("%s says \"%s\", not that %s %s", where, text, name, what);
}

/* The probe is off for what the callback did: in its state, the report, the health, and the latest error. */
static void must_be_off(const pitot_run *run, const char *probe, const char *callback, const char *what) {
    char report[2000], line[40];
    if (state_of(run, probe) != PITOT_STATE_ERROR)
        fail_msg("%s: state %d: \"%s\", where `%s` %s", probe, state_of(run, probe), why_of(run, probe), callback, what);
    must_say(why_of(run, probe), callback, what, "the probe's state");
    must_say(pitot_last_error(run), callback, what, "the latest error");
    pitot_report(run, report, sizeof report);
    snprintf(line, sizeof line, "%-16s off: ", probe);
    const char *at = strstr(report, line);
    if (!at) fail_msg("the report says: %s", report);
    must_say(at, callback, what, "the report");
    assert_true(health_of(run).probes_off >= 1);
}

/* ---- promises broken without leaving the callback ---- */

typedef struct broken {
    enum bad bad;
    int callback;
    uint32_t offers;
    const char *probe, *says;
    int last_calls; /* in the step in which it happens */
} broken;

static const broken cases[] = {
    { CHANGES_PARAMETER, CALL_HVP, HVP, "hess_max_ev", "changed w2", 0 },
    { CHANGES_PARAMETER, CALL_GRAD, GRAD, "hess_max_ev", "changed w2", 1 },
    { CHANGES_PARAMETER, CALL_JVP, JVP | VJP, "t_dense_ggn", "changed w2", 0 },
    { CHANGES_PARAMETER, CALL_VJP, JVP | VJP, "t_dense_ggn", "changed w2", 0 },
    { CHANGES_FROZEN, CALL_GRAD, GRAD, "hess_max_ev", "changed w1", 1 },
    { CHANGES_FROZEN, CALL_FORWARD, FORWARD | VJP, "t_dense_ggn", "changed w1", 1 },
    { CHANGES_FROZEN, CALL_HVP, HVP, "hess_max_ev", "changed w1", 0 },
    { CHANGES_GUARD, CALL_HVP, HVP, "hess_max_ev", "changed running statistics", 0 },
    { CHANGES_GUARD, CALL_GRAD, GRAD, "hess_max_ev", "changed running statistics", 1 },
    { CHANGES_GUARD, CALL_ROOT, JVP | VJP | ROOT, "t_dense_ggn", "changed running statistics", 0 },
    { ANOTHER_EACH_TIME, CALL_HVP, HVP, "hess_max_ev", "same dropout masks?", 0 },
    { ANOTHER_EACH_TIME, CALL_GRAD, GRAD, "hess_max_ev", "of its length away from the step's", 1 },
    { ANOTHER_EACH_TIME, CALL_JVP, JVP | VJP, "t_dense_ggn", "same dropout masks?", 0 },
    { ANOTHER_EACH_TIME, CALL_VJP, JVP | VJP, "t_dense_ggn", "same dropout masks?", 0 },
    { ANOTHER_EACH_TIME, CALL_FORWARD, FORWARD | VJP, "t_dense_ggn", "same dropout masks?", 1 },
    { OTHER_SAMPLES, CALL_GRAD, GRAD, "hess_max_ev", "of its length away from the step's", 1 },
    { SAYS_NOTHING, CALL_HVP, HVP, "hess_max_ev", "without a status", 0 },
    { SAYS_NOTHING, CALL_GRAD, GRAD, "hess_max_ev", "without a status", 1 },
    { SAYS_NOTHING, CALL_FORWARD, FORWARD | VJP, "t_dense_ggn", "without a status", 1 },
    { SAYS_NOTHING, CALL_VJP, FORWARD | VJP, "t_dense_ggn", "without a status", 1 },
    { SAYS_STATUS, CALL_HVP, HVP, "hess_max_ev", "failed (status -77)", 0 },
    { SAYS_STATUS, CALL_GRAD, GRAD, "hess_max_ev", "failed (status -77)", 1 },
    { SAYS_STATUS, CALL_JVP, JVP | VJP, "t_dense_ggn", "failed (status -77)", 0 },
    { SAYS_STATUS, CALL_ROOT, JVP | VJP | ROOT, "t_dense_ggn", "failed (status -77)", 0 },
    { SAYS_CANNOT, CALL_HVP, HVP, "hess_max_ev", "says that it cannot", 0 },
    { SAYS_CANNOT, CALL_GRAD, GRAD, "hess_max_ev", "says that it cannot", 0 },
    { SAYS_CANNOT, CALL_FORWARD, FORWARD | VJP, "t_dense_ggn", "says that it cannot", 0 },
    { FAILS_LAST, CALL_GRAD, GRAD, "hess_max_ev", "failed (status -77)", 1 },
    { FAILS_LAST, CALL_FORWARD, FORWARD | VJP, "t_dense_ggn", "failed (status -77)", 1 },
    { WANTS_ONE_MORE, CALL_ROOT, JVP | VJP | ROOT, "t_dense_ggn", "not a multiple of", 0 },
};

static void check_broken(const broken *b, int order) {
    static host h;
    char probes[100];
    int64_t called = 0;
    host_start(&h);
    h.bad = b->bad, h.bad_callback = b->callback, h.offers = b->offers;
    h.rooted = (b->offers & ROOT) != 0;
    h.frozen = b->bad == CHANGES_FROZEN, h.strided = order;
    snprintf(probes, sizeof probes, order ? "%s, t_early, loss" : "loss, t_early, %s", b->probe);
    host_open(&h, order ? path_of("broken") : NULL, probes, NULL);
    pitot_add_guard(h.run, "running statistics", h.guarded, sizeof h.guarded);
    for (int64_t step = 0; step < 5; step++) {
        uint32_t due = host_step(&h, step); /* which looks whether everything was put back */
        assert_int_equal((due & PITOT_DUE_CALLBACKS) != 0, step == 0);
        if (step == 0) assert_int_equal(h.last_calls, b->last_calls);
        if (step == 0) called = h.calls[b->callback];
        else
            for (int i = 0; i < 6; i++) assert_int_equal(h.calls[i], 0);
        assert_int_equal(h.calls_after_last, 0);
        must_be_off(h.run, b->probe, callback_names[b->callback], b->says);
        assert_int_equal(health_of(h.run).errors, 1);
        assert_int_equal(step_of(h.run, "loss"), step);
        assert_int_equal(step_of(h.run, "t_early"), step);
    }
    assert_true(called > 0);
    if (b->bad == SAYS_STATUS || b->bad == SAYS_NOTHING) assert_int_equal(called, 1 + b->last_calls * (b->callback != CALL_VJP));
    assert_as_alone(&h, 5);
    h.bad = GOOD;
    host_offer(&h); /* mended: on again */
    host_step(&h, 5);
    assert_int_equal(step_of(h.run, b->probe), 5);
    assert_int_equal(state_of(h.run, b->probe), PITOT_STATE_OK);
    assert_int_equal(health_of(h.run).probes_off, 0);
    pitot_close(h.run, PITOT_DONE);
    if (!order) return;
    char *log = read_text(path_of("broken/events.jsonl"));
    assert_non_null(strstr(log, "\"errors\":1"));
    must_say(log, callback_names[b->callback], b->says, "the log");
    free(log);
    assert_int_equal(remove(path_of("broken/events.jsonl")), 0);
}

static void test_broken(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_broken(&cases[i], 0);
        check_broken(&cases[i], 1);
    }
}

/* The first product of a whole run is looked at, and those at later points now and then: what breaks later is found, too. */
static void test_broken_later(void **state) {
    (void)state;
    static host h;
    static const int callbacks[] = { CALL_HVP, CALL_GRAD, CALL_GRAD };
    for (int i = 0; i < 3; i++) {
        int64_t found = -1;
        host_start(&h);
        h.offers = 1u << callbacks[i];
        h.frozen = i == 2;
        host_open(&h, NULL, "hess_max_ev", NULL);
        for (int64_t step = 0; step < 100 && found < 0; step++) {
            if (step == 10) h.bad = i == 2 ? CHANGES_FROZEN : ANOTHER_EACH_TIME, h.bad_callback = callbacks[i];
            host_step(&h, step);
            if (health_of(h.run).errors) found = step;
        }
        assert_true(found >= 10 && found <= (i == 2 ? 10 : 10 + 32)); /* changes are found at every point */
        must_be_off(h.run, "hess_max_ev", callback_names[callbacks[i]], i == 2 ? "changed w1" : "same dropout masks?");
        pitot_close(h.run, PITOT_DONE);
    }
}

/* Gradients that do not fit the losses, in the step and in the callback alike: found by the slope, whoever uses callbacks first. */
static void test_slope(void **state) {
    (void)state;
    static host h;
    static const double wrong[] = { -1, 3, 0.5, 1 };
    static const char *const probes[] = { "hess_max_ev", "t_dense_ggn, hess_max_ev" };
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 2; k++) {
            char says[60];
            host_start(&h);
            h.turned = wrong[i];
            h.offers = GRAD | JVP | VJP;
            host_open(&h, NULL, probes[k], NULL);
            host_step(&h, 0);
            snprintf(says, sizeof says, "gave gradients that are %.0f", wrong[i]);
            if (wrong[i] != 1) must_be_off(h.run, "hess_max_ev", "grad", wrong[i] == 0.5 ? "gave gradients that are 0." : says);
            else assert_int_equal(state_of(h.run, "hess_max_ev"), PITOT_STATE_OK);
            assert_as_alone(&h, 1);
            pitot_close(h.run, PITOT_DONE);
        }
}

/* The slope is looked at where it can first be seen: not in a step of several micro-batches. */
static void test_slope_later(void **state) {
    (void)state;
    static host h;
    host_start(&h);
    h.turned = -1, h.micro = 2;
    h.offers = GRAD;
    host_open(&h, NULL, "hess_max_ev", NULL);
    host_step(&h, 0);
    assert_int_equal(state_of(h.run, "hess_max_ev"), PITOT_STATE_OK);
    h.micro = 1;
    host_step(&h, 1);
    must_be_off(h.run, "hess_max_ev", "grad", "gave gradients that are -1");
    pitot_close(h.run, PITOT_DONE);
}

/* Where the loss cannot fall much further, its slope is hard to see: a good callback must not be accused. */
static void test_slope_near_minimum(void **state) {
    (void)state;
    static host h;
    static const int trained[] = { 0, 300, 3000, 30000 };
    for (int32_t kind = PITOT_CROSS_ENTROPY; kind <= PITOT_BINARY_CROSS_ENTROPY; kind++)
        for (int i = 0; i < 4; i++)
            for (int n = 2; n <= 6;
                 n += 2) { /* 12 terms for 24 parameters: a loss of 0; 36: a floor; or only the last bias to learn */
                host_start(&h);
                h.p.kind = kind, h.n = n, h.p.t = 2, h.coarse = 1;
                h.offers = GRAD, h.frozen = n == 4 ? 7 : 0;
                host_open(&h, NULL, "hess_max_ev", NULL);
                pitot_run *run = h.run;
                h.run = NULL;
                for (int step = 0; step < trained[i]; step++) {
                    scale_gradients(&h, 0);
                    read_theta(&h, h.home);
                    host_pass(&h, 0);
                    host_update(&h);
                }
                h.run = run;
                for (int64_t step = 0; step < 3; step++) host_step(&h, step);
                if (pitot_last_error(run)[0]) fail_msg("loss %d, %d steps, n %d: %s", kind, trained[i], n, pitot_last_error(run));
                pitot_close(run, PITOT_DONE);
            }
}

/* What is not finite has no eigenvalues at that step, and that is all. */
static void test_not_finite(void **state) {
    (void)state;
    static host h, good;
    static const int callbacks[] = { CALL_HVP, CALL_GRAD };
    for (int i = 0; i < 2; i++) {
        host_start(&h);
        h.offers = 1u << callbacks[i];
        good = h;
        host_open(&h, NULL, "hess_max_ev, loss", NULL);
        host_open(&good, NULL, "hess_max_ev, loss", NULL);
        for (int64_t step = 0; step < 6; step++) {
            h.bad = step == 0 || step == 3 ? GIVES_NAN : GOOD, h.bad_callback = callbacks[i];
            host_step(&h, step);
            host_step(&good, step);
            assert_int_equal(state_of(h.run, "hess_max_ev"), h.bad == GIVES_NAN ? PITOT_STATE_UNDEFINED : PITOT_STATE_OK);
            if (h.bad == GIVES_NAN) assert_non_null(strstr(why_of(h.run, "hess_max_ev"), "not finite"));
            else
                assert_true(fabs(value_of(h.run, "hess_max_ev") - value_of(good.run, "hess_max_ev")) <=
                            0.02 * fabs(value_of(good.run, "hess_max_ev"))); /* twice the tolerance */
            assert_int_equal(step_of(h.run, "loss"), step);
        }
        assert_int_equal(health_of(h.run).errors, 0);
        assert_as_alone(&h, 6);
        pitot_close(h.run, PITOT_DONE);
        pitot_close(good.run, PITOT_DONE);
    }
}

/* A callback that leaves another rounding mode: the host's is back after the hook, and products are what they are otherwise. */
static void test_rounding(void **state) {
    (void)state;
    static host h, good;
    static const uint32_t offers[] = { HVP | JVP | VJP, GRAD | FORWARD | VJP };
    static const int callbacks[] = { CALL_HVP, CALL_JVP, CALL_VJP, CALL_GRAD, CALL_FORWARD, CALL_VJP };
    for (int i = 0; i < 6; i++) {
        host_start(&h);
        h.offers = offers[i / 3];
        good = h;
        h.bad = ROUNDS_UP, h.bad_callback = callbacks[i];
        host_open(&h, NULL, "hess_max_ev, t_dense_ggn", NULL);
        for (int64_t step = 0; step < 3; step++) {
            host_step(&h, step);
            assert_int_equal(fegetround(), FE_TONEAREST);
            assert_int_equal(step_of(h.run, "hess_max_ev"), step);
        }
        double seen[D_ALL * D_ALL];
        memcpy(seen, dense_seen, sizeof seen);
        host_open(&good, NULL, "hess_max_ev, t_dense_ggn", NULL);
        for (int64_t step = 0; step < 3; step++) host_step(&good, step);
        assert_memory_equal(seen, dense_seen, sizeof seen);
        assert_true(value_of(h.run, "hess_max_ev") == value_of(good.run, "hess_max_ev"));
        assert_int_equal(health_of(h.run).errors, 0);
        pitot_close(h.run, PITOT_DONE);
        pitot_close(good.run, PITOT_DONE);
    }
}

/* A broken `hvp` leaves what `grad` offers; nobody calls it again, not even another probe in the same step. */
static void test_falls_back(void **state) {
    (void)state;
    static host h;
    host_start(&h);
    h.offers = HVP | GRAD;
    h.bad = SAYS_STATUS, h.bad_callback = CALL_HVP;
    host_open(&h, NULL, "hess_max_ev, t_dense_hessian, t_late, loss", NULL);
    host_step(&h, 0);
    assert_int_equal(h.calls[CALL_HVP], 1);
    assert_int_equal(step_of(h.run, "hess_max_ev"), -1);
    for (int64_t step = 1; step < 4; step++) {
        host_step(&h, step);
        assert_int_equal(h.calls[CALL_HVP], 0);
        assert_int_equal(step_of(h.run, "hess_max_ev"), step);
        assert_true(value_of(h.run, "hess_max_ev.product_error") > 0);
        assert_false(exact_seen);
        assert_int_equal(state_of(h.run, "t_dense_hessian"), PITOT_STATE_OK);
    }
    assert_int_equal(health_of(h.run).errors, 1);
    assert_as_alone(&h, 4);
    pitot_close(h.run, PITOT_DONE);
}

/* What else a broken callback might say does not push out the first reason; other callbacks of the step are good as before. */
static void test_first_reason(void **state) {
    (void)state;
    static host h;
    host_start(&h);
    h.offers = GRAD | JVP | VJP;
    h.bad = SAYS_STATUS, h.bad_callback = CALL_GRAD; /* fails, and fails in its last call */
    host_open(&h, NULL, "hess_max_ev, t_dense_ggn", NULL);
    for (int64_t step = 0; step < 3; step++) {
        host_step(&h, step);
        assert_int_equal(step_of(h.run, "t_dense_ggn"), step);
        must_be_off(h.run, "hess_max_ev", "grad", "failed (status -77)");
    }
    assert_int_equal(health_of(h.run).errors, 1);
    assert_non_null(strstr(pitot_last_error(h.run), "step 0: "));
    pitot_close(h.run, PITOT_DONE);
}

/* Reasons outlast steps at which nothing is due. */
static void test_reason_stays(void **state) {
    (void)state;
    static host h;
    host_start(&h);
    h.offers = JVP | VJP | GRAD;
    h.rooted = 1;
    h.bad = OTHER_SAMPLES, h.bad_callback = CALL_GRAD;
    host_open(&h, NULL, "t_dense_ggn@4, hess_max_ev@4", NULL);
    for (int64_t step = 0; step < 7; step++) {
        host_step(&h, step);
        must_be_off(h.run, "hess_max_ev", "grad", "away from the step's");
        assert_int_equal(state_of(h.run, "t_dense_ggn"), PITOT_STATE_LEVEL);
        assert_non_null(strstr(why_of(h.run, "t_dense_ggn"), "pitot_batch.loss_kind"));
    }
    pitot_close(h.run, PITOT_DONE);
}

/* A tensor that could not be added has a gradient that nobody would put back: `grad` and `vjp` are not called, exact products are. */
static void test_incomplete(void **state) {
    (void)state;
    static host h;
    host_start(&h);
    h.offers = GRAD | JVP | VJP;
    host_open(&h, NULL, "hess_max_ev, t_dense_ggn, loss", NULL);
    pitot_param p = { .struct_size = sizeof p, .name = "refused", .shape = { -1 } };
    assert_int_equal(pitot_add_param(h.run, &p), PITOT_EINVAL);
    for (int64_t step = 0; step < 3; step++) {
        assert_int_equal(host_step(&h, step) & PITOT_DUE_CALLBACKS, 0);
        for (int i = 0; i < 6; i++) assert_int_equal(h.calls[i], 0);
        assert_non_null(strstr(why_of(h.run, "hess_max_ev"), "could not be added"));
        assert_non_null(strstr(why_of(h.run, "t_dense_ggn"), "could not be added"));
        assert_int_equal(state_of(h.run, "loss"), PITOT_STATE_OK);
    }
    h.offers = HVP;
    host_offer(&h);
    host_step(&h, 3);
    assert_int_equal(step_of(h.run, "hess_max_ev"), 3);
    pitot_close(h.run, PITOT_DONE);
}

/* ---- hooks from inside ---- */

static void test_hooks_inside(void **state) {
    (void)state;
    static host h, good;
    static const uint32_t offers[] = { HVP | JVP | VJP | ROOT, GRAD | FORWARD | VJP };
    for (int which = CALL_GRAD; which <= CALL_ROOT; which++) {
        host_start(&h);
        h.offers = offers[which == CALL_GRAD || which == CALL_FORWARD];
        h.rooted = (h.offers & ROOT) != 0;
        good = h;
        h.bad = CALLS_HOOKS, h.bad_callback = which;
        host_open(&h, path_of(callback_names[which]), "hess_max_ev, t_dense_ggn, loss, t_two", NULL);
        host_open(&good, NULL, "hess_max_ev, t_dense_ggn, loss, t_two", NULL);
        for (int64_t step = 0; step < 4; step++) {
            host_step(&h, step);
            assert_true(h.calls[which] > 0);
            host_step(&good, step);
            assert_int_equal(h.wrong_inside, 0);
            assert_true(value_of(h.run, "hess_max_ev") == value_of(good.run, "hess_max_ev"));
            assert_true(value_of(h.run, "loss") == value_of(good.run, "loss"));
            if (step) assert_true(value_of(h.run, "t_two") == value_of(good.run, "t_two"));
        }
        assert_int_equal(health_of(h.run).errors, 0);
        assert_int_equal(h.run->n_params, TENSORS);
        assert_as_alone(&h, 4);
        pitot_close(h.run, PITOT_DONE);
        pitot_close(good.run, PITOT_DONE);
        char *log = read_text(path_of(callback_names[which]));
        free(log);
    }
}

/* ---- callbacks that do not come back ---- */

enum { BY_BEGIN, BY_UPDATE, BY_CLOSE, BY_THREAD, BY_DEEPER, WAYS };

static void *begin_elsewhere(void *run) {
    static uint32_t due;
    due = pitot_begin(run, 3);
    return &due;
}

/* A function with variables of its own calls the next hook. */
static __attribute__((noinline)) void begin_deeper(pitot_run *run) {
    char room[1000];
    pitot_begin(run, 3);
    __asm__ volatile("" : : "r"(room) : "memory"); /* it is on the stack */
}

static void come_back(host *h, int way) {
    pthread_t other;
    switch (way) {
    case BY_BEGIN: pitot_begin(h->run, 3); break;
    case BY_UPDATE: pitot_after_update(h->run, 0.05); break;
    case BY_DEEPER: begin_deeper(h->run); break;
    case BY_THREAD:
        assert_int_equal(pthread_create(&other, NULL, begin_elsewhere, h->run), 0);
        assert_int_equal(pthread_join(other, NULL), 0);
        break;
    default: assert_int_equal(pitot_close(h->run, PITOT_INTERRUPTED), PITOT_OK);
    }
}

static int theta_is(const host *h, const double *theta) {
    double now[D_ALL];
    read_theta(h, now);
    return memcmp(now, theta, sizeof now) == 0;
}

/* Good steps 0 and 1; in step 2 a callback jumps out of the hook. */
static void check_jump(int callback, uint32_t offers, int at, int way, int carried) {
    static host h;
    int came_back, moves = (callback == CALL_GRAD || callback == CALL_FORWARD) && at > 0; /* no proof at the third point */
    static host alone;
    char *log = NULL;
    host_start(&h);
    h.offers = offers, h.carried = carried, h.strided = carried;
    h.rooted = (offers & ROOT) != 0;
    host_open(&h, path_of("jump"), "loss, hess_max_ev, t_dense_ggn, t_two", NULL);
    for (int64_t step = 0; step < 2; step++) host_step(&h, step);
    h.bad = JUMPS, h.bad_callback = callback, h.jump_at = at;
    alone = h;
    alone.run = NULL;
    host_half(&alone, 2, &came_back);
    host_half(&h, 2, &came_back);
    assert_false(came_back);
    assert_int_equal(theta_is(&h, h.home), !moves); /* or this shows nothing */
    assert_int_equal(pitot_due(h.run), way == BY_CLOSE ? pitot_due(h.run) : h.run->mask);
    come_back(&h, way);
    assert_true(theta_is(&h, h.home));
    if (carried) assert_memory_equal(alone.grad[0], h.grad[0], sizeof h.grad[0]); /* what they carry has not been lost */
    if (way != BY_CLOSE) {
        int64_t next = way == BY_UPDATE ? 3 : 4;
        must_say(pitot_last_error(h.run), callback_names[callback], "did not come back", "the latest error");
        assert_int_equal(health_of(h.run).errors, 1);
        for (int64_t step = next; step < next + 3; step++) {
            host_step(&h, step);
            assert_int_equal(h.calls[callback], 0);
            assert_int_equal(step_of(h.run, "loss"), step);
        }
        assert_int_equal(health_of(h.run).errors, 1);
        assert_int_equal(step_of(h.run, "t_two"), next + 1);
        pitot_close(h.run, PITOT_DONE);
    }
    log = read_text(path_of("jump/events.jsonl"));
    must_say(log, callback_names[callback], "did not come back", "the log");
    free(log);
    pitot_log_state state;
    pitot_log *opened = read_log(path_of("jump"), &state);
    pitot_series two = series_of(opened, "t_two");
    for (int64_t i = 0; i < two.n; i++) assert_int_not_equal(two.step[i], 2); /* its first half never came */
    assert_int_equal(two.step[1], 1);
    pitot_log_close(opened);
    assert_int_equal(remove(path_of("jump/events.jsonl")), 0);
}

static void test_jumps(void **state) {
    (void)state;
    for (int way = 0; way < WAYS; way++)
        for (int carried = 0; carried < 2; carried++) {
            check_jump(CALL_GRAD, GRAD, 1, way, carried);
            check_jump(CALL_GRAD, GRAD, 3, way, carried);
            check_jump(CALL_GRAD, GRAD, -1, way, carried);
            check_jump(CALL_HVP, HVP, 1, way, carried);
            check_jump(CALL_HVP, HVP, 3, way, carried);
            check_jump(CALL_FORWARD, FORWARD | VJP, 2, way, carried);
            check_jump(CALL_FORWARD, FORWARD | VJP, 3, way, carried);
            check_jump(CALL_FORWARD, FORWARD | VJP, -1, way, carried);
            check_jump(CALL_JVP, JVP | VJP, 1, way, carried);
            check_jump(CALL_VJP, JVP | VJP, 2, way, carried);
            check_jump(CALL_ROOT, JVP | VJP | ROOT, 2, way, carried);
        }
}

/* After a jump that left parameters in their place the host's own update stands; buffers that carry have again what they carried. */
static void test_update_after_jump(void **state) {
    (void)state;
    static host h;
    int came_back;
    double updated[D_ALL];
    host_start(&h);
    h.offers = HVP;
    host_open(&h, NULL, "hess_max_ev", NULL);
    pitot_add_guard(h.run, "guard", h.guarded, sizeof h.guarded);
    h.bad = JUMPS, h.bad_callback = CALL_HVP, h.jump_at = 2;
    host_half(&h, 0, &came_back);
    assert_false(came_back);
    host_update(&h);
    read_theta(&h, updated);
    pitot_after_update(h.run, 0.05);
    assert_true(theta_is(&h, updated));
    for (int64_t step = 1; step < 4; step++) host_step(&h, step);
    assert_as_alone(&h, 4);
    pitot_close(h.run, PITOT_DONE);
}

/* The host's memory has moved between the jump and the next hook: what is put back goes where the parameters are now. */
static void test_memory_moves_after_jump(void **state) {
    (void)state;
    static host h;
    static unsigned char elsewhere[TENSORS][PLACE];
    int came_back;
    for (int by_address = 0; by_address < 2; by_address++) {
        double theta[D_ALL];
        host_start(&h);
        h.offers = GRAD, h.by_address = by_address;
        host_open(&h, NULL, "hess_max_ev", NULL);
        h.bad = JUMPS, h.bad_callback = CALL_GRAD, h.jump_at = 3;
        host_half(&h, 0, &came_back);
        assert_false(came_back);
        memcpy(elsewhere, h.data, sizeof elsewhere);
        memset(h.data, 0x33, sizeof h.data);
        for (int i = 0; i < TENSORS; i++) {
            h.data_at[i] = elsewhere[i];
            if (!by_address) assert_int_equal(pitot_bind_param(h.run, h.id[i], elsewhere[i], h.grad[0][i]), PITOT_OK);
        }
        pitot_begin(h.run, 1);
        for (size_t i = 0; i < sizeof h.data; i++) assert_int_equal(((unsigned char *)h.data)[i], 0x33);
        memcpy(h.data, elsewhere, sizeof elsewhere);
        read_theta(&h, theta);
        assert_memory_equal(theta, h.home, sizeof theta);
        pitot_close(h.run, PITOT_DONE);
    }
}

/* New callbacks after a jump are new: the jump is the old ones'. */
static void test_set_after_jump(void **state) {
    (void)state;
    static host h;
    int came_back;
    host_start(&h);
    h.offers = GRAD;
    host_open(&h, NULL, "hess_max_ev", NULL);
    h.bad = JUMPS, h.bad_callback = CALL_GRAD, h.jump_at = 3;
    host_half(&h, 0, &came_back);
    assert_false(came_back);
    h.bad = GOOD;
    host_offer(&h);
    assert_true(theta_is(&h, h.home));
    host_step(&h, 1);
    assert_int_equal(step_of(h.run, "hess_max_ev"), 1);
    assert_int_equal(health_of(h.run).errors, 1);
    pitot_close(h.run, PITOT_DONE);
}

/* ---- guards ---- */

static void test_guards(void **state) {
    (void)state;
    static host h;
    static char name[20], byte[4100];
    pitot_config c = { .struct_size = sizeof c, .probes = "hess_max_ev", .memory = 100000 };
    host_start(&h);
    host_fill(&h);
    h.run = must_open(NULL, &c);
    host_add_tensors(&h);
    assert_int_equal(pitot_add_guard(h.run, NULL, byte, 1), PITOT_EINVAL);
    assert_int_equal(pitot_add_guard(h.run, "", byte, 1), PITOT_EINVAL);
    assert_int_equal(pitot_add_guard(h.run, "x", NULL, 1), PITOT_EINVAL);
    assert_int_equal(pitot_add_guard(h.run, "x", byte, -1), PITOT_EINVAL);
    assert_int_equal(pitot_add_guard(h.run, "x", byte, 100001), PITOT_EBUDGET);
    assert_int_equal(pitot_add_guard(h.run, "x", byte, INT64_MAX), PITOT_EBUDGET);
    assert_int_equal(pitot_add_guard(h.run, "x", NULL, 0), PITOT_OK);
    assert_int_equal(health_of(h.run).bytes, 0);
    assert_int_equal(pitot_add_guard(h.run, "x", byte, 60000), PITOT_OK);
    assert_int_equal(pitot_add_guard(h.run, "x", byte, 4000), PITOT_OK); /* in its place */
    assert_int_equal(health_of(h.run).bytes, 4000);
    assert_int_equal(pitot_add_guard(h.run, "x", NULL, 0), PITOT_OK);
    for (int i = 0; i < 4097; i++) {
        snprintf(name, sizeof name, "guard %d", i);
        assert_int_equal(pitot_add_guard(h.run, name, &byte[i], 1), i < 4096 ? PITOT_OK : PITOT_EBUDGET);
    }
    assert_int_equal(health_of(h.run).bytes, 4096);
    for (int i = 0; i < 4096; i++) {
        snprintf(name, sizeof name, "guard %d", i);
        assert_int_equal(pitot_add_guard(h.run, name, NULL, 0), PITOT_OK);
    }
    assert_int_equal(health_of(h.run).bytes, 0);
    assert_int_equal(pitot_add_guard(NULL, "x", byte, 1), PITOT_EOFF);
    assert_int_equal(pitot_set_callbacks(NULL, NULL), PITOT_EOFF);
    pitot_close(h.run, PITOT_DONE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_broken_later),
        cmocka_unit_test(test_slope),
        cmocka_unit_test(test_slope_later),
        cmocka_unit_test(test_slope_near_minimum),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_falls_back),
        cmocka_unit_test(test_first_reason),
        cmocka_unit_test(test_reason_stays),
        cmocka_unit_test(test_hooks_inside),
        cmocka_unit_test(test_incomplete),
        cmocka_unit_test(test_jumps),
        cmocka_unit_test(test_update_after_jump),
        cmocka_unit_test(test_set_after_jump),
        cmocka_unit_test(test_memory_moves_after_jump),
        cmocka_unit_test(test_guards),
    };
    return cmocka_run_group_tests(tests, set_up_smooth, remove_folder);
}
