/* The cockpit: what each dial says at which step, what is missing, where dials stand on any size; frames as they were. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pages.h"

#include "term/dial.h"
#include "term/gauge.h"
#include "term/heat.h"
#include "term/reading.h"
#include "term/shelf.h"

static scene e;

static void every_size_of_it(void **state) {
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) every_size("cockpit", kind);
}

static void frames(void **state) {
    (void)state;
    scene_make(&e, RICH);
    is_golden(scene_body(&e, "cockpit", 40, 120), "cockpit_120x40.txt");
    is_golden(scene_body(&e, "cockpit", 22, 80), "cockpit_80x22.txt");
    e.s.canvas.ascii = 1;
    is_golden(scene_body(&e, "cockpit", 12, 40), "cockpit_40x12_ascii.txt");
    scene_close(&e);
    scene_make(&e, EMPTY);
    is_golden(scene_body(&e, "cockpit", 26, 80), "cockpit_80x26_empty.txt");
    scene_close(&e);
}

static const dial *dial_named(const char *name) {
    for (int k = 0; dial_at(k); k++)
        if (!strcmp(dial_at(k)->key, name)) return dial_at(k);
    fail_msg("no dial %s", name);
    return NULL;
}

/* One dial alone at a step. */
static const char *drawn(const char *name, int64_t step, int rows, int cols) {
    screen_open(&e.s, "cockpit");
    assert_int_equal(screen_draw(&e.s, &e.all, rows, cols), PITOT_OK);
    canvas_clear(&e.s.canvas);
    dial_view v = { .s = &e.s, .all = &e.all, .step = step, .at = { 0, 0, rows, cols } };
    assert_int_equal(dial_draw(&v, dial_named(name)), PITOT_OK);
    return scene_text(&e);
}

static uint32_t pen_of(const char *text) {
    const cell *at = scene_find(&e, text);
    if (!at) fail_msg("%s is not in\n%s", text, scene_text(&e));
    return at->pen;
}

static int column_of(uint32_t code) {
    for (int i = 0; i < e.s.canvas.rows * e.s.canvas.cols; i++)
        if (e.s.canvas.cell[i].code == code) return i % e.s.canvas.cols;
    return -1;
}

static void values_and_their_states(void **state) {
    (void)state;
    scene_make(&e, RICH);
    assert_non_null(strstr(drawn("loss", INT64_MAX, 5, 60), "0.3798"));
    assert_int_equal(pen_of("0.3798"), PEN_MAIN);
    assert_non_null(strstr(drawn("loss", 0, 5, 60), "2.1"));
    drawn("norm_test", 20, 1, 60);
    assert_int_equal(pen_of("0.7"), PEN_GOOD);
    drawn("norm_test", INT64_MAX, 1, 60);
    assert_int_equal(pen_of("! 1.09"), PEN_WARN);
    drawn("precond_staleness|precond_staleness.moment_overlap", INT64_MAX, 1, 60);
    assert_int_equal(pen_of("!! 0.34"), PEN_ALARM);
    drawn("update_ratio", INT64_MAX, 1, 60); /* the registry's band: 3e-4 to 3e-3 */
    assert_int_equal(pen_of("! 0.004"), PEN_WARN);
    assert_non_null(strstr(drawn("noise_scale", INT64_MAX, 1, 60), "noise_scale samples"));
    assert_non_null(strstr(drawn("hyper.lr|lr", INT64_MAX, 1, 60), "0.01"));
    assert_non_null(strstr(drawn("overhead", INT64_MAX, 1, 60), "0.25")); /* a quarter of a second each second */
    scene_close(&e);
}

static void what_is_missing(void **state) {
    (void)state;
    scene_make(&e, RICH);
    assert_non_null(strstr(drawn("batch_efficiency", INT64_MAX, 4, 76), "not logged (add --probes batch_efficiency)"));
    assert_int_equal(pen_of("not logged"), PEN_DIM);
    assert_non_null(strstr(drawn("batch_efficiency", INT64_MAX, 1, 50), "   add --probes batch_efficiency"));
    assert_non_null(strstr(drawn("batch_efficiency", INT64_MAX, 1, 36), "not logged"));
    scene_close(&e);
    pages_write(DAMAGED, sgd_manifest, 1); /* counts and edges of step 0: edges that do not ascend */
    scene_open(&e);
    assert_non_null(strstr(drawn("grad_hist_1d.counts", INT64_MAX, 6, 70), "do not fit together"));
    scene_close(&e);
}

