/* dial.c: see dial.h. */

#include "term/dial.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "term/gauge.h"
#include "term/history.h"
#include "term/reading.h"

enum { NAME_TEXT = 128, VALUE_COLS = 10, LEAST_PICTURE = 5, SECOND_PEN = PEN_TENSOR + 1 };

/* ---- what the log has of it ------------------------------------------------------------------------------------------ */

/* The alternative that begins at *keys, which moves on. */
static void next_key(const char **keys, char *name, size_t size) {
    size_t length = strcspn(*keys, "|");
    snprintf(name, size, "%.*s", (int)length, *keys);
    *keys += length + ((*keys)[length] == '|');
}

int dial_find(const shown *all, const dial *d, char *name, size_t size, pitot_series *s) {
    const pitot_log *log = shown_at(all)->log;
    for (const char *keys = d->key; *keys;) {
        pitot_list list;
        next_key(&keys, name, size);
        if (reading_series(log, name, s)) return 1;
        if (pitot_log_list(log, pitot_log_find_list(log, name), &list) == PITOT_OK && list.n > 0) return 2;
    }
    const char *first = d->key;
    next_key(&first, name, size);
    return 0;
}

int dial_has(const shown *all, const dial *d) {
    char name[NAME_TEXT];
    pitot_series s;
    return dial_find(all, d, name, sizeof name, &s) || (d->has && d->has(all));
}

const panel *dial_panel(const shown *all, const dial *d) {
    const panel_list *list = shown_at(all)->panels;
    char name[NAME_TEXT];
    pitot_series s;
    dial_find(all, d, name, sizeof name, &s);
    for (int64_t i = 0; i < list->n; i++)
        if (!strcmp(list->panel[i].title, name)) return &list->panel[i];
    return NULL;
}

const pitot_band *dial_band(const shown *all, const dial *d) {
    const panel *p = dial_panel(all, d);
    return p && p->band ? p->band : d->band;
}

/* ---- the first row --------------------------------------------------------------------------------------------------- */

static const char *name_of(const shown *all, const dial *d) {
    static char name[NAME_TEXT]; /* the viewer has one thread */
    pitot_series s;
    if (d->name) return d->name;
    dial_find(all, d, name, sizeof name, &s);
    return name;
}

static int name_cols(int cols) {
    int wanted = cols >= 64 ? 28 : cols >= 40 ? 20 : 18;
    return wanted < cols - VALUE_COLS ? wanted : cols - VALUE_COLS > cols / 2 ? cols - VALUE_COLS : cols / 2;
}

/* Colour is not everybody's: a value beyond its band has a mark, too. */
static void value_text(double v, int pen, char *text, size_t size) {
    char number[32];
    reading_text(v, 4, number, sizeof number);
    snprintf(text, size, "%s%s", pen == PEN_ALARM ? "!! " : pen == PEN_WARN ? "! " : "", number);
}

/* The second line's name and value, in its colour. */
static void draw_second(const dial_view *v, const dial *d, int col, int end) {
    char number[32], text[96];
    pitot_series s;
    const pitot_log *log = shown_at(v->all)->log;
    if (!d->with || !reading_series(log, d->with, &s)) return;
    reading_text(reading_at(log, d->with, v->step), 4, number, sizeof number);
    snprintf(text, sizeof text, "%s %s", d->with, number);
    if (canvas_text_width(&v->s->canvas, text) <= end - col)
        canvas_text(&v->s->canvas, v->at.row, col, end - col, text, SECOND_PEN);
}

