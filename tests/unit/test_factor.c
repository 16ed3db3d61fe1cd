/* Products with factors: against columns that are written out, sample by sample, weight by weight, from what came back to the layers'
   outputs and their inputs. Of nets of all kinds, and where inner products of convolutions go pair by pair. */

#include "nets.h"

#include "base/blas.h"
#include "net/factor_conv.h"

/* Sums of up to some thousand products of rounded values, beside the largest. */
static const double exact = sizeof(pitot_real) == 8 ? 1e-13 : 1e-5;

/* ---- columns written out ---- */

static void linear_column(const node *n, const pitot_real *s, const pitot_real *x, double by, double *weight, double *bias) {
    for (int64_t o = 0; o < n->out.size; o++) {
        for (int64_t i = 0; weight && i < n->in[0].size; i++) weight[o * n->in[0].size + i] += by * (double)s[o] * (double)x[i];
        if (bias) bias[o] += by * (double)s[o];
    }
}

/* What the weight at (input channel i, ky, kx) of an output channel gets. */
static double one_weight(const window *w, const pitot_real *s, const pitot_real *x, int64_t ky, int64_t kx) {
    double sum = 0;
    for (int64_t oy = 0; oy < w->out[0]; oy++)
        for (int64_t ox = 0; ox < w->out[1]; ox++) {
            int64_t y = oy * w->stride[0] + ky * w->dilation[0] - w->padding[0];
            int64_t xx = ox * w->stride[1] + kx * w->dilation[1] - w->padding[1];
            if (y < 0 || y >= w->in[0] || xx < 0 || xx >= w->in[1]) continue;
            sum += (double)s[oy * w->out[1] + ox] * (double)x[y * w->in[1] + xx];
        }
    return sum;
}

static void conv_column(const node *n, const pitot_real *s, const pitot_real *x, double by, double *weight, double *bias) {
    conv c = conv_of(n);
    const window *w = &c.w;
    for (int64_t o = 0; o < c.groups * c.m; o++, s += c.p) {
        for (int64_t i = 0; weight && i < c.k; i++) {
            int64_t kernel = w->kernel[0] * w->kernel[1], channel = o / c.m * w->channels + i / kernel;
            weight[o * c.k + i] +=
                by * one_weight(w, s, x + channel * w->in[0] * w->in[1], i % kernel / w->kernel[1], i % w->kernel[1]);
        }
        for (int64_t p = 0; bias && p < c.p; p++) bias[o] += by * (double)s[p];
    }
}

/* (columns, d) */
static double *columns_of(const factor *f, const int64_t *at, int64_t d) {
    double *v = mem_alloc(f->columns, (size_t)d * sizeof *v);
    for (int32_t k = 0; k < f->net->n_nodes; k++) {
        const node *n = &f->net->node[k];
        const buffers *b = &f->net->buffer[k];
        for (int64_t i = 0; f->s[k] && i < f->columns; i++) {
            span s = walk_span(f->net, k, f->sample[i / f->m], 1, 0);
            double *weight = b->weight >= 0 && at[b->weight] >= 0 ? v + i * d + at[b->weight] : NULL;
            double *bias = b->bias >= 0 && at[b->bias] >= 0 ? v + i * d + at[b->bias] : NULL;
            (n->op->square_gradient ? conv_column : linear_column)(n, f->s[k] + i * n->out.size, s.x[0], f->scale, weight, bias);
        }
    }
    return v;
}

/* ---- checks ---- */

static void near(const net_case *c, const char *what, const double *want, const double *got, int64_t n) {
    double most = 1e-30;
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(want[i]));
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(want[i] - got[i]) <= exact * most))
            fail_msg("%s: %s: %lld: %.12g, must be %.12g (of %g)", c->what, what, (long long)i, got[i], want[i], most);
}

