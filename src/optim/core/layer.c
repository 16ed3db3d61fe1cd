/* layer.c: see layer.h. */

#include "optim/core/layer.h"

#include "base/threads.h"
#include "pitot/hot.h"

#include <string.h>

enum { BLOCK = 512 /* rows that are made and multiplied together, about */, WORTH_THREADS = 1 << 15 /* values copied */ };

/* ---- which ---- */

static int64_t product_of(const int64_t *dim, int32_t from, int32_t n) {
    int64_t size = 1;
    for (int32_t d = from; d < n; d++) size *= dim[d];
    return size;
}

/* The weight's gradient is the sum over its uses; factors are about a single one. */
static int used_once(const pitot_optim_source *source, int64_t index, int32_t weight) {
    pitot_capture c;
    for (int64_t i = 0; i < source->layers; i++)
        if (i != index && source->layer(source->user, i, 1, &c) == PITOT_OK && c.weight == weight) return 0;
    return 1;
}

static int32_t read_window(layer *l, const pitot_capture *c, const pitot_tensor_state *weight) {
    window *w = &l->w;
    shape in = { .n = 3, .dim = { l->values / (weight->shape[2] * weight->shape[3]), c->h, c->w } };
    in.size = in.dim[0] * in.dim[1] * in.dim[2];
    for (int k = 0; k < 2; k++) {
        w->kernel[k] = weight->shape[2 + k];
        w->stride[k] = c->stride[k] ? c->stride[k] : 1;
        w->padding[k] = c->padding[k];
        w->dilation[k] = c->dilation[k] ? c->dilation[k] : 1;
    }
    int32_t status = window_fit(w, &in, 0, NULL);
    l->positions = w->out[0] * w->out[1];
    return status;
}

int32_t layer_read(const pitot_optim_source *source, const pitot_tensor_state *tensor, int64_t n, int64_t index, layer *l) {
    enum { OTHER = PITOT_TRANSPOSED | PITOT_TIME_FIRST | PITOT_CHANNELS_LAST };
    pitot_capture c;
    if (!source->layer || source->layer(source->user, index, 1, &c) != PITOT_OK) return PITOT_ENOTSUP;
    int32_t dims = c.kind == PITOT_LINEAR ? 2 : c.kind == PITOT_CONV2D ? 4 : 0;
    if (!dims || c.flags & OTHER || c.a_dtype || c.g_dtype || c.weight < 1 || c.weight > n || c.bias < 0 || c.bias > n)
        return PITOT_ENOTSUP;
    const pitot_tensor_state *w = &tensor[c.weight - 1];
    if (w->n_dim != dims || !used_once(source, index, c.weight)) return PITOT_ENOTSUP;
    *l = (layer){ .index = index, .weight = c.weight - 1, .bias = c.bias - 1, .apart = -1, .conv = dims == 4 };
    l->groups = l->conv && c.groups ? c.groups : 1;
    l->rows = w->shape[0] / l->groups;
    l->values = product_of(w->shape, 1, dims);
    l->columns = l->values + (c.bias > 0);
    l->positions = c.t ? c.t : 1;
    int32_t status = l->conv ? read_window(l, &c, w) : PITOT_OK;
    l->samples = l->positions < BLOCK ? BLOCK / l->positions : 1;
    return status ? PITOT_ENOTSUP : PITOT_OK;
}

int64_t layers_read(const pitot_optim_source *source, const pitot_tensor_state *tensor, int64_t n, int64_t most, layer *out) {
    int64_t count = 0;
    for (int64_t i = 0; i < source->layers; i++) {
        layer *l = &out[count];
        count += layer_read(source, tensor, n, i, l) == PITOT_OK && l->rows <= most && l->columns <= most;
    }
    return count;
}

int64_t layers_moving(const pitot_tensor_state *tensor, layer *list, int64_t n) {
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++)
        if (tensor[list[i].weight].g) list[count++] = list[i];
    return count;
}

const layer *layer_of(const layer *list, int64_t n, int64_t i) {
    for (int64_t k = 0; k < n; k++)
        if (list[k].weight == i) return &list[k];
    return NULL;
}

