/* Projections, products per pair of samples, weighted sums and single samples of the sweep against plain loops in double over every
   sample's gradient; what they must be to each other and to the norms; ends of the range, values that are not finite. */

#include "base/alloc.h"
#include "sweep_uses.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#ifdef PITOT_DOUBLE
static const double tolerance = 1e-12;
#else
static const double tolerance = 1e-5;
#endif

enum { USES = 4, TARGETS = 6, GUARD = 64, WALK = SWEEP_NORMS | SWEEP_ALONG | SWEEP_MOMENTS };

/* ---- a job, and what should come out of it ---- */

typedef struct fixture {
    sweep_job job;
    sweep_target target[TARGETS];
    sweep_use use[TARGETS][USES];
    double *g[TARGETS];                                     /* (n,size) */
    pitot_real *mean[TARGETS], *direction[TARGETS];         /* (size) */
    double *square, *along, *deviation, *projection, *gram; /* (n), (n,n): should be */
    int64_t n;
} fixture;

static void *cleared(int64_t n, size_t size) {
    void *block = calloc((size_t)(n > 0 ? n : 1), size);
    assert_non_null(block);
    return block;
}

static void start(fixture *f, int64_t n) {
    *f = (fixture){ .n = n };
    f->job = (sweep_job){ .n = n, .scale = 1, .mean_scale = 1, .target = f->target };
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

static double dot(const double *x, const double *y, int64_t n) {
    double all = 0;
    for (int64_t i = 0; i < n; i++) all += x[i] * y[i];
    return all;
}

static void expect_target(fixture *f, int i) {
    const sweep_target *t = &f->target[i];
    int64_t size = t->size;
    double *mean = cleared(size, sizeof *mean), *g = f->g[i] = cleared(f->n * size, sizeof *g);
    f->mean[i] = cleared(size, sizeof(pitot_real));
    for (int64_t n = 0; n < f->n; n++) {
        for (int32_t k = 0; k < t->n_uses; k++) add_gradient(&t->use[k], n, g + n * size);
        for (int64_t j = 0; j < size; j++) mean[j] += (g[n * size + j] *= f->job.scale) / (double)f->n;
    }
    if (!f->direction[i]) f->direction[i] = values(size);
    for (int64_t n = 0; n < f->n; n++) {
        f->square[n] += dot(g + n * size, g + n * size, size);
        f->along[n] += dot(g + n * size, mean, size);
        for (int64_t j = 0; j < size; j++) {
            f->projection[n] += g[n * size + j] * (double)f->direction[i][j];
            f->deviation[n] += (g[n * size + j] - mean[j]) * (g[n * size + j] - mean[j]);
        }
        for (int64_t m = 0; m < f->n; m++) f->gram[n * f->n + m] += dot(g + n * size, g + m * size, size);
    }
    for (int64_t j = 0; j < size; j++) f->mean[i][j] = (pitot_real)(mean[j] / f->job.mean_scale);
    f->target[i].mean = f->mean[i];
    f->target[i].direction = f->direction[i];
    free(mean);
}

static void expect(fixture *f) {
    f->square = cleared(f->n, sizeof(double));
    f->along = cleared(f->n, sizeof(double));
    f->deviation = cleared(f->n, sizeof(double));
    f->projection = cleared(f->n, sizeof(double));
    f->gram = cleared(f->n * f->n, sizeof(double));
    for (int i = 0; i < f->job.n_targets; i++) expect_target(f, i);
}

static void finish(fixture *f) {
    for (int i = 0; i < f->job.n_targets; i++) {
        free(f->g[i]);
        free(f->mean[i]);
        free(f->direction[i]);
        for (int32_t k = 0; k < f->target[i].n_uses; k++) {
            free((void *)(uintptr_t)f->use[i][k].a);
            free((void *)(uintptr_t)f->use[i][k].g);
        }
    }
    free(f->square);
    free(f->along);
    free(f->deviation);
    free(f->projection);
    free(f->gram);
}

/* ---- running it ---- */

typedef struct result {
    double *square, *along, *deviation, *projection, *gram;
} result;

static void count_tile(void *user, const sweep_tile *tile) {
    if (!user || tile->begin >= tile->end) abort();
}

/* Work of the size that the job asks for, filled with NaN, a guard behind it. */
static void take_work(fixture *f, uint32_t wants, int threads) {
    f->job.wants = wants;
    f->job.threads = threads;
    int64_t need = sweep_work(&f->job);
    assert_true(need >= 0);
    f->job.work = mem_alloc(need + GUARD, sizeof *f->job.work);
    assert_non_null(f->job.work);
    for (int64_t i = 0; i < need + GUARD; i++) f->job.work[i] = i < need ? (pitot_real)NAN : 12345;
}

static void drop_work(fixture *f) {
    int64_t need = sweep_work(&f->job);
    for (int64_t i = need; i < need + GUARD; i++) assert_true(f->job.work[i] == 12345);
    mem_free(f->job.work);
}

static result run(fixture *f, uint32_t wants, int threads) {
    int64_t n = f->n;
    result r = { cleared(n, sizeof(double)), cleared(n, sizeof(double)), cleared(n, sizeof(double)), cleared(n, sizeof(double)),
                 cleared(n * n, sizeof(double)) };
    sweep_job *j = &f->job;
    for (int64_t i = 0; i < n * n; i++) r.gram[i] = NAN;
    j->square = wants & SWEEP_NORMS ? r.square : NULL;
    j->along = wants & SWEEP_ALONG ? r.along : NULL;
    j->deviation = wants & SWEEP_ALONG ? r.deviation : NULL;
    j->projection = wants & SWEEP_PROJECTION ? r.projection : NULL;
    j->gram = wants & SWEEP_GRAM ? r.gram : NULL;
    j->moments = wants & SWEEP_MOMENTS ? count_tile : NULL;
    j->user = f;
    for (int i = 0; i < j->n_targets; i++) {
        f->target[i].mean = wants & (SWEEP_ALONG | SWEEP_MOMENTS) ? f->mean[i] : NULL;
        f->target[i].direction = wants & SWEEP_PROJECTION ? f->direction[i] : NULL;
    }
    take_work(f, wants, threads);
    sweep_run(j);
    drop_work(f);
    return r;
}

static void drop(result *r) {
    free(r->square);
    free(r->along);
    free(r->deviation);
    free(r->projection);
    free(r->gram);
}

static void near(double got, double want, double bound, const char *what, int64_t at) {
    if (fabs(got - want) <= bound) return;
    print_error("%s[%lld]: %.10g, not %.10g (+- %.3g)\n", what, (long long)at, got, want, bound);
    fail();
}

/* |d| over all targets */
static double length_of_directions(const fixture *f) {
    double square = 0;
    for (int i = 0; i < f->job.n_targets; i++)
        for (int64_t k = 0; k < f->target[i].size; k++) square += (double)f->direction[i][k] * (double)f->direction[i][k];
    return sqrt(square);
}

static void check(const fixture *f, const result *r, uint32_t wants) {
    int64_t n = f->n;
    double d = length_of_directions(f), longest = 0;
    for (int64_t i = 0; i < n; i++) longest = fmax(longest, sqrt(f->square[i]));
    for (int64_t i = 0; i < n; i++) {
        double length = sqrt(f->square[i]);
        if (wants & SWEEP_NORMS) near(r->square[i], f->square[i], 3 * tolerance * f->square[i], "square", i);
        if (wants & SWEEP_ALONG) near(r->along[i], f->along[i], 3 * tolerance * length * longest, "along", i);
        if (wants & SWEEP_ALONG)
            near(r->deviation[i], n == 1 ? 0 : f->deviation[i], 12 * tolerance * f->deviation[i], "deviation", i);
        if (wants & SWEEP_PROJECTION) near(r->projection[i], f->projection[i], tolerance * length * d, "projection", i);
        for (int64_t m = 0; wants & SWEEP_GRAM && m < n; m++) {
            near(r->gram[i * n + m], f->gram[i * n + m], tolerance * length * sqrt(f->square[m]), "gram", i * n + m);
            assert_true(r->gram[i * n + m] == r->gram[m * n + i]);
        }
    }
}

/* ---- sums and samples ---- */

static void check_weighted_sum(fixture *f, int i, uint32_t wants, int threads) {
    int64_t size = f->target[i].size;
    double *weight = cleared(f->n, sizeof *weight);
    pitot_real *out = cleared(size, sizeof *out);
    for (int64_t n = 0; n < f->n; n++) weight[n] = n == 1 ? 0 : 3 * uniform();
    take_work(f, wants, threads);
    sweep_weighted_sum(&f->job, i, weight, out);
    drop_work(f);
    for (int64_t k = 0; k < size; k++) {
        double want = 0, absolute = 0;
        for (int64_t n = 0; n < f->n; n++) {
            want += weight[n] * f->g[i][n * size + k];
            absolute += fabs(weight[n]) * sqrt(f->square[n]);
        }
        near((double)out[k], want, tolerance * absolute, "weighted sum", k);
    }
    free(weight);
    free(out);
}

static void check_samples(fixture *f, int i, int64_t begin, int64_t end, uint32_t wants, int threads) {
    int64_t size = f->target[i].size, stride = size + 3;
    pitot_real *out = cleared((end - begin) * stride, sizeof *out);
    for (int64_t k = 0; k < (end - begin) * stride; k++) out[k] = 777;
    take_work(f, wants, threads);
    sweep_samples(&f->job, i, begin, end, out, stride);
    drop_work(f);
    for (int64_t n = begin; n < end; n++)
        for (int64_t k = 0; k < stride; k++) {
            double got = (double)out[(n - begin) * stride + k];
            if (k >= size) assert_true(got == 777);
            else near(got, f->g[i][n * size + k], tolerance * sqrt(f->square[n]), "sample", k);
        }
    free(out);
}

static void check_sums(fixture *f, uint32_t wants, int threads) {
    for (int i = 0; i < f->job.n_targets; i++) {
        check_weighted_sum(f, i, wants, threads);
        check_samples(f, i, 0, f->n, wants, threads);
        check_samples(f, i, f->n / 2, f->n, wants, threads);
        check_samples(f, i, f->n / 2, f->n / 2, wants, threads);
    }
}

static void check_all(fixture *f) {
    static const uint32_t chosen[] = { SWEEP_PROJECTION,
                                       SWEEP_GRAM,
                                       SWEEP_PROJECTION | SWEEP_NORMS,
                                       SWEEP_GRAM | SWEEP_NORMS,
                                       SWEEP_PROJECTION | SWEEP_ALONG | SWEEP_NORMS,
                                       SWEEP_PROJECTION | SWEEP_MOMENTS,
                                       SWEEP_PROJECTION | SWEEP_GRAM | SWEEP_NORMS | SWEEP_ALONG,
                                       SWEEP_GRAM | SWEEP_ALONG,
                                       SWEEP_PROJECTION | SWEEP_GRAM | WALK };
    for (int threads = 1; threads <= 2; threads++) {
        for (size_t i = 0; i < sizeof chosen / sizeof *chosen; i++) {
            result r = run(f, chosen[i], threads);
            check(f, &r, chosen[i]);
            drop(&r);
        }
        check_sums(f, 0, threads);
        check_sums(f, SWEEP_PROJECTION | SWEEP_GRAM | WALK, threads);
    }
}

/* ---- tests ---- */

static void every_layout_is_what_loops_make_of_it(void **state) {
    static const int64_t samples[] = { 1, 2, 5, 37, 130 };
    (void)state;
    for (int i = 0; i < LAYOUTS; i++)
        for (int k = 0; k < 5; k++) {
            if (size_of(&layouts[i]) > 20000 && samples[k] > 5) continue;
            if (size_of(&layouts[i]) > 100 && samples[k] > 37) continue;
            fixture f;
            one_target(&f, &layouts[i], samples[k]);
            expect(&f);
            check_all(&f);
            finish(&f);
        }
}

static void check_products(fixture *f) {
    expect(f);
    for (int threads = 1; threads <= 3; threads++) {
        result r = run(f, SWEEP_PROJECTION | SWEEP_GRAM, threads);
        check(f, &r, SWEEP_PROJECTION | SWEEP_GRAM);
        drop(&r);
    }
    check_sums(f, 0, 2);
    finish(f);
}

/* Blocks that cut rows, columns, channels and groups. */
static void tensors_of_many_blocks(void **state) {
    static const layout large[] = {
        LINEAR(.t = 2, .din = 150, .dout = 200),
        LINEAR(.t = 3, .din = 390, .dout = 53, .transposed = 1),
        CONV(.din = 96, .dout = 96, .in = { 4, 4 }, .kernel = { 3, 3 }, .groups = 3),
        CONV(.din = 96, .dout = 96, .in = { 4, 4 }, .kernel = { 3, 3 }, .groups = 3, .channels_last = 1),
        CONV(.din = 256, .dout = 1024, .in = { 3, 4 }, .kernel = { 3, 3 }, .groups = 64),
        CONV(.din = 8, .dout = 400, .in = { 4, 4 }, .kernel = { 3, 3 }, .padding = { 1, 1 }),
        CONV(.din = 8, .dout = 400, .in = { 4, 4 }, .kernel = { 3, 3 }, .channels_last = 1),
        CONV(.din = 300, .dout = 60, .in = { 2, 2 }, .kernel = { 1, 1 }),
        CONV(.din = 300, .dout = 60, .in = { 2, 2 }, .kernel = { 1, 1 }, .channels_last = 1),
        CONV(.din = 2, .dout = 60, .in = { 21, 20 }, .kernel = { 20, 20 }),
        CONV(.din = 2, .dout = 2, .in = { 130, 130 }, .kernel = { 130, 130 }),
    };
    static const layout together[] = { CONV(.din = 64, .dout = 66, .in = { 5, 4 }, .kernel = { 4, 4 }),
                                       OTHER(GIVEN, .dout = 67584) };
    fixture f;
    (void)state;
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        one_target(&f, &large[i], 7);
        check_products(&f);
    }
    start(&f, 7);
    int t = add_target(&f, 67584);
    for (int i = 0; i < 2; i++) add_use(&f, t, &together[i], 0.5 + i);
    check_products(&f);
}

