/* Axes, ticks and numbers as text: known cases, and what must hold for every range. */

#include "view.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROOM = 64 };

/* Labels of the ticks that have one, joined by blanks. */
static const char *labels(const axis *a, int wanted) {
    static char text[2048];
    tick t[ROOM];
    int n = axis_ticks(a, wanted, t, ROOM);
    text[0] = 0;
    for (int i = 0; i < n; i++) {
        if (t[i].minor) continue;
        if (text[0]) strcat(text, " ");
        strcat(text, t[i].label);
    }
    return text;
}

static const char *linear_labels(double lo, double hi, int wanted) {
    return labels(&(axis){ AXIS_LINEAR, lo, hi, 0 }, wanted);
}

static const char *log_labels(double lo, double hi, int wanted) {
    return labels(&(axis){ AXIS_LOG, lo, hi, 0 }, wanted);
}

static void linear_known(void **state) {
    (void)state;
    assert_string_equal(linear_labels(0, 1172, 5), "0 250 500 750 1000");
    assert_string_equal(linear_labels(0, 1, 5), "0 0.25 0.50 0.75 1.00");
    assert_string_equal(linear_labels(-1, 1, 5), "-1.0 -0.5 0 0.5 1.0");
    assert_string_equal(linear_labels(8.1, 14.1, 4), "10 12 14");
    assert_string_equal(linear_labels(0, 50000, 5), "0 10,000 20,000 30,000 40,000 50,000");
    assert_string_equal(linear_labels(2.0012, 2.0019, 4), "2.0012 2.0014 2.0016 2.0018");
    assert_string_equal(linear_labels(0, 2e-5, 5), "0 0.5e-05 1.0e-05 1.5e-05 2.0e-05");
    assert_string_equal(linear_labels(0, 3e7, 4), "0 1e+07 2e+07 3e+07");
}

static void log_known(void **state) {
    (void)state;
    assert_string_equal(log_labels(0.01, 100, 5), "0.01 0.1 1 10 100");
    assert_string_equal(log_labels(1e-6, 1e-2, 5), "1e-06 1e-05 1e-04 1e-03 1e-02");
    assert_string_equal(log_labels(1e-12, 1, 4), "1e-12 1e-09 1e-06 1e-03 1e+00");
    assert_string_equal(log_labels(0.9, 11, 4), "1 2 5 10");
    assert_string_equal(log_labels(0.4, 0.55, 4), "0.40 0.45 0.50 0.55");
}

static void log_minor(void **state) {
    (void)state;
    tick t[ROOM];
    int n = axis_ticks(&(axis){ AXIS_LOG, 1, 1000, 0 }, 5, t, ROOM), minor = 0;
    for (int i = 0; i < n; i++) minor += t[i].minor;
    assert_int_equal(n, 28);
    assert_int_equal(minor, 24);
    assert_int_equal(axis_ticks(&(axis){ AXIS_LOG, 1, 1000, 0 }, 5, t, 10), 4); /* no room: the minor ones go */
}

static void symlog_known(void **state) {
    (void)state;
    axis a = { AXIS_SYMLOG, -10, 100, 1 };
    assert_string_equal(labels(&a, 6), "-10 -1 0 1 10 100");
    a = (axis){ AXIS_SYMLOG, -0.5, 0.5, 1 };
    assert_string_equal(labels(&a, 5), "-0.50 -0.25 0 0.25 0.50");
}

static void asinh_known(void **state) {
    (void)state;
    axis a = { AXIS_ASINH, -10, 100, 1 };
    assert_string_equal(labels(&a, 6), "-10 -1 0 1 10 100");
    a = (axis){ AXIS_ASINH, -1e6, 1e6, 1e3 };
    assert_string_equal(labels(&a, 9), "-1e+06 -1e+05 -1e+04 -1e+03 0 1e+03 1e+04 1e+05 1e+06");
    a = (axis){ AXIS_ASINH, -0.5, 0.5, 1 };
    assert_string_equal(labels(&a, 5), "-0.50 -0.25 0 0.25 0.50");
    double v[] = { -2000, -3, 0, 5, 40 };
    a = axis_fit(AXIS_ASINH, v, 5);
    assert_int_equal(a.scale, AXIS_ASINH);
    assert_true(a.lo < -2000 && a.lo > -4000 && a.hi > 40 && a.linear == 10);
}

