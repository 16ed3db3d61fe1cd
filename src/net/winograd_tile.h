/* winograd_tile.h: the transforms of winograd.h. Channels lie side by side in memory, a vector of lanes of them goes through at once; the
   transformed values of point i of a tile lie i * stride behind its first. `wide`, values from one row of an image to the next, counts
   all channels; so does `deep`, from one place to the next. */

#ifndef PITOT_SRC_NET_WINOGRAD_TILE_H
#define PITOT_SRC_NET_WINOGRAD_TILE_H

#include "pitot/base.h"

enum { TILE_MOST = 6 /* side */, TILE_LANES = 64 / sizeof(pitot_real) };

typedef struct tiles { /* of an image (rows, columns, deep) with whatever its tiles reach: `deep` is a multiple of the lanes */
    int64_t count[2];  /* down, across */
    int64_t side;      /* of a tile of the input, and of its points: 4 or 6 */
    int64_t step;      /* places from one tile to the next, and of a tile of the output: side + 1 - size of the kernel */
    int64_t wide, deep;
    int64_t stride; /* from one point's values (tiles, deep) to the next point's */
} tiles;

/* points = B' x B of every tile of side x side places. */
void tiles_of_input(const tiles *t, const pitot_real *x, pitot_real *points);
/* The transpose: x += B points B'. */
void tiles_to_input(const tiles *t, const pitot_real *points, pitot_real *x);
/* y = A' points A, of every tile step x step places. */
void tiles_to_output(const tiles *t, const pitot_real *points, pitot_real *y);
/* The transpose: points = A y A'. */
void tiles_of_output(const tiles *t, const pitot_real *y, pitot_real *points);

typedef struct kernels { /* (rows, columns) kernels of size x size values, from one row's, column's to the next: */
    int64_t rows, columns, row, column;
    int64_t size, side; /* 3 or, with the side 6, 5 */
    int64_t ld, stride; /* of points: from one row to the next, a multiple of the lanes; from one point to the next */
} kernels;

/* points (side * side, rows, ld) = G w G', 0 where there are no columns. */
void tiles_of_kernels(const kernels *k, const pitot_real *w, pitot_real *points);
/* The transpose: w = G' points G. Overwrites w. */
void tiles_to_kernels(const kernels *k, const pitot_real *points, pitot_real *w);

/* (channels, rows, columns) to places with their channels side by side, and back, adding `bias` (channels) unless it is NULL. */
void tiles_interleave(const pitot_real *x, int64_t channels, int64_t rows, int64_t columns, pitot_real *to, int64_t wide,
                      int64_t deep);
void tiles_separate(const pitot_real *from, int64_t wide, int64_t deep, int64_t channels, int64_t rows, int64_t columns,
                    const pitot_real *bias, pitot_real *y);

#endif