/* More than one product's rows and columns, and more than threads keep sums of their own for. */
static void many_samples(void **state) {
    static const layout small[] = { LINEAR(.t = 1, .din = 7, .dout = 5), LINEAR(.t = 3, .din = 5, .dout = 4, .time_first = 1),
                                    CONV(.din = 2, .dout = 3, .in = { 4, 4 }, .kernel = { 2, 2 }), OTHER(SUM, .t = 1, .dout = 21) };
    (void)state;
    for (size_t i = 0; i < sizeof small / sizeof *small; i++)
        for (int64_t n = 300; n <= 600; n += 300) {
            fixture f;
            one_target(&f, &small[i], n);
            check_products(&f);
        }
}

/* One input for all samples, and inputs that overlap. */
static void inputs_that_samples_share(void **state) {
    static const layout chosen[] = { LINEAR(.t = 1, .din = 30, .dout = 21), LINEAR(.t = 1, .din = 30, .dout = 21, .transposed = 1),
                                     LINEAR(.t = 4, .din = 12, .dout = 70),
                                     CONV(.din = 3, .dout = 4, .in = { 6, 6 }, .kernel = { 3, 3 }) };
    (void)state;
    for (size_t i = 0; i < sizeof chosen / sizeof *chosen; i++)
        for (int64_t step = 0; step <= 5; step += 5) {
            fixture f;
            one_target(&f, &chosen[i], 19);
            f.use[0][0].a_sample = step;
            expect(&f);
            check_all(&f);
            finish(&f);
        }
}

