/* weight_rank.c: how many directions a weight uses, of each parameter with two axes or more as a matrix W, first axis by the rest, with
   singular values sigma:

       effective rank   exp(-sum p log p), p = sigma / sum sigma        (Roy, Vetterli 2007)
       stable rank      |W|_F^2 / |W|_2^2

   From 1 to the smaller side; 0 for a matrix of zeros. The stable rank hears only of the largest directions, the effective rank of all.
   A new random matrix is near full rank; a rank that falls all along a run says that weight decay or the data leave ever fewer
   directions. The whole is the mean weighted by values.

   Cost: min^2 max + 4/3 min^3 flops a matrix, which is why large ones are left out. */

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
    { "", PITOT_SCALAR_PER_TENSOR, PITOT_LINEAR_AXIS, "", "effective rank of the weights", NULL },
    { "stable", PITOT_SCALAR_PER_TENSOR, PITOT_LINEAR_AXIS, "", "stable rank of the weights", NULL },
    { 0 },
};

static int32_t backward(const pitot_frame *f) {
    return pitot_emit_ranks(f, PITOT_RANK_OF_DATA, ((const options *)f->options)->largest);
}

const pitot_probe pitot_probe_weight_rank = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .needs = PITOT_NEED_GRADS,
    .presets = 0,
    .spans = 1,
    .name = "weight_rank",
    .summary = "effective and stable rank of each weight as a matrix, and their means",
    .paper = "Roy, Vetterli 2007 (effective rank); Rudelson, Vershynin 2007, arXiv math/0503442 (stable rank)",
    .formula = "exp(-sum p log p), p = sigma / sum sigma; |W|_F^2 / |W|_2^2",
    .options_size = sizeof(options),
    .options = table,
    .outputs = outputs,
    .backward = backward,
};
