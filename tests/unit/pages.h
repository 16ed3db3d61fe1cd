/* pages.h: runs to draw pages of, and what holds for every frame of them. For tests of the viewer's pages; include after cmocka.h. */

#ifndef TESTS_UNIT_PAGES_H
#define TESTS_UNIT_PAGES_H

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "term/page.h"
#include "term/term.h"

enum { EMPTY, RICH, DAMAGED, KINDS, STEPS = 60, OUTSIDE = 0xe000 };

static char pages_folder[64];

typedef struct scene { /* one run and the screen that shows it */
    pitot_log *log;
    panel_list panels;
    shown_run run;
    shown all;
    screen s;
} scene;

static const char *pages_path(const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", pages_folder, name);
    return path;
}

/* ---- writing ---- */

typedef struct line_text {
    char text[1 << 16];
    size_t n;
} line_text;

PITOT_PRINTF(2, 3) static void line_add(line_text *l, const char *format, ...) {
    va_list list;
    va_start(list, format);
    l->n += (size_t)vsnprintf(l->text + l->n, sizeof l->text - l->n, format, list);
    va_end(list);
    assert_true(l->n < sizeof l->text);
}

static void line_write(FILE *f, line_text *l) {
    fprintf(f, "%s,\"crc\":\"%08lx\"}\n", l->text, crc32(crc32(0, NULL, 0), (const unsigned char *)l->text, (unsigned)l->n));
    l->n = 0;
}

static void line_value(line_text *l, const char *name, double v) {
    if (isfinite(v)) line_add(l, ",\"%s\":%.6g", name, v);
    else line_add(l, ",\"%s\":null,\"%s#nf\":\"%s\"", name, name, isnan(v) ? "nan" : v > 0 ? "inf" : "-inf");
}

static void line_list(line_text *l, const char *name, int n, double (*at)(int, int), int step) {
    line_add(l, ",\"%s\":[", name);
    for (int i = 0; i < n; i++) line_add(l, "%s%.6g", i ? "," : "", at(i, step));
    line_add(l, "]");
}

static double bell(int i, int step) {
    return floor(1000 * exp(-(i - 9.5) * (i - 9.5) / (4 + step / 10.0)));
}

static double bell_2d(int i, int step) {
    double x = i / 8 - 7.5, y = i % 8 - 2; /* gradients above 0, parameters below */
    return floor(500 * exp(-(x * x + y * y) / (3 + step / 20.0)));
}

static double edge_20(int i, int step) {
    return -2 + 0.2 * i + 0 * step;
}

static double edge_12(int i, int step) {
    return -1 + i / 6.0 + 0 * step;
}

static double edge_8(int i, int step) {
    return -2 + 0.5 * i + 0 * step;
}

static double node(int i, int step) {
    return i == 15 ? 10 + step / 4 : 0.02 * (i - 6);
}

static double weight(int i, int step) {
    return i == 15 ? 0.01 : 0.066 + 0 * step;
}

static double top_value(int i, int step) {
    return 10.0 / (i + 1) + 0 * step;
}

static double rubbish(int i, int step) {
    static const double odd[] = { 1e308, -1e308, 0, -3, 1e-320, 7 };
    return odd[(i * 7 + step) % 6];
}

