/* update_rank.c: how many directions a step moves a weight in, as weight_rank.c says for the weights themselves: what the optimizer makes
   of the gradient's rank. Plain gradient descent keeps it; division by root mean squares (Adam) raises it; orthogonalising (Muon) makes it
   full. Beside gradient_rank it says how much of a step is the optimizer's own.

   The step is the difference of the stored parameters: their rounding is part of it. In float32 that is noise of full rank of about 6e-8
   of the weights, which the effective rank hears of in steps below about 1e-5 of them. */

#include "pitot/probe.h"

typedef struct options {
    int64_t largest;
} options;

static const pitot_option table[] = {
    { "largest", PITOT_INT, 1, offsetof(options, largest), "2048", 1, 1048576, NULL, "",
      "matrices whose smaller side exceeds this are left out" },
    { 0 },
};

static const pitot_output outputs[] = {
    { "", PITOT_SCALAR_PER_TENSOR, PITOT_LINEAR_AXIS, "", "effective rank of the step", NULL },
    { "stable", PITOT_SCALAR_PER_TENSOR, PITOT_LINEAR_AXIS, "", "stable rank of the step", NULL },
    { 0 },
};

static int32_t update(const pitot_frame *f) {
    return pitot_emit_ranks(f, PITOT_RANK_OF_UPDATE, ((const options *)f->options)->largest);
}

const pitot_probe pitot_probe_update_rank = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_BEFORE,
    .presets = 0,
    .spans = 1,
    .name = "update_rank",
    .summary = "effective and stable rank of each weight's update as a matrix, and their means",
    .paper = "Roy, Vetterli 2007 (effective rank); Rudelson, Vershynin 2007, arXiv math/0503442 (stable rank)",
    .formula = "exp(-sum p log p), p = sigma / sum sigma of theta_{t+1} - theta_t",
    .options_size = sizeof(options),
    .options = table,
    .outputs = outputs,
    .update = update,
};
