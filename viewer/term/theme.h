/* theme.h: how pens look, as tables: on terminals of 256, 16, 8 and no colours, and as points of light. Pure.

   A theme does not paint the background: it is made for one (dark or light), its nominal one, which pictures are drawn on. */

#ifndef PITOT_VIEWER_TERM_THEME_H
#define PITOT_VIEWER_TERM_THEME_H

#include "term/canvas.h"

enum { LOOK_PLAIN, LOOK_BOLD = 1, LOOK_REVERSE = 2, LOOK_UNDERLINE = 4 };

typedef struct look {
    int fore, back;      /* numbers of the terminal's colours; -1: its own */
    unsigned attributes; /* LOOK_... */
} look;

enum { THEME_DARK, THEME_LIGHT, THEME_CONTRAST, THEME_BLIND, THEME_MONO, THEMES };

/* "dark", "light", "high-contrast", "colour-blind", "mono"; NULL behind the last. */
const char *theme_name(int theme);
/* The theme of that name, or -1. */
int theme_find(const char *name);
/* How a pen looks where there are that many colours (256 and more, 16, 8; fewer: none). */
look theme_look(int theme, int pen, int colours);
/* A colour of the 256 as xterm shows it, 0xRRGGBB. */
uint32_t theme_rgb(int colour);
/* The same pens as a picture shows them; the background is the nominal one where the look has none. */
void theme_paint(int theme, int pen, uint32_t *fore, uint32_t *back);
uint32_t theme_background(int theme);
/* For a terminal that says so in COLORFGBG ("0;15"; NULL: it says nothing): the theme that suits its background. */
int theme_suited(const char *colorfgbg);

#endif
