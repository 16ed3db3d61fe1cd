/* figure.c: a page with the runs' facts on top and their panels below. See figure.h. */

#include "figure.h"

#include <cairo-pdf.h>
#include <cairo-svg.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct sheet { /* one panel of the page */
    panel panel;
    int64_t at[FIGURE_RUNS]; /* which panel of each run it is, or -1 */
} sheet;

typedef struct page {
    const figure_run *run;
    int n;
    const figure_options *options;
    panel_list list[FIGURE_RUNS];
    fact_list facts[FIGURE_RUNS];
    sheet *sheet;
    int64_t n_sheets;
    double width, height, dpi; /* points, points, dots per inch */
    double column;
    int snap;
    double font; /* of the header */
} page;

static int32_t no_memory(pitot_error *error) {
    return pitot_fail(error, PITOT_ENOMEM, "figure: out of memory");
}

/* ---- which panels ---------------------------------------------------------------------------------------------------- */

static int is_bookkeeping(const char *title) {
    return strcmp(title, "time") == 0 || strncmp(title, "time.", 5) == 0 || strcmp(title, "overhead") == 0;
}

static int64_t find_sheet(const page *p, const char *title, int run) {
    for (int64_t i = 0; i < p->n_sheets; i++)
        if (p->sheet[i].at[run] < 0 && strcmp(p->sheet[i].panel.title, title) == 0) return i;
    return -1;
}

static void insert_sheet(page *p, int64_t at, const panel *one) {
    memmove(&p->sheet[at + 1], &p->sheet[at], (size_t)(p->n_sheets - at) * sizeof *p->sheet);
    p->sheet[at].panel = *one;
    for (int r = 0; r < FIGURE_RUNS; r++) p->sheet[at].at[r] = -1;
    p->n_sheets++;
}

/* Panels of the same title are one sheet; what only a later run has stands where that run has it. */
static void merge_run(page *p, int run) {
    int64_t next = 0;
    for (int64_t i = 0; i < p->list[run].n; i++) {
        const panel *one = &p->list[run].panel[i];
        int64_t k = find_sheet(p, one->title, run);
        if (k < 0) insert_sheet(p, k = next, one);
        p->sheet[k].at[run] = i;
        next = k + 1;
    }
}

static void drop_bookkeeping(page *p) {
    int64_t n = 0;
    for (int64_t i = 0; i < p->n_sheets; i++)
        if (!is_bookkeeping(p->sheet[i].panel.title)) p->sheet[n++] = p->sheet[i];
    if (n > 0) p->n_sheets = n;
    if (p->n_sheets > FIGURE_PANELS) p->n_sheets = FIGURE_PANELS;
}

static int32_t unknown_panel(const page *p, const char *name, size_t n, pitot_error *error) {
    char have[600] = "";
    for (int64_t i = 0; i < p->n_sheets; i++) {
        size_t k = strlen(have);
        snprintf(have + k, sizeof have - k, "%s%s", k ? ", " : "", p->sheet[i].panel.title);
    }
    return pitot_fail(error, PITOT_EINVAL, "no panel is called \"%.*s\"; there are: %s", (int)n, name, have);
}

static int is_title(const char *title, const char *name, size_t n) {
    return strlen(title) == n && memcmp(title, name, n) == 0;
}

/* Those named in `names`, in that order. */
static int32_t choose_sheets(page *p, const char *names, pitot_error *error) {
    int64_t chosen = 0;
    for (const char *name = names; *name;) {
        size_t n = strcspn(name, ",");
        int64_t k = chosen;
        while (n && k < p->n_sheets && !is_title(p->sheet[k].panel.title, name, n)) k++;
        if (n && k == p->n_sheets) return unknown_panel(p, name, n, error);
        if (n) {
            sheet found = p->sheet[k];
            memmove(&p->sheet[chosen + 1], &p->sheet[chosen], (size_t)(k - chosen) * sizeof found);
            p->sheet[chosen++] = found;
        }
        name += n + (name[n] == ',');
    }
    p->n_sheets = chosen < FIGURE_PANELS ? chosen : FIGURE_PANELS;
    return PITOT_OK;
}

