/* Where things stand on a terminal of any size: inside, never over each other, and nothing left out. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "term/layout.h"

static int is_inside(place outer, place p) {
    return p.rows >= 0 && p.cols >= 0 && p.row >= outer.row && p.col >= outer.col && p.row + p.rows <= outer.row + outer.rows &&
           p.col + p.cols <= outer.col + outer.cols;
}

/* Empty or inside. */
static int fits(place outer, place p) {
    return p.rows == 0 || p.cols == 0 || is_inside(outer, p);
}

static int overlap(place a, place b) {
    if (!a.rows || !a.cols || !b.rows || !b.cols) return 0;
    return a.row < b.row + b.rows && b.row < a.row + a.rows && a.col < b.col + b.cols && b.col < a.col + a.cols;
}

/* Rows of a grid do not meet if they are in order, and columns likewise: no need to compare every pair. */
static void check_panels(const grid *l) {
    for (int k = 0; k < l->per_page; k++) {
        place p = grid_place(l, k);
        assert_true(is_inside(l->area, p));
        if (l->area.rows > 0 && l->area.cols > 0) {
            assert_true(p.rows > 0 && p.cols > 0);
            if (k < 50) assert_int_equal(grid_at(l, p.row + p.rows - 1, p.col + p.cols - 1), k);
        }
        if (k % l->across) {
            place left = grid_place(l, k - 1);
            assert_true(left.row == p.row && left.rows == p.rows && left.col + left.cols <= p.col);
        }
        if (k >= l->across) {
            place above = grid_place(l, k - l->across);
            assert_true(above.col == p.col && above.row + above.rows <= p.row);
        }
    }
}

static void check_screen(int rows, int cols, int64_t panels, int keys) {
    place whole = { 0, 0, rows, cols };
    layout l = layout_screen(rows, cols, keys, (rows + panels) % 3 == 0);
    const place parts[] = { l.title, l.line, l.body, l.keys, l.pages };
    int total = 0;
    for (int i = 0; i < 5; i++) {
        assert_true(fits(whole, parts[i]));
        for (int k = 0; k < i; k++) assert_false(overlap(parts[i], parts[k]));
        total += parts[i].rows;
    }
    assert_int_equal(total, rows);
    grid g = grid_choose(l.body, panels);
    assert_true(g.down >= 1 && g.across >= 1 && g.per_page == g.down * g.across && g.pages >= 1);
    assert_true(g.pages * g.per_page >= panels);
    assert_true(g.pages == 1 || (g.pages - 1) * g.per_page < panels);
    check_panels(&g);
}

static void every_screen(void **state) {
    static const int64_t counts[] = { 0, 1, 2, 5, 17, 100 };
    (void)state;
    for (int rows = 1; rows <= 200; rows++)
        for (int cols = 1; cols <= 200; cols++)
            for (int i = 0; i < 6; i++) check_screen(rows, cols, counts[i], (rows + cols) % 2);
    check_screen(200, 500, 100000, 1);
    check_screen(1000, 1000, (int64_t)1 << 40, 1);
    check_screen(0, 0, 3, 1);
}

static void panels_use_the_space(void **state) {
    (void)state;
    grid g = grid_choose(layout_screen(24, 80, 1, 0).body, 4);
    assert_int_equal(g.pages, 1);
    assert_int_equal(g.down, 2);
    assert_int_equal(g.across, 2);
    assert_int_equal(grid_choose(layout_screen(24, 80, 1, 0).body, 1).per_page, 1);
    assert_int_equal(grid_choose(layout_screen(3, 8, 1, 0).body, 9).pages, 9);
    assert_int_equal(layout_screen(3, 8, 1, 0).keys.rows, 0);
    assert_int_equal(grid_choose(layout_screen(60, 200, 1, 0).body, 15).pages, 1);
}

static void every_plot(void **state) {
    (void)state;
    for (int rows = 0; rows <= 40; rows++)
        for (int cols = 0; cols <= 90; cols++)
            for (int width = 0; width <= 12; width++) {
                place area = { 3, 5, rows, cols };
                panel_layout l = layout_plot(area, width);
                const place parts[] = { l.title, l.plot, l.labels, l.line, l.steps };
                for (int i = 0; i < 5; i++) {
                    assert_true(fits(area, parts[i]));
                    for (int k = 0; k < i; k++) assert_false(overlap(parts[i], parts[k]));
                }
                assert_int_equal(l.title.rows, rows > 0);
                if (rows > 1 && cols > 0) assert_true(l.plot.rows > 0 && l.plot.cols > 0);
            }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_screen),
        cmocka_unit_test(panels_use_the_space),
        cmocka_unit_test(every_plot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
