/* pass.c: forward and backward, and what they leave behind. */

#include "net/net.h"

#include <string.h>

static void visit_forward(const walk *w, int32_t k, span *s, int thread) {
    const node *d = &w->net->node[k];
    (void)thread;
    if (d->op->forward) d->op->forward(d, s);
    else if (w->net->buffer[k].owns_y) memcpy(s->y, s->x[0], (size_t)(s->n * d->out.size) * sizeof *s->y);
}

static const pitot_real *output(const pitot_net *net) {
    return net->buffer[net->n_nodes - 1].y;
}

int32_t pitot_net_forward(pitot_net *net, const pitot_net_batch *batch, double *loss) {
    int64_t c = net->n_nodes ? net->node[net->n_nodes - 1].out.size : 0;
    if (net->batch == 0) return PITOT_EORDER;
    net->last.n = net->has_gradient = 0;
    if (batch->n < 1 || batch->n > net->batch || !batch->x) return PITOT_EINVAL;
    if (net->loss->classes ? !batch->classes || !loss_classes_good(batch->classes, batch->n, c) : !batch->targets)
        return PITOT_EINVAL;
    net->last = *batch;
    net->passes++;
    walk_net(&(walk){ .net = net, .visit = visit_forward });
    net->loss->evaluate(batch, c, output(net), net->losses, NULL);
    double sum = 0;
    for (int64_t k = 0; k < batch->n; k++) sum += (double)net->losses[k];
    if (loss) *loss = sum / (double)batch->n;
    return PITOT_OK;
}

int32_t pitot_net_backward(pitot_net *net) {
    if (net->batch == 0 || net->last.n == 0) return PITOT_EORDER;
    const buffers *top = &net->buffer[net->n_nodes - 1];
    net->has_gradient = 1;
    if (!top->dy) return PITOT_OK; /* no parameters anywhere */
    net->loss->evaluate(&net->last, net->node[net->n_nodes - 1].out.size, top->y, net->losses, top->dy);
    walk_net(&(walk){ .net = net, .visit = walk_backward, .down = 1 });
    return PITOT_OK;
}

/* ---- what the last forward gave ---- */

const pitot_real *pitot_net_output(const pitot_net *net) {
    return net->batch ? output(net) : NULL;
}

const pitot_real *pitot_net_losses(const pitot_net *net) {
    return net->losses;
}

int64_t pitot_net_correct(const pitot_net *net) {
    if (!net->loss->classes || net->last.n == 0) return -1;
    int64_t c = net->node[net->n_nodes - 1].out.size, good = 0;
    for (int64_t k = 0; k < net->last.n; k++) {
        const pitot_real *f = output(net) + k * c;
        int64_t best = 0;
        for (int64_t i = 1; i < c; i++)
            if (f[i] > f[best]) best = i;
        good += best == net->last.classes[k];
    }
    return good;
}

/* ---- what the net is ---- */

int64_t pitot_net_param_count(const pitot_net *net) {
    return net->n_params;
}

const pitot_net_param *pitot_net_params(const pitot_net *net) {
    return net->param;
}

void pitot_net_get_facts(const pitot_net *net, pitot_net_facts *facts) {
    pitot_net_facts f = {
        .name = net->name, .loss = net->loss->name, .input = net->input.size, .shape = net->input.dim, .layers = net->n_nodes
    };
    for (int32_t k = 0; k < net->n_nodes; k++) {
        const node *n = &net->node[k];
        f.parameters += n->weight.shape.size + n->bias.shape.size;
        f.step_flops += n->flops * (n->input[0] >= 0 && net->buffer && net->buffer[n->input[0]].dy ? 3 : 2);
        f.output = n->out.size;
        f.sample_bytes += 4.0 * (double)n->out.size * sizeof(pitot_real) + (double)n->kept;
    }
    f.struct_size = sizeof f;
    *facts = f;
}
