/* surface.h: a page of any content as a PNG, SVG or PDF file. */

#ifndef PITOT_VIEWER_SURFACE_H
#define PITOT_VIEWER_SURFACE_H

#include "figure.h"

typedef struct surface_page {
    double width, height, dpi;                                     /* points; dpi of a PNG, 0: 150 */
    double column;                                                 /* set for draw: the finest column worth telling apart; points */
    int snap;                                                      /* set for draw: 1: rules lie on whole pixels */
    const char *title, *date;                                      /* date: a PDF's, ISO 8601; NULL: 1970 */
    const fact_list *facts;                                        /* text chunks of a PNG */
    int32_t (*draw)(cairo_t *cr, const struct surface_page *page); /* on white; 0 or PITOT_ENOMEM */
    int (*turn)(struct surface_page *page, int k); /* a PDF's page k: sets width and height; 0: no more. NULL: one */
    void *user;
} surface_page;

/* The end of `path` (.png, .svg, .pdf) says which. The file is complete or not there; the same page gives the same bytes. */
int32_t surface_write(const char *path, const surface_page *page, pitot_error *error);

#endif
