/* singd_use.c: the gradient times C C' and K K', and these two to look at. */

#include "base/blas.h"
#include "optim/core/optimizer.h"
#include "optim/core/singd.h"
#include "pitot/hot.h"

#include <string.h>

/* ---- directions ---- */

PITOT_HOT static void transpose(const pitot_real *from, int64_t rows, int64_t columns, pitot_real *to) {
    enum { TILE = 16 };
    for (int64_t i = 0; i < rows; i += TILE)
        for (int64_t k = 0; k < columns; k++)
            for (int64_t q = i; q < rows && q < i + TILE; q++) to[k * rows + q] = from[q * columns + k];
}

/* x (n,d) becomes x T T'. */
static void twice(const structure *t, const pitot_real *k, pitot_real *x, int64_t n, pitot_real *mid, pitot_real *room) {
    structure_rows(t, k, 0, x, n, mid, room);
    structure_rows(t, k, 1, mid, n, x, room);
}

PITOT_HOT static void scale_row(const pitot_real *restrict g, const pitot_real *restrict k, int64_t n, pitot_real c,
                                pitot_real *restrict d) {
    for (int64_t i = 0; i < n; i++) d[i] = c * k[i] * k[i] * g[i];
}

/* Straight from the gradient to the direction. */
static void diagonal_direction(const singd_job *j, const layer *l, int64_t group) {
    const pitot_tensor_state *w = &j->s->tensor[l->weight], *b = l->bias >= 0 ? &j->s->tensor[l->bias] : NULL;
    const pitot_real *k = j->room.k, *c = j->room.c;
    for (int64_t i = 0; i < l->rows; i++) {
        int64_t row = group * l->rows + i;
        scale_row(w->g + row * l->values, k, l->values, c[i] * c[i], j->room.direction + w->at + row * l->values);
        if (b && b->g) j->room.direction[b->at + row] = c[i] * c[i] * k[l->values] * k[l->values] * b->g[row];
    }
}

static void group_direction(const singd_job *j, const layer *l, int64_t group) {
    const singd_room *r = &j->room;
    structure tk = singd_structure(j->o, l, 0), tc = singd_structure(j->o, l, 1);
    singd_load(j, l, SINGD_K, group, structure_size(&tk), r->k);
    singd_load(j, l, SINGD_C, group, structure_size(&tc), r->c);
    if (singd_is(j->o, STRUCTURE_DIAGONAL)) {
        diagonal_direction(j, l, group);
        return;
    }
    layer_gather(l, j->s->tensor, group, r->grad);
    twice(&tk, r->k, r->grad, l->rows, r->mid, r->structure);
    transpose(r->grad, l->rows, l->columns, r->mid);
    memcpy(r->grad, r->mid, (size_t)(l->rows * l->columns) * sizeof *r->mid);
    twice(&tc, r->c, r->grad, l->columns, r->mid, r->structure);
    transpose(r->grad, l->columns, l->rows, r->mid);
    layer_scatter(l, j->s->tensor, group, r->mid, r->direction);
}

int32_t singd_direction(singd_job *j, const layer *l) {
    const pitot_tensor_state *w = &j->s->tensor[l->weight], *b = l->bias >= 0 ? &j->s->tensor[l->bias] : NULL;
    for (int64_t group = 0; group < l->groups; group++) group_direction(j, l, group);
    int good = finite_values(j->room.direction + w->at, w->size) && (!b || finite_values(j->room.direction + b->at, b->size));
    return good ? PITOT_OK : PITOT_EHOST;
}

/* ---- views ---- */

int singd_is_viewed(const singd_options *o, const layer *l) {
    return !singd_is(o, STRUCTURE_DIAGONAL) && l->rows <= SINGD_VIEWED && l->columns <= SINGD_VIEWED;
}

/* The direction is the gradient over 1 / (c_i k_j)^2. */
static int32_t look_at_diagonal(singd_job *j, const layer *l, int64_t i, int32_t f, pitot_preconditioner *view) {
    const pitot_tensor_state *t = &j->s->tensor[i];
    pitot_real *factor = j->room.direction + t->at;
    if (f > 0) return PITOT_EINVAL;
    for (int64_t group = 0; group < l->groups; group++) {
        singd_load(j, l, SINGD_K, group, l->columns, j->room.k);
        singd_load(j, l, SINGD_C, group, l->rows, j->room.c);
        for (int64_t r = 0; r < l->rows; r++)
            for (int64_t k = 0; k < t->size / (l->groups * l->rows); k++) {
                pitot_real ck = j->room.c[r] * j->room.k[i == l->bias ? l->values : k];
                factor[(group * l->rows + r) * (t->size / (l->groups * l->rows)) + k] = 1 / (ck * ck);
            }
    }
    view->axis = -1;
    view->n = t->size;
    view->factor = factor;
    return PITOT_OK;
}

static int32_t look_at_side(singd_job *j, const layer *l, int32_t f, pitot_preconditioner *view) {
    int64_t group = f / 2;
    int side = f % 2 == 0, status; /* rows first */
    if (!singd_is_viewed(j->o, l)) return PITOT_ENOTSUP;
    if (group >= l->groups) return PITOT_EINVAL;
    structure t = singd_structure(j->o, l, side);
    int64_t n = t.d, other = l->rows * l->rows;
    pitot_real *factor = j->room.views + l->views + 2 * group * (other + l->columns * l->columns) + (side ? 0 : 2 * other),
               *inverse = factor + n * n, *k = side ? j->room.c : j->room.k;
    singd_load(j, l, side ? SINGD_C : SINGD_K, group, structure_size(&t), k);
    memset(inverse, 0, (size_t)(n * n) * sizeof *inverse);
    for (int64_t i = 0; i < n; i++) inverse[i * (n + 1)] = 1;
    twice(&t, k, inverse, n, factor, j->room.structure);
    for (int64_t i = 0; i < n * n; i++) j->room.work[i] = (double)inverse[i];
    status = blas_inverse(n, j->room.work);
    for (int64_t i = 0; i < n * n; i++) factor[i] = (pitot_real)j->room.work[i];
    view->axis = !side;
    view->bias_column = !side && l->bias >= 0;
    view->bias = view->bias_column ? (int32_t)l->bias + 1 : 0;
    view->n = n;
    view->factor = factor;
    view->inverse = inverse;
    view->rows = l->groups * l->rows;
    view->columns = view->n_columns = l->columns;
    view->first_row = group * l->rows;
    view->n_rows = l->rows;
    return status ? PITOT_EINVAL : PITOT_OK;
}

int32_t singd_look(singd_job *j, int64_t i, int32_t f, pitot_preconditioner *view) {
    const layer *l = layer_of(j->room.layer, j->n, i);
    for (int64_t k = 0; k < j->n && !l; k++)
        if (j->room.layer[k].bias == i && singd_is(j->o, STRUCTURE_DIAGONAL)) l = &j->room.layer[k];
    if (!l) return PITOT_EINVAL;
    view->power = -1;
    view->computed = (j->s->t - 1) / j->o->t * j->o->t + 1;
    return singd_is(j->o, STRUCTURE_DIAGONAL) ? look_at_diagonal(j, l, i, f, view) : look_at_side(j, l, f, view);
}
