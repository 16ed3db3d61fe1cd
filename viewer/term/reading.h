/* reading.h: what a run's series say at one step. */

#ifndef PITOT_VIEWER_TERM_READING_H
#define PITOT_VIEWER_TERM_READING_H

#include "term/screen.h"

/* The step that pages of a single step show of the run at hand: values at it, or the newest before. The cursor's; without one
   INT64_MAX, the newest of all. */
int64_t reading_step(const screen *s, const shown *all);
/* The steps of the run at hand that are in sight: *first < *last. */
void reading_range(const screen *s, const shown *all, int64_t *first, int64_t *last);

/* A series with values. 1, or 0: there is none. */
int reading_series(const pitot_log *log, const char *name, pitot_series *s);
/* Index of the newest value at or before `step`, or -1. */
int64_t reading_index(const pitot_series *s, int64_t step);
/* That value, NaN if there is none. */
double reading_at(const pitot_log *log, const char *name, int64_t step);

/* Pen of a value within its band: PEN_GOOD, PEN_WARN, PEN_ALARM; without a band PEN_MAIN, or PEN_ALARM for NaN. */
int reading_pen(const pitot_band *band, double v);
/* "0.0123", "nan", "-inf". */
void reading_text(double v, int digits, char *text, size_t size);

/* The largest eigenvalue of the loss's Hessian at which the optimizer is stable (probes/sharpness.c), and what it is called. NaN:
   not known, or the limit is not one of the Hessian itself (optimizers that precondition). */
double reading_limit(const pitot_log *log, int64_t step, char *name, size_t size);

#endif
