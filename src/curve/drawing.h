/* drawing.h: what the estimators of trace.h share: products that are counted and may be stopped, and how a result is judged. */

#ifndef PITOT_SRC_DRAWING_H
#define PITOT_SRC_DRAWING_H

#include "pitot/trace.h"

enum { DRAWING_TOGETHER = 8 }; /* products by one call */

typedef struct drawing {
    const pitot_linop *op;
    const pitot_draws *set;
    pitot_estimate *out;
    pitot_error *error;
    int64_t n, products; /* to spend */
    int64_t of;          /* that it comes to, for progress */
    int64_t repeated;    /* products beside those, to see that op stands still */
    int stopped;
    uint64_t purpose; /* of the test vectors */
} drawing;

/* Checks operator and settings, and clears the result. `what`: "xtrace". */
int32_t drawing_open(drawing *d, const pitot_linop *op, const pitot_draws *set, pitot_estimate *out, pitot_error *error,
                     const char *what, int64_t least_products, int symmetric);
/* PITOT_EINVAL, with a message, if `work` has fewer vectors. */
int32_t drawing_need(const drawing *d, const char *what, int64_t vectors);
/* Test vector i (n). */
void drawing_signs(const drawing *d, pitot_real *x, int64_t i);
/* y (k,n) = Op x, by one call. */
int32_t drawing_apply(drawing *d, const pitot_real *x, pitot_real *y, int64_t k);
/* converged, for a value of that size; a status with its message. Returns it. */
int32_t drawing_close(drawing *d, int32_t status, double size);

/* ---- mean and standard error of values that come one by one (Welford 1962) ---- */

typedef struct running {
    int64_t count;
    double mean, squares;
} running;

static inline void running_add(running *r, double x) {
    double before = x - r->mean;
    r->mean += before / (double)++r->count;
    r->squares += before * (x - r->mean);
}

double running_error(const running *r); /* NaN of fewer than two */

#endif
