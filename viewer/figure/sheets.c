/* sheets.c: every series of the runs as a plot over the steps, runs over each other. See page.h. */

#include "page.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    p->sheet[at].seconds = p->sheet[at].fixed = p->sheet[at].top = 0;
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

static void keep_sheets(page *p, int (*keep)(const panel *one)) {
    int64_t n = 0;
    for (int64_t i = 0; i < p->n_sheets; i++)
        if (keep(&p->sheet[i].panel)) p->sheet[n++] = p->sheet[i];
    p->n_sheets = n < FIGURE_PANELS ? n : FIGURE_PANELS;
}

static int is_looked_at(const panel *one) {
    return !is_bookkeeping(one->title);
}

static int is_other(const panel *one) {
    return !cockpit_shows(one);
}

/* A run that has nothing else shows its bookkeeping. */
void sheets_drop_bookkeeping(page *p) {
    int64_t n = 0;
    for (int64_t i = 0; i < p->n_sheets; i++) n += is_looked_at(&p->sheet[i].panel);
    if (n > 0) keep_sheets(p, is_looked_at);
    else if (p->n_sheets > FIGURE_PANELS) p->n_sheets = FIGURE_PANELS;
}

void sheets_drop_shown(page *p) {
    keep_sheets(p, is_looked_at);
    keep_sheets(p, is_other);
}

int32_t sheets_collect(page *p, pitot_error *error) {
    int64_t room = 1;
    for (int r = 0; r < p->n; r++) {
        facts_of(p->run[r].log, 0, &p->facts[r]);
        if (panel_list_make(p->run[r].log, &p->list[r]) != PITOT_OK) return no_memory(error);
        room += p->list[r].n;
    }
    p->sheet = calloc((size_t)room, sizeof *p->sheet);
    if (!p->sheet) return no_memory(error);
    for (int r = 0; r < p->n; r++) merge_run(p, r);
    return PITOT_OK;
}

void sheets_free(page *p) {
    for (int r = 0; r < p->n; r++) panel_list_free(&p->list[r]);
    free(p->sheet);
    free(p->item);
}

/* ---- by name --------------------------------------------------------------------------------------------------------- */

static void add_name(char *list, size_t size, const char *name) {
    size_t k = strlen(list);
    snprintf(list + k, size - k, "%s%s", k ? ", " : "", name);
}

static int32_t unknown_panel(const page *p, const char *name, size_t n, pitot_error *error) {
    char have[900] = "";
    for (int k = 0; p->n == 1 && cockpit_at(k); k++) add_name(have, sizeof have, cockpit_at(k)->name);
    for (int64_t i = 0; i < p->n_sheets; i++)
        if (p->n > 1 || !cockpit_find(p->sheet[i].panel.title, strlen(p->sheet[i].panel.title)))
            add_name(have, sizeof have, p->sheet[i].panel.title);
    return pitot_fail(error, PITOT_EINVAL, "no panel is called \"%.*s\"; there are: %s", (int)n, name, have);
}

static int is_title(const char *title, const char *name, size_t n) {
    return strlen(title) == n && memcmp(title, name, n) == 0;
}

typedef struct request { /* "loss@seconds@log" */
    size_t length;       /* of the name itself */
    int seconds, top;
    int scale; /* -1: the registry's */
} request;

static int ends_in(const char *name, size_t *n, const char *end) {
    size_t m = strlen(end);
    if (*n <= m || memcmp(name + *n - m, end, m)) return 0;
    *n -= m;
    return 1;
}

static request read_request(const char *name, size_t n) {
    request r = { n, 0, 0, -1 };
    for (size_t before = 0; before != r.length;) {
        before = r.length;
        if (ends_in(name, &r.length, "@seconds")) r.seconds = 1;
        if (ends_in(name, &r.length, "@top")) r.top = 1;
        if (ends_in(name, &r.length, "@log")) r.scale = AXIS_LOG;
        if (ends_in(name, &r.length, "@linear")) r.scale = AXIS_LINEAR;
    }
    return r;
}

/* A copy of sheet k behind the others, as it was asked for. There is room for one to each item. */
static int64_t add_copy(page *p, int64_t k, const request *r) {
    sheet *s = &p->sheet[p->n_sheets];
    *s = p->sheet[k];
    s->seconds = r->seconds;
    s->top = r->top;
    s->fixed = r->scale >= 0;
    if (s->fixed) s->panel.scale = r->scale;
    return p->n_sheets++;
}

