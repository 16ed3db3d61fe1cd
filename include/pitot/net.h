/* pitot/net.h: networks as graphs of named ops. One op is one file in src/net/ops.

   A net is built (pitot_net_new and pitot_net_add, or pitot_net_read), given room for a batch (pitot_net_prepare), initialised
   (pitot_net_init or pitot_net_load) and run: forward, backward. Everything is allocated in prepare; forward and backward allocate
   nothing. One net: one thread at a time; inside, samples run side by side on the threads given to prepare, and whole-batch
   products on BLAS's own. The same seed, threads and machine give the same bits. */

#ifndef PITOT_NET_H
#define PITOT_NET_H

#include "pitot/base.h"
#include "pitot/capture.h"
#include "pitot/data.h"
#include "pitot/option.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pitot_net pitot_net;

/* An empty net for samples of `shape` (ends at the first 0 or after PITOT_DIMS). loss: "cross_entropy", "mse", "bce_with_logits",
   each the mean that PyTorch defines. Free with pitot_net_free (NULL allowed). */
PITOT_API pitot_net *pitot_net_new(const char *name, const int64_t *shape, const char *loss, pitot_error *error);
PITOT_API void pitot_net_free(pitot_net *net);

/* Appends a layer. name NULL: its index. inputs: names separated by blanks or commas, NULL: the layer before; the graph's input is
   "input". attributes: "out_features=10, bias=false", NULL: defaults. The last layer added gives the net's output. */
PITOT_API int32_t pitot_net_add(pitot_net *net, const char *op, const char *name, const char *inputs, const char *attributes,
                                pitot_error *error);

/* A net from a model file (JSON; see the README). Messages name the file and the field. */
PITOT_API pitot_net *pitot_net_read(const char *file, pitot_error *error);

/* PITOT_OK if the net takes this data's samples, and its loss their answers: classes or targets, one-hot classes where a loss wants
   targets. `model` begins the message of PITOT_EMISMATCH. */
PITOT_API int32_t pitot_net_fits(const pitot_net *net, const pitot_data *data, const char *model, pitot_error *error);

/* Room for batches of up to `batch` samples, on `threads` threads (0: OpenMP's setting). May be called again; parameters are zero
   afterwards: initialise or load them. PITOT_EMISMATCH if the output does not suit the loss. */
PITOT_API int32_t pitot_net_prepare(pitot_net *net, int64_t batch, int32_t threads, pitot_error *error);

/* Parameters as PyTorch's modules initialise theirs (uniform within 1/sqrt(fan_in)), from the stream (seed, "init"). */
PITOT_API int32_t pitot_net_init(pitot_net *net, uint64_t seed);
/* From and to safetensors, names and layouts as in PyTorch's state_dict. Load: every parameter must be there with its shape, and
   nothing else; F32, F64, F16 and BF16 are read. Save: F32, entries sorted by name, nothing that varies from run to run. */
PITOT_API int32_t pitot_net_load(pitot_net *net, const char *file, pitot_error *error);
PITOT_API int32_t pitot_net_save(const pitot_net *net, const char *file, pitot_error *error);

typedef struct pitot_net_batch {
    size_t struct_size;
    int64_t n;                 /* 1 .. batch of prepare */
    const pitot_real *x;       /* (n, *shape) */
    const int32_t *classes;    /* (n) for cross_entropy */
    const pitot_real *targets; /* (n, C) for mse and bce_with_logits */
    int32_t training;          /* 1: dropout on, masks from (seed, step) */
    int32_t reserved;
    uint64_t seed;
    int64_t step;
    const int64_t *ids; /* (n) which samples of the data set, for probes; or NULL */
} pitot_net_batch;

/* Forward pass; *loss is the mean (NaN and infinities pass through). Arrays of `batch` stay valid until backward, or until the last
   product or use of a capture after it. */
PITOT_API int32_t pitot_net_forward(pitot_net *net, const pitot_net_batch *batch, double *loss);
/* Backward pass of the last forward; overwrites all gradients. */
PITOT_API int32_t pitot_net_backward(pitot_net *net);

/* Of the last forward: outputs (n,C), per-sample losses (n). Owned by the net. */
PITOT_API const pitot_real *pitot_net_output(const pitot_net *net);
PITOT_API const pitot_real *pitot_net_losses(const pitot_net *net);
/* Samples of the last forward whose largest output is their class; -1 if the loss has no classes. */
PITOT_API int64_t pitot_net_correct(const pitot_net *net);

typedef struct pitot_net_param {
    const char *name;
    int64_t size, shape[PITOT_DIMS];
    int32_t n_dim;
    pitot_real *data, *grad; /* (size), aligned to 64 bytes; NULL before prepare */
} pitot_net_param;

PITOT_API int64_t pitot_net_param_count(const pitot_net *net);
PITOT_API const pitot_net_param *pitot_net_params(const pitot_net *net);

typedef struct pitot_net_facts {
    size_t struct_size;
    const char *name, *loss;
    int64_t parameters;    /* D */
    int64_t input, output; /* values per sample; output is C */
    const int64_t *shape;  /* of one sample; ends at the first 0 */
    double step_flops;     /* floating-point operations of matrix products in one training step, per sample */
    int64_t layers;
    double sample_bytes; /* what each sample of a batch takes in memory, with room for products */
} pitot_net_facts;
PITOT_API void pitot_net_get_facts(const pitot_net *net, pitot_net_facts *facts);

/* ---- around the point of the last backward pass: what layers saw, and exact products with curvature ----

   The passes are kept: any number of products may follow one backward pass, until the parameters change or the next forward. Vectors of D
   values hold the parameters in the order of pitot_net_params, each row-major, one after another without gaps; they do not overlap.
   Nothing that forward and backward left behind is changed: outputs, losses, gradients stay as they are. Dropout has the masks of that
   pass. The same threads give the same bits. Captures and products return PITOT_EORDER before a backward pass. */

