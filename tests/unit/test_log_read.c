/* Reading run directories: nothing that happens to a file may make a wrong number appear. */

#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <setjmp.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "pitot/log.h"

/* ---- a run directory to play with ------------------------------------------------------------------------------------ */

static char folder[64], events[96], manifest[96];

static int make_folder(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/pitot-test-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(events, sizeof events, "%s/events.jsonl", folder);
    snprintf(manifest, sizeof manifest, "%s/run.json", folder);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    unlink(events);
    unlink(manifest);
    return rmdir(folder);
}

static void put_bytes(const char *path, const char *mode, const char *bytes, size_t size) {
    FILE *f = fopen(path, mode);
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    fclose(f);
}

static void append_text(const char *text) {
    put_bytes(events, "a", text, strlen(text));
}

/* "BODY" -> "BODY,"crc":"xxxxxxxx"}\n"; the body begins with its brace. */
static int sign(char *out, size_t size, const char *body) {
    unsigned long sum = crc32(crc32(0, NULL, 0), (const unsigned char *)body, (unsigned)strlen(body));
    return snprintf(out, size, "%s,\"crc\":\"%08lx\"}\n", body, sum);
}

__attribute__((format(printf, 1, 2))) static void append(const char *format, ...) {
    char body[4096], line[4200];
    va_list list;
    va_start(list, format);
    vsnprintf(body, sizeof body, format, list);
    va_end(list);
    sign(line, sizeof line, body);
    append_text(line);
}

static void empty_file(void) {
    put_bytes(events, "w", "", 0);
}

static pitot_log *open_log(void) {
    pitot_error error = { 0 };
    pitot_log *log = pitot_log_open(folder, &error);
    assert_string_equal(error.text, "");
    assert_non_null(log);
    return log;
}

static pitot_log *read_log(void) {
    pitot_log *log = open_log();
    assert_true(pitot_log_poll(log, 0, NULL) >= 0);
    return log;
}

static pitot_log_state state_of(const pitot_log *log) {
    pitot_log_state s = { .struct_size = sizeof s };
    pitot_log_get_state(log, &s);
    return s;
}

static pitot_series series_of(const pitot_log *log, const char *name) {
    pitot_series s;
    assert_int_equal(pitot_log_series(log, pitot_log_find(log, name), &s), PITOT_OK);
    return s;
}

/* ---- what is read ---------------------------------------------------------------------------------------------------- */

static void reads_series(void **state) {
    (void)state;
    empty_file();
    append("{\"pitot\":\"0.1.0\",\"segment\":0,\"step\":0,\"steps\":100,\"wall\":1000.5");
    append("{\"step\":0,\"wall\":1001,\"loss\":0.5,\"grad_norm/0.weight\":2");
    append("{\"step\":0,\"list\":[1,2,[3]],\"text\":\"a\",\"object\":{\"a\":[\"]\"]}");
    append("{\"step\":1,\"wall\":1002.5,\"loss\":2.5e-1,\"hit\":true");
    append("{\"step\": 1, \"wall\": 1003 , \"loss\" :0.125, \"late\":-7, \"hit\":false");
    append("{\"end\":\"done\",\"wall\":1010");
    pitot_log *log = read_log();
    pitot_log_state s = state_of(log);
    assert_int_equal(s.records, 4);
    assert_int_equal(s.damaged, 0);
    assert_int_equal(s.tail, 0);
    assert_int_equal(s.segments, 1);
    assert_int_equal(s.last_step, 1);
    assert_int_equal(s.steps, 100);
    assert_int_equal(s.ended, PITOT_LOG_DONE);
    assert_true(s.first_wall == 1000.5 && s.last_wall == 1010);
    assert_int_equal(pitot_log_series_count(log), 4);
    pitot_series x = series_of(log, "loss");
    assert_int_equal(x.n, 2);
    assert_true(x.step[0] == 0 && x.value[0] == 0.5 && x.wall[0] == 1001);
    assert_true(x.step[1] == 1 && x.value[1] == 0.125 && x.wall[1] == 1003);
    assert_true(series_of(log, "grad_norm/0.weight").value[0] == 2);
    assert_true(series_of(log, "hit").value[0] == 0);
    assert_int_equal(pitot_log_series(log, 4, &x), PITOT_EINVAL);
    assert_int_equal(pitot_log_find(log, "list"), -1);
    assert_int_equal(pitot_log_poll(log, 0, NULL), 0);
    pitot_log_close(log);
}

/* The list is as the numbers in `expected` up to the first 0, at that step. */
static void assert_list(const pitot_log *log, const char *name, int64_t step, int64_t at, const double *expected) {
    double v[8];
    int64_t where = -1, n = pitot_log_read_list(log, pitot_log_find_list(log, name), step, v, 8, &where), length = 0;
    while (expected[length] != 0) length++;
    assert_int_equal(n, length);
    assert_int_equal(where, at);
    for (int64_t i = 0; i < n; i++) assert_true(isnan(expected[i]) ? isnan(v[i]) : v[i] == expected[i]);
}

