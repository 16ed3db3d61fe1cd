/* The cockpit: every instrument with and without what it draws, odd and hostile logs, spikes in heat maps, and lists from the hooks to
   the page. */

#include "command.h"
#include "figure/page.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <png.h>
#include <zlib.h>

extern const command command_report;

static char folder[64], events[96], manifest[96], picture[96], vector[96];

/* ---- runs ------------------------------------------------------------------------------------------------------------ */

static const char *const scalars[] = {
    "loss",           "val/loss",
    "val/accuracy",   "lr",
    "hyper.momentum", "distance",
    "update_size",    "grad_norm",
    "alpha",          "norm_test",
    "inner_test",     "ortho_test",
    "hess_max_ev",    "hess_max_ev.min",
    "hess_trace",     "tic_diag",
    "tic_trace",      "mean_gsnr",
    "cabs",           "early_stopping",
    "noise_scale",    "noise_scale.unbiased.b_simple",
    "mine",           "other/thing",
};

static const char *const tensors[] = { "0.weight", "0.bias", "2.weight" };

enum { PLAIN, ALL_NAN, MIXED, FLAT }; /* values of a run */

typedef struct text {
    char *data;
    size_t n;
    FILE *to;
} text;

static void begin_text(text *t) {
    t->to = open_memstream(&t->data, &t->n);
    assert_non_null(t->to);
}

/* Appends the line with its sum to the log. */
static void end_line(text *t) {
    fclose(t->to);
    FILE *f = fopen(events, "a");
    assert_non_null(f);
    fprintf(f, "%s,\"crc\":\"%08lx\"}\n", t->data, crc32(crc32(0, NULL, 0), (const unsigned char *)t->data, (unsigned)t->n));
    fclose(f);
    free(t->data);
}

static void line_of(const char *body) {
    text t;
    begin_text(&t);
    fputs(body, t.to);
    end_line(&t);
}

static void put_value(text *t, const char *key, int kind, int step, double v) {
    int lost = kind == ALL_NAN || (kind == MIXED && step % 5 == 2);
    if (lost) fprintf(t->to, ",\"%s\":null,\"%s#nf\":\"%s\"", key, key, step % 2 ? "nan" : "-inf");
    else fprintf(t->to, ",\"%s\":%.6g", key, kind == FLAT ? 1 : v);
}

static void put_list(text *t, const char *key, int n, double from, double to, int is_count) {
    fprintf(t->to, ",\"%s\":[", key);
    for (int i = 0; i < n; i++) {
        double x = from + (to - from) * i / (n - 1);
        fprintf(t->to, "%s%.9g", i ? "," : "", is_count ? floor(1000 * exp(-8 * x * x)) : x);
    }
    fputs("]", t->to);
}

static void put_histograms(text *t) {
    put_list(t, "grad_hist_1d.counts", 100, -1, 1, 1);
    put_list(t, "grad_hist_1d.edges", 101, -2, 2, 0);
    put_list(t, "grad_hist_2d.counts", 2000, -1, 1, 1);
    put_list(t, "grad_hist_2d.x_edges", 41, -1, 1, 0);
    put_list(t, "grad_hist_2d.y_edges", 51, -2, 2, 0);
    for (int k = 0; k < 3; k++) {
        char key[64];
        snprintf(key, sizeof key, "grad_hist_2d.counts/%s", tensors[k]);
        put_list(t, key, 2000, -1 + k, 1, 1);
    }
}

static pitot_log *read_run(void) {
    pitot_log *log = pitot_log_open(folder, NULL);
    assert_non_null(log);
    assert_true(pitot_log_poll(log, 0, NULL) >= 0);
    return log;
}

static void start_run(void) {
    FILE *f = fopen(manifest, "w");
    assert_non_null(f);
    fputs(
        "{\"model\":\"m\",\"optimizer\":{\"name\":\"sgd\",\"options\":{\"lr\":0.1}},\"batch\":64,\"probes\":[{\"name\":\"cabs\"}]}",
        f);
    fclose(f);
    unlink(events);
    line_of("{\"pitot\":\"0.1.0\",\"segment\":0,\"step\":0,\"steps\":100");
}

