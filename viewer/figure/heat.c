/* heat.c: cells as colours. See page.h.

   All cells of a level are one path, runs of neighbours one rectangle in it: vector files stay small, and no hairlines show between
   cells, since each reaches a little into its neighbours. */

#include "page.h"

#include <stdlib.h>

int heat_make(heat *h, int64_t nx, int64_t ny) {
    *h = (heat){ nx, ny, malloc((size_t)(nx + 1) * sizeof(double)), malloc((size_t)(ny + 1) * sizeof(double)),
                 malloc((size_t)(nx * ny) + 1) };
    if (h->x && h->y && h->level) return 1;
    heat_free(h);
    return 0;
}

void heat_free(heat *h) {
    free(h->x);
    free(h->y);
    free(h->level);
    *h = (heat){ 0 };
}

static int64_t add_level(const view *v, const heat *h, int level) {
    const double over = v->snap ? 0.5 * v->column : 0.15;
    int64_t count = 0;
    cairo_new_path(v->cr);
    for (int64_t j = 0; j < h->ny; j++) {
        const signed char *row = h->level + j * h->nx;
        double y = h->y[j] < h->y[j + 1] ? h->y[j] : h->y[j + 1], high = h->y[j] + h->y[j + 1] - 2 * y;
        for (int64_t i = 0, k; i < h->nx; i = k) {
            for (k = i + 1; k < h->nx && row[k] == row[i]; k++) continue;
            if (row[i] != level) continue;
            cairo_rectangle(v->cr, h->x[i], y - over, h->x[k] - h->x[i] + over, high + over);
            count++;
        }
    }
    return count;
}

void heat_draw(const view *v, const heat *h, rgb (*colour)(double)) {
    cairo_save(v->cr);
    if (v->snap) cairo_set_antialias(v->cr, CAIRO_ANTIALIAS_NONE);
    for (int level = HEAT_LEVELS - 1; level >= HEAT_ALARM; level--) {
        if (level == HEAT_NONE || add_level(v, h, level) == 0) continue;
        ink_set(v->cr, level == HEAT_ALARM ? ink_alarm : colour((double)level / (HEAT_LEVELS - 1)));
        cairo_fill(v->cr);
    }
    cairo_restore(v->cr);
}
