/* householder.c: see householder.h. Blocked as LAPACK's (Dongarra, Sorensen, Hammarling 1989, "Block reduction of matrices to condensed
   forms"): a panel of reflections gathers its updates A - V W' - W V', which then go over what is left at once. What remains, a product
   with A for each column, reads A once: each thread some rows of its triangle. That is thousands of pieces of work of some microseconds, too
   short to wake a thread for: the others stay and look for pieces, and the first thread does those that nobody has taken. */

#include "base/householder.h"

#include "base/blas.h"
#include "base/threads.h"
#include "pitot/hot.h"

#include <math.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

enum { PANEL = 32, STRIP = 96, ROWS = 8, LANES = 64 / sizeof(pitot_real) };
enum { MOST_THREADS = 16, EACH = 192, ALONE = 160 }; /* rows for each thread beside the first; rows left that one does sooner */

typedef pitot_real wide __attribute__((vector_size(64), aligned(sizeof(pitot_real)), may_alias));

typedef struct reduction reduction;
typedef void (*piece)(const reduction *s, int64_t i);

struct reduction {
    int64_t n, from, panel; /* what is left: rows and columns from..n; columns of the panel */
    int threads;
    pitot_real *a, *d, *e;
    pitot_real *p, *q;             /* (2 PANEL, n): v and w of each column of the panel; w and v */
    pitot_real *y;                 /* (threads, n): what they make of a product */
    const pitot_real *x;           /* (n) */
    int64_t cut[MOST_THREADS + 1]; /* rows cut[t]..cut[t+1] are piece t's */
    piece work;
    _Atomic uint64_t open; /* which work this is << 32 | its pieces << 16 | the next that nobody has taken */
    _Atomic int64_t done;  /* pieces */
    _Atomic int over;
};

/* ---- pieces of work ---- */

enum { SPINS = 256 }; /* looks before others may have the processor */

/* 1: took one and did it */
static int take_piece(reduction *s) {
    uint64_t open = atomic_load_explicit(&s->open, memory_order_acquire);
    if ((open & 0xffff) >= (open >> 16 & 0xffff)) return 0;
    if (!atomic_compare_exchange_strong(&s->open, &open, open + 1)) return 1;
    s->work(s, (int64_t)(open & 0xffff));
    atomic_fetch_add_explicit(&s->done, 1, memory_order_release);
    return 1;
}

static void wait_a_little(int *spins) {
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_ia32_pause();
#endif
    if (++*spins % SPINS == 0) sched_yield();
}

static void help(reduction *s) {
    for (int spins = 0; !atomic_load_explicit(&s->over, memory_order_acquire);)
        if (take_piece(s)) spins = 0;
        else wait_a_little(&spins);
}

/* Returns when all are done. */
static void share(reduction *s, piece work, int64_t pieces) {
    int spins = 0;
    if (pieces == 1) {
        work(s, 0);
        return;
    }
    s->work = work;
    atomic_store_explicit(&s->done, 0, memory_order_relaxed);
    uint64_t which = (atomic_load_explicit(&s->open, memory_order_relaxed) >> 32) + 1;
    atomic_store_explicit(&s->open, which << 32 | (uint64_t)pieces << 16, memory_order_release);
    while (take_piece(s)) {}
    while (atomic_load_explicit(&s->done, memory_order_acquire) < pieces) wait_a_little(&spins);
}

/* ---- products with what is left of A ---- */

static pitot_real sum_lanes(const wide *x) {
    pitot_real sum = 0;
    for (size_t l = 0; l < LANES; l++) sum += (*x)[l];
    return sum;
}

/* s += the row times x, y += x_i times the row, both from column `from` to `to` */
static pitot_real row_part(const pitot_real *row, int64_t from, int64_t to, const pitot_real *x, pitot_real xi, pitot_real *y) {
    pitot_real sum = 0;
    for (int64_t j = from; j < to; j++) {
        sum += row[j] * x[j];
        y[j] += xi * row[j];
    }
    return sum;
}

