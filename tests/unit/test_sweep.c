/* The sweep against loops over samples in double that make every gradient in full: every kind and geometry, several uses and targets,
   every subset of what can be asked for, values that cancel, and values at the ends of the range. */

#include "base/alloc.h"
#include "base/panel.h"
#include "sweep_uses.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#ifdef PITOT_DOUBLE
static const double tolerance = 1e-12;
#else
static const double tolerance = 3e-5;
#endif

enum { USES = 4, TARGETS = 6, GUARD = 64 };

/* ---- a job and what should come out of it ---- */

typedef struct reference {                /* of one target */
    double *g, *mean, *variance, *second; /* (n,size), (size) ... */
} reference;

typedef struct fixture {
    sweep_job job;
    sweep_target target[TARGETS];
    sweep_use use[TARGETS][USES];
    reference want[TARGETS];
    pitot_real *mean[TARGETS], *variance[TARGETS], *seen_mean[TARGETS];
    pitot_real *curvature;              /* of the only target, which has a q; NULL: none */
    _Atomic int *visits[TARGETS];       /* (size) */
    _Atomic int *tiles[TARGETS];        /* (sweep_tiles) */
    double *square, *along, *deviation; /* (n): should be */
    int64_t n;
} fixture;

static void *cleared(int64_t n, size_t size) {
    void *block = calloc((size_t)(n ? n : 1), size);
    assert_non_null(block);
    return block;
}

static int32_t kernel = PANEL_BEST; /* of every job */

static void start(fixture *f, int64_t n) {
    *f = (fixture){ .n = n };
    f->job = (sweep_job){ .n = n, .scale = 1, .mean_scale = 1, .target = f->target, .kernel = kernel };
    f->square = cleared(n, sizeof(double));
    f->along = cleared(n, sizeof(double));
    f->deviation = cleared(n, sizeof(double));
}

static int add_target(fixture *f, int64_t size) {
    int i = f->job.n_targets++;
    f->target[i] = (sweep_target){ .tensor = 100 + i, .use = f->use[i], .size = size };
    return i;
}

static void add_use(fixture *f, int target, const layout *l, double scale) {
    f->use[target][f->target[target].n_uses++] = use_of(l, f->n, scale);
}

static void one_target(fixture *f, const layout *l, int64_t n) {
    start(f, n);
    add_use(f, add_target(f, size_of(l)), l, 1);
}

static void expect_target(fixture *f, int i) {
    const sweep_target *t = &f->target[i];
    reference r = { cleared(f->n * t->size, sizeof(double)), cleared(t->size, sizeof(double)), cleared(t->size, sizeof(double)),
                    cleared(t->size, sizeof(double)) };
    for (int64_t n = 0; n < f->n; n++) {
        double *g = r.g + n * t->size;
        for (int32_t k = 0; k < t->n_uses; k++) add_gradient(&t->use[k], n, g);
        for (int64_t j = 0; j < t->size; j++) r.mean[j] += (g[j] *= f->job.scale) / (double)f->n;
    }
    for (int64_t n = 0; n < f->n; n++)
        for (int64_t j = 0; j < t->size; j++) {
            double g = r.g[n * t->size + j], d = g - r.mean[j];
            r.variance[j] += d * d / (double)f->n;
            r.second[j] += g * g / (double)f->n;
            f->square[n] += g * g;
            f->along[n] += g * r.mean[j];
            f->deviation[n] += d * d;
        }
    f->want[i] = r;
}

/* Makes what should come out, and room for what does. */
static void expect(fixture *f) {
    for (int i = 0; i < f->job.n_targets; i++) {
        int64_t size = f->target[i].size;
        expect_target(f, i);
        f->mean[i] = cleared(size, sizeof(pitot_real));
        f->variance[i] = cleared(size, sizeof(pitot_real));
        f->seen_mean[i] = cleared(size, sizeof(pitot_real));
        f->visits[i] = cleared(size, sizeof(_Atomic int));
        f->tiles[i] = cleared(sweep_tiles(&f->target[i]), sizeof(_Atomic int));
        for (int64_t j = 0; j < size; j++) f->mean[i][j] = (pitot_real)(f->want[i].mean[j] / f->job.mean_scale);
        f->target[i].mean = f->mean[i];
    }
}

