/* gauge.c: see gauge.h. */

#include "term/gauge.h"

#include <math.h>

/* ---- the scale ---- */

static double value_of(const axis *a, double share) {
    if (a->scale == AXIS_LOG) return a->lo * pow(a->hi / a->lo, share);
    return a->lo + (a->hi - a->lo) * share;
}

static void put_zone(canvas *c, int row, int col, const pitot_band *band, double v) {
    int pen = PEN_AXIS;
    uint32_t line = 0x2500, plain = '-';
    if (band && (v < band->alarm_below || v > band->alarm_above)) pen = PEN_ALARM, line = 0x2501, plain = '#';
    else if (band && (v < band->warn_below || v > band->warn_above)) pen = PEN_WARN, line = 0x2501, plain = '=';
    else if (band) pen = PEN_GOOD;
    canvas_put(c, row, col, c->ascii ? plain : line, pen);
}

static int state_pen(const gauge *g) {
    if (!g->band) return PEN_MAIN;
    if (g->value < g->band->alarm_below || g->value > g->band->alarm_above) return PEN_ALARM;
    return g->value < g->band->warn_below || g->value > g->band->warn_above ? PEN_WARN : PEN_GOOD;
}

static void put_mark(canvas *c, place at, const gauge *g) {
    double share = g->value > 0 || g->a.scale != AXIS_LOG ? axis_at(&g->a, g->value) : -1;
    uint32_t mark = c->ascii ? 'O' : 0x25cf;
    if (isnan(g->value)) return;
    if (isinf(g->value)) share = g->value > 0 ? 2 : -1;
    if (share < 0) mark = c->ascii ? '<' : 0x25c2;
    if (share > 1) mark = c->ascii ? '>' : 0x25b8;
    int col = share < 0 ? 0 : share < 1 ? (int)(share * at.cols) : at.cols - 1;
    canvas_put(c, at.row, at.col + col, mark, state_pen(g));
}

void gauge_draw(canvas *c, place at, const gauge *g) {
    if (at.rows < 1 || at.cols < 1) return;
    for (int i = 0; i < at.cols; i++) put_zone(c, at.row, at.col + i, g->band, value_of(&g->a, (i + 0.5) / at.cols));
    for (int i = 0; i < g->ticks; i++) {
        double share = axis_at(&g->a, g->tick[i]);
        if (!(share >= 0 && share < 1)) continue;
        canvas_put(c, at.row, at.col + (int)(share * at.cols), c->ascii ? '+' : 0x253c, PEN_TEXT);
    }
    put_mark(c, at, g);
}

/* ---- dots ---- */

void dot_put(canvas *c, place at, int x, int y, int pen) {
    static const unsigned char bit[4][2] = { { 0x01, 0x08 }, { 0x02, 0x10 }, { 0x04, 0x20 }, { 0x40, 0x80 } };
    int row = at.row + y / 4, col = at.col + x / 2;
    if (x < 0 || y < 0 || x >= 2 * at.cols || y >= 4 * at.rows) return;
    if (row < 0 || col < 0 || row >= c->rows || col >= c->cols) return;
    uint32_t before = c->cell[(int64_t)row * c->cols + col].code;
    uint32_t dots = before >= 0x2800 && before < 0x2900 ? before : 0x2800;
    canvas_put(c, row, col, dots | bit[y % 4][x % 2], pen);
}

void bar_up(canvas *c, place at, int x, double share, int pen) {
    int most = 4 * at.rows, height = share > 0 ? (int)ceil(fmin(share, 1) * most) : 0;
    for (int y = 0; y < height; y++) dot_put(c, at, x, most - 1 - y, pen);
}

void bar_right(canvas *c, place at, int row, double share, int pen) {
    int eighths = share > 0 ? (int)ceil(fmin(share, 1) * at.cols * 8) : 0;
    for (int i = 0; i < at.cols && eighths > 0; i++, eighths -= 8) {
        uint32_t block = 0x2588 + (uint32_t)(eighths < 8 ? 8 - eighths : 0);
        canvas_put(c, row, at.col + i, c->ascii ? (eighths < 4 ? '-' : '=') : block, pen);
    }
}
