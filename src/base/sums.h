/* sums.h: how many threads the sums of probe.h use when called from this thread. */

#ifndef PITOT_SRC_SUMS_H
#define PITOT_SRC_SUMS_H

#include <stdint.h>

enum { SUMS_MOST_THREADS = 64 };

void sums_set_threads(int threads);
/* What a sum over n values uses: 1 where more are not worth it, at most SUMS_MOST_THREADS. For loops of the same kind elsewhere. */
int sums_threads(int64_t n);

#endif
