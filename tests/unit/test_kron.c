/* Kronecker factors against sums over samples and positions in plain loops, against the GGN where theory says that they are exact, and
   their inverses against what undoes them. */

#include "nets.h"
#include "operators.h"

#include "curve/kron.h"

static const double exact = sizeof(pitot_real) == 8 ? 1e-10 : 2e-4;

static pitot_net_batch plain_batch(int64_t n) {
    pitot_net_batch b = *batch_of(n);
    b.training = 0;
    return b;
}

static pitot_net *net_of(const net_case *c, int64_t n, int32_t threads) {
    pitot_net *net = prepared(c, ROOM, threads);
    pitot_net_batch b = plain_batch(n);
    assert_int_equal(pitot_net_forward(net, &b, NULL), PITOT_OK);
    assert_int_equal(pitot_net_backward(net), PITOT_OK);
    return net;
}

static pitot_kron *kron_of(const net_case *c, pitot_net *net, pitot_kron_config config) {
    pitot_error error = { 0 };
    config.struct_size = sizeof config;
    config.net = net;
    pitot_kron *k = pitot_kron_new(&config, &error);
    if (!k) fail_msg("%s: %s", c->what, error.text);
    return k;
}

#define CONV_NET(attributes)                                                              \
    {                                                                                     \
        "conv: " attributes, { 2, 7, 6 }, "mse", {                                        \
            CONV(4), OP("tanh"), { "conv2d", attributes, NULL }, OP("flatten"), LINEAR(3) \
        }                                                                                 \
    }

static const net_case nets[] = {
    { "mlp, cross_entropy", { 5 }, "cross_entropy", { LINEAR(6), OP("tanh"), LINEAR(4), OP("relu"), LINEAR(3) } },
    { "mlp, mse", { 5 }, "mse", { LINEAR(6), OP("gelu"), LINEAR(4) } },
    { "mlp, bce", { 5 }, "bce_with_logits", { LINEAR(6), OP("sigmoid"), LINEAR(4) } },
    { "many outputs", { 5 }, "mse", { LINEAR(6), OP("tanh"), LINEAR(29) } },
    CONV_NET("out_channels=3, kernel=3"),
    CONV_NET("out_channels=3, kernel=3, stride=2, padding=1"),
    CONV_NET("out_channels=3, kernel=3,2, stride=2,1, padding=1,0"),
    CONV_NET("out_channels=3, kernel=2,3, dilation=3,1, stride=1,2, padding=1,2"),
    CONV_NET("out_channels=4, kernel=3, padding=1, groups=2"),
    CONV_NET("out_channels=8, kernel=3,1, stride=2, groups=4, bias=false"),
    { "conv last", { 2, 5, 6 }, "mse", { CONV(3), OP("relu"), { "max_pool2d", "kernel=2", NULL }, CONV(2) } },
    { "residual", { 2, 4, 4 }, "mse", { CONV(2), OP("tanh"), ON("add", "input 1"), CONV(2), OP("flatten"), LINEAR(3) } },
};
enum { NETS = sizeof nets / sizeof *nets };

/* ---- columns by vjp: rows (N * columns, D), each sample's J's ---- */

static double *column_rows(pitot_net *net, int64_t *rows) {
    int64_t n = net->last.n, c = outputs_of(net), columns = c - net->loss->less, d = net->size;
    pitot_real *s = vector(n * c), *back = vector(d);
    double *out = mem_alloc(n * columns, (size_t)d * sizeof *out);
    for (int64_t r = 0; r < n * columns; r++) {
        int64_t k = r / columns, j = r % columns;
        memset(s, 0, (size_t)(n * c) * sizeof *s);
        net->loss->root(c, pitot_net_output(net) + k * c, j, j + 1, s + k * c);
        assert_int_equal(pitot_net_vjp(net, s, back), PITOT_OK);
        for (int64_t i = 0; i < d; i++) out[r * d + i] = (double)back[i];
    }
    mem_free(s);
    mem_free(back);
    *rows = n * columns;
    return out;
}

/* Value (i,j) of a block's matrix in a vector of D values */
static int64_t place(const pitot_net *net, const pitot_kron_block *b, int64_t i, int64_t j) {
    int64_t values = b->columns - (b->bias >= 0);
    if (j == values) return net->flat[b->bias] + b->first_row + i;
    return net->flat[b->weight] + (b->first_row + i) * values + j;
}

/* ---- what layers saw, in plain loops ---- */

typedef struct seen { /* of one block: inputs (n, T, columns) and, of one column of each sample, output gradients (n, T, rows) */
    int64_t t;
    double *a, *s;
} seen;

static double image(const pitot_capture *c, const pitot_real *x, int64_t channel, int64_t y, int64_t xx) {
    if (y < 0 || y >= c->h || xx < 0 || xx >= c->w) return 0;
    return (double)x[(channel * c->h + y) * c->w + xx];
}

