/* spectrum.c: see spectrum.h. Density on logarithmic rows over a symmetric-log axis, in dots; a stem for each eigenvalue that is known by
   itself; below it the steps of all records, and the ends of the spectrum over the run. */

#include "term/spectrum.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "term/history.h"
#include "term/layout.h"
#include "term/reading.h"

enum { LABELS = 7, TICKS = 16, MOST_STEMS = 32, TIME_ROWS = 8, ENDS_ROWS = 18 };

static const double deepest = 1e-6;

/* ---- one record ---- */

static void draw_title(canvas *c, place at, const spectrum_record *r) {
    char text[160], number[3][32];
    int col = at.col, end = at.col + at.cols;
    if (!at.rows) return;
    col += canvas_text(c, at.row, col, end - col, "hess_spectrum", PEN_TITLE) + 2;
    format_value((double)r->step, 16, number[0], sizeof number[0]);
    snprintf(text, sizeof text, "step %s, %lld of %lld", number[0], (long long)r->number, (long long)r->of);
    if (col < end) col += canvas_text(c, at.row, col, end - col, text, PEN_TEXT) + 2;
    format_value(r->trace, 4, number[0], sizeof number[0]);
    format_value(r->error, 2, number[1], sizeof number[1]);
    format_value(100 * r->negative, 3, number[2], sizeof number[2]);
    snprintf(text, sizeof text, "trace %s%s%s", number[0], isfinite(r->error) ? c->ascii ? " +- " : " \u00b1 " : "",
             isfinite(r->error) ? number[1] : "");
    if (isfinite(r->trace) && col < end) col += canvas_text(c, at.row, col, end - col, text, PEN_MAIN) + 2;
    snprintf(text, sizeof text, "%s %% negative", number[2]);
    if (isfinite(r->negative) && col < end) col += canvas_text(c, at.row, col, end - col, text, PEN_DIM) + 2;
    snprintf(text, sizeof text, "| %s", r->stem_name);
    if (r->stems && *r->stem_name && col < end) canvas_text(c, at.row, col, end - col, text, PEN_WARN);
}

/* Dots of column `x` (two to a cell) from the bottom up to `height` dots. */
static void fill_dots(canvas *c, place at, int x, int height) {
    static const unsigned char left[] = { 0x40, 0x04, 0x02, 0x01 }, right[] = { 0x80, 0x20, 0x10, 0x08 };
    for (int y = 0; y < height; y++) {
        int row = at.row + at.rows - 1 - y / 4, col = at.col + x / 2;
        uint32_t before = c->cell[(int64_t)row * c->cols + col].code;
        uint32_t dots = before >= 0x2800 && before < 0x2900 ? before : 0x2800;
        canvas_put(c, row, col, dots | (x & 1 ? right : left)[y % 4], PEN_MAIN);
    }
}

/* levels: of the lowest and the highest row. */
static int32_t draw_curve(canvas *c, place at, const spectrum_record *r, const axis *x, double levels[2]) {
    int columns = 2 * at.cols, dots = 4 * at.rows;
    double *v = calloc((size_t)columns + 1, sizeof *v), width = fmax(0.6 / (spectrum_unit(x) * columns), 0.03);
    if (!v) return PITOT_ENOMEM;
    spectrum_density(x, &r->q, width, v, columns);
    double single = spectrum_single(&r->q, width), most = single;
    for (int i = 0; i < columns; i++) most = fmax(most, v[i]);
    levels[1] = most;
    levels[0] = fmin(fmax(single / 8, deepest * most), most / 10);
    for (int i = 0; i < columns; i++) {
        double share = v[i] > levels[0] ? log(v[i] / levels[0]) / log(most / levels[0]) : 0;
        fill_dots(c, at, i, (int)ceil(share * dots));
    }
    free(v);
    return PITOT_OK;
}

static void draw_stems(canvas *c, place at, const spectrum_record *r, const axis *x) {
    int height = (at.rows + 2) / 3;
    for (int64_t i = 0; i < r->stems; i++) {
        double share = axis_at(x, r->stem[i]);
        if (!(share >= 0 && share < 1)) continue;
        int col = at.col + (int)(share * at.cols);
        for (int k = 0; k < height; k++)
            canvas_put(c, at.row + at.rows - 1 - k, col, k == height - 1 ? 'o' : c->ascii ? '|' : 0x2502, PEN_WARN);
    }
}