static void scales_multiply(void **state) {
    static const layout chosen[] = { LINEAR(.t = 1, .din = 30, .dout = 21),
                                     LINEAR(.t = 3, .din = 8, .dout = 21),
                                     CONV(.din = 3, .dout = 4, .in = { 6, 6 }, .kernel = { 3, 3 }),
                                     CONV(.din = 20, .dout = 30, .in = { 4, 4 }, .kernel = { 3, 3 }),
                                     OTHER(SUM, .t = 1, .dout = 30),
                                     OTHER(SCALE, .t = 2, .dout = 4),
                                     OTHER(GIVEN, .dout = 13) };
    static const double of[][2] = { { -2.5, 0.3 }, { 1 / 128.0, -1 }, { -1, -4 } };
    (void)state;
    for (size_t i = 0; i < sizeof chosen / sizeof *chosen; i++)
        for (int k = 0; k < 3; k++) {
            fixture f;
            start(&f, 37);
            f.job.scale = of[k][0];
            f.job.mean_scale = 1 / 37.0;
            add_use(&f, add_target(&f, size_of(&chosen[i])), &chosen[i], of[k][1]);
            expect(&f);
            check_all(&f);
            finish(&f);
        }
}

static void uses_of_one_tensor_add_up(void **state) {
    static const layout linear[] = { LINEAR(.t = 1, .din = 24, .dout = 15), LINEAR(.t = 5, .din = 24, .dout = 15),
                                     LINEAR(.t = 2, .din = 15, .dout = 24, .transposed = 1, .time_first = 1),
                                     OTHER(GIVEN, .dout = 360) };
    static const layout tied[] = { LINEAR(.t = 1, .din = 24, .dout = 15), LINEAR(.t = 5, .din = 24, .dout = 15, .time_first = 1) };
    static const layout conv[] = { CONV(.din = 6, .dout = 10, .in = { 5, 5 }, .kernel = { 1, 1 }),
                                   LINEAR(.t = 3, .din = 6, .dout = 10), OTHER(GIVEN, .dout = 60) };
    static const layout convs[] = { CONV(.din = 20, .dout = 30, .in = { 4, 4 }, .kernel = { 3, 3 }),
                                    CONV(.din = 20, .dout = 30, .in = { 4, 5 }, .kernel = { 3, 3 }, .channels_last = 1) };
    static const layout widths[] = { LINEAR(.t = 2, .din = 6, .dout = 10), LINEAR(.t = 3, .din = 20, .dout = 3) };
    static const layout bias[] = { OTHER(SUM, .t = 1, .dout = 10), OTHER(SUM, .t = 9, .dout = 10, .channels_last = 2),
                                   OTHER(SCALE, .t = 2, .dout = 10) };
    static const struct {
        const layout *l;
        int n;
    } sets[] = { { linear, 4 }, { tied, 2 }, { conv, 3 }, { convs, 2 }, { widths, 2 }, { bias, 3 } };
    (void)state;
    for (int equal = 0; equal < 2; equal++)
        for (int i = 0; i < 6; i++) {
            fixture f;
            start(&f, 19);
            int t = add_target(&f, size_of(sets[i].l));
            for (int k = 0; k < sets[i].n; k++) add_use(&f, t, &sets[i].l[k], equal ? 0.7 : 1 - 0.4 * k);
            expect(&f);
            check_all(&f);
            finish(&f);
        }
}

