/* overlap.h: decompositions beside the training. One thread makes pieces of work, one after the other and each without other threads, from copies
   of its own, while steps go on. What it has made is taken at a step that is fixed beforehand, never when it happens to be there: nothing depends
   on how long it takes. The thread is waited for before state is read, written or freed. */

#ifndef PITOT_SRC_OPTIM_OVERLAP_H
#define PITOT_SRC_OPTIM_OVERLAP_H

#include "optim/core/pieces.h"
#include "pitot/optim.h"

#define OVERLAP_HELP                                                                                                             \
    "0: decompositions are made within their step; else beside the steps, and used from so many later on: pays where a core is " \
    "idle alone"

enum { OVERLAP_MADE, OVERLAP_BEGUN, OVERLAP_NUMBERS }; /* the run's slot: how often decomposed; in which step one has begun, or 0 */

typedef struct overlap {
    pitot_stepping s; /* as it was, with tensors of its own, whose state may stand elsewhere */
    piece *piece;     /* (most) */
    int64_t most;
    void *scratch, *copies, *work; /* for s; what was copied; of the piece that is made */
    const void *with;              /* the method's */
} overlap;

/* The run's only slot, if steps are to overlap. */
void overlap_slot(pitot_layout *l, int64_t steps);
/* For `begin`: room for `most` pieces, the largest of `work` bytes, and bytes of its own of `scratch` and of copies. Where there is no memory
   for it, preparing the optimizer fails. */
void overlap_prepare(const pitot_stepping *s, int64_t most, int64_t work, int64_t scratch, int64_t copies);
/* What was prepared; its s is as `s` is now, and nobody works on it. */
overlap *overlap_open(const pitot_stepping *s);
/* make(job, piece, room) for the first n of o->piece, from now on. Where there is no thread to be had, at once. */
void overlap_start(overlap *o, int64_t n, void (*make)(void *job, const piece *p, void *room), void *job);
/* Returns when nothing is being made. */
void overlap_wait(const pitot_stepping *s);

/* Of a step, with `numbers` the run's slot: whether what has begun is to be taken now, `steps` later or, if others are `due`, earlier. */
int overlap_ends(const double *numbers, int64_t t, int64_t steps, int due);

#endif
