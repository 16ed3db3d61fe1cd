/* pitot/probe.h: how to write a probe. A probe is one file: options, state, functions, and last its descriptor, a constant table.
   The core reads the table to parse options, allocate state, schedule, log, list, document and test; the functions only compute.

   A step, as a probe sees it:

       backward   gradients are complete, parameters not yet updated     theta_t, g_t, losses, samples, operators
       update     parameters have been updated                           theta_{t+1} (and theta_t, if PITOT_NEED_BEFORE)
       next       for probes that span two steps: backward of step t+1    theta_{t+1}, g_{t+1}; values are logged under step t

   Functions are called on tracked steps only, and only when everything in `needs` is there; otherwise the core says what is missing.
   They allocate nothing, keep nothing outside their state, draw random numbers only through pitot_random, and change nothing.

   What all samples' gradients say comes in two forms. Per sample: frame.samples, ready when `backward` is called. Per parameter value:
   `moments`, called for runs of values (tiles) while they are in cache, before `backward`; what it sums up is in frame.sums then. */

#ifndef PITOT_PROBE_H
#define PITOT_PROBE_H

#include "pitot/base.h"
#include "pitot/hot.h"
#include "pitot/linop.h"
#include "pitot/option.h"
#include "pitot/quadrature.h"
#include "pitot/solve.h"
#include "pitot/stale.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {                                  /* pitot_probe.needs; beside each the level of host that can give it */
       PITOT_NEED_LOSS = 1,             /* 0: frame.loss */
       PITOT_NEED_GRADS = 2,            /* 0: tensor.grad */
       PITOT_NEED_BEFORE = 4,           /* 0: tensor.before in `update` (the core copies theta_t) */
       PITOT_NEED_LOSSES = 8,           /* 0: frame.losses, one per sample */
       PITOT_NEED_LR = 16,              /* 0: frame.lr */
       PITOT_NEED_SAMPLES = 32,         /* 1: frame.samples, lengths and products of per-sample gradients */
       PITOT_NEED_HESSIAN = 64,         /* 2: frame.hessian */
       PITOT_NEED_GGN = 128,            /* 3: frame.ggn */
       PITOT_NEED_PRECONDITIONER = 256, /* P: frame.preconditioner, in `update`; in `backward` if the host shows it before */
       PITOT_NEED_MOMENTS = 512,        /* 1: `moments` is called */
       PITOT_NEED_MICRO = 1024,         /* 0: frame.micro, lengths of the micro-batches' gradients, where there are several */
       PITOT_NEED_HISTOGRAM = 2048,     /* 1: `bins` is called; frame.histogram */
       PITOT_NEED_PROJECTION = 4096,    /* 1: frame.projection in `update` and `next`: per-sample gradients along the update */
       PITOT_NEED_GRAM = 8192,          /* 1: frame.gram: products of per-sample gradients with each other */
       PITOT_NEED_LAYERS = 16384,       /* 1: frame.layer; pitot_weighted_gradient, pitot_sample_gradients */
       PITOT_NEED_OUTPUT = 32768,       /* 3: frame.output: what the net says of each sample, and what it should */
       PITOT_NEED_DIAGONAL = 65536,     /* 2: pitot_diagonal, pitot_sample_diagonal */
       PITOT_NEED_STEP = 131072,  /* 2, and PITOT_LATE: pitot_step_product, pitot_loss_after, pitot_step_gradient, in `update` */
       PITOT_NEED_LENGTH = 262144 /* 0: pitot_step_square, in `update` */
};

enum { /* pitot_probe.presets: the configurations that hold it ("all" holds everything that is not on request) */
       PITOT_ECONOMY = 1,
       PITOT_BUSINESS = 2,
       PITOT_FULL = 4,
       PITOT_ON_REQUEST = 8 /* only when named: its values are too large for a log */
};

enum { /* pitot_output.shape */
       PITOT_SCALAR,
       PITOT_PER_TENSOR, /* a number per tensor; it may come with a scalar of the same field, the whole */
       PITOT_LIST,
       PITOT_TENSORS,           /* a value per value of each tensor */
       PITOT_SCALAR_PER_TENSOR, /* a scalar, and the same of each tensor beside it */
       PITOT_TABLE,             /* rows of numbers; and, if the probe wants, of each tensor beside it */
       PITOT_SAMPLE_TENSORS     /* (n, values of the tensor), for each tensor */
};
enum { /* pitot_output.axis */
       PITOT_LINEAR_AXIS,
       PITOT_LOG_AXIS,
       PITOT_SYMLOG_AXIS,
       PITOT_NOT_DRAWN /* stays in the log: it says how far another number is to be trusted */
};

