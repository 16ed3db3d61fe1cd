/* The three losses: values against their formulas in long double, gradients against differences, means, extreme and broken numbers.
   The net is one linear layer whose weight is the identity, or no layer but a flatten: its outputs are the inputs. */

#include "base/alloc.h"
#include "base/random.h"
#include "net/net.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { N = 7, C = 5 };

#ifdef PITOT_DOUBLE
static const double tolerance = 2e-14, slope_tolerance = 1e-6;
#else
static const double tolerance = 1e-6, slope_tolerance = 1e-4;
#endif

static const char *const names[] = { "cross_entropy", "mse", "bce_with_logits" };

/* A net whose outputs are its inputs plus a bias of 0. */
static pitot_net *identity(const char *loss, int64_t batch) {
    pitot_net *net = pitot_net_new(NULL, (const int64_t[]){ C, 0 }, loss, NULL);
    assert_non_null(net);
    assert_int_equal(pitot_net_add(net, "linear", NULL, NULL, "out_features=5", NULL), PITOT_OK);
    assert_int_equal(pitot_net_prepare(net, batch, 1, NULL), PITOT_OK);
    for (int i = 0; i < C; i++) pitot_net_params(net)[0].data[i * C + i] = 1;
    return net;
}

typedef struct samples {
    pitot_real f[N * C], t[N * C];
    int32_t y[N];
} samples;

static samples make_samples(double spread) {
    samples s;
    for (int i = 0; i < N * C; i++) {
        s.f[i] = (pitot_real)(spread * (2 * random_uniform(1, 50, 0, (uint64_t)i) - 1));
        s.t[i] = (pitot_real)random_uniform(1, 50, 1, (uint64_t)i);
    }
    for (int n = 0; n < N; n++) s.y[n] = (3 * n + 1) % C;
    return s;
}

static int32_t forward(pitot_net *net, const samples *s, int64_t n, double *loss) {
    pitot_net_batch b = { .struct_size = sizeof b, .n = n, .x = s->f, .classes = s->y, .targets = s->t };
    return pitot_net_forward(net, &b, loss);
}

/* ---- formulas, as in the definitions; fit for moderate outputs ---- */

/* Of sample n, with `by` added to its output `moved`. */
static long double one_loss(int kind, const samples *s, int n, int moved, long double by) {
    const pitot_real *t = s->t + n * C;
    long double sum = 0, total = 0, f[C];
    for (int i = 0; i < C; i++) {
        f[i] = (long double)s->f[n * C + i] + (i == moved ? by : 0);
        long double v = f[i], p = 1 / (1 + expl(-v)), d = v - (long double)t[i];
        total += expl(v);
        if (kind == 1) sum += d * d / C;
        if (kind == 2) sum -= ((long double)t[i] * logl(p) + (1 - (long double)t[i]) * logl(1 / (1 + expl(v)))) / C;
    }
    return kind == 0 ? -logl(expl(f[s->y[n]]) / total) : sum;
}

/* The loss is the mean over samples, and over outputs for mse and bce; the losses of samples have it as their mean. */
static void check_values(int kind, double spread, int64_t batch, int64_t n) {
    samples s = make_samples(spread);
    pitot_net *net = identity(names[kind], batch);
    double loss;
    long double mean = 0;
    assert_int_equal(forward(net, &s, n, &loss), PITOT_OK);
    for (int64_t k = 0; k < n; k++) {
        long double want = one_loss(kind, &s, (int)k, 0, 0);
        double got = (double)pitot_net_losses(net)[k];
        mean += want / (long double)n;
        if (!(fabsl(got - want) <= tolerance * (1 + fabsl(want))))
            fail_msg("%s: sample %d has %.17g, not %.17Lg", names[kind], (int)k, got, want);
    }
    if (!(fabsl(loss - mean) <= tolerance * (1 + fabsl(mean)))) fail_msg("%s: %.17g, not %.17Lg", names[kind], loss, mean);
    pitot_net_free(net);
}

