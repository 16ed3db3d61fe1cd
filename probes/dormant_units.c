/* dormant_units.c: units that hardly fire: channels of a convolution's input, values of a linear layer's (Sokar et al. 2023).

       s_i = E|h_i| / mean_k E|h_k|        E: over the samples that count and all positions, k: over the units of one layer

   A unit is dormant if s_i <= tau, strictly dead if s_i = 0, as all are in a layer of zeros. A dead ReLU passes no gradient back: it comes
   back only if what lies before it moves. Beside the whole, which is over all units of all layers: each layer, under the name of the
   weight that reads it; what several weights read counts for each, and the uses of one weight count together. Left out are inputs that
   are the samples themselves; what only a normalisation's scale reads is no layer here. Positions of weight 0 (padding) are not told
   apart from others. */

#include "pitot/probe.h"

#include <math.h>
#include <string.h>

typedef struct options {
    double tau;
} options;

static const pitot_option table[] = {
    { "tau", PITOT_REAL, 1, offsetof(options, tau), "0.025", 0, 1, NULL, "",
      "a unit is dormant up to this share of its layer's mean" },
    { 0 },
};

static const pitot_band band = {
    .warn_below = -INFINITY,
    .warn_above = 0.05,
    .alarm_below = -INFINITY,
    .alarm_above = 0.20,
    .says = "more than a fifth of the units are all but silent and learn no more: lower the learning rate, check initialisation "
            "and input "
            "scale, or take an activation that is never flat; in long runs, reinitialise them",
};

static const pitot_output outputs[] = {
    { "", PITOT_SCALAR_PER_TENSOR, PITOT_LINEAR_AXIS, "", "share of dormant units", &band },
    { "dead", PITOT_SCALAR_PER_TENSOR, PITOT_LINEAR_AXIS, "", "share of units that are 0 for every sample", NULL },
    { 0 },
};

typedef struct tally {
    double dormant, dead, units;
} tally;

/* Side by side in memory: units, for each position. sums (units) += |h| */
PITOT_HOT static void add_units(const pitot_real *a, int64_t positions, int64_t step, int64_t units, double *sums) {
    for (int64_t p = 0; p < positions; p++, a += step)
        for (int64_t u = 0; u < units; u++) sums[u] += a[u] < 0 ? -(double)a[u] : (double)a[u];
}

/* Sum of |h| over one unit's positions. */
PITOT_HOT static double sum_positions(const pitot_real *a, int64_t positions, int64_t step) {
    enum { LANES = 8 };
    double lane[LANES] = { 0 }, all = 0;
    int64_t p = 0;
    for (; step == 1 && p + LANES <= positions; p += LANES)
        for (int j = 0; j < LANES; j++) lane[j] += a[p + j] < 0 ? -(double)a[p + j] : (double)a[p + j];
    for (; p < positions; p++) lane[0] += fabs((double)a[p * step]);
    for (int j = 0; j < LANES; j++) all += lane[j];
    return all;
}

static void add_layer(const pitot_frame *f, const pitot_layer *l, double *sums) {
    for (int64_t n = 0; n < l->n; n++) {
        const pitot_real *a = l->a + n * l->a_sample;
        if (!f->samples->counts[n]) continue;
        if (l->a_unit == 1) add_units(a, l->positions, l->a_position, l->units, sums);
        else
            for (int64_t u = 0; u < l->units; u++) sums[u] += sum_positions(a + u * l->a_unit, l->positions, l->a_position);
    }
}

/* 0: a value is not finite. The mean of s_i over a layer is 1, so tau needs no number of samples. */
static int judge(const double *sums, int64_t units, double tau, tally *t) {
    double all = 0;
    *t = (tally){ .units = (double)units };
    for (int64_t u = 0; u < units; u++) all += sums[u];
    for (int64_t u = 0; u < units; u++) {
        t->dormant += sums[u] <= tau * (all / (double)units);
        t->dead += sums[u] == 0;
    }
    return isfinite(all);
}

static int is_read(const pitot_layer *l) {
    return l->a && !l->data;
}

static int32_t backward(const pitot_frame *f) {
    tally all = { 0 }, t;
    for (int64_t i = 0, end; i < f->n_layers; i = end) {
        const pitot_layer *l = &f->layer[i];
        int64_t uses = 0;
        double *sums = pitot_scratch(f, l->units);
        if (!sums) return PITOT_EBUDGET;
        memset(sums, 0, (size_t)l->units * sizeof *sums);
        for (end = i; end < f->n_layers && f->layer[end].tensor == l->tensor; end++)
            if (is_read(&f->layer[end]) && f->layer[end].units == l->units) add_layer(f, &f->layer[end], sums), uses++;
        if (!uses) continue;
        if (!judge(sums, l->units, ((const options *)f->options)->tau, &t))
            return pitot_undefined(f, "a layer's input has a value that is not finite"), PITOT_OK;
        pitot_emit_tensor(f, "", l->tensor, t.dormant / t.units);
        pitot_emit_tensor(f, "dead", l->tensor, t.dead / t.units);
        all.dormant += t.dormant;
        all.dead += t.dead;
        all.units += t.units;
    }
    if (all.units == 0) return pitot_undefined(f, "no layer reads what another has made"), PITOT_OK;
    pitot_emit(f, "", all.dormant / all.units);
    pitot_emit(f, "dead", all.dead / all.units);
    return PITOT_OK;
}

const pitot_probe pitot_probe_dormant_units = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_LAYERS,
    .presets = 0,
    .spans = 1,
    .name = "dormant_units",
    .summary = "share of units that hardly fire, of each layer's input and of all",
    .paper = "Sokar, Agarwal, Castro, Evci 2023, arXiv 2302.12902",
    .formula = "share of units with E|h_i| / mean_k E|h_k| <= tau",
    .options_size = sizeof(options),
    .options = table,
    .outputs = outputs,
    .backward = backward,
};
