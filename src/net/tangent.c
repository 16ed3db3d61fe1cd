/* tangent.c: products around the point of the last backward pass. With R{.} the derivative as the parameters move along v: forward,
   every node's yt = R{y} from its inputs'; the loss's Hessian turns R{f} into R{df}; backward, every dyt = R{dy}, and R{gradient} = H v.
   Without the terms in which backward itself moves, the same is G v (Schraudolph 2002, "Fast curvature matrix-vector products"). */

#include "base/alloc.h"
#include "net/net.h"

#include <string.h>

/* ---- room ---- */

/* Whether yt of node k lies apart from its input's: not if k is a view, nor in place without a bend, which needs xt no more. */
static int owns_yt(const pitot_net *net, int32_t k) {
    return net->buffer[k].owns_y || net->node[k].op->tangent_backward;
}

void tangents_free(pitot_net *net) {
    for (int32_t k = 0; net->buffer && k < net->n_nodes; k++) {
        if (owns_yt(net, k)) mem_free(net->buffer[k].yt);
        if (net->buffer[k].owns_y) mem_free(net->buffer[k].dyt);
        net->buffer[k].yt = net->buffer[k].dyt = NULL;
    }
    net->has_tangents = 0;
}

static int make_tangents(pitot_net *net) {
    for (int32_t k = 0; k < net->n_nodes; k++) {
        buffers *b = &net->buffer[k], *below = b->owns_y ? NULL : &net->buffer[net->node[k].input[0]];
        size_t size = (size_t)net->node[k].out.size * sizeof(pitot_real);
        if (!b->dy) continue;
        b->yt = owns_yt(net, k) ? mem_alloc(net->batch, size) : below->yt;
        b->dyt = b->owns_y ? mem_alloc(net->batch, size) : below->dyt;
        if (!b->yt || !b->dyt) return 0;
    }
    return 1;
}

int32_t pitot_net_prepare_products(pitot_net *net, pitot_error *error) {
    if (net->batch == 0)
        return pitot_fail(error, PITOT_EORDER, "the net has no room for a batch yet; call pitot_net_prepare first");
    if (net->has_tangents) return PITOT_OK;
    int32_t status = plan_fits(net, net->batch, net->threads, 1, error);
    if (status) return status;
    net->has_tangents = make_tangents(net);
    if (net->has_tangents) return PITOT_OK;
    tangents_free(net);
    return pitot_fail(error, PITOT_ENOMEM, "no memory for products at a batch of %lld", (long long)net->batch);
}

/* ---- the two ways ---- */

void walk_tangent(const walk *w, int32_t k, span *s, int thread) {
    const node *d = &w->net->node[k];
    (void)thread;
    if (!s->yt) return;
    if (d->op->tangent) d->op->tangent(d, s);
    else if (d->op->flags & OP_LINEAR) {
        s->x[0] = s->xt[0];
        s->y = s->yt;
        d->op->forward(d, s);
    } else if (s->yt != s->xt[0]) memcpy(s->yt, s->xt[0], (size_t)(s->n * d->out.size) * sizeof *s->yt);
}

void tangents_mark(const pitot_net *net, unsigned char *only) {
    for (int32_t k = 0; k < net->n_nodes; k++) {
        only[k] = net->buffer[k].dy && only[k] & WALK_PARAMETERS ? WALK_PARAMETERS | WALK_VALUES : 0;
        for (int32_t i = 0; net->buffer[k].dy && i < net->node[k].n_inputs; i++)
            if (net->node[k].input[i] >= 0 && only[net->node[k].input[i]]) only[k] |= WALK_VALUES;
    }
}

void tangents_up(pitot_net *net, const unsigned char *only, const pitot_real *v) {
    walk_net(&(walk){ .net = net, .visit = walk_tangent, .v = v, .only = only });
}

void tangents_down(pitot_net *net, const unsigned char *only, const pitot_real *v, pitot_real *out) {
    walk_net(&(walk){ .net = net, .visit = walk_backward, .down = 1, .v = v, .out = out, .curved = v != NULL, .only = only });
}

/* ---- the products ---- */

static int32_t ready(pitot_net *net, const pitot_real *in, const pitot_real *out) {
    if (!net->has_gradient) return PITOT_EORDER;
    if (!in || !out) return PITOT_EINVAL;
    return pitot_net_prepare_products(net, NULL);
}

static const buffers *top(const pitot_net *net) {
    return &net->buffer[net->n_nodes - 1];
}

static int64_t outputs(const pitot_net *net) {
    return net->node[net->n_nodes - 1].out.size;
}

void tangents_turn(pitot_net *net) {
    net->loss->curvature(&net->last, outputs(net), top(net)->y, top(net)->yt, top(net)->dyt);
}

void tangents_clear(const pitot_net *net, pitot_real *out) {
    for (int32_t k = 0; k < net->n_nodes; k++) {
        const int32_t of[] = { net->buffer[k].weight, net->buffer[k].bias };
        for (int i = 0; i < 2; i++)
            if (of[i] >= 0 && !net->buffer[k].dy) memset(out + net->flat[of[i]], 0, (size_t)net->param[of[i]].size * sizeof *out);
    }
}

static int32_t curvature_product(pitot_net *net, const pitot_real *v, pitot_real *out, int curved) {
    int32_t status = ready(net, v, out);
    if (status) return status;
    tangents_clear(net, out);
    if (!top(net)->dy) return PITOT_OK;
    tangents_up(net, NULL, v);
    tangents_turn(net);
    tangents_down(net, NULL, curved ? v : NULL, out);
    return PITOT_OK;
}

int32_t pitot_net_hvp(pitot_net *net, const pitot_real *v, pitot_real *out) {
    return curvature_product(net, v, out, 1);
}

int32_t pitot_net_ggnvp(pitot_net *net, const pitot_real *v, pitot_real *out) {
    return curvature_product(net, v, out, 0);
}

int32_t pitot_net_jvp(pitot_net *net, const pitot_real *v, pitot_real *out) {
    int32_t status = ready(net, v, out);
    if (status) return status;
    size_t bytes = (size_t)(net->last.n * outputs(net)) * sizeof *out;
    if (top(net)->dy) {
        tangents_up(net, NULL, v);
        memcpy(out, top(net)->yt, bytes);
    } else memset(out, 0, bytes);
    return PITOT_OK;
}

int32_t pitot_net_vjp(pitot_net *net, const pitot_real *u, pitot_real *out) {
    int32_t status = ready(net, u, out);
    if (status) return status;
    tangents_clear(net, out);
    if (!top(net)->dy) return PITOT_OK;
    memcpy(top(net)->dyt, u, (size_t)(net->last.n * outputs(net)) * sizeof *u);
    tangents_down(net, NULL, NULL, out);
    return PITOT_OK;
}
