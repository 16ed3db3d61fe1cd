/* quadrature.c: stochastic Lanczos quadrature. Of each draw in hand (a lane) the last two vectors are kept, and all of them where they are
   to be kept orthogonal; diagonal and side of its tridiagonal matrix grow where its nodes and weights will be.

       y = Op v_j - beta_j v_{j-1},  alpha_j = v_j'y,  y -= alpha_j v_j,  beta_{j+1} = |y|        (Paige 1972, the stable order)

   Semi-orthogonality: omega_j(k), about v_j'v_k, by the recurrence of Simon 1984, "The Lanczos algorithm with partial
   reorthogonalization", Math. Comp. 42, with bounds in place of random numbers for round-off. When one comes up to sqrt(u), this vector
   and the next are made orthogonal to all. */

#include "base/alloc.h"
#include "base/random.h"
#include "base/sums.h"
#include "base/threads.h"
#include "curve/basis.h"
#include "curve/check.h"
#include "curve/draws.h"
#include "curve/reduced.h"
#include "curve/tridiagonal.h"
#include "pitot/probe.h"
#include "pitot/quadrature.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { STEPS = 64, DRAWS = 4, MOST_TOGETHER = 64, NEGLIGIBLE = 4, FLOOR = 16 };

#define UNIT (sizeof(pitot_real) == 4 ? (double)FLT_EPSILON : DBL_EPSILON)

static const double SHORT = 0.1, COARSE = 1e-12;

typedef struct lane {
    int32_t draw, made;
    int again;            /* 1: the next vector, too, is made orthogonal */
    double side;          /* beta of the latest vector */
    double length, size;  /* of the latest product; of the longest */
    pitot_real *basis;    /* (steps,n), or NULL */
    double *alpha, *beta; /* (steps): of row j, and between j and j + 1 */
    double old[PITOT_QUADRATURE_STEPS + 1], now[PITOT_QUADRATURE_STEPS + 1], next[PITOT_QUADRATURE_STEPS + 1];
} lane;

typedef struct run {
    const pitot_linop *op;
    const reduced *within; /* what op is of, on n rows; NULL: it is the operator itself */
    pitot_real *start;     /* room for a vector of the operator itself, if so */
    const pitot_quadrature_config *set;
    pitot_quadrature *q;
    int64_t n, of;
    int32_t steps, draws, together, kind;
    pitot_real *x, *y, *before; /* (together,n) each: v_j, what is made of it, v_{j-1} */
    lane *lane;                 /* (together) */
    int active;
    int stopped;
    int64_t repeated; /* products beside the steps', to see that op stands still */
    pitot_error *error;
    uint64_t purpose;
} run;

/* ---- settings ---- */

static int32_t steps_of(const pitot_quadrature_config *c) {
    return c->steps ? c->steps : STEPS;
}

static int keeps_all(const pitot_quadrature_config *c) {
    return c->reorthogonalise == PITOT_REORTH_SEMI || c->reorthogonalise == PITOT_REORTH_FULL;
}

static int makes_sense(const pitot_quadrature_config *c) {
    return c && c->steps >= 0 && c->steps <= PITOT_QUADRATURE_STEPS && c->draws >= 0 && c->together >= 0 &&
           c->together <= MOST_TOGETHER && c->reorthogonalise >= PITOT_REORTH_AUTO && c->reorthogonalise <= PITOT_REORTH_FULL;
}

int64_t pitot_quadrature_vectors(const pitot_quadrature_config *config) {
    if (!makes_sense(config)) return -1;
    int64_t together = config->together ? config->together : 1;
    return together * (3 + (keeps_all(config) ? steps_of(config) : 0));
}

static int32_t check(const pitot_linop *op, const pitot_quadrature_config *c, const pitot_quadrature *q, pitot_error *error) {
    if (!op || !op->apply || op->n <= 0) return pitot_fail(error, PITOT_EINVAL, "quadrature: there is no operator; hand one in");
    if (!op->symmetric)
        return pitot_fail(error, PITOT_EINVAL, "quadrature: operator %s is not symmetric; only those that are have a real spectrum",
                          op->name ? op->name : "");
    if (!makes_sense(c))
        return pitot_fail(error, PITOT_EINVAL,
                          "quadrature: settings make no sense; steps 1 to %d, draws 1 or more, together 1 to %d",
                          PITOT_QUADRATURE_STEPS, MOST_TOGETHER);
    int64_t values;
    if (!c->work || !q || !q->node || !q->weight || !q->used || __builtin_mul_overflow(op->n, pitot_quadrature_vectors(c), &values))
        return pitot_fail(error, PITOT_EINVAL, "quadrature: no work space or result arrays; see pitot_quadrature_vectors");
    return PITOT_OK;
}

/* ---- omega ---- */

