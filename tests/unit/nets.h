/* nets.h: nets of all kinds, every op among them, a batch for them, and vectors: for test_tangent.c and test_diagonal.c. */

#ifndef PITOT_TESTS_NETS_H
#define PITOT_TESTS_NETS_H

#include "base/alloc.h"
#include "base/random.h"
#include "net/net.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#ifdef PITOT_DOUBLE
static const double round_off = 1e-12;
#else
static const double round_off = 2e-5;
#endif

/* ---- nets ---- */

enum { LAYERS = 10, ROOM = 11, BATCH = 7, MOST_INPUT = 800, MOST_OUTPUT = 256 };

typedef struct layer {
    const char *op, *attributes, *inputs; /* names are indices; inputs NULL: the layer before */
} layer;

typedef struct net_case {
    const char *what;
    int64_t shape[4];
    const char *loss;
    layer layer[LAYERS];
} net_case;

/* clang-format off */
#define CONV(n) { "conv2d", "out_channels=" #n ", kernel=3, padding=1", NULL }
#define LINEAR(n) { "linear", "out_features=" #n, NULL }
#define OP(name) { name, NULL, NULL }
#define ON(name, inputs) { name, NULL, inputs }
#define ON_CONV(op, attributes) \
    { op " on conv: " attributes, { 2, 7, 6 }, "mse", { CONV(4), { op, attributes, NULL }, OP("flatten"), LINEAR(3) } }
#define ON_LINEAR(op, attributes) \
    { op " on linear: " attributes, { 7 }, "cross_entropy", { LINEAR(6), { op, attributes, NULL }, LINEAR(4) } }
#define SECOND_CONV(attributes) \
    { "conv: " attributes, { 2, 7, 6 }, "mse", { CONV(4), OP("tanh"), { "conv2d", attributes, NULL }, OP("sigmoid") } }
/* clang-format on */

