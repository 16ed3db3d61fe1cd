/* conv_squares.c: squares of a convolution's gradients, of several columns of a sample at once (GGN: the columns of a root of its output's
   Hessian). A ReLU and a pooling window pass the same positions of a sample in every column, so that most of the gradient is 0 in all of
   them: what is left, the entries, is multiplied with the windows of the image for the weight's tiles, and with rows of the weight for
   what goes on down. Nothing is kept of a tile but its squares. */

#include "net/conv.h"
#include "net/gather.h"
#include "pitot/hot.h"

#include <string.h>

typedef struct lists { /* entries of one group of one sample: (channel, position) where some column is not 0 */
    pitot_real *l;     /* (entries, rows): the columns' values */
    int64_t *offset;   /* (entries) */
    int64_t *begin;    /* of each channel's, or each position's, entries; their end */
} lists;

typedef struct work {
    const conv *c;
    gather_kernel kernel;
    int64_t columns, rows, kernel_size, ldu, ldw; /* values from one row of u, of w to the next: whole lanes */
    pitot_real *x;                                /* (in0, in1, channels) */
    pitot_real *u;                                /* (P, ldu): windows, their values in the order (ky, kx, channel) */
    pitot_real *w;                                /* (M, kernel, ldw) */
    pitot_real *squares;                          /* (M, ldu) */
    pitot_real *tile;                             /* (rows, ldw) */
    int32_t *some;                                /* (P): whether any column is not 0 */
    int64_t *position;                            /* (entries): where an entry of by_channel is */
    lists by_channel, by_position;
    gather_run *run; /* (kernel) */
} work;

static int64_t lanes(int64_t n) {
    return (n + GATHER_LANES - 1) / GATHER_LANES * GATHER_LANES;
}

/* An odd number of cache lines, so that rows do not meet in the same places of the cache. */
static int64_t odd_lanes(int64_t n) {
    return lanes(n) | GATHER_LANES;
}

typedef struct room { /* begin NULL: only counted */
    pitot_real *begin;
    int64_t used;
} room;

static void *take(room *r, int64_t count, size_t size) {
    pitot_real *at = r->begin ? r->begin + r->used : NULL;
    r->used += lanes((count * (int64_t)size + (int64_t)sizeof *at - 1) / (int64_t)sizeof *at);
    return at;
}

static lists take_lists(const conv *c, int64_t begins, room *r) {
    lists l;
    l.l = take(r, c->m * c->p, GATHER_ROWS * sizeof *l.l);
    l.offset = take(r, c->m * c->p, sizeof *l.offset);
    l.begin = take(r, begins + 2, sizeof *l.begin);
    return l;
}

static work lay_out(const conv *c, room *r) {
    work k = { .c = c, .kernel_size = c->w.kernel[0] * c->w.kernel[1] };
    k.ldu = odd_lanes(c->k);
    k.ldw = lanes(c->w.channels);
    k.x = take(r, c->w.channels * c->w.in[0] * c->w.in[1], sizeof *k.x);
    k.u = take(r, c->p * k.ldu, sizeof *k.u);
    k.w = take(r, c->m * k.kernel_size * k.ldw, sizeof *k.w);
    k.squares = take(r, c->m * k.ldu, sizeof *k.squares);
    k.tile = take(r, GATHER_ROWS * k.ldw, sizeof *k.tile);
    k.some = take(r, c->p, sizeof *k.some);
    k.position = take(r, c->m * c->p + 1, sizeof *k.position);
    k.by_channel = take_lists(c, c->m, r);
    k.by_position = take_lists(c, c->p, r);
    k.run = take(r, k.kernel_size, sizeof *k.run);
    return k;
}

int64_t conv_squares_scratch(const conv *c) {
    room r = { 0 };
    lay_out(c, &r);
    return r.used;
}

/* ---- what is multiplied ---- */

/* to (columns, rows) = from (rows, columns)' */
PITOT_HOT static void transpose(const pitot_real *from, int64_t rows, int64_t columns, pitot_real *to, int64_t ld) {
    enum { BLOCK = 16 };
    for (int64_t j = 0; j < columns; j += BLOCK)
        for (int64_t i = 0; i < rows; i++)
            for (int64_t k = j; k < columns && k < j + BLOCK; k++) to[k * ld + i] = from[i * columns + k];
}

