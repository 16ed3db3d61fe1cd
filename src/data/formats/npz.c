/* npz.c: NumPy archives: a ZIP file (with ZIP64, stored or deflated) of .npy arrays.

   Read through the central directory, since numpy's local headers need not carry sizes. All sizes are checked against the file
   before memory is asked for: deflate cannot expand by more than 1032, and an array's shape must account for each of its bytes.
   Object arrays are Python pickles, which can run code when loaded; they are refused. The peak is the file, its inflated arrays
   and the data set. */

#include "data/data.h"

#include "base/alloc.h"
#include "base/file.h"

#include <stdio.h>
#include <string.h>
#define ZLIB_CONST
#include <zlib.h>

static const int64_t MEMBER_LIMIT = (int64_t)8 << 30;
static const int64_t DEFLATE_RATIO = 1032; /* 258 bytes from two bits */
static const int64_t CLASS_LIMIT = INT32_MAX - 1;

enum { NPY_AXES = 8, WHERE_SIZE = 320 };

/* ---- ZIP ---- */

enum {
    END_RECORD = 22,
    END64_LOCATOR = 20,
    END64_RECORD = 56,
    CENTRAL_HEADER = 46,
    LOCAL_HEADER = 30,
    METHOD_STORED = 0,
    METHOD_DEFLATED = 8,
    FLAG_ENCRYPTED = 1
};

typedef struct zip {
    const char *path;
    const unsigned char *bytes;
    int64_t size;
    int64_t directory, directory_end, n; /* where the central directory is, and its entries */
} zip;

typedef struct member {
    int64_t name_size;
    const unsigned char *name;
    int64_t flags, method, crc;
    int64_t packed, size; /* bytes in the file and after inflating */
    int64_t local;        /* where its local header is */
} member;

static int64_t get(const zip *z, int64_t at, int width) {
    return (int64_t)data_load(z->bytes + at, width); /* from 2^63: negative, and refused as a size */
}

/* Is a record with this signature and at least `size` bytes at `at`? */
static int is_record(const zip *z, int64_t at, int64_t size, uint32_t signature) {
    return at >= 0 && at <= z->size - size && get(z, at, 4) == (int64_t)signature;
}

static int32_t fail_zip(const zip *z, const char *what, pitot_error *error) {
    return pitot_fail(error, PITOT_EFORMAT, "%s:directory: %s; save it again with numpy.savez", z->path, what);
}

/* The end record whose comment ends with the file; -1: none. */
static int64_t find_end(const zip *z) {
    int64_t last = z->size - END_RECORD, first = last - UINT16_MAX;
    for (int64_t at = last; at >= 0 && at >= first; at--) {
        if (is_record(z, at, END_RECORD, 0x06054b50u) && get(z, at + 20, 2) == last - at) return at;
    }
    return -1;
}

/* Replaces saturated fields of the end record at `end`; returns where what follows the directory begins, -1: damaged. */
static int64_t read_end64(zip *z, int64_t end, int64_t *extent) {
    int64_t locator = end - END64_LOCATOR;
    if (!is_record(z, locator, END64_LOCATOR, 0x07064b50u)) return -1;
    int64_t at = get(z, locator + 8, 8);
    if (!is_record(z, at, END64_RECORD, 0x06064b50u) || at > locator - END64_RECORD) return -1;
    z->n = get(z, at + 32, 8);
    *extent = get(z, at + 40, 8);
    z->directory = get(z, at + 48, 8);
    return at;
}

static int32_t open_zip(zip *z, pitot_error *error) {
    int64_t end = find_end(z), extent, limit = end;
    if (end < 0) return fail_zip(z, "not a ZIP file, or cut short", error);
    if (get(z, end + 4, 2) != get(z, end + 6, 2)) return fail_zip(z, "one part of several", error);
    z->n = get(z, end + 10, 2);
    extent = get(z, end + 12, 4);
    z->directory = get(z, end + 16, 4);
    if (z->n == UINT16_MAX || extent == UINT32_MAX || z->directory == UINT32_MAX) limit = read_end64(z, end, &extent);
    if (limit < 0 || z->directory < 0 || extent < 0 || z->n < 0 || z->directory > limit || extent > limit - z->directory) {
        return fail_zip(z, "it lies outside the file", error);
    }
    z->directory_end = z->directory + extent;
    return PITOT_OK;
}

