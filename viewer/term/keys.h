/* keys.h: what the keys do. One table: the loop, the bottom line and the help screen read it. */

#ifndef PITOT_VIEWER_TERM_KEYS_H
#define PITOT_VIEWER_TERM_KEYS_H

enum {
    DO_NOTHING,
    DO_QUIT,
    DO_PAGE_BACK,
    DO_PAGE_ON,
    DO_FIRST,
    DO_LAST,
    DO_SELECT_BACK,
    DO_SELECT_ON,
    DO_ENLARGE,
    DO_GO_BACK,
    DO_PANEL, /* the digit says which */
    DO_LOG,
    DO_SMOOTH,
    DO_SPECTRUM,
    DO_ALARMS,
    DO_NEXT_RUN,
    DO_LAST_RUN,
    DO_HELP,
    DO_REDRAW
};

typedef struct key {
    int action;               /* DO_NOTHING ends the table */
    int codes[5];             /* as term_key returns them; 0: none */
    const char *keys, *label; /* "q", "quit": for the bottom line; label NULL: not there */
    const char *help;
} key;

extern const key key_table[];

/* DO_NOTHING for a key that nobody has. */
int key_action(int code);

#endif
