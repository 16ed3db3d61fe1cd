/* soap.c: Vyas et al. 2024 (arXiv 2409.11321): Adam in the eigenbasis of Shampoo's factors, algorithm 3, with the basis renewed by one orthogonal
   iteration now and then, algorithm 4. The first step only makes the basis. Tensors of more axes are matrices (first axis, the rest), with
   merge_dims (the first few, the rest); axes longer than max_precond_dim, and vectors unless precondition_1d, keep their own axes.

       g' = QL' g QR; m = b1 m + (1-b1) g'; v = b2 v + (1-b2) g'^2; x -= lr QL (m/(sqrt(v) + eps)) QR' sqrt(1-b2^t)/(1-b1^t); x -= lr wd x */

#include "net/real.h"
#include "optim/core/bases.h"
#include "optim/core/blocks.h"
#include "optim/core/matrix.h"
#include "optim/core/overlap.h"
#include "optim/core/quotient.h"
#include "optim/core/renewal.h"
#include "optim/core/room.h"
#include "pitot/hot.h"

#include <string.h>

typedef struct soap_options {
    double lr, betas[2], shampoo_beta, eps, weight_decay;
    int64_t precondition_frequency, max_precond_dim, precondition_1d, normalize_grads, correct_bias, merge_dims, count_first,
        overlap;
} soap_options;

enum { FACTOR, BASIS = 2, EXP_AVG = 4, EXP_AVG_SQ, COMPUTED, NEXT, NEXT_ORDER = NEXT + 3 }; /* FACTOR + side, BASIS + side */

static const pitot_option table[] = {
    { "lr", PITOT_REAL, 1, offsetof(soap_options, lr), "0.003", 0, 1e6, NULL, "", "learning rate" },
    { "betas", PITOT_REAL, 2, offsetof(soap_options, betas), "0.95,0.95", 0, PITOT_BELOW_ONE, NULL, "",
      "decay of the averages of gradient and squared gradient" },
    { "shampoo_beta", PITOT_REAL, 1, offsetof(soap_options, shampoo_beta), "-1", -1, PITOT_BELOW_ONE, NULL, "",
      "decay of the factors; below 0: the second of betas" },
    { "eps", PITOT_REAL, 1, offsetof(soap_options, eps), "1e-8", 0, 1e6, NULL, "", "added to the root in the denominator" },
    { "weight_decay", PITOT_REAL, 1, offsetof(soap_options, weight_decay), "0.01", 0, 1e6, NULL, "",
      "x is multiplied by 1 - lr weight_decay after the step" },
    { "precondition_frequency", PITOT_INT, 1, offsetof(soap_options, precondition_frequency), "10", 1, 1e9, NULL, "steps",
      "the basis is renewed every so many steps" },
    { "max_precond_dim", PITOT_INT, 1, offsetof(soap_options, max_precond_dim), "10000", 1, BLOCK_DIM, NULL, "",
      "longest axis that gets a basis" },
    { "precondition_1d", PITOT_BOOL, 1, offsetof(soap_options, precondition_1d), "false", 0, 0, NULL, "",
      "a basis for vectors too" },
    { "normalize_grads", PITOT_BOOL, 1, offsetof(soap_options, normalize_grads), "false", 0, 0, NULL, "",
      "scale each tensor's step to root mean square 1" },
    { "correct_bias", PITOT_BOOL, 1, offsetof(soap_options, correct_bias), "true", 0, 0, NULL, "", "Adam's bias correction" },
    { "merge_dims", PITOT_BOOL, 1, offsetof(soap_options, merge_dims), "false", 0, 0, NULL, "",
      "axes are joined from the first on while their product is at most max_precond_dim, as in the authors' code; else all but the "
      "first" },
    { "count_first", PITOT_BOOL, 1, offsetof(soap_options, count_first), "false", 0, 0, NULL, "",
      "bias correction and precondition_frequency count the first step, which moves nothing, as in pytorch_optimizer" },
    { "overlap", PITOT_INT, 1, offsetof(soap_options, overlap), "0", 0, 1e9, NULL, "steps", OVERLAP_HELP },
    { 0 },
};

