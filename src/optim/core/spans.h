/* spans.h: what careful updates (pitot/optim.h) go through: runs of at most SPAN values whose gradient is good: finite, and its square too.

       for (span r = spans_of(u); spans_next(u, &r);)
           for (int64_t i = r.begin; i < r.end; i++) ...

   A run is looked at just before it is used: so short that the processor goes on with what came before it meanwhile, and memory never waits. In
   PITOT_HOT functions. */

#ifndef PITOT_SRC_SPANS_H
#define PITOT_SRC_SPANS_H

#include "pitot/optim.h"

#include <string.h>

enum { SPAN = 256 };

/* Values as integers, so that no compiler option can reason NaN away. An exponent of ones is infinity or NaN. */
#ifdef PITOT_DOUBLE
typedef uint64_t real_bits;
static const real_bits MAGNITUDE = UINT64_MAX >> 1, INFINITE = 0x7ff0000000000000u, TOO_LARGE = 0x5df0000000000000u; /* 2^480 */
#else
typedef uint32_t real_bits;
static const real_bits MAGNITUDE = UINT32_MAX >> 1, INFINITE = 0x7f800000u, TOO_LARGE = 0x5d800000u; /* 2^60 */
#endif

/* Of the largest magnitude: that takes two operations a value. */
static inline __attribute__((always_inline)) real_bits largest_run(const pitot_real *x, int64_t n) {
    real_bits most = 0, bits;
    for (int64_t i = 0; i < n; i++) {
        memcpy(&bits, x + i, sizeof bits);
        bits &= MAGNITUDE;
        most = bits > most ? bits : most;
    }
    return most;
}

/* Whether squares, and sums of 256 of them, stay in the range of pitot_real: an average of squares that has left it never comes back. */
static inline __attribute__((always_inline)) int good_run(const pitot_real *x, int64_t n) {
    return largest_run(x, n) < TOO_LARGE;
}

typedef struct span {
    int64_t begin, end;
} span;

static inline span spans_of(const pitot_update *u) {
    return (span){ u->begin, u->begin };
}

/* The next run; 0: there are no more. */
static inline __attribute__((always_inline)) int spans_next(const pitot_update *u, span *s) {
    while (s->end < u->end) {
        s->begin = s->end;
        s->end = s->begin + SPAN < u->end ? s->begin + SPAN : u->end;
        if (good_run(u->g + s->begin, s->end - s->begin)) return 1;
        __atomic_add_fetch(u->left, s->end - s->begin, __ATOMIC_RELAXED);
    }
    return 0;
}

#endif
