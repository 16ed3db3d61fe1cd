/* kronecker_use.c: decompositions of the factors, and the gradient preconditioned with them. */

#include "base/blas.h"
#include "optim/core/kronecker_parts.h"
#include "optim/core/optimizer.h"
#include "optim/core/quotient.h"
#include "pitot/hot.h"
#include "pitot/probe.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* ---- inverses ---- */

static double trace_of(const pitot_real *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i * n + i];
    return sum;
}

static double balance(const pitot_real *a, int64_t columns, const pitot_real *s, int64_t rows) {
    double pi = sqrt(trace_of(a, columns) / (double)columns / (trace_of(s, rows) / (double)rows));
    return pi > 1e-9 && pi < 1e9 ? pi : 1; /* a factor of zeros says nothing of the other */
}

static int invert(const pitot_real *x, int64_t n, double damping, double *out) {
    for (int64_t i = 0; i < n * n; i++) out[i] = (double)x[i];
    for (int64_t i = 0; i < n; i++) out[i * n + i] += damping;
    if (blas_inverse(n, out)) return 0;
    for (int64_t i = 0; i < n * n; i++)
        if (!(fabs(out[i]) < (double)FLT_MAX)) return 0;
    return 1;
}

static void keep(const kronecker *k, const double *from, int64_t n, pitot_real *to) {
    for (int64_t i = 0; i < n; i++) to[i] = (pitot_real)from[i];
    kronecker_round(k, to, n);
}

static void add_diagonal(pitot_real *x, int64_t n, double value) {
    for (int64_t i = 0; i < n; i++) x[i * n + i] += (pitot_real)value;
}

static int renew_inverses(const kronecker_job *j, const layer *l, int64_t group, double *number, double *room) {
    pitot_real *s = kronecker_slot(j, l, KRONECKER_S, group), *a = kronecker_slot(j, l, KRONECKER_A, group);
    double *si = room, *ai = si + l->rows * l->rows;
    double pi = balance(a, l->columns, s, l->rows), root = sqrt(j->k->damping);
    int each = j->k->form == KRONECKER_EACH;
    double to_s = each ? j->k->damping : root / pi, to_a = each ? j->k->damping : pi * root;
    if (!invert(s, l->rows, to_s, si) || !invert(a, l->columns, to_a, ai)) return 0;
    keep(j->k, si, l->rows * l->rows, kronecker_slot(j, l, KRONECKER_S_USED, group));
    keep(j->k, ai, l->columns * l->columns, kronecker_slot(j, l, KRONECKER_A_USED, group));
    if (j->k->keep) {
        add_diagonal(s, l->rows, to_s);
        add_diagonal(a, l->columns, to_a);
    }
    number[KRONECKER_S_DAMPING] = j->k->keep ? 0 : to_s;
    number[KRONECKER_A_DAMPING] = j->k->keep ? 0 : to_a;
    return 1;
}

/* ---- bases ---- */

static int diagonalise(const pitot_real *x, int64_t n, double *vectors, double *values, double *work) {
    for (int64_t i = 0; i < n * n; i++) vectors[i] = (double)x[i];
    if (blas_eigenvectors(n, vectors, values, work)) return 0;
    for (int64_t i = 0; i < n; i++) {
        if (!(fabs(values[i]) < (double)FLT_MAX)) return 0;
        if (values[i] < 0) values[i] = 0; /* round-off */
    }
    return 1;
}

static void keep_basis(const kronecker *k, const double *vectors, const double *values, int64_t n, pitot_real *basis,
                       pitot_real *value) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t q = 0; q < n; q++) basis[q * n + i] = (pitot_real)vectors[i * n + q];
    kronecker_round(k, basis, n * n);
    keep(k, values, n, value);
}

static int renew_bases(const kronecker_job *j, const layer *l, int64_t group, double *room) {
    int64_t r = l->rows, c = l->columns;
    double *u = room, *su = u + r * r, *v = su + r, *sv = v + c * c, *work = sv + c;
    if (!diagonalise(kronecker_slot(j, l, KRONECKER_S, group), r, u, su, work)) return 0;
    if (!diagonalise(kronecker_slot(j, l, KRONECKER_A, group), c, v, sv, work)) return 0;
    pitot_real *moments = kronecker_slot(j, l, KRONECKER_MOMENTS, group);
    keep_basis(j->k, u, su, r, kronecker_slot(j, l, KRONECKER_S_USED, group), kronecker_slot(j, l, KRONECKER_S_VALUE, group));
    keep_basis(j->k, v, sv, c, kronecker_slot(j, l, KRONECKER_A_USED, group), kronecker_slot(j, l, KRONECKER_A_VALUE, group));
    for (int64_t i = 0; i < r; i++)
        for (int64_t q = 0; q < c; q++) moments[i * c + q] = (pitot_real)(su[i] * sv[q]);
    kronecker_round(j->k, moments, r * c);
    return 1;
}

