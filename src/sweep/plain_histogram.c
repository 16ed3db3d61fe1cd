/* plain_histogram.c: see plain_histogram.h: the walk over blocks of samples, and histograms on one axis. There, for each l that reaches an
   edge, the products beyond it are a run of the ranked r. */

#include "sweep/plain_histogram.h"

#include "base/threads.h"
#include "pitot/hot.h"

#include <float.h>
#include <math.h>
#include <string.h>

#ifdef PITOT_DOUBLE
static const pitot_real greatest = DBL_MAX;
#else
static const pitot_real greatest = FLT_MAX;
#endif

enum { FLOPS = 4 }; /* that ranking and counting take as long as, for each product: few of them are looked at */

static void lay_out_line(counting *c, arena *a) {
    int64_t threads = c->bins ? c->threads : 0;
    c->value = arena_take(a, threads, c->columns + 1, sizeof *c->value);
    c->factor = arena_take(a, threads, to_lines(c->rows), sizeof *c->factor);
    c->magnitude = arena_take(a, threads, to_lines(c->columns + 2), sizeof *c->magnitude);
    c->positive = arena_take(a, threads, to_lines(c->columns + 1), sizeof *c->positive);
    c->start = arena_take(a, threads, to_lines(LADDER_STEPS + 1), sizeof *c->start);
    c->past = arena_take(a, threads, to_lines(c->bins), sizeof *c->past);
}

static void lay_out_plane(counting *c, arena *a) {
    int64_t threads = c->room ? c->threads : 0, samples = c->room ? least(SAMPLES, c->job->n) : 0;
    c->list = arena_take(a, samples, c->columns + 1, sizeof *c->list);
    c->negative = arena_take(a, parts(samples, 64), c->columns, sizeof *c->negative);
    c->nonzero = arena_take(a, parts(samples, 64), c->columns, sizeof *c->nonzero);
    c->sign = arena_take(a, threads, SIGNS * c->stride, sizeof *c->sign);
    c->visited = arena_take(a, threads, c->room, sizeof *c->visited);
    c->pack = arena_take(a, threads, PACKS * c->stride, sizeof *c->pack);
}

static counting counting_of(const sweep_job *job, const sweep_target *t, arena *a) {
    const sweep_use *u = t->use;
    int turned = u->transposed;
    counting c = { .job = job, .t = t, .left = turned ? u->a : u->g, .right = turned ? u->g : u->a };
    c.rows = turned ? u->din : u->dout;
    c.columns = turned ? u->dout : u->din;
    c.ld_left = turned ? u->a_sample : u->g_sample;
    c.ld_right = turned ? u->g_sample : u->a_sample;
    c.threads = sweep_threads(job, FLOPS * (double)job->n * (double)t->size, INT32_MAX);
    c.tallies = tallies_lay_out(job, c.threads, c.threads, c.columns, a);
    for (int32_t i = 0; i < job->n_histograms; i++) {
        const sweep_histogram *h = &job->histogram[i];
        if (a->most == INT64_MAX) return c;
        if (!h->y_bins) c.bins = most(c.bins, h->bins);
        else c.stride = most(c.stride, to_lines(h->y_bins + 1));
        if (h->y_bins) c.room = most(c.room, to_lines(h->bins * (h->y_bins + 1)));
    }
    c.sample = arena_take(a, 1, SAMPLES, sizeof *c.sample);
    c.row = arena_take(a, c.threads, to_lines(c.columns), sizeof *c.row);
    c.scratch = arena_take(a, c.threads, c.columns + 1, sizeof *c.scratch);
    lay_out_line(&c, a);
    lay_out_plane(&c, a);
    return c;
}

void plain_histogram_work(const sweep_job *job, const sweep_target *t, arena *a) {
    counting_of(job, t, a);
}

/* ---- samples ---- */

enum { LANES = 16 };

typedef struct extents { /* of every LANES-th value */
    pitot_real low[LANES], high[LANES];
    int32_t positive[LANES], negative[LANES], bad[LANES];
} extents;

