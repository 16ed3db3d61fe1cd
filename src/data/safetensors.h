/* safetensors.h: named tensors in one file, the format of the same name: u64 little-endian header length, JSON header, values.

   Read: F32, F64, F16, BF16 into pitot_real, and U8 as bytes. Written: F32 (or F64 for exact checkpoints of the double build, U8
   for opaque bytes), entries sorted by name, to a temporary file that is synced and renamed, so that a reader sees the old file
   or the new one. Everything about a file is checked against its size before it is used; names and shapes are hostile. */

#ifndef PITOT_SRC_SAFETENSORS_H
#define PITOT_SRC_SAFETENSORS_H

#include "pitot/base.h"

enum { TENSOR_F32 = 1, TENSOR_F64, TENSOR_F16, TENSOR_BF16, TENSOR_U8 };

typedef struct tensor_entry {
    const char *name;
    int32_t dtype; /* TENSOR_F32 ... as in the file */
    int32_t n_dim;
    int64_t shape[PITOT_DIMS + 3]; /* at most 8 axes */
    int64_t size;                  /* values */
    const unsigned char *bytes;    /* into the file's image; not aligned */
} tensor_entry;

typedef struct tensor_file { /* an open file, read into memory whole */
    char *path;
    int64_t n;
    tensor_entry *entry; /* sorted by name */
    int64_t n_meta;
    char **meta_key, **meta_value; /* __metadata__ */
    void *image;                   /* private */
} tensor_file;

/* NULL with a message "PATH:ENTRY: ...". Close with tensor_file_close (NULL allowed). */
tensor_file *tensor_file_open(const char *path, pitot_error *error);
void tensor_file_close(tensor_file *file);

const tensor_entry *tensor_file_find(const tensor_file *file, const char *name);
const char *tensor_file_meta(const tensor_file *file, const char *key); /* NULL if absent */

/* Converts the entry's values to pitot_real; `out` has room for entry->size. PITOT_ENOTSUP for U8. */
int32_t tensor_entry_read(const tensor_entry *entry, pitot_real *out);

typedef struct tensor_out { /* one tensor to write */
    const char *name;
    int32_t n_dim;
    int64_t shape[PITOT_DIMS + 3];
    int32_t dtype;      /* TENSOR_F32 (converted from pitot_real), TENSOR_F64 (likewise) or TENSOR_U8 (raw bytes) */
    const void *values; /* pitot_real, or bytes for U8 */
} tensor_out;

/* Writes n tensors (sorted by name here; the array is not changed) and n_meta pairs of metadata; `sync`: fsync file and folder.
   A failure leaves the old file as it was and no temporary file behind. */
int32_t tensor_file_write(const char *path, const tensor_out *tensors, int64_t n, const char *const *meta_key,
                          const char *const *meta_value, int64_t n_meta, int sync, pitot_error *error);

#endif
