/* Diagonals of curvature, of every op and of nets of all kinds: the exact ones against products with unit vectors and Cockpit's own
   numbers, the drawn ones against the exact in the mean, HesScale where it is exact. */

#include "nets.h"

#include "base/file.h"
#include "net/gather.h"

#include <cjson/cJSON.h>

static const double exact = sizeof(pitot_real) == 8 ? 1e-9 : 1e-4;

static pitot_real *diagonal_of(pitot_net *net, int32_t kind, int per_sample) {
    pitot_real *out = vector(net->size * (per_sample ? net->last.n : 1));
    assert_int_equal(pitot_net_diagonal(net, kind, 3, 5, per_sample, out, NULL), PITOT_OK);
    return out;
}

/* Each parameter by its own largest value. */
static void compare_params(const net_case *c, const char *what, const pitot_net *net, const pitot_real *want,
                           const pitot_real *got) {
    for (int64_t i = 0; i < net->n_params; i++) {
        const pitot_real *a = want + net->flat[i], *b = got + net->flat[i];
        double scale = largest(a, net->param[i].size), floor = exact * exact * largest(want, net->size) + 1e-30;
        for (int64_t j = 0; j < net->param[i].size; j++)
            if (!(fabs((double)a[j] - (double)b[j]) <= exact * scale + floor))
                fail_msg("%s: %s: %s[%lld] is %.12g, must be %.12g", c->what, what, net->param[i].name, (long long)j, (double)b[j],
                         (double)a[j]);
    }
}

/* ---- exact kinds ---- */

typedef int32_t (*product)(pitot_net *net, const pitot_real *in, pitot_real *out);

/* What products with unit vectors say where got stands: of every value, or of many ones evenly spread; elsewhere, got. */
static pitot_real *by_columns(pitot_net *net, product of, const pitot_real *got) {
    enum { MANY = 200 };
    pitot_real *out = vector(net->size), *e = vector(net->size), *column = vector(net->size);
    memcpy(out, got, (size_t)net->size * sizeof *out);
    memset(e, 0, (size_t)net->size * sizeof *e);
    for (int64_t i = 0; i < net->size; i += net->size / MANY + 1) {
        e[i] = 1;
        assert_int_equal(of(net, e, column), PITOT_OK);
        out[i] = column[i];
        e[i] = 0;
    }
    mem_free(e);
    mem_free(column);
    return out;
}

static void check_exact(const net_case *c, int32_t kind, product of, int32_t threads) {
    pitot_net *net = passed(c, BATCH, threads), *one = passed(c, BATCH, 1);
    pitot_real *got = diagonal_of(net, kind, 0), *want = by_columns(one, of, got);
    compare_params(c, kind == PITOT_DIAGONAL_GGN ? "GGN" : "Hessian", net, want, got);
    mem_free(want);
    mem_free(got);
    pitot_net_free(net);
    pitot_net_free(one);
}

static void test_ggn(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++) check_exact(&cases[i], PITOT_DIAGONAL_GGN, pitot_net_ggnvp, 1 + i % 2);
}

static void test_hessian(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++) check_exact(&cases[i], PITOT_DIAGONAL_HESSIAN, pitot_net_hvp, 1 + i % 2);
}

/* ---- weights left as factors ---- */

/* Everything else is what it is without; and what is left, summed up in double, too. */
static void check_factored(const net_case *c, int32_t kind) {
    pitot_net *net = passed(c, BATCH, 2);
    pitot_real *want = diagonal_of(net, kind, 0), *got = vector(net->size);
    pitot_diagonal_factor *factor = mem_alloc(net->n_params, sizeof *factor);
    int64_t n = -1;
    assert_int_equal(diagonal_factored(net, kind, 3, 5, got, factor, &n, NULL), PITOT_OK);
    assert_in_range(n, 0, net->n_params);
    for (int64_t i = 0; i < n; i++) {
        const pitot_diagonal_factor *f = &factor[i];
        assert_int_equal(f->din * f->dout, net->param[f->weight - 1].size);
        assert_int_equal(f->n, BATCH);
        for (int64_t j = 0; j < f->din * f->dout; j++) {
            double sum = 0;
            for (int64_t k = 0; k < f->n; k++) {
                double a = (double)f->a[k * f->din + j % f->din];
                sum += f->scale * (double)f->q[k * f->dout + j / f->din] * a * a;
            }
            assert_true(fabs(sum - (double)want[net->flat[f->weight - 1] + j]) <= round_off * sum);
            got[net->flat[f->weight - 1] + j] = want[net->flat[f->weight - 1] + j];
        }
    }
    assert_memory_equal(got, want, (size_t)net->size * sizeof *got);
    int recursion = kind >= PITOT_DIAGONAL_HESSCALE && kind <= PITOT_DIAGONAL_BL89;
    if (recursion) assert_int_equal(n, 0);
    else if (strcmp(c->what, "wide") == 0) assert_true(n == 3 || kind == PITOT_DIAGONAL_HESSIAN);
    mem_free(factor);
    mem_free(want);
    mem_free(got);
    pitot_net_free(net);
}

