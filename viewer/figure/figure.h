/* figure.h: runs drawn on a page; PNG, SVG and PDF by the same code.

   Lengths are points (1/72 inch), y downwards, unless said otherwise. Nothing here looks at a clock, a terminal or a locale: the
   same logs and options give the same picture. */

#ifndef PITOT_VIEWER_FIGURE_H
#define PITOT_VIEWER_FIGURE_H

#include "view.h"

#include <cairo.h>

typedef struct rect {
    double x, y, w, h;
} rect;

typedef struct figure_run {
    const char *name; /* as the page calls it */
    const pitot_log *log;
} figure_run;

typedef struct figure_options {
    double width, height; /* inches; 0: 14 wide for the cockpit, else 12, and as high as the panels need */
    double dpi;           /* of a PNG; 0: 150 */
    double smooth;        /* weight of the past in [0,1); negative: chosen for each line, none for lines without noise */
    const char *panels;   /* "loss,alpha": these, in this order; NULL: the cockpit of one run; of several all but bookkeeping */
    int screens;          /* FIGURE_... of the cockpit; 0: both, in a PDF a page each */
} figure_options;

enum { FIGURE_PRIMARY = 1, FIGURE_SECONDARY = 2 };

enum { FIGURE_RUNS = 64, FIGURE_PANELS = 240 }; /* most on one page */

/* Draws n runs over each other and writes `path`; its end (.png, .svg, .pdf) says how. The file is complete or not there. */
/* Names for `panels` besides those of series: the k-th instrument of the cockpit, NULL behind the last. */
const char *figure_panel_name(int k);
int32_t figure_write(const char *path, const figure_run *runs, int n, const figure_options *options, pitot_error *error);

/* ---- layout.c: where things stand; pure functions ---------------------------------------------------------------------- */

/* n cells that fill `area` in rows from the top; rows differ by one cell at most and the upper ones have fewer, wider ones.
   Returns the number of rows. */
int layout_cells(rect area, int64_t n, rect *cell);
/* Height of a page of that width on which n panels can be read, in inches. */
double layout_height(double width, int64_t n);
/* Size of tick labels that suits a cell. Titles are 1.15 times that. */
double layout_font(rect cell);

/* ---- facts.c: what the manifest says about a run ------------------------------------------------------------------------ */

enum { FACTS = 12 };

typedef struct fact_list {
    int n;
    struct {
        char key[16];    /* "model" */
        char value[240]; /* "mlp, 101,770 parameters"; never empty */
    } fact[FACTS];
} fact_list;

/* With `all`, options of the optimizer that stand at their defaults too. */
void facts_of(const pitot_log *log, int all, fact_list *facts);

/* ---- ink.c: colours and text ------------------------------------------------------------------------------------------- */

typedef struct rgb {
    double r, g, b;
} rgb;

enum { INK_LEFT, INK_CENTRE, INK_RIGHT };

extern const rgb ink_text, ink_grey, ink_grid, ink_alarm;
void ink_set(cairo_t *cr, rgb colour);
rgb ink_mix(rgb a, rgb b, double share_of_b);
rgb ink_pale(rgb colour);
/* The k-th of eight colours that people with any colour vision tell apart, then again; the round is the dash pattern. */
rgb ink_run(int k);
void ink_dash(cairo_t *cr, int k);
/* t in [0,1]: dark violet to yellow-green, of evenly rising lightness; the same from yellow to dark violet, for counts on white;
   dark blue to yellow, the same to people of any colour vision. */
rgb ink_depth(double t);
rgb ink_heat(double t);
rgb ink_cividis(double t);

typedef struct ink {
    double size;
    int bold, align;
    rgb colour;
} ink;

/* Text may hold anything: bytes that are not UTF-8 are shown as "?". y is the base line. Returns the width. */
double ink_width(cairo_t *cr, const ink *i, const char *text);
double ink_draw(cairo_t *cr, const ink *i, double x, double y, const char *text);
/* Draws as much as fits into `room`, with an ellipsis where it is cut. Returns the width used. */
double ink_fit(cairo_t *cr, const ink *i, double x, double y, double room, const char *text);
/* Numbers of format.c: "1.2e-05" is set as 1.2 x 10 to the power of -5, "1e-05" as the power alone, "-" as a minus sign. */
double ink_number_width(cairo_t *cr, const ink *i, const char *number);
void ink_number(cairo_t *cr, const ink *i, double x, double y, const char *number);

/* ---- line.c: one series as a line --------------------------------------------------------------------------------------- */

typedef struct line {
    const char *name;
    const int64_t *step;
    const double *value;
    int64_t n;
    rgb colour;
    int run;             /* for the dash pattern */
    const double *wall;  /* when each value was logged; NULL: not known */
    const double *clock; /* seconds of training; NULL: drawn over the steps */
} line;

