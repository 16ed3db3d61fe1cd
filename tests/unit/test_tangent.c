/* Products with the Hessian, the Gauss-Newton matrix and the Jacobian, of every op and of nets of all kinds: against central differences
   of gradients and outputs, against each other, and against what they must leave alone. An op in the registry without a case fails. */

#include "nets.h"

/* ---- products ---- */

typedef int32_t (*product)(pitot_net *net, const pitot_real *in, pitot_real *out);

static pitot_real *product_of(pitot_net *net, product of, const pitot_real *in) {
    pitot_real *out = vector(of == pitot_net_jvp ? net->last.n * outputs_of(net) : net->size);
    assert_int_equal(of(net, in, out), PITOT_OK);
    return out;
}

/* Every product once, of fixed vectors: H, G, J, J'. */
enum { KINDS = 4 };

typedef struct products {
    pitot_real *out[KINDS];
    int64_t size[KINDS];
} products;

static products all_products(pitot_net *net) {
    static const product of[KINDS] = { pitot_net_hvp, pitot_net_ggnvp, pitot_net_jvp, pitot_net_vjp };
    int64_t outputs = net->last.n * outputs_of(net);
    pitot_real *v = random_vector(net->size, 1), *u = random_vector(outputs, 2);
    products p = { .size = { net->size, net->size, outputs, net->size } };
    for (int i = 0; i < KINDS; i++) p.out[i] = product_of(net, of[i], of[i] == pitot_net_vjp ? u : v);
    mem_free(v);
    mem_free(u);
    return p;
}

static void free_products(products *p) {
    for (int i = 0; i < KINDS; i++) mem_free(p->out[i]);
}

/* Frees both. */
static void compare_products(const net_case *c, const char *what, products a, products b, double tolerance) {
    for (int i = 0; i < KINDS; i++) compare(c, what, a.out[i], b.out[i], a.size[i], tolerance);
    free_products(&a);
    free_products(&b);
}

/* ---- against differences ---- */

#ifdef PITOT_DOUBLE

/* Gradient, or outputs, with the parameters at theta + by v. */
static void moved(pitot_net *net, int64_t n, const pitot_real *v, double by, pitot_real *gradient, pitot_real *output) {
    pitot_real *theta = vector(net->room);
    memcpy(theta, net->theta, (size_t)net->room * sizeof *theta);
    for (int64_t i = 0; i < net->n_params; i++)
        for (int64_t j = 0; j < net->param[i].size; j++) net->param[i].data[j] += by * v[net->flat[i] + j];
    pass(net, n);
    if (gradient) flat_gradient(net, gradient);
    if (output) memcpy(output, pitot_net_output(net), (size_t)(n * outputs_of(net)) * sizeof *output);
    memcpy(net->theta, theta, (size_t)net->room * sizeof *theta);
    mem_free(theta);
}

/* Differences of two widths, together free of the term in width^2. 0: they disagree, there is a kink between. */
static int difference(pitot_net *net, int64_t n, const pitot_real *v, double width, int of_output, int64_t size, pitot_real *out) {
    pitot_real *side[4], *narrow = vector(size);
    for (int k = 0; k < 4; k++) {
        side[k] = vector(size);
        moved(net, n, v, (k % 2 ? -1 : 1) * width / (k / 2 + 1), of_output ? NULL : side[k], of_output ? side[k] : NULL);
    }
    int good = 1;
    for (int64_t i = 0; i < size; i++) {
        out[i] = (side[0][i] - side[1][i]) / (2 * width);
        narrow[i] = (side[2][i] - side[3][i]) / width;
    }
    double scale = largest(narrow, size);
    for (int64_t i = 0; i < size; i++) {
        if (fabs(narrow[i] - out[i]) > 1e-5 * scale) good = 0;
        out[i] = (4 * narrow[i] - out[i]) / 3;
    }
    for (int k = 0; k < 4; k++) mem_free(side[k]);
    mem_free(narrow);
    pass(net, n);
    return good;
}

