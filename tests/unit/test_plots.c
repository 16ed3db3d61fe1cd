/* The page of plots with several runs: the union of their panels, values at the cursor, filters and search, lines that reach the edges. */

#include "shown_runs.h"

static shown_runs r;

static int close_all(void **state) {
    (void)state;
    shown_close(&r);
    return 0;
}

static void first_run(char *body, size_t size, int i) {
    shown_value(body, size, "loss", 1 + i / 100.0);
    shown_value(body, size, "alpha", sin(i * 78.233));
    shown_value(body, size, "zeta", i % 7);
    if (i % 10 == 0) shown_value(body, size, "sharpness", i / 10);
    for (int k = 0; k < 3; k++) shown_add(body, size, ",\"loss/%d.weight\":%d", k, k);
}

static void second_run(char *body, size_t size, int i) {
    shown_value(body, size, "loss", i == 30 ? NAN : 5 - i / 100.0);
    shown_value(body, size, "grad_norm", 3 + i);
    shown_value(body, size, "mine", -i);
    shown_value(body, size, "zeta", i == 50 ? INFINITY : 1);
}

static void two_runs(void) {
    shown_open(&r, "first", 100, 1, 1000, first_run, NULL);
    shown_open(&r, "second", 81, 2, 1010, second_run, NULL);
}

static plots *own(void) {
    return screen_own(&r.screen, "plots");
}

static const char *title(int64_t k) {
    const panel *p = board_any(&own()->board, &r.all, k);
    return p ? p->title : "";
}

static const char *titles(void) {
    static char text[512];
    text[0] = 0;
    for (int64_t k = 0; k < own()->board.n; k++) shown_add(text, sizeof text, "%s%s", k ? " " : "", title(k));
    return text;
}

/* ---- panels ---- */

static void panels_of_all_runs(void **state) {
    (void)state;
    two_runs();
    shown_draw(&r, 40, 160);
    assert_string_equal(titles(), "loss grad_norm alpha sharpness mine zeta");
    const board *b = &own()->board;
    for (int64_t k = 0; k < b->n; k++)
        for (int run = 0; run < 2; run++) {
            const panel *p = board_panel(b, &r.all, k, run);
            int has = strstr(run ? "loss grad_norm mine zeta" : "loss alpha sharpness zeta", title(k)) != NULL;
            assert_int_equal(p != NULL, has);
            if (p) assert_string_equal(p->title, title(k));
        }
    assert_int_equal(board_run(b, &r.all, 0), 0);
    assert_int_equal(board_run(b, &r.all, 1), 1);
    r.all.at = 1;
    assert_int_equal(board_run(b, &r.all, 0), 1);
    r.run[1].hidden = 1;
    shown_draw(&r, 40, 160);
    assert_string_equal(titles(), "loss alpha sharpness zeta");
    r.run[0].hidden = 1;
    shown_draw(&r, 40, 160);
    assert_string_equal(titles(), "");
    assert_true(shown_has(&r, "all runs are hidden"));
    r.run[1].pinned = 1;
    shown_draw(&r, 40, 160);
    assert_string_equal(titles(), "loss grad_norm mine zeta");
}

static void twins(char *body, size_t size, int i) {
    char name[120];
    for (int k = 0; k < 3; k++) { /* titles are cut: they are the same */
        snprintf(name, sizeof name, "%080d%d", 0, k);
        shown_value(body, size, name, i + k);
    }
}

static void panels_of_one_title(void **state) {
    (void)state;
    shown_open(&r, "a", 5, 1, 1000, twins, NULL);
    shown_open(&r, "b", 5, 1, 1000, twins, NULL);
    shown_draw(&r, 40, 160);
    assert_int_equal(own()->board.n, 3);
    for (int64_t k = 0; k < 3; k++)
        assert_true(board_panel(&own()->board, &r.all, k, 0) && board_panel(&own()->board, &r.all, k, 1));
    shown_type(&r, "l");
    shown_draw(&r, 40, 160);
    assert_int_equal(own()->selected, 1);
}

