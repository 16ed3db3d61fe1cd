/* Figures: the files that come out of small and odd runs, the layout of pages, and lines that lose no spike. */

#include "figure/figure.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <png.h>
#include <zlib.h>

static char folder[64], events[96], manifest[96], path[2][96];

/* ---- runs ------------------------------------------------------------------------------------------------------------ */

static const char facts_json[] =
    "{\"model\":{\"name\":\"m\xc3\xbcll\",\"parameters\":101770},\"data\":\"glyphs\",\"optimizer\":{\"name\":\"none_of_ours\","
    "\"options\":{\"lr\":0.1,\"betas\":[0.9,0.999],\"nesterov\":true}},\"batch\":128,\"seed\":3,\"started\":1714566600}";

static void write_text(const char *file, const char *text) {
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void write_line(FILE *f, const char *body) {
    unsigned long crc = crc32(crc32(0, NULL, 0), (const unsigned char *)body, (unsigned)strlen(body));
    fprintf(f, "%s,\"crc\":\"%08lx\"}\n", body, crc);
}

enum { NOTHING, PLAIN, ONLY_NAN, MIXED }; /* what the values of a run are */

static void put_value(char *body, size_t size, const char *key, int kind, int step, double v) {
    size_t n = strlen(body);
    int lost = kind == ONLY_NAN || (kind == MIXED && step % 7 == 3);
    if (lost) snprintf(body + n, size - n, ",\"%s\":null,\"%s#nf\":\"%s\"", key, key, step % 2 ? "nan" : "inf");
    else snprintf(body + n, size - n, ",\"%s\":%.6f", key, v);
}

static pitot_log *run_of(int kind, int steps) {
    static const char *const tensors[] = { "grad_norm/0.weight", "grad_norm/0.bias", "grad_norm/2.weight" };
    FILE *f = fopen(events, "w");
    assert_non_null(f);
    write_text(manifest, facts_json);
    write_line(f, "{\"pitot\":\"0.1.0\",\"segment\":0,\"step\":0,\"steps\":100");
    for (int i = 0; i < steps && kind != NOTHING; i++) {
        char body[1024];
        snprintf(body, sizeof body, "{\"step\":%d,\"wall\":%d", i, 1714566600 + i);
        put_value(body, sizeof body, "loss", kind, i, 2.0 / (1 + i) + 0.1 * (i % 3));
        for (int k = 0; k < 3; k++) put_value(body, sizeof body, tensors[k], kind, i, 1.0 / (1 + k + i % 5));
        put_value(body, sizeof body, "val/accuracy", kind, i, i / 100.0);
        put_value(body, sizeof body, "signed", kind, i, i % 2 ? -1 : 1);
        write_line(f, body);
    }
    write_line(f, "{\"end\":\"done\"");
    assert_int_equal(fclose(f), 0);
    pitot_log *log = pitot_log_open(folder, NULL);
    assert_non_null(log);
    assert_true(pitot_log_poll(log, 0, NULL) >= 0);
    return log;
}

static void draw(pitot_log *log, const char *to, figure_options o) {
    pitot_error error = { 0 };
    figure_run run = { "a run", log };
    if (figure_write(to, &run, 1, &o, &error) != PITOT_OK) fail_msg("%s", error.text);
}

static figure_options sized(double w, double h, double dpi) {
    return (figure_options){ w, h, dpi, -1, NULL, 0 };
}

/* ---- files ----------------------------------------------------------------------------------------------------------- */

static unsigned char *load(const char *file, size_t *n) {
    FILE *f = fopen(file, "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    *n = (size_t)ftell(f);
    rewind(f);
    unsigned char *data = malloc(*n + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, *n, f), *n);
    data[*n] = 0;
    fclose(f);
    return data;
}

typedef struct image {
    png_structp png;
    png_infop info;
    png_uint_32 w, h;
    png_bytepp row;
} image;

static image decode(const char *file) {
    image m = { png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL), NULL, 0, 0, NULL };
    m.info = png_create_info_struct(m.png);
    FILE *f = fopen(file, "rb");
    assert_non_null(f);
    if (setjmp(png_jmpbuf(m.png))) fail_msg("%s is not a PNG", file);
    png_init_io(m.png, f);
    png_read_png(m.png, m.info, PNG_TRANSFORM_IDENTITY, NULL);
    fclose(f);
    m.w = png_get_image_width(m.png, m.info);
    m.h = png_get_image_height(m.png, m.info);
    m.row = png_get_rows(m.png, m.info);
    assert_int_equal(png_get_bit_depth(m.png, m.info), 8);
    assert_int_equal(png_get_color_type(m.png, m.info), PNG_COLOR_TYPE_RGB);
    return m;
}

