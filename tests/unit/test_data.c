/* Data sets: every format's values and every way that its files can be wrong. Files are written into a folder below /tmp; those
   that NumPy itself wrote are in tests/golden. */

#include "pitot/data.h"

#include "base/alloc.h"
#include "data/data.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

/* ---- files and checks ---- */

static char folder[64];

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/pitot-data-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static int remove_folder(void **state) {
    (void)state;
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *path_of(const char *name) {
    static char path[160];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static const char *spec_of(const char *format, const char *name) {
    static char spec[160];
    snprintf(spec, sizeof spec, "%s:%s%s%s", format, folder, name[0] ? "/" : "", name);
    return spec;
}

/* Gzipped if the name ends in .gz. */
static void write_file(const char *name, const void *bytes, size_t n) {
    size_t length = strlen(name);
    if (length > 3 && strcmp(name + length - 3, ".gz") == 0) {
        gzFile out = gzopen(path_of(name), "wb");
        assert_non_null(out);
        assert_int_equal(gzwrite(out, bytes, (unsigned)n), (int)n);
        assert_int_equal(gzclose(out), Z_OK);
        return;
    }
    FILE *out = fopen(path_of(name), "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, n, out), n);
    assert_int_equal(fclose(out), 0);
}

static pitot_data *must_open(const char *spec) {
    pitot_error error = { 0 };
    pitot_data *data = pitot_data_open(spec, &error);
    if (!data) print_error("%s: %s\n", spec, error.text);
    assert_non_null(data);
    assert_int_equal(error.status, PITOT_OK);
    assert_string_equal(data->spec, spec);
    return data;
}

/* The message must name the place, say what to do, and nothing may stay allocated. */
static void must_fail(const char *spec, int32_t status, const char *fragment) {
    pitot_error error = { 0 };
    int64_t blocks = mem_count().blocks;
    pitot_data *data = pitot_data_open(spec, &error);
    assert_null(data);
    if (error.status != status || !strstr(error.text, fragment)) {
        print_error("%s gave %d \"%s\", not %d \"%s\"\n", spec, error.status, error.text, status, fragment);
    }
    assert_int_equal(error.status, status);
    assert_non_null(strstr(error.text, fragment));
    assert_int_equal(mem_count().blocks, blocks);
    assert_null(pitot_data_open(spec, NULL));
    assert_int_equal(mem_count().blocks, blocks);
}

static void check_shape(const pitot_data *data, int64_t a, int64_t b, int64_t c) {
    const int64_t expected[PITOT_DIMS] = { a, b, c };
    assert_memory_equal(data->shape, expected, sizeof expected);
    assert_int_equal(data->size, a * (b ? b : 1) * (c ? c : 1));
}

static void put_u32(unsigned char *p, uint32_t value, int big) {
    for (int i = 0; i < 4; i++) p[i] = (unsigned char)(value >> (8 * (big ? 3 - i : i)));
}

static void put_u16(unsigned char *p, uint32_t value) {
    p[0] = (unsigned char)value;
    p[1] = (unsigned char)(value >> 8);
}

static void put_u64(unsigned char *p, uint64_t value) {
    put_u32(p, (uint32_t)value, 0);
    put_u32(p + 4, (uint32_t)(value >> 32), 0);
}

/* ---- opening ---- */

static void test_registry(void **state) {
    (void)state;
    const char *before = "";
    int n = 0;
    for (const pitot_data_format *const *f = pitot_data_formats(); *f; f++, n++) {
        assert_true(strcmp(before, (*f)->name) < 0);
        assert_int_equal((*f)->struct_size, sizeof(pitot_data_format));
        assert_int_equal((*f)->abi, PITOT_ABI);
        assert_int_equal(strncmp((*f)->spec, (*f)->name, strlen((*f)->name)), 0);
        assert_true((*f)->summary[0] && (*f)->details[0] && (*f)->open);
        before = (*f)->name;
    }
    assert_true(n >= 4);
}

static void test_names(void **state) {
    (void)state;
    char longest[300];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    must_fail("nosuch:x", PITOT_EINVAL, "cifar10:DIR, glyphs[:N], mnist:DIR, npz:FILE");
    must_fail("mnis", PITOT_EINVAL, "no format \"mnis\"");
    must_fail("\033[2J:x", PITOT_EINVAL, "no format \"?[2J\"");
    must_fail("", PITOT_EINVAL, "between 1 and 255");
    must_fail(":x", PITOT_EINVAL, "NAME:ARGUMENT");
    must_fail(longest, PITOT_EINVAL, "between 1 and 255");
    must_fail(NULL, PITOT_EINVAL, "between 1 and 255");
    must_fail("mnist", PITOT_EINVAL, "write mnist:DIR");
    must_fail("cifar10:", PITOT_EINVAL, "write cifar10:DIR");
    must_fail("npz", PITOT_EINVAL, "write npz:FILE");
    pitot_data_free(NULL);
}

static void test_helpers(void **state) {
    (void)state;
    int64_t product = 7;
    char text[8];
    assert_true(data_multiply(INT64_MAX, 1, &product) && product == INT64_MAX);
    assert_true(data_multiply(INT64_MAX, 0, &product) && product == 0);
    assert_true(data_multiply(0, INT64_MAX, &product) && product == 0);
    assert_true(data_multiply((int64_t)1 << 31, ((int64_t)1 << 32) - 1, &product));
    assert_false(data_multiply((int64_t)1 << 31, (int64_t)1 << 32, &product));
    assert_int_equal(product, INT64_MAX - ((int64_t)1 << 31) + 1);
    const int64_t n[] = { 1, 2, 5, 9, 10, 10000 }, share[] = { 1, 1, 4, 7, 8, 8000 };
    for (int i = 0; i < 6; i++) assert_int_equal(data_train_share(n[i]), share[i]);
    assert_string_equal(data_printable(text, sizeof text,
                                       "a\nb\x80"
                                       "cdefgh",
                                       10),
                        "a?b?cde");
    assert_string_equal(data_printable(text, sizeof text, "ab", 1), "a");
}

/* What no file can say today, a new format may. */
static void test_describe(void **state) {
    (void)state;
    static const struct {
        int64_t n, n_train, shape[5];
        int32_t n_dim, status;
        const char *text;
    } cases[] = {
        { 6, 4, { 2, 3, 4, 5 }, 4, PITOT_OK, "" },
        { 6, 6, { 7 }, 1, PITOT_OK, "" },
        { 6, 4, { 0 }, 0, PITOT_ENOTSUP, "FILE:x: a sample has 0 axes; reshape it to between 1 and 4" },
        { 6, 4, { 1, 1, 1, 1, 1 }, 5, PITOT_ENOTSUP, "FILE:x: a sample has 5 axes; reshape it to between 1 and 4" },
        { 0, 0, { 1 }, 1, PITOT_EFORMAT, "FILE:x: no samples to train on; at least one is needed" },
        { 6, 0, { 1 }, 1, PITOT_EFORMAT, "FILE:x: no samples to train on; at least one is needed" },
        { 6, 7, { 1 }, 1, PITOT_EFORMAT, "FILE:x: no samples to train on; at least one is needed" },
        { 6, 4, { 3, 0 }, 2, PITOT_EFORMAT, "FILE:x: axis 1 of a sample has extent 0; it must be positive and fit memory" },
        { 6, 4, { -1 }, 1, PITOT_EFORMAT, "FILE:x: axis 0 of a sample has extent -1; it must be positive and fit memory" },
        { 8,
          4,
          { (int64_t)1 << 60 },
          1,
          PITOT_EFORMAT,
          "FILE:x: 8 samples of 1152921504606846976 values are more than can be addressed" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        pitot_data data = { 0 };
        pitot_error error = { 0 };
        int32_t status = data_describe(&data, cases[i].n, cases[i].n_train, cases[i].shape, cases[i].n_dim, "FILE:x", &error);
        assert_int_equal(status, cases[i].status);
        assert_string_equal(error.text, cases[i].text);
        assert_int_equal(data.n, status == PITOT_OK ? cases[i].n : 0);
    }
}

/* ---- mnist ---- */

/* Pixel k of picture i is (7 i + k) mod 256, its label (3 i) mod 10. */
static void write_idx(const char *name, int axes, uint32_t n, uint32_t rows, uint32_t columns) {
    unsigned char bytes[4096] = { 0, 0, 8, (unsigned char)axes };
    size_t at = 4 + 4 * (size_t)axes;
    put_u32(bytes + 4, n, 1);
    if (axes == 3) {
        put_u32(bytes + 8, rows, 1);
        put_u32(bytes + 12, columns, 1);
    }
    for (uint32_t i = 0; i < n; i++) {
        if (axes == 1) bytes[at++] = (unsigned char)(3 * i % 10);
        for (uint32_t k = 0; axes == 3 && k < rows * columns; k++) bytes[at++] = (unsigned char)(7 * i + k);
    }
    write_file(name, bytes, at);
}

static void test_mnist_t10k(void **state) {
    (void)state;
    write_idx("t10k-images-idx3-ubyte.gz", 3, 10, 2, 3);
    write_idx("t10k-labels-idx1-ubyte", 1, 10, 0, 0);
    pitot_data *data = must_open(spec_of("mnist", ""));
    assert_int_equal(data->n, 10);
    assert_int_equal(data->n_train, 8);
    assert_int_equal(data->n_classes, 10);
    assert_int_equal(data->target_size, 0);
    check_shape(data, 1, 2, 3);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(data->classes[i], 3 * i % 10);
        for (int k = 0; k < 6; k++) assert_int_equal(data->bytes[6 * i + k], 7 * i + k);
    }
    pitot_data_free(data);
}

static void test_mnist_parts(void **state) {
    (void)state;
    write_idx("train-images.idx3-ubyte", 3, 5, 4, 4);
    write_idx("train-labels.idx1-ubyte.gz", 1, 5, 0, 0);
    pitot_data *data = must_open(spec_of("mnist", ""));
    assert_int_equal(data->n, 5);
    assert_int_equal(data->n_train, 5);
    pitot_data_free(data);
    write_idx("t10k-images-idx3-ubyte", 3, 3, 4, 4);
    write_idx("t10k-labels-idx1-ubyte.gz", 1, 3, 0, 0);
    data = must_open(spec_of("mnist", ""));
    assert_int_equal(data->n, 8);
    assert_int_equal(data->n_train, 5);
    assert_int_equal(data->bytes[16 * 6 + 3], 7 * 1 + 3);
    assert_int_equal(data->classes[7], 6);
    pitot_data_free(data);
    write_idx("t10k-images-idx3-ubyte", 3, 3, 4, 5);
    must_fail(spec_of("mnist", ""), PITOT_EMISMATCH, "pictures of 4 x 5, but 4 x 4");
}

static void test_mnist_errors(void **state) {
    (void)state;
    const char *spec = spec_of("mnist", "");
    must_fail(spec, PITOT_EIO, "no MNIST files; put train-images-idx3-ubyte.gz");
    must_fail("mnist:/nonexistent", PITOT_EIO, "no MNIST files");
    write_idx("t10k-images-idx3-ubyte", 3, 4, 2, 2);
    must_fail(spec, PITOT_EIO, "t10k-labels-idx1-ubyte.gz is missing; put it beside");
    write_idx("t10k-labels-idx1-ubyte", 3, 4, 2, 2);
    must_fail(spec, PITOT_ENOTSUP, "t10k-labels-idx1-ubyte:header: element type 08 with 3 axes");
    write_idx("t10k-labels-idx1-ubyte", 1, 5, 0, 0);
    must_fail(spec, PITOT_EMISMATCH, "5 labels for the 4 pictures");
    write_file("t10k-labels-idx1-ubyte", "\0\0\10\1\0\0\0\4\1\2\11\12", 12);
    must_fail(spec, PITOT_EFORMAT, "t10k-labels-idx1-ubyte:sample 3: label 10");
    write_file("t10k-labels-idx1-ubyte", "\0\0\10\1\0\0\0\4\1\2\3", 11);
    must_fail(spec, PITOT_EFORMAT, "announces 4 values, the file has 3");
    write_file("t10k-labels-idx1-ubyte", "\0\0\10\1\0\0\0\4\1\2\3\4\5", 13);
    must_fail(spec, PITOT_EFORMAT, "announces 4 values, the file has 5");
    write_file("t10k-labels-idx1-ubyte", "\0\0\10\1\0\0\0\0", 8);
    must_fail(spec, PITOT_EFORMAT, "axis 0 has extent 0");
    write_file("t10k-labels-idx1-ubyte", "\1\0\10\1\0\0\0\1\1", 9);
    must_fail(spec, PITOT_EFORMAT, "not an IDX file");
    write_file("t10k-labels-idx1-ubyte", "\0\0\10", 3);
    must_fail(spec, PITOT_EFORMAT, "not an IDX file");
    write_file("t10k-images-idx3-ubyte", "\0\0\10\3\377\377\377\377\377\377\377\377\377\377\377\377", 16);
    must_fail(spec, PITOT_EFORMAT, "axis 1 has extent 4294967295");
    write_file("t10k-images-idx3-ubyte", "\0\0\15\3\0\0\0\1\0\0\0\1\0\0\0\1abcd", 20);
    must_fail(spec, PITOT_ENOTSUP, "element type 0d");
}

/* ---- cifar10 ---- */

/* Byte k of sample i is (i + k) mod 251, its label (first + i) mod 10. */
static void write_cifar(const char *name, int n, int first, int cut) {
    unsigned char *bytes = calloc((size_t)n, 3073);
    assert_non_null(bytes);
    for (int i = 0; i < n; i++) {
        bytes[3073 * i] = (unsigned char)((first + i) % 10);
        for (int k = 0; k < 3072; k++) bytes[3073 * i + 1 + k] = (unsigned char)((first + i + k) % 251);
    }
    write_file(name, bytes, (size_t)(3073 * n - cut));
    free(bytes);
}

static void test_cifar10(void **state) {
    (void)state;
    const char *spec = spec_of("cifar10", "");
    must_fail(spec, PITOT_EIO, "no data_batch_1.bin");
    assert_int_equal(mkdir(path_of("cifar-10-batches-bin"), 0755), 0);
    write_cifar("cifar-10-batches-bin/test_batch.bin", 5, 0, 0);
    pitot_data *data = must_open(spec);
    assert_int_equal(data->n, 5);
    assert_int_equal(data->n_train, 4);
    check_shape(data, 3, 32, 32);
    pitot_data_free(data);
    write_cifar("data_batch_2.bin", 3, 4, 0);
    write_cifar("data_batch_5.bin", 2, 8, 0);
    write_cifar("test_batch.bin", 1, 1, 0);
    data = must_open(spec);
    const int32_t classes[6] = { 4, 5, 6, 8, 9, 1 };
    assert_int_equal(data->n, 6);
    assert_int_equal(data->n_train, 5);
    assert_int_equal(data->n_classes, 10);
    assert_memory_equal(data->classes, classes, sizeof classes);
    for (int i = 0; i < 6; i++) {
        for (int k = 0; k < 3072; k++) assert_int_equal(data->bytes[3072 * i + k], (classes[i] + k) % 251);
    }
    pitot_data_free(data);
    write_cifar("data_batch_5.bin", 2, 8, 1);
    must_fail(spec, PITOT_EFORMAT, "data_batch_5.bin:3073: not a whole number of records");
    write_file("data_batch_5.bin", "", 0);
    must_fail(spec, PITOT_EFORMAT, "data_batch_5.bin:0: not a whole number of records");
    unsigned char *record = calloc(1, 3073);
    assert_non_null(record);
    record[0] = 10;
    write_file("data_batch_5.bin", record, 3073);
    free(record);
    must_fail(spec, PITOT_EFORMAT, "data_batch_5.bin:record 0: label 10");
}

/* ---- npz ---- */

typedef struct archive {
    unsigned char bytes[16384], directory[4096];
    size_t n, n_directory, last; /* last: where the last directory entry begins */
    unsigned count;
    int wide; /* sizes and places only in ZIP64 fields */
} archive;

/* A .npy file of version `version`; returns its size. */
static size_t make_npy(unsigned char *to, int version, const char *descr, const char *order, const char *shape, const void *values,
                       size_t n) {
    char header[256];
    int length = snprintf(header, sizeof header, "{'descr': %s, 'fortran_order': %s, 'shape': %s, }\n", descr, order, shape);
    size_t prefix = version == 1 ? 10 : 12;
    memcpy(to, "\x93NUMPY", 6);
    to[6] = (unsigned char)version;
    to[7] = 0;
    if (version == 1) {
        put_u16(to + 8, (uint32_t)length);
    } else {
        put_u32(to + 8, (uint32_t)length, 0);
    }
    memcpy(to + prefix, header, (size_t)length);
    memcpy(to + prefix + length, values, n);
    return prefix + (size_t)length + n;
}

static void add_member(archive *z, const char *name, const unsigned char *bytes, size_t n) {
    size_t length = strlen(name);
    unsigned char *local = z->bytes + z->n, *entry = z->directory + z->n_directory;
    uint32_t crc = (uint32_t)crc32(0, bytes, (unsigned)n);
    memcpy(local, "PK\3\4", 4);
    put_u16(local + 26, (uint32_t)length);
    memcpy(local + 30, name, length);
    memcpy(local + 30 + length, bytes, n);
    memcpy(entry, "PK\1\2", 4);
    put_u32(entry + 16, crc, 0);
    put_u32(entry + 20, z->wide ? UINT32_MAX : (uint32_t)n, 0);
    put_u32(entry + 24, z->wide ? UINT32_MAX : (uint32_t)n, 0);
    put_u16(entry + 28, (uint32_t)length);
    put_u16(entry + 30, z->wide ? 32 : 0);
    put_u32(entry + 42, z->wide ? UINT32_MAX : (uint32_t)z->n, 0);
    memcpy(entry + 46, name, length);
    if (z->wide) { /* an unknown field of 0 bytes, then the wide one */
        unsigned char *extra = entry + 46 + length;
        put_u16(extra, 0x7875);
        put_u16(extra + 4, 1);
        put_u16(extra + 6, 24);
        put_u64(extra + 8, n);
        put_u64(extra + 16, n);
        put_u64(extra + 24, z->n);
    }
    z->last = z->n_directory;
    z->n_directory += 46 + length + (z->wide ? 32 : 0);
    z->n += 30 + length + n;
    z->count++;
}

static void add_array(archive *z, const char *name, const char *descr, const char *shape, const void *values, size_t n) {
    unsigned char npy[2048];
    add_member(z, name, npy, make_npy(npy, 1, descr, "False", shape, values, n));
}

/* Writes the archive to a.npz with a comment of `comment` bytes. */
static void finish(archive *z, size_t comment) {
    size_t directory = z->n;
    memcpy(z->bytes + z->n, z->directory, z->n_directory);
    z->n += z->n_directory;
    if (z->wide) {
        unsigned char *end = z->bytes + z->n;
        memcpy(end, "PK\6\6", 4);
        put_u64(end + 4, 44);
        put_u64(end + 24, z->count);
        put_u64(end + 32, z->count);
        put_u64(end + 40, z->n_directory);
        put_u64(end + 48, directory);
        memcpy(end + 56, "PK\6\7", 4);
        put_u64(end + 64, z->n);
        z->n += 76;
    }
    unsigned char *end = z->bytes + z->n;
    memcpy(end, "PK\5\6", 4);
    put_u16(end + 10, z->wide ? UINT16_MAX : z->count);
    put_u32(end + 12, z->wide ? UINT32_MAX : (uint32_t)z->n_directory, 0);
    put_u32(end + 16, z->wide ? UINT32_MAX : (uint32_t)directory, 0);
    put_u16(end + 20, (uint32_t)comment);
    z->n += 22 + comment;
    write_file("a.npz", z->bytes, z->n);
}

static const float four[4] = { 1.5f, -2, 0.25f, 8 };
static const int32_t labels[2] = { 1, 0 };

/* x (2,2) float and y (2) classes. */
static void small_archive(archive *z) {
    add_array(z, "x.npy", "'<f4'", "(2, 2)", four, sizeof four);
    add_array(z, "y.npy", "'<i4'", "(2,)", labels, sizeof labels);
}

/* Opens x and y of these dtypes and shapes. */
static pitot_data *open_arrays(const char *x_type, const char *x_shape, const void *x, size_t n_x, const char *y_type,
                               const char *y_shape, const void *y, size_t n_y) {
    archive z = { 0 };
    add_array(&z, "x.npy", x_type, x_shape, x, n_x);
    add_array(&z, "y.npy", y_type, y_shape, y, n_y);
    finish(&z, 0);
    return must_open(spec_of("npz", "a.npz"));
}

static void fail_arrays(const char *x_type, const char *x_shape, size_t n_x, const char *y_type, const char *y_shape, const void *y,
                        size_t n_y, int32_t status, const char *fragment) {
    archive z = { 0 };
    static const unsigned char x[256];
    add_array(&z, "x.npy", x_type, x_shape, x, n_x);
    add_array(&z, "y.npy", y_type, y_shape, y, n_y);
    finish(&z, 0);
    must_fail(spec_of("npz", "a.npz"), status, fragment);
}

static void test_npz_numpy(void **state) {
    (void)state;
    pitot_data *data = must_open("npz:tests/golden/data_plain.npz");
    const int32_t classes[4] = { 2, 0, 1, 2 };
    assert_int_equal(data->n, 4);
    assert_int_equal(data->n_train, 4);
    assert_int_equal(data->n_classes, 3);
    check_shape(data, 2, 3, 0);
    assert_memory_equal(data->classes, classes, sizeof classes);
    for (int i = 0; i < 24; i++) assert_true(data->reals[i] == (pitot_real)((i - 10) / 4.0));
    pitot_data_free(data);

    data = must_open("npz:tests/golden/data_keras.npz");
    assert_int_equal(data->n, 8);
    assert_int_equal(data->n_train, 6);
    assert_int_equal(data->n_classes, 8);
    assert_null(data->bytes);
    for (int i = 0; i < 32; i++) assert_true(data->reals[i] == (pitot_real)(i < 24 ? i : 76 + i));
    assert_int_equal(data->classes[5], 5);
    assert_int_equal(data->classes[6], 7);
    pitot_data_free(data);

    data = must_open("npz:tests/golden/data_orders.npz");
    assert_int_equal(data->n, 3);
    assert_int_equal(data->target_size, 2);
    assert_int_equal(data->n_classes, 0);
    for (int i = 0; i < 12; i++) assert_true(data->reals[i] == (pitot_real)(0.5 * i - 1));
    for (int i = 0; i < 6; i++) assert_true(data->targets[i] == (pitot_real)(1.5 * i));
    pitot_data_free(data);
}

static void test_npz_types(void **state) {
    (void)state;
    static const struct {
        const char *type;
        unsigned char bytes[8];
        size_t width;
        double value;
    } cases[] = {
        { "'|u1'", { 200 }, 1, 200 },
        { "'u1'", { 200 }, 1, 200 },
        { "'|i1'", { 0xfe }, 1, -2 },
        { "'|b1'", { 1 }, 1, 1 },
        { "'<u2'", { 0x01, 0x80 }, 2, 32769 },
        { "'>u2'", { 0x80, 0x01 }, 2, 32769 },
        { "'<i2'", { 0x00, 0x80 }, 2, -32768 },
        { "'>i2'", { 0x80, 0x00 }, 2, -32768 },
        { "'<u4'", { 0, 0, 0, 0x80 }, 4, 2147483648.0 },
        { "'<i4'", { 0, 0, 0, 0x80 }, 4, -2147483648.0 },
        { "'>i4'", { 0xff, 0xff, 0xff, 0xfd }, 4, -3 },
        { "'<u8'", { 0, 0, 0, 0, 0, 0, 0, 0x80 }, 8, 9223372036854775808.0 },
        { "'<i8'", { 0, 0, 0, 0, 0, 0, 0, 0x80 }, 8, -9223372036854775808.0 },
        { "'>i8'", { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe }, 8, -2 },
        { "'<f2'", { 0x00, 0xc1 }, 2, -2.5 },
        { "'>f2'", { 0x00, 0x01 }, 2, 0x1p-24 },
        { "'<f2'", { 0xff, 0x7b }, 2, 65504 },
        { "'<f4'", { 0x00, 0x00, 0x20, 0xc0 }, 4, -2.5 },
        { "'>f4'", { 0xc0, 0x20, 0x00, 0x00 }, 4, -2.5 },
        { "'<f8'", { 0, 0, 0, 0, 0, 0, 0x04, 0xc0 }, 8, -2.5 },
        { "\">f8\"", { 0xc0, 0x04, 0, 0, 0, 0, 0, 0 }, 8, -2.5 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        pitot_data *data = open_arrays(cases[i].type, "(1,)", cases[i].bytes, cases[i].width, "'<f4'", "(1L,)", four, 4);
        assert_true(data->reals[0] == (pitot_real)cases[i].value);
        check_shape(data, 1, 0, 0);
        assert_true(data->targets[0] == (pitot_real)1.5);
        pitot_data_free(data);
    }
}

static void test_npz_labels(void **state) {
    (void)state;
    const unsigned char bools[2] = { 1, 0 };
    pitot_data *data = open_arrays("'<f4'", "(2, 2)", four, 16, "'|b1'", "(2,)", bools, 2);
    assert_int_equal(data->classes[0], 1);
    assert_int_equal(data->n_classes, 2);
    pitot_data_free(data);
    data = open_arrays("'<f4'", "(2, 1, 2)", four, 16, "'<i4'", "(2, 1)", labels, 8);
    assert_int_equal(data->classes[0], 1);
    check_shape(data, 1, 2, 0);
    pitot_data_free(data);
    data = open_arrays("'<f4'", "(2, 2)", four, 16, "'<f4'", "(2, 2)", four, 16);
    assert_int_equal(data->target_size, 2);
    assert_null(data->classes);
    pitot_data_free(data);
    const int32_t largest = INT32_MAX - 1, too_large = INT32_MAX, negative = -1;
    data = open_arrays("'<f4'", "(1, 1)", four, 4, "'<i4'", "(1,)", &largest, 4);
    assert_int_equal(data->n_classes, INT32_MAX);
    pitot_data_free(data);
    fail_arrays("'<f4'", "(1, 1)", 4, "'<i4'", "(1,)", &too_large, 4, PITOT_EFORMAT, "a.npz:y.npy:sample 0: class 2147483647");
    fail_arrays("'<f4'", "(1, 1)", 4, "'<i4'", "(1,)", &negative, 4, PITOT_EFORMAT, "save y as float for regression");
    fail_arrays("'<f4'", "(1, 1)", 4, "'<u8'", "(1,)", "\377\377\377\377\377\377\377\377", 8, PITOT_EFORMAT,
                "class 9223372036854775807");
    fail_arrays("'<f4'", "(2, 1)", 8, "'<i4'", "(1, 2)", labels, 8, PITOT_ENOTSUP, "y.npy:shape: 2 axes; y is (N) integers");
    fail_arrays("'<f4'", "(2, 1)", 8, "'<f4'", "(2, 1, 1)", four, 8, PITOT_ENOTSUP, "y.npy:shape: 3 axes");
    fail_arrays("'<f4'", "(2, 1)", 8, "'<f4'", "()", four, 4, PITOT_ENOTSUP, "y.npy:shape: 0 axes");
    fail_arrays("'<f4'", "(3, 1)", 12, "'<i4'", "(2,)", labels, 8, PITOT_EMISMATCH, "2 labels for 3 samples");
}

static void test_npz_arrays(void **state) {
    (void)state;
    static const struct {
        const char *type, *shape;
        size_t n;
        int32_t status;
        const char *fragment;
    } cases[] = {
        { "'|O'", "(1,)", 8, PITOT_ENOTSUP, "x.npy:descr: an object array is a Python pickle" },
        { "'<c8'", "(1,)", 8, PITOT_ENOTSUP, "dtype '<c8' is not supported" },
        { "'<U3'", "(1,)", 12, PITOT_ENOTSUP, "dtype '<U3'" },
        { "'<f16'", "(1,)", 16, PITOT_ENOTSUP, "dtype '<f16'" },
        { "[('a', '<f4')]", "(1,)", 4, PITOT_ENOTSUP, "record dtype" },
        { "7", "(1,)", 4, PITOT_EFORMAT, "header: damaged" },
        { "'<f4", "(1,)", 4, PITOT_ENOTSUP, "dtype '<f4, ' is not supported" },
        { "'<f4'", "(1,", 4, PITOT_EFORMAT, "header: damaged" },
        { "'<f4'", "(1 1)", 4, PITOT_EFORMAT, "header: damaged" },
        { "'<f4'", "(-1,)", 4, PITOT_EFORMAT, "header: damaged" },
        { "'<f4'", "(99999999999999999999,)", 4, PITOT_EFORMAT, "header: damaged" },
        { "'<f4'", "(1,), 'shape': (1,)", 4, PITOT_EFORMAT, "header: damaged" },
        { "'<f4'", "(1,), 'more': 1", 4, PITOT_EFORMAT, "header: damaged" },
        { "'<f4'", "(1,)} junk", 4, PITOT_EFORMAT, "header: damaged" },
        { "'<f4'", "(1,1,1,1,1,1,1,1,1)", 4, PITOT_ENOTSUP, "more than 8 axes" },
        { "'<f4'", "(1,1,1,1,1,1)", 4, PITOT_ENOTSUP, "5 axes; reshape it to between 1 and 4" },
        { "'<f4'", "(2,)", 4, PITOT_EFORMAT, "does not match the 4 bytes" },
        { "'<f4'", "(1,)", 5, PITOT_EFORMAT, "does not match the 5 bytes" },
        { "'<f4'", "(4611686018427387904,4)", 0, PITOT_EFORMAT, "does not match the 0 bytes" },
        { "'<f4'", "(4611686018427387904,0)", 0, PITOT_EFORMAT, "x.npy:shape: without values" },
        { "'<f4'", "(0, 3)", 0, PITOT_EFORMAT, "x.npy:shape: without values" },
        { "'<f4'", "()", 4, PITOT_EFORMAT, "a single number" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fail_arrays(cases[i].type, cases[i].shape, cases[i].n, "'<i4'", "(1,)", labels, 4, cases[i].status, cases[i].fragment);
    }
    fail_arrays("'<f4'", "(1, 1)", 4, "'<f4'", "(1, 0)", four, 0, PITOT_EFORMAT, "y.npy:shape: without values");
}

static void test_npz_headers(void **state) {
    (void)state;
    for (int version = 0; version <= 4; version++) {
        archive z = { 0 };
        unsigned char npy[512];
        add_member(&z, "x.npy", npy, make_npy(npy, version, "'<f4'", version == 3 ? "True" : "False", "(2, 2)", four, sizeof four));
        add_array(&z, "y.npy", "'<i4'", "(2,)", labels, sizeof labels);
        finish(&z, 0);
        if (version == 0 || version == 4) {
            must_fail(spec_of("npz", "a.npz"), PITOT_ENOTSUP, "versions 1.0 to 3.0");
            continue;
        }
        pitot_data *data = must_open(spec_of("npz", "a.npz"));
        assert_true(data->reals[1] == (pitot_real)(version == 3 ? 0.25 : -2)); /* version 3: columns first */
        assert_true(data->reals[2] == (pitot_real)(version == 3 ? -2 : 0.25));
        pitot_data_free(data);
    }
    static const char *const bad[] = { "\x93NUMPZ\1\0\0\0", "\x93NUMPY\1\0\377\0{}", "\x93NUMPY\2\0\0\0", "\x93NUMPY\1\0\2\0{}" };
    static const size_t size[] = { 10, 12, 10, 12 };
    for (int i = 0; i < 4; i++) {
        archive z = { 0 };
        add_member(&z, "x.npy", (const unsigned char *)bad[i], size[i]);
        add_array(&z, "y.npy", "'<i4'", "(2,)", labels, sizeof labels);
        finish(&z, 0);
        must_fail(spec_of("npz", "a.npz"), PITOT_EFORMAT, "x.npy:header: ");
    }
}

static void test_npz_parts(void **state) {
    (void)state;
    const char *spec = spec_of("npz", "a.npz");
    archive z = { 0 };
    small_archive(&z);
    add_array(&z, "x_test.npy", "'<f4'", "(1, 2)", four, 8);
    add_array(&z, "y_test.npy", "'<i4'", "(1,)", labels, 4);
    archive kept = z;
    finish(&z, 0);
    pitot_data *data = must_open(spec);
    assert_int_equal(data->n, 3);
    assert_int_equal(data->n_train, 2);
    assert_true(data->reals[5] == -2);
    pitot_data_free(data);
    z = kept;
    add_array(&z, "x_val.npy", "'<f4'", "(2, 2)", four, 16);
    add_array(&z, "y_val.npy", "'|u1'", "(2,)", "\0\3", 2);
    archive with_val = z;
    finish(&z, 0);
    data = must_open(spec);
    assert_int_equal(data->n, 4); /* x_val comes before x_test */
    assert_int_equal(data->n_classes, 4);
    pitot_data_free(data);
    z = with_val;
    add_array(&z, "x_train.npy", "'<f4'", "(1, 2)", four, 8);
    finish(&z, 0);
    must_fail(spec, PITOT_EFORMAT, "x.npy: there is x_train as well");
    z = (archive){ 0 };
    add_array(&z, "x.npy", "'<f4'", "(2, 2)", four, sizeof four);
    finish(&z, 0);
    must_fail(spec, PITOT_EFORMAT, "y.npy: missing, but there is x");
    z = (archive){ 0 };
    add_array(&z, "y.npy", "'<f4'", "(2, 2)", four, sizeof four);
    finish(&z, 0);
    must_fail(spec, PITOT_EFORMAT, "holds no x and y");
    z = (archive){ 0 };
    finish(&z, 0);
    must_fail(spec, PITOT_EFORMAT, "holds no x and y");
}

static void test_npz_unlike(void **state) {
    (void)state;
    static const struct {
        const char *x_shape, *y_type;
        size_t n;
        const char *fragment;
    } cases[] = {
        { "(1, 3)", "'<i4'", 12, "samples of another shape" },
        { "(1, 2, 1)", "'<i4'", 8, "samples of another shape" },
        { "(1, 2)", "'<f4'", 8, "labels of another kind" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        archive z = { 0 };
        small_archive(&z);
        add_array(&z, "x_val.npy", "'<f4'", cases[i].x_shape, four, cases[i].n);
        add_array(&z, "y_val.npy", cases[i].y_type, "(1,)", labels, 4);
        finish(&z, 0);
        must_fail(spec_of("npz", "a.npz"), PITOT_EMISMATCH, cases[i].fragment);
    }
}

static void test_zip_wide(void **state) {
    (void)state;
    const char *spec = spec_of("npz", "a.npz");
    archive z = { .wide = 1 };
    small_archive(&z);
    archive kept = z;
    finish(&z, 100);
    pitot_data *data = must_open(spec);
    assert_int_equal(data->n, 2);
    pitot_data_free(data);
    put_u64(kept.directory + kept.last + 46 + 5 + 24, UINT64_MAX); /* y's place */
    finish(&kept, 0);
    must_fail(spec, PITOT_EFORMAT, "a.npz:directory: damaged");
}

/* One field of y's directory entry changed. */
static void fail_entry(size_t offset, uint32_t value, int32_t status, const char *fragment) {
    archive z = { 0 };
    small_archive(&z);
    put_u32(z.directory + z.last + offset, value, 0);
    finish(&z, 3);
    must_fail(spec_of("npz", "a.npz"), status, fragment);
}

static void test_zip_errors(void **state) {
    (void)state;
    const char *spec = spec_of("npz", "a.npz");
    fail_entry(0, 0, PITOT_EFORMAT, "directory: damaged");
    fail_entry(8, 1, PITOT_ENOTSUP, "y.npy: encrypted");
    fail_entry(8, 14u << 16, PITOT_ENOTSUP, "y.npy: compressed by method 14");
    fail_entry(16, 1, PITOT_EFORMAT, "y.npy: its checksum is wrong");
    fail_entry(20, 5, PITOT_EFORMAT, "y.npy: its directory entry makes no sense");
    fail_entry(24, UINT32_MAX - 1, PITOT_EFORMAT, "y.npy: its directory entry makes no sense");
    fail_entry(28, 4000, PITOT_EFORMAT, "directory: damaged");
    fail_entry(42, 1, PITOT_EFORMAT, "y.npy: its directory entry makes no sense");
    fail_entry(42, 0, PITOT_EFORMAT, "y.npy: its directory entry makes no sense"); /* x's local header */
    archive z = { 0 };
    small_archive(&z);
    put_u16(z.directory + z.last + 10, 8); /* stored bytes as if deflated */
    finish(&z, 0);
    must_fail(spec, PITOT_EFORMAT, "y.npy: its compressed bytes are damaged");
    z = (archive){ 0 };
    small_archive(&z);
    add_array(&z, "y.npy", "'<i4'", "(2,)", labels, sizeof labels);
    finish(&z, 0);
    must_fail(spec, PITOT_EFORMAT, "y.npy: present twice");
    z = (archive){ 0 };
    small_archive(&z);
    z.count++;
    finish(&z, 0);
    must_fail(spec, PITOT_EFORMAT, "directory: damaged");
    z = (archive){ 0 };
    small_archive(&z);
    finish(&z, 0);
    put_u32(z.bytes + z.n - 6, 0x7fffffff, 0); /* the directory's place */
    write_file("a.npz", z.bytes, z.n);
    must_fail(spec, PITOT_EFORMAT, "lies outside the file");
    put_u16(z.bytes + z.n - 18, 1); /* this part's number */
    write_file("a.npz", z.bytes, z.n);
    must_fail(spec, PITOT_EFORMAT, "one part of several");
    write_file("a.npz", z.bytes, z.n - 1);
    must_fail(spec, PITOT_EFORMAT, "not a ZIP file");
    write_file("a.npz", "", 0);
    must_fail(spec, PITOT_EFORMAT, "not a ZIP file");
    must_fail("npz:/nonexistent/a.npz", PITOT_EIO, "/nonexistent/a.npz");
}

/* A gigabyte announced by a few bytes must be refused before memory is asked for. */
static void test_zip_bomb(void **state) {
    (void)state;
    archive z = { 0 };
    small_archive(&z);
    put_u16(z.directory + z.last + 10, 8);
    put_u32(z.directory + z.last + 24, 1u << 30, 0);
    finish(&z, 0);
    int64_t peak = mem_count().peak;
    must_fail(spec_of("npz", "a.npz"), PITOT_EFORMAT, "y.npy: its directory entry makes no sense");
    assert_true(mem_count().peak < peak + (1 << 26));
}

/* ---- glyphs ---- */

static void test_glyphs(void **state) {
    (void)state;
    pitot_data *data = must_open("glyphs");
    int counts[2][10] = { { 0 } };
    assert_int_equal(data->n, 6000);
    assert_int_equal(data->n_train, 5000);
    assert_int_equal(data->n_classes, 10);
    check_shape(data, 1, 16, 16);
    for (int i = 0; i < 6000; i++) counts[i >= 5000][data->classes[i]]++;
    for (int k = 0; k < 10; k++) {
        assert_int_equal(counts[0][k], 500);
        assert_int_equal(counts[1][k], 100);
    }
    int in_turn = 0;
    for (int i = 1; i < 6000; i++) in_turn += data->classes[i] == (data->classes[i - 1] + 1) % 10;
    assert_in_range(in_turn, 400, 800);
    /* the same bytes on every machine */
    assert_int_equal(crc32(0, data->bytes, 6000 * 256), 0x0c4fedfd);
    pitot_data_free(data);
}

static void test_glyphs_counts(void **state) {
    (void)state;
    pitot_data *a = must_open("glyphs:25"), *b = must_open("glyphs:25"), *c = must_open("glyphs:10");
    assert_int_equal(a->n_train, 21);
    assert_memory_equal(a->bytes, b->bytes, 25 * 256);
    assert_memory_equal(a->classes, b->classes, 25 * sizeof(int32_t));
    assert_int_equal(c->n, 10);
    assert_int_equal(c->n_train, 9);
    assert_memory_not_equal(a->bytes, c->bytes, 256);
    pitot_data_free(a);
    pitot_data_free(b);
    pitot_data_free(c);
    must_fail("glyphs:9", PITOT_EINVAL, "glyphs:9: not a number of samples; write glyphs:N");
    must_fail("glyphs:10000001", PITOT_EINVAL, "10000000");
    must_fail("glyphs:99999999999999999999999", PITOT_EINVAL, "not a number");
    must_fail("glyphs:-20", PITOT_EINVAL, "not a number");
    must_fail("glyphs:20x", PITOT_EINVAL, "not a number");
}

/* ---- batches ---- */

static void test_batch_bytes(void **state) {
    (void)state;
    const int64_t ids[3] = { 7, 0, 7 }, bad[2] = { 0, 10 }, negative[1] = { -1 };
    pitot_real x[18];
    int32_t y[10];
    write_idx("t10k-images-idx3-ubyte", 3, 10, 2, 3);
    write_idx("t10k-labels-idx1-ubyte", 1, 10, 0, 0);
    pitot_data *data = must_open(spec_of("mnist", ""));
    data->bytes[0] = 255;
    assert_int_equal(pitot_data_batch(data, ids, 3, x, y, NULL), PITOT_OK);
    assert_true(x[0] == (pitot_real)49 / 255 && x[17] == (pitot_real)54 / 255);
    assert_true(x[6] == 1); /* 255 is exactly 1 */
    assert_int_equal(y[0], 1);
    assert_int_equal(y[1], 0);
    assert_int_equal(pitot_data_batch(data, NULL, 2, x, y, NULL), PITOT_OK);
    assert_true(x[7] == (pitot_real)8 / 255);
    assert_int_equal(y[1], 3);
    x[0] = 42;
    y[0] = 42;
    assert_int_equal(pitot_data_batch(data, bad, 2, x, y, NULL), PITOT_EINVAL);
    assert_int_equal(pitot_data_batch(data, negative, 1, x, y, NULL), PITOT_EINVAL);
    assert_int_equal(pitot_data_batch(data, NULL, 11, x, y, NULL), PITOT_EINVAL);
    assert_int_equal(pitot_data_batch(data, ids, -1, x, y, NULL), PITOT_EINVAL);
    assert_int_equal(pitot_data_batch(data, ids, 1, x, NULL, x), PITOT_EINVAL);
    assert_int_equal(pitot_data_batch(data, ids, 1, NULL, y, NULL), PITOT_EINVAL);
    assert_int_equal(pitot_data_batch(NULL, ids, 1, x, y, NULL), PITOT_EINVAL);
    assert_int_equal(pitot_data_batch(data, ids, 0, NULL, NULL, NULL), PITOT_OK);
    assert_true(x[0] == 42 && y[0] == 42);
    pitot_data_free(data);
}

static void test_batch_reals(void **state) {
    (void)state;
    const int64_t ids[2] = { 2, 1 };
    pitot_real x[8], y[4];
    pitot_data *data = must_open("npz:tests/golden/data_orders.npz");
    assert_int_equal(pitot_data_batch(data, ids, 2, x, NULL, y), PITOT_OK);
    assert_true(x[0] == 3 && x[7] == (pitot_real)2.5 && y[0] == 6 && y[3] == (pitot_real)4.5);
    assert_int_equal(pitot_data_batch(data, ids, 2, x, NULL, NULL), PITOT_EINVAL);
    pitot_data_free(data);
}

/* ---- memory ---- */

/* Every request fails in turn, once or from then on: a message, nothing left behind, and it works afterwards. */
static void fail_requests(const char *spec) {
    for (int forever = 0; forever < 2; forever++) {
        pitot_data *data = NULL;
        for (int64_t k = 1; !data; k++) {
            pitot_error error = { 0 };
            int64_t blocks = mem_count().blocks;
            mem_fail_at(k, forever);
            data = pitot_data_open(spec, &error);
            mem_fail_at(0, 0);
            if (data) break;
            assert_int_equal(error.status, PITOT_ENOMEM);
            assert_true(error.text[0]);
            assert_int_equal(mem_count().blocks, blocks);
            assert_true(k < 100);
        }
        pitot_data_free(data);
    }
}

static void test_memory(void **state) {
    (void)state;
    write_idx("train-images-idx3-ubyte", 3, 4, 2, 2);
    write_idx("train-labels-idx1-ubyte", 1, 4, 0, 0);
    write_idx("t10k-images-idx3-ubyte.gz", 3, 2, 2, 2);
    write_idx("t10k-labels-idx1-ubyte.gz", 1, 2, 0, 0);
    write_cifar("test_batch.bin", 2, 0, 0);
    fail_requests(spec_of("mnist", ""));
    fail_requests(spec_of("cifar10", ""));
    fail_requests("glyphs:10");
    fail_requests("npz:tests/golden/data_plain.npz");
    fail_requests("npz:tests/golden/data_orders.npz");
    fail_requests("npz:tests/golden/data_keras.npz");
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registry),  cmocka_unit_test(test_names),
        cmocka_unit_test(test_helpers),   cmocka_unit_test(test_describe),
        IN_FOLDER(test_mnist_t10k),       IN_FOLDER(test_mnist_parts),
        IN_FOLDER(test_mnist_errors),     IN_FOLDER(test_cifar10),
        cmocka_unit_test(test_npz_numpy), IN_FOLDER(test_npz_types),
        IN_FOLDER(test_npz_labels),       IN_FOLDER(test_npz_arrays),
        IN_FOLDER(test_npz_headers),      IN_FOLDER(test_npz_parts),
        IN_FOLDER(test_npz_unlike),       IN_FOLDER(test_zip_wide),
        IN_FOLDER(test_zip_errors),       IN_FOLDER(test_zip_bomb),
        cmocka_unit_test(test_glyphs),    cmocka_unit_test(test_glyphs_counts),
        IN_FOLDER(test_batch_bytes),      cmocka_unit_test(test_batch_reals),
        IN_FOLDER(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