static void rich_step(line_text *l, int i) {
    static const char *const tensors[] = { "conv1.weight", "conv1.bias", "fc.weight", "fc.bias" };
    char name[64];
    line_value(l, "loss", 2 * exp(-i / 30.0) + 0.1);
    if (i % 10 == 9) line_value(l, "val/loss", 2 * exp(-i / 30.0) + 0.2), line_value(l, "val/accuracy", 1 - exp(-i / 20.0));
    line_value(l, "hyper.lr", 0.01);
    line_value(l, "loss.seconds", 0.25);
    line_value(l, "alpha", 0.02 * (i - 30));
    line_value(l, "norm_test", 0.5 + i / 100.0), line_value(l, "inner_test", 1.2), line_value(l, "ortho_test", 0.3);
    line_value(l, "noise_scale", 40), line_value(l, "mean_gsnr", 0.01);
    line_value(l, "hess_max_ev", 20 + i), line_value(l, "hess_max_ev.min", -1 - i / 30.0);
    line_value(l, "sharpness", 0.2), line_value(l, "sharpness.lambda", 40), line_value(l, "sharpness.limit", 200);
    line_value(l, "hess_trace", 100), line_value(l, "tic_diag", 7);
    line_value(l, "precond_staleness", 0.34), line_value(l, "precond_staleness.age", i % 10);
    for (int t = 0; t < 4; t++) {
        snprintf(name, sizeof name, "grad_norm/%s", tensors[t]);
        line_value(l, name, pow(10, -t) * (1 + 0.5 * sin(i / 5.0)));
        snprintf(name, sizeof name, "update_size/%s", tensors[t]);
        line_value(l, name, 0.01 * (t + 1));
    }
    line_value(l, "grad_norm", 1.5), line_value(l, "update_size", 0.1), line_value(l, "distance", sqrt(i));
    line_value(l, "update_ratio", 0.004);
    line_list(l, "grad_hist_1d.counts", 20, bell, i), line_list(l, "grad_hist_1d.edges", 21, edge_20, i);
    if (i % 5) return;
    line_list(l, "grad_hist_2d.counts", 96, bell_2d, i);
    line_list(l, "grad_hist_2d.x_edges", 13, edge_12, i), line_list(l, "grad_hist_2d.y_edges", 9, edge_8, i);
    if (i % 10) return;
    line_value(l, "hess_spectrum", 50 + i), line_value(l, "hess_spectrum.parameters", 1000);
    line_value(l, "hess_spectrum.negative_mass", 0.3), line_value(l, "hess_spectrum.stderr", 2);
    line_list(l, "hess_spectrum.nodes", 16, node, i), line_list(l, "hess_spectrum.weights", 16, weight, i);
    line_list(l, "ggn_spectrum.eigenvalues", 3, top_value, i);
}

/* Every number odd, lists of wrong lengths or missing, names of bytes and wide characters. */
static void damaged_step(line_text *l, int i) {
    static const double odd[] = { NAN, INFINITY, -INFINITY, 1e308, -1e308, 5e-324, 0, -1 };
    static const char *const names[] = { "loss",
                                         "alpha",
                                         "norm_test",
                                         "inner_test",
                                         "ortho_test",
                                         "sharpness",
                                         "hess_max_ev",
                                         "hess_max_ev.min",
                                         "hess_trace",
                                         "hyper.lr",
                                         "noise_scale",
                                         "precond_staleness",
                                         "loss.seconds",
                                         "tic_diag",
                                         "sharpness.limit",
                                         "hess_spectrum",
                                         "hess_spectrum.parameters" };
    for (size_t k = 0; k < sizeof names / sizeof *names; k++)
        if (((size_t)i + k) % 3) line_value(l, names[k], odd[(k + (size_t)i) % 8]);
    line_value(l, "grad_norm/\xe5\xb1\x82\xe5\xb1\x82/w", odd[i % 8]);
    line_value(l, "grad_norm/a very long name of a tensor that no column of names has the room for", odd[(i + 3) % 8]);
    line_value(l, "grad_norm/", odd[(i + 1) % 8]);
    line_value(l, "update_size/one", i == 20 ? NAN : 0);
    if (i % 4 == 0) line_list(l, "grad_hist_1d.counts", 5 + i % 3, rubbish, i);
    if (i % 4 == 0) line_list(l, "grad_hist_1d.edges", 6, i % 8 ? edge_20 : rubbish, i);
    if (i % 4 == 1) line_list(l, "grad_hist_2d.counts", 6, rubbish, i);
    if (i % 4 == 1) line_list(l, "grad_hist_2d.x_edges", 4, edge_12, i);
    if (i % 4 == 2) line_list(l, "grad_hist_2d.y_edges", 3, edge_8, i);
    if (i % 6 == 0) line_list(l, "hess_spectrum.nodes", 7, rubbish, i);
    if (i % 6 == 0) line_list(l, "hess_spectrum.weights", 3 + i % 5, rubbish, i);
    if (i % 6 == 0) line_list(l, "ggn_spectrum.eigenvalues", 4, rubbish, i);
}

