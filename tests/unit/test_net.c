/* Nets as a whole: branches, values that lie on top of each other, threads, batches of any size, initial values, weights from and to
   files, memory. What single ops compute is in test_ops.c. */

#include "base/alloc.h"
#include "base/random.h"
#include "data/safetensors.h"
#include "net/net.h"

#include <ftw.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#ifdef PITOT_DOUBLE
static const double same = 1e-12, slope_tolerance = 1e-6, slope_floor = 0.1, step_width = 1e-5, share = 0.9;
#else
static const double same = 1e-5, slope_tolerance = 0.1, slope_floor = 1, step_width = 2e-3, share = 0.5;
#endif

/* ---- nets ---- */

enum { LAYERS = 12, BATCH = 21, MOST_PARAMS = 2 * LAYERS };

typedef struct layer {
    const char *op, *attributes, *inputs; /* names are indices; inputs NULL: the layer before */
} layer;

typedef struct net_case {
    const char *what;
    int64_t shape[4];
    const char *loss;
    layer layer[LAYERS];
} net_case;

#define CONV(n) \
    { "conv2d", "out_channels=" #n ", kernel=3, padding=1", NULL }
#define LINEAR(n) \
    { "linear", "out_features=" #n, NULL }
#define OP(name) \
    { name, NULL, NULL }
#define ON(name, inputs) \
    { name, NULL, inputs }

static const net_case cases[] = {
    { "relu on conv, on flatten, on linear",
      { 2, 6, 5 },
      "cross_entropy",
      { CONV(4),
        OP("relu"),
        { "max_pool2d", "kernel=2", NULL },
        CONV(6),
        OP("relu"),
        OP("flatten"),
        OP("relu"),
        LINEAR(7),
        OP("relu"),
        LINEAR(3) } },
    { "tanh then relu", { 2, 5, 5 }, "mse", { CONV(3), OP("tanh"), OP("relu"), OP("flatten"), LINEAR(4), OP("tanh"), OP("relu") } },
    { "sigmoid, tanh, relu, relu", { 6 }, "mse", { LINEAR(8), OP("sigmoid"), OP("tanh"), OP("relu"), OP("relu"), LINEAR(3) } },
    { "elu then relu", { 6 }, "mse", { LINEAR(8), OP("elu"), OP("relu"), LINEAR(3), OP("selu"), OP("tanh") } },
    { "relu first", { 6 }, "mse", { OP("relu"), LINEAR(5), OP("relu") } },
    { "flatten and relu first", { 1, 2, 3 }, "mse", { OP("flatten"), OP("relu"), LINEAR(5) } },
    { "residual",
      { 2, 5, 5 },
      "cross_entropy",
      { CONV(4), OP("relu"), CONV(4), OP("relu"), CONV(4), ON("add", "1 4"), OP("relu"), OP("global_avg_pool2d"), LINEAR(3) } },
    { "two residuals on end",
      { 6 },
      "mse",
      { LINEAR(6), OP("tanh"), LINEAR(6), ON("add", "2 1"), OP("relu"), LINEAR(6), ON("add", "4, 5"), OP("relu"), LINEAR(2) } },
    { "three readers",
      { 2, 4, 4 },
      "mse",
      { CONV(3),
        ON("relu", "0"),
        ON("tanh", "0"),
        { "conv2d", "out_channels=3, kernel=1", "0" },
        ON("add", "1 2 3"),
        OP("flatten"),
        LINEAR(4) } },
    { "five readers, one twice",
      { 6 },
      "mse",
      { LINEAR(5), ON("relu", "0"), ON("sigmoid", "0"), { "linear", "out_features=5", "0" }, ON("add", "0 3 2 0 1"), LINEAR(2) } },
    { "relu beside its input", { 6 }, "mse", { LINEAR(5), OP("relu"), ON("add", "0 1"), OP("tanh"), ON("add", "3 2") } },
    { "flatten read twice",
      { 2, 3, 3 },
      "mse",
      { CONV(2), OP("flatten"), LINEAR(4), { "linear", "out_features=4", "1" }, ON("add", "2 3"), OP("relu") } },
    { "flatten of what others read",
      { 2, 3, 3 },
      "mse",
      { CONV(2),
        OP("flatten"),
        { "conv2d", "out_channels=2, kernel=3, padding=1", "0" },
        OP("flatten"),
        ON("add", "1 3"),
        OP("relu"),
        LINEAR(3) } },
    { "relu on a flatten that others read",
      { 2, 3, 3 },
      "mse",
      { CONV(2), OP("flatten"), OP("relu"), ON("add", "1 2"), LINEAR(3) } },
    { "the input again",
      { 4, 3, 3 },
      "mse",
      { CONV(4), OP("relu"), ON("add", "1 input"), OP("relu"), CONV(4), ON("add", "input 4 3") } },
    { "pool, relu, dropout",
      { 2, 6, 6 },
      "cross_entropy",
      { CONV(4),
        { "max_pool2d", "kernel=2", NULL },
        OP("relu"),
        OP("dropout"),
        OP("flatten"),
        { "dropout", "p=0.2", NULL },
        OP("relu"),
        LINEAR(4) } },
    { "a layer that nobody reads",
      { 6 },
      "mse",
      { LINEAR(5), { "linear", "out_features=3", "0" }, { "relu", NULL, "1" }, { "linear", "out_features=2", "0" } } },
    { "many positions",
      { 3, 20, 19 },
      "mse",
      { { "conv2d", "out_channels=5, kernel=3, groups=1", NULL },
        OP("relu"),
        { "conv2d", "out_channels=10, kernel=3, groups=5, stride=2", NULL },
        { "avg_pool2d", "kernel=2", NULL },
        OP("silu"),
        OP("flatten"),
        LINEAR(4) } },
};
enum { CASES = sizeof cases / sizeof *cases };

static pitot_net *build(const net_case *c) {
    pitot_error error = { 0 };
    pitot_net *net = pitot_net_new(c->what, c->shape, c->loss, &error);
    for (const layer *l = c->layer; l < c->layer + LAYERS && l->op; l++)
        if (pitot_net_add(net, l->op, NULL, l->inputs, l->attributes, &error)) fail_msg("%s: %s", c->what, error.text);
    return net;
}

static pitot_net *prepared(const net_case *c, int64_t batch, int32_t threads) {
    pitot_net *net = build(c);
    assert_int_equal(pitot_net_prepare(net, batch, threads, NULL), PITOT_OK);
    assert_int_equal(pitot_net_init(net, 11), PITOT_OK);
    return net;
}

typedef struct batch_data {
    pitot_real x[BATCH * 1200], targets[BATCH * 100];
    int32_t classes[BATCH];
    pitot_net_batch b;
} batch_data;

static batch_data data; /* the same for all nets */

static pitot_net_batch *batch_of(int64_t n) {
    for (size_t i = 0; !data.b.struct_size && i < sizeof data.x / sizeof *data.x; i++)
        data.x[i] = (pitot_real)(2 * random_uniform(1, 60, 0, i) - 1);
    for (size_t i = 0; !data.b.struct_size && i < sizeof data.targets / sizeof *data.targets; i++)
        data.targets[i] = (pitot_real)random_uniform(1, 60, 1, i);
    for (int k = 0; k < BATCH; k++) data.classes[k] = k % 3;
    data.b = (pitot_net_batch){ .struct_size = sizeof data.b,
                                .n = n,
                                .x = data.x,
                                .classes = data.classes,
                                .targets = data.targets,
                                .training = 1,
                                .seed = 3,
                                .step = 8 };
    return &data.b;
}

typedef struct result { /* everything that a pass gives */
    double loss;
    int64_t outputs, n_params, n, size[MOST_PARAMS];
    pitot_real *output, *losses, *grad[MOST_PARAMS];
} result;

static pitot_real *copy_of(const pitot_real *from, int64_t n) {
    pitot_real *to = mem_alloc(n, sizeof *to);
    memcpy(to, from, (size_t)n * sizeof *to);
    return to;
}

static result run(pitot_net *net, int64_t n) {
    result r = { .n = n, .n_params = pitot_net_param_count(net) };
    pitot_net_facts f;
    pitot_net_get_facts(net, &f);
    assert_int_equal(pitot_net_forward(net, batch_of(n), &r.loss), PITOT_OK);
    assert_int_equal(pitot_net_backward(net), PITOT_OK);
    r.outputs = f.output;
    r.output = copy_of(pitot_net_output(net), n * f.output);
    r.losses = copy_of(pitot_net_losses(net), n);
    for (int i = 0; i < r.n_params; i++) {
        r.size[i] = pitot_net_params(net)[i].size;
        r.grad[i] = copy_of(pitot_net_params(net)[i].grad, r.size[i]);
    }
    return r;
}

static void free_result(result *r) {
    mem_free(r->output);
    mem_free(r->losses);
    for (int i = 0; i < r->n_params; i++) mem_free(r->grad[i]);
}

static void compare_arrays(const net_case *c, const char *what, const pitot_real *a, const pitot_real *b, int64_t n,
                           double tolerance) {
    double largest = 0;
    for (int64_t i = 0; i < n; i++) largest = fmax(largest, fabs((double)a[i]));
    for (int64_t i = 0; i < n; i++) {
        int good = tolerance == 0 ? memcmp(&a[i], &b[i], sizeof *a) == 0 : fabs((double)a[i] - (double)b[i]) <= tolerance * largest;
        if (!good) fail_msg("%s: %s: %lld: %.17g and %.17g", c->what, what, (long long)i, (double)a[i], (double)b[i]);
    }
}

/* tolerance 0: the same bits. Frees both. */
static void compare(const net_case *c, const char *what, result a, result b, double tolerance) {
    assert_true(a.n == b.n && a.outputs == b.outputs && a.n_params == b.n_params);
    compare_arrays(c, what, a.output, b.output, a.n * a.outputs, tolerance);
    compare_arrays(c, what, a.losses, b.losses, a.n, tolerance);
    for (int i = 0; i < a.n_params; i++) compare_arrays(c, what, a.grad[i], b.grad[i], a.size[i], tolerance);
    if (!(fabs(a.loss - b.loss) <= tolerance * fabs(a.loss)))
        fail_msg("%s: %s: loss %.17g and %.17g", c->what, what, a.loss, b.loss);
    free_result(&a);
    free_result(&b);
}

/* ---- gradients of whole nets ---- */

static double moved_loss(pitot_net *net, const pitot_net_param *p, const pitot_real *kept, int64_t axis, double by) {
    double loss;
    for (int64_t j = 0; j < p->size; j++)
        p->data[j] = (pitot_real)((double)kept[j] + by * (axis < 0 ? 2 * random_uniform(4, 61, 0, (uint64_t)j) - 1 : j == axis));
    assert_int_equal(pitot_net_forward(net, batch_of(BATCH), &loss), PITOT_OK);
    memcpy(p->data, kept, (size_t)p->size * sizeof *kept);
    return loss;
}

/* Along an axis, or (-1) a random direction; where differences of two widths disagree there is a kink, and the point is left out. */
static int check_slope(const net_case *c, pitot_net *net, const pitot_net_param *p, const pitot_real *grad, int64_t axis,
                       double largest) {
    pitot_real *kept = copy_of(p->data, p->size);
    double h = step_width, q = h / 4, got = 0;
    double wide = (moved_loss(net, p, kept, axis, h) - moved_loss(net, p, kept, axis, -h)) / (2 * h);
    double narrow = (moved_loss(net, p, kept, axis, q) - moved_loss(net, p, kept, axis, -q)) / (2 * q);
    for (int64_t j = 0; j < p->size; j++)
        got += (double)grad[j] * (axis < 0 ? 2 * random_uniform(4, 61, 0, (uint64_t)j) - 1 : j == axis);
    mem_free(kept);
    double scale = fmax(fabs(wide), slope_floor * largest);
    if (!(fabs(wide - narrow) <= 0.5 * slope_tolerance * scale)) return 0;
    if (!(fabs(got - wide) <= slope_tolerance * scale))
        fail_msg("%s: d loss / d %s[%lld] is %.12g, differences say %.12g", c->what, p->name, (long long)axis, got, wide);
    return 1;
}

static void check_gradients(const net_case *c) {
    pitot_net *net = prepared(c, BATCH, 1);
    result r = run(net, BATCH);
    int64_t tried = 0, good = 0;
    for (int i = 0; i < r.n_params; i++) {
        const pitot_net_param *p = &pitot_net_params(net)[i];
        double largest = 0;
        for (int64_t j = 0; j < p->size; j++) largest = fmax(largest, fabs((double)r.grad[i][j]));
        for (int64_t k = -1; k < 6 && k < p->size; k++, tried++)
            good += check_slope(c, net, p, r.grad[i], k < 0 ? -1 : k * (p->size / 6), largest);
    }
    if ((double)good < share * (double)tried)
        fail_msg("%s: only %lld of %lld directions could be used", c->what, (long long)good, (long long)tried);
    free_result(&r);
    pitot_net_free(net);
}

static void test_gradients(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++) check_gradients(&cases[i]);
}

/* The same net, but every layer's values are read by one more layer, which nobody reads: so none of them may be written over. */
static pitot_net *apart(const net_case *c) {
    pitot_net *net = pitot_net_new(c->what, c->shape, c->loss, NULL);
    int last = 0;
    while (last + 1 < LAYERS && c->layer[last + 1].op) last++;
    for (int k = 0; k < last; k++) pitot_net_add(net, c->layer[k].op, NULL, c->layer[k].inputs, c->layer[k].attributes, NULL);
    char name[16], of[16];
    for (int k = 0; k < last; k++) {
        snprintf(name, sizeof name, "r%d", k);
        snprintf(of, sizeof of, "%d", k);
        assert_int_equal(pitot_net_add(net, "silu", name, of, NULL, NULL), PITOT_OK);
    }
    snprintf(name, sizeof name, "%d", last);
    const layer *l = &c->layer[last];
    assert_int_equal(pitot_net_add(net, l->op, name, l->inputs ? l->inputs : of, l->attributes, NULL), PITOT_OK);
    assert_int_equal(pitot_net_prepare(net, BATCH, 1, NULL), PITOT_OK);
    assert_int_equal(pitot_net_init(net, 11), PITOT_OK);
    return net;
}

static void test_in_place(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++) {
        pitot_net *with = prepared(&cases[i], BATCH, 1), *without = apart(&cases[i]);
        compare(&cases[i], "in place and apart", run(with, BATCH), run(without, BATCH), same);
        pitot_net_free(with);
        pitot_net_free(without);
    }
}

