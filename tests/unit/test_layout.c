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
static void check_panels(const layout *l) {
    for (int k = 0; k < l->per_page; k++) {
        place p = layout_panel(l, k);
        assert_true(is_inside(l->body, p));
        if (l->body.rows > 0 && l->body.cols > 0) assert_true(p.rows > 0 && p.cols > 0);
        if (k % l->across) {
            place left = layout_panel(l, k - 1);
            assert_true(left.row == p.row && left.rows == p.rows && left.col + left.cols <= p.col);
        }
        if (k >= l->across) {
            place above = layout_panel(l, k - l->across);
            assert_true(above.col == p.col && above.row + above.rows <= p.row);
        }
    }
}

static void check_screen(int rows, int cols, int64_t panels, int keys) {
    place whole = { 0, 0, rows, cols };
    layout l = layout_screen(rows, cols, panels, keys);
    assert_true(fits(whole, l.title) && fits(whole, l.body) && fits(whole, l.keys));
    assert_false(overlap(l.title, l.body) || overlap(l.body, l.keys) || overlap(l.title, l.keys));
    assert_int_equal(l.title.rows + l.body.rows + l.keys.rows, rows);
    assert_true(l.down >= 1 && l.across >= 1 && l.per_page == l.down * l.across && l.pages >= 1);
    assert_true(l.pages * l.per_page >= panels);
    assert_true(l.pages == 1 || (l.pages - 1) * l.per_page < panels);
    check_panels(&l);
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
    layout l = layout_screen(24, 80, 4, 1);
    assert_int_equal(l.pages, 1);
    assert_int_equal(l.down, 2);
    assert_int_equal(l.across, 2);
    l = layout_screen(24, 80, 1, 1);
    assert_int_equal(l.per_page, 1);
    l = layout_screen(3, 8, 9, 1);
    assert_int_equal(l.pages, 9);
    assert_int_equal(l.keys.rows, 0);
    l = layout_screen(60, 200, 15, 1);
    assert_int_equal(l.pages, 1);
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
