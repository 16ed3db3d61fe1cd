/* families.h: which test program has the reference case of which probe (situation.h). */

#ifndef PITOT_TESTS_FAMILIES_H
#define PITOT_TESTS_FAMILIES_H

#include "host.h"

#include <lapacke.h>
#include <string.h>

static const char *const families[][2] = {
    { "grad_variance", "instruments" }, { "hess_max_ev", "instruments" },    { "mean_gsnr", "instruments" },
    { "noise_scale", "instruments" },   { "sample_grad_l2", "instruments" }, { "sum_grad_squared", "instruments" },
};

static inline const char *family_of(const char *probe) {
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (strcmp(families[i][0], probe) == 0) return families[i][1];
    return NULL;
}

#endif