/* A pass leaves the caller's arrays and the parameters alone. */
static void test_inputs_stay(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++) {
        pitot_net *net = prepared(&cases[i], BATCH, 2);
        batch_of(BATCH);
        static batch_data before;
        before = data;
        pitot_real *theta = copy_of(net->theta, net->room);
        assert_int_equal(pitot_net_forward(net, &data.b, NULL), PITOT_OK);
        assert_int_equal(pitot_net_backward(net), PITOT_OK);
        assert_memory_equal(before.x, data.x, sizeof data.x);
        assert_memory_equal(before.targets, data.targets, sizeof data.targets);
        assert_memory_equal(before.classes, data.classes, sizeof data.classes);
        assert_memory_equal(theta, net->theta, (size_t)net->room * sizeof *theta);
        mem_free(theta);
        pitot_net_free(net);
    }
}

/* What nobody reads has the gradient 0, after every pass. */
static void test_unread_layer(void **state) {
    (void)state;
    const net_case *c = &cases[CASES - 2];
    pitot_net *net = prepared(c, BATCH, 2);
    for (int pass = 0; pass < 3; pass++) {
        result r = run(net, BATCH);
        assert_string_equal(pitot_net_params(net)[2].name, "1.weight");
        for (int k = 2; k < 4; k++)
            for (int64_t j = 0; j < r.size[k]; j++) assert_true(r.grad[k][j] == 0);
        assert_true(r.grad[0][0] != 0);
        free_result(&r);
    }
    pitot_net_free(net);
}

