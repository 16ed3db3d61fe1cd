/* rescue.h: a terminal that is given back by a program that crashes. */

#ifndef PITOT_VIEWER_TERM_RESCUE_H
#define PITOT_VIEWER_TERM_RESCUE_H

#include <stddef.h>
#include <termios.h>

/* From now on SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT write `bytes` to standard output, set the terminal to `settings`, and then do
   what they did before. Their handlers have a stack of their own. */
void rescue_arm(const char *bytes, size_t n, const struct termios *settings);
void rescue_disarm(void);

#endif
