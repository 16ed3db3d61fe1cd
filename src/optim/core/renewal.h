/* renewal.h: what is made of the factors of all tensors' blocks now and then, roots or bases, in one go and on all threads. */

#ifndef PITOT_SRC_OPTIM_RENEWAL_H
#define PITOT_SRC_OPTIM_RENEWAL_H

#include "optim/core/blocks.h"

typedef struct renewal {
    blocks (*cut)(const void *options, const pitot_tensor_state *t);
    int64_t (*bytes)(const void *options, int64_t n); /* of room for a factor (n,n) */
    int (*due)(const void *options, const pitot_tensor_state *t);
    /* Of tensor i, with the state and the scratch of s. */
    void (*make)(const pitot_stepping *s, int64_t i, const block *k, int side, void *room);
    int64_t (*overlap)(const void *options); /* steps, or 0 */
    int factor, made, computed;              /* slots: two of factors, two of what is made of them, when */
    int next;                                /* and two and one of what is made beside the steps */
} renewal;

/* Layout of the run: the scratch, behind `front` bytes, and where steps overlap its slot. */
int32_t renewal_layout_run(const renewal *r, pitot_layout *l, int64_t front, pitot_error *error);
/* Of a tensor, cut into b: slots factor_rows and factor_columns, `rows` and `columns` for what is made, "computed" (blocks, 2). PITOT_ENOTSUP: an
   axis is too long for BLAS; `method` names the optimizer. */
int32_t renewal_layout(const renewal *r, pitot_layout *l, blocks *b, const char *method, const char *rows, const char *columns,
                       pitot_error *error);
/* Those behind `next`, where steps overlap. */
void renewal_next_slots(const renewal *r, pitot_layout *l, const blocks *b, const char *rows, const char *columns);

/* For `begin`: what is made is the identity; `scratch` bytes for `make` beside the steps, of its own. */
void renewal_begin(const renewal *r, const pitot_stepping *s, int64_t scratch);
/* `make` for every factor of tensors with a gradient that are due, each on one thread. Overwrites the scratch from byte `at` on, a multiple of
   64. */
void renewal_run(const renewal *r, const pitot_stepping *s, int64_t at);
/* The same, or beside the steps; then `take(s)` is called when that is to be used, with what was made in the slots from `next` on; NULL: it is
   copied to where it is used. */
void renewal_step(const renewal *r, const pitot_stepping *s, int64_t at, void (*take)(const pitot_stepping *s));
/* Copies what was made of tensor i to where it is used, and when. */
void renewal_take(const renewal *r, const pitot_stepping *s, int64_t i);

/* For `view`: block *k of *b, side *side, that factor n of tensor i is about; its factor, place and age. 0: there are no more. */
int renewal_view(const renewal *r, const pitot_stepping *s, int64_t i, int32_t n, blocks *b, block *k, int *side,
                 pitot_preconditioner *view);

#endif
