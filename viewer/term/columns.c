/* columns.c: see columns.h. */

#include "term/columns.h"

#include <stdlib.h>
#include <string.h>

enum {
    FEW = 24,        /* values, or columns that have some: fewer are not smoothed unless asked for */
    ROOM = 64,       /* of a new cache */
    MUCH = 64 << 20, /* bytes, from which what was not used lately goes */
};

static const double left_out = 1e-5; /* of an average's weights */

double columns_weight(int smoothing) {
    static const double weight[SMOOTH_END] = { [SMOOTH_LITTLE] = 0.6, [SMOOTH_MUCH] = 0.9, [SMOOTH_MOST] = 0.99 };
    return smoothing >= 0 && smoothing < SMOOTH_END ? weight[smoothing] : 0;
}

/* ---- sorting --------------------------------------------------------------------------------------------------------- */

typedef struct range { /* records first..end-1 */
    int64_t first, end;
} range;

/* What is in sight. Where the ends of the series are, no order of the others is needed. */
static range in_sight(const axis *x, const run_x *r, const pitot_series *s) {
    range at = { 0, s->n };
    if (s->n < 1) return at;
    if (window_x(r, s, 0) < x->lo) {
        at.first = window_find(r, s, x->lo) + 1;
        while (at.first > 0 && window_x(r, s, at.first - 1) >= x->lo) at.first--;
    }
    if (window_x(r, s, s->n - 1) > x->hi) at.end = window_find(r, s, x->hi) + 1;
    if (at.end < at.first) at.end = at.first;
    return at;
}

/* Times may go back: each record is looked at. */
static void sort_times(columns *c, const axis *x, const run_x *r, const pitot_series *s) {
    column_edge *edge = c->edge;
    int k = 0;
    for (int64_t i = c->first; i < c->end; i++) {
        double v = window_x(r, s, i);
        if (!(v >= x->lo && v <= x->hi)) continue;
        while (k + 1 < c->count && v >= edge[k + 1].from) k++;
        while (k > 0 && v < edge[k].from) k--;
        bin_add(&c->raw[k], s->value[i]);
        if (isfinite(s->value[i])) edge[k].last = i;
    }
}

/* The first of records i..end-1 at or behind x. */
static int64_t first_from(const run_x *r, const pitot_series *s, int64_t i, int64_t end, double x) {
    while (i < end) {
        int64_t middle = i + (end - i) / 2;
        if (window_x(r, s, middle) < x) i = middle + 1;
        else end = middle;
    }
    return i;
}

/* Steps ascend: a column is one piece of the values. */
static void sort_steps(columns *c, const run_x *r, const pitot_series *s) {
    int64_t i = c->first;
    for (int k = 0; k < c->count; k++) {
        int64_t end = k + 1 < c->count ? first_from(r, s, i, c->end, c->edge[k + 1].from) : c->end, last = end - 1;
        bin b = { .least = INFINITY };
        while (last >= i && !isfinite(s->value[last])) last--;
        if (last >= i) c->edge[k].last = last;
        for (; i < end; i++) bin_add(&b, s->value[i]);
        c->raw[k] = b;
    }
}

static void find_edges(int count, const axis *x, column_edge *edges) {
    for (int k = 0; k <= count; k++) {
        double at = count > 1 ? (k - 0.5) / (count - 1) : k;
        edges[k] = (column_edge){ k == 0 ? x->lo : axis_value(x, at), -1 };
    }
}

/* ---- smoothing ------------------------------------------------------------------------------------------------------- */

typedef struct average { /* up to record `at` */
    double w, sum, weight;
    int64_t at, reach;
} average;

static average average_of(double w) {
    return (average){ w, 0, 0, -1, (int64_t)ceil(log(left_out) / log(w)) };
}

/* Goes on to record i, or starts anew if that is shorter. */
static double average_to(average *a, const pitot_series *s, int64_t i) {
    if (a->at > i || a->at < i - a->reach) {
        a->at = i - a->reach < -1 ? -1 : i - a->reach;
        a->sum = a->weight = 0;
    }
    while (a->at < i) {
        double v = s->value[++a->at];
        if (!isfinite(v)) continue;
        a->sum = a->w * a->sum + (1 - a->w) * v;
        a->weight = a->w * a->weight + (1 - a->w);
    }
    return a->weight > 0 ? a->sum / a->weight : NAN;
}

static void smooth_values(columns *c, const pitot_series *s, double w) {
    average a = average_of(w);
    if (!isnan(c->left.at)) c->left.calm = average_to(&a, s, c->first - 1);
    for (int k = 0; k < c->count; k++) {
        bin *b = &c->calm[k];
        *b = (bin){ .least = INFINITY, .odd = c->raw[k].odd };
        if (c->edge[k].last >= 0) bin_add(b, average_to(&a, s, c->edge[k].last));
    }
    if (!isnan(c->right.at)) c->right.calm = average_to(&a, s, c->end);
}

static int is_worth_smoothing(const columns *c, const pitot_series *s) {
    int seen = 0;
    for (int k = 0; k < c->count; k++) seen += c->raw[k].n > 0;
    return s->n >= FEW && seen >= FEW && bins_are_noisy(c->raw, c->count);
}

static void smooth_columns(columns *c, const pitot_series *s) {
    memcpy(c->calm, c->raw, (size_t)c->count * sizeof *c->calm);
    bins_smooth(c->calm, c->count, s->n < 100 ? 0.7 : 0.9);
    c->left.calm = c->right.calm = NAN;
}

/* ---- both ------------------------------------------------------------------------------------------------------------ */

