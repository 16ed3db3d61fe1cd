/* ink.c: colours and text. See figure.h.

   Run colours after Okabe and Ito, "Color universal design" (2008), the dark ones first; depth colours sample viridis
   (van der Walt and Smith, 2015), without its lightest end, which is lost on white; cividis after Nunez, Anderton and Renslow, 2018. */

#include "figure.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const rgb ink_text = { 0.13, 0.13, 0.15 }, ink_grey = { 0.42, 0.43, 0.46 }, ink_grid = { 0.915, 0.92, 0.925 };
const rgb ink_alarm = { 0.80, 0.25, 0.05 };

static const rgb run_colour[8] = {
    { 0.000, 0.370, 0.640 }, { 0.835, 0.369, 0.000 }, { 0.000, 0.580, 0.430 }, { 0.720, 0.370, 0.580 },
    { 0.860, 0.580, 0.000 }, { 0.240, 0.640, 0.860 }, { 0.350, 0.350, 0.370 }, { 0.560, 0.200, 0.120 },
};

static const unsigned char viridis[11][3] = {
    { 68, 1, 84 },    { 72, 36, 117 },  { 65, 68, 135 },  { 53, 95, 141 },  { 42, 120, 142 }, { 33, 145, 140 },
    { 34, 168, 132 }, { 68, 191, 112 }, { 122, 209, 81 }, { 189, 223, 38 }, { 253, 231, 37 },
};

static const unsigned char cividis[10][3] = {
    { 0, 34, 78 },     { 18, 53, 112 },   { 59, 73, 108 },   { 87, 93, 109 },  { 112, 113, 115 },
    { 138, 135, 121 }, { 166, 157, 117 }, { 196, 181, 108 }, { 228, 207, 91 }, { 254, 232, 56 },
};

void ink_set(cairo_t *cr, rgb c) {
    cairo_set_source_rgb(cr, c.r, c.g, c.b);
}

rgb ink_mix(rgb a, rgb b, double s) {
    return (rgb){ a.r + s * (b.r - a.r), a.g + s * (b.g - a.g), a.b + s * (b.b - a.b) };
}

rgb ink_pale(rgb colour) {
    return ink_mix(colour, (rgb){ 1, 1, 1 }, 0.68);
}

rgb ink_run(int k) {
    return run_colour[k % 8];
}

void ink_dash(cairo_t *cr, int k) {
    static const double dashes[4][4] = { { 0 }, { 5, 2 }, { 1.5, 1.8 }, { 6, 2, 1.5, 2 } };
    static const int n[4] = { 0, 2, 2, 4 };
    cairo_set_dash(cr, dashes[k / 8 % 4], n[k / 8 % 4], 0);
}

/* Between the n control points of a map; t in [0,1]. */
static rgb between(const unsigned char (*map)[3], int n, double t) {
    double at = (t > 0 ? t < 1 ? t : 1 : 0) * (n - 1);
    int i = at < n - 2 ? (int)at : n - 2;
    const unsigned char *a = map[i], *b = map[i + 1];
    return ink_mix((rgb){ a[0] / 255.0, a[1] / 255.0, a[2] / 255.0 }, (rgb){ b[0] / 255.0, b[1] / 255.0, b[2] / 255.0 }, at - i);
}

rgb ink_depth(double t) {
    return between(viridis, 11, 0.87 * (t < 1 ? t : 1));
}

rgb ink_heat(double t) {
    return between(viridis, 11, 1 - (t > 0 ? t : 0));
}

rgb ink_cividis(double t) {
    return between(cividis, 10, t);
}

/* ---- text ------------------------------------------------------------------------------------------------------------ */

enum { TEXT = 512 };

/* Bytes of the UTF-8 character at c, 0 if it is none (or a control character, which no font shows). */
static size_t character(const unsigned char *c) {
    if (c[0] < 0x20 || c[0] == 0x7f) return 0;
    if (c[0] < 0x80) return 1;
    size_t n = c[0] >= 0xf0 ? 4 : c[0] >= 0xe0 ? 3 : 2;
    if (c[0] < 0xc2 || c[0] > 0xf4) return 0;
    for (size_t i = 1; i < n; i++)
        if ((c[i] & 0xc0) != 0x80) return 0;
    if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f)) return 0;
    if ((c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] > 0x8f)) return 0;
    return n;
}

