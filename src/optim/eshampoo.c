/* eshampoo.c: eigenvalue-corrected Shampoo, Eschenhagen et al. 2025 (arXiv 2506.03595), with their adaptive criterion for the bases: Adam's second
   moments in the eigenbases of Shampoo's factors, no grafting. By QR iterations a basis is kept while B = Q'FQ is diagonal enough, and goes on
   from where it was else; max_iterations 1 and tolerance 0 is what SOAP does. Second moments are not turned with the bases. Averages of gradients
   stay in the tensor's own axes.

   G (rows, cols) of tensors of more axes is (first axis, the rest), blocks of at most max_preconditioner_dim have bases of their own. A vector has
   a basis too. */

#include "net/real.h"
#include "optim/core/bases.h"
#include "optim/core/blocks.h"
#include "optim/core/matrix.h"
#include "optim/core/overlap.h"
#include "optim/core/quotient.h"
#include "optim/core/renewal.h"
#include "optim/core/room.h"
#include "pitot/hot.h"

typedef struct eshampoo_options {
    double lr, betas[2], epsilon, weight_decay, tolerance;
    int64_t basis, max_iterations, max_preconditioner_dim, precondition_frequency, use_bias_correction, overlap;
} eshampoo_options;

enum { QR, EIGH };
enum { FACTOR, BASIS = 2, COMPUTED = 4, EXP_AVG, CORRECTED, NEXT }; /* FACTOR + side, BASIS + side */

static const pitot_option table[] = {
    { "lr", PITOT_REAL, 1, offsetof(eshampoo_options, lr), "0.001", 0, 1e6, NULL, "", "learning rate" },
    { "betas", PITOT_REAL, 2, offsetof(eshampoo_options, betas), "0.9,0.999", 0, PITOT_BELOW_ONE, NULL, "",
      "decay of the averages of gradient (0: none), and of factors and second moments" },
    { "epsilon", PITOT_REAL, 1, offsetof(eshampoo_options, epsilon), "1e-8", 0, 1e6, NULL, "",
      "added to the root in the denominator" },
    { "weight_decay", PITOT_REAL, 1, offsetof(eshampoo_options, weight_decay), "0", 0, 1e6, NULL, "",
      "x is multiplied by 1 - lr weight_decay" },
    { "basis", PITOT_CHOICE, 1, offsetof(eshampoo_options, basis), "qr", 0, 0, "qr|eigh", "",
      "QR iterations from the basis before, or decompositions" },
    { "tolerance", PITOT_REAL, 1, offsetof(eshampoo_options, tolerance), "0.01", 0, 1, NULL, "",
      "share of a factor off the diagonal that is let be" },
    { "max_iterations", PITOT_INT, 1, offsetof(eshampoo_options, max_iterations), "10", 0, 10000, NULL, "",
      "QR iterations at most" },
    { "max_preconditioner_dim", PITOT_INT, 1, offsetof(eshampoo_options, max_preconditioner_dim), "1024", 1, BLOCK_DIM, NULL, "",
      "rows and columns of a block" },
    { "precondition_frequency", PITOT_INT, 1, offsetof(eshampoo_options, precondition_frequency), "1", 1, 1e9, NULL, "steps",
      "bases are looked at every so many steps" },
    { "use_bias_correction", PITOT_BOOL, 1, offsetof(eshampoo_options, use_bias_correction), "true", 0, 0, NULL, "",
      "divide averages by 1 - beta^t" },
    { "overlap", PITOT_INT, 1, offsetof(eshampoo_options, overlap), "0", 0, 1e9, NULL, "steps", OVERLAP_HELP },
    { 0 },
};

/* ---- state ---- */

static blocks cut(const void *options, const pitot_tensor_state *t) {
    return blocks_of(t, ((const eshampoo_options *)options)->max_preconditioner_dim, 0);
}

typedef struct room_of { /* (size) three: filtered gradient; gradient and it in the basis; (block) */
    pitot_real *h, *turned, *d, *real;
} room_of;

static room_of take(room *r, const pitot_tensor_state *t, const blocks *b) {
    int64_t bytes = (int64_t)sizeof(pitot_real);
    room_of w = { .h = room_take(r, t->size * bytes), .turned = room_take(r, t->size * bytes) };
    w.d = room_take(r, t->size * bytes);
    w.real = room_take(r, blocks_area(b) * bytes);
    return w;
}