static void the_selected_panel_stays_itself(void **state) {
    (void)state;
    two_runs();
    shown_draw(&r, 40, 160);
    shown_type(&r, "G");
    shown_draw(&r, 40, 160);
    assert_string_equal(title(own()->selected), "zeta");
    r.run[1].hidden = 1; /* fewer before it */
    shown_draw(&r, 40, 160);
    assert_string_equal(title(own()->selected), "zeta");
    assert_int_equal(own()->selected, 3);
    plots_open(&r.screen, "sharpness");
    shown_draw(&r, 40, 160);
    assert_string_equal(title(own()->selected), "sharpness");
    assert_int_equal(own()->enlarged, 1);
}

/* ---- values ---- */

static void the_cursor_reads_values(void **state) {
    (void)state;
    two_runs();
    shown_draw(&r, 40, 200);
    assert_true(shown_has(&r, "  1.99  4.2")); /* the latest of both */
    shown_type(&r, ":");
    shown_type(&r, "37\r");
    shown_draw(&r, 40, 200);
    assert_true(shown_has(&r, "step 37"));
    assert_true(shown_has(&r, "  1.37  4.82")); /* the second's at step 36 */
    assert_true(shown_has(&r, "  2  1"));
    int seen = 0;
    for (int row = 0; row < 40; row++) {
        const char *at = strstr(shown_row(&r, row), "sharpness");
        if (at) seen += strstr(at, "  3 ") != NULL || strcmp(at + strlen(at) - 3, "  3") == 0; /* tracked at step 30 */
    }
    assert_int_equal(seen, 1);
    shown_type(&r, ":");
    shown_type(&r, "60\r");
    shown_draw(&r, 40, 200);
    assert_true(shown_has(&r, "  1.6  nan"));
    r.run[1].hidden = 1;
    shown_draw(&r, 40, 200);
    assert_true(shown_has(&r, "  1.6"));
    assert_false(shown_has(&r, "nan"));
    r.run[1].hidden = 0;
    shown_type(&r, "xG"); /* no epochs */
    shown_type(&r, "\r");
    shown_draw(&r, 40, 200);
    assert_int_equal(r.screen.window.by, BY_SECONDS);
    assert_true(shown_has(&r, "second "));
    assert_true(shown_has(&r, "15 s")); /* where step 60 of the run at hand is */
}

/* Four runs in a narrow panel: the run at hand's value is there, and in its colour. */
static void values_that_have_no_room(void **state) {
    (void)state;
    for (int k = 0; k < 4; k++) shown_open(&r, "a", 20 + k, 1, 1000, first_run, NULL);
    for (r.all.at = 0; r.all.at < 4; r.all.at++) {
        static const char *const last[] = { "1.19", "1.2", "1.21", "1.22" };
        shown_draw(&r, 12, 26);
        const char *row = shown_row(&r, 1);
        assert_string_equal(row + strlen(row) - strlen(last[r.all.at]), last[r.all.at]);
        assert_non_null(strstr(row, "\u2026"));
        assert_int_equal(r.screen.canvas.cell[26 + 25].pen, PEN_RUN + r.all.at);
    }
    r.all.at = 1;
    shown_draw(&r, 12, 60);
    assert_true(shown_has(&r, "1.19  1.2  1.21  1.22"));
}

static void before_the_first_value(void **state) {
    (void)state;
    two_runs();
    r.screen.window.by = BY_WALL;
    shown_draw(&r, 40, 200);
    window_go(&r.screen.window, 1005);
    shown_draw(&r, 40, 200);
    assert_true(shown_has(&r, "  1.2  -"));
}

static void the_maximum(void **state) {
    (void)state;
    two_runs();
    shown_draw(&r, 40, 200);
    shown_type(&r, "m");
    assert_true(r.screen.window.at == 0); /* the second's loss is 5 there */
    shown_type(&r, "Gm");                 /* not infinity, of the second at 100: 6, of the first */
    assert_true(r.screen.window.at == 6);
}

