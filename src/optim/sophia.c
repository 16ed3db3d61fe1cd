/* sophia.c: Liu, Li, Hall, Liang, Ma 2023 (arXiv 2305.14342), algorithm 3: the averaged gradient over an average of the Hessian's diagonal,
   value by value, no step longer than lr.

       m = b1 m + (1-b1) g,   h = b2 h + (1-b2) ^h every `every` steps,   x = (1 - lr wd) x - lr clip(m / max(gamma h, eps), 1)

   ^h: algorithm 1, u H u with u normal (Sophia-H), or algorithm 2, Gauss-Newton-Bartlett: B times the square of the gradient of the batch's mean
   loss with labels drawn from the model, B samples (Sophia-G). Where h is not positive the step is lr long. The paper estimates before steps
   1, 1 + k, ...; the authors' code first before step 1 + k. */

#include "base/random.h"
#include "net/real.h"
#include "optim/core/hutchinson.h"
#include "optim/core/optimizer.h"
#include "optim/core/spans.h"
#include "pitot/hot.h"

typedef struct sophia_options {
    double lr, betas[2], gamma, eps, weight_decay;
    int64_t estimator, every, first;
} sophia_options;

enum { HUTCHINSON, GNB };

static const pitot_option table[] = {
    { "lr", PITOT_REAL, 1, offsetof(sophia_options, lr), "1e-4", 0, 1e6, NULL, "", "learning rate: the longest step of a value" },
    { "betas", PITOT_REAL, 2, offsetof(sophia_options, betas), "0.96,0.99", 0, PITOT_BELOW_ONE, NULL, "",
      "decay of the averages of gradient and diagonal" },
    { "gamma", PITOT_REAL, 1, offsetof(sophia_options, gamma), "0", 0, 1e12, NULL, "",
      "times the diagonal; less clips more. 0: 0.01 with hutchinson, 0.05 with gnb" },
    { "eps", PITOT_REAL, 1, offsetof(sophia_options, eps), "1e-12", 1e-30, 1e6, NULL, "", "least denominator" },
    { "weight_decay", PITOT_REAL, 1, offsetof(sophia_options, weight_decay), "0.1", 0, 1e6, NULL, "",
      "x is multiplied by 1 - lr weight_decay before the step" },
    { "estimator", PITOT_CHOICE, 1, offsetof(sophia_options, estimator), "gnb", 0, 0, "hutchinson|gnb", "",
      "products with the Hessian, or gradients of drawn labels" },
    { "every", PITOT_INT, 1, offsetof(sophia_options, every), "10", 1, 1e9, NULL, "steps",
      "between two estimates of the diagonal" },
    { "first", PITOT_BOOL, 1, offsetof(sophia_options, first), "true", 0, 0, NULL, "", "estimate before the first step, too" },
    { 0 },
};

enum { M, H };

static double gamma_of(const sophia_options *o) {
    return o->gamma > 0 ? o->gamma : o->estimator == GNB ? 0.05 : 0.01;
}

static uint32_t wants(const void *options) {
    return ((const sophia_options *)options)->estimator == GNB ? PITOT_WANTS_DRAWN | PITOT_WANTS_BATCH : PITOT_WANTS_HVP;
}

static int32_t layout(pitot_layout *l, pitot_error *error) {
    (void)error;
    if (l->i < 0) {
        l->scratch = 2 * l->parameters * (int64_t)sizeof(pitot_real);
        return PITOT_OK;
    }
    pitot_slot_like(l, "exp_avg", l->i, 1);
    pitot_slot_like(l, "hessian", l->i, 1);
    return PITOT_OK;
}

/* ---- the diagonal ---- */

typedef struct estimate { /* ^h = by u w; u NULL: none in this step */
    const pitot_real *u, *w;
    pitot_real by;
} estimate;

static int32_t draw_labels(const pitot_stepping *s, pitot_real *g, estimate *e) {
    const pitot_optim_source *from = s->source;
    int64_t samples = 0, columns;
    double loss;
    int32_t status = from->batch(from->user, &samples, &columns, &loss);
    if (!status) status = from->drawn(from->user, random_bits(s->seed, random_purpose("sophia"), (uint64_t)s->t, 0), g);
    if (!status && !good_values(g, s->parameters)) status = PITOT_EHOST;
    *e = (estimate){ g, g, (pitot_real)samples };
    return status;
}

