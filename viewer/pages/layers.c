/* layers.c: the page of tensors: any quantity that is logged for each, as a map of tensors and steps in colours; below it the selected
   tensor's history and newest value. */

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "term/heat.h"
#include "term/history.h"
#include "term/page.h"
#include "term/plots.h"
#include "term/raster.h"
#include "term/reading.h"
#include "term/term.h"

enum { OWN_BEFORE = DO_OWN, OWN_NEXT, OWN_SCALE };
enum { PROPOSED, SCALES = 4 }; /* the registry's, linear, log, symlog */
enum { VALUE_COLS = 10, LEAST_NAMES = 6, MOST_NAMES = 30, HISTORY_ROWS = 4, TICKS = 32, SCALE_COLS = 32 };

static const key keys[] = {
    { OWN_BEFORE, { '[' }, "[ ]", "quantity", "the quantity before, or the next; Left and Right too" },
    { OWN_NEXT, { ']' }, "]", NULL, "the next quantity" },
    { OWN_SCALE, { 'y' }, "y", "colours", "scale of the colours: as proposed, linear, logarithmic, symmetric-log" },
    { DO_ENTER, { TERM_ENTER }, "Enter", "its panel", "the quantity's panel among the plots" },
    { DO_NOTHING, { 0 }, NULL, NULL, NULL },
};

typedef struct layers {
    char title[64];     /* of the quantity; "": the first */
    int64_t panel;      /* where it was last seen: it moves when new ones come */
    int64_t tensor, at; /* selected; the first row */
    int scale;
    int rows, high; /* as last drawn: tensors in sight, rows of each */
    place map;
    raster raster;
} layers;

/* ---- quantities ------------------------------------------------------------------------------------------------------ */

static int is_layered(const panel *p) {
    return p->n > 0;
}

static int is_chosen(const layers *own, const panel *p) {
    return is_layered(p) && !strcmp(p->title, own->title);
}

/* The panel of the quantity, or the first one that has tensors; -1: there is none. */
static int64_t find_panel(const panel_list *list, const layers *own) {
    int64_t first = -1;
    if (own->panel < list->n && is_chosen(own, &list->panel[own->panel])) return own->panel;
    for (int64_t i = 0; i < list->n; i++) {
        if (is_chosen(own, &list->panel[i])) return i;
        if (first < 0 && is_layered(&list->panel[i])) first = i;
    }
    return first;
}

static void choose(layers *own, const panel_list *list, int by) {
    int64_t at = find_panel(list, own);
    for (int64_t i = at + by; at >= 0 && i >= 0 && i < list->n; i += by)
        if (is_layered(&list->panel[i])) {
            snprintf(own->title, sizeof own->title, "%s", list->panel[i].title);
            own->panel = i;
            return;
        }
}

static int is_empty(const shown *all) {
    static const layers none = { .tensor = 0 };
    return find_panel(shown_at(all)->panels, &none) < 0;
}

static int get_tensor(const shown *all, const panel *p, int64_t k, pitot_series *s) {
    const shown_run *run = shown_at(all);
    return k >= 0 && k < p->n && pitot_log_series(run->log, run->panels->series[p->first + k], s) == PITOT_OK;
}

static const char *tensor_name(const pitot_series *s) {
    const char *slash = strchr(s->name, '/');
    return slash ? slash + 1 : s->name;
}

/* ---- drawing --------------------------------------------------------------------------------------------------------- */

typedef struct drawing {
    screen *s;
    const shown *all;
    const panel *p;
    layers *own;
    place title, names, map, values, line, steps, legend, detail, history; /* what has no room is empty */
    int high;                                                              /* rows of a tensor */
    int64_t count;                                                         /* tensors in sight */
    axis a;
} drawing;

static int names_width(const drawing *d) {
    int width = LEAST_NAMES;
    pitot_series s;
    for (int64_t k = 0; k < d->p->n && k < 500; k++) {
        int needed = get_tensor(d->all, d->p, k, &s) ? canvas_text_width(&d->s->canvas, tensor_name(&s)) : 0;
        if (needed > width) width = needed;
    }
    return width < MOST_NAMES ? width : MOST_NAMES;
}

