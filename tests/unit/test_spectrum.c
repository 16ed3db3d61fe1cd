/* `pitot spectrum` from within: both ends and quadrature of operators whose eigenvalues are known, blocks of a net's Hessian, the file and
   what is wrong with files, curves that keep their mass, the stability limit. */

#include "spectrum_measure.h"
#include "spectrum_shape.h"
#include "spectrum_source.h"

#include <lapacke.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const double rounding = sizeof(pitot_real) == 8 ? 1e-12 : 2e-5;

static double draw_uniform(uint64_t *state) { /* in (-1,1) */
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) * 0x1p-52 - 1;
}

static double draw_normal(uint64_t *state) {
    double u = 0.5 + 0.5 * draw_uniform(state), v = draw_uniform(state);
    return sqrt(-2 * log(u + 1e-300)) * cos(3.141592653589793 * v);
}

static void assert_close(double value, double expected, double tolerance, double scale, const char *what) {
    if (!(fabs(value - expected) <= tolerance * scale)) fail_msg("%s: %.17g, not %.17g", what, value, expected);
}

/* ---- operators ---- */

enum { N = 60 };

typedef struct dense {
    double a[N * N];
    int n, calls;
} dense;

static int32_t apply_dense(void *self, const pitot_real *x, pitot_real *y, int64_t k) {
    dense *d = self;
    for (int64_t j = 0; j < k; j++, d->calls++)
        for (int r = 0; r < d->n; r++) {
            double sum = 0;
            for (int c = 0; c < d->n; c++) sum += d->a[r * d->n + c] * (double)x[j * d->n + c];
            y[j * d->n + r] = (pitot_real)sum;
        }
    return PITOT_OK;
}

static pitot_linop op_of(dense *d) {
    return (pitot_linop){
        .struct_size = sizeof(pitot_linop), .name = "matrix", .n = d->n, .symmetric = 1, .exact = 1, .apply = apply_dense, .self = d
    };
}

/* Q diag(value) Q', Q from reflections; turned 0: diagonal. */
static void fill(dense *d, int n, const double *value, int turned) {
    uint64_t seed = 9;
    d->n = n, d->calls = 0;
    for (int i = 0; i < n * n; i++) d->a[i] = i / n == i % n ? value[i / n] : 0;
    for (int turn = 0; turn < 3 * turned; turn++) {
        double u[N], au[N], square = 0, uau = 0;
        for (int i = 0; i < n; i++) u[i] = draw_normal(&seed), square += u[i] * u[i];
        for (int i = 0; i < n; i++) u[i] *= sqrt(2 / square);
        for (int i = 0; i < n; i++) {
            au[i] = 0;
            for (int j = 0; j < n; j++) au[i] += d->a[i * n + j] * u[j];
            uau += u[i] * au[i];
        }
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++) d->a[i * n + j] += uau * u[i] * u[j] - u[i] * au[j] - au[i] * u[j];
    }
}

static int32_t measure(dense *d, const spectrum_task *task, spectrum *s, pitot_error *error) {
    pitot_linop op = op_of(d);
    memset(s, 0, sizeof *s);
    snprintf(s->kind, sizeof s->kind, "matrix");
    s->parameters = d->n, s->samples = 1, s->step = -1, s->loss = 0.5, s->limit = NAN;
    return spectrum_measure(&op, task, s, error);
}

/* As nets have them: outliers, a bulk around 0, a negative end. */
static void outliers(double *value) {
    for (int i = 0; i < N; i++) value[i] = i < 5 ? 10.0 / (i + 1) : i < 54 ? 0.02 * sin(7.0 * i) : -0.1 * (i - 52);
}

static int descending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