/* Takes sizes that do not fit 32 bits from the extra field [at, end). 0: damaged. */
static int read_extra64(const zip *z, int64_t at, int64_t end, member *m) {
    int64_t *const wide[3] = { &m->size, &m->packed, &m->local };
    for (int64_t extent; at + 4 <= end; at += 4 + extent) {
        extent = get(z, at + 2, 2);
        if (extent > end - at - 4) return 0;
        if (get(z, at, 2) != 1) continue;
        int64_t from = at + 4, stop = from + extent;
        for (int i = 0; i < 3; i++) {
            if (*wide[i] != UINT32_MAX) continue;
            if (stop - from < 8) return 0;
            *wide[i] = get(z, from, 8);
            from += 8;
        }
        return m->size >= 0 && m->packed >= 0 && m->local >= 0;
    }
    return 1;
}

/* Reads the directory's entry at `at`; returns where the next one begins, -1: damaged. */
static int64_t read_entry(const zip *z, int64_t at, member *m) {
    if (at > z->directory_end - CENTRAL_HEADER || !is_record(z, at, CENTRAL_HEADER, 0x02014b50u)) return -1;
    int64_t name = at + CENTRAL_HEADER, extra = name + get(z, at + 28, 2), comment = extra + get(z, at + 30, 2);
    int64_t next = comment + get(z, at + 32, 2);
    if (next > z->directory_end) return -1;
    *m = (member){ .name_size = extra - name,
                   .name = z->bytes + name,
                   .flags = get(z, at + 8, 2),
                   .method = get(z, at + 10, 2),
                   .crc = get(z, at + 16, 4),
                   .packed = get(z, at + 20, 4),
                   .size = get(z, at + 24, 4),
                   .local = get(z, at + 42, 4) };
    return read_extra64(z, extra, comment, m) ? next : -1;
}

/* The member NAME.npy; *found 0 if there is none. Walks the whole directory, so that damage anywhere in it is noticed. */
static int32_t find_member(const zip *z, const char *name, member *m, int *found, pitot_error *error) {
    int64_t at = z->directory;
    size_t length = strlen(name);
    *found = 0;
    for (int64_t i = 0; i < z->n; i++) {
        member other;
        at = read_entry(z, at, &other);
        if (at < 0) break;
        if (other.name_size != (int64_t)length + 4 || memcmp(other.name, name, length) != 0) continue;
        if (memcmp(other.name + length, ".npy", 4) != 0) continue;
        if (*found) return pitot_fail(error, PITOT_EFORMAT, "%s:%s.npy: present twice; keep one", z->path, name);
        *m = other;
        *found = 1;
    }
    return at == z->directory_end ? PITOT_OK : fail_zip(z, "damaged", error);
}

/* Where the member's bytes begin, after a look at its local header; -1: damaged. */
static int64_t locate(const zip *z, const member *m) {
    if (m->local > z->directory - LOCAL_HEADER || !is_record(z, m->local, LOCAL_HEADER, 0x04034b50u)) return -1;
    int64_t name = m->local + LOCAL_HEADER, name_size = get(z, m->local + 26, 2);
    int64_t data = name + name_size + get(z, m->local + 28, 2);
    if (name_size != m->name_size || data > z->directory || m->packed > z->directory - data) return -1;
    return memcmp(z->bytes + name, m->name, (size_t)name_size) == 0 ? data : -1;
}

/* Exactly `packed` bytes of raw deflate to exactly `size`: 1, else 0. zlib counts in 32 bits, hence the pieces. */
static int inflate_raw(const unsigned char *from, int64_t packed, unsigned char *to, int64_t size) {
    const int64_t piece = (int64_t)1 << 30;
    int code = Z_OK;
    z_stream s;
    memset(&s, 0, sizeof s);
    if (inflateInit2(&s, -MAX_WBITS) != Z_OK) return 0;
    while (code == Z_OK) {
        int64_t in = packed < piece ? packed : piece, out = size < piece ? size : piece;
        s.next_in = from;
        s.next_out = to;
        s.avail_in = (uInt)in;
        s.avail_out = (uInt)out;
        code = inflate(&s, Z_NO_FLUSH);
        from += in - (int64_t)s.avail_in;
        packed -= in - (int64_t)s.avail_in;
        to += out - (int64_t)s.avail_out;
        size -= out - (int64_t)s.avail_out;
    }
    inflateEnd(&s);
    return code == Z_STREAM_END && packed == 0 && size == 0;
}

