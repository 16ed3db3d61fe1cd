/* quotient.h: the division that adaptive steps end with. */

#ifndef PITOT_SRC_OPTIM_QUOTIENT_H
#define PITOT_SRC_OPTIM_QUOTIENT_H

#include "pitot/base.h"

#include <math.h>

/* above / below, below >= 0; 0 where below is 0: without eps that is a value which never had a gradient, and it stays. As a division by infinity:
   loops with it vectorise, those with a division that is left out do not. */
static inline __attribute__((always_inline)) pitot_real quotient(pitot_real above, pitot_real below) {
    return above / (below > 0 ? below : (pitot_real)INFINITY);
}

#endif
