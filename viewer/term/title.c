/* title.c: see title.h. */

#include "term/title.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

enum { PIECE = 160, PIECES = 12 };

static const int64_t much_unread = 1 << 20;

typedef struct piece {
    char text[PIECE];
    int pen;
} piece;

typedef struct pieces {
    piece piece[PIECES];
    int n;
} pieces;

PITOT_PRINTF(3, 4) static void add(pieces *p, int pen, const char *format, ...) {
    va_list list;
    if (p->n == PIECES) return;
    va_start(list, format);
    vsnprintf(p->piece[p->n].text, PIECE, format, list);
    va_end(list);
    p->piece[p->n++].pen = pen;
}

static void add_state(pieces *p, const shown *all, const pitot_log_state *state, const run_summary *run) {
    static const struct {
        const char *name;
        int pen;
    } states[] = {
        [RUN_WAITING] = { "waiting", PEN_DIM }, [RUN_RUNNING] = { "running", PEN_GOOD },
        [RUN_SILENT] = { "silent", PEN_WARN },  [RUN_DONE] = { "done", PEN_GOOD },
        [RUN_FAILED] = { "failed", PEN_ALARM }, [RUN_INTERRUPTED] = { "interrupted", PEN_WARN },
    };
    int is = summary_state(run, all->now);
    char since[32];
    if (shown_at(all)->file_size - state->bytes > much_unread)
        add(p, PEN_WARN, "reading %.0f %%", floor(100.0 * (double)state->bytes / (double)shown_at(all)->file_size));
    else if (is == RUN_SILENT) {
        format_seconds(floor(all->now - state->last_wall), since, sizeof since);
        add(p, PEN_WARN, "silent since %s", since);
    } else add(p, states[is].pen, "%s", states[is].name);
}

static void add_step(pieces *p, const pitot_log_state *state) {
    char last[32], planned[32];
    if (state->last_step < 0) return;
    int64_t done = state->steps > 0 ? state->last_step + 1 : state->last_step; /* of a planned number: how many, not which */
    format_value((double)done, 16, last, sizeof last);
    format_value((double)state->steps, 16, planned, sizeof planned);
    if (state->steps > 0) add(p, PEN_TEXT, "step %s of %s", last, planned);
    else add(p, PEN_TEXT, "step %s", last);
}

static void add_loss(pieces *p, const pitot_log *log) {
    pitot_series s;
    char text[32];
    if (pitot_log_series(log, pitot_log_find(log, "loss"), &s) != PITOT_OK || !s.n) return;
    double v = s.value[s.n - 1];
    format_value(v, 4, text, sizeof text);
    if (isfinite(v)) add(p, PEN_MAIN, "loss %s", text);
    else add(p, PEN_ALARM, "loss %s", isnan(v) ? "nan" : v > 0 ? "inf" : "-inf");
}

static void add_time(pieces *p, const pitot_log_state *state, double seconds_per_step) {
    char text[32];
    double took = state->last_wall - state->first_wall, left = (double)(state->steps - 1 - state->last_step) * seconds_per_step;
    if (state->ended != PITOT_LOG_OPEN && took > 0) {
        format_seconds(took, text, sizeof text);
        add(p, PEN_TEXT, "in %s", text);
    }
    if (isnan(seconds_per_step) || state->ended != PITOT_LOG_OPEN) return;
    format_value(seconds_per_step < 1 ? 1 / seconds_per_step : seconds_per_step, 3, text, sizeof text);
    add(p, PEN_TEXT, seconds_per_step < 1 ? "%s steps/s" : "%s s/step", text);
    if (state->steps <= 0 || left < 1) return;
    format_seconds(left, text, sizeof text);
    add(p, PEN_DIM, "%s left", text);
}

static void add_damage(pieces *p, const pitot_log_state *state) {
    if (state->damaged)
        add(p, PEN_ALARM, "%lld damaged line%s (first: %lld)", (long long)state->damaged, state->damaged == 1 ? "" : "s",
            (long long)state->damaged_at);
}

static void add_fact(pieces *p, const pitot_log *log, const char *path) {
    char text[48];
    if (pitot_log_fact(log, path, text, sizeof text) > 0) add(p, PEN_DIM, "%s", text);
}

/* In order of importance: what does not fit is left out, and after that whatever is dim. */
static void title_pieces(pieces *p, const shown *all, const char *where) {
    const shown_run *run = shown_at(all);
    pitot_log_state state = { .struct_size = sizeof state };
    pitot_log_get_state(run->log, &state);
    run_summary sum = { .ended = state.ended, .begun = state.segments + state.records > 0, .last_wall = state.last_wall };
    double seconds_per_step = sum.pace = summary_pace(run->log);
    if (*run->trouble) add(p, PEN_ALARM, "%s", run->trouble);
    add_state(p, all, &state, &sum);
    if (all->closes_in > 0) add(p, PEN_WARN, "closes in %.0f s, a key keeps it", ceil(all->closes_in));
    add_step(p, &state);
    add_loss(p, run->log);
    add_damage(p, &state);
    add_time(p, &state, seconds_per_step);
    if (all->runs > 1) add(p, PEN_DIM, "run %d of %d", all->at + 1, all->runs);
    if (*where) add(p, PEN_DIM, "%s", where);
    add_fact(p, run->log, "optimizer.name");
    add_fact(p, run->log, "data");
}

void title_line(canvas *c, place at, const shown *all, const char *where) {
    const shown_run *run = shown_at(all);
    pieces p = { .n = 0 };
    int col = at.col, end = at.col + at.cols, left_out = 0;
    if (!at.rows) return;
    canvas_clear_box(c, at);
    title_pieces(&p, all, where);
    int state_width = canvas_text_width(c, p.piece[0].text) + 2, room = at.cols - state_width;
    col += canvas_text(c, at.row, col, room >= 8 ? room : at.cols, run->name, all->runs > 1 ? run->pen : PEN_TITLE);
    for (int i = 0; i < p.n; i++) {
        int width = canvas_text_width(c, p.piece[i].text), gap = i ? 3 : 2;
        if (left_out && p.piece[i].pen == PEN_DIM) continue;
        left_out = left_out || end - col < width + gap;
        if (end - col < width + gap) continue;
        col += gap;
        col += canvas_text(c, at.row, col, end - col, p.piece[i].text, p.piece[i].pen);
    }
}
