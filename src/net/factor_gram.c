/* factor_gram.c: inner products of the columns of factors. Of a linear layer, v_jm'v_kl = (a_j'a_k + 1) (s_jm's_kl), the 1 for the bias:
   nothing is formed. Of a convolution, the columns themselves, for some output channels at a time, and their products; or, where its output
   has few positions, what factor_pairs.c makes. Products go tile by tile, a tile on one thread; with a factor and itself, those above the
   diagonal and halves of those on it. */

#include "net/factor_conv.h"

#include "base/alloc.h"
#include "base/blas.h"
#include "base/threads.h"
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
    const pitot_real *x = t->x + from * t->depth, *y = t->y + left * t->depth;
    if (t->upper && p == q) blas_syrk(0, n, t->depth, 1, x, t->depth, 0, room, n);
    else blas_gemm(0, 1, to - from, n, t->depth, 1, x, t->depth, y, t->depth, 0, room, n);
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
    pitot_real *inputs, *weight; /* of linear layers: (a.n + b.n, in), (a.n, b.n) */
    pitot_real *chunk;           /* of convolutions: columns of a, of b, with respect to some output channels */
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

/* Output channels whose columns make a chunk. */
static int64_t channels_together(const pair *p, const conv *c) {
    int64_t each = columns_made(p) * c->k * (int64_t)sizeof(pitot_real), n = FACTOR_CHUNK / each, all = c->groups * c->m;
    return n < 1 ? 1 : n < all ? n : all;
}

static int64_t most(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static int make_room(pair *p) {
    const pitot_net *net = p->a->net;
    int64_t inputs = 0, chunk = 0;
    for (int32_t k = 0; k < net->n_nodes; k++) {
        if (!takes_part(p, k)) continue;
        if (net->node[k].op->square_gradient) {
            conv c = conv_of(&net->node[k]);
            chunk = most(chunk, most(c.m * c.groups, channels_together(p, &c) * c.k));
        } else inputs = most(inputs, net->node[k].in[0].size);
    }
    p->t.room = mem_alloc(net->threads, TILE * TILE * sizeof(pitot_real));
    p->inputs = mem_alloc(p->a->n + p->b->n, (size_t)inputs * sizeof(pitot_real));
    p->weight = mem_alloc(p->a->n * p->b->n, sizeof(pitot_real));
    p->chunk = mem_alloc(columns_made(p), (size_t)chunk * sizeof(pitot_real));
    return p->t.room && p->inputs && p->weight && p->chunk;
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

typedef struct chunk { /* columns of a factor with respect to output channels first..first+channels of a convolution */
    const factor *f;
    int32_t k;
    const forming *how;
    int64_t first, channels;
    pitot_real *to; /* (columns, channels K) */
} chunk;

static void form_samples(void *job, int64_t begin, int64_t end, int thread) {
    const chunk *j = job;
    const factor *f = j->f;
    const conv *c = &j->how->c;
    int64_t out = c->groups * c->m * c->p, plane = c->w.channels * c->w.in[0] * c->w.in[1], depth = j->channels * c->k;
    for (int64_t i = begin; i < end; i++) {
        span s = walk_span(f->net, j->k, f->sample[i], 1, 0);
        for (int64_t channel = j->first; channel < j->first + j->channels; channel++) {
            if (channel == j->first || channel % c->m == 0) form_image(j->how, s.x[0] + channel / c->m * plane, 0, thread);
            pitot_real *to = j->to + i * f->m * depth + (channel - j->first) * c->k;
            for (int64_t m = 0, n; m < f->m; m += n) {
                n = f->m - m < GATHER_ROWS ? f->m - m : GATHER_ROWS;
                const pitot_real *tile = form_channel(j->how, f->s[j->k] + (i * f->m + m) * out + channel * c->p, out, n, thread);
                for (int64_t r = 0; r < n; r++) memcpy(to + (m + r) * depth, tile + r * j->how->ld, (size_t)c->k * sizeof *to);
            }
        }
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

static int conv_weight(pair *p, int32_t k) {
    const pitot_net *net = p->a->net;
    int done = pairs_product(p->a, p->b, k, p->t.scale, p->t.k);
    forming how;
    if (done) return done > 0;
    int ready = form_begin(&how, &net->node[k], net->threads, 1);
    int64_t together = channels_together(p, &how.c), all = how.c.groups * how.c.m;
    for (int64_t i = 0, n; ready && i < all; i += n) {
        n = all - i < together ? all - i : together;
        chunk j = { p->a, k, &how, i, n, p->chunk };
        threads_run(net->threads, p->a->n, form_samples, &j);
        j.f = p->b;
        j.to += p->a->columns * n * how.c.k;
        if (p->a != p->b) threads_run(net->threads, p->b->n, form_samples, &j);
        multiply_chunk(p, n * how.c.k);
    }
    form_end(&how);
    return ready;
}

typedef struct sums { /* of a factor's columns over positions */
    const pitot_real *s;
    int64_t depth, positions;
    pitot_real *to; /* (columns, depth) */
} sums;

PITOT_HOT static void sum_positions(const pitot_real *s, int64_t rows, int64_t positions, pitot_real *to) {
    enum { LANES = 8 };
    for (int64_t i = 0; i < rows; i++, s += positions) {
        double lane[LANES] = { 0 }, sum = 0;
        int64_t j = 0;
        for (; j + LANES <= positions; j += LANES)
            for (int l = 0; l < LANES; l++) lane[l] += (double)s[j + l];
        for (; j < positions; j++) sum += (double)s[j];
        for (int l = 0; l < LANES; l++) sum += lane[l];
        to[i] = (pitot_real)sum;
    }
}

static void sum_columns(void *job, int64_t begin, int64_t end, int thread) {
    const sums *j = job;
    (void)thread;
    sum_positions(j->s + begin * j->depth * j->positions, (end - begin) * j->depth, j->positions, j->to + begin * j->depth);
}

static void conv_bias(pair *p, int32_t k, const conv *c) {
    int64_t depth = c->groups * c->m;
    int threads = p->a->net->threads;
    threads_run(threads, p->a->columns, sum_columns, &(sums){ p->a->s[k], depth, c->p, p->chunk });
    if (p->a != p->b)
        threads_run(threads, p->b->columns, sum_columns, &(sums){ p->b->s[k], depth, c->p, p->chunk + p->a->columns * depth });
    multiply_chunk(p, depth);
}

static int one_layer(pair *p, int32_t k) {
    const pitot_net *net = p->a->net;
    if (!net->node[k].op->square_gradient) {
        linear(p, k);
        return 1;
    }
    conv c = conv_of(&net->node[k]);
    if (is_wanted(p->at, net->buffer[k].bias)) conv_bias(p, k, &c);
    return !is_wanted(p->at, net->buffer[k].weight) || conv_weight(p, k);
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
        if (takes_part(&p, i)) ready = one_layer(&p, i);
    void *const blocks[] = { p.t.room, p.inputs, p.weight, p.chunk };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) mem_free(blocks[i]);
    return ready ? PITOT_OK : PITOT_ENOMEM;
}
