/* pitot/hooks.h: probes on a training loop. The host keeps its loop, its memory and its numbers; it tells pitot when something has
   happened and where the values lie. pitot computes no update and owns none of the host's arrays.

       pitot_run *run = pitot_open("runs/a", &config);            a run that is NULL or off is accepted everywhere: no checks needed
       id = pitot_add_param(run, &param);                         once per parameter tensor, now or later
       pitot_set_callbacks(run, &callbacks);                      level 2 and 3: products with curvature
       each step:
           due = pitot_begin(run, step);                          what will be read this step; 0: the rest may be left out
           forward;   pitot_after_forward(run, &batch);           per micro-batch: sizes, loss
                      pitot_add_capture(run, &capture);           level 1, per layer: input A and output gradient G
           backward;  pitot_after_backward(run);                  per micro-batch; the last one: gradients complete, not yet clipped
           update;    pitot_after_update(run, lr);
       pitot_close(run, PITOT_DONE);

   Levels. 0: parameters and gradients. 1: A and G per layer. 2: callback `grad` or `hvp`. 3: `vjp`, `jvp` or `forward`, outputs and
   loss kind. P: pitot_add_preconditioner. What a loop offers decides which probes run; pitot_report says which are off and what would
   turn them on.

   Lifetime. Structs and strings are read during the call. Arrays in them are not copied: parameters and gradients stay valid while
   bound; A, G and batch arrays until pitot_after_backward of their micro-batch returns, those of the last micro-batch until
   pitot_after_update returns. A host that cannot promise this for A and G sets PITOT_COPY on the capture.

   Errors. Nothing here exits, aborts, prints, raises a signal or leaves a floating-point mode, locale, thread count or random state
   changed. Functions return PITOT_OK or a negative status that the host may ignore: what failed is switched off, counted, kept
   (pitot_last_error) and logged. A call out of order costs that step's values, nothing else.

   Threads. One run: one thread at a time, which may be a different one each time. Different runs are independent. Callbacks come on the
   calling thread, inside a hook, never from threads of pitot's own. In a forked child every call does nothing.

   Cost. With nothing due: some tens of nanoseconds a call. On tracked steps: what the due probes cost, and one write(2). */

#ifndef PITOT_HOOKS_H
#define PITOT_HOOKS_H

#include "pitot/base.h"
#include "pitot/capture.h"
#include "pitot/linop.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pitot_run pitot_run;

enum { /* pitot_config.flags */
       /* Go on in an existing run directory, as a new segment. */
       PITOT_RESUME = 1,
       /* Gradient buffers are not clean at begin (momentum, decay or earlier gradients left in them): the step's gradient is what is
          added between begin and the last after_backward. */
       PITOT_CARRIED = 2,
       /* Samples act on each other (batch statistics, contrastive losses): the manifest and pitot_report say so. */
       PITOT_COUPLED = 4,
       /* Captures need not add up to the gradient: weight decay or other terms are in it, too. The mean of the per-sample gradients is
          then made from the captures, and micro-batches have no lengths of their own. */
       PITOT_UNCHECKED = 8,
       /* `hvp` and `forward` may be called in pitot_after_update, too: `hvp` with the parameters put back to where they were in
          pitot_after_backward, `forward` where the update has left them. They are moved back bit by bit. */
       PITOT_LATE = 16,
       /* Probes whose curvature is `auto` take the exact Hessian's, whatever it costs: for a look at one point, not for training. */
       PITOT_EXACT = 32
};

enum {                   /* pitot_config.reduction: the host's loss, from the terms l(n,t) with weights w(n,t) */
       PITOT_MEAN = 0,   /* mean over all terms of the step: every sample weighs the same */
       PITOT_MEAN_TERMS, /* sum w l / sum w: padding and ignored tokens change what a sample weighs */
       PITOT_SUM         /* sum w l */
};

