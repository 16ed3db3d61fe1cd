/* log_read.c: following events.jsonl and keeping its values in columns.

   A line is taken whole or not at all: its sum and its JSON are checked before the first value is stored. If memory ends in the
   middle, the line stays in the buffer and is taken again at the next poll; storing a value twice changes nothing.

   A column is sorted by step as far as anyone may look (`n`). What arrives out of order waits behind (`n` .. `used`) until the
   poll ends and is merged then, so that no order of steps makes reading quadratic. A segment header voids values in every
   column, but a column hears of it only when it is touched next, or at the end of the poll.

   Lists are not kept: a column of their own says, as its value, at which byte of the file the line begins that has the list.
   log_list.c reads it from there. */

#include "run/log_read.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/number.h"

enum {
    CHUNK = 128 << 10, /* bytes per read: fits into a cache */
    HEAD = 64,         /* first bytes of the file, kept to notice that it was written anew */
    LARGEST_MANIFEST = 64 << 20,
    SALVAGES = 8 /* places in a damaged line that may be the start of a good one */
};

static const int64_t largest_step = (int64_t)1 << 53;

typedef struct column {
    char *name;
    int64_t name_length;
    uint64_t hash;
    int64_t *step; /* step, wall, value: [room]; 0..n ascending, n..used pending; a pending -1-S voids steps >= S before it */
    double *wall, *value;
    int64_t n, used, room;
    int64_t heard; /* headers that this column knows of */
    int64_t rank;  /* among the columns of its kind, by first appearance */
    int plain;     /* the name stands in lines as it is, without escapes */
    int kind;      /* NUMBERS or LISTS */
} column;

enum { NUMBERS, LISTS, KINDS };

typedef struct point {
    int64_t step;
    double wall, value;
} point;

typedef struct voiding { /* the header number `header` made steps >= `step` void */
    int64_t header, step;
} voiding;

typedef struct file_id {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec time;
} file_id;

struct pitot_log {
    char *events_path, *manifest_path;
    pitot_log_state state;

    int fd; /* -1: not there yet */
    file_id id;
    unsigned char head[HEAD];
    int64_t head_length;

    char *buffer; /* [buffer_room]; starts with a line's start */
    int64_t length, looked, buffer_room;
    int64_t skipped; /* bytes of a line that is too long, dropped so far; 0: not in one */
    int64_t line;    /* lines taken */
    int64_t origin;  /* where in the file the buffer begins, while its lines are taken */

    column *column; /* [columns_room], in order of first appearance */
    int64_t columns, columns_room;
    int64_t *slot; /* [slots], a power of two: column + 1 or 0 */
    int64_t slots;
    int64_t *ranked[KINDS]; /* [ranked_room]: the column of each rank */
    int64_t count[KINDS], ranked_room[KINDS];

    scan_item *item; /* of the line at hand */
    int64_t items, items_room;
    int64_t *guess; /* [items_room]: the column that the item at this place went to last time */
    char *name;     /* [name_room]: a name without its escapes */
    int64_t name_room;

    voiding *voiding; /* steps ascending, headers too: entry k is the least step voided by headers from its own on */
    int64_t voidings, voidings_room, headers;
    int64_t recent[2]; /* the latest two different steps of this segment */
    int doubtful;      /* lines were lost since the last record: one may have been a header */
    int unsettled;     /* columns have pending values or voidings that they have not heard of */
    int voided;        /* last_step is to be found anew */

    char *manifest;
    cJSON *facts;
    file_id manifest_id;
};

/* Room for `need` elements, growing by half so that appending is O(1) on average. 0: no memory, nothing changed. */
static int make_room(void **block, int64_t used, int64_t *room, int64_t need, size_t size) {
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

/* ---- columns --------------------------------------------------------------------------------------------------------- */

/* First place in step[0..n) that holds `step` or more. */
static int64_t lower_bound(const int64_t *step, int64_t n, int64_t limit) {
    int64_t low = 0;
    while (low < n) {
        int64_t middle = low + (n - low) / 2;
        if (step[middle] < limit) low = middle + 1;
        else n = middle;
    }
    return low;
}

/* How many points a full column may need: as many per byte as so far, up to the end of the file. At most four times what it
   holds, since files need not go on as they began. */
static int64_t expected_points(const pitot_log *log, const column *c) {
    double points = (double)c->used * (double)log->id.size / (double)(log->state.bytes + 1) * 1.02 + 16;
    return points < 4.0 * (double)c->used ? (int64_t)points : 4 * c->used;
}

/* The three arrays grow one by one; `room` follows when all have, so a failure in between leaves the column as it was. */
static int column_room(const pitot_log *log, column *c) {
    int64_t room[3] = { c->room, c->room, c->room }, need = c->used + 1, likely;
    void *step = c->step, *wall = c->wall, *value = c->value;
    int good;
    if (c->used < c->room) return 1;
    likely = expected_points(log, c);
    if (need < likely) need = likely;
    good = make_room(&step, c->used, &room[0], need, sizeof *c->step) &&
           make_room(&wall, c->used, &room[1], need, sizeof *c->wall) &&
           make_room(&value, c->used, &room[2], need, sizeof *c->value);
    c->step = step;
    c->wall = wall;
    c->value = value;
    if (good) c->room = room[0];
    return good;
}

static int column_append(const pitot_log *log, column *c, int64_t step, double wall, double value) {
    if (!column_room(log, c)) return 0;
    c->step[c->used] = step;
    c->wall[c->used] = wall;
    c->value[c->used] = value;
    c->used++;
    return 1;
}

/* Steps >= `limit` go. Pending values are not looked at: a mark behind them says it. */
static int column_void(pitot_log *log, column *c, int64_t limit) {
    if (c->used > c->n) {
        log->unsettled = 1;
        return column_append(log, c, -1 - limit, 0, 0);
    }
    if (c->n && c->step[c->n - 1] >= limit) c->n = c->used = lower_bound(c->step, c->n, limit);
    return 1;
}

/* Tells a column what headers voided since it was touched last. O(log headers). */
static int column_hear(pitot_log *log, column *c) {
    int64_t low = 0, high = log->voidings;
    if (c->heard == log->headers) return 1;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (log->voiding[middle].header <= c->heard) low = middle + 1;
        else high = middle;
    }
    if (low < log->voidings && !column_void(log, c, log->voiding[low].step)) return 0;
    c->heard = log->headers;
    return 1;
}

