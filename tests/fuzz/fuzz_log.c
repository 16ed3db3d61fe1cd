/* Damage of every kind to a good log, and reading it in pieces of every size: no crash, no number that the good log does not have
   for that series and step, no block of memory lost. PITOT_FUZZ_SCALE: so many times the rounds; PITOT_FUZZ_SEED: others. */

#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/alloc.h"
#include "pitot/log.h"

enum { STEPS = 60, NAMES = 4, ROUNDS = 4000, LARGEST = 1 << 16, WRITINGS = 2 };

static const char *const names[NAMES] = { "loss", "grad_norm", "grad_norm/0.weight", "strange \"name\"" };

/* Two segments: steps from 40 on are written twice, with other values. */
typedef struct truth {
    double value[NAMES][STEPS][WRITINGS];
    int times[NAMES][STEPS];
} truth;

static truth good;
static char bytes[LARGEST], damaged[LARGEST];
static int64_t size;
static int listed[STEPS];
static uint64_t seed = 0x243f6a8885a308d3u;
static int failures;

static uint64_t draw(uint64_t below) {
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return seed % below;
}

static void complain(const char *what, int64_t round) {
    if (failures++ < 10) printf("fuzz_log: round %lld: %s\n", (long long)round, what);
}

/* ---- the good log ---------------------------------------------------------------------------------------------------- */

static void add_line(const char *body) {
    unsigned long sum = crc32(crc32(0, NULL, 0), (const unsigned char *)body, (unsigned)strlen(body));
    size += snprintf(bytes + size, (size_t)(LARGEST - size), "%s,\"crc\":\"%08lx\"}\n", body, sum);
}

static double pick_value(void) {
    uint64_t kind = draw(20);
    if (kind < 3) return kind == 0 ? NAN : kind == 1 ? INFINITY : -INFINITY;
    return ((double)draw(1000000) / 1000 - 500) * pow(10, (double)draw(30) - 15);
}

static int print_value(char *out, size_t room, const char *key, double v) {
    const char *kind = isnan(v) ? "nan" : v > 0 ? "inf" : "-inf";
    if (isfinite(v)) return snprintf(out, room, ",\"%s\":%.17g", key, v);
    return snprintf(out, room, ",\"%s\":null,\"%s#nf\":\"%s\"", key, key, kind);
}

/* What the list of a step holds, three times. */
static int64_t list_mark(int64_t step, int writing) {
    return 1000003 * (step + 1) + writing;
}

static void add_record(int step) {
    static const char *const keys[NAMES] = { "loss", "grad_norm", "grad_norm/0.weight", "strange \\\"n\\u0061me\\\"" };
    char body[1024];
    int n = snprintf(body, sizeof body, "{\"step\":%d,\"wall\":%d.25", step, 1000 + step);
    for (int k = 0; k < NAMES; k++) {
        double v = pick_value();
        if (draw(4) == 0 && good.times[k][step] == 0) continue;
        good.value[k][step][good.times[k][step]++] = v;
        n += print_value(body + n, sizeof body - (size_t)n, keys[k], v);
    }
    int64_t mark = list_mark(step, listed[step]++);
    snprintf(body + n, sizeof body - (size_t)n, ",\"hist\":[%lld,%lld , %lld]", (long long)mark, (long long)mark, (long long)mark);
    add_line(body);
}

static void make_good_log(void) {
    add_line("{\"pitot\":\"0.1.0\",\"segment\":0,\"step\":0,\"steps\":60,\"wall\":1000");
    for (int i = 0; i < 50; i++) add_record(i);
    add_line("{\"pitot\":\"0.1.0\",\"segment\":1,\"step\":40,\"steps\":60,\"wall\":2000");
    for (int i = 40; i < STEPS; i++) add_record(i);
    add_line("{\"end\":\"done\",\"wall\":3000");
}

/* ---- damage ---------------------------------------------------------------------------------------------------------- */

static int64_t flip_bits(int64_t n) {
    for (uint64_t times = 1 + draw(3); times > 0; times--) {
        uint64_t bit = draw((uint64_t)n * 8);
        damaged[bit / 8] = (char)(damaged[bit / 8] ^ 1 << bit % 8);
    }
    return n;
}

static int64_t overwrite(int64_t n) {
    int64_t at = (int64_t)draw((uint64_t)n), length = 1 + (int64_t)draw(200);
    int zeros = draw(3) == 0;
    for (int64_t i = at; i < n && i < at + length; i++) damaged[i] = zeros ? 0 : (char)draw(256);
    return n;
}

/* A piece of the log once more, or missing. */
static int64_t copy_piece(int64_t n) {
    int64_t from = (int64_t)draw((uint64_t)n), to = (int64_t)draw((uint64_t)n), length = (int64_t)draw(600);
    if (from + length > n) length = n - from;
    if (to + length > n) length = n - to;
    memmove(damaged + to, damaged + from, (size_t)length);
    return n;
}

static int64_t cut_out(int64_t n) {
    int64_t at = (int64_t)draw((uint64_t)n), length = (int64_t)draw(400);
    if (at + length > n) length = n - at;
    memmove(damaged + at, damaged + at + length, (size_t)(n - at - length));
    return n - length;
}

static int64_t damage(int64_t round) {
    int64_t n = size;
    memcpy(damaged, bytes, (size_t)size);
    switch (round % 5) {
    case 0: return 1 + (int64_t)draw((uint64_t)size);
    case 1: return flip_bits(n);
    case 2: return overwrite(n);
    case 3: return copy_piece(n);
    default: return cut_out(n);
    }
}

/* ---- checking -------------------------------------------------------------------------------------------------------- */