/* cairo turns a context off for good that is given bytes which are not UTF-8. */
static void clean(const char *text, char *out) {
    size_t k = 0;
    while (*text && k + 5 < TEXT) {
        size_t n = character((const unsigned char *)text);
        if (n == 0) out[k++] = '?';
        for (size_t i = 0; i < n; i++) out[k++] = text[i];
        text += n ? n : 1;
    }
    out[k] = 0;
}

static void choose(cairo_t *cr, const ink *i) {
    cairo_font_weight_t weight = i->bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL;
    cairo_select_font_face(cr, "DejaVu Sans", CAIRO_FONT_SLANT_NORMAL, weight);
    cairo_set_font_size(cr, i->size);
}

static double advance(cairo_t *cr, const ink *i, const char *good) {
    cairo_text_extents_t e;
    choose(cr, i);
    cairo_text_extents(cr, good, &e);
    return isfinite(e.x_advance) && e.x_advance > 0 ? e.x_advance : 0;
}

double ink_width(cairo_t *cr, const ink *i, const char *text) {
    char good[TEXT];
    clean(text, good);
    return advance(cr, i, good);
}

double ink_draw(cairo_t *cr, const ink *i, double x, double y, const char *text) {
    char good[TEXT];
    clean(text, good);
    double w = advance(cr, i, good);
    ink_set(cr, i->colour);
    cairo_move_to(cr, x - w * (i->align == INK_CENTRE ? 0.5 : i->align == INK_RIGHT ? 1 : 0), y);
    cairo_show_text(cr, good);
    cairo_new_path(cr);
    return w;
}

double ink_fit(cairo_t *cr, const ink *i, double x, double y, double room, const char *text) {
    char good[TEXT];
    clean(text, good);
    if (advance(cr, i, good) <= room) return ink_draw(cr, i, x, y, good);
    size_t n = strlen(good);
    while (n > 0) {
        do n--;
        while (n > 0 && ((unsigned char)good[n] & 0xc0) == 0x80);
        while (n > 0 && good[n - 1] == ' ') n--;
        if (n + 4 > sizeof good) continue;
        memcpy(good + n, "\xe2\x80\xa6", 4);
        if (n > 0 && advance(cr, i, good) <= room) return ink_draw(cr, i, x, y, good);
    }
    return 0;
}

/* ---- numbers --------------------------------------------------------------------------------------------------------- */

typedef struct number { /* how it is set: base line and power */
    char base[64], power[16];
} number;

/* Appends digits with a real minus sign, and no plus. */
static void add_signed(char *out, size_t size, const char *digits) {
    size_t n = strlen(out);
    int minus = *digits == '-', plus = *digits == '+';
    snprintf(out + n, size - n, "%s%s", minus ? "\xe2\x88\x92" : "", digits + (minus || plus));
}

static number parse(const char *text) {
    number p = { "", "" };
    char mantissa[48] = "";
    const char *e = strchr(text, 'e');
    size_t n = e ? (size_t)(e - text) : strlen(text);
    if (n >= sizeof mantissa) n = sizeof mantissa - 1;
    memcpy(mantissa, text, n);
    if (!e || strcmp(mantissa, "1") != 0) add_signed(p.base, 48, strcmp(mantissa, "-1") == 0 && e ? "-" : mantissa);
    if (!e) return p;
    int whole = strcmp(mantissa, "1") == 0 || strcmp(mantissa, "-1") == 0;
    add_signed(p.base, sizeof p.base,
               whole ? "10"
                     : "\xc3\x97"
                       "10");
    char sign[2] = { e[1] == '-' ? '-' : '+', 0 };
    const char *digits = e + 2;
    while (digits[0] == '0' && digits[1]) digits++;
    add_signed(p.power, sizeof p.power, sign);
    add_signed(p.power, sizeof p.power, digits);
    return p;
}

double ink_number_width(cairo_t *cr, const ink *i, const char *text) {
    number p = parse(text);
    ink raised = *i;
    raised.size *= 0.72;
    return advance(cr, i, p.base) + (p.power[0] ? advance(cr, &raised, p.power) : 0);
}

void ink_number(cairo_t *cr, const ink *i, double x, double y, const char *text) {
    number p = parse(text);
    ink flat = *i;
    double w = ink_number_width(cr, i, text);
    flat.align = INK_LEFT;
    x -= w * (i->align == INK_CENTRE ? 0.5 : i->align == INK_RIGHT ? 1 : 0);
    x += ink_draw(cr, &flat, x, y, p.base);
    if (!p.power[0]) return;
    flat.size *= 0.72;
    ink_draw(cr, &flat, x, y - 0.38 * i->size, p.power);
}
