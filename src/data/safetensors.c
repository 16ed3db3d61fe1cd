/* safetensors.c: see safetensors.h.

   An open file keeps the file's bytes and the parsed header; names and metadata point into the latter. Where the format leaves a
   choice, what is written follows the format's own library: the header padded with spaces to a multiple of 8, wider types first
   among the values, so that each tensor is aligned to its type. */

#include "data/safetensors.h"

#include "base/alloc.h"
#include "base/file.h"
#include "data/data.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_SIZE = 8, N_AXES = PITOT_DIMS + 3, NAME_SHOWN = 100 };

static const int64_t HEADER_LIMIT = 100000000;
static const double EXACT_LIMIT = 9007199254740992.0; /* 2^53: below it every integer of the header is exact as a double */
static const char META[] = "__metadata__";

static const struct {
    const char *name;
    int width;
} types[] = { [TENSOR_F32] = { "F32", 4 },
              [TENSOR_F64] = { "F64", 8 },
              [TENSOR_F16] = { "F16", 2 },
              [TENSOR_BF16] = { "BF16", 2 },
              [TENSOR_U8] = { "U8", 1 } };

enum { N_TYPES = sizeof types / sizeof types[0] };

static int32_t fail_entry(const char *path, const char *name, int32_t status, const char *what, pitot_error *error) {
    char shown[NAME_SHOWN];
    return pitot_fail(error, status, "%s:%s: %s", path, data_printable(shown, sizeof shown, name, strlen(name)), what);
}

/* Length of the well-formed UTF-8 character at p[0..n), n > 0; 0: there is none. */
static int64_t utf8_length(const unsigned char *p, int64_t n) {
    static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 }; /* smaller ones have a shorter form */
    int length = p[0] < 0x80 ? 1 : p[0] >> 5 == 6 ? 2 : p[0] >> 4 == 14 ? 3 : p[0] >> 3 == 30 ? 4 : 0;
    uint32_t code = length > 1 ? p[0] & (0x7fu >> length) : p[0];
    if (length == 0 || length > n) return 0;
    for (int i = 1; i < length; i++) {
        if (p[i] >> 6 != 2) return 0;
        code = code << 6 | (p[i] & 0x3fu);
    }
    return code < least[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0 : length;
}

static int is_utf8(const void *text, int64_t n) {
    const unsigned char *p = text;
    int64_t at = 0;
    while (at < n) {
        int64_t length = utf8_length(p + at, n - at);
        if (length == 0) return 0;
        at += length;
    }
    return 1;
}

/* ---- reading ---- */

typedef struct image {
    unsigned char *bytes; /* the file */
    cJSON *header;
} image;

typedef struct span { /* the values' part of the file */
    const unsigned char *at;
    int64_t size;
} span;

static int32_t fail_header(const char *path, const char *what, pitot_error *error) {
    return pitot_fail(error, PITOT_EFORMAT, "%s:header: %s; is it a safetensors file, and complete?", path, what);
}

/* Things that the JSON parser lets pass: bytes that are no text, and the escaped NUL that would cut a name short. */
static int is_text(const unsigned char *p, int64_t n) {
    static const char nul[] = "\\u0000";
    for (int64_t i = 0; i < n; i++) {
        if (p[i] < 0x20 && p[i] != '\n' && p[i] != '\r' && p[i] != '\t') return 0;
    }
    return is_utf8(p, n) && !memmem(p, (size_t)n, nul, sizeof nul - 1);
}

static cJSON *parse_header(const char *path, const unsigned char *text, int64_t n, pitot_error *error) {
    const char *from = (const char *)text, *end = from;
    if (n < 2 || from[0] != '{' || !is_text(text, n)) return fail_header(path, "not a JSON object", error), NULL;
    cJSON *header = cJSON_ParseWithLengthOpts(from, (size_t)n, &end, 0);
    if (!header) return fail_header(path, "damaged JSON", error), NULL;
    for (; end < from + n; end++) {
        if (*end != ' ' && *end != '\n' && *end != '\r' && *end != '\t') {
            cJSON_Delete(header);
            return fail_header(path, "something follows the JSON object", error), NULL;
        }
    }
    return header;
}