static void finish(fixture *f) {
    for (int i = 0; i < f->job.n_targets; i++) {
        void *blocks[] = { f->want[i].g,   f->want[i].mean, f->want[i].variance,  f->want[i].second,  f->mean[i],
                           f->variance[i], f->seen_mean[i], (void *)f->visits[i], (void *)f->tiles[i] };
        for (size_t k = 0; k < sizeof blocks / sizeof *blocks; k++) free(blocks[k]);
        for (int32_t k = 0; k < f->target[i].n_uses; k++) {
            free((void *)(uintptr_t)f->use[i][k].a);
            free((void *)(uintptr_t)f->use[i][k].g);
        }
    }
    free(f->square);
    free(f->along);
    free(f->deviation);
}

/* ---- running it ---- */

static void take_tile(void *user, const sweep_tile *tile) {
    fixture *f = user;
    int i = tile->target;
    size_t bytes = (size_t)(tile->end - tile->begin) * sizeof(pitot_real);
    if (tile->thread < 0 || tile->thread >= f->job.threads || tile->index < 0 || tile->index >= sweep_tiles(&f->target[i])) abort();
    if (tile->begin < 0 || tile->begin >= tile->end || tile->end > f->target[i].size) abort();
    memcpy(f->seen_mean[i] + tile->begin, tile->mean, bytes);
    memcpy(f->variance[i] + tile->begin, tile->variance, bytes);
    if ((tile->curvature != NULL) != (f->curvature != NULL)) abort();
    if (f->curvature) memcpy(f->curvature + tile->begin, tile->curvature, bytes);
    for (int64_t k = tile->begin; k < tile->end; k++) atomic_fetch_add(&f->visits[i][k], 1);
    atomic_fetch_add(&f->tiles[i][tile->index], 1);
}

typedef struct result {
    double *square, *along, *deviation;
} result;

/* The job with these wants and threads, its work filled with NaN and a guard behind it. */
static result run(fixture *f, uint32_t wants, int threads) {
    result r = { cleared(f->n, sizeof(double)), cleared(f->n, sizeof(double)), cleared(f->n, sizeof(double)) };
    sweep_job *j = &f->job;
    j->wants = wants;
    j->threads = threads;
    j->square = wants & SWEEP_NORMS ? r.square : NULL;
    j->along = wants & SWEEP_ALONG ? r.along : NULL;
    j->deviation = wants & SWEEP_ALONG ? r.deviation : NULL;
    j->moments = wants & SWEEP_MOMENTS ? take_tile : NULL;
    j->user = f;
    for (int i = 0; i < j->n_targets; i++) {
        memset((void *)f->visits[i], 0, (size_t)f->target[i].size * sizeof(int));
        memset((void *)f->tiles[i], 0, (size_t)sweep_tiles(&f->target[i]) * sizeof(int));
    }
    int64_t need = sweep_work(j);
    assert_true(need >= 0);
    j->work = mem_alloc(need + GUARD, sizeof *j->work);
    assert_non_null(j->work);
    for (int64_t i = 0; i < need + GUARD; i++) j->work[i] = i < need ? (pitot_real)NAN : 12345;
    sweep_run(j);
    for (int64_t i = need; i < need + GUARD; i++) assert_true(j->work[i] == 12345);
    mem_free(j->work);
    return r;
}

static void drop(result *r) {
    free(r->square);
    free(r->along);
    free(r->deviation);
}

static void near(double got, double want, double bound, const char *what, int64_t at) {
    if (fabs(got - want) <= bound) return;
    print_error("%s[%lld]: %.10g, not %.10g (+- %.3g)\n", what, (long long)at, got, want, bound);
    fail();
}

static double average(const double *x, int64_t n) {
    double all = 0;
    for (int64_t i = 0; i < n; i++) all += x[i] / (double)n;
    return all;
}

/* Sums over positions may cancel: their rounding is that of the target's other values. */
static void check_moments(const fixture *f) {
    for (int i = 0; i < f->job.n_targets; i++) {
        double usual = average(f->want[i].second, f->target[i].size);
        for (int64_t k = 0; k < sweep_tiles(&f->target[i]); k++) assert_int_equal(f->tiles[i][k], 1);
        for (int64_t k = 0; k < f->target[i].size; k++) {
            double second = fmax(usual, f->want[i].second[k]), variance = f->want[i].variance[k];
            assert_int_equal(f->visits[i][k], 1);
            near((double)f->seen_mean[i][k], f->want[i].mean[k], tolerance * sqrt(second), "mean", k);
            near((double)f->variance[i][k], f->n == 1 ? 0 : variance, tolerance * (4 * variance + second), "variance", k);
            assert_true(f->variance[i][k] >= 0);
        }
    }
}