static void a_net(fixture *f, int64_t n) {
    static const layout net[] = { CONV(.din = 2, .dout = 6, .in = { 8, 7 }, .kernel = { 3, 3 }),
                                  OTHER(SUM, .t = 30, .dout = 6, .channels_last = 2), LINEAR(.t = 1, .din = 40, .dout = 30),
                                  OTHER(SUM, .t = 1, .dout = 30), OTHER(SCALE, .t = 3, .dout = 5) };
    start(f, n);
    for (int i = 0; i < 5; i++) add_use(f, add_target(f, size_of(&net[i])), &net[i], 1);
    add_target(f, 9); /* a tensor that nothing used */
    expect(f);
}

static void targets_add_up(void **state) {
    (void)state;
    fixture f;
    a_net(&f, 37);
    check_all(&f);
    finish(&f);
}

static void nothing_in_gives_nothing(void **state) {
    (void)state;
    fixture f;
    start(&f, 5);
    expect(&f);
    check_all(&f);
    finish(&f);
    start(&f, 3);
    add_target(&f, 9);
    expect(&f);
    check_all(&f);
    finish(&f);
    one_target(&f, &layouts[0], 3);
    expect(&f);
    f.job.n = f.n = 0;
    check_all(&f);
    finish(&f);
}

/* A direction that is the sum of m samples' outer products, given as such and in full. */
static void give_outer(fixture *f, int i, int64_t m) {
    const sweep_use *u = f->use[i];
    pitot_real *a = values(m * u->din), *g = values(m * u->dout);
    f->target[i].outer = (sweep_outer){ m, u->din, u->dout, u->transposed, a, g, -0.25 };
    f->direction[i] = cleared(f->target[i].size, sizeof(pitot_real));
    for (int64_t r = 0; r < u->dout; r++)
        for (int64_t c = 0; c < u->din; c++) {
            double sum = 0;
            for (int64_t k = 0; k < m; k++) sum += -0.25 * (double)g[k * u->dout + r] * (double)a[k * u->din + c];
            f->direction[i][u->transposed ? c * u->dout + r : r * u->din + c] = (pitot_real)sum;
        }
}

