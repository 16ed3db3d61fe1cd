/* Safetensors files: round trips, golden bytes, conversions of every type, and every way that a file can be wrong. */

#include "data/safetensors.h"

#include "base/alloc.h"

#include <dirent.h>
#include <ftw.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64], path[96];

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/pitot-tensors-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/a.safetensors", folder);
    return 0;
}

static int remove_one(const char *name, const struct stat *st, int kind, struct FTW *at) {
    (void)st, (void)kind, (void)at;
    return remove(name);
}

static int remove_folder(void **state) {
    (void)state;
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static int count_files(void) {
    int n = 0;
    DIR *all = opendir(folder);
    assert_non_null(all);
    for (const struct dirent *one = readdir(all); one; one = readdir(all)) n += one->d_name[0] != '.';
    closedir(all);
    return n;
}

static void write_bytes(const void *bytes, size_t n) {
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, n, out), n);
    assert_int_equal(fclose(out), 0);
}

static size_t read_bytes(unsigned char *bytes, size_t room) {
    FILE *in = fopen(path, "rb");
    assert_non_null(in);
    size_t n = fread(bytes, 1, room, in);
    fclose(in);
    return n;
}

/* A file with this header, a length of its own, and `n` bytes of values. */
static void write_file(const char *header, uint64_t length, const void *values, size_t n) {
    unsigned char bytes[4096];
    size_t size = strlen(header);
    assert_true(8 + size + n <= sizeof bytes);
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(length >> (8 * i));
    memcpy(bytes + 8, header, size);
    if (n > 0) memcpy(bytes + 8 + size, values, n);
    write_bytes(bytes, 8 + size + n);
}

static tensor_file *must_open(void) {
    pitot_error error = { 0 };
    tensor_file *file = tensor_file_open(path, &error);
    if (!file) print_error("%s\n", error.text);
    assert_non_null(file);
    assert_int_equal(error.status, PITOT_OK);
    assert_string_equal(file->path, path);
    return file;
}

static void must_fail(int32_t status, const char *fragment) {
    pitot_error error = { 0 };
    int64_t blocks = mem_count().blocks;
    assert_null(tensor_file_open(path, &error));
    if (error.status != status || !strstr(error.text, fragment)) {
        print_error("%d \"%s\", not %d \"%s\"\n", error.status, error.text, status, fragment);
    }
    assert_int_equal(error.status, status);
    assert_non_null(strstr(error.text, fragment));
    assert_int_equal(strncmp(error.text, path, strlen(path)), 0);
    assert_int_equal(mem_count().blocks, blocks);
    assert_null(tensor_file_open(path, NULL));
}

/* ---- writing and reading back ---- */

static const pitot_real values[6] = { 1, (pitot_real)-2.5, 0, (pitot_real)1e-40, (pitot_real)3e38, (pitot_real)0.1 };

static void test_golden(void **state) {
    (void)state;
    static const char header[] = "{\"__metadata__\":{\"made\":\"by \\\"us\\\"\\u000a\",\"a\":\"\"},"
                                 "\"a.bias\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
                                 "\"a.weight\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[4,12]},"
                                 "\"none\":{\"dtype\":\"F32\",\"shape\":[2,0],\"data_offsets\":[12,12]},"
                                 "\"x\\u001f\xc3\xa9\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[12,15]}}";
    static const unsigned char data[15] = { 0, 0, 0x20, 0xc0, 0, 0, 0x80, 0x3f, 0, 0, 0x20, 0xc0, 'a', 0, 'c' };
    const tensor_out tensors[4] = { { "x\x1f\xc3\xa9", 1, { 3 }, TENSOR_U8, "a\0c" },
                                    { "none", 2, { 2, 0 }, TENSOR_F32, NULL },
                                    { "a.weight", 2, { 1, 2 }, TENSOR_F32, values },
                                    { "a.bias", 0, { 0 }, TENSOR_F32, values + 1 } };
    const char *const key[2] = { "made", "a" }, *const value[2] = { "by \"us\"\n", "" };
    unsigned char bytes[1024];
    pitot_error error = { 0 };
    assert_int_equal(tensor_file_write(path, tensors, 4, key, value, 2, 1, &error), PITOT_OK);
    size_t n = read_bytes(bytes, sizeof bytes), text = sizeof header - 1, padded = (text + 7) / 8 * 8;
    assert_int_equal(n, 8 + padded + sizeof data);
    assert_int_equal(bytes[0] + 256 * bytes[1], padded);
    for (int i = 2; i < 8; i++) assert_int_equal(bytes[i], 0);
    assert_memory_equal(bytes + 8, header, text);
    for (size_t i = text; i < padded; i++) assert_int_equal(bytes[8 + i], ' ');
    assert_memory_equal(bytes + 8 + padded, data, sizeof data);

    tensor_file *file = must_open();
    assert_int_equal(file->n, 4);
    assert_int_equal(file->n_meta, 2);
    assert_string_equal(tensor_file_meta(file, "made"), "by \"us\"\n");
    assert_string_equal(tensor_file_meta(file, "a"), "");
    assert_null(tensor_file_meta(file, "b"));
    assert_string_equal(file->entry[3].name, "x\x1f\xc3\xa9");
    assert_int_equal(tensor_file_find(file, "a.bias")->n_dim, 0);
    assert_int_equal(tensor_file_find(file, "a.bias")->size, 1);
    assert_int_equal(tensor_file_find(file, "none")->size, 0);
    assert_int_equal(tensor_file_find(file, "none")->shape[0], 2);
    tensor_file_close(file);
}

