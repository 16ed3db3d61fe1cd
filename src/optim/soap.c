/* soap.c: Vyas et al. 2024 (arXiv 2409.11321): Adam in the eigenbasis of Shampoo's factors, algorithm 3, with the basis renewed by one orthogonal
   iteration now and then, algorithm 4. The first step only makes the basis. Tensors of more axes are matrices (first axis, the rest), with
   merge_dims (the first few, the rest); axes longer than max_precond_dim, and vectors unless precondition_1d, keep their own axes.

       g' = QL' g QR; m = b1 m + (1-b1) g'; v = b2 v + (1-b2) g'^2; x -= lr QL (m/(sqrt(v) + eps)) QR' sqrt(1-b2^t)/(1-b1^t); x -= lr wd x */

#include "net/real.h"
#include "optim/core/bases.h"
#include "optim/core/blocks.h"
#include "optim/core/matrix.h"
#include "optim/core/quotient.h"
#include "optim/core/room.h"
#include "pitot/hot.h"

#include <string.h>

typedef struct soap_options {
    double lr, betas[2], shampoo_beta, eps, weight_decay;
    int64_t precondition_frequency, max_precond_dim, precondition_1d, normalize_grads, correct_bias, merge_dims, count_first;
} soap_options;

enum { FACTOR, BASIS = 2, EXP_AVG = 4, EXP_AVG_SQ, COMPUTED }; /* FACTOR + side, BASIS + side */

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

