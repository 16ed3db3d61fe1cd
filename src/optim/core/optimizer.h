/* optimizer.h: the inside of a pitot_optim, for checkpoints. */

#ifndef PITOT_SRC_OPTIMIZER_H
#define PITOT_SRC_OPTIMIZER_H

#include "pitot/optim.h"

enum { OPTIM_SLOTS = 16 };

typedef struct optim_tensor {
    char *name;
    int64_t size, t; /* values; steps made */
    pitot_real *data;
    const pitot_real *const *grad_at;
    pitot_real *state[OPTIM_SLOTS]; /* (size) each; NULL: slot not in use */
} optim_tensor;

struct pitot_optim {
    const pitot_optimizer *method;
    void *options;
    int32_t n_slots, threads;
    int64_t n; /* 0: not prepared */
    optim_tensor *tensor;
};

extern const pitot_optimizer *const optimizer_table[]; /* generated */

#endif
