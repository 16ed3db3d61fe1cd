/* log_column.h: the values of a log in columns, one a name and kind.

   A column is in order as far as anyone may look. What arrives out of order waits behind, and is merged when the reading is done for
   now (log_columns_settle), so that no order of steps makes reading quadratic. A header voids values in every column, but a column
   hears of it only when it is touched next, or when all are settled. A column that was merged, or whose newest row was overwritten
   with another wall time, has rows of its own from then on. */

#ifndef PITOT_SRC_LOG_COLUMN_H
#define PITOT_SRC_LOG_COLUMN_H

#include "run/log_rows.h"

enum { LOG_NUMBERS, LOG_LISTS, LOG_KINDS };

typedef struct log_point {
    int64_t step;
    double wall, value;
} log_point;

typedef struct log_column {
    char *name;
    int64_t name_length;
    uint64_t hash;
    log_rows *rows; /* NULL: no value yet */
    double *value;  /* [room]: at the first n rows */
    int64_t n, room;
    log_point *late; /* [late_room]: in order of arrival; a step -1-S says that those >= S before it are void */
    int64_t lates, late_room;
    int64_t heard; /* headers that this column knows of */
    int64_t rank;  /* among the columns of its kind, by first appearance */
    int plain;     /* the name stands in lines as it is, without escapes */
    int kind;      /* LOG_NUMBERS or LOG_LISTS: the value is the byte of the file at which the line begins */
} log_column;

typedef struct log_columns {
    log_rows_pool pool;
    log_column *column; /* [room], in order of first appearance */
    int64_t n, room;
    int64_t *slot; /* [slots], a power of two: column + 1 or 0 */
    int64_t slots;
    int64_t *ranked[LOG_KINDS]; /* [ranked_room]: the column of each rank */
    int64_t count[LOG_KINDS], ranked_room[LOG_KINDS];
    int unsettled; /* columns have late values, or have not heard of a header */
} log_columns;

/* 0: no memory; the value is not there, or the column is as it was; putting it again is right. Cost O(1) on average. */
int log_column_put(log_columns *all, log_column *c, int64_t step, double wall, double value);
/* How many values may be looked at. */
int64_t log_column_length(const log_column *c);
/* Merges what is late into its place. 0: no memory, nothing changed. (log_late.c) */
int log_column_merge(log_columns *all, log_column *c);

/* Steps >= `step` become void in every column. 0: no memory. */
int log_columns_void(log_columns *all, int64_t step);
/* Makes every column fit to be looked at; *last: the largest step that is left, or -1. 0: no memory, some are not. O(columns), and only
   after something out of order or a header. */
int log_columns_settle(log_columns *all, int64_t *last);
/* As at first, of nothing; columns_free also gives back its tables. */
void log_columns_clear(log_columns *all);
void log_columns_free(log_columns *all);

/* ---- log_names.c ---- */

int log_column_is_called(const log_column *c, int kind, const char *name, int64_t length);
/* Index of the column of that kind and name; -1: there is none. */
int64_t log_columns_find(const log_columns *all, int kind, const char *name, int64_t length);
/* The same, made if there is none; -1: no memory. */
int64_t log_columns_called(log_columns *all, int kind, const char *name, int64_t length);

#endif
