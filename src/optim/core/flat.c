/* flat.c: see flat.h. */

#include "optim/core/flat.h"

#include "pitot/hot.h"
#include "pitot/probe.h"

#include <string.h>

enum { BLOCK = 1 << 16 }; /* values that one thread adds up by itself */

void flat_gradient(const pitot_stepping *s, pitot_real *g) {
    for (int64_t i = 0; i < s->n; i++) {
        const pitot_tensor_state *t = &s->tensor[i];
        if (t->g) memcpy(g + t->at, t->g, (size_t)t->size * sizeof *g);
        else memset(g + t->at, 0, (size_t)t->size * sizeof *g);
    }
}

void flat_parameters(const pitot_stepping *s, pitot_real *x) {
    for (int64_t i = 0; i < s->n; i++) memcpy(x + s->tensor[i].at, s->tensor[i].x, (size_t)s->tensor[i].size * sizeof *x);
}

PITOT_HOT static void move(pitot_real *restrict x, const pitot_real *restrict from, pitot_real by, const pitot_real *restrict d,
                           int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] = from[i] + by * d[i];
}

void flat_move(const pitot_stepping *s, const pitot_real *from, double by, const pitot_real *d) {
    for (int64_t i = 0; i < s->n; i++) {
        const pitot_tensor_state *t = &s->tensor[i];
        if (!d) memcpy(t->x, from + t->at, (size_t)t->size * sizeof *from);
        else if (t->g) move(t->x, from + t->at, (pitot_real)by, d + t->at, t->size);
    }
}

double flat_dot(const pitot_real *x, const pitot_real *y, int64_t n) {
    double sum = 0;
    for (int64_t at = 0; at < n; at += BLOCK) sum += pitot_dot(x + at, y + at, n - at < BLOCK ? n - at : BLOCK);
    return sum;
}

PITOT_HOT static void add(pitot_real *restrict y, pitot_real by, const pitot_real *restrict x, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] += by * x[i];
}

PITOT_HOT static void scale_add(pitot_real *restrict y, pitot_real by, const pitot_real *restrict x, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] = by * y[i] + x[i];
}

void flat_add(pitot_real *y, double by, const pitot_real *x, int64_t n) {
    add(y, (pitot_real)by, x, n);
}

void flat_scale_add(pitot_real *y, double by, const pitot_real *x, int64_t n) {
    scale_add(y, (pitot_real)by, x, n);
}

int32_t flat_loss(const pitot_stepping *s, double *loss) {
    const pitot_optim_source *from = s->source;
    int64_t samples, columns;
    return from->batch ? from->batch(from->user, &samples, &columns, loss) : from->loss(from->user, loss);
}
