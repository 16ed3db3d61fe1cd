/* Every probe where training data or gradients are at their limits: one sample, samples all alike, gradients of 0, values that are not
   finite. Each gives finite numbers or says why it has none; nothing goes off for good, and the next ordinary step has all values again. */

#include "host.h"

enum { N = 6, INPUTS = 5, OUTPUTS = 3 };

enum { ORDINARY, ONE_SAMPLE, ALIKE, NO_GRADIENT, NAN_INPUT, INF_INPUT, SITUATIONS };
static const char *const names[] = { "ordinary", "one sample", "samples alike", "no gradient", "a NaN", "an infinity" };

typedef struct edge {
    pitot_net *net;
    pitot_run *run;
    pitot_attached attached;
    pitot_optim *optim;
    pitot_real x[N * INPUTS], targets[N * OUTPUTS];
    int which;
} edge;

static void open_edge(edge *e) {
    pitot_error error = { 0 };
    *e = (edge){ 0 };
    e->net = pitot_net_new("edge", (int64_t[]){ INPUTS, 0 }, "mse", &error);
    pitot_net_add(e->net, "linear", NULL, NULL, "out_features=4", &error);
    pitot_net_add(e->net, "relu", NULL, NULL, NULL, &error);
    pitot_net_add(e->net, "linear", NULL, NULL, "out_features=3", &error);
    if (pitot_net_prepare(e->net, N, 1, &error)) fail_msg("%s", error.text);
    pitot_net_init(e->net, 7);
    e->run = must_open(NULL,
                       &(pitot_config){ sizeof(pitot_config), .probes = names_of_all(), .optimizer = "adam", .flags = PITOT_LATE });
    assert_int_equal(pitot_attach(&e->attached, e->net, e->run), PITOT_OK);
    pitot_optim_tensor list[4];
    for (int i = 0; i < 4; i++) {
        const pitot_net_param *p = &pitot_net_params(e->net)[i];
        list[i] = (pitot_optim_tensor){ p->name, p->size, p->data, (const pitot_real *const *)&p->grad, { 0 } };
    }
    e->optim = pitot_optim_new("adam", &error);
    assert_int_equal(pitot_optim_prepare(e->optim, list, 4, 1, &error), PITOT_OK);
    e->attached.optim = e->optim;
    pitot_hyper(e->run, -1, "lr", 0.001);
    pitot_hyper(e->run, -1, "beta1", 0.9);
    pitot_hyper(e->run, -1, "beta2", 0.999);
    pitot_hyper(e->run, -1, "eps", 1e-8);
}

static void close_edge(edge *e) {
    pitot_close(e->run, PITOT_DONE);
    pitot_optim_free(e->optim);
    pitot_net_free(e->net);
}

static void draw_samples(edge *e, uint64_t *seed) {
    for (int i = 0; i < N * INPUTS; i++) e->x[i] = (pitot_real)draw_normal(seed);
    for (int i = 0; i < N * OUTPUTS; i++) e->targets[i] = (pitot_real)draw_normal(seed);
    for (int i = INPUTS; e->which == ALIKE && i < N * INPUTS; i++) e->x[i] = e->x[i - INPUTS];
    for (int i = OUTPUTS; e->which == ALIKE && i < N * OUTPUTS; i++) e->targets[i] = e->targets[i - OUTPUTS];
    if (e->which == NAN_INPUT) e->x[7] = (pitot_real)NAN;
    if (e->which == INF_INPUT) e->x[7] = (pitot_real)INFINITY;
}

