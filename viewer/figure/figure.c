/* figure.c: a page with the runs' facts on top and their panels below, and the files it goes to. See figure.h. */

#include "page.h"

#include <cairo-pdf.h>
#include <cairo-svg.h>

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
    cairo_set_source_rgb(cr, 1, 1, 1);
    cairo_paint(cr);
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
            if (!header_common(p, facts->fact[i].key))
                snprintf(value + n, sizeof facts->fact[i].value - n, " | %s", header_value(&other, facts->fact[i].key));
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

/* Height that the page needs at its width. */
static double height_of(const page *p, int screens) {
    page part = *p;
    part.screens = screens;
    if (!is_cockpit(p)) return 72 * layout_height(p->width / 72, p->item ? p->n_items : p->n_sheets);
    double margin = margin_of(&(page){ .width = p->width, .height = 1e6 });
    return cockpit_height(&part, p->width - 2 * margin) + 2 * margin + 6.5 * p->font;
}

static void set_facts(const page *p, cairo_surface_t *surface) {
    char title[256];
    title_of(p, title, sizeof title);
    cairo_pdf_surface_set_metadata(surface, CAIRO_PDF_METADATA_TITLE, title);
    cairo_pdf_surface_set_metadata(surface, CAIRO_PDF_METADATA_CREATOR, "pitot " PITOT_VERSION);
    set_date(p, surface);
}

/* Both screens of the cockpit, a page each. */
static int32_t draw_pages(cairo_surface_t *surface, page *p, pitot_error *error) {
    int32_t status = PITOT_OK;
    for (int screen = FIGURE_PRIMARY; screen <= FIGURE_SECONDARY && status == PITOT_OK; screen *= 2) {
        p->screens = screen;
        if (!(p->options->height > 0)) p->height = height_of(p, screen);
        cairo_pdf_surface_set_size(surface, p->width, p->height);
        status = draw_on(surface, p, 1, error);
        cairo_surface_show_page(surface);
    }
    return status;
}

static int32_t make_vector(page *p, int pdf, bytes *out, pitot_error *error) {
    cairo_surface_t *surface =
        (pdf ? cairo_pdf_surface_create_for_stream : cairo_svg_surface_create_for_stream)(append, out, p->width, p->height);
    int pages = pdf && is_cockpit(p) && p->screens == (FIGURE_PRIMARY | FIGURE_SECONDARY);
    p->column = 0.24; /* 300 dots per inch */
    p->snap = 0;
    if (pdf) set_facts(p, surface);
    int32_t status = pages ? draw_pages(surface, p, error) : draw_on(surface, p, 1, error);
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
    sheets_free(p);
    free(p);
    return status;
}