static void test_factors(void **state) {
    static const int32_t kinds[] = { PITOT_DIAGONAL_HESSIAN, PITOT_DIAGONAL_GGN, PITOT_DIAGONAL_GGN_MC };
    (void)state;
    for (int i = 0; i < CASES; i++)
        for (int k = 0; k < 3; k++) check_factored(&cases[i], kinds[k]);
    check_factored(&cases[0], PITOT_DIAGONAL_HESSCALE);
}

/* Many outputs: blocks of columns; each of the tile's heights. */
static void test_columns(void **state) {
    (void)state;
    static const char *const outputs[] = { "1", "2", "3", "4", "5", "7", "10", "11", "13", "25" };
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++)
        for (int loss = 0; loss < 2; loss++) {
            char last[32];
            snprintf(last, sizeof last, "out_features=%s", outputs[i]);
            net_case c = {
                outputs[i],
                { 2, 6, 5 },
                loss ? "mse" : "cross_entropy",
                { CONV(17), OP("relu"), { "max_pool2d", "kernel=2", NULL }, CONV(3), OP("flatten"), { "linear", last, NULL } }
            };
            if (i < 2 && !loss) continue; /* classes are 0, 1, 2 */
            check_exact(&c, PITOT_DIAGONAL_GGN, pitot_net_ggnvp, 2);
        }
}

/* ---- rows of samples ---- */

enum { ALL = 6 };
static const int32_t all_kinds[ALL] = { PITOT_DIAGONAL_HESSIAN,  PITOT_DIAGONAL_GGN,         PITOT_DIAGONAL_GGN_MC,
                                        PITOT_DIAGONAL_HESSCALE, PITOT_DIAGONAL_HESSCALE_GN, PITOT_DIAGONAL_BL89 };

static void compare_mean(const net_case *c, const pitot_net *net, const pitot_real *rows, const pitot_real *all) {
    pitot_real *mean = vector(net->size);
    for (int64_t i = 0; i < net->size; i++) {
        double sum = 0;
        for (int64_t k = 0; k < net->last.n; k++) sum += (double)rows[k * net->size + i];
        mean[i] = (pitot_real)(sum / (double)net->last.n);
    }
    compare_params(c, "mean of the rows", net, all, mean);
    mem_free(mean);
}

/* Row m against a batch of sample m alone. Without dropout, whose masks know where a sample lies in its batch. */
static void compare_alone(const net_case *c, int32_t kind, const pitot_real *rows) {
    pitot_net *net = prepared(c, 1, 1);
    for (int64_t m = 0; m < BATCH; m++) {
        pitot_net_batch b = *batch_of(1);
        b.training = 0;
        b.x += m * net->input.size;
        b.classes += m;
        b.targets += m * outputs_of(net);
        assert_int_equal(pitot_net_forward(net, &b, NULL), PITOT_OK);
        assert_int_equal(pitot_net_backward(net), PITOT_OK);
        pitot_real *one = diagonal_of(net, kind, 0);
        compare_params(c, "one sample", net, one, rows + m * net->size);
        mem_free(one);
    }
    pitot_net_free(net);
}

static void check_rows(const net_case *c, int32_t kind, int32_t threads) {
    pitot_net *net = prepared(c, ROOM, threads);
    pitot_net_batch b = *batch_of(BATCH);
    b.training = 0;
    assert_int_equal(pitot_net_forward(net, &b, NULL), PITOT_OK);
    assert_int_equal(pitot_net_backward(net), PITOT_OK);
    pitot_real *rows = diagonal_of(net, kind, 1), *all = diagonal_of(net, kind, 0);
    compare_mean(c, net, rows, all);
    if (kind != PITOT_DIAGONAL_GGN_MC) compare_alone(c, kind, rows);
    mem_free(rows);
    mem_free(all);
    pitot_net_free(net);
}

static void test_rows(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++)
        for (int k = 0; k < ALL; k++) check_rows(&cases[i], all_kinds[k], 1 + i % 2);
}

