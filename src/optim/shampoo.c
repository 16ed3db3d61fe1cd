/* shampoo.c: Gupta, Koren, Singer 2018 (arXiv 1802.09568), algorithm 1 for matrices and for vectors by default; with options what Anil et al. 2020
   (2002.09018) and Shi et al. 2023 (2309.06497) made of it: averages instead of sums, blocks, grafting, roots only now and then, momentum. In
   the order of Shi et al.: factors, roots, average of gradients, precondition, graft, weight decay, momentum.

   G (rows, cols) of tensors of more axes is (first axis, the rest); each block of at most max_preconditioner_dim has factors of its own,
   and is grafted by itself. A vector has L alone: with exponent 1/2 that is full-matrix Adagrad. */

#include "net/real.h"
#include "optim/core/blocks.h"
#include "optim/core/matrix.h"
#include "optim/core/quotient.h"
#include "optim/core/renewal.h"
#include "optim/core/roots.h"
#include "optim/core/room.h"
#include "pitot/hot.h"

typedef struct shampoo_options {
    double lr, betas[2], epsilon, exponent, momentum, dampening, weight_decay;
    int64_t nesterov, decoupled, max_preconditioner_dim, precondition_frequency, start_preconditioning_step, use_bias_correction;
    int64_t grafting;
    double grafting_beta2, grafting_epsilon;
} shampoo_options;

enum { GRAFT_NONE, GRAFT_SGD, GRAFT_ADAGRAD, GRAFT_RMSPROP, GRAFT_ADAM };
enum { FACTOR, ROOT = 2, COMPUTED = 4, EXP_AVG, GRAFT_SQ, MOMENTUM_BUFFER }; /* FACTOR + side, ROOT + side */

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
    { "grafting", PITOT_CHOICE, 1, offsetof(shampoo_options, grafting), "none", 0, 0, "none|sgd|adagrad|rmsprop|adam", "",
      "method whose step length each block takes" },
    { "grafting_beta2", PITOT_REAL, 1, offsetof(shampoo_options, grafting_beta2), "0.999", 0, PITOT_BELOW_ONE, NULL, "",
      "its decay of squared gradients" },
    { "grafting_epsilon", PITOT_REAL, 1, offsetof(shampoo_options, grafting_epsilon), "1e-8", 0, 1e6, NULL, "", "its eps" },
    { 0 },
};

static int32_t check(const void *options, pitot_error *error) {
    const shampoo_options *o = options;
    if (o->betas[0] < 1) return PITOT_OK;
    return pitot_fail(error, PITOT_EINVAL, "optimizer shampoo: the first of betas must be below 1; set betas=0.9,1, say");
}

/* ---- state ---- */

typedef struct work {
    pitot_real *g, *d, *graft, *half; /* (size) filtered gradient, step, grafted step; (block) */
} work;

static work take(room *r, const shampoo_options *o, const pitot_tensor_state *t, const blocks *b) {
    int64_t bytes = (int64_t)sizeof(pitot_real) * t->size;
    work w = { .g = room_take(r, bytes), .d = room_take(r, bytes) };
    w.graft = room_take(r, o->grafting ? bytes : 0);
    w.half = room_take(r, blocks_area(b) * (int64_t)sizeof(pitot_real));
    return w;
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
    (void)options;
    return roots_work(n) * (int64_t)sizeof(double);
}

static int root_is_due(const void *options, const pitot_tensor_state *t) {
    const shampoo_options *o = options;
    return t->t % o->precondition_frequency == 0 && t->t >= o->start_preconditioning_step;
}

/* A decomposition that fails keeps the old root. */
static void make_root(const void *options, pitot_tensor_state *t, const block *k, int side, void *at) {
    const shampoo_options *o = options;
    const pitot_real *f = (const pitot_real *)t->state[FACTOR + side] + k->at[side];
    pitot_real *root = (pitot_real *)t->state[ROOT + side] + k->at[side];
    double scale = corrected(o, o->betas[1], t->t);
    if (roots_inverse(k->n[side], f, scale, o->epsilon, exponent_of(o, k->of), root, at) == 0)
        ((double *)t->state[COMPUTED])[2 * k->index + side] = (double)t->t;
}

static renewal roots_of(const shampoo_options *o) {
    return (renewal){ o->max_preconditioner_dim, root_bytes, root_is_due, make_root };
}

/* ---- layout ---- */

static int32_t layout(pitot_layout *l, pitot_error *error) {
    const shampoo_options *o = l->options;
    if (l->i < 0) {
        renewal roots = roots_of(o);
        l->scratch = renewal_room(&roots, l);
        return l->scratch < 0 ? pitot_fail(error, PITOT_ENOMEM, "no memory for a list of factors") : PITOT_OK;
    }
    const pitot_tensor_state *t = &l->tensor[l->i];
    blocks b = blocks_of(t, o->max_preconditioner_dim, 0);
    room r = { 0 };
    if (!blocks_fit(&b, "shampoo", t->name, error)) return PITOT_ENOTSUP;
    blocks_slots(l, &b, "factor_rows", "factor_columns");
    blocks_slots(l, &b, "root_rows", "root_columns");
    pitot_slot_add(l, "computed", PITOT_F64, 2, (int64_t[]){ blocks_count(&b), 2 });
    pitot_slot_like(l, "exp_avg", l->i, o->betas[0] > 0);
    pitot_slot_like(l, "grafted_sq", l->i, o->grafting >= GRAFT_ADAGRAD);
    pitot_slot_like(l, "momentum_buffer", l->i, o->momentum > 0);
    take(&r, o, t, &b);
    l->scratch = r.used;
    return PITOT_OK;
}

