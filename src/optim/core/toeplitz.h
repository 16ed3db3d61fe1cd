/* toeplitz.h: what structure.h says, of triangular Toeplitz matrices: K_{i,i+j} = k_j, j = 0..d-1, or its transpose (lower). */

#ifndef PITOT_SRC_OPTIM_TOEPLITZ_H
#define PITOT_SRC_OPTIM_TOEPLITZ_H

#include "pitot/base.h"

/* y = x K; for K' of an upper one, ask for a lower one. room: toeplitz_room values */
int64_t toeplitz_room(int64_t d);
void toeplitz_rows(int64_t d, const pitot_real *k, int lower, const pitot_real *x, int64_t n, pitot_real *y, pitot_real *room);
void toeplitz_gram(int64_t d, const pitot_real *x, int64_t n, double scale, int add, pitot_real *out);
void toeplitz_square(int64_t d, const pitot_real *k, pitot_real *out);
void toeplitz_product(int64_t d, const pitot_real *k, const pitot_real *m, pitot_real *out);

#endif
