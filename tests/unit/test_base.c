/* The ground that the rest stands on: option tables, numbers as text, random numbers, memory, threads, sums. */

#include "base/alloc.h"
#include "base/number.h"
#include "base/random.h"
#include "base/sums.h"
#include "base/threads.h"
#include "pitot/option.h"
#include "pitot/probe.h"

#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

/* Share of the long loops that is run: 1, less under valgrind. */
static int64_t scaled(int64_t n) {
    const char *text = getenv("PITOT_FUZZ_SCALE");
    double scale = text ? strtod(text, NULL) : 1;
    int64_t m = (int64_t)((double)n * scale);
    return m > 0 ? m : 1;
}

/* ---- options ---- */

typedef struct sample_options {
    int64_t kernel[2], stride[2], flag, form, plain;
    double rate, betas[2], open, triple[3];
} sample_options;

#define AT(field) offsetof(sample_options, field)
static const pitot_option table[] = {
    { "kernel", PITOT_INT, 2, AT(kernel), "3", 1, 100, NULL, "", "a pair" },
    { "stride", PITOT_INT, 2, AT(stride), "=kernel", 1, 100, NULL, "", "follows" },
    { "flag", PITOT_BOOL, 1, AT(flag), "true", 0, 0, NULL, "", "yes or no" },
    { "form", PITOT_CHOICE, 1, AT(form), "tanh", 0, 0, "none|tanh|exact", "", "one of three" },
    { "plain", PITOT_INT, 0, AT(plain), "-7", 0, 0, NULL, "", "no limit" },
    { "rate", PITOT_REAL, 1, AT(rate), "1e-3", 0, 10, NULL, "", "both ends allowed" },
    { "betas", PITOT_REAL, 2, AT(betas), "0.9,0.999", 0, PITOT_BELOW_ONE, NULL, "", "below one" },
    { "triple", PITOT_REAL, 3, AT(triple), "1,2,3", 0, 0, NULL, "", "three" },
    { "open", PITOT_REAL, 1, AT(open), NULL, PITOT_ABOVE_ZERO, 1, NULL, "", "must be given" },
    { 0 },
};

static void test_option_defaults(void **state) {
    (void)state;
    sample_options o = { 0 };
    pitot_options_default(table, &o);
    assert_true(o.kernel[0] == 3 && o.kernel[1] == 3);
    assert_true(o.stride[0] == 3 && o.stride[1] == 3);
    assert_true(o.flag == 1 && o.form == 1 && o.plain == -7);
    assert_true(o.rate == 1e-3 && o.betas[0] == 0.9 && o.betas[1] == 0.999);
    assert_true(o.open == 0);
    pitot_options_default(NULL, NULL); /* no table: nothing happens */
    assert_null(pitot_options_find(NULL, "x"));
    assert_null(pitot_options_find(table, "kerne"));
    assert_ptr_equal(pitot_options_find(table, "rate"), &table[5]);
}

typedef struct option_case {
    const char *name, *text;
    const char *says; /* NULL: good; otherwise a part of the message */
    double first, second;
} option_case;