/* Each parameter's share by its own size, unless that is small beside the rest. */
static int compare_hessian(const net_case *c, pitot_net *net, int64_t n, const pitot_real *v) {
    pitot_real *want = vector(net->size), *got = product_of(net, pitot_net_hvp, v);
    int good = difference(net, n, v, 2e-4, 0, net->size, want);
    double all = largest(want, net->size);
    for (int64_t i = 0; good && i < net->n_params; i++) {
        const pitot_real *a = want + net->flat[i], *b = got + net->flat[i];
        double scale = fmax(largest(a, net->param[i].size), 0.01 * all);
        for (int64_t j = 0; j < net->param[i].size; j++)
            if (!(fabs(a[j] - b[j]) <= 2e-8 * scale + 1e-13))
                fail_msg("%s: H v, %s[%lld] is %.12g, differences say %.12g", c->what, net->param[i].name, (long long)j, b[j],
                         a[j]);
    }
    mem_free(want);
    mem_free(got);
    return good;
}

static int compare_jacobian(const net_case *c, pitot_net *net, int64_t n, const pitot_real *v) {
    int64_t size = n * outputs_of(net);
    pitot_real *want = vector(size), *got = product_of(net, pitot_net_jvp, v);
    int good = difference(net, n, v, 2e-4, 1, size, want);
    if (good) compare(c, "J v and differences", want, got, size, 2e-8);
    mem_free(want);
    mem_free(got);
    return good;
}

/* Along all parameters, and along one at a time. */
static void check_differences(const net_case *c, int64_t n, int32_t threads) {
    pitot_net *net = passed(c, n, threads);
    int64_t tried = 0, good = 0;
    for (int64_t i = -1; i < net->n_params; i++, tried += 2) {
        pitot_real *v = random_vector(net->size, (uint64_t)(10 + i));
        for (int64_t k = 0; k < net->n_params; k++)
            if (i >= 0 && k != i) memset(v + net->flat[k], 0, (size_t)net->param[k].size * sizeof *v);
        good += compare_hessian(c, net, n, v) + compare_jacobian(c, net, n, v);
        mem_free(v);
    }
    if (good < tried - tried / 4)
        fail_msg("%s: only %lld of %lld directions could be used", c->what, (long long)good, (long long)tried);
    pitot_net_free(net);
}

static void test_differences(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++) check_differences(&cases[i], BATCH, 1 + i % 2);
}

static const net_case small_cases[] = {
    { "small, cross_entropy", { 3 }, "cross_entropy", { LINEAR(4), OP("tanh"), LINEAR(3) } },
    { "small, bce", { 3 }, "bce_with_logits", { LINEAR(4), OP("gelu"), LINEAR(2) } },
    { "small, branches", { 3 }, "mse", { LINEAR(3), OP("sigmoid"), LINEAR(3), ON("add", "1 2 input"), OP("silu"), LINEAR(2) } },
    { "small, conv", { 2, 4, 4 }, "mse", { CONV(2), OP("softplus"), { "conv2d", "out_channels=1, kernel=2", NULL }, OP("tanh") } },
};

/* H by columns. */
static void check_dense(const net_case *c) {
    pitot_net *net = passed(c, BATCH, 2);
    int64_t d = net->size;
    pitot_real *h = vector(d * d), *want = vector(d), *e = vector(d);
    memset(e, 0, (size_t)d * sizeof *e);
    for (int64_t j = 0; j < d; j++) {
        e[j] = 1;
        assert_int_equal(pitot_net_hvp(net, e, h + j * d), PITOT_OK);
        assert_true(difference(net, BATCH, e, 2e-4, 0, d, want));
        for (int64_t i = 0; i < d; i++) want[i] -= h[j * d + i];
        assert_true(largest(want, d) <= 1e-8 * largest(h + j * d, d));
        e[j] = 0;
    }
    double scale = largest(h, d * d);
    for (int64_t i = 0; i < d; i++)
        for (int64_t j = 0; j < i; j++) assert_true(fabs(h[i * d + j] - h[j * d + i]) <= 1e-14 * scale);
    mem_free(h);
    mem_free(want);
    mem_free(e);
    pitot_net_free(net);
}

static void test_dense(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof small_cases / sizeof *small_cases; i++) check_dense(&small_cases[i]);
}

#endif

/* ---- against each other ---- */

