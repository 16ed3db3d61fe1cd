/* What a net provides for optimizers (pitot_optim_source), against its samples one by one; and the wrapper that lives on it.

   reference cases: clip_samples */

#include "base/alloc.h"
#include "base/random.h"
#include "optim/core/optimizer.h"
#include "pitot/train.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { N = 7, D = 3 * 2 * 9 + 3 + 4 * 75 + 4, C = 4 };

#ifdef PITOT_DOUBLE
static const double tolerance = 1e-12;
#else
static const double tolerance = 2e-5;
#endif

static pitot_net *net;
static pitot_provided provided;
static pitot_optim *optim;
static const pitot_optim_source *source;
static pitot_real x[N * 2 * 5 * 5];
static int32_t classes[N] = { 0, 3, 1, 1, 2, 0, 3 };
static double each[N][D]; /* the samples' own gradients */

static void run(int64_t from, int64_t n) {
    double loss;
    pitot_net_batch b = { .struct_size = sizeof b, .n = n, .x = x + from * 50, .classes = classes + from };
    assert_int_equal(pitot_net_forward(net, &b, &loss), PITOT_OK);
    assert_int_equal(pitot_net_backward(net), PITOT_OK);
}

static void gradients(double *out) {
    for (int64_t i = 0; i < pitot_net_param_count(net); i++)
        for (int64_t k = 0; k < pitot_net_params(net)[i].size; k++) *out++ = (double)pitot_net_params(net)[i].grad[k];
}

static int setup(void **state) {
    (void)state;
    pitot_error error = { 0 };
    for (int i = 0; i < N * 50; i++) x[i] = (pitot_real)(random_uniform(5, 5, 0, (uint64_t)i) - 0.5);
    net = pitot_net_new("provide", (const int64_t[]){ 2, 5, 5, 0 }, "cross_entropy", &error);
    pitot_net_add(net, "conv2d", "conv", NULL, "out_channels=3, kernel=3, padding=1", &error);
    pitot_net_add(net, "tanh", NULL, NULL, NULL, &error);
    pitot_net_add(net, "flatten", NULL, NULL, NULL, &error);
    pitot_net_add(net, "linear", "fc", NULL, "out_features=4", &error);
    pitot_net_prepare(net, N, 1, &error);
    pitot_net_init(net, 3);
    optim = pitot_optim_new("sgd+clip_samples", &error);
    if (!optim || pitot_provide_prepare(&provided, net, optim, 1, &error)) return print_error("%s\n", error.text), -1;
    source = &optim->source;
    for (int n = 0; n < N; n++) {
        run(n, 1);
        gradients(each[n]);
    }
    run(0, N);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    pitot_optim_free(optim);
    pitot_provide_end(&provided);
    pitot_net_free(net);
    return 0;
}

static void must_be(double value, double want, double scale, const char *what) {
    if (!(fabs(value - want) <= tolerance * (scale + fabs(want)))) fail_msg("%s: %.17g, not %.17g", what, value, want);
}

static void test_batch(void **state) {
    (void)state;
    int64_t samples, columns;
    double loss, sum = 0;
    assert_int_equal(source->batch(source->user, &samples, &columns, &loss), PITOT_OK);
    for (int n = 0; n < N; n++) sum += (double)pitot_net_losses(net)[n] / N;
    assert_true(samples == N && columns == C - 1);
    must_be(loss, sum, 0, "loss");
}

static void test_samples(void **state) {
    (void)state;
    double norm[N], weight[N], want[D] = { 0 };
    pitot_real out[D], squares[D];
    assert_int_equal(source->norms(source->user, norm), PITOT_OK);
    assert_int_equal(source->squares(source->user, squares), PITOT_OK);
    for (int n = 0; n < N; n++) {
        double square = 0;
        weight[n] = n == 2 ? 0 : 1.5 - 0.25 * n;
        for (int i = 0; i < D; i++) {
            square += each[n][i] * each[n][i];
            want[i] += weight[n] * each[n][i] / N;
        }
        must_be(norm[n], sqrt(square), 0, "norm of a sample's gradient");
    }
    assert_int_equal(source->weigh(source->user, weight, out), PITOT_OK);
    for (int i = 0; i < D; i++) {
        double mean = 0;
        for (int n = 0; n < N; n++) mean += each[n][i] * each[n][i] / N;
        must_be((double)out[i], want[i], 0.1, "weighed gradient");
        must_be((double)squares[i], mean, 0.1, "mean square");
    }
}

/* sum over samples and positions of G_n' A_n times scale, from captures */
static void product_of(const pitot_capture *c, double *weight, double *bias) {
    for (int64_t n = 0; n < N; n++)
        for (int o = 0; o < 4 && c->kind == PITOT_LINEAR; o++) {
            double g = (double)((const pitot_real *)c->G)[n * 4 + o] * c->scale;
            bias[o] += g;
            for (int i = 0; i < 75; i++) weight[o * 75 + i] += g * (double)((const pitot_real *)c->A)[n * 75 + i];
        }
}

