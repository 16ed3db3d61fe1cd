/* shampoo.c: Gupta, Koren, Singer 2018 (arXiv 1802.09568), algorithm 1 for matrices and for vectors by default; with options what Anil et al. 2020
   (2002.09018) and Shi et al. 2023 (2309.06497) made of it: averages instead of sums, blocks, grafting, roots only now and then, momentum. In
   the order of Shi et al.: factors, roots, average of gradients, precondition, graft, weight decay, momentum.

   statistics: "sequential", as pytorch_optimizer's Shampoo has it: R is of L^-p G; "kl" (Lin et al. 2025, arXiv 2509.03378): L is of G times R's
   root and R of L's root times G, those in use. "scalable" is the order of pytorch_optimizer's ScalableShampoo: momentum stays at the point that
   Nesterov's step has seen, lengths are those of whole tensors, and before the first roots the buffer of steps takes the gradient itself, of
   the grafted step's length, while the grafted method has a buffer of its own.

   G (rows, cols) of tensors of more axes is (first axis, the rest); each block of at most max_preconditioner_dim has factors of its own,
   and is grafted by itself, but for "scalable". A vector has L alone: with exponent 1/2 that is full-matrix Adagrad. */

#include "net/real.h"
#include "optim/core/blocks.h"
#include "optim/core/matrix.h"
#include "optim/core/overlap.h"
#include "optim/core/quotient.h"
#include "optim/core/renewal.h"
#include "optim/core/roots.h"
#include "optim/core/room.h"
#include "pitot/hot.h"

#include <string.h>

typedef struct shampoo_options {
    double lr, betas[2], epsilon, exponent, momentum, dampening, weight_decay;
    int64_t nesterov, decoupled, max_preconditioner_dim, precondition_frequency, start_preconditioning_step, use_bias_correction;
    int64_t grafting;
    double grafting_beta2, grafting_epsilon, factor_init, root_tolerance;
    int64_t precondition_1d, merge_dims, statistics, relative_epsilon, root, root_iterations, scalable, overlap;
} shampoo_options;

enum { GRAFT_NONE, GRAFT_SGD, GRAFT_ADAGRAD, GRAFT_RMSPROP, GRAFT_ADAM, GRAFT_SQRTN };
enum { PLAIN, SEQUENTIAL, KL }; /* statistics */
enum { EIGH, NEWTON };          /* root */
enum {                          /* FACTOR + side, ROOT + side */
       FACTOR,
       ROOT = 2,
       COMPUTED = 4,
       EXP_AVG,
       GRAFT_SQ,
       MOMENTUM_BUFFER,
       DAMPING,
       GRAFT_BUFFER,
       NEXT,
       NEXT_DAMPING = NEXT + 3
};