/* One position of one sample: (columns) */
static void see_patch(const pitot_net *net, const pitot_kron_block *b, const pitot_capture *c, int64_t m, int64_t oy, int64_t ox,
                      double *a) {
    const int64_t *w = net->param[b->weight].shape;
    int64_t channels = w[1];
    const pitot_real *x = (const pitot_real *)c->A + (m * channels * c->groups + b->group * channels) * c->h * c->w;
    for (int64_t i = 0; i < channels; i++)
        for (int64_t ky = 0; ky < w[2]; ky++)
            for (int64_t kx = 0; kx < w[3]; kx++)
                *a++ = image(c, x, i, oy * c->stride[0] - c->padding[0] + ky * c->dilation[0],
                             ox * c->stride[1] - c->padding[1] + kx * c->dilation[1]);
    if (b->bias >= 0) *a = 1;
}

static pitot_capture capture_of(const pitot_net *net, const pitot_kron_block *b) {
    pitot_capture c;
    for (int64_t i = 0; pitot_net_capture(net, i, &c) != PITOT_EINVAL; i++)
        if (c.weight == b->weight + 1) return c;
    fail_msg("%s: no capture", b->name);
    return c;
}

static seen see(const pitot_net *net, const pitot_kron_block *b) {
    pitot_capture c = capture_of(net, b);
    const node *d = NULL;
    for (int32_t i = 0; i < net->n_nodes; i++)
        if (net->buffer[i].weight == b->weight) d = &net->node[i];
    int is_conv = c.kind == PITOT_CONV2D;
    int64_t n = net->last.n, wide = is_conv ? d->out.dim[2] : 1, t = is_conv ? d->out.dim[1] * wide : 1, all = d->out.size / t;
    seen v = { t, mem_alloc(n * t, (size_t)b->columns * sizeof(double)), mem_alloc(n * t, (size_t)b->rows * sizeof(double)) };
    for (int64_t m = 0; m < n; m++)
        for (int64_t p = 0; p < t; p++) {
            double *a = v.a + (m * t + p) * b->columns;
            if (is_conv) see_patch(net, b, &c, m, p / wide, p % wide, a);
            for (int64_t i = 0; !is_conv && i < b->columns; i++)
                a[i] = i < d->in[0].size ? (double)((const pitot_real *)c.A)[m * d->in[0].size + i] : 1;
            for (int64_t i = 0; i < b->rows; i++)
                v.s[(m * t + p) * b->rows + i] =
                    (double)n * (double)((const pitot_real *)c.G)[(m * all + b->first_row + i) * t + p];
        }
    return v;
}

static void forget(seen *v) {
    mem_free(v->a);
    mem_free(v->s);
}

/* to (n,n) += scale * sum of x x', over positions or of their sum times share */
static void add_outer(const double *x, int64_t samples, int64_t t, int64_t n, double scale, int reduce, double share, double *to) {
    double *sum = mem_alloc(n, sizeof *sum);
    for (int64_t m = 0; m < samples; m++) {
        for (int64_t i = 0; i < n; i++) sum[i] = 0;
        for (int64_t p = 0; p < t; p++)
            for (int64_t i = 0; i < n; i++) sum[i] += share * x[(m * t + p) * n + i];
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++) {
                if (reduce) to[i * n + j] += scale * sum[i] * sum[j];
                for (int64_t p = 0; !reduce && p < t; p++) to[i * n + j] += scale * x[(m * t + p) * n + i] * x[(m * t + p) * n + j];
            }
    }
    mem_free(sum);
}

static void check_matrix(const net_case *c, const char *what, const char *where, const double *want, const pitot_real *got,
                         int64_t n) {
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(want[i]));
    assert_true(most > 0);
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(want[i] - (double)got[i]) <= exact * most))
            fail_msg("%s: %s of layer %s: %lld is %.12g, must be %.12g", c->what, what, where, (long long)i, (double)got[i],
                     want[i]);
}

static void check_a(const net_case *c, const pitot_net *net, const pitot_kron_block *b, int reduce) {
    seen v = see(net, b);
    double n = (double)net->last.n, *want = mem_alloc(b->columns * b->columns, sizeof *want);
    add_outer(v.a, net->last.n, v.t, b->columns, reduce ? 1 / n : 1 / n / (double)v.t, reduce, 1 / (double)v.t, want);
    check_matrix(c, "A", b->name, want, b->A, b->columns * b->columns);
    mem_free(want);
    forget(&v);
}

static void check_b(const net_case *c, const pitot_net *net, const pitot_kron_block *b, int reduce, double *want, int last) {
    seen v = see(net, b);
    add_outer(v.s, net->last.n, v.t, b->rows, 1 / (double)net->last.n, reduce, 1, want);
    if (last) check_matrix(c, "B", b->name, want, b->B, b->rows * b->rows);
    forget(&v);
}

