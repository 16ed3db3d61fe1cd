/* net.h: the inside of a pitot_net.

   graph.c       nodes: adding, names, shapes        plan.c    storage and segments for a batch size
   walk.c        through the segments, on threads    pass.c    forward and backward
   tangent.c     products with curvature             capture.c what layers saw
   columns.c     several vectors a sample, down      diagonal.c  diagonals of curvature
   hesscale.c    HesScale and its kin                second.c  second derivatives one by one
   loss.c        the losses                          loss_root.c  roots of their Hessians
   weights.c     initial values, safetensors         model_file.c  nets from JSON
   squares.c     squares of a linear layer's gradients
   winograd.c, winograd_tile.c  convolutions with fewer multiplications
   conv_squares.c, gather.c  squares of a convolution's gradients
   factor.c, factor_gram.c, factor_apply.c  the GGN's factor: see factor.h
   factor_form.c, factor_pairs.c            the same, of convolutions: see factor_conv.h */

#ifndef PITOT_SRC_NET_H
#define PITOT_SRC_NET_H

#include "net/op.h"
#include "pitot/net.h"

typedef struct loss_kind loss_kind;
typedef struct columns_room columns_room;
typedef struct hesscale_room hesscale_room;

typedef struct segment { /* nodes that run together: one whole-batch op, or a chain of ops, a few samples at a time */
    int32_t begin, end;
    int whole_batch;
} segment;

typedef struct buffers {  /* where a node's values lie */
    pitot_real *y, *dy;   /* (batch, *out); dy NULL if nobody wants it */
    pitot_real *yt, *dyt; /* their tangents, NULL where dy is or before prepare_products */
    unsigned char *kept;  /* (batch, node.kept) */
    pitot_real *own;      /* (threads, node.own) */
    int32_t weight, bias; /* indices into net.param, -1: none */
    int live;             /* 1: the net's output depends on it */
    int owns_y;           /* 0: y and dy are those of the first input */
    int adds[OP_INPUTS];  /* 1: dx is added to what later readers of that input have left */
} buffers;

struct pitot_net {
    char *name;
    shape input;
    const loss_kind *loss;
    int32_t n_nodes, room_nodes;
    node *node;
    buffers *buffer; /* (n_nodes), made by plan */
    int32_t n_params;
    pitot_net_param *param;
    op_param *declared;           /* (n_params): fan_in of each */
    pitot_real *theta, *gradient; /* all parameters one after another, each aligned to 64 bytes; (room) */
    int64_t *flat;                /* (n_params): where each begins in vectors of D values */
    int64_t size, room;           /* D; values with alignment */
    int64_t batch;                /* 0: not prepared */
    int32_t threads;
    int32_t n_segments;
    segment *segment;
    int64_t scratch;       /* values per thread: the largest node's */
    pitot_real *work;      /* (threads, scratch) */
    int64_t spill;         /* values per thread to hold what is to be added to a dy: the largest sum over a node's inputs */
    pitot_real *sums;      /* (threads-1, local): other threads' gradients of sample-by-sample ops */
    int64_t local;         /* values of parameters of sample-by-sample ops, laid out as in gradient: [0, local) */
    pitot_real *losses;    /* (batch) */
    pitot_net_batch last;  /* of the last forward; .n 0: none */
    int64_t passes;        /* forward passes so far, so that one who relies on the last can tell whether it is still his */
    int has_gradient;      /* 1: backward has been through since */
    int has_tangents;      /* 1: there is room for tangents */
    columns_room *columns; /* NULL: not asked for yet */
    pitot_real **sent;     /* (nodes): (batch, *out) of layers, from the latest pitot_net_send; NULL: none yet */
    hesscale_room *hesscale;
    unsigned char *only; /* (n_nodes) of second.c */
};

/* ---- plan.c ---- */

void plan_free(pitot_net *net);
/* PITOT_ENOMEM if the machine is too small for this batch, or for it with tangents. */
int32_t plan_fits(const pitot_net *net, int64_t batch, int32_t threads, int tangents, pitot_error *error);
/* tangent.c */
void tangents_free(pitot_net *net);
/* dyt of the last node = what the loss's Hessian makes of its yt. */
void tangents_turn(pitot_net *net);
/* Completes `only` (n_nodes), where the nodes whose parameters move are WALK_PARAMETERS: whatever they move, where that reaches the output. */
void tangents_mark(const pitot_net *net, unsigned char *only);
/* yt of all nodes as the parameters move along v (D), of those of `only`, unless it is NULL. After a forward pass. */
void tangents_up(pitot_net *net, const unsigned char *only, const pitot_real *v);
/* out (D) = J' dyt of the last node; with v, the terms of second order added, which take a backward pass. With `only`, parameters of others
   get nothing: out is left alone there. */