/* ---- threads, repetition, batches ---- */

static void test_threads(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++)
        for (int threads = 2; threads <= 3; threads++) {
            pitot_net *one = prepared(&cases[i], BATCH, 1), *more = prepared(&cases[i], BATCH, threads);
            compare(&cases[i], "threads", run(one, BATCH), run(more, BATCH), same);
            pitot_net_free(one);
            pitot_net_free(more);
        }
}

static void test_repetition(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++)
        for (int threads = 1; threads <= 3; threads += 2) {
            pitot_net *net = prepared(&cases[i], BATCH, threads), *other = prepared(&cases[i], BATCH, threads);
            result first = run(net, BATCH);
            free_result(&(result[]){ run(net, 6) }[0]); /* something else between */
            compare(&cases[i], "again", first, run(net, BATCH), 0);
            compare(&cases[i], "another net", run(net, BATCH), run(other, BATCH), 0);
            pitot_net_free(net);
            pitot_net_free(other);
        }
}

/* A batch smaller than there is room for gives what a net made for it gives. */
static void test_smaller_batches(void **state) {
    (void)state;
    static const int64_t sizes[] = { 1, 9, 20 };
    for (int i = 0; i < CASES; i++)
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
            pitot_net *large = prepared(&cases[i], BATCH, 2), *fitting = prepared(&cases[i], sizes[k], 2);
            result r = run(large, BATCH);
            free_result(&r);
            compare(&cases[i], "smaller batch", run(large, sizes[k]), run(fitting, sizes[k]), 0);
            pitot_net_free(large);
            pitot_net_free(fitting);
        }
}