static void reads_lists(void **state) {
    (void)state;
    static const double none[] = { 0 }, first[] = { 1.5, -2, NAN, 1e300, 0 }, second[] = { 7, 8, 0 }, again[] = { 9, 0 };
    double v[3];
    pitot_list list;
    empty_file();
    append("{\"pitot\":\"0.1.0\",\"segment\":0,\"step\":0");
    append(
        "{\"step\":3,\"h\":[1.5, -2,null ,1e300],\"deep\":[[1]],\"words\":[\"a\"],\"odd\":[1,,2],\"true\":[true],\"g\\u0068\":[]");
    append("{\"step\":5,\"h\":1,\"loss\":2");
    append("{\"step\":9,\"h\":[7,8]");
    pitot_log *log = read_log();
    assert_int_equal(pitot_log_list_count(log), 4);
    assert_int_equal(pitot_log_series_count(log), 2); /* h is a number, too: another series */
    assert_int_equal(pitot_log_list(log, pitot_log_find_list(log, "h"), &list), PITOT_OK);
    assert_true(list.n == 2 && list.step[0] == 3 && list.step[1] == 9 && strcmp(list.name, "h") == 0);
    assert_list(log, "h", INT64_MAX, 9, second);
    assert_list(log, "h", 8, 3, first);
    assert_list(log, "h", 3, 3, first);
    assert_list(log, "gh", 3, 3, none);
    assert_int_equal(pitot_log_read_list(log, pitot_log_find_list(log, "h"), 2, v, 3, NULL), PITOT_EINVAL);
    assert_int_equal(pitot_log_read_list(log, pitot_log_find_list(log, "h"), 3, v, 3, NULL), 4); /* more than there is room for */
    assert_true(v[0] == 1.5 && v[1] == -2 && isnan(v[2]));
    assert_int_equal(pitot_log_read_list(log, pitot_log_find_list(log, "h"), 3, NULL, 0, NULL), 4);
    assert_int_equal(pitot_log_read_list(log, pitot_log_find_list(log, "odd"), 3, v, 3, NULL), PITOT_EIO);
    assert_int_equal(pitot_log_read_list(log, pitot_log_find_list(log, "true"), 3, v, 3, NULL), PITOT_EIO);
    assert_int_equal(pitot_log_find_list(log, "deep"), -1);
    assert_int_equal(pitot_log_find_list(log, "words"), -1);
    assert_int_equal(pitot_log_read_list(log, -1, 3, v, 3, NULL), PITOT_EINVAL);
    assert_int_equal(pitot_log_list(log, 4, &list), PITOT_EINVAL);
    append("{\"pitot\":\"0.1.0\",\"segment\":1,\"step\":4"); /* steps from 4 on are void */
    append("{\"step\":3,\"h\":[9]");
    assert_int_equal(pitot_log_poll(log, 0, NULL), 1);
    assert_list(log, "h", INT64_MAX, 3, again);
    pitot_log_close(log);
}

/* A list is read from the file when it is asked for: what is there by then may be something else. */
static void lists_of_a_changed_file(void **state) {
    (void)state;
    double v[8];
    empty_file();
    append("{\"step\":0,\"h\":[1,2,3]");
    append("{\"step\":1,\"h\":[4,5,6]");
    pitot_log *log = read_log();
    assert_int_equal(pitot_log_read_list(log, 0, 1, v, 8, NULL), 3);
    empty_file();
    assert_int_equal(pitot_log_read_list(log, 0, 1, v, 8, NULL), PITOT_EIO);
    append("{\"step\":0,\"h\":[1,2,3]");
    append("{\"step\":7,\"h\":[4,5,6]");
    assert_int_equal(pitot_log_read_list(log, 0, 0, v, 8, NULL), 3);
    assert_int_equal(pitot_log_read_list(log, 0, 1, v, 8, NULL), PITOT_EIO);
    char line[128];
    int n = sign(line, sizeof line, "{\"step\":0,\"h\":[1,2,3]");
    line[n - 21] ^= 1; /* the last digit of the list */
    put_bytes(events, "w", line, (size_t)n);
    assert_int_equal(pitot_log_read_list(log, 0, 0, v, 8, NULL), PITOT_EIO);
    pitot_log_close(log);
}

static void shows_not_finite_values(void **state) {
    (void)state;
    empty_file();
    append("{\"step\":0,\"a\":null,\"a#nf\":\"nan\",\"b\":null,\"b#nf\":\"inf\"");
    append("{\"step\":0,\"c#nf\":\"-inf\",\"c\":null,\"d\":null,\"e#nf\":\"x\"");
    pitot_log *log = read_log();
    assert_true(isnan(series_of(log, "a").value[0]));
    assert_true(isnan(series_of(log, "a").wall[0]));
    assert_true(series_of(log, "b").value[0] == INFINITY);
    assert_true(series_of(log, "c").value[0] == -INFINITY);
    assert_int_equal(pitot_log_series_count(log), 3);
    pitot_log_close(log);
}

static void later_segments_win(void **state) {
    (void)state;
    empty_file();
    append("{\"pitot\":\"0.1.0\",\"segment\":0,\"step\":0");
    for (int i = 0; i < 10; i++) append("{\"step\":%d,\"loss\":%d,\"old\":%d", i, i, i);
    append("{\"end\":\"interrupted\"");
    append("{\"pitot\":\"0.1.0\",\"segment\":1,\"step\":6");
    pitot_log *log = read_log();
    assert_int_equal(state_of(log).last_step, 5);
    assert_int_equal(state_of(log).ended, PITOT_LOG_OPEN);
    assert_int_equal(series_of(log, "loss").n, 6);
    append("{\"step\":6,\"loss\":60");
    append("{\"step\":5,\"late\":1,\"loss\":50");
    append("{\"step\":7,\"loss\":70");
    assert_int_equal(pitot_log_poll(log, 0, NULL), 1);
    pitot_series x = series_of(log, "loss");
    assert_int_equal(x.n, 8);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(x.step[i], i);
        assert_true(x.value[i] == (i < 5 ? i : 10 * i));
    }
    assert_int_equal(series_of(log, "old").n, 6);
    assert_int_equal(state_of(log).segments, 2);
    assert_int_equal(state_of(log).last_step, 7);
    pitot_log_close(log);
}

