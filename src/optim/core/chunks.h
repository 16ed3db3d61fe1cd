/* chunks.h: sums over a tensor inside element-wise passes: each chunk leaves its own, and they are added in order, so that the bits do not
   depend on threads. */

#ifndef PITOT_SRC_CHUNKS_H
#define PITOT_SRC_CHUNKS_H

#include "optim/core/optimizer.h"

enum { CHUNK_SUMS = 2, CHUNK_LANES = 16 };

/* Doubles that the sums of a tensor of at most `size` values take; a multiple of 8. */
static inline int64_t chunks_room(int64_t size) {
    return ((size + OPTIM_CHUNK - 1) / OPTIM_CHUNK * CHUNK_SUMS + 7) / 8 * 8;
}

/* In an update: where this range's sums go. */
static inline double *chunks_at(double *sums, const pitot_update *u) {
    return sums + u->begin / OPTIM_CHUNK * CHUNK_SUMS;
}

/* Those of a tensor of `size` values, added to `total`. */
static inline void chunks_add(const double *sums, int64_t size, double total[CHUNK_SUMS]) {
    for (int64_t c = 0; c < (size + OPTIM_CHUNK - 1) / OPTIM_CHUNK; c++)
        for (int k = 0; k < CHUNK_SUMS; k++) total[k] += sums[c * CHUNK_SUMS + k];
}

/* Calls `pass` chunk by chunk, for all of tensor i; it looks at gradients as careful updates do. 0: some are not finite. */
int chunks_measure(const pitot_stepping *s, int64_t i, void (*pass)(const pitot_update *u), const void *step);

/* Sum of v (n), in PITOT_HOT functions. */
static inline __attribute__((always_inline)) double chunks_total(const pitot_real *v, int64_t n) {
    double lane[CHUNK_LANES] = { 0 };
    int64_t i = 0;
    for (; i + CHUNK_LANES <= n; i += CHUNK_LANES)
        for (int64_t j = 0; j < CHUNK_LANES; j++) lane[j] += (double)v[i + j];
    for (; i < n; i++) lane[0] += (double)v[i];
    for (int64_t half = CHUNK_LANES / 2; half; half /= 2)
        for (int64_t j = 0; j < half; j++) lane[j] += lane[j + half];
    return lane[0];
}

#endif
