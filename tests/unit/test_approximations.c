/* `inspect --probes approximations` against dense matrices: every column of the truth and of C, eigenvalues and solutions by LAPACK. */

#include "nets.h"
#include "operators.h"

#include "approximations.h"

static const double exact = sizeof(pitot_real) == 8 ? 1e-6 : 2e-2;

static const net_case smooth = { "smooth", { 5 }, "cross_entropy", { LINEAR(6), OP("tanh"), LINEAR(4) } };
static const net_case conv_case = { "conv", { 2, 4, 4 }, "mse", { CONV(2), OP("relu"), OP("flatten"), LINEAR(3) } };

static pitot_net *net_of(const net_case *c) {
    pitot_net *net = prepared(c, ROOM, 1);
    pitot_net_batch b = *batch_of(BATCH);
    b.training = 0;
    assert_int_equal(pitot_net_forward(net, &b, NULL), PITOT_OK);
    assert_int_equal(pitot_net_backward(net), PITOT_OK);
    return net;
}

static approximations asked(int32_t hessian, int64_t dense, int64_t vectors) {
    return (approximations){ .asked = 1,
                             .hessian = hessian,
                             .damping = hessian ? 2 : 0.05,
                             .draws = 2,
                             .dense = dense,
                             .vectors = vectors,
                             .iterations = 2000,
                             .seed = 3 };
}

/* ---- the same from dense matrices ---- */

typedef int32_t (*product)(void *self, const pitot_real *x, pitot_real *y);

static double *dense_of(int64_t d, product of, void *self) {
    double *m = mem_alloc(d, (size_t)d * sizeof *m);
    pitot_real *e = vector(d), *column = vector(d);
    memset(e, 0, (size_t)d * sizeof *e);
    for (int64_t i = 0; i < d; i++) {
        e[i] = 1;
        assert_int_equal(of(self, e, column), PITOT_OK);
        e[i] = 0;
        for (int64_t j = 0; j < d; j++) m[j * d + i] = (double)column[j];
    }
    mem_free(e);
    mem_free(column);
    return m;
}

static int32_t by_hvp(void *self, const pitot_real *x, pitot_real *y) {
    return pitot_net_hvp(self, x, y);
}
static int32_t by_ggnvp(void *self, const pitot_real *x, pitot_real *y) {
    return pitot_net_ggnvp(self, x, y);
}
static int32_t by_operator(void *self, const pitot_real *x, pitot_real *y) {
    const pitot_linop *made = self;
    return made->apply(made->self, x, y, 1);
}

/* (M + delta I)^-1 g of the block from..from+n */
static void solve(const double *m, int64_t d, int64_t from, int64_t n, const pitot_real *g, double delta, double *x) {
    double *copy = mem_alloc(n, (size_t)n * sizeof *copy);
    for (int64_t i = 0; i < n; i++) {
        x[i] = (double)g[from + i];
        for (int64_t j = 0; j < n; j++) copy[i * n + j] = m[(from + i) * d + from + j] + (i == j ? delta : 0);
    }
    lapack_int *pivot = mem_alloc(n, sizeof *pivot);
    assert_int_equal(LAPACKE_dgesv(LAPACK_ROW_MAJOR, (lapack_int)n, 1, copy, (lapack_int)n, pivot, x, 1), 0);
    mem_free(pivot);
    mem_free(copy);
}

static double top_of(const double *m, int64_t d, int64_t from, int64_t n) {
    double *block = mem_alloc(n, (size_t)n * sizeof *block);
    for (int64_t i = 0; i < n * n; i++) block[i] = m[(from + i / n) * d + from + i % n];
    double *value = lapack_values(block, n), top = value[n - 1];
    mem_free(block);
    mem_free(value);
    return top;
}

static void near(const char *what, const char *where, double want, double got, double tolerance) {
    if (!(fabs(want - got) <= tolerance)) fail_msg("%s, %s: %.10g, must be %.10g", what, where, got, want);
}