/* A reader in the simplest form: everything in a table, in the order of the file. */
enum { MODEL_STEPS = 64 };

static void compare_to_model(const pitot_log *log, const double *model) {
    int64_t i = pitot_log_find(log, "v"), n = 0;
    pitot_series x = { 0 };
    if (i >= 0) pitot_log_series(log, i, &x);
    for (int step = 0; step < MODEL_STEPS; step++) {
        if (isnan(model[step])) continue;
        assert_true(n < x.n);
        assert_int_equal(x.step[n], step);
        assert_true(x.value[n] == model[step]);
        n++;
    }
    assert_int_equal(n, x.n);
}

static void any_order_of_steps(void **state) {
    (void)state;
    double model[MODEL_STEPS];
    srand(7);
    for (int round = 0; round < 60; round++) {
        empty_file();
        pitot_log *log = open_log();
        for (int i = 0; i < MODEL_STEPS; i++) model[i] = NAN;
        for (int line = 0; line < 120; line++) {
            int step = rand() % MODEL_STEPS;
            if (rand() % 12 == 0) {
                append("{\"pitot\":\"0.1.0\",\"segment\":1,\"step\":%d", step);
                for (int i = step; i < MODEL_STEPS; i++) model[i] = NAN;
            } else {
                append("{\"step\":%d,\"v\":%d", step, line);
                model[step] = line;
            }
            if (rand() % (round + 1) == 0) {
                assert_int_equal(pitot_log_poll(log, rand() % 200, NULL), 1);
                while (pitot_log_poll(log, 1 + rand() % 60, NULL) > 0) continue;
                compare_to_model(log, model);
            }
        }
        assert_true(pitot_log_poll(log, 0, NULL) >= 0);
        compare_to_model(log, model);
        pitot_log_close(log);
    }
}

/* ---- columns that stand on the same rows ----------------------------------------------------------------------------- */

/* Whole records cost 16 bytes each and 8 a value, wherever the columns begin; one that pauses keeps to the shared rows while it is
   behind, one that goes its own way has its own. */
static void shares_rows(void **state) {
    (void)state;
    enum { STEPS = 20000, NAMES = 10 };
    int64_t before = mem_count().bytes;
    FILE *f = fopen(events, "w");
    char body[512], line[600];
    for (int step = 0; step < STEPS; step++) {
        int n = sprintf(body, "{\"step\":%d,\"wall\":%d.5", step, step);
        for (int k = 0; k < NAMES; k++) n += sprintf(body + n, ",\"k%d\":%d", k, step + k);
        if (step % 10 == 0) n += sprintf(body + n, ",\"ten/a\":1,\"ten/b\":2");
        if (step < 50) sprintf(body + n, ",\"early\":%d", step);
        sign(line, sizeof line, body);
        fputs(line, f);
    }
    fclose(f);
    pitot_log *log = read_log();
    pitot_series first = series_of(log, "k0"), tenth = series_of(log, "ten/a");
    assert_int_equal(first.n, STEPS);
    for (int k = 1; k < NAMES; k++) {
        char name[16];
        snprintf(name, sizeof name, "k%d", k);
        assert_ptr_equal(series_of(log, name).step, first.step);
        assert_ptr_equal(series_of(log, name).wall, first.wall);
    }
    assert_ptr_equal(series_of(log, "early").step, first.step);
    assert_int_equal(series_of(log, "early").n, 50);
    assert_ptr_equal(series_of(log, "ten/b").step, tenth.step);
    assert_ptr_not_equal(tenth.step, first.step);
    assert_int_equal(tenth.n, STEPS / 10);
    assert_true(tenth.step[7] == 70 && tenth.wall[7] == 70.5);
    int64_t needed = STEPS * (16 + 8 * NAMES) + STEPS / 10 * (16 + 2 * 8);
    assert_true(mem_count().bytes - before < needed * 3 / 2 + (1 << 20)); /* rooms grow by half; the reader's buffer */
    pitot_log_close(log);
}

/* Records of any series at any step with any wall time, and headers: each series against a table of its own. */
enum { TRACKS = 5 };

typedef struct track {
    double value[MODEL_STEPS], wall[MODEL_STEPS]; /* value NaN: none */
} track;

static void compare_to_tracks(const pitot_log *log, const track *model) {
    for (int k = 0; k < TRACKS; k++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", k);
        int64_t i = pitot_log_find(log, name), n = 0;
        pitot_series x = { 0 };
        if (i >= 0) pitot_log_series(log, i, &x);
        for (int step = 0; step < MODEL_STEPS; step++) {
            if (isnan(model[k].value[step])) continue;
            assert_true(n < x.n);
            assert_int_equal(x.step[n], step);
            assert_true(x.value[n] == model[k].value[step] && x.wall[n] == model[k].wall[step]);
            n++;
        }
        assert_int_equal(n, x.n);
    }
}

static void void_tracks(track *model, int from) {
    for (int k = 0; k < TRACKS; k++)
        for (int i = from; i < MODEL_STEPS; i++) model[k].value[i] = NAN;
}

