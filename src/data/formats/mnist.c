/* mnist.c: IDX files as MNIST and its relatives distribute them: big-endian header (0, 0, type, axes, u32 extents), then bytes.

   Pictures of any rows and columns are taken, labels must be digits. Files may be gzipped; reading holds each of the four files
   beside the data set, so the peak is about twice the data. */

#include "data/data.h"

#include "base/alloc.h"
#include "base/file.h"

#include <stdio.h>
#include <string.h>

enum { N_CLASSES = 10, TYPE_BYTE = 8, PATH_SIZE = 4096 };

static const int64_t FILE_LIMIT = (int64_t)1 << 31; /* inflated; three times the largest set in circulation */

typedef struct idx { /* one IDX file of bytes */
    char path[PATH_SIZE];
    unsigned char *image; /* the file; NULL: not there */
    int64_t extent[3];    /* (n, rows, columns), or (n) for labels */
    const unsigned char *values;
} idx;

typedef struct part { /* training or validation */
    idx images, labels;
} part;

/* Completes `path` to the first spelling that exists of DIR/STEM-idx3-ubyte and so on. */
static int locate(char *path, const char *folder, const char *stem, const char *const spelling[4]) {
    for (int i = 0; i < 4; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s%s", stem, spelling[i]);
        if (file_join(path, PATH_SIZE, folder, name) && file_exists(path)) return 1;
    }
    return 0;
}

