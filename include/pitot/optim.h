/* pitot/optim.h: optimizers. One method is one file in src/optim: options, the update, and last its descriptor. The core owns the
   state: allocates, clears, saves and frees it, so that every method can be checkpointed for nothing. */

#ifndef PITOT_OPTIM_H
#define PITOT_OPTIM_H

#include "pitot/base.h"
#include "pitot/linop.h"
#include "pitot/option.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pitot_update { /* one tensor, one step, values begin..end of it */
    int64_t t;                /* this tensor's step, from 1 */
    int64_t begin, end;
    pitot_real *x;            /* parameters, (size) */
    const pitot_real *g;      /* gradient, (size); not to be changed */
    pitot_real *const *state; /* one array (size) per slot of the descriptor; NULL for slots not in use */
    const void *options;
} pitot_update;

typedef struct pitot_optimizer {
    size_t struct_size;
    int32_t abi;    /* PITOT_ABI */
    uint32_t needs; /* PITOT_NEED_... of probe.h beyond gradients; 0 for first-order methods */
    const char *name, *summary, *paper;
    const char *formula;
    size_t options_size;
    const pitot_option *options; /* the first is "lr" */
    const char *const *slots;    /* names of state per tensor, PyTorch's where it has the method; NULL-terminated; or NULL */
    /* Options that do not go together: PITOT_EINVAL and a message. NULL: nothing to check. */
    int32_t (*check)(const void *options, pitot_error *error);
    /* Which slots these options use, bit i for slot i. NULL: all. */
    uint32_t (*uses)(const void *options);
    /* Updates x[begin..end), element by element; ranges of one tensor run side by side on several threads. */
    void (*update)(const pitot_update *u);
    /* What the update multiplies a step by, after this tensor's u->t updates (u->g is NULL); .param is the caller's to fill in. NULL: the
       method has no preconditioner. */
    void (*view)(const pitot_update *u, pitot_preconditioner *view);
} pitot_optimizer;

/* The registry, by name, ended by NULL; and one of it, or NULL. */
PITOT_API const pitot_optimizer *const *pitot_optimizers(void);
PITOT_API const pitot_optimizer *pitot_optimizer_find(const char *name);

typedef struct pitot_optim pitot_optim; /* an optimizer at work on some tensors */

typedef struct pitot_optim_tensor {
    const char *name;
    int64_t size;
    pitot_real *data;
    const pitot_real *const *grad_at; /* where the gradient's address stands; NULL there: tensor skipped, its t does not count */
} pitot_optim_tensor;

/* Options at their defaults. Tensors' names are copied, arrays are not. NULL with a message if there is no such method. */
PITOT_API pitot_optim *pitot_optim_new(const char *name, pitot_error *error);
PITOT_API void pitot_optim_free(pitot_optim *optim);
PITOT_API int32_t pitot_optim_set(pitot_optim *optim, const char *option, const char *text, pitot_error *error);
/* Checks the options together and allocates state. After it, only "lr" may still be set. threads 0: 1. */
PITOT_API int32_t pitot_optim_prepare(pitot_optim *optim, const pitot_optim_tensor *tensors, int64_t n, int32_t threads,
                                      pitot_error *error);
/* One step on all tensors. Allocates nothing. */
PITOT_API int32_t pitot_optim_step(pitot_optim *optim);
/* The preconditioner of tensor i as the last update left it; arrays are the optimizer's own, good until the next step. PITOT_ENOTSUP: the
   method has none; PITOT_EORDER: no update yet; PITOT_EINVAL: no such tensor. */
PITOT_API int32_t pitot_optim_view(const pitot_optim *optim, int64_t i, pitot_preconditioner *view);
PITOT_API double pitot_optim_lr(const pitot_optim *optim);
PITOT_API const pitot_optimizer *pitot_optim_method(const pitot_optim *optim);
PITOT_API const void *pitot_optim_options(const pitot_optim *optim);

#ifdef __cplusplus
}
#endif

#endif
