/* sums.h: how many threads the sums of probe.h use when called from this thread. */

#ifndef PITOT_SRC_SUMS_H
#define PITOT_SRC_SUMS_H

void sums_set_threads(int threads);

#endif
