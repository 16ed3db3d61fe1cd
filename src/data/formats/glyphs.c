/* glyphs.c: drawn digits, made up on the spot, so that a first run needs no download.

   Each digit is a few strokes on a 60 x 100 sheet: chains of quadratic curves whose points are shaken, then scaled, slanted,
   turned and shifted, and drawn with an anti-aliased pen of random width on a noisy ground. A sample depends on N, its
   index and its class alone. Only + - * / and sqrt are used, which all machines round alike: bytes are the same everywhere. */

#include "data/data.h"

#include "base/random.h"

#include <math.h>

enum {
    SIDE = 16,
    N_CLASSES = 10,
    N_DEFAULT = 6000,
    N_MIN = 10,
    N_MAX = 10000000,
    STROKE_POINTS = 11, /* most points of a stroke */
    PIECES = 4          /* straight pieces that a curve is drawn with */
};

/* ---- the font ---- */

/* Start, then (control, end) of each curve; a straight line has its control point in the middle. */
typedef struct stroke {
    int n; /* points: odd, 0 ends a glyph */
    signed char at[STROKE_POINTS][2];
} stroke;

typedef struct glyph {
    stroke strokes[3];
} glyph;

/* Two ways to write each digit, chosen at random. */
static const glyph font[N_CLASSES][2] = {
    { { { { 9, { { 30, 0 }, { 60, 0 }, { 60, 50 }, { 60, 100 }, { 30, 100 }, { 0, 100 }, { 0, 50 }, { 0, 0 }, { 30, 0 } } } } },
      { { { 9, { { 36, 2 }, { 64, 4 }, { 56, 54 }, { 50, 100 }, { 24, 98 }, { 0, 96 }, { 4, 46 }, { 10, 0 }, { 40, 4 } } } } } },
    { { { { 5, { { 14, 24 }, { 26, 14 }, { 34, 0 }, { 34, 50 }, { 34, 100 } } } } },
      { { { 5, { { 14, 22 }, { 26, 14 }, { 32, 0 }, { 32, 50 }, { 32, 100 } } },
          { 3, { { 12, 100 }, { 32, 100 }, { 52, 100 } } } } } },
    { { { { 7, { { 2, 24 }, { 4, 0 }, { 30, 0 }, { 58, 0 }, { 58, 28 }, { 56, 54 }, { 0, 100 } } },
          { 3, { { 0, 100 }, { 30, 100 }, { 60, 100 } } } } },
      { { { 9, { { 4, 18 }, { 14, 0 }, { 34, 0 }, { 60, 4 }, { 54, 34 }, { 48, 62 }, { 6, 98 }, { 36, 84 }, { 60, 98 } } } } } },
    { { { { 9, { { 4, 12 }, { 14, 0 }, { 30, 0 }, { 56, 0 }, { 56, 25 }, { 56, 48 }, { 24, 48 }, { 60, 48 }, { 60, 74 } } },
          { 5, { { 60, 74 }, { 60, 100 }, { 30, 100 }, { 8, 100 }, { 0, 86 } } } } },
      { { { 9, { { 2, 0 }, { 30, 0 }, { 56, 0 }, { 40, 20 }, { 24, 42 }, { 60, 42 }, { 60, 72 }, { 60, 100 }, { 28, 100 } } },
          { 3, { { 28, 100 }, { 8, 100 }, { 0, 88 } } } } } },
    { { { { 5, { { 40, 0 }, { 20, 33 }, { 0, 66 }, { 30, 66 }, { 60, 66 } } }, { 3, { { 44, 32 }, { 44, 66 }, { 44, 100 } } } } },
      { { { 5, { { 10, 0 }, { 8, 28 }, { 2, 54 }, { 30, 56 }, { 56, 52 } } }, { 3, { { 50, 8 }, { 48, 54 }, { 44, 100 } } } } } },
    { { { { 5, { { 54, 0 }, { 32, 0 }, { 10, 0 }, { 8, 22 }, { 6, 44 } } },
          { 9, { { 6, 44 }, { 18, 36 }, { 32, 36 }, { 60, 36 }, { 60, 67 }, { 60, 100 }, { 28, 100 }, { 8, 100 }, { 0, 86 } } } } },
      { { { 5, { { 56, 2 }, { 34, 4 }, { 14, 2 }, { 12, 20 }, { 8, 40 } } },
          { 7, { { 8, 40 }, { 58, 32 }, { 56, 68 }, { 54, 100 }, { 24, 100 }, { 8, 98 }, { 2, 90 } } } } } },
    { { { { 11,
            { { 50, 4 },
              { 4, 16 },
              { 2, 66 },
              { 2, 100 },
              { 32, 100 },
              { 60, 100 },
              { 60, 70 },
              { 60, 42 },
              { 32, 42 },
              { 8, 42 },
              { 2, 66 } } } } },
      { { { 11,
            { { 34, 0 },
              { 10, 30 },
              { 4, 68 },
              { 4, 100 },
              { 30, 100 },
              { 56, 100 },
              { 56, 74 },
              { 56, 50 },
              { 34, 50 },
              { 12, 50 },
              { 5, 76 } } } } } },
    { { { { 5, { { 0, 0 }, { 30, 0 }, { 60, 0 }, { 30, 46 }, { 20, 100 } } } } },
      { { { 5, { { 2, 4 }, { 30, 2 }, { 58, 0 }, { 40, 40 }, { 22, 100 } } }, { 3, { { 14, 50 }, { 31, 50 }, { 50, 48 } } } } } },
    { { { { 9, { { 30, 48 }, { 4, 48 }, { 4, 24 }, { 4, 0 }, { 30, 0 }, { 56, 0 }, { 56, 24 }, { 56, 48 }, { 30, 48 } } },
          { 9, { { 30, 48 }, { 60, 48 }, { 60, 74 }, { 60, 100 }, { 30, 100 }, { 0, 100 }, { 0, 74 }, { 0, 48 }, { 30, 48 } } } } },
      { { { 7, { { 54, 12 }, { 44, 0 }, { 28, 0 }, { 4, 2 }, { 8, 26 }, { 14, 42 }, { 36, 54 } } },
          { 7, { { 36, 54 }, { 60, 66 }, { 56, 82 }, { 48, 100 }, { 28, 100 }, { 2, 98 }, { 4, 78 } } },
          { 5, { { 4, 78 }, { 8, 60 }, { 32, 46 }, { 52, 34 }, { 54, 12 } } } } } },
    { { { { 11,
            { { 58, 34 },
              { 58, 60 },
              { 30, 60 },
              { 2, 60 },
              { 2, 30 },
              { 2, 0 },
              { 30, 0 },
              { 58, 0 },
              { 58, 34 },
              { 58, 80 },
              { 26, 100 } } } } },
      { { { 9, { { 54, 26 }, { 50, 52 }, { 28, 52 }, { 6, 52 }, { 6, 26 }, { 8, 0 }, { 30, 0 }, { 52, 0 }, { 54, 26 } } },
          { 3, { { 54, 26 }, { 52, 62 }, { 48, 100 } } } } } },
};