/* ---- rows ---- */

static int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* All rows of a block; behind them one sample unfolded, or two planes of its input. */
int64_t layer_room(const layer *l) {
    int64_t plane = l->conv ? l->w.channels * l->w.in[0] * l->w.in[1] + l->positions : 0;
    return larger(l->columns, l->rows) * l->positions * l->samples + larger(l->values * l->positions, plane);
}

/* to (positions, n) at stride `ld` = from' (n, positions) */
PITOT_HOT static void transpose(const pitot_real *from, int64_t n, int64_t positions, pitot_real *to, int64_t ld) {
    enum { TILE = 16 };
    for (int64_t i = 0; i < n; i += TILE)
        for (int64_t p = 0; p < positions; p++)
            for (int64_t k = i; k < n && k < i + TILE; k++) to[p * ld + k] = from[k * positions + p];
}

/* Sum over positions of n rows that lie as (n, positions). */
PITOT_HOT static void sum_across(const pitot_real *from, int64_t n, int64_t positions, double scale, pitot_real *to) {
    for (int64_t i = 0; i < n; i++) {
        double sum = 0;
        for (int64_t p = 0; p < positions; p++) sum += (double)from[i * positions + p];
        to[i] = (pitot_real)(sum * scale);
    }
}

/* The same of (positions, n). */
PITOT_HOT static void sum_down(const pitot_real *from, int64_t n, int64_t positions, double scale, pitot_real *to) {
    for (int64_t i = 0; i < n; i++) to[i] = 0;
    for (int64_t p = 0; p < positions; p++)
        for (int64_t i = 0; i < n; i++) to[i] += from[p * n + i];
    for (int64_t i = 0; i < n; i++) to[i] = (pitot_real)((double)to[i] * scale);
}

static const pitot_real *plane_of(const layer *l, const pitot_capture *c, int64_t group, int64_t sample) {
    int64_t size = l->w.channels * l->w.in[0] * l->w.in[1];
    return (const pitot_real *)c->A + (sample * l->groups + group) * size;
}

/* Rows of one sample, position by position, straight from its planes x; 0 outside. */
PITOT_HOT static void window_rows(const window *w, const pitot_real *restrict x, int64_t ld, pitot_real *restrict to) {
    int64_t plane = w->in[0] * w->in[1], width = w->kernel[1], step = w->dilation[1];
    for (int64_t p = 0; p < w->out[0] * w->out[1]; p++, to += ld) {
        int64_t top = p / w->out[1] * w->stride[0] - w->padding[0], left = p % w->out[1] * w->stride[1] - w->padding[1];
        int inside = left >= 0 && left + (width - 1) * step < w->in[1];
        pitot_real *at = to;
        for (int64_t i = 0; i < w->channels * w->kernel[0]; i++, at += width) {
            int64_t row = top + i % w->kernel[0] * w->dilation[0];
            const pitot_real *from = x + i / w->kernel[0] * plane + row * w->in[1];
            if (row < 0 || row >= w->in[0])
                for (int64_t v = 0; v < width; v++) at[v] = 0;
            else if (inside)
                for (int64_t v = 0; v < width; v++) at[v] = from[left + v * step];
            else
                for (int64_t v = 0, k = left; v < width; v++, k += step) at[v] = k >= 0 && k < w->in[1] ? from[k] : 0;
        }
    }
}

typedef struct rows_job { /* samples from..from + n of a group */
    const layer *l;
    const pitot_capture *c;
    int64_t group, from;
    int reduce;
    pitot_real *room;
} rows_job;

static void input_rows(void *job, int64_t begin, int64_t end, int thread) {
    const rows_job *j = job;
    const layer *l = j->l;
    (void)thread;
    for (int64_t k = begin; k < end; k++)
        window_rows(&l->w, plane_of(l, j->c, j->group, j->from + k), l->columns, j->room + k * l->positions * l->columns);
}

