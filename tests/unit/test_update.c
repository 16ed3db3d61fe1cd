/* A promised update (pitot_plain_update) beside one that is measured: the same nets, steps and probes, and the same values up to the
   rounding of parameters. What a promise saves, and what becomes of one that is broken. */

#include "host.h"

#include "run/run.h"

enum { N = 24, MOST_WIDTH = 48, STEPS = 5 };

static const char probes[] = "loss,grad_norm,update_size,update_ratio,distance,alpha,tic_diag,hess_trace,norm_test,grad_hist_1d";
static const char lean[] = "loss,grad_norm,update_size,distance,alpha,norm_test";
static const char options[] = "tic_diag.curvature=ggn_mc\nhess_trace.curvature=ggn_mc";

typedef struct course { /* one net, in training */
    pitot_net *net;
    pitot_run *run;
    pitot_attached attached;
    pitot_optim *optim;
    pitot_real x[N * MOST_WIDTH];
    int32_t y[N];
    uint64_t seed;
    int64_t step;
} course;

enum { MLP, SMALL_BATCH, CONVOLUTION, NETS };

static pitot_net *net_of(int which, uint64_t init) {
    pitot_error error = { 0 };
    const int64_t flat[] = { 48, 0 }, image[] = { 2, 6, 4, 0 };
    pitot_net *net = pitot_net_new("course", which == CONVOLUTION ? image : flat, "cross_entropy", &error);
    if (which == CONVOLUTION) {
        pitot_net_add(net, "conv2d", NULL, NULL, "out_channels=4, kernel=3", &error);
        pitot_net_add(net, "relu", NULL, NULL, NULL, &error);
        pitot_net_add(net, "flatten", NULL, NULL, NULL, &error);
    } else {
        pitot_net_add(net, "linear", NULL, NULL, "out_features=40", &error);
        pitot_net_add(net, "relu", NULL, NULL, NULL, &error);
    }
    pitot_net_add(net, "linear", NULL, NULL, "out_features=3", &error);
    if (pitot_net_prepare(net, N, 2, &error)) fail_msg("%s", error.text);
    pitot_net_init(net, init);
    return net;
}

static void open_course(course *c, int which, const char *names, const char *optimizer_options) {
    pitot_error error = { 0 };
    memset(c, 0, sizeof *c);
    c->seed = 9;
    c->net = net_of(which, 4);
    c->run = must_open(NULL, &(pitot_config){ sizeof(pitot_config), .probes = names, .optimizer = "sgd",
                                              .options = strstr(names, "tic") ? options : NULL, .threads = 2 });
    assert_int_equal(pitot_attach(&c->attached, c->net, c->run), PITOT_OK);
    pitot_optim_tensor list[8];
    int64_t n = pitot_net_param_count(c->net);
    for (int64_t i = 0; i < n; i++) {
        const pitot_net_param *p = &pitot_net_params(c->net)[i];
        list[i] = (pitot_optim_tensor){ p->name, p->size, p->data, (const pitot_real *const *)&p->grad, { 0 } };
    }
    c->optim = pitot_optim_new("sgd", &error);
    assert_int_equal(pitot_optim_set(c->optim, "lr", "0.125", &error), PITOT_OK);
    if (optimizer_options) assert_int_equal(pitot_optim_set(c->optim, optimizer_options, "0.5", &error), PITOT_OK);
    assert_int_equal(pitot_optim_prepare(c->optim, list, n, 1, &error), PITOT_OK);
}

static void close_course(course *c) {
    pitot_close(c->run, PITOT_DONE);
    pitot_optim_free(c->optim);
    pitot_net_free(c->net);
}

static void go_back(course *c, int64_t n) {
    double loss;
    for (int i = 0; i < N * MOST_WIDTH; i++) c->x[i] = (pitot_real)draw_normal(&c->seed);
    for (int i = 0; i < N; i++) c->y[i] = (int32_t)(1.5 + 1.5 * draw_uniform(&c->seed));
    pitot_net_batch b = { .struct_size = sizeof b, .n = n, .x = c->x, .classes = c->y, .training = 1 };
    pitot_begin(c->run, ++c->step);
    assert_int_equal(pitot_net_forward(c->net, &b, &loss), PITOT_OK);
    assert_int_equal(pitot_attached_forward(&c->attached, &b, loss), PITOT_OK);
    assert_int_equal(pitot_net_backward(c->net), PITOT_OK);
    assert_int_equal(pitot_attached_backward(&c->attached), PITOT_OK);
}

