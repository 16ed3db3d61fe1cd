/* trace.c: Hutchinson's estimators of trace and diagonal, and Hutch++. */

#include "base/alloc.h"
#include "base/sums.h"
#include "base/threads.h"
#include "curve/basis.h"
#include "curve/drawing.h"
#include "pitot/probe.h"

#include <math.h>
#include <string.h>

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* ---- Hutchinson ---- */

/* Draws number first, first + 1, ... of those left; x, y (DRAWING_TOGETHER,n). Values into `all`; `length`: sum of |v| |Op v|. */
static int32_t sample(drawing *d, int64_t first, int64_t count, pitot_real *x, pitot_real *y, running *all, double *length) {
    for (int64_t j = 0; j < count; j++) drawing_signs(d, x + j * d->n, first + j);
    int32_t status = drawing_apply(d, x, y, count);
    for (int64_t j = 0; j < count && !status; j++) {
        double value = pitot_dot(x + j * d->n, y + j * d->n, d->n);
        if (!isfinite(value)) return PITOT_EHOST;
        *length += sqrt((double)d->n * pitot_sum_squares(y + j * d->n, d->n));
        running_add(all, value);
    }
    return status;
}

int32_t pitot_trace_hutchinson(const pitot_linop *op, const pitot_draws *settings, pitot_estimate *out, pitot_error *error) {
    drawing d;
    running all = { 0 };
    double length = 0;
    int32_t status = drawing_open(&d, op, settings, out, error, "hutchinson", 1, 0);
    if (!status) status = drawing_need(&d, "hutchinson", 2);
    if (status) return status;
    int64_t together = least(settings->vectors / 2, DRAWING_TOGETHER);
    while (!status && !d.stopped && all.count < d.products)
        status = sample(&d, all.count, least(together, d.products - all.count), settings->work, settings->work + together * d.n,
                        &all, &length);
    out->value = all.count ? all.mean : NAN;
    out->error = running_error(&all);
    out->floor = op->error * length / (double)(all.count ? all.count : 1);
    out->draws = (int32_t)all.count;
    return drawing_close(&d, status, fabs(out->value));
}

/* ---- Hutchinson's diagonal: running means and sums of squares in the results themselves ---- */

typedef struct diagonal_job {
    const pitot_real *x, *y;
    pitot_real *mean, *squares;
    double count;
} diagonal_job;

static void diagonal_task(void *job, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const diagonal_job *d = job;
    for (int64_t i = begin; i < end; i++) {
        double value = (double)d->x[i] * (double)d->y[i], before = value - (double)d->mean[i],
               mean = (double)d->mean[i] + before / d->count;
        d->mean[i] = (pitot_real)mean;
        d->squares[i] = (pitot_real)((double)d->squares[i] + before * (value - mean));
    }
}

static void spread_task(void *job, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const diagonal_job *d = job;
    for (int64_t i = begin; i < end; i++) d->squares[i] = (pitot_real)sqrt((double)d->squares[i] / (d->count * (d->count - 1)));
}

int32_t pitot_diagonal_hutchinson(const pitot_linop *op, const pitot_draws *settings, pitot_real *out, pitot_real *spread,
                                  pitot_estimate *total, pitot_error *error) {
    drawing d;
    running all = { 0 };
    double length = 0;
    int32_t status = drawing_open(&d, op, settings, total, error, "hutchinson", 1, 0);
    if (!status && (!out || !spread))
        status = pitot_fail(error, PITOT_EINVAL, "hutchinson: no place for the diagonal and its errors");
    if (!status) status = drawing_need(&d, "hutchinson", 2);
    if (status) return status;
    int64_t together = least(settings->vectors / 2, DRAWING_TOGETHER), done = 0;
    pitot_real *x = settings->work, *y = x + together * d.n;
    memset(out, 0, (size_t)d.n * sizeof *out);
    memset(spread, 0, (size_t)d.n * sizeof *spread);
    while (!status && !d.stopped && done < d.products) {
        int64_t count = least(together, d.products - done);
        status = sample(&d, done, count, x, y, &all, &length);
        for (int64_t j = 0; j < count && !status; j++) {
            diagonal_job job = { x + j * d.n, y + j * d.n, out, spread, (double)++done };
            threads_run(sums_threads(d.n), d.n, diagonal_task, &job);
        }
    }
    diagonal_job job = { .squares = spread, .count = (double)done };
    threads_run(sums_threads(d.n), d.n, spread_task, &job); /* of a single draw: 0 / 0 */
    total->value = done ? pitot_sum(out, d.n) : NAN;
    total->error = sqrt(pitot_sum_squares(spread, d.n));
    total->floor = op->error * length / (double)(done ? done : 1) / sqrt((double)d.n);
    total->draws = (int32_t)done;
    return drawing_close(&d, status, sqrt(pitot_sum_squares(out, d.n)));
}

