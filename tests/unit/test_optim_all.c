/* What every optimizer and every wrapper owes, whatever it does inside: on a net with a convolution, through the trainer's own door
   (pitot_provide). Resuming from saved state is bit for bit, also between two renewals of a basis; a step of NaN is left out; zero gradients,
   a damping of zero where factors lack rank, a learning rate of zero and tensors of one value or one row leave finite numbers; any number of
   threads gives the same bits; steps allocate nothing; the loop's gradients are as they were; the loss comes down. */

#include "optim_settings.h"

#include "base/random.h"
#include "pitot/train.h"

enum { N = 12, STEPS = 6, WIDE = 200 /* WIDE^2 values are shared among threads */ };

typedef struct rig {
    pitot_net *net;
    pitot_optim *optim;
    pitot_provided provided;
    pitot_real x[N * WIDE];
    int32_t classes[N];
    double loss;
} rig;

static int32_t data_gradient(void *user, double *loss) {
    rig *r = user;
    pitot_net_batch b = { .struct_size = sizeof b, .n = N, .x = r->x, .classes = r->classes };
    pitot_net_forward(r->net, &b, loss);
    return pitot_net_backward(r->net);
}

static void build_net(rig *r) {
    pitot_error error = { 0 };
    r->net = pitot_net_new("all", (const int64_t[]){ 2, 5, 5, 0 }, "cross_entropy", &error);
    pitot_net_add(r->net, "conv2d", "conv", NULL, "out_channels=3, kernel=3, padding=1", &error);
    pitot_net_add(r->net, "tanh", NULL, NULL, NULL, &error);
    pitot_net_add(r->net, "conv2d", "narrow", NULL, "out_channels=1, kernel=1", &error); /* (1,3,1,1), and a bias of one value */
    pitot_net_add(r->net, "flatten", NULL, NULL, NULL, &error);
    pitot_net_add(r->net, "linear", "fc1", NULL, "out_features=6", &error);
    pitot_net_add(r->net, "relu", NULL, NULL, NULL, &error);
    pitot_net_add(r->net, "linear", "one", NULL, "out_features=1", &error); /* 1xn, then 1x1, then nx1 */
    pitot_net_add(r->net, "linear", "dot", NULL, "out_features=1", &error);
    pitot_net_add(r->net, "linear", "fc2", NULL, "out_features=4, bias=false", &error);
    assert_int_equal(error.status, PITOT_OK);
    assert_int_equal(pitot_net_prepare(r->net, N, 1, &error), PITOT_OK);
    assert_int_equal(pitot_net_init(r->net, 3), PITOT_OK);
    for (int64_t i = 0; i < (int64_t)(sizeof r->x / sizeof *r->x); i++)
        r->x[i] = (pitot_real)(random_uniform(5, 5, 0, (uint64_t)i) - 0.5);
    for (int n = 0; n < N; n++) {
        r->classes[n] = n % 4;
        r->x[n * 50 + n % 4] += 2; /* something to learn */
    }
}

static void build_wide_net(rig *r) {
    pitot_error error = { 0 };
    r->net = pitot_net_new("wide", (const int64_t[]){ WIDE, 0 }, "cross_entropy", &error);
    pitot_net_add(r->net, "linear", "fc1", NULL, "out_features=200", &error);
    pitot_net_add(r->net, "tanh", NULL, NULL, NULL, &error);
    pitot_net_add(r->net, "linear", "fc2", NULL, "out_features=4", &error);
    assert_int_equal(error.status, PITOT_OK);
    assert_int_equal(pitot_net_prepare(r->net, N, 1, &error), PITOT_OK);
    assert_int_equal(pitot_net_init(r->net, 3), PITOT_OK);
    for (int64_t i = 0; i < N * WIDE; i++) r->x[i] = (pitot_real)(random_uniform(5, 5, 0, (uint64_t)i) - 0.5);
    for (int n = 0; n < N; n++) r->classes[n] = n % 4;
}

