/* draw.c: see draw.h. */

#include "term/draw.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "term/alarms.h"
#include "term/keys.h"
#include "term/plot.h"
#include "term/spectrum.h"

enum { PIECE = 160, PIECES = 12 };

static const double least_silence = 10; /* seconds without a record before a run is called silent */
static const int64_t much_unread = 1 << 20;

/* ---- the title line -------------------------------------------------------------------------------------------------- */

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

/* Seconds per step over the latest records, NaN if that cannot be said. */
static double pace(const pitot_log *log) {
    pitot_series s;
    int64_t from;
    double seconds;
    if (pitot_log_series(log, pitot_log_find(log, "loss"), &s) != PITOT_OK && pitot_log_series(log, 0, &s) != PITOT_OK) return NAN;
    if (s.n < 2) return NAN;
    from = s.n > 200 ? s.n - 200 : 0;
    seconds = s.wall[s.n - 1] - s.wall[from];
    return seconds > 0 ? seconds / (double)(s.step[s.n - 1] - s.step[from]) : NAN;
}

static void add_state(pieces *p, const shown *run, const pitot_log_state *state, double seconds_per_step) {
    static const struct {
        const char *name;
        int pen;
    } ends[] = { { "running", PEN_GOOD }, { "done", PEN_GOOD }, { "failed", PEN_ALARM }, { "interrupted", PEN_WARN } };
    double silence = run->now - state->last_wall;
    double limit = fmax(least_silence, isnan(seconds_per_step) ? 0 : 10 * seconds_per_step);
    char since[32];
    if (run->file_size - state->bytes > much_unread)
        add(p, PEN_WARN, "reading %.0f %%", floor(100.0 * (double)state->bytes / (double)run->file_size));
    else if (state->ended == PITOT_LOG_OPEN && state->segments + state->records == 0) add(p, PEN_DIM, "waiting");
    else if (state->ended == PITOT_LOG_OPEN && silence > limit && state->last_wall > 0) {
        format_seconds(floor(silence), since, sizeof since);
        add(p, PEN_WARN, "silent since %s", since);
    } else add(p, ends[state->ended].pen, "%s", ends[state->ended].name);
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
static void title_pieces(pieces *p, const screen *s, const shown *run) {
    pitot_log_state state = { .struct_size = sizeof state };
    pitot_log_get_state(run->log, &state);
    double seconds_per_step = pace(run->log);
    if (*run->trouble) add(p, PEN_ALARM, "%s", run->trouble);
    add_state(p, run, &state, seconds_per_step);
    if (run->closes_in > 0) add(p, PEN_WARN, "closes in %.0f s, a key keeps it", ceil(run->closes_in));
    add_step(p, &state);
    add_loss(p, run->log);
    add_damage(p, &state);
    add_time(p, &state, seconds_per_step);
    if (run->runs > 1) add(p, PEN_DIM, "run %d of %d", run->run, run->runs);
    if (s->still && s->layout.pages > 1) add(p, PEN_DIM, "%d of %lld panels", s->layout.per_page, (long long)run->panels->n);
    add_fact(p, run->log, "optimizer.name");
    add_fact(p, run->log, "data");
}

void screen_draw_title(screen *s, const shown *run) {
    canvas *c = &s->canvas;
    place at = s->layout.title;
    pieces p = { .n = 0 };
    int col = at.col, end = at.col + at.cols, left_out = 0;
    if (!at.rows) return;
    canvas_clear_box(c, at);
    title_pieces(&p, s, run);
    int state_width = canvas_text_width(c, p.piece[0].text) + 2, room = at.cols - state_width;
    col += canvas_text(c, at.row, col, room >= 8 ? room : at.cols, run->name, PEN_TITLE);
    for (int i = 0; i < p.n; i++) {
        int width = canvas_text_width(c, p.piece[i].text), gap = i ? 3 : 2;
        if (left_out && p.piece[i].pen == PEN_DIM) continue;
        left_out = left_out || end - col < width + gap;
        if (end - col < width + gap) continue;
        col += gap;
        col += canvas_text(c, at.row, col, end - col, p.piece[i].text, p.piece[i].pen);
    }
}

/* ---- the line of keys, and help -------------------------------------------------------------------------------------- */

static int64_t page_of(const screen *s) {
    return s->selected / s->layout.per_page;
}

static int is_useful(const screen *s, const shown *run, int action) {
    if (action == DO_NEXT_RUN) return run->runs > 1;
    if (action == DO_GO_BACK) return s->enlarged || s->help || s->spectrum || s->alarms;
    if (action == DO_ALARMS) return run->alarms && run->alarms->n > 0;
    if (s->alarms) return action != DO_LOG && action != DO_PAGE_ON;
    if (action == DO_SPECTRUM) return spectrum_records(run->log) > 0;
    if (s->spectrum) return action != DO_ENLARGE && action != DO_SELECT_ON && action != DO_LOG && action != DO_SMOOTH;
    if (action == DO_ENLARGE || action == DO_SELECT_ON) return !s->enlarged && run->panels->n > 1;
    if (action == DO_PAGE_ON) return s->layout.pages > 1 || s->enlarged;
    return 1;
}

/* What a key is called on the bottom line; NULL: it is not there. */
static const char *label_of(const screen *s, const key *k) {
    if (s->alarms && k->action == DO_SMOOTH) return "silence";
    if (s->alarms && k->action == DO_ENLARGE) return "its panel";
    return k->label;
}

static void draw_keys(screen *s, const shown *run) {
    canvas *c = &s->canvas;
    place at = s->layout.keys;
    char page[64] = "";
    int col = at.col, end = at.col + at.cols;
    if (!at.rows) return;
    if (s->spectrum || s->alarms) page[0] = 0;
    else if (s->enlarged) snprintf(page, sizeof page, "panel %lld of %lld", (long long)s->selected + 1, (long long)run->panels->n);
    else if (s->layout.pages > 1)
        snprintf(page, sizeof page, "page %lld of %lld", (long long)page_of(s) + 1, (long long)s->layout.pages);
    if (canvas_text_width(c, page) + 8 < at.cols) end = canvas_text_right(c, at.row, end, at.cols, page, PEN_TEXT) - 2;
    for (const key *k = key_table; k->action != DO_NOTHING; k++) {
        const char *label = label_of(s, k);
        if (!label || !is_useful(s, run, k->action)) continue;
        int width = canvas_text_width(c, k->keys) + 1 + canvas_text_width(c, label);
        if (end - col < width) break;
        col += canvas_text(c, at.row, col, end - col, k->keys, PEN_KEY) + 1;
        col += canvas_text(c, at.row, col, end - col, label, PEN_DIM) + 3;
    }
}

static void draw_help(screen *s) {
    canvas *c = &s->canvas;
    place at = s->layout.body;
    int row = at.rows > 20 ? 1 : 0, left = at.cols > 60 ? 4 : 0;
    for (const key *k = key_table; k->action != DO_NOTHING; k++, row++) {
        if (row >= at.rows) return;
        canvas_text(c, at.row + row, at.col + left, at.cols - left, k->keys, PEN_KEY);
        canvas_text(c, at.row + row, at.col + left + 12, at.cols - left - 12, k->help, PEN_TEXT);
    }
}

/* ---- panels ---------------------------------------------------------------------------------------------------------- */

/* All panels show the same steps, so that what happened at one step stands in one column. */
static void find_range(screen *s, const pitot_log *log) {
    pitot_series x;
    s->first_step = INT64_MAX;
    s->last_step = -1;
    for (int64_t i = 0; pitot_log_series(log, i, &x) == PITOT_OK; i++) {
        if (!x.n) continue;
        if (x.step[0] < s->first_step) s->first_step = x.step[0];
        if (x.step[x.n - 1] > s->last_step) s->last_step = x.step[x.n - 1];
    }
    if (s->last_step < 0) s->first_step = 0;
    if (s->last_step <= s->first_step) s->last_step = s->first_step + 1;
}

static int32_t draw_page(screen *s, const shown *run) {
    int64_t from = page_of(s) * s->layout.per_page;
    for (int k = 0; k < s->layout.per_page && from + k < run->panels->n; k++) {
        plot_look look = { 0 };
        if (!s->still) look.number = k < 9 ? k + 1 : 0;
        if (!s->still && run->panels->n > 1) look.chosen = from + k == s->selected;
        int32_t status = plot_panel(s, run, &run->panels->panel[from + k], layout_panel(&s->layout, k), look);
        if (status != PITOT_OK) return status;
    }
    return PITOT_OK;
}

static void draw_nothing(screen *s) {
    static const char text[] = "no values yet";
    place at = s->layout.body;
    int width = (int)sizeof text - 1, left = at.cols > width ? (at.cols - width) / 2 : 0;
    if (at.rows) canvas_text(&s->canvas, at.row + at.rows / 2, at.col + left, at.cols - left, text, PEN_DIM);
}

/* The selected alarm: there may be fewer than when it was chosen. */
static int64_t clamp_alarm(screen *s, const shown *run) {
    if (s->alarm >= run->alarms->n) s->alarm = run->alarms->n - 1;
    if (s->alarm < 0) s->alarm = 0;
    return s->alarm;
}

int32_t screen_draw(screen *s, const shown *run, int rows, int cols) {
    int32_t status = canvas_resize(&s->canvas, rows, cols);
    if (status != PITOT_OK) return status;
    int lined = run->alarms && alarm_first(run->alarms) && !s->alarms;
    s->layout = (lined ? layout_screen_lined : layout_screen)(rows, cols, run->panels->n, !s->still);
    if (s->selected >= run->panels->n) s->selected = run->panels->n - 1;
    if (s->selected < 0) s->selected = 0;
    find_range(s, run->log);
    screen_draw_title(s, run);
    draw_keys(s, run);
    if (lined) alarms_line(&s->canvas, s->layout.line, run->alarms);
    if (s->spectrum && !spectrum_records(run->log)) s->spectrum = 0;
    if (s->help) draw_help(s);
    else if (s->alarms && run->alarms)
        alarms_page(&s->canvas, s->layout.body, run->log, run->alarms, clamp_alarm(s, run), !s->still);
    else if (s->spectrum) status = spectrum_screen(s, run, &s->record);
    else if (!run->panels->n) draw_nothing(s);
    else if (s->enlarged)
        status = plot_panel(s, run, &run->panels->panel[s->selected], s->layout.body, (plot_look){ .enlarged = 1 });
    else status = draw_page(s, run);
    return status;
}

/* ---- what keys do ---------------------------------------------------------------------------------------------------- */

static void select_panel(screen *s, const shown *run, int64_t panel_number) {
    int64_t last = run->panels->n - 1;
    if (panel_number > last) panel_number = last;
    s->selected = panel_number < 0 ? 0 : panel_number;
}

/* By pages, or by panels if one is enlarged. The last page stays where it is. */
static void turn(screen *s, const shown *run, int by) {
    int64_t page = page_of(s) + by;
    if (s->enlarged) select_panel(s, run, s->selected + by);
    else if (page >= 0 && page < s->layout.pages) select_panel(s, run, page * s->layout.per_page);
}

static void enlarge_digit(screen *s, const shown *run, int digit) {
    int64_t wanted = page_of(s) * s->layout.per_page + digit - 1;
    if (digit > s->layout.per_page || wanted >= run->panels->n) return;
    s->selected = wanted;
    s->enlarged = 1;
}

/* In the pane of densities: earlier and later ones, the first and the last. 1 if the key was its own. */
static int scrub(screen *s, const shown *run, int action) {
    int64_t last = spectrum_records(run->log), at = s->record ? s->record : last;
    switch (action) {
    case DO_PAGE_BACK: s->record = at > 1 ? at - 1 : 1; break;
    case DO_PAGE_ON: s->record = at + 1 < last ? at + 1 : 0; break;
    case DO_FIRST: s->record = 1; break;
    case DO_LAST: s->record = 0; break;
    case DO_ENLARGE:
    case DO_GO_BACK: s->spectrum = 0; break;
    case DO_SELECT_BACK:
    case DO_SELECT_ON:
    case DO_PANEL:
    case DO_LOG:
    case DO_SMOOTH: break;
    default: return 0;
    }
    return 1;
}

/* Among alarms: up and down, to its panel, silence. 1 if the key was its own. */
static int pick(screen *s, const shown *run, int action) {
    int64_t at = clamp_alarm(s, run), n = run->alarms->n;
    switch (action) {
    case DO_SELECT_ON: s->alarm = at + 1; break;
    case DO_SELECT_BACK: s->alarm = at - 1; break;
    case DO_FIRST: s->alarm = 0; break;
    case DO_LAST: s->alarm = n - 1; break;
    case DO_SMOOTH:
        if (n) alarm_silence(run->alarms, run->alarms->alarm[at].output);
        break;
    case DO_ENLARGE:
        if (n) select_panel(s, run, run->alarms->alarm[at].panel);
        s->enlarged = n > 0;
        s->alarms = s->spectrum = 0;
        break;
    case DO_GO_BACK: s->alarms = 0; break;
    case DO_PAGE_ON:
    case DO_PAGE_BACK:
    case DO_PANEL:
    case DO_LOG:
    case DO_SPECTRUM: break;
    default: return 0;
    }
    clamp_alarm(s, run);
    return 1;
}

int screen_act(screen *s, const shown *run, int action, int code) {
    if (s->help && action != DO_HELP && action != DO_REDRAW) {
        s->help = 0;
        return 1;
    }
    if (s->alarms && run->alarms && pick(s, run, action)) return 1;
    if (action == DO_ALARMS && run->alarms) {
        s->alarms = !s->alarms;
        return 1;
    }
    if (s->spectrum && scrub(s, run, action)) return 1;
    switch (action) {
    case DO_PAGE_BACK: turn(s, run, -1); break;
    case DO_PAGE_ON: turn(s, run, 1); break;
    case DO_FIRST: select_panel(s, run, 0); break;
    case DO_LAST: select_panel(s, run, run->panels->n - 1); break;
    case DO_SELECT_BACK: select_panel(s, run, s->selected - 1); break;
    case DO_SELECT_ON: select_panel(s, run, s->selected + 1); break;
    case DO_ENLARGE: s->enlarged = !s->enlarged; break;
    case DO_GO_BACK: s->enlarged = 0; break;
    case DO_PANEL: enlarge_digit(s, run, code - '0'); break;
    case DO_LOG: s->log_y = !s->log_y; break;
    case DO_SMOOTH: s->raw = !s->raw; break;
    case DO_SPECTRUM: s->spectrum = !s->spectrum && spectrum_records(run->log) > 0; break;
    case DO_HELP: s->help = !s->help; break;
    case DO_REDRAW: break;
    default: return 0;
    }
    return 1;
}

void screen_free(screen *s) {
    canvas_free(&s->canvas);
    free(s->bins);
    s->bins = NULL;
    s->bins_room = 0;
}
