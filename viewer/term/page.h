/* page.h: one page of the viewer: what its body shows and what its keys do. Adding one is adding one file to viewer/pages/. */

#ifndef PITOT_VIEWER_TERM_PAGE_H
#define PITOT_VIEWER_TERM_PAGE_H

#include "term/screen.h"

#include <stdio.h>

struct cJSON;

enum { VIEW_ROOM = 8192 };

typedef struct page_view {  /* what a page shows, for a figure of the same or a table of its values */
    char panels[VIEW_ROOM]; /* titles of panels, by commas; "": the figure's own choice */
    int64_t from, to;       /* steps in sight; all of them if the page does not say */
    int alone;              /* 1: only of the run at hand */
} page_view;

typedef struct page {
    const char *name;  /* "plots": on the bottom line, and for --page */
    int code;          /* key that opens it from any page, and closes it again */
    const char *about; /* for the help */
    int rank;          /* place on the bottom line; the page of the least rank is the first to be seen */
    const key *keys;   /* its own, before those of all pages; may be NULL */
    int windowed;      /* 1: the keys of window.h are its own too, and it draws what s->window says is in sight */
    size_t size;       /* of what it keeps: zeroed memory, made when it is first drawn */
    /* 1: this run has nothing for it. NULL: it always has. */
    int (*is_empty)(const shown *all);
    /* Draws into s->layout.body. 0 or PITOT_ENOMEM. */
    int32_t (*draw)(screen *s, const shown *all, void *own);
    /* Does what an event asks for. 1: it was its own, the screen is drawn again; 0: it is nothing to this page. NULL: no keys. */
    int (*act)(screen *s, shown *all, void *own, const event *e);
    /* "page 2 of 3", at the right of the keys; may be NULL. */
    void (*where)(const screen *s, const shown *all, const void *own, char *text, size_t size);
    /* 1: a key of its own table is of use now. NULL: all are. */
    int (*is_useful)(const screen *s, const shown *all, const void *own, int action);
    /* 1 and what is in sight, or 0: nothing that a figure could draw. NULL: likewise. */
    int (*view)(const screen *s, const shown *all, const void *own, page_view *view);
    /* Writes what it shows as lines of comma-separated fields. NULL: the values of its view are written. */
    void (*table)(const screen *s, const shown *all, const void *own, FILE *out);
    /* What of `own` is kept for the next viewing, into and from a JSON object that may hold anything (settings.h). May be NULL. */
    void (*save)(const void *own, struct cJSON *to);
    void (*load)(void *own, const struct cJSON *from);
    void (*free)(void *own); /* of what `own` points to; may be NULL */
} page;

extern const page *const page_table[];

/* Pages by rank: the k-th, or NULL behind the last. */
const page *page_by_rank(int k);

#endif
