/* heat.c: see heat.h. */

#include "term/heat.h"

#include <math.h>
#include <string.h>

int heat_level(double share) {
    if (!(share > 0)) return 0;
    return share < 1 ? (int)(share * PEN_HEATS) : PEN_HEATS - 1;
}

void heat_put(canvas *c, int row, int col, int level) {
    static const uint32_t shades[] = { 0x2591, 0x2592, 0x2593, 0x2588 };
    static const char ascii[] = ".:-=+*#%@"; /* a blank is for what is not there */
    enum { SIGNS = sizeof ascii - 1 };
    if (level < 0) level = 0;
    if (level >= PEN_HEATS) level = PEN_HEATS - 1;
    uint32_t code = c->ascii ? (unsigned char)ascii[level * SIGNS / PEN_HEATS] : shades[level * 4 / PEN_HEATS];
    canvas_put(c, row, col, code, PEN_HEAT + level);
}

void heat_put_odd(canvas *c, int row, int col, double v) {
    canvas_put(c, row, col, isnan(v) ? 'x' : v > 0 ? '^' : 'v', PEN_ALARM);
}

int heat_scale(canvas *c, place at, int wanted, const char *least, const char *most) {
    int left = canvas_text_width(c, least), right = canvas_text_width(c, most), room = at.cols - left - right - 2;
    int cells = wanted < room ? wanted : room;
    if (at.rows < 1 || cells < 4) return 0;
    canvas_text(c, at.row, at.col, left, least, PEN_TEXT);
    for (int i = 0; i < cells; i++) heat_put(c, at.row, at.col + left + 1 + i, heat_level((i + 0.5) / cells));
    canvas_text(c, at.row, at.col + left + cells + 2, right, most, PEN_TEXT);
    return left + cells + 2 + right;
}