int32_t sheets_choose(page *p, const char *names, pitot_error *error) {
    int64_t known = p->n_sheets;
    sheet *more = realloc(p->sheet, (size_t)(known + FIGURE_PANELS) * sizeof *more);
    if (more) p->sheet = more;
    p->item = calloc(FIGURE_PANELS, sizeof *p->item);
    if (!p->item || !more) return no_memory(error);
    for (const char *name = names; *name && p->n_items < FIGURE_PANELS;) {
        size_t n = strcspn(name, ",");
        request r = read_request(name, n);
        int plain = r.length == n;
        item one = { p->n == 1 && plain ? cockpit_find(name, n) : NULL, 0 };
        while (n && !one.instrument && one.sheet < known && !is_title(p->sheet[one.sheet].panel.title, name, r.length)) one.sheet++;
        if (n && !one.instrument && one.sheet == known) return unknown_panel(p, name, r.length, error);
        if (n && !plain) one.sheet = add_copy(p, one.sheet, &r);
        if (n) p->item[p->n_items++] = one;
        name += n + (name[n] == ',');
    }
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
    out->wall = s.wall;
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

static int32_t add_clocks(const page *p, lines *out) {
    for (int64_t i = 0; i < out->n_main + out->n_tensor; i++) {
        line *l = &out->line[i];
        pitot_series s = { .step = l->step, .wall = l->wall, .n = l->n };
        if (l->n > 0 && !(l->clock = clock_make(p->run[l->run].log, &s))) return PITOT_ENOMEM;
    }
    return PITOT_OK;
}

static int32_t lines_of(const page *p, const sheet *s, lines *out) {
    int64_t room = 1;
    for (int r = 0; r < p->n; r++) room += 1 + (panel_of(p, s, r) ? panel_of(p, s, r)->n : 0);
    *out = (lines){ calloc((size_t)room, sizeof(line)), 0, 0 };
    if (!out->line) return PITOT_ENOMEM;
    add_main(p, s, out);
    add_tensors(p, s, out);
    return s->seconds ? add_clocks(p, out) : PITOT_OK;
}

static void free_lines(lines *l) {
    for (int64_t i = 0; l->line && i < l->n_main + l->n_tensor; i++) free((double *)(uintptr_t)l->line[i].clock);
    free(l->line);
}

/* ---- drawing --------------------------------------------------------------------------------------------------------- */

axis sheets_steps(const page *p) {
    double lo = INFINITY, hi = -INFINITY;
    for (int r = 0; r < p->n; r++) {
        pitot_series s;
        for (int64_t i = 0; pitot_log_series(p->run[r].log, i, &s) == PITOT_OK; i++) {
            if (s.n == 0) continue;
            lo = fmin(lo, (double)s.step[0]);
            hi = fmax(hi, (double)s.step[s.n - 1]);
        }
    }
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
        .x = s->seconds ? clock_axis(l->line, l->n_main + l->n_tensor) : x,
        .fixed = s->fixed,
        .top = s->top,
        .seconds = s->seconds,
        .main = l->line,
        .n_main = l->n_main,
        .tensor = l->line + l->n_main,
        .n_tensor = l->n_tensor,
        .smooth = p->options->smooth,
        .font = font,
        .labelled = any_label(p) ? PLOT_LABEL_BELOW : PLOT_NO_LABEL,
        .band = s->panel.band,
        .column = p->column,
        .snap = p->snap,
    };
}

static int32_t draw_plots(cairo_t *cr, const page *p, const int64_t *which, int64_t n, const lines *l, const rect *cell,
                          double font) {
    double left = 0, right = 0;
    axis x = sheets_steps(p);
    int32_t status = PITOT_OK;
    for (int64_t i = 0; i < n; i++) {
        plot one = plot_of(p, &p->sheet[which ? which[i] : i], &l[i], x, font);
        plot_margins(cr, &one, cell[i].h, &left, &right);
    }
    for (int64_t i = 0; i < n && status == PITOT_OK; i++) {
        plot one = plot_of(p, &p->sheet[which ? which[i] : i], &l[i], x, font);
        one.left = left;
        one.right = right;
        status = plot_draw(cr, cell[i], &one);
    }
    return status;
}

int32_t sheets_draw(cairo_t *cr, const page *p, const int64_t *which, int64_t n, const rect *cell, double font) {
    lines *l = calloc((size_t)n + 1, sizeof *l);
    int32_t status = l ? PITOT_OK : PITOT_ENOMEM;
    for (int64_t i = 0; i < n && status == PITOT_OK; i++) status = lines_of(p, &p->sheet[which ? which[i] : i], &l[i]);
    if (status == PITOT_OK) status = draw_plots(cr, p, which, n, l, cell, font);
    for (int64_t i = 0; l && i < n; i++) free_lines(&l[i]);
    free(l);
    return status;
}
