/* run.h: the inside of a pitot_run.

   run.c        opening, closing, how it stands        param.c    the host's tensors: where they are, what probes see of them
   plan.c       configurations, schedules, needs       step.c     the hooks of a step, and which probe runs when
   capture.c    A and G from the host, as the sweep    sample.c   per-sample sums of a step, over its micro-batches
                wants them
   products.c   histograms, projections and products   share.c    what several probes ask for, made once a step
                of samples' gradients                  share_diagonal.c  the diagonals of curvature among it
   budget.c     what probes cost, and what they may
   callback.c   calling the host, its promises         curvature.c  Hessian and GGN as operators over callbacks
   emit.c       what probes say, kept, as records      log_write.c  events.jsonl, record by record
   hardest.c    the samples with the largest scores    noise.c    gradient noise scale, with its interval
   rank.c       ranks of tensors, from singular values    update.c   how long the step was, and what the host promises of it
   manifest.c   run.json                               state.c    probes' state in a checkpoint */

#ifndef PITOT_SRC_RUN_H
#define PITOT_SRC_RUN_H

#include "base/array.h"
#include "curve/difference.h"
#include "pitot/hooks.h"
#include "pitot/probe.h"
#include "sweep/sweep.h"

#include <fenv.h>
#include <pthread.h>
#include <stdio.h>

enum { KEY_ROOM = 512, WHY_ROOM = 200, PATH_ROOM = 4096 };
enum { SPOTS = 8 }; /* values of a tensor at which the update is looked at */

extern const pitot_probe *const probe_table[]; /* generated */

/* Needs that come from captures. */
#define FROM_CAPTURES \
    (PITOT_NEED_SAMPLES | PITOT_NEED_MOMENTS | PITOT_NEED_HISTOGRAM | PITOT_NEED_PROJECTION | PITOT_NEED_GRAM | PITOT_NEED_LAYERS)

/* ---- schedules ---- */

enum { EVERY, LOGARITHMIC };

typedef struct schedule {
    int kind;      /* EVERY, LOGARITHMIC */
    int64_t every; /* steps */
} schedule;
int schedule_due(const schedule *s, int64_t step);
void schedule_text(const schedule *s, char out[32]);

/* ---- parameters ---- */

typedef struct param {
    char *name;
    void *data, *grad;
    const void *data_at, *grad_at;
    int64_t offset; /* values from that address to this tensor: its place in a stack */
    array_layout layout, grad_layout;
    int32_t group;
    int checked; /* its captures have been found to add up to its gradient */

    /* the step under way; arrays (layout.size), held from their first use on */
    void *data_now, *grad_now; /* NULL: none */
    pitot_real *values;        /* data, if it cannot be used where it lies */
    pitot_real *gradient;      /* buffer times grad_scale / loss_scale, less what was carried; if that is not the buffer itself */
    pitot_real *carried;       /* the buffer at begin, PITOT_CARRIED */
    pitot_real *before;        /* theta_t, if a probe wants it */
    pitot_real *earlier;       /* gradient of the micro-batches before this one */
    pitot_real *share;         /* this micro-batch's part of the gradient */
    pitot_real *scatter;       /* sum over samples of (u_n - their mean)^2, of the micro-batches so far */
    pitot_real *moved; /* theta_{t+1} - theta_t of the last update that a probe looks along: `step`, or in the place of `before` */
    pitot_real *step;
    sweep_outer outer;       /* in place of `moved`: the outer products that the update was made of */
    pitot_real *outer_place; /* their factors */
    int64_t room_outer;
    pitot_real *samples; /* (listed, size): per-sample gradients, on request */
    int64_t room_samples;
    int has_before;
    int lengths;                         /* which of the next two are known, at this step */
    double gradient_square, step_square; /* |g|^2, |theta_{t+1} - theta_t|^2 */
    pitot_real spot[2][SPOTS];           /* values of theta_t, g_t, where the update is promised */
    void *kept_data, *kept_grad;         /* bit by bit, while callbacks run */
    int had_grad;
    int no_room;               /* it has a gradient, and there was no room for the copy that is needed of it */
    int32_t n_uses, first_use; /* in the sweep */
    int64_t swept;             /* micro-batches of this step in which it had captures */
} param;

/* ---- probes of a run ---- */

