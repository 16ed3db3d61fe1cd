/* muon.c: Jordan et al. 2024 ("Muon: an optimizer for hidden layers in neural networks"): the momentum of a matrix is replaced by nearly its
   orthogonal polar factor, all of whose singular values are about 1. Tensors of more axes are matrices (first axis, the rest). Vectors, and the
   ends of the net if so asked, go to AdamW with a learning rate of its own, which follows lr's changes in proportion. */

#include "optim/core/adam.h"
#include "optim/core/matrix.h"
#include "optim/core/newton_schulz.h"
#include "optim/core/room.h"

#include <limits.h>

typedef struct muon_options {
    double lr, momentum, weight_decay;
    int64_t nesterov, ns_steps;
    int64_t aux;
    double aux_lr, aux_betas[2], aux_eps;
} muon_options;

enum { VECTORS, HEAD, ENDS };                                                               /* aux: what AdamW gets */
enum { EXP_AVG, EXP_AVG_SQ, NONE, MOMENTUM_BUFFER, ASKED = 0 /* of the run: lr as set */ }; /* AdamW's are where adam.h has them */

static const pitot_option table[] = {
    { "lr", PITOT_REAL, 1, offsetof(muon_options, lr), "0.02", 0, 1e6, NULL, "", "learning rate of matrices" },
    { "momentum", PITOT_REAL, 1, offsetof(muon_options, momentum), "0.95", 0, PITOT_BELOW_ONE, NULL, "",
      "decay of the average of gradients" },
    { "weight_decay", PITOT_REAL, 1, offsetof(muon_options, weight_decay), "0", 0, 1e6, NULL, "",
      "matrices are multiplied by 1 - lr weight_decay before the step" },
    { "nesterov", PITOT_BOOL, 1, offsetof(muon_options, nesterov), "true", 0, 0, NULL, "",
      "orthogonalise a mix of gradient and average, not the average" },
    { "ns_steps", PITOT_INT, 1, offsetof(muon_options, ns_steps), "5", 0, 100, NULL, "", "Newton-Schulz steps" },
    { "aux", PITOT_CHOICE, 1, offsetof(muon_options, aux), "vectors", 0, 0, "vectors|head|ends", "",
      "what AdamW gets: vectors; the last matrix too; the first too" },
    { "aux_lr", PITOT_REAL, 1, offsetof(muon_options, aux_lr), "0.0003", 0, 1e6, NULL, "", "AdamW's learning rate" },
    { "aux_betas", PITOT_REAL, 2, offsetof(muon_options, aux_betas), "0.9,0.95", 0, PITOT_BELOW_ONE, NULL, "", "AdamW's betas" },
    { "aux_eps", PITOT_REAL, 1, offsetof(muon_options, aux_eps), "1e-10", 0, 1e6, NULL, "", "AdamW's eps" },
    { 0 },
};

static int is_matrix(const pitot_tensor_state *t) {
    return t->n_dim >= 2 && t->shape[0] <= INT_MAX && t->size / t->shape[0] <= INT_MAX;
}

/* Whether tensor i of n goes to AdamW. */
static int is_aux(const pitot_tensor_state *t, int64_t n, int64_t i, const muon_options *o) {
    int before = 0, behind = 0;
    if (!is_matrix(&t[i])) return 1;
    for (int64_t k = 0; k < n; k++) {
        before |= k < i && t[k].n_dim >= 2;
        behind |= k > i && t[k].n_dim >= 2;
    }
    return (o->aux != VECTORS && !behind) || (o->aux == ENDS && !before);
}

typedef struct work {
    pitot_real *u, *more; /* (size) what is made orthogonal; for newton_schulz */
} work;

static work take(room *r, const pitot_tensor_state *t) {
    int64_t rows = t->shape[0], cols = t->size / rows, bytes = (int64_t)sizeof(pitot_real);
    work w = { .u = room_take(r, t->size * bytes) };
    w.more = room_take(r, newton_schulz_work(rows, cols) * bytes);
    return w;
}

