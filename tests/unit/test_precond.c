/* pitot/precond.h against dense matrices: powers of constructed preconditioners by an eigendecomposition of the whole (D,D), of every optimizer
   that shows one the steps that it takes, and P^(1/2) H P^(1/2) column by column. */

#include "base/alloc.h"
#include "base/blas.h"
#include "base/random.h"
#include "pitot/precond.h"
#include "pitot/solve.h"
#include "pitot/train.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#ifdef PITOT_DOUBLE
static const double tolerance = 1e-10;
#else
static const double tolerance = 1e-4; /* eigenvalues of order 1, of float factors, to the power -1/2 */
#endif

/* ---- constructed: w (4,3), its bias (4), v (5), b (6,4), one (3) that nothing is about ---- */

enum { W = 1, BIAS, V, B, ONE, TENSORS = 5, D = 12 + 4 + 5 + 24 + 3, AT_BIAS = 12, AT_V = 16, AT_B = 21 };

static const pitot_precond_tensor tensors[TENSORS] = { { 12, 4 }, { 4, 4 }, { 5, 5 }, { 24, 6 }, { 3, 3 } };

typedef struct dense {
    double p[D * D];
} dense;

/* A = sum value q q' of a random rotation; columns of q are the basis. Exact in neither precision: what is compared starts from `out`. */
static void positive(int n, uint64_t seed, pitot_real *out) {
    double x[64];
    for (int i = 0; i < n * n; i++) x[i] = random_uniform(seed, 7, 0, (uint64_t)i) - 0.5;
    for (int i = 0; i < n; i++)
        for (int j = 0; j <= i; j++) {
            double sum = i == j ? 0.4 : 0;
            for (int k = 0; k < n; k++) sum += x[i * n + k] * x[j * n + k];
            out[i * n + j] = out[j * n + i] = (pitot_real)sum;
        }
}

static void eigen_of(int n, const double *a, double *rows, double *value) {
    double *work = mem_alloc(blas_eigenvectors_work(n), sizeof *work);
    memcpy(rows, a, (size_t)(n * n) * sizeof *rows);
    assert_int_equal(blas_eigenvectors(n, rows, value, work), 0);
    mem_free(work);
}

/* Of A: eigenvectors as columns, eigenvalues, as an optimizer keeps them. */
static void decompose(int n, const pitot_real *A, pitot_real *basis, pitot_real *value) {
    double a[64], rows[64], v[8];
    for (int i = 0; i < n * n; i++) a[i] = (double)A[i];
    eigen_of(n, a, rows, v);
    for (int i = 0; i < n; i++) {
        value[i] = (pitot_real)v[i];
        for (int j = 0; j < n; j++) basis[j * n + i] = (pitot_real)rows[i * n + j];
    }
}

/* (Q diag Q')^power of columns Q as they are */
static void recompose(int n, const pitot_real *q, const double *value, double *out) {
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            out[i * n + j] = 0;
            for (int k = 0; k < n; k++) out[i * n + j] += (double)q[i * n + k] * value[k] * (double)q[j * n + k];
        }
}

static void identity(dense *d) {
    memset(d, 0, sizeof *d);
    for (int i = 0; i < D; i++) d->p[i * D + i] = 1;
}

/* Value (i,j) of a block of w with the bias in column 3, or of b: where it stands in vectors. */
static int place(int tensor, int i, int j) {
    if (tensor == B) return AT_B + 4 * i + j;
    return j < 3 ? 3 * i + j : AT_BIAS + i;
}

/* P over rows r..r+m and columns c..c+n of a tensor = L (x) R; NULL: the identity. */
static void put_kron(dense *d, int tensor, int r, int m, int c, int n, const double *L, const double *R) {
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++)
            for (int k = 0; k < m; k++)
                for (int l = 0; l < n; l++)
                    d->p[place(tensor, r + i, c + j) * D + place(tensor, r + k, c + l)] =
                        (L ? L[i * m + k] : i == k) * (R ? R[j * n + l] : j == l);
}

static void widen(const pitot_real *x, int n, double *out) {
    for (int i = 0; i < n; i++) out[i] = (double)x[i];
}

