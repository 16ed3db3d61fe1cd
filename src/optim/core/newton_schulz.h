/* newton_schulz.h: nearly the orthogonal polar factor U V' of a matrix U S V', by products alone. */

#ifndef PITOT_SRC_NEWTON_SCHULZ_H
#define PITOT_SRC_NEWTON_SCHULZ_H

#include "pitot/base.h"

/* X (rows, cols), without gaps, over its Frobenius norm + eps, goes `steps` times through aX + bXX'X + cX(X'X)^2 with
   (a, b, c) = (3.4445, -4.7750, 2.0315): singular values end in about [0.7, 1.2] (Jordan et al. 2024). Of X'X and XX' the smaller one is formed.
   Returns X or work, wherever the result is. work: newton_schulz_work(rows, cols) values. A zero matrix stays zero. */
pitot_real *newton_schulz(int64_t rows, int64_t cols, int steps, double eps, pitot_real *x, pitot_real *work);
int64_t newton_schulz_work(int64_t rows, int64_t cols);

#endif
