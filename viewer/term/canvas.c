/* canvas.c: see canvas.h. */

#include "term/canvas.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

enum { BRAILLE = 0x2800, ELLIPSIS = 0x2026, UNKNOWN = '?' };

/* ---- cells ----------------------------------------------------------------------------------------------------------- */

int32_t canvas_resize(canvas *c, int rows, int cols) {
    int64_t need = (int64_t)rows * cols;
    if (rows < 0 || cols < 0) need = 0;
    if (need > c->room) {
        cell *larger = calloc((size_t)need, sizeof *larger);
        c->rows = c->cols = 0;
        if (!larger) return PITOT_ENOMEM;
        free(c->cell);
        c->cell = larger;
        c->room = need;
    }
    c->rows = need ? rows : 0;
    c->cols = need ? cols : 0;
    canvas_clear(c);
    return PITOT_OK;
}

void canvas_free(canvas *c) {
    free(c->cell);
    *c = (canvas){ 0 };
}

void canvas_clear(canvas *c) {
    for (int64_t i = 0; i < (int64_t)c->rows * c->cols; i++) c->cell[i] = (cell){ ' ', PEN_TEXT };
}

void canvas_clear_box(canvas *c, place area) {
    for (int row = 0; row < area.rows; row++)
        for (int col = 0; col < area.cols; col++) canvas_put(c, area.row + row, area.col + col, ' ', PEN_TEXT);
}

static cell *cell_at(const canvas *c, int row, int col) {
    if (row < 0 || col < 0 || row >= c->rows || col >= c->cols) return NULL;
    return &c->cell[(int64_t)row * c->cols + col];
}

/* Writing into one half of a wide character blanks the other. */
void canvas_put(canvas *c, int row, int col, uint32_t code, int pen) {
    cell *at = cell_at(c, row, col), *right = cell_at(c, row, col + 1);
    if (!at) return;
    if (at->code == 0 && col > 0) at[-1].code = ' ';
    if (right && right->code == 0) right->code = ' ';
    *at = (cell){ code, (uint32_t)pen };
}

/* ---- text ------------------------------------------------------------------------------------------------------------ */

/* Bytes that follow a first byte of UTF-8, or -1. */
static int followers(unsigned char c) {
    if (c < 0x80) return 0;
    if (c >= 0xc2 && c < 0xe0) return 1;
    if (c >= 0xe0 && c < 0xf0) return 2;
    return c >= 0xf0 && c < 0xf5 ? 3 : -1;
}

