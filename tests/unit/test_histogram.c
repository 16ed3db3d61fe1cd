/* Histograms of per-sample gradients, count for count, against loops over samples, values and edges: every kind of use, values on edges
   and beside them, too small, too large and not finite; and what Cockpit counted (tests/golden/cockpit_histograms.json). Where a gradient
   is a sum, its terms are eighths, so that every order of adding gives the same. */

#include "base/alloc.h"
#include "base/file.h"
#include "sweep/sweep.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

enum { USES = 4, TARGETS = 6, HISTOGRAMS = 6, GUARD = 64 };

#ifdef PITOT_DOUBLE
static const double tolerance = 1e-12, least_real = DBL_TRUE_MIN, most_real = DBL_MAX;
#else
static const double tolerance = 3e-5, least_real = FLT_TRUE_MIN, most_real = FLT_MAX;
#endif

static uint64_t seed = 1;

static double uniform(void) { /* [0,1) */
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(seed >> 11) * 0x1p-53;
}

static int64_t below(int64_t n) {
    return (int64_t)(uniform() * (double)n);
}

static void *cleared(int64_t n, size_t size) {
    void *block = calloc((size_t)(n ? n : 1), size);
    assert_non_null(block);
    return block;
}

/* ---- values ---- */

static double eighths(void) {
    double zero = uniform();
    return zero < 0.1 ? 0 : zero < 0.2 ? -0.0 : (double)(below(33) - 16) / 8;
}

static double smooth(void) {
    return uniform() < 0.3 ? 0 : 2 * (uniform() + uniform() + uniform()) - 3;
}

static double any_magnitude(void) { /* products from far below the least to above the greatest pitot_real */
    int range = sizeof(pitot_real) == 8 ? 560 : 74;
    double x = ldexp(1 + uniform(), (int)below(2 * range) - range);
    return uniform() < 0.5 ? -x : x;
}

static double near_one_edge(void) { /* products of few distinct values, on and beside powers of two */
    double x = ldexp(1 + (double)(below(3) - 1) * (sizeof(pitot_real) == 8 ? DBL_EPSILON : FLT_EPSILON), -(int)below(4));
    return uniform() < 0.3 ? -x : x;
}

static double tiny(void) { /* products around the edge that rounding leaves beside 0, some 2^-54 */
    double x = ldexp(1 + uniform(), -(int)below(40) - 8);
    return uniform() < 0.5 ? -x : x;
}

static double extreme(void) {
    const double chosen[] = {
        0,  -0.0, least_real, -least_real, least_real * 3, most_real,      -most_real, INFINITY, -INFINITY, NAN,
        1., -1.,  0.5,        1.5,         1e-10,          most_real / 16, 1e-19,      -3e-17,   40,        -0.04
    };
    return chosen[below(sizeof chosen / sizeof *chosen)];
}

static double smooth_or_extreme(void) {
    return uniform() < 0.01 ? extreme() : smooth();
}

typedef double (*source)(void);
static source from = eighths;

static pitot_real *values(int64_t n) {
    pitot_real *x = cleared(n, sizeof *x);
    for (int64_t i = 0; i < n; i++) x[i] = (pitot_real)from();
    return x;
}

/* ---- uses ---- */

static sweep_use linear_use(int64_t n, int64_t t, int64_t din, int64_t dout, int transposed, int64_t gap) {
    sweep_use u = { .kind = SWEEP_LINEAR, .transposed = transposed, .t = t, .din = din, .dout = dout, .groups = 1, .scale = 1 };
    u.a_position = din + gap, u.g_position = dout + gap, u.g_value = 1;
    u.a_sample = t * u.a_position, u.g_sample = t * u.g_position;
    u.a = values(n * u.a_sample);
    u.g = values(n * u.g_sample);
    return u;
}

static sweep_use vector_use(int32_t kind, int64_t n, int64_t t, int64_t d, int positions_first) {
    sweep_use u = { .kind = kind, .t = t, .dout = d, .groups = 1, .scale = 1, .a_position = d, .g_position = d, .g_value = 1 };
    if (positions_first) u.g_position = 1, u.g_value = t;
    u.a_sample = u.g_sample = t * d;
    u.g = values(n * u.g_sample);
    if (kind == SWEEP_SCALE) u.a = values(n * u.a_sample);
    return u;
}