/* ---- state ---- */

/* Rows and columns that neighbouring axes make when joined while their product is at most `most`; what remains after two goes to the columns. */
static void join_axes(const pitot_tensor_state *t, int64_t most, int64_t n[2]) {
    int64_t joined = 1;
    int d = 0;
    while (d < t->n_dim && (joined == 1 || joined * t->shape[d] <= most)) joined *= t->shape[d++];
    n[0] = joined;
    n[1] = t->size / joined;
}

static blocks cut(const void *options, const pitot_tensor_state *t) {
    const soap_options *o = options;
    pitot_tensor_state matrix = { .n_dim = t->n_dim,
                                  .size = t->size,
                                  .shape = { t->shape[0], t->shape[0] ? t->size / t->shape[0] : 0 } };
    if (o->merge_dims) {
        join_axes(t, o->max_precond_dim, matrix.shape);
        if (matrix.shape[1] == 1) matrix.n_dim = 1;
    }
    blocks b = blocks_of(&matrix, o->max_precond_dim, 1);
    if (t->n_dim < 2 && !o->precondition_1d) b.has[0] = 0;
    return b;
}

/* Steps of the averages: one behind the tensor's, if that is how they are counted. */
static int64_t counted(const soap_options *o, const pitot_tensor_state *t) {
    return o->count_first ? t->t : t->t - 1;
}

typedef struct room_of { /* (size) three */
    pitot_real *g, *d, *half;
} room_of;

static room_of take(room *r, const pitot_tensor_state *t) {
    int64_t bytes = t->size * (int64_t)sizeof(pitot_real);
    room_of w = { .g = room_take(r, bytes), .d = room_take(r, bytes) };
    w.half = room_take(r, bytes);
    return w;
}

/* ---- the bases ---- */

static int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static int has_bases(const blocks *b) {
    return b->has[0] || b->has[1];
}

/* At the front of the scratch: the old places of rows and columns in the new bases, tensor after tensor. */
static int64_t orders_before(const void *options, const pitot_tensor_state *tensor, int64_t i) {
    int64_t at = 0;
    for (int64_t k = 0; k < i; k++) {
        blocks b = cut(options, &tensor[k]);
        at += has_bases(&b) ? b.n[0] + b.n[1] : 0;
    }
    return at;
}

static int64_t *order_of(const pitot_stepping *s, int64_t i, int side) {
    blocks b = cut(s->options, &s->tensor[i]);
    return (int64_t *)s->scratch + orders_before(s->options, s->tensor, i) + (side ? b.n[0] : 0);
}

static int64_t orders_bytes(const void *options, const pitot_tensor_state *tensor, int64_t n) {
    return (orders_before(options, tensor, n) * (int64_t)sizeof(int64_t) + 63) / 64 * 64;
}

static int64_t basis_bytes(const void *options, int64_t n) {
    (void)options;
    return larger(basis_eigen_work(n) * (int64_t)sizeof(double), basis_iterate_work(n) * (int64_t)sizeof(pitot_real));
}

static int basis_is_due(const void *options, const pitot_tensor_state *t) {
    const soap_options *o = options;
    blocks b = cut(o, t);
    return has_bases(&b) && (t->t == 1 || counted(o, t) % o->precondition_frequency == 0);
}

/* Orders made beside the steps are kept with the bases. */
static void make_basis(const pitot_stepping *s, int64_t i, const block *k, int side, void *work) {
    const pitot_tensor_state *t = &s->tensor[i];
    const pitot_real *f = t->state[FACTOR + side];
    pitot_real *q = t->state[BASIS + side];
    double *kept = t->state[NEXT_ORDER];
    int64_t n = k->n[side], *order = order_of(s, i, side);
    for (int64_t j = 0; j < n; j++) order[j] = j;
    int failed = t->t == 1 ? basis_eigen(n, f, 1, q, work) : basis_iterate(n, f, q, order, work);
    if (!failed) ((double *)t->state[COMPUTED])[side] = (double)t->t;
    for (int64_t j = 0; kept && j < n; j++) kept[(side ? k->of->n[0] : 0) + j] = (double)order[j];
}