/* ---- Hutch++ ---- */

typedef struct hutchpp {
    drawing d;
    int64_t wide, rank, together; /* test vectors of the sketch; directions found; rows of x and of y */
    pitot_real *q, *x, *y;        /* (wide,n) orthonormal range, (together,n) each */
    double *along;                /* (wide) */
} hutchpp;

static int32_t sketch(hutchpp *h) {
    int64_t n = h->d.n;
    int32_t status = PITOT_OK;
    for (int64_t i = 0; i < h->wide && !status && !h->d.stopped; i++) {
        pitot_real *y = h->q + h->rank * n;
        drawing_signs(&h->d, h->x, i);
        status = drawing_apply(&h->d, h->x, y, 1);
        if (status) return status;
        double rest = basis_orthogonalise_many(h->q, h->rank, n, y, NULL, 0);
        if (!isfinite(rest)) return PITOT_EHOST;
        if (rest > 0) basis_scale(y, n, 1 / rest), h->rank++;
    }
    return status;
}

/* tr(Q'Op Q) */
static int32_t range_part(hutchpp *h, double *sum, double *length) {
    int64_t n = h->d.n;
    int32_t status = PITOT_OK;
    for (int64_t i = 0; i < h->rank && !status && !h->d.stopped; i += h->together) {
        int64_t count = least(h->together, h->rank - i);
        status = drawing_apply(&h->d, h->q + i * n, h->y, count);
        for (int64_t j = 0; j < count && !status; j++) {
            *sum += pitot_dot(h->q + (i + j) * n, h->y + j * n, n);
            *length += sqrt(pitot_sum_squares(h->y + j * n, n));
        }
    }
    return status;
}

/* g'P Op P g, P = I - Q Q', of the rest of the products. */
static int32_t rest_part(hutchpp *h, running *rest, double *length) {
    int64_t n = h->d.n;
    int32_t status = PITOT_OK;
    while (!status && !h->d.stopped && rest->count < h->wide) {
        int64_t count = least(h->together, h->wide - rest->count);
        for (int64_t j = 0; j < count; j++) {
            drawing_signs(&h->d, h->x + j * n, h->wide + rest->count + j);
            double left = basis_orthogonalise_many(h->q, h->rank, n, h->x + j * n, h->along, 0);
            if (!(left > 0)) memset(h->x + j * n, 0, (size_t)n * sizeof *h->x);
        }
        status = drawing_apply(&h->d, h->x, h->y, count);
        for (int64_t j = 0; j < count && !status; j++) {
            *length += sqrt(pitot_sum_squares(h->x + j * n, n) * pitot_sum_squares(h->y + j * n, n)) / (double)h->wide;
            running_add(rest, pitot_dot(h->x + j * n, h->y + j * n, n));
        }
    }
    return status;
}

int32_t pitot_trace_hutchpp(const pitot_linop *op, const pitot_draws *settings, pitot_estimate *out, pitot_error *error) {
    hutchpp h = { 0 };
    running rest = { 0 };
    double sum = 0, length = 0;
    int32_t status = drawing_open(&h.d, op, settings, out, error, "hutch++", 3, 0);
    if (status) return status;
    h.wide = least(h.d.products / 3, h.d.n);
    status = drawing_need(&h.d, "hutch++", h.wide + 2);
    if (status) return status;
    h.d.of = 3 * h.wide;
    h.together = least((settings->vectors - h.wide) / 2, DRAWING_TOGETHER);
    h.q = settings->work;
    h.x = h.q + h.wide * h.d.n;
    h.y = h.x + h.together * h.d.n;
    h.along = mem_alloc(h.wide, sizeof *h.along);
    if (!h.along) return drawing_close(&h.d, PITOT_ENOMEM, 0);
    status = sketch(&h);
    if (!status) status = range_part(&h, &sum, &length);
    if (!status) status = rest_part(&h, &rest, &length);
    mem_free(h.along);
    if (!status && !isfinite(sum + rest.mean)) status = PITOT_EHOST;
    if (!status && !h.d.stopped) {
        out->value = sum + rest.mean;
        out->error = running_error(&rest);
        out->draws = (int32_t)rest.count;
        out->floor = op->error * length;
    }
    return drawing_close(&h.d, status, fabs(out->value));
}