static const pitot_option table[] = {
    { "lr", PITOT_REAL, 1, offsetof(shampoo_options, lr), "0.1", 0, 1e6, NULL, "", "learning rate" },
    { "betas", PITOT_REAL, 2, offsetof(shampoo_options, betas), "0,1", 0, 1, NULL, "",
      "decay of the averages of gradient (0: none) and factors (1: sums)" },
    { "epsilon", PITOT_REAL, 1, offsetof(shampoo_options, epsilon), "0.0001", 0, 1e6, NULL, "", "times I, added to the factors" },
    { "exponent", PITOT_REAL, 1, offsetof(shampoo_options, exponent), "0", 0, 4, NULL, "",
      "factors are raised to minus this; 0: 1/(2 axes), 1/4 for matrices" },
    { "momentum", PITOT_REAL, 1, offsetof(shampoo_options, momentum), "0", 0, PITOT_BELOW_ONE, NULL, "",
      "share of the buffer of steps that stays" },
    { "dampening", PITOT_REAL, 1, offsetof(shampoo_options, dampening), "0", 0, 1, NULL, "",
      "share of a step kept out of the buffer" },
    { "nesterov", PITOT_BOOL, 1, offsetof(shampoo_options, nesterov), "false", 0, 0, NULL, "", "step from where momentum leads" },
    { "weight_decay", PITOT_REAL, 1, offsetof(shampoo_options, weight_decay), "0", 0, 1e6, NULL, "", "times x is added" },
    { "decoupled", PITOT_BOOL, 1, offsetof(shampoo_options, decoupled), "true", 0, 0, NULL, "",
      "weight decay is added to the step, not to the gradient" },
    { "max_preconditioner_dim", PITOT_INT, 1, offsetof(shampoo_options, max_preconditioner_dim), "1024", 1, BLOCK_DIM, NULL, "",
      "rows and columns of a block" },
    { "precondition_frequency", PITOT_INT, 1, offsetof(shampoo_options, precondition_frequency), "1", 1, 1e9, NULL, "steps",
      "roots are computed every so many steps" },
    { "start_preconditioning_step", PITOT_INT, 1, offsetof(shampoo_options, start_preconditioning_step), "=precondition_frequency",
      1, 1e9, NULL, "steps", "first step with roots; before it the grafted method's" },
    { "use_bias_correction", PITOT_BOOL, 1, offsetof(shampoo_options, use_bias_correction), "true", 0, 0, NULL, "",
      "divide averages by 1 - beta^t" },
    { "grafting", PITOT_CHOICE, 1, offsetof(shampoo_options, grafting), "none", 0, 0, "none|sgd|adagrad|rmsprop|adam|sqrtn", "",
      "method whose step length each block takes; sqrtn: of the gradient's signs" },
    { "grafting_beta2", PITOT_REAL, 1, offsetof(shampoo_options, grafting_beta2), "0.999", 0, PITOT_BELOW_ONE, NULL, "",
      "its decay of squared gradients" },
    { "grafting_epsilon", PITOT_REAL, 1, offsetof(shampoo_options, grafting_epsilon), "1e-8", 0, 1e6, NULL, "", "its eps" },
    { "precondition_1d", PITOT_BOOL, 1, offsetof(shampoo_options, precondition_1d), "true", 0, 0, NULL, "",
      "a factor for vectors too" },
    { "merge_dims", PITOT_BOOL, 1, offsetof(shampoo_options, merge_dims), "false", 0, 0, NULL, "",
      "tensors of up to max_preconditioner_dim values are vectors: full-matrix Adagrad" },
    { "statistics", PITOT_CHOICE, 1, offsetof(shampoo_options, statistics), "plain", 0, 0, "plain|sequential|kl", "",
      "factors of the gradient; R of what L's root made of it; each of what the other's made of it" },
    { "factor_init", PITOT_REAL, 1, offsetof(shampoo_options, factor_init), "0", 0, 1e6, NULL, "",
      "times I, what factors begin with" },
    { "relative_epsilon", PITOT_BOOL, 1, offsetof(shampoo_options, relative_epsilon), "false", 0, 0, NULL, "",
      "epsilon times the factor's largest eigenvalue, as Anil et al." },
    { "root", PITOT_CHOICE, 1, offsetof(shampoo_options, root), "eigh", 0, 0, "eigh|newton", "",
      "roots by decomposition, the faster on CPUs, or, where 1/exponent is a whole number, by coupled Newton iteration" },
    { "root_tolerance", PITOT_REAL, 1, offsetof(shampoo_options, root_tolerance), "1e-6", 1e-14, 0.1, NULL, "",
      "root=newton: largest residual" },
    { "root_iterations", PITOT_INT, 1, offsetof(shampoo_options, root_iterations), "100", 1, 10000, NULL, "",
      "root=newton: at most" },
    { "scalable", PITOT_BOOL, 1, offsetof(shampoo_options, scalable), "false", 0, 0, NULL, "",
      "momentum, first steps and lengths as in pytorch_optimizer's ScalableShampoo" },
    { "overlap", PITOT_INT, 1, offsetof(shampoo_options, overlap), "0", 0, 1e9, NULL, "steps", OVERLAP_HELP },
    { 0 },
};

/* p of the p-th root that is minus the exponent; 0: there is none. */
static int64_t whole_root(double exponent) {
    double p = round(1 / exponent);
    return p >= 1 && p <= 64 && fabs(p * exponent - 1) < 1e-9 ? (int64_t)p : 0;
}

