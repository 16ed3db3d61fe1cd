/* plan.c: room for a batch: parameters, activations, their gradients, scratch; and which nodes run together. Everything that a step
   needs is allocated here. */

#include "base/alloc.h"
#include "base/threads.h"
#include "net/net.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ALIGN = 64 / sizeof(pitot_real), MOST_THREADS = 256, NAME_ROOM = 256 };

static int64_t aligned(int64_t n) {
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

void plan_free(pitot_net *net) {
    tangents_free(net);
    columns_free(net);
    sent_free(net);
    hesscale_free(net);
    for (int32_t i = 0; net->buffer && i < net->n_nodes; i++) {
        if (net->buffer[i].owns_y) {
            mem_free(net->buffer[i].y);
            mem_free(net->buffer[i].dy);
        }
        mem_free(net->buffer[i].kept);
        mem_free(net->buffer[i].own);
    }
    for (int32_t i = 0; i < net->n_params; i++) mem_free((char *)net->param[i].name);
    void *const blocks[] = { net->buffer,  net->param, net->declared, net->flat,   net->theta, net->gradient,
                             net->segment, net->work,  net->sums,     net->losses, net->only };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) mem_free(blocks[i]);
    net->buffer = NULL;
    net->param = NULL;
    net->declared = NULL;
    net->flat = NULL;
    net->theta = net->gradient = net->work = net->sums = net->losses = NULL;
    net->segment = NULL;
    net->only = NULL;
    net->n_params = net->n_segments = 0;
    net->has_gradient = 0;
    net->size = net->room = net->local = net->batch = net->last.n = 0;
}

/* ---- parameters: those of sample-by-sample ops first in memory, so that other threads' sums are one short block ---- */

static int32_t declare(pitot_net *net, const node *n, const op_param *p, const char *suffix) {
    char name[NAME_ROOM];
    if (!p->shape.size) return -1;
    int32_t i = net->n_params++;
    snprintf(name, sizeof name, "%s.%s", n->name, suffix);
    pitot_net_param *q = &net->param[i];
    q->name = mem_strdup(name);
    q->size = p->shape.size;
    q->n_dim = p->shape.n;
    memcpy(q->shape, p->shape.dim, sizeof q->shape);
    net->declared[i] = *p;
    net->flat[i] = net->size;
    net->size += q->size;
    return i;
}

static void place(pitot_net *net, int whole_batch, pitot_real *const *base, int64_t *at) {
    for (int32_t k = 0; k < net->n_nodes; k++) {
        if ((net->node[k].op->flags & OP_WHOLE_BATCH ? 1 : 0) != whole_batch) continue;
        const int32_t of[] = { net->buffer[k].weight, net->buffer[k].bias };
        for (int j = 0; j < 2; j++) {
            if (of[j] < 0) continue;
            if (base) {
                net->param[of[j]].data = base[0] + *at;
                net->param[of[j]].grad = base[1] + *at;
            }
            *at += aligned(net->param[of[j]].size);
        }
    }
}

static int make_params(pitot_net *net) {
    net->param = mem_alloc(2 * net->n_nodes, sizeof *net->param);
    net->declared = mem_alloc(2 * net->n_nodes, sizeof *net->declared);
    net->flat = mem_alloc(2 * net->n_nodes, sizeof *net->flat);
    if (!net->param || !net->declared || !net->flat) return 0;
    for (int32_t k = 0; k < net->n_nodes; k++) {
        net->buffer[k].weight = declare(net, &net->node[k], &net->node[k].weight, "weight");
        net->buffer[k].bias = declare(net, &net->node[k], &net->node[k].bias, "bias");
    }
    for (int32_t i = 0; i < net->n_params; i++)
        if (!net->param[i].name) return 0;
    place(net, 0, NULL, &net->local);
    net->room = net->local;
    place(net, 1, NULL, &net->room);
    net->theta = mem_alloc(net->room, sizeof(pitot_real));
    net->gradient = mem_alloc(net->room, sizeof(pitot_real));
    if (!net->theta || !net->gradient) return 0;
    pitot_real *const base[] = { net->theta, net->gradient };
    int64_t at = 0;
    place(net, 0, base, &at);
    place(net, 1, base, &at);
    return 1;
}

