/* basis.c: see basis.h. */

#include "curve/basis.h"

#include "pitot/hot.h"
#include "base/random.h"
#include "base/sums.h"
#include "base/threads.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { LANES = 8, WIDE = 128 / sizeof(pitot_real), RUN = 8, ROWS = 4, BLOCK = 1024, NARROW = 128, PASSES = 3 };

/* Into each clone of the hot loop that calls it: by itself it would be built for the baseline alone. */
#define INLINE static inline __attribute__((always_inline))

static const double UNIT = sizeof(pitot_real) == 4 ? FLT_EPSILON : DBL_EPSILON, SMALL = sizeof(pitot_real) == 4 ? 1e-3 : 1e-6;

/* Runs of RUN products a lane are added up as pitot_real, these sums in double: that is as good as double throughout, since the round-off of
   so many short sums averages out, and takes half the instructions or less. */
INLINE double dot(const pitot_real *x, const pitot_real *y, int64_t n) {
    double total[WIDE] = { 0 }, sum = 0;
    int64_t i = 0;
    for (; i + RUN * WIDE <= n; i += RUN * WIDE) {
        pitot_real lane[WIDE] = { 0 };
        for (int r = 0; r < RUN; r++)
            for (int j = 0; j < WIDE; j++) lane[j] += x[i + r * WIDE + j] * y[i + r * WIDE + j];
        for (int j = 0; j < WIDE; j++) total[j] += (double)lane[j];
    }
    for (; i < n; i++) sum += (double)x[i] * (double)y[i];
    for (int j = 0; j < WIDE; j++) sum += total[j];
    return sum;
}

/* In double from the start: squares may leave the range of pitot_real. */
INLINE double square(const pitot_real *y, int64_t n) {
    double lane[LANES] = { 0 };
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] += (double)y[i + j] * (double)y[i + j];
    for (; i < n; i++) lane[0] += (double)y[i] * (double)y[i];
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

/* ROWS rows at once, so that y comes out of the cache once for all of them; their sum is rounded once more than y is. */
INLINE void subtract_rows(const pitot_real *v, int64_t step, const double *h, int64_t n, double *y) {
    const pitot_real *a = v, *b = v + step, *c = b + step, *d = c + step;
    const pitot_real p = (pitot_real)h[0], q = (pitot_real)h[1], r = (pitot_real)h[2], s = (pitot_real)h[3];
    for (int64_t i = 0; i < n; i++) y[i] -= (double)((p * a[i] + q * b[i]) + (r * c[i] + s * d[i]));
}

/* ---- y -= V'h, V y ---- */

typedef struct reduce_job {
    const pitot_real *v;
    int64_t n;
    int m;
    pitot_real *y;
    const double *h;
    int products;                                   /* 0: y'y alone */
    double part[SUMS_MOST_THREADS][BASIS_MOST + 1]; /* per thread: v_j'y, and y'y last */
} reduce_job;

INLINE void subtract(const reduce_job *r, const pitot_real *v, int64_t n, double *block, pitot_real *y) {
    int j = 0;
    for (; j + ROWS <= r->m; j += ROWS) subtract_rows(v + j * r->n, r->n, r->h + j, n, block);
    for (; j < r->m; j++)
        for (int64_t i = 0; i < n; i++) block[i] -= r->h[j] * (double)v[j * r->n + i];
    for (int64_t i = 0; i < n; i++) y[i] = (pitot_real)block[i];
}

/* One block of a reduction: y and the sums. */
INLINE void reduce_block(const reduce_job *r, int64_t begin, int64_t n, double *part) {
    double block[BLOCK];
    pitot_real *y = r->y + begin;
    const pitot_real *v = r->v + begin;
    for (int64_t i = 0; r->h && i < n; i++) block[i] = (double)y[i];
    if (r->h) subtract(r, v, n, block, y);
    part[r->m] += square(y, n);
    if (!r->products) return;
    for (int j = 0; j < r->m; j++) part[j] += dot(v + j * r->n, y, n);
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
    reduce_job r = { .v = v, .n = n, .m = m, .y = y, .h = h, .products = out != NULL };
    threads_run(threads, n, reduce_task, &r);
    double all[BASIS_MOST + 1] = { 0 };
    for (int t = 0; t < threads; t++)
        for (int j = 0; j <= m; j++) all[j] += r.part[t][j];
    if (out) memcpy(out, all, (size_t)m * sizeof *out);
    return all[m];
}

static double length(const double *h, int m) {
    double sum = 0;
    for (int j = 0; j < m; j++) sum += h[j] * h[j];
    return sqrt(sum);
}

/* `along`: products with y as it is, of length `rest`; `whole`: its length at first. What is small beside the rest goes in one more pass
   that nothing needs to be learnt from: the rows are orthogonal up to far less than SMALL. */
