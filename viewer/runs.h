/* runs.h: the runs that the viewer watches: opening them, reading what is new, and what pages see of them.

   A run that was named is read, and stays so. Of a folder's runs, those are kept in memory that are seen: the one at hand, those in the
   plots (the PLOTTED last active ones, until the user chooses otherwise), pinned ones, and up to LIVE that still grow. Each other one is
   read once for its summary, and again when its file has changed; of its values nothing is kept. */

#ifndef PITOT_VIEWER_RUNS_H
#define PITOT_VIEWER_RUNS_H

#include "runs_folder.h"
#include "term/screen.h"

typedef struct watched watched; /* one run */

enum { RUNS_PLOTTED = PEN_RUNS, RUNS_LIVE = 64 };

typedef struct runs { /* clear it at first */
    watched **run;    /* [all.runs] */
    shown all;        /* what pages see; all.run[k] is of run[k] */
    runs_folder **folder;
    int folders;
    double scanned; /* when folders were looked through; by the monotonic clock, like all of these */
    int live;       /* runs of folders that grow */
    int indexes;    /* 1: an index is kept beside logs that are long to read (pitot_log_index) */
} runs;

/* Adds RUN, a run directory or an events.jsonl, or a folder of runs. A trainer started at the same moment may not have made it yet:
   `wait` seconds are given to that. An exit status; what is wrong has been said. */
int runs_open(runs *r, const char *path, double wait);

/* Looks for new runs every few seconds, then reads at most `budget` bytes of all runs together (0: all), the one at hand first. *news
   is set if there was anything new. 1: there is more to read at once. */
int runs_poll(runs *r, int64_t budget, int *news);

/* 1: a run is in sight that has not been read. */
int runs_wanting(const runs *r);

/* Makes the facts about run k new that pages see and that reading does not change: the file's size, its alarms. If there is no
   memory for alarms, none. */
void runs_refresh(runs *r, int k);

/* Why run k cannot be read; its status is PITOT_OK if it can. */
const pitot_error *runs_trouble(const runs *r, int k);

/* 1: the run has said that it has ended. */
int runs_ended(const runs *r, int k);

/* 1: there is a folder among what is watched. */
int runs_has_folder(const runs *r);

void runs_free(runs *r);

#endif
