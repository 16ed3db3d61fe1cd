/* cockpit.c: which instrument stands where. See page.h.

       STEP SIZE        GRADIENTS         CURVATURE           primary: two rows; secondary: the rest
       HYPER-PARAMETERS PERFORMANCE
       AUXILIARY
       LAYERWISE
       OTHER            whatever the run has besides

   The instruments are those of Schneider, Dangel, Hennig 2021, section 3, and of their program's two screens. */

#include "page.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STEP_SIZE, GRADIENTS, CURVATURE, HYPER, PERFORMANCE, AUXILIARY, LAYERS, TENSORS, SECTIONS };

static const instrument table[] = {
    { "alpha", "where steps end on the way to the minimum", "alpha", alpha_draw, STEP_SIZE, 0 },
    { "distance", "", "distance|update_size", curves_draw, STEP_SIZE, 0 },
    { "grad_norm", "", "grad_norm", curves_draw, STEP_SIZE, 0 },
    { "gradient_tests", "scatter of samples' gradients, in lengths of g", "norm_test,inner_test,ortho_test", tests_draw, GRADIENTS,
      0 },
    { "grad_hist_1d", "elements of samples' gradients", "grad_hist_1d", histogram_draw, GRADIENTS, 0 },
    { "grad_hist_2d", "gradient and parameter elements", "grad_hist_2d", joint_draw, GRADIENTS, 0 },
    { "hess_max_ev", "ends of the Hessian's spectrum", "hess_max_ev,hess_max_ev.min", curves_draw, CURVATURE, 0 },
    { "hess_trace", "", "hess_trace", curves_draw, CURVATURE, 0 },
    { "tic", "Takeuchi information criterion", "tic_diag,tic_trace", curves_draw, CURVATURE, 0 },
    { "hyper", "settings of the optimizer", "lr", hyper_draw, HYPER, 0 },
    { "performance", "", "loss,val/loss;val/accuracy", curves_draw, PERFORMANCE, 0 },
    { "mean_gsnr", "", "mean_gsnr", curves_draw, AUXILIARY, 0 },
    { "noise_scale", "", "noise_scale,noise_scale.unbiased.b_simple", curves_draw, AUXILIARY, 1 },
    { "cabs", "", "cabs", curves_draw, AUXILIARY, 1 },
    { "early_stopping", "", "early_stopping", curves_draw, AUXILIARY, 0 },
    { "grad_norm_layers", "norm of the gradient, tensor by tensor", "grad_norm", layers_draw, LAYERS, 0 },
    { "update_ratio_layers", "step over parameters, tensor by tensor", "update_ratio", layers_draw, LAYERS, 0 },
    { "grad_hist_2d_layers", "gradient and parameter of each tensor", "grad_hist_2d", joints_draw, TENSORS, 0 },
};

enum { INSTRUMENTS = sizeof table / sizeof *table };

const instrument *cockpit_at(int k) {
    return k >= 0 && k < INSTRUMENTS ? &table[k] : NULL;
}

const char *figure_panel_name(int k) {
    return k >= 0 && k < INSTRUMENTS ? table[k].name : NULL;
}

const instrument *cockpit_find(const char *name, size_t length) {
    for (int k = 0; k < INSTRUMENTS; k++)
        if (strlen(table[k].name) == length && memcmp(table[k].name, name, length) == 0) return &table[k];
    return NULL;
}

static int names(const char *keys, const char *title) {
    size_t n = strlen(title);
    for (; *keys; keys += strspn(keys, ",|;")) {
        size_t length = strcspn(keys, ",|;");
        if (length == n && memcmp(keys, title, n) == 0) return 1;
        keys += length;
    }
    return 0;
}

int cockpit_shows(const panel *one) {
    if (strncmp(one->title, "hyper.", 6) == 0) return 1;
    for (int k = 0; k < INSTRUMENTS; k++) {
        int only_tensors = table[k].draw == layers_draw;
        if (names(table[k].keys, one->title) && !(only_tensors && one->main >= 0)) return 1;
    }
    return 0;
}

/* ---- one instrument ---------------------------------------------------------------------------------------------------- */

static rgb accent_of(int section) {
    return section == STEP_SIZE                         ? ink_run(0)
           : section == GRADIENTS                       ? ink_run(1)
           : section == CURVATURE                       ? ink_run(2)
           : section == HYPER || section == PERFORMANCE ? ink_run(6)
                                                        : ink_run(3);
}

static view view_of(cairo_t *cr, const page *p, const instrument *one, rect cell, double font) {
    return (view){
        .cr = cr,
        .what = one,
        .log = p->run[0].log,
        .list = &p->list[0],
        .facts = &p->facts[0],
        .cell = cell,
        .font = font,
        .column = p->column,
        .snap = p->snap,
        .steps = sheets_steps(p),
        .smooth = p->options->smooth,
        .accent = one->section == HYPER || one->section == PERFORMANCE ? ink_run(0) : accent_of(one->section),
    };
}