static void release(image *m) {
    png_destroy_read_struct(&m->png, &m->info, NULL);
}

static double share_of_ink(const image *m) {
    size_t dark = 0;
    for (png_uint_32 y = 0; y < m->h; y++)
        for (png_uint_32 x = 0; x < m->w; x++)
            dark += m->row[y][3 * x] < 250 || m->row[y][3 * x + 1] < 250 || m->row[y][3 * x + 2] < 250;
    return (double)dark / (double)m->w / (double)m->h;
}

static const char *chunk(const image *m, const char *key) {
    png_textp text;
    int n = png_get_text(m->png, m->info, &text, NULL);
    for (int i = 0; i < n; i++)
        if (strcmp(text[i].key, key) == 0) return text[i].text;
    return "";
}

static void png_as_promised(void **state) {
    (void)state;
    pitot_log *log = run_of(PLAIN, 100);
    draw(log, path[0], sized(6, 4, 100));
    image m = decode(path[0]);
    assert_int_equal(m.w, 600);
    assert_int_equal(m.h, 400);
    assert_int_equal(png_get_x_pixels_per_meter(m.png, m.info), 3937);
    assert_int_equal(png_get_y_pixels_per_meter(m.png, m.info), 3937);
    assert_string_equal(chunk(&m, "Title"), "a run");
    assert_string_equal(chunk(&m, "Software"), "pitot " PITOT_VERSION);
    assert_string_equal(chunk(&m, "pitot.model"), "m\xc3\xbcll, 101,770 parameters");
    assert_string_equal(chunk(&m, "pitot.data"), "glyphs");
    assert_string_equal(chunk(&m, "pitot.optimizer"), "none_of_ours: lr=0.1, betas=0.9,0.999, nesterov=true");
    assert_string_equal(chunk(&m, "pitot.steps"), "100");
    assert_string_equal(chunk(&m, "pitot.started"), "2024-05-01 12:30 UTC");
    assert_string_equal(chunk(&m, "Creation Time"), "");
    assert_true(share_of_ink(&m) > 0.02 && share_of_ink(&m) < 0.5);
    release(&m);
    pitot_log_close(log);
}

static void default_size(void **state) {
    (void)state;
    pitot_log *log = run_of(PLAIN, 20);
    draw(log, path[0], sized(0, 0, 0));
    image m = decode(path[0]);
    assert_int_equal(m.w, 2100);
    assert_in_range(m.h, 1800, 3600); /* both screens of the cockpit */
    release(&m);
    figure_run two[2] = { { "a", log }, { "b", log } };
    figure_options o = sized(0, 0, 0);
    assert_int_equal(figure_write(path[0], two, 2, &o, NULL), PITOT_OK);
    m = decode(path[0]);
    assert_int_equal(m.w, 1800);
    assert_int_equal(m.h, 1125);
    release(&m);
    pitot_log_close(log);
}

static void set_name(const char *extension) {
    for (int i = 0; i < 2; i++) snprintf(path[i], sizeof path[i], "%s/%d%s", folder, i, extension);
}

static void same_bytes(void **state) {
    (void)state;
    static const char *const extensions[] = { ".png", ".svg", ".pdf" };
    static const char *const magic[] = { "\x89PNG\r\n", "<?xml", "%PDF-" };
    pitot_log *log = run_of(MIXED, 60);
    for (int i = 0; i < 3; i++) {
        set_name(extensions[i]);
        size_t n[2];
        unsigned char *data[2];
        for (int k = 0; k < 2; k++) {
            draw(log, path[k], sized(5, 3, 80));
            data[k] = load(path[k], &n[k]);
        }
        assert_true(n[0] > 2000);
        assert_memory_equal(data[0], magic[i], strlen(magic[i]));
        assert_true(i == 1 || n[0] == n[1]); /* cairo counts the surfaces of a process in the names inside an SVG */
        if (i != 1) assert_memory_equal(data[0], data[1], n[0]);
        for (int k = 0; k < 2; k++) free(data[k]), unlink(path[k]);
    }
    set_name(".png");
    pitot_log_close(log);
}

