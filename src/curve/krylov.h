/* krylov.h: the decomposition that Lanczos iteration builds, one product at a time, and its thick restart:

       Op V = V H + P L + E,  V (k columns) and P (p columns) orthonormal together, H (k,k) symmetric, L (p,k)

   P are directions that are pending: found, without a product of their own so far. Started from one vector there is one of them, and L
   is a row (Wu, Simon 2000, "Thick-restart Lanczos method for large symmetric eigenvalue problems"). A further one may join at any time
   (then it is the band Lanczos process, Ruhe 1979, Math. Comp. 33), and they may be reflected, so that the one that is wanted most comes
   next. E, with G = E'E, is what was dropped for want of room or of weight. Every new vector is made orthogonal to all kept ones, H holds
   all products with them, so that no structure of H is relied on. An eigenpair (theta, s) of H gives the Ritz pair (theta, V s), whose
   residual is |P L s + E s|, as far as products are exact.

   With room for more than EIGEN_MOST vectors, and a tolerance that allows it, the rows are kept orthogonal only up to sqrt(u), or to the
   tolerance if that is more (Simon 1984,
   "The Lanczos algorithm with partial reorthogonalization", Math. Comp. 42): omega (rows,rows), about the products of rows, goes on by the
   recurrence that H and L give for it. When one comes up to that, the vector that was multiplied and the one that came of it
   are made orthogonal to all before them, in one pass over these (krylov_semi.c). What that takes from the former is along
   eigenvectors that have converged by then, and H stays as it is. */

#ifndef PITOT_SRC_KRYLOV_H
#define PITOT_SRC_KRYLOV_H

#include "curve/basis.h"
#include "curve/eigen.h"
#include "curve/reduced.h"
#include "pitot/solve.h"

enum { KRYLOV_MOST = BASIS_MIXED, KRYLOV_OWN = 5 * EIGEN_MOST * EIGEN_MOST + EIGEN_MOST };

typedef struct krylov {
    const pitot_linop *op;
    const reduced *within; /* whose op that is, so that vectors keep to what it sees; or NULL */
    int64_t n;
    pitot_real *row;            /* (room,n): the k columns of V, the p of P, then those that are free */
    int room, k, p;             /* p = 0: V spans an invariant subspace, and there is nothing to go on with */
    int top, bottom;            /* pairs at each end that a restart must keep; both 0: half of all, from both ends */
    uint64_t seed, step, draws; /* of random directions */
    int64_t products, restarts;
    int64_t repeated; /* products beside those, to see that op stands still */
    pitot_error *error;
    double largest;                /* |Op x| seen, |x| = 1 */
    double negligible;             /* rows of L that short are dropped at a restart */
    int apart;                     /* elements from one row of the matrices to the next */
    double *h, *link, *lost;       /* H, L, G */
    double *value, *s;             /* eigenpairs of H, ascending: krylov_solve */
    double *scratch;               /* (apart,apart), for the moment */
    int large;                     /* 1: the matrices lie in the caller's work space, and EIGEN_MOST does not bind */
    int semi, again;               /* 1: orthogonal up to sqrt(u); steps that are to be made orthogonal whatever omega says */
    double *omega, *last, *lapack; /* if large; last: |last component| of the eigenvectors of H, if it is tridiagonal */
    double most;                   /* that omega may come up to */
    double noise, slip;            /* of a product along a row, in units of round-off: as it is taken; the most that was seen */
    int learnt;                    /* 1: omega has been compared with what there was */
    int plain, solved;             /* 1: H is tridiagonal; value and s are those of H */
    double own[KRYLOV_OWN];        /* the matrices if not large */
} krylov;

static inline pitot_real *krylov_row(const krylov *z, int i) {
    return z->row + i * z->n;
}

/* An empty decomposition as the settings want it; 0: they, or the operator, will not do. */
int krylov_open(krylov *z, const pitot_linop *op, const pitot_lanczos *set);