static void one_step_of(course *c, int64_t n, int32_t status) {
    go_back(c, n);
    assert_int_equal(pitot_optim_step(c->optim), status);
    assert_int_equal(pitot_after_update(c->run, pitot_optim_lr(c->optim)), PITOT_OK);
}

static void one_step(course *c, int64_t n) {
    one_step_of(c, n, PITOT_OK);
}

/* ---- the same values ---- */

typedef struct pair {
    const course *other;
    int64_t compared;
} pair;

static int in_list(const char *list, const char *probe) {
    const char *at = strstr(list, probe);
    return at && (at == list || at[-1] == ',') && (at[strlen(probe)] == ',' || !at[strlen(probe)]);
}

/* Steps are of theta as it is rounded: their lengths and what is measured along them. */
static void compare_reading(void *user, const pitot_reading *r) {
    pair *p = user;
    char key[128];
    double value;
    int64_t step;
    if (!r->probe || (r->kind != PITOT_READ_SCALAR && r->kind != PITOT_READ_TENSOR)) return;
    int rounded = in_list("update_size,update_ratio,alpha,distance", r->probe);
    double within = (sizeof(pitot_real) == 8 ? 1e-11 : 2e-5) * (rounded ? 10 : 1);
    snprintf(key, sizeof key, "%s%s%s%s%s", r->probe, *r->field ? "." : "", r->field, r->tensor ? "/" : "",
             r->tensor ? r->tensor : "");
    assert_int_equal(pitot_value(p->other->run, key, &value, &step), PITOT_OK);
    assert_int_equal(step, r->step);
    double room = strcmp(r->probe, "alpha") == 0 ? 10 * (1 + fabs(value)) * (1 + fabs(value)) : fabs(value);
    if (!(fabs(r->value - value) <= within * room)) fail_msg("step %d, %s: %.17g, not %.17g", (int)step, key, r->value, value);
    p->compared++;
}

static void compare_nets(const course *a, const course *b) {
    for (int64_t i = 0; i < pitot_net_param_count(a->net); i++) {
        const pitot_net_param *p = &pitot_net_params(a->net)[i];
        assert_memory_equal(p->data, pitot_net_params(b->net)[i].data, (size_t)p->size * sizeof *p->data);
    }
}

static void check_same(int which, const char *names) {
    static course measured, promised;
    open_course(&measured, which, names, NULL);
    open_course(&promised, which, names, NULL);
    promised.attached.optim = promised.optim;
    promised.attached.untouched = 1;
    for (int k = 0; k < STEPS; k++) {
        int64_t n = which == SMALL_BATCH ? 4 : N;
        one_step(&measured, n);
        one_step(&promised, n);
        compare_nets(&measured, &promised);
        assert_true(promised.run->plain && !measured.run->plain);
        pair p = { &measured, 0 };
        pitot_readings(promised.run, compare_reading, &p);
        assert_true(p.compared > 10 + 2 * k / STEPS);
        assert_string_equal(pitot_last_error(promised.run), "");
    }
    assert_int_equal(step_of(promised.run, "alpha"), STEPS - 1);
    close_course(&measured);
    close_course(&promised);
}

static void same_values(void **state) {
    (void)state;
    for (int which = 0; which < NETS; which++) {
        check_same(which, probes);
        check_same(which, lean);
    }
}

/* ---- what is saved ---- */

static int64_t copies(const course *c) {
    int64_t n = 0;
    for (int32_t i = 0; i < c->run->n_params; i++) n += c->run->param[i].has_before;
    return n;
}

static void nothing_is_copied(void **state) {
    (void)state;
    static const struct {
        const char *names, *option;
        int untouched;
        int64_t copies;
    } list[] = {
        { lean, NULL, 1, 0 },           { lean, NULL, 0, 4 },          { lean, "momentum", 1, 4 },
        { lean, "weight_decay", 1, 4 }, { "update_size", NULL, 1, 0 }, { "update_size,update_ratio", NULL, 1, 4 }
    }; /* this one looks at theta_t itself */
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        static course c;
        open_course(&c, MLP, list[i].names, list[i].option);
        c.attached.optim = c.optim;
        c.attached.untouched = list[i].untouched;
        for (int k = 0; k < 2; k++) {
            go_back(&c, N);
            assert_int_equal(copies(&c), list[i].copies);
            pitot_optim_step(c.optim);
            pitot_after_update(c.run, 0.125);
        }
        assert_string_equal(pitot_last_error(c.run), "");
        assert_true(value_of(c.run, "update_size") > 0);
        close_course(&c);
    }
}

