/* The page of tensors: what a cell holds, what is in sight, what the keys do; frames as they were. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pages.h"

#include "term/plots.h"
#include "term/raster.h"

static scene e;

static void every_size_of_it(void **state) {
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) every_size("layers", kind);
}

static void frames(void **state) {
    (void)state;
    scene_make(&e, RICH);
    is_golden(scene_body(&e, "layers", 30, 100), "layers_100x30.txt");
    is_golden(scene_body(&e, "layers", 12, 40), "layers_40x12.txt");
    screen_key(&e.s, &e.all, ']');
    screen_key(&e.s, &e.all, 'j');
    e.s.canvas.ascii = 1;
    is_golden(scene_body(&e, "layers", 22, 80), "layers_80x22_ascii.txt");
    scene_close(&e);
    scene_make(&e, DAMAGED);
    e.s.canvas.ascii = 1;
    is_golden(scene_body(&e, "layers", 16, 80), "layers_80x16_damaged.txt");
    scene_close(&e);
    scene_make(&e, EMPTY);
    assert_non_null(strstr(scene_body(&e, "layers", 10, 80), "nothing is logged tensor by tensor"));
    scene_close(&e);
}

/* ---- the raster ---- */

static pitot_series series(const int64_t *step, const double *value, int64_t n) {
    return (pitot_series){ .name = "a", .n = n, .step = step, .value = value };
}

static void no_spike_is_lost(void **state) {
    static int64_t step[10000];
    static double value[10000];
    raster r = { .cell = NULL };
    (void)state;
    for (int i = 0; i < 10000; i++) step[i] = i, value[i] = 0.1 * (i % 7);
    value[5003] = -50;
    pitot_series s = series(step, value, 10000);
    for (int cols = 1; cols <= 400; cols += 7) {
        assert_true(raster_resize(&r, 2, cols, 0, 9999));
        raster_fill(&r, 1, &s);
        int spikes = 0;
        for (int k = 0; k < cols; k++) {
            const raster_cell *c = &r.cell[cols + k];
            assert_true(c->there && !r.cell[k].there);
            spikes += c->v == -50;
            assert_true(c->v == -50 || fabs(c->v - 0.6) < 1e-12);
            if (c->v == -50) assert_int_equal(k, (int)(5003.0 / 10000 * cols));
        }
        assert_int_equal(spikes, 1);
        assert_true(fabs(raster_steps(&r) - 10000.0 / cols) < 1e-9);
    }
    value[5003] = NAN, value[5005] = 1e300;
    raster_resize(&r, 1, 10, 0, 9999);
    raster_fill(&r, 0, &s);
    assert_true(isnan(r.cell[5].v)); /* wins over all */
    assert_true(r.cell[4].v < 1 && r.cell[6].v < 1);
    raster_free(&r);
}

/* Tracked every 4 steps: no holes; a long silence is one, and so is what lies before the first and behind the last. */
static void values_stand_until_the_next(void **state) {
    static const int64_t step[] = { 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 120, 124 }; /* on average 116/11 apart */
    static const double value[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };
    pitot_series s = series(step, value, 12);
    raster r = { .cell = NULL };
    (void)state;
    assert_true(raster_resize(&r, 1, 140, 0, 139));
    raster_fill(&r, 0, &s);
    for (int k = 0; k < 140; k++) {
        const raster_cell *c = &r.cell[k];
        int wanted = k >= 8 && k < 48      ? (k - 8) / 4 + 1
                     : k >= 44 && k < 54   ? 10
                     : k >= 120 && k < 124 ? 11
                     : k >= 124 && k < 134 ? 12
                                           : 0;
        if (k == 54 || k == 134) continue; /* in part */
        assert_true(c->there == (wanted > 0) && c->v == wanted);
    }
    raster_free(&r);
}

/* Fewer steps than columns: each has its share of them. */
static void few_steps(void **state) {
    static const int64_t step[] = { 0, 1, 2 };
    static const double value[] = { 1, 2, 3 };
    pitot_series s = series(step, value, 3);
    raster r = { .cell = NULL };
    (void)state;
    assert_true(raster_resize(&r, 1, 60, 0, 2));
    raster_fill(&r, 0, &s);
    for (int k = 0; k < 60; k++) assert_true(r.cell[k].there && r.cell[k].v == k / 20 + 1);
    raster_free(&r);
}

