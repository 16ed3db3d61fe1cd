/* max_pool2d.c: the largest value of each window; padding counts as -infinity. Where it was is kept for backward. */

#include "pitot/hot.h"
#include "net/window.h"

#include <math.h>
#include <string.h>

typedef struct attributes_max_pool2d {
    int64_t kernel[2], stride[2], padding[2], dilation[2], ceil_mode;
} attributes_max_pool2d;

#define AT(field) offsetof(attributes_max_pool2d, field)
static const pitot_option table[] = {
    { "kernel", PITOT_INT, 2, AT(kernel), NULL, 1, 1 << 20, NULL, "", "height and width of the window, or one number for both" },
    { "stride", PITOT_INT, 2, AT(stride), "=kernel", 1, 1 << 20, NULL, "", "step of the window" },
    { "padding", PITOT_INT, 2, AT(padding), "0", 0, 1 << 20, NULL, "",
      "rows and columns around the input, at most half the kernel" },
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

/* Along rows, then along columns, over the whole plane at once: long loops without branches, then every stride-th result is taken.
   Where windows stick out, the plane is first copied into one with a border of -infinity. */

typedef struct plan {
    window w;
    int64_t high, wide, size; /* of the plane with its border */
    int bordered;
} plan;

static plan plan_of(const window *w) {
    int64_t reach[2];
    for (int axis = 0; axis < 2; axis++) {
        int64_t last = (w->out[axis] - 1) * w->stride[axis] + (w->kernel[axis] - 1) * w->dilation[axis] + 1,
                all = w->padding[axis] + w->in[axis];
        reach[axis] = last > all ? last : all;
    }
    return (plan){ *w, reach[0], reach[1], reach[0] * reach[1], reach[0] != w->in[0] || reach[1] != w->in[1] };
}

typedef struct buffers {           /* (size) each */
    pitot_real *x, *h, *v;         /* bordered input; largest along rows; largest along columns of those */
    int32_t *origin, *h_at, *v_at; /* index into the input of each place, -1 on the border; of each largest value */
} buffers;

static buffers buffers_of(const plan *p, pitot_real *scratch) {
    int32_t *index = (int32_t *)(scratch + 3 * p->size);
    return (buffers){ scratch, scratch + p->size, scratch + 2 * p->size, index, index + p->size, index + 2 * p->size };
}

static void fill_border(const plan *p, const buffers *b) {
    const window *w = &p->w;
    for (int64_t i = 0; i < p->size; i++) {
        int64_t y = i / p->wide - w->padding[0], x = i % p->wide - w->padding[1];
        int inside = y >= 0 && y < w->in[0] && x >= 0 && x < w->in[1];
        b->x[i] = -INFINITY;
        b->origin[i] = inside ? (int32_t)(y * w->in[1] + x) : -1;
    }
}

/* best = the larger of best and v, the earlier on a tie; NaN is larger than anything. A border place never wins over the input. */
static inline void merge(pitot_real *restrict best, int32_t *restrict at, const pitot_real *restrict v,
                         const int32_t *restrict v_at, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        int more = (!(v[i] <= best[i]) & (best[i] == best[i])) | ((at[i] < 0) & (v_at[i] >= 0));
        best[i] = more ? v[i] : best[i];
        at[i] = more ? v_at[i] : at[i];
    }
}

static inline void largest(const plan *p, const buffers *b, const pitot_real *x) {
    const window *w = &p->w;
    int64_t n = p->size;
    memcpy(b->h, x, (size_t)n * sizeof *x);
    memcpy(b->h_at, b->origin, (size_t)n * sizeof *b->origin);
    for (int64_t k = 1, to = w->dilation[1]; k < w->kernel[1]; k++, to += w->dilation[1])
        merge(b->h, b->h_at, x + to, b->origin + to, n - to);
    memcpy(b->v, b->h, (size_t)n * sizeof *x);
    memcpy(b->v_at, b->h_at, (size_t)n * sizeof *b->h_at);
    for (int64_t k = 1, to = w->dilation[0] * p->wide; k < w->kernel[0]; k++, to += w->dilation[0] * p->wide)
        merge(b->v, b->v_at, b->h + to, b->h_at + to, n - to);
}

static inline void take(const plan *p, const buffers *b, pitot_real *restrict y, int32_t *restrict at) {
    for (int64_t oy = 0; oy < p->w.out[0]; oy++)
        for (int64_t ox = 0; ox < p->w.out[1]; ox++) {
            int64_t i = oy * p->w.stride[0] * p->wide + ox * p->w.stride[1];
            *y++ = b->v[i];
            *at++ = b->v_at[i];
        }
}

/* Whether a dilated window that starts in the padding steps over the whole input. */
static int sees_nothing(const window *w, int axis) {
    int64_t step = w->dilation[axis];
    for (int64_t o = 0; o < w->out[axis]; o++) {
        int64_t start = o * w->stride[axis] - w->padding[axis];
        if (start >= 0) return 0;
        if (start + (-start + step - 1) / step * step >= w->in[axis]) return 1;
    }
    return 0;
}

static int32_t pool_shape(node *n, pitot_error *error) {
    const attributes_max_pool2d *a = n->attributes;
    window w = window_of(n);
    if (2 * a->padding[0] > a->kernel[0] || 2 * a->padding[1] > a->kernel[1])
        return pitot_fail(error, PITOT_EINVAL, "padding is more than half the kernel; make it smaller");
    int32_t status = window_fit(&w, &n->in[0], (int)a->ceil_mode, error);
    if (status) return status;
    if (sees_nothing(&w, 0) || sees_nothing(&w, 1))
        return pitot_fail(error, PITOT_EMISMATCH, "a window sees nothing but padding; use less dilation or padding");
    if (w.in[0] * w.in[1] > INT32_MAX) return pitot_fail(error, PITOT_ENOTSUP, "its input has planes of more than 2^31 values");
    n->out = (shape){ .n = 3, .dim = { w.channels, w.out[0], w.out[1] } };
    n->scratch = 6 * plan_of(&w).size;
    n->kept = w.channels * w.out[0] * w.out[1] * (int64_t)sizeof(int32_t);
    return PITOT_OK;
}

PITOT_HOT static void forward(const node *n, const span *s) {
    window w = window_of(n);
    plan p = plan_of(&w);
    buffers b = buffers_of(&p, s->scratch);
    int64_t in = w.in[0] * w.in[1], out = w.out[0] * w.out[1];
    fill_border(&p, &b);
    for (int64_t c = 0; c < s->n * w.channels; c++) {
        const pitot_real *x = s->x[0] + c * in;
        for (int64_t row = 0; p.bordered && row < w.in[0]; row++)
            memcpy(b.x + (row + w.padding[0]) * p.wide + w.padding[1], x + row * w.in[1], (size_t)w.in[1] * sizeof *x);
        largest(&p, &b, p.bordered ? b.x : x);
        take(&p, &b, s->y + c * out, (int32_t *)s->kept + c * out);
    }
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

static void tangent(const node *n, const span *s) {
    int64_t in = n->in[0].dim[1] * n->in[0].dim[2], out = n->out.dim[1] * n->out.dim[2];
    for (int64_t c = 0; c < s->n * n->in[0].dim[0]; c++) {
        const pitot_real *xt = s->xt[0] + c * in;
        const int32_t *at = (const int32_t *)s->kept + c * out;
        pitot_real *yt = s->yt + c * out;
        for (int64_t i = 0; i < out; i++) yt[i] = xt[at[i]];
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
    .tangent = tangent,
    .hesscale = backward, /* coefficients of 0 and 1 */
};