/* ---- bases ---- */

static int64_t basis_bytes(const void *options, int64_t n) {
    int eigen = ((const eshampoo_options *)options)->basis == EIGH;
    int64_t work = eigen ? basis_eigen_work(n) * (int64_t)sizeof(double) : basis_refine_work(n) * (int64_t)sizeof(pitot_real);
    return n * (int64_t)sizeof(int64_t) + work;
}

static int basis_is_due(const void *options, const pitot_tensor_state *t) {
    return t->t % ((const eshampoo_options *)options)->precondition_frequency == 0;
}

/* "computed" is when one was last made anew. */
static void make_basis(const pitot_stepping *s, int64_t i, const block *k, int side, void *at) {
    const eshampoo_options *o = s->options;
    const pitot_tensor_state *t = &s->tensor[i];
    const pitot_real *f = (const pitot_real *)t->state[FACTOR + side] + k->at[side];
    pitot_real *q = (pitot_real *)t->state[BASIS + side] + k->at[side];
    int64_t made = 0, n = k->n[side], *order = at;
    void *work = order + n;
    if (o->basis == EIGH) made = basis_eigen(n, f, 0, q, work) == 0;
    else basis_refine(n, f, o->tolerance, o->max_iterations, q, order, &made, work);
    if (made > 0) ((double *)t->state[COMPUTED])[2 * k->index + side] = (double)t->t;
}

static int64_t overlapping(const void *options) {
    return ((const eshampoo_options *)options)->overlap;
}

static const renewal bases = { cut, basis_bytes, basis_is_due, make_basis, overlapping, FACTOR, BASIS, COMPUTED, NEXT };

/* ---- layout ---- */

static int32_t layout(pitot_layout *l, pitot_error *error) {
    const eshampoo_options *o = l->options;
    blocks b;
    room r = { 0 };
    if (l->i < 0) return renewal_layout_run(&bases, l, 0, error);
    int32_t status = renewal_layout(&bases, l, &b, "eshampoo", "basis_rows", "basis_columns", error);
    if (status) return status;
    pitot_slot_like(l, "exp_avg", l->i, o->betas[0] > 0);
    pitot_slot_add(l, "corrected_eigenvalues", 0, 1, &l->tensor[l->i].size); /* block after block */
    renewal_next_slots(&bases, l, &b, "next_basis_rows", "next_basis_columns");
    take(&r, &l->tensor[l->i], &b);
    l->scratch = r.used;
    return PITOT_OK;
}

static void begin(pitot_stepping *s) {
    renewal_begin(&bases, s, 0);
}

/* Where block k's second moments begin. */
static int64_t corrected_at(const block *k) {
    return k->first[0] * k->of->n[1] + k->first[1] * k->n[0];
}

/* ---- a step ---- */

PITOT_HOT static void average(int64_t n, pitot_real beta, pitot_real c, const pitot_real *restrict g, pitot_real *restrict m,
                              pitot_real *restrict h) {
    pitot_real rest = 1 - beta;
    for (int64_t i = 0; i < n; i++) {
        m[i] = beta * m[i] + rest * g[i];
        h[i] = c * m[i];
    }
}

/* One row of a block: v = b v + (1-b) g^2; h /= c sqrt(v) + eps. */
PITOT_HOT static void correct(int64_t n, pitot_real beta, pitot_real c, pitot_real eps, const pitot_real *g, pitot_real *restrict v,
                              pitot_real *h) {
    pitot_real rest = 1 - beta;
    for (int64_t i = 0; i < n; i++) {
        v[i] = beta * v[i] + rest * g[i] * g[i];
        h[i] = quotient(h[i], c * REAL(sqrt)(v[i]) + eps);
    }
}

PITOT_HOT static void move(int64_t n, pitot_real lr, pitot_real keep, const pitot_real *restrict d, pitot_real *restrict x) {
    for (int64_t i = 0; i < n; i++) x[i] = keep * x[i] - lr * d[i];
}

/* 1 / (1 - beta^t), or 1 */
static double unbiased(const eshampoo_options *o, double beta, int64_t t) {
    return o->use_bias_correction ? 1 / (1 - pow(beta, (double)t)) : 1;
}

