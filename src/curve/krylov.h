/* krylov.h: the decomposition that Lanczos iteration builds, one product at a time, and its thick restart:

       Op V = V H + v link',  V (k columns) and v orthonormal, H (k,k) symmetric

   (Wu, Simon 2000, "Thick-restart Lanczos method for large symmetric eigenvalue problems"). Every new vector is made orthogonal to all
   kept ones, H holds all products with them, so that no structure of H is relied on. An eigenpair (theta, s) of H gives the Ritz pair
   (theta, V s), whose residual is |link's|, as far as products are exact. */

#ifndef PITOT_SRC_KRYLOV_H
#define PITOT_SRC_KRYLOV_H

#include "curve/basis.h"
#include "curve/eigen.h"
#include "pitot/linop.h"

typedef struct krylov {
    const pitot_linop *op;
    int64_t n;
    pitot_real *row; /* (room,n): the k columns of V, then v, then one that is free */
    int room, k;
    int has_next; /* 0: V spans an invariant subspace, there is no v */
    int32_t reserved;
    uint64_t seed, step, draws; /* of random directions */
    int64_t products, restarts;
    double largest; /* |Op x| seen, |x| = 1 */
    double h[EIGEN_MOST][EIGEN_MOST], link[EIGEN_MOST];
    double value[EIGEN_MOST], s[EIGEN_MOST][EIGEN_MOST]; /* eigenpairs of H, ascending: krylov_solve */
} krylov;

static inline pitot_real *krylov_row(const krylov *z, int i) {
    return z->row + i * z->n;
}

/* v := row 0 as it stands in memory, made unit, of an empty decomposition; if there is nothing in it, a random vector. */
void krylov_start(krylov *z);
/* One product, with v; k grows by one. At the end of an invariant subspace a random vector goes on. PITOT_EHOST: it was not finite. */
int32_t krylov_step(krylov *z);
/* Eigenpairs of H. */
void krylov_solve(krylov *z);
/* |Op u - theta u| of column `j` of s, according to the decomposition. */
double krylov_estimate(const krylov *z, int j);
/* The unit Ritz vector of column j. */
void krylov_vector(const krylov *z, int j, pitot_real *u);
/* One product with the unit vector u: value = u'Op u, residual = |Op u - value u|. */
int32_t krylov_measure(krylov *z, const pitot_real *u, double *value, double *residual);
/* The Ritz pairs of columns i and j of s with one product: u and w (n) become the vectors, and Op (u + w) or Op (u - w) is made, the sign
   such that their residuals, both along v as the decomposition has it, add up. What the product shows beyond that, the error of
   products and decomposition, is added to both. */
int32_t krylov_measure_pair(krylov *z, const int column[2], pitot_real *u, pitot_real *w, double value[2], double residual[2]);
/* Keeps the Ritz vectors of half of the values, from both ends, if there is no room for another step; solved as before. */
void krylov_make_room(krylov *z);

#endif
