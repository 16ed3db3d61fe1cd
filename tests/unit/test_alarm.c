/* Alarms: what raises one and when, what clears it, in which order they stand, what they say; and the page and the line of them. */

#include "alarm.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <zlib.h>

#include "term/page.h"
#include "term/plots.h"
#include "term/term.h"
#include "term/keys.h"

/* ---- one series ---- */

enum { MOST = 400, ROOM = 8 };

static const pitot_band above = { -INFINITY, 1.2, -INFINITY, 1.5, "too high" };
static const pitot_band below = { 0.25, INFINITY, 0, INFINITY, "too low" };

typedef struct values {
    int64_t n, step[MOST];
    double value[MOST];
} values;

static void put(values *v, int64_t count, int64_t apart, double value) {
    for (int64_t i = 0; i < count; i++, v->n++) {
        assert_true(v->n < MOST);
        v->step[v->n] = v->n ? v->step[v->n - 1] + apart : 0;
        v->value[v->n] = value;
    }
}

static alarm_episode found[ROOM];

static int64_t scan(const values *v, const pitot_band *band, enum alarm_side side) {
    pitot_series s = { .name = "x", .n = v->n, .step = v->step, .wall = v->value, .value = v->value };
    memset(found, 0, sizeof found);
    return alarm_scan(&s, band, side, found, ROOM);
}

static void spikes_raise_nothing(void **state) {
    (void)state;
    for (int64_t apart = 1; apart <= 20; apart += 19) {
        values v = { 0 };
        put(&v, 30, apart, 1);
        put(&v, 1, apart, 1e6);
        put(&v, 30, apart, 1);
        put(&v, apart == 1 ? 15 : 3, apart, INFINITY);
        put(&v, 30, apart, 1);
        assert_int_equal(scan(&v, &above, ALARM_ABOVE), 0);
    }
    values v = { 0 };
    put(&v, 3, 1, 9); /* the very first values are no more evidence than others */
    assert_int_equal(scan(&v, &above, ALARM_ABOVE), 0);
    put(&v, 20, 1, 1.2); /* the bound itself is within */
    assert_int_equal(scan(&v, &above, ALARM_ABOVE), 0);
}

/* Of 24 values, 16 beyond raise; 8 or fewer clear. Of six far between, 4 and 2. */
static void a_lasting_excess(void **state) {
    (void)state;
    values v = { 0 };
    put(&v, 100, 1, 1);
    put(&v, 15, 1, 2);
    assert_int_equal(scan(&v, &above, ALARM_ABOVE), 0);
    put(&v, 25, 1, 3);
    assert_int_equal(scan(&v, &above, ALARM_ABOVE), 1);
    assert_int_equal(found[0].level, ALARM_RAISED);
    assert_int_equal(found[0].began, 100);
    assert_int_equal(found[0].since, 100);
    assert_int_equal(found[0].raised, 115);
    assert_int_equal(found[0].ended, -1);
    assert_int_equal(found[0].last, 139);
    assert_int_equal(found[0].beyond, 24);
    assert_int_equal(found[0].of, 24);
    assert_true(found[0].value == 3 && found[0].worst == 3);
    assert_true(fabs(found[0].excess - 1) < 1e-12); /* 3 over 1.5: an octave */
    put(&v, 15, 1, 1);                              /* the ninth last is still beyond */
    assert_int_equal(scan(&v, &above, ALARM_ABOVE), 1);
    assert_int_equal(found[0].ended, -1);
    assert_true(found[0].value == 1 && found[0].worst == 3);
    put(&v, 1, 1, 1);
    assert_int_equal(scan(&v, &above, ALARM_ABOVE), 1);
    assert_int_equal(found[0].ended, 155);
    assert_int_equal(found[0].highest, ALARM_RAISED);

    values far = { 0 };
    put(&far, 10, 50, 1);
    put(&far, 3, 50, 2);
    assert_int_equal(scan(&far, &above, ALARM_ABOVE), 0);
    put(&far, 1, 50, 2);
    assert_int_equal(scan(&far, &above, ALARM_ABOVE), 1);
    assert_int_equal(found[0].began, 500);
    assert_int_equal(found[0].raised, 650);
    assert_int_equal(found[0].beyond, 4);
    assert_int_equal(found[0].of, 6);
    put(&far, 3, 50, 1); /* 3 of 6 hold it */
    assert_int_equal(scan(&far, &above, ALARM_ABOVE), 1);
    assert_int_equal(found[0].ended, -1);
    put(&far, 1, 50, 1); /* 2 do not */
    assert_int_equal(scan(&far, &above, ALARM_ABOVE), 1);
    assert_int_equal(found[0].ended, 850);
}

