/* tiled.c: see sweep.h. Samples side by side on threads: each thread makes a sample's tile of one chunk of the target, takes everything
   from it, and adds the squares of what is left without the mean to its own sums. */

#include "sweep/histogram.h"

#include "pitot/hot.h"
#include "base/threads.h"

#include <string.h>

/* Values of a chunk: tile, mean and sums stay in cache; a convolution unfolds its input again for each, so that many rows share it. */
enum { CHUNK = 1 << 15, CONV_CHUNK = 1 << 16, MOST_CHUNK = 1 << 19, CONV_ROWS = 64, TILE = 1 << 14 };
enum { COUNT = 2048 }; /* flops that counting one sample's tile into a histogram is worth */

typedef struct cut {
    int64_t chunk, chunks, tiles; /* tiles of a whole chunk */
} cut;

static cut cut_of(const sweep_target *t) {
    int64_t most_values = CHUNK, width = t->n_uses ? use_width(t->use) : 1;
    if (t->size <= 0) return (cut){ 1, 0, 0 };
    for (int32_t i = 0; i < t->n_uses; i++)
        if (t->use[i].kind == SWEEP_CONV)
            most_values = most(most_values, least(most(CONV_ROWS * use_width(&t->use[i]), CONV_CHUNK), MOST_CHUNK));
    int64_t chunk = parts(t->size, parts(t->size, most_values));
    if (width <= most_values) chunk = parts(chunk, width) * width;
    return (cut){ chunk, parts(t->size, chunk), parts(chunk, TILE) };
}

int64_t tiled_tiles(const sweep_target *t) {
    cut c = cut_of(t);
    return c.chunks ? (c.chunks - 1) * c.tiles + parts(t->size - (c.chunks - 1) * c.chunk, TILE) : 0;
}

typedef struct tiled {
    const sweep_job *job;
    const sweep_target *t;
    int32_t index;
    int threads, projects;
    cut c;
    int64_t unfolded, planes, products; /* values for one thread */
    pitot_real *tile, *room_unfolded, *room_planes, *room_products;
    double *sum; /* (threads, chunk) */
    pitot_real *mean, *variance;
    double common;        /* scale of all uses, taken out of the tile; 1 if they differ */
    const double *weight; /* (n): of a sum */
    int64_t begin, end;   /* the chunk at hand */
    tallies histograms;
} tiled;

double common_scale(const sweep_target *t) {
    double scale = t->n_uses ? t->use[0].scale : 1;
    for (int32_t i = 1; i < t->n_uses; i++)
        if (t->use[i].scale != scale) return 1;
    return scale;
}

/* A count takes its time however few the values. */
static double flops_of_sample(const sweep_job *job, const sweep_target *t) {
    double flops = 8 * (double)t->size + (job->wants & SWEEP_HISTOGRAMS ? COUNT * job->n_histograms : 0);
    for (int32_t i = 0; i < t->n_uses; i++) flops += 2 * (double)t->size * (double)most(1, use_positions(&t->use[i]));
    return flops;
}

/* Something is wanted that takes sums centred on the mean. */
static int is_centred(const sweep_job *job) {
    return (job->wants & (SWEEP_ALONG | SWEEP_MOMENTS)) != 0;
}

int tiled_projects(const sweep_job *job, const sweep_target *t) {
    int makes_tiles = is_centred(job) || job->wants & SWEEP_HISTOGRAMS || (job->wants & SWEEP_NORMS && !ghost_pays(t));
    return job->wants & SWEEP_PROJECTION && (makes_tiles || !project_pays(t));
}

static void lay_out(tiled *s, arena *a) {
    int centred = is_centred(s->job), walks = centred || s->job->wants & SWEEP_HISTOGRAMS;
    for (int32_t i = 0; i < s->t->n_uses; i++) {
        s->unfolded = most(s->unfolded, to_lines(use_unfolded(&s->t->use[i])));
        s->planes = most(s->planes, to_lines(use_planes(&s->t->use[i])));
    }
    s->products = !walks && s->job->wants & SWEEP_NORMS && ghost_pays(s->t) ? ghost_room(s->t) : 0;
    int64_t chunk = to_lines(s->c.chunk);
    s->tile = arena_take(a, s->threads, chunk, sizeof *s->tile);
    s->room_unfolded = arena_take(a, s->threads, s->unfolded, sizeof *s->tile);
    s->room_planes = arena_take(a, s->threads, s->planes, sizeof *s->tile);
    s->room_products = arena_take(a, s->threads, s->products, sizeof *s->tile);
    s->sum = arena_take(a, centred ? s->threads : 0, chunk, sizeof *s->sum);
    s->mean = arena_take(a, centred, chunk, sizeof *s->mean);
    s->variance = arena_take(a, centred, chunk, sizeof *s->variance);
    if (s->job->wants & SWEEP_HISTOGRAMS) s->histograms = tallies_lay_out(s->job, s->threads, 1, s->c.chunk, a);
}

