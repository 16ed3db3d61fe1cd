/* sample_rows.h: what a `send` makes of every sample's own gradient, one row of D values each: for methods on matrices of all parameters,
   of small nets. */

#ifndef PITOT_SRC_SAMPLE_ROWS_H
#define PITOT_SRC_SAMPLE_ROWS_H

#include "pitot/optim.h"

/* rows (count, D) = gradients of samples first, first + 1, ... of the scale of one sample's loss, from layers as the latest `send` left them;
   samples: of the batch. Parameters of no layer are 0; those of several layers are added up. PITOT_ENOTSUP: a layer of another kind than
   linear, convolution or scale and shift, or laid out otherwise than a pitot_net's. Cost: a backward pass's products, one by one. */
int32_t sample_rows(const pitot_stepping *s, int64_t samples, int64_t first, int64_t count, double *rows);

#endif
