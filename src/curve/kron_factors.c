/* kron_factors.c: the factors of pitot/kron.h from what the layers saw and from columns on their way down (net/columns.c). */

#include "base/blas.h"
#include "curve/kron.h"
#include "pitot/hot.h"

#include <string.h>

/* ---- A ---- */

static void fill_ones(pitot_real *to, int64_t n, int64_t step) {
    for (int64_t i = 0; i < n; i++) to[i * step] = 1;
}

void kron_inputs(const pitot_net *net, const kron_block *b, int64_t from, int64_t n, pitot_real *out) {
    span s = walk_span(net, b->node, from, n, 0);
    if (!b->is_conv) {
        for (int64_t k = 0; k < n; k++) memcpy(out + k * b->columns, s.x[0] + k * b->values, (size_t)b->values * sizeof *out);
        if (b->bias >= 0) fill_ones(out + b->values, n, b->columns);
        return;
    }
    const window *w = &b->geometry.w;
    if (b->weight >= 0) window_unfold(w, s.x[0] + b->group * w->channels * w->in[0] * w->in[1], out, b->positions);
    if (b->bias >= 0) fill_ones(out + b->values * b->positions, b->positions, 1);
}

PITOT_HOT static void sum_positions(const pitot_real *x, int64_t rows, int64_t positions, double scale, pitot_real *out) {
    for (int64_t i = 0; i < rows; i++) {
        double sum = 0;
        for (int64_t p = 0; p < positions; p++) sum += (double)x[i * positions + p];
        out[i] = (pitot_real)(sum * scale);
    }
}

/* to (n,n) += scale X X', X (n, positions); with `reduce`, of X's mean or sum over positions, made in `sum` */
static void add_outer(const pitot_real *x, int64_t n, int64_t positions, double scale, int reduce, double share, pitot_real *sum,
                      pitot_real *to) {
    if (reduce) {
        sum_positions(x, n, positions, share, sum);
        x = sum;
        positions = 1;
    }
    blas_gemm(0, 1, n, n, positions, scale, x, positions, x, positions, 1, to, n);
}

static void input_factor(const pitot_kron *k, kron_block *b) {
    int64_t n = k->net->last.n, together = b->is_conv ? 1 : KRON_SAMPLES;
    double scale = 1 / (double)n / (double)(b->is_conv && !k->reduce ? b->positions : 1);
    for (int64_t from = 0; from < n; from += together) {
        int64_t m = n - from < together ? n - from : together;
        kron_inputs(k->net, b, from, m, k->scratch);
        pitot_real *sum = k->scratch + b->columns * b->positions;
        if (b->is_conv) add_outer(k->scratch, b->columns, b->positions, scale, k->reduce, 1 / (double)b->positions, sum, b->a);
        else blas_gemm(1, 0, b->columns, b->columns, m, scale, k->scratch, b->columns, k->scratch, b->columns, 1, b->a, b->columns);
    }
}

/* ---- B ---- */

static void add_columns(void *user, int32_t at, const columns_part *part) {
    const pitot_kron *k = user;
    int64_t rows = part->n * part->columns;
    for (int64_t i = 0; i < k->n; i++) {
        kron_block *b = &k->block[i];
        if (b->node != at) continue;
        pitot_real *to = b->sums + part->thread * b->n_sums, *sum = k->scratch + part->thread * k->n_scratch;
        if (!b->is_conv) blas_gemm(1, 0, b->rows, b->rows, rows, 1, part->dy, b->rows, part->dy, b->rows, 1, to, b->rows);
        int64_t plane = b->rows * b->positions;
        for (int64_t j = 0; b->is_conv && j < rows; j++)
            add_outer(part->dy + (j * b->geometry.groups + b->group) * plane, b->rows, b->positions, 1, k->reduce, 1, sum, to);
    }
}

/* Gradients of the mean loss are 1/N of the samples' own. */
static double send_gradients(pitot_kron *k, void (*sink)(void *user, int32_t at, const columns_part *part)) {
    const pitot_net *net = k->net;
    for (int32_t i = 0; i < net->n_nodes; i++)
        if (net->buffer[i].dy && (net->buffer[i].weight >= 0 || net->buffer[i].bias >= 0))
            sink(k, i, &(columns_part){ 0, net->last.n, 0, 1, net->buffer[i].dy, 0 });
    return (double)net->last.n;
}

double kron_send(pitot_kron *k, void (*sink)(void *user, int32_t at, const columns_part *part)) {
    pitot_net *net = k->net;
    int drawn = k->kind == PITOT_KRON_KFAC;
    if (k->n == 0) return 1;
    if (k->kind == PITOT_KRON_EMPIRICAL) return send_gradients(k, sink);
    int32_t status = columns_prepare(net);
    if (status) return (double)status;
    int64_t outputs = net->node[net->n_nodes - 1].out.size, columns = drawn ? k->draws : outputs - net->loss->less;
    columns_send(net, &(roots){ .n = columns, .drawn = drawn, .seed = k->seed, .sink = sink, .user = k }, 0, net->last.n, 0);
    return 1 / (double)net->last.n / (drawn ? (double)columns : 1);
}

PITOT_HOT static void add_to(pitot_real *to, const pitot_real *from, int64_t n) {
    for (int64_t i = 0; i < n; i++) to[i] += from[i];
}

void kron_sum_threads(const pitot_kron *k, kron_block *b, int64_t size) {
    for (int t = 1; t < k->net->threads; t++) add_to(b->sums, b->sums + t * b->n_sums, size);
}

/* The halves of a sum of outer products differ by round-off. */
static void symmetrise(pitot_real *x, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < i; j++) x[i * n + j] = x[j * n + i] = (x[i * n + j] + x[j * n + i]) / 2;
}

static void output_factor(const pitot_kron *k, kron_block *b, double scale) {
    int64_t size = b->rows * b->rows;
    kron_sum_threads(k, b, size);
    for (int64_t i = 0; i < size; i++) b->b[i] = (pitot_real)((double)b->sums[i] * scale);
    symmetrise(b->b, b->rows);
}

int32_t kron_make_factors(pitot_kron *k, pitot_error *error) {
    (void)error;
    int own = k->kind == PITOT_KRON_INPUT || k->kind == PITOT_KRON_KFRA;
    double scale = own ? 0 : kron_send(k, add_columns);
    if (scale < 0) return (int32_t)scale;
    for (int64_t i = 0; i < k->n; i++) {
        kron_block *b = &k->block[i];
        input_factor(k, b);
        symmetrise(b->a, b->columns);
        if (!own) output_factor(k, b, scale);
        if (k->kind == PITOT_KRON_INPUT) fill_ones(b->b, b->rows, b->rows + 1);
    }
    return PITOT_OK;
}