/* Everything that the cockpit draws. */
static pitot_log *full_run(int kind, int steps) {
    static const char *const per_tensor[] = { "grad_norm", "update_ratio", "hess_trace" };
    start_run();
    for (int i = 0; i < steps; i++) {
        text t;
        begin_text(&t);
        fprintf(t.to, "{\"step\":%d,\"wall\":%d", i, 1714566600 + i);
        for (size_t k = 0; k < sizeof scalars / sizeof *scalars; k++)
            put_value(&t, scalars[k], kind, i, sin(0.1 * i + (double)k) + 0.8);
        for (int k = 0; k < 9; k++) {
            char key[64];
            snprintf(key, sizeof key, "%s/%s", per_tensor[k / 3], tensors[k % 3]);
            put_value(&t, key, kind, i, exp(-0.01 * i - k));
        }
        if (i % 10 == 0) put_histograms(&t);
        end_line(&t);
    }
    return read_run();
}

/* ---- pictures -------------------------------------------------------------------------------------------------------- */

static figure_options sized(double w, double h, double dpi, const char *panels, int screens) {
    return (figure_options){ w, h, dpi, -1, panels, screens };
}

static void draw(pitot_log *log, const char *to, figure_options o) {
    pitot_error error = { 0 };
    figure_run run = { "a run", log };
    if (figure_write(to, &run, 1, &o, &error) != PITOT_OK) fail_msg("%s", error.text);
}

typedef struct image {
    png_image head;
    unsigned char *rgb;
} image;

static image decode(const char *file) {
    image m = { { .version = PNG_IMAGE_VERSION }, NULL };
    if (!png_image_begin_read_from_file(&m.head, file)) fail_msg("%s: %s", file, m.head.message);
    m.head.format = PNG_FORMAT_RGB;
    m.rgb = malloc(PNG_IMAGE_SIZE(m.head));
    assert_non_null(m.rgb);
    assert_true(png_image_finish_read(&m.head, NULL, m.rgb, 0, NULL));
    return m;
}

static double share_of_ink(const char *file) {
    image m = decode(file);
    size_t dark = 0, n = (size_t)m.head.width * m.head.height;
    for (size_t i = 0; i < n; i++) dark += m.rgb[3 * i] < 225 || m.rgb[3 * i + 1] < 225 || m.rgb[3 * i + 2] < 200;
    free(m.rgb);
    return (double)dark / (double)n;
}

static int64_t pixels_like(const char *file, rgb c) {
    image m = decode(file);
    int64_t count = 0;
    for (size_t i = 0; i < (size_t)m.head.width * m.head.height; i++)
        count +=
            fabs(m.rgb[3 * i] - 255 * c.r) < 6 && fabs(m.rgb[3 * i + 1] - 255 * c.g) < 6 && fabs(m.rgb[3 * i + 2] - 255 * c.b) < 6;
    free(m.rgb);
    return count;
}

static char *load(const char *file, size_t *n) {
    FILE *f = fopen(file, "rb");
    assert_non_null(f);
    char *data = calloc(1, 1 << 24);
    assert_non_null(data);
    *n = fread(data, 1, (1 << 24) - 1, f);
    fclose(f);
    return data;
}

static int count_of(const char *data, size_t n, const char *what) {
    int count = 0;
    for (const char *p = data; (p = memmem(p, n - (size_t)(p - data), what, strlen(what))); p++) count++;
    return count;
}

/* ---- tests ----------------------------------------------------------------------------------------------------------- */

static void every_panel(void **state) {
    (void)state;
    double with[64];
    int n = 0;
    pitot_log *log = full_run(PLAIN, 60);
    for (; figure_panel_name(n); n++) {
        draw(log, picture, sized(5, 3, 72, figure_panel_name(n), 0));
        with[n] = share_of_ink(picture);
    }
    pitot_log_close(log);
    start_run();
    log = read_run();
    for (int k = 0; k < n; k++) { /* a line that says what would fill it */
        draw(log, picture, sized(5, 3, 72, figure_panel_name(k), 0));
        double without = share_of_ink(picture);
        if (!(without > 0.002 && (with[k] > 1.4 * without || strcmp(figure_panel_name(k), "hyper") == 0)))
            fail_msg("%s: %.4f inked with values, %.4f without", figure_panel_name(k), with[k], without);
    }
    pitot_log_close(log);
    assert_int_equal(n, 18);
}

static void help_names_every_panel(void **state) {
    (void)state;
    for (int k = 0; figure_panel_name(k); k++) assert_non_null(strstr(command_report.details, figure_panel_name(k)));
    pitot_log *log = full_run(PLAIN, 3);
    figure_run run = { "a", log };
    figure_options o = sized(6, 4, 72, "nonsense", 0);
    pitot_error error = { 0 };
    assert_int_equal(figure_write(picture, &run, 1, &o, &error), PITOT_EINVAL);
    for (int k = 0; figure_panel_name(k); k++) assert_non_null(strstr(error.text, figure_panel_name(k)));
    pitot_log_close(log);
}

