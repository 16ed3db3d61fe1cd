/* difference.h: products with the Hessian where only gradients are to be had, by central differences

       H v = |v| (g(theta + h u) - g(theta - h u)) / (2 h),    u = v / |v|,

   off by a term in h^2 and by the gradients' round-off over h. The step h is where two sizes agree best: products with h and h/2 are
   compared, h moves by factors of 4. It is looked for at the first product, kept, and looked at again at the first product of each
   later point. The disagreement, relative to the product, is what op.error states. */

#ifndef PITOT_SRC_DIFFERENCE_H
#define PITOT_SRC_DIFFERENCE_H

#include "pitot/linop.h"

/* g (n) = gradient at theta + h * direction; direction (n) has length 1, or h is 0. 0 or a status. */
typedef int32_t (*difference_gradient)(void *self, const pitot_real *direction, double h, pitot_real *g);

enum { DIFFERENCE_VECTORS = 3 };

typedef struct difference {
    pitot_linop op; /* the Hessian; its self is this struct, which must stay where it is */
    difference_gradient gradient;
    void *self;
    pitot_real *work;    /* (DIFFERENCE_VECTORS, n) */
    double step;         /* h; 0: not yet known */
    double best;         /* disagreement when it was last looked for; up to 4 times that, it is kept */
    double norm;         /* |theta| */
    int64_t evaluations; /* of the gradient, in all */
    int32_t is_checked;  /* the step, at this point */
    int32_t reserved;
} difference;

/* `norm`: |theta|, from which the first h follows. Cost of a product: 2 gradients; of the first one up to 42, of the first one at
   a later point mostly 4. */
void difference_init(difference *d, difference_gradient gradient, void *self, int64_t n, double norm, pitot_real *work);
/* theta has changed. */
void difference_moved(difference *d, double norm);

#endif
