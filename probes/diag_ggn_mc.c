/* diag_ggn_mc.c: the generalised Gauss-Newton matrix's diagonal from labels drawn from what the net predicts: unbiased, at the price of a
   gradient for each draw. In the scaling of BackPACK's diag_ggn_mc: that of the mean loss. */

#include "pitot/probe.h"

typedef struct options {
    int64_t draws;
} options;

static const pitot_option table[] = {
    { "draws", PITOT_INT, 1, offsetof(options, draws), "1", 1, 1e6, NULL, "", "labels drawn for each sample" },
    { 0 },
};

static const pitot_output outputs[] = {
    { "", PITOT_TENSORS, PITOT_SYMLOG_AXIS, "", "diagonal of the GGN, sampled", NULL },
    { 0 },
};

static int32_t backward(const pitot_frame *f) {
    pitot_curvature c;
    int32_t status = pitot_diagonal(f, PITOT_CURVATURE_GGN_MC, ((const options *)f->options)->draws, &c);
    for (int64_t i = 0; i < f->n_tensors && !status; i++)
        if (f->tensor[i].grad) pitot_emit_values(f, "", i, c.values + pitot_offset(f, i));
    return status;
}

const pitot_probe pitot_probe_diag_ggn_mc = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_GRADS | PITOT_NEED_DIAGONAL,
    .presets = PITOT_ON_REQUEST,
    .spans = 1,
    .name = "diag_ggn_mc",
    .summary = "diagonal of the generalised Gauss-Newton matrix, from drawn labels",
    .paper = "Dangel, Kunstner, Hennig 2020, arXiv 1912.10985",
    .formula = "mean over draws of (d log p(y|f) / d theta_j)^2, y ~ p(.|f)",
    .options_size = sizeof(options),
    .options = table,
    .outputs = outputs,
    .backward = backward,
};
