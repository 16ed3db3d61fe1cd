/* plain_plane.c: see plain_histogram.h: histograms on two axes. Row by row of the weight: the bins of theta once, for all samples; of each
   sample, from its ranked r, the products that do not lie where their sign says; then signs, 64 samples at a time. */

#include "sweep/plain_histogram.h"

#include "base/threads.h"
#include "pitot/hot.h"

#include <math.h>
#include <string.h>

enum { NEAR_ZERO = 12, PACKED = 21, RUN = 4096 }; /* 2^-NEAR_ZERO bins; bits of a count in a pack; RUN*SAMPLES is below 2^PACKED */

static inline pitot_real magnitude_of(pitot_real x) {
    return (pitot_real)fabs((double)x);
}

/* Of the positive products (up) or the negative. An edge close to 0, as rounding leaves in the middle of symmetric ranges, is better
   taken for 0 itself. */
static side side_of(const axis *a, int up) {
    int64_t k = up ? a->zero + 1 : a->zero, step = up ? 1 : -1, next = k + step;
    side s = { .bin = a->zero, .high = (pitot_real)INFINITY };
    if (k < 1 || k >= a->bins) return s;
    s.high = a->beyond[k];
    if (!(s.high * a->per < (pitot_real)ldexp(1, -NEAR_ZERO))) return s;
    s.bin += step;
    s.low = a->beyond[k];
    s.high = next < 1 || next >= a->bins ? (pitot_real)INFINITY : a->beyond[next];
    return s;
}

static void choose_sides(counting *c) {
    pitot_real keep[2];
    for (int up = 0; up < 2; up++) {
        c->side[up] = side_of(&c->h->x, up);
        keep[up] = c->side[up].low > 0 ? c->side[up].low : c->side[up].high;
    }
    const side *n = &c->side[0], *p = &c->side[1];
    c->keep = keep[0] < keep[1] ? keep[0] : keep[1];
    c->low = n->low > p->low ? n->low : p->low;
    c->high = n->high < p->high ? n->high : p->high;
}

/* ---- of each sample ---- */

static void list_task(void *job, int64_t begin, int64_t end, int thread) {
    const counting *c = job;
    for (int64_t n = begin; n < end; n++) {
        sample *s = &c->sample[n];
        ranked *list = c->list + n * (c->columns + 1);
        if (s->way != BY_SIGN) continue;
        s->small = s->l.least * s->r.least < c->low;
        s->ranked = 0;
        if (s->l.most * s->r.most >= (s->small ? c->keep : c->high))
            s->ranked = rank_values(s->right, c->columns, s->l.most, s->small ? c->keep : c->high, list,
                                    c->scratch + thread * (c->columns + 1));
    }
}

PITOT_HOT static void add_bits(const sample *s, pitot_real keep, int64_t begin, int64_t end, int bit, uint64_t *negative,
                               uint64_t *nonzero) {
    const pitot_real *r = s->right;
    pitot_real most_left = s->l.most;
    for (int64_t j = begin; j < end; j++) {
        negative[j] |= (uint64_t)(r[j] < 0) << bit;
        nonzero[j] |= (uint64_t)((pitot_real)fabs((double)r[j]) * most_left >= keep) << bit;
    }
}

static void bits_task(void *job, int64_t begin, int64_t end, int thread) {
    const counting *c = job;
    (void)thread;
    for (int64_t word = 0; word < parts(c->n, 64); word++) {
        uint64_t *negative = c->negative + word * c->columns, *nonzero = c->nonzero + word * c->columns;
        memset(negative + begin, 0, (size_t)(end - begin) * sizeof *negative);
        memset(nonzero + begin, 0, (size_t)(end - begin) * sizeof *nonzero);
        for (int64_t n = word * 64; n < least(c->n, word * 64 + 64); n++)
            if (c->sample[n].way == BY_SIGN) add_bits(&c->sample[n], c->keep, begin, end, (int)(n - word * 64), negative, nonzero);
    }
}

/* ---- of each row ---- */

typedef struct room { /* one thread's */
    const int32_t *y;
    int64_t *sign, *visited;
    uint64_t *pack;
} room;

/* The first of a sample's r, as long as their products reach `high`. */
PITOT_HOT static void visit_guessed(const axis *given, pitot_real l, pitot_real high, const ranked *r, const int32_t *y,
                                    int64_t stride, int64_t *visited) {
    const axis a = *given;
    for (pitot_real v = l * r->v; (pitot_real)fabs((double)v) >= high; v = l * r->v) {
        int32_t k = axis_guess(&a, v);
        visited[(k + (v >= a.from[k + 1])) * stride + y[r->j]]++;
        r++;
    }
}

static void visit(const counting *c, pitot_real l, const ranked *r, const room *t) {
    const axis *a = &c->h->x;
    if (a->guesses) visit_guessed(a, l, c->high, r, t->y, c->h->stride, t->visited);
    else
        for (; magnitude_of(l * r->v) >= c->high; r++) t->visited[axis_search(a, l * r->v) * c->h->stride + t->y[r->j]]++;
}

/* The last of them, as long as their products stay below `low`. */
static void visit_small(const counting *c, pitot_real l, const sample *s, const ranked *r, const room *t) {
    for (int64_t k = s->ranked - 1; k >= 0 && magnitude_of(l * r[k].v) < c->low; k--) {
        int up = (l > 0) == (r[k].v > 0);
        if (magnitude_of(l * r[k].v) < c->side[up].low)
            t->sign[(up ? SMALL_POSITIVE : SMALL_NEGATIVE) * c->stride + t->y[r[k].j]]++;
    }
}