/* Rows from the top: title, map, its steps, the scale of colours, the selected tensor and, where much is left, its history. */
static void divide(drawing *d) {
    place b = d->s->layout.body;
    int detail = b.rows >= 3, legend = b.rows >= 5, steps = b.rows >= 6, line = b.rows >= 9;
    int room = b.rows - 1 - detail - legend - steps - line, left, right;
    d->high = d->p->n > 0 && room / d->p->n >= 2 ? (int)(room / d->p->n) : 1;
    if (d->high > 3) d->high = 3;
    while (d->high > 1 && room - d->p->n * d->high < HISTORY_ROWS + 1) d->high--;
    d->count = room / d->high < d->p->n ? room / d->high : d->p->n;
    if (d->count < 0) d->count = 0;
    int rows = (int)d->count * d->high, below = room - rows >= HISTORY_ROWS + 1 ? room - rows - 1 : 0;
    left = b.cols >= 30 ? names_width(d) + 1 : 0;
    if (left > b.cols / 3) left = b.cols / 3;
    right = b.cols >= 60 ? VALUE_COLS + 1 : 0;
    d->title = (place){ b.row, b.col, b.rows > 0, b.cols };
    d->map = (place){ b.row + 1, b.col + left, rows, b.cols - left - right };
    d->names = (place){ d->map.row, b.col, left ? rows : 0, left - 1 };
    d->values = (place){ d->map.row, b.col + b.cols - VALUE_COLS, right ? rows : 0, VALUE_COLS };
    d->line = (place){ d->map.row + rows, d->map.col, line, d->map.cols };
    d->steps = (place){ d->line.row + line, d->map.col, steps, d->map.cols };
    d->legend = (place){ d->steps.row + steps, b.col, legend, b.cols };
    d->detail = (place){ d->legend.row + legend + (below > 0), b.col, detail, b.cols };
    d->history = (place){ d->detail.row + detail, b.col, below, b.cols };
}

static void scroll(drawing *d) {
    layers *own = d->own;
    int64_t last = d->p->n - 1;
    own->rows = (int)d->count;
    own->high = d->high;
    own->map = d->map;
    own->tensor = own->tensor > last ? last : own->tensor < 0 ? 0 : own->tensor;
    if (own->at > own->tensor) own->at = own->tensor;
    if (d->count > 0 && own->at < own->tensor - d->count + 1) own->at = own->tensor - d->count + 1;
    if (own->at > d->p->n - d->count) own->at = d->p->n - d->count;
    if (own->at < 0) own->at = 0;
}

static int scale_of(const drawing *d) {
    static const int scales[SCALES] = { PROPOSED, AXIS_LINEAR, AXIS_LOG, AXIS_SYMLOG };
    return d->own->scale == PROPOSED ? d->p->scale : scales[d->own->scale % SCALES];
}

static void draw_cell(const drawing *d, int row, int col, const raster_cell *of) {
    canvas *c = &d->s->canvas;
    double at = axis_at(&d->a, of->v);
    if (!of->there) return;
    if (!isfinite(of->v)) heat_put_odd(c, row, col, of->v);
    else heat_put(c, row, col, heat_level(at));
}

static int32_t draw_map(drawing *d) {
    raster *r = &d->own->raster;
    pitot_series s;
    int64_t first, last;
    reading_range(d->s, d->all, &first, &last);
    d->s->window.dots = 2 * d->map.cols;
    if (!raster_resize(r, (int)d->count, d->map.cols, (double)first, (double)last)) return PITOT_ENOMEM;
    for (int k = 0; k < r->rows; k++)
        if (get_tensor(d->all, d->p, d->own->at + k, &s)) raster_fill(r, k, &s);
    d->a = raster_axis(r, scale_of(d));
    for (int row = 0; row < r->rows * d->high; row++)
        for (int col = 0; col < r->cols; col++)
            draw_cell(d, d->map.row + row, d->map.col + col, &r->cell[(int64_t)(row / d->high) * r->cols + col]);
    return PITOT_OK;
}

static void draw_sides(const drawing *d) {
    canvas *c = &d->s->canvas;
    for (int k = 0; k < d->count; k++) {
        int row = d->map.row + k * d->high + (d->high - 1) / 2, chosen = d->own->at + k == d->own->tensor && !d->s->still;
        pitot_series s;
        char text[32];
        if (!get_tensor(d->all, d->p, d->own->at + k, &s)) continue;
        int64_t i = reading_index(&s, reading_step(d->s, d->all));
        double v = i >= 0 ? s.value[i] : NAN;
        if (d->names.rows) canvas_text(c, row, d->names.col, d->names.cols, tensor_name(&s), chosen ? PEN_CHOSEN : PEN_TEXT);
        reading_text(v, 4, text, sizeof text);
        if (d->values.rows)
            canvas_text_right(c, row, d->values.col + VALUE_COLS, VALUE_COLS, i >= 0 ? text : "-", reading_pen(d->p->band, v));
    }
}