void kronecker_decompose(void *job, const piece *p, void *room) {
    const kronecker_job *j = job;
    const layer *l = &j->room.layer[p->i];
    double *number = kronecker_numbers(j, l, p->k);
    if (number[KRONECKER_COUNT] == 0) return;
    int done = kronecker_inverts(j->k) ? renew_inverses(j, l, p->k, number, room) : renew_bases(j, l, p->k, room);
    if (done) number[KRONECKER_COMPUTED] = (double)j->s->t;
}

/* ---- directions ---- */

/* D = scale op(left) right, right (m, columns), weight and bias each to where they stand in room.direction. */
static void put(const kronecker_job *j, const layer *l, int64_t group, int trans, int64_t m, double scale, const pitot_real *left,
                const pitot_real *right, int add) {
    const pitot_tensor_state *t = j->s->tensor;
    int64_t rows = l->rows, values = l->values, ld = trans ? rows : m;
    pitot_real *weight = j->room.direction + t[l->weight].at + group * rows * values;
    blas_gemm(trans, 0, rows, values, m, scale, left, ld, right, l->columns, add, weight, values);
    if (l->bias < 0) return;
    pitot_real *bias = j->room.direction + t[l->bias].at + group * rows;
    blas_gemm(trans, 0, rows, 1, m, scale, left, ld, right + values, l->columns, add, bias, 1);
}

/* The bias's gradient, as a column; NULL: it has none, zeros. */
static const pitot_real *bias_of(const kronecker_job *j, const layer *l, int64_t group) {
    const pitot_real *g = l->bias >= 0 ? j->s->tensor[l->bias].g : NULL;
    return g ? g + group * l->rows : NULL;
}

/* out (rows, n) = GX, X (columns, n). */
static void times_gradient(const kronecker_job *j, const layer *l, int64_t group, int64_t n, const pitot_real *x, pitot_real *out) {
    const pitot_real *weight = j->s->tensor[l->weight].g + group * l->rows * l->values, *bias = bias_of(j, l, group);
    blas_gemm(0, 0, l->rows, n, l->values, 1, weight, l->values, x, n, 0, out, n);
    if (bias) blas_gemm(0, 0, l->rows, n, 1, 1, bias, 1, x + l->values * n, n, 1, out, n);
}

/* P = U'GV from the gradient; p NULL: it is D. */
static void pull_gradient(const kronecker_job *j, const layer *l, int64_t group, const pitot_real *u, const pitot_real *v,
                          pitot_real *p) {
    pitot_real *mid = j->room.mid;
    times_gradient(j, l, group, l->columns, v, mid);
    if (p) blas_gemm(1, 0, l->rows, l->columns, l->rows, 1, u, l->rows, mid, l->columns, 0, p, l->columns);
    else put(j, l, group, 1, l->rows, 1, u, mid, 0);
}

/* rotated: GU and AV are made anyway. */
static int batch_is_cheaper(const layer *l, const pitot_capture *c, int rotated) {
    double n = (double)c->n * (double)l->positions, rows = (double)l->rows, columns = (double)l->columns;
    double rotations = rotated ? 0 : rows * rows + columns * columns;
    return n * (rotations + rows * columns) < 0.75 * rows * columns * (rows + columns);
}

/* P = (scale GU)'(AV) from the rows of this batch; p NULL: it is D; their squares go into `squares`, unless that is NULL. Whether the gradient is
   that of these rows: along one direction of the inputs they must agree to round-off. Wrappers, or the loop, may have changed it. */
static int pull_batch(const kronecker_job *j, const layer *l, const pitot_capture *c, int64_t group, pitot_real *p,
                      pitot_real *squares) {
    const kronecker_room *r = &j->room;
    int64_t rows = l->rows, columns = l->columns;
    double scale = c->scale != 0 ? c->scale : 1, lengths[2] = { 0, 0 }, off = 0;
    pitot_real *w = r->probe, *sum = w + columns, *along = sum + rows;
    for (int64_t i = 0; i < columns; i++) w[i] = (uint64_t)i * 0x9e3779b97f4a7c15u >> 63 ? 1 : -1;
    times_gradient(j, l, group, 1, w, sum);
    for (int64_t from = 0; from < c->n; from += l->samples) {
        int64_t n = c->n - from < l->samples ? c->n - from : l->samples, m = n * l->positions;
        const pitot_real *g = layer_gradients(l, c, group, from, n, 0, r->g), *x = layer_inputs(l, c, group, from, n, 0, r->a);
        blas_gemm(0, 0, m, 1, columns, 1, x, columns, w, 1, 0, along, 1);
        blas_gemm(1, 0, rows, 1, m, -scale, g, rows, along, 1, 1, sum, 1);
        lengths[0] += pitot_sum_squares(g, m * rows);
        lengths[1] += pitot_sum_squares(along, m);
        kronecker_rotate(j, l, group, m, g, x);
        if (p) blas_gemm(1, 0, rows, columns, m, scale, r->tg, rows, r->ta, columns, from > 0, p, columns);
        else put(j, l, group, 1, m, scale, r->tg, r->ta, from > 0);
        if (squares) kronecker_add_squares(j, l, c, n, squares);
    }
    off = sqrt(pitot_sum_squares(sum, rows));
    return off <= 16 * (sizeof(pitot_real) == 8 ? DBL_EPSILON : (double)FLT_EPSILON) * scale * sqrt(lengths[0] * lengths[1]);
}

