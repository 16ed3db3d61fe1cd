/* history.h: a few series over the steps of the screen, as lines in a place of any size, without a title. */

#ifndef PITOT_VIEWER_TERM_HISTORY_H
#define PITOT_VIEWER_TERM_HISTORY_H

#include "term/screen.h"

enum { HISTORY_LINES = 4 };

typedef struct history {
    pitot_series line[HISTORY_LINES]; /* the first one is drawn last */
    int pen[HISTORY_LINES];
    int lines;
    int scale;    /* AXIS_... proposed */
    int labelled; /* 1: values at the left, where there is room */
    int stepped;  /* 1: steps below, likewise */
    double level; /* a value to hold the lines against; NaN: none */
    int64_t mark; /* a step to be marked; negative: none */
} history;

/* The steps of the run at hand that are in sight. Costs O(values in sight + cells). 0 or PITOT_ENOMEM. */
int32_t history_draw(screen *s, const shown *all, place at, const history *h);

#endif