/* Bit for bit in the library's own type; in float if the file is. */
static void test_round_trip(void **state) {
    (void)state;
    const int32_t dtypes[2] = { TENSOR_F32, TENSOR_F64 };
    for (int k = 0; k < 2; k++) {
        const tensor_out tensors[2] = { { "b", 2, { 2, 3 }, dtypes[k], values },
                                        { "a", 8, { 1, 1, 1, 1, 1, 1, 1, 2 }, TENSOR_U8, "hi" } };
        pitot_real back[6], expected[6];
        for (int i = 0; i < 6; i++) expected[i] = k == 0 ? (pitot_real)(float)values[i] : values[i];
        assert_int_equal(tensor_file_write(path, tensors, 2, NULL, NULL, 0, 0, NULL), PITOT_OK);
        tensor_file *file = must_open();
        const tensor_entry *a = tensor_file_find(file, "a"), *b = tensor_file_find(file, "b");
        assert_int_equal(b->dtype, dtypes[k]);
        assert_int_equal(b->shape[1], 3);
        assert_int_equal(tensor_entry_read(b, back), PITOT_OK);
        assert_memory_equal(back, expected, sizeof back);
        assert_int_equal(a->dtype, TENSOR_U8);
        assert_int_equal(a->n_dim, 8);
        assert_int_equal(tensor_entry_read(a, back), PITOT_ENOTSUP);
        assert_memory_equal(a->bytes, "hi", 2);
        assert_true(b->bytes < a->bytes); /* wide types first: every tensor is aligned to its type */
        assert_null(tensor_file_find(file, "c"));
        tensor_file_close(file);
    }
    tensor_file_close(NULL);
}

static void test_special_values(void **state) {
    (void)state;
    const pitot_real odd[5] = { (pitot_real)INFINITY, (pitot_real)-INFINITY, (pitot_real)NAN, (pitot_real)-0.0,
                                (pitot_real)0x1p-149 };
    const tensor_out tensor = { "t", 1, { 5 }, TENSOR_F32, odd };
    pitot_real back[5];
    assert_int_equal(tensor_file_write(path, &tensor, 1, NULL, NULL, 0, 0, NULL), PITOT_OK);
    tensor_file *file = must_open();
    assert_int_equal(tensor_entry_read(&file->entry[0], back), PITOT_OK);
    assert_true(isinf(back[0]) && back[0] > 0 && isinf(back[1]) && back[1] < 0 && isnan(back[2]));
    assert_true(back[3] == 0 && signbit(back[3]) && back[4] == (pitot_real)0x1p-149);
    tensor_file_close(file);
}

static void test_empty(void **state) {
    (void)state;
    unsigned char bytes[64];
    assert_int_equal(tensor_file_write(path, NULL, 0, NULL, NULL, 0, 0, NULL), PITOT_OK);
    assert_int_equal(read_bytes(bytes, sizeof bytes), 16);
    assert_memory_equal(bytes, "\10\0\0\0\0\0\0\0{}      ", 16);
    tensor_file *file = must_open();
    assert_int_equal(file->n, 0);
    assert_null(tensor_file_find(file, ""));
    tensor_file_close(file);
}