/* Targets such that the gradient of every sample's loss is the j-th column of its root: squared errors alone. */
static void aim(pitot_net *net, int64_t j) {
    int64_t n = net->last.n, c = outputs_of(net);
    pitot_real *targets = vector(n * c), *s = vector(c);
    for (int64_t k = 0; k < n; k++) {
        net->loss->root(c, pitot_net_output(net) + k * c, j, j + 1, s);
        for (int64_t i = 0; i < c; i++) targets[k * c + i] = pitot_net_output(net)[k * c + i] - (pitot_real)c / 2 * s[i];
    }
    pitot_net_batch b = plain_batch(n);
    b.targets = targets;
    assert_int_equal(pitot_net_forward(net, &b, NULL), PITOT_OK);
    assert_int_equal(pitot_net_backward(net), PITOT_OK);
    mem_free(targets);
    mem_free(s);
}

static void check_mse_factors(const net_case *c, int reduce, int32_t threads) {
    pitot_net *net = net_of(c, BATCH, threads);
    pitot_kron *k = kron_of(c, net, (pitot_kron_config){ .kind = PITOT_KRON_KFLR, .sharing = reduce });
    double **want = mem_alloc(k->n, sizeof *want);
    int64_t columns = outputs_of(net);
    for (int64_t j = 0; j < columns; j++) {
        aim(net, j);
        for (int64_t i = 0; i < k->n; i++) {
            pitot_kron_block b;
            assert_int_equal(pitot_kron_factor(k, i, &b), PITOT_OK);
            if (j == 0) want[i] = mem_alloc(b.rows * b.rows, sizeof **want);
            if (j == 0) check_a(c, net, &b, reduce);
            check_b(c, net, &b, reduce, want[i], j == columns - 1);
        }
    }
    for (int64_t i = 0; i < k->n; i++) mem_free(want[i]);
    mem_free(want);
    pitot_kron_free(k);
    pitot_net_free(net);
}

static void test_factors(void **state) {
    (void)state;
    for (int i = 0; i < NETS; i++)
        for (int reduce = 0; reduce < 2; reduce++)
            if (strcmp(nets[i].loss, "mse") == 0) check_mse_factors(&nets[i], reduce, 1 + (i + reduce) % 2);
}

/* Any loss: what a bias gets is s itself, or, of a convolution, its sum over positions. */
static void check_bias_gradients(const net_case *c, int separate) {
    pitot_net *net = net_of(c, BATCH, 2);
    pitot_kron *k =
        kron_of(c, net, (pitot_kron_config){ .kind = PITOT_KRON_KFLR, .sharing = PITOT_KRON_REDUCE, .separate_bias = separate });
    int64_t rows;
    double *r = column_rows(net, &rows);
    pitot_kron_block b;
    for (int64_t i = 0; pitot_kron_factor(k, i, &b) == PITOT_OK; i++) {
        int32_t bias = b.bias >= 0 ? b.bias : b.weight + 1;
        double *want = mem_alloc(b.rows * b.rows, sizeof *want);
        if (b.bias < 0 && !separate) continue;
        for (int64_t q = 0; q < rows; q++)
            for (int64_t x = 0; x < b.rows; x++)
                for (int64_t y = 0; y < b.rows; y++) {
                    const double *s = r + q * net->size + net->flat[bias] + b.first_row;
                    want[x * b.rows + y] += s[x] * s[y] / BATCH;
                }
        check_matrix(c, "B by biases", b.name, want, b.B, b.rows * b.rows);
        if (b.weight < 0) assert_true(b.columns == 1 && fabs((double)b.A[0] - 1) <= exact);
        mem_free(want);
    }
    mem_free(r);
    pitot_kron_free(k);
    pitot_net_free(net);
}

static void test_bias_gradients(void **state) {
    (void)state;
    for (int i = 0; i < NETS; i++)
        if (!strstr(nets[i].what, "bias=false")) check_bias_gradients(&nets[i], i % 2);
}

/* The batch's own gradients, and B = I. */
static void test_other_kinds(void **state) {
    (void)state;
    for (int i = 0; i < NETS; i++)
        for (int reduce = 0; reduce < 2; reduce++) {
            pitot_net *net = net_of(&nets[i], BATCH, 2);
            pitot_kron *e = kron_of(&nets[i], net, (pitot_kron_config){ .kind = PITOT_KRON_EMPIRICAL, .sharing = reduce });
            pitot_kron *in = kron_of(&nets[i], net, (pitot_kron_config){ .kind = PITOT_KRON_INPUT, .sharing = reduce });
            pitot_kron_block b, f;
            for (int64_t j = 0; pitot_kron_factor(e, j, &b) == PITOT_OK; j++) {
                double *want = mem_alloc(b.rows * b.rows, sizeof *want);
                check_a(&nets[i], net, &b, reduce);
                check_b(&nets[i], net, &b, reduce, want, 1);
                assert_int_equal(pitot_kron_factor(in, j, &f), PITOT_OK);
                check_a(&nets[i], net, &f, reduce);
                for (int64_t p = 0; p < b.rows * b.rows; p++) assert_true((double)f.B[p] == (p % (b.rows + 1) == 0));
                mem_free(want);
            }
            pitot_kron_free(e);
            pitot_kron_free(in);
            pitot_net_free(net);
        }
}

/* ---- operators ---- */

