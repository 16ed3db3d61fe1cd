/* Every op against a second implementation, written here as direct loops in double: what it computes, and the gradients of a loss with
   respect to all parameters, as central differences of that second implementation. Ops stand behind a linear or conv2d layer, so that
   the gradient with respect to their input is seen in that layer's parameters. An op in the registry without a case fails. */

#include "base/alloc.h"
#include "base/random.h"
#include "pitot/net.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#ifdef PITOT_DOUBLE
static const double value_tolerance = 1e-12, slope_tolerance = 1e-6, slope_floor = 0.02, curve_tolerance = 4e-15;
#else
static const double value_tolerance = 1e-5, slope_tolerance = 1e-4, slope_floor = 0.1, curve_tolerance = 4e-7;
#endif

enum { LAYERS = 8, BATCH = 19, INPUTS = 4 };

typedef struct layer {
    const char *op, *attributes;
    const char *inputs; /* indices of layers, one digit each, or 'x' for the graph's input; NULL: the layer before */
} layer;

typedef struct net_case {
    int64_t shape[4];
    const char *loss;
    layer layer[LAYERS]; /* op NULL ends it */
} net_case;

/* clang-format off */
#define FRONT { "conv2d", "out_channels=4, kernel=3, padding=1", NULL }
#define LINE { "linear", "out_features=6", NULL }
#define AFTER_CONV(op, attributes) { { 2, 7, 6 }, "mse", { FRONT, { op, attributes, NULL } } }
#define AFTER_LINEAR(op, attributes) { { 7 }, "mse", { LINE, { op, attributes, NULL } } }
#define WIDE(op, attributes) { { 1, 4, 37 }, "mse", { { "conv2d", "out_channels=2, kernel=1", NULL }, { op, attributes, NULL } } }
/* clang-format on */