static void both_ends(void **state) {
    (void)state;
    dense d;
    double value[N];
    spectrum s;
    outliers(value);
    fill(&d, N, value, 1);
    qsort(value, N, sizeof *value, descending);
    assert_int_equal(measure(&d, &(spectrum_task){ .pairs = 6, .draws = 16, .steps = 4, .tolerance = 1e-3, .seed = 1 }, &s, NULL),
                     0);
    assert_true(s.complete && s.converged && s.n_top == 6 && s.n_bottom == 6);
    for (int i = 0; i < 6; i++) {
        double off = 10 * rounding;
        assert_true(fabs(s.top[i].value - value[i]) <= s.top[i].residual + off);
        assert_true(fabs(s.top[i].value - value[i]) <= 1.5 * s.top[i].error + off);
        assert_true(fabs(s.bottom[i].value - value[N - 1 - i]) <= s.bottom[i].residual + off);
        assert_true(s.top[i].error > 0 && s.top[i].error <= s.top[i].residual + off);
    }
    /* the smaller end by its own size, 0.7, not by the largest, 10 */
    assert_true(s.bottom[0].residual <= 1e-2 * 0.7 + 10 * rounding);
    assert_int_equal(s.products, d.calls);
    spectrum_free(&s);
}

/* A long diagonal: outliers up to 10, a dense bulk within 0.1, and the smallest end of that bulk asked for. */
enum { LONG = 4000 };

static double long_value(int64_t i) {
    return i < 5 ? 10.0 / (double)(i + 1) : 0.1 * cos(3.14159265 * (double)i / LONG);
}

static int32_t apply_long(void *self, const pitot_real *x, pitot_real *y, int64_t k) {
    (void)self;
    for (int64_t i = 0; i < k * LONG; i++) y[i] = (pitot_real)(long_value(i % LONG) * (double)x[i]);
    return PITOT_OK;
}

static double nearest_of(double v) {
    double nearest = INFINITY;
    for (int64_t i = 0; i < LONG; i++) nearest = fmin(nearest, fabs(v - long_value(i)));
    return nearest;
}

static void the_small_end_is_known_too(void **state) {
    (void)state;
    pitot_linop op = { .struct_size = sizeof op, .name = "diagonal", .n = LONG, .symmetric = 1, .exact = 1, .apply = apply_long };
    spectrum s = { .parameters = LONG };
    double worst = 0;
    assert_int_equal(spectrum_measure(&op, &(spectrum_task){ .pairs = 6, .tolerance = 3e-2 }, &s, NULL), 0);
    assert_true(s.n_top == 6 && s.n_bottom == 6 && s.draws == 0);
    for (int i = 0; i < 6; i++) {
        worst = fmax(worst, s.bottom[i].residual);
        assert_true(nearest_of(s.bottom[i].value) <= s.bottom[i].residual + 10 * rounding);
        assert_true(nearest_of(s.top[i].value) <= 1.5 * s.top[i].error + 10 * rounding);
    }
    assert_true(s.converged && worst <= 10 * 3e-2 * 0.1 && worst < 3e-2 * 10 / 5); /* not 3e-2 times 10 */
    spectrum_free(&s);
}

/* Of a diagonal matrix each vector of signs has the exact moments, up to the degree 2 steps - 1. */
static void exact_moments(void **state) {
    (void)state;
    enum { STEPS = 5 };
    dense d;
    double value[N];
    spectrum s;
    outliers(value);
    fill(&d, N, value, 0);
    assert_int_equal(measure(&d, &(spectrum_task){ .draws = 3, .steps = STEPS, .seed = 2 }, &s, NULL), 0);
    assert_true(s.draws == 3 && s.steps == STEPS && s.n_top == 0);
    for (int i = 0; i < 3; i++)
        for (int degree = 0; degree < 2 * STEPS; degree++) {
            double sum = 0, exact = 0;
            for (int k = 0; k < s.used[i]; k++) sum += s.weight[i * STEPS + k] * pow(s.node[i * STEPS + k], degree);
            for (int j = 0; j < N; j++) exact += pow(value[j], degree) / N;
            assert_close(sum, exact, 20 * (degree + 1) * rounding, pow(10, degree), "moment");
        }
    double trace = 0, squares = 0;
    for (int j = 0; j < N; j++) trace += value[j], squares += value[j] * value[j];
    assert_close(s.trace.value, trace, 20 * rounding, 10 * N, "trace");
    assert_close(s.trace.error, 0, 20 * rounding, 10 * N, "its error");
    assert_close(s.frobenius.value, squares, 20 * rounding, 100 * N, "squares");
    spectrum_free(&s);
    /* turned, it is within its errors */
    fill(&d, N, value, 1);
    assert_int_equal(measure(&d, &(spectrum_task){ .draws = 200, .steps = 30, .damping = 0.05 }, &s, NULL), 0);
    double negative = 0, dimension = 0, energy = 0, all = 0;
    for (int j = 0; j < N; j++) {
        negative += value[j] < 0 ? 1.0 / N : 0, dimension += value[j] > 0 ? value[j] / (value[j] + 0.05) : 0;
        energy += value[j] < 0 ? -value[j] : 0, all += fabs(value[j]);
    }
    assert_true(s.trace.error > 0 && fabs(s.trace.value - trace) < 5 * s.trace.error);
    assert_true(s.negative_mass.error > 0 && fabs(s.negative_mass.value - negative) < 5 * s.negative_mass.error);
    assert_true(fabs(s.dimension.value - dimension) < 5 * s.dimension.error);
    assert_true(s.condition > 500 && s.condition < 1e7); /* 10 over the smallest in the bulk */
    assert_true(fabs(s.negative_energy.value - energy / all) < 5 * s.negative_energy.error);
    spectrum_free(&s);
}