/* A batch that goes down in several chunks; rows go one by one. */
static void test_chunks(void **state) {
    (void)state;
    enum { MANY = 131 };
    net_case c = {
        "chunks", { 1, 4, 5 }, "mse", { CONV(3), OP("relu"), CONV(2), OP("flatten"), LINEAR(9), OP("tanh"), LINEAR(10) }
    };
    for (int threads = 1; threads <= 3; threads++)
        for (int kind = PITOT_DIAGONAL_GGN; kind <= PITOT_DIAGONAL_GGN_MC; kind++) {
            pitot_net *net = prepared(&c, MANY, threads);
            pass(net, MANY);
            pitot_real *rows = diagonal_of(net, kind, 1), *all = diagonal_of(net, kind, 0);
            compare_mean(&c, net, rows, all);
            mem_free(rows);
            mem_free(all);
            pitot_net_free(net);
        }
}

/* ---- Cockpit ---- */

static void set_parameters(pitot_net *net, const cJSON *theta) {
    int64_t at = 0;
    for (int64_t i = 0; i < net->n_params; i++)
        for (int64_t j = 0; j < net->param[i].size; j++, at++)
            net->param[i].data[j] = (pitot_real)cJSON_GetArrayItem(theta, (int)at)->valuedouble;
}

static void test_golden(void **state) {
    (void)state;
    int64_t size;
    char *text = (char *)file_read("tests/golden/cockpit_sgd.json", 0, &size, NULL);
    cJSON *golden = cJSON_Parse(text);
    net_case c = { "golden", { 3 }, "cross_entropy", { LINEAR(4), OP("tanh"), LINEAR(3) } };
    pitot_net *net = prepared(&c, 5, 2);
    pitot_real x[15], *want = vector(net->size);
    int32_t classes[5];
    for (int step = 0; step < 4; step++) {
        for (int i = 0; i < 15; i++)
            x[i] = (pitot_real)cJSON_GetArrayItem(cJSON_GetArrayItem(cJSON_GetArrayItem(cJSON_GetObjectItem(golden, "X"), step),
                                                                     i / 3),
                                                  i % 3)
                       ->valuedouble;
        for (int i = 0; i < 5; i++)
            classes[i] = cJSON_GetArrayItem(cJSON_GetArrayItem(cJSON_GetObjectItem(golden, "Y"), step), i)->valueint;
        const cJSON *said = cJSON_GetArrayItem(cJSON_GetObjectItem(golden, "hess_diag"), step);
        assert_int_equal(cJSON_GetArraySize(said), net->size);
        for (int64_t i = 0; i < net->size; i++) want[i] = (pitot_real)cJSON_GetArrayItem(said, (int)i)->valuedouble;
        set_parameters(net, cJSON_GetArrayItem(cJSON_GetObjectItem(golden, "theta"), step));
        pitot_net_batch b = { .struct_size = sizeof b, .n = 5, .x = x, .classes = classes };
        assert_int_equal(pitot_net_forward(net, &b, NULL), PITOT_OK);
        assert_int_equal(pitot_net_backward(net), PITOT_OK);
        pitot_real *got = diagonal_of(net, PITOT_DIAGONAL_HESSIAN, 0);
        compare_params(&c, "Cockpit", net, want, got);
        mem_free(got);
    }
    mem_free(want);
    mem_free(text);
    cJSON_Delete(golden);
    pitot_net_free(net);
}

/* ---- drawn labels ---- */

/* The mean over many draws within five of its standard errors of the exact value, each entry and the trace. */
static void check_draws(const net_case *c) {
    enum { SEEDS = 400, DRAWS = 2 };
    pitot_net *net = passed(c, BATCH, 2);
    int64_t d = net->size;
    pitot_real *want = diagonal_of(net, PITOT_DIAGONAL_GGN, 0), *got = vector(d);
    double *sum = mem_alloc(d + 1, sizeof *sum), *squares = mem_alloc(d + 1, sizeof *squares), trace = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        double all = 0;
        assert_int_equal(pitot_net_diagonal(net, PITOT_DIAGONAL_GGN_MC, DRAWS, seed, 0, got, NULL), PITOT_OK);
        for (int64_t i = 0; i <= d; i++) {
            double x = i < d ? (double)got[i] : all;
            sum[i] += x, squares[i] += x * x, all += x;
        }
    }
    for (int64_t i = 0; i <= d; i++) {
        double x = i < d ? (double)want[i] : trace, mean = sum[i] / SEEDS;
        double error = sqrt(fmax(0, squares[i] / SEEDS - mean * mean) / SEEDS);
        if (!(fabs(mean - x) <= 5 * error + exact * fabs(x)))
            fail_msg("%s: draws, %lld: %g +- %g, exact %g", c->what, (long long)i, mean, error, x);
        assert_true(i < d || error > 1e-4 * x);
        trace += x;
    }
    mem_free(want);
    mem_free(got);
    mem_free(sum);
    mem_free(squares);
    pitot_net_free(net);
}