/* ---- .npy ---- */

typedef struct array {
    char where[WHERE_SIZE];   /* "FILE:x.npy", for messages */
    const unsigned char *npy; /* the member; NULL: not there */
    unsigned char *inflated;  /* owned, or NULL */
    int64_t npy_size;
    char kind; /* 'f', 'i', 'u' or 'b' as in NumPy */
    int width; /* bytes per value */
    int big_endian, fortran;
    int32_t n_dim;
    int64_t shape[NPY_AXES];
    int64_t n; /* values */
    const unsigned char *values;
} array;

/* Leaves the member's bytes in npy and npy_size. */
static int32_t load_member(const zip *z, const member *m, array *a, pitot_error *error) {
    int64_t at = locate(z, m);
    if (m->flags & FLAG_ENCRYPTED) return pitot_fail(error, PITOT_ENOTSUP, "%s: encrypted; save it without", a->where);
    if (m->method != METHOD_STORED && m->method != METHOD_DEFLATED) {
        return pitot_fail(error, PITOT_ENOTSUP, "%s: compressed by method %d; save it with numpy.savez", a->where, (int)m->method);
    }
    if (at < 0 || m->size > MEMBER_LIMIT || (m->method == METHOD_STORED && m->size != m->packed) ||
        m->size / DEFLATE_RATIO > m->packed) {
        return pitot_fail(error, PITOT_EFORMAT, "%s: its directory entry makes no sense; save it again", a->where);
    }
    a->npy = z->bytes + at;
    a->npy_size = m->size;
    if (m->method == METHOD_DEFLATED) {
        a->inflated = mem_alloc(m->size, 1);
        if (!a->inflated) return pitot_fail(error, PITOT_ENOMEM, "%s: no memory for %lld bytes", a->where, (long long)m->size);
        if (!inflate_raw(a->npy, m->packed, a->inflated, m->size)) {
            return pitot_fail(error, PITOT_EFORMAT, "%s: its compressed bytes are damaged; save it again", a->where);
        }
        a->npy = a->inflated;
    }
    if ((int64_t)crc32_z(0, a->npy, (z_size_t)m->size) != m->crc) {
        return pitot_fail(error, PITOT_EFORMAT, "%s: its checksum is wrong; save or copy it again", a->where);
    }
    return PITOT_OK;
}

/* A cursor in the header: the literal of a Python dict in ASCII. */
typedef struct literal {
    const char *at, *end;
} literal;

static void skip_spaces(literal *l) {
    while (l->at < l->end && (*l->at == ' ' || *l->at == '\n' || *l->at == '\t')) l->at++;
}

/* Consumes `word` if it is next. */
static int take(literal *l, const char *word) {
    size_t n = strlen(word);
    skip_spaces(l);
    if ((size_t)(l->end - l->at) < n || memcmp(l->at, word, n) != 0) return 0;
    l->at += n;
    return 1;
}

/* A string in either quotes, without escapes, cut to fit; 0: there is none. */
static int take_string(literal *l, char *text, size_t size) {
    skip_spaces(l);
    if (l->at == l->end || (*l->at != '\'' && *l->at != '"')) return 0;
    const char *from = l->at + 1, *to = memchr(from, *l->at, (size_t)(l->end - from));
    if (!to) return 0;
    data_printable(text, size, from, (size_t)(to - from));
    l->at = to + 1;
    return 1;
}

static int take_number(literal *l, int64_t *value) {
    skip_spaces(l);
    const char *from = l->at;
    *value = 0;
    for (; l->at < l->end && *l->at >= '0' && *l->at <= '9'; l->at++) {
        if (!data_multiply(*value, 10, value) || *value > INT64_MAX - 9) return 0;
        *value += *l->at - '0';
    }
    return l->at > from;
}

