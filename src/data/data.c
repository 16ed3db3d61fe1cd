/* data.c: opening data sets by name, and making batches. Formats are in src/data/formats. */

#include "data/data.h"

#include "base/alloc.h"

#include <stdio.h>
#include <string.h>

/* ---- what formats share ---- */

int data_multiply(int64_t a, int64_t b, int64_t *product) {
    if (b != 0 && a > INT64_MAX / b) return 0;
    *product = a * b;
    return 1;
}

int32_t data_describe(pitot_data *data, int64_t n, int64_t n_train, const int64_t *shape, int32_t n_dim, const char *where,
                      pitot_error *error) {
    int64_t size = 1, all = 0;
    if (n_dim < 1 || n_dim > DATA_AXES) {
        return pitot_fail(error, PITOT_ENOTSUP, "%s: a sample has %d axes; reshape it to between 1 and %d", where, (int)n_dim,
                          DATA_AXES);
    }
    if (n < 1 || n_train < 1 || n_train > n) {
        return pitot_fail(error, PITOT_EFORMAT, "%s: no samples to train on; at least one is needed", where);
    }
    for (int32_t i = 0; i < n_dim; i++) {
        if (shape[i] < 1 || !data_multiply(size, shape[i], &size)) {
            return pitot_fail(error, PITOT_EFORMAT, "%s: axis %d of a sample has extent %lld; it must be positive and fit memory",
                              where, (int)i, (long long)shape[i]);
        }
    }
    if (!data_multiply(n, size, &all)) {
        return pitot_fail(error, PITOT_EFORMAT, "%s: %lld samples of %lld values are more than can be addressed", where,
                          (long long)n, (long long)size);
    }
    memset(data->shape, 0, sizeof data->shape);
    memcpy(data->shape, shape, (size_t)n_dim * sizeof shape[0]);
    data->n = n;
    data->n_train = n_train;
    data->size = size;
    return PITOT_OK;
}

/* (n, per_sample) elements of `width` bytes, cleared; NULL with a message. */
static void *alloc_array(const pitot_data *data, int64_t per_sample, size_t width, const char *what, pitot_error *error) {
    int64_t count = 0;
    void *block = data_multiply(data->n, per_sample, &count) ? mem_alloc(count, width) : NULL;
    if (!block) {
        pitot_fail(error, PITOT_ENOMEM, "%s: no memory for the %s (%lld x %lld values of %d bytes); use fewer samples", data->spec,
                   what, (long long)data->n, (long long)per_sample, (int)width);
    }
    return block;
}

int32_t data_alloc_bytes(pitot_data *data, pitot_error *error) {
    data->bytes = alloc_array(data, data->size, sizeof data->bytes[0], "samples", error);
    return data->bytes ? PITOT_OK : PITOT_ENOMEM;
}

int32_t data_alloc_reals(pitot_data *data, pitot_error *error) {
    data->reals = alloc_array(data, data->size, sizeof data->reals[0], "samples", error);
    return data->reals ? PITOT_OK : PITOT_ENOMEM;
}

int32_t data_alloc_classes(pitot_data *data, int64_t n_classes, pitot_error *error) {
    data->n_classes = n_classes;
    data->classes = alloc_array(data, 1, sizeof data->classes[0], "classes", error);
    return data->classes ? PITOT_OK : PITOT_ENOMEM;
}

int32_t data_alloc_targets(pitot_data *data, int64_t target_size, pitot_error *error) {
    data->target_size = target_size;
    data->targets = alloc_array(data, target_size, sizeof data->targets[0], "targets", error);
    return data->targets ? PITOT_OK : PITOT_ENOMEM;
}

int64_t data_train_share(int64_t n) {
    int64_t share = n / 5 * 4 + n % 5 * 4 / 5;
    return share < 1 ? 1 : share;
}

const char *data_printable(char *text, size_t size, const void *bytes, size_t n) {
    const unsigned char *from = bytes;
    size_t i = 0;
    for (; i + 1 < size && i < n; i++) text[i] = from[i] >= 0x20 && from[i] < 0x7f ? (char)from[i] : '?';
    text[i] = '\0';
    return text;
}

/* ---- opening ---- */

const pitot_data_format *const *pitot_data_formats(void) {
    return data_format_table;
}

static const pitot_data_format *find_format(const char *name, size_t length) {
    for (const pitot_data_format *const *f = data_format_table; *f; f++) {
        if (strlen((*f)->name) == length && memcmp((*f)->name, name, length) == 0) return *f;
    }
    return NULL;
}

