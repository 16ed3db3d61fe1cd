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

grid grid_choose(place area, int64_t panels) {
    int across = at_least((area.cols + GAP) / LEAST_COLS, 1), down = at_least(area.rows / LEAST_ROWS, 1);
    grid g = { .area = area, .down = down, .across = across };
    double least = INFINITY;
    for (int a = 1; a <= across && panels < (int64_t)down * across && area.rows > 0; a++) {
        int d = (int)((panels + a - 1) / a);
        double bad = d <= down && d > 0 ? badness(area, d, a, panels) : INFINITY;
        if (bad >= least) continue;
        least = bad;
        g.down = d;
        g.across = a;
    }
    g.per_page = g.down * g.across;
    g.pages = panels > g.per_page ? (panels + g.per_page - 1) / g.per_page : 1;
    return g;
}

place grid_place(const grid *g, int k) {
    int row = k / g->across, col = k % g->across;
    int top = g->area.rows * row / g->down, bottom = g->area.rows * (row + 1) / g->down;
    int left = (g->area.cols + GAP) * col / g->across, right = (g->area.cols + GAP) * (col + 1) / g->across - GAP;
    if (g->across == 1) left = 0, right = g->area.cols;
    return (place){ g->area.row + top, g->area.col + left, bottom - top, right - left };
}

int grid_at(const grid *g, int row, int col) {
    for (int k = 0; k < g->per_page; k++) {
        place p = grid_place(g, k);
        if (row >= p.row && row < p.row + p.rows && col >= p.col && col < p.col + p.cols) return k;
    }
    return -1;
}

layout layout_screen(int rows, int cols, int keys, int lined) {
    int title = rows >= 1, line = lined && rows >= 6, foot = keys && rows >= 5, pages = keys && rows >= 12;
    int body = at_least(rows - title - line - foot - pages, 0);
    return (layout){
        .title = { 0, 0, title, cols },
        .line = { title, 0, line, cols },
        .body = { title + line, 0, body, cols },
        .keys = { title + line + body, 0, foot, cols },
        .pages = { title + line + body + foot, 0, pages, cols },
    };
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
