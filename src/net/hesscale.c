/* hesscale.c: the diagonals of layers' Hessians one from the next (Elsayed, Mahmood 2022, "HesScale", eq. 4-6): with q = d2L/dy2 of each
   output alone, a layer y = W x gives d2L/dx_j^2 = sum_i W_ij^2 q_i and d2L/dW_ij^2 = q_i x_j^2, which is its backward with W, x squared. */

#include "pitot/hot.h"
#include "base/alloc.h"
#include "net/net.h"

#include <string.h>

struct hesscale_room {
    pitot_real *weight; /* (D): squares of the parameters, as in pitot_net_params */
    pitot_real *x;      /* (batch, largest): squares of what a layer sees */
    int64_t largest;
};

void hesscale_free(pitot_net *net) {
    if (net->hesscale) {
        mem_free(net->hesscale->weight);
        mem_free(net->hesscale->x);
    }
    mem_free(net->hesscale);
    net->hesscale = NULL;
}

static int32_t all_have_rules(const pitot_net *net, pitot_error *error) {
    for (int32_t k = 0; k < net->n_nodes; k++) {
        const node *n = &net->node[k];
        if (net->buffer[k].dy && !n->op->hesscale && !(n->op->flags & OP_VIEW))
            return pitot_fail(error, PITOT_ENOTSUP, "%s: HesScale has no rule for %s; take another kind of diagonal", n->name,
                              n->op->name);
    }
    return PITOT_OK;
}

int32_t hesscale_prepare(pitot_net *net, pitot_error *error) {
    int32_t status = all_have_rules(net, error);
    if (!status) status = pitot_net_prepare_products(net, error);
    if (status || net->hesscale) return status;
    hesscale_room *r = net->hesscale = mem_alloc(1, sizeof *r);
    if (!r) return PITOT_ENOMEM;
    for (int32_t k = 0; k < net->n_nodes; k++)
        if (net->buffer[k].weight >= 0 && net->node[k].in[0].size > r->largest) r->largest = net->node[k].in[0].size;
    r->weight = mem_alloc(net->size, sizeof(pitot_real));
    r->x = mem_alloc(net->batch, (size_t)r->largest * sizeof(pitot_real));
    if (r->weight && r->x) return PITOT_OK;
    hesscale_free(net);
    return PITOT_ENOMEM;
}

PITOT_HOT static void square(const pitot_real *x, int64_t n, pitot_real *to) {
    for (int64_t i = 0; i < n; i++) to[i] = x[i] * x[i];
}

/* q of the outputs, of the mean loss: dyt of the last node, (n,C). BL89: of -log p_y with each logarithm a value by itself, p_y - p_y^2 at the
   class y and 0 elsewhere. */
static void begin_at_the_loss(pitot_net *net, int32_t kind) {
    int64_t c = net->node[net->n_nodes - 1].out.size;
    const buffers *top = &net->buffer[net->n_nodes - 1];
    for (int64_t k = 0; k < net->last.n; k++) {
        net->loss->diagonal(c, top->y + k * c, top->dyt + k * c);
        for (int64_t i = 0; kind == PITOT_DIAGONAL_BL89 && net->loss->classes && i < c; i++)
            if (i != net->last.classes[k]) top->dyt[k * c + i] *= 0; /* NaN stays */
    }
    for (int64_t i = 0; i < net->last.n * c; i++) top->dyt[i] /= (pitot_real)net->last.n;
}

static void visit(const walk *w, int32_t k, span *s, int thread) {
    const hesscale_room *r = w->net->hesscale;
    const buffers *b = &w->net->buffer[k];
    if (b->dy && b->weight >= 0) {
        pitot_real *x = r->x + s->sample * r->largest;
        square(s->x[0], s->n * w->net->node[k].in[0].size, x);
        s->x[0] = x;
        s->weight = r->weight + w->net->flat[b->weight];
    }
    walk_backward(w, k, s, thread);
}

static void clear_unreached(const pitot_net *net, pitot_real *out) {
    for (int32_t k = 0; k < net->n_nodes; k++) {
        const int32_t of[] = { net->buffer[k].weight, net->buffer[k].bias };
        for (int i = 0; i < 2; i++)
            if (of[i] >= 0 && !net->buffer[k].dy) memset(out + net->flat[of[i]], 0, (size_t)net->param[of[i]].size * sizeof *out);
    }
}

void hesscale_diagonal(pitot_net *net, int32_t kind, int per_sample, pitot_real *out) {
    int64_t n = net->last.n, runs = per_sample ? n : 1;
    int diagonal = kind == PITOT_DIAGONAL_HESSCALE_GN ? -1 : 1;
    for (int32_t i = 0; i < net->n_params; i++)
        square(net->param[i].data, net->param[i].size, net->hesscale->weight + net->flat[i]);
    begin_at_the_loss(net, kind);
    for (int64_t k = 0; k < runs; k++, out += net->size) {
        clear_unreached(net, out);
        walk_net(
            &(walk){ .net = net, .visit = visit, .down = 1, .out = out, .diagonal = diagonal, .from = k, .n = per_sample ? 1 : n });
        for (int64_t i = 0; per_sample && i < net->size; i++) out[i] *= (pitot_real)n;
    }
}
