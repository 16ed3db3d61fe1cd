/* psgd.c: see psgd.h. */

#include "optim/core/psgd.h"

#include "base/blas.h"
#include "base/threads.h"
#include "optim/core/matrix.h"
#include "pitot/hot.h"

#include <float.h>
#include <math.h>

#ifdef PITOT_DOUBLE
#define REAL_MIN DBL_MIN
#else
#define REAL_MIN FLT_MIN
#endif

enum { TILE = 32, WORTH_THREADS = 192 /* rows */ };

static double length(int64_t n, const pitot_real *x) {
    return sqrt(matrix_squares(x, 1, n, n));
}

static void scale(int64_t n, double by, pitot_real *x) {
    for (int64_t i = 0; i < n; i++) x[i] = (pitot_real)((double)x[i] * by);
}

static int threads_for(int64_t n) {
    return n >= WORTH_THREADS ? threads_default() : 1;
}

/* ---- norm ---- */

int64_t psgd_norm_work(int64_t n) {
    return 2 * PSGD_PROBES * n;
}

typedef struct row_job {
    int64_t n;
    const pitot_real *a;
    int skew;
    pitot_real *length, *most; /* (n): of each row; its largest value, or the one on the diagonal */
} row_job;

PITOT_HOT static pitot_real largest(int64_t n, const pitot_real *x) {
    enum { LANES = 16 };
    pitot_real most[LANES] = { 0 }, all = 0;
    for (int64_t i = 0; i < n; i++) {
        pitot_real size = x[i] < 0 ? -x[i] : x[i], *to = &most[i % LANES];
        *to = size > *to ? size : *to;
    }
    for (int l = 0; l < LANES; l++) all = most[l] > all ? most[l] : all;
    return all;
}

static void look_at_rows(void *job, int64_t begin, int64_t end, int thread) {
    const row_job *j = job;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const pitot_real *row = j->a + i * j->n;
        j->length[i] = (pitot_real)length(j->n, row);
        j->most[i] = j->skew ? largest(j->n, row) : row[i];
    }
}

static int64_t place_of_most(int64_t n, const pitot_real *x) {
    int64_t at = 0;
    for (int64_t i = 1; i < n; i++) at = x[i] > x[at] ? i : at;
    return at;
}

/* v = by row + sign(<row, v>) v */
static void turn_towards(int64_t n, double by, const pitot_real *row, pitot_real *v) {
    double product = 0;
    for (int64_t i = 0; i < n; i++) product += (double)row[i] * (double)v[i];
    pitot_real sign = (pitot_real)((product > 0) - (product < 0));
    for (int64_t i = 0; i < n; i++) v[i] = (pitot_real)((double)row[i] * by) + sign * v[i];
}

double psgd_norm(int64_t n, const pitot_real *a, int skew, const psgd_draws *draws, pitot_real *work) {
    pitot_real *v = work, *u = v + PSGD_PROBES * n;
    row_job rows = { n, a, skew, u, u + n };
    threads_run(threads_for(n), n, look_at_rows, &rows);
    double unit = (double)rows.most[place_of_most(n, rows.most)] + REAL_MIN, most = 0;
    const pitot_real *row = a + place_of_most(n, rows.length) * n;
    draws->normal(draws->self, PSGD_PROBES * n, v);
    for (int64_t k = 0; k < PSGD_PROBES; k++) turn_towards(n, 1 / unit, row, v + k * n);
    for (int half = 0; half < 2; half++) {
        blas_gemm(0, 0, PSGD_PROBES, n, n, 1 / unit, v, n, a, n, 0, u, n);
        for (int64_t k = 0; k < PSGD_PROBES; k++) scale(n, 1 / (length(n, u + k * n) + REAL_MIN), u + k * n);
        blas_gemm(0, 0, PSGD_PROBES, n, n, 1 / unit, u, n, a, n, 0, v, n);
    }
    for (int64_t k = 0; k < PSGD_PROBES; k++) most = fmax(most, length(n, v + k * n));
    return unit * most;
}

/* ---- orthogonal Procrustes problem ---- */

int64_t psgd_turn_work(int64_t n) {
    return 4 * n * n + psgd_norm_work(n);
}

