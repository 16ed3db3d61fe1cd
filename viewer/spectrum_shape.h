/* spectrum_shape.h: a spectrum's nodes and weights as curves over a symmetric-log axis, for paper and for the terminal. Pure.

   The axis has one unit for the linear part on each side of 0 and one for each decade beyond. Each node is blurred in that coordinate, so
   that an eigenvalue is as wide at 1e-4 as at 1e4; columns hold the integral over their width, so that no mass falls between them. */

#ifndef PITOT_VIEWER_SPECTRUM_SHAPE_H
#define PITOT_VIEWER_SPECTRUM_SHAPE_H

#include "view.h"

typedef struct spectrum_nodes { /* draws one after the other, the nodes of each ascending; weights sum to 1 */
    const double *node, *weight;
    int64_t n;
    int64_t parameters; /* eigenvalues that they stand for */
} spectrum_nodes;

/* An axis for those nodes and, where they lie, the finite ones of values[0..m). */
axis spectrum_axis(const spectrum_nodes *q, const double *values, int64_t m);
/* Length of a unit, as a share of the axis. */
double spectrum_unit(const axis *a);
/* Share of the eigenvalues per unit in `columns` columns of the same width, each node blurred by a Gaussian: one that stands for few
   eigenvalues with a standard deviation of `width` units, one that stands for many with half the distance to its neighbours of the same
   draw, if that is more. The sum of out over columns * spectrum_unit is 1, but for what lies beyond the ends. */
void spectrum_density(const axis *a, const spectrum_nodes *q, double width, double *out, int64_t columns);
/* What a single eigenvalue has at its place. */
double spectrum_single(const spectrum_nodes *q, double width);
/* Share of the eigenvalues below the right end of each column. */
void spectrum_cumulative(const axis *a, const spectrum_nodes *q, double *out, int64_t columns);

#endif
