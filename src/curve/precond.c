/* precond.c: pitot/precond.h. A block is P = Q diag(w) Q' with Q the Kronecker product of its axes' bases, so that any power of P is a
   rotation, a product value by value, and the rotation back. */

#include "pitot/precond.h"

#include "base/alloc.h"
#include "base/blas.h"
#include "curve/check.h"
#include "curve/precond.h"

#include <float.h>
#include <math.h>
#include <string.h>

static const double round_off = sizeof(pitot_real) == 8 ? DBL_EPSILON : (double)FLT_EPSILON;

typedef struct block {
    int64_t at, row_step;     /* where its first value stands in vectors of D values; from one row to the next */
    int64_t m, n, own;        /* rows, columns; columns without the bias's */
    int64_t bias_at;          /* of its first row's bias; -1: none */
    pitot_real *left, *right; /* (m,m), (n,n): rows are the basis; NULL: the axes themselves */
    double *weight;           /* (m,n) w; a diagonal has m = 1 */
} block;

struct pitot_precond {
    int64_t size, n; /* D; blocks */
    block *block;
    pitot_real *in, *t; /* the largest block, twice */
    pitot_real *vector; /* (D) for the operator; NULL: not yet */
    const pitot_linop *inner;
};

/* ---- making ---- */

static int64_t offset_of(const pitot_precond_tensor *t, int64_t i) {
    int64_t at = 0;
    while (i-- > 0) at += (t++)->size;
    return at;
}

static int32_t make_diagonal(const pitot_preconditioner *p, const pitot_precond_tensor *t, block *b) {
    double by = p->bias_correction != 0 ? p->bias_correction : 1;
    *b =
        (block){ .at = p->param ? offset_of(t, p->param - 1) : 0, .m = 1, .n = p->n, .own = p->n, .row_step = p->n, .bias_at = -1 };
    if (!(b->weight = mem_alloc(p->n, sizeof *b->weight))) return PITOT_ENOMEM;
    for (int64_t i = 0; i < p->n; i++) {
        double v = by * (double)p->factor[i], d = pow((v < 0 ? 0 : v) + p->damping, -p->power) + p->eps;
        b->weight[i] = d <= 0 ? 0 : 1 / d; /* a value that has seen no gradient does not move */
        if (!isfinite(b->weight[i])) return PITOT_EHOST;
    }
    return PITOT_OK;
}

/* Of a diagonal along an axis. */
static int32_t make_values(const pitot_preconditioner *p, double **value) {
    if (!(*value = mem_alloc(p->n, sizeof **value))) return PITOT_ENOMEM;
    for (int64_t i = 0; i < p->n; i++)
        (*value)[i] = p->inverse ? (double)p->inverse[i] : pow(fmax(0, (double)p->factor[i]) + p->damping, p->power);
    return PITOT_OK;
}

/* What is negative by no more than round-off of the largest is 0. */
static void drop_round_off(int64_t n, double *value) {
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(value[i]));
    for (int64_t i = 0; i < n; i++)
        if (value[i] < 0 && -value[i] <= (double)n * round_off * most) value[i] = 0;
}

/* One axis: its basis, and what it multiplies by there. */
static int32_t make_axis(const pitot_preconditioner *p, pitot_real **basis, double **value) {
    if (p->diagonal) return make_values(p, value);
    double *wide = mem_alloc(p->n, (size_t)p->n * sizeof *wide), *work = mem_alloc(p->n, (size_t)p->n * sizeof *work);
    *basis = mem_alloc(p->n, (size_t)p->n * sizeof **basis);
    *value = mem_alloc(p->n, sizeof **value);
    int32_t status = wide && work && *basis && *value ? precond_in_use(p, wide, *value, work) : PITOT_ENOMEM;
    for (int64_t i = 0; i < p->n * p->n && !status; i++) (*basis)[i] = (pitot_real)wide[i];
    if (!status && !p->basis) drop_round_off(p->n, *value);
    mem_free(wide);
    mem_free(work);
    return status;
}