typedef struct pitot_config {
    size_t struct_size;
    const char *probes;    /* "economy", "full@64", "loss, grad_norm@10, distance@log": configurations and probes, each with a
                              schedule (@N: every N steps; @log: 0..9, then 20 a decade); NULL: economy; "none" */
    const char *options;   /* "probe.option=value" lines, or NULL */
    const char *optimizer; /* "sgd", "adam": what the probes may assume of the update; NULL: unknown */
    double overhead;       /* most time the hooks may take, as a share of the run's time; tracked steps are spaced so that it
                              holds. Probes that share their cost (those fed by one sweep, by one diagonal, each other that calls
                              callbacks, and all that only read) get equal parts; what one does not use goes to the others. 0: no
                              limit */
    int64_t memory;        /* most bytes held at any time for probes; 0: 1 GiB */
    uint64_t seed;         /* of the probes' own random numbers */
    double grad_scale;     /* gradient buffers and G times this are the derivatives of the reduced loss; 0: 1; a host that keeps
                              descent directions: -1 */
    int32_t flags;         /* PITOT_RESUME ... */
    int32_t threads;       /* for the sweep and the probes' own sums; 0: 1 */
    int64_t steps;         /* planned, for the viewer's progress; 0: not known */
    const char *facts;     /* a JSON object: the host's part of the manifest (model, data, ...), or NULL */
    int32_t reduction;     /* PITOT_MEAN ... */
    int32_t reserved;
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
    void *data, *grad;         /* where they are; a NULL gradient is "none this step" and leaves the tensor out of what needs one */
    const void *data_at;       /* or the address of the host's own pointer variable, read at each use: for memory that */
    const void *grad_at;       /*    appears late or moves */
    int64_t shape[PITOT_DIMS]; /* ends at the first 0 */
    int32_t group;             /* parameter group, for pitot_hyper */
    int32_t stack;             /* > 0: this many tensors of that shape one after another; ids id .. id+stack-1, "name.0" ... */
    int64_t stride[PITOT_DIMS]; /* in values; all 0: row-major without gaps. The same for grad; of a stack: each tensor's */
    int64_t stack_stride;       /* values from one tensor of a stack to the next; 0: the product of the shape */
    int32_t dtype, grad_dtype;  /* PITOT_F32 ...; 0: pitot_real, grad: as dtype. Moved by finite differences only if F32 or F64 */
} pitot_param;

/* Returns the id (>= 1; of the first, if stacked) or a status. Added during a step, it joins at the next begin. A name already known
   with that shape: the same id, addresses renewed; attaching twice is harmless. */
PITOT_API int32_t pitot_add_param(pitot_run *run, const pitot_param *param);
/* New addresses (PyTorch replaces .grad); NULL, NULL: frozen or gone for now: left out until it is back. Of a tensor of a stack: those of
   the stack's first. Any time outside a callback; inside `grad` and `vjp` the gradient's alone. */
PITOT_API int32_t pitot_bind_param(pitot_run *run, int32_t id, void *data, void *grad);

enum {                           /* what the probes due at this step will read; two-step probes are in the mask of both steps */
       PITOT_DUE_LOSS = 1,       /* batch.loss */
       PITOT_DUE_GRADS = 2,      /* gradient buffers */
       PITOT_DUE_LOSSES = 4,     /* batch.losses */
       PITOT_DUE_CAPTURES = 8,   /* A and G: hosts that must copy to provide them do so only now */
       PITOT_DUE_OUTPUT = 16,    /* batch.output, batch.target, batch.loss_kind */
       PITOT_DUE_CALLBACKS = 32, /* callbacks will come in after_backward: keep the batch and the graph alive until then */
       PITOT_DUE_PRECONDITIONER = 64, /* pitot_add_preconditioner */
       PITOT_DUE_UPDATE = 128,        /* parameters before and after the update */
       PITOT_DUE_LATE = 256 /* callbacks will come in after_update, too (only with PITOT_LATE): keep what they need until then */
};

/* Opens a step; again with the same number (next micro-batch): no effect; a number not above the last: new segment, half-done two-step
   values dropped. Returns the mask; 0 if nothing is due or the run is off. Schedules and the overhead budget decide here. */
PITOT_API uint32_t pitot_begin(pitot_run *run, int64_t step);
/* The mask again, for layer hooks; 0 outside begin .. after_update and inside callbacks, so that evaluation is free. */
PITOT_API uint32_t pitot_due(const pitot_run *run);
/* The step that was begun last; 0 before the first. */
PITOT_API int64_t pitot_step(const pitot_run *run);
/* Run this probe at the next step whatever its schedule (end of epoch, before a checkpoint). */
PITOT_API int32_t pitot_request(pitot_run *run, const char *probe);

typedef struct pitot_batch { /* one micro-batch; sizes may differ each time. Tokens as samples: n = N T, t = 1 */
    size_t struct_size;
    int64_t n;                /* samples */
    double loss;              /* as the host reduces it over this micro-batch, not multiplied by loss_scale */
    const pitot_real *losses; /* (n,t) loss terms, or NULL */
    int64_t t;                /* loss terms per sample (sequence length); 0: 1 */
    double loss_scale; /* gradients are this many times too large (scaler of mixed precision not undone; K if K micro-batches are
                                 added undivided); 0: 1. The same for all micro-batches of a step */
    const pitot_real *weight; /* (n,t) weights of the terms, 0: padding or ignored; NULL: all 1 */
    const int64_t *ids;       /* (n) which samples of the data set, or NULL */
    const pitot_real *output; /* (n,t,c) network outputs f; level 3 */
    const void *target;       /* (n,t) int32 classes for cross-entropy, else (n,t,c) pitot_real */
    int64_t c, c_stride;      /* outputs; values from one row to the next, 0: c (padded vocabularies) */
    int32_t loss_kind;        /* PITOT_CROSS_ENTROPY ... of base.h; other losses: callback `hessian_root` */
    int32_t more;             /* 1: another micro-batch of this step follows */
} pitot_batch;

