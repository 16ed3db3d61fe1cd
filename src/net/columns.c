/* columns.c: the way down of several vectors to a sample, the columns of a root of its outputs' Hessian, and the sum of the squares of what
   parameters get (Dangel, Kunstner, Hennig 2020, "BackPACK", DiagGGN). A chunk of samples goes down at a time, at most COLUMNS columns of
   each: whole-batch ops take all its rows at once, sample-by-sample segments one span of samples through all their nodes, on threads, in
   room that only the thread's spans share. A parameter that is used once to a sample gets one product of squares at the end. Or, instead of
   squares, what comes back to nodes with parameters is handed out as it is. */

#include "pitot/hot.h"
#include "base/alloc.h"
#include "base/threads.h"
#include "net/net.h"

#include <string.h>

enum { ROWS = 384 }; /* (sample, column) pairs in a chunk, if the batch has so many: enough for BLAS, few enough for the cache */

typedef struct place { /* of a node */
    pitot_real *d;     /* gradients: (rows, *out), or, local, (threads, COLUMNS, *out); NULL where dy is */
    pitot_real *q;     /* (batch, *out): sums over columns of squares; NULL unless the node's parameters are used once */
    int local;         /* nobody outside the node's own segment reads or writes them */
    int owns_d;
} place;

struct columns_room {
    int64_t rows;
    place *place;        /* (nodes) */
    pitot_real *squares; /* (n_squares) of squares_sum */
    pitot_real *scratch; /* (threads, scratch + spill) */
    int64_t n_squares, n_scratch, n_spill;
};

/* ---- room ---- */

static int32_t segment_of(const pitot_net *net, int32_t k) {
    int32_t i = 0;
    while (net->segment[i].end <= k) i++;
    return i;
}

static int32_t owner_of(const pitot_net *net, int32_t k) {
    while (!net->buffer[k].owns_y) k = net->node[k].input[0];
    return k;
}

/* Whether all that lies where node k's gradient does stays in one sample-by-sample segment. */
static int is_local(const pitot_net *net, int32_t k) {
    int32_t own = segment_of(net, k);
    if (net->segment[own].whole_batch || owner_of(net, net->n_nodes - 1) == k) return 0;
    for (int32_t j = k + 1; j < net->n_nodes; j++)
        for (int32_t i = 0; net->buffer[j].dy && i < net->node[j].n_inputs; i++) {
            int32_t in = net->node[j].input[i];
            if (in >= 0 && owner_of(net, in) == k && segment_of(net, j) != own) return 0;
        }
    return 1;
}

/* Whether the parameters of node k are used once to a sample, so that squares of gradients are products of squares. */
static int once(const pitot_net *net, int32_t k) {
    return !net->node[k].op->square_gradient && (net->buffer[k].weight >= 0 || net->buffer[k].bias >= 0);
}

static int make_place(pitot_net *net, columns_room *r, int32_t k) {
    const node *n = &net->node[k];
    place *p = &r->place[k];
    size_t size = (size_t)n->out.size * sizeof(pitot_real);
    if (!net->buffer[k].dy) return 1;
    p->owns_d = net->buffer[k].owns_y;
    p->local = is_local(net, owner_of(net, k));
    p->d = !p->owns_d ? r->place[n->input[0]].d : mem_alloc(p->local ? net->threads * COLUMNS : r->rows, size);
    if (once(net, k)) p->q = mem_alloc(net->batch, size);
    return p->d && (p->q || !once(net, k));
}