static void conv_inputs(const layer *l, const pitot_capture *c, int64_t group, int64_t from, int64_t n, int reduce,
                        pitot_real *room) {
    pitot_real *u = room + larger(l->columns, l->rows) * l->positions * l->samples;
    rows_job job = { l, c, group, from, reduce, room };
    if (!reduce) threads_run(threads_default(), n, input_rows, &job);
    for (int64_t k = 0; reduce && k < n; k++) {
        window_unfold(&l->w, plane_of(l, c, group, from + k), u, l->positions);
        sum_across(u, l->values, l->positions, 1 / (double)l->positions, room + k * l->columns);
    }
}

static void linear_inputs(const layer *l, const pitot_real *a, int64_t n, int reduce, pitot_real *room) {
    int64_t p = reduce ? 1 : l->positions;
    for (int64_t k = 0; k < n * p; k++) {
        const pitot_real *from = a + k * l->values * (l->positions / p);
        if (reduce) sum_down(from, l->values, l->positions, 1 / (double)l->positions, room + k * l->columns);
        else memcpy(room + k * l->columns, from, (size_t)l->values * sizeof *a);
    }
}

const pitot_real *layer_inputs(const layer *l, const pitot_capture *c, int64_t group, int64_t from, int64_t n, int reduce,
                               pitot_real *room) {
    const pitot_real *a = (const pitot_real *)c->A + from * l->positions * l->values;
    int64_t rows = reduce ? n : n * l->positions;
    if (!l->conv && l->bias < 0 && (!reduce || l->positions == 1)) return a;
    if (l->conv) conv_inputs(l, c, group, from, n, reduce, room);
    else linear_inputs(l, a, n, reduce && l->positions > 1, room);
    for (int64_t k = 0; k < rows && l->bias >= 0; k++) room[k * l->columns + l->values] = 1;
    return room;
}

static void gradient_rows(void *job, int64_t begin, int64_t end, int thread) {
    const rows_job *j = job;
    const layer *l = j->l;
    int64_t p = l->positions, size = l->rows * p;
    (void)thread;
    for (int64_t k = begin; k < end; k++) {
        const pitot_real *sample = (const pitot_real *)j->c->G + ((j->from + k) * l->groups + j->group) * size;
        if (!l->conv) sum_down(sample, l->rows, p, 1, j->room + k * l->rows);
        else if (j->reduce) sum_across(sample, l->rows, p, 1, j->room + k * l->rows);
        else transpose(sample, l->rows, p, j->room + k * size, l->rows);
    }
}

const pitot_real *layer_gradients(const layer *l, const pitot_capture *c, int64_t group, int64_t from, int64_t n, int reduce,
                                  pitot_real *room) {
    if (!l->conv && (!reduce || l->positions == 1)) return (const pitot_real *)c->G + from * l->rows * l->positions;
    rows_job job = { l, c, group, from, reduce, room };
    threads_run(threads_default(), n, gradient_rows, &job);
    return room;
}

/* ---- rows, across ---- */

const pitot_real *layer_inputs_across(const layer *l, const pitot_capture *c, int64_t group, int64_t from, int64_t n,
                                      pitot_real *room) {
    int64_t m = n * l->positions;
    for (int64_t k = 0; k < n; k++) window_unfold(&l->w, plane_of(l, c, group, from + k), room + k * l->positions, m);
    for (int64_t p = 0; p < m && l->bias >= 0; p++) room[l->values * m + p] = 1;
    return room;
}

const pitot_real *layer_gradients_across(const layer *l, const pitot_capture *c, int64_t group, int64_t from, int64_t n,
                                         pitot_real *room) {
    int64_t p = l->positions, m = n * p;
    const pitot_real *g = (const pitot_real *)c->G + (from * l->groups + group) * l->rows * p;
    if (n == 1) return g;
    for (int64_t k = 0; k < n; k++, g += l->groups * l->rows * p)
        for (int64_t i = 0; i < l->rows; i++) memcpy(room + i * m + k * p, g + i * p, (size_t)p * sizeof *g);
    return room;
}

/* ---- squares ---- */