/* The update is made only where it leaves parameters that one can go on with. */
static void take_step(edge *e, int64_t step, int which, uint64_t *seed) {
    double loss;
    e->which = which;
    draw_samples(e, seed);
    pitot_net_batch b = {
        .struct_size = sizeof b, .n = which == ONE_SAMPLE ? 1 : N, .x = e->x, .targets = e->targets, .training = 1
    };
    pitot_begin(e->run, step);
    assert_int_equal(pitot_net_forward(e->net, &b, &loss), PITOT_OK);
    if (which == NO_GRADIENT) {
        memcpy(e->targets, pitot_net_output(e->net), sizeof e->targets);
        assert_int_equal(pitot_net_forward(e->net, &b, &loss), PITOT_OK);
    }
    assert_int_equal(pitot_attached_forward(&e->attached, &b, loss), PITOT_OK);
    assert_int_equal(pitot_net_backward(e->net), PITOT_OK);
    assert_int_equal(pitot_attached_backward(&e->attached), PITOT_OK);
    if (which < NAN_INPUT) pitot_optim_step(e->optim);
    assert_int_equal(pitot_after_update(e->run, which < NAN_INPUT ? 0.001 : 0), PITOT_OK);
}

/* Ratios that say in their files that they are infinite where what is below is 0 or less. */
static int may_be_infinite(const pitot_reading *r) {
    static const char *const probes[] = { "noise_scale", "batch_efficiency" };
    for (size_t i = 0; i < sizeof probes / sizeof *probes; i++)
        if (strcmp(r->probe, probes[i]) == 0) return 1;
    return 0;
}

static void must_be_finite(const edge *e, const pitot_reading *r, double v) {
    if (isfinite(v) || (may_be_infinite(r) && v > 0)) return;
    fail_msg("%s: %s%s%s is %g", names[e->which], r->probe, *r->field ? "." : "", r->field, v);
}

static void check_reading(void *user, const pitot_reading *r) {
    const edge *e = user;
    if (!r->probe || e->which >= NAN_INPUT) return;
    if (r->kind == PITOT_READ_SCALAR || r->kind == PITOT_READ_TENSOR) must_be_finite(e, r, r->value);
    for (int64_t i = 0; r->numbers && (r->kind == PITOT_READ_LIST || r->kind == PITOT_READ_TABLE) && i < r->n; i++)
        must_be_finite(e, r, r->numbers[i]);
    for (int64_t i = 0; (r->kind == PITOT_READ_VALUES || r->kind == PITOT_READ_SAMPLES) && i < r->n; i++)
        must_be_finite(e, r, (double)r->reals[i]);
}

static void check_states(const edge *e) {
    pitot_readings(e->run, check_reading, (void *)e);
    for (const pitot_probe *const *p = pitot_probes(); *p; p++) {
        if (is_mine(*p)) continue;
        int32_t state = state_of(e->run, (*p)->name);
        const char *why = why_of(e->run, (*p)->name);
        if (state == PITOT_STATE_ERROR || state == PITOT_STATE_BUDGET)
            fail_msg("%s: %s is off: %s", names[e->which], (*p)->name, why);
        if (state == PITOT_STATE_UNDEFINED && !*why) fail_msg("%s: %s does not say why", names[e->which], (*p)->name);
        if (state == PITOT_STATE_LEVEL && strcmp((*p)->name, "precond_staleness"))
            fail_msg("%s: %s needs: %s", names[e->which], (*p)->name, why);
        if (e->which == ORDINARY && state != PITOT_STATE_OK && state != PITOT_STATE_UNDEFINED)
            fail_msg("ordinary: %s: state %d: %s", (*p)->name, state, why);
    }
}

static void test_edges(void **state) {
    (void)state;
    edge e;
    uint64_t seed = 12;
    int64_t step = 0;
    open_edge(&e);
    take_step(&e, step++, ORDINARY, &seed);
    for (int which = ONE_SAMPLE; which < SITUATIONS; which++) {
        for (int k = 0; k < 2; k++) { /* what spans two steps sees both */
            take_step(&e, step++, which, &seed);
            check_states(&e);
        }
        take_step(&e, step++, ORDINARY, &seed);
        take_step(&e, step++, ORDINARY, &seed);
        check_states(&e);
    }
    close_edge(&e);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_edges) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