/* start + A'B of columns written out; below the diagonal only the start, with a == b. */
static double *product_of(const factor *a, const factor *b, const double *va, const double *vb, int64_t d, double start) {
    double *k = mem_alloc(a->columns, (size_t)b->columns * sizeof *k);
    for (int64_t i = 0; i < a->columns; i++)
        for (int64_t j = 0; j < b->columns; j++) {
            k[i * b->columns + j] = start;
            for (int64_t l = 0; (a != b || j >= i) && l < d; l++) k[i * b->columns + j] += va[i * d + l] * vb[j * d + l];
        }
    return k;
}

static void check_product(const net_case *c, const factor *a, const factor *b, const int64_t *at, int64_t d) {
    double *va = columns_of(a, at, d), *vb = columns_of(b, at, d), *want = product_of(a, b, va, vb, d, 0.25);
    double *got = mem_alloc(a->columns, (size_t)b->columns * sizeof *got);
    for (int64_t i = 0; i < a->columns * b->columns; i++) got[i] = 0.25;
    assert_int_equal(factor_product(a, b, at, got), PITOT_OK);
    near(c, a == b ? "V'V" : "V'G", want, got, a->columns * b->columns);
    mem_free(va);
    mem_free(vb);
    mem_free(want);
    mem_free(got);
}

static void check_apply(const net_case *c, const factor *f, const int64_t *at, int64_t d, int64_t rows) {
    double *v = columns_of(f, at, d), *want = mem_alloc(rows, (size_t)d * sizeof *want),
           *got = mem_alloc(rows, (size_t)d * sizeof *got);
    double *x = mem_alloc(rows, (size_t)f->columns * sizeof *x);
    pitot_real *out = vector(rows * (d + 3));
    for (int64_t i = 0; i < rows * f->columns; i++) x[i] = random_uniform(2, 3, 4, (uint64_t)i) - 0.5;
    assert_int_equal(factor_apply(f, at, rows, x, out, d + 3), PITOT_OK);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t l = 0; l < d; l++) {
            got[r * d + l] = (double)out[r * (d + 3) + l];
            for (int64_t i = 0; i < f->columns; i++) want[r * d + l] += x[r * f->columns + i] * v[i * d + l];
        }
    for (int64_t r = 0; r < rows; r++)
        for (int64_t l = d; l < d + 3; l++) assert_true(out[r * (d + 3) + l] == 7);
    for (int64_t i = 0; i < f->net->n_params; i++) /* what does not count is left alone */
        for (int64_t l = 0; at[i] < 0 && l < rows * f->net->param[i].size; l++) {
            int64_t to = l / f->net->param[i].size * d + f->net->flat[i] + l % f->net->param[i].size;
            assert_true(got[to] == 7 && want[to] == 0);
            got[to] = 0;
        }
    near(c, "V x", want, got, rows * d);
    mem_free(v);
    mem_free(want);
    mem_free(got);
    mem_free(x);
    mem_free(out);
}

typedef struct subject {
    pitot_net *net;
    unsigned char *wanted;
    factor v, g;
} subject;

static subject subject_of(const net_case *c, int64_t n, int64_t draws, const int64_t *some, int64_t n_some) {
    subject s = { .net = passed(c, n, 2) };
    roots r = { .n = outputs_of(s.net) - s.net->loss->less };
    if (draws) r = (roots){ .n = draws, .drawn = 1, .seed = 5 };
    s.wanted = mem_alloc(s.net->n_params, 1);
    memset(s.wanted, 1, (size_t)s.net->n_params);
    assert_int_equal(factor_new(&s.v, s.net, &r, some, some ? n_some : n, s.wanted, INT64_MAX, NULL), PITOT_OK);
    assert_int_equal(factor_gradients(&s.g, s.net, NULL, n, s.wanted), PITOT_OK);
    return s;
}

static void subject_free(subject *s) {
    factor_free(&s->v);
    factor_free(&s->g);
    mem_free(s->wanted);
    pitot_net_free(s->net);
}