static inline void look_at(const pitot_real *x, int lanes, extents *e) {
    for (int l = 0; l < lanes; l++) {
        pitot_real size = (pitot_real)fabs((double)x[l]), nonzero = size > 0 ? size : (pitot_real)INFINITY;
        e->low[l] = nonzero < e->low[l] ? nonzero : e->low[l];
        e->high[l] = size > e->high[l] ? size : e->high[l];
        e->positive[l] += x[l] > 0;
        e->negative[l] += x[l] < 0;
        e->bad[l] |= !(size <= greatest);
    }
}

PITOT_HOT static extent extent_of(const pitot_real *x, int64_t n) {
    extents lanes = { .high = { 0 } };
    extent e = { .least = (pitot_real)INFINITY, .finite = 1 };
    int64_t i = 0;
    for (int l = 0; l < LANES; l++) lanes.low[l] = e.least;
    for (; i + LANES <= n; i += LANES) look_at(x + i, LANES, &lanes);
    look_at(x + i, (int)(n - i), &lanes);
    for (int l = 0; l < LANES; l++) {
        e.least = lanes.low[l] < e.least ? lanes.low[l] : e.least;
        e.most = lanes.high[l] > e.most ? lanes.high[l] : e.most;
        e.positive += lanes.positive[l];
        e.negative += lanes.negative[l];
        e.finite &= !lanes.bad[l];
    }
    if (e.positive + e.negative == 0) e.least = 0;
    return e;
}

static void sample_task(void *job, int64_t begin, int64_t end, int thread) {
    counting *c = job;
    for (int64_t i = begin; i < end; i++) {
        sample *s = &c->sample[i];
        if (s->way == LEFT_OUT) continue;
        s->l = extent_of(s->left, c->rows);
        s->r = extent_of(s->right, c->columns);
        int simple = s->l.finite && s->r.finite && c->tallies.before == 1 && c->columns < INT32_MAX;
        s->way = simple ? BY_SIGN : BY_VALUE;
        if (simple) tallies_largest(&c->tallies, s->l.most * s->r.most, thread);
    }
}

static void take_samples(counting *c, int64_t begin) {
    c->n = least(SAMPLES, c->job->n - begin);
    c->by_sign = c->by_value = 0;
    for (int64_t i = 0; i < c->n; i++) {
        int64_t n = begin + i;
        c->sample[i] = (sample){ .left = c->left + n * c->ld_left, .right = c->right + n * c->ld_right };
        c->sample[i].way = c->job->counts && !c->job->counts[n] ? LEFT_OUT : BY_SIGN;
    }
    threads_run(c->threads, c->n, sample_task, c);
    for (int64_t i = 0; i < c->n; i++) {
        c->by_sign += c->sample[i].way == BY_SIGN;
        c->by_value += c->sample[i].way == BY_VALUE;
    }
}

/* ---- row by row ---- */

PITOT_HOT static void multiply(pitot_real l, const pitot_real *r, int64_t n, pitot_real *out) {
    for (int64_t j = 0; j < n; j++) out[j] = l * r[j];
}

static void value_task(void *job, int64_t begin, int64_t end, int thread) {
    const counting *c = job;
    pitot_real *row = c->row + thread * to_lines(c->columns);
    for (int64_t i = begin; i < end; i++) {
        tallies_values(&c->tallies, c->t, i * c->columns, (i + 1) * c->columns, thread);
        for (int64_t n = 0; n < c->n; n++) {
            if (c->sample[n].way != BY_VALUE) continue;
            multiply(c->sample[n].left[i], c->sample[n].right, c->columns, row);
            if (c->tallies.before != 1) loop_scale(row, c->tallies.before, c->columns, row);
            tallies_count(&c->tallies, row, c->columns, thread, 0, thread);
        }
    }
}

/* ---- one axis ---- */

typedef struct reach { /* edges on one side of 0, away from it: first, first+step .. end-step lie among a sample's products */
    int64_t first, end, step; /* before them, all products of the sign are beyond */
    int64_t products;         /* of this sign */
} reach;

