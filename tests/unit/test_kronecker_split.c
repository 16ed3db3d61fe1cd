/* test_kronecker_split.c: K-FAC's factors of a convolution whose samples are added up on several threads, against plain loops over windows and over
   what came back to each position. */

#include "base/random.h"
#include "optim/core/optimizer.h"
#include "pitot/train.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* 2 groups of 2 channels each, 23 x 23 positions: a block of rows holds no second sample. */
enum { N = 7, CHANNELS = 4, SIDE = 25, OUT = SIDE - 2, PLANE = SIDE * SIDE, COLUMNS = 2 * 9 + 1, ROWS = 3 };

static pitot_real x[N * CHANNELS * PLANE];

/* Of the group's inputs: mean over samples and positions of the products of two entries of a window, the last of which is 1. */
static double input_product(int group, int i, int k) {
    double sum = 0;
    for (int n = 0; n < N; n++)
        for (int p = 0; p < OUT * OUT; p++) {
            double value[2] = { 1, 1 };
            for (int q = 0; q < 2; q++) {
                int at = q ? k : i, channel = n * CHANNELS + group * 2 + at / 9;
                if (at < COLUMNS - 1) value[q] = (double)x[channel * PLANE + (p / OUT + at % 9 / 3) * SIDE + p % OUT + at % 3];
            }
            sum += value[0] * value[1];
        }
    return sum / N / (OUT * OUT);
}

/* Of the group's outputs: sums over samples, positions and columns of the root, N times what they are of the mean loss. */
static void output_products(pitot_optim *o, int group, double *out) {
    int64_t samples, columns;
    double loss;
    memset(out, 0, ROWS * ROWS * sizeof *out);
    assert_int_equal(o->source.batch(o->source.user, &samples, &columns, &loss), PITOT_OK);
    for (int64_t k = 0; k < columns; k++) {
        pitot_capture c;
        assert_int_equal(o->source.send(o->source.user, PITOT_ROOT_COLUMN, 0, k), PITOT_OK);
        assert_int_equal(o->source.layer(o->source.user, 0, 0, &c), PITOT_OK);
        double scale = c.scale != 0 ? c.scale : 1;
        for (int n = 0; n < N; n++)
            for (int i = 0; i < ROWS * ROWS; i++) {
                const pitot_real *g = (const pitot_real *)c.G + (n * 2 + group) * ROWS * OUT * OUT;
                for (int p = 0; p < OUT * OUT; p++)
                    out[i] += scale * scale * N * (double)g[i / ROWS * OUT * OUT + p] * (double)g[i % ROWS * OUT * OUT + p];
            }
    }
}

/* Both groups' factors after two steps on `threads`: (group, side) of COLUMNS^2 values each. */
static void factors(int32_t threads, double out[4][COLUMNS * COLUMNS], double tolerance) {
    pitot_error error = { 0 };
    int32_t classes[N];
    double loss;
    pitot_net *net = pitot_net_new("net", (const int64_t[]){ CHANNELS, SIDE, SIDE, 0 }, "cross_entropy", &error);
    pitot_net_add(net, "conv2d", "conv", NULL, "out_channels=6, kernel=3, groups=2", &error);
    pitot_net_add(net, "tanh", NULL, NULL, NULL, &error);
    pitot_net_add(net, "flatten", NULL, NULL, NULL, &error);
    pitot_net_add(net, "linear", "fc", NULL, "out_features=3", &error);
    assert_int_equal(error.status, PITOT_OK);
    assert_int_equal(pitot_net_prepare(net, N, 1, &error), PITOT_OK);
    assert_int_equal(pitot_net_init(net, 3), PITOT_OK);
    pitot_provided provided = { .struct_size = sizeof provided };
    pitot_optim *o = pitot_optim_new("kfac", &error);
    pitot_optim_set(o, "fisher", "exact", &error);
    pitot_optim_set(o, "lr", "0", &error);
    assert_int_equal(pitot_provide_prepare(&provided, net, o, threads, &error), PITOT_OK);
    for (int n = 0; n < N; n++) classes[n] = n % 3;
    pitot_net_batch b = { .struct_size = sizeof b, .n = N, .x = x, .classes = classes, .training = 1, .seed = 1 };
    for (int t = 0; t < 2; t++) {
        assert_int_equal(pitot_net_forward(net, &b, &loss), PITOT_OK);
        assert_int_equal(pitot_net_backward(net), PITOT_OK);
        assert_int_equal(pitot_optim_step(o), PITOT_OK);
    }
    for (int f = 0; f < 4; f++) {
        pitot_preconditioner v;
        assert_int_equal(pitot_optim_view(o, 0, f, &v), PITOT_OK);
        assert_int_equal(v.n, f % 2 ? COLUMNS : ROWS);
        for (int64_t i = 0; i < v.n * v.n; i++) out[f][i] = (double)v.factor[i];
    }
    assert_int_equal(pitot_net_forward(net, &b, &loss), PITOT_OK);
    assert_int_equal(pitot_net_backward(net), PITOT_OK);
    for (int group = 0; group < 2; group++) {
        double plain[ROWS * ROWS];
        output_products(o, group, plain);
        for (int i = 0; i < ROWS * ROWS; i++) assert_true(fabs(out[2 * group][i] - plain[i]) < tolerance * plain[0]);
    }
    pitot_optim_free(o);
    pitot_provide_end(&provided);
    pitot_net_free(net);
}

/* Sums of 3,703 products of values of order 1. */
static void test_split(void **state) {
    static double one[4][COLUMNS * COLUMNS], more[4][COLUMNS * COLUMNS];
    double tolerance = sizeof(pitot_real) == 8 ? 1e-13 : 1e-5;
    (void)state;
    for (int i = 0; i < N * CHANNELS * PLANE; i++) x[i] = (pitot_real)(random_uniform(5, 5, 0, (uint64_t)i) - 0.5);
    factors(1, one, tolerance);
    for (int f = 0; f < 2; f++)
        for (int i = 0; i < COLUMNS * COLUMNS; i++)
            assert_true(fabs(one[2 * f + 1][i] - input_product(f, i / COLUMNS, i % COLUMNS)) < tolerance);
    for (int32_t threads = 2; threads < 10; threads += 3) {
        factors(threads, more, tolerance);
        for (int f = 0; f < 4; f++) {
            int n = f % 2 ? COLUMNS : ROWS;
            double most = 0;
            for (int i = 0; i < n * n; i++) most = fmax(most, fabs(one[f][i]));
            for (int i = 0; i < n * n; i++) assert_true(fabs(more[f][i] - one[f][i]) <= tolerance * most);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_split) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