/* y = (B + on_b I) X (A + on_a I), block by block, in plain loops; 0 elsewhere */
static void multiply_plainly(const pitot_net *net, const pitot_kron *k, const pitot_real *x, const double *on_a, const double *on_b,
                             pitot_real *y) {
    pitot_kron_block b;
    memset(y, 0, (size_t)net->size * sizeof *y);
    for (int64_t n = 0; pitot_kron_factor(k, n, &b) == PITOT_OK; n++) {
        double *half = mem_alloc(b.rows, (size_t)b.columns * sizeof *half), da = on_a ? on_a[n] : 0, db = on_b ? on_b[n] : 0;
        for (int64_t i = 0; i < b.rows; i++)
            for (int64_t q = 0; q < b.rows; q++)
                for (int64_t j = 0; j < b.columns; j++)
                    half[i * b.columns + j] += ((double)b.B[i * b.rows + q] + (i == q ? db : 0)) * (double)x[place(net, &b, q, j)];
        for (int64_t i = 0; i < b.rows; i++)
            for (int64_t j = 0; j < b.columns; j++) {
                double sum = 0;
                for (int64_t q = 0; q < b.columns; q++)
                    sum += half[i * b.columns + q] * ((double)b.A[q * b.columns + j] + (j == q ? da : 0));
                y[place(net, &b, i, j)] = (pitot_real)sum;
            }
        mem_free(half);
    }
}

static void test_operator(void **state) {
    (void)state;
    for (int i = 0; i < NETS; i++)
        for (int separate = 0; separate < 2; separate++) {
            pitot_net *net = net_of(&nets[i], BATCH, 2);
            pitot_kron *k = kron_of(&nets[i], net, (pitot_kron_config){ .kind = PITOT_KRON_KFLR, .separate_bias = separate });
            pitot_linop made;
            pitot_real *x = random_vector(2 * net->size, 1), *got = vector(2 * net->size), *want = vector(net->size);
            assert_int_equal(pitot_kron_operator(k, &made), PITOT_OK);
            assert_true(made.n == net->size && pitot_kron_size(k) == net->size && made.symmetric && made.exact);
            assert_int_equal(made.apply(made.self, x, got, 2), PITOT_OK);
            for (int j = 0; j < 2; j++) {
                multiply_plainly(net, k, x + j * net->size, NULL, NULL, want);
                compare(&nets[i], "operator", want, got + j * net->size, net->size, exact);
            }
            mem_free(x);
            mem_free(got);
            mem_free(want);
            pitot_kron_free(k);
            pitot_net_free(net);
        }
}

/* ---- where theory says that they are exact ---- */

/* C e_p against the GGN's block, for every value of every block */
static void check_blocks(const net_case *c, pitot_kron_config config, int64_t n) {
    pitot_net *net = net_of(c, n, 2);
    pitot_kron *k = kron_of(c, net, config);
    pitot_linop made;
    pitot_kron_block b;
    pitot_real *e = vector(net->size), *got = vector(net->size), *want = vector(net->size);
    assert_int_equal(pitot_kron_operator(k, &made), PITOT_OK);
    memset(e, 0, (size_t)net->size * sizeof *e);
    for (int64_t i = 0; pitot_kron_factor(k, i, &b) == PITOT_OK; i++)
        for (int64_t p = 0; p < b.rows * b.columns; p += 1 + b.rows * b.columns / 40) {
            int64_t at = place(net, &b, p / b.columns, p % b.columns);
            e[at] = 1;
            assert_int_equal(made.apply(made.self, e, got, 1), PITOT_OK);
            assert_int_equal(pitot_net_ggnvp(net, e, want), PITOT_OK);
            for (int64_t j = 0; j < net->size; j++) { /* other blocks are not its business */
                int inside = 0;
                for (int64_t q = 0; !inside && q < b.rows * b.columns; q++)
                    inside = place(net, &b, q / b.columns, q % b.columns) == j;
                if (!inside) want[j] = 0;
            }
            compare(c, "exact case", want, got, net->size, exact * 10);
            e[at] = 0;
        }
    mem_free(e);
    mem_free(got);
    mem_free(want);
    pitot_kron_free(k);
    pitot_net_free(net);
}