static const net_case cases[] = {
    AFTER_LINEAR("linear", "out_features=4"),
    AFTER_LINEAR("linear", "out_features=5, bias=false"),
    AFTER_LINEAR("linear", "out_features=1"),
    { { 1 }, "mse", { { "linear", "out_features=1", NULL } } },
    { { 7 }, "cross_entropy", { LINE, { "linear", "out_features=4", NULL } } },
    { { 7 }, "bce_with_logits", { LINE, { "linear", "out_features=3", NULL } } },
    { { 70 }, "mse", { { "linear", "out_features=90", NULL }, { "tanh", NULL, NULL }, { "linear", "out_features=33", NULL } } },
    AFTER_CONV("conv2d", "out_channels=3, kernel=3"),
    AFTER_CONV("conv2d", "out_channels=3, kernel=3, padding=1"),
    AFTER_CONV("conv2d", "out_channels=3, kernel=3, stride=2, padding=1"),
    AFTER_CONV("conv2d", "out_channels=3, kernel=3,2, stride=2,1, padding=1,0"),
    AFTER_CONV("conv2d", "out_channels=3, kernel=3, dilation=2, padding=2"),
    AFTER_CONV("conv2d", "out_channels=3, kernel=2,3, dilation=3,1, stride=1,2, padding=1,2"),
    AFTER_CONV("conv2d", "out_channels=4, kernel=3, padding=1, groups=2"),
    AFTER_CONV("conv2d", "out_channels=4, kernel=3, groups=4"),
    AFTER_CONV("conv2d", "out_channels=8, kernel=3,1, stride=2, groups=4, bias=false"),
    AFTER_CONV("conv2d", "out_channels=3, kernel=1"),
    AFTER_CONV("conv2d", "out_channels=3, kernel=1, stride=2"),
    AFTER_CONV("conv2d", "out_channels=3, kernel=1, padding=1"),
    AFTER_CONV("conv2d", "out_channels=6, kernel=1, groups=2"),
    AFTER_CONV("conv2d", "out_channels=3, kernel=3, padding=1, bias=false"),
    AFTER_CONV("conv2d", "out_channels=3, kernel=7,6"),
    AFTER_CONV("conv2d", "out_channels=2, kernel=5, padding=4"),
    AFTER_CONV("conv2d", "out_channels=2, kernel=2, padding=3"),
    AFTER_CONV("conv2d", "out_channels=3, kernel=3, stride=5"),
    AFTER_CONV("conv2d", "out_channels=3, kernel=1,4, stride=3,2"),
    { { 3, 1, 1 }, "mse", { FRONT, { "conv2d", "out_channels=2, kernel=1", NULL } } },
    WIDE("conv2d", "out_channels=3, kernel=3,17, padding=0,3"),
    WIDE("conv2d", "out_channels=20, kernel=2,5, stride=1,3"),
    { { 3, 12, 13 },
      "mse",
      { { "conv2d", "out_channels=17, kernel=5, padding=2", NULL },
        { "tanh", NULL, NULL },
        { "conv2d", "out_channels=9, kernel=3, stride=2", NULL } } },
    { { 2, 7, 6 },
      "mse",
      { { "conv2d", "out_channels=16, kernel=3, padding=1", NULL }, { "conv2d", "out_channels=16, kernel=3, padding=1", NULL } } },
    { { 2, 7, 6 },
      "mse",
      { { "conv2d", "out_channels=18, kernel=3, padding=1", NULL }, { "conv2d", "out_channels=31, kernel=5, padding=3", NULL } } },
    AFTER_CONV("max_pool2d", "kernel=2"),
    AFTER_CONV("max_pool2d", "kernel=3, stride=2"),
    AFTER_CONV("max_pool2d", "kernel=3, stride=2, padding=1"),
    AFTER_CONV("max_pool2d", "kernel=2, ceil_mode=true"),
    AFTER_CONV("max_pool2d", "kernel=3, stride=2, ceil_mode=true"),
    AFTER_CONV("max_pool2d", "kernel=2, dilation=2"),
    AFTER_CONV("max_pool2d", "kernel=3, stride=1, padding=1, dilation=2"),
    AFTER_CONV("max_pool2d", "kernel=2,3, stride=1,2, padding=1,0"),
    AFTER_CONV("max_pool2d", "kernel=3, padding=1, ceil_mode=true"),
    AFTER_CONV("max_pool2d", "kernel=3, stride=2, padding=1, dilation=2,1, ceil_mode=true"),
    AFTER_CONV("max_pool2d", "kernel=7,6"),
    AFTER_CONV("max_pool2d", "kernel=1"),
    AFTER_CONV("max_pool2d", "kernel=1, stride=2"),
    AFTER_CONV("max_pool2d", "kernel=2, stride=3"),
    WIDE("max_pool2d", "kernel=3, stride=1"),
    WIDE("max_pool2d", "kernel=3, stride=2, padding=1"),
    WIDE("max_pool2d", "kernel=2, stride=2, ceil_mode=true"),
    AFTER_CONV("avg_pool2d", "kernel=2"),
    AFTER_CONV("avg_pool2d", "kernel=3, stride=2"),
    AFTER_CONV("avg_pool2d", "kernel=3, stride=2, padding=1"),
    AFTER_CONV("avg_pool2d", "kernel=3, stride=2, padding=1, count_include_pad=false"),
    AFTER_CONV("avg_pool2d", "kernel=2, ceil_mode=true"),
    AFTER_CONV("avg_pool2d", "kernel=3, stride=2, padding=1, ceil_mode=true"),
    AFTER_CONV("avg_pool2d", "kernel=3, stride=2, padding=1, ceil_mode=true, count_include_pad=false"),
    AFTER_CONV("avg_pool2d", "kernel=2,3, stride=1,2, padding=1,0"),
    AFTER_CONV("avg_pool2d", "kernel=7,6"),
    AFTER_CONV("avg_pool2d", "kernel=2, stride=3"),
    WIDE("avg_pool2d", "kernel=4, stride=3, ceil_mode=true"),
    AFTER_CONV("global_avg_pool2d", NULL),
    { { 2, 1, 1 }, "mse", { FRONT, { "global_avg_pool2d", NULL, NULL } } },
    { { 2, 5, 4 }, "cross_entropy", { FRONT, { "global_avg_pool2d", NULL, NULL } } },
    { { 2, 3, 4 }, "mse", { { "flatten", NULL, NULL }, { "linear", "out_features=5", NULL }, { "flatten", NULL, NULL } } },
    { { 2, 5, 4 }, "cross_entropy", { FRONT, { "flatten", NULL, NULL }, { "linear", "out_features=3", NULL } } },
    AFTER_CONV("flatten", NULL),
    AFTER_LINEAR("relu", NULL),
    AFTER_CONV("relu", NULL),
    AFTER_LINEAR("tanh", NULL),
    AFTER_CONV("tanh", NULL),
    AFTER_LINEAR("sigmoid", NULL),
    AFTER_CONV("sigmoid", NULL),
    AFTER_LINEAR("silu", NULL),
    AFTER_CONV("silu", NULL),
    AFTER_LINEAR("selu", NULL),
    AFTER_CONV("selu", NULL),
    AFTER_LINEAR("gelu", NULL),
    AFTER_CONV("gelu", "approximate=none"),
    AFTER_CONV("gelu", "approximate=tanh"),
    AFTER_LINEAR("leaky_relu", NULL),
    AFTER_CONV("leaky_relu", "negative_slope=0.2"),
    AFTER_CONV("leaky_relu", "negative_slope=-0.5"),
    AFTER_LINEAR("elu", NULL),
    AFTER_CONV("elu", "alpha=0.5"),
    AFTER_CONV("elu", "alpha=-2"),
    AFTER_LINEAR("elu", "alpha=0"),
    AFTER_LINEAR("softplus", NULL),
    AFTER_CONV("softplus", "beta=3"),
    AFTER_CONV("softplus", "beta=2, threshold=1"),
    AFTER_CONV("softplus", "beta=0.5, threshold=0"),
    AFTER_LINEAR("dropout", NULL),
    AFTER_CONV("dropout", "p=0.25"),
    AFTER_LINEAR("dropout", "p=0"),
    AFTER_LINEAR("dropout", "p=1"),
    { { 7 }, "mse", { LINE, { "tanh", NULL, NULL }, { "linear", "out_features=6", "0" }, { "add", NULL, "012" } } },
    { { 7 }, "mse", { LINE, { "add", NULL, "00" } } },
    { { 7 }, "mse", { LINE, { "add", NULL, "000" }, { "sigmoid", NULL, NULL }, { "add", NULL, "201" } } },
    { { 4, 3, 3 },
      "mse",
      { FRONT,
        { "add", NULL, "0x" },
        { "relu", NULL, NULL },
        { "conv2d", "out_channels=4, kernel=1", NULL },
        { "add", NULL, "32" } } },
    { { 6 }, "mse", { LINE, { "linear", "out_features=6", "x" }, { "linear", "out_features=6", "0" }, { "add", NULL, "210x" } } },
};
enum { CASES = sizeof cases / sizeof *cases };

/* ---- a second implementation: whole batches of doubles, one loop for one sum ---- */

typedef struct values { /* (BATCH, dim[0], dim[1], dim[2]); of one axis: dim[1] = dim[2] = 1 */
    int64_t dim[3], size;
    double *v;
} values;

/* One or two numbers behind "key=" in an attribute text; true, false and names become 1, 0 and 1. */
static void attribute(const layer *l, const char *key, double initial, int64_t out[2], double *real) {
    double v[2] = { initial, initial };
    size_t length = strlen(key);
    for (const char *s = l->attributes ? l->attributes : ""; *s; s++) {
        if (strncmp(s, key, length) || s[length] != '=' || (s != l->attributes && s[-1] != ' ')) continue;
        char *end;
        s += length + 1;
        v[0] = v[1] = strtod(s, &end) + (strncmp(s, "true", 4) == 0 || strncmp(s, "tanh", 4) == 0);
        if (*end == ',' && end[1] >= '0' && end[1] <= '9') v[1] = strtod(end + 1, NULL);
        break;
    }
    if (real) *real = v[0];
    else out[0] = (int64_t)v[0], out[1] = (int64_t)v[1];
}