typedef struct slot {
    const pitot_probe *probe;
    schedule when;
    void *options, *state;
    int32_t per_value, vectors;  /* tensor_state and work_vectors, as its options want them */
    pitot_real **tensor_state;   /* (run.room_params): (per_value * size) each; NULL: not yet */
    double *sums;                /* (run.room_params, n_sums) */
    pitot_frame frame;           /* for `moments` */
    int takes_tiles;             /* at this step */
    int32_t curved;              /* 1 + the index in sharing.diagonal of what its tiles come with; 0: nothing */
    pitot_bins bins;             /* what it has counted; `counted` is its histogram then */
    double *edges;               /* (n+1) and (y_n+1) */
    int64_t *counts, *by_target; /* (n_live, n * y_n), and as the sweep makes them: (n_targets, n * y_n) */
    int64_t room_edges, room_counts, room_by_target;
    pitot_histogram histogram; /* n = 0: none at this step */
    int32_t condition;         /* PITOT_STATE_... */
    int off;                   /* 1: does not run any more */
    char why[WHY_ROOM];
    char remark[WHY_ROOM]; /* on values that it did give */
    char said[WHY_ROOM];   /* what the log has of it last */
    int64_t lacking;       /* tracked steps in a row without what it needs */
    int started;           /* has seen its first step */
    int due, requested;
    int32_t group;   /* of the budget */
    double seconds;  /* spent in its functions at this step */
    int unoffered;   /* waits for callbacks that are not there */
    int64_t pending; /* step whose `next` has not come yet; -1: none */
} slot;

/* ---- what was emitted ---- */

typedef struct emission {
    int32_t slot; /* -1: a scalar of the host's */
    int32_t kind; /* PITOT_READ_... */
    const char *field;
    int64_t tensor; /* -1: none */
    int64_t step, n;
    double value;
    int64_t numbers; /* index into run.number */
    const pitot_real *reals;
    int64_t rows, stride;
} emission;

struct pitot_emitter {
    pitot_run *run;
    int32_t slot;
};

typedef struct latest { /* open addressing by name */
    char *name;
    double value;
    int64_t step;
} latest;

/* ---- per-sample sums of a step ---- */

/* Units: u_n is what the captures make of sample n, times grad_scale / loss_scale: its part of the step's gradient. g_n = N u_n if the
   host's loss is a mean, u_n if it is a sum. */
typedef struct taken { /* one capture; an array that was copied lies at that place of the store, -1: where the host has it */
    pitot_capture c;
    int64_t a_at, g_at, a_values, g_values; /* ... and how many values were copied */
    int has_a, has_g;
} taken;

typedef struct sampling {
    taken *capture; /* of the micro-batch under way */
    int64_t n_captures, room_captures;
    pitot_real *store; /* copies of A and G */
    int64_t stored, room_store;
    sweep_use *use;
    sweep_target *target;
    int64_t *first_tile; /* (n_targets): index of its first tile in `parts` */
    int32_t n_targets;
    int64_t room_uses, room_targets, room_first;
    pitot_real *sum; /* of one target's tiles, to be compared with its gradient */
    int64_t room_sum;
    pitot_real *work; /* of the sweep */
    int64_t room_work;
    double *parts; /* (tiles, n_parts): what the probes' `moments` made of each tile */
    int64_t room_parts, n_parts;
    double *tile_square; /* (tiles): of the sweep's means */
    int64_t room_tiles;
    double *square, *along, *deviation; /* (listed) */
    unsigned char *counts;              /* (listed): 1 if a term of the sample has weight */
    int64_t listed, counted, room_lists[4];
    pitot_real *losses; /* (listed), if the batch's cannot be used where they lie */
    int64_t room_losses, n_losses;
    double scatter;            /* sum over n of |u_n - mean u|^2 so far */
    double *gram, *projection; /* (listed, listed), (listed) */
    double *largest;           /* (n_targets), then (n_live) by tensor behind it */
    sweep_histogram *histogram;
    pitot_layer *layer;
    int64_t room_gram, room_projection, room_largest, room_histograms, room_layers, n_layers;
    int has_gram, has_projection, moves_late;
    pitot_micro *micro;
    int64_t n_micro, room_micro;
    int64_t covered;    /* values of tensors with captures */
    int64_t swept;      /* micro-batches so far whose captures have been taken in */
    int curves;         /* the sweep makes tiles of a diagonal */
    int several;        /* the step comes in more than one micro-batch */
    int ready;          /* samples are what frame.samples says */
    int seen;           /* the host has given captures at least once */
    int wrong;          /* they do not add up to the gradient: `why` stays, and none are asked for any more */
    char why[WHY_ROOM]; /* why not ready */
    int32_t condition;  /* PITOT_STATE_... that goes with it */
    pitot_samples out;
} sampling;