/* All 65536 half floats against the definition. */
static void test_half(void **state) {
    (void)state;
    enum { ALL = 65536 };
    unsigned char *bytes = malloc(2 * ALL);
    pitot_real *back = malloc(ALL * sizeof *back);
    assert_true(bytes && back);
    for (int i = 0; i < ALL; i++) {
        bytes[2 * i] = (unsigned char)i;
        bytes[2 * i + 1] = (unsigned char)(i >> 8);
    }
    const tensor_entry half = { "h", TENSOR_F16, 1, { ALL }, ALL, bytes }, brain = { "b", TENSOR_BF16, 1, { ALL }, ALL, bytes };
    assert_int_equal(tensor_entry_read(&half, back), PITOT_OK);
    for (int i = 0; i < ALL; i++) {
        int exponent = i >> 10 & 31, fraction = i & 1023;
        double magnitude = exponent == 0 ? ldexp(fraction, -24) : ldexp(1024 + fraction, exponent - 25);
        if (exponent == 31) magnitude = fraction ? NAN : INFINITY;
        assert_true(exponent == 31 && fraction ? isnan(back[i]) : (double)back[i] == (i >> 15 ? -magnitude : magnitude));
        assert_true(!signbit(back[i]) == !(i >> 15));
    }
    assert_int_equal(tensor_entry_read(&brain, back), PITOT_OK);
    for (int i = 0; i < ALL; i++) {
        int exponent = i >> 7 & 255, fraction = i & 127;
        double magnitude = exponent == 0 ? ldexp(fraction, -133) : ldexp(128 + fraction, exponent - 134);
        if (exponent == 255) magnitude = fraction ? NAN : INFINITY;
        assert_true(exponent == 255 && fraction ? isnan(back[i]) : (double)back[i] == (i >> 15 ? -magnitude : magnitude));
    }
    free(bytes);
    free(back);
}

/* ---- reading what others wrote ---- */

static void test_foreign(void **state) {
    (void)state;
    static const char header[] = "{ \"z\" : {\"extra\": [1, {}], \"shape\":[2], \"dtype\":\"BF16\", \"data_offsets\":[ 4 , 8 ]},\n"
                                 "\"empty\":{\"dtype\":\"F64\",\"shape\":[0,9],\"data_offsets\":[4,4]},"
                                 "\"__metadata__\":{\"format\":\"pt\"},\t"
                                 "\"\\u00e9\":{\"dtype\":\"F16\",\"shape\":[2,1],\"data_offsets\":[0,4]}}  \n";
    static const unsigned char data[8] = { 0x00, 0x3c, 0x01, 0x80, 0x80, 0x3f, 0x20, 0xc0 };
    pitot_real back[2];
    write_file(header, sizeof header - 1, data, sizeof data);
    tensor_file *file = must_open();
    assert_int_equal(file->n, 3);
    assert_string_equal(tensor_file_meta(file, "format"), "pt");
    const tensor_entry *half = tensor_file_find(file, "\xc3\xa9"), *brain = tensor_file_find(file, "z");
    assert_int_equal(tensor_entry_read(half, back), PITOT_OK);
    assert_true(back[0] == 1 && back[1] == (pitot_real)-0x1p-24);
    assert_int_equal(tensor_entry_read(brain, back), PITOT_OK);
    assert_true(back[0] == 1 && back[1] == (pitot_real)-2.5);
    assert_int_equal(tensor_file_find(file, "empty")->shape[1], 9);
    tensor_file_close(file);
}

#define ENTRY(dtype, shape, begin, end) "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" begin "," end "]}"
#define ONE(dtype, shape, begin, end) "{\"t\":" ENTRY(dtype, shape, begin, end) "}"

