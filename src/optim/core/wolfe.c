/* wolfe.c: see wolfe.h. */

#include "optim/core/wolfe.h"

#include "optim/core/flat.h"

#include <math.h>
#include <string.h>

#ifdef PITOT_DOUBLE
static const double ROUNDING = 4e-16; /* of a loss: differences below it decide nothing */
#else
static const double ROUNDING = 2e-7;
#endif
static const double EDGE = 0.1, SHORTEST = 1e-12; /* of an interval: trials keep off its ends; its length over its far end */

typedef struct point {
    double a, f, slope; /* f infinite: no loss or gradient there */
} point;

/* w->work = gradient at a. */
static int32_t evaluate(wolfe *w, double a, point *p) {
    flat_move(w->s, w->x, a, w->d);
    *p = (point){ a, INFINITY, 0 };
    double loss = NAN;
    int32_t status = pitot_gradient(w->s, &loss);
    if (status == PITOT_EHOST || (!status && !isfinite(loss))) return PITOT_OK;
    if (status) return status;
    flat_gradient(w->s, w->work);
    p->f = loss;
    p->slope = flat_dot(w->work, w->d, w->s->parameters);
    return PITOT_OK;
}

/* The gradient just evaluated is that of the best point so far. */
static void keep(wolfe *w) {
    memcpy(w->g, w->work, (size_t)w->s->parameters * sizeof *w->g);
}

static int too_high(const wolfe *w, const point *p) {
    return !(p->f <= w->loss + w->c1 * p->a * w->slope + ROUNDING * fabs(w->loss));
}

static int flat_enough(const wolfe *w, const point *p) {
    return fabs(p->slope) <= -w->c2 * w->slope;
}

/* The minimum of the cubic through both points (equation 3.59), or NaN. */
static double cubic(const point *p, const point *q) {
    double d1 = p->slope + q->slope - 3 * (p->f - q->f) / (p->a - q->a), square = d1 * d1 - p->slope * q->slope;
    if (!(square >= 0)) return NAN;
    double d2 = copysign(sqrt(square), q->a - p->a);
    return q->a - (q->a - p->a) * (q->slope + d2 - d1) / (q->slope - p->slope + 2 * d2);
}

static double between(const point *lo, const point *hi) {
    double span = hi->a - lo->a, a = isfinite(hi->f) ? cubic(lo, hi) : NAN, at = (a - lo->a) / span;
    if (!isfinite(at)) return lo->a + span / 2;
    return lo->a + span * (at < EDGE ? EDGE : at > 1 - EDGE ? 1 - EDGE : at);
}

/* lo: satisfies the first condition, the lowest so far; w->g is its gradient, but for a length of 0. */
static int32_t zoom(wolfe *w, point *lo, point hi, int64_t made) {
    while (made++ < w->most && fabs(hi.a - lo->a) > SHORTEST * fmax(hi.a, lo->a)) {
        point p;
        int32_t status = evaluate(w, between(lo, &hi), &p);
        if (status) return status;
        if (too_high(w, &p) || p.f > lo->f + ROUNDING * fabs(lo->f)) {
            hi = p;
            continue;
        }
        if (p.slope * (hi.a - lo->a) >= 0) hi = *lo;
        *lo = p;
        keep(w);
        if (flat_enough(w, &p)) break;
    }
    return PITOT_OK;
}

/* Longer and longer, until an interval must hold what is sought. *best: the point found. */
static int32_t bracket(wolfe *w, point *best) {
    point before = { 0, w->loss, w->slope }, p;
    double a = w->first;
    for (int64_t made = 1; made <= w->most; made++) {
        int32_t status = evaluate(w, a, &p);
        *best = before;
        if (status) return status;
        if (too_high(w, &p) || (made > 1 && p.f >= before.f)) return zoom(w, best, p, made);
        *best = p;
        keep(w);
        if (flat_enough(w, &p)) return PITOT_OK;
        if (p.slope >= 0) return zoom(w, best, before, made);
        double next = cubic(&before, &p);
        before = p;
        a = next > 1.1 * a && next < 10 * a ? next : next >= 10 * a || !isfinite(next) ? 10 * a : 2 * a;
    }
    return PITOT_OK;
}

int32_t wolfe_search(wolfe *w) {
    point best = { 0 };
    int32_t status = bracket(w, &best);
    w->length = status ? 0 : best.a;
    flat_move(w->s, w->x, w->length, w->length > 0 ? w->d : NULL);
    return status;
}
