/* What Cockpit itself said about four steps of a small net (tests/golden/cockpit_sgd.json), through our net and our probes. */

#include "golden.h"
#include "host.h"

#include "base/file.h"

#include <cjson/cJSON.h>

enum { TENSORS = 4, D = 31, N = 5, STEPS = 4 };

static const double tolerance = sizeof(pitot_real) == 8 ? 1e-9 : 1e-4;
static const int64_t begins[TENSORS + 1] = { 0, 12, 16, 28, 31 };
GOLDEN_FILE("tests/golden/cockpit_sgd.json");

static const cJSON *at(const char *key, int64_t step) {
    const cJSON *item = cJSON_GetArrayItem(cJSON_GetObjectItem(golden, key), (int)step);
    if (!item) fail_msg("%s has no %d", key, (int)step);
    return item;
}

static double number(const cJSON *list, int64_t i) {
    const cJSON *item = cJSON_GetArrayItem(list, (int)i);
    assert_true(item && cJSON_IsNumber(item));
    return item->valuedouble;
}

/* What Cockpit said at this step; NULL: nothing. */
static const cJSON *said(const char *quantity, int64_t step) {
    return cJSON_GetObjectItem(at("out", step), quantity);
}

static void must_be(double value, double expected, const char *what) {
    assert_close(value, expected, tolerance, fabs(expected), what);
}

static void check_per_tensor(const pitot_run *run, const pitot_net *net, const char *probe, const char *quantity, int64_t step) {
    char key[64];
    double all = 0;
    const cJSON *list = said(quantity, step);
    for (int k = 0; k < TENSORS; k++) {
        snprintf(key, sizeof key, "%s/%s", probe, pitot_net_params(net)[k].name);
        assert_int_equal(step_of(run, key), step);
        must_be(value_of(run, key), number(list, k), key);
        all += number(list, k) * number(list, k);
    }
    must_be(value_of(run, probe), sqrt(all), probe);
}

/* ---- per-sample values ---- */

typedef struct reading_check {
    const pitot_net *net;
    int64_t step;
    int seen, more;
} reading_check;

static double sample_gradient(int64_t step, int64_t i, int64_t j) {
    return number(cJSON_GetArrayItem(at("per_sample_grads", step), (int)i), j);
}

static int tensor_of(const reading_check *c, const pitot_reading *r) {
    int k = 0;
    while (strcmp(pitot_net_params(c->net)[k].name, r->tensor)) k++;
    return k;
}

static void check_values(const reading_check *c, const pitot_reading *r, int variance) {
    int k = tensor_of(c, r);
    assert_int_equal(r->n, begins[k + 1] - begins[k]);
    for (int64_t j = 0; j < r->n; j++) {
        double sum = 0, squares = 0;
        for (int64_t i = 0; i < N; i++) {
            double g = sample_gradient(c->step, i, begins[k] + j);
            sum += g, squares += g * g;
        }
        double expected = variance ? squares / N - sum / N * sum / N : squares;
        assert_close((double)r->reals[j], expected, tolerance, variance ? squares / N : squares, r->probe);
    }
}

static double sample_product(int64_t step, int64_t n, int64_t m) {
    double all = 0;
    for (int64_t j = 0; j < D; j++) all += sample_gradient(step, n, j) * sample_gradient(step, m, j);
    return all;
}

static void check_products(const reading_check *c, const pitot_reading *r) {
    assert_int_equal(r->rows, N);
    assert_int_equal(r->n, N * N);
    for (int64_t n = 0; n < N; n++)
        for (int64_t m = 0; m < N; m++)
            assert_close(r->numbers[n * N + m], sample_product(c->step, n, m), tolerance,
                         sqrt(sample_product(c->step, n, n) * sample_product(c->step, m, m)), "g_n'g_m");
}

static void check_sample_gradients(const reading_check *c, const pitot_reading *r) {
    int k = tensor_of(c, r);
    assert_int_equal(r->rows, N);
    for (int64_t n = 0; n < N; n++)
        for (int64_t j = begins[k]; j < begins[k + 1]; j++)
            assert_close((double)r->reals[n * r->stride + j - begins[k]], sample_gradient(c->step, n, j), tolerance,
                         sqrt(sample_product(c->step, n, n)), "g_n");
}

static void check_diagonal(const reading_check *c, const pitot_reading *r) {
    int k = tensor_of(c, r);
    double largest = 0;
    for (int64_t j = 0; j < D; j++) largest = fmax(largest, fabs(number(at("hess_diag", c->step), j)));
    for (int64_t j = begins[k]; j < begins[k + 1]; j++)
        assert_close((double)r->reals[j - begins[k]], number(at("hess_diag", c->step), j), tolerance, largest, "H_jj");
}

