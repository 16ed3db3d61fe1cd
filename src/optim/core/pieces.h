/* pieces.h: pieces of work of very different sizes side by side: each on one thread, as is BLAS within it, the largest first. What a piece makes
   does not depend on the thread that makes it. */

#ifndef PITOT_SRC_OPTIM_PIECES_H
#define PITOT_SRC_OPTIM_PIECES_H

#include <stdint.h>

typedef struct piece {
    int64_t bytes; /* of room while it is made; those that take more take longer */
    int64_t i, k;  /* the caller's */
} piece;

/* Sorts p (n), the largest first. Returns the bytes of room that pieces_run takes. */
int64_t pieces_sort(piece *p, int64_t n, int threads);
/* make(job, piece, room) for all of sorted p (n), in `room`, aligned to 64. Allocates nothing. */
void pieces_run(const piece *p, int64_t n, int threads, void *room, void (*make)(void *job, const piece *p, void *room), void *job);

#endif
