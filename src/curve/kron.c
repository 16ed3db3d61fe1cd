/* kron.c: see pitot/kron.h: the blocks of a net, their making, and C as an operator. */

#include "base/alloc.h"
#include "base/blas.h"
#include "curve/kron.h"

#include <math.h>
#include <string.h>

/* ---- blocks ---- */

void pitot_kron_free(pitot_kron *k) {
    if (!k) return;
    for (int64_t i = 0; k->block && i < k->n; i++) {
        kron_block *b = &k->block[i];
        mem_free(b->a);
        mem_free(b->b);
        mem_free(b->ua);
        mem_free(b->ub);
        mem_free(b->va);
        mem_free(b->vb);
        mem_free(b->corrected);
        mem_free(b->sums);
    }
    mem_free(k->block);
    mem_free(k->scratch);
    mem_free(k->work);
    mem_free(k->names);
    mem_free(k->name);
    mem_free(k);
}

typedef struct form { /* of a layer with parameters */
    int is_conv;
    int64_t groups;
    conv geometry;
} form;

static int32_t form_of(const node *n, form *f, pitot_error *error) {
    pitot_capture c = { .kind = 0 };
    if (n->op->capture) n->op->capture(n, &c);
    *f = (form){ .is_conv = c.kind == PITOT_CONV2D, .groups = 1 };
    if (c.kind == PITOT_LINEAR) return PITOT_OK;
    if (!f->is_conv)
        return pitot_fail(error, PITOT_ENOTSUP, "%s: %s has no Kronecker form; take a diagonal for it", n->name, n->op->name);
    f->geometry = conv_of(n);
    f->groups = f->geometry.groups;
    return PITOT_OK;
}

static int is_layer(const pitot_net *net, int32_t k) {
    return net->buffer[k].dy && (net->buffer[k].weight >= 0 || net->buffer[k].bias >= 0);
}

/* The block of one group of node k; `weight`, `bias`: whether it has them. */
static kron_block make_block(const pitot_net *net, int32_t k, const form *f, int64_t group, int weight, int bias) {
    const node *d = &net->node[k];
    const buffers *u = &net->buffer[k];
    kron_block b = { .node = k, .group = (int32_t)group, .weight = -1, .bias = -1, .is_conv = f->is_conv, .geometry = f->geometry };
    b.rows = f->is_conv ? f->geometry.m : d->out.size;
    b.positions = f->is_conv ? f->geometry.p : 1;
    if (weight) {
        b.weight = u->weight;
        b.values = f->is_conv ? f->geometry.k : d->in[0].size;
        b.weight_at = net->flat[u->weight] + group * b.rows * b.values;
    }
    if (bias) {
        b.bias = u->bias;
        b.bias_at = net->flat[u->bias] + group * b.rows;
    }
    b.columns = b.values + (bias ? 1 : 0);
    return b;
}

/* Fills blocks from k->block on, or counts them where that is NULL. */
static int32_t collect(pitot_kron *k, const pitot_kron_config *c, pitot_error *error) {
    const pitot_net *net = c->net;
    k->n = 0;
    for (int32_t i = 0; i < net->n_nodes; i++) {
        int weight = net->buffer[i].weight >= 0, bias = net->buffer[i].bias >= 0, apart = weight && bias && c->separate_bias;
        form f;
        if (!is_layer(net, i)) continue;
        int32_t status = form_of(&net->node[i], &f, error);
        if (status) return status;
        for (int64_t g = 0; g < f.groups; g++) {
            if (k->block) k->block[k->n] = make_block(net, i, &f, g, weight, bias && !apart);
            k->n++;
            if (apart && k->block) k->block[k->n] = make_block(net, i, &f, g, 0, 1);
            k->n += apart;
        }
    }
    return PITOT_OK;
}

/* The net may go before k does. */
static int copy_names(pitot_kron *k, const pitot_net *net) {
    int64_t size = 0, at = 0;
    for (int64_t i = 0; i < k->n; i++) size += (int64_t)strlen(net->node[k->block[i].node].name) + 1;
    k->names = mem_alloc(size, 1);
    k->name = mem_alloc(k->n, sizeof *k->name);
    if (!k->names || !k->name) return 0;
    for (int64_t i = 0; i < k->n; i++) {
        const char *name = net->node[k->block[i].node].name;
        memcpy(k->names + at, name, strlen(name) + 1);
        k->name[i] = k->names + at;
        at += (int64_t)strlen(name) + 1;
    }
    return 1;
}

