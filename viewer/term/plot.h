/* plot.h: one panel on the canvas: title, axes, lines. */

#ifndef PITOT_VIEWER_TERM_PLOT_H
#define PITOT_VIEWER_TERM_PLOT_H

#include "term/screen.h"

typedef struct plot_look {
    int number;     /* key that enlarges it, 0: none */
    int chosen;     /* its title is marked */
    int enlarged;   /* tensors beside the whole, and their names */
    int log_y, raw; /* the other kind of y axis; nothing smoothed */
} plot_look;

/* Draws panel p of the run at hand into `where`, steps from s->first_step to s->last_step. 0 or PITOT_ENOMEM. */
int32_t plot_panel(screen *s, const shown *all, const panel *p, place where, plot_look look);

#endif