static blocks cut(const pitot_tensor_state *t, const soap_options *o) {
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

typedef struct room_of { /* (size) two; what decompositions use; old places of rows and columns */
    pitot_real *g, *d, *real;
    double *eigen;
    int64_t *order[2];
} room_of;

static room_of take(room *r, const pitot_tensor_state *t, const blocks *b) {
    int64_t bytes = (int64_t)sizeof(pitot_real), n = blocks_side(b),
            real = t->size > basis_iterate_work(n) ? t->size : basis_iterate_work(n);
    room_of w = { .g = room_take(r, t->size * bytes), .d = room_take(r, t->size * bytes) };
    w.real = room_take(r, real * bytes);
    w.eigen = room_take(r, basis_eigen_work(n) * (int64_t)sizeof(double));
    for (int a = 0; a < 2; a++) w.order[a] = room_take(r, b->n[a] * (int64_t)sizeof(int64_t));
    return w;
}

static int32_t layout(pitot_layout *l, pitot_error *error) {
    static const char *const factor[] = { "factor_rows", "factor_columns" }, *const basis[] = { "basis_rows", "basis_columns" };
    if (l->i < 0) return PITOT_OK;
    const pitot_tensor_state *t = &l->tensor[l->i];
    blocks b = cut(t, l->options);
    room r = { 0 };
    if (!blocks_fit(&b, "soap", t->name, error)) return PITOT_ENOTSUP;
    for (int a = 0; a < 2; a++) pitot_slot_add(l, factor[a], 0, b.has[a] ? 2 : -1, (int64_t[]){ b.n[a], b.n[a] });
    for (int a = 0; a < 2; a++) pitot_slot_add(l, basis[a], 0, b.has[a] ? 2 : -1, (int64_t[]){ b.n[a], b.n[a] });
    pitot_slot_like(l, "exp_avg", l->i, 1);
    pitot_slot_like(l, "exp_avg_sq", l->i, 1);
    pitot_slot_add(l, "computed", PITOT_F64, 1, (int64_t[]){ 2 });
    take(&r, t, &b);
    l->scratch = r.used;
    return PITOT_OK;
}

static void begin(pitot_stepping *s) {
    for (int64_t i = 0; i < s->n; i++) {
        blocks b = cut(&s->tensor[i], s->options);
        blocks_identity(&b, s->tensor[i].state + BASIS);
    }
}

/* ---- the basis ---- */

static void gather(const soap_options *o, pitot_tensor_state *t, const block *k) {
    double beta = o->shampoo_beta < 0 ? o->betas[1] : o->shampoo_beta;
    for (int a = 0; a < 2; a++)
        if (k->of->has[a]) block_gather(k, a, t->g, beta, 1 - beta, t->state[FACTOR + a]);
}

static void first_basis(pitot_tensor_state *t, const blocks *b, const room_of *w) {
    for (int a = 0; a < 2; a++)
        if (b->has[a] && basis_eigen(b->n[a], t->state[FACTOR + a], 1, t->state[BASIS + a], w->eigen) == 0)
            ((double *)t->state[COMPUTED])[a] = (double)t->t;
}

static void permute(const blocks *b, int64_t *const order[2], pitot_real *v, pitot_real *old) {
    memcpy(old, v, (size_t)(b->n[0] * b->n[1]) * sizeof *v);
    for (int64_t i = 0; i < b->n[0]; i++) {
        const pitot_real *from = old + order[0][i] * b->n[1];
        for (int64_t j = 0; j < b->n[1]; j++) v[i * b->n[1] + j] = from[order[1][j]];
    }
}

/* m goes back to the tensor's axes and from there to the new basis; v only follows the order of the columns. */
static void renew(pitot_tensor_state *t, const blocks *b, const block *k, const room_of *w) {
    pitot_real *m = t->state[EXP_AVG];
    block_apply(k, 0, t->state[BASIS], t->state[BASIS + 1], m, w->g, w->real);
    for (int a = 0; a < 2; a++) {
        for (int64_t i = 0; i < b->n[a]; i++) w->order[a][i] = i;
        if (b->has[a] && basis_iterate(b->n[a], t->state[FACTOR + a], t->state[BASIS + a], w->order[a], w->real) == 0)
            ((double *)t->state[COMPUTED])[a] = (double)t->t;
    }
    block_apply(k, 1, t->state[BASIS], t->state[BASIS + 1], w->g, m, w->real);
    permute(b, w->order, t->state[EXP_AVG_SQ], w->real);
}

/* ---- a step ---- */

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

/* Steps of the averages: one behind the tensor's, if that is how they are counted. */
static int64_t counted(const soap_options *o, const pitot_tensor_state *t) {
    return o->count_first ? t->t : t->t - 1;
}

static double length_of(const soap_options *o, const pitot_tensor_state *t, const pitot_real *d) {
    double n = (double)counted(o, t), c = o->correct_bias ? sqrt(1 - pow(o->betas[1], n)) / (1 - pow(o->betas[0], n)) : 1;
    if (o->normalize_grads) c /= 1e-30 + sqrt(matrix_squares(d, 1, t->size, t->size) / (double)t->size);
    return o->lr * c;
}

static void step_tensor(const pitot_stepping *s, pitot_tensor_state *t) {
    const soap_options *o = s->options;
    blocks b = cut(t, o);
    block k = blocks_at(&b, 0);
    room r = { s->scratch, 0 };
    room_of w = take(&r, t, &b);
    int plain = !b.has[0] && !b.has[1];
    if (t->t == 1) {
        gather(o, t, &k);
        first_basis(t, &b, &w);
        return;
    }
    if (!plain) block_apply(&k, 1, t->state[BASIS], t->state[BASIS + 1], t->g, w.g, w.real);
    adam(t->size, o, plain ? t->g : w.g, t->state[EXP_AVG], t->state[EXP_AVG_SQ], w.d);
    if (!plain) block_apply(&k, 0, t->state[BASIS], t->state[BASIS + 1], w.d, w.g, w.real);
    const pitot_real *d = plain ? w.d : w.g;
    move(t->size, (pitot_real)length_of(o, t, d), (pitot_real)(1 - o->lr * o->weight_decay), d, t->x);
    gather(o, t, &k);
    if (counted(o, t) % o->precondition_frequency == 0 && !plain) renew(t, &b, &k, &w);
}

static int32_t step(pitot_stepping *s) {
    int32_t status = matrix_bounded(s);
    for (int64_t i = 0; i < s->n && !status; i++)
        if (s->tensor[i].g) step_tensor(s, &s->tensor[i]);
    return status;
}

static int32_t view(const pitot_stepping *s, int64_t i, int32_t n, pitot_preconditioner *view) {
    const soap_options *o = s->options;
    const pitot_tensor_state *t = &s->tensor[i];
    blocks b = cut(t, o);
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
    .cost = "6 mn (m+n) flops for a matrix (m,n); when the basis is renewed about 6 (m^3 + n^3) more",
    .options_size = sizeof(soap_options),
    .options = table,
    .layout = layout,
    .begin = begin,
    .step = step,
    .view = view,
};