/* A window: values outside of it leave no trace, but for the one that stands when it begins. */
static void a_window(void **state) {
    static int64_t step[100];
    static double value[100];
    raster r = { .cell = NULL };
    (void)state;
    for (int i = 0; i < 100; i++) step[i] = 10 * i, value[i] = i;
    pitot_series s = series(step, value, 100);
    assert_true(raster_resize(&r, 1, 50, 505, 554));
    raster_fill(&r, 0, &s);
    for (int k = 0; k < 50; k++) assert_true(r.cell[k].there && r.cell[k].v == (505 + k) / 10);
    raster_free(&r);
}

static void axes(void **state) {
    static const int64_t step[] = { 0, 1, 2, 3, 4 };
    static const double value[] = { 0, 0.01, -5, 100, INFINITY };
    pitot_series s = series(step, value, 5);
    raster r = { .cell = NULL };
    (void)state;
    assert_true(raster_resize(&r, 1, 5, 0, 4));
    axis a = raster_axis(&r, AXIS_LOG); /* nothing yet */
    assert_true(a.lo < a.hi);
    raster_fill(&r, 0, &s);
    a = raster_axis(&r, AXIS_LINEAR);
    assert_true(a.scale == AXIS_LINEAR && a.lo == -5 && a.hi == 100);
    a = raster_axis(&r, AXIS_LOG);
    assert_true(a.scale == AXIS_LOG && a.lo == 0.01 && a.hi == 100);
    a = raster_axis(&r, AXIS_SYMLOG);
    assert_true(a.scale == AXIS_SYMLOG && a.lo == -5 && a.hi == 100 && a.linear > 0);
    raster_free(&r);
}

/* ---- the page ---- */

enum { ODD = 77 };

/* As many tensors as are wanted: tensor k has the value k + 1.25, but ODD is not a number. */
static void many_tensors(int n) {
    static line_text l;
    pages_write(EMPTY, sgd_manifest, 0);
    FILE *f = fopen(pages_path("events.jsonl"), "a");
    for (int i = 0; i < 3; i++) {
        line_add(&l, "{\"step\":%d,\"wall\":%d", i, 1000 + i);
        for (int k = 0; k < n; k++) {
            char name[32];
            snprintf(name, sizeof name, "grad_norm/t%03d", k);
            line_value(&l, name, k == ODD ? NAN : k + 1.25);
        }
        line_write(f, &l);
    }
    fclose(f);
    scene_open(&e);
}

static void what_is_selected_is_in_sight(void **state) {
    char name[128];
    (void)state;
    many_tensors(100);
    scene_body(&e, "layers", 14, 80);
    for (int k = 0; k < 110; k++) {
        int at = k < 99 ? k : 99;
        snprintf(name, sizeof name, "t%03d", at);
        const char *frame = scene_body(&e, "layers", 14, 80);
        const cell *c = scene_find(&e, name);
        if (!c || c->pen != PEN_CHOSEN) fail_msg("%s is not selected in\n%s", name, frame);
        assert_int_equal(c[20].code == 'x', at == ODD); /* its row in the map */
        if (at == ODD) snprintf(name, sizeof name, "t%03d  nan at step 2, tensor %d of 100", at, at + 1);
        else snprintf(name, sizeof name, "t%03d  %d.25 at step 2, tensor %d of 100", at, at + 1, at + 1);
        if (!strstr(frame, name)) fail_msg("%s is not in\n%s", name, frame);
        screen_key(&e.s, &e.all, TERM_DOWN);
    }
    screen_key(&e.s, &e.all, TERM_HOME);
    assert_non_null(strstr(scene_body(&e, "layers", 14, 80), "tensor 1 of 100"));
    assert_null(scene_find(&e, "t050"));
    screen_key(&e.s, &e.all, TERM_PAGE_DOWN);
    assert_null(strstr(scene_body(&e, "layers", 14, 80), "tensor 1 of 100"));
    screen_key(&e.s, &e.all, TERM_HOME);
    assert_non_null(strstr(scene_body(&e, "layers", 14, 80), "tensor 1 of 100"));
    event click = { .action = DO_CLICK, .row = 5, .col = 30 }; /* below the title */
    assert_int_equal(screen_act(&e.s, &e.all, &click), 1);
    assert_non_null(strstr(scene_body(&e, "layers", 14, 80), "tensor 5 of 100"));
    click.row = 13; /* not of the map */
    screen_act(&e.s, &e.all, &click);
    assert_non_null(strstr(scene_body(&e, "layers", 14, 80), "tensor 5 of 100"));
    screen_key(&e.s, &e.all, TERM_END);
    assert_non_null(strstr(scene_body(&e, "layers", 3, 80), "tensor 100 of 100"));
    scene_close(&e);
}

