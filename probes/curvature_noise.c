/* curvature_noise.c: the gradient noise scale weighed with curvature (McCandlish et al. 2018, "An empirical model of large-batch
   training", equation 2.8): the batch size at which noise costs as much of a step's progress as it makes.

       B_noise = tr(H S) / (G'HG)

   S is the samples' covariance, G the true gradient. Both sides without bias, from the batch's own N samples:

       numerator    mean over draws of u'Hu,   u = sum eps_n (g_n - g) / sqrt(N-1), eps_n = +-1 at random: E uu' = S
       denominator  g'Hg - tr(H S) / N

   `stderr` is what the draws alone leave open. Over the tensors that have captures. Where H is indefinite along these gradients the
   ratio has no meaning; operator=auto then takes the GGN in its place, and `ggn` is 1. */

#include "pitot/probe.h"

#include <math.h>

enum { AUTO, HESSIAN, GGN };

typedef struct options {
    int64_t operator, draws;
} options;

static const pitot_option table[] = {
    { "operator", PITOT_CHOICE, 1, offsetof(options, operator), "auto", 0, 0, "auto|hessian|ggn", "",
      "curvature; auto: the Hessian, and the GGN where that is indefinite along the gradients" },
    { "draws", PITOT_INT, 1, offsetof(options, draws), "4", 2, 65536, NULL, "", "random combinations of the samples' gradients" },
    { 0 },
};

static const pitot_output outputs[] = {
    { "", PITOT_SCALAR, PITOT_LOG_AXIS, "samples", "gradient noise scale, weighed with curvature", NULL },
    { "stderr", PITOT_SCALAR, PITOT_NOT_DRAWN, "samples", "its standard error from the draws", NULL },
    { "numerator", PITOT_SCALAR, PITOT_SYMLOG_AXIS, "", "tr(H S): curvature along the noise", NULL },
    { "numerator_stderr", PITOT_SCALAR, PITOT_NOT_DRAWN, "", "its standard error from the draws", NULL },
    { "denominator", PITOT_SCALAR, PITOT_SYMLOG_AXIS, "", "G'HG: curvature along the true gradient", NULL },
    { "ggn", PITOT_SCALAR, PITOT_NOT_DRAWN, "", "1: with the GGN, 0: with the Hessian", NULL },
    { 0 },
};

enum { VECTOR, PRODUCT, VECTORS }; /* of D values each */

typedef struct sides { /* of the fraction */
    double numerator, error, denominator;
} sides;

/* x'(Op x) of the mean loss, x the sum over samples of weight[n] g_n. */
static int32_t curvature_along(const pitot_frame *f, const pitot_linop *op, const double *weight, double *out) {
    pitot_real *x = f->work + VECTOR * f->size, *y = f->work + PRODUCT * f->size;
    int32_t status = pitot_weighted_gradient(f, weight, x);
    if (!status) status = op->apply(op->self, x, y, 1);
    if (!status) *out = f->to_mean * pitot_dot(x, y, f->size);
    return status;
}

/* weight[n] of the sum eps_n (g_n - g) / sqrt(N-1): eps_n less their mean, which is over the samples that count. */
static void draw_weights(const pitot_frame *f, int64_t draw, double *weight) {
    const pitot_samples *m = f->samples;
    double n = (double)m->n, mean = 0;
    for (int64_t i = 0; i < m->listed; i++) {
        weight[i] = !m->counts[i] ? 0 : pitot_random(f, (uint64_t)(draw * m->listed + i)) < 0.5 ? -1 : 1;
        mean += weight[i] / n;
    }
    for (int64_t i = 0; i < m->listed; i++) weight[i] = m->counts[i] ? (weight[i] - mean) / sqrt(n - 1) : 0;
}

/* 1: the gradient buffers hold the mean of the samples' gradients, and nothing else. */
static int is_mean_of_samples(const pitot_frame *f) {
    double square = 0;
    for (int64_t i = 0; i < f->n_tensors; i++)
        if (f->tensor[i].grad) square += pitot_sum_squares(f->tensor[i].grad, f->tensor[i].size);
    square *= f->to_mean * f->to_mean;
    return f->samples->covered == 1 && fabs(square - f->samples->mean_square) <= 1e-4 * f->samples->mean_square;
}

