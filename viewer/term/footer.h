/* footer.h: the lines at the bottom, and the help: made from the key tables and the pages. */

#ifndef PITOT_VIEWER_TERM_FOOTER_H
#define PITOT_VIEWER_TERM_FOOTER_H

#include "term/page.h"

/* Which pages there are, the one at hand marked. */
void footer_pages(screen *s, const shown *all, place at);
/* The keys of the page at hand that are of use now; a prompt or a note in their place. */
void footer_keys(screen *s, const shown *all, place at);
/* All keys: the page's own first, from line s->help on. Two columns where there is room. */
void footer_help(screen *s, place at);
/* 1: the action scrolls the help. */
int footer_scroll_help(screen *s, int action);
/* The page whose name stands at that column of footer_pages; -1: none. */
int footer_page_at(const screen *s, const shown *all, int col);

#endif
