/* plot.c: see plot.h. What is drawn comes from columns.h; nothing here looks at values besides the one that stands in a title. */

#include "term/plot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_LINES = 400, /* tensors drawn in one panel, and runs */
    LABEL_COLS = 7,   /* "1.2e-05": one width for all panels keeps their plots aligned */
    WIDEST_LABEL = 12,
    VALUE_TEXT = 32,
    TICKS = 64,
    LEGEND_COLS = 30
};

typedef struct plot_line { /* a tensor's, or a run's whole */
    const columns *c;
    int pen, pale; /* pale: of what lies behind its smoothing */
} plot_line;

typedef struct plot { /* one panel while it is drawn */
    screen *s;
    const shown *all;
    plots *own;
    int64_t k;       /* panel of the board */
    const panel *p;  /* as `run` has it, whose tensors are drawn */
    int run, wholes; /* wholes: runs that have a scalar here */
    plot_look look;
    panel_layout l;
    place legend;
    int count;       /* columns of dots */
    plot_line *line; /* [lines], from back to front */
    int lines;
    axis y;
    tick tick[TICKS];
    int ticks;
} plot;

/* ---- values ---------------------------------------------------------------------------------------------------------- */

static int get_series(const plot *a, int run, int64_t index, pitot_series *s) {
    return index >= 0 && pitot_log_series(a->all->run[run].log, index, s) == PITOT_OK;
}

static int64_t tensor_series(const plot *a, int64_t k) {
    return a->all->run[a->run].panels->series[a->p->first + k];
}

static int64_t whole_series(const plot *a, int run) {
    const panel *p = board_panel(&a->own->board, a->all, a->k, run);
    return p ? p->main : -1;
}

static int tensors_to_draw(const plot *a) {
    if (a->p->main >= 0 && !a->look.enlarged) return 0;
    return (int)(a->p->n < MOST_LINES ? a->p->n : MOST_LINES);
}

static int tensor_pen(int64_t k) {
    return PEN_TENSOR + (int)(k % PEN_TENSORS);
}

static int pale_pen(int pen) {
    return pen >= PEN_RUN && pen < PEN_RUN + PEN_RUNS ? pen - PEN_RUN + PEN_PALE : PEN_RAW;
}

static int smoothing_of(const plot *a) {
    return a->own->smoothing == SMOOTH_SUITED && (a->l.plot.rows < 4 || a->l.plot.cols < 16) ? SMOOTH_NONE : a->own->smoothing;
}

static int32_t add_line(plot *a, int run, int64_t series, int smoothing, int pen) {
    plot_line *l = &a->line[a->lines];
    const window *w = &a->s->window;
    l->c = columns_get(&a->own->cache, a->all->run[run].log, series, a->count, &w->x, &w->run[run], smoothing);
    l->pen = pen;
    l->pale = pale_pen(pen);
    a->lines += l->c != NULL;
    return l->c ? PITOT_OK : PITOT_ENOMEM;
}

/* 0: behind all others, 1: pinned, 2: the run at hand. */
static int layer_of(const plot *a, int run) {
    return run == a->all->at ? 2 : a->all->run[run].pinned ? 1 : 0;
}

static int32_t collect(plot *a) {
    int32_t status = PITOT_OK;
    int tensors = tensors_to_draw(a), most = tensors + MOST_LINES;
    a->count = 2 * a->l.plot.cols;
    a->lines = a->wholes = 0;
    for (int k = 0; k < tensors && status == PITOT_OK; k++)
        status = add_line(a, a->run, tensor_series(a, k), SMOOTH_NONE, tensor_pen(k));
    for (int layer = 0; layer < 3; layer++)
        for (int run = 0; run < a->all->runs && a->lines < most && status == PITOT_OK; run++) {
            if (layer_of(a, run) != layer || whole_series(a, run) < 0) continue;
            status = add_line(a, run, whole_series(a, run), smoothing_of(a), a->all->run[run].pen);
            a->wholes++;
        }
    return status;
}

/* ---- the y axis ------------------------------------------------------------------------------------------------------ */

static int scale_of(const plot *a) {
    return a->own->scale ? a->own->scale - 1 : a->p->scale;
}