static void draw_below(canvas *c, const panel_layout *l, const axis *x) {
    tick t[TICKS];
    int n = axis_ticks(x, l->plot.cols / 12 + 1, t, TICKS), free_from = l->steps.col;
    for (int i = 0; i < l->line.cols && l->line.rows; i++)
        canvas_put(c, l->line.row, l->line.col + i, c->ascii ? '-' : 0x2500, PEN_AXIS);
    for (int i = 0; i < n; i++) {
        double share = axis_at(x, t[i].value);
        int col = l->plot.col + (int)(share * l->plot.cols), width = (int)strlen(t[i].label), from = col - width / 2;
        if (!(share >= 0 && share < 1)) continue;
        if (l->line.rows) canvas_put(c, l->line.row, col, c->ascii ? '+' : 0x253c, PEN_AXIS);
        if (t[i].minor || !l->steps.rows || from < free_from || from + width > l->steps.col + l->steps.cols) continue;
        canvas_text(c, l->steps.row, from, width, t[i].label, PEN_DIM);
        free_from = from + width + 1;
    }
}

static void draw_levels(canvas *c, const panel_layout *l, const double levels[2]) {
    char text[24];
    if (!l->labels.rows) return;
    for (int i = 0; i < 2; i++) {
        int row = i ? l->labels.row : l->labels.row + l->labels.rows - 1;
        format_value(levels[i], 2, text, sizeof text);
        if (i == 0 || l->labels.rows > 1)
            canvas_text_right(c, row, l->labels.col + l->labels.cols - 1, l->labels.cols - 1, text, PEN_DIM);
    }
}

/* A limit far beyond the spectrum would leave no room for it. */
static int shows_limit(const spectrum_record *r) {
    double most = 0;
    for (int64_t i = 0; i < r->q.n; i++) most = fmax(most, fabs(r->q.node[i]));
    for (int64_t i = 0; i < r->stems; i++)
        if (isfinite(r->stem[i])) most = fmax(most, fabs(r->stem[i]));
    return r->limit > 0 && isfinite(r->limit) && r->limit < 1e3 * fmax(most, 1e-300);
}

/* Behind the curve: only where nothing is. */
static void draw_limit(canvas *c, place at, const spectrum_record *r, const axis *x) {
    double share = axis_at(x, r->limit);
    char text[80], number[32];
    if (!shows_limit(r) || !(share >= 0 && share < 1)) return;
    int col = at.col + (int)(share * at.cols), width;
    for (int row = at.row; row < at.row + at.rows; row++)
        if (c->cell[(int64_t)row * c->cols + col].code == ' ') canvas_put(c, row, col, c->ascii ? ':' : 0x250a, PEN_ALARM);
    format_value(r->limit, 4, number, sizeof number);
    snprintf(text, sizeof text, "%s = %s", r->limit_name, number);
    width = canvas_text_width(c, text);
    if (col + 2 + width <= at.col + at.cols) canvas_text(c, at.row, col + 2, width, text, PEN_ALARM);
    else if (col - 1 - width >= at.col) canvas_text(c, at.row, col - 1 - width, width, text, PEN_ALARM);
}

/* All stems, and the limit where it is shown. */
static axis find_axis(const spectrum_record *r) {
    double values[MOST_STEMS + 1];
    int64_t n = r->stems < MOST_STEMS ? r->stems : MOST_STEMS;
    for (int64_t i = 0; i < n; i++) values[i] = r->stem[i];
    if (shows_limit(r)) values[n++] = r->limit;
    return spectrum_axis(&r->q, values, n);
}

int32_t spectrum_pane(canvas *c, place where, const spectrum_record *r) {
    panel_layout l = layout_plot(where, LABELS);
    double levels[2];
    if (where.rows < 1 || where.cols < 1) return PITOT_OK;
    draw_title(c, l.title, r);
    if (l.plot.rows < 1 || l.plot.cols < 1) return PITOT_OK;
    axis x = find_axis(r);
    int32_t status = draw_curve(c, l.plot, r, &x, levels);
    if (status) return status;
    draw_stems(c, l.plot, r, &x);
    draw_limit(c, l.plot, r, &x);
    draw_below(c, &l, &x);
    draw_levels(c, &l, levels);
    return PITOT_OK;
}