static void check(const net_case *c, int64_t n, int64_t draws, const int64_t *some, int64_t n_some) {
    subject s = subject_of(c, n, draws, some, n_some);
    int64_t *at = mem_alloc(s.net->n_params, sizeof *at);
    for (int part = 0; part < 3; part++) { /* all; all but every third; weights or biases alone */
        for (int64_t i = 0; i < s.net->n_params; i++)
            at[i] = (part == 1 && i % 3 == 1) || (part == 2 && i % 2) ? -1 : s.net->flat[i];
        check_product(c, &s.v, &s.v, at, s.net->size);
        check_product(c, &s.v, &s.g, at, s.net->size);
        if (part == 2) continue;
        check_apply(c, &s.v, at, s.net->size, 1);
        check_apply(c, &s.v, at, s.net->size, 14);
    }
    mem_free(at);
    subject_free(&s);
}

/* ---- tests ---- */

static void test_all_nets(void **state) {
    static const int64_t some[] = { 2, 0, 1 };
    (void)state;
    for (int i = 0; i < CASES; i++) {
        pitot_net *net = prepared(&cases[i], 1, 1);
        int large = outputs_of(net) > 30 || net->size > 3000;
        pitot_net_free(net);
        check(&cases[i], large ? 2 : 4, large ? 2 : 0, i % 2 ? some : NULL, large ? 1 : 3);
    }
}

/* 0: formed; 1: pair by pair. Columns of more than one block; channels of a group; positions without entries, and none but a few. */
static const struct {
    net_case c;
    int pairs, gradients; /* of node 3: V'V, V'G */
    int64_t draws;
} few[] = {
    { { "few positions",
        { 2, 6, 6 },
        "cross_entropy",
        { CONV(9), OP("relu"), { "max_pool2d", "kernel=3", NULL }, CONV(8), OP("relu"), OP("flatten"), LINEAR(10) } },
      1,
      0,
      0 },
    { { "two blocks of columns, groups",
        { 2, 7, 6 },
        "mse",
        { CONV(12),
          OP("tanh"),
          { "max_pool2d", "kernel=3, stride=2", NULL },
          { "conv2d", "out_channels=10, kernel=3,2, padding=1,0, groups=2", NULL },
          OP("relu"),
          OP("flatten"),
          LINEAR(15) } },
      1,
      0,
      0 },
    { { "pooled, dilated",
        { 2, 7, 7 },
        "cross_entropy",
        { CONV(20),
          OP("tanh"),
          OP("relu"),
          { "conv2d", "out_channels=12, kernel=3, padding=2, dilation=2, stride=2", NULL },
          { "max_pool2d", "kernel=2, ceil_mode=true", NULL },
          OP("flatten"),
          LINEAR(13) } },
      1,
      0,
      0 },
    { { "one position, drawn",
        { 2, 6, 6 },
        "cross_entropy",
        { CONV(20),
          OP("relu"),
          { "max_pool2d", "kernel=2", NULL },
          { "conv2d", "out_channels=12, kernel=3", NULL },
          OP("relu"),
          OP("flatten"),
          LINEAR(3) } },
      1,
      1,
      9 },
    { { "many positions",
        { 2, 9, 8 },
        "cross_entropy",
        { CONV(4), OP("relu"), OP("tanh"), CONV(3), OP("relu"), OP("flatten"), LINEAR(4) } },
      0,
      0,
      0 },
};

static void test_pairs(void **state) {
    static const int64_t some[] = { 5, 0, 1, 6, 2 };
    (void)state;
    for (size_t i = 0; i < sizeof few / sizeof *few; i++) {
        const net_case *c = &few[i].c;
        subject s = subject_of(c, BATCH, few[i].draws, some, 5);
        int64_t size = s.v.columns * s.v.columns, *at = mem_alloc(s.net->n_params, sizeof *at);
        for (int64_t k = 0; k < s.net->n_params; k++) at[k] = k == s.net->buffer[3].weight ? 0 : -1;
        int64_t d = s.net->param[s.net->buffer[3].weight].size;
        double *v = columns_of(&s.v, at, d), *g = columns_of(&s.g, at, d), *got = mem_alloc(size, sizeof *got);
        double *want = product_of(&s.v, &s.v, v, v, d, 0), *cross = product_of(&s.v, &s.g, v, g, d, 0);
        if (pairs_product(&s.v, &s.v, 3, s.v.scale * s.v.scale, got) != few[i].pairs) fail_msg("%s: the other way", c->what);
        if (few[i].pairs) near(c, "pairs", want, got, size);
        memset(got, 0, (size_t)size * sizeof *got);
        if (pairs_product(&s.v, &s.g, 3, s.v.scale * s.g.scale, got) != few[i].gradients)
            fail_msg("%s: V'G: the other way", c->what);
        if (few[i].gradients) near(c, "pairs with gradients", cross, got, s.v.columns * s.g.columns);
        void *const blocks[] = { at, v, g, got, want, cross };
        for (size_t k = 0; k < sizeof blocks / sizeof *blocks; k++) mem_free(blocks[k]);
        subject_free(&s);
        check(c, BATCH, few[i].draws, some, 5);
        check(c, 3, 1, NULL, 0);
    }
}