/* ---- one sample ---- */

/* A stream of random numbers of one sample. */
typedef struct dice {
    uint32_t counter[4], key[2], words[4];
    int left;
} dice;

static dice dice_of(int64_t n, int64_t index) {
    return (dice){ .counter = { 0, 0, (uint32_t)index, (uint32_t)n }, .key = { RANDOM_DATA, 0x676c7970u } };
}

static uint32_t throw_bits(dice *d) {
    if (d->left == 0) {
        random_block(d->counter, d->key, d->words);
        d->counter[0]++;
        d->left = 4;
    }
    return d->words[--d->left];
}

/* Uniform in [low, high). */
static double throw_between(dice *d, double low, double high) {
    return low + (high - low) * (throw_bits(d) * 0x1p-32);
}

/* Mean 0, deviation 1: the sum of four bytes is near enough to normal. */
static double throw_normal(dice *d) {
    uint32_t bits = throw_bits(d);
    double sum = (double)((bits & 255) + (bits >> 8 & 255) + (bits >> 16 & 255) + (bits >> 24));
    return (sum - 510) / 147.8;
}

typedef struct pen {               /* how one sample is written */
    double xx, xy, yx, yy, x0, y0; /* from the sheet, centred, to pixels */
    double shake;                  /* of control points, in units of the sheet */
    double radius;                 /* half the stroke's width, pixels */
} pen;

static pen choose_pen(dice *d) {
    double height = throw_between(d, 8.4, 12.6) / 100, width = height * throw_between(d, 0.75, 1.2);
    double slant = throw_between(d, -0.35, 0.35);
    double t = throw_between(d, -0.14, 0.14), c = (1 - t * t) / (1 + t * t), s = 2 * t / (1 + t * t); /* turned by 2 atan t */
    pen p = { .xx = c * width, .xy = -c * slant * height - s * height, .yx = s * width, .yy = c * height - s * slant * height };
    p.x0 = SIDE * 0.5 + throw_between(d, -2.0, 2.0);
    p.y0 = SIDE * 0.5 + throw_between(d, -1.6, 1.6);
    p.shake = 4.5;
    p.radius = throw_between(d, 0.45, 1.05);
    return p;
}

typedef struct point {
    double x, y;
} point;

static point place(const pen *p, const signed char at[2], dice *d) {
    double x = at[0] - 30 + throw_between(d, -p->shake, p->shake), y = at[1] - 50 + throw_between(d, -p->shake, p->shake);
    return (point){ p->x0 + p->xx * x + p->xy * y, p->y0 + p->yx * x + p->yy * y };
}

/* First and last pixel whose centre is within `reach` of [a, b]. */
static void cover(double a, double b, double reach, int *first, int *last) {
    double low = (a < b ? a : b) - reach, high = (a < b ? b : a) + reach;
    *first = low < 0 ? 0 : (int)low;
    *last = high < 0 ? -1 : high >= SIDE ? SIDE - 1 : (int)high;
}