static const option_case option_cases[] = {
    { "kernel", "5", NULL, 5, 5 },
    { "kernel", "5,7", NULL, 5, 7 },
    { "kernel", "(5, 7)", NULL, 5, 7 },
    { "kernel", "[1,100]", NULL, 1, 100 },
    { "kernel", "0", "out of range", 0, 0 },
    { "kernel", "101", "[1, 100]", 0, 0 },
    { "kernel", "5,101", "out of range", 0, 0 },
    { "kernel", "1,2,3", "too many values", 0, 0 },
    { "kernel", "2.5", "not a whole number", 0, 0 },
    { "kernel", "", "not a number", 0, 0 },
    { "kernel", "3,", "not a number", 0, 0 },
    { "kernel", "3 4", "something behind", 0, 0 },
    { "kernel", "3x", "not a number", 0, 0 },
    { "kernel", "nan", "not a number", 0, 0 },
    { "flag", "off", NULL, 0, 0 },
    { "flag", "1", NULL, 1, 1 },
    { "flag", "maybe", "true or false", 0, 0 },
    { "flag", "2", "neither true nor false", 0, 0 },
    { "form", "exact", NULL, 2, 2 },
    { "form", "none", NULL, 0, 0 },
    { "form", "non", "none|tanh|exact", 0, 0 },
    { "form", "", "not one of the choices", 0, 0 },
    { "plain", "-9e15", NULL, -9e15, 0 },
    { "plain", "1e16", "not a whole number", 0, 0 },
    { "rate", "0", NULL, 0, 0 },
    { "rate", "10", NULL, 10, 0 },
    { "rate", "10.000001", "[0, 10]", 0, 0 },
    { "rate", "-1e-300", "out of range", 0, 0 },
    { "rate", "inf", "out of range", 0, 0 },
    { "rate", "1e-2", NULL, 0.01, 0 },
    { "rate", "0x10", "not a number", 0, 0 },
    { "rate", "1,5", "too many values", 0, 0 },
    { "betas", "0,0.5", NULL, 0, 0.5 },
    { "betas", "1", "[0, 1)", 0, 0 },
    { "betas", "0.9,0.99999999999999989", NULL, 0.9, PITOT_BELOW_ONE },
    { "betas", "0.9", "too few values", 0, 0 },
    { "triple", "4,5,6", NULL, 4, 5 },
    { "triple", "7", "too few values", 0, 0 },
    { "triple", "4,5", "too few values", 0, 0 },
    { "triple", "1,2,3,4", "too many values", 0, 0 },
    { "triple", "1,2,3,4,5,6,7,8,9,10", "too many values", 0, 0 },
    { "open", "0", "(0, 1]", 0, 0 },
    { "open", "4.9406564584124654e-324", NULL, PITOT_ABOVE_ZERO, 0 },
    { "kernal", "3", "did you mean \"kernel\"", 0, 0 },
    { "zzzzzzzz", "3", "known: kernel, stride", 0, 0 },
};

static double stored(const pitot_option *o, const sample_options *options, int i) {
    const char *at = (const char *)options + o->offset + 8 * (size_t)(o->count > 1 ? i : 0);
    double real;
    int64_t whole;
    memcpy(&real, at, 8);
    memcpy(&whole, at, 8);
    return o->kind == PITOT_REAL ? real : (double)whole;
}

static void check_option(const option_case *c) {
    sample_options o = { 0 }, before;
    pitot_options_default(table, &o);
    before = o;
    pitot_error error = { 0 };
    int32_t status = pitot_options_set(table, &o, "thing x", c->name, c->text, &error);
    if (status != (c->says ? PITOT_EINVAL : PITOT_OK)) fail_msg("%s=%s: status %d, \"%s\"", c->name, c->text, status, error.text);
    if (c->says) {
        if (!strstr(error.text, c->says) || !strstr(error.text, "thing x: "))
            fail_msg("%s=%s: \"%s\"", c->name, c->text, error.text);
        assert_memory_equal(&o, &before, sizeof o);
        return;
    }
    const pitot_option *at = pitot_options_find(table, c->name);
    assert_true(stored(at, &o, 0) == c->first);
    if (at->count > 1) assert_true(stored(at, &o, 1) == c->second);
    /* as text and back */
    char text[256];
    sample_options again = before;
    int32_t length = pitot_options_text(at, &o, text, sizeof text);
    assert_int_equal(length, strlen(text));
    assert_int_equal(pitot_options_set(table, &again, "x", c->name, text, NULL), PITOT_OK);
    assert_memory_equal(&o, &again, sizeof o);
}

static void test_option_values(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof option_cases / sizeof *option_cases; i++) check_option(&option_cases[i]);
}

static void test_option_text(void **state) {
    (void)state;
    sample_options o = { 0 };
    char text[64];
    pitot_options_default(table, &o);
    pitot_options_text(&table[0], &o, text, sizeof text);
    assert_string_equal(text, "3,3");
    pitot_options_text(&table[2], &o, text, sizeof text);
    assert_string_equal(text, "true");
    pitot_options_text(&table[3], &o, text, sizeof text);
    assert_string_equal(text, "tanh");
    pitot_options_text(&table[6], &o, text, sizeof text);
    assert_string_equal(text, "0.9,0.999");
    assert_int_equal(pitot_options_text(&table[6], &o, text, 4), 9); /* too small: the length it would have, as snprintf */
    assert_string_equal(text, "0.9");
}

/* ---- errors ---- */