static int64_t most(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* Of a thread, for the inputs and columns of block b. */
static int64_t scratch_of(const kron_block *b) {
    if (b->is_conv) return 2 * b->columns * b->positions + b->rows * b->positions + b->rows * b->columns;
    return KRON_SAMPLES * (COLUMNS * b->rows + b->rows + 2 * b->columns);
}

static int make_room(pitot_kron *k, const pitot_net *net) {
    for (int64_t i = 0; i < k->n; i++) {
        kron_block *b = &k->block[i];
        b->n_sums = most(b->rows * b->rows, k->corrected ? b->rows * b->columns : 0);
        k->n_scratch = most(k->n_scratch, scratch_of(b));
        k->largest = most(k->largest, b->rows * b->columns);
        b->a = mem_alloc(b->columns, (size_t)b->columns * sizeof *b->a);
        b->b = mem_alloc(b->rows, (size_t)b->rows * sizeof *b->b);
        b->sums = mem_alloc(net->threads, (size_t)b->n_sums * sizeof *b->sums);
        if (!b->a || !b->b || !b->sums) return 0;
    }
    k->scratch = mem_alloc(net->threads, (size_t)k->n_scratch * sizeof *k->scratch);
    k->work = mem_alloc(3, (size_t)k->largest * sizeof *k->work);
    return k->scratch && k->work && copy_names(k, net);
}

/* ---- making ---- */

static int32_t check(const pitot_kron_config *c, pitot_error *error) {
    if (!c || !c->net) return pitot_fail(error, PITOT_EINVAL, "net: there is none");
    if (!c->net->has_gradient) return pitot_fail(error, PITOT_EORDER, "there was no backward pass; call pitot_net_backward first");
    if (c->kind < PITOT_KRON_KFAC || c->kind > PITOT_KRON_INPUT)
        return pitot_fail(error, PITOT_EINVAL, "kind: there are no Kronecker factors %ld", (long)c->kind);
    if (c->sharing != PITOT_KRON_EXPAND && c->sharing != PITOT_KRON_REDUCE)
        return pitot_fail(error, PITOT_EINVAL, "sharing: %ld; 0 expands, 1 reduces", (long)c->sharing);
    if (c->draws < 0) return pitot_fail(error, PITOT_EINVAL, "draws: %lld; at least one is needed", (long long)c->draws);
    if (c->corrected && (c->kind == PITOT_KRON_KFRA || c->kind == PITOT_KRON_INPUT))
        return pitot_fail(error, PITOT_ENOTSUP,
                          "corrected: this kind has no columns to correct with; take KFAC, KFLR or EMPIRICAL");
    return PITOT_OK;
}

static int is_finite(const pitot_real *x, int64_t n) {
    int64_t odd = 0;
    for (int64_t i = 0; i < n; i++) odd += !isfinite(x[i]);
    return odd == 0;
}

static int32_t check_factors(const pitot_kron *k, pitot_error *error) {
    for (int64_t i = 0; i < k->n; i++) {
        const kron_block *b = &k->block[i];
        if (!is_finite(b->a, b->columns * b->columns) || !is_finite(b->b, b->rows * b->rows))
            return pitot_fail(error, PITOT_EHOST, "%s: its factors are not finite; are its weights, and the samples?", k->name[i]);
    }
    return PITOT_OK;
}

static int32_t fill(pitot_kron *k, pitot_error *error) {
    int32_t status = kron_make_factors(k, error);
    if (!status && k->kind == PITOT_KRON_KFRA) status = kron_average(k, error);
    if (!status) status = check_factors(k, error);
    if (!status && k->corrected) status = kron_correct(k);
    if (status) return pitot_fail(error, status, "Kronecker factors: %s", pitot_strerror(status));
    for (int64_t i = 0; i < k->n; i++) {
        mem_free(k->block[i].sums);
        k->block[i].sums = NULL;
    }
    mem_free(k->scratch);
    k->scratch = NULL;
    k->net = NULL;
    return PITOT_OK;
}

static int32_t build(pitot_kron *k, const pitot_kron_config *c, pitot_error *error) {
    k->kind = c->kind;
    k->reduce = c->sharing == PITOT_KRON_REDUCE;
    k->corrected = c->corrected != 0;
    k->net = c->net;
    k->draws = c->draws ? c->draws : 1;
    k->seed = c->seed;
    k->size = c->net->size;
    int32_t status = collect(k, c, error);
    if (status) return status;
    k->block = mem_alloc(k->n, sizeof *k->block);
    if (!k->block) return PITOT_ENOMEM;
    collect(k, c, error);
    return make_room(k, c->net) ? fill(k, error) : PITOT_ENOMEM;
}

pitot_kron *pitot_kron_new(const pitot_kron_config *config, pitot_error *error) {
    if (check(config, error)) return NULL;
    pitot_kron *k = mem_alloc(1, sizeof *k);
    int32_t status = k ? build(k, config, error) : PITOT_ENOMEM;
    if (!status) return k;
    pitot_fail(error, status, "no memory for Kronecker factors");
    pitot_kron_free(k);
    return NULL;
}

int64_t pitot_kron_size(const pitot_kron *k) {
    return k->size;
}

int32_t pitot_kron_factor(const pitot_kron *k, int64_t i, pitot_kron_block *block) {
    if (!k || !block || i < 0 || i >= k->n) return PITOT_EINVAL;
    const kron_block *b = &k->block[i];
    *block = (pitot_kron_block){ .struct_size = sizeof *block,
                                 .name = k->name[i],
                                 .weight = b->weight,
                                 .bias = b->bias,
                                 .group = b->group,
                                 .first_row = b->group * b->rows,
                                 .rows = b->rows,
                                 .columns = b->columns,
                                 .A = b->a,
                                 .B = b->b };
    return PITOT_OK;
}

/* ---- products ---- */

void kron_pack(const kron_block *b, const pitot_real *x, pitot_real *out) {
    for (int64_t i = 0; i < b->rows; i++, out += b->columns) {
        memcpy(out, x + b->weight_at + i * b->values, (size_t)b->values * sizeof *out);
        if (b->bias >= 0) out[b->values] = x[b->bias_at + i];
    }
}

void kron_unpack(const kron_block *b, const pitot_real *in, pitot_real *y) {
    for (int64_t i = 0; i < b->rows; i++, in += b->columns) {
        memcpy(y + b->weight_at + i * b->values, in, (size_t)b->values * sizeof *y);
        if (b->bias >= 0) y[b->bias_at + i] = in[b->values];
    }
}

/* Y = B X A */
static int32_t multiply(void *self, const pitot_real *x, pitot_real *y, int64_t columns) {
    const pitot_kron *k = self;
    pitot_real *in = k->work, *half = in + k->largest, *out = half + k->largest;
    memset(y, 0, (size_t)(columns * k->size) * sizeof *y);
    for (int64_t j = 0; j < columns; j++)
        for (int64_t i = 0; i < k->n; i++) {
            const kron_block *b = &k->block[i];
            kron_pack(b, x + j * k->size, in);
            blas_gemm(0, 0, b->rows, b->columns, b->rows, 1, b->b, b->rows, in, b->columns, 0, half, b->columns);
            blas_gemm(0, 0, b->rows, b->columns, b->columns, 1, half, b->columns, b->a, b->columns, 0, out, b->columns);
            kron_unpack(b, out, y + j * k->size);
        }
    return PITOT_OK;
}

int32_t pitot_kron_operator(pitot_kron *k, pitot_linop *out) {
    static const char *const names[] = { "", "kfac", "kflr", "kfra", "kfac_empirical", "kfac_input" };
    static const char *const corrected[] = { "", "ekfac", "ekflr", "", "ekfac_empirical", "" };
    if (!k || !out) return PITOT_EINVAL;
    *out = (pitot_linop){ .struct_size = sizeof *out,
                          .name = (k->corrected ? corrected : names)[k->kind],
                          .n = k->size,
                          .symmetric = 1,
                          .exact = k->kind != PITOT_KRON_KFAC,
                          .checked = 1,
                          .apply = k->corrected ? kron_multiply_corrected : multiply,
                          .self = k };
    return PITOT_OK;
}
