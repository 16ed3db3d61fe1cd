/* pass.c: forward and backward through the segments. Sample-by-sample segments send a few samples through all their nodes before the
   next, side by side on threads; each thread sums parameter gradients of its own, added up in the order of threads. */

#include "base/hot.h"
#include "base/random.h"
#include "base/threads.h"
#include "net/net.h"

#include <string.h>

typedef struct segment_job { /* one segment, forward or backward */
    pitot_net *net;
    const segment *segment;
} segment_job;

static const pitot_real *values_of(const pitot_net *net, int32_t k, int64_t sample) {
    if (k < 0) return net->last.x + sample * net->input.size;
    return net->buffer[k].y + sample * net->node[k].out.size;
}

/* Node k on samples begin .. begin+n, as thread `thread` sees them. */
static span span_of(const pitot_net *net, int32_t k, int64_t begin, int64_t n, int thread) {
    const node *d = &net->node[k];
    const buffers *b = &net->buffer[k];
    span s = { .n = n, .sample = begin, .threads = net->threads, .training = net->last.training, .step = net->last.step };
    for (int32_t i = 0; i < d->n_inputs; i++) s.x[i] = values_of(net, d->input[i], begin);
    s.y = b->y + begin * d->out.size;
    s.kept = b->kept + begin * d->kept;
    s.scratch = net->work + thread * (net->scratch + net->spill);
    s.seed = random_bits(net->last.seed, RANDOM_DROPOUT, 0, (uint64_t)k);
    if (b->weight >= 0) s.weight = net->param[b->weight].data;
    if (b->bias >= 0) s.bias = net->param[b->bias].data;
    return s;
}

static void forward_samples(void *argument, int64_t begin, int64_t end, int thread) {
    const segment_job *j = argument;
    int64_t most = j->segment->whole_batch ? end - begin : OP_SAMPLES, n;
    for (int64_t sample = begin; sample < end; sample += n) {
        n = end - sample < most ? end - sample : most;
        for (int32_t k = j->segment->begin; k < j->segment->end; k++) {
            const op *o = j->net->node[k].op;
            span s = span_of(j->net, k, sample, n, thread);
            if (o->forward) o->forward(&j->net->node[k], &s);
            else if (j->net->buffer[k].owns_y) memcpy(s.y, s.x[0], (size_t)(n * j->net->node[k].out.size) * sizeof *s.y);
        }
    }
}

static pitot_real *gradient_of(const pitot_net *net, int32_t param, int thread) {
    pitot_real *grad = net->param[param].grad;
    return thread == 0 ? grad : net->sums + (thread - 1) * net->local + (grad - net->gradient);
}

PITOT_HOT static void add_to(pitot_real *to, const pitot_real *from, int64_t n) {
    for (int64_t i = 0; i < n; i++) to[i] += from[i];
}

/* Where backward writes dx: the input's dy, or the spill if it is to be added to what is there. */
static void aim(const pitot_net *net, int32_t k, span *s) {
    const node *d = &net->node[k];
    pitot_real *spill = s->scratch + net->scratch;
    for (int32_t i = 0; i < d->n_inputs; i++) {
        pitot_real *dy = d->input[i] < 0 ? NULL : net->buffer[d->input[i]].dy;
        s->dx[i] = !dy ? NULL : net->buffer[k].adds[i] ? spill : dy + s->sample * d->in[i].size;
        if (s->dx[i] == spill && dy) spill += s->n * d->in[i].size;
    }
}

static void add_spills(const pitot_net *net, int32_t k, const span *s) {
    const node *d = &net->node[k];
    for (int32_t i = 0; i < d->n_inputs; i++)
        if (net->buffer[k].adds[i] && s->dx[i])
            add_to(net->buffer[d->input[i]].dy + s->sample * d->in[i].size, s->dx[i], s->n * d->in[i].size);
}