static void test_draws(void **state) {
    (void)state;
    static const char *const losses[] = { "cross_entropy", "mse", "bce_with_logits" };
    for (int i = 0; i < 3; i++) {
        net_case linear = { losses[i], { 4 }, losses[i], { LINEAR(5), OP("tanh"), LINEAR(3) } };
        net_case conv = { losses[i], { 1, 4, 4 }, losses[i], { CONV(2), OP("relu"), OP("flatten"), LINEAR(3) } };
        check_draws(&linear);
        check_draws(&conv);
    }
}

/* tr G = 1/N sum over samples and columns of |J' s|^2. */
static void test_trace(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++) {
        pitot_net *net = passed(&cases[i], BATCH, 1);
        pitot_real *diagonal = diagonal_of(net, PITOT_DIAGONAL_GGN, 0), *s, *back = vector(net->size);
        int64_t c = outputs_of(net), columns = c - net->loss->less;
        double trace = 0, sum = 0;
        s = vector(BATCH * c);
        for (int64_t k = 0; net->size && k < BATCH; k++)
            for (int64_t j = 0; j < columns; j++) {
                memset(s, 0, (size_t)(BATCH * c) * sizeof *s);
                net->loss->root(c, pitot_net_output(net) + k * c, j, j + 1, s + k * c);
                assert_int_equal(pitot_net_vjp(net, s, back), PITOT_OK);
                sum += dot(back, back, net->size) / BATCH;
            }
        for (int64_t j = 0; j < net->size; j++) trace += (double)diagonal[j];
        if (!(fabs(trace - sum) <= exact * sum + 1e-30)) fail_msg("%s: trace %g and %g", cases[i].what, trace, sum);
        mem_free(diagonal);
        mem_free(back);
        mem_free(s);
        pitot_net_free(net);
    }
}

/* S S' = d2 l / df2, also where nearly all probability is in one class. */
static void test_roots(void **state) {
    (void)state;
    enum { C = 6 };
    for (int range = 0; range < 6; range++)
        for (const char *const *name = loss_names; *name; name++) {
            const loss_kind *loss = loss_find(*name);
            pitot_real f[C], s[C * C], ft[C] = { 0 }, column[C], q[C];
            int32_t class = 0;
            pitot_net_batch b = { .n = 1, .classes = &class };
            for (uint64_t i = 0; i < C; i++) f[i] = (pitot_real)((random_uniform(1, 60, 9, i) - 0.5) * pow(8, range));
            loss->root(C, f, 0, C - loss->less, s);
            loss->diagonal(C, f, q);
            for (int i = 0; i < C; i++) {
                ft[i] = 1;
                loss->curvature(&b, C, f, ft, column);
                ft[i] = 0;
                assert_true(fabs((double)(q[i] - column[i])) <= round_off * (double)q[i] + 1e-16);
                for (int j = 0; j < C; j++) {
                    double sum = 0;
                    for (int k = 0; k < C - loss->less; k++) sum += (double)s[k * C + i] * (double)s[k * C + j];
                    assert_true(fabs(sum - (double)column[j]) <= round_off * fabs((double)column[i]) + 1e-16);
                }
            }
        }
}

/* ---- HesScale ---- */

/* Exact in the last layer: with squared errors, and for a linear layer under any loss. */
static void test_last_layer(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++) {
        pitot_net *net = passed(&cases[i], BATCH, 1 + i % 2);
        pitot_real *want = diagonal_of(net, PITOT_DIAGONAL_GGN, 0), *got = diagonal_of(net, PITOT_DIAGONAL_HESSCALE, 0);
        const buffers *b = &net->buffer[net->n_nodes - 1];
        const int32_t of[] = { b->weight, b->bias };
        for (int k = 0; k < 2 && b->dy; k++)
            if (of[k] >= 0)
                compare(&cases[i], "HesScale, last layer", want + net->flat[of[k]], got + net->flat[of[k]], net->param[of[k]].size,
                        exact);
        mem_free(want);
        mem_free(got);
        pitot_net_free(net);
    }
}

