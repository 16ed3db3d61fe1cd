/* test_overlap.c: decompositions beside the steps: what is used in each step is what a call on the factors as they were makes, bit by bit, from the
   step on that the options say, however long it takes. That it can be saved and goes on bit by bit: test_optim_all.c. */

#include "base/alloc.h"
#include "base/random.h"
#include "optim/core/bases.h"
#include "optim/core/roots.h"
#include "pitot/train.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { ROWS = 6, COLS = 4, SIZE = ROWS * COLS, STEPS = 16 };

static void draw(uint64_t step, int64_t n, pitot_real *x) {
    for (int64_t i = 0; i < n; i++) x[i] = (pitot_real)(random_uniform(3, 1, step, (uint64_t)i) - 0.5);
}

static void set(pitot_optim *o, const char *option, const char *value) {
    pitot_error error = { 0 };
    if (pitot_optim_set(o, option, value, &error)) fail_msg("%s", error.text);
}

static void *array_of(pitot_optim *o, const char *name) {
    pitot_optim_array a;
    for (int64_t j = 0; pitot_optim_state(o, j, &a) == PITOT_OK; j++)
        if (strcmp(a.name, name) == 0) return a.data;
    fail_msg("no %s", name);
    return NULL;
}

/* The step whose decomposition step t uses: the first due step's within it, others' `late` steps later or when the next is due. */
static int64_t expected(int64_t t, int64_t first, int64_t every, int64_t late) {
    int64_t used = 0;
    for (int64_t due = first; due <= t; due += every)
        if (due == first || t >= due + (late < every ? late : every)) used = due;
    return used;
}

/* ---- roots ---- */

/* Newton's, each with its own epsilon, which a view names. */
static void check_roots(const char *late, int newton) {
    pitot_real x[SIZE], g[SIZE], factor[STEPS + 1][ROWS * ROWS], root[ROWS * ROWS];
    const pitot_real *at = g;
    int64_t rooms[] = { roots_work(ROWS), roots_newton_work(ROWS) };
    double *work = mem_alloc(rooms[newton], sizeof *work), eps = 0.1;
    pitot_optim *o = pitot_optim_new("shampoo", NULL);
    pitot_optim_tensor tensor = { "w", SIZE, x, &at, { ROWS, COLS } };
    set(o, "precondition_frequency", "3");
    set(o, "overlap", late);
    set(o, "epsilon", "0.1");
    set(o, "root", newton ? "newton" : "eigh");
    set(o, "relative_epsilon", newton ? "true" : "false");
    set(o, "statistics", newton ? "kl" : "plain");
    draw(0, SIZE, x);
    assert_int_equal(pitot_optim_prepare(o, &tensor, 1, 1, NULL), PITOT_OK);
    for (int64_t t = 1; t <= STEPS; t++) {
        pitot_preconditioner v;
        draw((uint64_t)t, SIZE, g);
        assert_int_equal(pitot_optim_step(o), PITOT_OK);
        array_of(o, ":overlap"); /* waits for what is being made: none of it may show */
        assert_int_equal(pitot_optim_view(o, 0, 0, &v), PITOT_OK);
        memcpy(factor[t], v.factor, sizeof factor[t]);
        int64_t used = expected(t, 3, 3, strtol(late, NULL, 10));
        assert_int_equal(v.computed, used);
        if (!used) continue;
        if (newton) {
            eps = 0.1 * roots_largest(ROWS, factor[used], work);
            assert_int_equal(roots_newton(ROWS, factor[used], 1, eps, 4, 1e-6, 100, root, work), 0);
        } else assert_int_equal(roots_inverse(ROWS, factor[used], 1, eps, 0.25, root, work), 0);
        assert_true(v.damping == eps);
        assert_memory_equal(root, v.inverse, sizeof root);
    }
    mem_free(work);
    pitot_optim_free(o);
}

static void test_roots(void **state) {
    (void)state;
    for (int newton = 0; newton < 2; newton++) {
        check_roots("1", newton);
        check_roots("2", newton);
        check_roots("3", newton);
        check_roots("100", newton);
    }
}

/* ---- bases ---- */

static void copy(const pitot_real *from, int64_t n, double *to) {
    for (int64_t i = 0; i < n; i++) to[i] = (double)from[i];
}

