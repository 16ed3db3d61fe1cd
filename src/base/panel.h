/* panel.h: products L'R of factors that lie in panels: PANEL_ROWS columns of L, or PANEL_COLUMNS of R, of all samples one after the
   other, 0 where a last panel is not full. What a general product does on every call, packing, is done once; a tile of sums stays in
   registers while the samples pass. */

#ifndef PITOT_SRC_PANEL_H
#define PITOT_SRC_PANEL_H

#include "pitot/base.h"

enum { PANEL_ROWS = 12, PANEL_COLUMNS = 128 / sizeof(pitot_real) };

/* tile (PANEL_ROWS,PANEL_COLUMNS) = sum over n samples of l (n,PANEL_ROWS) times r (n,PANEL_COLUMNS), or + that; its rows lie ld apart. */
typedef void (*panel_kernel)(const pitot_real *l, const pitot_real *r, int64_t n, int add, pitot_real *tile, int64_t ld);

enum { PANEL_BEST, PANEL_NONE, PANEL_AVX2, PANEL_AVX512 };

/* This one or, where the processor or the build lacks it, the next lesser; NULL: none. */
panel_kernel panel_choose(int32_t most);

typedef struct panel_entry { /* a sample that is not 0 in one column of two factors L */
    int32_t at;              /* where it begins in a panel of R */
    pitot_real l[2];
} panel_entry;

/* The same for one column of both of them at once, from its entries alone, n of them, in order: first, second (PANEL_COLUMNS). The same bits as
   from all samples where R is finite. */
typedef void (*panel_gather)(const panel_entry *entry, int64_t n, const pitot_real *r, int add, pitot_real *first,
                             pitot_real *second);
panel_gather panel_choose_gather(int32_t most);

/* One panel: out (rows,panel) = (factor*x)^2, or factor*x; x (rows,columns), rows ld apart, 0 from `columns` on. */
void panel_square(const pitot_real *x, int64_t ld, int64_t rows, int64_t columns, int64_t panel, pitot_real factor,
                  pitot_real *out);
void panel_scale(const pitot_real *x, int64_t ld, int64_t rows, int64_t columns, int64_t panel, pitot_real factor, pitot_real *out);

#endif
