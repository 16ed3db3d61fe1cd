/* Whole frames against tests/golden/frames/NAME.txt. After a change that was meant: PITOT_RENEW_FRAMES=1 build/tests/test_frames writes
   them anew; look at what git then says has changed. */

#include "shown_runs.h"

#include <time.h>

enum { LINE = 4096 };

static shown_runs r;
static int64_t dice;

static double noise(void) { /* the same everywhere */
    dice = (dice * 16807) % 2147483647;
    return (double)(dice % 20001) / 10000 - 1;
}

/* Falls like 1 / i, with noise; a spike, and NaN where it is given up. */
static void slow(char *body, size_t size, int i) {
    shown_value(body, size, "loss", i == 150 ? 9 : 2.5 * 60 / (60 + i) + 0.1 * noise());
    shown_value(body, size, "grad_norm", 8.0 * 20 / (20 + i) * (1.2 + noise()));
    shown_value(body, size, "alpha", noise());
    if (i % 20 == 0) shown_value(body, size, "sharpness", 0.2 + i / 400.0);
    if (i % 50 == 0) shown_value(body, size, "val/loss", 2.4 * 50 / (50 + i));
    for (int k = 0; k < 4; k++) shown_add(body, size, ",\"grad_norm/%d.weight\":%.6g", k, (k + 1) * 4.0 * 20 / (20 + i));
}

static void fast(char *body, size_t size, int i) {
    shown_value(body, size, "loss", i > 230 && i < 240 ? NAN : i == 250 ? INFINITY : 2.5 * 20 / (20 + i) + 0.05 * noise());
    shown_value(body, size, "grad_norm", 2.0 * 20 / (20 + i) * (1.2 + noise()));
    if (i % 50 == 0) shown_value(body, size, "val/loss", 2.4 * 20 / (20 + i));
    shown_value(body, size, "lr", i < 200 ? 0.001 : 0.0001);
}

static int open_runs(void **state) {
    static const char manifest[] = "{\"samples\":5000,\"batch\":100,\"optimizer\":{\"name\":\"sgd\"}}";
    (void)state;
    dice = 42;
    shown_open(&r, "slow", 400, 1, 1795348800, slow, manifest);
    shown_open(&r, "fast", 300, 1, 1795348830, fast, manifest);
    r.all.now = 1795349000;
    r.screen.still = 1;
    return 0;
}

static int close_runs(void **state) {
    (void)state;
    shown_close(&r);
    return 0;
}

static void renew(const char *path) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int row = 0; row < r.screen.canvas.rows; row++) fprintf(f, "%s\n", shown_row(&r, row));
    assert_int_equal(fclose(f), 0);
}

static void compare(const char *path) {
    static char line[LINE];
    FILE *f = fopen(path, "r");
    if (!f) fail_msg("%s cannot be read", path);
    for (int row = 0; row < r.screen.canvas.rows; row++) {
        const char *now = shown_row(&r, row);
        if (!fgets(line, sizeof line, f)) snprintf(line, sizeof line, "(no such row)");
        line[strcspn(line, "\n")] = 0;
        if (strcmp(line, now) != 0) fail_msg("%s, row %d\n  was: %s\n  is:  %s", path, row + 1, line, now);
    }
    if (fgets(line, sizeof line, f)) fail_msg("%s has more rows", path);
    fclose(f);
}

static void frame(const char *name, int rows, int cols, const char *keys) {
    char path[128];
    snprintf(path, sizeof path, "tests/golden/frames/%s.txt", name);
    shown_draw(&r, rows, cols);
    shown_type(&r, keys);
    shown_draw(&r, rows, cols);
    if (getenv("PITOT_RENEW_FRAMES")) renew(path);
    else compare(path);
}

static void grid_of_two_runs(void **state) {
    (void)state;
    frame("plots_grid", 30, 100, "");
}

static void one_with_a_cursor(void **state) {
    (void)state;
    frame("plots_cursor", 26, 100, "/grad\r\r:120\r");
}

static void a_part_averaged(void **state) {
    (void)state;
    frame("plots_average", 24, 90, "\rsssy:200\r++");
}

static void logarithms_in_blocks(void **state) {
    (void)state;
    frame("plots_blocks", 24, 90, "ssyyXv");
}

static void times_in_ascii(void **state) {
    (void)state;
    r.screen.canvas.ascii = 1;
    frame("plots_ascii", 20, 80, "xxx\r");
}

static void one_run_by_epochs(void **state) {
    (void)state;
    frame("plots_epochs", 12, 60, "Ffast\rf^loss|lr$\rx");
}

static void hardly_any_room(void **state) {
    (void)state;
    frame("plots_small", 6, 30, "");
}

int main(void) {
    setenv("TZ", "UTC", 1);
    tzset();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(grid_of_two_runs, open_runs, close_runs),
        cmocka_unit_test_setup_teardown(one_with_a_cursor, open_runs, close_runs),
        cmocka_unit_test_setup_teardown(a_part_averaged, open_runs, close_runs),
        cmocka_unit_test_setup_teardown(logarithms_in_blocks, open_runs, close_runs),
        cmocka_unit_test_setup_teardown(times_in_ascii, open_runs, close_runs),
        cmocka_unit_test_setup_teardown(one_run_by_epochs, open_runs, close_runs),
        cmocka_unit_test_setup_teardown(hardly_any_room, open_runs, close_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