static void test_header_errors(void **state) {
    (void)state;
    static const struct {
        const char *header;
        size_t n; /* bytes of values, zeros */
        int32_t status;
        const char *fragment;
    } cases[] = {
        { "", 0, PITOT_EFORMAT, ":header: not a JSON object" },
        { "[]", 0, PITOT_EFORMAT, ":header: not a JSON object" },
        { " {}", 0, PITOT_EFORMAT, ":header: not a JSON object" },
        { "{\"\xff\":1}", 0, PITOT_EFORMAT, ":header: not a JSON object" },
        { "{\"a\\u0000b\":" ENTRY("F32", "[]", "0", "4") "}", 4, PITOT_EFORMAT, ":header: not a JSON object" },
        { "{\"a\001\":1}", 0, PITOT_EFORMAT, ":header: not a JSON object" },
        { "{\"a\":", 0, PITOT_EFORMAT, ":header: damaged JSON" },
        { "{} x", 0, PITOT_EFORMAT, ":header: something follows" },
        { "{}", 1, PITOT_EFORMAT, ":header: values that belong to no tensor" },
        { ONE("F32", "[1]", "0", "4"), 5, PITOT_EFORMAT, ":header: values that belong to no tensor" },
        { "{\"t\":4}", 0, PITOT_EFORMAT, ":t: not an object" },
        { "{\"t\":{\"dtype\":\"F32\",\"shape\":[0]}}", 0, PITOT_EFORMAT, ":t: not an object with one dtype" },
        { "{\"t\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, PITOT_EFORMAT,
          ":t: not an object" },
        { "{\"t\":{\"dtype\":4,\"shape\":[0],\"data_offsets\":[0,0]}}", 0, PITOT_EFORMAT, ":t: dtype is not a string" },
        { ONE("I64", "[1]", "0", "8"), 8, PITOT_ENOTSUP, ":t: dtype I64 is not supported" },
        { ONE("f32", "[1]", "0", "4"), 4, PITOT_ENOTSUP, ":t: dtype f32 is not supported" },
        { ONE("F32", "4", "0", "4"), 4, PITOT_EFORMAT, ":t: shape is not a list" },
        { ONE("F32", "[-1]", "0", "4"), 4, PITOT_EFORMAT, ":t: shape is not made of whole numbers" },
        { ONE("F32", "[0.5]", "0", "2"), 2, PITOT_EFORMAT, ":t: shape is not made of whole numbers" },
        { ONE("F32", "[\"1\"]", "0", "4"), 4, PITOT_EFORMAT, ":t: shape is not made of whole numbers" },
        { ONE("F32", "[9007199254740992]", "0", "4"), 4, PITOT_EFORMAT, ":t: shape is not made of whole numbers" },
        { ONE("F32", "[1e400]", "0", "4"), 4, PITOT_EFORMAT, ":t: shape is not made of whole numbers" },
        { ONE("F32", "[4294967296,4294967296]", "0", "0"), 0, PITOT_EFORMAT, ":t: shape is not made of whole numbers in range" },
        { ONE("F64", "[2147483648,1073741824]", "0", "0"), 0, PITOT_EFORMAT, ":t: shape and data_offsets do not agree" },
        { ONE("F32", "[1,1,1,1,1,1,1,1,1]", "0", "4"), 4, PITOT_ENOTSUP, ":t: more than 8 axes" },
        { ONE("F32", "[2]", "0", "4"), 4, PITOT_EFORMAT, ":t: shape and data_offsets do not agree" },
        { ONE("F32", "[1]", "4", "0"), 4, PITOT_EFORMAT, ":t: its values lie outside the file" },
        { ONE("F32", "[2]", "0", "8"), 7, PITOT_EFORMAT, ":t: its values lie outside the file" },
        { ONE("F32", "[1]", "-4", "0"), 4, PITOT_EFORMAT, ":t: data_offsets is not a pair" },
        { ONE("F32", "[1]", "0", "4,8"), 8, PITOT_EFORMAT, ":t: data_offsets is not a pair" },
        { ONE("F32", "[1]", "0.5", "4.5"), 8, PITOT_EFORMAT, ":t: data_offsets is not a pair" },
        { "{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, PITOT_EFORMAT, ":t: data_offsets is not a pair" },
        { "{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":4}}", 4, PITOT_EFORMAT, ":t: data_offsets is not a pair" },
        { ONE("F32", "[1]", "4", "8"), 8, PITOT_EFORMAT, ":t: a gap before its values" },
        { "{\"a\":" ENTRY("U8", "[2]", "0", "2") ",\"b\":" ENTRY("U8", "[2]", "3", "5") "}", 5, PITOT_EFORMAT, ":b: a gap" },
        { "{\"a\":" ENTRY("U8", "[3]", "0", "3") ",\"b\":" ENTRY("U8", "[2]", "2", "4") "}", 4, PITOT_EFORMAT, ":b: a gap" },
        { "{\"a\":" ENTRY("U8", "[3]", "0", "3") ",\"b\":" ENTRY("U8", "[3]", "0", "3") "}", 3, PITOT_EFORMAT,
          "shared with others" },
        { "{\"a\":" ENTRY("U8", "[3]", "0", "3") ",\"b\":" ENTRY("U8", "[0]", "1", "1") "}", 3, PITOT_EFORMAT, ":b: a gap" },
        { "{\"a\":" ENTRY("U8", "[1]", "0", "1") ",\"a\":" ENTRY("U8", "[1]", "1", "2") "}", 2, PITOT_EFORMAT,
          ":a: present twice" },
        { "{\"\033[2J\":1}", 0, PITOT_EFORMAT, ":header: not a JSON object" },
        { "{\"\\u001b[2J\":1}", 0, PITOT_EFORMAT, ":?[2J: not an object" }, /* no escape sequences to the terminal */
        { "{\"__metadata__\":[]}", 0, PITOT_EFORMAT, ":__metadata__: present twice, or not an object" },
        { "{\"__metadata__\":{},\"__metadata__\":{}}", 0, PITOT_EFORMAT, ":__metadata__: present twice" },
        { "{\"__metadata__\":{\"a\":1}}", 0, PITOT_EFORMAT, ":__metadata__: not strings under distinct keys" },
        { "{\"__metadata__\":{\"a\":\"\",\"a\":\"\"}}", 0, PITOT_EFORMAT, ":__metadata__: not strings under distinct keys" },
    };
    static const unsigned char zeros[8];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_file(cases[i].header, strlen(cases[i].header), zeros, cases[i].n);
        must_fail(cases[i].status, cases[i].fragment);
    }
}