static rig *open_rig_on(void (*build)(rig *r), int32_t threads, const char *name, const char *const *set) {
    pitot_error error = { 0 };
    rig *r = mem_alloc(1, sizeof *r);
    build(r);
    r->optim = pitot_optim_new(name, &error);
    if (!r->optim) fail_msg("%s", error.text);
    for (; set && *set; set += 2)
        if (pitot_optim_set(r->optim, set[0], set[1], &error)) fail_msg("%s", error.text);
    pitot_optim_plan(r->optim, STEPS, 11);
    pitot_optim_plan_data(r->optim, N);
    r->provided = (pitot_provided){ .struct_size = sizeof r->provided, .data = data_gradient, .user = r };
    if (pitot_provide_prepare(&r->provided, r->net, r->optim, threads, &error)) fail_msg("%s: %s", name, error.text);
    return r;
}

static rig *open_rig(const char *name, const char *const *set) {
    return open_rig_on(build_net, 1, name, set);
}

static void close_rig(rig *r) {
    pitot_optim_free(r->optim);
    pitot_provide_end(&r->provided);
    pitot_net_free(r->net);
    mem_free(r);
}

static void backward(rig *r) {
    pitot_net_batch b = { .struct_size = sizeof b, .n = N, .x = r->x, .classes = r->classes, .training = 1, .seed = 1 };
    assert_int_equal(pitot_net_forward(r->net, &b, &r->loss), PITOT_OK);
    assert_int_equal(pitot_net_backward(r->net), PITOT_OK);
}

static int32_t one_step(rig *r) {
    backward(r);
    return pitot_optim_step(r->optim);
}

static int64_t parameters(const rig *r, pitot_real *out) {
    const pitot_net_param *p = pitot_net_params(r->net);
    int64_t at = 0;
    for (int64_t i = 0; i < pitot_net_param_count(r->net); at += p[i++].size)
        memcpy(out + at, p[i].data, (size_t)p[i].size * sizeof *out);
    return at;
}

static void check_finite(const rig *r, const char *name, const char *when) {
    pitot_real x[512];
    int64_t n = parameters(r, x);
    for (int64_t i = 0; i < n; i++)
        if (!isfinite((double)x[i])) fail_msg("%s: %s: a parameter is %g", name, when, (double)x[i]);
}

static void must_be_same(const rig *a, const rig *b, const char *name, const char *when) {
    const pitot_net_param *p = pitot_net_params(a->net), *q = pitot_net_params(b->net);
    for (int64_t i = 0; i < pitot_net_param_count(a->net); i++)
        if (memcmp(p[i].data, q[i].data, (size_t)p[i].size * sizeof *p[i].data))
            fail_msg("%s: %s: %s: other bits", name, when, p[i].name);
}

/* Without eps a value that never had a gradient has 0/0 for its step. */
static const setting bare[] = {
    { "adam", { "eps", "0" } },
    { "adam", { "eps", "0", "amsgrad", "true" } },
    { "adamw", { "eps", "0" } },
    { "adamw_schedule_free", { "eps", "0" } },
    { "adagrad", { "eps", "0" } },
    { "rmsprop", { "eps", "0", "centered", "true" } },
    { "nadam", { "eps", "0" } },
    { "radam", { "eps", "0" } },
    { "vr_adam", { "eps", "0" } },
    { "muon", { "aux_eps", "0" } },
    { "shampoo", { "grafting", "rmsprop", "grafting_epsilon", "0" } },
};

static void for_bare(void (*check)(const char *name, const char *const *set)) {
    for (size_t i = 0; i < sizeof bare / sizeof *bare; i++) check(bare[i].name, bare[i].set);
}

/* Without damping round-off in a direction in which F is 0 is multiplied up, in single precision until steps are left out. */
static const setting undamped[] = {
    { "natural_gradient", { "damping", "0" } },
    { "natural_gradient", { "damping", "0", "fisher", "empirical" } },
    { "kfac", { "step", "model", "damping", "0", "damping_form", "eigen", "momentum", "0" } },
};

static void for_undamped(void (*check)(const char *name, const char *const *set)) {
    for (size_t i = 0; i < sizeof undamped / sizeof *undamped; i++) check(undamped[i].name, undamped[i].set);
}