static const char *title(void) {
    static char line[1024];
    scene_body(&e, "layers", 20, 120);
    canvas_row(&e.s.canvas, 0, line);
    return line;
}

static void keys_choose(void **state) {
    (void)state;
    scene_make(&e, RICH);
    assert_true(!strncmp(title(), "grad_norm norm of the gradient", 30));
    screen_key(&e.s, &e.all, TERM_LEFT); /* there is none before */
    assert_true(!strncmp(title(), "grad_norm ", 10));
    screen_key(&e.s, &e.all, ']');
    assert_true(!strncmp(title(), "update_size ", 12));
    screen_key(&e.s, &e.all, TERM_RIGHT); /* what is one number only is not among them */
    assert_true(!strncmp(title(), "update_size ", 12));
    screen_key(&e.s, &e.all, '[');
    assert_true(!strncmp(title(), "grad_norm ", 10));
    static const char *const scales[] = { " log", " linear", " log", " symlog", " log" };
    for (int i = 0; i < 5; i++) {
        if (!strstr(scene_body(&e, "layers", 20, 120), scales[i])) fail_msg("%s is not in\n%s", scales[i], scene_text(&e));
        screen_key(&e.s, &e.all, 'y');
    }
    screen_key(&e.s, &e.all, ']');
    screen_open(&e.s, "layers");
    screen_key(&e.s, &e.all, TERM_ENTER);
    assert_string_equal(page_by_rank(e.s.page)->name, "plots");
    const plots *p = screen_own(&e.s, "plots");
    assert_int_equal(p->enlarged, 1);
    assert_string_equal(p->title, "update_size");
    scene_close(&e);
}

/* Rows in the net's order, the largest tensor lightest; what is not finite has its sign. */
static void colours(void **state) {
    (void)state;
    many_tensors(8);
    scene_body(&e, "layers", 14, 80);
    uint32_t before = 0;
    for (int k = 0; k < 8; k++) {
        uint32_t pen = e.s.canvas.cell[(1 + k) * 80 + 30].pen;
        assert_true(pen >= PEN_HEAT && pen < PEN_END && pen > before);
        before = pen;
    }
    assert_int_equal(before, PEN_HEAT + PEN_HEATS - 1);
    assert_int_equal(e.s.canvas.cell[80 + 30].pen, PEN_HEAT);
    scene_close(&e);
    scene_make(&e, DAMAGED);
    int signs[128] = { 0 };
    scene_body(&e, "layers", 14, 200);
    for (int i = 0; i < 14 * 200; i++)
        if (e.s.canvas.cell[i].pen == PEN_ALARM && e.s.canvas.cell[i].code < 128) signs[e.s.canvas.cell[i].code]++;
    assert_true(signs['x'] > 0 && signs['^'] > 0 && signs['v'] > 0);
    scene_close(&e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_of_it),
        cmocka_unit_test(frames),
        cmocka_unit_test(no_spike_is_lost),
        cmocka_unit_test(values_stand_until_the_next),
        cmocka_unit_test(few_steps),
        cmocka_unit_test(a_window),
        cmocka_unit_test(axes),
        cmocka_unit_test(what_is_selected_is_in_sight),
        cmocka_unit_test(keys_choose),
        cmocka_unit_test(colours),
    };
    return cmocka_run_group_tests(tests, pages_set_up, pages_tear_down);
}
