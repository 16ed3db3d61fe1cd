/* pitot/log.h: reading a run directory while it grows, or afterwards. The viewer, the figures and anybody's tools stand on this.

   RUN/run.json      manifest, replaced whole when a segment starts
   RUN/events.jsonl  one flat JSON object per line, append only; the last key of each is "crc": eight hex digits of zlib's crc32
                     over the line's bytes before the comma that precedes it
       {"pitot":"0.1.0","segment":0,"step":0,...,"crc":..}         opens a segment: values of steps >= "step" in earlier ones are void
       {"step":3,"wall":1.5,"loss":0.7,"grad_norm/0.weight":..}    values of step 3; a later line of the same step adds to it or wins
       {"end":"done"|"failed"|"interrupted",...}                   closes a segment
   Keys are `probe`, `probe/tensor` or `probe.field`; "wall" is seconds since 1970. A value that is not finite is null, with
   "KEY#nf": "nan", "inf" or "-inf" beside it. A value may be a list of numbers; what is not finite in it is null. A line is shorter
   than 16 MiB. */

#ifndef PITOT_LOG_H
#define PITOT_LOG_H

#include "pitot/base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pitot_log pitot_log;

enum { PITOT_LOG_LIST = 65536 }; /* numbers of the longest list that probes may log */

/* One scalar through the run, by ascending step. Arrays stay valid until the next poll; series that were logged in the same records
   share steps and wall times, so that a value costs 8 bytes and a record 16. */
typedef struct pitot_series {
    const char *name;
    int64_t n;
    const int64_t *step;
    const double *wall;
    const double *value; /* NaN and infinities as they were */
} pitot_series;

typedef struct pitot_list { /* the steps at which a list was logged, ascending; arrays stay valid until the next poll */
    const char *name;
    int64_t n;
    const int64_t *step;
    const double *wall;
} pitot_list;

enum {                     /* pitot_log_state.ended */
       PITOT_LOG_OPEN = 0, /* no end record: running, or it died */
       PITOT_LOG_DONE,
       PITOT_LOG_FAILED,
       PITOT_LOG_INTERRUPTED
};

typedef struct pitot_log_state {
    size_t struct_size;
    int64_t bytes;      /* of events.jsonl, read so far */
    int64_t records;    /* good lines with a step */
    int64_t damaged;    /* complete lines that were skipped: bad checksum, bad JSON */
    int64_t damaged_at; /* line number (from 1) of the first of them, 0: none */
    int64_t tail;       /* bytes of a last line that is not complete yet */
    int64_t segments;
    int64_t last_step; /* -1: none */
    int64_t steps;     /* steps planned, from the header; 0: not said */
    double first_wall, last_wall;
    int32_t ended;    /* PITOT_LOG_OPEN ... */
    int32_t restarts; /* times the file shrank or was replaced and was read again from its beginning */
    int64_t indexed;  /* bytes of `bytes` that were not read but known from an index */
} pitot_log_state;

/* Opens RUN (a run directory or an events.jsonl) without reading events yet. NULL with a message if there is neither manifest nor
   events. An events file that does not exist yet is waited for. Close with pitot_log_close (NULL allowed). One thread at a time. */
PITOT_API pitot_log *pitot_log_open(const char *run, pitot_error *error);
PITOT_API void pitot_log_close(pitot_log *log);

/* Reads what was appended since, at most `budget` bytes (0: all). Returns 1 if there was something new, 0 if not, or a negative
   status. Truncation and replacement of the file start over. Cost: O(bytes read). */
PITOT_API int32_t pitot_log_poll(pitot_log *log, int64_t budget, pitot_error *error);

/* Keeps what was read beside the events file, as EVENTS.index (8 bytes a value, 16 a record), so that the next pitot_log_open need not
   read it again; it reads on from there. An index is never needed: one that is damaged, older than the file's beginning, or of another
   file is passed over. The file is complete or not there. 0, PITOT_EINVAL: nothing has been read, or not to the end of what is there;
   PITOT_EIO. Cost: O(values). */
PITOT_API int32_t pitot_log_index(const pitot_log *log, pitot_error *error);

PITOT_API void pitot_log_get_state(const pitot_log *log, pitot_log_state *state);

/* Series, ordered by first appearance; i from 0 to pitot_log_series_count()-1. 0 or PITOT_EINVAL. */
PITOT_API int64_t pitot_log_series_count(const pitot_log *log);
PITOT_API int32_t pitot_log_series(const pitot_log *log, int64_t i, pitot_series *series);
/* The series called `name`: its index or -1. */
PITOT_API int64_t pitot_log_find(const pitot_log *log, const char *name);

/* The same for lists of numbers. Their numbers stay in the file; in memory a list costs what a scalar does, whatever its length. */
PITOT_API int64_t pitot_log_list_count(const pitot_log *log);
PITOT_API int32_t pitot_log_list(const pitot_log *log, int64_t i, pitot_list *list);
PITOT_API int64_t pitot_log_find_list(const pitot_log *log, const char *name);
/* Reads the newest of lists i that was logged at or before `step` (INT64_MAX: the newest of all), its first `room` numbers into `out`;
   null is NaN. Returns how many numbers the list has and its step in *at (NULL allowed); PITOT_EINVAL: there is none; PITOT_EIO: the
   file no longer has it, or what it has is no list of numbers; PITOT_ENOMEM. Cost: O(bytes of its line). */
PITOT_API int64_t pitot_log_read_list(const pitot_log *log, int64_t i, int64_t step, double *out, int64_t room, int64_t *at);

/* The manifest's text ("" if there is none), and one value of it by path ("optimizer.name", "data"), as text; "" if absent.
   `size` of `out` includes the final 0. Returns the length as snprintf does. */
PITOT_API const char *pitot_log_manifest(const pitot_log *log);
PITOT_API int32_t pitot_log_fact(const pitot_log *log, const char *path, char *out, size_t size);

/* Checks one line (without its newline): 1 good, 0 damaged. The writer's rule, for tests and other tools. */
PITOT_API int32_t pitot_log_check(const char *line, int64_t length);

#ifdef __cplusplus
}
#endif

#endif
