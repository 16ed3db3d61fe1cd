/* ekfac.c: George et al. 2018 (arXiv 1806.03884): K-FAC's eigenbasis, with the diagonal there not of products of eigenvalues but of the
   gradients' own second moments: of the batch's samples, or averaged over steps of the batch's gradient. */

#include "optim/core/kronecker.h"

#define AT(field) offsetof(kronecker, field)

static const pitot_option table[] = {
    { "lr", PITOT_REAL, 1, AT(lr), "0.05", 0, 1e6, NULL, "", "learning rate" },
    { "eps", PITOT_REAL, 1, AT(damping), "0.1", 0, 1e12, NULL, "", "added to the second moments" },
    { "moments", PITOT_CHOICE, 1, AT(moments), "batch", 0, 0, "batch|average", "",
      "of the batch's samples, or of mean gradients over steps" },
    { "alpha", PITOT_REAL, 1, AT(moment_decay), "0.75", 0, PITOT_BELOW_ONE, NULL, "", "moments=average: share that stays" },
    { "update_freq", PITOT_INT, 1, AT(t_basis), "1", 1, 1e9, NULL, "steps", "between eigenbases" },
    { "T_cov", PITOT_INT, 1, AT(t_cov), "1", 1, 1e9, NULL, "steps", "between updates of factors and the batch's moments" },
    { "stat_decay", PITOT_REAL, 1, AT(stat_decay), "0", 0, PITOT_BELOW_ONE, NULL, "",
      "share of the factors that stays; 0: those of the batch" },
    { "fisher", PITOT_CHOICE, 1, AT(fisher), "empirical", 0, 0, FISHER_NAMES, "", FISHER_HELP },
    { "approx", PITOT_CHOICE, 1, AT(reduce), "expand", 0, 0, "expand|reduce", "",
      "for the factors: positions are rows of their own, or are averaged first" },
    { "kl_clip", PITOT_REAL, 1, AT(kl_clip), "0", 0, 1e12, NULL, "", "most that lr^2 <D,G> may be; 0: no limit" },
    { "momentum", PITOT_REAL, 1, AT(momentum), "0", 0, 1e6, NULL, "", "share of the buffer that stays" },
    { "weight_decay", PITOT_REAL, 1, AT(weight_decay), "0", 0, 1e6, NULL, "", "times x is added to the direction" },
    { "max_dim", PITOT_INT, 1, AT(max_dim), "8192", 0, 32000, NULL, "", "layers with a larger factor take plain steps" },
    { "overlap", PITOT_INT, 1, AT(overlap), "0", 0, 1e9, NULL, "steps", OVERLAP_HELP },
    { 0 },
};

const pitot_optimizer pitot_optimizer_ekfac = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .needs = PITOT_WANTS_LAYERS,
    .name = "ekfac",
    .summary = "K-FAC with second moments of gradients in the factors' eigenbasis",
    .paper = "George et al. 2018, arXiv 1806.03884",
    .formula = "A = V diag V', S = U diag U'; s = mean_n (U' G_n V)^2, or s = alpha s + (1-alpha) N (U' G V)^2; "
               "D = U [(U' G V) / (s + eps)] V'; b = momentum b + D + wd x; x -= lr b",
    .memory = "a layer (rows, columns): 2 (rows^2 + columns^2) + rows columns, and D values with momentum",
    .tensors = "linear layers, and convolutions group by group, weight with bias; all else, and what is larger than max_dim or "
               "used twice: SGD with the same lr, momentum and decay",
    .cost = "N (rows + columns)^2 for factors and moments; 4 rows columns (rows + columns); 10 (rows^3 + columns^3) in update_freq "
            "steps",
    .options_size = sizeof(kronecker),
    .options = table,
    .wants = kronecker_wants,
    .layout = kronecker_layout,
    .begin = kronecker_begin,
    .step = kronecker_step,
    .view = kronecker_view,
};