/* One unit a layer: nothing is off the diagonal. */
static void test_chain(void **state) {
    (void)state;
    static const net_case chains[] = {
        { "chain, mse", { 1 }, "mse", { LINEAR(1), OP("tanh"), LINEAR(1), OP("gelu"), LINEAR(1), OP("softplus"), LINEAR(1) } },
        { "chain, bce", { 1 }, "bce_with_logits", { LINEAR(1), OP("sigmoid"), LINEAR(1), OP("elu"), LINEAR(1), OP("silu") } },
        { "chain, dropout",
          { 1 },
          "mse",
          { LINEAR(1), { "dropout", "p=0.3", NULL }, OP("tanh"), LINEAR(1), OP("selu"), LINEAR(1) } },
        { "chain, mixed", { 1 }, "mse", { LINEAR(1), OP("leaky_relu"), OP("tanh"), LINEAR(1), OP("tanh"), OP("relu"), LINEAR(1) } },
    };
    for (size_t i = 0; i < sizeof chains / sizeof *chains; i++) {
        pitot_net *net = passed(&chains[i], BATCH, 2);
        pitot_real *want = diagonal_of(net, PITOT_DIAGONAL_HESSIAN, 0), *got = diagonal_of(net, PITOT_DIAGONAL_HESSCALE, 0);
        compare_params(&chains[i], "HesScale", net, want, got);
        assert_true(largest(got, net->size) > 1e-3);
        mem_free(want);
        mem_free(got);
        pitot_net_free(net);
    }
}

/* A layer under one op and squared errors: d2L/dy2 of the layer's outputs is exact. Of each image one point is not 0, so that each value of
   the layer's weight moves one output alone, and its diagonal is exact as well. */
static void check_one_op(const op *o, const char *attributes) {
    char what[96];
    snprintf(what, sizeof what, "%s %s", o->name, attributes);
    net_case c = {
        what, { 2, 6, 6 }, "mse", { { "conv2d", "out_channels=4, kernel=1, bias=false", NULL }, { o->name, attributes, NULL } }
    };
    pitot_net *net = prepared(&c, BATCH, 2);
    pitot_real x[BATCH * 72] = { 0 };
    pitot_net_batch b = *batch_of(BATCH);
    for (int k = 0; k < BATCH; k++) x[k * 72 + k * 5 % 36] = x[k * 72 + 36 + k * 5 % 36] = (pitot_real)(1 + 0.1 * k);
    b.x = x;
    assert_int_equal(pitot_net_forward(net, &b, NULL), PITOT_OK);
    assert_int_equal(pitot_net_backward(net), PITOT_OK);
    pitot_real *want = diagonal_of(net, PITOT_DIAGONAL_HESSIAN, 0), *got = diagonal_of(net, PITOT_DIAGONAL_HESSCALE, 0);
    compare(&c, "HesScale", want, got, net->param[0].size, exact);
    assert_true(largest(got, net->param[0].size) > 1e-5);
    mem_free(want);
    mem_free(got);
    pitot_net_free(net);
}

static void test_each_op(void **state) {
    (void)state;
    static const char *const more[][2] = {
        { "conv2d", "out_channels=3, kernel=3, padding=1" },
        { "conv2d", "out_channels=4, kernel=3,2, stride=2, groups=2" },
        { "conv2d", "out_channels=3, kernel=2, dilation=2" },
        { "max_pool2d", "kernel=2" },
        { "max_pool2d", "kernel=3, stride=2, ceil_mode=true" },
        { "avg_pool2d", "kernel=2" },
        { "avg_pool2d", "kernel=3, stride=2, padding=1, ceil_mode=true, count_include_pad=false" },
        { "dropout", "p=0.25" },
        { "elu", "alpha=-2" },
        { "gelu", "approximate=tanh" },
    };
    for (const op *const *o = op_table; *o; o++) {
        int has_attributes = strcmp((*o)->name, "linear") == 0 || strstr((*o)->name, "2d");
        if ((!has_attributes || strcmp((*o)->name, "global_avg_pool2d") == 0) && (*o)->inputs_min == 1) check_one_op(*o, "");
        if (!(*o)->hesscale && !((*o)->flags & OP_VIEW)) fail_msg("op %s has no rule for HesScale", (*o)->name);
        if ((*o)->capture && !((*o)->directions && (*o)->move && (*o)->second)) fail_msg("op %s has no directions", (*o)->name);
    }
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) check_one_op(op_find(more[i][0]), more[i][1]);
}

/* The recursion itself, in plain loops: what it drops, it drops. q_j = s'(a_j)^2 sum_i W_ij^2 q_i + s''(a_j) sum_i W_ij d_i, the last term
   0 in HesScaleGN; at the outputs p - p^2, in BL89 of the true class alone */
