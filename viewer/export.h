/* export.h: a run's values in other programs' files. */

#ifndef PITOT_VIEWER_EXPORT_H
#define PITOT_VIEWER_EXPORT_H

#include "pitot.h"
#include "progress.h"

#include <stdio.h>

/* All series of a log, gone through by ascending step. Holds while the log is not polled. */
typedef struct export_table {
    const pitot_log *log;
    pitot_series *series; /* [n] */
    char **name;          /* [n]: the series' names in well-formed UTF-8 */
    int64_t *at;          /* [n]: the first value that is still to come */
    int64_t n;
    int64_t done, all; /* values gone through, values */
    double started;    /* seconds */
    progress_line line;
} export_table;

/* 0, or PITOT_ENOMEM with nothing to free. */
int32_t export_table_make(const pitot_log *log, export_table *t);
void export_table_free(export_table *t);
/* The next step that any series has, or INT64_MAX at the end. O(series). */
int64_t export_next(const export_table *t);
/* Has series i a value at `step`, which export_next returned? */
int export_has(const export_table *t, int64_t i, int64_t step);
/* Goes on behind `step`, and shows how far that is. */
void export_done(export_table *t, int64_t step);

double export_clock(void); /* seconds */
/* A copy in which every byte that is not of a UTF-8 character is U+FFFD; NULL: no memory. Free with free(). */
char *export_utf8(const char *text);

/* One field of a table: quoted where it has to be; a number with as many digits as it needs. */
void export_put_field(FILE *out, const char *text);
void export_put_number(FILE *out, double v);

/* 1, or 0: the file could not be written, or (tfevents) no memory and errno is ENOMEM. Whatever is still in `out`'s buffer is the
   caller's to flush. */
int export_csv(export_table *t, FILE *out);
/* `start`: wall time of the first event, and of those without one. */
int export_tfevents(export_table *t, FILE *out, double start);

#endif
