/* log_rows.h: the steps and wall times of records, kept once for all columns that have values at the same ones.

   A column stands on the first n of its rows. Whoever comes to a row first appends it; the others find it there. A column whose next
   record is another one moves: to rows that left the same place with the same record, else to a copy of its own. So a log of whole
   records costs 16 bytes a record and 8 a value, one where no two columns go together 24 a value, and copying is never more than
   a copy for every column and once more for each that is overwritten or late. */

#ifndef PITOT_SRC_LOG_ROWS_H
#define PITOT_SRC_LOG_ROWS_H

#include <stddef.h>
#include <stdint.h>

typedef struct log_cut { /* header number `header` left what is below `at` */
    int64_t header, at;
} log_cut;

typedef struct log_cuts { /* both ascend: entry k is the least `at` of the headers from its own on */
    log_cut *list;        /* [room] */
    int64_t n, room;
} log_cuts;

typedef struct log_rows log_rows;
struct log_rows {
    int64_t *step; /* step, wall: [room]; 0..n ascending */
    double *wall;
    int64_t n, room;
    int64_t users;            /* columns */
    int64_t id, parent, fork; /* its first `fork` rows are those of the rows numbered `parent` */
    int64_t heard;            /* headers that it knows of */
    log_cuts cuts;            /* in rows: what headers left of them */
    int closed;               /* one column's for good */
    struct log_rows *older, *newer;
};

typedef struct log_rows_pool {
    log_rows *newest;
    int64_t made;
    int64_t headers; /* so far */
    log_cuts voided; /* in steps: each header's first */
    double growth;   /* bytes of the file over bytes read */
} log_rows_pool;

/* Room for `need` elements, growing by half so that appending is O(1) on average. 0: no memory, nothing changed. */
int log_make_room(void **block, int64_t used, int64_t *room, int64_t need, size_t size);
/* How many elements to ask for when `used` are full: as many per byte as so far, up to the end of the file. At most four times what
   is there, since files need not go on as they began. */
int64_t log_expected(const log_rows_pool *pool, int64_t used);
/* First place in step[0..n) that holds `limit` or more. */
int64_t log_lower_bound(const int64_t *step, int64_t n, int64_t limit);

/* 0: no memory, nothing changed. */
int log_cuts_add(log_cuts *c, int64_t header, int64_t at);
/* The least `at` of headers after number `since`; INT64_MAX: there are none. O(log n). */
int64_t log_cuts_least(const log_cuts *c, int64_t since);

/* Tells the rows what headers voided since. 0: no memory. */
int log_rows_hear(const log_rows_pool *pool, log_rows *r);
/* Is row `at` that record? Bits are compared: a wall time that was not given is NaN. */
int log_rows_have(const log_rows *r, int64_t at, int64_t step, double wall);
/* The rows on which a column that stands on the first `at` of `r` (NULL and 0: on none) finds (step, wall) at `at`: `r` itself, others,
   or new ones. The column counts as their user from then on and no more as one of `r`. NULL: no memory, nothing changed. */
log_rows *log_rows_take(log_rows_pool *pool, log_rows *r, int64_t at, int64_t step, double wall);
/* The column's first `n` of `r` as rows of its own, with room for `room`; counted alike. */
log_rows *log_rows_own(log_rows_pool *pool, log_rows *r, int64_t n, int64_t room);
/* Rows with room for n, none of them taken, and no user yet; they are nobody's beginning. NULL: no memory. */
log_rows *log_rows_new(log_rows_pool *pool, int64_t n);
/* One user less; the last frees them. NULL allowed. */
void log_rows_leave(log_rows_pool *pool, log_rows *r);

#endif