PITOT_HOT static void add_squares(const pitot_real *x, int64_t n, pitot_real *sum) {
    for (int64_t i = 0; i < n; i++) sum[i] += x[i] * x[i];
}

/* Windows move squares as they move values: one unfolding serves all samples. */
static void conv_squares(const layer *l, const pitot_capture *c, int64_t group, int64_t from, int64_t n, pitot_real *room,
                         double *out) {
    int64_t size = l->w.channels * l->w.in[0] * l->w.in[1];
    pitot_real *row = room + size;
    memset(room, 0, (size_t)size * sizeof *room);
    for (int64_t k = 0; k < n; k++) add_squares(plane_of(l, c, group, from + k), size, room);
    for (int64_t i = 0; i < l->values; i++) {
        window_unfold_row(&l->w, room, i, row);
        for (int64_t p = 0; p < l->positions; p++) out[i] += (double)row[p];
    }
}

void layer_input_squares(const layer *l, const pitot_capture *c, int64_t group, int64_t from, int64_t n, pitot_real *room,
                         double *out) {
    const pitot_real *a = (const pitot_real *)c->A + from * l->positions * l->values;
    if (l->conv) conv_squares(l, c, group, from, n, room, out);
    else {
        memset(room, 0, (size_t)l->values * sizeof *room);
        for (int64_t k = 0; k < n * l->positions; k++) add_squares(a + k * l->values, l->values, room);
        for (int64_t i = 0; i < l->values; i++) out[i] += (double)room[i];
    }
    if (l->bias >= 0) out[l->values] += (double)(n * l->positions);
}

/* ---- gradients ---- */

typedef struct copy_job {
    const layer *l;
    const pitot_real *weight, *bias, *from; /* of a group; bias NULL: zeros; (rows, columns) */
    pitot_real *to, *to_weight, *to_bias;   /* (rows, columns); of a group; to_bias NULL: there is none */
} copy_job;

static int copy_threads(const layer *l) {
    return l->rows * l->columns >= WORTH_THREADS ? threads_default() : 1;
}

static void gather_rows(void *job, int64_t begin, int64_t end, int thread) {
    const copy_job *j = job;
    int64_t values = j->l->values, columns = j->l->columns;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        memcpy(j->to + i * columns, j->weight + i * values, (size_t)values * sizeof *j->to);
        if (columns > values) j->to[i * columns + values] = j->bias ? j->bias[i] : 0;
    }
}

static void scatter_rows(void *job, int64_t begin, int64_t end, int thread) {
    const copy_job *j = job;
    int64_t values = j->l->values, columns = j->l->columns;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        memcpy(j->to_weight + i * values, j->from + i * columns, (size_t)values * sizeof *j->to_weight);
        if (j->to_bias) j->to_bias[i] = j->from[i * columns + values];
    }
}

void layer_point(const layer *l, pitot_tensor_state *tensor, const pitot_real *direction) {
    pitot_tensor_state *w = &tensor[l->weight], *b = l->bias >= 0 ? &tensor[l->bias] : NULL;
    w->g = direction + w->at;
    if (b && b->g) b->g = direction + b->at;
}

void layer_gather(const layer *l, const pitot_tensor_state *tensor, int64_t group, pitot_real *out) {
    const pitot_real *b = l->bias >= 0 ? tensor[l->bias].g : NULL;
    copy_job j = { .l = l, .weight = tensor[l->weight].g + group * l->rows * l->values, .to = out };
    j.bias = b ? b + group * l->rows : NULL;
    threads_run(copy_threads(l), l->rows, gather_rows, &j);
}

void layer_scatter(const layer *l, const pitot_tensor_state *tensor, int64_t group, const pitot_real *from, pitot_real *out) {
    copy_job j = { .l = l, .to_weight = out + tensor[l->weight].at + group * l->rows * l->values, .from = from };
    j.to_bias = l->bias >= 0 ? out + tensor[l->bias].at + group * l->rows : NULL;
    threads_run(copy_threads(l), l->rows, scatter_rows, &j);
}
