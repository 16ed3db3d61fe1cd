/* columns.h: series sorted into columns of dots, with their smoothing, and a cache of that. Pure.

   Sorting costs O(values in sight) once per change of the log, of the window, of the width or of the smoothing; a frame for which none
   of them changed, such as one with only the cursor moved, costs O(columns). */

#ifndef PITOT_VIEWER_TERM_COLUMNS_H
#define PITOT_VIEWER_TERM_COLUMNS_H

#include "term/canvas.h"
#include "term/window.h"

enum { SMOOTH_SUITED, SMOOTH_NONE, SMOOTH_LITTLE, SMOOTH_MUCH, SMOOTH_MOST, SMOOTH_END };

typedef struct beside { /* the finite value next to what is in sight, so that lines reach its edge */
    double at;          /* in columns of dots, < 0 or > count - 1; NaN: there is none */
    double raw, calm;
} beside;

typedef struct column_edge {
    double from;  /* the least x of a column */
    int64_t last; /* its last record with a finite value; -1: none */
} column_edge;

typedef struct columns {
    int count;          /* columns of dots */
    bin *raw, *calm;    /* [count]; calm: its smoothing, NULL: there is none */
    column_edge *edge;  /* [count + 1] */
    int64_t first, end; /* records in sight */
    beside left, right;
} columns;

/* Sorts what is in sight of s into c->raw (c->count, c->raw and c->edge are the caller's). The middles of the first and the last column are
   the ends of x. O(log n + values in sight). */
void columns_sort(columns *c, const axis *x, const run_x *r, const pitot_series *s);

/* Weight of the past of SMOOTH_...; 0: none. */
double columns_weight(int smoothing);

/* Smooths what was sorted into `calm` [count], which c->calm then is; NULL if there is nothing to smooth.

   It is the exponential average with bias correction over the values themselves (view.h, smooth), of which each column shows the one at
   its last finite value. It is computed from the latest values whose weights make up all but 1e-5 of the whole, so that a column costs
   O(1 / (1 - weight)) however many values it has. SMOOTH_SUITED is an average over columns to both sides, which does not lag, and none
   for lines without noise. */
void columns_smooth(columns *c, const pitot_series *s, int smoothing, bin *calm);

/* ---- the cache ------------------------------------------------------------------------------------------------------- */

typedef struct column_cache { /* clear it at first */
    struct cached **slot;     /* [room] lists; a power of two */
    int64_t room, n, bytes;
    int64_t frame;
    int64_t sorted; /* how often columns were not there, or old */
} column_cache;

/* What was not used in the last frame goes, if there is much of it. */
void columns_begin(column_cache *cache);
/* The columns of series `index` of a log; they stay until the next columns_begin. NULL: out of memory. */
const columns *columns_get(column_cache *cache, const pitot_log *log, int64_t index, int count, const axis *x, const run_x *r,
                           int smoothing);
void columns_forget(column_cache *cache);

#endif