/* g: gradient, h: what is preconditioned, perhaps the same. */
static void step_block(const eshampoo_options *o, pitot_tensor_state *t, const block *k, const pitot_real *h, const room_of *w) {
    const pitot_real *left = t->state[BASIS], *right = t->state[BASIS + 1];
    pitot_real *v = (pitot_real *)t->state[CORRECTED] + corrected_at(k), *to = h == t->g ? w->turned : w->d;
    int64_t ld = k->of->n[1], at = k->first[0] * ld + k->first[1];
    pitot_real beta = (pitot_real)o->betas[1], c = (pitot_real)sqrt(unbiased(o, o->betas[1], t->t));
    block_apply(k, 1, left, right, t->g, w->turned, w->real);
    if (h != t->g) block_apply(k, 1, left, right, h, to, w->real);
    for (int64_t i = 0; i < k->n[0]; i++)
        correct(k->n[1], beta, c, (pitot_real)o->epsilon, w->turned + at + i * ld, v + i * k->n[1], to + at + i * ld);
    block_apply(k, 0, left, right, to, w->h, w->real);
}

static void gather(const eshampoo_options *o, pitot_tensor_state *t) {
    blocks b = cut(o, t);
    blocks_gather(&b, t->g, o->betas[1], 1 - o->betas[1], t->state + FACTOR);
}

static void step_tensor(const pitot_stepping *s, pitot_tensor_state *t) {
    const eshampoo_options *o = s->options;
    blocks b = cut(o, t);
    room r = { s->scratch, 0 };
    room_of w = take(&r, t, &b);
    const pitot_real *h = t->g;
    if (t->state[EXP_AVG]) {
        average(t->size, (pitot_real)o->betas[0], (pitot_real)unbiased(o, o->betas[0], t->t), t->g, t->state[EXP_AVG], w.h);
        h = w.h;
    }
    for (int64_t j = 0; j < blocks_count(&b); j++) {
        block k = blocks_at(&b, j);
        step_block(o, t, &k, h, &w);
    }
    move(t->size, (pitot_real)o->lr, (pitot_real)(1 - o->lr * o->weight_decay), w.h, t->x);
}

static int32_t step(pitot_stepping *s) {
    if (matrix_bounded(s)) return PITOT_EHOST;
    for (int64_t i = 0; i < s->n; i++)
        if (s->tensor[i].g) gather(s->options, &s->tensor[i]);
    renewal_step(&bases, s, 0, NULL);
    for (int64_t i = 0; i < s->n; i++)
        if (s->tensor[i].g) step_tensor(s, &s->tensor[i]);
    return PITOT_OK;
}

static int32_t view(const pitot_stepping *s, int64_t i, int32_t n, pitot_preconditioner *view) {
    const eshampoo_options *o = s->options;
    const pitot_tensor_state *t = &s->tensor[i];
    blocks b;
    block k;
    int side;
    if (!renewal_view(&bases, s, i, n, &b, &k, &side, view)) return PITOT_EINVAL;
    view->basis = (const pitot_real *)t->state[BASIS + side] + k.at[side];
    view->power = view->corrected_power = -0.5;
    view->eps = o->epsilon;
    view->bias_correction = view->correction = unbiased(o, o->betas[1], t->t);
    view->corrected = (const pitot_real *)t->state[CORRECTED] + corrected_at(&k);
    return PITOT_OK;
}

const pitot_optimizer pitot_optimizer_eshampoo = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .name = "eshampoo",
    .summary =
        "Shampoo with its eigenvalues replaced by second moments in its eigenbases, which are renewed where they no longer fit",
    .paper = "Eschenhagen, Defazio, Lee, Turner, Shi 2025, arXiv 2506.03595",
    .formula =
        "m = b1 m + (1-b1) g; v = b2 v + (1-b2) (QL' g QR)^2; x -= lr QL ((QL' m QR/(1-b1^t)) / (sqrt(v/(1-b2^t)) + eps)) QR'",
    .memory = "2 D values and 2 (m^2 + n^2) for a block (m,n)",
    .tensors = "more than two axes: a matrix (first axis, the rest); longer than max_preconditioner_dim: blocks with bases of "
               "their own; vectors: one basis",
    .cost = "8 mn (m+n) flops for a block (m,n); 4 (m^3 + n^3) to look at the bases, about 7 (m^3 + n^3) more an iteration",
    .options_size = sizeof(eshampoo_options),
    .options = table,
    .layout = layout,
    .begin = begin,
    .step = step,
    .view = view,
};
