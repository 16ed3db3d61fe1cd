/* sharpness.c: how far the step is from what the curvature lets through: the largest eigenvalue of the Hessian beside the stability limit
   of the optimizer in use. On a quadratic with an eigenvalue beyond it, steps along that direction grow without end.

   With H' the Hessian of what the optimizer descends on, L2 decay included, and b the momentum:

       gradient descent    max eig H' against 2 / lr
       heavy ball          max eig H' against 2 (1+b) / ((1-d) lr), d the dampening                   Cohen et al. 2021
       Nesterov            max eig H' against 2 (1+b) / ((1+2b) lr)                                   Cohen et al. 2021
       Adam                max eig P^(-1/2) H' P^(-1/2) against 2 (1+b1) / ((1-b1) lr), 38/lr at 0.9  Cohen et al. 2022
                           P = (1 - b1^t) (sqrt(v / (1 - b2^t)) + eps), with the gradient of this step in v, as its update will have it:
                           values that were idle so far would have no v to speak of, and count for far too much

   AdamW's decay w, apart from the gradient, takes its share of the limit: times 1 - lr w / 2. Groups with learning rates lr_g of their
   own count as a preconditioner lr / lr_g.

   Full-batch training hovers at 1, and that is no error (edge of stability); of a mini-batch the largest eigenvalue is on average larger
   than of all data, and training with noise goes on above 1 for a while: there batch_sharpness says more. */

#include "pitot/probe.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct options {
    double tolerance;
    int64_t products;
} options;

static const pitot_option table[] = {
    { "tolerance", PITOT_REAL, 1, offsetof(options, tolerance), "0.01", 1e-12, 1, NULL, "",
      "residual of the eigenpair, as a share of the eigenvalue" },
    { "products", PITOT_INT, 1, offsetof(options, products), "100", 4, 100000, NULL, "", "most products with the Hessian" },
    { 0 },
};

static const pitot_band band = {
    .warn_below = -INFINITY,
    .warn_above = 1.2,
    .alarm_below = -INFINITY,
    .alarm_above = 1.5,
    .says = "the curvature is beyond what the optimizer is stable at, and the loss is about to rise: lower the learning rate below "
            "limit / lambda times what it is, or warm up",
};

static const pitot_output outputs[] = {
    { "", PITOT_SCALAR, PITOT_LOG_AXIS, "", "sharpness over the optimizer's stability limit", &band },
    { "lambda", PITOT_SCALAR, PITOT_SYMLOG_AXIS, "", "largest eigenvalue of the (preconditioned) Hessian", NULL },
    { "limit", PITOT_SCALAR, PITOT_LOG_AXIS, "", "stability limit", NULL },
    { "residual", PITOT_SCALAR, PITOT_NOT_DRAWN, "", "|H u - lambda u|", NULL },
    { "products", PITOT_SCALAR, PITOT_NOT_DRAWN, "", "products with the Hessian", NULL },
    { 0 },
};

enum { VECTOR, ROOT, DECAY, SCALED, BASIS, BASIS_ROOM = 16, VECTORS = BASIS + BASIS_ROOM }; /* of D values */

typedef struct found { /* what waits for the learning rate */
    int64_t waits;
    double lambda, residual, products;
} found;

/* ---- the optimizer ---- */

typedef struct regime {
    const char *name;
    int adaptive, decays, known; /* decays: the decay is in the gradient */
    double momentum, dampening, decay;
    int nesterov;
} regime;

static regime regime_of(const pitot_frame *f) {
    const char *o = f->optimizer;
    regime r = { .adaptive = strcmp(o, "adam") == 0 || strcmp(o, "adamw") == 0,
                 .decays = strcmp(o, "adamw") != 0,
                 .momentum = pitot_hyper_of(f, -1, "momentum", 0),
                 .dampening = pitot_hyper_of(f, -1, "dampening", 0),
                 .nesterov = pitot_hyper_of(f, -1, "nesterov", 0) != 0,
                 .decay = pitot_hyper_of(f, -1, "weight_decay", 0) };
    r.known = r.adaptive || strcmp(o, "sgd") == 0 || *o == 0;
    if (r.adaptive) {
        r.momentum = r.dampening = pitot_hyper_of(f, -1, "beta1", 0.9);
        r.nesterov = 0;
    }
    r.name = r.adaptive ? "Adam" : r.momentum == 0 ? "gradient descent" : r.nesterov ? "Nesterov's momentum" : "heavy ball";
    return r;
}