typedef struct frame { /* attributes of a window; [0] vertical, [1] horizontal */
    int64_t kernel[2], stride[2], padding[2], dilation[2], ceil_mode[2], groups[2], include[2], channels[2];
} frame;

static frame frame_of(const layer *l) {
    frame f;
    attribute(l, "kernel", 0, f.kernel, NULL);
    attribute(l, "stride", 0, f.stride, NULL);
    attribute(l, "padding", 0, f.padding, NULL);
    attribute(l, "dilation", 1, f.dilation, NULL);
    attribute(l, "ceil_mode", 0, f.ceil_mode, NULL);
    attribute(l, "groups", 1, f.groups, NULL);
    attribute(l, "count_include_pad", 1, f.include, NULL);
    attribute(l, "out_channels", 0, f.channels, NULL);
    for (int i = 0; i < 2; i++)
        if (f.stride[i] == 0) f.stride[i] = strcmp(l->op, "conv2d") ? f.kernel[i] : 1;
    return f;
}

/* Positions of a window along one axis, counted one by one. */
static int64_t positions(const frame *f, int axis, int64_t in) {
    int64_t reach = f->dilation[axis] * (f->kernel[axis] - 1) + 1, n = 0;
    for (;; n++) {
        int64_t start = n * f->stride[axis] - f->padding[axis], before = start - f->stride[axis];
        int whole = start + reach <= in + f->padding[axis];
        int sticks_out = f->ceil_mode[0] && n > 0 && before + reach < in + f->padding[axis] && start < in;
        if (!whole && !sticks_out) return n;
    }
}

static void set_shape(values *out, int64_t a, int64_t b, int64_t c) {
    out->dim[0] = a;
    out->dim[1] = b;
    out->dim[2] = c;
    out->size = a * b * c;
}

static double at(const values *x, int64_t n, int64_t c, int64_t i, int64_t j, double outside) {
    if (i < 0 || j < 0 || i >= x->dim[1] || j >= x->dim[2]) return outside;
    return x->v[n * x->size + (c * x->dim[1] + i) * x->dim[2] + j];
}

typedef double (*window_sum)(const frame *f, const values *x, const double *weight, int64_t n, int64_t c, int64_t top,
                             int64_t left);

static double conv_window(const frame *f, const values *x, const double *weight, int64_t n, int64_t c, int64_t top, int64_t left) {
    int64_t per = x->dim[0] / f->groups[0], first = c / (f->channels[0] / f->groups[0]) * per, high = x->dim[1], wide = x->dim[2];
    double sum = 0;
    weight += c * per * f->kernel[0] * f->kernel[1];
    for (int64_t k = first; k < first + per; k++)
        for (int64_t i = 0; i < f->kernel[0]; i++, weight += f->kernel[1]) {
            int64_t row = top + i * f->dilation[0];
            const double *from = x->v + n * x->size + (k * high + row) * wide;
            for (int64_t j = 0, column = left; row >= 0 && row < high && j < f->kernel[1]; j++, column += f->dilation[1])
                if (column >= 0 && column < wide) sum += weight[j] * from[column];
        }
    return sum;
}

static double max_window(const frame *f, const values *x, const double *weight, int64_t n, int64_t c, int64_t top, int64_t left) {
    (void)weight;
    double most = -INFINITY;
    for (int64_t i = 0; i < f->kernel[0]; i++)
        for (int64_t j = 0; j < f->kernel[1]; j++) {
            double v = at(x, n, c, top + i * f->dilation[0], left + j * f->dilation[1], -INFINITY);
            if (v > most || isnan(v)) most = v;
            if (isnan(v)) return v;
        }
    return most;
}

/* Points of the window count if they lie inside, or in the padding if that is included. */
static double mean_window(const frame *f, const values *x, const double *weight, int64_t n, int64_t c, int64_t top, int64_t left) {
    (void)weight;
    double sum = 0, count = 0;
    for (int64_t i = top; i < top + f->kernel[0]; i++)
        for (int64_t j = left; j < left + f->kernel[1]; j++) {
            int inside = i >= 0 && j >= 0 && i < x->dim[1] && j < x->dim[2];
            int padded = i < x->dim[1] + f->padding[0] && j < x->dim[2] + f->padding[1];
            sum += at(x, n, c, i, j, 0);
            count += inside || (padded && f->include[0]);
        }
    return sum / count;
}

static void windows(const layer *l, const values *x, const double *weight, const double *bias, values *out) {
    frame f = frame_of(l);
    int conv = strcmp(l->op, "conv2d") == 0;
    window_sum sum = conv ? conv_window : strcmp(l->op, "max_pool2d") == 0 ? max_window : mean_window;
    set_shape(out, conv ? f.channels[0] : x->dim[0], positions(&f, 0, x->dim[1]), positions(&f, 1, x->dim[2]));
    if (!out->v) return;
    double *y = out->v;
    for (int64_t n = 0; n < BATCH; n++)
        for (int64_t c = 0; c < out->dim[0]; c++)
            for (int64_t i = 0; i < out->dim[1]; i++)
                for (int64_t j = 0; j < out->dim[2]; j++)
                    *y++ = sum(&f, x, weight, n, c, i * f.stride[0] - f.padding[0], j * f.stride[1] - f.padding[1]) +
                           (bias ? bias[c] : 0);
}

static void dense(const layer *l, const values *x, const double *weight, const double *bias, values *out) {
    int64_t features[2];
    attribute(l, "out_features", 0, features, NULL);
    set_shape(out, features[0], 1, 1);
    for (int64_t k = 0; out->v && k < BATCH * out->size; k++) {
        int64_t n = k / out->size, o = k % out->size;
        out->v[k] = bias ? bias[o] : 0;
        for (int64_t i = 0; i < x->size; i++) out->v[k] += weight[o * x->size + i] * x->v[n * x->size + i];
    }
}

