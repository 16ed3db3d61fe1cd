/* kron_eigen.c: eigenvectors of the factors, and what is done in them: EKFAC's eigenvalues (George et al. 2018, "Fast approximate natural
   gradient descent in a Kronecker-factored eigenbasis", eq. 10), inverses with their dampings, traces and determinants. */

#include "base/alloc.h"
#include "base/blas.h"
#include "curve/kron.h"
#include "pitot/hot.h"

#include <math.h>
#include <string.h>

/* ---- eigenvectors ---- */

/* u (n,n), value (n) of x; what round-off makes negative is 0. */
static int32_t decompose(const pitot_real *x, int64_t n, pitot_real **u, double **value) {
    int64_t work = blas_eigenvectors_work(n);
    if (work < 0) return PITOT_ENOTSUP;
    double *a = mem_alloc(n * n + work, sizeof *a);
    *u = mem_alloc(n, (size_t)n * sizeof **u);
    *value = mem_alloc(n, sizeof **value);
    int32_t status = a && *u && *value ? PITOT_OK : PITOT_ENOMEM;
    for (int64_t i = 0; !status && i < n * n; i++) a[i] = (double)x[i];
    if (!status && blas_eigenvectors(n, a, *value, a + n * n)) status = PITOT_EHOST;
    for (int64_t i = 0; !status && i < n * n; i++) (*u)[i] = (pitot_real)a[i];
    for (int64_t i = 0; !status && i < n; i++) (*value)[i] = fmax((*value)[i], 0);
    mem_free(a);
    return status;
}

static void forget(kron_block *b) {
    mem_free(b->ua);
    mem_free(b->ub);
    mem_free(b->va);
    mem_free(b->vb);
    b->ua = b->ub = NULL;
    b->va = b->vb = NULL;
}

int32_t kron_decompose(pitot_kron *k) {
    int32_t status = PITOT_OK;
    for (int64_t i = 0; !k->decomposed && !status && i < k->n; i++) {
        kron_block *b = &k->block[i];
        forget(b);
        status = decompose(b->a, b->columns, &b->ua, &b->va);
        if (!status) status = decompose(b->b, b->rows, &b->ub, &b->vb);
    }
    k->decomposed = !status;
    return status;
}

/* ---- EKFAC: the mean of squares of each column's gradient in the two bases ---- */

PITOT_HOT static void square(pitot_real *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] *= x[i];
}

PITOT_HOT static void add_squares(const pitot_real *x, int64_t n, pitot_real *to) {
    for (int64_t i = 0; i < n; i++) to[i] += x[i] * x[i];
}

/* Gradients are products: to (rows,columns) += sum over samples of (sum over columns of (U_B s)^2) ((U_A a)^2)' */
static void square_linear(const pitot_kron *k, const kron_block *b, const columns_part *part, pitot_real *to) {
    int64_t m = b->rows, c = b->columns;
    for (int64_t from = 0, n; from < part->n; from += n) {
        n = part->n - from < KRON_SAMPLES ? part->n - from : KRON_SAMPLES;
        pitot_real *turned = k->scratch + part->thread * k->n_scratch, *sums = turned + KRON_SAMPLES * COLUMNS * m;
        pitot_real *x = sums + KRON_SAMPLES * m, *y = x + KRON_SAMPLES * c;
        const pitot_real *s = part->dy + from * part->columns * m;
        blas_gemm(0, 1, n * part->columns, m, m, 1, s, m, b->ub, m, 0, turned, m);
        memset(sums, 0, (size_t)(n * m) * sizeof *sums);
        for (int64_t i = 0; i < n * part->columns; i++) add_squares(turned + i * m, m, sums + i / part->columns * m);
        kron_inputs(k->net, b, part->sample + from, n, x);
        blas_gemm(0, 1, n, c, c, 1, x, c, b->ua, c, 0, y, c);
        square(y, n * c);
        blas_gemm(1, 0, m, c, n, 1, sums, m, y, c, 1, to, c);
    }
}

