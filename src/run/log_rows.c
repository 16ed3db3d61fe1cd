/* log_rows.c: see log_rows.h. */

#include "run/log_rows.h"

#include <string.h>

#include "base/alloc.h"

enum { LOOK_BACK = 16 }; /* rows looked at for ones to share, the newest first: what splits together splits within a record */

int log_make_room(void **block, int64_t used, int64_t *room, int64_t need, size_t size) {
    int64_t count = *room + *room / 2 + 16;
    void *larger;
    if (need <= *room) return 1;
    if (count < need) count = need;
    larger = mem_grow(*block, used, count, size);
    if (!larger) return 0;
    *block = larger;
    *room = count;
    return 1;
}

int64_t log_expected(const log_rows_pool *pool, int64_t used) {
    double expected = (double)used * pool->growth * 1.02 + 16;
    return expected < 4.0 * (double)used ? (int64_t)expected : 4 * used;
}

int64_t log_lower_bound(const int64_t *step, int64_t n, int64_t limit) {
    int64_t low = 0;
    while (low < n) {
        int64_t middle = low + (n - low) / 2;
        if (step[middle] < limit) low = middle + 1;
        else n = middle;
    }
    return low;
}

/* ---- cuts ------------------------------------------------------------------------------------------------------------ */

int log_cuts_add(log_cuts *c, int64_t header, int64_t at) {
    void *block = c->list;
    if (!log_make_room(&block, c->n, &c->room, c->n + 1, sizeof *c->list)) return 0;
    c->list = block;
    while (c->n && c->list[c->n - 1].at >= at) c->n--; /* the new one covers them */
    c->list[c->n++] = (log_cut){ header, at };
    return 1;
}

int64_t log_cuts_least(const log_cuts *c, int64_t since) {
    int64_t low = 0, high = c->n;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (c->list[middle].header <= since) low = middle + 1;
        else high = middle;
    }
    return low < c->n ? c->list[low].at : INT64_MAX;
}

int log_rows_hear(const log_rows_pool *pool, log_rows *r) {
    if (r->heard == pool->headers) return 1;
    int64_t left = log_lower_bound(r->step, r->n, log_cuts_least(&pool->voided, r->heard));
    if (left < r->n && !log_cuts_add(&r->cuts, pool->headers, left)) return 0;
    r->n = left;
    if (r->fork > left) r->fork = left;
    r->heard = pool->headers;
    return 1;
}

/* ---- making and freeing ---------------------------------------------------------------------------------------------- */

/* The two arrays grow one by one; `room` follows when both have. */
static int make_rows_room(log_rows *r, int64_t need) {
    int64_t room[2] = { r->room, r->room };
    void *step = r->step, *wall = r->wall;
    int good =
        log_make_room(&step, r->n, &room[0], need, sizeof *r->step) && log_make_room(&wall, r->n, &room[1], need, sizeof *r->wall);
    r->step = step;
    r->wall = wall;
    if (good) r->room = room[0];
    return good;
}

static void free_rows(log_rows *r) {
    mem_free(r->step);
    mem_free(r->wall);
    mem_free(r->cuts.list);
    mem_free(r);
}

static log_rows *copy_rows(log_rows_pool *pool, const log_rows *from, int64_t n, int64_t room) {
    log_rows *r = mem_alloc(1, sizeof *r);
    if (!r || !make_rows_room(r, room)) {
        if (r) free_rows(r);
        return NULL;
    }
    if (n) memcpy(r->step, from->step, (size_t)n * sizeof *r->step);
    if (n) memcpy(r->wall, from->wall, (size_t)n * sizeof *r->wall);
    r->n = r->fork = n;
    r->users = 1;
    r->parent = from ? from->id : 0;
    r->id = ++pool->made;
    r->heard = pool->headers;
    r->older = pool->newest;
    if (r->older) r->older->newer = r;
    pool->newest = r;
    return r;
}

log_rows *log_rows_new(log_rows_pool *pool, int64_t n) {
    log_rows *r = copy_rows(pool, NULL, 0, n);
    if (r) r->users = 0;
    return r;
}

void log_rows_leave(log_rows_pool *pool, log_rows *r) {
    if (!r || --r->users > 0) return;
    if (r->older) r->older->newer = r->newer;
    if (r->newer) r->newer->older = r->older;
    else pool->newest = r->older;
    free_rows(r);
}

log_rows *log_rows_own(log_rows_pool *pool, log_rows *r, int64_t n, int64_t room) {
    log_rows *own = r;
    if (r && r->users == 1) {
        if (!make_rows_room(r, room)) return NULL;
        r->n = n;
    } else {
        own = copy_rows(pool, r, n, room);
        if (!own) return NULL;
        log_rows_leave(pool, r);
    }
    own->closed = 1;
    return own;
}

/* ---- sharing --------------------------------------------------------------------------------------------------------- */

int log_rows_have(const log_rows *r, int64_t at, int64_t step, double wall) {
    return at < r->n && r->step[at] == step && memcmp(&r->wall[at], &wall, sizeof wall) == 0;
}

/* Rows that left `r` at `at` with that record, or that begin with it. NULL: none seen. */
static log_rows *find_rows(const log_rows_pool *pool, const log_rows *r, int64_t at, int64_t step, double wall) {
    log_rows *other = pool->newest;
    for (int seen = 0; other && seen < LOOK_BACK; other = other->older, seen++) {
        if (other->closed || other == r || !log_rows_hear(pool, other)) continue;
        if (at && (other->parent != r->id || other->fork != at)) continue;
        if (log_rows_have(other, at, step, wall)) return other;
    }
    return NULL;
}

static int append_row(const log_rows_pool *pool, log_rows *r, int64_t step, double wall) {
    int64_t need = r->n + 1, expected = r->n < r->room ? 0 : log_expected(pool, r->n);
    if (!make_rows_room(r, need > expected ? need : expected)) return 0;
    r->step[r->n] = step;
    r->wall[r->n++] = wall;
    return 1;
}

/* Rows of one user go on from `at` in another way: nobody's first rows are theirs any more. */
static void cut_rows(log_rows_pool *pool, log_rows *r, int64_t at) {
    r->n = at;
    r->id = ++pool->made;
    if (r->fork > at) r->fork = at;
}

log_rows *log_rows_take(log_rows_pool *pool, log_rows *r, int64_t at, int64_t step, double wall) {
    log_rows *other;
    if (r && log_rows_have(r, at, step, wall)) return r;
    if (r && at == r->n) return append_row(pool, r, step, wall) ? r : NULL;
    other = r && r->closed ? NULL : find_rows(pool, r, at, step, wall);
    if (other) other->users++;
    else if (r && r->users == 1) {
        cut_rows(pool, r, at);
        return append_row(pool, r, step, wall) ? r : NULL;
    } else {
        other = copy_rows(pool, r, at, at + 1);
        if (!other) return NULL;
        other->step[other->n] = step;
        other->wall[other->n++] = wall;
    }
    log_rows_leave(pool, r);
    return other;
}