/* Layers after `send` of the labels given, and without it, show the gradient; drawn ones what `drawn` says; columns square to the GGN. */
static void test_layers(void **state) {
    (void)state;
    int64_t samples, columns;
    double loss, now[D], weight[300], bias[4], diagonal[300] = { 0 };
    pitot_real out[D], ggn[D];
    pitot_capture c;
    run(0, N);
    gradients(now);
    assert_int_equal(source->layers, 2);
    for (int root = -1; root <= PITOT_ROOT_DRAWN; root++) {
        source->batch(source->user, &samples, &columns, &loss);
        if (root >= 0) assert_int_equal(source->send(source->user, root, 9, 0), PITOT_OK);
        assert_int_equal(source->layer(source->user, 1, 0, &c), PITOT_OK);
        assert_true(c.kind == PITOT_LINEAR && c.weight == 3 && c.bias == 4 && c.n == N);
        memset(weight, 0, sizeof weight);
        memset(bias, 0, sizeof bias);
        product_of(&c, weight, bias);
        if (root == PITOT_ROOT_DRAWN) assert_int_equal(source->drawn(source->user, 9, out), PITOT_OK);
        for (int i = 0; i < 300; i++)
            must_be(weight[i], root == PITOT_ROOT_DRAWN ? (double)out[57 + i] : now[57 + i], 0.1, "weight");
        for (int i = 0; i < 4; i++) must_be(bias[i], root == PITOT_ROOT_DRAWN ? (double)out[357 + i] : now[357 + i], 0.1, "bias");
    }
    for (int64_t k = 0; k < columns; k++) {
        assert_int_equal(source->send(source->user, PITOT_ROOT_COLUMN, 0, k), PITOT_OK);
        assert_int_equal(source->layer(source->user, 1, 0, &c), PITOT_OK);
        for (int n = 0; n < N; n++)
            for (int i = 0; i < 300; i++) {
                double g = (double)((const pitot_real *)c.G)[n * 4 + i / 75] * (double)((const pitot_real *)c.A)[n * 75 + i % 75];
                diagonal[i] += g * g * c.scale;
            }
    }
    assert_int_equal(pitot_net_diagonal(net, PITOT_DIAGONAL_GGN, 1, 0, 0, ggn, NULL), PITOT_OK);
    for (int i = 0; i < 300; i++) must_be(diagonal[i], (double)ggn[57 + i], 0.1, "diagonal of the GGN");
    assert_int_equal(source->send(source->user, PITOT_ROOT_COLUMN, 0, columns), PITOT_EINVAL);
    source->batch(source->user, &samples, &columns, &loss);
    assert_int_equal(source->layer(source->user, 2, 0, &c), PITOT_EINVAL);
    assert_int_equal(source->layer(source->user, 0, 1, &c), PITOT_OK);
    assert_true(c.kind == PITOT_CONV2D && c.h == 5 && c.padding[0] == 1 && !c.A && !c.G);
}

/* After `send`, `batch` and `gradient` each have `layer` show the labels given again. */
static void test_labels_again(void **state) {
    (void)state;
    int64_t samples, columns;
    double loss, now[D], weight[300], bias[4];
    pitot_capture c;
    run(0, N);
    gradients(now);
    for (int k = 0; k < 2; k++) {
        assert_int_equal(source->send(source->user, PITOT_ROOT_DRAWN, 9, 0), PITOT_OK);
        if (k) assert_int_equal(source->gradient(source->user, &loss), PITOT_OK);
        else assert_int_equal(source->batch(source->user, &samples, &columns, &loss), PITOT_OK);
        assert_int_equal(source->layer(source->user, 1, 0, &c), PITOT_OK);
        memset(weight, 0, sizeof weight);
        memset(bias, 0, sizeof bias);
        product_of(&c, weight, bias);
        for (int i = 0; i < 300; i++) must_be(weight[i], now[57 + i], 0.1, "weight, of the labels given");
    }
}

/* E over labels of the drawn gradient is 0, as the model's own labels are the fit; and each seed has its own. */
static void test_draws(void **state) {
    (void)state;
    enum { DRAWS = 4000 };
    pitot_real out[D];
    double mean = 0, square = 0;
    for (uint64_t k = 0; k < DRAWS; k++) {
        source->drawn(source->user, k, out);
        mean += (double)out[358] / DRAWS;
        square += (double)out[358] * (double)out[358] / DRAWS;
    }
    assert_true(square > 0 && fabs(mean) < 4 * sqrt(square / DRAWS));
}

