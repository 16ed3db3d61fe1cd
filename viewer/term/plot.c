/* plot.c: see plot.h. Every value that is in sight is looked at once per drawing; what is drawn after that costs O(columns). */

#include "term/plot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_LINES = 400, /* tensors drawn in one panel */
    LABEL_COLS = 7,   /* "1.2e-05": one width for all panels keeps their plots aligned */
    WIDEST_LABEL = 12,
    FEW_VALUES = 24, /* fewer are not smoothed */
    VALUE_TEXT = 32,
    TICKS = 64,
    LEGEND_COLS = 30
};

typedef struct plot { /* one panel while it is drawn */
    screen *s;
    const shown_run *run;
    const panel *p;
    plot_look look;
    panel_layout l;
    place legend;
    int count;         /* bins per line: two per column */
    int64_t lines;     /* tensors drawn, in bins[0], bins[count], ... */
    bin *whole, *calm; /* the main series, and its smoothing; NULL: none */
    axis y;
    tick tick[TICKS];
    int ticks;
} plot;

/* ---- values ---------------------------------------------------------------------------------------------------------- */

static int get_series(const plot *a, int64_t index, pitot_series *s) {
    return index >= 0 && pitot_log_series(a->run->log, index, s) == PITOT_OK;
}

static int get_tensor(const plot *a, int64_t k, pitot_series *s) {
    return get_series(a, a->run->panels->series[a->p->first + k], s);
}

static int64_t lines_to_draw(const plot *a) {
    if (a->p->main >= 0 && !a->look.enlarged) return 0;
    return a->p->n < MOST_LINES ? a->p->n : MOST_LINES;
}

static int wants_smoothing(const plot *a, const pitot_series *s) {
    return !a->look.raw && s->n >= FEW_VALUES && a->l.plot.rows >= 4 && a->l.plot.cols >= 16;
}

/* Sorts all that is drawn into bins. */
static int32_t collect(plot *a) {
    double lo = (double)a->s->first_step, hi = (double)a->s->last_step;
    pitot_series s;
    a->count = 2 * a->l.plot.cols;
    a->lines = lines_to_draw(a);
    a->whole = a->calm = NULL;
    if (!screen_reserve(a->s, (a->lines + 2) * a->count)) return PITOT_ENOMEM;
    for (int64_t k = 0; k < a->lines; k++)
        if (get_tensor(a, k, &s)) bins_fill(a->s->bins + k * a->count, a->count, lo, hi, &s);
    if (!get_series(a, a->p->main, &s)) return PITOT_OK;
    a->whole = a->s->bins + a->lines * a->count;
    bins_fill(a->whole, a->count, lo, hi, &s);
    if (!wants_smoothing(a, &s) || !bins_are_noisy(a->whole, a->count)) return PITOT_OK;
    a->calm = a->whole + a->count;
    memcpy(a->calm, a->whole, (size_t)a->count * sizeof *a->calm);
    bins_smooth(a->calm, a->count, s.n < 100 ? 0.7 : 0.9);
    return PITOT_OK;
}

/* ---- the y axis ------------------------------------------------------------------------------------------------------ */

static int scale_of(const plot *a) {
    if (!a->look.log_y) return a->p->scale;
    return a->p->scale == AXIS_LINEAR ? AXIS_LOG : AXIS_LINEAR;
}

/* Extremes of the bins say the same as all values do. Three of them stand in the place of each bin. */
static int32_t fit(plot *a) {
    int64_t n = a->count * (a->lines + (a->whole != NULL)), k = 0;
    double *v = calloc((size_t)n * 3 + 1, sizeof *v);
    if (!v) return PITOT_ENOMEM;
    for (int64_t i = 0; i < n; i++) {
        const bin *b = &a->s->bins[i];
        if (!b->n) continue;
        v[k++] = b->min;
        v[k++] = b->max;
        v[k++] = b->least;
    }
    a->y = axis_fit(scale_of(a), v, k);
    free(v);
    return PITOT_OK;
}

static int label_width(plot *a) {
    int wanted = a->l.plot.rows / 3, widest = LABEL_COLS;
    wanted = wanted < 2 ? 2 : wanted > 9 ? 9 : wanted;
    a->ticks = axis_ticks(&a->y, wanted, a->tick, TICKS);
    for (int i = 0; i < a->ticks; i++) {
        int length = (int)strlen(a->tick[i].label);
        if (length > widest) widest = length;
    }
    return widest < WIDEST_LABEL ? widest : WIDEST_LABEL;
}

