/* linear.c: Y = A W' + b on the last (only) axis: three matrix products a step, each over the whole batch. */

#include "base/blas.h"
#include "pitot/hot.h"
#include "base/threads.h"
#include "net/op.h"

#include <string.h>

typedef struct attributes_linear {
    int64_t out_features, bias;
} attributes_linear;

static const pitot_option table[] = {
    { "out_features", PITOT_INT, 1, offsetof(attributes_linear, out_features), NULL, 1, 1 << 30, NULL, "", "values per output" },
    { "bias", PITOT_BOOL, 1, offsetof(attributes_linear, bias), "true", 0, 0, NULL, "", "whether b is there" },
    { 0 },
};

static int32_t linear_shape(node *n, pitot_error *error) {
    const attributes_linear *a = n->attributes;
    char text[128];
    if (n->in[0].n != 1)
        return pitot_fail(error, PITOT_EMISMATCH, "its input has the shape %s; put a flatten layer in front",
                          shape_text(&n->in[0], text));
    int64_t din = n->in[0].size, dout = a->out_features;
    n->out = (shape){ .n = 1, .dim = { dout } };
    n->weight = (op_param){ { .n = 2, .dim = { dout, din } }, din };
    if (a->bias) n->bias = (op_param){ { .n = 1, .dim = { dout } }, din };
    n->flops = 2.0 * (double)din * (double)dout;
    return PITOT_OK;
}

/* Each product is cut along the larger side of its result into one slice a thread: side by side, single-threaded products of BLAS are
   faster than one product on all threads, and slices share no work but the packing of the smaller factor. */
typedef struct slices {
    const span *s;
    int64_t din, dout;
} slices;

enum { GRAIN = 16, WORTH_THREADS = 1 << 18 }; /* columns of a kernel's tile; flops from which a second thread pays */

static void run_slices(const span *s, slices *j, int64_t width, thread_task task) {
    double flops = 2.0 * (double)s->n * (double)j->din * (double)j->dout;
    threads_run(flops < WORTH_THREADS ? 1 : s->threads, (width + GRAIN - 1) / GRAIN, task, j);
}

static int64_t slice_end(int64_t end, int64_t width) {
    return end * GRAIN < width ? end * GRAIN : width;
}

/* Y (N,dout) = A (N,din) W' + b, columns begin..end */
static void forward_slice(void *job, int64_t begin, int64_t end, int thread) {
    const slices *j = job;
    const span *s = j->s;
    int64_t from = begin * GRAIN, n = slice_end(end, j->dout) - from;
    pitot_real *y = s->y + from;
    (void)thread;
    for (int64_t k = 0; s->bias && k < s->n; k++) memcpy(y + k * j->dout, s->bias + from, (size_t)n * sizeof *y);
    blas_gemm(0, 1, s->n, n, j->din, 1, s->x[0], j->din, s->weight + from * j->din, j->din, s->bias ? 1 : 0, y, j->dout);
}

static void forward(const node *n, const span *s) {
    slices j = { s, n->in[0].size, n->out.size };
    run_slices(s, &j, j.dout, forward_slice);
}

/* Yt = A Wt' + At W' + bt, columns begin..end */
static void tangent_slice(void *job, int64_t begin, int64_t end, int thread) {
    const slices *j = job;
    const span *s = j->s;
    int64_t from = begin * GRAIN, n = slice_end(end, j->dout) - from;
    pitot_real *yt = s->yt + from;
    (void)thread;
    for (int64_t k = 0; s->bias_t && k < s->n; k++) memcpy(yt + k * j->dout, s->bias_t + from, (size_t)n * sizeof *yt);
    double beta = s->bias_t ? 1 : 0;
    if (s->weight_t) {
        blas_gemm(0, 1, s->n, n, j->din, 1, s->x[0], j->din, s->weight_t + from * j->din, j->din, beta, yt, j->dout);
        beta = 1;
    }
    if (s->xt[0]) blas_gemm(0, 1, s->n, n, j->din, 1, s->xt[0], j->din, s->weight + from * j->din, j->din, beta, yt, j->dout);
}