static const net_case cases[] = {
    { "linear alone", { 5 }, "cross_entropy", { LINEAR(3) } },
    { "linear alone, mse", { 5 }, "mse", { LINEAR(3) } },
    { "linear alone, bce", { 5 }, "bce_with_logits", { { "linear", "out_features=3, bias=false", NULL } } },
    { "conv alone", { 2, 5, 6 }, "mse", { CONV(3) } },
    { "linear, tanh", { 5 }, "cross_entropy", { LINEAR(6), OP("tanh"), LINEAR(4) } },
    { "linear, tanh, bce", { 5 }, "bce_with_logits", { LINEAR(6), OP("tanh"), LINEAR(4) } },
    { "no bias",
      { 5 },
      "mse",
      { { "linear", "out_features=6, bias=false", NULL }, OP("tanh"), { "linear", "out_features=2, bias=false", NULL } } },
    { "wide", { 70 }, "cross_entropy", { LINEAR(90), OP("tanh"), LINEAR(80), OP("relu"), LINEAR(33) } },
    SECOND_CONV("out_channels=3, kernel=3"),
    SECOND_CONV("out_channels=3, kernel=3, stride=2, padding=1"),
    SECOND_CONV("out_channels=3, kernel=3,2, stride=2,1, padding=1,0"),
    SECOND_CONV("out_channels=3, kernel=3, dilation=2, padding=2"),
    SECOND_CONV("out_channels=3, kernel=2,3, dilation=3,1, stride=1,2, padding=1,2"),
    SECOND_CONV("out_channels=4, kernel=3, padding=1, groups=2"),
    SECOND_CONV("out_channels=8, kernel=3,1, stride=2, groups=4, bias=false"),
    SECOND_CONV("out_channels=3, kernel=1"),
    SECOND_CONV("out_channels=3, kernel=1, stride=2"),
    SECOND_CONV("out_channels=6, kernel=1, groups=2"),
    SECOND_CONV("out_channels=3, kernel=3, padding=1, bias=false"),
    SECOND_CONV("out_channels=3, kernel=7,6"),
    SECOND_CONV("out_channels=2, kernel=5, padding=4"),
    { "many positions",
      { 2, 20, 19 },
      "mse",
      { { "conv2d", "out_channels=5, kernel=3", NULL },
        OP("tanh"),
        { "conv2d", "out_channels=4, kernel=1", NULL },
        OP("tanh"),
        { "conv2d", "out_channels=3, kernel=3, stride=3", NULL } } },
    ON_CONV("max_pool2d", "kernel=2"),
    ON_CONV("max_pool2d", "kernel=3, stride=2, ceil_mode=true"),
    ON_CONV("max_pool2d", "kernel=3, stride=1, padding=1, dilation=2"),
    ON_CONV("avg_pool2d", "kernel=2"),
    ON_CONV("avg_pool2d", "kernel=3, stride=2, padding=1, ceil_mode=true, count_include_pad=false"),
    ON_CONV("global_avg_pool2d", ""),
    ON_LINEAR("relu", ""),
    ON_CONV("relu", ""),
    ON_LINEAR("tanh", ""),
    ON_CONV("tanh", ""),
    ON_LINEAR("sigmoid", ""),
    ON_CONV("sigmoid", ""),
    ON_LINEAR("silu", ""),
    ON_CONV("silu", ""),
    ON_LINEAR("selu", ""),
    ON_LINEAR("gelu", ""),
    ON_CONV("gelu", "approximate=tanh"),
    ON_LINEAR("leaky_relu", ""),
    ON_CONV("leaky_relu", "negative_slope=-0.5"),
    ON_LINEAR("elu", ""),
    ON_CONV("elu", "alpha=-2"),
    ON_LINEAR("softplus", ""),
    ON_CONV("softplus", "beta=3"),
    ON_CONV("softplus", "beta=2, threshold=1"),
    ON_LINEAR("dropout", ""),
    ON_CONV("dropout", "p=0.25"),
    { "flatten and tanh first", { 1, 2, 3 }, "mse", { OP("flatten"), OP("tanh"), LINEAR(5), OP("tanh"), LINEAR(2) } },
    { "relu on conv, on flatten, on linear",
      { 2, 6, 5 },
      "cross_entropy",
      { CONV(4),
        OP("relu"),
        { "max_pool2d", "kernel=2", NULL },
        CONV(6),
        OP("tanh"),
        OP("flatten"),
        OP("relu"),
        LINEAR(7),
        OP("relu"),
        LINEAR(3) } },
    { "tanh then relu", { 2, 5, 5 }, "mse", { CONV(3), OP("tanh"), OP("relu"), OP("flatten"), LINEAR(4), OP("relu"), OP("tanh") } },
    { "sigmoid, tanh, relu, sigmoid",
      { 6 },
      "mse",
      { LINEAR(8), OP("sigmoid"), OP("tanh"), OP("relu"), LINEAR(3), OP("sigmoid") } },
    { "tanh on a flatten", { 2, 3, 3 }, "mse", { CONV(2), OP("flatten"), OP("tanh"), OP("flatten"), LINEAR(4), OP("tanh") } },
    { "tanh on silu, relu on gelu",
      { 6 },
      "mse",
      { LINEAR(8), OP("silu"), OP("tanh"), LINEAR(5), OP("gelu"), OP("relu"), LINEAR(3) } },
    { "elu then relu", { 6 }, "mse", { LINEAR(8), OP("elu"), OP("relu"), LINEAR(3), OP("selu"), OP("tanh") } },
    { "tanh on dropout",
      { 2, 6, 6 },
      "cross_entropy",
      { CONV(4),
        { "avg_pool2d", "kernel=2", NULL },
        OP("dropout"),
        OP("tanh"),
        OP("flatten"),
        OP("dropout"),
        OP("sigmoid"),
        LINEAR(4) } },
    { "residual",
      { 2, 5, 5 },
      "cross_entropy",
      { CONV(4), OP("tanh"), CONV(4), OP("relu"), CONV(4), ON("add", "1 4"), OP("sigmoid"), OP("global_avg_pool2d"), LINEAR(3) } },
    { "two residuals on end",
      { 6 },
      "mse",
      { LINEAR(6), OP("tanh"), LINEAR(6), ON("add", "2 1"), OP("sigmoid"), LINEAR(6), ON("add", "4, 5"), OP("relu"), LINEAR(2) } },
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
      { LINEAR(5), ON("tanh", "0"), ON("sigmoid", "0"), { "linear", "out_features=5", "0" }, ON("add", "0 3 2 0 1"), LINEAR(2) } },
    { "tanh beside its input", { 6 }, "mse", { LINEAR(5), OP("tanh"), ON("add", "0 1"), OP("tanh"), ON("add", "3 2") } },
    { "flatten of what others read",
      { 2, 3, 3 },
      "mse",
      { CONV(2),
        OP("flatten"),
        { "conv2d", "out_channels=2, kernel=3, padding=1", "0" },
        OP("flatten"),
        ON("add", "1 3"),
        OP("sigmoid"),
        LINEAR(3) } },
    { "the input again",
      { 4, 3, 3 },
      "mse",
      { CONV(4), OP("tanh"), ON("add", "input 1 input"), OP("tanh"), CONV(4), ON("add", "input 4 3") } },
    { "a layer that nobody reads",
      { 6 },
      "mse",
      { LINEAR(5), { "linear", "out_features=3", "0" }, ON("tanh", "1"), { "linear", "out_features=2", "0" } } },
    { "nothing that the output depends on", { 6 }, "mse", { LINEAR(5), ON("tanh", "input") } },
    { "no parameters", { 2, 4, 4 }, "mse", { OP("relu"), ON("add", "0 0") } },
};
enum { CASES = sizeof cases / sizeof *cases };