/* Where a factor's block stands, if that is within its tensor and, if it has one, its bias. */
static int32_t shape_block(const pitot_preconditioner *left, const pitot_preconditioner *right, const pitot_precond_tensor *t,
                           int64_t n_tensors, block *b) {
    const pitot_preconditioner *any = left ? left : right;
    const pitot_precond_tensor *of = &t[any->param - 1];
    int64_t rows = any->rows ? any->rows : of->rows, columns = rows > 0 ? of->size / rows : 0;
    int bias = right && right->bias_column;
    *b = (block){ .m = left ? left->n : any->n_rows ? any->n_rows : rows, .row_step = columns, .bias_at = -1 };
    b->n = right ? right->n : any->n_columns ? any->n_columns : columns;
    b->own = b->n - bias;
    if (columns < 1 || rows * columns != of->size || b->m < 1 || b->own < 1 || any->first_row < 0 || any->first_column < 0)
        return PITOT_EINVAL;
    if (b->m > rows - any->first_row || b->own > columns - any->first_column) return PITOT_EINVAL;
    b->at = offset_of(t, any->param - 1) + any->first_row * columns + any->first_column;
    if (!bias || right->bias <= 0) return PITOT_OK;
    if (right->bias > n_tensors || t[right->bias - 1].size != rows) return PITOT_EINVAL;
    b->bias_at = offset_of(t, right->bias - 1) + any->first_row;
    return PITOT_OK;
}

/* As it multiplies gradients; `corrected` needs a basis alone. */
static int is_shown(const pitot_preconditioner *p, int corrected) {
    return !p || p->diagonal || precond_applies(p) || (corrected && p->basis);
}

static int32_t make_weights(const pitot_preconditioner *left, const pitot_preconditioner *right, const double *l, const double *r,
                            block *b) {
    const pitot_preconditioner *c = left && left->corrected ? left : right && right->corrected ? right : NULL;
    if (!is_shown(left, c != NULL) || !is_shown(right, c != NULL)) return PITOT_EINVAL;
    if (c && c->n_rows && (c->n_rows != b->m || c->n_columns != b->n)) return PITOT_EINVAL;
    if (!(b->weight = mem_alloc(b->m, (size_t)b->n * sizeof *b->weight))) return PITOT_ENOMEM;
    for (int64_t i = 0; i < b->m; i++)
        for (int64_t j = 0; j < b->n; j++) {
            double w = c ? precond_corrected(c, (double)c->corrected[i * b->n + j]) : (l ? l[i] : 1) * (r ? r[j] : 1);
            if (!isfinite(w) || w < 0) return PITOT_EHOST;
            b->weight[i * b->n + j] = w;
        }
    return PITOT_OK;
}

static int32_t make_block(const pitot_preconditioner *left, const pitot_preconditioner *right, const pitot_precond_tensor *t,
                          int64_t n_tensors, block *b) {
    double *l = NULL, *r = NULL;
    int32_t status = shape_block(left, right, t, n_tensors, b);
    if (!status && left) status = make_axis(left, &b->left, &l);
    if (!status && right) status = make_axis(right, &b->right, &r);
    if (!status) status = make_weights(left, right, l, r, b);
    mem_free(l);
    mem_free(r);
    return status;
}

static int same_block(const pitot_preconditioner *a, const pitot_preconditioner *b) {
    return a->param == b->param && a->first_row == b->first_row && a->first_column == b->first_column && a->rows == b->rows;
}

/* The factor on the other axis of factor i's block, or NULL; *first: whether i is the first of the two. */
static const pitot_preconditioner *other_axis(const pitot_preconditioner *f, int64_t n, int64_t i, int *first) {
    *first = 1;
    for (int64_t j = 0; j < n; j++) {
        if (j == i || f[j].axis == f[i].axis || f[j].axis < 0 || !same_block(&f[i], &f[j])) continue;
        *first = i < j;
        return &f[j];
    }
    return NULL;
}

static int32_t add_factor(pitot_precond *p, const pitot_preconditioner *f, int64_t n, int64_t i, const pitot_precond_tensor *t,
                          int64_t n_tensors) {
    const pitot_preconditioner *one = &f[i];
    int first;
    if (one->n < 1 || !one->factor || one->param < 0 || one->param > n_tensors || one->axis > 1 ||
        (one->param == 0 && one->axis >= 0))
        return PITOT_EINVAL;
    if (one->axis == -1) {
        if (one->n != (one->param ? t[one->param - 1].size : p->size)) return PITOT_EINVAL;
        return make_diagonal(one, t, &p->block[p->n++]);
    }
    const pitot_preconditioner *other = other_axis(f, n, i, &first);
    if (!first) return PITOT_OK;
    return make_block(one->axis == 0 ? one : other, one->axis == 1 ? one : other, t, n_tensors, &p->block[p->n++]);
}

