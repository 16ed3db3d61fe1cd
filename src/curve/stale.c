/* stale.c: pitot/stale.h. All of it in double: A = U diag(a) U' of each axis, and from there products. An axis without a factor is the
   identity, and is left out of the products. */

#include "pitot/stale.h"

#include "base/alloc.h"
#include "base/blas.h"
#include "curve/precond.h"

#include <math.h>
#include <string.h>
#include <time.h>

typedef struct side {              /* one axis of the block */
    const pitot_preconditioner *p; /* NULL: the identity */
    int64_t n;
    double *A;          /* (n,n) the running average now, unbiased */
    double *U, *a;      /* rows of U are its eigenvectors; (n) its eigenvalues, those below 0 taken as 0 */
    double *Q, *lambda; /* rows are the basis in use; (n) eigenvalues of X's own: (lambda + damping)^p, or NULL */
    double *work[2];    /* (n,n) each */
    double seconds;
} side;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double square_sum(const double *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i] * x[i];
    return sum;
}

static double dot(const double *x, const double *y, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i] * y[i];
    return sum;
}

/* C (m,n) = op(A) op(B) of square or rectangular matrices without gaps */
static void multiply(int ta, int tb, int64_t m, int64_t n, int64_t k, const double *a, const double *b, double *c) {
    blas_gemm_double(ta, tb, m, n, k, 1, a, ta ? m : k, b, tb ? k : n, 0, c, n);
}

/* ---- a side ---- */

static int32_t read_factor(side *s) {
    int64_t n = s->n;
    double by = s->p->bias_correction != 0 ? s->p->bias_correction : 1;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            s->A[i * n + j] = by * ((double)s->p->factor[i * n + j] + (double)s->p->factor[j * n + i]) / 2;
    for (int64_t i = 0; i < n * n; i++)
        if (!isfinite(s->A[i])) return PITOT_EHOST;
    return PITOT_OK;
}

static int applies(const side *s) {
    return !s->p || precond_applies(s->p);
}

static int32_t open_side(side *s, const pitot_preconditioner *p, int64_t n) {
    *s = (side){ .p = p, .n = n };
    if (!p) return PITOT_OK;
    if (p->n != n || !p->factor || p->axis < 0 || !isfinite(p->power)) return PITOT_EINVAL;
    double **const square[] = { &s->A, &s->U, &s->Q, &s->work[0], &s->work[1] };
    for (size_t i = 0; i < sizeof square / sizeof *square; i++)
        if (!(*square[i] = mem_alloc(n, (size_t)n * sizeof(double)))) return PITOT_ENOMEM;
    s->a = mem_alloc(n, sizeof *s->a);
    s->lambda = mem_alloc(n, sizeof *s->lambda);
    if (!s->a || !s->lambda) return PITOT_ENOMEM;
    int32_t status = read_factor(s);
    double start = now();
    if (!status) status = precond_decompose(n, s->A, s->U, s->a);
    s->seconds = now() - start;
    for (int64_t i = 0; i < n && !status; i++) s->a[i] = fmax(0, s->a[i]);
    return status ? status : precond_in_use(p, s->Q, s->lambda, s->work[0]);
}

static void close_side(side *s) {
    mem_free(s->A);
    mem_free(s->U);
    mem_free(s->a);
    mem_free(s->Q);
    mem_free(s->lambda);
    mem_free(s->work[0]);
    mem_free(s->work[1]);
}

/* ---- figures of one factor ---- */

/* B = Q A Q' (rows of Q are the basis) against its own diagonal and against the eigenvalues in use. */
static void basis_figures(side *s, pitot_stale_factor *out) {
    int64_t n = s->n;
    double *B = s->work[0], whole = square_sum(s->A, n * n), off = 0, value = 0;
    multiply(0, 0, n, n, n, s->Q, s->A, s->work[1]);
    multiply(0, 1, n, n, n, s->work[1], s->Q, B);
    for (int64_t i = 0; i < n; i++) {
        double drift = s->p->eigenvalues ? B[i * n + i] - (double)s->p->eigenvalues[i] : 0;
        value += drift * drift;
        B[i * n + i] = 0;
    }
    off = square_sum(B, n * n);
    out->basis_error = whole > 0 ? sqrt(off / whole) : 0;
    if (!s->p->eigenvalues || !(whole > 0)) return;
    out->value_error = sqrt(value / whole);
    out->error = sqrt((value + off) / whole);
}

