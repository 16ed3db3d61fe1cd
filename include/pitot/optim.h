/* pitot/optim.h: optimizers, and wrappers around them. One method is one file in src/optim: options, state, the update, and last its
   descriptor. The core owns the state: allocates, clears, saves and frees it, so that every method can be checkpointed for nothing.

   A method may ask for more than gradients: what layers saw, products with curvature, passes at other parameters. A loop that can
   provide these says so in a pitot_optim_source; what is missing is said when the optimizer is prepared, not when it is needed.

   How a method is written, with a skeleton, and what it is tested for: src/optim/README.md. One that lies outside, a host's, is the same table,
   given to pitot_optimizer_register. */

#ifndef PITOT_OPTIM_H
#define PITOT_OPTIM_H

#include "pitot/base.h"
#include "pitot/capture.h"
#include "pitot/linop.h"
#include "pitot/option.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- what a loop provides ---- */

enum {                              /* what a method wants beside gradients; the member of pitot_optim_source that provides it */
       PITOT_WANTS_GRADIENT = 1,    /* gradient: again, at other parameters */
       PITOT_WANTS_LOSS = 2,        /* loss: likewise, without gradients */
       PITOT_WANTS_HVP = 4,         /* hvp */
       PITOT_WANTS_GGNVP = 8,       /* ggnvp */
       PITOT_WANTS_DRAWN = 16,      /* drawn: the gradient of labels drawn from what the model predicts */
       PITOT_WANTS_SQUARES = 32,    /* squares: of the samples' gradients */
       PITOT_WANTS_SAMPLES = 64,    /* batch, norms, weigh: the samples one by one */
       PITOT_WANTS_LAYERS = 128,    /* layer: what layers saw and what came back, with the labels given */
       PITOT_WANTS_ROOT = 256,      /* send: the same with labels drawn, or with the columns of a root of the outputs' Hessian */
       PITOT_WANTS_DATA = 512,      /* data: the gradient of the whole data set */
       PITOT_WANTS_BATCH = 1024,    /* batch: how many samples there are in it, its loss */
       PITOT_WANTS_DIAGONAL = 2048, /* diagonal: of the Hessian or of what stands in for it */
       PITOT_WANTS_MATCH = 4096     /* that the gradient is the batch's loss's own: of wrappers, only what makes both anew */
};

/* Vectors of D values hold all tensors given to pitot_optim_prepare in their order, without gaps. All of it is about the step's batch with
   its dropout masks, and the parameters as they stood at the last `gradient` (or, before one, in the step's own backward pass). Functions
   return PITOT_OK or a status, which ends the step; those that are NULL are not provided. Called from pitot_optim_step alone. */
typedef struct pitot_optim_source {
    size_t struct_size;
    void *user;
    int64_t layers; /* how many there are for `layer` */
    /* Samples of the batch, columns that the root has (C or C - 1), and the batch's loss. `layer` shows the labels given again. Before a batch:
       0 and the root's columns. */
    int32_t (*batch)(void *user, int64_t *samples, int64_t *columns, double *loss);
    int32_t (*gradient)(void *user,
                        double *loss); /* loss and gradients, into the gradient arrays, at the parameters as they stand */
    int32_t (*loss)(void *user, double *loss);
    int32_t (*hvp)(void *user, const pitot_real *v, pitot_real *out);   /* (D), (D) */
    int32_t (*ggnvp)(void *user, const pitot_real *v, pitot_real *out); /* (D), (D) */
    int32_t (*drawn)(void *user, uint64_t seed, pitot_real *out);       /* (D): mean gradient over the batch */
    int32_t (*squares)(void *user, pitot_real *out); /* (D): mean over samples of the squares of their own gradients */
    int32_t (*norms)(void *user, double *out);       /* (samples): L2 norms of their own gradients */
    int32_t (*weigh)(void *user, const double *weight, pitot_real *out); /* (samples), (D): mean of weight * gradient */
    /* Sends output gradients of that kind down, for `layer` to show. */
    int32_t (*send)(void *user, int32_t root, uint64_t seed, int64_t column);
    /* Layer i as the latest `send` of this step left it, or with the labels given before one. weight, bias: 1 + index of the tensor, 0: none;
       arrays good until the next call of anything here. G times capture.scale is of the mean loss. With `shape` 1, before any batch: what does
       not depend on one (kind, ids, geometry; h and w too; A and G NULL). PITOT_ENOTSUP: no gradient reaches it. */
    int32_t (*layer)(void *user, int64_t i, int32_t shape, pitot_capture *capture);
    int32_t (*data)(void *user,
                    double *loss); /* `gradient` over the whole data set; what was kept of the batch is lost until `gradient` */
    /* out (D): the diagonal of that kind (PITOT_DIAGONAL_... of net.h) of the batch's mean loss; draws, seed: of GGN_MC. out NULL, also before a
       batch: whether it can be had. PITOT_ENOTSUP: not of this model. */
    int32_t (*diagonal)(void *user, int32_t kind, int64_t draws, uint64_t seed, pitot_real *out);
} pitot_optim_source;