static reach reach_of(const axis *a, int up, const sample *s, int64_t *past) {
    pitot_real low = s->l.least * s->r.least, high = s->l.most * s->r.most;
    reach e = { .first = up ? a->zero + 1 : a->zero, .step = up ? 1 : -1 };
    int64_t alike = s->l.positive * s->r.positive + s->l.negative * s->r.negative,
            unlike = s->l.positive * s->r.negative + s->l.negative * s->r.positive;
    for (; a->beyond[e.first] <= low; e.first += e.step) past[e.first] += up ? alike : unlike;
    for (e.end = e.first; a->beyond[e.end] <= high;) e.end += e.step;
    return e;
}

typedef struct line_room { /* one thread's */
    int64_t *past, *table;
    ranked *value, *scratch;
    pitot_real *factor;
    ladder r;
} line_room;

static line_room room_of(const counting *c, int thread) {
    ladder r = { .magnitude = c->magnitude + thread * to_lines(c->columns + 2),
                 .positive = c->positive + thread * to_lines(c->columns + 1),
                 .start = c->start + thread * to_lines(LADDER_STEPS + 1) };
    return (line_room){ c->past + thread * to_lines(c->bins),   c->h->table + thread * c->h->room,
                        c->value + thread * (c->columns + 1),   c->scratch + thread * (c->columns + 1),
                        c->factor + thread * to_lines(c->rows), r };
}

/* Edge by edge, with the l that reach it. */
static void count_past(const counting *c, const reach *e, const sample *s, const line_room *t) {
    const axis *a = &c->h->x;
    if (e->first == e->end) return;
    int64_t n = select_values(s->left, c->rows, s->r.most, a->beyond[e->first], t->factor);
    for (int64_t k = e->first; k != e->end; k += e->step)
        n = ladder_count(&t->r, e->step > 0, a->beyond[k], s->r.most, a->beyond[k + e->step], t->factor, n, &t->past[k]);
}

static void line_task(void *job, int64_t begin, int64_t end, int thread) {
    const counting *c = job;
    const axis *a = &c->h->x;
    line_room t = room_of(c, thread);
    for (int64_t n = begin; n < end; n++) {
        const sample *s = &c->sample[n];
        if (s->way != BY_SIGN) continue;
        t.table[a->zero] += c->rows * c->columns;
        reach up = reach_of(a, 1, s, t.past), down = reach_of(a, 0, s, t.past);
        if (up.first == up.end && down.first == down.end) continue;
        pitot_real bound = a->beyond[up.first != up.end ? up.first : down.first];
        if (down.first != down.end && a->beyond[down.first] < bound) bound = a->beyond[down.first];
        ladder_make(&t.r, t.value, rank_values(s->right, c->columns, s->l.most, bound, t.value, t.scratch));
        count_past(c, &up, s, &t);
        count_past(c, &down, s, &t);
    }
}

static void line_run(counting *c) {
    const axis *a = &c->h->x;
    memset(c->past, 0, (size_t)(c->threads * to_lines(c->bins)) * sizeof *c->past);
    threads_run(c->threads, c->n, line_task, c);
    for (int thread = 0; thread < c->threads; thread++) {
        const int64_t *past = c->past + thread * to_lines(c->bins);
        int64_t *table = c->h->table + thread * c->h->room;
        for (int64_t k = 1; k < a->bins; k++) {
            table[k] += k > a->zero ? past[k] : -past[k];
            table[k - 1] -= k > a->zero ? past[k] : -past[k];
        }
    }
}

/* ---- all ---- */

void plain_histogram_run(const sweep_job *job, int32_t target, arena *a) {
    const sweep_target *t = &job->target[target];
    counting c = counting_of(job, t, a);
    tallies_start(&c.tallies, job->scale * t->use->scale);
    for (int64_t begin = 0; begin < job->n && t->size > 0; begin += SAMPLES) {
        take_samples(&c, begin);
        if (c.by_value) threads_run(c.threads, c.rows, value_task, &c);
        for (int32_t i = 0; i < c.tallies.n && c.by_sign; i++) {
            c.h = &c.tallies.of[i];
            if (c.h->y.bins) plane_run(&c);
            else line_run(&c);
        }
    }
    tallies_finish(&c.tallies, target);
}
