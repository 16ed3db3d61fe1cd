/* factor_gram.c: inner products of the columns of factors. Of a linear layer, v_jm'v_kl = (a_j'a_k + 1) (s_jm's_kl), the 1 for the bias:
   nothing is formed. Of a convolution, the columns themselves, V_jm = S_jm U_j' with U_j the unfolded input, for some input channels at a
   time, and their products. Products go tile by tile, a tile on one thread; with a factor and itself, those on and above the diagonal. */

#include "net/factor.h"

#include "base/alloc.h"
#include "base/blas.h"
#include "base/threads.h"
#include "net/conv.h"
#include "pitot/hot.h"

#include <string.h>

enum { TILE = 288 }; /* about so many rows and columns: packing pays, and little of those on the diagonal is in vain */

typedef struct tiles { /* k += scale (weight[sample, sample] + bias) * (x y'), a tile at a time */
    int64_t depth;
    const pitot_real *x, *y;  /* (a.columns, depth), (b.columns, depth) */
    const pitot_real *weight; /* (a.n, b.n); NULL: 0 */
    double bias, scale;
    int64_t rows, columns, m, l; /* of k; columns of a sample of a, of b */
    int64_t n_rows, n_columns;   /* tiles */
    int upper;
    double *k;
    pitot_real *room; /* (threads, TILE, TILE) */
} tiles;

PITOT_HOT static void add_row(double *k, const pitot_real *product, int64_t n, double by) {
    for (int64_t i = 0; i < n; i++) k[i] += by * (double)product[i];
}

/* Row i of a tile: columns from..to, sample by sample. */
static void add_weighted(const tiles *t, int64_t i, int64_t from, int64_t to, const pitot_real *product) {
    const pitot_real *weight = t->weight ? t->weight + i / t->m * (t->columns / t->l) : NULL;
    for (int64_t j = from, end; j < to; j = end) {
        end = (j / t->l + 1) * t->l < to ? (j / t->l + 1) * t->l : to;
        double by = t->scale * (t->bias + (weight ? (double)weight[j / t->l] : 0));
        add_row(t->k + i * t->columns + j, product + (j - from), end - j, by);
    }
}

static void one_tile(const tiles *t, int64_t p, int64_t q, pitot_real *room) {
    int64_t from = t->rows * p / t->n_rows, to = t->rows * (p + 1) / t->n_rows;
    int64_t left = t->columns * q / t->n_columns, right = t->columns * (q + 1) / t->n_columns, n = right - left;
    blas_gemm(0, 1, to - from, n, t->depth, 1, t->x + from * t->depth, t->depth, t->y + left * t->depth, t->depth, 0, room, n);
    for (int64_t i = from; i < to; i++) {
        int64_t begin = t->upper && i > left ? i : left;
        if (begin < right) add_weighted(t, i, begin, right, room + (i - from) * n + begin - left);
    }
}

static void some_tiles(void *job, int64_t begin, int64_t end, int thread) {
    const tiles *t = job;
    int64_t i = 0;
    for (int64_t p = 0; p < t->n_rows; p++)
        for (int64_t q = t->upper ? p : 0; q < t->n_columns; q++, i++)
            if (i >= begin && i < end) one_tile(t, p, q, t->room + thread * TILE * TILE);
}

static void run_tiles(tiles *t, int threads) {
    int64_t n = t->upper ? t->n_rows * (t->n_rows + 1) / 2 : t->n_rows * t->n_columns;
    if (t->depth > 0) threads_run(threads, n, some_tiles, t);
}

/* ---- what a pair of factors needs ---- */

typedef struct pair {
    const factor *a, *b;
    tiles t;
    pitot_real *inputs, *weight;  /* of linear layers: (a.n + b.n, in), (a.n, b.n) */
    pitot_real *chunk, *unfolded; /* of convolutions: columns of a, of b; (threads, channels kernel, P) */
    const int64_t *at;
} pair;