/* P^power x of `p` for powers 1, 1/2, -1/2, -1 against the dense matrix's. */
static void must_be_dense(const pitot_preconditioner *f, int n, const dense *want, const char *what) {
    static double rows[D * D], value[D];
    static const double powers[] = { 1, 0.5, -0.5, -1, 0.25 };
    pitot_error error = { 0 };
    pitot_real x[D], y[D];
    pitot_precond *p = pitot_precond_new(f, n, tensors, TENSORS, &error);
    if (!p) fail_msg("%s: %s", what, error.text);
    eigen_of(D, want->p, rows, value);
    for (int i = 0; i < D; i++) x[i] = (pitot_real)(random_uniform(3, 1, 0, (uint64_t)i) - 0.5);
    for (size_t q = 0; q < sizeof powers / sizeof *powers; q++) {
        double out[D] = { 0 };
        for (int k = 0; k < D; k++) {
            double along = 0;
            for (int i = 0; i < D; i++) along += rows[k * D + i] * (double)x[i];
            for (int i = 0; i < D; i++) out[i] += rows[k * D + i] * along * pow(value[k], powers[q]);
        }
        assert_int_equal(pitot_precond_apply(p, powers[q], x, y), PITOT_OK);
        for (int i = 0; i < D; i++)
            if (!(fabs((double)y[i] - out[i]) <= tolerance * (1 + fabs(out[i]))))
                fail_msg("%s, power %g: value %d is %.12g, not %.12g", what, powers[q], i, (double)y[i], out[i]);
        memcpy(y, x, sizeof y);
        pitot_precond_apply(p, powers[q], y, y); /* in place */
        for (int i = 0; i < D; i++) assert_true(fabs((double)y[i] - out[i]) <= tolerance * (1 + fabs(out[i])));
    }
    pitot_precond_free(p);
}

#define FACTOR(...)                                              \
    (pitot_preconditioner) {                                     \
        .struct_size = sizeof(pitot_preconditioner), __VA_ARGS__ \
    }

static void test_diagonal(void **state) {
    (void)state;
    static dense want;
    pitot_real f[D];
    for (int i = 0; i < D; i++) f[i] = (pitot_real)random_uniform(2, 3, 0, (uint64_t)i);
    identity(&want);
    for (int i = 0; i < D; i++) want.p[i * D + i] = 1 / (sqrt(1.5 * (double)f[i] + 0.1) + 0.2);
    pitot_preconditioner all =
        FACTOR(.axis = -1, .n = D, .factor = f, .power = -0.5, .damping = 0.1, .eps = 0.2, .bias_correction = 1.5);
    must_be_dense(&all, 1, &want, "all values");
    identity(&want);
    for (int i = 0; i < 5; i++) want.p[(AT_V + i) * (D + 1)] = (double)f[i] + 0.3; /* PSGD's: P itself */
    pitot_preconditioner v = FACTOR(.param = V, .axis = -1, .n = 5, .factor = f, .power = 1, .damping = 0.3);
    must_be_dense(&v, 1, &want, "one tensor");
    f[2] = 0;
    pitot_preconditioner adam = FACTOR(.param = V, .axis = -1, .n = 5, .factor = f, .power = -0.5);
    pitot_precond *p = pitot_precond_new(&adam, 1, tensors, TENSORS, NULL);
    pitot_real x[D] = { 0 };
    for (int i = 0; i < 5; i++) x[AT_V + i] = 1;
    pitot_precond_apply(p, -0.5, x, x);
    assert_true(x[AT_V + 2] == 0); /* has seen no gradient: does not move */
    assert_true(fabs((double)x[AT_V + 1] - pow((double)f[1], 0.25)) < tolerance);
    pitot_precond_free(p);
}

static void test_inverses(void **state) {
    (void)state;
    static dense want;
    pitot_real l[16], r[9], r4[16], d3[3] = { 0.5f, 2, 1.25f };
    double L[16], R[9], R4[16], D3[9] = { 0.5, 0, 0, 0, 2, 0, 0, 0, 1.25 };
    positive(4, 1, l), positive(3, 2, r), positive(4, 3, r4);
    widen(l, 16, L), widen(r, 9, R), widen(r4, 16, R4);
    pitot_preconditioner f[4] = { FACTOR(.param = W, .axis = 0, .n = 4, .factor = l, .inverse = l, .power = -1),
                                  FACTOR(.param = W, .axis = 1, .n = 3, .factor = r, .inverse = r, .power = 1) };
    identity(&want);
    put_kron(&want, W, 0, 4, 0, 3, L, NULL);
    must_be_dense(f, 1, &want, "rows alone");
    identity(&want);
    put_kron(&want, W, 0, 4, 0, 3, NULL, R);
    must_be_dense(f + 1, 1, &want, "columns alone");
    identity(&want);
    put_kron(&want, W, 0, 4, 0, 3, L, R);
    must_be_dense(f, 2, &want, "both");
    f[3] = f[0], f[2] = f[1];
    must_be_dense(f + 2, 2, &want, "both, columns first");
    f[1] = FACTOR(.param = W, .axis = 1, .n = 3, .factor = d3, .inverse = d3, .power = 1, .diagonal = 1);
    identity(&want);
    put_kron(&want, W, 0, 4, 0, 3, L, D3);
    must_be_dense(f, 2, &want, "a diagonal side");
    f[1] = FACTOR(.param = W, .axis = 1, .n = 4, .factor = r4, .inverse = r4, .bias_column = 1, .bias = BIAS);
    identity(&want);
    put_kron(&want, W, 0, 4, 0, 4, L, R4);
    must_be_dense(f, 2, &want, "a bias column");
}

