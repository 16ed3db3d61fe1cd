/* adahessian.c: Yao, Gholami, Shen, Mustafa, Keutzer, Mahoney 2020 (arXiv 2006.00719), algorithm 1, as the authors' code: Adam with the mean
   square of |z H z| in place of the gradient's, z of signs; for kernels of convolutions (cout,cin,kh,kw) averaged over kh and kw before it
   is squared. The decay is apart from the gradient.

       m = b1 m + (1-b1) g,   v = b2 v + (1-b2) D^2,   x -= lr (m/(1-b1^t) / ((v/(1-b2^e))^(k/2) + eps) + wd x)

   e counts estimates, made every `every` steps and where a tensor has none yet. */

#include "net/real.h"
#include "optim/core/hutchinson.h"
#include "optim/core/moment.h"
#include "optim/core/spans.h"
#include "pitot/hot.h"

typedef struct adahessian_options {
    double lr, betas[2], eps, weight_decay, power;
    int64_t every;
} adahessian_options;

static const pitot_option table[] = {
    { "lr", PITOT_REAL, 1, offsetof(adahessian_options, lr), "0.15", 0, 1e6, NULL, "", "learning rate" },
    { "betas", PITOT_REAL, 2, offsetof(adahessian_options, betas), "0.9,0.999", 0, PITOT_BELOW_ONE, NULL, "",
      "decay of the averages of gradient and squared diagonal" },
    { "eps", PITOT_REAL, 1, offsetof(adahessian_options, eps), "1e-4", 1e-30, 1e6, NULL, "", "added in the denominator" },
    { "weight_decay", PITOT_REAL, 1, offsetof(adahessian_options, weight_decay), "0", 0, 1e6, NULL, "",
      "lr weight_decay x is taken from x" },
    { "hessian_power", PITOT_REAL, 1, offsetof(adahessian_options, power), "1", 0, 1, NULL, "",
      "of the diagonal in the denominator" },
    { "every", PITOT_INT, 1, offsetof(adahessian_options, every), "1", 1, 1e9, NULL, "steps",
      "between two estimates of the diagonal" },
    { 0 },
};

enum { M, V, ESTIMATES };

static int32_t layout(pitot_layout *l, pitot_error *error) {
    (void)error;
    if (l->i < 0) {
        l->scratch = 2 * l->parameters * (int64_t)sizeof(pitot_real);
        return PITOT_OK;
    }
    pitot_slot_like(l, "exp_avg", l->i, 1);
    pitot_slot_like(l, "exp_hessian_diag_sq", l->i, 1);
    pitot_slot_add(l, "estimates", PITOT_F64, 0, NULL);
    return PITOT_OK;
}

/* The same value for all of a kernel (kh,kw): the mean of its magnitudes. */
static void average_kernels(const pitot_tensor_state *t, pitot_real *hv) {
    int64_t k = t->n_dim == 4 ? t->shape[2] * t->shape[3] : 1;
    for (int64_t at = 0; k > 1 && at < t->size; at += k) {
        double sum = 0;
        for (int64_t i = 0; i < k; i++) sum += fabs((double)hv[at + i]);
        for (int64_t i = 0; i < k; i++) hv[at + i] = (pitot_real)(sum / (double)k);
    }
}

typedef struct numbers {   /* of one tensor in one step */
    const pitot_real *hv;  /* NULL: no estimate in this step */
    pitot_real rate, root; /* lr/(1-b1^t), 1/sqrt(1-b2^e) */
} numbers;

PITOT_HOT static void average_squares(pitot_real *restrict v, const pitot_real *restrict hv, pitot_real b2, pitot_real c2,
                                      int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) v[i] = b2 * v[i] + c2 * hv[i] * hv[i];
}