/* The loss of a batch is the mean over its samples, each alone; its gradient the mean of theirs. No sample sees another. */
static void test_samples_alone(void **state) {
    (void)state;
    const net_case *c = &cases[6];
    pitot_net *net = prepared(c, BATCH, 2);
    result all = run(net, BATCH);
    double sum[MOST_PARAMS] = { 0 }, loss = 0;
    for (int k = 0; k < BATCH; k++) {
        pitot_net_batch one = *batch_of(1);
        double l;
        one.x += k * c->shape[0] * c->shape[1] * c->shape[2];
        one.classes += k;
        assert_int_equal(pitot_net_forward(net, &one, &l), PITOT_OK);
        assert_int_equal(pitot_net_backward(net), PITOT_OK);
        assert_true(fabs(l - (double)all.losses[k]) <= 10 * same * fabs(l));
        loss += l / BATCH;
        for (int i = 0; i < all.n_params; i++) sum[i] += (double)pitot_net_params(net)[i].grad[0] / BATCH;
    }
    assert_true(fabs(loss - all.loss) <= 10 * same * loss);
    for (int i = 0; i < all.n_params; i++) assert_true(fabs(sum[i] - (double)all.grad[i][0]) <= 10 * same * (fabs(sum[i]) + 0.1));
    free_result(&all);
    pitot_net_free(net);
}

static void test_prepare_again(void **state) {
    (void)state;
    int64_t blocks = mem_count().blocks;
    for (int i = 0; i < CASES; i++) {
        pitot_net *net = prepared(&cases[i], BATCH, 3), *fresh = prepared(&cases[i], 7, 2);
        free_result(&(result[]){ run(net, BATCH) }[0]);
        assert_int_equal(pitot_net_prepare(net, 7, 2, NULL), PITOT_OK);
        assert_int_equal(pitot_net_init(net, 11), PITOT_OK);
        compare(&cases[i], "prepared again", run(net, 7), run(fresh, 7), 0);
        assert_int_equal(pitot_net_prepare(net, BATCH, 2, NULL), PITOT_OK);
        assert_int_equal(pitot_net_init(net, 11), PITOT_OK);
        pitot_net_free(fresh);
        fresh = prepared(&cases[i], BATCH, 2);
        compare(&cases[i], "prepared larger", run(net, BATCH), run(fresh, BATCH), 0);
        pitot_net_free(net);
        pitot_net_free(fresh);
    }
    assert_int_equal(mem_count().blocks, blocks);
}

/* ---- order of calls, limits, facts ---- */