/* The i-th layer that has parameters: what it saw (A) and what came back (G, of the mean loss). weight, bias: 1 + index into
   pitot_net_params, 0: none. Arrays are the net's own, good until the next forward or backward. PITOT_EINVAL: there is no such
   layer; PITOT_ENOTSUP: no gradient reaches it. Cost: none. */
PITOT_API int32_t pitot_net_capture(const pitot_net *net, int64_t i, pitot_capture *capture);

/* The same before any pass, and what does not depend on one: A and G are NULL. */
PITOT_API int32_t pitot_net_layer(const pitot_net *net, int64_t i, pitot_capture *capture);

/* u (n,C) = gradients of each sample's own loss with respect to its outputs, or what takes their place: root is PITOT_ROOT_...; seed of
   DRAWN, column of COLUMN. pitot_net_root_columns: how many columns there are. PITOT_EINVAL: no such column. */
PITOT_API int32_t pitot_net_output_gradient(const pitot_net *net, int32_t root, uint64_t seed, int64_t column, pitot_real *u);
PITOT_API int64_t pitot_net_root_columns(const pitot_net *net);
/* Sends u (n,C) down and keeps what comes back to the layers; then the i-th capture with that as G, and scale 1/n: so that of u as above and
   PITOT_ROOT_GIVEN scale G is that of pitot_net_capture. The first call takes room for a batch of outputs of every layer; the others none.
   Cost: a backward pass without products for parameters. */
PITOT_API int32_t pitot_net_send(pitot_net *net, const pitot_real *u);
PITOT_API int32_t pitot_net_sent(const pitot_net *net, int64_t i, pitot_capture *capture);
/* out (D) = mean over samples of the squares of what u (n,C) makes of each sample's gradient. */
PITOT_API int32_t pitot_net_squares(pitot_net *net, const pitot_real *u, pitot_real *out);

/* Room for the products below: about as much as prepare took for activations. The first product does it if it was not done before;
   they allocate nothing else. PITOT_EORDER before prepare. */
PITOT_API int32_t pitot_net_prepare_products(pitot_net *net, pitot_error *error);

/* out = H v, H the Hessian of the mean loss: tangents forward, then backward (Pearlmutter 1994, "Fast exact multiplication by the
   Hessian"; Moller 1993). Exact where the net is twice differentiable; at kinks (ReLU, max) the derivative of the branch taken. Cost:
   about two gradients. v (D), out (D). */
PITOT_API int32_t pitot_net_hvp(pitot_net *net, const pitot_real *v, pitot_real *out);
/* out = G v, G = J' (d2 loss / df2) J the generalised Gauss-Newton matrix. Cost: about one and a half gradients. */
PITOT_API int32_t pitot_net_ggnvp(pitot_net *net, const pitot_real *v, pitot_real *out);
/* out (n,C) = J v: how the outputs move with the parameters. v (D). */
PITOT_API int32_t pitot_net_jvp(pitot_net *net, const pitot_real *v, pitot_real *out);
/* out (D) = J' u. u (n,C). */
PITOT_API int32_t pitot_net_vjp(pitot_net *net, const pitot_real *u, pitot_real *out);

enum {                             /* whose diagonal */
       PITOT_DIAGONAL_HESSIAN = 1, /* of H: exact */
       PITOT_DIAGONAL_GGN,         /* of G: exact; the Hessian's where the net is piecewise linear */
       PITOT_DIAGONAL_GGN_MC,      /* of G, from `draws` labels a sample drawn from what the net predicts: unbiased */
       PITOT_DIAGONAL_HESSCALE, /* of H, from a recursion over the diagonals of the layers' Hessians (Elsayed, Mahmood 2022, "HesScale"):
                                      exact at the last layer, an approximation before it */
       PITOT_DIAGONAL_HESSCALE_GN, /* the same without the ops' second derivatives: of G, never negative */
       PITOT_DIAGONAL_BL89 /* HesScale's recursion (Becker, LeCun 1989) from a softmax output whose logarithms count one by one: only the
                                      true class has curvature, p (1 - p); HesScale for other losses */
};

/* out = diagonal (D) of the Hessian, the GGN or an approximation of it, of the mean loss; with per_sample, out (n,D): row m that of
   sample m's own loss, so that their mean is the diagonal. draws, seed: GGN_MC alone; the same seed gives the same labels. Room is taken
   at the first call of a kind and kept. PITOT_EORDER before a backward pass; PITOT_EINVAL: no such kind, draws < 1; PITOT_ENOMEM;
   PITOT_ENOTSUP and a message where an op has no rule for HesScale and its kin. Cost: pitot_net_diagonal_cost. */
PITOT_API int32_t pitot_net_diagonal(pitot_net *net, int32_t kind, int64_t draws, uint64_t seed, int per_sample, pitot_real *out,
                                     pitot_error *error);
/* About how many gradients of the batch that costs: known before it is paid. 0: no such kind. */
PITOT_API double pitot_net_diagonal_cost(const pitot_net *net, int32_t kind, int64_t draws);
/* 1 if every op is piecewise linear, so that the diagonals of Hessian and GGN are the same. */
PITOT_API int32_t pitot_net_is_piecewise_linear(const pitot_net *net);

/* ---- ops, for listings ---- */

typedef struct pitot_op_info {
    const char *name, *summary;
    const pitot_option *attributes; /* NULL: none */
} pitot_op_info;
/* The i-th op by name; 0 when there are no more. */
PITOT_API int32_t pitot_op_get(int64_t i, pitot_op_info *info);

#ifdef __cplusplus
}
#endif

#endif
