/* Optimizers on matrices against what their references really produced (tests/golden/optimizers_shampoo.json), and against dense algebra where
   they did not reach.

   reference cases: muon, shampoo, soap, eshampoo, psgd_kron */

#include "golden.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/number.h"
#include "base/random.h"
#include "curve/eigen.h"
#include "optim/core/bases.h"
#include "optim/core/newton_schulz.h"
#include "optim/core/optimizer.h"
#include "optim/core/psgd.h"
#include "optim/core/roots.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { TENSORS = 4, MOST = 20 };

/* How near a trace is to be followed stands in it: in double 1e-10, or what the reference itself allows, about four times what is seen.
   - Meta's Shampoo holds lr and 1 - beta^t in float32, the latter as powf has it: 2e-7 in the weights. In double, "each_step" gives our lr,
     epsilon, eps of the graft and weight decay that say the same in each step; the traces are met to 5e-12 so, but for coupled Newton (its
     iteration ends at 1e-10 of the root, 4e-9 of the weights) and what is eigenvalue-corrected (below). KL-Shampoo's scalars go into its
     statistics, where no option reaches: 5e-8.
   - pytorch_optimizer decomposes in float32, and of SOAP it holds the state so: 2e-7, and with factors that begin with 1e-6 I 5e-6 to 7e-5.
   - Eigenvalue-corrected: in the null space of a gradient second moments are round-off, and divided by. Inputs moved by 1e-11 move the reference
     itself by 2e-9 to 2e-8, without a criterion to turn the basis to the end by more: 9e-6. "free": what the first step does in the null
     space of its only gradient hangs on round-off in the reference too; the parameters after it are taken over, the state is not.
   In float: a few units in the last place of weights of order 1, and more where factors are nearly singular, as an eigenvalue of 1e-8 is lost in
   a factor of order 10 that is stored in float; without such a number a trace is one for double alone.

   Traces of the same references that are not here, and why:
   - Muon with Newton-Schulz in bfloat16: the reference's products are PyTorch's on a CPU, sums in bfloat16 too, singular values go up by 3.4445
     in each of five turns, and W2's gradient has one that is 0: its first step is 54% off the reference's own in float32, the others' 7 and 9%.
     Rounding each product once, sums in float, comes no nearer (9% of five steps, in place of 8).
   - ScalableShampoo by coupled Newton: in its second step, the first with roots, the reference's direction is zero: with a zero there the trace is
     met to 2e-8, with a root it is 0.35 off, and the momentum of later steps holds it.
   - ASDL's Shampoo: its iteration stops at once where the largest element of the residual grows at first, and the root is then a multiple of I.
   - pytorch_optimizer's Shampoo on the net: momentum is of gradients mixed with the step before, and nothing moves before the first root; with
     that, and roots by float32's SVD, its second step is met to 3e-6, but the third is 15 long, through eigenvalues that float32 does not have.
   - PSGD of Newton's kind, and the older interface: methods that are fitted to products with the Hessian, or in other groups of matrices. */
#ifdef PITOT_DOUBLE
static const char *const tolerance_name = "tolerance", *const free_name = "free";
#else
static const char *const tolerance_name = "tolerance_float", *const free_name = "free_float";
#endif

extern const pitot_optimizer pitot_optimizer_psgd_kron;

GOLDEN_FILE("tests/golden/optimizers_shampoo.json");

static const cJSON *get(const cJSON *from, const char *field) {
    return cJSON_GetObjectItem(from, field);
}

static const char *text_of(const cJSON *trace, const char *field) {
    return get(trace, field)->valuestring;
}

/* ---- traces ---- */

static int64_t numbers(const cJSON *from, pitot_real *out) {
    int64_t n = 0;
    for (const cJSON *v = from->child; v; v = v->next) out[n++] = (pitot_real)v->valuedouble;
    return n;
}

static void option_text(const cJSON *value, char *out, size_t size) {
    char number[NUMBER_ROOM];
    size_t used = 0;
    if (cJSON_IsBool(value)) snprintf(out, size, "%s", cJSON_IsTrue(value) ? "true" : "false");
    if (cJSON_IsString(value)) snprintf(out, size, "%s", value->valuestring);
    for (const cJSON *v = cJSON_IsArray(value)    ? value->child
                          : cJSON_IsNumber(value) ? value
                                                  : NULL;
         v; v = cJSON_IsArray(value) ? v->next : NULL) {
        number_write(v->valuedouble, number);
        used += (size_t)snprintf(out + used, size - used, "%s%s", used ? "," : "", number);
    }
}

static pitot_optim *optim_of(const cJSON *trace) {
    char text[128];
    pitot_error error = { 0 };
    pitot_optim *o = pitot_optim_new(text_of(trace, "optimizer"), &error);
    if (!o) fail_msg("%s: %s", text_of(trace, "name"), error.text);
    for (const cJSON *h = get(trace, "options")->child; h; h = h->next) {
        option_text(h, text, sizeof text);
        if (pitot_optim_set(o, h->string, text, &error)) fail_msg("%s: %s", text_of(trace, "name"), error.text);
    }
    return o;
}

typedef struct model {
    int64_t n;
    pitot_real x[TENSORS][MOST], g[TENSORS][MOST];
    const pitot_real *at[TENSORS];
    pitot_optim_tensor tensor[TENSORS];
} model;

static void start(model *m, const cJSON *problem) {
    *m = (model){ 0 };
    const cJSON *shape = get(problem, "shapes")->child;
    for (const cJSON *x = get(problem, "start")->child; x; x = x->next, shape = shape->next, m->n++) {
        pitot_optim_tensor *t = &m->tensor[m->n];
        m->at[m->n] = m->g[m->n];
        *t = (pitot_optim_tensor){ "w", numbers(x, m->x[m->n]), m->x[m->n], &m->at[m->n], { 0 } };
        int d = 0;
        for (const cJSON *s = shape->child; s; s = s->next) t->shape[d++] = s->valueint;
    }
}

