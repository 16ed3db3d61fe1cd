/* layout.c: see layout.h. Panels are at least 36 by 8 cells where the screen allows it; others go to further pages. */

#include "term/layout.h"

#include <math.h>

enum { LEAST_COLS = 36, LEAST_ROWS = 8, GAP = 2 };

static const double shape = 3.4; /* columns per row of a good panel: cells are twice as high as wide */

static int at_least(int v, int least) {
    return v > least ? v : least;
}

/* How far a panel of this size is from a good one, with the share of the page that stays empty. */
static double badness(place body, int down, int across, int64_t panels) {
    double cols = (double)body.cols / across, rows = (double)body.rows / down;
    double empty = 1 - (double)panels / ((double)down * across);
    return fabs(log(cols / rows / shape)) + 1.5 * empty;
}

static void choose_grid(layout *l, int64_t panels) {
    int across = at_least((l->body.cols + GAP) / LEAST_COLS, 1), down = at_least(l->body.rows / LEAST_ROWS, 1);
    double least = INFINITY;
    l->down = down;
    l->across = across;
    if (panels >= (int64_t)down * across || l->body.rows < 1) return;
    for (int a = 1; a <= across; a++) {
        int d = (int)((panels + a - 1) / a);
        double bad = d <= down && d > 0 ? badness(l->body, d, a, panels) : INFINITY;
        if (bad >= least) continue;
        least = bad;
        l->down = d;
        l->across = a;
    }
}

layout layout_screen(int rows, int cols, int64_t panels, int keys) {
    int foot = keys && rows >= 5;
    layout l = {
        .title = { 0, 0, rows < 1 ? 0 : 1, cols },
        .body = { 1, 0, at_least(rows - 1 - foot, 0), cols },
        .keys = { rows - 1, 0, foot, cols },
    };
    choose_grid(&l, panels);
    l.per_page = l.down * l.across;
    l.pages = panels > l.per_page ? (panels + l.per_page - 1) / l.per_page : 1;
    return l;
}

layout layout_screen_lined(int rows, int cols, int64_t panels, int keys) {
    int line = rows >= 6;
    layout l = layout_screen(rows - line, cols, panels, keys);
    l.line = (place){ 1, 0, line, cols };
    l.body.row += line;
    l.keys.row += line;
    return l;
}

place layout_panel(const layout *l, int k) {
    int row = k / l->across, col = k % l->across;
    int top = l->body.rows * row / l->down, bottom = l->body.rows * (row + 1) / l->down;
    int left = (l->body.cols + GAP) * col / l->across, right = (l->body.cols + GAP) * (col + 1) / l->across - GAP;
    if (l->across == 1) left = 0, right = l->body.cols;
    return (place){ l->body.row + top, l->body.col + left, bottom - top, right - left };
}

panel_layout layout_plot(place area, int width) {
    panel_layout l = { .title = area, .plot = area };
    int left = area.rows >= 4 && area.cols >= 2 * width + 8 ? width + 1 : 0, steps = area.rows >= 5, line = area.rows >= 7;
    l.title.rows = area.rows > 0;
    l.plot.row += l.title.rows;
    l.plot.rows -= l.title.rows + steps + line;
    l.plot.col += left;
    l.plot.cols -= left;
    l.labels = (place){ l.plot.row, area.col, left ? l.plot.rows : 0, left };
    l.line = (place){ l.plot.row + l.plot.rows, l.plot.col, line, l.plot.cols };
    l.steps = (place){ area.row + area.rows - steps, area.col, steps, area.cols };
    return l;
}
