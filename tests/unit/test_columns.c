/* Series in columns of dots: no spike is lost, averages are those of the values themselves, edges are reached, nothing is sorted twice. */

#include "shown_runs.h"

enum { MANY = 20000 };

static int64_t step[MANY];
static double wall[MANY], value[MANY], exact[MANY];
static bin raw[400], calm[400];
static column_edge edge[401];

static const run_x by_step = { 0, 0, 1 };

static pitot_series series(int64_t n) {
    return (pitot_series){ "v", n, step, wall, value };
}

static columns fill(int count, double lo, double hi, int scale, const run_x *r, const pitot_series *s, int smoothing) {
    columns c = { .count = count, .raw = raw, .edge = edge };
    axis x = { scale, lo, hi, 1 };
    columns_sort(&c, &x, r, s);
    columns_smooth(&c, s, smoothing, calm);
    return c;
}

static uint64_t dice = 7;

static double noise(void) {
    dice = dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(dice >> 11) / 9007199254740992.0 - 0.5;
}

static void make_noise(int64_t n) {
    for (int64_t i = 0; i < n; i++) step[i] = i, wall[i] = 100 + (double)i / 8, value[i] = 3 + noise() + 1e-4 * (double)i;
}

static void everything_is_in_some_column(void **state) {
    (void)state;
    make_noise(MANY);
    value[7777] = 1e6;
    value[5000] = NAN;
    value[MANY - 1] = INFINITY;
    pitot_series s = series(MANY);
    for (int scale = AXIS_LINEAR; scale <= AXIS_ASINH; scale += scale ? 1 : 2)
        for (int count = 1; count <= 400; count += 57) {
            columns c = fill(count, 0, MANY - 1, scale, &by_step, &s, SMOOTH_NONE);
            int64_t n = 0;
            double most = 0;
            int odd = 0;
            for (int k = 0; k < count; k++) {
                n += raw[k].n;
                odd |= raw[k].odd;
                if (raw[k].n) most = fmax(most, raw[k].max);
            }
            assert_int_equal(n, MANY - 2);
            assert_true(most == 1e6);
            assert_int_equal(odd, BIN_NAN | BIN_INF);
            assert_int_equal(raw[count - 1].odd & BIN_INF, BIN_INF);
            assert_null(c.calm);
        }
}

static void columns_stand_where_ticks_do(void **state) {
    (void)state;
    for (int i = 0; i <= 100; i++) step[i] = i, value[i] = i;
    pitot_series s = series(101);
    fill(101, 0, 100, AXIS_LINEAR, &by_step, &s, SMOOTH_NONE);
    for (int k = 0; k <= 100; k++) assert_true(raw[k].n == 1 && raw[k].first == k);
    fill(51, 0, 100, AXIS_LINEAR, &by_step, &s, SMOOTH_NONE);
    assert_true(raw[0].n == 1 && raw[1].first == 1 && raw[1].last == 2); /* what is just between goes to the right */
    axis x = { AXIS_SYMLOG, 0, 100, 1 };
    fill(61, 0, 100, AXIS_SYMLOG, &by_step, &s, SMOOTH_NONE);
    for (int i = 0; i <= 100; i++) {
        const bin *b = &raw[(int)floor(axis_at(&x, i) * 60 + 0.5)];
        assert_true(b->n && b->min <= i && b->max >= i);
    }
}

static void parts_know_their_neighbours(void **state) {
    (void)state;
    for (int i = 0; i < 50; i++) step[i] = 20 * i, value[i] = i;
    pitot_series s = series(50);
    columns c = fill(41, 105, 145, AXIS_LINEAR, &by_step, &s, SMOOTH_NONE);
    for (int k = 0; k < 41; k++) assert_int_equal(raw[k].n, k == 15 || k == 35);
    assert_true(c.left.raw == 5 && fabs(c.left.at + 5) < 1e-9 && c.right.raw == 8 && fabs(c.right.at - 55) < 1e-9);
    c = fill(41, 101, 119, AXIS_LINEAR, &by_step, &s, SMOOTH_NONE); /* nothing between */
    assert_true(c.left.raw == 5 && c.right.raw == 6);
    value[6] = NAN; /* a line that is broken there has no neighbour */
    c = fill(41, 101, 119, AXIS_LINEAR, &by_step, &s, SMOOTH_NONE);
    assert_true(c.left.raw == 5 && isnan(c.right.at));
    c = fill(41, 0, 980, AXIS_LINEAR, &by_step, &s, SMOOTH_NONE);
    assert_true(isnan(c.left.at) && isnan(c.right.at));
}

