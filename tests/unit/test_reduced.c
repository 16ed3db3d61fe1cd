/* An operator within the directions that it sees, against the operator itself: L Op' L'x = Op x for any x, Op' symmetric, L an isometry, eigenvalues
   and vectors, moments of a density; when there is none; and what a solver does where eigenvalues that are asked for lie outside. */

#include "nets.h"

#include "base/blas.h"
#include "curve/draws.h"
#include "curve/reduced.h"
#include "pitot/curve.h"
#include "pitot/quadrature.h"
#include "pitot/solve.h"

enum { FEW = 6, KINDS = 4, TOP = 3, STEPS = 9, MOMENTS = 6 };

static const double close_to = sizeof(pitot_real) == 8 ? 1e-11 : 1e-4; /* of two ways through a net, of the largest value */

/* clang-format off */
static const net_case wide[] = {
    { "first layer", { 60 }, "cross_entropy", { LINEAR(9), OP("tanh"), LINEAR(4) } },
    { "first layer, flattened, relu", { 3, 5, 4 }, "mse", { OP("flatten"), LINEAR(12), OP("relu"), LINEAR(4) } },
    { "first layer alone, no bias", { 60 }, "bce_with_logits", { { "linear", "out_features=5, bias=false", NULL } } },
    { "first and second", { 30 }, "cross_entropy", { LINEAR(24), OP("tanh"), LINEAR(20), OP("relu"), LINEAR(4) } },
    { "second and third", { 5 }, "mse", { LINEAR(25), OP("tanh"), LINEAR(25), OP("sigmoid"), LINEAR(24), OP("tanh"), LINEAR(3) } },
    { "second, with a bypass", { 5 }, "cross_entropy", { LINEAR(40), OP("tanh"), LINEAR(40), ON("add", "1 2"), OP("relu"), LINEAR(4) } },
    { "behind a convolution", { 1, 6, 6 }, "cross_entropy", { CONV(2), OP("tanh"), OP("flatten"), LINEAR(20), OP("relu"), LINEAR(4) } },
};
/* clang-format on */

enum { WIDE = sizeof wide / sizeof *wide };

typedef struct place {
    pitot_net *net;
    pitot_point *point;
    pitot_real x[FEW * 64], targets[FEW * 8];
    int32_t classes[FEW];
    int64_t d;
} place;

static void place_open(place *p, const net_case *c, int64_t chunk, const char *group, int32_t threads) {
    pitot_error error = { 0 };
    p->net = prepared(c, chunk, threads);
    p->d = p->net->size;
    for (int64_t i = 0; i < FEW * 64; i++) p->x[i] = (pitot_real)(2 * random_uniform(5, 62, 0, (uint64_t)i) - 1);
    for (int64_t i = 0; i < FEW * 8; i++) p->targets[i] = (pitot_real)random_uniform(5, 63, 0, (uint64_t)i);
    for (int32_t i = 0; i < FEW; i++) p->classes[i] = i % 3;
    memcpy(p->x + p->net->input.size, p->x,
           (size_t)p->net->input.size * sizeof *p->x); /* two alike: fewer directions than samples */
    pitot_net_batch b = { .struct_size = sizeof b, .n = FEW, .x = p->x, .targets = p->targets, .classes = p->classes };
    p->point = pitot_point_new(
        &(pitot_point_config){
            .struct_size = sizeof(pitot_point_config), .net = p->net, .batch = &b, .group = group, .seed = 3, .draws = 2 },
        &error);
    if (!p->point) fail_msg("%s: %s", c->what, error.text);
}

static void place_close(place *p) {
    pitot_point_free(p->point);
    pitot_net_free(p->net);
}

static pitot_linop operator_at(place *p, int32_t kind) {
    pitot_linop a;
    assert_int_equal(pitot_point_operator(p->point, kind, &a), PITOT_OK);
    return a;
}

static void apply(const pitot_linop *a, const pitot_real *x, pitot_real *y) {
    assert_int_equal(a->apply(a->self, x, y, 1), PITOT_OK);
}