static int64_t overlapping(const void *options) {
    return ((const soap_options *)options)->overlap;
}

static const renewal bases = { cut, basis_bytes, basis_is_due, make_basis, overlapping, FACTOR, BASIS, COMPUTED, NEXT };

/* m from the basis to the tensor's axes, or (trans) into it. */
static void turn(pitot_tensor_state *t, const block *k, int trans, const room_of *w) {
    block_apply(k, trans, t->state[BASIS], t->state[BASIS + 1], t->state[EXP_AVG], w->g, w->half);
    memcpy(t->state[EXP_AVG], w->g, (size_t)t->size * sizeof(pitot_real));
}

static void permute(const blocks *b, const int64_t *rows, const int64_t *columns, pitot_real *v, pitot_real *old) {
    memcpy(old, v, (size_t)(b->n[0] * b->n[1]) * sizeof *v);
    for (int64_t i = 0; i < b->n[0]; i++) {
        const pitot_real *from = old + rows[i] * b->n[1];
        for (int64_t j = 0; j < b->n[1]; j++) v[i * b->n[1] + j] = from[columns[j]];
    }
}

/* Before and behind the bases' renewal: m goes back to the tensor's axes and from there to the new bases; v only follows the order of the
   columns. */
static void turn_all(const pitot_stepping *s, int behind) {
    room r = { s->scratch, orders_bytes(s->options, s->tensor, s->n) };
    for (int64_t i = 0; i < s->n; i++) {
        pitot_tensor_state *t = &s->tensor[i];
        if (!t->g || t->t == 1 || !basis_is_due(s->options, t)) continue;
        blocks b = cut(s->options, t);
        block k = blocks_at(&b, 0);
        room here = r;
        room_of w = take(&here, t);
        for (int a = 0; a < 2 && !behind; a++)
            for (int64_t j = 0, *order = order_of(s, i, a); j < b.n[a]; j++) order[j] = j;
        turn(t, &k, behind, &w);
        if (behind) permute(&b, order_of(s, i, 0), order_of(s, i, 1), t->state[EXP_AVG_SQ], w.g);
    }
}

static void read_order(const pitot_stepping *s, int64_t i, int side) {
    blocks b = cut(s->options, &s->tensor[i]);
    const double *kept = (const double *)s->tensor[i].state[NEXT_ORDER] + (side ? b.n[0] : 0);
    int64_t *order = order_of(s, i, side);
    for (int64_t j = 0; j < b.n[side]; j++) order[j] = b.has[side] ? (int64_t)kept[j] : j;
}

/* Bases that were made beside the steps. */
static void take_bases(const pitot_stepping *s) {
    for (int64_t i = 0; i < s->n; i++) {
        pitot_tensor_state *t = &s->tensor[i];
        const double *now = t->state[COMPUTED], *next = t->state[NEXT + 2];
        blocks b = cut(s->options, t);
        block k = blocks_at(&b, 0);
        room r = { s->scratch, orders_bytes(s->options, s->tensor, s->n) };
        room_of w = take(&r, t);
        if (now[0] == next[0] && now[1] == next[1]) continue;
        for (int a = 0; a < 2; a++) read_order(s, i, a);
        turn(t, &k, 0, &w);
        renewal_take(&bases, s, i);
        turn(t, &k, 1, &w);
        permute(&b, order_of(s, i, 0), order_of(s, i, 1), t->state[EXP_AVG_SQ], w.g);
    }
}

