/* momentum.h: x -= lr b, b = momentum b + by d + weight_decay x, with the direction d where the gradient stands. */

#ifndef PITOT_SRC_OPTIM_MOMENTUM_H
#define PITOT_SRC_OPTIM_MOMENTUM_H

#include "pitot/optim.h"

typedef struct momentum_step {
    double lr, momentum, weight_decay, by;
} momentum_step;

/* For pitot_elementwise, which is given a momentum_step. State 0: the buffer, NULL without momentum. */
void momentum_update(const pitot_update *u);

#endif
