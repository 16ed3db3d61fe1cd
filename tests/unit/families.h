/* families.h: which test program has the reference case of which probe (situation.h). */

#ifndef PITOT_TESTS_FAMILIES_H
#define PITOT_TESTS_FAMILIES_H

#include "host.h"

#include <lapacke.h>
#include <string.h>

static const char *const families[][2] = {
    { "alpha", "cockpit" },
    { "cabs", "cockpit" },
    { "diag_ggn", "cockpit" },
    { "diag_ggn_mc", "cockpit" },
    { "diag_hessian", "cockpit" },
    { "early_stopping", "cockpit" },
    { "grad_hist_1d", "cockpit" },
    { "grad_hist_2d", "cockpit" },
    { "hess_trace", "cockpit" },
    { "hesscale", "cockpit" },
    { "inner_test", "cockpit" },
    { "norm_test", "cockpit" },
    { "ortho_test", "cockpit" },
    { "sample_diag_ggn", "cockpit" },
    { "sample_diag_hessian", "cockpit" },
    { "sample_dots", "cockpit" },
    { "sample_grad", "cockpit" },
    { "tic_diag", "cockpit" },
    { "tic_trace", "cockpit" },
    { "batch_efficiency", "samples" },
    { "curvature_noise", "samples" },
    { "el2n", "samples" },
    { "fisher_trace", "samples" },
    { "gradient_confusion", "samples" },
    { "gradient_diversity", "samples" },
    { "grand", "samples" },
    { "m_coherence", "samples" },
    { "stiffness", "samples" },
    { "grad_variance", "instruments" },
    { "hess_max_ev", "instruments" },
    { "mean_gsnr", "instruments" },
    { "noise_scale", "instruments" },
    { "sample_grad_l2", "instruments" },
    { "sum_grad_squared", "instruments" },
    { "batch_sharpness", "sharpness" },
    { "critical_step", "sharpness" },
    { "ggn_spectrum", "sharpness" },
    { "directional_sharpness", "sharpness" },
    { "hess_spectrum", "sharpness" },
    { "reduction_ratio", "sharpness" },
    { "sharpness", "sharpness" },
    { "tiny_subspace", "sharpness" },
    { "dormant_units", "structure" },
    { "feature_rank", "structure" },
    { "precond_staleness", "stale" },
};

static inline const char *family_of(const char *probe) {
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (strcmp(families[i][0], probe) == 0) return families[i][1];
    return NULL;
}

#endif
