/* array.c: see array.h. Everything goes row by row along the last axis. */

#include "base/array.h"

#include "base/bulk.h"

#include "base/bits.h"

int64_t array_width(int32_t dtype) {
    switch (dtype) {
    case PITOT_F32: return 4;
    case PITOT_F64: return 8;
    case PITOT_F16:
    case PITOT_BF16: return 2;
    default: return 0;
    }
}

static int is_dense(const array_layout *a) {
    int64_t expected = 1;
    for (int32_t d = a->n_dim - 1; d >= 0; d--) {
        if (a->stride[d] != expected && a->shape[d] != 1) return 0;
        expected *= a->shape[d];
    }
    return 1;
}

int array_is_plain(const array_layout *a) {
    return a->dtype == ARRAY_REAL && is_dense(a);
}

typedef struct rows { /* a walk over the rows of an array */
    int64_t length, step, count;
    int64_t index[PITOT_DIMS];
    int64_t offset; /* of the current row, in values */
} rows;

static rows rows_of(const array_layout *a) {
    if (is_dense(a)) return (rows){ .length = a->size, .step = 1, .count = 1 };
    int32_t last = a->n_dim - 1;
    return (rows){ .length = a->shape[last], .step = a->stride[last], .count = a->size / a->shape[last] };
}

static void next_row(const array_layout *a, rows *r) {
    for (int32_t d = a->n_dim - 2; d >= 0; d--) {
        r->offset += a->stride[d];
        if (++r->index[d] < a->shape[d]) return;
        r->offset -= a->stride[d] * a->shape[d];
        r->index[d] = 0;
    }
}

static double load(int32_t dtype, const unsigned char *p) {
    uint16_t half;
    float single;
    double wide;
    switch (dtype) {
    case PITOT_F32: memcpy(&single, p, 4); return (double)single;
    case PITOT_F64: memcpy(&wide, p, 8); return wide;
    case PITOT_F16: memcpy(&half, p, 2); return (double)bits_half(half);
    default: memcpy(&half, p, 2); return (double)bits_float((uint32_t)half << 16);
    }
}

double array_value(int32_t dtype, const void *values, int64_t i) {
    return load(dtype, (const unsigned char *)values + i * array_width(dtype));
}

void array_read(const array_layout *a, const void *from, pitot_real *to) {
    int64_t width = array_width(a->dtype);
    rows r = rows_of(a);
    for (int64_t k = 0; k < r.count; k++, next_row(a, &r), to += r.length) {
        const unsigned char *p = (const unsigned char *)from + r.offset * width;
        if (a->dtype == ARRAY_REAL && r.step == 1) memcpy(to, p, (size_t)r.length * sizeof *to);
        else
            for (int64_t i = 0; i < r.length; i++) to[i] = (pitot_real)load(a->dtype, p + i * r.step * width);
    }
}

void array_keep(const array_layout *a, const void *from, void *kept) {
    int64_t width = array_width(a->dtype);
    unsigned char *to = kept;
    rows r = rows_of(a);
    for (int64_t k = 0; k < r.count; k++, next_row(a, &r), to += r.length * width) {
        const unsigned char *p = (const unsigned char *)from + r.offset * width;
        if (r.step == 1) bulk_copy(to, p, r.length * width);
        else
            for (int64_t i = 0; i < r.length; i++) memcpy(to + i * width, p + i * r.step * width, (size_t)width);
    }
}

void array_restore(const array_layout *a, const void *kept, void *to) {
    int64_t width = array_width(a->dtype);
    const unsigned char *from = kept;
    rows r = rows_of(a);
    for (int64_t k = 0; k < r.count; k++, next_row(a, &r), from += r.length * width) {
        unsigned char *p = (unsigned char *)to + r.offset * width;
        if (r.step == 1) bulk_copy(p, from, r.length * width);
        else
            for (int64_t i = 0; i < r.length; i++) memcpy(p + i * r.step * width, from + i * width, (size_t)width);
    }
}

int array_unchanged(const array_layout *a, const void *kept, const void *now) {
    int64_t width = array_width(a->dtype);
    const unsigned char *from = kept;
    rows r = rows_of(a);
    for (int64_t k = 0; k < r.count; k++, next_row(a, &r), from += r.length * width) {
        const unsigned char *p = (const unsigned char *)now + r.offset * width;
        if (r.step == 1 && !bulk_same(p, from, r.length * width)) return 0;
        for (int64_t i = 0; r.step != 1 && i < r.length; i++)
            if (memcmp(p + i * r.step * width, from + i * width, (size_t)width)) return 0;
    }
    return 1;
}

static void store(int32_t dtype, double v, unsigned char *p) {
    float single = (float)v;
    if (dtype == PITOT_F32) memcpy(p, &single, 4);
    else memcpy(p, &v, 8);
}

void array_move(const array_layout *a, const void *kept, const pitot_real *direction, double h, void *to) {
    int64_t width = array_width(a->dtype);
    const unsigned char *from = kept;
    rows r = rows_of(a);
    for (int64_t k = 0; k < r.count; k++, next_row(a, &r), from += r.length * width, direction += r.length) {
        unsigned char *p = (unsigned char *)to + r.offset * width;
        for (int64_t i = 0; i < r.length; i++)
            store(a->dtype, load(a->dtype, from + i * width) + h * (double)direction[i], p + i * r.step * width);
    }
}
