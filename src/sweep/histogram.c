/* histogram.c: see histogram.h. */

#include "sweep/histogram.h"

#include "base/threads.h"
#include "pitot/hot.h"

#include <math.h>
#include <string.h>

enum {
    LINE = 64 / sizeof(pitot_real),
    RUN = 4096,       /* values that are looked through, then counted, in cache */
    FEW = 8,          /* bins that cost less by comparing everything with their edges */
    SIDE_BY_SIDE = 4, /* tables that equal neighbours are spread over, */
    NARROW = 256,     /* where they have no more bins than this */
    WORTH_THREADS = 1 << 14
};
#define MOST_VALUES ((int64_t)1 << 56) /* of a table */

tallies tallies_lay_out(const sweep_job *job, int threads, int64_t blocks, int64_t run, arena *a) {
    tallies t = { .job = job, .threads = threads, .n = job->n_histograms };
    t.of = arena_take(a, 1, t.n, sizeof *t.of);
    t.most = arena_take(a, threads, LINE, sizeof *t.most);
    for (int32_t i = 0; i < t.n; i++) {
        const sweep_histogram *h = &job->histogram[i];
        if (h->y_bins >= INT32_MAX || h->bins > MOST_VALUES / (h->y_bins + 1)) a->most = INT64_MAX;
        if (a->most == INT64_MAX) return t;
        tally y = { .stride = h->y_bins ? h->y_bins + 1 : 1, .y_begin = to_lines(run) };
        y.room = to_lines(h->bins * y.stride);
        axis_lay_out(&y.x, h->bins, a);
        y.table = arena_take(a, threads, y.room, sizeof *y.table);
        if (h->y_bins) axis_lay_out(&y.y, h->y_bins, a);
        y.y_bin = arena_take(a, h->y_bins ? blocks : 0, y.y_begin, sizeof *y.y_bin);
        if (t.of) t.of[i] = y;
    }
    return t;
}

void tallies_start(tallies *t, double scale) {
    int odd = scale == 0 || !isfinite(scale);
    t->before = odd ? scale : 1;
    t->scale = odd ? 1 : scale;
    memset(t->most, 0, (size_t)t->threads * LINE * sizeof *t->most);
    for (int32_t i = 0; i < t->n; i++) {
        tally *y = &t->of[i];
        axis_make(&y->x, t->job->histogram[i].edges, t->scale);
        if (y->y.bins) axis_make(&y->y, t->job->histogram[i].y_edges, 1);
        memset(y->table, 0, (size_t)(t->threads * y->room) * sizeof *y->table);
    }
}

/* ---- bins of theta ---- */

PITOT_HOT static void find_bins(const axis *a, const pitot_real *theta, int64_t n, int32_t *bin) {
    const axis y = *a;
    for (int64_t i = 0; i < n; i++) {
        int32_t k = axis_guess(&y, theta[i]);
        k += theta[i] >= y.from[k + 1];
        bin[i] = theta[i] == theta[i] ? k : (int32_t)y.bins;
    }
}

typedef struct values_job {
    const tally *h;
    const pitot_real *theta;
    int32_t *bin;
} values_job;

static void values_task(void *job, int64_t begin, int64_t end, int thread) {
    const values_job *v = job;
    const axis *y = &v->h->y;
    (void)thread;
    if (y->guesses) find_bins(y, v->theta + begin, end - begin, v->bin + begin);
    for (int64_t i = begin; !y->guesses && i < end; i++)
        v->bin[i] = (int32_t)(isnan(v->theta[i]) ? y->bins : axis_search(y, v->theta[i]));
}

void tally_values(const tally *h, const sweep_target *t, int64_t begin, int64_t end, int64_t block) {
    values_job v = { h, t->values + begin, h->y_bin + block * h->y_begin };
    values_task(&v, 0, end - begin, 0);
}

void tallies_values(const tallies *t, const sweep_target *target, int64_t begin, int64_t end, int64_t block) {
    for (int32_t i = 0; i < t->n; i++) {
        const tally *h = &t->of[i];
        if (!h->y.bins) continue;
        values_job v = { h, target->values + begin, h->y_bin + block * h->y_begin };
        threads_run(end - begin < WORTH_THREADS ? 1 : t->threads, end - begin, values_task, &v);
    }
}

/* ---- counting ---- */

typedef struct range { /* of a run's values without NaN; least > most: none */
    pitot_real least, most;
    int64_t lost; /* how many are NaN */
} range;

PITOT_HOT static range range_of(const pitot_real *x, int64_t n) {
    enum { LANES = 32 };
    pitot_real low[LANES], high[LANES];
    int32_t lost[LANES] = { 0 };
    range r = { (pitot_real)INFINITY, (pitot_real)-INFINITY, 0 };
    int64_t i = 0;
    for (int l = 0; l < LANES; l++) low[l] = r.least, high[l] = r.most;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) {
            low[l] = x[i + l] < low[l] ? x[i + l] : low[l];
            high[l] = x[i + l] > high[l] ? x[i + l] : high[l];
            lost[l] += x[i + l] != x[i + l];
        }
    for (; i < n; i++) {
        low[0] = x[i] < low[0] ? x[i] : low[0];
        high[0] = x[i] > high[0] ? x[i] : high[0];
        lost[0] += x[i] != x[i];
    }
    for (int l = 0; l < LANES; l++) {
        r.least = low[l] < r.least ? low[l] : r.least;
        r.most = high[l] > r.most ? high[l] : r.most;
        r.lost += lost[l];
    }
    return r;
}

