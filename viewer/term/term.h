/* term.h: the terminal. Everything that curses or signals need is in term.c; the rest of the viewer draws on a canvas. */

#ifndef PITOT_VIEWER_TERM_TERM_H
#define PITOT_VIEWER_TERM_TERM_H

#include "term/canvas.h"

/* What term_key returns besides characters. */
enum {
    TERM_NONE = -1,
    TERM_ENTER = '\r',
    TERM_ESCAPE = 27,
    TERM_TAB = '\t',
    TERM_UP = 0x110000,
    TERM_DOWN,
    TERM_LEFT,
    TERM_RIGHT,
    TERM_PAGE_UP,
    TERM_PAGE_DOWN,
    TERM_HOME,
    TERM_END,
    TERM_BACK_TAB,
    TERM_BACKSPACE,
    TERM_RESIZE
};

/* Takes over the terminal of standard input and output. 0, or -1 with a sentence in `why` and the terminal untouched. */
int term_open(char *why, size_t size);
/* Gives it back as it was. Harmless if it is not open. */
void term_close(void);

void term_size(int *rows, int *cols);
void term_show(const canvas *c);
/* The next show draws every cell again. */
void term_redraw(void);

/* Waits at most that long for a key. TERM_NONE: there was none, or term_stopped() has something to say. */
int term_key(int milliseconds);
/* The signal that asked to stop (SIGINT, SIGTERM, SIGHUP; SIGHUP also when the terminal is gone), or 0. */
int term_stopped(void);

/* ---- also when it is not open ---- */

/* Whether LC_CTYPE, set by the caller, can show braille. */
int term_is_unicode(void);
/* Size of the terminal behind a descriptor; 0: it is none. */
int term_window(int descriptor, int *rows, int *cols);

#endif
