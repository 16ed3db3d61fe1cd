/* log_read.h: what reading lists needs of the reader. */

#ifndef PITOT_SRC_LOG_READ_H
#define PITOT_SRC_LOG_READ_H

#include "pitot/log.h"
#include "run/log_scan.h"

typedef struct log_place { /* where a list stands */
    int fd;
    const char *name;
    int64_t name_length, step;
    int64_t at; /* byte of the file at which its line begins */
} log_place;

/* The newest list of series i up to `step`. 1, or 0: there is none. */
int log_list_place(const pitot_log *log, int64_t i, int64_t step, log_place *place);

#endif
