/* point_reduced.c: see reduced.h. The net of the products is the point's own with other linear layers: a copy of the struct, whose passes, buffers
   and room are those of the original. */

#include "curve/check.h"
#include "curve/point.h"
#include "curve/point_within.h"
#include "curve/reduced.h"

#include "base/alloc.h"
#include "base/blas.h"
#include "base/threads.h"
#include "pitot/probe.h"

#include <limits.h>
#include <math.h>
#include <string.h>

struct within {
    int32_t n_layers;
    slim *layer;   /* (n_layers), in the order of the net's parameters */
    node *nodes;   /* of the net, with these in place of theirs */
    int64_t *flat; /* (n_params): where each begins in vectors of m values */
    int64_t m;
    reduced of[POINT_KINDS];
};

static const double WORTH = 4; /* products whose savings a basis may cost */

/* ---- which layers ---- */

static int moves(const pitot_net *net, int32_t k) {
    return k >= 0 && net->buffer[k].dy;
}

/* Whether layer k is a linear one, and has a basis that costs few products of what it spares, in multiplications. */
static int pays(const pitot_point *p, int32_t k) {
    const pitot_net *net = p->net;
    const node *n = &net->node[k];
    if (strcmp(n->op->name, "linear") != 0 || !net->buffer[k].dy) return 0;
    double r = (double)p->samples, din = (double)n->in[0].size, dout = (double)n->out.size;
    int inner = moves(net, n->input[0]);
    double spared = inner ? 4 * r * din * dout - r * r * (4 * dout + 5 * din) : 2 * r * dout * (din - r);
    return r < din && (!inner || r < dout) && din <= INT_MAX && 2 * r * r * (din + (inner ? dout : 0)) <= WORTH * spared;
}

/* ---- their bases ---- */

static const pitot_real *inputs_of(const pitot_net *net, int32_t k) {
    int32_t from = net->node[k].input[0];
    return from < 0 ? net->last.x : net->buffer[from].y;
}

typedef struct along_job {
    int64_t r, n;
    const double *rows, *basis;
    double *along;
} along_job;

/* On one thread, so that bits do not depend on BLAS's. */
static void along_basis(void *job, int64_t begin, int64_t end, int thread) {
    const along_job *j = job;
    (void)end;
    (void)thread;
    if (begin == 0) blas_gemm_double(0, 1, j->r, j->r, j->n, 1, j->rows, j->n, j->basis, j->n, 0, j->along, j->r);
}

/* *q (r,n): an orthonormal basis of the rows of a (r,n), *x (r,r): these along it. 0: no memory. */
static int make_basis(int64_t r, int64_t n, const pitot_real *a, pitot_real **q, pitot_real **x) {
    double *basis = mem_alloc(r, (size_t)n * sizeof *basis), *rows = mem_alloc(r, (size_t)n * sizeof *rows),
           *along = mem_alloc(r, (size_t)r * sizeof *along), *work = mem_alloc(blas_orthonormal_rows_work(r), sizeof *work);
    *q = mem_alloc(r, (size_t)n * sizeof **q);
    *x = mem_alloc(r, (size_t)r * sizeof **x);
    int good = basis && rows && along && work && *q && *x;
    for (int64_t i = 0; i < r * n && good; i++) basis[i] = rows[i] = (double)a[i];
    good = good && !blas_orthonormal_rows(r, n, basis, work);
    if (good) threads_run(2, 2, along_basis, &(along_job){ r, n, rows, basis, along });
    for (int64_t i = 0; i < r * n && good; i++) (*q)[i] = (pitot_real)basis[i];
    for (int64_t i = 0; i < r && good; i++)
        for (int64_t j = 0; j <= i; j++)
            (*x)[i * r + j] = (pitot_real)along[i * r + j]; /* row i lies in the span of the first i + 1 */
    mem_free(basis);
    mem_free(rows);
    mem_free(along);
    mem_free(work);
    return good;
}