static int32_t make_estimate(const pitot_stepping *s, estimate *e) {
    const sophia_options *o = s->options;
    pitot_real *u = s->scratch, *w = u + s->parameters;
    *e = (estimate){ 0 };
    if ((s->t - 1) % o->every || (s->t == 1 && !o->first)) return PITOT_OK;
    if (o->estimator == GNB) return draw_labels(s, u, e);
    *e = (estimate){ u, w, 1 };
    return hutchinson_normal(s, "sophia", u, w);
}

/* ---- the step ---- */

PITOT_HOT static void average_diagonal(pitot_real *restrict h, const estimate *e, pitot_real b2, pitot_real c2, int64_t begin,
                                       int64_t end) {
    const pitot_real *u = e->u, *w = e->w;
    c2 *= e->by;
    for (int64_t i = begin; i < end; i++) h[i] = b2 * h[i] + c2 * (u[i] * w[i]);
}

PITOT_HOT static void update(const pitot_update *u) {
    const sophia_options *o = u->options;
    const estimate *e = u->step;
    pitot_real b1 = (pitot_real)o->betas[0], c1 = (pitot_real)(1 - o->betas[0]), keep = (pitot_real)(1 - o->lr * o->weight_decay),
               lr = (pitot_real)o->lr, gamma = (pitot_real)gamma_of(o), eps = (pitot_real)o->eps;
    pitot_real *restrict x = u->x, *restrict m = u->state[M], *restrict h = u->state[H];
    const pitot_real *restrict g = u->g;
    for (span r = spans_of(u); spans_next(u, &r);) {
        if (e->u) average_diagonal(h, e, (pitot_real)o->betas[1], (pitot_real)(1 - o->betas[1]), r.begin, r.end);
        for (int64_t i = r.begin; i < r.end; i++) {
            m[i] = b1 * m[i] + c1 * g[i];
            pitot_real below = gamma * h[i], ratio = m[i] / (below > eps ? below : eps);
            ratio = ratio > 1 ? 1 : ratio;
            ratio = ratio < -1 ? -1 : ratio;
            x[i] = keep * x[i] - lr * ratio;
        }
    }
}

static int32_t step(pitot_stepping *s) {
    estimate all;
    int32_t status = make_estimate(s, &all);
    for (int64_t i = 0; i < s->n && !status; i++) {
        int64_t at = s->tensor[i].at;
        pitot_elementwise(s, i, update, &(estimate){ all.u ? all.u + at : NULL, all.u ? all.w + at : NULL, all.by });
    }
    return status;
}

/* P = max(h, eps/gamma), but for the clipping */
static int32_t view(const pitot_stepping *s, int64_t i, int32_t k, pitot_preconditioner *view) {
    const sophia_options *o = s->options;
    const pitot_tensor_state *t = &s->tensor[i];
    if (k > 0) return PITOT_EINVAL;
    view->axis = -1;
    view->n = t->size;
    view->factor = t->state[H];
    view->power = -1;
    view->eps = o->eps / gamma_of(o);
    view->computed = (s->t - 1) / o->every * o->every + 1;
    if (view->computed == 1 && !o->first) view->computed = 0;
    return PITOT_OK;
}

const pitot_optimizer pitot_optimizer_sophia = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .name = "sophia",
    .summary = "averaged gradient over the averaged diagonal of the Hessian, clipped: Sophia-G, Sophia-H",
    .paper = "Liu, Li, Hall, Liang, Ma 2023, arXiv 2305.14342, algorithm 3",
    .formula = "m = b1 m + (1-b1) g; h = b2 h + (1-b2) ^h every k steps; x = (1 - lr wd) x - lr clip(m / max(gamma h, eps), 1); "
               "^h = B g^2 of drawn labels (gnb), u H u (hutchinson)",
    .memory = "2 D values; 2 D of work space",
    .cost = "a backward pass or a product with the Hessian every `every` steps, one pass over D",
    .options_size = sizeof(sophia_options),
    .options = table,
    .wants = wants,
    .layout = layout,
    .step = step,
    .careful = 1,
    .view = view,
};
