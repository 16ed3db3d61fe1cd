/* layout.h: where things stand on a screen of any size. Pure. */

#ifndef PITOT_VIEWER_TERM_LAYOUT_H
#define PITOT_VIEWER_TERM_LAYOUT_H

#include "term/canvas.h"

typedef struct layout {
    place title, line, body, keys; /* from top to bottom; all but the title may be empty */
    int down, across;              /* panels on a page */
    int per_page;                  /* down * across */
    int64_t pages;                 /* at least 1 */
} layout;

/* `keys`: 1 if there shall be a line of keys where there is room. */
layout layout_screen(int rows, int cols, int64_t panels, int keys);
/* The same, with a line between title and body where there are rows enough. */
layout layout_screen_lined(int rows, int cols, int64_t panels, int keys);
/* Place of the k-th panel of a page. */
place layout_panel(const layout *l, int k);

typedef struct panel_layout { /* the inside of a panel; what has no room is empty */
    place title, plot;
    place labels; /* left of the plot, for the y axis, its line in the last column */
    place line;   /* below the plot: the x axis */
    place steps;  /* below that: its labels */
} panel_layout;

/* `width`: columns that the labels of the y axis want. */
panel_layout layout_plot(place area, int width);

#endif