static int32_t layout(pitot_layout *l, pitot_error *error) {
    (void)error;
    if (l->i < 0) {
        pitot_slot_add(l, "asked_lr", PITOT_F64, 0, NULL);
        return PITOT_OK;
    }
    int aux = is_aux(l->tensor, l->n, l->i, l->options);
    room r = { 0 };
    pitot_slot_like(l, "exp_avg", l->i, aux);
    pitot_slot_like(l, "exp_avg_sq", l->i, aux);
    pitot_slot_like(l, "", l->i, 0);
    pitot_slot_like(l, "momentum_buffer", l->i, !aux);
    if (!aux) take(&r, &l->tensor[l->i]);
    l->scratch = r.used;
    return PITOT_OK;
}

static void begin(pitot_stepping *s) {
    *(double *)s->run[ASKED] = ((const muon_options *)s->options)->lr;
}

PITOT_HOT static void average(int64_t n, pitot_real beta, int nesterov, const pitot_real *restrict g, pitot_real *restrict m,
                              pitot_real *restrict u) {
    pitot_real rest = 1 - beta, of_g = nesterov ? rest : 0, of_m = nesterov ? beta : 1;
    for (int64_t i = 0; i < n; i++) {
        m[i] = beta * m[i] + rest * g[i];
        u[i] = of_g * g[i] + of_m * m[i];
    }
}

PITOT_HOT static void move(int64_t n, pitot_real keep, pitot_real step, const pitot_real *restrict u, pitot_real *restrict x) {
    for (int64_t i = 0; i < n; i++) x[i] = keep * x[i] - step * u[i];
}

static void step_matrix(const pitot_stepping *s, pitot_tensor_state *t) {
    const muon_options *o = s->options;
    int64_t rows = t->shape[0], cols = t->size / rows;
    room r = { s->scratch, 0 };
    work w = take(&r, t);
    average(t->size, (pitot_real)o->momentum, o->nesterov != 0, t->g, t->state[MOMENTUM_BUFFER], w.u);
    const pitot_real *u = newton_schulz(rows, cols, (int)o->ns_steps, 1e-7, w.u, w.more);
    double shape = rows > cols ? sqrt((double)rows / (double)cols) : 1;
    move(t->size, (pitot_real)(1 - o->lr * o->weight_decay), (pitot_real)(o->lr * shape), u, t->x);
}

static void update_aux(const pitot_update *u) {
    pitot_update a = *u;
    a.options = u->step;
    adam_update(&a, 1, 0);
}

static int32_t step(pitot_stepping *s) {
    const muon_options *o = s->options;
    double asked = *(const double *)s->run[ASKED];
    adam_options aux = { .lr = asked > 0 ? o->aux_lr * (o->lr / asked) : 0,
                         .betas = { o->aux_betas[0], o->aux_betas[1] },
                         .eps = o->aux_eps };
    int32_t status = matrix_bounded(s);
    for (int64_t i = 0; i < s->n && !status; i++) {
        if (!s->tensor[i].g) continue;
        if (s->tensor[i].state[MOMENTUM_BUFFER]) step_matrix(s, &s->tensor[i]);
        else pitot_elementwise(s, i, update_aux, &aux);
    }
    return status;
}

const pitot_optimizer pitot_optimizer_muon = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .name = "muon",
    .summary = "momentum of matrices made orthogonal by Newton-Schulz steps; AdamW for vectors",
    .paper = "Jordan, Jin, Boza, You, Cesista, Newhouse, Bernstein 2024, \"Muon\"; as a steepest descent: Bernstein, Newhouse "
             "2024, arXiv 2409.20325",
    .formula = "m = b m + (1-b) g; u = (1-b) g + b m; x = (1 - lr wd) x - lr sqrt(max(1, rows/cols)) UV' (u = USV')",
    .memory = "D values for matrices, 2 D for vectors",
    .tensors =
        "vectors, and with aux the last, or first and last, matrix: AdamW; more than two axes: a matrix (first axis, the rest)",
    .cost = "ns_steps times about 4 m^2 n + 2 m^3 flops for a matrix (m,n), m <= n",
    .options_size = sizeof(muon_options),
    .options = table,
    .layout = layout,
    .begin = begin,
    .step = step,
};
