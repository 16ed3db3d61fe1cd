/* log_read.h: the reader of run directories, and what its parts know of each other.

   log_follow.c  the files: what was appended, replaced, cut        log_line.c    what a line says
   log_column.c  values in columns (log_late.c: out of order)       log_rows.c    the steps and times that columns share
   log_list.c    lists, read from the file when asked for           log_facts.c   the manifest's values
   log_scan.c    a line's checksum and members                      log_names.c   columns by name
   log_index.c   all of it kept beside the file */

#ifndef PITOT_SRC_LOG_READ_H
#define PITOT_SRC_LOG_READ_H

#include <cjson/cJSON.h>
#include <sys/stat.h>
#include <time.h>

#include "pitot/log.h"
#include "run/log_column.h"
#include "run/log_scan.h"

enum { LOG_HEAD = 64 }; /* first bytes of the file, kept to notice that it was written anew */

typedef struct log_file_id {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec time;
} log_file_id;

struct pitot_log {
    char *events_path, *manifest_path;
    pitot_log_state state;
    log_columns columns;

    int fd; /* -1: not there yet */
    log_file_id id;
    unsigned char head[LOG_HEAD];
    int64_t head_length;

    char *buffer; /* [buffer_room]; starts with a line's start */
    int64_t length, looked, buffer_room;
    int64_t skipped; /* bytes of a line that is too long, dropped so far; 0: not in one */
    int64_t line;    /* lines taken */
    int64_t origin;  /* where in the file the buffer begins, while its lines are taken */

    scan_item *item; /* of the line at hand */
    int64_t items, items_room;
    int64_t *guess; /* [items_room]: the column that the item at this place went to last time */
    char *name;     /* [name_room]: a name without its escapes */
    int64_t name_room;

    int64_t recent[2]; /* the latest two different steps of this segment */
    int doubtful;      /* lines were lost since the last record: one may have been a header */
    int voided;        /* last_step is to be found anew */

    char *manifest;
    cJSON *facts;
    log_file_id manifest_id;
};

/* ---- log_line.c ---- */

/* Takes a line (without its newline) whole or, damaged, counts it. 0: no memory, and the line must come again. */
int log_take_line(pitot_log *log, const char *line, int64_t length);
/* One more damaged line. */
void log_count_damage(pitot_log *log);
/* Makes columns and state fit to be looked at. 0: no memory. */
int log_settle(pitot_log *log);

/* ---- log_follow.c ---- */

/* Forgets all that was read, but for the number of restarts. */
void log_start_over(pitot_log *log);
/* A manifest that cannot be read or parsed has no facts; the run can be shown all the same. */
void log_follow_manifest(pitot_log *log);
/* Opens the file when it appears and notices when it is another one. 1: started over; 0; negative: error. A deleted file is
   followed as long as it is open. */
int32_t log_follow(pitot_log *log, pitot_error *error);
/* At most `budget` bytes (0: all). 1: something was read; 0; negative: error. Lines that were left when memory ended come first. */
int32_t log_read_events(pitot_log *log, int64_t budget, pitot_error *error);

/* ---- log_index.c ---- */

/* Takes what the index beside the events file holds, if it is of the file that is open and nothing has been read of it yet. 1: it did. */
int log_read_index(pitot_log *log);

/* ---- for log_list.c ---- */

typedef struct log_place { /* where a list stands */
    int fd;
    const char *name;
    int64_t name_length, step;
    int64_t at; /* byte of the file at which its line begins */
} log_place;

/* The newest list of series i up to `step`. 1, or 0: there is none. */
int log_list_place(const pitot_log *log, int64_t i, int64_t step, log_place *place);

#endif
