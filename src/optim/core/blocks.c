/* blocks.c: see blocks.h. */

#include "optim/core/blocks.h"

#include "base/blas.h"
#include "optim/core/matrix.h"

#include <limits.h>
#include <string.h>

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static blocks cut(int64_t rows, int64_t cols, int matrix, int64_t most, int whole) {
    blocks b = { .n = { rows, cols } };
    for (int a = 0; a < 2; a++) {
        b.most[a] = whole ? b.n[a] : least(most, b.n[a]);
        b.count[a] = (b.n[a] + b.most[a] - 1) / b.most[a];
        b.has[a] = (a == 0 || matrix) && b.most[a] <= most;
    }
    return b;
}

blocks blocks_of(const pitot_tensor_state *t, int64_t most, int whole) {
    return cut(t->shape[0], t->size / t->shape[0], t->n_dim > 1, most, whole);
}

blocks blocks_of_vector(const pitot_tensor_state *t, int64_t most) {
    return cut(t->size, 1, 0, most, 0);
}

int64_t blocks_count(const blocks *b) {
    return b->count[0] * b->count[1];
}

static int64_t length(const blocks *b, int side, int64_t i) {
    return least(b->most[side], b->n[side] - i * b->most[side]);
}

/* Squares of the lengths of all pieces of an axis. */
static int64_t squares(const blocks *b, int side) {
    int64_t last = length(b, side, b->count[side] - 1);
    return (b->count[side] - 1) * b->most[side] * b->most[side] + last * last;
}

int64_t blocks_factors(const blocks *b, int side) {
    return b->has[side] ? squares(b, side) * b->count[!side] : 0;
}

block blocks_at(const blocks *b, int64_t index) {
    int64_t i = index / b->count[1], j = index % b->count[1];
    block k = { .first = { i * b->most[0], j * b->most[1] }, .n = { length(b, 0, i), length(b, 1, j) }, .index = index, .of = b };
    k.at[0] = b->has[0] ? i * b->count[1] * b->most[0] * b->most[0] + j * k.n[0] * k.n[0] : 0;
    k.at[1] = b->has[1] ? i * squares(b, 1) + j * b->most[1] * b->most[1] : 0;
    return k;
}

int64_t blocks_area(const blocks *b) {
    return b->most[0] * b->most[1];
}

int64_t blocks_side(const blocks *b) {
    int64_t n = 0;
    for (int a = 0; a < 2; a++)
        if (b->has[a] && b->most[a] > n) n = b->most[a];
    return n;
}

int blocks_fit(const blocks *b, const char *optimizer, const char *tensor, pitot_error *error) {
    if (b->n[0] <= INT_MAX && b->n[1] <= INT_MAX) return 1;
    pitot_fail(error, PITOT_ENOTSUP, "optimizer %s: an axis of %s is too long for it", optimizer, tensor);
    return 0;
}

void blocks_slots(pitot_layout *l, const blocks *b, const char *rows, const char *columns) {
    for (int a = 0; a < 2; a++) pitot_slot_add(l, a ? columns : rows, 0, b->has[a] ? 1 : -1, (int64_t[]){ blocks_factors(b, a) });
}

void blocks_diagonal(const blocks *b, double scale, void *const factors[2]) {
    for (int64_t j = 0; j < blocks_count(b); j++) {
        block k = blocks_at(b, j);
        for (int a = 0; a < 2; a++)
            if (b->has[a]) matrix_identity(k.n[a], scale, (pitot_real *)factors[a] + k.at[a]);
    }
}

void blocks_identity(const blocks *b, void *const factors[2]) {
    blocks_diagonal(b, 1, factors);
}

static int64_t start(const block *k) {
    return k->first[0] * k->of->n[1] + k->first[1];
}

void block_gather(const block *k, int side, const pitot_real *g, double keep, double add, pitot_real *factors) {
    int64_t n = k->n[side];
    pitot_real *f = factors + k->at[side];
    blas_syrk(side, n, k->n[!side], add, g + start(k), k->of->n[1], keep, f, n);
    matrix_mirror(n, f);
}

void blocks_gather(const blocks *b, const pitot_real *g, double keep, double add, void *const factors[2]) {
    for (int64_t j = 0; j < 2 * blocks_count(b); j++) {
        block k = blocks_at(b, j / 2);
        int side = (int)(j % 2);
        if (b->has[side]) block_gather(&k, side, g, keep, add, factors[side]);
    }
}

static void copy_rows(int64_t rows, int64_t cols, int64_t ld, const pitot_real *x, pitot_real *out) {
    for (int64_t i = 0; i < rows; i++) memcpy(out + i * ld, x + i * ld, (size_t)cols * sizeof *x);
}

void block_apply(const block *k, int trans, const pitot_real *left, const pitot_real *right, const pitot_real *x, pitot_real *out,
                 pitot_real *work) {
    const int *has = k->of->has;
    int64_t ld = k->of->n[1], rows = k->n[0], cols = k->n[1], ldw = has[0] ? cols : ld;
    const pitot_real *half = x + start(k);
    pitot_real *to = out + start(k);
    if (!has[0] && !has[1]) copy_rows(rows, cols, ld, half, to);
    if (has[0])
        blas_gemm(trans, 0, rows, cols, rows, 1, left + k->at[0], rows, half, ld, 0, has[1] ? work : to, has[1] ? cols : ld);
    if (has[1]) blas_gemm(0, !trans, rows, cols, cols, 1, has[0] ? work : half, ldw, right + k->at[1], cols, 0, to, ld);
}

void block_view(const block *k, int side, const pitot_real *factors, pitot_preconditioner *view) {
    view->axis = side;
    view->n = k->n[side];
    view->factor = factors + k->at[side];
    view->rows = k->of->n[0];
    view->columns = k->of->n[1];
    view->first_row = k->first[0];
    view->n_rows = k->n[0];
    view->first_column = k->first[1];
    view->n_columns = k->n[1];
}

int block_of_view(const blocks *b, int32_t k, block *out, int *side) {
    int sides = b->has[0] + b->has[1];
    if (!sides || k / sides >= blocks_count(b)) return 0;
    *out = blocks_at(b, k / sides);
    *side = sides == 2 ? k % 2 : b->has[1];
    return 1;
}
