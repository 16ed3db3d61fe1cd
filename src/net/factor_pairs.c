/* factor_pairs.c: inner products of a convolution's columns without forming them. With U_n (K,P) the windows of sample n and s_c the row of
   one output channel, v_ni'v_mj = sum over channels c of s_nic (U_n'U_m) s_mjc': where there are few positions P, the products of the windows
   cost less than those of the columns, and of them the entries take a few places. Tiles of samples on threads. */

#include "net/factor_conv.h"

#include "base/alloc.h"
#include "base/blas.h"
#include "base/threads.h"

#include <string.h>

enum { PLACES = 288, DEARER = 3 }; /* positions of the samples of a tile; an entry's flop, in those of a product of windows */

typedef struct side { /* entries of a factor's columns, GATHER_ROWS or fewer of a sample at a time: its units */
    const factor *f;
    int64_t blocks, units, width; /* of a sample; of all; values of l to an entry */
    int64_t together, step;       /* channels' entries are padded to such multiples; offset of a position: this times it */
    int64_t *begin;               /* (units, channels + 1) */
    int64_t *offset, entries;
    pitot_real *l;
    pitot_real *u; /* (K, n P): windows */
} side;

typedef struct pairs {
    side a, b;
    conv c;
    int32_t k;
    int64_t group;
    int64_t most, rows; /* columns of a unit; with those that gather_rows adds */
    int same;
    double scale, *to;
    gather_pair kernel;
    int64_t tile;     /* samples */
    pitot_real *room; /* (threads, (tile P)^2) */
    int64_t *at;      /* (threads, P + 1) */
    int32_t *some;    /* (threads, P) */
} pairs;

/* ---- lists ---- */

typedef struct listing {
    const pairs *p;
    side *side;
} listing;

static int64_t columns_of(const side *s, int64_t unit, int64_t most) {
    int64_t left = s->f->m - unit % s->blocks * most;
    return left < most ? left : most;
}

/* What came back to the first of the group's channels, of the unit's first column. */
static const pitot_real *of_unit(const pairs *p, const side *s, int64_t unit) {
    int64_t column = unit / s->blocks * s->f->m + unit % s->blocks * p->most;
    return s->f->s[p->k] + (column * p->c.groups + p->group) * p->c.m * p->c.p;
}

static int64_t find(const pairs *p, const side *s, int64_t unit, int64_t channel, int thread) {
    return form_entries(of_unit(p, s, unit) + channel * p->c.p, p->c.groups * p->c.m * p->c.p, columns_of(s, unit, p->most), p->c.p,
                        p->at + thread * (p->c.p + 1), p->some + thread * p->c.p);
}

/* begin = how many, padded */
static void count(void *job, int64_t from, int64_t to, int thread) {
    const listing *j = job;
    for (int64_t unit = from; unit < to; unit++)
        for (int64_t c = 0; c < j->p->c.m; c++) {
            int64_t n = find(j->p, j->side, unit, c, thread), together = j->side->together;
            j->side->begin[unit * (j->p->c.m + 1) + c] = (n + together - 1) / together * together;
        }
}

static void add_up(const pairs *p, side *s) {
    s->entries = 0;
    for (int64_t i = 0; i < s->units * (p->c.m + 1); i++) {
        int64_t n = s->begin[i];
        s->begin[i] = s->entries;
        s->entries += i % (p->c.m + 1) == p->c.m ? 0 : n;
    }
}

/* Padding is zeros at the first position. */
static void fill(void *job, int64_t from, int64_t to, int thread) {
    const listing *j = job;
    const pairs *p = j->p;
    const side *s = j->side;
    int64_t next = p->c.groups * p->c.m * p->c.p, *at = p->at + thread * (p->c.p + 1);
    for (int64_t unit = from; unit < to; unit++)
        for (int64_t c = 0; c < p->c.m; c++) {
            const pitot_real *plane = of_unit(p, s, unit) + c * p->c.p;
            int64_t n = find(p, s, unit, c, thread), first = s->begin[unit * (p->c.m + 1) + c];
            for (int64_t e = 0; e < n; e++) {
                s->offset[first + e] = at[e] * s->step;
                for (int64_t i = 0; i < columns_of(s, unit, p->most); i++)
                    s->l[(first + e) * s->width + i] = plane[i * next + at[e]];
            }
        }
}

