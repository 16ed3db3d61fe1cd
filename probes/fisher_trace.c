/* fisher_trace.c: trace of the Fisher information, how much the net's predictions move with its parameters (Jastrzebski et al. 2021,
   "Catastrophic Fisher explosion"): an early explosion, as small learning rates allow it, goes before poor generalisation.

       tr F = mean_n E_{y ~ p(.|x_n)} |grad log p(y|x_n)|^2

   With labels drawn from what the net predicts, not those of the data. Equal to the trace of the GGN where the loss is a negative
   log-likelihood, and taken from its diagonal. Losses that are means over C outputs are those of 1/C of the log-likelihood, and so is
   this. */

#include "pitot/probe.h"

#include <math.h>

typedef struct options {
    int64_t curvature, draws;
} options;

static const pitot_option table[] = {
    { "curvature", PITOT_CHOICE, 1, offsetof(options, curvature), "ggn_mc", 0, 0, "ggn|ggn_mc", "",
      "ggn: the expectation over labels, exact; ggn_mc: from labels drawn" },
    { "draws", PITOT_INT, 1, offsetof(options, draws), "1", 1, 4096, NULL, "", "ggn_mc: labels drawn for each sample" },
    { 0 },
};

static const pitot_output outputs[] = {
    { "", PITOT_SCALAR_PER_TENSOR, PITOT_LOG_AXIS, "", "trace of the Fisher information", NULL },
    { 0 },
};

static int32_t backward(const pitot_frame *f) {
    const options *o = f->options;
    pitot_curvature d;
    double all = 0;
    int32_t status = pitot_diagonal(f, o->curvature == 0 ? PITOT_CURVATURE_GGN : PITOT_CURVATURE_GGN_MC, o->draws, &d);
    if (status == PITOT_EHOST) return pitot_undefined(f, "the diagonal failed"), PITOT_OK;
    if (status) return status;
    for (int64_t k = 0; k < f->size; k++) all += (double)d.values[k];
    if (!isfinite(all)) return pitot_undefined(f, "a value of the diagonal is not finite"), PITOT_OK;
    pitot_emit(f, "", all);
    for (int64_t i = 0; i < f->n_tensors; i++) {
        int64_t at = pitot_offset(f, i);
        double sum = 0;
        if (at < 0) continue;
        for (int64_t k = 0; k < f->tensor[i].size; k++) sum += (double)d.values[at + k];
        pitot_emit_tensor(f, "", i, sum);
    }
    return PITOT_OK;
}

const pitot_probe pitot_probe_fisher_trace = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_DIAGONAL | PITOT_NEED_GRADS,
    .presets = 0,
    .spans = 1,
    .name = "fisher_trace",
    .summary = "trace of the Fisher information, with labels from the net's own predictions, per parameter and in all",
    .paper = "Jastrzebski, Arpit, Astrand, Kerg, Wang, Xiong, Socher, Cho, Geras 2021, arXiv 2012.14193",
    .formula = "mean_n E_{y ~ p(.|x_n)} |grad log p(y|x_n)|^2",
    .options_size = sizeof(options),
    .options = table,
    .outputs = outputs,
    .backward = backward,
};
