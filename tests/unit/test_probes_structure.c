/* Ranks, spectra of weights, features and dormant units, against LAPACK's singular value decomposition, which never squares a matrix, and
   against matrices of which the answer is known. */

#include "situation.h"

enum { MOST_SIDE = 400, MOST_VALUES = MOST_SIDE * MOST_SIDE };

/* ---- references ---- */

/* Singular values of m (rows,cols), row-major, which is overwritten; descending, into sigma (min). Those of its transpose, to LAPACK. */
static void decompose_doubles(double *m, int64_t rows, int64_t cols, double *sigma) {
    assert_int_equal(LAPACKE_dgesdd(LAPACK_COL_MAJOR, 'N', (int)cols, (int)rows, m, (int)cols, sigma, NULL, 1, NULL, 1), 0);
}

static void decompose(const pitot_real *x, int64_t rows, int64_t cols, double *sigma) {
    static double m[MOST_VALUES];
    assert_true(rows * cols <= MOST_VALUES);
    for (int64_t i = 0; i < rows * cols; i++) m[i] = (double)x[i];
    decompose_doubles(m, rows, cols, sigma);
}

typedef struct ranks {
    double effective, stable;
    int64_t srank;
} ranks;

static ranks ranks_of(const double *sigma, int64_t n, double delta) {
    ranks r = { 0, 0, 0 };
    double sum = 0, part = 0;
    for (int64_t i = 0; i < n; i++) sum += sigma[i], r.stable += sigma[i] * sigma[i] / (sigma[0] * sigma[0]);
    for (int64_t i = 0; i < n; i++)
        if (sigma[i] > 0) r.effective -= sigma[i] / sum * log(sigma[i] / sum);
    r.effective = exp(r.effective);
    while (r.srank < n && part / sum < 1 - delta) part += sigma[r.srank++];
    return r;
}

static ranks ranks_of_matrix(const pitot_real *x, int64_t rows, int64_t cols, double delta) {
    double sigma[MOST_SIDE];
    decompose(x, rows, cols, sigma);
    return ranks_of(sigma, rows < cols ? rows : cols, delta);
}

static double at(const pitot_run *run, const char *probe, const char *field, const char *tensor) {
    char key[96];
    snprintf(key, sizeof key, "%s%s%s%s%s", probe, *field ? "." : "", field, tensor ? "/" : "", tensor ? tensor : "");
    return value_of(run, key);
}

static int has(const pitot_run *run, const char *key, int64_t step) {
    return step_of(run, key) == step;
}

/* ---- the two nets of situation.h: features behind their first layer, made again in doubles ---- */

enum { HIDDEN = 60 };

/* (n, *units): tanh of the first layer; the convolution's laid flat. */
static void pass_first(const situation *s, double *h, int64_t *units) {
    const pitot_real *w = s->before, *x = s->x;
    if (s->c->shape[1] == 0) {
        *units = 6;
        for (int64_t n = 0; n < s->c->n; n++)
            for (int64_t u = 0; u < 6; u++) {
                double sum = (double)w[30 + u];
                for (int64_t i = 0; i < 5; i++) sum += (double)w[u * 5 + i] * (double)x[n * 5 + i];
                h[n * 6 + u] = tanh(sum);
            }
        return;
    }
    *units = HIDDEN; /* (4,3,5) from (2,5,4): kernel 3,2, stride 2,1, padding 1, two groups */
    for (int64_t k = 0; k < s->c->n * HIDDEN; k++) {
        int64_t n = k / HIDDEN, c = k % HIDDEN / 15, y = k % 15 / 5, z = k % 5;
        double sum = (double)w[24 + c];
        for (int64_t i = 0; i < 6; i++) {
            int64_t row = 2 * y - 1 + i / 2, column = z - 1 + i % 2;
            if (row < 0 || row >= 5 || column < 0 || column >= 4) continue;
            sum += (double)w[c * 6 + i] * (double)x[n * 40 + c / 2 * 20 + row * 4 + column];
        }
        h[k] = tanh(sum);
    }
}

static const char *reader_of(const situation *s) {
    return s->c->shape[1] ? "3.weight" : "2.weight";
}

static void check_feature_rank(const situation *s) {
    static double h[MOST_N * HIDDEN], sigma[HIDDEN];
    static int64_t most;
    int64_t units, n = s->c->n;
    pass_first(s, h, &units);
    decompose_doubles(h, n, units, sigma);
    ranks r = ranks_of(sigma, n < units ? n : units, 0.01);
    if (s->step == 0 || r.srank > most) most = r.srank;
    const char *const tensors[] = { NULL, reader_of(s) };
    for (int i = 0; i < 2; i++) {
        assert_close(at(s->run, "feature_rank", "", tensors[i]), r.effective, 10 * rounding, r.effective, "effective");
        assert_close(at(s->run, "feature_rank", "stable", tensors[i]), r.stable, 10 * rounding, r.stable, "stable");
        assert_close(at(s->run, "feature_rank", "srank", tensors[i]), (double)r.srank, 0, 1, "srank");
        assert_close(at(s->run, "feature_rank", "srank_share", tensors[i]), (double)r.srank / (double)most, 0, 1, "share");
    }
    assert_int_equal(step_of(s->run, "feature_rank/0.weight"), -1); /* reads data */
}

