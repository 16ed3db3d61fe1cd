/* walk.c: through the segments, upwards or down. Sample-by-sample segments send a few samples through all their nodes before the next,
   side by side on threads; on the way down each thread sums what parameters get on its own, added up in the order of threads. */

#include "pitot/hot.h"
#include "base/random.h"
#include "base/threads.h"
#include "net/net.h"

#include <string.h>

typedef struct segment_job { /* one segment */
    const walk *w;
    const segment *segment;
} segment_job;

static const pitot_real *values_of(const pitot_net *net, int32_t k, int64_t sample) {
    if (k < 0) return net->last.x + sample * net->input.size;
    return net->buffer[k].y + sample * net->node[k].out.size;
}

span walk_span(const pitot_net *net, int32_t k, int64_t begin, int64_t n, int thread) {
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

static int takes_part(const walk *w, int32_t k) {
    return k >= 0 && (!w->only || w->only[k]);
}

static int parameters_move(const walk *w, int32_t k) {
    return !w->only || w->only[k] & WALK_PARAMETERS;
}

static void add_tangents(const walk *w, int32_t k, span *s) {
    const pitot_net *net = w->net;
    const node *d = &net->node[k];
    const buffers *b = &net->buffer[k];
    for (int32_t i = 0; i < d->n_inputs; i++) {
        const pitot_real *xt = takes_part(w, d->input[i]) ? net->buffer[d->input[i]].yt : NULL;
        s->xt[i] = xt ? xt + s->sample * d->in[i].size : NULL;
    }
    if (b->yt) s->yt = b->yt + s->sample * d->out.size;
    if (!parameters_move(w, k)) return;
    if (w->v && b->weight >= 0) s->weight_t = w->v + net->flat[b->weight];
    if (w->v && b->bias >= 0) s->bias_t = w->v + net->flat[b->bias];
}

static void visit_samples(void *argument, int64_t begin, int64_t end, int thread) {
    const segment_job *j = argument;
    const segment *g = j->segment;
    const pitot_net *net = j->w->net;
    begin += j->w->from;
    end += j->w->from;
    int64_t most = g->whole_batch ? end - begin : OP_SAMPLES, n;
    for (int64_t sample = begin; sample < end; sample += n) {
        n = end - sample < most ? end - sample : most;
        for (int32_t i = 0; i < g->end - g->begin; i++) {
            int32_t k = j->w->down ? g->end - 1 - i : g->begin + i;
            if (!takes_part(j->w, k)) continue;
            span s = walk_span(net, k, sample, n, thread);
            s.first = sample == begin;
            s.last = sample + n == end;
            if (end - begin >= OP_SAMPLES && net->buffer[k].own) s.own = net->buffer[k].own + thread * net->node[k].own;
            if (j->w->v || j->w->only) add_tangents(j->w, k, &s);
            j->w->visit(j->w, k, &s, thread);
        }
    }
}

PITOT_HOT static void add_to(pitot_real *to, const pitot_real *from, int64_t n) {
    for (int64_t i = 0; i < n; i++) to[i] += from[i];
}

/* ---- what parameters get ---- */

/* Where thread `thread` sums it; thread 0: where it is wanted. */
static pitot_real *sums_of(const walk *w, int32_t param, int thread) {
    const pitot_net *net = w->net;
    pitot_real *grad = net->param[param].grad;
    if (thread > 0) return net->sums + (thread - 1) * net->local + (grad - net->gradient);
    return w->out ? w->out + net->flat[param] : grad;
}

typedef struct sum_job { /* of one parameter, over threads */
    const walk *w;
    int32_t param;
    int threads;
} sum_job;

static void sum_range(void *argument, int64_t begin, int64_t end, int thread) {
    const sum_job *j = argument;
    (void)thread;
    for (int t = 1; t < j->threads; t++)
        add_to(sums_of(j->w, j->param, 0) + begin, sums_of(j->w, j->param, t) + begin, end - begin);
}

static void sum_threads(const walk *w, const segment *g, int threads) {
    const pitot_net *net = w->net;
    for (int32_t k = g->begin; k < g->end; k++) {
        const int32_t of[] = { net->buffer[k].weight, net->buffer[k].bias };
        for (int i = 0; i < 2; i++) {
            if (of[i] < 0 || !net->buffer[k].dy || !parameters_move(w, k)) continue;
            sum_job job = { w, of[i], threads };
            threads_run(net->param[of[i]].size > 1 << 16 ? net->threads : 1, net->param[of[i]].size, sum_range, &job);
        }
    }
}

/* ---- the way ---- */

static int sharing(const pitot_net *net, const segment *g, int64_t n) {
    if (g->whole_batch) return 1;
    return n < net->threads ? (int)n : net->threads;
}

void walk_net(const walk *w) {
    const pitot_net *net = w->net;
    int64_t n = w->n ? w->n : net->last.n;
    for (int32_t i = 0; i < net->n_segments; i++) {
        segment_job j = { w, &net->segment[w->down ? net->n_segments - 1 - i : i] };
        int threads = sharing(net, j.segment, n);
        threads_run(threads, n, visit_samples, &j);
        if (w->down && !j.segment->whole_batch) sum_threads(w, j.segment, threads);
    }
}

/* ---- one node on the way down ---- */

static pitot_real *gradient_at(const walk *w, int32_t k) {
    return !takes_part(w, k) ? NULL : w->out || w->only ? w->net->buffer[k].dyt : w->net->buffer[k].dy;
}

/* Where backward writes dx: the input's dy, or the spill if it is to be added to what is there. */
static void aim(const walk *w, int32_t k, span *s) {
    const node *d = &w->net->node[k];
    pitot_real *spill = s->scratch + w->net->scratch;
    for (int32_t i = 0; i < d->n_inputs; i++) {
        pitot_real *dy = gradient_at(w, d->input[i]);
        s->dx[i] = !dy ? NULL : w->net->buffer[k].adds[i] ? spill : dy + s->sample * d->in[i].size;
        if (s->dx[i] == spill && dy) spill += s->n * d->in[i].size;
    }
}

static void add_spills(const walk *w, int32_t k, const span *s) {
    const node *d = &w->net->node[k];
    for (int32_t i = 0; i < d->n_inputs; i++)
        if (w->net->buffer[k].adds[i] && s->dx[i])
            add_to(gradient_at(w, d->input[i]) + s->sample * d->in[i].size, s->dx[i], s->n * d->in[i].size);
}

void walk_backward(const walk *w, int32_t k, span *s, int thread) {
    const node *d = &w->net->node[k];
    const buffers *b = &w->net->buffer[k];
    if (!b->dy) return;
    s->dy = gradient_at(w, k) + s->sample * d->out.size;
    if (parameters_move(w, k) && b->weight >= 0) s->dweight = sums_of(w, b->weight, thread);
    if (parameters_move(w, k) && b->bias >= 0) s->dbias = sums_of(w, b->bias, thread);
    aim(w, k, s);
    if (w->curved || w->diagonal > 0) s->g = b->dy + s->sample * d->out.size;
    if (w->diagonal && d->op->hesscale) d->op->hesscale(d, s);
    else if (w->curved && d->op->tangent_backward) d->op->tangent_backward(d, s);
    else if (d->op->backward) d->op->backward(d, s);
    else if (b->owns_y && s->dx[0]) memcpy(s->dx[0], s->dy, (size_t)(s->n * d->out.size) * sizeof *s->dy);
    add_spills(w, k, s);
}
