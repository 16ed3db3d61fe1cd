/* answer.h: what `pitot inspect` answers, as JSON. */

#ifndef PITOT_VIEWER_ANSWER_H
#define PITOT_VIEWER_ANSWER_H

#include "pitot.h"

#include <stdio.h>

typedef struct writer {
    FILE *out;
    char *odd; /* "nonfinite" entries of the object under way */
    size_t odd_used, odd_room;
} writer;

typedef struct store { /* readings of one step, in order */
    pitot_reading *list;
    int64_t n, room;
} store;

/* For pitot_readings, with a store as user. */
void store_reading(void *user, const pitot_reading *r);

void write_string(FILE *out, const char *text);
/* One number, or null and an entry under `path` (index >= 0: one of a list) of what was not finite. */
void write_value(writer *w, const char *path, int64_t index, double v);
/* "NAME": {"status": ...}: one probe with all its fields. */
void write_probe(writer *w, const pitot_run *run, const store *s, const pitot_probe *p);

#endif