/* Two groups of a convolution: rows 0..2 and 2..4 with their biases. */
static void test_groups(void **state) {
    (void)state;
    static dense want;
    pitot_real l[2][4], r[2][16];
    pitot_preconditioner f[4];
    identity(&want);
    for (int g = 0; g < 2; g++) {
        double L[4], R[16];
        positive(2, (uint64_t)(5 + g), l[g]), positive(4, (uint64_t)(8 + g), r[g]);
        widen(l[g], 4, L), widen(r[g], 16, R);
        for (int side = 0; side < 2; side++)
            f[2 * g + side] = FACTOR(.param = W, .axis = side, .n = side ? 4 : 2, .factor = side ? r[g] : l[g],
                                     .inverse = side ? r[g] : l[g], .bias_column = side, .bias = side ? BIAS : 0, .rows = 4,
                                     .columns = 4, .first_row = 2 * g, .n_rows = 2, .n_columns = 4);
        put_kron(&want, W, 2 * g, 2, 0, 4, L, R);
    }
    must_be_dense(f, 4, &want, "groups");
}

/* b (6,4) cut at row 4 and column 3. */
static void test_blocks(void **state) {
    (void)state;
    static dense want;
    static pitot_real l[4][16], r[4][9];
    pitot_preconditioner f[8];
    identity(&want);
    for (int k = 0; k < 4; k++) {
        int row = k / 2 * 4, column = k % 2 * 3, m = k < 2 ? 4 : 2, n = k % 2 ? 1 : 3;
        double L[16], R[9];
        positive(m, (uint64_t)(20 + k), l[k]), positive(n, (uint64_t)(30 + k), r[k]);
        widen(l[k], m * m, L), widen(r[k], n * n, R);
        for (int side = 0; side < 2; side++)
            f[2 * k + side] =
                FACTOR(.param = B, .axis = side, .n = side ? n : m, .factor = side ? r[k] : l[k], .inverse = side ? r[k] : l[k],
                       .rows = 6, .columns = 4, .first_row = row, .n_rows = m, .first_column = column, .n_columns = n);
        put_kron(&want, B, row, m, column, n, L, R);
    }
    must_be_dense(f, 8, &want, "blocks");
}

/* Basis and eigenvalues: (lambda + damping)^power on both sides. */
static void test_eigenvalues(void **state) {
    (void)state;
    static dense want;
    pitot_real a[2][16], q[2][16], v[2][4];
    double made[2][16];
    pitot_preconditioner f[2];
    for (int side = 0; side < 2; side++) {
        int n = side ? 3 : 4;
        double value[4];
        positive(n, (uint64_t)(40 + side), a[side]);
        decompose(n, a[side], q[side], v[side]);
        for (int i = 0; i < n; i++) value[i] = pow((double)v[side][i] + 0.2, -0.25);
        recompose(n, q[side], value, made[side]);
        f[side] = FACTOR(.param = W, .axis = side, .n = n, .factor = a[side], .basis = q[side], .eigenvalues = v[side],
                         .power = -0.25, .damping = 0.2);
    }
    identity(&want);
    put_kron(&want, W, 0, 4, 0, 3, made[0], made[1]);
    must_be_dense(f, 2, &want, "basis and eigenvalues");
}

/* 1 / ((correction s + damping)^power + eps), value by value in the bases of both sides: SOAP's, and EKFAC's with the bias. */
static void check_corrected(double power, int bias, const char *what) {
    static dense want;
    pitot_real a[2][16], q[2][16], v[4], s[16];
    int n = bias ? 4 : 3;
    pitot_preconditioner f[2];
    for (int i = 0; i < 16; i++) s[i] = (pitot_real)(0.2 + random_uniform(9, 9, 0, (uint64_t)i));
    for (int side = 0; side < 2; side++) {
        positive(side ? n : 4, (uint64_t)(50 + side), a[side]);
        decompose(side ? n : 4, a[side], q[side], v);
        f[side] = FACTOR(.param = W, .axis = side, .n = side ? n : 4, .factor = a[side], .basis = q[side], .power = power,
                         .eps = 0.05, .corrected = s, .corrected_power = power, .correction = 1.7, .bias_column = side && bias,
                         .bias = side && bias ? BIAS : 0);
    }
    identity(&want);
    for (int i = 0; i < 4 * n; i++)
        for (int j = 0; j < 4 * n; j++) {
            double sum = 0;
            for (int k = 0; k < 4 * n; k++)
                sum += (double)q[0][i / n * 4 + k / n] * (double)q[1][i % n * n + k % n] /
                       (pow(1.7 * (double)s[k], -power) + 0.05) * (double)q[0][j / n * 4 + k / n] * (double)q[1][j % n * n + k % n];
            want.p[place(W, i / n, i % n) * D + place(W, j / n, j % n)] = sum;
        }
    must_be_dense(f, 2, &want, what);
}

