/* structure.c: see structure.h. A matrix is a list of parts, stored one behind the other: rectangles of values, and runs of a diagonal. Of its
   rows there are bands alike: those that hold one value on the diagonal and nothing else, and those that do not. */

#include "optim/core/structure.h"

#include "base/blas.h"
#include "optim/core/toeplitz.h"
#include "pitot/hot.h"

#include <string.h>

enum { FULL, LOWER, UPPER, DIAGONAL }; /* LOWER, UPPER: squares on the diagonal, with zeros stored */
enum { ROWS = 64 /* that are written out and multiplied together */ };

typedef struct part {
    int64_t kind, row, column, rows, columns, at;
    double weight; /* of its entries in Pi: 1 on the diagonal, 2 beside it */
} part;

typedef struct band { /* of rows */
    int64_t row, rows, column, columns;
    int diagonal;
} band;

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int is_toeplitz(const structure *s) {
    return s->kind >= STRUCTURE_TRIL_TOEPLITZ;
}

static int is_lower(const structure *s) {
    return s->kind == STRUCTURE_TRIL_TOEPLITZ;
}

structure structure_of(int64_t kind, int64_t d, int64_t block, int64_t top, int64_t bottom, int64_t rank) {
    structure s = { .kind = kind, .d = d, .block = smaller(block, d) };
    if (kind == STRUCTURE_DENSE) s.block = d;
    s.top = smaller(kind == STRUCTURE_HIERARCHICAL ? top : rank, d);
    s.bottom = smaller(bottom, d - s.top);
    return s;
}

/* ---- parts ---- */

static part hierarchical_part(const structure *s, int64_t i) {
    int64_t k = s->top, e = s->bottom, c = s->d - k - e;
    part list[] = { { FULL, 0, 0, k, k, 0, 1 },
                    { FULL, 0, k, k, c + e, k * k, 2 },
                    { DIAGONAL, k, k, c, c, k * s->d, 1 },
                    { FULL, k + c, k, e, c, k * s->d + c, 2 },
                    { FULL, k + c, k + c, e, e, k * s->d + c + e * c, 1 } };
    return list[i];
}

/* A triangle of k rows, a rectangle, the rest of the diagonal. */
static part triangle_part(const structure *s, int64_t i) {
    int64_t k = s->top, c = s->d - k, kind = s->kind;
    int lower = kind == STRUCTURE_TRIL_TOP_LEFT_DIAG || kind == STRUCTURE_TRIL_BOTTOM_RIGHT_DIAG;
    int last = kind == STRUCTURE_TRIL_TOP_LEFT_DIAG || kind == STRUCTURE_TRIU_TOP_LEFT_DIAG; /* the triangle comes last */
    int64_t from = last ? c : 0, rest = last ? 0 : k;
    part rectangle = lower == last ? (part){ FULL, from, rest, k, c, k * k, 2 } : (part){ FULL, rest, from, c, k, k * k, 2 };
    if (i == 0) return (part){ lower ? LOWER : UPPER, from, from, k, k, 0, 1 };
    return i == 1 ? rectangle : (part){ DIAGONAL, rest, rest, c, c, k * k + k * c, 1 };
}

static int64_t parts_of(const structure *s) {
    if (s->kind == STRUCTURE_DENSE || s->kind == STRUCTURE_DIAGONAL) return 1;
    if (s->kind == STRUCTURE_BLOCK) return (s->d + s->block - 1) / s->block;
    return s->kind == STRUCTURE_HIERARCHICAL ? 5 : 3;
}

static part part_of(const structure *s, int64_t i) {
    int64_t b = s->block, from = i * b, n = smaller(b, s->d - from);
    if (s->kind == STRUCTURE_DIAGONAL) return (part){ DIAGONAL, 0, 0, s->d, s->d, 0, 1 };
    if (s->kind == STRUCTURE_DENSE || s->kind == STRUCTURE_BLOCK) return (part){ FULL, from, from, n, n, from * b, 1 };
    return s->kind == STRUCTURE_HIERARCHICAL ? hierarchical_part(s, i) : triangle_part(s, i);
}

static int64_t part_size(const part *p) {
    return p->kind == DIAGONAL ? p->rows : p->rows * p->columns;
}

/* Bands follow one another from the first row to the last. */
static band band_at(const structure *s, int64_t row) {
    band b = { row, s->d - row, 0, s->d, 0 };
    for (int64_t i = s->kind == STRUCTURE_BLOCK ? row / s->block : 0; i < parts_of(s); i++) {
        part p = part_of(s, i);
        if (p.row > row || row >= p.row + p.rows || part_size(&p) == 0) continue;
        b.rows = smaller(b.rows, p.row + p.rows - row);
        if (s->kind == STRUCTURE_BLOCK) return (band){ row, b.rows, p.column, p.columns, 0 };
        b.diagonal += p.kind == DIAGONAL ? 1 : 2;
    }
    b.diagonal = b.diagonal == 1;
    return b;
}

