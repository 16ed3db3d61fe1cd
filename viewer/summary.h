/* summary.h: a run in a few numbers, for tables of runs. Pure; a summary outlives the log that it was made from. */

#ifndef PITOT_VIEWER_SUMMARY_H
#define PITOT_VIEWER_SUMMARY_H

#include "pitot.h"

enum { RUN_WAITING, RUN_RUNNING, RUN_SILENT, RUN_DONE, RUN_FAILED, RUN_INTERRUPTED };

typedef struct run_summary { /* NaN: the run has no such number */
    int32_t ended;           /* PITOT_LOG_OPEN ... */
    int begun, validated;    /* anything was recorded; `best` is of val/loss, not of loss */
    int64_t step, steps;     /* the last, -1: none; planned, 0: not said */
    int64_t bytes, damaged;  /* read so far; lines that were left out */
    double loss, best, accuracy;
    int odd;                      /* the latest loss is not finite */
    double first_wall, last_wall; /* seconds since 1970; 0: none */
    double pace;                  /* seconds per step over the latest records */
} run_summary;

/* O(values of the loss). */
void summary_make(const pitot_log *log, run_summary *out);

/* RUN_...: an open run without records for ten seconds, or for ten steps' time if that is longer, is silent. */
int summary_state(const run_summary *s, double now);

/* Seconds per step over the latest records; NaN if that cannot be said. */
double summary_pace(const pitot_log *log);

#endif