static int column_put(pitot_log *log, column *c, int64_t step, double wall, double value) {
    int in_order;
    if (!column_hear(log, c)) return 0;
    in_order = c->used == c->n;
    if (in_order && c->n && c->step[c->n - 1] == step) {
        c->wall[c->n - 1] = wall;
        c->value[c->n - 1] = value;
        return 1;
    }
    in_order = in_order && (!c->n || c->step[c->n - 1] < step);
    if (!column_append(log, c, step, wall, value)) return 0;
    if (in_order) c->n++;
    else log->unsettled = 1;
    return 1;
}

/* Pending values that no later mark voids, in order of arrival, into p; lowers *limit to the least step voided. O(pending). */
static int64_t pending_points(const column *c, point *p, int64_t *limit) {
    int64_t kept = 0;
    for (int64_t i = c->used - 1; i >= c->n; i--) {
        if (c->step[i] < 0) {
            if (-1 - c->step[i] < *limit) *limit = -1 - c->step[i];
        } else if (c->step[i] < *limit) p[kept++] = (point){ c->step[i], c->wall[i], c->value[i] };
    }
    for (int64_t i = 0; i < kept / 2; i++) {
        point swap = p[i];
        p[i] = p[kept - 1 - i];
        p[kept - 1 - i] = swap;
    }
    return kept;
}

static void merge_runs(const point *from, int64_t a, int64_t b, int64_t end, point *to) {
    int64_t i = a, j = b;
    for (int64_t k = a; k < end; k++) to[k] = i < b && (j >= end || from[i].step <= from[j].step) ? from[i++] : from[j++];
}

/* Stable, O(n log n), between p and other; returns the one that holds the result. */
static point *sort_points(point *p, point *other, int64_t n) {
    for (int64_t width = 1; width < n; width *= 2) {
        point *swap = p;
        for (int64_t a = 0; a < n; a += 2 * width) {
            int64_t b = a + width < n ? a + width : n;
            merge_runs(p, a, b, b + width < n ? b + width : n, other);
        }
        p = other;
        other = swap;
    }
    return p;
}

/* Of equal steps the last stays. */
static int64_t drop_overwritten(point *p, int64_t n) {
    int64_t kept = 0;
    for (int64_t i = 0; i < n; i++)
        if (i + 1 == n || p[i + 1].step != p[i].step) p[kept++] = p[i];
    return kept;
}

/* Merges sorted p[0..count) into the column's sorted part from its end, where p wins over an equal step. There is room: what is
   merged was pending in the same arrays. `end` is where the result would end if no steps were equal. */
static void merge_into(column *c, const point *p, int64_t count) {
    int64_t i = c->n - 1, j = count - 1, k = c->n + count - 1, end = c->n + count, gap;
    while (j >= 0) {
        if (i >= 0 && c->step[i] > p[j].step) {
            c->step[k] = c->step[i];
            c->wall[k] = c->wall[i];
            c->value[k--] = c->value[i--];
            continue;
        }
        if (i >= 0 && c->step[i] == p[j].step) i--;
        c->step[k] = p[j].step;
        c->wall[k] = p[j].wall;
        c->value[k--] = p[j--].value;
    }
    gap = k - i;
    if (gap) {
        size_t bytes = (size_t)(end - 1 - k) * 8;
        memmove(c->step + i + 1, c->step + k + 1, bytes);
        memmove(c->wall + i + 1, c->wall + k + 1, bytes);
        memmove(c->value + i + 1, c->value + k + 1, bytes);
    }
    c->n = c->used = end - gap;
}