/* (), (3,) or (3, 4): PITOT_OK, or a status without a message. */
static int32_t take_shape(literal *l, array *a) {
    if (!take(l, "(")) return PITOT_EFORMAT;
    while (!take(l, ")")) {
        int64_t extent;
        if (!take_number(l, &extent)) return PITOT_EFORMAT;
        if (a->n_dim == NPY_AXES) return PITOT_ENOTSUP;
        a->shape[a->n_dim++] = extent;
        take(l, "L"); /* Python 2 */
        if (!take(l, ",") && (l->at == l->end || *l->at != ')')) return PITOT_EFORMAT;
    }
    return PITOT_OK;
}

/* "<f4": byte order, kind, width. */
static int32_t parse_type(array *a, const char *type, pitot_error *error) {
    static const char *const known[] = { "b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8" };
    const char *kind = type + (type[0] == '<' || type[0] == '>' || type[0] == '|' || type[0] == '=');
    if (kind[0] == 'O') {
        return pitot_fail(error, PITOT_ENOTSUP,
                          "%s:descr: an object array is a Python pickle, which can run code; convert it to a numeric dtype",
                          a->where);
    }
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(kind, known[i]) != 0) continue;
        const uint16_t one = 1;
        unsigned char low;
        memcpy(&low, &one, 1);
        a->kind = kind[0];
        a->width = kind[1] - '0';
        a->big_endian = type[0] == '>' || (type[0] != '<' && low == 0);
        return PITOT_OK;
    }
    return pitot_fail(error, PITOT_ENOTSUP, "%s:descr: dtype '%s' is not supported; save it as float32, uint8 or int64", a->where,
                      type);
}

static int32_t take_type(literal *l, array *a, pitot_error *error) {
    char type[32];
    if (take(l, "[")) return pitot_fail(error, PITOT_ENOTSUP, "%s:descr: a record dtype; save plain arrays", a->where);
    return take_string(l, type, sizeof type) ? parse_type(a, type, error) : PITOT_EFORMAT;
}

static int32_t take_order(literal *l, array *a) {
    a->fortran = take(l, "True");
    return a->fortran || take(l, "False") ? PITOT_OK : PITOT_EFORMAT;
}

/* One "key: value"; each key once. `seen`: bits of the keys so far. */
static int32_t parse_entry(literal *l, array *a, int *seen, pitot_error *error) {
    static const char *const keys[3] = { "descr", "fortran_order", "shape" };
    char key[32];
    int k = 0;
    int32_t status = PITOT_EFORMAT;
    if (take_string(l, key, sizeof key) && take(l, ":")) {
        while (k < 3 && strcmp(key, keys[k]) != 0) k++;
        if (k < 3 && !(*seen & 1 << k)) {
            *seen |= 1 << k;
            status = k == 0 ? take_type(l, a, error) : k == 1 ? take_order(l, a) : take_shape(l, a);
        }
    }
    if (status == PITOT_ENOTSUP) return pitot_fail(error, status, "%s:shape: more than %d axes; reshape it", a->where, NPY_AXES);
    if (status != PITOT_OK) return pitot_fail(error, status, "%s:header: damaged; save it again with numpy", a->where);
    return PITOT_OK;
}

/* {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } */
static int32_t parse_header(array *a, literal l, pitot_error *error) {
    int seen = 0, good = take(&l, "{"), more = 1;
    while (good && !take(&l, "}")) {
        if (!more) break;
        int32_t status = parse_entry(&l, a, &seen, error);
        if (status != PITOT_OK) return status;
        more = take(&l, ",");
    }
    good = good && l.at[-1] == '}' && seen == 7;
    skip_spaces(&l);
    if (!good || l.at != l.end) return pitot_fail(error, PITOT_EFORMAT, "%s:header: damaged; save it again with numpy", a->where);
    return PITOT_OK;
}

/* The shape must account for every byte from `at`. */
static int32_t measure(array *a, int64_t at, pitot_error *error) {
    int64_t bytes = 0;
    int good = 1;
    a->n = 1;
    for (int32_t i = 0; i < a->n_dim; i++) good = good && data_multiply(a->n, a->shape[i], &a->n);
    if (!good || !data_multiply(a->n, a->width, &bytes) || bytes != a->npy_size - at) {
        return pitot_fail(error, PITOT_EFORMAT, "%s:shape: does not match the %lld bytes that follow the header; save it again",
                          a->where, (long long)(a->npy_size - at));
    }
    a->values = a->npy + at;
    return PITOT_OK;
}