static sweep_use conv_use(int64_t n, int64_t channels, int64_t outputs, int64_t groups, int64_t kernel, int64_t padding, int last) {
    enum { IN = 6 };
    int64_t out = IN + 2 * padding - kernel + 1;
    sweep_use u = { .kind = SWEEP_CONV, .t = 1, .groups = groups, .m = outputs / groups, .channels_last = last, .scale = 1 };
    u.w = (window){ .channels = channels / groups, .in = { IN, IN }, .out = { out, out }, .kernel = { kernel, kernel } };
    for (int i = 0; i < 2; i++) u.w.stride[i] = u.w.dilation[i] = 1, u.w.padding[i] = padding;
    u.a_sample = channels * IN * IN, u.g_sample = outputs * out * out;
    u.a = values(n * u.a_sample);
    u.g = values(n * u.g_sample);
    return u;
}

static int64_t size_of(const sweep_use *u) {
    if (u->kind == SWEEP_LINEAR) return u->din * u->dout;
    return u->kind == SWEEP_CONV ? u->groups * u->m * u->w.channels * u->w.kernel[0] * u->w.kernel[1] : u->dout;
}

/* ---- the same by loops ---- */

static double pixel(const pitot_real *v, int last, int64_t channels, const int64_t size[2], int64_t c, int64_t y, int64_t x) {
    if (y < 0 || x < 0 || y >= size[0] || x >= size[1]) return 0;
    return (double)v[last ? (y * size[1] + x) * channels + c : (c * size[0] + y) * size[1] + x];
}

static double loop_conv(const sweep_use *u, const pitot_real *a, const pitot_real *g, int64_t j) {
    const window *w = &u->w;
    int64_t kx = j % w->kernel[1], ky = j / w->kernel[1] % w->kernel[0], c = j / w->kernel[1] / w->kernel[0] % w->channels,
            o = j / w->kernel[1] / w->kernel[0] / w->channels;
    double all = 0;
    for (int64_t y = 0; y < w->out[0]; y++)
        for (int64_t x = 0; x < w->out[1]; x++)
            all += pixel(g, u->channels_last, u->groups * u->m, w->out, o, y, x) *
                   pixel(a, u->channels_last, u->groups * w->channels, w->in, o / u->m * w->channels + c, y + ky - w->padding[0],
                         x + kx - w->padding[1]);
    return all;
}

/* Value j of the tile of sample n, exact but for a last rounding. */
static double loop_value(const sweep_use *u, int64_t n, int64_t j) {
    const pitot_real *a = u->a ? u->a + n * u->a_sample : NULL, *g = u->g + n * u->g_sample;
    double all = 0;
    if (u->kind == SWEEP_CONV) return loop_conv(u, a, g, j);
    for (int64_t t = 0; t < u->t; t++) {
        const pitot_real *at = a ? a + t * u->a_position : NULL, *gt = g + t * u->g_position;
        int64_t width = u->transposed ? u->dout : u->din, row = width ? j / width : 0, column = width ? j % width : 0, i = j, k = j;
        if (u->kind == SWEEP_LINEAR) i = u->transposed ? column : row, k = u->transposed ? row : column;
        all += (double)gt[i * u->g_value] * (at ? (double)at[k] : 1);
    }
    return all;
}

static double loop_gradient(const sweep_job *j, const sweep_target *t, int64_t n, int64_t i) {
    double common = t->n_uses ? t->use[0].scale : 1, all = 0;
    for (int k = 1; k < t->n_uses; k++)
        if (t->use[k].scale != common) common = 1, k = t->n_uses;
    for (int k = 0; k < t->n_uses; k++) all += (common == t->use[k].scale ? 1 : t->use[k].scale) * loop_value(&t->use[k], n, i);
    return j->scale * common * (double)(pitot_real)all;
}

/* -1: NaN */
static int64_t loop_bin(const double *edges, int64_t bins, double v) {
    int64_t k = 0;
    if (isnan(v)) return -1;
    if (v >= edges[bins]) return bins - 1;
    while (k + 1 < bins && !(v < edges[k + 1])) k++;
    return k;
}

/* ---- edges ---- */

