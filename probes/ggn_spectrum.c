/* ggn_spectrum.c: eigenvalues of the GGN of the mini-batch, and what single samples say along its leading eigenvectors: slopes gamma and
   curvatures lambda, their means and signal-to-noise ratios (Dangel, Tatzel, Hennig 2022, "ViViT"). A step along a direction whose ratios
   are far below 1 / N is made of noise. How far the leading space turns from one tracked step to the next, how much of the gradient lies
   in it, and, if asked for, how much of the Hessian's (Gur-Ari, Roberts, Dyer 2018).

   Exact from the samples' Gram matrix where the host has the callback `ggn_spectrum`; elsewhere the leading eigenvalues alone, by Lanczos
   iteration on products with the GGN. In training only the leading pairs are made. */

#include "pitot/probe.h"

#include <math.h>

typedef struct options {
    int64_t k, draws, samples, hessian, products;
    double tolerance;
} options;

enum { USUAL_K = 10, MOST_K = 32, MOST_BASIS = 64 };

static const pitot_option table[] = {
    { "k", PITOT_INT, 1, offsetof(options, k), "0", 0, MOST_K, NULL, "",
      "leading directions; 0: the number of classes, at most 10, and 10 where it is not known" },
    { "draws", PITOT_INT, 1, offsetof(options, draws), "0", 0, 1 << 20, NULL, "",
      "labels drawn a sample, for nets with many outputs; 0: exact" },
    { "samples", PITOT_INT, 1, offsetof(options, samples), "0", 0, 1 << 30, NULL, "",
      "of so many samples, the first ones; 0: all" },
    { "hessian", PITOT_BOOL, 1, offsetof(options, hessian), "false", 0, 0, NULL, "",
      "whether the Hessian's leading space is found, too, for hessian_overlap: tens of products" },
    { "products", PITOT_INT, 1, offsetof(options, products), "100", 4, 100000, NULL, "", "most products of a Lanczos iteration" },
    { "tolerance", PITOT_REAL, 1, offsetof(options, tolerance), "0.01", 1e-12, 1, NULL, "",
      "residual of its eigenpairs, as a share of the largest eigenvalue" },
    { 0 },
};

static const pitot_output outputs[] = {
    { "eigenvalues", PITOT_LIST, PITOT_SYMLOG_AXIS, "",
      "eigenvalues of the GGN above round-off, ascending; in training the leading", NULL },
    { "trace", PITOT_SCALAR, PITOT_LOG_AXIS, "", "trace of the GGN", NULL },
    { "gamma_mean", PITOT_LIST, PITOT_SYMLOG_AXIS, "", "slope along the leading eigenvectors, in the order of their eigenvalues",
      NULL },
    { "gamma_snr", PITOT_LIST, PITOT_SYMLOG_AXIS, "", "its signal-to-noise ratio over samples", NULL },
    { "lambda_mean", PITOT_LIST, PITOT_SYMLOG_AXIS, "", "curvature along them", NULL },
    { "lambda_snr", PITOT_LIST, PITOT_SYMLOG_AXIS, "", "its signal-to-noise ratio over samples", NULL },
    { "share", PITOT_SCALAR, PITOT_LINEAR_AXIS, "", "share of the gradient in the leading space", NULL },
    { "overlap", PITOT_SCALAR, PITOT_LINEAR_AXIS, "", "overlap of the leading space with the one before", NULL },
    { "hessian_overlap", PITOT_SCALAR, PITOT_LINEAR_AXIS, "", "overlap of the leading space with the Hessian's", NULL },
    { 0 },
};

typedef struct before { /* what tensor.state holds: k vectors of D values, then the Hessian's; k = 0: none */
    int64_t k, size;
} before;

static int32_t most_k(const options *o) {
    return o->k ? (int32_t)o->k : USUAL_K;
}

static int32_t basis_of(const options *o) {
    int32_t wanted = 2 * most_k(o) + 10;
    return wanted < MOST_BASIS ? wanted : MOST_BASIS;
}

