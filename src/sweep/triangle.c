/* triangle.c: see gram.h. Products of bands of rows in pitot_real, their sums in double; the diagonal from sums of squares. */

#include "sweep/gram.h"

#include "base/blas.h"
#include "pitot/hot.h"
#include "base/threads.h"

#include <math.h>
#include <string.h>

/* Rows of a product, narrow where the triangle is small; columns; samples up to which threads keep sums of their own. */
enum { BAND = 48, WIDE_BAND = 128, STRIP = 256, SPLIT = 512, LINE = 64 / sizeof(pitot_real) };

double vector_unit(double square) {
    int e;
    if (!(square > 0) || !isfinite(square) || (square > 0x1p-40 && square < 0x1p80)) return 1;
    frexp(sqrt(square), &e);
    return ldexp(1, e);
}

static int64_t band_of(int64_t n) {
    return n <= STRIP ? BAND : WIDE_BAND;
}

triangle triangle_of(double *gram, int64_t n, int threads, int split, arena *a) {
    triangle s = { .n = n, .threads = threads, .gram = gram };
    s.weight = arena_take(a, 1, n, sizeof *s.weight);
    s.products = arena_take(a, 2 * threads, band_of(n) * STRIP, sizeof *s.products);
    if (!split || n > SPLIT || threads == 1) return s;
    s.part = arena_take(a, (threads - 1) * n, n, sizeof *s.part);
    if (s.part) memset(s.part, 0, (size_t)((threads - 1) * n * n) * sizeof *s.part);
    return s;
}

/* to (rows,columns), ld apart, += left[r] right[c] k[r][c] l[r][c]; l NULL: 1. In row r, columns from+r on. */
PITOT_HOT static void add_products(const pitot_real *k, const pitot_real *l, int64_t rows, int64_t columns, int64_t from,
                                   const double *left, const double *right, double *to, int64_t ld) {
    for (int64_t r = 0; r < rows; r++, k += columns, to += ld) {
        for (int64_t c = most(0, from + r); !l && c < columns; c++) to[c] += left[r] * right[c] * (double)k[c];
        for (int64_t c = most(0, from + r); l && c < columns; c++) to[c] += left[r] * right[c] * ((double)k[c] * (double)l[c]);
        if (l) l += columns;
    }
}

typedef struct sum {
    const triangle *s;
    const vectors *v;
    int factors;
} sum;

typedef struct range {
    int64_t begin, end;
} range;

/* One product of values `depth` of the vectors. */
static void add_block(const sum *m, range row, range column, range depth, double *gram, int thread) {
    const triangle *s = m->s;
    int64_t rows = row.end - row.begin, columns = column.end - column.begin;
    pitot_real *k[2] = { NULL };
    for (int f = 0; f < m->factors; f++) {
        const vectors *v = &m->v[f];
        const pitot_real *x = v->x + row.begin * v->ld, *y = v->x + column.begin * v->ld;
        int64_t from = m->factors == 1 ? depth.begin : 0, values = m->factors == 1 ? depth.end - from : v->d;
        k[f] = s->products + (2 * thread + f) * band_of(s->n) * STRIP;
        blas_gemm(0, 1, rows, columns, values, 1, x + from, v->ld, y + from, v->ld, 0, k[f], columns);
    }
    add_products(k[0], k[1], rows, columns, row.begin - column.begin + 1, s->weight + row.begin, s->weight + column.begin,
                 gram + row.begin * s->n + column.begin, s->n);
}

static void add_rows(const sum *m, range rows, range depth, double *gram, int thread) {
    int64_t n = m->s->n, band = band_of(n);
    for (int64_t i = rows.begin; i < rows.end; i += band)
        for (int64_t j = i; j < n; j += STRIP)
            add_block(m, (range){ i, least(i + band, rows.end) }, (range){ j, least(j + STRIP, n) }, depth, gram, thread);
}

/* Row from which share k of all begins: equal areas of the triangle. */
static int64_t first_row(int64_t n, int64_t k, int threads) {
    return k == threads ? n : (int64_t)((double)n * (1 - sqrt(1 - (double)k / threads)));
}

static int64_t first_value(int64_t d, int64_t k, int threads) {
    return k == threads ? d : d * k / threads / LINE * LINE;
}

static void share_task(void *job, int64_t begin, int64_t end, int thread) {
    const sum *m = job;
    const triangle *s = m->s;
    int64_t d = m->v[0].d;
    for (int64_t k = begin; k < end; k++) {
        double *gram = k > 0 && s->part ? s->part + (k - 1) * s->n * s->n : s->gram;
        range rows = { first_row(s->n, k, s->threads), first_row(s->n, k + 1, s->threads) };
        range depth = { first_value(d, k, s->threads), first_value(d, k + 1, s->threads) };
        if (s->part && depth.begin < depth.end) add_rows(m, (range){ 0, s->n }, depth, gram, thread);
        if (!s->part) add_rows(m, rows, (range){ 0, d }, gram, thread);
    }
}

void triangle_add(const triangle *s, const vectors *v, int factors, double scale) {
    sum m = { s, v, factors };
    for (int64_t n = 0; n < s->n; n++) {
        s->weight[n] = scale * v[0].unit[n] * (factors == 2 ? v[1].unit[n] : 1);
        s->gram[n * s->n + n] += scale * scale * v[0].square[n] * (factors == 2 ? v[1].square[n] : 1);
    }
    threads_run(s->threads, s->threads, share_task, &m);
}

void triangle_finish(const triangle *s) {
    for (int k = 0; s->part && k < s->threads - 1; k++)
        for (int64_t i = 0; i < s->n; i++)
            for (int64_t j = i + 1; j < s->n; j++) s->gram[i * s->n + j] += s->part[(k * s->n + i) * s->n + j];
}