static void draw_steps(const drawing *d) {
    canvas *c = &d->s->canvas;
    const raster *r = &d->own->raster;
    axis x = { AXIS_LINEAR, r->first, r->last + 1, 0 };
    tick t[TICKS];
    int n = d->map.cols > 0 ? axis_ticks(&x, d->map.cols / 14 + 2, t, TICKS) : 0, free_from = d->map.col;
    for (int i = 0; i < d->line.cols && d->line.rows; i++)
        canvas_put(c, d->line.row, d->line.col + i, c->ascii ? '-' : 0x2500, PEN_AXIS);
    for (int i = 0; i < n; i++) {
        double share = axis_at(&x, t[i].value);
        if (t[i].minor || t[i].value != floor(t[i].value) || !(share >= 0 && share < 1)) continue;
        int col = d->map.col + (int)(share * d->map.cols), length = (int)strlen(t[i].label), from = col - length / 2;
        if (d->line.rows) canvas_put(c, d->line.row, col, c->ascii ? '+' : 0x252c, PEN_AXIS);
        if (from < d->map.col) from = d->map.col;
        if (!d->steps.rows || from < free_from || from + length > d->map.col + d->map.cols) continue;
        canvas_text(c, d->steps.row, from, length, t[i].label, PEN_DIM);
        free_from = from + length + 2;
    }
}

static const char *scale_name(int scale) {
    return scale == AXIS_LOG ? "log" : scale == AXIS_SYMLOG ? "symlog" : "linear";
}

static void draw_title(const drawing *d) {
    canvas *c = &d->s->canvas;
    place at = d->title;
    char text[192];
    if (!at.rows) return;
    int end = at.col + at.cols, col = at.col + canvas_text(c, at.row, at.col, at.cols, d->p->title, PEN_TITLE) + 1;
    snprintf(text, sizeof text, "%lld tensor%s", (long long)d->p->n, d->p->n == 1 ? "" : "s");
    if (end - col > 24) end = canvas_text_right(c, at.row, end, 20, text, PEN_DIM) - 2;
    snprintf(text, sizeof text, "%s%s%s", d->p->label, *d->p->label && *d->p->unit ? ", " : "", d->p->unit);
    if (end - col >= 12) canvas_text(c, at.row, col, end - col, text, PEN_DIM);
}

/* What the colours mean: the values of both ends, the scale, and what a column is. */
static void draw_legend(const drawing *d) {
    char least[32], most[32], steps[32], text[128];
    place at = d->legend;
    if (!at.rows) return;
    format_value(d->a.lo, 3, least, sizeof least);
    format_value(d->a.hi, 3, most, sizeof most);
    int used = heat_scale(&d->s->canvas, at, at.cols / 3 < SCALE_COLS ? at.cols / 3 : SCALE_COLS, least, most);
    double per = raster_steps(&d->own->raster);
    format_value(ceil(per), 6, steps, sizeof steps);
    int col = at.col + used + (used ? 2 : 0), room = at.col + at.cols - col;
    snprintf(text, sizeof text, "%s; a cell: the largest magnitude of %s steps", scale_name(d->a.scale), steps);
    if (per <= 1 || canvas_text_width(&d->s->canvas, text) > room) snprintf(text, sizeof text, "%s", scale_name(d->a.scale));
    canvas_text(&d->s->canvas, at.row, col, room, text, PEN_DIM);
}