static void check_dormant_units(const situation *s) {
    static double h[MOST_N * HIDDEN];
    double all = 0, count = 0;
    int64_t units;
    pass_first(s, h, &units);
    for (int64_t k = 0; k < s->c->n * units; k++) all += fabs(h[k]) / (double)units;
    for (int64_t u = 0; u < units; u++) {
        double sum = 0;
        for (int64_t n = 0; n < s->c->n; n++) sum += fabs(h[n * units + u]);
        count += sum / all <= 0.025;
    }
    assert_close(at(s->run, "dormant_units", "", NULL), count / (double)units, 1e-15, 1, "dormant");
    assert_close(at(s->run, "dormant_units", "", reader_of(s)), count / (double)units, 1e-15, 1, "dormant");
    assert_close(at(s->run, "dormant_units", "dead", NULL), 0, 0, 1, "dead");
}

static const reference references[] = { { "dormant_units", check_dormant_units, 0 }, { "feature_rank", check_feature_rank, 0 } };

static void test_structure(void **state) {
    (void)state;
    run_family("structure", references, sizeof references / sizeof *references, NULL);
}

/* ---- a host with one matrix ---- */

typedef struct matrix_host {
    pitot_run *run;
    int64_t rows, cols, step;
    pitot_real *w, *g, *next; /* (rows,cols): theta_t, g, theta_{t+1} */
} matrix_host;

static const char every_rank[] = "weight_rank, gradient_rank, update_rank, weight_spectrum";

static pitot_real *new_reals(int64_t n) {
    return (pitot_real *)new_doubles(n);
}

static matrix_host open_matrix(int64_t rows, int64_t cols, const char *options) {
    matrix_host h = { .rows = rows, .cols = cols };
    h.w = new_reals(rows * cols), h.g = new_reals(rows * cols), h.next = new_reals(rows * cols);
    h.run = must_open(NULL, &(pitot_config){ sizeof(pitot_config), .probes = every_rank, .options = options });
    static pitot_real bias[2], bias_grad[2]; /* has no rank */
    pitot_param p = { .struct_size = sizeof p, .name = "w", .data = h.w, .grad = h.g, .shape = { rows, cols } };
    pitot_param b = { .struct_size = sizeof b, .name = "b", .data = bias, .grad = bias_grad, .shape = { 2 } };
    if (rows % 2 == 0 && cols % 3 == 0) p.shape[1] = cols / 3, p.shape[2] = 3, p.shape[3] = 1; /* the first axis by the rest */
    assert_int_equal(pitot_add_param(h.run, &b), 1);
    assert_int_equal(pitot_add_param(h.run, &p), 2);
    return h;
}

static void close_matrix(matrix_host *h) {
    pitot_close(h->run, PITOT_DONE);
    free(h->w), free(h->g), free(h->next);
}

static void matrix_step(matrix_host *h) {
    pitot_begin(h->run, h->step++);
    pitot_after_forward(h->run, &(pitot_batch){ .struct_size = sizeof(pitot_batch), .n = 1, .loss = 1 });
    pitot_after_backward(h->run);
    memcpy(h->w, h->next, (size_t)(h->rows * h->cols) * sizeof *h->w);
    pitot_after_update(h->run, 1);
    assert_string_equal(pitot_last_error(h->run), "");
}

/* Each of w, g and the step is `x`; theta_{t+1} is theta_t + x, exact for values of few bits. */
static void show(matrix_host *h, const pitot_real *x) {
    for (int64_t i = 0; i < h->rows * h->cols; i++) h->w[i] = h->g[i] = x[i], h->next[i] = x[i] + x[i];
    matrix_step(h);
}

static void check_ranks(const matrix_host *h, const char *probe, double effective, double stable, double by) {
    for (int i = 0; i < 2; i++) {
        assert_close(at(h->run, probe, "", i ? "w" : NULL), effective, by, fmax(effective, 1), probe);
        assert_close(at(h->run, probe, "stable", i ? "w" : NULL), stable, by, fmax(stable, 1), probe);
    }
}

static const char *const rank_probes[] = { "weight_rank", "gradient_rank", "update_rank" };

static void check_three(const matrix_host *h, double effective, double stable, double by) {
    for (int i = 0; i < 3; i++) {
        assert_int_equal(state_of(h->run, rank_probes[i]), PITOT_STATE_OK);
        check_ranks(h, rank_probes[i], effective, stable, by);
    }
}

/* Three different matrices of every shape. */
static void test_ranks(void **state) {
    (void)state;
    static const int64_t shapes[][2] = { { 1, 1 },  { 1, 9 },   { 9, 1 },   { 7, 5 },   { 5, 7 },
                                         { 6, 18 }, { 40, 30 }, { 30, 40 }, { 128, 9 }, { 300, 200 } };
    uint64_t seed = 5;
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
        matrix_host h = open_matrix(shapes[k][0], shapes[k][1], NULL);
        int64_t size = h.rows * h.cols;
        pitot_real *before = new_reals(size);
        for (int64_t i = 0; i < size; i++) {
            before[i] = h.w[i] = (pitot_real)draw_normal(&seed);
            h.g[i] = (pitot_real)(1e-20 * draw_normal(&seed));
            h.next[i] = h.w[i] + (pitot_real)(1e-2 * draw_uniform(&seed) * (double)(1 + i % h.cols));
        }
        matrix_step(&h);
        for (int64_t i = 0; i < size; i++) h.next[i] -= before[i];
        const pitot_real *of[] = { before, h.g, h.next };
        for (int i = 0; i < 3; i++) {
            ranks r = ranks_of_matrix(of[i], h.rows, h.cols, 0);
            check_ranks(&h, rank_probes[i], r.effective, r.stable, 1e-9);
        }
        free(before);
        close_matrix(&h);
    }
}