/* ---- colours and lines ---- */

static int cells_of(int pen) {
    int n = 0;
    const canvas *c = &r.screen.canvas;
    for (int64_t i = 0; i < (int64_t)c->rows * c->cols; i++) n += c->cell[i].pen == (uint32_t)pen && c->cell[i].code >= 0x2800;
    return n;
}

static void lines_have_their_runs_colour(void **state) {
    (void)state;
    two_runs();
    shown_type(&r, "s\r"); /* nothing smoothed */
    shown_draw(&r, 40, 160);
    int both[2] = { cells_of(PEN_RUN), cells_of(PEN_RUN + 1) };
    assert_true(both[0] > 20 && both[1] > 20);
    assert_true(shown_has(&r, "first ") && shown_has(&r, "second ") && shown_has(&r, "2.weight"));
    assert_true(cells_of(PEN_TENSOR) > 20);
    r.all.at = 1; /* has no tensors */
    shown_draw(&r, 40, 160);
    assert_int_equal(cells_of(PEN_TENSOR), 0);
    r.run[0].hidden = 1;
    shown_draw(&r, 40, 160);
    assert_int_equal(cells_of(PEN_RUN), 0);
    assert_true(cells_of(PEN_RUN + 1) > 20); /* its colour is still its own */
    r.run[0].hidden = 0;
    shown_type(&r, "sss");
    shown_draw(&r, 40, 160);
    assert_true(cells_of(PEN_PALE) > 5 && cells_of(PEN_PALE + 1) > 5 && cells_of(PEN_RUN) > 20);
    assert_int_equal(own()->smoothing, SMOOTH_MOST);
}

static void the_run_at_hand_lies_above(void **state) {
    (void)state;
    shown_open(&r, "a", 50, 1, 1000, second_run, NULL);
    shown_open(&r, "b", 50, 1, 1000, second_run, NULL);
    shown_open(&r, "c", 50, 1, 1000, second_run, NULL);
    shown_type(&r, "s");
    for (r.all.at = 0; r.all.at < 3; r.all.at++)
        for (int pinned = 0; pinned < 2; pinned++) {
            r.run[0].pinned = pinned;
            shown_draw(&r, 30, 100);
            for (int k = 0; k < 3; k++) assert_int_equal(cells_of(PEN_RUN + k) > 0, k == r.all.at);
        }
    r.all.at = 0;
    r.run[0].pinned = 0;
    r.run[1].pinned = 1;
    shown_draw(&r, 30, 100);
    filter_set(&r.screen.drawn, "c", (char[9]){ 0 }, 9); /* of what is left, the pinned one */
    shown_draw(&r, 30, 100);
    assert_true(cells_of(PEN_RUN) == 0 && cells_of(PEN_RUN + 1) > 0 && cells_of(PEN_RUN + 2) == 0);
}

static void marks_are_where_it_happened(void **state) {
    (void)state;
    two_runs();
    shown_type(&r, "s\r");
    shown_draw(&r, 20, 100);
    const canvas *c = &r.screen.canvas;
    int nan = 0;
    for (int i = 0; i < c->rows * c->cols; i++) nan += c->cell[i].code == 'x' && c->cell[i].pen == PEN_RUN + 1;
    assert_int_equal(nan, 1);
}

/* A part with few records in it: the line comes in at the left and goes out at the right. */
static void lines_reach_the_edges(void **state) {
    (void)state;
    shown_open(&r, "a", 40, 100, 1000, first_run, NULL);
    shown_type(&r, "s");
    shown_draw(&r, 30, 100);
    window *w = &r.screen.window;
    static const double parts[][2] = { { 1020, 1180 }, { 1010, 1090 }, { 955, 2045 }, { 0, 250 } };
    for (int i = 0; i < 4; i++) {
        w->part = 1;
        w->lo = parts[i][0];
        w->hi = parts[i][1];
        own()->enlarged = 1;
        shown_type(&r, "g");
        shown_draw(&r, 30, 100);
        const canvas *c = &r.screen.canvas;
        int first = c->cols, last = 0;
        for (int row = 0; row < c->rows; row++)
            for (int col = 0; col < c->cols; col++) {
                if (c->cell[row * c->cols + col].pen != PEN_MAIN || c->cell[row * c->cols + col].code < 0x2800) continue;
                first = col < first ? col : first;
                last = col > last ? col : last;
            }
        assert_int_equal(first, 8);
        assert_int_equal(last, 67); /* the legend is behind */
    }
}