/* Every column shows what an average over all values up to its last one is. */
static void averages_are_exact(void **state) {
    (void)state;
    make_noise(MANY);
    for (int i = 300; i < 320; i++) value[i] = i % 2 ? NAN : INFINITY;
    value[4] = -INFINITY;
    pitot_series s = series(MANY);
    for (int smoothing = SMOOTH_LITTLE; smoothing < SMOOTH_END; smoothing++) {
        static const int64_t ends[][2] = { { 0, MANY - 1 }, { 0, 50 }, { 290, 340 }, { 15000, 19999 }, { 3000, 3010 } };
        smooth(value, MANY, columns_weight(smoothing), exact);
        for (int part = 0; part < 5; part++) {
            columns c = fill(151, (double)ends[part][0], (double)ends[part][1], AXIS_LINEAR, &by_step, &s, smoothing);
            assert_non_null(c.calm);
            for (int k = 0; k < 151; k++) {
                assert_int_equal(calm[k].n, raw[k].n > 0);
                if (!raw[k].n) continue;
                int64_t last = edge[k].last;
                assert_true(value[last] == raw[k].last);
                assert_true(fabs(calm[k].last - exact[last]) < 1e-4);
                assert_true(calm[k].min == calm[k].last && calm[k].max == calm[k].last);
            }
            if (!isnan(c.left.at)) assert_true(fabs(c.left.calm - exact[ends[part][0] - 1]) < 1e-4);
            if (!isnan(c.right.at)) assert_true(fabs(c.right.calm - exact[ends[part][1] + 1]) < 1e-4);
        }
    }
}

static void suited_smoothing_is_for_noise(void **state) {
    (void)state;
    make_noise(2000);
    pitot_series s = series(2000);
    assert_non_null(fill(100, 0, 1999, AXIS_LINEAR, &by_step, &s, SMOOTH_SUITED).calm);
    assert_null(fill(100, 0, 10, AXIS_LINEAR, &by_step, &s, SMOOTH_SUITED).calm); /* a few values */
    s.n = 20;
    assert_null(fill(100, 0, 19, AXIS_LINEAR, &by_step, &s, SMOOTH_SUITED).calm);
    s.n = 2000;
    for (int i = 0; i < 2000; i++) value[i] = sqrt(i);
    assert_null(fill(100, 0, 1999, AXIS_LINEAR, &by_step, &s, SMOOTH_SUITED).calm);
}

/* Clocks that were set back, and times that are none. */
static void strange_times(void **state) {
    (void)state;
    static const run_x by_wall = { 1, 100, 1 };
    make_noise(1000);
    for (int i = 500; i < 1000; i++) wall[i] -= 50;
    wall[10] = NAN;
    wall[20] = INFINITY;
    pitot_series s = series(1000);
    int64_t n = 0;
    fill(100, 0, 74.875, AXIS_LINEAR, &by_wall, &s, SMOOTH_MUCH);
    for (int k = 0; k < 100; k++) n += raw[k].n;
    assert_int_equal(n, 998);
    for (int i = 0; i < 1000; i++)
        if (isfinite(wall[i])) raw[(int)floor((wall[i] - 100) / 74.875 * 99 + 0.5)].n--;
    for (int k = 0; k < 100; k++) assert_int_equal(raw[k].n, 0);
    for (int i = 0; i < 1000; i++) wall[i] = noise() * pow(10, (int)(40 * noise()));
    for (int round = 0; round < 200; round++) {
        double lo = 100 * noise(), hi = lo + 1 + noise();
        fill(1 + round, lo, hi, AXIS_LINEAR, &by_wall, &s, round % SMOOTH_END);
        for (int k = 0; k < 1 + round; k++) assert_true(raw[k].n >= 0 && raw[k].n <= 1000);
    }
}

