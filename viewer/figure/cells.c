/* cells.c: see cells.h. Lengths are points; a cell is 5 by 10 of them. */

#include "cells.h"

#include <math.h>

#include "surface.h"
#include "term/theme.h"

static const double wide = 5, high = 10, margin = 4, font_size = 8.3 /* its letters are 0.602 of that wide */, rule = 0.7;

typedef struct picture {
    const canvas *canvas;
    int theme;
} picture;

static void set_colour(cairo_t *cr, uint32_t v) {
    cairo_set_source_rgb(cr, (v >> 16 & 255) / 255.0, (v >> 8 & 255) / 255.0, (v & 255) / 255.0);
}

/* ---- characters that are drawn --------------------------------------------------------------------------------------- */

static void draw_braille(cairo_t *cr, double x, double y, uint32_t dots) {
    static const unsigned char bit[4][2] = { { 0x01, 0x08 }, { 0x02, 0x10 }, { 0x04, 0x20 }, { 0x40, 0x80 } };
    for (int row = 0; row < 4; row++)
        for (int col = 0; col < 2; col++) {
            if (!(dots & bit[row][col])) continue;
            cairo_new_sub_path(cr);
            cairo_arc(cr, x + (col + 0.5) * wide / 2, y + (row + 0.5) * high / 4, 0.95, 0, 2 * acos(-1));
        }
    cairo_fill(cr);
}

/* Arms of a frame's character from the middle of its cell, by bits: left, right, up, down; 0: it is none. */
static int arms_of(uint32_t code) {
    enum { L = 1, R = 2, U = 4, D = 8 };
    switch (code) {
    case 0x2500: return L | R;
    case 0x2502: return U | D;
    case 0x250c: return R | D;
    case 0x2510: return L | D;
    case 0x2514: return R | U;
    case 0x2518: return L | U;
    case 0x251c: return R | U | D;
    case 0x2524: return L | U | D;
    case 0x252c: return L | R | D;
    case 0x2534: return L | R | U;
    case 0x253c: return L | R | U | D;
    default: return 0;
    }
}

static void draw_arms(cairo_t *cr, double x, double y, int arms) {
    double mx = x + wide / 2, my = y + high / 2, h = rule / 2;
    if (arms & 1) cairo_rectangle(cr, x, my - h, wide / 2 + h, rule);
    if (arms & 2) cairo_rectangle(cr, mx - h, my - h, wide / 2 + h, rule);
    if (arms & 4) cairo_rectangle(cr, mx - h, y, rule, high / 2 + h);
    if (arms & 8) cairo_rectangle(cr, mx - h, my - h, rule, high / 2 + h);
    cairo_fill(cr);
}

/* U+2580 to U+259F: eighths, halves, quarters, and shades as grey. */
static void draw_block(cairo_t *cr, double x, double y, uint32_t code) {
    static const unsigned char quarters[] = {
        4, 8, 1, 13, 9, 7, 11, 2, 6, 14
    }; /* of U+2596 on; upper left 1, right 2, lower 4, 8 */
    double part;
    if (code >= 0x2596) {
        for (int k = 0; k < 4; k++)
            if (quarters[code - 0x2596] >> k & 1)
                cairo_rectangle(cr, x + (k & 1) * wide / 2, y + (k >> 1) * high / 2, wide / 2, high / 2);
    } else if (code == 0x2580) cairo_rectangle(cr, x, y, wide, high / 2);
    else if (code <= 0x2588) {
        part = high * (code - 0x2580) / 8;
        cairo_rectangle(cr, x, y + high - part, wide, part);
    } else if (code <= 0x258f) cairo_rectangle(cr, x, y, wide * (0x2590 - code) / 8, high);
    else if (code == 0x2590) cairo_rectangle(cr, x + wide / 2, y, wide / 2, high);
    else if (code == 0x2594) cairo_rectangle(cr, x, y, wide, high / 8);
    else if (code == 0x2595) cairo_rectangle(cr, x + wide * 7 / 8, y, wide / 8, high);
    else { /* a quarter, half, or three quarters of grey */ cairo_rectangle(cr, x, y, wide, high);
        cairo_clip(cr);
        cairo_paint_with_alpha(cr, 0.25 * (code - 0x2590));
        cairo_reset_clip(cr);
        return;
    }
    cairo_fill(cr);
}

/* ---- cells ----------------------------------------------------------------------------------------------------------- */

static void draw_text(cairo_t *cr, double x, double y, uint32_t code, int bold) {
    char text[5] = "";
    text[canvas_utf8(text, code)] = 0;
    cairo_select_font_face(cr, "DejaVu Sans Mono", CAIRO_FONT_SLANT_NORMAL,
                           bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(cr, font_size);
    cairo_move_to(cr, x, y + 0.78 * high);
    cairo_show_text(cr, text);
    cairo_new_path(cr);
}

static void draw_cell(cairo_t *cr, const picture *p, int row, int col) {
    const canvas *c = p->canvas;
    uint32_t code = canvas_glyph(c, row, col), fore, back;
    int pen = (int)c->cell[(int64_t)row * c->cols + col].pen;
    double x = margin + col * wide, y = margin + row * high;
    theme_paint(p->theme, pen, &fore, &back);
    if (pen >= PEN_HEAT && back != theme_background(p->theme)) code = ' ';
    if (back != theme_background(p->theme)) {
        set_colour(cr, back);
        cairo_rectangle(cr, x, y, wide, high);
        cairo_fill(cr);
    }
    if (!code || code == ' ') return;
    set_colour(cr, fore);
    if (code >= 0x2800 && code < 0x2900) draw_braille(cr, x, y, code - 0x2800);
    else if (code >= 0x2580 && code < 0x25a0) draw_block(cr, x, y, code);
    else if (arms_of(code)) draw_arms(cr, x, y, arms_of(code));
    else draw_text(cr, x, y, code, (theme_look(p->theme, pen, 256).attributes & LOOK_BOLD) != 0);
}

static int32_t draw(cairo_t *cr, const surface_page *page) {
    const picture *p = page->user;
    set_colour(cr, theme_background(p->theme));
    cairo_paint(cr);
    for (int row = 0; row < p->canvas->rows; row++)
        for (int col = 0; col < p->canvas->cols; col++) draw_cell(cr, p, row, col);
    return PITOT_OK;
}

int32_t cells_write(const char *path, const canvas *c, int theme, pitot_error *error) {
    picture p = { c, theme };
    fact_list none = { 0 };
    surface_page page = {
        .width = 2 * margin + c->cols * wide,
        .height = 2 * margin + c->rows * high,
        .dpi = 144,
        .title = "pitot watch",
        .facts = &none,
        .draw = draw,
        .user = &p,
    };
    return surface_write(path, &page, error);
}