static void copy_state(pitot_optim *from, pitot_optim *to, const char *name) {
    pitot_optim_array a, b;
    for (int64_t j = 0; pitot_optim_state(from, j, &a) == PITOT_OK; j++) {
        assert_int_equal(pitot_optim_state(to, j, &b), PITOT_OK);
        if (strcmp(a.name, b.name) || a.bytes != b.bytes || !a.bytes) fail_msg("%s: %s is not %s", name, b.name, a.name);
        memcpy(b.data, a.data, (size_t)a.bytes);
    }
}

/* 3 steps, state and parameters moved to a new optimizer on a new net, 3 more; against 6 in one go. Evaluating in between moves nothing. */
static void check_resume(const char *name, const char *const *set) {
    rig *whole = open_rig(name, set), *first = open_rig(name, set), *second = open_rig(name, set);
    pitot_real x[512];
    for (int i = 0; i < STEPS; i++) one_step(whole);
    for (int i = 0; i < STEPS / 2; i++) one_step(first);
    copy_state(first->optim, second->optim, name);
    int64_t at = 0;
    parameters(first, x);
    const pitot_net_param *p = pitot_net_params(second->net);
    for (int64_t i = 0; i < pitot_net_param_count(second->net); at += p[i++].size)
        memcpy(p[i].data, x + at, (size_t)p[i].size * sizeof *x);
    for (int i = STEPS / 2; i < STEPS; i++) {
        assert_int_equal(pitot_optim_evaluate(second->optim, 1), PITOT_OK);
        assert_int_equal(pitot_optim_evaluate(second->optim, 0), PITOT_OK);
        one_step(second);
    }
    must_be_same(whole, second, name, "resumed");
    assert_true(pitot_optim_steps(second->optim) == pitot_optim_steps(whole->optim));
    close_rig(whole);
    close_rig(first);
    close_rig(second);
}

static void test_resume(void **state) {
    (void)state;
    for_each(check_resume);
    for_settings(check_resume);
    for_undamped(check_resume);
}

/* A step with a NaN in a gradient changes nothing, and later steps are those of a run without it. */
static void check_nan(const char *name, const char *const *set) {
    rig *plain = open_rig(name, set), *odd = open_rig(name, set);
    for (int i = 0; i < STEPS; i++) {
        one_step(plain);
        if (i == 2) {
            backward(odd);
            for (int64_t k = 0; k < pitot_net_param_count(odd->net); k++) pitot_net_params(odd->net)[k].grad[0] = NAN;
            int32_t status = pitot_optim_step(odd->optim);
            if (status != PITOT_EHOST) fail_msg("%s: a step of NaN: status %d", name, status);
        }
        one_step(odd);
    }
    must_be_same(plain, odd, name, "after a step of NaN");
    close_rig(plain);
    close_rig(odd);
}

static void test_nan(void **state) {
    (void)state;
    for_each(check_nan);
    for_settings(check_nan);
}

/* A single NaN: all stays finite, and the next step is made. */
static void check_one_nan(const char *name, const char *const *set) {
    rig *r = open_rig(name, set);
    int64_t last = pitot_net_param_count(r->net) - 1;
    for (int i = 0; i < STEPS; i++) {
        backward(r);
        if (i == 2) pitot_net_params(r->net)[last].grad[1] = NAN;
        int32_t status = pitot_optim_step(r->optim);
        if ((status == PITOT_EHOST) != (i == 2)) fail_msg("%s: step %d: status %d", name, i, status);
        check_finite(r, name, i < 2 ? "before a NaN" : "after a NaN");
    }
    close_rig(r);
}

static void test_one_nan(void **state) {
    (void)state;
    for_each(check_one_nan);
    for_settings(check_one_nan);
}

static void check_zero(const char *name, const char *const *set) {
    rig *r = open_rig(name, set);
    for (int i = 0; i < STEPS; i++) {
        backward(r);
        for (int64_t k = 0; i < 3 && k < pitot_net_param_count(r->net); k++)
            memset(pitot_net_params(r->net)[k].grad, 0, (size_t)pitot_net_params(r->net)[k].size * sizeof(pitot_real));
        pitot_optim_step(r->optim);
        check_finite(r, name, i < 3 ? "gradients of zero" : "after gradients of zero");
    }
    close_rig(r);
}