/* ---- what callbacks offer ---- */

typedef struct guard {
    char *name;
    void *address, *kept;
    int64_t bytes;
} guard;

typedef struct curving {
    pitot_callbacks host;
    int calling, current; /* inside a callback, unless it was jumped out of; which */
    const void *frame;    /* where it was called from: the place on the stack, */
    pthread_t thread;     /*    and the thread */
    int open;             /* callbacks have been called at this point */
    int kept;             /* parameters and guards are kept, to be compared and put back */
    int kept_gradients;   /* gradient buffers, too */
    int moved;            /* parameters may stand elsewhere than the host left them */
    uint32_t used;        /* bit i: callback i was called at this step */
    uint32_t suspects;    /* those called since promises were last checked */
    uint32_t broken;      /* bit i: callback i broke a promise or failed */
    uint32_t refused;     /* bit i: callback i said PITOT_ENOTSUP */
    char why[8][WHY_ROOM];
    int64_t points;     /* tracked steps at which a callback was called */
    uint32_t proven;    /* at this point: PROVEN_... */
    int sloped;         /* gradients have been seen to fit the slope of the losses */
    int64_t size;       /* D at this step */
    double loss;        /* of the last `grad` */
    pitot_batch batch;  /* the last micro-batch */
    pitot_real *vector; /* (VECTORS, D) of scratch */
    int64_t room_vector;
    pitot_real *out[2]; /* (n t c) each */
    int64_t room_out[2];
    pitot_real *root; /* (r, n t c) */
    int64_t room_root;
    pitot_real *output; /* (n t c) outputs of the step, where callbacks may overwrite the batch's */
    int64_t room_output;
    int has_output;   /* 1: they are; -1: there was no room */
    int late;         /* 1: in after_update */
    pitot_real *work; /* (work_vectors, D) for probes */
    int64_t room_probe;
    guard *guard;
    int32_t n_guards, room_guards;
    difference difference;
    int can_differ;           /* there is room for it */
    pitot_linop hessian, ggn; /* n = 0: not to be had */
} curving;

/* ---- what several probes ask for ---- */

enum { MOST_DIAGONALS = 8, NO_FACTORS = -1 };

typedef struct diagonal { /* one that was asked for at this step */
    int32_t kind, per_sample;
    int64_t draws;
    int32_t status;
    int complete; /* 0: `values` lacks what the host left as factors */
    int has_trace;
    double gradients;
    pitot_real *values; /* (D), or (n,D) */
    double *trace;      /* (n_live): its sums over each tensor */
    int64_t room, room_trace;
} diagonal;

typedef struct sharing {
    diagonal diagonal[MOST_DIAGONALS];
    int32_t n_diagonals;
    pitot_diagonal_factor *factor; /* (n_factors) of one of them; gone with the next callback, at the latest with the hook */
    int32_t factors_of;            /* its index; NO_FACTORS: nobody's */
    int64_t n_factors, room_factors;
    pitot_real *squares; /* scratch of their products */
    int64_t room_squares;
    pitot_real *gradient_product, *gradient, *step, *step_product, *unit; /* (D) each; unit: two */
    int64_t room_gradient_product, room_gradient, room_step, room_step_product, room_unit;
    int has_gradient, has_gradient_product, has_step_product, has_loss; /* 1: at this step; -1: it failed */
    int32_t status[3];                                                  /* of those three */
    double loss_after;
    double *scratch;
    int64_t room_scratch;
    double *spectrum; /* what pitot_spectrum holds */
    int64_t room_spectrum;
    pitot_prediction prediction;
} sharing;

typedef struct cost_group {   /* probes that share what they cost */
    double spent, step, cost; /* seconds: in all, at this step, of a tracked step */
    int64_t every;            /* steps from one tracked step to the next, at most as often as the schedules say */
    int active, spans;
} cost_group;

