/* EKFAC's second moments of a convolution whose samples are cut into blocks and among threads. Rotations keep lengths: whatever the bases, moments
   add up to the mean over samples of the square lengths of their own gradients, which backward passes of one sample each give. */

#include "pitot/train.h"

#include "base/random.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { N = 7, EDGE = 16, PIXELS = EDGE * EDGE, OUTPUTS = 2, COLUMNS = 10 }; /* two samples fill a block */

static pitot_real x[N * PIXELS];
static int32_t classes[N];

static pitot_net *make_net(void) {
    pitot_error error = { 0 };
    pitot_net *net = pitot_net_new("conv", (const int64_t[]){ 1, EDGE, EDGE, 0 }, "cross_entropy", &error);
    pitot_net_add(net, "conv2d", "conv", NULL, "out_channels=2, kernel=3, padding=1", &error);
    pitot_net_add(net, "flatten", NULL, NULL, NULL, &error);
    pitot_net_add(net, "linear", "fc", NULL, "out_features=3", &error);
    if (pitot_net_prepare(net, N, 1, &error)) fail_msg("%s", error.text);
    pitot_net_init(net, 4);
    return net;
}

static void backward(pitot_net *net, int64_t from, int64_t n) {
    pitot_net_batch batch = { .struct_size = sizeof batch, .n = n, .x = x + from * PIXELS, .classes = classes + from };
    double loss;
    assert_int_equal(pitot_net_forward(net, &batch, &loss), PITOT_OK);
    assert_int_equal(pitot_net_backward(net), PITOT_OK);
}

/* With respect to the convolution's weight and bias. */
static double mean_square(pitot_net *net) {
    double sum = 0;
    for (int64_t n = 0; n < N; n++) {
        backward(net, n, 1);
        for (int64_t k = 0; k < 2; k++)
            for (int64_t i = 0; i < pitot_net_params(net)[k].size; i++) sum += pow((double)pitot_net_params(net)[k].grad[i], 2);
    }
    return sum / N;
}

static void check(int32_t threads) {
    pitot_error error = { 0 };
    pitot_provided provided = { .struct_size = sizeof provided };
    pitot_preconditioner v;
    pitot_net *net = make_net();
    pitot_optim *optim = pitot_optim_new("ekfac", &error);
    double want = mean_square(net), sum = 0, tolerance = sizeof(pitot_real) == 8 ? 1e-12 : 1e-5;
    assert_int_equal(pitot_optim_set(optim, "max_dim", "100", &error), PITOT_OK);
    if (pitot_provide_prepare(&provided, net, optim, threads, &error)) fail_msg("%s", error.text);
    backward(net, 0, N);
    assert_int_equal(pitot_optim_step(optim), PITOT_OK);
    assert_int_equal(pitot_optim_view(optim, 0, 0, &v), PITOT_OK);
    for (int i = 0; i < OUTPUTS * COLUMNS; i++) sum += (double)v.corrected[i];
    if (!(fabs(sum - want) <= tolerance * want)) fail_msg("%d threads: %.15g, not %.15g", threads, sum, want);
    pitot_optim_free(optim);
    pitot_provide_end(&provided);
    pitot_net_free(net);
}

static void test_moments(void **state) {
    (void)state;
    for (int i = 0; i < N * PIXELS; i++) x[i] = (pitot_real)(random_uniform(5, 5, 0, (uint64_t)i) * (1 + i / PIXELS));
    for (int i = 0; i < N; i++) classes[i] = i % 3;
    for (int32_t threads = 1; threads <= 3; threads++) check(threads);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_moments) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
