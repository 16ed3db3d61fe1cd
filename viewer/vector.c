/* vector.c: see vector.h. The format: "\x93NUMPY", version, length of the header, a Python dictionary as text, then the values. */

#include "vector.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_HEADER = 4096 };

/* The header's text, 0-terminated; 0 if this is no .npy file. */
static int read_header(FILE *in, char text[MOST_HEADER + 1]) {
    unsigned char start[8], size[4] = { 0 };
    if (fread(start, 1, 8, in) != 8 || memcmp(start, "\x93NUMPY", 6)) return 0;
    size_t wide = start[6] == 1 ? 2 : 4;
    if (fread(size, 1, wide, in) != wide) return 0;
    size_t length = (size_t)size[0] | (size_t)size[1] << 8 | (size_t)size[2] << 16 | (size_t)size[3] << 24;
    if (length > MOST_HEADER || fread(text, 1, length, in) != length) return 0;
    text[length] = 0;
    return 1;
}

/* Bytes of a value, and how many there are; 0: not a plain vector of floating-point numbers. */
static int parse_header(const char *text, int64_t *n) {
    const char *shape = strstr(text, "'shape': (");
    char *end;
    if (!shape) return 0;
    *n = strtoll(shape + 10, &end, 10);
    if (*end == ',') end++;
    if (*end != ')' || *n < 0) return 0;
    return strstr(text, "'descr': '<f4'") ? 4 : strstr(text, "'descr': '<f8'") ? 8 : 0;
}

static int read_values(FILE *in, int width, int64_t n, pitot_real *out) {
    for (int64_t i = 0; i < n; i++) {
        float single;
        double wide;
        if (width == 4 ? fread(&single, 4, 1, in) != 1 : fread(&wide, 8, 1, in) != 1) return 0;
        out[i] = (pitot_real)(width == 4 ? (double)single : wide);
    }
    return fgetc(in) == EOF;
}

pitot_real *vector_read(const char *file, int64_t n, pitot_error *error) {
    char text[MOST_HEADER + 1];
    int64_t there = 0;
    FILE *in = fopen(file, "rb");
    if (!in) return pitot_fail(error, PITOT_EIO, "%s: cannot be opened", file), NULL;
    int width = read_header(in, text) ? parse_header(text, &there) : 0;
    pitot_real *v = width && there == n ? calloc((size_t)n + 1, sizeof *v) : NULL;
    if (!width)
        pitot_fail(error, PITOT_EFORMAT, "%s: is not a one-dimensional .npy array of float32 or float64; save one with numpy.save",
                   file);
    else if (there != n)
        pitot_fail(error, PITOT_EMISMATCH, "%s: has %lld values, the model has %lld parameters", file, (long long)there,
                   (long long)n);
    else if (!v) pitot_fail(error, PITOT_ENOMEM, "%s: no memory for %lld values", file, (long long)n);
    else if (!read_values(in, width, n, v)) {
        pitot_fail(error, PITOT_EFORMAT, "%s: has not as many values as its header says; it is damaged", file);
        free(v);
        v = NULL;
    }
    fclose(in);
    return v;
}
