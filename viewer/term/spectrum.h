/* spectrum.h: the pane of spectral densities: one record of the probe hess_spectrum. */

#ifndef PITOT_VIEWER_TERM_SPECTRUM_H
#define PITOT_VIEWER_TERM_SPECTRUM_H

#include "spectrum_shape.h"
#include "term/screen.h"

typedef struct spectrum_record {
    spectrum_nodes q;
    const double *stem; /* eigenvalues that are drawn one by one: (stems) */
    int64_t stems;
    const char *stem_name;         /* what they are: "ggn_spectrum", or "" */
    int64_t step, number, of;      /* record `number` (from 1) of `of` */
    double trace, error, negative; /* NaN: not known */
    double limit;                  /* of the optimizer's stability; not above 0: not known */
    const char *limit_name;        /* "2/lr" */
} spectrum_record;

/* Draws a record into `where`, whatever its size: what has no room is left out. Looks at nothing else. 0 or PITOT_ENOMEM. */
int32_t spectrum_pane(canvas *c, place where, const spectrum_record *r);

/* The steps of all records on a line of one row, number `at` (from 0) of them marked. */
void spectrum_time(canvas *c, place where, const int64_t *step, int64_t n, int64_t at);

/* How many densities the log has. */
int64_t spectrum_records(const pitot_log *log);
/* Record *number (from 1; 0: the newest) as the screen's body; 0 is what a number behind the newest becomes. 0 or PITOT_ENOMEM. */
int32_t spectrum_screen(screen *s, const shown *all, int64_t *number);

#endif
