/* point.h: the inside of a pitot_point.

   point.c          a point from its settings        point_group.c    which parameters belong to it
   point_chunk.c    samples, passes, sums over chunks  point_product.c  operators, Jacobian
   point_diagonal.c gradient, diagonals              point_reduced.c operators within the samples' span */

#ifndef PITOT_SRC_POINT_H
#define PITOT_SRC_POINT_H

#include "base/sums.h"
#include "net/net.h"
#include "pitot/curve.h"

enum { POINT_KINDS = PITOT_OP_EMPIRICAL_FISHER };

typedef struct point_op { /* what a pitot_linop's self is */
    pitot_point *point;
    int32_t kind;
    int blocks;
} point_op;

struct pitot_point {
    pitot_net *net;
    pitot_data *data;      /* NULL: `batch` */
    pitot_net_batch batch; /* all samples; of a data set: the chunk's, arrays included */
    int64_t first, samples, chunk, columns, outputs;
    uint64_t seed;
    int64_t draws;
    int32_t (*progress)(void *user, int64_t done, int64_t of);
    void *user;

    unsigned char *in;   /* (net.n_params) 1: of the group */
    unsigned char *only; /* (net.n_nodes) for tangents_mark */
    int64_t size;        /* d */
    int whole;           /* the group is everything */

    pitot_real *x, *targets; /* of a chunk of the data set */
    int32_t *classes;
    int64_t *ids;        /* (chunk) which samples of the data set */
    pitot_real *v, *out; /* (D), zeros where the group has nothing; what the net gives. NULL: not needed */
    double *sum;         /* (columns,d), NULL if there is one chunk */
    pitot_real *df;      /* (chunk,C) gradients of samples' own losses; NULL: nobody asked */
    pitot_real *drawn;   /* (chunk,draws,C) the same at drawn labels */

    /* What the net's passes are of. */
    int64_t at, n;   /* samples at..at+n of this point */
    int64_t passes;  /* net.passes after them; -1: none */
    int backward;    /* 1: gradients, too */
    int roots;       /* bits 1 << kind: df, drawn are of them */
    double loss;     /* mean over the chunk */
    const void *bed; /* net.theta, to see that the net is as it was prepared */

    struct within *within; /* NULL: not asked for yet, or `without`: there is none */
    int without, changed;  /* changed: it is of what was before */

    pitot_error error;
    point_op ops[POINT_KINDS], blocks[POINT_KINDS];
};

/* ---- point_group.c ---- */

/* Fills in p.in, p.size, p.whole. */
int32_t group_find(pitot_point *p, const char *names, pitot_error *error);
/* PITOT_EINVAL and a message if a weight of the group, or of the net, is not finite. */
int32_t group_check_weights(const pitot_point *p, pitot_error *error);
/* p.error says where in the group's out (d), made by `what`, a value is not finite; PITOT_OK: nowhere. */
int32_t group_check(pitot_point *p, const char *what, const pitot_real *out);
/* p.v = x (d) in its place; returns what the net should take: x itself if the group is everything. */
const pitot_real *group_scatter(pitot_point *p, const pitot_real *x);
/* out (d) = the group's part of all (D). */
void group_gather(const pitot_point *p, const pitot_real *all, pitot_real *out);
/* sum (d) += share * the group's part of all (D). */
void group_add(const pitot_point *p, double share, const pitot_real *all, double *sum);
/* sum (n) += share * from (n) */
void group_add_values(const pitot_point *p, double share, const pitot_real *from, int64_t n, double *sum);
/* out (d) = sum (d) */
void group_round(const pitot_point *p, double *sum, pitot_real *out);

/* ---- point_chunk.c ---- */

static inline int one_chunk(const pitot_point *p) {
    return p->samples <= p->chunk;
}

/* At the start of a call: forgets the last error; PITOT_EORDER if the net was prepared anew. */
int32_t chunk_begin(pitot_point *p);
/* Passes over the samples from `at` on, as many as a chunk has, unless they are there. */
int32_t chunk_pass(pitot_point *p, int64_t at, int backward);
/* What ggn_mc or empirical_fisher is made of, of the last pass: p.drawn or p.df. */
roots chunk_roots(pitot_point *p, int32_t kind);
/* After a chunk: `done` samples of a pass. */
int32_t chunk_progress(pitot_point *p, int64_t done);
/* The net forgets passes whose samples are the point's memory. */
void chunk_forget(pitot_point *p);
/* ---- point_product.c ---- */

/* dyt of the outputs = what an operator of that kind has between J' and J, of their yt. */
void point_turn(pitot_point *p, int32_t kind);
/* NULL: not one that a point handed out. */
const point_op *point_op_of(const pitot_linop *linop);

/* ---- point_reduced.c ---- */

void within_free(struct within *w); /* NULL allowed */

/* ---- point_chunk.c ---- */

/* Room for p.df or p.drawn, and for the net's products. */
int32_t chunk_prepare(pitot_point *p, int32_t kind);

#endif
