/* kron_average.c: KFRA (Botev, Ritter, Barber 2017, "Practical Gauss-Newton optimisation for deep learning"): the GGN at a layer's outputs,
   averaged over samples, from that of the layer above: S = E[d2 l / df2] at the outputs; through y = W a, W' S W; through y = f(a), each
   value by itself, S_ij E[f'_i f'_j]. */

#include "base/alloc.h"
#include "base/blas.h"
#include "curve/kron.h"

#include <string.h>

typedef struct recursion {
    const pitot_kron *k;
    int64_t width;            /* the widest output */
    pitot_real *s, *half;     /* (width,width) */
    pitot_real *ones, *slope; /* (N, width) */
} recursion;

static int is_linear(const node *n) {
    pitot_capture c = { .kind = 0 };
    if (n->op->capture) n->op->capture(n, &c);
    return c.kind == PITOT_LINEAR;
}

/* Ops without parameters that have HesScale's rule and work on one axis take each value by itself: pools need planes. */
static int is_elementwise(const node *n) {
    return n->in[0].n == 1 && n->in[0].size == n->out.size && !n->weight.shape.size && !n->bias.shape.size && n->op->hesscale &&
           n->op->tangent;
}

static int32_t is_chain(const pitot_net *net, int64_t *width, pitot_error *error) {
    for (int32_t i = net->n_nodes - 1; i >= 0 && net->buffer[i].dy; i--) {
        const node *n = &net->node[i];
        if (n->n_inputs != 1 || n->input[0] != i - 1 || !(is_linear(n) || is_elementwise(n) || n->op->flags & OP_VIEW))
            return pitot_fail(error, PITOT_ENOTSUP,
                              "%s: KFRA knows chains of linear layers and of ops on single values, not %s here; take KFLR", n->name,
                              n->op->name);
        if (n->out.size > *width) *width = n->out.size;
    }
    return PITOT_OK;
}

/* S += S_n S_n' / N of every sample's root */
static void begin_at_the_loss(recursion *r) {
    const pitot_net *net = r->k->net;
    int64_t c = net->node[net->n_nodes - 1].out.size, columns = c - net->loss->less;
    memset(r->s, 0, (size_t)(c * c) * sizeof *r->s);
    for (int64_t i = 0; i < net->last.n; i++) {
        net->loss->root(c, net->buffer[net->n_nodes - 1].y + i * c, 0, columns, r->half);
        blas_gemm(1, 0, c, c, columns, 1 / (double)net->last.n, r->half, c, r->half, c, 1, r->s, c);
    }
}

static void store(const recursion *r, int32_t at) {
    for (int64_t i = 0; i < r->k->n; i++) {
        const kron_block *b = &r->k->block[i];
        if (b->node == at) memcpy(b->b, r->s, (size_t)(b->rows * b->rows) * sizeof *b->b);
    }
}

/* S (din,din) = W' S W */
static void through_weight(recursion *r, const node *n, const pitot_real *weight) {
    int64_t din = n->in[0].size, dout = n->out.size;
    blas_gemm(0, 0, dout, din, dout, 1, r->s, dout, weight, din, 0, r->half, din);
    blas_gemm(1, 0, din, din, dout, 1, weight, din, r->half, din, 0, r->s, din);
}

static void through_values(recursion *r, int32_t at) {
    const pitot_net *net = r->k->net;
    int64_t d = net->node[at].out.size, n = net->last.n;
    span s = walk_span(net, at, 0, n, 0);
    for (int64_t i = 0; i < n * d; i++) r->ones[i] = 1;
    s.xt[0] = r->ones;
    s.yt = r->slope;
    net->node[at].op->tangent(&net->node[at], &s);
    blas_gemm(1, 0, d, d, n, 1 / (double)n, r->slope, d, r->slope, d, 0, r->half, d);
    for (int64_t i = 0; i < d * d; i++) r->s[i] *= r->half[i];
}

static void go_down(recursion *r) {
    const pitot_net *net = r->k->net;
    begin_at_the_loss(r);
    for (int32_t i = net->n_nodes - 1; i >= 0 && net->buffer[i].dy; i--) {
        const node *n = &net->node[i];
        if (is_linear(n)) {
            store(r, i);
            if (i > 0 && net->buffer[i - 1].dy) through_weight(r, n, net->param[net->buffer[i].weight].data);
        } else if (!(n->op->flags & OP_VIEW)) through_values(r, i);
    }
}

int32_t kron_average(pitot_kron *k, pitot_error *error) {
    recursion r = { .k = k };
    int32_t status = is_chain(k->net, &r.width, error);
    if (status) return status;
    r.s = mem_alloc(r.width, (size_t)r.width * sizeof *r.s);
    r.half = mem_alloc(r.width, (size_t)r.width * sizeof *r.half);
    r.ones = mem_alloc(k->net->last.n, (size_t)r.width * sizeof *r.ones);
    r.slope = mem_alloc(k->net->last.n, (size_t)r.width * sizeof *r.slope);
    if (!r.s || !r.half || !r.ones || !r.slope) status = PITOT_ENOMEM;
    else if (r.width > 0) go_down(&r);
    mem_free(r.s);
    mem_free(r.half);
    mem_free(r.ones);
    mem_free(r.slope);
    return status;
}
