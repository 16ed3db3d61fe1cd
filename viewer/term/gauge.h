/* gauge.h: one value on a scale of one row, and bars of dots. */

#ifndef PITOT_VIEWER_TERM_GAUGE_H
#define PITOT_VIEWER_TERM_GAUGE_H

#include "term/canvas.h"

typedef struct gauge {
    axis a;
    double value;           /* a mark; beyond the ends an arrow */
    const pitot_band *band; /* zones of the scale; NULL: none */
    double tick[4];         /* crossed places */
    int ticks;
} gauge;

/* Draws it into the first row of `at`. */
void gauge_draw(canvas *c, place at, const gauge *g);

/* A bar of dots in column x of dots (two to a cell), `share` of the height from the bottom; anything above 0 is at least one dot. */
void bar_up(canvas *c, place at, int x, double share, int pen);
/* One to the right in a row of cells, in eighths of a cell (ASCII: halves). */
void bar_right(canvas *c, place at, int row, double share, int pen);
/* One dot; x from the left, y from the top, in dots of the area. Outside of it nothing happens. */
void dot_put(canvas *c, place at, int x, int y, int pen);

#endif