static void screens(void **state) {
    (void)state;
    size_t n;
    pitot_log *log = full_run(MIXED, 60);
    draw(log, picture, sized(0, 0, 50, NULL, FIGURE_PRIMARY));
    image primary = decode(picture);
    draw(log, picture, sized(0, 0, 50, NULL, FIGURE_SECONDARY));
    image secondary = decode(picture);
    draw(log, picture, sized(0, 0, 50, NULL, 0));
    image both = decode(picture);
    assert_true(primary.head.width == 700 && secondary.head.width == 700 && both.head.width == 700);
    assert_true(both.head.height > primary.head.height && both.head.height > secondary.head.height);
    assert_true(both.head.height < primary.head.height + secondary.head.height); /* one header */
    free(primary.rgb), free(secondary.rgb), free(both.rgb);
    snprintf(vector, sizeof vector, "%s/a.pdf", folder);
    draw(log, vector, sized(0, 0, 0, NULL, 0));
    char *data = load(vector, &n);
    assert_int_equal(count_of(data, n, "/Type /Page\n") + count_of(data, n, "/Type /Page "), 2);
    assert_memory_equal(data + n - 6, "%%EOF\n", 6);
    free(data);
    draw(log, vector, sized(0, 0, 0, NULL, FIGURE_PRIMARY));
    data = load(vector, &n);
    assert_int_equal(count_of(data, n, "/Type /Page\n") + count_of(data, n, "/Type /Page "), 1);
    free(data);
    unlink(vector);
    snprintf(vector, sizeof vector, "%s/a.svg", folder);
    draw(log, vector, sized(0, 0, 0, NULL, 0));
    data = load(vector, &n);
    assert_memory_equal(data, "<?xml", 5);
    assert_memory_equal(data + n - 7, "</svg>\n", 7);
    assert_int_equal(count_of(data, n, "nan"), 0); /* no coordinate that is none */
    assert_int_equal(count_of(data, n, "inf\""), 0);
    free(data);
    unlink(vector);
    pitot_log_close(log);
}

static void any_size(void **state) {
    (void)state;
    static const double sizes[][2] = { { 0.02, 0.02 }, { 0.2, 0.2 }, { 1, 0.5 }, { 0.5, 4 },
                                       { 8, 0.6 },     { 2, 2 },     { 4, 12 },  { 30, 20 } };
    pitot_log *log = full_run(MIXED, 40);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (int screen = 0; screen <= FIGURE_SECONDARY; screen++)
            draw(log, picture, sized(sizes[i][0], sizes[i][1], 40, NULL, screen));
        for (int k = 0; figure_panel_name(k); k++) draw(log, picture, sized(sizes[i][0], sizes[i][1], 40, figure_panel_name(k), 0));
    }
    pitot_log_close(log);
}

static void odd_runs(void **state) {
    (void)state;
    static const struct {
        int kind, steps;
    } runs[] = { { PLAIN, 0 }, { PLAIN, 1 }, { PLAIN, 2 }, { ALL_NAN, 1 }, { ALL_NAN, 40 }, { MIXED, 200 }, { FLAT, 30 } };
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        pitot_log *log = full_run(runs[i].kind, runs[i].steps);
        draw(log, picture, sized(0, 0, 60, NULL, 0));
        assert_true(share_of_ink(picture) > 0.01);
        pitot_log_close(log);
    }
}

