/* precond_staleness.c: how far the optimizer's preconditioner is from the one that its own running averages would give now: whether its basis,
   its eigenvalues or its inverse has aged, what the update loses by it, and how often it is worth to renew them (pitot/stale.h; Eschenhagen et
   al. 2025, "Purifying Shampoo"). What `lost` is follows from the gradient at hand, momentum aside. Of diagonal methods: how the second moment
   that they keep compares with the present gradient's, and the age where estimates are not made in every step (Sophia, AdaHessian: there the moment
   is one of the Hessian's diagonal, and `moment_overlap` the one to read).

   `age` counts from the step that made basis or inverse to this one. A factor of age 1 has seen nothing since: `interval` takes what is lost
   to grow in proportion to the age beyond that, as steeply as it was seen to since the last refresh, for it cannot grow beyond 1. A refresh
   costs `refresh` steps where that is set; else what the eigendecompositions that the probe itself makes take, in double and on one thread,
   over the time that a step has taken since the step tracked before, the probe's own time taken off. Methods that invert or iterate in
   place of these pay less. To look costs a few times more: a decomposition, eigenvalues and products of each factor. */

#include "pitot/probe.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

typedef struct options {
    int64_t largest;
    double refresh;
} options;

static const pitot_option table[] = {
    { "largest", PITOT_INT, 1, offsetof(options, largest), "2048", 1, 1 << 15, NULL, "rows",
      "factors with more rows are left out: an eigendecomposition takes 9 n^3 flops" },
    { "refresh", PITOT_REAL, 1, offsetof(options, refresh), "0", 0, 1e9, NULL, "steps",
      "what a refresh of all factors costs; 0: the time of eigendecompositions here" },
    { 0 },
};

static const pitot_band
    band = { -INFINITY, 0.01, -INFINITY, 0.1,
             "the preconditioner's basis has aged: its running averages are no longer diagonal in it; refresh it "
             "more often, see precond_staleness.interval" },
    lost_band = { -INFINITY, 0.05, -INFINITY, 0.3,
                  "steps lose more than a few per cent of what they could gain because the preconditioner has aged; "
                  "refresh it more often, see precond_staleness.interval" };

static const pitot_output outputs[] = {
    { "", PITOT_SCALAR_PER_TENSOR, PITOT_LOG_AXIS, "", "off-diagonal share of the running average in the basis in use, the largest",
      &band },
    { "age", PITOT_SCALAR_PER_TENSOR, PITOT_LINEAR_AXIS, "steps", "since basis or inverse were computed, the largest", NULL },
    { "drift", PITOT_SCALAR_PER_TENSOR, PITOT_LOG_AXIS, "",
      "eigenvalues in use against those now, over the factor's norm, the largest", NULL },
    { "error", PITOT_SCALAR_PER_TENSOR, PITOT_LOG_AXIS, "", "basis and eigenvalues together, the largest", NULL },
    { "inverse_error", PITOT_SCALAR_PER_TENSOR, PITOT_LOG_AXIS, "", "|A X^q - 1| over the root of the rows, the largest", NULL },
    { "condition", PITOT_SCALAR_PER_TENSOR, PITOT_LOG_AXIS, "", "condition number of a damped factor, the largest", NULL },
    { "condition_after", PITOT_SCALAR_PER_TENSOR, PITOT_LOG_AXIS, "",
      "the same after preconditioning, the largest; 1: nothing is stale", NULL },
    { "angle", PITOT_SCALAR_PER_TENSOR, PITOT_LINEAR_AXIS, "degrees", "of the preconditioned gradient with a fresh one", NULL },
    { "lost", PITOT_SCALAR_PER_TENSOR, PITOT_LOG_AXIS, "", "share of the predicted decrease that is lost by the age", &lost_band },
    { "cost", PITOT_SCALAR, PITOT_LOG_AXIS, "steps", "what a refresh of all factors costs", NULL },
    { "interval", PITOT_SCALAR, PITOT_LOG_AXIS, "steps", "between refreshes that loses least", NULL },
    { "moment_ratio", PITOT_SCALAR_PER_TENSOR, PITOT_LOG_AXIS, "", "squares of the gradient over the second moment in use", NULL },
    { "moment_overlap", PITOT_SCALAR_PER_TENSOR, PITOT_LINEAR_AXIS, "", "cosine of |g| with the root of the second moment", NULL },
    { 0 },
};

typedef struct state {
    int64_t step; /* tracked last; 0: none */
    double wall, own;
    double process;   /* that `wall` is of */
    double seen;      /* age, then */
    double lost, age; /* the steepest since the last refresh, of an age of more than a step; that age less one */
    int64_t renewed;  /* 1: these are of before a refresh */
} state;

