/* blas.c: see blas.h. Debian's OpenBLAS takes its AVX2 kernel on processors that it does not know although they have AVX-512. */

#include "base/blas.h"

#include "base/alloc.h"
#include "base/householder.h"
#include "base/threads.h"
#include "pitot/hot.h"

#include <cblas.h>
#include <lapacke.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { PANEL = 32 }; /* of LAPACK's reduction to tridiagonal form */

/* OpenBLAS's own functions, absent from other BLAS libraries that may stand behind the same soname. */
#pragma weak openblas_get_config
#pragma weak openblas_get_corename
#pragma weak openblas_get_num_threads
#pragma weak openblas_get_parallel

void blas_gemm(int trans_a, int trans_b, int64_t m, int64_t n, int64_t k, double alpha, const pitot_real *a, int64_t lda,
               const pitot_real *b, int64_t ldb, double beta, pitot_real *c, int64_t ldc) {
    enum CBLAS_TRANSPOSE ta = trans_a ? CblasTrans : CblasNoTrans, tb = trans_b ? CblasTrans : CblasNoTrans;
#ifdef PITOT_DOUBLE
    cblas_dgemm(CblasRowMajor, ta, tb, (int)m, (int)n, (int)k, alpha, a, (int)lda, b, (int)ldb, beta, c, (int)ldc);
#else
    cblas_sgemm(CblasRowMajor, ta, tb, (int)m, (int)n, (int)k, (float)alpha, a, (int)lda, b, (int)ldb, (float)beta, c, (int)ldc);
#endif
}

void blas_syrk(int trans, int64_t n, int64_t k, double alpha, const pitot_real *a, int64_t lda, double beta, pitot_real *c,
               int64_t ldc) {
    enum CBLAS_TRANSPOSE t = trans ? CblasTrans : CblasNoTrans;
#ifdef PITOT_DOUBLE
    cblas_dsyrk(CblasRowMajor, CblasUpper, t, (int)n, (int)k, alpha, a, (int)lda, beta, c, (int)ldc);
#else
    cblas_ssyrk(CblasRowMajor, CblasUpper, t, (int)n, (int)k, (float)alpha, a, (int)lda, (float)beta, c, (int)ldc);
#endif
}

void blas_trsm(int right, int trans, int64_t m, int64_t n, const pitot_real *a, pitot_real *b, int64_t ldb) {
    enum CBLAS_SIDE side = right ? CblasRight : CblasLeft;
    enum CBLAS_TRANSPOSE t = trans ? CblasTrans : CblasNoTrans;
    int lda = (int)(right ? n : m);
#ifdef PITOT_DOUBLE
    cblas_dtrsm(CblasRowMajor, side, CblasUpper, t, CblasNonUnit, (int)m, (int)n, 1, a, lda, b, (int)ldb);
#else
    cblas_strsm(CblasRowMajor, side, CblasUpper, t, CblasNonUnit, (int)m, (int)n, 1, a, lda, b, (int)ldb);
#endif
}

typedef struct inverse_job {
    int64_t n;
    double *a;
    int failed;
} inverse_job;

/* Row-major upper is column-major lower. */
static void inverse_run(void *job, int64_t begin, int64_t end, int thread) {
    inverse_job *j = job;
    lapack_int n = (lapack_int)j->n;
    (void)end;
    (void)thread;
    if (begin > 0) return;
    j->failed = LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'L', n, j->a, n) != 0;
    if (!j->failed) j->failed = LAPACKE_dpotri_work(LAPACK_COL_MAJOR, 'L', n, j->a, n) != 0;
}

int blas_inverse(int64_t n, double *a) {
    inverse_job job = { n, a, 1 };
    threads_run(2, 2, inverse_run, &job);
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < i; k++) a[i * n + k] = a[k * n + i];
    return job.failed;
}

void blas_gram(int64_t n, int64_t k, const double *a, int add, double *g) {
    cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, (int)n, (int)k, 1, a, (int)n, add, g, (int)n);
}