static void channel_means(const values *x, values *out) {
    int64_t plane = x->dim[1] * x->dim[2];
    set_shape(out, x->dim[0], 1, 1);
    for (int64_t k = 0; out->v && k < BATCH * x->dim[0]; k++) {
        out->v[k] = 0;
        for (int64_t i = 0; i < plane; i++) out->v[k] += x->v[k * plane + i] / (double)plane;
    }
}

typedef struct curve { /* parameters of a pointwise op */
    double slope, alpha, beta, threshold, tanh_form;
} curve;

static curve curve_of(const layer *l) {
    curve c;
    attribute(l, "negative_slope", 0.01, NULL, &c.slope);
    attribute(l, "alpha", 1, NULL, &c.alpha);
    attribute(l, "beta", 1, NULL, &c.beta);
    attribute(l, "threshold", 20, NULL, &c.threshold);
    attribute(l, "approximate", 0, NULL, &c.tanh_form);
    return c;
}

static double relu(double x, const curve *c) {
    return (void)c, x < 0 ? 0 : x;
}
static double leaky_relu(double x, const curve *c) {
    return x >= 0 ? x : c->slope * x;
}
static double elu(double x, const curve *c) {
    return x >= 0 ? x : c->alpha * expm1(x);
}
static double selu(double x, const curve *c) {
    return (void)c, 1.0507009873554805 * (x >= 0 ? x : 1.6732632423543772 * expm1(x));
}
static double sigmoid(double x, const curve *c) {
    return (void)c, x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (exp(x) + 1);
}
static double silu(double x, const curve *c) {
    return x * sigmoid(x, c);
}
static double tanh_(double x, const curve *c) {
    return (void)c, tanh(x);
}
static double gelu(double x, const curve *c) {
    if (c->tanh_form != 0) return 0.5 * x * (1 + tanh(sqrt(2 / acos(-1.0)) * (x + 0.044715 * pow(x, 3))));
    return 0.5 * x * erfc(-x / sqrt(2));
}
static double softplus(double x, const curve *c) {
    double z = c->beta * x;
    return z > c->threshold ? x : (z > 0 ? z + log1p(exp(-z)) : log1p(exp(z))) / c->beta;
}

static const struct {
    const char *op;
    double (*of)(double x, const curve *c);
} curves[] = { { "relu", relu },        { "leaky_relu", leaky_relu },
               { "elu", elu },          { "selu", selu },
               { "sigmoid", sigmoid },  { "silu", silu },
               { "tanh", tanh_ },       { "gelu", gelu },
               { "softplus", softplus } };
enum { CURVES = sizeof curves / sizeof *curves };

static void pointwise(const layer *l, const values *x, values *out) {
    curve c = curve_of(l);
    set_shape(out, x->dim[0], x->dim[1], x->dim[2]);
    for (int k = 0; k < CURVES; k++)
        for (int64_t i = 0; out->v && strcmp(curves[k].op, l->op) == 0 && i < BATCH * x->size; i++)
            out->v[i] = curves[k].of(x->v[i], &c);
}

static void sum_of(const values *const *x, int n, values *out) {
    set_shape(out, x[0]->dim[0], x[0]->dim[1], x[0]->dim[2]);
    for (int64_t i = 0; out->v && i < BATCH * out->size; i++) {
        out->v[i] = 0;
        for (int k = 0; k < n; k++) out->v[i] += x[k]->v[i];
    }
}

/* ---- a case under way: the net of the library, and the same in doubles ---- */

typedef struct bench {
    const net_case *c;
    int layers, n_params;
    pitot_net *net;
    pitot_real *x, *targets;
    int32_t classes[BATCH];
    pitot_net_batch batch;
    double *theta[2 * LAYERS];             /* per parameter, in the net's order */
    double *weight[LAYERS], *bias[LAYERS]; /* the same by layer; NULL: none */
    values input, y[LAYERS];
    double *mask; /* (BATCH, size) of the last layer if that is dropout */
} bench;

static double draw(int64_t stream, int64_t i) {
    return 2 * random_uniform(17, 1000, (uint64_t)stream, (uint64_t)i) - 1;
}

static void layer_forward(bench *b, int k) {
    const layer *l = &b->c->layer[k];
    const values *x[INPUTS] = { k ? &b->y[k - 1] : &b->input };
    int n = l->inputs ? (int)strlen(l->inputs) : 1;
    for (int i = 0; l->inputs && i < n; i++) x[i] = l->inputs[i] == 'x' ? &b->input : &b->y[l->inputs[i] - '0'];
    values *out = &b->y[k];
    if (strcmp(l->op, "linear") == 0) dense(l, x[0], b->weight[k], b->bias[k], out);
    else if (strcmp(l->op, "global_avg_pool2d") == 0) channel_means(x[0], out);
    else if (strcmp(l->op, "add") == 0 || strcmp(l->op, "flatten") == 0) sum_of(x, n, out);
    else if (strcmp(l->op, "dropout") == 0) {
        sum_of(x, 1, out);
        for (int64_t i = 0; out->v && i < BATCH * out->size; i++) out->v[i] *= b->mask[i];
    } else if (strstr(l->op, "2d")) windows(l, x[0], b->weight[k], b->bias[k], out);
    else pointwise(l, x[0], out);
    if (strcmp(l->op, "flatten") == 0) set_shape(out, out->size, 1, 1);
}

static double loss_of(const bench *b) {
    const values *f = &b->y[b->layers - 1];
    double sum = 0, m = (double)(BATCH * f->size);
    for (int64_t n = 0; n < BATCH; n++) {
        double total = 0;
        for (int64_t i = 0; i < f->size; i++) {
            double v = f->v[n * f->size + i], t = (double)b->targets[n * f->size + i];
            if (b->c->loss[0] == 'm') sum += (v - t) * (v - t) / m;
            else if (b->c->loss[0] == 'b') sum += (-t * log(1 / (1 + exp(-v))) - (1 - t) * log(1 / (1 + exp(v)))) / m;
            total += exp(v);
        }
        if (b->c->loss[0] == 'c') sum -= log(exp(f->v[n * f->size + b->classes[n]]) / total) / BATCH;
    }
    return sum;
}