static int64_t most(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static void count_scratch(const pitot_net *net, columns_room *r, int32_t k) {
    const node *n = &net->node[k];
    int64_t times = n->op->flags & OP_WHOLE_BATCH ? r->rows : COLUMNS, spill = 0;
    for (int32_t i = 0; i < n->n_inputs; i++)
        if (net->buffer[k].adds[i]) spill += n->in[i].size * times;
    r->n_spill = most(r->n_spill, spill);
    r->n_scratch = most(r->n_scratch, n->columns_scratch);
    if (once(net, k)) r->n_squares = most(r->n_squares, squares_room(net->batch, n->in[0].size, n->out.size));
}

static int make_room(pitot_net *net) {
    columns_room *r = net->columns = mem_alloc(1, sizeof *r);
    if (!r) return 0;
    r->rows = net->batch * COLUMNS < ROWS ? net->batch * COLUMNS : ROWS;
    r->place = mem_alloc(net->n_nodes, sizeof *r->place);
    for (int32_t k = 0; k < net->n_nodes; k++) {
        if (!r->place || !make_place(net, r, k)) return 0;
        count_scratch(net, r, k);
    }
    int64_t line = 64 / (int64_t)sizeof(pitot_real);
    r->n_scratch = (r->n_scratch + line - 1) / line * line;
    r->n_spill = (r->n_spill + line - 1) / line * line;
    r->squares = mem_alloc(r->n_squares, sizeof(pitot_real));
    r->scratch = mem_alloc(net->threads, (size_t)(r->n_scratch + r->n_spill) * sizeof(pitot_real));
    return r->squares && r->scratch;
}

void columns_free(pitot_net *net) {
    columns_room *r = net->columns;
    if (!r) return;
    for (int32_t k = 0; r->place && k < net->n_nodes; k++) {
        if (r->place[k].owns_d) mem_free(r->place[k].d);
        mem_free(r->place[k].q);
    }
    mem_free(r->place);
    mem_free(r->squares);
    mem_free(r->scratch);
    mem_free(r);
    net->columns = NULL;
}

int32_t columns_prepare(pitot_net *net) {
    if (net->columns || make_room(net)) return PITOT_OK;
    columns_free(net);
    return PITOT_ENOMEM;
}

/* ---- a chunk ---- */

typedef struct chunk { /* samples from..from+n, columns first..first+columns of each */
    pitot_net *net;
    const roots *roots;
    pitot_real *out; /* NULL: squares are not wanted */
    int64_t from, n, first, columns;
    int32_t lowest; /* node at which the way ends */
    const segment *segment;
    int32_t k; /* the node whose squares are summed */
} chunk;

/* Gradients of node k's outputs from sample `sample` on, as thread `thread` sees them; NULL: nobody wants them. */
static pitot_real *gradient_at(const chunk *c, int32_t k, int64_t sample, int thread) {
    if (k < c->lowest || !c->net->columns->place[k].d) return NULL;
    const place *p = &c->net->columns->place[k];
    int64_t row = p->local ? thread * COLUMNS : (sample - c->from) * c->columns;
    return p->d + row * c->net->node[k].out.size;
}

static void fill_roots(void *job, int64_t begin, int64_t end, int thread) {
    const chunk *c = job;
    const pitot_net *net = c->net;
    int64_t size = net->node[net->n_nodes - 1].out.size;
    const pitot_real *f = net->buffer[net->n_nodes - 1].y;
    (void)thread;
    for (int64_t k = c->from + begin; k < c->from + end; k++) {
        pitot_real *s = gradient_at(c, net->n_nodes - 1, k, 0);
        draw_key key = { c->roots->seed, k };
        size_t bytes = (size_t)(c->columns * size) * sizeof *s;
        if (c->roots->given) memcpy(s, c->roots->given + (k * c->roots->n + c->first) * size, bytes);
        else if (c->roots->drawn) net->loss->draw(size, f + k * size, &key, c->first, c->first + c->columns, s);
        else net->loss->root(size, f + k * size, c->first, c->first + c->columns, s);
    }
}

/* ---- a node ---- */

PITOT_HOT static void add_to(pitot_real *to, const pitot_real *from, int64_t n) {
    for (int64_t i = 0; i < n; i++) to[i] += from[i];
}

PITOT_HOT static void add_squares(pitot_real *to, const pitot_real *from, int64_t rows, int64_t n) {
    for (; rows > 0; rows--, from += n)
        for (int64_t i = 0; i < n; i++) to[i] += from[i] * from[i];
}

PITOT_HOT static void square(pitot_real *to, const pitot_real *from, int64_t n) {
    for (int64_t i = 0; i < n; i++) to[i] = from[i] * from[i];
}

/* q = squares of the first columns, or + those of others */
static void square_rows(void *job, int64_t begin, int64_t end, int thread) {
    const chunk *c = job;
    int64_t size = c->net->node[c->k].out.size;
    (void)thread;
    for (int64_t k = c->from + begin; k < c->from + end; k++) {
        pitot_real *q = c->net->columns->place[c->k].q + k * size, *dy = gradient_at(c, c->k, k, 0);
        int first = c->first == 0;
        if (first) square(q, dy, size);
        add_squares(q, dy + first * size, c->columns - first, size);
    }
}

/* Where thread `thread` sums a parameter's squares. */
static pitot_real *sums_of(const pitot_net *net, int32_t param, int thread, pitot_real *out) {
    if (thread == 0) return out + net->flat[param];
    return net->sums + (thread - 1) * net->local + (net->param[param].grad - net->gradient);
}

/* dx of a sample's columns, one after another: each is a batch of one. */
static void one_by_one(const chunk *c, const node *d, span *s) {
    span one = *s;
    one.n = 1;
    for (int64_t i = 0; i < s->n * c->columns; i++) {
        int64_t k = i / c->columns;
        for (int32_t j = 0; j < d->n_inputs; j++) {
            one.x[j] = s->x[j] + k * d->in[j].size;
            one.dx[j] = s->dx[j] ? s->dx[j] + i * d->in[j].size : NULL;
        }
        one.y = s->y + k * d->out.size;
        one.dy = s->dy + i * d->out.size;
        one.kept = (unsigned char *)s->kept + k * d->kept;
        one.sample = s->sample + k;
        d->op->backward(d, &one);
    }
}

/* The product with the weight takes all rows at once. */
static void all_rows(const chunk *c, const node *d, span *s) {
    s->n *= c->columns;
    s->dweight = s->dbias = NULL;
    if (s->dx[0]) d->op->backward(d, s);
}

static void go_down(chunk *c, int32_t k, span *s, int thread) {
    const pitot_net *net = c->net;
    const node *d = &net->node[k];
    const buffers *b = &net->buffer[k];
    int64_t rows = s->n * c->columns;
    if (d->op->square_gradient) {
        s->scratch = net->columns->scratch + thread * (net->columns->n_scratch + net->columns->n_spill);
        s->columns = c->columns;
        if (c->out && b->weight >= 0) s->dweight = sums_of(net, b->weight, thread, c->out);
        if (c->out && b->bias >= 0) s->dbias = sums_of(net, b->bias, thread, c->out);
        d->op->square_gradient(d, s);
    } else if (once(net, k)) {
        c->k = k;
        if (c->out) threads_run(net->threads, c->n, square_rows, c);
        all_rows(c, d, s);
    } else if (d->op->backward) one_by_one(c, d, s);
    else if (b->owns_y && s->dx[0]) memcpy(s->dx[0], s->dy, (size_t)(rows * d->out.size) * sizeof *s->dy);
}

static void visit(chunk *c, int32_t k, int64_t sample, int64_t n, int thread) {
    const pitot_net *net = c->net;
    const node *d = &net->node[k];
    const columns_room *r = net->columns;
    if (!net->buffer[k].dy || k < c->lowest) return;
    span s = walk_span(net, k, sample, n, thread);
    pitot_real *spill = r->scratch + thread * (r->n_scratch + r->n_spill) + r->n_scratch;
    int64_t rows = n * c->columns;
    s.dy = gradient_at(c, k, sample, thread);
    for (int32_t i = 0; i < d->n_inputs; i++) {
        s.dx[i] = gradient_at(c, d->input[i], sample, thread);
        if (!s.dx[i] || !net->buffer[k].adds[i]) continue;
        s.dx[i] = spill;
        spill += rows * d->in[i].size;
    }
    pitot_real *const *dx = s.dx;
    if (c->roots->sink && (net->buffer[k].weight >= 0 || net->buffer[k].bias >= 0))
        c->roots->sink(c->roots->user, k, &(columns_part){ sample, n, c->first, c->columns, s.dy, thread });
    if (c->out || s.dx[0] || d->n_inputs > 1) go_down(c, k, &s, thread);
    for (int32_t i = 0; i < d->n_inputs; i++)
        if (dx[i] && net->buffer[k].adds[i]) add_to(gradient_at(c, d->input[i], sample, thread), dx[i], rows * d->in[i].size);
}

static void visit_samples(void *job, int64_t begin, int64_t end, int thread) {
    chunk *c = job;
    int64_t together = COLUMNS / c->columns < OP_SAMPLES ? COLUMNS / c->columns : OP_SAMPLES, n;
    if (c->segment->whole_batch) together = end - begin;
    for (int64_t k = begin; k < end; k += n) {
        n = end - k < together ? end - k : together;
        for (int32_t i = c->segment->end - 1; i >= c->segment->begin; i--) visit(c, i, c->from + k, n, thread);
    }
}

static void one_chunk(chunk *c) {
    const pitot_net *net = c->net;
    threads_run(net->threads, c->n, fill_roots, c);
    for (int32_t i = net->n_segments - 1; i >= 0; i--) {
        c->segment = &net->segment[i];
        threads_run(c->segment->whole_batch ? 1 : net->threads, c->n, visit_samples, c);
    }
}

/* ---- the whole ---- */

/* What is added to; products of squares overwrite, as the first of the columns does where they are made of. */
static void clear(pitot_net *net, const roots *r, int64_t from, int64_t n, pitot_real *out) {
    memset(net->sums, 0, (size_t)((net->threads - 1) * net->local) * sizeof *out);
    for (int32_t k = 0; k < net->n_nodes; k++) {
        const int32_t of[] = { net->buffer[k].weight, net->buffer[k].bias };
        int64_t size = net->node[k].out.size;
        pitot_real *q = net->columns->place[k].q;
        if (q && r->n == 0) memset(q + from * size, 0, (size_t)(n * size) * sizeof *q);
        for (int i = 0; !q && i < 2; i++)
            if (of[i] >= 0) memset(out + net->flat[of[i]], 0, (size_t)net->param[of[i]].size * sizeof *out);
    }
}

typedef struct summing {
    pitot_net *net;
    int64_t from, n;
    double scale;
    pitot_real *out;
    int leave; /* 1: weights with a factor */
    int32_t k;
} summing;

PITOT_HOT static void multiply(pitot_real *x, pitot_real by, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] *= by;
}

