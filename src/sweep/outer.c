/* outer.c: see parts.h: a direction that is itself a sum of outer products, as a step of gradient descent is: d = f sum_m g_m a_m' with
   the A and G of the batch that it was made from. Then

       g_n'd = scale f sum_m (A_n'a_m) (G_n'g_m),

   products of samples with samples in place of one with d: 2 n m (din + dout) flops, not 2 n din dout. */

#include "sweep/parts.h"

#include "base/blas.h"
#include "base/threads.h"

#include <string.h>

enum { ROWS = 64, COLUMNS = 256 }; /* of a block of products */

typedef struct outer {
    const sweep_job *job;
    const sweep_target *t;
    int threads;
    pitot_real *products; /* (threads, 2, ROWS, COLUMNS) */
} outer;

int sweep_outer_pays(const sweep_target *t, int64_t n) {
    return plain_fits(t) && (double)n * (double)(t->use->din + t->use->dout) < (double)t->size;
}

int sweep_outer_fits(const sweep_target *t, const sweep_outer *d) {
    return plain_fits(t) && t->use->din == d->din && t->use->dout == d->dout && t->use->transposed == d->transposed;
}

static outer outer_of(const sweep_job *job, const sweep_target *t, arena *a) {
    outer o = { .job = job, .t = t };
    double flops = 2 * (double)job->n * (double)t->outer.n * (double)(t->use->din + t->use->dout);
    o.threads = sweep_threads(job, flops, INT32_MAX);
    o.products = arena_take(a, o.threads, 2 * ROWS * COLUMNS, sizeof *o.products);
    return o;
}

void outer_work(const sweep_job *job, const sweep_target *t, arena *a) {
    outer_of(job, t, a);
}

/* Samples from..from+rows of the job with all of those of the direction. */
static void add_rows(const outer *o, int64_t from, int64_t rows, pitot_real *k) {
    const sweep_use *u = o->t->use;
    const sweep_outer *d = &o->t->outer;
    pitot_real *l = k + ROWS * COLUMNS;
    for (int64_t m = 0; m < d->n; m += COLUMNS) {
        int64_t columns = least(COLUMNS, d->n - m);
        blas_gemm(0, 1, rows, columns, u->din, 1, u->a + from * u->a_sample, u->a_sample, d->a + m * u->din, u->din, 0, k, columns);
        blas_gemm(0, 1, rows, columns, u->dout, 1, u->g + from * u->g_sample, u->g_sample, d->g + m * u->dout, u->dout, 0, l,
                  columns);
        for (int64_t i = 0; i < rows; i++)
            o->job->projection[from + i] +=
                o->job->scale * u->scale * d->factor * loop_dot(k + i * columns, l + i * columns, columns);
    }
}

static void sample_task(void *job, int64_t begin, int64_t end, int thread) {
    const outer *o = job;
    pitot_real *k = o->products + thread * 2 * ROWS * COLUMNS;
    for (int64_t n = begin; n < end; n += ROWS) add_rows(o, n, least(ROWS, end - n), k);
}

void outer_run(const sweep_job *job, int32_t target, arena *a) {
    outer o = outer_of(job, &job->target[target], a);
    threads_run(o.threads, job->n, sample_task, &o);
}