static void test_corrected(void **state) {
    (void)state;
    check_corrected(-0.5, 0, "corrected, SOAP");
    check_corrected(-1, 1, "corrected, EKFAC");
}

static void refused(const pitot_preconditioner *f, int n, int32_t status, const char *what) {
    pitot_error error = { 0 };
    pitot_precond *p = pitot_precond_new(f, n, tensors, TENSORS, &error);
    if (p || error.status != status) fail_msg("%s: status %d %s", what, error.status, error.text);
}

static void test_refusals(void **state) {
    (void)state;
    pitot_real l[16], minus[16] = { 0 }, odd[16], diagonal[64] = { 1, 2, NAN, 3 };
    positive(4, 1, l);
    memcpy(odd, l, sizeof odd);
    odd[5] = NAN;
    for (int i = 0; i < 4; i++) minus[5 * i] = i == 2 ? -1 : 1;
    const pitot_preconditioner good = FACTOR(.param = W, .axis = 0, .n = 4, .factor = l, .inverse = l);
    const pitot_preconditioner right =
        FACTOR(.param = W, .axis = 1, .n = 4, .factor = l, .inverse = l, .bias_column = 1, .bias = BIAS);
#define REFUSED(of, status, ...)              \
    do {                                      \
        pitot_preconditioner f = of;          \
        __VA_ARGS__;                          \
        refused(&f, 1, status, #__VA_ARGS__); \
    } while (0)
    REFUSED(good, PITOT_EINVAL, f.inverse = NULL);
    REFUSED(good, PITOT_EINVAL, f.factor = NULL);
    REFUSED(good, PITOT_EINVAL, f.inverse = NULL, f.basis = l);
    REFUSED(good, PITOT_EINVAL, f.n = 5);
    REFUSED(good, PITOT_EINVAL, f.n = 0);
    REFUSED(good, PITOT_EINVAL, f.param = 0);
    REFUSED(good, PITOT_EINVAL, f.param = TENSORS + 1);
    REFUSED(good, PITOT_EINVAL, f.param = -1);
    REFUSED(good, PITOT_EINVAL, f.axis = 2);
    REFUSED(good, PITOT_EINVAL, f.rows = 5);
    REFUSED(good, PITOT_EINVAL, f.rows = 4, f.first_row = 1);
    REFUSED(good, PITOT_EINVAL, f.rows = 4, f.first_column = 1, f.n_columns = 3);
    REFUSED(good, PITOT_EINVAL, f.rows = 4, f.first_row = -1);
    REFUSED(good, PITOT_EINVAL, f.axis = -1, f.n = 11);
    REFUSED(right, PITOT_EINVAL, f.bias = TENSORS + 1);
    REFUSED(right, PITOT_EINVAL, f.bias = V);
    REFUSED(right, PITOT_EINVAL, f.bias_column = 0);
    REFUSED(good, PITOT_EHOST, f.inverse = odd);
    REFUSED(good, PITOT_EHOST, f.inverse = minus);
    REFUSED(good, PITOT_EHOST, f.axis = -1, f.n = tensors[W - 1].size, f.factor = diagonal, f.power = -0.5, f.damping = 0.1);
    REFUSED(good, PITOT_EHOST, f.inverse = NULL, f.basis = l, f.eigenvalues = odd + 4, f.power = -0.5, f.damping = 0.1);
    REFUSED(good, PITOT_EHOST, f.inverse = NULL, f.basis = odd, f.eigenvalues = l);
    REFUSED(good, PITOT_EHOST, f.inverse = NULL, f.basis = l, f.corrected = diagonal, f.corrected_power = -1, f.damping = 0.1);
    minus[10] = (pitot_real)-1e-17; /* round-off */
    pitot_preconditioner near = good;
    near.inverse = minus;
    pitot_precond *p = pitot_precond_new(&near, 1, tensors, TENSORS, NULL);
    assert_non_null(p);
    assert_int_equal(pitot_precond_apply(p, 1, NULL, l), PITOT_EINVAL);
    pitot_precond_free(p);
    pitot_precond_free(NULL);
}

/* ---- optimizers at work ---- */

enum { N = 12, MOST = 512 };

typedef struct rig {
    pitot_net *net;
    pitot_optim *optim;
    pitot_provided provided;
    pitot_real x[N * 2 * 5 * 5];
    int32_t classes[N];
    pitot_precond_tensor tensor[16];
    int64_t n, size;
} rig;

/* A convolution with two groups, vectors, a layer without a bias, and one of a single output. */
static void build_net(rig *r) {
    pitot_error error = { 0 };
    r->net = pitot_net_new("all", (const int64_t[]){ 2, 5, 5, 0 }, "cross_entropy", &error);
    pitot_net_add(r->net, "conv2d", "conv", NULL, "out_channels=4, kernel=3, padding=1, groups=2", &error);
    pitot_net_add(r->net, "tanh", NULL, NULL, NULL, &error);
    pitot_net_add(r->net, "conv2d", "narrow", NULL, "out_channels=1, kernel=1", &error);
    pitot_net_add(r->net, "flatten", NULL, NULL, NULL, &error);
    pitot_net_add(r->net, "linear", "fc1", NULL, "out_features=6", &error);
    pitot_net_add(r->net, "tanh", NULL, NULL, NULL, &error);
    pitot_net_add(r->net, "linear", "one", NULL, "out_features=1", &error);
    pitot_net_add(r->net, "linear", "fc2", NULL, "out_features=4, bias=false", &error);
    assert_int_equal(error.status, PITOT_OK);
    assert_int_equal(pitot_net_prepare(r->net, N, 1, &error), PITOT_OK);
    assert_int_equal(pitot_net_init(r->net, 3), PITOT_OK);
    for (int i = 0; i < N * 50; i++) r->x[i] = (pitot_real)(random_uniform(5, 5, 0, (uint64_t)i) - 0.5);
    for (int n = 0; n < N; n++) r->classes[n] = n % 4, r->x[n * 50 + n % 4] += 2;
}

/* The batch is all the data there is. */
static int32_t data_gradient(void *user, double *loss) {
    rig *r = user;
    pitot_net_batch b = { .struct_size = sizeof b, .n = N, .x = r->x, .classes = r->classes, .training = 1, .seed = 1 };
    int32_t status = pitot_net_forward(r->net, &b, loss);
    return status ? status : pitot_net_backward(r->net);
}

static rig *open_rig(const char *name, const char *const *set) {
    pitot_error error = { 0 };
    rig *r = mem_alloc(1, sizeof *r);
    build_net(r);
    r->optim = pitot_optim_new(name, &error);
    if (!r->optim) fail_msg("%s", error.text);
    for (; set && *set; set += 2)
        if (pitot_optim_set(r->optim, set[0], set[1], &error)) fail_msg("%s", error.text);
    r->provided = (pitot_provided){ .struct_size = sizeof r->provided, .data = data_gradient, .user = r };
    if (pitot_provide_prepare(&r->provided, r->net, r->optim, 1, &error)) fail_msg("%s: %s", name, error.text);
    const pitot_net_param *p = pitot_net_params(r->net);
    for (r->n = 0; r->n < pitot_net_param_count(r->net); r->size += p[r->n++].size)
        r->tensor[r->n] = (pitot_precond_tensor){ p[r->n].size, p[r->n].shape[0] };
    assert_true(r->size <= MOST && r->n <= 16);
    return r;
}

static void close_rig(rig *r) {
    pitot_optim_free(r->optim);
    pitot_provide_end(&r->provided);
    pitot_net_free(r->net);
    mem_free(r);
}

static void backward(rig *r) {
    double loss;
    pitot_net_batch b = { .struct_size = sizeof b, .n = N, .x = r->x, .classes = r->classes, .training = 1, .seed = 1 };
    assert_int_equal(pitot_net_forward(r->net, &b, &loss), PITOT_OK);
    assert_int_equal(pitot_net_backward(r->net), PITOT_OK);
}

static void get(const rig *r, int gradient, pitot_real *out) {
    const pitot_net_param *p = pitot_net_params(r->net);
    for (int64_t i = 0; i < r->n; out += p[i++].size)
        memcpy(out, gradient ? p[i].grad : p[i].data, (size_t)p[i].size * sizeof *out);
}

/* `steps` steps; of the last one the gradient and what went off the parameters. */
static pitot_precond *work(rig *r, int steps, pitot_real *g, pitot_real *moved, pitot_error *error) {
    pitot_real after[MOST];
    for (int t = 0; t < steps; t++) {
        backward(r);
        get(r, 1, g);
        get(r, 0, moved);
        assert_int_equal(pitot_optim_step(r->optim), PITOT_OK);
    }
    get(r, 0, after);
    for (int64_t i = 0; i < r->size; i++) moved[i] -= after[i];
    return pitot_precond_of(r->optim, r->tensor, r->n, error);
}

static double distance(const pitot_real *a, double by, const pitot_real *b, int64_t n) {
    double off = 0, all = 0;
    for (int64_t i = 0; i < n; i++) {
        off += pow((double)a[i] - by * (double)b[i], 2);
        all += pow((double)a[i], 2);
    }
    return sqrt(off / all);
}

/* P^(1/2) P^(1/2) = P, on values that P does not leave at 0; or a reason. */
static void check_root(const char *name, const char *const *set) {
    pitot_error error = { 0 };
    pitot_real g[MOST], moved[MOST], twice[MOST];
    rig *r = open_rig(name, set);
    pitot_precond *p = work(r, 6, g, moved, &error);
    int hidden = strcmp(name, "adafactor") == 0; /* its rows and columns are no diagonal that is kept */
    if (!pitot_optim_method(r->optim)->view || hidden) {
        assert_null(p);
        assert_int_equal(error.status, PITOT_ENOTSUP);
        assert_non_null(strstr(error.text, name));
    } else {
        if (!p) fail_msg("%s: %s", name, error.text);
        pitot_precond_apply(p, 0.5, g, twice);
        pitot_precond_apply(p, 0.5, twice, twice);
        pitot_precond_apply(p, 1, g, g);
        double off = distance(g, 1, twice, r->size);
        if (!(off < tolerance)) fail_msg("%s: P^(1/2) twice is off by %g", name, off);
    }
    pitot_precond_free(p);
    close_rig(r);
}

static void test_all(void **state) {
    (void)state;
    for (const pitot_optimizer *const *m = pitot_optimizers(); *m; m++) check_root((*m)->name, NULL);
    check_root("kfac", (const char *const[]){ "damping_form", "eigen", NULL });
}

/* Steps of methods without momentum are lr P g; scale 0: with a factor that is of the whole step. eps is large, so that its place matters. */
static const struct {
    const char *name, *set[16];
    double lr;
} steps[] = {
    { "adam", { "lr", "0.05", "betas", "0,0.9", "eps", "0.1" }, 0.05 },
    { "adam", { "lr", "0.05", "betas", "0,0.9", "eps", "0.1", "amsgrad", "true" }, 0.05 },
    { "adamw", { "lr", "0.05", "betas", "0,0.9", "eps", "0.1", "weight_decay", "0" }, 0.05 },
    { "nadam", { "lr", "0.05", "betas", "0,0.9", "eps", "0.1" }, 0.05 },
    { "radam", { "lr", "0.05", "betas", "0,0.9", "eps", "0.1" }, 0 },
    { "adagrad", { "lr", "0.05", "eps", "0.1" }, 0.05 },
    { "rmsprop", { "lr", "0.05", "eps", "0.1" }, 0.05 },
    { "adahessian", { "lr", "0.05", "betas", "0,0.9", "eps", "0.1", "hessian_power", "0.7" }, 0.05 },
    { "prodigy", { "lr", "1", "betas", "0,0.9", "weight_decay", "0", "d0", "0.01" }, 0 },
    { "kfac", { "lr", "0.05", "momentum", "0", "kl_clip", "0", "damping", "0.1" }, 0.05 },
    { "kfac", { "lr", "0.05", "momentum", "0", "kl_clip", "0", "damping", "0.1", "damping_form", "each", "T_inv", "4" }, 0.05 },
    { "kfac", { "lr", "0.05", "momentum", "0", "kl_clip", "0", "damping", "0.1", "damping_form", "eigen" }, 0.05 },
    { "kfac", { "lr", "0.05", "momentum", "0", "damping", "0.1" }, 0 },
    { "ekfac", { "lr", "0.05" }, 0.05 },
    { "ekfac", { "lr", "0.05", "moments", "average" }, 0.05 },
    { "singd", { "lr", "0.05", "momentum", "0", "lr_cov", "0.1", "T", "1" }, 0.05 },
    { "singd", { "lr", "0.05", "momentum", "0", "lr_cov", "0.1", "T", "1", "structure", "diagonal" }, 0.05 },
    { "shampoo", { "lr", "0.05", "epsilon", "0.01" }, 0.05 },
    { "shampoo", { "lr", "0.05", "epsilon", "0.01", "max_preconditioner_dim", "4" }, 0.05 },
    { "eshampoo", { "lr", "0.05", "betas", "0,0.9", "epsilon", "0.1", "weight_decay", "0" }, 0.05 },
    { "eshampoo", { "lr", "0.05", "betas", "0,0.9", "epsilon", "0.1", "weight_decay", "0", "max_preconditioner_dim", "4" }, 0.05 },
    { "soap", { "lr", "0.05", "betas", "0,0.9", "eps", "0.1", "weight_decay", "0", "precondition_frequency", "1000" }, 0.05 },
    { "soap",
      { "lr", "0.05", "betas", "0,0.9", "eps", "0.1", "weight_decay", "0", "max_precond_dim", "8", "precondition_1d", "true",
        "precondition_frequency", "1000" },
      0.05 },
    { "psgd_kron", { "lr", "0.01", "grad_clip_max_amps", "1e9,1e9" }, 0.01 },
    { "psgd_kron", { "lr", "0.01", "grad_clip_max_amps", "1e9,1e9", "preconditioner_max_skew", "1e9" }, 0.01 },
    { "psgd_kron", { "lr", "0.01", "grad_clip_max_amps", "1e9,1e9", "preconditioner_max_size", "1", "dq", "eq" }, 0.01 },
};

static void test_steps(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
        pitot_error error = { 0 };
        pitot_real g[MOST], moved[MOST];
        rig *r = open_rig(steps[k].name, steps[k].set);
        pitot_precond *p = work(r, 9, g, moved, &error);
        if (!p) fail_msg("%s: %s", steps[k].name, error.text);
        pitot_precond_apply(p, 1, g, g);
        double across = 0, square = 0, by = steps[k].lr;
        for (int64_t i = 0; i < r->size && by == 0; i++)
            across += (double)g[i] * (double)moved[i], square += (double)g[i] * (double)g[i];
        if (by == 0) by = across / square;
        double off = distance(moved, by, g, r->size);
        /* of differences of parameters that are about 100 times as long */
        if (!(off < 100 * tolerance)) fail_msg("case %d, %s: the step is off from lr P g by %g", (int)k, steps[k].name, off);
        pitot_precond_free(p);
        close_rig(r);
    }
}

