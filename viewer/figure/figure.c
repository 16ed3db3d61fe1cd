/* figure.c: a page with the runs' facts on top and their panels below, and the files it goes to. See figure.h. */

#include "page.h"
#include "surface.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int32_t no_memory(pitot_error *error) {
    return pitot_fail(error, PITOT_ENOMEM, "figure: out of memory");
}

/* ---- the page -------------------------------------------------------------------------------------------------------- */

static void draw_nothing(cairo_t *cr, const page *p, rect area) {
    ink note = { 1.2 * p->font, 0, INK_CENTRE, ink_grey };
    ink_draw(cr, &note, area.x + area.w / 2, area.y + area.h / 2, "no values yet");
}

/* What was asked for by name: sheets agree on their margins, instruments keep to themselves. */
static int32_t draw_items(cairo_t *cr, const page *p, const rect *cell, double font) {
    int64_t *which = calloc((size_t)p->n_items + 1, sizeof *which), n = 0;
    rect *at = calloc((size_t)p->n_items + 1, sizeof *at);
    int32_t status = which && at ? PITOT_OK : PITOT_ENOMEM;
    for (int64_t i = 0; i < p->n_items && status == PITOT_OK; i++) {
        const instrument *one = p->item[i].instrument;
        if (one) status = cockpit_draw_one(cr, p, one, cell[i], font);
        else which[n] = p->item[i].sheet, at[n++] = cell[i];
    }
    if (status == PITOT_OK) status = sheets_draw(cr, p, which, n, at, font);
    free(which);
    free(at);
    return status;
}

static int is_cockpit(const page *p) {
    return p->n == 1 && !p->item;
}

static int32_t draw_panels(cairo_t *cr, const page *p, rect area) {
    int64_t n = p->item ? p->n_items : p->n_sheets;
    if (is_cockpit(p)) return cockpit_draw(cr, p, area);
    if (n == 0) return draw_nothing(cr, p, area), PITOT_OK;
    rect *cell = calloc((size_t)n, sizeof *cell);
    if (!cell) return PITOT_ENOMEM;
    layout_cells(area, n, cell);
    double font = layout_font(cell[n - 1]); /* the smallest ones stand last */
    int32_t status = p->item ? draw_items(cr, p, cell, font) : sheets_draw(cr, p, NULL, n, cell, font);
    free(cell);
    return status;
}

static double margin_of(const page *p) {
    return 4 + 0.026 * fmin(p->width, fmin(p->height, 600));
}

static int32_t draw_page(cairo_t *cr, const page *p) {
    double margin = margin_of(p);
    rect area = { margin, margin, p->width - 2 * margin, p->height - 2 * margin };
    if (p->height > 110 && p->width > 110) {
        double used = header_draw(cr, p, area, 0);
        used = used > area.h / 2 ? 0 : used;
        if (used > 0) used = header_draw(cr, p, area, 1) + 1.3 * p->font;
        area.y += used;
        area.h -= used;
    }
    return draw_panels(cr, p, area);
}

/* ---- kinds of files -------------------------------------------------------------------------------------------------- */

static void title_of(const page *p, char *title, size_t size) {
    title[0] = 0;
    for (int r = 0; r < p->n; r++) {
        size_t n = strlen(title);
        snprintf(title + n, size - n, "%s%s", r ? ", " : "", p->run[r].name);
    }
}

/* A PDF carries a date. The run's own keeps the file the same whenever it is drawn. */
static void date_of(const page *p, char *text, size_t size) {
    pitot_log_state state = { .struct_size = sizeof state };
    struct tm utc;
    pitot_log_get_state(p->run[0].log, &state);
    time_t at = state.first_wall > 0 && state.first_wall < 1e11 ? (time_t)state.first_wall : 0;
    if (!gmtime_r(&at, &utc) || !strftime(text, size, "%Y-%m-%dT%H:%M:%SZ", &utc)) text[0] = 0;
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
            if (!header_common(p, facts->fact[i].key))
                snprintf(value + n, sizeof facts->fact[i].value - n, " | %s", header_value(&other, facts->fact[i].key));
        }
    }
}

/* Height that the page needs at its width. */
static double height_of(const page *p, int screens) {
    page part = *p;
    part.screens = screens;
    if (!is_cockpit(p)) return 72 * layout_height(p->width / 72, p->item ? p->n_items : p->n_sheets);
    double margin = margin_of(&(page){ .width = p->width, .height = 1e6 });
    return cockpit_height(&part, p->width - 2 * margin) + 2 * margin + 6.5 * p->font;
}

static int32_t draw(cairo_t *cr, const surface_page *on) {
    page *p = on->user;
    p->column = on->column;
    p->snap = on->snap;
    return draw_page(cr, p);
}

/* Both screens of the cockpit, a page each. */
static int turn(surface_page *on, int k) {
    page *p = on->user;
    if (k > 1) return 0;
    p->screens = k ? FIGURE_SECONDARY : FIGURE_PRIMARY;
    if (!(p->options->height > 0)) on->height = p->height = height_of(p, p->screens);
    return 1;
}

static int32_t write_page(page *p, const char *path, pitot_error *error) {
    char title[256], date[40];
    fact_list facts;
    title_of(p, title, sizeof title);
    date_of(p, date, sizeof date);
    joined_facts(p, &facts);
    surface_page on = {
        .width = p->width, .height = p->height, .dpi = p->dpi, .title = title, .facts = &facts, .draw = draw, .user = p
    };
    if (date[0]) on.date = date;
    if (is_cockpit(p) && p->screens == (FIGURE_PRIMARY | FIGURE_SECONDARY)) on.turn = turn;
    return surface_write(path, &on, error);
}

static void size_page(page *p) {
    const figure_options *o = p->options;
    double width = o->width > 0 ? o->width : is_cockpit(p) ? 14 : 12;
    p->width = 72 * width;
    p->font = fmin(fmax(p->width / 100, 5), 10);
    p->height = o->height > 0 ? 72 * o->height : height_of(p, p->screens);
    p->dpi = o->dpi > 0 ? o->dpi : 150;
    p->font = fmin(fmax(sqrt(p->width * fmin(p->height, p->width)) / 96, 5), 10);
}

/* Everything from the logs, and what of it is drawn. */
static int32_t collect(page *p, pitot_error *error) {
    int32_t status = sheets_collect(p, error);
    p->screens = p->options->screens ? p->options->screens : FIGURE_PRIMARY | FIGURE_SECONDARY;
    if (status != PITOT_OK) return status;
    if (p->options->panels) return sheets_choose(p, p->options->panels, error);
    if (p->n == 1) sheets_drop_shown(p);
    else sheets_drop_bookkeeping(p);
    return PITOT_OK;
}

int32_t figure_write(const char *path, const figure_run *runs, int n, const figure_options *options, pitot_error *error) {
    if (n < 1 || n > FIGURE_RUNS) return pitot_fail(error, PITOT_EINVAL, "figure: 1 to %d runs, not %d", FIGURE_RUNS, n);
    page *p = calloc(1, sizeof *p);
    if (!p) return no_memory(error);
    p->run = runs;
    p->n = n;
    p->options = options;
    int32_t status = collect(p, error);
    if (status == PITOT_OK) {
        size_page(p);
        status = write_page(p, path, error);
    }
    sheets_free(p);
    free(p);
    return status;
}