typedef struct pitot_band { /* what is worth a look; a bound at +-infinity is none */
    double warn_below, warn_above, alarm_below, alarm_above;
    const char *says; /* the sentence that explains an alarm and what to try */
} pitot_band;

typedef struct pitot_output {
    const char *field;      /* "" : the probe's own value; otherwise logged as probe.field */
    int32_t shape;          /* PITOT_SCALAR ... */
    int32_t axis;           /* how it is best drawn */
    const char *unit;       /* "" : none */
    const char *label;      /* what it is, a few words */
    const pitot_band *band; /* NULL: none */
} pitot_output;             /* label NULL ends a table */

typedef struct pitot_tensor { /* one parameter */
    const char *name;         /* "conv1.weight" */
    int64_t size;             /* values; 0: the tensor has no address for now, and is left out */
    int64_t shape[PITOT_DIMS];
    int32_t n_dim, group;
    const pitot_real *data;   /* theta now, (size) */
    const pitot_real *grad;   /* of the reduced loss, scaled; NULL: none this step; vectors of D leave it out */
    const pitot_real *before; /* theta_t in `update`, or NULL */
    pitot_real *state;        /* this probe's pitot_probe.tensor_state * size values, cleared at the start; or NULL */
    int32_t fresh;            /* 1: state was made for this call: the tensor is new, or was not there before */
    int32_t reserved;
} pitot_tensor;

/* Lengths and products of the per-sample gradients g_n of one step: each of sample n's own loss, not divided by N, so that their mean is
   the gradient g of the mean loss. Over all tensors that have captures. */
typedef struct pitot_samples {
    size_t struct_size;
    int64_t n;               /* samples that count: those with a term of weight other than 0 */
    int64_t listed;          /* entries of the lists; those that do not count are 0 */
    const double *square;    /* (listed): |g_n|^2 */
    const double *along;     /* (listed): g_n'g; NULL if the step came in several micro-batches */
    const double *deviation; /* (listed): |g_n - g|^2, without cancellation; NULL as above */
    double mean_square;      /* |g|^2 */
    double scatter;          /* sum over n of |g_n - g|^2 */
    double covered;          /* share of D with captures */
    int32_t coupled;         /* 1: samples act on each other; g_n is not of sample n alone */
    int32_t reserved;
    const unsigned char *counts; /* (listed): 1 if the sample counts; there with PITOT_NEED_LAYERS alone, too */
    const int64_t *ids;          /* (listed): which samples of the data set; NULL: not told, or the step came in micro-batches */
} pitot_samples;

typedef struct pitot_moments {   /* one run of values of one tensor */
    int64_t tensor;              /* index into frame.tensor */
    int64_t begin, end;          /* values */
    int64_t n;                   /* samples */
    const pitot_real *mean;      /* (end-begin): g */
    const pitot_real *variance;  /* (end-begin): sum_n (g_n - g)^2 / n, biased, without cancellation */
    pitot_real *state;           /* tensor.state of the whole tensor, of which begin..end may be written; tensor.state itself is not
                                   there in `moments` */
    const pitot_real *curvature; /* (end-begin): of the diagonal that pitot_probe.curvature asks for; NULL: it cannot be had before
                                    `backward`, or not at all */
} pitot_moments;

typedef struct pitot_micro { /* one micro-batch */
    int64_t n;               /* samples */
    double square;           /* |gradient of its mean loss|^2 */
} pitot_micro;

typedef struct pitot_bins { /* what is to be counted: bins of equal width; values outside fall into the first or the last */
    int64_t n;              /* over the per-sample gradients' values g_nj, from lo to hi */
    double lo, hi;
    int64_t y_n; /* and over theta_j, from y_lo to y_hi; 0: over g_nj alone */
    double y_lo, y_hi;
} pitot_bins;