static void outer_products_are_a_direction(void **state) {
    const int64_t rows[] = { 1, 3, 130, 300 };
    int taken = 0;
    (void)state;
    for (int i = 0; i < LAYOUTS; i++)
        for (int k = 0; k < 4; k++) {
            fixture f;
            one_target(&f, &layouts[i], 67);
            if (layouts[i].kind != SWEEP_LINEAR || layouts[i].t != 1 || size_of(&layouts[i]) > 50000) {
                assert_true(layouts[i].t == 1 || !sweep_outer_pays(f.target, 1));
                finish(&f);
                continue;
            }
            give_outer(&f, 0, rows[k]);
            assert_true(sweep_outer_fits(f.target, &f.target->outer));
            expect(&f);
            for (int threads = 1; threads <= 2; threads++) {
                result r = run(&f, SWEEP_PROJECTION, threads), all = run(&f, SWEEP_PROJECTION | WALK, threads);
                check(&f, &r, SWEEP_PROJECTION);
                assert_memory_equal(r.projection, all.projection, 67 * sizeof(double));
                drop(&r);
                drop(&all);
            }
            free((void *)(uintptr_t)f.target->outer.a);
            free((void *)(uintptr_t)f.target->outer.g);
            finish(&f);
            taken++;
        }
    assert_true(taken > 20);
}

