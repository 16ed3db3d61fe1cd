/* axis.h: one axis of a histogram, its edges in the units of what is counted. A value is fl(scale*x), x a pitot_real; rounding keeps
   order, so that each edge has a least x at or beyond it. Bins are told by comparing x with those, exactly as by comparing the value
   with the edges. A negative scale reverses the order of the bins. */

#ifndef PITOT_SRC_AXIS_H
#define PITOT_SRC_AXIS_H

#include "sweep/parts.h"

typedef struct axis {
    int64_t bins, zero; /* zero: the bin of 0 */
    int reversed;       /* bin k here is bins-1-k of the histogram */
    int guesses;        /* a guess by arithmetic is right or one too low; tried at every edge */
    pitot_real first, per, last;
    pitot_real *from;   /* (bins+1): x lies in bin k or beyond iff x >= from[k], 0 < k < bins; the first and the last are NaN */
    pitot_real *beyond; /* (bins+1): the same by magnitude: x >= from[k] iff |x| >= beyond[k], for k > zero and x > 0;
                           x < from[k] iff |x| >= beyond[k], for k <= zero and x < 0. Positive */
} axis;

void axis_lay_out(axis *a, int64_t bins, arena *room);
/* edges (bins+1) as in sweep_histogram; scale finite, not 0. */
void axis_make(axis *a, const double *edges, double scale);
/* By bisection. */
int64_t axis_search(const axis *a, pitot_real x);

static inline int32_t axis_guess(const axis *a, pitot_real x) {
    pitot_real y = (x - a->first) * a->per;
    y = y > 0 ? y : 0;
    return (int32_t)(y < a->last ? y : a->last);
}

/* The bin of x, which is not NaN; outliers belong to the first and the last. */
static inline int64_t axis_bin(const axis *a, pitot_real x) {
    if (!a->guesses) return axis_search(a, x);
    int32_t k = axis_guess(a, x);
    return k + (x >= a->from[k + 1]);
}

#endif