/* out = op(L) X op(R)' of the rows' and the columns' basis: into it (trans), or from it. */
static void turn(const double *l, const double *r, int trans, const double *x, double *out) {
    double half[SIZE];
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < COLS; j++) {
            half[i * COLS + j] = 0;
            for (int k = 0; k < ROWS; k++) half[i * COLS + j] += (trans ? l[k * ROWS + i] : l[i * ROWS + k]) * x[k * COLS + j];
        }
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < COLS; j++) {
            out[i * COLS + j] = 0;
            for (int k = 0; k < COLS; k++) out[i * COLS + j] += half[i * COLS + k] * (trans ? r[k * COLS + j] : r[j * COLS + k]);
        }
}

typedef struct soap_state {
    pitot_real basis[2][ROWS * ROWS], factor[2][ROWS * ROWS];
    double v[SIZE];
} soap_state;

static void read_soap(pitot_optim *o, soap_state *s) {
    memcpy(s->basis[0], array_of(o, "w:basis_rows"), ROWS * ROWS * sizeof(pitot_real));
    memcpy(s->basis[1], array_of(o, "w:basis_columns"), COLS * COLS * sizeof(pitot_real));
    memcpy(s->factor[0], array_of(o, "w:factor_rows"), ROWS * ROWS * sizeof(pitot_real));
    memcpy(s->factor[1], array_of(o, "w:factor_columns"), COLS * COLS * sizeof(pitot_real));
    copy(array_of(o, "w:exp_avg_sq"), SIZE, s->v);
}

/* The step whose bases step t uses: the first, and every third from the first on, or with count_first from the third. */
static int64_t bases_of(int64_t t, int64_t late, int count_first) {
    int64_t used = expected(t, count_first ? 0 : 1, 3, late);
    return used ? used : 1;
}

/* In the tensor's own axes the average of gradients knows nothing of bases; second moments are those in the old basis, in the new one's order. */
static void check_soap(int64_t late, int count_first) {
    pitot_real x[SIZE], g[SIZE], room[1000];
    const pitot_real *at = g;
    double m[SIZE] = { 0 }, v[SIZE], now[SIZE], turned[SIZE], g_wide[SIZE], l[ROWS * ROWS], r[COLS * COLS];
    double tolerance = sizeof(pitot_real) == 8 ? 1e-13 : 1e-5;
    static soap_state was[STEPS + 1];
    char text[8];
    pitot_optim *o = pitot_optim_new("soap", NULL);
    pitot_optim_tensor tensor = { "w", SIZE, x, &at, { ROWS, COLS } };
    snprintf(text, sizeof text, "%d", (int)late);
    set(o, "precondition_frequency", "3");
    set(o, "overlap", text);
    set(o, "count_first", count_first ? "true" : "false");
    draw(0, SIZE, x);
    assert_true(basis_iterate_work(ROWS) <= 1000);
    assert_int_equal(pitot_optim_prepare(o, &tensor, 1, 1, NULL), PITOT_OK);
    for (int64_t t = 1; t <= STEPS; t++) {
        const soap_state *before = &was[t - 1];
        int64_t used = bases_of(t, late, count_first), order[2][ROWS];
        pitot_preconditioner view;
        draw((uint64_t)t, SIZE, g);
        assert_int_equal(pitot_optim_step(o), PITOT_OK);
        assert_int_equal(pitot_optim_view(o, 0, 0, &view), PITOT_OK);
        assert_int_equal(view.computed, used);
        read_soap(o, &was[t]);
        for (int a = 0; a < 2; a++)
            for (int i = 0; i < ROWS; i++) order[a][i] = i;
        for (int a = 0; a < 2 && used > 1; a++) {
            pitot_real q[ROWS * ROWS];
            int64_t n = a ? COLS : ROWS, places[ROWS];
            memcpy(q, was[used - 1].basis[a], sizeof q); /* that of the step before: this one may have taken another */
            if (bases_of(used, late, count_first) != bases_of(used - 1, late, count_first)) memcpy(q, was[used].basis[a], sizeof q);
            assert_int_equal(basis_iterate(n, was[used].factor[a], q, places, room), 0);
            assert_memory_equal(q, was[t].basis[a], (size_t)(n * n) * sizeof *q);
            if (used != bases_of(t - 1, late, count_first)) memcpy(order[a], places, sizeof places);
        }
        if (t == 1) continue;
        copy(g, SIZE, g_wide);
        copy(before->basis[0], ROWS * ROWS, l);
        copy(before->basis[1], COLS * COLS, r);
        turn(l, r, 1, g_wide, turned);
        for (int i = 0; i < SIZE; i++) {
            m[i] = 0.95 * m[i] + 0.05 * g_wide[i];
            v[i] = 0.95 * before->v[i] + 0.05 * turned[i] * turned[i];
        }
        for (int i = 0; i < ROWS; i++)
            for (int j = 0; j < COLS; j++)
                assert_true(fabs(was[t].v[i * COLS + j] - v[order[0][i] * COLS + order[1][j]]) < tolerance);
        copy(was[t].basis[0], ROWS * ROWS, l);
        copy(was[t].basis[1], COLS * COLS, r);
        copy(array_of(o, "w:exp_avg"), SIZE, now);
        turn(l, r, 0, now, turned);
        for (int i = 0; i < SIZE; i++) assert_true(fabs(turned[i] - m[i]) < tolerance);
    }
    pitot_optim_free(o);
}

