/* An index beside a log: whatever happens to it or to the log, what is read is what the log says. */

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "pitot/log.h"

static char folder[64], events[96], saved[112];

static int set_up(void **state) {
    (void)state;
    strcpy(folder, "/tmp/pitot-index-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(events, sizeof events, "%s/events.jsonl", folder);
    snprintf(saved, sizeof saved, "%s.index", events);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    unlink(events);
    unlink(saved);
    return rmdir(folder);
}

static void sign(FILE *f, const char *body) {
    fprintf(f, "%s,\"crc\":\"%08lx\"}\n", body, crc32(crc32(0, NULL, 0), (const unsigned char *)body, (unsigned)strlen(body)));
}

/* Lines first..last-1: shared and separate records, a value that comes late, one that is overwritten, segments that void others,
   lists, values that are not finite, damage. */
static void put_lines(const char *mode, int first, int last) {
    char body[512];
    FILE *f = fopen(events, mode);
    assert_non_null(f);
    for (int i = first; i < last; i++) {
        int step = i - i / 100 * 30;
        if (i % 100 == 0) {
            snprintf(body, sizeof body, "{\"pitot\":\"0.1.0\",\"segment\":%d,\"step\":%d,\"steps\":900,\"wall\":%d", i / 100, step,
                     i);
            sign(f, body);
        }
        snprintf(body, sizeof body, "{\"step\":%d,\"wall\":%d.5,\"loss\":%s,\"alpha\":%d", step, i,
                 i % 41 == 3 ? "null,\"loss#nf\":\"nan\"" : "0.25", i);
        sign(f, body);
        snprintf(body, sizeof body, "{\"step\":%d,\"late\":%d,\"nodes\":[%d,%d]", step > 2 && i % 7 == 0 ? step - 2 : step, i, i,
                 -i);
        if (i % 3 == 0) sign(f, body);
        if (i % 50 == 9) fprintf(f, "{\"step\":%d,\"loss\":9,\"crc\":\"00000000\"}\n", step);
    }
    fclose(f);
}

static pitot_log *read_log(void) {
    pitot_log *log = pitot_log_open(folder, NULL);
    assert_non_null(log);
    assert_true(pitot_log_poll(log, 0, NULL) >= 0);
    return log;
}

static pitot_log_state state_of(const pitot_log *log) {
    pitot_log_state s = { .struct_size = sizeof s };
    pitot_log_get_state(log, &s);
    return s;
}

static void check_same(const pitot_log *a, const pitot_log *b) {
    pitot_log_state p = state_of(a), q = state_of(b);
    pitot_series s, t;
    pitot_list k, l;
    double u[2], v[2];
    p.indexed = q.indexed = 0;
    assert_memory_equal(&p, &q, sizeof p);
    assert_int_equal(pitot_log_series_count(a), pitot_log_series_count(b));
    for (int64_t i = 0; i < pitot_log_series_count(a); i++) {
        assert_int_equal(pitot_log_series(a, i, &s), PITOT_OK);
        assert_int_equal(pitot_log_series(b, i, &t), PITOT_OK);
        assert_string_equal(s.name, t.name);
        assert_int_equal(s.n, t.n);
        if (!s.n) continue;
        assert_memory_equal(s.step, t.step, (size_t)s.n * sizeof *s.step);
        assert_memory_equal(s.wall, t.wall, (size_t)s.n * sizeof *s.wall);
        assert_memory_equal(s.value, t.value, (size_t)s.n * sizeof *s.value);
    }
    assert_int_equal(pitot_log_list_count(a), pitot_log_list_count(b));
    for (int64_t i = 0; i < pitot_log_list_count(a); i++) {
        assert_int_equal(pitot_log_list(a, i, &k), PITOT_OK);
        assert_int_equal(pitot_log_list(b, i, &l), PITOT_OK);
        assert_int_equal(k.n, l.n);
        for (int64_t j = 0; j < k.n; j += 11) {
            assert_int_equal(pitot_log_read_list(a, i, k.step[j], u, 2, NULL), 2);
            assert_int_equal(pitot_log_read_list(b, i, l.step[j], v, 2, NULL), 2);
            assert_true(u[0] == v[0] && u[1] == v[1]);
        }
    }
}

/* A log as the file alone says. */
static pitot_log *read_without(void) {
    char away[128];
    snprintf(away, sizeof away, "%s.away", saved);
    int moved = rename(saved, away) == 0;
    pitot_log *log = read_log();
    assert_int_equal(state_of(log).indexed, 0);
    if (moved) assert_int_equal(rename(away, saved), 0);
    return log;
}

/* What is read with the index as it lies there is right. Returns the bytes that came from it. */
static int64_t check_reading(void) {
    int64_t blocks = mem_count().blocks;
    pitot_log *plain = read_without(), *log = read_log();
    int64_t indexed = state_of(log).indexed;
    check_same(plain, log);
    pitot_log_close(plain);
    pitot_log_close(log);
    assert_int_equal(mem_count().blocks, blocks);
    return indexed;
}

static void keep(int lines) {
    pitot_error error = { 0 };
    put_lines("w", 0, lines);
    unlink(saved);
    pitot_log *log = read_log();
    assert_int_equal(pitot_log_index(log, &error), PITOT_OK);
    assert_string_equal(error.text, "");
    pitot_log_close(log);
}

static void is_read_back(void **state) {
    (void)state;
    for (int lines = 1; lines < 400; lines += 37) {
        keep(lines);
        assert_true(check_reading() > 0);
        put_lines("a", lines, lines + 150); /* it goes on from there, across a header that voids */
        assert_true(check_reading() > 0);
    }
}

static void goes_on_after_half_a_line(void **state) {
    (void)state;
    put_lines("w", 0, 20);
    FILE *f = fopen(events, "a");
    fputs("{\"step\":3000,\"lo", f);
    fclose(f);
    pitot_log *log = read_log();
    assert_int_equal(pitot_log_index(log, NULL), PITOT_OK);
    assert_int_equal(state_of(log).tail, 16);
    pitot_log_close(log);
    assert_true(check_reading() > 0);
    f = fopen(events, "a");
    fputs("ss\":1}\n", f);
    fclose(f);
    assert_true(check_reading() > 0);
}

static void follows_on(void **state) {
    (void)state;
    keep(120);
    pitot_log *log = read_log();
    put_lines("a", 120, 320);
    assert_int_equal(pitot_log_poll(log, 0, NULL), 1);
    pitot_log *plain = read_without();
    check_same(plain, log);
    pitot_log_close(plain);
    put_lines("w", 0, 50); /* cut below it */
    assert_int_equal(pitot_log_poll(log, 0, NULL), 1);
    assert_int_equal(state_of(log).indexed, 0);
    assert_int_equal(state_of(log).restarts, 1);
    pitot_log_close(log);
}

static void another_file_is_noticed(void **state) {
    (void)state;
    keep(300);
    put_lines("w", 0, 200); /* shorter */
    assert_int_equal(check_reading(), 0);
    keep(300);
    put_lines("w", 1, 500); /* another beginning */
    assert_int_equal(check_reading(), 0);
    keep(300);
    FILE *f = fopen(events, "r+"); /* the same but for one byte in its middle */
    fseek(f, 0, SEEK_END);
    fseek(f, ftell(f) / 2, SEEK_SET);
    fputc('#', f);
    fclose(f);
    assert_int_equal(check_reading(), 0);
}

static unsigned char *load(size_t *size) {
    struct stat st;
    assert_int_equal(stat(saved, &st), 0);
    unsigned char *bytes = malloc((size_t)st.st_size);
    FILE *f = fopen(saved, "rb");
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, (size_t)st.st_size, f), st.st_size);
    fclose(f);
    *size = (size_t)st.st_size;
    return bytes;
}

