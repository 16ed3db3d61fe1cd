/* theme.c: see theme.h. The 256 are exact entries of the colour cube or the grey ramp, so that no terminal maps them elsewhere. Colours
   of runs are chosen far apart from each other (CIE Lab), in the colour-blind theme as protanopes and deuteranopes see them
   (Machado, Oliveira and Fernandes, 2009); pale ones lie between them and the background. Heat follows viridis, cividis or grey. */

#include "term/theme.h"

#include <stdlib.h>
#include <string.h>

enum { BLACK, RED, GREEN, YELLOW, BLUE, MAGENTA, CYAN, WHITE, BRIGHT };

typedef struct theme {
    const char *name;
    int background; /* the nominal one, of the 256 */
    int plain;      /* colour of text on it, for pictures */
    short role[PEN_TENSOR];
    short run[PEN_RUNS], pale[PEN_RUNS], tensor[PEN_TENSORS], heat[PEN_HEATS];
    unsigned bold; /* pens of `role` that are bold, by bits */
} theme;

#define BIT(pen) (1u << (pen))
#define USUAL (BIT(PEN_TITLE) | BIT(PEN_CHOSEN) | BIT(PEN_ALARM) | BIT(PEN_KEY))

static const theme themes[THEMES] = {
    [THEME_DARK] = {
        "dark", 233, 252,
        { [PEN_TEXT] = -1, [PEN_DIM] = 245, [PEN_TITLE] = -1, [PEN_CHOSEN] = -1, [PEN_AXIS] = 242, [PEN_MAIN] = 45, [PEN_RAW] = 31,
          [PEN_GOOD] = 78, [PEN_WARN] = 214, [PEN_ALARM] = 203, [PEN_KEY] = -1 },
        { 45, 208, 35, 176, 226, 69, 167, 250 },
        { 31, 130, 29, 96, 64, 61, 131, 243 },
        { 39, 208, 35, 176, 226, 117, 167, 250 },
        { 53, 54, 55, 56, 24, 25, 26, 31, 36, 72, 42, 113, 148, 184, 220, 226 },
        USUAL,
    },
    [THEME_LIGHT] = {
        "light", 231, 235,
        { [PEN_TEXT] = -1, [PEN_DIM] = 242, [PEN_TITLE] = -1, [PEN_CHOSEN] = -1, [PEN_AXIS] = 245, [PEN_MAIN] = 25, [PEN_RAW] = 67,
          [PEN_GOOD] = 22, [PEN_WARN] = 130, [PEN_ALARM] = 160, [PEN_KEY] = -1 },
        { 25, 160, 22, 91, 94, 125, 21, 236 },
        { 67, 167, 65, 134, 137, 132, 63, 244 },
        { 25, 160, 22, 91, 94, 125, 21, 236 },
        { 226, 220, 184, 148, 113, 42, 72, 36, 31, 26, 25, 24, 56, 55, 54, 53 },
        USUAL,
    },
    [THEME_CONTRAST] = {
        "high-contrast", 16, 231,
        { [PEN_TEXT] = -1, [PEN_DIM] = 250, [PEN_TITLE] = -1, [PEN_CHOSEN] = -1, [PEN_AXIS] = 250, [PEN_MAIN] = 51, [PEN_RAW] = 30,
          [PEN_GOOD] = 46, [PEN_WARN] = 226, [PEN_ALARM] = 210, [PEN_KEY] = 231 },
        { 51, 208, 207, 75, 223, 204, 184, 41 },
        { 30, 166, 133, 67, 137, 168, 100, 29 },
        { 51, 208, 207, 75, 223, 204, 184, 41 },
        { 233, 234, 236, 237, 238, 240, 241, 243, 102, 246, 248, 250, 251, 253, 255, 231 },
        USUAL | BIT(PEN_MAIN) | BIT(PEN_WARN),
    },
    [THEME_BLIND] = {
        "colour-blind", 233, 252,
        { [PEN_TEXT] = -1, [PEN_DIM] = 245, [PEN_TITLE] = -1, [PEN_CHOSEN] = -1, [PEN_AXIS] = 242, [PEN_MAIN] = 45, [PEN_RAW] = 31,
          [PEN_GOOD] = 45, [PEN_WARN] = 226, [PEN_ALARM] = 208, [PEN_KEY] = -1 },
        { 45, 208, 32, 157, 137, 248, 226, 231 },
        { 31, 130, 60, 65, 241, 242, 64, 243 },
        { 45, 208, 32, 157, 137, 248, 226, 231 },
        { 234, 235, 53, 238, 239, 240, 242, 243, 244, 246, 144, 179, 215, 185, 221, 227 },
        USUAL,
    },
    [THEME_MONO] = { .name = "mono", .background = 233, .plain = 252, .bold = USUAL },
};

