/* provide.c: what a pitot_net has for optimizers that want more than gradients. */

#include "base/alloc.h"
#include "base/blas.h"
#include "net/conv.h"
#include "net/net.h"
#include "pitot/train.h"

#include <math.h>
#include <string.h>

static int32_t batch(void *user, int64_t *samples, int64_t *columns, double *loss) {
    pitot_provided *p = user;
    double sum = 0;
    p->sent = 0;
    *samples = p->net->has_gradient ? p->net->last.n : 0;
    *columns = pitot_net_root_columns(p->net);
    for (int64_t k = 0; k < *samples; k++) sum += (double)p->net->losses[k];
    *loss = *samples ? sum / (double)*samples : NAN;
    return PITOT_OK;
}

/* ---- again ---- */

static int32_t loss(void *user, double *value) {
    pitot_provided *p = user;
    const pitot_net_batch last = p->net->last;
    return last.n ? pitot_net_forward(p->net, &last, value) : PITOT_EORDER;
}

static int32_t gradient(void *user, double *value) {
    pitot_provided *p = user;
    int32_t status = loss(user, value);
    p->sent = 0;
    return status ? status : pitot_net_backward(p->net);
}

static int32_t hvp(void *user, const pitot_real *v, pitot_real *out) {
    return pitot_net_hvp(((const pitot_provided *)user)->net, v, out);
}

static int32_t ggnvp(void *user, const pitot_real *v, pitot_real *out) {
    return pitot_net_ggnvp(((const pitot_provided *)user)->net, v, out);
}

/* ---- roots ---- */

static int64_t outputs(const pitot_net *net) {
    return net->node[net->n_nodes - 1].out.size;
}

static int32_t drawn(void *user, uint64_t seed, pitot_real *out) {
    const pitot_provided *p = user;
    int32_t status = pitot_net_output_gradient(p->net, PITOT_ROOT_DRAWN, seed, 0, p->u);
    for (int64_t i = 0; !status && i < p->net->last.n * outputs(p->net); i++) p->u[i] /= (pitot_real)p->net->last.n;
    return status ? status : pitot_net_vjp(p->net, p->u, out);
}

static int32_t squares(void *user, pitot_real *out) {
    const pitot_provided *p = user;
    int32_t status = pitot_net_output_gradient(p->net, PITOT_ROOT_GIVEN, 0, 0, p->u);
    return status ? status : pitot_net_squares(p->net, p->u, out);
}

static int32_t send(void *user, int32_t root, uint64_t seed, int64_t column) {
    pitot_provided *p = user;
    int32_t status = pitot_net_output_gradient(p->net, root, seed, column, p->u);
    if (!status) status = pitot_net_send(p->net, p->u);
    p->sent = !status;
    return status;
}

/* `sent` belongs to a batch: a new backward pass has the labels given until the next send. */
static int32_t layer(void *user, int64_t i, int32_t geometry, pitot_capture *capture) {
    const pitot_provided *p = user;
    if (geometry) return pitot_net_layer(p->net, i, capture);
    return p->sent ? pitot_net_sent(p->net, i, capture) : pitot_net_capture(p->net, i, capture);
}

/* Without `out`, room for it and whether there are rules for it. */
static int32_t diagonal(void *user, int32_t kind, int64_t draws, uint64_t seed, pitot_real *out) {
    const pitot_provided *p = user;
    return out ? pitot_net_diagonal(p->net, kind, draws, seed, 0, out, NULL) : diagonal_prepare(p->net, kind, draws);
}

/* ---- samples ---- */

static double square_of(const pitot_real *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    return sum;
}

/* |G' A|^2 of sample k, G summed over positions for the bias; N times what stands in the capture. */
static double square_of_conv(const pitot_provided *p, const node *n, const pitot_capture *c, int64_t k) {
    conv g = conv_of(n);
    const pitot_real *a = (const pitot_real *)c->A + k * n->in[0].size, *dy = (const pitot_real *)c->G + k * n->out.size;
    pitot_real *u = p->tile, *tile = u + g.k * g.p;
    double sum = 0;
    for (int64_t i = 0; i < g.groups && c->weight; i++) {
        window_unfold(&g.w, a + i * g.w.channels * g.w.in[0] * g.w.in[1], u, g.p);
        blas_gemm(0, 1, g.m, g.k, g.p, 1, dy + i * g.m * g.p, g.p, u, g.p, 0, tile, g.k);
        sum += square_of(tile, g.m * g.k);
    }
    for (int64_t i = 0; i < g.groups * g.m && c->bias; i++) {
        double bias = 0;
        for (int64_t t = 0; t < g.p; t++) bias += (double)dy[i * g.p + t];
        sum += bias * bias;
    }
    return sum;
}

