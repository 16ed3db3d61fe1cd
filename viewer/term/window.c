/* window.c: see window.h. */

#include "term/window.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "term/screen.h"
#include "term/times.h"

static const double nearer = 0.5; /* of the width, by a key */
static const double aside = 0.25;

const key window_keys[] = {
    { SHARED_IN, { '+', '=' }, "+", "zoom", "zoom in on x, about the cursor or the newest in sight" },
    { SHARED_OUT, { '-', '_' }, "-", NULL, "zoom out" },
    { SHARED_EARLIER, { ',', '<' }, ",", NULL, "earlier; < too" },
    { SHARED_LATER, { '.', '>' }, ".", NULL, "later; > too" },
    { SHARED_ALL, { '0' }, "0", NULL, "all of it, and what comes" },
    { SHARED_CURSOR, { 'i' }, "i", "cursor", "a cursor that reads values off all plots, moved by Left and Right; off again" },
    { SHARED_JUMP, { ':' }, ":", NULL, "the cursor to a step" },
    { SHARED_ALARM, { 'n' }, "n", NULL, "the cursor to the next alarm's beginning" },
    { SHARED_MOST, { 'm' }, "m", NULL, "the cursor to the selected panel's maximum" },
    { SHARED_X, { 'x' }, "x", "x axis", "the next x: steps, epochs, seconds, wall-clock time" },
    { SHARED_LOG_X, { 'X' }, "X", NULL, "x logarithmic, and back" },
    { DO_NOTHING, { 0 }, NULL, NULL, NULL },
};

/* ---- runs on x ------------------------------------------------------------------------------------------------------- */

static double fact(const pitot_log *log, const char *path) {
    char text[48], *end;
    if (pitot_log_fact(log, path, text, sizeof text) <= 0) return NAN;
    double v = strtod(text, &end);
    return *end || !isfinite(v) || v <= 0 ? NAN : v;
}

/* Steps of an epoch, as the manifest says: by itself, or by samples and batch. NaN: it does not. */
static double steps_per_epoch(const pitot_log *log) {
    double said = fact(log, "steps_per_epoch");
    return isnan(said) ? ceil(fact(log, "samples") / fact(log, "batch")) : said;
}

static run_x run_on_x(const shown_run *run, int by) {
    pitot_log_state state = { .struct_size = sizeof state };
    switch (by) {
    case BY_EPOCHS: return (run_x){ 0, 0, 1 / steps_per_epoch(run->log) };
    case BY_SECONDS: pitot_log_get_state(run->log, &state); return (run_x){ 1, state.first_wall, 1 };
    case BY_WALL: return (run_x){ 1, 0, 1 };
    default: return (run_x){ 0, 0, 1 };
    }
}

int64_t window_find(const run_x *r, const pitot_series *s, double x) {
    int64_t low = 0, high = s->n;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (window_x(r, s, middle) <= x) low = middle + 1;
        else high = middle;
    }
    return low - 1;
}

static void widen(screen *s, const pitot_series *v, const run_x *r) {
    double first = window_x(r, v, 0), last = window_x(r, v, v->n - 1);
    axis *all = &s->window.all;
    if (v->step[0] < s->first_step) s->first_step = v->step[0];
    if (v->step[v->n - 1] > s->last_step) s->last_step = v->step[v->n - 1];
    if (isfinite(first) && first < all->lo) all->lo = first;
    if (isfinite(last) && last > all->hi) all->hi = last;
}

static void find_all(screen *s, const shown *all) {
    pitot_series v;
    s->first_step = INT64_MAX;
    s->last_step = -1;
    s->window.all = (axis){ AXIS_LINEAR, INFINITY, -INFINITY, 0 };
    for (int k = 0; k < all->runs; k++) {
        s->window.run[k] = run_on_x(&all->run[k], s->window.by);
        if (!screen_shows(s, &all->run[k])) continue;
        for (int64_t i = 0; pitot_log_series(all->run[k].log, i, &v) == PITOT_OK; i++)
            if (v.n) widen(s, &v, &s->window.run[k]);
    }
    if (s->last_step < 0) s->first_step = 0;
    if (s->last_step <= s->first_step) s->last_step = s->first_step + 1;
}

