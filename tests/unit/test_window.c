/* What is in sight of runs: zoom and pan undo each other, all of it follows, a cursor finds its record, x in four kinds. */

#include "shown_runs.h"

#include <time.h>

#include "term/times.h"

static shown_runs r;

static void ramp(char *body, size_t size, int i) {
    shown_value(body, size, "loss", 10.0 - 0.1 * i);
}

static window *ready(int records, int apart, const char *manifest) {
    shown_open(&r, "a", records, apart, 1000, ramp, manifest);
    assert_int_equal(window_refresh(&r.screen, &r.all), PITOT_OK);
    return &r.screen.window;
}

static int close_all(void **state) {
    (void)state;
    shown_close(&r);
    return 0;
}

static void same(double a, double b) {
    if (fabs(a - b) > 1e-6 * fmax(1, fabs(b))) fail_msg("%.12g is not %.12g", a, b);
}

static void act(int action) {
    window_act(&r.screen, &r.all, &(event){ .action = action });
}

static void sees(double lo, double hi) {
    assert_int_equal(window_refresh(&r.screen, &r.all), PITOT_OK);
    same(r.screen.window.x.lo, lo);
    same(r.screen.window.x.hi, hi);
}

/* ---- zoom and pan ---- */

static void all_of_it_follows(void **state) {
    (void)state;
    window *w = ready(101, 10, NULL);
    sees(0, 1000);
    shown_write(&r, 0, 101, 201, 10, 1000, ramp);
    shown_poll(&r, 0);
    sees(0, 2000);
    act(SHARED_IN); /* about the newest */
    sees(1000, 2000);
    shown_write(&r, 0, 201, 301, 10, 1000, ramp);
    shown_poll(&r, 0);
    sees(1000, 2000); /* a part stays */
    act(SHARED_ALL);
    sees(0, 3000);
    assert_int_equal(w->part, 0);
    act(SHARED_IN);
    shown_write(&r, 0, 0, 11, 10, 1000, ramp); /* begun anew: what was in sight is gone */
    shown_poll(&r, 0);
    sees(0, 100);
}

static void zoom_and_pan_undo_each_other(void **state) {
    (void)state;
    for (int log_x = 0; log_x < 2; log_x++) {
        window *w = ready(1001, 10, NULL);
        if (log_x) act(SHARED_LOG_X);
        act(SHARED_CURSOR);
        window_go(w, 500);
        act(SHARED_IN);
        double lo = w->x.lo, hi = w->x.hi;
        assert_true(lo > 0 && lo < 500 && hi > 500 && hi < 10000);
        act(SHARED_IN);
        same(axis_at(&w->x, 500), axis_at(&(axis){ w->x.scale, lo, hi, w->x.linear }, 500)); /* the cursor stays where it is */
        act(SHARED_OUT);
        sees(lo, hi);
        act(SHARED_IN);
        double inner = w->x.lo;
        act(SHARED_LATER);
        assert_true(w->x.lo > inner);
        act(SHARED_EARLIER);
        same(w->x.lo, inner);
        act(SHARED_OUT);
        act(SHARED_OUT);
        sees(0, 10000);
        assert_int_equal(w->part, 0);
        shown_close(&r);
    }
}

static void ends_hold(void **state) {
    (void)state;
    window *w = ready(101, 1, NULL);
    act(SHARED_LATER); /* all of it cannot be moved */
    sees(0, 100);
    act(SHARED_IN);
    act(SHARED_LATER);
    sees(50, 100);
    for (int i = 0; i < 20; i++) act(SHARED_EARLIER);
    sees(0, 50);
    for (int i = 0; i < 100; i++) act(SHARED_IN);
    assert_true(w->x.hi - w->x.lo >= 4);
    assert_true(w->x.hi - w->x.lo < 9);
    for (int i = 0; i < 100; i++) act(SHARED_OUT);
    sees(0, 100);
}

static void any_keys_keep_it_sound(void **state) {
    (void)state;
    window *w = ready(57, 7, "{\"samples\":640,\"batch\":64}");
    srand(5);
    for (int i = 0; i < 20000; i++) {
        static const int actions[] = { SHARED_IN, SHARED_OUT, SHARED_EARLIER, SHARED_LATER, SHARED_ALL, SHARED_X,     SHARED_LOG_X,
                                       SHARED_IN, SHARED_IN,  SHARED_CURSOR,  SHARED_LATER, DO_LEFT,    SHARED_ALARM, DO_RIGHT };
        w->dots = rand() % 300;
        act(actions[rand() % 14]);
        if (rand() % 9 == 0) window_go(w, rand() % 1000 - 300);
        if (rand() % 2) window_refresh(&r.screen, &r.all);
        assert_true(isfinite(w->x.lo) && w->x.lo < w->x.hi && w->x.lo >= w->all.lo && w->x.hi <= w->all.hi);
        if (w->cursor) assert_true(w->at >= w->all.lo - 1e-9 && w->at <= w->all.hi + 1e-9);
    }
}

/* ---- the cursor ---- */