static inline pitot_net *prepared(const net_case *c, int64_t batch, int32_t threads) {
    pitot_error error = { 0 };
    pitot_net *net = pitot_net_new(c->what, c->shape, c->loss, &error);
    for (const layer *l = c->layer; l < c->layer + LAYERS && l->op; l++)
        if (pitot_net_add(net, l->op, NULL, l->inputs, l->attributes, &error)) fail_msg("%s: %s", c->what, error.text);
    assert_int_equal(pitot_net_prepare(net, batch, threads, NULL), PITOT_OK);
    assert_int_equal(pitot_net_init(net, 11), PITOT_OK);
    for (int64_t i = 0; i < net->room; i++) net->theta[i] *= (pitot_real)1.5; /* so that curves are seen where they bend */
    return net;
}

static struct { /* the same for all nets */
    pitot_real x[ROOM * MOST_INPUT], targets[ROOM * MOST_OUTPUT];
    int32_t classes[ROOM];
    pitot_net_batch b;
} data;

static inline pitot_net_batch *batch_of(int64_t n) {
    for (size_t i = 0; !data.b.struct_size && i < sizeof data.x / sizeof *data.x; i++)
        data.x[i] = (pitot_real)(3 * random_uniform(1, 60, 0, i) - 1.5);
    for (size_t i = 0; !data.b.struct_size && i < sizeof data.targets / sizeof *data.targets; i++)
        data.targets[i] = (pitot_real)random_uniform(1, 60, 1, i);
    for (int k = 0; k < ROOM; k++) data.classes[k] = k % 3;
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

static inline void pass(pitot_net *net, int64_t n) {
    assert_true(net->input.size <= MOST_INPUT && net->node[net->n_nodes - 1].out.size <= MOST_OUTPUT);
    assert_int_equal(pitot_net_forward(net, batch_of(n), NULL), PITOT_OK);
    assert_int_equal(pitot_net_backward(net), PITOT_OK);
}

static inline pitot_net *passed(const net_case *c, int64_t n, int32_t threads) {
    pitot_net *net = prepared(c, ROOM, threads);
    pass(net, n);
    return net;
}

static inline int64_t outputs_of(const pitot_net *net) {
    pitot_net_facts f;
    pitot_net_get_facts(net, &f);
    return f.output;
}

/* ---- vectors ---- */

static inline pitot_real *vector(int64_t n) {
    pitot_real *v = mem_alloc(n, sizeof *v);
    assert_non_null(v);
    for (int64_t i = 0; i < n; i++) v[i] = 7; /* so that what is not written shows */
    return v;
}

/* Of about unit length. */
static inline pitot_real *random_vector(int64_t n, uint64_t stream) {
    pitot_real *v = vector(n);
    for (int64_t i = 0; i < n; i++) v[i] = (pitot_real)((2 * random_uniform(4, 61, stream, (uint64_t)i) - 1) * sqrt(3 / (double)n));
    return v;
}

static inline double dot(const pitot_real *a, const pitot_real *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

static inline double largest(const pitot_real *a, int64_t n) {
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs((double)a[i]));
    return most;
}

/* Within tolerance of the largest value; 0: the same bits. */
static inline void compare(const net_case *c, const char *what, const pitot_real *a, const pitot_real *b, int64_t n,
                           double tolerance) {
    double scale = fmax(largest(a, n), 1e-30);
    for (int64_t i = 0; i < n; i++) {
        int good = tolerance == 0 ? memcmp(&a[i], &b[i], sizeof *a) == 0 : fabs((double)a[i] - (double)b[i]) <= tolerance * scale;
        if (!good) fail_msg("%s: %s: %lld: %.17g and %.17g", c->what, what, (long long)i, (double)a[i], (double)b[i]);
    }
}

static inline void flat_gradient(const pitot_net *net, pitot_real *out) {
    for (int64_t i = 0; i < pitot_net_param_count(net); i++) {
        const pitot_net_param *p = &pitot_net_params(net)[i];
        memcpy(out, p->grad, (size_t)p->size * sizeof *out);
        out += p->size;
    }
}

#endif
