/* panel.h: products L'R of factors that lie in panels: PANEL_ROWS columns of L, or PANEL_COLUMNS of R, of all samples one after the
   other, 0 where a last panel is not full. What a general product does on every call, packing, is done once; a tile of sums stays in
   registers while the samples pass. */

#ifndef PITOT_SRC_SWEEP_PANEL_H
#define PITOT_SRC_SWEEP_PANEL_H

#include "pitot/base.h"

enum { PANEL_ROWS = 12, PANEL_COLUMNS = 128 / sizeof(pitot_real) };

/* tile (PANEL_ROWS,PANEL_COLUMNS) = sum over n samples of l (n,PANEL_ROWS) times r (n,PANEL_COLUMNS), or + that. */
typedef void (*panel_kernel)(const pitot_real *l, const pitot_real *r, int64_t n, int add, pitot_real *tile);

enum { PANEL_BEST, PANEL_NONE, PANEL_AVX2, PANEL_AVX512 };

/* This one or, where the processor or the build lacks it, the next lesser; NULL: none. */
panel_kernel panel_choose(int32_t most);

#endif