static void records_are_found(void **state) {
    (void)state;
    window *w = ready(101, 10, NULL);
    pitot_series s;
    assert_int_equal(pitot_log_series(r.run[0].log, 0, &s), PITOT_OK);
    for (int step = -5; step < 1020; step++) {
        int64_t at = window_find(&w->run[0], &s, step);
        assert_int_equal(at, step < 0 ? -1 : step > 1000 ? 100 : step / 10);
    }
    run_x nowhere = { 0, 0, NAN };
    assert_int_equal(window_find(&nowhere, &s, 50), -1);
}

static void the_cursor_moves(void **state) {
    (void)state;
    window *w = ready(1001, 1, NULL);
    w->dots = 101;
    act(SHARED_CURSOR);
    same(w->at, 1000);
    act(DO_LEFT);
    same(w->at, 990);
    act(DO_RIGHT);
    act(DO_RIGHT);
    same(w->at, 1000);
    window_go(w, 500);
    for (int i = 0; i < 5; i++) act(SHARED_IN);
    double lo = w->x.lo, hi = w->x.hi;
    act(DO_RIGHT); /* columns are nearer than steps */
    same(w->at, 501);
    act(DO_LEFT);
    act(DO_LEFT);
    same(w->at, 499);
    same(w->x.lo, lo);
    for (int i = 0; i < 100; i++) act(DO_LEFT); /* beyond the edge, what is in sight comes along */
    same(w->at, 399);
    assert_true(w->x.lo <= 399 + 1e-6 && w->x.hi < hi);
    assert_true(w->at == 399); /* to the step, whatever the edge is rounded to */
    shown_type(&r, ":");
    shown_type(&r, "77\r");
    same(w->at, 77);
    assert_true(w->x.lo < 77 && w->x.hi > 77);
    shown_type(&r, ":");
    shown_type(&r, "x\r");
    same(w->at, 77);
    assert_non_null(strstr(r.screen.note, "no step"));
    act(DO_GO_BACK);
    assert_int_equal(w->cursor, 0);
    window_go(w, 33.4);
    assert_true(w->at == 33);
    w->part = 1;
    w->lo = 100.3;
    w->hi = 140.7;
    sees(100.3, 140.7);
    w->cursor = 0;
    act(SHARED_CURSOR);
    assert_true(w->at == 140);
}

static void maximum_and_alarms(void **state) {
    (void)state;
    window *w = ready(101, 1, NULL);
    shown_draw(&r, 24, 80);
    shown_type(&r, "m");
    same(w->at, 0); /* the loss falls */
    shown_type(&r, "n");
    assert_non_null(strstr(r.screen.note, "no alarms"));
    static const pitot_band band = { -INFINITY, 1, -INFINITY, 2, "too high" };
    alarm_entry alarm[3] = { { .began = 60, .output = "b" }, { .began = 20, .output = "a" }, { .began = 90, .output = "c" } };
    for (int i = 0; i < 3; i++) alarm[i].band = &band, alarm[i].side = ALARM_ABOVE;
    alarm_list list = { .n = 3, .alarm = alarm };
    r.run[0].alarms = &list;
    static const double wanted[] = { 20, 60, 90, 20 };
    for (int i = 0; i < 4; i++) {
        shown_type(&r, "n");
        assert_non_null(strstr(r.screen.note, i == 1 ? "b" : i == 2 ? "c" : "a"));
        same(w->at, wanted[i]);
    }
    r.run[0].alarms = NULL;
    shown_type(&r, "n");
    same(w->at, 20);
}

/* ---- other x ---- */

static void four_kinds_of_x(void **state) {
    (void)state;
    char text[64];
    window *w = ready(101, 10, "{\"samples\":100,\"batch\":30}");
    window_go(w, 500);
    act(SHARED_X);
    assert_int_equal(w->by, BY_EPOCHS); /* of four steps */
    sees(0, 250);
    same(w->at, 125);
    window_say(w, w->at, text, sizeof text);
    assert_string_equal(text, "epoch 125");
    act(SHARED_X);
    sees(0, 25);
    same(w->at, 12.5);
    window_say(w, w->at, text, sizeof text);
    assert_string_equal(text, "12.5 s");
    act(SHARED_IN);
    same(w->x.lo, 6.25);
    act(SHARED_X);
    same(w->x.lo, 1006.25);
    same(w->at, 1012.5);
    window_say(w, w->at, text, sizeof text);
    assert_string_equal(text, "Jan 01 00:16:52");
    act(SHARED_X);
    same(w->at, 500);
    same(w->x.lo, 250);
    same(w->x.hi, 750);
}

static void epochs_that_nobody_knows(void **state) {
    (void)state;
    window *w = ready(101, 10, "{\"samples\":100,\"batch\":30}");
    shown_open(&r, "host", 50, 1, 1000, ramp, "{\"batch\":\"many\"}");
    window_refresh(&r.screen, &r.all);
    act(SHARED_X);
    assert_int_equal(w->by, BY_SECONDS);
    assert_non_null(strstr(r.screen.note, "host does not say"));
    w->by = BY_STEPS;
    r.run[1].hidden = 1;
    window_refresh(&r.screen, &r.all);
    act(SHARED_X);
    assert_int_equal(w->by, BY_EPOCHS);
    r.run[1].hidden = 0; /* it comes back: it is nowhere, the other stays */
    sees(0, 250);
}

