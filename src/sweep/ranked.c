/* ranked.c: see ranked.h. Sorted byte by byte, from the lowest: the order of the magnitudes is that of their bits. */

#include "sweep/ranked.h"

#include <math.h>
#include <string.h>

enum { FEW = 40, BYTES = sizeof(pitot_real) };

#ifdef PITOT_DOUBLE
typedef uint64_t bits;
#else
typedef uint32_t bits;
#endif

static inline pitot_real magnitude_of(pitot_real x) {
    return (pitot_real)fabs((double)x);
}

/* Greater for smaller magnitudes. */
static inline bits key_of(pitot_real x) {
    bits b;
    memcpy(&b, &x, sizeof b);
    return ~(bits)(b << 1);
}

static void insert_all(ranked *r, int64_t n) {
    for (int64_t i = 1; i < n; i++) {
        ranked x = r[i];
        int64_t k = i;
        for (; k > 0 && key_of(r[k - 1].v) > key_of(x.v); k--) r[k] = r[k - 1];
        r[k] = x;
    }
}

/* Returns where the result stands: r or scratch. */
static ranked *sort_bytes(ranked *r, int64_t n, ranked *scratch) {
    int32_t start[BYTES][256] = { { 0 } };
    for (int64_t i = 0; i < n; i++) {
        bits key = key_of(r[i].v);
        for (int b = 0; b < BYTES; b++) start[b][key >> 8 * b & 255]++;
    }
    for (int b = 0; b < BYTES; b++) {
        int32_t *at = start[b], all = 0;
        if (at[key_of(r[0].v) >> 8 * b & 255] == n) continue;
        for (int k = 0; k < 256; k++) {
            int32_t count = at[k];
            at[k] = all;
            all += count;
        }
        for (int64_t i = 0; i < n; i++) scratch[at[key_of(r[i].v) >> 8 * b & 255]++] = r[i];
        ranked *other = r;
        r = scratch;
        scratch = other;
    }
    return r;
}

int64_t rank_values(const pitot_real *x, int64_t d, pitot_real factor, pitot_real bound, ranked *out, ranked *scratch) {
    int64_t n = 0;
    for (int64_t i = 0; i < d; i++) {
        out[n] = (ranked){ x[i], (int32_t)i };
        n += magnitude_of(x[i]) * factor >= bound;
    }
    if (n <= FEW) insert_all(out, n);
    else if (sort_bytes(out, n, scratch) == scratch) memcpy(out, scratch, (size_t)n * sizeof *out);
    out[n] = (ranked){ 0, 0 };
    return n;
}

int64_t select_values(const pitot_real *x, int64_t d, pitot_real factor, pitot_real bound, pitot_real *out) {
    int64_t n = 0;
    for (int64_t i = 0; i < d; i++) {
        out[n] = x[i];
        n += magnitude_of(x[i]) * factor >= bound;
    }
    return n;
}

/* ---- the ladder ---- */

static inline int32_t step_of(const ladder *l, pitot_real magnitude) {
    pitot_real y = (l->magnitude[1] - magnitude) * l->per, last = (pitot_real)(l->steps - 1);
    y = y > 0 ? y : 0;
    return (int32_t)(y < last ? y : last);
}

void ladder_make(ladder *l, const ranked *value, int64_t n) {
    l->n = n;
    l->magnitude[0] = (pitot_real)INFINITY;
    l->positive[0] = 0;
    for (int64_t i = 0; i < n; i++) {
        l->magnitude[i + 1] = magnitude_of(value[i].v);
        l->positive[i + 1] = l->positive[i] + (value[i].v > 0);
    }
    l->magnitude[n + 1] = 0;
    l->steps = n < LADDER_STEPS ? (int32_t)n + 1 : LADDER_STEPS;
    l->per = n ? (pitot_real)l->steps / (l->magnitude[1] - l->magnitude[n]) : 0; /* infinite for equal ones: all in one step */
    for (int32_t k = 0; k <= l->steps; k++) l->start[k] = 0;
    for (int64_t i = 0; i < n; i++) l->start[step_of(l, l->magnitude[i + 1]) + 1] = (int32_t)i + 1;
    for (int32_t k = 0; k < l->steps; k++) l->start[k + 1] = l->start[k + 1] > l->start[k] ? l->start[k + 1] : l->start[k];
}

static int64_t search(const ladder *l, pitot_real factor, pitot_real bound) {
    int64_t low = 0, high = l->n;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (factor * l->magnitude[1 + middle] >= bound) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* The step leads to within a few of them; few are passed without a branch. */
static inline int64_t count_of(const ladder *l, pitot_real factor, pitot_real bound) {
    const pitot_real *v = l->magnitude + 1;
    int64_t n = l->start[step_of(l, bound / factor)];
    n += factor * v[n] >= bound;
    n += factor * v[n] >= bound;
    if (factor * v[n] >= bound || factor * v[n - 1] < bound) return search(l, factor, bound);
    return n;
}

int64_t ladder_count(const ladder *given, int positive, pitot_real bound, pitot_real factor, pitot_real next, pitot_real *f,
                     int64_t n, int64_t *count) {
    const ladder l = *given;
    int64_t left = 0, all = 0;
    for (int64_t i = 0; i < n; i++) {
        pitot_real x = f[i], size = magnitude_of(x);
        int64_t here = count_of(&l, size, bound), plus = l.positive[here];
        all += (x > 0) == positive ? plus : here - plus;
        f[left] = x;
        left += size * factor >= next;
    }
    *count += all;
    return left;
}
