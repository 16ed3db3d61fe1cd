/* png.c: an image as PNG, in memory. See figure.h. libpng rather than cairo's own writer, because of pHYs and the text chunks. */

#include "figure.h"

#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNKS = FACTS + 2 };

typedef struct writer {
    bytes *out;
    char message[200];
} writer;

/* libpng calls this for errors; it must not return. */
static void stop(png_structp png, png_const_charp message) {
    writer *w = png_get_error_ptr(png);
    snprintf(w->message, sizeof w->message, "%s", message);
    png_longjmp(png, 1);
}

static void ignore(png_structp png, png_const_charp message) {
    (void)png;
    (void)message;
}

static void put(png_structp png, png_bytep data, size_t n) {
    writer *w = png_get_io_ptr(png);
    if (!bytes_add(w->out, data, n)) png_error(png, "out of memory");
}

static void flush(png_structp png) {
    (void)png;
}

static int is_ascii(const char *text) {
    for (; *text; text++)
        if ((unsigned char)*text >= 0x80 || (unsigned char)*text < 0x20) return 0;
    return 1;
}

/* Latin-1 chunks are what every tool shows; text beyond ASCII goes into a UTF-8 one. */
static void set_chunk(png_text *chunk, char *key, char *text) {
    memset(chunk, 0, sizeof *chunk);
    chunk->compression = is_ascii(text) ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE;
    chunk->key = key;
    chunk->text = text;
    if (chunk->compression == PNG_ITXT_COMPRESSION_NONE) {
        static char none[1];
        chunk->itxt_length = strlen(text);
        chunk->lang = chunk->lang_key = none;
    } else {
        chunk->text_length = strlen(text);
    }
}

typedef struct notes { /* what the text chunks point to; libpng wants it writable */
    char title[256], software[64], key[FACTS][32], value[FACTS][256];
    png_text chunk[CHUNKS];
    int n;
} notes;

static void collect(notes *c, const char *title, const fact_list *facts) {
    static char title_key[] = "Title", software_key[] = "Software";
    snprintf(c->title, sizeof c->title, "%s", title);
    snprintf(c->software, sizeof c->software, "pitot %s", PITOT_VERSION);
    set_chunk(&c->chunk[0], title_key, c->title);
    set_chunk(&c->chunk[1], software_key, c->software);
    c->n = 2;
    for (int i = 0; facts && i < facts->n; i++) {
        snprintf(c->key[i], sizeof c->key[i], "pitot.%s", facts->fact[i].key);
        snprintf(c->value[i], sizeof c->value[i], "%s", facts->fact[i].value);
        set_chunk(&c->chunk[c->n++], c->key[i], c->value[i]);
    }
}

static void pack_row(const unsigned char *pixels, int width, unsigned char *row) {
    for (int x = 0; x < width; x++) {
        uint32_t v;
        memcpy(&v, pixels + 4 * (size_t)x, sizeof v);
        row[3 * x] = (unsigned char)(v >> 16);
        row[3 * x + 1] = (unsigned char)(v >> 8);
        row[3 * x + 2] = (unsigned char)v;
    }
}

/* Everything between setjmp and a jump back to it: no local variable changes, all that has to be freed is the caller's. */
static int encode(png_structp png, png_infop info, cairo_surface_t *surface, double dpi, notes *text, unsigned char *row) {
    if (setjmp(png_jmpbuf(png))) return 0;
    const int width = cairo_image_surface_get_width(surface), height = cairo_image_surface_get_height(surface);
    const png_uint_32 per_metre = (png_uint_32)floor(dpi / 0.0254 + 0.5);
    png_set_IHDR(png, info, (png_uint_32)width, (png_uint_32)height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_set_pHYs(png, info, per_metre, per_metre, PNG_RESOLUTION_METER);
    png_set_text(png, info, text->chunk, text->n);
    png_write_info(png, info);
    for (int y = 0; y < height; y++) {
        pack_row(cairo_image_surface_get_data(surface) + (size_t)y * (size_t)cairo_image_surface_get_stride(surface), width, row);
        png_write_row(png, row);
    }
    png_write_end(png, NULL);
    return 1;
}

int32_t png_encode(cairo_surface_t *surface, double dpi, const char *title, const fact_list *facts, bytes *out,
                   pitot_error *error) {
    cairo_surface_flush(surface);
    writer w = { out, "" };
    notes *text = calloc(1, sizeof *text);
    unsigned char *row = malloc(3 * (size_t)cairo_image_surface_get_width(surface) + 1);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &w, stop, ignore);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    int good = 0;
    if (text && row && info) {
        collect(text, title, facts);
        png_set_write_fn(png, &w, put, flush);
        good = encode(png, info, surface, dpi, text, row);
    }
    png_destroy_write_struct(png ? &png : NULL, info ? &info : NULL);
    free(row);
    free(text);
    if (good) return PITOT_OK;
    return pitot_fail(error, PITOT_ENOMEM, "PNG: %s", w.message[0] ? w.message : "out of memory");
}