/* Counts equal, count for count; edges as numpy's. */
static void check_histogram(const pitot_reading *r, const char *key) {
    const cJSON *h = cJSON_GetObjectItem(golden, key), *counts = cJSON_GetObjectItem(h, "hist"),
                *edges = cJSON_GetObjectItem(h, "edges");
    int flat = cJSON_IsNumber(cJSON_GetArrayItem(edges, 0));
    if (strcmp(r->field, "counts") == 0) {
        int64_t cols = flat ? r->n : r->n / r->rows;
        for (int64_t i = 0; i < r->n; i++)
            assert_true(r->numbers[i] == number(flat ? counts : cJSON_GetArrayItem(counts, (int)(i / cols)), i % cols));
        return;
    }
    const cJSON *e = flat ? edges : cJSON_GetArrayItem(edges, *r->field == 'y');
    assert_int_equal(r->n, cJSON_GetArraySize(e));
    for (int64_t i = 0; i < r->n; i++) assert_close(r->numbers[i], number(e, i), 1e-15, 2, "edge");
}

static int check_product_reading(reading_check *c, const pitot_reading *r) {
    if (strcmp(r->probe, "sample_dots") == 0) return check_products(c, r), 1;
    if (strcmp(r->probe, "sample_grad") == 0) return check_sample_gradients(c, r), 1;
    if (strcmp(r->probe, "diag_hessian") == 0) return check_diagonal(c, r), 1;
    if (strcmp(r->probe, "grad_hist_1d") == 0 && c->step == 0) return check_histogram(r, "hist1d_step0"), 1;
    if (strcmp(r->probe, "grad_hist_2d") == 0 && c->step == 0) return check_histogram(r, "hist2d_step0"), 1;
    return 0;
}

static void check_reading(void *user, const pitot_reading *r) {
    reading_check *c = user;
    if (!r->probe) return;
    c->more += check_product_reading(c, r);
    if (strcmp(r->probe, "individual_losses") == 0) {
        assert_int_equal(r->n, N);
        for (int64_t i = 0; i < N; i++) must_be((double)r->reals[i], number(at("losses", c->step), i), "loss of a sample");
        c->seen++;
    } else if (strcmp(r->probe, "sample_grad_l2") == 0) {
        assert_int_equal(r->n, N);
        for (int64_t i = 0; i < N; i++) {
            double square = 0;
            for (int64_t j = 0; j < D; j++) square += sample_gradient(c->step, i, j) * sample_gradient(c->step, i, j);
            must_be(r->numbers[i], square, "|g_n|^2");
        }
        c->seen++;
    } else if (strcmp(r->probe, "sum_grad_squared") == 0) check_values(c, r, 0), c->seen++;
    else if (strcmp(r->probe, "grad_variance") == 0) check_values(c, r, 1), c->seen++;
}

/* ---- the steps ---- */

static void set_parameters(pitot_net *net, const cJSON *theta) {
    for (int k = 0; k < TENSORS; k++)
        for (int64_t j = begins[k]; j < begins[k + 1]; j++)
            pitot_net_params(net)[k].data[j - begins[k]] = (pitot_real)number(theta, j);
}

static void check_eigenvalues(const pitot_run *run, int64_t step) {
    const cJSON *exact = at("hess_evs", step);
    double noise = 1e-2 * tolerance * number(exact, D - 1);
    assert_close(value_of(run, "hess_max_ev"), number(exact, D - 1), 1, value_of(run, "hess_max_ev.residual") + noise, "largest");
    assert_close(value_of(run, "hess_max_ev.min"), number(exact, 0), 1, value_of(run, "hess_max_ev.min_residual") + noise,
                 "smallest");
    assert_true(value_of(run, "hess_max_ev.residual") < 0.02 && value_of(run, "hess_max_ev.min_residual") < 0.02);
}

/* Under Cockpit's names; `size`: of the terms that a sum of both signs is made of. */
static void check_scalars(const pitot_run *run, int64_t step) {
    static const char *const names[][2] = { { "norm_test", "NormTest" },
                                            { "inner_test", "InnerTest" },
                                            { "ortho_test", "OrthoTest" },
                                            { "mean_gsnr", "MeanGSNR" },
                                            { "cabs", "CABS" },
                                            { "early_stopping", "EarlyStopping" },
                                            { "tic_trace", "TICTrace" } };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(step_of(run, names[i][0]), step);
        must_be(value_of(run, names[i][0]), said(names[i][1], step)->valuedouble, names[i][0]);
    }
    double size = 0; /* curvature near 0 makes single terms large */
    for (int64_t j = 0; j < D; j++) {
        double second = 0;
        for (int64_t i = 0; i < N; i++) second += sample_gradient(step, i, j) * sample_gradient(step, i, j) / N;
        double c = number(at("hess_diag", step), j) + 1e-7;
        size += second / fabs(c) * fmax(1, 1 / fabs(c)); /* with the error of 1/c */
    }
    assert_close(value_of(run, "tic_diag"), said("TICDiag", step)->valuedouble, tolerance, size, "tic_diag");
    if (step > 0) {
        assert_int_equal(step_of(run, "alpha"), step - 1);
        must_be(value_of(run, "alpha"), said("Alpha", step - 1)->valuedouble, "alpha");
    }
}

