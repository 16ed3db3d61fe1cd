/* plot.h: one panel on the canvas: title, axes, lines of all runs. */

#ifndef PITOT_VIEWER_TERM_PLOT_H
#define PITOT_VIEWER_TERM_PLOT_H

#include "term/plots.h"

typedef struct plot_look {
    int number;   /* key that enlarges it, 0: none */
    int chosen;   /* its title is marked */
    int enlarged; /* tensors of the run at hand beside the whole, and all names */
} plot_look;

/* Draws panel k of own->board into `where`: of x what s->window says is in sight. Raises s->window.dots to the plot's width, and writes
   in *inside where its lines are. 0 or PITOT_ENOMEM. Cost: O(columns * lines), and what columns_get costs. */
int32_t plot_panel(screen *s, const shown *all, plots *own, int64_t k, place where, plot_look look, place *inside);

#endif
