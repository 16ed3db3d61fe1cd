/* Damaged files: good ones of every format, cut short or with bytes changed, thousands of times from fixed seeds. To open
   one must work or leave a message and a negative status, and give all memory back. PITOT_FUZZ_SCALE < 1: fewer rounds; PITOT_FUZZ_SEED: others. */

#include "base/alloc.h"
#include "base/random.h"
#include "data/safetensors.h"
#include "pitot/data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { ROOM = 16384, ROUNDS = 6000 };

typedef struct blob {
    unsigned char bytes[ROOM];
    size_t n;
} blob;

typedef struct target { /* one kind of file */
    const char *name;
    const char *file;      /* what is damaged, in the folder */
    const char *spec;      /* "mnist": opened as mnist:FOLDER; "npz": as npz:FOLDER/FILE; NULL: a safetensors file */
    const char *companion; /* a second file that stays good, or NULL */
    void (*make)(blob *file, blob *companion);
    void (*mend)(blob *file); /* makes checksums right after the damage, so that what is behind them is reached; or NULL */
} target;

static char folder[64];

/* ---- good files ---- */

static void put(blob *b, const void *bytes, size_t n) {
    if (b->n + n > ROOM) abort();
    if (n > 0) memcpy(b->bytes + b->n, bytes, n);
    b->n += n;
}

static void put_number(blob *b, uint64_t value, int width) {
    for (int i = 0; i < width; i++) b->bytes[b->n++] = (unsigned char)(value >> (8 * i));
}

static void put_pixels(blob *b, int n) {
    for (int i = 0; i < n; i++) put_number(b, (uint64_t)(i * i % 7 * 30), 1);
}

static void make_idx(blob *images, blob *labels) {
    put(images, "\0\0\10\3\0\0\0\12\0\0\0\4\0\0\0\4", 16);
    put_pixels(images, 160);
    put(labels, "\0\0\10\1\0\0\0\12\0\1\2\3\4\5\6\7\10\11", 18);
}

static void make_labels(blob *labels, blob *images) {
    make_idx(images, labels);
}

/* wrap: 31 for gzip's, -15 for none */
static void deflate_blob(const blob *from, blob *to, int wrap) {
    z_stream s;
    memset(&s, 0, sizeof s);
    if (deflateInit2(&s, 9, Z_DEFLATED, wrap, 8, Z_DEFAULT_STRATEGY) != Z_OK) abort();
    s.next_in = (Bytef *)(uintptr_t)from->bytes;
    s.avail_in = (uInt)from->n;
    s.next_out = to->bytes + to->n;
    s.avail_out = (uInt)(ROOM - to->n);
    if (deflate(&s, Z_FINISH) != Z_STREAM_END) abort();
    to->n += s.total_out;
    deflateEnd(&s);
}

static void make_idx_gz(blob *images, blob *labels) {
    static blob plain;
    plain.n = 0;
    make_idx(&plain, labels);
    deflate_blob(&plain, images, 31);
}

static void make_cifar(blob *file, blob *none) {
    (void)none;
    for (int i = 0; i < 2; i++) {
        put_number(file, (uint64_t)i, 1);
        put_pixels(file, 3072);
    }
}

static void make_npy(blob *to, const char *descr, const char *shape, const void *values, size_t n) {
    char header[160];
    int length = snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr, shape);
    put(to, "\x93NUMPY\1\0", 8);
    put_number(to, (uint64_t)length, 2);
    put(to, header, (size_t)length);
    put(to, values, n);
}

static size_t member_at[2], member_size[2]; /* where the archive's members lie */

static void add_member(blob *zip, blob *directory, const char *name, const blob *npy, int deflated) {
    size_t at = zip->n, length = strlen(name);
    put(zip, "PK\3\4", 4);
    for (int i = 0; i < 22; i++) put_number(zip, 0, 1);
    put_number(zip, length, 4);
    put(zip, name, length);
    size_t start = zip->n, k = name[0] == 'y';
    if (deflated) {
        deflate_blob(npy, zip, -15);
    } else {
        put(zip, npy->bytes, npy->n);
    }
    member_at[k] = start;
    member_size[k] = zip->n - start;
    put(directory, "PK\1\2", 4);
    put_number(directory, 0, 6);
    put_number(directory, deflated ? 8 : 0, 2);
    put_number(directory, 0, 4);
    put_number(directory, crc32(0, npy->bytes, (uInt)npy->n), 4);
    put_number(directory, zip->n - start, 4);
    put_number(directory, npy->n, 4);
    put_number(directory, length, 6);
    put_number(directory, 0, 8);
    put_number(directory, at, 4);
    put(directory, name, length);
}