/* More samples than a tile of pairs holds, more columns than a tile of formed ones. */
static void test_tiles(void **state) {
    static const net_case wide[] = {
        { "tiles of pairs",
          { 2, 6, 6 },
          "mse",
          { CONV(4), OP("relu"), { "conv2d", "out_channels=5, kernel=3, padding=1", NULL }, OP("global_avg_pool2d"), LINEAR(33) } },
        { "tiles of columns",
          { 2, 18, 18 },
          "mse",
          { CONV(4), OP("relu"), { "conv2d", "out_channels=5, kernel=3, padding=1", NULL }, OP("global_avg_pool2d"), LINEAR(33) } }
    };
    (void)state;
    for (int i = 0; i < 2; i++) check(&wide[i], 9, 0, NULL, 0);
}

/* ---- kernels ---- */

enum { CHANNELS = 5, ENTRIES = 40, PLACES = 24 };

/* What a kernel makes of lists of 0 to 7 and of 0, 4 or 8 entries to a channel. */
static void check_kernel(int32_t most, int64_t rows) {
    int64_t begin_a[CHANNELS + 1] = { 0, 7, 7, 8, 11, 16 }, begin_b[CHANNELS + 1] = { 0, 4, 12, 12, 16, 24 }, at_a[ENTRIES],
                               at_b[ENTRIES];
    pitot_real la[ENTRIES * GATHER_SIDE], lb[ENTRIES * GATHER_ROWS], w[PLACES * PLACES], out[GATHER_ROWS * GATHER_SIDE];
    for (uint64_t i = 0; i < ENTRIES * GATHER_SIDE; i++) la[i] = (pitot_real)(random_uniform(1, 2, 3, i) - 0.5);
    for (uint64_t i = 0; i < ENTRIES * GATHER_ROWS; i++) lb[i] = (pitot_real)(random_uniform(1, 2, 4, i) - 0.5);
    for (uint64_t i = 0; i < PLACES * PLACES; i++) w[i] = (pitot_real)(random_uniform(1, 2, 5, i) - 0.5);
    for (uint64_t i = 0; i < ENTRIES; i++) {
        at_a[i] = (int64_t)(PLACES * random_uniform(1, 2, 6, i)) * PLACES;
        at_b[i] = (int64_t)(PLACES * random_uniform(1, 2, 7, i));
    }
    gather_list a = { begin_a, at_a, la }, b = { begin_b, at_b, lb };
    gather_choose_pair(most)(CHANNELS, rows, &a, &b, w, out);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < GATHER_SIDE; i++) {
            double want = 0;
            for (int64_t c = 0; c < CHANNELS; c++)
                for (int64_t p = begin_a[c]; p < begin_a[c + 1]; p++)
                    for (int64_t q = begin_b[c]; q < begin_b[c + 1]; q++)
                        want += (double)w[at_a[p] + at_b[q]] * (double)la[p * GATHER_SIDE + i] * (double)lb[q * rows + r];
            double got = (double)out[r * GATHER_SIDE + i];
            if (!(fabs(want - got) <= exact))
                fail_msg("kernel %d: %lld %lld: %g, must be %g", most, (long long)r, (long long)i, got, want);
        }
}