static void small_and_odd_operators(void **state) {
    (void)state;
    dense d;
    spectrum s;
    pitot_error error = { 0 };
    const spectrum_task task = { .pairs = 10, .draws = 4, .steps = 64, .tolerance = 1e-3 };
    double value[N] = { -2 };
    fill(&d, 1, value, 0);
    assert_int_equal(measure(&d, &task, &s, NULL), 0);
    assert_true(s.n_top == 1 && s.n_bottom == 1 && s.top[0].value == -2 && s.condition == 1);
    assert_close(s.trace.value, -2, rounding, 1, "trace");
    spectrum_free(&s);
    memset(value, 0, sizeof value); /* no curvature at all */
    fill(&d, N, value, 0);
    assert_int_equal(measure(&d, &task, &s, NULL), 0);
    assert_true(s.complete && s.n_top > 0 && s.top[0].value == 0 && s.trace.value == 0 && isnan(s.condition));
    spectrum_free(&s);
    d.a[7] = NAN;
    assert_int_equal(measure(&d, &task, &s, &error), PITOT_EHOST);
    assert_non_null(strstr(error.text, "not finite"));
    spectrum_free(&s);
}

/* ---- interrupted ---- */

static int32_t stop_at(void *user, int64_t products, int64_t of) {
    assert_true(of > 0);
    return products >= *(const int64_t *)user;
}

static char folder[] = "/tmp/pitot-spectrum-XXXXXX";