static int32_t parse_npy(array *a, pitot_error *error) {
    int64_t prefix = a->npy_size >= 8 && a->npy[6] == 1 ? 10 : 12, header;
    if (a->npy_size < prefix || memcmp(a->npy, "\x93NUMPY", 6) != 0) {
        return pitot_fail(error, PITOT_EFORMAT, "%s:header: not a .npy array; save it again with numpy", a->where);
    }
    if (a->npy[6] < 1 || a->npy[6] > 3 || a->npy[7] != 0) {
        return pitot_fail(error, PITOT_ENOTSUP, "%s:header: .npy version %d.%d; versions 1.0 to 3.0 are known", a->where, a->npy[6],
                          a->npy[7]);
    }
    header = (int64_t)data_load(a->npy + 8, (int)prefix - 8);
    if (header > a->npy_size - prefix) {
        return pitot_fail(error, PITOT_EFORMAT, "%s:header: longer than the array; save it again with numpy", a->where);
    }
    literal l = { (const char *)a->npy + prefix, (const char *)a->npy + prefix + header };
    int32_t status = parse_header(a, l, error);
    return status == PITOT_OK ? measure(a, prefix + header, error) : status;
}

/* Reads NAME.npy. Not there: PITOT_OK, and a->npy stays NULL. */
static int32_t read_array(const zip *z, const char *name, array *a, pitot_error *error) {
    member m;
    int found;
    int32_t status = find_member(z, name, &m, &found, error);
    if (status != PITOT_OK || !found) return status;
    snprintf(a->where, sizeof a->where, "%s:%s.npy", z->path, name);
    status = load_member(z, &m, a, error);
    return status == PITOT_OK ? parse_npy(a, error) : status;
}

static uint64_t load_bits(const array *a, const unsigned char *p) {
    if (!a->big_endian) return data_load(p, a->width);
    uint64_t bits = 0;
    for (int i = 0; i < a->width; i++) bits = bits << 8 | p[i];
    return bits;
}

/* An integer of the array; unsigned ones from 2^63 as INT64_MAX, which no class reaches. */
static int64_t load_integer(const array *a, const unsigned char *p) {
    uint64_t bits = load_bits(a, p), sign = (uint64_t)1 << (8 * a->width - 1);
    if (a->kind != 'i') return bits > INT64_MAX ? INT64_MAX : (int64_t)bits;
    return bits & sign ? -1 - (int64_t)(~bits & (sign - 1)) : (int64_t)bits;
}

static pitot_real load_real(const array *a, const unsigned char *p) {
    if (a->kind == 'u') return (pitot_real)load_bits(a, p);
    if (a->kind != 'f') return (pitot_real)load_integer(a, p);
    if (a->width == 2) return bits_half((uint32_t)load_bits(a, p));
    if (a->width == 4) return bits_float((uint32_t)load_bits(a, p));
    return (pitot_real)bits_double(load_bits(a, p));
}

/* Over an array's values in C order, whatever their order in memory. */
typedef struct walk {
    int64_t at[NPY_AXES], stride[NPY_AXES]; /* strides in bytes */
    const unsigned char *p;
} walk;

static walk walk_start(const array *a) {
    walk w = { .p = a->values };
    int64_t stride = a->width;
    for (int32_t i = 0; i < a->n_dim; i++) {
        int32_t d = a->fortran ? i : a->n_dim - 1 - i;
        w.stride[d] = stride;
        stride *= a->shape[d];
    }
    return w;
}

static void walk_next(const array *a, walk *w) {
    int64_t offset = 0;
    for (int32_t d = a->n_dim - 1; d >= 0; d--) {
        offset += w->stride[d];
        if (++w->at[d] < a->shape[d]) break;
        offset -= w->stride[d] * a->shape[d];
        w->at[d] = 0;
    }
    w->p += offset;
}

/* to (a->n) */
static void copy_reals(const array *a, pitot_real *to) {
    walk w = walk_start(a);
    for (int64_t i = 0; i < a->n; i++, walk_next(a, &w)) to[i] = load_real(a, w.p);
}

