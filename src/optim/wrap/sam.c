/* sam.c: the gradient at the worst parameters near by, taken for a step from where they stand: SAM (Foret, Kleiner, Mobahi, Neyshabur 2020,
   arXiv 2010.01412, algorithm 1 with p = 2) and ASAM (Kwon, Kim, Park, Choi 2021, arXiv 2102.11600, equation 6).

       e = rho T^2 g / |T g|,   T = I, or diag(|x| + eta) if adaptive;   g' = gradient at x + e

   Lengths are of all tensors together. x comes back from a copy, bit for bit. What is inside sees the loop's state at x + e. */

#include "optim/core/flat.h"
#include "pitot/hot.h"

#include <math.h>

typedef struct sam_options {
    double rho;
    int64_t adaptive;
    double eta;
} sam_options;

static const pitot_option table[] = {
    { "rho", PITOT_REAL, 1, offsetof(sam_options, rho), "0.05", 0, 1e6, NULL, "",
      "radius; papers: 0.05 for SAM, 0.5 to 2 for ASAM" },
    { "adaptive", PITOT_BOOL, 1, offsetof(sam_options, adaptive), "false", 0, 0, NULL, "",
      "ASAM: distances relative to the parameters" },
    { "eta", PITOT_REAL, 1, offsetof(sam_options, eta), "0.01", 0, 1e6, NULL, "", "adaptive: added to |x|" },
    { 0 },
};

static const double TINY = 1e-12; /* added to lengths */

static int32_t layout(pitot_layout *l, pitot_error *error) {
    (void)error;
    if (l->i < 0) l->scratch = 2 * l->parameters * (int64_t)sizeof(pitot_real);
    return PITOT_OK;
}

PITOT_HOT static void scaled(const pitot_real *restrict x, const pitot_real *restrict g, pitot_real eta, int64_t n,
                             pitot_real *restrict out) {
    for (int64_t i = 0; i < n; i++) out[i] = ((x[i] < 0 ? -x[i] : x[i]) + eta) * g[i];
}

PITOT_HOT static void ascend(pitot_real *restrict x, const pitot_real *restrict g, pitot_real by, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] += by * g[i];
}

PITOT_HOT static void ascend_scaled(pitot_real *restrict x, const pitot_real *restrict tg, pitot_real by, pitot_real eta,
                                    int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] += by * (((x[i] < 0 ? -x[i] : x[i]) + eta) * tg[i]);
}

/* |T g|; adaptive: T g into tg. */
static double length_of(const pitot_stepping *s, pitot_real *tg) {
    const sam_options *o = s->options;
    double square = 0;
    for (int64_t i = 0; i < s->n; i++) {
        const pitot_tensor_state *t = &s->tensor[i];
        if (!t->g) continue;
        if (o->adaptive) scaled(t->x, t->g, (pitot_real)o->eta, t->size, tg + t->at);
        const pitot_real *v = o->adaptive ? tg + t->at : t->g;
        square += flat_dot(v, v, t->size);
    }
    return sqrt(square);
}

static void climb(const pitot_stepping *s, const pitot_real *tg, double by) {
    const sam_options *o = s->options;
    for (int64_t i = 0; i < s->n; i++) {
        const pitot_tensor_state *t = &s->tensor[i];
        if (!t->g) continue;
        if (o->adaptive) ascend_scaled(t->x, tg + t->at, (pitot_real)by, (pitot_real)o->eta, t->size);
        else ascend(t->x, t->g, (pitot_real)by, t->size);
    }
}

static int32_t step(pitot_stepping *s) {
    const sam_options *o = s->options;
    pitot_real *kept = s->scratch, *tg = kept + s->parameters;
    double loss, by = o->rho / (length_of(s, tg) + TINY);
    flat_parameters(s, kept);
    climb(s, tg, by);
    int32_t status = pitot_gradient(s, &loss);
    flat_move(s, kept, 0, NULL);
    return status ? status : pitot_inner(s);
}

const pitot_optimizer pitot_wrapper_sam = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .needs = PITOT_WANTS_GRADIENT,
    .name = "sam",
    .summary = "the gradient at the worst parameters near by: SAM, and ASAM",
    .paper = "Foret et al. 2020, arXiv 2010.01412; adaptive: Kwon et al. 2021, arXiv 2102.11600",
    .formula = "e = rho T^2 g / |T g|, T = I or diag(|x| + eta) if adaptive; g = gradient at x + e",
    .memory = "2 D values of work space",
    .cost = "another forward and backward pass",
    .options_size = sizeof(sam_options),
    .options = table,
    .layout = layout,
    .step = step,
    .changes = 1,
};
