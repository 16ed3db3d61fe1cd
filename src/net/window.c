/* window.c: see window.h. */

#include "net/window.h"

#include "pitot/hot.h"

#include <string.h>

static int64_t out_size(const window *w, int axis, int ceil_mode) {
    int64_t reach = w->dilation[axis] * (w->kernel[axis] - 1) + 1;
    int64_t room = w->in[axis] + 2 * w->padding[axis] - reach;
    if (room < 0) return 0;
    int64_t n = (room + (ceil_mode ? w->stride[axis] - 1 : 0)) / w->stride[axis] + 1;
    if (ceil_mode && (n - 1) * w->stride[axis] >= w->in[axis] + w->padding[axis]) n--;
    return n;
}

int32_t window_fit(window *w, const shape *in, int ceil_mode, pitot_error *error) {
    char text[128];
    if (in->n != 3)
        return pitot_fail(error, PITOT_EMISMATCH, "its input has the shape %s; it needs (channels, height, width)",
                          shape_text(in, text));
    w->channels = in->dim[0];
    for (int axis = 0; axis < 2; axis++) {
        w->in[axis] = in->dim[axis + 1];
        w->out[axis] = out_size(w, axis, ceil_mode);
        if (w->out[axis] < 1)
            return pitot_fail(error, PITOT_EMISMATCH,
                              "its window does not fit into an input of shape %s; use a smaller kernel or more padding",
                              shape_text(in, text));
    }
    return PITOT_OK;
}

/* The outputs o in [*from, *to) whose input index o*stride + offset lies inside [0, in). */
static void inside(int64_t out, int64_t in, int64_t stride, int64_t offset, int64_t *from, int64_t *to) {
    int64_t lo = offset >= 0 ? 0 : (-offset + stride - 1) / stride;
    int64_t hi = in - offset <= 0 ? 0 : (in - offset + stride - 1) / stride;
    if (hi > out) hi = out;
    if (lo > hi) lo = hi;
    *from = lo;
    *to = hi;
}

/* Rows are short (a dozen values), so what counts is to move them without a loop over single values: whole vectors, the last one
   overlapping. */
enum { WIDE = 32 / sizeof(pitot_real), HALF = WIDE / 2 };

static inline void copy_plain(const pitot_real *x, int64_t n, pitot_real *u) {
    int64_t i = 0;
    if (n >= WIDE) {
        for (; i + WIDE <= n; i += WIDE) memcpy(u + i, x + i, WIDE * sizeof *u);
        memcpy(u + n - WIDE, x + n - WIDE, WIDE * sizeof *u);
    } else if (n >= HALF) {
        memcpy(u, x, HALF * sizeof *u);
        memcpy(u + n - HALF, x + n - HALF, HALF * sizeof *u);
    } else
        for (; i < n; i++) u[i] = x[i];
}

static inline void copy_row(const pitot_real *x, int64_t n, int64_t stride, pitot_real *u) {
    if (stride == 1) copy_plain(x, n, u);
    else
        for (int64_t i = 0; i < n; i++) u[i] = x[i * stride];
}

static inline void add_row(const pitot_real *u, int64_t n, int64_t stride, pitot_real *x) {
    int64_t i = 0;
    if (stride == 1) {
        for (; i + WIDE <= n; i += WIDE)
            for (int j = 0; j < WIDE; j++) x[i + j] += u[i + j];
        for (; i + HALF <= n; i += HALF)
            for (int j = 0; j < HALF; j++) x[i + j] += u[i + j];
    }
    for (; i < n; i++) x[i * stride] += u[i];
}

static inline void clear(pitot_real *u, int64_t n) {
    for (int64_t i = 0; i < n; i++) u[i] = 0;
}

/* One row of U: what kernel position (ky,kx) of one channel sees. */
static inline void unfold_row(const window *w, const pitot_real *x, int64_t ky, int64_t kx, pitot_real *u) {
    int64_t dy = ky * w->dilation[0] - w->padding[0], dx = kx * w->dilation[1] - w->padding[1], wide = w->out[1];
    int64_t y0, y1, x0, x1;
    inside(w->out[0], w->in[0], w->stride[0], dy, &y0, &y1);
    inside(wide, w->in[1], w->stride[1], dx, &x0, &x1);
    clear(u, y0 * wide);
    for (int64_t y = y0; y < y1; y++) {
        pitot_real *row = u + y * wide;
        clear(row, x0);
        copy_row(x + (y * w->stride[0] + dy) * w->in[1] + x0 * w->stride[1] + dx, x1 - x0, w->stride[1], row + x0);
        clear(row + x1, wide - x1);
    }
    clear(u + y1 * wide, (w->out[0] - y1) * wide);
}

static inline void fold_row(const window *w, const pitot_real *u, int64_t ky, int64_t kx, pitot_real *x) {
    int64_t dy = ky * w->dilation[0] - w->padding[0], dx = kx * w->dilation[1] - w->padding[1];
    int64_t y0, y1, x0, x1;
    inside(w->out[0], w->in[0], w->stride[0], dy, &y0, &y1);
    inside(w->out[1], w->in[1], w->stride[1], dx, &x0, &x1);
    for (int64_t y = y0; y < y1; y++)
        add_row(u + y * w->out[1] + x0, x1 - x0, w->stride[1], x + (y * w->stride[0] + dy) * w->in[1] + x0 * w->stride[1] + dx);
}