int64_t structure_size(const structure *s) {
    if (is_toeplitz(s)) return s->d;
    part p = part_of(s, parts_of(s) - 1);
    return p.at + part_size(&p);
}

int64_t structure_room(const structure *s) {
    return is_toeplitz(s) ? toeplitz_room(s->d) : s->kind == STRUCTURE_DIAGONAL ? 1 : 2 * ROWS * s->d;
}

void structure_identity(const structure *s, pitot_real *k) {
    memset(k, 0, (size_t)structure_size(s) * sizeof *k);
    if (is_toeplitz(s)) k[0] = 1;
    for (int64_t i = 0; !is_toeplitz(s) && i < parts_of(s); i++) {
        part p = part_of(s, i);
        for (int64_t j = 0; p.weight == 1 && j < p.rows; j++) k[p.at + (p.kind == DIAGONAL ? j : j * (p.columns + 1))] = 1;
    }
}

double structure_trace(const structure *s, const pitot_real *k) {
    double sum = 0;
    if (is_toeplitz(s)) return (double)s->d * (double)k[0];
    for (int64_t i = 0; i < parts_of(s); i++) {
        part p = part_of(s, i);
        for (int64_t j = 0; p.weight == 1 && j < p.rows; j++)
            sum += (double)k[p.at + (p.kind == DIAGONAL ? j : j * (p.columns + 1))];
    }
    return sum;
}

/* ---- products with rows ---- */

PITOT_HOT static void add_scaled(pitot_real *restrict y, const pitot_real *restrict x, const pitot_real *restrict k, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] += x[i] * k[i];
}

/* y += x P or x P', rows of d values. */
static void add_part(const structure *s, const part *p, const pitot_real *k, int trans, const pitot_real *x, int64_t n,
                     pitot_real *y) {
    int64_t d = s->d, from = trans ? p->column : p->row, to = trans ? p->row : p->column;
    for (int64_t i = 0; p->kind == DIAGONAL && i < n; i++) add_scaled(y + i * d + from, x + i * d + from, k + p->at, p->rows);
    if (p->kind != DIAGONAL && part_size(p) > 0)
        blas_gemm(0, trans, n, trans ? p->rows : p->columns, trans ? p->columns : p->rows, 1, x + from, d, k + p->at, p->columns, 1,
                  y + to, d);
}

/* Of x only columns column..column+columns are not 0. */
static void rows_between(const structure *s, const pitot_real *k, int trans, const pitot_real *x, int64_t n, int64_t column,
                         int64_t columns, pitot_real *y) {
    int64_t first = s->kind == STRUCTURE_BLOCK ? column / s->block : 0;
    for (int64_t i = 0; i < n; i++) memset(y + i * s->d, 0, (size_t)s->d * sizeof *y);
    for (int64_t i = first; i < parts_of(s); i++) {
        part p = part_of(s, i);
        if (s->kind == STRUCTURE_BLOCK && p.row >= column + columns) break;
        add_part(s, &p, k, trans, x, n, y);
    }
}

void structure_rows(const structure *s, const pitot_real *k, int trans, const pitot_real *x, int64_t n, pitot_real *y,
                    pitot_real *room) {
    if (is_toeplitz(s)) toeplitz_rows(s->d, k, is_lower(s) != trans, x, n, y, room);
    else rows_between(s, k, trans, x, n, 0, s->d, y);
}

/* ---- Pi ---- */

PITOT_HOT static void column_squares(const pitot_real *x, int64_t n, int64_t d, int64_t columns, pitot_real scale,
                                     pitot_real *restrict out) {
    for (int64_t r = 0; r < n; r++)
        for (int64_t i = 0; i < columns; i++) out[i] += scale * x[r * d + i] * x[r * d + i];
}

/* What both halves have in common goes into the one that is kept. */
static void fold_triangle(const part *p, pitot_real *out) {
    for (int64_t i = 0; i < p->rows; i++)
        for (int64_t j = 0; j < p->columns; j++) {
            int kept = p->kind == LOWER ? i > j : i < j;
            if (i != j) out[i * p->columns + j] *= kept ? 2 : 0;
        }
}

/* out += scale Pi(x'x), of triangles still both halves. */
static void add_gram(const structure *s, const pitot_real *x, int64_t n, double scale, int64_t column, int64_t columns,
                     pitot_real *out) {
    int64_t d = s->d, first = s->kind == STRUCTURE_BLOCK ? column / s->block : 0;
    for (int64_t i = first; i < parts_of(s); i++) {
        part p = part_of(s, i);
        if (s->kind == STRUCTURE_BLOCK && p.row >= column + columns) break;
        if (p.kind == DIAGONAL) column_squares(x + p.row, n, d, p.rows, (pitot_real)scale, out + p.at);
        else if (part_size(&p) > 0)
            blas_gemm(1, 0, p.rows, p.columns, n, scale * p.weight, x + p.row, d, x + p.column, d, 1, out + p.at, p.columns);
    }
}