static int32_t check(const void *options, pitot_error *error) {
    const shampoo_options *o = options;
    if (!(o->betas[0] < 1))
        return pitot_fail(error, PITOT_EINVAL, "optimizer shampoo: the first of betas must be below 1; set betas=0.9,1, say");
    if (o->root == NEWTON && o->exponent > 0 && !whole_root(o->exponent))
        return pitot_fail(error, PITOT_EINVAL, "optimizer shampoo: root=newton takes exponents 1/p, p whole; set root=eigh");
    if (o->statistics == SEQUENTIAL && o->overlap > 0)
        return pitot_fail(error, PITOT_EINVAL,
                          "optimizer shampoo: statistics=sequential needs L's root in the step of its factor; set overlap=0");
    return PITOT_OK;
}

/* ---- state ---- */

static blocks cut(const void *options, const pitot_tensor_state *t) {
    const shampoo_options *o = options;
    int vector = t->n_dim < 2, joined = o->merge_dims && t->size <= o->max_preconditioner_dim;
    blocks b = joined ? blocks_of_vector(t, o->max_preconditioner_dim) : blocks_of(t, o->max_preconditioner_dim, 0);
    if ((vector || joined) && !o->precondition_1d) b.has[0] = 0;
    return b;
}

typedef struct work {
    pitot_real *g, *d, *graft, *half; /* (size) filtered gradient, step, grafted step; (block) */
} work;

static work take(room *r, const shampoo_options *o, const pitot_tensor_state *t, const blocks *b) {
    int64_t bytes = (int64_t)sizeof(pitot_real) * t->size;
    work w = { .g = room_take(r, bytes), .d = room_take(r, bytes) };
    w.graft = room_take(r, o->grafting || o->scalable ? bytes : 0);
    w.half = room_take(r, blocks_area(b) * (int64_t)sizeof(pitot_real));
    return w;
}

static int has_squares(const shampoo_options *o) {
    return o->grafting >= GRAFT_ADAGRAD && o->grafting <= GRAFT_ADAM;
}

static double exponent_of(const shampoo_options *o, const blocks *b) {
    return o->exponent > 0 ? o->exponent : b->has[0] && b->has[1] ? 0.25 : 0.5;
}

/* 1 / (1 - beta^t), or 1 */
static double corrected(const shampoo_options *o, double beta, int64_t t) {
    return o->use_bias_correction && beta < 1 ? 1 / (1 - pow(beta, (double)t)) : 1;
}

/* ---- roots ---- */

static int64_t root_bytes(const void *options, int64_t n) {
    const shampoo_options *o = options;
    return (o->root == NEWTON ? roots_newton_work(n) : roots_work(n)) * (int64_t)sizeof(double);
}

static int root_is_due(const void *options, const pitot_tensor_state *t) {
    const shampoo_options *o = options;
    return t->t % o->precondition_frequency == 0 && (o->scalable || t->t >= o->start_preconditioning_step);
}

/* A root that cannot be had keeps the old one. The damping of one made beside the steps is kept with it. */
static void make_root(const pitot_stepping *s, int64_t i, const block *k, int side, void *at) {
    const shampoo_options *o = s->options;
    const pitot_tensor_state *t = &s->tensor[i];
    int64_t n = k->n[side], place = 2 * k->index + side;
    int beside = t->state[COMPUTED] == t->state[NEXT + 2];
    const pitot_real *f = (const pitot_real *)t->state[FACTOR + side] + k->at[side];
    pitot_real *root = (pitot_real *)t->state[ROOT + side] + k->at[side];
    double scale = corrected(o, o->betas[1], t->t), power = exponent_of(o, k->of),
           *damping = t->state[beside ? NEXT_DAMPING : DAMPING];
    double eps = o->epsilon * (o->relative_epsilon ? scale * roots_largest(n, f, at) : 1);
    int failed = o->root == NEWTON
                     ? roots_newton(n, f, scale, eps, whole_root(power), o->root_tolerance, o->root_iterations, root, at)
                     : roots_inverse(n, f, scale, eps, power, root, at);
    if (failed) return;
    ((double *)t->state[COMPUTED])[place] = (double)t->t;
    if (damping) damping[place] = eps;
}