static void axes_of_y(void **state) {
    (void)state;
    static const char *const names[] = { "symlog", "", "", "symlog",
                                         "asinh" }; /* alpha has no logarithm at some steps, but some at others */
    two_runs();
    shown_draw(&r, 30, 100);
    shown_type(&r, "falpha\r");
    for (int i = 0; i < 5; i++) {
        shown_draw(&r, 30, 100);
        if (*names[i]) assert_true(shown_has(&r, names[i]));
        assert_int_equal(own()->scale, i);
        shown_type(&r, "y");
    }
    assert_int_equal(own()->scale, 0);
    assert_string_equal(r.screen.note, "y axes: as proposed");
}

static void styles_of_lines(void **state) {
    (void)state;
    two_runs();
    shown_draw(&r, 30, 100);
    assert_true(shown_has(&r, "\u2500"));
    shown_type(&r, "v");
    shown_draw(&r, 30, 100);
    for (int row = 0; row < 30; row++)
        for (int col = 0; col < 100; col++) {
            uint32_t code = canvas_glyph(&r.screen.canvas, row, col);
            assert_true(code < 0x2800 || code > 0x28ff);
        }
    shown_type(&r, "v");
    shown_draw(&r, 30, 100);
    for (int row = 0; row < 30; row++)
        for (int col = 0; col < 100; col++) {
            uint32_t code = canvas_glyph(&r.screen.canvas, row, col);
            assert_true(code < 0x7f || code == 0x2026); /* text is as it was */
        }
    shown_type(&r, "v");
    assert_int_equal(r.screen.canvas.lines, LINES_BRAILLE);
    r.screen.canvas.ascii = 1;
    shown_type(&r, "v");
    assert_int_equal(r.screen.canvas.lines, LINES_BRAILLE);
    assert_non_null(strstr(r.screen.note, "this locale"));
}

/* ---- search and filters ---- */

static void search_goes_round(void **state) {
    (void)state;
    two_runs();
    shown_draw(&r, 40, 160);
    shown_type(&r, "/a\r");
    assert_string_equal(title(own()->selected), "grad_norm");
    static const char *const next[] = { "alpha", "sharpness", "zeta", "grad_norm" };
    for (int i = 0; i < 4; i++) {
        shown_type(&r, "/\r");
        assert_string_equal(title(own()->selected), next[i]);
    }
    shown_type(&r, "/^z.*a$\r");
    assert_string_equal(title(own()->selected), "zeta");
    shown_type(&r, "/(\r"); /* no expression, and no text of a title */
    assert_string_equal(title(own()->selected), "zeta");
    assert_string_equal(r.screen.note, "no panel matches (");
}