pitot_precond *pitot_precond_new(const pitot_preconditioner *factors, int64_t n, const pitot_precond_tensor *tensors,
                                 int64_t n_tensors, pitot_error *error) {
    pitot_precond *p = mem_alloc(1, sizeof *p);
    int64_t largest = 1;
    int32_t status = p && (p->block = mem_alloc(n, sizeof *p->block)) ? PITOT_OK : PITOT_ENOMEM;
    for (int64_t i = 0; i < n_tensors && !status; i++) {
        status = tensors[i].size < 0 || tensors[i].size > INT64_MAX - p->size ? PITOT_EINVAL : PITOT_OK;
        if (!status) p->size += tensors[i].size;
    }
    for (int64_t i = 0; i < n && !status; i++) status = add_factor(p, factors, n, i, tensors, n_tensors);
    for (int64_t k = 0; !status && k < p->n; k++)
        if (p->block[k].m * p->block[k].n > largest) largest = p->block[k].m * p->block[k].n;
    if (!status && (!(p->in = mem_alloc(largest, sizeof *p->in)) || !(p->t = mem_alloc(largest, sizeof *p->t))))
        status = PITOT_ENOMEM;
    if (!status) return p;
    pitot_precond_free(p);
    pitot_fail(error, status,
               status == PITOT_ENOMEM   ? "no memory for the preconditioner"
               : status == PITOT_EINVAL ? "the preconditioner's factors do not fit the tensors, or do not show what is in use"
                                        : "the preconditioner is not finite, or not positive");
    return NULL;
}

void pitot_precond_free(pitot_precond *p) {
    if (!p) return;
    for (int64_t k = 0; k < p->n; k++) {
        mem_free(p->block[k].left);
        mem_free(p->block[k].right);
        mem_free(p->block[k].weight);
    }
    mem_free(p->block);
    mem_free(p->in);
    mem_free(p->t);
    mem_free(p->vector);
    mem_free(p);
}

/* ---- using ---- */

static void rotate(pitot_precond *p, const block *b, int back) {
    if (b->left) {
        blas_gemm(back, 0, b->m, b->n, b->m, 1, b->left, b->m, p->in, b->n, 0, p->t, b->n);
        memcpy(p->in, p->t, (size_t)(b->m * b->n) * sizeof *p->t);
    }
    if (b->right) {
        blas_gemm(0, !back, b->m, b->n, b->n, 1, p->in, b->n, b->right, b->n, 0, p->t, b->n);
        memcpy(p->in, p->t, (size_t)(b->m * b->n) * sizeof *p->t);
    }
}

static void move(const block *b, pitot_real *in, pitot_real *vector, int out) {
    for (int64_t i = 0; i < b->m; i++) {
        pitot_real *row = vector + b->at + i * b->row_step, *own = in + i * b->n,
                   *bias = b->bias_at < 0 ? NULL : vector + b->bias_at + i;
        memcpy(out ? row : own, out ? own : row, (size_t)b->own * sizeof *row);
        if (b->own == b->n) continue;
        if (!out) own[b->own] = bias ? *bias : 0;
        else if (bias) *bias = own[b->own];
    }
}

int32_t pitot_precond_apply(pitot_precond *p, double power, const pitot_real *x, pitot_real *y) {
    if (!p || !x || !y) return PITOT_EINVAL;
    if (y != x) memcpy(y, x, (size_t)p->size * sizeof *y);
    for (int64_t k = 0; k < p->n; k++) {
        const block *b = &p->block[k];
        move(b, p->in, y, 0);
        rotate(p, b, 0);
        for (int64_t i = 0; i < b->m * b->n; i++)
            p->in[i] = b->weight[i] > 0
                           ? (pitot_real)((double)p->in[i] * (power == 0.5 ? sqrt(b->weight[i]) : pow(b->weight[i], power)))
                           : 0;
        rotate(p, b, 1);
        move(b, p->in, y, 1);
    }
    return PITOT_OK;
}

static int32_t apply(void *self, const pitot_real *x, pitot_real *y, int64_t k) {
    pitot_precond *p = self;
    int32_t status = PITOT_OK;
    for (int64_t j = 0; j < k && !status; j++) {
        status = pitot_precond_apply(p, 0.5, x + j * p->size, p->vector);
        if (!status) status = p->inner->apply(p->inner->self, p->vector, y + j * p->size, 1);
        if (!status) status = pitot_precond_apply(p, 0.5, y + j * p->size, y + j * p->size);
    }
    return status;
}

int32_t pitot_precond_operator(pitot_precond *p, const pitot_linop *inner, pitot_linop *out) {
    if (!p || !inner || !out || inner->n != p->size) return PITOT_EINVAL;
    if (!p->vector && !(p->vector = mem_alloc(p->size, sizeof *p->vector))) return PITOT_ENOMEM;
    p->inner = inner;
    *out = (pitot_linop){ .struct_size = sizeof *out,
                          .name = inner->name,
                          .n = p->size,
                          .symmetric = inner->symmetric,
                          .exact = inner->exact,
                          .apply = apply,
                          .self = p,
                          .error = inner->error,
                          .checked = !check_is_due(inner) };
    return PITOT_OK;
}
