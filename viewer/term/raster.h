/* raster.h: a quantity of each tensor over the steps, sorted into cells: rows are tensors in the net's order, columns are steps.

   A cell holds the value of largest magnitude of its steps, so that no spike is lost; what is not finite wins over everything. A value
   stands until the next one, so that a quantity that is tracked every k steps has no holes; a long gap stays one. */

#ifndef PITOT_VIEWER_TERM_RASTER_H
#define PITOT_VIEWER_TERM_RASTER_H

#include "view.h"

typedef struct raster_cell {
    double v;
    int there; /* 0: nothing was logged */
} raster_cell;

typedef struct raster { /* clear it at first */
    raster_cell *cell;  /* [rows][cols] */
    int rows, cols;
    int64_t room;
    double first, last; /* steps that the columns span, both ends inside */
    double scale;       /* columns a step */
} raster;

/* Gives it its size, empty. 1, or 0: out of memory, then it is as it was. */
int raster_resize(raster *r, int rows, int cols, double first, double last);
void raster_free(raster *r);
/* Costs O(values within the steps + columns). */
void raster_fill(raster *r, int row, const pitot_series *s);
/* Steps in a column, at least 1. */
double raster_steps(const raster *r);
/* An axis that shows all finite cells, without margins; on a log axis the smallest of the positive ones is the low end. */
axis raster_axis(const raster *r, int scale);

#endif
