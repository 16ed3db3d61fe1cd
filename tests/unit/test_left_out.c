/* What a gradient that is not finite leaves out of a step: the values around it and their state, no others, on any number of threads; and a
   tensor without a finite value as one without a gradient. Methods that add up over all values leave out the step. */

#include "pitot/optim.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum {
    ROWS = 697,
    COLUMNS = 53,
    LARGE = ROWS * COLUMNS,
    SMALL = 300,
    ALL = LARGE + SMALL,
    TENSORS = 2,
    STEPS = 4,
    ODD = 1,
    ARRAYS = 8,
    AROUND = 4096
};

static const struct {
    const char *method, *option, *text, *another, *text2;
    int whole; /* the step is left out */
} cases[] = {
    { "sgd", NULL, NULL, NULL, NULL, 0 },
    { "sgd", "momentum", "0.9", "weight_decay", "0.1", 0 },
    { "sgd", "momentum", "0.9", "nesterov", "true", 0 },
    { "adagrad", NULL, NULL, NULL, NULL, 0 },
    { "rmsprop", NULL, NULL, NULL, NULL, 0 },
    { "rmsprop", "centered", "true", "momentum", "0.9", 0 },
    { "lion", NULL, NULL, NULL, NULL, 0 },
    { "adam", NULL, NULL, NULL, NULL, 0 },
    { "adam", "amsgrad", "true", NULL, NULL, 0 },
    { "adamw", NULL, NULL, NULL, NULL, 0 },
    { "nadam", NULL, NULL, NULL, NULL, 0 },
    { "radam", NULL, NULL, NULL, NULL, 0 },
    { "radam", "betas", "0.9,0.9", NULL, NULL, 0 },
    { "adamw_schedule_free", NULL, NULL, NULL, NULL, 0 },
    { "adahessian", NULL, NULL, NULL, NULL, 0 },
    { "adahessian", "hessian_power", "0.5", NULL, NULL, 0 },
    { "sophia", "every", "1", "estimator", "hutchinson", 0 },
    { "prodigy", NULL, NULL, NULL, NULL, 1 },
    { "adafactor", NULL, NULL, NULL, NULL, 1 },
    { "vr_adam", NULL, NULL, NULL, NULL, 1 },
};

/* ---- runs ---- */

typedef struct run {
    pitot_real x[ALL], g[ALL];
    const pitot_real *at[TENSORS];
    pitot_optim *optim;
} run;

static const int64_t size_of[TENSORS] = { LARGE, SMALL }, begin_of[TENSORS] = { 0, LARGE };

static int32_t product(void *user, const pitot_real *v, pitot_real *out) {
    (void)user;
    for (int i = 0; i < ALL; i++) out[i] = (pitot_real)(1 + i % 5) * v[i];
    return PITOT_OK;
}

static int32_t squares(void *user, pitot_real *out) {
    (void)user;
    for (int i = 0; i < ALL; i++) out[i] = (pitot_real)(2 + i % 3);
    return PITOT_OK;
}

static void open_run(run *r, size_t c, int threads) {
    pitot_optim_source source = { .struct_size = sizeof source, .hvp = product, .squares = squares };
    pitot_optim_tensor tensors[TENSORS];
    for (int i = 0; i < ALL; i++) r->x[i] = (pitot_real)(i * 7919 % 10007 + 1) / 10007;
    for (int k = 0; k < TENSORS; k++) {
        r->at[k] = r->g + begin_of[k];
        tensors[k] =
            (pitot_optim_tensor){ k ? "b" : "a", size_of[k], r->x + begin_of[k], &r->at[k], { k ? SMALL : ROWS, k ? 0 : COLUMNS } };
    }
    r->optim = pitot_optim_new(cases[c].method, NULL);
    assert_non_null(r->optim);
    pitot_optim_plan(r->optim, 0, 5);
    assert_int_equal(pitot_optim_offer(r->optim, &source), PITOT_OK);
    if (cases[c].option) assert_int_equal(pitot_optim_set(r->optim, cases[c].option, cases[c].text, NULL), PITOT_OK);
    if (cases[c].another) assert_int_equal(pitot_optim_set(r->optim, cases[c].another, cases[c].text2, NULL), PITOT_OK);
    assert_int_equal(pitot_optim_prepare(r->optim, tensors, TENSORS, threads, NULL), PITOT_OK);
}

static void make_gradient(run *r, int step) {
    for (int i = 0; i < ALL; i++) r->g[i] = (pitot_real)((i * 101 + step * 977) % 1009 - 504.5) / 1009;
}

/* Arrays of state of the shape of tensor `k`, by name; their number. */
static int state_of(const run *r, int k, pitot_optim_array *out) {
    pitot_optim_array a;
    int n = 0;
    for (int64_t j = 0; pitot_optim_state(r->optim, j, &a) == PITOT_OK; j++)
        if (a.name[0] == (k ? 'b' : 'a') && a.bytes == size_of[k] * (int64_t)sizeof(pitot_real) && n < ARRAYS) out[n++] = a;
    return n;
}