/* to (a->n), whose values check_classes found to be classes */
static void copy_classes(const array *a, int32_t *to) {
    walk w = walk_start(a);
    for (int64_t i = 0; i < a->n; i++, walk_next(a, &w)) to[i] = (int32_t)load_integer(a, w.p);
}

/* ---- samples and labels ---- */

typedef struct part { /* training or validation */
    array x, y;
} part;

static int is_float(const array *a) {
    return a->kind == 'f';
}

/* Raises *n_classes to the largest class and one. */
static int32_t check_classes(const array *y, int64_t *n_classes, pitot_error *error) {
    walk w = walk_start(y);
    for (int64_t i = 0; i < y->n; i++, walk_next(y, &w)) {
        int64_t label = load_integer(y, w.p);
        if (label < 0 || label > CLASS_LIMIT) {
            return pitot_fail(error, PITOT_EFORMAT,
                              "%s:sample %lld: class %lld; classes count from 0 (save y as float for regression)", y->where,
                              (long long)i, (long long)label);
        }
        *n_classes = label + 1 > *n_classes ? label + 1 : *n_classes;
    }
    return PITOT_OK;
}

/* y is (N), (N,1) or, as floats, (N,k), and as long as x. */
static int32_t check_part(const part *p, int64_t *n_classes, pitot_error *error) {
    const array *x = &p->x, *y = &p->y;
    if (x->n_dim < 1) return pitot_fail(error, PITOT_EFORMAT, "%s:shape: a single number; x is (N, ...)", x->where);
    if (x->n < 1 || y->n < 1) {
        return pitot_fail(error, PITOT_EFORMAT, "%s:shape: without values; save at least one sample",
                          x->n < 1 ? x->where : y->where);
    }
    if (y->n_dim < 1 || y->n_dim > 2 || (!is_float(y) && y->n_dim == 2 && y->shape[1] != 1)) {
        return pitot_fail(error, PITOT_ENOTSUP, "%s:shape: %d axes; y is (N) integers, or (N) or (N,k) floats", y->where,
                          (int)y->n_dim);
    }
    if (x->shape[0] != y->shape[0]) {
        return pitot_fail(error, PITOT_EMISMATCH, "%s:shape: %lld labels for %lld samples; save as many of both", y->where,
                          (long long)y->shape[0], (long long)x->shape[0]);
    }
    return is_float(y) ? PITOT_OK : check_classes(y, n_classes, error);
}

static int64_t target_size(const array *y) {
    return y->n_dim == 2 ? y->shape[1] : 1;
}

/* Do the validation samples look like the training samples? */
static int32_t check_alike(const part *train, const part *valid, pitot_error *error) {
    const array *a = &train->x, *b = &valid->x;
    size_t extents = (size_t)(a->n_dim - 1) * sizeof a->shape[0];
    if (a->n_dim != b->n_dim || memcmp(a->shape + 1, b->shape + 1, extents) != 0) {
        return pitot_fail(error, PITOT_EMISMATCH, "%s:shape: samples of another shape than in %s; save them alike", b->where,
                          a->where);
    }
    if (is_float(&train->y) != is_float(&valid->y) || (is_float(&train->y) && target_size(&train->y) != target_size(&valid->y))) {
        return pitot_fail(error, PITOT_EMISMATCH, "%s: labels of another kind than in %s; save them alike", valid->y.where,
                          train->y.where);
    }
    return PITOT_OK;
}

static int32_t describe(pitot_data *data, const part *train, const part *valid, pitot_error *error) {
    static const int64_t single[1] = { 1 }; /* x (N): samples of one value */
    const array *x = &train->x;
    int64_t n_train = x->shape[0], n_valid = valid->x.npy ? valid->x.shape[0] : 0; /* both at most the file's size: no overflow */
    if (x->n_dim == 1) return data_describe(data, n_train + n_valid, n_train, single, 1, x->where, error);
    return data_describe(data, n_train + n_valid, n_train, x->shape + 1, x->n_dim - 1, x->where, error);
}

static void copy_part(pitot_data *data, int64_t first, const part *p) {
    if (!p->x.npy) return;
    copy_reals(&p->x, data->reals + first * data->size);
    if (data->classes) {
        copy_classes(&p->y, data->classes + first);
    } else {
        copy_reals(&p->y, data->targets + first * data->target_size);
    }
}