/* From layer `first` on; what is below it is as it was. */
static double second_loss(bench *b, int first) {
    for (int k = first; k < b->layers; k++) layer_forward(b, k);
    return loss_of(b);
}

static void build_net(bench *b) {
    pitot_error error = { 0 };
    b->net = pitot_net_new(NULL, b->c->shape, b->c->loss, &error);
    assert_non_null(b->net);
    for (; b->layers < LAYERS && b->c->layer[b->layers].op; b->layers++) {
        const layer *l = &b->c->layer[b->layers];
        char names[64] = "";
        size_t used = 0;
        for (const char *s = l->inputs ? l->inputs : ""; *s; s++)
            used += (size_t)(*s == 'x' ? snprintf(names + used, 8, " input") : snprintf(names + used, 8, " %c", *s));
        if (pitot_net_add(b->net, l->op, NULL, l->inputs ? names : NULL, l->attributes, &error))
            fail_msg("%s (%s): %s", l->op, l->attributes ? l->attributes : "", error.text);
    }
    assert_int_equal(pitot_net_prepare(b->net, BATCH, 2, &error), PITOT_OK);
    assert_int_equal(pitot_net_init(b->net, 5), PITOT_OK);
}

/* Parameters 2.5 times as large as they start, so that curves are seen on both sides; and the same as doubles. */
static void copy_parameters(bench *b) {
    const pitot_net_param *p = pitot_net_params(b->net);
    b->n_params = (int)pitot_net_param_count(b->net);
    for (int i = 0; i < b->n_params; i++) {
        b->theta[i] = mem_alloc(p[i].size, sizeof(double));
        for (int64_t j = 0; j < p[i].size; j++) {
            p[i].data[j] *= (pitot_real)2.5;
            b->theta[i][j] = (double)p[i].data[j];
        }
        int k = atoi(p[i].name);
        *(strstr(p[i].name, ".weight") ? &b->weight[k] : &b->bias[k]) = b->theta[i];
    }
}

/* Inputs, targets, and room for all values; shapes come from a first pass without values. */
static void fill(bench *b) {
    const int64_t *s = b->c->shape;
    set_shape(&b->input, s[0], s[1] ? s[1] : 1, s[2] ? s[2] : 1);
    for (int k = 0; k < b->layers; k++) {
        layer_forward(b, k);
        b->y[k].v = mem_alloc(BATCH * b->y[k].size, sizeof(double));
    }
    int64_t in = BATCH * b->input.size, out = b->y[b->layers - 1].size;
    b->x = mem_alloc(in, sizeof *b->x);
    b->input.v = mem_alloc(in, sizeof(double));
    b->targets = mem_alloc(BATCH * out, sizeof *b->targets);
    for (int64_t i = 0; i < in; i++) b->input.v[i] = (double)(b->x[i] = (pitot_real)(1.5 * draw(1, i)));
    for (int64_t i = 0; i < BATCH * out; i++) b->targets[i] = (pitot_real)(0.5 + 0.5 * draw(2, i));
    for (int n = 0; n < BATCH; n++) b->classes[n] = (int32_t)((2 * n + 1) % out);
    b->batch = (pitot_net_batch){ .struct_size = sizeof b->batch,
                                  .n = BATCH,
                                  .x = b->x,
                                  .classes = b->classes,
                                  .targets = b->targets,
                                  .training = 1,
                                  .seed = 9,
                                  .step = 3 };
}

/* The factors that dropout, the last layer, will use: its output where its input is 1 (weights 0, bias 1). */
static void read_mask(bench *b) {
    int64_t n = BATCH * b->y[b->layers - 1].size;
    const pitot_net_param *p = pitot_net_params(b->net);
    for (int i = 0; i < 2; i++)
        for (int64_t j = 0; j < p[i].size; j++) p[i].data[j] = strstr(p[i].name, "bias") ? 1 : 0;
    assert_int_equal(pitot_net_forward(b->net, &b->batch, NULL), PITOT_OK);
    b->mask = mem_alloc(n, sizeof(double));
    for (int64_t i = 0; i < n; i++) b->mask[i] = (double)pitot_net_output(b->net)[i];
    for (int i = 0; i < 2; i++)
        for (int64_t j = 0; j < p[i].size; j++) p[i].data[j] = (pitot_real)b->theta[i][j];
}

static void open_bench(bench *b, const net_case *c) {
    *b = (bench){ .c = c };
    build_net(b);
    copy_parameters(b);
    fill(b);
    if (strcmp(c->layer[b->layers - 1].op, "dropout") == 0) read_mask(b);
}

static void close_bench(bench *b) {
    pitot_net_free(b->net);
    for (int i = 0; i < b->n_params; i++) mem_free(b->theta[i]);
    for (int k = 0; k < b->layers; k++) mem_free(b->y[k].v);
    mem_free(b->input.v);
    mem_free(b->mask);
    mem_free(b->x);
    mem_free(b->targets);
}

static const char *title(const bench *b) {
    static char text[256];
    size_t used = 0;
    for (int k = 0; k < b->layers && used < sizeof text; k++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s(%s)", k ? " - " : "", b->c->layer[k].op,
                                 b->c->layer[k].attributes ? b->c->layer[k].attributes : "");
    return text;
}

/* ---- comparing ---- */