/* y += (rows i..i+ROWS of the upper triangle, and those as columns) x */
PITOT_HOT static void some_rows(const pitot_real *a, int64_t n, int64_t i, const pitot_real *x, pitot_real *y) {
    wide dot[ROWS], at[ROWS];
    pitot_real sum[ROWS];
    int64_t j = i + ROWS;
    for (int r = 0; r < ROWS; r++) {
        const pitot_real *row = a + (i + r) * n;
        sum[r] = row[i + r] * x[i + r] + row_part(row, i + r + 1, i + ROWS, x, x[i + r], y);
        dot[r] = (wide){ 0 };
        at[r] = (wide){ 0 } + x[i + r];
    }
    for (; j + (int64_t)LANES <= n; j += LANES) {
        wide along = *(const wide *)(x + j), to = *(const wide *)(y + j);
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; r++) {
            wide v = *(const wide *)(a + (i + r) * n + j);
            dot[r] += v * along;
            to += v * at[r];
        }
        *(wide *)(y + j) = to;
    }
    for (int r = 0; r < ROWS; r++) y[i + r] += sum[r] + row_part(a + (i + r) * n, j, n, x, x[i + r], y) + sum_lanes(&dot[r]);
}

static void multiply_part(const reduction *s, int64_t t) {
    pitot_real *y = s->y + t * s->n;
    int64_t i = s->cut[t];
    memset(y + s->from, 0, (size_t)(s->n - s->from) * sizeof *y);
    for (; i + ROWS <= s->cut[t + 1]; i += ROWS) some_rows(s->a, s->n, i, s->x, y);
    for (; i < s->cut[t + 1]; i++) {
        const pitot_real *row = s->a + i * s->n;
        y[i] += row[i] * s->x[i] + row_part(row, i + 1, s->n, s->x, s->x[i], y);
    }
}

PITOT_HOT static void add_to(pitot_real *to, const pitot_real *from, int64_t n) {
    for (int64_t i = 0; i < n; i++) to[i] += from[i];
}

/* y (n) from `from` on = A x, in the first thread's place. Threads get parts of the triangle of equal size. */
static const pitot_real *multiply(reduction *s) {
    int64_t left = s->n - s->from;
    int threads = left < ALONE ? 1 : s->threads;
    for (int t = 0; t <= threads; t++)
        s->cut[t] = s->from + (int64_t)((1 - sqrt(1 - (double)t / threads)) * (double)left) / ROWS * ROWS;
    s->cut[threads] = s->n;
    share(s, multiply_part, threads);
    for (int t = 1; t < threads; t++) add_to(s->y + s->from, s->y + t * s->n + s->from, left);
    return s->y;
}

/* ---- a panel ---- */

/* x -= sum of c_k row k */
PITOT_HOT static void subtract_rows(pitot_real *x, const pitot_real *rows, int64_t ld, int64_t k, const pitot_real *c, int64_t n) {
    int64_t r = 0;
    for (; r + 4 <= k; r += 4) {
        const pitot_real *a = rows + r * ld, *b = a + ld, *d = b + ld, *e = d + ld;
        for (int64_t i = 0; i < n; i++) x[i] -= (c[r] * a[i] + c[r + 1] * b[i]) + (c[r + 2] * d[i] + c[r + 3] * e[i]);
    }
    for (; r < k; r++)
        for (int64_t i = 0; i < n; i++) x[i] -= c[r] * rows[r * ld + i];
}

PITOT_HOT static pitot_real dot(const pitot_real *x, const pitot_real *y, int64_t n) {
    wide sum = { 0 };
    pitot_real rest = 0;
    int64_t i = 0;
    for (; i + (int64_t)LANES <= n; i += LANES) sum += *(const wide *)(x + i) * *(const wide *)(y + i);
    for (; i < n; i++) rest += x[i] * y[i];
    return rest + sum_lanes(&sum);
}

PITOT_HOT static void scale(pitot_real *x, pitot_real by, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] *= by;
}

/* v (n): v[0] = 1, such that (1 - tau v v') x = (e, 0, ...); v is x before. */
static pitot_real reflection(pitot_real *v, int64_t n, pitot_real *e) {
    double below = 0, first = (double)v[0];
    for (int64_t i = 1; i < n; i++) below += (double)v[i] * (double)v[i];
    v[0] = 1;
    *e = (pitot_real)first;
    if (below == 0) return 0;
    double length = -copysign(sqrt(first * first + below), first);
    scale(v + 1, (pitot_real)(1 / (first - length)), n - 1);
    *e = (pitot_real)length;
    return (pitot_real)((length - first) / length);
}