static double square_of_sample(const pitot_provided *p, const node *n, const pitot_capture *c, int64_t k) {
    if (c->kind == PITOT_CONV2D) return square_of_conv(p, n, c, k);
    const pitot_real *a = (const pitot_real *)c->A + k * n->in[0].size, *dy = (const pitot_real *)c->G + k * n->out.size;
    return square_of(dy, n->out.size) * ((c->weight ? square_of(a, n->in[0].size) : 0) + (c->bias != 0));
}

static int32_t norms(void *user, double *out) {
    const pitot_provided *p = user;
    const pitot_net *net = p->net;
    int64_t N = net->last.n, layer = 0;
    memset(out, 0, (size_t)N * sizeof *out);
    for (int32_t i = 0; i < net->n_nodes; i++) {
        pitot_capture c;
        if (net->buffer[i].weight < 0 && net->buffer[i].bias < 0) continue;
        if (pitot_net_capture(net, layer++, &c)) continue;
        for (int64_t k = 0; k < N; k++) out[k] += square_of_sample(p, &net->node[i], &c, k);
    }
    for (int64_t k = 0; k < N; k++) out[k] = sqrt(out[k]) * (double)N;
    return PITOT_OK;
}

static int32_t weigh(void *user, const double *weight, pitot_real *out) {
    const pitot_provided *p = user;
    int64_t c = outputs(p->net), N = p->net->last.n;
    int32_t status = pitot_net_output_gradient(p->net, PITOT_ROOT_GIVEN, 0, 0, p->u);
    for (int64_t k = 0; !status && k < N; k++)
        for (int64_t i = 0; i < c; i++) p->u[k * c + i] *= (pitot_real)(weight[k] / (double)N);
    return status ? status : pitot_net_vjp(p->net, p->u, out);
}

static int32_t data(void *user, double *value) {
    const pitot_provided *p = user;
    return p->data(p->user, value);
}

/* ---- the whole ---- */

static int64_t largest_tile(const pitot_net *net) {
    int64_t most = 1;
    for (int32_t i = 0; i < net->n_nodes; i++) {
        pitot_capture c = { 0 };
        const node *n = &net->node[i];
        if ((net->buffer[i].weight < 0 && net->buffer[i].bias < 0) || !n->op->capture) continue;
        n->op->capture(n, &c);
        if (c.kind != PITOT_CONV2D) continue;
        conv g = conv_of(n);
        if (g.k * (g.p + g.m) > most) most = g.k * (g.p + g.m);
    }
    return most;
}

int32_t pitot_provide(pitot_provided *p, pitot_net *net, pitot_optim *optim, pitot_error *error) {
    int64_t layers = 0;
    for (pitot_capture c; pitot_net_layer(net, layers, &c) != PITOT_EINVAL;) layers++;
    pitot_provided given = p->struct_size >= sizeof *p ? *p : (pitot_provided){ 0 };
    *p = (pitot_provided){ .struct_size = sizeof *p, .net = net, .data = given.data, .user = given.user };
    p->u = mem_alloc(net->batch * outputs(net), sizeof *p->u);
    p->tile = pitot_optim_wants(optim) & PITOT_WANTS_SAMPLES ? mem_alloc(largest_tile(net), sizeof *p->tile) : NULL;
    if (!p->u || (pitot_optim_wants(optim) & PITOT_WANTS_SAMPLES && !p->tile))
        return pitot_fail(error, PITOT_ENOMEM, "no memory for what the optimizer wants");
    return pitot_optim_offer(optim, &(pitot_optim_source){ .struct_size = sizeof(pitot_optim_source),
                                                           .user = p,
                                                           .layers = layers,
                                                           .batch = batch,
                                                           .gradient = gradient,
                                                           .loss = loss,
                                                           .hvp = hvp,
                                                           .ggnvp = ggnvp,
                                                           .drawn = drawn,
                                                           .squares = squares,
                                                           .norms = norms,
                                                           .weigh = weigh,
                                                           .send = send,
                                                           .layer = layer,
                                                           .data = p->data ? data : NULL,
                                                           .diagonal = diagonal });
}

void pitot_provide_end(pitot_provided *p) {
    mem_free(p->u);
    mem_free(p->tile);
    p->u = p->tile = NULL;
}

int32_t pitot_provide_prepare(pitot_provided *p, pitot_net *net, pitot_optim *optim, int32_t threads, pitot_error *error) {
    const pitot_net_param *q = pitot_net_params(net);
    int64_t n = pitot_net_param_count(net);
    int32_t status = pitot_provide(p, net, optim, error);
    pitot_optim_tensor *list = status ? NULL : mem_alloc(n, sizeof *list);
    if (!status && !list) status = pitot_fail(error, PITOT_ENOMEM, "no memory for the optimizer");
    for (int64_t i = 0; list && i < n; i++) {
        list[i] = (pitot_optim_tensor){ q[i].name, q[i].size, q[i].data, (const pitot_real *const *)&q[i].grad, { 0 } };
        memcpy(list[i].shape, q[i].shape, sizeof list[i].shape);
    }
    if (!status) status = pitot_optim_prepare(optim, list, n, threads, error);
    mem_free(list);
    return status;
}