void tangents_down(pitot_net *net, const unsigned char *only, const pitot_real *v, pitot_real *out);
/* Zeros in out (D) for parameters that the output does not depend on: nobody else writes there. */
void tangents_clear(const pitot_net *net, pitot_real *out);

/* ---- walk.c: one way through the net. Sample-by-sample segments send a few samples through all their nodes before the next, side by
   side on threads ---- */

typedef struct walk walk;
enum { WALK_VALUES = 1, WALK_PARAMETERS = 2 }; /* walk.only */
struct walk {
    pitot_net *net;
    void (*visit)(const walk *w, int32_t k, span *s, int thread); /* node k on a few samples; s as in forward, dy and dx not set */
    int down;            /* 1: from the last node to the first; after each segment, threads' sums for its parameters are added up */
    const pitot_real *v; /* (D) tangents of the parameters; NULL: none are needed */
    pitot_real *out;     /* (D) what backward gives to parameters, and dy, dx are tangents; NULL: gradients */
    int curved;          /* 1: backward with the terms of second order */
    int diagonal;        /* 1: HesScale's recursion instead of backward; -1: without the terms of second order */
    int64_t from, n;     /* samples from..from+n; n 0: all */
    /* (n_nodes), NULL: all. Nodes that take part are not 0: nobody else moves, has a tangent or wants one back; of them, those with
       WALK_PARAMETERS have parameters that move and get something. */
    const unsigned char *only;
};
void walk_net(const walk *w);
/* Node k on samples begin .. begin+n, as thread `thread` sees them. */
span walk_span(const pitot_net *net, int32_t k, int64_t begin, int64_t n, int thread);
/* The visit of a way down: the node's backward, or tangent_backward. */
void walk_backward(const walk *w, int32_t k, span *s, int thread);
/* tangent.c: that of a way up: the node's tangent. */
void walk_tangent(const walk *w, int32_t k, span *s, int thread);

/* ---- columns.c: G = sum over samples and columns of squares of what a root of the outputs' Hessian gives when it is propagated back ---- */

enum { COLUMNS = 12 }; /* most that go down together */

typedef struct columns_part { /* columns first..first+columns of samples sample..sample+n, at the outputs of a node */
    int64_t sample, n, first, columns;
    const pitot_real *dy; /* (n, columns, *out); gone when the call returns */
    int thread;           /* that calls, below net->threads; 0 for whole-batch nodes */
} columns_part;

typedef struct roots { /* whose columns; of each sample's own loss */
    int64_t n;         /* a sample */
    int drawn;         /* 1: from labels drawn with this seed, each weighing 1/n; 0: exact */
    uint64_t seed;
    const pitot_real *given; /* (batch, n, C) the columns themselves, summed without a weight; NULL: as above */
    /* Gets the columns of every node with parameters as they pass; may be NULL. Threads call side by side. */
    void (*sink)(void *user, int32_t k, const columns_part *part);
    void *user;
} roots;

/* PITOT_ENOMEM. */
int32_t columns_prepare(pitot_net *net);
void columns_free(pitot_net *net);
void sent_free(pitot_net *net); /* send.c */
/* out (D) = scale times the sum over samples from..from+n. */
void columns_squares(pitot_net *net, const roots *r, int64_t from, int64_t n, double scale, pitot_real *out);
/* The same of all samples, but for weights that are used once to a sample: these are left to factor (n_params), `weight` being 1 + index
   into net->param, whose arrays hold until the next columns go down for squares. Returns how many. */
int64_t columns_factors(pitot_net *net, const roots *r, double scale, pitot_real *out, pitot_diagonal_factor *factor);
/* Sends the columns of samples from..from+n down for the sink alone, as far as node `lowest`. */
void columns_send(pitot_net *net, const roots *r, int64_t from, int64_t n, int32_t lowest);
/* to[k] (n, roots.n, *out) = what each column of samples from..from+n, unscaled, makes of the gradient with respect to the output of node k,
   which has parameters; NULL: not wanted. */
void columns_keep(pitot_net *net, const roots *r, int64_t from, int64_t n, pitot_real *const *to);

/* ---- diagonal.c ---- */

/* Room for a diagonal of that kind (PITOT_DIAGONAL_...), also before a batch: none is made later. PITOT_EINVAL: there is no such kind, or draws
   are too few for it; PITOT_ENOTSUP: not of this net; PITOT_ENOMEM. */
