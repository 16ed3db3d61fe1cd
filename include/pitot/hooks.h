/* pitot/hooks.h: probes on a training loop. The host keeps its loop, its memory and its numbers; it tells pitot when something has
   happened and where the values lie. pitot computes no update and owns none of the host's arrays.

       pitot_run *run = pitot_open("runs/a", &config);            a run that is NULL or off is accepted everywhere: no checks needed
       id = pitot_add_param(run, &param);                         once per parameter tensor, now or later
       each step:
           due = pitot_begin(run, step);                          what will be read this step; 0: the rest may be left out
           forward;   pitot_after_forward(run, &batch);           sizes, loss
           backward;  pitot_after_backward(run);                  gradients complete, not yet clipped
           update;    pitot_after_update(run, lr);
       pitot_close(run, PITOT_DONE);

   Lifetime. Structs and strings are read during the call. Arrays in them are not copied: parameters and gradients stay valid while
   bound, batch arrays until pitot_after_update of their step returns.

   Errors. Nothing here exits, aborts, prints, raises a signal or leaves a floating-point mode, locale, thread count or random state
   changed. Functions return PITOT_OK or a negative status that the host may ignore: what failed is switched off, counted, kept
   (pitot_last_error) and logged. A call out of order costs that step's values, nothing else.

   Threads. One run: one thread at a time. Different runs are independent. In a forked child every call does nothing.

   Cost. With nothing due: some tens of nanoseconds a call. On tracked steps: what the due probes cost, and one write(2). */

#ifndef PITOT_HOOKS_H
#define PITOT_HOOKS_H

#include "pitot/base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pitot_run pitot_run;

enum {                  /* pitot_config.flags */
       PITOT_RESUME = 1 /* go on in an existing run directory, as a new segment */
};

typedef struct pitot_config {
    size_t struct_size;
    const char *probes;    /* "economy", "full@64", "loss, grad_norm@10, distance@log": configurations and probes, each with a
                              schedule (@N: every N steps; @log: 0..9, then 20 a decade); NULL: economy; "none" */
    const char *options;   /* "probe.option=value" lines, or NULL */
    const char *optimizer; /* "sgd", "adam": what the probes may assume of the update; NULL: unknown */
    double overhead;       /* most time the hooks may take, as a share of the run's time; tracked steps are spaced so that it
                              holds. 0: no limit */
    int64_t memory;        /* most bytes held at any time for probes; 0: 1 GiB */
    uint64_t seed;         /* of the probes' own random numbers */
    double grad_scale;     /* gradient buffers times this are the derivatives of the reduced loss; 0: 1 */
    int32_t flags;         /* PITOT_RESUME */
    int32_t threads;       /* for the probes' own sums; 0: 1 */
    int64_t steps;         /* planned, for the viewer's progress; 0: not known */
    const char *facts;     /* a JSON object: the host's part of the manifest (model, data, ...), or NULL */
} pitot_config;

/* Opens a run in folder `dir` (made if missing; NULL: no log, values only for pitot_value). An existing run is an error unless
   PITOT_RESUME is set. Returns NULL only if out of memory: a run that could not be opened is off and pitot_last_error says why.
   config may be NULL. */
PITOT_API pitot_run *pitot_open(const char *dir, const pitot_config *config);

enum { PITOT_DONE = 0, PITOT_FAILED, PITOT_INTERRUPTED }; /* how a run ends */
/* Writes how the run ended, frees. Half-done two-step values are dropped. */
PITOT_API int32_t pitot_close(pitot_run *run, int32_t how);

typedef struct pitot_param {
    size_t struct_size;
    const char *name;          /* unique, '/'-free; PyTorch's names if there are any: "fc1.weight" */
    void *data, *grad;         /* pitot_real, row-major without gaps; a NULL gradient is "none this step" */
    const void *data_at;       /* or the address of the host's own pointer variable, read at each use: for memory that */
    const void *grad_at;       /*    appears late or moves */
    int64_t shape[PITOT_DIMS]; /* ends at the first 0 */
    int32_t group;             /* parameter group */
    int32_t reserved;
} pitot_param;

/* Returns the id (>= 1) or a status. Added during a step, it joins at the next begin. A name already known with that shape: the
   same id, addresses renewed. */
PITOT_API int32_t pitot_add_param(pitot_run *run, const pitot_param *param);
/* New addresses; NULL, NULL: frozen or gone for now. */
PITOT_API int32_t pitot_bind_param(pitot_run *run, int32_t id, void *data, void *grad);