static void filters(void **state) {
    (void)state;
    two_runs();
    shown_draw(&r, 24, 110);
    shown_type(&r, "floss|a$\r");
    shown_draw(&r, 24, 110);
    assert_string_equal(titles(), "loss alpha zeta");
    assert_true(shown_has(&r, "f loss|a$"));
    shown_type(&r, "f[\r");
    shown_draw(&r, 24, 110);
    assert_string_equal(titles(), "loss alpha zeta");
    assert_true(shown_has(&r, "[: no regular expression"));
    shown_type(&r, "fnothing\r");
    shown_draw(&r, 24, 110);
    assert_true(shown_has(&r, "no panel matches"));
    shown_type(&r, "hljk 1m/a\r"); /* of no panel */
    shown_draw(&r, 24, 110);
    plots_open(&r.screen, "alpha"); /* what another page asks for is not filtered */
    shown_draw(&r, 24, 110);
    assert_string_equal(title(own()->selected), "alpha");
    shown_type(&r, "f\r");
    shown_type(&r, "Fsec\r");
    shown_draw(&r, 24, 110);
    assert_string_equal(titles(), "loss grad_norm mine zeta");
    assert_true(shown_has(&r, "F sec"));
    r.run[0].pinned = 1;
    shown_draw(&r, 24, 110);
    assert_int_equal(own()->board.n, 6);
    shown_type(&r, "F(\r");
    assert_non_null(strstr(r.screen.note, "no regular expression"));
    shown_type(&r, "F\r");
    r.run[0].pinned = 0;
    shown_draw(&r, 24, 110);
    assert_int_equal(own()->board.n, 6);
}

/* ---- the help ---- */

static void the_help_scrolls(void **state) {
    (void)state;
    two_runs();
    shown_draw(&r, 20, 100);
    shown_type(&r, "?");
    shown_draw(&r, 20, 100);
    assert_true(shown_has(&r, "the next smoothing") && shown_has(&r, "PgDn for more"));
    assert_false(shown_has(&r, "the terminal selects text"));
    for (int i = 0; i < 5; i++) {
        screen_key(&r.screen, &r.all, TERM_PAGE_DOWN);
        shown_draw(&r, 20, 100);
    }
    assert_true(shown_has(&r, "the terminal selects text")); /* the last line, at the bottom */
    assert_false(shown_has(&r, "PgDn for more"));
    assert_true(shown_has(&r, "draw the screen again"));
    shown_type(&r, "k");
    shown_draw(&r, 20, 100);
    assert_false(shown_has(&r, "the terminal selects text"));
    for (int i = 0; i < 99; i++) shown_type(&r, "k");
    shown_draw(&r, 20, 100);
    assert_true(shown_has(&r, "plots of everything"));
    shown_draw(&r, 60, 200); /* all of it at once */
    assert_true(shown_has(&r, "the terminal selects text") && shown_has(&r, "plots of everything"));
    shown_type(&r, "?");
    assert_int_equal(r.screen.help, 0);
}

/* ---- the mouse ---- */

static void mouse(int action, int row, int col) {
    screen_act(&r.screen, &r.all, &(event){ .action = action, .row = row, .col = col });
    shown_draw(&r, 40, 160);
}

static void clicks_and_wheel(void **state) {
    (void)state;
    two_runs();
    shown_draw(&r, 40, 160);
    window *w = &r.screen.window;
    grid g = own()->grid;
    place second = grid_place(&g, 1);
    mouse(DO_CLICK, second.row, second.col + 2); /* its title */
    assert_int_equal(own()->selected, 1);
    assert_int_equal(w->cursor, 0);
    mouse(DO_CLICK, second.row + 3, second.col + second.cols - 1); /* the right edge of its plot */
    assert_int_equal(w->cursor, 1);
    assert_true(w->at >= 158 && w->at <= 160);
    mouse(DO_DRAG, second.row + 3, second.col + 8); /* the left edge */
    assert_true(w->at >= 0 && w->at <= 2);
    mouse(DO_DRAG, second.row + 3, 0); /* outside of any plot: it stays */
    assert_true(w->at >= 0 && w->at <= 2);
    mouse(DO_WHEEL_UP, second.row + 3, second.col + 8);
    assert_true(w->x.lo < 2 && w->x.hi > 70 && w->x.hi < 140);
    mouse(DO_WHEEL_DOWN, second.row + 3, second.col + 8);
    assert_int_equal(w->part, 0);
    shown_type(&r, "\r");
    shown_draw(&r, 40, 160);
    mouse(DO_CLICK, 20, 100);
    assert_true(w->at > 60 && w->at < 140);
    assert_int_equal(own()->selected, 1);
}

/* ---- every size ---- */