static beside beside_of(const columns *c, const axis *x, const run_x *r, const pitot_series *s, int64_t i) {
    beside out = { NAN, NAN, NAN };
    if (i < 0 || i >= s->n || !isfinite(s->value[i])) return out;
    out.at = axis_at(x, window_x(r, s, i)) * (c->count - 1);
    out.raw = s->value[i];
    return out;
}

void columns_sort(columns *c, const axis *x, const run_x *r, const pitot_series *s) {
    range at = in_sight(x, r, s);
    c->first = at.first;
    c->end = at.end;
    for (int k = 0; k < c->count; k++) c->raw[k] = (bin){ .least = INFINITY };
    find_edges(c->count, x, c->edge);
    if (r->by_wall) sort_times(c, x, r, s);
    else if (isfinite(r->factor)) sort_steps(c, r, s);
    c->left = beside_of(c, x, r, s, at.first - 1);
    c->right = beside_of(c, x, r, s, at.end);
}

void columns_smooth(columns *c, const pitot_series *s, int smoothing, bin *calm) {
    double w = columns_weight(smoothing);
    c->calm = calm;
    if (w > 0) smooth_values(c, s, w);
    else if (smoothing == SMOOTH_SUITED && is_worth_smoothing(c, s)) smooth_columns(c, s);
    else c->calm = NULL;
}

/* ---- the cache ------------------------------------------------------------------------------------------------------- */

typedef struct signature { /* of what the columns were made from; without padding, compared as bytes */
    double lo, hi, linear, origin, factor;
    int64_t bytes, restarts, n, scale, by_wall;
} signature;

typedef struct cached {
    struct cached *next;
    const pitot_log *log;
    int64_t index, used; /* series; the frame that used it last */
    signature made;
    int smoothing;
    columns c;
    column_edge edge[]; /* [count + 1], then the bins: raw and calm */
} cached;

static int64_t size_of(int count) {
    return (int64_t)sizeof(cached) + (count + 1) * (int64_t)sizeof(column_edge) + 2 * count * (int64_t)sizeof(bin);
}

static struct cached **list_of(const column_cache *cache, const pitot_log *log, int64_t index, int count) {
    uint64_t h = ((uint64_t)(uintptr_t)log >> 4) * UINT64_C(0x9e3779b97f4a7c15) + (uint64_t)index * UINT64_C(0xbf58476d1ce4e5b9) +
                 (uint64_t)count;
    return &cache->slot[(h ^ h >> 29) & (uint64_t)(cache->room - 1)];
}

static int grow(column_cache *cache) {
    column_cache larger = *cache;
    larger.room = cache->room ? 2 * cache->room : ROOM;
    larger.slot = calloc((size_t)larger.room, sizeof *larger.slot);
    if (!larger.slot) return 0;
    for (int64_t i = 0; i < cache->room; i++)
        for (cached *e = cache->slot[i], *next; e; e = next) {
            cached **list = list_of(&larger, e->log, e->index, e->c.count);
            next = e->next;
            e->next = *list;
            *list = e;
        }
    free(cache->slot);
    *cache = larger;
    return 1;
}

void columns_begin(column_cache *cache) {
    cache->frame++;
    if (cache->bytes <= MUCH) return;
    for (int64_t i = 0; i < cache->room; i++)
        for (cached **at = &cache->slot[i], *e; (e = *at);) {
            if (e->used >= cache->frame - 1) {
                at = &e->next;
                continue;
            }
            *at = e->next;
            cache->n--;
            cache->bytes -= size_of(e->c.count);
            free(e);
        }
}

static cached *find(column_cache *cache, const pitot_log *log, int64_t index, int count) {
    cached **list = cache->room ? list_of(cache, log, index, count) : NULL, *e = list ? *list : NULL;
    while (e && (e->log != log || e->index != index || e->c.count != count)) e = e->next;
    if (e) return e;
    if (cache->n >= cache->room && !grow(cache)) return NULL;
    e = calloc(1, (size_t)size_of(count));
    if (!e) return NULL;
    e->log = log;
    e->index = index;
    e->c.count = count;
    e->c.edge = e->edge;
    e->c.raw = (bin *)&e->edge[count + 1];
    e->made.n = -1;
    list = list_of(cache, log, index, count);
    e->next = *list;
    *list = e;
    cache->n++;
    cache->bytes += size_of(count);
    return e;
}

const columns *columns_get(column_cache *cache, const pitot_log *log, int64_t index, int count, const axis *x, const run_x *r,
                           int smoothing) {
    pitot_series s;
    pitot_log_state state = { .struct_size = sizeof state };
    cached *e = find(cache, log, index, count);
    if (!e) return NULL;
    e->used = cache->frame;
    if (pitot_log_series(log, index, &s) != PITOT_OK) s = (pitot_series){ 0 };
    pitot_log_get_state(log, &state);
    signature now = { x->lo, x->hi, x->linear, r->origin, r->factor, state.bytes, state.restarts, s.n, x->scale, r->by_wall };
    int same = memcmp(&now, &e->made, sizeof now) == 0;
    if (same && smoothing == e->smoothing) return &e->c;
    e->made = now;
    e->smoothing = smoothing;
    if (!same) columns_sort(&e->c, x, r, &s);
    cache->sorted += !same;
    columns_smooth(&e->c, &s, smoothing, e->c.raw + count);
    return &e->c;
}

void columns_forget(column_cache *cache) {
    for (int64_t i = 0; i < cache->room; i++)
        for (cached *e = cache->slot[i], *next; e; e = next) {
            next = e->next;
            free(e);
        }
    free(cache->slot);
    *cache = (column_cache){ 0 };
}