/* Orthonormal columns (rows,cols), in doubles. */
static void make_orthogonal(int64_t rows, int64_t cols, uint64_t *seed, double *q) {
    double tau[MOST_SIDE];
    for (int64_t i = 0; i < rows * cols; i++) q[i] = draw_normal(seed);
    assert_int_equal(LAPACKE_dgeqrf(LAPACK_ROW_MAJOR, (int)rows, (int)cols, q, (int)cols, tau), 0);
    assert_int_equal(LAPACKE_dorgqr(LAPACK_ROW_MAJOR, (int)rows, (int)cols, (int)cols, q, (int)cols, tau), 0);
}

/* Ranks that are known: of one direction, of all alike, of none. */
static void test_known_ranks(void **state) {
    (void)state;
    enum { N = 60 };
    static pitot_real x[N * N];
    static double q[N * N];
    const double by = sizeof(pitot_real) == 8 ? 1e-12 : 1e-5;
    uint64_t seed = 9;
    matrix_host h = open_matrix(N, N, NULL);
    for (int i = 0; i < N * N; i++) x[i] = (pitot_real)((1 + i / N % 7) * (i % N % 5 - 2)); /* small integers: exact */
    show(&h, x);
    check_three(&h, 1, 1, 1e-6);
    memset(x, 0, sizeof x);
    show(&h, x);
    check_three(&h, 0, 0, 0);
    assert_close(at(h.run, "weight_spectrum", "", "w"), 0, 0, 1, "outliers of nothing");
    assert_close(at(h.run, "weight_spectrum", "edges.upper", "w"), 0, 0, 1, "edge of nothing");
    for (int i = 0; i < N; i++) x[i * N + i] = 3;
    show(&h, x);
    check_three(&h, N, N, 1e-12);
    assert_false(has(h.run, "weight_spectrum.alpha/w", 2)); /* all alike: no tail */
    assert_close(at(h.run, "weight_spectrum", "", "w"), 0, 0, 1, "outliers of all alike");
    make_orthogonal(N, N, &seed, q);
    for (int i = 0; i < N * N; i++) x[i] = (pitot_real)q[i];
    show(&h, x);
    check_three(&h, N, N, by);
    assert_false(has(h.run, "weight_spectrum.alpha/w", 3));
    assert_int_equal(state_of(h.run, "weight_spectrum"), PITOT_STATE_OK);
    assert_non_null(strstr(why_of(h.run, "weight_spectrum"), "no exponent"));
    for (int i = 0; i < N * N; i++) x[i] = (pitot_real)(1e-30 * q[i] * (i % N < 7)); /* seven columns of it, hardly above nothing */
    show(&h, x);
    check_three(&h, 7, 7, 1e-3);
    close_matrix(&h);
}

static void check_undefined(const matrix_host *h, const char *probe, const char *fragment) {
    char key[64];
    assert_int_equal(state_of(h->run, probe), PITOT_STATE_UNDEFINED);
    if (!strstr(why_of(h->run, probe), fragment)) fail_msg("%s: %s", probe, why_of(h->run, probe));
    snprintf(key, sizeof key, "%s/w", probe);
    assert_false(has(h->run, probe, h->step - 1));
    assert_false(has(h->run, key, h->step - 1));
}

static void test_not_finite(void **state) {
    (void)state;
    static const double odd[] = { NAN, INFINITY, -INFINITY };
    for (int k = 0; k < 3; k++) {
        matrix_host h = open_matrix(5, 4, NULL);
        for (int i = 0; i < 20; i++) h.w[i] = h.g[i] = (pitot_real)(i * i % 7), h.next[i] = 2 * h.w[i];
        h.g[7] = (pitot_real)odd[k];
        matrix_step(&h);
        check_undefined(&h, "gradient_rank", "w has a value that is not finite");
        assert_int_equal(state_of(h.run, "weight_rank"), PITOT_STATE_OK);
        h.g[7] = 1, h.w[19] = (pitot_real)odd[k];
        matrix_step(&h);
        check_undefined(&h, "weight_rank", "not finite");
        check_undefined(&h, "update_rank", "not finite");
        check_undefined(&h, "weight_spectrum", "not finite");
        matrix_step(&h); /* and all is well again */
        for (int i = 0; i < 3; i++) assert_true(has(h.run, rank_probes[i], 2));
        close_matrix(&h);
    }
}