typedef struct edge_set {
    const char *name;
    int64_t bins, y_bins;
    double low, high;
    int shape; /* 0: low + k*width; 1: by weights of both ends; 2: uneven */
} edge_set;

static const edge_set sets[] = {
    { "Cockpit's", 100, 0, -2, 2, 0 },
    { "Cockpit's, two axes", 40, 50, -1, 1, 0 },
    { "0 within a bin", 41, 7, -2, 2, 0 },
    { "0 within a bin, one axis", 33, 0, -2, 2, 1 },
    { "narrow", 10, 3, -1e-3, 1e-3, 0 },
    { "wide", 10, 3, -1000, 1000, 0 },
    { "wide, one axis", 12, 0, -1e30, 1e30, 0 },
    { "all above 0", 16, 4, 0.125, 2.125, 1 },
    { "all below 0", 16, 0, -2.125, -0.125, 1 },
    { "from 0", 16, 4, 0, 2, 1 },
    { "to 0", 16, 4, -2, 0, 1 },
    { "one bin", 1, 1, -1, 1, 0 },
    { "one bin, one axis", 1, 0, -1, 1, 0 },
    { "two bins", 2, 2, -1, 1, 1 },
    { "two bins, one axis", 2, 0, -1, 3, 1 },
    { "many bins", 3000, 0, -3, 3, 0 },
    { "many bins, two axes", 700, 3, -3, 3, 0 },
    { "uneven", 30, 11, -2, 2, 2 },
    { "uneven, one axis", 30, 0, -2, 2, 2 },
    { "least values", 8, 2, -1e-44, 1e-44, 0 },
    { "least values, one axis", 8, 0, -1e-40, 1e-40, 0 },
    { "greatest values", 8, 0, -3e38, 3e38, 0 },
};
enum { SETS = sizeof sets / sizeof *sets };

static double *edges_of(const edge_set *s, int64_t bins, double low, double high) {
    double *e = cleared(bins + 1, sizeof *e), width = (high - low) / (double)bins;
    for (int64_t k = 0; k <= bins; k++) {
        double part = (double)k / (double)bins;
        e[k] = s->shape == 0 ? low + (double)k * width : low * (1 - part) + high * part;
        if (s->shape == 2) e[k] = low + (high - low) * part * part;
    }
    e[bins] = high;
    return e;
}

/* ---- a job ---- */

typedef struct fixture {
    sweep_job job;
    sweep_target target[TARGETS];
    sweep_use use[TARGETS][USES];
    sweep_histogram histogram[HISTOGRAMS];
    int64_t *want[HISTOGRAMS];
    double largest[TARGETS], want_largest[TARGETS];
    unsigned char *counts;
    pitot_real *mean;
} fixture;

static void start(fixture *f, int64_t n, int masked) {
    *f = (fixture){ 0 };
    f->job = (sweep_job){ .n = n, .scale = 1, .mean_scale = 1, .target = f->target, .histogram = f->histogram };
    f->job.largest = f->largest;
    f->counts = cleared(n, 1);
    for (int64_t i = 0; i < n; i++) f->counts[i] = below(4) > 0;
    f->job.counts = masked ? f->counts : NULL;
}

static sweep_target *add_target(fixture *f, int64_t size) {
    int k = f->job.n_targets++;
    pitot_real *theta = cleared(size, sizeof *theta);
    for (int64_t j = 0; j < size; j++)
        theta[j] = (pitot_real)(uniform() < 0.02 ? extreme() : uniform() < 0.2 ? eighths() : smooth());
    f->target[k] = (sweep_target){ .size = size, .use = f->use[k], .values = theta };
    return &f->target[k];
}

static void add_use(fixture *f, sweep_use u) {
    sweep_target *t = &f->target[f->job.n_targets - 1];
    assert_int_equal(size_of(&u), t->size);
    f->use[f->job.n_targets - 1][t->n_uses++] = u;
}

static void one_target(fixture *f, sweep_use u) {
    add_target(f, size_of(&u));
    add_use(f, u);
}

