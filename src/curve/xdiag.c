/* xdiag.c: the diagonal, every test vector left out of the range once (sketch.h). Value by value, with a_i = Q s_i and z_i = Z s_i:

       d_i = sum_j Q_j Z_j - a_i z_i + omega_i a_i (s_i'R e_i),   the estimate is their mean; signs, so that omega^2 = 1. */

#include "base/blas.h"
#include "base/alloc.h"
#include "curve/draws.h"
#include "curve/sketch.h"
#include "pitot/probe.h"

#include <math.h>
#include <string.h>

typedef struct diagonal {
    sketch k;
    pitot_real *s;     /* (k,r) */
    double *link;      /* (k): s_i'R e_i */
    pitot_real *signs; /* (SKETCH_PART) */
    double mean[SKETCH_PART], squares[SKETCH_PART];
    pitot_real *out, *spread;
} diagonal;

static int make_links(diagonal *x) {
    sketch *k = &x->k;
    x->s = mem_alloc(k->k * k->k, sizeof *x->s);
    x->link = mem_alloc(k->k, sizeof *x->link);
    x->signs = mem_alloc(SKETCH_PART, sizeof *x->signs);
    if (!x->s || !x->link || !x->signs) return 0;
    for (int64_t i = 0; i < k->k; i++)
        for (int64_t j = 0; j < k->r; j++) {
            x->s[i * k->r + j] = (pitot_real)k->s[i * k->k + j];
            x->link[i] += k->s[i * k->k + j] * k->y[i * k->k + j];
        }
    return 1;
}

/* mean, squares: sums over i of d_i - sum_j Q_j Z_j, and of its square. */
static void sum_over_vectors(diagonal *x, int64_t begin, int64_t length) {
    const sketch *k = &x->k;
    pitot_real *a = k->part, *z = k->part + k->k * SKETCH_PART;
    blas_gemm(0, 0, k->k, length, k->r, 1, x->s, k->r, k->q + begin, k->d.n, 0, a, length);
    blas_gemm(0, 0, k->k, length, k->r, 1, x->s, k->r, k->z + begin, k->d.n, 0, z, length);
    memset(x->mean, 0, sizeof x->mean);
    memset(x->squares, 0, sizeof x->squares);
    for (int64_t i = 0; i < k->k; i++) {
        draws_signs_part(x->signs, begin, length, k->d.set->seed, k->d.purpose, (uint64_t)i);
        for (int64_t j = 0; j < length; j++) {
            double along = (double)a[i * length + j], d = along * (x->link[i] * (double)x->signs[j] - (double)z[i * length + j]);
            x->mean[j] += d;
            x->squares[j] += d * d;
        }
    }
}

static void one_part(diagonal *x, int64_t begin, int64_t length) {
    const sketch *k = &x->k;
    double count = (double)k->k;
    sum_over_vectors(x, begin, length);
    for (int64_t j = 0; j < length; j++) {
        double base = 0, sum = x->mean[j], rest = fmax(x->squares[j] - sum * sum / count, 0);
        for (int64_t l = 0; l < k->r; l++) base += (double)k->q[l * k->d.n + begin + j] * (double)k->z[l * k->d.n + begin + j];
        x->out[begin + j] = (pitot_real)(base + sum / count);
        if (x->spread) x->spread[begin + j] = (pitot_real)(k->k > 1 ? sqrt(rest / (count * (count - 1))) : NAN);
    }
}

static int32_t find(diagonal *x) {
    sketch *k = &x->k;
    pitot_estimate *total = k->d.out;
    int32_t status = sketch_make(k);
    if (status || k->d.stopped) return status;
    if (!make_links(x)) return PITOT_ENOMEM;
    for (int64_t begin = 0; begin < k->d.n; begin += SKETCH_PART)
        one_part(x, begin, k->d.n - begin < SKETCH_PART ? k->d.n - begin : SKETCH_PART);
    total->value = pitot_sum(x->out, k->d.n);
    total->error = x->spread ? sqrt(pitot_sum_squares(x->spread, k->d.n)) : NAN;
    total->floor = k->d.op->error * sketch_size(k) / sqrt((double)k->d.n);
    total->draws = (int32_t)k->k;
    return isfinite(total->value) ? PITOT_OK : PITOT_EHOST;
}

int32_t pitot_diagonal_xdiag(const pitot_linop *op, const pitot_draws *settings, pitot_real *out, pitot_real *spread,
                             pitot_estimate *total, pitot_error *error) {
    diagonal x = { .out = out, .spread = spread };
    if (!out) return pitot_fail(error, PITOT_EINVAL, "xdiag: no place for the diagonal");
    int32_t status = sketch_open(&x.k, op, settings, total, error, "xdiag");
    if (status) return status;
    status = find(&x);
    mem_free(x.s);
    mem_free(x.link);
    mem_free(x.signs);
    sketch_close(&x.k);
    if (status || x.k.d.stopped)
        for (int64_t i = 0; i < x.k.d.n; i++) out[i] = (pitot_real)NAN;
    return drawing_close(&x.k.d, status, sqrt(pitot_sum_squares(out, x.k.d.n)));
}