/* u'H v = v'H u, the same for G; u'(J v) = v'(J'u). */
static void check_symmetry(const net_case *c, int64_t n, int32_t threads) {
    pitot_net *net = passed(c, n, threads);
    int64_t outputs = n * outputs_of(net);
    pitot_real *v = random_vector(net->size, 1), *w = random_vector(net->size, 2), *u = random_vector(outputs, 3);
    for (int kind = 0; kind < 3; kind++) {
        product there = kind == 0   ? pitot_net_hvp
                        : kind == 1 ? pitot_net_ggnvp
                                    : pitot_net_jvp,
                back = kind == 2 ? pitot_net_vjp : there;
        pitot_real *left = kind == 2 ? u : w, *a = product_of(net, there, v), *b = product_of(net, back, left);
        int64_t size = kind == 2 ? outputs : net->size;
        double one = dot(left, a, size), other = dot(v, b, net->size);
        double scale = sqrt(dot(a, a, size) * dot(left, left, size)) + sqrt(dot(b, b, net->size) * dot(v, v, net->size));
        if (!(fabs(one - other) <= round_off * scale)) fail_msg("%s: kind %d: %.17g and %.17g", c->what, kind, one, other);
        mem_free(a);
        mem_free(b);
    }
    mem_free(v);
    mem_free(w);
    mem_free(u);
    pitot_net_free(net);
}

static void test_symmetry(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++)
        for (int64_t n = 1; n <= ROOM; n += 5) check_symmetry(&cases[i], n, 1 + (int)n % 2);
}

/* The gradient of the mean loss in f, and its Hessian times ft, by their definitions in the plainest way. */
static void loss_derivatives(const pitot_net *net, const pitot_real *ft, pitot_real *df, pitot_real *dft) {
    int64_t n = net->last.n, c = outputs_of(net);
    for (int64_t k = 0; k < n; k++) {
        const pitot_real *f = pitot_net_output(net) + k * c;
        double total = 0, mean = 0;
        for (int64_t i = 0; i < c; i++) total += exp((double)f[i]);
        for (int64_t i = 0; i < c; i++) mean += exp((double)f[i]) / total * (double)ft[k * c + i];
        for (int64_t i = 0; i < c; i++) {
            double t = (double)data.targets[k * c + i], p = exp((double)f[i]) / total, q = 1 / (1 + exp(-(double)f[i]));
            double first = 2 * ((double)f[i] - t) / (double)c, second = 2 * (double)ft[k * c + i] / (double)c;
            if (net->loss->name[0] == 'c') first = p - (i == data.classes[k]), second = p * ((double)ft[k * c + i] - mean);
            if (net->loss->name[0] == 'b') first = (q - t) / (double)c, second = q * (1 - q) * (double)ft[k * c + i] / (double)c;
            df[k * c + i] = (pitot_real)(first / (double)n);
            dft[k * c + i] = (pitot_real)(second / (double)n);
        }
    }
}

/* G v = J'(H_L (J v)), and the gradient is J' dL/df. */
static void check_composition(const net_case *c, int64_t n, int32_t threads) {
    pitot_net *net = passed(c, n, threads);
    int64_t outputs = n * outputs_of(net);
    pitot_real *v = random_vector(net->size, 1), *gradient = vector(net->size), *df = vector(outputs), *dft = vector(outputs);
    pitot_real *ft = product_of(net, pitot_net_jvp, v), *whole = product_of(net, pitot_net_ggnvp, v);
    loss_derivatives(net, ft, df, dft);
    pitot_real *parts = product_of(net, pitot_net_vjp, dft), *pulled = product_of(net, pitot_net_vjp, df);
    flat_gradient(net, gradient);
    compare(c, "G v and its parts", whole, parts, net->size, round_off);
    compare(c, "gradient and J' df", gradient, pulled, net->size, round_off);
    pitot_real *const all[] = { v, gradient, df, dft, ft, whole, parts, pulled };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) mem_free(all[i]);
    pitot_net_free(net);
}

static void test_composition(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++)
        for (int64_t n = 1; n <= ROOM; n += 5) check_composition(&cases[i], n, 1 + (int)n % 2);
}

/* The outputs of one layer are linear in its parameters: H is G. */
static void test_one_layer(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        pitot_net *net = passed(&cases[i], BATCH, 2);
        products p = all_products(net);
        compare(&cases[i], "H v and G v", p.out[0], p.out[1], net->size, round_off);
        assert_true(largest(p.out[0], net->size) > 1e-3);
        free_products(&p);
        pitot_net_free(net);
    }
}