/* Gradients sum over positions first: (U_B s) (U_A a)' of (rows,T) and (columns,T) */
static void square_conv(const pitot_kron *k, const kron_block *b, const columns_part *part, pitot_real *to) {
    int64_t m = b->rows, c = b->columns, t = b->positions;
    pitot_real *x = k->scratch + part->thread * k->n_scratch, *y = x + c * t, *s = y + c * t, *g = s + m * t;
    for (int64_t i = 0; i < part->n; i++) {
        kron_inputs(k->net, b, part->sample + i, 1, x);
        blas_gemm(0, 0, c, t, c, 1, b->ua, c, x, t, 0, y, t);
        for (int64_t j = 0; j < part->columns; j++) {
            const pitot_real *dy = part->dy + ((i * part->columns + j) * b->geometry.groups + b->group) * m * t;
            blas_gemm(0, 0, m, t, m, 1, b->ub, m, dy, t, 0, s, t);
            blas_gemm(0, 1, m, c, t, 1, s, t, y, t, 0, g, c);
            add_squares(g, m * c, to);
        }
    }
}

static void square_columns(void *user, int32_t at, const columns_part *part) {
    const pitot_kron *k = user;
    for (int64_t i = 0; i < k->n; i++) {
        const kron_block *b = &k->block[i];
        if (b->node != at) continue;
        pitot_real *to = b->sums + part->thread * b->n_sums;
        if (b->is_conv) square_conv(k, b, part, to);
        else square_linear(k, b, part, to);
    }
}

int32_t kron_correct(pitot_kron *k) {
    int32_t status = kron_decompose(k);
    if (status) return status;
    for (int64_t i = 0; i < k->n; i++) {
        kron_block *b = &k->block[i];
        memset(b->sums, 0, (size_t)(k->net->threads * b->n_sums) * sizeof *b->sums);
        b->corrected = mem_alloc(b->rows, (size_t)b->columns * sizeof *b->corrected);
        if (!b->corrected) return PITOT_ENOMEM;
    }
    double scale = kron_send(k, square_columns);
    if (scale < 0) return (int32_t)scale;
    for (int64_t i = 0; i < k->n; i++) {
        kron_block *b = &k->block[i];
        int64_t size = b->rows * b->columns;
        kron_sum_threads(k, b, size);
        for (int64_t j = 0; j < size; j++) b->corrected[j] = scale * (double)b->sums[j];
    }
    return PITOT_OK;
}

/* ---- functions of C in those bases ---- */

static double eigenvalue(const kron_block *b, int64_t i, int64_t j) {
    return b->corrected ? b->corrected[i * b->columns + j] : b->vb[i] * b->va[j];
}

typedef struct damped { /* what a value in the eigenbasis is multiplied with */
    double delta, on_a, on_b;
    int inverts, splits;
} damped;

static double mean(const double *v, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += v[i];
    return sum / (double)n;
}

static damped damping_of(const kron_block *b, const pitot_kron_inverse *v) {
    damped d = { v->damping, 0, 0, 1, v->kind != PITOT_KRON_EXACT };
    double a = mean(b->va, b->columns), s = mean(b->vb, b->rows), pi = 1;
    if (v->kind == PITOT_KRON_PI && a > 0 && s > 0) pi = sqrt(a / s);
    d.on_a = sqrt(v->damping) * pi;
    d.on_b = sqrt(v->damping) / pi;
    return d;
}

static double factor_at(const kron_block *b, const damped *d, int64_t i, int64_t j) {
    if (!d->inverts) return eigenvalue(b, i, j);
    return 1 / (d->splits ? (b->vb[i] + d->on_b) * (b->va[j] + d->on_a) : eigenvalue(b, i, j) + d->delta);
}

