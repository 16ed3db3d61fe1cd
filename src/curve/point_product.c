/* point_product.c: the operators of a point. All but the Hessian are J' M J with a matrix M of the outputs, sample by sample: tangents up,
   M, tangents down without the terms in which backward itself moves; the Hessian has M of the loss and those terms. */

#include "curve/point.h"

#include "base/threads.h"

#include <string.h>

static const char *const block_names[POINT_KINDS + 1] = { "", "hessian_blocks", "ggn_blocks", "ggn_mc_blocks",
                                                          "empirical_fisher_blocks" };

static const pitot_operator_info operators[POINT_KINDS] = {
    /* in the order of PITOT_OP_... */
    { "hessian", "Hessian of the mean loss, exact", "1/N sum_n d2 l_n", "Pearlmutter 1994, Neural Computation 6" },
    { "ggn", "generalised Gauss-Newton matrix, exact", "1/N sum_n J_n' (d2 l_n / df2) J_n",
      "Schraudolph 2002, Neural Computation 14" },
    { "ggn_mc", "the same from labels drawn from what the net predicts: the Fisher matrix, unbiased",
      "1/(N M) sum_n,m J_n' s_nm s_nm' J_n", "Martens 2020, arXiv 1412.1193" },
    { "empirical_fisher", "second moment of the samples' gradients", "1/N sum_n g_n g_n'",
      "Kunstner, Balles, Hennig 2019, arXiv 1905.12558" },
};

int32_t pitot_operator_get(int64_t i, pitot_operator_info *info) {
    if (i < 0 || i >= POINT_KINDS || !info) return 0;
    *info = operators[i];
    return 1;
}

const char *pitot_operator_name(int32_t kind) {
    return kind >= 1 && kind <= POINT_KINDS ? operators[kind - 1].name : NULL;
}

int32_t pitot_operator_find(const char *name) {
    for (int32_t i = 0; name && i < POINT_KINDS; i++)
        if (strcmp(name, operators[i].name) == 0) return i + 1;
    return 0;
}

/* ---- M ---- */

static const buffers *top(const pitot_point *p) {
    return &p->net->buffer[p->net->n_nodes - 1];
}

typedef struct turn_job {
    const pitot_point *p;
    roots roots;
} turn_job;

/* dft = mean over a sample's roots s of s (s . ft), of the chunk's mean loss */
static void turn_range(void *job, int64_t begin, int64_t end, int thread) {
    const turn_job *j = job;
    const int64_t c = j->p->outputs, m = j->roots.n;
    const double share = 1 / ((double)m * (double)j->p->n);
    (void)thread;
    for (int64_t k = begin; k < end; k++) {
        const pitot_real *ft = top(j->p)->yt + k * c, *s = j->roots.given + k * m * c;
        pitot_real *dft = top(j->p)->dyt + k * c;
        memset(dft, 0, (size_t)c * sizeof *dft);
        for (int64_t i = 0; i < m; i++, s += c) {
            double along = 0;
            for (int64_t l = 0; l < c; l++) along += (double)s[l] * (double)ft[l];
            for (int64_t l = 0; l < c; l++) dft[l] += (pitot_real)(share * along * (double)s[l]);
        }
    }
}

void point_turn(pitot_point *p, int32_t kind) {
    if (kind == PITOT_OP_HESSIAN || kind == PITOT_OP_GGN) {
        tangents_turn(p->net);
        return;
    }
    turn_job j = { p, chunk_roots(p, kind) };
    threads_run(p->n * p->outputs * j.roots.n < 1 << 14 ? 1 : p->net->threads, p->n, turn_range, &j);
}

/* ---- one vector, one chunk ---- */

/* Whether the group has something of node k. */
static int is_in(const pitot_point *p, int32_t k) {
    const buffers *b = &p->net->buffer[k];
    return (b->weight >= 0 && p->in[b->weight]) || (b->bias >= 0 && p->in[b->bias]);
}

/* Which nodes take part if the parameters of node `layer` move, or with -1 the group's. NULL: all of them. */
static const unsigned char *mark(pitot_point *p, int32_t layer) {
    if (layer < 0 && p->whole) return NULL;
    for (int32_t k = 0; k < p->net->n_nodes; k++) p->only[k] = (layer < 0 ? is_in(p, k) : k == layer) ? WALK_PARAMETERS : 0;
    tangents_mark(p->net, p->only);
    return p->only;
}

/* Whether anything of that moves the output. */
static int reaches(const pitot_point *p, const unsigned char *only) {
    return top(p)->dy && (!only || only[p->net->n_nodes - 1]);
}

static void one_part(const point_op *o, const unsigned char *only, const pitot_real *v, pitot_real *out) {
    pitot_point *p = o->point;
    if (!reaches(p, only)) return;
    tangents_up(p->net, only, v);
    point_turn(p, o->kind);
    tangents_down(p->net, only, o->kind == PITOT_OP_HESSIAN ? v : NULL, out);
}

/* out (D) of v (D) */
static void one_vector(const point_op *o, const pitot_real *v, pitot_real *out) {
    pitot_point *p = o->point;
    tangents_clear(p->net, out);
    if (!o->blocks) one_part(o, mark(p, -1), v, out);
    for (int32_t k = 0; o->blocks && k < p->net->n_nodes; k++)
        if (is_in(p, k)) one_part(o, mark(p, k), v, out);
}