static void repetition_changes_no_bit(void **state) {
    (void)state;
    for (int i = 0; i < LAYOUTS; i++) {
        fixture f;
        if (size_of(&layouts[i]) > 50000) continue;
        one_target(&f, &layouts[i], 19);
        expect(&f);
        uint32_t both = SWEEP_PROJECTION | SWEEP_GRAM;
        result a = run(&f, both, 3), b = run(&f, both, 3);
        assert_memory_equal(a.projection, b.projection, 19 * sizeof(double));
        assert_memory_equal(a.gram, b.gram, (size_t)19 * 19 * sizeof(double));
        drop(&a);
        drop(&b);
        finish(&f);
    }
}

/* ---- what they are to each other ---- */

static double largest(const double *x, int64_t n) {
    double all = 0;
    for (int64_t i = 0; i < n; i++) all = fmax(all, fabs(x[i]));
    return all;
}

static void products_agree_with_norms(void **state) {
    (void)state;
    fixture f;
    a_net(&f, 53);
    for (int i = 0; i < f.job.n_targets; i++) /* the mean is the direction */
        memcpy(f.direction[i], f.mean[i], (size_t)f.target[i].size * sizeof *f.mean[i]);
    for (int threads = 1; threads <= 2; threads++) {
        result r = run(&f, SWEEP_PROJECTION | SWEEP_GRAM | WALK, threads);
        double most = largest(r.square, f.n);
        for (int64_t n = 0; n < f.n; n++) {
            double sum = 0;
            for (int64_t m = 0; m < f.n; m++) sum += r.gram[n * f.n + m] / (double)f.n;
            near(r.gram[n * f.n + n], r.square[n], tolerance * r.square[n], "diagonal", n);
            near(sum, r.along[n], tolerance * most, "mean of a row", n);
            near(r.projection[n], r.along[n], tolerance * most, "along the mean", n);
        }
        drop(&r);
    }
    finish(&f);
}