PITOT_HOT static void update(const pitot_update *u) {
    const adahessian_options *o = u->options;
    const numbers *k = u->step;
    pitot_real b1 = (pitot_real)o->betas[0], c1 = (pitot_real)(1 - o->betas[0]), keep = (pitot_real)(1 - o->lr * o->weight_decay),
               rate = k->rate, root = k->root, eps = (pitot_real)o->eps, power = (pitot_real)o->power;
    pitot_real *restrict x = u->x, *restrict m = u->state[M], *restrict v = u->state[V];
    const pitot_real *restrict g = u->g;
    for (span r = spans_of(u); spans_next(u, &r);) {
        if (k->hv) average_squares(v, k->hv, (pitot_real)o->betas[1], (pitot_real)(1 - o->betas[1]), r.begin, r.end);
        for (int64_t i = r.begin; power == 1 && i < r.end; i++) {
            m[i] = b1 * m[i] + c1 * g[i];
            x[i] = keep * x[i] - rate * m[i] / (REAL(sqrt)(v[i]) * root + eps);
        }
        for (int64_t i = r.begin; power != 1 && i < r.end; i++) {
            m[i] = b1 * m[i] + c1 * g[i];
            x[i] = keep * x[i] - rate * m[i] / (REAL(pow)(REAL(sqrt)(v[i]) * root, power) + eps);
        }
    }
}

static int is_due(const pitot_stepping *s) {
    const adahessian_options *o = s->options;
    int due = (s->t - 1) % o->every == 0;
    for (int64_t i = 0; i < s->n; i++) due |= s->tensor[i].g && *(const double *)s->tensor[i].state[ESTIMATES] == 0;
    return due;
}

static int32_t step(pitot_stepping *s) {
    const adahessian_options *o = s->options;
    pitot_real *v = s->scratch, *hv = v + s->parameters;
    int due = is_due(s);
    int32_t status = due ? hutchinson_signs(s, "adahessian", v, hv) : PITOT_OK;
    for (int64_t i = 0; i < s->n && !status; i++) {
        const pitot_tensor_state *t = &s->tensor[i];
        double *estimates = t->state[ESTIMATES];
        if (!t->g) continue;
        if (due) {
            average_kernels(t, hv + t->at);
            *estimates += 1;
        }
        numbers k = { due ? hv + t->at : NULL, (pitot_real)(o->lr / (1 - pow(o->betas[0], (double)t->t))),
                      (pitot_real)(1 / sqrt(1 - pow(o->betas[1], *estimates))) };
        if (!pitot_elementwise(s, i, update, &k) && due) *estimates -= 1;
    }
    return status;
}

/* P = (v/(1-beta2^e))^(k/2) + eps */
static int32_t view(const pitot_stepping *s, int64_t i, int32_t k, pitot_preconditioner *view) {
    const adahessian_options *o = s->options;
    const pitot_tensor_state *t = &s->tensor[i];
    if (k == 0) view->computed = (s->t - 1) / o->every * o->every + 1;
    return diagonal_view(t, k, t->state[V], -o->power / 2, 1 / (1 - pow(o->betas[1], *(const double *)t->state[ESTIMATES])), o->eps,
                         view);
}

const pitot_optimizer pitot_optimizer_adahessian = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .needs = PITOT_WANTS_HVP,
    .name = "adahessian",
    .summary = "Adam with the Hessian's diagonal, drawn, in place of squared gradients",
    .paper = "Yao et al. 2020, arXiv 2006.00719, algorithm 1",
    .formula = "D = |z H z|, z signs, mean over kernels; m = b1 m + (1-b1) g; v = b2 v + (1-b2) D^2; "
               "x -= lr (m/(1-b1^t) / ((v/(1-b2^t))^(hessian_power/2) + eps) + wd x)",
    .memory = "2 D values; 2 D of work space",
    .tensors = "kernels of convolutions (four axes): the diagonal is averaged over the last two",
    .cost = "a product with the Hessian every `every` steps, one pass over D",
    .options_size = sizeof(adahessian_options),
    .options = table,
    .layout = layout,
    .step = step,
    .careful = 1,
    .view = view,
};