static void tangent(const node *n, const span *s) {
    slices j = { s, n->in[0].size, n->out.size };
    run_slices(s, &j, j.dout, tangent_slice);
}

PITOT_HOT static void sum_rows(const pitot_real *dy, int64_t rows, int64_t ld, int64_t columns, pitot_real *sum) {
    memset(sum, 0, (size_t)columns * sizeof *sum);
    for (int64_t k = 0; k < rows; k++)
        for (int64_t i = 0; i < columns; i++) sum[i] += dy[k * ld + i];
}

/* dW (dout,din) = G' A, db = column sums of G, rows begin..end; of tangents: dW = Gt' A + G' At, db = column sums of Gt */
static void weight_slice(void *job, int64_t begin, int64_t end, int thread) {
    const slices *j = job;
    const span *s = j->s;
    int64_t from = begin * GRAIN, n = slice_end(end, j->dout) - from;
    (void)thread;
    blas_gemm(1, 0, n, j->din, s->n, 1, s->dy + from, j->dout, s->x[0], j->din, 0, s->dweight + from * j->din, j->din);
    if (s->g && s->xt[0])
        blas_gemm(1, 0, n, j->din, s->n, 1, s->g + from, j->dout, s->xt[0], j->din, 1, s->dweight + from * j->din, j->din);
    if (s->dbias) sum_rows(s->dy + from, s->n, j->dout, n, s->dbias + from);
}

/* dA (N,din) = G W, columns begin..end; of tangents: Gt W + G Wt */
static void input_slice(void *job, int64_t begin, int64_t end, int thread) {
    const slices *j = job;
    const span *s = j->s;
    int64_t from = begin * GRAIN, n = slice_end(end, j->din) - from;
    (void)thread;
    blas_gemm(0, 0, s->n, n, j->dout, 1, s->dy, j->dout, s->weight + from, j->din, 0, s->dx[0] + from, j->din);
    if (s->g && s->weight_t)
        blas_gemm(0, 0, s->n, n, j->dout, 1, s->g, j->dout, s->weight_t + from, j->din, 1, s->dx[0] + from, j->din);
}

static void backward(const node *n, const span *s) {
    slices j = { s, n->in[0].size, n->out.size };
    if (s->dweight) run_slices(s, &j, j.dout, weight_slice);
    if (s->dx[0]) run_slices(s, &j, j.din, input_slice);
}

/* Each output of its own: they share no weight. */
static int64_t directions(const node *n) {
    return n->out.size;
}

static void move(const node *n, const span *s, int64_t i) {
    memset(s->yt, 0, (size_t)(s->n * n->out.size) * sizeof *s->yt);
    for (int64_t k = 0; k < s->n; k++) s->yt[k * n->out.size + i] = 1;
}

/* h_n = d2 L / dy_ni^2: row i of dW gets sum_n h_n a_n^2, db_i sum_n h_n */
PITOT_HOT static void second(const node *n, const span *s, int64_t i) {
    int64_t din = n->in[0].size, dout = n->out.size;
    pitot_real *to = s->dweight + i * din;
    for (int64_t k = 0; k < s->n; k++) {
        pitot_real h = s->dy[k * dout + i];
        const pitot_real *x = s->x[0] + k * din;
        for (int64_t j = 0; j < din; j++) to[j] += h * x[j] * x[j];
        if (s->dbias) s->dbias[i] += h;
    }
}

static void capture(const node *n, pitot_capture *c) {
    (void)n;
    c->kind = PITOT_LINEAR;
}

const op op_linear = {
    .name = "linear",
    .summary = "y = W x + b; weight (out_features, in_features)",
    .attributes_size = sizeof(attributes_linear),
    .attributes = table,
    .inputs_min = 1,
    .inputs_max = 1,
    .flags = OP_WHOLE_BATCH,
    .shape = linear_shape,
    .forward = forward,
    .backward = backward,
    .tangent = tangent,
    .tangent_backward = backward,
    .hesscale = backward,
    .directions = directions,
    .move = move,
    .second = second,
    .capture = capture,
};