static void add_histogram(fixture *f, const edge_set *s) {
    sweep_histogram *h = &f->histogram[f->job.n_histograms++];
    *h = (sweep_histogram){ .bins = s->bins, .y_bins = s->y_bins, .edges = edges_of(s, s->bins, s->low, s->high) };
    if (s->y_bins) h->y_edges = edges_of(s, s->y_bins, -2, 2);
    h->counts = cleared(f->job.n_targets * h->bins * (h->y_bins ? h->y_bins : 1), sizeof *h->counts);
}

static void expect_target(fixture *f, int k) {
    const sweep_target *t = &f->target[k];
    for (int64_t n = 0; n < f->job.n; n++)
        for (int64_t j = 0; j < t->size && (!f->job.counts || f->job.counts[n]); j++) {
            double g = loop_gradient(&f->job, t, n, j);
            if (fabs(g) > f->want_largest[k]) f->want_largest[k] = fabs(g);
            for (int i = 0; i < f->job.n_histograms; i++) {
                const sweep_histogram *h = &f->histogram[i];
                int64_t x = loop_bin(h->edges, h->bins, g), y_bins = h->y_bins ? h->y_bins : 1;
                int64_t y = h->y_bins ? loop_bin(h->y_edges, h->y_bins, (double)t->values[j]) : 0;
                if (x >= 0 && y >= 0) f->want[i][(k * h->bins + x) * y_bins + y]++;
            }
        }
}

static void expect(fixture *f) {
    for (int i = 0; i < f->job.n_histograms; i++) {
        const sweep_histogram *h = &f->histogram[i];
        f->want[i] = cleared(f->job.n_targets * h->bins * (h->y_bins ? h->y_bins : 1), sizeof *f->want[i]);
    }
    for (int k = 0; k < f->job.n_targets; k++) expect_target(f, k);
}

static void finish(fixture *f) {
    for (int i = 0; i < f->job.n_histograms; i++) {
        free((void *)(uintptr_t)f->histogram[i].edges);
        free((void *)(uintptr_t)f->histogram[i].y_edges);
        free(f->histogram[i].counts);
        free(f->want[i]);
    }
    for (int k = 0; k < f->job.n_targets; k++) {
        free((void *)(uintptr_t)f->target[k].values);
        for (int u = 0; u < f->target[k].n_uses; u++) {
            free((void *)(uintptr_t)f->use[k][u].a);
            free((void *)(uintptr_t)f->use[k][u].g);
        }
    }
    free(f->counts);
}

static void run(fixture *f, uint32_t wants, int threads) {
    sweep_job *j = &f->job;
    j->wants = wants;
    j->threads = threads;
    for (int i = 0; i < j->n_histograms; i++) {
        const sweep_histogram *h = &f->histogram[i];
        memset(h->counts, 0x5a, (size_t)(j->n_targets * h->bins * (h->y_bins ? h->y_bins : 1)) * sizeof *h->counts);
    }
    for (int k = 0; k < TARGETS; k++) f->largest[k] = 12345;
    int64_t need = sweep_work(j);
    assert_true(need >= 0);
    j->work = mem_alloc(need + GUARD, sizeof *j->work);
    assert_non_null(j->work);
    for (int64_t i = 0; i < need + GUARD; i++) j->work[i] = i < need ? (pitot_real)NAN : 12345;
    sweep_run(j);
    for (int64_t i = need; i < need + GUARD; i++) assert_true(j->work[i] == 12345);
    mem_free(j->work);
}

static void check(const fixture *f, const char *what) {
    for (int i = 0; i < f->job.n_histograms; i++) {
        const sweep_histogram *h = &f->histogram[i];
        int64_t columns = h->y_bins ? h->y_bins : 1;
        for (int64_t k = 0; k < f->job.n_targets * h->bins * columns; k++)
            if (h->counts[k] != f->want[i][k])
                fail_msg("%s, %lld threads, %lld bins by %lld from %g to %g, target %lld, bin %lld, %lld: %lld, not %lld", what,
                         (long long)f->job.threads, (long long)h->bins, (long long)h->y_bins, h->edges[0], h->edges[h->bins],
                         (long long)(k / columns / h->bins), (long long)(k / columns % h->bins), (long long)(k % columns),
                         (long long)h->counts[k], (long long)f->want[i][k]);
    }
    for (int k = 0; k < f->job.n_targets && f->job.largest; k++)
        if (f->largest[k] != f->want_largest[k]) fail_msg("%s: largest %.17g, not %.17g", what, f->largest[k], f->want_largest[k]);
}