/* ---- what a method sees ---- */

enum { PITOT_SLOTS = 24 };

typedef struct pitot_slot {    /* one array of state */
    const char *name;          /* PyTorch's where it has the method */
    int64_t shape[PITOT_DIMS]; /* ends at the first 0; shape[0] 0: not in use, its address is NULL */
    int32_t dtype;             /* 0: pitot_real; PITOT_F64; PITOT_BF16 (uint16_t: pitot_bf16 below) */
    int32_t reserved;
} pitot_slot;

typedef struct pitot_layout { /* asks a method for its state: of each tensor, then of the run */
    size_t struct_size;
    const void *options;
    const pitot_optim_source *source;        /* never NULL; what is not provided is NULL in it */
    const struct pitot_tensor_state *tensor; /* (n): name, shape, size */
    int64_t n, i;                            /* tensors; the one asked about, or -1: the run */
    int64_t parameters;                      /* D */
    int32_t threads, n_slots;
    pitot_slot slot[PITOT_SLOTS];
    int64_t scratch;      /* out: bytes of work space for a step, not saved; the largest of all answers counts */
    int64_t data_samples; /* as in pitot_stepping */
} pitot_layout;

/* Adds the next slot, with `shape` of n_dim axes (0: a single value; n_dim -1: not in use). */
PITOT_API void pitot_slot_add(pitot_layout *l, const char *name, int32_t dtype, int32_t n_dim, const int64_t *shape);
PITOT_API void pitot_slot_like(pitot_layout *l, const char *name, int64_t i, int in_use); /* of the shape of tensor i */

typedef struct pitot_tensor_state { /* one tensor as a method sees it */
    const char *name;
    int32_t n_dim, reserved;
    int64_t shape[PITOT_DIMS], size, at; /* at: where it begins in vectors of D values */
    int64_t t;                           /* its steps with a gradient, this one included */
    pitot_real *x;                       /* (size) parameters */
    const pitot_real *g;                 /* (size) gradient; NULL: none this step, the tensor is to be left alone */
    void *state[PITOT_SLOTS];
} pitot_tensor_state;

typedef struct pitot_stepping { /* one step of one method or wrapper */
    size_t struct_size;
    int64_t t; /* its steps, this one included */
    int64_t n, parameters;
    pitot_tensor_state *tensor; /* (n) */
    void *const *run;           /* the run's own arrays, in the order of its layout */
    const void *options;
    const pitot_optim_source *source;
    void *scratch; /* aligned to 64; nothing lasts in it from step to step */
    int32_t threads, reserved;
    uint64_t seed;  /* for draws: with t and an index a stream of its own */
    void *private_; /* the core's */
    /* What is known of the run: steps that the loop plans in all, samples of its data set (0: not known); "lr" as it was when the optimizer was
       prepared, without schedules: methods with further learning rates change these in proportion to it. */
    int64_t steps, data_samples;
    double first_lr;
} pitot_stepping;