static void test_order_of_calls(void **state) {
    (void)state;
    pitot_error error = { 0 };
    pitot_net *net = pitot_net_new("n", (const int64_t[]){ 3, 0 }, "mse", NULL);
    assert_int_equal(pitot_net_prepare(net, 1, 1, &error), PITOT_EINVAL);
    assert_non_null(strstr(error.text, "layers"));
    assert_int_equal(pitot_net_forward(net, batch_of(1), NULL), PITOT_EORDER);
    assert_int_equal(pitot_net_add(net, "linear", NULL, NULL, "out_features=2", NULL), PITOT_OK);
    assert_int_equal(pitot_net_forward(net, batch_of(1), NULL), PITOT_EORDER);
    assert_int_equal(pitot_net_backward(net), PITOT_EORDER);
    assert_int_equal(pitot_net_init(net, 1), PITOT_EORDER);
    assert_int_equal(pitot_net_param_count(net), 0);
    assert_null(pitot_net_output(net));
    assert_int_equal(pitot_net_prepare(net, 0, 1, NULL), PITOT_EINVAL);
    assert_int_equal(pitot_net_prepare(net, -5, 1, NULL), PITOT_EINVAL);
    assert_int_equal(pitot_net_prepare(net, INT64_C(1) << 40, 1, NULL), PITOT_EINVAL);
    assert_int_equal(pitot_net_prepare(net, 4, 0, NULL), PITOT_OK);
    assert_int_equal(pitot_net_backward(net), PITOT_EORDER);
    assert_int_equal(pitot_net_forward(net, batch_of(4), NULL), PITOT_OK);
    assert_int_equal(pitot_net_add(net, "relu", NULL, NULL, NULL, NULL), PITOT_OK); /* a layer more: to be prepared anew */
    assert_int_equal(pitot_net_forward(net, batch_of(4), NULL), PITOT_EORDER);
    assert_int_equal(pitot_net_backward(net), PITOT_EORDER);
    pitot_net_free(net);
    pitot_net_free(NULL);
}

static void test_too_large(void **state) {
    (void)state;
    pitot_error error = { 0 };
    int64_t blocks = mem_count().blocks;
    pitot_net *net = pitot_net_new("n", (const int64_t[]){ 1000000, 0 }, "mse", NULL);
    assert_int_equal(pitot_net_add(net, "linear", NULL, NULL, "out_features=1000000", NULL), PITOT_OK);
    assert_int_equal(pitot_net_prepare(net, 1000, 1, &error), PITOT_ENOMEM);
    assert_non_null(strstr(error.text, "GB"));
    assert_int_equal(pitot_net_forward(net, batch_of(1), NULL), PITOT_EORDER);
    pitot_net_free(net);
    assert_int_equal(mem_count().blocks, blocks);
}

static void test_facts(void **state) {
    (void)state;
    pitot_net *net = prepared(&cases[0], BATCH, 1);
    pitot_net_facts f;
    pitot_net_get_facts(net, &f);
    assert_string_equal(f.name, cases[0].what);
    assert_string_equal(f.loss, "cross_entropy");
    assert_int_equal(f.parameters, (4 * 18 + 4) + (6 * 36 + 6) + (7 * 36 + 7) + (3 * 7 + 3));
    assert_true(f.input == 60 && f.output == 3 && f.layers == 10 && f.shape[1] == 6 && f.shape[3] == 0);
    /* forward and weight gradient; the input's gradient too, but for the first layer */
    assert_true(f.step_flops == 2 * (2 * (4 * 18 * 30) + 3 * (6 * 36 * 6) + 3 * (7 * 36) + 3 * (3 * 7)));
    pitot_net_free(net);
}

static void test_no_parameters(void **state) {
    (void)state;
    static const net_case c = {
        "nothing to learn", { 2, 4, 4 }, "mse", { OP("relu"), { "avg_pool2d", "kernel=2", NULL }, ON("add", "1 1") }
    };
    pitot_net *net = prepared(&c, BATCH, 2);
    result r = run(net, BATCH);
    assert_true(r.n_params == 0 && isfinite(r.loss));
    free_result(&r);
    pitot_net_free(net);
}

/* ---- parameters: names, shapes, first values ---- */

static pitot_net *named_net(void) {
    pitot_net *net = pitot_net_new("n", (const int64_t[]){ 4, 9, 8, 0 }, "cross_entropy", NULL);
    static const layer layers[] = { { "conv2d", "out_channels=6, kernel=3,2, groups=2", "conv1" },
                                    { "relu", NULL, NULL },
                                    { "conv2d", "out_channels=5, kernel=1, bias=false", "features.conv2" },
                                    { "flatten", NULL, NULL },
                                    { "linear", "out_features=300", NULL },
                                    { "linear", "out_features=10, bias=false", "head" } };
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        assert_int_equal(pitot_net_add(net, layers[i].op, layers[i].inputs, NULL, layers[i].attributes, NULL), PITOT_OK);
    assert_int_equal(pitot_net_prepare(net, 2, 1, NULL), PITOT_OK);
    return net;
}