static int is_wanted(const int64_t *at, int32_t param) {
    return param >= 0 && at[param] >= 0;
}

static int takes_part(const pair *p, int32_t k) {
    const buffers *b = &p->a->net->buffer[k];
    return p->a->s[k] && p->b->s[k] && (is_wanted(p->at, b->weight) || is_wanted(p->at, b->bias));
}

static int64_t columns_made(const pair *p) {
    return p->a->columns + (p->a == p->b ? 0 : p->b->columns);
}

/* Input channels of a group whose columns make a chunk. */
static int64_t channels_together(const pair *p, const conv *c) {
    int64_t each = columns_made(p) * c->m * (c->k / c->w.channels) * (int64_t)sizeof(pitot_real), n = FACTOR_CHUNK / each;
    return n < 1 ? 1 : n < c->w.channels ? n : c->w.channels;
}

static int64_t most(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static int make_room(pair *p) {
    const pitot_net *net = p->a->net;
    int64_t inputs = 0, chunk = 0, unfolded = 0;
    for (int32_t k = 0; k < net->n_nodes; k++) {
        if (!takes_part(p, k)) continue;
        if (net->node[k].op->square_gradient) {
            conv c = conv_of(&net->node[k]);
            int64_t together = channels_together(p, &c), kernel = c.k / c.w.channels;
            chunk = most(chunk, most(c.m * c.groups, together * c.m * kernel));
            unfolded = most(unfolded, together * kernel * c.p);
        } else inputs = most(inputs, net->node[k].in[0].size);
    }
    p->t.room = mem_alloc(net->threads, TILE * TILE * sizeof(pitot_real));
    p->inputs = mem_alloc(p->a->n + p->b->n, (size_t)inputs * sizeof(pitot_real));
    p->weight = mem_alloc(p->a->n * p->b->n, sizeof(pitot_real));
    p->chunk = mem_alloc(columns_made(p), (size_t)chunk * sizeof(pitot_real));
    p->unfolded = mem_alloc(net->threads, (size_t)unfolded * sizeof(pitot_real));
    return p->t.room && p->inputs && p->weight && p->chunk && p->unfolded;
}

/* ---- layers ---- */

static void linear(pair *p, int32_t k) {
    const factor *a = p->a, *b = p->b;
    const node *d = &a->net->node[k];
    int64_t in = d->in[0].size;
    const pitot_real *x = factor_inputs(a, k, p->inputs), *y = a == b ? x : factor_inputs(b, k, p->inputs + a->n * in);
    int weighs = is_wanted(p->at, a->net->buffer[k].weight);
    if (weighs) blas_gemm(0, 1, a->n, b->n, in, 1, x, in, y, in, 0, p->weight, b->n);
    p->t.weight = weighs ? p->weight : NULL;
    p->t.bias = is_wanted(p->at, a->net->buffer[k].bias);
    p->t.depth = d->out.size;
    p->t.x = a->s[k];
    p->t.y = b->s[k];
    run_tiles(&p->t, a->net->threads);
}

typedef struct forming { /* columns of a factor with respect to some input channels of one group of a convolution */
    const factor *f;
    int32_t k;
    const conv *c;
    int64_t group, channel, channels;
    pitot_real *to; /* (columns, m channels kernel) */
    pitot_real *unfolded;
} forming;

/* V = S U' for each sample: the rows of all its columns in one product, unless other groups' lie between */
static void form_samples(void *job, int64_t begin, int64_t end, int thread) {
    const forming *f = job;
    const conv *c = f->c;
    const node *d = &f->f->net->node[f->k];
    window w = c->w;
    int64_t depth = f->channels * (c->k / w.channels), plane = w.in[0] * w.in[1], m = f->f->m;
    pitot_real *u = f->unfolded + thread * depth * c->p;
    w.channels = f->channels;
    for (int64_t j = begin; j < end; j++) {
        span s = walk_span(f->f->net, f->k, f->f->sample[j], 1, 0);
        window_unfold(&w, s.x[0] + (f->group * c->w.channels + f->channel) * plane, u, c->p);
        const pitot_real *from = f->f->s[f->k] + j * m * d->out.size + f->group * c->m * c->p;
        pitot_real *to = f->to + j * m * c->m * depth;
        int64_t together = c->groups == 1 ? m : 1;
        for (int64_t i = 0; i < m; i += together)
            blas_gemm(0, 1, together * c->m, depth, c->p, 1, from + i * d->out.size, c->p, u, c->p, 0, to + i * c->m * depth,
                      depth);
    }
}

static void multiply_chunk(pair *p, int64_t depth) {
    p->t.depth = depth;
    p->t.weight = NULL;
    p->t.bias = 1;
    p->t.x = p->chunk;
    p->t.y = p->a == p->b ? p->chunk : p->chunk + p->a->columns * depth;
    run_tiles(&p->t, p->a->net->threads);
}

static void conv_weight(pair *p, int32_t k, const conv *c) {
    int64_t together = channels_together(p, c), kernel = c->k / c->w.channels;
    for (int64_t i = 0, n; i < c->groups * c->w.channels; i += n) {
        int64_t left = c->w.channels - i % c->w.channels;
        n = left < together ? left : together;
        int64_t depth = n * c->m * kernel;
        forming f = { p->a, k, c, i / c->w.channels, i % c->w.channels, n, p->chunk, p->unfolded };
        threads_run(p->a->net->threads, p->a->n, form_samples, &f);
        f.f = p->b;
        f.to += p->a->columns * depth;
        if (p->a != p->b) threads_run(p->a->net->threads, p->b->n, form_samples, &f);
        multiply_chunk(p, depth);
    }
}

PITOT_HOT static void sum_positions(const pitot_real *s, int64_t rows, int64_t positions, pitot_real *to) {
    for (int64_t i = 0; i < rows; i++, s += positions) {
        double sum = 0;
        for (int64_t j = 0; j < positions; j++) sum += (double)s[j];
        to[i] = (pitot_real)sum;
    }
}

static void conv_bias(pair *p, int32_t k, const conv *c) {
    int64_t depth = c->groups * c->m;
    sum_positions(p->a->s[k], p->a->columns * depth, c->p, p->chunk);
    if (p->a != p->b) sum_positions(p->b->s[k], p->b->columns * depth, c->p, p->chunk + p->a->columns * depth);
    multiply_chunk(p, depth);
}

static void one_layer(pair *p, int32_t k) {
    const pitot_net *net = p->a->net;
    if (!net->node[k].op->square_gradient) {
        linear(p, k);
        return;
    }
    conv c = conv_of(&net->node[k]);
    if (is_wanted(p->at, net->buffer[k].weight)) conv_weight(p, k, &c);
    if (is_wanted(p->at, net->buffer[k].bias)) conv_bias(p, k, &c);
}

int32_t factor_product(const factor *a, const factor *b, const int64_t *at, double *k) {
    pair p = { .a = a, .b = b, .at = at };
    if (a->columns == 0 || b->columns == 0) return PITOT_OK;
    p.t = (tiles){ .scale = a->scale * b->scale,
                   .rows = a->columns,
                   .columns = b->columns,
                   .m = a->m,
                   .l = b->m,
                   .n_rows = (a->columns + TILE - 1) / TILE,
                   .n_columns = (b->columns + TILE - 1) / TILE,
                   .upper = a == b,
                   .k = k };
    int ready = make_room(&p);
    for (int32_t i = 0; ready && i < a->net->n_nodes; i++)
        if (takes_part(&p, i)) one_layer(&p, i);
    void *const blocks[] = { p.t.room, p.inputs, p.weight, p.chunk, p.unfolded };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) mem_free(blocks[i]);
    return ready ? PITOT_OK : PITOT_ENOMEM;
}
