/* histogram.h: a target's histograms while its values are counted: one table for each and every thread, added up in the end. */

#ifndef PITOT_SRC_HISTOGRAM_H
#define PITOT_SRC_HISTOGRAM_H

#include "sweep/axis.h"

typedef struct tally { /* one histogram */
    axis x, y;
    int64_t stride;  /* of the table, from one bin of x to the next: 1; on two axes y.bins + 1, the last for a theta that is NaN */
    int64_t room;    /* (x.bins, stride) in whole lines */
    int64_t *table;  /* (threads, room) */
    int32_t *y_bin;  /* (blocks, run): of the theta at hand */
    int64_t y_begin; /* values from one block to the next */
} tally;

typedef struct tallies {
    const sweep_job *job;
    int threads;
    int32_t n; /* histograms */
    tally *of;
    double scale; /* of what is counted; finite, not 0 */
    double
        before; /* what is counted is multiplied by this first. 1 unless the job's scale is 0 or not finite: then that, and scale 1 */
    pitot_real *most; /* (threads, a line): largest magnitude seen */
} tallies;

/* Room for y bins: `blocks` runs of at most `run` values. */
tallies tallies_lay_out(const sweep_job *job, int threads, int64_t blocks, int64_t run, arena *a);
/* Axes for values that are scale times what is counted; tables of 0. */
void tallies_start(tallies *t, double scale);
/* Into this block: the bins of theta, values begin..end of a target, for two axes. */
void tally_values(const tally *h, const sweep_target *t, int64_t begin, int64_t end, int64_t block);
/* The same for all histograms that have two; by several threads if called from outside. */
void tallies_values(const tallies *t, const sweep_target *target, int64_t begin, int64_t end, int64_t block);
/* x (n), whose theta stand in the block from `begin` on. */
void tallies_count(const tallies *t, const pitot_real *x, int64_t n, int64_t block, int64_t begin, int thread);
/* A magnitude that was seen, not counted. */
void tallies_largest(const tallies *t, pitot_real magnitude, int thread);
/* The job's counts of this target. */
void tallies_finish(const tallies *t, int32_t target);

/* All of the job's counts and magnitudes: 0. */
void histograms_clear(const sweep_job *job);

/* ---- plain_histogram.c ---- */

void plain_histogram_work(const sweep_job *job, const sweep_target *t, arena *a);
void plain_histogram_run(const sweep_job *job, int32_t target, arena *a);

#endif
