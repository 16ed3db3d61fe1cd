/* singd_factors.c: one step of K and C along the projected gradient of the divergence to the damped Fisher, in local coordinates:

       m = alpha1 m + 1/2 (tr(C'SC)/rows Pi(K'AK) + damping tr(C'C)/rows Pi(K'K) - I),   K -= lr_cov K m,   and C likewise */

#include "base/blas.h"
#include "optim/core/matrix.h"
#include "optim/core/optimizer.h"
#include "optim/core/singd.h"

#include <math.h>
#include <string.h>

/* structure_c: 0 is that of K, others are one further than their kind. */
static int64_t kind_of(const singd_options *o, int side) {
    return side && o->structure_c > 0 ? o->structure_c - 1 : o->structure;
}

structure singd_structure(const singd_options *o, const layer *l, int side) {
    return structure_of(kind_of(o, side), side ? l->rows : l->columns, o->block, o->top, o->bottom, o->rank);
}

/* What is not dense may be as large as it likes. */
int64_t singd_most(const singd_options *o) {
    return kind_of(o, 0) == STRUCTURE_DENSE || kind_of(o, 1) == STRUCTURE_DENSE ? o->max_dim : INT64_MAX;
}

int singd_is(const singd_options *o, int64_t kind) {
    return kind_of(o, 0) == kind && kind_of(o, 1) == kind;
}

int64_t singd_size(const singd_options *o, const layer *l) {
    structure k = singd_structure(o, l, 0), c = singd_structure(o, l, 1);
    return structure_size(&k) + structure_size(&c);
}

void singd_load(const singd_job *j, const layer *l, int slot, int64_t group, int64_t size, pitot_real *x) {
    const void *from = j->s->tensor[l->weight].state[slot];
    if (j->o->precision)
        for (int64_t i = 0; i < size; i++) x[i] = (pitot_real)pitot_of_bf16(((const uint16_t *)from)[group * size + i]);
    else memcpy(x, (const pitot_real *)from + group * size, (size_t)size * sizeof *x);
}

void singd_store(const singd_job *j, const layer *l, int slot, int64_t group, int64_t size, const pitot_real *x) {
    void *to = j->s->tensor[l->weight].state[slot];
    if (j->o->precision)
        for (int64_t i = 0; i < size; i++) ((uint16_t *)to)[group * size + i] = pitot_bf16_of((float)x[i]);
    else memcpy((pitot_real *)to + group * size, x, (size_t)size * sizeof *x);
}

/* ---- the batch's ---- */

/* K'AK of a diagonal K: the mean squares of the inputs, times those of K. */
static void input_squares(const singd_job *j, const layer *l, const pitot_capture *c, int64_t group, double scale,
                          pitot_real *sum) {
    double *squares = j->room.work;
    memset(squares, 0, (size_t)l->columns * sizeof *squares);
    layer_input_squares(l, c, group, 0, c->n, j->room.a, squares);
    for (int64_t i = 0; i < l->columns; i++)
        sum[i] = (pitot_real)(scale * squares[i] * (double)j->room.k[i] * (double)j->room.k[i]);
}

/* sum += scale Pi(K' x'x K), n rows; the rows' squares alone where K is diagonal */
static void add_rows(const singd_job *j, const structure *t, const pitot_real *k, const pitot_real *x, int64_t n, double scale,
                     int add, pitot_real *sum) {
    structure_rows(t, k, 0, x, n, j->room.rotated, j->room.structure);
    structure_gram(t, j->room.rotated, n, scale, add, sum);
}

