/* factor.c: see factor.h. The way down of columns, kept at each layer. */

#include "net/factor.h"

#include "base/alloc.h"

#include <math.h>
#include <string.h>

static int wants(const pitot_net *net, int32_t k, const unsigned char *wanted) {
    const buffers *b = &net->buffer[k];
    return b->dy && ((b->weight >= 0 && wanted[b->weight]) || (b->bias >= 0 && wanted[b->bias]));
}

static double bytes_of(const factor *f, const unsigned char *wanted) {
    double bytes = 0;
    for (int32_t k = 0; k < f->net->n_nodes; k++)
        if (wants(f->net, k, wanted)) bytes += (double)f->net->node[k].out.size;
    return bytes * (double)f->columns * (double)sizeof(pitot_real);
}

static int make_room(factor *f, const unsigned char *wanted) {
    for (int32_t k = 0; k < f->net->n_nodes; k++) {
        if (!wants(f->net, k, wanted)) continue;
        f->s[k] = mem_alloc(f->columns, (size_t)f->net->node[k].out.size * sizeof(pitot_real));
        if (!f->s[k]) return 0;
    }
    return 1;
}

static int begin(factor *f, pitot_net *net, const int64_t *sample, int64_t n, int64_t m) {
    *f = (factor){ .net = net, .n = n, .m = m, .columns = n * m, .scale = 1 };
    f->sample = mem_alloc(n, sizeof *f->sample);
    f->s = mem_alloc(net->n_nodes, sizeof *f->s);
    for (int64_t j = 0; f->sample && j < n; j++) f->sample[j] = sample ? sample[j] : j;
    return f->sample && f->s;
}

void factor_free(factor *f) {
    for (int32_t k = 0; f->s && k < f->net->n_nodes; k++) mem_free(f->s[k]);
    mem_free(f->s);
    mem_free(f->sample);
    *f = (factor){ 0 };
}

/* Samples from j on that follow each other in the batch. */
static int64_t run_length(const factor *f, int64_t j) {
    int64_t n = 1;
    while (j + n < f->n && f->sample[j + n] == f->sample[j] + n) n++;
    return n;
}

static int32_t go_down(factor *f, const roots *r) {
    pitot_net *net = f->net;
    if (!net->buffer[net->n_nodes - 1].dy || f->columns == 0) return PITOT_OK;
    pitot_real **to = mem_alloc(net->n_nodes, sizeof *to);
    int32_t status = to ? columns_prepare(net) : PITOT_ENOMEM;
    for (int64_t j = 0, n; !status && j < f->n; j += n) {
        n = run_length(f, j);
        for (int32_t k = 0; k < net->n_nodes; k++) to[k] = f->s[k] ? f->s[k] + j * f->m * net->node[k].out.size : NULL;
        columns_keep(net, r, f->sample[j], n, to);
    }
    mem_free(to);
    return status;
}

int32_t factor_new(factor *f, pitot_net *net, const roots *r, const int64_t *sample, int64_t n, const unsigned char *wanted,
                   int64_t memory, pitot_error *error) {
    int ready = begin(f, net, sample, n, r->n);
    double bytes = ready ? bytes_of(f, wanted) : 0;
    if (bytes > (double)memory) {
        factor_free(f);
        return pitot_fail(error, PITOT_EBUDGET, "%lld columns take %.3g MB, %.3g are allowed; use draws, fewer samples or a group",
                          (long long)(n * r->n), bytes / 1e6, (double)memory / 1e6);
    }
    f->scale = 1 / sqrt((double)n * (r->drawn ? (double)r->n : 1));
    int32_t status = ready && make_room(f, wanted) ? go_down(f, r) : PITOT_ENOMEM;
    if (!status) return PITOT_OK;
    factor_free(f);
    return pitot_fail(error, status, "no memory for %lld columns", (long long)(n * r->n));
}

int32_t factor_gradients(factor *f, pitot_net *net, const int64_t *sample, int64_t n, const unsigned char *wanted) {
    if (!begin(f, net, sample, n, 1) || !make_room(f, wanted)) {
        factor_free(f);
        return PITOT_ENOMEM;
    }
    f->scale = (double)net->last.n;
    for (int32_t k = 0; k < net->n_nodes; k++)
        for (int64_t j = 0, size = net->node[k].out.size; f->s[k] && j < n; j++)
            memcpy(f->s[k] + j * size, net->buffer[k].dy + f->sample[j] * size, (size_t)size * sizeof(pitot_real));
    return PITOT_OK;
}

const pitot_real *factor_inputs(const factor *f, int32_t k, pitot_real *to) {
    span s = walk_span(f->net, k, 0, 1, 0);
    int64_t size = f->net->node[k].in[0].size;
    if (run_length(f, 0) == f->n) return s.x[0] + f->sample[0] * size;
    for (int64_t j = 0; j < f->n; j++) memcpy(to + j * size, s.x[0] + f->sample[j] * size, (size_t)size * sizeof *to);
    return to;
}