/* ---- the operator ---- */

static int32_t apply_hessian(void *self, const pitot_real *x, pitot_real *y, int64_t k) {
    rig *r = self;
    int32_t status = PITOT_OK;
    for (int64_t j = 0; j < k && !status; j++) status = pitot_net_hvp(r->net, x + j * r->size, y + j * r->size);
    return status;
}

static pitot_linop hessian_of(rig *r) {
    return (pitot_linop){ .struct_size = sizeof(pitot_linop),
                          .name = "hessian",
                          .n = r->size,
                          .symmetric = 1,
                          .exact = 1,
                          .apply = apply_hessian,
                          .self = r };
}

/* Adam's by its formula from its state, and pitot_scaled with its root, which is the same operator. */
static void test_adam(void **state) {
    (void)state;
    pitot_error error = { 0 };
    pitot_real g[MOST], moved[MOST], root[MOST], x[MOST], y[MOST], z[MOST], room[MOST];
    rig *r = open_rig("adam", (const char *const[]){ "lr", "0.05", "eps", "0.01", NULL });
    pitot_precond *p = work(r, 5, g, moved, &error);
    pitot_optim_array a;
    int64_t at = 0;
    for (int64_t j = 0; pitot_optim_state(r->optim, j, &a) == PITOT_OK; j++)
        if (strstr(a.name, ":exp_avg_sq"))
            for (int64_t i = 0; i < a.bytes / (int64_t)sizeof *g; i++)
                root[at++] = (pitot_real)pow(sqrt((double)((pitot_real *)a.data)[i] / (1 - pow(0.999, 5))) + 0.01, -0.5);
    assert_true(at == r->size);
    pitot_linop hessian = hessian_of(r), seen;
    pitot_scaled scaled;
    pitot_scaled_init(&scaled, &hessian, root, room);
    assert_int_equal(pitot_precond_operator(p, &hessian, &seen), PITOT_OK);
    for (int64_t i = 0; i < r->size; i++) x[i] = (pitot_real)(random_uniform(8, 8, 0, (uint64_t)i) - 0.5);
    pitot_precond_apply(p, 0.5, x, y);
    for (int64_t i = 0; i < r->size; i++) assert_true(fabs((double)y[i] - (double)(root[i] * x[i])) < tolerance * 10);
    assert_int_equal(seen.apply(seen.self, x, y, 1), PITOT_OK);
    assert_int_equal(scaled.op.apply(scaled.op.self, x, z, 1), PITOT_OK);
    double off = distance(y, 1, z, r->size);
    if (!(off < tolerance)) fail_msg("the operator is off by %g", off);
    pitot_precond_free(p);
    close_rig(r);
}