/* ---- all chunks ---- */

/* y (k,d) of x (k,d), k <= columns */
static int32_t together(const point_op *o, const pitot_real *x, pitot_real *y, int64_t k) {
    pitot_point *p = o->point;
    const int64_t d = p->size;
    pitot_real *out = p->out ? p->out : y;
    if (p->sum) memset(p->sum, 0, (size_t)(k * d) * sizeof *p->sum);
    for (int64_t at = 0; at < p->samples; at += p->chunk) {
        int32_t status = chunk_pass(p, at, o->kind == PITOT_OP_HESSIAN);
        for (int64_t j = 0; j < k && !status; j++) {
            one_vector(o, group_scatter(p, x + j * d), out);
            if (p->sum) group_add(p, (double)p->n / (double)p->samples, out, p->sum + j * d);
            else if (out != y) group_gather(p, out, y);
        }
        if (!status) status = chunk_progress(p, at + p->n);
        if (status) return status;
    }
    for (int64_t j = 0; j < k && p->sum; j++) group_round(p, p->sum + j * d, y + j * d);
    return PITOT_OK;
}

static int32_t apply(void *self, const pitot_real *x, pitot_real *y, int64_t k) {
    const point_op *o = self;
    pitot_point *p = o->point;
    int32_t status = chunk_begin(p);
    for (int64_t j = 0; j < k && !status; j += p->columns) {
        int64_t n = k - j < p->columns ? k - j : p->columns;
        status = together(o, x + j * p->size, y + j * p->size, n);
        for (int64_t i = j; i < j + n && !status; i++) status = group_check(p, pitot_operator_name(o->kind), y + i * p->size);
    }
    return status;
}

/* ---- handing them out ---- */

const point_op *point_op_of(const pitot_linop *linop) {
    return linop->apply == apply ? linop->self : NULL;
}

static int32_t hand_out(pitot_point *p, int32_t kind, int blocks, pitot_linop *linop) {
    int32_t status = chunk_begin(p);
    if (!status && (!linop || !pitot_operator_name(kind)))
        status = pitot_fail(&p->error, PITOT_EINVAL, "there is no operator of kind %ld", (long)kind);
    if (!status) status = chunk_prepare(p, kind);
    if (status) return status;
    point_op *o = blocks ? &p->blocks[kind - 1] : &p->ops[kind - 1];
    *o = (point_op){ p, kind, blocks };
    *linop = (pitot_linop){ .struct_size = sizeof *linop,
                            .name = blocks ? block_names[kind] : operators[kind - 1].name,
                            .n = p->size,
                            .symmetric = 1,
                            .exact = kind != PITOT_OP_GGN_MC,
                            .apply = apply,
                            .self = o,
                            .checked = p->data != NULL }; /* a batch's arrays are the caller's, and may change */
    return PITOT_OK;
}

int32_t pitot_point_operator(pitot_point *p, int32_t kind, pitot_linop *linop) {
    return hand_out(p, kind, 0, linop);
}

int32_t pitot_point_blocks(pitot_point *p, int32_t kind, pitot_linop *linop) {
    return hand_out(p, kind, 1, linop);
}

/* ---- the Jacobian ---- */

static int32_t begin(pitot_point *p, const pitot_real *from, const pitot_real *to) {
    int32_t status = chunk_begin(p);
    if (!status && (!from || !to)) status = pitot_fail(&p->error, PITOT_EINVAL, "there is no vector, or no room for its product");
    return status ? status : chunk_prepare(p, 0);
}

int32_t pitot_point_jvp(pitot_point *p, const pitot_real *v, pitot_real *out) {
    int32_t status = begin(p, v, out);
    const unsigned char *only = status ? NULL : mark(p, -1);
    for (int64_t at = 0; at < p->samples && !status; at += p->chunk) {
        status = chunk_pass(p, at, 0);
        if (status) break;
        size_t bytes = (size_t)(p->n * p->outputs) * sizeof *out;
        if (reaches(p, only)) {
            tangents_up(p->net, only, group_scatter(p, v));
            memcpy(out + at * p->outputs, top(p)->yt, bytes);
        } else memset(out + at * p->outputs, 0, bytes);
        status = chunk_progress(p, at + p->n);
    }
    return status;
}

int32_t pitot_point_vjp(pitot_point *p, const pitot_real *u, pitot_real *out) {
    int32_t status = begin(p, u, out);
    const unsigned char *only = status ? NULL : mark(p, -1);
    pitot_real *all = p->out ? p->out : out;
    if (p->sum) memset(p->sum, 0, (size_t)p->size * sizeof *p->sum);
    for (int64_t at = 0; at < p->samples && !status; at += p->chunk) {
        status = chunk_pass(p, at, 0);
        if (status) break;
        tangents_clear(p->net, all);
        if (reaches(p, only)) {
            memcpy(top(p)->dyt, u + at * p->outputs, (size_t)(p->n * p->outputs) * sizeof *u);
            tangents_down(p->net, only, NULL, all);
        }
        if (p->sum) group_add(p, 1, all, p->sum);
        else if (all != out) group_gather(p, all, out);
        status = chunk_progress(p, at + p->n);
    }
    if (!status && p->sum) group_round(p, p->sum, out);
    return status ? status : group_check(p, "J'u", out);
}
