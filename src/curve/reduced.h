/* reduced.h: an operator without the directions that it cannot see. Of a linear layer Y = A W' + b, with gradients G of its outputs (N,dout) and At,
   Gt the tangents of A (N,din) and G, what curvature makes of a vector is Gt'A + G'At: of N samples, with N < din, its rows lie in the span of
   A's, or its columns in that of G'. With Q (N,din) and U (N,dout), orthonormal bases of the rows of A and of G, all of that is

       V = X Q + U'Y,   X = V Q' (dout,N),   Y = U V (I - Q'Q) (N,din);   of a layer whose inputs do not move X Q alone,

   |V|^2 = |X|^2 + |Y|^2, and the rest of the parameters stay as they are. So Op = L Op' L' with L'L a projection that Op' keeps to: eigenvalues
   other than 0 are the same, a product with what lies outside is 0, and vectors and products are smaller. */

#ifndef PITOT_SRC_REDUCED_H
#define PITOT_SRC_REDUCED_H

#include "pitot/linop.h"

typedef struct pitot_point pitot_point;

typedef struct reduced {
    pitot_linop op;       /* (m): Op' */
    pitot_linop and_rest; /* (m + 1): and 0 on one direction for all that lies outside */
    int64_t m;
    pitot_point *point;
    int32_t kind;
} reduced;

/* NULL: not an operator of a point, or it would not pay: m + 1 > 2/3 of its rows, several chunks, a group, blocks, many samples; or there is no
   memory. Good as long as the point, and until pitot_point_changed. The first call of a point takes a few products' time. */
const reduced *reduced_of(const pitot_linop *linop);

/* y (m) = L'x, x (n). Returns the length of the part of x outside, up to sqrt(round-off) of |x|. */
double reduced_restrict(const reduced *r, const pitot_real *x, pitot_real *y);
/* x (m) = L'L x: what a product cannot see of it goes. */
void reduced_project(const reduced *r, pitot_real *x);
/* y (n) = L x, x (m) one that has lost that: a restricted one, a projected one, a product. */
void reduced_lift(const reduced *r, const pitot_real *x, pitot_real *y);

#endif
