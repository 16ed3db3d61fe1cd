/* runs.h: the runs that the viewer watches: opening them, reading what is new, and what pages see of them. */

#ifndef PITOT_VIEWER_RUNS_H
#define PITOT_VIEWER_RUNS_H

#include "term/screen.h"

typedef struct watched watched; /* one run */

typedef struct runs { /* clear it at first */
    watched **run;    /* [all.runs] */
    shown all;        /* what pages see; all.run[k] is of run[k] */
} runs;

/* Adds RUN, a run directory or an events.jsonl. A trainer started at the same moment may not have made it yet: `wait` seconds are
   given to that. An exit status; what is wrong has been said. */
int runs_open(runs *r, const char *path, double wait);

/* Reads at most `budget` bytes (0: all) of run k. Returns how many; *news is set if there was anything new. */
int64_t runs_poll(runs *r, int k, int64_t budget, int *news);

/* Makes the facts about run k new that pages see and that reading does not change: the file's size, its alarms. If there is no
   memory for alarms, none. */
void runs_refresh(runs *r, int k);

/* Why run k cannot be read; its status is PITOT_OK if it can. */
const pitot_error *runs_trouble(const runs *r, int k);

/* 1: the run has said that it has ended. */
int runs_ended(const runs *r, int k);

void runs_free(runs *r);

#endif