/* One step, or a thousandth of all, rounded down to a power of ten, is linear on a logarithmic axis. */
static double linear_part(const window *w, int at) {
    if (w->by == BY_STEPS) return 1;
    if (w->by == BY_EPOCHS) return isfinite(w->run[at].factor) ? w->run[at].factor : 1;
    return pow(10, floor(log10(fmax(fabs(w->all.hi), 1e-3) / 1000)));
}

int32_t window_refresh(struct screen *s, const struct shown *all) {
    window *w = &s->window;
    run_x *run = realloc(w->run, ((size_t)all->runs + 1) * sizeof *run);
    if (!run) return PITOT_ENOMEM;
    w->run = run;
    w->runs = all->runs;
    find_all(s, all);
    axis *a = &w->all;
    if (!(a->lo < INFINITY)) a->lo = 0;
    if (!(a->hi > a->lo)) a->hi = a->lo + fmax(1, fabs(a->lo) * 1e-9);
    if (!isfinite(a->hi)) *a = (axis){ AXIS_LINEAR, 0, 1, 0 };
    a->scale = w->log_x && w->by != BY_WALL ? AXIS_SYMLOG : AXIS_LINEAR;
    a->linear = linear_part(w, all->at);
    if (w->part && (w->lo >= a->hi || w->hi <= a->lo)) w->part = 0; /* a log that was cut */
    w->x = *a;
    if (w->part) w->x.lo = w->lo, w->x.hi = w->hi;
    return PITOT_OK;
}

void window_free(window *w) {
    free(w->run);
    *w = (window){ 0 };
}

/* ---- zoom and pan ---------------------------------------------------------------------------------------------------- */

void window_all(window *w) {
    w->part = 0;
    w->x = w->all;
}

static double least_width(const window *w) {
    double size = fmax(fabs(w->all.lo), fabs(w->all.hi));
    double own = w->by == BY_STEPS ? 4 : w->by == BY_EPOCHS ? 4 * w->all.linear : 1e-3;
    return fmax(own, size * 1e-11);
}

/* Ends that are next to those of all there is are those. */
static void set(window *w, double lo, double hi) {
    double near = 1e-9 * (hi - lo);
    if (lo < w->all.lo + near) lo = w->all.lo;
    if (hi > w->all.hi - near) hi = w->all.hi;
    if (!(lo < hi)) return;
    w->part = lo > w->all.lo || hi < w->all.hi;
    w->x.lo = w->lo = lo;
    w->x.hi = w->hi = hi;
}

/* What is beyond one end of all there is comes in at the other. */
void window_zoom(window *w, double about, double factor) {
    double least = axis_at(&w->x, w->all.lo), most = axis_at(&w->x, w->all.hi);
    double from = about * (1 - factor), to = about + (1 - about) * factor;
    if (from < least) to += least - from, from = least;
    if (to > most) from = fmax(from - (to - most), least), to = most;
    double lo = axis_value(&w->x, from), hi = axis_value(&w->x, to);
    if (factor >= 1 || hi - lo >= least_width(w)) set(w, lo, hi);
}

void window_pan(window *w, double by) {
    double least = axis_at(&w->x, w->all.lo), most = axis_at(&w->x, w->all.hi) - 1;
    if (!w->part) return;
    if (by < least) by = least;
    if (by > most) by = most;
    set(w, axis_value(&w->x, by), axis_value(&w->x, 1 + by));
}

/* What a step is on x; 0: x is not counted in steps. */
static double unit_of(const window *w) {
    return w->by == BY_STEPS ? 1 : w->by == BY_EPOCHS ? w->all.linear : 0;
}

/* To the next step. */
static double snap(const window *w, double x) {
    double unit = unit_of(w);
    return unit > 0 ? floor(x / unit + 0.5) * unit : x;
}

