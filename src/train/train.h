/* train.h: the inside of the built-in training loop.

   train.c      the loop: an ordinary client of the hooks
   setup.c      model, data, optimizer, run from a configuration; what the manifest says of them
   checkpoint.c parameters, optimizer and probes to files and back */

#ifndef PITOT_SRC_TRAIN_H
#define PITOT_SRC_TRAIN_H

#include "pitot/data.h"
#include "pitot/hooks.h"
#include "pitot/net.h"
#include "pitot/optim.h"
#include "pitot/train.h"

enum { PATH_SIZE = 4096 };

typedef struct trainer {
    pitot_train_config config; /* defaults filled in */
    pitot_net *net;
    pitot_data *data;
    pitot_optim *optim;
    pitot_run *run;
    pitot_attached attached;        /* net on run */
    pitot_provided provided;        /* net for the optimizer */
    int64_t per_epoch, steps, step; /* steps an epoch, in all, done */
    int64_t resumed;
    int64_t shuffled; /* epoch that `order` belongs to; -1: none */
    int64_t *order;   /* (n_train) */
    int64_t *ids;     /* of the batch at hand, (n_ids): into order */
    int64_t n_ids;
    double *sums;            /* (D): gradients over the data set, where the optimizer wants them; or NULL */
    pitot_real *x, *targets; /* (batch, ...) */
    int32_t *classes;
    double loss, val_loss, val_accuracy;
    double start, last_report, rate; /* seconds; steps per second, smoothed */
    int64_t last_step;
    pitot_error trouble; /* a checkpoint that could not be written: training goes on */
} trainer;

/* train.c: pitot_provided.data of a trainer. */
int32_t train_data_gradient(void *trainer, double *loss);

/* setup.c */
int32_t train_setup(trainer *t, const pitot_train_config *config, pitot_error *error);
void train_free(trainer *t);

/* checkpoint.c. A checkpoint is checkpoints/step-N.safetensors: parameters under their names, optimizer state as "NAME:SLOT" and what
   else there is as metadata; and checkpoints/step-N.probes beside it, written first. */
int32_t checkpoint_save(trainer *t, pitot_error *error);
/* Parameters and optimizer go on from the newest readable one; t->step is 0 if there is none. Before the run is opened, so that what
   does not fit leaves the run as it was. */
int32_t checkpoint_load(trainer *t, pitot_error *error);
/* The probes' part of the checkpoint of t->step, once there is a run. */
void checkpoint_load_probes(trainer *t);

#endif
