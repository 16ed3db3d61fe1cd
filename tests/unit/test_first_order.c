/* First-order methods beside their traces: what other implementations than the authors' say (tests/golden/optimizers_implementations.json), and
   what no trace reaches.
   reference cases: vr_adam

   Traces of like names that are of other methods: timm's NAdamW (a constant momentum, and gradient and average both over 1 - beta1^t: its first
   step is 0.19 long, nadam's 0.106, with momentum_decay=0 too), ScheduleFreeRAdam, ScheduleFreeSGD. */

#include "base/random.h"
#include "quadratics.h"

#ifdef PITOT_DOUBLE
static const double tolerance = 1e-12;
#else
static const double tolerance = 2e-5; /* a few roundings in each of ten steps, of values of order 1 */
#endif

static pitot_optim *make(const char *method, const char *const *set) {
    pitot_error error = { 0 };
    pitot_optim *o = pitot_optim_new(method, &error);
    for (; o && set && *set; set += 2) pitot_optim_set(o, set[0], set[1], &error);
    if (error.status) fail_msg("%s: %s", method, error.text);
    return o;
}

static void must_be(const char *what, int step, int64_t i, double got, double want, double within) {
    if (!(fabs(got - want) <= within)) fail_msg("%s, step %d, value %d: %.17g, not %.17g", what, step, (int)i, got, want);
}

/* ---- other implementations ---- */

/* A of the traces, or B: diag(C) + 0.1 of a matrix (2,3). */
static quadratic problem_of(const cJSON *trace, int64_t shape[4]) {
    static const double c[6] = { 3, 1, 2, 0.5, 1.5, 1 };
    quadratic q = { .n = 6, .x = { 1, -2, 0.5, (pitot_real)0.3, (pitot_real)0.7, (pitot_real)-1.1 } };
    int b = cJSON_GetObjectItem(trace, "problem")->valuestring[0] == 'B';
    for (int i = 0; i < 36; i++) q.h[i] = 0.1 + (i % 7 ? 0 : c[i / 7]);
    shape[0] = 2;
    shape[1] = b ? 3 : 0;
    return b ? q : problem_a();
}

/* What the square of, times the batch, is the diagonal that the trace was given. */
static void give_diagonal(const cJSON *trace, quadratic *q) {
    const cJSON *d = cJSON_GetObjectItem(trace, "diagonal");
    for (int i = 0; d && i < q->n; i++) q->drawn[i] = (pitot_real)sqrt(cJSON_GetArrayItem(d, i)->valuedouble / 4);
}

static double worst_of(const quadratic *q, const cJSON *want) {
    double worst = 0;
    for (int i = 0; i < q->n; i++) {
        double off = fabs((double)q->x[i] - cJSON_GetArrayItem(want, i)->valuedouble);
        worst = off > worst || isnan(off) ? off : worst;
    }
    return worst;
}

/* double: round-off, or what the trace itself allows. float: five steps of values up to 2. */
static void check_implementation(const cJSON *trace) {
    int64_t shape[4] = { 0 };
    quadratic q = problem_of(trace, shape);
    set_list options;
    int step = 0;
    const cJSON *allowed = cJSON_GetObjectItem(trace, "within");
    double within = sizeof(pitot_real) == 4 ? 1e-6 : allowed ? allowed->valuedouble : 1e-14;
    golden_options(trace, &options);
    quadratic_begin_shaped(&q, cJSON_GetObjectItem(trace, "optimizer")->valuestring, options.set, shape);
    give_diagonal(trace, &q);
    for (const cJSON *want = cJSON_GetObjectItem(trace, "iterates")->child; want; want = want->next, step++) {
        assert_int_equal(quadratic_step(&q), PITOT_OK);
        double worst = worst_of(&q, want);
        if (!(worst <= within))
            fail_msg("%s, step %d: off by %g", cJSON_GetObjectItem(trace, "name")->valuestring, step + 1, worst);
    }
    assert_int_equal(step, 5);
    quadratic_end(&q);
}

static void test_implementations(void **state) {
    (void)state;
    cJSON *golden = golden_read("tests/golden/optimizers_implementations.json");
    const cJSON *t;
    assert_non_null(golden);
    cJSON_ArrayForEach(t, cJSON_GetObjectItem(golden, "traces")) check_implementation(t);
    assert_true(cJSON_GetArraySize(cJSON_GetObjectItem(golden, "traces")) >= 7);
    cJSON_Delete(golden);
}

