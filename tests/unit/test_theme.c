/* Themes: text and lines stand out from the background, runs differ from each other, heat rises evenly, every pen has a look on every
   terminal. Contrast is WCAG's ratio, difference is CIE Lab's, colours are those of xterm. */

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "term/theme.h"

typedef struct light {
    double r, g, b; /* linear, 0 to 1 */
} light;

static double linear(uint32_t c) {
    double v = (c & 255) / 255.0;
    return v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4);
}

static light light_of(uint32_t rgb) {
    return (light){ linear(rgb >> 16), linear(rgb >> 8), linear(rgb) };
}

static double luminance(light l) {
    return 0.2126 * l.r + 0.7152 * l.g + 0.0722 * l.b;
}

static double contrast(uint32_t a, uint32_t b) {
    double x = luminance(light_of(a)), y = luminance(light_of(b));
    return (fmax(x, y) + 0.05) / (fmin(x, y) + 0.05);
}

static double root(double t) {
    return t > 0.008856 ? cbrt(t) : 7.787 * t + 16.0 / 116;
}

static void lab_of(light l, double lab[3]) {
    double x = root((0.4124 * l.r + 0.3576 * l.g + 0.1805 * l.b) / 0.95047), y = root(luminance(l)),
           z = root((0.0193 * l.r + 0.1192 * l.g + 0.9505 * l.b) / 1.08883);
    lab[0] = 116 * y - 16;
    lab[1] = 500 * (x - y);
    lab[2] = 200 * (y - z);
}

static double difference(light a, light b) {
    double p[3], q[3];
    lab_of(a, p);
    lab_of(b, q);
    return sqrt((p[0] - q[0]) * (p[0] - q[0]) + (p[1] - q[1]) * (p[1] - q[1]) + (p[2] - q[2]) * (p[2] - q[2]));
}

/* Protanopes, then deuteranopes: Machado, Oliveira and Fernandes, 2009, of full severity. */
static light seen_by(int kind, light l) {
    static const double m[2][3][3] = {
        { { 0.152286, 1.052583, -0.204868 }, { 0.114503, 0.786281, 0.099216 }, { -0.003882, -0.048116, 1.051998 } },
        { { 0.367322, 0.860646, -0.227968 }, { 0.280085, 0.672501, 0.047413 }, { -0.011820, 0.042940, 0.968881 } },
    };
    double v[3];
    for (int i = 0; i < 3; i++) v[i] = fmin(fmax(m[kind][i][0] * l.r + m[kind][i][1] * l.g + m[kind][i][2] * l.b, 0), 1);
    return (light){ v[0], v[1], v[2] };
}

static uint32_t fore_of(int theme, int pen) {
    uint32_t fore, back;
    theme_paint(theme, pen, &fore, &back);
    return fore;
}

static void the_palette_is_xterms(void **state) {
    (void)state;
    assert_int_equal(theme_rgb(16), 0x000000);
    assert_int_equal(theme_rgb(231), 0xffffff);
    assert_int_equal(theme_rgb(208), 0xff8700);
    assert_int_equal(theme_rgb(45), 0x00d7ff);
    assert_int_equal(theme_rgb(232), 0x080808);
    assert_int_equal(theme_rgb(255), 0xeeeeee);
    assert_int_equal(theme_rgb(9), 0xff0000);
    assert_int_equal(theme_rgb(-1), 0);
    assert_int_equal(theme_rgb(256), 0);
}

static void names_lead_to_themes(void **state) {
    (void)state;
    for (int k = 0; k < THEMES; k++) assert_int_equal(theme_find(theme_name(k)), k);
    assert_null(theme_name(THEMES));
    assert_null(theme_name(-1));
    assert_int_equal(theme_find("grey"), -1);
    assert_int_equal(theme_suited(NULL), THEME_DARK);
    assert_int_equal(theme_suited("15;0"), THEME_DARK);
    assert_int_equal(theme_suited("0;15"), THEME_LIGHT);
    assert_int_equal(theme_suited("0;default;15"), THEME_LIGHT);
    assert_int_equal(theme_suited(";"), THEME_DARK);
}

