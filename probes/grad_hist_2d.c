/* grad_hist_2d.c: all samples' gradient values against the parameters that they belong to (Schneider, Dangel, Hennig 2021): bounded
   activations, dead units and layers at different scales show as shapes that a histogram of one axis hides. What lies outside a range is
   counted in the first or the last bin of it. */

#include "pitot/probe.h"

enum { FIXED, ABS_MAX };

typedef struct options {
    int64_t bins[2], adapt, adapt_parameters, keep_individual;
    double range[2], parameter_range[2], padding, min_size;
} options;

static const pitot_option table[] = {
    { "bins", PITOT_INT, 2, offsetof(options, bins), "40,50", 1, 4096, NULL, "", "bins over gradients and over parameters" },
    { "range", PITOT_REAL, 2, offsetof(options, range), "-1,1", -1e30, 1e30, NULL, "", "lowest and highest gradient value" },
    { "parameter_range", PITOT_REAL, 2, offsetof(options, parameter_range), "-2,2", -1e30, 1e30, NULL, "",
      "lowest and highest parameter" },
    { "adapt", PITOT_CHOICE, 1, offsetof(options, adapt), "none", 0, 0, "none|abs_max", "",
      "abs_max: the largest |gradient| of the last tracked step sets its range" },
    { "adapt_parameters", PITOT_CHOICE, 1, offsetof(options, adapt_parameters), "none", 0, 0, "none|abs_max", "",
      "abs_max: the same for parameters" },
    { "padding", PITOT_REAL, 1, offsetof(options, padding), "0", 0, 1e6, NULL, "", "abs_max: share that a range is wider" },
    { "min_size", PITOT_REAL, 1, offsetof(options, min_size), "1e-6", PITOT_ABOVE_ZERO, 1e30, NULL, "",
      "abs_max: narrowest range" },
    { "keep_individual", PITOT_BOOL, 1, offsetof(options, keep_individual), "false", 0, 0, NULL, "", "one for each tensor, too" },
    { 0 },
};

typedef struct state {
    double reach, parameter_reach; /* 0: not known yet */
} state;

static const pitot_output outputs[] = {
    { "counts", PITOT_TABLE, PITOT_NOT_DRAWN, "", "values of the samples' gradients in each bin, by gradient and parameter", NULL },
    { "x_edges", PITOT_LIST, PITOT_NOT_DRAWN, "", "bounds of the bins over gradients", NULL },
    { "y_edges", PITOT_LIST, PITOT_NOT_DRAWN, "", "bounds of the bins over parameters", NULL },
    { 0 },
};

static void bins(const pitot_frame *f, pitot_bins *b) {
    const options *o = f->options;
    const state *s = f->state;
    *b = (pitot_bins){ .n = o->bins[0], .lo = o->range[0], .hi = o->range[1], .y_n = o->bins[1] };
    b->y_lo = o->parameter_range[0];
    b->y_hi = o->parameter_range[1];
    if (o->adapt == ABS_MAX && s->reach > 0) b->lo = -s->reach, b->hi = s->reach;
    if (o->adapt_parameters == ABS_MAX && s->parameter_reach > 0) b->y_lo = -s->parameter_reach, b->y_hi = s->parameter_reach;
}

static double largest_parameter(const pitot_frame *f) {
    double most = 0;
    for (int64_t i = 0; i < f->n_tensors; i++)
        for (int64_t j = 0; j < f->tensor[i].size; j++) {
            double v = (double)f->tensor[i].data[j];
            most = v > most ? v : -v > most ? -v : most;
        }
    return most;
}

static void widen(const options *o, double most, double *reach) {
    if (most < 1e30) *reach = (1 + o->padding) * (most > o->min_size / 2 ? most : o->min_size / 2);
}

static void adapt(const pitot_frame *f) {
    const options *o = f->options;
    state *s = f->state;
    double most = 0;
    for (int64_t i = 0; i < f->n_tensors; i++) most = f->histogram->largest[i] > most ? f->histogram->largest[i] : most;
    widen(o, most, &s->reach);
    if (o->adapt_parameters == ABS_MAX) widen(o, largest_parameter(f), &s->parameter_reach);
}

static void emit(const pitot_frame *f, int64_t tensor, double *sum, int64_t begin, int64_t end) {
    const pitot_histogram *h = f->histogram;
    int64_t each = h->n * h->y_n;
    for (int64_t k = 0; k < each; k++) {
        int64_t all = 0;
        for (int64_t i = begin; i < end; i++) all += h->counts[i * each + k];
        sum[k] = (double)all;
    }
    pitot_emit_table(f, "counts", tensor, sum, h->n, h->y_n);
}

static int32_t backward(const pitot_frame *f) {
    const pitot_histogram *h = f->histogram;
    double *sum = pitot_scratch(f, h->n * h->y_n);
    if (!sum) return PITOT_EBUDGET;
    emit(f, -1, sum, 0, f->n_tensors);
    for (int64_t i = 0; i < f->n_tensors && ((const options *)f->options)->keep_individual; i++) emit(f, i, sum, i, i + 1);
    pitot_emit_list(f, "x_edges", h->edges, h->n + 1);
    pitot_emit_list(f, "y_edges", h->y_edges, h->y_n + 1);
    adapt(f);
    return PITOT_OK;
}

const pitot_probe pitot_probe_grad_hist_2d = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_HISTOGRAM,
    .presets = PITOT_FULL,
    .spans = 1,
    .name = "grad_hist_2d",
    .summary = "histogram of all samples' gradient values against their parameters",
    .paper = "Schneider, Dangel, Hennig 2021, arXiv 2102.06604",
    .formula = "counts of (g_nj, theta_j) over n and j",
    .options_size = sizeof(options),
    .options = table,
    .state_size = sizeof(state),
    .outputs = outputs,
    .backward = backward,
    .bins = bins,
};