typedef struct gram_job {
    int64_t n, k;
    const double *a;
    int add;
    double *g;
} gram_job;

static void gram_run(void *job, int64_t begin, int64_t end, int thread) {
    const gram_job *j = job;
    (void)end;
    (void)thread;
    if (begin == 0) blas_gram(j->n, j->k, j->a, j->add, j->g);
}

void blas_gram_alone(int64_t n, int64_t k, const double *a, int add, double *g) {
    threads_run(2, 2, gram_run, &(gram_job){ n, k, a, add, g });
}

typedef struct solve_job {
    int64_t n;
    double *a, *x;
    int failed;
} solve_job;

static void solve_run(void *job, int64_t begin, int64_t end, int thread) {
    solve_job *j = job;
    lapack_int n = (lapack_int)j->n;
    (void)end;
    (void)thread;
    if (begin > 0) return;
    j->failed = LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'L', n, j->a, n);
    if (!j->failed) j->failed = LAPACKE_dpotrs_work(LAPACK_COL_MAJOR, 'L', n, 1, j->a, n, j->x, n);
}

int blas_solve_positive(int64_t n, double *a, double *x) {
    solve_job j = { n, a, x, 1 };
    threads_run(2, 2, solve_run, &j);
    return j.failed;
}

/* dsyevd without vectors takes 2n + 1 values and n for each column of a panel of the reduction. */
int64_t blas_eigenvalues_work(int64_t n) {
    return n > INT_MAX / (PANEL + 3) ? -1 : (2 + PANEL) * n + 1;
}

typedef struct eigen_job {
    char vectors;
    int64_t n, n_work;
    double *a, *value, *work;
    lapack_int *whole;
    int64_t n_whole;
    int failed;
} eigen_job;

/* Row-major upper is column-major lower; the `_work` function allocates nothing in column-major. */
static void eigen_run(void *job, int64_t begin, int64_t end, int thread) {
    eigen_job *j = job;
    (void)end;
    (void)thread;
    if (begin > 0) return;
    j->failed = LAPACKE_dsyevd_work(LAPACK_COL_MAJOR, j->vectors, 'L', (lapack_int)j->n, j->a, (lapack_int)j->n, j->value, j->work,
                                    (lapack_int)j->n_work, j->whole, (lapack_int)j->n_whole);
}

/* Inside a region of threads_run, where BLAS stays on its thread: its thousands of short products wait for each other's threads otherwise,
   for long where others use the machine. */
static int eigen_alone(eigen_job *j) {
    threads_run(2, 2, eigen_run, j);
    return j->failed;
}

int blas_eigenvalues(int64_t n, double *a, double *value, double *work) {
    lapack_int whole;
    return LAPACKE_dsyevd_work(LAPACK_COL_MAJOR, 'N', 'L', (lapack_int)n, a, (lapack_int)n, value, work,
                               (lapack_int)blas_eigenvalues_work(n), &whole, 1);
}

int64_t blas_real_eigenvalues_work(int threads, int64_t n) {
    return n > INT_MAX || threads > INT_MAX / 2 ? -1 : n * (n + 2) + householder_work(threads, n);
}

PITOT_HOT static double largest(const double *a, int64_t n) {
    enum { LANES = 8 };
    double most[LANES] = { 0 }, all = 0;
    for (int64_t i = 0; i < n; i++) {
        double x = fabs(a[i]), *to = &most[i % LANES];
        *to = x > *to ? x : *to;
    }
    for (int l = 0; l < LANES; l++) all = most[l] > all ? most[l] : all;
    return all;
}

PITOT_HOT static void copy_scaled(const double *from, int64_t n, double by, pitot_real *to) {
    for (int64_t i = 0; i < n; i++) to[i] = (pitot_real)(by * from[i]);
}

