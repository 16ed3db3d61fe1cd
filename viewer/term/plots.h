/* plots.h: what the page of panels keeps, for pages that lead to one of them. */

#ifndef PITOT_VIEWER_TERM_PLOTS_H
#define PITOT_VIEWER_TERM_PLOTS_H

#include "term/layout.h"

typedef struct plots {
    grid grid;        /* as last drawn */
    int64_t selected; /* panel */
    int enlarged, log_y, raw /* not smoothed */;
} plots;

#endif