static void check_weights(const cJSON *trace, int step, const cJSON *want, model *m) {
    double tolerance = get(trace, tolerance_name)->valuedouble;
    int free = get(trace, free_name) != NULL;
    int64_t i = 0;
    for (const cJSON *w = want->child; w; w = w->next, i++)
        for (int64_t j = 0; j < m->tensor[i].size; j++) {
            double expected = cJSON_GetArrayItem(w, (int)j)->valuedouble;
            if (free && step == 1) m->x[i][j] = (pitot_real)expected;
            if (!(fabs((double)m->x[i][j] - expected) <= tolerance))
                fail_msg("%s, step %d, tensor %d, value %d: %.17g, the reference has %.17g", text_of(trace, "name"), step, (int)i,
                         (int)j, (double)m->x[i][j], expected);
        }
}

/* Random numbers as the reference drew them. */
static const cJSON *drawn;

static const cJSON *next_draw(const char *kind) {
    const cJSON *d = drawn;
    assert_non_null(d);
    assert_string_equal(text_of(d, "kind"), kind);
    drawn = d->next;
    return get(d, "values");
}

static void recorded_normal(void *self, int64_t n, pitot_real *out) {
    (void)self;
    assert_int_equal(numbers(next_draw("normal"), out), n);
}

static double recorded_uniform(void *self) {
    (void)self;
    return next_draw("uniform")->child->valuedouble;
}

static int32_t recorded_step(pitot_stepping *s) {
    return psgd_kron_step(s, &(psgd_draws){ recorded_normal, recorded_uniform, NULL });
}

/* Options of this step, where they differ from step to step. */
static void set_each(const cJSON *trace, int step, pitot_optim *o) {
    char text[NUMBER_ROOM];
    const cJSON *all = sizeof(pitot_real) == 8 ? get(trace, "each_step") : NULL;
    for (const cJSON *h = all ? all->child : NULL; h; h = h->next) {
        number_write(cJSON_GetArrayItem(h, step)->valuedouble, text);
        if (strcmp(h->string, "lr") == 0) assert_int_equal(pitot_optim_set(o, "lr", text, NULL), PITOT_OK);
        else
            assert_int_equal(pitot_options_set(o->part[0].method->options, o->part[0].options, "", h->string, text, NULL),
                             PITOT_OK);
    }
}

static void check_trace(const cJSON *trace) {
    model m;
    pitot_error error = { 0 };
    const cJSON *problem = get(get(golden, "problems"), text_of(trace, "problem")), *given = get(problem, "grads");
    start(&m, problem);
    pitot_optim *o = optim_of(trace);
    pitot_optimizer recorded = pitot_optimizer_psgd_kron;
    recorded.step = recorded_step;
    if (get(get(trace, "steps")->child, "draws")) o->part[0].method = &recorded;
    if (pitot_optim_prepare(o, m.tensor, m.n, 1, &error)) fail_msg("%s: %s", text_of(trace, "name"), error.text);
    int step = 0;
    for (const cJSON *s = get(trace, "steps")->child; s; s = s->next) {
        int64_t i = 0;
        for (const cJSON *g = (given ? cJSON_GetArrayItem(given, step) : get(s, "grads"))->child; g; g = g->next)
            numbers(g, m.g[i++]);
        set_each(trace, step, o);
        drawn = get(s, "draws") ? get(s, "draws")->child : NULL;
        assert_int_equal(pitot_optim_step(o), PITOT_OK);
        assert_null(drawn);
        check_weights(trace, ++step, get(s, "weights"), &m);
    }
    assert_true(step == 5 && strlen(text_of(trace, "reference")) > 0);
    pitot_optim_free(o);
}

static void check_traces(const char *optimizer) {
    int n = 0;
    for (const cJSON *t = get(golden, "traces")->child; t; t = t->next)
        if (strcmp(text_of(t, "optimizer"), optimizer) == 0 && get(t, tolerance_name)) check_trace(t), n++;
    assert_true(n >= 2);
}

static void test_muon_traces(void **state) {
    (void)state;
    check_traces("muon");
}

static void test_shampoo_traces(void **state) {
    (void)state;
    check_traces("shampoo");
}

static void test_soap_traces(void **state) {
    (void)state;
    check_traces("soap");
}

static void test_eshampoo_traces(void **state) {
    (void)state;
    check_traces("eshampoo");
}

static void test_psgd_traces(void **state) {
    (void)state;
    check_traces("psgd_kron");
}

/* ---- shared kernels against plain loops ---- */

/* Round-off of short sums of numbers of order 1, times what inverses of conditions up to 100 make of it. */
#ifdef PITOT_DOUBLE
static const double near = 1e-11;
#else
static const double near = 2e-4;
#endif

static double drawn_normal(uint64_t stream, int64_t i) {
    double two[2];
    random_normal(7, stream, 0, (uint64_t)i, two);
    return two[0];
}

static void draw(uint64_t stream, int64_t n, pitot_real *out) {
    for (int64_t i = 0; i < n; i++) out[i] = (pitot_real)drawn_normal(stream, i);
}

/* out (m,n) = op(A) op(B), in double; ta, tb: A (k,m), B (n,k). */
static void product(int ta, int tb, int m, int n, int k, const double *a, const double *b, double *out) {
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            double sum = 0;
            for (int l = 0; l < k; l++) sum += (ta ? a[l * m + i] : a[i * k + l]) * (tb ? b[j * k + l] : b[l * n + j]);
            out[i * n + j] = sum;
        }
}

static void must_be_near(const double *a, const double *b, int64_t n, double tolerance, const char *what) {
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(a[i] - b[i]) <= tolerance)) fail_msg("%s: value %d: %.17g, not %.17g", what, (int)i, a[i], b[i]);
}

static void widen(int64_t n, const pitot_real *x, double *out) {
    for (int64_t i = 0; i < n; i++) out[i] = (double)x[i];
}

enum { K = 6 };

/* A symmetric positive matrix of rank `rank`, eigenvalues of order 1. */
static void make_matrix(int rank, pitot_real *m) {
    pitot_real a[K * K];
    double wide[K * K], square[K * K];
    draw(3, K * rank, a);
    widen(K * rank, a, wide);
    product(0, 1, K, K, rank, wide, wide, square);
    for (int i = 0; i < K * K; i++) m[i] = (pitot_real)(square[i] + (rank == K && i % (K + 1) == 0 ? 0.5 : 0));
}