/* ---- vr_adam: per-sample gradients H x + a_n, the variances of a_n being 0.20 and 0.11 ---- */

typedef struct samples {
    const pitot_real *x;
} samples;

static const double shift[4][2] = {
    { 0.6324555320336759, 0 }, { -0.6324555320336759, 0 }, { 0, 0.469041575982343 }, { 0, -0.469041575982343 }
};

static int32_t squares(void *user, pitot_real *out) {
    const pitot_real *x = ((const samples *)user)->x;
    double g[2] = { 3 * (double)x[0] + (double)x[1], (double)x[0] + (double)x[1] };
    for (int i = 0; i < 2; i++) {
        double sum = 0;
        for (int n = 0; n < 4; n++) sum += (g[i] + shift[n][i]) * (g[i] + shift[n][i]);
        out[i] = (pitot_real)(sum / 4);
    }
    return PITOT_OK;
}

/* The steps that the method's transcription took in float64, to ten digits; then plain loops, with every option. */
static void check_vr_adam(const char *const *set, double b1, double b2, double b3, double eps, double least, int printed) {
    static const double want[3][2] = { { 0.9000000014, -1.900000001 },
                                       { 0.8026153408, -1.800000002 },
                                       { 0.71013772, -1.700009329 } };
    pitot_real x[2] = { 1, -2 }, g[2];
    double y[2] = { 1, -2 }, m[2] = { 0 }, v[2] = { 0 }, p[2] = { 0 };
    const pitot_real *at = g;
    samples user = { x };
    pitot_optim *o = make("vr_adam", set);
    pitot_optim_tensor tensor = { "w", 2, x, &at, { 0 } };
    pitot_optim_offer(o, &(pitot_optim_source){ .struct_size = sizeof(pitot_optim_source), .user = &user, .squares = squares });
    assert_int_equal(pitot_optim_prepare(o, &tensor, 1, 1, NULL), PITOT_OK);
    for (int t = 1; t <= 10; t++) {
        g[0] = 3 * x[0] + x[1], g[1] = x[0] + x[1];
        assert_int_equal(pitot_optim_step(o), PITOT_OK);
        double h[2] = { 3 * y[0] + y[1], y[0] + y[1] }, r[2] = { h[0] * h[0] / 0.20, h[1] * h[1] / 0.11 }, mean = (r[0] + r[1]) / 2;
        for (int i = 0; i < 2; i++) {
            p[i] = b3 * p[i] + (1 - b3) * fmin(fmax(r[i] / mean, least), 1);
            h[i] *= p[i] / (1 - pow(b3, t));
            m[i] = b1 * m[i] + (1 - b1) * h[i];
            v[i] = b2 * v[i] + (1 - b2) * h[i] * h[i];
            y[i] -= 0.1 / (1 - pow(b1, t)) * m[i] / (sqrt(v[i] / (1 - pow(b2, t))) + eps);
            if (printed && t <= 3) must_be("vr_adam as transcribed", t, i, (double)x[i], want[t - 1][i], fmax(tolerance, 1e-9));
            must_be("vr_adam", t, i, (double)x[i], y[i], tolerance * 10); /* squares less g^2 cancel */
        }
    }
    pitot_optim_free(o);
}

static void test_vr_adam(void **state) {
    (void)state;
    check_vr_adam((const char *const[]){ "lr", "0.1", NULL }, 0.9, 0.999, 0.9, 1e-8, 0.1, 1);
    check_vr_adam((const char *const[]){ "lr", "0.1", "betas", "0.8,0.9", "beta3", "0.5", "eps", "0.01", "gamma", "0.6", NULL },
                  0.8, 0.9, 0.5, 0.01, 0.6, 0);
}

/* ---- sums over tensors of many chunks, and over several: plain loops ---- */

enum { FIRST = 9001, SECOND = 37, BOTH = FIRST + SECOND };

static pitot_optim *open_two(const char *method, const char *const *set, pitot_real *x, const pitot_real *const at[2],
                             const pitot_optim_source *source) {
    pitot_optim *o = make(method, set);
    pitot_optim_tensor tensors[2] = { { "a", FIRST, x, &at[0], { 0 } }, { "b", SECOND, x + FIRST, &at[1], { 0 } } };
    for (int i = 0; i < BOTH; i++) x[i] = (pitot_real)(random_uniform(7, 1, 0, (uint64_t)i) - 0.5);
    if (source) pitot_optim_offer(o, source);
    assert_int_equal(pitot_optim_prepare(o, tensors, 2, 2, NULL), PITOT_OK);
    return o;
}

