/* runs_folder.h: which runs lie in a folder, and which have come since. A run is a folder with a run.json or an events.jsonl; they are
   looked for two levels deep, never inside of a run, never behind a symbolic link to a folder, never in a folder whose name begins
   with a dot. */

#ifndef PITOT_VIEWER_RUNS_FOLDER_H
#define PITOT_VIEWER_RUNS_FOLDER_H

typedef struct runs_folder runs_folder;

enum { FOLDER_RUNS = 1000 }; /* most that are kept */

typedef struct found_run {
    char *path;
    const char *name; /* the path within the folder: the end of `path` */
    double active;    /* when it was written to last, as it was found: seconds since 1970 */
} found_run;

/* 1: the folder is a run itself. */
int folder_is_run(const char *path);
/* NULL: no memory. Nothing is looked for yet. */
runs_folder *folder_open(const char *path);
void folder_close(runs_folder *f);
/* Looks for runs that have come. Costs a look at each folder that is no run; only those that changed are gone through. Returns how
   many runs were ever found; those of one call stand last active first. */
int folder_scan(runs_folder *f);
/* How many runs the latest call had found. */
int folder_known(const runs_folder *f);
const found_run *folder_run(const runs_folder *f, int k);
/* Runs that were left out because there are too many. */
int folder_left_out(const runs_folder *f);

#endif