static void test_same_products(void **state) {
    (void)state;
    for (int i = 0; i < WIDE; i++)
        for (int32_t kind = 1; kind <= KINDS; kind++) {
            static place p;
            place_open(&p, &wide[i], FEW, NULL, 1 + i % 2);
            pitot_linop a = operator_at(&p, kind);
            const reduced *r = reduced_of(&a);
            if (!r) fail_msg("%s: it is not reduced", wide[i].what);
            assert_true(3 * r->m < 2 * p.d && r->op.n == r->m && r->and_rest.n == r->m + 1);
            pitot_real *x = random_vector(p.d, 1), *y = vector(p.d), *other = vector(p.d), *small = vector(r->m + 1),
                       *out = vector(r->m + 1), *u = random_vector(r->m, 2), *v = random_vector(r->m, 3), *au = vector(r->m),
                       *av = vector(r->m);
            apply(&a, x, y);
            double outside = reduced_restrict(r, x, small), square = dot(small, small, r->m), all = dot(x, x, p.d);
            assert_true(fabs(outside * outside + square - all) <= 10 * close_to * all);
            apply(&r->op, small, out);
            reduced_lift(r, out, other);
            compare(&wide[i], "product", y, other, p.d, close_to);
            assert_true(fabs(dot(other, other, p.d) - dot(out, out, r->m)) <= 10 * close_to * dot(out, out, r->m));
            small[r->m] = 3;
            apply(&r->and_rest, small, out);
            reduced_lift(r, out, other);
            compare(&wide[i], "product with the rest", y, other, p.d, close_to);
            assert_true(out[r->m] == 0);
            /* symmetric on all of its vectors, those that L makes nothing of included */
            apply(&r->op, u, au);
            apply(&r->op, v, av);
            double size = sqrt(dot(au, au, r->m)) + sqrt(dot(av, av, r->m));
            assert_true(fabs(dot(u, av, r->m) - dot(v, au, r->m)) <= close_to * size);
            reduced_project(r, u);
            apply(&r->op, u, av);
            compare(&wide[i], "product of a projection", au, av, r->m, close_to);
            reduced_lift(r, u, x);
            assert_true(fabs(dot(x, x, p.d) - dot(u, u, r->m)) <= 10 * close_to);
            reduced_restrict(r, x, out);
            compare(&wide[i], "up and down", u, out, r->m, 10 * close_to);
            apply(&a, x, y);
            reduced_lift(r, au, other);
            compare(&wide[i], "product of any", y, other, p.d, close_to);
            pitot_real *const blocks[] = { x, y, other, small, out, u, v, au, av };
            for (size_t k = 0; k < sizeof blocks / sizeof *blocks; k++) mem_free(blocks[k]);
            place_close(&p);
        }
}

/* ---- solvers ---- */

/* Of the dense matrix, ascending. */
static double *values_of(const pitot_linop *a) {
    int64_t n = a->n;
    double *m = mem_alloc(n * n, sizeof *m), *value = mem_alloc(n, sizeof *value),
           *work = mem_alloc(blas_eigenvalues_work(n), sizeof *work);
    pitot_real *e = vector(n), *y = vector(n);
    memset(e, 0, (size_t)n * sizeof *e);
    for (int64_t j = 0; j < n; j++) {
        e[j] = 1;
        apply(a, e, y);
        e[j] = 0;
        for (int64_t i = 0; i < n; i++) m[j * n + i] = (double)y[i];
    }
    assert_int_equal(blas_eigenvalues(n, m, value, work), 0);
    mem_free(m);
    mem_free(work);
    mem_free(e);
    mem_free(y);
    return value;
}