/* Frozen, without a gradient, too large: what is left out is said. */
static void test_left_out(void **state) {
    (void)state;
    matrix_host h = open_matrix(6, 5, "weight_rank.largest=4\nweight_spectrum.largest=4\nupdate_rank.largest=5");
    for (int i = 0; i < 30; i++) h.w[i] = h.g[i] = (pitot_real)(i * i % 11), h.next[i] = 2 * h.w[i];
    matrix_step(&h);
    check_undefined(&h, "weight_rank", "matrices left out: 1, with a smaller side above 4");
    check_undefined(&h, "weight_spectrum", "matrices left out: 1, with a smaller side above 4");
    assert_true(has(h.run, "update_rank/w", 0));
    static pitot_real small[8] = { 1, 2, 3, 4, 5, 6, 7, 9 }, grad[8];
    pitot_param p = { .struct_size = sizeof p, .name = "small", .data = small, .grad = grad, .shape = { 2, 4 } };
    assert_int_equal(pitot_add_param(h.run, &p), 3);
    pitot_bind_param(h.run, 2, h.w, NULL);
    matrix_step(&h);
    assert_int_equal(state_of(h.run, "weight_rank"), PITOT_STATE_OK);
    assert_non_null(strstr(why_of(h.run, "weight_rank"), "matrices left out: 1, with a smaller side above 4 (option largest)"));
    assert_true(value_of(h.run, "weight_rank") == value_of(h.run, "weight_rank/small"));
    assert_true(has(h.run, "update_rank/w", 1)); /* it moves, whatever its gradient is */
    assert_false(has(h.run, "gradient_rank/w", 1));
    assert_close(value_of(h.run, "gradient_rank"), 0, 0, 1, "the gradient of the other one is zero");
    double w = value_of(h.run, "update_rank/w"), other = value_of(h.run, "update_rank/small");
    assert_near(value_of(h.run, "update_rank"), (30 * w + 8 * other) / 38, "weighted by values");
    pitot_bind_param(h.run, 3, small, NULL);
    matrix_step(&h);
    check_undefined(&h, "gradient_rank", "there is no matrix");
    close_matrix(&h);
}

/* ---- spectra ---- */

/* The fit, straight from its definition. lambda (n): descending */
static double fit_of(const double *lambda, int64_t n, int64_t tail, double *distance, int64_t *count) {
    double best = NAN;
    *distance = INFINITY;
    for (int64_t k = n; k >= tail; k--) {
        double least = lambda[k - 1], logs = 0, most = 0;
        for (int64_t i = 0; i < k; i++) logs += log(lambda[i] / least);
        double alpha = 1 + (double)k / logs;
        for (int64_t i = 0; i < k; i++) {
            double above = pow(lambda[i] / least, 1 - alpha); /* of the law; of the sample between i/k and (i+1)/k */
            most = fmax(most, fmax(fabs(above - (double)i / (double)k), fabs(above - (double)(i + 1) / (double)k)));
        }
        if (most < *distance) *distance = most, best = alpha, *count = k;
    }
    return best;
}

/* Everything that is said of a spectrum without outliers' help. */
static void check_spectrum(const matrix_host *h, const double *sigma, int64_t n, int64_t tail) {
    double lambda[MOST_SIDE], distance;
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) lambda[i] = sigma[i] * sigma[i];
    double alpha = fit_of(lambda, n, tail, &distance, &count);
    assert_close(at(h->run, "weight_spectrum", "lambda_max", "w"), lambda[0], 1e-9, lambda[0], "largest");
    assert_close(at(h->run, "weight_spectrum", "tail", "w"), (double)count, 0, 1, "tail");
    assert_close(at(h->run, "weight_spectrum", "alpha", "w"), alpha, 1e-7, alpha, "alpha");
    assert_close(at(h->run, "weight_spectrum", "alpha", NULL), alpha, 1e-7, alpha, "alpha");
    assert_close(at(h->run, "weight_spectrum", "ks", "w"), distance, 1e-7, 1, "distance");
    assert_close(at(h->run, "weight_spectrum", "error", "w"), (alpha - 1) / sqrt((double)count), 1e-7, alpha, "error");
    assert_close(at(h->run, "weight_spectrum", "lambda_min", "w"), lambda[count - 1], 1e-7, lambda[count - 1], "lambda_min");
    assert_close(at(h->run, "weight_spectrum", "weighted", NULL), alpha * log10(lambda[0]), 1e-7, 10 * alpha, "weighted");
}

static void check_eigenvalues(void *user, const pitot_reading *r) {
    const double *sigma = user;
    if (!r->probe || strcmp(r->field, "eigenvalues")) return;
    assert_string_equal(r->tensor, "w");
    assert_int_equal(r->kind, PITOT_READ_TABLE);
    assert_int_equal(r->rows, 1);
    for (int64_t i = 0; i < r->n; i++) assert_close(r->numbers[i], sigma[i] * sigma[i], 1e-9, sigma[0] * sigma[0], "eigenvalue");
    *(double *)user = -(double)r->n;
}