/* ---- the cache ---- */

static void ramp(char *body, size_t size, int i) {
    shown_value(body, size, "loss", sin(i * 12.9898));
    shown_value(body, size, "other", i);
}

static void nothing_is_sorted_twice(void **state) {
    (void)state;
    shown_runs r = { 0 };
    shown_open(&r, "a", 500, 1, 1000, ramp, NULL);
    shown_open(&r, "b", 500, 1, 1000, ramp, NULL);
    shown_draw(&r, 30, 100);
    plots *p = screen_own(&r.screen, "plots");
    const column_cache *cache = &p->cache;
    assert_int_equal(cache->sorted, 4);
    shown_draw(&r, 30, 100);
    shown_type(&r, "ihhlsyv");
    shown_draw(&r, 30, 100);
    assert_int_equal(cache->sorted, 4); /* neither the cursor nor smoothing nor axes of y ask for it */
    shown_type(&r, "+");
    shown_draw(&r, 30, 100);
    assert_int_equal(cache->sorted, 8);
    shown_type(&r, "0");
    shown_draw(&r, 30, 100);
    int64_t before = cache->sorted;
    shown_write(&r, 1, 500, 501, 1, 1000, ramp); /* one more record of one run moves what is in sight of both */
    shown_poll(&r, 1);
    shown_draw(&r, 30, 100);
    assert_int_equal(cache->sorted, before + 4);
    shown_type(&r, "+");
    shown_draw(&r, 30, 100);
    before = cache->sorted;
    shown_write(&r, 1, 501, 502, 1, 1000, ramp); /* a part stays: only that run's */
    shown_poll(&r, 1);
    shown_draw(&r, 30, 100);
    assert_int_equal(cache->sorted, before + 2);
    shown_draw(&r, 40, 160);
    shown_draw(&r, 30, 100);
    assert_int_equal(cache->sorted, before + 6);
    shown_close(&r);
}

static void other(char *body, size_t size, int i) {
    shown_value(body, size, "loss", 77 + i);
}

/* A later line of a step wins: as many values as before, one of them another. */
static void a_changed_value_is_seen(void **state) {
    (void)state;
    shown_runs r = { 0 };
    shown_open(&r, "a", 50, 1, 1000, ramp, NULL);
    shown_draw(&r, 30, 100);
    shown_type(&r, "s");
    shown_write(&r, 0, 49, 50, 1, 1000, other);
    shown_poll(&r, 0);
    shown_draw(&r, 30, 100);
    plots *p = screen_own(&r.screen, "plots");
    const window *w = &r.screen.window;
    const columns *c = columns_get(&p->cache, r.run[0].log, 0, w->dots, &w->x, &w->run[0], SMOOTH_NONE);
    assert_true(c->raw[w->dots - 1].max == 126);
    shown_close(&r);
}

static void what_is_not_used_goes(void **state) {
    (void)state;
    shown_runs r = { 0 };
    column_cache cache = { 0 };
    axis x = { AXIS_LINEAR, 0, 499, 1 };
    shown_open(&r, "a", 500, 1, 1000, ramp, NULL);
    for (int count = 1; count < 3000; count++) {
        columns_begin(&cache);
        const columns *c = columns_get(&cache, r.run[0].log, 0, count, &x, &by_step, SMOOTH_NONE);
        assert_non_null(c);
        assert_int_equal(c->count, count);
        assert_true(cache.bytes < 65 << 20);
    }
    assert_true(cache.n < 2998);
    columns_forget(&cache);
    shown_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_in_some_column),  cmocka_unit_test(columns_stand_where_ticks_do),
        cmocka_unit_test(parts_know_their_neighbours),   cmocka_unit_test(averages_are_exact),
        cmocka_unit_test(suited_smoothing_is_for_noise), cmocka_unit_test(strange_times),
        cmocka_unit_test(nothing_is_sorted_twice),       cmocka_unit_test(what_is_not_used_goes),
        cmocka_unit_test(a_changed_value_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