static void check(const fixture *f, const result *r, uint32_t wants) {
    double longest = 0;
    for (int64_t n = 0; n < f->n; n++) longest = fmax(longest, sqrt(f->square[n]));
    for (int64_t n = 0; n < f->n; n++) {
        if (wants & SWEEP_NORMS) near(r->square[n], f->square[n], tolerance * f->square[n], "square", n);
        if (!(wants & SWEEP_ALONG)) continue;
        near(r->along[n], f->along[n], tolerance * sqrt(f->square[n]) * longest, "along", n);
        near(r->deviation[n], f->n == 1 ? 0 : f->deviation[n], 4 * tolerance * f->deviation[n], "deviation", n);
    }
    if (wants & SWEEP_MOMENTS) check_moments(f);
}

static void check_sums(fixture *f, int threads) {
    for (int i = 0; i < f->job.n_targets; i++) {
        pitot_real *out = cleared(f->target[i].size, sizeof *out);
        f->job.threads = threads;
        f->job.work = mem_alloc(sweep_work(&f->job), sizeof *f->job.work);
        sweep_sum(&f->job, i, out);
        double bound = tolerance * (double)f->n * sqrt(average(f->want[i].second, f->target[i].size));
        for (int64_t k = 0; k < f->target[i].size; k++)
            near((double)out[k], f->want[i].mean[k] * (double)f->n, bound + tolerance * (double)f->n * sqrt(f->want[i].second[k]),
                 "sum", k);
        mem_free(f->job.work);
        free(out);
    }
}

static void check_all(fixture *f) {
    for (uint32_t wants = 0; wants < 8; wants++)
        for (int threads = 1; threads <= 3; threads++) {
            result r = run(f, wants, threads);
            check(f, &r, wants);
            drop(&r);
            if (wants == SWEEP_NORMS || wants == 7) check_sums(f, threads);
        }
}

/* ---- tests ---- */

static void every_layout_is_what_loops_make_of_it(void **state) {
    static const int64_t samples[] = { 1, 2, 5, 37 };
    (void)state;
    for (int i = 0; i < LAYOUTS; i++)
        for (int k = 0; k < 4; k++) {
            if (size_of(&layouts[i]) > 20000 && samples[k] > 5) continue;
            fixture f;
            one_target(&f, &layouts[i], samples[k]);
            expect(&f);
            check_all(&f);
            finish(&f);
        }
}

/* Products of samples are made block by block: two blocks here, of unlike lengths. */
static void samples_of_several_blocks(void **state) {
    const layout wide = LINEAR(.t = 1, .din = 150, .dout = 140, .gap = 2);
    (void)state;
    fixture f;
    one_target(&f, &wide, 131);
    assert_true(131 * (150 + 140) < 2 * 150 * 140); /* so that Gram matrices pay */
    expect(&f);
    for (int threads = 1; threads <= 3; threads++) {
        result r = run(&f, SWEEP_NORMS | SWEEP_ALONG, threads);
        check(&f, &r, SWEEP_NORMS | SWEEP_ALONG);
        drop(&r);
    }
    finish(&f);
}

/* ---- curvature beside moments ---- */

enum { FULL, RELU, EMPTY }; /* where G and q have zeros: nowhere, in the same half of the places, everywhere */

/* The only target's q, at the size of `by`, and G, with these zeros. */
static pitot_real *make_q(fixture *f, int zeros, double by) {
    const sweep_use *u = f->use[0];
    pitot_real *q = cleared(f->n * u->dout, sizeof *q), *g = (pitot_real *)(uintptr_t)u->g;
    for (int64_t n = 0; n < f->n; n++)
        for (int64_t i = 0; i < u->dout; i++) {
            int zero = zeros == EMPTY || (zeros == RELU && (n * 7 + i * 13 + n * i) % 5 < 3);
            double x = zero ? 0 : uniform();
            q[n * u->dout + i] = (pitot_real)(by * x * x);
            if (zero) g[n * u->g_sample + i] = 0;
        }
    f->target[0].q = q;
    f->target[0].q_scale = 0.37;
    return q;
}

