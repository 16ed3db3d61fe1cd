/* basis.c: see basis.h. */

#include "curve/basis.h"

#include "pitot/hot.h"
#include "base/blas.h"
#include "base/random.h"
#include "base/sums.h"
#include "base/threads.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum {
    LANES = 8,
    WIDE = 128 / sizeof(pitot_real),
    RUN = 8,
    ROWS = 4,
    BLOCK = 4096,
    PASSES = 3,
    TILE = 64,
    SHORT = 1024,
    MIXED_TOGETHER = 16384,
    THREE = 3,
    BY_FOUR = sizeof(pitot_real) == 4,
    MULTIPLIED = 8192
};

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
    int m, count;
    pitot_real *y; /* `count` vectors, `step` values apart */
    int64_t step;
    const double *h[BASIS_PAIR];                                /* NULL: y stays */
    int products;                                               /* 0: y'y alone */
    double part[SUMS_MOST_THREADS][BASIS_PAIR][BASIS_MOST + 1]; /* per thread: v_j'y, and y'y last */
} reduce_job;

INLINE void subtract(const reduce_job *r, const pitot_real *v, const double *h, int64_t n, double *block, pitot_real *y) {
    int j = 0;
    for (; j + ROWS <= r->m; j += ROWS) subtract_rows(v + j * r->n, r->n, h + j, n, block);
    for (; j < r->m; j++)
        for (int64_t i = 0; i < n; i++) block[i] -= h[j] * (double)v[j * r->n + i];
    for (int64_t i = 0; i < n; i++) y[i] = (pitot_real)block[i];
}

/* One block of a reduction: y and the sums. */
INLINE void reduce_block(const reduce_job *r, const pitot_real *v, pitot_real *y, const double *h, int64_t n, double *part) {
    double block[BLOCK];
    for (int64_t i = 0; h && i < n; i++) block[i] = (double)y[i];
    if (h) subtract(r, v, h, n, block, y);
    part[r->m] += square(y, n);
    if (!r->products) return;
    for (int j = 0; j < r->m; j++) part[j] += dot(v + j * r->n, y, n);
}

PITOT_HOT static void reduce_range(const reduce_job *r, int64_t begin, int64_t end, double part[][BASIS_MOST + 1]) {
    for (int64_t i = begin; i < end; i += BLOCK)
        for (int a = 0; a < r->count; a++)
            reduce_block(r, r->v + i, r->y + a * r->step + i, r->h[a], end - i < BLOCK ? end - i : BLOCK, part[a]);
}

static void reduce_task(void *job, int64_t begin, int64_t end, int thread) {
    reduce_job *r = job;
    reduce_range(r, begin, end, r->part[thread]);
}

/* Sums over the threads of vector a: v_j'y in out (m), NULL: not wanted. Returns y'y. */
static double collect(const reduce_job *r, int threads, int a, double *out) {
    double all[BASIS_MOST + 1] = { 0 };
    for (int t = 0; t < threads; t++)
        for (int j = 0; j <= r->m; j++) all[j] += r->part[t][a][j];
    if (out) memcpy(out, all, (size_t)r->m * sizeof *out);
    return all[r->m];
}

double basis_reduce(const pitot_real *v, int m, int64_t n, pitot_real *y, const double *h, double *out) {
    int threads = sums_threads(n);
    reduce_job r = { .v = v, .n = n, .m = m, .count = 1, .y = y, .h = { h }, .products = out != NULL };
    threads_run(threads, n, reduce_task, &r);
    return collect(&r, threads, 0, out);
}

void basis_products(const pitot_real *v, int64_t m, int64_t n, pitot_real *y, int64_t step, int count, double *out) {
    int threads = sums_threads(n);
    for (int64_t first = 0; first < m; first += BASIS_MOST) {
        int rows = m - first < BASIS_MOST ? (int)(m - first) : BASIS_MOST;
        reduce_job r = { .v = v + first * n, .n = n, .m = rows, .count = count, .y = y, .step = step, .products = 1 };
        threads_run(threads, n, reduce_task, &r);
        for (int a = 0; a < count; a++) collect(&r, threads, a, out + a * m + first);
    }
}

void basis_subtract(const pitot_real *v, int64_t m, int64_t n, pitot_real *y, int64_t step, int count, const double *h,
                    double *square_of, double *left) {
    int threads = sums_threads(n);
    for (int64_t first = 0; first == 0 || first < m; first += BASIS_MOST) {
        int rows = m - first < BASIS_MOST ? (int)(m - first) : BASIS_MOST;
        reduce_job r = { .v = v + first * n, .n = n, .m = rows, .count = count, .y = y, .step = step, .products = left != NULL };
        for (int a = 0; a < count; a++) r.h[a] = h + a * m + first;
        threads_run(threads, n, reduce_task, &r);
        for (int a = 0; a < count; a++) square_of[a] = collect(&r, threads, a, left ? left + a * m + first : NULL);
    }
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
    int m, q, apart;
    const double *c;
    pitot_real *out;
} mix_job;