typedef struct pitot_histogram {   /* of all samples that count; NaN is counted nowhere */
    int64_t n, y_n;                /* bins */
    const double *edges, *y_edges; /* (n+1), (y_n+1) */
    const int64_t *counts;         /* (n_tensors, n) or (n_tensors, n, y_n) */
    const double *largest;         /* (n_tensors): max over samples and values of |g_nj| */
} pitot_histogram;

typedef struct pitot_layer {              /* what one use of a weight saw: A (n, positions, units) */
    int64_t tensor;                       /* of the weight */
    int64_t n, positions, units;          /* convolutions: units are channels */
    const pitot_real *a;                  /* NULL: the host gave per-sample gradients instead */
    int64_t a_sample, a_position, a_unit; /* values from one to the next */
    int32_t data;                         /* 1: the inputs are the samples themselves (PITOT_DATA) */
    int32_t reserved;
} pitot_layer;

typedef struct pitot_prediction { /* pitot_batch's: f and y of each term */
    int64_t n, t, c, stride;      /* samples, terms of each, outputs; values from one row of f to the next */
    const pitot_real *f;          /* (n,t,c) */
    const int32_t *classes;       /* (n,t), or NULL */
    const pitot_real *targets;    /* (n,t,c), or NULL */
    const int64_t *ids;           /* (n) samples in the data set, or NULL */
    int32_t loss_kind, reserved;  /* PITOT_CROSS_ENTROPY ... of base.h */
    const pitot_real *weight;     /* (n,t) of the terms, 0: padding or ignored; NULL: all 1 */
} pitot_prediction;

enum {                            /* pitot_curvature.kind, and values of a probe's option `curvature` */
       PITOT_CURVATURE_AUTO,      /* exact Hessian; in training, where it would cost more than the GGN, the sampled GGN */
       PITOT_CURVATURE_HESSIAN,   /* exact */
       PITOT_CURVATURE_GGN,       /* exact */
       PITOT_CURVATURE_GGN_MC,    /* the GGN, from `draws` labels a sample drawn from what the net predicts */
       PITOT_CURVATURE_HESSCALE,  /* an approximation of the Hessian's, exact at the last layer */
       PITOT_CURVATURE_HUTCHINSON /* the Hessian's, from `draws` products with random signs: unbiased, noisy */
};
#define PITOT_CURVATURES "auto|hessian|ggn|ggn_mc|hesscale|hutchinson" /* pitot_option.values of such an option */
/* Rows of a probe's table: whose diagonal it takes; options_type has members `curvature` and `draws`, int64_t. */
/* clang-format off */
#define PITOT_CURVATURE_OPTIONS(options_type)                                                                                     \
    { "curvature", PITOT_CHOICE, 1, offsetof(options_type, curvature), "auto", 0, 0, PITOT_CURVATURES, "",                        \
      "whose diagonal; auto: the exact Hessian's, in training the sampled GGN's where that costs more than the GGN's" },          \
    { "draws", PITOT_INT, 1, offsetof(options_type, draws), "1", 1, 1e6, NULL, "", "ggn_mc, hutchinson: random vectors" }
/* clang-format on */

typedef struct pitot_curvature { /* a diagonal, and what it is */
    int32_t kind;                /* PITOT_CURVATURE_HESSIAN ...; never AUTO */
    int32_t reserved;
    int64_t draws;
    double gradients;         /* about how many gradients of the batch it cost */
    const pitot_real *values; /* (D), of the reduced loss times to_mean; in `backward`, until the next begin */
} pitot_curvature;

typedef struct pitot_emitter pitot_emitter; /* the core's side of a frame */

