/* The page of spectra: the stability limit at its place, the line of time, the ends over the run; frames as they were. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pages.h"

#include "term/spectrum.h"

static scene e;

static void every_size_of_it(void **state) {
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) every_size("spectra", kind);
}

static void frames(void **state) {
    (void)state;
    scene_make(&e, RICH);
    is_golden(scene_body(&e, "spectra", 30, 100), "spectra_100x30.txt");
    is_golden(scene_body(&e, "spectra", 9, 40), "spectra_40x9.txt");
    screen_key(&e.s, &e.all, TERM_LEFT);
    screen_key(&e.s, &e.all, TERM_LEFT);
    e.s.canvas.ascii = 1;
    is_golden(scene_body(&e, "spectra", 21, 80), "spectra_80x21_ascii.txt");
    scene_close(&e);
}

/* ---- time ---- */

static void the_line_of_time(void **state) {
    static const int64_t step[] = { 100, 110, 150, 200 };
    canvas c = { .ascii = 1 };
    char line[256];
    (void)state;
    assert_int_equal(canvas_resize(&c, 1, 59), PITOT_OK);
    for (int at = 0; at < 4; at++) {
        canvas_clear(&c);
        spectrum_time(&c, (place){ 0, 0, 1, 59 }, step, 4, at);
        canvas_row(&c, 0, line);
        const char *here = strchr(line, 'O');
        if (!here || strlen(line) != 59) fail_msg("%s", line);
        assert_int_equal(here - line, 4 + (int)((double)(step[at] - 100) / 100 * 50 + 0.5));
        int marks = 0;
        for (const char *p = line; *p; p++) marks += *p == '+';
        assert_int_equal(marks, 3);
    }
    spectrum_time(&c, (place){ 0, 0, 1, 3 }, step, 4, 2); /* no room: nothing breaks */
    spectrum_time(&c, (place){ 0, 0, 0, 59 }, step, 4, 2);
    spectrum_time(&c, (place){ 0, 0, 1, 59 }, step, 0, 0);
    canvas_free(&c);
}

/* ---- the limit ---- */

static int column_of(uint32_t code) {
    for (int i = 0; i < e.s.canvas.rows * e.s.canvas.cols; i++)
        if (e.s.canvas.cell[i].code == code) return i % e.s.canvas.cols;
    return -1;
}

/* 10 + step/4 is the largest node, and the limit 2/lr = 200 lies right of it; of an optimizer that preconditions there is none. */
static void the_limit_is_marked(void **state) {
    (void)state;
    scene_make(&e, RICH);
    assert_non_null(strstr(scene_body(&e, "spectra", 24, 100), "2/lr = 200"));
    int limit = column_of(0x250a), last = -1;
    for (int col = 0; col < 100; col++)
        for (int row = 1; row < 12; row++) {
            uint32_t code = e.s.canvas.cell[row * 100 + col].code;
            if (code > 0x2800 && code < 0x2900) last = col;
        }
    assert_true(limit > last && last > 40);
    assert_int_equal(e.s.canvas.cell[3 * 100 + limit].pen, PEN_ALARM);
    scene_close(&e);
    pages_write(RICH, "{\"optimizer\":{\"name\":\"adam\"}}", STEPS);
    scene_open(&e);
    assert_null(strstr(scene_body(&e, "spectra", 24, 100), "lr ="));
    assert_int_equal(column_of(0x250a), -1);
    scene_close(&e);
}

static void the_ends_over_the_run(void **state) {
    (void)state;
    scene_make(&e, RICH);
    assert_non_null(strstr(scene_body(&e, "spectra", 24, 100), "largest 70  smallest -2.667")); /* 20 + 50, -1 - 50/30 */
    screen_key(&e.s, &e.all, TERM_HOME);
    assert_non_null(strstr(scene_body(&e, "spectra", 24, 100), "largest 20  smallest -1"));
    assert_null(strstr(scene_body(&e, "spectra", 16, 100), "ends of the spectrum")); /* the density first */
    scene_close(&e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_of_it),      cmocka_unit_test(frames),
        cmocka_unit_test(the_line_of_time),      cmocka_unit_test(the_limit_is_marked),
        cmocka_unit_test(the_ends_over_the_run),
    };
    return cmocka_run_group_tests(tests, pages_set_up, pages_tear_down);
}
