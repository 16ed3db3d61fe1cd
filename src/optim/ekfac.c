/* ekfac.c: George et al. 2018 (arXiv 1806.03884): K-FAC's eigenbasis, with the diagonal there not of products of eigenvalues but of the
   gradients' own second moments: of the batch's samples, or averaged over steps of the batch's gradient. */

#include "optim/core/kronecker.h"

typedef struct ekfac_options {
    double lr, momentum, weight_decay, eps, stat_decay, alpha, kl_clip;
    int64_t moments, fisher, approx, t_cov, update_freq, max_dim;
} ekfac_options;

#define AT(field) offsetof(ekfac_options, field)

static const pitot_option table[] = {
    { "lr", PITOT_REAL, 1, AT(lr), "0.05", 0, 1e6, NULL, "", "learning rate" },
    { "eps", PITOT_REAL, 1, AT(eps), "0.1", 0, 1e12, NULL, "", "added to the second moments" },
    { "moments", PITOT_CHOICE, 1, AT(moments), "batch", 0, 0, "batch|average", "",
      "of the batch's samples, or of mean gradients over steps" },
    { "alpha", PITOT_REAL, 1, AT(alpha), "0.75", 0, PITOT_BELOW_ONE, NULL, "", "moments=average: share that stays" },
    { "update_freq", PITOT_INT, 1, AT(update_freq), "1", 1, 1e9, NULL, "steps", "between eigenbases" },
    { "T_cov", PITOT_INT, 1, AT(t_cov), "1", 1, 1e9, NULL, "steps", "between updates of factors and the batch's moments" },
    { "stat_decay", PITOT_REAL, 1, AT(stat_decay), "0", 0, PITOT_BELOW_ONE, NULL, "",
      "share of the factors that stays; 0: those of the batch" },
    { "fisher", PITOT_CHOICE, 1, AT(fisher), "empirical", 0, 0, FISHER_NAMES, "", FISHER_HELP },
    { "approx", PITOT_CHOICE, 1, AT(approx), "expand", 0, 0, "expand|reduce", "",
      "for the factors: positions are rows of their own, or are averaged first" },
    { "kl_clip", PITOT_REAL, 1, AT(kl_clip), "0", 0, 1e12, NULL, "", "most that lr^2 <D,G> may be; 0: no limit" },
    { "momentum", PITOT_REAL, 1, AT(momentum), "0", 0, 1e6, NULL, "", "share of the buffer that stays" },
    { "weight_decay", PITOT_REAL, 1, AT(weight_decay), "0", 0, 1e6, NULL, "", "times x is added to the direction" },
    { "max_dim", PITOT_INT, 1, AT(max_dim), "8192", 0, 32000, NULL, "", "layers with a larger factor take plain steps" },
    { 0 },
};

static kronecker plan(const void *options) {
    const ekfac_options *o = options;
    return (kronecker){ .purpose = "ekfac",
                        .lr = o->lr,
                        .momentum = o->momentum,
                        .weight_decay = o->weight_decay,
                        .damping = o->eps,
                        .stat_decay = o->stat_decay,
                        .moment_decay = o->alpha,
                        .kl_clip = o->kl_clip,
                        .t_cov = o->t_cov,
                        .t_inv = o->update_freq,
                        .fisher = o->fisher,
                        .form = o->moments ? KRONECKER_AVERAGE : KRONECKER_BATCH,
                        .reduce = o->approx,
                        .max_dim = o->max_dim };
}

static uint32_t wants(const void *options) {
    return fisher_wants(((const ekfac_options *)options)->fisher);
}

static int32_t layout(pitot_layout *l, pitot_error *error) {
    kronecker k = plan(l->options);
    return kronecker_layout(&k, l, error);
}

static int32_t step(pitot_stepping *s) {
    kronecker k = plan(s->options);
    return kronecker_step(&k, s);
}

static int32_t view(const pitot_stepping *s, int64_t i, int32_t f, pitot_preconditioner *v) {
    kronecker k = plan(s->options);
    return kronecker_view(&k, s, i, f, v);
}

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
    .cost = "N (rows + columns)^2 for factors and moments; 4 rows columns (rows + columns); 10 (rows^3 + columns^3) in update_freq "
            "steps",
    .options_size = sizeof(ekfac_options),
    .options = table,
    .wants = wants,
    .layout = layout,
    .step = step,
    .view = view,
};