/* The products of the vector to come with those before it: j steps are made, beta[j-1] is its length before it was made unit. */
static void recur(const run *r, lane *l) {
    int j = l->made - 1;
    const double *a = l->alpha, *b = l->beta, noise = 2 * (UNIT + r->op->error) * l->length;
    for (int k = 0; k < j; k++) {
        double sum = b[k] * l->now[k + 1] + (a[k] - a[j]) * l->now[k] + (k ? b[k - 1] * l->now[k - 1] : 0) - b[j - 1] * l->old[k];
        l->next[k] = (sum + copysign(noise, sum)) / b[j];
    }
    l->next[j] = UNIT + noise / b[j];
    l->next[j + 1] = 1;
}

static void turn(lane *l) {
    int m = l->made + 1;
    memcpy(l->old, l->now, (size_t)m * sizeof *l->old);
    memcpy(l->now, l->next, (size_t)m * sizeof *l->now);
}

static int must_reorthogonalise(const run *r, lane *l) {
    double most = 0;
    recur(r, l);
    for (int k = 0; k < l->made; k++) most = fmax(most, fabs(l->next[k]));
    int due = most > sqrt(UNIT), now = due || l->again || r->kind == PITOT_REORTH_FULL;
    l->again = due;
    return now;
}

/* ---- a step of one lane ---- */

/* v_{j+1} in y, made orthogonal if that is due. Returns its length; 0: the subspace ends here. */
static double rest_of(run *r, lane *l, pitot_real *y, double length) {
    double negligible = NEGLIGIBLE * UNIT * l->size;
    if (!l->basis || !(length > negligible) || l->made == r->steps) return length > negligible ? length : 0;
    l->beta[l->made - 1] = length;
    if (must_reorthogonalise(r, l)) {
        length = basis_orthogonalise_many(l->basis, l->made, r->n, y, NULL, negligible);
        r->q->reorthogonal++;
        for (int k = 0; k < l->made; k++) l->next[k] = UNIT;
    }
    turn(l);
    return length;
}

/* x becomes unit; returns the length that it had. */
static double unit(pitot_real *x, int64_t n, double square) {
    basis_scale(x, n, 1 / sqrt(square));
    return sqrt(square);
}

/* beta_j v_{j-1} goes from y; returns alpha. *beta as the lengths say it, whose sums are in double; where values are, too, where lengths
   cancel too far, or where y is needed, alpha v_j goes as well and *gone is 1. */
static double coefficients(const run *r, const lane *l, pitot_real *y, pitot_real *x, pitot_real *before, double *beta, int *gone) {
    double product[2];
    basis_subtract_one(y, l->side, before, x, r->n, product);
    double square = product[1] - product[0] * product[0];
    *gone = l->basis || UNIT < COARSE || !(square > SHORT * SHORT * product[1]);
    *beta = sqrt(*gone ? basis_update(y, product[0], x, y, r->n) : square);
    return product[0];
}

/* Takes the product in row i of y; 1: the lane has come to its end. Not finite: *status. */
static int advance(run *r, int i, int32_t *status) {
    lane *l = &r->lane[i];
    pitot_real *x = r->x + i * r->n, *y = r->y + i * r->n, *before = r->before + i * r->n;
    int j = l->made++;
    int gone;
    double beta, alpha = coefficients(r, l, y, x, before, &beta, &gone);
    if (!isfinite(alpha) || !isfinite(beta)) {
        *status = PITOT_EHOST;
        return 1;
    }
    l->alpha[j] = alpha;
    l->length = sqrt(alpha * alpha + beta * beta + l->side * l->side);
    l->size = fmax(l->size, l->length);
    l->side = l->beta[j] = rest_of(r, l, y, beta);
    if (!isfinite(l->side)) *status = PITOT_EHOST;
    if (!(l->side > 0) || l->made == r->steps) return 1;
    double square = basis_turn(y, gone ? 0 : alpha, x, before, 1 / l->side, r->n);
    if (!gone && fabs(square - 1) > UNIT) l->side = l->beta[j] *= unit(x, r->n, square);
    if (l->basis) memcpy(l->basis + l->made * r->n, x, (size_t)r->n * sizeof *x);
    return 0;
}

/* ---- lanes ---- */

static void begin(run *r, int i, int32_t draw) {
    lane *l = &r->lane[i];
    pitot_real *x = r->x + i * r->n;
    l->draw = draw;
    l->made = l->again = 0;
    l->side = l->length = l->size = 0;
    l->alpha = r->q->node + (int64_t)draw * r->q->steps;
    l->beta = r->q->weight + (int64_t)draw * r->q->steps;
    memset(l->old, 0, sizeof l->old);
    memset(l->now, 0, sizeof l->now);
    l->now[0] = 1;
    memset(r->before + i * r->n, 0, (size_t)r->n * sizeof *x);
    pitot_real *v = r->within ? r->start : x;
    if (r->set->gaussian) draws_normal(v, r->q->n, r->set->seed, r->purpose, (uint64_t)draw);
    else draws_signs(v, r->q->n, r->set->seed, r->purpose, (uint64_t)draw);
    if (r->within) x[r->within->m] = (pitot_real)reduced_restrict(r->within, v, x);
    basis_scale(x, r->n, 1 / sqrt(pitot_sum_squares(x, r->n)));
    if (l->basis) memcpy(l->basis, x, (size_t)r->n * sizeof *x);
}