static place draw_head(const dial_view *v, const dial *d, const char *value, int pen, const char *label) {
    canvas *c = &v->s->canvas;
    const panel *p = dial_panel(v->all, d);
    const char *unit = p ? p->unit : "";
    place at = v->at, below = { at.row + 1, at.col, at.rows - 1, at.cols };
    char text[160];
    if (at.rows < 1 || at.cols < 1) return (place){ at.row, at.col, 0, 0 };
    int room = at.cols < 12 ? at.cols / 2 : VALUE_COLS, names = at.col + name_cols(at.cols), single = at.rows == 1;
    int end = canvas_text_right(c, at.row, at.col + at.cols, room, value, pen) - 1;
    int stop = single && names < end ? names : end;
    int col = at.col + canvas_text(c, at.row, at.col, stop - at.col, name_of(v->all, d), PEN_TITLE) + 1;
    if (!label && p && !single) label = p->label;
    snprintf(text, sizeof text, "%s%s%s", label && !single ? label : "", label && !single && *label && *unit ? ", " : "", unit);
    if (canvas_text_width(c, text) > stop - col) snprintf(text, sizeof text, "%s", unit);
    if (canvas_text_width(c, text) <= stop - col) col += canvas_text(c, at.row, col, stop - col, text, PEN_DIM) + 2;
    if (!single) draw_second(v, d, col, stop);
    if (!single) return below;
    int right = at.col + at.cols - VALUE_COLS - 1;
    if (right - names - 1 < LEAST_PICTURE) return (place){ at.row, at.col, 0, 0 };
    return (place){ at.row, names + 1, 1, right - names - 1 };
}

place dial_head(const dial_view *v, const dial *d, double value, const char *label) {
    char text[48];
    int pen = reading_pen(dial_band(v->all, d), value);
    value_text(value, pen, text, sizeof text);
    return draw_head(v, d, text, pen, label);
}

place dial_head_words(const dial_view *v, const dial *d, const char *words, const char *label) {
    return draw_head(v, d, words, PEN_TEXT, label);
}

void dial_say(const dial_view *v, const dial *d, const char *text) {
    canvas *c = &v->s->canvas;
    place at = v->at;
    if (at.rows < 1 || at.cols < 1) return;
    int used = canvas_text(c, at.row, at.col, name_cols(at.cols), name_of(v->all, d), PEN_DIM) + 2;
    if (used < at.cols) canvas_text_right(c, at.row, at.col + at.cols, at.cols - used, text, PEN_DIM);
}

/* ---- histories ------------------------------------------------------------------------------------------------------- */

int32_t dial_lines(const dial_view *v, const dial *d, place at) {
    const panel *p = dial_panel(v->all, d);
    history h = { .scale = p ? p->scale : AXIS_LINEAR, .labelled = 1, .stepped = at.rows >= 6, .level = NAN, .mark = -1 };
    char name[NAME_TEXT];
    if (dial_find(v->all, d, name, sizeof name, &h.line[h.lines]) == 1) h.pen[h.lines++] = PEN_MAIN;
    if (d->with && reading_series(shown_at(v->all)->log, d->with, &h.line[h.lines])) h.pen[h.lines++] = SECOND_PEN;
    if (v->step != INT64_MAX) h.mark = v->step;
    return history_draw(v->s, v->all, at, &h);
}

place dial_padded(place at) {
    if (at.rows >= 3) at.rows--;
    return at;
}

int32_t dial_history(const dial_view *v, const dial *d) {
    char name[NAME_TEXT];
    pitot_series s;
    double value = NAN;
    if (dial_find(v->all, d, name, sizeof name, &s) == 1) value = reading_at(shown_at(v->all)->log, name, v->step);
    return dial_lines(v, d, dial_padded(dial_head(v, d, value, d->label)));
}

/* ---- the probes' share of the time ----------------------------------------------------------------------------------- */

static int is_seconds(const char *name) {
    size_t n = strlen(name);
    return n > 8 && !strcmp(name + n - 8, ".seconds");
}

int dial_has_seconds(const shown *all) {
    pitot_series s;
    for (int64_t i = 0; pitot_log_series(shown_at(all)->log, i, &s) == PITOT_OK; i++)
        if (is_seconds(s.name) && s.n > 1) return 1;
    return 0;
}

/* Seconds a second over the latest values of each probe. */
static double share_of_time(const pitot_log *log, int64_t step) {
    enum { LATEST = 64 };
    double share = 0;
    pitot_series s;
    for (int64_t i = 0; pitot_log_series(log, i, &s) == PITOT_OK; i++) {
        int64_t last = is_seconds(s.name) ? reading_index(&s, step) : -1, from = last > LATEST ? last - LATEST : 0;
        double sum = 0, time = last > from ? s.wall[last] - s.wall[from] : 0;
        for (int64_t k = from + 1; k <= last; k++) sum += s.value[k];
        if (time > 0 && isfinite(sum)) share += sum / time;
    }
    return share;
}

