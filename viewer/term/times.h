/* times.h: ticks of time, where the round numbers are those of clocks. Pure, but for the time zone. */

#ifndef PITOT_VIEWER_TERM_TIMES_H
#define PITOT_VIEWER_TERM_TIMES_H

#include "view.h"

/* At most `room` ticks from lo to hi, in seconds: "45 s", "1:30", "2 h", "3 d". Returns how many; 0: clocks have no such times. */
int times_ticks(double lo, double hi, int wanted, tick *ticks, int room);
/* The same of wall times, in seconds since 1970, local time: "14:05:10", "14:05", "Nov 22", "2026-11". */
int times_ticks_of_day(double lo, double hi, int wanted, tick *ticks, int room);

/* "Nov 22 14:05:10" */
void times_format(double wall, char *text, size_t size);

#endif