static void add_group(void *user, const layer *l, const pitot_capture *c, int64_t group, int64_t column) {
    const singd_job *j = user;
    const singd_room *r = &j->room;
    structure tk = singd_structure(j->o, l, 0), tc = singd_structure(j->o, l, 1);
    int64_t nk = structure_size(&tk), nc = structure_size(&tc), p = j->o->approx ? 1 : l->positions;
    pitot_real *hk = r->sums + l->sums + group * (nk + nc), *hc = hk + nk;
    double scale = c->scale != 0 ? c->scale : 1, for_s = scale * scale * (j->o->loss_average ? 1 : (double)c->n);
    int squares = tk.kind == STRUCTURE_DIAGONAL && p == l->positions;
    singd_load(j, l, SINGD_K, group, nk, r->k);
    singd_load(j, l, SINGD_C, group, nc, r->c);
    if (column == 0 && squares) input_squares(j, l, c, group, 1 / ((double)c->n * (double)p), hk);
    for (int64_t from = 0; from < c->n; from += l->samples) {
        int64_t n = c->n - from < l->samples ? c->n - from : l->samples;
        const pitot_real *g = layer_gradients(l, c, group, from, n, (int)j->o->approx, r->g);
        add_rows(j, &tc, r->c, g, n * p, for_s, column > 0 || from > 0, hc);
        if (column > 0 || squares) continue;
        const pitot_real *x = layer_inputs(l, c, group, from, n, (int)j->o->approx, r->a);
        add_rows(j, &tk, r->k, x, n * p, 1 / ((double)c->n * (double)p), from > 0, hk);
    }
}

/* ---- the step ---- */

/* tr K'K; along a Toeplitz matrix's diagonals each value stands several times. */
static double trace_of_square(const structure *t, const pitot_real *k) {
    if (t->kind < STRUCTURE_TRIL_TOEPLITZ) return matrix_squares(k, 1, structure_size(t), structure_size(t));
    double sum = 0;
    for (int64_t i = 0; i < t->d; i++) sum += (double)(t->d - i) * (double)k[i] * (double)k[i];
    return sum;
}

static double largest(const pitot_real *x, int64_t n) {
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = fabs((double)x[i]) > most ? fabs((double)x[i]) : most;
    return most;
}

/* New m into room.m and new K into room.product, from h = Pi(K'AK); by, damping: what Pi(K'AK) and Pi(K'K) are multiplied by. */
static int move_side(const singd_job *j, const structure *t, const pitot_real *k, const pitot_real *h, double by, double damping) {
    const singd_room *r = &j->room;
    const singd_options *o = j->o;
    int64_t n = structure_size(t);
    double alpha = o->kfac_like ? 0 : o->alpha1, comes = 0.5 * (o->normalize ? 1 - alpha : 1);
    structure_square(t, k, r->product, r->structure);
    pitot_real *one = r->mid;
    structure_identity(t, one);
    for (int64_t i = 0; i < n; i++)
        r->m[i] =
            (pitot_real)(alpha * (double)r->m[i] + comes * (by * (double)h[i] + damping * (double)r->product[i] - (double)one[i]));
    double lr = o->lr_cov / (o->normalize ? fmax(1, largest(r->m, n)) : 1);
    structure_product(t, k, r->m, r->product, r->structure);
    for (int64_t i = 0; i < n; i++) r->product[i] = (pitot_real)((double)k[i] - lr * (double)r->product[i]);
    return finite_values(r->m, n) && finite_values(r->product, n);
}

static void move_group(const singd_job *j, const layer *l, int64_t group) {
    const singd_room *r = &j->room;
    structure t[2] = { singd_structure(j->o, l, 0), singd_structure(j->o, l, 1) };
    int64_t n[2] = { structure_size(&t[0]), structure_size(&t[1]) };
    const pitot_real *h[2] = { r->sums + l->sums + group * (n[0] + n[1]), NULL }, *factor[2] = { r->k, r->c };
    h[1] = h[0] + n[0];
    for (int side = 0; side < 2; side++) singd_load(j, l, SINGD_K + side, group, n[side], side ? r->c : r->k);
    for (int side = 0; side < 2; side++) {
        double d = (double)t[!side].d, by = structure_trace(&t[!side], h[!side]) / d,
               damping = j->o->damping * trace_of_square(&t[!side], factor[!side]) / d;
        if (j->o->kfac_like) by = 1, damping = j->o->damping;
        singd_load(j, l, SINGD_M_K + side, group, n[side], r->m);
        if (!move_side(j, &t[side], factor[side], h[side], by, damping)) continue;
        singd_store(j, l, SINGD_M_K + side, group, n[side], r->m);
        singd_store(j, l, SINGD_K + side, group, n[side], r->product);
    }
}

int32_t singd_renew(singd_job *j) {
    int32_t status = fisher_send(j->s, j->o->fisher, "singd", j->room.layer, j->n, add_group, j);
    for (int64_t i = 0; i < j->n && !status; i++)
        for (int64_t group = 0; group < j->room.layer[i].groups; group++) move_group(j, &j->room.layer[i], group);
    return status;
}