static void compare_values(bench *b) {
    double loss, second = second_loss(b, 0), largest = 1;
    const values *f = &b->y[b->layers - 1];
    assert_int_equal(pitot_net_forward(b->net, &b->batch, &loss), PITOT_OK);
    pitot_net_facts facts;
    pitot_net_get_facts(b->net, &facts);
    if (facts.output != f->size) fail_msg("%s: %lld values, not %lld", title(b), (long long)facts.output, (long long)f->size);
    for (int64_t i = 0; i < BATCH * f->size; i++) largest = fmax(largest, fabs(f->v[i]));
    for (int64_t i = 0; i < BATCH * f->size; i++) {
        double y = (double)pitot_net_output(b->net)[i];
        if (!(fabs(y - f->v[i]) <= value_tolerance * largest))
            fail_msg("%s: output %lld is %.17g, not %.17g", title(b), (long long)i, y, f->v[i]);
    }
    if (!(fabs(loss - second) <= value_tolerance * (1 + fabs(second))))
        fail_msg("%s: loss %.17g, not %.17g", title(b), loss, second);
}

typedef struct direction { /* a unit vector in the space of one parameter: an axis, or -1: a random one */
    int param;
    int64_t axis;
} direction;

static double component(const bench *b, const direction *d, int64_t j) {
    if (d->axis >= 0) return j == d->axis;
    return draw(100, j) * sqrt(3 / (double)pitot_net_params(b->net)[d->param].size);
}

static double moved(bench *b, const direction *d, double by) {
    const pitot_net_param *p = &pitot_net_params(b->net)[d->param];
    double *w = b->theta[d->param];
    for (int64_t j = d->axis >= 0 ? d->axis : 0; j < (d->axis >= 0 ? d->axis + 1 : p->size); j++)
        w[j] = (double)p->data[j] + by * component(b, d, j);
    double loss = second_loss(b, atoi(p->name));
    for (int64_t j = 0; j < p->size; j++) w[j] = (double)p->data[j];
    return loss;
}

/* 1 good, 0 rejected: differences of two widths do not agree, so that a kink (or the jump of softplus at its threshold) lies between. */
static int compare_slope(bench *b, const direction *d, double largest) {
    const pitot_net_param *p = &pitot_net_params(b->net)[d->param];
    const double h = 6e-5, q = h / 4;
    double wide = (moved(b, d, h) - moved(b, d, -h)) / (2 * h), narrow = (moved(b, d, q) - moved(b, d, -q)) / (2 * q), got = 0;
    double scale = fmax(fabs(narrow), slope_floor * largest);
    if (!(fabs(wide - narrow) <= 5e-7 * fmax(fabs(narrow), 0.02 * largest))) return 0;
    for (int64_t j = 0; j < p->size; j++) got += component(b, d, j) == 0 ? 0 : (double)p->grad[j] * component(b, d, j);
    if (!(fabs(got - narrow) <= slope_tolerance * scale))
        fail_msg("%s: d loss / d %s[%lld] is %.12g, differences say %.12g", title(b), p->name, (long long)d->axis, got, narrow);
    return 1;
}

/* All axes of a small parameter; of a large one some, and a random direction, which sees every element. */
static void compare_slopes(bench *b) {
    enum { SMALL = 12, SOME = 4 };
    const char *scale = getenv("PITOT_FUZZ_SCALE"); /* under valgrind: the random directions alone */
    int64_t tried = 0, good = 0;
    assert_int_equal(pitot_net_backward(b->net), PITOT_OK);
    for (int i = 0; i < b->n_params; i++) {
        const pitot_net_param *p = &pitot_net_params(b->net)[i];
        int64_t axes = scale && strtod(scale, NULL) < 0.1 ? 0 : p->size > SMALL ? SOME : p->size;
        double largest = 0;
        second_loss(b, 0);
        for (int64_t j = 0; j < p->size; j++) largest = fmax(largest, fabs((double)p->grad[j]));
        for (int64_t k = -1; k < axes; k++, tried++) {
            int64_t axis =
                p->size > SMALL && k >= 0 ? (int64_t)(random_bits(1, 1001, (uint64_t)i, (uint64_t)k) % (uint64_t)p->size) : k;
            good += compare_slope(b, &(direction){ i, axis }, largest);
        }
    }
    if (good < tried - tried / 20 - 1)
        fail_msg("%s: only %lld of %lld directions could be used", title(b), (long long)good, (long long)tried);
}

static void test_cases(void **state) {
    (void)state;
    int64_t blocks = mem_count().blocks;
    for (int i = 0; i < CASES; i++) {
        bench b;
        open_bench(&b, &cases[i]);
        compare_values(&b);
        compare_slopes(&b);
        close_bench(&b);
    }
    assert_int_equal(mem_count().blocks, blocks);
}

static int has_case(const char *op) {
    for (int i = 0; i < CASES; i++)
        for (int k = 0; k < LAYERS && cases[i].layer[k].op; k++)
            if (strcmp(cases[i].layer[k].op, op) == 0) return 1;
    return 0;
}

static void test_every_op_has_a_case(void **state) {
    (void)state;
    pitot_op_info info;
    int64_t n = 0;
    const char *before = "";
    for (; pitot_op_get(n, &info); n++) {
        if (!has_case(info.name)) fail_msg("op %s has no case in tests/unit/test_ops.c", info.name);
        assert_true(strcmp(before, info.name) < 0 && info.summary[0]);
        before = info.name;
    }
    assert_true(n >= 17);
    assert_int_equal(pitot_op_get(n + 5, &info), 0);
    assert_int_equal(pitot_op_get(-1, &info), 0);
}

/* ---- one op alone, on chosen inputs ---- */

static pitot_net *alone(const int64_t *shape, const char *op, const char *attributes, int64_t batch) {
    pitot_error error = { 0 };
    pitot_net *net = pitot_net_new(NULL, shape, "mse", NULL);
    if (pitot_net_add(net, op, NULL, NULL, attributes, &error)) fail_msg("%s", error.text);
    assert_int_equal(pitot_net_prepare(net, batch, 2, NULL), PITOT_OK);
    return net;
}

static const pitot_real *run_alone(pitot_net *net, const pitot_real *x, int64_t n, const pitot_real *targets) {
    pitot_net_batch b = { .struct_size = sizeof b, .n = n, .x = x, .targets = targets };
    assert_int_equal(pitot_net_forward(net, &b, NULL), PITOT_OK);
    return pitot_net_output(net);
}