/* ---- activations ---- */

static int32_t owner(const pitot_net *net, int32_t k) {
    while (k >= 0 && !net->buffer[k].owns_y) k = net->node[k].input[0];
    return k;
}

static int32_t readers(const pitot_net *net, int32_t k) {
    int32_t n = 0;
    for (int32_t j = k + 1; j < net->n_nodes; j++)
        for (int32_t i = 0; i < net->node[j].n_inputs; i++) n += net->node[j].input[i] == k;
    return n;
}

/* Whether node k may write over its input: k is the only reader of it and of everything else that lies there, and none of those
   needs its values again. */
static int may_overwrite(const pitot_net *net, int32_t k) {
    int32_t first = owner(net, net->node[k].input[0]);
    if (first < 0) return 0;
    for (int32_t j = first; j < k; j++)
        if (owner(net, j) == first && (net->node[j].op->flags & OP_NEEDS_OUTPUT || readers(net, j) != 1)) return 0;
    return 1;
}

/* Whether gradients flow into node k or below it: some parameter lies there. */
static int wants_gradient(const pitot_net *net, int32_t k) {
    if (k < 0) return 0;
    if (net->node[k].weight.shape.size || net->node[k].bias.shape.size) return 1;
    for (int32_t i = 0; i < net->node[k].n_inputs; i++)
        if (net->node[k].input[i] < k && net->node[k].input[i] >= 0 && net->buffer[net->node[k].input[i]].dy) return 1;
    return 0;
}

/* Nodes that the output does not depend on get no gradient. */
static void mark_live(pitot_net *net) {
    net->buffer[net->n_nodes - 1].live = 1;
    for (int32_t k = net->n_nodes - 1; k >= 0; k--)
        for (int32_t i = 0; net->buffer[k].live && i < net->node[k].n_inputs; i++)
            if (net->node[k].input[i] >= 0) net->buffer[net->node[k].input[i]].live = 1;
}

/* In backward, nodes run from last to first: the last reader of a value is the first to give its gradient, the others add. */
static void mark_additions(pitot_net *net) {
    for (int32_t k = 0; k < net->n_nodes; k++) {
        int seen = 0;
        for (int32_t j = net->n_nodes - 1; j > k; j--)
            for (int32_t i = 0; i < net->node[j].n_inputs; i++)
                if (net->node[j].input[i] == k && net->buffer[j].live) net->buffer[j].adds[i] = seen++ > 0;
    }
}

static int make_buffers(pitot_net *net) {
    mark_live(net);
    for (int32_t k = 0; k < net->n_nodes; k++) {
        const node *n = &net->node[k];
        buffers *b = &net->buffer[k];
        int view = n->op->flags & OP_VIEW && n->input[0] >= 0 && readers(net, n->input[0]) == 1;
        b->owns_y = !(view || (n->op->flags & OP_IN_PLACE && may_overwrite(net, k)));
        int wanted = net->buffer[k].live && wants_gradient(net, k);
        if (!b->owns_y) {
            b->y = net->buffer[n->input[0]].y;
            b->dy = net->buffer[n->input[0]].dy;
        } else {
            b->y = mem_alloc(net->batch, (size_t)n->out.size * sizeof(pitot_real));
            if (wanted) b->dy = mem_alloc(net->batch, (size_t)n->out.size * sizeof(pitot_real));
            if (!b->y || (wanted && !b->dy)) return 0;
        }
        if (n->kept) b->kept = mem_alloc(net->batch, (size_t)n->kept);
        if (n->own) b->own = mem_alloc(net->threads, (size_t)n->own * sizeof(pitot_real));
        if ((n->kept && !b->kept) || (n->own && !b->own)) return 0;
    }
    mark_additions(net);
    return 1;
}