static int make_slim(slim *w, const pitot_net *net, int32_t k, int64_t r) {
    *w = (slim){ .node = k, .din = net->node[k].in[0].size, .dout = net->node[k].out.size, .r = r };
    if (!make_basis(r, w->din, inputs_of(net, k), &w->q, &w->a)) return 0;
    if (!moves(net, net->node[k].input[0])) return 1;
    if (!make_basis(r, w->dout, net->buffer[k].dy, &w->u, &w->g)) return 0;
    w->at_q = mem_alloc(r, (size_t)r * sizeof *w->at_q);
    w->ux = mem_alloc(r, (size_t)r * sizeof *w->ux);
    w->rest = mem_alloc(r, (size_t)w->din * sizeof *w->rest);
    w->s = mem_alloc(r, (size_t)w->din * sizeof *w->s);
    return w->at_q && w->ux && w->rest && w->s;
}

static void free_slim(slim *w) {
    void *const blocks[] = { w->q, w->u, w->a, w->g, w->at_q, w->ux, w->rest, w->s };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) mem_free(blocks[i]);
}

/* ---- the net ---- */

static slim *slim_of(const struct within *w, const pitot_net *net, int32_t param) {
    for (int32_t i = 0; i < w->n_layers; i++)
        if (net->buffer[w->layer[i].node].weight == param) return &w->layer[i];
    return NULL;
}

static int make_net(struct within *w, const pitot_net *net) {
    w->nodes = mem_alloc(net->n_nodes, sizeof *w->nodes);
    w->flat = mem_alloc(net->n_params, sizeof *w->flat);
    if (!w->nodes || !w->flat) return 0;
    memcpy(w->nodes, net->node, (size_t)net->n_nodes * sizeof *w->nodes);
    for (int32_t i = 0; i < w->n_layers; i++) {
        w->nodes[w->layer[i].node].op = &slim_op;
        w->nodes[w->layer[i].node].attributes = &w->layer[i];
    }
    for (int32_t i = 0; i < net->n_params; i++) {
        slim *s = slim_of(w, net, i);
        w->flat[i] = w->m;
        w->m += s ? slim_size(s) : net->param[i].size;
    }
    return 1;
}

static int make(struct within *w, pitot_point *p) {
    const pitot_net *net = p->net;
    w->layer = mem_alloc(net->n_nodes, sizeof *w->layer);
    if (!w->layer || chunk_begin(p) || chunk_pass(p, 0, 1)) return 0;
    for (int32_t k = 0; k < net->n_nodes; k++)
        if (pays(p, k) && !make_slim(&w->layer[w->n_layers++], net, k, p->samples)) return 0;
    return w->n_layers > 0 && make_net(w, net) && 3 * (w->m + 1) <= 2 * p->size;
}

void within_free(struct within *w) {
    if (!w) return;
    for (int32_t i = 0; i < w->n_layers; i++) free_slim(&w->layer[i]);
    mem_free(w->layer);
    mem_free(w->nodes);
    mem_free(w->flat);
    mem_free(w);
}

static struct within *within_new(pitot_point *p) {
    struct within *w = one_chunk(p) && p->whole ? mem_alloc(1, sizeof *w) : NULL;
    if (!w || make(w, p)) return w;
    within_free(w);
    return NULL;
}

/* ---- products ---- */

static int32_t one_product(const reduced *r, const pitot_real *x, pitot_real *y) {
    pitot_point *p = r->point;
    int curved = r->kind == PITOT_OP_HESSIAN;
    int32_t status = chunk_begin(p);
    if (!status && p->changed)
        status = pitot_fail(&p->error, PITOT_EORDER, "%s: weights or samples changed under a solver", pitot_operator_name(r->kind));
    if (!status) status = chunk_pass(p, 0, 1);
    if (status) return status;
    pitot_net net = *p->net;
    net.node = p->within->nodes;
    net.flat = p->within->flat;
    tangents_clear(&net, y);
    tangents_up(&net, NULL, x);
    point_turn(p, r->kind);
    tangents_down(&net, NULL, curved ? x : NULL, y);
    if (isfinite(pitot_sum_squares(y, r->m))) return chunk_progress(p, p->n);
    return pitot_fail(&p->error, PITOT_EINVAL, "%s: a product is not finite; a weight, a sample or the vector is not, or too large",
                      pitot_operator_name(r->kind));
}