static int column_settle(pitot_log *log, column *c) {
    int64_t pending, count, limit = INT64_MAX;
    point *p, *sorted;
    if (!column_hear(log, c)) return 0;
    pending = c->used - c->n;
    if (!pending) return 1;
    p = mem_alloc(2 * pending, sizeof *p);
    if (!p) return 0;
    count = pending_points(c, p, &limit);
    sorted = sort_points(p, p + pending, count);
    count = drop_overwritten(sorted, count);
    if (limit != INT64_MAX) c->n = lower_bound(c->step, c->n, limit);
    merge_into(c, sorted, count);
    mem_free(p);
    return 1;
}

/* Makes every column fit to be looked at. O(columns), and only after something out of order or a header. */
static int settle(pitot_log *log) {
    int64_t last = -1;
    if (!log->unsettled) return 1;
    for (int64_t i = 0; i < log->columns; i++) {
        column *c = &log->column[i];
        if (!column_settle(log, c)) return 0;
        if (c->n && c->step[c->n - 1] > last) last = c->step[c->n - 1];
    }
    if (log->voided) log->state.last_step = last > log->recent[0] ? last : log->recent[0];
    log->unsettled = log->voided = 0;
    return 1;
}

/* ---- names ----------------------------------------------------------------------------------------------------------- */

/* Mixes eight bytes at a time; the log's own address keeps chosen names from meeting in one slot. */
static uint64_t hash_name(const pitot_log *log, int kind, const char *name, int64_t length) {
    uint64_t h = (uint64_t)(uintptr_t)log ^ (uint64_t)length ^ (uint64_t)kind << 40, word;
    for (; length > 0; name += 8, length -= 8) {
        word = 0;
        memcpy(&word, name, (size_t)(length < 8 ? length : 8));
        h = (h ^ word) * 0x9e3779b97f4a7c15u;
        h ^= h >> 29;
    }
    return h ^ h >> 32;
}

static int is_called(const column *c, int kind, const char *name, int64_t length) {
    return c->kind == kind && c->name_length == length && memcmp(c->name, name, (size_t)length) == 0;
}

/* The column's index, or -1 with the free slot in *slot. There is always one: at most half are taken. */
static int64_t look_up(const pitot_log *log, uint64_t hash, int kind, const char *name, int64_t length, int64_t *slot) {
    int64_t at = (int64_t)(hash & (uint64_t)(log->slots - 1));
    for (; log->slot[at]; at = (at + 1) & (log->slots - 1)) {
        const column *c = &log->column[log->slot[at] - 1];
        if (c->hash == hash && is_called(c, kind, name, length)) return log->slot[at] - 1;
    }
    *slot = at;
    return -1;
}

static int grow_slots(pitot_log *log) {
    int64_t slots = log->slots ? 2 * log->slots : 64, *slot;
    if (2 * (log->columns + 1) <= log->slots) return 1;
    slot = mem_alloc(slots, sizeof *slot);
    if (!slot) return 0;
    for (int64_t i = 0; i < log->columns; i++) {
        int64_t at = (int64_t)(log->column[i].hash & (uint64_t)(slots - 1));
        while (slot[at]) at = (at + 1) & (slots - 1);
        slot[at] = i + 1;
    }
    mem_free(log->slot);
    log->slot = slot;
    log->slots = slots;
    return 1;
}

static int is_plain(const char *name, int64_t length) {
    for (int64_t i = 0; i < length; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == '"' || name[i] == '\\') return 0;
    return 1;
}

/* Room for one more column in the table and in the order of its kind. */
static int columns_room(pitot_log *log, int kind) {
    void *block = log->column, *ranked = log->ranked[kind];
    int64_t count = log->count[kind];
    int good = make_room(&block, log->columns, &log->columns_room, log->columns + 1, sizeof *log->column);
    log->column = block;
    good = good && make_room(&ranked, count, &log->ranked_room[kind], count + 1, sizeof *log->ranked[kind]);
    log->ranked[kind] = ranked;
    return good;
}

/* Index of the column of that kind and name, made if there is none; -1: no memory. */
static int64_t column_called(pitot_log *log, int kind, const char *name, int64_t length) {
    uint64_t hash = hash_name(log, kind, name, length);
    int64_t at, slot = 0;
    column *c;
    if (!grow_slots(log)) return -1;
    at = look_up(log, hash, kind, name, length, &slot);
    if (at >= 0) return at;
    if (!columns_room(log, kind)) return -1;
    c = &log->column[log->columns];
    memset(c, 0, sizeof *c);
    c->name = mem_alloc(length + 1, 1);
    if (!c->name) return -1;
    memcpy(c->name, name, (size_t)length);
    c->name_length = length;
    c->plain = is_plain(name, length);
    c->kind = kind;
    c->rank = log->count[kind];
    c->hash = hash;
    c->heard = log->headers;
    log->ranked[kind][log->count[kind]++] = log->columns;
    log->slot[slot] = ++log->columns;
    return log->columns - 1;
}