/* By as much as the terms of the sum are rounded. */
static void check_curvature(const fixture *f, const pitot_real *q, double by) {
    const sweep_use *u = f->use[0];
    for (int64_t i = 0; i < u->dout; i++)
        for (int64_t j = 0; j < u->din; j++) {
            double sum = 0;
            for (int64_t n = 0; n < f->n; n++) {
                double a = (double)u->a[n * u->a_sample + j];
                sum += f->target[0].q_scale * (double)q[n * u->dout + i] * a * a;
            }
            near((double)f->curvature[i * u->din + j], sum, tolerance * (sum + 1e-12 * by), "curvature", i * u->din + j);
        }
}

static void curvature_of(const layout *l, int64_t n, int zeros, double by) {
    fixture f;
    one_target(&f, l, n);
    assert_int_equal(sweep_curves(&f.target[0], n), n > 1 && !l->transposed);
    pitot_real *q = make_q(&f, zeros, by), *alone = cleared(f.target[0].size, sizeof *alone);
    size_t bytes = (size_t)f.target[0].size * sizeof *alone;
    expect(&f);
    for (int threads = 1; threads <= 3; threads++) {
        result r = run(&f, 7, threads);
        memcpy(alone, f.variance[0], bytes);
        f.curvature = cleared(f.target[0].size, sizeof *f.curvature);
        result s = run(&f, 7 | SWEEP_CURVATURE, threads);
        check(&f, &s, 7);
        check_curvature(&f, q, by);
        assert_memory_equal(f.variance[0], alone, bytes);
        assert_memory_equal(r.along, s.along, (size_t)n * sizeof *r.along);
        free(f.curvature);
        f.curvature = NULL;
        drop(&r);
        drop(&s);
    }
    free(alone);
    free(q);
    finish(&f);
}

static void curvature_stands_beside_moments(void **state) {
    static const layout list[] = { LINEAR(.t = 1, .din = 70, .dout = 45), LINEAR(.t = 1, .din = 32, .dout = 24, .gap = 3),
                                   LINEAR(.t = 1, .din = 3, .dout = 2), LINEAR(.t = 1, .din = 1100, .dout = 13) };
    static const int64_t samples[] = { 2, 37, 300 }; /* at last, more than a kernel adds up at once */
    (void)state;
    for (kernel = PANEL_BEST; kernel <= PANEL_AVX512; kernel++)
        for (int i = 0; i < 4; i++)
            for (int k = 0; k < 3; k++)
                for (int zeros = FULL; zeros <= EMPTY; zeros++)
                    if (samples[k] < 300 || i == 1 || (i == 0 && kernel != PANEL_AVX2))
                        curvature_of(&list[i], samples[k], zeros, 1);
    kernel = PANEL_BEST;
    for (int e = -36; e <= 36; e += 12)
        for (int zeros = FULL; zeros <= RELU; zeros++) curvature_of(&list[0], 37, zeros, pow(10, e < -30 ? -30 : e > 30 ? 30 : e));
    layout turned = list[0];
    turned.transposed = 1;
    fixture f;
    one_target(&f, &turned, 5);
    assert_false(sweep_curves(&f.target[0], 5));
    expect(&f);
    finish(&f);
}

/* An infinite input times a 0 of G and q is no number, and one value of q alone reaches its row. */
static void curvature_that_is_not_finite(void **state) {
    const layout l = LINEAR(.t = 1, .din = 70, .dout = 45);
    (void)state;
    fixture f;
    one_target(&f, &l, 37);
    pitot_real *q = make_q(&f, RELU, 1), *a = (pitot_real *)(uintptr_t)f.use[0][0].a;
    expect(&f);
    f.curvature = cleared(f.target[0].size, sizeof *f.curvature);
    a[5 * f.use[0][0].a_sample + 3] = (pitot_real)INFINITY;
    result r = run(&f, 7 | SWEEP_CURVATURE, 2);
    for (int64_t k = 0; k < f.target[0].size; k++) {
        int reached = k % 70 == 3;
        assert_true(reached ? !isfinite(f.curvature[k]) : isfinite(f.curvature[k]));
        assert_true(!reached || q[5 * 45 + k / 70] != 0 || isnan(f.curvature[k]));
        assert_int_equal(isfinite(f.variance[0][k]) != 0, !reached);
    }
    drop(&r);
    a[5 * f.use[0][0].a_sample + 3] = 1;
    q[7 * 45 + 4] = (pitot_real)NAN;
    r = run(&f, 7 | SWEEP_CURVATURE, 2);
    for (int64_t k = 0; k < f.target[0].size; k++) assert_int_equal(isnan(f.curvature[k]) != 0, k / 70 == 4);
    drop(&r);
    free(f.curvature);
    free(q);
    finish(&f);
}