static void alpha_lies_between(void **state) {
    (void)state;
    scene_make(&e, RICH);
    for (int step = 0; step <= 50; step += 10) { /* alpha from -0.6 to 0.4; scale from -1.5 to 1.5 over columns 0 to 89 */
        drawn("alpha", step, 8, 90);
        assert_int_equal(column_of(0x25cf), (int)((0.02 * (step - 30) + 1.5) / 3 * 90));
    }
    assert_non_null(strstr(drawn("alpha", INT64_MAX, 8, 90), "median of the latest 6: 0.53"));
    assert_non_null(strstr(scene_text(&e), "0 minimum"));
    scene_close(&e);
}

static void the_stability_limit(void **state) {
    static const char *const limited = "sharpness";
    (void)state;
    scene_make(&e, RICH);
    assert_non_null(strstr(drawn(limited, INT64_MAX, 4, 70), "5x below the limit"));
    assert_non_null(strstr(scene_text(&e), "eigenvalue 40, limit 200"));
    char name[48];
    assert_true(fabs(reading_limit(e.log, INT64_MAX, name, sizeof name) - 200) < 1e-9);
    scene_close(&e);
    /* without the probe: from the Hessian's largest eigenvalue, the rate and what the optimizer is */
    static line_text l;
    static const char *const optimizers[] = { "\"name\":\"sgd\",\"options\":{\"lr\":\"0.1\",\"momentum\":\"0.5\"}",
                                              "\"name\":\"sgd\",\"options\":{\"lr\":\"0.1\"}", "\"name\":\"adam\"",
                                              "\"name\":\"adam\"" };
    static const char *const says[] = { "2x above the limit", "3x above the limit", "not logged (add --probes sharpness)",
                                        "no value" };
    for (int i = 0; i < 4; i++) {
        char manifest[160];
        snprintf(manifest, sizeof manifest, "{\"optimizer\":{%s}}\n", optimizers[i]);
        pages_write(EMPTY, manifest, 0);
        FILE *f = fopen(pages_path("events.jsonl"), "a");
        line_add(&l, "{\"step\":1,\"wall\":1,\"hess_max_ev\":60");
        if (i == 3) line_add(&l, ",\"sharpness.seconds\":0.1"); /* it ran, and had nothing to say */
        line_write(f, &l);
        fclose(f);
        scene_open(&e);
        if (!strstr(drawn(limited, INT64_MAX, 4, 70), says[i])) fail_msg("%s\n%s", says[i], scene_text(&e));
        scene_close(&e);
    }
}

static void histograms(void **state) {
    (void)state;
    scene_make(&e, RICH);
    drawn("grad_hist_1d.counts", INT64_MAX, 8, 40);
    int high[40];
    for (int col = 0; col < 40; col++) {
        high[col] = 0;
        for (int row = 1; row < 8; row++) {
            uint32_t code = e.s.canvas.cell[row * 40 + col].code;
            high[col] += code > 0x2800 && code < 0x2900;
        }
    }
    assert_true(high[19] > high[10] && high[10] >= high[2] && high[19] == 5); /* a head, bars, ends, an empty row */
    assert_non_null(strstr(scene_text(&e), "<.01 % cut") ? scene_text(&e) : strstr(scene_text(&e), "0 % cut"));
    drawn("grad_hist_2d.counts", INT64_MAX, 16, 60); /* head, 2 rows of marginal, map, ends, an empty row; 7 columns of labels */
    const canvas *c = &e.s.canvas;
    int n = 0, rows = 0, cols = 0, longest = 0, longest_row = 0;
    for (int i = 0; i < 16 * 60; i++)
        if (c->cell[i].pen == PEN_HEAT + PEN_HEATS - 1) n++, rows += i / 60, cols += i % 60;
    assert_true(n > 0 && rows > 8 * n && cols > (7 + 24) * n); /* the peak: below the middle, right of it */
    for (int row = 3; row < 14; row++) {
        int length = 0;
        for (int col = 54; col < 60; col++) length += c->cell[row * 60 + col].code == 0x2588;
        if (length >= longest) longest = length, longest_row = row;
    }
    assert_true(longest > 0 && longest_row > 8); /* and so the marginal's */
    scene_close(&e);
}