/* A record of the series in `which` at `step`. */
static void append_record(track *model, int step, double wall, int which, int mark) {
    char body[256];
    int n = snprintf(body, sizeof body, "{\"step\":%d,\"wall\":%.17g", step, wall);
    for (int k = 0; k < TRACKS; k++) {
        if (!(which >> k & 1)) continue;
        model[k].value[step] = mark + 1000 * k;
        model[k].wall[step] = wall;
        n += snprintf(body + n, sizeof body - (size_t)n, ",\"t%d\":%d", k, mark + 1000 * k);
    }
    append("%s", body);
}

static void any_company_of_series(void **state) {
    (void)state;
    static track model[TRACKS];
    srand(11);
    for (int round = 0; round < 120; round++) {
        int wild = round % 4; /* 0: steps ascend; 1: they repeat; 2: they go back now and then; 3: any */
        int step = 0, which = (1 << TRACKS) - 1;
        empty_file();
        void_tracks(model, 0);
        pitot_log *log = open_log();
        for (int line = 0; line < 90; line++) {
            if (rand() % 5 == 0) which = rand() % (1 << TRACKS);
            if (rand() % 15 == 0) {
                step = rand() % (step + 1);
                append("{\"pitot\":\"0.1.0\",\"segment\":1,\"step\":%d", step);
                void_tracks(model, step);
            }
            append_record(model, step, rand() % 3 ? step : line + 0.5, which, line);
            if (wild == 0 || rand() % 3) step = (step + 1) % MODEL_STEPS;
            if (wild == 2 && rand() % 8 == 0) step = rand() % (step + 1);
            if (wild == 3) step = rand() % MODEL_STEPS;
            if (rand() % 6 == 0) {
                while (pitot_log_poll(log, rand() % 3 ? 0 : 1 + rand() % 100, NULL) > 0) continue;
                compare_to_tracks(log, model);
            }
        }
        assert_true(pitot_log_poll(log, 0, NULL) >= 0);
        compare_to_tracks(log, model);
        pitot_log_close(log);
    }
}

/* Two parted at their sixth row; a header then left three rows of each, and they went on apart. A third that parts from the first at the
   sixth row again must not be taken to have gone with the second. */
static void parted_before_a_header(void **state) {
    (void)state;
    static const int expected[] = { 0, 1, 2, 13, 14, 20 };
    empty_file();
    for (int i = 0; i < 5; i++) append("{\"step\":%d,\"wall\":1,\"lead\":%d,\"b\":%d,\"c\":%d", i, i, i, i);
    append("{\"step\":5,\"wall\":1,\"lead\":5");
    append("{\"step\":7,\"wall\":1,\"lead\":7,\"b\":7");
    append("{\"pitot\":\"0.1.0\",\"segment\":1,\"step\":3");
    for (int i = 13; i < 15; i++) append("{\"step\":%d,\"wall\":1,\"lead\":%d,\"c\":%d", i, i, i);
    for (int i = 15; i < 17; i++) append("{\"step\":%d,\"wall\":1,\"b\":%d", i, i);
    append("{\"step\":17,\"wall\":1,\"lead\":17");
    append("{\"step\":20,\"wall\":1,\"lead\":20,\"b\":20,\"c\":20");
    pitot_log *log = read_log();
    pitot_series c = series_of(log, "c"), b = series_of(log, "b");
    assert_int_equal(c.n, 6);
    assert_int_equal(b.n, 6);
    for (int i = 0; i < 6; i++)
        assert_true(c.step[i] == expected[i] && c.value[i] == expected[i] && b.value[i] == (double)b.step[i]);
    pitot_log_close(log);
}

/* Records that come twice with another time must not make reading quadratic: what is asked for in all stays within a small multiple of
   what is kept. */
static void repeated_records_are_cheap(void **state) {
    (void)state;
    enum { STEPS = 3000 };
    FILE *f = fopen(events, "w");
    char body[256], line[300];
    for (int i = 0; i < 2 * STEPS; i++) {
        snprintf(body, sizeof body, "{\"step\":%d,\"wall\":%d,\"t0\":%d,\"t1\":%d,\"t2\":%d", i / 2, i, i, i, i);
        sign(line, sizeof line, body);
        fputs(line, f);
    }
    fclose(f);
    int64_t requests = mem_count().requests;
    pitot_log *log = read_log();
    assert_true(mem_count().requests - requests < 300);
    pitot_series x = series_of(log, "t2");
    assert_int_equal(x.n, STEPS);
    for (int i = 0; i < STEPS; i++) assert_true(x.step[i] == i && x.wall[i] == 2 * i + 1 && x.value[i] == 2 * i + 1);
    pitot_log_close(log);
}