static int32_t collect(page *p, pitot_error *error) {
    int64_t room = 1;
    for (int r = 0; r < p->n; r++) {
        facts_of(p->run[r].log, 0, &p->facts[r]);
        if (panel_list_make(p->run[r].log, &p->list[r]) != PITOT_OK) return no_memory(error);
        room += p->list[r].n;
    }
    p->sheet = calloc((size_t)room, sizeof *p->sheet);
    if (!p->sheet) return no_memory(error);
    for (int r = 0; r < p->n; r++) merge_run(p, r);
    if (p->options->panels) return choose_sheets(p, p->options->panels, error);
    drop_bookkeeping(p);
    return PITOT_OK;
}

/* ---- which lines ----------------------------------------------------------------------------------------------------- */

typedef struct lines { /* of one sheet */
    line *line;
    int64_t n_main, n_tensor; /* tensors stand behind the main lines */
} lines;

static void add_line(const page *p, int run, int64_t series, const char *name, rgb colour, line *out) {
    pitot_series s;
    memset(out, 0, sizeof *out);
    out->colour = colour;
    out->run = run;
    if (pitot_log_series(p->run[run].log, series, &s) != PITOT_OK) return;
    out->name = name ? name : s.name ? s.name : "";
    out->step = s.step;
    out->value = s.value;
    out->n = s.n;
}

static const panel *panel_of(const page *p, const sheet *s, int run) {
    return s->at[run] < 0 ? NULL : &p->list[run].panel[s->at[run]];
}

static void add_main(const page *p, const sheet *s, lines *out) {
    for (int r = 0; r < p->n; r++) {
        const panel *one = panel_of(p, s, r);
        if (!one || one->main < 0) continue;
        rgb colour = p->n == 1 && one->n > 0 ? ink_text : ink_run(r);
        add_line(p, r, one->main, p->run[r].name, colour, &out->line[out->n_main++]);
    }
}

/* Of one run by depth; of several runs, where there is no whole, in the run's colour. */
static void add_tensors(const page *p, const sheet *s, lines *out) {
    for (int r = 0; r < p->n; r++) {
        const panel *one = panel_of(p, s, r);
        if (!one || (p->n > 1 && out->n_main > 0)) continue;
        for (int64_t i = 0; i < one->n; i++) {
            line *l = &out->line[out->n_main + out->n_tensor++];
            double depth = one->n > 1 ? (double)i / (double)(one->n - 1) : 0.5;
            add_line(p, r, p->list[r].series[one->first + i], NULL, p->n > 1 ? ink_run(r) : ink_depth(depth), l);
            const char *slash = l->name ? strchr(l->name, '/') : NULL;
            l->name = slash ? slash + 1 : "";
        }
    }
}

static int32_t lines_of(const page *p, const sheet *s, lines *out) {
    int64_t room = 1;
    for (int r = 0; r < p->n; r++) room += 1 + (panel_of(p, s, r) ? panel_of(p, s, r)->n : 0);
    *out = (lines){ calloc((size_t)room, sizeof(line)), 0, 0 };
    if (!out->line) return PITOT_ENOMEM;
    add_main(p, s, out);
    add_tensors(p, s, out);
    return PITOT_OK;
}

/* ---- the header ------------------------------------------------------------------------------------------------------ */

typedef struct flow { /* pieces of text set one after the other into lines */
    cairo_t *cr;
    double left, right, x, y, leading;
    int lines, most, draw;
} flow;

/* Moves to the next line if the piece does not fit; 0 if there are no more. */
static int flow_take(flow *f, double width) {
    if (f->x > f->left && f->x + width > f->right) {
        if (f->lines == f->most) return 0;
        f->x = f->left;
        f->y += f->leading;
        f->lines++;
    }
    return f->lines <= f->most;
}