static void test_text_errors(void **state) {
    (void)state;
    static const char *const bad[] = { "\x80",
                                       "\xc1\x81",
                                       "\xc3",
                                       "\xe0\x80\x80",
                                       "\xed\xa0\x80",
                                       "\xf4\x90\x80\x80",
                                       "\xf0\x80\x80\x80",
                                       "\xf8\x88\x80\x80\x80",
                                       "\xe2\x82" };
    char header[128];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(header, sizeof header, "{\"%s\":%s}", bad[i], ENTRY("F32", "[0]", "0", "0"));
        write_file(header, strlen(header), NULL, 0);
        must_fail(PITOT_EFORMAT, ":header: not a JSON object");
        const tensor_out tensor = { bad[i], 1, { 0 }, TENSOR_F32, NULL };
        assert_int_equal(tensor_file_write(path, &tensor, 1, NULL, NULL, 0, 0, NULL), PITOT_EINVAL);
    }
    static const char good[] = "\x7f\xc2\x80\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xf0\x90\x80\x80\xf4\x8f\xbf\xbf";
    const tensor_out tensor = { good, 1, { 0 }, TENSOR_F32, NULL };
    assert_int_equal(tensor_file_write(path, &tensor, 1, NULL, NULL, 0, 0, NULL), PITOT_OK);
    tensor_file *file = must_open();
    assert_string_equal(file->entry[0].name, good);
    tensor_file_close(file);
}

static void test_length_errors(void **state) {
    (void)state;
    write_bytes("", 0);
    must_fail(PITOT_EFORMAT, ":header: shorter than 8 bytes");
    write_bytes("\2\0\0\0\0\0\0", 7);
    must_fail(PITOT_EFORMAT, ":header: shorter than 8 bytes");
    write_file("{}", 3, NULL, 0);
    must_fail(PITOT_EFORMAT, ":header: longer than the file");
    write_file("{}", 100000001, NULL, 0);
    must_fail(PITOT_EFORMAT, ":header: longer than 100 MB");
    write_file("{}", UINT64_MAX, NULL, 0);
    must_fail(PITOT_EFORMAT, ":header: longer than 100 MB");
    snprintf(path, sizeof path, "%s/absent", folder);
    must_fail(PITOT_EIO, "absent");
}

static void test_deep_json(void **state) {
    (void)state;
    char header[4000] = "{\"t\":";
    memset(header + 5, '[', sizeof header - 6);
    write_file(header, strlen(header), NULL, 0);
    must_fail(PITOT_EFORMAT, ":header: damaged JSON");
}

/* ---- refusing to write ---- */

static void refuse(const tensor_out *tensors, int64_t n, int32_t status, const char *fragment) {
    pitot_error error = { 0 };
    int64_t blocks = mem_count().blocks;
    assert_int_equal(tensor_file_write(path, tensors, n, NULL, NULL, 0, 0, &error), status);
    assert_int_equal(error.status, status);
    assert_non_null(strstr(error.text, fragment));
    assert_int_equal(mem_count().blocks, blocks);
}