static void check_recursion(int32_t kind) {
    enum { I = 3, H = 5, O = 4 };
    net_case c = { "recursion", { I }, "cross_entropy", { LINEAR(5), OP("tanh"), LINEAR(4) } };
    pitot_net *net = passed(&c, BATCH, 2);
    pitot_real *got = diagonal_of(net, kind, 0), *want = vector(net->size);
    double bends = kind != PITOT_DIAGONAL_HESSCALE_GN;
    const pitot_real *w1 = net->param[0].data, *b1 = net->param[1].data, *w2 = net->param[2].data;
    memset(want, 0, (size_t)net->size * sizeof *want);
    for (int k = 0; k < BATCH; k++) {
        const pitot_real *f = pitot_net_output(net) + k * O, *x = data.x + k * I;
        double sum = 0;
        for (int i = 0; i < O; i++) sum += exp((double)f[i]);
        for (int j = 0; j < H; j++) {
            double a = (double)b1[j], squares = 0, delta = 0;
            for (int i = 0; i < I; i++) a += (double)w1[j * I + i] * (double)x[i];
            for (int i = 0; i < O; i++) {
                double p = exp((double)f[i]) / sum, w = (double)w2[i * H + j];
                squares += kind == PITOT_DIAGONAL_BL89 && i != data.classes[k] ? 0 : w * w * (p - p * p);
                delta += w * (p - (i == data.classes[k]));
            }
            double y = tanh(a), slope = 1 - y * y, q = (slope * slope * squares - bends * 2 * y * slope * delta) / BATCH;
            for (int i = 0; i < I; i++) want[j * I + i] += (pitot_real)(q * (double)x[i] * (double)x[i]);
            want[H * I + j] += (pitot_real)q;
        }
    }
    compare(&c, "HesScale", want, got, H * I + H, exact);
    mem_free(got);
    mem_free(want);
    pitot_net_free(net);
}

static void test_recursion(void **state) {
    (void)state;
    check_recursion(PITOT_DIAGONAL_HESSCALE);
    check_recursion(PITOT_DIAGONAL_HESSCALE_GN);
    check_recursion(PITOT_DIAGONAL_BL89);
}

/* Piecewise linear nets have no second derivatives to drop; of any net, HesScaleGN is not negative; without classes BL89 is HesScale. */
static void test_kin(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++) {
        pitot_net *net = passed(&cases[i], BATCH, 1 + i % 2);
        pitot_real *full = diagonal_of(net, PITOT_DIAGONAL_HESSCALE, 0), *gn = diagonal_of(net, PITOT_DIAGONAL_HESSCALE_GN, 0);
        pitot_real *bl89 = diagonal_of(net, PITOT_DIAGONAL_BL89, 0);
        for (int64_t j = 0; j < net->size; j++) assert_true(gn[j] >= 0);
        if (pitot_net_is_piecewise_linear(net)) compare(&cases[i], "HesScaleGN", full, gn, net->size, exact);
        if (!net->loss->classes) compare(&cases[i], "BL89", full, bl89, net->size, 0);
        mem_free(full);
        mem_free(gn);
        mem_free(bl89);
        pitot_net_free(net);
    }
}

/* ---- what stays, and what comes again ---- */

/* The Hessian of smooth nets takes a tangent for each of many directions. */
static int is_quick(const pitot_net *net, int32_t kind) {
    return kind != PITOT_DIAGONAL_HESSIAN || net->size < 150;
}

static void test_repetition(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++) {
        pitot_net *net[3] = { passed(&cases[i], BATCH, 2), passed(&cases[i], BATCH, 2), passed(&cases[i], BATCH, 1) };
        for (int k = 0; k < 2 * ALL; k++) {
            if (!is_quick(net[0], all_kinds[k / 2])) continue;
            int64_t size = net[0]->size * (k % 2 ? BATCH : 1);
            pitot_real *a = diagonal_of(net[0], all_kinds[k / 2], k % 2), *again = diagonal_of(net[0], all_kinds[k / 2], k % 2);
            pitot_real *b = diagonal_of(net[1], all_kinds[k / 2], k % 2), *one = diagonal_of(net[2], all_kinds[k / 2], k % 2);
            compare(&cases[i], "again", a, again, size, 0);
            compare(&cases[i], "another net", a, b, size, 0);
            compare(&cases[i], "threads", a, one, size, 10 * round_off);
            pitot_real *const all[] = { a, again, b, one };
            for (int j = 0; j < 4; j++) mem_free(all[j]);
        }
        for (int j = 0; j < 3; j++) pitot_net_free(net[j]);
    }
}

/* Outputs, losses, gradients, captures, and products as if nothing had been. */
static void test_nothing_changes(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++) {
        pitot_net *net = passed(&cases[i], BATCH, 2), *other = passed(&cases[i], BATCH, 2);
        pitot_real *v = random_vector(net->size, 1);
        for (int k = 0; k < ALL; k++) {
            if (!is_quick(net, all_kinds[k])) continue;
            pitot_real *a = diagonal_of(net, all_kinds[k], 0), *h = vector(net->size), *g = vector(net->size);
            assert_int_equal(pitot_net_hvp(net, v, h), PITOT_OK);
            assert_int_equal(pitot_net_hvp(other, v, g), PITOT_OK);
            compare(&cases[i], "H v", g, h, net->size, 0);
            mem_free(a);
            mem_free(h);
            mem_free(g);
        }
        for (int32_t k = 0; k < net->n_nodes; k++) {
            const buffers *a = &net->buffer[k], *b = &other->buffer[k];
            compare(&cases[i], "outputs", b->y, a->y, BATCH * net->node[k].out.size, 0);
            if (a->dy) compare(&cases[i], "gradients of outputs", b->dy, a->dy, BATCH * net->node[k].out.size, 0);
            if (a->kept) assert_memory_equal(a->kept, b->kept, (size_t)(BATCH * net->node[k].kept));
        }
        compare(&cases[i], "gradient", other->gradient, net->gradient, net->room, 0);
        compare(&cases[i], "losses", other->losses, net->losses, BATCH, 0);
        mem_free(v);
        pitot_net_free(net);
        pitot_net_free(other);
    }
}

