/* axis.c: ranges, scales and ticks. See view.h.

   A tick is an exact decimal, m x 10^e: labels come from the integers, never from a rounded double, so that ticks of
   2.0012, 2.0013 are told apart and 0.3 is never 0.30000000000000004. */

#include "format.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#define SAME 1e-12 /* ranges narrower than this, relative to their place, are one value */
#define PAD 0.04   /* of the width, at each end */

enum { MOST = 64 };

static double clamp(double v, double lo, double hi) {
    return v < lo ? lo : v > hi ? hi : v;
}

/* Of 0 and of what is not finite: below all others. */
static int floor_log10(double v) {
    double e = floor(log10(v));
    return isfinite(e) ? (int)e : -400;
}

/* ---- scales ---------------------------------------------------------------------------------------------------------- */

static double half_width(const axis *a) {
    return a->linear > 0 && isfinite(a->linear) ? a->linear : 1;
}

/* Symlog: one unit for the linear half, one for each decade beyond. */
static double bend(double v, double linear) {
    double size = fabs(v);
    return size <= linear ? v / linear : copysign(1 + log10(size) - log10(linear), v);
}

static double unbend(double p, double linear) {
    double size = fabs(p);
    double v = size <= 1 ? size * linear : pow(10, size - 1 + log10(linear));
    return copysign(fmin(v, DBL_MAX), p);
}

/* Asinh: the same far from zero, without a corner. Beyond 1e8 it is the logarithm of twice the value, which cannot overflow. */
static double bend_smoothly(double v, double linear) {
    double size = fabs(v);
    return copysign(size < 1e8 * linear ? asinh(size / linear) : log(size) + log(2) - log(linear), v);
}

static double unbend_smoothly(double p, double linear) {
    double size = fabs(p);
    double v = size < 18 ? linear * sinh(size) : exp(size - log(2) + log(linear));
    return copysign(fmin(v, DBL_MAX), p);
}

/* A value as a length along the axis, and back. */
static double along(const axis *a, double v) {
    if (a->scale == AXIS_LOG) return log10(v);
    if (a->scale == AXIS_SYMLOG) return bend(v, half_width(a));
    return a->scale == AXIS_ASINH ? bend_smoothly(v, half_width(a)) : v;
}

static double back(const axis *a, double p) {
    if (a->scale == AXIS_LOG) return fmax(pow(10, p), nextafter(0, 1));
    if (a->scale == AXIS_SYMLOG) return unbend(p, half_width(a));
    return a->scale == AXIS_ASINH ? unbend_smoothly(p, half_width(a)) : p;
}

static double between(double v, double lo, double hi) {
    double width = hi - lo;
    return isfinite(width) ? (v - lo) / width : (v / 2 - lo / 2) / (hi / 2 - lo / 2);
}

double axis_at(const axis *a, double v) {
    if (!isfinite(v) || (a->scale == AXIS_LOG && v <= 0)) return NAN;
    return between(along(a, v), along(a, a->lo), along(a, a->hi));
}

double axis_value(const axis *a, double at) {
    double lo = along(a, a->lo), hi = along(a, a->hi);
    double v = back(a, lo * (1 - at) + hi * at);
    return isnan(v) ? a->lo : clamp(v, -DBL_MAX, DBL_MAX);
}

/* ---- ranges ---------------------------------------------------------------------------------------------------------- */

static axis fit_linear(double lo, double hi) {
    double size = fmax(fabs(lo), fabs(hi)), half = hi / 2 - lo / 2;
    double pad = half > SAME * size ? 2 * PAD * half : size > 0 ? fmax(size / 10, DBL_MIN) : 1;
    return (axis){ AXIS_LINEAR, clamp(lo - pad, -DBL_MAX, DBL_MAX), clamp(hi + pad, -DBL_MAX, DBL_MAX), 0 };
}

static axis fit_log(double lo, double hi) {
    double a = log10(lo), b = log10(hi);
    double pad = b - a > SAME ? PAD * (b - a) : 0.5;
    double least = nextafter(0, 1);
    axis fit = { AXIS_LOG, clamp(pow(10, a - pad), least, lo), clamp(pow(10, b + pad), hi, DBL_MAX), 0 };
    if (fit.lo >= fit.hi) fit.hi = fit.lo * 2;
    return fit;
}

/* Symlog and asinh. The linear part reaches to the power of ten below the typical size, but leaves four decades at most to the
   logarithmic part. */
static axis fit_bent(int scale, double lo, double hi, double typical) {
    double size = fmax(fabs(lo), fabs(hi));
    if (size < DBL_MIN) return (axis){ scale, -1, 1, 1 };
    int top = floor_log10(size), e = floor_log10(typical);
    e = e < top - 3 ? top - 3 : e > top ? top : e;
    double linear = format_parse(1, e < -307 ? -307 : e);
    axis fit = { scale, lo, hi, linear };
    double a = along(&fit, lo), b = along(&fit, hi);
    double pad = b - a > SAME ? PAD * (b - a) : 0.5;
    fit.lo = back(&fit, a - pad);
    fit.hi = back(&fit, b + pad);
    if (fit.lo >= fit.hi) fit = fit_linear(lo, hi), fit.scale = scale, fit.linear = linear;
    return fit;
}