static void make_left(const pitot_stepping *s, int64_t i, const block *k, int side, void *at) {
    if (side == 0) make_root(s, i, k, side, at);
}

static void make_right(const pitot_stepping *s, int64_t i, const block *k, int side, void *at) {
    if (side == 1) make_root(s, i, k, side, at);
}

static int64_t overlapping(const void *options) {
    return ((const shampoo_options *)options)->overlap;
}

static const renewal roots = { cut, root_bytes, root_is_due, make_root, overlapping, FACTOR, ROOT, COMPUTED, NEXT },
                     left_roots = { cut, root_bytes, root_is_due, make_left, overlapping, FACTOR, ROOT, COMPUTED, NEXT },
                     right_roots = { cut, root_bytes, root_is_due, make_right, overlapping, FACTOR, ROOT, COMPUTED, NEXT };

/* Those that were made beside the steps. */
static void take_roots(const pitot_stepping *s) {
    for (int64_t i = 0; i < s->n; i++) {
        const pitot_tensor_state *t = &s->tensor[i];
        const double *now = t->state[COMPUTED], *next = t->state[NEXT + 2], *from = t->state[NEXT_DAMPING];
        double *damping = t->state[DAMPING];
        blocks b = cut(s->options, t);
        for (int64_t j = 0; damping && j < 2 * blocks_count(&b); j++)
            if (next[j] != now[j]) damping[j] = from[j];
        renewal_take(&roots, s, i);
    }
}

/* ---- layout ---- */

static int32_t layout(pitot_layout *l, pitot_error *error) {
    const shampoo_options *o = l->options;
    int dims = o->relative_epsilon ? 2 : -1;
    blocks b;
    room r = { 0 };
    if (l->i < 0) return renewal_layout_run(&roots, l, 0, error);
    int32_t status = renewal_layout(&roots, l, &b, "shampoo", "root_rows", "root_columns", error);
    if (status) return status;
    pitot_slot_like(l, "exp_avg", l->i, o->betas[0] > 0);
    pitot_slot_like(l, "grafted_sq", l->i, has_squares(o));
    pitot_slot_like(l, "momentum_buffer", l->i, o->momentum > 0);
    pitot_slot_add(l, "root_damping", PITOT_F64, dims, (int64_t[]){ blocks_count(&b), 2 });
    pitot_slot_like(l, "grafted_buffer", l->i, o->scalable && o->momentum > 0);
    renewal_next_slots(&roots, l, &b, "next_root_rows", "next_root_columns");
    pitot_slot_add(l, "next_root_damping", PITOT_F64, o->overlap > 0 ? dims : -1, (int64_t[]){ blocks_count(&b), 2 });
    take(&r, o, &l->tensor[l->i], &b);
    l->scratch = r.used;
    return PITOT_OK;
}

static void begin(pitot_stepping *s) {
    const shampoo_options *o = s->options;
    renewal_begin(&roots, s, 0);
    for (int64_t i = 0; i < s->n && o->factor_init > 0; i++) {
        blocks b = cut(o, &s->tensor[i]);
        blocks_diagonal(&b, o->factor_init, s->tensor[i].state + FACTOR);
    }
}

/* ---- element by element ---- */

/* g += l2 x; m = b m + (1-b) g; out = c m; without m: out = g. */
PITOT_HOT static void filter(int64_t n, pitot_real beta, pitot_real c, pitot_real l2, const pitot_real *restrict x,
                             const pitot_real *restrict g, pitot_real *restrict m, pitot_real *restrict out) {
    pitot_real rest = 1 - beta;
    if (!m) {
        for (int64_t i = 0; i < n; i++) out[i] = g[i] + l2 * x[i];
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        m[i] = beta * m[i] + rest * (g[i] + l2 * x[i]);
        out[i] = c * m[i];
    }
}

/* v = keep v + add (g + l2 x)^2; out = h / (c sqrt(v) + eps). */
PITOT_HOT static void graft_squares(int64_t n, pitot_real keep, pitot_real add, pitot_real c, pitot_real eps, pitot_real l2,
                                    const pitot_real *restrict x, const pitot_real *restrict g, const pitot_real *restrict h,
                                    pitot_real *restrict v, pitot_real *restrict out) {
    for (int64_t i = 0; i < n; i++) {
        pitot_real gi = g[i] + l2 * x[i];
        v[i] = keep * v[i] + add * gi * gi;
        out[i] = quotient(h[i], c * REAL(sqrt)(v[i]) + eps);
    }
}

