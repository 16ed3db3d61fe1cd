/* heat.h: values as cells of rising lightness. A cell has one of the pens PEN_HEAT, and a shade as its character: a terminal with 256
   colours gives such a pen one colour before and behind, so that the shade is not seen; others show the shade. */

#ifndef PITOT_VIEWER_TERM_HEAT_H
#define PITOT_VIEWER_TERM_HEAT_H

#include "term/canvas.h"

/* Level of a share in [0,1], which is clamped; NaN is 0. */
int heat_level(double share);
void heat_put(canvas *c, int row, int col, int level);
/* What stands for a value that is not finite: x NaN, ^ infinite, v minus infinite. */
void heat_put_odd(canvas *c, int row, int col, double v);
/* "0.01 ░░▒▒▓▓██ 12" at the left of a row, with `wanted` cells of scale at most. Returns columns. */
int heat_scale(canvas *c, place at, int wanted, const char *least, const char *most);

#endif