/* g'(Op g): with the product that all probes share, if it is that of this g. */
static int32_t along_gradient(const pitot_frame *f, const pitot_linop *op, double *weight, double *out) {
    const pitot_samples *m = f->samples;
    const pitot_real *product;
    if (op == f->hessian && is_mean_of_samples(f)) {
        int32_t status = pitot_gradient_product(f, &product);
        *out = 0;
        for (int64_t i = 0; !status && i < f->n_tensors; i++)
            if (f->tensor[i].grad) *out += pitot_dot(f->tensor[i].grad, product + pitot_offset(f, i), f->tensor[i].size);
        *out *= f->to_mean * f->to_mean * f->to_mean;
        return status;
    }
    for (int64_t i = 0; i < m->listed; i++) weight[i] = m->counts[i] ? 1 / (double)m->n : 0;
    return curvature_along(f, op, weight, out);
}

static int32_t measure(const pitot_frame *f, const pitot_linop *op, double *weight, sides *out) {
    int64_t draws = ((const options *)f->options)->draws;
    double along = 0, value = 0, mean = 0, squares = 0;
    int32_t status = along_gradient(f, op, weight, &along);
    for (int64_t k = 0; k < draws && !status; k++) {
        draw_weights(f, k, weight);
        status = curvature_along(f, op, weight, &value);
        double off = value - mean;
        mean += off / (double)(k + 1);
        squares += off * (value - mean);
    }
    *out = (sides){ mean, sqrt(squares / (double)(draws - 1) / (double)draws), along - mean / (double)f->samples->n };
    return status;
}

static int is_definite(const sides *s) {
    return s->numerator >= 0 && s->denominator > 0;
}

static int is_finite(const sides *s) {
    return isfinite(s->numerator) && isfinite(s->denominator);
}

static void say(const pitot_frame *f, const sides *s, int ggn) {
    double n = (double)f->samples->n, along = s->denominator + s->numerator / n;
    pitot_emit(f, "numerator", s->numerator);
    pitot_emit(f, "numerator_stderr", s->error);
    pitot_emit(f, "denominator", s->denominator);
    pitot_emit(f, "ggn", ggn);
    if (!is_definite(s)) {
        pitot_undefined(f, s->denominator > 0 ? "tr(H S) is below zero: the Hessian is indefinite; operator=ggn"
                           : ggn              ? "g'Gg is not above what noise alone makes it: take a larger batch"
                                 : "g'Hg is not above what noise alone makes it: take a larger batch, or operator=ggn");
        return;
    }
    pitot_emit(f, "", s->numerator / s->denominator);
    pitot_emit(f, "stderr", s->error * along / (s->denominator * s->denominator));
}

static int32_t backward(const pitot_frame *f) {
    const options *o = f->options;
    const pitot_linop *op = o->operator== GGN ? f->ggn : f->hessian ? f->hessian : o->operator== AUTO ? f->ggn : NULL;
    sides s;
    if (f->samples->n < 2) return pitot_undefined(f, "one sample has no spread"), PITOT_OK;
    if (f->samples->mean_square == 0) return pitot_undefined(f, "the gradient is zero"), PITOT_OK;
    if (!isfinite(f->samples->mean_square + f->samples->scatter)) return pitot_undefined(f, "a gradient is not finite"), PITOT_OK;
    if (!op) return pitot_undefined(f, "this host does not offer products with that operator"), PITOT_OK;
    double *weight = pitot_scratch(f, f->samples->listed);
    if (!weight) return PITOT_EBUDGET;
    int32_t status = measure(f, op, weight, &s);
    if (!status && op == f->hessian && o->operator== AUTO && f->ggn && is_finite(&s) && !is_definite(&s)) {
        op = f->ggn;
        status = measure(f, op, weight, &s);
        pitot_remark(f, "with the GGN: the Hessian is indefinite along these gradients");
    }
    if (status == PITOT_EHOST) return pitot_undefined(f, "a product failed or is not finite"), PITOT_OK;
    if (status) return status;
    if (!is_finite(&s)) return pitot_undefined(f, "a product is not finite"), PITOT_OK;
    say(f, &s, op == f->ggn);
    return PITOT_OK;
}

const pitot_probe pitot_probe_curvature_noise = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_SAMPLES | PITOT_NEED_LAYERS | PITOT_NEED_GRADS,
    .needs_one = PITOT_NEED_HESSIAN | PITOT_NEED_GGN,
    .presets = 0,
    .spans = 1,
    .name = "curvature_noise",
    .summary = "gradient noise scale weighed with curvature: a truer critical batch size than noise_scale's",
    .paper = "McCandlish, Kaplan, Amodei 2018, arXiv 1812.06162",
    .formula = "tr(H S) / (g'Hg - tr(H S) / N)",
    .options_size = sizeof(options),
    .options = table,
    .work_vectors = VECTORS,
    .outputs = outputs,
    .backward = backward,
};