/* M X^p = I on the range of M: with eps 0 and not full rank X^p M is a projection of that trace. */
static void check_root(int rank, double eps, int p) {
    pitot_real m[K * K], x[K * K];
    double wide[K * K], power[K * K], root[K * K], next[K * K], trace = 0, *work = mem_alloc(roots_work(K), sizeof *work);
    make_matrix(rank, m);
    assert_int_equal(roots_inverse(K, m, 0.5, eps, 1.0 / p, x, work), 0);
    widen(K * K, m, wide);
    for (int i = 0; i < K * K; i++) wide[i] = 0.5 * wide[i] + (i % (K + 1) ? 0 : eps);
    widen(K * K, x, root);
    memcpy(power, wide, sizeof power);
    for (int k = 0; k < p; k++) {
        product(0, 0, K, K, K, power, root, next);
        memcpy(power, next, sizeof power);
    }
    product(0, 0, K, K, K, power, power, next);
    must_be_near(power, next, K * K, near, "a root's power is a projection");
    for (int i = 0; i < K; i++) trace += power[i * K + i];
    assert_true(fabs(trace - (eps > 0 ? K : rank)) < near * K);
    mem_free(work);
}

static void test_roots(void **state) {
    (void)state;
    const pitot_real indefinite[4] = { -0.5, 0, 0, 1 }; /* lifted to 0 and 1.5, and 1 added */
    pitot_real x[4];
    double *work = mem_alloc(roots_work(2), sizeof *work), wide[4];
    assert_int_equal(roots_inverse(2, indefinite, 1, 1, 1, x, work), 0);
    widen(4, x, wide);
    must_be_near(wide, (const double[]){ 1, 0, 0, 0.4 }, 4, near, "a shifted root");
    mem_free(work);
    for (int p = 1; p <= 4; p++) {
        check_root(K, 0.1, p);
        check_root(3, 0.1, p);
        check_root(K, 0, p);
        check_root(3, 0, p);
    }
}

/* (scale M + eps I) X^p = I, by products alone. */
static void check_newton(int rank, double eps, int p) {
    pitot_real m[K * K], x[K * K];
    double wide[K * K], power[K * K], root[K * K], one[K * K] = { 0 }, *work = mem_alloc(roots_newton_work(K), sizeof *work);
    make_matrix(rank, m);
    assert_int_equal(roots_newton(K, m, 0.5, eps, p, 1e-13, 100, x, work), 0);
    widen(K * K, m, wide);
    for (int i = 0; i < K * K; i++) power[i] = 0.5 * wide[i] + (i % (K + 1) ? 0 : eps);
    widen(K * K, x, root);
    for (int k = 0; k < p; k++) {
        product(0, 0, K, K, K, power, root, wide);
        memcpy(power, wide, sizeof power);
    }
    for (int i = 0; i < K; i++) one[i * (K + 1)] = 1;
    must_be_near(power, one, K * K, near, "a root by Newton's iteration");
    mem_free(work);
}

/* What has no root is left alone: singular, not finite, zero. */
static void check_no_root(const pitot_real *m) {
    pitot_real x[4] = { 1, 2, 3, 4 };
    double work[20];
    assert_true(roots_newton_work(2) <= 20 && roots_newton(2, m, 1, 0, 4, 1e-6, 100, x, work) != 0);
    assert_true(x[0] == 1 && x[1] == 2 && x[2] == 3 && x[3] == 4);
}

static void test_newton_roots(void **state) {
    (void)state;
    static const int roots[] = { 1, 2, 3, 4, 6 };
    for (int i = 0; i < 5; i++) {
        check_newton(K, 0, roots[i]);
        check_newton(3, 0.1, roots[i]);
    }
    check_no_root((const pitot_real[]){ 1, 0, 0, 0 });
    check_no_root((const pitot_real[]){ 1, 0, 0, -1 });
    check_no_root((const pitot_real[]){ 0, 0, 0, 0 });
    check_no_root((const pitot_real[]){ (pitot_real)NAN, 0, 0, 1 });
    check_no_root((const pitot_real[]){ (pitot_real)INFINITY, 0, 0, 1 });
    /* no element of the residual is as large before the first turn as after it, while its norm comes down from the beginning */
    pitot_real even[9], x[2][9];
    double wide[2][9], work[200], largest;
    for (int i = 0; i < 9; i++) even[i] = (pitot_real)(i % 4 ? -0.01 : 0.02);
    largest = roots_largest(3, even, work);
    assert_true(fabs(largest - 0.03) < 1e-8 && roots_work(3) <= 200);
    assert_int_equal(roots_newton(3, even, 1, 1e-3 * largest, 4, 1e-9, 100, x[0], work), 0);
    assert_int_equal(roots_inverse(3, even, 1, 1e-3 * largest, 0.25, x[1], work), 0);
    for (int k = 0; k < 2; k++) widen(9, x[k], wide[k]);
    must_be_near(wide[0], wide[1], 9, fmax(near, 1e-8), "a root that is late");
}

/* Roots and a Newton-Schulz iteration that are written down: of a matrix (5,5) of condition 47, of a gradient (5,4). */
static void test_cases(void **state) {
    const cJSON *cases = get(golden, "cases");
    pitot_real m[25], g[20], x[25], more[64];
    double got[25], want[25], *work = mem_alloc(roots_work(5) + roots_newton_work(5), sizeof *work);
    (void)state;
    assert_int_equal(numbers(get(cases, "matrix"), m), 25);
    for (int p = 1; p <= 4; p += p) {
        char name[16];
        snprintf(name, sizeof name, "inv_root_%d", p);
        assert_int_equal(roots_inverse(5, m, 1, 0, 1.0 / p, x, work), 0);
        widen(25, x, got);
        for (int i = 0; i < 25; i++) want[i] = cJSON_GetArrayItem(get(cases, name), i)->valuedouble;
        must_be_near(got, want, 25, near, name);
    }
    assert_int_equal(roots_newton(5, m, 1, 0, 4, 1e-12, 100, x, work), 0);
    widen(25, x, got);
    for (int i = 0; i < 25; i++) want[i] = cJSON_GetArrayItem(get(cases, "newton_root"), i)->valuedouble;
    must_be_near(got, want, 25, near, "newton_root");
    assert_true(numbers(get(cases, "gradient"), g) == 20 && newton_schulz_work(5, 4) <= 64);
    widen(20, newton_schulz(5, 4, 5, 1e-7, g, more), got);
    for (int i = 0; i < 20; i++) want[i] = cJSON_GetArrayItem(get(cases, "newton_schulz5"), i)->valuedouble;
    must_be_near(got, want, 20, near, "newton_schulz5");
    mem_free(work);
}