static void test_exact_cases(void **state) {
    (void)state;
    static const net_case deep = { "deep linear", { 5 }, "mse", { LINEAR(6), LINEAR(4), LINEAR(3) } };
    static const net_case apart = {
        "linear, positions apart", { 2, 5, 4 }, "mse", { CONV(3), { "conv2d", "out_channels=2, kernel=1", NULL } }
    };
    static const net_case whole = {
        "kernel as large as its input", { 2, 3, 3 }, "mse", { { "conv2d", "out_channels=4, kernel=3", NULL } }
    };
    check_blocks(&deep, (pitot_kron_config){ .kind = PITOT_KRON_KFLR }, BATCH);
    check_blocks(&deep, (pitot_kron_config){ .kind = PITOT_KRON_KFRA }, BATCH);
    check_blocks(&nets[0], (pitot_kron_config){ .kind = PITOT_KRON_KFLR }, 1);
    check_blocks(&nets[0], (pitot_kron_config){ .kind = PITOT_KRON_KFRA }, 1);
    check_blocks(&nets[2], (pitot_kron_config){ .kind = PITOT_KRON_KFLR, .corrected = 1 }, 1);
    check_blocks(&apart, (pitot_kron_config){ .kind = PITOT_KRON_KFLR, .sharing = PITOT_KRON_EXPAND }, BATCH);
    check_blocks(&whole, (pitot_kron_config){ .kind = PITOT_KRON_KFLR, .sharing = PITOT_KRON_EXPAND }, BATCH);
    check_blocks(&whole, (pitot_kron_config){ .kind = PITOT_KRON_KFLR, .sharing = PITOT_KRON_REDUCE }, BATCH);
    static const net_case reduced = {
        "linear, pooled at once", { 2, 5, 4 }, "mse", { CONV(3), { "global_avg_pool2d", NULL, NULL }, LINEAR(3) }
    };
    check_blocks(&reduced, (pitot_kron_config){ .kind = PITOT_KRON_KFLR, .sharing = PITOT_KRON_REDUCE }, BATCH);
}

/* ---- drawn labels: in the mean, KFLR's B ---- */

static void check_draws(const net_case *c, int64_t draws) {
    enum { SEEDS = 400 };
    pitot_net *net = net_of(c, BATCH, 2);
    pitot_kron *want = kron_of(c, net, (pitot_kron_config){ .kind = PITOT_KRON_KFLR });
    double *sum[8], *squares[8];
    pitot_kron_block b, w;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        pitot_kron *k = kron_of(c, net, (pitot_kron_config){ .kind = PITOT_KRON_KFAC, .draws = draws, .seed = seed });
        for (int64_t i = 0; pitot_kron_factor(k, i, &b) == PITOT_OK; i++) {
            int64_t size = b.rows * b.rows;
            assert_true(i < 8);
            if (seed == 0) sum[i] = mem_alloc(size, sizeof **sum), squares[i] = mem_alloc(size, sizeof **sum);
            for (int64_t j = 0; j < size; j++) sum[i][j] += (double)b.B[j], squares[i][j] += (double)b.B[j] * (double)b.B[j];
        }
        pitot_kron_free(k);
    }
    for (int64_t i = 0; pitot_kron_factor(want, i, &w) == PITOT_OK; i++) {
        for (int64_t j = 0; j < w.rows * w.rows; j++) {
            double mean = sum[i][j] / SEEDS, error = sqrt(fmax(0, squares[i][j] / SEEDS - mean * mean) / SEEDS);
            if (!(fabs(mean - (double)w.B[j]) <= 5 * error + exact * fabs((double)w.B[j])))
                fail_msg("%s: B of %s, %lld: %g +- %g, exact %g", c->what, w.name, (long long)j, mean, error, (double)w.B[j]);
        }
        mem_free(sum[i]);
        mem_free(squares[i]);
    }
    pitot_kron_free(want);
    pitot_net_free(net);
}

static void test_draws(void **state) {
    (void)state;
    check_draws(&nets[0], 1);
    check_draws(&nets[1], 3);
    check_draws(&nets[2], 2);
    check_draws(&nets[10], 1);
}

/* ---- EKFAC ---- */

/* |G - C|_F^2 over a block, G = R'R / N of the columns' rows */
static double block_error(const pitot_net *net, const pitot_kron *k, const pitot_kron_block *b, const double *r, int64_t rows) {
    pitot_linop made;
    pitot_real *e = vector(net->size), *got = vector(net->size);
    double sum = 0;
    pitot_kron_operator((pitot_kron *)k, &made);
    memset(e, 0, (size_t)net->size * sizeof *e);
    for (int64_t p = 0; p < b->rows * b->columns; p++) {
        int64_t at = place(net, b, p / b->columns, p % b->columns);
        e[at] = 1;
        assert_int_equal(made.apply(made.self, e, got, 1), PITOT_OK);
        e[at] = 0;
        for (int64_t q = 0; q < b->rows * b->columns; q++) {
            int64_t to = place(net, b, q / b->columns, q % b->columns);
            double g = 0;
            for (int64_t i = 0; i < rows; i++) g += r[i * net->size + at] * r[i * net->size + to] / (double)net->last.n;
            sum += (g - (double)got[to]) * (g - (double)got[to]);
        }
    }
    mem_free(e);
    mem_free(got);
    return sum;
}

/* Each corrected value from whole gradients in the bases. */
static void check_corrected(const net_case *c, const pitot_net *net, const pitot_kron *k, const double *r, int64_t rows) {
    pitot_kron_block b;
    for (int64_t n = 0; pitot_kron_factor(k, n, &b) == PITOT_OK; n++) {
        const kron_block *in = &k->block[n];
        double most = 0;
        for (int64_t p = 0; p < b.rows * b.columns; p++) most = fmax(most, in->corrected[p]);
        for (int64_t p = 0; p < b.rows * b.columns; p += 1 + b.rows * b.columns / 30) {
            double want = 0;
            for (int64_t q = 0; q < rows; q++) {
                double sum = 0;
                for (int64_t x = 0; x < b.rows * b.columns; x++)
                    sum += r[q * net->size + place(net, &b, x / b.columns, x % b.columns)] *
                           (double)in->ub[p / b.columns * b.rows + x / b.columns] *
                           (double)in->ua[p % b.columns * b.columns + x % b.columns];
                want += sum * sum / (double)net->last.n;
            }
            if (!(fabs(want - in->corrected[p]) <= exact * most))
                fail_msg("%s: %s: corrected value %lld is %g, must be %g", c->what, b.name, (long long)p, in->corrected[p], want);
        }
    }
}