typedef struct pitot_update { /* one tensor, one step, values begin..end of it */
    int64_t t;                /* this tensor's step, from 1 */
    int64_t begin, end;
    pitot_real *x;       /* parameters, (size) */
    const pitot_real *g; /* gradient, (size); not to be changed */
    void *const *state;  /* one array per slot; NULL for slots not in use */
    const void *options;
    const void *step; /* what pitot_elementwise was given: numbers of this step; or NULL */
    int64_t *left;    /* careful updates add how many values they left alone, atomically */
} pitot_update;

typedef struct pitot_optimizer {
    size_t struct_size;
    int32_t abi;    /* PITOT_ABI */
    uint32_t needs; /* PITOT_WANTS_... whatever the options; 0 for most */
    const char *name, *summary, *paper;
    const char *formula;
    const char *memory, *cost; /* beyond parameters and gradients; beyond the gradient: "2 D values", "one pass over D" */
    size_t options_size;
    const pitot_option *options; /* the first is "lr" (of wrappers: anything, or NULL) */
    const char *const *slots;    /* names of arrays of the tensor's own shape; NULL-terminated; or NULL: see layout */
    /* Options that do not go together: PITOT_EINVAL and a message. NULL: nothing to check. */
    int32_t (*check)(const void *options, pitot_error *error);
    uint32_t (*wants)(const void *options); /* PITOT_WANTS_... of these options, beside needs. NULL: none */
    /* Which slots these options use, bit i for slot i. NULL: all. */
    uint32_t (*uses)(const void *options);
    /* State other than `slots`: adds slots to l, in the same order at every call. NULL: `slots` for every tensor, nothing for the run.
       PITOT_EINVAL, PITOT_ENOTSUP: a message. */
    int32_t (*layout)(pitot_layout *l, pitot_error *error);
    /* Called once all state is there, cleared, before the first step: what does not begin at zero. NULL: nothing. */
    void (*begin)(pitot_stepping *s);
    /* Updates x[begin..end), element by element; ranges of one tensor run side by side on several threads. */
    void (*update)(const pitot_update *u);
    /* Or the whole step, all tensors: where it is not NULL, update is not called by the core. Gradients are finite. A status other than
       PITOT_OK: x and state are as good as before the step. */
    int32_t (*step)(pitot_stepping *s);
    /* Factor k of tensor i's preconditioner, after t updates; .param is the caller's to fill in, .bias is 1 + the index of a tensor, .computed is
       an update's number. PITOT_EINVAL: there are no more; PITOT_ENOTSUP: there are, in no form that can be shown; PITOT_EORDER: not yet. NULL:
       the method has no preconditioner. */
    int32_t (*view)(const pitot_stepping *s, int64_t i, int32_t k, pitot_preconditioner *view);
    /* Puts the parameters into x at which the model is to be evaluated and saved, where these are not those that gradients are taken at. The
       core keeps x and puts it back. NULL: they are the same. */
    void (*evaluate)(pitot_stepping *s);
    /* A wrapper's: what the learning rate is multiplied by in step t, from 1, of `steps` (0: not known). NULL: 1. */
    double (*factor)(const void *options, int64_t t, int64_t steps);
    /* 1 if with these options the update is x -= lr g, and nothing else. NULL: it never is. */
    int32_t (*plain)(const void *options);
    /* 1: looks for gradients that are not finite, or too large (pitot_optim_step), by itself. `update`, and what is given to pitot_elementwise,
       leave the values around them alone (at most 4,096) and count these in u->left; ranges they are given begin at multiples of 4,096. Or `step`
       returns PITOT_EHOST with nothing changed. 0: the core looks before. */
    int32_t careful;
    int32_t changes; /* a wrapper's. 1: what is inside is given another gradient than the wrapper was */
    /* Tensors that do not fit the formula, and what becomes of them: "vectors: AdamW". NULL: all tensors fit. */
    const char *tensors;
    /* A wrapper's: how many steps of what is inside `steps` of its own make. NULL: as many. */
    int64_t (*inner_steps)(const void *options, int64_t steps);
} pitot_optimizer;

