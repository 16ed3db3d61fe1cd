/* alarm.c: evidence in one series; see alarm.h. One pass with a ring of the latest values. */

#include "alarm.h"

#include <math.h>
#include <string.h>

enum { LEAST_VALUES = 6, WINDOW_STEPS = 24, RING = 32 };

static const double most_octaves = 30; /* that one value may add to the average */

typedef struct seen { /* one value of the window */
    int64_t step;
    int level;
    double excess[ALARM_RAISED + 1]; /* over the bound of a level, octaves */
} seen;

typedef struct scan {
    const pitot_band *band;
    enum alarm_side side;
    seen ring[RING];
    int64_t first, n;        /* values first .. first+n-1 of all, at ring[i % RING] */
    alarm_episode now, peak; /* peak: as it was at the latest step of its highest level */
} scan;

double alarm_bound(const pitot_band *band, enum alarm_side side, int level) {
    if (side == ALARM_BELOW) return level == ALARM_RAISED ? band->alarm_below : band->warn_below;
    if (side == ALARM_ABOVE) return level == ALARM_RAISED ? band->alarm_above : band->warn_above;
    return INFINITY;
}

/* ---- one value ---- */

/* How far v is beyond a bound, in octaves; beside a bound of 0, in distances from warn to alarm, or in units. */
static double excess_of(const scan *s, double v, double bound) {
    double gap = fabs(alarm_bound(s->band, s->side, ALARM_RAISED) - alarm_bound(s->band, s->side, ALARM_WARN));
    if (v > 0 && bound > 0) return fmin(fabs(log2(v / bound)), most_octaves);
    if (!isfinite(gap) || gap == 0) gap = 1;
    return fmin(fabs(v - bound) / gap, most_octaves);
}

static int is_beyond(enum alarm_side side, double v, double bound) {
    if (!isfinite(bound)) return 0;
    return side == ALARM_BELOW ? v < bound : v > bound;
}

static seen look_at(const scan *s, int64_t step, double v) {
    seen x = { .step = step };
    if (s->side >= ALARM_ODD) {
        int odd = isnan(v) || (s->side == ALARM_STRICT && isinf(v));
        return (seen){ step, odd ? ALARM_RAISED : ALARM_NONE, { 0, INFINITY, INFINITY } };
    }
    for (int level = ALARM_WARN; level <= ALARM_RAISED; level++) {
        double bound = alarm_bound(s->band, s->side, level);
        if (!is_beyond(s->side, v, bound)) continue;
        x.level = level;
        x.excess[level] = excess_of(s, v, bound);
    }
    if (x.level == ALARM_RAISED && x.excess[ALARM_WARN] == 0) x.excess[ALARM_WARN] = x.excess[ALARM_RAISED];
    return x;
}

static int is_worse(enum alarm_side side, double v, double than) {
    return side == ALARM_BELOW ? v < than : side == ALARM_ABOVE && v > than;
}

/* ---- the window ---- */

static const seen *value_at(const scan *s, int64_t i) {
    return &s->ring[(s->first + i) % RING];
}

static void push(scan *s, seen x) {
    if (s->n == RING) s->first++, s->n--;
    s->ring[(s->first + s->n++) % RING] = x;
    while (s->n > LEAST_VALUES && value_at(s, 0)->step <= x.step - WINDOW_STEPS) s->first++, s->n--;
}

/* How many values a full window has at the present pace. */
static double full(const scan *s) {
    double passed = (double)(value_at(s, s->n - 1)->step - value_at(s, 0)->step), values = (double)(s->n - 1);
    double wanted = passed > 0 ? fmin(WINDOW_STEPS * values / passed, WINDOW_STEPS) : LEAST_VALUES;
    return fmax(fmax((double)s->n, wanted), LEAST_VALUES);
}

/* Values at that level or above; *since: the step of the first of them; *excess: their average. */
static int64_t count(const scan *s, int level, int64_t *since, double *excess) {
    int64_t n = 0;
    double sum = 0;
    for (int64_t i = 0; i < s->n; i++) {
        const seen *x = value_at(s, i);
        if (x->level < level) continue;
        if (n++ == 0) *since = x->step;
        sum += x->excess[level];
    }
    *excess = n ? sum / (double)n : 0;
    return n;
}