static void backward_node(const pitot_net *net, int32_t k, span *s, int thread) {
    const node *d = &net->node[k];
    const buffers *b = &net->buffer[k];
    if (!b->dy) return;
    s->dy = b->dy + s->sample * d->out.size;
    if (b->weight >= 0) s->dweight = gradient_of(net, b->weight, thread);
    if (b->bias >= 0) s->dbias = gradient_of(net, b->bias, thread);
    aim(net, k, s);
    if (d->op->backward) d->op->backward(d, s);
    else if (b->owns_y && s->dx[0]) memcpy(s->dx[0], s->dy, (size_t)(s->n * d->out.size) * sizeof *s->dy);
    add_spills(net, k, s);
}

static void backward_samples(void *argument, int64_t begin, int64_t end, int thread) {
    const segment_job *j = argument;
    int64_t most = j->segment->whole_batch ? end - begin : OP_SAMPLES, n;
    for (int64_t sample = begin; sample < end; sample += n) {
        n = end - sample < most ? end - sample : most;
        for (int32_t k = j->segment->end - 1; k >= j->segment->begin; k--) {
            span s = span_of(j->net, k, sample, n, thread);
            s.first = sample == begin;
            backward_node(j->net, k, &s, thread);
        }
    }
}

typedef struct sum_job { /* gradients of one segment's parameters, over threads */
    pitot_net *net;
    int32_t param;
    int threads;
} sum_job;

static void sum_range(void *argument, int64_t begin, int64_t end, int thread) {
    const sum_job *j = argument;
    (void)thread;
    for (int t = 1; t < j->threads; t++)
        add_to(j->net->param[j->param].grad + begin, gradient_of(j->net, j->param, t) + begin, end - begin);
}

static void sum_threads(pitot_net *net, const segment *g, int threads) {
    for (int32_t k = g->begin; k < g->end; k++) {
        const int32_t of[] = { net->buffer[k].weight, net->buffer[k].bias };
        for (int i = 0; i < 2; i++) {
            if (of[i] < 0) continue;
            sum_job job = { net, of[i], threads };
            threads_run(net->param[of[i]].size > 1 << 16 ? net->threads : 1, net->param[of[i]].size, sum_range, &job);
        }
    }
}

static int sharing(const pitot_net *net, const segment *g) {
    if (g->whole_batch) return 1;
    return net->last.n < net->threads ? (int)net->last.n : net->threads;
}

static const pitot_real *output(const pitot_net *net) {
    return net->buffer[net->n_nodes - 1].y;
}

int32_t pitot_net_forward(pitot_net *net, const pitot_net_batch *batch, double *loss) {
    int64_t c = net->n_nodes ? net->node[net->n_nodes - 1].out.size : 0;
    if (net->batch == 0) return PITOT_EORDER;
    net->last.n = 0;
    if (batch->n < 1 || batch->n > net->batch || !batch->x) return PITOT_EINVAL;
    if (net->loss->classes ? !batch->classes || !loss_classes_good(batch->classes, batch->n, c) : !batch->targets)
        return PITOT_EINVAL;
    net->last = *batch;
    for (int32_t i = 0; i < net->n_segments; i++) {
        segment_job j = { net, &net->segment[i] };
        threads_run(sharing(net, j.segment), batch->n, forward_samples, &j);
    }
    net->loss->evaluate(batch, c, output(net), net->losses, NULL);
    double sum = 0;
    for (int64_t k = 0; k < batch->n; k++) sum += (double)net->losses[k];
    if (loss) *loss = sum / (double)batch->n;
    return PITOT_OK;
}

int32_t pitot_net_backward(pitot_net *net) {
    if (net->batch == 0 || net->last.n == 0) return PITOT_EORDER;
    const buffers *top = &net->buffer[net->n_nodes - 1];
    if (!top->dy) return PITOT_OK; /* no parameters anywhere */
    net->loss->evaluate(&net->last, net->node[net->n_nodes - 1].out.size, top->y, net->losses, top->dy);
    for (int32_t i = net->n_segments - 1; i >= 0; i--) {
        segment_job j = { net, &net->segment[i] };
        threads_run(sharing(net, j.segment), net->last.n, backward_samples, &j);
        if (!j.segment->whole_batch) sum_threads(net, j.segment, sharing(net, j.segment));
    }
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
    }
    f.struct_size = sizeof f;
    *facts = f;
}
