/* term.h: the terminal. Everything that curses or signals need is in term.c; the rest of the viewer draws on a canvas. */

#ifndef PITOT_VIEWER_TERM_TERM_H
#define PITOT_VIEWER_TERM_TERM_H

#include "term/canvas.h"
#include "term/keys.h"

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
    TERM_RESIZE,
    TERM_MOUSE
};

/* Takes over the terminal of standard input and output, and its mouse if it is wanted. 0, or -1 with a sentence in `why` and the
   terminal untouched. */
int term_open(int use_mouse, char *why, size_t size);
/* Gives it back as it was. Harmless if it is not open. A crash gives it back as well. */
void term_close(void);

void term_size(int *rows, int *cols);
void term_show(const canvas *c);
/* THEME_... of the next show; dark until then. */
void term_theme(int theme);
/* The next show draws every cell again. */
void term_redraw(void);

/* Waits at most that long for a key. TERM_NONE: there was none, or term_stopped() has something to say. Ctrl-Z stops in here. */
int term_key(int milliseconds);
/* What the mouse did, after TERM_MOUSE. */
void term_mouse(event *out);
/* The signal that asked to stop (SIGINT, SIGTERM, SIGQUIT, SIGHUP; SIGHUP also when the terminal is gone), or 0. */
int term_stopped(void);

/* ---- also when it is not open ---- */

/* Whether LC_CTYPE, set by the caller, can show braille. */
int term_is_unicode(void);
/* Size of the terminal behind a descriptor; 0: it is none. */
int term_window(int descriptor, int *rows, int *cols);

#endif