PITOT_HOT static void move(int64_t n, const shampoo_options *o, const pitot_real *restrict d, pitot_real *restrict b,
                           pitot_real *restrict x) {
    pitot_real lr = (pitot_real)o->lr, wd = (pitot_real)(o->decoupled ? o->weight_decay : 0), mu = (pitot_real)o->momentum,
               add = (pitot_real)(1 - o->dampening), plain = o->nesterov ? add : 0, ahead = o->nesterov ? mu : 1;
    if (!b) {
        for (int64_t i = 0; i < n; i++) x[i] -= lr * (d[i] + wd * x[i]);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        pitot_real di = d[i] + wd * x[i];
        b[i] = mu * b[i] + add * di;
        x[i] -= lr * (plain * di + ahead * b[i]);
    }
}

/* The same with the buffer, its own of `early` steps, moved on by Nesterov's step: e, the step d of the grafted method. */
PITOT_HOT static void move_scalable(int64_t n, const shampoo_options *o, const pitot_real *restrict d, pitot_real *restrict b,
                                    pitot_real *restrict early, pitot_real *restrict e, pitot_real *restrict x) {
    pitot_real lr = (pitot_real)o->lr, wd = (pitot_real)(o->decoupled ? o->weight_decay : 0), mu = (pitot_real)o->momentum,
               more = o->nesterov ? mu : 1, plain = o->nesterov ? 1 : 0;
    for (int64_t i = 0; !early && i < n; i++) {
        pitot_real di = d[i] + wd * x[i];
        b[i] = mu * b[i] + di;
        b[i] = more * b[i] + plain * di;
        x[i] -= lr * b[i];
    }
    for (int64_t i = 0; early && i < n; i++) {
        pitot_real di = d[i] + wd * x[i], ei = e[i] + wd * x[i];
        b[i] = mu * b[i] + ei;
        early[i] = more * (mu * early[i] + ei) + plain * di;
        x[i] -= lr * early[i];
    }
}

/* ---- a step ---- */

/* The grafted method's step for the filtered gradient h, where that is not h itself. */
static void graft(const shampoo_options *o, const pitot_tensor_state *t, double l2, const pitot_real *h, pitot_real *out) {
    double beta = o->grafting_beta2, c = o->grafting == GRAFT_ADAM ? 1 / sqrt(1 - pow(beta, (double)t->t)) : 1;
    int sum = o->grafting == GRAFT_ADAGRAD;
    if (o->grafting == GRAFT_SQRTN)
        for (int64_t i = 0; i < t->size; i++) out[i] = (pitot_real)((h[i] > 0) - (h[i] < 0));
    else if (has_squares(o))
        graft_squares(t->size, (pitot_real)(sum ? 1 : beta), (pitot_real)(sum ? 1 : 1 - beta), (pitot_real)c,
                      (pitot_real)o->grafting_epsilon, (pitot_real)l2, t->x, t->g, h, t->state[GRAFT_SQ], out);
}

/* Block k of d takes the length of `like`'s. */
static void take_length(const block *k, const pitot_real *like, pitot_real *d) {
    int64_t ld = k->of->n[1], at = k->first[0] * ld + k->first[1];
    double scale =
        sqrt(matrix_squares(like + at, k->n[0], k->n[1], ld)) / (sqrt(matrix_squares(d + at, k->n[0], k->n[1], ld)) + 1e-16);
    for (int64_t i = 0; i < k->n[0]; i++)
        for (int64_t j = 0; j < k->n[1]; j++) d[at + i * ld + j] = (pitot_real)(scale * (double)d[at + i * ld + j]);
}

/* d, all of it, takes the length of `like`; out may be d. */
static void take_whole_length(int64_t n, const pitot_real *like, const pitot_real *d, pitot_real *out) {
    double scale = sqrt(matrix_squares(like, 1, n, n)) / (sqrt(matrix_squares(d, 1, n, n)) + 1e-16);
    for (int64_t i = 0; i < n; i++) out[i] = (pitot_real)(scale * (double)d[i]);
}