/* The column for the item at place i, named by the first `length` bytes of its key. Lines look alike: the guess mostly holds. */
static column *column_of(pitot_log *log, int64_t i, int64_t length) {
    const char *name = log->item[i].key;
    int64_t at = log->guess[i];
    int kind = log->item[i].kind == SCAN_LIST ? LISTS : NUMBERS;
    if (log->item[i].escaped) {
        void *block = log->name;
        if (!make_room(&block, 0, &log->name_room, length, 1)) return NULL;
        log->name = block;
        length = scan_unescape(name, length, log->name);
        name = log->name;
    }
    if (at >= log->columns || !is_called(&log->column[at], kind, name, length)) at = column_called(log, kind, name, length);
    if (at < 0) return NULL;
    log->guess[i] = at;
    return &log->column[at];
}

/* ---- lines ----------------------------------------------------------------------------------------------------------- */

typedef struct places { /* where the reserved keys are among the items, -1: nowhere */
    int64_t step, wall, pitot, segment, steps, end;
} places;

enum { BAD = 0, GOOD = 1, NO_MEMORY = -1 }; /* answers of the functions below */

static int is_key(const scan_item *item, const char *key) {
    size_t n = strlen(key);
    return (size_t)item->key_length == n && memcmp(item->key, key, n) == 0;
}

static void note_place(places *p, const scan_item *item, int64_t i) {
    if (item->key_length > 7) return;
    if (is_key(item, "step")) p->step = i;
    if (is_key(item, "wall")) p->wall = i;
    if (is_key(item, "end") && item->kind == SCAN_STRING) p->end = i;
    if (is_key(item, "pitot")) p->pitot = i;
    if (is_key(item, "steps")) p->steps = i;
    if (is_key(item, "segment")) p->segment = i;
}

static int items_room(pitot_log *log) {
    void *item = log->item, *guess = log->guess;
    int64_t room = log->items_room;
    int good;
    if (log->items < log->items_room) return 1;
    good = make_room(&item, log->items, &room, log->items + 1, sizeof *log->item);
    log->item = item;
    room = log->items_room;
    good = good && make_room(&guess, log->items, &room, log->items + 1, sizeof *log->guess);
    log->guess = guess;
    if (good) log->items_room = room;
    return good;
}

static int scan_item_at(pitot_log *log, scan *s, int64_t i) {
    int64_t at = log->guess[i];
    const column *c = at < log->columns && log->column[at].plain ? &log->column[at] : NULL;
    return scan_expect(s, c ? c->name : NULL, c ? c->name_length : 0, &log->item[i]);
}

static int scan_line(pitot_log *log, const char *line, int64_t length, places *p) {
    scan s = scan_begin(line, length);
    int more;
    *p = (places){ -1, -1, -1, -1, -1, -1 };
    log->items = 0;
    for (;;) {
        if (!items_room(log)) return NO_MEMORY;
        more = scan_item_at(log, &s, log->items);
        if (more <= 0) return more < 0 ? BAD : GOOD;
        note_place(p, &log->item[log->items], log->items);
        log->items++;
    }
}

/* A step: an integer from 0 to 2^53, or -1. */
static int64_t step_of(const scan_item *item) {
    double v = item->number;
    if (item->kind != SCAN_NUMBER) return -1;
    if (item->integer != INT64_MIN) return item->integer >= 0 && item->integer <= largest_step ? item->integer : -1;
    return v >= 0 && v < (double)largest_step && v == floor(v) ? (int64_t)v : -1;
}

static double number_at(const pitot_log *log, int64_t i, double otherwise) {
    return i >= 0 && log->item[i].kind == SCAN_NUMBER ? log->item[i].number : otherwise;
}

static void note_wall(pitot_log *log, double wall) {
    if (!isfinite(wall)) return;
    if (log->state.first_wall == 0) log->state.first_wall = wall;
    log->state.last_wall = wall;
}

/* Steps >= `step` become void. Entries that the new one covers go, which keeps the list sorted both ways. */
static int void_from(pitot_log *log, int64_t step) {
    void *block = log->voiding;
    if (!make_room(&block, log->voidings, &log->voidings_room, log->voidings + 1, sizeof *log->voiding)) return NO_MEMORY;
    log->voiding = block;
    while (log->voidings && log->voiding[log->voidings - 1].step >= step) log->voidings--;
    log->voiding[log->voidings++] = (voiding){ ++log->headers, step };
    log->unsettled = log->voided = 1;
    log->recent[0] = log->recent[1] = -1;
    return GOOD;
}

/* Without "step", segment 0 starts at 0 and a later one voids nothing. */
static int take_header(pitot_log *log, const places *p) {
    int64_t from = p->step >= 0 ? step_of(&log->item[p->step]) : number_at(log, p->segment, 0) > 0 ? INT64_MAX : 0;
    if (from < 0) return BAD;
    if (from != INT64_MAX && void_from(log, from) < 0) return NO_MEMORY;
    if (p->steps >= 0 && step_of(&log->item[p->steps]) >= 0) log->state.steps = step_of(&log->item[p->steps]);
    note_wall(log, number_at(log, p->wall, NAN));
    log->state.segments++;
    log->state.ended = PITOT_LOG_OPEN;
    log->doubtful = 0;
    return GOOD;
}

