/* structure.h: square matrices of a structure that is closed under multiplication (Lin et al. 2023, arXiv 2312.05705, section 3), stored
   without what is always 0: dense, diagonal, block-diagonal, hierarchical, triangular with a diagonal block, triangular Toeplitz.

   Pi maps a symmetric M onto such a structure: entries that stand for two, M_ij and M_ji, are doubled; of a Toeplitz matrix all along a
   diagonal are averaged. */

#ifndef PITOT_SRC_OPTIM_STRUCTURE_H
#define PITOT_SRC_OPTIM_STRUCTURE_H

#include "pitot/base.h"

enum { /* in the order of STRUCTURE_NAMES */
       STRUCTURE_DENSE,
       STRUCTURE_DIAGONAL,
       STRUCTURE_BLOCK,                  /* dense blocks along the diagonal */
       STRUCTURE_HIERARCHICAL,           /* [A B B; 0 C 0; 0 D E], C diagonal */
       STRUCTURE_TRIL_TOP_LEFT_DIAG,     /* [C 0; B L] */
       STRUCTURE_TRIL_BOTTOM_RIGHT_DIAG, /* [L 0; B C] */
       STRUCTURE_TRIU_TOP_LEFT_DIAG,     /* [C B; 0 U] */
       STRUCTURE_TRIU_BOTTOM_RIGHT_DIAG, /* [U B; 0 C] */
       STRUCTURE_TRIL_TOEPLITZ,
       STRUCTURE_TRIU_TOEPLITZ
};
#define STRUCTURE_NAMES                                                                                                      \
    "dense|diagonal|block|hierarchical|tril_top_left_diag|tril_bottom_right_diag|triu_top_left_diag|triu_bottom_right_diag|" \
    "tril_toeplitz|triu_toeplitz"

typedef struct structure {
    int64_t kind, d;
    int64_t block;       /* of STRUCTURE_BLOCK */
    int64_t top, bottom; /* of STRUCTURE_HIERARCHICAL: rows of A, of E; others: of L or U. top + bottom <= d */
} structure;

structure structure_of(int64_t kind, int64_t d, int64_t block, int64_t top, int64_t bottom, int64_t rank);
int64_t structure_size(const structure *s); /* values stored */
int64_t structure_room(const structure *s); /* values of room that the functions below take */
void structure_identity(const structure *s, pitot_real *k);
double structure_trace(const structure *s, const pitot_real *k);

/* y (n,d) = x K, or x K' if `trans`; x (n,d), not y. */
void structure_rows(const structure *s, const pitot_real *k, int trans, const pitot_real *x, int64_t n, pitot_real *y,
                    pitot_real *room);
/* out = scale Pi(x'x) + (add ? out : 0), x (n,d). */
void structure_gram(const structure *s, const pitot_real *x, int64_t n, double scale, int add, pitot_real *out);
/* out = Pi(K'K) */
void structure_square(const structure *s, const pitot_real *k, pitot_real *out, pitot_real *room);
/* out = K M */
void structure_product(const structure *s, const pitot_real *k, const pitot_real *m, pitot_real *out, pitot_real *room);

#endif