/* Over a power of two: no value leaves pitot_real's range but towards 0. */
int blas_real_eigenvalues(int threads, int64_t n, const double *a, double *value, pitot_real *work) {
    pitot_real *copy = work, *d = work + n * n, *off = d + n;
    int e;
    frexp(largest(a, n * n), &e);
    e = e < -1000 ? -1000 : e;
    for (int64_t i = 0; i < n; i++) copy_scaled(a + i * (n + 1), n - i, ldexp(1, -e), copy + i * (n + 1));
    householder_tridiagonal(threads, n, copy, d, off, off + n);
#ifdef PITOT_DOUBLE
    int failed = LAPACKE_dsterf_work((lapack_int)n, d, off);
#else
    int failed = LAPACKE_ssterf_work((lapack_int)n, d, off);
#endif
    for (int64_t i = 0; i < n; i++) value[i] = ldexp((double)d[i], e);
    return failed;
}

/* dsyevd with vectors takes 2n^2 + 6n + 1 values and 5n + 3 integers, which lie behind them. */
int64_t blas_eigenvectors_work(int64_t n) {
    return n > 32000 ? -1 : 2 * n * n + 6 * n + 1 + 5 * n + 3;
}

int blas_eigenvectors(int64_t n, double *a, double *value, double *work) {
    int64_t values = 2 * n * n + 6 * n + 1;
    return eigen_alone(&(eigen_job){ 'V', n, values, a, value, work, (lapack_int *)(work + values), 5 * n + 3, 1 });
}

/* ?geqrf and ?orgqr work on panels of columns. */
int64_t blas_orthonormal_work(int64_t n) {
    return (2 + 2 * PANEL) * n;
}

typedef struct orthonormal_job {
    int64_t n;
    pitot_real *a, *r, *tau, *work;
    int failed;
} orthonormal_job;

static int householder(orthonormal_job *j, int form) {
    lapack_int n = (lapack_int)j->n, room = 2 * PANEL * n;
#ifdef PITOT_DOUBLE
    return form ? LAPACKE_dorgqr_work(LAPACK_COL_MAJOR, n, n, n, j->a, n, j->tau, j->work, room)
                : LAPACKE_dgeqrf_work(LAPACK_COL_MAJOR, n, n, j->a, n, j->tau, j->work, room);
#else
    return form ? LAPACKE_sorgqr_work(LAPACK_COL_MAJOR, n, n, n, j->a, n, j->tau, j->work, room)
                : LAPACKE_sgeqrf_work(LAPACK_COL_MAJOR, n, n, j->a, n, j->tau, j->work, room);
#endif
}

/* Rows are columns in column-major; R comes back on and below the diagonal. The signs of its diagonal are kept
   behind tau. */
static void orthonormal_run(void *job, int64_t begin, int64_t end, int thread) {
    orthonormal_job *j = job;
    int64_t n = j->n;
    (void)end;
    (void)thread;
    if (begin > 0) return;
    j->failed = householder(j, 0);
    if (j->failed) return;
    pitot_real *sign = j->tau + n;
    for (int64_t i = 0; i < n; i++) sign[i] = j->a[i * n + i] < 0 ? -1 : 1;
    for (int64_t i = 0; j->r && i < n; i++)
        for (int64_t k = 0; k < n; k++) j->r[i * n + k] = k <= i ? sign[k] * j->a[i * n + k] : 0;
    j->failed = householder(j, 1);
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; sign[i] < 0 && k < n; k++) j->a[i * n + k] = -j->a[i * n + k];
}

int blas_orthonormal(int64_t n, pitot_real *a, pitot_real *r, pitot_real *work) {
    orthonormal_job j = { n, a, r, work, work + 2 * n, 1 };
    threads_run(2, 2, orthonormal_run, &j);
    return j.failed;
}

int64_t blas_orthonormal_rows_work(int64_t m) {
    return (1 + 2 * PANEL) * m;
}

typedef struct rows_job {
    int64_t m, n;
    double *a, *work;
    int failed;
} rows_job;