/* ---- what must hold for every range ---------------------------------------------------------------------------------- */

static uint64_t dice = 1;

static double uniform(void) {
    dice = dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(dice >> 11) / 9007199254740992.0;
}

static double any_double(void) {
    double v = pow(10, -300 + 600 * uniform());
    return uniform() < 0.5 ? v : -v;
}

static int same_label(const tick *t, int i, int j) {
    return !t[i].minor && !t[j].minor && strcmp(t[i].label, t[j].label) == 0;
}

static int check_ticks(const axis *a, int wanted, int room) {
    tick t[ROOM];
    int n = axis_ticks(a, wanted, t, room);
    assert_in_range(n, 0, room);
    for (int i = 0; i < n; i++) {
        assert_true(t[i].value >= a->lo && t[i].value <= a->hi);
        assert_true(i == 0 || t[i].value > t[i - 1].value);
        assert_true(t[i].minor || (t[i].label[0] && strlen(t[i].label) < sizeof t[i].label - 1));
        double at = axis_at(a, t[i].value);
        assert_true(at >= -1e-9 && at <= 1 + 1e-9);
        for (int j = 0; j < i; j++) assert_false(same_label(t, i, j));
    }
    return n;
}

static void check_axis(const axis *a) {
    assert_true(isfinite(a->lo) && isfinite(a->hi));
    assert_true(a->lo < a->hi);
    assert_true(a->scale != AXIS_LOG || a->lo > 0);
    assert_true(a->scale < AXIS_SYMLOG || a->linear > 0);
    for (int wanted = 2; wanted <= 9; wanted++) assert_true(check_ticks(a, wanted, ROOM) >= 1);
    check_ticks(a, 5, 1);
    check_ticks(a, 5, 7);
}

static void check_fit(int scale, const double *v, int64_t n) {
    axis a = axis_fit(scale, v, n);
    check_axis(&a);
    for (int64_t i = 0; i < n; i++) {
        double at = axis_at(&a, v[i]);
        if (isfinite(v[i]) && (a.scale != AXIS_LOG || v[i] > 0)) assert_true(at >= 0 && at <= 1);
        if (!isfinite(v[i])) assert_true(isnan(at));
    }
}

static void check_scales(const double *v, int64_t n) {
    for (int scale = AXIS_LINEAR; scale <= AXIS_ASINH; scale++) check_fit(scale, v, n);
}

static void random_ranges(void **state) {
    (void)state;
    for (int k = 0; k < 3000; k++) {
        double v[3] = { any_double(), any_double(), any_double() };
        check_scales(v, 1 + k % 3);
    }
}

static void narrow_ranges(void **state) {
    (void)state;
    for (int k = 0; k < 3000; k++) {
        double v[2] = { any_double(), 0 };
        v[1] = v[0] * (1 + pow(10, -16 * uniform()));
        check_scales(v, 2);
    }
}

static void everyday_ranges(void **state) {
    (void)state;
    for (int k = 0; k < 3000; k++) {
        double v[2] = { 2000 * uniform() - 1000, pow(10, 8 * uniform() - 4) };
        check_scales(v, 2);
        axis a = axis_fit(AXIS_LINEAR, v, 2);
        int n = check_ticks(&a, 5, ROOM);
        assert_in_range(n, 3, 9);
    }
}

