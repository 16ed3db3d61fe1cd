/* adahesscale.c: Elsayed, Farrahi, Dangel, Mahmood 2024 (arXiv 2406.03276), AdaHesScale and AdaHesScaleGN, as the authors' code: Adam with the
   square of an approximate diagonal of the Hessian in place of the gradient's.

       m = b1 m + (1-b1) g,   v = b2 v + (1-b2) h^2,   x -= lr/(1-b1^t) m / (sqrt(v)/sqrt(1-b2^t) + eps)

   h: HesScale's recursion, without the activations' second derivatives (hesscale_gn), or in its place the exact diagonal of the Gauss-Newton
   matrix or the Hessian, of the mean loss. */

#include "net/real.h"
#include "optim/core/moment.h"
#include "optim/core/optimizer.h"
#include "optim/core/quotient.h"
#include "pitot/hot.h"
#include "pitot/net.h"

typedef struct adahesscale_options {
    double lr, betas[2], eps;
    int64_t diagonal;
} adahesscale_options;

static const pitot_option table[] = {
    { "lr", PITOT_REAL, 1, offsetof(adahesscale_options, lr), "1e-4", 0, 1e6, NULL, "",
      "learning rate; where curvature is small steps are long" },
    { "betas", PITOT_REAL, 2, offsetof(adahesscale_options, betas), "0.9,0.999", 0, PITOT_BELOW_ONE, NULL, "",
      "decay of the averages of gradient and squared diagonal" },
    { "eps", PITOT_REAL, 1, offsetof(adahesscale_options, eps), "1e-8", 0, 1e6, NULL, "", "added to the root in the denominator" },
    { "diagonal", PITOT_CHOICE, 1, offsetof(adahesscale_options, diagonal), "hesscale", 0, 0, "hesscale|hesscale_gn|ggn|hessian",
      "", "h: HesScale, HesScale without second derivatives of activations, the exact ones" },
    { 0 },
};

enum { M, V };

static int32_t kind_of(const void *options) {
    static const int32_t kind[] = { PITOT_DIAGONAL_HESSCALE, PITOT_DIAGONAL_HESSCALE_GN, PITOT_DIAGONAL_GGN,
                                    PITOT_DIAGONAL_HESSIAN };
    return kind[((const adahesscale_options *)options)->diagonal];
}

static int32_t layout(pitot_layout *l, pitot_error *error) {
    if (l->i >= 0) {
        pitot_slot_like(l, "exp_avg", l->i, 1);
        pitot_slot_like(l, "exp_avg_sq", l->i, 1);
        return PITOT_OK;
    }
    l->scratch = l->parameters * (int64_t)sizeof(pitot_real);
    int32_t status = l->source->diagonal(l->source->user, kind_of(l->options), 0, 0, NULL);
    if (!status) return PITOT_OK;
    return pitot_fail(error, status, "optimizer adahesscale: %s",
                      status == PITOT_ENOTSUP  ? "there is no such diagonal of this model; take diagonal=ggn"
                      : status == PITOT_ENOMEM ? "no memory for the diagonal"
                                               : "this loop does not know such a diagonal");
}

PITOT_HOT static void update(const pitot_update *u) {
    const adahesscale_options *o = u->options;
    double bc1 = 1 - pow(o->betas[0], (double)u->t), bc2 = 1 - pow(o->betas[1], (double)u->t);
    pitot_real b1 = (pitot_real)o->betas[0], b2 = (pitot_real)o->betas[1], c1 = (pitot_real)(1 - o->betas[0]),
               c2 = (pitot_real)(1 - o->betas[1]), step = (pitot_real)(o->lr / bc1), root = (pitot_real)(1 / sqrt(bc2)),
               eps = (pitot_real)o->eps;
    pitot_real *restrict x = u->x, *restrict m = u->state[M], *restrict v = u->state[V];
    const pitot_real *restrict g = u->g, *restrict h = u->step;
    for (int64_t i = u->begin; i < u->end; i++) {
        m[i] = b1 * m[i] + c1 * g[i];
        v[i] = b2 * v[i] + c2 * h[i] * h[i];
        x[i] -= quotient(step * m[i], REAL(sqrt)(v[i]) * root + eps);
    }
}

static int32_t step(pitot_stepping *s) {
    pitot_real *h = s->scratch;
    int32_t status = s->source->diagonal(s->source->user, kind_of(s->options), 0, 0, h);
    if (!status && !good_values(h, s->parameters)) status = PITOT_EHOST;
    for (int64_t i = 0; i < s->n && !status; i++) pitot_elementwise(s, i, update, h + s->tensor[i].at);
    return status;
}

static int32_t view(const pitot_stepping *s, int64_t i, int32_t k, pitot_preconditioner *view) {
    const adahesscale_options *o = s->options;
    return moment_view(&s->tensor[i], k, s->tensor[i].state[V], o->betas[1], o->eps, view);
}

const pitot_optimizer pitot_optimizer_adahesscale = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .needs = PITOT_WANTS_DIAGONAL,
    .name = "adahesscale",
    .summary = "Adam with an approximate diagonal of the Hessian, from a pass backwards, in place of the squared gradient",
    .paper = "Elsayed, Farrahi, Dangel, Mahmood 2024, arXiv 2406.03276, AdaHesScale and AdaHesScaleGN",
    .formula = "m = b1 m + (1-b1) g; v = b2 v + (1-b2) h^2; x -= lr/(1-b1^t) m / (sqrt(v/(1-b2^t)) + eps); h the diagonal",
    .memory = "2 D values; D of work space",
    .cost = "0.7 of a gradient for HesScale; one pass over D",
    .options_size = sizeof(adahesscale_options),
    .options = table,
    .layout = layout,
    .step = step,
    .view = view,
};
