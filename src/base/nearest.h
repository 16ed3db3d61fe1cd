/* nearest.h: "did you mean": for names that are not in a table. */

#ifndef PITOT_SRC_NEAREST_H
#define PITOT_SRC_NEAREST_H

#include <stddef.h>

/* Writes `did you mean "x"?` if one of the names is close, then `known: a, b, c`, with dots behind those that there is room for. */
void nearest_list(const char *name, const char *const *names, int n, char *out, size_t size);

#endif