axis axis_fit(int scale, const double *v, int64_t n) {
    double lo = INFINITY, hi = -INFINITY, least = INFINITY, logs = 0;
    int64_t sized = 0;
    int bent = scale == AXIS_SYMLOG || scale == AXIS_ASINH;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(v[i])) continue;
        if (v[i] < lo) lo = v[i];
        if (v[i] > hi) hi = v[i];
        if (v[i] > 0 && v[i] < least) least = v[i];
        if (bent && v[i] != 0) logs += log10(fabs(v[i])), sized++;
    }
    if (lo > hi) return bent ? (axis){ scale, 0, 1, 1 } : (axis){ AXIS_LINEAR, 0, 1, 0 };
    if (scale == AXIS_LOG && hi > 0) return fit_log(least, hi);
    if (bent) return fit_bent(scale, lo, hi, sized ? pow(10, logs / (double)sized) : 0);
    return fit_linear(lo, hi);
}

/* ---- ticks ----------------------------------------------------------------------------------------------------------- */

typedef struct row { /* ticks being collected, ascending */
    tick *tick;
    int n, room;
    double lo, hi;
} row;

static int inside(const row *r, double v) {
    return v >= r->lo && v <= r->hi;
}

/* Appends m x 10^e if it lies on the axis; n counts also what there is no room for. */
static void put(row *r, int64_t m, int e, int shared, int minor) {
    double v = format_parse(m, e);
    if (!inside(r, v) || (r->n > 0 && r->n <= r->room && v <= r->tick[r->n - 1].value)) return; /* denormal numbers coincide */
    if (r->n < r->room) {
        tick *t = &r->tick[r->n];
        t->value = v;
        t->minor = minor;
        t->label[0] = 0;
        if (!minor) format_decimal(m, e, shared, t->label, sizeof t->label);
    }
    r->n++;
}

typedef struct comb { /* multiples first..last of (tenths/10) x 10^e */
    int64_t first, last;
    int tenths, e;
} comb;

/* After Talbot, Lin and Hanrahan (2010), "An extension of Wilkinson's algorithm for positioning tick labels on axes": the same
   preferred steps and weights, but only ticks inside the range, so that gaps at the ends are punished less. A round step, ticks
   near both ends, as many as wanted. */
static double comb_score(const comb *c, int rank, double lo, double hi, double step, int wanted) {
    double width = hi - lo, left = ((double)c->first * step - lo) / width, right = (hi - (double)c->last * step) / width;
    double simplicity = 1 - rank / 5.0 - (c->first <= 0 && c->last >= 0 ? 0 : 1);
    double coverage = 1 - 8 * (left * left + right * right);
    double dense = width / step / (wanted > 1 ? wanted - 1 : 1);
    return 0.25 * simplicity + 0.2 * coverage + 0.5 * (2 - fmax(dense, 1 / dense));
}

/* The best of them for lo..hi of everyday size; 0 if there is none. */
static int comb_find(double lo, double hi, int wanted, int room, comb *best) {
    static const int preferred[] = { 10, 50, 20, 25, 40, 30 };
    double best_score = -INFINITY;
    int middle = floor_log10((hi - lo) / wanted);
    for (int e = middle - 1; e <= middle + 3; e++) {
        for (int rank = 0; rank < 6; rank++) {
            double step = preferred[rank] * pow(10, e - 1);
            double first = ceil(lo / step - 1e-9), last = floor(hi / step + 1e-9);
            if (fabs(first) > 1e16 || fabs(last) > 1e16 || last < first || last - first + 1 > room) continue;
            comb c = { (int64_t)first, (int64_t)last, preferred[rank], e };
            double score = comb_score(&c, rank, lo, hi, step, wanted);
            if (score > best_score) best_score = score, *best = c;
        }
    }
    return best_score > -INFINITY;
}

static void linear_ticks(row *r, int wanted) {
    double size = fmax(fabs(r->lo), fabs(r->hi));
    int shift = size > 1e250 ? 100 : size < 1e-150 ? -100 : 0; /* away from overflow and from denormal numbers */
    double scale = shift > 0 ? 1e-100 : shift < 0 ? 1e100 : 1;
    comb c = { 0, 0, 10, 0 };
    if (!comb_find(r->lo * scale, r->hi * scale, wanted, r->room, &c)) return;
    c.e += shift - 1;
    if (c.tenths % 10 == 0) c.tenths /= 10, c.e++;
    int64_t most = llabs((long long)c.first) > llabs((long long)c.last) ? c.first : c.last;
    double largest = fabs(format_parse(most * c.tenths, c.e));
    int e = largest > 0 ? floor_log10(largest) : 0;
    for (int64_t i = c.first; i <= c.last; i++) put(r, i * c.tenths, c.e, e >= -3 && e < 7 ? FORMAT_PLAIN : e, 0);
}

