/* A spectrum on paper and in the terminal: any numbers and any size give a picture, the same ones the same; nothing leaves its place; an
   outlier is seen; keys go back and forth through time. */

#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

#include "figure/spectrum.h"
#include "term/keys.h"
#include "term/spectrum.h"
#include "term/term.h"

static char folder[] = "/tmp/pitot-drawn-XXXXXX";

static const char *path_of(const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* ---- figures ---- */

static spectrum some_spectrum(double scale, int draws, int steps) {
    spectrum s = { .kind = "hessian", .parameters = 5000, .samples = 100, .step = -1, .loss = 0.3, .n_top = 4, .n_bottom = 3 };
    snprintf(s.model, sizeof s.model, "m.json");
    snprintf(s.data, sizeof s.data, "glyphs");
    for (int i = 0; i < 4; i++) s.top[i] = (spectrum_pair){ scale * (10 - 2 * i), scale * 0.1 * i, 0.01, i != 2 };
    for (int i = 0; i < 3; i++) s.bottom[i] = (spectrum_pair){ scale * (i - 3) * 0.1, scale * 0.01, 0.01, 1 };
    assert_int_equal(spectrum_reserve(&s, draws, steps), 0);
    for (int i = 0; i < draws * steps; i++) {
        int k = i % steps;
        s.node[i] = scale * (k == steps - 1 ? 10 : 0.01 * (k - steps / 2.0));
        s.weight[i] = k == steps - 1 ? 1.0 / 5000 : (1 - 1.0 / 5000) / (steps - 1);
    }
    for (int i = 0; i < draws; i++) s.used[i] = steps;
    s.trace = (spectrum_estimate){ 30 * scale, scale }, s.negative_mass = (spectrum_estimate){ 0.4, NAN };
    s.condition = INFINITY, s.damping = 0.01 * scale, s.converged = s.complete = 1;
    return s;
}

static char *contents(const char *path, size_t *size) {
    static char text[1 << 22];
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    *size = fread(text, 1, sizeof text, f);
    fclose(f);
    return text;
}

static void figures_are_the_same_again(void **state) {
    (void)state;
    static const char *const names[] = { "a.png", "a.svg", "a.pdf" }, *const starts[] = { "\x89PNG", "<?xml", "%PDF" };
    static char before[1 << 22];
    spectrum s[3] = { some_spectrum(1, 3, 20), some_spectrum(1.5, 3, 20), some_spectrum(2, 3, 20) };
    for (int k = 0; k < 3; k++) s[k].step = 100 * k + 100, s[k].limit = 12, snprintf(s[k].limit_name, 48, "2/lr");
    for (int evolution = 0; evolution < 2; evolution++)
        for (int i = 0; i < 3; i++) {
            size_t n[2];
            for (int again = 0; again < 2; again++) {
                pitot_error error = { 0 };
                int32_t status = evolution ? spectrum_evolution_figure(path_of(names[i]), s, 3, NULL, &error)
                                           : spectrum_figure(path_of(names[i]), s, NULL, &error);
                if (status) fail_msg("%s", error.text);
                char *text = contents(path_of(names[i]), &n[again]);
                assert_memory_equal(text, starts[i], 4);
                if (!again) memcpy(before, text, n[0]);
                else if (i != 1) assert_true(n[0] == n[1] && memcmp(text, before, n[0]) == 0); /* cairo counts an SVG's names on */
            }
            assert_true(n[0] > 2000);
        }
    pitot_error error = { 0 };
    assert_int_equal(spectrum_figure(path_of("a.jpg"), s, NULL, &error), PITOT_EINVAL);
    for (int k = 0; k < 3; k++) spectrum_free(&s[k]);
}

static void figures_of_odd_numbers(void **state) {
    (void)state;
    static const double scales[] = { 1, 0, 1e-200, 1e200, -1, 1e8 };
    spectrum_look small = { 3, 2, 50 };
    for (size_t i = 0; i < sizeof scales / sizeof *scales; i++)
        for (int shape = 0; shape < 4; shape++) {
            pitot_error error = { 0 };
            spectrum s = some_spectrum(scales[i], shape ? shape : 1, shape == 1 ? 2 : 15);
            if (shape == 0) s.draws = s.steps = 0; /* eigenvalues alone */
            if (shape == 2) s.n_top = s.n_bottom = 0, s.parameters = 1, s.complete = 0;
            if (shape == 3) s.top[0].value = NAN, s.trace.value = NAN, s.top[1].residual = INFINITY, s.limit = 3 * scales[i];
            if (shape == 3) snprintf(s.limit_name, sizeof s.limit_name, "2/lr");
            if (spectrum_figure(path_of("odd.png"), &s, &small, &error)) fail_msg("%s", error.text);
            if (spectrum_evolution_figure(path_of("odd.png"), &s, 1, &small, &error)) fail_msg("%s", error.text);
            spectrum_free(&s);
        }
}

/* ---- the pane ---- */

static spectrum_record some_record(double *node, double *weight, int n, double scale) {
    static const double stems[] = { 9, 5 };
    for (int i = 0; i < n; i++) {
        node[i] = scale * (i == n - 1 ? 10 : 0.01 * (i - n / 2.0));
        weight[i] = i == n - 1 ? 1e-4 : (1 - 1e-4) / (n - 1);
    }
    return (spectrum_record){ .q = { node, weight, n, 10000 },
                              .stem = stems,
                              .stems = 2,
                              .stem_name = "ggn_spectrum",
                              .step = 12345,
                              .number = 3,
                              .of = 9,
                              .trace = 12.5,
                              .error = 0.5,
                              .negative = 0.43 };
}

static void panes_of_every_size(void **state) {
    (void)state;
    double node[40], weight[40];
    canvas c = { 0 };
    for (int rows = 0; rows <= 40; rows++)
        for (int cols = 0; cols <= 120; cols += rows < 12 ? 1 : 17) {
            int n = 2 + (rows + cols) % 38;
            spectrum_record r = some_record(node, weight, n, pow(10, rows % 9 - 4));
            place at = { 2, 3, rows, cols };
            if (rows % 5 == 0) r.q.n = 0, r.trace = r.error = NAN;
            if (cols % 7 == 0) r.stems = 0;
            if (cols % 3 == 0) r.limit = pow(10, cols % 6 - 2), r.limit_name = "2/lr";
            c.ascii = cols % 2;
            assert_int_equal(canvas_resize(&c, rows + 4, cols + 6), PITOT_OK);
            canvas_clear(&c);
            assert_int_equal(spectrum_pane(&c, at, &r), PITOT_OK);
            for (int row = 0; row < c.rows; row++)
                for (int col = 0; col < c.cols; col++) {
                    int in = row >= at.row && row < at.row + rows && col >= at.col && col < at.col + cols;
                    if (!in) assert_int_equal(c.cell[row * c.cols + col].code, ' ');
                    if (c.ascii) assert_true(canvas_glyph(&c, row, col) < 0x7f);
                }
        }
    canvas_free(&c);
}

/* Mass 1e-4 at 10, a bulk below 0.2, nothing between: dots at both, none between; higher over the bulk. */
static void outliers_are_seen(void **state) {
    (void)state;
    double node[40], weight[40];
    canvas c = { 0 };
    assert_int_equal(canvas_resize(&c, 20, 100), PITOT_OK);
    spectrum_record r = some_record(node, weight, 40, 1);
    r.stems = 0;
    assert_int_equal(spectrum_pane(&c, (place){ 0, 0, 20, 100 }, &r), PITOT_OK);
    axis x = spectrum_axis(&r.q, NULL, 0);
    panel_layout l = layout_plot((place){ 0, 0, 20, 100 }, 7);
    const double places[] = { 0.1, 1.5, 10 };
    int height[3];
    for (int i = 0; i < 3; i++) {
        int col = l.plot.col + (int)(axis_at(&x, places[i]) * l.plot.cols);
        height[i] = 0;
        for (int row = l.plot.row; row < l.plot.row + l.plot.rows; row++) {
            uint32_t code = c.cell[row * c.cols + col].code;
            height[i] += code > 0x2800 && code < 0x2900;
        }
    }
    assert_true(height[0] > height[2] && height[2] > 0 && height[1] == 0);
    char text[512];
    canvas_row(&c, 0, text);
    assert_non_null(strstr(text, "step 12,345, 3 of 9"));
    assert_non_null(strstr(text, "  43 % negative"));
    canvas_free(&c);
}

/* ---- through time ---- */

static void put_line(FILE *f, const char *body) {
    fprintf(f, "%s,\"crc\":\"%08lx\"}\n", body, crc32(crc32(0, NULL, 0), (const unsigned char *)body, (unsigned)strlen(body)));
}

static void put_record(FILE *f, int step) {
    char body[512];
    snprintf(body, sizeof body,
             "{\"step\":%d,\"wall\":%d,\"loss\":1,\"hess_spectrum\":%d,\"hess_spectrum.parameters\":50,"
             "\"hess_spectrum.nodes\":[-1,0,%d],\"hess_spectrum.weights\":[0.25,0.5,0.25]",
             step, 1000 + step, step, step + 1);
    put_line(f, body);
}

static const char *title_of(screen *s, const shown *run) {
    static char text[1024];
    assert_int_equal(screen_draw(s, run, 24, 100), PITOT_OK);
    canvas_row(&s->canvas, 1, text);
    return text;
}

static void keys_go_through_time(void **state) {
    (void)state;
    panel_list panels;
    screen s = { 0 };
    FILE *f = fopen(path_of("events.jsonl"), "w");
    put_line(f, "{\"pitot\":\"0.1.0\",\"segment\":0,\"step\":0,\"wall\":1000");
    for (int i = 0; i < 4; i++) put_record(f, 10 * i);
    fflush(f);
    pitot_log *log = pitot_log_open(path_of("events.jsonl"), NULL);
    assert_int_equal(pitot_log_poll(log, 0, NULL), 1);
    assert_int_equal(panel_list_make(log, &panels), PITOT_OK);
    shown_run one = { .name = "run", .log = log, .panels = &panels, .trouble = "" };
    shown run = { .run = &one, .runs = 1, .now = 1100 };
    assert_int_equal(spectrum_records(log), 4);
    assert_null(strstr(title_of(&s, &run), "step 30"));
    const struct {
        int code;
        const char *shows;
    } keys[] = { { 'd', "step 30, 4 of 4" },        { TERM_LEFT, "step 20, 3 of 4" }, { TERM_PAGE_UP, "step 10, 2 of 4" },
                 { TERM_RIGHT, "step 20, 3 of 4" }, { TERM_HOME, "step 0, 1 of 4" },  { 'h', "step 0, 1 of 4" },
                 { TERM_END, "step 30, 4 of 4" },   { 'l', "step 30, 4 of 4" },       { ' ', "step 0, 1 of 4" },
                 { ' ', "step 10, 2 of 4" },        { ' ', "step 20, 3 of 4" },       { ' ', "step 30, 4 of 4" },
                 { TERM_LEFT, "step 20, 3 of 4" } };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        assert_int_equal(screen_key(&s, &run, keys[i].code), 1);
        if (!strstr(title_of(&s, &run), keys[i].shows)) fail_msg("key %zu: %s", i, title_of(&s, &run));
    }
    put_record(f, 40); /* a record comes in: the one that is looked at stays */
    fflush(f);
    assert_int_equal(pitot_log_poll(log, 0, NULL), 1);
    assert_non_null(strstr(title_of(&s, &run), "step 20, 3 of 5"));
    screen_key(&s, &run, 'G');
    assert_non_null(strstr(title_of(&s, &run), "step 40, 5 of 5"));
    screen_key(&s, &run, TERM_ESCAPE);
    assert_null(strstr(title_of(&s, &run), "5 of 5"));
    fclose(f);
    screen_free(&s);
    panel_list_free(&panels);
    pitot_log_close(log);
}

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_all(void **state) {
    static const char *const names[] = { "a.png", "a.svg", "a.pdf", "odd.png", "events.jsonl" };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unlink(path_of(names[i]));
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_are_the_same_again), cmocka_unit_test(figures_of_odd_numbers),
        cmocka_unit_test(panes_of_every_size),        cmocka_unit_test(outliers_are_seen),
        cmocka_unit_test(keys_go_through_time),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_all);
}