static int32_t apply_within(void *self, const pitot_real *x, pitot_real *y, int64_t k) {
    const reduced *r = self;
    int32_t status = PITOT_OK;
    for (int64_t j = 0; j < k && !status; j++) status = one_product(r, x + j * r->m, y + j * r->m);
    return status;
}

static int32_t apply_and_rest(void *self, const pitot_real *x, pitot_real *y, int64_t k) {
    const reduced *r = self;
    int32_t status = PITOT_OK;
    for (int64_t j = 0; j < k && !status; j++) {
        status = one_product(r, x + j * (r->m + 1), y + j * (r->m + 1));
        y[j * (r->m + 1) + r->m] = 0;
    }
    return status;
}

static const reduced *fill(const pitot_linop *linop, const point_op *o) {
    struct within *w = o->point->within;
    reduced *r = &w->of[o->kind - 1];
    *r = (reduced){ .op = *linop, .and_rest = *linop, .m = w->m, .point = o->point, .kind = o->kind };
    r->op.struct_size = r->and_rest.struct_size = sizeof *linop;
    r->op.n = w->m;
    r->op.apply = apply_within;
    r->and_rest.n = w->m + 1;
    r->and_rest.apply = apply_and_rest;
    r->op.self = r->and_rest.self = r;
    r->op.checked = r->and_rest.checked = !check_is_due(linop);
    return r;
}

const reduced *reduced_of(const pitot_linop *linop) {
    const point_op *o = linop ? point_op_of(linop) : NULL;
    pitot_point *p = o ? o->point : NULL;
    if (!o || o->blocks || !p->net->buffer[p->net->n_nodes - 1].dy) return NULL;
    if (p->changed) {
        within_free(p->within);
        p->within = NULL;
        p->changed = 0;
    }
    if (!p->within && !p->without) {
        p->within = within_new(p);
        p->without = !p->within;
    }
    return p->within ? fill(linop, o) : NULL;
}

/* ---- vectors ---- */

/* Parameters as they are, layers by themselves. */
static void turn(const reduced *r, const pitot_real *x, pitot_real *y, int up) {
    const pitot_net *net = r->point->net;
    const struct within *w = r->point->within;
    for (int32_t i = 0; i < net->n_params; i++) {
        const slim *s = slim_of(w, net, i);
        int64_t all = net->flat[i], small = w->flat[i];
        if (s && up) slim_lift(s, net->threads, x + small, y + all);
        else if (s) slim_restrict(s, net->threads, x + all, y + small);
        else memcpy(y + (up ? all : small), x + (up ? small : all), (size_t)net->param[i].size * sizeof *y);
    }
}

double reduced_restrict(const reduced *r, const pitot_real *x, pitot_real *y) {
    turn(r, x, y, 0);
    double outside = pitot_sum_squares(x, r->point->size) - pitot_sum_squares(y, r->m);
    return outside > 0 ? sqrt(outside) : 0;
}

void reduced_project(const reduced *r, pitot_real *x) {
    const pitot_net *net = r->point->net;
    const struct within *w = r->point->within;
    for (int32_t i = 0; i < net->n_params; i++)
        if (slim_of(w, net, i)) slim_project(slim_of(w, net, i), net->threads, x + w->flat[i]);
}

void reduced_lift(const reduced *r, const pitot_real *x, pitot_real *y) {
    turn(r, x, y, 1);
}
