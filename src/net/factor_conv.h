/* factor_conv.h: columns of a factor at a convolution. A ReLU and a pooling window pass the same positions of a sample in every column, so
   that most of what came back to its outputs is 0 in all of them: what is left, the entries, is all that is multiplied. */

#ifndef PITOT_SRC_NET_FACTOR_CONV_H
#define PITOT_SRC_NET_FACTOR_CONV_H

#include "net/conv.h"
#include "net/factor.h"
#include "net/gather.h"

/* ---- factor_form.c: the columns themselves, v = S U' of one output channel at a time ---- */

enum { FORM_SLOTS = 8 }; /* most samples that are added up together */

typedef struct form_room form_room;

typedef struct forming { /* of one convolution */
    conv c;
    int64_t wide, row; /* positions in a row of the padded image; values of a window that lie together in it */
    int64_t image;     /* values of one */
    int64_t *offset;   /* (P): where a position's window begins in it */
    int64_t ld;        /* values from one row of a tile to the next */
    gather_kernel kernel;
    int32_t threads, slots;
    form_room *room; /* (threads) */
} forming;

/* With room for images of up to `slots` samples at a time to a thread: fewer where they are large. 0: no memory. form_end is due in any
   case. */
int form_begin(forming *f, const node *n, int32_t threads, int32_t slots);
void form_end(forming *f);
/* The image of one group's channels, x (channels, in0, in1), of all that `thread` forms there until the next. */
void form_image(const forming *f, const pitot_real *x, int64_t slot, int thread);
/* A tile (columns, ld): columns of the sample of slot 0 with respect to the weights of one output channel, K values each in the order (ky,
   kx, channel). s: what came back to that channel's P positions, values of one column `next` before the next's; columns <= GATHER_ROWS. Lost
   with the thread's next. */
const pitot_real *form_channel(const forming *f, const pitot_real *s, int64_t next, int64_t columns, int thread);

typedef struct form_sums {                /* of the columns of samples in slots 0..samples, with coefficients */
    int64_t samples, next, columns, rows; /* rows as gather_rows gives them */
    const pitot_real *s[FORM_SLOTS];      /* as above, of any number of columns */
    const pitot_real *c[FORM_SLOTS];      /* (columns, rows) */
    double bias[GATHER_ROWS];             /* what the channel's bias gets is added here */
} form_sums;

/* A tile (rows, ld): row r the sum over samples and columns of c[r] times the column. */
const pitot_real *form_sum(const forming *f, form_sums *of, int thread);

/* at (P+1) = the positions where some column is not 0; some (P) is scratch. Returns how many. */
int64_t form_entries(const pitot_real *s, int64_t next, int64_t columns, int64_t positions, int64_t *at, int32_t *some);

/* ---- factor_pairs.c: their inner products without forming them, from those of the windows of two samples ---- */

/* k (a.columns, b.columns) += scale A'B of the weights of node `of`; a == b: the upper triangle. 1: done; 0: nothing is done, forming is
   cheaper; -1: no memory. */
int pairs_product(const factor *a, const factor *b, int32_t of, double scale, double *k);

#endif
