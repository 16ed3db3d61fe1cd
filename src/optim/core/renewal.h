/* renewal.h: what is made of the factors of all tensors' blocks now and then, roots or bases, in one go and on all threads. */

#ifndef PITOT_SRC_OPTIM_RENEWAL_H
#define PITOT_SRC_OPTIM_RENEWAL_H

#include "optim/core/blocks.h"

typedef struct renewal {
    int64_t most;                                     /* rows and columns of a block */
    int64_t (*bytes)(const void *options, int64_t n); /* of room for a factor (n,n) */
    int (*due)(const void *options, const pitot_tensor_state *t);
    void (*make)(const void *options, pitot_tensor_state *t, const block *k, int side, void *room);
    blocks (*cut)(const void *options, const pitot_tensor_state *t); /* NULL: blocks_of(t, most, 0) */
} renewal;

/* Bytes at the beginning of a step's scratch; -1: no memory to count them. */
int64_t renewal_room(const renewal *r, const pitot_layout *l);
/* `make` for every factor of tensors with a gradient that are due, each on one thread. Overwrites the scratch. */
void renewal_run(const renewal *r, const pitot_stepping *s);

#endif