static void test_bases(void **state) {
    (void)state;
    for (int count_first = 0; count_first < 2; count_first++) {
        check_soap(1, count_first);
        check_soap(2, count_first);
        check_soap(50, count_first);
    }
}

/* ---- inverses ---- */

enum { N = 12, IN = 7, HIDDEN = 5 };

typedef struct rig {
    pitot_net *net;
    pitot_optim *optim;
    pitot_provided provided;
    pitot_real x[N * IN];
    int32_t classes[N];
} rig;

static int32_t try_rig(rig *r, const char *method, const char *period, const char *late, const char *const *more,
                       pitot_error *error) {
    r->net = pitot_net_new("net", (const int64_t[]){ IN, 0 }, "cross_entropy", error);
    pitot_net_add(r->net, "linear", "fc1", NULL, "out_features=5", error);
    pitot_net_add(r->net, "tanh", NULL, NULL, NULL, error);
    pitot_net_add(r->net, "linear", "fc2", NULL, "out_features=3", error);
    assert_int_equal(pitot_net_prepare(r->net, N, 1, error), PITOT_OK);
    assert_int_equal(pitot_net_init(r->net, 3), PITOT_OK);
    r->optim = pitot_optim_new(method, error);
    set(r->optim, period, "4");
    set(r->optim, "overlap", late);
    if (strcmp(method, "kfac") == 0)
        set(r->optim, "T_first", "0"), set(r->optim, "damping_form", "each"), set(r->optim, "damping", "0.1");
    for (; more && *more; more += 2) set(r->optim, more[0], more[1]);
    pitot_optim_plan(r->optim, STEPS, 11);
    for (int n = 0; n < N; n++) r->classes[n] = n % 3;
    return pitot_provide_prepare(&r->provided, r->net, r->optim, 1, error);
}

static void close_rig(rig *r) {
    pitot_optim_free(r->optim);
    pitot_provide_end(&r->provided);
    pitot_net_free(r->net);
}

static void step(rig *r, uint64_t t) {
    double loss;
    draw(t, N * IN, r->x);
    pitot_net_batch b = { .struct_size = sizeof b, .n = N, .x = r->x, .classes = r->classes, .training = 1, .seed = 1 };
    assert_int_equal(pitot_net_forward(r->net, &b, &loss), PITOT_OK);
    assert_int_equal(pitot_net_backward(r->net), PITOT_OK);
    assert_int_equal(pitot_optim_step(r->optim), PITOT_OK);
}

/* (F + 0.1 I) inverse = I, or F basis = basis diag: F as it was in the step that the view names. Rounded to pitot_real, entries of order 10. */
static void check_layer(const char *method, const char *period, const char *late, const char *const *more) {
    static pitot_real factor[STEPS + 1][HIDDEN * HIDDEN];
    double tolerance = sizeof(pitot_real) == 8 ? 1e-13 : 1e-5;
    rig r = { 0 };
    pitot_error error = { 0 };
    if (try_rig(&r, method, period, late, more, &error)) fail_msg("%s", error.text);
    for (int64_t t = 1; t <= STEPS; t++) {
        pitot_preconditioner v;
        step(&r, (uint64_t)t);
        assert_int_equal(pitot_optim_view(r.optim, 0, 0, &v), PITOT_OK);
        assert_int_equal(v.n, HIDDEN);
        memcpy(factor[t], v.factor, sizeof factor[t]);
        assert_int_equal(v.computed, expected(t, 1, 4, strtol(late, NULL, 10)));
        for (int i = 0; i < HIDDEN; i++)
            for (int j = 0; j < HIDDEN; j++) {
                double sum = 0, want = v.inverse ? i == j : (double)v.basis[i * HIDDEN + j] * (double)v.eigenvalues[j];
                for (int k = 0; k < HIDDEN; k++)
                    sum += ((double)factor[v.computed][i * HIDDEN + k] + (v.inverse && i == k ? 0.1 : 0)) *
                           (double)(v.inverse ? v.inverse : v.basis)[k * HIDDEN + j];
                assert_true(fabs(sum - want) < tolerance);
            }
    }
    close_rig(&r);
}