/* One approximation's row against its matrix c. */
static void check_rows(const approximations *a, const comparison *row, const char *what, const double *g, const double *c,
                       const pitot_real *gradient, int64_t d) {
    double *x = mem_alloc(d, sizeof *x), *y = mem_alloc(d, sizeof *y);
    for (int64_t b = 0; b < a->n_blocks; b++) {
        int64_t from = a->from[b], n = a->truth[b].parameters;
        double e = 0, t = 0, xy = 0, xx = 0, yy = 0, top = top_of(c, d, from, n);
        for (int64_t i = from; i < from + n; i++)
            for (int64_t j = from; j < from + n; j++) {
                e += (c[i * d + j] - g[i * d + j]) * (c[i * d + j] - g[i * d + j]);
                t += g[i * d + j] * g[i * d + j];
            }
        solve(g, d, from, n, gradient, a->damping, x);
        solve(c, d, from, n, gradient, a->damping, y);
        for (int64_t i = 0; i < n; i++) xy += x[i] * y[i], xx += x[i] * x[i], yy += y[i] * y[i];
        double tolerance = row[b].exact ? exact : 5 * row[b].error_spread + 1e-3;
        near(what, a->layer[b], sqrt(e / t), row[b].error, tolerance);
        near(what, a->layer[b], top, row[b].top, 1e-2 * fabs(top));
        near(what, a->layer[b], xy / sqrt(xx * yy), row[b].cosine, exact * 10);
    }
    mem_free(x);
    mem_free(y);
}

static int64_t kind_called(const approximations *a, const char *name) {
    char text[64], *all;
    size_t size;
    FILE *out = open_memstream(&all, &size);
    writer w = { .out = out };
    approximations_write(&w, a);
    fclose(out);
    snprintf(text, sizeof text, "}, \"%s\": {\"status\"", name);
    int64_t before = 0;
    const char *at = strstr(all, text);
    assert_non_null(at);
    for (const char *s = strstr(all, "\": {\"status\": \""); s && s < at; s = strstr(s + 1, "\": {\"status\": \"")) before++;
    free(all);
    free(w.odd);
    return before - 1; /* the whole has a status as well */
}

/* The net is then as backward leaves it. */
static void measure(approximations *a, pitot_net *net) {
    pitot_net_batch batch = net->last;
    assert_int_equal(approximations_measure(a, net, &batch, NULL), PITOT_OK);
    assert_int_equal(pitot_net_forward(net, &batch, NULL), PITOT_OK);
    assert_int_equal(pitot_net_backward(net), PITOT_OK);
}

static void check_case(const net_case *c, int32_t hessian, int64_t dense) {
    pitot_net *net = net_of(c);
    approximations a = asked(hessian, dense, 60);
    measure(&a, net);
    int64_t d = net->size;
    pitot_real *gradient = vector(d), *diagonal = vector(d);
    flat_gradient(net, gradient);
    assert_true(a.n_blocks == 3 && a.truth[0].parameters == d && a.from[2] == a.truth[1].parameters);
    double *g = dense_of(d, hessian ? by_hvp : by_ggnvp, net), *m;
    static const struct {
        const char *name;
        pitot_kron_config config;
    } some[] = { { "kfac", { .kind = PITOT_KRON_KFAC, .draws = 2, .seed = 3 } },
                 { "ekflr", { .kind = PITOT_KRON_KFLR, .corrected = 1 } } };
    for (int i = 0; i < 2; i++) {
        pitot_kron_config config = some[i].config;
        config.struct_size = sizeof config;
        config.net = net;
        pitot_kron *k = pitot_kron_new(&config, NULL);
        pitot_linop made;
        pitot_kron_operator(k, &made);
        m = dense_of(d, by_operator, &made);
        check_rows(&a, a.result + kind_called(&a, some[i].name) * a.n_blocks, some[i].name, g, m, gradient, d);
        pitot_kron_free(k);
        mem_free(m);
    }
    pitot_net_diagonal(net, PITOT_DIAGONAL_HESSCALE, 1, 0, 0, diagonal, NULL);
    m = mem_alloc(d, (size_t)d * sizeof *m);
    for (int64_t i = 0; i < d; i++) m[i * d + i] = (double)diagonal[i];
    check_rows(&a, a.result + kind_called(&a, "hesscale") * a.n_blocks, "hesscale", g, m, gradient, d);
    mem_free(m);
    mem_free(g);
    mem_free(gradient);
    mem_free(diagonal);
    approximations_free(&a);
    pitot_net_free(net);
}