/* One row of a window: kernel[1] points, `channels` values each. */
static void copy_window_row(const window *w, const pitot_real *x, int64_t ox, pitot_real *u) {
    int64_t size = w->channels, step = w->dilation[1], from = ox * w->stride[1] - w->padding[1];
    if (step == 1 && from >= 0 && from + w->kernel[1] <= w->in[1]) {
        memcpy(u, x + from * size, (size_t)(w->kernel[1] * size) * sizeof *u);
        return;
    }
    for (int64_t kx = 0; kx < w->kernel[1]; kx++, u += size, from += step) {
        if (from < 0 || from >= w->in[1]) memset(u, 0, (size_t)size * sizeof *u);
        else memcpy(u, x + from * size, (size_t)size * sizeof *u);
    }
}

static void make_windows(const work *k) {
    const window *w = &k->c->w;
    int64_t row = w->kernel[1] * w->channels;
    pitot_real *u = k->u;
    for (int64_t oy = 0; oy < w->out[0]; oy++)
        for (int64_t ox = 0; ox < w->out[1]; ox++, u += k->ldu) {
            memset(u + k->c->k, 0, (size_t)(k->ldu - k->c->k) * sizeof *u);
            for (int64_t ky = 0; ky < w->kernel[0]; ky++) {
                int64_t y = oy * w->stride[0] - w->padding[0] + ky * w->dilation[0];
                if (y < 0 || y >= w->in[0]) memset(u + ky * row, 0, (size_t)row * sizeof *u);
                else copy_window_row(w, k->x + y * w->in[1] * w->channels, ox, u + ky * row);
            }
        }
}

static void make_weight(const work *k, const pitot_real *weight) {
    memset(k->w, 0, (size_t)(k->c->m * k->kernel_size * k->ldw) * sizeof *k->w);
    for (int64_t m = 0; m < k->c->m; m++)
        transpose(weight + m * k->c->k, k->c->w.channels, k->kernel_size, k->w + m * k->kernel_size * k->ldw, k->ldw);
}

/* ---- entries ---- */

PITOT_HOT static void mark(const pitot_real *dy, int64_t p, int first, int32_t *some) {
    for (int64_t i = 0; i < p; i++) some[i] = (first ? 0 : some[i]) | (dy[i] != 0);
}

/* at (P+1) = the positions where some column is not 0. Returns how many. */
static int64_t find_positions(const work *k, const pitot_real *dy, int64_t ld, int64_t *at) {
    int64_t n = 0;
    for (int64_t c = 0; c < k->columns; c++) mark(dy + c * ld, k->c->p, c == 0, k->some);
    for (int64_t p = 0; p < k->c->p; p++) {
        at[n] = p;
        n += k->some[p];
    }
    return n;
}

/* dy: (M,P) of the first column, ld values before the next's. */
static void list_by_channel(const work *k, const pitot_real *dy, int64_t ld) {
    const lists *to = &k->by_channel;
    int64_t end = 0;
    for (int64_t m = 0; m < k->c->m; m++) {
        const pitot_real *plane = dy + m * k->c->p;
        int64_t *at = k->position + end, n = find_positions(k, plane, ld, at);
        pitot_real *l = to->l + end * k->rows;
        if (k->columns < k->rows) memset(l, 0, (size_t)(n * k->rows) * sizeof *l);
        for (int64_t c = 0; c < k->columns; c++, plane += ld)
            for (int64_t e = 0; e < n; e++) l[e * k->rows + c] = plane[at[e]];
        for (int64_t e = 0; e < n; e++) to->offset[end + e] = at[e] * k->ldu;
        to->begin[m] = end;
        end += n;
    }
    to->begin[k->c->m] = end;
}

/* The same entries, sorted by position; offset: rows of the weight. */
static void list_by_position(const work *k) {
    const lists *from = &k->by_channel, *to = &k->by_position;
    int64_t *next = to->begin + 1; /* at last, where the next position's begin */
    memset(to->begin, 0, (size_t)(k->c->p + 2) * sizeof *to->begin);
    for (int64_t e = 0; e < from->begin[k->c->m]; e++) next[k->position[e] + 1]++;
    for (int64_t p = 0; p < k->c->p; p++) next[p + 1] += next[p];
    for (int64_t m = 0; m < k->c->m; m++)
        for (int64_t e = from->begin[m]; e < from->begin[m + 1]; e++) {
            int64_t place = next[k->position[e]]++;
            to->offset[place] = m * k->kernel_size * k->ldw;
            memcpy(to->l + place * k->rows, from->l + e * k->rows, (size_t)k->rows * sizeof *to->l);
        }
}

/* ---- products ---- */