/* Parameters that the output does not depend on. */
static void test_unreached(void **state) {
    (void)state;
    pitot_net *net = passed(&cases[CASES - 3], BATCH, 2), *none = passed(&cases[CASES - 2], BATCH, 2);
    products p = all_products(net), q = all_products(none);
    assert_string_equal(net->param[2].name, "1.weight");
    for (int i = 0; i < KINDS; i++) {
        assert_true(largest(p.out[i], p.size[i]) > 0);
        for (int64_t j = net->flat[2]; i != 2 && j < net->flat[4]; j++) assert_true(p.out[i][j] == 0);
        assert_true(q.size[i] > 0 && largest(q.out[i], q.size[i]) == 0);
    }
    free_products(&p);
    free_products(&q);
    pitot_net_free(net);
    pitot_net_free(none);
}

/* ---- what stays, and what comes again ---- */

typedef struct block { /* memory that a product must not touch */
    const void *at;
    size_t bytes;
    unsigned char *copy;
} block;

enum { MOST_BLOCKS = 3 * LAYERS + 8 };

static void keep(block **b, const void *at, int64_t count, size_t size) {
    size_t bytes = at ? (size_t)count * size : 0;
    **b = (block){ at, bytes, mem_alloc((int64_t)bytes, 1) };
    if (bytes) memcpy((*b)->copy, at, bytes);
    ++*b;
}

static block *keep_all(const pitot_net *net, block *b) {
    for (int32_t k = 0; k < net->n_nodes; k++) {
        keep(&b, net->buffer[k].y, net->batch * net->node[k].out.size, sizeof(pitot_real));
        keep(&b, net->buffer[k].dy, net->batch * net->node[k].out.size, sizeof(pitot_real));
        keep(&b, net->buffer[k].kept, net->batch * net->node[k].kept, 1);
    }
    keep(&b, net->theta, net->room, sizeof(pitot_real));
    keep(&b, net->gradient, net->room, sizeof(pitot_real));
    keep(&b, net->losses, net->batch, sizeof(pitot_real));
    keep(&b, &data, 1, sizeof data);
    return b;
}

static void test_nothing_changes(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++)
        for (int threads = 1; threads <= 2; threads++) {
            pitot_net *net = passed(&cases[i], BATCH, threads);
            block blocks[MOST_BLOCKS], *end = keep_all(net, blocks);
            free_products(&(products[]){ all_products(net) }[0]);
            for (block *b = blocks; b < end; b++) {
                if (b->bytes && memcmp(b->at, b->copy, b->bytes))
                    fail_msg("%s: block %d changed", cases[i].what, (int)(b - blocks));
                mem_free(b->copy);
            }
            pitot_net_free(net);
        }
}

static void test_repetition(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++)
        for (int threads = 1; threads <= 3; threads++) {
            pitot_net *net = passed(&cases[i], BATCH, threads), *other = passed(&cases[i], BATCH, threads);
            assert_int_equal(pitot_net_prepare_products(other, NULL), PITOT_OK);
            products first = all_products(net);
            compare_products(&cases[i], "again", all_products(net), all_products(other), 0);
            pass(net, 3);
            free_products(&(products[]){ all_products(net) }[0]);
            pass(net, BATCH);
            compare_products(&cases[i], "after another batch", first, all_products(net), 0);
            pitot_net_free(net);
            pitot_net_free(other);
        }
}

static void test_threads(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++)
        for (int threads = 2; threads <= 3; threads++) {
            pitot_net *one = passed(&cases[i], ROOM, 1), *more = passed(&cases[i], ROOM, threads);
            compare_products(&cases[i], "threads", all_products(one), all_products(more), round_off);
            pitot_net_free(one);
            pitot_net_free(more);
        }
}

/* ---- ops ---- */

static int has_case(const op *o) {
    for (int i = 0; i < CASES; i++)
        for (int k = 0; k < LAYERS && cases[i].layer[k].op; k++)
            if (strcmp(cases[i].layer[k].op, o->name) == 0) return 1;
    return 0;
}