static void store(const unsigned char *bytes, size_t size) {
    FILE *f = fopen(saved, "wb");
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    fclose(f);
}

/* With a sum that is right, so that what is behind it is reached. */
static void store_signed(unsigned char *bytes, size_t size) {
    uint64_t sum = crc32(crc32(0, NULL, 0), bytes, (unsigned)(size - 8));
    memcpy(bytes + size - 8, &sum, 8);
    store(bytes, size);
}

static void damage_is_passed_over(void **state) {
    size_t size;
    (void)state;
    keep(60);
    unsigned char *good = load(&size), *bad = malloc(size + 8);
    for (size_t at = 0; at < size; at += at < 400 ? 1 : 61) {
        memcpy(bad, good, size);
        bad[at] ^= 0x40;
        store(bad, size);
        assert_int_equal(check_reading(), 0);
    }
    for (size_t n = 0; n < size; n += n < 300 ? 7 : 311) {
        store(good, n);
        assert_int_equal(check_reading(), 0);
    }
    memcpy(bad, good, size);
    memset(bad + size, 0, 8);
    store(bad, size + 8);
    assert_int_equal(check_reading(), 0);
    store(good, size);
    assert_true(check_reading() > 0);
    free(good);
    free(bad);
}

/* Somebody's own index with a right sum: anything may stand in it, and nothing is read or written outside. */
static void hostile_ones_do_no_harm(void **state) {
    static const int64_t strange[] = { -1, 0, 1, INT64_MAX, INT64_MIN, (int64_t)1 << 32, (int64_t)1 << 60, 7 };
    size_t size;
    (void)state;
    keep(60);
    unsigned char *good = load(&size), *bad = malloc(size);
    for (size_t at = 16; at + 16 <= size; at += at < 1200 ? 8 : 248)
        for (int k = 0; k < 8; k++) {
            memcpy(bad, good, size);
            memcpy(bad + at, &strange[k], 8);
            store_signed(bad, size);
            pitot_log *log = read_log();
            for (int64_t i = 0; i < pitot_log_series_count(log); i++) {
                pitot_series s;
                assert_int_equal(pitot_log_series(log, i, &s), PITOT_OK);
                for (int64_t j = 1; j < s.n; j++) assert_true(s.step[j - 1] < s.step[j]);
            }
            for (int64_t i = 0; i < pitot_log_list_count(log); i++) {
                double v[2];
                pitot_log_read_list(log, i, INT64_MAX, v, 2, NULL);
            }
            pitot_log_close(log);
        }
    free(good);
    free(bad);
}

