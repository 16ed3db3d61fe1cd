/* moment.h: the preconditioner of methods that divide value by value, as their `view` shows it. */

#ifndef PITOT_SRC_MOMENT_H
#define PITOT_SRC_MOMENT_H

#include "pitot/optim.h"

#include <math.h>

/* P = (correction v)^-power + eps, v (size). PITOT_EINVAL: k > 0. */
static inline int32_t diagonal_view(const pitot_tensor_state *t, int32_t k, const pitot_real *v, double power, double correction,
                                    double eps, pitot_preconditioner *view) {
    if (k > 0) return PITOT_EINVAL;
    view->axis = -1;
    view->n = t->size;
    view->factor = v;
    view->power = power;
    view->eps = eps;
    view->bias_correction = correction;
    return PITOT_OK;
}

/* P = sqrt(v/(1-beta2^t)) + eps: of an average of squares, corrected for its bias. */
static inline int32_t moment_view(const pitot_tensor_state *t, int32_t k, const pitot_real *v, double beta2, double eps,
                                  pitot_preconditioner *view) {
    return diagonal_view(t, k, v, -0.5, 1 / (1 - pow(beta2, (double)t->t)), eps, view);
}

#endif