/* Calls update for all of tensor i, in ranges on s->threads threads; ranges whose gradient is not finite are left alone. step: u->step. Returns 0 if
   that is all of it: nothing has changed, and this was no step of the tensor. */
PITOT_API int32_t pitot_elementwise(const pitot_stepping *s, int64_t i, void (*update)(const pitot_update *u), const void *step);
/* For wrappers: a step of what they are around, with s->tensor[i].g as they stand now (their own arrays, or NULL). */
PITOT_API int32_t pitot_inner(pitot_stepping *s);
/* source->gradient, and the gradients it made in s->tensor[i].g. PITOT_EHOST: they are not finite. */
PITOT_API int32_t pitot_gradient(pitot_stepping *s, double *loss);
/* source->data likewise. */
PITOT_API int32_t pitot_data_gradient(pitot_stepping *s, double *loss);
/* Rounds to nearest even on the way in; exact on the way out. */
PITOT_API uint16_t pitot_bf16_of(float x);
PITOT_API float pitot_of_bf16(uint16_t x);

/* The registries, by name, ended by NULL; and one of them, or NULL. */
PITOT_API const pitot_optimizer *const *pitot_optimizers(void);
PITOT_API const pitot_optimizer *pitot_optimizer_find(const char *name);
PITOT_API const pitot_optimizer *const *pitot_wrappers(void);
PITOT_API const pitot_optimizer *pitot_wrapper_find(const char *name);
/* Adds a method of the host's, behind those in order of name; it must outlive every optimizer made of it. PITOT_EINVAL: the name is taken, by a
   wrapper too, has more than 63 bytes, or one of + . = and blank in it; the table is incomplete or of another version. PITOT_ENOMEM: too
   many. Before other threads use the registry: lists got before go on to be valid. */
PITOT_API int32_t pitot_optimizer_register(const pitot_optimizer *method);

/* ---- an optimizer at work ---- */

typedef struct pitot_optim pitot_optim;

typedef struct pitot_optim_tensor {
    const char *name;
    int64_t size;
    pitot_real *data;
    const pitot_real *const *grad_at; /* where the gradient's address stands; NULL there: tensor skipped, its t does not count */
    int64_t shape[PITOT_DIMS];        /* ends at the first 0; all 0: (size) */
} pitot_optim_tensor;

/* "adam", or with wrappers around it, the first the innermost: "sgd+clip_norm+sam". Options at their defaults. NULL with a message if there
   is no such method. */
PITOT_API pitot_optim *pitot_optim_new(const char *name, pitot_error *error);
PITOT_API void pitot_optim_free(pitot_optim *optim);
/* "lr" of the method, "sam.rho" of a wrapper; that puts the wrapper around what is there if it was not yet. */
PITOT_API int32_t pitot_optim_set(pitot_optim *optim, const char *option, const char *text, pitot_error *error);
/* Before prepare. The struct is copied; what it points to is the caller's and stays. */
PITOT_API int32_t pitot_optim_offer(pitot_optim *optim, const pitot_optim_source *source);
/* Steps planned in all, for schedules that end with them, and the seed of methods that draw; before the first step. 0: not known. */
PITOT_API void pitot_optim_plan(pitot_optim *optim, int64_t steps, uint64_t seed);
/* Samples of the data set that steps' batches come from, for methods that ask; before prepare. 0: not known. */
PITOT_API void pitot_optim_plan_data(pitot_optim *optim, int64_t samples);
/* PITOT_WANTS_... of method and wrappers with the options as they stand. */
PITOT_API uint32_t pitot_optim_wants(const pitot_optim *optim);
/* Checks the options together, and that wrappers go with what they are around (PITOT_EINVAL: SAM takes its gradient anew, so clipping around it
   would be lost), and allocates state. After it, only "lr" may still be set. threads 0: 1. Tensors' names are copied, arrays are
   not. PITOT_ENOTSUP: the source does not provide what the method wants; the message says what. PITOT_EINVAL: no tensors, sizes that do not
   agree with shapes, addresses or names that are NULL. */
