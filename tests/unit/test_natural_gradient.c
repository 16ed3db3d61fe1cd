/* The natural gradient against directions and iterates from elsewhere (tests/golden/optimizers_curvature.json), and against the Gauss-Newton
   matrix column by column.

   reference cases: natural_gradient */

#include "mlp.h"

#include "base/random.h"

#ifdef PITOT_DOUBLE
static const double tolerance = 1e-12;
#else
static const double tolerance = 2e-5; /* gradients of floats, through inverses of 1/damping = 10 and 100 */
#endif

GOLDEN_FILE("tests/golden/optimizers_curvature.json");

static void must_be(double value, double want, const char *name, int i) {
    if (!(fabs(value - want) <= tolerance * (1 + fabs(want)))) fail_msg("%s, value %d: %.17g, not %.17g", name, i, value, want);
}

/* ---- golden ---- */

static void check_direction(const char *fisher, const char *entry) {
    const cJSON *want = cJSON_GetObjectItem(cJSON_GetObjectItem(golden, "mlp"), entry);
    mlp m;
    double before[MLP_D], after[MLP_D];
    mlp_begin(&m, golden, "natural_gradient", (const char *const[]){ "lr", "1", "damping", "0.1", "fisher", fisher, NULL }, 0);
    mlp_values(&m, 0, before);
    assert_int_equal(mlp_step(&m), PITOT_OK);
    mlp_values(&m, 0, after);
    for (int i = 0; i < MLP_D; i++) must_be(before[i] - after[i], cJSON_GetArrayItem(want, i)->valuedouble, entry, i);
    mlp_end(&m);
}

static void test_directions(void **state) {
    (void)state;
    check_direction("exact", "ngd_ggn");
    check_direction("empirical", "ngd_emp");
}

static void test_trace(void **state) {
    (void)state;
    int found = 0;
    for (const cJSON *t = cJSON_GetObjectItem(golden, "traces")->child; t; t = t->next) {
        if (strcmp(cJSON_GetObjectItem(t, "optimizer")->valuestring, "natural_gradient")) continue;
        mlp m;
        set_list options;
        golden_options(t, &options);
        mlp_begin(&m, golden, "natural_gradient", options.set, 0);
        for (const cJSON *want = cJSON_GetObjectItem(t, "iterates")->child; want; want = want->next, found++) {
            double x[MLP_D];
            assert_int_equal(mlp_step(&m), PITOT_OK);
            mlp_values(&m, 0, x);
            for (int i = 0; i < MLP_D; i++) must_be(x[i], cJSON_GetArrayItem(want, i)->valuedouble, "trace", i);
        }
        mlp_end(&m);
    }
    assert_int_equal(found, 10);
}

/* ---- a net with convolutions ---- */

enum { N = 40 }; /* more than one panel of samples */

typedef struct rig {
    pitot_provided provided;
    pitot_net *net;
    pitot_optim *optim;
    pitot_real x[N * 2 * 5 * 6];
    int32_t classes[N];
    int64_t size;
} rig;

static void rig_backward(rig *r) {
    double loss;
    pitot_net_batch b = { .struct_size = sizeof b, .n = N, .x = r->x, .classes = r->classes, .training = 1 };
    assert_int_equal(pitot_net_forward(r->net, &b, &loss), PITOT_OK);
    assert_int_equal(pitot_net_backward(r->net), PITOT_OK);
}

static rig *rig_open(const char *const *set) {
    pitot_error error = { 0 };
    rig *r = mem_alloc(1, sizeof *r);
    r->net = pitot_net_new("conv", (const int64_t[]){ 2, 5, 6, 0 }, "cross_entropy", &error);
    pitot_net_add(r->net, "conv2d", "conv", NULL, "out_channels=4, kernel=3, padding=1, stride=2, groups=2", &error);
    pitot_net_add(r->net, "tanh", NULL, NULL, NULL, &error);
    pitot_net_add(r->net, "conv2d", "wide", NULL, "out_channels=2, kernel=2, dilation=2, padding=1, bias=false", &error);
    pitot_net_add(r->net, "flatten", NULL, NULL, NULL, &error);
    pitot_net_add(r->net, "linear", "fc", NULL, "out_features=3", &error);
    assert_int_equal(error.status, PITOT_OK);
    assert_int_equal(pitot_net_prepare(r->net, N, 1, &error), PITOT_OK);
    pitot_net_init(r->net, 3);
    for (int i = 0; i < N * 60; i++) r->x[i] = (pitot_real)(random_uniform(5, 5, 0, (uint64_t)i) - 0.5);
    for (int n = 0; n < N; n++) r->classes[n] = n * n % 3;
    r->optim = pitot_optim_new("natural_gradient", &error);
    for (; *set; set += 2) assert_int_equal(pitot_optim_set(r->optim, set[0], set[1], &error), PITOT_OK);
    if (pitot_provide_prepare(&r->provided, r->net, r->optim, 1, &error)) fail_msg("%s", error.text);
    for (int64_t i = 0; i < pitot_net_param_count(r->net); i++) r->size += pitot_net_params(r->net)[i].size;
    rig_backward(r);
    return r;
}

