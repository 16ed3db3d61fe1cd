/* inverse.c: inverses as operators, by conjugate gradients and by Neumann's series, with the residual of what they gave: |A y - x| / |x|.
   Whether the inner operator stands still is seen in the first call with something to solve; that they are `checked` themselves from then
   on says so. */

#include "curve/cg.h"
#include "curve/check.h"
#include "pitot/curve.h"
#include "pitot/hot.h"
#include "pitot/probe.h"

#include <math.h>
#include <string.h>

enum { MOST_PRODUCTS = 1000 };

static const double CG_TOLERANCE = sizeof(pitot_real) == 8 ? 1e-6 : 1e-4;
static const double GROWTH = 1 + 1e-4; /* of a term in its length, beyond which it is not round-off */

static int usable(const pitot_linop *op, const pitot_real *work) {
    return op && op->apply && op->symmetric && op->n >= 1 && work;
}

static pitot_linop inverse_of(const pitot_linop *inner, const char *name,
                              int32_t (*apply)(void *, const pitot_real *, pitot_real *, int64_t), void *self) {
    return (pitot_linop){ .struct_size = sizeof(pitot_linop),
                          .name = name,
                          .n = inner->n,
                          .symmetric = 1,
                          .exact = 0,
                          .apply = apply,
                          .self = self,
                          .checked = !check_is_due(inner) };
}

/* The worst of all columns. */
static void note(pitot_solved *s, double residual, double tolerance, int64_t products) {
    if (!(residual <= s->residual)) s->residual = residual;
    s->converged = s->residual <= tolerance;
    s->products += products;
}

PITOT_HOT static void add_multiple(pitot_real *y, double a, const pitot_real *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] = (pitot_real)((double)y[i] + a * (double)x[i]);
}

/* ---- conjugate gradients ---- */

static int32_t solve(pitot_inverse_cg *s, const pitot_real *x, pitot_real *y) {
    pitot_cg_column column = { 0 };
    pitot_cg_config how = { .struct_size = sizeof how, .tolerance = s->tolerance, .products = s->products, .work = s->work };
    if (!isfinite(pitot_sum_squares(x, s->op.n))) return PITOT_EHOST;
    memset(y, 0, (size_t)s->op.n * sizeof *y);
    int32_t status = cg_solve(s->inner, &how, s->op.checked, 1, x, y, &column, NULL);
    if (!status && column.products > 0) s->op.checked = 1;
    note(&s->solved, column.residual, s->tolerance, column.products);
    return !status && column.indefinite ? PITOT_ENOTSUP : status;
}

static int32_t apply_cg(void *self, const pitot_real *x, pitot_real *y, int64_t k) {
    pitot_inverse_cg *s = self;
    const int64_t n = s->op.n;
    int32_t status = PITOT_OK;
    s->solved = (pitot_solved){ .converged = 1 };
    for (int64_t j = 0; j < k && !status; j++) status = solve(s, x + j * n, y + j * n);
    s->op.error = s->solved.residual;
    return status;
}

int32_t pitot_inverse_cg_init(pitot_inverse_cg *s, const pitot_linop *inner, double tolerance, int64_t products, pitot_real *work) {
    if (!s || !usable(inner, work) || !(tolerance >= 0) || !isfinite(tolerance) || products < 0 || products == 1)
        return PITOT_EINVAL;
    int64_t most = inner->n < MOST_PRODUCTS / 2 ? 2 * inner->n + 2 : MOST_PRODUCTS;
    *s = (pitot_inverse_cg){ .op = inverse_of(inner, "inverse_cg", apply_cg, s),
                             .inner = inner,
                             .tolerance = tolerance > 0 ? tolerance : CG_TOLERANCE,
                             .products = products ? products : most,
                             .work = work };
    return PITOT_OK;
}

/* ---- Neumann's series ---- */

/* y: room, zeros before and after. */
static int32_t check_first(pitot_inverse_neumann *s, const pitot_real *x, const pitot_real *product, pitot_real *y) {
    int64_t products = 0;
    if (s->op.checked || !(pitot_sum_squares(x, s->op.n) > 0)) return PITOT_OK;
    int32_t status = check_repeat(s->inner, x, product, 1, y, &products, NULL);
    memset(y, 0, (size_t)s->op.n * sizeof *y);
    s->solved.products += products;
    s->op.checked = !status;
    return status;
}

/* term_k = (I - scale A)^k x; what is left of x after the last is the residual: x - A y = term_(terms + 1). */
static int32_t series(pitot_inverse_neumann *s, const pitot_real *x, pitot_real *y) {
    const int64_t n = s->op.n;
    pitot_real *term = s->work, *product = s->work + n;
    double first = sqrt(pitot_sum_squares(x, n)), now = first;
    int32_t status = isfinite(first) ? PITOT_OK : PITOT_EHOST;
    memcpy(term, x, (size_t)n * sizeof *x);
    memset(y, 0, (size_t)n * sizeof *y);
    int64_t k = 0;
    for (; k <= s->terms && !status; k++) {
        double before = now;
        status = s->inner->apply(s->inner->self, term, product, 1);
        if (!status && k == 0) status = check_first(s, term, product, y);
        if (status) break;
        add_multiple(y, s->scale, term, n);
        add_multiple(term, -s->scale, product, n);
        now = sqrt(pitot_sum_squares(term, n));
        if (!isfinite(now)) status = PITOT_EHOST;
        else if (now > GROWTH * before) status = PITOT_ENOTSUP;
    }
    note(&s->solved, first > 0 ? now / first : 0, s->tolerance, k);
    return status;
}

static int32_t apply_neumann(void *self, const pitot_real *x, pitot_real *y, int64_t k) {
    pitot_inverse_neumann *s = self;
    const int64_t n = s->op.n;
    int32_t status = PITOT_OK;
    s->solved = (pitot_solved){ .converged = 1 };
    for (int64_t j = 0; j < k && !status; j++) status = series(s, x + j * n, y + j * n);
    s->op.error = s->solved.residual;
    return status;
}

int32_t pitot_inverse_neumann_init(pitot_inverse_neumann *s, const pitot_linop *inner, double scale, int64_t terms,
                                   double tolerance, pitot_real *work) {
    if (!s || !usable(inner, work) || !(scale > 0) || !isfinite(scale) || terms < 0 || !(tolerance >= 0)) return PITOT_EINVAL;
    *s = (pitot_inverse_neumann){ .op = inverse_of(inner, "inverse_neumann", apply_neumann, s),
                                  .inner = inner,
                                  .scale = scale,
                                  .tolerance = tolerance,
                                  .terms = terms,
                                  .work = work };
    return PITOT_OK;
}
