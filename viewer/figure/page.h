/* page.h: what stands on a page, and the pieces that draw it. Inside of the figure; see figure.h for the way in. */

#ifndef PITOT_VIEWER_PAGE_H
#define PITOT_VIEWER_PAGE_H

#include "counts.h"
#include "figure.h"

typedef struct sheet { /* one quantity over the steps */
    panel panel;
    int64_t at[FIGURE_RUNS]; /* which panel of each run it is, or -1 */
    int seconds;             /* 1: over the seconds that each run trained, not over the steps */
    int fixed;               /* 1: the panel's scale was asked for */
    int top;                 /* 1: the axis ends where runs that diverge leave it */
} sheet;

typedef struct instrument instrument;

typedef struct item {             /* what was asked for by name */
    const instrument *instrument; /* or NULL, and then: */
    int64_t sheet;
} item;

typedef struct page {
    const figure_run *run;
    int n;
    const figure_options *options;
    panel_list list[FIGURE_RUNS];
    fact_list facts[FIGURE_RUNS];
    sheet *sheet;
    int64_t n_sheets;
    item *item; /* NULL: the cockpit of one run, or all sheets of several */
    int64_t n_items;
    int screens;               /* FIGURE_PRIMARY | FIGURE_SECONDARY: which are drawn on this page */
    double width, height, dpi; /* points, points, dots per inch */
    double column;
    int snap;
    double font; /* of the header */
} page;

/* ---- header.c ---------------------------------------------------------------------------------------------------------- */

/* Draws the runs' facts, or with draw 0 only measures them. Returns the height. */
double header_draw(cairo_t *cr, const page *p, rect area, int draw);
/* A fact of a run, "" if it has none; 1 if all runs have the same. */
const char *header_value(const fact_list *facts, const char *key);
int header_common(const page *p, const char *key);

/* ---- sheets.c ---------------------------------------------------------------------------------------------------------- */

/* Facts, panels and sheets of all runs. */
int32_t sheets_collect(page *p, pitot_error *error);
/* Fills page.item with the instruments and sheets that `names` names, in that order; "loss@seconds" makes a sheet over the time,
   "loss@log" and "loss@linear" one on that scale, "loss@top" one that what diverges leaves at the top. */
int32_t sheets_choose(page *p, const char *names, pitot_error *error);
void sheets_free(page *p);
/* Leaves out what nobody looks at, and what the cockpit shows. */
void sheets_drop_bookkeeping(page *p);
void sheets_drop_shown(page *p);
/* From the first step that any series of the page has to the last. */
axis sheets_steps(const page *p);
/* Draws sheets which[0..n) into their cells; `which` NULL: the first n. */
int32_t sheets_draw(cairo_t *cr, const page *p, const int64_t *which, int64_t n, const rect *cell, double font);

/* ---- cockpit.c --------------------------------------------------------------------------------------------------------- */

typedef struct view { /* one instrument, where it stands and how it is drawn */
    cairo_t *cr;
    const instrument *what;
    const pitot_log *log;
    const panel_list *list;
    const fact_list *facts;
    rect cell;
    double left, right; /* room beside the areas of curves, the same in all panels of a column */
    double font, column;
    int snap;
    axis steps;
    double smooth; /* as in figure_options */
    rgb accent;
} view;

struct instrument {
    const char *name;  /* for --panel: "gradient_tests" */
    const char *label; /* what it shows, a few words; "": the registry's words for its first key */
    const char *keys;  /* what it draws from the log: "a,b" on one axis, "a|b" one above the other, "a;b" side by side */
    int32_t (*draw)(const view *v); /* 0 or PITOT_ENOMEM */
    int section;
    int level; /* 1: the batch size is drawn as a level */
};

/* The instrument of that name, or NULL; the k-th one, or NULL. */
const instrument *cockpit_find(const char *name, size_t length);
const instrument *cockpit_at(int k);
/* 1 if an instrument shows all of that panel. */
int cockpit_shows(const panel *one);
/* What the screens of the page would need of a page that is `width` points wide, in points, without header and margins. */
double cockpit_height(const page *p, double width);
int32_t cockpit_draw(cairo_t *cr, const page *p, rect area);
/* One instrument alone in its cell. */
int32_t cockpit_draw_one(cairo_t *cr, const page *p, const instrument *one, rect cell, double font);

/* ---- view.c: what instruments have in common --------------------------------------------------------------------------- */

/* A finite history of a key; 0 if the log does not have it. */
int view_series(const view *v, const char *key, pitot_series *s);
const panel *view_panel(const view *v, const char *key, size_t length);
double view_batch(const view *v); /* samples a step, from the manifest; NaN: not said */
/* Title, label and at the right end a note; returns what is left of the cell below them, which may be without height. */
rect view_head(const view *v, const char *label, const char *note);
/* The title, and in one line what would fill the panel. `key`: the one that is missing, NULL: the first. */
int32_t view_hint(const view *v, const char *key, const char *text);
void view_rotated(const view *v, const ink *i, double x, double y, const char *text);
/* The same with a scale of colours before the note, from `least` to `most`. */
rect view_head_scaled(const view *v, const char *label, const char *note, double least, double most, rgb (*colour)(double));

/* ---- the instruments --------------------------------------------------------------------------------------------------- */

int32_t curves_draw(const view *v);
void curves_margins(const view *v, double *left, double *right);
int32_t hyper_draw(const view *v);
int32_t alpha_draw(const view *v);
int32_t tests_draw(const view *v);
int32_t histogram_draw(const view *v);
int32_t joint_draw(const view *v);
int32_t joints_draw(const view *v); /* one per tensor */
int32_t layers_draw(const view *v);
int64_t joints_count(const pitot_log *log);

/* ---- heat.c: cells as colours ------------------------------------------------------------------------------------------ */

enum { HEAT_LEVELS = 48, HEAT_NONE = -1, HEAT_ALARM = -2 };

typedef struct heat {
    int64_t nx, ny;
    double *x, *y;      /* where cells begin and end: (nx+1) ascending, (ny+1) either way; points */
    signed char *level; /* (ny, nx): 0 .. HEAT_LEVELS-1, or HEAT_NONE: nothing there, HEAT_ALARM: not finite */
} heat;

int heat_make(heat *h, int64_t nx, int64_t ny); /* 1, or 0: out of memory */
void heat_free(heat *h);
void heat_draw(const view *v, const heat *h, rgb (*colour)(double));

#endif