/* Y = U_B' (F . (U_B X U_A')) U_A of one block */
static void turn(const pitot_kron *k, const kron_block *b, const damped *d, const pitot_real *x, pitot_real *y) {
    int64_t m = b->rows, c = b->columns;
    pitot_real *p = k->work, *q = p + k->largest;
    kron_pack(b, x, p);
    blas_gemm(0, 0, m, c, m, 1, b->ub, m, p, c, 0, q, c);
    blas_gemm(0, 1, m, c, c, 1, q, c, b->ua, c, 0, p, c);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < c; j++) p[i * c + j] = (pitot_real)((double)p[i * c + j] * factor_at(b, d, i, j));
    blas_gemm(1, 0, m, c, m, 1, b->ub, m, p, c, 0, q, c);
    blas_gemm(0, 0, m, c, c, 1, q, c, b->ua, c, 0, p, c);
    kron_unpack(b, p, y);
}

int32_t kron_multiply_corrected(void *self, const pitot_real *x, pitot_real *y, int64_t columns) {
    const pitot_kron *k = self;
    memset(y, 0, (size_t)(columns * k->size) * sizeof *y);
    for (int64_t j = 0; j < columns; j++)
        for (int64_t i = 0; i < k->n; i++) turn(k, &k->block[i], &(damped){ .delta = 0 }, x + j * k->size, y + j * k->size);
    return PITOT_OK;
}

static int32_t divide(void *self, const pitot_real *x, pitot_real *y, int64_t columns) {
    const pitot_kron_inverse *v = self;
    const pitot_kron *k = v->k;
    for (int64_t i = 0; i < columns * k->size; i++) y[i] = (pitot_real)((double)x[i] / v->damping);
    for (int64_t j = 0; j < columns; j++)
        for (int64_t i = 0; i < k->n; i++) {
            damped d = damping_of(&k->block[i], v);
            turn(k, &k->block[i], &d, x + j * k->size, y + j * k->size);
        }
    return PITOT_OK;
}

int32_t pitot_kron_invert(pitot_kron *k, double damping, int32_t kind, pitot_kron_inverse *out, pitot_error *error) {
    if (!k || !out) return pitot_fail(error, PITOT_EINVAL, "there is nothing to invert, or no room for it");
    if (!(damping > 0) || !isfinite(damping))
        return pitot_fail(error, PITOT_EINVAL, "damping: %g; it must be above 0: factors are singular", damping);
    if (kind < PITOT_KRON_EXACT || kind > PITOT_KRON_PLAIN)
        return pitot_fail(error, PITOT_EINVAL, "kind: there is no inverse %ld", (long)kind);
    if (k->corrected && kind != PITOT_KRON_EXACT)
        return pitot_fail(error, PITOT_EINVAL, "kind: with corrected eigenvalues there are no factors to damp; take EXACT");
    int32_t status = kron_decompose(k);
    if (status) return pitot_fail(error, status, "eigenvectors of the factors: %s", pitot_strerror(status));
    *out = (pitot_kron_inverse){ .k = k, .damping = damping, .kind = kind };
    out->op = (pitot_linop){ .struct_size = sizeof out->op,
                             .name = "kron_inverse",
                             .n = k->size,
                             .symmetric = 1,
                             .exact = k->kind != PITOT_KRON_KFAC,
                             .checked = 1,
                             .apply = divide,
                             .self = out };
    return PITOT_OK;
}

int32_t pitot_kron_get_facts(pitot_kron *k, double damping, pitot_kron_facts *facts) {
    if (!k || !facts || !(damping >= 0) || !isfinite(damping)) return PITOT_EINVAL;
    int32_t status = kron_decompose(k);
    int64_t left = k->size;
    pitot_kron_facts f = { .struct_size = sizeof f };
    for (int64_t n = 0; !status && n < k->n; n++) {
        const kron_block *b = &k->block[n];
        left -= b->rows * b->columns;
        for (int64_t i = 0; i < b->rows; i++)
            for (int64_t j = 0; j < b->columns; j++) {
                double v = eigenvalue(b, i, j);
                f.trace += v;
                f.frobenius += v * v;
                f.largest = fmax(f.largest, v);
                f.logdet += log(v + damping);
            }
    }
    if (left > 0) f.logdet += (double)left * log(damping);
    f.frobenius = sqrt(f.frobenius);
    if (!status) *facts = f;
    return status;
}