/* ---- time ---- */

void spectrum_time(canvas *c, place where, const int64_t *step, int64_t n, int64_t at) {
    char first[32], last[32];
    if (where.rows < 1 || n < 1) return;
    format_value((double)step[0], 16, first, sizeof first);
    format_value((double)step[n - 1], 16, last, sizeof last);
    int left = where.col + canvas_text(c, where.row, where.col, where.cols, first, PEN_DIM) + 1;
    int right = canvas_text_right(c, where.row, where.col + where.cols, where.cols, last, PEN_DIM) - 1, cols = right - left;
    double width = (double)step[n - 1] - (double)step[0];
    if (cols < 3 || n < 2) return;
    for (int i = 0; i < cols; i++) canvas_put(c, where.row, left + i, c->ascii ? '-' : 0x2500, PEN_AXIS);
    for (int pass = 0; pass < 2; pass++) /* the present one on top */
        for (int64_t i = pass ? at : 0; i < (pass ? at + 1 : n); i++) {
            double share = width > 0 ? ((double)step[i] - (double)step[0]) / width : 0;
            int col = left + (int)(fmin(fmax(share, 0), 1) * (cols - 1) + 0.5);
            uint32_t mark = pass ? (c->ascii ? 'O' : 0x25cf) : c->ascii ? '+' : 0x2534;
            canvas_put(c, where.row, col, mark, pass ? PEN_MAIN : PEN_DIM);
        }
}

/* The largest and the smallest eigenvalue over the run, by the probe of that name or by the density's own ends. */
static int32_t draw_ends(screen *s, const shown *all, place at, int64_t step, double limit) {
    static const char *const names[][2] = { { "hess_max_ev", "hess_max_ev.min" }, { "hess_spectrum.max", "hess_spectrum.min" } };
    history h = { .scale = AXIS_SYMLOG, .labelled = 1, .stepped = at.rows >= 6, .level = limit > 0 ? limit : NAN, .mark = step };
    const pitot_log *log = shown_at(all)->log;
    canvas *c = &s->canvas;
    char text[96], number[2][32];
    int k = reading_series(log, names[0][0], &h.line[0]) ? 0 : 1, col;
    for (int i = 0; i < 2; i++) {
        reading_text(reading_at(log, names[k][i], step), 4, number[i], sizeof number[i]);
        if (reading_series(log, names[k][i], &h.line[h.lines])) h.pen[h.lines++] = i ? PEN_TENSOR + 1 : PEN_MAIN;
    }
    if (!h.lines || at.rows < 3) return PITOT_OK;
    col = at.col + canvas_text(c, at.row, at.col, at.cols, "ends of the spectrum", PEN_TITLE) + 2;
    snprintf(text, sizeof text, "largest %s", number[0]);
    if (col < at.col + at.cols) col += canvas_text(c, at.row, col, at.col + at.cols - col, text, PEN_MAIN) + 2;
    snprintf(text, sizeof text, "smallest %s", number[1]);
    if (col < at.col + at.cols) col += canvas_text(c, at.row, col, at.col + at.cols - col, text, PEN_TENSOR + 1) + 2;
    if (limit > 0 && col + 20 < at.col + at.cols) canvas_text(c, at.row, col, 20, "dashed: the limit", PEN_WARN);
    return history_draw(s, all, (place){ at.row + 1, at.col, at.rows - 1, at.cols }, &h);
}

/* ---- from the log ---- */

int64_t spectrum_records(const pitot_log *log) {
    pitot_list list;
    return pitot_log_list(log, pitot_log_find_list(log, "hess_spectrum.nodes"), &list) ? 0 : list.n;
}

/* Value of a series at that step, or NaN. */
static double value_at(const pitot_log *log, const char *name, int64_t step) {
    pitot_series s;
    if (pitot_log_series(log, pitot_log_find(log, name), &s)) return NAN;
    for (int64_t i = s.n - 1; i >= 0 && s.step[i] >= step; i--)
        if (s.step[i] == step) return s.value[i];
    return NAN;
}

/* A list that was logged at that very step; how many numbers. */
static int64_t list_at(const pitot_log *log, const char *name, int64_t step, double *out, int64_t room) {
    int64_t at = -1, i = pitot_log_find_list(log, name);
    int64_t n = i < 0 ? 0 : pitot_log_read_list(log, i, step, out, room, &at);
    return n < 0 || at != step ? 0 : n < room ? n : room;
}

