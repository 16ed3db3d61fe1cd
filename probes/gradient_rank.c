/* gradient_rank.c: how many directions the mini-batch gradient of a weight has, as weight_rank.c says for the weights themselves. At most
   the number of samples times positions; 0 where the gradient is zero. Low ranks are what low-rank optimizers live on (Zhao et al. 2024,
   arXiv 2403.03507); a rank of 1 that stays says that all samples pull the same way, or that one sample outweighs the rest. */

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
    { "", PITOT_SCALAR_PER_TENSOR, PITOT_LINEAR_AXIS, "", "effective rank of the gradient", NULL },
    { "stable", PITOT_SCALAR_PER_TENSOR, PITOT_LINEAR_AXIS, "", "stable rank of the gradient", NULL },
    { 0 },
};

static int32_t backward(const pitot_frame *f) {
    return pitot_emit_ranks(f, PITOT_RANK_OF_GRAD, ((const options *)f->options)->largest);
}

const pitot_probe pitot_probe_gradient_rank = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_GRADS,
    .presets = 0,
    .spans = 1,
    .name = "gradient_rank",
    .summary = "effective and stable rank of each weight's gradient as a matrix, and their means",
    .paper = "Roy, Vetterli 2007 (effective rank); Rudelson, Vershynin 2007, arXiv math/0503442 (stable rank)",
    .formula = "exp(-sum p log p), p = sigma / sum sigma; |G|_F^2 / |G|_2^2",
    .options_size = sizeof(options),
    .options = table,
    .outputs = outputs,
    .backward = backward,
};