static void text_and_lines_stand_out(void **state) {
    static const int text[] = { PEN_TEXT, PEN_DIM, PEN_TITLE, PEN_GOOD, PEN_WARN, PEN_ALARM, PEN_KEY };
    (void)state;
    for (int k = 0; k < THEMES; k++) {
        uint32_t back = theme_background(k), fore, own;
        double strong = k == THEME_CONTRAST ? 7 : 4.5;
        for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
            theme_paint(k, text[i], &fore, &own);
            assert_true(contrast(fore, own) >= strong);
        }
        for (int pen = PEN_TEXT; pen < PEN_HEAT; pen++) {
            theme_paint(k, pen, &fore, &own);
            assert_true(contrast(fore, own) >= (k == THEME_CONTRAST ? 4.5 : 3));
            if (!(theme_look(k, pen, 256).attributes & LOOK_REVERSE)) assert_int_equal(own, back);
        }
        for (int pen = PEN_RUN; pen < PEN_PALE; pen++) assert_true(contrast(fore_of(k, pen), back) >= 4.5);
    }
}

static void runs_differ(void **state) {
    (void)state;
    for (int k = 0; k < THEME_MONO; k++)
        for (int a = 0; a < PEN_RUNS; a++)
            for (int b = 0; b < a; b++) {
                light p = light_of(fore_of(k, PEN_RUN + a)), q = light_of(fore_of(k, PEN_RUN + b));
                assert_true(difference(p, q) > (k == THEME_BLIND ? 28 : 40));
                for (int kind = 0; k == THEME_BLIND && kind < 2; kind++)
                    assert_true(difference(seen_by(kind, p), seen_by(kind, q)) > 28);
            }
}

static void pale_lies_behind(void **state) {
    (void)state;
    for (int k = 0; k < THEME_MONO; k++)
        for (int a = 0; a < PEN_RUNS; a++) {
            uint32_t back = theme_background(k), full = fore_of(k, PEN_RUN + a), pale = fore_of(k, PEN_PALE + a);
            assert_true(contrast(pale, back) < contrast(full, back));
            assert_true(difference(light_of(pale), light_of(full)) > 10);
        }
}

static void heat_rises_evenly(void **state) {
    (void)state;
    for (int k = 0; k < THEME_MONO; k++) {
        double before = 0, lab[3], way = k == THEME_LIGHT ? -1 : 1;
        for (int i = 0; i < PEN_HEATS; i++) {
            uint32_t fore, back;
            theme_paint(k, PEN_HEAT + i, &fore, &back);
            lab_of(light_of(back), lab);
            if (i) assert_true(way * (lab[0] - before) > 1.4 && way * (lab[0] - before) < 12);
            before = lab[0];
            assert_true(contrast(fore, back) >= 4.5);
        }
    }
}

static void every_terminal_has_looks(void **state) {
    static const int counts[] = { 0, 2, 8, 16, 88, 256, 1 << 24 };
    (void)state;
    for (int k = -1; k <= THEMES; k++)
        for (int i = 0; i < 7; i++)
            for (int pen = -1; pen <= PEN_END; pen++) {
                look l = theme_look(k, pen, counts[i]);
                int most = counts[i] >= 256 ? 256 : counts[i] >= 16 ? 16 : counts[i] >= 8 ? 8 : 0;
                assert_true(l.fore >= -1 && l.fore < (most ? most : 0));
                assert_true(l.back >= -1 && l.back < (most ? most : 0));
                if (l.fore >= 0 && l.back >= 0) assert_true(l.fore != l.back);
            }
    assert_true(theme_look(THEME_MONO, PEN_CHOSEN, 256).attributes & LOOK_REVERSE);
    assert_int_equal(theme_look(THEME_MONO, PEN_WARN, 256).fore, -1);
    for (int i = 0; i < PEN_HEATS; i += 2)
        for (int j = 0; j < i; j += 2)
            assert_true(theme_look(THEME_DARK, PEN_HEAT + i, 8).back != theme_look(THEME_DARK, PEN_HEAT + j, 8).back);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_palette_is_xterms),    cmocka_unit_test(names_lead_to_themes),
        cmocka_unit_test(text_and_lines_stand_out), cmocka_unit_test(runs_differ),
        cmocka_unit_test(pale_lies_behind),         cmocka_unit_test(heat_rises_evenly),
        cmocka_unit_test(every_terminal_has_looks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