static void test_zero(void **state) {
    (void)state;
    for_each(check_zero);
    for_settings(check_zero);
    for_undamped(check_zero);
    for_bare(check_zero);
}

/* A learning rate of 0 stands still; nothing is allocated, and gradients are left as they were. */
static void check_still(const char *name, const char *const *set) {
    rig *r = open_rig(name, set);
    pitot_real before[512], after[512], g[512];
    if (pitot_optim_set(r->optim, "lr", "0", NULL)) fail_msg("%s: does not take lr=0", name);
    int64_t n = parameters(r, before);
    for (int i = 0; i < 4; i++) {
        backward(r);
        int64_t at = 0;
        const pitot_net_param *p = pitot_net_params(r->net);
        for (int64_t k = 0; k < pitot_net_param_count(r->net); at += p[k++].size)
            memcpy(g + at, p[k].grad, (size_t)p[k].size * sizeof *g);
        int64_t requests = mem_count().requests;
        pitot_optim_step(r->optim); /* the first ones take a net's room for products: accumulate, in the second step */
        if (i > 1 && mem_count().requests != requests) fail_msg("%s: a step allocates", name);
        at = 0;
        for (int64_t k = 0; k < pitot_net_param_count(r->net); at += p[k++].size)
            if (memcmp(g + at, p[k].grad, (size_t)p[k].size * sizeof *g))
                fail_msg("%s: the gradient of %s is another", name, p[k].name);
    }
    parameters(r, after);
    if (memcmp(before, after, (size_t)n * sizeof *before)) fail_msg("%s: lr=0 moves", name);
    close_rig(r);
}

static void test_still(void **state) {
    (void)state;
    for_each(check_still);
    for_settings(check_still);
}

/* With the defaults, or for wrappers sgd's options above, the loss is lower after 60 steps. */
static void check_descent(const char *name, const char *const *set) {
    rig *r = open_rig(name, set);
    pitot_optim_plan(r->optim, 60, 11);
    backward(r);
    double first = r->loss;
    for (int i = 0; i < 60; i++) {
        int32_t status = one_step(r);
        if (status) fail_msg("%s: step %d: status %d", name, i, status);
    }
    pitot_optim_evaluate(r->optim, 1);
    backward(r);
    pitot_optim_evaluate(r->optim, 0);
    if (!(r->loss < first)) fail_msg("%s: the loss went from %g to %g", name, first, r->loss);
    close_rig(r);
}

static void test_descent(void **state) {
    (void)state;
    for_each(check_descent);
}

/* Three threads, three again, and one give the same bits. */
static void check_threads(const char *name, const char *const *set) {
    static const int32_t threads[3] = { 3, 3, 1 };
    rig *r[3];
    if (strstr(name, "natural_gradient")) return; /* is for smaller nets */
    for (int k = 0; k < 3; k++) {
        r[k] = open_rig_on(build_wide_net, threads[k], name, set);
        for (int i = 0; i < 3; i++)
            if (one_step(r[k])) fail_msg("%s: step %d on %d threads", name, i, threads[k]);
    }
    must_be_same(r[0], r[1], name, "three threads again");
    must_be_same(r[0], r[2], name, "three threads and one");
    for (int k = 0; k < 3; k++) close_rig(r[k]);
}

static void test_threads(void **state) {
    (void)state;
    for_each(check_threads);
}