static void test_newton_schulz(void **state) {
    (void)state;
    for (int tall = 0; tall < 2; tall++) {
        int rows = tall ? 6 : 4, cols = tall ? 4 : 6;
        pitot_real x[24], work[64];
        double y[24], a[36], aa[36], ax[24], aax[24], norm = 0;
        draw(5, 24, x);
        widen(24, x, y);
        for (int i = 0; i < 24; i++) norm += y[i] * y[i];
        for (int i = 0; i < 24; i++) y[i] /= sqrt(norm) + 1e-7;
        for (int k = 0; k < 5; k++) { /* always by XX', as the definition has it */
            product(0, 1, rows, rows, cols, y, y, a);
            product(0, 0, rows, rows, rows, a, a, aa);
            product(0, 0, rows, cols, rows, a, y, ax);
            product(0, 0, rows, cols, rows, aa, y, aax);
            for (int i = 0; i < 24; i++) y[i] = 3.4445 * y[i] - 4.7750 * ax[i] + 2.0315 * aax[i];
        }
        assert_true(newton_schulz_work(rows, cols) <= 64);
        widen(24, newton_schulz(rows, cols, 5, 1e-7, x, work), ax);
        must_be_near(ax, y, 24, near, "Newton-Schulz");
    }
}

/* Q'Q = I; the off-diagonal of Q'MQ relative to all of it. */
static double off_diagonal(const pitot_real *m, const pitot_real *q) {
    double a[K * K], b[K * K], c[K * K], off = 0, all = 0, one[K * K] = { 0 };
    widen(K * K, q, a);
    product(1, 0, K, K, K, a, a, b);
    for (int i = 0; i < K; i++) one[i * K + i] = 1;
    must_be_near(b, one, K * K, near, "a basis");
    widen(K * K, m, b);
    product(0, 0, K, K, K, b, a, c);
    product(1, 0, K, K, K, a, c, b);
    for (int i = 0; i < K * K; i++) {
        all += b[i] * b[i];
        off += i % (K + 1) ? b[i] * b[i] : 0;
    }
    return sqrt(off / all);
}

static void test_bases(void **state) {
    (void)state;
    pitot_real m[K * K], q[K * K] = { 0 }, *work = mem_alloc(basis_refine_work(K) + basis_iterate_work(K), sizeof *work);
    double *eigen = mem_alloc(basis_eigen_work(K), sizeof *eigen), before;
    int64_t order[K], made;
    make_matrix(K, m);
    assert_int_equal(basis_eigen(K, m, 1, q, eigen), 0);
    assert_true(off_diagonal(m, q) < near);
    memset(q, 0, sizeof q);
    for (int i = 0; i < K; i++) q[i * K + i] = 1;
    before = off_diagonal(m, q);
    for (int k = 0; k < 40; k++) assert_int_equal(basis_iterate(K, m, q, order, work), 0);
    assert_true(off_diagonal(m, q) < 0.01 * before);
    memset(q, 0, sizeof q);
    for (int i = 0; i < K; i++) q[i * K + i] = 1;
    assert_int_equal(basis_refine(K, m, 1, 100, q, order, &made, work), 0);
    assert_true(made == 0);
    assert_int_equal(basis_refine(K, m, 0.1, 100, q, order, &made, work), 0);
    assert_true(made > 0 && made < 100 && off_diagonal(m, q) <= 0.1 + near);
    made = 0;
    assert_int_equal(basis_refine(K, m, 0.05, 1, q, order, &made, work), 0);
    assert_true(made <= 1);
    mem_free(work);
    mem_free(eigen);
}

/* ---- Shampoo against a plain one in double, whose roots come from Jacobi's rotations ---- */

enum { ROWS = 5, COLS = 4, SIZE = ROWS * COLS, STEPS = 6 };

static void plain_root(int n, const double *m, double scale, double eps, double power, double *out) {
    static double a[EIGEN_MOST][EIGEN_MOST], v[EIGEN_MOST][EIGEN_MOST];
    double value[EIGEN_MOST];
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) a[i][j] = scale * m[i * n + j];
    eigen_symmetric(n, a, value, v);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            out[i * n + j] = 0;
            for (int k = 0; k < n; k++) out[i * n + j] += v[i][k] * v[j][k] * pow(value[k] + eps, -power);
        }
}

typedef struct shampoo_case {
    const char *grafting;
    double beta1, beta2, l2, momentum;
    int start;
} shampoo_case;

/* lr 0.1, epsilon 0.01, grafting_beta2 0.9, grafting_epsilon 0.001, roots every 2nd step. */
static void plain_shampoo(const shampoo_case *c, const pitot_real (*grads)[SIZE], double *x) {
    double l[ROWS * ROWS] = { 0 }, r[COLS * COLS] = { 0 }, pl[ROWS * ROWS] = { 0 }, pr[COLS * COLS] = { 0 }, m[SIZE] = { 0 },
                    v[SIZE] = { 0 }, buffer[SIZE] = { 0 }, g[SIZE], h[SIZE], f[SIZE], d[SIZE], half[SIZE], gg[ROWS * ROWS];
    for (int i = 0; i < ROWS; i++) pl[i * ROWS + i] = 1;
    for (int i = 0; i < COLS; i++) pr[i * COLS + i] = 1;
    for (int t = 1; t <= STEPS; t++) {
        double add = c->beta2 < 1 ? 1 - c->beta2 : 1, unbiased = c->beta2 < 1 ? 1 / (1 - pow(c->beta2, t)) : 1, a = 0, b = 0;
        for (int i = 0; i < SIZE; i++) g[i] = (double)grads[t - 1][i] + c->l2 * x[i];
        product(0, 1, ROWS, ROWS, COLS, g, g, gg);
        for (int i = 0; i < ROWS * ROWS; i++) l[i] = c->beta2 * l[i] + add * gg[i];
        product(1, 0, COLS, COLS, ROWS, g, g, gg);
        for (int i = 0; i < COLS * COLS; i++) r[i] = c->beta2 * r[i] + add * gg[i];
        if (t % 2 == 0 && t >= c->start) {
            plain_root(ROWS, l, unbiased, 0.01, 0.25, pl);
            plain_root(COLS, r, unbiased, 0.01, 0.25, pr);
        }
        for (int i = 0; i < SIZE; i++) {
            m[i] = c->beta1 * m[i] + (1 - c->beta1) * g[i];
            h[i] = c->beta1 > 0 ? m[i] / (1 - pow(c->beta1, t)) : g[i];
            v[i] = strcmp(c->grafting, "adagrad") == 0 ? v[i] + g[i] * g[i] : 0.9 * v[i] + 0.1 * g[i] * g[i];
            double of = strcmp(c->grafting, "adam") == 0 ? v[i] / (1 - pow(0.9, t)) : v[i];
            f[i] = strcmp(c->grafting, "sgd") == 0 ? h[i] : h[i] / (sqrt(of) + 0.001);
        }
        product(0, 0, ROWS, COLS, ROWS, pl, h, half);
        product(0, 0, ROWS, COLS, COLS, half, pr, d);
        for (int i = 0; i < SIZE; i++) {
            a += f[i] * f[i];
            b += d[i] * d[i];
        }
        for (int i = 0; i < SIZE; i++) {
            if (strcmp(c->grafting, "none")) d[i] = t < c->start ? f[i] : d[i] * sqrt(a / b);
            buffer[i] = c->momentum * buffer[i] + d[i];
            x[i] -= 0.1 * buffer[i];
        }
    }
}