static void test_parameters(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int64_t size, shape[PITOT_DIMS], fan_in;
    } want[] = { { "conv1.weight", 72, { 6, 2, 3, 2 }, 12 },
                 { "conv1.bias", 6, { 6 }, 12 },
                 { "features.conv2.weight", 30, { 5, 6, 1, 1 }, 6 },
                 { "4.weight", 73500, { 300, 245 }, 245 },
                 { "4.bias", 300, { 300 }, 245 },
                 { "head.weight", 3000, { 10, 300 }, 300 } };
    enum { WANT = sizeof want / sizeof *want };
    pitot_net *net = named_net();
    assert_int_equal(pitot_net_param_count(net), WANT);
    assert_int_equal(pitot_net_init(net, 5), PITOT_OK);
    for (int i = 0; i < WANT; i++) {
        const pitot_net_param *p = &pitot_net_params(net)[i];
        double bound = 1 / sqrt((double)want[i].fan_in), largest = 0;
        assert_string_equal(p->name, want[i].name);
        assert_int_equal(p->size, want[i].size);
        assert_memory_equal(p->shape, want[i].shape, sizeof p->shape);
        assert_true((uintptr_t)p->data % 64 == 0 && (uintptr_t)p->grad % 64 == 0);
        for (int64_t j = 0; j < p->size; j++) largest = fmax(largest, fabs((double)p->data[j]));
        assert_true(largest <= bound * (1 + 1e-7));
        assert_true(largest > bound * (1 - 10 / (double)p->size)); /* e^-10 to fail */
    }
    pitot_net_free(net);
}

/* Mean 0, variance bound^2/3, within five standard errors; no sign of one parameter in another. */
static void test_first_values(void **state) {
    (void)state;
    pitot_net *net = named_net(), *again = named_net();
    assert_int_equal(pitot_net_init(net, 5), PITOT_OK);
    const pitot_net_param *p = &pitot_net_params(net)[3], *small = &pitot_net_params(net)[5];
    double sum = 0, square = 0, cross = 0, n = (double)p->size, bound = 1 / sqrt(245.0);
    for (int64_t j = 0; j < p->size; j++) {
        double v = (double)p->data[j] / bound;
        sum += v;
        square += v * v;
        if (j < small->size) cross += v * (double)small->data[j] * sqrt(300.0);
    }
    assert_true(fabs(sum / n) < 5 * sqrt(1 / 3.0 / n));
    assert_true(fabs(square / n - 1 / 3.0) < 5 * sqrt(4 / 45.0 / n));
    assert_true(fabs(cross / (double)small->size) < 5 / 3.0 / sqrt((double)small->size));
    assert_int_equal(pitot_net_init(again, 5), PITOT_OK);
    assert_memory_equal(net->theta, again->theta, (size_t)net->room * sizeof(pitot_real));
    assert_int_equal(pitot_net_init(again, 6), PITOT_OK);
    for (int i = 0; i < 6; i++)
        assert_memory_not_equal(pitot_net_params(net)[i].data, pitot_net_params(again)[i].data,
                                (size_t)pitot_net_params(net)[i].size * sizeof(pitot_real));
    pitot_net_free(net);
    pitot_net_free(again);
}

/* ---- weights in files ---- */