static void check_ekfac(const net_case *c, int reduce, int separate) {
    pitot_net *net = net_of(c, BATCH, 2);
    pitot_kron_config config = { .kind = PITOT_KRON_KFLR, .sharing = reduce, .separate_bias = separate };
    pitot_kron *k = kron_of(c, net, config);
    config.corrected = 1;
    pitot_kron *ek = kron_of(c, net, config);
    int64_t rows;
    double *r = column_rows(net, &rows), better = 0;
    check_corrected(c, net, ek, r, rows);
    pitot_kron_block b;
    for (int64_t i = 0; pitot_kron_factor(k, i, &b) == PITOT_OK; i++) {
        double plain = block_error(net, k, &b, r, rows), corrected = block_error(net, ek, &b, r, rows);
        if (!(corrected <= plain * (1 + exact) + exact * exact))
            fail_msg("%s: %s: EKFAC errs by %g, K-FAC by %g", c->what, b.name, corrected, plain);
        better += plain - corrected;
    }
    assert_true(better > 0);
    mem_free(r);
    pitot_kron_free(k);
    pitot_kron_free(ek);
    pitot_net_free(net);
}

static void test_ekfac(void **state) {
    (void)state;
    static const int some[] = { 0, 2, 8, 10 };
    for (int i = 0; i < 4; i++) check_ekfac(&nets[some[i]], i % 2, i == 2);
}

/* ---- inverses ---- */

static void check_inverse(const net_case *c, pitot_kron_config config, int32_t kind, double damping) {
    pitot_net *net = net_of(c, BATCH, 2);
    pitot_kron *k = kron_of(c, net, config);
    pitot_kron_inverse inverse;
    pitot_linop made;
    pitot_real *x = random_vector(net->size, 3), *y = vector(2 * net->size), *back = vector(net->size);
    double on_a[16], on_b[16];
    pitot_kron_block b;
    for (int64_t i = 0; pitot_kron_factor(k, i, &b) == PITOT_OK; i++) {
        double ta = 0, tb = 0;
        for (int64_t j = 0; j < b.columns; j++) ta += (double)b.A[j * (b.columns + 1)];
        for (int64_t j = 0; j < b.rows; j++) tb += (double)b.B[j * (b.rows + 1)];
        double pi = kind == PITOT_KRON_PI ? sqrt(ta / (double)b.columns / (tb / (double)b.rows)) : 1;
        on_a[i] = pi * sqrt(damping);
        on_b[i] = sqrt(damping) / pi;
    }
    assert_int_equal(pitot_kron_invert(k, damping, kind, &inverse, NULL), PITOT_OK);
    assert_int_equal(inverse.op.apply(inverse.op.self, x, y, 1), PITOT_OK);
    pitot_kron_operator(k, &made);
    if (kind == PITOT_KRON_EXACT) {
        assert_int_equal(made.apply(made.self, y, back, 1), PITOT_OK);
        for (int64_t i = 0; i < net->size; i++) back[i] += (pitot_real)(damping * (double)y[i]);
    } else multiply_plainly(net, k, y, on_a, on_b, back);
    compare(c, "inverse", x, back, net->size, exact * 1e2);
    mem_free(x);
    mem_free(y);
    mem_free(back);
    pitot_kron_free(k);
    pitot_net_free(net);
}

static void test_inverse(void **state) {
    (void)state;
    static const int some[] = { 0, 1, 5, 8 };
    for (int i = 0; i < 4; i++) {
        for (int kind = PITOT_KRON_EXACT; kind <= PITOT_KRON_PLAIN; kind++)
            check_inverse(&nets[some[i]], (pitot_kron_config){ .kind = PITOT_KRON_KFLR, .separate_bias = i % 2 }, kind, 0.03);
        check_inverse(&nets[some[i]], (pitot_kron_config){ .kind = PITOT_KRON_KFLR, .corrected = 1 }, PITOT_KRON_EXACT, 0.03);
        check_inverse(&nets[some[i]], (pitot_kron_config){ .kind = PITOT_KRON_INPUT }, PITOT_KRON_PI, 0.1);
    }
}