static void set(pitot_optim *o, const char *option, const char *text) {
    pitot_error error = { 0 };
    if (pitot_optim_set(o, option, text, &error)) fail_msg("%s", error.text);
}

static void set_number(pitot_optim *o, const char *option, double x) {
    char text[NUMBER_ROOM];
    number_write(x, text);
    set(o, option, text);
}

static void draw_gradients(pitot_real (*g)[SIZE]) {
    for (int t = 0; t < STEPS; t++) draw(20 + (uint64_t)t, SIZE, g[t]);
}

static void check_shampoo(const shampoo_case *c) {
    pitot_real g[STEPS][SIZE], x[SIZE];
    double want[SIZE], got[SIZE];
    char betas[2 * NUMBER_ROOM];
    const pitot_real *at;
    pitot_optim *o = pitot_optim_new("shampoo", NULL);
    const char *const options[] = { "lr",
                                    "0.1",
                                    "epsilon",
                                    "0.01",
                                    "grafting_beta2",
                                    "0.9",
                                    "grafting_epsilon",
                                    "0.001",
                                    "decoupled",
                                    "false",
                                    "precondition_frequency",
                                    "2" };
    for (size_t i = 0; i < sizeof options / sizeof *options; i += 2) set(o, options[i], options[i + 1]);
    snprintf(betas, sizeof betas, "%g,%g", c->beta1, c->beta2);
    set(o, "betas", betas);
    set(o, "grafting", c->grafting);
    set_number(o, "weight_decay", c->l2);
    set_number(o, "momentum", c->momentum);
    set_number(o, "start_preconditioning_step", c->start);
    draw_gradients(g);
    draw(9, SIZE, x);
    widen(SIZE, x, want);
    plain_shampoo(c, (const pitot_real(*)[SIZE])g, want);
    pitot_optim_tensor tensor = { "w", SIZE, x, &at, { ROWS, 2, COLS / 2 } };
    assert_int_equal(pitot_optim_prepare(o, &tensor, 1, 1, NULL), PITOT_OK);
    for (int t = 0; t < STEPS; t++) {
        at = g[t];
        assert_int_equal(pitot_optim_step(o), PITOT_OK);
    }
    widen(SIZE, x, got);
    must_be_near(got, want, SIZE, near, c->grafting);
    pitot_optim_free(o);
}

