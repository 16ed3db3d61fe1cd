/* op.h: one layer kind. An op is one file in src/net/ops: attributes, functions, and last its descriptor `op_NAME`.

   An op works on a span of samples: a few at a time, side by side on threads (the default), or the whole batch at once
   (OP_WHOLE_BATCH, for products that BLAS does better in one piece). Shapes are those of one sample, without the batch. */

#ifndef PITOT_SRC_OP_H
#define PITOT_SRC_OP_H

#include "pitot/base.h"
#include "pitot/capture.h"
#include "pitot/option.h"

enum {
    OP_INPUTS = 16, /* most inputs of a node */
    OP_SAMPLES = 4  /* most samples in a span, unless OP_WHOLE_BATCH */
};

typedef struct shape {
    int32_t n;
    int64_t dim[PITOT_DIMS];
    int64_t size; /* product */
} shape;

enum {                      /* op.flags */
       OP_WHOLE_BATCH = 1,  /* forward and backward get all samples in one span */
       OP_IN_PLACE = 2,     /* y may lie on x, and dx on dy: backward reads y, never x; goes with OP_NEEDS_OUTPUT */
       OP_NEEDS_OUTPUT = 4, /* backward reads y: nobody may overwrite it */
       OP_VIEW = 8,         /* y is x under another shape: nothing is computed */
       OP_DRAWS = 16,       /* draws random numbers in training (dropout) */
       OP_LINEAR = 32       /* linear in its one input, without parameters: forward serves tangents, too */
};

typedef struct op_param { /* a parameter that an op declares; .size 0: it has none */
    shape shape;
    int64_t fan_in; /* initial values are uniform within 1/sqrt(fan_in) */
} op_param;

typedef struct node node;

typedef struct span { /* n samples of one node, as one thread sees them */
    int64_t n;
    const pitot_real *x[OP_INPUTS]; /* (n, *in) each */
    pitot_real *y;                  /* (n, *out) */
    const pitot_real *dy;           /* (n, *out), backward */
    pitot_real *dx[OP_INPUTS];      /* (n, *in) to be overwritten, or NULL: not wanted */
    const pitot_real *weight, *bias;
    pitot_real *dweight, *dbias; /* this thread's sums; to be overwritten if `first`, else added to. NULL: not wanted */
    void *kept;                  /* n * node.kept bytes, written by forward for backward */
    pitot_real *scratch;         /* node.scratch values of this thread's own */
    pitot_real *own;      /* node.own of its own for this node, kept from its first span to its last; NULL: not there this time */
    int first, last;      /* of this thread's spans on one way through the net; last only with `own` */
    int threads;          /* OP_WHOLE_BATCH: that the op may split its work over */
    int training;         /* dropout is on */
    uint64_t seed;        /* of this node's draws */
    int64_t step, sample; /* training step; index of the first sample in the batch */

    /* Tangents: how values move as the parameters move along a vector. */
    const pitot_real *xt[OP_INPUTS];     /* of x; NULL: 0, and dx is not wanted either */
    pitot_real *yt;                      /* (n, *out) */
    const pitot_real *weight_t, *bias_t; /* NULL: 0 */
    const pitot_real
        *g; /* tangent_backward, hesscale: what dy was in the backward pass; dx if y lies on x. NULL in other passes, and in
                            hesscale where second derivatives of ops are to count as 0 */

    int64_t columns; /* square_gradient: vectors to a sample; dy (n, columns, *out), dx[0] (n, columns, *in) */
} span;

typedef struct op {
    const char *name, *summary;
    size_t attributes_size;
    const pitot_option *attributes;
    int32_t inputs_min, inputs_max;
    uint32_t flags;
    /* From node.in and attributes: node.out, node.weight, node.bias, node.kept, node.scratch, node.own, node.flops. A complaint about
       attribute or shape goes to `error` as "what is wrong; what to do"; the caller puts the place in front. */
    int32_t (*shape)(node *n, pitot_error *error);
    void (*forward)(const node *n, const span *s);
    void (*backward)(const node *n, const span *s);
    /* yt from x, y, xt and the parameters' tangents; may lie on xt if there is no tangent_backward. NULL: OP_LINEAR, OP_VIEW. */
    void (*tangent)(const node *n, const span *s);
    /* The derivative of backward: dy, dx, dweight and dbias are here the tangents of what they are in backward, which is linear in dy,
       so that this is backward and, with g, the terms in which x and the weight move. NULL: there are none (y is piecewise linear in
       x, without parameters): backward serves. */
    void (*tangent_backward)(const node *n, const span *s);
    /* Of each of a sample's columns dx, and to dweight and dbias is added the square of what backward would give for that column alone;
       `first` says nothing; dweight NULL: dx alone. node.columns_scratch values of scratch. NULL: there are no parameters, or y = W x + b,
       each of them used once to a sample, so that the squares are products of squares. */
    void (*square_gradient)(const node *n, const span *s);
    /* One step of the recursion over diagonals of Hessians (Elsayed, Mahmood 2022, "HesScale", eq. 4-6): dy, dx, dweight and dbias are here
       second derivatives, x[0] and weight squared where there is a weight. NULL: no rule, but for OP_VIEW. */
    void (*hesscale)(const node *n, const span *s);
    /* Directions in which y can move as parameters move, each apart from the others: how many; yt = the i-th; and, when dy is the
       tangent that came back from there, what it says of the Hessian's diagonal, added to dweight and dbias. NULL: no parameters. */
    int64_t (*directions)(const node *n);
    void (*move)(const node *n, const span *s, int64_t i);
    void (*second)(const node *n, const span *s, int64_t i);
    /* kind and geometry of what pitot_net_capture tells. NULL: no parameters. */
    void (*capture)(const node *n, pitot_capture *c);
} op;

struct node {
    const op *op;
    char *name;
    void *attributes;
    int32_t n_inputs, input[OP_INPUTS]; /* indices of nodes; -1: the graph's input */
    shape in[OP_INPUTS], out;
    op_param weight, bias;
    int64_t kept;            /* bytes per sample kept between forward and backward */
    int64_t scratch;         /* values per thread */
    int64_t own;             /* values per thread that are not shared with other nodes */
    int64_t columns_scratch; /* the same, of square_gradient */
    double flops;            /* of forward's matrix product, per sample: 2 m n k */
};

extern const op *const op_table[]; /* by name, ended by NULL; generated from the file names */
const op *op_find(const char *name);

/* Fills in .size; 0 if a dimension is < 1 or the product is beyond 2^40. */
int shape_close(shape *s);
int shape_equal(const shape *a, const shape *b);
/* "(3, 32, 32)" */
const char *shape_text(const shape *s, char out[128]);

#endif
