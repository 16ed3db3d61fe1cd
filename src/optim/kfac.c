/* kfac.c: Martens, Grosse 2015 (arXiv 1503.05671) for linear layers, Grosse, Martens 2016 (arXiv 1602.01407) for convolutions, with fixed
   damping, momentum and length as in the implementations in use (Pauloski et al. 2021, arXiv 2107.01739), or with theirs, step=model:
   core/kronecker_model.c. */

#include "optim/core/kronecker.h"

#define AT(field) offsetof(kronecker, field)

static const pitot_option table[] = {
    { "lr", PITOT_REAL, 1, AT(lr), "0.1", 0, 1e6, NULL, "",
      "learning rate; with step=model a factor of the step, which is made for 1" },
    { "damping", PITOT_REAL, 1, AT(damping), "0.001", 0, 1e12, NULL, "", "l: added to the curvature" },
    { "damping_form", PITOT_CHOICE, 1, AT(form), "pi", 0, 0, "pi|eigen|each", "",
      "l in shares to both factors, to the products of their eigenvalues, or whole to each factor" },
    { "fisher", PITOT_CHOICE, 1, AT(fisher), "drawn", 0, 0, FISHER_NAMES, "", FISHER_HELP },
    { "approx", PITOT_CHOICE, 1, AT(reduce), "expand", 0, 0, "expand|reduce", "",
      "positions are rows of their own, or are averaged first" },
    { "stat_decay", PITOT_REAL, 1, AT(stat_decay), "0.95", 0, PITOT_BELOW_ONE, NULL, "", "share of the factors that stays" },
    { "start", PITOT_CHOICE, 1, AT(start), "batch", 0, 0, "batch|identity", "",
      "factors begin as plain averages over the first steps, or as identities" },
    { "T_cov", PITOT_INT, 1, AT(t_cov), "1", 1, 1e9, NULL, "steps", "between updates of the factors" },
    { "T_inv", PITOT_INT, 1, AT(t_inv), "20", 1, 1e9, NULL, "steps", "between inverses" },
    { "T_first", PITOT_INT, 1, AT(t_first), "3", 0, 1e9, NULL, "steps", "at the start, each with inverses of its own" },
    { "kl_clip", PITOT_REAL, 1, AT(kl_clip), "0.001", 0, 1e12, NULL, "", "most that lr^2 <D,G> may be; 0: no limit" },
    { "momentum", PITOT_REAL, 1, AT(momentum), "0.9", 0, 1e6, NULL, "", "share of the buffer that stays" },
    { "weight_decay", PITOT_REAL, 1, AT(weight_decay), "0", 0, 1e6, NULL, "", "times x is added to the direction" },
    { "gradients", PITOT_CHOICE, 1, AT(mean), "own", 0, 0, "own|mean", "",
      "S of the samples' own gradients, or of what they add to the mean loss's" },
    { "precision", PITOT_CHOICE, 1, AT(bf16), "real", 0, 0, "real|bf16", "", "bf16: factors and inverses are rounded to it" },
    { "bias", PITOT_CHOICE, 1, AT(apart), "joint", 0, 0, "joint|apart", "",
      "a column of A (of ones), or apart: its gradient meets S alone, as in ASDL" },
    { "keep_damping", PITOT_BOOL, 1, AT(keep), "false", 0, 0, NULL, "",
      "what is added for an inverse stays in the averages, as in the eva package" },
    { "step", PITOT_CHOICE, 1, AT(model), "fixed", 0, 0, "fixed|model", "",
      "by lr, momentum and kl_clip; or of the length, and with the share of the step before if momentum is not 0, that minimise a "
      "quadratic model of the loss" },
    { "adapt_damping", PITOT_CHOICE, 1, AT(adapt), "none", 0, 0, "none|lambda|gamma", "",
      "step=model: damping by how well the model foretold the loss; gamma: the factors' own too" },
    { "T_damping", PITOT_INT, 1, AT(t_damping), "5", 1, 1e9, NULL, "steps", "between such changes of damping" },
    { "T_gamma", PITOT_INT, 1, AT(t_gamma), "20", 1, 1e9, NULL, "steps", "between such changes of the factors'" },
    { "max_dim", PITOT_INT, 1, AT(max_dim), "8192", 0, 32000, NULL, "", "layers with a larger factor take plain steps" },
    { "overlap", PITOT_INT, 1, AT(overlap), "0", 0, 1e9, NULL, "steps", OVERLAP_HELP },
    { 0 },
};

static int32_t check(const void *options, pitot_error *error) {
    const kronecker *k = options;
    if (k->adapt && !k->model)
        return pitot_fail(error, PITOT_EINVAL, "optimizer kfac: adapt_damping goes with step=model; set that, too");
    if ((k->apart || k->keep) && k->form == KRONECKER_EIGEN)
        return pitot_fail(error, PITOT_EINVAL,
                          "optimizer kfac: bias=apart and keep_damping go with inverses; set damping_form=pi or each");
    if (k->keep && k->adapt == KRONECKER_ADAPT_GAMMA)
        return pitot_fail(
            error, PITOT_EINVAL,
            "optimizer kfac: keep_damping would keep each damping that adapt_damping=gamma tries; set one of them alone");
    if ((k->keep || k->adapt == KRONECKER_ADAPT_GAMMA) && k->overlap > 0)
        return pitot_fail(error, PITOT_EINVAL,
                          "optimizer kfac: keep_damping and adapt_damping=gamma need inverses within their step; set overlap=0");
    return PITOT_OK;
}

const pitot_optimizer pitot_optimizer_kfac = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .needs = PITOT_WANTS_LAYERS,
    .name = "kfac",
    .summary = "natural gradient with a Kronecker product for each layer's Fisher information",
    .paper = "Martens, Grosse 2015, arXiv 1503.05671; convolutions: Grosse, Martens 2016, arXiv 1602.01407",
    .formula = "A = mean aa', S = mean gg' (averages over steps); D = (S + sqrt(l)/pi I)^-1 G (A + pi sqrt(l) I)^-1; "
               "b = momentum b + nu D + wd x; x -= lr b; nu = min(1, sqrt(kl_clip / (lr^2 <D,G>)))",
    .memory = "a layer (rows, columns): 2 (rows^2 + columns^2), and D values with momentum",
    .tensors = "linear layers, and convolutions group by group, weight with bias; all else, and what is larger than max_dim or "
               "used twice: SGD with the same lr, momentum and decay",
    .cost =
        "a backward pass of drawn labels; N (rows^2 + columns^2) and 2 rows columns (rows + columns); rows^3 + columns^3 in T_inv "
        "steps; step=model: one or two products with the Gauss-Newton matrix, 5 D values of work space",
    .options_size = sizeof(kronecker),
    .options = table,
    .check = check,
    .wants = kronecker_wants,
    .layout = kronecker_layout,
    .begin = kronecker_begin,
    .step = kronecker_step,
    .view = kronecker_view,
};