typedef struct decades { /* of a log axis, or of one side of a symlog axis */
    int lo, hi;          /* powers of ten, both on the axis; lo > hi: none */
    int stride;          /* 0: labels at 1, 2, 5 of each; otherwise at every stride-th, counted from 10^origin */
    int origin;
    int minor;  /* draw the ones between */
    int shared; /* FORMAT_PLAIN or FORMAT_OWN */
} decades;

static int label_style(int lo, int hi) {
    return lo >= -3 && hi <= 4 ? FORMAT_PLAIN : FORMAT_OWN;
}

static int next_stride(int stride) {
    static const int nice[] = { 1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500, 700 };
    for (size_t i = 0; i < sizeof nice / sizeof *nice; i++)
        if (nice[i] > stride) return nice[i];
    return 2 * stride;
}

/* How k x 10^e is drawn: 1 labelled, -1 minor, 0 not at all. */
static int rank_of(const decades *d, int k, int e) {
    if (d->stride == 0 && (k == 1 || k == 2 || k == 5)) return 1;
    if (d->stride > 0 && k == 1 && (e - d->origin) % d->stride == 0) return 1;
    return d->minor && (k == 1 || d->stride <= 1) ? -1 : 0;
}

static void put_decade(row *r, const decades *d, int sign, int k, int e) {
    int rank = rank_of(d, k, e);
    if (rank) put(r, sign * k, e, d->shared, rank < 0);
}

static int count_125(const row *r) {
    int n = 0;
    for (int e = floor_log10(r->lo) - 1; e <= floor_log10(r->hi) + 1; e++)
        n += inside(r, format_parse(1, e)) + inside(r, format_parse(2, e)) + inside(r, format_parse(5, e));
    return n;
}

static decades decades_of(const row *r) {
    decades d = { floor_log10(r->lo) - 1, floor_log10(r->hi) + 1, 1, 0, 1, FORMAT_PLAIN };
    while (d.lo <= d.hi && !inside(r, format_parse(1, d.lo))) d.lo++;
    while (d.lo <= d.hi && !inside(r, format_parse(1, d.hi))) d.hi--;
    return d;
}

static void log_ticks(row *r, int wanted) {
    decades d = decades_of(r);
    int whole = d.hi - d.lo + 1, finer = whole < 3 ? count_125(r) : 0;
    if (whole < 2 && finer < 3) {
        linear_ticks(r, wanted);
        return;
    }
    if (whole < 2 || (finer >= 3 && finer <= wanted + 1)) d.stride = 0;
    int most = wanted + 1 < r->room ? wanted + 1 : r->room;
    while (d.stride && (whole + d.stride - 1) / d.stride > most) d.stride = next_stride(d.stride);
    int from = floor_log10(r->lo) - 1, to = floor_log10(r->hi) + 1;
    d.shared = d.stride ? label_style(d.lo, d.hi) : label_style(from + 2, to - 1);
    for (d.minor = 1; d.minor >= 0; d.minor--) {
        r->n = 0;
        for (int e = from; e <= to; e++)
            for (int k = 1; k <= 9; k++) put_decade(r, &d, 1, k, e);
        if (r->n <= r->room) return;
    }
}

static void bent_ticks(row *r, int wanted, double linear) {
    int from = (int)ceil(log10(linear) - 1e-9), to = floor_log10(fmax(fabs(r->lo), fabs(r->hi)));
    decades d = { from, to, 1, from, 0, label_style(from, to) };
    int above = 0, below = 0;
    for (int e = from; e <= to; e++) {
        above += inside(r, format_parse(1, e));
        below += inside(r, format_parse(-1, e));
    }
    if (above + below + inside(r, 0) < 3) {
        linear_ticks(r, wanted);
        return;
    }
    while ((above + d.stride - 1) / d.stride + (below + d.stride - 1) / d.stride > wanted && d.stride < 700)
        d.stride = next_stride(d.stride);
    for (d.minor = 1; d.minor >= 0; d.minor--) {
        r->n = 0;
        for (int e = to; e >= from; e--)
            for (int k = 9; k >= 1; k--) put_decade(r, &d, -1, k, e);
        put(r, 0, 0, FORMAT_PLAIN, 0);
        for (int e = from; e <= to; e++)
            for (int k = 1; k <= 9; k++) put_decade(r, &d, 1, k, e);
        if (r->n <= r->room) return;
    }
}

int axis_ticks(const axis *a, int wanted, tick *ticks, int room) {
    if (room > MOST) room = MOST;
    if (room < 1 || !(a->lo < a->hi) || !isfinite(a->lo) || !isfinite(a->hi)) return 0;
    if (wanted > room) wanted = room;
    if (wanted < 1) wanted = 1;
    row r = { ticks, 0, room, a->lo, a->hi };
    if (a->scale == AXIS_LOG && a->lo > 0) log_ticks(&r, wanted);
    else if (a->scale == AXIS_SYMLOG || a->scale == AXIS_ASINH) bent_ticks(&r, wanted, half_width(a));
    else linear_ticks(&r, wanted);
    return r.n < room ? r.n : room;
}
