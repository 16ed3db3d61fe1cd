/* combine.c: operators made of operators: damped, summed, cut out. */

#include "pitot/curve.h"

#include "base/sums.h"
#include "base/threads.h"
#include "curve/check.h"
#include "pitot/hot.h"

#include <math.h>
#include <string.h>

static int usable(const pitot_linop *op) {
    return op && op->apply && op->n >= 1;
}

typedef struct add_job {
    double a, b;
    const pitot_real *x;
    pitot_real *y;
} add_job;

PITOT_HOT static void scale_and_add(double a, pitot_real *y, double b, const pitot_real *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] = (pitot_real)(a * (double)y[i] + b * (double)x[i]);
}

static void add_range(void *job, int64_t begin, int64_t end, int thread) {
    const add_job *j = job;
    (void)thread;
    scale_and_add(j->a, j->y + begin, j->b, j->x + begin, end - begin);
}

/* y = a y + b x, in double up to the result */
static void add(double a, pitot_real *y, double b, const pitot_real *x, int64_t n) {
    add_job job = { a, b, x, y };
    threads_run(sums_threads(n), n, add_range, &job);
}

/* ---- A + delta I ---- */

static int32_t apply_damped(void *self, const pitot_real *x, pitot_real *y, int64_t k) {
    pitot_damped *s = self;
    int32_t status = s->inner->apply(s->inner->self, x, y, k);
    if (!status) add(1, y, s->delta, x, s->op.n * k);
    s->op.error = s->inner->error;
    return status;
}

int32_t pitot_damped_init(pitot_damped *s, const pitot_linop *inner, double delta) {
    if (!s || !usable(inner) || !isfinite(delta)) return PITOT_EINVAL;
    *s = (pitot_damped){ .op = *inner, .inner = inner, .delta = delta };
    s->op.struct_size = sizeof s->op;
    s->op.checked = !check_is_due(inner);
    s->op.name = "damped";
    s->op.apply = apply_damped;
    s->op.self = s;
    return PITOT_OK;
}

/* ---- a A + b B ---- */

static int32_t apply_combined(void *self, const pitot_real *x, pitot_real *y, int64_t k) {
    pitot_combined *s = self;
    const int64_t n = s->op.n;
    int32_t status = PITOT_OK;
    for (int64_t j = 0; j < k && !status; j++) {
        status = s->first->apply(s->first->self, x + j * n, y + j * n, 1);
        if (!status) status = s->second->apply(s->second->self, x + j * n, s->work, 1);
        if (!status) add(s->a, y + j * n, s->b, s->work, n);
    }
    s->op.error = fmax(s->first->error, s->second->error);
    return status;
}

int32_t pitot_combined_init(pitot_combined *s, double a, const pitot_linop *first, double b, const pitot_linop *second,
                            pitot_real *work) {
    if (!s || !usable(first) || !usable(second) || !work || !isfinite(a) || !isfinite(b)) return PITOT_EINVAL;
    if (first->n != second->n) return PITOT_EMISMATCH;
    *s = (pitot_combined){ .first = first, .second = second, .a = a, .b = b, .work = work };
    s->op = (pitot_linop){ .struct_size = sizeof s->op,
                           .name = "sum",
                           .n = first->n,
                           .symmetric = first->symmetric && second->symmetric,
                           .exact = first->exact && second->exact,
                           .apply = apply_combined,
                           .self = s,
                           .error = fmax(first->error, second->error),
                           .checked = !check_is_due(first) && !check_is_due(second) };
    return PITOT_OK;
}

/* ---- rows and columns ---- */

static int32_t apply_submatrix(void *self, const pitot_real *x, pitot_real *y, int64_t k) {
    pitot_submatrix *s = self;
    const int64_t n = s->op.n, m = s->inner->n;
    pitot_real *wide = s->work, *product = s->work + m;
    int32_t status = PITOT_OK;
    for (int64_t j = 0; j < k && !status; j++) {
        memset(wide, 0, (size_t)m * sizeof *wide);
        for (int64_t i = 0; i < n; i++) wide[s->index[i]] = x[j * n + i];
        status = s->inner->apply(s->inner->self, wide, product, 1);
        for (int64_t i = 0; i < n && !status; i++) y[j * n + i] = product[s->index[i]];
    }
    s->op.error = s->inner->error;
    return status;
}

int32_t pitot_submatrix_init(pitot_submatrix *s, const pitot_linop *inner, const int64_t *index, int64_t n, pitot_real *work) {
    if (!s || !usable(inner) || !index || !work || n < 1 || n > inner->n) return PITOT_EINVAL;
    for (int64_t i = 0; i < n; i++)
        if (index[i] >= inner->n || index[i] < (i ? index[i - 1] + 1 : 0)) return PITOT_EINVAL;
    *s = (pitot_submatrix){ .op = *inner, .inner = inner, .index = index, .work = work };
    s->op.struct_size = sizeof s->op;
    s->op.checked = !check_is_due(inner);
    s->op.name = "submatrix";
    s->op.n = n;
    s->op.apply = apply_submatrix;
    s->op.self = s;
    return PITOT_OK;
}