static tiled tiled_of(const sweep_job *job, const sweep_target *t, arena *a) {
    tiled s = { .job = job, .t = t, .c = cut_of(t), .common = common_scale(t) };
    s.projects = tiled_projects(job, t);
    s.threads = sweep_threads(job, (double)job->n * flops_of_sample(job, t), job->n);
    lay_out(&s, a);
    return s;
}

void tiled_work(const sweep_job *job, const sweep_target *t, arena *a) {
    tiled_of(job, t, a);
}

static tile_room room_of(const tiled *s, int thread) {
    return (tile_room){ s->room_unfolded + thread * s->unfolded, s->room_planes + thread * s->planes };
}

static void add_uses(const tiled *s, int64_t n, int64_t begin, int64_t end, int thread, double weight, int add) {
    tile_room room = room_of(s, thread);
    pitot_real *tile = s->tile + thread * to_lines(s->c.chunk);
    if (!s->t->n_uses) memset(tile, 0, (size_t)(end - begin) * sizeof *tile);
    for (int32_t i = 0; i < s->t->n_uses; i++) {
        const sweep_use *u = &s->t->use[i];
        tile_make(u, n, begin, end, weight * (u->scale == s->common ? 1 : u->scale), add || i, &room, tile);
    }
}

/* Values begin..end of g_n / (job.scale * common): where they lie already, or made in the thread's tile. */
static const pitot_real *sample_tile(const tiled *s, int64_t n, int64_t begin, int64_t end, int thread) {
    const sweep_use *u = s->t->use;
    if (s->t->n_uses == 1 && (u->kind == SWEEP_GIVEN || (u->kind == SWEEP_SUM && u->t == 1 && u->g_value == 1)))
        return u->g + n * u->g_sample + begin;
    add_uses(s, n, begin, end, thread, 1, 0);
    return s->tile + thread * to_lines(s->c.chunk);
}

/* ---- |g_n|^2, g_n'd alone ---- */

static void add_products(const tiled *s, int64_t n, int thread) {
    const sweep_job *j = s->job;
    double scale = j->scale * s->common, square = 0, projection = 0;
    for (int64_t begin = 0; begin < s->t->size; begin += s->c.chunk) {
        int64_t end = least(begin + s->c.chunk, s->t->size);
        const pitot_real *x = sample_tile(s, n, begin, end, thread);
        if (j->wants & SWEEP_NORMS) square += loop_square(x, end - begin);
        if (s->projects) projection += loop_dot(x, s->t->direction + begin, end - begin);
    }
    if (j->wants & SWEEP_NORMS) j->square[n] += scale * scale * square;
    if (s->projects) j->projection[n] += scale * projection;
}

static void products_task(void *job, int64_t begin, int64_t end, int thread) {
    const tiled *s = job;
    double scale = s->job->scale * s->common;
    tile_room room = room_of(s, thread);
    for (int64_t n = begin; n < end; n++) {
        double square = s->products ? ghost_square(s->t->use, n, &room, s->room_products + thread * s->products) : -1;
        if (square >= 0) s->job->square[n] += scale * scale * square;
        else add_products(s, n, thread);
    }
}

/* ---- everything ---- */

/* x (end-begin): values of the chunk at hand. */
static void count_chunk(const tiled *s, const pitot_real *x, int thread) {
    const tallies *h = &s->histograms;
    pitot_real *tile = s->tile + thread * to_lines(s->c.chunk);
    if (h->before != 1) loop_scale(x, h->before, s->end - s->begin, tile);
    tallies_count(h, h->before != 1 ? tile : x, s->end - s->begin, 0, 0, thread);
}

