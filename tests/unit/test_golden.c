/* What Cockpit itself said about four steps of a small net (tests/golden/cockpit_sgd.json), through our net and our probes. */

#include "host.h"

#include "base/file.h"

#include <cjson/cJSON.h>

enum { TENSORS = 4, D = 31, N = 5, STEPS = 4 };

static const double tolerance = sizeof(pitot_real) == 8 ? 1e-9 : 1e-4;
static const int64_t begins[TENSORS + 1] = { 0, 12, 16, 28, 31 };
static cJSON *golden;

static int read_golden(void **state) {
    (void)state;
    int64_t size;
    char *text = (char *)file_read("tests/golden/cockpit_sgd.json", 0, &size, NULL);
    golden = text ? cJSON_Parse(text) : NULL;
    mem_free(text);
    return golden ? 0 : -1;
}

static int free_golden(void **state) {
    (void)state;
    cJSON_Delete(golden);
    return 0;
}

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
    int seen;
} reading_check;

static double sample_gradient(int64_t step, int64_t i, int64_t j) {
    return number(cJSON_GetArrayItem(at("per_sample_grads", step), (int)i), j);
}

static void check_values(const reading_check *c, const pitot_reading *r, int variance) {
    int k = 0;
    while (strcmp(pitot_net_params(c->net)[k].name, r->tensor)) k++;
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

static void check_reading(void *user, const pitot_reading *r) {
    reading_check *c = user;
    if (!r->probe) return;
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

static void check_all(const pitot_run *run, const pitot_net *net, int64_t step) {
    reading_check c = { net, step, 0 };
    double test = said("NormTest", step)->valuedouble;
    must_be(value_of(run, "loss"), said("Loss", step)->valuedouble, "loss");
    check_per_tensor(run, net, "grad_norm", "GradNorm", step);
    check_per_tensor(run, net, "distance", "Distance", step);
    if (step + 1 < STEPS) check_per_tensor(run, net, "update_size", "UpdateSize", step);
    must_be(value_of(run, "mean_gsnr"), said("MeanGSNR", step)->valuedouble, "mean_gsnr");
    must_be(value_of(run, "noise_scale"), N * test * test, "noise_scale");
    pitot_readings(run, check_reading, &c);
    assert_int_equal(c.seen, 1 + 1 + 2 * TENSORS);
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
    pitot_run *run = must_open(NULL, &(pitot_config){ sizeof(pitot_config), .probes = names_of_all() });
    pitot_attached attached;
    assert_int_equal(pitot_attach(&attached, net, run), PITOT_OK);
    double lr = cJSON_GetObjectItem(golden, "lr")->valuedouble, loss;
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