void window_go(window *w, double x) {
    if (isnan(x)) return;
    w->cursor = 1;
    w->at = fmin(fmax(snap(w, x), w->all.lo), w->all.hi);
    if (w->at < w->x.lo || w->at > w->x.hi) window_pan(w, axis_at(&w->x, w->at) - 0.5);
}

static double anchor(const window *w) {
    double at = w->cursor ? axis_at(&w->x, w->at) : 1;
    return at >= 0 && at <= 1 ? at : 1;
}

/* ---- the cursor ------------------------------------------------------------------------------------------------------ */

static void toggle_cursor(window *w) {
    w->cursor = !w->cursor;
    if (!w->cursor || (w->at > w->x.lo && w->at <= w->x.hi)) return;
    w->at = snap(w, w->x.hi);
    if (w->at > w->x.hi) w->at -= unit_of(w);
}

/* By columns of dots, but from step to step where those are farther apart. */
static void move_cursor(window *w, int by) {
    double share = (double)by / (w->dots > 1 ? w->dots - 1 : 100);
    double to = snap(w, axis_value(&w->x, axis_at(&w->x, w->at) + share)), unit = unit_of(w);
    if (unit > 0 && fabs(to - w->at) < unit / 2) to = w->at + by * unit;
    if (to < w->x.lo) window_pan(w, axis_at(&w->x, to));
    if (to > w->x.hi) window_pan(w, axis_at(&w->x, to) - 1);
    w->at = fmin(fmax(to, w->all.lo), w->all.hi);
}

/* The run's series that has most records: its steps and times are the run's. 1, or 0: it has none. */
static int longest(const shown_run *run, pitot_series *out) {
    pitot_series v;
    out->n = 0;
    for (int64_t i = 0; pitot_log_series(run->log, i, &v) == PITOT_OK; i++)
        if (v.n > out->n) *out = v;
    return out->n > 0;
}

/* Where a step of the run at hand is; NaN: nowhere. */
static double x_of_step(const screen *s, const shown *all, double step) {
    const run_x *r = &s->window.run[all->at], steps = { 0, 0, 1 };
    pitot_series v;
    if (!r->by_wall) return (step - r->origin) * r->factor;
    if (!longest(shown_at(all), &v)) return NAN;
    int64_t i = window_find(&steps, &v, step);
    return window_x(r, &v, i < 0 ? 0 : i);
}

static void jump(screen *s, const shown *all, const char *text) {
    char *end;
    double step = strtod(text, &end);
    if (end == text || *end || !isfinite(step)) screen_say(s, "%.40s: no step", text);
    else window_go(&s->window, x_of_step(s, all, step));
}

/* The alarm that begins next behind the cursor; behind the last one the first. */
static void go_to_alarm(screen *s, const shown *all) {
    const alarm_list *list = shown_at(all)->alarms;
    const alarm_entry *next = NULL, *first = NULL;
    window *w = &s->window;
    char text[160];
    for (int64_t i = 0; list && i < list->n; i++) {
        const alarm_entry *a = &list->alarm[i];
        double x = x_of_step(s, all, (double)a->began);
        if (!first || a->began < first->began) first = a;
        if ((!w->cursor || x > w->at) && (!next || a->began < next->began)) next = a;
    }
    if (!next) next = first;
    if (!next) {
        screen_say(s, "no alarms");
        return;
    }
    window_go(w, x_of_step(s, all, (double)next->began));
    alarm_headline(next, text, sizeof text);
    screen_say(s, "%s", text);
}

/* ---- other x --------------------------------------------------------------------------------------------------------- */

static const char *const names[BY_END] = { "steps", "epochs", "seconds since the run's start", "wall-clock time" };

/* The same records in sight, the cursor at the same one, by the run at hand. */
static void translate(screen *s, const shown *all, const run_x *before) {
    window *w = &s->window;
    pitot_series v;
    int64_t lo, hi, at;
    if (!longest(shown_at(all), &v)) {
        w->part = w->cursor = 0;
        return;
    }
    const run_x *now = &w->run[all->at];
    lo = window_find(before, &v, w->lo);
    hi = window_find(before, &v, w->hi);
    at = window_find(before, &v, w->at);
    w->lo = window_x(now, &v, lo < 0 ? 0 : lo);
    w->hi = window_x(now, &v, hi < 0 ? 0 : hi);
    w->at = window_x(now, &v, at < 0 ? 0 : at);
    w->part = w->part && w->lo < w->hi;
}

