/* spans.h: what careful updates (pitot/optim.h) go through: runs of at most SPAN values whose gradient is finite.

       for (span r = spans_of(u); spans_next(u, &r);)
           for (int64_t i = r.begin; i < r.end; i++) ...

   A run is looked at just before it is used: so short that the processor goes on with what came before it meanwhile, and memory never waits. In
   PITOT_HOT functions. */

#ifndef PITOT_SRC_SPANS_H
#define PITOT_SRC_SPANS_H

#include "pitot/optim.h"

#include <string.h>

enum { SPAN = 256 };

/* An exponent of ones is infinity or NaN; as integers, so that no compiler option can reason it away. The largest, for it takes two operations. */
static inline __attribute__((always_inline)) int finite_run(const pitot_real *x, int64_t n) {
#ifdef PITOT_DOUBLE
    uint64_t most = 0, bits;
    const uint64_t magnitude = UINT64_MAX >> 1, infinity = 0x7ff0000000000000u;
#else
    uint32_t most = 0, bits;
    const uint32_t magnitude = UINT32_MAX >> 1, infinity = 0x7f800000u;
#endif
    for (int64_t i = 0; i < n; i++) {
        memcpy(&bits, x + i, sizeof bits);
        bits &= magnitude;
        most = bits > most ? bits : most;
    }
    return most < infinity;
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
        if (finite_run(u->g + s->begin, s->end - s->begin)) return 1;
        __atomic_add_fetch(u->left, s->end - s->begin, __ATOMIC_RELAXED);
    }
    return 0;
}

#endif
