/* progress.h: one line that tells how far something is: rewritten in place on a terminal, a line now and then elsewhere. */

#ifndef PITOT_VIEWER_PROGRESS_H
#define PITOT_VIEWER_PROGRESS_H

typedef struct progress_line {
    int terminal; /* standard error is one */
    int shown;
    double started, last; /* seconds */
} progress_line;

void progress_start(progress_line *p);
/* done of all, at `rate` a second, `left` seconds to go (NaN: not known). Shows nothing within the first second. */
void progress_show(progress_line *p, const char *text, double done, double all, double rate, double left);
void progress_end(progress_line *p);

#endif
