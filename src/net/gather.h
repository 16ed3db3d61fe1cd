/* gather.h: sums of outer products whose right factors lie scattered, as those of a sparse backpropagated gradient with windows of an image
   or with rows of a weight do: nothing is copied together, and a tile of sums stays in registers while the entries pass. */

#ifndef PITOT_SRC_NET_GATHER_H
#define PITOT_SRC_NET_GATHER_H

#include "pitot/base.h"

enum { GATHER_ROWS = 12, GATHER_LANES = 64 / sizeof(pitot_real) }; /* most rows of a tile; widths are multiples of these lanes */

typedef struct gather_run { /* entries begin..end, their right factors at + offset[entry] behind r */
    int64_t begin, end, at;
} gather_run;

typedef struct gather { /* tile (rows, width) = sum over the runs' entries of l[entry] (rows) times a right factor (width) */
    int64_t rows;       /* one that gather_rows gives */
    const pitot_real *l;
    const int64_t *offset;
    int64_t n_runs;
    const gather_run *run;
} gather;

/* Into out (rows,width), rows ld apart; or, with ld 0, out (width) += the sums of the tile's squares over its rows. */
typedef void (*gather_kernel)(const gather *g, const pitot_real *r, int64_t width, pitot_real *out, int64_t ld);

enum { GATHER_BEST, GATHER_PLAIN, GATHER_AVX2, GATHER_AVX512 };

enum { GATHER_SIDE = 16, GATHER_TOGETHER = 4 };

typedef struct gather_list { /* entries of some channels, one channel's after another's */
    const int64_t *begin;    /* (channels + 1) */
    const int64_t *offset;
    const pitot_real *l;
} gather_list;

/* out (rows, GATHER_SIDE) = sum over channels, entries p of a and q of b, of w[a.offset[p] + b.offset[q]] b.l[q] a.l[p]'. a.l (entries,
   GATHER_SIDE); b.l (entries, rows), rows as gather_rows gives them; b has a multiple of GATHER_TOGETHER entries in each channel. */
typedef void (*gather_pair)(int64_t channels, int64_t rows, const gather_list *a, const gather_list *b, const pitot_real *w,
                            pitot_real *out);

/* This one or, where the processor or the build lacks it, the next lesser. */
gather_kernel gather_choose(int32_t most);
gather_pair gather_choose_pair(int32_t most);

/* The least rows of a tile that hold n <= GATHER_ROWS: values beyond n must be 0. */
int64_t gather_rows(int64_t n);
/* The width that a kernel takes in one pass over the entries: loops over tiles go through it panel by panel. */
int64_t gather_panel(int64_t rows);

#endif