static void run_and_check(fixture *f, const char *what) {
    expect(f);
    for (int threads = 1; threads <= 3; threads++) {
        run(f, SWEEP_HISTOGRAMS, threads);
        check(f, what);
    }
    finish(f);
}

/* All sets of edges, a few at a time. `make` adds the targets. */
static void check_sets(void (*make)(fixture *f, int which), int which, int64_t n, double scale, int masked, const char *what) {
    for (int first = 0; first < SETS; first += HISTOGRAMS) {
        fixture f;
        start(&f, n, masked);
        f.job.scale = scale;
        make(&f, which);
        for (int i = first; i < first + HISTOGRAMS && i < SETS; i++) add_histogram(&f, &sets[i]);
        run_and_check(&f, what);
    }
}

/* ---- tests ---- */

enum { LAYOUTS = 24 };

static sweep_use use_of(int which, int64_t n) {
    switch (which) {
    case 0: return linear_use(n, 1, 7, 5, 0, 0);
    case 1: return linear_use(n, 1, 1, 1, 0, 0);
    case 2: return linear_use(n, 1, 9, 1, 0, 3);
    case 3: return linear_use(n, 1, 1, 9, 0, 0);
    case 4: return linear_use(n, 1, 45, 33, 0, 1);
    case 5: return linear_use(n, 1, 33, 47, 1, 2);
    case 6: return linear_use(n, 4, 7, 5, 0, 2);
    case 7: return linear_use(n, 3, 8, 31, 1, 0);
    case 8: return conv_use(n, 2, 3, 1, 3, 0, 0);
    case 9: return conv_use(n, 2, 3, 1, 3, 1, 0);
    case 10: return conv_use(n, 4, 6, 2, 3, 1, 0);
    case 11: return conv_use(n, 4, 6, 2, 2, 0, 1);
    case 12: return conv_use(n, 3, 5, 1, 1, 0, 0);
    case 13: return conv_use(n, 3, 5, 1, 1, 0, 1);
    case 14: return conv_use(n, 4, 4, 4, 3, 1, 1);
    case 15: return vector_use(SWEEP_SCALE, n, 1, 9, 0);
    case 16: return vector_use(SWEEP_SCALE, n, 5, 9, 0);
    case 17: return vector_use(SWEEP_SUM, n, 1, 11, 0);
    case 18: return vector_use(SWEEP_SUM, n, 6, 11, 0);
    case 19: return vector_use(SWEEP_SUM, n, 50, 12, 1);
    case 20: return vector_use(SWEEP_SUM, n, 1, 12, 1);
    case 21: return vector_use(SWEEP_GIVEN, n, 1, 13, 0);
    case 22: return linear_use(n, 2, 90, 41, 0, 0);
    default: return linear_use(n, 1, 130, 70, 0, 0);
    }
}

static void make_one(fixture *f, int which) {
    one_target(f, use_of(which, f->job.n));
}

static void every_layout_is_what_loops_count(void **state) {
    static const int64_t samples[] = { 1, 5, 37 };
    (void)state;
    from = eighths;
    for (int i = 0; i < LAYOUTS; i++)
        for (int k = 0; k < 3; k++) check_sets(make_one, i, samples[k], i % 3 ? 1 : 0.3, i % 2, "layout");
}

static void every_number_of_samples(void **state) {
    static const int64_t samples[] = { 2, 63, 64, 65, 128, 129, 193, 256, 257, 600 };
    (void)state;
    from = smooth;
    for (int k = 0; k < 10; k++)
        for (int i = 0; i < 3; i++) check_sets(make_one, i == 2 ? 17 : i * 2, samples[k], 1, k % 2, "samples");
}

static void scales_of_every_sign_and_size(void **state) {
    static const double scales[] = { -1, 0.3, -2.5e-3, 1 / 37.0, 1e30, -1e-300, 0, -0.0, INFINITY, -INFINITY, NAN };
    static const int chosen[] = { 4, 5, 9, 15, 17, 21 };
    (void)state;
    for (int mixed = 0; mixed < 2; mixed++)
        for (size_t s = 0; s < sizeof scales / sizeof *scales; s++)
            for (size_t i = 0; i < sizeof chosen / sizeof *chosen; i++) {
                from = mixed && chosen[i] != 9 ? smooth_or_extreme : eighths;
                check_sets(make_one, chosen[i], 9, scales[s], 0, "scale");
            }
}