static void rows_run(void *job, int64_t begin, int64_t end, int thread) {
    rows_job *j = job;
    lapack_int m = (lapack_int)j->m, n = (lapack_int)j->n, room = 2 * PANEL * m;
    (void)end;
    (void)thread;
    if (begin > 0) return;
    j->failed = LAPACKE_dgeqrf_work(LAPACK_COL_MAJOR, n, m, j->a, n, j->work, j->work + m, room);
    if (!j->failed) j->failed = LAPACKE_dorgqr_work(LAPACK_COL_MAJOR, n, m, m, j->a, n, j->work, j->work + m, room);
}

int blas_orthonormal_rows(int64_t m, int64_t n, double *a, double *work) {
    rows_job j = { m, n, a, work, 1 };
    threads_run(2, 2, rows_run, &j);
    return j.failed;
}

void blas_gemm_double(int trans_a, int trans_b, int64_t m, int64_t n, int64_t k, double alpha, const double *a, int64_t lda,
                      const double *b, int64_t ldb, double beta, double *c, int64_t ldc) {
    cblas_dgemm(CblasRowMajor, trans_a ? CblasTrans : CblasNoTrans, trans_b ? CblasTrans : CblasNoTrans, (int)m, (int)n, (int)k,
                alpha, a, (int)lda, b, (int)ldb, beta, c, (int)ldc);
}

void blas_product(int trans, int64_t n, const double *a, const double *x, double *y) {
    cblas_dgemv(CblasRowMajor, trans ? CblasTrans : CblasNoTrans, (int)n, (int)n, 1, a, (int)n, x, 1, 0, y, 1);
}

static const char *threading(void) {
    if (!openblas_get_parallel) return "unknown";
    int kind = openblas_get_parallel();
    return kind == 2 ? "openmp" : kind == 1 ? "pthread" : "serial";
}

void pitot_blas_describe(pitot_blas *blas) {
    *blas = (pitot_blas){ sizeof *blas, "unknown", "unknown", "", 1 };
    if (openblas_get_config) snprintf(blas->version, sizeof blas->version, "%s", openblas_get_config());
    char *blank = strchr(blas->version, ' ');
    if (blank) blank = strchr(blank + 1, ' ');
    if (blank) *blank = 0;
    if (openblas_get_corename) snprintf(blas->core, sizeof blas->core, "%s", openblas_get_corename());
    snprintf(blas->threading, sizeof blas->threading, "%s", threading());
    if (openblas_get_num_threads) blas->threads = openblas_get_num_threads();
}

double pitot_blas_speed(int64_t n, int32_t repeats) {
    pitot_real *a = mem_alloc(3 * n, (size_t)n * sizeof *a);
    double best = 0;
    for (int64_t i = 0; a && i < 2 * n * n; i++) a[i] = (pitot_real)(i % 7) - 3;
    for (int32_t i = 0; a && i < repeats; i++) {
        struct timespec t0, t1;
        clock_gettime(CLOCK_MONOTONIC, &t0);
        blas_gemm(0, 0, n, n, n, 1, a, n, a + n * n, n, 0, a + 2 * n * n, n);
        clock_gettime(CLOCK_MONOTONIC, &t1);
        double seconds = (double)(t1.tv_sec - t0.tv_sec) + 1e-9 * (double)(t1.tv_nsec - t0.tv_nsec);
        double rate = 2e-9 * (double)n * (double)n * (double)n / seconds;
        if (rate > best) best = rate;
    }
    mem_free(a);
    return best;
}

const char *pitot_blas_better_core(void) {
#if defined(__x86_64__) && defined(__GNUC__)
    static const char *const slow[] = { "Haswell", "Zen", "Sandybridge", "Nehalem", "Prescott", "Excavator" };
    if (!openblas_get_corename) return NULL;
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512vl"))
        return NULL;
    for (size_t i = 0; i < sizeof slow / sizeof *slow; i++)
        if (strcasecmp(openblas_get_corename(), slow[i]) == 0) return "SkylakeX";
#endif
    return NULL;
}
