/* run.h: the inside of a pitot_run.

   run.c      opening, parameters, closing          step.c   the hooks of a step, and which probe runs when
   plan.c     configurations, schedules, needs      emit.c   what probes say, kept and turned into records
   log_write.c  events.jsonl, record by record      manifest.c  run.json
   state.c    probes' state in a checkpoint */

#ifndef PITOT_SRC_RUN_H
#define PITOT_SRC_RUN_H

#include "pitot/hooks.h"
#include "pitot/probe.h"

#include <fenv.h>
#include <stdio.h>

enum { KEY_ROOM = 512, WHY_ROOM = 200, PATH_ROOM = 4096 };

extern const pitot_probe *const probe_table[]; /* generated */

/* ---- schedules ---- */

enum { EVERY, LOGARITHMIC };

typedef struct schedule {
    int kind;      /* EVERY, LOGARITHMIC */
    int64_t every; /* steps */
} schedule;
int schedule_due(const schedule *s, int64_t step);
void schedule_text(const schedule *s, char out[32]);

/* ---- parameters ---- */

typedef struct param {
    char *name;
    pitot_real *data, *grad;
    const void *data_at, *grad_at;
    int64_t shape[PITOT_DIMS], size;
    int32_t n_dim, group;
    pitot_real *before; /* theta_t of the step under way, if a probe wants it; (size) */
    pitot_real *scaled; /* gradient times grad_scale, if that is not 1; (size) */
} param;

/* ---- probes of a run ---- */

typedef struct slot {
    const pitot_probe *probe;
    schedule when;
    void *options, *state;
    pitot_real **tensor_state; /* (run.room_params): (tensor_state * size) each; NULL: not yet */
    int32_t condition;         /* PITOT_STATE_... */
    int off;                   /* 1: does not run any more */
    char why[WHY_ROOM];
    int started; /* has seen its first step */
    int due, requested;
    int64_t pending; /* step whose `next` has not come yet; -1: none */
} slot;

/* ---- what was emitted ---- */

typedef struct emission {
    int32_t slot; /* -1: a scalar of the host's */
    int32_t kind; /* PITOT_READ_... */
    const char *field;
    int64_t tensor; /* -1: none */
    int64_t step, n;
    double value;
    int64_t numbers; /* index into run.number */
    const pitot_real *reals;
} emission;

struct pitot_emitter {
    pitot_run *run;
    int32_t slot;
};

typedef struct latest { /* open addressing by name */
    char *name;
    double value;
    int64_t step;
} latest;

/* ---- the log ---- */

typedef struct log_writer {
    int fd;     /* -1: no log */
    int torn;   /* 1: the file does not end with a newline */
    char *line; /* record under construction */
    int64_t used, room;
    int failed; /* 1: out of memory within this record */
    int64_t dropped;
} log_writer;

int32_t log_open(log_writer *w, const char *path, int append, pitot_error *error);
void log_close(log_writer *w);
/* A record: begin, keys, end. end writes it with its checksum; 0 or PITOT_EIO. */
void log_begin(log_writer *w);
void log_number(log_writer *w, const char *key, double v); /* null and KEY#nf for what is not finite */
void log_integer(log_writer *w, const char *key, int64_t v);
void log_text(log_writer *w, const char *key, const char *v);
void log_list(log_writer *w, const char *key, const double *v, int64_t n);
void log_wall(log_writer *w, double seconds);
int32_t log_end(log_writer *w, int sync);

/* ---- the run ---- */

struct pitot_run {
    char *dir;
    int off;
    int64_t pid;
    pitot_error error; /* the latest that was not yet followed by another */
    int64_t errors;
    double overhead, grad_scale;
    int64_t memory, bytes; /* budget; held for probes */
    uint64_t seed;
    int32_t threads;
    int64_t steps;
    char *facts, *optimizer;

    int32_t n_params, room_params, n_live; /* n_live: those of the step under way; later ones join at the next */
    param *param;
    pitot_tensor *tensor; /* (room_params): what probes see */
    int32_t n_slots;
    slot *slot;
    fenv_t host_mode; /* floating-point mode and flags of the host, while a hook works */
    int32_t segment;

    int open_step; /* between begin and after_update */
    int64_t step, first_step;
    uint32_t mask;  /* PITOT_DUE_... */
    uint32_t needs; /* PITOT_NEED_... of the probes due */
    int seen_forward, seen_backward;
    pitot_batch batch;
    double lr;
    int64_t tracked, unfinished;
    int manifest_done, has_header; /* of this process */

    double first_begin, inside, entered, step_inside, cost; /* seconds: first begin; in hooks; ...; cost of a tracked step */

    emission *emission;
    int64_t n_emissions, room_emissions, flushed;
    double *number;
    int64_t n_numbers, room_numbers;
    latest *latest;
    int64_t n_latest, room_latest;
    char *host_names; /* names of host scalars, one after another */
    int64_t host_used, host_room;
    log_writer log;
    pitot_frame frame;
    pitot_emitter emitter;
};

/* run.c */
int32_t run_fail(pitot_run *run, int32_t status, const char *format, ...) PITOT_PRINTF(3, 4);
/* 1: NULL, off, or in a forked child: nothing is to be done. */
int run_idle(const pitot_run *run);
/* `values` cleared ones within the byte budget; NULL: over it, or no memory. */
pitot_real *run_hold(pitot_run *run, int64_t values);
double run_now(void);  /* monotonic seconds */
double run_wall(void); /* seconds since 1970 */

/* plan.c */
int32_t plan_probes(pitot_run *run, const char *spec);
int32_t plan_options(pitot_run *run, const char *options);
/* Marks the slots that are due, none anew unless `affordable`; returns what they need. */
uint32_t plan_due(pitot_run *run, int64_t step, int affordable);
void slot_off(slot *s, int32_t condition, const char *format, ...) PITOT_PRINTF(3, 4);

/* emit.c */
void emit_begin(pitot_run *run); /* a new step: forgets what was emitted */
void emit_flush(pitot_run *run); /* writes records of what was emitted since the last flush */
void emit_free(pitot_run *run);
int32_t emit_host(pitot_run *run, const char *name, double value);

/* manifest.c */
int32_t manifest_write(pitot_run *run, pitot_error *error);

#endif
