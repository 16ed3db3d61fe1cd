/* grad_hist_1d.c: how all samples' gradient values are distributed (Schneider, Dangel, Hennig 2021). What lies outside the range is counted
   in the first or the last bin. */

#include "pitot/probe.h"

enum { FIXED, ABS_MAX };

typedef struct options {
    int64_t bins, adapt;
    double range[2], padding, min_size;
} options;

static const pitot_option table[] = {
    { "bins", PITOT_INT, 1, offsetof(options, bins), "100", 1, 4096, NULL, "", "bins of equal width" },
    { "range", PITOT_REAL, 2, offsetof(options, range), "-2,2", -1e30, 1e30, NULL, "", "lowest and highest value" },
    { "adapt", PITOT_CHOICE, 1, offsetof(options, adapt), "none", 0, 0, "none|abs_max", "",
      "abs_max: the largest |value| of the last tracked step sets the range" },
    { "padding", PITOT_REAL, 1, offsetof(options, padding), "0", 0, 1e6, NULL, "", "abs_max: share that the range is wider" },
    { "min_size", PITOT_REAL, 1, offsetof(options, min_size), "1e-6", PITOT_ABOVE_ZERO, 1e30, NULL, "",
      "abs_max: narrowest range" },
    { 0 },
};

typedef struct state {
    double reach; /* 0: not known yet */
} state;

static const pitot_output outputs[] = {
    { "counts", PITOT_LIST, PITOT_NOT_DRAWN, "", "values of the samples' gradients in each bin", NULL },
    { "edges", PITOT_LIST, PITOT_NOT_DRAWN, "", "bounds of the bins", NULL },
    { 0 },
};

static void bins(const pitot_frame *f, pitot_bins *b) {
    const options *o = f->options;
    const state *s = f->state;
    *b = (pitot_bins){ .n = o->bins, .lo = o->range[0], .hi = o->range[1] };
    if (o->adapt == ABS_MAX && s->reach > 0) b->lo = -s->reach, b->hi = s->reach;
}

static void adapt(const pitot_frame *f) {
    const options *o = f->options;
    double most = 0;
    for (int64_t i = 0; i < f->n_tensors; i++) most = f->histogram->largest[i] > most ? f->histogram->largest[i] : most;
    if (!(most < 1e30)) return;
    ((state *)f->state)->reach = (1 + o->padding) * (most > o->min_size / 2 ? most : o->min_size / 2);
}

static int32_t backward(const pitot_frame *f) {
    const pitot_histogram *h = f->histogram;
    double *sum = pitot_scratch(f, h->n);
    if (!sum) return PITOT_EBUDGET;
    for (int64_t k = 0; k < h->n; k++) {
        int64_t all = 0;
        for (int64_t i = 0; i < f->n_tensors; i++) all += h->counts[i * h->n + k];
        sum[k] = (double)all;
    }
    pitot_emit_list(f, "counts", sum, h->n);
    pitot_emit_list(f, "edges", h->edges, h->n + 1);
    adapt(f);
    return PITOT_OK;
}

const pitot_probe pitot_probe_grad_hist_1d = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_HISTOGRAM,
    .presets = PITOT_ECONOMY | PITOT_BUSINESS | PITOT_FULL,
    .spans = 1,
    .name = "grad_hist_1d",
    .summary = "histogram of all samples' gradient values",
    .paper = "Schneider, Dangel, Hennig 2021, arXiv 2102.06604",
    .formula = "counts of g_nj over n and j",
    .options_size = sizeof(options),
    .options = table,
    .state_size = sizeof(state),
    .outputs = outputs,
    .backward = backward,
    .bins = bins,
};
