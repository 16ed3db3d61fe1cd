/* sweep.c: see sweep.h: the walk over the targets and the division of `work`, which all targets share one after the other. */

#include "sweep/histogram.h"

#include "base/threads.h"

#include <string.h>

enum { LINE = 64, WORTH_THREADS = 1 << 18 }; /* flops from which a second thread pays */
#define MOST_VALUES ((int64_t)1 << 60)

void *arena_take(arena *a, int64_t count, int64_t each, size_t size) {
    int64_t bytes;
    char *at = a->base ? a->base + a->used : NULL;
    if (a->most == INT64_MAX) return NULL;
    if (__builtin_mul_overflow(count, each, &bytes) || __builtin_mul_overflow(bytes, (int64_t)size, &bytes) ||
        __builtin_add_overflow(bytes, a->used, &bytes) || bytes > INT64_MAX - LINE) {
        a->most = INT64_MAX;
        return NULL;
    }
    a->used = (bytes + LINE - 1) / LINE * LINE;
    if (a->used > a->most) a->most = a->used;
    return at;
}

int sweep_threads(const sweep_job *job, double flops, int64_t items) {
    int64_t threads = flops < WORTH_THREADS ? 1 : job->threads;
    return (int)most(1, least(threads, items));
}

/* g_n'd takes a way of its own. */
static int projects(const sweep_job *job, const sweep_target *t) {
    return job->wants & SWEEP_PROJECTION && (plain_fits(t) || !tiled_projects(job, t));
}

int64_t sweep_work(const sweep_job *job) {
    arena a = { 0 };
    for (int32_t i = 0; i < job->n_targets; i++) {
        const sweep_target *t = &job->target[i];
        a.used = 0;
        if (plain_fits(t)) plain_work(job, t, &a);
        else tiled_work(job, t, &a);
        a.used = 0;
        if (plain_fits(t) && job->wants & SWEEP_HISTOGRAMS) plain_histogram_work(job, t, &a);
        a.used = 0;
        samples_work(job, t, &a);
        a.used = 0;
        if (t->outer.n > 0) outer_work(job, t, &a);
        else if (projects(job, t)) project_work(job, t, &a);
        a.used = 0;
        if (job->wants & SWEEP_GRAM) gram_work(job, t, &a);
    }
    int64_t values = a.most / (int64_t)sizeof(pitot_real);
    return a.most == INT64_MAX || values > MOST_VALUES ? -1 : values;
}

int sweep_curves(const sweep_target *target, int64_t n) {
    return plain_fits(target) && !target->use->transposed && n > 1;
}

int64_t sweep_tiles(const sweep_target *target) {
    return plain_fits(target) ? plain_tiles(target) : tiled_tiles(target);
}

static void clear_sums(const sweep_job *job) {
    size_t bytes = (size_t)most(job->n, 0) * sizeof(double);
    if (job->wants & SWEEP_NORMS) memset(job->square, 0, bytes);
    if (job->wants & SWEEP_ALONG) memset(job->along, 0, bytes);
    if (job->wants & SWEEP_ALONG) memset(job->deviation, 0, bytes);
    if (job->wants & SWEEP_PROJECTION) memset(job->projection, 0, bytes);
    if (job->wants & SWEEP_GRAM) memset(job->gram, 0, (size_t)most(job->n, 0) * bytes);
    if (job->wants & SWEEP_HISTOGRAMS) histograms_clear(job);
}

void sweep_run(const sweep_job *job) {
    clear_sums(job);
    for (int32_t i = 0; i < job->n_targets && job->n > 0; i++) {
        const sweep_target *t = &job->target[i];
        arena a = { .base = (char *)job->work }, b = a, c = a, d = a;
        int plain = plain_fits(t);
        if (plain && job->wants & SWEEP_HISTOGRAMS) plain_histogram_run(job, i, &d);
        if (plain) plain_run(job, i, &a);
        else tiled_run(job, i, &a);
        if (projects(job, t) && t->outer.n > 0) outer_run(job, i, &b);
        else if (projects(job, t)) project_run(job, i, &b);
        if (job->wants & SWEEP_GRAM) gram_run(job, i, &c);
    }
    if (job->wants & SWEEP_GRAM) gram_finish(job);
    if (job->wants & SWEEP_ALONG && job->n == 1) job->deviation[0] = 0;
}

static void add_up(const sweep_job *job, int32_t target, const double *weight, pitot_real *out) {
    const sweep_target *t = &job->target[target];
    arena a = { .base = (char *)job->work };
    if (job->n <= 0) memset(out, 0, (size_t)t->size * sizeof *out);
    else if (plain_fits(t)) plain_sum(job, t, weight, &a, out);
    else tiled_sum(job, t, weight, &a, out);
}

void sweep_sum(const sweep_job *job, int32_t target, pitot_real *out) {
    add_up(job, target, NULL, out);
}

void sweep_weighted_sum(const sweep_job *job, int32_t target, const double *weight, pitot_real *out) {
    add_up(job, target, weight, out);
}