static void odd_values(void **state) {
    (void)state;
    static const double odd[] = { 0,        -0.0,   1,     -1,  4.9e-324, -4.9e-324, 1e-310,    DBL_MIN, DBL_MAX,
                                  -DBL_MAX, 1e-300, 1e300, NAN, INFINITY, -INFINITY, 123456789, 0.1 };
    enum { N = sizeof odd / sizeof *odd };
    check_scales(NULL, 0);
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            double v[3] = { odd[i], odd[j], odd[(i + j) % N] };
            check_scales(v, 1);
            check_scales(v, 2);
            check_scales(v, 3);
        }
    }
}

static void nothing_to_show(void **state) {
    (void)state;
    double v[] = { NAN, INFINITY, -INFINITY };
    for (int scale = AXIS_LINEAR; scale <= AXIS_ASINH; scale++) {
        axis a = axis_fit(scale, v, 3);
        assert_true(a.lo == 0 && a.hi == 1);
    }
    double negative[] = { -1, -2, 0 };
    assert_int_equal(axis_fit(AXIS_LOG, negative, 3).scale, AXIS_LINEAR);
    double mixed[] = { -1, 0.5, 20, NAN };
    axis a = axis_fit(AXIS_LOG, mixed, 4);
    assert_int_equal(a.scale, AXIS_LOG);
    assert_true(a.lo > 0.25 && a.lo <= 0.5);
    assert_true(isnan(axis_at(&a, -1)) && isnan(axis_at(&a, 0)));
}

static void positions(void **state) {
    (void)state;
    axis a = { AXIS_LINEAR, -2, 2, 0 };
    assert_true(axis_at(&a, -2) == 0 && axis_at(&a, 0) == 0.5 && axis_at(&a, 2) == 1);
    assert_true(axis_at(&a, 3) > 1 && axis_at(&a, -3) < 0 && isnan(axis_at(&a, NAN)));
    a = (axis){ AXIS_LOG, 0.01, 100, 0 };
    assert_true(fabs(axis_at(&a, 1) - 0.5) < 1e-12);
    a = (axis){ AXIS_SYMLOG, -100, 100, 1 };
    assert_true(fabs(axis_at(&a, 0) - 0.5) < 1e-12 && fabs(axis_at(&a, 1) - 2 / 3.0) < 1e-12);
    assert_true(fabs(axis_at(&a, -10) - (1 - axis_at(&a, 10))) < 1e-12);
    a = (axis){ AXIS_ASINH, -100, 100, 2 };
    assert_true(fabs(axis_at(&a, 0) - 0.5) < 1e-12 && fabs(axis_at(&a, 6) - 0.5 - asinh(3) / asinh(50) / 2) < 1e-12);
    assert_true(fabs(axis_at(&a, -10) - (1 - axis_at(&a, 10))) < 1e-12);
    a = (axis){ AXIS_ASINH, -1, 1e300, 1e-5 };
    assert_true(fabs(axis_at(&a, 1e9 * 1e-5 * 0.099999999) - axis_at(&a, 1e9 * 1e-5 * 0.100000001)) <
                1e-8); /* the two halves meet */
    a = (axis){ AXIS_LINEAR, -DBL_MAX, DBL_MAX, 0 };
    assert_true(fabs(axis_at(&a, 0) - 0.5) < 1e-12);
}

static void values_come_back(void **state) {
    (void)state;
    for (int scale = AXIS_LINEAR; scale <= AXIS_ASINH; scale++)
        for (int k = 0; k < 2000; k++) {
            double v[2] = { 2000 * uniform() - 1000, pow(10, 8 * uniform() - 4) };
            axis a = axis_fit(scale, v, 2);
            for (double at = -0.25; at <= 1.25; at += 0.125) assert_true(fabs(axis_at(&a, axis_value(&a, at)) - at) < 1e-6);
        }
    for (int scale = AXIS_LINEAR; scale <= AXIS_ASINH; scale++)
        for (int k = 0; k < 2000; k++) { /* nothing is ever infinite */
            double v[2] = { any_double(), any_double() };
            axis a = axis_fit(scale, v, 2);
            assert_true(isfinite(axis_value(&a, 3e3 * uniform() - 1e3)) && isfinite(axis_value(&a, 1e300)));
        }
}

