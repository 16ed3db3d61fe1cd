/* sania.c: Abdukhakimov, Xiang, Kamzolov, Gower, Takac 2023 (arXiv 2312.17369), SANIA AdaGrad-SQR and Adam-SQR, as the authors' code: Polyak's step,
   whose length is where a model of the batch's loss f meets its least value f*, in the metric of B:

       v = v + g^2, or b v + (1-b) g^2 over 1-b^t;   B = max(v, eps), or of the root of v;   N = g' B^-1 g
       x -= lr l B^-1 g,   l = 1 where 2 (f - f*) > N, else 1 - sqrt(1 - 2 (f - f*)/N)

   N is of all tensors together. Without the root the step does not change with the scale of any parameter. The method has no learning rate of
   its own: lr is 1 in the papers and there for schedules. A loss below f* makes no step. A gradient that has been shortened would make it longer:
   no clipping around it. */

#include "optim/core/moment.h"
#include "optim/core/chunks.h"
#include "optim/core/flat.h"
#include "optim/core/spans.h"
#include "pitot/hot.h"

typedef struct sania_options {
    double lr, least, beta, eps;
    int64_t average, root;
} sania_options;

enum { ADAGRAD, ADAM };

static const pitot_option table[] = {
    { "lr", PITOT_REAL, 1, offsetof(sania_options, lr), "1", 0, 1e6, NULL, "", "share of the step that is made" },
    { "least_loss", PITOT_REAL, 1, offsetof(sania_options, least), "0", 0, 0, NULL, "",
      "f*: the least loss that a batch can have" },
    { "preconditioner", PITOT_CHOICE, 1, offsetof(sania_options, average), "adagrad", 0, 0, "adagrad|adam", "",
      "v: the sum of squared gradients, or their average" },
    { "beta", PITOT_REAL, 1, offsetof(sania_options, beta), "0.999", 0, PITOT_BELOW_ONE, NULL, "", "adam: decay of the average" },
    { "eps", PITOT_REAL, 1, offsetof(sania_options, eps), "0.1", 1e-30, 1e6, NULL, "",
      "least value of B; small where scales are not to matter" },
    { "root", PITOT_BOOL, 1, offsetof(sania_options, root), "false", 0, 0, NULL, "", "B is the root of v, as in AdaGrad" },
    { 0 },
};

static int32_t layout(pitot_layout *l, pitot_error *error) {
    (void)error;
    if (l->i < 0)
        l->scratch = chunks_room(l->parameters) * (int64_t)sizeof(double) + 2 * l->parameters * (int64_t)sizeof(pitot_real);
    else pitot_slot_like(l, "sum", l->i, 1);
    return PITOT_OK;
}

typedef struct numbers { /* of one tensor in one step */
    pitot_real *v, *d;   /* (size): the new v, which is kept if there is a step; B^-1 g */
    double *sums;        /* of g d, of v */
    double rate;
} numbers;

/* Gradients that are not good are counted. */
PITOT_HOT static void direct(const pitot_update *u) {
    const sania_options *o = u->options;
    const numbers *n = u->step;
    int adam = o->average == ADAM;
    pitot_real keep = (pitot_real)(adam ? o->beta : 1), add = (pitot_real)(adam ? 1 - o->beta : 1), eps = (pitot_real)o->eps,
               correct = (pitot_real)(adam ? 1 / (1 - pow(o->beta, (double)u->t)) : 1);
    const pitot_real *restrict old = u->state[0], *restrict g = u->g;
    pitot_real *restrict v = n->v, *restrict d = n->d;
    double *out = chunks_at(n->sums, u), sum = 0;
    if (!good_run(g + u->begin, u->end - u->begin)) __atomic_add_fetch(u->left, 1, __ATOMIC_RELAXED);
    for (int64_t i = u->begin; i < u->end; i++) {
        v[i] = keep * old[i] + add * g[i] * g[i];
        pitot_real b = o->root ? (pitot_real)sqrt((double)(correct * v[i])) : correct * v[i];
        d[i] = g[i] / (b > eps ? b : eps);
    }
    for (int64_t i = u->begin; i < u->end; i++) sum += (double)g[i] * (double)d[i];
    out[0] = sum;
    out[1] = chunks_total(v + u->begin, u->end - u->begin);
}

PITOT_HOT static void move(const pitot_update *u) {
    const numbers *n = u->step;
    pitot_real *restrict x = u->x, *restrict v = u->state[0], rate = (pitot_real)n->rate;
    const pitot_real *restrict d = n->d, *restrict new = n->v;
    for (int64_t i = u->begin; i < u->end; i++) {
        x[i] -= rate * d[i];
        v[i] = new[i];
    }
}

static numbers numbers_of(const pitot_stepping *s, int64_t i) {
    pitot_real *v = (pitot_real *)((double *)s->scratch + chunks_room(s->parameters));
    return (numbers){ v + s->tensor[i].at, v + s->parameters + s->tensor[i].at, s->scratch, 0 };
}

static double share_of(double loss, double norm) {
    double share = 2 * loss / norm;
    if (!(share > 0)) return 0;
    return share > 1 ? 1 : 1 - sqrt(1 - share);
}

static int32_t step(pitot_stepping *s) {
    const sania_options *o = s->options;
    double loss, total[CHUNK_SUMS] = { 0 };
    int32_t status = flat_loss(s, &loss);
    if (status) return status;
    for (int64_t i = 0; i < s->n; i++) {
        numbers n = numbers_of(s, i);
        if (!s->tensor[i].g) continue;
        if (!chunks_measure(s, i, direct, &n)) return PITOT_EHOST;
        chunks_add(n.sums, s->tensor[i].size, total);
    }
    if (!isfinite(loss) || !isfinite(total[0]) || !isfinite(total[1]))
        return PITOT_EHOST; /* squares may leave pitot_real's range */
    double rate = total[0] > 0 ? o->lr * share_of(loss - o->least, total[0]) : 0;
    for (int64_t i = 0; i < s->n; i++) {
        numbers n = numbers_of(s, i);
        n.rate = rate;
        if (s->tensor[i].g) pitot_elementwise(s, i, move, &n);
    }
    return PITOT_OK;
}

/* P = max(v, eps) or max(sqrt(v), eps), shown with the sum in place of the maximum: at most twice as much. */
static int32_t view(const pitot_stepping *s, int64_t i, int32_t k, pitot_preconditioner *view) {
    const sania_options *o = s->options;
    const pitot_tensor_state *t = &s->tensor[i];
    double correct = o->average == ADAM ? 1 / (1 - pow(o->beta, (double)t->t)) : 1;
    return diagonal_view(t, k, t->state[0], o->root ? -0.5 : -1, correct, o->eps, view);
}

const pitot_optimizer pitot_optimizer_sania = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .needs = PITOT_WANTS_BATCH | PITOT_WANTS_MATCH,
    .name = "sania",
    .summary = "Polyak's step: as long as the batch's loss says, along the gradient over its squares",
    .paper = "Abdukhakimov, Xiang, Kamzolov, Gower, Takac 2023, arXiv 2312.17369, SANIA AdaGrad-SQR and Adam-SQR",
    .formula = "v += g^2, or b v + (1-b) g^2; B = max(v, eps); N = g'B^-1 g; x -= lr (1 - sqrt(1 - min(1, 2 (f - f*)/N))) B^-1 g",
    .memory = "D values; 2 D of work space",
    .cost = "two passes over D",
    .options_size = sizeof(sania_options),
    .options = table,
    .layout = layout,
    .step = step,
    .careful = 1,
    .view = view,
};