static int32_t draw_detail(const drawing *d) {
    canvas *c = &d->s->canvas;
    place at = d->detail;
    pitot_series s;
    char value[48], text[160], step[32];
    if (!at.rows || !get_tensor(d->all, d->p, d->own->tensor, &s)) return PITOT_OK;
    int64_t i = reading_index(&s, reading_step(d->s, d->all));
    int col = at.col + canvas_text(c, at.row, at.col, at.cols, tensor_name(&s), PEN_TITLE) + 2, end = at.col + at.cols;
    reading_text(i >= 0 ? s.value[i] : NAN, 9, value, sizeof value);
    format_value(i >= 0 ? (double)s.step[i] : 0, 16, step, sizeof step);
    if (i >= 0 && col < end) col += canvas_text(c, at.row, col, end - col, value, reading_pen(d->p->band, s.value[i])) + 1;
    snprintf(text, sizeof text, "%s%sat step %s, tensor %lld of %lld", d->p->unit, *d->p->unit ? " " : "", step,
             (long long)d->own->tensor + 1, (long long)d->p->n);
    if (i >= 0 && col < end) canvas_text(c, at.row, col, end - col, text, PEN_DIM);
    history h = { .line = { s }, .pen = { PEN_MAIN }, .lines = 1, .scale = d->a.scale, .labelled = 1, .level = NAN, .mark = -1 };
    h.stepped = d->history.rows >= 6;
    return d->history.rows ? history_draw(d->s, d->all, d->history, &h) : PITOT_OK;
}

static int32_t draw(screen *s, const shown *all, void *memory) {
    layers *own = memory;
    const panel_list *list = shown_at(all)->panels;
    int64_t at = find_panel(list, own);
    drawing d = { .s = s, .all = all, .own = own, .p = at >= 0 ? &list->panel[at] : NULL };
    place b = s->layout.body;
    if (at < 0) {
        if (b.rows)
            canvas_text(&s->canvas, b.row, b.col, b.cols, "nothing is logged tensor by tensor (--probes grad_norm)", PEN_DIM);
        return PITOT_OK;
    }
    if (b.rows < 1 || b.cols < 1) return PITOT_OK;
    divide(&d);
    scroll(&d);
    int32_t status = draw_map(&d);
    if (status != PITOT_OK) return status;
    draw_title(&d);
    draw_sides(&d);
    draw_steps(&d);
    draw_legend(&d);
    return draw_detail(&d);
}

/* ---- keys ------------------------------------------------------------------------------------------------------------ */

/* The tensor whose row was clicked. 1, or 0: there is none. */
static int point_at(layers *own, int row) {
    if (row < own->map.row || row >= own->map.row + own->map.rows || own->high < 1) return 0;
    own->tensor = own->at + (row - own->map.row) / own->high;
    return 1;
}

static int act(screen *s, shown *all, void *memory, const event *e) {
    layers *own = memory;
    const panel_list *list = shown_at(all)->panels;
    int screenful = own->rows > 1 ? own->rows - 1 : 1;
    int64_t at = find_panel(list, own), last = at >= 0 ? list->panel[at].n - 1 : 0;
    switch (e->action) {
    case OWN_BEFORE:
    case DO_LEFT: choose(own, list, -1); break;
    case OWN_NEXT:
    case DO_RIGHT: choose(own, list, 1); break;
    case OWN_SCALE: own->scale = (own->scale + 1) % SCALES; break;
    case DO_UP:
    case DO_WHEEL_UP: own->tensor--; break;
    case DO_DOWN:
    case DO_WHEEL_DOWN: own->tensor++; break;
    case DO_PAGE_UP: own->tensor -= screenful; break;
    case DO_PAGE_DOWN: own->tensor += screenful; break;
    case DO_FIRST: own->tensor = 0; break;
    case DO_LAST: own->tensor = last; break;
    case DO_CLICK:
        if (!point_at(own, e->row)) return 0;
        break;
    case DO_ENTER:
        if (at >= 0) plots_open(s, list->panel[at].title);
        break;
    default: return 0;
    }
    own->tensor = own->tensor > last ? last : own->tensor < 0 ? 0 : own->tensor;
    return 1;
}

static void where(const screen *s, const shown *all, const void *memory, char *text, size_t size) {
    const layers *own = memory;
    const panel_list *list = shown_at(all)->panels;
    int64_t at = find_panel(list, own), n = 0, before = 0;
    (void)s;
    for (int64_t i = 0; i < list->n; i++) {
        if (!is_layered(&list->panel[i])) continue;
        n++;
        before += i <= at;
    }
    if (n) snprintf(text, size, "quantity %lld of %lld", (long long)before, (long long)n);
}

static void free_own(void *memory) {
    layers *own = memory;
    raster_free(&own->raster);
}

const page page_layers = {
    .name = "layers",
    .code = 'L',
    .about = "layers: a quantity of each tensor over the steps, as a map in colours",
    .rank = 2,
    .keys = keys,
    .windowed = 1,
    .size = sizeof(layers),
    .is_empty = is_empty,
    .draw = draw,
    .act = act,
    .where = where,
    .free = free_own,
};