static void odd_run(char *body, size_t size, int i) {
    static const double odd[] = { NAN, INFINITY, -INFINITY, 1e308, -1e308, 0, 4.9e-324, 1 };
    shown_value(body, size, "loss", odd[i % 8]);
    shown_value(body, size, "huge", i % 3 ? 1e308 : -1e308);
    shown_value(body, size, "\\u4e2d\\u6587", i);
    for (int k = 0; k < 12; k++) shown_add(body, size, ",\"loss/%d\":%d", k, k * i);
}

static int any_key(void) {
    const key *tables[] = { key_table, window_keys, page_by_rank(0)->keys };
    const key *table = tables[rand() % 3];
    int n = 0;
    while (table[n].action != DO_NOTHING) n++;
    if (rand() % 9 == 0) return "9(1a.*"[rand() % 6];
    int code = table[rand() % n].codes[0];
    return code == 'q' ? TERM_ENTER : code;
}

static void every_size_with_several_runs(void **state) {
    (void)state;
    shown_open(&r, "first", 100, 1, 1000, first_run, "{\"samples\":10,\"batch\":1}");
    shown_open(&r, "a name that is rather long, with \u4e2d in it", 60, 3, 1e9, odd_run, NULL);
    shown_open(&r, "empty", 0, 1, 1000, first_run, NULL);
    shown_open(&r, "second", 81, 2, -1e9, second_run, "{\"steps_per_epoch\":7}");
    srand(2);
    for (int rows = 1; rows <= 70; rows++)
        for (int cols = 1; cols <= 220; cols += 1 + rand() % (rows < 10 ? 3 : 23)) {
            r.screen.still = rand() % 8 == 0;
            r.screen.canvas.ascii = rand() % 4 == 0;
            r.all.at = rand() % 4;
            r.run[rand() % 4].hidden = rand() % 4 == 0;
            r.run[rand() % 4].pinned = rand() % 4 == 0;
            shown_draw(&r, rows, cols);
            for (int i = 0; i < rows * cols; i++) assert_true(r.screen.canvas.cell[i].pen < PEN_END);
            for (int i = 0; i < 3; i++) screen_key(&r.screen, &r.all, any_key());
            static const int mouse_actions[] = { DO_CLICK, DO_DRAG, DO_WHEEL_UP, DO_WHEEL_DOWN, DO_RELEASE };
            event e = { .action = mouse_actions[rand() % 5], .row = rand() % (rows + 2) - 1, .col = rand() % (cols + 2) - 1 };
            screen_act(&r.screen, &r.all, &e);
            if (r.screen.page) r.screen.page = 0;
        }
    shown_draw(&r, 200, 500);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(panels_of_all_runs, close_all),
        cmocka_unit_test_teardown(panels_of_one_title, close_all),
        cmocka_unit_test_teardown(the_selected_panel_stays_itself, close_all),
        cmocka_unit_test_teardown(the_cursor_reads_values, close_all),
        cmocka_unit_test_teardown(values_that_have_no_room, close_all),
        cmocka_unit_test_teardown(before_the_first_value, close_all),
        cmocka_unit_test_teardown(the_maximum, close_all),
        cmocka_unit_test_teardown(lines_have_their_runs_colour, close_all),
        cmocka_unit_test_teardown(the_run_at_hand_lies_above, close_all),
        cmocka_unit_test_teardown(marks_are_where_it_happened, close_all),
        cmocka_unit_test_teardown(lines_reach_the_edges, close_all),
        cmocka_unit_test_teardown(axes_of_y, close_all),
        cmocka_unit_test_teardown(styles_of_lines, close_all),
        cmocka_unit_test_teardown(search_goes_round, close_all),
        cmocka_unit_test_teardown(filters, close_all),
        cmocka_unit_test_teardown(the_help_scrolls, close_all),
        cmocka_unit_test_teardown(clicks_and_wheel, close_all),
        cmocka_unit_test_teardown(every_size_with_several_runs, close_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
