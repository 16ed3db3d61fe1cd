/* avg_pool2d.c: the mean of each window. Zeros of the padding count in the divisor if count_include_pad; what sticks out beyond the
   padding (ceil_mode) never does. */

#include "net/window.h"

#include <string.h>

typedef struct attributes_avg_pool2d {
    int64_t kernel[2], stride[2], padding[2], ceil_mode, count_include_pad;
} attributes_avg_pool2d;

#define AT(field) offsetof(attributes_avg_pool2d, field)
static const pitot_option table[] = {
    { "kernel", PITOT_INT, 2, AT(kernel), NULL, 1, 1 << 20, NULL, "", "height and width of the window, or one number for both" },
    { "stride", PITOT_INT, 2, AT(stride), "=kernel", 1, 1 << 20, NULL, "", "step of the window" },
    { "padding", PITOT_INT, 2, AT(padding), "0", 0, 1 << 20, NULL, "", "zeros around the input, at most half the kernel" },
    { "ceil_mode", PITOT_BOOL, 1, AT(ceil_mode), "false", 0, 0, NULL, "", "also windows that stick out at the end" },
    { "count_include_pad", PITOT_BOOL, 1, AT(count_include_pad), "true", 0, 0, NULL, "", "whether padding counts in the mean" },
    { 0 },
};

static int32_t pool_shape(node *n, pitot_error *error) {
    const attributes_avg_pool2d *a = n->attributes;
    window w = { .dilation = { 1, 1 } };
    for (int i = 0; i < 2; i++) {
        w.kernel[i] = a->kernel[i];
        w.stride[i] = a->stride[i];
        w.padding[i] = a->padding[i];
        if (2 * a->padding[i] > a->kernel[i])
            return pitot_fail(error, PITOT_EINVAL, "padding is more than half the kernel; make it smaller");
    }
    int32_t status = window_fit(&w, &n->in[0], (int)a->ceil_mode, error);
    if (status) return status;
    n->out = (shape){ .n = 3, .dim = { w.channels, w.out[0], w.out[1] } };
    return PITOT_OK;
}

typedef struct extent { /* along one axis: the part of a window inside the input, and what it counts */
    int64_t from, to, count;
} extent;

static extent extent_of(const attributes_avg_pool2d *a, int axis, int64_t in, int64_t o) {
    int64_t from = o * a->stride[axis] - a->padding[axis], to = from + a->kernel[axis];
    if (to > in + a->padding[axis]) to = in + a->padding[axis];
    extent e = { from < 0 ? 0 : from, to < in ? to : in, to - from };
    if (!a->count_include_pad) e.count = e.to - e.from;
    return e;
}

static void plane_forward(const node *n, const pitot_real *x, pitot_real *y) {
    const attributes_avg_pool2d *a = n->attributes;
    int64_t high = n->in[0].dim[1], wide = n->in[0].dim[2];
    for (int64_t oy = 0; oy < n->out.dim[1]; oy++) {
        extent v = extent_of(a, 0, high, oy);
        for (int64_t ox = 0; ox < n->out.dim[2]; ox++) {
            extent h = extent_of(a, 1, wide, ox);
            pitot_real sum = 0;
            for (int64_t i = v.from; i < v.to; i++)
                for (int64_t j = h.from; j < h.to; j++) sum += x[i * wide + j];
            *y++ = sum / (pitot_real)(v.count * h.count);
        }
    }
}

/* power: of the coefficients, 1 or 2 */
static void plane_backward(const node *n, const pitot_real *dy, int power, pitot_real *dx) {
    const attributes_avg_pool2d *a = n->attributes;
    int64_t high = n->in[0].dim[1], wide = n->in[0].dim[2];
    for (int64_t oy = 0; oy < n->out.dim[1]; oy++) {
        extent v = extent_of(a, 0, high, oy);
        for (int64_t ox = 0; ox < n->out.dim[2]; ox++) {
            extent h = extent_of(a, 1, wide, ox);
            pitot_real count = (pitot_real)(v.count * h.count), share = *dy++ / (power == 2 ? count * count : count);
            for (int64_t i = v.from; i < v.to; i++)
                for (int64_t j = h.from; j < h.to; j++) dx[i * wide + j] += share;
        }
    }
}

static void forward(const node *n, const span *s) {
    int64_t in = n->in[0].dim[1] * n->in[0].dim[2], out = n->out.dim[1] * n->out.dim[2];
    for (int64_t c = 0; c < s->n * n->out.dim[0]; c++) plane_forward(n, s->x[0] + c * in, s->y + c * out);
}

static void spread(const node *n, const span *s, int power) {
    int64_t in = n->in[0].dim[1] * n->in[0].dim[2], out = n->out.dim[1] * n->out.dim[2];
    if (!s->dx[0]) return;
    memset(s->dx[0], 0, (size_t)(s->n * n->in[0].size) * sizeof(pitot_real));
    for (int64_t c = 0; c < s->n * n->out.dim[0]; c++) plane_backward(n, s->dy + c * out, power, s->dx[0] + c * in);
}

static void backward(const node *n, const span *s) {
    spread(n, s, 1);
}

static void hesscale(const node *n, const span *s) {
    spread(n, s, 2);
}

const op op_avg_pool2d = {
    .name = "avg_pool2d",
    .summary = "mean of each window",
    .attributes_size = sizeof(attributes_avg_pool2d),
    .attributes = table,
    .inputs_min = 1,
    .inputs_max = 1,
    .flags = OP_LINEAR,
    .shape = pool_shape,
    .forward = forward,
    .backward = backward,
    .hesscale = hesscale,
};