static void any_size(void **state) {
    (void)state;
    static const double sizes[][3] = { { 0.02, 0.02, 72 }, { 0.2, 0.2, 72 }, { 1, 0.5, 72 }, { 0.5, 4, 72 },
                                       { 8, 0.6, 72 },     { 2, 2, 72 },     { 30, 20, 40 }, { 3, 2, 600 } };
    pitot_log *log = run_of(MIXED, 100);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        draw(log, path[0], sized(sizes[i][0], sizes[i][1], sizes[i][2]));
        image m = decode(path[0]);
        assert_int_equal(m.w, (int)ceil(sizes[i][0] * sizes[i][2] - 1e-6));
        assert_int_equal(m.h, (int)ceil(sizes[i][1] * sizes[i][2] - 1e-6));
        if (m.w > 30 && m.h > 30) assert_true(share_of_ink(&m) > 0.002);
        release(&m);
    }
    pitot_log_close(log);
}

static void odd_runs(void **state) {
    (void)state;
    static const struct {
        int kind, steps;
    } runs[] = { { NOTHING, 0 }, { PLAIN, 1 }, { PLAIN, 2 }, { ONLY_NAN, 1 }, { ONLY_NAN, 50 }, { MIXED, 200 } };
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        pitot_log *log = run_of(runs[i].kind, runs[i].steps);
        draw(log, path[0], sized(6, 4, 72));
        image m = decode(path[0]);
        assert_true(share_of_ink(&m) > 0.005);
        release(&m);
        pitot_log_close(log);
    }
}

static void refused(void **state) {
    (void)state;
    pitot_error error = { 0 };
    char file[128];
    pitot_log *log = run_of(PLAIN, 10);
    figure_run run = { "a", log };
    figure_options o = sized(6, 4, 72);
    snprintf(file, sizeof file, "%s/a.gif", folder);
    assert_int_equal(figure_write(file, &run, 1, &o, &error), PITOT_EINVAL);
    assert_non_null(strstr(error.text, ".png, .svg or .pdf"));
    snprintf(file, sizeof file, "%s/missing/a.png", folder);
    assert_int_equal(figure_write(file, &run, 1, &o, NULL), PITOT_EIO);
    o = sized(400, 400, 2000);
    assert_int_equal(figure_write(path[0], &run, 1, &o, NULL), PITOT_EINVAL);
    o = sized(6, 4, 72);
    o.panels = "loss,nonsense";
    error = (pitot_error){ 0 };
    assert_int_equal(figure_write(path[0], &run, 1, &o, &error), PITOT_EINVAL);
    assert_non_null(strstr(error.text, "nonsense"));
    assert_int_equal(figure_write(path[0], &run, 0, &o, NULL), PITOT_EINVAL);
    assert_int_equal(figure_write(path[0], &run, FIGURE_RUNS + 1, &o, NULL), PITOT_EINVAL);
    o.panels = "signed,loss";
    assert_int_equal(figure_write(path[0], &run, 1, &o, NULL), PITOT_OK);
    pitot_log_close(log);
}

static void several_runs(void **state) {
    (void)state;
    pitot_log *a = run_of(PLAIN, 50), *b = run_of(MIXED, 80);
    figure_run runs[12];
    for (int i = 0; i < 12; i++) runs[i] = (figure_run){ i % 2 ? "b\xff\xfe bad bytes" : "a", i % 2 ? b : a };
    figure_options o = sized(8, 5, 72);
    assert_int_equal(figure_write(path[0], runs, 12, &o, NULL), PITOT_OK);
    image m = decode(path[0]);
    assert_true(share_of_ink(&m) > 0.02);
    release(&m);
    pitot_log_close(a);
    pitot_log_close(b);
}

static int has_fact(const fact_list *facts, const char *key, const char *value) {
    for (int i = 0; i < facts->n; i++)
        if (strcmp(facts->fact[i].key, key) == 0) return strcmp(facts->fact[i].value, value) == 0;
    return value[0] == 0;
}

