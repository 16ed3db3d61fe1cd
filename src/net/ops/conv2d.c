/* conv2d.c: two-dimensional convolution (cross-correlation, as everybody's): unfold, multiply on one thread, samples side by side on
   threads. Samples with few output positions go through one product together, side by side in its columns: BLAS packs the weight once
   for all of them. The unfolded images stay in cache. Where fewer multiplications do, winograd.c does them. */

#include "base/blas.h"
#include "pitot/hot.h"
#include "net/winograd.h"

#include <string.h>

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

enum { WORTH_COLUMNS = 288 }; /* columns from which one more sample makes the product no faster */

static int64_t samples_together(int64_t positions, int64_t groups) {
    return groups > 1 || positions >= WORTH_COLUMNS ? 1
           : WORTH_COLUMNS / positions < OP_SAMPLES ? WORTH_COLUMNS / positions
                                                    : OP_SAMPLES;
}

conv conv_of(const node *n) {
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
    c.together = samples_together(c.p, c.groups);
    c.plain = c.together == 1 && a->kernel[0] * a->kernel[1] == 1 && a->stride[0] * a->stride[1] == 1 &&
              a->padding[0] + a->padding[1] == 0;
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
    int64_t cin = w.channels / a->groups;
    if ((double)cin * (double)(a->kernel[0] * a->kernel[1]) > INT32_MAX || w.out[0] * w.out[1] > INT32_MAX)
        return pitot_fail(error, PITOT_ENOTSUP, "its window or its output is larger than anything that can be computed here");
    int64_t k = cin * a->kernel[0] * a->kernel[1];
    n->out = (shape){ .n = 3, .dim = { a->out_channels, w.out[0], w.out[1] } };
    n->weight = (op_param){ { .n = 4, .dim = { a->out_channels, cin, a->kernel[0], a->kernel[1] } }, k };
    if (a->bias) n->bias = (op_param){ { .n = 1, .dim = { a->out_channels } }, k };
    int64_t together = samples_together(w.out[0] * w.out[1], a->groups);
    n->scratch = (k + (together > 1 ? 2 * a->out_channels : 0)) * w.out[0] * w.out[1] * together;
    n->flops = 2.0 * (double)a->out_channels * (double)k * (double)(w.out[0] * w.out[1]);
    conv c = conv_of(n);
    n->own = winograd_own(&c);
    if (winograd_scratch(&c) > n->scratch) n->scratch = winograd_scratch(&c);
    n->columns_scratch = conv_squares_scratch(&c);
    return PITOT_OK;
}

PITOT_HOT static void fill_rows(pitot_real *y, int64_t rows, int64_t columns, const pitot_real *value) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) y[i * columns + j] = value[i];
}

/* (M, columns) of several samples side by side to or from (M,P) of each. */
static void split_columns(const conv *c, const pitot_real *joined, int64_t samples, pitot_real *y) {
    for (int64_t k = 0; k < samples; k++)
        for (int64_t i = 0; i < c->m; i++)
            memcpy(y + (k * c->m + i) * c->p, joined + (i * samples + k) * c->p, (size_t)c->p * sizeof *y);
}