static void product_of_squares(const summing *j) {
    const pitot_net *net = j->net;
    const node *d = &net->node[j->k];
    const buffers *b = &net->buffer[j->k];
    span s = walk_span(net, j->k, j->from, j->n, 0);
    squares_sum(&(square_sum){ .n = j->n,
                               .din = d->in[0].size,
                               .dout = d->out.size,
                               .a = s.x[0],
                               .q = net->columns->place[j->k].q + j->from * d->out.size,
                               .scale = j->scale,
                               .weight = b->weight >= 0 && !j->leave ? j->out + net->flat[b->weight] : NULL,
                               .bias = b->bias >= 0 ? j->out + net->flat[b->bias] : NULL,
                               .room = net->columns->squares,
                               .threads = net->threads });
}

/* Threads' sums, in their order. */
static void sum_threads(const summing *j, int32_t param) {
    pitot_real *to = j->out + j->net->flat[param];
    for (int t = 1; t < j->net->threads; t++) add_to(to, sums_of(j->net, param, t, j->out), j->net->param[param].size);
    multiply(to, (pitot_real)j->scale, j->net->param[param].size);
}

static void finish(summing *j) {
    const pitot_net *net = j->net;
    for (int32_t k = 0; k < net->n_nodes; k++) {
        const int32_t of[] = { net->buffer[k].weight, net->buffer[k].bias };
        j->k = k;
        if (!net->buffer[k].dy) continue;
        if (once(net, k)) product_of_squares(j);
        for (int i = 0; !once(net, k) && i < 2; i++)
            if (of[i] >= 0) sum_threads(j, of[i]);
    }
}