enum { BASIS, AGE, DRIFT, ERROR, INVERSE, CONDITION, AFTER, FIGURES };
static const char *const fields[FIGURES] = { "", "age", "drift", "error", "inverse_error", "condition", "condition_after" };

typedef struct sums {     /* of a tensor, or of all */
    double most[FIGURES]; /* NaN: none yet */
    pitot_stale_update u; /* sums over blocks */
    int64_t blocks, left_out, refused;
    double seconds;
    double g2, v2, gv; /* diagonals */
    double estimated;  /* their age; NaN: not told */
} sums;

static sums nothing(void) {
    sums s = { .u = { .struct_size = sizeof s.u }, .estimated = NAN };
    for (int i = 0; i < FIGURES; i++) s.most[i] = NAN;
    return s;
}

static void raise(sums *s, int figure, double value) {
    s->most[figure] = fmax(s->most[figure], value); /* NaN is nobody's maximum */
}

static void add(sums *to, const sums *from) {
    for (int i = 0; i < FIGURES; i++) raise(to, i, from->most[i]);
    to->u.along += from->u.along;
    to->u.stale += from->u.stale;
    to->u.fresh += from->u.fresh;
    to->u.dot += from->u.dot;
    to->u.stale_square += from->u.stale_square;
    to->u.fresh_square += from->u.fresh_square;
    to->blocks += from->blocks;
    to->left_out += from->left_out;
    to->refused += from->refused;
    to->seconds += from->seconds;
    to->g2 += from->g2;
    to->v2 += from->v2;
    to->gv += from->gv;
    to->estimated = fmax(to->estimated, from->estimated);
}

/* ---- one block ---- */

static int same_block(const pitot_preconditioner *a, const pitot_preconditioner *b) {
    return a->param == b->param && a->first_row == b->first_row && a->first_column == b->first_column && a->rows == b->rows;
}

static void add_factor(sums *s, const pitot_frame *f, const pitot_preconditioner *p, const pitot_stale_factor *x) {
    raise(s, BASIS, x->basis_error);
    raise(s, AGE, (double)(f->step - p->computed));
    raise(s, DRIFT, x->value_error);
    raise(s, ERROR, x->error);
    raise(s, INVERSE, x->inverse_error);
    raise(s, CONDITION, x->condition);
    raise(s, AFTER, x->condition_after);
    s->seconds += x->seconds;
}

static void add_update(sums *s, const pitot_stale_update *u) {
    if (!isfinite(u->lost)) return;
    sums one = nothing();
    one.u = *u;
    one.blocks = 1;
    add(s, &one);
}

/* Rows and columns of a tensor as a matrix: the first axis, and the rest laid flat. */
static void shape_of(const pitot_tensor *t, const pitot_preconditioner *p, int64_t *rows, int64_t *columns) {
    *rows = p->rows ? p->rows : t->shape[0];
    *columns = t->size / *rows;
}

/* What there is to say of a factor by itself. */
static int32_t add_alone(const pitot_frame *f, sums *s, const pitot_preconditioner *p) {
    const options *o = f->options;
    pitot_stale_factor x;
    if (p->n > o->largest) return s->left_out++, PITOT_OK;
    int32_t status = pitot_stale(p, NULL, p->n, 1, NULL, 1, NULL, &x, NULL, NULL);
    if (!status) add_factor(s, f, p, &x);
    if (status == PITOT_EHOST || status == PITOT_EINVAL) s->refused++;
    return status == PITOT_ENOMEM ? status : PITOT_OK;
}

/* Rows m and columns n (the bias's with them) of the block that the two are about. 0: it is none of this matrix. */
static int size_of_block(const pitot_tensor *t, const pitot_preconditioner *left, const pitot_preconditioner *right, int64_t *m,
                         int64_t *n) {
    const pitot_preconditioner *any = left ? left : right;
    int64_t rows, columns;
    shape_of(t, any, &rows, &columns);
    int64_t own = any->rows && any->n_columns < columns - any->first_column ? any->n_columns : columns - any->first_column;
    if (right) own = right->n - (right->bias_column != 0);
    *m = left ? left->n : any->rows ? any->n_rows : rows;
    *n = right ? right->n : own;
    if (!any->rows && (*m != rows || own != columns)) return 0;
    return own > 0 && *m <= rows - any->first_row && own <= columns - any->first_column;
}

/* The bias's part of the block, from its first row on; NULL: not known. */
static const pitot_real *bias_of(const pitot_frame *f, const pitot_preconditioner *right, int64_t m) {
    if (!right || !right->bias_column || right->bias < 1 || right->bias > f->n_tensors) return NULL;
    const pitot_tensor *t = &f->tensor[right->bias - 1];
    return t->grad && t->size - right->first_row >= m ? t->grad + right->first_row : NULL;
}