static int epochs_are_known(screen *s, const shown *all) {
    for (int k = 0; k < all->runs; k++) {
        if (!screen_shows(s, &all->run[k]) || !isnan(steps_per_epoch(all->run[k].log))) continue;
        screen_say(s, "x: seconds; no epochs, for %.60s does not say how many steps one has", all->run[k].name);
        return 0;
    }
    return 1;
}

static void next_x(screen *s, const shown *all) {
    window *w = &s->window;
    run_x before = w->run[all->at];
    w->by = (w->by + 1) % BY_END;
    screen_say(s, "x: %s", names[w->by]);
    if (w->by == BY_EPOCHS && !epochs_are_known(s, all)) w->by++;
    w->run[all->at] = run_on_x(shown_at(all), w->by);
    translate(s, all, &before);
    window_refresh(s, all);
}

static void log_x(screen *s, const shown *all) {
    window *w = &s->window;
    if (w->by == BY_WALL) {
        screen_say(s, "wall-clock time has no logarithm");
        return;
    }
    w->log_x = !w->log_x;
    screen_say(s, w->log_x ? "x: logarithmic" : "x: linear");
    window_refresh(s, all);
}

/* ---- what keys do ---------------------------------------------------------------------------------------------------- */

static int act_by_cursor(window *w, const event *e) {
    if (!w->cursor) return 0;
    switch (e->action) {
    case DO_LEFT: move_cursor(w, -1); return 1;
    case DO_RIGHT: move_cursor(w, 1); return 1;
    case DO_GO_BACK: w->cursor = 0; return 1;
    default: return 0;
    }
}

int window_act(struct screen *s, struct shown *all, const event *e) {
    window *w = &s->window;
    if (w->runs != all->runs && window_refresh(s, all) != PITOT_OK) return 0;
    switch (e->action) {
    case SHARED_IN: window_zoom(w, anchor(w), nearer); break;
    case SHARED_OUT: window_zoom(w, anchor(w), 1 / nearer); break;
    case SHARED_EARLIER: window_pan(w, -aside); break;
    case SHARED_LATER: window_pan(w, aside); break;
    case SHARED_ALL: window_all(w); break;
    case SHARED_X: next_x(s, all); break;
    case SHARED_LOG_X: log_x(s, all); break;
    case SHARED_CURSOR: toggle_cursor(w); break;
    case SHARED_JUMP: screen_ask(s, SHARED_JUMP, "to step:"); break;
    case SHARED_ALARM: go_to_alarm(s, all); break;
    case DO_ANSWER:
        if (e->asked != SHARED_JUMP) return 0;
        jump(s, all, e->text);
        break;
    default: return act_by_cursor(w, e);
    }
    return 1;
}

/* ---- text ------------------------------------------------------------------------------------------------------------ */

void window_say(const window *w, double x, char *text, size_t size) {
    char value[40];
    format_value(x, w->by == BY_STEPS ? 16 : 6, value, sizeof value);
    if (w->by == BY_WALL) times_format(x, text, size);
    else if (w->by == BY_SECONDS) format_seconds(x, text, size);
    else snprintf(text, size, w->by == BY_EPOCHS ? "epoch %s" : "step %s", value);
}

int window_ticks(const window *w, int wanted, tick *ticks, int room) {
    int n = 0;
    if (w->by == BY_SECONDS && w->x.scale == AXIS_LINEAR) n = times_ticks(w->x.lo, w->x.hi, wanted, ticks, room);
    if (w->by == BY_WALL) n = times_ticks_of_day(w->x.lo, w->x.hi, wanted, ticks, room);
    return n ? n : axis_ticks(&w->x, wanted, ticks, room);
}
