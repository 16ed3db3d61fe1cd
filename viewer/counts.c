/* counts.c: histograms from the log. What its lists hold was written by others: nothing of it is believed unchecked. See counts.h. */

#include "counts.h"

#include <math.h>
#include <stdlib.h>

/* A list as a new block, its length in *n; NULL: there is none, or no memory and *n is PITOT_ENOMEM. */
static double *read_list(const pitot_log *log, const char *key, int64_t step, int64_t *n, int64_t *at) {
    int64_t i = pitot_log_find_list(log, key), room = 4096;
    double *v = NULL;
    *n = i < 0 ? 0 : room + 1;
    while (*n > room || !v) {
        if (*n < 1 || *n > PITOT_LOG_LIST) break;
        if (v) room = *n;
        double *larger = realloc(v, (size_t)room * sizeof *v);
        if (!larger) {
            free(v);
            return *n = PITOT_ENOMEM, NULL;
        }
        v = larger;
        *n = pitot_log_read_list(log, i, step, v, room, at);
    }
    if (*n >= 1 && *n <= room) return v;
    if (*n != PITOT_ENOMEM) *n = 0;
    free(v);
    return NULL;
}

static int is_ascending(const double *v, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(v[i]) || (i && v[i] <= v[i - 1])) return 0;
    return n >= 2;
}

static void sum_up(counts *c) {
    for (int64_t i = 0; i < c->nx * c->ny; i++) {
        if (!isfinite(c->count[i]) || c->count[i] < 0) c->count[i] = 0;
        c->total += c->count[i];
        c->most = fmax(c->most, c->count[i]);
    }
}

void counts_free(counts *c) {
    free(c->count);
    free(c->x);
    free(c->y);
    *c = (counts){ 0 };
}

int counts_read(const pitot_log *log, const char *key, const char *x_key, const char *y_key, int64_t step, counts *c) {
    int64_t n = 0, nx = 0, ny = 2, at;
    *c = (counts){ .ny = 1 };
    c->count = read_list(log, key, step, &n, &c->step);
    if (c->count) c->x = read_list(log, x_key, c->step, &nx, &at);
    if (c->x && y_key) c->y = read_list(log, y_key, c->step, &ny, &at);
    int status = n == PITOT_ENOMEM || nx == PITOT_ENOMEM || ny == PITOT_ENOMEM ? PITOT_ENOMEM : 1;
    if (status == 1) status = c->count && c->x && (c->y || !y_key);
    if (status == 1) status = is_ascending(c->x, nx) && (!y_key || is_ascending(c->y, ny)) && n == (nx - 1) * (ny - 1);
    if (status != 1) return counts_free(c), status;
    c->nx = nx - 1;
    c->ny = ny - 1;
    sum_up(c);
    return 1;
}
