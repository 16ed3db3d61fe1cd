/* counts.h: a histogram as the log has it, for figures and the terminal. */

#ifndef PITOT_VIEWER_COUNTS_H
#define PITOT_VIEWER_COUNTS_H

#include "pitot.h"

typedef struct counts {
    double *count; /* (nx, ny), x slowest */
    double *x, *y; /* edges (nx+1), (ny+1), ascending; y NULL: one-dimensional, ny 1 */
    int64_t nx, ny, step;
    double most, total;
} counts;

/* The newest one up to `step`, with counts `key` and edges `x_key`, `y_key` (NULL: one-dimensional) of the same step or the newest before.
   1; 0: there is none, or its lists do not fit together; PITOT_ENOMEM. Release with counts_free. */
int counts_read(const pitot_log *log, const char *key, const char *x_key, const char *y_key, int64_t step, counts *c);
void counts_free(counts *c);

#endif