static void scales_multiply(void **state) {
    static const layout chosen[] = {
        LINEAR(.t = 1, .din = 30, .dout = 21),  LINEAR(.t = 3, .din = 8, .dout = 21),
        LINEAR(.t = 1, .din = 1500, .dout = 3), CONV(.din = 3, .dout = 4, .in = { 6, 6 }, .kernel = { 3, 3 }),
        OTHER(SUM, .t = 1, .dout = 30),         OTHER(SCALE, .t = 2, .dout = 4)
    };
    (void)state;
    for (size_t i = 0; i < sizeof chosen / sizeof *chosen; i++) {
        fixture f;
        start(&f, 37);
        f.job.scale = -2.5;
        f.job.mean_scale = 1 / 37.0;
        add_use(&f, add_target(&f, size_of(&chosen[i])), &chosen[i], 0.3);
        expect(&f);
        check_all(&f);
        finish(&f);
    }
}

static void uses_of_one_tensor_add_up_before_they_are_squared(void **state) {
    static const layout linear[] = { LINEAR(.t = 1, .din = 24, .dout = 15), LINEAR(.t = 5, .din = 24, .dout = 15),
                                     LINEAR(.t = 2, .din = 15, .dout = 24, .transposed = 1, .time_first = 1),
                                     OTHER(GIVEN, .dout = 360) };
    static const layout long_rows[] = { LINEAR(.t = 1, .din = 201, .dout = 202), LINEAR(.t = 2, .din = 202, .dout = 201) };
    static const layout conv[] = { CONV(.din = 6, .dout = 10, .in = { 5, 5 }, .kernel = { 1, 1 }),
                                   LINEAR(.t = 3, .din = 6, .dout = 10) };
    static const layout bias[] = { OTHER(SUM, .t = 1, .dout = 10), OTHER(SUM, .t = 9, .dout = 10, .channels_last = 2),
                                   OTHER(SCALE, .t = 2, .dout = 10) };
    static const struct {
        const layout *l;
        int n;
    } sets[] = { { linear, 4 }, { long_rows, 2 }, { conv, 2 }, { bias, 3 } };
    (void)state;
    for (int equal = 0; equal < 2; equal++)
        for (int i = 0; i < 4; i++) {
            fixture f;
            start(&f, i == 1 ? 5 : 19);
            int t = add_target(&f, size_of(sets[i].l));
            for (int k = 0; k < sets[i].n; k++) add_use(&f, t, &sets[i].l[k], equal ? 0.7 : 1 - 0.4 * k);
            expect(&f);
            check_all(&f);
            finish(&f);
        }
}

static void targets_add_up(void **state) {
    static const layout net[] = { CONV(.din = 2, .dout = 6, .in = { 8, 7 }, .kernel = { 3, 3 }),
                                  OTHER(SUM, .t = 30, .dout = 6, .channels_last = 2),
                                  LINEAR(.t = 1, .din = 40, .dout = 30),
                                  OTHER(SUM, .t = 1, .dout = 30),
                                  OTHER(SCALE, .t = 3, .dout = 5),
                                  OTHER(GIVEN, .dout = 7) };
    (void)state;
    fixture f;
    start(&f, 37);
    for (int i = 0; i < 6; i++) add_use(&f, add_target(&f, size_of(&net[i])), &net[i], 1);
    expect(&f);
    check_all(&f);
    finish(&f);
}