/* squares (M,K) += sum over columns of (G U)^2 */
static void square_weight(const work *k) {
    const lists *from = &k->by_channel;
    int64_t width = lanes(k->c->k), panel = gather_panel(k->rows);
    for (int64_t j = 0; j < width; j += panel)
        for (int64_t m = 0; m < k->c->m; m++) {
            gather_run run = { from->begin[m], from->begin[m + 1], 0 };
            gather g = { k->rows, from->l, from->offset, 1, &run };
            k->kernel(&g, k->u + j, width - j < panel ? width - j : panel, k->squares + m * k->ldu + j, 0);
        }
}

static void square_bias(const work *k, pitot_real *dbias) {
    const lists *from = &k->by_channel;
    for (int64_t m = 0; m < k->c->m; m++)
        for (int64_t c = 0; c < k->columns; c++) {
            double sum = 0;
            for (int64_t e = from->begin[m]; e < from->begin[m + 1]; e++) sum += (double)from->l[e * k->rows + c];
            dbias[m] += (pitot_real)(sum * sum);
        }
}

/* The output position that sees input place q through kernel point i of an axis; -1: none. */
static int64_t seen_from(const window *w, int axis, int64_t q, int64_t i) {
    int64_t o = q + w->padding[axis] - i * w->dilation[axis];
    return o < 0 || o % w->stride[axis] || o / w->stride[axis] >= w->out[axis] ? -1 : o / w->stride[axis];
}

/* Runs of the entries whose windows see (y, x). */
static int64_t find_runs(const work *k, int64_t y, int64_t x) {
    const window *w = &k->c->w;
    int64_t n = 0;
    for (int64_t ky = 0; ky < w->kernel[0]; ky++) {
        int64_t oy = seen_from(w, 0, y, ky);
        for (int64_t kx = 0; oy >= 0 && kx < w->kernel[1]; kx++) {
            int64_t ox = seen_from(w, 1, x, kx);
            if (ox < 0) continue;
            const int64_t *begin = k->by_position.begin + oy * w->out[1] + ox;
            k->run[n] = (gather_run){ begin[0], begin[1], (ky * w->kernel[1] + kx) * k->ldw };
            n += begin[0] < begin[1];
        }
    }
    return n;
}

/* dx of every column: (channels, in0, in1), ld values before the next's */
static void go_down(const work *k, pitot_real *dx, int64_t ld) {
    const window *w = &k->c->w;
    int64_t plane = w->in[0] * w->in[1];
    for (int64_t q = 0; q < plane; q++) {
        gather g = { k->rows, k->by_position.l, k->by_position.offset, find_runs(k, q / w->in[1], q % w->in[1]), k->run };
        k->kernel(&g, k->w, k->ldw, k->tile, k->ldw);
        for (int64_t c = 0; c < k->columns; c++)
            for (int64_t i = 0; i < w->channels; i++) dx[c * ld + i * plane + q] = k->tile[c * k->ldw + i];
    }
}

/* ---- the whole ---- */

static void one_group(const node *n, const span *s, work *k, int64_t sample, int64_t group) {
    const conv *c = k->c;
    int64_t plane = c->w.in[0] * c->w.in[1], in = n->in[0].size, out = n->out.size;
    transpose(s->x[0] + sample * in + group * c->w.channels * plane, c->w.channels, plane, k->x, c->w.channels);
    make_windows(k);
    list_by_channel(k, s->dy + sample * k->columns * out + group * c->m * c->p, out);
    if (s->dweight) square_weight(k);
    if (s->dbias) square_bias(k, s->dbias + group * c->m);
    if (!s->dx[0]) return;
    list_by_position(k);
    go_down(k, s->dx[0] + sample * k->columns * in + group * c->w.channels * plane, in);
}

static void add_squares(const work *k, pitot_real *dweight) {
    const conv *c = k->c;
    for (int64_t m = 0; m < c->m; m++)
        for (int64_t t = 0; t < k->kernel_size; t++)
            for (int64_t i = 0; i < c->w.channels; i++)
                dweight[m * c->k + i * k->kernel_size + t] += k->squares[m * k->ldu + t * c->w.channels + i];
}

void conv_square_gradient(const node *n, const span *s) {
    conv c = conv_of(n);
    work k = lay_out(&c, &(room){ s->scratch, 0 });
    k.kernel = gather_choose(GATHER_BEST);
    k.columns = s->columns;
    k.rows = gather_rows(s->columns);
    for (int64_t group = 0; group < c.groups; group++) {
        memset(k.squares, 0, (size_t)(c.m * k.ldu) * sizeof *k.squares);
        if (s->dx[0]) make_weight(&k, s->weight + group * c.m * c.k);
        for (int64_t sample = 0; sample < s->n; sample++) one_group(n, s, &k, sample, group);
        if (s->dweight) add_squares(&k, s->dweight + group * c.m * c.k);
    }
}