static void draw_gradients(pitot_real *g, int t) {
    for (int i = 0; i < BOTH; i++) g[i] = (pitot_real)(random_uniform(7, 2, (uint64_t)t, (uint64_t)i) - 0.3);
}

static void test_prodigy_sums(void **state) {
    (void)state;
    static pitot_real x[BOTH], g[BOTH];
    static double y[BOTH], y0[BOTH], m[BOTH], v[BOTH], s[BOTH];
    const pitot_real *const at[2] = { g, g + FIRST };
    pitot_optim *o = open_two("prodigy", (const char *const[]){ "d0", "0.01", NULL }, x, at, NULL);
    double d = 0.01, most = d, sum = 0, b3 = sqrt(0.999);
    for (int i = 0; i < BOTH; i++) y[i] = y0[i] = (double)x[i];
    for (int t = 1; t <= 5; t++) {
        double old = d, along = 0, length = 0;
        draw_gradients(g, t);
        assert_int_equal(pitot_optim_step(o), PITOT_OK);
        for (int i = 0; i < BOTH; i++) {
            along += (double)g[i] * (y0[i] - y[i]);
            m[i] = 0.9 * m[i] + d * 0.1 * (double)g[i];
            v[i] = 0.999 * v[i] + d * d * 0.001 * (double)g[i] * (double)g[i];
            s[i] = b3 * s[i] + d / 0.01 * d * (double)g[i];
            length += fabs(s[i]);
        }
        sum = b3 * sum + d / 0.01 * d * along;
        if (d == 0.01) d = fmax(d, sum / length);
        d = most = fmax(most, sum / length);
        for (int i = 0; i < BOTH; i++) {
            y[i] -= old * m[i] / (sqrt(v[i]) + d * 1e-8);
            must_be("prodigy", t, i, (double)x[i], y[i], tolerance);
        }
    }
    assert_true(d > 0.011);
    pitot_optim_free(o);
}

static int32_t given_squares(void *user, pitot_real *out) {
    memcpy(out, user, BOTH * sizeof *out);
    return PITOT_OK;
}

static void test_vr_adam_sums(void **state) {
    (void)state;
    static pitot_real x[BOTH], g[BOTH], given[BOTH];
    static double y[BOTH], m[BOTH], v[BOTH], p[BOTH], r[BOTH];
    const pitot_real *const at[2] = { g, g + FIRST };
    pitot_optim_source source = { .struct_size = sizeof source, .user = given, .squares = given_squares };
    pitot_optim *o = open_two("vr_adam", (const char *const[]){ "lr", "0.01", NULL }, x, at, &source);
    for (int i = 0; i < BOTH; i++) y[i] = (double)x[i];
    for (int t = 1; t <= 3; t++) {
        double mean[2] = { 0 };
        draw_gradients(g, t);
        for (int i = 0; i < BOTH; i++) {
            given[i] = g[i] * g[i] + (pitot_real)(0.5 + random_uniform(7, 3, 0, (uint64_t)i));
            r[i] = (double)g[i] * (double)g[i] / ((double)given[i] - (double)g[i] * (double)g[i]);
            mean[i >= FIRST] += r[i] / (i < FIRST ? FIRST : SECOND);
        }
        assert_int_equal(pitot_optim_step(o), PITOT_OK);
        for (int i = 0; i < BOTH; i++) {
            p[i] = 0.9 * p[i] + 0.1 * fmin(fmax(r[i] / mean[i >= FIRST], 0.1), 1);
            double h = p[i] / (1 - pow(0.9, t)) * (double)g[i];
            m[i] = 0.9 * m[i] + 0.1 * h;
            v[i] = 0.999 * v[i] + 0.001 * h * h;
            y[i] -= 0.01 / (1 - pow(0.9, t)) * m[i] / (sqrt(v[i] / (1 - pow(0.999, t))) + 1e-8);
            must_be("vr_adam", t, i, (double)x[i], y[i], tolerance);
        }
    }
    pitot_optim_free(o);
}

/* ---- radam: the paper's threshold, decoupled decay ---- */