static void test_kernels(void **state) {
    (void)state;
    for (int32_t most = GATHER_BEST; most <= GATHER_AVX512; most++)
        for (int64_t n = 1; n <= GATHER_ROWS; n++) check_kernel(most, gather_rows(n));
}

/* ---- eigenvalues of Gram matrices ---- */

/* Against LAPACK's, in double: of random matrices, scaled as they may come; the same bits again. */
static void check_eigenvalues(int64_t n, double scale, int threads) {
    int64_t more = blas_eigenvalues_work(n);
    double *a = mem_alloc(n, (size_t)n * sizeof *a), *copy = mem_alloc(n, (size_t)n * sizeof *a),
           *value = mem_alloc(3 * n, sizeof *a);
    double *work = mem_alloc(more, sizeof *work), most = 0;
    pitot_real *room = mem_alloc(blas_real_eigenvalues_work(threads, n), sizeof *room);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++) {
            double x = (random_uniform(7, (uint64_t)n, (uint64_t)i, (uint64_t)j) - 0.5) * (i % 7 == 3 || j % 7 == 3 ? 1e-3 : 1);
            a[i * n + j] = a[j * n + i] = i == 5 ? 0 : x; /* scale comes last: no rounding */
        }
    memcpy(copy, a, (size_t)(n * n) * sizeof *a);
    assert_int_equal(blas_eigenvalues(n, copy, value, work), 0);
    for (int64_t i = 0; i < n * n; i++) a[i] *= scale;
    for (int again = 0; again < 2; again++) {
        for (int64_t i = 0; i < blas_real_eigenvalues_work(threads, n); i++) room[i] = 7;
        assert_int_equal(blas_real_eigenvalues(threads, n, a, value + (1 + again) * n, room), 0);
    }
    assert_memory_equal(value + n, value + 2 * n, (size_t)n * sizeof *value);
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(value[i]));
    for (int64_t i = 0; i < n; i++) { /* round-off of a few rotations and reflections to a value */
        double allowed = 4 * sqrt((double)n) * (sizeof(pitot_real) == 8 ? 0x1p-52 : 0x1p-23);
        if (!(fabs(value[n + i] / scale - value[i]) <= allowed * most))
            fail_msg("%lld of %lld, %d threads: %.17g, must be %.17g", (long long)i, (long long)n, threads, value[n + i] / scale,
                     value[i]);
    }
    void *const blocks[] = { a, copy, value, work, room };
    for (size_t k = 0; k < sizeof blocks / sizeof *blocks; k++) mem_free(blocks[k]);
}

static void test_eigenvalues(void **state) {
    static const int64_t orders[] = { 1, 2, 3, 8, 9, 31, 32, 33, 34, 100, 193, 330 };
    static const double scales[] = { 1, 0x1p300, 0x1p-300 };
    (void)state;
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++)
        for (int threads = 1; threads < 5; threads++) check_eigenvalues(orders[i], scales[(i + (size_t)threads) % 3], threads);
    check_eigenvalues(200, 1, 40);
}

/* Nothing to reflect, nothing at all. */
static void test_diagonal_matrices(void **state) {
    double a[40 * 40] = { 0 }, value[40];
    pitot_real *work = vector(blas_real_eigenvalues_work(2, 40));
    (void)state;
    assert_int_equal(blas_real_eigenvalues(2, 40, a, value, work), 0);
    for (int i = 0; i < 40; i++) assert_true(value[i] == 0);
    for (int i = 0; i < 40; i++) a[i * 41] = i * 7 % 40;
    assert_int_equal(blas_real_eigenvalues(2, 40, a, value, work), 0);
    for (int i = 0; i < 40; i++) assert_true(value[i] == i);
    mem_free(work);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_nets), cmocka_unit_test(test_pairs),       cmocka_unit_test(test_tiles),
        cmocka_unit_test(test_kernels),  cmocka_unit_test(test_eigenvalues), cmocka_unit_test(test_diagonal_matrices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
