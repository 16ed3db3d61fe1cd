/* Cells and dots, without a terminal: text that fits, lines that lose no spike, and screens of every size. */

#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>
#include <unistd.h>
#include <zlib.h>

#include "term/page.h"
#include "term/term.h"
#include "term/keys.h"

static canvas make(int rows, int cols, int ascii) {
    canvas c = { .ascii = ascii };
    assert_int_equal(canvas_resize(&c, rows, cols), PITOT_OK);
    return c;
}

static const char *row_of(const canvas *c, int row) {
    static char line[4096];
    canvas_row(c, row, line);
    return line;
}

/* ---- text ------------------------------------------------------------------------------------------------------------ */

static void text_fits(void **state) {
    (void)state;
    canvas c = make(2, 10, 0);
    assert_int_equal(canvas_text(&c, 0, 2, 8, "loss", PEN_TEXT), 4);
    assert_string_equal(row_of(&c, 0), "  loss");
    assert_int_equal(canvas_text(&c, 1, 0, 6, "grad_norm", PEN_TEXT), 6);
    assert_string_equal(row_of(&c, 1), "grad_\u2026");
    canvas_clear(&c);
    assert_int_equal(canvas_text_right(&c, 0, 10, 5, "0.5", PEN_TEXT), 7);
    assert_string_equal(row_of(&c, 0), "       0.5");
    assert_int_equal(canvas_text(&c, 1, 0, 0, "x", PEN_TEXT), 0);
    assert_int_equal(canvas_text(&c, 1, 8, 5, "outside", PEN_TEXT), 5);
    assert_string_equal(row_of(&c, 1), "        ou");
    c.ascii = 1;
    canvas_text(&c, 1, 0, 6, "grad_norm", PEN_TEXT);
    assert_string_equal(row_of(&c, 1), "grad_~  ou");
    canvas_free(&c);
}

static void strange_text_is_tamed(void **state) {
    (void)state;
    canvas c = make(1, 20, 1);
    canvas_text(&c, 0, 0, 20, "a\n\x1b[31m\xff\xc3!\xe2\x82", PEN_TEXT);
    assert_string_equal(row_of(&c, 0), "a??[31m??"
                                       "!??");
    canvas_free(&c);
    if (!setlocale(LC_CTYPE, "C.UTF-8")) skip();
    c = make(1, 8, 0);
    assert_int_equal(canvas_text(&c, 0, 0, 8, "\u4e2d\u6587x", PEN_TEXT), 5);
    assert_string_equal(row_of(&c, 0), "\u4e2d\u6587x");
    canvas_put(&c, 0, 1, 'y', PEN_TEXT); /* half of a wide character takes the other half with it */
    assert_string_equal(row_of(&c, 0), " y\u6587x");
    canvas_put(&c, 0, 2, 'z', PEN_TEXT);
    assert_string_equal(row_of(&c, 0), " yz x");
    canvas_clear(&c);
    canvas_text(&c, 0, 0, 4, "\u4e2d\u6587x", PEN_TEXT);
    assert_string_equal(row_of(&c, 0), "\u4e2d\u2026");
    canvas_clear(&c);
    assert_int_equal(canvas_text(&c, 0, 0, 8, "e\u0301", PEN_TEXT), 1);
    canvas_free(&c);
    setlocale(LC_CTYPE, "C");
}

static void sizes_change(void **state) {
    (void)state;
    canvas c = { 0 };
    for (int i = 0; i < 50; i++) {
        assert_int_equal(canvas_resize(&c, i * 37 % 60, i * 53 % 90), PITOT_OK);
        for (int row = -1; row <= c.rows; row++)
            for (int col = -1; col <= c.cols; col++) canvas_put(&c, row, col, 'x', PEN_TEXT);
        if (c.rows) assert_int_equal((int)strlen(row_of(&c, c.rows - 1)), c.cols);
    }
    canvas_free(&c);
}

/* ---- bins ------------------------------------------------------------------------------------------------------------ */

enum { MANY = 10000 };
static int64_t steps[MANY];
static double walls[MANY], values[MANY];

static pitot_series series(int64_t n) {
    return (pitot_series){ "v", n, steps, walls, values };
}