/* Lists that do not belong together, are not ascending, or hold what no histogram holds. */
static void hostile_lists(void **state) {
    (void)state;
    static const char *const bodies[] = {
        "{\"step\":0,\"grad_hist_1d.counts\":[1,2,3]",
        "{\"step\":0,\"grad_hist_1d.counts\":[1,2,3],\"grad_hist_1d.edges\":[0,1,2]",
        "{\"step\":0,\"grad_hist_1d.counts\":[1,2,3],\"grad_hist_1d.edges\":[0,1,1,2]",
        "{\"step\":0,\"grad_hist_1d.counts\":[1,2,3],\"grad_hist_1d.edges\":[0,null,1,2]",
        "{\"step\":0,\"grad_hist_1d.counts\":[],\"grad_hist_1d.edges\":[0]",
        "{\"step\":0,\"grad_hist_2d.counts\":[1,2,3,4],\"grad_hist_2d.x_edges\":[0,1,2],\"grad_hist_2d.y_edges\":[0,1]",
        "{\"step\":0,\"grad_hist_2d.counts/a\":[1],\"grad_hist_2d.x_edges\":[2,1],\"grad_hist_2d.y_edges\":[0,1]",
    };
    static const char *const fitting[] = {
        "{\"step\":0,\"grad_hist_1d.counts\":[-1,null,1e308],\"grad_hist_1d.edges\":[-1e308,0,1,1e308]",
        "{\"step\":0,\"grad_hist_1d.counts\":[0,0],\"grad_hist_1d.edges\":[1,2,3]",
    };
    counts c;
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        start_run();
        line_of(bodies[i]);
        pitot_log *log = read_run();
        assert_int_equal(counts_read(log, "grad_hist_1d.counts", "grad_hist_1d.edges", NULL, INT64_MAX, &c), 0);
        assert_int_equal(counts_read(log, "grad_hist_2d.counts", "grad_hist_2d.x_edges", "grad_hist_2d.y_edges", INT64_MAX, &c), 0);
        draw(log, picture, sized(10, 14, 40, NULL, 0));
        pitot_log_close(log);
    }
    for (size_t i = 0; i < sizeof fitting / sizeof *fitting; i++) {
        start_run();
        line_of(fitting[i]);
        pitot_log *log = read_run();
        assert_int_equal(counts_read(log, "grad_hist_1d.counts", "grad_hist_1d.edges", NULL, INT64_MAX, &c), 1);
        for (int64_t k = 0; k < c.nx; k++) assert_true(c.count[k] >= 0 && isfinite(c.count[k]));
        counts_free(&c);
        draw(log, picture, sized(10, 14, 40, NULL, 0));
        pitot_log_close(log);
    }
}

/* One value among 30,000 steps, far finer than a pixel, shows in the colour of the largest; one that is not finite in that of alarms. */
static void spikes_survive_in_heat_maps(void **state) {
    (void)state;
    start_run();
    for (int i = 0; i < 30000; i++) {
        text t;
        begin_text(&t);
        fprintf(t.to, "{\"step\":%d,\"grad_norm\":1,\"grad_norm/a\":%s,\"grad_norm/b\":1", i, i == 17777 ? "1000" : "1");
        if (i == 9999) fputs(",\"grad_norm/c\":null,\"grad_norm/c#nf\":\"nan\"", t.to);
        else fputs(",\"grad_norm/c\":1", t.to);
        end_line(&t);
    }
    pitot_log *log = read_run();
    draw(log, picture, sized(6, 3, 100, "grad_norm_layers", 0));
    assert_true(pixels_like(picture, ink_cividis(1)) > 20);
    assert_true(pixels_like(picture, ink_cividis(0)) > 20000);
    assert_true(pixels_like(picture, ink_alarm) > 20);
    pitot_log_close(log);
}

/* Panels of one that the log has and the cockpit does not know are drawn as well. */
static void other_panels(void **state) {
    (void)state;
    pitot_log *log = full_run(PLAIN, 30);
    panel_list list;
    int others = 0;
    assert_int_equal(panel_list_make(log, &list), PITOT_OK);
    for (int64_t i = 0; i < list.n; i++) others += !cockpit_shows(&list.panel[i]);
    assert_int_equal(others, 2); /* mine, other/thing */
    panel_list_free(&list);
    draw(log, picture, sized(6, 3, 72, "mine,alpha,other/thing", 0));
    assert_true(share_of_ink(picture) > 0.02);
    pitot_log_close(log);
}

static void colours(void **state) {
    (void)state;
    for (int i = 0; i < 100; i++) { /* lightness rises or falls throughout, also for t outside */
        rgb a = ink_cividis(i / 100.0), b = ink_cividis((i + 1) / 100.0), c = ink_heat(i / 100.0), d = ink_heat((i + 1) / 100.0);
        assert_true(0.3 * b.r + 0.59 * b.g + 0.11 * b.b > 0.3 * a.r + 0.59 * a.g + 0.11 * a.b);
        assert_true(0.3 * d.r + 0.59 * d.g + 0.11 * d.b < 0.3 * c.r + 0.59 * c.g + 0.11 * c.b);
    }
    rgb low = ink_cividis(-3), high = ink_cividis(7), none = ink_cividis(NAN);
    assert_true(low.b < 0.4 && high.r > 0.9 && none.r >= 0);
}

