/* cifar10.c: the binary version of CIFAR-10: records of one label byte and 3 x 32 x 32 bytes, red, green and blue planes. */

#include "data/data.h"

#include "base/alloc.h"
#include "base/file.h"

#include <stdio.h>
#include <string.h>

enum {
    N_CLASSES = 10,
    VALUES = 3 * 32 * 32,
    RECORD = 1 + VALUES,
    N_TRAIN_FILES = 5,
    N_FILES = N_TRAIN_FILES + 1,
    PATH_SIZE = 4096
};

static const int64_t FILE_LIMIT = (int64_t)1 << 31;

typedef struct batch { /* one file */
    char path[PATH_SIZE];
    unsigned char *image; /* (n, RECORD); NULL: not there */
    int64_t n;
} batch;

static int32_t check_labels(const batch *b, pitot_error *error) {
    for (int64_t i = 0; i < b->n; i++) {
        if (b->image[i * RECORD] >= N_CLASSES) {
            return pitot_fail(error, PITOT_EFORMAT, "%s:record %lld: label %d; labels run from 0 to %d", b->path, (long long)i,
                              b->image[i * RECORD], N_CLASSES - 1);
        }
    }
    return PITOT_OK;
}

/* A file that does not exist is no error. */
static int32_t read_batch(batch *b, const char *folder, const char *name, pitot_error *error) {
    int64_t size = 0;
    if (!file_join(b->path, sizeof b->path, folder, name) || !file_exists(b->path)) return PITOT_OK;
    b->image = file_read(b->path, FILE_LIMIT, &size, error);
    if (!b->image) return PITOT_EIO;
    if (size == 0 || size % RECORD != 0) {
        return pitot_fail(error, PITOT_EFORMAT,
                          "%s:%lld: not a whole number of records of %d bytes; download the binary version again", b->path,
                          (long long)(size / RECORD * RECORD), RECORD);
    }
    b->n = size / RECORD;
    return check_labels(b, error);
}

/* batches[0..5) train, batches[5] tests. */
static int32_t read_folder(batch *batches, const char *folder, pitot_error *error) {
    int32_t status = PITOT_OK;
    for (int i = 0; i < N_FILES && status == PITOT_OK; i++) {
        char name[32];
        if (i < N_TRAIN_FILES) {
            snprintf(name, sizeof name, "data_batch_%d.bin", i + 1);
        } else {
            snprintf(name, sizeof name, "test_batch.bin");
        }
        status = read_batch(&batches[i], folder, name, error);
    }
    return status;
}

static int64_t count(const batch *batches, int n_files) {
    int64_t n = 0;
    for (int i = 0; i < n_files; i++) n += batches[i].n;
    return n;
}

static void copy_batches(pitot_data *data, const batch *batches) {
    int64_t to = 0;
    for (int i = 0; i < N_FILES; i++) {
        for (int64_t k = 0; k < batches[i].n; k++, to++) {
            const unsigned char *record = batches[i].image + k * RECORD;
            data->classes[to] = record[0];
            memcpy(data->bytes + to * VALUES, record + 1, VALUES);
        }
    }
}

static int32_t assemble(pitot_data *data, const batch *batches, const char *folder, pitot_error *error) {
    static const int64_t shape[3] = { 3, 32, 32 };
    int64_t n = count(batches, N_FILES), n_train = count(batches, N_TRAIN_FILES);
    if (n_train == 0) n_train = data_train_share(n);
    int32_t status = data_describe(data, n, n_train, shape, 3, folder, error);
    if (status == PITOT_OK) status = data_alloc_bytes(data, error);
    if (status == PITOT_OK) status = data_alloc_classes(data, N_CLASSES, error);
    if (status == PITOT_OK) copy_batches(data, batches);
    return status;
}

/* The files themselves, or the folder that the archive unpacks to. */
static int32_t read_either(const char *folder, batch *batches, pitot_data *data, pitot_error *error) {
    char inner[PATH_SIZE];
    int32_t status = read_folder(batches, folder, error);
    if (status == PITOT_OK && count(batches, N_FILES) == 0 && file_join(inner, sizeof inner, folder, "cifar-10-batches-bin")) {
        status = read_folder(batches, inner, error);
    }
    if (status == PITOT_OK && count(batches, N_FILES) == 0) {
        return pitot_fail(error, PITOT_EIO,
                          "%s: no data_batch_1.bin ... data_batch_5.bin or test_batch.bin; unpack the binary version there",
                          folder);
    }
    return status == PITOT_OK ? assemble(data, batches, folder, error) : status;
}

static int32_t cifar10_open(const char *argument, pitot_data *data, pitot_error *error) {
    if (!argument[0]) return pitot_fail(error, PITOT_EINVAL, "cifar10: no folder given; write cifar10:DIR");
    batch *batches = mem_alloc(N_FILES, sizeof *batches);
    if (!batches) return pitot_fail(error, PITOT_ENOMEM, "%s: no memory; free some and try again", argument);
    int32_t status = read_either(argument, batches, data, error);
    for (int i = 0; i < N_FILES; i++) mem_free(batches[i].image);
    mem_free(batches);
    return status;
}

extern const pitot_data_format data_format_cifar10;
const pitot_data_format data_format_cifar10 = {
    .struct_size = sizeof(pitot_data_format),
    .abi = PITOT_ABI,
    .name = "cifar10",
    .spec = "cifar10:DIR",
    .summary = "CIFAR-10, the binary version: colour pictures of 32 x 32",
    .details =
        "Reads those of data_batch_1.bin ... data_batch_5.bin that exist as training samples and test_batch.bin as validation, "
        "in DIR or DIR/cifar-10-batches-bin. With test_batch.bin alone the first four fifths train and the rest validates. "
        "Samples are (3, 32, 32), 10 classes.",
    .open = cifar10_open,
};