static void centre_task(void *job, int64_t begin, int64_t end, int thread) {
    const tiled *s = job;
    const sweep_job *j = s->job;
    int64_t size = s->end - s->begin;
    double *sum = s->sum + thread * to_lines(s->c.chunk), scale = j->scale * s->common;
    if (is_centred(j)) memset(sum, 0, (size_t)size * sizeof *sum);
    for (int64_t n = begin; n < end; n++) {
        const pitot_real *x = sample_tile(s, n, s->begin, s->end, thread);
        if (s->projects) j->projection[n] += scale * loop_dot(x, s->t->direction + s->begin, size);
        if (is_centred(j)) {
            loop_sums l = loop_centre(x, scale, s->t->mean + s->begin, j->mean_scale, size, sum);
            if (j->wants & SWEEP_NORMS) j->square[n] += l.square;
            if (j->wants & SWEEP_ALONG) j->along[n] += l.along;
            if (j->wants & SWEEP_ALONG) j->deviation[n] += l.deviation;
        } else if (j->wants & SWEEP_NORMS) j->square[n] += scale * scale * loop_square(x, size);
        if (j->wants & SWEEP_HISTOGRAMS && (!j->counts || j->counts[n])) count_chunk(s, x, thread);
    }
}

/* variance (n) = part * the sum of `runs` rows, `ld` apart; the first is overwritten. */
PITOT_HOT static void variance_of(double *sum, int64_t ld, int runs, int64_t n, double part, pitot_real *variance) {
    for (int k = 1; k < runs; k++)
        for (int64_t i = 0; i < n; i++) sum[i] += sum[k * ld + i];
    for (int64_t i = 0; i < n; i++) variance[i] = (pitot_real)(sum[i] * part);
}

static void moments_task(void *job, int64_t begin, int64_t end, int thread) {
    const tiled *s = job;
    const sweep_job *j = s->job;
    double part = j->n > 1 ? 1 / (double)j->n : 0;
    for (int64_t k = begin; k < end; k++) {
        int64_t from = k * TILE, n = least(TILE, s->end - s->begin - from);
        sweep_tile tile = { .target = s->index, .thread = thread, .index = s->begin / s->c.chunk * s->c.tiles + k };
        tile.begin = s->begin + from;
        tile.end = tile.begin + n;
        tile.mean = s->t->mean + tile.begin;
        tile.variance = s->variance + from;
        if (j->mean_scale != 1) loop_scale(tile.mean, j->mean_scale, n, s->mean + from);
        if (j->mean_scale != 1) tile.mean = s->mean + from;
        variance_of(s->sum + from, to_lines(s->c.chunk), s->threads, n, part, s->variance + from);
        j->moments(j->user, &tile);
    }
}

void tiled_run(const sweep_job *job, int32_t target, arena *a) {
    tiled s = tiled_of(job, &job->target[target], a);
    s.index = target;
    if (!is_centred(job) && !(job->wants & SWEEP_HISTOGRAMS)) {
        if (job->wants & SWEEP_NORMS || s.projects) threads_run(s.threads, job->n, products_task, &s);
        return;
    }
    if (job->wants & SWEEP_HISTOGRAMS) tallies_start(&s.histograms, job->scale * s.common);
    for (s.begin = 0; s.begin < s.t->size; s.begin = s.end) {
        s.end = least(s.begin + s.c.chunk, s.t->size);
        if (job->wants & SWEEP_HISTOGRAMS) tallies_values(&s.histograms, s.t, s.begin, s.end, 0);
        threads_run(s.threads, job->n, centre_task, &s);
        if (job->wants & SWEEP_MOMENTS) threads_run(s.threads, parts(s.end - s.begin, TILE), moments_task, &s);
    }
    if (job->wants & SWEEP_HISTOGRAMS) tallies_finish(&s.histograms, target);
}

/* ---- the sum ---- */

static void sum_task(void *job, int64_t begin, int64_t end, int thread) {
    const tiled *s = job;
    for (int64_t n = begin; n < end; n++) add_uses(s, n, s->begin, s->end, thread, s->weight ? s->weight[n] : 1, n > begin);
}

void tiled_sum(const sweep_job *job, const sweep_target *t, const double *weight, arena *a, pitot_real *out) {
    tiled s = tiled_of(job, t, a);
    s.weight = weight;
    double scale = job->scale * s.common;
    for (s.begin = 0; s.begin < t->size; s.begin = s.end) {
        s.end = least(s.begin + s.c.chunk, t->size);
        threads_run(s.threads, job->n, sum_task, &s);
        for (int64_t i = s.begin; i < s.end; i++) {
            double all = 0;
            for (int k = 0; k < s.threads; k++) all += (double)s.tile[k * to_lines(s.c.chunk) + i - s.begin];
            out[i] = (pitot_real)(scale * all);
        }
    }
}