typedef struct pitot_frame {
    size_t struct_size;
    int64_t step;       /* the step that values are logged under */
    int64_t first_step; /* first step of this run that hooks saw; resuming keeps it */
    double wall;        /* seconds since 1970 */
    double lr;          /* of this step, where groups have none of their own; NaN before `update` if the host has not said */
    double loss;
    int64_t n;                /* samples in the step */
    int64_t n_last;           /* samples that hessian and ggn are of: the last micro-batch's; n if the step came in one piece */
    const pitot_real *losses; /* (n) */
    int64_t n_tensors;
    const pitot_tensor *tensor;
    double to_mean; /* tensor.grad times this is the gradient of the mean over samples: 1, or 1/n where the host's loss is a sum */
    const pitot_samples *samples; /* PITOT_NEED_SAMPLES; PITOT_NEED_MOMENTS alone: without its lists */
    const pitot_linop *hessian;   /* PITOT_NEED_HESSIAN: of the reduced loss over all parameters, row-major, in order */
    const pitot_linop *ggn;       /* PITOT_NEED_GGN */
    const pitot_preconditioner *preconditioner; /* PITOT_NEED_PRECONDITIONER */
    int64_t n_preconditioners;
    const pitot_micro *micro; /* PITOT_NEED_MICRO: (n_micro), at least two; NULL: the step came in one piece */
    int64_t n_micro;
    const double *sums;               /* (n_tensors, probe.n_sums): what `moments` has added up, 0 for tensors without captures */
    pitot_real *work;                 /* (probe.work_vectors, D) of scratch */
    int64_t size;                     /* D: values of all tensors that have a gradient, as operators count them */
    const pitot_histogram *histogram; /* PITOT_NEED_HISTOGRAM: this probe's own */
    const double *projection; /* (listed): g_n's with s = theta_{t+1} - theta_t; in `next`, of step t+1's samples, s as before */
    const double *gram;       /* (listed, listed): g_n'g_m */
    const pitot_layer *layer; /* (n_layers) */
    int64_t n_layers;
    const pitot_prediction *prediction; /* PITOT_NEED_OUTPUT */
    const char *optimizer;              /* config.optimizer; "" if the host has not said */
    const void *options;                /* the probe's options struct, filled in */
    void *state;                        /* pitot_probe.state_size bytes, cleared at the start */
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
    int32_t tensor_state; /* pitot_real values per parameter value: so many vectors of the tensor's size, one after another */
    int32_t start_always; /* 1: `backward` also runs at the first step, whatever the schedule says (a reference point) */
    const pitot_output *outputs;
    int32_t (*backward)(const pitot_frame *frame); /* each 0 or a status; NULL: nothing to do then */
    int32_t (*update)(const pitot_frame *frame);
    int32_t (*next)(const pitot_frame *frame);
    uint32_t needs_one; /* PITOT_NEED_... of which at least one must be there; the others' fields are NULL then */
    int32_t n_sums;     /* doubles per tensor for `moments` */
    int32_t work_vectors;
    uint32_t wants; /* PITOT_NEED_... that the host is asked for, too, but may lack: their fields are NULL then */
    /* PITOT_NEED_MOMENTS: adds what it makes of a tile to sums (n_sums), cleared before each tile; tiles' sums are added up in order.
       Runs side by side on several threads, on different tiles: it may write to its tile's values of tensor.state, and nothing else. */
    void (*moments)(const pitot_frame *frame, const pitot_moments *tile, double *sums);
    /* PITOT_NEED_HISTOGRAM: before `backward`, from options and state: what is to be counted at this step. */
    void (*bins)(const pitot_frame *frame, pitot_bins *bins);
    /* Where tensor_state and work_vectors depend on options: both, once per run; NULL: they stand above. */
    void (*room)(const void *options, int32_t *tensor_state, int32_t *work_vectors);
    /* PITOT_NEED_MOMENTS and PITOT_NEED_DIAGONAL: kind and draws, as in pitot_diagonal, of the diagonal whose values `moments` looks at
       beside its tile's; NULL: none. */
    void (*curvature)(const void *options, int32_t *kind, int64_t *draws);
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
/* The `most` samples (64 at the utmost) with the largest scores (n), in falling order, ties in order of position: their ids, or positions
   where ids is NULL, as the list `hardest.ids`, the scores as `hardest.scores`. A score below 0 or NaN: the sample does not count. */
PITOT_API void pitot_emit_hardest(const pitot_frame *frame, const double *scores, int64_t n, const int64_t *ids, int64_t most);
/* rows x cols numbers, row-major; tensor -1: of the whole. */
PITOT_API void pitot_emit_table(const pitot_frame *frame, const char *field, int64_t tensor, const double *values, int64_t rows,
                                int64_t cols);
/* (n, size) values of one tensor, `stride` apart from sample to sample; as pitot_emit_values. */
PITOT_API void pitot_emit_sample_values(const pitot_frame *frame, const char *field, int64_t tensor, const pitot_real *values,
                                        int64_t n, int64_t stride);
/* Goes with values: what is to be said about them, in a few words ("the sampled GGN's"). Shown by pitot_report and inspect. */
PITOT_API void pitot_remark(const pitot_frame *frame, const char *text);
/* The quantity has no value at this point; why, in a few words. */
PITOT_API void pitot_undefined(const pitot_frame *frame, const char *why);
/* 1 if entry i of the lists is of a sample that counts. */
static inline int pitot_sample_counts(const pitot_samples *samples, int64_t i) {
    return samples->counts[i];
}
/* An optimizer setting that the host has told (pitot_hyper) for this group; `otherwise` if it has not. */
PITOT_API double pitot_hyper_of(const pitot_frame *frame, int32_t group, const char *name, double otherwise);

/* ---- shared quantities, made when first asked for at a step and kept until the next: in `backward`, 0 or a status; what is missing is
   the slot's state then, and the probe hands the status on ---- */

/* Diagonal of curvature. kind: PITOT_CURVATURE_...; draws >= 1. PITOT_ENOTSUP: neither the host's `diagonal` callback nor products give
   it. Cost: curvature->gradients. */
PITOT_API int32_t pitot_diagonal(const pitot_frame *frame, int32_t kind, int64_t draws, pitot_curvature *curvature);
/* Its sums over each tensor, 0 for those without a gradient: *trace (n_tensors), until the next begin; NULL: not wanted, only what the
   diagonal is. curvature->values is NULL. Cost: where pitot_diagonal has values that nobody else wants, less. */
PITOT_API int32_t pitot_diagonal_traces(const pitot_frame *frame, int32_t kind, int64_t draws, pitot_curvature *curvature,
                                        const double **trace);
/* The same of each sample's own loss: values (n,D). */
PITOT_API int32_t pitot_sample_diagonal(const pitot_frame *frame, int32_t kind, int64_t draws, pitot_curvature *curvature);
typedef struct pitot_spectrum { /* of the GGN; good until pitot_spectrum_of is called again */
    int64_t k, n;               /* leading pairs; eigenvalues that may not be 0 */
    double trace;
    const double *value; /* (n) ascending; NULL where only the leading ones were made: in training */
    const double *top;   /* (k) descending */
    const double *gamma_mean, *gamma_snr, *lambda_mean, *lambda_snr; /* (k): see pitot_ggn_spectrum in hooks.h */
} pitot_spectrum;
/* vectors (k,D): the leading eigenvectors, unit. draws, samples: as in hooks.h. Not kept. PITOT_ENOTSUP: the host has no callback
   `ggn_spectrum`. Cost: pitot_vivit_new, pitot_vivit_top and pitot_vivit_derive in vivit.h. */
PITOT_API int32_t pitot_spectrum_of(const pitot_frame *frame, int64_t k, int64_t draws, int64_t samples, pitot_real *vectors,
                                    pitot_spectrum *spectrum);
/* |g|^2 of one tensor, 0 if it has no gradient. */
PITOT_API double pitot_gradient_square(const pitot_frame *frame, int64_t tensor);
/* H g, g the gradient: *out (D). Needs PITOT_NEED_HESSIAN. Cost: one product. */
PITOT_API int32_t pitot_gradient_product(const pitot_frame *frame, const pitot_real **out);
/* out (D) = sum over samples of weight[n] g_n, weight (listed); 0 for tensors without captures. Needs PITOT_NEED_LAYERS. Not kept.
   Cost: about a third of a gradient. */
PITOT_API int32_t pitot_weighted_gradient(const pitot_frame *frame, const double *weight, pitot_real *out);
/* g_n of one tensor for all samples: *out (listed, size); NULL if it has no captures. Needs PITOT_NEED_LAYERS. */
PITOT_API int32_t pitot_sample_gradients(const pitot_frame *frame, int64_t tensor, const pitot_real **out);
/* In `update`, PITOT_NEED_LENGTH: |theta_{t+1} - theta_t|^2 of one tensor; 0 if it was not there before. lr^2 |g|^2 where the host has
   promised that (pitot_plain_update): without the rounding of theta, and without a pass over the parameters. */
PITOT_API double pitot_step_square(const pitot_frame *frame, int64_t tensor);
/* In `update`, PITOT_NEED_STEP: *out (D) = H s at theta_t, s (D) the update; and the loss of the step's batch at theta_{t+1}. Kept, too. */
PITOT_API int32_t pitot_step_product(const pitot_frame *frame, const pitot_real **step, const pitot_real **out);
PITOT_API int32_t pitot_loss_after(const pitot_frame *frame, double *loss);
/* In `update`, PITOT_NEED_STEP: g (D) as it was in `backward`; tensor.grad may have been clipped or cleared since. */
PITOT_API int32_t pitot_step_gradient(const pitot_frame *frame, const pitot_real **out);

/* ---- ranks of matrices ---- */

typedef struct pitot_rank { /* of a matrix with singular values sigma; 0 for a matrix of zeros */
    double effective;       /* exp(-sum p log p), p = sigma / sum sigma (Roy, Vetterli 2007) */
    double stable;          /* sum sigma^2 / max sigma^2 = |W|_F^2 / |W|_2^2 */
} pitot_rank;
/* sigma (n), descending. Values below PITOT_RANK_NOTHING times the largest are round-off and count as 0. */
#define PITOT_RANK_NOTHING 0x1p-24
PITOT_API pitot_rank pitot_rank_of(const double *sigma, int64_t n);

enum { PITOT_RANK_OF_DATA, PITOT_RANK_OF_GRAD, PITOT_RANK_OF_UPDATE }; /* theta, g, theta_{t+1} - theta_t (in `update`) */
/* Emits the ranks of each tensor with two axes or more as a matrix, first axis by the rest: effective as "", stable as "stable", and of
   all their means, weighted by values. Matrices whose smaller side exceeds `largest` are left out, and a remark says so. Undefined if none
   is left or a value is not finite. Cost: min^2 max + 4/3 min^3 flops a matrix. */
PITOT_API int32_t pitot_emit_ranks(const pitot_frame *frame, int32_t of, int64_t largest);

/* Where a vector of D values holds tensor i; -1: it does not (no gradient). */
PITOT_API int64_t pitot_offset(const pitot_frame *frame, int64_t tensor);
/* g (D), in `backward`. */
PITOT_API void pitot_gather_gradient(const pitot_frame *frame, pitot_real *out);
/* Vectors first .. first+count-1 of what tensor.state holds, as vectors (count,D); and back. Tensors without a gradient are left out. */
PITOT_API void pitot_gather_state(const pitot_frame *frame, int32_t first, int32_t count, pitot_real *out);
PITOT_API void pitot_scatter_state(const pitot_frame *frame, int32_t first, int32_t count, const pitot_real *vectors);

/* `count` doubles of scratch, shared by all probes, good until this function is called again or returns; NULL: over the byte budget
   (hand PITOT_EBUDGET on). */
PITOT_API double *pitot_scratch(const pitot_frame *frame, int64_t count);

typedef struct pitot_noise { /* of the samples' gradients (McCandlish et al. 2018, arXiv 1812.06162) */
    double s, g2;            /* unbiased: S = sum |g_n - g|^2 / (N-1), trace of their covariance; G2 = |g|^2 - S/N */
    double b_simple;         /* S / G2; infinite where G2 is not above 0 */
    double interval[2]; /* 95 % of S / G2: Fieller's, with the jackknife's covariance of (S, G2); its upper end is infinite where
                                G2 cannot be told from 0. NaN: fewer than three samples, or several micro-batches */
} pitot_noise;
/* PITOT_ENOTSUP: fewer than two samples count. */
PITOT_API int32_t pitot_noise_estimate(const pitot_samples *samples, pitot_noise *noise);

/* Sums in double, over (n): x'x, (x-y)'(x-y), x'y, sum of x, sum of x/(y+epsilon). Threaded above about 100,000 values, the same bits
   every time for one thread count. */
PITOT_API double pitot_sum_squares(const pitot_real *x, int64_t n);
PITOT_API double pitot_sum_squared_difference(const pitot_real *x, const pitot_real *y, int64_t n);
PITOT_API double pitot_dot(const pitot_real *x, const pitot_real *y, int64_t n);
PITOT_API double pitot_sum(const pitot_real *x, int64_t n);
PITOT_API double pitot_sum_ratios(const pitot_real *x, const pitot_real *y, double epsilon, int64_t n);

/* The index-th uniform number in (0,1) of this probe's own stream at this step; never touches anybody else's. */
PITOT_API double pitot_random(const pitot_frame *frame, uint64_t index);

#ifdef __cplusplus
}
#endif

#endif