static void make_uses(fixture *f, int equal) {
    const double scale[] = { equal ? -0.7 : 1, equal ? -0.7 : -0.5, equal ? -0.7 : 2 };
    sweep_use set[2][3] = { { linear_use(f->job.n, 1, 24, 15, 0, 0), linear_use(f->job.n, 5, 24, 15, 0, 1),
                              linear_use(f->job.n, 2, 15, 24, 1, 0) },
                            { vector_use(SWEEP_SUM, f->job.n, 1, 10, 0), vector_use(SWEEP_SUM, f->job.n, 9, 10, 1),
                              vector_use(SWEEP_SCALE, f->job.n, 2, 10, 0) } };
    for (int i = 0; i < 2; i++) {
        add_target(f, size_of(set[i]));
        for (int k = 0; k < 3; k++) {
            set[i][k].scale = scale[k];
            add_use(f, set[i][k]);
        }
    }
    add_target(f, 9); /* nothing used it */
    add_target(f, 0);
    make_one(f, 8);
    f->use[4][0].scale = -0.1;
}

static void uses_add_up_and_targets_stay_apart(void **state) {
    (void)state;
    from = eighths;
    for (int equal = 0; equal < 2; equal++)
        for (int masked = 0; masked < 2; masked++) check_sets(make_uses, equal, 19, -0.25, masked, "uses");
}

static void values_of_every_kind(void **state) {
    static const source sources[] = { smooth, any_magnitude, near_one_edge, tiny, extreme, smooth_or_extreme };
    static const int chosen[] = { 0, 4, 5, 15, 17, 23 };
    (void)state;
    for (int s = 0; s < 6; s++)
        for (int i = 0; i < 6; i++)
            for (int repeat = 0; repeat < 3; repeat++) {
                from = sources[s];
                check_sets(make_one, chosen[i], chosen[i] == 23 ? 7 : 30, repeat == 1 ? -1.7 : 1, repeat == 2, "values");
            }
}

/* Edges at whole multiples of a product before or after it was rounded. */
static void products_that_round_across_an_edge(void **state) {
    (void)state;
    from = smooth;
    for (int i = 0; i < 60; i++) {
        fixture f;
        start(&f, 6, 0);
        make_one(&f, i % 2 ? 5 : 4);
        const sweep_use *u = f.target[0].use;
        double scale = i % 5 == 4 ? -3.3 : 1, product = 0;
        while (product == 0) product = (double)u->a[below(u->din)] * (double)u->g[below(u->dout)];
        if (i % 3) product = (double)(pitot_real)product;
        if (i % 3 == 2) product = nextafter(product, 0);
        f.job.scale = scale;
        for (int k = 0; k < 4; k++) {
            double half = fabs(scale * product) * (k < 2 ? 20 : 2);
            add_histogram(&f, &(edge_set){ "", k < 2 ? 40 : 4, k % 2 ? 5 : 0, -half, half, 0 });
        }
        run_and_check(&f, "rounding");
    }
}

static void ignore_tile(void *user, const sweep_tile *tile) {
    (void)user;
    (void)tile;
}

static void other_wants_change_nothing(void **state) {
    static const int chosen[] = { 4, 5, 6, 9, 17, 21 };
    enum { N = 21 };
    double square[N], alone[N], along[N], deviation[N];
    (void)state;
    from = eighths;
    for (size_t i = 0; i < sizeof chosen / sizeof *chosen; i++) {
        fixture f;
        start(&f, N, 1);
        make_one(&f, chosen[i]);
        add_histogram(&f, &sets[0]);
        add_histogram(&f, &sets[1]);
        expect(&f);
        f.job.square = alone, f.job.along = along, f.job.deviation = deviation;
        f.job.moments = ignore_tile;
        run(&f, SWEEP_NORMS, 2);
        f.job.square = square;
        run(&f, SWEEP_NORMS | SWEEP_HISTOGRAMS, 2); /* without a mean */
        check(&f, "with norms");
        for (int n = 0; n < N; n++) assert_true(fabs(square[n] - alone[n]) <= tolerance * alone[n]);
        f.target[0].mean = f.target[0].values;
        run(&f, SWEEP_NORMS | SWEEP_ALONG | SWEEP_MOMENTS | SWEEP_HISTOGRAMS, 2);
        check(&f, "with all");
        for (int n = 0; n < N; n++) assert_true(fabs(square[n] - alone[n]) <= tolerance * alone[n]);
        f.job.largest = NULL;
        run(&f, SWEEP_HISTOGRAMS, 2);
        check(&f, "without the largest");
        finish(&f);
    }
}

