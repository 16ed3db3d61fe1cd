/* array.h: arrays in other people's memory: four types of values, any strides. */

#ifndef PITOT_SRC_ARRAY_H
#define PITOT_SRC_ARRAY_H

#include "pitot/capture.h"

enum { ARRAY_REAL = sizeof(pitot_real) == 8 ? PITOT_F64 : PITOT_F32 };

typedef struct array_layout {
    int32_t dtype; /* PITOT_F32 ... */
    int32_t n_dim;
    int64_t shape[PITOT_DIMS], stride[PITOT_DIMS]; /* in values */
    int64_t size;                                  /* product of shape */
} array_layout;

/* Bytes of one value; 0: no such type. */
int64_t array_width(int32_t dtype);
/* pitot_real, row-major without gaps: may be used where it lies. */
int array_is_plain(const array_layout *a);
/* Row-major pitot_real from the array. to (size) */
void array_read(const array_layout *a, const void *from, pitot_real *to);
/* Its values as they are, bit by bit, row-major; and back. kept: size * array_width bytes */
void array_keep(const array_layout *a, const void *from, void *kept);
void array_restore(const array_layout *a, const void *kept, void *to);
/* The i-th of values that lie side by side. */
double array_value(int32_t dtype, const void *values, int64_t i);
/* 1 if the array still holds what was kept, bit by bit. */
int array_unchanged(const array_layout *a, const void *kept, const void *now);
/* to = kept + h * direction, rounded to the array's type; F32 and F64 only. direction (size) row-major */
void array_move(const array_layout *a, const void *kept, const pitot_real *direction, double h, void *to);

#endif