/* Curves from far left to far right, with steps that shrink towards 0. */
static void check_curve(int which, const char *attributes) {
    enum { POINTS = 2001 };
    static pitot_real x[POINTS], zero[POINTS];
    layer l = { curves[which].op, attributes, NULL };
    curve c = curve_of(&l);
    pitot_net *net = alone((const int64_t[]){ POINTS, 0 }, l.op, attributes, 1);
    for (int i = 0; i < POINTS; i++) x[i] = (pitot_real)(1e4 * pow((i - POINTS / 2) / (POINTS / 2.0), 5));
    const pitot_real *y = run_alone(net, x, 1, zero);
    for (int i = 0; i < POINTS; i++) {
        double want = curves[which].of((double)x[i], &c);
        if (!(fabs((double)y[i] - want) <= curve_tolerance * (fabs(want) + fmin(fabs((double)x[i]), 10))))
            fail_msg("%s(%g) is %.17g, not %.17g", l.op, (double)x[i], (double)y[i], want);
    }
    pitot_net_free(net);
}

static void test_curves(void **state) {
    (void)state;
    for (int k = 0; k < CURVES; k++) check_curve(k, NULL);
    for (int k = 0; k < CURVES; k++) {
        if (strcmp(curves[k].op, "gelu") == 0) check_curve(k, "approximate=tanh");
        if (strcmp(curves[k].op, "elu") == 0) check_curve(k, "alpha=2.5");
        if (strcmp(curves[k].op, "leaky_relu") == 0) check_curve(k, "negative_slope=3");
        if (strcmp(curves[k].op, "softplus") == 0) check_curve(k, "beta=4, threshold=60");
    }
}

/* Far out and at infinity slopes are finite, or NaN only where the input is not finite; NaN comes out as NaN. */
static void test_curves_far_out(void **state) {
    (void)state;
    static const double far[] = { 1e4, -1e4, 1e18, -1e18, 0, 90, -90, 750, -750 };
    for (int k = 0; k < CURVES; k++)
        for (size_t i = 0; i <= sizeof far / sizeof *far; i++) {
            double v = i < sizeof far / sizeof *far ? far[i] : (double)NAN;
            pitot_net *net = pitot_net_new(NULL, (const int64_t[]){ 1, 0 }, "mse", NULL);
            pitot_net_add(net, "linear", NULL, NULL, "out_features=1", NULL);
            pitot_net_add(net, curves[k].op, NULL, NULL, NULL, NULL);
            assert_int_equal(pitot_net_prepare(net, 1, 1, NULL), PITOT_OK);
            pitot_net_params(net)[1].data[0] = (pitot_real)v; /* weight 0: the bias is the value */
            pitot_real x = 1, zero = 0, y = run_alone(net, &x, 1, &zero)[0];
            assert_int_equal(pitot_net_backward(net), PITOT_OK);
            if (isnan(v) ? !isnan(y) : !isfinite(y)) fail_msg("%s(%g) is %g", curves[k].op, v, (double)y);
            if (!isnan(v) && !isfinite(pitot_net_params(net)[1].grad[0])) fail_msg("%s: slope at %g", curves[k].op, v);
            pitot_net_free(net);
        }
}

/* A NaN is larger than anything, wherever in the window it lies; ties go to the first in row-major order, as in PyTorch. */
static void check_nan_pool(const char *attributes) {
    enum { HIGH = 6, WIDTH = 9, OUT = 200 };
    static pitot_real x[HIGH * WIDTH], zero[OUT];
    layer l = { "max_pool2d", attributes, NULL };
    frame f = frame_of(&l);
    pitot_net *net = alone((const int64_t[]){ 1, HIGH, WIDTH, 0 }, "max_pool2d", attributes, 1);
    double held[HIGH * WIDTH];
    values v = { .dim = { 1, HIGH, WIDTH }, .size = HIGH * WIDTH, .v = held };
    for (int where = 0; where < HIGH * WIDTH; where++) {
        for (int i = 0; i < HIGH * WIDTH; i++) held[i] = (double)(x[i] = i == where ? (pitot_real)NAN : (pitot_real)draw(3, i));
        const pitot_real *y = run_alone(net, x, 1, zero);
        int64_t rows = positions(&f, 0, HIGH), columns = positions(&f, 1, WIDTH);
        for (int64_t o = 0; o < rows * columns; o++) {
            double want =
                max_window(&f, &v, NULL, 0, 0, o / columns * f.stride[0] - f.padding[0], o % columns * f.stride[1] - f.padding[1]);
            if (isnan(want) ? !isnan(y[o]) : (double)y[o] != want)
                fail_msg("max_pool2d(%s): NaN at %d: output %lld is %g, not %g", attributes, where, (long long)o, (double)y[o],
                         want);
        }
    }
    pitot_net_free(net);
}

static void test_max_pool_of_nan(void **state) {
    (void)state;
    static const char *const attributes[] = { "kernel=2", "kernel=3, stride=2", "kernel=3, stride=1, padding=1",
                                              "kernel=3, stride=2, ceil_mode=true", "kernel=2, dilation=2, stride=1" };
    for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++) check_nan_pool(attributes[i]);
}

