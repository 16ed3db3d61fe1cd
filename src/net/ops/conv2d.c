/* conv2d.c: two-dimensional convolution (cross-correlation, as everybody's): unfold one sample, multiply on one thread, samples side by
   side. The unfolded image stays in cache, and each sample's weight gradient is a product of its own. */

#include "base/blas.h"
#include "base/hot.h"
#include "net/window.h"

typedef struct attributes_conv2d {
    int64_t out_channels, kernel[2], stride[2], padding[2], dilation[2], groups, bias;
} attributes_conv2d;

#define AT(field) offsetof(attributes_conv2d, field)
static const pitot_option table[] = {
    { "out_channels", PITOT_INT, 1, AT(out_channels), NULL, 1, 1 << 30, NULL, "", "channels of the output" },
    { "kernel", PITOT_INT, 2, AT(kernel), NULL, 1, 1 << 20, NULL, "", "height and width of the window, or one number for both" },
    { "stride", PITOT_INT, 2, AT(stride), "1", 1, 1 << 20, NULL, "", "step of the window" },
    { "padding", PITOT_INT, 2, AT(padding), "0", 0, 1 << 20, NULL, "", "zeros around the input" },
    { "dilation", PITOT_INT, 2, AT(dilation), "1", 1, 1 << 20, NULL, "", "distance of the points of the window" },
    { "groups", PITOT_INT, 1, AT(groups), "1", 1, 1 << 30, NULL, "", "blocks of channels that do not mix" },
    { "bias", PITOT_BOOL, 1, AT(bias), "true", 0, 0, NULL, "", "whether a bias is added" },
    { 0 },
};

/* Per group: rows of the weight M, its columns K = cin/groups * kernel, output positions P. */
typedef struct conv {
    window w; /* of one group's channels */
    int64_t groups, m, k, p;
    int plain; /* 1x1, stride 1, no padding: the input is its own unfolding */
} conv;

static conv conv_of(const node *n) {
    const attributes_conv2d *a = n->attributes;
    conv c = { .w = { .channels = n->in[0].dim[0] / a->groups }, .groups = a->groups, .m = a->out_channels / a->groups };
    for (int i = 0; i < 2; i++) {
        c.w.in[i] = n->in[0].dim[i + 1];
        c.w.out[i] = n->out.dim[i + 1];
        c.w.kernel[i] = a->kernel[i];
        c.w.stride[i] = a->stride[i];
        c.w.padding[i] = a->padding[i];
        c.w.dilation[i] = a->dilation[i];
    }
    c.k = c.w.channels * a->kernel[0] * a->kernel[1];
    c.p = c.w.out[0] * c.w.out[1];
    c.plain = a->kernel[0] * a->kernel[1] == 1 && a->stride[0] * a->stride[1] == 1 && a->padding[0] + a->padding[1] == 0;
    return c;
}

static int32_t conv_shape(node *n, pitot_error *error) {
    const attributes_conv2d *a = n->attributes;
    window w = { 0 };
    for (int i = 0; i < 2; i++) {
        w.kernel[i] = a->kernel[i];
        w.stride[i] = a->stride[i];
        w.padding[i] = a->padding[i];
        w.dilation[i] = a->dilation[i];
    }
    int32_t status = window_fit(&w, &n->in[0], 0, error);
    if (status) return status;
    if (w.channels % a->groups || a->out_channels % a->groups)
        return pitot_fail(error, PITOT_EMISMATCH, "groups=%lld divides not both %lld input and %lld output channels; it must",
                          (long long)a->groups, (long long)w.channels, (long long)a->out_channels);
    n->out = (shape){ .n = 3, .dim = { a->out_channels, w.out[0], w.out[1] } };
    int64_t cin = w.channels / a->groups, k = cin * a->kernel[0] * a->kernel[1];
    n->weight = (op_param){ { .n = 4, .dim = { a->out_channels, cin, a->kernel[0], a->kernel[1] } }, k };
    if (a->bias) n->bias = (op_param){ { .n = 1, .dim = { a->out_channels } }, k };
    n->scratch = k * w.out[0] * w.out[1];
    n->flops = 2.0 * (double)a->out_channels * (double)k * (double)(w.out[0] * w.out[1]);
    return PITOT_OK;
}

PITOT_HOT static void fill_rows(pitot_real *y, int64_t rows, int64_t columns, const pitot_real *value) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) y[i * columns + j] = value[i];
}

PITOT_HOT static void sum_columns(const pitot_real *dy, int64_t rows, int64_t columns, int first, pitot_real *sum) {
    for (int64_t i = 0; i < rows; i++) {
        enum { LANES = 16 };
        pitot_real lane[LANES] = { 0 }, all = 0;
        int64_t j = 0;
        for (; j + LANES <= columns; j += LANES)
            for (int l = 0; l < LANES; l++) lane[l] += dy[i * columns + j + l];
        for (; j < columns; j++) all += dy[i * columns + j];
        for (int l = 0; l < LANES; l++) all += lane[l];
        sum[i] = first ? all : sum[i] + all;
    }
}

static const pitot_real *unfolded(const conv *c, const pitot_real *x, pitot_real *scratch) {
    if (c->plain) return x;
    window_unfold(&c->w, x, scratch);
    return scratch;
}

/* per sample and group: Y (M,P) = W (M,K) U (K,P) + b */
static void forward(const node *n, const span *s) {
    conv c = conv_of(n);
    int64_t group_in = n->in[0].size / c.groups;
    for (int64_t i = 0; i < s->n * c.groups; i++) {
        int64_t g = i % c.groups;
        pitot_real *y = s->y + i * c.m * c.p;
        const pitot_real *u = unfolded(&c, s->x[0] + i * group_in, s->scratch);
        if (s->bias) fill_rows(y, c.m, c.p, s->bias + g * c.m);
        blas_gemm(0, 0, c.m, c.p, c.k, 1, s->weight + g * c.m * c.k, c.k, u, c.p, s->bias ? 1 : 0, y, c.p);
    }
}

/* per sample and group: dW (M,K) += G (M,P) U', db += row sums of G, dU (K,P) = W' G, folded into dX */
static void backward(const node *n, const span *s) {
    conv c = conv_of(n);
    int64_t group_in = n->in[0].size / c.groups;
    for (int64_t i = 0; i < s->n * c.groups; i++) {
        int64_t g = i % c.groups;
        int first = s->first && i < c.groups;
        const pitot_real *dy = s->dy + i * c.m * c.p, *weight = s->weight + g * c.m * c.k;
        const pitot_real *u = unfolded(&c, s->x[0] + i * group_in, s->scratch);
        blas_gemm(0, 1, c.m, c.k, c.p, 1, dy, c.p, u, c.p, first ? 0 : 1, s->dweight + g * c.m * c.k, c.k);
        if (s->dbias) sum_columns(dy, c.m, c.p, first, s->dbias + g * c.m);
        if (!s->dx[0]) continue;
        pitot_real *dx = s->dx[0] + i * group_in, *du = c.plain ? dx : s->scratch;
        blas_gemm(1, 0, c.k, c.p, c.m, 1, weight, c.k, dy, c.p, 0, du, c.p);
        if (!c.plain) window_fold(&c.w, du, dx);
    }
}

const op op_conv2d = {
    .name = "conv2d",
    .summary = "two-dimensional convolution; weight (out_channels, in_channels/groups, kernel, kernel)",
    .attributes_size = sizeof(attributes_conv2d),
    .attributes = table,
    .inputs_min = 1,
    .inputs_max = 1,
    .shape = conv_shape,
    .forward = forward,
    .backward = backward,
};