static void sums_agree_with_samples(void **state) {
    (void)state;
    fixture f;
    a_net(&f, 53);
    double ones[53];
    for (int n = 0; n < 53; n++) ones[n] = 1;
    for (int i = 0; i < f.job.n_targets; i++) {
        int64_t size = f.target[i].size;
        pitot_real *sum = cleared(size, sizeof *sum), *weighted = cleared(size, sizeof *sum), *g = cleared(53 * size, sizeof *g);
        take_work(&f, 0, 2);
        sweep_sum(&f.job, i, sum);
        sweep_weighted_sum(&f.job, i, ones, weighted);
        sweep_samples(&f.job, i, 0, 53, g, size);
        drop_work(&f);
        assert_memory_equal(sum, weighted, (size_t)size * sizeof *sum);
        for (int64_t k = 0; k < size; k++) {
            double all = 0;
            for (int n = 0; n < 53; n++) all += (double)g[n * size + k];
            near(all / 53, (double)f.mean[i][k], tolerance * sqrt(largest(f.square, 53)), "mean of samples", k);
            near(all, (double)sum[k], 53 * tolerance * sqrt(largest(f.square, 53)), "sum of samples", k);
        }
        free(sum);
        free(weighted);
        free(g);
    }
    finish(&f);
}

/* ---- values at the ends of the range, values that are not finite ---- */

static const layout shapes[] = { LINEAR(.t = 1, .din = 70, .dout = 45),
                                 LINEAR(.t = 1, .din = 70, .dout = 45, .transposed = 1),
                                 LINEAR(.t = 3, .din = 17, .dout = 12),
                                 CONV(.din = 3, .dout = 4, .in = { 6, 5 }, .kernel = { 3, 3 }, .padding = { 1, 1 }),
                                 CONV(.din = 20, .dout = 30, .in = { 4, 4 }, .kernel = { 3, 3 }),
                                 OTHER(SUM, .t = 1, .dout = 9),
                                 OTHER(SCALE, .t = 4, .dout = 9),
                                 OTHER(GIVEN, .dout = 9) };
enum { SHAPES = sizeof shapes / sizeof *shapes };

static pitot_real *writable(const pitot_real *x) {
    return (pitot_real *)(uintptr_t)x;
}

static void multiply(const pitot_real *x, int64_t n, double by) {
    for (int64_t i = 0; x && i < n; i++) writable(x)[i] = (pitot_real)((double)x[i] * by);
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
            multiply(f.use[0][0].a, 37 * f.use[0][0].a_sample, by[k][0]);
            multiply(f.use[0][0].g, 37 * f.use[0][0].g_sample, by[k][1]);
            expect(&f);
            check_all(&f);
            finish(&f);
        }
}

/* Samples that are fitted well beside others that are not. */
static void lengths_that_differ_within_a_batch(void **state) {
    (void)state;
    for (int i = 0; i < SHAPES; i++) {
        fixture f;
        one_target(&f, &shapes[i], 37);
        for (int64_t n = 0; n < 37; n++)
            multiply(f.use[0][0].g + n * f.use[0][0].g_sample, f.use[0][0].g_sample, pow(10, -(double)n / 1.5));
        expect(&f);
        result r = run(&f, SWEEP_PROJECTION | SWEEP_GRAM, 2);
        check(&f, &r, SWEEP_PROJECTION | SWEEP_GRAM);
        drop(&r);
        finish(&f);
    }
}

static int lost(double x) {
    return !isfinite(x);
}

/* Sample 3 is lost, the others are not. */
static void check_lost(const fixture *f, const result *r, uint32_t wants) {
    for (int64_t n = 0; n < f->n; n++) {
        double length = sqrt(f->square[n]), d = length_of_directions(f);
        if (wants & SWEEP_PROJECTION && n == 3) assert_true(lost(r->projection[n]));
        if (wants & SWEEP_PROJECTION && n != 3) near(r->projection[n], f->projection[n], tolerance * length * d, "projection", n);
        for (int64_t m = 0; wants & SWEEP_GRAM && m < f->n; m++) {
            double k = r->gram[n * f->n + m];
            if (n == 3 || m == 3) assert_true(lost(k));
            else near(k, f->gram[n * f->n + m], tolerance * length * sqrt(f->square[m]), "gram", m);
        }
    }
}