/* Facts of a run with this manifest and no events. */
static fact_list facts_with(const char *text) {
    fact_list facts;
    pitot_log_close(run_of(NOTHING, 0));
    write_text(manifest, text);
    pitot_log *log = pitot_log_open(folder, NULL);
    assert_non_null(log);
    facts_of(log, 1, &facts);
    pitot_log_close(log);
    return facts;
}

static void facts(void **state) {
    (void)state;
    fact_list f = facts_with("{}");
    assert_int_equal(f.n, 0);
    f = facts_with("{\"model\":\"mlp\",\"optimizer\":\"adam\",\"started\":\"2024-05-01T12:30:59Z\",\"seed\":7,"
                   "\"parameters\":[{\"name\":\"0.weight\",\"shape\":[100,784]},{\"name\":\"0.bias\",\"shape\":[100]}],"
                   "\"host\":\"h\",\"threads\":4,\"blas\":{\"core\":\"Zen\"}}");
    assert_true(has_fact(&f, "model", "mlp, 78,500 parameters"));
    assert_true(has_fact(&f, "optimizer", "adam"));
    assert_true(has_fact(&f, "started", "2024-05-01 12:30 UTC"));
    assert_true(has_fact(&f, "seed", "7") && has_fact(&f, "threads", "4"));
    assert_true(has_fact(&f, "host", "h") && has_fact(&f, "blas", "Zen") && has_fact(&f, "data", ""));
    f = facts_with("{\"started\":\"yesterday\",\"parameters\":3,\"optimizer\":[1],\"model\":null}");
    assert_int_equal(f.n, 1);
    assert_true(has_fact(&f, "started", "yesterday"));
}

static void nothing_left_behind(void **state) {
    (void)state;
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) assert_null(strstr(e->d_name, ".tmp"));
    closedir(d);
}

/* ---- parts ----------------------------------------------------------------------------------------------------------- */

static int overlap(rect a, rect b) {
    return a.x < b.x + b.w - 1e-9 && b.x < a.x + a.w - 1e-9 && a.y < b.y + b.h - 1e-9 && b.y < a.y + a.h - 1e-9;
}

static void cells_fill_the_page(void **state) {
    (void)state;
    rect cell[64], area = { 20, 30, 820, 430 };
    for (int64_t n = 1; n <= 64; n++) {
        int rows = layout_cells(area, n, cell);
        double covered = 0;
        assert_in_range(rows, 1, n);
        for (int64_t i = 0; i < n; i++) {
            covered += cell[i].w * cell[i].h;
            assert_true(cell[i].w > 0 && cell[i].h > 0);
            assert_true(cell[i].x >= area.x - 1e-9 && cell[i].x + cell[i].w <= area.x + area.w + 1e-9);
            assert_true(cell[i].y >= area.y - 1e-9 && cell[i].y + cell[i].h <= area.y + area.h + 1e-9);
            for (int64_t k = 0; k < i; k++) assert_false(overlap(cell[i], cell[k]));
        }
        if (n <= 12) assert_true(covered > 0.85 * area.w * area.h);
    }
    assert_int_equal(layout_cells(area, 0, cell), 0);
}

static void few_columns(void **state) {
    (void)state;
    static const int rows[][2] = { { 1, 1 }, { 2, 1 }, { 4, 2 }, { 5, 2 }, { 6, 2 }, { 9, 3 }, { 12, 3 } };
    rect cell[16], area = { 0, 0, 830, 430 };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) assert_int_equal(layout_cells(area, rows[i][0], cell), rows[i][1]);
}

static void spikes_survive(void **state) {
    (void)state;
    enum { N = 200000, SPIKE = 123457 };
    int64_t *step = malloc(N * sizeof *step);
    double *value = malloc(2 * N * sizeof *value), *at = value + N;
    assert_true(step && value);
    for (int i = 0; i < N; i++) step[i] = i, value[i] = i == SPIKE ? 1 : 0;
    frame f = { { 0, 0, 100, 100 }, { AXIS_LINEAR, 0, N, 0 }, { AXIS_LINEAR, -0.1, 1.1, 0 }, 1, 0 };
    line l = { "spike", step, value, N, { 0, 0, 0 }, 0, NULL, 0 };
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_A8, 100, 100);
    cairo_t *cr = cairo_create(surface);
    line_positions(&f, &l, at);
    line_stroke(cr, &f, &l, at, 1);
    cairo_surface_flush(surface);
    const unsigned char *pixels = cairo_image_surface_get_data(surface);
    int stride = cairo_image_surface_get_stride(surface), inked = 0;
    for (int x = 60; x < 64; x++) inked += pixels[10 * stride + x];
    assert_true(inked > 60); /* near the top, where the spike is */
    cairo_destroy(cr);
    cairo_surface_destroy(surface);
    free(value);
    free(step);
}

