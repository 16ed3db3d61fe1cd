/* canvas.h: a grid of character cells, and lines of dots on it. Pure: it knows no terminal, and only its text needs LC_CTYPE.

   Lines are dots of braille characters, two by four in a cell. A canvas for terminals without Unicode, or for eyes or fonts that like
   other lines, is drawn the same way; what leaves it (canvas_glyph, canvas_row) is then the nearest ASCII character, or quadrant. */

#ifndef PITOT_VIEWER_TERM_CANVAS_H
#define PITOT_VIEWER_TERM_CANVAS_H

#include <math.h>

#include "view.h"

typedef struct place { /* a rectangle of cells; may be empty */
    int row, col, rows, cols;
} place;

enum { /* what a cell means; the terminal decides how that looks */
       PEN_TEXT,
       PEN_DIM,
       PEN_TITLE,
       PEN_CHOSEN, /* title of the selected panel */
       PEN_AXIS,
       PEN_MAIN,
       PEN_RAW, /* a line behind its own smoothing */
       PEN_GOOD,
       PEN_WARN,
       PEN_ALARM,
       PEN_KEY,
       PEN_TENSOR, /* and PEN_TENSORS - 1 more */
       PEN_TENSORS = 8,
       PEN_RUN = PEN_TENSOR + PEN_TENSORS, /* and PEN_RUNS - 1 more: lines of runs */
       PEN_RUNS = 8,
       PEN_PALE = PEN_RUN + PEN_RUNS,  /* and PEN_RUNS - 1 more: the same behind their own smoothing */
       PEN_HEAT = PEN_PALE + PEN_RUNS, /* and PEN_HEATS - 1 more: backgrounds, from least to most */
       PEN_HEATS = 16,
       PEN_END = PEN_HEAT + PEN_HEATS
};

typedef struct cell {
    uint32_t code; /* Unicode; 0: right half of a wide character */
    uint32_t pen;
} cell;

enum { LINES_BRAILLE, LINES_BLOCKS, LINES_ASCII, LINES_END };

typedef struct canvas {
    int rows, cols;
    int ascii;  /* 1: nothing else can be shown */
    int lines;  /* LINES_...: the user's choice where there is one */
    cell *cell; /* [rows][cols] */
    int64_t room;
} canvas;

/* Gives a canvas (cleared at first) its size, blank. 0 or PITOT_ENOMEM, then it is of size 0. */
int32_t canvas_resize(canvas *c, int rows, int cols);
void canvas_free(canvas *c);
void canvas_clear(canvas *c);
void canvas_clear_box(canvas *c, place area);

/* Outside the canvas nothing happens. */
void canvas_put(canvas *c, int row, int col, uint32_t code, int pen);
/* UTF-8 text in at most `width` columns, with an ellipsis if it is cut; what cannot be shown becomes "?". Returns columns. */
int canvas_text(canvas *c, int row, int col, int width, const char *text, int pen);
/* The same, ending before column `end`. Returns the column it starts at. */
int canvas_text_right(canvas *c, int row, int end, int width, const char *text, int pen);
int canvas_text_width(const canvas *c, const char *text);

/* The character to show in a cell; 0: none, its left neighbour is wide. */
uint32_t canvas_glyph(const canvas *c, int row, int col);
/* A character as UTF-8 in at most 4 bytes. Returns how many. */
int canvas_utf8(char *out, uint32_t code);
/* One row as UTF-8 without trailing blanks; needs 4 * cols + 1 bytes. Returns its length. */
int canvas_row(const canvas *c, int row, char *out);

/* ---- lines ----------------------------------------------------------------------------------------------------------- */

enum { BIN_NAN = 1, BIN_INF = 2, BIN_MINUS_INF = 4 };

typedef struct bin { /* the values that fall into one column of dots */
    int64_t n;       /* finite ones */
    double first, last, min, max, sum;
    double least; /* least positive one, or infinity */
    int odd;      /* BIN_NAN ...: there are such among them */
} bin;

static inline void bin_add(bin *b, double v) {
    if (!isfinite(v)) {
        b->odd |= isnan(v) ? BIN_NAN : v > 0 ? BIN_INF : BIN_MINUS_INF;
        return;
    }
    if (!b->n++) b->first = b->min = b->max = v;
    if (v < b->min) b->min = v;
    if (v > b->max) b->max = v;
    if (v > 0 && v < b->least) b->least = v;
    b->last = v;
    b->sum += v;
}

/* Sorts values into bins for steps lo..hi, both ends inside; others are left out. Steps ascend. O(n). */
void bins_fill(bin *bins, int count, double lo, double hi, const pitot_series *s);
/* Replaces the values by an exponential average of the bins' means, to both sides at once so that it does not lag. */
void bins_smooth(bin *bins, int count, double weight);
/* Whether values go up and down more than they go anywhere: a line without noise needs no smoothing. */
int bins_are_noisy(const bin *bins, int count);

/* Draws 2 * area.cols bins: in every column of dots from the least to the greatest value, so that no spike is lost, and across
   columns without values. Lines are cut at the edges of the area and broken at values that are not finite. */
void canvas_line(canvas *c, place area, const axis *y, const bin *bins, int pen);
/* A line between two values at columns of dots a < b, which may lie outside the area: what of it is inside. */
void canvas_join(canvas *c, place area, const axis *y, double a, double from, double b, double to, int pen);
/* Marks values that are not finite: x (NaN) and ^ (infinite) at the top, v (minus infinite) at the bottom. */
void canvas_marks(canvas *c, place area, const bin *bins, int pen);

#endif
