/* sweep.h: everything per sample from one walk over the layers' inputs A and output gradients G, without a per-sample gradient ever
   standing in memory for more than one sample and one tile.

   A target is a tensor with all of its uses in one pass. The gradient of sample n with respect to it is

       g_n = scale * sum over uses u of  u.scale * tile_u(n)

   and two ways lead to what is wanted of the g_n:

   plain   one use, linear, one position: |g_n|^2 = |A_n|^2 |G_n|^2; g_n'g from whichever of the Gram matrices AA', GG' and the product
           G_n' g A_n is cheaper; sum_n g_n^2 as one product of squares, tile by tile (panel.h) or by BLAS. What cancels, a variance
           below 2^-8 of its second moment or an |g_n - g|^2 below 2^-8 |g_n|^2, is made again as a centred sum in double
   tiled   all else: each sample's tile is made in cache, used for everything, and dropped; sums are centred on the known mean and
           run in double. Where only |g_n|^2 is wanted and positions are few, products of the positions replace the tile (ghost.c)

   g_n'd is taken from tiles that are made anyway, else as G_n' times what a forward pass with the weights d makes of A_n (project.c), or
   from products of samples with those that d was made of (outer.c).
   g_n'g_m: (AA') o (GG'), value by value, of a plain target; else products of tiles of all samples, block by block (gram.c), made
   apart from the others' so that what is wanted beside it changes no bit.

   Threads take samples or blocks in equal runs. The same job gives the same bits on every repetition with the same thread count. What
   is not finite in A, G or the mean passes through to everything that depends on it. */

#ifndef PITOT_SRC_SWEEP_H
#define PITOT_SRC_SWEEP_H

#include "net/window.h"
#include "pitot/base.h"

enum {                   /* sweep_use.kind: tile of sample n, sums over positions t */
       SWEEP_LINEAR = 1, /* (dout,din) = sum_t G_t A_t'; transposed: (din,dout) */
       SWEEP_CONV,       /* (groups*m, k) = G (m,P) U' per group, U the unfolded input (k,P) */
       SWEEP_SCALE,      /* (d) = sum_t G_t * A_t, value by value */
       SWEEP_SUM,        /* (d) = sum_t G_t: a bias */
       SWEEP_GIVEN       /* the tile is G_n itself */
};

typedef struct sweep_use {
    int32_t kind, transposed;
    const pitot_real *a, *g;
    int64_t t;                             /* positions, >= 1; convolution: P = h' w' is taken from the window, and this is 1 */
    int64_t a_sample, a_position;          /* values from one sample, one position to the next; linear, t > 1: a_position >= din, */
    int64_t g_sample, g_position, g_value; /* g_position >= dout. g_value: of SWEEP_SUM, from one value of the sum to the next */
    int64_t din, dout;                     /* linear: din, dout; scale, sum, given: d = dout */
    window w;                              /* convolution: of one group's channels */
    int64_t groups, m;                     /* convolution: groups, and output channels of each */
    int32_t channels_last;                 /* convolution: A (h,w,c), G (h',w',c) per sample */
    int32_t tag;                           /* the caller's own */
    double scale;
} sweep_use;

typedef struct
    sweep_outer { /* factor * sum over n samples of g a', transposed as the weight is; a (n,din), g (n,dout) without gaps */
    int64_t n;    /* 0: none */
    int64_t din, dout;
    int32_t transposed;
    const pitot_real *a, *g;
    double factor;
} sweep_outer;

typedef struct sweep_target {
    int32_t tensor; /* the caller's number for it */
    int32_t n_uses; /* 0: its gradients are 0 */
    const sweep_use *use;
    int64_t size;
    const pitot_real
        *mean; /* (size): g, the mean of the g_n, is job.mean_scale times this. Only SWEEP_ALONG, SWEEP_MOMENTS read it */
    const pitot_real *direction; /* (size): SWEEP_PROJECTION */
    sweep_outer outer;           /* instead of it, of a target for which sweep_outer_pays */
    const pitot_real *values;    /* (size): theta, for histograms over two axes */
    const pitot_real
        *q;         /* (n,dout): SWEEP_CURVATURE, of a target that sweep_curves: its tiles come with q_scale times the sum over */
    double q_scale; /* n of q_n (a_n^2)', too; NULL: they do not */
} sweep_target;

enum { /* sweep_job.wants */
       SWEEP_NORMS = 1,
       SWEEP_ALONG = 2,
       SWEEP_MOMENTS = 4,
       SWEEP_PROJECTION = 8,
       SWEEP_HISTOGRAMS = 16,
       SWEEP_GRAM = 32,
       SWEEP_CURVATURE = 64 /* beside SWEEP_MOMENTS */
};