static void nothing_in_gives_nothing(void **state) {
    (void)state;
    fixture f;
    start(&f, 5);
    expect(&f);
    check_all(&f);
    f.job.n = f.n = 0;
    result r = run(&f, 7, 2);
    drop(&r);
    finish(&f);
    start(&f, 3);
    add_target(&f, 9); /* a tensor that nothing used */
    expect(&f);
    check_all(&f);
    finish(&f);
}

static void work_beyond_all_memory_is_refused(void **state) {
    (void)state;
    fixture f;
    start(&f, 1);
    int t = add_target(&f, (int64_t)1 << 40);
    f.use[t][f.target[t].n_uses++] = (sweep_use){
        .kind = SWEEP_LINEAR, .t = 1, .din = 1 << 20, .dout = 1 << 20, .a_sample = 1 << 20, .g_sample = 1 << 20, .scale = 1
    };
    f.job.threads = 2;
    f.job.wants = 7;
    f.job.n = (int64_t)1 << 45;
    assert_true(sweep_work(&f.job) == -1);
    f.job.n = 128;
    assert_true(sweep_work(&f.job) > 0 && sweep_work(&f.job) < (int64_t)1 << 31);
    f.target[t].n_uses = 0;
    finish(&f);
}

static void repetition_changes_no_bit(void **state) {
    (void)state;
    for (int i = 0; i < LAYOUTS; i++) {
        fixture f;
        if (size_of(&layouts[i]) > 50000) continue;
        one_target(&f, &layouts[i], 19);
        expect(&f);
        size_t bytes = (size_t)f.target[0].size * sizeof(pitot_real), doubles = 19 * sizeof(double);
        pitot_real *before = malloc(bytes);
        assert_non_null(before);
        result a = run(&f, 7, 3);
        memcpy(before, f.variance[0], bytes);
        result b = run(&f, 7, 3);
        assert_memory_equal(before, f.variance[0], bytes);
        assert_memory_equal(a.square, b.square, doubles);
        assert_memory_equal(a.along, b.along, doubles);
        assert_memory_equal(a.deviation, b.deviation, doubles);
        drop(&a);
        drop(&b);
        free(before);
        finish(&f);
    }
}

/* ---- values that cancel, values at the ends of the range ---- */

static const layout shapes[] = { LINEAR(.t = 1, .din = 70, .dout = 45),
                                 LINEAR(.t = 1, .din = 70, .dout = 45, .transposed = 1),
                                 LINEAR(.t = 1, .din = 3, .dout = 2),
                                 LINEAR(.t = 3, .din = 17, .dout = 12),
                                 CONV(.din = 3, .dout = 4, .in = { 6, 5 }, .kernel = { 3, 3 }, .padding = { 1, 1 }),
                                 CONV(.din = 20, .dout = 30, .in = { 4, 4 }, .kernel = { 3, 3 }),
                                 OTHER(SUM, .t = 1, .dout = 9),
                                 OTHER(SCALE, .t = 4, .dout = 9) };
enum { SHAPES = sizeof shapes / sizeof *shapes };

static pitot_real *writable(const pitot_real *x) {
    return (pitot_real *)(uintptr_t)x;
}

/* Every sample like the first, with a relative noise. */
static void make_alike(fixture *f, double noise) {
    sweep_use *u = &f->use[0][0];
    for (int64_t n = 1; n < f->n; n++) {
        for (int64_t i = 0; u->a && i < u->a_sample; i++)
            writable(u->a)[n * u->a_sample + i] = (pitot_real)((double)u->a[i] * (1 + noise * uniform()));
        for (int64_t i = 0; i < u->g_sample; i++)
            writable(u->g)[n * u->g_sample + i] = (pitot_real)((double)u->g[i] * (1 + noise * uniform()));
    }
}

static void identical_samples_do_not_vary(void **state) {
    const double tiny = sizeof(pitot_real) == 8 ? 1e-24 : 1e-11;
    (void)state;
    for (int i = 0; i < SHAPES; i++) {
        fixture f;
        one_target(&f, &shapes[i], 37);
        make_alike(&f, 0);
        expect(&f);
        result r = run(&f, 7, 2);
        for (int64_t n = 0; n < f.n; n++) {
            assert_true(r.deviation[n] >= 0 && r.deviation[n] <= tiny * f.square[n]);
            near(r.along[n], f.square[n], tolerance * f.square[n], "along", n);
        }
        for (int64_t k = 0; k < f.target[0].size; k++)
            assert_true(f.variance[0][k] >= 0 && (double)f.variance[0][k] <= tiny * r.square[0]);
        drop(&r);
        finish(&f);
    }
}

