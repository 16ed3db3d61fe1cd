/* data.h: what data formats share: the registry, allocation with checked sizes, and words for error messages.

   A format is src/data/formats/NAME.c and ends with `const pitot_data_format data_format_NAME`. It fills in a cleared pitot_data
   through the functions below; what it allocated belongs to `data`, also after a failure. */

#ifndef PITOT_SRC_DATA_H
#define PITOT_SRC_DATA_H

#include "base/bits.h"
#include "pitot/data.h"

#include <string.h>

extern const pitot_data_format *const data_format_table[]; /* by name, ended by NULL; generated */

enum { DATA_AXES = PITOT_DIMS - 1 }; /* most axes of a sample: a batch has one more */

/* *product = a * b for a, b >= 0; 0 if it does not fit, and *product is left alone. */
int data_multiply(int64_t a, int64_t b, int64_t *product);

/* Sets n (>= 1), n_train (1..n), shape (n_dim extents >= 1) and size. `where` begins messages ("FILE:x"). PITOT_EFORMAT: an
   extent below 1, or sizes that overflow; PITOT_ENOTSUP: more than DATA_AXES axes. */
int32_t data_describe(pitot_data *data, int64_t n, int64_t n_train, const int64_t *shape, int32_t n_dim, const char *where,
                      pitot_error *error);

/* Each allocates one of the arrays, cleared, for the n samples of a described `data`. PITOT_ENOMEM with a message. */
int32_t data_alloc_bytes(pitot_data *data, pitot_error *error);                        /* bytes (n, size) */
int32_t data_alloc_reals(pitot_data *data, pitot_error *error);                        /* reals (n, size) */
int32_t data_alloc_classes(pitot_data *data, int64_t n_classes, pitot_error *error);   /* classes (n) */
int32_t data_alloc_targets(pitot_data *data, int64_t target_size, pitot_error *error); /* targets (n, target_size) */

/* How many of n samples train when a file has no parts of its own: the first four fifths, at least one. */
int64_t data_train_share(int64_t n);

/* Bytes from a file as text for a message: at most `size` - 1 characters, what is not printable ASCII as '?'. Returns `text`. */
const char *data_printable(char *text, size_t size, const void *bytes, size_t n);

/* ---- numbers in files: unaligned, little-endian, whatever the host is ---- */

static inline uint64_t data_load(const unsigned char *p, int width) {
    uint64_t bits = 0;
    for (int i = 0; i < width; i++) bits |= (uint64_t)p[i] << (8 * i);
    return bits;
}

#endif
