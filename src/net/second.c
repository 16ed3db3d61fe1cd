/* second.c: the Hessian's diagonal where ops bend. The output of a layer moves in some direction for all samples at once, which do not act on
   each other: tangents from there up, then down again (tangent.c), and what comes back along that direction is the second derivative.
   A linear layer moves one output at a time: d2L/dW_ij^2 = h_i a_j^2, h_i = d2L/dy_i^2; a convolution one value of its weight. */

#include "base/alloc.h"
#include "net/net.h"

#include <string.h>

typedef struct source { /* the layer that moves */
    walk walk;          /* first: what visits get */
    int32_t k;
} source;

static void visit_up(const walk *w, int32_t k, span *s, int thread) {
    if (k != ((const source *)w)->k) walk_tangent(w, k, s, thread);
}

static void visit_down(const walk *w, int32_t k, span *s, int thread) {
    if (k != ((const source *)w)->k) walk_backward(w, k, s, thread);
}

/* Node k and all that it moves, where that reaches the output. */
static void mark(const pitot_net *net, int32_t k, unsigned char *only) {
    memset(only, 0, (size_t)net->n_nodes);
    only[k] = 1;
    for (int32_t j = k + 1; j < net->n_nodes; j++)
        for (int32_t i = 0; net->buffer[j].dy && i < net->node[j].n_inputs; i++)
            if (net->node[j].input[i] >= 0 && only[net->node[j].input[i]]) only[j] = 1;
}

static int has_directions(const pitot_net *net, int32_t k) {
    return net->buffer[k].dy && net->node[k].op->directions;
}

/* Adds what direction i of the source says. */
static void gather_second(const source *s, int64_t i, int per_sample, pitot_real *out) {
    pitot_net *net = s->walk.net;
    const node *d = &net->node[s->k];
    const buffers *b = &net->buffer[s->k];
    int64_t together = per_sample ? 1 : net->last.n;
    for (int64_t k = 0; k < net->last.n; k += together, out += net->size) {
        span at = walk_span(net, s->k, k, together, 0);
        at.dy = b->dyt + k * d->out.size;
        if (b->weight >= 0) at.dweight = out + net->flat[b->weight];
        if (b->bias >= 0) at.dbias = out + net->flat[b->bias];
        d->op->second(d, &at, i);
    }
}

static void one_direction(source *s, int64_t i) {
    pitot_net *net = s->walk.net;
    span at = walk_span(net, s->k, 0, net->last.n, 0);
    at.yt = net->buffer[s->k].yt;
    net->node[s->k].op->move(&net->node[s->k], &at, i);
    s->walk.down = s->walk.curved = 0;
    s->walk.visit = visit_up;
    walk_net(&s->walk);
    tangents_turn(net);
    s->walk.down = s->walk.curved = 1;
    s->walk.visit = visit_down;
    walk_net(&s->walk);
}

int32_t second_prepare(pitot_net *net) {
    int32_t status = pitot_net_prepare_products(net, NULL);
    if (!status && !net->only) net->only = mem_alloc(net->n_nodes, 1);
    return status ? status : net->only ? PITOT_OK : PITOT_ENOMEM;
}

int32_t second_diagonal(pitot_net *net, int per_sample, pitot_real *out) {
    int64_t n = net->last.n, size = net->size * (per_sample ? n : 1);
    int32_t status = second_prepare(net);
    if (status) return status;
    memset(out, 0, (size_t)size * sizeof *out);
    for (int32_t k = 0; k < net->n_nodes; k++) {
        source s = { { .net = net, .only = net->only }, k };
        if (!has_directions(net, k)) continue;
        mark(net, k, net->only);
        for (int64_t i = 0; i < net->node[k].op->directions(&net->node[k]); i++) {
            one_direction(&s, i);
            gather_second(&s, i, per_sample, out);
        }
    }
    for (int64_t i = 0; per_sample && i < size; i++) out[i] *= (pitot_real)n; /* tangents are of the mean loss */
    return PITOT_OK;
}

/* Beside its matrix products, of which a gradient makes three and a tangent with its way back two: what an op's values take, in products
   that take as long, from measured times. Curves that backward has from y alone make their exponentials forward only. */
typedef struct value_cost {
    double gradient, tangent;
} value_cost;

static value_cost cost_of_value(const node *n) {
    if (!n->op->tangent_backward || n->op->directions) return (value_cost){ 20, 20 };
    return n->op->flags & OP_IN_PLACE ? (value_cost){ 1000, 60 } : (value_cost){ 1500, 1500 };
}

/* Each direction: through what lies above, and along what it moved. */
double second_cost(const pitot_net *net) {
    double above = 0, cost = 0, gradient = 0;
    for (int32_t k = net->n_nodes - 1; k >= 0; k--) {
        const node *n = &net->node[k];
        value_cost c = cost_of_value(n);
        double values = (double)n->out.size;
        if (n->op->directions) cost += (double)n->op->directions(n) * (above + c.tangent * (values + (double)n->in[0].size));
        above += 2 * n->flops + c.tangent * values;
        gradient += 3 * n->flops + c.gradient * values;
    }
    return gradient > 0 ? cost / gradient : 0;
}