static void test_inverses(void **state) {
    (void)state;
    check_layer("kfac", "T_inv", "1", NULL);
    check_layer("kfac", "T_inv", "3", NULL);
    check_layer("kfac", "T_inv", "9", NULL);
    check_layer("kfac", "T_inv", "2", (const char *const[]){ "bias", "apart", NULL });
    check_layer("kfac", "T_inv", "2", (const char *const[]){ "step", "model", "adapt_damping", "lambda", NULL });
    check_layer("kfac", "T_inv", "1", (const char *const[]){ "step", "model", "damping_form", "eigen", NULL });
    check_layer("ekfac", "update_freq", "2", NULL);
}

/* ---- what needs its decompositions at once ---- */

static void test_refused(void **state) {
    static const char *const kfac[][5] = { { "keep_damping", "true", NULL }, { "step", "model", "adapt_damping", "gamma", NULL } };
    pitot_real x[SIZE];
    const pitot_real *at = x;
    pitot_optim *o = pitot_optim_new("shampoo", NULL);
    pitot_optim_tensor tensor = { "w", SIZE, x, &at, { ROWS, COLS } };
    pitot_error error = { 0 };
    (void)state;
    for (size_t i = 0; i < sizeof kfac / sizeof *kfac; i++) {
        rig r = { 0 };
        assert_int_equal(try_rig(&r, "kfac", "T_inv", "2", kfac[i], &error), PITOT_EINVAL);
        assert_non_null(strstr(error.text, "set overlap=0"));
        close_rig(&r);
        rig now = { 0 };
        assert_int_equal(try_rig(&now, "kfac", "T_inv", "0", kfac[i], &error), PITOT_OK);
        close_rig(&now);
    }
    set(o, "statistics", "sequential");
    set(o, "overlap", "1");
    assert_int_equal(pitot_optim_prepare(o, &tensor, 1, 1, &error), PITOT_EINVAL);
    assert_non_null(strstr(error.text, "set overlap=0"));
    set(o, "overlap", "0");
    assert_int_equal(pitot_optim_prepare(o, &tensor, 1, 1, &error), PITOT_OK);
    pitot_optim_free(o);
}

/* ---- waiting ---- */

enum { LARGE = 250 };

/* Large enough to be on its way for long: state that is read right after the step is what stands there later, and freeing waits. */
static void test_waiting(void **state) {
    static pitot_real x[LARGE * LARGE], g[LARGE * LARGE], early[LARGE * LARGE];
    const pitot_real *at = g;
    (void)state;
    for (int round = 0; round < 2; round++) {
        pitot_optim *o = pitot_optim_new("shampoo", NULL);
        pitot_optim_tensor tensor = { "w", LARGE * LARGE, x, &at, { LARGE, LARGE } };
        set(o, "overlap", "5");
        draw(0, LARGE * LARGE, x);
        assert_int_equal(pitot_optim_prepare(o, &tensor, 1, 2, NULL), PITOT_OK);
        for (uint64_t t = 1; t <= 2; t++) {
            draw(t, LARGE * LARGE, g);
            assert_int_equal(pitot_optim_step(o), PITOT_OK);
        }
        if (round == 0) {
            const pitot_real *next = array_of(o, "w:next_root_columns");
            memcpy(early, next, sizeof early);
            nanosleep(&(struct timespec){ 0, 300000000 }, NULL);
            assert_memory_equal(early, next, sizeof early);
            assert_true(memcmp(early, array_of(o, "w:root_columns"), sizeof early) != 0);
            assert_true(((const double *)array_of(o, ":overlap"))[1] == 2);
        }
        pitot_optim_free(o);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_roots), cmocka_unit_test(test_bases), cmocka_unit_test(test_inverses),
                                        cmocka_unit_test(test_refused), cmocka_unit_test(test_waiting) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
