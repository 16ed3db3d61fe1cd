/* tic_diag.c: Takeuchi information criterion from diagonals (Thomas et al. 2020, "On the interplay between noise and curvature and its effect
   on optimization and generalization"): the samples' second moments over the curvature, an estimate of the gap between training and test
   loss. Curvature near 0 or negative makes it blow up or turn round, as it does in Cockpit. */

#include "pitot/probe.h"

typedef struct options {
    int64_t curvature, draws;
    double epsilon;
} options;

static const pitot_option table[] = {
    PITOT_CURVATURE_OPTIONS(options),
    { "epsilon", PITOT_REAL, 1, offsetof(options, epsilon), "1e-7", 0, 1e30, NULL, "", "added to the curvature" },
    { 0 },
};

static const pitot_output outputs[] = {
    { "", PITOT_SCALAR, PITOT_SYMLOG_AXIS, "", "Takeuchi information criterion, from diagonals", NULL },
    { 0 },
};

/* The second moment waits in the state until the diagonal is there. */
PITOT_HOT static void moments(const pitot_frame *f, const pitot_moments *m, double *sums) {
    (void)f;
    for (int64_t i = 0; i < m->end - m->begin; i++) m->state[m->begin + i] = m->variance[i] + m->mean[i] * m->mean[i];
    sums[0] += 1;
}

static int32_t backward(const pitot_frame *f) {
    const options *o = f->options;
    pitot_curvature c;
    double all = 0;
    int32_t status = pitot_diagonal(f, (int32_t)o->curvature, o->draws, &c);
    if (status) return status;
    for (int64_t i = 0, at = 0; i < f->n_tensors; i++) {
        if (!f->tensor[i].grad) continue;
        if (f->sums[i] > 0) all += pitot_sum_ratios(f->tensor[i].state, c.values + at, o->epsilon, f->tensor[i].size);
        at += f->tensor[i].size;
    }
    pitot_emit(f, "", all);
    return PITOT_OK;
}

const pitot_probe pitot_probe_tic_diag = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_GRADS | PITOT_NEED_MOMENTS | PITOT_NEED_DIAGONAL,
    .presets = PITOT_BUSINESS | PITOT_FULL,
    .spans = 1,
    .name = "tic_diag",
    .summary = "Takeuchi information criterion from diagonals",
    .paper = "Thomas et al. 2020, arXiv 1906.07774",
    .formula = "sum_j (mean_n g_nj^2) / (C_jj + epsilon)",
    .options_size = sizeof(options),
    .options = table,
    .tensor_state = 1,
    .n_sums = 1,
    .outputs = outputs,
    .backward = backward,
    .moments = moments,
};