static void fail_unknown(const char *spec, size_t length, pitot_error *error) {
    char known[512] = "", name[64];
    size_t used = 0;
    for (const pitot_data_format *const *f = data_format_table; *f; f++) {
        int wrote = snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", (*f)->spec);
        if (wrote < 0 || (size_t)wrote >= sizeof known - used) break;
        used += (size_t)wrote;
    }
    pitot_fail(error, PITOT_EINVAL, "data: there is no format \"%s\"; use one of %s",
               data_printable(name, sizeof name, spec, length), known);
}

/* What a batch relies on, whatever a format did. */
static int is_complete(const pitot_data *data) {
    int values = (data->bytes != NULL) + (data->reals != NULL);
    int labels = (data->classes != NULL) + (data->targets != NULL);
    int labelled = data->classes ? data->n_classes >= 1 : data->target_size >= 1;
    return data->n >= 1 && data->n_train >= 1 && data->n_train <= data->n && data->size >= 1 && values == 1 && labels == 1 &&
           labelled;
}

static int32_t open_with(const pitot_data_format *format, const char *argument, pitot_data *data, pitot_error *error) {
    int32_t status = format->open(argument, data, error);
    if (status != PITOT_OK) { /* sets a message only if the format left none */
        return pitot_fail(error, status, "%s: could not be opened: %s", data->spec, pitot_strerror(status));
    }
    if (!is_complete(data)) {
        return pitot_fail(error, PITOT_EFORMAT, "%s: the format gave no samples or no labels; report this", data->spec);
    }
    return PITOT_OK;
}

pitot_data *pitot_data_open(const char *spec, pitot_error *error) {
    size_t length = spec ? strlen(spec) : 0, name = spec ? strcspn(spec, ":") : 0;
    if (name == 0 || length >= sizeof((pitot_data *)0)->spec) {
        pitot_fail(error, PITOT_EINVAL,
                   "data: the name of a data set must have between 1 and %d characters; write NAME or NAME:ARGUMENT",
                   (int)sizeof((pitot_data *)0)->spec - 1);
        return NULL;
    }
    const pitot_data_format *format = find_format(spec, name);
    if (!format) {
        fail_unknown(spec, name, error);
        return NULL;
    }
    pitot_data *data = mem_alloc(1, sizeof *data);
    if (!data) {
        pitot_fail(error, PITOT_ENOMEM, "%s: no memory; free some and try again", spec);
        return NULL;
    }
    data->struct_size = sizeof *data;
    memcpy(data->spec, spec, length + 1);
    if (open_with(format, spec[name] ? spec + name + 1 : "", data, error) != PITOT_OK) {
        pitot_data_free(data);
        return NULL;
    }
    return data;
}

void pitot_data_free(pitot_data *data) {
    if (!data) return;
    mem_free(data->bytes);
    mem_free(data->reals);
    mem_free(data->classes);
    mem_free(data->targets);
    mem_free(data);
}

/* ---- batches ---- */

static int ids_are_valid(const pitot_data *data, const int64_t *ids, int64_t n) {
    if (!ids) return n <= data->n;
    for (int64_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= data->n) return 0;
    }
    return 1;
}

/* Divides rather than multiplies by 1/255, so that 255 is exactly 1 and values equal those of other tools. */
static void scale_bytes(const uint8_t *from, int64_t n, pitot_real *to) {
    for (int64_t i = 0; i < n; i++) to[i] = (pitot_real)from[i] / (pitot_real)255;
}

static void one_hot(const pitot_data *data, int32_t class, pitot_real *y) {
    memset(y, 0, (size_t)data->n_classes * sizeof *y);
    y[class] = 1;
}

int32_t pitot_data_batch(const pitot_data *data, const int64_t *ids, int64_t n, pitot_real *x, int32_t *y_class,
                         pitot_real *y_target) {
    if (!data || n < 0 || !ids_are_valid(data, ids, n) || (n > 0 && (!x || (data->classes ? !y_class : !y_target)))) {
        return PITOT_EINVAL;
    }
    for (int64_t i = 0; i < n; i++) {
        int64_t id = ids ? ids[i] : i, size = data->size, k = data->target_size;
        if (data->bytes) {
            scale_bytes(data->bytes + id * size, size, x + i * size);
        } else {
            memcpy(x + i * size, data->reals + id * size, (size_t)size * sizeof *x);
        }
        if (data->classes) {
            y_class[i] = data->classes[id];
            if (y_target) one_hot(data, y_class[i], y_target + i * data->n_classes);
        } else {
            memcpy(y_target + i * k, data->targets + id * k, (size_t)k * sizeof *y_target);
        }
    }
    return PITOT_OK;
}
