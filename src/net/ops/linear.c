/* linear.c: Y = A W' + b on the last (only) axis: three matrix products a step, over the whole batch. */

#include "base/blas.h"
#include "base/hot.h"
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

/* Y (N,dout) = A (N,din) W' + b */
static void forward(const node *n, const span *s) {
    int64_t din = n->in[0].size, dout = n->out.size;
    if (s->bias)
        for (int64_t k = 0; k < s->n; k++) memcpy(s->y + k * dout, s->bias, (size_t)dout * sizeof(pitot_real));
    blas_gemm(0, 1, s->n, dout, din, 1, s->x[0], din, s->weight, din, s->bias ? 1 : 0, s->y, dout);
}

PITOT_HOT static void sum_rows(const pitot_real *dy, int64_t rows, int64_t columns, pitot_real *sum) {
    memset(sum, 0, (size_t)columns * sizeof *sum);
    for (int64_t k = 0; k < rows; k++)
        for (int64_t i = 0; i < columns; i++) sum[i] += dy[k * columns + i];
}

/* dW (dout,din) = G' A, db = column sums of G, dA (N,din) = G W */
static void backward(const node *n, const span *s) {
    int64_t din = n->in[0].size, dout = n->out.size;
    blas_gemm(1, 0, dout, din, s->n, 1, s->dy, dout, s->x[0], din, 0, s->dweight, din);
    if (s->dbias) sum_rows(s->dy, s->n, dout, s->dbias);
    if (s->dx[0]) blas_gemm(0, 0, s->n, din, dout, 1, s->dy, dout, s->weight, din, 0, s->dx[0], din);
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
};