static void fold(const structure *s, pitot_real *out) {
    if (s->kind < STRUCTURE_TRIL_TOP_LEFT_DIAG) return;
    part p = part_of(s, 0);
    fold_triangle(&p, out + p.at);
}

/* Both halves of a triangle again, as sums go on: the dropped one is not read. */
static void unfold(const structure *s, pitot_real *out) {
    if (s->kind < STRUCTURE_TRIL_TOP_LEFT_DIAG) return;
    part p = part_of(s, 0);
    for (int64_t i = 0; i < p.rows; i++)
        for (int64_t j = 0; j < p.columns; j++)
            if (i != j) out[p.at + i * p.columns + j] /= 2;
}

void structure_gram(const structure *s, const pitot_real *x, int64_t n, double scale, int add, pitot_real *out) {
    if (is_toeplitz(s)) {
        toeplitz_gram(s->d, x, n, scale, add, out);
        return;
    }
    if (add) unfold(s, out);
    else memset(out, 0, (size_t)structure_size(s) * sizeof *out);
    add_gram(s, x, n, scale, 0, s->d, out);
    fold(s, out);
}

/* ---- products with each other, band by band of K's rows ---- */

/* Rows row..row+n of K, as (n,d), or back from there. */
static void move_rows(const structure *s, pitot_real *k, int64_t row, int64_t n, pitot_real *x, int back) {
    for (int64_t i = s->kind == STRUCTURE_BLOCK ? row / s->block : 0; i < parts_of(s); i++) {
        part p = part_of(s, i);
        if (s->kind == STRUCTURE_BLOCK && p.row >= row + n) break;
        for (int64_t r = row; r < row + n && part_size(&p) > 0; r++) {
            if (r < p.row || r >= p.row + p.rows) continue;
            int diagonal = p.kind == DIAGONAL;
            pitot_real *here = k + p.at + (r - p.row) * (diagonal ? 1 : p.columns);
            pitot_real *there = x + (r - row) * s->d + p.column + (diagonal ? r - p.row : 0);
            memcpy(back ? here : there, back ? there : here, (size_t)(diagonal ? 1 : p.columns) * sizeof *k);
        }
    }
}

/* Where the run of the diagonal with this row begins. */
static int64_t diagonal_at(const structure *s, int64_t row) {
    for (int64_t i = 0; i < parts_of(s); i++) {
        part p = part_of(s, i);
        if (p.kind == DIAGONAL && p.row <= row && row < p.row + p.rows) return p.at + row - p.row;
    }
    return 0;
}

void structure_square(const structure *s, const pitot_real *k, pitot_real *out, pitot_real *room) {
    if (is_toeplitz(s)) {
        toeplitz_square(s->d, k, out);
        return;
    }
    memset(out, 0, (size_t)structure_size(s) * sizeof *out);
    for (int64_t row = 0; row < s->d;) {
        band b = band_at(s, row);
        if (!b.diagonal) b.rows = smaller(b.rows, ROWS);
        int64_t at = b.diagonal ? diagonal_at(s, row) : 0;
        for (int64_t i = 0; b.diagonal && i < b.rows; i++) out[at + i] += k[at + i] * k[at + i];
        if (!b.diagonal) {
            memset(room, 0, (size_t)(b.rows * s->d) * sizeof *room);
            move_rows(s, (pitot_real *)k, row, b.rows, room, 0);
            add_gram(s, room, b.rows, 1, b.column, b.columns, out);
        }
        row += b.rows;
    }
    fold(s, out);
}

void structure_product(const structure *s, const pitot_real *k, const pitot_real *m, pitot_real *out, pitot_real *room) {
    if (is_toeplitz(s)) {
        toeplitz_product(s->d, k, m, out);
        return;
    }
    pitot_real *y = room + ROWS * s->d;
    for (int64_t row = 0; row < s->d;) {
        band b = band_at(s, row);
        if (!b.diagonal) b.rows = smaller(b.rows, ROWS);
        int64_t at = b.diagonal ? diagonal_at(s, row) : 0;
        for (int64_t i = 0; b.diagonal && i < b.rows; i++) out[at + i] = k[at + i] * m[at + i];
        if (!b.diagonal) {
            memset(room, 0, (size_t)(b.rows * s->d) * sizeof *room);
            move_rows(s, (pitot_real *)k, row, b.rows, room, 0);
            rows_between(s, m, 0, room, b.rows, b.column, b.columns, y);
            move_rows(s, out, row, b.rows, y, 1);
        }
        row += b.rows;
    }
}
