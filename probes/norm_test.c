/* norm_test.c: does the mini-batch gradient point downhill? (Byrd, Chin, Nocedal, Wu 2012, "Sample size selection in optimization methods for
   machine learning", equation 3.9, solved for theta.) The width of the ball, in lengths of the gradient, within which the true gradient is to
   be expected: above 1 even its direction is in doubt, and a larger batch is due. */

#include "pitot/probe.h"

#include <math.h>

static const pitot_output outputs[] = {
    { "", PITOT_SCALAR, PITOT_LOG_AXIS, "", "norm test, radius in lengths of the gradient", NULL },
    { 0 },
};

static int32_t backward(const pitot_frame *f) {
    const pitot_samples *m = f->samples;
    double n = (double)m->n;
    if (m->n < 2) return pitot_undefined(f, "one sample has no variance"), PITOT_OK;
    if (m->mean_square == 0) return pitot_undefined(f, "the gradient is 0"), PITOT_OK;
    pitot_emit(f, "", sqrt(m->scatter / (n * (n - 1) * m->mean_square)));
    return PITOT_OK;
}

const pitot_probe pitot_probe_norm_test = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_SAMPLES,
    .presets = PITOT_ECONOMY | PITOT_BUSINESS | PITOT_FULL,
    .spans = 1,
    .name = "norm_test",
    .summary = "norm test: standard deviation of the mini-batch gradient over its length",
    .paper = "Byrd, Chin, Nocedal, Wu 2012, Math. Program. 134, eq. 3.9",
    .formula = "sqrt(sum_n |g_n - g|^2 / (N (N-1) |g|^2))",
    .outputs = outputs,
    .backward = backward,
};
