/* surface.c: see surface.h. */

#include "surface.h"

#include <cairo-pdf.h>
#include <cairo-svg.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

static cairo_status_t append(void *to, const unsigned char *data, unsigned n) {
    return bytes_add(to, data, n) ? CAIRO_STATUS_SUCCESS : CAIRO_STATUS_WRITE_ERROR;
}

static int32_t draw_on(cairo_surface_t *surface, const surface_page *p, double scale, pitot_error *error) {
    cairo_t *cr = cairo_create(surface);
    cairo_font_options_t *text = cairo_font_options_create();
    cairo_font_options_set_antialias(text, CAIRO_ANTIALIAS_GRAY);
    cairo_font_options_set_hint_style(text, CAIRO_HINT_STYLE_NONE);
    cairo_font_options_set_hint_metrics(text, CAIRO_HINT_METRICS_OFF);
    cairo_set_font_options(cr, text);
    cairo_font_options_destroy(text);
    cairo_scale(cr, scale, scale);
    cairo_set_source_rgb(cr, 1, 1, 1);
    cairo_paint(cr);
    int32_t status = p->draw(cr, p);
    cairo_status_t drawn = cairo_status(cr);
    cairo_destroy(cr);
    if (status) return pitot_fail(error, status, "figure: %s", pitot_strerror(status));
    return drawn ? pitot_fail(error, PITOT_EIO, "figure: %s", cairo_status_to_string(drawn)) : PITOT_OK;
}

static int32_t make_png(surface_page *p, bytes *out, pitot_error *error) {
    double w = ceil(p->width * p->dpi / 72 - 1e-6), h = ceil(p->height * p->dpi / 72 - 1e-6);
    if (w < 1 || h < 1 || w > 32767 || h > 32767 || w * h > 2e8)
        return pitot_fail(error, PITOT_EINVAL, "an image of %.0f by %.0f pixels cannot be made; choose another size or --dpi", w,
                          h);
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)w, (int)h);
    p->column = 72 / p->dpi;
    p->snap = 1;
    int32_t status = draw_on(surface, p, p->dpi / 72, error);
    if (!status) status = png_encode(surface, p->dpi, p->title, p->facts, out, error);
    cairo_surface_destroy(surface);
    return status;
}

static int32_t draw_pages(cairo_surface_t *surface, surface_page *p, pitot_error *error) {
    int32_t status = PITOT_OK;
    for (int k = 0; !status && p->turn(p, k); k++) {
        cairo_pdf_surface_set_size(surface, p->width, p->height);
        status = draw_on(surface, p, 1, error);
        cairo_surface_show_page(surface);
    }
    return status;
}

static int32_t make_vector(surface_page *p, int pdf, bytes *out, pitot_error *error) {
    cairo_surface_t *surface =
        (pdf ? cairo_pdf_surface_create_for_stream : cairo_svg_surface_create_for_stream)(append, out, p->width, p->height);
    p->column = 0.24; /* 300 dots per inch */
    p->snap = 0;
    if (pdf) {
        cairo_pdf_surface_set_metadata(surface, CAIRO_PDF_METADATA_TITLE, p->title);
        cairo_pdf_surface_set_metadata(surface, CAIRO_PDF_METADATA_CREATOR, "pitot " PITOT_VERSION);
        cairo_pdf_surface_set_metadata(surface, CAIRO_PDF_METADATA_CREATE_DATE,
                                       p->date ? p->date : "1970-01-01T00:00:00Z"); /* or it would be today's */
    }
    int32_t status = pdf && p->turn ? draw_pages(surface, p, error) : draw_on(surface, p, 1, error);
    cairo_surface_finish(surface);
    cairo_status_t finished = cairo_surface_status(surface);
    cairo_surface_destroy(surface);
    if (!status && finished) return pitot_fail(error, PITOT_EIO, "figure: %s", cairo_status_to_string(finished));
    return status;
}

int32_t surface_write(const char *path, const surface_page *page, pitot_error *error) {
    const char *name = strrchr(path, '/'), *end = strrchr(name ? name : path, '.');
    surface_page p = *page;
    bytes out = { NULL, 0, 0 };
    int32_t status;
    if (!(p.dpi > 0)) p.dpi = 150;
    if (end && strcmp(end, ".png") == 0) status = make_png(&p, &out, error);
    else if (end && strcmp(end, ".svg") == 0) status = make_vector(&p, 0, &out, error);
    else if (end && strcmp(end, ".pdf") == 0) status = make_vector(&p, 1, &out, error);
    else return pitot_fail(error, PITOT_EINVAL, "%s: the name of a figure ends in .png, .svg or .pdf", path);
    if (!status) status = bytes_write(&out, path, error);
    free(out.data);
    return status;
}