/* Pairs against LAPACK; residuals, length and products of the vectors with the operator itself. */
static void check_top(place *p, const net_case *c, const pitot_linop *a, int32_t k, int64_t products) {
    enum { VECTORS = 40 };
    const double tolerance = 1e-3, slack = 100 * close_to;
    pitot_error error = { 0 };
    pitot_real *work = vector(VECTORS * p->d), *basis = vector(k * p->d), *y = vector(p->d);
    pitot_eigenpair pair[8];
    int64_t made, calls = 0;
    double *value = values_of(a);
    pitot_lanczos set = {
        .struct_size = sizeof set, .tolerance = tolerance, .products = products, .vectors = VECTORS, .work = work, .error = &error
    };
    for (int warm = 0; warm < 2; warm++) {
        if (!warm) memset(basis, 0, (size_t)(k * p->d) * sizeof *basis);
        if (pitot_lanczos_top(a, &set, k, basis, pair, &made)) fail_msg("%s: %s", c->what, error.text);
        assert_true(made <= products + 2);
        for (int32_t j = 0; j < k; j++) {
            double largest_one = fabs(value[p->d - 1]), off = fabs(pair[j].value - value[p->d - 1 - j]), rest = 0;
            apply(a, basis + j * p->d, y);
            for (int64_t i = 0; i < p->d; i++) {
                double left = (double)y[i] - pair[j].value * (double)basis[j * p->d + i];
                rest += left * left;
            }
            if (!pair[j].converged || !(off <= tolerance * largest_one)) fail_msg("%s: pair %d: %g off", c->what, (int)j, off);
            if (sqrt(rest) > pair[j].residual + slack * largest_one)
                fail_msg("%s: pair %d: residual %g, said %g", c->what, (int)j, sqrt(rest), pair[j].residual);
            for (int32_t i = 0; i <= j; i++) assert_true(fabs(dot(basis + i * p->d, basis + j * p->d, p->d) - (i == j)) <= slack);
        }
        calls += made;
    }
    assert_true(calls > 0);
    mem_free(work);
    mem_free(basis);
    mem_free(y);
    mem_free(value);
}

static void test_top(void **state) {
    (void)state;
    for (int i = 0; i < WIDE; i++) {
        static place p;
        if (i == 5) continue; /* the largest: no other path */
        place_open(&p, &wide[i], FEW, NULL, 1);
        pitot_linop a = operator_at(&p, PITOT_OP_HESSIAN);
        assert_non_null(reduced_of(&a));
        check_top(&p, &wide[i], &a, TOP, 400);
        place_close(&p);
    }
}

/* The empirical Fisher matrix of six samples, of which two have one gradient direction or so, has six values: eight are asked for, and zeros
   lie outside as well as inside. */
static void test_zeros_outside(void **state) {
    (void)state;
    static place p;
    place_open(&p, &wide[0], FEW, NULL, 1);
    pitot_linop a = operator_at(&p, PITOT_OP_EMPIRICAL_FISHER);
    assert_non_null(reduced_of(&a));
    check_top(&p, &wide[0], &a, 8, 400);
    place_close(&p);
}

/* Moments of each draw against products of the operator itself with the start vector, whatever goes side by side. */
static void test_moments(void **state) {
    (void)state;
    for (int i = 0; i < WIDE; i++)
        for (int32_t kind = PITOT_REORTH_NONE; kind <= PITOT_REORTH_FULL; kind++) {
            static place p;
            enum { DRAWS = 3 };
            double nodes[DRAWS * STEPS], weight[DRAWS * STEPS];
            int32_t used[DRAWS];
            pitot_quadrature q = { .struct_size = sizeof q, .node = nodes, .weight = weight, .used = used };
            pitot_quadrature_config c = {
                .struct_size = sizeof c, .steps = STEPS, .draws = DRAWS, .reorthogonalise = kind, .together = 1 + i % 2, .seed = 4
            };
            place_open(&p, &wide[i], FEW, NULL, 1);
            pitot_linop a = operator_at(&p, PITOT_OP_HESSIAN);
            assert_non_null(reduced_of(&a));
            c.work = vector(pitot_quadrature_vectors(&c) * p.d);
            assert_int_equal(pitot_quadrature_run(&a, &c, &q, NULL), PITOT_OK);
            assert_true(q.n == p.d && q.products == DRAWS * STEPS + 1 + i % 2); /* the samples are the caller's: not checked */
            pitot_real *v = vector(p.d), *x = vector(p.d), *y = vector(p.d);
            for (int32_t d = 0; d < DRAWS; d++) {
                double size = 0;
                draws_signs(v, p.d, c.seed, random_purpose("quadrature"), (uint64_t)d);
                memcpy(x, v, (size_t)p.d * sizeof *x);
                for (int32_t k = 0; k < used[d]; k++) size = fmax(size, fabs(nodes[d * STEPS + k]));
                for (int power = 0; power < MOMENTS; power++) {
                    double sum = 0, want = dot(v, x, p.d) / (double)p.d;
                    for (int32_t k = 0; k < used[d]; k++) sum += weight[d * STEPS + k] * pow(nodes[d * STEPS + k], power);
                    if (!(fabs(sum - want) <= 20 * close_to * pow(size, power)))
                        fail_msg("%s, kind %d, draw %d: moment %d: %.12g, not %.12g", wide[i].what, (int)kind, (int)d, power, sum,
                                 want);
                    apply(&a, x, y);
                    memcpy(x, y, (size_t)p.d * sizeof *x);
                }
            }
            mem_free(c.work);
            mem_free(v);
            mem_free(x);
            mem_free(y);
            place_close(&p);
        }
}