static uint32_t read_u32(const unsigned char *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

/* Fills in extent and values of a file of `size` bytes that must have `axes` axes. */
static int32_t parse(idx *f, int64_t size, int axes, pitot_error *error) {
    const unsigned char *p = f->image;
    int64_t header = 4 + 4 * (int64_t)axes, values = 1;
    if (size < header || p[0] != 0 || p[1] != 0) {
        return pitot_fail(error, PITOT_EFORMAT, "%s:header: not an IDX file; download it again", f->path);
    }
    if (p[2] != TYPE_BYTE || p[3] != axes) {
        return pitot_fail(error, PITOT_ENOTSUP, "%s:header: element type %02x with %d axes; expected unsigned bytes (08) with %d",
                          f->path, p[2], p[3], axes);
    }
    for (int i = 0; i < axes; i++) {
        f->extent[i] = read_u32(p + 4 + 4 * i);
        if (f->extent[i] == 0 || !data_multiply(values, f->extent[i], &values)) {
            return pitot_fail(error, PITOT_EFORMAT, "%s:header: axis %d has extent %lld; download it again", f->path, i,
                              (long long)f->extent[i]);
        }
    }
    if (size - header != values) {
        return pitot_fail(error, PITOT_EFORMAT, "%s:%lld: the header announces %lld values, the file has %lld; download it again",
                          f->path, (long long)header, (long long)values, (long long)(size - header));
    }
    f->values = p + header;
    return PITOT_OK;
}

static int32_t check_labels(const part *p, pitot_error *error) {
    if (p->labels.extent[0] != p->images.extent[0]) {
        return pitot_fail(error, PITOT_EMISMATCH, "%s:header: %lld labels for the %lld pictures of %s; take both from one set",
                          p->labels.path, (long long)p->labels.extent[0], (long long)p->images.extent[0], p->images.path);
    }
    for (int64_t i = 0; i < p->labels.extent[0]; i++) {
        if (p->labels.values[i] >= N_CLASSES) {
            return pitot_fail(error, PITOT_EFORMAT, "%s:sample %lld: label %d; labels run from 0 to %d", p->labels.path,
                              (long long)i, p->labels.values[i], N_CLASSES - 1);
        }
    }
    return PITOT_OK;
}

static int32_t read_idx(idx *f, int axes, pitot_error *error) {
    int64_t size = 0;
    f->image = file_read(f->path, FILE_LIMIT, &size, error);
    return f->image ? parse(f, size, axes, error) : PITOT_EIO;
}

/* Reads both files of a part; neither there: PITOT_OK, and images.image stays NULL. */
static int32_t read_part(part *p, const char *folder, const char *images, const char *labels, pitot_error *error) {
    static const char *const image_names[4] = { "-idx3-ubyte", "-idx3-ubyte.gz", ".idx3-ubyte", ".idx3-ubyte.gz" };
    static const char *const label_names[4] = { "-idx1-ubyte", "-idx1-ubyte.gz", ".idx1-ubyte", ".idx1-ubyte.gz" };
    int has_images = locate(p->images.path, folder, images, image_names);
    int has_labels = locate(p->labels.path, folder, labels, label_names);
    if (!has_images && !has_labels) return PITOT_OK;
    if (!has_images || !has_labels) {
        return pitot_fail(error, PITOT_EIO, "%s: %s%s is missing; put it beside %s", folder, has_images ? labels : images,
                          has_images ? label_names[1] : image_names[1], has_images ? p->images.path : p->labels.path);
    }
    int32_t status = read_idx(&p->images, 3, error);
    if (status == PITOT_OK) status = read_idx(&p->labels, 1, error);
    return status == PITOT_OK ? check_labels(p, error) : status;
}

/* Samples `first`... of data = those of p. */
static void copy_part(pitot_data *data, int64_t first, const part *p) {
    if (!p->images.image) return;
    int64_t n = p->images.extent[0];
    memcpy(data->bytes + first * data->size, p->images.values, (size_t)(n * data->size));
    for (int64_t i = 0; i < n; i++) data->classes[first + i] = p->labels.values[i];
}

/* Either part may be absent, not both. */
static int32_t assemble(pitot_data *data, const part *train, const part *test, pitot_error *error) {
    const part *some = train->images.image ? train : test;
    int64_t shape[3] = { 1, some->images.extent[1], some->images.extent[2] };
    int64_t n_train = train->images.image ? train->images.extent[0] : data_train_share(test->images.extent[0]);
    int64_t n = train->images.extent[0] + test->images.extent[0];
    if (test->images.image && (test->images.extent[1] != shape[1] || test->images.extent[2] != shape[2])) {
        return pitot_fail(error, PITOT_EMISMATCH,
                          "%s:header: pictures of %lld x %lld, but %lld x %lld in %s; take both from one set", test->images.path,
                          (long long)test->images.extent[1], (long long)test->images.extent[2], (long long)shape[1],
                          (long long)shape[2], some->images.path);
    }
    int32_t status = data_describe(data, n, n_train, shape, 3, some->images.path, error);
    if (status == PITOT_OK) status = data_alloc_bytes(data, error);
    if (status == PITOT_OK) status = data_alloc_classes(data, N_CLASSES, error);
    if (status == PITOT_OK) {
        copy_part(data, 0, train);
        copy_part(data, train->images.extent[0], test);
    }
    return status;
}

static int32_t read_folder(const char *folder, part *train, part *test, pitot_data *data, pitot_error *error) {
    int32_t status = read_part(train, folder, "train-images", "train-labels", error);
    if (status == PITOT_OK) status = read_part(test, folder, "t10k-images", "t10k-labels", error);
    if (status == PITOT_OK && !train->images.image && !test->images.image) {
        return pitot_fail(error, PITOT_EIO,
                          "%s: no MNIST files; put train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz there", folder);
    }
    return status == PITOT_OK ? assemble(data, train, test, error) : status;
}

static int32_t mnist_open(const char *argument, pitot_data *data, pitot_error *error) {
    if (!argument[0]) return pitot_fail(error, PITOT_EINVAL, "mnist: no folder given; write mnist:DIR");
    part *parts = mem_alloc(2, sizeof *parts);
    if (!parts) return pitot_fail(error, PITOT_ENOMEM, "%s: no memory; free some and try again", argument);
    int32_t status = read_folder(argument, &parts[0], &parts[1], data, error);
    for (int i = 0; i < 2; i++) {
        mem_free(parts[i].images.image);
        mem_free(parts[i].labels.image);
    }
    mem_free(parts);
    return status;
}

extern const pitot_data_format data_format_mnist;
const pitot_data_format data_format_mnist = {
    .struct_size = sizeof(pitot_data_format),
    .abi = PITOT_ABI,
    .name = "mnist",
    .spec = "mnist:DIR",
    .summary = "MNIST and relatives: grey pictures in IDX files, plain or .gz",
    .details = "Reads train-images-idx3-ubyte and train-labels-idx1-ubyte as training samples and t10k-images-idx3-ubyte and "
               "t10k-labels-idx1-ubyte as validation, each plain or with .gz, also spelled train-images.idx3-ubyte. With the t10k "
               "files alone the first four fifths train and the rest validates. Samples are (1, rows, columns), 10 classes.",
    .open = mnist_open,
};
