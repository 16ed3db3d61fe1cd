/* point_chunk.c: the samples of a point, a chunk at a time: the net's passes over them, kept from call to call where there is one chunk, and
   what the samples' own losses say at their labels or at drawn ones. */

#include "curve/point.h"

#include "base/alloc.h"
#include "base/threads.h"

#include <string.h>

int32_t chunk_begin(pitot_point *p) {
    p->error = (pitot_error){ 0 };
    if (p->net->theta == p->bed && p->net->batch == p->chunk) return PITOT_OK;
    return pitot_fail(&p->error, PITOT_EORDER, "the net was prepared again since the point was made; make a new point");
}

void chunk_forget(pitot_point *p) {
    if (p->passes == p->net->passes) p->net->last.n = p->net->has_gradient = 0;
    p->passes = -1;
}

/* Samples at..at+n of the point as a batch of the net. */
static int32_t load(pitot_point *p, int64_t at, int64_t n, pitot_net_batch *b) {
    *b = p->batch;
    b->n = n;
    b->ids = p->ids;
    for (int64_t k = 0; k < n; k++) p->ids[k] = !p->data && p->batch.ids ? p->batch.ids[at + k] : p->first + at + k;
    if (p->data) return pitot_data_batch(p->data, p->ids, n, p->x, p->classes, p->targets);
    b->x += at * p->net->input.size;
    if (b->classes) b->classes += at;
    if (b->targets) b->targets += at * p->outputs;
    return PITOT_OK;
}

static int32_t go_forward(pitot_point *p, int64_t at) {
    pitot_net_batch b;
    int64_t left = p->samples - at;
    p->passes = -1;
    p->at = at;
    p->n = left < p->chunk ? left : p->chunk;
    p->backward = p->roots = 0;
    int32_t status = load(p, at, p->n, &b);
    if (!status) status = pitot_net_forward(p->net, &b, &p->loss);
    if (!status) p->passes = p->net->passes;
    return status;
}

int32_t chunk_pass(pitot_point *p, int64_t at, int backward) {
    int32_t status = PITOT_OK;
    if (p->passes != p->net->passes || p->at != at || p->net->last.n != p->n) status = go_forward(p, at);
    if (!status && backward && !p->backward) {
        status = pitot_net_backward(p->net);
        p->backward = !status;
    }
    if (status)
        pitot_fail(&p->error, status, "samples %lld to %lld: %s", (long long)(p->first + at), (long long)(p->first + at + p->n - 1),
                   pitot_strerror(status));
    return status;
}

int32_t chunk_progress(pitot_point *p, int64_t done) {
    int32_t status = p->progress ? p->progress(p->user, done, p->samples) : 0;
    return status ? pitot_fail(&p->error, status, "ended by the caller after %lld of %lld samples", (long long)done,
                               (long long)p->samples)
                  : PITOT_OK;
}

/* ---- gradients of samples' own losses in their outputs ---- */

static const pitot_real *output(const pitot_net *net) {
    return net->buffer[net->n_nodes - 1].y;
}

/* The net's are of the mean loss. */
static void make_df(pitot_point *p) {
    pitot_net *net = p->net;
    net->loss->evaluate(&net->last, p->outputs, output(net), net->losses, p->df);
    for (int64_t i = 0; i < p->n * p->outputs; i++) p->df[i] *= (pitot_real)p->n;
}

static void draw_range(void *job, int64_t begin, int64_t end, int thread) {
    const pitot_point *p = job;
    (void)thread;
    for (int64_t k = begin; k < end; k++) {
        draw_key key = { p->seed, p->ids[k] };
        p->net->loss->draw(p->outputs, output(p->net) + k * p->outputs, &key, 0, p->draws, p->drawn + k * p->draws * p->outputs);
    }
}

roots chunk_roots(pitot_point *p, int32_t kind) {
    int drawn = kind == PITOT_OP_GGN_MC, bit = 1 << kind;
    if (!(p->roots & bit) && drawn) threads_run(p->net->threads, p->n, draw_range, p);
    if (!(p->roots & bit) && !drawn) make_df(p);
    p->roots |= bit;
    return (roots){ .n = drawn ? p->draws : 1, .given = drawn ? p->drawn : p->df };
}

int32_t chunk_prepare(pitot_point *p, int32_t kind) {
    int32_t status = pitot_net_prepare_products(p->net, &p->error);
    size_t row = (size_t)p->outputs * sizeof(pitot_real);
    if (status) return status;
    if (kind == PITOT_OP_EMPIRICAL_FISHER && !p->df) p->df = mem_alloc(p->chunk, row);
    if (kind == PITOT_OP_GGN_MC && !p->drawn) p->drawn = mem_alloc(p->chunk, (size_t)p->draws * row);
    if ((kind == PITOT_OP_EMPIRICAL_FISHER && !p->df) || (kind == PITOT_OP_GGN_MC && !p->drawn))
        return pitot_fail(&p->error, PITOT_ENOMEM, "%s: no memory for %lld x %lld gradients of %lld outputs",
                          pitot_operator_name(kind), (long long)p->chunk, (long long)(kind == PITOT_OP_GGN_MC ? p->draws : 1),
                          (long long)p->outputs);
    return PITOT_OK;
}
