/* reading.c: see reading.h. */

#include "term/reading.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The step at x of the run at hand; by wall time, that of the longest series. -1: before its first. */
static int64_t step_at(const screen *s, const shown *all, double x) {
    const run_x *r = &s->window.run[all->at];
    pitot_series v, longest = { .n = 0 };
    if (!r->by_wall) {
        double step = floor(x / r->factor + r->origin + 1e-6);
        return step >= 0 ? step < 9e18 ? (int64_t)step : INT64_MAX : -1;
    }
    for (int64_t i = 0; pitot_log_series(shown_at(all)->log, i, &v) == PITOT_OK; i++)
        if (v.n > longest.n) longest = v;
    int64_t i = longest.n ? window_find(r, &longest, x) : -1;
    return i >= 0 ? longest.step[i] : -1;
}

static int has_window(const screen *s, const shown *all) {
    return s->window.run && all->at < s->window.runs;
}

int64_t reading_step(const screen *s, const shown *all) {
    return s->window.cursor && has_window(s, all) ? step_at(s, all, s->window.at) : INT64_MAX;
}

void reading_range(const screen *s, const shown *all, int64_t *first, int64_t *last) {
    pitot_series v;
    *first = INT64_MAX;
    *last = -1;
    for (int64_t i = 0; pitot_log_series(shown_at(all)->log, i, &v) == PITOT_OK; i++) {
        if (!v.n) continue;
        if (v.step[0] < *first) *first = v.step[0];
        if (v.step[v.n - 1] > *last) *last = v.step[v.n - 1];
    }
    if (*last < 0) *first = 0;
    if (s->window.part && has_window(s, all)) {
        int64_t lo = step_at(s, all, s->window.lo), hi = step_at(s, all, s->window.hi);
        if (lo > *first) *first = lo;
        if (hi < *last) *last = hi;
    }
    if (*last <= *first) *last = *first + 1;
}

int reading_series(const pitot_log *log, const char *name, pitot_series *s) {
    return pitot_log_series(log, pitot_log_find(log, name), s) == PITOT_OK && s->n > 0;
}

int64_t reading_index(const pitot_series *s, int64_t step) {
    int64_t low = 0, high = s->n; /* the first behind `step` */
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (s->step[middle] <= step) low = middle + 1;
        else high = middle;
    }
    return low - 1;
}

double reading_at(const pitot_log *log, const char *name, int64_t step) {
    pitot_series s;
    int64_t i = reading_series(log, name, &s) ? reading_index(&s, step) : -1;
    return i >= 0 ? s.value[i] : NAN;
}

int reading_pen(const pitot_band *band, double v) {
    if (isnan(v)) return PEN_ALARM;
    if (!band) return PEN_MAIN;
    if (v < band->alarm_below || v > band->alarm_above) return PEN_ALARM;
    return v < band->warn_below || v > band->warn_above ? PEN_WARN : PEN_GOOD;
}

void reading_text(double v, int digits, char *text, size_t size) {
    if (isnan(v)) snprintf(text, size, "nan");
    else if (isinf(v)) snprintf(text, size, v > 0 ? "inf" : "-inf");
    else format_value(v, digits, text, size);
}

/* ---- the stability limit ---- */

/* An option of the optimizer as the manifest has it. */
static double option(const pitot_log *log, const char *path, double otherwise) {
    char text[64], *end;
    if (pitot_log_fact(log, path, text, sizeof text) < 1) return otherwise;
    if (!strcmp(text, "true")) return 1;
    double v = strtod(text, &end);
    return end == text ? otherwise : v;
}

double reading_limit(const pitot_log *log, int64_t step, char *name, size_t size) {
    char optimizer[64];
    pitot_log_fact(log, "optimizer.name", optimizer, sizeof optimizer);
    if (!*optimizer) pitot_log_fact(log, "optimizer", optimizer, sizeof optimizer);
    double lr = reading_at(log, "hyper.lr", step), b = option(log, "optimizer.options.momentum", 0);
    double d = option(log, "optimizer.options.dampening", 0), logged = reading_at(log, "sharpness.limit", step);
    int nesterov = option(log, "optimizer.options.nesterov", 0) != 0;
    if (strcmp(optimizer, "sgd") != 0) return NAN;
    if (isnan(lr)) lr = option(log, "optimizer.options.lr", NAN);
    snprintf(name, size, b == 0 ? "2/lr" : nesterov ? "2(1+b)/(1+2b)/lr" : d != 0 ? "2(1+b)/(1-d)/lr" : "2(1+b)/lr");
    if (logged > 0 && isfinite(logged)) return logged;
    double limit = 2 * (1 + b) / lr / (b == 0 ? 1 : nesterov ? 1 + 2 * b : 1 - d);
    return limit > 0 && isfinite(limit) ? limit : NAN;
}
