/* pairs.c: see parts.h. Threads take features, not samples: each packs only its own, and a square of few samples is enough for all. */

#include "sweep/parts.h"

#include "base/blas.h"
#include "base/threads.h"
#include "pitot/hot.h"

int64_t pairs_room(void) {
    return 2 * PAIRS * PAIRS;
}

int64_t pairs_cut(int64_t n, int64_t k) {
    int64_t blocks = parts(n, PAIRS);
    return n * k / blocks;
}

static pitot_real *products_of(const pairs *p, int side, int64_t thread) {
    return p->room + (2 * thread + side) * PAIRS * PAIRS;
}

static void feature_task(void *job, int64_t begin, int64_t end, int thread) {
    const pairs *p = job;
    for (int i = 0; i < 2; i++) {
        const pair_side *s = &p->side[i];
        int64_t from = s->d * begin / p->threads, d = s->d * end / p->threads - from;
        pitot_real *k = products_of(p, i, thread);
        if (p->same) blas_syrk(0, p->rows, d, 1, s->x + from, s->ld_x, 0, k, PAIRS);
        else blas_gemm(0, 1, p->rows, p->columns, d, 1, s->x + from, s->ld_x, s->y + from, s->ld_y, 0, k, PAIRS);
    }
}

PITOT_HOT static void add_values(pitot_real *to, const pitot_real *from, int64_t n) {
    for (int64_t i = 0; i < n; i++) to[i] += from[i];
}

PITOT_HOT static void add_products(const pitot_real *k, const pitot_real *l, int64_t n, double *sum) {
    for (int64_t i = 0; i < n; i++) sum[i] += (double)k[i] * (double)l[i];
}

double pairs_row(const pairs *p, int64_t row, double *columns) {
    int64_t from = p->same ? row : 0, at = row * PAIRS + from, n = p->columns - from, beside = p->same;
    pitot_real *k = products_of(p, 0, 0) + at, *l = products_of(p, 1, 0) + at;
    for (int64_t t = 1; t < p->threads; t++) {
        add_values(k, products_of(p, 0, t) + at, n);
        add_values(l, products_of(p, 1, t) + at, n);
    }
    if (columns) add_products(k + beside, l + beside, n - beside, columns + from + beside);
    return loop_dot(k, l, n);
}

void pairs_run(const pairs *p, thread_task rows, void *job) {
    threads_run(p->threads, p->threads, feature_task, (void *)p);
    threads_run(p->threads, p->rows, rows, job);
}