static void rig_close(rig *r) {
    pitot_optim_free(r->optim);
    pitot_provide_end(&r->provided);
    pitot_net_free(r->net);
    mem_free(r);
}

static void rig_values(const rig *r, int gradients, pitot_real *out) {
    for (int64_t i = 0; i < pitot_net_param_count(r->net); i++) {
        const pitot_net_param *p = &pitot_net_params(r->net)[i];
        memcpy(out, gradients ? p->grad : p->data, (size_t)p->size * sizeof *out);
        out += p->size;
    }
}

/* With the exact Fisher matrix, (G + damping I) step = lr g by the net's own products. */
static void test_convolutions(void **state) {
    (void)state;
    rig *r = rig_open((const char *const[]){ "lr", "1", "damping", "0.05", NULL });
    pitot_real before[256], after[256], g[256], step[256], product[256];
    assert_true(r->size < 256);
    rig_values(r, 0, before);
    rig_values(r, 1, g);
    assert_int_equal(pitot_optim_step(r->optim), PITOT_OK);
    rig_values(r, 0, after);
    for (int64_t i = 0; i < r->size; i++) step[i] = before[i] - after[i];
    for (int64_t at = 0, i = 0; i < pitot_net_param_count(r->net); at += pitot_net_params(r->net)[i++].size)
        memcpy(pitot_net_params(r->net)[i].data, before + at, (size_t)pitot_net_params(r->net)[i].size * sizeof *before);
    rig_backward(r);
    assert_int_equal(pitot_net_ggnvp(r->net, step, product), PITOT_OK);
    for (int64_t i = 0; i < r->size; i++) must_be((double)product[i] + 0.05 * (double)step[i], (double)g[i], "residual", (int)i);
    rig_close(r);
}

/* The Fisher matrix of drawn labels is in the mean the exact one: steps of small lr over many seeds, with damping that makes the inverse all but
   linear in it. (F + d)^-1 g d^2 = d g - F g + ..., so that the mean over draws of (g - d step) d is F g to within the noise and 1/d. */
static void test_drawn(void **state) {
    (void)state;
    enum { DRAWS = 100 };
    const double d = 20;
    double mean[256] = { 0 }, square[256] = { 0 }, off = 0;
    pitot_real g[256], exact[256];
    rig *e = rig_open((const char *const[]){ "lr", "1", NULL });
    rig_values(e, 1, g);
    assert_int_equal(pitot_net_ggnvp(e->net, g, exact), PITOT_OK);
    rig *r = rig_open((const char *const[]){ "lr", "1", "damping", "20", "fisher", "drawn", NULL });
    pitot_real before[256], after[256];
    rig_values(r, 0, before);
    for (int k = 0; k < DRAWS; k++) {
        assert_int_equal(pitot_optim_step(r->optim), PITOT_OK);
        rig_values(r, 0, after);
        for (int64_t i = 0; i < r->size; i++) {
            double fg = ((double)g[i] - d * ((double)before[i] - (double)after[i])) * d;
            mean[i] += fg / DRAWS;
            square[i] += fg * fg / DRAWS;
        }
        for (int64_t at = 0, i = 0; i < pitot_net_param_count(r->net); at += pitot_net_params(r->net)[i++].size)
            memcpy(pitot_net_params(r->net)[i].data, before + at, (size_t)pitot_net_params(r->net)[i].size * sizeof *before);
    }
    double noise = 0;
    for (int64_t i = 0; i < r->size; i++) {
        off += (mean[i] - (double)exact[i]) * (mean[i] - (double)exact[i]);
        noise += (square[i] - mean[i] * mean[i]) / DRAWS;
    }
    double size = 0;
    for (int64_t i = 0; i < r->size; i++) size += (double)exact[i] * (double)exact[i];
    if (!(sqrt(off) < 3 * sqrt(noise) + 0.1 * sqrt(size)) || !(noise > 0))
        fail_msg("off by %g of %g, noise %g", sqrt(off), sqrt(size), sqrt(noise));
    rig_close(e);
    rig_close(r);
}

/* ---- edges ---- */

static void test_edges(void **state) {
    (void)state;
    pitot_error error = { 0 };
    rig *r = rig_open((const char *const[]){ "damping", "0", "fisher", "empirical", NULL }); /* rank 40 of more parameters */
    pitot_real x[256];
    assert_int_equal(pitot_optim_step(r->optim), PITOT_OK);
    rig_values(r, 0, x);
    for (int64_t i = 0; i < r->size; i++) assert_true(isfinite((double)x[i]));
    pitot_optim *o = pitot_optim_new("natural_gradient", NULL);
    pitot_provided p = { .struct_size = sizeof p };
    assert_true(r->size > 50);
    pitot_optim_set(o, "most", "50", NULL);
    assert_int_equal(pitot_provide_prepare(&p, r->net, o, 1, &error), PITOT_ENOTSUP);
    assert_non_null(strstr(error.text, "most="));
    pitot_provide_end(&p);
    pitot_optim_free(o);
    rig_close(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_directions), cmocka_unit_test(test_trace), cmocka_unit_test(test_convolutions),
        cmocka_unit_test(test_drawn),      cmocka_unit_test(test_edges),
    };
    return cmocka_run_group_tests(tests, read_golden, free_golden);
}
