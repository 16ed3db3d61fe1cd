/* title.h: the line that says how a run is doing. */

#ifndef PITOT_VIEWER_TERM_TITLE_H
#define PITOT_VIEWER_TERM_TITLE_H

#include "term/screen.h"

/* The run at hand: its name, whether it runs, how far it is, what the loss is, what is damaged. `where`: a dim word more, or "". */
void title_line(canvas *c, place at, const shown *all, const char *where);

#endif
