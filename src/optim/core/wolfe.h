/* wolfe.h: a step length along a direction d that satisfies the strong Wolfe conditions (Nocedal, Wright 2006, algorithms 3.5 and 3.6),

       f(x + a d) <= f(x) + c1 a g'd,   |g(x + a d)'d| <= c2 |g'd|

   with trial lengths from cubics. Losses and gradients by pitot_gradient. */

#ifndef PITOT_SRC_WOLFE_H
#define PITOT_SRC_WOLFE_H

#include "pitot/optim.h"

typedef struct wolfe {
    pitot_stepping *s;
    const pitot_real *x, *d; /* (D): from where, along what */
    pitot_real *g, *work;    /* (D): out: the gradient at the length found; work space */
    double loss, slope;      /* at x; g'd < 0 */
    double c1, c2, first;    /* first: the first length tried */
    int64_t most;            /* evaluations */
    double length;           /* out; 0: none was found that lowers the loss enough */
} wolfe;

/* The parameters are left at x + length d, those of length 0 bit for bit at x. Where no length satisfies both conditions the best that satisfies
   the first is taken. Points at which loss or gradient are not finite count as too far. A status of the source: the parameters are at x. */
int32_t wolfe_search(wolfe *w);

#endif
