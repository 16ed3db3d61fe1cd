/* plots.h: what the page of panels keeps, and the way to one of them for other pages. */

#ifndef PITOT_VIEWER_TERM_PLOTS_H
#define PITOT_VIEWER_TERM_PLOTS_H

#include "term/board.h"
#include "term/columns.h"

typedef struct plots {
    grid grid; /* as last drawn */
    board board;
    column_cache cache;
    filter titles;
    int64_t selected;         /* panel of the board */
    char title[64];           /* its title, by which it is found again when there are others; "": as `selected` says */
    char search[PROMPT_ROOM]; /* the last one */
    int enlarged;
    int scale;     /* of y: 0 as proposed, otherwise 1 + AXIS_... */
    int smoothing; /* SMOOTH_... */
    place *plot;   /* [plots]: the insides of the panels drawn last, for the mouse */
    int plots, plot_room;
} plots;

/* Opens the page with that panel alone. */
void plots_open(screen *s, const char *title);

#endif