/* Where s + damping is 0, there was no gradient either. Without damping s may be so small that 1/s is not finite, though p/s is. */
PITOT_HOT static void divide(pitot_real *restrict p, const pitot_real *restrict s, int64_t n, pitot_real damping) {
    for (int64_t i = 0; i < n; i++) p[i] = quotient(p[i], s[i] + damping);
}

PITOT_HOT static void add_moment(pitot_real *restrict s, const pitot_real *restrict p, int64_t n, pitot_real stays,
                                 pitot_real comes) {
    for (int64_t i = 0; i < n; i++) s[i] = stays * s[i] + comes * p[i] * p[i];
}

static void renew_average(const kronecker_job *j, const layer *l, const pitot_capture *c, const pitot_real *p,
                          pitot_real *moments) {
    double n = j->k->mean ? 1 / (double)c->n : (double)c->n;
    int64_t size = l->rows * l->columns;
    if (!finite_values(p, size)) return;
    add_moment(moments, p, size, (pitot_real)j->k->moment_decay, (pitot_real)((1 - j->k->moment_decay) * n));
    kronecker_round(j->k, moments, size);
}

static void precondition(const kronecker_job *j, const layer *l, const pitot_capture *c, int64_t group) {
    const kronecker_room *r = &j->room;
    const pitot_real *u = kronecker_slot(j, l, KRONECKER_S_USED, group), *v = kronecker_slot(j, l, KRONECKER_A_USED, group);
    pitot_real *moments = kronecker_slot(j, l, KRONECKER_MOMENTS, group), *p = kronecker_inverts(j->k) ? NULL : r->turned;
    pitot_real *squares = j->moments ? kronecker_sums(j, l, group, 1) : NULL;
    int64_t rows = l->rows, columns = l->columns;
    int cheaper = batch_is_cheaper(l, c, j->moments);
    if (squares && !cheaper) kronecker_squares(j, l, c, group, squares);
    if (!cheaper || !pull_batch(j, l, c, group, p, squares)) pull_gradient(j, l, group, u, v, p);
    if (squares) kronecker_take_squares(j, l, group);
    if (!p) return;
    if (j->k->form == KRONECKER_AVERAGE) renew_average(j, l, c, p, moments);
    divide(p, moments, rows * columns, (pitot_real)j->k->damping);
    blas_gemm(0, 1, rows, columns, columns, 1, p, columns, v, columns, 0, r->mid, columns);
    put(j, l, group, 0, rows, 1, u, r->mid, 0);
}

static void copy_gradient(const kronecker_job *j, int64_t tensor) {
    const pitot_tensor_state *t = &j->s->tensor[tensor];
    if (t->g) memcpy(j->room.direction + t->at, t->g, (size_t)t->size * sizeof *t->g);
}

/* D of a bias apart: S^-1 times its gradient. */
static void bias_direction(const kronecker_job *j, const layer *l, int64_t group) {
    const pitot_tensor_state *b = l->apart >= 0 ? &j->s->tensor[l->apart] : NULL;
    int64_t from = group * l->rows;
    if (!b || !b->g) return;
    const pitot_real *s = kronecker_slot(j, l, KRONECKER_S_USED, group);
    blas_gemm(0, 0, l->rows, 1, l->rows, 1, s, l->rows, b->g + from, 1, 0, j->room.direction + b->at + from, 1);
}

int32_t kronecker_direction(kronecker_job *j, const layer *l) {
    pitot_capture c;
    int32_t status = j->s->source->layer(j->s->source->user, l->index, 0, &c);
    if (status) return status;
    int plain = 0;
    for (int64_t group = 0; group < l->groups; group++) plain |= kronecker_numbers(j, l, group)[KRONECKER_COMPUTED] == 0;
    if (plain) copy_gradient(j, l->weight);
    if (plain && kronecker_bias(l) >= 0) copy_gradient(j, kronecker_bias(l));
    for (int64_t group = 0; group < l->groups; group++) {
        if (kronecker_numbers(j, l, group)[KRONECKER_COMPUTED] == 0) continue;
        precondition(j, l, &c, group);
        bias_direction(j, l, group);
    }
    return PITOT_OK;
}