/* Where value i stands on the lower axis. */
static inline double line_x(const line *l, int64_t i) {
    return l->clock ? l->clock[i] : (double)l->step[i];
}

typedef struct frame { /* the rectangle between the axes and what its sides mean */
    rect area;
    axis x, y;
    double column; /* width of the finest column worth telling apart: a pixel */
    int snap;      /* 1: straight rules lie on whole pixels */
} frame;

/* Positions of the values in [0,1]; NaN where there is nothing to draw. Then smoothed by `w` to both sides at once, so that lines
   do not lag; at the ends this is `smooth` of view.h. `scratch` as long as `at`. */
void line_positions(const frame *f, const line *l, double *at);
void line_smooth(double *at, int64_t n, double w, double *scratch);
/* The weight that suits a line of those positions; 0: leave it as it is. */
double line_weight(const double *at, int64_t n);
/* Strokes it in the current colour: per column its first, least, greatest and last point, so that no spike is lost. */
void line_stroke(cairo_t *cr, const frame *f, const line *l, const double *at, double width);

/* ---- clock.c: how long a run had trained ---------------------------------------------------------------------------------- */

/* (s->n) seconds since the run's first record without what its probes took; the caller frees it. NULL: out of memory. */
double *clock_make(const pitot_log *log, const pitot_series *s);
/* For lines that have a clock; logarithmic where one took more than five times as long as another. */
axis clock_axis(const line *l, int64_t n);

/* ---- axes.c: ticks, labels and grid of a frame ---------------------------------------------------------------------------- */

enum { AXES_TICKS = 48 };
#define AXES_TICK 2.5 /* length of a tick */

typedef struct ticks {
    tick tick[AXES_TICKS];
    int n;
} ticks;

void axes_ticks_left(const axis *a, double length, double font, ticks *t);
void axes_ticks_below(cairo_t *cr, const axis *a, double length, double font, int whole, ticks *t);
/* Room that the labels on the left need. */
double axes_left_width(cairo_t *cr, const axis *a, double length, double font);
/* With `left` the axis of the values; `below` is the name of the other ("step": whole numbers only), NULL: ticks without labels. */
void axes_draw(cairo_t *cr, const frame *f, double font, int left, const char *below);
/* v moved to the middle of a pixel, if the frame's rules lie on whole pixels. */
double axes_pixel(cairo_t *cr, const frame *f, double v, int vertical);

/* ---- plot.c: one panel -------------------------------------------------------------------------------------------------- */

enum { PLOT_NO_LABEL, PLOT_LABEL_BELOW, PLOT_LABEL_BESIDE };

typedef struct plot {
    const char *title, *label, *unit;
    int scale;        /* AXIS_... proposed */
    int fixed;        /* 1: that scale and no other, but for values that it cannot show */
    int top;          /* 1: the axis ends at ten times the largest first value; what lies above has a mark there */
    axis x;           /* steps, or: */
    int seconds;      /* 1: seconds of training */
    const line *main; /* one per run */
    int64_t n_main;
    const line *tensor; /* drawn thin, in order of depth */
    int64_t n_tensor;
    double smooth; /* as in figure_options */
    double font;
    int labelled; /* PLOT_...: where label and unit stand, by the title */
    int legend;   /* 1: the main lines' names in the head */
    int upper;    /* 1: a plot of the same steps stands below; no labels at them */
    const pitot_band *band;
    double level; /* a value to hold the line against, if it has a name */
    const char *level_name;
    double left, right; /* room beside the area, the same on all plots of a page: see plot_margins */
    double column;
    int snap;
} plot;

/* Chooses the axis of the values: the proposed scale, or one on which most of the values can be told apart. */
axis plot_axis(const plot *p);
/* Enlarges *left and *right to what this plot needs in a cell of that height. */
void plot_margins(cairo_t *cr, const plot *p, double height, double *left, double *right);
/* 0 or PITOT_ENOMEM. */
int32_t plot_draw(cairo_t *cr, rect cell, const plot *p);

/* ---- png.c and file.c: the way out --------------------------------------------------------------------------------------- */

typedef struct bytes { /* a file in memory; free with free(data) */
    unsigned char *data;
    size_t n, room;
} bytes;

int bytes_add(bytes *b, const void *data, size_t n); /* 1, or 0: out of memory */

/* An RGB24 or ARGB32 surface as PNG: 8-bit RGB, pHYs, one text chunk per fact, the title. */
int32_t png_encode(cairo_surface_t *surface, double dpi, const char *title, const fact_list *facts, bytes *out, pitot_error *error);
/* Puts the bytes into a temporary file beside `path` and renames it. */
int32_t bytes_write(const bytes *b, const char *path, pitot_error *error);

#endif