enum {                        /* what the probes due at this step will read; two-step probes are in the mask of both steps */
       PITOT_DUE_LOSS = 1,    /* batch.loss */
       PITOT_DUE_GRADS = 2,   /* gradient buffers */
       PITOT_DUE_LOSSES = 4,  /* batch.losses */
       PITOT_DUE_UPDATE = 128 /* parameters before and after the update */
};

/* Opens a step; again with the same number: no effect; a number not above the last: new segment, half-done two-step values dropped.
   Returns the mask; 0 if nothing is due or the run is off. Schedules and the overhead budget decide here. */
PITOT_API uint32_t pitot_begin(pitot_run *run, int64_t step);
PITOT_API uint32_t pitot_due(const pitot_run *run);
/* Run this probe at the next step whatever its schedule (end of epoch, before a checkpoint). */
PITOT_API int32_t pitot_request(pitot_run *run, const char *probe);

typedef struct pitot_batch {
    size_t struct_size;
    int64_t n;                /* samples */
    double loss;              /* as the host reduces it */
    const pitot_real *losses; /* (n) per-sample losses, or NULL */
} pitot_batch;

PITOT_API int32_t pitot_after_forward(pitot_run *run, const pitot_batch *batch);
PITOT_API int32_t pitot_after_backward(pitot_run *run);
/* lr: of the update just made; 0 if none was. */
PITOT_API int32_t pitot_after_update(pitot_run *run, double lr);

/* The host's own numbers in the same log: "val/loss". Written with the current step's record, or at once between steps. */
PITOT_API int32_t pitot_scalar(pitot_run *run, const char *name, double value);

/* The probes' state, so that a resumed run goes on where it was: written to, or read from, one file. */
PITOT_API int32_t pitot_checkpoint(pitot_run *run, const char *file);
PITOT_API int32_t pitot_restore(pitot_run *run, const char *file);

typedef struct pitot_health {
    size_t struct_size;
    int64_t errors;     /* all, since open */
    int64_t dropped;    /* log records that could not be written */
    int64_t tracked;    /* steps on which something was due */
    int64_t unfinished; /* two-step values whose second step never came */
    int64_t bytes;      /* held for probes */
    double overhead;    /* time inside hooks over the run's time, since the first begin */
    double seconds;     /* time inside hooks */
    int32_t probes_on, probes_off;
} pitot_health;

enum {                    /* pitot_reading.kind */
       PITOT_READ_SCALAR, /* value */
       PITOT_READ_TENSOR, /* value, of one parameter */
       PITOT_READ_LIST,   /* numbers (n) */
       PITOT_READ_VALUES, /* reals (n), with the shape of the parameter */
       PITOT_READ_SAMPLES /* reals (n), one per sample */
};

typedef struct pitot_reading { /* one thing that a probe has emitted */
    const char *probe, *field; /* field "": the probe's own; probe NULL: a scalar of the host's, called `field` */
    const char *tensor;        /* the parameter's name, or NULL */
    int32_t kind, n_dim;
    int64_t step, n;
    double value;
    const double *numbers;
    const pitot_real *reals;
    const int64_t *shape;
} pitot_reading;

/* Calls `each` for all that was emitted since the step began, in order; until the next begin. For tools that want more than the log
   holds. */
PITOT_API void pitot_readings(const pitot_run *run, void (*each)(void *user, const pitot_reading *reading), void *user);

enum {                        /* pitot_probe_state */
       PITOT_STATE_OK,        /* has given values */
       PITOT_STATE_WAITING,   /* not due yet, or spans two steps and the second has not come */
       PITOT_STATE_UNDEFINED, /* the quantity has no value here */
       PITOT_STATE_LEVEL,     /* the host does not offer what it needs */
       PITOT_STATE_BUDGET,    /* would exceed the byte budget */
       PITOT_STATE_ERROR      /* failed and is off */
};
/* How a probe of this run stands, and why ("" if there is nothing to say). PITOT_EINVAL: the run does not have it. */
PITOT_API int32_t pitot_probe_state(const pitot_run *run, const char *probe, int32_t *state, const char **why);

/* Latest value of a scalar under its name in the log, and its step. PITOT_ENOTSUP if there is none. */
PITOT_API int32_t pitot_value(const pitot_run *run, const char *name, double *value, int64_t *step);
PITOT_API int32_t pitot_get_health(const pitot_run *run, pitot_health *health);
/* Plain text, one line per probe: on, or off and what would turn it on. Returns the length needed, as snprintf does. */
PITOT_API int64_t pitot_report(const pitot_run *run, char *text, size_t size);
/* The first message of the latest error, "" if none; valid until the next call with this run. NULL: "out of memory". */
PITOT_API const char *pitot_last_error(const pitot_run *run);

#ifdef __cplusplus
}
#endif

#endif