/* A sample that is not finite spoils its own row and the whole, nobody else's row. */
static void test_nan(void **state) {
    (void)state;
    net_case c = {
        "nan", { 1, 6, 6 }, "cross_entropy", { CONV(2), OP("relu"), { "max_pool2d", "kernel=2", NULL }, OP("flatten"), LINEAR(3) }
    };
    pitot_net *net = prepared(&c, BATCH, 2);
    pitot_real *x = vector(BATCH * 36);
    pitot_net_batch b = *batch_of(BATCH);
    memcpy(x, b.x, BATCH * 36 * sizeof *x);
    for (int i = 0; i < 36; i++) x[2 * 36 + i] = NAN;
    b.x = x;
    assert_int_equal(pitot_net_forward(net, &b, NULL), PITOT_OK);
    assert_int_equal(pitot_net_backward(net), PITOT_OK);
    for (int k = 0; k < ALL; k++) {
        pitot_real *all = diagonal_of(net, all_kinds[k], 0), *rows = diagonal_of(net, all_kinds[k], 1);
        for (int64_t i = 0; i < net->size; i++) {
            assert_true(isnan((double)all[i]));
            for (int m = 0; m < BATCH; m++) assert_true(!isnan((double)rows[m * net->size + i]) == (m != 2));
        }
        mem_free(all);
        mem_free(rows);
    }
    mem_free(x);
    pitot_net_free(net);
}

/* ---- order of calls, memory, cost ---- */

static void test_refusals(void **state) {
    (void)state;
    net_case c = { "refusals", { 4 }, "cross_entropy", { LINEAR(5), OP("tanh"), LINEAR(3) } };
    pitot_net *net = prepared(&c, ROOM, 1);
    pitot_real out[64];
    pitot_error error = { 0 };
    assert_int_equal(pitot_net_diagonal(net, PITOT_DIAGONAL_GGN, 1, 0, 0, out, &error), PITOT_EORDER);
    assert_true(strlen(error.text) > 10);
    assert_int_equal(pitot_net_forward(net, batch_of(3), NULL), PITOT_OK);
    assert_int_equal(pitot_net_diagonal(net, PITOT_DIAGONAL_GGN, 1, 0, 0, out, NULL), PITOT_EORDER);
    assert_int_equal(pitot_net_backward(net), PITOT_OK);
    assert_int_equal(pitot_net_diagonal(net, 0, 1, 0, 0, out, NULL), PITOT_EINVAL);
    assert_int_equal(pitot_net_diagonal(net, PITOT_DIAGONAL_BL89 + 1, 1, 0, 0, out, NULL), PITOT_EINVAL);
    assert_int_equal(pitot_net_diagonal(net, PITOT_DIAGONAL_GGN_MC, 0, 0, 0, out, NULL), PITOT_EINVAL);
    assert_int_equal(pitot_net_diagonal(net, PITOT_DIAGONAL_GGN, 0, 0, 0, NULL, NULL), PITOT_EINVAL);
    assert_int_equal(pitot_net_diagonal(net, PITOT_DIAGONAL_GGN, 0, 0, 0, out, NULL), PITOT_OK);
    pitot_net_free(net);
}

static void test_costs(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++) {
        pitot_net *net = prepared(&cases[i], ROOM, 1);
        int smooth = 0;
        for (int32_t k = 0; k < net->n_nodes; k++) smooth |= net->node[k].op->tangent_backward && !net->node[k].op->capture;
        assert_int_equal(pitot_net_is_piecewise_linear(net), !smooth);
        for (int k = 0; k < ALL && net->size; k++) {
            double cost = pitot_net_diagonal_cost(net, all_kinds[k], 2);
            if (!(cost > 0 && cost < 1e5)) fail_msg("%s: kind %d costs %g", cases[i].what, all_kinds[k], cost);
        }
        assert_true(pitot_net_diagonal_cost(net, 0, 1) == 0 && pitot_net_diagonal_cost(net, 9, 1) == 0);
        pitot_net_free(net);
    }
}

