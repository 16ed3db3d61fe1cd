/* pitot/probe.h: how to write a probe. A probe is one file: options, state, functions, and last its descriptor, a constant table.
   The core reads the table to parse options, allocate state, schedule, log, list, document and test; the functions only compute.

   A step, as a probe sees it:

       backward   gradients are complete, parameters not yet updated     theta_t, g_t, losses, samples, operators
       update     parameters have been updated                           theta_{t+1} (and theta_t, if PITOT_NEED_BEFORE)
       next       for probes that span two steps: backward of step t+1    theta_{t+1}, g_{t+1}; values are logged under step t

   Functions are called on tracked steps only, and only when everything in `needs` is there; otherwise the core says what is missing.
   They allocate nothing, keep nothing outside their state, draw random numbers only through pitot_random, and change nothing. */

#ifndef PITOT_PROBE_H
#define PITOT_PROBE_H

#include "pitot/base.h"
#include "pitot/linop.h"
#include "pitot/option.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {                                 /* pitot_probe.needs; beside each the level of host that can give it */
       PITOT_NEED_LOSS = 1,            /* 0: frame.loss */
       PITOT_NEED_GRADS = 2,           /* 0: tensor.grad */
       PITOT_NEED_BEFORE = 4,          /* 0: tensor.before in `update` (the core copies theta_t) */
       PITOT_NEED_LOSSES = 8,          /* 0: frame.losses, one per sample */
       PITOT_NEED_LR = 16,             /* 0: frame.lr */
       PITOT_NEED_SAMPLES = 32,        /* 1: frame.samples, sums over per-sample gradients */
       PITOT_NEED_HESSIAN = 64,        /* 2: frame.hessian */
       PITOT_NEED_GGN = 128,           /* 3: frame.ggn */
       PITOT_NEED_PRECONDITIONER = 256 /* P: frame.preconditioner */
};

enum { /* pitot_probe.presets: the configurations that hold it ("all" holds everything that is not on request) */
       PITOT_ECONOMY = 1,
       PITOT_BUSINESS = 2,
       PITOT_FULL = 4,
       PITOT_ON_REQUEST = 8 /* only when named: its values are too large for a log */
};

enum { PITOT_SCALAR, PITOT_PER_TENSOR, PITOT_LIST, PITOT_TENSORS }; /* pitot_output.shape */
enum { PITOT_LINEAR_AXIS, PITOT_LOG_AXIS, PITOT_SYMLOG_AXIS };      /* pitot_output.axis */

typedef struct pitot_band { /* what is worth a look; a bound at +-infinity is none */
    double warn_below, warn_above, alarm_below, alarm_above;
    const char *says; /* the sentence that explains an alarm and what to try */
} pitot_band;

typedef struct pitot_output {
    const char *field;      /* "" : the probe's own value; otherwise logged as probe.field */
    int32_t shape;          /* PITOT_SCALAR ...; PER_TENSOR may come with a scalar of the same field, the whole */
    int32_t axis;           /* how it is best drawn */
    const char *unit;       /* "" : none */
    const char *label;      /* what it is, a few words */
    const pitot_band *band; /* NULL: none */
} pitot_output;             /* label NULL ends a table */

typedef struct pitot_tensor { /* one parameter */
    const char *name;         /* "conv1.weight" */
    int64_t size;             /* values */
    int64_t shape[PITOT_DIMS];
    int32_t n_dim, group;
    const pitot_real *data;   /* theta now, (size) */
    const pitot_real *grad;   /* of the reduced loss, scaled; NULL: none this step */
    const pitot_real *before; /* theta_t in `update`, or NULL */
    pitot_real *state;        /* this probe's pitot_probe.tensor_state * size values, cleared at the start; or NULL */
} pitot_tensor;

/* Sums over the per-sample gradients g_n of one step (each of sample n's own loss, not divided by N), from one pass over A and G. */
typedef struct pitot_samples {
    size_t struct_size;
    int64_t n;
    const double *square;            /* (n): |g_n|^2 over all covered parameters */
    const double *dot;               /* (n,n): g_n'g_m, or NULL if nobody asked */
    const double *const *square_sum; /* per tensor (size): sum over n of g_n^2, or NULL */
    double covered;                  /* share of D with captures */
} pitot_samples;

typedef struct pitot_emitter pitot_emitter; /* the core's side of a frame */