static void smoothing(void **state) {
    (void)state;
    double v[9] = { 0.2, NAN, 0.4, 0.6, NAN, NAN, 0.8, 1, 0.3 }, out[9], scratch[9];
    for (double w = 0.1; w < 1; w += 0.2) {
        memcpy(out, v, sizeof v);
        line_smooth(out, 9, w, scratch);
        for (int i = 0; i < 9; i++) {
            double sum = 0, weight = 0;
            int rank_i = 0, rank = 0;
            for (int j = 0; j < i; j++) rank_i += !isnan(v[j]);
            for (int j = 0; j < 9; j++) {
                if (isnan(v[j])) continue;
                double k = pow(w, abs(rank - rank_i));
                sum += k * v[j], weight += k, rank++;
            }
            if (isnan(v[i])) assert_true(isnan(out[i]));
            else assert_true(fabs(out[i] - sum / weight) < 1e-12);
        }
    }
}

static void smooth_only_noise(void **state) {
    (void)state;
    double curve[1000], noisy[1000];
    for (int i = 0; i < 1000; i++) {
        curve[i] = sqrt(i / 1000.0);
        noisy[i] = curve[i] + 0.05 * ((i * 7919) % 100) / 100.0;
    }
    assert_true(line_weight(curve, 1000) == 0);
    assert_true(line_weight(noisy, 1000) > 0.5);
    assert_true(line_weight(noisy, 20) == 0);
}

static void crowded_axis(void **state) {
    (void)state;
    int64_t step[100];
    double value[100];
    for (int i = 0; i < 100; i++) step[i] = i, value[i] = i == 50 ? 1e30 : 1 + i / 100.0;
    line l = { "loss", step, value, 100, { 0, 0, 0 }, 0, NULL, 0 };
    plot p = { .scale = AXIS_LINEAR, .main = &l, .n_main = 1, .smooth = -1, .font = 8 };
    assert_int_equal(plot_axis(&p).scale, AXIS_LOG);
    value[0] = -1;
    assert_int_equal(plot_axis(&p).scale, AXIS_SYMLOG);
    value[0] = value[50] = 1;
    assert_int_equal(plot_axis(&p).scale, AXIS_LINEAR);
    p.scale = AXIS_LOG;
    assert_int_equal(plot_axis(&p).scale, AXIS_LOG);
    value[7] = 0; /* a mark at the bottom */
    assert_int_equal(plot_axis(&p).scale, AXIS_LOG);
    value[7] = -3;
    assert_int_equal(plot_axis(&p).scale, AXIS_SYMLOG);
    p.scale = AXIS_LINEAR;
    p.level = 500;
    p.level_name = "batch";
    assert_true(plot_axis(&p).hi > 500);
}

/* Scales that are asked for stay; what diverges leaves the axis at the top. */
static void asked_axis(void **state) {
    (void)state;
    int64_t step[100];
    double calm[100], wild[100];
    for (int i = 0; i < 100; i++) step[i] = i, calm[i] = 2.0 / (1 + i), wild[i] = i == 0 ? 2.5 : i < 3 ? 1e30 : 4;
    line l[2] = { { "calm", step, calm, 100, { 0, 0, 0 }, 0, NULL, NULL },
                  { "wild", step, wild, 100, { 0, 0, 0 }, 1, NULL, NULL } };
    plot p = { .scale = AXIS_LINEAR, .main = l, .n_main = 2, .smooth = -1, .font = 8 };
    wild[50] = -1;
    p.fixed = 1;
    assert_true(plot_axis(&p).hi > 1e29 && plot_axis(&p).scale == AXIS_LINEAR);
    p.top = 1;
    assert_true(plot_axis(&p).hi > 25 && plot_axis(&p).hi < 30 && plot_axis(&p).lo < -1);
    wild[50] = 4;
    p.scale = AXIS_LOG;
    assert_true(plot_axis(&p).hi > 25 && plot_axis(&p).hi < 40 && plot_axis(&p).lo < 0.02 && plot_axis(&p).lo > 0.01);
    p.n_main = 1; /* nothing diverges: nothing is cut, and no room is left for it */
    assert_true(plot_axis(&p).hi > 2 && plot_axis(&p).hi < 3);
}