/* Memory that runs out in the first call says so, leaves nothing, and the next call succeeds; later calls ask for none. */
static void test_memory(void **state) {
    (void)state;
    net_case c = { "memory", { 1, 4, 4 }, "mse", { CONV(2), OP("tanh"), ON("add", "0 1"), OP("flatten"), LINEAR(3) } };
    int64_t before = mem_count().blocks;
    for (int k = 0; k < ALL; k++)
        for (int64_t fails = 1;; fails++) {
            pitot_net *net = passed(&c, BATCH, 2);
            pitot_real *out = vector(net->size);
            mem_fail_at(fails, 0);
            int32_t status = pitot_net_diagonal(net, all_kinds[k], 1, 0, 0, out, NULL);
            mem_fail_at(0, 0);
            assert_true(status == PITOT_ENOMEM || (status == PITOT_OK && fails > 1));
            if (status) assert_int_equal(pitot_net_diagonal(net, all_kinds[k], 1, 0, 0, out, NULL), PITOT_OK);
            int64_t requests = mem_count().requests;
            assert_int_equal(pitot_net_diagonal(net, all_kinds[k], 14, 0, 0, out, NULL), PITOT_OK);
            assert_int_equal(mem_count().requests, requests);
            mem_free(out);
            pitot_net_free(net);
            if (status == PITOT_OK) break;
        }
    assert_int_equal(mem_count().blocks, before);
}

/* ---- the kernel ---- */

static void check_gather(int32_t most, int64_t columns, int64_t width) {
    enum { ENTRIES = 23, WIDEST = 160, PLACES = 9 };
    static pitot_real l[ENTRIES * GATHER_ROWS], r[PLACES * WIDEST], tile[GATHER_ROWS * WIDEST], squares[WIDEST];
    int64_t rows = gather_rows(columns), offset[ENTRIES];
    gather_run run[3] = { { 0, 3, 0 }, { 3, 3, 0 }, { 5, ENTRIES, WIDEST } };
    assert_true(rows >= columns && width <= WIDEST);
    for (uint64_t i = 0; i < ENTRIES; i++) offset[i] = (int64_t)(random_bits(1, 2, 3, i) % (PLACES - 1)) * WIDEST;
    for (int64_t i = 0; i < ENTRIES * rows; i++)
        l[i] = i % rows < columns ? (pitot_real)(random_uniform(1, 2, 4, (uint64_t)i) - 0.5) : 0;
    for (uint64_t i = 0; i < sizeof r / sizeof *r; i++) r[i] = (pitot_real)(random_uniform(1, 2, 5, i) - 0.5);
    for (int64_t j = 0; j < width; j++) squares[j] = 1;
    gather g = { rows, l, offset, 3, run };
    gather_choose(most)(&g, r, width, tile, WIDEST);
    gather_choose(most)(&g, r, width, squares, 0);
    for (int64_t j = 0; j < width; j++) {
        double all = 1;
        for (int64_t i = 0; i < rows; i++) {
            double sum = 0;
            for (int k = 0; k < 3; k++)
                for (int64_t e = run[k].begin; e < run[k].end; e++)
                    sum += (double)l[e * rows + i] * (double)r[run[k].at + offset[e] + j];
            assert_true(fabs(sum - (double)tile[i * WIDEST + j]) <= round_off);
            all += sum * sum;
        }
        assert_true(fabs(all - (double)squares[j]) <= round_off * all);
    }
}

static void test_gather(void **state) {
    (void)state;
    for (int32_t most = GATHER_BEST; most <= GATHER_AVX512; most++)
        for (int64_t columns = 1; columns <= GATHER_ROWS; columns++)
            for (int64_t width = GATHER_LANES; width <= 10 * GATHER_LANES; width += GATHER_LANES)
                check_gather(most, columns, width);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ggn),        cmocka_unit_test(test_hessian),
        cmocka_unit_test(test_columns),    cmocka_unit_test(test_rows),
        cmocka_unit_test(test_chunks),     cmocka_unit_test(test_golden),
        cmocka_unit_test(test_draws),      cmocka_unit_test(test_trace),
        cmocka_unit_test(test_roots),      cmocka_unit_test(test_last_layer),
        cmocka_unit_test(test_chain),      cmocka_unit_test(test_each_op),
        cmocka_unit_test(test_recursion),  cmocka_unit_test(test_kin),
        cmocka_unit_test(test_repetition), cmocka_unit_test(test_nothing_changes),
        cmocka_unit_test(test_nan),        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_costs),      cmocka_unit_test(test_memory),
        cmocka_unit_test(test_gather),     cmocka_unit_test(test_factors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