static void pages_write(int kind, const char *manifest, int steps) {
    static line_text l;
    FILE *f = fopen(pages_path("run.json"), "w");
    assert_non_null(f);
    fputs(manifest, f);
    fclose(f);
    f = fopen(pages_path("events.jsonl"), "w");
    assert_non_null(f);
    line_add(&l, "{\"pitot\":\"0.1.0\",\"segment\":0,\"step\":0,\"wall\":1000");
    line_write(f, &l);
    for (int i = 0; i < steps && kind != EMPTY; i++) {
        line_add(&l, "{\"step\":%lld,\"wall\":%d", kind == DAMAGED ? (long long)i * i * i * 1000000007 : (long long)i, 1000 + i);
        if (kind == RICH) rich_step(&l, i);
        else damaged_step(&l, i);
        line_write(f, &l);
    }
    fclose(f);
}

/* ---- showing ---- */

static const char sgd_manifest[] = "{\"optimizer\":{\"name\":\"sgd\",\"options\":{\"lr\":\"0.01\",\"momentum\":\"0\"}}}\n";

/* Reads what lies in the folder. */
static void scene_open(scene *e) {
    pitot_error error = { 0 };
    memset(e, 0, sizeof *e);
    e->log = pitot_log_open(pages_folder, &error);
    if (!e->log) fail_msg("%s", error.text);
    assert_true(pitot_log_poll(e->log, 0, &error) >= 0);
    assert_int_equal(panel_list_make(e->log, &e->panels), PITOT_OK);
    e->run =
        (shown_run){ .name = "run", .path = pages_folder, .log = e->log, .panels = &e->panels, .trouble = "", .pen = PEN_MAIN };
    e->all = (shown){ .run = &e->run, .runs = 1, .now = 2000 };
}

static void scene_close(scene *e) {
    screen_free(&e->s);
    panel_list_free(&e->panels);
    pitot_log_close(e->log);
}

static void scene_make(scene *e, int kind) {
    pages_write(kind, sgd_manifest, STEPS);
    scene_open(e);
}

/* Draws the page at hand alone on a canvas of that size, with a border that it must leave as it is. */
static void scene_draw_body(scene *e, const char *name, int rows, int cols, int border) {
    canvas *c = &e->s.canvas;
    assert_int_equal(screen_open(&e->s, name), 1);
    if (!e->s.own) assert_int_equal(screen_draw(&e->s, &e->all, rows, cols), PITOT_OK); /* finds the range of steps */
    assert_int_equal(canvas_resize(c, rows + 2 * border, cols + 2 * border), PITOT_OK);
    for (int i = 0; i < c->rows * c->cols; i++) {
        int row = i / c->cols, col = i % c->cols;
        if (row < border || col < border || row >= rows + border || col >= cols + border) c->cell[i].code = OUTSIDE;
    }
    e->s.layout.body = (place){ border, border, rows, cols };
    assert_int_equal(page_by_rank(e->s.page)->draw(&e->s, &e->all, screen_own(&e->s, name)), PITOT_OK);
    for (int i = 0; i < c->rows * c->cols && border; i++) {
        int row = i / c->cols, col = i % c->cols;
        int outside = row < border || col < border || row >= rows + border || col >= cols + border;
        if (outside != (c->cell[i].code == OUTSIDE)) fail_msg("%s, %dx%d: row %d, column %d", name, cols, rows, row, col);
    }
}

