/* flat.h: all tensors as one vector of D values, for methods that see nothing else. Tensors without a gradient in a step are 0 in it. */

#ifndef PITOT_SRC_FLAT_H
#define PITOT_SRC_FLAT_H

#include "pitot/optim.h"

void flat_gradient(const pitot_stepping *s, pitot_real *g);
void flat_parameters(const pitot_stepping *s, pitot_real *x);
/* The parameters become `from` + by d; d NULL: `from`, bit for bit. Tensors without a gradient stay. */
void flat_move(const pitot_stepping *s, const pitot_real *from, double by, const pitot_real *d);

/* x'y in double, with the same bits on any number of threads. */
double flat_dot(const pitot_real *x, const pitot_real *y, int64_t n);
/* y += by x; y = by y + x */
void flat_add(pitot_real *y, double by, const pitot_real *x, int64_t n);
void flat_scale_add(pitot_real *y, double by, const pitot_real *x, int64_t n);

/* The loss as the batch's last pass left it, or of a pass where the source does not tell. */
int32_t flat_loss(const pitot_stepping *s, double *loss);

#endif