static void test_plain_shampoo(void **state) {
    (void)state;
    static const shampoo_case cases[] = {
        { "none", 0, 1, 0, 0, 2 },         { "none", 0.8, 0.95, 0.1, 0.5, 2 }, { "sgd", 0.8, 0.95, 0.1, 0, 4 },
        { "adagrad", 0, 0.95, 0, 0.5, 4 }, { "rmsprop", 0.8, 1, 0, 0, 2 },     { "adam", 0.8, 0.95, 0.1, 0.9, 4 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_shampoo(&cases[i]);
}

/* ---- identities ---- */

/* `steps` steps on n tensors, pieces of the same matrix: piece p of x has rows from first[p][0] and columns from first[p][1]. */
static void run_pieces(pitot_optim *o, int n, const int (*first)[2], const int (*size)[2], pitot_real *x) {
    pitot_real g[STEPS][SIZE], part[4][SIZE], grad[4][SIZE];
    const pitot_real *at[4] = { grad[0], grad[1], grad[2], grad[3] };
    pitot_optim_tensor tensor[4];
    draw_gradients(g);
    draw(9, SIZE, x);
    for (int p = 0; p < n; p++) {
        tensor[p] = (pitot_optim_tensor){ "w", size[p][0] * size[p][1], part[p], &at[p], { size[p][0], size[p][1] } };
        for (int i = 0; i < size[p][0] * size[p][1]; i++)
            part[p][i] = x[(first[p][0] + i / size[p][1]) * COLS + first[p][1] + i % size[p][1]];
    }
    assert_int_equal(pitot_optim_prepare(o, tensor, n, 1, NULL), PITOT_OK);
    for (int t = 0; t < STEPS; t++) {
        for (int p = 0; p < n; p++)
            for (int i = 0; i < size[p][0] * size[p][1]; i++)
                grad[p][i] = g[t][(first[p][0] + i / size[p][1]) * COLS + first[p][1] + i % size[p][1]];
        assert_int_equal(pitot_optim_step(o), PITOT_OK);
    }
    for (int p = 0; p < n; p++)
        for (int i = 0; i < size[p][0] * size[p][1]; i++)
            x[(first[p][0] + i / size[p][1]) * COLS + first[p][1] + i % size[p][1]] = part[p][i];
    pitot_optim_free(o);
}

/* Blocks are tensors of their own. */
static void test_blocks(void **state) {
    (void)state;
    static const int whole[1][2] = { { 0, 0 } }, size[1][2] = { { ROWS, COLS } };
    static const int first[4][2] = { { 0, 0 }, { 0, 3 }, { 3, 0 }, { 3, 3 } },
                     sizes[4][2] = { { 3, 3 }, { 3, 1 }, { 2, 3 }, { 2, 1 } };
    static const char *const statistics[] = { "plain", NULL, "kl", "sequential" };
    for (int k = 0; k < 4; k++) {
        pitot_real a[SIZE], b[SIZE];
        double wide[SIZE], pieces[SIZE];
        const char *method = statistics[k] ? "shampoo" : "eshampoo";
        pitot_optim *blocked = pitot_optim_new(method, NULL), *apart = pitot_optim_new(method, NULL);
        if (statistics[k]) set(blocked, "statistics", statistics[k]), set(apart, "statistics", statistics[k]);
        set(blocked, "max_preconditioner_dim", "3");
        set(blocked, "epsilon", "0.1");
        set(apart, "epsilon", "0.1");
        if (statistics[k]) set(blocked, "grafting", "rmsprop"), set(apart, "grafting", "rmsprop");
        run_pieces(blocked, 1, whole, size, a);
        run_pieces(apart, 4, first, sizes, b);
        widen(SIZE, a, wide);
        widen(SIZE, b, pieces);
        must_be_near(wide, pieces, SIZE, near, "blocks");
    }
}

/* ---- the forms of Shampoo ---- */

enum { MOST_SET = 14 };

/* `steps` steps on the whole matrix, with shape[0] > 0 on a tensor of that shape. */
static void run_formed(const char *method, const int64_t *shape, const char *const *options, pitot_real *x) {
    pitot_real g[STEPS][SIZE];
    const pitot_real *at;
    pitot_optim *o = pitot_optim_new(method, NULL);
    pitot_optim_tensor tensor = { "w", SIZE, x, &at, { ROWS, COLS } };
    for (; *options; options += 2) set(o, options[0], options[1]);
    for (int d = 0; shape && d < 4; d++) tensor.shape[d] = shape[d];
    draw_gradients(g);
    draw(9, SIZE, x);
    assert_int_equal(pitot_optim_prepare(o, &tensor, 1, 1, NULL), PITOT_OK);
    for (int t = 0; t < STEPS; t++) {
        at = g[t];
        assert_int_equal(pitot_optim_step(o), PITOT_OK);
    }
    pitot_optim_free(o);
}

typedef struct twins { /* two ways to say the same */
    const char *method;
    int64_t shape[2][4];
    const char *set[2][MOST_SET];
} twins;

static void check_twins(const twins *w) {
    pitot_real x[2][SIZE];
    double wide[2][SIZE];
    for (int k = 0; k < 2; k++) {
        run_formed(w->method, w->shape[k], w->set[k], x[k]);
        widen(SIZE, x[k], wide[k]);
    }
    must_be_near(wide[0], wide[1], SIZE, near, w->set[0][0] ? w->set[0][0] : w->method);
}

static void test_twins(void **state) {
    (void)state;
    static const twins all[] = {
        /* sums that begin with eps I, and sums with eps I added */
        { "shampoo", { { ROWS, COLS }, { ROWS, COLS } }, { { "factor_init", "0.01", "epsilon", "0" }, { "epsilon", "0.01" } } },
        { "shampoo",
          { { ROWS, COLS }, { ROWS, COLS } },
          { { "root", "newton", "root_tolerance", "1e-13", "epsilon", "0.01" }, { "epsilon", "0.01" } } },
        { "shampoo",
          { { ROWS, COLS }, { ROWS, COLS } },
          { { "root", "newton", "root_tolerance", "1e-13", "epsilon", "0.1", "exponent", "0.2", "betas", "0.9,0.9" },
            { "epsilon", "0.1", "exponent", "0.2", "betas", "0.9,0.9" } } },
        { "shampoo", { { ROWS, 2, COLS / 2 }, { SIZE } }, { { "merge_dims", "true" }, { NULL } } },
        { "shampoo",
          { { ROWS, COLS }, { ROWS, COLS } },
          { { "merge_dims", "true", "max_preconditioner_dim", "19" }, { "max_preconditioner_dim", "19" } } },
        /* a vector has nothing else to be seen through */
        { "shampoo", { { SIZE }, { SIZE } }, { { "statistics", "kl" }, { NULL } } },
        { "shampoo", { { SIZE }, { SIZE } }, { { "statistics", "sequential" }, { NULL } } },
        { "shampoo",
          { { SIZE }, { 1, SIZE } },
          { { "precondition_1d", "false", "grafting", "sgd", "momentum", "0.5" },
            { "start_preconditioning_step", "1000", "grafting", "sgd", "momentum", "0.5" } } },
        /* the momentum of Nesterov's steps is written back: without momentum there is none */
        { "shampoo",
          { { ROWS, COLS }, { ROWS, COLS } },
          { { "scalable", "true", "grafting", "rmsprop" }, { "grafting", "rmsprop" } } },
        /* without grafting the gradient is all there is before the first roots, and Nesterov's momentum begins anew each step */
        { "shampoo",
          { { ROWS, COLS }, { ROWS, COLS } },
          { { "scalable", "true", "momentum", "0.5", "nesterov", "true", "start_preconditioning_step", "1000", "lr", "0.1" },
            { "grafting", "sgd", "start_preconditioning_step", "1000", "lr", "0.15" } } },
        { "soap",
          { { ROWS, COLS }, { ROWS, COLS } },
          { { "merge_dims", "true", "max_precond_dim", "4" }, { "max_precond_dim", "4" } } },
        { "soap",
          { { ROWS, 2, COLS / 2 }, { 2 * ROWS, COLS / 2 } },
          { { "merge_dims", "true", "max_precond_dim", "10" }, { NULL } } },
        { "soap", { { ROWS, 2, COLS / 2 }, { ROWS, COLS } }, { { "merge_dims", "true", "max_precond_dim", "9" }, { NULL } } },
        { "soap", { { ROWS, COLS }, { SIZE } }, { { "merge_dims", "true" }, { "precondition_1d", "true" } } },
        { "soap",
          { { 1, ROWS, COLS }, { ROWS, COLS } },
          { { "merge_dims", "true", "max_precond_dim", "5" }, { "max_precond_dim", "5" } } },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) check_twins(&all[i]);
}

/* GG' and G'G have the same largest eigenvalue, of a G of rank 1 the sum of its squares: in the first step one epsilon is as good as that share of
   it. A view says what was added. */
static void test_relative_epsilon(void **state) {
    (void)state;
    pitot_real x[2][SIZE], g[SIZE], u[ROWS + COLS];
    double both[2][SIZE], largest = 0;
    const pitot_real *at = g;
    draw(20, ROWS + COLS, u);
    for (int i = 0; i < SIZE; i++) {
        g[i] = u[i / COLS] * u[ROWS + i % COLS];
        largest += (double)g[i] * (double)g[i];
    }
    for (int k = 0; k < 2; k++) {
        pitot_preconditioner v;
        pitot_optim *o = pitot_optim_new("shampoo", NULL);
        pitot_optim_tensor tensor = { "w", SIZE, x[k], &at, { ROWS, COLS } };
        set(o, "lr", "1");
        set(o, "relative_epsilon", k ? "true" : "false");
        set_number(o, "epsilon", k ? 0.05 : 0.05 * largest);
        draw(9, SIZE, x[k]);
        assert_int_equal(pitot_optim_prepare(o, &tensor, 1, 1, NULL), PITOT_OK);
        assert_int_equal(pitot_optim_step(o), PITOT_OK);
        for (int side = 0; side < 2; side++) {
            assert_int_equal(pitot_optim_view(o, 0, side, &v), PITOT_OK);
            assert_true(fabs(v.damping / (0.05 * largest) - 1) < 1e-6);
        }
        widen(SIZE, x[k], both[k]);
        pitot_optim_free(o);
    }
    must_be_near(both[0], both[1], SIZE, near, "relative epsilon");
}

/* A basis that is never turned is Adam, one step late. */
static void test_soap_is_adam(void **state) {
    (void)state;
    pitot_real g[STEPS][SIZE], x[2][SIZE];
    double wide[2][SIZE];
    draw_gradients(g);
    for (int k = 0; k < 2; k++) {
        const pitot_real *at;
        pitot_optim *o = pitot_optim_new(k ? "adam" : "soap", NULL);
        pitot_optim_tensor tensor = { "w", SIZE, x[k], &at, { ROWS, COLS } };
        set(o, "lr", "0.1");
        set(o, "betas", "0.8,0.9");
        set(o, "eps", "0");
        set(o, "weight_decay", "0");
        if (!k) set(o, "max_precond_dim", "3");
        draw(9, SIZE, x[k]);
        assert_int_equal(pitot_optim_prepare(o, &tensor, 1, 1, NULL), PITOT_OK);
        for (int t = k; t < STEPS; t++) {
            at = g[t];
            assert_int_equal(pitot_optim_step(o), PITOT_OK);
        }
        widen(SIZE, x[k], wide[k]);
        pitot_optim_free(o);
    }
    must_be_near(wide[0], wide[1], SIZE, near, "soap and adam");
}

/* Diagonal gradients whose order changes: bases are permutations, and second moments have to follow them for it to stay Adam on the diagonal. */
static void test_soap_follows(void **state) {
    (void)state;
    static const double drawn_diagonal[STEPS][2] = { { 2, 1 }, { 1, -4 }, { 1.5, 6 }, { -9, 2 }, { 30, -1 }, { 1, 70 } };
    pitot_real x[2][4] = { { 1, 0, 0, 1 }, { 1, 1 } }, g[2][4] = { { 0 } };
    const pitot_real *at[2] = { g[0], g[1] };
    pitot_optim *o[2] = { pitot_optim_new("soap", NULL), pitot_optim_new("adam", NULL) };
    pitot_optim_tensor tensor[2] = { { "w", 4, x[0], &at[0], { 2, 2 } }, { "w", 2, x[1], &at[1], { 0 } } };
    for (int k = 0; k < 2; k++) {
        set(o[k], "lr", "0.1");
        set(o[k], "betas", "0.8,0.9");
        set(o[k], "eps", "0");
        set(o[k], "weight_decay", "0");
    }
    set(o[0], "precondition_frequency", "1");
    for (int k = 0; k < 2; k++) assert_int_equal(pitot_optim_prepare(o[k], &tensor[k], 1, 1, NULL), PITOT_OK);
    for (int t = 0; t < STEPS; t++) {
        for (int i = 0; i < 2; i++) g[0][3 * i] = g[1][i] = (pitot_real)drawn_diagonal[t][i];
        assert_int_equal(pitot_optim_step(o[0]), PITOT_OK);
        if (t > 0) assert_int_equal(pitot_optim_step(o[1]), PITOT_OK);
        for (int i = 0; i < 2; i++) assert_true(fabs((double)x[0][3 * i] - (double)x[1][i]) < near);
    }
    pitot_optim_free(o[0]);
    pitot_optim_free(o[1]);
}

/* QR iterations to the end are decompositions. */
static void test_bases_agree(void **state) {
    (void)state;
    static const int whole[1][2] = { { 0, 0 } }, size[1][2] = { { 4, COLS } };
    pitot_real x[2][SIZE];
    double wide[2][SIZE];
    for (int k = 0; k < 2; k++) {
        pitot_optim *o = pitot_optim_new("eshampoo", NULL);
        set(o, "basis", k ? "eigh" : "qr");
        set(o, "epsilon", "0.01"); /* the first gradient is diagonal in its own bases: what is left off it is round-off */
        set(o, "tolerance", sizeof(pitot_real) == 8 ? "1e-13" : "1e-6");
        set(o, "max_iterations", "1000");
        run_pieces(o, 1, whole, size, x[k]);
        widen(16, x[k], wide[k]);
    }
    must_be_near(wide[0], wide[1], 16, sizeof(pitot_real) == 8 ? 1e-9 : 1e-5, "bases");
}

/* ---- what all five promise ---- */

static const char *const methods[] = { "muon", "shampoo", "soap", "eshampoo", "psgd_kron" };
enum { METHODS = sizeof methods / sizeof *methods, LARGE = 70 * 50, LONG = 40000 };

static void run_large(const char *method, int threads, uint64_t seed, pitot_real *x) {
    pitot_real *g = mem_alloc(LARGE + LONG, sizeof *g);
    const pitot_real *at[2] = { g, g + LARGE };
    pitot_optim *o = pitot_optim_new(method, NULL);
    pitot_optim_tensor tensor[2] = { { "w", LARGE, x, &at[0], { 70, 50 } }, { "b", LONG, x + LARGE, &at[1], { LONG } } };
    pitot_optim_plan(o, 0, seed);
    if (pitot_options_find(pitot_optim_method(o)->options, "max_preconditioner_dim"))
        set(o, "max_preconditioner_dim", "40"), tensor[1].size = tensor[1].shape[0] = 500;
    draw(1, LARGE + LONG, x);
    assert_int_equal(pitot_optim_prepare(o, tensor, 2, threads, NULL), PITOT_OK);
    for (uint64_t t = 0; t < 3; t++) {
        draw(30 + t, LARGE + LONG, g);
        assert_int_equal(pitot_optim_step(o), PITOT_OK);
    }
    mem_free(g);
    pitot_optim_free(o);
}

static void test_many_threads(void **state) {
    (void)state;
    size_t bytes = (LARGE + LONG) * sizeof(pitot_real);
    pitot_real *one = mem_alloc(LARGE + LONG, sizeof *one), *more = mem_alloc(LARGE + LONG, sizeof *more);
    for (int k = 0; k < METHODS; k++) {
        run_large(methods[k], 1, 5, one);
        run_large(methods[k], 3, 5, more);
        if (memcmp(one, more, bytes)) fail_msg("%s: 3 threads give other bits", methods[k]);
        run_large(methods[k], 1, 6, more);
        if (!memcmp(one, more, bytes) != (strcmp(methods[k], "psgd_kron") != 0)) fail_msg("%s: another seed", methods[k]);
    }
    mem_free(one);
    mem_free(more);
}

/* Gradients whose squares leave the range: refused, and forgotten. */
static void test_huge(void **state) {
    (void)state;
    for (int k = 0; k < METHODS; k++) {
        pitot_real x[2][SIZE], g[SIZE], huge[SIZE];
        for (int odd = 0; odd < 2; odd++) {
            const pitot_real *at = g;
            pitot_optim *o = pitot_optim_new(methods[k], NULL);
            pitot_optim_tensor tensor = { "w", SIZE, x[odd], &at, { ROWS, COLS } };
            draw(9, SIZE, x[odd]);
            assert_int_equal(pitot_optim_prepare(o, &tensor, 1, 1, NULL), PITOT_OK);
            for (uint64_t t = 0; t < 4; t++) {
                draw(20 + t, SIZE, g);
                for (int i = 0; i < SIZE; i++) huge[i] = (pitot_real)(sizeof(pitot_real) == 8 ? 1e200 : 1e30);
                at = huge;
                if (odd) assert_int_equal(pitot_optim_step(o), PITOT_EHOST);
                at = g;
                assert_int_equal(pitot_optim_step(o), PITOT_OK);
            }
            pitot_optim_free(o);
        }
        assert_memory_equal(x[0], x[1], sizeof x[0]);
    }
}

/* What a view calls the root in use is one of the factor that it shows; bases make factors diagonal; blocks cover the tensor. */
static void test_views(void **state) {
    (void)state;
    for (int k = 1; k < 4; k++) {
        pitot_real x[SIZE], g[SIZE];
        const pitot_real *at = g;
        pitot_optim *o = pitot_optim_new(methods[k], NULL);
        pitot_optim_tensor tensor = { "w", SIZE, x, &at, { ROWS, COLS } };
        pitot_preconditioner v;
        int64_t area = 0;
        if (k != 2) set(o, "max_preconditioner_dim", "3");
        if (k == 1) set(o, "betas", "0,0.9"), set(o, "epsilon", "0.1");
        if (k == 3) set(o, "basis", "eigh");
        draw(9, SIZE, x);
        assert_int_equal(pitot_optim_prepare(o, &tensor, 1, 1, NULL), PITOT_OK);
        for (uint64_t t = 0; t < (k == 2 ? 1 : 3); t++) {
            draw(20 + t, SIZE, g);
            assert_int_equal(pitot_optim_step(o), PITOT_OK);
        }
        int n = 0;
        for (; pitot_optim_view(o, 0, n, &v) == PITOT_OK; n++) {
            double f[SIZE + 5], b[SIZE + 5], c[SIZE + 5], d[SIZE + 5], one[SIZE + 5] = { 0 };
            int s = (int)v.n;
            assert_true(v.rows == ROWS && v.columns == COLS && v.n == (v.axis ? v.n_columns : v.n_rows) &&
                        v.computed == (k == 2 ? 1 : 3));
            area += v.axis ? 0 : v.n_rows * v.n_columns;
            widen(s * s, v.factor, f);
            widen(s * s, k == 1 ? v.inverse : v.basis, b);
            if (k == 1) {
                for (int i = 0; i < s * s; i++) f[i] = f[i] * v.bias_correction + (i % (s + 1) ? 0 : v.damping);
                for (int j = 0; j < 4; j++) {
                    product(0, 0, s, s, s, f, b, c);
                    memcpy(f, c, sizeof f);
                }
                for (int i = 0; i < s; i++) one[i * s + i] = 1;
                must_be_near(f, one, s * s, near, "the root of a view");
                continue;
            }
            product(0, 0, s, s, s, f, b, c);
            product(1, 0, s, s, s, b, c, d);
            for (int i = 0; i < s; i++) one[i * s + i] = d[i * s + i];
            must_be_near(d, one, s * s, 20 * near, "the basis of a view");
            assert_true(v.corrected && v.corrected_power == -0.5 && v.correction >= 1);
        }
        assert_true(n == (k == 2 ? 2 : 8) && area == SIZE);
        pitot_optim_free(o);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_muon_traces),
        cmocka_unit_test(test_shampoo_traces),
        cmocka_unit_test(test_soap_traces),
        cmocka_unit_test(test_eshampoo_traces),
        cmocka_unit_test(test_psgd_traces),
        cmocka_unit_test(test_roots),
        cmocka_unit_test(test_newton_roots),
        cmocka_unit_test(test_twins),
        cmocka_unit_test(test_relative_epsilon),
        cmocka_unit_test(test_newton_schulz),
        cmocka_unit_test(test_bases),
        cmocka_unit_test(test_plain_shampoo),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_soap_is_adam),
        cmocka_unit_test(test_soap_follows),
        cmocka_unit_test(test_bases_agree),
        cmocka_unit_test(test_many_threads),
        cmocka_unit_test(test_huge),
        cmocka_unit_test(test_views),
    };
    return cmocka_run_group_tests(tests, read_golden, free_golden);
}
