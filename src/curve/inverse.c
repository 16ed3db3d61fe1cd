/* inverse.c: inverses as operators, by conjugate gradients and by Neumann's series, with the residual of what they gave: |A y - x| / |x|. */

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
    return (pitot_linop){
        .struct_size = sizeof(pitot_linop), .name = name, .n = inner->n, .symmetric = 1, .exact = 0, .apply = apply, .self = self
    };
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

typedef struct cg {
    const pitot_linop *a;
    int64_t n, products, most;
    pitot_real *r, *p, *q; /* (n) residual as the recurrence has it, direction, product */
} cg;

static int32_t multiply(cg *c, const pitot_real *x, pitot_real *y) {
    c->products++;
    return c->a->apply(c->a->self, x, y, 1);
}

/* r = x - A y; *length = |r| */
static int32_t true_residual(cg *c, const pitot_real *x, const pitot_real *y, double *length) {
    int32_t status = multiply(c, y, c->q);
    if (status) return status;
    memcpy(c->r, x, (size_t)c->n * sizeof *x);
    add_multiple(c->r, -1, c->q, c->n);
    *length = sqrt(pitot_sum_squares(c->r, c->n));
    return isfinite(*length) ? PITOT_OK : PITOT_EHOST;
}

/* From y with the residual r, until it is `enough` or one product is left. */
static int32_t go_on(cg *c, double enough, pitot_real *y) {
    double rr = pitot_sum_squares(c->r, c->n);
    memcpy(c->p, c->r, (size_t)c->n * sizeof *c->p);
    while (sqrt(rr) > enough && c->products + 1 < c->most) {
        int32_t status = multiply(c, c->p, c->q);
        if (status) return status;
        double bend = pitot_dot(c->p, c->q, c->n), before = rr;
        if (!isfinite(bend)) return PITOT_EHOST;
        if (bend <= 0) return PITOT_ENOTSUP;
        add_multiple(y, rr / bend, c->p, c->n);
        add_multiple(c->r, -rr / bend, c->q, c->n);
        rr = pitot_sum_squares(c->r, c->n);
        if (!isfinite(rr)) return PITOT_EHOST;
        for (int64_t i = 0; i < c->n; i++) c->p[i] = (pitot_real)((double)c->r[i] + rr / before * (double)c->p[i]);
    }
    return PITOT_OK;
}

/* `best` (n): y as it was when its residual was least. */
static int32_t solve(pitot_inverse_cg *s, const pitot_real *x, pitot_real *y, pitot_real *best) {
    const int64_t n = s->op.n;
    cg c = { s->inner, n, 0, s->products, s->work, s->work + n, s->work + 2 * n };
    double length = sqrt(pitot_sum_squares(x, n)), least = length, now = length;
    int32_t status = isfinite(length) ? PITOT_OK : PITOT_EHOST;
    memset(y, 0, (size_t)n * sizeof *y);
    memcpy(best, y, (size_t)n * sizeof *y);
    memcpy(c.r, x, (size_t)n * sizeof *x);
    while (!status && least > s->tolerance * length && c.products + 2 <= c.most) {
        status = go_on(&c, s->tolerance * length, y);
        if (!status) status = true_residual(&c, x, y, &now);
        if (status || now >= least) break;
        int helped = now < least / 2;
        least = now;
        memcpy(best, y, (size_t)n * sizeof *y);
        if (!helped) break;
    }
    memcpy(y, best, (size_t)n * sizeof *y);
    note(&s->solved, length > 0 ? least / length : 0, s->tolerance, c.products);
    return status;
}

static int32_t apply_cg(void *self, const pitot_real *x, pitot_real *y, int64_t k) {
    pitot_inverse_cg *s = self;
    const int64_t n = s->op.n;
    int32_t status = PITOT_OK;
    s->solved = (pitot_solved){ .converged = 1 };
    for (int64_t j = 0; j < k && !status; j++) status = solve(s, x + j * n, y + j * n, s->work + 3 * n);
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
        add_multiple(y, s->scale, term, n);
        status = s->inner->apply(s->inner->self, term, product, 1);
        if (status) break;
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