/* Columns of samples c.from..c.from+c.n, chunk by chunk. */
static void send_down(const chunk *c) {
    int64_t columns = c->roots->n, blocks = (columns + COLUMNS - 1) / COLUMNS,
            widest = blocks ? (columns + blocks - 1) / blocks : 1;
    int64_t samples = c->net->columns->rows / widest, end = c->from + c->n;
    for (int64_t begin = c->from; begin < end; begin += samples)
        for (int64_t i = 0; i < blocks; i++) {
            chunk part = *c;
            part.from = begin;
            part.n = end - begin < samples ? end - begin : samples;
            part.first = columns * i / blocks;
            part.columns = columns * (i + 1) / blocks - part.first;
            one_chunk(&part);
        }
}

static void sum_squares(pitot_net *net, const roots *r, int64_t from, int64_t n, double scale, int leave, pitot_real *out) {
    clear(net, r, from, n, out);
    send_down(&(chunk){ .net = net, .roots = r, .out = out, .from = from, .n = n });
    finish(&(summing){ net, from, n, scale, out, leave, 0 });
}

static double of_each(const roots *r, double scale) {
    return r->drawn ? scale / (double)r->n : scale;
}

void columns_squares(pitot_net *net, const roots *r, int64_t from, int64_t n, double scale, pitot_real *out) {
    sum_squares(net, r, from, n, of_each(r, scale), 0, out);
}