static void unfold(void *job, int64_t from, int64_t to, int thread) {
    const listing *j = job;
    const factor *f = j->side->f;
    const conv *c = &j->p->c;
    (void)thread;
    for (int64_t i = from; i < to; i++) {
        span s = walk_span(f->net, j->p->k, f->sample[i], 1, 0);
        window_unfold(&c->w, s.x[0] + j->p->group * c->w.channels * c->w.in[0] * c->w.in[1], j->side->u + i * c->p, f->n * c->p);
    }
}

static void begin_side(const pairs *p, side *s, const factor *f, int left) {
    *s = (side){ .f = f, .blocks = (f->m + p->most - 1) / p->most, .together = 1 };
    s->units = f->n * s->blocks;
    s->width = left ? GATHER_SIDE : p->rows;
    s->step = left ? p->tile * p->c.p : 1;
    s->together = left ? 1 : GATHER_TOGETHER;
}

static void free_lists(side *s) {
    mem_free(s->offset);
    mem_free(s->l);
    s->offset = NULL;
    s->l = NULL;
}

static int make_lists(const pairs *p, side *s) {
    listing j = { p, s };
    int threads = p->a.f->net->threads;
    free_lists(s);
    threads_run(threads, s->units, count, &j);
    add_up(p, s);
    s->offset = mem_alloc(s->entries, sizeof *s->offset);
    s->l = mem_alloc(s->entries, (size_t)s->width * sizeof *s->l);
    if (!s->offset || !s->l) return 0;
    threads_run(threads, s->units, fill, &j);
    return 1;
}

/* ---- products ---- */

/* Columns of two units. */
static void add(const pairs *p, int64_t unit_a, int64_t unit_b, const pitot_real *out) {
    int64_t row = unit_a / p->a.blocks * p->a.f->m + unit_a % p->a.blocks * p->most;
    int64_t column = unit_b / p->b.blocks * p->b.f->m + unit_b % p->b.blocks * p->most;
    for (int64_t i = 0; i < columns_of(&p->a, unit_a, p->most); i++)
        for (int64_t j = 0; j < columns_of(&p->b, unit_b, p->most); j++)
            if (!p->same || row + i <= column + j)
                p->to[(row + i) * p->b.f->columns + column + j] += p->scale * (double)out[j * GATHER_SIDE + i];
}

/* Two samples; w: where the product of their windows begins. */
static void one_pair(const pairs *p, int64_t n, int64_t m, const pitot_real *w) {
    pitot_real out[GATHER_ROWS * GATHER_SIDE];
    for (int64_t i = n * p->a.blocks; i < (n + 1) * p->a.blocks; i++)
        for (int64_t j = m * p->b.blocks; j < (m + 1) * p->b.blocks; j++) {
            gather_list a = { p->a.begin + i * (p->c.m + 1), p->a.offset, p->a.l };
            gather_list b = { p->b.begin + j * (p->c.m + 1), p->b.offset, p->b.l };
            if (p->same && i > j) continue;
            p->kernel(p->c.m, p->rows, &a, &b, w, out);
            add(p, i, j, out);
        }
}

static void one_tile(const pairs *p, int64_t first_a, int64_t first_b, pitot_real *room) {
    const factor *a = p->a.f, *b = p->b.f;
    int64_t na = a->n - first_a < p->tile ? a->n - first_a : p->tile, nb = b->n - first_b < p->tile ? b->n - first_b : p->tile;
    int64_t places = p->c.p, ld = p->tile * places;
    blas_gemm(1, 0, na * places, nb * places, p->c.k, 1, p->a.u + first_a * places, a->n * places, p->b.u + first_b * places,
              b->n * places, 0, room, ld);
    for (int64_t n = 0; n < na; n++)
        for (int64_t m = 0; m < nb; m++)
            if (!p->same || first_a + n <= first_b + m) one_pair(p, first_a + n, first_b + m, room + n * places * ld + m * places);
}