static void test_every_op(void **state) {
    (void)state;
    for (const op *const *o = op_table; *o; o++) {
        if (!has_case(*o)) fail_msg("op %s has no case in tests/unit/nets.h", (*o)->name);
        if (!(*o)->tangent && !((*o)->flags & (OP_LINEAR | OP_VIEW)))
            fail_msg("op %s has no tangent and is not OP_LINEAR", (*o)->name);
        if ((*o)->flags & OP_LINEAR) assert_true((*o)->inputs_max == 1 && (*o)->forward && (*o)->backward);
        if ((*o)->flags & OP_IN_PLACE) assert_true((*o)->flags & OP_NEEDS_OUTPUT);
    }
}

/* Far out, products are finite: weight 0, so that the bias is where the curve is asked. */
static void test_far_out(void **state) {
    (void)state;
    static const double far[] = { 1e4, -1e4, 1e18, -1e18, 0, 90, -90, 750, -750 };
    for (const op *const *o = op_table; *o; o++)
        for (size_t i = 0; i < sizeof far / sizeof *far; i++) {
            pitot_net *net = pitot_net_new(NULL, (const int64_t[]){ 1, 0 }, "mse", NULL);
            assert_int_equal(pitot_net_add(net, "linear", NULL, NULL, "out_features=1", NULL), PITOT_OK);
            if (pitot_net_add(net, (*o)->name, NULL, NULL, NULL, NULL) || net->n_nodes < 2 || net->node[1].weight.shape.size) {
                pitot_net_free(net);
                break;
            }
            assert_int_equal(pitot_net_prepare(net, 1, 1, NULL), PITOT_OK);
            net->param[1].data[0] = (pitot_real)far[i];
            pass(net, 1);
            pitot_real v[2] = { 1, 1 }, out[2];
            assert_int_equal(pitot_net_hvp(net, v, out), PITOT_OK);
            if (!isfinite(out[0]) || !isfinite(out[1])) fail_msg("%s: H v at %g", (*o)->name, far[i]);
            pitot_net_free(net);
        }
}

/* ---- captures ---- */

static void sum_linear(const pitot_capture *c, int64_t dout, int64_t din, double *dweight, double *dbias) {
    const pitot_real *a = c->A, *g = c->G;
    for (int64_t n = 0; n < c->n * c->t; n++)
        for (int64_t o = 0; o < dout; o++) {
            for (int64_t i = 0; i < din; i++) dweight[o * din + i] += (double)g[n * dout + o] * (double)a[n * din + i];
            if (dbias) dbias[o] += (double)g[n * dout + o];
        }
}

/* Weight (cout,per,kh,kw); one output position of one sample: g times the window that starts at (top, left). */
static void add_window(const pitot_capture *c, const int64_t *dim, const pitot_real *a, double g, int64_t top, int64_t left,
                       double *dweight) {
    for (int64_t k = 0; k < dim[1]; k++)
        for (int64_t i = 0; i < dim[2]; i++)
            for (int64_t j = 0; j < dim[3]; j++, dweight++) {
                int64_t y = top + i * c->dilation[0], x = left + j * c->dilation[1];
                if (y >= 0 && x >= 0 && y < c->h && x < c->w) *dweight += g * (double)a[(k * c->h + y) * c->w + x];
            }
}

static void sum_conv(const pitot_capture *c, const int64_t *dim, double *dweight, double *dbias) {
    int64_t high = (c->h + 2 * c->padding[0] - c->dilation[0] * (dim[2] - 1) - 1) / c->stride[0] + 1;
    int64_t wide = (c->w + 2 * c->padding[1] - c->dilation[1] * (dim[3] - 1) - 1) / c->stride[1] + 1;
    int64_t per = dim[1], size = per * dim[2] * dim[3], plane = c->h * c->w;
    const pitot_real *g = c->G;
    for (int64_t n = 0; n < c->n; n++)
        for (int64_t o = 0; o < dim[0]; o++) {
            int64_t group = o / (dim[0] / c->groups);
            const pitot_real *a = (const pitot_real *)c->A + (n * per * c->groups + group * per) * plane;
            for (int64_t p = 0; p < high * wide; p++, g++) {
                int64_t top = p / wide * c->stride[0] - c->padding[0], left = p % wide * c->stride[1] - c->padding[1];
                add_window(c, dim, a, (double)*g, top, left, dweight + o * size);
                if (dbias) dbias[o] += (double)*g;
            }
        }
}