static int take_end(pitot_log *log, const places *p) {
    static const char *const names[] = { "done", "failed", "interrupted" };
    const scan_item *item = &log->item[p->end];
    for (int i = 0; i < 3; i++)
        if ((size_t)item->text_length == strlen(names[i]) && memcmp(item->text, names[i], strlen(names[i])) == 0)
            log->state.ended = PITOT_LOG_DONE + i;
    note_wall(log, number_at(log, p->wall, NAN));
    return GOOD;
}

/* "nan", "inf" or "-inf" behind a key that ends in #nf. */
static int is_not_finite(const scan_item *item, double *value) {
    int64_t n = item->key_length;
    if (item->kind != SCAN_STRING || n < 3 || memcmp(item->key + n - 3, "#nf", 3) != 0) return 0;
    if (item->text_length == 3 && memcmp(item->text, "nan", 3) == 0) return *value = NAN, 1;
    if (item->text_length == 3 && memcmp(item->text, "inf", 3) == 0) return *value = INFINITY, 1;
    if (item->text_length == 4 && memcmp(item->text, "-inf", 4) == 0) return *value = -INFINITY, 1;
    return 0;
}

/* What an item of the line that begins at byte `place` adds to its column; true and false count as 1 and 0. Returns the length of the
   column's name, -1: adds nothing. */
static int64_t item_value(const scan_item *item, int64_t place, double *value) {
    switch (item->kind) {
    case SCAN_LIST: *value = (double)place; return item->key_length;
    case SCAN_NUMBER: *value = item->number; return item->key_length;
    case SCAN_TRUE:
    case SCAN_FALSE: *value = item->kind == SCAN_TRUE; return item->key_length;
    case SCAN_STRING: return is_not_finite(item, value) ? item->key_length - 3 : -1;
    default: return -1;
    }
}

/* A header may be among lines that were lost. If the steps then fall back by more than the one record by which two-step
   quantities are late, it was, and what earlier segments said from here on must not be shown. */
static int guess_lost_header(pitot_log *log, int64_t step) {
    if (log->doubtful && step < log->recent[1] && void_from(log, step) < 0) return NO_MEMORY;
    log->doubtful = 0;
    return GOOD;
}

static int take_values(pitot_log *log, const places *p, int64_t place) {
    int64_t step = step_of(&log->item[p->step]);
    double wall = number_at(log, p->wall, NAN), value = 0;
    if (step < 0) return BAD;
    if (guess_lost_header(log, step) < 0) return NO_MEMORY;
    for (int64_t i = 0; i < log->items; i++) {
        int64_t length = i == p->step || i == p->wall || i == p->segment ? -1 : item_value(&log->item[i], place, &value);
        column *c;
        if (length < 0) continue;
        c = column_of(log, i, length);
        if (!c || !column_put(log, c, step, wall, value)) return NO_MEMORY;
    }
    if (step > log->recent[0]) log->recent[1] = log->recent[0], log->recent[0] = step;
    if (step > log->state.last_step) log->state.last_step = step;
    note_wall(log, wall);
    log->state.records++;
    log->state.ended = PITOT_LOG_OPEN;
    return GOOD;
}

static int take_good_line(pitot_log *log, const char *line, int64_t length) {
    places p;
    int answer = scan_sum(line, length) ? scan_line(log, line, length, &p) : BAD;
    if (answer != GOOD) return answer;
    if (p.pitot >= 0) return take_header(log, &p);
    if (p.end >= 0) return take_end(log, &p);
    return p.step >= 0 ? take_values(log, &p, log->origin + (line - log->buffer)) : GOOD;
}

/* A writer that died in the middle of a line may have left it joined to the first line of the next segment. */
static int salvage(pitot_log *log, const char *line, int64_t length) {
    const char *end = line + length, *p = line;
    for (int tries = 0; tries < SALVAGES; tries++) {
        int answer;
        p = end - p > 1 ? memmem(p + 1, (size_t)(end - p - 1), "{\"", 2) : NULL;
        if (!p) break;
        answer = take_good_line(log, p, end - p);
        if (answer != BAD) return answer;
    }
    return BAD;
}

static void count_damage(pitot_log *log) {
    if (!log->state.damaged++) log->state.damaged_at = log->line + 1;
}

/* GOOD whatever the line was, or NO_MEMORY and the line must come again. */
static int take_line(pitot_log *log, const char *line, int64_t length) {
    int answer;
    if (!length) return GOOD;
    answer = take_good_line(log, line, length);
    if (answer != BAD) return answer;
    log->doubtful = 1;
    if (salvage(log, line, length) == NO_MEMORY) return NO_MEMORY;
    count_damage(log);
    return GOOD;
}

/* ---- the file -------------------------------------------------------------------------------------------------------- */