/* w = tau (A v - V W'v - W V'v) - tau (w'v)/2 v: A - v w' - w v' is what the reflection makes of A less the panel's updates. */
static void other_side(reduction *s, const pitot_real *v, pitot_real tau, pitot_real *w) {
    int64_t left = s->n - s->from;
    pitot_real c[2 * PANEL], half;
    s->x = v;
    memcpy(w + s->from, multiply(s) + s->from, (size_t)left * sizeof *w);
    for (int64_t k = 0; k < 2 * s->panel; k++) c[k] = dot(s->q + k * s->n + s->from, v + s->from, left);
    subtract_rows(w + s->from, s->p + s->from, s->n, 2 * s->panel, c, left);
    scale(w + s->from, tau, left);
    half = tau / 2 * dot(w + s->from, v + s->from, left);
    subtract_rows(w + s->from, v + s->from, 0, 1, &half, left);
}

/* Column `i` of the matrix, less the panel's updates, and its reflection. */
static void one_column(reduction *s, int64_t i) {
    int64_t n = s->n;
    pitot_real c[2 * PANEL], *row = s->a + i * n, *v = s->p + 2 * s->panel * n, *w = v + n;
    for (int64_t k = 0; k < 2 * s->panel; k++) c[k] = s->q[k * n + i];
    subtract_rows(row + i, s->p + i, n, 2 * s->panel, c, n - i);
    s->d[i] = row[i];
    s->from = i + 1;
    if (s->from == n) return;
    memcpy(v + s->from, row + s->from, (size_t)(n - s->from) * sizeof *v);
    pitot_real tau = reflection(v + s->from, n - s->from, s->e + i);
    other_side(s, v, tau, w);
    memcpy(s->q + 2 * s->panel * n + s->from, w + s->from, (size_t)(n - s->from) * sizeof *w);
    memcpy(s->q + (2 * s->panel + 1) * n + s->from, v + s->from, (size_t)(n - s->from) * sizeof *v);
    s->panel++;
}

/* A strip of rows of A -= V W' + W V', from the diagonal on */
static void update(const reduction *s, int64_t k) {
    int64_t n = s->n, i = s->from + k * STRIP, rows = n - i < STRIP ? n - i : STRIP;
    blas_gemm(1, 0, rows, n - i, 2 * s->panel, -1, s->p + i, n, s->q + i, n, 1, s->a + i * n + i, n);
}

static void reduce(reduction *s) {
    for (int64_t i = 0; i < s->n; i += PANEL) {
        s->panel = 0;
        for (int64_t k = i; k < i + PANEL && k < s->n; k++) one_column(s, k);
        share(s, update, (s->n - s->from + STRIP - 1) / STRIP);
    }
    atomic_store_explicit(&s->over, 1, memory_order_release);
}

/* The first run comes first where one thread has several: the others then find all done. */
static void run(void *job, int64_t begin, int64_t end, int thread) {
    (void)end;
    (void)thread;
    const reduction *s = job;
    if (begin == 0) reduce(job);
    else if (s->threads > 1) help(job);
}

static int helpful(int threads, int64_t n) {
    int64_t most = 1 + n / EACH < MOST_THREADS ? 1 + n / EACH : MOST_THREADS;
    return threads < 1 ? 1 : threads < most ? threads : (int)most;
}

int64_t householder_work(int threads, int64_t n) {
    return (4 * PANEL + (int64_t)helpful(threads, n)) * n;
}

void householder_tridiagonal(int threads, int64_t n, pitot_real *a, pitot_real *d, pitot_real *e, pitot_real *work) {
    reduction s = { .n = n,
                    .threads = helpful(threads, n),
                    .a = a,
                    .d = d,
                    .e = e,
                    .p = work,
                    .q = work + 2 * PANEL * n,
                    .y = work + 4 * PANEL * n };
    int runs = s.threads > 1 ? s.threads : 2; /* inside of threads_run BLAS stays on its thread */
    threads_run(runs, runs, run, &s);
}