/* Reads the length and the header; `values` is what follows. NULL with a message. */
static cJSON *read_header(const char *path, const unsigned char *bytes, int64_t size, span *values, pitot_error *error) {
    if (size < LENGTH_SIZE) return fail_header(path, "shorter than 8 bytes", error), NULL;
    uint64_t length = data_load(bytes, LENGTH_SIZE);
    if (length > (uint64_t)HEADER_LIMIT) return fail_header(path, "longer than 100 MB", error), NULL;
    if (length > (uint64_t)(size - LENGTH_SIZE)) return fail_header(path, "longer than the file", error), NULL;
    *values = (span){ bytes + LENGTH_SIZE + length, size - LENGTH_SIZE - (int64_t)length };
    return parse_header(path, bytes + LENGTH_SIZE, (int64_t)length, error);
}

static int is_meta(const cJSON *item) {
    return strcmp(item->string, META) == 0;
}

/* Exact and not negative: 1, else 0. */
static int whole_number(const cJSON *item, int64_t *value) {
    double v = cJSON_IsNumber(item) ? item->valuedouble : -1;
    if (!(v >= 0 && v < EXACT_LIMIT)) return 0;
    *value = (int64_t)v;
    return (double)*value == v;
}

/* Sets *field to the member `key`, which must be there once; other members are of no concern. 0: absent or repeated. */
static int find_field(const cJSON *object, const char *key, const cJSON **field) {
    int n = 0;
    for (const cJSON *item = object->child; item; item = item->next) {
        if (strcmp(item->string, key) != 0) continue;
        *field = item;
        n++;
    }
    return n == 1;
}

static int32_t read_type(const char *path, const cJSON *type, tensor_entry *entry, pitot_error *error) {
    char shown[NAME_SHOWN], dtype[24];
    if (!cJSON_IsString(type)) return fail_entry(path, entry->name, PITOT_EFORMAT, "dtype is not a string; write it again", error);
    for (int32_t i = TENSOR_F32; i < N_TYPES; i++) {
        if (strcmp(type->valuestring, types[i].name) != 0) continue;
        entry->dtype = i;
        return PITOT_OK;
    }
    return pitot_fail(error, PITOT_ENOTSUP, "%s:%s: dtype %s is not supported; convert it to F32, F64, F16, BF16 or U8", path,
                      data_printable(shown, sizeof shown, entry->name, strlen(entry->name)),
                      data_printable(dtype, sizeof dtype, type->valuestring, strlen(type->valuestring)));
}

static int32_t read_shape(const char *path, const cJSON *shape, tensor_entry *entry, pitot_error *error) {
    if (!cJSON_IsArray(shape)) return fail_entry(path, entry->name, PITOT_EFORMAT, "shape is not a list; write it again", error);
    entry->size = 1;
    for (const cJSON *item = shape->child; item; item = item->next) {
        if (entry->n_dim == N_AXES) {
            return fail_entry(path, entry->name, PITOT_ENOTSUP, "more than 8 axes; reshape it", error);
        }
        int64_t extent;
        if (!whole_number(item, &extent) || !data_multiply(entry->size, extent, &entry->size)) {
            return fail_entry(path, entry->name, PITOT_EFORMAT, "shape is not made of whole numbers in range; write it again",
                              error);
        }
        entry->shape[entry->n_dim++] = extent;
    }
    return PITOT_OK;
}

static int32_t read_offsets(const char *path, const cJSON *offsets, span values, tensor_entry *entry, pitot_error *error) {
    int64_t begin, end, bytes;
    const cJSON *first = cJSON_IsArray(offsets) ? offsets->child : NULL;
    if (!first || !first->next || first->next->next || !whole_number(first, &begin) || !whole_number(first->next, &end)) {
        return fail_entry(path, entry->name, PITOT_EFORMAT, "data_offsets is not a pair of whole numbers; write it again", error);
    }
    if (begin > end || end > values.size) {
        return fail_entry(path, entry->name, PITOT_EFORMAT, "its values lie outside the file; is the file complete?", error);
    }
    if (!data_multiply(entry->size, types[entry->dtype].width, &bytes) || bytes != end - begin) {
        return fail_entry(path, entry->name, PITOT_EFORMAT, "shape and data_offsets do not agree; write it again", error);
    }
    entry->bytes = values.at + begin;
    return PITOT_OK;
}

