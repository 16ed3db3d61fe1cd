/* shelf.h: where the dials of the cockpit stand, on a place of any size. Pure.

   Groups stand in one to three columns. Every dial has a row; rows to spare go to pictures in order of importance until each can be read,
   then to all alike. A column that is longer than the place is cut and can be scrolled. */

#ifndef PITOT_VIEWER_TERM_SHELF_H
#define PITOT_VIEWER_TERM_SHELF_H

#include "term/dial.h"

enum { SHELF_SLOTS = 64, SHELF_COLUMNS = 3 };

typedef struct slot {
    const dial *dial; /* NULL: the title of the group */
    int group, column;
    int row, rows; /* from the top of its column; 0 rows: it is not shown */
} slot;

typedef struct shelf {
    place area, column[SHELF_COLUMNS];
    int columns, slots;
    int high[SHELF_COLUMNS]; /* rows of all that stands in a column */
    int over;                /* rows that the longest one has too many */
    slot slot[SHELF_SLOTS];
} shelf;

void shelf_plan(shelf *s, place area, const shown *all);
/* Where slot k stands if the page is scrolled down by `top` rows; without rows if it is not all in sight. */
place shelf_place(const shelf *s, int k, int top);

#endif