static void check_radam(const char *const *set, double b2, double threshold, double decay) {
    pitot_real x[2] = { 1, -2 }, g[2];
    double y[2] = { 1, -2 }, m[2] = { 0 }, v[2] = { 0 };
    const pitot_real *at = g;
    int adaptive = 0, plain = 0;
    pitot_preconditioner p;
    pitot_optim *o = make("radam", set);
    pitot_optim_tensor tensor = { "w", 2, x, &at, { 0 } };
    assert_int_equal(pitot_optim_prepare(o, &tensor, 1, 1, NULL), PITOT_OK);
    for (int t = 1; t <= 10; t++) {
        g[0] = 3 * x[0] + x[1], g[1] = x[0] + x[1];
        pitot_optim_step(o);
        double h[2] = { 3 * y[0] + y[1], y[0] + y[1] }, end = 2 / (1 - b2) - 1, rho = end - 2 * t * pow(b2, t) / (1 - pow(b2, t));
        double r = sqrt((rho - 4) * (rho - 2) * end / ((end - 4) * (end - 2) * rho));
        *(rho > threshold ? &adaptive : &plain) += 1;
        assert_int_equal(pitot_optim_view(o, 0, 0, &p), rho > threshold ? PITOT_OK : PITOT_EORDER);
        for (int i = 0; i < 2; i++) {
            m[i] = 0.9 * m[i] + 0.1 * h[i];
            v[i] = b2 * v[i] + (1 - b2) * h[i] * h[i];
            y[i] *= 1 - 0.1 * decay;
            y[i] -= 0.1 * m[i] / (1 - pow(0.9, t)) * (rho > threshold ? r * sqrt(1 - pow(b2, t)) / (sqrt(v[i]) + 1e-8) : 1);
            must_be("radam", t, i, (double)x[i], y[i], tolerance);
        }
    }
    assert_true(adaptive > 0 && plain > 0);
    pitot_optim_free(o);
}

static void test_radam(void **state) {
    (void)state;
    check_radam((const char *const[]){ "lr", "0.1", NULL }, 0.999, 4, 0);
    check_radam((const char *const[]){ "lr", "0.1", "betas", "0.9,0.9", "weight_decay", "0.1", "decoupled_weight_decay", "true",
                                       NULL },
                0.9, 4, 0.1);
    check_radam((const char *const[]){ "lr", "0.1", "betas", "0.9,0.9", "threshold", "6", NULL }, 0.9, 6, 0);
}

/* ---- nadam: decoupled decay is a factor of x, and nothing else ---- */

static void test_nadam_decoupled(void **state) {
    (void)state;
    pitot_real x[2][2] = { { 1, -2 }, { 1, -2 } }, g[2] = { 0.5, 3 };
    const pitot_real *at = g;
    for (int k = 0; k < 2; k++) {
        pitot_optim *o = make("nadam", (const char *const[]){ "lr", "0.1", "decoupled_weight_decay", "true", NULL });
        if (k) pitot_optim_set(o, "weight_decay", "0.5", NULL);
        pitot_optim_tensor tensor = { "w", 2, x[k], &at, { 0 } };
        assert_int_equal(pitot_optim_prepare(o, &tensor, 1, 1, NULL), PITOT_OK);
        pitot_optim_step(o);
        pitot_optim_free(o);
    }
    for (int i = 0; i < 2; i++) must_be("nadam", 1, i, (double)x[1][i], (double)x[0][i] - 0.05 * (i ? -2 : 1), tolerance);
}

/* ---- adafactor: tensors of more axes, against index arithmetic ---- */

enum { LARGEST = 5632 };

typedef struct slow { /* of a tensor: V by two axes of four */
    int64_t shape[4];
    int a, b;
    double row[LARGEST], column[LARGEST], m[LARGEST];
} slow;

static void index_of(const slow *s, int64_t i, int64_t at[4]) {
    for (int d = 3; d >= 0; d--) at[d] = i % s->shape[d], i /= s->shape[d];
}

/* Where R, or C, is found that value i shares: its index with 0 in place of axis `without`. */
static int64_t shared(const slow *s, int64_t i, int without) {
    int64_t at[4], out = 0;
    index_of(s, i, at);
    at[without] = 0;
    for (int d = 0; d < 4; d++) out = out * s->shape[d] + at[d];
    return out;
}