/* Whether the sums in the factors stay finite with this gradient: no entry is larger than their trace. */
static int sums_fit(const shampoo_options *o, const pitot_tensor_state *t, const blocks *b) {
    double trace = 0;
    if (o->betas[1] < 1 || !b->has[0]) return 1;
    for (int64_t j = 0; j < blocks_count(b); j++) {
        block k = blocks_at(b, j);
        for (int64_t i = 0; i < k.n[0]; i++) trace += (double)((const pitot_real *)t->state[FACTOR])[k.at[0] + i * (k.n[0] + 1)];
    }
    return trace < MATRIX_MOST;
}

/* The gradient, in w->g with weight decay added if that is to be so. */
static const pitot_real *decayed(const shampoo_options *o, const pitot_tensor_state *t, const work *w) {
    if (o->decoupled || !(o->weight_decay > 0)) return t->g;
    filter(t->size, 0, 1, (pitot_real)o->weight_decay, t->x, t->g, NULL, w->g);
    return w->g;
}

/* What side `side` of a block is gathered from: g, or w->d with the other side's root upon it. The block's `of` is then *only. */
static const pitot_real *seen_by(const shampoo_options *o, const pitot_tensor_state *t, const work *w, block *k, int side,
                                 const pitot_real *g, blocks *only) {
    int other = !side, changes = o->statistics == KL || (o->statistics == SEQUENTIAL && side == 1);
    block half = *k;
    if (!changes || !k->of->has[other]) return g;
    *only = *k->of;
    only->has[side] = 0;
    half.of = only;
    block_apply(&half, 1, t->state[ROOT], t->state[ROOT + 1], g, w->d, w->half);
    return w->d;
}

static int in_range(const block *k, const pitot_real *g) {
    int64_t ld = k->of->n[1];
    return matrix_squares(g + k->first[0] * ld + k->first[1], k->n[0], k->n[1], ld) < MATRIX_MOST;
}

/* Factors of one side. What a root has made too large to square is left out. */
static void gather_side(const pitot_stepping *s, pitot_tensor_state *t, int side) {
    const shampoo_options *o = s->options;
    blocks b = cut(o, t), only;
    room r = { s->scratch, 0 };
    work w = take(&r, o, t, &b);
    double keep = o->betas[1], add = keep < 1 ? 1 - keep : 1;
    const pitot_real *g = decayed(o, t, &w);
    for (int64_t j = 0; j < blocks_count(&b) && b.has[side]; j++) {
        block k = blocks_at(&b, j);
        const pitot_real *seen = seen_by(o, t, &w, &k, side, g, &only);
        if (seen == g || in_range(&k, seen)) block_gather(&k, side, seen, keep, add, t->state[FACTOR + side]);
    }
}

static void gather(const pitot_stepping *s, int side) {
    for (int64_t i = 0; i < s->n; i++)
        if (s->tensor[i].g) gather_side(s, &s->tensor[i], side);
}

/* Factors and roots. */
static void renew(const pitot_stepping *s) {
    const shampoo_options *o = s->options;
    int sequential = o->statistics == SEQUENTIAL;
    gather(s, 0);
    if (sequential) renewal_run(&left_roots, s, 0);
    gather(s, 1);
    if (sequential) renewal_run(&right_roots, s, 0);
    else renewal_step(&roots, s, 0, take_roots);
}

/* The step of an early tensor: h at the length of the grafted method's step `like`, in w->d. */
static void step_early(const shampoo_options *o, pitot_tensor_state *t, const work *w, const pitot_real *h,
                       const pitot_real *like) {
    pitot_real *b = t->state[MOMENTUM_BUFFER], *own = t->state[GRAFT_BUFFER];
    if (!o->scalable || !b) {
        move(t->size, o, like, b, t->x);
        return;
    }
    if (o->grafting) take_whole_length(t->size, like, h, w->d);
    else memcpy(w->d, h, (size_t)t->size * sizeof *h);
    if (o->grafting == GRAFT_NONE || o->grafting == GRAFT_SQRTN) memset(own, 0, (size_t)t->size * sizeof *own);
    move_scalable(t->size, o, like, b, own, w->d, t->x);
}