static void nothing_in_gives_zeros(void **state) {
    (void)state;
    fixture f;
    from = eighths;
    start(&f, 3, 1);
    make_one(&f, 4);
    make_one(&f, 9);
    memset(f.counts, 0, 3);
    add_histogram(&f, &sets[0]);
    add_histogram(&f, &sets[1]);
    expect(&f);
    run(&f, SWEEP_HISTOGRAMS, 2);
    check(&f, "no samples that count");
    f.job.n = 0;
    run(&f, SWEEP_HISTOGRAMS, 2);
    check(&f, "no samples");
    f.job.n = 3;
    f.job.n_histograms = 0;
    f.job.counts = NULL;
    run(&f, SWEEP_HISTOGRAMS, 2); /* the largest alone */
    for (int k = 0; k < 2; k++) assert_true(f.largest[k] > 0 && f.largest[k] < 12345);
    f.job.n_histograms = 2;
    finish(&f);
}

static void tables_beyond_all_memory_are_refused(void **state) {
    static const int64_t bins[][2] = {
        { INT64_MAX, 0 }, { INT64_MAX, INT64_MAX }, { (int64_t)1 << 40, (int64_t)1 << 30 }, { 2, INT32_MAX }
    };
    (void)state;
    fixture f;
    from = eighths;
    for (int which = 4; which <= 9; which += 5)
        for (int i = 0; i < 4; i++) {
            start(&f, 3, 0);
            make_one(&f, which);
            f.histogram[0] = (sweep_histogram){ .bins = bins[i][0], .y_bins = bins[i][1] };
            f.job.n_histograms = 1;
            f.job.wants = SWEEP_HISTOGRAMS;
            f.job.threads = 2;
            assert_true(sweep_work(&f.job) == -1);
            f.job.n_histograms = 0;
            finish(&f);
        }
}

/* ---- Cockpit ---- */

static void read_numbers(const cJSON *list, double *out, int64_t n) {
    assert_int_equal(cJSON_GetArraySize(list), n);
    for (int64_t i = 0; i < n; i++) out[i] = cJSON_GetArrayItem(list, (int)i)->valuedouble;
}

static void read_rows(const cJSON *list, pitot_real *out, int64_t n, int64_t d) {
    double row[64];
    assert_int_equal(cJSON_GetArraySize(list), n);
    for (int64_t i = 0; i < n; i++) {
        read_numbers(cJSON_GetArrayItem(list, (int)i), row, d);
        for (int64_t j = 0; j < d; j++) out[i * d + j] = (pitot_real)row[j];
    }
}

enum { SAMPLES = 5, INPUTS = 3, HIDDEN = 4, OUTPUTS = 3, D = 31, W1 = 0, B1 = 12, W2 = 16, B2 = 28 };

