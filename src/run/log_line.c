/* log_line.c: what a line of events.jsonl says. See pitot/log.h.

   A line is taken whole or not at all: its sum and its JSON are checked before the first value is stored. If memory ends in the
   middle, the line is taken again at the next poll; storing a value twice changes nothing. */

#include "run/log_read.h"

#include <math.h>
#include <string.h>

enum { SALVAGES = 8 }; /* places in a damaged line that may be the start of a good one */

static const int64_t largest_step = (int64_t)1 << 53;

/* The column for the item at place i, named by the first `length` bytes of its key. Lines look alike: the guess mostly holds. */
static log_column *column_of(pitot_log *log, int64_t i, int64_t length) {
    const char *name = log->item[i].key;
    int64_t at = log->guess[i];
    int kind = log->item[i].kind == SCAN_LIST ? LOG_LISTS : LOG_NUMBERS;
    if (log->item[i].escaped) {
        void *block = log->name;
        if (!log_make_room(&block, 0, &log->name_room, length, 1)) return NULL;
        log->name = block;
        length = scan_unescape(name, length, log->name);
        name = log->name;
    }
    if (at >= log->columns.n || !log_column_is_called(&log->columns.column[at], kind, name, length))
        at = log_columns_called(&log->columns, kind, name, length);
    if (at < 0) return NULL;
    log->guess[i] = at;
    return &log->columns.column[at];
}

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
    good = log_make_room(&item, log->items, &room, log->items + 1, sizeof *log->item);
    log->item = item;
    room = log->items_room;
    good = good && log_make_room(&guess, log->items, &room, log->items + 1, sizeof *log->guess);
    log->guess = guess;
    if (good) log->items_room = room;
    return good;
}

static int scan_item_at(pitot_log *log, scan *s, int64_t i) {
    int64_t at = log->guess[i];
    const log_column *c = at < log->columns.n && log->columns.column[at].plain ? &log->columns.column[at] : NULL;
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

/* Steps >= `step` become void. */
static int void_from(pitot_log *log, int64_t step) {
    if (!log_columns_void(&log->columns, step)) return NO_MEMORY;
    log->voided = 1;
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
        log_column *c;
        if (length < 0) continue;
        c = column_of(log, i, length);
        if (!c || !log_column_put(&log->columns, c, step, wall, value)) return NO_MEMORY;
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

void log_count_damage(pitot_log *log) {
    if (!log->state.damaged++) log->state.damaged_at = log->line + 1;
}

int log_take_line(pitot_log *log, const char *line, int64_t length) {
    int answer;
    if (!length) return 1;
    answer = take_good_line(log, line, length);
    if (answer != BAD) return answer == GOOD;
    log->doubtful = 1;
    if (salvage(log, line, length) == NO_MEMORY) return 0;
    log_count_damage(log);
    return 1;
}

int log_settle(pitot_log *log) {
    int64_t last;
    if (!log->columns.unsettled) return 1;
    if (!log_columns_settle(&log->columns, &last)) return 0;
    if (log->voided) log->state.last_step = last > log->recent[0] ? last : log->recent[0];
    log->voided = 0;
    return 1;
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
