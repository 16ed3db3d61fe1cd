/* draws.h: random test vectors with independent values of mean 0 and variance 1, by value: any part of any of them can be made again,
   so that none has to be kept. Vector `draw` of a seed and purpose; the same on any number of threads. */

#ifndef PITOT_SRC_DRAWS_H
#define PITOT_SRC_DRAWS_H

#include "pitot/base.h"

/* Values begin to begin + n - 1 of the vector, each -1 or 1. */
void draws_signs_part(pitot_real *y, int64_t begin, int64_t n, uint64_t seed, uint64_t purpose, uint64_t draw);

/* The vector (n): signs, or normal values. */
void draws_signs(pitot_real *y, int64_t n, uint64_t seed, uint64_t purpose, uint64_t draw);
void draws_normal(pitot_real *y, int64_t n, uint64_t seed, uint64_t purpose, uint64_t draw);

#endif