typedef struct setting { /* what pitot_hyper has told */
    char name[48];
    int32_t group;
    double value;
} setting;

/* ---- the log ---- */

typedef struct log_writer {
    int fd;     /* -1: no log */
    int torn;   /* 1: the file does not end with a newline */
    char *line; /* record under construction */
    int64_t used, room;
    int failed; /* 1: out of memory within this record */
    int64_t dropped;
} log_writer;

int32_t log_open(log_writer *w, const char *path, int append, pitot_error *error);
void log_close(log_writer *w);
/* A record: begin, keys, end. end writes it with its checksum; 0 or PITOT_EIO. */
void log_begin(log_writer *w);
void log_number(log_writer *w, const char *key, double v); /* null and KEY#nf for what is not finite */
void log_integer(log_writer *w, const char *key, int64_t v);
void log_text(log_writer *w, const char *key, const char *v);
void log_list(log_writer *w, const char *key, const double *v, int64_t n);
void log_wall(log_writer *w, double seconds);
int32_t log_end(log_writer *w, int sync);

/* ---- the run ---- */

struct pitot_run {
    char *dir;
    int off;
    int64_t pid;
    pitot_error error; /* the latest that was not yet followed by another */
    int64_t errors;
    double overhead, grad_scale;
    int32_t reduction, flags;
    int64_t memory, bytes, peak; /* budget; held for probes; most so far */
    uint64_t seed;
    int32_t threads;
    int64_t steps;
    char *facts, *optimizer;

    int refused_params; /* one could not be added: gradient callbacks may overwrite a buffer that nobody here knows */
    int32_t n_params, room_params, n_live; /* n_live: those of the step under way; later ones join at the next */
    param *param;
    pitot_tensor *tensor; /* (room_params): what probes see */
    int32_t n_slots;
    slot *slot;
    fenv_t host_mode; /* floating-point mode and flags of the host, while a hook works */
    int32_t segment;

    int open_step; /* between begin and after_update */
    int64_t step, first_step;
    uint32_t mask;  /* PITOT_DUE_... */
    uint32_t needs; /* PITOT_NEED_... of the probes due */
    int seen_forward, seen_backward;
    pitot_batch batch;              /* of the micro-batch under way, or the last */
    double loss_sum;                /* of losses times weights, over the step's micro-batches */
    double weight_sum, weight_last; /* what all micro-batches so far, and the last, weigh in the step's loss */
    int64_t samples;                /* of all micro-batches so far */
    double lr;
    int64_t tracked, unfinished;
    int plain, broke_plain; /* of the step under way: its update is lr times its gradient; it was not, as had been promised */
    int distrusts_plain;    /* since such a step */
    int manifest_done, has_header; /* of this process */
    sampling sampling;
    curving curving;
    sharing sharing;
    pitot_preconditioner *factor;
    int64_t n_factors, room_factors;
    setting *setting;
    int64_t n_settings, room_settings;

    double first_begin, inside, entered, step_inside; /* seconds: first begin; in hooks, all; when entered; in hooks at this step */
    int64_t begun;                                    /* steps */
    cost_group *group;                                /* (n_groups) */
    int32_t n_groups;
    double level, swept; /* seconds: what each group may have spent by now; of this step, what went to the sweep */

    emission *emission;
    int64_t n_emissions, room_emissions, flushed;
    double *number;
    int64_t n_numbers, room_numbers;
    latest *latest;
    int64_t n_latest, room_latest;
    char *host_names; /* names of host scalars, one after another */
    int64_t host_used, host_room;
    log_writer log;
    pitot_frame frame;
    pitot_emitter *emitter; /* (n_slots) */
};

/* run.c */
int32_t run_fail(pitot_run *run, int32_t status, const char *format, ...) PITOT_PRINTF(3, 4);
/* 1: NULL, off, or in a forked child: nothing is to be done. */
int run_idle(const pitot_run *run);
/* `count` cleared elements of `size` bytes within the byte budget; NULL: over it, or no memory. Released with run_release. */
void *run_hold(pitot_run *run, int64_t count, size_t size);
void run_release(pitot_run *run, void *block, int64_t count, size_t size);
/* Makes *block hold at least `count` elements; what was in it is lost if it grows. 0: over the budget, *block and *room as before or
   NULL and 0. */