static const char *value_of(const fact_list *facts, const char *key) {
    for (int i = 0; i < facts->n; i++)
        if (strcmp(facts->fact[i].key, key) == 0) return facts->fact[i].value;
    return "";
}

static int is_common(const page *p, const char *key) {
    for (int r = 1; r < p->n; r++)
        if (strcmp(value_of(&p->facts[r], key), value_of(&p->facts[0], key)) != 0) return 0;
    return 1;
}

static void flow_fact(flow *f, const page *p, const char *key, const char *value) {
    ink name = { p->font, 0, INK_LEFT, ink_grey }, text = { p->font, 0, INK_LEFT, ink_text };
    double w = ink_width(f->cr, &name, key), gap = 0.4 * p->font;
    double room = fmin(ink_width(f->cr, &text, value), f->right - f->left - w - gap);
    if (!flow_take(f, w + gap + room)) return;
    if (f->draw) ink_draw(f->cr, &name, f->x, f->y, key);
    if (f->draw) ink_fit(f->cr, &text, f->x + w + gap, f->y, room + 0.01, value);
    f->x += w + gap + room + 1.7 * p->font;
}

/* What distinguishes run r from the others: "optimizer adam: lr=0.001". */
static void difference(const page *p, int r, char *out, size_t size) {
    static const char *const telling[] = { "model", "data", "optimizer", "batch", "seed", "steps" };
    out[0] = 0;
    for (size_t i = 0; i < sizeof telling / sizeof *telling; i++) {
        const char *value = value_of(&p->facts[r], telling[i]);
        size_t n = strlen(out);
        if (!*value || is_common(p, telling[i])) continue;
        int named = strcmp(telling[i], "optimizer") != 0 && strcmp(telling[i], "model") != 0;
        snprintf(out + n, size - n, "%s%s%s%s", n ? ", " : "", named ? telling[i] : "", named ? " " : "", value);
    }
}

static void flow_run(flow *f, const page *p, int r) {
    char text[400];
    ink name = { p->font, 1, INK_LEFT, ink_text }, rest = { p->font, 0, INK_LEFT, ink_grey };
    difference(p, r, text, sizeof text);
    double key = 2.4 * p->font, gap = 0.6 * p->font, all = f->right - f->left - key - 3 * gap;
    double w_name = fmin(ink_width(f->cr, &name, p->run[r].name), all);
    double w_rest = fmin(text[0] ? ink_width(f->cr, &rest, text) : 0, all - w_name);
    if (!flow_take(f, key + gap + w_name + gap + w_rest)) return;
    if (f->draw) {
        ink_set(f->cr, ink_run(r));
        ink_dash(f->cr, r);
        cairo_set_line_width(f->cr, 2);
        cairo_move_to(f->cr, f->x, f->y - 0.35 * p->font);
        cairo_line_to(f->cr, f->x + key, f->y - 0.35 * p->font);
        cairo_stroke(f->cr);
        cairo_set_dash(f->cr, NULL, 0, 0);
        ink_fit(f->cr, &name, f->x + key + gap, f->y, w_name + 0.01, p->run[r].name);
        if (w_rest > 0) ink_fit(f->cr, &rest, f->x + key + gap + w_name + gap, f->y, w_rest + 0.01, text);
    }
    f->x += key + gap + w_name + gap + w_rest + 2 * p->font;
}

static void flow_facts(flow *f, const page *p) {
    for (int i = 0; i < p->facts[0].n; i++) {
        const char *key = p->facts[0].fact[i].key;
        if (is_common(p, key)) flow_fact(f, p, key, p->facts[0].fact[i].value);
    }
}