/* ---- when ---- */

static int32_t apply_other(void *self, const pitot_real *x, pitot_real *y, int64_t k) {
    (void)self, (void)x, (void)y, (void)k;
    return PITOT_OK;
}

static void test_when(void **state) {
    (void)state;
    static place p;
    const net_case narrow = { "narrow", { 5 }, "cross_entropy", { LINEAR(40), OP("tanh"), LINEAR(4) } },
                   image = { "image", { 1, 6, 6 }, "cross_entropy", { CONV(2), OP("tanh"), OP("flatten"), LINEAR(4) } };
    pitot_linop a;
    assert_null(reduced_of(NULL));
    const struct {
        const net_case *c;
        int64_t chunk;
        const char *group;
    } none[] = { { &narrow, FEW, NULL }, { &image, FEW, NULL }, { &wide[0], FEW - 1, NULL }, { &wide[3], FEW, "0" } };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        place_open(&p, none[i].c, none[i].chunk, none[i].group, 1);
        a = operator_at(&p, PITOT_OP_HESSIAN);
        if (reduced_of(&a)) fail_msg("%d: reduced", (int)i);
        place_close(&p);
    }
    place_open(&p, &wide[0], FEW, NULL, 1);
    assert_int_equal(pitot_point_blocks(p.point, PITOT_OP_HESSIAN, &a), PITOT_OK);
    assert_null(reduced_of(&a));
    a = operator_at(&p, PITOT_OP_HESSIAN);
    assert_non_null(reduced_of(&a));
    a.apply = apply_other; /* one made of it by hand, that has kept the rest */
    assert_null(reduced_of(&a));
    place_close(&p);
}

/* Other samples, and other weights. */
static void test_changed(void **state) {
    (void)state;
    static place p;
    place_open(&p, &wide[3], FEW, NULL, 1);
    pitot_linop a = operator_at(&p, PITOT_OP_HESSIAN);
    assert_non_null(reduced_of(&a));
    for (int64_t i = 0; i < FEW * 64; i++) p.x[i] = (pitot_real)cos((double)(3 * i));
    pitot_net_init(p.net, 9);
    const reduced *r = reduced_of(&a);
    pitot_point_changed(p.point);
    pitot_real under[2] = { 0 };
    assert_int_equal(r->op.apply(r->op.self, under, under, 1), PITOT_EORDER); /* a solver that is under way */
    r = reduced_of(&a);
    pitot_real *x = random_vector(p.d, 5), *y = vector(p.d), *other = vector(p.d), *small = vector(r->m), *out = vector(r->m);
    apply(&a, x, y);
    reduced_restrict(r, x, small);
    apply(&r->op, small, out);
    reduced_lift(r, out, other);
    compare(&wide[3], "after a change", y, other, p.d, close_to);
    pitot_real *const blocks[] = { x, y, other, small, out };
    for (size_t k = 0; k < sizeof blocks / sizeof *blocks; k++) mem_free(blocks[k]);
    place_close(&p);
}

/* Without memory there is none, until something changes; nothing is lost. */
static void test_no_memory(void **state) {
    (void)state;
    static place p;
    for (int64_t at = 1, failed = 1; failed; at++) {
        mem_counts before = mem_count();
        place_open(&p, &wide[3], FEW, NULL, 1);
        pitot_linop a = operator_at(&p, PITOT_OP_HESSIAN);
        mem_fail_at(at, 0);
        failed = !reduced_of(&a);
        mem_fail_at(0, 0);
        assert_true(at > 8 || failed);
        place_close(&p);
        assert_true(mem_count().blocks == before.blocks);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_products), cmocka_unit_test(test_top),  cmocka_unit_test(test_zeros_outside),
        cmocka_unit_test(test_moments),       cmocka_unit_test(test_when), cmocka_unit_test(test_changed),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