int32_t dial_overhead(const dial_view *v, const dial *d) {
    const pitot_log *log = shown_at(v->all)->log;
    double value = reading_at(log, d->key, v->step);
    if (isnan(value)) value = share_of_time(log, v->step);
    place at = dial_head(v, d, value, d->label);
    gauge g = { .a = { AXIS_LINEAR, 0, 1, 0 }, .value = value };
    gauge_draw(&v->s->canvas, at, &g);
    return PITOT_OK;
}

/* ---- the table ------------------------------------------------------------------------------------------------------- */

/* Byrd et al. 2012 ask for less than 1; Bollapragada et al. 2018 for 0.9 and for the tangent of 80 degrees. The gradient is drowned in
   noise beyond, which is a reason for a larger batch and not yet an error. */
static const pitot_band norm_band = { -INFINITY, 1, -INFINITY, INFINITY, "" },
                        inner_band = { -INFINITY, 0.9, -INFINITY, INFINITY, "" },
                        ortho_band = { -INFINITY, 5.84, -INFINITY, INFINITY, "" };
/* The sharpness probe's, for the eigenvalue of a run without it. */
static const pitot_band limit_band = { -INFINITY, 1.2, -INFINITY, 1.5, "" };

static const dial table[] = {
    { .key = "loss", .with = "val/loss", .group = DIAL_PERFORMANCE, .first = 4, .most = 12, .draw = dial_history },
    { .key = "val/accuracy", .group = DIAL_PERFORMANCE, .optional = 1, .first = 4, .most = 12, .draw = dial_history },
    { .name = "lr", .key = "hyper.lr|lr", .group = DIAL_PERFORMANCE, .first = 4, .most = 5, .draw = dial_history },
    { .key = "overhead",
      .label = "share of the time that probes take",
      .group = DIAL_PERFORMANCE,
      .first = 1,
      .most = 1,
      .draw = dial_overhead,
      .has = dial_has_seconds },
    { .key = "alpha", .group = DIAL_STEP_SIZE, .first = 6, .most = 13, .draw = dial_alpha },
    { .key = "update_ratio", .group = DIAL_STEP_SIZE, .first = 4, .most = 12, .draw = dial_history },
    { .key = "update_size", .group = DIAL_STEP_SIZE, .first = 4, .most = 12, .draw = dial_history },
    { .key = "distance", .group = DIAL_STEP_SIZE, .first = 4, .most = 12, .draw = dial_history },
    { .key = "norm_test",
      .group = DIAL_GRADIENTS,
      .first = 1,
      .most = 1,
      .draw = dial_gauge,
      .band = &norm_band,
      .scale = { AXIS_LOG, 0.03, 30, 0 } },
    { .key = "inner_test",
      .group = DIAL_GRADIENTS,
      .first = 1,
      .most = 1,
      .draw = dial_gauge,
      .band = &inner_band,
      .scale = { AXIS_LOG, 0.03, 30, 0 } },
    { .key = "ortho_test",
      .group = DIAL_GRADIENTS,
      .first = 1,
      .most = 1,
      .draw = dial_gauge,
      .band = &ortho_band,
      .scale = { AXIS_LOG, 0.03, 30, 0 } },
    { .name = "scatter",
      .key = "norm_test|inner_test|ortho_test",
      .label = "of samples' gradients, in lengths of their mean g",
      .group = DIAL_GRADIENTS,
      .spare = 1,
      .optional = 1,
      .first = 9,
      .most = 11,
      .draw = dial_target },
    { .key = "grad_norm", .group = DIAL_GRADIENTS, .first = 4, .most = 12, .draw = dial_history },
    { .name = "grad_hist_1d",
      .key = "grad_hist_1d.counts",
      .group = DIAL_GRADIENTS,
      .first = 5,
      .most = 9,
      .draw = dial_histogram },
    { .name = "grad_hist_2d", .key = "grad_hist_2d.counts", .group = DIAL_GRADIENTS, .first = 10, .most = 22, .draw = dial_joint },
    { .key = "mean_gsnr", .group = DIAL_GRADIENTS, .first = 4, .most = 12, .draw = dial_history },
    { .key = "noise_scale", .group = DIAL_GRADIENTS, .first = 4, .most = 12, .draw = dial_history },
    { .key = "batch_efficiency", .group = DIAL_GRADIENTS, .first = 4, .most = 12, .draw = dial_history },
    { .key = "sharpness",
      .group = DIAL_CURVATURE,
      .first = 4,
      .most = 4,
      .has = dial_has_limit,
      .draw = dial_sharpness,
      .band = &limit_band,
      .scale = { AXIS_LOG, 0.01, 10, 0 } },
    { .key = "hess_max_ev",
      .with = "hess_max_ev.min",
      .label = "ends of the Hessian's spectrum",
      .group = DIAL_CURVATURE,
      .first = 4,
      .most = 12,
      .draw = dial_history },
    { .key = "hess_trace", .group = DIAL_CURVATURE, .first = 4, .most = 12, .draw = dial_history },
    { .key = "tic_diag", .group = DIAL_CURVATURE, .first = 4, .most = 12, .draw = dial_history },
    { .key = "tic_trace", .group = DIAL_CURVATURE, .optional = 1, .first = 4, .most = 12, .draw = dial_history },
    { .name = "staleness",
      .key = "precond_staleness|precond_staleness.moment_overlap",
      .group = DIAL_PRECONDITIONER,
      .first = 4,
      .most = 12,
      .draw = dial_history },
    { .name = "lost",
      .key = "precond_staleness.lost",
      .group = DIAL_PRECONDITIONER,
      .optional = 1,
      .first = 4,
      .most = 12,
      .draw = dial_history },
    { .name = "age",
      .key = "precond_staleness.age",
      .group = DIAL_PRECONDITIONER,
      .optional = 1,
      .first = 4,
      .most = 12,
      .draw = dial_history },
    { .name = "angle",
      .key = "precond_staleness.angle",
      .group = DIAL_PRECONDITIONER,
      .optional = 1,
      .first = 4,
      .most = 12,
      .draw = dial_history },
};