INLINE void add_rows(const pitot_real *v, int64_t step, const double *c, int apart, int64_t n, double *sum) {
    const pitot_real p = (pitot_real)c[0], q = (pitot_real)c[apart], r = (pitot_real)c[2 * apart], s = (pitot_real)c[3 * apart];
    const pitot_real *a = v, *b = v + step, *d = b + step, *e = d + step;
    for (int64_t k = 0; k < n; k++) sum[k] += (double)((p * a[k] + q * b[k]) + (r * d[k] + s * e[k]));
}

/* TILE values of all rows of out at most: so many of all rows of `in` stay in the first cache. In double, rows are added one by one. */
INLINE void mix_tile(const mix_job *x, const pitot_real *in, int64_t wide, int64_t n, pitot_real *out) {
    double sum[TILE];
    for (int j = 0; j < x->q; j++) {
        int i = 0;
        for (int64_t k = 0; k < n; k++) sum[k] = 0;
        for (; BY_FOUR && i + ROWS <= x->m; i += ROWS) add_rows(in + i * wide, wide, x->c + i * x->apart + j, x->apart, n, sum);
        for (; i < x->m; i++)
            for (int64_t k = 0; k < n; k++) sum[k] += x->c[i * x->apart + j] * (double)in[i * wide + k];
        for (int64_t k = 0; k < n; k++) out[j * x->n + k] = (pitot_real)sum[k];
    }
}

/* Out of place, by GEMM: c (q,m) as pitot_real. */
static void multiply_range(const mix_job *x, const pitot_real *c, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += MULTIPLIED)
        blas_gemm(0, 0, x->q, end - i < MULTIPLIED ? end - i : MULTIPLIED, x->m, 1, c, x->m, x->v + i, x->n, 0, x->out + i, x->n);
}

static void multiply_task(void *job, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const mix_job *x = job;
    pitot_real c[BASIS_MOST * BASIS_MIXED];
    for (int j = 0; j < x->q; j++)
        for (int i = 0; i < x->m; i++) c[j * x->m + i] = (pitot_real)x->c[i * x->apart + j];
    multiply_range(x, c, begin, end);
}

/* All rows of a piece, `wide` values or fewer, are in cache before any of out is written. */
INLINE void mix_block(const mix_job *x, int64_t wide, int64_t begin, int64_t n) {
    pitot_real in[MIXED_TOGETHER];
    for (int i = 0; i < x->m; i++) memcpy(in + i * wide, x->v + i * x->n + begin, (size_t)n * sizeof *in);
    for (int64_t k = 0; k + TILE <= n; k += TILE) mix_tile(x, in + k, wide, TILE, x->out + begin + k);
    if (n % TILE) mix_tile(x, in + n / TILE * TILE, wide, n % TILE, x->out + begin + n / TILE * TILE);
}

PITOT_HOT static void mix_range(const mix_job *x, int64_t begin, int64_t end) {
    int64_t wide = MIXED_TOGETHER / (x->m > 16 ? x->m : 16) / TILE * TILE;
    for (int64_t i = begin; i < end; i += wide) mix_block(x, wide, i, end - i < wide ? end - i : wide);
}

static void mix_task(void *job, int64_t begin, int64_t end, int thread) {
    (void)thread;
    mix_range(job, begin, end);
}

