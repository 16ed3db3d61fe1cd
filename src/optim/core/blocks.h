/* blocks.h: a tensor as a matrix cut into blocks, each with a factor L (rows of the block, squared) for its rows and R for its columns. All L of a
   tensor lie one behind another in one array, all R in another. A vector is a column, without factors for its columns. */

#ifndef PITOT_SRC_BLOCKS_H
#define PITOT_SRC_BLOCKS_H

#include "pitot/optim.h"

enum { BLOCK_DIM = 16384 }; /* largest factor: what eigendecompositions take */

typedef struct blocks {
    int64_t n[2], most[2]; /* rows and columns; of a block at most */
    int64_t count[2];      /* blocks down, across */
    int has[2];            /* whether there are factors for rows, for columns */
} blocks;

typedef struct block {
    int64_t first[2], n[2]; /* where it begins, how large it is */
    int64_t at[2];          /* of its factors in their arrays */
    int64_t index;
    const blocks *of;
} block;

/* At most `most` rows and columns in a block. With `whole` there is one block, and axes longer than that have no factor. */
blocks blocks_of(const pitot_tensor_state *t, int64_t most, int whole);
/* The same of the tensor as one vector. */
blocks blocks_of_vector(const pitot_tensor_state *t, int64_t most);
int64_t blocks_count(const blocks *b);
block blocks_at(const blocks *b, int64_t index);
/* Values of all factors of that side (0: L, 1: R); 0: none. */
int64_t blocks_factors(const blocks *b, int side);
/* Largest values in a block; the larger side of a factor. */
int64_t blocks_area(const blocks *b);
int64_t blocks_side(const blocks *b);

/* Whether both sides fit BLAS; a message if not. */
int blocks_fit(const blocks *b, const char *optimizer, const char *tensor, pitot_error *error);
/* A slot for all L, one for all R; sides without are not in use. */
void blocks_slots(pitot_layout *l, const blocks *b, const char *rows, const char *columns);
/* factors[0], factors[1]: identities in all L, all R; or as much of them. */
void blocks_identity(const blocks *b, void *const factors[2]);
void blocks_diagonal(const blocks *b, double scale, void *const factors[2]);

/* F = keep F + add GG' (side 0) or G'G, G that block of g, for its factor in `factors`. Both triangles. */
void block_gather(const block *k, int side, const pitot_real *g, double keep, double add, pitot_real *factors);
/* F = keep F + add GG' for all L in factors[0], keep F + add G'G for all R in factors[1], G the blocks of g. Both triangles. */
void blocks_gather(const blocks *b, const pitot_real *g, double keep, double add, void *const factors[2]);
/* out = A'XB if `trans`, else AXB', on the block of x (all of a tensor of that shape), into that of out, another one. A and B are the block's
   matrices in `left` and `right`, the identity on sides without. work: blocks_area values. */
void block_apply(const block *k, int trans, const pitot_real *left, const pitot_real *right, const pitot_real *x, pitot_real *out,
                 pitot_real *work);
/* Axis, size, place and factor of side `side` for a view. */
void block_view(const block *k, int side, const pitot_real *factors, pitot_preconditioner *view);
/* The block and side that factor k of a view is about; 0: there are no more. */
int block_of_view(const blocks *b, int32_t k, block *out, int *side);

#endif
