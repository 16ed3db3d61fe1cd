/* fisher.c: products with the Fisher matrix from samples of labels, and with the empirical one: J' S S' J v, S the columns of each sample
   (Martens 2020, "New insights and perspectives on the natural gradient method", 9 to 11). */

#include "net/net.h"

#include <string.h>

/* to (C) += scale s (s . v) */
static void add_product(int64_t c, const pitot_real *s, const pitot_real *v, double scale, pitot_real *to) {
    double dot = 0;
    for (int64_t i = 0; i < c; i++) dot += (double)s[i] * (double)v[i];
    for (int64_t i = 0; i < c; i++) to[i] += (pitot_real)(scale * dot * (double)s[i]);
}

/* dyt (N,C) of the last node from its yt, with `draws` labels a sample; work (C) */
static void turn_drawn(pitot_net *net, int64_t draws, uint64_t seed, pitot_real *work) {
    const buffers *top = &net->buffer[net->n_nodes - 1];
    int64_t c = net->node[net->n_nodes - 1].out.size, n = net->last.n;
    memset(top->dyt, 0, (size_t)(n * c) * sizeof *top->dyt);
    for (int64_t k = 0; k < n; k++)
        for (int64_t j = 0; j < draws; j++) {
            net->loss->draw(c, top->y + k * c, &(draw_key){ seed, k }, j, j + 1, work);
            add_product(c, work, top->yt + k * c, 1 / (double)n / (double)draws, top->dyt + k * c);
        }
}

/* The same with the batch's labels: evaluate leaves gradients of the mean loss. */
static void turn_empirical(pitot_net *net, pitot_real *work) {
    const buffers *top = &net->buffer[net->n_nodes - 1];
    int64_t c = net->node[net->n_nodes - 1].out.size, n = net->last.n;
    net->loss->evaluate(&net->last, c, top->y, net->losses, top->dyt);
    for (int64_t k = 0; k < n; k++) {
        memcpy(work, top->dyt + k * c, (size_t)c * sizeof *work);
        memset(top->dyt + k * c, 0, (size_t)c * sizeof *work);
        add_product(c, work, top->yt + k * c, (double)n, top->dyt + k * c);
    }
}

int32_t pitot_net_fishervp(pitot_net *net, int64_t draws, uint64_t seed, const pitot_real *v, pitot_real *out, pitot_real *work) {
    if (!net->has_gradient) return PITOT_EORDER;
    if (!v || !out || !work || draws < 0) return PITOT_EINVAL;
    int32_t status = pitot_net_prepare_products(net, NULL);
    if (status) return status;
    memset(out, 0, (size_t)net->size * sizeof *out);
    if (!net->buffer[net->n_nodes - 1].dy) return PITOT_OK;
    walk_net(&(walk){ .net = net, .visit = walk_tangent, .v = v });
    if (draws) turn_drawn(net, draws, seed, work);
    else turn_empirical(net, work);
    walk_net(&(walk){ .net = net, .visit = walk_backward, .down = 1, .out = out });
    return PITOT_OK;
}
