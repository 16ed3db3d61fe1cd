/* hutchinson.h: products of the Hessian with drawn directions, whose values times the direction's are in the mean the diagonal of H
   (Hutchinson 1989; Bekas, Kokiopoulou, Saad 2007). */

#ifndef PITOT_SRC_HUTCHINSON_H
#define PITOT_SRC_HUTCHINSON_H

#include "pitot/optim.h"

/* v (D): signs, or standard normal; a function of (seed, t, name). hv (D) = H v. PITOT_EHOST: not finite. Statuses of the source. */
int32_t hutchinson_signs(const pitot_stepping *s, const char *name, pitot_real *v, pitot_real *hv);
int32_t hutchinson_normal(const pitot_stepping *s, const char *name, pitot_real *v, pitot_real *hv);

#endif
