/* sample_rows.c: see sample_rows.h. */

#include "optim/core/sample_rows.h"

#include <string.h>

typedef struct place { /* of one layer's gradient in a row; NULL: none */
    double *weight, *bias;
} place;

/* weight (m,k) += G'A, bias (m) += sum of G; A (t,k), G (t,m) */
static void add_linear(const pitot_real *a, const pitot_real *g, double scale, int64_t t, int64_t m, int64_t k, place to) {
    for (int64_t p = 0; p < t; p++)
        for (int64_t o = 0; o < m; o++) {
            double go = scale * (double)g[p * m + o];
            if (to.bias) to.bias[o] += go;
            for (int64_t i = 0; to.weight && i < k; i++) to.weight[o * k + i] += go * (double)a[p * k + i];
        }
}

static void add_scale(const pitot_real *a, const pitot_real *g, double scale, int64_t t, int64_t d, place to) {
    for (int64_t p = 0; p < t * d; p++) {
        if (to.weight) to.weight[p % d] += scale * (double)g[p] * (double)a[p];
        if (to.bias) to.bias[p % d] += scale * (double)g[p];
    }
}

typedef struct geometry { /* of a convolution; index 0 vertical, 1 horizontal */
    int64_t m, channels, groups, in[2], out[2], kernel[2], stride[2], padding[2], dilation[2]; /* channels: of one group */
} geometry;

static geometry geometry_of(const pitot_capture *c, const int64_t shape[4]) {
    geometry g = { .m = shape[0], .channels = shape[1], .groups = c->groups ? c->groups : 1, .in = { c->h, c->w } };
    for (int i = 0; i < 2; i++) {
        g.kernel[i] = shape[2 + i];
        g.stride[i] = c->stride[i] ? c->stride[i] : 1;
        g.padding[i] = c->padding[i];
        g.dilation[i] = c->dilation[i] ? c->dilation[i] : 1;
        g.out[i] = (g.in[i] + 2 * g.padding[i] - g.dilation[i] * (g.kernel[i] - 1) - 1) / g.stride[i] + 1;
    }
    return g;
}

/* Sum over positions of what kernel value (u,v) saw in x (h,w) times y (h',w'). */
static double correlate(const geometry *g, const pitot_real *x, const pitot_real *y, int64_t u, int64_t v) {
    double sum = 0;
    for (int64_t p = 0; p < g->out[0]; p++) {
        int64_t row = p * g->stride[0] + u * g->dilation[0] - g->padding[0];
        if (row < 0 || row >= g->in[0]) continue;
        for (int64_t q = 0; q < g->out[1]; q++) {
            int64_t column = q * g->stride[1] + v * g->dilation[1] - g->padding[1];
            if (column < 0 || column >= g->in[1]) continue;
            sum += (double)x[row * g->in[1] + column] * (double)y[p * g->out[1] + q];
        }
    }
    return sum;
}

static void add_conv(const geometry *g, const pitot_real *a, const pitot_real *dy, double scale, place to) {
    int64_t of_group = g->m / g->groups, in = g->in[0] * g->in[1], out = g->out[0] * g->out[1], k = g->kernel[0] * g->kernel[1];
    for (int64_t o = 0; o < g->m; o++) {
        const pitot_real *y = dy + o * out, *x = a + o / of_group * g->channels * in;
        for (int64_t p = 0; p < out && to.bias; p++) to.bias[o] += scale * (double)y[p];
        for (int64_t i = 0; i < g->channels * k && to.weight; i++)
            to.weight[o * g->channels * k + i] +=
                scale * correlate(g, x + i / k * in, y, i % k / g->kernel[1], i % k % g->kernel[1]);
    }
}

static int fits(const pitot_stepping *s, const pitot_capture *c) {
    int dims = c->kind == PITOT_LINEAR ? 2 : c->kind == PITOT_CONV2D ? 4 : 1;
    if (c->kind != PITOT_LINEAR && c->kind != PITOT_CONV2D && c->kind != PITOT_SCALE_SHIFT) return 0;
    if (c->flags & ~(PITOT_COPY | PITOT_DATA) || c->a_dtype || c->g_dtype || !c->A || !c->G) return 0;
    return c->weight > 0 && c->weight <= s->n && c->bias <= s->n && s->tensor[c->weight - 1].n_dim == dims;
}

static void add_sample(const pitot_stepping *s, const pitot_capture *c, int64_t n, double scale, double *row) {
    const int64_t *shape = s->tensor[c->weight - 1].shape, t = c->t ? c->t : 1;
    place to = { row + s->tensor[c->weight - 1].at, c->bias ? row + s->tensor[c->bias - 1].at : NULL };
    const pitot_real *a = c->A, *g = c->G;
    if (c->kind == PITOT_LINEAR) add_linear(a + n * t * shape[1], g + n * t * shape[0], scale, t, shape[0], shape[1], to);
    if (c->kind == PITOT_SCALE_SHIFT) add_scale(a + n * t * shape[0], g + n * t * shape[0], scale, t, shape[0], to);
    if (c->kind != PITOT_CONV2D) return;
    geometry k = geometry_of(c, shape);
    add_conv(&k, a + n * k.groups * k.channels * c->h * c->w, g + n * k.m * k.out[0] * k.out[1], scale, to);
}

int32_t sample_rows(const pitot_stepping *s, int64_t samples, int64_t first, int64_t count, double *rows) {
    memset(rows, 0, (size_t)(count * s->parameters) * sizeof *rows);
    for (int64_t i = 0; i < s->source->layers; i++) {
        pitot_capture c = { .struct_size = sizeof c };
        int32_t status = s->source->layer(s->source->user, i, 0, &c);
        if (status == PITOT_ENOTSUP) continue; /* no gradient reaches it */
        if (status) return status;
        if (!fits(s, &c)) return PITOT_ENOTSUP;
        double scale = (c.scale != 0 ? c.scale : 1) * (double)samples;
        for (int64_t n = 0; n < count; n++) add_sample(s, &c, first + n, scale, rows + n * s->parameters);
    }
    return PITOT_OK;
}