/* One character of *text, which moves on; U+FFFD for one byte that is not UTF-8. */
static uint32_t decode(const char **text) {
    static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
    const unsigned char *p = (const unsigned char *)*text;
    int n = followers(*p);
    uint32_t code = n > 0 ? *p & (0x3fu >> n) : *p;
    (*text)++;
    if (n < 0) return 0xfffd;
    for (int i = 1; i <= n; i++) {
        if ((p[i] & 0xc0) != 0x80) return 0xfffd;
        code = code << 6 | (p[i] & 0x3f);
    }
    if (code < least[n] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return 0xfffd;
    *text += n;
    return code;
}

/* The next character as it will be shown, and its columns (0: it joins the one before and is left out). */
static uint32_t next_shown(const canvas *c, const char **text, int *columns) {
    uint32_t code = decode(text);
    *columns = 1;
    if (code >= 0x20 && code < 0x7f) return code;
    if (code < 0x20 || code == 0x7f || code == 0xfffd || c->ascii) return UNKNOWN;
    *columns = wcwidth((wchar_t)code);
    if (*columns >= 0) return code;
    *columns = 1;
    return UNKNOWN;
}

int canvas_text_width(const canvas *c, const char *text) {
    int total = 0, columns;
    while (*text) {
        next_shown(c, &text, &columns);
        total += columns;
    }
    return total;
}

int canvas_text(canvas *c, int row, int col, int width, const char *text, int pen) {
    int used = 0, columns, cut = canvas_text_width(c, text) > width, room = cut ? width - 1 : width;
    while (*text) {
        uint32_t code = next_shown(c, &text, &columns);
        if (used + columns > room) break;
        if (!columns) continue;
        canvas_put(c, row, col + used, code, pen);
        if (columns == 2) canvas_put(c, row, col + used + 1, ' ', pen);
        if (columns == 2 && cell_at(c, row, col + used + 1)) cell_at(c, row, col + used + 1)->code = 0;
        used += columns;
    }
    if (cut && width > 0) canvas_put(c, row, col + used++, ELLIPSIS, pen);
    return used;
}

int canvas_text_right(canvas *c, int row, int end, int width, const char *text, int pen) {
    int wanted = canvas_text_width(c, text);
    int start = end - (wanted < width ? wanted : width);
    canvas_text(c, row, start, end - start, text, pen);
    return start;
}

/* ---- what leaves the canvas ------------------------------------------------------------------------------------------ */

/* Which of the four rows of dots are there, as a sign that has its ink about there. */
static uint32_t braille_twin(uint32_t dots) {
    static const char signs[] = " '---'-|.::|.|||"; /* by bits: row 0 = 1, row 1 = 2, row 2 = 4, row 3 = 8 */
    uint32_t rows = 0;
    if (dots & 0x09) rows |= 1;
    if (dots & 0x12) rows |= 2;
    if (dots & 0x24) rows |= 4;
    if (dots & 0xc0) rows |= 8;
    return (unsigned char)signs[rows];
}

/* The same with a quarter of a cell for each two dots above each other. */
static uint32_t block_twin(uint32_t dots) {
    static const uint16_t quadrants[] = { ' ',    0x2598, 0x259d, 0x2580,
                                          0x2596, 0x258c, 0x259e, 0x259b, /* by bits: upper left = 1, */
                                          0x2597, 0x259a, 0x2590, 0x259c,
                                          0x2584, 0x2599, 0x259f, 0x2588 }; /* right 2, lower 4, 8 */
    uint32_t quarter = 0;
    if (dots & 0x03) quarter |= 1;
    if (dots & 0x18) quarter |= 2;
    if (dots & 0x44) quarter |= 4;
    if (dots & 0xa0) quarter |= 8;
    return quadrants[quarter];
}

static uint32_t ascii_twin(uint32_t code) {
    if (code < 0x7f) return code;
    if (code >= BRAILLE && code < BRAILLE + 256) return braille_twin(code - BRAILLE);
    switch (code) {
    case 0x2500: return '-';
    case 0x2502: return '|';
    case 0x2514: /* corner and ticks of axes */
    case 0x2524:
    case 0x252c: return '+';
    case 0xb7: return '.';
    case 0x2022: return '*';
    case ELLIPSIS: return '~';
    default: return UNKNOWN;
    }
}

static int is_braille(uint32_t code) {
    return code >= BRAILLE && code < BRAILLE + 256;
}

/* Lines and axes, as opposed to text. */
static int is_drawn(uint32_t code) {
    return is_braille(code) || (code >= 0x2500 && code < 0x2580);
}

uint32_t canvas_glyph(const canvas *c, int row, int col) {
    const cell *at = cell_at(c, row, col);
    if (!at) return ' ';
    if (c->ascii || (c->lines == LINES_ASCII && is_drawn(at->code))) return ascii_twin(at->code);
    return c->lines == LINES_BLOCKS && is_braille(at->code) ? block_twin(at->code - BRAILLE) : at->code;
}

int canvas_utf8(char *out, uint32_t c) {
    static const uint32_t first[] = { 0, 0xc0, 0xe0, 0xf0 };
    int more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    out[0] = (char)(first[more] | c >> 6 * more);
    for (int i = 1; i <= more; i++) out[i] = (char)(0x80 | (c >> 6 * (more - i) & 0x3f));
    return more + 1;
}

int canvas_row(const canvas *c, int row, char *out) {
    int length = 0, end = 0;
    for (int col = 0; col < c->cols; col++) {
        uint32_t code = canvas_glyph(c, row, col);
        if (!code) continue;
        length += canvas_utf8(out + length, code);
        if (code != ' ') end = length;
    }
    out[end] = 0;
    return end;
}

/* ---- bins ------------------------------------------------------------------------------------------------------------ */

/* First place with a step >= limit. */
static int64_t first_from(const pitot_series *s, double limit) {
    int64_t low = 0, high = s->n;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if ((double)s->step[middle] < limit) low = middle + 1;
        else high = middle;
    }
    return low;
}

void bins_fill(bin *bins, int count, double lo, double hi, const pitot_series *s) {
    double scale = hi > lo ? (count - 1) / (hi - lo) : 0;
    for (int i = 0; i < count; i++) bins[i] = (bin){ .least = INFINITY };
    if (count < 1) return;
    for (int64_t i = first_from(s, lo); i < s->n && (double)s->step[i] <= hi; i++) {
        int at = (int)(((double)s->step[i] - lo) * scale + 0.5);
        bin_add(&bins[at < count ? at : count - 1], s->value[i]);
    }
}

typedef struct average { /* exponential, corrected for its start */
    double past, total;
} average;

static double average_add(average *a, double weight, const bin *b) {
    a->past = weight * a->past + (1 - weight) * (b->sum / (double)b->n);
    a->total = weight * a->total + (1 - weight);
    return a->past / a->total;
}