static void no_ticks(void **state) {
    (void)state;
    tick t[4];
    assert_int_equal(axis_ticks(&(axis){ AXIS_LINEAR, 1, 1, 0 }, 5, t, 4), 0);
    assert_int_equal(axis_ticks(&(axis){ AXIS_LINEAR, NAN, 1, 0 }, 5, t, 4), 0);
    assert_int_equal(axis_ticks(&(axis){ AXIS_LINEAR, 0, 1, 0 }, 5, t, 0), 0);
    assert_int_equal(axis_ticks(&(axis){ AXIS_LINEAR, 0, 1, 0 }, -3, t, 4) > 4, 0);
}

/* ---- text ------------------------------------------------------------------------------------------------------------ */

static void value_is(double v, int digits, const char *wanted) {
    char text[32];
    format_value(v, digits, text, sizeof text);
    assert_string_equal(text, wanted);
}

static void values(void **state) {
    (void)state;
    value_is(0, 3, "0");
    value_is(1, 3, "1");
    value_is(-1, 3, "-1");
    value_is(0.5, 4, "0.5");
    value_is(100, 3, "100");
    value_is(0.0123, 3, "0.0123");
    value_is(1.2e-5, 2, "1.2e-05");
    value_is(12345, 5, "12,345");
    value_is(12345, 3, "12,345");
    value_is(1234, 3, "1234");
    value_is(99999.6, 3, "100,000");
    value_is(999.96, 4, "1000");
    value_is(9.996, 3, "10");
    value_is(123456, 3, "123,456");
    value_is(1234567, 3, "1.23e+06");
    value_is(1234567, 7, "1,234,567");
    value_is(1e6, 3, "1e+06");
    value_is(2.0 / 3, 3, "0.667");
    value_is(-1e300, 3, "-1e+300");
    value_is(0.1 + 0.2, 3, "0.3");
    value_is(4.9e-324, 2, "4.9e-324");
    value_is(NAN, 3, "nan");
    value_is(INFINITY, 3, "inf");
    value_is(-INFINITY, 3, "-inf");
}

static void values_read_back(void **state) {
    (void)state;
    for (int k = 0; k < 3000; k++) {
        double v = any_double();
        char text[32], plain[32];
        format_value(v, 6, text, sizeof text);
        size_t n = 0;
        for (const char *c = text; *c; c++)
            if (*c != ',') plain[n++] = *c;
        plain[n] = 0;
        assert_true(fabs(strtod(plain, NULL) - v) <= 1e-5 * fabs(v));
    }
}

static void seconds_are(double s, const char *wanted) {
    char text[32];
    format_seconds(s, text, sizeof text);
    assert_string_equal(text, wanted);
}

static void seconds(void **state) {
    (void)state;
    seconds_are(0, "0 s");
    seconds_are(0.0123, "12.3 ms");
    seconds_are(12.34, "12.3 s");
    seconds_are(59.99, "1 min 00 s");
    seconds_are(247, "4 min 07 s");
    seconds_are(3599.7, "1 h 00 min");
    seconds_are(11100, "3 h 05 min");
    seconds_are(86399, "1 d 00 h");
    seconds_are(183600, "2 d 03 h");
    seconds_are(NAN, "-");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_known),  cmocka_unit_test(log_known),       cmocka_unit_test(log_minor),
        cmocka_unit_test(symlog_known),  cmocka_unit_test(asinh_known),     cmocka_unit_test(values_come_back),
        cmocka_unit_test(random_ranges), cmocka_unit_test(narrow_ranges),   cmocka_unit_test(everyday_ranges),
        cmocka_unit_test(odd_values),    cmocka_unit_test(nothing_to_show), cmocka_unit_test(positions),
        cmocka_unit_test(no_ticks),      cmocka_unit_test(values),          cmocka_unit_test(values_read_back),
        cmocka_unit_test(seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
