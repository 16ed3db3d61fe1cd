/* screen.h: one screen of the viewer, from runs' logs to a canvas. Looks at no clock and no terminal.

   A screen is a title, a line for the most urgent alarm, the body, and lines of keys. The body belongs to one page (page.h). */

#ifndef PITOT_VIEWER_TERM_SCREEN_H
#define PITOT_VIEWER_TERM_SCREEN_H

#include "alarm.h"
#include "summary.h"
#include "term/canvas.h"
#include "term/filter.h"
#include "term/keys.h"
#include "term/layout.h"
#include "term/window.h"

typedef struct shown_run { /* one run, as the viewer holds it */
    const char *name, *path;
    const pitot_log *log;
    const panel_list *panels;
    alarm_list *alarms;         /* NULL: not looked for */
    const run_summary *summary; /* stays when the log's values are not kept in memory; NULL: made from the log when wanted */
    int64_t file_size;          /* of events.jsonl; 0: not there */
    const char *trouble;        /* why reading fails, or "" */
    int pen;                    /* of its lines: PEN_MAIN, of several runs PEN_RUN and up; it never changes */
    int hidden;                 /* 1: not among the plots' lines, by the user's choice */
    int unread;                 /* 1: its first reading has not come to the end */
    int hidden_at_first;        /* what `hidden` was before the user chose */
    int pinned;                 /* 1: drawn whatever filters say, and above the others */
} shown_run;

typedef struct shown { /* what there is to see; pages may change `at`, `hidden`, `pinned` */
    shown_run *run;
    int runs, at;     /* run[at] is the one whose facts stand in the title */
    int left_out;     /* runs of folders that are more than can be watched */
    double now;       /* seconds since 1970 */
    double closes_in; /* seconds until the viewer ends by itself; <= 0: it stays */
} shown;

static inline shown_run *shown_at(const shown *all) {
    return &all->run[all->at];
}

enum { PROMPT_ROOM = 256 };

typedef struct prompt { /* a line that is being typed, in place of the keys */
    int asked;          /* the action that asked for it; DO_NOTHING: none is typed */
    char question[48];
    char text[PROMPT_ROOM]; /* UTF-8 */
    int length;             /* bytes of it */
} prompt;

typedef struct screen { /* what the user chose; clear it at first */
    canvas canvas;
    layout layout;
    int page, pages; /* index into page_table */
    void **own;      /* [pages]: what each page keeps */
    int help;        /* 0: not shown; otherwise the line it begins with, from 1 */
    int help_more;   /* there are lines below */
    int theme;       /* THEME_... */
    int still;       /* for print: no lines of keys, nothing is selected */
    prompt prompt;
    char file[PROMPT_ROOM];        /* to export the view to */
    int file_due, file_sure;       /* whoever draws is to write it; even over another */
    char note[160];                /* one sentence in place of the keys until the next key: "wrote loss.png" */
    int64_t first_step, last_step; /* of all drawn runs together, the last one behind the first */
    window window;                 /* what of them is in sight, on pages that are `windowed` */
    filter drawn;                  /* of runs, by name */
    bin *bins;                     /* [bins_room], for plot.c */
    int64_t bins_room;
} screen;

/* Draws everything at that size. 0 or PITOT_ENOMEM. */
int32_t screen_draw(screen *s, const shown *all, int rows, int cols);
/* Draws the title line again: the only part that changes when nothing was read. */
void screen_draw_title(screen *s, const shown *all);
/* Does what a key asks for. 1 if the screen has to be drawn again. */
int screen_key(screen *s, shown *all, int code);
/* The same for an action that no key stands for: the mouse's. */
int screen_act(screen *s, shown *all, const event *e);
/* Opens the page of that name. 1, or 0: there is none. */
int screen_open(screen *s, const char *page);
/* Asks for a line of text; a page's `act` gets it as an event DO_ANSWER whose `asked` is this one. */
void screen_ask(screen *s, int asked, const char *question);
/* 1: the run's lines are drawn: it is pinned, or neither hidden nor left out by the filter. */
int screen_shows(const screen *s, const shown_run *run);
/* The same with an answer that is there already. */
void screen_propose(screen *s, int asked, const char *question, const char *answer);
/* A sentence for the bottom line. */
PITOT_PRINTF(2, 3) void screen_say(screen *s, const char *format, ...);
/* What the page at hand keeps; NULL before it was first drawn. */
void *screen_own(screen *s, const char *page);
/* Scratch for lines: at least `need` bins in s->bins. 1, or 0: out of memory. */
int screen_reserve(screen *s, int64_t need);
void screen_free(screen *s);

#endif