/* Independent entries: edges where they were put, nothing above them, whatever the shape; `spikes` planted ones are found, and they alone. */
static void test_noise(void **state) {
    (void)state;
    static const struct {
        int64_t rows, cols, spikes;
        double s;
    } tries[] = { { 300, 200, 0, 1 }, { 200, 300, 0, 0.02 }, { 250, 250, 0, 3 },    { 400, 30, 0, 1 }, { 30, 400, 0, 1 },
                  { 300, 200, 1, 1 }, { 200, 300, 5, 0.02 }, { 250, 250, 12, 1e3 }, { 400, 30, 3, 1 }, { 128, 64, 0, 1e-8 } };
    static double u[MOST_VALUES], v[MOST_VALUES], sigma[MOST_SIDE];
    uint64_t seed = 17;
    for (size_t k = 0; k < sizeof tries / sizeof *tries; k++) {
        matrix_host h = open_matrix(tries[k].rows, tries[k].cols, "weight_spectrum.values=true");
        double s = tries[k].s, high = sqrt((double)h.rows) + sqrt((double)h.cols),
               low = sqrt((double)h.rows) - sqrt((double)h.cols);
        int64_t n = h.rows < h.cols ? h.rows : h.cols, c = tries[k].spikes;
        if (c) make_orthogonal(h.rows, c, &seed, u), make_orthogonal(h.cols, c, &seed, v);
        for (int64_t i = 0; i < h.rows * h.cols; i++) {
            double x = s * (k % 2 ? draw_normal(&seed) : sqrt(3) * draw_uniform(&seed));
            for (int64_t j = 0; j < c; j++) /* from 1.3 times the upper edge's singular value on */
                x += s * high * (1.3 + 0.5 * (double)j) * u[i / h.cols * c + j] * v[i % h.cols * c + j];
            h.w[i] = (pitot_real)x;
        }
        decompose(h.w, h.rows, h.cols, sigma);
        matrix_step(&h);
        check_spectrum(&h, sigma, n, 10);
        assert_close(at(h.run, "weight_spectrum", "edges.variance", "w"), s * s, 0.03 + (double)c / (double)n, s * s, "variance");
        double is = at(h.run, "weight_spectrum", "edges.variance", "w");
        assert_close(at(h.run, "weight_spectrum", "edges.upper", "w"), is * high * high, 1e-12, is * high * high, "upper edge");
        assert_close(at(h.run, "weight_spectrum", "edges.lower", "w"), is * low * low, 1e-9, is * high * high, "lower edge");
        assert_close(at(h.run, "weight_spectrum", "", "w"), (double)c, 0, 1, "outliers");
        assert_close(at(h.run, "weight_spectrum", "", NULL), (double)c, 0, 1, "outliers");
        pitot_readings(h.run, check_eigenvalues, sigma);
        assert_true(sigma[0] == -(double)n);
        close_matrix(&h);
    }
}

/* How often noise is taken for more: three standard deviations of Tracy and Widom's law leave about 3 in 1000. */
static void test_false_alarms(void **state) {
    (void)state;
    uint64_t seed = 23;
    int found = 0;
    matrix_host h = open_matrix(60, 40, "weight_rank.largest=1\ngradient_rank.largest=1\nupdate_rank.largest=1");
    for (int k = 0; k < 500; k++) {
        for (int i = 0; i < 2400; i++) h.w[i] = (pitot_real)draw_normal(&seed);
        matrix_step(&h);
        found += at(h.run, "weight_spectrum", "", "w") > 0;
    }
    if (found < 1 || found > 8) fail_msg("%d of 500 random matrices have outliers", found);
    close_matrix(&h);
}

/* A diagonal of square roots of Pareto's law: the exponent comes back within its standard error, and the error is honest. */
static void test_exponent(void **state) {
    (void)state;
    enum { N = 200, TRIES = 40 };
    static double sigma[N];
    uint64_t seed = 3;
    for (double exact = 1.8; exact < 6; exact += 1.3) {
        double mean = 0, off = 0;
        matrix_host h = open_matrix(N, N, "weight_spectrum.tail=200\nweight_rank.largest=1");
        for (int k = 0; k <= TRIES; k++) { /* the first: its quantiles */
            for (int i = 0; i < N; i++) {
                double p = k == 0 ? (i + 0.5) / N : 0.5 + 0.5 * draw_uniform(&seed);
                h.w[i * N + i] = (pitot_real)sqrt(0.7 * pow(p, -1 / (exact - 1)));
            }
            decompose(h.w, N, N, sigma);
            matrix_step(&h);
            check_spectrum(&h, sigma, N, N);
            double alpha = at(h.run, "weight_spectrum", "alpha", "w"), error = at(h.run, "weight_spectrum", "error", "w");
            if (k == 0) assert_close(alpha, exact, 1, error, "exponent of the quantiles");
            else mean += alpha / TRIES, off += (alpha - exact) * (alpha - exact) / (error * error) / TRIES;
        }
        assert_close(mean, exact, 3, (exact - 1) / sqrt(N * TRIES) + (exact - 1) / N, "mean of the exponents");
        if (off < 0.5 || off > 1.7) fail_msg("(alpha - %g)^2 is %g times its squared standard error", exact, off);
        close_matrix(&h);
    }
    /* below the tail something else: it is left out, and the exponent is the tail's */
    matrix_host h = open_matrix(N, N, NULL);
    for (int i = 0; i < N; i++)
        h.w[i * N + i] = (pitot_real)sqrt(i < 100 ? pow((i + 0.5) / 100, -1 / 1.5) : 1.0 - 0.9 * (i - 99) / 101);
    decompose(h.w, N, N, sigma);
    matrix_step(&h);
    check_spectrum(&h, sigma, N, 10);
    assert_close(at(h.run, "weight_spectrum", "alpha", "w"), 2.5, 1, at(h.run, "weight_spectrum", "error", "w"),
                 "exponent of the tail");
    assert_close(at(h.run, "weight_spectrum", "lambda_min", "w"), 1, 0.1, 1, "where it begins");
    close_matrix(&h);
}

