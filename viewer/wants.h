/* wants.h: what an optimizer or wrapper needs of the training loop, in words. */

#ifndef PITOT_VIEWER_WANTS_H
#define PITOT_VIEWER_WANTS_H

#include "pitot.h"

enum { WANTS_ROOM = 512 };

/* With the options at their defaults: "gradients, products with the Hessian". */
void wants_text(const char *name, int wrapper, char out[WANTS_ROOM]);
/* The k-th value of an option, from 0, with which it needs something else: "estimator=hutchinson" into `setting` and what it then needs into
   `out`. 0: there are no more. */
int wants_with(const pitot_optimizer *method, int wrapper, int k, char setting[96], char out[WANTS_ROOM]);

#endif