/* Extremes of the bins say the same as all values do: three of them stand in the place of each bin. Where a line has none in sight, the
   values beside it do. Returns how many were written, at most 3 * count + 2. */
static int64_t extremes(const columns *c, double *v) {
    int64_t k = 0;
    for (int x = 0; x < c->count; x++) {
        const bin *b = &c->raw[x];
        if (!b->n) continue;
        v[k++] = b->min;
        v[k++] = b->max;
        v[k++] = b->least;
    }
    if (k) return k;
    v[0] = c->left.raw;
    v[1] = c->right.raw;
    return 2;
}

static int32_t fit(plot *a) {
    int64_t k = 0;
    double *v = calloc((size_t)a->lines * (3 * (size_t)a->count + 2) + 1, sizeof *v);
    if (!v) return PITOT_ENOMEM;
    for (int i = 0; i < a->lines; i++) k += extremes(a->line[i].c, v + k);
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

/* The column of cells of an x in sight. */
static int col_of(const plot *a, double x) {
    return (int)(axis_at(&a->s->window.x, x) * (a->count - 1) + 0.5) / 2;
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
    int whole = a->s->window.by == BY_STEPS, wanted = a->l.plot.cols / 12, taken = -1, n;
    tick ticks[TICKS];
    for (int col = 0; a->l.line.rows && col < a->l.line.cols; col++)
        canvas_put(&a->s->canvas, a->l.line.row, a->l.line.col + col, 0x2500, PEN_AXIS);
    if (a->l.line.rows && a->l.labels.cols) canvas_put(&a->s->canvas, a->l.line.row, a->l.line.col - 1, 0x2514, PEN_AXIS);
    if (!a->l.steps.rows || a->l.plot.cols < 1) return;
    n = window_ticks(&a->s->window, wanted < 2 ? 2 : wanted, ticks, TICKS);
    for (int i = 0; i < n; i++)
        if (!ticks[i].minor && (!whole || ticks[i].value == floor(ticks[i].value))) taken = draw_step(a, &ticks[i], taken);
}

/* Behind the lines: they are drawn over it. */
static void draw_cursor(const plot *a) {
    const window *w = &a->s->window;
    double at = axis_at(&w->x, w->at);
    if (!w->cursor || !(at > -1e-6 && at < 1 + 1e-6)) return;
    for (int row = 0; row < a->l.plot.rows; row++)
        canvas_put(&a->s->canvas, a->l.plot.row + row, a->l.plot.col + col_of(a, w->at), 0x2502, PEN_DIM);
}

/* ---- title and legend ------------------------------------------------------------------------------------------------ */

/* The value at the cursor, or the one before it, as text; the latest where there is no cursor. Returns the pen for it. */
static int value_text(const plot *a, int run, const pitot_series *s, int pen, char *text, size_t size) {
    const window *w = &a->s->window;
    int64_t i = w->cursor ? window_find(&w->run[run], s, w->at) : s->n - 1;
    double v = i >= 0 ? s->value[i] : 0;
    if (i < 0) snprintf(text, size, s->n ? "-" : "none");
    else if (isnan(v)) snprintf(text, size, "nan");
    else if (isinf(v)) snprintf(text, size, v > 0 ? "inf" : "-inf");
    else format_value(v, 4, text, size);
    return i < 0 ? PEN_DIM : isfinite(v) ? pen : PEN_ALARM;
}

/* Columns that the values of all runs take, with gaps. */
static int values_width(const plot *a) {
    char text[VALUE_TEXT];
    pitot_series s;
    int width = 0;
    for (int run = 0; run < a->all->runs; run++) {
        if (!get_series(a, run, whole_series(a, run), &s)) continue;
        value_text(a, run, &s, PEN_TEXT, text, sizeof text);
        width += canvas_text_width(&a->s->canvas, text) + 2;
    }
    return width;
}

/* One value a run, in its colour, from the right; where there is no room for all, that of the run at hand first, and an ellipsis for those
   left out. Returns where they begin. */
static int draw_values(plot *a, place at) {
    char text[VALUE_TEXT];
    canvas *c = &a->s->canvas;
    pitot_series s;
    int end = at.col + at.cols, least = at.col + at.cols / (a->wholes > 1 ? 3 : 2), left = a->wholes, runs = a->all->runs;
    int first = values_width(a) > end - least + 2; /* 1: the run at hand comes before the others */
    for (int i = runs - 1 + first; i >= 0 && left > 0; i--) {
        int run = i == runs ? a->all->at : i;
        if ((first && i == a->all->at) || !get_series(a, run, whole_series(a, run), &s)) continue;
        int pen = value_text(a, run, &s, a->all->run[run].pen, text, sizeof text), more = --left > 0;
        if (end - canvas_text_width(c, text) - 3 * more < least && end < at.col + at.cols) {
            canvas_put(c, at.row, --end, 0x2026, PEN_DIM);
            return end - 1;
        }
        end = canvas_text_right(c, at.row, end, end - least, text, pen) - 1 - more;
    }
    return end;
}

static int draw_tensor_count(plot *a, place at) {
    char text[VALUE_TEXT * 2];
    pitot_series s;
    int pen = PEN_DIM, drawn = tensors_to_draw(a);
    if (a->p->n == 1 && get_series(a, a->run, tensor_series(a, 0), &s))
        pen = value_text(a, a->run, &s, PEN_MAIN, text, sizeof text);
    else if (drawn < a->p->n) snprintf(text, sizeof text, "%d of %lld tensors", drawn, (long long)a->p->n);
    else snprintf(text, sizeof text, "%d tensors", drawn);
    return canvas_text_right(&a->s->canvas, at.row, at.col + at.cols, at.cols / 2, text, pen) - 1;
}

/* What stands behind the panel's name, as far as there is room: the scale, what it means, the unit. */
static void title_notes(const plot *a, char *text, size_t size) {
    static const char *const names[] = { "", "log", "symlog", "asinh" };
    const char *scale = names[a->y.scale];
    snprintf(text, size, "%s%s%s%s%s", scale, *scale && *a->p->label ? "  " : "", a->p->label,
             *a->p->unit && (*scale || *a->p->label) ? ", " : "", a->p->unit);
}

static void draw_title(plot *a) {
    place at = a->l.title;
    canvas *c = &a->s->canvas;
    char notes[160], number[16];
    int end = at.col + at.cols, col = at.col;
    if (!at.rows) return;
    if (at.cols >= 12) end = a->wholes ? draw_values(a, at) : draw_tensor_count(a, at);
    if (a->look.number && at.cols >= 16) {
        snprintf(number, sizeof number, "%d ", a->look.number);
        col += canvas_text(c, at.row, col, end - col, number, PEN_DIM);
    }
    col += canvas_text(c, at.row, col, end - col, a->p->title, a->look.chosen ? PEN_CHOSEN : PEN_TITLE);
    title_notes(a, notes, sizeof notes);
    if (*notes && end - col >= 6) canvas_text(c, at.row, col + 1, end - col - 2, notes, PEN_DIM);
}

static void draw_name(plot *a, int row, const char *name, int run, int64_t series, int pen) {
    char value[VALUE_TEXT];
    pitot_series s;
    place at = a->legend;
    if (!get_series(a, run, series, &s)) return;
    int text = value_text(a, run, &s, PEN_TEXT, value, sizeof value);
    int end = canvas_text_right(&a->s->canvas, at.row + row, at.col + at.cols, 10, value, text);
    canvas_text(&a->s->canvas, at.row + row, at.col, end - at.col - 1, name ? name : s.name, pen);
}

static void draw_tensor_name(plot *a, int row, int64_t k) {
    pitot_series s;
    if (!get_series(a, a->run, tensor_series(a, k), &s)) return;
    const char *slash = strchr(s.name, '/');
    draw_name(a, row, slash ? slash + 1 : s.name, a->run, tensor_series(a, k), tensor_pen(k));
}

/* Runs, if there are several, then tensors. */
static void draw_legend(plot *a) {
    int rows = a->legend.rows, row = 0, runs = a->wholes > 1 ? a->wholes : 0;
    int64_t total = runs + a->p->n, fit_in = total <= rows ? total : rows - 1;
    char more[VALUE_TEXT];
    if (rows < 1) return;
    for (int run = 0; runs && run < a->all->runs && row < fit_in; run++)
        if (whole_series(a, run) >= 0) draw_name(a, row++, a->all->run[run].name, run, whole_series(a, run), a->all->run[run].pen);
    for (int64_t k = 0; row < fit_in && k < a->p->n; k++) draw_tensor_name(a, row++, k);
    if (fit_in == total) return;
    snprintf(more, sizeof more, "and %lld more", (long long)(total - fit_in));
    canvas_text(&a->s->canvas, a->legend.row + rows - 1, a->legend.col, a->legend.cols, more, PEN_DIM);
}

/* ---- the panel ------------------------------------------------------------------------------------------------------- */

/* The way to the values next to what is in sight; not from or to a column in which the line is broken. */
static void join_edges(plot *a, const columns *c, const bin *bins, double left, double right, int pen) {
    canvas *on = &a->s->canvas;
    int first = 0, last = c->count - 1, has_left = !isnan(c->left.at) && !isnan(left),
        has_right = !isnan(c->right.at) && !isnan(right);
    while (first < c->count && !bins[first].n && !bins[first].odd) first++;
    while (last > first && !bins[last].n && !bins[last].odd) last--;
    if (first == c->count) {
        if (has_left && has_right) canvas_join(on, a->l.plot, &a->y, c->left.at, left, c->right.at, right, pen);
        return;
    }
    if (has_left && !bins[first].odd) canvas_join(on, a->l.plot, &a->y, c->left.at, left, first, bins[first].first, pen);
    if (has_right && !bins[last].odd) canvas_join(on, a->l.plot, &a->y, last, bins[last].last, c->right.at, right, pen);
}

static void draw_lines(plot *a) {
    canvas *on = &a->s->canvas;
    for (int i = 0; i < a->lines; i++) {
        const plot_line *l = &a->line[i];
        int pen = l->c->calm ? l->pale : l->pen;
        canvas_line(on, a->l.plot, &a->y, l->c->raw, pen);
        join_edges(a, l->c, l->c->raw, l->c->left.raw, l->c->right.raw, pen);
    }
    for (int i = 0; i < a->lines; i++) {
        const plot_line *l = &a->line[i];
        if (!l->c->calm) continue;
        canvas_line(on, a->l.plot, &a->y, l->c->calm, l->pen);
        join_edges(a, l->c, l->c->calm, l->c->left.calm, l->c->right.calm, l->pen);
    }
    for (int i = 0; i < a->lines; i++) canvas_marks(on, a->l.plot, a->line[i].c->raw, a->wholes > 1 ? a->line[i].pen : PEN_ALARM);
}

static place cut_legend(plot *a, place area) {
    int names = a->p->n > 0 || a->own->board.runs > 1;
    if (!a->look.enlarged || !names || area.cols < 2 * LEGEND_COLS || area.rows < 6) return area;
    a->legend = (place){ area.row + 1, area.col + area.cols - LEGEND_COLS, area.rows - 1, LEGEND_COLS };
    area.cols -= LEGEND_COLS + 2;
    return area;
}

static int32_t draw(plot *a, place where) {
    int32_t status = prepare(a, cut_legend(a, where));
    if (status != PITOT_OK) return status;
    if (a->count > a->s->window.dots) a->s->window.dots = a->count;
    a->l.title.cols = where.cols;
    draw_title(a);
    if (a->l.plot.rows > 0 && a->l.plot.cols > 0) {
        draw_y_axis(a);
        draw_x_axis(a);
        draw_cursor(a);
        draw_lines(a);
    }
    draw_legend(a);
    return PITOT_OK;
}

int32_t plot_panel(screen *s, const shown *all, plots *own, int64_t k, place where, plot_look look, place *inside) {
    *inside = (place){ 0 };
    plot a = { .s = s, .all = all, .own = own, .k = k, .look = look };
    a.run = board_run(&own->board, all, k);
    a.p = board_any(&own->board, all, k);
    if (!a.p) return PITOT_OK;
    a.line = calloc((size_t)tensors_to_draw(&a) + MOST_LINES, sizeof *a.line);
    if (!a.line) return PITOT_ENOMEM;
    int32_t status = draw(&a, where);
    *inside = a.l.plot;
    free(a.line);
    return status;
}
