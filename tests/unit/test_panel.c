/* Which panels a run has, in which order, and what they are called; and the exponential average. */

#include "view.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <zlib.h>

static char folder[64], events[96];

static void write_line(FILE *f, const char *body) {
    unsigned long crc = crc32(crc32(0, NULL, 0), (const unsigned char *)body, (unsigned)strlen(body));
    fprintf(f, "%s,\"crc\":\"%08lx\"}\n", body, crc);
}

/* A run of one record with these keys, in this order; read back. */
static pitot_log *run_of(const char *const *key, int n) {
    char body[8192] = "{\"step\":1,\"wall\":1714566600";
    for (int i = 0; i < n; i++) {
        size_t at = strlen(body);
        snprintf(body + at, sizeof body - at, ",\"%s\":%d", key[i], i + 1);
    }
    FILE *f = fopen(events, "w");
    assert_non_null(f);
    write_line(f, "{\"pitot\":\"0.1.0\",\"segment\":0,\"step\":0");
    write_line(f, body);
    assert_int_equal(fclose(f), 0);
    pitot_error error = { 0 };
    pitot_log *log = pitot_log_open(folder, &error);
    assert_non_null(log);
    assert_true(pitot_log_poll(log, 0, &error) >= 0);
    return log;
}

static const char *titles(const panel_list *list) {
    static char text[2048];
    text[0] = 0;
    for (int64_t i = 0; i < list->n; i++) {
        if (i) strcat(text, " ");
        strcat(text, list->panel[i].title);
    }
    return text;
}

#define CHECK_TITLES(wanted, ...)                                  \
    do {                                                           \
        const char *const keys[] = { __VA_ARGS__ };                \
        pitot_log *log = run_of(keys, sizeof keys / sizeof *keys); \
        panel_list list;                                           \
        assert_int_equal(panel_list_make(log, &list), PITOT_OK);   \
        assert_string_equal(titles(&list), wanted);                \
        panel_list_free(&list);                                    \
        pitot_log_close(log);                                      \
    } while (0)

static void order(void **state) {
    (void)state;
    CHECK_TITLES("loss val/loss val/accuracy grad_norm update_size update_ratio distance lr", "lr", "val/accuracy", "distance",
                 "update_ratio", "update_size", "grad_norm", "val/loss", "loss");
    CHECK_TITLES("loss grad_norm test_a test_z gpu/0 zoo overhead time", "time", "zoo", "overhead", "test_z", "gpu/0", "test_a",
                 "grad_norm", "loss");
    CHECK_TITLES("val/loss val/accuracy val/bleu val/ece lr", "lr", "val/ece", "val/bleu", "val/accuracy", "val/loss");
    CHECK_TITLES("test_a test_a.rate test_z", "test_a.rate", "test_z", "test_a");
}

static void grouping(void **state) {
    (void)state;
    CHECK_TITLES("grad_norm", "grad_norm/0.weight", "grad_norm", "grad_norm/0.bias");
    CHECK_TITLES("grad_norm", "grad_norm/0.weight");
    CHECK_TITLES("test_a test_a.rate", "test_a.rate/0.weight", "test_a/0.weight", "test_a.rate");
    CHECK_TITLES("train/acc train/aux", "train/aux", "train/acc");  /* no probe of that name */
    CHECK_TITLES("mine", "mine/0.weight", "mine");                  /* one that only the host knew */
    CHECK_TITLES("val/loss val/x val", "val", "val/x", "val/loss"); /* validation is never a tensor */
    CHECK_TITLES("/x a.b/c", "a.b/c", "/x");
}

static const char *series_name(const pitot_log *log, int64_t i) {
    pitot_series s;
    assert_int_equal(pitot_log_series(log, i, &s), PITOT_OK);
    return s.name;
}

static void tensors_keep_their_order(void **state) {
    (void)state;
    static const char *const keys[] = { "grad_norm/2.weight", "loss", "grad_norm/10.bias", "grad_norm", "grad_norm/0.weight" };
    pitot_log *log = run_of(keys, 5);
    panel_list list;
    assert_int_equal(panel_list_make(log, &list), PITOT_OK);
    assert_int_equal(list.n, 2);
    assert_int_equal(list.panel[0].n, 0);
    const panel *p = &list.panel[1];
    assert_string_equal(series_name(log, p->main), "grad_norm");
    assert_int_equal(p->n, 3);
    assert_true(p->first + p->n <= list.n_series);
    assert_string_equal(series_name(log, list.series[p->first]), "grad_norm/2.weight");
    assert_string_equal(series_name(log, list.series[p->first + 1]), "grad_norm/10.bias");
    assert_string_equal(series_name(log, list.series[p->first + 2]), "grad_norm/0.weight");
    panel_list_free(&list);
    panel_list_free(&list); /* again: nothing happens */
    pitot_log_close(log);
}

static void meaning(void **state) {
    (void)state;
    static const char *const keys[] = { "test_a", "test_a.rate", "zoo", "val/loss" };
    pitot_log *log = run_of(keys, 4);
    panel_list list;
    assert_int_equal(panel_list_make(log, &list), PITOT_OK);
    assert_string_equal(titles(&list), "val/loss test_a test_a.rate zoo");
    const panel *p = list.panel;
    assert_string_equal(p[0].label, "loss on validation data");
    assert_string_equal(p[1].label, "the whole");
    assert_int_equal(p[1].scale, AXIS_SYMLOG);
    assert_int_equal(p[1].n, 0);
    assert_string_equal(p[2].label, "its rate");
    assert_string_equal(p[2].unit, "1/s");
    assert_int_equal(p[2].scale, AXIS_LOG);
    assert_string_equal(p[3].label, "");
    assert_string_equal(p[3].unit, "");
    assert_int_equal(p[3].scale, AXIS_LINEAR);
    panel_list_free(&list);
    pitot_log_close(log);
}