void basis_mix(const pitot_real *v, int m, int64_t n, const double *c, int apart, int q, pitot_real *out) {
    mix_job job = { v, n, m, q, apart, c, out };
    threads_run(sums_threads(n), n, m > BASIS_MOST && q <= BASIS_MOST && out != v ? multiply_task : mix_task, &job);
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

/* ---- a step of the three-term recurrence ---- */

typedef struct three_job {
    pitot_real *y, *u, *v;
    double a, b, scale;
    int turns;
    double part[SUMS_MOST_THREADS][THREE];
} three_job;

PITOT_HOT static void three_products_range(const three_job *t, int64_t begin, int64_t end, double *part) {
    for (int64_t i = begin; i < end; i += SHORT) {
        int64_t n = end - i < SHORT ? end - i : SHORT;
        part[0] += square(t->y + i, n);
        part[1] += dot(t->u + i, t->y + i, n);
        part[2] += dot(t->v + i, t->y + i, n);
    }
}

static void three_products_task(void *job, int64_t begin, int64_t end, int thread) {
    three_job *t = job;
    three_products_range(t, begin, end, t->part[thread]);
}

void basis_three_products(pitot_real *y, pitot_real *u, pitot_real *v, int64_t n, double product[3]) {
    three_job job = { .y = y, .u = u, .v = v };
    threads_run(sums_threads(n), n, three_products_task, &job);
    for (int j = 0; j < THREE; j++) product[j] = 0;
    for (int t = 0; t < SUMS_MOST_THREADS; t++)
        for (int j = 0; j < THREE; j++) product[j] += job.part[t][j];
}

/* n <= WIDE. */
INLINE void three_piece(const three_job *t, int64_t i, int64_t n, double *part) {
    double x[WIDE];
    for (int64_t j = 0; j < n; j++) {
        x[j] = t->scale * (((double)t->y[i + j] - t->a * (double)t->u[i + j]) - t->b * (double)t->v[i + j]);
        part[j] += x[j] * x[j];
    }
    for (int64_t j = 0; j < n; j++) t->y[i + j] = (pitot_real)x[j];
}

INLINE void turn_piece(const three_job *t, int64_t i, int64_t n, double *part) {
    double x[WIDE];
    pitot_real old[WIDE];
    for (int64_t j = 0; j < n; j++) {
        x[j] = t->scale * ((double)t->y[i + j] - t->a * (double)t->u[i + j]);
        part[j] += x[j] * x[j];
        old[j] = t->u[i + j];
    }
    for (int64_t j = 0; j < n; j++) t->u[i + j] = (pitot_real)x[j];
    for (int64_t j = 0; j < n; j++) t->v[i + j] = old[j];
}

PITOT_HOT static double three_range(const three_job *t, int64_t begin, int64_t end) {
    double part[WIDE] = { 0 }, sum = 0;
    int64_t i = begin;
    for (; i + WIDE <= end && !t->turns; i += WIDE) three_piece(t, i, WIDE, part);
    for (; i + WIDE <= end; i += WIDE) turn_piece(t, i, WIDE, part);
    if (t->turns) turn_piece(t, i, end - i, part);
    else three_piece(t, i, end - i, part);
    for (int64_t j = 0; j < WIDE; j++) sum += part[j];
    return sum;
}

static void three_task(void *job, int64_t begin, int64_t end, int thread) {
    three_job *t = job;
    t->part[thread][0] = three_range(t, begin, end);
}

static double run_three(three_job *job, int64_t n) {
    double sum = 0;
    threads_run(sums_threads(n), n, three_task, job);
    for (int t = 0; t < SUMS_MOST_THREADS; t++) sum += job->part[t][0];
    return sum;
}

double basis_three(pitot_real *y, double a, pitot_real *u, double b, pitot_real *v, double scale, int64_t n) {
    return run_three(&(three_job){ .y = y, .u = u, .v = v, .a = a, .b = b, .scale = scale }, n);
}

double basis_turn(pitot_real *y, double a, pitot_real *u, pitot_real *v, double scale, int64_t n) {
    return run_three(&(three_job){ .y = y, .u = u, .v = v, .a = a, .scale = scale, .turns = 1 }, n);
}

PITOT_HOT static void subtract_one_range(const three_job *t, int64_t begin, int64_t end, double *sum) {
    double part[2][LANES] = { { 0 } };
    int64_t i = begin;
    for (; i < end; i += LANES)
        for (int64_t j = 0, n = end - i < LANES ? end - i : LANES; j < n; j++) {
            double y = (double)t->y[i + j] - t->b * (double)t->v[i + j];
            t->y[i + j] = (pitot_real)y;
            part[0][j] += (double)t->u[i + j] * y;
            part[1][j] += y * y;
        }
    for (int j = 0; j < LANES; j++) sum[0] += part[0][j], sum[1] += part[1][j];
}

static void subtract_one_task(void *job, int64_t begin, int64_t end, int thread) {
    three_job *t = job;
    subtract_one_range(t, begin, end, t->part[thread]);
}

void basis_subtract_one(pitot_real *y, double b, pitot_real *v, pitot_real *u, int64_t n, double product[2]) {
    three_job job = { .y = y, .u = u, .v = v, .b = b };
    threads_run(sums_threads(n), n, subtract_one_task, &job);
    product[0] = product[1] = 0;
    for (int t = 0; t < SUMS_MOST_THREADS; t++)
        for (int j = 0; j < 2; j++) product[j] += job.part[t][j];
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