static void test_values(void **state) {
    (void)state;
    for (int kind = 0; kind < 3; kind++)
        for (int64_t n = 1; n <= N; n += 3) {
            check_values(kind, 3, N, n);
            check_values(kind, 15, n, n);
        }
}

/* Numbers that can be worked out by hand. */
static void test_by_hand(void **state) {
    (void)state;
    samples s = { .f = { 0, 0, 0, 0, 0, 1, 2, 3, 4, 5 }, .y = { 2, 4 } };
    double loss;
    pitot_net *net = identity("cross_entropy", 2);
    forward(net, &s, 1, &loss);
    assert_true(fabs(loss - log(5)) < 1e-6);
    pitot_net_free(net);
    net = identity("mse", 2);
    forward(net, &s, 2, &loss);
    assert_true(fabs((double)pitot_net_losses(net)[0]) < 1e-12 && fabs((double)pitot_net_losses(net)[1] - 11) < 1e-5 &&
                fabs(loss - 5.5) < 1e-5);
    pitot_net_free(net);
    net = identity("bce_with_logits", 2);
    forward(net, &s, 1, &loss);
    assert_true(fabs(loss - log(2)) < 1e-6);
    pitot_net_free(net);
}

/* ---- gradients ---- */

/* With respect to each single output, from the loss's own function. */
static void check_gradient(int kind, double spread) {
    samples s = make_samples(spread);
    const loss_kind *l = loss_find(names[kind]);
    pitot_real losses[N], df[N * C];
    pitot_net_batch b = { .struct_size = sizeof b, .n = N, .x = s.f, .classes = s.y, .targets = s.t };
    l->evaluate(&b, C, s.f, losses, df);
    for (int i = 0; i < N * C; i++) {
        const long double h = 1e-5L;
        long double slope = (one_loss(kind, &s, i / C, i % C, h) - one_loss(kind, &s, i / C, i % C, -h)) / (2 * h * N);
        if (!(fabsl(df[i] - slope) <= slope_tolerance * fmaxl(fabsl(slope), 1e-3L)))
            fail_msg("%s: d loss / d f[%d] is %.15g, differences say %.15Lg", names[kind], i, (double)df[i], slope);
    }
}

/* The formulas of the gradients, in long double. */
static void check_gradient_formula(int kind, double spread) {
    samples s = make_samples(spread);
    pitot_net *net = identity(names[kind], N);
    long double bias[C] = { 0 };
    assert_int_equal(forward(net, &s, N, NULL), PITOT_OK);
    assert_int_equal(pitot_net_backward(net), PITOT_OK);
    for (int n = 0; n < N; n++) {
        long double total = 0;
        for (int i = 0; i < C; i++) total += expl((long double)s.f[n * C + i]);
        for (int i = 0; i < C; i++) {
            long double v = (long double)s.f[n * C + i], t = (long double)s.t[n * C + i];
            if (kind == 0) bias[i] += (expl(v) / total - (i == s.y[n])) / N;
            if (kind == 1) bias[i] += 2 * (v - t) / (N * C);
            if (kind == 2) bias[i] += (1 / (1 + expl(-v)) - t) / (N * C);
        }
    }
    for (int i = 0; i < C; i++) {
        double got = (double)pitot_net_params(net)[1].grad[i];
        if (!(fabsl(got - bias[i]) <= 3 * tolerance * (1 + fabsl(bias[i]))))
            fail_msg("%s: %d: %.17g, not %.17Lg", names[kind], i, got, bias[i]);
    }
    pitot_net_free(net);
}

static void test_gradients(void **state) {
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        check_gradient(kind, 2);
        check_gradient_formula(kind, 2);
        check_gradient_formula(kind, 12);
    }
}

/* ---- extreme outputs ---- */