static void step_tensor(const pitot_stepping *s, pitot_tensor_state *t) {
    const shampoo_options *o = s->options;
    blocks b = cut(o, t);
    room r = { s->scratch, 0 };
    work w = take(&r, o, t, &b);
    double l2 = o->decoupled ? 0 : o->weight_decay;
    int early = (o->grafting || o->scalable) && t->t < o->start_preconditioning_step;
    const pitot_real *h = w.g;
    if (!t->state[EXP_AVG]) h = decayed(o, t, &w);
    else
        filter(t->size, (pitot_real)o->betas[0], (pitot_real)corrected(o, o->betas[0], t->t), (pitot_real)l2, t->x, t->g,
               t->state[EXP_AVG], w.g);
    graft(o, t, l2, h, w.graft);
    const pitot_real *like = o->grafting >= GRAFT_ADAGRAD ? w.graft : h;
    if (early) {
        step_early(o, t, &w, h, like);
        return;
    }
    for (int64_t j = 0; j < blocks_count(&b); j++) {
        block k = blocks_at(&b, j);
        block_apply(&k, 1, t->state[ROOT], t->state[ROOT + 1], h, w.d, w.half);
        if (o->grafting && !o->scalable) take_length(&k, like, w.d);
    }
    if (o->grafting && o->scalable) take_whole_length(t->size, like, w.d, w.d);
    if (o->scalable && t->state[MOMENTUM_BUFFER]) move_scalable(t->size, o, w.d, t->state[MOMENTUM_BUFFER], NULL, NULL, t->x);
    else move(t->size, o, w.d, t->state[MOMENTUM_BUFFER], t->x);
}

static int32_t step(pitot_stepping *s) {
    const shampoo_options *o = s->options;
    if (matrix_bounded(s)) return PITOT_EHOST;
    for (int64_t i = 0; i < s->n; i++) {
        blocks b = cut(o, &s->tensor[i]);
        if (s->tensor[i].g && !sums_fit(o, &s->tensor[i], &b)) return PITOT_EHOST;
    }
    renew(s);
    for (int64_t i = 0; i < s->n; i++)
        if (s->tensor[i].g) step_tensor(s, &s->tensor[i]);
    return PITOT_OK;
}

static int32_t view(const pitot_stepping *s, int64_t i, int32_t n, pitot_preconditioner *view) {
    const shampoo_options *o = s->options;
    const pitot_tensor_state *t = &s->tensor[i];
    blocks b;
    block k;
    int side;
    if (!renewal_view(&roots, s, i, n, &b, &k, &side, view)) return PITOT_EINVAL;
    view->inverse = (const pitot_real *)t->state[ROOT + side] + k.at[side];
    view->power = -exponent_of(o, &b);
    const double *damping = t->state[DAMPING];
    view->damping = damping ? damping[2 * k.index + side] : o->epsilon;
    view->bias_correction = corrected(o, o->betas[1], t->t);
    return PITOT_OK;
}

const pitot_optimizer pitot_optimizer_shampoo = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .name = "shampoo",
    .summary = "inverse roots of the gradients' row and column covariances on either side of the gradient",
    .paper = "Gupta, Koren, Singer 2018, arXiv 1802.09568; options of Anil et al. 2020, arXiv 2002.09018, Shi et al. 2023, "
             "arXiv 2309.06497, and Lin et al. 2025, arXiv 2509.03378",
    .formula = "L += g g'; R += g' g; x -= lr (L + eps I)^(-1/4) g (R + eps I)^(-1/4)",
    .memory = "2 (m^2 + n^2) values for a block (m,n)",
    .tensors = "more than two axes: a matrix (first axis, the rest); longer than max_preconditioner_dim: blocks with factors of "
               "their own; vectors: one factor, without precondition_1d none",
    .cost = "4 mn (m+n) flops for a block (m,n); with roots about 11 (m^3 + n^3) more",
    .options_size = sizeof(shampoo_options),
    .options = table,
    .check = check,
    .layout = layout,
    .begin = begin,
    .step = step,
    .view = view,
};