static void begin(pitot_stepping *s) {
    const shampoo_options *o = s->options;
    for (int64_t i = 0; i < s->n; i++) {
        blocks b = blocks_of(&s->tensor[i], o->max_preconditioner_dim, 0);
        blocks_identity(&b, s->tensor[i].state + ROOT);
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

/* ---- a step ---- */

/* The grafted method's step for the filtered gradient h, where that is not h itself. */
static void graft(const shampoo_options *o, const pitot_tensor_state *t, double l2, const pitot_real *h, pitot_real *out) {
    double beta = o->grafting_beta2, c = o->grafting == GRAFT_ADAM ? 1 / sqrt(1 - pow(beta, (double)t->t)) : 1;
    int sum = o->grafting == GRAFT_ADAGRAD;
    if (o->grafting >= GRAFT_ADAGRAD)
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

/* Whether the sums in the factors stay finite with this gradient: no entry is larger than their trace. */
static int sums_fit(const shampoo_options *o, const pitot_tensor_state *t, const blocks *b) {
    double trace = 0;
    if (o->betas[1] < 1) return 1;
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

static void gather(const pitot_stepping *s, pitot_tensor_state *t) {
    const shampoo_options *o = s->options;
    blocks b = blocks_of(t, o->max_preconditioner_dim, 0);
    room r = { s->scratch, 0 };
    work w = take(&r, o, t, &b);
    double keep = o->betas[1], add = keep < 1 ? 1 - keep : 1;
    const pitot_real *g = decayed(o, t, &w);
    for (int64_t j = 0; j < 2 * blocks_count(&b); j++) {
        block k = blocks_at(&b, j / 2);
        if (b.has[j % 2]) block_gather(&k, (int)(j % 2), g, keep, add, t->state[FACTOR + j % 2]);
    }
}

static void step_tensor(const pitot_stepping *s, pitot_tensor_state *t) {
    const shampoo_options *o = s->options;
    blocks b = blocks_of(t, o->max_preconditioner_dim, 0);
    room r = { s->scratch, 0 };
    work w = take(&r, o, t, &b);
    double l2 = o->decoupled ? 0 : o->weight_decay;
    int early = o->grafting && t->t < o->start_preconditioning_step;
    const pitot_real *h = w.g;
    if (!t->state[EXP_AVG]) h = decayed(o, t, &w);
    else
        filter(t->size, (pitot_real)o->betas[0], (pitot_real)corrected(o, o->betas[0], t->t), (pitot_real)l2, t->x, t->g,
               t->state[EXP_AVG], w.g);
    graft(o, t, l2, h, w.graft);
    const pitot_real *like = o->grafting >= GRAFT_ADAGRAD ? w.graft : h;
    for (int64_t j = 0; j < blocks_count(&b) && !early; j++) {
        block k = blocks_at(&b, j);
        block_apply(&k, 1, t->state[ROOT], t->state[ROOT + 1], h, w.d, w.half);
        if (o->grafting) take_length(&k, like, w.d);
    }
    move(t->size, o, early ? like : w.d, t->state[MOMENTUM_BUFFER], t->x);
}

static int32_t step(pitot_stepping *s) {
    const shampoo_options *o = s->options;
    if (matrix_bounded(s)) return PITOT_EHOST;
    for (int64_t i = 0; i < s->n; i++) {
        blocks b = blocks_of(&s->tensor[i], o->max_preconditioner_dim, 0);
        if (s->tensor[i].g && !sums_fit(o, &s->tensor[i], &b)) return PITOT_EHOST;
    }
    renewal roots = roots_of(o);
    for (int64_t i = 0; i < s->n; i++)
        if (s->tensor[i].g) gather(s, &s->tensor[i]);
    renewal_run(&roots, s);
    for (int64_t i = 0; i < s->n; i++)
        if (s->tensor[i].g) step_tensor(s, &s->tensor[i]);
    return PITOT_OK;
}

static int32_t view(const pitot_stepping *s, int64_t i, int32_t n, pitot_preconditioner *view) {
    const shampoo_options *o = s->options;
    const pitot_tensor_state *t = &s->tensor[i];
    blocks b = blocks_of(t, o->max_preconditioner_dim, 0);
    block k;
    int side;
    if (!block_of_view(&b, n, &k, &side)) return PITOT_EINVAL;
    block_view(&k, side, t->state[FACTOR + side], view);
    view->inverse = (const pitot_real *)t->state[ROOT + side] + k.at[side];
    view->power = -exponent_of(o, &b);
    view->damping = o->epsilon;
    view->bias_correction = corrected(o, o->betas[1], t->t);
    view->computed = (int64_t)((const double *)t->state[COMPUTED])[2 * k.index + side];
    return PITOT_OK;
}

const pitot_optimizer pitot_optimizer_shampoo = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .name = "shampoo",
    .summary = "inverse roots of the gradients' row and column covariances on either side of the gradient",
    .paper = "Gupta, Koren, Singer 2018, arXiv 1802.09568; options of Anil et al. 2020, arXiv 2002.09018, and Shi et al. 2023, "
             "arXiv 2309.06497",
    .formula = "L += g g'; R += g' g; x -= lr (L + eps I)^(-1/4) g (R + eps I)^(-1/4)",
    .memory = "2 (m^2 + n^2) values for a block (m,n)",
    .cost = "4 mn (m+n) flops for a block (m,n); with roots about 11 (m^3 + n^3) more",
    .options_size = sizeof(shampoo_options),
    .options = table,
    .check = check,
    .layout = layout,
    .begin = begin,
    .step = step,
    .view = view,
};