/* Sums over targets are what Cockpit says. */
static void check_cockpit(const cJSON *golden, sweep_target *target) {
    double x[101], edges[41], y_edges[51], row[100];
    int64_t one[4 * 100], two[4 * 40 * 50];
    const cJSON *line = cJSON_GetObjectItem(golden, "hist1d"), *plane = cJSON_GetObjectItem(golden, "hist2d"),
                *both = cJSON_GetObjectItem(plane, "edges");
    read_numbers(cJSON_GetObjectItem(line, "edges"), x, 101);
    read_numbers(cJSON_GetArrayItem(both, 0), edges, 41);
    read_numbers(cJSON_GetArrayItem(both, 1), y_edges, 51);
    sweep_histogram h[] = { { .bins = 100, .edges = x, .counts = one },
                            { .bins = 40, .y_bins = 50, .edges = edges, .y_edges = y_edges, .counts = two } };
    sweep_job job = { .n = SAMPLES, .scale = 1, .wants = SWEEP_HISTOGRAMS, .n_targets = 4, .target = target, .n_histograms = 2 };
    job.histogram = h;
    job.threads = 2;
    job.work = mem_alloc(sweep_work(&job), sizeof *job.work);
    sweep_run(&job);
    mem_free(job.work);
    read_numbers(cJSON_GetObjectItem(line, "hist"), row, 100);
    for (int k = 0; k < 100; k++) assert_int_equal(one[k] + one[100 + k] + one[200 + k] + one[300 + k], row[k]);
    for (int k = 0; k < 40; k++) {
        read_numbers(cJSON_GetArrayItem(cJSON_GetObjectItem(plane, "hist"), k), row, 50);
        for (int l = 0, i = k * 50; l < 50; l++, i++)
            assert_int_equal(two[i] + two[2000 + i] + two[4000 + i] + two[6000 + i], row[l]);
    }
}

static void cockpit_counts_the_same(void **state) {
    pitot_real g[SAMPLES * D], x[SAMPLES * INPUTS], hidden[SAMPLES * HIDDEN], theta[D];
    double all[D];
    int64_t size;
    (void)state;
    char *text = (char *)file_read("tests/golden/cockpit_histograms.json", 0, &size, NULL);
    cJSON *golden = text ? cJSON_Parse(text) : NULL;
    assert_non_null(golden);
    mem_free(text);
    read_rows(cJSON_GetObjectItem(golden, "per_sample_grads"), g, SAMPLES, D);
    read_rows(cJSON_GetObjectItem(golden, "X"), x, SAMPLES, INPUTS);
    read_numbers(cJSON_GetObjectItem(golden, "theta"), all, D);
    for (int j = 0; j < D; j++) theta[j] = (pitot_real)all[j];
    for (int n = 0; n < SAMPLES; n++)
        for (int i = 0; i < HIDDEN; i++) {
            double z = all[B1 + i];
            for (int j = 0; j < INPUTS; j++) z += all[W1 + i * INPUTS + j] * (double)x[n * INPUTS + j];
            hidden[n * HIDDEN + i] = (pitot_real)tanh(z);
        }
    sweep_use given = { .kind = SWEEP_GIVEN, .t = 1, .g_sample = D, .g_value = 1, .scale = 1 }, use[4];
    sweep_target target[4] = { { .size = 12 }, { .size = 4 }, { .size = 12 }, { .size = 3 } };
    const int begin[] = { W1, B1, W2, B2 };
    for (int k = 0; k < 4; k++) {
        use[k] = given;
        use[k].g = g + begin[k];
        use[k].dout = target[k].size;
        target[k].n_uses = 1;
        target[k].use = &use[k];
        target[k].values = theta + begin[k];
    }
    check_cockpit(golden, target);
    /* a bias' gradients are those of the layer's outputs */
    use[0] = (sweep_use){ .kind = SWEEP_LINEAR, .t = 1, .a = x, .g = g + B1, .a_sample = INPUTS, .g_sample = D, .scale = 1 };
    use[2] = (sweep_use){ .kind = SWEEP_LINEAR, .t = 1, .a = hidden, .g = g + B2, .a_sample = HIDDEN, .g_sample = D, .scale = 1 };
    use[0].din = INPUTS, use[0].dout = HIDDEN, use[2].din = HIDDEN, use[2].dout = OUTPUTS;
    use[1].kind = use[3].kind = SWEEP_SUM;
    check_cockpit(golden, target);
    cJSON_Delete(golden);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_layout_is_what_loops_count),
        cmocka_unit_test(every_number_of_samples),
        cmocka_unit_test(scales_of_every_sign_and_size),
        cmocka_unit_test(uses_add_up_and_targets_stay_apart),
        cmocka_unit_test(values_of_every_kind),
        cmocka_unit_test(products_that_round_across_an_edge),
        cmocka_unit_test(other_wants_change_nothing),
        cmocka_unit_test(nothing_in_gives_zeros),
        cmocka_unit_test(tables_beyond_all_memory_are_refused),
        cmocka_unit_test(cockpit_counts_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