/* Seconds of training: what probes cost is taken off from their step on; a logarithm where runs took very different times. */
static void clocks(void **state) {
    (void)state;
    FILE *f = fopen(events, "w");
    assert_non_null(f);
    write_text(manifest, facts_json);
    write_line(f, "{\"pitot\":\"0.1.0\",\"segment\":0,\"step\":0,\"steps\":4");
    write_line(f, "{\"step\":0,\"wall\":1000.5,\"loss\":3");
    write_line(f, "{\"step\":1,\"wall\":1002.0,\"loss\":2,\"alpha.seconds\":0.5");
    write_line(f, "{\"step\":2,\"wall\":1003.0,\"loss\":2,\"alpha.seconds\":0.25,\"grad_norm.seconds\":0.125");
    write_line(f, "{\"step\":3,\"wall\":1004.0,\"loss\":1");
    write_line(f, "{\"end\":\"done\"");
    assert_int_equal(fclose(f), 0);
    pitot_log *log = pitot_log_open(folder, NULL);
    assert_true(pitot_log_poll(log, 0, NULL) >= 0);
    pitot_series s = { .n = 0 };
    for (int64_t j = 0; pitot_log_series(log, j, &s) == PITOT_OK && strcmp(s.name, "loss"); j++) {}
    assert_true(s.n == 4);
    double *clock = clock_make(log, &s), want[] = { 0, 1, 1.625, 2.625 };
    for (int i = 0; i < 4; i++) assert_true(clock[i] == want[i]);
    double slow[] = { 0, 10, 20, 40 };
    line l[2] = { { .name = "a", .n = 4, .clock = clock }, { .name = "b", .n = 4, .clock = slow } };
    assert_int_equal(clock_axis(l, 1).scale, AXIS_LINEAR);
    assert_true(clock_axis(l, 1).lo < 0 && clock_axis(l, 1).hi > 2.625 && clock_axis(l, 1).hi < 2.7);
    assert_int_equal(clock_axis(l, 2).scale, AXIS_LOG);
    assert_true(clock_axis(l, 2).lo > 0 && clock_axis(l, 2).lo < 0.1 && clock_axis(l, 2).hi > 40);
    slow[3] = 12;
    assert_int_equal(clock_axis(l, 2).scale, AXIS_LINEAR);
    assert_true(clock_axis(l, 0).hi > clock_axis(l, 0).lo);
    free(clock);
    pitot_log_close(log);
}

/* What fontconfig keeps for the life of the process is not ours. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
    return "leak:libfontconfig";
}

/* ---- set-up ---------------------------------------------------------------------------------------------------------- */

static int set_up(void **state) {
    (void)state;
    strcpy(folder, "/tmp/pitot-figure-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(events, sizeof events, "%s/events.jsonl", folder);
    snprintf(manifest, sizeof manifest, "%s/run.json", folder);
    set_name(".png");
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    unlink(events);
    unlink(manifest);
    unlink(path[0]);
    unlink(path[1]);
    return rmdir(folder); /* fails if anything else was left there */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(png_as_promised),
        cmocka_unit_test(default_size),
        cmocka_unit_test(same_bytes),
        cmocka_unit_test(any_size),
        cmocka_unit_test(odd_runs),
        cmocka_unit_test(refused),
        cmocka_unit_test(several_runs),
        cmocka_unit_test(facts),
        cmocka_unit_test(nothing_left_behind),
        cmocka_unit_test(cells_fill_the_page),
        cmocka_unit_test(few_columns),
        cmocka_unit_test(spikes_survive),
        cmocka_unit_test(smoothing),
        cmocka_unit_test(smooth_only_noise),
        cmocka_unit_test(crowded_axis),
        cmocka_unit_test(asked_axis),
        cmocka_unit_test(clocks),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