/* ---- segments and scratch ---- */

static int make_segments(pitot_net *net) {
    net->segment = mem_alloc(net->n_nodes, sizeof *net->segment);
    if (!net->segment) return 0;
    for (int32_t k = 0; k < net->n_nodes; k++) {
        int whole = (net->node[k].op->flags & OP_WHOLE_BATCH) != 0;
        segment *last = net->n_segments ? &net->segment[net->n_segments - 1] : NULL;
        if (last && !last->whole_batch && !whole) last->end = k + 1;
        else net->segment[net->n_segments++] = (segment){ k, k + 1, whole };
    }
    return 1;
}

static int make_scratch(pitot_net *net) {
    for (int32_t k = 0; k < net->n_nodes; k++) {
        const node *n = &net->node[k];
        int64_t times = n->op->flags & OP_WHOLE_BATCH ? net->batch : OP_SAMPLES;
        if (aligned(n->scratch) > net->scratch) net->scratch = aligned(n->scratch);
        int64_t spill = 0;
        for (int32_t i = 0; i < n->n_inputs; i++)
            if (net->buffer[k].adds[i]) spill += n->in[i].size * times;
        if (aligned(spill) > net->spill) net->spill = aligned(spill);
    }
    net->work = mem_alloc(net->threads, (size_t)(net->scratch + net->spill) * sizeof(pitot_real));
    net->sums = mem_alloc(net->threads - 1, (size_t)net->local * sizeof(pitot_real));
    net->losses = mem_alloc(net->batch, sizeof(pitot_real));
    return net->work && net->sums && net->losses;
}

/* ---- the whole ---- */

static double bytes_needed(const pitot_net *net, int64_t batch, int32_t threads, int tangents) {
    double values = 0, parameters = 0, scratch = 0, kept = 0, own = 0;
    for (int32_t k = 0; k < net->n_nodes; k++) {
        const node *n = &net->node[k];
        values += (tangents ? 4.0 : 2.0) * (double)n->out.size;
        kept += (double)n->kept;
        own += (double)n->own;
        parameters += (double)n->weight.shape.size + (double)n->bias.shape.size;
        if ((double)n->scratch > scratch) scratch = (double)n->scratch;
    }
    return (double)sizeof(pitot_real) * ((double)batch * values + (2.0 + threads) * parameters + threads * (scratch + own)) +
           (double)batch * kept;
}

int32_t plan_fits(const pitot_net *net, int64_t batch, int32_t threads, int tangents, pitot_error *error) {
    double needed = bytes_needed(net, batch, threads, tangents),
           there = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGE_SIZE);
    if (needed < 0.9 * there) return PITOT_OK;
    return pitot_fail(error, PITOT_ENOMEM, "a batch of %lld needs about %.3g GB, this machine has %.3g; use a smaller batch or net",
                      (long long)batch, needed / 1e9, there / 1e9);
}

int32_t pitot_net_prepare(pitot_net *net, int64_t batch, int32_t threads, pitot_error *error) {
    if (threads <= 0) threads = threads_default();
    if (threads > MOST_THREADS) threads = MOST_THREADS;
    if (batch < 1 || batch > INT32_MAX)
        return pitot_fail(error, PITOT_EINVAL, "batch: %lld is not a usable number of samples", (long long)batch);
    if (net->n_nodes == 0) return pitot_fail(error, PITOT_EINVAL, "layers: there are none; add at least one");
    int32_t status = loss_check(net, error);
    if (!status) status = plan_fits(net, batch, threads, 0, error);
    if (status) return status;
    plan_free(net);
    net->scratch = net->spill = 0;
    net->batch = batch;
    net->threads = threads;
    net->buffer = mem_alloc(net->n_nodes, sizeof *net->buffer);
    if (net->buffer && make_params(net) && make_buffers(net) && make_segments(net) && make_scratch(net)) return PITOT_OK;
    plan_free(net);
    return pitot_fail(error, PITOT_ENOMEM, "no memory for a batch of %lld", (long long)batch);
}
