/* prodigy.c: Adam that estimates its own learning rate (Mishchenko, Defazio 2023, arXiv 2306.06101, algorithm 4 and its authors' code). One
   number d, a lower bound of the distance to a solution, for all tensors:

       L = d lr (sqrt(1-beta2^t)/(1-beta1^t) with use_bias_correction)
       n = beta3 n + d/d0 L <g, x0 - x>,   s = beta3 s + d/d0 L g,   d' = d_coef n/|s|_1
       d_max = max(d_max, d'),   d_new = min(d_max, d growth_rate), where d is still d0 of max(d, d')
       m = beta1 m + d (1-beta1) g,   v = beta2 v + d^2 (1-beta2) g^2,   x -= L m / (sqrt(v) + d_new eps)

   The sums come first, of s as it will be; nothing has changed until they are good. Gradients of zero alone (|s|_1 = 0): no step. */

#include "net/real.h"
#include "optim/core/moment.h"
#include "optim/core/chunks.h"
#include "optim/core/spans.h"
#include "pitot/hot.h"

#include <string.h>

typedef struct prodigy_options {
    double lr, betas[2], beta3, eps, weight_decay, d0, d_coef, growth_rate;
    int64_t decouple, bias_correction, safeguard;
} prodigy_options;

static const pitot_option table[] = {
    { "lr", PITOT_REAL, 1, offsetof(prodigy_options, lr), "1", 0, 1e6, NULL, "", "multiplies the estimate; schedules go here" },
    { "betas", PITOT_REAL, 2, offsetof(prodigy_options, betas), "0.9,0.999", 0, PITOT_BELOW_ONE, NULL, "",
      "decay of the averages of gradient and squared gradient" },
    { "beta3", PITOT_REAL, 1, offsetof(prodigy_options, beta3), "0", 0, PITOT_BELOW_ONE, NULL, "",
      "decay of the sums of the estimate; 0: the root of the second beta" },
    { "eps", PITOT_REAL, 1, offsetof(prodigy_options, eps), "1e-8", 1e-20, 1e6, NULL, "",
      "times d, added to the root in the denominator" },
    { "weight_decay", PITOT_REAL, 1, offsetof(prodigy_options, weight_decay), "0", 0, 1e6, NULL, "",
      "as AdamW's; without decouple L2, added to the gradient" },
    { "d0", PITOT_REAL, 1, offsetof(prodigy_options, d0), "1e-6", 1e-12, 1e6, NULL, "",
      "where the estimate begins; from 1e-6 it is some 30 steps before the loss comes down" },
    { "d_coef", PITOT_REAL, 1, offsetof(prodigy_options, d_coef), "1", PITOT_ABOVE_ZERO, 1e6, NULL, "",
      "multiplies new estimates" },
    { "growth_rate", PITOT_REAL, 1, offsetof(prodigy_options, growth_rate), "1e300", 1, 1e300, NULL, "",
      "most that the estimate is multiplied by in a step" },
    { "decouple", PITOT_BOOL, 1, offsetof(prodigy_options, decouple), "true", 0, 0, NULL, "",
      "weight decay apart from the gradient" },
    { "use_bias_correction", PITOT_BOOL, 1, offsetof(prodigy_options, bias_correction), "false", 0, 0, NULL, "",
      "Adam's, as a factor of the learning rate" },
    { "safeguard_warmup", PITOT_BOOL, 1, offsetof(prodigy_options, safeguard), "false", 0, 0, NULL, "",
      "keep the learning rate out of s, so that a warm-up does not raise the estimate" },
    { 0 },
};

enum { BLOCK = 512 };
enum { M, V, S, X0 };   /* of a tensor */
enum { D, D_MAX, SUM }; /* of the run: d, d_max, n of the head */

static int32_t layout(pitot_layout *l, pitot_error *error) {
    (void)error;
    if (l->i < 0) {
        pitot_slot_add(l, "d", PITOT_F64, 0, NULL);
        pitot_slot_add(l, "d_max", PITOT_F64, 0, NULL);
        pitot_slot_add(l, "d_numerator", PITOT_F64, 0, NULL);
        l->scratch = chunks_room(l->parameters) * (int64_t)sizeof(double);
        return PITOT_OK;
    }
    pitot_slot_like(l, "exp_avg", l->i, 1);
    pitot_slot_like(l, "exp_avg_sq", l->i, 1);
    pitot_slot_like(l, "s", l->i, 1);
    pitot_slot_like(l, "p0", l->i, 1);
    return PITOT_OK;
}

static void begin(pitot_stepping *s) {
    double *d = s->run[D], *most = s->run[D_MAX];
    *d = *most = ((const prodigy_options *)s->options)->d0;
}

typedef struct numbers {
    double beta3, to_s; /* what of s stays; g is multiplied by */
    double d, lr, eps;  /* d of the averages; L; d_new eps */
    double l2, keep;
    double *sums;
} numbers;