/* Draws it, or with draw 0 only measures it. Returns its height. */
static double header(cairo_t *cr, const page *p, rect area, int draw) {
    char title[300];
    ink big = { 1.65 * p->font, 1, INK_LEFT, ink_text };
    snprintf(title, sizeof title, "%s", p->run[0].name);
    if (p->n > 1) snprintf(title, sizeof title, "%d runs", p->n);
    double y = area.y + big.size;
    if (draw) ink_fit(cr, &big, area.x, y, area.w, title);
    int room = (int)(p->height / 80);
    flow f = { cr, area.x, area.x + area.w, area.x, y + 2.0 * p->font, 1.55 * p->font, 1, room < 3 ? room : 3, draw };
    flow_facts(&f, p);
    if (p->n > 1) {
        if (f.x > f.left) f.x = f.left, f.y += f.leading;
        f.lines = 1;
        f.most = room;
        for (int r = 0; r < p->n; r++) flow_run(&f, p, r);
    }
    return (f.x > f.left ? f.y + 0.4 * p->font : y + 0.5 * p->font) - area.y;
}

/* ---- the page -------------------------------------------------------------------------------------------------------- */

static void steps_range(const lines *l, double *lo, double *hi) {
    for (int64_t i = 0; i < l->n_main + l->n_tensor; i++) {
        const line *k = &l->line[i];
        if (k->n == 0) continue;
        *lo = fmin(*lo, (double)k->step[0]);
        *hi = fmax(*hi, (double)k->step[k->n - 1]);
    }
}

static axis steps_axis(double lo, double hi) {
    if (!(lo <= hi)) return (axis){ AXIS_LINEAR, 0, 1, 0 };
    double pad = hi > lo ? 0.012 * (hi - lo) : 0.5;
    return (axis){ AXIS_LINEAR, lo - pad, hi + pad, 0 };
}

static int any_label(const page *p) {
    for (int64_t i = 0; i < p->n_sheets; i++)
        if (p->sheet[i].panel.label[0] || p->sheet[i].panel.unit[0]) return 1;
    return 0;
}

static plot plot_of(const page *p, const sheet *s, const lines *l, axis x, double font) {
    return (plot){
        .title = s->panel.title,
        .label = s->panel.label,
        .unit = s->panel.unit,
        .scale = s->panel.scale,
        .x = x,
        .main = l->line,
        .n_main = l->n_main,
        .tensor = l->line + l->n_main,
        .n_tensor = l->n_tensor,
        .smooth = p->options->smooth,
        .font = font,
        .labelled = any_label(p),
        .column = p->column,
        .snap = p->snap,
    };
}

static int32_t draw_panels(cairo_t *cr, const page *p, const lines *l, const rect *cell) {
    double lo = INFINITY, hi = -INFINITY, left = 0, right = 0;
    double font = layout_font(cell[p->n_sheets - 1]); /* the smallest ones stand last */
    for (int64_t i = 0; i < p->n_sheets; i++) steps_range(&l[i], &lo, &hi);
    axis x = steps_axis(lo, hi);
    for (int64_t i = 0; i < p->n_sheets; i++) {
        plot one = plot_of(p, &p->sheet[i], &l[i], x, font);
        plot_margins(cr, &one, cell[i].h, &left, &right);
    }
    int32_t status = PITOT_OK;
    for (int64_t i = 0; i < p->n_sheets && status == PITOT_OK; i++) {
        plot one = plot_of(p, &p->sheet[i], &l[i], x, font);
        one.left = left;
        one.right = right;
        status = plot_draw(cr, cell[i], &one);
    }
    return status;
}

static void draw_nothing(cairo_t *cr, const page *p, rect area) {
    ink note = { 1.2 * p->font, 0, INK_CENTRE, ink_grey };
    ink_draw(cr, &note, area.x + area.w / 2, area.y + area.h / 2, "no values yet");
}