/* Half of the values beyond: nothing is raised; what was raised stays. */
static void values_on_the_bound(void **state) {
    (void)state;
    values v = { 0 };
    for (int i = 0; i < 100; i++) put(&v, 1, 1, i % 2 ? 2 : 1);
    assert_int_equal(scan(&v, &above, ALARM_ABOVE), 0);
    put(&v, 30, 1, 2);
    for (int i = 0; i < 100; i++) put(&v, 1, 1, i % 2 ? 2 : 1);
    assert_int_equal(scan(&v, &above, ALARM_ABOVE), 1);
    assert_int_equal(found[0].ended, -1);
}

static void levels(void **state) {
    (void)state;
    values v = { 0 };
    put(&v, 40, 1, 1.3);
    assert_int_equal(scan(&v, &above, ALARM_ABOVE), 1);
    assert_int_equal(found[0].level, ALARM_WARN);
    put(&v, 40, 1, 1.6);
    assert_int_equal(scan(&v, &above, ALARM_ABOVE), 1);
    assert_int_equal(found[0].level, ALARM_RAISED);
    assert_int_equal(found[0].began, 0);
    assert_int_equal(found[0].since, 40);
    put(&v, 40, 1, 1.3);
    assert_int_equal(scan(&v, &above, ALARM_ABOVE), 1);
    assert_int_equal(found[0].level, ALARM_WARN);
    assert_int_equal(found[0].highest, ALARM_RAISED);
    assert_int_equal(found[0].since, 0);
    put(&v, 40, 1, 1);
    assert_int_equal(scan(&v, &above, ALARM_ABOVE), 1);
    assert_int_equal(found[0].level, ALARM_RAISED); /* of what is over: the highest, and its time */
    assert_int_equal(found[0].since, 40);
    assert_int_equal(found[0].until, 94); /* 9 of the 24 values up to there are beyond 1.5 */
    assert_int_equal(found[0].ended, 135);
    assert_true(found[0].worst == 1.6);
    assert_int_equal(scan(&v, &above, ALARM_BELOW), 0);

    values late = { 0 }; /* the farthest value comes when only the warning is left */
    put(&late, 40, 1, 1.6);
    put(&late, 40, 1, 1.3);
    put(&late, 1, 1, 7);
    put(&late, 40, 1, 1);
    assert_int_equal(scan(&late, &above, ALARM_ABOVE), 1);
    assert_int_equal(found[0].level, ALARM_RAISED);
    assert_true(found[0].worst == 7);

    values low = { 0 };
    put(&low, 40, 1, 0.1);
    put(&low, 40, 1, -0.5);
    assert_int_equal(scan(&low, &below, ALARM_ABOVE), 0);
    assert_int_equal(scan(&low, &below, ALARM_BELOW), 1);
    assert_int_equal(found[0].level, ALARM_RAISED);
    assert_true(found[0].worst == -0.5);
    assert_true(fabs(found[0].excess - 2) < 1e-12); /* beside 0: in distances from warn to alarm */
}

static void not_a_number(void **state) {
    (void)state;
    values v = { 0 };
    put(&v, 50, 1, 1);
    put(&v, 1, 1, NAN);
    assert_int_equal(scan(&v, &above, ALARM_ABOVE), 0);
    assert_int_equal(scan(&v, &above, ALARM_ODD), 1);
    assert_int_equal(found[0].level, ALARM_RAISED);
    assert_int_equal(found[0].raised, 50);
    assert_int_equal(found[0].ended, -1);
    assert_true(isnan(found[0].value) && isnan(found[0].worst) && isinf(found[0].excess));
    put(&v, 1, 1, 1);
    assert_int_equal(scan(&v, &above, ALARM_ODD), 1);
    assert_int_equal(found[0].ended, 51);
    assert_true(isnan(found[0].worst));
    put(&v, 1, 1, -INFINITY);
    assert_int_equal(scan(&v, &above, ALARM_ODD), 1);
    assert_int_equal(scan(&v, &above, ALARM_STRICT), 2);
    values gaps = { 0 }; /* NaN is no good value */
    put(&gaps, 10, 50, 1);
    for (int i = 0; i < 8; i++) put(&gaps, 1, 50, i % 2 ? NAN : 2);
    assert_int_equal(scan(&gaps, &above, ALARM_ABOVE), 1);
    assert_int_equal(found[0].raised, 800);
    values lost = { 0 };
    put(&lost, 50, 1, NAN);
    assert_int_equal(scan(&lost, &above, ALARM_ABOVE), 0);
    assert_int_equal(scan(&lost, &above, ALARM_ODD), 1);
    assert_int_equal(found[0].began, 0);
}

