/* filter.h: a POSIX extended regular expression that names match, or not. Clear it at first: it lets everything through. */

#ifndef PITOT_VIEWER_TERM_FILTER_H
#define PITOT_VIEWER_TERM_FILTER_H

#include <regex.h>
#include <stddef.h>

enum { FILTER_ROOM = 256 };

typedef struct filter {
    char text[FILTER_ROOM]; /* "": everything */
    regex_t compiled;       /* where there is a text */
} filter;

/* 1; or 0: the text is no expression, `why` says what is wrong with it, and the filter stays as it was. */
int filter_set(filter *f, const char *text, char *why, size_t size);
int filter_matches(const filter *f, const char *name);
void filter_free(filter *f);

#endif