/* ---- a host that shows layers' inputs: a convolution's weight and a linear layer's, each with its units as the only input axis ---- */

enum { CONV = 1, LINEAR, H = 4, W = 3, P = H * W };

typedef struct layer_host {
    pitot_run *run;
    int64_t units, n, step;
    unsigned char left_out[64]; /* samples of weight 0 */
    pitot_real weight[2][64], grad[2][64], terms[64];
    pitot_real *zero; /* G */
    pitot_capture capture[4];
    int captures;
} layer_host;

static layer_host open_layers(int64_t units, const char *options) {
    layer_host h = { .units = units, .zero = new_reals(64 * 64) };
    h.run = must_open(NULL, &(pitot_config){ sizeof(pitot_config), .probes = "feature_rank, dormant_units", .options = options,
                                             .flags = PITOT_UNCHECKED });
    return h;
}

static void add_weights(layer_host *h) { /* where h stays */
    pitot_param conv = {
        .struct_size = sizeof conv, .name = "conv", .data = h->weight[0], .grad = h->grad[0], .shape = { 1, h->units, 1, 1 }
    };
    pitot_param linear = {
        .struct_size = sizeof linear, .name = "linear", .data = h->weight[1], .grad = h->grad[1], .shape = { 1, h->units }
    };
    assert_int_equal(pitot_add_param(h->run, &conv), CONV);
    assert_int_equal(pitot_add_param(h->run, &linear), LINEAR);
}

static void close_layers(layer_host *h) {
    pitot_close(h->run, PITOT_DONE);
    free(h->zero);
}

static void see(layer_host *h, int32_t weight, int32_t flags, const pitot_real *a, int64_t t) {
    h->capture[h->captures++] = (pitot_capture){ .struct_size = sizeof(pitot_capture),
                                                 .kind = weight == CONV ? PITOT_CONV2D : PITOT_LINEAR,
                                                 .flags = flags,
                                                 .weight = weight,
                                                 .A = a,
                                                 .G = h->zero,
                                                 .t = t,
                                                 .h = weight == CONV ? H : 0,
                                                 .w = weight == CONV ? W : 0 };
}

static void layer_step(layer_host *h, int64_t n) {
    h->n = n;
    assert_true(pitot_begin(h->run, h->step++) & PITOT_DUE_CAPTURES);
    for (int64_t i = 0; i < n; i++) h->terms[i] = !h->left_out[i];
    pitot_after_forward(h->run, &(pitot_batch){ .struct_size = sizeof(pitot_batch), .n = n, .loss = 1, .weight = h->terms });
    for (int i = 0; i < h->captures; i++) assert_int_equal(pitot_add_capture(h->run, &h->capture[i]), PITOT_OK);
    pitot_after_backward(h->run);
    pitot_after_update(h->run, 1);
    assert_string_equal(pitot_last_error(h->run), "");
    h->captures = 0;
}

/* What must be said of rows (rows,units). */
static void check_rows(const layer_host *h, const char *tensor, const pitot_real *rows, int64_t count, double tau) {
    ranks r = ranks_of_matrix(rows, count, h->units, 0.01);
    double all = 0, dormant = 0, dead = 0;
    for (int64_t i = 0; i < count * h->units; i++) all += fabs((double)rows[i]);
    for (int64_t u = 0; u < h->units; u++) {
        double sum = 0;
        for (int64_t i = 0; i < count; i++) sum += fabs((double)rows[i * h->units + u]);
        dormant += sum / (all / (double)h->units) <= tau;
        dead += sum == 0;
    }
    assert_close(at(h->run, "feature_rank", "", tensor), r.effective, 1e-8, r.effective, "effective");
    assert_close(at(h->run, "feature_rank", "stable", tensor), r.stable, 1e-8, r.stable, "stable");
    assert_close(at(h->run, "feature_rank", "srank", tensor), (double)r.srank, 0, 1, "srank");
    assert_close(at(h->run, "dormant_units", "", tensor), dormant / (double)h->units, 1e-15, 1, "dormant");
    assert_close(at(h->run, "dormant_units", "dead", tensor), dead / (double)h->units, 1e-15, 1, "dead");
}

/* (n, P, units): unit 0 silent, 1 all but silent, 2 at 2 % of the others, 3 at 4 %, the last a copy of the one before */
static void draw_rows(pitot_real *rows, int64_t count, int64_t units, uint64_t *seed) {
    static const double scale[4] = { 0, 1e-12, 0.02, 0.04 };
    for (int64_t i = 0; i < count; i++) {
        pitot_real *r = rows + i * units;
        for (int64_t u = 0; u < units; u++) r[u] = (pitot_real)((u < 4 ? scale[u] : 1) * draw_normal(seed));
        r[units - 1] = r[units - 2];
    }
}

/* (n, units, P) from (n, P, units) */
static void turn(const pitot_real *rows, int64_t n, int64_t positions, int64_t units, pitot_real *out) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t p = 0; p < positions; p++)
            for (int64_t u = 0; u < units; u++) out[(i * units + u) * positions + p] = rows[(i * positions + p) * units + u];
}