static const char *path_of(const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void check_same(const spectrum *a, const spectrum *b) {
    assert_string_equal(a->kind, b->kind);
    assert_true(a->n_top == b->n_top && a->n_bottom == b->n_bottom && a->draws == b->draws && a->complete == b->complete);
    assert_true(a->parameters == b->parameters && a->products == b->products && a->step == b->step && a->converged == b->converged);
    for (int32_t i = 0; i < a->n_top; i++) assert_memory_equal(&a->top[i], &b->top[i], sizeof(spectrum_pair));
    for (int32_t i = 0; i < a->n_bottom; i++) assert_memory_equal(&a->bottom[i], &b->bottom[i], sizeof(spectrum_pair));
    for (int32_t i = 0; i < a->draws; i++) {
        assert_int_equal(a->used[i], b->used[i]);
        assert_memory_equal(a->node + i * a->steps, b->node + i * b->steps, (size_t)a->used[i] * sizeof(double));
        assert_memory_equal(a->weight + i * a->steps, b->weight + i * b->steps, (size_t)a->used[i] * sizeof(double));
    }
    if (a->draws) assert_true(a->trace.value == b->trace.value && a->negative_mass.value == b->negative_mass.value);
}

static void partial_results(void **state) {
    (void)state;
    dense d;
    double value[N];
    spectrum s, again;
    pitot_error error = { 0 };
    outliers(value);
    fill(&d, N, value, 1);
    for (int64_t at = 1; at < 400; at += 13) {
        spectrum_task task = { .pairs = 5, .draws = 6, .steps = 40, .tolerance = 1e-3, .progress = stop_at, .user = &at };
        assert_int_equal(measure(&d, &task, &s, &error), 0);
        assert_true(s.complete == (s.products < at) && (s.complete || !s.converged));
        assert_true(s.products <= at + 1);
        for (int32_t i = 0; i < s.draws; i++) {
            double mass = 0;
            for (int k = 0; k < s.used[i]; k++) mass += s.weight[i * s.steps + k];
            assert_close(mass, 1, 1e-10, 1, "mass");
        }
        assert_int_equal(spectrum_write(&s, path_of("partial.json"), &error), 0);
        assert_int_equal(spectrum_read(&again, path_of("partial.json"), &error), 0);
        check_same(&s, &again);
        spectrum_free(&s), spectrum_free(&again);
    }
}

/* ---- the file ---- */

static void damaged_files(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "{}",
        "{\"operator\": \"hessian\"}",
        "{\"operator\": \"hessian\", \"parameters\": 5}",
        "{\"operator\": \"hessian\", \"parameters\": 5, \"density\": {\"nodes\": [[1]], \"weights\": []}}",
        "{\"operator\": \"hessian\", \"parameters\": 5, \"density\": {\"nodes\": [[1]], \"weights\": [[1, 2]]}}",
        "{\"operator\": \"hessian\", \"parameters\": 5, \"density\": {\"nodes\": [[null]], \"weights\": [[1]]}}",
        "{\"operator\": 3, \"parameters\": 5, \"density\": {\"nodes\": [], \"weights\": []}}"
    };
    spectrum s;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        pitot_error error = { 0 };
        FILE *f = fopen(path_of("bad.json"), "w");
        fputs(bad[i], f);
        fclose(f);
        assert_int_equal(spectrum_read(&s, path_of("bad.json"), &error), PITOT_EFORMAT);
        assert_non_null(strstr(error.text, "bad.json"));
    }
    pitot_error error = { 0 };
    assert_int_equal(spectrum_read(&s, path_of("none.json"), &error), PITOT_EIO);
    s = (spectrum){
        .kind = "hessian", .parameters = 3, .step = 12, .loss = NAN, .n_top = 1, .complete = 1, .limit = 20, .limit_name = "2/lr"
    };
    s.top[0] = (spectrum_pair){ INFINITY, NAN, 0.1, 0 };
    snprintf(s.model, sizeof s.model, "a \"strange\"\nname\\");
    assert_int_equal(spectrum_write(&s, path_of("odd.json"), &error), PITOT_OK);
    spectrum back;
    assert_int_equal(spectrum_read(&back, path_of("odd.json"), &error), 0);
    assert_true(isnan(back.loss) && isnan(back.top[0].value) && back.top[0].error == 0.1 && back.step == 12 && back.limit == 20);
    assert_true(back.complete && !back.converged);
    assert_string_equal(back.model, s.model);
    assert_string_equal(back.limit_name, "2/lr");
    char text[4096] = "";
    FILE *f = fopen(path_of("odd.json"), "r");
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    assert_true(n > 0 && strstr(text, "[\"top/0/value\", \"inf\"]") && strstr(text, "[\"loss\", \"nan\"]") && !strstr(text, "NaN"));
    spectrum_free(&back);
    assert_int_not_equal(spectrum_write(&s, path_of("no/such/folder.json"), &error), 0);
}

/* ---- blocks of a net's Hessian ---- */

static pitot_net *small_net(void) {
    static const char *const layers[][3] = { { "avg_pool2d", "pool", "kernel=8" },
                                             { "flatten", "flat", NULL },
                                             { "linear", "one", "out_features=3" },
                                             { "tanh", "bend", NULL },
                                             { "linear", "two", "out_features=10" } };
    static const int64_t shape[] = { 1, 16, 16, 0 };
    pitot_error error = { 0 };
    pitot_net *net = pitot_net_new("small", shape, "cross_entropy", &error);
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        if (pitot_net_add(net, layers[i][0], layers[i][1], NULL, layers[i][2], &error)) fail_msg("%s", error.text);
    assert_int_equal(pitot_net_prepare(net, 20, 1, &error), 0);
    assert_int_equal(pitot_net_init(net, 4), 0);
    return net;
}