/* The same on terminals of 16 and of 8 colours, whose shades are the user's own choice. */
static const short role16[PEN_TENSOR] = { -1, 8, -1, -1, 8, 14, 8, 10, 11, 9, -1 };
static const short role8[PEN_TENSOR] = { -1, -1, -1, -1, -1, CYAN, BLUE, GREEN, YELLOW, RED, -1 };
static const short line16[8] = { 14, 3, 2, 13, 11, 12, 9, 7 }, pale16[8] = { 6, 3, 2, 5, 3, 4, 1, 8 };
static const short light_role16[PEN_TENSOR] = { -1, 8, -1, -1, 8, 4, 8, 2, 3, 1, -1 };
static const short light16[8] = { 4, 1, 2, 5, 3, 9, 12, 0 }, light_pale16[8] = { 12, 9, 10, 13, 11, 9, 12, 8 };
static const short light_role8[PEN_TENSOR] = { -1, -1, -1, -1, -1, BLUE, CYAN, GREEN, MAGENTA, RED, -1 };
static const short line8[8] = { CYAN, YELLOW, GREEN, MAGENTA, YELLOW, BLUE, RED, WHITE };
static const short light8[8] = { BLUE, RED, GREEN, MAGENTA, CYAN, RED, BLUE, BLACK };
static const short heat8[8] = { BLACK, BLUE, RED, MAGENTA, GREEN, CYAN, YELLOW, WHITE }; /* by luminance */

/* ---- names ----------------------------------------------------------------------------------------------------------- */

static const theme *theme_at(int k) {
    return &themes[k >= 0 && k < THEMES ? k : THEME_DARK];
}

const char *theme_name(int k) {
    return k >= 0 && k < THEMES ? themes[k].name : NULL;
}

int theme_find(const char *name) {
    for (int k = 0; k < THEMES; k++)
        if (strcmp(themes[k].name, name) == 0) return k;
    return -1;
}

int theme_suited(const char *colorfgbg) {
    const char *last = colorfgbg ? strrchr(colorfgbg, ';') : NULL;
    long back = last ? strtol(last + 1, NULL, 10) : 0;
    return back == 7 || back == 15 ? THEME_LIGHT : THEME_DARK;
}

uint32_t theme_background(int k) {
    return theme_rgb(theme_at(k)->background);
}

/* ---- colours --------------------------------------------------------------------------------------------------------- */

uint32_t theme_rgb(int colour) {
    static const uint32_t ansi[16] = { 0x000000, 0xcd0000, 0x00cd00, 0xcdcd00, 0x0000ee, 0xcd00cd, 0x00cdcd, 0xe5e5e5,
                                       0x7f7f7f, 0xff0000, 0x00ff00, 0xffff00, 0x5c5cff, 0xff00ff, 0x00ffff, 0xffffff };
    static const uint32_t level[6] = { 0, 95, 135, 175, 215, 255 };
    if (colour < 0 || colour > 255) return 0;
    if (colour < 16) return ansi[colour];
    if (colour >= 232) return 0x010101u * (8 + 10 * ((uint32_t)colour - 232));
    uint32_t c = (uint32_t)colour - 16;
    return level[c / 36] << 16 | level[c / 6 % 6] << 8 | level[c % 6];
}

