/* spectrum_source.h: which weights `pitot spectrum` looks at, and what a run directory says about them. */

#ifndef PITOT_VIEWER_SPECTRUM_SOURCE_H
#define PITOT_VIEWER_SPECTRUM_SOURCE_H

#include "command.h"

enum { SOURCE_WEIGHTS = 512, SOURCE_PATH = 4096 };

typedef struct spectrum_source {
    char run[SOURCE_PATH]; /* directory; "": none */
    char model[SOURCE_PATH], data[SOURCE_PATH], optimizer[64];
    int n;
    char *weights[SOURCE_WEIGHTS];                /* paths */
    int64_t step[SOURCE_WEIGHTS];                 /* of a checkpoint "step-N.safetensors"; -1: another name */
    double lr, momentum, dampening, weight_decay; /* lr NaN: not known */
    int nesterov;
} spectrum_source;

/* From flags and a run directory; flags win. EXIT_..., after a message. */
int source_read(spectrum_source *s, const args *a);
void source_free(spectrum_source *s);

/* Largest eigenvalue of the loss's Hessian at which the optimizer is stable, and its formula in `name`; NaN and "" if that is not known: of
   gradient descent and its momenta alone (Cohen et al. 2021, arXiv 2103.00065). */
double source_limit(const spectrum_source *s, char *name, size_t size);

#endif
