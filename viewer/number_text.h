/* number_text.h: numbers that read back the same, whatever the locale. */

#ifndef PITOT_VIEWER_NUMBER_TEXT_H
#define PITOT_VIEWER_NUMBER_TEXT_H

/* Shortest decimal that reads back as the same double; the command never sets LC_NUMERIC, so printf's point is a point. */
void number_text(double v, char out[40]);

#endif