static void slow_step(slow *s, double *x, const double *g, int64_t n, int t) {
    double decay = 1 - pow(t, -0.8), row[LARGEST] = { 0 }, column[LARGEST] = { 0 }, u[LARGEST], mean[LARGEST] = { 0 }, size = 0,
           length = 0;
    for (int64_t i = 0; i < n; i++) {
        row[shared(s, i, s->b)] += (g[i] * g[i] + 1e-30) / (double)s->shape[s->b];
        column[shared(s, i, s->a)] += (g[i] * g[i] + 1e-30) / (double)s->shape[s->a];
        size += x[i] * x[i] / (double)n;
    }
    for (int64_t i = 0; i < n; i++) {
        s->row[i] = decay * s->row[i] + (1 - decay) * row[i];
        s->column[i] = decay * s->column[i] + (1 - decay) * column[i];
    }
    for (int64_t i = 0; i < n; i++) /* the mean of R over axis a: from values that have index 0 on axis b */
        if (shared(s, i, s->b) == i) mean[shared(s, i, s->a)] += s->row[i] / (double)s->shape[s->a];
    for (int64_t i = 0; i < n; i++) {
        double v = s->row[shared(s, i, s->b)] * s->column[shared(s, i, s->a)] / mean[shared(s, shared(s, i, s->b), s->a)];
        u[i] = g[i] / sqrt(v);
        length += u[i] * u[i] / (double)n;
    }
    double alpha = fmax(1e-3, sqrt(size)) * fmin(0.5, 1 / sqrt(t)) / fmax(1, sqrt(length) / 0.8);
    double whole = fmax(1e-3, sqrt(size)) * fmin(0.5, 1 / sqrt(t));
    for (int64_t i = 0; i < n; i++) {
        s->m[i] = 0.9 * s->m[i] + 0.1 * alpha * u[i];
        x[i] -= whole * 0.1 * x[i] + s->m[i];
    }
}

static void check_adafactor(const int64_t shape[4], int a, int b) {
    static slow s;
    static pitot_real x[LARGEST], g[LARGEST];
    static double y[LARGEST], h[LARGEST];
    const pitot_real *at = g;
    s = (slow){ .a = a, .b = b };
    memcpy(s.shape, shape, sizeof s.shape);
    int64_t n = shape[0] * shape[1] * shape[2] * shape[3];
    pitot_optim *o =
        make("adafactor", (const char *const[]){ "lr", "0.5", "beta1", "0.9", "weight_decay", "0.1", "d", "0.8", NULL });
    pitot_optim_tensor tensor = { "w", n, x, &at, { shape[0], shape[1], shape[2], shape[3] } };
    assert_int_equal(pitot_optim_prepare(o, &tensor, 1, 2, NULL), PITOT_OK);
    for (int64_t i = 0; i < n; i++) y[i] = (double)(x[i] = (pitot_real)random_uniform(1, 2, 0, (uint64_t)i));
    for (int t = 1; t <= 10; t++) {
        for (int64_t i = 0; i < n; i++) h[i] = (double)(g[i] = (pitot_real)(random_uniform(1, 3, (uint64_t)t, (uint64_t)i) - 0.4));
        assert_int_equal(pitot_optim_step(o), PITOT_OK);
        slow_step(&s, y, h, n, t);
        for (int64_t i = 0; i < n; i++) must_be("adafactor", t, i, (double)x[i], y[i], tolerance);
    }
    pitot_optim_free(o);
}

static void test_adafactor(void **state) {
    (void)state;
    check_adafactor((const int64_t[]){ 5, 7, 3, 2 }, 0, 1);
    check_adafactor((const int64_t[]){ 2, 7, 3, 9 }, 1, 3);
    check_adafactor((const int64_t[]){ 2, 3, 11, 17 }, 2, 3);
    check_adafactor((const int64_t[]){ 9, 2, 3, 8 }, 0, 3);
    check_adafactor((const int64_t[]){ 1, 1, 1, 5 }, 2, 3); /* a row: each value its own column */
    check_adafactor((const int64_t[]){ 4, 4, 4, 4 }, 2, 3);
    check_adafactor((const int64_t[]){ 1, 1, 1, 1 }, 2, 3);
    check_adafactor((const int64_t[]){ 1, 1, 261, 21 }, 2, 3); /* eight rows at once, threads begin between eights */
}

/* ---- matrices on more threads: the same bits ---- */