static void room(const void *chosen, int32_t *tensor_state, int32_t *work_vectors) {
    const options *o = chosen;
    *tensor_state = (o->hessian ? 2 : 1) * most_k(o);
    *work_vectors = 2 * most_k(o) + 1 + basis_of(o);
}

static int32_t k_of(const pitot_frame *f) {
    const options *o = f->options;
    const pitot_prediction *p = f->prediction;
    int64_t k = most_k(o);
    if (o->k == 0 && p && p->classes && p->c < k) k = p->c;
    return (int32_t)(k < f->size ? k : f->size);
}

static double overlap(const pitot_frame *f, int32_t k, const pitot_real *a, const pitot_real *b) {
    double sum = 0;
    for (int32_t i = 0; i < k; i++)
        for (int32_t j = 0; j < k; j++) {
            double along = pitot_dot(a + i * f->size, b + j * f->size, f->size);
            sum += along * along;
        }
    return sum / k;
}

static int32_t lanczos(const pitot_frame *f, const pitot_linop *op, int32_t k, pitot_real *vectors, double *value) {
    const options *o = f->options;
    pitot_eigenpair pair[MOST_K];
    int64_t products;
    pitot_lanczos how = { .struct_size = sizeof how,
                          .tolerance = o->tolerance,
                          .products = o->products,
                          .vectors = basis_of(o),
                          .work = f->work + (2 * most_k(o) + 1) * f->size,
                          .seed = (uint64_t)(pitot_random(f, 0) * 0x1p53),
                          .step = (uint64_t)f->step };
    int32_t status = pitot_lanczos_top(op, &how, k, vectors, pair, &products);
    for (int32_t j = 0; j < k; j++) value[j] = status ? NAN : pair[j].value;
    return status;
}

/* ---- what is said ---- */

static void emit_ascending(const pitot_frame *f, const char *field, const double *descending, int64_t k) {
    double ascending[MOST_K];
    for (int64_t i = 0; i < k; i++) ascending[i] = descending[k - 1 - i];
    pitot_emit_list(f, field, ascending, k);
}

/* Without those that are round-off. */
static void emit_all(const pitot_frame *f, const pitot_spectrum *s) {
    double epsilon = sizeof(pitot_real) == 8 ? 0x1p-52 : 0x1p-23, least = (double)s->n * epsilon * s->value[s->n - 1];
    int64_t from = 0;
    while (from < s->n && !(s->value[from] > least)) from++;
    pitot_emit_list(f, "eigenvalues", s->value + from, s->n - from);
}

/* Ratios may have no value: one sample, or all the same. */
static void emit_ratios(const pitot_frame *f, const char *field, const double *descending, int64_t k) {
    for (int64_t i = 0; i < k; i++)
        if (!isfinite(descending[i])) return;
    emit_ascending(f, field, descending, k);
}

static void emit_spectrum(const pitot_frame *f, const pitot_spectrum *s, int64_t k) {
    double slope[MOST_K];
    if (s->value) emit_all(f, s);
    else emit_ascending(f, "eigenvalues", s->top, k);
    for (int64_t i = 0; i < k; i++) slope[i] = fabs(s->gamma_mean[i]); /* eigenvectors have no sign */
    pitot_emit(f, "trace", s->trace);
    emit_ascending(f, "gamma_mean", slope, k);
    emit_ratios(f, "gamma_snr", s->gamma_snr, k);
    emit_ascending(f, "lambda_mean", s->lambda_mean, k);
    emit_ratios(f, "lambda_snr", s->lambda_snr, k);
}

static void emit_share(const pitot_frame *f, int32_t k, const pitot_real *vectors, pitot_real *g) {
    double share = 0;
    pitot_gather_gradient(f, g);
    double square = pitot_sum_squares(g, f->size);
    for (int32_t j = 0; j < k; j++) {
        double along = pitot_dot(vectors + j * f->size, g, f->size);
        share += along * along;
    }
    if (square > 0) pitot_emit(f, "share", share / square);
}