static int32_t assemble(pitot_data *data, const part *train, const part *valid, pitot_error *error) {
    int64_t n_classes = 0;
    int32_t status = check_part(train, &n_classes, error);
    if (status == PITOT_OK && valid->x.npy) status = check_part(valid, &n_classes, error);
    if (status == PITOT_OK && valid->x.npy) status = check_alike(train, valid, error);
    if (status == PITOT_OK) status = describe(data, train, valid, error);
    if (status == PITOT_OK) status = data_alloc_reals(data, error);
    if (status == PITOT_OK) {
        status = is_float(&train->y) ? data_alloc_targets(data, target_size(&train->y), error)
                                     : data_alloc_classes(data, n_classes, error);
    }
    if (status == PITOT_OK) {
        copy_part(data, 0, train);
        copy_part(data, data->n_train, valid);
    }
    return status;
}

/* Reads x<suffix> and y<suffix>: both or none. */
static int32_t read_part(const zip *z, const char *suffix, part *p, pitot_error *error) {
    char x[16], y[16];
    snprintf(x, sizeof x, "x%s", suffix);
    snprintf(y, sizeof y, "y%s", suffix);
    int32_t status = read_array(z, x, &p->x, error);
    if (status == PITOT_OK) status = read_array(z, y, &p->y, error);
    if (status == PITOT_OK && !p->x.npy != !p->y.npy) {
        return pitot_fail(error, PITOT_EFORMAT, "%s:%s.npy: missing, but there is %s; save both", z->path, p->x.npy ? y : x,
                          p->x.npy ? x : y);
    }
    return status;
}

static void free_part(part *p) {
    mem_free(p->x.inflated);
    mem_free(p->y.inflated);
    memset(p, 0, sizeof *p);
}

static int32_t read_parts(const zip *z, part *train, part *valid, pitot_error *error) {
    member m;
    int plain, keras;
    int32_t status = find_member(z, "x", &m, &plain, error);
    if (status == PITOT_OK) status = find_member(z, "x_train", &m, &keras, error);
    if (status == PITOT_OK && plain && keras) {
        return pitot_fail(error, PITOT_EFORMAT, "%s:x.npy: there is x_train as well; keep one of them", z->path);
    }
    if (status == PITOT_OK) status = read_part(z, plain ? "" : "_train", train, error);
    if (status == PITOT_OK && !train->x.npy) {
        return pitot_fail(error, PITOT_EFORMAT, "%s:directory: holds no x and y; save it with numpy.savez(FILE, x=..., y=...)",
                          z->path);
    }
    if (status == PITOT_OK) status = read_part(z, "_val", valid, error);
    if (status == PITOT_OK && !valid->x.npy) status = read_part(z, "_test", valid, error);
    return status;
}

static int32_t npz_open(const char *argument, pitot_data *data, pitot_error *error) {
    zip z = { .path = argument };
    part train, valid;
    if (!argument[0]) return pitot_fail(error, PITOT_EINVAL, "npz: no file given; write npz:FILE");
    unsigned char *image = file_read(argument, 0, &z.size, error);
    if (!image) return PITOT_EIO;
    z.bytes = image;
    memset(&train, 0, sizeof train);
    memset(&valid, 0, sizeof valid);
    int32_t status = open_zip(&z, error);
    if (status == PITOT_OK) status = read_parts(&z, &train, &valid, error);
    if (status == PITOT_OK) status = assemble(data, &train, &valid, error);
    free_part(&train);
    free_part(&valid);
    mem_free(image);
    return status;
}

extern const pitot_data_format data_format_npz;
const pitot_data_format data_format_npz = {
    .struct_size = sizeof(pitot_data_format),
    .abi = PITOT_ABI,
    .name = "npz",
    .spec = "npz:FILE",
    .summary = "NumPy archive with arrays x and y",
    .details =
        "numpy.savez or savez_compressed of x (N, ...), read as floats without scaling, and y: integers (N) are classes, floats "
        "(N) or (N,k) are targets. All samples train, unless there are x_val and y_val, or x_test and y_test; x_train and "
        "y_train may stand for x and y. Any numeric dtype, byte order and memory order; object arrays are refused.",
    .open = npz_open,
};
