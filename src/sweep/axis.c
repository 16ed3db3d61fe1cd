/* axis.c: see axis.h. */

#include "sweep/axis.h"

#include <math.h>
#include <string.h>

enum { NEAR = 8, MOST_GUESSED = 1 << 20 }; /* units in the last place around edge/scale that are tried first */

#ifdef PITOT_DOUBLE
typedef uint64_t bits;
#else
typedef uint32_t bits;
#endif
static const bits sign = (bits)1 << (8 * sizeof(bits) - 1);

/* Whole numbers in the order of the values; both zeros are 0. */
static int64_t key_of(pitot_real x) {
    bits b;
    memcpy(&b, &x, sizeof b);
    return b & sign ? -(int64_t)(b ^ sign) : (int64_t)b;
}

static pitot_real of_key(int64_t key) {
    bits b = key < 0 ? (bits)-key | sign : (bits)key;
    pitot_real x;
    memcpy(&x, &b, sizeof x);
    return x;
}

static int is_below(double scale, double edge, int64_t key) {
    double value = scale * (double)of_key(key);
    return scale > 0 ? value < edge : value >= edge;
}

/* The least x with scale*x >= edge, or, for scale < 0, with scale*x < edge. */
static pitot_real least_beyond(double scale, double edge) {
    int64_t end = key_of((pitot_real)INFINITY), key = key_of((pitot_real)(edge / scale));
    int64_t low = most(key - NEAR, -end), high = least(key + NEAR, end);
    if (!is_below(scale, edge, low)) low = -end;
    if (is_below(scale, edge, high)) high = end;
    while (low + 1 < high) {
        int64_t middle = (low & high) + ((low ^ high) >> 1);
        if (is_below(scale, edge, middle)) low = middle;
        else high = middle;
    }
    return of_key(high);
}

void axis_lay_out(axis *a, int64_t bins, arena *room) {
    a->bins = bins;
    a->from = arena_take(room, 1, bins + 1, sizeof *a->from);
    a->beyond = arena_take(room, 1, bins + 1, sizeof *a->beyond);
}

/* Rounding keeps order here, too: what holds on both sides of every edge holds between them. */
static int guess_holds(const axis *a) {
    if (a->bins > MOST_GUESSED) return 0;
    for (int64_t k = 1; k < a->bins; k++)
        if (axis_guess(a, a->from[k]) < k - 1 || axis_guess(a, of_key(key_of(a->from[k]) - 1)) > k - 1) return 0;
    return 1;
}

void axis_make(axis *a, const double *edges, double scale) {
    double begin = edges[scale < 0 ? a->bins : 0] / scale, end = edges[scale < 0 ? 0 : a->bins] / scale;
    a->reversed = scale < 0;
    a->zero = 0;
    a->from[0] = a->from[a->bins] = a->beyond[0] = a->beyond[a->bins] = (pitot_real)NAN;
    for (int64_t k = 1; k < a->bins; k++) {
        pitot_real x = least_beyond(scale, edges[a->reversed ? a->bins - k : k]);
        a->from[k] = x;
        a->beyond[k] = x > 0 ? x : of_key(1 - key_of(x));
        if (x <= 0) a->zero = k;
    }
    a->first = (pitot_real)(begin + (end - begin) / (double)a->bins * 0x1p-10); /* rather too low than too high */
    a->per = (pitot_real)((double)a->bins / (end - begin));
    a->last = (pitot_real)(a->bins - 1);
    a->guesses = guess_holds(a);
}

int64_t axis_search(const axis *a, pitot_real x) {
    int64_t low = 0, high = a->bins;
    while (low + 1 < high) {
        int64_t middle = low + (high - low) / 2;
        if (x >= a->from[middle]) low = middle;
        else high = middle;
    }
    return low;
}