/* <g, x0 - x> and |s|_1, in blocks that stay in the nearest cache. */
PITOT_HOT static void measure(const pitot_update *u) {
    const numbers *n = u->step;
    const pitot_real *restrict x = u->x, *restrict s = u->state[S], *restrict x0 = u->state[X0], *restrict g = u->g;
    pitot_real stays = (pitot_real)n->beta3, comes = (pitot_real)n->to_s, l2 = (pitot_real)n->l2;
    pitot_real along[BLOCK], length[BLOCK];
    double *out = chunks_at(n->sums, u);
    out[0] = out[1] = 0;
    for (int64_t at = u->begin; at < u->end; at += BLOCK) {
        int64_t size = at + BLOCK < u->end ? BLOCK : u->end - at;
        if (!good_run(g + at, size)) __atomic_add_fetch(u->left, size, __ATOMIC_RELAXED);
        for (int64_t i = 0; i < size; i++) {
            pitot_real gi = g[at + i] + l2 * x[at + i];
            along[i] = gi * (x0[at + i] - x[at + i]);
            length[i] = REAL(fabs)(stays * s[at + i] + comes * gi);
        }
        out[0] += chunks_total(along, size);
        out[1] += chunks_total(length, size);
    }
}

PITOT_HOT static void update(const pitot_update *u) {
    const prodigy_options *o = u->options;
    const numbers *n = u->step;
    pitot_real b1 = (pitot_real)o->betas[0], b2 = (pitot_real)o->betas[1], c1 = (pitot_real)(n->d * (1 - o->betas[0])),
               c2 = (pitot_real)(n->d * n->d * (1 - o->betas[1])), stays = (pitot_real)n->beta3, comes = (pitot_real)n->to_s,
               lr = (pitot_real)n->lr, eps = (pitot_real)n->eps, l2 = (pitot_real)n->l2, keep = (pitot_real)n->keep;
    pitot_real *restrict x = u->x, *restrict m = u->state[M], *restrict v = u->state[V], *restrict s = u->state[S];
    const pitot_real *restrict g = u->g;
    for (int64_t i = u->begin; i < u->end; i++) {
        pitot_real gi = g[i] + l2 * x[i];
        m[i] = b1 * m[i] + c1 * gi;
        v[i] = b2 * v[i] + c2 * gi * gi;
        s[i] = stays * s[i] + comes * gi;
        x[i] = keep * x[i] - lr * m[i] / (REAL(sqrt)(v[i]) + eps);
    }
}

static numbers numbers_of(const pitot_stepping *s) {
    const prodigy_options *o = s->options;
    double t = (double)s->t, d = *(const double *)s->run[D];
    double lr = d * o->lr * (o->bias_correction ? sqrt(1 - pow(o->betas[1], t)) / (1 - pow(o->betas[0], t)) : 1);
    return (numbers){ .beta3 = o->beta3 > 0 ? o->beta3 : sqrt(o->betas[1]),
                      .to_s = d / o->d0 * (o->safeguard ? d : lr),
                      .d = d,
                      .lr = lr,
                      .l2 = o->decouple ? 0 : o->weight_decay,
                      .keep = o->decouple ? 1 - o->weight_decay * lr : 1,
                      .sums = s->scratch };
}

/* 0: some gradients are not finite. */
static int all_sums(const pitot_stepping *s, const numbers *n, double *total) {
    int good = 1;
    for (int64_t i = 0; i < s->n && good; i++) {
        if (!s->tensor[i].g) continue;
        good = chunks_measure(s, i, measure, n);
        chunks_add(n->sums, s->tensor[i].size, total);
    }
    return good;
}

static int32_t step(pitot_stepping *s) {
    const prodigy_options *o = s->options;
    numbers n = numbers_of(s);
    double *d = s->run[D], *most = s->run[D_MAX], *sum = s->run[SUM], total[CHUNK_SUMS] = { 0 }, new = n.d;
    for (int64_t i = 0; i < s->n; i++)
        if (s->tensor[i].g && s->tensor[i].t == 1)
            memcpy(s->tensor[i].state[X0], s->tensor[i].x, (size_t)s->tensor[i].size * sizeof(pitot_real));
    if (!(n.lr > 0)) return PITOT_OK;
    if (!all_sums(s, &n, total)) return PITOT_EHOST;
    double next = n.beta3 * *sum + n.d / o->d0 * n.lr * total[0], estimate = o->d_coef * next / total[1];
    if (!(total[1] > 0) || !isfinite(estimate)) return PITOT_OK;
    if (n.d == o->d0 && estimate > new) new = estimate;
    if (estimate > *most) *most = estimate;
    if (new * o->growth_rate < *most) new *= o->growth_rate;
    else new = *most;
    n.eps = new * o->eps;
    for (int64_t i = 0; i < s->n; i++)
        if (s->tensor[i].g) pitot_elementwise(s, i, update, &n);
    *sum = next;
    *d = new;
    return PITOT_OK;
}

/* P = sqrt(v) + d eps; v is of d g. */
static int32_t view(const pitot_stepping *s, int64_t i, int32_t k, pitot_preconditioner *view) {
    const prodigy_options *o = s->options;
    return diagonal_view(&s->tensor[i], k, s->tensor[i].state[V], -0.5, 1, *(const double *)s->run[D] * o->eps, view);
}

const pitot_optimizer pitot_optimizer_prodigy = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .name = "prodigy",
    .summary = "Adam that estimates its learning rate from the distance travelled",
    .paper = "Mishchenko, Defazio 2023, arXiv 2306.06101, algorithm 4",
    .formula = "n = b3 n + d/d0 (d lr) <g, x0-x>; s = b3 s + d/d0 (d lr) g; d = max(d, d_coef n/|s|_1); m = b1 m + (1-b1) d g; "
               "v = b2 v + (1-b2) d^2 g^2; x -= d lr m / (sqrt(v) + d eps)",
    .memory = "4 D values",
    .cost = "two passes over D",
    .options_size = sizeof(prodigy_options),
    .options = table,
    .layout = layout,
    .begin = begin,
    .step = step,
    .careful = 1,
    .view = view,
};