int run_room(pitot_run *run, void *block, int64_t *room, int64_t count, size_t size);
/* A struct of the caller's, which may be of an older or newer header, in ours. */
void run_copy_struct(void *to, size_t size, const void *from);
/* Room for one more in a list that doubles; after the first tracked steps it does not grow any more. */
int run_reserve(void *list, int64_t used, int64_t more, int64_t *room, size_t size);
double run_now(void);  /* monotonic seconds */
double run_wall(void); /* seconds since 1970 */

/* 1 inside a callback: hooks called from there do nothing. 0 again if it was jumped out of. */
int run_calling(const pitot_run *run);

/* param.c */
void param_free(param *p);
void params_locate_gradients(pitot_run *run);
void params_locate(pitot_run *run);
/* Where everything is now, into run.tensor; gradients, too, if asked for. */
void params_look(pitot_run *run, int gradients);
/* What the buffers hold when the step begins (PITOT_CARRIED). */
void params_carry(pitot_run *run);
void params_copy_before(pitot_run *run);
/* The step's gradient as a vector (D). */
void params_gather_gradient(const pitot_run *run, pitot_real *out);
/* D: values of the tensors with data and gradient. */
int64_t params_size(const pitot_run *run);

/* slot.c: calling probes */
typedef int32_t (*phase)(const pitot_frame *frame);
/* State and everything else that the probe needs is there; if not, the slot says what is missing. */
int slot_prepare(pitot_run *run, slot *s);
pitot_frame slot_frame(pitot_run *run, slot *s, int64_t step);
void slot_call(pitot_run *run, slot *s, phase f, int64_t step, int before);
/* 1 if this step has what the probe needs; if not, the slot says what is missing. */
int slot_has_needs(pitot_run *run, slot *s);

/* capture.c */
void captures_clear(pitot_run *run);
/* The micro-batch's captures as targets of the sweep. */
int32_t captures_targets(pitot_run *run);

/* sample.c */
void sampling_begin(pitot_run *run);
/* Takes in the micro-batch whose backward pass has just been made. */
void sampling_add(pitot_run *run);
/* This step has no per-sample values: `what` would exceed the byte budget. */
void sampling_over_budget(pitot_run *run, const char *what);
/* After the last one: run.sampling.out. */
void sampling_finish(pitot_run *run);
void sampling_free(pitot_run *run);
double sampling_factor(const pitot_run *run); /* grad_scale / loss_scale */

/* update.c */
void update_begin(pitot_run *run);
/* After backward, of a promised update: what it will be compared with. */
void update_promised(pitot_run *run);
/* After the update: run.plain is 0 from here on if it was another. */
void update_check(pitot_run *run);
/* Whether the tensor's step has a length. */
int update_is_known(const pitot_run *run, int32_t tensor);
double update_gradient_square(pitot_run *run, int32_t tensor);
/* Somebody knows it already. */
void update_gradient_is(pitot_run *run, int32_t tensor, double square);

/* products.c */
/* What the step's histograms, products and projections need, into the job; 0: something is missing, and said. */
int products_prepare(pitot_run *run, sweep_job *job);
/* After the sweep: from its targets to tensors. */
void products_finish(pitot_run *run);
/* After the update: every sample's gradient along it; and, after the probes, the update itself in param.moved for the next step. */
void products_project(pitot_run *run);
void products_settle(pitot_run *run);
/* A job over the step's captures, with room to run; 0: none. */
int sampling_job(pitot_run *run, sweep_job *job, uint32_t wants);
/* frame.layer, from the captures. */
void products_layers(pitot_run *run);
void products_free(pitot_run *run);

/* share.c, share_diagonal.c */
void share_begin(pitot_run *run);
void share_free(pitot_run *run);
/* Diagonals for the tiles of moments, of the last micro-batch; before its sweep. Nothing where the host's callback may change what it has
   shown. */
void share_ahead(pitot_run *run);
/* Their factors into the sweep's targets. */
void share_aim(pitot_run *run);
/* pitot_moments.curvature of one slot's tile that begins at this value. made: the sweep's, or NULL. */
const pitot_real *share_tile(const pitot_run *run, const slot *s, int64_t tensor, int64_t begin, const pitot_real *made);
/* g, for what comes after the update. */
void share_keep_gradient(pitot_run *run);
/* The batch's outputs and targets as probes see them; NULL: the host has not shown them. */
const pitot_prediction *share_prediction(pitot_run *run);

