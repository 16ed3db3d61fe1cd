/* moment.h: the preconditioner of methods that divide by the root of a bias-corrected average of g^2: P = sqrt(v/(1-beta2^t)) + eps. */

#ifndef PITOT_SRC_MOMENT_H
#define PITOT_SRC_MOMENT_H

#include "pitot/optim.h"

#include <math.h>

/* A method's `view`, from where v stands. PITOT_EINVAL: k > 0. */
static inline int32_t moment_view(const pitot_tensor_state *t, int32_t k, const pitot_real *v, double beta2, double eps,
                                  pitot_preconditioner *view) {
    if (k > 0) return PITOT_EINVAL;
    view->axis = -1;
    view->n = t->size;
    view->factor = v;
    view->power = -0.5;
    view->eps = eps;
    view->bias_correction = 1 / (1 - pow(beta2, (double)t->t));
    return PITOT_OK;
}

#endif