static void numbers_are_exact(void **state) {
    (void)state;
    static char body[1 << 16], line[1 << 17];
    uint64_t bits = 88172645463325252u;
    for (int round = 0; round < 500; round++) {
        double expected[200];
        int n = snprintf(body, sizeof body, "{\"step\":%d", round), count = 0;
        while (count < 200) {
            char text[64];
            bits ^= bits << 13, bits ^= bits >> 7, bits ^= bits << 17;
            double v;
            memcpy(&v, &bits, sizeof v);
            if (count % 2) v = ldexp((double)(int64_t)bits, -63) * pow(10, (int)(bits % 60) - 30); /* where logs live */
            if (!isfinite(v)) continue;
            snprintf(text, sizeof text, count % 5 == 4 ? "%.25g" : count % 5 == 3 ? "%.9g" : "%.17g", v);
            expected[count] = strtod(text, NULL);
            n += snprintf(body + n, sizeof body - (size_t)n, ",\"k%d\":%s", count++, text);
        }
        empty_file();
        sign(line, sizeof line, body);
        append_text(line);
        pitot_log *log = read_log();
        for (int i = 0; i < 200; i++) {
            char name[16];
            snprintf(name, sizeof name, "k%d", i);
            double got = series_of(log, name).value[0];
            assert_memory_equal(&got, &expected[i], sizeof got);
        }
        pitot_log_close(log);
    }
}

static void hard_numbers(void **state) {
    (void)state;
    static const char *const texts[] = {
        "0",
        "-0",
        "-0.0",
        "1e22",
        "1e23",
        "9007199254740993",
        "9007199254740992.99999999999999999999",
        "2.2250738585072011e-308",
        "4.9e-324",
        "2e-324",
        "1.7976931348623157e308",
        "123456789012345678",
        "1234567890123456789",
        "12345678901234567890",
        "0.000000000000000000000000000000000001",
        "1e-27",
        "1e27",
        "99999999999999999999e-27",
        "6.631236846766476e-316",
        "1E+2",
        "18446744073709551615",
        "1e0000000000000000000001",
        "0e99999999999999999999",
        "00000000",
        "8.5e-27",
        "1e28",
        "1e-28",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        empty_file();
        append("{\"step\":0,\"v\":%s", texts[i]);
        pitot_log *log = read_log();
        double expected = strtod(texts[i], NULL), got;
        if (strcmp(texts[i], "00000000") == 0) {
            assert_int_equal(state_of(log).damaged, 1);
        } else {
            got = series_of(log, "v").value[0];
            assert_memory_equal(&got, &expected, sizeof got);
        }
        pitot_log_close(log);
    }
}

static void refuses_what_is_not_json(void **state) {
    (void)state;
    static const char *const bodies[] = {
        "{\"step\":0,\"v\":01",
        "{\"step\":0,\"v\":+1",
        "{\"step\":0,\"v\":.5",
        "{\"step\":0,\"v\":5.",
        "{\"step\":0,\"v\":1e",
        "{\"step\":0,\"v\":nan",
        "{\"step\":0,\"v\":0x10",
        "{\"step\":0,\"v\":1 2",
        "{\"step\":0,\"v\":tru",
        "{\"step\":0,\"v\":\"a\nb\"",
        "{\"step\":0,\"v\":\"\\x\"",
        "{\"step\":0,\"v\":\"\\u12g4\"",
        "{\"step\":0,\"v\":[1,2",
        "{\"step\":0,\"v\":[}",
        "{\"step\":0 \"v\":1",
        "{\"step\":0,,\"v\":1",
        "{,\"step\":0",
        "[\"step\",0",
        "\"step\":0",
        "{\"step\":-1,\"v\":1",
        "{\"step\":0.5,\"v\":1",
        "{\"step\":9007199254740993,\"v\":1",
        "{\"step\":1e300,\"v\":1",
        "{\"step\":null,\"v\":1",
        "{\"step\":\"0\",\"v\":1",
        "{\"step\":0,v:1",
        "{\"step\":0,\"v\":1}",
        "{\"step\":0,\"v\":-",
        "{\"step\":0,\"v\":1,\"n\":{\"a\":[1}]",
        "{\"step\":0,\"v\":'a'",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        char line[256];
        empty_file();
        int length = sign(line, sizeof line, bodies[i]);
        append_text("\n");
        append("{\"step\":3,\"good\":1");
        append_text(line);
        append("{\"step\":4,\"good\":1");
        pitot_log *log = read_log();
        assert_true(state_of(log).damaged > 0);
        assert_int_equal(state_of(log).damaged_at, 3);
        assert_int_equal(state_of(log).records, 2);
        assert_int_equal(pitot_log_find(log, "v"), -1);
        assert_int_equal(pitot_log_check(line, length - 1), 0);
        pitot_log_close(log);
    }
}

static void accepts_the_largest_step(void **state) {
    (void)state;
    empty_file();
    append("{\"step\":9007199254740992,\"v\":1");
    append("{\"step\":3e0,\"v\":2");
    pitot_log *log = read_log();
    assert_true(series_of(log, "v").step[0] == 3 && series_of(log, "v").step[1] == (int64_t)1 << 53);
    assert_true(state_of(log).last_step == (int64_t)1 << 53);
    pitot_log_close(log);
}

static void names_of_any_kind(void **state) {
    (void)state;
    empty_file();
    append("{\"step\":0,\"a\\\"b\\\\\\n\":1,\"\\u00e9\\ud83d\\ude00\\u0000\\ud800\":2,\"\xff\xfe\":3,\"\":4,\"a\\/b\":5");
    append("{\"step\":1,\"a\\\"b\\\\\\n\":6");
    pitot_log *log = read_log();
    assert_int_equal(state_of(log).damaged, 0);
    assert_int_equal(series_of(log, "a\"b\\\n").n, 2);
    assert_true(series_of(log, "\xc3\xa9\xf0\x9f\x98\x80\xef\xbf\xbd\xef\xbf\xbd").value[0] == 2);
    assert_true(series_of(log, "\xff\xfe").value[0] == 3);
    assert_true(series_of(log, "").value[0] == 4);
    assert_true(series_of(log, "a/b").value[0] == 5);
    pitot_log_close(log);
}