/* q with X^q = (A + damping)^-1; 0: p is not -1 over a whole number. */
static double inverse_power(const pitot_preconditioner *p) {
    double q = p->power < 0 ? -1 / p->power : 0;
    return q > 0 && fabs(q - round(q)) < 1e-9 * q ? round(q) : 0;
}

/* (A + damping) X^q - I, X = Q' diag(lambda) Q with rows of Q */
static void inverse_figure(side *s, double q, pitot_stale_factor *out) {
    int64_t n = s->n;
    double *X = s->work[0], *E = s->work[1];
    for (int64_t i = 0; i < n; i++) {
        double by = pow(s->lambda[i], q);
        for (int64_t j = 0; j < n; j++) E[i * n + j] = by * s->Q[i * n + j];
    }
    multiply(1, 0, n, n, n, E, s->Q, X);
    multiply(0, 0, n, n, n, s->A, X, E);
    for (int64_t i = 0; i < n * n; i++) E[i] += s->p->damping * X[i];
    for (int64_t i = 0; i < n; i++) E[i * n + i] -= 1;
    out->inverse_error = sqrt(square_sum(E, n * n) / (double)n);
}

/* B B' with B = (A + damping)^(1/2) Q' lambda^(q/2): its eigenvalues are those of (A + damping) X^q. */
static int32_t condition_figure(side *s, double q, pitot_stale_factor *out) {
    int64_t n = s->n;
    double *B = s->work[0], *M = s->work[1], *value = mem_alloc(n, sizeof *value),
           *vectors = mem_alloc(n, (size_t)n * sizeof *value);
    int32_t status = value && vectors ? PITOT_OK : PITOT_ENOMEM;
    if (!status) {
        multiply(0, 1, n, n, n, s->U, s->Q, B); /* in A's own eigenbasis */
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++) B[i * n + j] *= sqrt(s->a[i] + s->p->damping) * pow(fmax(0, s->lambda[j]), q / 2);
        multiply(0, 1, n, n, n, B, B, M);
        status = precond_decompose(n, M, vectors, value);
    }
    if (!status) out->condition_after = value[0] > 0 ? value[n - 1] / value[0] : INFINITY;
    mem_free(value);
    mem_free(vectors);
    return status;
}

static int32_t factor_figures(side *s, pitot_stale_factor *out) {
    double nan = NAN, low, q = inverse_power(s->p);
    *out = (pitot_stale_factor){ sizeof *out, nan, nan, nan, nan, nan, nan, s->seconds };
    low = s->a[0] + s->p->damping;
    out->condition = low > 0 ? (s->a[s->n - 1] + s->p->damping) / low : INFINITY;
    if (s->p->basis) basis_figures(s, out);
    if (q == 0 || !applies(s)) return PITOT_OK;
    for (int64_t i = 0; i < s->n; i++)
        if (!isfinite(s->lambda[i])) return PITOT_OK; /* a damping of 0 and a factor without full rank */
    inverse_figure(s, q, out);
    return condition_figure(s, q, out);
}

/* ---- the block ---- */

typedef struct block {
    int64_t m, n;
    side *left, *right;
    double *g, *fresh, *stale, *t; /* (m,n) each */
} block;

/* to = L from R', L and R bases of left and right by rows; with `back`, L' from R. NULL: the identity. */
static void rotate(const block *b, const double *L, const double *R, int back, const double *from, double *to) {
    if (L) multiply(back, 0, b->m, b->n, b->m, L, from, b->t);
    else memcpy(b->t, from, (size_t)(b->m * b->n) * sizeof *to);
    if (R) multiply(0, !back, b->m, b->n, b->n, b->t, R, to);
    else memcpy(to, b->t, (size_t)(b->m * b->n) * sizeof *to);
}

static const pitot_preconditioner *corrected_of(const block *b) {
    const pitot_preconditioner *l = b->left->p, *r = b->right->p;
    return l && l->corrected ? l : r && r->corrected ? r : NULL;
}

