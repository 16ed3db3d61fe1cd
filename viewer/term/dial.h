/* dial.h: one quantity of the cockpit at one step: its value, where that lies, what it was before. After the instruments of Schneider,
   Dangel, Hennig, "Cockpit: a practical debugging tool for the training of deep neural networks", 2021.

   A dial draws into a place of any size: one row holds name, a small picture and value; more rows hold a larger picture below. */

#ifndef PITOT_VIEWER_TERM_DIAL_H
#define PITOT_VIEWER_TERM_DIAL_H

#include "term/screen.h"

enum { DIAL_PERFORMANCE, DIAL_STEP_SIZE, DIAL_GRADIENTS, DIAL_CURVATURE, DIAL_PRECONDITIONER, DIAL_GROUPS };

typedef struct dial dial;

typedef struct dial_view { /* where and of what */
    screen *s;
    const shown *all;
    int64_t step; /* of reading_step */
    place at;
} dial_view;

struct dial {
    const char *name; /* as it is shown; NULL: the key */
    const char *key;  /* series, or list, that it shows; "a|b": a, or else b */
    const char *with; /* a further series in its history, or NULL */
    int group;
    int optional;      /* 1: takes no room where the log does not have it */
    int spare;         /* 1: is not shown in less than `first` rows */
    int first, most;   /* rows from which its larger picture makes sense, and beyond which it gains nothing */
    const char *label; /* NULL: the registry's */
    int32_t (*draw)(const dial_view *v, const dial *d); /* 0 or PITOT_ENOMEM */
    int (*has)(const shown *all);                       /* 1: there is something to show besides its key; NULL: there is not */
    const pitot_band *band;                             /* where the registry has none */
    axis scale;                                         /* of gauges */
};

/* The k-th dial in order of importance, group by group; NULL behind the last. */
const dial *dial_at(int k);
const char *dial_group(int group);
/* 1: the log has something for it. */
int dial_has(const shown *all, const dial *d);
/* Draws it, or in one dim row what to ask for to have it. 0 or PITOT_ENOMEM. */
int32_t dial_draw(const dial_view *v, const dial *d);

/* ---- for the dials ---- */

/* The first of the dial's keys that the log has, in `name`. 1: a series, in *s; 2: a list; 0: none, `name` is the first key. */
int dial_find(const shown *all, const dial *d, char *name, size_t size, pitot_series *s);
/* Name, label, unit and value in the first row; returns the place of the picture: below, or with a single row between name and value. */
place dial_head(const dial_view *v, const dial *d, double value, const char *label);
/* The same with words as its value. */
place dial_head_words(const dial_view *v, const dial *d, const char *words, const char *label);
/* Where there is room the last row of a picture stays empty, so that it does not run into the next name. */
place dial_padded(place at);
/* What the registry says of its key; NULL: nothing. */
const panel *dial_panel(const shown *all, const dial *d);
const pitot_band *dial_band(const shown *all, const dial *d);
/* One row: its name, dim, and at the right dim text in place of a value. */
void dial_say(const dial_view *v, const dial *d, const char *text);
/* Lines of its key, and of `with`, in a place that dial_head returned. */
int32_t dial_lines(const dial_view *v, const dial *d, place at);
/* The newest value, its history below. */
int32_t dial_history(const dial_view *v, const dial *d);
/* The share of the time that probes take: as logged, or from the seconds of each. */
int32_t dial_overhead(const dial_view *v, const dial *d);
int dial_has_seconds(const shown *all);

/* ---- dial_gauges.c: values on a scale ---- */

int32_t dial_gauge(const dial_view *v, const dial *d);
int32_t dial_alpha(const dial_view *v, const dial *d);
int dial_has_limit(const shown *all);
int32_t dial_sharpness(const dial_view *v, const dial *d);
int32_t dial_target(const dial_view *v, const dial *d);

/* ---- dial_counts.c: histograms ---- */

int32_t dial_histogram(const dial_view *v, const dial *d);
int32_t dial_joint(const dial_view *v, const dial *d);

#endif
