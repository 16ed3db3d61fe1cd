/* export_view.h: what is on the screen, as a file: a figure of its panels, its values, or the frame itself. */

#ifndef PITOT_VIEWER_EXPORT_VIEW_H
#define PITOT_VIEWER_EXPORT_VIEW_H

#include "term/screen.h"

/* The end of `path` says what is written: .png, .svg, .pdf: the page's panels as a figure, or if it has none, the frame as a picture;
   .csv: the page's table, or its panels' values in sight, a line for each (run, name, step, wall, value); .txt: the frame. The frame is
   drawn anew, without keys, so the screen has to be drawn again. 0 or a status with a sentence in `error`; the file is then not there. */
int32_t export_view(const char *path, screen *s, const shown *all, pitot_error *error);
/* The frame as a picture, whatever the page. */
int32_t export_frame(const char *path, screen *s, const shown *all, pitot_error *error);

#endif
