/* random.h: counter-based random numbers. A number is a function of (seed, purpose, step, index): nobody's draw can shift another's,
   and any of them can be made again. The generator is Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as
   easy as 1, 2, 3"); the known-answer vectors of that paper are in the tests. */

#ifndef PITOT_SRC_RANDOM_H
#define PITOT_SRC_RANDOM_H

#include <stdint.h>

enum { /* purposes of the core; probes use the hash of their name */
       RANDOM_INIT = 1,
       RANDOM_SHUFFLE,
       RANDOM_DROPOUT,
       RANDOM_DATA,
       RANDOM_LANCZOS,
       RANDOM_LABELS
};

/* One block: four 32-bit words from a counter of four and a key of two. */
void random_block(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

uint64_t random_bits(uint64_t seed, uint64_t purpose, uint64_t step, uint64_t index);
double random_uniform(uint64_t seed, uint64_t purpose, uint64_t step, uint64_t index); /* in (0,1), 53 bits */
/* Two standard normal numbers (Box-Muller). */
void random_normal(uint64_t seed, uint64_t purpose, uint64_t step, uint64_t index, double out[2]);
/* A permutation of 0..n-1. */
void random_permutation(uint64_t seed, uint64_t purpose, uint64_t step, int64_t n, int64_t *out);
/* Key of a name, for a stream of its own. */
uint64_t random_purpose(const char *name);

#endif
