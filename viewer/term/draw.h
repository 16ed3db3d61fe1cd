/* draw.h: one screen of one run, from its log to a canvas. Looks at no clock and no terminal. */

#ifndef PITOT_VIEWER_TERM_DRAW_H
#define PITOT_VIEWER_TERM_DRAW_H

#include "alarm.h"
#include "term/canvas.h"
#include "term/layout.h"

typedef struct shown { /* what is on the screen */
    const char *name;  /* of the run */
    const pitot_log *log;
    const panel_list *panels;
    alarm_list *alarms;  /* NULL: not looked for */
    int run, runs;       /* this is run number `run` (from 1) of `runs` */
    double now;          /* seconds since 1970 */
    int64_t file_size;   /* of events.jsonl; 0: not there */
    double closes_in;    /* seconds until the viewer ends by itself; <= 0: it stays */
    const char *trouble; /* why reading fails, or "" */
} shown;

typedef struct screen { /* what the user chose; clear it at first */
    canvas canvas;
    layout layout;
    int64_t selected; /* panel */
    int enlarged, log_y, raw /* not smoothed */, help;
    int spectrum;                  /* the pane of densities instead of the panels */
    int64_t record;                /* which one, from 1; 0: the newest, whatever comes */
    int alarms;                    /* the page of alarms instead of the panels */
    int64_t alarm;                 /* the selected one */
    int still;                     /* for print: no line of keys, nothing is selected */
    int64_t first_step, last_step; /* that all panels show */
    bin *bins;                     /* [bins_room], for plot.c */
    int64_t bins_room;
} screen;

/* Draws everything at that size. 0 or PITOT_ENOMEM. */
int32_t screen_draw(screen *s, const shown *run, int rows, int cols);
/* Draws the title line again: the only part that changes when nothing was read. */
void screen_draw_title(screen *s, const shown *run);
/* Does what an action of keys.h asks for; `code` is the key itself. 1 if the screen has to be drawn again. */
int screen_act(screen *s, const shown *run, int action, int code);
void screen_free(screen *s);

#endif
