/* cg.c: preconditioned conjugate gradients for several columns. Those at work are the first `active` slots, so that their directions
   lie side by side for one call; when one is done, the last takes its place. Rounds: iterate, compute the true residuals, go on from
   those that are too large and came down since the round before. */

#include "curve/cg.h"

#include "base/alloc.h"
#include "curve/basis.h"
#include "curve/check.h"
#include "pitot/probe.h"

#include <math.h>
#include <string.h>

enum { PRODUCTS = 100, PATIENCE = 100 }; /* steps without a new least residual */

static const double TOLERANCE = 1e-3, INSIDE = 0.8, HELPED = 0.5; /* of the tolerance by the recurrence; of the residual before */

typedef struct slot {
    int64_t column;
    double size, before; /* |b|; residual of the round before, 0: none */
    double rho;          /* r'z */
    double best;         /* least residual of this round, by the recurrence */
    int64_t best_at;     /* number of its product */
} slot;

typedef struct cg {
    const pitot_linop *op, *inverse;
    const pitot_cg_config *set;
    int64_t n, k, active, limit, products;
    double tolerance;
    const pitot_real *b;
    pitot_real *x, *r, *d, *y, *z; /* (k,n) each; r, d, y, z by slot: residual, direction, Op d, preconditioned r */
    pitot_cg_column *column;
    slot *slot;
    int stopped;
    int warm, sure, turned;    /* 1: x is not all zeros; op need not be checked; the preconditioner has been */
    int64_t checked, repeated; /* column that op was checked with; products that took */
    pitot_error *error;
} cg;

/* ---- slots ---- */

static void leave(cg *g, int64_t i) {
    int64_t last = --g->active;
    slot done = g->slot[i];
    g->slot[i] = g->slot[last];
    g->slot[last] = done;
    if (i == last) return;
    memcpy(g->r + i * g->n, g->r + last * g->n, (size_t)g->n * sizeof *g->r);
    memcpy(g->d + i * g->n, g->d + last * g->n, (size_t)g->n * sizeof *g->r);
    memcpy(g->y + i * g->n, g->y + last * g->n, (size_t)g->n * sizeof *g->r);
}

static int may_step(const cg *g, int64_t i) {
    return g->column[g->slot[i].column].products + 2 <= g->limit;
}

/* After the first product of all, with a direction that is not zero. Room: of a warm start r, which is not made before it is judged, else x. */
static int32_t check_operator(cg *g) {
    int64_t i = 0;
    pitot_real *room = g->warm ? g->r : g->x;
    if (g->sure) return PITOT_OK;
    while (i + 1 < g->active && !(pitot_sum_squares(g->d + i * g->n, g->n) > 0)) i++;
    g->checked = g->slot[i].column;
    int32_t status = check_repeat(g->op, g->d + i * g->n, g->y + i * g->n, g->active, room, &g->repeated, g->error);
    if (!g->warm) memset(g->x, 0, (size_t)(g->k * g->n) * sizeof *g->x);
    return status;
}

/* z = preconditioner r, of all active slots. The first time it is checked, with y for room, which no direction has a product in. */
static int32_t precondition(cg *g) {
    int64_t products = 0;
    int32_t status = g->inverse->apply(g->inverse->self, g->r, g->z, g->active);
    if (!status && !g->turned) status = check_repeat(g->inverse, g->r, g->z, g->active, g->y, &products, g->error);
    g->turned = 1;
    return status;
}

/* y = (Op + damping I) d for all active slots, but for the damping. */
static int32_t apply(cg *g) {
    int32_t status = g->op->apply(g->op->self, g->d, g->y, g->active);
    if (!status && g->products == 0) status = check_operator(g);
    for (int64_t i = 0; i < g->active; i++) {
        int64_t *made = &g->column[g->slot[i].column].products;
        if (++*made > g->products) g->products = *made;
    }
    if (!status && g->set->progress && g->set->progress(g->set->user, g->products, g->limit)) g->stopped = 1;
    return status;
}

/* ---- the true residual ---- */