static void make_zip(blob *zip, int deflated) {
    static const float x[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    static blob npy, directory;
    npy.n = directory.n = 0;
    make_npy(&npy, "<f4", "(2, 2, 2)", x, sizeof x);
    add_member(zip, &directory, "x.npy", &npy, deflated);
    npy.n = 0;
    make_npy(&npy, "|u1", "(2,)", "\0\1", 2);
    add_member(zip, &directory, "y.npy", &npy, deflated);
    size_t at = zip->n;
    put(zip, directory.bytes, directory.n);
    put(zip, "PK\5\6\0\0\0\0\2\0\2\0", 12);
    put_number(zip, directory.n, 4);
    put_number(zip, at, 4);
    put_number(zip, 0, 2);
}

static void make_npz(blob *file, blob *none) {
    (void)none;
    make_zip(file, 0);
}

static void make_npz_deflated(blob *file, blob *none) {
    (void)none;
    make_zip(file, 1);
}

/* Checksums of the stored members, in the directory that follows the second one. */
static void mend_npz(blob *file) {
    size_t entry = member_at[1] + member_size[1];
    for (int k = 0; k < 2 && file->n > entry + 20; k++, entry += 46 + strlen("x.npy")) {
        uLong crc = crc32(0, file->bytes + member_at[k], (uInt)member_size[k]);
        for (int i = 0; i < 4; i++) file->bytes[entry + 16 + (size_t)i] = (unsigned char)(crc >> (8 * i));
    }
}

static void make_tensors(blob *file, blob *none) {
    static const char header[] =
        "{\"__metadata__\":{\"a\":\"b\"},\"w\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]},"
        "\"v\":{\"dtype\":\"BF16\",\"shape\":[3],\"data_offsets\":[16,22]},"
        "\"s\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[22,23]}}";
    (void)none;
    put_number(file, sizeof header - 1, 8);
    put(file, header, sizeof header - 1);
    put_pixels(file, 23);
}

static const target targets[] = {
    { "idx images", "t10k-images-idx3-ubyte", "mnist", "t10k-labels-idx1-ubyte", make_idx, NULL },
    { "idx labels", "t10k-labels-idx1-ubyte", "mnist", "t10k-images-idx3-ubyte", make_labels, NULL },
    { "idx gzipped", "t10k-images-idx3-ubyte.gz", "mnist", "t10k-labels-idx1-ubyte", make_idx_gz, NULL },
    { "cifar10", "test_batch.bin", "cifar10", NULL, make_cifar, NULL },
    { "npz stored", "a.npz", "npz", NULL, make_npz, NULL },
    { "npz arrays", "a.npz", "npz", NULL, make_npz, mend_npz },
    { "npz deflated", "a.npz", "npz", NULL, make_npz_deflated, NULL },
    { "safetensors", "a.safetensors", NULL, NULL, make_tensors, NULL },
};

enum { N_TARGETS = sizeof targets / sizeof targets[0] };

/* ---- opening ---- */

static void write_blob(const char *name, const blob *b) {
    char path[160];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *out = fopen(path, "wb");
    if (!out || fwrite(b->bytes, 1, b->n, out) != b->n || fclose(out) != 0) {
        fprintf(stderr, "%s: cannot be written\n", path);
        exit(1);
    }
}

/* Uses everything that was read, so that a checker sees every byte. 1: opened. */
static int use_data(const char *spec, pitot_error *error) {
    pitot_data *data = pitot_data_open(spec, error);
    if (!data) return 0;
    pitot_real *x = calloc((size_t)(data->size + data->target_size + 1), sizeof *x);
    int32_t y = 0;
    for (int64_t i = 0; x && i < data->n; i++) {
        if (pitot_data_batch(data, &i, 1, x, &y, data->classes ? NULL : x + data->size) != PITOT_OK) error->status = 1;
    }
    free(x);
    pitot_data_free(data);
    return 1;
}

static int use_tensors(const char *path, pitot_error *error) {
    tensor_file *file = tensor_file_open(path, error);
    if (!file) return 0;
    for (int64_t i = 0; i < file->n; i++) {
        const tensor_entry *entry = &file->entry[i];
        pitot_real *values = calloc((size_t)entry->size + 1, sizeof *values);
        if (values) tensor_entry_read(entry, values);
        if (tensor_file_find(file, entry->name) != entry) error->status = 1;
        free(values);
    }
    tensor_file_close(file);
    return 1;
}

/* 1: opened; 0: refused as it should be; -1: neither, with a line on standard error. */
static int try_file(const target *t, const blob *b, const char *what, uint64_t round) {
    char where[200];
    pitot_error error = { 0 };
    int64_t blocks = mem_count().blocks;
    write_blob(t->file, b);
    int is_folder = t->companion || (t->spec && strcmp(t->spec, "npz") != 0);
    snprintf(where, sizeof where, "%s%s%s%s%s", t->spec ? t->spec : "", t->spec ? ":" : "", folder, is_folder ? "" : "/",
             is_folder ? "" : t->file);
    int opened = t->spec ? use_data(where, &error) : use_tensors(where, &error);
    int good = opened ? error.status == PITOT_OK : error.status < 0 && error.text[0];
    if (good && mem_count().blocks == blocks) return opened;
    fprintf(stderr, "%s: %s, round %llu: opened %d, status %d, text \"%s\", %lld blocks left\n", t->name, what,
            (unsigned long long)round, opened, error.status, error.text, (long long)(mem_count().blocks - blocks));
    return -1;
}

/* ---- damage ---- */

typedef struct tally {
    int tries, opened, failures;
} tally;

static void count_result(tally *sum, int result) {
    sum->tries++;
    sum->opened += result > 0;
    sum->failures += result < 0;
}

/* One to four places: a bit turned, a byte replaced by a telling one or any, or a piece copied elsewhere. */
static void damage(blob *b, uint64_t seed, uint64_t round) {
    static const unsigned char telling[8] = { 0, 1, 0x7f, 0x80, 0xff, '"', '9', '[' };
    uint64_t draw = random_bits(seed, RANDOM_DATA, round, 0);
    int places = 1 + (int)(draw & 3);
    for (int i = 0; i < places; i++) {
        uint64_t r = random_bits(seed, RANDOM_DATA, round, 1 + (uint64_t)i);
        size_t at = (size_t)((r >> 32) % b->n), from = (size_t)((r >> 16 & 0xffff) % b->n), n = 1 + (r >> 8 & 7);
        switch (r & 3) {
        case 0: b->bytes[at] ^= (unsigned char)(1u << (r >> 8 & 7)); break;
        case 1: b->bytes[at] = telling[r >> 8 & 7]; break;
        case 2: b->bytes[at] = (unsigned char)(r >> 8); break;
        default: memmove(b->bytes + at, b->bytes + from, n < b->n - (at > from ? at : from) ? n : 1);
        }
    }
}

static void try_cuts(const target *t, const blob *good, int rounds, tally *sum) {
    static blob b;
    size_t step = good->n / (size_t)rounds + 1;
    for (size_t n = 0; n < good->n; n += step) {
        b = *good;
        b.n = n;
        count_result(sum, try_file(t, &b, "cut", n));
    }
}

static int run_target(const target *t, uint64_t seed, int rounds) {
    static blob good, companion, b;
    tally sum = { 0 };
    good.n = companion.n = 0;
    t->make(&good, &companion);
    if (t->companion) write_blob(t->companion, &companion);
    if (try_file(t, &good, "undamaged", 0) != 1) sum.failures++;
    try_cuts(t, &good, rounds / 4 + 1, &sum);
    for (uint64_t k = 0; k < (uint64_t)rounds; k++) {
        b = good;
        damage(&b, seed, k);
        if (t->mend) t->mend(&b);
        count_result(&sum, try_file(t, &b, "damaged", k));
    }
    printf("fuzz_files: %s: %d damaged files, %d opened, %d refused, %d failures\n", t->name, sum.tries, sum.opened,
           sum.tries - sum.opened - sum.failures, sum.failures);
    const char *const files[2] = { t->file, t->companion };
    for (int i = 0; i < 2 && files[i]; i++) {
        char path[160];
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        unlink(path);
    }
    return sum.failures;
}

int main(void) {
    const char *text = getenv("PITOT_FUZZ_SCALE"), *other = getenv("PITOT_FUZZ_SEED");
    uint64_t seed = 1000 + (other ? 1000 * strtoull(other, NULL, 10) : 0);
    double scale = text ? atof(text) : 1;
    int rounds = scale > 0 && scale < 1 ? (int)(ROUNDS * scale) + 1 : ROUNDS, failures = 0;
    struct stat st;
    snprintf(folder, sizeof folder, "%s/pitot-fuzz-XXXXXX",
             stat("/dev/shm", &st) == 0 && access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!mkdtemp(folder)) {
        perror(folder);
        return 1;
    }
    for (int i = 0; i < N_TARGETS; i++) failures += run_target(&targets[i], seed + (uint64_t)i, rounds);
    rmdir(folder);
    return failures > 0;
}