/* A factor of an axis that is none of the matrix's, or is too large, leaves the others what can be said without the update. */
static int32_t add_block(const pitot_frame *f, sums *s, const pitot_preconditioner *left, const pitot_preconditioner *right) {
    const options *o = f->options;
    const pitot_preconditioner *any = left ? left : right;
    const pitot_tensor *t = &f->tensor[any->param - 1];
    pitot_stale_factor l, r;
    pitot_stale_update u;
    int64_t rows, columns, m, n;
    shape_of(t, any, &rows, &columns);
    int whole = size_of_block(t, left, right, &m, &n) && !(left && left->n > o->largest) && !(right && right->n > o->largest);
    int32_t status = !whole ? PITOT_EINVAL
                            : pitot_stale(left, right, m, n, t->grad + any->first_row * columns + any->first_column, columns,
                                          bias_of(f, right, m), &l, &r, &u);
    if (status == PITOT_EHOST || status == PITOT_EINVAL) {
        status = left ? add_alone(f, s, left) : PITOT_OK;
        return status || !right ? status : add_alone(f, s, right);
    }
    if (status) return status;
    if (left) add_factor(s, f, left, &l);
    if (right) add_factor(s, f, right, &r);
    add_update(s, &u);
    return PITOT_OK;
}

/* Each block once: with its first factor, and the other one if there is one. */
static int32_t add_blocks(const pitot_frame *f, int64_t tensor, sums *s) {
    const pitot_preconditioner *p = f->preconditioner;
    int32_t status = PITOT_OK;
    for (int64_t i = 0; i < f->n_preconditioners && !status; i++) {
        if (p[i].param != tensor + 1 || p[i].axis < 0 || p[i].axis > 1) continue;
        int64_t first = i, other = -1;
        for (int64_t j = 0; j < f->n_preconditioners; j++) {
            if (p[j].axis < 0 || p[j].axis > 1 || p[j].axis == p[i].axis || !same_block(&p[i], &p[j])) continue;
            if (j < i) first = j;
            other = j;
        }
        if (first < i) continue;
        const pitot_preconditioner *with = other < 0 ? NULL : &p[other];
        status = p[i].axis == 0 ? add_block(f, s, &p[i], with) : add_block(f, s, with, &p[i]);
    }
    return status;
}

/* ---- diagonals ---- */

/* The square of what a gradient is divided by, 1 / sqrt(v) or the preconditioner itself (PSGD); of powers of -1, v itself: an estimate of
   the Hessian's diagonal, to which squared gradients compare. NaN: of a value that nothing moves. */
static double second_moment(const pitot_preconditioner *p, double factor) {
    double v = factor * (p->bias_correction != 0 ? p->bias_correction : 1);
    if (p->power > 0) return v > 0 ? pow(v, -2 * p->power) : NAN;
    return v < 0 ? 0 : v;
}

static void add_diagonal(const pitot_tensor *t, const pitot_preconditioner *p, const pitot_real *factor, sums *s) {
    for (int64_t j = 0; j < t->size; j++) {
        double g2 = (double)t->grad[j] * (double)t->grad[j], v2 = second_moment(p, (double)factor[j]);
        if (isnan(v2)) continue;
        s->g2 += g2;
        s->v2 += v2;
        s->gv += sqrt(g2 * v2);
    }
}

static void add_diagonals(const pitot_frame *f, int64_t tensor, sums *s) {
    const pitot_tensor *t = &f->tensor[tensor];
    for (int64_t i = 0; i < f->n_preconditioners; i++) {
        const pitot_preconditioner *p = &f->preconditioner[i];
        if (p->axis != -1 || (p->param != tensor + 1 && p->param != 0)) continue;
        int64_t from = p->param ? 0 : pitot_offset(f, tensor);
        if (from < 0 || p->n - from < t->size) continue;
        add_diagonal(t, p, p->factor + from, s);
        if (p->computed > 0) s->estimated = fmax(s->estimated, (double)(f->step - p->computed));
    }
}

/* ---- what is said ---- */

static double angle_of(const pitot_stale_update *u) {
    return acos(fmin(1, fmax(-1, u->dot / sqrt(u->stale_square * u->fresh_square)))) * 180 / M_PI;
}

static double lost_of(const pitot_stale_update *u) {
    double lost = 1 - u->along * u->along / (u->stale * u->fresh);
    return lost < 64 * DBL_EPSILON ? 0 : lost; /* a difference of numbers near 1 */
}

