/* outer.c: see parts.h: a direction that is itself a sum of outer products, as a step of gradient descent is: d = f sum_m g_m a_m' with
   the A and G of the batch that it was made from. Then

       g_n'd = scale f sum_m (A_n'a_m) (G_n'g_m),

   products of samples with samples in place of one with d: 2 n m (din + dout) flops, not 2 n din dout. */

#include "sweep/parts.h"

typedef struct outer {
    const sweep_job *job;
    const sweep_target *t;
    int threads;
    pitot_real *products; /* (threads, pairs_room()) */
    pairs pairs;
    int64_t row;
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
    o.products = arena_take(a, o.threads, pairs_room(), sizeof *o.products);
    return o;
}

void outer_work(const sweep_job *job, const sweep_target *t, arena *a) {
    outer_of(job, t, a);
}

static void row_task(void *job, int64_t begin, int64_t end, int thread) {
    const outer *o = job;
    double factor = o->job->scale * o->t->use->scale * o->t->outer.factor;
    (void)thread;
    for (int64_t i = begin; i < end; i++) o->job->projection[o->row + i] += factor * pairs_row(&o->pairs, i, NULL);
}

/* Samples of the job from o->row on with those of the direction from `column` on. */
static void add_block(outer *o, int64_t rows, int64_t column, int64_t columns) {
    const sweep_use *u = o->t->use;
    const sweep_outer *d = &o->t->outer;
    pair_side a = { u->a + o->row * u->a_sample, d->a + column * d->din, u->a_sample, d->din, d->din },
              g = { u->g + o->row * u->g_sample, d->g + column * d->dout, u->g_sample, d->dout, d->dout };
    o->pairs = (pairs){ { a, g }, rows, columns, 0, o->threads, o->products };
    pairs_run(&o->pairs, row_task, o);
}

void outer_run(const sweep_job *job, int32_t target, arena *a) {
    outer o = outer_of(job, &job->target[target], a);
    int64_t n = job->n, m = o.t->outer.n;
    for (int64_t i = 0; i < parts(n, PAIRS); i++)
        for (int64_t j = 0; j < parts(m, PAIRS); j++) {
            int64_t column = pairs_cut(m, j);
            o.row = pairs_cut(n, i);
            add_block(&o, pairs_cut(n, i + 1) - o.row, column, pairs_cut(m, j + 1) - column);
        }
}