static const pitot_real *join_columns(const conv *c, const pitot_real *dy, int64_t samples, pitot_real *joined) {
    if (samples == 1) return dy;
    for (int64_t k = 0; k < samples; k++)
        for (int64_t i = 0; i < c->m; i++)
            memcpy(joined + (i * samples + k) * c->p, dy + (k * c->m + i) * c->p, (size_t)c->p * sizeof *dy);
    return joined;
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

static int64_t plane_of(const conv *c) {
    return c->w.channels * c->w.in[0] * c->w.in[1];
}

static const pitot_real *unfolded(const conv *c, const pitot_real *x, int64_t samples, pitot_real *scratch) {
    if (c->plain) return x;
    for (int64_t k = 0; k < samples; k++) window_unfold(&c->w, x + k * plane_of(c), scratch + k * c->p, samples * c->p);
    return scratch;
}

/* Calls one(...) for runs of up to c.together samples, and for each group of channels of a sample. */
typedef void (*product)(const conv *c, const span *s, int64_t at, int64_t samples, int64_t group);

static void products(const node *n, const span *s, product one) {
    conv c = conv_of(n);
    for (int64_t i = 0; i < s->n; i += c.together)
        for (int64_t g = 0; g < c.groups; g++) one(&c, s, i, s->n - i < c.together ? s->n - i : c.together, g);
}

/* y (M,P) = beta y + W (M,K) U (K,P), the columns of several samples side by side; x (samples, one group's channels) */
static void add_product(const conv *c, const span *s, const pitot_real *weight, const pitot_real *x, int64_t samples, double beta,
                        pitot_real *y) {
    int64_t columns = samples * c->p;
    const pitot_real *u = unfolded(c, x, samples, s->scratch);
    blas_gemm(0, 0, c->m, columns, c->k, 1, weight, c->k, u, columns, beta, y, columns);
}

/* Y = W U + b */
static void forward_product(const conv *c, const span *s, int64_t at, int64_t samples, int64_t group) {
    int64_t block = at * c->groups + group, columns = samples * c->p;
    pitot_real *y = s->y + block * c->m * c->p, *joined = samples > 1 ? s->scratch + c->k * columns : y;
    if (s->bias) fill_rows(joined, c->m, columns, s->bias + group * c->m);
    add_product(c, s, s->weight + group * c->m * c->k, s->x[0] + block * plane_of(c), samples, s->bias ? 1 : 0, joined);
    if (samples > 1) split_columns(c, joined, samples, y);
}

/* Yt = Wt U + W Ut + bt */
static void tangent_product(const conv *c, const span *s, int64_t at, int64_t samples, int64_t group) {
    int64_t block = at * c->groups + group, columns = samples * c->p, first = group * c->m * c->k;
    pitot_real *yt = s->yt + block * c->m * c->p, *joined = samples > 1 ? s->scratch + c->k * columns : yt;
    double beta = s->bias_t ? 1 : 0;
    if (s->bias_t) fill_rows(joined, c->m, columns, s->bias_t + group * c->m);
    if (s->weight_t) {
        add_product(c, s, s->weight_t + first, s->x[0] + block * plane_of(c), samples, beta, joined);
        beta = 1;
    }
    if (s->xt[0]) add_product(c, s, s->weight + first, s->xt[0] + block * plane_of(c), samples, beta, joined);
    if (samples > 1) split_columns(c, joined, samples, yt);
}

/* dW (M,K) = beta dW + G (M,P) U' */
static void weight_product(const conv *c, const span *s, const pitot_real *g, const pitot_real *x, int64_t samples, double beta,
                           pitot_real *dweight) {
    int64_t columns = samples * c->p;
    const pitot_real *u = unfolded(c, x, samples, s->scratch);
    blas_gemm(0, 1, c->m, c->k, columns, 1, g, columns, u, columns, beta, dweight, c->k);
}

/* dW += G U', db += row sums of G, dU (K,P) = W' G, folded into dX; of tangents: dW += Gt U' + G Ut', dU = W' Gt + Wt' G */
static void backward_product(const conv *c, const span *s, int64_t at, int64_t samples, int64_t group) {
    int64_t block = at * c->groups + group, columns = samples * c->p, plane = plane_of(c), out = block * c->m * c->p;
    int64_t first = group * c->m * c->k;
    pitot_real *joined = s->scratch + c->k * columns, *dweight = s->dweight ? s->dweight + first : NULL;
    int fresh = s->first && at == 0, bends = s->g && s->weight_t && s->dx[0];
    const pitot_real *dy = join_columns(c, s->dy + out, samples, joined), *g = NULL;
    if (dweight) weight_product(c, s, dy, s->x[0] + block * plane, samples, fresh ? 0 : 1, dweight);
    if (s->dbias) sum_columns(dy, c->m, columns, fresh, s->dbias + group * c->m);
    if (bends) {
        g = join_columns(c, s->g + out, samples, joined + c->m * columns);
        if (dweight) weight_product(c, s, g, s->xt[0] + block * plane, samples, 1, dweight);
    }
    if (!s->dx[0]) return;
    pitot_real *dx = s->dx[0] + block * plane, *du = c->plain ? dx : s->scratch;
    blas_gemm(1, 0, c->k, columns, c->m, 1, s->weight + first, c->k, dy, columns, 0, du, columns);
    if (bends) blas_gemm(1, 0, c->k, columns, c->m, 1, s->weight_t + first, c->k, g, columns, 1, du, columns);
    for (int64_t k = 0; !c->plain && k < samples; k++) window_fold(&c->w, du + k * c->p, columns, dx + k * plane);
}

static void forward(const node *n, const span *s) {
    conv c = conv_of(n);
    if (s->own) winograd_forward(&c, s);
    else products(n, s, forward_product);
}

static void backward_unfolded(const node *n, const span *s) {
    products(n, s, backward_product);
}

static void backward(const node *n, const span *s) {
    conv c = conv_of(n);
    if (!s->own) {
        backward_unfolded(n, s);
        return;
    }
    winograd_backward(&c, s);
    for (int64_t i = 0; s->dbias && i < s->n; i++) sum_columns(s->dy + i * n->out.size, c.m, c.p, s->first && i == 0, s->dbias);
}

static void tangent(const node *n, const span *s) {
    conv c = conv_of(n);
    if (s->own) winograd_tangent(&c, s);
    else products(n, s, tangent_product);
}

/* Each value of the weight, then each of the bias: one channel's positions move together. */
static int64_t directions(const node *n) {
    return n->weight.shape.size + n->bias.shape.size;
}

/* The channel that direction i moves, and how: its row of U, or ones for a bias. */
static int64_t moved_channel(const conv *c, const span *s, int64_t i, int64_t sample, pitot_real *row) {
    int64_t values = c->groups * c->m * c->k, channel = i < values ? i / c->k : i - values;
    const pitot_real *x = s->x[0] + (sample * c->groups + channel / c->m) * plane_of(c);
    if (i < values) window_unfold_row(&c->w, x, i % c->k, row);
    for (int64_t p = 0; i >= values && p < c->p; p++) row[p] = 1;
    return channel;
}

static void move(const node *n, const span *s, int64_t i) {
    conv c = conv_of(n);
    memset(s->yt, 0, (size_t)(s->n * n->out.size) * sizeof *s->yt);
    for (int64_t k = 0; k < s->n; k++) {
        int64_t channel = moved_channel(&c, s, i, k, s->scratch);
        memcpy(s->yt + k * n->out.size + channel * c.p, s->scratch, (size_t)c.p * sizeof *s->yt);
    }
}

/* What came back, along the way it went. */
static void second(const node *n, const span *s, int64_t i) {
    conv c = conv_of(n);
    int64_t values = n->weight.shape.size;
    double sum = 0;
    for (int64_t k = 0; k < s->n; k++) {
        const pitot_real *back = s->dy + k * n->out.size + moved_channel(&c, s, i, k, s->scratch) * c.p;
        for (int64_t p = 0; p < c.p; p++) sum += (double)s->scratch[p] * (double)back[p];
    }
    if (i < values) s->dweight[i] += (pitot_real)sum;
    else s->dbias[i - values] += (pitot_real)sum;
}

static void capture(const node *n, pitot_capture *c) {
    const attributes_conv2d *a = n->attributes;
    c->kind = PITOT_CONV2D;
    c->h = n->in[0].dim[1];
    c->w = n->in[0].dim[2];
    for (int i = 0; i < 2; i++) {
        c->stride[i] = (int32_t)a->stride[i];
        c->padding[i] = (int32_t)a->padding[i];
        c->dilation[i] = (int32_t)a->dilation[i];
    }
    c->groups = (int32_t)a->groups;
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
    .tangent = tangent,
    .tangent_backward = backward,
    .square_gradient = conv_square_gradient,
    .hesscale = backward_unfolded, /* of values >= 0, which stay so in plain sums */
    .directions = directions,
    .move = move,
    .second = second,
    .capture = capture,
};
