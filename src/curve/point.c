/* point.c: a point from its settings: what they must say, and the room it takes. */

#include "curve/point.h"

#include "base/alloc.h"

#include <string.h>

enum { COLUMNS_TOGETHER = 4 };

/* ---- what was asked for ---- */

static int32_t find_data(pitot_point *p, const pitot_point_config *c, pitot_error *error) {
    int64_t there = c->data->n;
    if (c->first < 0 || c->first >= there || c->samples < 0 || c->samples > there - c->first)
        return pitot_fail(error, PITOT_EINVAL, "samples: %lld from %lld on are asked for; the data set has %lld, from 0 on",
                          (long long)c->samples, (long long)c->first, (long long)there);
    p->data = c->data;
    p->first = c->first;
    p->samples = c->samples ? c->samples : there - c->first;
    return pitot_net_fits(p->net, c->data, "net", error);
}

static int32_t find_batch(pitot_point *p, const pitot_net_batch *b, pitot_error *error) {
    int classes = p->net->loss->classes;
    if (b->n < 1 || !b->x || (classes ? !b->classes : !b->targets))
        return pitot_fail(error, PITOT_EINVAL, "batch: it needs at least one sample, with %s", classes ? "classes" : "targets");
    if (classes && !loss_classes_good(b->classes, b->n, p->outputs))
        return pitot_fail(error, PITOT_EINVAL, "batch: a class is not in 0..%lld", (long long)p->outputs - 1);
    p->samples = b->n;
    p->batch = *b;
    return PITOT_OK;
}

static int32_t find_net(pitot_point *p, const pitot_point_config *c, pitot_error *error) {
    int64_t values;
    if (!c->net) return pitot_fail(error, PITOT_EINVAL, "net: there is none");
    if (c->net->batch == 0)
        return pitot_fail(error, PITOT_EORDER,
                          "the net has no room for a batch yet; call pitot_net_prepare and load weights first");
    p->net = c->net;
    p->outputs = c->net->node[c->net->n_nodes - 1].out.size;
    p->chunk = c->net->batch;
    p->bed = c->net->theta;
    p->draws = c->draws ? c->draws : 1;
    p->columns = c->columns ? c->columns : COLUMNS_TOGETHER;
    if (p->draws < 1 || p->columns < 1 || __builtin_mul_overflow(p->draws, p->outputs, &values) || values > INT64_MAX / 64)
        return pitot_fail(error, PITOT_EINVAL, "draws: %lld, columns: %lld; each must be 1 or more, and fit memory",
                          (long long)c->draws, (long long)c->columns);
    if (!c->data == !c->batch)
        return pitot_fail(error, PITOT_EINVAL, "samples: give either a data set or a batch%s", c->data ? ", not both" : "");
    return PITOT_OK;
}

/* ---- room ---- */

static int make_samples(pitot_point *p) {
    const pitot_net *net = p->net;
    p->ids = mem_alloc(p->chunk, sizeof *p->ids);
    if (!p->data) return p->ids != NULL;
    int64_t n = p->samples < p->chunk ? p->samples : p->chunk;
    p->x = mem_alloc(n, (size_t)net->input.size * sizeof *p->x);
    p->classes = mem_alloc(n, sizeof *p->classes);
    if (!net->loss->classes) p->targets = mem_alloc(n, (size_t)p->outputs * sizeof *p->targets);
    p->batch = (pitot_net_batch){ .struct_size = sizeof p->batch, .x = p->x, .classes = p->classes, .targets = p->targets };
    return p->ids && p->x && p->classes && (p->targets || net->loss->classes);
}

static int make_vectors(pitot_point *p) {
    int many = !one_chunk(p);
    if (!many) p->columns = 1;
    if (!p->whole) p->v = mem_alloc(p->net->size, sizeof *p->v);
    if (!p->whole || many) p->out = mem_alloc(p->net->size, sizeof *p->out);
    if (many) p->sum = mem_alloc(p->columns, (size_t)p->size * sizeof *p->sum);
    return (p->v || p->whole) && (p->out || (p->whole && !many)) && (p->sum || !many);
}

static int32_t make(pitot_point *p, const pitot_point_config *c, pitot_error *error) {
    int32_t status = find_net(p, c, error);
    if (!status) status = c->data ? find_data(p, c, error) : find_batch(p, c->batch, error);
    if (status) return status;
    p->in = mem_alloc(p->net->n_params, 1);
    p->only = mem_alloc(p->net->n_nodes, 1);
    if (!p->in || !p->only) return pitot_fail(error, PITOT_ENOMEM, "no memory for a point");
    status = group_find(p, c->group, error);
    if (!status) status = group_check_weights(p, error);
    if (status) return status;
    p->seed = c->seed;
    p->progress = c->progress;
    p->user = c->user;
    p->batch.training = 0;
    if (make_samples(p) && make_vectors(p)) return PITOT_OK;
    return pitot_fail(error, PITOT_ENOMEM, "no memory for a point: chunks of %lld samples, %lld parameters, %lld vectors at once",
                      (long long)p->chunk, (long long)p->size, (long long)p->columns);
}

pitot_point *pitot_point_new(const pitot_point_config *config, pitot_error *error) {
    pitot_point_config c = { 0 };
    size_t theirs = !config ? 0 : config->struct_size < sizeof c ? config->struct_size : sizeof c;
    if (theirs) memcpy(&c, config, theirs);
    pitot_point *p = mem_alloc(1, sizeof *p);
    if (!p) return pitot_fail(error, PITOT_ENOMEM, "no memory for a point"), NULL;
    p->passes = -1;
    if (!make(p, &c, error)) return p;
    pitot_point_free(p);
    return NULL;
}

void pitot_point_free(pitot_point *p) {
    if (!p) return;
    if (p->net && p->passes >= 0 && p->net->theta == p->bed) chunk_forget(p);
    void *const blocks[] = { p->in, p->only, p->x, p->targets, p->classes, p->ids, p->v, p->out, p->sum, p->df, p->drawn };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) mem_free(blocks[i]);
    within_free(p->within);
    mem_free(p);
}

/* ---- what it is ---- */

int64_t pitot_point_size(const pitot_point *p) {
    return p->size;
}

int64_t pitot_point_samples(const pitot_point *p) {
    return p->samples;
}

int64_t pitot_point_outputs(const pitot_point *p) {
    return p->outputs;
}

const pitot_error *pitot_point_error(const pitot_point *p) {
    return &p->error;
}

void pitot_point_changed(pitot_point *p) {
    p->passes = -1;
    p->without = 0;
    p->changed = 1;
}