static void emit_one(const pitot_frame *f, const char *field, int64_t tensor, double value) {
    if (isnan(value)) return;
    if (tensor < 0) pitot_emit(f, field, value);
    else pitot_emit_tensor(f, field, tensor, value);
}

static void emit_sums(const pitot_frame *f, int64_t tensor, const sums *s) {
    for (int i = 0; i < FIGURES; i++) emit_one(f, fields[i], tensor, i == AGE ? fmax(s->most[AGE], s->estimated) : s->most[i]);
    if (s->blocks) {
        emit_one(f, "angle", tensor, angle_of(&s->u));
        emit_one(f, "lost", tensor, lost_of(&s->u));
    }
    if (s->v2 > 0) emit_one(f, "moment_ratio", tensor, s->g2 / s->v2);
    if (s->v2 > 0 && s->g2 > 0) emit_one(f, "moment_overlap", tensor, s->gv / sqrt(s->g2 * s->v2));
}

/* Of a refresh, in steps; NAN: not known. */
static double cost_of(const pitot_frame *f, const state *last, const sums *all) {
    const options *o = f->options;
    if (!(all->seconds > 0) || o->refresh > 0) return all->seconds > 0 ? o->refresh : NAN;
    if (last->step == 0 || f->step <= last->step || last->process != (double)getpid()) return NAN;
    double step = (f->wall - last->wall - last->own) / (double)(f->step - last->step);
    return step > 0 ? all->seconds / step : NAN;
}

static void emit_interval(const pitot_frame *f, state *last, const sums *all) {
    double age = all->most[AGE], lost = all->blocks ? lost_of(&all->u) : NAN;
    if (age <= last->seen) last->renewed = 1;
    last->seen = age;
    if (age > 1 && isfinite(lost) && (last->renewed || lost * last->age >= last->lost * (age - 1))) {
        last->lost = lost;
        last->age = age - 1;
        last->renewed = 0;
    }
    double cost = cost_of(f, last, all);
    if (!(cost > 0)) return;
    pitot_emit(f, "cost", cost);
    double interval = pitot_stale_interval(cost, last->lost, last->age);
    if (isfinite(interval)) pitot_emit(f, "interval", interval);
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The last remark is the one that is shown. */
static void say_what_is_missing(const pitot_frame *f, const state *last, const sums *all) {
    char text[100];
    if (all->blocks && last->step && !(last->age > 0))
        pitot_remark(f, "no interval yet: only seen a step after a refresh; if not every step refreshes, look at other steps");
    if (all->left_out) {
        snprintf(text, sizeof text, "%lld factors of more than `largest` rows are left out", (long long)all->left_out);
        pitot_remark(f, text);
    }
    if (all->refused) {
        snprintf(text, sizeof text, "%lld factors left out: not symmetric, not positive, or the basis not orthogonal",
                 (long long)all->refused);
        pitot_remark(f, text);
    }
}

static int32_t backward(const pitot_frame *f) {
    state *last = f->state;
    sums all = nothing();
    double start = seconds();
    int32_t status = PITOT_OK;
    if (!f->n_preconditioners)
        return pitot_undefined(f, "the optimizer has shown no preconditioner: before its first update, or it has none"), PITOT_OK;
    for (int64_t i = 0; i < f->n_tensors && !status; i++) {
        sums one = nothing();
        if (!f->tensor[i].grad || !f->tensor[i].size) continue;
        status = add_blocks(f, i, &one);
        add_diagonals(f, i, &one);
        emit_sums(f, i, &one);
        add(&all, &one);
    }
    if (status) return status;
    emit_sums(f, -1, &all);
    emit_interval(f, last, &all);
    say_what_is_missing(f, last, &all);
    last->step = f->step;
    last->wall = f->wall;
    last->process = (double)getpid();
    last->own = seconds() - start;
    return PITOT_OK;
}

const pitot_probe pitot_probe_precond_staleness = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_PRECONDITIONER | PITOT_NEED_GRADS,
    .presets = 0,
    .spans = 1,
    .name = "precond_staleness",
    .summary = "how far the preconditioner in use is from a fresh one: basis, eigenvalues, inverse, update; and when to renew it",
    .paper = "Eschenhagen et al. 2025, arXiv 2506.03595; figures of the update: ours",
    .formula = "|offdiag(Q'A Q)| / |A|; |diag(Q'A Q) - L| / |A|; |A X^q - 1| / sqrt(n); 1 - (g'P g)^2 / ((P g)'P'^-1 (P g) g'P' g)",
    .options_size = sizeof(options),
    .options = table,
    .state_size = sizeof(state),
    .outputs = outputs,
    .backward = backward,
};