typedef struct pitot_frame {
    size_t struct_size;
    int64_t step;       /* the step that values are logged under */
    int64_t first_step; /* first step of this run that hooks saw; resuming keeps it */
    double wall;        /* seconds since 1970 */
    double lr;          /* of this step; NaN before `update` if the host has not said */
    double loss;
    int64_t n;                /* samples in the step */
    const pitot_real *losses; /* (n) */
    int64_t n_tensors;
    const pitot_tensor *tensor;
    const pitot_samples *samples; /* PITOT_NEED_SAMPLES */
    const pitot_linop *hessian;   /* PITOT_NEED_HESSIAN: of the reduced loss over all parameters, row-major, in order */
    const pitot_linop *ggn;       /* PITOT_NEED_GGN */
    const pitot_preconditioner *preconditioner; /* PITOT_NEED_PRECONDITIONER */
    int64_t n_preconditioners;
    const void *options; /* the probe's options struct, filled in */
    void *state;         /* pitot_probe.state_size bytes, cleared at the start */
    pitot_emitter *out;
} pitot_frame;

typedef struct pitot_probe {
    size_t struct_size;
    int32_t abi;                /* PITOT_ABI */
    uint32_t needs;             /* PITOT_NEED_... */
    uint32_t presets;           /* PITOT_ECONOMY ... */
    int32_t spans;              /* 1, or 2: `next` belongs to it */
    const char *name, *summary; /* one line */
    const char *paper;          /* where it comes from; "" if nowhere */
    const char *formula;        /* in the letters of base.h */
    size_t options_size;
    const pitot_option *options; /* NULL: none */
    size_t state_size;           /* bytes per run */
    int32_t tensor_state;        /* pitot_real values per parameter value */
    int32_t start_always;        /* 1: `backward` also runs at the first step, whatever the schedule says (a reference point) */
    const pitot_output *outputs;
    int32_t (*backward)(const pitot_frame *frame); /* each 0 or a status; NULL: nothing to do then */
    int32_t (*update)(const pitot_frame *frame);
    int32_t (*next)(const pitot_frame *frame);
} pitot_probe;

/* The registry: probes/ in order of name, then those registered at run time; ended by NULL. Valid until the next registration. */
PITOT_API const pitot_probe *const *pitot_probes(void);
PITOT_API const pitot_probe *pitot_probe_find(const char *name);
/* Adds a probe of the host's. It must outlive every run. PITOT_EINVAL: name taken or table incomplete. Before any run is opened. */
PITOT_API int32_t pitot_probe_register(const pitot_probe *probe);

/* ---- for the functions of a probe ------------------------------------------------------------------------------------------ */

/* Values. field "" is the probe's own. A value that is not finite is recorded as such. tensor: index into frame.tensor. */
PITOT_API void pitot_emit(const pitot_frame *frame, const char *field, double value);
PITOT_API void pitot_emit_tensor(const pitot_frame *frame, const char *field, int64_t tensor, double value);
PITOT_API void pitot_emit_list(const pitot_frame *frame, const char *field, const double *values, int64_t n);
/* All values of one tensor (size of them), scaled by `scale`; kept by `inspect`, too large for a log. Not copied: valid until the step ends. */
PITOT_API void pitot_emit_values(const pitot_frame *frame, const char *field, int64_t tensor, const pitot_real *values);
/* Per-sample values (n), as above. */
PITOT_API void pitot_emit_samples(const pitot_frame *frame, const char *field, const pitot_real *values, int64_t n);
/* The quantity has no value at this point; why, in a few words. */
PITOT_API void pitot_undefined(const pitot_frame *frame, const char *why);

/* Sums in double, over (n): x'x, (x-y)'(x-y), x'y. Threaded above about 100,000 values, the same bits every time for one thread
   count. */
PITOT_API double pitot_sum_squares(const pitot_real *x, int64_t n);
PITOT_API double pitot_sum_squared_difference(const pitot_real *x, const pitot_real *y, int64_t n);
PITOT_API double pitot_dot(const pitot_real *x, const pitot_real *y, int64_t n);

/* The index-th uniform number in (0,1) of this probe's own stream at this step; never touches anybody else's. */
PITOT_API double pitot_random(const pitot_frame *frame, uint64_t index);

#ifdef __cplusplus
}
#endif

#endif
