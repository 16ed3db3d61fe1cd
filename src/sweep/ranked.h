/* ranked.h: values of a vector by falling magnitude, so that those whose product with a factor passes a bound come first. */

#ifndef PITOT_SRC_RANKED_H
#define PITOT_SRC_RANKED_H

#include "pitot/base.h"

typedef struct ranked {
    pitot_real v;
    int32_t j; /* its place in the vector */
} ranked;

/* out (at least d+1) = the x (d) with fl(|x|*factor) >= bound > 0, a 0 behind the last. Returns how many. scratch (d+1). x and factor
   are finite. */
int64_t rank_values(const pitot_real *x, int64_t d, pitot_real factor, pitot_real bound, ranked *out, ranked *scratch);

/* out (at least d) = the same x in the order of the vector. */
int64_t select_values(const pitot_real *x, int64_t d, pitot_real factor, pitot_real bound, pitot_real *out);

typedef struct ladder { /* for counting how many products pass a bound */
    int64_t n;
    pitot_real *magnitude; /* (n+2): of the ranked values; infinity in front, 0 behind */
    int32_t *positive;     /* (n+1): how many of the first k values are positive */
    int32_t *start;        /* (LADDER_STEPS+1): how many values lie in steps above this, steps leading down from the largest */
    int32_t steps;
    pitot_real per; /* steps to a unit */
} ladder;

enum { LADDER_STEPS = 1024 };

/* From ranked values, n of them. */
void ladder_make(ladder *l, const ranked *value, int64_t n);
/* How many values v have fl(|f*v|) >= bound, summed over the f (n): those with f*v > 0, or < 0. f becomes those with
   fl(|f|*factor) >= next; returns how many. */
int64_t ladder_count(const ladder *l, int positive, pitot_real bound, pitot_real factor, pitot_real next, pitot_real *f, int64_t n,
                     int64_t *count);

#endif
