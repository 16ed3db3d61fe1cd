/* spectral.c: powers of a small symmetric operator from all its eigenvalues and eigenvectors. In double whatever pitot_real is. */

#include "pitot/curve.h"

#include "base/alloc.h"
#include "base/blas.h"
#include "base/random.h"
#include "curve/check.h"
#include "curve/draws.h"

#include <math.h>
#include <string.h>

enum { MOST = 20000, TOGETHER = 8 };

/* y = Q f Q' x, the eigenvectors being the rows of `vector` */
static int32_t apply(void *self, const pitot_real *x, pitot_real *y, int64_t k) {
    pitot_spectral *s = self;
    const int64_t n = s->op.n;
    double *in = s->work, *along = s->work + n;
    for (int64_t j = 0; j < k; j++) {
        for (int64_t i = 0; i < n; i++) in[i] = (double)x[j * n + i];
        blas_product(0, n, s->vector, in, along);
        for (int64_t i = 0; i < n; i++) along[i] *= s->scale[i];
        blas_product(1, n, s->vector, along, in);
        for (int64_t i = 0; i < n; i++) y[j * n + i] = (pitot_real)in[i];
    }
    return PITOT_OK;
}

/* ---- the matrix ---- */

/* Rows from..from+k of A, which are its columns, into a (n,n). */
static int32_t some_columns(const pitot_linop *inner, int64_t from, int64_t k, pitot_real *e, pitot_real *columns, double *a) {
    const int64_t n = inner->n;
    memset(e, 0, (size_t)(k * n) * sizeof *e);
    for (int64_t j = 0; j < k; j++) e[j * n + from + j] = 1;
    int32_t status = inner->apply(inner->self, e, columns, k);
    for (int64_t i = 0; i < k * n && !status; i++) {
        a[from * n + i] = (double)columns[i];
        if (!isfinite(a[from * n + i])) status = PITOT_EHOST;
    }
    return status;
}

/* With random signs, which every column has its part in; room (2,n). */
static int32_t check_once(const pitot_linop *inner, pitot_real *signs, pitot_real *room, pitot_error *error) {
    int64_t products = 0;
    draws_signs(signs, inner->n, 0, random_purpose("spectral"), 0);
    return check_repeat(inner, signs, NULL, 2, room, &products, error);
}

static int32_t fill(const pitot_linop *inner, double *a, pitot_error *error) {
    const int64_t n = inner->n;
    pitot_real *e = mem_alloc(TOGETHER, (size_t)n * sizeof *e), *columns = mem_alloc(TOGETHER, (size_t)n * sizeof *columns);
    int32_t status = e && columns ? check_once(inner, e, columns, error) : PITOT_ENOMEM;
    for (int64_t j = 0; j < n && !status; j += TOGETHER)
        status = some_columns(inner, j, n - j < TOGETHER ? n - j : TOGETHER, e, columns, a);
    mem_free(e);
    mem_free(columns);
    for (int64_t i = 0; i < n && !status; i++)
        for (int64_t j = 0; j < i; j++) a[i * n + j] = a[j * n + i] = (a[i * n + j] + a[j * n + i]) / 2;
    return status ? pitot_fail(error, status, "%s: its columns could not be made: %s", inner->name ? inner->name : "operator",
                               status == PITOT_EHOST ? "a value is not finite" : pitot_strerror(status))
                  : PITOT_OK;
}

/* ---- its eigenvalues ---- */

static int32_t decompose(pitot_spectral *s, pitot_error *error) {
    int64_t room = blas_eigenvectors_work(s->op.n);
    double *work = mem_alloc(room, sizeof *work);
    if (!work) return pitot_fail(error, PITOT_ENOMEM, "no memory for the eigenvectors of %lld values", (long long)s->op.n);
    int bad = blas_eigenvectors(s->op.n, s->vector, s->value, work);
    mem_free(work);
    return bad ? pitot_fail(error, PITOT_EHOST, "the eigenvalues did not converge") : PITOT_OK;
}

static int32_t raise(pitot_spectral *s, pitot_error *error) {
    for (int64_t i = 0; i < s->op.n; i++) {
        char value[32], base[32];
        s->scale[i] = pow(s->value[i] + s->delta, s->power);
        if (isfinite(s->scale[i])) continue;
        pitot_number_text(s->value[i], value, sizeof value);
        pitot_number_text(s->value[i] + s->delta, base, sizeof base);
        return pitot_fail(error, PITOT_EINVAL, "eigenvalue %lld is %s: %s to that power is not a number; take a larger delta",
                          (long long)i, value, base);
    }
    return PITOT_OK;
}

static int32_t make(pitot_spectral *s, const pitot_linop *inner, pitot_error *error) {
    const int64_t n = inner->n;
    s->vector = mem_alloc(n, (size_t)n * sizeof *s->vector);
    s->value = mem_alloc(n, sizeof *s->value);
    s->scale = mem_alloc(n, sizeof *s->scale);
    s->work = mem_alloc(2, (size_t)n * sizeof *s->work);
    if (!s->vector || !s->value || !s->scale || !s->work)
        return pitot_fail(error, PITOT_ENOMEM, "no memory for the eigenvectors of %lld values", (long long)n);
    int32_t status = fill(inner, s->vector, error);
    if (!status) status = decompose(s, error);
    return status ? status : raise(s, error);
}

int32_t pitot_spectral_init(pitot_spectral *s, const pitot_linop *inner, double power, double delta, pitot_error *error) {
    if (!s || !inner || !inner->apply || !inner->symmetric || inner->n < 1 || !isfinite(power) || !isfinite(delta))
        return pitot_fail(error, PITOT_EINVAL, "a symmetric operator is needed, and a power and a delta that are finite");
    if (inner->n > MOST)
        return pitot_fail(error, PITOT_ENOTSUP, "%lld values are too many for a dense matrix; %d at the most", (long long)inner->n,
                          MOST);
    *s = (pitot_spectral){ .power = power, .delta = delta };
    s->op = (pitot_linop){ .struct_size = sizeof s->op,
                           .name = "power",
                           .n = inner->n,
                           .symmetric = 1,
                           .exact = inner->exact,
                           .apply = apply,
                           .self = s,
                           .error = inner->error,
                           .checked = 1 };
    int32_t status = make(s, inner, error);
    if (status) pitot_spectral_free(s);
    return status;
}

void pitot_spectral_free(pitot_spectral *s) {
    if (!s) return;
    mem_free(s->vector);
    mem_free(s->value);
    mem_free(s->scale);
    mem_free(s->work);
    s->vector = s->value = s->scale = s->work = NULL;
}