static void shades(void **state) {
    canvas c = { .ascii = 0 };
    (void)state;
    assert_int_equal(canvas_resize(&c, 2, 20), PITOT_OK);
    for (c.ascii = 0; c.ascii < 2; c.ascii++) {
        uint32_t before = 0;
        int distinct = 0;
        for (int level = 0; level < PEN_HEATS; level++) {
            heat_put(&c, 0, level, level);
            assert_int_equal(c.cell[level].pen, PEN_HEAT + level);
            assert_true(c.cell[level].code != ' '); /* a blank is for what is not there */
            distinct += c.cell[level].code != before;
            before = c.cell[level].code;
        }
        assert_int_equal(distinct, c.ascii ? 9 : 4);
    }
    assert_int_equal(heat_level(NAN), 0);
    assert_int_equal(heat_level(-3), 0);
    assert_int_equal(heat_level(0.5), PEN_HEATS / 2);
    assert_int_equal(heat_level(1), PEN_HEATS - 1);
    assert_int_equal(heat_level(INFINITY), PEN_HEATS - 1);
    heat_put_odd(&c, 1, 0, NAN), heat_put_odd(&c, 1, 1, INFINITY), heat_put_odd(&c, 1, 2, -INFINITY);
    assert_true(c.cell[20].code == 'x' && c.cell[21].code == '^' && c.cell[22].code == 'v' && c.cell[20].pen == PEN_ALARM);
    canvas_free(&c);
}

static void gauges(void **state) {
    static const pitot_band band = { -INFINITY, 1, -INFINITY, 2, "" };
    static const struct {
        double v;
        int col;
        uint32_t mark;
        int pen;
    } cases[] = { { 0.5, 10, 0x25cf, PEN_GOOD },     { 1.5, 30, 0x25cf, PEN_WARN }, { 1.999, 39, 0x25cf, PEN_WARN },
                  { 7, 39, 0x25b8, PEN_ALARM },      { -1, 0, 0x25c2, PEN_GOOD },   { INFINITY, 39, 0x25b8, PEN_ALARM },
                  { -INFINITY, 0, 0x25c2, PEN_GOOD } };
    canvas c = { .ascii = 0 };
    (void)state;
    assert_int_equal(canvas_resize(&c, 1, 40), PITOT_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        gauge g = { .a = { AXIS_LINEAR, 0, 2, 0 }, .value = cases[i].v, .band = &band, .tick = { 1 }, .ticks = 1 };
        canvas_clear(&c);
        gauge_draw(&c, (place){ 0, 0, 1, 40 }, &g);
        assert_int_equal(c.cell[cases[i].col].code, cases[i].mark);
        assert_int_equal(c.cell[cases[i].col].pen, cases[i].pen);
        assert_int_equal(c.cell[20].code, 0x253c);
        assert_int_equal(c.cell[5].pen, PEN_GOOD);
        assert_int_equal(c.cell[25].pen, PEN_WARN);
    }
    gauge none = { .a = { AXIS_LOG, 0.01, 10, 0 }, .value = NAN };
    gauge_draw(&c, (place){ 0, 0, 1, 40 }, &none);
    for (int i = 0; i < 40; i++) assert_int_equal(c.cell[i].code, 0x2500);
    canvas_free(&c);
}