/* ---- from the hooks -------------------------------------------------------------------------------------------------- */

enum { LISTS = 8 };

static double numbers[PITOT_LOG_LIST + 1];

static int32_t emit_lists(const pitot_frame *f) {
    static const char *const field[LISTS] = { "0", "1", "2", "3", "4", "5", "6", "7" };
    for (int64_t i = 0; i <= PITOT_LOG_LIST; i++) numbers[i] = -1.0 / 3 * (double)(i + f->step);
    for (int k = 0; k < LISTS; k++) {
        pitot_emit_list(f, field[k], numbers, PITOT_LOG_LIST);
        pitot_emit(f, "", 7);
    }
    pitot_emit_list(f, "long", numbers, PITOT_LOG_LIST + 1);
    return PITOT_OK;
}

static const pitot_output outputs[] = { { "", PITOT_SCALAR, PITOT_LINEAR_AXIS, "", "lists", NULL }, { 0 } };

static const pitot_probe lists_probe = {
    .struct_size = sizeof(pitot_probe),
    .abi = PITOT_ABI,
    .presets = PITOT_ON_REQUEST,
    .spans = 1,
    .name = "t_lists",
    .summary = "of the tests",
    .paper = "",
    .formula = "",
    .outputs = outputs,
    .backward = emit_lists,
};

/* The longest lists, so many that they need several lines; one that is longer is left out. */
static void long_lists(void **state) {
    (void)state;
    enum { STEPS = 3 };
    pitot_error error = { 0 };
    pitot_log_state s = { .struct_size = sizeof s };
    pitot_config config = { .struct_size = sizeof config, .probes = "t_lists" };
    double *v = malloc(PITOT_LOG_LIST * sizeof *v);
    assert_non_null(v);
    unlink(events);
    unlink(manifest);
    pitot_run *run = pitot_open(folder, &config);
    assert_non_null(run);
    for (int64_t step = 0; step < STEPS; step++) {
        pitot_begin(run, step);
        pitot_after_forward(run, &(pitot_batch){ .struct_size = sizeof(pitot_batch), .n = 1, .loss = 1 });
        pitot_after_backward(run);
        pitot_after_update(run, 1);
    }
    pitot_close(run, PITOT_DONE);
    pitot_log *log = pitot_log_open(folder, &error);
    assert_non_null(log);
    assert_int_equal(pitot_log_poll(log, 0, NULL), 1);
    pitot_log_get_state(log, &s);
    assert_int_equal(s.damaged, 0);
    assert_in_range(s.records, 2 * STEPS, 8 * STEPS);
    assert_int_equal(pitot_log_list_count(log), LISTS);
    assert_int_equal(pitot_log_find_list(log, "t_lists.long"), -1);
    for (int64_t step = 0; step < STEPS; step++)
        for (int64_t i = 0; i < LISTS; i++) {
            int64_t at = -1;
            assert_int_equal(pitot_log_read_list(log, i, step, v, PITOT_LOG_LIST, &at), PITOT_LOG_LIST);
            assert_int_equal(at, step);
            for (int64_t k = 0; k < PITOT_LOG_LIST; k += 997) assert_true(v[k] == -1.0 / 3 * (double)(k + step));
        }
    pitot_log_close(log);
    free(v);
}

/* What fontconfig keeps for the life of the process is not ours. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
    return "leak:libfontconfig";
}

/* ---- set-up ---------------------------------------------------------------------------------------------------------- */

static int set_up(void **state) {
    (void)state;
    strcpy(folder, "/tmp/pitot-cockpit-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(events, sizeof events, "%s/events.jsonl", folder);
    snprintf(manifest, sizeof manifest, "%s/run.json", folder);
    snprintf(picture, sizeof picture, "%s/a.png", folder);
    return pitot_probe_register(&lists_probe) ? -1 : 0;
}

static int tear_down(void **state) {
    (void)state;
    unlink(events);
    unlink(manifest);
    unlink(picture);
    return rmdir(folder); /* fails if anything else was left there */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_panel),  cmocka_unit_test(help_names_every_panel),
        cmocka_unit_test(screens),      cmocka_unit_test(any_size),
        cmocka_unit_test(odd_runs),     cmocka_unit_test(hostile_lists),
        cmocka_unit_test(other_panels), cmocka_unit_test(spikes_survive_in_heat_maps),
        cmocka_unit_test(colours),      cmocka_unit_test(long_lists),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