int32_t diagonal_prepare(pitot_net *net, int32_t kind, int64_t draws);
/* pitot_net_diagonal of the mean loss, weights left to factor (n_params), *n of them, where its kind allows that: 0 of HesScale's. */
int32_t diagonal_factored(pitot_net *net, int32_t kind, int64_t draws, uint64_t seed, pitot_real *out,
                          pitot_diagonal_factor *factor, int64_t *n, pitot_error *error);

/* ---- squares.c ---- */

typedef struct square_sum { /* weight (dout,din) = scale sum_n q_n (a_n^2)', bias (dout) = scale sum_n q_n; either may be NULL */
    int64_t n, din, dout;
    const pitot_real *a, *q; /* (n,din), (n,dout) */
    double scale;
    pitot_real *weight, *bias;
    pitot_real *room;        /* (squares_room(n, din, dout)), aligned to 64 bytes */
    int32_t threads, kernel; /* kernel: the most that the product may use, one of panel.h's; 0: the best there is */
} square_sum;

int64_t squares_room(int64_t n, int64_t din, int64_t dout);
void squares_sum(const square_sum *s);

/* ---- hesscale.c, second.c ---- */

/* PITOT_ENOMEM; PITOT_ENOTSUP, with a message: an op has no rule. */
int32_t hesscale_prepare(pitot_net *net, pitot_error *error);
void hesscale_free(pitot_net *net);
/* out (D), or (n,D) per sample; kind: PITOT_DIAGONAL_HESSCALE, _HESSCALE_GN or _BL89 */
void hesscale_diagonal(pitot_net *net, int32_t kind, int per_sample, pitot_real *out);

int32_t second_prepare(pitot_net *net); /* PITOT_ENOMEM */
/* out as above: the Hessian's, by one tangent for every direction in which a layer's output can move. PITOT_ENOMEM. */
int32_t second_diagonal(pitot_net *net, int per_sample, pitot_real *out);
/* How many gradients that is, about. */
double second_cost(const pitot_net *net);

/* ---- loss.c ---- */

typedef struct draw_key { /* a draw is a function of these and its column */
    uint64_t seed;
    int64_t sample;
} draw_key;

struct loss_kind {
    const char *name;
    int32_t classes; /* 1: int32 classes, else real targets */
    /* losses (n) of outputs f (n,c); df (n,c), unless NULL: gradient of the mean loss */
    void (*evaluate)(const pitot_net_batch *b, int64_t c, const pitot_real *f, pitot_real *losses, pitot_real *df);
    /* dft (n,c) = d2 loss / df2 ft, of the mean loss; ft (n,c) */
    void (*curvature)(const pitot_net_batch *b, int64_t c, const pitot_real *f, const pitot_real *ft, pitot_real *dft);
    int64_t less; /* columns of the root: c less this */
    /* Columns from..to of S (c, columns), S S' = d2 l / df2 of one sample's loss; s (to-from, c) */
    void (*root)(int64_t c, const pitot_real *f, int64_t from, int64_t to, pitot_real *s);
    /* q (c) = the diagonal of S S' */
    void (*diagonal)(int64_t c, const pitot_real *f, pitot_real *q);
    /* Columns from labels drawn from what f predicts: E[s s'] = d2 l / df2 for each column */
    void (*draw)(int64_t c, const pitot_real *f, const draw_key *key, int64_t from, int64_t to, pitot_real *s);
};
const loss_kind *loss_find(const char *name);
extern const char *const loss_names[]; /* ended by NULL */
int32_t loss_check(const pitot_net *net, pitot_error *error);
/* loss_root.c */
void root_cross_entropy(int64_t c, const pitot_real *f, int64_t from, int64_t to, pitot_real *s);
void root_mse(int64_t c, const pitot_real *f, int64_t from, int64_t to, pitot_real *s);
void root_bce(int64_t c, const pitot_real *f, int64_t from, int64_t to, pitot_real *s);
void diagonal_cross_entropy(int64_t c, const pitot_real *f, pitot_real *q);
void diagonal_mse(int64_t c, const pitot_real *f, pitot_real *q);
void diagonal_bce(int64_t c, const pitot_real *f, pitot_real *q);
void draw_cross_entropy(int64_t c, const pitot_real *f, const draw_key *key, int64_t from, int64_t to, pitot_real *s);
void draw_mse(int64_t c, const pitot_real *f, const draw_key *key, int64_t from, int64_t to, pitot_real *s);
void draw_bce(int64_t c, const pitot_real *f, const draw_key *key, int64_t from, int64_t to, pitot_real *s);
/* 1 if every class is within 0..c-1. */
int loss_classes_good(const int32_t *classes, int64_t n, int64_t c);

#endif