static int32_t draw_page(cairo_t *cr, const page *p) {
    double margin = 4 + 0.026 * fmin(p->width, p->height);
    rect area = { margin, margin, p->width - 2 * margin, p->height - 2 * margin };
    cairo_set_source_rgb(cr, 1, 1, 1);
    cairo_paint(cr);
    if (p->height > 110 && p->width > 110) {
        double used = header(cr, p, area, 0);
        used = used > area.h / 2 ? 0 : used;
        if (used > 0) used = header(cr, p, area, 1) + 1.3 * p->font;
        area.y += used;
        area.h -= used;
    }
    if (p->n_sheets == 0) return draw_nothing(cr, p, area), PITOT_OK;
    rect *cell = calloc((size_t)p->n_sheets, sizeof *cell);
    lines *l = calloc((size_t)p->n_sheets, sizeof *l);
    int32_t status = cell && l ? PITOT_OK : PITOT_ENOMEM;
    for (int64_t i = 0; i < p->n_sheets && status == PITOT_OK; i++) status = lines_of(p, &p->sheet[i], &l[i]);
    if (status == PITOT_OK) {
        layout_cells(area, p->n_sheets, cell);
        status = draw_panels(cr, p, l, cell);
    }
    for (int64_t i = 0; l && i < p->n_sheets; i++) free(l[i].line);
    free(l);
    free(cell);
    return status;
}

/* ---- kinds of files -------------------------------------------------------------------------------------------------- */

static cairo_status_t append(void *to, const unsigned char *data, unsigned n) {
    return bytes_add(to, data, n) ? CAIRO_STATUS_SUCCESS : CAIRO_STATUS_WRITE_ERROR;
}

static int32_t draw_on(cairo_surface_t *surface, const page *p, double scale, pitot_error *error) {
    cairo_t *cr = cairo_create(surface);
    cairo_font_options_t *text = cairo_font_options_create();
    cairo_font_options_set_antialias(text, CAIRO_ANTIALIAS_GRAY);
    cairo_font_options_set_hint_style(text, CAIRO_HINT_STYLE_NONE);
    cairo_font_options_set_hint_metrics(text, CAIRO_HINT_METRICS_OFF);
    cairo_set_font_options(cr, text);
    cairo_font_options_destroy(text);
    cairo_scale(cr, scale, scale);
    int32_t status = draw_page(cr, p);
    cairo_status_t drawn = cairo_status(cr);
    cairo_destroy(cr);
    if (status != PITOT_OK) return pitot_fail(error, status, "figure: %s", pitot_strerror(status));
    if (drawn != CAIRO_STATUS_SUCCESS) return pitot_fail(error, PITOT_EIO, "figure: %s", cairo_status_to_string(drawn));
    return PITOT_OK;
}

static void title_of(const page *p, char *title, size_t size) {
    title[0] = 0;
    for (int r = 0; r < p->n; r++) {
        size_t n = strlen(title);
        snprintf(title + n, size - n, "%s%s", r ? ", " : "", p->run[r].name);
    }
}

/* A PDF carries a date. The run's own keeps the file the same whenever it is drawn. */
static void set_date(const page *p, cairo_surface_t *surface) {
    pitot_log_state state = { .struct_size = sizeof state };
    char text[40];
    struct tm utc;
    pitot_log_get_state(p->run[0].log, &state);
    time_t at = state.first_wall > 0 && state.first_wall < 1e11 ? (time_t)state.first_wall : 0;
    if (gmtime_r(&at, &utc) && strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc))
        cairo_pdf_surface_set_metadata(surface, CAIRO_PDF_METADATA_CREATE_DATE, text);
}

/* Every fact once; where the runs differ, their values side by side. */
static void joined_facts(const page *p, fact_list *facts) {
    fact_list other;
    facts_of(p->run[0].log, 1, facts);
    for (int r = 1; r < p->n; r++) {
        facts_of(p->run[r].log, 1, &other);
        for (int i = 0; i < facts->n; i++) {
            char *value = facts->fact[i].value;
            size_t n = strlen(value);
            if (!is_common(p, facts->fact[i].key))
                snprintf(value + n, sizeof facts->fact[i].value - n, " | %s", value_of(&other, facts->fact[i].key));
        }
    }
}

