/* optimizer.h: the inside of a pitot_optim: the method, and wrappers around it, each a part with state of its own.

   registry.c   names            optimizer.c  making, options, learning rate      layout.c  tensors, state
   step.c       steps            state.c      arrays by name, views, evaluation   bits.c    bfloat16, finite values
   overlap.c    work beside the steps  combine.c  which wrappers go around what */

#ifndef PITOT_SRC_OPTIMIZER_H
#define PITOT_SRC_OPTIMIZER_H

#include "pitot/optim.h"

enum { OPTIM_PARTS = 12, OPTIM_NAME = 64 /* bytes */, OPTIM_CHUNK = 4096 /* values that are updated, or left out, together */ };

typedef struct optim_slots { /* of a tensor, or of the run */
    int32_t n;
    pitot_slot slot[PITOT_SLOTS];
} optim_slots;

typedef struct optim_part {
    const pitot_optimizer *method;
    void *options;
    optim_slots *slots; /* (n + 1): of the tensors, of the run */
    void *run[PITOT_SLOTS];
    double *count; /* (1 + n): steps of the part, of each tensor */
    int64_t *left; /* (n), of each tensor: 1 if a step that may fail counts it; or, of `update`, values that a step left alone */
    pitot_stepping s;
    struct pitot_optim *optim;
    struct overlap_work *overlap; /* core/overlap.h; NULL: none */
    int no_overlap;               /* it was asked for, and there was no memory */
} optim_part;

struct pitot_optim {
    int32_t n_parts; /* part[0] is the method, the last one the outermost wrapper */
    int32_t threads;
    optim_part part[OPTIM_PARTS];
    pitot_optim_source source;
    int64_t n, parameters; /* n 0: not prepared */
    char **name;           /* (n) */
    const pitot_real *const **grad_at;
    pitot_real *kept_g; /* (D): the loop's gradients, where a method overwrites them; or NULL */
    pitot_real *kept_x; /* (D): while evaluating; NULL where there is nothing to evaluate elsewhere */
    int64_t steps;      /* planned */
    int64_t data_samples;
    double lr, first_lr; /* without factors; when prepared */
    int32_t evaluating;
    int32_t skipped, moved,
        looked; /* of this step: some values were left out; some were not; the loop's gradients are known to be finite */
};

extern const pitot_optimizer *const optimizer_table[], *const wrapper_table[]; /* generated */

int finite_values(const pitot_real *x, int64_t n);
int good_values(const pitot_real *x, int64_t n); /* their squares too: spans.h */
int64_t slot_bytes(const pitot_slot *s);
uint32_t optim_part_wants(const optim_part *p); /* PITOT_WANTS_..., with its options as they stand */
double optim_factor(const pitot_optim *o);
/* combine.c: PITOT_EINVAL for wrappers that do not go around what they are around. */
int32_t optim_check_parts(const pitot_optim *o, pitot_error *error);
/* Steps of that part in all, 0: not known. */
int64_t optim_planned(const pitot_optim *o, int32_t part);
void optim_set_lr(pitot_optim *o, double lr);
void optim_tell_plan(optim_part *p); /* what is known of the run, into p->s */
void optim_release(pitot_optim *o);  /* all that prepare made */
/* overlap.c: until nothing is made beside the steps; frees what is for that. */
void optim_part_wait(optim_part *p);
void optim_part_end_overlap(optim_part *p);

#endif