PITOT_API int32_t pitot_after_forward(pitot_run *run, const pitot_batch *batch);
/* One use of one layer (capture.h). After begin, before after_backward; elsewhere, inside callbacks, and when no captures are due: no
   effect. The first captures of a tensor are checked against its gradient: PITOT_EMISMATCH and the ratio in the message, if they do
   not add up to it. Tensors without captures are left out of per-sample values; the share of D that is covered is logged. */
PITOT_API int32_t pitot_add_capture(pitot_run *run, const pitot_capture *capture);
/* The last one of a step comes when the gradient is complete: summed over micro-batches, before clipping. Most probes run here, and
   callbacks come from here. */
PITOT_API int32_t pitot_after_backward(pitot_run *run);
/* Between begin and after_update, if PITOT_DUE_PRECONDITIONER; one call per factor (linop.h), again: the last one counts; arrays valid until
   after_update returns. A factor that is refused is left out, the others stay. PITOT_EINVAL: sizes do not fit, or `computed` is a step to
   come; PITOT_EHOST: something is not finite. */
PITOT_API int32_t pitot_add_preconditioner(pitot_run *run, const pitot_preconditioner *factor);
/* A promise, between begin and the last after_backward: this step's update will be theta -= lr g, value by value, of all parameters with a
   gradient, and of none without; g as after_backward finds it, scaled, in buffers that stay as they are until after_update has returned;
   lr that of after_update. Nothing is clipped, decayed or masked. Parameters are then neither copied nor compared, but for a few values of
   each: where these moved otherwise, the step has no values along its update, and the promise is not believed again (PITOT_EHOST in
   pitot_last_error). Costs nothing. PITOT_EORDER: no step is open, or it is too late. */
PITOT_API int32_t pitot_plain_update(pitot_run *run);
/* lr: of the update just made, in every group without an "lr" of its own; 0 if none was made. */
PITOT_API int32_t pitot_after_update(pitot_run *run, double lr);

/* Optimizer settings, when they change: "lr", "momentum", "beta1", "beta2", "eps", "weight_decay" have a meaning to probes. group -1:
   all. Logged as hyper.NAME or hyper.NAME/GROUP. */
PITOT_API int32_t pitot_hyper(pitot_run *run, int32_t group, const char *name, double value);

/* ---- callbacks (levels 2 and 3) ---------------------------------------------------------------------------------------- */

typedef struct pitot_ggn_spectrum { /* what the callback `ggn_spectrum` is asked for; arrays are pitot's */
    size_t struct_size;
    int64_t k;                        /* in: leading pairs wanted; out: as many as there are, at most */
    int64_t draws;                    /* in: labels drawn a sample; 0: exact */
    int64_t samples;                  /* in: of so many samples from the first on; 0: all */
    uint64_t seed;                    /* in: of the labels */
    int64_t n;                        /* out: eigenvalues that may not be 0 */
    double trace;                     /* out */
    double *value;                    /* (n) ascending; NULL: the leading ones will do */
    double *top;                      /* (k) descending; NULL: what are n and k? */
    double *gamma_mean, *gamma_snr;   /* (k): e'g_n over all samples of the batch: mean, its square over the variance (by N - 1) */
    double *lambda_mean, *lambda_snr; /* (k): e'G_n e over those of the GGN. NaN where that is not defined */
    pitot_real *vectors;              /* (k,D): e, unit; zeros where the eigenvalue is 0 */
} pitot_ggn_spectrum;

typedef struct pitot_call { /* made by pitot, one per call */
    size_t struct_size;
    int32_t status;      /* comes as PITOT_EHOST; the callback's LAST act is to set PITOT_OK. What raises an exception or jumps out
                                 therefore counts as a failure, whatever a binding returns. PITOT_ENOTSUP: never ask again */
    int32_t last;        /* grad, forward: 1: parameters are back where they were; this call puts activations, loss and copies
                                 elsewhere back, too */
    int64_t n;           /* length of v */
    const pitot_real *v; /* in */
    int64_t n_out;       /* length of out */
    pitot_real *out;     /* out */
    double loss;         /* out: grad, forward */
    const pitot_real *output; /* out: forward: where the (n,t,c) outputs now are */
    int32_t in_out;           /* out: vjp: 1: J'v stands in `out`; 0: in the gradient buffers */
    int32_t diagonal;         /* in: diagonal: which (PITOT_DIAGONAL_... of net.h); with out NULL: what would it cost? */
    int64_t draws;            /* in: diagonal: labels a sample */
    uint64_t seed;            /* in: diagonal: of those labels */
    int32_t per_sample;       /* in: diagonal: 1: out (n,D), of each sample's own loss */
    int32_t reserved;
    double gradients;             /* out: diagonal: about how many gradients it costs */
    pitot_ggn_spectrum *spectrum; /* in, out: ggn_spectrum */
    /* in: diagonal: room for most_factors, or NULL. Weights whose diagonals the host can leave as factors may be left out of `out` and put
       here, n_factors of them (0 as it comes); arrays are the host's, good until its next callback and until the hook returns */
    pitot_diagonal_factor *factor;
    int64_t n_factors, most_factors;
} pitot_call;