/* ---- planes with their padding around them, where steps are single: all rows are then alike, and nothing has an edge ---- */

enum { PLANE = 4096 }; /* values of a padded plane that is small enough to lie on the stack */

static inline int is_small(const window *w) {
    return w->stride[1] == 1 && w->out[1] >= HALF && (w->in[0] + 2 * w->padding[0]) * (w->in[1] + 2 * w->padding[1]) <= PLANE;
}

static inline void copy_rows(const pitot_real *from, int64_t step, int64_t rows, int64_t n, pitot_real *to) {
    if (n >= WIDE && n <= 2 * WIDE)
        for (int64_t y = 0; y < rows; y++, from += step, to += n) {
            memcpy(to, from, WIDE * sizeof *to);
            memcpy(to + n - WIDE, from + n - WIDE, WIDE * sizeof *to);
        }
    else
        for (int64_t y = 0; y < rows; y++) copy_plain(from + y * step, n, to + y * n);
}

/* One channel: its rows of U; returns where the next channel's begin. */
static inline pitot_real *unfold_plane(const window *w, const pitot_real *padded, pitot_real *u, int64_t ldu) {
    int64_t wide = w->in[1] + 2 * w->padding[1];
    for (int64_t ky = 0; ky < w->kernel[0]; ky++)
        for (int64_t kx = 0; kx < w->kernel[1]; kx++, u += ldu)
            copy_rows(padded + ky * w->dilation[0] * wide + kx * w->dilation[1], w->stride[0] * wide, w->out[0], w->out[1], u);
    return u;
}

static inline void unfold_small(const window *w, const pitot_real *x, pitot_real *u, int64_t ldu) {
    pitot_real padded[PLANE];
    int64_t wide = w->in[1] + 2 * w->padding[1], plane = w->in[0] * w->in[1], at = w->padding[0] * wide + w->padding[1];
    int bare = w->padding[0] == 0 && w->padding[1] == 0;
    if (!bare) clear(padded, (w->in[0] + 2 * w->padding[0]) * wide);
    for (int64_t c = 0; c < w->channels; c++, x += plane) {
        for (int64_t y = 0; !bare && y < w->in[0]; y++) copy_plain(x + y * w->in[1], w->in[1], padded + at + y * wide);
        u = unfold_plane(w, bare ? x : padded, u, ldu);
    }
}

static inline const pitot_real *fold_plane(const window *w, const pitot_real *u, int64_t ldu, pitot_real *padded) {
    int64_t wide = w->in[1] + 2 * w->padding[1];
    for (int64_t ky = 0; ky < w->kernel[0]; ky++)
        for (int64_t kx = 0; kx < w->kernel[1]; kx++, u += ldu) {
            pitot_real *to = padded + ky * w->dilation[0] * wide + kx * w->dilation[1];
            for (int64_t y = 0; y < w->out[0]; y++) add_row(u + y * w->out[1], w->out[1], 1, to + y * w->stride[0] * wide);
        }
    return u;
}

static inline void fold_small(const window *w, const pitot_real *u, int64_t ldu, pitot_real *x) {
    pitot_real padded[PLANE];
    int64_t wide = w->in[1] + 2 * w->padding[1], at = w->padding[0] * wide + w->padding[1];
    for (int64_t c = 0; c < w->channels; c++, x += w->in[0] * w->in[1]) {
        clear(padded, (w->in[0] + 2 * w->padding[0]) * wide);
        u = fold_plane(w, u, ldu, padded);
        for (int64_t y = 0; y < w->in[0]; y++) copy_plain(padded + at + y * wide, w->in[1], x + y * w->in[1]);
    }
}

/* Clones of an exported function would be exported, too: hence a static one under each. */
PITOT_HOT static void unfold(const window *w, const pitot_real *x, pitot_real *u, int64_t ldu) {
    if (is_small(w)) {
        unfold_small(w, x, u, ldu);
        return;
    }
    for (int64_t c = 0; c < w->channels; c++, x += w->in[0] * w->in[1])
        for (int64_t ky = 0; ky < w->kernel[0]; ky++)
            for (int64_t kx = 0; kx < w->kernel[1]; kx++, u += ldu) unfold_row(w, x, ky, kx, u);
}

PITOT_HOT static void fold(const window *w, const pitot_real *u, int64_t ldu, pitot_real *x) {
    int64_t plane = w->in[0] * w->in[1];
    if (is_small(w)) {
        fold_small(w, u, ldu, x);
        return;
    }
    clear(x, w->channels * plane);
    for (int64_t c = 0; c < w->channels; c++, x += plane)
        for (int64_t ky = 0; ky < w->kernel[0]; ky++)
            for (int64_t kx = 0; kx < w->kernel[1]; kx++, u += ldu) fold_row(w, u, ky, kx, x);
}

void window_unfold(const window *w, const pitot_real *x, pitot_real *u, int64_t ldu) {
    unfold(w, x, u, ldu);
}

void window_unfold_row(const window *w, const pitot_real *x, int64_t i, pitot_real *u) {
    int64_t kernel = w->kernel[0] * w->kernel[1];
    unfold_row(w, x + i / kernel * w->in[0] * w->in[1], i % kernel / w->kernel[1], i % w->kernel[1], u);
}

void window_fold(const window *w, const pitot_real *u, int64_t ldu, pitot_real *x) {
    fold(w, u, ldu, x);
}
