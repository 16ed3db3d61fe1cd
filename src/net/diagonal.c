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

typedef struct asked {
    int32_t kind;
    int64_t draws;
    uint64_t seed;
    int per_sample;
    pitot_real *out;
    pitot_diagonal_factor *factor; /* NULL: no weight is left out */
    int64_t n_factors;
} asked;

static int32_t squares(pitot_net *net, const roots *r, asked *d) {
    int64_t n = net->last.n;
    int32_t status = columns_prepare(net);
    if (status) return status;
    if (d->factor) d->n_factors = columns_factors(net, r, 1 / (double)n, d->out, d->factor);
    else if (!d->per_sample) columns_squares(net, r, 0, n, 1 / (double)n, d->out);
    for (int64_t k = 0; d->per_sample && k < n; k++) columns_squares(net, r, k, 1, 1, d->out + k * net->size);
    return PITOT_OK;
}

static int is_recursion(int32_t kind) {
    return kind >= PITOT_DIAGONAL_HESSCALE && kind <= PITOT_DIAGONAL_BL89;
}

static int32_t hesscale(pitot_net *net, const asked *d, pitot_error *error) {
    int32_t status = hesscale_prepare(net, error);
    if (!status) hesscale_diagonal(net, d->kind, d->per_sample, d->out);
    return status;
}

static int32_t check_kind(int32_t kind, int64_t draws, pitot_error *error) {
    if (kind == PITOT_DIAGONAL_GGN_MC && draws < 1)
        return pitot_fail(error, PITOT_EINVAL, "draws: %lld; at least one is needed", (long long)draws);
    if (kind < PITOT_DIAGONAL_HESSIAN || kind > PITOT_DIAGONAL_BL89)
        return pitot_fail(error, PITOT_EINVAL, "kind: there is no diagonal %ld", (long)kind);
    return PITOT_OK;
}

static int32_t check(const pitot_net *net, const asked *d, pitot_error *error) {
    if (!net->has_gradient) return pitot_fail(error, PITOT_EORDER, "there was no backward pass; call pitot_net_backward first");
    if (!d->out) return pitot_fail(error, PITOT_EINVAL, "out: there is no room for the diagonal");
    return check_kind(d->kind, d->draws, error);
}

static int by_tangents(const pitot_net *net, int32_t kind) {
    return kind == PITOT_DIAGONAL_HESSIAN && !pitot_net_is_piecewise_linear(net);
}

int32_t diagonal_prepare(pitot_net *net, int32_t kind, int64_t draws) {
    int32_t status = check_kind(kind, draws, NULL);
    if (status) return status;
    if (is_recursion(kind)) return hesscale_prepare(net, NULL);
    return by_tangents(net, kind) ? second_prepare(net) : columns_prepare(net);
}

static int32_t make(pitot_net *net, asked *d, pitot_error *error) {
    int32_t status = check(net, d, error), kind = d->kind;
    if (status) return status;
    if (!net->buffer[net->n_nodes - 1].dy) {
        memset(d->out, 0, (size_t)(net->size * (d->per_sample ? net->last.n : 1)) * sizeof *d->out);
        return PITOT_OK;
    }
    if (by_tangents(net, kind)) status = second_diagonal(net, d->per_sample, d->out);
    else if (is_recursion(kind)) status = hesscale(net, d, error);
    else if (kind == PITOT_DIAGONAL_GGN_MC) status = squares(net, &(roots){ .n = d->draws, .drawn = 1, .seed = d->seed }, d);
    else status = squares(net, &(roots){ .n = outputs(net) - net->loss->less }, d);
    return status == PITOT_ENOMEM ? pitot_fail(error, PITOT_ENOMEM, "no memory for the diagonal") : status;
}

int32_t pitot_net_diagonal(pitot_net *net, int32_t kind, int64_t draws, uint64_t seed, int per_sample, pitot_real *out,
                           pitot_error *error) {
    return make(net, &(asked){ kind, draws, seed, per_sample, out, NULL, 0 }, error);
}

int32_t diagonal_factored(pitot_net *net, int32_t kind, int64_t draws, uint64_t seed, pitot_real *out,
                          pitot_diagonal_factor *factor, int64_t *n, pitot_error *error) {
    asked d = { kind, draws, seed, 0, out, factor, 0 };
    int32_t status = make(net, &d, error);
    *n = d.n_factors;
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
    if (by_tangents(net, kind)) return second_cost(net);
    if (kind == PITOT_DIAGONAL_HESSIAN || kind == PITOT_DIAGONAL_GGN) return columns_cost(net, columns);
    if (kind == PITOT_DIAGONAL_GGN_MC) return draws < 1 ? 0 : columns_cost(net, (double)draws);
    return is_recursion(kind) ? 0.7 : 0; /* a backward pass: two of a gradient's three products */
}
