/* capture.c: what a layer saw and what came back. After backward, dy of a layer with parameters is still there: only ops in place write
   over theirs, and those have none. */

#include "net/net.h"

static const node *layer_at(const pitot_net *net, int64_t i, const buffers **b) {
    for (int32_t k = 0; k < net->n_nodes; k++) {
        *b = &net->buffer[k];
        if (((*b)->weight >= 0 || (*b)->bias >= 0) && i-- == 0) return &net->node[k];
    }
    return NULL;
}

/* The samples themselves, perhaps under another shape. */
static int is_data(const pitot_net *net, int32_t k) {
    while (k >= 0 && net->node[k].op->flags & OP_VIEW) k = net->node[k].input[0];
    return k < 0;
}

int32_t pitot_net_layer(const pitot_net *net, int64_t i, pitot_capture *capture) {
    const buffers *b;
    const node *n = layer_at(net, i, &b);
    if (!n || !capture) return PITOT_EINVAL;
    if (!b->dy || !n->op->capture) return PITOT_ENOTSUP;
    *capture = (pitot_capture){
        .struct_size = sizeof *capture,
        .weight = b->weight + 1,
        .bias = b->bias + 1,
        .t = 1,
        .scale = 1,
        .flags = is_data(net, n->input[0]) ? PITOT_DATA : 0,
    };
    n->op->capture(n, capture);
    return PITOT_OK;
}

static int32_t show(const pitot_net *net, int64_t i, pitot_capture *capture, int sent) {
    const buffers *b;
    int32_t status = pitot_net_layer(net, i, capture);
    if (status) return status;
    const node *n = layer_at(net, i, &b);
    capture->A = n->input[0] < 0 ? net->last.x : net->buffer[n->input[0]].y;
    capture->G = sent ? net->sent[n - net->node] : b->dy;
    capture->n = net->last.n;
    if (sent) capture->scale = 1 / (double)net->last.n;
    return PITOT_OK;
}

int32_t pitot_net_capture(const pitot_net *net, int64_t i, pitot_capture *capture) {
    return net->has_gradient ? show(net, i, capture, 0) : PITOT_EORDER;
}

int32_t pitot_net_sent(const pitot_net *net, int64_t i, pitot_capture *capture) {
    return net->sent ? show(net, i, capture, 1) : PITOT_EORDER;
}