static double limit_of(const regime *r, double lr) {
    double b = r->momentum, limit = 2 * (1 + b) / lr;
    if (r->nesterov) return limit / (1 + 2 * b);
    if (b != 0) limit /= 1 - r->dampening;
    return r->decays ? limit : limit * (1 - lr * r->decay / 2);
}

/* ---- H', preconditioned ---- */

typedef struct decayed { /* H + diag(decay) */
    const pitot_linop *inner;
    const pitot_real *decay;
} decayed;

static int32_t apply_decayed(void *self, const pitot_real *x, pitot_real *y, int64_t k) {
    const decayed *d = self;
    int64_t n = d->inner->n;
    int32_t status = d->inner->apply(d->inner->self, x, y, k);
    for (int64_t j = 0; j < k && !status; j++)
        for (int64_t i = 0; i < n; i++) y[j * n + i] += d->decay[i] * x[j * n + i];
    return status;
}

/* The diagonal that the host has shown of tensor i: its first value, or NULL. */
static const pitot_real *diagonal_of(const pitot_frame *f, int64_t i, const pitot_preconditioner **of) {
    for (int64_t k = 0; k < f->n_preconditioners; k++) {
        const pitot_preconditioner *p = &f->preconditioner[k];
        *of = p;
        if (p->axis != -1 || p->power != -0.5) continue;
        if (p->param == i + 1) return p->factor;
        if (p->param == 0 && p->n == f->size) return p->factor + pitot_offset(f, i);
    }
    return NULL;
}

/* root = P^(-1/2) of one tensor, P that of the update which this gradient leads to. A value whose P is 0 has seen no gradient, and does not
   move. */
static void root_of(const pitot_frame *f, const pitot_preconditioner *p, const pitot_real *v, const pitot_tensor *t, double decay,
                    pitot_real *root) {
    double b1 = pitot_hyper_of(f, -1, "beta1", 0.9), b2 = pitot_hyper_of(f, -1, "beta2", 0.999),
           b2_t = p->bias_correction > 1 ? 1 - 1 / p->bias_correction : 0; /* b2^t of the last update: says what t is */
    double b1_t = b1 > 0 && b2 > 0 && b2_t > 0 ? pow(b2_t, log(b1) / log(b2)) : 0, c = 1 / (1 - b2 * b2_t);
    int largest = pitot_hyper_of(f, -1, "amsgrad", 0) != 0;
    for (int64_t j = 0; j < t->size; j++) {
        double g = (double)t->grad[j] + decay * (double)t->data[j], old = (double)v[j],
               now = largest ? fmax(old, (1 - b2) * g * g) : b2 * old + (1 - b2) * g * g,
               d = (1 - b1 * b1_t) * (sqrt(c * now + p->damping) + p->eps);
        root[j] = (pitot_real)(d == 0 ? 0 : 1 / sqrt(d));
    }
}

/* Fills in ROOT and DECAY; *scales, *decays: whether they do anything. NULL, or what is missing. */
static const char *fill(const pitot_frame *f, const regime *r, int *scales, int *decays) {
    pitot_real *root = f->work + ROOT * f->size, *decay = f->work + DECAY * f->size;
    *scales = r->adaptive;
    *decays = 0;
    for (int64_t i = 0; i < f->n_tensors; i++) {
        const pitot_tensor *t = &f->tensor[i];
        const pitot_preconditioner *p = NULL;
        if (!t->grad) continue;
        const pitot_real *v = r->adaptive ? diagonal_of(f, i, &p) : NULL;
        if (r->adaptive && !v)
            return "the preconditioner is not there: before the first update, or pitot_add_preconditioner is missing";
        double lr = pitot_hyper_of(f, t->group, "lr", f->lr), own = isnan(lr) ? 1 : lr / f->lr,
               d = r->decays ? pitot_hyper_of(f, t->group, "weight_decay", 0) : 0;
        if (!isfinite(own)) return "groups have learning rates, and the whole has none: pitot_hyper \"lr\" of group -1";
        if (v) root_of(f, p, v, t, d, root);
        for (int64_t j = 0; j < t->size; j++) {
            root[j] = (pitot_real)(sqrt(own) * (v ? (double)root[j] : 1));
            decay[j] = (pitot_real)d;
        }
        if (own != 1) *scales = 1;
        if (d != 0) *decays = 1;
        root += t->size;
        decay += t->size;
    }
    return NULL;
}