/* The same rows in every layout, with all samples and with some that do not count. */
static void test_layouts(void **state) {
    (void)state;
    enum { N = 7, UNITS = 9 };
    static pitot_real rows[N * P * UNITS], turned[N * P * UNITS], first[N * P * UNITS], some[N * P * UNITS];
    static layer_host h;
    uint64_t seed = 31;
    for (int masked = 0; masked < 2; masked++) {
        h = open_layers(UNITS, masked ? "dormant_units.tau=0.05" : NULL);
        add_weights(&h);
        draw_rows(rows, N * P, UNITS, &seed);
        int64_t count = 0;
        for (int64_t i = 0; i < N; i++) {
            h.left_out[i] = masked && i % 3 == 1;
            if (h.left_out[i]) rows[i * P * UNITS] = 100;
            else memcpy(some + count++ * P * UNITS, rows + i * P * UNITS, P * UNITS * sizeof *some);
        }
        turn(rows, N, P, UNITS, turned);
        for (int64_t i = 0; i < N * P; i++)
            memcpy(first + (i % P * N + i / P) * UNITS, rows + i * UNITS, UNITS * sizeof *first); /* (P, n, units) */
        for (int layout = 0; layout < 5; layout++) {
            int conv = layout < 2;
            const int32_t flags[] = { 0, PITOT_CHANNELS_LAST, 0, PITOT_TIME_FIRST, PITOT_COPY };
            see(&h, conv ? CONV : LINEAR, flags[layout], layout == 0 ? turned : layout == 3 ? first : rows, conv ? 0 : P);
            see(&h, conv ? LINEAR : CONV, PITOT_DATA, rows, conv ? P : 0); /* of which nothing is said */
            layer_step(&h, N);
            check_rows(&h, conv ? "conv" : "linear", some, count * P, masked ? 0.05 : 0.025);
            check_rows(&h, NULL, some, count * P, masked ? 0.05 : 0.025);
            assert_true(has(h.run, conv ? "feature_rank/conv" : "feature_rank/linear", layout));
            assert_false(has(h.run, conv ? "feature_rank/linear" : "feature_rank/conv", layout));
            assert_close(value_of(h.run, "feature_rank.srank_share"), 1, 0, 1, "share");
        }
        close_layers(&h);
    }
}

/* Two uses of one weight are one matrix; two layers weigh as their units. */
static void test_uses(void **state) {
    (void)state;
    enum { N = 5, UNITS = 8, T = 3 };
    static pitot_real rows[N * (1 + T) * UNITS], image[N * P * UNITS];
    static layer_host h;
    uint64_t seed = 37;
    h = open_layers(UNITS, NULL);
    add_weights(&h);
    draw_rows(rows, N * (1 + T), UNITS, &seed);
    draw_rows(image, N * P, UNITS, &seed);
    for (int64_t i = 0; i < N * P; i++) image[i * UNITS + 4] = 0;
    see(&h, LINEAR, 0, rows, 1);
    see(&h, CONV, PITOT_CHANNELS_LAST, image, 0);
    see(&h, LINEAR, 0, rows + N * UNITS, T);
    layer_step(&h, N);
    check_rows(&h, "linear", rows, N * (1 + T), 0.025);
    check_rows(&h, "conv", image, N * P, 0.025);
    for (int i = 0; i < 2; i++) { /* as many units in both */
        const char *field = i ? "stable" : "";
        double mean = (at(h.run, "feature_rank", field, "linear") + at(h.run, "feature_rank", field, "conv")) / 2;
        assert_near(at(h.run, "feature_rank", field, NULL), mean, "mean");
    }
    assert_near(value_of(h.run, "dormant_units.dead"), 3.0 / 16, "dead"); /* one, and two */
    close_layers(&h);
}

static void fill_alike(pitot_real *a, int64_t rows, int64_t units) {
    for (int64_t i = 0; i < rows * units; i++) a[i] = (pitot_real)(1 + i % units);
}

static void check_features(const layer_host *h, double effective, double srank, double dormant) {
    assert_close(value_of(h->run, "feature_rank/linear"), effective, 1e-6, 1, "effective");
    assert_close(value_of(h->run, "feature_rank.stable/linear"), effective, 1e-6, 1, "stable");
    assert_close(value_of(h->run, "feature_rank.srank/linear"), srank, 0, 1, "srank");
    assert_close(value_of(h->run, "dormant_units"), dormant, 0, 1, "dormant");
    assert_true(has(h->run, "feature_rank", h->step - 1) && has(h->run, "dormant_units", h->step - 1));
}

/* One sample, samples that are all alike, features that are all 0, and what is not finite. */
static void test_odd_features(void **state) {
    (void)state;
    enum { N = 6, UNITS = 5 };
    static pitot_real a[N * UNITS];
    static layer_host h;
    h = open_layers(UNITS, NULL);
    add_weights(&h);
    fill_alike(a, N, UNITS);
    see(&h, LINEAR, 0, a, 1);
    layer_step(&h, N);
    check_features(&h, 1, 1, 0);
    see(&h, LINEAR, 0, a, 1);
    layer_step(&h, 1);
    check_features(&h, 1, 1, 0);
    memset(a, 0, sizeof a);
    see(&h, LINEAR, 0, a, 1);
    layer_step(&h, N);
    check_features(&h, 0, 0, 1);
    assert_close(value_of(h.run, "dormant_units.dead"), 1, 0, 1, "dead");
    assert_close(value_of(h.run, "feature_rank.srank_share"), 0, 0, 1, "share");
    fill_alike(a, N, UNITS);
    for (int k = 0; k < 3; k++) {
        a[N * UNITS - 1] = (pitot_real)(k == 0 ? NAN : k == 1 ? INFINITY : -INFINITY);
        see(&h, LINEAR, 0, a, 1);
        layer_step(&h, N);
        for (int i = 0; i < 2; i++) {
            const char *probe = i ? "dormant_units" : "feature_rank";
            assert_int_equal(state_of(h.run, probe), PITOT_STATE_UNDEFINED);
            assert_non_null(strstr(why_of(h.run, probe), "not finite"));
            assert_false(has(h.run, probe, h.step - 1));
        }
    }
    see(&h, LINEAR, PITOT_DATA, a, 1);
    layer_step(&h, N);
    assert_non_null(strstr(why_of(h.run, "feature_rank"), "no layer reads what another has made"));
    assert_non_null(strstr(why_of(h.run, "dormant_units"), "no layer reads what another has made"));
    close_layers(&h);
}

