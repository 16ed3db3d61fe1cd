/* xtrace.c: the trace, every test vector left out of the range once (sketch.h). With H = Q'Op Q, w = Q'omega_i, y = R e_i = Q'Op omega_i,
   s = s_i and P = I - s s':

       t_i = tr H - s'H s + w'y - 2 y'P w + (P w)'H (P w),   the estimate is their mean. */

#include "base/alloc.h"
#include "curve/sketch.h"

#include <math.h>
#include <string.h>

static double dot(const double *a, const double *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* a'H a, of the symmetric part of H. */
static double form(const double *h, const double *a, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * dot(h + i * n, a, n);
    return sum;
}

/* t_i; w (r) is overwritten. */
static double leave_one_out(const sketch *k, const double *h, int64_t i, double *w) {
    const double *s = k->s + i * k->k, *y = k->y + i * k->k;
    double straight = dot(w, y, k->r), along = dot(s, w, k->r), trace = -form(h, s, k->r);
    for (int64_t j = 0; j < k->r; j++) {
        w[j] -= along * s[j];
        trace += h[j * k->r + j];
    }
    return trace + straight - 2 * dot(y, w, k->r) + form(h, w, k->r);
}

static void estimate(sketch *k, const double *h, const double *w, double *column) {
    running all = { 0 };
    for (int64_t i = 0; i < k->k; i++) {
        for (int64_t j = 0; j < k->r; j++) column[j] = w[j * k->k + i];
        running_add(&all, leave_one_out(k, h, i, column));
    }
    k->d.out->value = all.mean;
    k->d.out->error = running_error(&all);
    k->d.out->draws = (int32_t)all.count;
    k->d.out->floor = k->d.op->error * sketch_size(k);
}

int32_t pitot_trace_xtrace(const pitot_linop *op, const pitot_draws *settings, pitot_estimate *out, pitot_error *error) {
    sketch k;
    int32_t status = sketch_open(&k, op, settings, out, error, "xtrace");
    if (status) return status;
    double *w = mem_alloc(k.k * k.k + k.k, sizeof *w);
    status = w ? sketch_make(&k) : PITOT_ENOMEM;
    if (!status && !k.d.stopped) {
        sketch_products(&k, k.z, k.r, k.small);
        sketch_products(&k, NULL, k.k, w);
        estimate(&k, k.small, w, w + k.k * k.k);
        if (!isfinite(out->value)) status = PITOT_EHOST;
    }
    mem_free(w);
    sketch_close(&k);
    return drawing_close(&k.d, status, fabs(out->value));
}
