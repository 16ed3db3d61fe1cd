/* tiny_subspace.c: how much of the gradient lies in the span of the Hessian's k largest eigenvectors (Gur-Ari, Roberts, Dyer 2018,
   "Gradient descent happens in a tiny subspace"), k the number of classes, and how much of that span is still the one of the step tracked
   before. Both are k/D for directions that have nothing to do with each other, and at most 1.

   A large share is no progress: what lies there is the oscillation that noise and the edge of stability make, and training goes on
   without it, while steps inside the span alone lead nowhere (Song, Ahn, Yun 2024, "Does SGD really happen in tiny subspaces?"). Read it
   as noise, or a learning rate too large for the sharpness. */

#include "pitot/probe.h"

#include <math.h>

typedef struct options {
    int64_t k, products;
    double tolerance;
} options;

enum { USUAL_K = 10, MOST_K = 32, MOST_BASIS = 64 };

static const pitot_option table[] = {
    { "k", PITOT_INT, 1, offsetof(options, k), "0", 0, MOST_K, NULL, "",
      "eigenvectors; 0: the number of classes, at most 10, and 10 where it is not known" },
    { "products", PITOT_INT, 1, offsetof(options, products), "100", 4, 100000, NULL, "", "most products with the Hessian" },
    { "tolerance", PITOT_REAL, 1, offsetof(options, tolerance), "0.01", 1e-12, 1, NULL, "",
      "residual of each eigenpair, as a share of the largest eigenvalue" },
    { 0 },
};

static const pitot_output outputs[] = {
    { "", PITOT_SCALAR, PITOT_LINEAR_AXIS, "", "share of the gradient in the top eigenspace of the Hessian", NULL },
    { "chance", PITOT_SCALAR, PITOT_NOT_DRAWN, "", "share of a random direction", NULL },
    { "overlap", PITOT_SCALAR, PITOT_LINEAR_AXIS, "", "overlap of the top eigenspace with the one before", NULL },
    { "eigenvalues", PITOT_LIST, PITOT_SYMLOG_AXIS, "", "largest eigenvalues of the Hessian", NULL },
    { "residual", PITOT_SCALAR, PITOT_NOT_DRAWN, "", "largest |H u - lambda u| among them", NULL },
    { "products", PITOT_SCALAR, PITOT_NOT_DRAWN, "", "products with the Hessian", NULL },
    { 0 },
};

typedef struct before { /* what tensor.state holds: k vectors of D values; k = 0: none */
    int64_t k, size;
} before;

static int most_k(const options *o) {
    return o->k ? (int)o->k : USUAL_K;
}

static int basis_of(const options *o) {
    int wanted = 2 * most_k(o) + 10;
    return wanted < MOST_BASIS ? wanted : MOST_BASIS;
}

static void room(const void *chosen, int32_t *tensor_state, int32_t *work_vectors) {
    *tensor_state = most_k(chosen);
    *work_vectors = most_k(chosen) + 1 + basis_of(chosen);
}

static int32_t k_of(const pitot_frame *f) {
    const options *o = f->options;
    const pitot_prediction *p = f->prediction;
    int64_t k = most_k(o);
    if (o->k == 0 && p && p->classes && p->c < k) k = p->c;
    return (int32_t)(k < f->size ? k : f->size);
}

/* tr(P P') / k of the span of `vectors` (k,D) and of that in state */
static double overlap(const pitot_frame *f, int32_t k, const pitot_real *vectors) {
    double sum = 0;
    for (int32_t a = 0; a < k; a++)
        for (int32_t b = 0; b < k; b++) {
            double dot = 0;
            for (int64_t i = 0; i < f->n_tensors; i++) {
                const pitot_tensor *t = &f->tensor[i];
                if (t->grad) dot += pitot_dot(t->state + a * t->size, vectors + b * f->size + pitot_offset(f, i), t->size);
            }
            sum += dot * dot;
        }
    return sum / k;
}

static int32_t backward(const pitot_frame *f) {
    const options *o = f->options;
    before *last = f->state;
    int32_t k = k_of(f);
    pitot_real *top = f->work, *g = f->work + k * f->size;
    pitot_lanczos how = { .struct_size = sizeof how,
                          .tolerance = o->tolerance,
                          .products = o->products,
                          .vectors = basis_of(o),
                          .work = g + f->size,
                          .seed = (uint64_t)(pitot_random(f, 0) * 0x1p53),
                          .step = (uint64_t)f->step };
    pitot_eigenpair pair[MOST_K];
    double value[MOST_K], share = 0, residual = 0;
    int64_t products = 0;
    int known = last->k == k && last->size == f->size;
    pitot_gather_gradient(f, g);
    double square = pitot_sum_squares(g, f->size);
    if (square == 0) return pitot_undefined(f, "the gradient is zero"), PITOT_OK;
    if (!isfinite(square)) return pitot_undefined(f, "the gradient is not finite"), PITOT_OK;
    for (int64_t i = 0; i < f->n_tensors; i++) known = known && !(f->tensor[i].grad && f->tensor[i].fresh);
    pitot_gather_state(f, 0, k, top);
    int32_t status = pitot_lanczos_top(f->hessian, &how, k, top, pair, &products);
    if (status == PITOT_EHOST) return pitot_undefined(f, "a product with the Hessian failed or is not finite"), PITOT_OK;
    if (status) return status;
    for (int32_t j = 0; j < k; j++) {
        double along = pitot_dot(top + j * f->size, g, f->size);
        share += along * along / square;
        value[j] = pair[j].value;
        residual = fmax(residual, pair[j].residual);
    }
    pitot_emit(f, "", share);
    pitot_emit(f, "chance", (double)k / (double)f->size);
    if (known) pitot_emit(f, "overlap", overlap(f, k, top));
    pitot_emit_list(f, "eigenvalues", value, k);
    pitot_emit(f, "residual", residual);
    pitot_emit(f, "products", (double)products);
    pitot_scatter_state(f, 0, k, top);
    *last = (before){ k, f->size };
    return PITOT_OK;
}

const pitot_probe pitot_probe_tiny_subspace = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_GRADS | PITOT_NEED_HESSIAN,
    .wants = PITOT_NEED_OUTPUT,
    .presets = 0,
    .spans = 1,
    .name = "tiny_subspace",
    .summary = "share of the gradient in the span of the Hessian's largest eigenvectors, and how fast that span turns",
    .paper = "Gur-Ari, Roberts, Dyer 2018, arXiv 1812.04754; Song, Ahn, Yun 2024, arXiv 2405.16002",
    .formula = "|P_k g|^2 / |g|^2, P_k onto the k largest eigenvectors of H; overlap tr(P_k P_k') / k",
    .options_size = sizeof(options),
    .options = table,
    .state_size = sizeof(before),
    .room = room,
    .outputs = outputs,
    .backward = backward,
};
