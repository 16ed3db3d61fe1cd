/* cells.h: a canvas of cells as a picture, in a theme's colours. Braille, blocks and frames are drawn as dots and rectangles, so that no
   font needs to have them. */

#ifndef PITOT_VIEWER_FIGURE_CELLS_H
#define PITOT_VIEWER_FIGURE_CELLS_H

#include "figure.h"

#include "term/canvas.h"

/* Writes `path`; its end (.png, .svg, .pdf) says how. A cell of a PNG is 10 by 20 pixels. The file is complete or not there. */
int32_t cells_write(const char *path, const canvas *c, int theme, pitot_error *error);

#endif