/* Slots lie within their columns, one below the other; every dial that has something is there; scrolling reaches each. */
static void shelves(void **state) {
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        scene_make(&e, kind ? RICH : EMPTY);
        for (int rows = 1; rows <= 100; rows += rows < 30 ? 1 : 7)
            for (int cols = 1; cols <= 250; cols += 9) {
                shelf h;
                shelf_plan(&h, (place){ 1, 0, rows, cols }, &e.all);
                assert_true(h.columns >= 1 && h.slots < SHELF_SLOTS);
                for (int k = 0; k < h.slots; k++) { /* scrolled to the end, the last ones stand at the bottom */
                    const slot *t = &h.slot[k];
                    place at = shelf_place(&h, k, h.over);
                    if (t->rows && h.high[t->column] > rows && t->row + t->rows == h.high[t->column])
                        assert_int_equal(at.row + at.rows, h.area.row + rows);
                }
                for (int k = 0; k < h.slots; k++) {
                    int seen = 0, end = 0;
                    for (int top = 0; top <= h.over; top++) {
                        place at = shelf_place(&h, k, top), in = h.column[h.slot[k].column];
                        if (!at.rows) continue;
                        seen = 1;
                        assert_true(at.row >= in.row && at.row + at.rows <= in.row + in.rows);
                        assert_true(at.col == in.col && at.cols == in.cols && in.col >= 0 && in.col + in.cols <= cols);
                    }
                    assert_int_equal(seen, h.slot[k].rows > 0);
                    for (int j = 0; j < k; j++)
                        if (h.slot[j].column == h.slot[k].column) end = h.slot[j].row + h.slot[j].rows;
                    assert_int_equal(h.slot[k].row, end);
                }
            }
        scene_close(&e);
    }
}

static void scrolling(void **state) {
    (void)state;
    scene_make(&e, RICH);
    screen_open(&e.s, "cockpit");
    assert_int_equal(screen_draw(&e.s, &e.all, 14, 40), PITOT_OK);
    assert_non_null(strstr(scene_text(&e), "PERFORMANCE"));
    assert_null(strstr(scene_text(&e), "staleness"));
    assert_int_equal(screen_key(&e.s, &e.all, TERM_DOWN), 1);
    assert_int_equal(screen_draw(&e.s, &e.all, 14, 40), PITOT_OK);
    assert_null(strstr(scene_text(&e), "PERFORMANCE"));
    screen_key(&e.s, &e.all, TERM_END);
    assert_int_equal(screen_draw(&e.s, &e.all, 14, 40), PITOT_OK);
    assert_non_null(strstr(scene_text(&e), "staleness"));
    screen_key(&e.s, &e.all, TERM_DOWN); /* no farther */
    screen_key(&e.s, &e.all, TERM_UP);
    screen_key(&e.s, &e.all, TERM_UP);
    assert_int_equal(screen_draw(&e.s, &e.all, 14, 40), PITOT_OK);
    assert_null(strstr(scene_text(&e), " age"));
    screen_key(&e.s, &e.all, 'g');
    assert_int_equal(screen_draw(&e.s, &e.all, 14, 40), PITOT_OK);
    assert_non_null(strstr(scene_text(&e), "PERFORMANCE"));
    scene_close(&e);
}

static void readings(void **state) {
    static const int64_t step[] = { 0, 5, 10 };
    static const double value[] = { 1, 2, 3 };
    pitot_series s = { .name = "a", .n = 3, .step = step, .value = value };
    (void)state;
    assert_int_equal(reading_index(&s, -1), -1);
    assert_int_equal(reading_index(&s, 0), 0);
    assert_int_equal(reading_index(&s, 4), 0);
    assert_int_equal(reading_index(&s, 5), 1);
    assert_int_equal(reading_index(&s, INT64_MAX), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_of_it),
        cmocka_unit_test(frames),
        cmocka_unit_test(values_and_their_states),
        cmocka_unit_test(what_is_missing),
        cmocka_unit_test(alpha_lies_between),
        cmocka_unit_test(the_stability_limit),
        cmocka_unit_test(histograms),
        cmocka_unit_test(shades),
        cmocka_unit_test(gauges),
        cmocka_unit_test(shelves),
        cmocka_unit_test(scrolling),
        cmocka_unit_test(readings),
    };
    return cmocka_run_group_tests(tests, pages_set_up, pages_tear_down);
}
