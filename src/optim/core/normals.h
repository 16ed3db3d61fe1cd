/* normals.h: many normal numbers at once. */

#ifndef PITOT_SRC_NORMALS_H
#define PITOT_SRC_NORMALS_H

#include "pitot/base.h"

enum { NORMALS_BLOCK = 256 /* numbers that are made together */ };

/* out (n): standard normal numbers of the stream (seed, purpose, step), from block `index` on, of which they take n / NORMALS_BLOCK, rounded up. To
   single precision, at most 6 from 0; the same bits on any number of threads and any processor. */
void normals(uint64_t seed, uint64_t purpose, uint64_t step, uint64_t index, int threads, int64_t n, pitot_real *out);

#endif
