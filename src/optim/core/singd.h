/* singd.h: the inside of SINGD (src/optim/singd.c): for each layer K (columns, columns) and C (rows, rows), with K K' going to the damped
   inverse of the input factor A and C C' to that of the output factor S without either being formed.

   singd_factors.c  K and C      singd_use.c  directions, view */

#ifndef PITOT_SRC_OPTIM_SINGD_H
#define PITOT_SRC_OPTIM_SINGD_H

#include "optim/core/fisher.h"
#include "optim/core/layer.h"
#include "optim/core/structure.h"

typedef struct singd_options {
    double lr, momentum, weight_decay, damping, alpha1, lr_cov;
    int64_t structure, structure_c, block, top, bottom, rank, t, fisher, approx, loss_average, kfac_like, normalize, precision,
        max_dim;
} singd_options;

enum { SINGD_MOMENTUM, SINGD_K, SINGD_C, SINGD_M_K, SINGD_M_C }; /* slots of a weight */
enum { SINGD_VIEWED = 1024 /* rows of the largest K and C that are written out to be looked at; diagonals always are */ };

typedef struct singd_room {
    layer *layer;
    pitot_real *direction;           /* (D) */
    pitot_real *sums;                /* all layers' Pi(K'AK), Pi(C'SC) of this batch */
    pitot_real *a, *g, *rotated;     /* rows of a block */
    pitot_real *k, *c, *m, *product; /* one group's, unpacked from how they are stored */
    pitot_real *structure;           /* room of structure.h */
    pitot_real *grad, *mid;          /* (rows, columns) */
    pitot_real *views;               /* all layers': per group and side, (n,n) factor and (n,n) inverse */
    double *work;
    int64_t bytes;
} singd_room;

typedef struct singd_job {
    const singd_options *o;
    const pitot_stepping *s;
    singd_room room;
    int64_t n;
} singd_job;

/* Of a side: 0 K, 1 C. */
structure singd_structure(const singd_options *o, const layer *l, int side);
int64_t singd_size(const singd_options *o, const layer *l); /* of both, one group */
int64_t singd_most(const singd_options *o);                 /* rows that a side may have */
int singd_is(const singd_options *o, int64_t kind);         /* both sides */
int singd_is_viewed(const singd_options *o, const layer *l);
/* One group of a slot of layer l, `size` values, to or from `x`. */
void singd_load(const singd_job *j, const layer *l, int slot, int64_t group, int64_t size, pitot_real *x);
void singd_store(const singd_job *j, const layer *l, int slot, int64_t group, int64_t size, const pitot_real *x);

int32_t singd_renew(singd_job *j); /* K and C from this batch; those that would not be finite stay */
/* C C' G K K' of layer l into room.direction. */
int32_t singd_direction(singd_job *j, const layer *l);
int32_t singd_look(singd_job *j, int64_t i, int32_t f, pitot_preconditioner *view);

#endif
