/* check.h: a product made once more, before a solver relies on its operator. */

#ifndef PITOT_SRC_CURVE_CHECK_H
#define PITOT_SRC_CURVE_CHECK_H

#include "pitot/linop.h"

/* 1: nobody knows yet whether op gives one vector the same product every time. Of a struct from before `checked` nobody does. */
int check_is_due(const pitot_linop *op);

/* y (n) = Op x has just been made, by a call with k vectors. If the check is due: with k = 1, Op x once more; else, as bits may depend
   on what goes by one call, twice by itself. room: n values, 2 n if k > 1; NULL: allocated for the moment. *products: those made here
   are added. PITOT_EMISMATCH: the two differ, and the message says in what; PITOT_EHOST: so, and one is not finite; PITOT_ENOMEM; a
   status of the operator. */
int32_t check_repeat(const pitot_linop *op, const pitot_real *x, const pitot_real *y, int64_t k, pitot_real *room,
                     int64_t *products, pitot_error *error);

#endif