/* ---- the probe ---- */

static void emit(const pitot_frame *f, const found *s) {
    char text[100];
    regime r = regime_of(f);
    double limit = limit_of(&r, f->lr);
    pitot_emit(f, "", s->lambda / limit);
    pitot_emit(f, "lambda", s->lambda);
    pitot_emit(f, "limit", limit);
    pitot_emit(f, "residual", s->residual);
    pitot_emit(f, "products", s->products);
    snprintf(text, sizeof text, "against the limit of %s%s", r.name,
             *f->optimizer ? "" : ", as the host does not name its optimizer");
    pitot_remark(f, text);
}

static int32_t find(const pitot_frame *f, const pitot_linop *op, found *s) {
    const options *o = f->options;
    pitot_real *vector = f->work + VECTOR * f->size;
    pitot_lanczos how = { .struct_size = sizeof how,
                          .tolerance = o->tolerance,
                          .products = o->products,
                          .vectors = BASIS_ROOM,
                          .work = f->work + BASIS * f->size,
                          .seed = (uint64_t)(pitot_random(f, 0) * 0x1p53),
                          .step = (uint64_t)f->step };
    pitot_eigenpair pair;
    int64_t products = 0;
    pitot_gather_state(f, 0, 1, vector);
    int32_t status = pitot_lanczos_top(op, &how, 1, vector, &pair, &products);
    if (status) return status;
    pitot_scatter_state(f, 0, 1, vector);
    *s = (found){ 1, pair.value, pair.residual, (double)products };
    return PITOT_OK;
}

static int32_t backward(const pitot_frame *f) {
    found *s = f->state;
    regime r = regime_of(f);
    int scales, decays;
    s->waits = 0;
    if (!r.known) return pitot_undefined(f, "no stability limit of this optimizer is known here"), PITOT_OK;
    const char *missing = fill(f, &r, &scales, &decays);
    if (missing) return pitot_undefined(f, missing), PITOT_OK;
    decayed with_decay = { f->hessian, f->work + DECAY * f->size };
    pitot_linop h = *f->hessian;
    pitot_scaled scaled;
    if (decays) h.apply = apply_decayed, h.self = &with_decay;
    pitot_scaled_init(&scaled, &h, f->work + ROOT * f->size, f->work + SCALED * f->size);
    int32_t status = find(f, scales ? &scaled.op : &h, s);
    if (status == PITOT_EHOST) return pitot_undefined(f, "a product with the Hessian failed or is not finite"), PITOT_OK;
    if (status) return status;
    if (f->lr > 0) emit(f, s);
    else pitot_undefined(f, "the learning rate is not known (pitot_hyper \"lr\", pitot_after_update), or 0");
    s->waits = !(f->lr > 0);
    return PITOT_OK;
}

/* The learning rate came with the update. */
static int32_t update(const pitot_frame *f) {
    found *s = f->state;
    if (s->waits && f->lr > 0) emit(f, s);
    s->waits = 0;
    return PITOT_OK;
}

const pitot_probe pitot_probe_sharpness = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_GRADS | PITOT_NEED_HESSIAN | PITOT_NEED_LR,
    .wants = PITOT_NEED_PRECONDITIONER,
    .presets = 0,
    .spans = 1,
    .name = "sharpness",
    .summary = "largest eigenvalue of the Hessian over the stability limit of the optimizer in use",
    .paper = "Cohen, Kaur, Li, Kolter, Talwalkar 2021, arXiv 2103.00065; Cohen et al. 2022, arXiv 2207.14484",
    .formula = "max eig H over 2/lr, 2(1+b)/lr (heavy ball), 2(1+b)/((1+2b) lr) (Nesterov); max eig P^(-1/2) H P^(-1/2) over "
               "2(1+b1)/((1-b1) lr) (Adam)",
    .options_size = sizeof(options),
    .options = table,
    .state_size = sizeof(found),
    .tensor_state = 1,
    .work_vectors = VECTORS,
    .outputs = outputs,
    .backward = backward,
    .update = update,
};
