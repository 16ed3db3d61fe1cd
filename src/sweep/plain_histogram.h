/* plain_histogram.h: histograms of a linear layer used once, at one position, g_nij = scale * fl(l_ni r_nj), without making the products.
   Few of them leave the bins beside 0, and there signs tell all: on one axis by how many l and r have which sign; on two by a bit for
   every sample, l and r, and counting the bits of each pair (i,j). What lies beyond is found from r ranked by magnitude. Rounding keeps
   order, so that both are exact. Samples with values that are not finite are made row by row. */

#ifndef PITOT_SRC_PLAIN_HISTOGRAM_H
#define PITOT_SRC_PLAIN_HISTOGRAM_H

#include "sweep/histogram.h"
#include "sweep/ranked.h"

enum { SAMPLES = 256, WORDS = SAMPLES / 64 }; /* of a block, which bounds the memory */

typedef struct extent {     /* of a vector */
    pitot_real least, most; /* magnitudes of what is not 0; 0 if there is none */
    int64_t positive, negative;
    int finite;
} extent;

enum { LEFT_OUT, BY_SIGN, BY_VALUE };

typedef struct sample {
    const pitot_real *left, *right;
    extent l, r;
    int way;
    int64_t ranked; /* two axes: length of its list */
    int small;      /* two axes: some products may be too small for their sign to tell; then the list is complete */
} sample;

typedef struct side { /* two axes: products of one sign */
    int64_t bin;      /* where they are, unless their magnitude is */
    pitot_real low;   /* below this: in the bin of 0; 0: none is */
    pitot_real high;  /* at or above this: looked up */
} side;

enum { NEGATIVE, POSITIVE, ZERO, SMALL_NEGATIVE, SMALL_POSITIVE, SIGNS }; /* small: below side.low; counted by sign, too */

typedef struct counting {
    const sweep_job *job;
    const sweep_target *t;
    const pitot_real *left, *right;
    int64_t rows, columns, ld_left, ld_right;
    int threads;
    tallies tallies;
    int64_t n, by_sign, by_value; /* samples of the block; of them, counted in either way */
    sample *sample;               /* (SAMPLES) */
    pitot_real *row;              /* (threads, columns): products */
    ranked *scratch;              /* (threads, columns+1) */
    const tally *h;               /* the histogram at hand */

    /* one axis: a sample's r, ranked, and its l that reach an edge, for each thread */
    int64_t bins;              /* at most */
    ranked *value;             /* (threads, columns+1) */
    pitot_real *magnitude;     /* (threads, columns+2) */
    pitot_real *factor;        /* (threads, rows) */
    int32_t *positive, *start; /* (threads, columns+1), (threads, LADDER_STEPS+1) */
    int64_t *past;             /* (threads, bins): products at or beyond axis.beyond[k] */

    /* two axes */
    int64_t stride, room;         /* at most, of the tallies */
    ranked *list;                 /* (SAMPLES, columns+1): every sample's r */
    uint64_t *negative, *nonzero; /* (WORDS, columns): bits of r; nonzero: some product with it may leave the bin of 0 */
    int64_t *sign;                /* (threads, SIGNS, stride) */
    int64_t *visited;             /* (threads, room): looked up */
    uint64_t *pack;               /* (threads, PACKS, stride): counts of three signs in one value */
    side side[2];                 /* of negative products, of positive ones */
    pitot_real keep;              /* below this magnitude, all products lie in the bin of 0 */
    pitot_real low, high;         /* the greater and the smaller of the sides' */
} counting;

enum { PACKS = 4 };

/* This block's samples that are counted by sign, into c->h. */
void plane_run(counting *c);

#endif