/* Eigenvalues of rows and columns from..from+n of the Hessian (D,D), by columns of products and LAPACK. */
static void dense_block(pitot_net *net, int64_t all, int64_t from, int n, double *value) {
    pitot_real *e = calloc((size_t)all, sizeof *e), *column = calloc((size_t)all, sizeof *column);
    double *a = calloc((size_t)(n * n), sizeof *a);
    for (int j = 0; j < n; j++) {
        e[from + j] = 1;
        assert_int_equal(pitot_net_hvp(net, e, column), 0);
        e[from + j] = 0;
        for (int i = 0; i < n; i++) a[i * n + j] = (double)column[from + i];
    }
    assert_int_equal(LAPACKE_dsyev(LAPACK_ROW_MAJOR, 'N', 'U', n, a, n, value), 0);
    free(e), free(column), free(a);
}

static void blocks(void **state) {
    (void)state;
    static const struct {
        const char *group;
        int64_t from;
        int n;
    } list[] = { { NULL, 0, 55 },        { "one", 0, 15 },      { "two", 15, 40 },
                 { "two.bias", 45, 10 }, { "one, two", 0, 55 }, { "two.weight", 15, 30 } };
    pitot_error error = { 0 };
    pitot_net *net = small_net();
    pitot_data *data = pitot_data_open("glyphs:30", &error);
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        double value[64], loss;
        spectrum s = { .step = -1 };
        pitot_linop op;
        pitot_point *p = pitot_point_new(
            &(pitot_point_config){
                .struct_size = sizeof(pitot_point_config), .net = net, .data = data, .samples = 20, .group = list[i].group },
            &error);
        if (!p) fail_msg("%s", error.text);
        assert_int_equal(pitot_point_gradient(p, &loss, NULL), 0);
        assert_int_equal(pitot_point_operator(p, PITOT_OP_HESSIAN, &op), 0);
        assert_int_equal(op.n, list[i].n);
        assert_int_equal(spectrum_measure(&op, &(spectrum_task){ .pairs = 3, .tolerance = 1e-4 }, &s, &error), 0);
        dense_block(net, 55, list[i].from, list[i].n, value);
        /* of eigenvalues within the tolerance of each other the wrong one may come out */
        double size = fmax(fabs(value[0]), fabs(value[list[i].n - 1])), same = (1e-4 + 10 * rounding) * size;
        for (int k = 0; k < 3; k++) {
            assert_close(s.top[k].value, value[list[i].n - 1 - k], 1, s.top[k].residual + same, "top of a block");
            double nearest = INFINITY; /* softmax leaves four copies of 0, and a copy may be passed over */
            for (int j = 0; j < list[i].n; j++) nearest = fmin(nearest, fabs(s.bottom[k].value - value[j]));
            assert_close(nearest, 0, 1, s.bottom[k].residual + same, "bottom of a block");
            if (k == 0) assert_close(s.bottom[k].value, value[k], 1, s.bottom[k].residual + same, "the smallest");
        }
        pitot_point_free(p);
        spectrum_free(&s);
    }
    pitot_net_free(net);
    pitot_data_free(data);
}

/* ---- curves ---- */

/* Wherever an eigenvalue lies and however wide the spectrum, its mass is in the columns, and so is everybody else's. */
static void mass_is_kept(void **state) {
    (void)state;
    static const double wide[] = { 1e-6, 1e-2, 1, 1e3, 1e8, 1e-150, 1e150 };
    for (size_t w = 0; w < sizeof wide / sizeof *wide; w++)
        for (int columns = 50; columns <= 1600; columns *= 2) {
            double node[N], weight[N], out[1600], sum = 0, one = 0;
            for (int i = 0; i < N; i++) weight[i] = i < N - 1 ? (1 - 1e-4) / (N - 1) : 1e-4;
            for (int i = 0; i < N; i++) node[i] = i < N - 1 ? wide[w] * 1e-3 * (i - 25) / N : wide[w];
            spectrum_nodes q = { node, weight, N, 10000 };
            axis a = spectrum_axis(&q, NULL, 0);
            assert_true(a.scale == AXIS_SYMLOG && a.lo < node[0] && a.hi > node[N - 1] && a.linear > 0);
            spectrum_density(&a, &q, 0.03, out, columns);
            double each = 1 / spectrum_unit(&a) / columns, at = axis_at(&a, wide[w]) * columns;
            for (int i = 0; i < columns; i++) {
                assert_true(out[i] >= 0);
                sum += out[i] * each;
                if (fabs(i + 0.5 - at) * each < 0.3) one += out[i] * each;
            }
            assert_close(sum, 1, 1e-3, 1, "mass");
            assert_close(one, 1e-4, 1e-3, 1e-4, "an outlier's mass");
            spectrum_cumulative(&a, &q, out, columns);
            for (int i = 1; i < columns; i++) assert_true(out[i] >= out[i - 1]);
            assert_close(out[columns - 1], 1, 1e-12, 1, "the end of the cumulative curve");
        }
}