static int32_t read_entry(const char *path, const cJSON *item, span values, tensor_entry *entry, pitot_error *error) {
    const cJSON *type = NULL, *shape = NULL, *offsets = NULL;
    entry->name = item->string;
    if (!cJSON_IsObject(item) || !find_field(item, "dtype", &type) || !find_field(item, "shape", &shape) ||
        !find_field(item, "data_offsets", &offsets)) {
        return fail_entry(path, entry->name, PITOT_EFORMAT, "not an object with one dtype, shape and data_offsets; write it again",
                          error);
    }
    int32_t status = read_type(path, type, entry, error);
    if (status == PITOT_OK) status = read_shape(path, shape, entry, error);
    if (status == PITOT_OK) status = read_offsets(path, offsets, values, entry, error);
    return status;
}

/* By place; of two at one place the empty one is first. */
static int compare_places(const void *a, const void *b) {
    const tensor_entry *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1;
    return (x->size > 0) - (y->size > 0);
}

static int compare_names(const void *a, const void *b) {
    const tensor_entry *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* The entries must cover all values, each byte once. Leaves them sorted by name. */
static int32_t check_entries(const tensor_file *file, span values, pitot_error *error) {
    const unsigned char *at = values.at;
    qsort(file->entry, (size_t)file->n, sizeof file->entry[0], compare_places);
    for (int64_t i = 0; i < file->n; i++) {
        const tensor_entry *entry = &file->entry[i];
        if (entry->bytes != at) {
            return fail_entry(file->path, entry->name, PITOT_EFORMAT,
                              "a gap before its values, or shared with others; write it again", error);
        }
        at += entry->size * types[entry->dtype].width;
    }
    if (at != values.at + values.size) return fail_header(file->path, "values that belong to no tensor", error);
    qsort(file->entry, (size_t)file->n, sizeof file->entry[0], compare_names);
    for (int64_t i = 1; i < file->n; i++) {
        if (strcmp(file->entry[i - 1].name, file->entry[i].name) == 0) {
            return fail_entry(file->path, file->entry[i].name, PITOT_EFORMAT, "present twice; keep one", error);
        }
    }
    return PITOT_OK;
}

static int32_t read_entries(tensor_file *file, const cJSON *header, span values, pitot_error *error) {
    int64_t n = 0;
    for (const cJSON *item = header->child; item; item = item->next) n += !is_meta(item);
    file->entry = mem_alloc(n, sizeof file->entry[0]);
    if (!file->entry) return pitot_fail(error, PITOT_ENOMEM, "%s: no memory; free some and try again", file->path);
    for (const cJSON *item = header->child; item; item = item->next) {
        if (is_meta(item)) continue;
        int32_t status = read_entry(file->path, item, values, &file->entry[file->n], error);
        if (status != PITOT_OK) return status;
        file->n++;
    }
    return check_entries(file, values, error);
}

static int compare_texts(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Strings under distinct keys. */
static int32_t check_meta(const tensor_file *file, const cJSON *meta, pitot_error *error) {
    const char **keys = mem_alloc(file->n_meta, sizeof keys[0]);
    int good = 1;
    if (!keys) return pitot_fail(error, PITOT_ENOMEM, "%s: no memory; free some and try again", file->path);
    for (const cJSON *item = meta->child; item; item = item->next) good = good && cJSON_IsString(item);
    memcpy(keys, file->meta_key, (size_t)file->n_meta * sizeof keys[0]);
    qsort(keys, (size_t)file->n_meta, sizeof keys[0], compare_texts);
    for (int64_t i = 1; i < file->n_meta; i++) good = good && strcmp(keys[i - 1], keys[i]) != 0;
    mem_free(keys);
    return good ? PITOT_OK : fail_entry(file->path, META, PITOT_EFORMAT, "not strings under distinct keys; write it again", error);
}

static int32_t read_meta(tensor_file *file, const cJSON *header, pitot_error *error) {
    const cJSON *meta = NULL;
    for (const cJSON *item = header->child; item; item = item->next) {
        if (!is_meta(item)) continue;
        if (meta || !cJSON_IsObject(item)) {
            return fail_entry(file->path, META, PITOT_EFORMAT, "present twice, or not an object; write it again", error);
        }
        meta = item;
    }
    if (!meta) return PITOT_OK;
    int64_t n = cJSON_GetArraySize(meta);
    file->meta_key = mem_alloc(n, sizeof file->meta_key[0]);
    file->meta_value = mem_alloc(n, sizeof file->meta_value[0]);
    if (!file->meta_key || !file->meta_value) {
        return pitot_fail(error, PITOT_ENOMEM, "%s: no memory; free some and try again", file->path);
    }
    for (const cJSON *item = meta->child; item; item = item->next, file->n_meta++) {
        file->meta_key[file->n_meta] = item->string;
        file->meta_value[file->n_meta] = item->valuestring;
    }
    return check_meta(file, meta, error);
}

static int32_t read_file(tensor_file *file, const char *path, pitot_error *error) {
    int64_t size = 0;
    span values;
    image *im = file->image = mem_alloc(1, sizeof *im);
    file->path = mem_strdup(path);
    if (!im || !file->path) return pitot_fail(error, PITOT_ENOMEM, "%s: no memory; free some and try again", path);
    im->bytes = file_read(path, 0, &size, error);
    if (!im->bytes) return PITOT_EIO;
    im->header = read_header(path, im->bytes, size, &values, error);
    if (!im->header) return PITOT_EFORMAT;
    int32_t status = read_entries(file, im->header, values, error);
    return status == PITOT_OK ? read_meta(file, im->header, error) : status;
}

tensor_file *tensor_file_open(const char *path, pitot_error *error) {
    tensor_file *file = mem_alloc(1, sizeof *file);
    if (!file) {
        pitot_fail(error, PITOT_ENOMEM, "%s: no memory; free some and try again", path);
        return NULL;
    }
    if (read_file(file, path, error) == PITOT_OK) return file;
    tensor_file_close(file);
    return NULL;
}

void tensor_file_close(tensor_file *file) {
    if (!file) return;
    image *im = file->image;
    if (im) {
        cJSON_Delete(im->header);
        mem_free(im->bytes);
    }
    mem_free(im);
    mem_free(file->entry);
    mem_free(file->meta_key);
    mem_free(file->meta_value);
    mem_free(file->path);
    mem_free(file);
}

const tensor_entry *tensor_file_find(const tensor_file *file, const char *name) {
    const tensor_entry key = { .name = name };
    return bsearch(&key, file->entry, (size_t)file->n, sizeof key, compare_names);
}

const char *tensor_file_meta(const tensor_file *file, const char *key) {
    for (int64_t i = 0; i < file->n_meta; i++) {
        if (strcmp(file->meta_key[i], key) == 0) return file->meta_value[i];
    }
    return NULL;
}

int32_t tensor_entry_read(const tensor_entry *entry, pitot_real *out) {
    const unsigned char *p = entry->bytes;
    int64_t n = entry->size;
    switch (entry->dtype) {
    case TENSOR_F32:
        for (int64_t i = 0; i < n; i++) out[i] = bits_float((uint32_t)data_load(p + 4 * i, 4));
        return PITOT_OK;
    case TENSOR_F64:
        for (int64_t i = 0; i < n; i++) out[i] = (pitot_real)bits_double(data_load(p + 8 * i, 8));
        return PITOT_OK;
    case TENSOR_F16:
        for (int64_t i = 0; i < n; i++) out[i] = bits_half((uint32_t)data_load(p + 2 * i, 2));
        return PITOT_OK;
    case TENSOR_BF16:
        for (int64_t i = 0; i < n; i++) out[i] = bits_float((uint32_t)data_load(p + 2 * i, 2) << 16);
        return PITOT_OK;
    default: return PITOT_ENOTSUP;
    }
}

/* ---- writing ---- */

typedef struct placed { /* a tensor and where its values go */
    const tensor_out *tensor;
    int64_t size, begin; /* values; bytes from the start of the values */
} placed;

typedef struct text { /* grows; after a failed request it stays as it is */
    char *at;
    int64_t n, room;
    int failed;
} text;

static void put(text *t, const char *from, int64_t n) {
    if (t->room - t->n < n && !t->failed) {
        int64_t room = 2 * (t->room + n) + 256;
        char *larger = mem_grow(t->at, t->n, room, 1);
        t->failed = !larger;
        if (larger) {
            t->at = larger;
            t->room = room;
        }
    }
    if (t->failed) return;
    memcpy(t->at + t->n, from, (size_t)n);
    t->n += n;
}

static void put_text(text *t, const char *from) {
    put(t, from, (int64_t)strlen(from));
}

static void put_number(text *t, int64_t value) {
    char digits[24];
    put(t, digits, snprintf(digits, sizeof digits, "%lld", (long long)value));
}

/* In quotes, escaped. */
static void put_string(text *t, const char *from) {
    put(t, "\"", 1);
    for (; *from; from++) {
        char escaped[8];
        if (*from == '"' || *from == '\\') {
            put(t, escaped, snprintf(escaped, sizeof escaped, "\\%c", *from));
        } else if ((unsigned char)*from < 0x20) {
            put(t, escaped, snprintf(escaped, sizeof escaped, "\\u%04x", (unsigned)*from));
        } else {
            put(t, from, 1);
        }
    }
    put(t, "\"", 1);
}

static void put_entry(text *t, const placed *p) {
    int width = types[p->tensor->dtype].width;
    put_string(t, p->tensor->name);
    put_text(t, ":{\"dtype\":\"");
    put_text(t, types[p->tensor->dtype].name);
    put_text(t, "\",\"shape\":[");
    for (int32_t i = 0; i < p->tensor->n_dim; i++) {
        if (i > 0) put(t, ",", 1);
        put_number(t, p->tensor->shape[i]);
    }
    put_text(t, "],\"data_offsets\":[");
    put_number(t, p->begin);
    put(t, ",", 1);
    put_number(t, p->begin + p->size * width);
    put_text(t, "]}");
}

static void put_meta(text *t, const char *const *key, const char *const *value, int64_t n) {
    put_string(t, META);
    put_text(t, ":{");
    for (int64_t i = 0; i < n; i++) {
        if (i > 0) put(t, ",", 1);
        put_string(t, key[i]);
        put(t, ":", 1);
        put_string(t, value[i]);
    }
    put(t, "}", 1);
}

static int is_name(const char *name) {
    return name && is_utf8(name, (int64_t)strlen(name));
}

static int32_t check_pairs(const char *path, const char *const *key, const char *const *value, int64_t n, pitot_error *error) {
    for (int64_t i = 0; i < n; i++) {
        int good = is_name(key[i]) && is_name(value[i]);
        for (int64_t k = 0; good && k < i; k++) good = strcmp(key[k], key[i]) != 0; /* pairs are few */
        if (!good) {
            return pitot_fail(error, PITOT_EINVAL, "%s:%s: pair %lld is not UTF-8 or its key is taken; change it", path, META,
                              (long long)i);
        }
    }
    return PITOT_OK;
}

/* Sets tensor and size. */
static int32_t check_tensor(const char *path, const tensor_out *tensor, placed *p, pitot_error *error) {
    if (!is_name(tensor->name) || strcmp(tensor->name, META) == 0) {
        return pitot_fail(error, PITOT_EINVAL, "%s: the name of a tensor is missing, not UTF-8 or reserved; change it", path);
    }
    int known = tensor->dtype == TENSOR_F32 || tensor->dtype == TENSOR_F64 || tensor->dtype == TENSOR_U8;
    if (!known) return fail_entry(path, tensor->name, PITOT_ENOTSUP, "cannot be written as this dtype; use F32, F64 or U8", error);
    int64_t bytes = 0;
    int good = tensor->n_dim >= 0 && tensor->n_dim <= N_AXES;
    *p = (placed){ .tensor = tensor, .size = 1 };
    for (int32_t i = 0; good && i < tensor->n_dim; i++) {
        good = tensor->shape[i] >= 0 && data_multiply(p->size, tensor->shape[i], &p->size);
    }
    good = good && data_multiply(p->size, types[tensor->dtype].width, &bytes);
    if (!good || (!tensor->values && p->size > 0)) {
        return fail_entry(path, tensor->name, PITOT_EINVAL, "its shape makes no sense or it has no values; check the caller",
                          error);
    }
    return PITOT_OK;
}

static int compare_placed_names(const void *a, const void *b) {
    const placed *x = a, *y = b;
    return strcmp(x->tensor->name, y->tensor->name);
}

static int compare_widths(const void *a, const void *b) {
    const placed *x = a, *y = b;
    int difference = types[y->tensor->dtype].width - types[x->tensor->dtype].width;
    return difference ? difference : compare_placed_names(a, b);
}

/* Gives each its place and leaves them sorted by name; *total: bytes in all. */
static int32_t place_tensors(const char *path, placed *all, int64_t n, int64_t *total, pitot_error *error) {
    qsort(all, (size_t)n, sizeof all[0], compare_widths);
    *total = 0;
    for (int64_t i = 0; i < n; i++) {
        all[i].begin = *total;
        int64_t bytes = all[i].size * types[all[i].tensor->dtype].width;
        if (bytes > INT64_MAX / 2 - *total) return pitot_fail(error, PITOT_EINVAL, "%s: larger than a file can be; split it", path);
        *total += bytes;
    }
    qsort(all, (size_t)n, sizeof all[0], compare_placed_names);
    for (int64_t i = 1; i < n; i++) {
        if (compare_placed_names(&all[i - 1], &all[i]) == 0) {
            return fail_entry(path, all[i].tensor->name, PITOT_EINVAL, "two tensors of this name; rename one", error);
        }
    }
    return PITOT_OK;
}

static void store(unsigned char *p, uint64_t bits, int width) {
    for (int i = 0; i < width; i++) p[i] = (unsigned char)(bits >> (8 * i));
}

static void store_values(unsigned char *to, const placed *p) {
    const pitot_real *values = p->tensor->values;
    if (p->size == 0) return;
    if (p->tensor->dtype == TENSOR_U8) {
        memcpy(to, p->tensor->values, (size_t)p->size);
    } else if (p->tensor->dtype == TENSOR_F32) {
        for (int64_t i = 0; i < p->size; i++) {
            float value = (float)values[i];
            uint32_t bits;
            memcpy(&bits, &value, sizeof bits);
            store(to + 4 * i, bits, 4);
        }
    } else {
        for (int64_t i = 0; i < p->size; i++) {
            double value = (double)values[i];
            uint64_t bits;
            memcpy(&bits, &value, sizeof bits);
            store(to + 8 * i, bits, 8);
        }
    }
}

/* The whole file: `total` bytes of values behind the header. */
static int32_t write_placed(const char *path, const text *header, const placed *all, int64_t n, int64_t total, int sync,
                            pitot_error *error) {
    int64_t start = LENGTH_SIZE + header->n;
    unsigned char *bytes = mem_alloc(start + total, 1);
    if (!bytes) {
        return pitot_fail(error, PITOT_ENOMEM, "%s: no memory for %lld bytes; free some and try again", path,
                          (long long)(start + total));
    }
    store(bytes, (uint64_t)header->n, LENGTH_SIZE);
    memcpy(bytes + LENGTH_SIZE, header->at, (size_t)header->n);
    for (int64_t i = 0; i < n; i++) store_values(bytes + start + all[i].begin, &all[i]);
    int32_t status = file_replace(path, bytes, start + total, sync, error);
    mem_free(bytes);
    return status;
}

/* Padded to a multiple of 8. */
static int32_t make_header(const char *path, text *t, const placed *all, int64_t n, const char *const *meta_key,
                           const char *const *meta_value, int64_t n_meta, pitot_error *error) {
    put(t, "{", 1);
    if (n_meta > 0) put_meta(t, meta_key, meta_value, n_meta);
    for (int64_t i = 0; i < n; i++) {
        if (i > 0 || n_meta > 0) put(t, ",", 1);
        put_entry(t, &all[i]);
    }
    put(t, "}", 1);
    while (t->n % 8 != 0 && !t->failed) put(t, " ", 1);
    if (t->failed) return pitot_fail(error, PITOT_ENOMEM, "%s: no memory; free some and try again", path);
    if (t->n > HEADER_LIMIT) return pitot_fail(error, PITOT_EINVAL, "%s:header: longer than 100 MB; write fewer tensors", path);
    return PITOT_OK;
}

int32_t tensor_file_write(const char *path, const tensor_out *tensors, int64_t n, const char *const *meta_key,
                          const char *const *meta_value, int64_t n_meta, int sync, pitot_error *error) {
    text header = { 0 };
    int64_t total = 0;
    placed *all = mem_alloc(n, sizeof *all);
    if (!all) return pitot_fail(error, PITOT_ENOMEM, "%s: no memory; free some and try again", path);
    int32_t status = check_pairs(path, meta_key, meta_value, n_meta, error);
    for (int64_t i = 0; i < n && status == PITOT_OK; i++) status = check_tensor(path, &tensors[i], &all[i], error);
    if (status == PITOT_OK) status = place_tensors(path, all, n, &total, error);
    if (status == PITOT_OK) status = make_header(path, &header, all, n, meta_key, meta_value, n_meta, error);
    if (status == PITOT_OK) status = write_placed(path, &header, all, n, total, sync, error);
    mem_free(header.at);
    mem_free(all);
    return status;
}
