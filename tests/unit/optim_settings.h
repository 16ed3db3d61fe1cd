/* optim_settings.h: every optimizer and every wrapper by name, and methods on matrices with options under which what they keep is renewed only now
   and then. */

#ifndef PITOT_TESTS_OPTIM_SETTINGS_H
#define PITOT_TESTS_OPTIM_SETTINGS_H

#include "method_cases.h"
#include "pitot/optim.h"

/* ---- every name, with options that make it move ---- */

typedef void check_function(const char *name, const char *const *set);

static inline void for_each(check_function *check) {
    char name[96];
    for (const pitot_optimizer *const *m = pitot_optimizers(); *m; m++) check((*m)->name, NULL);
    for (const pitot_optimizer *const *w = pitot_wrappers(); *w; w++) {
        snprintf(name, sizeof name, "sgd+%s", (*w)->name);
        check(name, (const char *const[]){ "lr", "0.1", "momentum", "0.9", NULL });
    }
}

/* The state between holds something stale. Batches smaller than layers have inputs, and outputs' gradients that add up to 0: without damping there
   are factors that lack rank. */
typedef struct setting {
    const char *name, *set[17];
} setting;

static const setting settings[] = {
    { "shampoo", { "precondition_frequency", "2", "grafting", "adam", "betas", "0.9,0.99", "momentum", "0.9" } },
    { "shampoo", { "precondition_frequency", "4", "start_preconditioning_step", "1", "max_preconditioner_dim", "4" } },
    { "shampoo", { "epsilon", "0", "max_preconditioner_dim", "5" } },
    { "shampoo", { "epsilon", "0", "exponent", "1" } },
    { "shampoo", { "precondition_frequency", "2", "root", "newton", "relative_epsilon", "true", "statistics", "kl" } },
    { "shampoo", { "scalable", "true", "grafting", "sgd", "momentum", "0.9", "nesterov", "true", "precondition_frequency", "2" } },
    { "shampoo", { "statistics", "sequential", "factor_init", "1", "merge_dims", "true", "max_preconditioner_dim", "20" } },
    { "shampoo", { "root", "newton", "epsilon", "0", "precondition_1d", "false" } },
    { "eshampoo", { "precondition_frequency", "2", "max_preconditioner_dim", "4" } },
    { "eshampoo", { "precondition_frequency", "4", "basis", "eigh" } },
    { "eshampoo", { "epsilon", "0", "tolerance", "0", "max_iterations", "1" } },
    { "soap", { "precondition_frequency", "2", "precondition_1d", "true" } },
    { "soap", { "precondition_frequency", "4", "max_precond_dim", "5", "normalize_grads", "true" } },
    { "soap", { "precondition_frequency", "1" } },
    { "soap", { "eps", "0" } },
    { "soap", { "precondition_frequency", "2", "merge_dims", "true", "max_precond_dim", "40", "count_first", "true" } },
    { "psgd_kron", { "preconditioner_update_probability", "0.5", "momentum", "0.9", "whiten_grad", "false" } },
    { "psgd_kron", { "dq", "qeq", "update_preconditioner_first", "false", "damping", "0" } },
    { "psgd_kron", { "dq", "eq", "preconditioner_max_size", "5" } },
    { "kfac", { "T_inv", "2", "T_cov", "2", "T_first", "1" } },
    { "kfac", { "T_inv", "4", "T_first", "0", "damping_form", "eigen", "start", "identity", "precision", "bf16" } },
    { "kfac", { "T_inv", "2", "T_first", "0", "damping_form", "each", "fisher", "exact", "approx", "reduce" } },
    { "kfac", { "damping", "0" } },
    { "kfac",
      { "step", "model", "adapt_damping", "gamma", "T_damping", "2", "T_gamma", "2", "T_inv", "2", "weight_decay", "0.01" } },
    { "kfac", { "step", "model", "damping_form", "eigen", "momentum", "0" } },
    { "kfac", { "bias", "apart", "keep_damping", "true", "T_inv", "2" } },
    { "kfac", { "damping", "0", "damping_form", "each", "fisher", "empirical" } },
    { "kfac", { "damping", "0", "damping_form", "eigen" } },
    { "ekfac", { "update_freq", "2", "stat_decay", "0.9", "momentum", "0.9" } },
    { "ekfac", { "update_freq", "4", "T_cov", "2", "moments", "average", "fisher", "drawn" } },
    { "ekfac", { "eps", "0", "kl_clip", "0.001" } },
    { "ekfac", { "eps", "0", "kl_clip", "0.001", "moments", "average" } },
    { "singd", { "T", "2", "precision", "bf16" } },
    { "singd", { "T", "4", "structure", "hierarchical", "top", "2", "bottom", "1", "approx", "reduce" } },
    { "singd", { "T", "2", "structure", "tril_toeplitz", "structure_c", "diagonal", "fisher", "exact" } },
    { "singd", { "T", "2", "structure", "diagonal", "damping", "0" } },
    { "singd", { "T", "1", "damping", "0", "kfac_like", "true" } },
    { "adahessian", { "every", "3" } },
    { "sophia", { "estimator", "hutchinson", "every", "2" } },
    { "muon", { "aux", "ends", "nesterov", "false" } },
    { "lbfgs", { "history_size", "2" } },
    { "lbfgs", { "line_search", "none", "lr", "0.1" } },
    { "hessian_free", { "damping", "0", "max_iterations", "5" } },
    { "hessian_free", { "data", "true", "precondition", "false", "max_iterations", "5" } },
    { "kfac+accumulate", { "T_inv", "2", "T_first", "0", "accumulate.every", "2" } },
    { "soap+sam+average", { "precondition_frequency", "2" } },
    /* decompositions beside the steps, one of them on its way at any time */
    { "shampoo", { "overlap", "2", "max_preconditioner_dim", "4" } },
    { "eshampoo", { "overlap", "3" } },
    { "eshampoo", { "overlap", "1", "basis", "eigh", "max_preconditioner_dim", "4" } },
    { "soap", { "precondition_frequency", "1", "overlap", "2", "precondition_1d", "true" } },
    { "kfac", { "T_inv", "1", "T_first", "0", "overlap", "2" } },
    { "kfac", { "T_inv", "2", "T_first", "1", "overlap", "1", "damping_form", "eigen" } },
    { "ekfac", { "overlap", "2" } },
    { "ekfac", { "overlap", "1", "update_freq", "2", "moments", "average", "fisher", "drawn" } },
    { "kfac+accumulate", { "T_inv", "1", "T_first", "0", "overlap", "1", "accumulate.every", "2" } },
    { "kfac", { "T_inv", "2", "T_first", "0", "overlap", "1", "step", "model", "adapt_damping", "lambda", "T_damping", "2" } },
    { "kfac", { "T_inv", "1", "T_first", "0", "overlap", "2", "step", "model", "damping_form", "eigen", "weight_decay", "0.01" } },
    { "kfac", { "T_inv", "1", "T_first", "0", "overlap", "2", "bias", "apart" } },
    { "shampoo", { "overlap", "2", "root", "newton", "relative_epsilon", "true", "statistics", "kl" } },
    { "shampoo", { "overlap", "1", "scalable", "true", "momentum", "0.9", "merge_dims", "true", "factor_init", "1" } },
    { "soap",
      { "precondition_frequency", "2", "overlap", "1", "merge_dims", "true", "max_precond_dim", "40", "count_first", "true" } },
};

static inline void check_case(const char *name, const cJSON *one, void *check) {
    set_list options;
    list_options(one, &options);
    (*(check_function **)check)(name, options.set);
}

/* Those above, and those that methods bring (method_cases.h). */
static inline void for_settings(check_function *check) {
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) check(settings[i].name, settings[i].set);
    method_cases("settings", check_case, &check);
}

#endif