static void test_first_error_stays(void **state) {
    (void)state;
    pitot_error e = { 0 };
    assert_int_equal(pitot_fail(&e, PITOT_EINVAL, "first %d", 1), PITOT_EINVAL);
    assert_int_equal(pitot_fail(&e, PITOT_EIO, "second"), PITOT_EIO);
    assert_int_equal(e.status, PITOT_EINVAL);
    assert_string_equal(e.text, "first 1");
    assert_int_equal(pitot_fail(NULL, PITOT_EIO, "nowhere"), PITOT_EIO);
    for (int32_t s = PITOT_EFORMAT; s <= PITOT_OK; s++) assert_string_not_equal(pitot_strerror(s), pitot_strerror(1));
    assert_string_equal(pitot_version(), PITOT_VERSION);
    assert_int_equal(pitot_real_size(), sizeof(pitot_real));
}

/* ---- numbers as text ---- */

static double double_of(uint64_t bits) {
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static void check_round_trip(double v) {
    char text[NUMBER_ROOM];
    double back = 0;
    int n = number_write(v, text);
    if (n <= 0 || n >= NUMBER_ROOM || (size_t)n != strlen(text)) fail_msg("%a: length %d", v, n);
    if (!number_read(text, (size_t)n, !isfinite(v), &back)) fail_msg("%a: \"%s\" is not read", v, text);
    if (isnan(v) ? !isnan(back) : memcmp(&v, &back, sizeof v) != 0) fail_msg("%a: \"%s\" reads back as %a", v, text, back);
}

static void check_numbers(int64_t n) {
    static const double special[] = { 0.0,
                                      -0.0,
                                      1,
                                      -1,
                                      0.1,
                                      1e15,
                                      1e16,
                                      9007199254740993.0,
                                      1e22,
                                      1e23,
                                      1.7976931348623157e308,
                                      2.2250738585072014e-308,
                                      4.9e-324,
                                      -4.9e-324,
                                      INFINITY,
                                      -INFINITY,
                                      NAN,
                                      123456789012345678.0,
                                      0.3,
                                      5e-324 };
    for (size_t i = 0; i < sizeof special / sizeof *special; i++) check_round_trip(special[i]);
    for (int64_t i = 0; i < n; i++) {
        uint64_t bits = random_bits(1, 99, 0, (uint64_t)i);
        check_round_trip(double_of(bits));                                      /* any double, infinities and NaN too */
        check_round_trip(double_of(bits & UINT64_C(0x800FFFFFFFFFFFFF)));       /* below the smallest normal one */
        check_round_trip((double)(float)random_uniform(2, 99, 0, (uint64_t)i)); /* what float tensors hold */
        check_round_trip((double)(int64_t)bits);
    }
}

static void test_numbers(void **state) {
    (void)state;
    check_numbers(scaled(50000));
}

/* A decimal comma in the host's locale changes nothing. */
static void test_numbers_with_comma(void **state) {
    (void)state;
    static const char *const places[] = { "de_DE.UTF-8", "de_DE.utf8", "de_DE", "fr_FR.UTF-8" };
    const char *found = NULL;
    for (size_t i = 0; i < sizeof places / sizeof *places && !found; i++) found = setlocale(LC_ALL, places[i]);
    if (!found) skip();
    char text[NUMBER_ROOM];
    assert_string_equal(localeconv()->decimal_point, ",");
    number_write(0.5, text);
    assert_string_equal(text, "0.5");
    check_numbers(scaled(10000));
    sample_options o = { 0 };
    assert_int_equal(pitot_options_set(table, &o, "x", "rate", "2.5", NULL), PITOT_OK);
    assert_true(o.rate == 2.5);
    setlocale(LC_ALL, "C");
}

static void test_short_texts(void **state) {
    (void)state;
    static const struct {
        double v;
        const char *text;
    } cases[] = { { 0.1, "0.1" },
                  { 3, "3" },
                  { -2, "-2" },
                  { -0.0, "-0" },
                  { 1e-8, "1e-08" },
                  { 0.30000000000000004, "0.30000000000000004" },
                  { 1.5e300, "1.5e+300" },
                  { NAN, "nan" },
                  { INFINITY, "inf" },
                  { -INFINITY, "-inf" },
                  { 123456.789, "123456.789" } };
    char text[NUMBER_ROOM];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        number_write(cases[i].v, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void test_number_grammar(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int json, special;
    } cases[] = { { "0", 1, 1 },    { "-0", 1, 1 },       { "10.5e-3", 1, 1 }, { "1E+5", 1, 1 },  { "05", 0, 1 },
                  { ".5", 0, 1 },   { "5.", 0, 1 },       { "+5", 0, 1 },      { "", 0, 0 },      { "-", 0, 0 },
                  { "e5", 0, 0 },   { "1e", 0, 0 },       { "1e+", 0, 0 },     { "1 ", 0, 0 },    { " 1", 0, 0 },
                  { "0x1", 0, 0 },  { "1,5", 0, 0 },      { "--1", 0, 0 },     { "nan", 0, 1 },   { "inf", 0, 1 },
                  { "-inf", 0, 1 }, { "Infinity", 0, 0 }, { "NaN", 0, 0 },     { "1.2.3", 0, 0 }, { ".", 0, 0 } };
    double v;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = strlen(cases[i].text);
        if (number_read(cases[i].text, n, 0, &v) != cases[i].json) fail_msg("\"%s\" as JSON", cases[i].text);
        if (number_read(cases[i].text, n, 1, &v) != cases[i].special) fail_msg("\"%s\" as typed", cases[i].text);
    }
    assert_true(number_read("12345", 3, 0, &v) && v == 123); /* no further than it was told */
}

/* ---- random numbers ---- */

/* Known answers of Random123 (Salmon et al. 2011), its file kat_vectors: philox 4x32, 10 rounds. */
static void test_philox(void **state) {
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } cases[] = {
        { { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff },
          { 0xffffffff, 0xffffffff },
          { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
          { 0xa4093822, 0x299f31d0 },
          { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t out[4];
        random_block(cases[i].counter, cases[i].key, out);
        assert_memory_equal(out, cases[i].out, sizeof out);
    }
}

static void test_streams(void **state) {
    (void)state;
    uint64_t base = random_bits(1, 2, 3, 4);
    assert_true(base == random_bits(1, 2, 3, 4));
    assert_true(base != random_bits(2, 2, 3, 4) && base != random_bits(1, 3, 3, 4));
    assert_true(base != random_bits(1, 2, 4, 4) && base != random_bits(1, 2, 3, 5));
    assert_true(base != random_bits(1, 2, 3, 4 + (UINT64_C(1) << 32)) && base != random_bits(1, 2, 3 + (UINT64_C(1) << 32), 4));
    assert_true(random_bits(1, 2, 0, 0) != random_bits(2, 1, 0, 0)); /* seed and purpose do not trade places */
    assert_true(random_purpose("alpha") != random_purpose("alphb") && random_purpose("a") > RANDOM_DATA);
}

/* Mean, variance, fourth moment and correlation of neighbours within five standard errors; nothing at the ends. */
static void test_uniform(void **state) {
    (void)state;
    int64_t n = scaled(200000);
    double sum = 0, square = 0, fourth = 0, pair = 0, before = 0;
    for (int64_t i = 0; i < n; i++) {
        double u = random_uniform(7, 8, 9, (uint64_t)i), d = u - 0.5;
        assert_true(u > 0 && u < 1);
        sum += d;
        square += d * d;
        fourth += d * d * d * d;
        pair += d * before;
        before = d;
    }
    double m = (double)n, root = sqrt(m);
    assert_true(fabs(sum / m) < 5 * sqrt(1.0 / 12) / root);
    assert_true(fabs(square / m - 1.0 / 12) < 5 * sqrt(1.0 / 180) / root);
    assert_true(fabs(fourth / m - 1.0 / 80) < 5 * sqrt(1.0 / 2304 - 1.0 / 6400) / root);
    assert_true(fabs(pair / m) < 5 * (1.0 / 12) / root);
}

static void test_normal(void **state) {
    (void)state;
    int64_t n = scaled(50000);
    double sum = 0, square = 0, fourth = 0, cross = 0;
    for (int64_t i = 0; i < n; i++) {
        double z[2];
        random_normal(7, 8, 9, (uint64_t)i, z);
        assert_true(isfinite(z[0]) && isfinite(z[1]));
        sum += z[0] + z[1];
        square += z[0] * z[0] + z[1] * z[1];
        fourth += pow(z[0], 4) + pow(z[1], 4);
        cross += z[0] * z[1];
    }
    double m = 2 * (double)n, root = sqrt(m);
    assert_true(fabs(sum / m) < 5 / root);
    assert_true(fabs(square / m - 1) < 5 * sqrt(2.0) / root);
    assert_true(fabs(fourth / m - 3) < 5 * sqrt(96.0) / root);
    assert_true(fabs(cross / (double)n) < 5 / sqrt((double)n));
}

static void check_permutation(int64_t n) {
    int64_t *p = mem_alloc(n, sizeof *p), *q = mem_alloc(n, sizeof *q);
    char *seen = mem_alloc(n, 1);
    random_permutation(1, 2, 3, n, p);
    for (int64_t i = 0; i < n; i++) {
        assert_true(p[i] >= 0 && p[i] < n && !seen[p[i]]);
        seen[p[i]] = 1;
    }
    random_permutation(1, 2, 3, n, q);
    assert_memory_equal(p, q, (size_t)n * sizeof *p);
    random_permutation(1, 2, 4, n, q);
    if (n > 20) assert_memory_not_equal(p, q, (size_t)n * sizeof *p);
    mem_free(p);
    mem_free(q);
    mem_free(seen);
}

/* Each of the 24 orders of four things comes equally often (chi-square, 23 degrees of freedom, far out in the tail). */
static void test_permutations(void **state) {
    (void)state;
    static const int64_t sizes[] = { 0, 1, 2, 3, 21, 1000, 60000 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) check_permutation(sizes[i]);
    int64_t count[256] = { 0 }, p[4], draws = 24 * scaled(2000);
    for (int64_t i = 0; i < draws; i++) {
        random_permutation(5, 6, (uint64_t)i, 4, p);
        count[p[0] | p[1] << 2 | p[2] << 4 | p[3] << 6]++;
    }
    double expected = (double)draws / 24, chi = 0;
    int orders = 0;
    for (int i = 0; i < 256; i++) {
        if (!count[i]) continue;
        orders++;
        chi += ((double)count[i] - expected) * ((double)count[i] - expected) / expected;
    }
    assert_int_equal(orders, 24);
    assert_true(chi < 62);
}

/* ---- memory ---- */

static void test_counts(void **state) {
    (void)state;
    mem_counts start = mem_count();
    char *a = mem_alloc(3, 100), *b = mem_alloc(0, 8), *c = mem_strdup("word");
    assert_non_null(a);
    assert_non_null(b);
    assert_string_equal(c, "word");
    for (int i = 0; i < 300; i++) assert_int_equal(a[i], 0);
    assert_int_equal((uintptr_t)a % 64, 0);
    assert_int_equal((uintptr_t)b % 64, 0);
    mem_counts now = mem_count();
    assert_int_equal(now.blocks - start.blocks, 3);
    assert_int_equal(now.requests - start.requests, 3);
    assert_true(now.bytes - start.bytes >= 305 && now.bytes - start.bytes < 1000 && now.peak >= now.bytes);
    memset(a, 1, 300);
    a = mem_grow(a, 300, 1000, 1);
    for (int i = 0; i < 1000; i++) assert_int_equal(a[i], i < 300);
    mem_free(a);
    mem_free(b);
    mem_free(c);
    mem_free(NULL);
    now = mem_count();
    assert_int_equal(now.blocks, start.blocks);
    assert_int_equal(now.bytes, start.bytes);
}

static void test_refusals(void **state) {
    (void)state;
    int64_t start = mem_count().blocks;
    assert_null(mem_alloc(-1, 8));
    assert_null(mem_alloc(INT64_MAX, 8));
    assert_null(mem_alloc(INT64_MAX, 2));
    assert_null(mem_alloc(2, SIZE_MAX / 2 + 1));
    assert_null(mem_alloc(1, SIZE_MAX - 63));
    char *kept = mem_strdup("kept");
    assert_null(mem_grow(kept, 5, INT64_MAX, 16));
    assert_string_equal(kept, "kept");
    mem_free(kept);
    assert_int_equal(mem_count().blocks, start);
}

/* AddressSanitizer knows where a block begins and ends, to the byte. */
static void test_fences(void **state) {
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    char *block[] = { mem_alloc(3, 1), mem_alloc(64, 1), mem_alloc(0, 8) };
    int64_t size[] = { 3, 64, 0 };
    for (int i = 0; i < 3; i++) {
        assert_true(__asan_address_is_poisoned(block[i] - 1));
        assert_null(__asan_region_is_poisoned(block[i], (size_t)size[i]));
        assert_true(__asan_address_is_poisoned(block[i] + size[i]));
        mem_free(block[i]);
    }
    char *large = mem_alloc((1 << 24) + 1, 1);
    assert_null(__asan_region_is_poisoned(large, (1 << 24) + 1));
    assert_true(__asan_address_is_poisoned(large + (1 << 24) + 1));
    mem_free(large);
#else
    skip();
#endif
}

/* The k-th request fails, once or from then on. */
static void test_failures(void **state) {
    (void)state;
    for (int forever = 0; forever < 2; forever++) {
        void *block[5];
        mem_fail_at(3, forever);
        for (int i = 0; i < 5; i++) block[i] = mem_alloc(1, 8);
        mem_fail_at(0, 0);
        for (int i = 0; i < 5; i++) assert_int_equal(block[i] == NULL, forever ? i >= 2 : i == 2);
        for (int i = 0; i < 5; i++) mem_free(block[i]);
    }
    void *good = mem_alloc(1, 1);
    assert_non_null(good);
    mem_free(good);
}

/* ---- threads ---- */

enum { MOST_ITEMS = 200 };

typedef struct tally {
    int count[MOST_ITEMS], of[MOST_ITEMS]; /* how often an item was visited, and by which thread */
    int begun[MOST_ITEMS];
} tally;

static void visit(void *job, int64_t begin, int64_t end, int thread) {
    tally *t = job;
    t->begun[thread]++;
    for (int64_t i = begin; i < end; i++) {
        t->count[i]++;
        t->of[i] = thread;
    }
}

static void check_cover(int threads, int64_t n) {
    tally t = { 0 };
    threads_run(threads, n, visit, &t);
    for (int64_t i = 0; i < MOST_ITEMS; i++) assert_int_equal(t.count[i], i < n);
    for (int64_t i = 1; i < n; i++) assert_true(t.of[i] == t.of[i - 1] || t.of[i] == t.of[i - 1] + 1);
    int64_t runs = threads < n ? threads : n;
    for (int64_t i = 0; i < MOST_ITEMS; i++) assert_int_equal(t.begun[i], i < runs);
    for (int64_t i = 0; i < n; i++) assert_true(t.of[i] < threads);
}

static void test_cover(void **state) {
    (void)state;
    for (int threads = 1; threads <= 9; threads++)
        for (int64_t n = 0; n <= MOST_ITEMS; n += n < 40 ? 1 : 23) check_cover(threads, n);
    assert_true(threads_default() >= 1);
}

/* Called from inside a task, everything is done by the caller, and still exactly once. */
static void nest(void *job, int64_t begin, int64_t end, int thread) {
    (void)thread;
    for (int64_t i = begin; i < end; i++) threads_run(4, 50, visit, (tally *)job + i);
}

static void test_nested(void **state) {
    (void)state;
    tally t[6] = { 0 };
    threads_run(3, 6, nest, t);
    for (int k = 0; k < 6; k++)
        for (int i = 0; i < MOST_ITEMS; i++) assert_int_equal(t[k].count[i], i < 50);
}

/* ---- sums ---- */

static void check_sums(int64_t n, int threads) {
    pitot_real *x = mem_alloc(n, sizeof *x), *y = mem_alloc(n, sizeof *y);
    long double square = 0, dot = 0, size = 0, difference = 0;
    for (int64_t i = 0; i < n; i++) {
        x[i] = (pitot_real)(1e3 * (random_uniform(3, 4, 5, (uint64_t)i) - 0.3));
        y[i] = (pitot_real)(random_uniform(3, 4, 6, (uint64_t)i) - 0.5);
        long double a = (long double)x[i], b = (long double)y[i];
        square += a * a;
        dot += a * b;
        size += fabsl(a * b);
        difference += (a - b) * (a - b);
    }
    sums_set_threads(threads);
    double got[3] = { pitot_sum_squares(x, n), pitot_dot(x, y, n), pitot_sum_squared_difference(x, y, n) };
    double again[3] = { pitot_sum_squares(x, n), pitot_dot(x, y, n), pitot_sum_squared_difference(x, y, n) };
    assert_memory_equal(got, again, sizeof got);
    assert_true(fabsl((long double)got[0] - square) <= 1e-13L * square);
    assert_true(fabsl((long double)got[1] - dot) <= 1e-13L * size);
    assert_true(fabsl((long double)got[2] - difference) <= 1e-13L * difference);
    sums_set_threads(1);
    mem_free(x);
    mem_free(y);
}

/* Lengths around the eight lanes, and around where threads begin. */
static void test_sums(void **state) {
    (void)state;
    static const int64_t sizes[] = { 0, 1, 7, 8, 9, 15, 16, 17, 1000, (1 << 17) - 1, 1 << 17, (1 << 17) + 5 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int threads = 1; threads <= 3; threads++) check_sums(sizes[i], threads);
    check_sums(1 << 17, 1000);
}

/* Ratios, also of the largest and smallest values; four of them share a division. */
static void check_ratios(int64_t n, double epsilon) {
    pitot_real *x = mem_alloc(n, sizeof *x), *y = mem_alloc(n, sizeof *y);
    long double ratios = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        int far = (int)(random_uniform(3, 4, 7, (uint64_t)i) * 200) - 100; /* powers of 2 */
        x[i] = (pitot_real)ldexp(random_uniform(3, 4, 5, (uint64_t)i) - 0.3, far);
        y[i] = (pitot_real)ldexp(random_uniform(3, 4, 6, (uint64_t)i) + 0.1, far);
        long double ratio = (long double)x[i] / ((long double)y[i] + (long double)epsilon);
        ratios += ratio;
        size += fabsl(ratio);
    }
    assert_true(fabsl((long double)pitot_sum_ratios(x, y, epsilon, n) - ratios) <= 1e-13L * size);
    if (n > 40) { /* a denominator of 0, or one that is infinite, is taken as it is */
        x[3] = 1, y[3] = (pitot_real)INFINITY;
        long double without = pitot_sum_ratios(x + 4, y + 4, epsilon, n - 4) + pitot_sum_ratios(x, y, epsilon, 3);
        assert_true(fabsl((long double)pitot_sum_ratios(x, y, epsilon, n) - without) <= 1e-12L * size);
        x[40] = -1, y[40] = 0;
        assert_true(epsilon != 0 || pitot_sum_ratios(x, y, epsilon, n) == -INFINITY);
        x[40] = 0;
        assert_true(epsilon != 0 || isnan(pitot_sum_ratios(x, y, epsilon, n)));
    }
    mem_free(x);
    mem_free(y);
}

static void test_ratios(void **state) {
    (void)state;
    static const int64_t sizes[] = { 0, 1, 31, 32, 33, 64, 65, 1000, (1 << 17) + 37 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) check_ratios(sizes[i], 0), check_ratios(sizes[i], 1e-7);
}

/* What is written reads back, with no more than 15 digits where these are enough. */
static void test_shortest(void **state) {
    (void)state;
    for (int64_t i = 0; i < 20000; i++) {
        char text[NUMBER_ROOM], should[NUMBER_ROOM];
        double digits = floor(1e15 * random_uniform(3, 4, 8, (uint64_t)i)), v = digits * pow(10, (double)(i % 60) - 40);
        if (i % 3 == 1) v = nextafter(v, INFINITY);
        if (i % 3 == 2) v = nextafter(pow(10, (double)(i % 60) - 30), i % 2 ? 0 : INFINITY);
        snprintf(should, sizeof should, "%.15g", v);
        if (strtod(should, NULL) != v) snprintf(should, sizeof should, "%.17g", v);
        number_write(v, text);
        if (v != floor(v)) assert_string_equal(text, should);
        assert_true(strtod(text, NULL) == v);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_option_defaults), cmocka_unit_test(test_option_values),
        cmocka_unit_test(test_option_text),     cmocka_unit_test(test_first_error_stays),
        cmocka_unit_test(test_numbers),         cmocka_unit_test(test_numbers_with_comma),
        cmocka_unit_test(test_short_texts),     cmocka_unit_test(test_number_grammar),
        cmocka_unit_test(test_philox),          cmocka_unit_test(test_streams),
        cmocka_unit_test(test_uniform),         cmocka_unit_test(test_normal),
        cmocka_unit_test(test_permutations),    cmocka_unit_test(test_counts),
        cmocka_unit_test(test_refusals),        cmocka_unit_test(test_fences),
        cmocka_unit_test(test_failures),        cmocka_unit_test(test_cover),
        cmocka_unit_test(test_nested),          cmocka_unit_test(test_sums),
        cmocka_unit_test(test_ratios),          cmocka_unit_test(test_shortest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
