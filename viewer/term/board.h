/* board.h: the panels of all runs that are drawn, in one list: panels of several runs with one name are one. Pure. */

#ifndef PITOT_VIEWER_TERM_BOARD_H
#define PITOT_VIEWER_TERM_BOARD_H

#include "term/screen.h"

typedef struct board { /* clear it at first */
    int64_t n, room;
    int runs;
    int64_t *panel; /* [n][runs]: index into the run's own list; -1: it has none of that name */
} board;

/* Collects the panels whose titles match, in their usual order. Valid until the runs' panels change. 0 or PITOT_ENOMEM, then it is
   empty. Cost: O(panels of all runs + panels * runs). */
int32_t board_make(board *b, const screen *s, const shown *all, const filter *titles);
/* Panel k as a run has it, or NULL. */
const panel *board_panel(const board *b, const shown *all, int64_t k, int run);
/* Panel k as the run at hand has it, otherwise as the first that does. */
const panel *board_any(const board *b, const shown *all, int64_t k);
/* Which run that is. */
int board_run(const board *b, const shown *all, int64_t k);
void board_free(board *b);

#endif