/* Room beside the areas that all of them can live with. */
static void margins_of(const view *v, int n, double *left, double *right) {
    *left = 2.4 * v[0].font;
    *right = 2.4 * v[0].font;
    for (int i = 0; i < n; i++)
        if (v[i].what->draw == curves_draw) curves_margins(&v[i], left, right);
    *left = fmin(*left, 0.3 * v[0].cell.w);
    *right = fmin(*right, 0.3 * v[0].cell.w);
}

int32_t cockpit_draw_one(cairo_t *cr, const page *p, const instrument *one, rect cell, double font) {
    view v = view_of(cr, p, one, cell, font);
    margins_of(&v, 1, &v.left, &v.right);
    return one->draw(&v);
}

/* ---- sections ---------------------------------------------------------------------------------------------------------- */

static const double gap = 9, pad = 6; /* between boxes, around what stands in one; in units of the page, see `unit` below */

typedef struct box { /* where a section stands and what is in it */
    const char *title;
    int section, columns; /* 0: one below the other */
    rect area;
} box;

static void rounded(cairo_t *cr, rect a, double r) {
    r = fmax(0, fmin(r, fmin(a.w, a.h) / 2));
    cairo_new_path(cr);
    cairo_arc(cr, a.x + a.w - r, a.y + r, r, -M_PI / 2, 0);
    cairo_arc(cr, a.x + a.w - r, a.y + a.h - r, r, 0, M_PI / 2);
    cairo_arc(cr, a.x + r, a.y + a.h - r, r, M_PI / 2, M_PI);
    cairo_arc(cr, a.x + r, a.y + r, r, M_PI, 1.5 * M_PI);
    cairo_close_path(cr);
}

/* The tinted ground and the title of a section; returns what is left for its panels. */
static rect draw_ground(cairo_t *cr, const box *b, double font, double unit) {
    rgb accent = accent_of(b->section);
    const ink title = { 1.05 * font, 1, INK_LEFT, ink_mix(accent, ink_text, 0.15) };
    double head = 2.0 * font, p = pad * unit;
    rounded(cr, b->area, 5 * unit);
    ink_set(cr, ink_mix(accent, (rgb){ 1, 1, 1 }, 0.88));
    cairo_fill(cr);
    if (b->area.w < 6 * font || b->area.h < 4 * font) return (rect){ b->area.x, b->area.y, b->area.w, b->area.h };
    ink_fit(cr, &title, b->area.x + p + 1, b->area.y + 1.45 * font, b->area.w - 2 * p, b->title);
    return (rect){ b->area.x + p, b->area.y + head, b->area.w - 2 * p, b->area.h - head - p };
}

/* The white card of a panel; returns what is left inside. */
static rect draw_card(cairo_t *cr, rect cell, double unit) {
    double p = pad * unit;
    rounded(cr, cell, 3 * unit);
    cairo_set_source_rgb(cr, 1, 1, 1);
    cairo_fill(cr);
    return (rect){ cell.x + p, cell.y + p, fmax(cell.w - 2 * p, 1), fmax(cell.h - 2 * p, 1) };
}

/* Heights of the three panels of a column, in shares: gauges need more than curves. */
static const double share[3] = { 0.36, 0.29, 0.35 };

static rect cell_in(rect a, const box *b, int i, int n, double unit) {
    double space = 0.6 * gap * unit;
    if (b->columns) {
        int rows = (n + b->columns - 1) / b->columns;
        double w = (a.w - space * (b->columns - 1)) / b->columns, h = (a.h - space * (rows - 1)) / rows;
        return (rect){ a.x + i % b->columns * (w + space), a.y + i / b->columns * (h + space), w, h };
    }
    double h = a.h - space * (n - 1), y = a.y;
    for (int k = 0; k < i; k++) y += h * share[k] + space;
    return (rect){ a.x, y, a.w, h * share[i] };
}

static int32_t draw_section(cairo_t *cr, const page *p, const box *b, double font, double unit) {
    view v[6];
    int n = 0, count = 0;
    int32_t status = PITOT_OK;
    double left, right;
    rect inside = draw_ground(cr, b, font, unit);
    for (int k = 0; k < INSTRUMENTS; k++) count += table[k].section == b->section;
    for (int k = 0; k < INSTRUMENTS; k++) {
        if (table[k].section != b->section) continue;
        rect card = draw_card(cr, cell_in(inside, b, n, count, unit), unit);
        v[n++] = view_of(cr, p, &table[k], card, font);
    }
    if (inside.h < 3 * font) return PITOT_OK;
    margins_of(v, n, &left, &right);
    for (int i = 0; i < n && status == PITOT_OK; i++) {
        v[i].left = left;
        v[i].right = right;
        if (b->columns > 1) margins_of(&v[i], 1, &v[i].left, &v[i].right); /* beside each other they need not agree */
        cairo_save(cr);
        status = v[i].what->draw(&v[i]);
        cairo_restore(cr);
    }
    return status;
}

/* ---- the page ---------------------------------------------------------------------------------------------------------- */

enum {
    COLUMNS_HIGH = 545,
    BOTTOM_HIGH = 165,
    AUXILIARY_HIGH = 160,
    OTHER_HIGH = 128,
    ACROSS = 5
}; /* units; panels in a row of OTHER */