static void axes_of_anything(void **state) {
    (void)state;
    static const double odd[] = { 0, NAN, INFINITY, -3, 1e-300, 1e300, -1e-320 };
    uint64_t seed = 3;
    for (int round = 0; round < 2000; round++) {
        double node[4], weight[4], out[40];
        for (int i = 0; i < 4; i++) {
            double u = 0.5 + 0.5 * draw_uniform(&seed);
            node[i] = round % 2 ? odd[(int)(7 * u)] : draw_normal(&seed) * pow(10, (round % 8 ? 20 : 0.3) * draw_uniform(&seed));
            weight[i] = 0.25;
        }
        spectrum_nodes q = { node, weight, round % 5, 10 };
        axis a = spectrum_axis(&q, node, 4);
        for (int i = 0; i < 4 && round % 2 == 0; i++) assert_true(a.lo < node[i] && node[i] < a.hi);
        assert_true(a.lo < a.hi && isfinite(a.lo) && isfinite(a.hi) && a.linear > 0);
        spectrum_density(&a, &q, 0.05, out, 40);
        for (int i = 0; i < 40; i++) assert_true(out[i] >= 0 && isfinite(out[i]));
    }
}

/* ---- the limit ---- */

static void limits(void **state) {
    (void)state;
    static const struct {
        const char *optimizer;
        double lr, momentum, dampening, decay;
        int nesterov;
        double limit;
        const char *name;
    } list[] = {
        { "sgd", 0.1, 0, 0, 0, 0, 20, "2/lr" },
        { "", 0.1, 0, 0, 0, 0, 20, "2/lr" },
        { "sgd", 0.1, 0.9, 0, 0, 0, 38, "2(1+b)/lr" },
        { "sgd", 0.1, 0.9, 0, 0, 1, 38 / 2.8, "2(1+b)/((1+2b) lr)" },
        { "sgd", 0.1, 0.9, 0.5, 0, 0, 76, "2(1+b)/((1-d) lr)" },
        { "sgd", 0.1, 0, 0.5, 0, 0, 20, "2/lr" },
        { "sgd", 0.1, 0, 0, 0.5, 0, 19.5, "2/lr - weight_decay" },
        { "adam", 0.1, 0, 0, 0, 0, NAN, "" },
        { "sgd", NAN, 0, 0, 0, 0, NAN, "" },
        { "sgd", 0, 0, 0, 0, 0, NAN, "" },
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        static spectrum_source s;
        char name[48];
        s.lr = list[i].lr, s.momentum = list[i].momentum, s.dampening = list[i].dampening, s.weight_decay = list[i].decay;
        s.nesterov = list[i].nesterov;
        snprintf(s.optimizer, sizeof s.optimizer, "%s", list[i].optimizer);
        double limit = source_limit(&s, name, sizeof name);
        assert_true(isnan(limit) == isnan(list[i].limit));
        if (!isnan(limit)) assert_close(limit, list[i].limit, 1e-14, limit, "limit");
        assert_string_equal(name, list[i].name);
    }
}

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_all(void **state) {
    static const char *const names[] = { "partial.json", "bad.json", "odd.json" };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unlink(path_of(names[i]));
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ends),
        cmocka_unit_test(exact_moments),
        cmocka_unit_test(small_and_odd_operators),
        cmocka_unit_test(partial_results),
        cmocka_unit_test(damaged_files),
        cmocka_unit_test(blocks),
        cmocka_unit_test(mass_is_kept),
        cmocka_unit_test(axes_of_anything),
        cmocka_unit_test(limits),
        cmocka_unit_test(the_small_end_is_known_too),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_all);
}