/* x -> x weight^power, weight the preconditioner in its bases: of a Kronecker pair. */
static void scale_kron(const block *b, const double *l, const double *r, double *x) {
    for (int64_t i = 0; i < b->m; i++)
        for (int64_t j = 0; j < b->n; j++) x[i * b->n + j] *= (l ? l[i] : 1) * (r ? r[j] : 1);
}

static double *fresh_values(const side *s) {
    double *v = mem_alloc(s->n, sizeof *v);
    for (int64_t i = 0; v && i < s->n; i++) v[i] = pow(s->a[i] + s->p->damping, s->p->power);
    return v;
}

/* carried (m,n) = (T_l o T_l) corrected (T_r o T_r)', T = U Q' from bases in use to fresh ones: what each fresh pair of
   eigenvectors sees of a diagonal in the bases in use. */
static int32_t carry(block *b, const pitot_preconditioner *c, double *carried) {
    for (int64_t i = 0; i < b->m * b->n; i++) carried[i] = (double)c->corrected[i];
    side *const sides[] = { b->left, b->right };
    for (int k = 0; k < 2; k++) {
        side *s = sides[k];
        if (!s->p) continue;
        multiply(0, 1, s->n, s->n, s->n, s->U, s->Q, s->work[0]);
        for (int64_t i = 0; i < s->n * s->n; i++) s->work[0][i] *= s->work[0][i];
    }
    double *out = mem_alloc(b->m * b->n, sizeof *out);
    if (!out) return PITOT_ENOMEM;
    rotate(b, b->left->p ? b->left->work[0] : NULL, b->right->p ? b->right->work[0] : NULL, 0, carried, out);
    memcpy(carried, out, (size_t)(b->m * b->n) * sizeof *out);
    mem_free(out);
    return PITOT_OK;
}

static void fill_update(const block *b, const double *inverse_stale, pitot_stale_update *out) {
    int64_t size = b->m * b->n;
    out->along = dot(b->g, b->stale, size);
    out->stale = dot(b->stale, inverse_stale, size);
    out->fresh = dot(b->g, b->fresh, size);
    out->dot = dot(b->stale, b->fresh, size);
    out->stale_square = square_sum(b->stale, size);
    out->fresh_square = square_sum(b->fresh, size);
    double cosine = out->dot / sqrt(out->stale_square * out->fresh_square);
    out->angle = acos(fmin(1, fmax(-1, cosine))) * 180 / M_PI;
    out->lost = fmax(0, 1 - out->along * out->along / (out->stale * out->fresh));
    if (!isfinite(cosine)) out->angle = out->lost = NAN;
}

/* P, P' and P'^-1 each in its own bases: `in_use` and `fresh` are what they multiply with there, (m,n). */
static int32_t compare(block *b, const double *in_use, const double *fresh, pitot_stale_update *out) {
    int64_t size = b->m * b->n;
    const double *ql = b->left->p ? b->left->Q : NULL, *qr = b->right->p ? b->right->Q : NULL, *ul = b->left->p ? b->left->U : NULL,
                 *ur = b->right->p ? b->right->U : NULL;
    double *x = mem_alloc(size, sizeof *x);
    if (!x) return PITOT_ENOMEM;
    rotate(b, ql, qr, 0, b->g, x);
    for (int64_t i = 0; i < size; i++) x[i] *= in_use[i];
    rotate(b, ql, qr, 1, x, b->stale);
    rotate(b, ul, ur, 0, b->g, x);
    for (int64_t i = 0; i < size; i++) x[i] *= fresh[i];
    rotate(b, ul, ur, 1, x, b->fresh);
    rotate(b, ul, ur, 0, b->stale, x);
    for (int64_t i = 0; i < size; i++) x[i] /= fresh[i];
    double *inverse = mem_alloc(size, sizeof *inverse);
    if (inverse) {
        rotate(b, ul, ur, 1, x, inverse);
        fill_update(b, inverse, out);
    }
    mem_free(inverse);
    mem_free(x);
    return inverse ? PITOT_OK : PITOT_ENOMEM;
}