static int32_t make_png(page *p, bytes *out, pitot_error *error) {
    double w = ceil(p->width * p->dpi / 72 - 1e-6), h = ceil(p->height * p->dpi / 72 - 1e-6);
    if (w < 1 || h < 1 || w > 32767 || h > 32767 || w * h > 2e8)
        return pitot_fail(error, PITOT_EINVAL, "an image of %.0f by %.0f pixels cannot be made; choose another size or --dpi", w,
                          h);
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)w, (int)h);
    p->column = 72 / p->dpi;
    p->snap = 1;
    int32_t status = draw_on(surface, p, p->dpi / 72, error);
    if (status == PITOT_OK) {
        char title[256];
        fact_list facts;
        title_of(p, title, sizeof title);
        joined_facts(p, &facts);
        status = png_encode(surface, p->dpi, title, &facts, out, error);
    }
    cairo_surface_destroy(surface);
    return status;
}

static int32_t make_vector(page *p, int pdf, bytes *out, pitot_error *error) {
    cairo_surface_t *surface =
        (pdf ? cairo_pdf_surface_create_for_stream : cairo_svg_surface_create_for_stream)(append, out, p->width, p->height);
    p->column = 0.24; /* 300 dots per inch */
    p->snap = 0;
    if (pdf) {
        char title[256];
        title_of(p, title, sizeof title);
        cairo_pdf_surface_set_metadata(surface, CAIRO_PDF_METADATA_TITLE, title);
        cairo_pdf_surface_set_metadata(surface, CAIRO_PDF_METADATA_CREATOR, "pitot " PITOT_VERSION);
        set_date(p, surface);
    }
    int32_t status = draw_on(surface, p, 1, error);
    cairo_surface_finish(surface);
    cairo_status_t finished = cairo_surface_status(surface);
    cairo_surface_destroy(surface);
    if (status == PITOT_OK && finished != CAIRO_STATUS_SUCCESS)
        return pitot_fail(error, PITOT_EIO, "figure: %s", cairo_status_to_string(finished));
    return status;
}

static int32_t make(page *p, const char *path, bytes *out, pitot_error *error) {
    const char *name = strrchr(path, '/'), *end = strrchr(name ? name : path, '.');
    if (end && strcmp(end, ".png") == 0) return make_png(p, out, error);
    if (end && strcmp(end, ".svg") == 0) return make_vector(p, 0, out, error);
    if (end && strcmp(end, ".pdf") == 0) return make_vector(p, 1, out, error);
    return pitot_fail(error, PITOT_EINVAL, "%s: the name of a figure ends in .png, .svg or .pdf", path);
}

static void size_page(page *p) {
    const figure_options *o = p->options;
    double width = o->width > 0 ? o->width : 12;
    p->width = 72 * width;
    p->height = 72 * (o->height > 0 ? o->height : layout_height(width, p->n_sheets));
    p->dpi = o->dpi > 0 ? o->dpi : 150;
    p->font = fmin(fmax(sqrt(p->width * p->height) / 86, 5), 9.5);
}

int32_t figure_write(const char *path, const figure_run *runs, int n, const figure_options *options, pitot_error *error) {
    if (n < 1 || n > FIGURE_RUNS) return pitot_fail(error, PITOT_EINVAL, "figure: 1 to %d runs, not %d", FIGURE_RUNS, n);
    page *p = calloc(1, sizeof *p);
    if (!p) return no_memory(error);
    bytes out = { NULL, 0, 0 };
    p->run = runs;
    p->n = n;
    p->options = options;
    int32_t status = collect(p, error);
    if (status == PITOT_OK) {
        size_page(p);
        status = make(p, path, &out, error);
    }
    if (status == PITOT_OK) status = bytes_write(&out, path, error);
    free(out.data);
    for (int r = 0; r < n; r++) panel_list_free(&p->list[r]);
    free(p->sheet);
    free(p);
    return status;
}