/* How many of the values g_nj, over all samples n that count and all values j of a target, fall in each bin. The value is
   job.scale * u.scale * (the tile's value, rounded to pitot_real), in double; bin k holds edges[k] <= value < edges[k+1], the last its
   upper edge, too; what lies outside (infinities, too) is counted in the first or the last. NaN is counted nowhere. With two axes the
   second bin is that of theta_j, by the same rules. Exact, whatever way through a target leads to it. */
typedef struct sweep_histogram {
    int64_t bins, y_bins;          /* y_bins 0: one axis */
    const double *edges, *y_edges; /* (bins+1), (y_bins+1): ascending, finite, of equal width up to rounding */
    int64_t *counts;               /* (n_targets, bins) or (n_targets, bins, y_bins); overwritten */
} sweep_histogram;

typedef struct sweep_tile {      /* moments of a run of one target's values */
    int32_t target;              /* index into job.target */
    int32_t thread;              /* below job.threads; what carries the same number is never handed over side by side */
    int64_t index;               /* of this tile: 0 .. sweep_tiles(target)-1 */
    int64_t begin, end;          /* values of the target */
    const pitot_real *mean;      /* (end-begin): of the g_n; this and the next are gone when the call returns */
    const pitot_real *variance;  /* (end-begin): biased, sum_n (g_n - mean)^2 / n; never negative; 0 if n = 1 */
    const pitot_real *curvature; /* (end-begin): of target.q; NULL: it has none */
} sweep_tile;

typedef struct sweep_job {
    int64_t n; /* samples */
    double scale, mean_scale;
    uint32_t wants;
    int32_t n_targets;
    const sweep_target *target;
    double *square;     /* (n): |g_n|^2, summed over targets; overwritten. SWEEP_NORMS */
    double *along;      /* (n): g_n'g, g the mean. SWEEP_ALONG */
    double *deviation;  /* (n): |g_n - g|^2, without cancellation. SWEEP_ALONG */
    double *projection; /* (n): g_n'd, d the targets' directions. SWEEP_PROJECTION */
    double *gram;       /* (n,n): g_n'g_m, symmetric. SWEEP_GRAM */
    int32_t n_histograms, reserved;
    const sweep_histogram *histogram; /* SWEEP_HISTOGRAMS */
    double *largest; /* (n_targets): max over samples that count of |g_nj|, NaN left out. SWEEP_HISTOGRAMS; NULL: not wanted */
    const unsigned char *counts; /* (n): 0: the sample is left out of histograms; NULL: none is */
    /* SWEEP_MOMENTS: each tile of each target once, from several threads side by side, in no particular order. */
    void (*moments)(void *user, const sweep_tile *tile);
    void *user;
    int32_t threads, kernel; /* kernel: the most that a product of squares may use, one of panel.h's; 0: the best there is */
    pitot_real *work;        /* (sweep_work(job)), aligned to 64 bytes */
} sweep_job;

/* Values of pitot_real that `work` must hold for this job; sizes, strides, wants and threads count, pointers do not. -1: beyond 2^60. */
int64_t sweep_work(const sweep_job *job);
/* 1 if a direction is better given as the outer products of n samples; if what is given as such is of this target's shape. */
int sweep_outer_pays(const sweep_target *target, int64_t n);
int sweep_outer_fits(const sweep_target *target, const sweep_outer *outer);
/* 1 if tiles of curvature can be made of a target's q, with n samples. */
int sweep_curves(const sweep_target *target, int64_t n);
/* Tiles that a target is cut into, from its size and the sizes and strides of its uses alone. */
int64_t sweep_tiles(const sweep_target *target);
/* Called from outside parallel regions, like sweep_sum. */
void sweep_run(const sweep_job *job);

/* out (size) = scale * sum over samples and uses of u.scale * tile: what the gradient buffer should hold. Needs the same `work`. */
void sweep_sum(const sweep_job *job, int32_t target, pitot_real *out);

/* out (size) = sum over samples of weight[n] g_n. weight (n). Needs the same `work`. */
void sweep_weighted_sum(const sweep_job *job, int32_t target, const double *weight, pitot_real *out);

/* out (end-begin, size): g_n of samples begin..end, one after another, `stride` values apart. Needs the same `work`. */
void sweep_samples(const sweep_job *job, int32_t target, int64_t begin, int64_t end, pitot_real *out, int64_t stride);

#endif