/* Rows, bins, axis and labels depend on each other's sizes; labels of the usual width need one round. */
static int32_t prepare(plot *a, place area) {
    int width = LABEL_COLS, needed;
    for (int round = 0; round < 2; round++) {
        int32_t status;
        a->l = layout_plot(area, width);
        status = collect(a);
        if (status == PITOT_OK) status = fit(a);
        if (status != PITOT_OK) return status;
        needed = label_width(a);
        if (needed <= width) break;
        width = needed;
    }
    return PITOT_OK;
}

static int row_of(const plot *a, double v) {
    double at = axis_at(&a->y, v) * (4.0 * a->l.plot.rows - 1);
    return a->l.plot.rows - 1 - (int)(floor(at + 0.5) / 4);
}

static void draw_y_axis(plot *a) {
    place at = a->l.labels;
    canvas *c = &a->s->canvas;
    int line = at.col + at.cols - 1, last = at.rows;
    if (!at.cols) return;
    for (int row = 0; row < at.rows; row++) canvas_put(c, at.row + row, line, 0x2502, PEN_AXIS);
    for (int i = 0; i < a->ticks; i++) {
        int row = row_of(a, a->tick[i].value);
        if (a->tick[i].minor || row < 0 || row >= last) continue;
        canvas_text_right(c, at.row + row, line, at.cols - 1, a->tick[i].label, PEN_DIM);
        canvas_put(c, at.row + row, line, 0x2524, PEN_AXIS);
        last = row;
    }
}

/* ---- the x axis ------------------------------------------------------------------------------------------------------ */

static int col_of(const plot *a, double step) {
    double width = (double)(a->s->last_step - a->s->first_step);
    return (int)((step - (double)a->s->first_step) / width * (a->count - 1) + 0.5) / 2;
}

/* A label centred below its tick, where it does not touch the one before (which ended at column `taken`). Returns its end. */
static int draw_step(plot *a, const tick *t, int taken) {
    place at = a->l.steps;
    int length = (int)strlen(t->label), tick_col = a->l.plot.col + col_of(a, t->value), col = tick_col - length / 2;
    if (col + length > at.col + at.cols) col = at.col + at.cols - length;
    if (col < at.col || (taken >= 0 && col < taken + 2)) return taken;
    canvas_text(&a->s->canvas, at.row, col, length, t->label, PEN_DIM);
    if (a->l.line.rows) canvas_put(&a->s->canvas, a->l.line.row, tick_col, 0x252c, PEN_AXIS);
    return col + length;
}

static void draw_x_axis(plot *a) {
    axis x = { AXIS_LINEAR, (double)a->s->first_step, (double)a->s->last_step, 0 };
    int wanted = a->l.plot.cols / 12, taken = -1, n;
    tick ticks[TICKS];
    for (int col = 0; a->l.line.rows && col < a->l.line.cols; col++)
        canvas_put(&a->s->canvas, a->l.line.row, a->l.line.col + col, 0x2500, PEN_AXIS);
    if (a->l.line.rows && a->l.labels.cols) canvas_put(&a->s->canvas, a->l.line.row, a->l.line.col - 1, 0x2514, PEN_AXIS);
    if (!a->l.steps.rows || a->l.plot.cols < 1) return;
    n = axis_ticks(&x, wanted < 2 ? 2 : wanted, ticks, TICKS);
    for (int i = 0; i < n; i++)
        if (!ticks[i].minor && ticks[i].value == floor(ticks[i].value)) taken = draw_step(a, &ticks[i], taken);
}

/* ---- title and legend ------------------------------------------------------------------------------------------------ */

/* The latest value as text; returns the pen for it. */
static int last_value(const pitot_series *s, char *text, size_t size) {
    double v = s->n ? s->value[s->n - 1] : 0;
    if (!s->n) snprintf(text, size, "none");
    else if (isnan(v)) snprintf(text, size, "nan");
    else if (isinf(v)) snprintf(text, size, v > 0 ? "inf" : "-inf");
    else format_value(v, 4, text, size);
    return !s->n ? PEN_DIM : isfinite(v) ? PEN_MAIN : PEN_ALARM;
}

static int title_value(const plot *a, char *text, size_t size) {
    pitot_series s;
    if (get_series(a, a->p->main, &s)) return last_value(&s, text, size);
    if (a->p->n == 1 && get_tensor(a, 0, &s)) return last_value(&s, text, size);
    snprintf(text, size, a->lines < a->p->n ? "%lld of %lld tensors" : "%lld tensors",
             (long long)(a->lines < a->p->n ? a->lines : a->p->n), (long long)a->p->n);
    return PEN_DIM;
}