/* y = A x for symmetric A (n,n), or A^(1/2) x from A's eigenvectors. */
static void dense_product(int64_t n, const double *A, const double *x, double *y) {
    for (int64_t i = 0; i < n; i++) {
        y[i] = 0;
        for (int64_t j = 0; j < n; j++) y[i] += A[i * n + j] * x[j];
    }
}

/* Two columns of P^(1/2) H P^(1/2) from H and P column by column, the root by an eigendecomposition of all of P. */
static void check_operator(const char *name, const char *const *set) {
    static double P[MOST * MOST], H[MOST * MOST], rows[MOST * MOST], value[MOST], u[MOST], v[MOST];
    static pitot_real e[MOST], out[MOST], x[2 * MOST], y[2 * MOST];
    pitot_real g[MOST], moved[MOST];
    pitot_error error = { 0 };
    rig *r = open_rig(name, set);
    int64_t n = r->size;
    pitot_precond *p = work(r, 4, g, moved, &error);
    pitot_linop hessian = hessian_of(r), wrong = hessian, seen;
    if (!p) fail_msg("%s", error.text);
    for (int64_t j = 0; j < n; j++) {
        memset(e, 0, sizeof e);
        e[j] = 1;
        pitot_precond_apply(p, 1, e, out);
        for (int64_t i = 0; i < n; i++) P[i * n + j] = (double)out[i];
        apply_hessian(r, e, out, 1);
        for (int64_t i = 0; i < n; i++) H[i * n + j] = (double)out[i];
    }
    eigen_of((int)n, P, rows, value);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            P[i * n + j] = 0;
            for (int64_t k = 0; k < n; k++) P[i * n + j] += rows[k * n + i] * rows[k * n + j] * sqrt(fmax(0, value[k]));
        }
    assert_int_equal(pitot_precond_operator(p, &hessian, &seen), PITOT_OK);
    assert_true(seen.n == n && seen.symmetric && seen.exact && strcmp(seen.name, "hessian") == 0);
    for (int64_t i = 0; i < 2 * n; i++) x[i] = (pitot_real)(random_uniform(8, 8, 0, (uint64_t)i) - 0.5);
    assert_int_equal(seen.apply(seen.self, x, y, 2), PITOT_OK);
    for (int c = 0; c < 2; c++) {
        double off = 0, all = 0;
        for (int64_t i = 0; i < n; i++) u[i] = (double)x[c * n + i];
        dense_product(n, P, u, v), dense_product(n, H, v, u), dense_product(n, P, u, v);
        for (int64_t i = 0; i < n; i++) off += pow((double)y[c * n + i] - v[i], 2), all += v[i] * v[i];
        if (!(sqrt(off / all) < 10 * tolerance)) fail_msg("%s, column %d: off by %g", name, c, sqrt(off / all));
    }
    wrong.n--;
    assert_int_equal(pitot_precond_operator(p, &wrong, &seen), PITOT_EINVAL);
    pitot_precond_free(p);
    close_rig(r);
}