static void names_differ(void **state) {
    size_t size;
    (void)state;
    keep(60);
    unsigned char *bytes = load(&size);
    for (size_t i = 0; i + 4 < size; i++)
        if (!memcmp(bytes + i, "late", 4)) memcpy(bytes + i, "loss", 4);
    store_signed(bytes, size);
    assert_int_equal(check_reading(), 0);
    free(bytes);
}

static void survives_want_of_memory(void **state) {
    (void)state;
    keep(120);
    pitot_log *plain = read_without();
    int64_t blocks = mem_count().blocks;
    for (int64_t k = 1; k < 200; k++) {
        mem_fail_at(k, 0);
        pitot_log *log = pitot_log_open(folder, NULL);
        for (int i = 0; log && i < 3; i++) pitot_log_poll(log, 0, NULL);
        int64_t indexed = log ? state_of(log).indexed : 0;
        mem_fail_at(0, 0);
        if (log) check_same(plain, log);
        pitot_log_close(log);
        assert_int_equal(mem_count().blocks, blocks);
        if (k > 150) assert_true(indexed > 0);
    }
    pitot_log *log = read_log();
    for (int64_t k = 1; k < 4; k++) {
        mem_fail_at(k, 0);
        pitot_log_index(log, NULL);
        mem_fail_at(0, 0);
    }
    pitot_log_close(log);
    assert_true(check_reading() > 0);
    pitot_log_close(plain);
}

static void says_why_not(void **state) {
    pitot_error error = { 0 };
    (void)state;
    unlink(saved);
    put_lines("w", 0, 5);
    assert_int_equal(pitot_log_index(NULL, &error), PITOT_EINVAL);
    pitot_log *log = pitot_log_open(folder, NULL);
    assert_int_equal(pitot_log_index(log, &error), PITOT_EINVAL);
    pitot_log_poll(log, 0, NULL);
    chmod(folder, 0555);
    if (geteuid() != 0) assert_int_equal(pitot_log_index(log, &error), PITOT_EIO);
    chmod(folder, 0755);
    error = (pitot_error){ 0 };
    mkdir(saved, 0755); /* something else of that name */
    assert_int_equal(pitot_log_index(log, &error), PITOT_EIO);
    assert_non_null(strstr(error.text, "events.jsonl"));
    rmdir(saved);
    pitot_log_close(log);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_read_back),
        cmocka_unit_test(goes_on_after_half_a_line),
        cmocka_unit_test(follows_on),
        cmocka_unit_test(another_file_is_noticed),
        cmocka_unit_test(damage_is_passed_over),
        cmocka_unit_test(hostile_ones_do_no_harm),
        cmocka_unit_test(names_differ),
        cmocka_unit_test(survives_want_of_memory),
        cmocka_unit_test(says_why_not),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