static void many_names(void **state) {
    (void)state;
    enum { NAMES = 100000 };
    char *body = malloc(NAMES * 20), *line = malloc(NAMES * 20 + 64), name[16];
    int64_t blocks = mem_count().blocks;
    int n = sprintf(body, "{\"step\":0");
    for (int i = 0; i < NAMES; i++) n += sprintf(body + n, ",\"k%d\":%d", i, i);
    sign(line, NAMES * 20 + 64, body);
    empty_file();
    append_text(line);
    pitot_log *log = read_log();
    assert_int_equal(pitot_log_series_count(log), NAMES);
    for (int i = 0; i < NAMES; i += 997) {
        snprintf(name, sizeof name, "k%d", i);
        assert_int_equal(pitot_log_find(log, name), i);
        assert_true(series_of(log, name).value[0] == i);
    }
    assert_int_equal(pitot_log_find(log, "k"), -1);
    pitot_log_close(log);
    assert_int_equal(mem_count().blocks, blocks);
    free(body);
    free(line);
}

/* ---- damage ---------------------------------------------------------------------------------------------------------- */

enum { RECORDS = 50 };

static double value_at(int step) {
    return 1.0 / (step + 3);
}

/* A header, 50 records, no end. Returns the bytes, with their number in *size. */
static char *good_log(size_t *size) {
    char *bytes = malloc(RECORDS * 128), body[128];
    size_t n = (size_t)sign(bytes, 128, "{\"pitot\":\"0.1.0\",\"segment\":0,\"step\":0");
    for (int i = 0; i < RECORDS; i++) {
        snprintf(body, sizeof body, "{\"step\":%d,\"wall\":%d.5,\"loss\":%.17g", i, 1000 + i, value_at(i));
        n += (size_t)sign(bytes + n, RECORDS * 128 - n, body);
    }
    *size = n;
    return bytes;
}

/* Every point there is stands in the good log; returns how many. */
static int64_t check_points(const pitot_log *log) {
    int64_t points = 0;
    pitot_series x;
    for (int64_t i = 0; pitot_log_series(log, i, &x) == PITOT_OK; i++) {
        assert_string_equal(x.name, "loss");
        for (int64_t k = 0; k < x.n; k++) {
            assert_true(x.step[k] >= 0 && x.step[k] < RECORDS && (k == 0 || x.step[k] > x.step[k - 1]));
            assert_true(x.value[k] == value_at((int)x.step[k]));
            assert_true(x.wall[k] == 1000.5 + (double)x.step[k]);
        }
        points += x.n;
    }
    return points;
}

static void waits_for_torn_tails(void **state) {
    (void)state;
    size_t size;
    char *bytes = good_log(&size);
    empty_file();
    pitot_log *growing = open_log();
    for (size_t cut = 0; cut <= size; cut++) {
        if (cut) put_bytes(events, "a", bytes + cut - 1, 1);
        assert_int_equal(pitot_log_poll(growing, 0, NULL), cut > 0);
        int64_t lines = 0, start = 0;
        for (size_t i = 0; i < cut; i++)
            if (bytes[i] == '\n') lines++, start = (int64_t)i + 1;
        pitot_log *fresh = read_log();
        const pitot_log *const both[] = { growing, fresh };
        for (int k = 0; k < 2; k++) {
            assert_int_equal(check_points(both[k]), lines > 0 ? lines - 1 : 0);
            assert_int_equal(state_of(both[k]).damaged, 0);
            assert_int_equal(state_of(both[k]).tail, (int64_t)cut - start);
            assert_int_equal(state_of(both[k]).bytes, (int64_t)cut);
        }
        pitot_log_close(fresh);
    }
    pitot_log_close(growing);
    free(bytes);
}

static void notices_every_flipped_bit(void **state) {
    (void)state;
    size_t size;
    char *bytes = good_log(&size);
    put_bytes(events, "w", bytes, size);
    int fd = open(events, O_WRONLY);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        char flipped = (char)(bytes[bit / 8] ^ 1 << bit % 8);
        if (bit && bit % 8 == 0) assert_int_equal(pwrite(fd, &bytes[bit / 8 - 1], 1, (off_t)(bit / 8 - 1)), 1);
        assert_int_equal(pwrite(fd, &flipped, 1, (off_t)(bit / 8)), 1);
        pitot_log *log = read_log();
        pitot_log_state s = state_of(log);
        assert_true(check_points(log) >= RECORDS - 2);
        if (bit / 8 == size - 1) assert_true(s.tail > 0); /* the last newline: the line is not complete */
        else assert_true(s.damaged > 0 && s.damaged_at > 0);
        pitot_log_close(log);
    }
    close(fd);
    free(bytes);
}

static void finds_the_line_behind_a_torn_one(void **state) {
    (void)state;
    empty_file();
    append("{\"pitot\":\"0.1.0\",\"segment\":0,\"step\":0");
    for (int i = 0; i < 9; i++) append("{\"step\":%d,\"loss\":%d", i, i);
    append_text("{\"step\":9,\"los");
    append("{\"pitot\":\"0.1.0\",\"segment\":1,\"step\":4");
    append("{\"step\":4,\"loss\":40");
    pitot_log *log = read_log();
    assert_int_equal(state_of(log).damaged, 1);
    assert_int_equal(state_of(log).damaged_at, 11);
    assert_int_equal(state_of(log).segments, 2);
    assert_int_equal(series_of(log, "loss").n, 5);
    assert_true(series_of(log, "loss").value[4] == 40);
    pitot_log_close(log);
}