/* budget.c */
/* Puts probes that share their cost into one group. */
int32_t budget_groups(pitot_run *run);
/* Whether this probe's group may be tracked now. */
int budget_allows(const pitot_run *run, const slot *s);
/* Before plan_due: how much each group may spend. */
void budget_begin(pitot_run *run, double now);
/* A step is over: what it cost. */
void budget_book(pitot_run *run);
void budget_say(pitot_run *run); /* `NAME.seconds` into the record */

/* callback.c */
enum { CALL_GRAD, CALL_HVP, CALL_FORWARD, CALL_JVP, CALL_VJP, CALL_ROOT, CALL_DIAGONAL, CALL_SPECTRUM };
/* Calls the host. Parameters, gradients and guards have been kept before the first call of a step. A status; failures are counted. */
int32_t callback_call(pitot_run *run, int which, pitot_call *call);
int callback_there(const pitot_run *run, int which);
/* 1 if the callback under way was jumped out of. Seen by the stack, which grows downwards: only a hook called from some 4,000 bytes further down than
   the one that the callback was in takes itself to be inside of it. */
int callback_lost(const pitot_run *run);
/* Keeps everything, if that has not been done at this step: before parameters are moved. */
int32_t callback_prepare(pitot_run *run);
/* The same before callback `which` is called; nothing where the host knows that it leaves all as it is. */
int32_t callback_ready(pitot_run *run, int which);
/* theta + h * direction into the host's parameters; direction (D) */
void callback_move(pitot_run *run, const pitot_real *direction, double h);
/* Gradient buffers as a vector (D), in units of the reduced loss. */
void callback_gradient(pitot_run *run, pitot_real *out);
/* Everything back as it was, promises checked. Also after a callback that never came back. */
void callback_finish(pitot_run *run);
/* What callbacks changed although they promised not to, put back; they are not called again. Parameters are where they belong. */
void callback_check(pitot_run *run);
void callback_break(pitot_run *run, int which, const char *format, ...) PITOT_PRINTF(3, 4);
void callback_free(pitot_run *run);
/* PITOT_CARRIED: buffers hold again what `grad` adds to. */
void callback_clear_gradients(pitot_run *run);

/* curvature.c */
/* Operators over this step's callbacks; what is missing has n = 0. */
void curvature_begin(pitot_run *run);
/* What the last micro-batch's gradient is multiplied by to be that of a mean over it alone. */
double curvature_share(const pitot_run *run);
/* NULL if products with PITOT_NEED_HESSIAN or PITOT_NEED_GGN can be had, else what is missing and the PITOT_STATE_... that goes with it:
   of callbacks; and of callbacks and the step. */
const char *curvature_unoffered(const pitot_run *run, uint32_t need, int32_t *condition);
const char *curvature_missing(const pitot_run *run, uint32_t need, int32_t *condition);

/* plan.c */
int32_t plan_probes(pitot_run *run, const char *spec);
int32_t plan_options(pitot_run *run, const char *options);
/* Probes that call the host's callbacks cost whole gradients, and run last. */
int slot_is_heavy(const slot *s);
/* Marks the slots that are due, none anew unless its budget allows; returns what they need. */
uint32_t plan_due(pitot_run *run, int64_t step);
void slot_off(slot *s, int32_t condition, const char *format, ...) PITOT_PRINTF(3, 4);
/* Not now, and why; it may come. */
void slot_waits(slot *s, int32_t condition, const char *why);

/* emit.c */
/* `NAME.remark`, why there is no value or what is to be known of it, where it is another one than before. */
void emit_remarks(pitot_run *run);
void emit_begin(pitot_run *run); /* a new step: forgets what was emitted */
void emit_flush(pitot_run *run); /* writes records of what was emitted since the last flush */
void emit_free(pitot_run *run);
int32_t emit_host(pitot_run *run, const char *name, double value);
/* What the host has told of this group, else of all, else `otherwise`. */
double setting_of(const pitot_run *run, int32_t group, const char *name, double otherwise);

/* manifest.c */
int32_t manifest_write(pitot_run *run, pitot_error *error);

#endif
