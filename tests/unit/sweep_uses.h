/* sweep_uses.h: uses of every kind and geometry with made-up A and G, and their per-sample gradients by plain loops in double. */

#ifndef PITOT_TESTS_SWEEP_USES_H
#define PITOT_TESTS_SWEEP_USES_H

#include "sweep/sweep.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t seed = 1;

static double uniform(void) { /* [-1,1) */
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(int64_t)(seed >> 11) * 0x1p-52 - 1;
}

/* ---- uses ---- */

typedef struct layout {
    const char *name;
    int32_t kind, transposed, time_first, channels_last;
    int64_t t, din, dout;                                                 /* convolution: din, dout channels */
    int64_t in[2], kernel[2], stride[2], padding[2], dilation[2], groups; /* 0: 1, padding 0 */
    int64_t gap;                                                          /* unused values between samples and positions */
} layout;

#define LINEAR(...) \
    { .name = #__VA_ARGS__, .kind = SWEEP_LINEAR, __VA_ARGS__ }
#define CONV(...) \
    { .name = #__VA_ARGS__, .kind = SWEEP_CONV, __VA_ARGS__ }
#define OTHER(which, ...) \
    { .name = #which " " #__VA_ARGS__, .kind = SWEEP_##which, __VA_ARGS__ }

static const layout layouts[] = {
    LINEAR(.t = 1, .din = 7, .dout = 5),
    LINEAR(.t = 1, .din = 1, .dout = 1),
    LINEAR(.t = 1, .din = 1, .dout = 9),
    LINEAR(.t = 1, .din = 9, .dout = 1, .gap = 3),
    LINEAR(.t = 1, .din = 90, .dout = 70, .gap = 1),
    LINEAR(.t = 1, .din = 6, .dout = 33, .transposed = 1),
    LINEAR(.t = 1, .din = 130, .dout = 700),
    LINEAR(.t = 1, .din = 2501, .dout = 90),
    LINEAR(.t = 1, .din = 71, .dout = 1100, .transposed = 1),
    LINEAR(.t = 4, .din = 7, .dout = 5),
    LINEAR(.t = 4, .din = 7, .dout = 5, .gap = 2),
    LINEAR(.t = 3, .din = 20, .dout = 31, .time_first = 1),
    LINEAR(.t = 3, .din = 20, .dout = 31, .time_first = 1, .transposed = 1),
    LINEAR(.t = 70, .din = 160, .dout = 150),
    LINEAR(.t = 2, .din = 300, .dout = 200, .transposed = 1),
    LINEAR(.t = 2, .din = 40001, .dout = 2),
    LINEAR(.t = 2, .din = 1, .dout = 1),
    CONV(.din = 2, .dout = 3, .in = { 6, 5 }, .kernel = { 3, 3 }),
    CONV(.din = 2, .dout = 3, .in = { 6, 5 }, .kernel = { 3, 3 }, .padding = { 1, 1 }, .gap = 3),
    CONV(.din = 2, .dout = 3, .in = { 7, 6 }, .kernel = { 3, 2 }, .stride = { 2, 1 }, .padding = { 1, 0 }),
    CONV(.din = 3, .dout = 4, .in = { 7, 9 }, .kernel = { 2, 3 }, .dilation = { 3, 1 }, .padding = { 1, 2 }),
    CONV(.din = 4, .dout = 6, .in = { 5, 4 }, .kernel = { 3, 3 }, .padding = { 1, 1 }, .groups = 2),
    CONV(.din = 4, .dout = 4, .in = { 5, 4 }, .kernel = { 3, 3 }, .groups = 4, .channels_last = 1),
    CONV(.din = 3, .dout = 5, .in = { 4, 4 }, .kernel = { 1, 1 }),
    CONV(.din = 3, .dout = 5, .in = { 4, 4 }, .kernel = { 1, 1 }, .channels_last = 1),
    CONV(.din = 4, .dout = 6, .in = { 4, 3 }, .kernel = { 1, 1 }, .groups = 2),
    CONV(.din = 3, .dout = 5, .in = { 4, 5 }, .kernel = { 1, 1 }, .stride = { 2, 2 }),
    CONV(.din = 3, .dout = 4, .in = { 6, 7 }, .kernel = { 3, 2 }, .padding = { 1, 1 }, .channels_last = 1),
    CONV(.din = 4, .dout = 6, .in = { 6, 7 }, .kernel = { 3, 2 }, .stride = { 1, 2 }, .groups = 2, .channels_last = 1),
    CONV(.din = 20, .dout = 30, .in = { 4, 4 }, .kernel = { 3, 3 }),
    CONV(.din = 20, .dout = 30, .in = { 4, 4 }, .kernel = { 3, 3 }, .channels_last = 1),
    CONV(.din = 64, .dout = 66, .in = { 5, 4 }, .kernel = { 4, 4 }),
    CONV(.din = 64, .dout = 70, .in = { 5, 4 }, .kernel = { 4, 4 }, .padding = { 2, 3 }, .groups = 1),
    CONV(.din = 1, .dout = 1, .in = { 1, 1 }, .kernel = { 1, 1 }),
    OTHER(SCALE, .t = 1, .dout = 9),
    OTHER(SCALE, .t = 5, .dout = 9, .gap = 1),
    OTHER(SCALE, .t = 5, .dout = 17, .time_first = 1),
    OTHER(SUM, .t = 1, .dout = 11),
    OTHER(SUM, .t = 1, .dout = 40001),
    OTHER(SUM, .t = 6, .dout = 11, .gap = 2),
    OTHER(SUM, .t = 6, .dout = 11, .time_first = 1),
    OTHER(SUM, .t = 50, .dout = 12, .channels_last = 2),          /* 2: positions fastest */
    OTHER(SUM, .t = 7, .dout = 12, .channels_last = 3, .gap = 1), /* 3: every other value */
    OTHER(SUM, .t = 1, .dout = 12, .channels_last = 2, .gap = 1),
    OTHER(GIVEN, .dout = 13, .gap = 2),
    OTHER(GIVEN, .dout = 40000),
};
enum { LAYOUTS = sizeof layouts / sizeof *layouts };

static int64_t or_one(int64_t v) {
    return v ? v : 1;
}

static window window_of(const layout *l) {
    window w = { .channels = l->din / or_one(l->groups) };
    for (int i = 0; i < 2; i++) {
        w.in[i] = l->in[i];
        w.kernel[i] = l->kernel[i];
        w.stride[i] = or_one(l->stride[i]);
        w.padding[i] = l->padding[i];
        w.dilation[i] = or_one(l->dilation[i]);
        w.out[i] = (w.in[i] + 2 * w.padding[i] - w.dilation[i] * (w.kernel[i] - 1) - 1) / w.stride[i] + 1;
    }
    return w;
}

static int64_t size_of(const layout *l) {
    if (l->kind == SWEEP_LINEAR) return l->din * l->dout;
    return l->kind == SWEEP_CONV ? l->dout * l->din / or_one(l->groups) * l->kernel[0] * l->kernel[1] : l->dout;
}

/* Distances of samples and positions of d values each; returns how many values there are in all. */
static int64_t strides(const layout *l, int64_t n, int64_t d, int64_t *sample, int64_t *position) {
    *position = l->time_first ? n * (d + l->gap) : d + l->gap;
    *sample = l->time_first ? d + l->gap : or_one(l->t) * (d + l->gap);
    return (n - 1) * *sample + (or_one(l->t) - 1) * *position + d;
}

static pitot_real *values(int64_t n) {
    pitot_real *x = malloc((size_t)n * sizeof *x);
    assert_non_null(x);
    for (int64_t i = 0; i < n; i++) x[i] = (pitot_real)(uniform() + 0.2);
    return x;
}

static sweep_use use_of(const layout *l, int64_t n, double scale) {
    sweep_use u = {
        .kind = l->kind, .transposed = l->transposed, .t = or_one(l->t), .din = l->din, .dout = l->dout, .scale = scale
    };
    u.groups = or_one(l->groups);
    u.g_value = 1;
    if (l->kind == SWEEP_CONV) {
        u.w = window_of(l);
        u.m = l->dout / u.groups;
        u.channels_last = l->channels_last;
        u.a = values(strides(l, n, l->din * l->in[0] * l->in[1], &u.a_sample, &u.a_position));
        u.g = values(strides(l, n, l->dout * u.w.out[0] * u.w.out[1], &u.g_sample, &u.g_position));
        return u;
    }
    int64_t g = strides(l, n, l->dout, &u.g_sample, &u.g_position);
    if (l->channels_last >= 2) {
        u.g_position = l->channels_last - 1;
        u.g_value = u.g_position * (u.t + l->gap);
        u.g_sample = l->dout * u.g_value;
        g = n * u.g_sample;
    }
    u.g = values(g);
    if (l->kind == SWEEP_LINEAR) u.a = values(strides(l, n, l->din, &u.a_sample, &u.a_position));
    if (l->kind == SWEEP_SCALE) u.a = values(strides(l, n, l->dout, &u.a_sample, &u.a_position));
    return u;
}

/* ---- the same by loops ---- */

static void loop_linear(const sweep_use *u, const pitot_real *a, const pitot_real *g, double *out) {
    for (int64_t t = 0; t < u->t; t++)
        for (int64_t i = 0; i < u->dout; i++)
            for (int64_t j = 0; j < u->din; j++)
                out[u->transposed ? j * u->dout + i : i * u->din + j] +=
                    u->scale * (double)g[t * u->g_position + i] * (double)a[t * u->a_position + j];
}

/* Value (c,y,x) of (channels,h,w), or of (h,w,channels); 0 outside. */
static double pixel(const pitot_real *v, int last, int64_t channels, const int64_t size[2], int64_t c, int64_t y, int64_t x) {
    if (y < 0 || x < 0 || y >= size[0] || x >= size[1]) return 0;
    return (double)v[last ? (y * size[1] + x) * channels + c : (c * size[0] + y) * size[1] + x];
}

/* One weight: output channel o, input channel c of its group, kernel position (ky,kx). */
static double loop_weight(const sweep_use *u, const pitot_real *a, const pitot_real *g, int64_t o, int64_t c, int64_t ky,
                          int64_t kx) {
    const window *w = &u->w;
    double all = 0;
    for (int64_t y = 0; y < w->out[0]; y++)
        for (int64_t x = 0; x < w->out[1]; x++)
            all += pixel(g, u->channels_last, u->groups * u->m, w->out, o, y, x) *
                   pixel(a, u->channels_last, u->groups * w->channels, w->in, o / u->m * w->channels + c,
                         y * w->stride[0] + ky * w->dilation[0] - w->padding[0],
                         x * w->stride[1] + kx * w->dilation[1] - w->padding[1]);
    return all;
}

static void loop_conv(const sweep_use *u, const pitot_real *a, const pitot_real *g, double *out) {
    for (int64_t o = 0; o < u->groups * u->m; o++)
        for (int64_t c = 0; c < u->w.channels; c++)
            for (int64_t ky = 0; ky < u->w.kernel[0]; ky++)
                for (int64_t kx = 0; kx < u->w.kernel[1]; kx++) *out++ += u->scale * loop_weight(u, a, g, o, c, ky, kx);
}

static void loop_vector(const sweep_use *u, const pitot_real *a, const pitot_real *g, double *out) {
    for (int64_t t = 0; t < u->t; t++)
        for (int64_t i = 0; i < u->dout; i++)
            out[i] += u->scale * (double)g[t * u->g_position + i * u->g_value] * (a ? (double)a[t * u->a_position + i] : 1);
}

static void add_gradient(const sweep_use *u, int64_t n, double *out) {
    const pitot_real *a = u->a ? u->a + n * u->a_sample : NULL, *g = u->g + n * u->g_sample;
    if (u->kind == SWEEP_LINEAR) loop_linear(u, a, g, out);
    else if (u->kind == SWEEP_CONV) loop_conv(u, a, g, out);
    else loop_vector(u, a, g, out);
}

#endif