static void many_episodes(void **state) {
    (void)state;
    values v = { 0 };
    for (int i = 0; i < 20; i++) {
        put(&v, 6, 30, 2);
        put(&v, 6, 30, 1);
    }
    assert_int_equal(scan(&v, &above, ALARM_ABOVE), ROOM); /* the latest */
    assert_int_equal(found[ROOM - 1].began, 19 * 12 * 30);
    assert_int_equal(found[0].began, 12 * 12 * 30);
    values none = { 0 };
    assert_int_equal(scan(&none, &above, ALARM_ABOVE), 0);
}

/* ---- a run ---- */

static char folder[64], events[96], manifest[96];

typedef void recorder(char *body, size_t size, int step);

static pitot_log *run_of(recorder *record, int steps, int apart) {
    char body[4096];
    FILE *f = fopen(events, "w");
    assert_non_null(f);
    for (int i = -1; i < steps; i++) {
        snprintf(body, sizeof body, i < 0 ? "{\"pitot\":\"0.1.0\",\"segment\":0,\"step\":0" : "{\"step\":%d,\"wall\":%d", i * apart,
                 i);
        if (i >= 0) record(body, sizeof body, i);
        fprintf(f, "%s,\"crc\":\"%08lx\"}\n", body, crc32(crc32(0, NULL, 0), (const unsigned char *)body, (unsigned)strlen(body)));
    }
    assert_int_equal(fclose(f), 0);
    pitot_error error = { 0 };
    pitot_log *log = pitot_log_open(folder, &error);
    assert_non_null(log);
    assert_true(pitot_log_poll(log, 0, &error) >= 0);
    return log;
}

PITOT_PRINTF(3, 4) static void add(char *body, size_t size, const char *format, ...) {
    size_t n = strlen(body);
    va_list list;
    va_start(list, format);
    vsnprintf(body + n, size - n, format, list);
    va_end(list);
}

static alarm_list list;
static panel_list panels;

static void look(const pitot_log *log) {
    panel_list_free(&panels);
    assert_int_equal(panel_list_make(log, &panels), PITOT_OK);
    assert_int_equal(alarm_list_make(log, &panels, &list), PITOT_OK);
}

static double slope;

/* The rate is 0.02 and the sharpness 1.6 times the limit: 0.0125 is at the limit. */
static void sharp(char *body, size_t size, int i) {
    add(body, size, ",\"loss\":%.9g,\"sharpness\":%g", 2 + slope * i + 0.01 * (i % 2), i < 100 ? 0.5 : 1.6);
    add(body, size, ",\"dormant_units\":%g,\"dormant_units/a\":0.01,\"dormant_units/b\":%g,\"dormant_units/c\":%g",
        i < 60 ? 0.01 : 0.25, i < 60 ? 0.01 : 0.4, i < 60 ? 0.01 : 0.3);
    add(body, size, ",\"precond_staleness\":%g,\"precond_staleness.interval\":7", i < 50 ? 0.5 : 0.001);
}