static void some_tiles(void *job, int64_t from, int64_t to, int thread) {
    const pairs *p = job;
    pitot_real *room = p->room + thread * p->tile * p->c.p * p->tile * p->c.p;
    int64_t i = 0;
    for (int64_t n = 0; n < p->a.f->n; n += p->tile)
        for (int64_t m = p->same ? n : 0; m < p->b.f->n; m += p->tile, i++)
            if (i >= from && i < to) one_tile(p, n, m, room);
}

/* ---- the whole ---- */

/* Per pair of samples, in flops of products of windows. */
static double pair_cost(const pairs *p, double entries_a, double entries_b) {
    double windows = 2 * (double)(p->c.p * p->c.p * p->c.k);
    double each = (double)(p->a.blocks * p->b.blocks * p->c.m * 2 * GATHER_SIDE);
    return windows + DEARER * each * entries_b * (entries_a + (double)p->rows);
}

static double form_cost(const pairs *p) {
    return 2 * (double)(p->a.f->m * p->b.f->m) * (double)(p->c.m * p->c.k);
}

static double mean_entries(const pairs *p, const side *s) {
    return (double)s->entries / (double)(s->units * p->c.m);
}

static int make_room(pairs *p) {
    int64_t threads = p->a.f->net->threads, places = p->tile * p->c.p;
    p->room = mem_alloc(threads * places, (size_t)places * sizeof *p->room);
    p->at = mem_alloc(threads * (p->c.p + 1), sizeof *p->at);
    p->some = mem_alloc(threads * p->c.p, sizeof *p->some);
    for (int i = 0; i < 2; i++) {
        side *s = i ? &p->b : &p->a;
        s->begin = mem_alloc(s->units * (p->c.m + 1), sizeof *s->begin);
        if (!s->begin) return 0;
    }
    p->a.u = mem_alloc(p->a.f->n * p->c.p, (size_t)p->c.k * sizeof *p->a.u);
    p->b.u = p->same ? p->a.u : mem_alloc(p->b.f->n * p->c.p, (size_t)p->c.k * sizeof *p->b.u);
    return p->room && p->at && p->some && p->a.u && p->b.u;
}

static void free_room(pairs *p) {
    void *const blocks[] = { p->room, p->at, p->some, p->a.begin, p->b.begin, p->a.u, p->same ? NULL : p->b.u };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) mem_free(blocks[i]);
    free_lists(&p->a);
    free_lists(&p->b);
}

/* 1: done; 0: forming is cheaper; -1: no memory */
static int one_group(pairs *p) {
    int threads = p->a.f->net->threads;
    if (!make_lists(p, &p->a) || !make_lists(p, &p->b)) return -1;
    if (p->group == 0 && pair_cost(p, mean_entries(p, &p->a), mean_entries(p, &p->b)) > form_cost(p)) return 0;
    threads_run(threads, p->a.f->n, unfold, &(listing){ p, &p->a });
    if (!p->same) threads_run(threads, p->b.f->n, unfold, &(listing){ p, &p->b });
    int64_t n = (p->a.f->n + p->tile - 1) / p->tile, m = (p->b.f->n + p->tile - 1) / p->tile;
    threads_run(threads, p->same ? n * (n + 1) / 2 : n * m, some_tiles, p);
    return 1;
}

int pairs_product(const factor *a, const factor *b, int32_t of, double scale, double *k) {
    pairs p = { .c = conv_of(&a->net->node[of]), .k = of, .same = a == b, .scale = scale, .to = k };
    int64_t widest = a->m > b->m ? a->m : b->m;
    if (p.c.p > PLACES) return 0;
    p.tile = PLACES / p.c.p;
    p.most = widest < GATHER_ROWS ? widest : GATHER_ROWS;
    p.rows = gather_rows(p.most);
    p.kernel = gather_choose_pair(GATHER_BEST);
    begin_side(&p, &p.a, a, 1);
    begin_side(&p, &p.b, b, 0);
    if (pair_cost(&p, 0, 0) > form_cost(&p)) return 0;
    int done = make_room(&p) ? 1 : -1;
    for (; done == 1 && p.group < p.c.groups; p.group++) done = one_group(&p);
    free_room(&p);
    return done;
}