static int same(double a, double b) {
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

static int is_known(int k, int64_t step, double v) {
    if (step < 0 || step >= STEPS) return 0;
    for (int i = 0; i < good.times[k][step]; i++)
        if (same(good.value[k][step][i], v)) return 1;
    return 0;
}

static void check_series(const pitot_series *s, int64_t round) {
    int k = 0;
    while (k < NAMES && strcmp(names[k], s->name) != 0) k++;
    if (k == NAMES) {
        complain("a series that nobody wrote", round);
        return;
    }
    for (int64_t i = 0; i < s->n; i++) {
        if (!is_known(k, s->step[i], s->value[i])) complain("a wrong number", round);
        if (i && s->step[i] <= s->step[i - 1]) complain("steps out of order", round);
    }
}

/* A list is one that was written at that step, or it is refused. */
static void check_lists(const pitot_log *log, int64_t round) {
    double v[4];
    int64_t at = -1, most = (int64_t)draw(STEPS + 5);
    if (pitot_log_list_count(log) > 1) complain("a list that nobody wrote", round);
    int64_t n = pitot_log_read_list(log, pitot_log_find_list(log, "hist"), most, v, 4, &at);
    if (n == PITOT_EINVAL || n == PITOT_EIO) return;
    if (n != 3 || at > most || at < 0 || at >= STEPS || v[0] != v[1] || v[0] != v[2]) complain("a wrong list", round);
    else if (v[0] != (double)list_mark(at, 0) && v[0] != (double)list_mark(at, 1)) complain("a list of another step", round);
}

static void check_log(const pitot_log *log, int64_t round) {
    pitot_series s;
    check_lists(log, round);
    for (int64_t i = 0; pitot_log_series(log, i, &s) == PITOT_OK; i++) check_series(&s, round);
}

/* The undamaged log, to the last value. */
static void check_whole(const pitot_log *log) {
    pitot_log_state state = { .struct_size = sizeof state };
    pitot_series s;
    pitot_log_get_state(log, &state);
    if (state.damaged || state.tail || state.ended != PITOT_LOG_DONE || state.records != 70)
        complain("the good log is not good", -1);
    for (int k = 0; k < NAMES; k++) {
        int64_t at = 0;
        if (pitot_log_series(log, pitot_log_find(log, names[k]), &s) != PITOT_OK) continue;
        for (int step = 0; step < STEPS; step++) {
            int times = good.times[k][step];
            if (!times) continue;
            if (at < s.n && s.step[at] == step && same(s.value[at], good.value[k][step][times - 1])) at++;
            else if (step < 40) complain("a value of the good log is missing", -1);
        }
        if (at != s.n) complain("a value of the good log is not its own", -1);
    }
    for (int64_t step = 0; step < STEPS; step++) {
        double v[3];
        int64_t at = -1;
        int64_t n = pitot_log_read_list(log, pitot_log_find_list(log, "hist"), step, v, 3, &at);
        if (n != 3 || at != step || v[2] != (double)list_mark(step, step >= 40 && step < 50)) complain("a list is missing", -1);
    }
}

static int put_file(const char *path, const char *what, int64_t n) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    int good_write = fd >= 0 && write(fd, what, (size_t)n) == n;
    if (fd >= 0) close(fd);
    return good_write;
}

/* Reads a log in pieces of random sizes, and damages it under the reader's eyes now and then. */
static void read_in_pieces(const char *path, int64_t round) {
    pitot_log *log = pitot_log_open(path, NULL);
    int64_t most = round % 3 ? 1 << 20 : 1 + (int64_t)draw(3000);
    if (!log) {
        complain("cannot be opened", round);
        return;
    }
    for (int i = 0; i < 4000; i++) {
        int32_t status = pitot_log_poll(log, 1 + (int64_t)draw((uint64_t)most), NULL);
        if (status < 0) complain("cannot be read", round);
        if (draw(4) == 0) check_log(log, round);
        if (i == 2 && round % 4 == 0 && truncate(path, (off_t)draw((uint64_t)size)) != 0) complain("cannot be cut", round);
        if (status <= 0) break;
    }
    check_log(log, round);
    pitot_log_close(log);
}

static int64_t rounds_wanted(void) {
    const char *scale = getenv("PITOT_FUZZ_SCALE");
    double factor = scale ? strtod(scale, NULL) : 1;
    return factor > 0 ? (int64_t)(ROUNDS * factor) : ROUNDS;
}

int main(void) {
    const char *other = getenv("PITOT_FUZZ_SEED");
    char path[] = "/tmp/pitot-fuzz-XXXXXX";
    if (other) seed ^= strtoull(other, NULL, 10) * 0x9e3779b97f4a7c15u;
    int fd = mkstemp(path);
    int64_t rounds = rounds_wanted(), blocks = mem_count().blocks;
    if (fd < 0) return puts("fuzz_log: /tmp cannot be written"), 1;
    close(fd);
    make_good_log();
    put_file(path, bytes, size);
    pitot_log *log = pitot_log_open(path, NULL);
    if (!log || pitot_log_poll(log, 0, NULL) != 1) complain("the good log cannot be read", -1);
    check_whole(log);
    pitot_log_close(log);
    for (int64_t round = 0; round < rounds; round++) {
        int64_t n = damage(round);
        if (!put_file(path, damaged, n)) complain("cannot be written", round);
        read_in_pieces(path, round);
    }
    unlink(path);
    if (mem_count().blocks != blocks) complain("memory is lost", rounds);
    printf("fuzz_log: %lld damaged logs, %d failures\n", (long long)rounds, failures);
    return failures ? 1 : 0;
}