static void every_registered_probe(void **state) {
    (void)state;
    for (const pitot_probe *const *probe = pitot_probes(); *probe; probe++) {
        for (const pitot_output *o = (*probe)->outputs; o && o->label; o++) {
            char key[160];
            const char *const keys[] = { key };
            snprintf(key, sizeof key, "%s%s%s", (*probe)->name, o->field[0] ? "." : "", o->field);
            pitot_log *log = run_of(keys, 1);
            panel_list list;
            assert_int_equal(panel_list_make(log, &list), PITOT_OK);
            assert_int_equal(list.n, o->axis != PITOT_NOT_DRAWN);
            if (list.n) assert_true(list.panel[0].label[0] != 0);
            if (list.n) assert_int_equal(list.panel[0].main, 0);
            panel_list_free(&list);
            pitot_log_close(log);
        }
    }
}

static void long_names(void **state) {
    (void)state;
    char a[201], b[201], wide[201];
    memset(a, 'a', 200);
    memset(b, 'a', 200);
    a[200] = b[200] = 0;
    b[150] = 'b';
    for (int i = 0; i < 66; i++) memcpy(wide + 3 * i, "\xe2\x82\xac", 3);
    wide[198] = 0;
    const char *const keys[] = { a, b, wide };
    pitot_log *log = run_of(keys, 3);
    panel_list list;
    assert_int_equal(panel_list_make(log, &list), PITOT_OK);
    assert_int_equal(list.n, 3); /* told apart although their titles are cut */
    assert_int_equal(strlen(list.panel[2].title), 63);
    assert_memory_equal(list.panel[2].title + 60, "\xe2\x82\xac", 3); /* and cut between characters */
    panel_list_free(&list);
    pitot_log_close(log);
}

static void no_series(void **state) {
    (void)state;
    pitot_log *log = run_of(NULL, 0);
    panel_list list;
    assert_int_equal(panel_list_make(log, &list), PITOT_OK);
    assert_int_equal(list.n, 0);
    panel_list_free(&list);
    pitot_log_close(log);
}

/* ---- smooth ---------------------------------------------------------------------------------------------------------- */

static void smooth_known(void **state) {
    (void)state;
    double v[] = { 1, 3, 5 }, out[3];
    smooth(v, 3, 0.5, out);
    assert_true(out[0] == 1);
    assert_true(fabs(out[1] - (0.5 * 1 + 1 * 3) / 1.5) < 1e-15);
    assert_true(fabs(out[2] - (0.25 * 1 + 0.5 * 3 + 1 * 5) / 1.75) < 1e-15);
    smooth(v, 3, 0, out);
    assert_memory_equal(out, v, sizeof v);
    smooth(v, 3, NAN, out);
    assert_memory_equal(out, v, sizeof v);
    smooth(v, 0, 0.5, out);
}

static void smooth_constant(void **state) {
    (void)state;
    double v[1000];
    for (int i = 0; i < 1000; i++) v[i] = 7;
    for (double w = 0; w <= 1; w += 0.125) {
        double out[1000];
        smooth(v, 1000, w, out);
        for (int i = 0; i < 1000; i++) assert_true(fabs(out[i] - 7) < 1e-9);
    }
}

static void smooth_skips(void **state) {
    (void)state;
    double v[] = { NAN, 1, INFINITY, 3, -INFINITY, NAN, 5 }, bare[] = { 1, 3, 5 }, out[7];
    smooth(v, 7, 0.9, out);
    smooth(bare, 3, 0.9, bare); /* in place */
    assert_true(isnan(out[0]) && out[2] == INFINITY && out[4] == -INFINITY && isnan(out[5]));
    assert_true(out[1] == bare[0] && out[3] == bare[1] && out[6] == bare[2]);
}

/* ---- set-up ---------------------------------------------------------------------------------------------------------- */

static int32_t nothing(const pitot_frame *f) {
    (void)f;
    return PITOT_OK;
}

static const pitot_output outputs[] = {
    { "", PITOT_PER_TENSOR, PITOT_SYMLOG_AXIS, "", "the whole", NULL },
    { "rate", PITOT_PER_TENSOR, PITOT_LOG_AXIS, "1/s", "its rate", NULL },
    { 0 },
};
#define TEST_PROBE(the_name)                                                                                                     \
    {                                                                                                                            \
        .struct_size = sizeof(pitot_probe), .abi = PITOT_ABI, .needs = PITOT_NEED_LOSS, .presets = PITOT_FULL, .spans = 1,       \
        .name = the_name, .summary = "a probe of the test", .paper = "", .formula = "0", .outputs = outputs, .backward = nothing \
    }
static const pitot_probe probe_a = TEST_PROBE("test_a"), probe_z = TEST_PROBE("test_z");

static int set_up(void **state) {
    (void)state;
    strcpy(folder, "/tmp/pitot-panel-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(events, sizeof events, "%s/events.jsonl", folder);
    return pitot_probe_register(&probe_a) == PITOT_OK && pitot_probe_register(&probe_z) == PITOT_OK ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    unlink(events);
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order),
        cmocka_unit_test(grouping),
        cmocka_unit_test(tensors_keep_their_order),
        cmocka_unit_test(meaning),
        cmocka_unit_test(every_registered_probe),
        cmocka_unit_test(long_names),
        cmocka_unit_test(no_series),
        cmocka_unit_test(smooth_known),
        cmocka_unit_test(smooth_constant),
        cmocka_unit_test(smooth_skips),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