/* Equal values everywhere (weight 0, bias 1): the gradient of the weight is then the input at the place that was taken. */
static void test_max_pool_ties(void **state) {
    (void)state;
    static const struct {
        const char *attributes;
        double sum; /* of the inputs at the places taken; the input is 1, 2, ... in rows of 4 */
    } ties[] = { { "kernel=4", 1 },
                 { "kernel=2", 1 + 3 + 9 + 11 },
                 { "kernel=3, stride=1", 1 + 2 + 5 + 6 },
                 { "kernel=2, padding=1", 1 + 2 + 4 + 5 + 6 + 8 + 13 + 14 + 16 } };
    pitot_real x[16], zero[16] = { 0 };
    for (int i = 0; i < 16; i++) x[i] = (pitot_real)(i + 1);
    for (size_t k = 0; k < sizeof ties / sizeof *ties; k++) {
        pitot_net *net = pitot_net_new(NULL, (const int64_t[]){ 1, 4, 4, 0 }, "mse", NULL);
        pitot_net_add(net, "conv2d", NULL, NULL, "out_channels=1, kernel=1", NULL);
        pitot_net_add(net, "max_pool2d", NULL, NULL, ties[k].attributes, NULL);
        assert_int_equal(pitot_net_prepare(net, 1, 1, NULL), PITOT_OK);
        pitot_net_params(net)[1].data[0] = 1;
        assert_true(run_alone(net, x, 1, zero)[0] == 1);
        pitot_net_backward(net);
        pitot_net_facts f;
        pitot_net_get_facts(net, &f);
        double got = (double)pitot_net_params(net)[0].grad[0] * (double)f.output / 2;
        if (!(fabs(got - ties[k].sum) < 1e-3))
            fail_msg("max_pool2d(%s): places sum to %g, not %g", ties[k].attributes, got, ties[k].sum);
        pitot_net_free(net);
    }
}

/* A window that would see nothing but padding has no largest value. */
static void test_empty_windows(void **state) {
    (void)state;
    pitot_error error = { 0 };
    int64_t blocks = mem_count().blocks;
    pitot_net *net = pitot_net_new(NULL, (const int64_t[]){ 1, 2, 2, 0 }, "mse", NULL);
    assert_int_equal(pitot_net_add(net, "max_pool2d", NULL, NULL, "kernel=2, stride=1, padding=1, dilation=3", &error),
                     PITOT_EMISMATCH);
    assert_non_null(strstr(error.text, "padding"));
    pitot_net_free(net);
    assert_int_equal(mem_count().blocks, blocks);
}

/* ---- dropout ---- */

static int64_t dropped(pitot_net *net, const pitot_real *ones, const pitot_real *zero, int64_t n, int64_t step, uint64_t seed,
                       double p, pitot_real *out) {
    pitot_net_facts f;
    pitot_net_get_facts(net, &f);
    pitot_net_batch b = { .struct_size = sizeof b, .n = n, .x = ones, .targets = zero, .training = 1, .seed = seed, .step = step };
    assert_int_equal(pitot_net_forward(net, &b, NULL), PITOT_OK);
    int64_t zeros = 0;
    for (int64_t i = 0; i < n * f.output; i++) {
        out[i] = pitot_net_output(net)[i];
        zeros += out[i] == 0;
        assert_true(out[i] == 0 || out[i] == (pitot_real)(1 / (1 - p)));
    }
    return zeros;
}

/* Masks: values 0 or 1/(1-p), as often as they should, the same again for the same (seed, step), others for others, and for each sample;
   a smaller batch, and other threads, get the same masks. Not in training: the identity. */
static void check_dropout(double p, const char *attributes) {
    enum { SIZE = 1001, N = 8 };
    static pitot_real ones[N * SIZE], zero[N * SIZE], a[N * SIZE], b[N * SIZE];
    pitot_net *net = alone((const int64_t[]){ SIZE, 0 }, "dropout", attributes, N);
    for (int i = 0; i < N * SIZE; i++) ones[i] = 1;
    double m = N * SIZE, zeros = (double)dropped(net, ones, zero, N, 1, 1, p, a);
    assert_true(fabs(zeros - p * m) <= 5 * sqrt(m * p * (1 - p)));
    dropped(net, ones, zero, N, 1, 1, p, b);
    assert_memory_equal(a, b, sizeof a);
    dropped(net, ones, zero, 2, 1, 1, p, b);
    assert_memory_equal(a, b, 2 * SIZE * sizeof *a);
    assert_int_equal(pitot_net_prepare(net, N, 3, NULL), PITOT_OK);
    dropped(net, ones, zero, N, 1, 1, p, b);
    assert_memory_equal(a, b, sizeof a);
    dropped(net, ones, zero, N, 2, 1, p, b);
    assert_memory_not_equal(a, b, sizeof a);
    dropped(net, ones, zero, N, 1, 2, p, b);
    assert_memory_not_equal(a, b, sizeof a);
    for (int n = 1; n < N; n++) assert_memory_not_equal(a, a + n * SIZE, SIZE * sizeof *a);
    const pitot_real *y = run_alone(net, ones, N, zero);
    assert_memory_equal(y, ones, sizeof ones);
    pitot_net_free(net);
}

static void test_dropout(void **state) {
    (void)state;
    check_dropout(0.5, NULL);
    check_dropout(0.1, "p=0.1");
    check_dropout(0.875, "p=0.875");
    /* two layers draw from streams of their own */
    enum { SIZE = 500 };
    static pitot_real ones[SIZE], zero[SIZE];
    for (int i = 0; i < SIZE; i++) ones[i] = 1;
    pitot_net *net = alone((const int64_t[]){ SIZE, 0 }, "dropout", NULL, 1);
    assert_int_equal(pitot_net_add(net, "dropout", NULL, NULL, NULL, NULL), PITOT_OK);
    assert_int_equal(pitot_net_prepare(net, 1, 1, NULL), PITOT_OK);
    pitot_net_batch b = { .struct_size = sizeof b, .n = 1, .x = ones, .targets = zero, .training = 1, .seed = 1, .step = 1 };
    assert_int_equal(pitot_net_forward(net, &b, NULL), PITOT_OK);
    int64_t kept = 0;
    for (int i = 0; i < SIZE; i++) kept += pitot_net_output(net)[i] == 4;
    assert_true(kept > SIZE / 4 - 50 && kept < SIZE / 4 + 50); /* a quarter, not a half */
    pitot_net_free(net);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_op_has_a_case), cmocka_unit_test(test_cases),           cmocka_unit_test(test_curves),
        cmocka_unit_test(test_curves_far_out),      cmocka_unit_test(test_max_pool_of_nan), cmocka_unit_test(test_max_pool_ties),
        cmocka_unit_test(test_empty_windows),       cmocka_unit_test(test_dropout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