typedef void (*pitot_fn)(void *user, pitot_call *call);

/* Each works on the parameters as they stand in memory, with the step's (last micro-)batch, and always the same samples, dropout masks
   and normalisation mode; it leaves random state, running statistics and optimizer as they were. Vectors of D values hold the
   parameters that have a gradient, in order of id, each row-major. Gradient buffers may be overwritten: pitot puts them back bit by
   bit. Hooks called from inside are ignored, except pitot_bind_param in `grad` and `vjp`, for a gradient that lies elsewhere now.

   What pitot checks on tracked steps, since only the callbacks can promise it: parameters, and whatever pitot_add_guard names, are
   the same before and after (and are put back if not); now and then, that a product made twice is the same twice, that the gradient
   from `grad` at the step's point is the step's, and that it fits the slope of its losses. A callback that breaks its promise is not
   called again, but for the `last` call of that step, and the probes that need it are off with the reason. */
typedef struct pitot_callbacks {
    size_t struct_size;
    void *user;
    pitot_fn grad;    /* loss and gradients -> call->loss, and the gradient buffers, scaled as ever (PITOT_CARRIED: added to them).
                              pitot moves the parameters in place, takes differences for H v, and puts them back bit by bit. Across
                              kinks (ReLU) differences see the kink, which exact products do not: such numbers are labelled */
    pitot_fn hvp;     /* out (D) = H v, H of the reduced loss, unscaled; exact. Parameters do not move */
    pitot_fn forward; /* loss and outputs only -> call->loss, call->output; differences of it give J v where `jvp` is missing */
    pitot_fn jvp;     /* out (n,t,c) = J v */
    pitot_fn vjp;     /* J'v, v (n,t,c) in place of the loss gradient: in out (D), or in the gradient buffers scaled as ever */
    /* For losses that pitot does not know: out (r,n,t,c) with the output Hessian of the reduced loss = sum over r of S S'. Called first
       with out NULL: sets n_out = r n t c */
    pitot_fn hessian_root;
    /* out (D) = diagonal of the Hessian, the GGN or a stand-in for it (call->diagonal), of the mean loss over the (last micro-)batch.
       Called with out NULL: sets `gradients`, what it would cost, and computes nothing. Leaves gradient buffers as they are */
    pitot_fn diagonal;
    /* call->spectrum: eigenvalues, leading eigenvectors and what samples do along them, of the GGN of the mean loss over the (last micro-)
       batch. Called with top NULL first: sets n and k, and computes nothing. Leaves gradient buffers as they are */
    pitot_fn ggn_spectrum;
    /* 1: hvp, jvp, vjp, diagonal and ggn_spectrum write to `out` and to memory of their own, never to parameters, gradient buffers,
       guards or what the batch and captures have shown. Known from how they are made: pitot keeps no copies for them, and compares
       nothing */
    int32_t untouched, reserved;
} pitot_callbacks;

PITOT_API int32_t pitot_set_callbacks(pitot_run *run, const pitot_callbacks *callbacks);

/* Memory that callbacks must leave as it is: running statistics, the state of a random generator. It is compared after callbacks, and
   put back. bytes 0 takes the guard away. At most 4096; their copies count against config.memory. */
PITOT_API int32_t pitot_add_guard(pitot_run *run, const char *name, void *address, int64_t bytes);

/* ---- what is going on -------------------------------------------------------------------------------------------------- */

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
    double covered; /* share of D with captures at the last step that had any */
    int64_t peak;   /* most bytes held for probes so far */
} pitot_health;

enum {                          /* pitot_reading.kind */
       PITOT_READ_SCALAR,       /* value */
       PITOT_READ_TENSOR,       /* value, of one parameter */
       PITOT_READ_LIST,         /* numbers (n) */
       PITOT_READ_VALUES,       /* reals (n), with the shape of the parameter */
       PITOT_READ_SAMPLES,      /* reals (n), one per sample */
       PITOT_READ_TABLE,        /* numbers (rows, n/rows); of the whole, or of one parameter */
       PITOT_READ_SAMPLE_VALUES /* reals (rows, shape of the parameter), `stride` apart */
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
    int64_t rows, stride;
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