/* r = b - (Op + damping I) x of slot i, y being Op x. Slots at their end leave; the others start anew. */
static int32_t judge(cg *g, int64_t i, int has_product) {
    slot *s = &g->slot[i];
    pitot_cg_column *c = &g->column[s->column];
    pitot_real *r = g->r + i * g->n, *y = g->y + i * g->n;
    const pitot_real *x = g->x + s->column * g->n;
    double own = 0, square;
    memcpy(r, g->b + s->column * g->n, (size_t)g->n * sizeof *r);
    if (has_product) {
        own = g->op->error * sqrt(pitot_sum_squares(y, g->n));
        basis_update(y, -g->set->damping, x, y, g->n);
        basis_update(r, 1, y, r, g->n);
    }
    square = pitot_sum_squares(r, g->n);
    if (!isfinite(square) || !isfinite(own)) return PITOT_EHOST;
    c->residual = s->size > 0 ? (sqrt(square) + own) / s->size : 0;
    c->converged = c->residual <= g->tolerance;
    int helped = s->before <= 0 || c->residual <= HELPED * s->before;
    s->before = c->residual;
    if (c->converged || !helped || c->indefinite || !may_step(g, i)) leave(g, i);
    return PITOT_OK;
}

static int32_t check_all(cg *g, int has_product) {
    int32_t status = PITOT_OK;
    for (int64_t i = 0; i < g->active && has_product; i++)
        memcpy(g->d + i * g->n, g->x + g->slot[i].column * g->n, (size_t)g->n * sizeof *g->d);
    if (has_product && g->active > 0) status = apply(g);
    for (int64_t i = g->active - 1; i >= 0 && !status; i--) status = judge(g, i, has_product);
    return status;
}

/* ---- iteration ---- */

/* z, r'z, and the next direction of each active slot. */
static int32_t turn(cg *g, int first) {
    int32_t status = PITOT_OK;
    if (g->inverse && g->active > 0) status = precondition(g);
    for (int64_t i = g->active - 1; i >= 0 && !status; i--) {
        const pitot_real *r = g->r + i * g->n, *z = g->inverse ? g->z + i * g->n : r;
        slot *s = &g->slot[i];
        double rho = pitot_dot(r, z, g->n);
        if (!isfinite(rho)) return PITOT_EHOST;
        if (!(rho > 0)) {
            g->column[s->column].indefinite = 2;
            leave(g, i);
            continue;
        }
        if (first) {
            memcpy(g->d + i * g->n, z, (size_t)g->n * sizeof *z);
            s->best = INFINITY;
        } else basis_combine(g->d + i * g->n, rho / s->rho, z, g->n);
        s->rho = rho;
    }
    return status;
}

/* Slot i along its direction; leaves if it need not, or may not, go on. */
static int32_t advance(cg *g, int64_t i) {
    slot *s = &g->slot[i];
    pitot_cg_column *c = &g->column[s->column];
    pitot_real *d = g->d + i * g->n, *y = g->y + i * g->n, *r = g->r + i * g->n, *x = g->x + s->column * g->n;
    double curvature = basis_update(y, -g->set->damping, d, d, g->n), square = pitot_sum_squares(d, g->n);
    if (!isfinite(curvature) || !isfinite(square)) return PITOT_EHOST;
    c->curvature = curvature / square;
    if (!(curvature > 0)) {
        c->indefinite = 1;
        leave(g, i);
        return PITOT_OK;
    }
    double step = s->rho / curvature;
    basis_update(x, -step, d, d, g->n);
    double rest = basis_update(r, step, y, r, g->n);
    if (!isfinite(rest)) return PITOT_EHOST;
    if (rest < s->best) s->best = rest, s->best_at = c->products;
    if (sqrt(rest) <= INSIDE * g->tolerance * s->size || c->products - s->best_at >= PATIENCE || !may_step(g, i)) leave(g, i);
    return PITOT_OK;
}

/* Until every slot has left; then all that were at work are active again. */
static int32_t iterate(cg *g) {
    int64_t at_work = g->active;
    int32_t status = turn(g, 1);
    while (!status && !g->stopped && g->active > 0) {
        status = apply(g);
        for (int64_t i = g->active - 1; i >= 0 && !status; i--) status = advance(g, i);
        if (!status && !g->stopped) status = turn(g, 0);
    }
    g->active = at_work;
    return status;
}