static void test_operator(void **state) {
    (void)state;
    check_operator("adam", (const char *const[]){ "eps", "0.01", NULL });
    check_operator("kfac", (const char *const[]){ "damping", "0.1", NULL });
    check_operator("soap", (const char *const[]){ "eps", "0.01", NULL });
}

/* ---- what there is none of ---- */

static void test_none(void **state) {
    (void)state;
    static const char *const hidden[][3] = { { "rmsprop", "centered", "true" }, { "adafactor", "lr", "0.01" } };
    pitot_error error = { 0 };
    pitot_real g[MOST], moved[MOST];
    for (int k = 0; k < 2; k++) {
        rig *r = open_rig(hidden[k][0], (const char *const[]){ hidden[k][1], hidden[k][2], NULL });
        error = (pitot_error){ 0 };
        assert_null(work(r, 2, g, moved, &error));
        assert_int_equal(error.status, PITOT_ENOTSUP);
        close_rig(r);
    }
    rig *r = open_rig("adam", NULL);
    error = (pitot_error){ 0 };
    assert_null(pitot_precond_of(r->optim, r->tensor, r->n, &error));
    assert_int_equal(error.status, PITOT_EORDER);
    close_rig(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_diagonal), cmocka_unit_test(test_inverses),    cmocka_unit_test(test_groups),
        cmocka_unit_test(test_blocks),   cmocka_unit_test(test_eigenvalues), cmocka_unit_test(test_corrected),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_all),         cmocka_unit_test(test_steps),
        cmocka_unit_test(test_adam),     cmocka_unit_test(test_operator),    cmocka_unit_test(test_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
