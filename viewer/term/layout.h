/* layout.h: where things stand on a screen of any size. Pure. */

#ifndef PITOT_VIEWER_TERM_LAYOUT_H
#define PITOT_VIEWER_TERM_LAYOUT_H

#include "term/canvas.h"

typedef struct layout {
    place title, line, body, keys, pages; /* from top to bottom; all but the title may be empty */
} layout;

/* `keys`: 1 if there shall be lines of keys and pages where there is room; `lined`: a line between title and body likewise. */
layout layout_screen(int rows, int cols, int keys, int lined);

typedef struct grid { /* panels of equal size on pages */
    place area;
    int down, across; /* panels on a page, at least 1 each */
    int per_page;     /* down * across */
    int64_t pages;    /* at least 1 */
} grid;

/* As many panels on a page as can be read, in the shape that suits a plot best. */
grid grid_choose(place area, int64_t panels);
/* Place of the k-th panel of a page. */
place grid_place(const grid *g, int k);
/* The panel of a page that covers a cell, or -1. */
int grid_at(const grid *g, int row, int col);

typedef struct panel_layout { /* the inside of a panel; what has no room is empty */
    place title, plot;
    place labels; /* left of the plot, for the y axis, its line in the last column */
    place line;   /* below the plot: the x axis */
    place steps;  /* below that: its labels */
} panel_layout;

/* `width`: columns that the labels of the y axis want. */
panel_layout layout_plot(place area, int width);

#endif
