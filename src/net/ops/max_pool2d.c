/* max_pool2d.c: the largest value of each window; padding counts as -infinity. Where it was is kept for backward. */

#include "base/hot.h"
#include "net/window.h"

#include <string.h>

typedef struct attributes_max_pool2d {
    int64_t kernel[2], stride[2], padding[2], dilation[2], ceil_mode;
} attributes_max_pool2d;

#define AT(field) offsetof(attributes_max_pool2d, field)
static const pitot_option table[] = {
    { "kernel", PITOT_INT, 2, AT(kernel), NULL, 1, 1 << 20, NULL, "", "height and width of the window, or one number for both" },
    { "stride", PITOT_INT, 2, AT(stride), "=kernel", 1, 1 << 20, NULL, "", "step of the window" },
    { "padding", PITOT_INT, 2, AT(padding), "0", 0, 1 << 20, NULL, "", "rows and columns around the input, at most half the kernel" },
    { "dilation", PITOT_INT, 2, AT(dilation), "1", 1, 1 << 20, NULL, "", "distance of the points of the window" },
    { "ceil_mode", PITOT_BOOL, 1, AT(ceil_mode), "false", 0, 0, NULL, "", "also windows that stick out at the end" },
    { 0 },
};

static window window_of(const node *n) {
    const attributes_max_pool2d *a = n->attributes;
    window w = { .channels = n->in[0].dim[0] };
    for (int i = 0; i < 2; i++) {
        w.in[i] = n->in[0].dim[i + 1];
        w.out[i] = n->out.dim[i + 1];
        w.kernel[i] = a->kernel[i];
        w.stride[i] = a->stride[i];
        w.padding[i] = a->padding[i];
        w.dilation[i] = a->dilation[i];
    }
    return w;
}

static int32_t pool_shape(node *n, pitot_error *error) {
    const attributes_max_pool2d *a = n->attributes;
    window w = window_of(n);
    if (2 * a->padding[0] > a->kernel[0] || 2 * a->padding[1] > a->kernel[1])
        return pitot_fail(error, PITOT_EINVAL, "padding is more than half the kernel; make it smaller");
    int32_t status = window_fit(&w, &n->in[0], (int)a->ceil_mode, error);
    if (status) return status;
    if (w.in[0] * w.in[1] > INT32_MAX) return pitot_fail(error, PITOT_ENOTSUP, "its input has planes of more than 2^31 values");
    n->out = (shape){ .n = 3, .dim = { w.channels, w.out[0], w.out[1] } };
    n->kept = w.channels * w.out[0] * w.out[1] * (int64_t)sizeof(int32_t);
    return PITOT_OK;
}

/* Rows [*from, *to) of the kernel that lie inside the input, for the window that starts at `start`. */
static inline void clip(int64_t start, int64_t in, int64_t kernel, int64_t dilation, int64_t *from, int64_t *to) {
    *from = start >= 0 ? 0 : (-start + dilation - 1) / dilation;
    int64_t last = (in - start + dilation - 1) / dilation;
    *to = last < kernel ? last : kernel;
}

/* One window: the first largest value in row-major order; NaN is larger than anything. */
static inline void largest(const window *w, const pitot_real *x, int64_t oy, int64_t ox, pitot_real *y, int32_t *at) {
    int64_t top = oy * w->stride[0] - w->padding[0], left = ox * w->stride[1] - w->padding[1], y0, y1, x0, x1;
    clip(top, w->in[0], w->kernel[0], w->dilation[0], &y0, &y1);
    clip(left, w->in[1], w->kernel[1], w->dilation[1], &x0, &x1);
    int64_t best = (top + y0 * w->dilation[0]) * w->in[1] + left + x0 * w->dilation[1];
    pitot_real most = x[best];
    for (int64_t ky = y0; ky < y1; ky++)
        for (int64_t kx = x0; kx < x1; kx++) {
            int64_t i = (top + ky * w->dilation[0]) * w->in[1] + left + kx * w->dilation[1];
            if (x[i] > most || x[i] != x[i]) most = x[i], best = i;
        }
    *y = most;
    *at = (int32_t)best;
}

/* A row of outputs whose windows lie inside the input, for undilated windows: offset by offset over the whole row, without branches. */
static inline void row_inside(const window *w, const pitot_real *x, int64_t oy, int64_t x0, int64_t x1, pitot_real *y, int32_t *at) {
    int64_t corner = (oy * w->stride[0] - w->padding[0]) * w->in[1] - w->padding[1], step = w->stride[1];
    for (int64_t ox = x0; ox < x1; ox++) {
        y[ox] = x[corner + ox * step];
        at[ox] = (int32_t)(corner + ox * step);
    }
    for (int64_t ky = 0; ky < w->kernel[0]; ky++)
        for (int64_t kx = 0; kx < w->kernel[1]; kx++) {
            int64_t offset = corner + ky * w->in[1] + kx;
            for (int64_t ox = x0; ox < x1; ox++) {
                pitot_real v = x[offset + ox * step];
                int more = !(v <= y[ox]);
                y[ox] = more ? v : y[ox];
                at[ox] = more ? (int32_t)(offset + ox * step) : at[ox];
            }
        }
}

static inline void plane(const window *w, const pitot_real *x, pitot_real *y, int32_t *at) {
    int64_t x0 = (w->padding[1] + w->stride[1] - 1) / w->stride[1];
    int64_t fits = w->in[1] + w->padding[1] - w->kernel[1], x1 = fits < 0 ? 0 : fits / w->stride[1] + 1;
    if (x1 > w->out[1]) x1 = w->out[1];
    for (int64_t oy = 0; oy < w->out[0]; oy++, y += w->out[1], at += w->out[1]) {
        int64_t top = oy * w->stride[0] - w->padding[0];
        int simple = w->dilation[0] == 1 && w->dilation[1] == 1 && top >= 0 && top + w->kernel[0] <= w->in[0] && x0 < x1;
        if (simple) row_inside(w, x, oy, x0, x1, y, at);
        for (int64_t ox = 0; ox < w->out[1]; ox++)
            if (!simple || ox < x0 || ox >= x1) largest(w, x, oy, ox, &y[ox], &at[ox]);
    }
}

PITOT_HOT static void forward(const node *n, const span *s) {
    window w = window_of(n);
    int64_t in = w.in[0] * w.in[1], out = w.out[0] * w.out[1];
    for (int64_t c = 0; c < s->n * w.channels; c++) plane(&w, s->x[0] + c * in, s->y + c * out, (int32_t *)s->kept + c * out);
}

static void backward(const node *n, const span *s) {
    int64_t in = n->in[0].dim[1] * n->in[0].dim[2], out = n->out.dim[1] * n->out.dim[2];
    if (!s->dx[0]) return;
    memset(s->dx[0], 0, (size_t)(s->n * n->in[0].size) * sizeof(pitot_real));
    for (int64_t c = 0; c < s->n * n->in[0].dim[0]; c++) {
        pitot_real *dx = s->dx[0] + c * in;
        const pitot_real *dy = s->dy + c * out;
        const int32_t *at = (const int32_t *)s->kept + c * out;
        for (int64_t i = 0; i < out; i++) dx[at[i]] += dy[i];
    }
}

const op op_max_pool2d = {
    .name = "max_pool2d",
    .summary = "largest value of each window",
    .attributes_size = sizeof(attributes_max_pool2d),
    .attributes = table,
    .inputs_min = 1,
    .inputs_max = 1,
    .shape = pool_shape,
    .forward = forward,
    .backward = backward,
};