/* What stands behind the panel's name, as far as there is room: the scale, what it means, the unit. */
static void title_notes(const plot *a, char *text, size_t size) {
    const char *scale = a->y.scale == AXIS_LOG ? "log" : a->y.scale == AXIS_SYMLOG ? "symlog" : "";
    snprintf(text, size, "%s%s%s%s%s", scale, *scale && *a->p->label ? "  " : "", a->p->label,
             *a->p->unit && (*scale || *a->p->label) ? ", " : "", a->p->unit);
}

static void draw_title(plot *a) {
    place at = a->l.title;
    canvas *c = &a->s->canvas;
    char value[VALUE_TEXT * 2], notes[160], number[16];
    int pen = title_value(a, value, sizeof value), end = at.col + at.cols, col = at.col;
    if (!at.rows) return;
    if (at.cols >= 12) end = canvas_text_right(c, at.row, end, at.cols / 2, value, pen) - 1;
    if (a->look.number && at.cols >= 16) {
        snprintf(number, sizeof number, "%d ", a->look.number);
        col += canvas_text(c, at.row, col, end - col, number, PEN_DIM);
    }
    col += canvas_text(c, at.row, col, end - col, a->p->title, a->look.chosen ? PEN_CHOSEN : PEN_TITLE);
    title_notes(a, notes, sizeof notes);
    if (*notes && end - col >= 6) canvas_text(c, at.row, col + 1, end - col - 2, notes, PEN_DIM);
}

static int tensor_pen(int64_t k) {
    return PEN_TENSOR + (int)(k % PEN_TENSORS);
}

static void draw_legend_line(plot *a, int row, int64_t k) {
    char value[VALUE_TEXT];
    pitot_series s;
    const char *name;
    place at = a->legend;
    int end;
    if (!get_tensor(a, k, &s)) return;
    name = strchr(s.name, '/') ? strchr(s.name, '/') + 1 : s.name;
    last_value(&s, value, sizeof value);
    end = canvas_text_right(&a->s->canvas, at.row + row, at.col + at.cols, 10, value, PEN_TEXT);
    canvas_text(&a->s->canvas, at.row + row, at.col, end - at.col - 1, name, tensor_pen(k));
}

static void draw_legend(plot *a) {
    int rows = a->legend.rows;
    int64_t fit_in = a->p->n <= rows ? a->p->n : rows - 1;
    char more[VALUE_TEXT];
    for (int row = 0; row < fit_in; row++) draw_legend_line(a, row, row);
    if (rows < 1 || fit_in == a->p->n) return;
    snprintf(more, sizeof more, "and %lld more", (long long)(a->p->n - fit_in));
    canvas_text(&a->s->canvas, a->legend.row + rows - 1, a->legend.col, a->legend.cols, more, PEN_DIM);
}

/* ---- the panel ------------------------------------------------------------------------------------------------------- */

static void draw_lines(plot *a) {
    canvas *c = &a->s->canvas;
    for (int64_t k = 0; k < a->lines; k++) canvas_line(c, a->l.plot, &a->y, a->s->bins + k * a->count, tensor_pen(k));
    if (a->whole) canvas_line(c, a->l.plot, &a->y, a->whole, a->calm ? PEN_RAW : PEN_MAIN);
    if (a->calm) canvas_line(c, a->l.plot, &a->y, a->calm, PEN_MAIN);
    for (int64_t k = 0; k < a->lines; k++) canvas_marks(c, a->l.plot, a->s->bins + k * a->count, PEN_ALARM);
    if (a->whole) canvas_marks(c, a->l.plot, a->whole, PEN_ALARM);
}

static place cut_legend(plot *a, place area) {
    if (!a->look.enlarged || a->p->n < 1 || area.cols < 2 * LEGEND_COLS || area.rows < 6) return area;
    a->legend = (place){ area.row + 1, area.col + area.cols - LEGEND_COLS, area.rows - 1, LEGEND_COLS };
    area.cols -= LEGEND_COLS + 2;
    return area;
}

int32_t plot_panel(screen *s, const shown *all, const panel *p, place where, plot_look look) {
    plot a = { .s = s, .run = shown_at(all), .p = p, .look = look };
    int32_t status = prepare(&a, cut_legend(&a, where));
    if (status != PITOT_OK) return status;
    a.l.title.cols = where.cols;
    draw_title(&a);
    if (a.l.plot.rows > 0 && a.l.plot.cols > 0) {
        draw_y_axis(&a);
        draw_x_axis(&a);
        draw_lines(&a);
    }
    draw_legend(&a);
    return PITOT_OK;
}
