/* kron.h: the inside of a pitot_kron.

   kron.c          making, blocks, operator    kron_factors.c  A and B from what passes through the net
   kron_average.c  KFRA's recursion            kron_eigen.c    eigenbases, EKFAC's values, inverses */

#ifndef PITOT_SRC_KRON_H
#define PITOT_SRC_KRON_H

#include "net/conv.h"
#include "net/net.h"
#include "pitot/kron.h"

typedef struct kron_block {
    int32_t node, group;
    int32_t weight, bias;          /* ids of parameters; -1: not in this block */
    int64_t rows, columns, values; /* values: of a row of the weight; columns = values + 1 with a bias */
    int64_t weight_at, bias_at;    /* in vectors of D values */
    int64_t positions;             /* T */
    int is_conv;
    conv geometry;       /* of a convolution */
    pitot_real *a, *b;   /* (columns,columns), (rows,rows) */
    pitot_real *ua, *ub; /* rows are their eigenvectors; NULL: not made yet */
    double *va, *vb;     /* their eigenvalues, >= 0, ascending */
    double *corrected;   /* (rows,columns): EKFAC's; NULL: va vb' */
    pitot_real *sums;    /* (threads, most of rows^2 and rows*columns) while k is made */
    int64_t n_sums;      /* of one thread */
} kron_block;

struct pitot_kron {
    int32_t kind, reduce, corrected;
    int64_t size; /* D */
    int64_t n;    /* blocks */
    kron_block *block;
    pitot_net *net; /* while k is made; NULL afterwards */
    int64_t draws;
    uint64_t seed;
    pitot_real *scratch; /* (threads, n_scratch) while k is made */
    int64_t n_scratch;
    pitot_real *work; /* 3 times the largest rows * columns */
    int64_t largest;
    char *names;       /* one after another */
    const char **name; /* (n) */
    int decomposed;
};

enum { KRON_SAMPLES = 32 }; /* of a linear layer that are squared together */

/* kron_factors.c: status, and b of every block but KFRA's. */
int32_t kron_make_factors(pitot_kron *k, pitot_error *error);
/* What the layer saw: linear, rows (n, columns) of samples from..from+n; convolution, (columns, T) of sample `from`. */
void kron_inputs(const pitot_net *net, const kron_block *b, int64_t from, int64_t n, pitot_real *out);
/* Calls sink for every column of the kind's root, and returns what its squares are to be multiplied with; < 0: a status. */
double kron_send(pitot_kron *k, void (*sink)(void *user, int32_t at, const columns_part *part));
/* Adds threads' sums of block b to thread 0's. */
void kron_sum_threads(const pitot_kron *k, kron_block *b, int64_t size);

/* kron_average.c */
int32_t kron_average(pitot_kron *k, pitot_error *error);

/* kron_eigen.c */
int32_t kron_decompose(pitot_kron *k);
int32_t kron_correct(pitot_kron *k);
/* apply of EKFAC; self: a pitot_kron */
int32_t kron_multiply_corrected(void *self, const pitot_real *x, pitot_real *y, int64_t columns);

/* kron.c: [W b] (rows, columns) of a vector, and back. */
void kron_pack(const kron_block *b, const pitot_real *x, pitot_real *out);
void kron_unpack(const kron_block *b, const pitot_real *in, pitot_real *y);

#endif