static void check_extreme(int kind, double f0, double f1, double want) {
    samples s = { .f = { 0 }, .y = { 1 } };
    pitot_net *net = identity(names[kind], 1);
    double loss;
    s.f[0] = (pitot_real)f0;
    s.f[1] = (pitot_real)f1;
    for (int i = 2; i < C; i++) s.f[i] = (pitot_real)fmin(f0, f1);
    s.t[1] = 1;
    assert_int_equal(forward(net, &s, 1, &loss), PITOT_OK);
    if (!(fabs(loss - want) <= 2e-6 * fabs(want))) fail_msg("%s(%g, %g): %.17g, not %.17g", names[kind], f0, f1, loss, want);
    assert_int_equal(pitot_net_backward(net), PITOT_OK);
    for (int k = 0; k < 2; k++)
        for (int64_t i = 0; i < pitot_net_params(net)[k].size; i++) assert_true(isfinite((double)pitot_net_params(net)[k].grad[i]));
    pitot_net_free(net);
}

/* The class is 1, and its target: a loss of 0 or of the distance, never an overflow. */
static void test_extremes(void **state) {
    (void)state;
    check_extreme(0, 1e4, -1e4, 2e4);
    check_extreme(0, -1e4, 1e4, 0);
    check_extreme(0, 1e4, 1e4, log(2 + 3));
    check_extreme(0, -1e4, -1e4, log(5));
    check_extreme(0, 1e30, -1e30, 2e30);
    check_extreme(2, 1e4, -1e4, (1e4 + 1e4 + 3 * 0) / 5);
    check_extreme(2, -1e4, 1e4, 0);
    check_extreme(2, 1e30, -1e30, 2e30 / 5);
    check_extreme(1, 1e4, -1e4, (1e8 + 10001.0 * 10001 + 3e8) / 5);
}

static void test_infinite_outputs(void **state) {
    (void)state;
    samples s = { .f = { (pitot_real)-INFINITY, 1, 1, 1, 1 }, .y = { 1 } };
    pitot_real losses[1], df[C];
    pitot_net_batch b = { .struct_size = sizeof b, .n = 1, .classes = s.y, .targets = s.t };
    /* a class that is ruled out: the others share */
    loss_find("cross_entropy")->evaluate(&b, C, s.f, losses, df);
    assert_true(fabs((double)losses[0] - log(4)) < 1e-6 && df[0] == 0);
    s.y[0] = 0;
    loss_find("cross_entropy")->evaluate(&b, C, s.f, losses, df);
    assert_true(isinf((double)losses[0]) && losses[0] > 0);
    s.f[0] = (pitot_real)INFINITY;
    loss_find("mse")->evaluate(&b, C, s.f, losses, df);
    assert_true(isinf((double)losses[0]));
}

/* A NaN anywhere in a sample: that sample's loss and the mean are NaN, the others are not; nothing crashes. */
static void check_nan(int kind, int where) {
    samples s = make_samples(1);
    pitot_net *net = identity(names[kind], N);
    double loss;
    s.f[where] = (pitot_real)NAN;
    assert_int_equal(forward(net, &s, N, &loss), PITOT_OK);
    assert_true(isnan(loss));
    for (int n = 0; n < N; n++) assert_int_equal(isnan((double)pitot_net_losses(net)[n]), n == where / C);
    assert_int_equal(pitot_net_backward(net), PITOT_OK);
    pitot_net_correct(net);
    /* and the next clean batch is clean */
    s = make_samples(1);
    assert_int_equal(forward(net, &s, N, &loss), PITOT_OK);
    assert_true(isfinite(loss));
    assert_int_equal(pitot_net_backward(net), PITOT_OK);
    for (int64_t i = 0; i < pitot_net_params(net)[0].size; i++) assert_true(isfinite((double)pitot_net_params(net)[0].grad[i]));
    pitot_net_free(net);
}

static void test_nan(void **state) {
    (void)state;
    for (int kind = 0; kind < 3; kind++)
        for (int where = 0; where < N * C; where++) check_nan(kind, where);
}

/* ---- misuse ---- */

