/* keys.h: what the keys do, as tables: the loop, the bottom lines and the help screen read them. Each page has one of its own beside
   that of all pages. */

#ifndef PITOT_VIEWER_TERM_KEYS_H
#define PITOT_VIEWER_TERM_KEYS_H

enum {
    DO_NOTHING,
    DO_QUIT,
    DO_HELP,
    DO_REDRAW,
    DO_GO_BACK,
    DO_NEXT_RUN,
    DO_LAST_RUN,
    DO_DIGIT, /* 1 to 9 */
    DO_UP,
    DO_DOWN,
    DO_LEFT,
    DO_RIGHT,
    DO_PAGE_UP,
    DO_PAGE_DOWN,
    DO_FIRST,
    DO_LAST,
    DO_ENTER,
    DO_ANSWER, /* a line was typed: event.text; what had asked: event.asked */
    DO_CLICK,  /* the mouse: event.row, event.col */
    DO_DRAG,   /* moved while pressed; event.from_row, event.from_col: where it was pressed */
    DO_RELEASE,
    DO_WHEEL_UP,
    DO_WHEEL_DOWN,
    DO_THEME,
    DO_EXPORT,       /* as `asked` of an answer too: the file */
    DO_OVERWRITE,    /* only so: whether that file may be lost */
    DO_SHARED = 100, /* and up: keys that some pages share */
    DO_OWN = 1000    /* and up: a page's own */
};

typedef struct event {
    int action, code; /* DO_...; the key as term_key returned it */
    int asked;
    const char *text;
    int row, col, from_row, from_col; /* cells */
} event;

typedef struct key {
    int action;               /* DO_NOTHING ends the table */
    int codes[5];             /* as term_key returns them; 0: none */
    const char *keys, *label; /* "q", "quit": for the bottom line; label NULL: not there */
    const char *help;
} key;

extern const key key_table[]; /* of all pages */

/* The action of a code in a table (NULL: an empty one), or DO_NOTHING. */
int key_find(const key *table, int code);

#endif
