/* point_within.h: a linear layer whose tangents are X and Y of reduced.h. */

#ifndef PITOT_SRC_POINT_WITHIN_H
#define PITOT_SRC_POINT_WITHIN_H

#include "net/net.h"

typedef struct slim { /* r = N; u, g and the rooms NULL: the layer's inputs do not move, and there is no Y */
    int32_t node;
    int64_t din, dout, r;
    pitot_real *q, *u;    /* (r,din), (r,dout) */
    pitot_real *a, *g;    /* (N,r) = A Q', G U' */
    pitot_real *at_q;     /* (N,r) At Q' */
    pitot_real *ux;       /* (r,r) U X */
    pitot_real *rest, *s; /* (N,din) At less what it has along Q; (r,din) U X Q + Y */
} slim;

/* What stands for op_linear in a copy of its node, whose attributes point to the slim. */
extern const op slim_op;

static inline int64_t slim_size(const slim *w) {
    return w->r * (w->dout + (w->u ? w->din : 0));
}

/* y = X, Y of the weight x (dout,din); and back, of Y that has nothing along Q: it loses that by the last. */
void slim_restrict(const slim *w, int threads, const pitot_real *x, pitot_real *y);
void slim_lift(const slim *w, int threads, const pitot_real *x, pitot_real *y);
void slim_project(const slim *w, int threads, pitot_real *y);

#endif
