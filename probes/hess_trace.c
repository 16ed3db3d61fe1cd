/* hess_trace.c: trace of the Hessian, or of what stands for it, from its diagonal, of each parameter and in all: how sharp the valley is on
   average. */

#include "pitot/probe.h"

typedef struct options {
    int64_t curvature, draws;
} options;

static const pitot_option table[] = {
    PITOT_CURVATURE_OPTIONS(options),
    { 0 },
};

static const pitot_output outputs[] = {
    { "", PITOT_SCALAR_PER_TENSOR, PITOT_SYMLOG_AXIS, "", "trace of the curvature", NULL },
    { 0 },
};

static int32_t backward(const pitot_frame *f) {
    const options *o = f->options;
    pitot_curvature c;
    double all = 0;
    const double *trace;
    int32_t status = pitot_diagonal_traces(f, (int32_t)o->curvature, o->draws, &c, &trace);
    if (status) return status;
    for (int64_t i = 0; i < f->n_tensors; i++) {
        if (!f->tensor[i].grad) continue;
        pitot_emit_tensor(f, "", i, trace[i]);
        all += trace[i];
    }
    pitot_emit(f, "", all);
    return PITOT_OK;
}

const pitot_probe pitot_probe_hess_trace = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_GRADS | PITOT_NEED_DIAGONAL,
    .presets = PITOT_BUSINESS | PITOT_FULL,
    .spans = 1,
    .name = "hess_trace",
    .summary = "trace of the Hessian from its diagonal, per parameter and in all",
    .paper = "Schneider, Dangel, Hennig 2021, arXiv 2102.06604",
    .formula = "sum_j C_jj",
    .options_size = sizeof(options),
    .options = table,
    .outputs = outputs,
    .backward = backward,
};
