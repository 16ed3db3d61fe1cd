/* pitot/data.h: labelled samples in memory, from files or made up. A format is one file in src/data/formats. */

#ifndef PITOT_DATA_H
#define PITOT_DATA_H

#include "pitot/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All samples of a data set, training samples first, held as the file had them: bytes are scaled when a batch is made.
   Exactly one of `bytes` and `reals` is set, and exactly one of `classes` and `targets`. */
typedef struct pitot_data {
    size_t struct_size;
    char spec[256];            /* what it was opened with: "mnist:DIR" */
    int64_t n, n_train;        /* samples in all; the first n_train train, the rest validate (may be none) */
    int64_t shape[PITOT_DIMS]; /* of one sample; ends at the first 0 */
    int64_t size;              /* values per sample: product of shape */
    uint8_t *bytes;            /* (n, *shape), value/255 */
    pitot_real *reals;         /* (n, *shape) */
    int32_t *classes;          /* (n), 0 <= class < n_classes */
    pitot_real *targets;       /* (n, target_size) */
    int64_t n_classes;         /* 0 with targets */
    int64_t target_size;       /* values per target; 0 with classes */
} pitot_data;

/* One data format: SPEC is "NAME" or "NAME:ARGUMENT". */
typedef struct pitot_data_format {
    size_t struct_size;
    int32_t abi;
    const char *name;    /* "mnist" */
    const char *spec;    /* "mnist:DIR" */
    const char *summary; /* one line */
    const char *details; /* which files, layouts and limits; a short paragraph */
    /* Fills in `data` (cleared; spec set) with memory of the library's own. On failure what it allocated stays in `data` and is
       freed by the caller. `argument`: what stood behind the colon, "" if none. */
    int32_t (*open)(const char *argument, pitot_data *data, pitot_error *error);
} pitot_data_format;

/* Opens "mnist:DIR", "cifar10:DIR", "npz:FILE", "glyphs[:N]". NULL with a message that names the file and the remedy.
   Free with pitot_data_free (NULL allowed). Cost: reads everything. */
PITOT_API pitot_data *pitot_data_open(const char *spec, pitot_error *error);
PITOT_API void pitot_data_free(pitot_data *data);

/* Samples ids[0..n) as x (n, *shape), scaled, and their answers. Data with classes: y_class (n), and y_target (n, n_classes) as zeros
   and a one, unless it is NULL. Data with targets: y_target (n, target_size); y_class may be NULL. ids NULL: 0..n-1. Ids outside
   [0, data->n) are PITOT_EINVAL, and nothing is written. */
PITOT_API int32_t pitot_data_batch(const pitot_data *data, const int64_t *ids, int64_t n, pitot_real *x, int32_t *y_class,
                                   pitot_real *y_target);

/* The registry, ordered by name, ended by NULL. */
PITOT_API const pitot_data_format *const *pitot_data_formats(void);

#ifdef __cplusplus
}
#endif

#endif