static void compare_sum(const net_case *c, const pitot_net_param *p, const double *sum) {
    double most = largest(p->grad, p->size);
    for (int64_t j = 0; j < p->size; j++)
        if (!(fabs(sum[j] - (double)p->grad[j]) <= round_off * most))
            fail_msg("%s: %s[%lld]: captures sum to %.12g, the gradient is %.12g", c->what, p->name, (long long)j, sum[j],
                     (double)p->grad[j]);
}

static void check_capture(const net_case *c, const pitot_net *net, const pitot_capture *k) {
    assert_true(k->struct_size == sizeof *k && k->n == net->last.n && k->t == 1 && k->scale == 1 && (k->flags & ~PITOT_DATA) == 0);
    assert_true(k->a_dtype == 0 && k->g_dtype == 0 && k->weight > 0);
    const pitot_net_param *w = &net->param[k->weight - 1], *b = k->bias ? &net->param[k->bias - 1] : NULL;
    double *dweight = mem_alloc(w->size, sizeof *dweight), *dbias = b ? mem_alloc(b->size, sizeof *dbias) : NULL;
    assert_true(k->kind == (w->n_dim == 2 ? PITOT_LINEAR : PITOT_CONV2D));
    if (k->kind == PITOT_LINEAR) sum_linear(k, w->shape[0], w->shape[1], dweight, dbias);
    else sum_conv(k, w->shape, dweight, dbias);
    compare_sum(c, w, dweight);
    if (b) compare_sum(c, b, dbias);
    mem_free(dweight);
    mem_free(dbias);
}

static void check_captures(const net_case *c, int32_t threads) {
    pitot_net *net = passed(c, BATCH, threads);
    int64_t layers = 0, i = 0;
    for (int32_t k = 0; k < net->n_nodes; k++) layers += net->buffer[k].weight >= 0;
    for (;; i++) {
        pitot_capture k = { 0 };
        int32_t status = pitot_net_capture(net, i, &k);
        if (status == PITOT_EINVAL) break;
        if (status == PITOT_OK) check_capture(c, net, &k);
        else assert_true(status == PITOT_ENOTSUP && (c == &cases[CASES - 3] ? i == 1 : c == &cases[CASES - 2]));
    }
    assert_int_equal(i, layers);
    assert_int_equal(pitot_net_capture(net, -1, &(pitot_capture){ 0 }), PITOT_EINVAL);
    pitot_net_free(net);
}

static void test_captures(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++)
        for (int threads = 1; threads <= 2; threads++) check_captures(&cases[i], threads);
}

/* ---- order of calls, memory ---- */

static void expect(pitot_net *net, int32_t status) {
    pitot_real in[100] = { 0 }, out[100];
    assert_int_equal(pitot_net_hvp(net, in, out), status);
    assert_int_equal(pitot_net_ggnvp(net, in, out), status);
    assert_int_equal(pitot_net_jvp(net, in, out), status);
    assert_int_equal(pitot_net_vjp(net, in, out), status);
    assert_int_equal(pitot_net_capture(net, 0, &(pitot_capture){ 0 }), status);
}

static void test_order_of_calls(void **state) {
    (void)state;
    pitot_error error = { 0 };
    pitot_real v[8] = { 0 };
    pitot_net *net = pitot_net_new("n", (const int64_t[]){ 3, 0 }, "mse", NULL);
    expect(net, PITOT_EORDER);
    assert_int_equal(pitot_net_add(net, "linear", NULL, NULL, "out_features=2", NULL), PITOT_OK);
    assert_int_equal(pitot_net_prepare_products(net, &error), PITOT_EORDER);
    assert_non_null(strstr(error.text, "prepare"));
    assert_int_equal(pitot_net_prepare(net, 4, 1, NULL), PITOT_OK);
    assert_int_equal(pitot_net_prepare_products(net, NULL), PITOT_OK);
    assert_int_equal(pitot_net_prepare_products(net, NULL), PITOT_OK);
    expect(net, PITOT_EORDER);
    assert_int_equal(pitot_net_forward(net, batch_of(4), NULL), PITOT_OK);
    expect(net, PITOT_EORDER);
    assert_int_equal(pitot_net_backward(net), PITOT_OK);
    expect(net, PITOT_OK);
    assert_int_equal(pitot_net_hvp(net, NULL, v), PITOT_EINVAL);
    assert_int_equal(pitot_net_vjp(net, v, NULL), PITOT_EINVAL);
    assert_int_equal(pitot_net_forward(net, batch_of(5), NULL), PITOT_EINVAL);
    expect(net, PITOT_EORDER);
    pass(net, 4);
    assert_int_equal(pitot_net_forward(net, batch_of(4), NULL), PITOT_OK);
    expect(net, PITOT_EORDER);
    assert_int_equal(pitot_net_backward(net), PITOT_OK);
    assert_int_equal(pitot_net_prepare(net, 3, 2, NULL), PITOT_OK);
    expect(net, PITOT_EORDER);
    pass(net, 3);
    expect(net, PITOT_OK);
    assert_int_equal(pitot_net_add(net, "relu", NULL, NULL, NULL, NULL), PITOT_OK);
    expect(net, PITOT_EORDER);
    pitot_net_free(net);
}