static void check_traces(const pitot_run *run, const pitot_net *net, int64_t step) {
    const cJSON *list = said("HessTrace", step);
    double all = 0;
    char key[64];
    for (int k = 0; k < TENSORS; k++) {
        snprintf(key, sizeof key, "hess_trace/%s", pitot_net_params(net)[k].name);
        must_be(value_of(run, key), number(list, k), key);
        all += number(list, k);
    }
    must_be(value_of(run, "hess_trace"), all, "hess_trace");
}

static void check_all(const pitot_run *run, const pitot_net *net, int64_t step) {
    reading_check c = { net, step, 0, 0 };
    double test = said("NormTest", step)->valuedouble;
    must_be(value_of(run, "loss"), said("Loss", step)->valuedouble, "loss");
    check_per_tensor(run, net, "grad_norm", "GradNorm", step);
    check_per_tensor(run, net, "distance", "Distance", step);
    if (step + 1 < STEPS) check_per_tensor(run, net, "update_size", "UpdateSize", step);
    check_scalars(run, step);
    check_traces(run, net, step);
    must_be(value_of(run, "noise_scale"), N * test * test, "noise_scale");
    pitot_readings(run, check_reading, &c);
    assert_int_equal(c.seen, 1 + 1 + 2 * TENSORS);
    assert_int_equal(c.more, 1 + 2 * TENSORS + (step == 0 ? 2 + 3 : 0));
    check_eigenvalues(run, step);
}

static pitot_net *make_net(void) {
    pitot_error error = { 0 };
    pitot_net *net = pitot_net_new("golden", (int64_t[]){ 3, 0 }, "cross_entropy", &error);
    pitot_net_add(net, "linear", NULL, NULL, "out_features=4", &error);
    pitot_net_add(net, "tanh", NULL, NULL, NULL, &error);
    pitot_net_add(net, "linear", NULL, NULL, "out_features=3", &error);
    if (pitot_net_prepare(net, N, 1, &error)) fail_msg("%s", error.text);
    assert_int_equal(pitot_net_param_count(net), TENSORS);
    for (int k = 0; k < TENSORS; k++) assert_int_equal(pitot_net_params(net)[k].size, begins[k + 1] - begins[k]);
    return net;
}

static void test_cockpit(void **state) {
    (void)state;
    pitot_net *net = make_net();
    pitot_run *run =
        must_open(NULL, &(pitot_config){ sizeof(pitot_config), .probes = names_of_all(), .options = "hess_max_ev.warm=100",
                                         .optimizer = "sgd", .flags = PITOT_EXACT });
    pitot_attached attached;
    assert_int_equal(pitot_attach(&attached, net, run), PITOT_OK);
    double lr = cJSON_GetObjectItem(golden, "lr")->valuedouble, loss;
    pitot_hyper(run, -1, "lr", lr);
    for (int64_t step = 0; step < STEPS; step++) {
        pitot_real x[N * 3];
        int32_t y[N];
        for (int64_t i = 0; i < N * 3; i++) x[i] = (pitot_real)number(cJSON_GetArrayItem(at("X", step), (int)i / 3), i % 3);
        for (int64_t i = 0; i < N; i++) y[i] = (int32_t)number(at("Y", step), i);
        set_parameters(net, at("theta", step));
        pitot_net_batch b = { .struct_size = sizeof b, .n = N, .x = x, .classes = y, .training = 1 };
        pitot_begin(run, step);
        assert_int_equal(pitot_net_forward(net, &b, &loss), PITOT_OK);
        assert_int_equal(pitot_attached_forward(&attached, &b, loss), PITOT_OK);
        assert_int_equal(pitot_net_backward(net), PITOT_OK);
        assert_int_equal(pitot_attached_backward(&attached), PITOT_OK);
        if (step + 1 < STEPS) set_parameters(net, at("theta", step + 1));
        assert_int_equal(pitot_after_update(run, lr), PITOT_OK);
        check_all(run, net, step);
    }
    assert_string_equal(pitot_last_error(run), "");
    pitot_close(run, PITOT_DONE);
    pitot_net_free(net);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_cockpit) };
    return cmocka_run_group_tests(tests, read_golden, free_golden);
}