static int32_t kron_weights(const block *b, double *in_use, double *fresh) {
    double *l = b->left->p ? fresh_values(b->left) : NULL, *r = b->right->p ? fresh_values(b->right) : NULL;
    int32_t status = (b->left->p && !l) || (b->right->p && !r) ? PITOT_ENOMEM : PITOT_OK;
    for (int64_t i = 0; i < b->m * b->n; i++) in_use[i] = fresh[i] = 1;
    scale_kron(b, b->left->p ? b->left->lambda : NULL, b->right->p ? b->right->lambda : NULL, in_use);
    if (!status) scale_kron(b, l, r, fresh);
    mem_free(l);
    mem_free(r);
    return status;
}

static int32_t update_figures(block *b, pitot_stale_update *out) {
    const pitot_preconditioner *c = corrected_of(b);
    int64_t size = b->m * b->n;
    double nan = NAN;
    *out = (pitot_stale_update){ sizeof *out, nan, nan, nan, nan, nan, nan, nan, nan };
    if (c && ((b->left->p && !b->left->p->basis) || (b->right->p && !b->right->p->basis))) return PITOT_OK;
    if (!c && !(applies(b->left) && applies(b->right))) return PITOT_OK;
    double *in_use = mem_alloc(size, sizeof *in_use), *fresh = mem_alloc(size, sizeof *fresh);
    int32_t status = in_use && fresh ? PITOT_OK : PITOT_ENOMEM;
    if (!status && !c) status = kron_weights(b, in_use, fresh);
    if (!status && c) {
        for (int64_t i = 0; i < size; i++) in_use[i] = precond_corrected(c, (double)c->corrected[i]);
        status = carry(b, c, fresh);
        for (int64_t i = 0; i < size && !status; i++) fresh[i] = precond_corrected(c, fresh[i]);
    }
    if (!status) status = compare(b, in_use, fresh, out);
    mem_free(in_use);
    mem_free(fresh);
    return status;
}

static int32_t read_gradient(block *b, const pitot_real *g, int64_t row_step, const pitot_real *bias) {
    int64_t own = b->n - (b->right->p && b->right->p->bias_column ? 1 : 0);
    double **const all[] = { &b->g, &b->fresh, &b->stale, &b->t };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!(*all[i] = mem_alloc(b->m, (size_t)b->n * sizeof(double)))) return PITOT_ENOMEM;
    for (int64_t i = 0; i < b->m; i++) {
        for (int64_t j = 0; j < own; j++) b->g[i * b->n + j] = (double)g[i * row_step + j];
        if (own < b->n) b->g[i * b->n + own] = bias ? (double)bias[i] : 0;
    }
    for (int64_t i = 0; i < b->m * b->n; i++)
        if (!isfinite(b->g[i])) return PITOT_EHOST;
    return PITOT_OK;
}

int32_t pitot_stale(const pitot_preconditioner *left, const pitot_preconditioner *right, int64_t rows, int64_t columns,
                    const pitot_real *g, int64_t row_step, const pitot_real *bias, pitot_stale_factor *left_out,
                    pitot_stale_factor *right_out, pitot_stale_update *update) {
    side sides[2] = { { 0 } };
    block b = { .m = rows, .n = columns, .left = &sides[0], .right = &sides[1] };
    if ((!left && !right) || rows < 1 || columns < 1 || (update && !g)) return PITOT_EINVAL;
    int32_t status = open_side(&sides[0], left, rows);
    if (!status) status = open_side(&sides[1], right, columns);
    if (!status && left && left_out) status = factor_figures(&sides[0], left_out);
    if (!status && right && right_out) status = factor_figures(&sides[1], right_out);
    if (!status && update) status = read_gradient(&b, g, row_step, bias);
    if (!status && update) status = update_figures(&b, update);
    close_side(&sides[0]);
    close_side(&sides[1]);
    mem_free(b.g);
    mem_free(b.fresh);
    mem_free(b.stale);
    mem_free(b.t);
    return status;
}

double pitot_stale_interval(double cost, double lost, double age) {
    if (!(age >= 1) || !(cost >= 0) || isnan(lost)) return NAN;
    double s = lost / age;
    if (!(s > 0)) return INFINITY;
    return fmax(1, sqrt(cost * cost + 2 * cost / s) - cost);
}