/* Numbers of C from its dense matrix. */
static void check_facts(const net_case *c, pitot_kron_config config) {
    pitot_net *net = net_of(c, BATCH, 1);
    pitot_kron *k = kron_of(c, net, config);
    pitot_linop made;
    int64_t d = net->size;
    pitot_real *e = vector(d), *column = vector(d);
    double *dense = mem_alloc(d * d, sizeof *dense), trace = 0, squares = 0, logdet = 0, delta = 0.02;
    pitot_kron_operator(k, &made);
    memset(e, 0, (size_t)d * sizeof *e);
    for (int64_t i = 0; i < d; i++) {
        e[i] = 1;
        made.apply(made.self, e, column, 1);
        e[i] = 0;
        for (int64_t j = 0; j < d; j++) dense[i * d + j] = (double)column[j];
    }
    double *value = lapack_values(dense, d);
    for (int64_t i = 0; i < d; i++) trace += value[i], squares += value[i] * value[i], logdet += log(value[i] + delta);
    pitot_kron_facts f;
    assert_int_equal(pitot_kron_get_facts(k, delta, &f), PITOT_OK);
    assert_true(fabs(f.trace - trace) <= exact * trace && fabs(f.frobenius - sqrt(squares)) <= exact * sqrt(squares));
    assert_true(fabs(f.largest - value[d - 1]) <= exact * f.largest && fabs(f.logdet - logdet) <= exact * 10 * fabs(logdet));
    mem_free(e);
    mem_free(column);
    mem_free(dense);
    mem_free(value);
    pitot_kron_free(k);
    pitot_net_free(net);
}

static void test_facts(void **state) {
    (void)state;
    static const net_case unread = {
        "a layer that nobody reads", { 6 }, "mse", { LINEAR(5), { "linear", "out_features=3", "0" }, ON("tanh", "0"), LINEAR(2) }
    };
    check_facts(&nets[0], (pitot_kron_config){ .kind = PITOT_KRON_KFLR });
    check_facts(&nets[1], (pitot_kron_config){ .kind = PITOT_KRON_EMPIRICAL, .corrected = 1 });
    check_facts(&unread, (pitot_kron_config){ .kind = PITOT_KRON_KFLR });
}

/* ---- KFRA ---- */

/* Two layers with tanh between: S = E[d2 l/df2] and E[f' f''] . (W' S W), in plain loops. */
static void test_recursion(void **state) {
    (void)state;
    enum { IN = 3, H = 5, O = 4 };
    net_case c = { "recursion", { IN }, "cross_entropy", { LINEAR(5), OP("tanh"), LINEAR(4) } };
    pitot_net *net = net_of(&c, BATCH, 2);
    pitot_kron *k = kron_of(&c, net, (pitot_kron_config){ .kind = PITOT_KRON_KFRA });
    const pitot_real *w1 = net->param[0].data, *b1 = net->param[1].data, *w2 = net->param[2].data;
    double s[O * O] = { 0 }, below[H * H] = { 0 }, slopes[H * H] = { 0 };
    for (int n = 0; n < BATCH; n++) {
        double p[O], sum = 0, slope[H];
        for (int i = 0; i < O; i++) sum += p[i] = exp((double)pitot_net_output(net)[n * O + i]);
        for (int i = 0; i < O; i++)
            for (int j = 0; j < O; j++) s[i * O + j] += ((i == j) * p[i] / sum - p[i] * p[j] / sum / sum) / BATCH;
        for (int j = 0; j < H; j++) {
            double a = (double)b1[j];
            for (int i = 0; i < IN; i++) a += (double)w1[j * IN + i] * (double)data.x[n * IN + i];
            slope[j] = 1 - tanh(a) * tanh(a);
        }
        for (int i = 0; i < H * H; i++) slopes[i] += slope[i / H] * slope[i % H] / BATCH;
    }
    for (int x = 0; x < H * H; x++) {
        for (int i = 0; i < O; i++)
            for (int j = 0; j < O; j++) below[x] += (double)w2[i * H + x / H] * s[i * O + j] * (double)w2[j * H + x % H];
        below[x] *= slopes[x];
    }
    pitot_kron_block b;
    assert_int_equal(pitot_kron_factor(k, 0, &b), PITOT_OK);
    check_matrix(&c, "B", b.name, below, b.B, H * H);
    assert_int_equal(pitot_kron_factor(k, 1, &b), PITOT_OK);
    check_matrix(&c, "B", b.name, s, b.B, O * O);
    pitot_kron_free(k);
    pitot_net_free(net);
}

/* ---- what is refused, and what stays ---- */

static int32_t status_of(pitot_net *net, pitot_kron_config config) {
    pitot_error error = { 0 };
    config.net = net;
    pitot_kron *k = pitot_kron_new(&config, &error);
    assert_true(!k == (error.status != PITOT_OK) && (!k || !error.text[0]));
    pitot_kron_free(k);
    return error.status;
}

