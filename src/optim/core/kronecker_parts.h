/* kronecker_parts.h: the inside of kronecker.h.

   kronecker.c  layout, step, view      kronecker_factors.c  averages      kronecker_use.c  decompositions, directions
   kronecker_renew.c  when decompositions are made, and beside the steps
   kronecker_model.c  length, momentum and damping by a model of the loss */

#ifndef PITOT_SRC_OPTIM_KRONECKER_PARTS_H
#define PITOT_SRC_OPTIM_KRONECKER_PARTS_H

#include "optim/core/kronecker.h"
#include "optim/core/pieces.h"

enum { /* slots of a weight; of other tensors the first alone. g: groups */
       KRONECKER_MOMENTUM,
       KRONECKER_S,       /* (g, rows, rows); the upper triangle counts, until one is looked at */
       KRONECKER_A,       /* (g, columns, columns) */
       KRONECKER_S_USED,  /* as S: basis, its columns the eigenvectors, or inverse */
       KRONECKER_A_USED,  /* as A */
       KRONECKER_S_VALUE, /* (g, rows) eigenvalues */
       KRONECKER_A_VALUE, /* (g, columns) */
       KRONECKER_MOMENTS, /* (g, rows, columns): s */
       KRONECKER_NUMBERS, /* (g, KRONECKER_PER_GROUP), double */
       KRONECKER_NEXT     /* from KRONECKER_S_USED on once more, made beside the steps */
};
enum { KRONECKER_MADE = KRONECKER_NEXT - KRONECKER_S_USED }; /* slots of what is made */
enum {                                                       /* numbers of a group */
       KRONECKER_COUNT,                                      /* batches in the averages */
       KRONECKER_COMPUTED,                                   /* step of the decomposition in use; 0: none */
       KRONECKER_S_DAMPING,
       KRONECKER_A_DAMPING,
       KRONECKER_PER_GROUP
};

enum { KRONECKER_OVERLAP, KRONECKER_DAMPING }; /* slots of the run: overlap.h's; with `model` (KRONECKER_PER_RUN), double */
enum { KRONECKER_LAMBDA, KRONECKER_GAMMA, KRONECKER_PER_RUN };

typedef struct kronecker_room { /* a step's work space */
    layer *layer;
    pitot_real *direction;       /* (D) */
    pitot_real *sums;            /* all layers': S and A, or squares, of this batch */
    pitot_real *a, *g, *ta, *tg; /* rows of a block, and rotated; of convolutions one for each thread */
    pitot_real *more;            /* S and A of a convolution, or squares and a sample's, of each thread but the first */
    pitot_real *turned, *mid;    /* (rows, columns) of a group */
    pitot_real *probe;           /* (columns + rows + rows of a block) */
    piece *piece;                /* (pieces): groups of layers (i: layer, k: group), those that take longest first */
    double *dot;                 /* of blocks of a tensor */
    int64_t pieces;
    int64_t a_each, g_each, ta_each, tg_each; /* values of one thread */
    void *work;                               /* the threads', for pieces */
    pitot_real *model;                        /* kronecker_model_values, if it takes that step */
    int64_t bytes;
} kronecker_room;

typedef struct kronecker_job {
    const kronecker *k;
    pitot_stepping *s;
    kronecker_room room;
    int64_t n;   /* layers */
    int moments; /* whether directions renew s of KRONECKER_BATCH: of the same rows in the same bases */
} kronecker_job;

/* Group `group` of one slot of layer l. */
static inline pitot_real *kronecker_slot(const kronecker_job *j, const layer *l, int slot, int64_t group) {
    int64_t size[] = { 0,       l->rows * l->rows, l->columns * l->columns, l->rows * l->rows, l->columns * l->columns,
                       l->rows, l->columns,        l->rows * l->columns };
    pitot_real *x = j->s->tensor[l->weight].state[slot];
    return x ? x + group * size[slot] : NULL;
}

static inline double *kronecker_numbers(const kronecker_job *j, const layer *l, int64_t group) {
    return (double *)j->s->tensor[l->weight].state[KRONECKER_NUMBERS] + group * KRONECKER_PER_GROUP;
}

static inline int64_t kronecker_bias(const layer *l) { /* -1: none */
    return l->bias >= 0 ? l->bias : l->apart;
}

static inline int kronecker_inverts(const kronecker *k) { /* rather than to keep bases */
    return k->form == KRONECKER_PI || k->form == KRONECKER_EACH;
}

/* Averages of this batch's factors into S and A. Factors that are not finite, or of rows whose squares may add up to more than MATRIX_MOST, are
   left out. */
int32_t kronecker_average(kronecker_job *j);
/* Inverses or bases of S and A as they are now, if they are `due`, layers side by side; where that fails the old ones stay. Where steps overlap,
   those that were made beside them are taken when it is time. Whether any are new. */
int kronecker_renew(kronecker_job *j, int due);
/* All of them, now. */
void kronecker_decompose_all(kronecker_job *j);
int64_t kronecker_beside_bytes(int64_t layers); /* that making them beside the steps takes, but for factors */
/* Those of one piece, in `room`. */
void kronecker_decompose(void *job, const piece *p, void *room);
int64_t kronecker_decompose_bytes(const kronecker *k, const layer *l);
/* s of KRONECKER_BATCH, from passes of its own. */
int32_t kronecker_moments(kronecker_job *j);
/* GU and AV into room.tg and room.ta, of `rows` rows of G and A. */
void kronecker_rotate(const kronecker_job *j, const layer *l, int64_t group, int64_t rows, const pitot_real *g,
                      const pitot_real *a);
/* sum (rows, columns) += the squares of U'G'AV of n samples, whose rotated rows are lost. */
void kronecker_add_squares(const kronecker_job *j, const layer *l, const pitot_capture *c, int64_t n, pitot_real *sum);
/* Those of all samples. */
void kronecker_squares(const kronecker_job *j, const layer *l, const pitot_capture *c, int64_t group, pitot_real *sum);
/* Where sums of a group's squares are made, cleared if `anew`; they become its s unless they are not finite. */
pitot_real *kronecker_sums(const kronecker_job *j, const layer *l, int64_t group, int anew);
void kronecker_take_squares(const kronecker_job *j, const layer *l, int64_t group);
/* D of layer l into room.direction, finite or not. */
int32_t kronecker_direction(kronecker_job *j, const layer *l);

/* A step by the model; whether factors and inverses are due. */
int32_t kronecker_model_step(kronecker_job *j, int cov, int renew);
void kronecker_model_begin(const kronecker *k, pitot_stepping *s);
int64_t kronecker_model_values(int64_t parameters);
double kronecker_model_damping(const pitot_stepping *s); /* gamma^2 */

void kronecker_round(const kronecker *k, pitot_real *x, int64_t n); /* to bfloat16, if it is to be so */

#endif
