/* el2n.c: EL2N scores, how far each sample's prediction is from its answer (Paul, Ganguli, Dziugaite 2021, "Deep learning on a data diet"):
   |p - y|, p softmax or sigmoid of the outputs, or the outputs themselves for squared errors. It is the length of the gradient with respect
   to the outputs, up to the loss's factor: much of what GraNd scores say, at no cost. Ranks samples well after a few epochs. Samples of
   several terms (tokens) have the mean of their terms' scores, by the terms' weights. */

#include "pitot/probe.h"

#include <math.h>

typedef struct options {
    int64_t top;
} options;

static const pitot_option table[] = {
    { "top", PITOT_INT, 1, offsetof(options, top), "10", 1, 64, NULL, "samples", "how many of the hardest samples are listed" },
    { 0 },
};

static const pitot_output outputs[] = {
    { "", PITOT_SCALAR, PITOT_LINEAR_AXIS, "", "mean distance of predictions from answers", NULL },
    { "hardest.ids", PITOT_LIST, PITOT_NOT_DRAWN, "", "the hardest samples: in the data set, or in the batch", NULL },
    { "hardest.scores", PITOT_LIST, PITOT_LINEAR_AXIS, "", "their scores", NULL },
    { 0 },
};

static double of_class(const pitot_real *f, int64_t c, int64_t answer) {
    double most = -INFINITY, sum = 0, square = 0;
    for (int64_t k = 0; k < c; k++) most = fmax(most, (double)f[k]);
    for (int64_t k = 0; k < c; k++) sum += exp((double)f[k] - most);
    for (int64_t k = 0; k < c; k++) {
        double d = exp((double)f[k] - most) / sum - (k == answer);
        square += d * d;
    }
    return sqrt(square);
}

static double of_targets(const pitot_real *f, const pitot_real *y, int64_t c, int sigmoid) {
    double square = 0;
    for (int64_t k = 0; k < c; k++) {
        double p = sigmoid ? 1 / (1 + exp(-(double)f[k])) : (double)f[k], d = p - (double)y[k];
        square += d * d;
    }
    return sqrt(square);
}

/* |p - y| of one term; -1: its class is none (ignored). */
static double of_term(const pitot_prediction *p, int64_t term) {
    const pitot_real *f = p->f + term * p->stride;
    if (!p->classes) return of_targets(f, p->targets + term * p->c, p->c, p->loss_kind == PITOT_BINARY_CROSS_ENTROPY);
    int64_t answer = p->classes[term];
    return answer >= 0 && answer < p->c ? of_class(f, p->c, answer) : -1;
}

/* Mean over the sample's terms that count; -1: none does. */
static double of_sample(const pitot_prediction *p, int64_t i) {
    double sum = 0, weight = 0;
    for (int64_t k = i * p->t; k < (i + 1) * p->t; k++) {
        double w = p->weight ? (double)p->weight[k] : 1, score = w != 0 ? of_term(p, k) : -1;
        if (score < 0) continue;
        sum += w * score;
        weight += w;
    }
    return weight != 0 ? sum / weight : -1;
}

static int32_t backward(const pitot_frame *f) {
    const pitot_prediction *p = f->prediction;
    double sum = 0, counted = 0, *scores = pitot_scratch(f, p->n);
    if (!scores) return PITOT_EBUDGET;
    for (int64_t i = 0; i < p->n; i++) {
        scores[i] = of_sample(p, i);
        if (!isfinite(scores[i])) return pitot_undefined(f, "an output is not finite"), PITOT_OK;
        if (scores[i] < 0) continue;
        sum += scores[i];
        counted += 1;
    }
    if (counted == 0) return pitot_undefined(f, "no sample has an answer that counts"), PITOT_OK;
    pitot_emit(f, "", sum / counted);
    pitot_emit_hardest(f, scores, p->n, p->ids, ((const options *)f->options)->top);
    return PITOT_OK;
}

const pitot_probe pitot_probe_el2n = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_OUTPUT,
    .presets = 0,
    .spans = 1,
    .name = "el2n",
    .summary = "EL2N scores: mean distance of predictions from answers, and the hardest samples",
    .paper = "Paul, Ganguli, Dziugaite 2021, arXiv 2107.07075",
    .formula = "|p_n - y_n|",
    .options_size = sizeof(options),
    .options = table,
    .outputs = outputs,
    .backward = backward,
};