static int scene_is_ascii(const scene *e) {
    for (int i = 0; i < e->s.canvas.rows * e->s.canvas.cols; i++) {
        uint32_t code = canvas_glyph(&e->s.canvas, i / e->s.canvas.cols, i % e->s.canvas.cols);
        if (code >= 0x7f && code != OUTSIDE) return 0;
        if (code == '?' && e->s.canvas.cell[i].code != OUTSIDE && e->s.canvas.cell[i].code != '?') return 0;
    }
    return 1;
}

/* The frame as text, rows ended by newlines. */
static const char *scene_text(const scene *e) {
    static char text[1 << 18], line[1 << 12];
    text[0] = 0;
    for (int row = 0, n = 0; row < e->s.canvas.rows; row++) {
        canvas_row(&e->s.canvas, row, line);
        n += snprintf(text + n, sizeof text - (size_t)n, "%s\n", line);
    }
    return text;
}

static const char *scene_body(scene *e, const char *name, int rows, int cols) {
    scene_draw_body(e, name, rows, cols, 0);
    return scene_text(e);
}

/* The cell at the first place of `text` in a row of the frame; text is ASCII. NULL: not there. */
static inline const cell *scene_find(const scene *e, const char *text) {
    const canvas *c = &e->s.canvas;
    int n = (int)strlen(text);
    for (int row = 0; row < c->rows; row++)
        for (int col = 0; col + n <= c->cols; col++) {
            int k = 0;
            while (k < n && c->cell[row * c->cols + col + k].code == (unsigned char)text[k]) k++;
            if (k == n) return &c->cell[row * c->cols + col];
        }
    return NULL;
}

/* Every size: nothing crashes, nothing is drawn outside, and where it shall be ASCII it is. */
static void every_size(const char *name, int kind) {
    static scene e;
    scene_make(&e, kind);
    for (int rows = 0; rows <= 60; rows += rows < 14 ? 1 : 3)
        for (int cols = 0; cols <= 200; cols += rows < 4 || cols < 12 ? 1 : 7) {
            e.s.canvas.ascii = (rows + cols) % 2;
            scene_draw_body(&e, name, rows, cols, 2);
            if (e.s.canvas.ascii && kind != DAMAGED) assert_true(scene_is_ascii(&e));
            screen_key(&e.s, &e.all, "jjJk]hly y["[(rows * 7 + cols) % 11]);
            screen_open(&e.s, name);
        }
    scene_draw_body(&e, name, 200, 500, 2);
    scene_close(&e);
}

/* Compares the body with tests/golden/frames/FILE; PITOT_RENEW_FRAMES=1 writes it. */
static void is_golden(const char *frame, const char *file) {
    static char old[1 << 18];
    char path[160];
    snprintf(path, sizeof path, "tests/golden/frames/%s", file);
    const char *renew = getenv("PITOT_RENEW_FRAMES");
    FILE *f = fopen(path, renew && *renew ? "w" : "r");
    if (!f) fail_msg("%s cannot be opened: run this in the project's folder; PITOT_RENEW_FRAMES=1 makes it", path);
    if (renew && *renew) fputs(frame, f), fclose(f);
    else {
        old[fread(old, 1, sizeof old - 1, f)] = 0;
        fclose(f);
        const char *was = old;
        for (int row = 1; *frame || *was; row++) {
            size_t n = strcspn(frame, "\n"), m = strcspn(was, "\n");
            if (n != m || memcmp(frame, was, n) != 0)
                fail_msg("%s, row %d\n  is  %.*s\n  was %.*s\nPITOT_RENEW_FRAMES=1 renews it", file, row, (int)n, frame, (int)m,
                         was);
            frame += n + (frame[n] == '\n');
            was += m + (was[m] == '\n');
        }
    }
}

static int pages_set_up(void **state) {
    (void)state;
    setlocale(LC_CTYPE, "C.UTF-8");
    strcpy(pages_folder, "/tmp/pitot-pages-XXXXXX");
    return mkdtemp(pages_folder) ? 0 : -1;
}

static int pages_tear_down(void **state) {
    (void)state;
    unlink(pages_path("run.json"));
    unlink(pages_path("events.jsonl"));
    return rmdir(pages_folder);
}

#endif