/* Every factor that a method shows fits its tensor. */
static void check_view(const char *name, const char *const *set) {
    rig *r = open_rig(name, set);
    pitot_preconditioner v;
    int64_t n = pitot_net_param_count(r->net);
    int has = pitot_optim_method(r->optim)->view != NULL;
    assert_int_equal(pitot_optim_view(r->optim, 0, 0, &v), has ? PITOT_EORDER : PITOT_ENOTSUP);
    assert_int_equal(pitot_optim_view(r->optim, n, 0, &v), PITOT_EINVAL);
    for (int i = 0; i < STEPS; i++) one_step(r);
    int shown = 0;
    for (int64_t i = 0; i < n && has; i++) {
        const pitot_net_param *p = &pitot_net_params(r->net)[i];
        int32_t k = 0;
        for (; k < 64 && pitot_optim_view(r->optim, i, k, &v) == PITOT_OK; k++, shown++) {
            if (!v.factor || v.n < 1 || v.power == 0) fail_msg("%s: %s: factor %d makes no sense", name, p->name, k);
            if (v.axis == -1 && v.n != p->size) fail_msg("%s: %s: a diagonal of %lld", name, p->name, (long long)v.n);
            if (v.axis >= 0 && (v.computed < 0 || v.computed > STEPS))
                fail_msg("%s: %s: computed at %lld", name, p->name, (long long)v.computed);
            for (int64_t j = 0; j < (v.axis < 0 || v.diagonal ? v.n : v.n * v.n); j++) assert_true(isfinite((double)v.factor[j]));
        }
        assert_true(k < 64);
    }
    assert_true(!has || shown > 0);
    close_rig(r);
}

static void test_view(void **state) {
    (void)state;
    for_each(check_view);
}

/* What is missing is said before the first step. */
static void check_missing(const char *name, const char *const *set) {
    pitot_real x[6] = { 1, 2, 3, 4, 5, 6 }, g[6] = { 1 };
    const pitot_real *at = g;
    pitot_error error = { 0 };
    pitot_optim *o = pitot_optim_new(name, NULL);
    for (; set && *set; set += 2) pitot_optim_set(o, set[0], set[1], NULL);
    pitot_optim_tensor t = { "w", 6, x, &at, { 2, 3 } };
    int32_t status = pitot_optim_prepare(o, &t, 1, 1, &error);
    if (status != (pitot_optim_wants(o) ? PITOT_ENOTSUP : PITOT_OK))
        fail_msg("%s: without a source: %d %s", name, status, error.text);
    if (status) assert_non_null(strstr(error.text, "which this loop does not provide"));
    else assert_int_equal(pitot_optim_step(o), PITOT_OK);
    pitot_optim_free(o);
}

static void test_missing(void **state) {
    (void)state;
    for_each(check_missing);
}

/* ---- wrappers by name ---- */

static void test_names(void **state) {
    (void)state;
    pitot_error error = { 0 }, twice = { 0 }, option = { 0 };
    assert_null(pitot_optim_new("sgd+clip_nrom", &error));
    assert_non_null(strstr(error.text, "did you mean \"clip_norm\""));
    assert_null(pitot_optim_new("sgd+clip_norm+clip_norm", &twice));
    assert_non_null(strstr(twice.text, "twice"));
    pitot_optim *o = pitot_optim_new("sgd+clip_norm", NULL);
    assert_int_equal(pitot_optim_set(o, "cosine.last", "0.5", NULL), PITOT_OK);
    assert_string_equal(pitot_optim_wrapper(o, 0, NULL)->name, "clip_norm");
    assert_string_equal(pitot_optim_wrapper(o, 1, NULL)->name, "cosine");
    assert_null(pitot_optim_wrapper(o, 2, NULL));
    assert_int_equal(pitot_optim_set(o, "clip_norm.mxa", "1", &option), PITOT_EINVAL);
    assert_non_null(strstr(option.text, "wrapper clip_norm"));
    assert_int_equal(pitot_optim_set(o, "clip_noma.max", "1", NULL), PITOT_EINVAL);
    pitot_optim_free(o);
    for (const pitot_optimizer *const *w = pitot_wrappers(); *w; w++) {
        assert_true((*w)->struct_size == sizeof **w && (*w)->abi == PITOT_ABI && (*w)->summary[0] && (*w)->paper[0] &&
                    (*w)->formula[0]);
        assert_true((*w)->step || (*w)->factor);
        assert_ptr_equal(pitot_wrapper_find((*w)->name), *w);
        assert_null(pitot_optimizer_find((*w)->name));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resume),  cmocka_unit_test(test_nan),     cmocka_unit_test(test_one_nan), cmocka_unit_test(test_zero),
        cmocka_unit_test(test_still),   cmocka_unit_test(test_threads), cmocka_unit_test(test_descent), cmocka_unit_test(test_view),
        cmocka_unit_test(test_missing), cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