static void small_variances_keep_their_digits(void **state) {
    (void)state;
    for (int i = 0; i < SHAPES; i++) {
        fixture f;
        one_target(&f, &shapes[i], 37);
        make_alike(&f, 2e-3);
        expect(&f);
        result r = run(&f, 7, 2);
        for (int64_t n = 0; n < f.n; n++) near(r.deviation[n], f.deviation[n], 1e-2 * f.deviation[n], "deviation", n);
        for (int64_t k = 0; k < f.target[0].size; k++) {
            assert_true(f.want[0].variance[k] < 1e-2 * f.want[0].second[k] || i > 2);
            near((double)f.variance[0][k], f.want[0].variance[k], 1e-2 * f.want[0].variance[k], "variance", k);
        }
        drop(&r);
        finish(&f);
    }
}

static void multiply(const pitot_real *x, int64_t n, double by) {
    for (int64_t i = 0; x && i < n; i++) writable(x)[i] = (pitot_real)((double)x[i] * by);
}

/* Variances where a pitot_real may end: below, as what it holds there; above, as infinity. */
static void check_variances(const fixture *f) {
    for (int64_t k = 0; k < f->target[0].size; k++) {
        double want = f->want[0].variance[k];
        if (isinf((pitot_real)want)) assert_true(isinf(f->variance[0][k]));
        else near((double)f->variance[0][k], want, 1e-42 + tolerance * (4 * want + f->want[0].second[k]), "variance", k);
    }
}

static void magnitudes_at_the_ends_of_the_range(void **state) {
    static const double by[][2] = {
        { 1e-25, 1 }, { 1, 1e-25 }, { 1e18, 1e-25 }, { 1e15, 1 }, { 1, 1e17 }, { 1e-30, 1e30 }, { 0, 1 }
    };
    (void)state;
    for (int i = 0; i < SHAPES; i++)
        for (size_t k = 0; k < sizeof by / sizeof *by; k++) {
            fixture f;
            one_target(&f, &shapes[i], 37);
            const sweep_use *u = &f.use[0][0];
            multiply(u->a, 37 * u->a_sample, by[k][0]);
            multiply(u->g, 37 * u->g_sample, by[k][1]);
            expect(&f);
            for (uint32_t wants = 1; wants < 8; wants += 2) {
                result r = run(&f, wants, 2);
                check(&f, &r, wants & 3);
                if (wants & SWEEP_MOMENTS) check_variances(&f);
                drop(&r);
            }
            finish(&f);
        }
}

static void vectors_of_zeros(void **state) {
    (void)state;
    for (int i = 0; i < SHAPES; i++) {
        fixture f;
        one_target(&f, &shapes[i], 5);
        sweep_use *u = &f.use[0][0];
        multiply(u->g + 2 * u->g_sample, u->g_sample, 0);
        for (int64_t n = 0; u->a && n < 5; n++) writable(u->a + n * u->a_sample)[0] = 0;
        expect(&f);
        check_all(&f);
        finish(&f);
        one_target(&f, &shapes[i], 5);
        multiply(f.use[0][0].g, 5 * f.use[0][0].g_sample, 0);
        expect(&f);
        check_all(&f);
        finish(&f);
    }
}

static int lost(double x) {
    return !isfinite(x);
}

static int lost_values(const pitot_real *x, int64_t n) {
    int count = 0;
    for (int64_t i = 0; i < n; i++) count += lost((double)x[i]);
    return count;
}