/* Black or white, whichever stands out more. Luminance taken as of gamma 2, in parts of 255 times 255. */
static int on_top_of(int colour) {
    uint32_t v = theme_rgb(colour), r = v >> 16, g = v >> 8 & 255, b = v & 255;
    return 21 * r * r + 72 * g * g + 7 * b * b > 18 * 255 * 255 ? 16 : 231;
}

static int heat_of(const theme *t, int k, int colours) {
    int light = t == &themes[THEME_LIGHT];
    if (colours >= 256) return t->heat[k];
    return heat8[(light ? PEN_HEATS - 1 - k : k) / 2];
}

/* The k-th colour of a role (kind 0), of tensors (1), runs (2) or pale ones (3). */
static int colour_of(const theme *t, int kind, int k, int colours) {
    static const short *const few[2][2][4] = { { { role8, line8, line8, line8 }, { role16, line16, line16, pale16 } },
                                               { { light_role8, light8, light8, light8 },
                                                 { light_role16, light16, light16, light_pale16 } } };
    const short *const many[] = { t->role, t->tensor, t->run, t->pale };
    return colours >= 256 ? many[kind][k] : few[t == &themes[THEME_LIGHT]][colours >= 16][kind][k];
}

/* ---- looks ----------------------------------------------------------------------------------------------------------- */

/* Without colours, weight and inversion tell apart what they can. */
static look plain_look(int pen) {
    unsigned a = pen < PEN_TENSOR && (USUAL | BIT(PEN_MAIN) | BIT(PEN_WARN)) & BIT(pen) ? LOOK_BOLD : LOOK_PLAIN;
    if (pen == PEN_ALARM || pen == PEN_CHOSEN) a |= LOOK_REVERSE;
    if (pen == PEN_TENSOR || pen == PEN_RUN) a = LOOK_BOLD;
    return (look){ -1, -1, a };
}

look theme_look(int k, int pen, int colours) {
    const theme *t = theme_at(k);
    if (pen < 0 || pen >= PEN_END) pen = PEN_TEXT;
    if (colours < 8 || k == THEME_MONO) return plain_look(pen);
    if (pen >= PEN_HEAT) {
        int back = heat_of(t, pen - PEN_HEAT, colours), fore = on_top_of(back);
        return (look){ colours >= 256 ? fore : fore == 16 ? BLACK : WHITE, back, LOOK_PLAIN };
    }
    if (pen >= PEN_PALE) return (look){ colour_of(t, 3, pen - PEN_PALE, colours), -1, LOOK_PLAIN };
    if (pen >= PEN_RUN) return (look){ colour_of(t, 2, pen - PEN_RUN, colours), -1, LOOK_PLAIN };
    if (pen >= PEN_TENSOR) return (look){ colour_of(t, 1, pen - PEN_TENSOR, colours), -1, LOOK_PLAIN };
    unsigned a = t->bold & BIT(pen) ? LOOK_BOLD : LOOK_PLAIN;
    if (pen == PEN_CHOSEN) a |= LOOK_REVERSE;
    return (look){ colour_of(t, 0, pen, colours), -1, a };
}

void theme_paint(int k, int pen, uint32_t *fore, uint32_t *back) {
    const theme *t = theme_at(k);
    look l = theme_look(k, pen, 256);
    *fore = theme_rgb(l.fore < 0 ? t->plain : l.fore);
    *back = theme_rgb(l.back < 0 ? t->background : l.back);
    if (!(l.attributes & LOOK_REVERSE)) return;
    uint32_t held = *fore;
    *fore = *back;
    *back = held;
}