/* Ink of the piece a to b: 1 inside the pen's width, falling to 0 over a pixel at its edge. ink (SIDE, SIDE): the larger wins. */
static void draw_piece(double *ink, point a, point b, double radius) {
    double dx = b.x - a.x, dy = b.y - a.y, length2 = dx * dx + dy * dy;
    int x0, x1, y0, y1;
    cover(a.x, b.x, radius + 1, &x0, &x1);
    cover(a.y, b.y, radius + 1, &y0, &y1);
    for (int y = y0; y <= y1; y++) {
        for (int x = x0; x <= x1; x++) {
            double px = x + 0.5 - a.x, py = y + 0.5 - a.y;
            double along = length2 > 0 ? (px * dx + py * dy) / length2 : 0;
            along = along < 0 ? 0 : along > 1 ? 1 : along;
            px -= along * dx;
            py -= along * dy;
            double value = radius + 0.5 - sqrt(px * px + py * py);
            value = value > 1 ? 1 : value;
            if (value > ink[y * SIDE + x]) ink[y * SIDE + x] = value;
        }
    }
}

static void draw_curve(double *ink, point a, point control, point b, double radius) {
    point from = a;
    for (int i = 1; i <= PIECES; i++) {
        double t = (double)i / PIECES, u = 1 - t;
        point to = { u * u * a.x + 2 * u * t * control.x + t * t * b.x, u * u * a.y + 2 * u * t * control.y + t * t * b.y };
        draw_piece(ink, from, to, radius);
        from = to;
    }
}

static void draw_stroke(double *ink, const stroke *s, const pen *p, dice *d) {
    point a = place(p, s->at[0], d);
    for (int i = 1; i < s->n; i += 2) {
        point control = place(p, s->at[i], d), b = place(p, s->at[i + 1], d);
        draw_curve(ink, a, control, b, p->radius);
        a = b;
    }
}

/* picture (SIDE, SIDE) */
static void draw_sample(uint8_t *picture, int64_t n, int64_t index, int32_t class) {
    double ink[SIDE * SIDE] = { 0 };
    dice d = dice_of(n, index);
    pen p = choose_pen(&d);
    const glyph *g = &font[class][throw_bits(&d) & 1];
    for (int i = 0; i < 3 && g->strokes[i].n; i++) draw_stroke(ink, &g->strokes[i], &p, &d);
    double ground = throw_between(&d, 0, 50), contrast = throw_between(&d, 90, 205), noise = throw_between(&d, 6, 30);
    for (int i = 0; i < SIDE * SIDE; i++) {
        double value = ground + contrast * ink[i] + noise * throw_normal(&d) + 0.5;
        picture[i] = value < 0 ? 0 : value > 255 ? 255 : (uint8_t)value;
    }
}

/* ---- the set ---- */

/* Equally many of each class, to one, in random order. classes (n); `stream` keeps the two parts apart. */
static void deal_classes(int32_t *classes, int64_t n, uint64_t stream) {
    for (int64_t i = 0; i < n; i++) classes[i] = (int32_t)(i % N_CLASSES);
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t k = (int64_t)(random_bits(stream, RANDOM_DATA, 0, (uint64_t)i) % (uint64_t)(i + 1));
        int32_t class = classes[i];
        classes[i] = classes[k];
        classes[k] = class;
    }
}

/* "" or a number of samples; 0: neither. */
static int64_t parse_count(const char *argument) {
    int64_t n = 0;
    if (!argument[0]) return N_DEFAULT;
    for (const char *c = argument; *c; c++) {
        if (*c < '0' || *c > '9' || n > N_MAX) return 0;
        n = 10 * n + (*c - '0');
    }
    return n >= N_MIN && n <= N_MAX ? n : 0;
}

static int32_t glyphs_open(const char *argument, pitot_data *data, pitot_error *error) {
    static const int64_t shape[3] = { 1, SIDE, SIDE };
    int64_t n = parse_count(argument), n_train = n - n / 6;
    if (n == 0) {
        return pitot_fail(error, PITOT_EINVAL, "%s: not a number of samples; write glyphs:N with N from %d to %d", data->spec,
                          N_MIN, N_MAX);
    }
    int32_t status = data_describe(data, n, n_train, shape, 3, data->spec, error);
    if (status == PITOT_OK) status = data_alloc_bytes(data, error);
    if (status == PITOT_OK) status = data_alloc_classes(data, N_CLASSES, error);
    if (status != PITOT_OK) return status;
    deal_classes(data->classes, n_train, 0);
    deal_classes(data->classes + n_train, n - n_train, 1);
    for (int64_t i = 0; i < n; i++) draw_sample(data->bytes + i * data->size, n, i, data->classes[i]);
    return PITOT_OK;
}

extern const pitot_data_format data_format_glyphs;
const pitot_data_format data_format_glyphs = {
    .struct_size = sizeof(pitot_data_format),
    .abi = PITOT_ABI,
    .name = "glyphs",
    .spec = "glyphs[:N]",
    .summary = "drawn digits, generated: needs no files",
    .details =
        "N grey pictures of hand-drawn digits (default 6000, 10 to 10000000) of (1, 16, 16), 10 classes, equally many of each. "
        "The same N gives the same samples everywhere. The last sixth validates.",
    .open = glyphs_open,
};