static char folder[64];

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/pitot-net-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static int remove_folder(void **state) {
    (void)state;
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *path_of(const char *name) {
    static char path[160];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void test_save_and_load(void **state) {
    (void)state;
    pitot_error error = { 0 };
    pitot_net *net = named_net(), *other = named_net();
    assert_int_equal(pitot_net_init(net, 5), PITOT_OK);
    assert_int_equal(pitot_net_save(net, path_of("w.safetensors"), &error), PITOT_OK);
    assert_int_equal(pitot_net_load(other, path_of("w.safetensors"), &error), PITOT_OK);
    for (int64_t i = 0; i < net->room; i++) assert_true((float)net->theta[i] == (float)other->theta[i]);
    for (int64_t i = 0; i < net->room; i++)
        assert_true(other->theta[i] == (pitot_real)(float)other->theta[i]); /* F32 in the file */
    /* nothing that varies: the same bytes again */
    char before[1 << 12], after[1 << 12];
    FILE *in = fopen(path_of("w.safetensors"), "rb");
    assert_int_equal(fread(before, sizeof before, 1, in), 1);
    fclose(in);
    assert_int_equal(pitot_net_save(net, path_of("w.safetensors"), &error), PITOT_OK);
    in = fopen(path_of("w.safetensors"), "rb");
    assert_int_equal(fread(after, sizeof after, 1, in), 1);
    fclose(in);
    assert_memory_equal(before, after, sizeof before);
    assert_int_equal(pitot_net_save(net, "/no/such/folder/w", &error), PITOT_EIO);
    assert_non_null(strstr(error.text, "/no/such/folder/w"));
    pitot_net_free(net);
    pitot_net_free(other);
}

static pitot_net *tiny_net(void) {
    pitot_net *net = pitot_net_new("n", (const int64_t[]){ 3, 0 }, "mse", NULL);
    pitot_net_add(net, "linear", "fc", NULL, "out_features=2", NULL);
    assert_int_equal(pitot_net_prepare(net, 1, 1, NULL), PITOT_OK);
    return net;
}

/* A file written by hand: one dtype, fc.weight (2,3) with the given bits and fc.bias (2) likewise. */
static void write_tensors(const char *dtype, int width, const uint64_t *bits) {
    char header[512];
    int n = snprintf(header, sizeof header,
                     "{\"fc.weight\":{\"dtype\":\"%s\",\"shape\":[2,3],\"data_offsets\":[0,%d]},\"fc.bias\":{\"dtype\":\"%s\","
                     "\"shape\":[2],\"data_offsets\":[%d,%d]}}",
                     dtype, 6 * width, dtype, 6 * width, 8 * width);
    FILE *out = fopen(path_of("hand"), "wb");
    for (int i = 0; i < 8; i++) fputc(i < 2 ? n >> (8 * i) & 0xff : 0, out);
    fwrite(header, 1, (size_t)n, out);
    for (int k = 0; k < 8; k++)
        for (int i = 0; i < width; i++) fputc((int)(bits[k] >> (8 * i) & 0xff), out);
    assert_int_equal(fclose(out), 0);
}

static void test_dtypes(void **state) {
    (void)state;
    static const double want[] = { 1, -2, 0.5, 0, 3, -0.375, 65504, 0x1p-14 };
    static const uint16_t half[] = { 0x3c00, 0xc000, 0x3800, 0, 0x4200, 0xb600, 0x7bff, 0x0400 };
    uint64_t bits[4][8];
    for (int k = 0; k < 8; k++) {
        float f = (float)want[k];
        uint32_t word;
        memcpy(&word, &f, 4);
        bits[0][k] = word;
        memcpy(&bits[1][k], &want[k], 8);
        bits[2][k] = half[k];
        bits[3][k] = word >> 16;
    }
    static const char *const dtypes[] = { "F32", "F64", "F16", "BF16" };
    static const int widths[] = { 4, 8, 2, 2 };
    for (int d = 0; d < 4; d++) {
        pitot_error error = { 0 };
        pitot_net *net = tiny_net();
        write_tensors(dtypes[d], widths[d], bits[d]);
        if (pitot_net_load(net, path_of("hand"), &error)) fail_msg("%s: %s", dtypes[d], error.text);
        for (int k = 0; k < 8; k++) {
            double got = (double)(k < 6 ? pitot_net_params(net)[0].data[k] : pitot_net_params(net)[1].data[k - 6]);
            double expected = d == 3 && k == 6 ? 65280 : want[k]; /* bfloat16 has 8 bits; cut off here */
            if (got != expected) fail_msg("%s: value %d is %g, not %g", dtypes[d], k, got, expected);
        }
        pitot_net_free(net);
    }
}

static const double six[] = { 1, 2, 3, 4, 5, 6 };

typedef struct load_case {
    const char *says;
    int32_t status, n;
    struct {
        const char *name;
        int32_t n_dim, dtype;
        int64_t shape[3];
    } tensor[3];
} load_case;

static const load_case load_cases[] = {
    { "fc.bias: is missing", PITOT_EMISMATCH, 1, { { "fc.weight", 2, TENSOR_F32, { 2, 3 } } } },
    { "fc.weight: is missing", PITOT_EMISMATCH, 0, { { 0 } } },
    { "more: the model has no such parameter",
      PITOT_EMISMATCH,
      3,
      { { "fc.weight", 2, TENSOR_F32, { 2, 3 } }, { "fc.bias", 1, TENSOR_F32, { 2 } }, { "more", 1, TENSOR_F32, { 1 } } } },
    { "fc.weight: has the shape (3, 2), the model needs (2, 3)",
      PITOT_EMISMATCH,
      2,
      { { "fc.weight", 2, TENSOR_F32, { 3, 2 } }, { "fc.bias", 1, TENSOR_F32, { 2 } } } },
    { "fc.weight: has the shape (6), the model needs (2, 3)",
      PITOT_EMISMATCH,
      2,
      { { "fc.weight", 1, TENSOR_F32, { 6 } }, { "fc.bias", 1, TENSOR_F32, { 2 } } } },
    { "fc.bias: has the shape (2, 1), the model needs (2)",
      PITOT_EMISMATCH,
      2,
      { { "fc.weight", 2, TENSOR_F64, { 2, 3 } }, { "fc.bias", 2, TENSOR_F32, { 2, 1 } } } },
    { "fc.bias: holds bytes (U8)",
      PITOT_ENOTSUP,
      2,
      { { "fc.weight", 2, TENSOR_F32, { 2, 3 } }, { "fc.bias", 1, TENSOR_U8, { 2 } } } },
};

/* Whatever is wrong, the message names the file and the parameter, and the parameters are as they were. */
static void check_load(const load_case *c, pitot_net *net) {
    tensor_out out[3];
    pitot_error error = { 0 };
    pitot_real values[6];
    for (int i = 0; i < 6; i++) values[i] = (pitot_real)six[i];
    for (int i = 0; i < c->n; i++) {
        out[i] =
            (tensor_out){ .name = c->tensor[i].name, .n_dim = c->tensor[i].n_dim, .dtype = c->tensor[i].dtype, .values = values };
        memcpy(out[i].shape, c->tensor[i].shape, sizeof c->tensor[i].shape);
    }
    assert_int_equal(tensor_file_write(path_of("bad"), out, c->n, NULL, NULL, 0, 0, &error), PITOT_OK);
    pitot_net_init(net, 9);
    pitot_real *before = copy_of(net->theta, net->room);
    int32_t status = pitot_net_load(net, path_of("bad"), &error);
    if (status != c->status || error.status != status || !strstr(error.text, c->says) || !strstr(error.text, folder))
        fail_msg("\"%s\": status %d, \"%s\"", c->says, status, error.text);
    assert_memory_equal(before, net->theta, (size_t)net->room * sizeof *before);
    assert_int_equal(pitot_net_load(net, path_of("bad"), NULL) != PITOT_OK, 1);
    mem_free(before);
}

static void test_load_errors(void **state) {
    (void)state;
    int64_t blocks = mem_count().blocks;
    pitot_net *net = tiny_net();
    for (size_t i = 0; i < sizeof load_cases / sizeof *load_cases; i++) check_load(&load_cases[i], net);
    pitot_error error = { 0 };
    assert_int_equal(pitot_net_load(net, path_of("not there"), &error), PITOT_EIO);
    assert_non_null(strstr(error.text, "not there"));
    FILE *out = fopen(path_of("garbage"), "wb");
    fputs("this is no tensor file at all", out);
    fclose(out);
    error = (pitot_error){ 0 };
    assert_int_equal(pitot_net_load(net, path_of("garbage"), &error), PITOT_EFORMAT);
    pitot_net_add(net, "relu", NULL, NULL, NULL, NULL);
    error = (pitot_error){ 0 };
    assert_int_equal(pitot_net_load(net, path_of("bad"), &error), PITOT_EORDER);
    pitot_net_free(net);
    assert_int_equal(mem_count().blocks, blocks);
}

/* ---- memory ---- */

static void test_steps_allocate_nothing(void **state) {
    (void)state;
    mem_counts start = mem_count();
    for (int i = 0; i < CASES; i++)
        for (int threads = 1; threads <= 3; threads += 2) {
            pitot_net *net = prepared(&cases[i], BATCH, threads);
            int64_t requests = mem_count().requests;
            for (int step = 0; step < 10; step++) {
                assert_int_equal(pitot_net_forward(net, batch_of(1 + 2 * step), NULL), PITOT_OK);
                assert_int_equal(pitot_net_backward(net), PITOT_OK);
                pitot_net_correct(net);
            }
            assert_int_equal(mem_count().requests, requests);
            pitot_net_free(net);
        }
    assert_int_equal(mem_count().blocks, start.blocks);
    assert_int_equal(mem_count().bytes, start.bytes);
}

/* Everything from new to load, with each status. */
static int32_t whole_life(pitot_net **net, const net_case *c, const char *file) {
    pitot_error error = { 0 };
    int32_t status = PITOT_OK;
    *net = pitot_net_new(c->what, c->shape, c->loss, &error);
    if (!*net) return error.status;
    for (const layer *l = c->layer; l < c->layer + LAYERS && l->op && !status; l++)
        status = pitot_net_add(*net, l->op, NULL, l->inputs, l->attributes, &error);
    if (!status) status = pitot_net_prepare(*net, 5, 1, &error);
    if (!status) status = pitot_net_init(*net, 1);
    if (!status) status = pitot_net_save(*net, file, &error);
    if (!status) status = pitot_net_load(*net, file, &error);
    if (!status) status = pitot_net_forward(*net, batch_of(5), NULL);
    if (!status) status = pitot_net_backward(*net);
    assert_int_equal(error.status, status);
    return status;
}

/* The k-th request for memory fails, once or for ever, until none does. */
static void check_no_memory(const net_case *c, int forever) {
    int64_t blocks = mem_count().blocks;
    for (int k = 1;; k++) {
        pitot_net *net;
        mem_fail_at(k, forever);
        int32_t status = whole_life(&net, c, path_of("life"));
        mem_fail_at(0, 0);
        if (net && status) {
            double loss; /* what is there can be used, or says that it cannot */
            if (pitot_net_forward(net, batch_of(5), &loss) == PITOT_OK) assert_int_equal(pitot_net_backward(net), PITOT_OK);
        }
        pitot_net_free(net);
        assert_int_equal(mem_count().blocks, blocks);
        if (status == PITOT_OK) {
            assert_true(k > 20);
            return;
        }
        if (status != PITOT_ENOMEM) fail_msg("%s: request %d failed: status %d", c->what, k, status);
    }
}

static void test_no_memory(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i += 5)
        for (int forever = 0; forever < 2; forever++) check_no_memory(&cases[i], forever);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_in_place),
        cmocka_unit_test(test_inputs_stay),
        cmocka_unit_test(test_unread_layer),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_repetition),
        cmocka_unit_test(test_smaller_batches),
        cmocka_unit_test(test_samples_alone),
        cmocka_unit_test(test_prepare_again),
        cmocka_unit_test(test_order_of_calls),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_facts),
        cmocka_unit_test(test_no_parameters),
        cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_first_values),
        cmocka_unit_test(test_save_and_load),
        cmocka_unit_test(test_dtypes),
        cmocka_unit_test(test_load_errors),
        cmocka_unit_test(test_steps_allocate_nothing),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