static int32_t emit_hessian(const pitot_frame *f, int32_t k, const pitot_real *vectors, pitot_real *other) {
    const options *o = f->options;
    double value[MOST_K];
    pitot_gather_state(f, most_k(o), k, other);
    int32_t status = lanczos(f, f->hessian, k, other, value);
    if (status) return status == PITOT_EHOST ? PITOT_OK : status;
    pitot_emit(f, "hessian_overlap", overlap(f, k, vectors, other));
    pitot_scatter_state(f, most_k(o), k, other);
    return PITOT_OK;
}

/* ---- the step ---- */

/* vectors (k,D): in, those of the step before. */
static int32_t find(const pitot_frame *f, int32_t *k, pitot_real *vectors) {
    const options *o = f->options;
    pitot_spectrum s;
    double value[MOST_K];
    int32_t status = pitot_spectrum_of(f, *k, o->draws, o->samples, vectors, &s);
    if (status == PITOT_OK) {
        *k = 0; /* directions whose eigenvalue is more than round-off */
        while (*k < s.k && isfinite(s.gamma_mean[*k]) && isfinite(s.lambda_mean[*k])) ++*k;
        if (!isfinite(s.trace)) return pitot_undefined(f, "the GGN is not finite"), PITOT_OK;
        if (*k == 0) return pitot_undefined(f, "the GGN is zero"), PITOT_OK;
        emit_spectrum(f, &s, *k);
        return PITOT_OK;
    }
    if (status != PITOT_ENOTSUP) return status;
    status = lanczos(f, f->ggn, *k, vectors, value);
    if (status == PITOT_EHOST) return pitot_undefined(f, "a product with the GGN failed or is not finite"), *k = 0, PITOT_OK;
    if (status) return status;
    emit_ascending(f, "eigenvalues", value, *k);
    pitot_remark(f, "leading eigenvalues by products: this host has no callback `ggn_spectrum`");
    return PITOT_OK;
}

static int32_t backward(const pitot_frame *f) {
    const options *o = f->options;
    before *last = f->state;
    int32_t k = k_of(f);
    pitot_real *vectors = f->work, *other = vectors + most_k(o) * f->size, *g = other + most_k(o) * f->size;
    int known = last->size == f->size && last->k > 0;
    for (int64_t i = 0; i < f->n_tensors; i++) known = known && !(f->tensor[i].grad && f->tensor[i].fresh);
    pitot_gather_state(f, 0, k, vectors);
    pitot_gather_state(f, 0, k, other);
    int32_t status = find(f, &k, vectors);
    if (status || k < 1 || pitot_sum_squares(vectors, f->size) == 0) return status;
    emit_share(f, k, vectors, g);
    if (known && last->k == k) pitot_emit(f, "overlap", overlap(f, k, vectors, other));
    pitot_scatter_state(f, 0, k, vectors);
    *last = (before){ k, f->size };
    return o->hessian && f->hessian ? emit_hessian(f, k, vectors, other) : PITOT_OK;
}

const pitot_probe pitot_probe_ggn_spectrum = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_GRADS | PITOT_NEED_GGN,
    .wants = PITOT_NEED_OUTPUT | PITOT_NEED_HESSIAN,
    .presets = 0,
    .spans = 1,
    .name = "ggn_spectrum",
    .summary =
        "eigenvalues of the generalised Gauss-Newton matrix, and what samples' slopes and curvatures are along the leading ones",
    .paper = "Dangel, Tatzel, Hennig 2022, TMLR, arXiv 2106.02624",
    .formula = "eig(V'V), G = V V'; gamma_kn = e_k'g_n, lambda_kn = e_k'G_n e_k, SNR mean^2 / variance; overlap tr(P_k P_k') / k",
    .options_size = sizeof(options),
    .options = table,
    .state_size = sizeof(before),
    .room = room,
    .outputs = outputs,
    .backward = backward,
};