/* Forwards into `last`, then backwards; `sum` and `n` hold the mean until the end. */
void bins_smooth(bin *bins, int count, double weight) {
    average on = { 0, 0 }, back = { 0, 0 };
    for (int i = 0; i < count; i++)
        if (bins[i].n) bins[i].last = average_add(&on, weight, &bins[i]);
    for (int i = count - 1; i >= 0; i--) {
        bin *b = &bins[i];
        if (!b->n) continue;
        b->sum = b->last / 2 + average_add(&back, weight, b) / 2;
        b->first = b->last = b->min = b->max = b->sum;
        b->n = 1;
    }
}

int bins_are_noisy(const bin *bins, int count) {
    double within = 0, between = 0, before = 0, mean, way = 0;
    int steps = 0, turns = 0, seen = 0;
    for (int i = 0; i < count; i++) {
        if (!bins[i].n) continue;
        mean = bins[i].sum / (double)bins[i].n;
        within += bins[i].max - bins[i].min;
        if (seen++ && mean != before) {
            turns += (mean - before) * way < 0;
            way = mean > before ? 1 : -1;
            between += fabs(mean - before);
            steps++;
        }
        before = mean;
    }
    return within > 3 * between || 4 * turns > steps;
}

/* ---- dots ------------------------------------------------------------------------------------------------------------ */

static void put_dot(canvas *c, place area, int x, int y, int pen) {
    static const unsigned char bit[4][2] = { { 0x01, 0x08 }, { 0x02, 0x10 }, { 0x04, 0x20 }, { 0x40, 0x80 } };
    int row = area.row + y / 4, col = area.col + x / 2;
    cell *at = cell_at(c, row, col);
    if (!at) return;
    if (at->code < BRAILLE || at->code > BRAILLE + 255) canvas_put(c, row, col, BRAILLE, pen);
    at->code |= bit[y % 4][x % 2];
    at->pen = (uint32_t)pen;
}

/* The dots of column x between the heights a and b, in dots from the top; nothing where both are outside on one side. */
static void put_run(canvas *c, place area, int x, double a, double b, int pen) {
    int bottom = 4 * area.rows - 1;
    double low = floor(fmin(a, b) + 0.5), high = floor(fmax(a, b) + 0.5);
    if (high < 0 || low > bottom || x < 0 || x >= 2 * area.cols) return;
    if (low < 0) low = 0;
    if (high > bottom) high = bottom;
    for (int y = (int)low; y <= (int)high; y++) put_dot(c, area, x, y, pen);
}

/* Height of a value in dots from the top. What a log axis cannot show lies on the bottom line. */
static double height_of(const axis *y, int rows, double v) {
    double dots = 4.0 * rows - 1, at = axis_at(y, v);
    if (isnan(at)) at = 0;
    return fmin(fmax((1 - at) * dots, -10 * dots), 11 * dots);
}

/* From the last value of bin a to the first of bin b; each column takes the part of the way that lies within half a dot of it. */
static void connect(canvas *c, place area, double a, double from, double b, double to, int pen) {
    double slope = (to - from) / (b - a);
    int first = (int)fmax(floor(a + 0.5), 0), last = (int)fmin(floor(b + 0.5), 2 * area.cols - 1);
    for (int x = first; x <= last; x++) {
        double left = x > a ? fmax(x - a - 0.5, 0) : 0, right = x < b ? fmin(x - a + 0.5, b - a) : b - a;
        put_run(c, area, x, from + slope * left, from + slope * right, pen);
    }
}

void canvas_join(canvas *c, place area, const axis *y, double a, double from, double b, double to, int pen) {
    if (area.rows < 1 || !(a < b) || a >= 2 * area.cols || b < 0) return;
    connect(c, area, a, height_of(y, area.rows, from), b, height_of(y, area.rows, to), pen);
}

void canvas_line(canvas *c, place area, const axis *y, const bin *bins, int pen) {
    int before = -1;
    if (area.rows < 1) return;
    for (int x = 0; x < 2 * area.cols; x++) {
        const bin *b = &bins[x];
        if (b->odd) before = -1;
        if (!b->n) continue;
        double first = height_of(y, area.rows, b->first);
        if (before >= 0) connect(c, area, before, height_of(y, area.rows, bins[before].last), x, first, pen);
        put_run(c, area, x, height_of(y, area.rows, b->min), height_of(y, area.rows, b->max), pen);
        before = b->odd ? -1 : x;
    }
}

void canvas_marks(canvas *c, place area, const bin *bins, int pen) {
    if (area.rows < 1) return;
    for (int x = 0; x < 2 * area.cols; x++) {
        int col = area.col + x / 2;
        const cell *top = cell_at(c, area.row, col);
        if (bins[x].odd & BIN_INF && !(top && top->code == 'x')) canvas_put(c, area.row, col, '^', pen);
        if (bins[x].odd & BIN_NAN) canvas_put(c, area.row, col, 'x', pen);
        if (bins[x].odd & BIN_MINUS_INF) canvas_put(c, area.row + area.rows - 1, col, 'v', pen);
    }
}