const dial *dial_at(int k) {
    return k >= 0 && k < (int)(sizeof table / sizeof *table) ? &table[k] : NULL;
}

const char *dial_group(int group) {
    static const char *const names[DIAL_GROUPS] = { "PERFORMANCE", "STEP SIZE", "GRADIENTS", "CURVATURE", "PRECONDITIONER" };
    return group >= 0 && group < DIAL_GROUPS ? names[group] : "";
}

static int is_probe(const char *name, char *probe, size_t size) {
    snprintf(probe, size, "%.*s", (int)strcspn(name, ".|/"), name);
    return pitot_probe_find(probe) != NULL;
}

/* A probe that takes time was asked for: it has nothing to say of this run. */
static int has_run(const shown *all, const char *probe) {
    char name[80];
    snprintf(name, sizeof name, "%s.seconds", probe);
    return pitot_log_find(shown_at(all)->log, name) >= 0;
}

/* The longest sentence that has room: what to ask for, in full, in short, or only that it is not there. */
static void hint(const dial_view *v, const dial *d) {
    char text[3][96], probe[64];
    int known = is_probe(d->key, probe, sizeof probe), ran = known && has_run(v->all, probe), k = known && !ran ? 0 : 2;
    int room = v->at.cols - canvas_text_width(&v->s->canvas, name_of(v->all, d)) - 2;
    snprintf(text[0], sizeof text[0], "not logged (add --probes %s)", probe);
    snprintf(text[1], sizeof text[1], "add --probes %s", probe);
    snprintf(text[2], sizeof text[2], ran ? "no value" : "not logged");
    while (k < 2 && canvas_text_width(&v->s->canvas, text[k]) > room) k++;
    dial_say(v, d, text[k]);
}

int32_t dial_draw(const dial_view *v, const dial *d) {
    if (v->at.rows < 1 || v->at.cols < 1) return PITOT_OK;
    if (dial_has(v->all, d)) return d->draw(v, d);
    hint(v, d);
    return PITOT_OK;
}
