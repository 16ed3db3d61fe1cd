/* send.c: output gradients of the loss, of drawn labels or of a column of the root of its Hessian, sent down to the layers. */

#include "base/alloc.h"
#include "net/net.h"

static int64_t outputs(const pitot_net *net) {
    return net->n_nodes ? net->node[net->n_nodes - 1].out.size : 0;
}

int64_t pitot_net_root_columns(const pitot_net *net) {
    return outputs(net) - net->loss->less;
}

/* losses is net's own array, which gets the values that it has. */
static void own_gradient(const pitot_net *net, const pitot_real *f, pitot_real *u) {
    int64_t values = net->last.n * outputs(net);
    net->loss->evaluate(&net->last, outputs(net), f, net->losses, u);
    for (int64_t i = 0; i < values; i++) u[i] *= (pitot_real)net->last.n;
}

int32_t pitot_net_output_gradient(const pitot_net *net, int32_t root, uint64_t seed, int64_t column, pitot_real *u) {
    if (!net->has_gradient) return PITOT_EORDER;
    if (root < PITOT_ROOT_GIVEN || root > PITOT_ROOT_COLUMN) return PITOT_EINVAL;
    if (root == PITOT_ROOT_COLUMN && (column < 0 || column >= pitot_net_root_columns(net))) return PITOT_EINVAL;
    int64_t c = outputs(net);
    const pitot_real *f = net->buffer[net->n_nodes - 1].y;
    if (root == PITOT_ROOT_GIVEN) own_gradient(net, f, u);
    for (int64_t k = 0; k < net->last.n && root != PITOT_ROOT_GIVEN; k++) {
        if (root == PITOT_ROOT_DRAWN) net->loss->draw(c, f + k * c, &(draw_key){ seed, k }, 0, 1, u + k * c);
        else net->loss->root(c, f + k * c, column, column + 1, u + k * c);
    }
    return PITOT_OK;
}

void sent_free(pitot_net *net) {
    for (int32_t k = 0; net->sent && k < net->n_nodes; k++) mem_free(net->sent[k]);
    mem_free(net->sent);
    net->sent = NULL;
}

static int32_t make_room(pitot_net *net) {
    if (net->sent) return PITOT_OK;
    net->sent = mem_alloc(net->n_nodes, sizeof *net->sent);
    for (int32_t k = 0; net->sent && k < net->n_nodes; k++) {
        const buffers *b = &net->buffer[k];
        if (!b->dy || (b->weight < 0 && b->bias < 0)) continue;
        net->sent[k] = mem_alloc(net->batch, (size_t)net->node[k].out.size * sizeof(pitot_real));
        if (!net->sent[k]) sent_free(net);
    }
    return net->sent ? PITOT_OK : PITOT_ENOMEM;
}

int32_t pitot_net_send(pitot_net *net, const pitot_real *u) {
    if (!net->has_gradient) return PITOT_EORDER;
    int32_t status = columns_prepare(net);
    if (!status) status = make_room(net);
    if (!status) columns_keep(net, &(roots){ .n = 1, .given = u }, 0, net->last.n, net->sent);
    return status;
}

int32_t pitot_net_squares(pitot_net *net, const pitot_real *u, pitot_real *out) {
    if (!net->has_gradient) return PITOT_EORDER;
    int32_t status = columns_prepare(net);
    if (!status) columns_squares(net, &(roots){ .n = 1, .given = u }, 0, net->last.n, 1 / (double)net->last.n, out);
    return status;
}