PITOT_API int32_t pitot_optim_prepare(pitot_optim *optim, const pitot_optim_tensor *tensors, int64_t n, int32_t threads,
                                      pitot_error *error);
/* One step on all tensors. Allocates nothing. Values whose gradient is not finite stay as they are, and their state with them: element by
   element methods leave out such values' surroundings (4,096 values at most), all others the whole step, and PITOT_EHOST is returned; the next step
   with finite gradients is an ordinary one. To element by element methods a gradient from 2^60 on (in double 2^480) is not finite either: an average
   of its squares would never come back. The gradient arrays are afterwards what they were before. Statuses of the source are passed on. */
PITOT_API int32_t pitot_optim_step(pitot_optim *optim);
/* Factor k, from 0, of the preconditioner of tensor i as the last update left it; arrays are the optimizer's own, good until the next step.
   .computed counts updates, .bias is 1 + the index of a tensor. PITOT_ENOTSUP: the method has none, or more than it can show of this tensor;
   PITOT_EORDER: no update yet; PITOT_EINVAL: no such tensor, or no more factors. */
PITOT_API int32_t pitot_optim_view(const pitot_optim *optim, int64_t i, int32_t k, pitot_preconditioner *view);
/* 1: the parameters to evaluate and save stand in the tensors, until 0: those to train on stand there again, bit by bit. Nothing happens for
   methods to which they are the same. Between the two no step is made. */
PITOT_API int32_t pitot_optim_evaluate(pitot_optim *optim, int32_t on);
/* The learning rate of the last step, or before one of the first, with the wrappers' factors; that of the next. */
PITOT_API double pitot_optim_lr(const pitot_optim *optim);
PITOT_API double pitot_optim_next_lr(const pitot_optim *optim);
PITOT_API int64_t pitot_optim_steps(const pitot_optim *optim); /* made */
/* 1 if a step is x -= lr g, and nothing else. */
PITOT_API int32_t pitot_optim_is_plain(const pitot_optim *optim);
PITOT_API const pitot_optimizer *pitot_optim_method(const pitot_optim *optim);
PITOT_API const void *pitot_optim_options(const pitot_optim *optim);
/* The j-th wrapper, innermost first, and its options; NULL: there are no more. */
PITOT_API const pitot_optimizer *pitot_optim_wrapper(const pitot_optim *optim, int32_t j, const void **options);

typedef struct pitot_optim_array { /* one array of an optimizer's state, for checkpoints */
    size_t struct_size;
    char name[256];            /* "fc1.weight:exp_avg", ":d" of the run, "fc1.weight:ema.average" of a wrapper */
    int64_t shape[PITOT_DIMS]; /* ends at the first 0 */
    int32_t dtype, reserved;   /* PITOT_F32 or PITOT_F64 (pitot_real is one of them) or PITOT_BF16 */
    int64_t bytes;
    void *data; /* the optimizer's own: what is written there is its state */
} pitot_optim_array;
/* The j-th, in a fixed order; PITOT_EINVAL: there are no more. Counters are among them: saved and restored, all goes on bit for bit. */
PITOT_API int32_t pitot_optim_state(pitot_optim *optim, int64_t j, pitot_optim_array *array);

#ifdef __cplusplus
}
#endif

#endif