static void bins_keep_extremes(void **state) {
    (void)state;
    bin bins[64];
    for (int i = 0; i < MANY; i++) steps[i] = i, values[i] = 1;
    values[7777] = 1e6;
    values[1234] = -3;
    values[5000] = NAN;
    values[5001] = INFINITY;
    values[9999] = -INFINITY;
    pitot_series s = series(MANY);
    bins_fill(bins, 64, 0, MANY - 1, &s);
    int64_t n = 0;
    double hi = 0, lo = 0;
    int odd = 0;
    for (int i = 0; i < 64; i++) {
        n += bins[i].n;
        hi = fmax(hi, bins[i].max);
        lo = fmin(lo, bins[i].min);
        odd |= bins[i].odd;
    }
    assert_int_equal(n, MANY - 3);
    assert_true(hi == 1e6 && lo == -3);
    assert_int_equal(odd, BIN_NAN | BIN_INF | BIN_MINUS_INF);
    assert_int_equal(bins[63].odd, BIN_MINUS_INF);
    bins_fill(bins, 64, 100, 163, &s); /* a part */
    for (int i = 0; i < 64; i++) assert_int_equal(bins[i].n, 1);
    bins_fill(bins, 1, 5, 5, &s);
    assert_int_equal(bins[0].n, 1);
    bins_fill(bins, 64, 20000, 30000, &s);
    for (int i = 0; i < 64; i++) assert_int_equal(bins[i].n, 0);
}

static void smoothing_does_not_lag(void **state) {
    (void)state;
    bin bins[100];
    for (int i = 0; i < 100; i++) steps[i] = i, values[i] = i;
    pitot_series s = series(100);
    bins_fill(bins, 100, 0, 99, &s);
    assert_false(bins_are_noisy(bins, 100));
    bins_smooth(bins, 100, 0.8);
    for (int i = 30; i < 70; i++) assert_true(fabs(bins[i].last - i) < 0.1);
    for (int i = 0; i < 100; i++) values[i] = i % 2 ? 1 : -1;
    bins_fill(bins, 100, 0, 99, &s);
    assert_true(bins_are_noisy(bins, 100));
    bins_smooth(bins, 100, 0.9);
    for (int i = 30; i < 70; i++) assert_true(fabs(bins[i].last) < 0.1);
}

/* ---- lines ----------------------------------------------------------------------------------------------------------- */

static void draw(canvas *c, place area, double lo, double hi, int64_t n) {
    bin *bins = calloc((size_t)(2 * area.cols) + 1, sizeof *bins);
    axis y = { AXIS_LINEAR, lo, hi, 0 };
    pitot_series s = series(n);
    bins_fill(bins, 2 * area.cols, (double)steps[0], (double)steps[n - 1], &s);
    canvas_line(c, area, &y, bins, PEN_MAIN);
    canvas_marks(c, area, bins, PEN_ALARM);
    free(bins);
}

static uint32_t code_at(const canvas *c, int row, int col) {
    return c->cell[row * c->cols + col].code;
}

static void spikes_are_drawn(void **state) {
    (void)state;
    canvas c = make(10, 40, 0);
    place whole = { 0, 0, 10, 40 };
    for (int i = 0; i < MANY; i++) steps[i] = i, values[i] = 0;
    values[5123] = 1;
    draw(&c, whole, 0, 1, MANY);
    int spike = 5123 * 79 / (MANY - 1) / 2;
    for (int row = 0; row < 10; row++)
        for (int col = 0; col < 40; col++) assert_true((code_at(&c, row, col) != ' ') == (row == 9 || col == spike));
    canvas_free(&c);
}

static void lines_join_and_break(void **state) {
    (void)state;
    canvas c = make(4, 12, 0);
    place whole = { 0, 0, 4, 12 };
    for (int i = 0; i < 3; i++) steps[i] = 10 * i;
    values[0] = 0, values[1] = 1, values[2] = 0;
    draw(&c, whole, 0, 1, 3);
    for (int col = 0; col < 12; col++) { /* two values are enough for every column between */
        int seen = 0;
        for (int row = 0; row < 4; row++) seen += code_at(&c, row, col) != ' ';
        assert_true(seen >= 1);
    }
    canvas_clear(&c);
    values[1] = NAN;
    draw(&c, whole, 0, 1, 3);
    assert_int_equal(code_at(&c, 0, 6), 'x');
    assert_int_equal(code_at(&c, 3, 3), ' ');
    canvas_clear(&c);
    values[1] = INFINITY, values[2] = -INFINITY;
    draw(&c, whole, 0, 1, 3);
    assert_int_equal(code_at(&c, 0, 6), '^');
    assert_int_equal(code_at(&c, 3, 11), 'v');
    canvas_free(&c);
}

static void nothing_leaves_the_area(void **state) {
    (void)state;
    srand(3);
    for (int round = 0; round < 400; round++) {
        canvas c = make(12, 30, round % 2);
        place area = { rand() % 12, rand() % 30, 0, 0 };
        area.rows = rand() % (13 - area.row);
        area.cols = rand() % (31 - area.col);
        for (int i = 0; i < 200; i++) {
            steps[i] = i * (1 + round % 7);
            values[i] = rand() % 9 ? (rand() % 2001 - 1000) / 100.0 * pow(10, rand() % 5) : rand() % 2 ? NAN : -INFINITY;
        }
        draw(&c, area, -1, 1 + rand() % 50, 200);
        for (int row = 0; row < 12; row++)
            for (int col = 0; col < 30; col++) {
                int in = row >= area.row && row < area.row + area.rows && col >= area.col && col < area.col + area.cols;
                if (!in) assert_int_equal(code_at(&c, row, col), ' ');
                if (c.ascii) assert_true(canvas_glyph(&c, row, col) < 0x7f);
            }
        canvas_free(&c);
    }
}