/* Takes every complete line of the buffer and moves the rest to its start. */
static int take_lines(pitot_log *log) {
    int64_t start = 0;
    int answer = GOOD;
    log->origin = log->state.bytes - log->length;
    while (log->looked < log->length) {
        const char *from = log->buffer + log->looked, *newline = memchr(from, '\n', (size_t)(log->length - log->looked));
        if (!newline) {
            log->looked = log->length;
            break;
        }
        if (log->skipped) {
            count_damage(log);
            log->doubtful = 1;
        } else answer = take_line(log, log->buffer + start, newline - log->buffer - start);
        if (answer == NO_MEMORY) {
            log->looked = start;
            break;
        }
        log->skipped = 0;
        log->line++;
        start = log->looked = newline - log->buffer + 1;
    }
    log->length -= start;
    log->looked -= start;
    if (start) memmove(log->buffer, log->buffer + start, (size_t)log->length);
    if (answer == GOOD && (log->skipped || log->length > SCAN_LONGEST)) {
        log->skipped += log->length;
        log->length = log->looked = 0;
    }
    return answer;
}

static void clear_columns(pitot_log *log) {
    for (int64_t i = 0; i < log->columns; i++) {
        mem_free(log->column[i].name);
        mem_free(log->column[i].step);
        mem_free(log->column[i].wall);
        mem_free(log->column[i].value);
    }
    mem_free(log->slot);
    log->slot = NULL;
    log->slots = log->columns = log->count[NUMBERS] = log->count[LISTS] = 0;
}

static void start_over(pitot_log *log) {
    int32_t restarts = log->state.restarts;
    clear_columns(log);
    log->state = (pitot_log_state){ .struct_size = sizeof log->state, .last_step = -1, .restarts = restarts };
    log->head_length = log->length = log->looked = log->skipped = log->line = 0;
    log->voidings = log->headers = 0;
    log->recent[0] = log->recent[1] = -1;
    log->doubtful = log->unsettled = log->voided = 0;
}

static file_id id_of(const struct stat *st) {
    return (file_id){ st->st_dev, st->st_ino, st->st_size, st->st_mtim };
}

static int same_file(const file_id *a, const file_id *b) {
    return a->device == b->device && a->inode == b->inode;
}

static int same_manifest(const file_id *a, const file_id *b) {
    return same_file(a, b) && a->size == b->size && a->time.tv_sec == b->time.tv_sec && a->time.tv_nsec == b->time.tv_nsec;
}

/* A manifest that cannot be read or parsed has no facts; the run can be shown all the same. */
static void follow_manifest(pitot_log *log) {
    struct stat st;
    file_id id;
    char *text;
    int64_t size;
    if (stat(log->manifest_path, &st) != 0 || !S_ISREG(st.st_mode)) return;
    id = id_of(&st);
    if (log->manifest && same_manifest(&id, &log->manifest_id)) return;
    text = (char *)file_read(log->manifest_path, LARGEST_MANIFEST, &size, NULL);
    if (!text) return;
    mem_free(log->manifest);
    cJSON_Delete(log->facts);
    log->manifest = text;
    log->facts = cJSON_ParseWithLengthOpts(text, (size_t)size + 1, NULL, 1);
    log->manifest_id = id;
}

static int head_changed(const pitot_log *log) {
    unsigned char now[HEAD];
    ssize_t got = pread(log->fd, now, (size_t)log->head_length, 0);
    return got != log->head_length || memcmp(now, log->head, (size_t)log->head_length) != 0;
}

/* 1: the file was replaced, cut, or written anew since the last poll, and reading begins again; 0: it was not. */
static int check_replaced(pitot_log *log, const file_id *now) {
    int other = !same_file(now, &log->id);
    if (!other && now->size >= log->state.bytes && !head_changed(log)) return 0;
    if (other) {
        close(log->fd);
        log->fd = -1;
    }
    if (log->state.bytes) log->state.restarts++;
    start_over(log);
    return 1;
}

