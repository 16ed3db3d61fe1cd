/* stale.c: pitot/stale.h. All of it in double: A = U diag(a) U' of each axis, and from there products. An axis without a factor is the
   identity, and is left out of the products. */

#include "pitot/stale.h"

#include "base/alloc.h"
#include "base/blas.h"
#include "curve/precond.h"

#include <float.h>
#include <math.h>
#include <string.h>
#include <time.h>

typedef struct side {              /* one axis of the block */
    const pitot_preconditioner *p; /* NULL: the identity */
    int64_t n;
    double *A;       /* (n,n) the running average now, unbiased */
    double *U, *a;   /* rows of U are its eigenvectors; (n) its eigenvalues, those below 0 taken as 0 */
    double *Q;       /* rows are the basis in use, if there is one */
    double *X;       /* (n,n) what multiplies along this axis, if that is told */
    double *work[2]; /* (n,n) each */
    double seconds;
} side;

static const double round_off = 64 * DBL_EPSILON; /* of `lost`, a difference of numbers near 1 */
static const double real_round_off = sizeof(pitot_real) == 8 ? DBL_EPSILON : (double)FLT_EPSILON;

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

/* As far as factors kept in bfloat16 (2^-9 of a value) go and more, and short of a triangle left out, or of another matrix. */
static const double asymmetry = 0.01, negativity = 0.1, obliqueness = 0.05;

static int32_t read_factor(side *s) {
    int64_t n = s->n;
    double by = s->p->bias_correction != 0 ? s->p->bias_correction : 1, skew = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            double a = by * (double)s->p->factor[i * n + j], b = by * (double)s->p->factor[j * n + i];
            s->A[i * n + j] = (a + b) / 2;
            skew += (a - b) * (a - b);
        }
    double whole = square_sum(s->A, n * n);
    return isfinite(whole) && sqrt(skew / 4) <= asymmetry * sqrt(whole) ? PITOT_OK : PITOT_EHOST;
}

/* What round-off made of a 0 is 0. */
static int32_t drop_negative(side *s) {
    if (s->a[0] < -negativity * s->a[s->n - 1] || s->a[s->n - 1] < 0) return PITOT_EHOST;
    for (int64_t i = 0; i < s->n; i++) s->a[i] = fmax(0, s->a[i]);
    return PITOT_OK;
}

static int32_t check_basis(side *s) {
    int64_t n = s->n;
    double *E = s->work[0];
    multiply(0, 1, n, n, n, s->Q, s->Q, E);
    for (int64_t i = 0; i < n; i++) E[i * n + i] -= 1;
    return sqrt(square_sum(E, n * n) / (double)n) <= obliqueness ? PITOT_OK : PITOT_EHOST;
}

/* U = V Q, V eigenvectors of B = Q A Q'. Entries of B that are round-off count as 0, so that of an eigenspace of more than one dimension (the
   null space of a factor that has seen few gradients) U keeps the basis in use: any other would be as good, and seem to have moved. */
static int32_t decompose_in_use(side *s) {
    int64_t n = s->n;
    double *B = s->work[0], *V = s->work[1], most = 0;
    multiply(0, 0, n, n, n, s->Q, s->A, V);
    multiply(0, 1, n, n, n, V, s->Q, B);
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(B[i * n + i]));
    for (int64_t i = 0; i < n * n; i++)
        if (fabs(B[i]) <= 4 * sqrt((double)n) * real_round_off * most) B[i] = 0;
    int32_t status = precond_decompose(n, B, V, s->a);
    if (status) return status;
    multiply(0, 0, n, n, n, V, s->Q, s->U);
    multiply(0, 1, n, n, n, s->U, s->U, B);
    multiply(0, 0, n, n, n, B, s->U, V);
    for (int64_t i = 0; i < n * n; i++) s->U[i] = 1.5 * s->U[i] - 0.5 * V[i]; /* orthogonal to more digits than pitot_real's */
    return PITOT_OK;
}