static void values_that_a_log_axis_lacks_lie_at_the_bottom(void **state) {
    (void)state;
    canvas c = make(5, 3, 0);
    bin bins[6];
    axis y = { AXIS_LOG, 0.1, 10, 0 };
    for (int i = 0; i < 6; i++) steps[i] = i, values[i] = i < 3 ? 10 : -5;
    pitot_series s = series(6);
    bins_fill(bins, 6, 0, 5, &s);
    canvas_line(&c, (place){ 0, 0, 5, 3 }, &y, bins, PEN_MAIN);
    assert_int_not_equal(code_at(&c, 0, 0), ' ');
    assert_int_not_equal(code_at(&c, 4, 2), ' ');
    canvas_free(&c);
}

static void ascii_twins(void **state) {
    (void)state;
    canvas c = make(1, 8, 1);
    static const uint32_t codes[] = { 0x2800, 0x2801, 0x2840, 0x28ff, 0x2502, 0x2524, 0x4e2d, 'a' };
    for (int i = 0; i < 8; i++) canvas_put(&c, 0, i, codes[i], PEN_TEXT);
    assert_string_equal(row_of(&c, 0), " '.||+?a");
    canvas_free(&c);
}

static void block_twins(void **state) {
    (void)state;
    canvas c = make(1, 9, 0);
    c.lines = LINES_BLOCKS;
    static const uint32_t codes[] = { 0x2801, 0x2802, 0x2808, 0x2804, 0x2880, 0x28ff, 0x28c0, 0x2502, 'a' };
    for (int i = 0; i < 9; i++) canvas_put(&c, 0, i, codes[i], PEN_TEXT);
    assert_string_equal(row_of(&c, 0), "\u2598\u2598\u259d\u2596\u2597\u2588\u2584\u2502a");
    c.lines = LINES_ASCII;
    assert_string_equal(row_of(&c, 0), "'-'-.|.|a");
    canvas_put(&c, 0, 0, 0x4e2d, PEN_TEXT);
    assert_int_equal(canvas_glyph(&c, 0, 0), 0x4e2d); /* text stays */
    canvas_free(&c);
}

static void joins_come_from_outside(void **state) {
    (void)state;
    canvas c = make(6, 20, 0);
    place area = { 1, 5, 4, 10 };
    axis y = { AXIS_LINEAR, 0, 1, 0 };
    canvas_join(&c, area, &y, -1e9, 0, 1e9, 1, PEN_MAIN); /* halfway up, all along */
    for (int row = 0; row < 6; row++)
        for (int col = 0; col < 20; col++)
            assert_int_equal(code_at(&c, row, col) != ' ',
                             (row == 2 || row == 3) && code_at(&c, row, col) != ' ' && col >= 5 && col < 15);
    for (int col = 5; col < 15; col++) assert_true(code_at(&c, 2, col) != ' ' || code_at(&c, 3, col) != ' ');
    canvas_clear(&c);
    canvas_join(&c, area, &y, 10, 0, 30, 1, PEN_MAIN); /* from the middle: as high as a line to there is at the edge */
    assert_int_equal(code_at(&c, 1, 14), ' ');
    assert_int_not_equal(code_at(&c, 4, 10), ' ');
    assert_int_not_equal(code_at(&c, 3, 14), ' ');
    assert_int_equal(code_at(&c, 4, 9), ' ');
    canvas_clear(&c);
    canvas_join(&c, area, &y, 20, 0, 30, 1, PEN_MAIN);
    canvas_join(&c, area, &y, -9, 0, -1, 1, PEN_MAIN);
    canvas_join(&c, area, &y, 5, 0, 5, 1, PEN_MAIN);
    canvas_join(&c, area, &y, NAN, 0, 5, 1, PEN_MAIN);
    for (int row = 0; row < 6; row++) assert_string_equal(row_of(&c, row), "");
    canvas_free(&c);
}

/* ---- whole screens --------------------------------------------------------------------------------------------------- */

static void put_line(FILE *f, const char *body) {
    fprintf(f, "%s,\"crc\":\"%08lx\"}\n", body, crc32(crc32(0, NULL, 0), (const unsigned char *)body, (unsigned)strlen(body)));
}

