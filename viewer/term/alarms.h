/* alarms.h: a run's alarms on a canvas: the most urgent one as a line, all of them as a page. */

#ifndef PITOT_VIEWER_TERM_ALARMS_H
#define PITOT_VIEWER_TERM_ALARMS_H

#include "alarm.h"
#include "term/canvas.h"

/* The most urgent alarm that is not silenced, and how many more there are. Nothing if there is none. */
void alarms_line(canvas *c, place where, const alarm_list *list);
/* All alarms, the sentence of each below its headline; from the first one down, or as far as number `selected` (from 0) is in view.
   mark: 1 if that one is to be told from the others. */
void alarms_page(canvas *c, place where, const pitot_log *log, const alarm_list *list, int64_t selected, int mark);
/* Which alarm of that page stands on a row of the screen, or -1. */
int64_t alarms_at(place where, const pitot_log *log, const alarm_list *list, int64_t selected, int row);

#endif