/* The k-th request fails, once or for ever, until none does: nothing is lost, and the net can do what it could before. */
static void check_no_memory(const net_case *c, int forever, int lazy) {
    pitot_net *net = passed(c, BATCH, 2), *other = passed(c, BATCH, 2);
    int64_t before = mem_count().blocks;
    pitot_real *v = random_vector(net->size, 1), *out = vector(net->size);
    for (int k = 1;; k++) {
        pitot_error error = { 0 };
        mem_fail_at(k, forever);
        int32_t status = lazy ? pitot_net_hvp(net, v, out) : pitot_net_prepare_products(net, &error);
        mem_fail_at(0, 0);
        if (status == PITOT_OK) {
            assert_true(k > 3);
            break;
        }
        assert_int_equal(status, PITOT_ENOMEM);
        assert_true(lazy || (error.status == PITOT_ENOMEM && error.text[0]));
        assert_int_equal(mem_count().blocks, before + 2);
        pass(net, BATCH);
    }
    mem_free(v);
    mem_free(out);
    compare_products(c, "after no memory", all_products(net), all_products(other), 0);
    pitot_net_free(net);
    pitot_net_free(other);
}

static void test_no_memory(void **state) {
    (void)state;
    int64_t blocks = mem_count().blocks;
    for (int i = 4; i < CASES - 2; i += 7)
        for (int how = 0; how < 4; how++) check_no_memory(&cases[i], how & 1, how >> 1);
    assert_int_equal(mem_count().blocks, blocks);
}

static void test_products_allocate_nothing(void **state) {
    (void)state;
    int64_t blocks = mem_count().blocks;
    for (int i = 0; i < CASES; i++) {
        pitot_net *net = passed(&cases[i], BATCH, 2);
        int64_t outputs = ROOM * outputs_of(net);
        pitot_real *v = random_vector(net->size, 1), *out = vector(net->size), *u = random_vector(outputs, 2), *f = vector(outputs);
        assert_int_equal(pitot_net_prepare_products(net, NULL), PITOT_OK);
        int64_t requests = mem_count().requests;
        for (int64_t n = 1; n <= ROOM; n += 5) {
            pass(net, n);
            assert_int_equal(pitot_net_hvp(net, v, out), PITOT_OK);
            assert_int_equal(pitot_net_ggnvp(net, v, out), PITOT_OK);
            assert_int_equal(pitot_net_jvp(net, v, f), PITOT_OK);
            assert_int_equal(pitot_net_vjp(net, u, out), PITOT_OK);
        }
        assert_int_equal(mem_count().requests, requests);
        pitot_real *const all[] = { v, out, u, f };
        for (size_t k = 0; k < sizeof all / sizeof *all; k++) mem_free(all[k]);
        pitot_net_free(net);
    }
    assert_int_equal(mem_count().blocks, blocks);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#ifdef PITOT_DOUBLE
        cmocka_unit_test(test_differences),
        cmocka_unit_test(test_dense),
#endif
        cmocka_unit_test(test_symmetry),
        cmocka_unit_test(test_composition),
        cmocka_unit_test(test_one_layer),
        cmocka_unit_test(test_unreached),
        cmocka_unit_test(test_nothing_changes),
        cmocka_unit_test(test_repetition),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_every_op),
        cmocka_unit_test(test_far_out),
        cmocka_unit_test(test_captures),
        cmocka_unit_test(test_order_of_calls),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_products_allocate_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