/* Every position has a unit of its own: as many directions as positions were taken, all different; the same at every step. */
static void test_positions(void **state) {
    (void)state;
    static const int64_t rows[] = { 1, 3, 9, 30, 35, 36, 1000 }, expected[] = { 1, 1, 3, 10, 11, 12, 12 };
    enum { N = 3 };
    static pitot_real a[N * P * P];
    static layer_host h;
    for (int64_t i = 0; i < N * P; i++) a[i * P + i % P] = 1;
    for (int k = 0; k < 7; k++) {
        char options[64];
        snprintf(options, sizeof options, "feature_rank.rows=%d\nfeature_rank.delta=0", (int)rows[k]);
        h = open_layers(P, options);
        add_weights(&h);
        for (int step = 0; step < 2; step++) {
            see(&h, LINEAR, 0, a, P);
            see(&h, CONV, PITOT_CHANNELS_LAST, a, 0);
            layer_step(&h, N);
            assert_close(value_of(h.run, "feature_rank.srank/linear"), (double)expected[k], 0, 1, "directions");
            assert_close(value_of(h.run, "feature_rank.srank/conv"), (double)expected[k], 0, 1, "directions");
            assert_close(value_of(h.run, "dormant_units"), 0, 0, 1, "every position is looked at");
        }
        close_layers(&h);
    }
    h = open_layers(P, "feature_rank.largest=2");
    add_weights(&h);
    see(&h, LINEAR, 0, a, P);
    layer_step(&h, N);
    assert_int_equal(state_of(h.run, "feature_rank"), PITOT_STATE_UNDEFINED);
    assert_non_null(strstr(why_of(h.run, "feature_rank"), "layers left out: 1, of more than 2 rows and units"));
    close_layers(&h);
}

/* Against the largest so far: what collapses is seen, other batch sizes are not compared, and the past goes through a checkpoint. */
static void test_collapse(void **state) {
    (void)state;
    static const struct {
        int64_t n, directions;
        double share; /* NaN: none */
    } steps[] = { { 8, 4, 1 },  { 8, 6, 1 },  { 8, 3, 0.5 }, { 8, 2, 2.0 / 6 }, { 5, 5, NAN },
                  { 10, 3, 1 }, { 10, 6, 1 }, { 8, 6, NAN }, { 10, 2, 1.0 / 3 } };
    enum { UNITS = 8 };
    static pitot_real a[16 * UNITS];
    static layer_host h;
    const char *file = path_of("collapse.state");
    h = open_layers(UNITS, NULL);
    add_weights(&h);
    for (int k = 0; k < 9; k++) {
        memset(a, 0, sizeof a);
        for (int64_t i = 0; i < steps[k].n; i++) a[i * UNITS + i % steps[k].directions] = 1;
        see(&h, LINEAR, 0, a, 1);
        h.step = k;
        layer_step(&h, steps[k].n);
        assert_close(value_of(h.run, "feature_rank.srank"), (double)steps[k].directions, 0, 1, "srank");
        assert_int_equal(has(h.run, "feature_rank.srank_share", k), !isnan(steps[k].share));
        if (isnan(steps[k].share)) continue;
        assert_close(value_of(h.run, "feature_rank.srank_share"), steps[k].share, 1e-15, 1, "share");
        assert_close(value_of(h.run, "feature_rank.srank_share/linear"), steps[k].share, 1e-15, 1, "share");
        if (k != 2) continue;
        assert_int_equal(pitot_checkpoint(h.run, file), PITOT_OK);
        pitot_close(h.run, PITOT_DONE);
        free(h.zero);
        h = open_layers(UNITS, NULL);
        add_weights(&h);
        assert_int_equal(pitot_restore(h.run, file), PITOT_OK);
    }
    close_layers(&h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_structure),    cmocka_unit_test(test_ranks),        cmocka_unit_test(test_known_ranks),
        cmocka_unit_test(test_not_finite),   cmocka_unit_test(test_left_out),     cmocka_unit_test(test_noise),
        cmocka_unit_test(test_false_alarms), cmocka_unit_test(test_exponent),     cmocka_unit_test(test_layouts),
        cmocka_unit_test(test_uses),         cmocka_unit_test(test_odd_features), cmocka_unit_test(test_positions),
        cmocka_unit_test(test_collapse),
    };
    return cmocka_run_group_tests(tests, set_up, remove_folder);
}