static void sentences_and_order(void **state) {
    (void)state;
    char text[1024];
    slope = 0.02;
    pitot_log *log = run_of(sharp, 140, 10);
    look(log);
    assert_int_equal(list.n, 3);
    assert_int_equal(list.active, 2);
    const alarm_entry *a = list.alarm;
    assert_string_equal(a[0].output, "dormant_units"); /* 0.4 over 0.2 is farther than 1.6 over 1.5 */
    assert_string_equal(a[0].tensor, "b");
    assert_int_equal(a[0].tensors, 2);
    assert_int_equal(a[0].of, 3);
    assert_int_equal(a[0].e.level, ALARM_RAISED);
    alarm_headline(&a[0], text, sizeof text);
    assert_string_equal(text, "dormant_units of b (2 of 3 tensors) 0.4, above 0.2, for 790 steps while the loss rises");
    assert_string_equal(a[1].output, "sharpness");
    assert_int_equal(a[1].e.level, ALARM_RAISED);
    assert_int_equal(a[1].loss, LOSS_RISES);
    alarm_sentence(log, &a[1], text, sizeof text);
    assert_memory_equal(text, "sharpness 1.6, above 1.5, for 390 steps while the loss rises: ", 62);
    assert_non_null(strstr(text, "; try a learning rate below 0.012"));
    assert_string_equal(a[2].output, "precond_staleness");
    assert_int_equal(a[2].e.began, 0);
    assert_true(a[2].e.ended > 490 && a[2].e.ended <= 530);
    pitot_log_close(log);

    slope = -0.02; /* what foretells a rise is a warning while the loss falls, or stays */
    log = run_of(sharp, 140, 10);
    look(log);
    assert_string_equal(list.alarm[1].output, "sharpness");
    assert_int_equal(list.alarm[1].e.level, ALARM_WARN);
    assert_int_equal(list.alarm[1].loss, LOSS_FALLS);
    assert_int_equal(list.alarm[0].e.level, ALARM_RAISED); /* silent units are silent all the same */
    pitot_log_close(log);
    slope = 0;
    log = run_of(sharp, 140, 10);
    look(log);
    assert_int_equal(list.alarm[1].loss, LOSS_LEVEL);
    assert_int_equal(list.alarm[1].e.level, ALARM_WARN);
    pitot_log_close(log);
}

static void noisy(char *body, size_t size, int i) {
    add(body, size, ",\"loss\":%.9g,\"early_stopping\":0.9", 2 + slope * i + 0.01 * (i % 2));
}

/* Mini-batch gradients are within their noise in healthy runs, too: it matters when the loss does not fall any more. */
static void nothing_left_to_learn(void **state) {
    (void)state;
    slope = -0.01;
    pitot_log *log = run_of(noisy, 60, 1);
    look(log);
    assert_int_equal(list.n, 0);
    pitot_log_close(log);
    slope = 0;
    log = run_of(noisy, 60, 1);
    look(log);
    assert_int_equal(list.active, 1);
    assert_int_equal(list.alarm[0].e.level, ALARM_WARN);
    pitot_log_close(log);
}

static void numbers_to_try(void **state) {
    (void)state;
    char text[128];
    slope = 0;
    pitot_log *log = run_of(sharp, 20, 1);
    static const struct {
        const char *output, *says;
        double value;
    } wanted[] = {
        { "sharpness", "a learning rate below 0.01", 2 },
        { "batch_sharpness.ratio", "a learning rate below 0.005", 4 },
        { "critical_step", "a learning rate below 0.01", 0.5 },
        { "critical_step", "", -1 },
        { "update_ratio", "a learning rate of about 0.002, at which it is a thousandth", 0.01 },
        { "precond_staleness", "a refresh every 7 steps", 0.5 },
        { "batch_efficiency", "", 0.99 }, /* critical_batch is not in this log */
        { "grad_norm", "", 3 },
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        alarm_try(log, wanted[i].output, wanted[i].value, 10, text, sizeof text);
        assert_string_equal(text, wanted[i].says);
    }
    pitot_log_close(log);
    assert_int_equal(unlink(manifest), 0); /* the rate is not known then */
    log = run_of(sharp, 20, 1);
    alarm_try(log, "sharpness", 2, 10, text, sizeof text);
    assert_string_equal(text, "a learning rate below 0.5 times what it is");
    pitot_log_close(log);
}

static void broken(char *body, size_t size, int i) {
    if (i < 30) add(body, size, ",\"loss\":1,\"grad_norm\":1,\"noise_scale\":1");
    else
        add(body, size,
            ",\"loss\":null,\"loss#nf\":\"nan\",\"grad_norm\":null,\"grad_norm#nf\":\"inf\",\"noise_scale\":null,\"noise_scale#"
            "nf\":\"inf\"");
}

static void what_all_hangs_on(void **state) {
    (void)state;
    char text[1024];
    pitot_log *log = run_of(broken, 31, 1);
    look(log);
    assert_int_equal(list.active, 2); /* a noise scale may be infinite */
    assert_string_equal(list.alarm[0].output, "loss");
    assert_string_equal(list.alarm[1].output, "grad_norm");
    alarm_headline(&list.alarm[0], text, sizeof text);
    assert_string_equal(text, "loss nan at step 30");
    pitot_log_close(log);
}

/* ---- the screen ---- */

static screen s;

