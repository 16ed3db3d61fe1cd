/* samples.c: see sweep.h: gradients of single samples in full. */

#include "sweep/parts.h"

#include "base/threads.h"

#include <string.h>

typedef struct samples {
    const sweep_job *job;
    const sweep_target *t;
    int64_t first, stride;
    pitot_real *out;
    int64_t unfolded, planes; /* values for one thread */
    pitot_real *room_unfolded, *room_planes;
} samples;

static samples samples_of(const sweep_job *job, const sweep_target *t, arena *a) {
    samples s = { .job = job, .t = t };
    for (int32_t i = 0; i < t->n_uses; i++) {
        s.unfolded = most(s.unfolded, to_lines(use_unfolded(&t->use[i])));
        s.planes = most(s.planes, to_lines(use_planes(&t->use[i])));
    }
    s.room_unfolded = arena_take(a, most(1, job->threads), s.unfolded, sizeof *s.room_unfolded);
    s.room_planes = arena_take(a, most(1, job->threads), s.planes, sizeof *s.room_planes);
    return s;
}

void samples_work(const sweep_job *job, const sweep_target *t, arena *a) {
    samples_of(job, t, a);
}

static void sample_task(void *job, int64_t begin, int64_t end, int thread) {
    const samples *s = job;
    tile_room room = { s->room_unfolded + thread * s->unfolded, s->room_planes + thread * s->planes };
    for (int64_t k = begin; k < end; k++) {
        pitot_real *out = s->out + k * s->stride;
        if (!s->t->n_uses) memset(out, 0, (size_t)s->t->size * sizeof *out);
        for (int32_t i = 0; i < s->t->n_uses; i++) {
            const sweep_use *u = &s->t->use[i];
            tile_make(u, s->first + k, 0, s->t->size, s->job->scale * u->scale, i > 0, &room, out);
        }
    }
}

void sweep_samples(const sweep_job *job, int32_t target, int64_t begin, int64_t end, pitot_real *out, int64_t stride) {
    const sweep_target *t = &job->target[target];
    arena a = { .base = (char *)job->work };
    samples s = samples_of(job, t, &a);
    double positions = 1;
    for (int32_t i = 0; i < t->n_uses; i++) positions += (double)use_positions(&t->use[i]);
    s.first = begin;
    s.stride = stride;
    s.out = out;
    if (t->size > 0 && begin < end)
        threads_run(sweep_threads(job, 2 * (double)(end - begin) * (double)t->size * positions, end - begin), end - begin,
                    sample_task, &s);
}