static int32_t read_basis(side *s) {
    const pitot_preconditioner *p = s->p;
    for (int64_t i = 0; i < s->n; i++)
        for (int64_t j = 0; j < s->n; j++) s->Q[j * s->n + i] = (double)p->basis[i * s->n + j];
    for (int64_t i = 0; p->eigenvalues && i < s->n; i++)
        if (!isfinite(p->eigenvalues[i])) return PITOT_EHOST;
    return check_basis(s);
}

/* X = Q' diag((lambda + damping)^p) Q with rows of Q, or the inverse that is kept. */
static int32_t read_in_use(side *s) {
    const pitot_preconditioner *p = s->p;
    int64_t n = s->n;
    int32_t status = p->basis ? read_basis(s) : PITOT_OK;
    if (status) return status;
    for (int64_t i = 0; p->inverse && i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            s->X[i * n + j] = ((double)p->inverse[i * n + j] + (double)p->inverse[j * n + i]) / 2;
            if (!isfinite(s->X[i * n + j])) return PITOT_EHOST;
        }
    if (p->inverse || !p->basis || !p->eigenvalues) return PITOT_OK;
    for (int64_t i = 0; i < n; i++) {
        double by = pow(fmax(0, (double)p->eigenvalues[i]) + p->damping, p->power);
        for (int64_t j = 0; j < n; j++) s->work[0][i * n + j] = by * s->Q[i * n + j];
    }
    multiply(1, 0, n, n, n, s->Q, s->work[0], s->X);
    return PITOT_OK;
}

static int32_t read_side(side *s, int corrected) {
    int32_t status = read_factor(s);
    if (!status) status = read_in_use(s);
    if (status) return status;
    double start = now();
    status = corrected && s->p->basis ? decompose_in_use(s) : precond_decompose(s->n, s->A, s->U, s->a);
    s->seconds = now() - start;
    return status ? status : drop_negative(s);
}

static int32_t open_side(side *s, const pitot_preconditioner *p, int64_t n, int corrected) {
    *s = (side){ .p = p, .n = n };
    if (!p) return PITOT_OK;
    if (p->n != n || !p->factor || p->axis < 0 || !isfinite(p->power)) return PITOT_EINVAL;
    if (!(p->damping >= 0 && isfinite(p->damping))) return PITOT_EINVAL;
    double **const square[] = { &s->A, &s->U, &s->Q, &s->X, &s->work[0], &s->work[1] };
    for (size_t i = 0; i < sizeof square / sizeof *square; i++)
        if (!(*square[i] = mem_alloc(n, (size_t)n * sizeof(double)))) return PITOT_ENOMEM;
    s->a = mem_alloc(n, sizeof *s->a);
    return s->a ? read_side(s, corrected) : PITOT_ENOMEM;
}

static void close_side(side *s) {
    mem_free(s->A);
    mem_free(s->U);
    mem_free(s->a);
    mem_free(s->Q);
    mem_free(s->X);
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
    return q > 0 && q < 1e6 && fabs(q - round(q)) < 1e-9 * q ? round(q) : 0;
}

/* X^q by squaring, in X itself (q = 1) or one of work. */
static const double *whole_power(const side *s, int64_t q) {
    int64_t n = s->n, bit = 1;
    const double *r = s->X;
    int k = 0;
    while (bit <= q / 2) bit *= 2;
    for (bit /= 2; bit > 0; bit /= 2) {
        multiply(0, 0, n, n, n, r, r, s->work[k]);
        r = s->work[k];
        k = !k;
        if (!(q & bit)) continue;
        multiply(0, 0, n, n, n, r, s->X, s->work[k]);
        r = s->work[k];
        k = !k;
    }
    return r;
}

/* (A + damping) X^q - I */
static void inverse_figure(const side *s, const double *Xq, double *E, pitot_stale_factor *out) {
    int64_t n = s->n;
    multiply(0, 0, n, n, n, s->A, Xq, E);
    for (int64_t i = 0; i < n * n; i++) E[i] += s->p->damping * Xq[i];
    for (int64_t i = 0; i < n; i++) E[i * n + i] -= 1;
    out->inverse_error = sqrt(square_sum(E, n * n) / (double)n);
}