/* Eigenvalues of another probe, of that step, in out (MOST_STEMS): of a long list the end with the largest. all: (PITOT_LOG_LIST). */
static int64_t find_stems(const pitot_log *log, int64_t step, double *all, double *out, const char **name) {
    static const char *const lists[][2] = { { "ggn_spectrum.eigenvalues", "ggn_spectrum" },
                                            { "tiny_subspace.eigenvalues", "tiny_subspace" } };
    for (size_t k = 0; k < sizeof lists / sizeof *lists; k++) {
        int64_t n = list_at(log, lists[k][0], step, all, PITOT_LOG_LIST),
                from = n > MOST_STEMS && fabs(all[0]) < fabs(all[n - 1]) ? n - MOST_STEMS : 0;
        *name = lists[k][1];
        if (n < 1) continue;
        n = n < MOST_STEMS ? n : MOST_STEMS;
        memcpy(out, all + from, (size_t)n * sizeof *out);
        return n;
    }
    *name = "hess_max_ev";
    out[0] = value_at(log, "hess_max_ev", step), out[1] = value_at(log, "hess_max_ev.min", step);
    return isfinite(out[0]) && isfinite(out[1]) ? 2 : 0;
}

/* The record, its place in time and, where there is room, what became of the ends. */
static int32_t draw_screen(screen *s, const shown *all, const spectrum_record *r, const pitot_list *list) {
    place pane = s->layout.body, time = pane, ends = pane;
    time.rows = pane.rows >= TIME_ROWS && list->n > 1;
    ends.rows = pane.rows >= ENDS_ROWS ? pane.rows / 3 : 0;
    pane.rows -= time.rows + ends.rows + (ends.rows > 0);
    time.row = pane.row + pane.rows;
    ends.row = time.row + time.rows + 1;
    spectrum_time(&s->canvas, time, list->step, list->n, r->number - 1);
    int32_t status = spectrum_pane(&s->canvas, pane, r);
    if (status != PITOT_OK || ends.rows < 1) return status;
    return draw_ends(s, all, ends, r->step, shows_limit(r) ? r->limit : NAN);
}

int32_t spectrum_screen(screen *s, const shown *all, int64_t *number) {
    pitot_list list;
    double stems[MOST_STEMS], *v;
    const pitot_log *log = shown_at(all)->log;
    if (pitot_log_list(log, pitot_log_find_list(log, "hess_spectrum.nodes"), &list) || list.n < 1) return PITOT_OK;
    if (*number < 0 || *number > list.n) *number = 0;
    int64_t k = (*number ? *number : list.n) - 1, step = list.step[k];
    v = calloc(3 * PITOT_LOG_LIST, sizeof *v);
    if (!v) return PITOT_ENOMEM;
    int64_t n = list_at(log, "hess_spectrum.nodes", step, v, PITOT_LOG_LIST);
    int64_t m = list_at(log, "hess_spectrum.weights", step, v + PITOT_LOG_LIST, PITOT_LOG_LIST);
    double parameters = value_at(log, "hess_spectrum.parameters", step);
    spectrum_record r = { .q = { v, v + PITOT_LOG_LIST, n < m ? n : m,
                                 parameters >= 1 && parameters < 1e15 ? (int64_t)parameters : 1 },
                          .stem = stems,
                          .step = step,
                          .number = k + 1,
                          .of = list.n,
                          .trace = value_at(log, "hess_spectrum", step),
                          .error = value_at(log, "hess_spectrum.stderr", step),
                          .negative = value_at(log, "hess_spectrum.negative_mass", step) };
    r.stems = find_stems(log, step, v + 2 * PITOT_LOG_LIST, stems, &r.stem_name);
    for (int64_t i = 0; i < r.q.n; i++) /* damage in the file */
        if (!isfinite(v[i]) || !(v[PITOT_LOG_LIST + i] >= 0)) v[i] = v[PITOT_LOG_LIST + i] = 0;
    char limit_name[48] = "";
    r.limit = reading_limit(log, step, limit_name, sizeof limit_name);
    r.limit_name = limit_name;
    int32_t status = draw_screen(s, all, &r, &list);
    free(v);
    return status;
}