static void renew(const pitot_stepping *s) {
    int64_t orders = orders_bytes(s->options, s->tensor, s->n);
    int due = 0;
    if (overlapping(s->options) > 0) {
        renewal_step(&bases, s, orders, take_bases);
        return;
    }
    for (int64_t i = 0; i < s->n; i++) due |= s->tensor[i].g && basis_is_due(s->options, &s->tensor[i]);
    if (!due) return;
    turn_all(s, 0);
    renewal_run(&bases, s, orders);
    turn_all(s, 1);
}

/* ---- layout ---- */

static int32_t layout(pitot_layout *l, pitot_error *error) {
    static const char *const factor[] = { "factor_rows", "factor_columns" }, *const basis[] = { "basis_rows", "basis_columns" };
    int64_t orders = orders_bytes(l->options, l->tensor, l->n);
    if (l->i < 0) return renewal_layout_run(&bases, l, orders, error);
    const pitot_tensor_state *t = &l->tensor[l->i];
    blocks b = cut(l->options, t);
    room r = { 0 };
    if (!blocks_fit(&b, "soap", t->name, error)) return PITOT_ENOTSUP;
    for (int a = 0; a < 2; a++) pitot_slot_add(l, factor[a], 0, b.has[a] ? 2 : -1, (int64_t[]){ b.n[a], b.n[a] });
    for (int a = 0; a < 2; a++) pitot_slot_add(l, basis[a], 0, b.has[a] ? 2 : -1, (int64_t[]){ b.n[a], b.n[a] });
    pitot_slot_like(l, "exp_avg", l->i, 1);
    pitot_slot_like(l, "exp_avg_sq", l->i, 1);
    pitot_slot_add(l, "computed", PITOT_F64, 1, (int64_t[]){ 2 });
    renewal_next_slots(&bases, l, &b, "next_basis_rows", "next_basis_columns");
    pitot_slot_add(l, "next_order", PITOT_F64, overlapping(l->options) > 0 && has_bases(&b) ? 1 : -1,
                   (int64_t[]){ b.n[0] + b.n[1] });
    take(&r, t);
    l->scratch = orders + r.used;
    return PITOT_OK;
}

static void begin(pitot_stepping *s) {
    renewal_begin(&bases, s, orders_bytes(s->options, s->tensor, s->n));
}

/* ---- a step ---- */

static void gather(const soap_options *o, pitot_tensor_state *t, const blocks *b) {
    double beta = o->shampoo_beta < 0 ? o->betas[1] : o->shampoo_beta;
    blocks_gather(b, t->g, beta, 1 - beta, t->state + FACTOR);
}

PITOT_HOT static void adam(int64_t n, const soap_options *o, const pitot_real *restrict g, pitot_real *restrict m,
                           pitot_real *restrict v, pitot_real *restrict d) {
    pitot_real b1 = (pitot_real)o->betas[0], b2 = (pitot_real)o->betas[1], c1 = (pitot_real)(1 - o->betas[0]),
               c2 = (pitot_real)(1 - o->betas[1]), eps = (pitot_real)o->eps;
    for (int64_t i = 0; i < n; i++) {
        m[i] = b1 * m[i] + c1 * g[i];
        v[i] = b2 * v[i] + c2 * g[i] * g[i];
        d[i] = quotient(m[i], REAL(sqrt)(v[i]) + eps);
    }
}

PITOT_HOT static void move(int64_t n, pitot_real lr, pitot_real keep, const pitot_real *restrict d, pitot_real *restrict x) {
    for (int64_t i = 0; i < n; i++) x[i] = keep * (x[i] - lr * d[i]);
}

static double length_of(const soap_options *o, const pitot_tensor_state *t, const pitot_real *d) {
    double n = (double)counted(o, t), c = o->correct_bias ? sqrt(1 - pow(o->betas[1], n)) / (1 - pow(o->betas[0], n)) : 1;
    if (o->normalize_grads) c /= 1e-30 + sqrt(matrix_squares(d, 1, t->size, t->size) / (double)t->size);
    return o->lr * c;
}