/* S = (A + damping)^(1/2) X^q (A + damping)^(1/2) in A's eigenbasis; T (n,n) of work. S may be where X^q was. */
static int32_t condition_figure(const side *s, const double *Xq, double *T, double *S, pitot_stale_factor *out) {
    int64_t n = s->n, room = blas_eigenvalues_work(n);
    double *value = mem_alloc(n, sizeof *value), *work = room < 0 ? NULL : mem_alloc(room, sizeof *work);
    int32_t status = value && work ? PITOT_OK : PITOT_ENOMEM;
    if (!status) {
        multiply(0, 0, n, n, n, s->U, Xq, T);
        multiply(0, 1, n, n, n, T, s->U, S);
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++) S[i * n + j] *= sqrt((s->a[i] + s->p->damping) * (s->a[j] + s->p->damping));
        status = blas_eigenvalues(n, S, value, work) ? PITOT_EHOST : PITOT_OK;
    }
    if (!status) out->condition_after = value[0] > 0 ? value[n - 1] / value[0] : INFINITY;
    mem_free(value);
    mem_free(work);
    return status;
}

/* What X gives; nothing, where it is not finite: a damping of 0 and a factor without full rank. */
static int32_t power_figures(const side *s, double q, pitot_stale_factor *out) {
    if (!isfinite(square_sum(s->X, s->n * s->n))) return PITOT_OK;
    const double *Xq = whole_power(s, (int64_t)q);
    if (!isfinite(square_sum(Xq, s->n * s->n))) return PITOT_OK;
    double *T = Xq == s->work[0] ? s->work[1] : s->work[0], *S = T == s->work[0] ? s->work[1] : s->work[0];
    inverse_figure(s, Xq, T, out);
    return condition_figure(s, Xq, T, S, out);
}

/* corrected: other values than those of the basis are in use. */
static int32_t factor_figures(side *s, int corrected, pitot_stale_factor *out) {
    double nan = NAN, low, q = inverse_power(s->p);
    *out = (pitot_stale_factor){ sizeof *out, nan, nan, nan, nan, nan, nan, s->seconds };
    low = s->a[0] + s->p->damping;
    out->condition = low > 0 ? (s->a[s->n - 1] + s->p->damping) / low : INFINITY;
    if (s->p->basis) basis_figures(s, out);
    return q == 0 || corrected || !precond_applies(s->p) ? PITOT_OK : power_figures(s, q, out);
}

/* ---- the block ---- */

