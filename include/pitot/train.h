/* pitot/train.h: the built-in training loop, an ordinary client of the hooks; and the hooks around a pitot_net, for loops of your own
   with our engine. */

#ifndef PITOT_TRAIN_H
#define PITOT_TRAIN_H

#include "pitot/base.h"
#include "pitot/data.h"
#include "pitot/hooks.h"
#include "pitot/net.h"
#include "pitot/optim.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pitot_train_progress {
    size_t struct_size;
    int64_t step, steps;           /* steps done, planned */
    int64_t epoch;                 /* epochs begun */
    double loss;                   /* of the last mini-batch */
    double val_loss, val_accuracy; /* of the last validation, NaN if none */
    double seconds;                /* since this process began to train */
    double rate;                   /* steps per second, lately */
    double overhead;               /* share of the time spent in hooks */
    int64_t resumed;               /* step that this process went on from; 0: it began */
    const char *trouble;           /* latest error of the log or of a probe, "" if none: training goes on */
} pitot_train_progress;

typedef struct pitot_train_config {
    size_t struct_size;
    const char *model;      /* model file */
    const char *data;       /* data spec */
    const char *optimizer;  /* NULL: sgd */
    const char *const *set; /* "KEY=VALUE" as on the command line, n_set of them */
    int64_t n_set;
    const char *probes;    /* as pitot_config.probes; NULL: economy */
    int64_t every;         /* schedule of probes without their own; 0: 1 */
    double budget;         /* as pitot_config.overhead; 0: none */
    int64_t epochs, steps; /* either; both 0: one epoch. Steps count from the start of training, also when resuming */
    int64_t batch;         /* 0: 64 */
    int32_t no_shuffle;
    int32_t threads; /* 0: OpenMP's setting */
    uint64_t seed;
    const char *init, *save;  /* safetensors files, or NULL */
    int64_t checkpoint_every; /* steps; 0: at the end only. The newest is what `resume` goes on from */
    const char *out;          /* run directory */
    int32_t resume;           /* go on from the newest checkpoint in `out`; from the start if there is none */
    int32_t reserved;
    /* Called about ten times a second and at the end; returns 1 to stop (the run ends as "interrupted"). NULL: none. */
    int32_t (*progress)(void *user, const pitot_train_progress *progress);
    void *user;
} pitot_train_config;

/* Trains. PITOT_OK also when stopped by `progress`, and when resuming a run that has all its steps: that one stays as it is. */
PITOT_API int32_t pitot_train(const pitot_train_config *config, pitot_error *error);

/* ---- a net for an optimizer ---- */

typedef struct pitot_provided { /* the caller's; stays where it is as long as the optimizer. Cleared first, then `data` set */
    size_t struct_size;         /* or else `data` is not looked at */
    pitot_net *net;
    /* Loss and gradients over the whole data set, into the net's gradients; set before pitot_provide, with `user`. NULL: not provided. */
    int32_t (*data)(void *user, double *loss);
    void *user;
    pitot_real *u;    /* room for outputs of a batch; freed by pitot_provide_end */
    pitot_real *tile; /* and for a weight's gradient of one sample */
    int32_t sent, reserved;
} pitot_provided;

/* Tells the optimizer, whose tensors will be the net's parameters in order, that the net provides all that it may want (optim.h), about its
   latest batch, and provided->data, where it is set, passes over the data. Before pitot_optim_prepare, after pitot_net_prepare. */
PITOT_API int32_t pitot_provide(pitot_provided *provided, pitot_net *net, pitot_optim *optim, pitot_error *error);
PITOT_API void pitot_provide_end(pitot_provided *provided);
/* The net's parameters as an optimizer takes them; and pitot_provide and pitot_optim_prepare with them. */
PITOT_API int32_t pitot_provide_prepare(pitot_provided *provided, pitot_net *net, pitot_optim *optim, int32_t threads,
                                        pitot_error *error);

/* Parameters and, unless optim is NULL, the optimizer's state from a checkpoint of a run: step-N.safetensors. The optimizer is prepared with the
   net's parameters in order, and is the one that the checkpoint names. *step (NULL allowed): the steps it had made. PITOT_EMISMATCH: it is of
   another model or optimizer; statuses of the file. A failure may leave some of both read. */
PITOT_API int32_t pitot_checkpoint_read(const char *file, pitot_net *net, pitot_optim *optim, int64_t *step, pitot_error *error);

/* ---- a net on a run ---- */

typedef struct pitot_attached { /* the caller's; stays where it is as long as the run */
    size_t struct_size;
    pitot_net *net;
    pitot_run *run;
    int32_t first; /* id of the net's first parameter */
    /* The caller's to set after pitot_attach. optim: its preconditioner is shown to probes (level P); its tensors are the net's
       parameters in order. NULL: none. untouched: 1: the run has no parameters but the net's, which nobody but `optim` changes, by one
       step, between pitot_attached_backward and pitot_after_update, which is told its lr; and nobody changes gradients there: then what is
       known of its steps is not measured (pitot_plain_update). */
    int32_t untouched;
    const pitot_optim *optim;
} pitot_attached;

/* Adds the net's parameters to the run, which has none by these names, and offers its exact products and diagonals (levels 2 and
   3), for PITOT_LATE, too. After
   pitot_net_prepare; again after another. A status of pitot_add_param. */
PITOT_API int32_t pitot_attach(pitot_attached *attached, pitot_net *net, pitot_run *run);
/* pitot_after_forward with everything that the net has to tell; and, after pitot_net_backward, its captures (level 1) and
   pitot_after_backward. Cost with nothing due: that of two hooks. */
PITOT_API int32_t pitot_attached_forward(const pitot_attached *attached, const pitot_net_batch *batch, double loss);
PITOT_API int32_t pitot_attached_backward(const pitot_attached *attached);

#ifdef __cplusplus
}
#endif

#endif