static void check_lost_sums(fixture *f) {
    int64_t size = f->target[0].size;
    double weight[37];
    pitot_real *sum = cleared(size, sizeof *sum), *g = cleared(2 * size, sizeof *g);
    int64_t should = 0;
    for (int n = 0; n < 37; n++) weight[n] = 1;
    take_work(f, 0, 2);
    sweep_weighted_sum(&f->job, 0, weight, sum);
    sweep_samples(&f->job, 0, 3, 5, g, size);
    drop_work(f);
    for (int64_t k = 0; k < size; k++) {
        int gone = lost(f->g[0][3 * size + k]);
        should += gone;
        assert_true(lost((double)g[k]) == gone && lost((double)sum[k]) == gone && !lost((double)g[size + k]));
    }
    assert_true(should > 0);
    free(sum);
    free(g);
}

static void what_is_not_finite_passes_through(void **state) {
    static const double bad[] = { NAN, INFINITY, -INFINITY };
    static const uint32_t wants[] = { SWEEP_PROJECTION, SWEEP_GRAM, SWEEP_PROJECTION | SWEEP_NORMS,
                                      SWEEP_PROJECTION | SWEEP_GRAM | 7 };
    (void)state;
    for (int i = 0; i < SHAPES; i++)
        for (int k = 0; k < 6; k++) {
            fixture f;
            one_target(&f, &shapes[i], 37);
            sweep_use *u = &f.use[0][0];
            pitot_real *sample = writable(k < 3 && u->a ? u->a + 3 * u->a_sample : u->g + 3 * u->g_sample);
            sample[u->kind == SWEEP_CONV ? 6 : 0] = (pitot_real)bad[k % 3];
            expect(&f);
            for (size_t w = 0; w < sizeof wants / sizeof *wants; w++) {
                result r = run(&f, wants[w], 2);
                check_lost(&f, &r, wants[w]);
                drop(&r);
            }
            check_lost_sums(&f);
            f.direction[0][0] = (pitot_real)NAN;
            result r = run(&f, SWEEP_PROJECTION, 2);
            for (int64_t n = 0; n < f.n; n++) assert_true(lost(r.projection[n]));
            drop(&r);
            finish(&f);
        }
}

/* ---- room ---- */

static void room_grows_with_what_is_wanted(void **state) {
    (void)state;
    fixture f;
    start(&f, 1);
    sweep_use *u = &f.use[add_target(&f, 3136 * 1024)][f.target[0].n_uses++];
    *u = (sweep_use){ .kind = SWEEP_LINEAR, .t = 1, .din = 3136, .dout = 1024, .a_sample = 3136, .g_sample = 1024, .scale = 1 };
    f.job.n = 128;
    f.job.threads = 2;
    f.job.wants = 0;
    assert_true(sweep_work(&f.job) <= 128 * 1024 + 1024);
    f.job.wants = SWEEP_PROJECTION;
    assert_true(sweep_work(&f.job) <= 128 * 1024 + 1024);
    f.job.wants = SWEEP_GRAM;
    assert_true(sweep_work(&f.job) <= 128 * (3136 + 1024) + (1 << 17));
    u->a_sample = 0; /* by tiles */
    f.job.n = 4096;
    assert_true(sweep_work(&f.job) <= 4096 * 1024 + (1 << 22));
    u->a_sample = 3136;
    f.job.n = (int64_t)1 << 59;
    for (f.job.wants = 0; f.job.wants < 64; f.job.wants++) assert_true(sweep_work(&f.job) == -1);
    f.target[0].n_uses = 0;
    finish(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_layout_is_what_loops_make_of_it),
        cmocka_unit_test(tensors_of_many_blocks),
        cmocka_unit_test(many_samples),
        cmocka_unit_test(inputs_that_samples_share),
        cmocka_unit_test(scales_multiply),
        cmocka_unit_test(uses_of_one_tensor_add_up),
        cmocka_unit_test(targets_add_up),
        cmocka_unit_test(nothing_in_gives_nothing),
        cmocka_unit_test(outer_products_are_a_direction),
        cmocka_unit_test(repetition_changes_no_bit),
        cmocka_unit_test(products_agree_with_norms),
        cmocka_unit_test(sums_agree_with_samples),
        cmocka_unit_test(magnitudes_at_the_ends_of_the_range),
        cmocka_unit_test(lengths_that_differ_within_a_batch),
        cmocka_unit_test(what_is_not_finite_passes_through),
        cmocka_unit_test(room_grows_with_what_is_wanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
