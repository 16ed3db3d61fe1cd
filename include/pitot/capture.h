/* pitot/capture.h: what a layer saw in a forward pass and what came back in the backward pass: its input A and the gradient G of the
   loss with respect to its output, not summed over samples. Everything per sample follows from these two: the gradient of sample n with
   respect to a linear layer's weight is G_n' A_n. */

#ifndef PITOT_CAPTURE_H
#define PITOT_CAPTURE_H

#include "pitot/base.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { /* types of values in memory; 0: pitot_real */
       PITOT_F32 = 1,
       PITOT_F64,
       PITOT_F16,
       PITOT_BF16
};

enum { /* pitot_capture.kind: the weight's shape, A, G. The sum over samples of what A and G make is the gradient */
       PITOT_LINEAR = 1,  /* (dout,din)           A (n,t,din)    G (n,t,dout)    attention projections are this */
       PITOT_CONV2D,      /* (cout,cin/groups,kh,kw)  A (n,cin,h,w)  G (n,cout,h',w') */
       PITOT_SCALE_SHIFT, /* (d)                  A (n,t,d) already normalised    G (n,t,d): the affine part of a normalisation */
       PITOT_PER_SAMPLE   /* any                  G (n, *shape): per-sample gradients that the host made itself; A unused */
};

enum {                          /* pitot_capture.flags */
       PITOT_COPY = 1,          /* A and G are gone when the call returns: costs memory and time */
       PITOT_TRANSPOSED = 2,    /* linear: the weight is stored (din,dout) */
       PITOT_TIME_FIRST = 4,    /* linear, scale: A (t,n,din), G (t,n,dout) */
       PITOT_CHANNELS_LAST = 8, /* convolution: A (n,h,w,cin), G (n,h',w',cout) */
       PITOT_DATA = 16          /* A are the samples themselves, not what a layer made of them: left out of what is said of units */
};

enum {                   /* output gradients of what */
       PITOT_ROOT_GIVEN, /* the loss itself */
       PITOT_ROOT_DRAWN, /* the loss with labels drawn from what the model predicts: one draw a sample */
       PITOT_ROOT_COLUMN /* a column of a root S of the loss's Hessian in the outputs: S S' = d2 l / df2 over all columns */
};

typedef struct pitot_capture { /* one use of one layer; it tells itself what it is, so there is no list of layers to keep */
    size_t struct_size;
    int32_t kind, flags;
    int32_t weight, bias;     /* ids; 0: none. A weight used several times: the same id in several captures */
    const void *A, *G;        /* NULL: not known yet. A forward hook gives A, a backward hook G, matched by (kind, weight, bias); a
                                  layer applied k times gives k pairs, Gs in reverse. An A without G is dropped */
    int32_t a_dtype, g_dtype; /* 0: pitot_real. Any other type is copied */
    int64_t n, t;             /* samples, positions per sample; 0: the batch's. t = 1 for a layer behind pooling */
    int64_t h, w;             /* convolution: height and width of the input */
    int32_t stride[2], padding[2], dilation[2]; /* convolution, vertical first; padding above and left; 0: 1, 0, 1 */
    int32_t groups;                             /* convolution; 0: 1 */
    int32_t reserved;
    double scale; /* G times this has the scale of the gradient buffers; 0: 1 */
} pitot_capture;

/* The part of a diagonal of curvature that belongs to the weight (dout,din) of a linear layer which is used once to a sample: scale times
   sum over n of q_n (a_n^2)'. */
typedef struct pitot_diagonal_factor {
    int32_t weight; /* id */
    int32_t reserved;
    int64_t n, din, dout;
    const pitot_real *a, *q; /* (n,din): what the layer saw; (n,dout): squares of what came back, summed over columns or draws */
    double scale;
} pitot_diagonal_factor;

#ifdef __cplusplus
}
#endif

#endif
