/* cabs.c: the batch size that the gradient's noise asks for (Balles, Romero, Hennig 2017, "Coupling adaptive batch sizes with learning
   rates"). Derived for plain gradient descent; for other optimizers it is the same formula with their learning rate, and says so. */

#include "pitot/probe.h"

#include <math.h>

#include <string.h>

static const pitot_output outputs[] = {
    { "", PITOT_SCALAR, PITOT_LOG_AXIS, "samples", "batch size proposed by CABS", NULL },
    { 0 },
};

static int is_plain_sgd(const pitot_frame *f) {
    return strcmp(f->optimizer, "sgd") == 0 && pitot_hyper_of(f, 0, "momentum", 0) == 0 &&
           pitot_hyper_of(f, 0, "weight_decay", 0) == 0;
}

static int32_t emit(const pitot_frame *f, double lr) {
    const pitot_samples *m = f->samples;
    double loss = f->loss * f->to_mean;
    if (!(loss > 0) && !isnan(loss)) return pitot_undefined(f, "the loss is not positive"), PITOT_OK;
    pitot_emit(f, "", lr * m->scatter / ((double)m->n * loss));
    if (*f->optimizer && !is_plain_sgd(f)) pitot_remark(f, "derived for plain gradient descent, which this optimizer is not");
    return PITOT_OK;
}

/* The learning rate is known before the update if the host has told it by pitot_hyper; else after it. */
static int32_t backward(const pitot_frame *f) {
    double lr = pitot_hyper_of(f, 0, "lr", f->lr);
    if (!isnan(lr)) return emit(f, lr);
    pitot_undefined(f, "needs the learning rate: --set lr=0.1, or pitot_hyper");
    return PITOT_OK;
}

static int32_t update(const pitot_frame *f) {
    return isnan(pitot_hyper_of(f, 0, "lr", NAN)) ? emit(f, f->lr) : PITOT_OK;
}

const pitot_probe pitot_probe_cabs = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_LOSS | PITOT_NEED_SAMPLES,
    .presets = 0,
    .spans = 1,
    .name = "cabs",
    .summary = "batch size proposed by CABS",
    .paper = "Balles, Romero, Hennig 2017, arXiv 1612.05086",
    .formula = "lr sum_n |g_n - g|^2 / (N L)",
    .outputs = outputs,
    .backward = backward,
    .update = update,
};