static void step_tensor(const pitot_stepping *s, pitot_tensor_state *t) {
    const soap_options *o = s->options;
    blocks b = cut(o, t);
    block k = blocks_at(&b, 0);
    room r = { s->scratch, orders_bytes(o, s->tensor, s->n) };
    room_of w = take(&r, t);
    int plain = !has_bases(&b);
    if (t->t == 1) {
        gather(o, t, &b);
        return;
    }
    if (!plain) block_apply(&k, 1, t->state[BASIS], t->state[BASIS + 1], t->g, w.g, w.half);
    adam(t->size, o, plain ? t->g : w.g, t->state[EXP_AVG], t->state[EXP_AVG_SQ], w.d);
    if (!plain) block_apply(&k, 0, t->state[BASIS], t->state[BASIS + 1], w.d, w.g, w.half);
    const pitot_real *d = plain ? w.d : w.g;
    move(t->size, (pitot_real)length_of(o, t, d), (pitot_real)(1 - o->lr * o->weight_decay), d, t->x);
    gather(o, t, &b);
}

static int32_t step(pitot_stepping *s) {
    int32_t status = matrix_bounded(s);
    for (int64_t i = 0; i < s->n && !status; i++)
        if (s->tensor[i].g) step_tensor(s, &s->tensor[i]);
    if (!status) renew(s);
    return status;
}

static int32_t view(const pitot_stepping *s, int64_t i, int32_t n, pitot_preconditioner *view) {
    const soap_options *o = s->options;
    const pitot_tensor_state *t = &s->tensor[i];
    blocks b = cut(o, t);
    double beta = o->shampoo_beta < 0 ? o->betas[1] : o->shampoo_beta,
           correction = o->correct_bias && t->t > 1 ? 1 / (1 - pow(o->betas[1], (double)counted(o, t))) : 1;
    block k;
    int side;
    view->power = -0.5;
    view->eps = o->eps * sqrt(correction); /* the correction is the step's, not v's */
    if (!b.has[0] && !b.has[1]) {
        view->axis = -1;
        view->n = t->size;
        view->factor = t->state[EXP_AVG_SQ];
        view->bias_correction = correction;
        return n ? PITOT_EINVAL : PITOT_OK;
    }
    if (!block_of_view(&b, n, &k, &side)) return PITOT_EINVAL;
    block_view(&k, side, t->state[FACTOR + side], view);
    view->basis = t->state[BASIS + side];
    view->bias_correction = 1 / (1 - pow(beta, (double)t->t));
    view->computed = (int64_t)((const double *)t->state[COMPUTED])[side];
    view->corrected = t->state[EXP_AVG_SQ];
    view->corrected_power = -0.5;
    view->correction = correction;
    return PITOT_OK;
}

const pitot_optimizer pitot_optimizer_soap = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .name = "soap",
    .summary = "Adam in the eigenbasis of Shampoo's factors",
    .paper = "Vyas, Morwani, Zhao, Kwun, Shapira, Brandfonbrener, Janson, Kakade 2024, arXiv 2409.11321, algorithms 3 and 4",
    .formula = "h = QL' g QR; m = b1 m + (1-b1) h; v = b2 v + (1-b2) h^2; x -= lr QL (m/(sqrt(v) + eps)) QR' "
               "sqrt(1-b2^t)/(1-b1^t); x -= lr wd x",
    .memory = "2 D values and 2 (m^2 + n^2) for a matrix (m,n)",
    .tensors = "more than two axes: a matrix (first axis, the rest); axes longer than max_precond_dim keep their own; vectors, "
               "without precondition_1d: Adam",
    .cost = "6 mn (m+n) flops for a matrix (m,n); when the basis is renewed about 6 (m^3 + n^3) more",
    .options_size = sizeof(soap_options),
    .options = table,
    .layout = layout,
    .begin = begin,
    .step = step,
    .view = view,
};