static double orthogonalise(const pitot_real *v, int m, int64_t n, pitot_real *y, double *h, double *along, double rest,
                            double whole, double least) {
    for (int pass = 0; pass < PASSES && length(along, m) > UNIT * rest; pass++) {
        int last = length(along, m) <= SMALL * rest;
        for (int j = 0; j < m; j++) h[j] += along[j];
        rest = sqrt(basis_reduce(v, m, n, y, along, last ? NULL : along));
        if (last) memset(along, 0, (size_t)m * sizeof *along);
    }
    if (!isfinite(rest)) return NAN;
    return rest <= 4 * UNIT * whole || rest <= least || length(along, m) > 16 * UNIT * rest ? 0 : rest;
}

double basis_orthogonalise(const pitot_real *v, int m, int64_t n, pitot_real *y, double *h, double least) {
    double along[BASIS_MOST] = { 0 }, whole = sqrt(basis_reduce(v, m, n, y, NULL, along));
    memset(h, 0, (size_t)m * sizeof *h);
    return orthogonalise(v, m, n, y, h, along, whole, whole, least);
}

double basis_orthogonalise_guess(const pitot_real *v, int m, int64_t n, pitot_real *y, double *h, double least) {
    double along[BASIS_MOST] = { 0 }, rest = sqrt(basis_reduce(v, m, n, y, h, along));
    return orthogonalise(v, m, n, y, h, along, rest, hypot(rest, length(h, m)), least);
}

/* One pass over all groups; h += what was along them. Returns the length that was, in *rest the length that is left. */
static double pass_over(const pitot_real *v, int64_t m, int64_t n, pitot_real *y, double *h, double *rest) {
    double along[BASIS_MOST], left[BASIS_MOST], square = 0;
    for (int64_t first = 0; first < m; first += BASIS_MOST) {
        int rows = m - first < BASIS_MOST ? (int)(m - first) : BASIS_MOST;
        basis_reduce(v + first * n, rows, n, y, NULL, along);
        *rest = sqrt(basis_reduce(v + first * n, rows, n, y, along, left));
        for (int j = 0; j < rows; j++) {
            square += along[j] * along[j];
            if (h) h[first + j] += along[j];
        }
    }
    return sqrt(square);
}

double basis_orthogonalise_many(const pitot_real *v, int64_t m, int64_t n, pitot_real *y, double *h, double least) {
    double few[BASIS_MOST];
    if (m <= BASIS_MOST) return basis_orthogonalise(v, (int)m, n, y, h ? h : few, least);
    double whole = sqrt(basis_reduce(v, 0, n, y, NULL, few)), rest = whole, along = whole;
    if (h) memset(h, 0, (size_t)m * sizeof *h);
    for (int pass = 0; pass < PASSES && along > UNIT * rest; pass++) along = pass_over(v, m, n, y, h, &rest);
    if (!isfinite(rest)) return NAN;
    return rest <= 4 * UNIT * whole || rest <= least || along > 16 * UNIT * rest ? 0 : rest;
}

/* ---- rows = C'rows ---- */

typedef struct mix_job {
    const pitot_real *v;
    int64_t n;
    int m, q;
    double (*c)[BASIS_MOST];
    pitot_real *out;
} mix_job;

INLINE void mix_block(const mix_job *x, int64_t begin, int64_t n) {
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

/* ---- y -= c v, x'y; y = v + c y ---- */

typedef struct update_job {
    pitot_real *y;
    const pitot_real *v, *x;
    double c;
    double part[SUMS_MOST_THREADS];
} update_job;

PITOT_HOT static double update_range(const update_job *u, int64_t begin, int64_t end) {
    double part[LANES] = { 0 }, sum = 0;
    int64_t i = begin;
    for (; i + LANES <= end; i += LANES)
        for (int j = 0; j < LANES; j++) {
            u->y[i + j] = (pitot_real)((double)u->y[i + j] - u->c * (double)u->v[i + j]);
            part[j] += (double)u->y[i + j] * (double)u->x[i + j];
        }
    for (; i < end; i++) {
        u->y[i] = (pitot_real)((double)u->y[i] - u->c * (double)u->v[i]);
        sum += (double)u->y[i] * (double)u->x[i];
    }
    for (int j = 0; j < LANES; j++) sum += part[j];
    return sum;
}

static void update_task(void *job, int64_t begin, int64_t end, int thread) {
    update_job *u = job;
    u->part[thread] = update_range(u, begin, end);
}

double basis_update(pitot_real *y, double c, const pitot_real *v, const pitot_real *x, int64_t n) {
    update_job job = { .y = y, .v = v, .x = x, .c = c };
    double sum = 0;
    threads_run(sums_threads(n), n, update_task, &job);
    for (int t = 0; t < SUMS_MOST_THREADS; t++) sum += job.part[t];
    return sum;
}

static void combine_task(void *job, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const update_job *u = job;
    for (int64_t i = begin; i < end; i++) u->y[i] = (pitot_real)((double)u->v[i] + u->c * (double)u->y[i]);
}

void basis_combine(pitot_real *y, double c, const pitot_real *v, int64_t n) {
    update_job job = { .y = y, .v = v, .c = c };
    threads_run(sums_threads(n), n, combine_task, &job);
}