static void notices_a_lost_header(void **state) {
    (void)state;
    empty_file();
    for (int i = 0; i < 9; i++) append("{\"step\":%d,\"loss\":%d", i, i);
    append_text("{\"pitot\":\"0.1.0\",\"segment\":1,\"step\":4,\"crc\":\"00000000\"}\n");
    append("{\"step\":4,\"loss\":40");
    pitot_log *log = read_log();
    assert_int_equal(series_of(log, "loss").n, 5);
    append_text("damage\n");
    append("{\"step\":5,\"loss\":50");
    append("{\"step\":4,\"late\":1");
    append_text("damage\n");
    append("{\"step\":4,\"later\":1");
    assert_int_equal(pitot_log_poll(log, 0, NULL), 1);
    assert_int_equal(series_of(log, "loss").n, 6);
    assert_int_equal(state_of(log).damaged, 3);
    pitot_log_close(log);
}

static void survives_enormous_lines(void **state) {
    (void)state;
    enum { LONG = 20 << 20 };
    char *bytes = malloc(LONG);
    memset(bytes, 'x', LONG);
    empty_file();
    append("{\"step\":0,\"loss\":1");
    put_bytes(events, "a", bytes, LONG);
    pitot_log *log = read_log();
    assert_true(state_of(log).tail == LONG && state_of(log).damaged == 0);
    assert_true(mem_count().bytes < 64 << 20);
    put_bytes(events, "a", bytes, LONG);
    append_text("\n");
    append("{\"step\":1,\"loss\":2");
    put_bytes(events, "a", "\0\0\n", 3);
    assert_int_equal(pitot_log_poll(log, 0, NULL), 1);
    assert_int_equal(state_of(log).damaged, 2);
    assert_int_equal(state_of(log).damaged_at, 2);
    assert_int_equal(series_of(log, "loss").n, 2);
    pitot_log_close(log);
    free(bytes);
}

/* ---- files that come, go and change ---------------------------------------------------------------------------------- */

static void starts_over(void **state) {
    (void)state;
    char other[128];
    empty_file();
    append("{\"pitot\":\"0.1.0\",\"segment\":0,\"step\":0,\"wall\":1");
    for (int i = 0; i < 20; i++) append("{\"step\":%d,\"loss\":%d", i, i);
    pitot_log *log = read_log();
    empty_file(); /* cut */
    append("{\"step\":3,\"other\":1");
    assert_int_equal(pitot_log_poll(log, 0, NULL), 1);
    assert_int_equal(state_of(log).restarts, 1);
    assert_int_equal(pitot_log_find(log, "loss"), -1);
    assert_int_equal(series_of(log, "other").n, 1);
    snprintf(other, sizeof other, "%s/other", folder); /* replaced */
    put_bytes(other, "w", "", 0);
    assert_int_equal(rename(other, events), 0);
    for (int i = 0; i < 30; i++) append("{\"step\":%d,\"loss\":%d", i, i);
    assert_int_equal(pitot_log_poll(log, 0, NULL), 1);
    assert_int_equal(state_of(log).restarts, 2);
    assert_int_equal(series_of(log, "loss").n, 30);
    empty_file(); /* written anew and already longer */
    for (int i = 0; i < 40; i++) append("{\"step\":%d,\"longer\":%d", i + 1, i);
    assert_int_equal(pitot_log_poll(log, 0, NULL), 1);
    assert_int_equal(state_of(log).restarts, 3);
    assert_int_equal(pitot_log_series_count(log), 1);
    unlink(events); /* gone: what was read stays */
    assert_int_equal(pitot_log_poll(log, 0, NULL), 0);
    assert_int_equal(series_of(log, "longer").n, 40);
    append("{\"step\":0,\"back\":1");
    assert_int_equal(pitot_log_poll(log, 0, NULL), 1);
    assert_int_equal(series_of(log, "back").n, 1);
    pitot_log_close(log);
}

static void opens_what_there_is(void **state) {
    (void)state;
    pitot_error error = { 0 };
    unlink(events);
    assert_null(pitot_log_open(folder, &error));
    assert_non_null(strstr(error.text, "neither run.json nor events.jsonl"));
    error.status = PITOT_OK;
    assert_null(pitot_log_open("/nowhere/at/all", &error));
    assert_int_equal(error.status, PITOT_EIO);
    put_bytes(manifest, "w", "{}", 2);
    pitot_log *log = open_log(); /* the events are waited for */
    assert_int_equal(pitot_log_poll(log, 0, NULL), 0);
    append("{\"step\":0,\"loss\":1");
    assert_int_equal(pitot_log_poll(log, 0, NULL), 1);
    assert_int_equal(state_of(log).restarts, 0);
    pitot_log_close(log);
    log = pitot_log_open(events, NULL);
    assert_int_equal(pitot_log_poll(log, 0, NULL), 1);
    assert_string_equal(pitot_log_manifest(log), "{}");
    pitot_log_close(log);
    unlink(events);
    mkdir(events, 0755);
    log = open_log();
    error.status = PITOT_OK;
    assert_int_equal(pitot_log_poll(log, 0, &error), PITOT_EIO);
    pitot_log_close(log);
    rmdir(events);
    pitot_log_close(NULL);
}