typedef struct block {
    int64_t m, n;
    side *left, *right;
    double *g, *stale, *x, *t; /* (m,n) each: the gradient, P g, either in the fresh bases, room */
    double *fresh;             /* (m,n) what P' multiplies by in its bases */
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

/* Of a Kronecker pair. */
static void fresh_values(const block *b) {
    const side *l = b->left, *r = b->right;
    for (int64_t i = 0; i < b->m; i++) {
        double left = l->p ? pow(l->a[i] + l->p->damping, l->p->power) : 1;
        for (int64_t j = 0; j < b->n; j++) b->fresh[i * b->n + j] = left;
    }
    for (int64_t j = 0; r->p && j < b->n; j++) {
        double right = pow(r->a[j] + r->p->damping, r->p->power);
        for (int64_t i = 0; i < b->m; i++) b->fresh[i * b->n + j] *= right;
    }
}

/* carried (m,n) = (T_l o T_l) corrected (T_r o T_r)', T = U Q' from bases in use to fresh ones: what each fresh pair of
   eigenvectors sees of a diagonal in the bases in use. */
static int32_t carry(block *b, const pitot_preconditioner *c, double *carried) {
    for (int64_t i = 0; i < b->m * b->n; i++) {
        carried[i] = (double)c->corrected[i];
        if (!isfinite(carried[i])) return PITOT_EHOST;
    }
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

/* P' is diagonal in its bases, which keep lengths and products as they are. */
static void fill_update(block *b, pitot_stale_update *out) {
    const double *ul = b->left->p ? b->left->U : NULL, *ur = b->right->p ? b->right->U : NULL;
    int64_t size = b->m * b->n;
    out->along = dot(b->g, b->stale, size);
    out->stale_square = square_sum(b->stale, size);
    rotate(b, ul, ur, 0, b->g, b->x);
    rotate(b, ul, ur, 0, b->stale, b->g); /* which is not needed any more */
    out->stale = out->fresh = out->dot = out->fresh_square = 0;
    for (int64_t i = 0; i < size; i++) {
        double fresh = b->fresh[i] * b->x[i];
        out->stale += b->g[i] * b->g[i] / b->fresh[i];
        out->fresh += b->x[i] * fresh;
        out->dot += b->g[i] * fresh;
        out->fresh_square += fresh * fresh;
    }
    double cosine = out->dot / sqrt(out->stale_square * out->fresh_square);
    out->angle = acos(fmin(1, fmax(-1, cosine))) * 180 / M_PI;
    out->lost = 1 - out->along * out->along / (out->stale * out->fresh);
    if (out->lost < round_off) out->lost = 0;
    if (!isfinite(cosine) || !isfinite(out->lost)) out->angle = out->lost = NAN;
}

/* P g with the moments c, and what these are in the fresh bases. */
static int32_t correct(block *b, const pitot_preconditioner *c) {
    const double *ql = b->left->p ? b->left->Q : NULL, *qr = b->right->p ? b->right->Q : NULL;
    int32_t status = carry(b, c, b->fresh);
    for (int64_t i = 0; i < b->m * b->n && !status; i++) b->fresh[i] = precond_corrected(c, b->fresh[i]);
    rotate(b, ql, qr, 0, b->g, b->x);
    for (int64_t i = 0; i < b->m * b->n; i++) b->x[i] *= precond_corrected(c, (double)c->corrected[i]);
    rotate(b, ql, qr, 1, b->x, b->stale);
    return status;
}

static int is_shown(const side *s, int corrected) {
    return !s->p || (corrected ? s->p->basis != NULL : precond_applies(s->p));
}

static int32_t update_figures(block *b, pitot_stale_update *out) {
    const pitot_preconditioner *c = corrected_of(b);
    double nan = NAN;
    *out = (pitot_stale_update){ sizeof *out, nan, nan, nan, nan, nan, nan, nan, nan };
    if (!is_shown(b->left, c != NULL) || !is_shown(b->right, c != NULL)) return PITOT_OK;
    int32_t status = c ? correct(b, c) : PITOT_OK;
    if (!c) {
        fresh_values(b);
        rotate(b, b->left->p ? b->left->X : NULL, b->right->p ? b->right->X : NULL, 0, b->g, b->stale);
    }
    if (!status) fill_update(b, out);
    return status;
}

/* `corrected` is of this block. */
static int fits(const pitot_preconditioner *p, int64_t rows, int64_t columns) {
    return !p || !p->corrected || (!p->n_rows && !p->n_columns) || (p->n_rows == rows && p->n_columns == columns);
}

static int32_t read_gradient(block *b, const pitot_real *g, int64_t row_step, const pitot_real *bias) {
    int64_t own = b->n - (b->right->p && b->right->p->bias_column ? 1 : 0);
    double **const all[] = { &b->g, &b->stale, &b->x, &b->t, &b->fresh };
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
    if (update && !(fits(left, rows, columns) && fits(right, rows, columns))) return PITOT_EINVAL;
    int corrected = (left && left->corrected) || (right && right->corrected);
    int32_t status = open_side(&sides[0], left, rows, corrected);
    if (!status) status = open_side(&sides[1], right, columns, corrected);
    if (!status && left && left_out) status = factor_figures(&sides[0], corrected, left_out);
    if (!status && right && right_out) status = factor_figures(&sides[1], corrected, right_out);
    if (!status && update) status = read_gradient(&b, g, row_step, bias);
    if (!status && update) status = update_figures(&b, update);
    close_side(&sides[0]);
    close_side(&sides[1]);
    mem_free(b.g);
    mem_free(b.fresh);
    mem_free(b.stale);
    mem_free(b.x);
    mem_free(b.t);
    return status;
}

double pitot_stale_interval(double cost, double lost, double age) {
    if (!(age >= 1) || !(cost >= 0) || isnan(lost)) return NAN;
    double s = lost / age;
    if (!(s > 0)) return INFINITY;
    return fmax(1, sqrt(cost * cost + 2 * cost / s) - cost);
}