static int32_t finish(run *r, lane *l) {
    pitot_quadrature *q = r->q;
    q->used[l->draw] = l->made;
    if (!tridiagonal_rule(l->made, l->alpha, l->beta, l->next)) return PITOT_EHOST;
    double size = fmax(fabs(l->alpha[0]), fabs(l->alpha[l->made - 1]));
    q->floor = fmax(q->floor, (FLOOR * UNIT + r->op->error) * size);
    return PITOT_OK;
}

/* The last active lane takes the place of lane i, which has ended. */
static void close_gap(run *r, int i) {
    int last = --r->active;
    if (i == last) return;
    lane swap = r->lane[i];
    r->lane[i] = r->lane[last];
    r->lane[last] = swap;
    memcpy(r->x + i * r->n, r->x + last * r->n, (size_t)r->n * sizeof *r->x);
    memcpy(r->y + i * r->n, r->y + last * r->n, (size_t)r->n * sizeof *r->x);
    memcpy(r->before + i * r->n, r->before + last * r->n, (size_t)r->n * sizeof *r->x);
}

/* At the first step of all, where nothing is before it. */
static int32_t check_first(run *r) {
    int32_t status = check_repeat(r->op, r->x, r->y, r->active, r->before, &r->repeated, r->error);
    memset(r->before, 0, (size_t)(r->active * r->n) * sizeof *r->before);
    return status;
}

/* One product for each active lane. */
static int32_t step(run *r) {
    int32_t status = r->op->apply(r->op->self, r->x, r->y, r->active);
    if (!status && r->q->products == 0) status = check_first(r);
    r->q->products += r->active;
    for (int i = r->active - 1; i >= 0 && !status; i--) {
        if (!advance(r, i, &status) || status) continue;
        status = finish(r, &r->lane[i]);
        close_gap(r, i);
    }
    return status;
}

static int32_t run_batch(run *r, int32_t first, int32_t count) {
    int32_t status = PITOT_OK;
    r->active = count;
    for (int32_t i = 0; i < count; i++) begin(r, i, first + i);
    while (!status && r->active > 0) {
        status = step(r);
        if (!status && r->set->progress && r->set->progress(r->set->user, r->q->products, r->of)) r->stopped = 1;
        for (; !status && r->stopped && r->active > 0; r->active--) status = finish(r, &r->lane[r->active - 1]);
    }
    return status;
}

/* Where op has a subspace outside of which it is 0: goes on there and on one direction for all of the rest, which changes nothing of the
   moments of a start vector. Work space is then left over at its end. */
static void reduce(run *r) {
    const reduced *within = reduced_of(r->op);
    if (!within) return;
    r->start = r->set->work + (pitot_quadrature_vectors(r->set) - 1) * r->n;
    r->within = within;
    r->op = &within->and_rest;
    r->n = within->m + 1;
}

int32_t pitot_quadrature_run(const pitot_linop *op, const pitot_quadrature_config *config, pitot_quadrature *q,
                             pitot_error *error) {
    int32_t status = check(op, config, q, error);
    if (status) return status;
    run r = { .op = op, .set = config, .q = q, .n = op->n, .kind = config->reorthogonalise, .error = error };
    r.draws = config->draws ? config->draws : DRAWS;
    reduce(&r);
    r.together = config->together ? config->together : 1;
    r.steps = steps_of(config) < op->n ? steps_of(config) : (int32_t)op->n;
    r.of = (int64_t)r.draws * r.steps;
    r.x = config->work;
    r.y = r.x + r.together * r.n;
    r.before = r.y + r.together * r.n;
    r.purpose = random_purpose("quadrature");
    r.lane = mem_alloc(r.together, sizeof *r.lane);
    if (!r.lane) return pitot_fail(error, PITOT_ENOMEM, "quadrature: no memory for %d draws side by side", (int)r.together);
    for (int i = 0; i < r.together && keeps_all(config); i++)
        r.lane[i].basis = r.before + (r.together + (int64_t)i * steps_of(config)) * r.n;
    *q = (pitot_quadrature){ sizeof *q, op->n, 0, steps_of(config), q->node, q->weight, q->used, 0, 0, 0, 0 };
    while (!status && !r.stopped && q->draws < r.draws) {
        int32_t count = r.draws - q->draws < r.together ? r.draws - q->draws : r.together;
        status = run_batch(&r, q->draws, count);
        q->draws += count;
    }
    mem_free(r.lane);
    q->complete = !status && q->draws == r.draws && (!r.stopped || q->products == r.of);
    q->products += r.repeated;
    if (!status) return PITOT_OK;
    q->draws = 0;
    if (status == PITOT_EHOST)
        pitot_fail(error, status, "quadrature: product %d of %s is not finite, or failed; are the weights?", (int)q->products,
                   op->name ? op->name : "the operator");
    return status;
}