static inline double krylov_tolerance(const pitot_lanczos *set) {
    return set->tolerance > 0 ? set->tolerance : 1e-2;
}

static inline int64_t krylov_limit(const pitot_lanczos *set) {
    return set->products ? set->products : 100;
}

/* P := row 0 as it stands in memory, made unit, of an empty decomposition; if there is nothing in it, a random vector. */
void krylov_start(krylov *z);
/* The first free row as it stands in memory joins P, made orthogonal, if more than `least` of it, a share of its length, is new; its
   coupling to V is taken to be none. Returns whether it did. */
int krylov_add(krylov *z, double least);
/* A random direction joins P, without any coupling to V. Takes one free row. */
void krylov_add_random(krylov *z);
/* Reflects P so that its first column lies along P g, nearly at least; g (p). */
void krylov_aim(krylov *z, const double *g);
/* One product, with the first column of P, which becomes the last of V. Takes one free row. At the end of an invariant subspace a random
   vector goes on. PITOT_EHOST: it was not finite. */
int32_t krylov_step(krylov *z);
/* Eigenpairs of H; of one that is solved already nothing is done. PITOT_EHOST: LAPACK found none. */
int32_t krylov_solve(krylov *z);
/* The same, or, if large and H is tridiagonal still, of a single vector's Krylov space, the eigenvalues and krylov_estimate alone, for about
   20 k^2 flops. */
int32_t krylov_glance(krylov *z);
/* L s of column `j` of s: the residual's coordinates along P (p). */
void krylov_residual(const krylov *z, int j, double *g);
/* |Op u - theta u| of column `j` of s, according to the decomposition. */
double krylov_estimate(const krylov *z, int j);
/* The unit Ritz vector of column j. */
void krylov_vector(const krylov *z, int j, pitot_real *u);
/* One product with the unit vector u: value = u'Op u, residual = |Op u - value u|. */
int32_t krylov_measure(krylov *z, const pitot_real *u, double *value, double *residual);
/* The Ritz pairs of columns i and j of s with one product: u and w (n) become the vectors, and Op (u + w) or Op (u - w) is made, the sign
   such that their residuals, both along v as the decomposition has it, add up. What the product shows beyond that, the error of
   products and decomposition, is added to both. For p <= 1. */
int32_t krylov_measure_pair(krylov *z, const int column[2], pitot_real *u, pitot_real *w, double value[2], double residual[2]);
/* Checks the first `bottom` and the last `top` columns of s with one product, with the sum of their Ritz vectors under random signs: error
   = the root of their number times the length of what the product differs by from what the decomposition says. The errors of single
   pairs, where they are independent, add up to that in square, so that none of them is longer. Takes two free rows. */
int32_t krylov_check(krylov *z, int bottom, int top, double *error);
/* The same for the m columns of s named, from their Ritz vectors u (m,n): for many rows that is a pass over u in place of two over these. */
int32_t krylov_check_vectors(krylov *z, const int *column, int m, const pitot_real *u, double *error);
/* Keeps part of the Ritz vectors if there are not `spare` free rows: half of them, from both ends; or `top` and `bottom` ones and part of
   the rest, next to them. Solved after that, if it was before or if it kept part. */
int32_t krylov_make_room(krylov *z, int spare);

/* ---- krylov_semi.c ---- */

/* What y = Op p_0, in the first free row, has along V and P; y loses it, as far as L says that there is any, and becomes unit. Returns
   the length of the rest, 0 if that is round-off, NaN if anything was not finite. */
double krylov_part(krylov *z, double *along);
/* P is made orthogonal to V, omega forgotten, and so are the next two steps' vectors: after a restart. */
void krylov_renew(krylov *z);
/* Makes row i orthogonal to all before it, up to about sqrt(u). Returns the length of the rest; 0 if that is round-off, or not more than
   `least`. */
double krylov_welcome(krylov *z, int i, double least);

#endif