static void test_write_errors(void **state) {
    (void)state;
    const tensor_out good = { "t", 1, { 1 }, TENSOR_F32, values };
    const int64_t big = (int64_t)1 << 61;
    assert_int_equal(tensor_file_write(path, &good, 1, NULL, NULL, 0, 0, NULL), PITOT_OK);
    refuse(&(tensor_out){ NULL, 1, { 1 }, TENSOR_F32, values }, 1, PITOT_EINVAL, "the name of a tensor");
    refuse(&(tensor_out){ "__metadata__", 1, { 1 }, TENSOR_F32, values }, 1, PITOT_EINVAL, "reserved");
    refuse(&(tensor_out){ "t", 1, { 1 }, TENSOR_F16, values }, 1, PITOT_ENOTSUP, ":t: cannot be written as this dtype");
    refuse(&(tensor_out){ "t", 1, { 1 }, 0, values }, 1, PITOT_ENOTSUP, ":t: cannot be written");
    refuse(&(tensor_out){ "t", 9, { 1 }, TENSOR_F32, values }, 1, PITOT_EINVAL, ":t: its shape makes no sense");
    refuse(&(tensor_out){ "t", -1, { 1 }, TENSOR_F32, values }, 1, PITOT_EINVAL, ":t: its shape makes no sense");
    refuse(&(tensor_out){ "t", 1, { -1 }, TENSOR_F32, values }, 1, PITOT_EINVAL, ":t: its shape makes no sense");
    refuse(&(tensor_out){ "t", 2, { big, 8 }, TENSOR_F32, values }, 1, PITOT_EINVAL, ":t: its shape makes no sense");
    refuse(&(tensor_out){ "t", 1, { big }, TENSOR_F32, values }, 1, PITOT_EINVAL, ":t: its shape makes no sense");
    refuse(&(tensor_out){ "t", 1, { 1 }, TENSOR_F32, NULL }, 1, PITOT_EINVAL, ":t: its shape makes no sense");
    const tensor_out twice[2] = { good, good },
                     huge[2] = { { "a", 1, { big }, TENSOR_U8, values }, { "b", 1, { big }, TENSOR_U8, values } };
    refuse(twice, 2, PITOT_EINVAL, ":t: two tensors of this name");
    refuse(huge, 2, PITOT_EINVAL, "larger than a file can be");
    const char *const key[2] = { "a", "a" }, *const value[2] = { "", "" }, *const none[2] = { "", NULL };
    assert_int_equal(tensor_file_write(path, &good, 1, key, value, 2, 0, NULL), PITOT_EINVAL);
    assert_int_equal(tensor_file_write(path, &good, 1, key, none, 1, 0, NULL), PITOT_OK);
    assert_int_equal(tensor_file_write(path, &good, 1, none, value, 2, 0, NULL), PITOT_EINVAL);
    tensor_file *file = must_open(); /* what was there before is still there, and nothing else is */
    assert_int_equal(file->n, 1);
    tensor_file_close(file);
    assert_int_equal(count_files(), 1);
    snprintf(path, sizeof path, "%s/absent/a.safetensors", folder);
    refuse(&good, 1, PITOT_EIO, "absent");
}

static void test_memory(void **state) {
    (void)state;
    const tensor_out tensors[2] = { { "b", 2, { 2, 3 }, TENSOR_F32, values }, { "a", 1, { 2 }, TENSOR_U8, "hi" } };
    const char *const key[1] = { "k" }, *const value[1] = { "v" };
    int64_t blocks = mem_count().blocks;
    int32_t status = PITOT_ENOMEM;
    for (int64_t k = 1; status != PITOT_OK; k++) {
        pitot_error error = { 0 };
        mem_fail_at(k, 0);
        status = tensor_file_write(path, tensors, 2, key, value, 1, 0, &error);
        mem_fail_at(0, 0);
        assert_true(status == PITOT_OK || (status == PITOT_ENOMEM && error.status == status));
        assert_int_equal(mem_count().blocks, blocks);
    }
    tensor_file *file = NULL;
    for (int64_t k = 1; !file; k++) {
        pitot_error error = { 0 };
        mem_fail_at(k, 0);
        file = tensor_file_open(path, &error);
        mem_fail_at(0, 0);
        assert_true(file || (error.status == PITOT_ENOMEM && mem_count().blocks == blocks));
    }
    tensor_file_close(file);
    assert_int_equal(mem_count().blocks, blocks);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_golden),        IN_FOLDER(test_round_trip), IN_FOLDER(test_special_values), IN_FOLDER(test_empty),
        cmocka_unit_test(test_half),   IN_FOLDER(test_foreign),    IN_FOLDER(test_header_errors),  IN_FOLDER(test_text_errors),
        IN_FOLDER(test_length_errors), IN_FOLDER(test_deep_json),  IN_FOLDER(test_write_errors),   IN_FOLDER(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