/* A log with a bit of everything: NaN, infinity, tensors, a strange name, a constant, a single value, enormous numbers. */
static pitot_log *make_log(char *path) {
    char body[1024];
    FILE *f = fdopen(mkstemp(path), "w");
    assert_non_null(f);
    put_line(f, "{\"pitot\":\"0.1.0\",\"segment\":0,\"step\":0,\"steps\":9000,\"wall\":1000");
    for (int i = 0; i < 300; i++) {
        const char *loss = i % 50 == 7 ? "null,\"loss#nf\":\"nan\"" : "0.5";
        int n = snprintf(body, sizeof body, "{\"step\":%d,\"wall\":%d,\"loss\":%s,\"constant\":1,\"huge\":%de300", 3 * i, 1000 + i,
                         loss, i % 100 - 50);
        for (int k = 0; k < 30 && n < 900; k++)
            n += snprintf(body + n, sizeof body - (size_t)n, ",\"loss/%d\":%d", k, (i * k) % 97 - 3);
        put_line(f, body);
    }
    put_line(f, "{\"step\":5,\"\\u001b[31m\\u4e2d\\n\\ud83d\\ude00 a very long name that goes on and on and on\":-0.001");
    put_line(f, "{\"step\":5,\"inf\":null,\"inf#nf\":\"inf\"");
    fclose(f);
    pitot_log *log = pitot_log_open(path, NULL);
    assert_int_equal(pitot_log_poll(log, 0, NULL), 1);
    return log;
}

static void check_screen(screen *s, const shown *all, int rows, int cols) {
    assert_int_equal(screen_draw(s, all, rows, cols), PITOT_OK);
    assert_int_equal(s->canvas.rows, rows);
    for (int row = 0; row < rows; row++)
        for (int col = 0; col < cols; col++) {
            uint32_t code = canvas_glyph(&s->canvas, row, col);
            assert_true(code == 0 || code >= ' ');
            assert_true(s->canvas.cell[row * cols + col].pen < PEN_END);
        }
}

/* A key of some table, or any other. */
static int any_key(const screen *s) {
    static const int others[] = { 'p', 'd', 'a', 'c', 'L', 'r', '3', '9', TERM_RESIZE, 'x', 0x4e2d, TERM_ENTER, TERM_BACKSPACE };
    const page *p = page_by_rank(s->page);
    const key *table = rand() % 2 ? key_table : p->windowed && rand() % 2 ? window_keys : p->keys;
    int n = 0;
    while (table && table[n].action != DO_NOTHING) n++;
    return n && rand() % 4 ? table[rand() % n].codes[0] : others[rand() % 13];
}

static void screens_of_every_size(void **state) {
    (void)state;
    char path[] = "/tmp/pitot-canvas-XXXXXX";
    pitot_log *log = make_log(path);
    panel_list panels;
    screen s = { .still = 0 };
    assert_int_equal(panel_list_make(log, &panels), PITOT_OK);
    alarm_list alarms = { 0 };
    assert_int_equal(alarm_list_make(log, &panels, &alarms), PITOT_OK);
    shown_run two[] = { { .name = "a\x1b[0mrun", .log = log, .panels = &panels, .alarms = &alarms, .trouble = "", .pen = PEN_RUN },
                        { .name = "b", .log = log, .panels = &panels, .trouble = "", .pen = PEN_RUN + 1 } };
    shown all = { .run = two, .runs = 2, .now = 1400 };
    srand(11);
    for (int rows = 1; rows <= 100; rows++)
        for (int cols = 1; cols <= 200; cols++) {
            s.still = rand() % 8 == 0;
            s.canvas.ascii = rand() % 2;
            two[0].file_size = rand() % 3 ? 0 : 1 << 30;
            two[0].trouble = rand() % 9 ? "" : "events.jsonl: cannot be read";
            check_screen(&s, &all, rows, cols);
            screen_key(&s, &all, any_key(&s));
            screen_draw_title(&s, &all);
        }
    check_screen(&s, &all, 200, 500);
    screen_free(&s);
    alarm_list_free(&alarms);
    panel_list_free(&panels);
    pitot_log_close(log);
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_fits),
        cmocka_unit_test(strange_text_is_tamed),
        cmocka_unit_test(sizes_change),
        cmocka_unit_test(bins_keep_extremes),
        cmocka_unit_test(smoothing_does_not_lag),
        cmocka_unit_test(spikes_are_drawn),
        cmocka_unit_test(lines_join_and_break),
        cmocka_unit_test(nothing_leaves_the_area),
        cmocka_unit_test(values_that_a_log_axis_lacks_lie_at_the_bottom),
        cmocka_unit_test(ascii_twins),
        cmocka_unit_test(block_twins),
        cmocka_unit_test(joins_come_from_outside),
        cmocka_unit_test(screens_of_every_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
