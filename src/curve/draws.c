/* draws.c: see draws.h. Sign i is bit i mod 64 of word i / 64; normal values come in pairs. */

#include "curve/draws.h"

#include "base/random.h"
#include "base/sums.h"
#include "base/threads.h"

void draws_signs_part(pitot_real *y, int64_t begin, int64_t n, uint64_t seed, uint64_t purpose, uint64_t draw) {
    uint64_t bits = 0;
    for (int64_t i = begin; i < begin + n; i++) {
        if (i == begin || i % 64 == 0) bits = random_bits(seed, purpose, draw, (uint64_t)i / 64);
        y[i - begin] = (pitot_real)(bits >> i % 64 & 1 ? 1 : -1);
    }
}

typedef struct draw_job {
    pitot_real *y;
    uint64_t seed, purpose, draw;
} draw_job;

static void signs_task(void *job, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const draw_job *d = job;
    draws_signs_part(d->y + begin, begin, end - begin, d->seed, d->purpose, d->draw);
}

void draws_signs(pitot_real *y, int64_t n, uint64_t seed, uint64_t purpose, uint64_t draw) {
    draw_job job = { y, seed, purpose, draw };
    threads_run(sums_threads(n), n, signs_task, &job);
}

static void normal_task(void *job, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const draw_job *d = job;
    double pair[2];
    for (int64_t i = begin; i < end; i++) {
        if (i == begin || i % 2 == 0) random_normal(d->seed, d->purpose, d->draw, (uint64_t)i / 2, pair);
        d->y[i] = (pitot_real)pair[i % 2];
    }
}

void draws_normal(pitot_real *y, int64_t n, uint64_t seed, uint64_t purpose, uint64_t draw) {
    draw_job job = { y, seed, purpose, draw };
    threads_run(sums_threads(n), n, normal_task, &job);
}