static void must_be_same(const run *a, const run *b, size_t c, const char *what) {
    pitot_optim_array p, q;
    if (memcmp(a->x, b->x, sizeof a->x)) fail_msg("%s %s: %s", cases[c].method, cases[c].option ? cases[c].option : "", what);
    for (int64_t j = 0; pitot_optim_state(a->optim, j, &p) == PITOT_OK && pitot_optim_state(b->optim, j, &q) == PITOT_OK; j++)
        if (memcmp(p.data, q.data, (size_t)p.bytes)) fail_msg("%s: %s: state %s", cases[c].method, what, p.name);
}

/* ---- one value that is not finite ---- */

/* Where `odd` is not as `plain`, it is as it was before: at `place` and in a range of at most AROUND values. */
static void check_range(const pitot_real *plain, const pitot_real *odd, const pitot_real *before, int64_t n, int64_t place,
                        const char *name) {
    int64_t first = n, last = -1;
    for (int64_t i = 0; i < n; i++)
        if (plain[i] != odd[i]) {
            first = i < first ? i : first;
            last = i;
        }
    if (first > place || last < place || last - first >= AROUND)
        fail_msg("%s: values %d to %d differ; the gradient's is %d", name, (int)first, (int)last, (int)place);
    if (memcmp(odd + first, before + first, (size_t)(last + 1 - first) * sizeof *odd)) fail_msg("%s: what is left out moved", name);
}

static void check_place(size_t c, int64_t place, double value) {
    static run plain, odd, threaded;
    static pitot_real before[ARRAYS + 1][LARGE];
    pitot_optim_array a[ARRAYS], b[ARRAYS];
    open_run(&plain, c, 1);
    open_run(&odd, c, 1);
    open_run(&threaded, c, 3);
    for (int t = 0; t < STEPS; t++) {
        run *all[] = { &plain, &odd, &threaded };
        int n = state_of(&odd, 0, b);
        memcpy(before[ARRAYS], odd.x, sizeof before[0]);
        for (int k = 0; k < n; k++) memcpy(before[k], b[k].data, sizeof before[0]);
        for (int k = 0; k < 3; k++) {
            make_gradient(all[k], t);
            if (k > 0 && t == ODD) all[k]->g[place] = (pitot_real)value;
            if (k == 0 && t == ODD && cases[c].whole) continue;
            assert_int_equal(pitot_optim_step(all[k]->optim), k > 0 && t == ODD ? PITOT_EHOST : PITOT_OK);
        }
        must_be_same(&odd, &threaded, c, "on three threads");
        if (cases[c].whole) must_be_same(&plain, &odd, c, "not as without the step");
        if (t != ODD || cases[c].whole) continue;
        check_range(plain.x, odd.x, before[ARRAYS], LARGE, place, cases[c].method);
        state_of(&plain, 0, a);
        for (int k = 0; k < n; k++) check_range(a[k].data, b[k].data, before[k], LARGE, place, b[k].name);
    }
    for (int i = 0; i < ALL; i++) assert_true(isfinite((double)odd.x[i]));
    assert_true(pitot_optim_steps(odd.optim) == (cases[c].whole ? STEPS - 1 : STEPS));
    pitot_optim_free(plain.optim);
    pitot_optim_free(odd.optim);
    pitot_optim_free(threaded.optim);
}

static void test_one_value(void **state) {
    (void)state;
    static const int64_t place[] = { 0, 255, 256, 4095, 4096, 20000, LARGE - 1 };
    static const double value[] = { NAN, INFINITY, -INFINITY };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (size_t k = 0; k < sizeof place / sizeof *place; k++) check_place(c, place[k], value[k % 3]);
}

/* ---- a tensor without a finite value ---- */

static void test_whole_tensor(void **state) {
    (void)state;
    static run none, odd;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (int t = 0, odd_step = c % 2 != 0; t < STEPS && !cases[c].whole; t++) {
            if (t == 0) open_run(&none, c, 1);
            if (t == 0) open_run(&odd, c, 2);
            make_gradient(&none, t);
            make_gradient(&odd, t);
            none.at[1] = t == odd_step ? NULL : none.g + LARGE;
            for (int i = LARGE; i < ALL && t == odd_step; i++) odd.g[i] = (pitot_real)NAN;
            assert_int_equal(pitot_optim_step(none.optim), PITOT_OK);
            assert_int_equal(pitot_optim_step(odd.optim), t == odd_step ? PITOT_EHOST : PITOT_OK);
            must_be_same(&none, &odd, c, "a tensor of NaN is not one without a gradient");
            if (t < STEPS - 1) continue;
            pitot_optim_free(none.optim);
            pitot_optim_free(odd.optim);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_one_value), cmocka_unit_test(test_whole_tensor) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