static void test_refusals(void **state) {
    (void)state;
    pitot_net *fresh = prepared(&nets[0], ROOM, 1), *net = net_of(&nets[0], BATCH, 1), *planes = net_of(&nets[5], BATCH, 1);
    pitot_kron_inverse v;
    pitot_kron_facts f;
    pitot_kron_block b;
    assert_int_equal(status_of(NULL, (pitot_kron_config){ .kind = 1 }), PITOT_EINVAL);
    assert_null(pitot_kron_new(NULL, NULL));
    assert_int_equal(status_of(fresh, (pitot_kron_config){ .kind = 1 }), PITOT_EORDER);
    assert_int_equal(status_of(net, (pitot_kron_config){ .kind = 0 }), PITOT_EINVAL);
    assert_int_equal(status_of(net, (pitot_kron_config){ .kind = 6 }), PITOT_EINVAL);
    assert_int_equal(status_of(net, (pitot_kron_config){ .kind = 1, .sharing = 2 }), PITOT_EINVAL);
    assert_int_equal(status_of(net, (pitot_kron_config){ .kind = 1, .draws = -1 }), PITOT_EINVAL);
    assert_int_equal(status_of(net, (pitot_kron_config){ .kind = PITOT_KRON_KFRA, .corrected = 1 }), PITOT_ENOTSUP);
    assert_int_equal(status_of(planes, (pitot_kron_config){ .kind = PITOT_KRON_KFRA }), PITOT_ENOTSUP);
    pitot_kron *k = kron_of(&nets[0], net, (pitot_kron_config){ .kind = PITOT_KRON_KFAC, .corrected = 1 });
    pitot_linop made;
    assert_true(pitot_kron_operator(k, &made) == PITOT_OK && !made.exact && strcmp(made.name, "ekfac") == 0);
    assert_int_equal(pitot_kron_invert(k, 0, PITOT_KRON_EXACT, &v, NULL), PITOT_EINVAL);
    assert_int_equal(pitot_kron_invert(k, (double)NAN, PITOT_KRON_EXACT, &v, NULL), PITOT_EINVAL);
    assert_int_equal(pitot_kron_invert(k, 1, 4, &v, NULL), PITOT_EINVAL);
    assert_int_equal(pitot_kron_invert(k, 1, PITOT_KRON_PI, &v, NULL), PITOT_EINVAL);
    assert_int_equal(pitot_kron_get_facts(k, -1, &f), PITOT_EINVAL);
    assert_int_equal(pitot_kron_factor(k, 3, &b), PITOT_EINVAL);
    pitot_kron_free(k);
    pitot_kron_free(NULL);
    net->param[0].data[0] = (pitot_real)NAN;
    pitot_net_batch batch = plain_batch(BATCH);
    pitot_net_forward(net, &batch, NULL);
    pitot_net_backward(net);
    for (int kind = PITOT_KRON_KFAC; kind <= PITOT_KRON_INPUT; kind++)
        assert_int_equal(status_of(net, (pitot_kron_config){ .kind = kind }), PITOT_EHOST);
    pitot_net_free(fresh);
    pitot_net_free(net);
    pitot_net_free(planes);
}

/* Same bits twice; gradients and later products are as they were; every block of memory comes back, and any may be missing. */
static void test_leaves_no_trace(void **state) {
    (void)state;
    pitot_net *net = net_of(&nets[8], BATCH, 2);
    pitot_real *before = vector(net->size), *after = vector(net->size), *first = vector(net->size), *second = vector(net->size);
    pitot_real *x = random_vector(net->size, 9);
    flat_gradient(net, before);
    pitot_kron_free(kron_of(&nets[8], net, (pitot_kron_config){ .kind = PITOT_KRON_KFAC })); /* what the net keeps */
    mem_counts start = mem_count();
    for (int i = 0; i < 2; i++) {
        pitot_kron *k = kron_of(&nets[8], net, (pitot_kron_config){ .kind = PITOT_KRON_KFAC, .corrected = 1, .seed = 4 });
        pitot_linop made;
        pitot_kron_operator(k, &made);
        made.apply(made.self, x, i ? second : first, 1);
        pitot_kron_free(k);
    }
    compare(&nets[8], "again", first, second, net->size, 0);
    flat_gradient(net, after);
    compare(&nets[8], "gradient", before, after, net->size, 0);
    int64_t requests = mem_count().requests, i;
    for (i = 1; i < 1000; i++) {
        mem_fail_at(i, 0);
        int32_t status = status_of(net, (pitot_kron_config){ .kind = PITOT_KRON_KFLR, .corrected = 1 });
        mem_fail_at(0, 0);
        if (!status) break;
        assert_int_equal(status, PITOT_ENOMEM);
        assert_int_equal(mem_count().blocks, start.blocks);
    }
    assert_true(i > 10 && i < 1000 && mem_count().requests > requests);
    assert_int_equal(mem_count().blocks, start.blocks);
    mem_free(before);
    mem_free(after);
    mem_free(first);
    mem_free(second);
    mem_free(x);
    pitot_net_free(net);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_factors),   cmocka_unit_test(test_bias_gradients), cmocka_unit_test(test_other_kinds),
        cmocka_unit_test(test_operator),  cmocka_unit_test(test_exact_cases),    cmocka_unit_test(test_draws),
        cmocka_unit_test(test_ekfac),     cmocka_unit_test(test_inverse),        cmocka_unit_test(test_facts),
        cmocka_unit_test(test_recursion), cmocka_unit_test(test_refusals),       cmocka_unit_test(test_leaves_no_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
