/* runs_table.h: the table of runs: which rows, in which order, which columns. Pure; the page of runs draws it. */

#ifndef PITOT_VIEWER_TERM_RUNS_TABLE_H
#define PITOT_VIEWER_TERM_RUNS_TABLE_H

#include "manifests.h"
#include "term/screen.h"

enum { /* columns that every table of runs has; behind them the options that differ */
       COLUMN_NAME,
       COLUMN_STATE,
       COLUMN_STEP,
       COLUMN_LOSS,
       COLUMN_BEST,
       COLUMN_ACCURACY,
       COLUMN_TIME,
       COLUMN_OPTION
};

enum { SORT_ACTIVE = -1 /* the last active first */ };

typedef struct runs_table { /* clear it at first */
    manifests manifests;
    uint64_t mark; /* of the manifests' texts that it was made from */
    int *row;      /* [rows]: runs, in order */
    unsigned char *hit;
    int rows, runs;
    int sort, reverse;        /* COLUMN_... or SORT_ACTIVE */
    char filter[PROMPT_ROOM]; /* regular expression on the name or on KEY=VALUE; "": all */
} runs_table;

/* Manifests, filter and order anew. 0 or PITOT_ENOMEM. */
int32_t runs_table_make(runs_table *t, const shown *all);
void runs_table_free(runs_table *t);
int runs_table_columns(const runs_table *t);
/* Heading and, of a run, the text and pen of a column. Numbers stand right. */
void runs_table_head(const runs_table *t, int column, char *text, size_t size);
int runs_table_cell(const runs_table *t, const shown *all, int run, int column, char *text, size_t size);
int runs_table_is_number(const runs_table *t, int column);
/* The row of a run, or -1. */
int runs_table_row(const runs_table *t, int run);
/* A run's summary, made from its log if it has none. */
run_summary runs_table_summary(const shown_run *run);

#endif