static void test_columns(void **state) {
    (void)state;
    check_case(&smooth, 0, 1000);
    check_case(&conv_case, 0, 1000);
}

static void test_hessian(void **state) {
    (void)state;
    check_case(&smooth, 1, 1000);
}

static void test_random_vectors(void **state) {
    (void)state;
    check_case(&smooth, 0, 0);
    check_case(&conv_case, 0, 0);
}

/* The GGN beside the Hessian of a piecewise linear net: the same within every layer; nothing to compare with reduce on linear layers. */
static void test_known(void **state) {
    (void)state;
    pitot_net *net = net_of(&conv_case);
    approximations a = asked(1, 1000, 10);
    measure(&a, net);
    const comparison *ggn = a.result + kind_called(&a, "ggn") * a.n_blocks;
    assert_true(ggn[0].error > 0.01);
    for (int b = 1; b < 3; b++) near("ggn", a.layer[b], 0, ggn[b].error, exact);
    approximations_free(&a);
    pitot_net_free(net);
    net = net_of(&smooth);
    a = asked(0, 1000, 10);
    measure(&a, net);
    assert_true(strlen(a.why[kind_called(&a, "kfac_reduce")]) > 10 && strlen(a.why[kind_called(&a, "ggn")]) > 10);
    assert_true(a.why[kind_called(&a, "kfra")][0] == 0);
    approximations_free(&a);
    net->param[0].data[0] = (pitot_real)NAN;
    pitot_net_batch b = *batch_of(BATCH);
    pitot_net_forward(net, &b, NULL);
    pitot_net_backward(net);
    pitot_error error = { 0 };
    a = asked(0, 1000, 10);
    assert_int_equal(approximations_measure(&a, net, &net->last, &error), PITOT_EHOST);
    assert_true(strstr(error.text, "finite") != NULL);
    approximations_free(&a);
    pitot_net_free(net);
}

#undef fail /* of cmocka, whose fail_msg is used no more: the command has a function of that name */
#include "args.h"

/* Options as the command gets them. */
static int read_words(approximations *a, int n, char **words) {
    static const flag flags[] = { { "--set", "KEY=VALUE", "", 1 }, { 0 } };
    static const command c = { .name = "inspect", .flags = flags };
    int status;
    args *given = args_parse(&c, "pitot", n, words, &status);
    assert_non_null(given);
    status = approximations_read(a, given);
    free(given);
    return status;
}

static void test_options(void **state) {
    (void)state;
    approximations a;
    char *good[] = { "--set", "approximations.truth=hessian", "--set", "approximations.damping=0.5",
                     "--set", "approximations.seed=9",        "--set", "loss.x=1",
                     "--set", "approximations.dense=0",       "--set", "approximations.draws=4" };
    assert_int_equal(read_words(&a, 0, good), EXIT_DONE);
    assert_true(a.asked && !a.hessian && a.damping == 1e-2 && a.draws == 1 && a.dense == 2000 && a.vectors == 20);
    assert_int_equal(read_words(&a, 12, good), EXIT_DONE);
    assert_true(a.hessian && a.damping == 0.5 && a.seed == 9 && a.dense == 0 && a.draws == 4);
    static const char *const bad[] = { "truth=fisher", "truth=", "damping=0", "damping=x", "damping=nan", "draws=0",
                                       "vectors=1",    "dense",  "what=1",    "=",         "seed=-1",     "iterations=1e9" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[80], *words[] = { "--set", text };
        snprintf(text, sizeof text, "approximations.%s", bad[i]);
        assert_int_equal(read_words(&a, 2, words), EXIT_USAGE);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns), cmocka_unit_test(test_hessian), cmocka_unit_test(test_random_vectors),
        cmocka_unit_test(test_known),   cmocka_unit_test(test_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