static void test_classes_out_of_range(void **state) {
    (void)state;
    static const int32_t bad[] = { -1, C, INT32_MIN, INT32_MAX };
    samples s = make_samples(1);
    pitot_net *net = identity("cross_entropy", N);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (int n = 0; n < N; n += N - 1) {
            double loss = 5;
            assert_int_equal(forward(net, &s, N, NULL), PITOT_OK);
            int32_t kept = s.y[n];
            s.y[n] = bad[i];
            assert_int_equal(forward(net, &s, N, &loss), PITOT_EINVAL);
            assert_true(loss == 5);
            assert_int_equal(pitot_net_backward(net), PITOT_EORDER); /* there is no last forward any more */
            assert_int_equal(pitot_net_correct(net), -1);
            assert_int_equal(forward(net, &s, n, NULL),
                             n ? PITOT_OK : PITOT_EINVAL); /* the bad one is not in the batch; or no batch */
            s.y[n] = kept;
        }
    pitot_net_free(net);
}

static void test_missing_targets(void **state) {
    (void)state;
    samples s = make_samples(1);
    for (int kind = 0; kind < 3; kind++) {
        pitot_net *net = identity(names[kind], N);
        pitot_net_batch b = {
            .struct_size = sizeof b, .n = N, .x = s.f, .classes = kind ? s.y : NULL, .targets = kind ? NULL : s.t
        };
        assert_int_equal(pitot_net_forward(net, &b, NULL), PITOT_EINVAL);
        b = (pitot_net_batch){ .struct_size = sizeof b, .n = N, .classes = s.y, .targets = s.t };
        assert_int_equal(pitot_net_forward(net, &b, NULL), PITOT_EINVAL);
        b.x = s.f;
        for (int64_t n = -1; n <= N + 1; n++) {
            b.n = n;
            assert_int_equal(pitot_net_forward(net, &b, NULL), n >= 1 && n <= N ? PITOT_OK : PITOT_EINVAL);
        }
        pitot_net_free(net);
    }
}

static void test_correct(void **state) {
    (void)state;
    samples s = { .f = { 0, 1, 0, 0, 0, 3, 3, 3, 3, 3, 0, 0, 0, 0, 9 }, .y = { 1, 0, 3 } };
    pitot_net *net = identity("cross_entropy", N);
    assert_int_equal(pitot_net_correct(net), -1);
    assert_int_equal(forward(net, &s, 3, NULL), PITOT_OK);
    assert_int_equal(pitot_net_correct(net), 2); /* of equals the first */
    pitot_net_free(net);
    net = identity("mse", N);
    assert_int_equal(forward(net, &s, 3, NULL), PITOT_OK);
    assert_int_equal(pitot_net_correct(net), -1);
    pitot_net_free(net);
}

/* The loss goes with the last layer's shape: class scores need one axis; mse takes any. */
static void test_shapes(void **state) {
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        pitot_error error = { 0 };
        pitot_net *net = pitot_net_new(NULL, (const int64_t[]){ 1, 2, 2, 0 }, names[kind], NULL);
        assert_int_equal(pitot_net_add(net, "relu", NULL, NULL, NULL, NULL), PITOT_OK);
        assert_int_equal(pitot_net_prepare(net, 1, 1, &error), kind ? PITOT_OK : PITOT_EMISMATCH);
        if (!kind) assert_non_null(strstr(error.text, "(1, 2, 2)"));
        pitot_net_free(net);
    }
    pitot_error error = { 0 };
    assert_null(pitot_net_new(NULL, (const int64_t[]){ 1, 0 }, "mes", &error));
    assert_int_equal(error.status, PITOT_EINVAL);
    assert_non_null(strstr(error.text, "did you mean \"mse\""));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_infinite_outputs),
        cmocka_unit_test(test_nan),
        cmocka_unit_test(test_classes_out_of_range),
        cmocka_unit_test(test_missing_targets),
        cmocka_unit_test(test_correct),
        cmocka_unit_test(test_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
