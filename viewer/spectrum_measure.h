/* spectrum_measure.h: what `pitot spectrum` asks of an operator. */

#ifndef PITOT_VIEWER_SPECTRUM_MEASURE_H
#define PITOT_VIEWER_SPECTRUM_MEASURE_H

#include "spectrum_file.h"

typedef struct spectrum_task {
    int32_t pairs;        /* at each end; 0: none */
    int32_t draws, steps; /* of the quadrature */
    double tolerance;     /* residual, as a share of the largest |theta| */
    double damping;       /* of the effective dimension; 0: a thousandth of the largest |theta| */
    uint64_t seed;
    int32_t (*progress)(void *user, int64_t products, int64_t of); /* after each product; not 0: end here; NULL allowed */
    void *user;
} spectrum_task;

/* Fills in what stands behind `loss` in *s, which is cleared there: both ends by Lanczos iteration, then the quadrature. Ended by progress:
   PITOT_OK, what is done, and complete 0. PITOT_EHOST: products are not finite. Cost: about 4 pairs + 30 products for each end, and
   draws * steps; for the ends as many vectors of op->n values as a GiB holds, at most 200, and `pairs` more; 2 pairs + 10 where that is not
   more than 64, or with a tolerance below the root of round-off. */
int32_t spectrum_measure(const pitot_linop *op, const spectrum_task *task, spectrum *s, pitot_error *error);

#endif
