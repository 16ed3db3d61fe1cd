/* log_column.c: see log_column.h. */

#include "run/log_column.h"

#include "base/alloc.h"

/* ---- one column ------------------------------------------------------------------------------------------------------ */

static int make_value_room(const log_columns *all, log_column *c, int64_t need) {
    void *value = c->value;
    int64_t expected = need <= c->room ? 0 : log_expected(&all->pool, c->n);
    int good = log_make_room(&value, c->n, &c->room, need > expected ? need : expected, sizeof *c->value);
    c->value = value;
    return good;
}

static int append_late(log_columns *all, log_column *c, log_point p) {
    void *late = c->late;
    int good = log_make_room(&late, c->lates, &c->late_room, c->lates + 1, sizeof *c->late);
    c->late = late;
    all->unsettled = 1;
    if (good) c->late[c->lates++] = p;
    return good;
}

/* Tells a column what headers voided since it was touched last: of its rows at once, of what is late by a mark behind it. */
static int hear(log_columns *all, log_column *c) {
    int64_t limit, left;
    if (c->heard == all->pool.headers) return 1;
    limit = log_cuts_least(&all->pool.voided, c->heard);
    if (c->rows && !log_rows_hear(&all->pool, c->rows)) return 0;
    if (c->lates && limit != INT64_MAX && !append_late(all, c, (log_point){ -1 - limit, 0, 0 })) return 0;
    left = log_column_length(c);
    c->n = left;
    c->heard = all->pool.headers;
    return 1;
}

int64_t log_column_length(const log_column *c) {
    int64_t left = c->rows ? log_cuts_least(&c->rows->cuts, c->heard) : 0;
    return left < c->n ? left : c->n;
}

/* The value at row `at`, which is the next or, `again`, the last one. */
static int put_in_order(log_columns *all, log_column *c, int again, int64_t step, double wall, double value) {
    int64_t at = c->n - again;
    log_rows *r;
    if (!make_value_room(all, c, at + 1)) return 0;
    r = log_rows_take(&all->pool, c->rows, at, step, wall);
    if (!r) return 0;
    c->rows = r;
    c->value[at] = value;
    c->n = at + 1;
    return 1;
}

int log_column_put(log_columns *all, log_column *c, int64_t step, double wall, double value) {
    int64_t last;
    if (!hear(all, c)) return 0;
    last = c->n ? c->rows->step[c->n - 1] : -1;
    if (c->lates || step < last) return append_late(all, c, (log_point){ step, wall, value });
    if (step == last && c->rows->users > 1 && !log_rows_have(c->rows, c->n - 1, step, wall)) { /* its neighbours keep the row */
        log_rows *own = log_rows_own(&all->pool, c->rows, c->n, c->n);
        if (!own) return 0;
        c->rows = own;
    }
    return put_in_order(all, c, step == last, step, wall, value);
}

/* ---- all of them ----------------------------------------------------------------------------------------------------- */

int log_columns_void(log_columns *all, int64_t step) {
    if (!log_cuts_add(&all->pool.voided, all->pool.headers + 1, step)) return 0;
    all->pool.headers++;
    all->unsettled = 1;
    return 1;
}

int log_columns_settle(log_columns *all, int64_t *last) {
    *last = -1;
    for (int64_t i = 0; i < all->n; i++) {
        log_column *c = &all->column[i];
        if (!hear(all, c) || !log_column_merge(all, c)) return 0;
        if (c->n && c->rows->step[c->n - 1] > *last) *last = c->rows->step[c->n - 1];
    }
    all->unsettled = 0;
    return 1;
}

void log_columns_clear(log_columns *all) {
    for (int64_t i = 0; i < all->n; i++) {
        log_column *c = &all->column[i];
        log_rows_leave(&all->pool, c->rows);
        mem_free(c->name);
        mem_free(c->value);
        mem_free(c->late);
    }
    mem_free(all->slot);
    all->slot = NULL;
    all->slots = all->n = all->pool.headers = all->pool.voided.n = 0;
    for (int kind = 0; kind < LOG_KINDS; kind++) all->count[kind] = 0;
    all->unsettled = 0;
}

void log_columns_free(log_columns *all) {
    log_columns_clear(all);
    mem_free(all->pool.voided.list);
    mem_free(all->column);
    for (int kind = 0; kind < LOG_KINDS; kind++) mem_free(all->ranked[kind]);
}