PITOT_HOT static int64_t count_from(const pitot_real *x, int64_t n, pitot_real from) {
    int32_t count = 0;
    for (int64_t i = 0; i < n; i++) count += x[i] >= from;
    return count;
}

PITOT_HOT static void count_narrow(const axis *given, const pitot_real *x, int64_t n, int64_t *table) {
    const axis a = *given;
    uint32_t part[SIDE_BY_SIDE][NARROW];
    for (int k = 0; k < SIDE_BY_SIDE; k++) memset(part[k], 0, (size_t)a.bins * sizeof part[k][0]);
    for (int64_t i = 0; i < n; i++) {
        int32_t k = axis_guess(&a, x[i]);
        part[i % SIDE_BY_SIDE][k + (x[i] >= a.from[k + 1])]++;
    }
    for (int64_t i = 0; i < a.bins; i++)
        for (int k = 0; k < SIDE_BY_SIDE; k++) table[i] += part[k][i];
}

/* Bins first..last are the only ones. */
static void count_few(const axis *a, const pitot_real *x, int64_t n, int64_t first, int64_t last, int64_t *table) {
    int64_t above = 0;
    for (int64_t k = last; k > first; k--) {
        int64_t count = count_from(x, n, a->from[k]);
        table[k] += count - above;
        above = count;
    }
    table[first] += n - above;
}

static void count_line(const axis *a, const pitot_real *x, int64_t n, const range *r, int64_t *table) {
    int64_t first = axis_bin(a, r->least), last = axis_bin(a, r->most);
    if (!r->lost && last - first < FEW) count_few(a, x, n, first, last, table);
    else if (!r->lost && a->guesses && a->bins <= NARROW) count_narrow(a, x, n, table);
    else
        for (int64_t i = 0; i < n; i++)
            if (!isnan(x[i])) table[axis_bin(a, x[i])]++;
}

PITOT_HOT static void count_guessed(const axis *given, const pitot_real *x, const int32_t *y, int64_t n, int64_t stride,
                                    int64_t *table) {
    const axis a = *given;
    for (int64_t i = 0; i < n; i++) {
        int32_t k = axis_guess(&a, x[i]);
        table[(k + (x[i] >= a.from[k + 1])) * stride + y[i]]++;
    }
}

static void count_plane(const tally *h, const pitot_real *x, const int32_t *y, int64_t n, const range *r, int64_t *table) {
    if (!r->lost && h->x.guesses) count_guessed(&h->x, x, y, n, h->stride, table);
    else
        for (int64_t i = 0; i < n; i++)
            if (!isnan(x[i])) table[axis_bin(&h->x, x[i]) * h->stride + y[i]]++;
}

void tallies_largest(const tallies *t, pitot_real magnitude, int thread) {
    pitot_real *most = t->most + thread * LINE;
    if (magnitude > *most) *most = magnitude;
}

void tallies_count(const tallies *t, const pitot_real *x, int64_t n, int64_t block, int64_t begin, int thread) {
    for (int64_t from = 0; from < n; from += RUN) {
        int64_t values = least(RUN, n - from);
        range r = range_of(x + from, values);
        if (r.lost == values) continue;
        tallies_largest(t, r.most, thread);
        tallies_largest(t, -r.least, thread);
        for (int32_t i = 0; i < t->n; i++) {
            const tally *h = &t->of[i];
            int64_t *table = h->table + thread * h->room;
            if (h->y.bins) count_plane(h, x + from, h->y_bin + block * h->y_begin + begin + from, values, &r, table);
            else count_line(&h->x, x + from, values, &r, table);
        }
    }
}

/* ---- the end ---- */

void tallies_finish(const tallies *t, int32_t target) {
    for (int32_t i = 0; i < t->n; i++) {
        const tally *h = &t->of[i];
        int64_t columns = h->y.bins ? h->y.bins : 1, *counts = t->job->histogram[i].counts + target * h->x.bins * columns;
        for (int64_t k = 0; k < h->x.bins; k++)
            for (int64_t l = 0; l < columns; l++) {
                int64_t *count = &counts[(h->x.reversed ? h->x.bins - 1 - k : k) * columns + l];
                *count = 0;
                for (int thread = 0; thread < t->threads; thread++) *count += h->table[thread * h->room + k * h->stride + l];
            }
    }
    for (int thread = 0; t->job->largest && thread < t->threads; thread++) {
        double largest = fabs(t->scale * (double)t->most[thread * LINE]);
        if (largest > t->job->largest[target]) t->job->largest[target] = largest;
    }
}

void histograms_clear(const sweep_job *job) {
    for (int32_t i = 0; i < job->n_histograms; i++) {
        const sweep_histogram *h = &job->histogram[i];
        memset(h->counts, 0, (size_t)(job->n_targets * h->bins * (h->y_bins ? h->y_bins : 1)) * sizeof *h->counts);
    }
    for (int32_t i = 0; job->largest && i < job->n_targets; i++) job->largest[i] = 0;
}