int64_t columns_factors(pitot_net *net, const roots *r, double scale, pitot_real *out, pitot_diagonal_factor *factor) {
    int64_t n = net->last.n, count = 0;
    sum_squares(net, r, 0, n, of_each(r, scale), 1, out);
    for (int32_t k = 0; k < net->n_nodes; k++) {
        const node *d = &net->node[k];
        int32_t weight = net->buffer[k].weight;
        if (!net->buffer[k].dy || !once(net, k) || weight < 0) continue;
        factor[count++] = (pitot_diagonal_factor){ .weight = weight + 1,
                                                   .n = n,
                                                   .din = d->in[0].size,
                                                   .dout = d->out.size,
                                                   .a = walk_span(net, k, 0, n, 0).x[0],
                                                   .q = net->columns->place[k].q,
                                                   .scale = of_each(r, scale) };
    }
    return count;
}

void columns_send(pitot_net *net, const roots *r, int64_t from, int64_t n, int32_t lowest) {
    send_down(&(chunk){ .net = net, .roots = r, .from = from, .n = n, .lowest = lowest });
}

/* ---- kept ---- */

typedef struct keeping {
    const pitot_net *net;
    pitot_real *const *to; /* (n_nodes) */
    int64_t from, columns; /* the first row's sample; of each */
} keeping;

static void keep(void *user, int32_t k, const columns_part *p) {
    const keeping *all = user;
    int64_t size = all->net->node[k].out.size;
    for (int64_t i = 0; all->to[k] && i < p->n; i++) {
        int64_t row = (p->sample - all->from + i) * all->columns + p->first;
        memcpy(all->to[k] + row * size, p->dy + i * p->columns * size, (size_t)(p->columns * size) * sizeof *p->dy);
    }
}

void columns_keep(pitot_net *net, const roots *r, int64_t from, int64_t n, pitot_real *const *to) {
    keeping all = { net, to, from, r->n };
    roots kept = *r;
    int32_t lowest = 0;
    kept.sink = keep;
    kept.user = &all;
    while (lowest < net->n_nodes && !to[lowest]) lowest++;
    if (lowest < net->n_nodes) columns_send(net, &kept, from, n, lowest);
}