static int32_t open_events(pitot_log *log, pitot_error *error) {
    struct stat st;
    log->fd = open(log->events_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (log->fd < 0 && errno == ENOENT) return 0;
    if (log->fd < 0) return pitot_fail(error, PITOT_EIO, "%s: cannot be opened: %s", log->events_path, strerror(errno));
    if (fstat(log->fd, &st) == 0 && S_ISREG(st.st_mode)) {
        log->id = id_of(&st);
        return 0;
    }
    close(log->fd);
    log->fd = -1;
    return pitot_fail(error, PITOT_EIO, "%s: is not a regular file; give a run directory or its events.jsonl", log->events_path);
}

/* Opens the file when it appears and notices when it is another one. 1: started over; 0; negative: error. A deleted file is
   followed as long as it is open. */
static int32_t follow(pitot_log *log, pitot_error *error) {
    struct stat st;
    file_id now;
    int again = 0;
    follow_manifest(log);
    if (log->fd >= 0 && stat(log->events_path, &st) == 0) {
        now = id_of(&st);
        again = check_replaced(log, &now);
        log->id.size = now.size;
    }
    if (log->fd < 0) {
        int32_t status = open_events(log, error);
        if (status < 0) return status;
    }
    return again;
}

static void keep_head(pitot_log *log, const char *bytes, int64_t got) {
    int64_t n = HEAD - log->head_length;
    if (n > got) n = got;
    if (n > 0) memcpy(log->head + log->head_length, bytes, (size_t)n);
    if (n > 0) log->head_length += n;
}

/* One chunk. The number of bytes read, 0 at the end of the file, or a negative status. */
static int64_t read_chunk(pitot_log *log, int64_t most, pitot_error *error) {
    void *block = log->buffer;
    ssize_t got;
    if (most > CHUNK) most = CHUNK;
    if (!make_room(&block, log->length, &log->buffer_room, log->length + CHUNK, 1)) return PITOT_ENOMEM;
    log->buffer = block;
    do got = pread(log->fd, log->buffer + log->length, (size_t)most, (off_t)log->state.bytes);
    while (got < 0 && errno == EINTR);
    if (got < 0) return pitot_fail(error, PITOT_EIO, "%s: cannot be read: %s", log->events_path, strerror(errno));
    keep_head(log, log->buffer + log->length, got);
    log->length += got;
    log->state.bytes += got;
    return got;
}

/* 1: something was read; 0; negative: error. Lines that were left when memory ended come first. */
static int32_t read_events(pitot_log *log, int64_t budget, pitot_error *error) {
    int64_t lines = log->line, left = budget > 0 ? budget : INT64_MAX, got = 1;
    if (take_lines(log) == NO_MEMORY) return PITOT_ENOMEM;
    int32_t news = log->line > lines;
    while (left > 0 && got > 0) {
        got = read_chunk(log, left, error);
        if (got < 0) return (int32_t)got;
        if (got) news = 1;
        left -= got;
        if (take_lines(log) == NO_MEMORY) return PITOT_ENOMEM;
    }
    return news;
}

/* ---- public ---------------------------------------------------------------------------------------------------------- */

int32_t pitot_log_poll(pitot_log *log, int64_t budget, pitot_error *error) {
    int32_t news = 0, again;
    if (!log) return pitot_fail(error, PITOT_EINVAL, "pitot_log_poll: there is no log");
    again = follow(log, error);
    if (again < 0) return again;
    if (log->fd >= 0) news = read_events(log, budget, error);
    if (!settle(log) && news >= 0) news = PITOT_ENOMEM;
    log->state.tail = log->skipped + log->length;
    if (news == PITOT_ENOMEM) return pitot_fail(error, PITOT_ENOMEM, "%s: no memory for its values", log->events_path);
    return news < 0 ? news : news || again;
}

static char *join(const char *folder, int64_t length, const char *name) {
    char *path = mem_alloc(length + (int64_t)strlen(name) + 2, 1);
    if (!path) return NULL;
    memcpy(path, folder, (size_t)length);
    if (length && folder[length - 1] != '/') path[length++] = '/';
    memcpy(path + length, name, strlen(name) + 1);
    return path;
}

/* Both paths of a run directory, or of the directory that an events file lies in. */
static int find_paths(pitot_log *log, const char *run) {
    const char *slash = strrchr(run, '/');
    struct stat st;
    if (stat(run, &st) != 0 || S_ISDIR(st.st_mode)) {
        log->events_path = join(run, (int64_t)strlen(run), "events.jsonl");
        log->manifest_path = join(run, (int64_t)strlen(run), "run.json");
    } else {
        log->events_path = mem_strdup(run);
        log->manifest_path = join(run, slash ? slash + 1 - run : 0, "run.json");
    }
    return log->events_path && log->manifest_path;
}

pitot_log *pitot_log_open(const char *run, pitot_error *error) {
    pitot_log *log;
    if (!run || !*run) return pitot_fail(error, PITOT_EINVAL, "no run is named; give a run directory"), NULL;
    log = mem_alloc(1, sizeof *log);
    if (log) log->fd = -1;
    if (!log || !find_paths(log, run)) {
        pitot_fail(error, PITOT_ENOMEM, "%s: no memory to open it", run);
        pitot_log_close(log);
        return NULL;
    }
    start_over(log);
    if (!file_exists(run)) pitot_fail(error, PITOT_EIO, "%s: there is no such run; give a run directory, or its events.jsonl", run);
    else if (!file_exists(log->events_path) && !file_exists(log->manifest_path))
        pitot_fail(error, PITOT_EIO, "%s: has neither run.json nor events.jsonl; give a directory that pitot wrote", run);
    else {
        follow_manifest(log);
        return log;
    }
    pitot_log_close(log);
    return NULL;
}

void pitot_log_close(pitot_log *log) {
    if (!log) return;
    if (log->fd >= 0) close(log->fd);
    clear_columns(log);
    mem_free(log->column);
    for (int kind = 0; kind < KINDS; kind++) mem_free(log->ranked[kind]);
    mem_free(log->events_path);
    mem_free(log->manifest_path);
    mem_free(log->buffer);
    mem_free(log->item);
    mem_free(log->guess);
    mem_free(log->name);
    mem_free(log->voiding);
    mem_free(log->manifest);
    cJSON_Delete(log->facts);
    mem_free(log);
}

void pitot_log_get_state(const pitot_log *log, pitot_log_state *state) {
    size_t size = state->struct_size;
    if (!log) return;
    if (size == 0 || size > sizeof log->state) size = sizeof log->state;
    memcpy(state, &log->state, size);
    state->struct_size = size;
}

/* The column of rank i, or NULL. */
static const column *ranked(const pitot_log *log, int kind, int64_t i) {
    return log && i >= 0 && i < log->count[kind] ? &log->column[log->ranked[kind][i]] : NULL;
}

static int64_t find(const pitot_log *log, int kind, const char *name) {
    int64_t length = (int64_t)strlen(name), slot, at;
    if (!log || !log->slots) return -1;
    at = look_up(log, hash_name(log, kind, name, length), kind, name, length, &slot);
    return at < 0 ? -1 : log->column[at].rank;
}

int64_t pitot_log_series_count(const pitot_log *log) {
    return log ? log->count[NUMBERS] : 0;
}

int32_t pitot_log_series(const pitot_log *log, int64_t i, pitot_series *series) {
    const column *c = ranked(log, NUMBERS, i);
    if (!c) return PITOT_EINVAL;
    *series = (pitot_series){ c->name, c->n, c->step, c->wall, c->value };
    return PITOT_OK;
}

int64_t pitot_log_find(const pitot_log *log, const char *name) {
    return find(log, NUMBERS, name);
}

int64_t pitot_log_list_count(const pitot_log *log) {
    return log ? log->count[LISTS] : 0;
}

int32_t pitot_log_list(const pitot_log *log, int64_t i, pitot_list *list) {
    const column *c = ranked(log, LISTS, i);
    if (!c) return PITOT_EINVAL;
    *list = (pitot_list){ c->name, c->n, c->step, c->wall };
    return PITOT_OK;
}

int64_t pitot_log_find_list(const pitot_log *log, const char *name) {
    return find(log, LISTS, name);
}

int log_list_place(const pitot_log *log, int64_t i, int64_t step, log_place *place) {
    const column *c = ranked(log, LISTS, i);
    int64_t k = c ? lower_bound(c->step, c->n, step) : 0;
    if (!c || log->fd < 0) return 0;
    if (k == c->n || c->step[k] > step) k--; /* the newest one up to `step` */
    if (k < 0) return 0;
    *place = (log_place){ log->fd, c->name, c->name_length, c->step[k], (int64_t)c->value[k] };
    return 1;
}

const char *pitot_log_manifest(const pitot_log *log) {
    return log && log->manifest ? log->manifest : "";
}

int32_t pitot_log_check(const char *line, int64_t length) {
    scan_item item;
    scan s;
    int more, bad = 0;
    if (!scan_sum(line, length)) return 0;
    s = scan_begin(line, length);
    while ((more = scan_next(&s, &item)) > 0) bad = bad || (is_key(&item, "step") && step_of(&item) < 0);
    return more == 0 && !bad;
}

/* ---- facts ----------------------------------------------------------------------------------------------------------- */

/* The member called path[0..length), or the element of that number. */
static const cJSON *member(const cJSON *node, const char *path, size_t length) {
    int64_t index = 0;
    if (cJSON_IsArray(node)) {
        if (!length || length > 9 || strspn(path, "0123456789") < length) return NULL;
        for (size_t i = 0; i < length; i++) index = index * 10 + (path[i] - '0');
        return cJSON_GetArrayItem(node, (int)index);
    }
    if (!cJSON_IsObject(node)) return NULL;
    for (node = node->child; node; node = node->next)
        if (strlen(node->string) == length && memcmp(node->string, path, length) == 0) break;
    return node;
}

/* Keys may contain dots ("layers.0.weight"): the longest key that leads to an answer is taken. */
static const cJSON *walk(const cJSON *node, const char *path) {
    for (size_t length = strlen(path); length > 0; length--) {
        const cJSON *next;
        if (path[length] && path[length] != '.') continue;
        next = member(node, path, length);
        if (next && path[length]) next = walk(next, path + length + 1);
        if (next) return next;
    }
    return NULL;
}

static int32_t put_text(const char *text, char *out, size_t size) {
    size_t length = strlen(text);
    if (size) {
        size_t n = length < size - 1 ? length : size - 1;
        memcpy(out, text, n);
        out[n] = 0;
    }
    return length > INT32_MAX ? INT32_MAX : (int32_t)length;
}

static int32_t put_printed(const cJSON *node, char *out, size_t size) {
    char *text = cJSON_PrintUnformatted(node);
    int32_t length = put_text(text ? text : "", out, size);
    cJSON_free(text);
    return length;
}

int32_t pitot_log_fact(const pitot_log *log, const char *path, char *out, size_t size) {
    const cJSON *node = log && log->facts && path ? walk(log->facts, path) : NULL;
    char number[NUMBER_ROOM];
    if (!node || cJSON_IsNull(node)) return put_text("", out, size);
    if (cJSON_IsString(node)) return put_text(node->valuestring, out, size);
    if (cJSON_IsNumber(node)) return number_write(node->valuedouble, number), put_text(number, out, size);
    return put_printed(node, out, size);
}