static int32_t run(cg *g, int warm) {
    int32_t status = check_all(g, warm);
    while (!status && !g->stopped && g->active > 0) {
        status = iterate(g);
        for (int64_t i = 0; i < g->active; i++) {
            g->column[g->slot[i].column].residual = NAN; /* until it is known */
            g->column[g->slot[i].column].converged = 0;
        }
        if (!status && !g->stopped) status = check_all(g, 1);
    }
    return status;
}

/* ---- beginning ---- */

static int32_t check(const pitot_linop *op, const pitot_cg_config *c, int64_t k, const pitot_real *b, const pitot_real *x,
                     const pitot_cg_column *columns, pitot_error *error) {
    int64_t values;
    if (!op || !op->apply || op->n <= 0 || !c || !c->work || !b || !x || !columns || k < 1)
        return pitot_fail(error, PITOT_EINVAL, "cg: no operator, columns or work space; hand them in");
    const pitot_linop *m = c->preconditioner;
    if (!op->symmetric || (m && (!m->symmetric || !m->apply || m->n != op->n)))
        return pitot_fail(error, PITOT_EINVAL, "cg: operator and preconditioner must be symmetric and of one size");
    if (!(c->tolerance >= 0) || c->products < 0 || !(c->damping >= 0) || !isfinite(c->damping) ||
        __builtin_mul_overflow(4 * op->n, k, &values))
        return pitot_fail(error, PITOT_EINVAL, "cg: settings make no sense; tolerance, products and damping from 0 on");
    if (!isfinite(pitot_sum_squares(b, k * op->n)) || !isfinite(pitot_sum_squares(x, k * op->n)))
        return pitot_fail(error, PITOT_EINVAL, "cg: the right-hand side, or where to start from, is not finite");
    return PITOT_OK;
}

/* Slots of the columns that need any work; returns whether any of them starts from something. */
static int begin(cg *g) {
    int warm = pitot_sum_squares(g->x, g->k * g->n) > 0;
    for (int64_t j = 0; j < g->k; j++) {
        double size = sqrt(pitot_sum_squares(g->b + j * g->n, g->n));
        g->column[j] = (pitot_cg_column){ .residual = size > 0 ? NAN : 0, .converged = !(size > 0) };
        if (size > 0) g->slot[g->active++] = (slot){ .column = j, .size = size };
        else memset(g->x + j * g->n, 0, (size_t)g->n * sizeof *g->x);
    }
    return warm;
}

int32_t cg_solve(const pitot_linop *op, const pitot_cg_config *settings, int sure, int64_t k, const pitot_real *b, pitot_real *x,
                 pitot_cg_column *columns, pitot_error *error) {
    int32_t status = check(op, settings, k, b, x, columns, error);
    if (status) return status;
    int64_t rows = k * op->n;
    cg g = {
        .op = op, .inverse = settings->preconditioner, .set = settings, .n = op->n, .k = k, .b = b, .x = x, .column = columns
    };
    g.sure = sure;
    g.error = error;
    g.limit = settings->products ? settings->products : PRODUCTS;
    g.tolerance = settings->tolerance > 0 ? settings->tolerance : TOLERANCE;
    g.r = settings->work;
    g.d = g.r + rows;
    g.y = g.d + rows;
    g.z = g.inverse ? g.y + rows : NULL;
    slot single;
    g.slot = k == 1 ? &single : mem_alloc(k, sizeof *g.slot);
    if (!g.slot) return pitot_fail(error, PITOT_ENOMEM, "cg: no memory for %lld columns", (long long)k);
    g.warm = begin(&g);
    status = run(&g, g.warm);
    columns[g.checked].products += g.repeated;
    if (k > 1) mem_free(g.slot);
    if (status == PITOT_EHOST)
        pitot_fail(error, status, "cg: product %lld of %s, or of the preconditioner, is not finite, or failed; are the weights?",
                   (long long)g.products, op->name ? op->name : "the operator");
    return status;
}

int32_t pitot_cg(const pitot_linop *op, const pitot_cg_config *settings, int64_t k, const pitot_real *b, pitot_real *x,
                 pitot_cg_column *columns, pitot_error *error) {
    return cg_solve(op, settings, 0, k, b, x, columns, error);
}