static void visit_samples(const counting *c, int64_t i, const room *t, uint64_t negative[WORDS], uint64_t nonzero[WORDS]) {
    for (int64_t n = 0; n < c->n; n++) {
        const sample *s = &c->sample[n];
        if (s->way != BY_SIGN) continue;
        pitot_real l = s->left[i], size = magnitude_of(l);
        if (!(size * s->r.most >= c->keep)) continue;
        const ranked *list = c->list + n * (c->columns + 1);
        negative[n / 64] |= (uint64_t)(l < 0) << n % 64;
        nonzero[n / 64] |= (uint64_t)1 << n % 64;
        if (size * s->r.most >= c->high) visit(c, l, list, t);
        if (s->small && size * s->r.least < c->low) visit_small(c, l, s, list, t);
    }
}

static inline void pack_words(const counting *c, int64_t begin, int64_t end, int words, const room *t, const uint64_t *negative,
                              const uint64_t *nonzero) {
    uint64_t all = (uint64_t)c->by_sign;
    for (int64_t j = begin; j < end; j++) {
        uint64_t minus = 0, either = 0;
        for (int w = 0; w < words; w++) {
            uint64_t here = nonzero[w] & c->nonzero[w * c->columns + j];
            either += (uint64_t)__builtin_popcountll(here);
            minus += (uint64_t)__builtin_popcountll(here & (negative[w] ^ c->negative[w * c->columns + j]));
        }
        t->pack[(j % PACKS) * c->stride + t->y[j]] += minus | (either - minus) << PACKED | (all - either) << 2 * PACKED;
    }
}

PITOT_HOT static void pack_signs(const counting *c, int64_t begin, int64_t end, const room *t, const uint64_t *negative,
                                 const uint64_t *nonzero) {
    int64_t words = parts(c->n, 64);
    if (words == 1) pack_words(c, begin, end, 1, t, negative, nonzero);
    else if (words == 2) pack_words(c, begin, end, 2, t, negative, nonzero);
    else if (words == 3) pack_words(c, begin, end, 3, t, negative, nonzero);
    else pack_words(c, begin, end, 4, t, negative, nonzero);
}

static void unpack(const counting *c, const room *t) {
    const uint64_t mask = ((uint64_t)1 << PACKED) - 1;
    for (int64_t y = 0; y < c->h->stride; y++)
        for (int k = 0; k < PACKS; k++) {
            uint64_t *pack = &t->pack[k * c->stride + y];
            t->sign[NEGATIVE * c->stride + y] += (int64_t)(*pack & mask);
            t->sign[POSITIVE * c->stride + y] += (int64_t)(*pack >> PACKED & mask);
            t->sign[ZERO * c->stride + y] += (int64_t)(*pack >> 2 * PACKED);
            *pack = 0;
        }
}

static room room_of(const counting *c, int thread) {
    return (room){ c->h->y_bin + thread * c->h->y_begin, c->sign + thread * SIGNS * c->stride, c->visited + thread * c->room,
                   c->pack + thread * PACKS * c->stride };
}

static void row_task(void *job, int64_t begin, int64_t end, int thread) {
    const counting *c = job;
    room t = room_of(c, thread);
    int64_t packed = 0;
    for (int64_t i = begin; i < end; i++) {
        uint64_t negative[WORDS] = { 0 }, nonzero[WORDS] = { 0 };
        tally_values(c->h, c->t, i * c->columns, (i + 1) * c->columns, thread);
        visit_samples(c, i, &t, negative, nonzero);
        for (int64_t from = 0, to; from < c->columns; from = to) {
            to = least(from + RUN - packed, c->columns);
            pack_signs(c, from, to, &t, negative, nonzero);
            packed += to - from;
            if (packed == RUN) unpack(c, &t);
            packed %= RUN;
        }
    }
    unpack(c, &t);
}

/* ---- all ---- */

static void clear(const counting *c) {
    memset(c->sign, 0, (size_t)(c->threads * SIGNS * c->stride) * sizeof *c->sign);
    memset(c->visited, 0, (size_t)(c->threads * c->room) * sizeof *c->visited);
    memset(c->pack, 0, (size_t)(c->threads * PACKS * c->stride) * sizeof *c->pack);
}

/* What was looked up leaves the bin where its sign was counted, unless that was right. */
static void fold(const counting *c, int thread) {
    room t = room_of(c, thread);
    int64_t stride = c->h->stride, *table = c->h->table + thread * c->h->room;
    int64_t *zero = table + c->h->x.zero * stride, *minus = table + c->side[0].bin * stride,
            *plus = table + c->side[1].bin * stride;
    for (int64_t y = 0; y < stride; y++) {
        int64_t small_minus = t.sign[SMALL_NEGATIVE * c->stride + y], small_plus = t.sign[SMALL_POSITIVE * c->stride + y];
        zero[y] += t.sign[ZERO * c->stride + y] + small_minus + small_plus;
        minus[y] += t.sign[NEGATIVE * c->stride + y] - small_minus;
        plus[y] += t.sign[POSITIVE * c->stride + y] - small_plus;
    }
    for (int64_t k = 0; k < c->h->x.bins; k++) {
        int64_t *from = k < c->side[0].bin ? minus : k > c->side[1].bin ? plus : NULL;
        for (int64_t y = 0; from && y < stride; y++) {
            table[k * stride + y] += t.visited[k * stride + y];
            from[y] -= t.visited[k * stride + y];
        }
    }
}

void plane_run(counting *c) {
    choose_sides(c);
    clear(c);
    threads_run(c->threads, c->n, list_task, c);
    threads_run(c->threads, c->columns, bits_task, c);
    threads_run(c->threads, c->rows, row_task, c);
    for (int thread = 0; thread < c->threads; thread++) fold(c, thread);
}
