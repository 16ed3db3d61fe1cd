/* batch_sharpness.c: curvature of the mini-batch's own loss along its own gradient, g'Hg / |g|^2, averaged over tracked steps (Andreyev,
   Beneventano 2024, "Edge of stochastic stability"). Training with SGD settles where this, and not the Hessian's largest eigenvalue,
   reaches 2/lr; momentum b moves that to 2 (1-b)/lr in small batches and 2 (1+b)/lr in large ones. Beyond, steps overshoot on the
   very samples that they are made from. */

#include "pitot/probe.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct options {
    double memory;
} options;

static const pitot_option table[] = {
    { "memory", PITOT_REAL, 1, offsetof(options, memory), "0.9", 0, PITOT_BELOW_ONE, NULL, "",
      "what the average keeps of its past at each tracked step" },
    { 0 },
};

static const pitot_band band = {
    .warn_below = -INFINITY,
    .warn_above = 1.2,
    .alarm_below = -INFINITY,
    .alarm_above = 1.5,
    .says = "steps overshoot on the samples that they are made from: lower the learning rate, warm it up, or take larger batches",
};

static const pitot_output outputs[] = {
    { "", PITOT_SCALAR, PITOT_SYMLOG_AXIS, "", "curvature along the mini-batch's gradient", NULL },
    { "mean", PITOT_SCALAR, PITOT_SYMLOG_AXIS, "", "curvature along the gradient, average over steps", NULL },
    { "ratio", PITOT_SCALAR, PITOT_LOG_AXIS, "", "average curvature along the gradient over 2 / learning rate", &band },
    { 0 },
};

typedef struct average { /* sum over tracked steps of memory^age times the value; of 1: weight */
    double sum, weight;
    int64_t waits; /* 1: for the learning rate */
} average;

static int is_descent(const pitot_frame *f) {
    return *f->optimizer == 0 || strcmp(f->optimizer, "sgd") == 0;
}

static void emit_ratio(const pitot_frame *f) {
    average *a = f->state;
    char text[160];
    double b = pitot_hyper_of(f, -1, "momentum", 0);
    a->waits = 0;
    if (!is_descent(f)) pitot_remark(f, "no ratio: 2/lr is the limit of gradient descent");
    else if (!(f->lr > 0)) a->waits = 1;
    else pitot_emit(f, "ratio", a->sum / a->weight * f->lr / 2);
    snprintf(text, sizeof text, "with momentum, ratios settle between %.3g (small batches) and %.3g (large)", 1 - b, 1 + b);
    if (is_descent(f) && b != 0) pitot_remark(f, text);
}

static int32_t backward(const pitot_frame *f) {
    average *a = f->state;
    const pitot_real *product;
    double keep = ((const options *)f->options)->memory, along, square;
    a->waits = 0;
    if (f->n_last != f->n)
        return pitot_undefined(f, "the step's gradient and its Hessian are of different samples: it came in micro-batches"),
               PITOT_OK;
    pitot_gather_gradient(f, f->work);
    square = pitot_sum_squares(f->work, f->size);
    if (square == 0) return pitot_undefined(f, "the gradient is zero"), PITOT_OK;
    int32_t status = isfinite(square) ? pitot_gradient_product(f, &product) : PITOT_EHOST;
    along = status ? NAN : pitot_dot(f->work, product, f->size);
    if (status && status != PITOT_EHOST) return status;
    if (!isfinite(along))
        return pitot_undefined(f, "the gradient or its product with the Hessian is not finite, or the product failed"), PITOT_OK;
    a->sum = keep * a->sum + along / square;
    a->weight = keep * a->weight + 1;
    pitot_emit(f, "", along / square);
    pitot_emit(f, "mean", a->sum / a->weight);
    emit_ratio(f);
    return PITOT_OK;
}

/* The learning rate came with the update. */
static int32_t update(const pitot_frame *f) {
    if (((const average *)f->state)->waits) emit_ratio(f);
    return PITOT_OK;
}

const pitot_probe pitot_probe_batch_sharpness = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_GRADS | PITOT_NEED_HESSIAN | PITOT_NEED_LR,
    .presets = 0,
    .spans = 1,
    .name = "batch_sharpness",
    .summary = "curvature of the mini-batch's loss along its own gradient, its average, and that beside 2 / learning rate",
    .paper = "Andreyev, Beneventano 2024, arXiv 2412.20553",
    .formula = "g'Hg / |g|^2; its average times lr / 2",
    .options_size = sizeof(options),
    .options = table,
    .state_size = sizeof(average),
    .work_vectors = 1,
    .outputs = outputs,
    .backward = backward,
    .update = update,
};