/* Again, elsewhere, and back. */
static void test_again(void **state) {
    (void)state;
    double there, here, before[D], after[D];
    pitot_real *w = pitot_net_params(net)[2].data, kept = w[5];
    run(0, N);
    gradients(before);
    assert_int_equal(source->loss(source->user, &here), PITOT_OK);
    w[5] += (pitot_real)1e-3;
    assert_int_equal(source->loss(source->user, &there), PITOT_OK);
    must_be((there - here) / 1e-3, before[57 + 5], sizeof(pitot_real) == 8 ? 1e9 : 50, "slope");
    w[5] = kept;
    assert_int_equal(source->gradient(source->user, &there), PITOT_OK);
    gradients(after);
    assert_memory_equal(before, after, sizeof before);
    assert_true(there == here);
}

/* One step of SGD at lr 1 is the mean of the samples' own gradients, each no longer than 0.4 of the longest. */
static void test_clip_samples(void **state) {
    (void)state;
    double norm[N], most = 0, want[D] = { 0 };
    pitot_real before[D], *at = before;
    char text[40];
    pitot_error error = { 0 };
    run(0, N);
    assert_int_equal(source->norms(source->user, norm), PITOT_OK);
    for (int n = 0; n < N; n++) most = fmax(most, norm[n]);
    int clipped = 0;
    for (int n = 0; n < N; n++) {
        clipped += norm[n] > 0.4 * most;
        for (int i = 0; i < D; i++) want[i] += each[n][i] * fmin(1, 0.4 * most / norm[n]) / N;
    }
    assert_true(clipped > 0);
    pitot_provided own = { .struct_size = sizeof own };
    pitot_optim *o = pitot_optim_new("sgd", NULL);
    snprintf(text, sizeof text, "%.17g", 0.4 * most);
    pitot_optim_set(o, "lr", "1", &error);
    pitot_optim_set(o, "clip_samples.max", text, &error);
    assert_int_equal(pitot_provide_prepare(&own, net, o, 1, &error), PITOT_OK);
    const pitot_net_param *p = pitot_net_params(net);
    for (int k = 0; k < 4; at += p[k++].size) memcpy(at, p[k].data, (size_t)p[k].size * sizeof *at);
    assert_int_equal(pitot_optim_step(o), PITOT_OK);
    at = before;
    for (int k = 0, i = 0; k < 4; k++)
        for (int64_t j = 0; j < p[k].size; j++, i++) must_be((double)before[i] - (double)p[k].data[j], want[i], 1, "clipped step");
    at = before;
    for (int k = 0; k < 4; at += p[k++].size) memcpy(p[k].data, at, (size_t)p[k].size * sizeof *at);
    pitot_optim_free(o);
    pitot_provide_end(&own);
}

/* A net knows its batch and no data set: who has none is told before the first step. */
static int32_t no_data(void *user, double *loss) {
    *(int *)user += 1;
    *loss = 0;
    return PITOT_OK;
}

static void test_data(void **state) {
    (void)state;
    pitot_error error = { 0 };
    int passes = 0;
    pitot_optim *o = pitot_optim_new("svrg", NULL);
    pitot_provided own = { .struct_size = sizeof own };
    assert_int_equal(pitot_provide_prepare(&own, net, o, 1, &error), PITOT_ENOTSUP);
    assert_non_null(strstr(error.text, "source.data"));
    pitot_provide_end(&own);
    own = (pitot_provided){ .struct_size = sizeof own, .data = no_data, .user = &passes };
    assert_int_equal(pitot_provide_prepare(&own, net, o, 1, &error), PITOT_OK);
    run(0, N);
    assert_int_equal(pitot_optim_step(o), PITOT_OK);
    assert_int_equal(passes, 1);
    pitot_optim_free(o);
    pitot_provide_end(&own);
}

/* Asked beforehand, a diagonal has its room, whichever it is. */
static void test_diagonal_room(void **state) {
    static const char *const kinds[] = { "hesscale", "hesscale_gn", "ggn", "hessian" };
    (void)state;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        pitot_error error = { 0 };
        pitot_provided own = { .struct_size = sizeof own };
        pitot_optim *o = pitot_optim_new("adahesscale", NULL);
        assert_int_equal(pitot_net_prepare(net, N, 1, &error), PITOT_OK);
        assert_int_equal(pitot_optim_set(o, "diagonal", kinds[k], NULL), PITOT_OK);
        if (pitot_provide_prepare(&own, net, o, 1, &error)) fail_msg("%s", error.text);
        run(0, N);
        int64_t requests = mem_count().requests;
        assert_int_equal(pitot_optim_step(o), PITOT_OK);
        if (mem_count().requests != requests) fail_msg("%s: the first step allocates", kinds[k]);
        pitot_optim_free(o);
        pitot_provide_end(&own);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batch),        cmocka_unit_test(test_samples), cmocka_unit_test(test_layers),
        cmocka_unit_test(test_labels_again), cmocka_unit_test(test_draws),   cmocka_unit_test(test_again),
        cmocka_unit_test(test_clip_samples), cmocka_unit_test(test_data),    cmocka_unit_test(test_diagonal_room),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
