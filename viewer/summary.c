/* summary.c: see summary.h. */

#include "summary.h"

#include <math.h>

enum { LATEST = 200 }; /* records that the pace rests on */

static const double least_silence = 10; /* seconds */

static int find(const pitot_log *log, const char *name, pitot_series *s) {
    return pitot_log_series(log, pitot_log_find(log, name), s) == PITOT_OK && s->n > 0;
}

static double last_of(const pitot_log *log, const char *name) {
    pitot_series s;
    return find(log, name, &s) ? s.value[s.n - 1] : NAN;
}

/* fmin leaves NaN out. */
static double least_of(const pitot_series *s) {
    double least = NAN;
    for (int64_t i = 0; i < s->n; i++) least = fmin(least, s->value[i]);
    return least;
}

double summary_pace(const pitot_log *log) {
    pitot_series s;
    if (!find(log, "loss", &s) && pitot_log_series(log, 0, &s) != PITOT_OK) return NAN;
    if (s.n < 2) return NAN;
    int64_t from = s.n > LATEST ? s.n - LATEST : 0;
    double seconds = s.wall[s.n - 1] - s.wall[from], steps = (double)s.step[s.n - 1] - (double)s.step[from];
    return seconds > 0 && steps > 0 ? seconds / steps : NAN;
}

void summary_make(const pitot_log *log, run_summary *out) {
    pitot_log_state state = { .struct_size = sizeof state };
    pitot_series s;
    pitot_log_get_state(log, &state);
    *out = (run_summary){
        .ended = state.ended,
        .begun = state.segments + state.records > 0,
        .validated = find(log, "val/loss", &s),
        .step = state.last_step,
        .steps = state.steps,
        .bytes = state.bytes,
        .damaged = state.damaged,
        .loss = last_of(log, "loss"),
        .best = NAN,
        .accuracy = last_of(log, "val/accuracy"),
        .first_wall = state.first_wall,
        .last_wall = state.last_wall,
        .pace = summary_pace(log),
    };
    out->odd = pitot_log_find(log, "loss") >= 0 && !isfinite(out->loss);
    if (out->validated || find(log, "loss", &s)) out->best = least_of(&s);
}

int summary_state(const run_summary *s, double now) {
    static const int ends[] = { RUN_RUNNING, RUN_DONE, RUN_FAILED, RUN_INTERRUPTED };
    double limit = fmax(least_silence, isnan(s->pace) ? 0 : 10 * s->pace);
    if (s->ended > PITOT_LOG_OPEN && s->ended <= PITOT_LOG_INTERRUPTED) return ends[s->ended];
    if (!s->begun) return RUN_WAITING;
    return s->last_wall > 0 && now - s->last_wall > limit ? RUN_SILENT : RUN_RUNNING;
}