static void reads_facts(void **state) {
    (void)state;
    static const struct {
        const char *path, *text;
    } facts[] = {
        { "optimizer.name", "adam" },
        { "optimizer.lr", "0.001" },
        { "seed", "12345678901" },
        { "layers.1", "b" },
        { "params.fc.0.weight", "5" },
        { "optimizer.no", "" },
        { "nothing", "" },
        { "null", "" },
        { "flag", "true" },
        { "betas", "[0.9,0.999]" },
        { "layers.7", "" },
        { "layers.x", "" },
        { "seed.x", "" },
        { "", "" },
        { "a.b", "whole" },
        { "a.b.c", "parts" },
    };
    static const char text[] = "{\"optimizer\":{\"name\":\"adam\",\"lr\":0.001},\"seed\":12345678901,\"layers\":[\"a\",\"b\"],"
                               "\"params\":{\"fc.0.weight\":5},\"null\":null,\"flag\":true,\"betas\":[0.9,0.999],"
                               "\"a\":{\"b\":{\"c\":\"parts\"}},\"a.b\":\"whole\"}";
    char out[64], shorter[4];
    empty_file();
    put_bytes(manifest, "w", text, sizeof text - 1);
    pitot_log *log = open_log();
    assert_string_equal(pitot_log_manifest(log), text);
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        assert_int_equal(pitot_log_fact(log, facts[i].path, out, sizeof out), strlen(facts[i].text));
        assert_string_equal(out, facts[i].text);
    }
    assert_int_equal(pitot_log_fact(log, "optimizer.name", shorter, sizeof shorter), 4);
    assert_string_equal(shorter, "ada");
    assert_int_equal(pitot_log_fact(log, "optimizer.name", NULL, 0), 4);
    put_bytes(manifest, "w", "{\"seed\":1} garbage", 18);
    pitot_log_poll(log, 0, NULL);
    assert_int_equal(pitot_log_fact(log, "seed", out, sizeof out), 0);
    pitot_log_close(log);
}

/* ---- memory ---------------------------------------------------------------------------------------------------------- */

/* Any request may fail. Polling again goes on as if nothing had been, and no value is lost or wrong. */
static void survives_lack_of_memory(void **state) {
    (void)state;
    size_t size;
    char *bytes = good_log(&size);
    int64_t blocks = mem_count().blocks;
    put_bytes(events, "w", bytes, size);
    append("{\"pitot\":\"0.1.0\",\"segment\":1,\"step\":30");
    for (int i = 49; i >= 30; i--) append("{\"step\":%d,\"wall\":%d.5,\"loss\":%.17g", i, 1000 + i, value_at(i));
    for (int k = 1; k < 60; k++) {
        mem_fail_at(k, 0);
        pitot_log *log = pitot_log_open(folder, NULL);
        if (!log) continue;
        int32_t status = pitot_log_poll(log, 0, NULL);
        assert_true(status == 1 || status == PITOT_ENOMEM);
        mem_fail_at(0, 0);
        check_points(log);
        if (status == PITOT_ENOMEM) assert_true(pitot_log_poll(log, 0, NULL) >= 0);
        assert_int_equal(check_points(log), RECORDS);
        assert_int_equal(state_of(log).records, RECORDS + 20);
        assert_int_equal(state_of(log).damaged, 0);
        pitot_log_close(log);
        assert_int_equal(mem_count().blocks, blocks);
    }
    mem_fail_at(0, 0);
    free(bytes);
}

static void checks_lines(void **state) {
    (void)state;
    char line[256];
    int n = sign(line, sizeof line, "{\"step\":1,\"loss\":2");
    assert_int_equal(pitot_log_check(line, n - 1), 1);
    for (int length = 0; length < n - 1; length++) assert_int_equal(pitot_log_check(line, length), 0);
    for (int bit = 0; bit < 8 * (n - 1); bit++) {
        line[bit / 8] = (char)(line[bit / 8] ^ 1 << bit % 8);
        assert_int_equal(pitot_log_check(line, n - 1), 0);
        line[bit / 8] = (char)(line[bit / 8] ^ 1 << bit % 8);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_series),
        cmocka_unit_test(reads_lists),
        cmocka_unit_test(lists_of_a_changed_file),
        cmocka_unit_test(shows_not_finite_values),
        cmocka_unit_test(later_segments_win),
        cmocka_unit_test(any_order_of_steps),
        cmocka_unit_test(shares_rows),
        cmocka_unit_test(any_company_of_series),
        cmocka_unit_test(parted_before_a_header),
        cmocka_unit_test(repeated_records_are_cheap),
        cmocka_unit_test(numbers_are_exact),
        cmocka_unit_test(hard_numbers),
        cmocka_unit_test(refuses_what_is_not_json),
        cmocka_unit_test(accepts_the_largest_step),
        cmocka_unit_test(names_of_any_kind),
        cmocka_unit_test(many_names),
        cmocka_unit_test(waits_for_torn_tails),
        cmocka_unit_test(notices_every_flipped_bit),
        cmocka_unit_test(finds_the_line_behind_a_torn_one),
        cmocka_unit_test(notices_a_lost_header),
        cmocka_unit_test(survives_enormous_lines),
        cmocka_unit_test(starts_over),
        cmocka_unit_test(opens_what_there_is),
        cmocka_unit_test(reads_facts),
        cmocka_unit_test(survives_lack_of_memory),
        cmocka_unit_test(checks_lines),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
