/* cg.h: pitot_cg for who knows more of the operator than it says. */

#ifndef PITOT_SRC_CG_H
#define PITOT_SRC_CG_H

#include "pitot/trace.h"

/* pitot_cg; `sure`: op gives one vector the same product every time, whatever op.checked is. */
int32_t cg_solve(const pitot_linop *op, const pitot_cg_config *settings, int sure, int64_t k, const pitot_real *b, pitot_real *x,
                 pitot_cg_column *columns, pitot_error *error);

#endif