static const char *drawn(const shown *all, int rows, int cols) {
    static char text[1 << 16];
    char line[1024];
    text[0] = 0;
    assert_int_equal(screen_draw(&s, all, rows, cols), PITOT_OK);
    for (int row = 0; row < rows; row++) {
        canvas_row(&s.canvas, row, line);
        strcat(strcat(text, line), "\n");
    }
    return text;
}

static void the_page_and_the_line(void **state) {
    (void)state;
    slope = 0.02;
    pitot_log *log = run_of(sharp, 140, 10);
    look(log);
    shown_run one = { .name = "r", .log = log, .panels = &panels, .alarms = &list, .trouble = "" };
    shown all = { .run = &one, .runs = 1, .now = 1e9 };
    memset(&s, 0, sizeof s);
    s.canvas.ascii = 1;
    assert_non_null(strstr(drawn(&all, 30, 100), "alarm dormant_units of b"));
    assert_non_null(strstr(drawn(&all, 30, 100), "and 1 more"));
    assert_int_equal(screen_key(&s, &all, 'a'), 1);
    assert_non_null(strstr(drawn(&all, 30, 100), "s silence"));
    assert_non_null(strstr(drawn(&all, 30, 100), "below 0.012"));
    assert_non_null(strstr(drawn(&all, 30, 100), "6 of the latest 6 values beyond, the farthest 1.6"));
    assert_int_equal(screen_key(&s, &all, 's'), 1);
    assert_non_null(strstr(drawn(&all, 30, 100), "silenced"));
    assert_int_equal(screen_key(&s, &all, 'a'), 1);
    assert_non_null(strstr(drawn(&all, 30, 100), "alarm sharpness 1.6"));
    assert_null(strstr(drawn(&all, 30, 100), "alarm dormant_units"));
    look(log); /* silence stays */
    assert_string_equal(alarm_first(&list)->output, "sharpness");
    screen_key(&s, &all, 'a');
    screen_key(&s, &all, 'j');
    screen_key(&s, &all, 's');
    assert_null(alarm_first(&list));
    screen_key(&s, &all, 's');
    assert_non_null(alarm_first(&list));
    screen_key(&s, &all, TERM_ENTER);
    assert_string_equal(page_by_rank(s.page)->name, "plots");
    const plots *p = screen_own(&s, "plots");
    assert_int_equal(p->enlarged, 1);
    assert_non_null(strstr(drawn(&all, 30, 100), "sharpness"));
    assert_string_equal(panels.panel[p->selected].title, "sharpness");
    for (int rows = 1; rows < 12; rows++)
        for (int cols = 1; cols < 60; cols += 7) {
            screen_open(&s, rows % 2 ? "alarms" : "plots");
            drawn(&all, rows, cols);
            screen_key(&s, &all, 'j');
        }
    screen_open(&s, "alarms");
    screen_key(&s, &all, TERM_HOME);
    screen_key(&s, &all, 'j');
    screen_key(&s, &all, 'j'); /* one row of body: the selected one is in it */
    assert_non_null(strstr(drawn(&all, 2, 100), "precond_staleness"));
    screen_free(&s);
    pitot_log_close(log);
}

static int set_up(void **state) {
    (void)state;
    strcpy(folder, "/tmp/pitot-alarm-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(events, sizeof events, "%s/events.jsonl", folder);
    snprintf(manifest, sizeof manifest, "%s/run.json", folder);
    return 0;
}

static int write_manifest(void **state) {
    (void)state;
    FILE *f = fopen(manifest, "w");
    if (!f) return -1;
    fputs("{\"optimizer\":{\"name\":\"sgd\",\"options\":{\"lr\":\"0.02\"}}}\n", f);
    return fclose(f);
}

static int tear_down(void **state) {
    (void)state;
    alarm_list_free(&list);
    panel_list_free(&panels);
    unlink(manifest);
    unlink(events);
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spikes_raise_nothing),
        cmocka_unit_test(a_lasting_excess),
        cmocka_unit_test(values_on_the_bound),
        cmocka_unit_test(levels),
        cmocka_unit_test(not_a_number),
        cmocka_unit_test(many_episodes),
        cmocka_unit_test_setup(sentences_and_order, write_manifest),
        cmocka_unit_test(nothing_left_to_learn),
        cmocka_unit_test_setup(numbers_to_try, write_manifest),
        cmocka_unit_test_setup(what_all_hangs_on, write_manifest),
        cmocka_unit_test_setup(the_page_and_the_line, write_manifest),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