static void run_matrix(const char *method, const char *const *set, int threads, pitot_real *x, int64_t rows, int64_t columns) {
    int64_t n = rows * columns;
    pitot_real *g = mem_alloc(n, sizeof *g);
    const pitot_real *at = g;
    pitot_optim *o = make(method, set);
    pitot_optim_tensor tensor = { "w", n, x, &at, { rows, columns } };
    assert_int_equal(pitot_optim_prepare(o, &tensor, 1, threads, NULL), PITOT_OK);
    for (int64_t i = 0; i < n; i++) x[i] = (pitot_real)random_uniform(4, 2, 0, (uint64_t)i);
    for (uint64_t t = 0; t < 3; t++) {
        for (int64_t i = 0; i < n; i++) g[i] = (pitot_real)(random_uniform(4, 3, t, (uint64_t)i) - 0.4);
        assert_int_equal(pitot_optim_step(o), PITOT_OK);
    }
    pitot_optim_free(o);
    mem_free(g);
}

static void test_threads(void **state) {
    (void)state;
    static pitot_real x[4][301 * 203];
    static const char *const sets[3][5] = { { "lr", "0.1" }, { "beta1", "0.9" }, { "min_dim_size_to_factor", "1000" } };
    for (int k = 0; k < 3; k++) {
        for (int threads = 1; threads <= 3; threads++) run_matrix("adafactor", sets[k], threads, x[threads], 301, 203);
        assert_memory_equal(x[1], x[2], sizeof x[1]);
        assert_memory_equal(x[1], x[3], sizeof x[1]);
    }
}

/* ---- what does not go together ---- */

static void must_refuse(const char *method, const char *const *set, const char *says) {
    pitot_real x = 1, g = 1;
    const pitot_real *at = &g;
    pitot_error error = { 0 };
    pitot_optim *o = make(method, set);
    pitot_optim_tensor tensor = { "w", 1, &x, &at, { 0 } };
    assert_int_equal(pitot_optim_prepare(o, &tensor, 1, 1, &error), PITOT_EINVAL);
    assert_non_null(strstr(error.text, says));
    pitot_optim_free(o);
}

static void test_refusals(void **state) {
    (void)state;
    must_refuse("adamw_schedule_free", (const char *const[]){ "betas", "0,0.9", NULL }, "the first beta is 0");
    must_refuse("adafactor", (const char *const[]){ "warmup_init", "true", "relative_step", "false", NULL }, "needs relative_step");
}

/* Squares that cannot be: no step of NaN comes of them. A batch of one sample has no noise: weights are 1, and the step is Adam's. */
static int32_t odd_squares(void *user, pitot_real *out) {
    for (int i = 0; i < 3; i++) out[i] = ((const pitot_real *)user)[i];
    return PITOT_OK;
}

static void test_vr_adam_odd(void **state) {
    (void)state;
    pitot_real x[3] = { 1, 1, 1 }, g[3] = { 1, -1, 2 }, given[3] = { NAN, INFINITY, 0 };
    const pitot_real *at = g;
    pitot_optim *o = make("vr_adam", (const char *const[]){ "lr", "0.1", NULL });
    pitot_optim_tensor tensor = { "w", 3, x, &at, { 0 } };
    pitot_optim_offer(o, &(pitot_optim_source){ .struct_size = sizeof(pitot_optim_source), .user = given, .squares = odd_squares });
    assert_int_equal(pitot_optim_prepare(o, &tensor, 1, 1, NULL), PITOT_OK);
    assert_int_equal(pitot_optim_step(o), PITOT_OK);
    for (int i = 0; i < 3; i++) must_be("vr_adam", 1, i, (double)x[i], i == 1 ? 1.1 : 0.9, 1e-6);
    for (int i = 0; i < 3; i++) given[i] = g[i] * g[i];
    assert_int_equal(pitot_optim_step(o), PITOT_OK);
    for (int i = 0; i < 3; i++) assert_true(isfinite((double)x[i]));
    pitot_optim_free(o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_implementations), cmocka_unit_test(test_vr_adam),         cmocka_unit_test(test_vr_adam_odd),
        cmocka_unit_test(test_radam),           cmocka_unit_test(test_nadam_decoupled), cmocka_unit_test(test_adafactor),
        cmocka_unit_test(test_threads),         cmocka_unit_test(test_refusals),        cmocka_unit_test(test_prodigy_sums),
        cmocka_unit_test(test_vr_adam_sums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