static const double usual_width = 968; /* points: a page of 14 inches without its margins */

static int64_t tensors_of(const page *p) {
    int64_t most = 0;
    for (int64_t i = 0; i < p->list[0].n; i++) {
        const char *title = p->list[0].panel[i].title;
        int shown = strcmp(title, "grad_norm") == 0 || strcmp(title, "update_ratio") == 0;
        if (shown && p->list[0].panel[i].n > most) most = p->list[0].panel[i].n;
    }
    return most;
}

static double layers_high(const page *p) {
    int64_t n = tensors_of(p);
    return n ? fmin(fmax(75 + 9.5 * (double)n, 130), 430) : 60;
}

static double small_high(const page *p) {
    int64_t n = joints_count(p->run[0].log), rows = (n + 7) / 8;
    return n ? 45 + 105 * (double)(rows > 3 ? 3 : rows) : 66;
}

static double other_high(const page *p) {
    int64_t rows = (p->n_sheets + ACROSS - 1) / ACROSS;
    return rows ? 22 + OTHER_HIGH * (double)rows : 0;
}

static double screens_high(const page *p) {
    double h = 0;
    if (p->screens & FIGURE_PRIMARY) h += COLUMNS_HIGH + gap + BOTTOM_HIGH + gap;
    if (p->screens & FIGURE_SECONDARY)
        h += AUXILIARY_HIGH + layers_high(p) + small_high(p) + 3 * gap + (p->n_sheets ? other_high(p) + gap : 0);
    return h - gap;
}

double cockpit_height(const page *p, double width) {
    return screens_high(p) * width / usual_width;
}

/* What the run has besides, in rows of equal cells. */
static int32_t draw_other(cairo_t *cr, const page *p, rect area, double font, double unit) {
    box b = { "OTHER", SECTIONS, 0, area };
    rect a = draw_ground(cr, &b, font, unit), inside = draw_card(cr, a, unit);
    rect *cell = calloc((size_t)p->n_sheets, sizeof *cell);
    if (!cell) return PITOT_ENOMEM;
    int64_t rows = (p->n_sheets + ACROSS - 1) / ACROSS, across = p->n_sheets > ACROSS ? ACROSS : p->n_sheets > 3 ? p->n_sheets : 3;
    double w = (inside.w - gap * unit * (double)(across - 1)) / (double)across,
           h = (inside.h - gap * unit * (double)(rows - 1)) / (double)rows;
    for (int64_t i = 0; i < p->n_sheets; i++)
        cell[i] =
            (rect){ inside.x + (double)(i % across) * (w + gap * unit), inside.y + (double)(i / across) * (h + gap * unit), w, h };
    int32_t status = sheets_draw(cr, p, NULL, p->n_sheets, cell, font);
    free(cell);
    return status;
}

typedef struct stack { /* boxes from the top down */
    rect area;
    double y, unit;
} stack;

static rect next(stack *s, double high) {
    rect a = { s->area.x, s->y, s->area.w, high * s->unit };
    s->y += (high + gap) * s->unit;
    return a;
}

static rect slice(rect a, double from, double to, double unit) {
    double w = (a.w + gap * unit) / 3;
    return (rect){ a.x + from * w, a.y, (to - from) * w - gap * unit, a.h };
}

int32_t cockpit_draw(cairo_t *cr, const page *p, rect area) {
    double unit = area.h / screens_high(p), narrow = area.w / usual_width;
    double font = fmin(fmax(7.6 * fmin(unit, narrow), 4.2), 13);
    stack s = { area, area.y, unit };
    box b[8];
    int n = 0;
    int32_t status = PITOT_OK;
    if (p->screens & FIGURE_PRIMARY) {
        rect top = next(&s, COLUMNS_HIGH), bottom = next(&s, BOTTOM_HIGH);
        b[n++] = (box){ "STEP SIZE", STEP_SIZE, 0, slice(top, 0, 1, unit) };
        b[n++] = (box){ "GRADIENTS", GRADIENTS, 0, slice(top, 1, 2, unit) };
        b[n++] = (box){ "CURVATURE", CURVATURE, 0, slice(top, 2, 3, unit) };
        b[n++] = (box){ "HYPER-PARAMETERS", HYPER, 1, slice(bottom, 0, 1, unit) };
        b[n++] = (box){ "PERFORMANCE", PERFORMANCE, 1, slice(bottom, 1, 3, unit) };
    }
    if (p->screens & FIGURE_SECONDARY) {
        b[n++] = (box){ "AUXILIARY", AUXILIARY, 4, next(&s, AUXILIARY_HIGH) };
        b[n++] = (box){ "LAYERWISE", LAYERS, 2, next(&s, layers_high(p)) };
        b[n++] = (box){ "LAYERWISE HISTOGRAMS", TENSORS, 1, next(&s, small_high(p)) };
    }
    for (int i = 0; i < n && status == PITOT_OK; i++) status = draw_section(cr, p, &b[i], font, unit);
    if (status != PITOT_OK || !(p->screens & FIGURE_SECONDARY) || p->n_sheets == 0) return status;
    return draw_other(cr, p, next(&s, other_high(p)), font, unit);
}
