/* tic_diag.c: Takeuchi information criterion from diagonals (Thomas et al. 2020, "On the interplay between noise and curvature and its effect
   on optimization and generalization"): the samples' second moments over the curvature, an estimate of the gap between training and test
   loss. Curvature near 0 or negative makes it blow up or turn round, as it does in Cockpit. */

#include "pitot/probe.h"

#include <math.h>

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

enum { WAITING, RATIOS, SUMS }; /* tiles whose curvature is not there yet; what the others made */
enum { LANES = 16 };

static inline double total(const double lane[LANES]) {
    double sum = 0;
    for (int j = 0; j < LANES; j++) sum += lane[j];
    return sum;
}

PITOT_HOT static double ratios(const pitot_moments *m, pitot_real epsilon) {
    const pitot_real *mean = m->mean, *variance = m->variance, *c = m->curvature;
    double lane[LANES] = { 0 };
    int64_t n = m->end - m->begin, i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] += (double)((variance[i + j] + mean[i + j] * mean[i + j]) / (c[i + j] + epsilon));
    for (; i < n; i++) lane[0] += (double)((variance[i] + mean[i] * mean[i]) / (c[i] + epsilon));
    return total(lane);
}

/* Ratios beyond what a pitot_real holds. */
static double wide_ratios(const pitot_moments *m, double epsilon) {
    double sum = 0;
    for (int64_t i = 0; i < m->end - m->begin; i++) {
        double second = (double)m->variance[i] + (double)m->mean[i] * (double)m->mean[i];
        sum += second / ((double)m->curvature[i] + epsilon);
    }
    return sum;
}

PITOT_HOT static void keep(const pitot_moments *m) {
    for (int64_t i = 0; i < m->end - m->begin; i++) m->state[m->begin + i] = m->variance[i] + m->mean[i] * m->mean[i];
}

/* Where the diagonal is not there yet, the second moment waits in the state. */
static void moments(const pitot_frame *f, const pitot_moments *m, double *sums) {
    const options *o = f->options;
    if (!m->curvature) {
        keep(m);
        sums[WAITING] = 1;
        return;
    }
    sums[RATIOS] = ratios(m, (pitot_real)o->epsilon);
    if (!isfinite(sums[RATIOS])) sums[RATIOS] = wide_ratios(m, o->epsilon);
}

static void curvature(const void *given, int32_t *kind, int64_t *draws) {
    const options *o = given;
    *kind = (int32_t)o->curvature;
    *draws = o->draws;
}

static int32_t backward(const pitot_frame *f) {
    const options *o = f->options;
    pitot_curvature c;
    double all = 0;
    int waiting = 0;
    for (int64_t i = 0; i < f->n_tensors; i++) waiting |= f->sums[i * SUMS + WAITING] > 0;
    int32_t status = waiting ? pitot_diagonal(f, (int32_t)o->curvature, o->draws, &c)
                             : pitot_diagonal_traces(f, (int32_t)o->curvature, o->draws, &c, NULL);
    if (status) return status;
    for (int64_t i = 0, at = 0; i < f->n_tensors; i++) {
        if (!f->tensor[i].grad) continue;
        if (f->sums[i * SUMS + WAITING] > 0)
            all += pitot_sum_ratios(f->tensor[i].state, c.values + at, o->epsilon, f->tensor[i].size);
        else all += f->sums[i * SUMS + RATIOS];
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
    .n_sums = SUMS,
    .outputs = outputs,
    .backward = backward,
    .moments = moments,
    .curvature = curvature,
};
