/* window.h: which part of the runs is in sight, shared by the pages whose plots have the runs' time on x. Pure.

   x is a step, an epoch, a second since the run's first record or a wall time; each run has its own way from its records to x (run_x).
   Zoom and pan work on positions on the axis, so that they are the same on linear and on logarithmic ones, and undo each other. While
   all is in sight, it stays so when more comes. A cursor stands at one x in all plots. */

#ifndef PITOT_VIEWER_TERM_WINDOW_H
#define PITOT_VIEWER_TERM_WINDOW_H

#include "term/keys.h"
#include "view.h"

enum { BY_STEPS, BY_EPOCHS, BY_SECONDS, BY_WALL, BY_END };

enum {
    SHARED_IN = DO_SHARED,
    SHARED_OUT,
    SHARED_EARLIER,
    SHARED_LATER,
    SHARED_ALL,
    SHARED_X,
    SHARED_LOG_X,
    SHARED_CURSOR,
    SHARED_JUMP,
    SHARED_ALARM,
    SHARED_MOST /* the page's: it knows what is selected; see window_go */
};

typedef struct run_x { /* where a run's records lie on x */
    int by_wall;
    double origin, factor; /* x = (wall time or step - origin) * factor; NaN: nowhere */
} run_x;

typedef struct window { /* clear it at first */
    int by, log_x;      /* BY_...; 1: logarithmic, linear next to zero */
    int part;           /* 0: all there is is in sight */
    double lo, hi;      /* where `part`: what is */
    int cursor;         /* 1: there is one, at x = `at` */
    double at;
    int dots;    /* columns of dots of the widest plot drawn last: how far the cursor moves. For pages to set */
    axis all, x; /* window_refresh's: all there is, and what is in sight of it */
    run_x *run;  /* [runs]: likewise */
    int runs;
} window;

struct screen;
struct shown;

extern const key window_keys[];

/* Finds what there is of the runs that are drawn, and what is in sight of it. 0 or PITOT_ENOMEM. */
int32_t window_refresh(struct screen *s, const struct shown *all);
void window_free(window *w);

/* x of record i; NaN: nowhere. */
static inline double window_x(const run_x *r, const pitot_series *s, int64_t i) {
    return ((r->by_wall ? s->wall[i] : (double)s->step[i]) - r->origin) * r->factor;
}
/* The last record at or before x, or -1. O(log n); wall times that were set back are taken as they come. */
int64_t window_find(const run_x *r, const pitot_series *s, double x);

/* `factor` < 1: nearer, about a position on the axis (0 left, 1 right). */
void window_zoom(window *w, double about, double factor);
/* By that share of the width. */
void window_pan(window *w, double by);
void window_all(window *w);
/* Puts the cursor there, and there into sight. */
void window_go(window *w, double x);

/* Does what an event asks for. 1: to be drawn again; 0: it is nothing to the window. */
int window_act(struct screen *s, struct shown *all, const event *e);

/* "step 480", "3 min 05 s", "14:05:10": an x as text. */
void window_say(const window *w, double x, char *text, size_t size);
/* Ticks of what is in sight, as axis_ticks: of times, labels are durations or times of day. */
int window_ticks(const window *w, int wanted, tick *ticks, int room);

#endif
