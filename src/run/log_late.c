/* log_late.c: what came to a column out of order, sorted and merged. */

#include "run/log_column.h"

#include <string.h>

#include "base/alloc.h"

/* Late values that no later mark voids, in order of arrival, into p; returns how many. O(late). */
static int64_t valid_points(const log_column *c, log_point *p) {
    int64_t kept = 0, limit = INT64_MAX;
    for (int64_t i = c->lates - 1; i >= 0; i--) {
        if (c->late[i].step < 0) {
            if (-1 - c->late[i].step < limit) limit = -1 - c->late[i].step;
        } else if (c->late[i].step < limit) p[kept++] = c->late[i];
    }
    for (int64_t i = 0; i < kept / 2; i++) {
        log_point swap = p[i];
        p[i] = p[kept - 1 - i];
        p[kept - 1 - i] = swap;
    }
    return kept;
}

static void merge_runs(const log_point *from, int64_t a, int64_t b, int64_t end, log_point *to) {
    int64_t i = a, j = b;
    for (int64_t k = a; k < end; k++) to[k] = i < b && (j >= end || from[i].step <= from[j].step) ? from[i++] : from[j++];
}

/* Stable, O(n log n), between p and other; returns the one that holds the result. */
static log_point *sort_points(log_point *p, log_point *other, int64_t n) {
    for (int64_t width = 1; width < n; width *= 2) {
        log_point *swap = p;
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
static int64_t drop_overwritten(log_point *p, int64_t n) {
    int64_t kept = 0;
    for (int64_t i = 0; i < n; i++)
        if (i + 1 == n || p[i + 1].step != p[i].step) p[kept++] = p[i];
    return kept;
}

/* Merges sorted p[0..count) into a column with rows of its own and room for all, from its end, where p wins over an equal step.
   `end` is where the result would end if no steps were equal. */
static void merge_into(log_column *c, const log_point *p, int64_t count) {
    int64_t *step = c->rows->step, i = c->n - 1, j = count - 1, k = c->n + count - 1, end = c->n + count, gap;
    double *wall = c->rows->wall;
    while (j >= 0) {
        if (i >= 0 && step[i] > p[j].step) {
            step[k] = step[i];
            wall[k] = wall[i];
            c->value[k--] = c->value[i--];
            continue;
        }
        if (i >= 0 && step[i] == p[j].step) i--;
        step[k] = p[j].step;
        wall[k] = p[j].wall;
        c->value[k--] = p[j--].value;
    }
    gap = k - i;
    if (gap) {
        size_t bytes = (size_t)(end - 1 - k) * 8;
        memmove(step + i + 1, step + k + 1, bytes);
        memmove(wall + i + 1, wall + k + 1, bytes);
        memmove(c->value + i + 1, c->value + k + 1, bytes);
    }
    c->n = c->rows->n = end - gap;
}

/* Rows of the column's own and room for `count` more values. */
static int make_space(log_columns *all, log_column *c, int64_t count) {
    void *value = c->value;
    int good = log_make_room(&value, c->n, &c->room, c->n + count, sizeof *c->value);
    log_rows *own;
    c->value = value;
    own = good ? log_rows_own(&all->pool, c->rows, c->n, c->n + count) : NULL;
    if (own) c->rows = own;
    return own != NULL;
}

int log_column_merge(log_columns *all, log_column *c) {
    int64_t count;
    log_point *p, *sorted;
    if (!c->lates) return 1;
    p = mem_alloc(2 * c->lates, sizeof *p);
    if (!p) return 0;
    count = valid_points(c, p);
    sorted = sort_points(p, p + c->lates, count);
    count = drop_overwritten(sorted, count);
    if (count && !make_space(all, c, count)) {
        mem_free(p);
        return 0;
    }
    if (count) merge_into(c, sorted, count);
    mem_free(p);
    mem_free(c->late);
    c->late = NULL;
    c->lates = c->late_room = 0;
    return 1;
}
