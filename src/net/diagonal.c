/* diagonal.c: diagonals of curvature, each by the way that its kind takes, and what they cost. */

#include "net/net.h"

#include <math.h>
#include <string.h>

/* Smooth ops without parameters have a second derivative; products with a weight have none in any one value. */
int32_t pitot_net_is_piecewise_linear(const pitot_net *net) {
    for (int32_t k = 0; k < net->n_nodes; k++) {
        const node *n = &net->node[k];
        if (n->op->tangent_backward && !n->weight.shape.size && !n->bias.shape.size) return 0;
    }
    return 1;
}

static int64_t outputs(const pitot_net *net) {
    return net->n_nodes ? net->node[net->n_nodes - 1].out.size : 0;
}

/* ---- each kind ---- */

static int32_t squares(pitot_net *net, const roots *r, int per_sample, pitot_real *out) {
    int64_t n = net->last.n;
    int32_t status = columns_prepare(net);
    if (status) return status;
    if (!per_sample) columns_squares(net, r, 0, n, 1 / (double)n, out);
    for (int64_t k = 0; per_sample && k < n; k++) columns_squares(net, r, k, 1, 1, out + k * net->size);
    return PITOT_OK;
}

static int32_t ggn(pitot_net *net, int per_sample, pitot_real *out) {
    return squares(net, &(roots){ .n = outputs(net) - net->loss->less }, per_sample, out);
}

static int is_recursion(int32_t kind) {
    return kind >= PITOT_DIAGONAL_HESSCALE && kind <= PITOT_DIAGONAL_BL89;
}

static int32_t hesscale(pitot_net *net, int32_t kind, int per_sample, pitot_real *out, pitot_error *error) {
    int32_t status = hesscale_prepare(net, error);
    if (!status) hesscale_diagonal(net, kind, per_sample, out);
    return status;
}

int32_t pitot_net_diagonal(pitot_net *net, int32_t kind, int64_t draws, uint64_t seed, int per_sample, pitot_real *out,
                           pitot_error *error) {
    int32_t status = PITOT_EINVAL;
    if (!net->has_gradient) return pitot_fail(error, PITOT_EORDER, "there was no backward pass; call pitot_net_backward first");
    if (!out) return pitot_fail(error, PITOT_EINVAL, "out: there is no room for the diagonal");
    if (kind == PITOT_DIAGONAL_GGN_MC && draws < 1)
        return pitot_fail(error, PITOT_EINVAL, "draws: %lld; at least one is needed", (long long)draws);
    if (kind < PITOT_DIAGONAL_HESSIAN || kind > PITOT_DIAGONAL_BL89)
        return pitot_fail(error, PITOT_EINVAL, "kind: there is no diagonal %ld", (long)kind);
    if (!net->buffer[net->n_nodes - 1].dy) {
        memset(out, 0, (size_t)(net->size * (per_sample ? net->last.n : 1)) * sizeof *out);
        return PITOT_OK;
    }
    int exact = kind == PITOT_DIAGONAL_GGN || (kind == PITOT_DIAGONAL_HESSIAN && pitot_net_is_piecewise_linear(net));
    if (exact) status = ggn(net, per_sample, out);
    else if (kind == PITOT_DIAGONAL_HESSIAN) status = second_diagonal(net, per_sample, out);
    else if (is_recursion(kind)) status = hesscale(net, kind, per_sample, out, error);
    else status = squares(net, &(roots){ .n = draws, .drawn = 1, .seed = seed }, per_sample, out);
    if (status == PITOT_ENOMEM) return pitot_fail(error, PITOT_ENOMEM, "no memory for the diagonal");
    return status;
}

/* ---- what it costs ---- */

/* Products of the columns' way down, and of the squares at its end, in those of a gradient. A convolution's entries are fewer than its
   outputs behind a ReLU and a pool, and cost less in a tile of many columns than in a single one: its share of a dense product's time is
   what was measured there. */
static double columns_cost(const pitot_net *net, double columns) {
    double blocks = ceil(columns / COLUMNS), share = columns > 0 ? 0.15 + 0.37 * blocks / columns : 0;
    double down = 0, once = 0, gradient = 0;
    for (int32_t k = 0; k < net->n_nodes; k++) {
        const node *n = &net->node[k];
        double ways = n->input[0] >= 0 && net->buffer && net->buffer[n->input[0]].dy ? 1 : 0;
        gradient += n->flops * (2 + ways);
        if (n->op->square_gradient) down += n->flops * (1 + ways) * share;
        else down += n->flops * ways, once += n->flops;
    }
    return gradient > 0 ? (columns * down + once) / gradient : 1;
}

double pitot_net_diagonal_cost(const pitot_net *net, int32_t kind, int64_t draws) {
    double columns = (double)(outputs(net) - net->loss->less);
    if (kind == PITOT_DIAGONAL_HESSIAN && !pitot_net_is_piecewise_linear(net)) return second_cost(net);
    if (kind == PITOT_DIAGONAL_HESSIAN || kind == PITOT_DIAGONAL_GGN) return columns_cost(net, columns);
    if (kind == PITOT_DIAGONAL_GGN_MC) return draws < 1 ? 0 : columns_cost(net, (double)draws);
    return is_recursion(kind) ? 0.7 : 0; /* a backward pass: two of a gradient's three products */
}