static void what_is_not_finite_passes_through(void **state) {
    static const double bad[] = { NAN, INFINITY, -INFINITY };
    (void)state;
    for (int i = 0; i < SHAPES; i++)
        for (int k = 0; k < 6; k++) {
            fixture f;
            one_target(&f, &shapes[i], 37);
            sweep_use *u = &f.use[0][0];
            pitot_real *sample = writable(k < 3 && u->a ? u->a + 3 * u->a_sample : u->g + 3 * u->g_sample);
            sample[u->kind == SWEEP_CONV ? 6 : 0] = (pitot_real)bad[k % 3];
            expect(&f);
            for (uint32_t wants = 1; wants < 8; wants++) {
                result r = run(&f, wants, 2);
                if (wants & SWEEP_NORMS) near(r.square[4], f.square[4], tolerance * f.square[4], "square", 4);
                if (wants & SWEEP_NORMS) assert_int_equal(lost(r.square[3]), 1);
                if (wants & SWEEP_ALONG) assert_int_equal(lost(r.along[3]) + lost(r.deviation[3]), 2);
                if (wants & SWEEP_MOMENTS) assert_true(lost_values(f.variance[0], f.target[0].size) > 0);
                drop(&r);
            }
            finish(&f);
        }
}

/* Rows and columns around a panel's, samples around what a kernel adds up at once. */
static void tails(void) {
    static const int64_t size[] = { 1, 11, 12, 13, 16, 31, 32, 33, 65 }, samples[] = { 2, 3, 256, 257, 700 };
    for (size_t i = 0; i < sizeof size / sizeof *size; i++)
        for (size_t j = 0; j < sizeof size / sizeof *size; j++) {
            layout l = LINEAR(.t = 1, .din = size[i], .dout = size[j], .gap = 1);
            fixture f;
            one_target(&f, &l, samples[(i + j) % 5]);
            expect(&f);
            for (int threads = 1; threads <= 3; threads++) {
                result r = run(&f, 7, threads);
                check(&f, &r, 7);
                drop(&r);
            }
            finish(&f);
        }
}

static void every_kernel_serves(void **state) {
    for (kernel = PANEL_NONE; kernel <= PANEL_AVX512; kernel++) {
        if (kernel > PANEL_NONE && panel_choose(kernel) == panel_choose(kernel - 1)) continue;
        tails();
        scales_multiply(state);
        identical_samples_do_not_vary(state);
        small_variances_keep_their_digits(state);
        magnitudes_at_the_ends_of_the_range(state);
        what_is_not_finite_passes_through(state);
    }
    kernel = PANEL_BEST;
}

static void kernels_add_on_demand(void **state) {
    enum { N = 3, TILE = PANEL_ROWS * PANEL_COLUMNS };
    pitot_real l[N * PANEL_ROWS], r[N * PANEL_COLUMNS], tile[TILE];
    (void)state;
    for (int i = 0; i < N * PANEL_ROWS; i++) l[i] = (pitot_real)(i % 7);
    for (int i = 0; i < N * PANEL_COLUMNS; i++) r[i] = (pitot_real)(i % 5 - 2);
    for (int32_t k = PANEL_AVX2; k <= PANEL_AVX512; k++) {
        panel_kernel kernel_k = panel_choose(k);
        for (int times = 1; kernel_k && times <= 2; times++) {
            kernel_k(l, r, N, times > 1, tile, PANEL_COLUMNS);
            for (int i = 0; i < TILE; i++) {
                double want = 0;
                for (int n = 0; n < N; n++)
                    want += (double)times * (double)l[n * PANEL_ROWS + i / PANEL_COLUMNS] *
                            (double)r[n * PANEL_COLUMNS + i % PANEL_COLUMNS];
                assert_true((double)tile[i] == want);
            }
        }
    }
    assert_null(panel_choose(PANEL_NONE));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_layout_is_what_loops_make_of_it),
        cmocka_unit_test(samples_of_several_blocks),
        cmocka_unit_test(curvature_stands_beside_moments),
        cmocka_unit_test(curvature_that_is_not_finite),
        cmocka_unit_test(scales_multiply),
        cmocka_unit_test(uses_of_one_tensor_add_up_before_they_are_squared),
        cmocka_unit_test(targets_add_up),
        cmocka_unit_test(nothing_in_gives_nothing),
        cmocka_unit_test(work_beyond_all_memory_is_refused),
        cmocka_unit_test(repetition_changes_no_bit),
        cmocka_unit_test(identical_samples_do_not_vary),
        cmocka_unit_test(small_variances_keep_their_digits),
        cmocka_unit_test(magnitudes_at_the_ends_of_the_range),
        cmocka_unit_test(vectors_of_zeros),
        cmocka_unit_test(what_is_not_finite_passes_through),
        cmocka_unit_test(every_kernel_serves),
        cmocka_unit_test(kernels_add_on_demand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