static double trace(int64_t n, const pitot_real *a) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)a[i * n + i];
    return sum;
}

typedef struct turn_job {
    int64_t n;
    pitot_real *r, *q, first, second;
    const pitot_real *rq, *rrq;
} turn_job;

/* Rows of tiles of R = Q' - Q. */
static void skew_part(void *job, int64_t begin, int64_t end, int thread) {
    const turn_job *j = job;
    int64_t n = j->n;
    (void)thread;
    for (int64_t i0 = begin * TILE; i0 < end * TILE && i0 < n; i0 += TILE)
        for (int64_t k0 = 0; k0 < n; k0 += TILE)
            for (int64_t i = i0; i < n && i < i0 + TILE; i++)
                for (int64_t k = k0; k < n && k < k0 + TILE; k++) j->r[i * n + k] = j->q[k * n + i] - j->q[i * n + k];
}

PITOT_HOT static void add_turned(void *job, int64_t begin, int64_t end, int thread) {
    const turn_job *j = job;
    const pitot_real *restrict rq = j->rq, *restrict rrq = j->rrq;
    pitot_real *restrict q = j->q, first = j->first, second = j->second;
    (void)thread;
    for (int64_t i = begin; i < end; i++) q[i] += first * rq[i] + second * rrq[i];
}

/* by: R is that times r. */
static turn_job turn_job_of(int64_t n, pitot_real *q, const psgd_draws *draws, pitot_real *work, double *by) {
    pitot_real *r = work, *rq = r + n * n, *rrq = rq + n * n;
    turn_job j = { .n = n, .r = r, .q = q, .rq = rq, .rrq = rrq };
    threads_run(threads_for(n), (n + TILE - 1) / TILE, skew_part, &j);
    *by = 1 / (psgd_norm(n, r, 1, draws, work + 4 * n * n) + REAL_MIN);
    blas_gemm(0, 0, n, n, n, *by, r, n, q, n, 0, rq, n);
    blas_gemm(0, 0, n, n, n, *by, r, n, rq, n, 0, rrq, n);
    return j;
}

void psgd_turn(int64_t n, pitot_real *q, const psgd_draws *draws, pitot_real *work) {
    double by;
    turn_job j = turn_job_of(n, q, draws, work, &by);
    const pitot_real *rq = j.rq, *rrq = j.rrq;
    double t1 = trace(n, rq), t2 = trace(n, rrq), a = t2 < 0 && -t1 / t2 < 0.125 ? -t1 / t2 : 0.125;
    j.first = (pitot_real)a;
    j.second = (pitot_real)(a * a / 2);
    threads_run(threads_for(n), n * n, add_turned, &j);
}

void psgd_turn_far(int64_t n, pitot_real *q, const psgd_draws *draws, pitot_real *work) {
    double by;
    turn_job j = turn_job_of(n, q, draws, work, &by);
    pitot_real *rrrq = work + 3 * n * n;
    blas_gemm(0, 0, n, n, n, by, j.r, n, j.rrq, n, 0, rrrq, n);
    double t1 = trace(n, j.rq), t2 = trace(n, j.rrq), t3 = trace(n, rrrq);
    if (!(t1 > 0 && t3 < 0)) return;
    double a = fmin((-t2 - sqrt(t2 * t2 - 1.5 * t1 * t3)) / (0.75 * t3), 1.0 / 3);
    j.first = (pitot_real)a;
    j.second = (pitot_real)(a * a / 2);
    threads_run(threads_for(n), n * n, add_turned, &j);
    j.rq = j.rrq = rrrq;
    j.first = (pitot_real)(a * a * a / 8);
    j.second = 0;
    threads_run(threads_for(n), n * n, add_turned, &j);
}

double psgd_skew(int64_t n, const pitot_real *q) {
    double skew = 0, most = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < n; k++) {
            skew = fmax(skew, fabs((double)q[i * n + k] - (double)q[k * n + i]));
            most = fmax(most, fabs((double)q[i * n + k]));
        }
    return most > 0 ? skew / most : 0;
}

void psgd_symmetrize(int64_t n, pitot_real *q) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < i; k++) q[i * n + k] = q[k * n + i] = (q[i * n + k] + q[k * n + i]) / 2;
}