static void runs_together(void **state) {
    (void)state;
    window *w = ready(101, 10, NULL);
    shown_open(&r, "late", 41, 50, 5000, ramp, NULL);
    sees(0, 2000);
    r.run[1].hidden = 1;
    sees(0, 1000);
    r.run[1].pinned = 1;
    sees(0, 2000);
    w->by = BY_WALL;
    sees(1000, 5010);
    w->by = BY_SECONDS;
    sees(0, 25);
    act(SHARED_LOG_X);
    assert_int_equal(w->x.scale, AXIS_SYMLOG);
}

static void hostile_times(void **state) {
    (void)state;
    shown_open(&r, "a", 3, 1, 1e308, ramp, NULL);
    shown_open(&r, "b", 0, 1, -1e308, ramp, NULL);
    shown_open(&r, "c", 2, 1, -9e15, ramp, "{\"steps_per_epoch\":1e-300}");
    for (int by = 0; by < BY_END; by++)
        for (int log_x = 0; log_x < 2; log_x++) {
            window *w = &r.screen.window;
            w->by = by;
            w->log_x = log_x;
            shown_draw(&r, 24, 80);
            assert_true(isfinite(w->x.lo) && isfinite(w->x.hi) && w->x.lo < w->x.hi);
            act(SHARED_IN);
            shown_draw(&r, 24, 80);
        }
}

/* ---- ticks of time ---- */

static const char *labels(int of_day, double lo, double hi, int wanted) {
    static char text[512];
    tick t[64];
    int n = of_day ? times_ticks_of_day(lo, hi, wanted, t, 64) : times_ticks(lo, hi, wanted, t, 64);
    text[0] = 0;
    for (int i = 0; i < n; i++) {
        assert_true(t[i].value >= lo - 1e-6 && t[i].value <= hi);
        shown_add(text, sizeof text, "%s%s", i ? " | " : "", t[i].label);
    }
    return text;
}

static void durations(void **state) {
    (void)state;
    assert_string_equal(labels(0, 0, 70, 5), "0 | 15 s | 30 s | 45 s | 1:00");
    assert_string_equal(labels(0, 0, 1000, 4), "0 | 5 min | 10 min | 15 min");
    assert_string_equal(labels(0, 3500, 3700, 4), "59 min | 1 h 00 | 1 h 01");
    assert_string_equal(labels(0, 0, 40000, 4), "0 | 3 h | 6 h | 9 h");
    assert_string_equal(labels(0, 0, 1e6, 4), "0 | 5 d | 10 d");
    assert_string_equal(labels(0, 0.1, 0.45, 4), "0.1 s | 0.2 s | 0.3 s | 0.4 s");
    assert_string_equal(labels(0, 7195, 7205, 4), "1:59:55 | 2:00:00 | 2:00:05");
    assert_string_equal(labels(0, -1, -2, 4), "");
    assert_string_equal(labels(0, 0, 1e300, 4), "");
}

static void times_of_day(void **state) {
    (void)state;
    double noon = 1795348800; /* 2026-11-22 12:00 UTC */
    assert_string_equal(labels(1, noon, noon + 40, 4), "12:00:00 | 12:00:10 | 12:00:20 | 12:00:30 | 12:00:40");
    assert_string_equal(labels(1, noon - 100, noon + 4000, 4), "12:00 | 12:30 | 13:00");
    assert_string_equal(labels(1, noon, noon + 86400, 4), "12:00 | 18:00 | Nov 23 | 06:00 | 12:00");
    assert_string_equal(labels(1, noon, noon + 10 * 86400, 4), "Nov 23 | Nov 28");
    setenv("TZ", "XYZ-5:30", 1);
    tzset();
    assert_string_equal(labels(1, noon, noon + 20 * 3600, 4), "18:00 | Nov 23 | 06:00 | 12:00");
    setenv("TZ", "UTC", 1);
    tzset();
}

int main(void) {
    setenv("TZ", "UTC", 1);
    tzset();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(all_of_it_follows, close_all),
        cmocka_unit_test_teardown(zoom_and_pan_undo_each_other, close_all),
        cmocka_unit_test_teardown(ends_hold, close_all),
        cmocka_unit_test_teardown(any_keys_keep_it_sound, close_all),
        cmocka_unit_test_teardown(records_are_found, close_all),
        cmocka_unit_test_teardown(the_cursor_moves, close_all),
        cmocka_unit_test_teardown(maximum_and_alarms, close_all),
        cmocka_unit_test_teardown(four_kinds_of_x, close_all),
        cmocka_unit_test_teardown(epochs_that_nobody_knows, close_all),
        cmocka_unit_test_teardown(runs_together, close_all),
        cmocka_unit_test_teardown(hostile_times, close_all),
        cmocka_unit_test(durations),
        cmocka_unit_test(times_of_day),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