/* ---- promises that are broken, or made at the wrong time ---- */

enum { TWICE, CLIPPED, ADDED, OTHER_LR, WAYS };

static void break_promise(course *c, int way) {
    pitot_net_param *p = (pitot_net_param *)&pitot_net_params(c->net)[0];
    for (int64_t i = 0; way == CLIPPED && i < pitot_net_param_count(c->net); i++)
        for (int64_t j = 0; j < pitot_net_params(c->net)[i].size; j++)
            ((pitot_real *)pitot_net_params(c->net)[i].grad)[j] *= (pitot_real)0.5;
    pitot_optim_step(c->optim);
    if (way == TWICE) pitot_optim_step(c->optim);
    for (int64_t j = 0; way == ADDED && j < p->size; j++) p->data[j] += 1;
    assert_int_equal(pitot_after_update(c->run, way == OTHER_LR ? 0.25 : 0.125), PITOT_OK);
}

static void broken_promises(void **state) {
    (void)state;
    for (int way = 0; way < WAYS; way++) {
        static course c, measured;
        open_course(&c, MLP, lean, NULL);
        open_course(&measured, MLP, lean, NULL);
        c.attached.optim = c.optim;
        c.attached.untouched = 1;
        one_step(&c, N);
        assert_int_equal(step_of(c.run, "update_size"), 1);
        go_back(&c, N);
        break_promise(&c, way);
        assert_non_null(strstr(pitot_last_error(c.run), "pitot_plain_update"));
        assert_int_equal(step_of(c.run, "update_size"), 1);
        assert_int_equal(state_of(c.run, "update_size"), PITOT_STATE_LEVEL);
        /* then it is measured, as for a host that says nothing */
        for (int64_t i = 0; i < pitot_net_param_count(c.net); i++)
            memcpy(pitot_net_params(measured.net)[i].data, pitot_net_params(c.net)[i].data,
                   (size_t)pitot_net_params(c.net)[i].size * sizeof(pitot_real));
        measured.seed = c.seed;
        measured.step = c.step;
        for (int k = 0; k < 2; k++) one_step(&c, N), one_step(&measured, N);
        assert_false(c.run->plain);
        assert_true(value_of(c.run, "update_size") == value_of(measured.run, "update_size"));
        assert_true(value_of(c.run, "alpha") == value_of(measured.run, "alpha"));
        assert_int_equal(step_of(c.run, "alpha"), 3);
        assert_int_equal(health_of(c.run).errors, 1);
        close_course(&c);
        close_course(&measured);
    }
}

static void values_that_are_not_finite(void **state) {
    (void)state;
    static course c;
    open_course(&c, MLP, lean, NULL);
    c.attached.optim = c.optim;
    c.attached.untouched = 1;
    ((pitot_real *)pitot_net_params(c.net)[0].data)[0] = (pitot_real)NAN;
    for (int k = 0; k < 2; k++) one_step_of(&c, N, PITOT_EHOST);
    assert_true(c.run->plain);
    assert_string_equal(pitot_last_error(c.run), "");
    close_course(&c);
}

static void times(void **state) {
    (void)state;
    static course c;
    open_course(&c, MLP, "update_size@2", NULL);
    assert_int_equal(pitot_plain_update(NULL), PITOT_EOFF);
    assert_int_equal(pitot_plain_update(c.run), PITOT_EORDER);
    go_back(&c, N); /* step 1: nothing is due */
    assert_int_equal(pitot_plain_update(c.run), PITOT_OK);
    pitot_after_update(c.run, 0.125);
    pitot_begin(c.run, 2);
    assert_int_equal(pitot_plain_update(c.run), PITOT_OK);
    assert_int_equal(pitot_after_backward(c.run), PITOT_OK);
    assert_int_equal(pitot_plain_update(c.run), PITOT_EORDER);
    close_course(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_values),     cmocka_unit_test(nothing_is_copied),
        cmocka_unit_test(broken_promises), cmocka_unit_test(values_that_are_not_finite),
        cmocka_unit_test(times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
