/* basis.c: see basis.h. */

#include "curve/basis.h"

#include "pitot/hot.h"
#include "base/random.h"
#include "base/sums.h"
#include "base/threads.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { LANES = 8, BLOCK = 1024, NARROW = 128, PASSES = 3 };

static const double UNIT = sizeof(pitot_real) == 4 ? FLT_EPSILON : DBL_EPSILON;

static inline double dot(const pitot_real *x, const double *y, int64_t n) {
    double lane[LANES] = { 0 };
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] += (double)x[i + j] * y[i + j];
    for (; i < n; i++) lane[0] += (double)x[i] * y[i];
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

/* ---- y -= V'h, V y ---- */

typedef struct reduce_job {
    const pitot_real *v;
    int64_t n;
    int m;
    pitot_real *y;
    const double *h;
    double part[SUMS_MOST_THREADS][BASIS_MOST + 1]; /* per thread: v_j'y, and y'y last */
} reduce_job;

/* One block of a reduction: y and the sums. */
static inline void reduce_block(const reduce_job *r, int64_t begin, int64_t n, double *part) {
    double block[BLOCK];
    pitot_real *y = r->y + begin;
    const pitot_real *v = r->v + begin;
    for (int64_t i = 0; i < n; i++) block[i] = (double)y[i];
    if (r->h) {
        for (int j = 0; j < r->m; j++)
            for (int64_t i = 0; i < n; i++) block[i] -= r->h[j] * (double)v[j * r->n + i];
        for (int64_t i = 0; i < n; i++) y[i] = (pitot_real)block[i];
        for (int64_t i = 0; i < n; i++) block[i] = (double)y[i];
    }
    for (int j = 0; j < r->m; j++) part[j] += dot(v + j * r->n, block, n);
    part[r->m] += dot(y, block, n);
}

PITOT_HOT static void reduce_range(const reduce_job *r, int64_t begin, int64_t end, double *part) {
    for (int64_t i = begin; i < end; i += BLOCK) reduce_block(r, i, end - i < BLOCK ? end - i : BLOCK, part);
}

static void reduce_task(void *job, int64_t begin, int64_t end, int thread) {
    reduce_job *r = job;
    reduce_range(r, begin, end, r->part[thread]);
}

double basis_reduce(const pitot_real *v, int m, int64_t n, pitot_real *y, const double *h, double *out) {
    int threads = sums_threads(n);
    reduce_job r = { .v = v, .n = n, .m = m, .y = y, .h = h };
    threads_run(threads, n, reduce_task, &r);
    double all[BASIS_MOST + 1] = { 0 };
    for (int t = 0; t < threads; t++)
        for (int j = 0; j <= m; j++) all[j] += r.part[t][j];
    memcpy(out, all, (size_t)m * sizeof *out);
    return all[m];
}

static double length(const double *h, int m) {
    double sum = 0;
    for (int j = 0; j < m; j++) sum += h[j] * h[j];
    return sqrt(sum);
}

double basis_orthogonalise(const pitot_real *v, int m, int64_t n, pitot_real *y, double *h, double least) {
    double along[BASIS_MOST] = { 0 }, rest = sqrt(basis_reduce(v, m, n, y, NULL, along)), whole = rest;
    memset(h, 0, (size_t)m * sizeof *h);
    for (int pass = 0; pass < PASSES && length(along, m) > UNIT * rest; pass++) {
        for (int j = 0; j < m; j++) h[j] += along[j];
        rest = sqrt(basis_reduce(v, m, n, y, along, along));
    }
    if (!isfinite(rest)) return NAN;
    return rest <= 4 * UNIT * whole || rest <= least || length(along, m) > 16 * UNIT * rest ? 0 : rest;
}

/* ---- rows = C'rows ---- */

typedef struct mix_job {
    const pitot_real *v;
    int64_t n;
    int m, q;
    double (*c)[BASIS_MOST];
    pitot_real *out;
} mix_job;

static inline void mix_block(const mix_job *x, int64_t begin, int64_t n) {
    pitot_real in[BASIS_MOST][NARROW];
    for (int i = 0; i < x->m; i++) memcpy(in[i], x->v + i * x->n + begin, (size_t)n * sizeof **in);
    for (int j = 0; j < x->q; j++) {
        double sum[NARROW] = { 0 };
        for (int i = 0; i < x->m; i++)
            for (int64_t k = 0; k < n; k++) sum[k] += x->c[i][j] * (double)in[i][k];
        pitot_real *out = x->out + j * x->n + begin;
        for (int64_t k = 0; k < n; k++) out[k] = (pitot_real)sum[k];
    }
}

PITOT_HOT static void mix_range(const mix_job *x, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += NARROW) mix_block(x, i, end - i < NARROW ? end - i : NARROW);
}

static void mix_task(void *job, int64_t begin, int64_t end, int thread) {
    (void)thread;
    mix_range(job, begin, end);
}

void basis_mix(const pitot_real *v, int m, int64_t n, double c[][BASIS_MOST], int q, pitot_real *out) {
    mix_job job = { v, n, m, q, c, out };
    threads_run(sums_threads(n), n, mix_task, &job);
}

/* ---- one row ---- */

typedef struct row_job {
    pitot_real *y;
    double amount;
    uint64_t seed, step, draw;
} row_job;

static void scale_task(void *job, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const row_job *r = job;
    for (int64_t i = begin; i < end; i++) r->y[i] = (pitot_real)(r->amount * (double)r->y[i]);
}

void basis_scale(pitot_real *y, int64_t n, double scale) {
    row_job job = { .y = y, .amount = scale };
    threads_run(sums_threads(n), n, scale_task, &job);
}

/* Value i: bits 16 (i mod 4) and up of word i / 4. */
static void random_task(void *job, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const row_job *r = job;
    uint64_t bits = 0;
    for (int64_t i = begin; i < end; i++) {
        if (i == begin || i % 4 == 0) bits = random_bits(r->seed, RANDOM_LANCZOS, r->step, r->draw << 48 | (uint64_t)i / 4);
        double u = ((double)(bits >> 16 * (i % 4) & 0xFFFF) + 0.5) * 0x1p-16 - 0.5;
        r->y[i] = (pitot_real)((double)r->y[i] + r->amount * u);
    }
}

void basis_add_random(pitot_real *y, int64_t n, double amount, uint64_t seed, uint64_t step, uint64_t draw) {
    row_job job = { y, amount * sqrt(12 / (double)n), seed, step, draw };
    threads_run(sums_threads(n), n, random_task, &job);
}
