/* settings.h: what the user chose, kept from one viewing to the next: theme, page, kinds of x and of lines, runs that are
   filtered, hidden, shown or pinned against what would be done by itself, and whatever pages save (page.h).

   Kept in .pitot-watch.json: in the folder that is watched, or beside the run. Where that cannot be written, in
   $XDG_STATE_HOME/pitot, if that is set; else nowhere. Nothing is written while nothing differs from what was found. */

#ifndef PITOT_VIEWER_SETTINGS_H
#define PITOT_VIEWER_SETTINGS_H

#include "term/screen.h"

enum { SETTINGS_ROOM = 4096, SETTINGS_PATHS = 2, SETTINGS_LARGEST = 1 << 20 };

typedef struct settings {                     /* clear it at first */
    char path[SETTINGS_PATHS][SETTINGS_ROOM]; /* where to keep it, the first that can be written; "": nowhere */
    struct cJSON *found;                      /* what was read; NULL: nothing */
    char *kept;                               /* its text, as it is on disk or would be */
    int fixed;                                /* read only */
} settings;

/* Paths for what is watched: a folder or a run. */
void settings_choose(settings *s, const char *watched, int is_folder);
/* Reads and applies what there is, but for the page and the theme if they are said to be `given`. A file that is damaged is left out,
   with a note on the screen. */
void settings_read(settings *s, screen *on, shown *all, int page_given, int theme_given);
/* Applies what was found to runs from..: those that came since. */
void settings_apply(const settings *s, shown *all, int from);
/* Writes what there is, whole, if it is not what it was at the call before; the first call, once all is drawn, writes nothing. Says
   nothing if it cannot. */
void settings_write(settings *s, screen *on, const shown *all);
void settings_free(settings *s);

/* ---- for pages: a value of an object that the user could have written by hand ---- */

/* A whole number within [lo, hi], or `otherwise`. */
int settings_int(const struct cJSON *from, const char *name, int otherwise, int lo, int hi);
/* Text; `out` stays as it is if there is none, or it is longer. */
void settings_text(const struct cJSON *from, const char *name, char *out, size_t size);

#endif