/* The level that the window speaks for, from the one that holds now: up by two thirds, down by one. Fills in what is known of it. */
static int judge(const scan *s, alarm_episode *e) {
    for (int level = ALARM_RAISED; level >= ALARM_WARN; level--) {
        int64_t since = 0, n;
        double excess, size = full(s);
        n = count(s, level, &since, &excess);
        int odd = s->side >= ALARM_ODD && level == ALARM_RAISED && n > 0;
        int holds = s->now.level >= level && 3 * (double)n > size;
        if (!(odd && value_at(s, s->n - 1)->level == level) && 3 * (double)n < 2 * size - 1e-9 && !holds) continue;
        *e = (alarm_episode){ .level = level, .since = since, .beyond = n, .of = s->n, .excess = excess };
        return level;
    }
    return ALARM_NONE;
}

/* ---- the series ---- */

static void begin(scan *s, const alarm_episode *e, const pitot_series *x, int64_t i) {
    s->now = *e;
    s->now.began = e->since;
    s->now.raised = x->step[i];
    s->now.ended = -1;
    s->now.value = s->now.worst = x->value[i];
    for (int64_t k = i; k >= 0 && x->step[k] >= e->since; k--)
        if (is_worse(s->side, x->value[k], s->now.worst)) s->now.worst = x->value[k];
}

static void go_on(scan *s, const alarm_episode *e, double v) {
    alarm_episode *now = &s->now;
    if (e->level != now->level) now->since = e->level < now->level ? now->began : e->since;
    now->level = e->level;
    now->beyond = e->beyond;
    now->of = e->of;
    now->excess = e->excess;
    now->value = v;
    if (is_worse(s->side, v, now->worst)) now->worst = v;
}

/* What is known of the episode's highest level outlasts it. */
static void note(scan *s, int64_t step) {
    alarm_episode *now = &s->now;
    now->last = now->until = step;
    if (now->level < s->peak.level) return;
    s->peak = *now;
}

static alarm_episode close_at(const scan *s, int64_t step) {
    alarm_episode e = s->peak;
    e.ended = step;
    e.last = s->now.last;
    e.worst = s->now.worst;
    return e;
}

/* Begins, goes on with, or ends the episode. 1: it has ended. */
static int update(scan *s, const pitot_series *x, int64_t i) {
    alarm_episode e = { 0 };
    int was = s->now.level;
    if (was == ALARM_NONE && value_at(s, s->n - 1)->level == ALARM_NONE) return 0;
    int level = judge(s, &e);
    if (level == ALARM_NONE) return was != ALARM_NONE;
    if (was == ALARM_NONE) begin(s, &e, x, i);
    else go_on(s, &e, x->value[i]);
    if (level > s->now.highest) s->now.highest = level;
    note(s, x->step[i]);
    return 0;
}

static int64_t keep(alarm_episode *out, int64_t n, int64_t room, const alarm_episode *e) {
    if (room < 1) return 0;
    if (n == room) memmove(out, out + 1, (size_t)(--n) * sizeof *out);
    out[n] = *e;
    return n + 1;
}

int64_t alarm_scan(const pitot_series *x, const pitot_band *band, enum alarm_side side, alarm_episode *out, int64_t room) {
    scan s = { .band = band, .side = side };
    int64_t n = 0;
    for (int64_t i = 0; i < x->n; i++) {
        if (side < ALARM_ODD && isnan(x->value[i])) continue;
        push(&s, look_at(&s, x->step[i], x->value[i]));
        if (!update(&s, x, i)) continue;
        alarm_episode e = close_at(&s, x->step[i]);
        n = keep(out, n, room, &e);
        s.now = s.peak = (alarm_episode){ 0 };
    }
    if (s.now.level != ALARM_NONE) n = keep(out, n, room, &s.now);
    return n;
}
