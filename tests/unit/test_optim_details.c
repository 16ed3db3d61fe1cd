/* Details of single methods in which a slip shows in no trace: draws differ from step to step, schedules reach every learning rate, what is kept
   between steps knows nothing of tensors that had no gradient, limits hold for those they are of. */

#include "optim_rig.h"

#include "base/number.h"

#include <stdlib.h>

static const pitot_optim_array *array_of(const rig *r, const char *name) {
    static pitot_optim_array a;
    for (int64_t j = 0; pitot_optim_state(r->optim, j, &a) == PITOT_OK; j++)
        if (strcmp(a.name, name) == 0) return &a;
    fail_msg("there is no state %s", name);
    return NULL;
}

/* ---- draws ---- */

static uint64_t mixed(uint64_t hash, const void *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) hash = (hash ^ ((const unsigned char *)bytes)[i]) * 0x100000001b3u;
    return hash;
}

static uint64_t drawn; /* of all that a step drew; 0: nothing */

static int32_t see_drawn(void *user, uint64_t seed, pitot_real *out) {
    drawn = mixed(drawn, &seed, sizeof seed);
    return on_drawn(user, seed, out);
}

static int32_t see_product(void *user, const pitot_real *v, pitot_real *out) {
    drawn = mixed(drawn, v, 20 * sizeof *v);
    return on_hvp(user, v, out);
}

static int32_t see_send(void *user, int32_t root, uint64_t seed, int64_t column) {
    if (root == PITOT_ROOT_DRAWN) drawn = mixed(drawn, &seed, sizeof seed);
    return on_send(user, root, seed, column);
}

/* Standing still, so that draws are all that may differ. Returns how many steps drew; the first draw in *first. */
static int check_seed(const char *name, const char *const *set, uint64_t seed, uint64_t *first) {
    enum { LONG = 21 };
    uint64_t all[LONG];
    int n = 0;
    rig *r = open_rig(name, set);
    pitot_optim_plan(r->optim, 0, seed);
    r->optim->source.drawn = see_drawn;
    r->optim->source.hvp = see_product;
    r->optim->source.send = see_send;
    assert_int_equal(pitot_optim_set(r->optim, "lr", "0", NULL), PITOT_OK);
    for (int i = 0; i < LONG; i++) {
        drawn = 0;
        one_step(r);
        for (int k = 0; drawn && k < n; k++)
            if (all[k] == drawn) complain("%s: step %d draws what an earlier one drew", name, i + 1);
        if (drawn) all[n++] = drawn;
    }
    *first = n ? all[0] : 0;
    close_rig(r);
    return n;
}

static void check_draws(const char *name, const char *const *set) {
    uint64_t one, again, another;
    int n = check_seed(name, set, 7, &one);
    if (n == 0) return;
    check_seed(name, set, 7, &again);
    check_seed(name, set, 8, &another);
    if (n == 1 || one != again || one == another) complain("%s: draws do not follow the seed", name);
}

static void test_draws(void **state) {
    (void)state;
    for_each(check_draws);
    for_settings(check_draws);
    end_of_test();
}

/* ---- schedules ---- */

/* Half the learning rate by a schedule is half of it by the option; of what is not a matrix too. */
static void test_schedules(void **state) {
    (void)state;
    for (const pitot_optimizer *const *m = pitot_optimizers(); *m; m++) {
        char name[96], lr[NUMBER_ROOM], aux[NUMBER_ROOM];
        const pitot_option *other = pitot_options_find((*m)->options, "aux_lr");
        number_write(strtod((*m)->options[0].initial, NULL) / 2, lr);
        number_write(other ? strtod(other->initial, NULL) / 2 : 0, aux);
        snprintf(name, sizeof name, "%s+constant", (*m)->name);
        rig *a = open_rig(name, (const char *const[]){ "constant.factor", "0.5", "constant.steps", "100", NULL });
        rig *b = open_rig((*m)->name, (const char *const[]){ "lr", lr, other ? "aux_lr" : NULL, aux, NULL });
        for (int i = 0; i < 4; i++) {
            pitot_real x[ROOM];
            one_step(a);
            one_step(b);
            copy_parameters(a, x);
            if (!same_parameters(b, x)) complain("%s: step %d: half the rate is not half the rate", (*m)->name, i + 1);
        }
        close_rig(a);
        close_rig(b);
    }
    end_of_test();
}

/* ---- memories ---- */

/* Tensor `tensor` had no gradient in the latest step: what was kept of that step has zeros there. */
static void check_memory(const char *method, const char *slot, int64_t row, int tensor) {
    rig *r = open_rig(method, NULL);
    int64_t at = r->optim->part[0].s.tensor[tensor].at, n = r->optim->part[0].s.tensor[tensor].size;
    clean_steps(r, 3, method, "before");
    const pitot_real *v = (const pitot_real *)array_of(r, slot)->data + row * r->optim->parameters;
    backward(r);
    r->grad[tensor] = NULL;
    assert_int_equal(step_now(r), PITOT_OK);
    double other = 0;
    for (int64_t i = 0; i < r->optim->parameters; i++) other += fabs((double)v[i]);
    assert_true(other > 0);
    for (int64_t i = at; i < at + n; i++)
        if (v[i] != 0) complain("%s: %s holds %g of a tensor without a gradient", method, slot, (double)v[i]);
    close_rig(r);
}

static void test_memories(void **state) {
    (void)state;
    for (int tensor = 0; tensor < 5; tensor += 4) {
        check_memory("hessian_free", ":direction", 0, tensor);
        check_memory("lbfgs", ":s", 3, tensor); /* the fourth pair */
        check_memory("lbfgs", ":y", 3, tensor);
    }
    end_of_test();
}

/* A loss that never falls: no length will do, and pairs that led there are forgotten. */
static int32_t rising(void *user, double *loss) {
    static double last = 1e3;
    int32_t status = on_gradient(user, loss);
    *loss = last += 1;
    return status;
}

static void test_forgotten(void **state) {
    (void)state;
    rig *r = open_rig("lbfgs", NULL);
    clean_steps(r, 3, "lbfgs", "before");
    const double *count = array_of(r, ":memory")->data;
    assert_true(count[0] == 3);
    r->optim->source.gradient = rising;
    pitot_real x[ROOM];
    copy_parameters(r, x);
    assert_int_equal(one_step(r), PITOT_OK);
    assert_true(same_parameters(r, x));
    assert_true(count[0] == 0);
    close_rig(r);
}

/* ---- K-FAC ---- */

/* The limit on the length is one of preconditioned layers: others take the whole step. */
static void test_limit(void **state) {
    (void)state;
    const double lr = 0.125, tolerance = sizeof(pitot_real) == 8 ? 1e-15 : 1e-7; /* a rounding of values of 1 */
    rig *r = open_rig("kfac", (const char *const[]){ "kl_clip", "1e-20", "max_dim", "5", "lr", "0.125", "momentum", "0", NULL });
    const pitot_net_param *large = &pitot_net_params(r->net)[4], *small = &pitot_net_params(r->net)[6]; /* fc1, one */
    pitot_real x[64], y[8];
    memcpy(x, large->data, (size_t)large->size * sizeof *x);
    memcpy(y, small->data, (size_t)small->size * sizeof *y);
    assert_int_equal(one_step(r), PITOT_OK);
    for (int64_t i = 0; i < large->size; i++)
        assert_true(fabs((double)x[i] - lr * (double)large->grad[i] - (double)large->data[i]) <= tolerance);
    for (int64_t i = 0; i < small->size; i++) assert_true(fabs((double)y[i] - (double)small->data[i]) <= 1e-6);
    close_rig(r);
}

/* What is made beside the steps comes with the damping that it was made with. */
static void test_damping_beside(void **state) {
    (void)state;
    rig *now = open_rig("kfac", (const char *const[]){ "T_inv", "2", "T_first", "0", "lr", "0", NULL });
    rig *beside = open_rig("kfac", (const char *const[]){ "T_inv", "2", "T_first", "0", "lr", "0", "overlap", "1", NULL });
    pitot_preconditioner a, b;
    double damping[2][7] = { { 0 } };
    for (int i = 1; i <= 6; i++) {
        for (int k = 0; k < N * INPUTS; k++) now->x[k] *= (pitot_real)1.5;
        memcpy(beside->x, now->x, sizeof now->x);
        one_step(now);
        one_step(beside);
        assert_int_equal(pitot_optim_view(now->optim, 4, 1, &a), PITOT_OK);
        assert_int_equal(pitot_optim_view(beside->optim, 4, 1, &b), PITOT_OK);
        damping[0][i] = a.damping;
        damping[1][i] = b.damping;
        if (i > 1 && b.computed != (i == 2 ? 1 : (i - 2) / 2 * 2 + 1)) fail_msg("step %d: computed in %d", i, (int)b.computed);
        if (damping[1][i] != damping[0][b.computed]) fail_msg("step %d: damping %g, not %g", i, b.damping, damping[0][b.computed]);
    }
    assert_true(damping[1][6] != damping[1][2]);
    close_rig(now);
    close_rig(beside);
}

/* The first steps all have their factors, whatever T_cov says. */
static void test_first_factors(void **state) {
    (void)state;
    rig *r = open_rig("kfac", (const char *const[]){ "T_cov", "4", "T_inv", "4", "T_first", "3", NULL });
    static const double want[] = { 1, 2, 3, 3, 4, 4, 4, 4, 5 };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        assert_int_equal(one_step(r), PITOT_OK);
        assert_true(*(const double *)array_of(r, "fc1.weight:numbers")->data == want[i]);
    }
    close_rig(r);
}

/* ---- SINGD ---- */

/* K = I - lr_cov / max(1, |m|) m after the first step. */
static void test_normalised(void **state) {
    (void)state;
    const double lr = 0.01, tolerance = sizeof(pitot_real) == 8 ? 1e-14 : 1e-6; /* roundings of values of 1 */
    rig *r = open_rig("singd", (const char *const[]){ "normalize_lr_cov", "true", "lr_cov", "0.01", "structure", "dense", "damping",
                                                      "10", NULL });
    double most = 0;
    one_step(r);
    const pitot_optim_array k = *array_of(r, "conv.weight:K"), m = *array_of(r, "conv.weight:m_K");
    const pitot_real *kv = k.data, *mv = m.data;
    int64_t n = (int64_t)sqrt((double)k.bytes / (double)sizeof *kv);
    for (int64_t i = 0; i < n * n; i++) most = fmax(most, fabs((double)mv[i]));
    assert_true(most > 1);
    for (int64_t i = 0; i < n * n; i++)
        assert_true(fabs((double)kv[i] - (i % (n + 1) == 0) + lr / most * (double)mv[i]) <= tolerance);
    close_rig(r);
}

/* ---- eigenvalue-corrected Shampoo ---- */

/* One value, one step: (1-b1) g / (sqrt(1-b2) |g|), where nothing corrects the bias. */
static void test_uncorrected(void **state) {
    (void)state;
    pitot_real x = 1, g = 3;
    const pitot_real *at = &g;
    pitot_optim_tensor t = { "w", 1, &x, &at, { 1, 1 } };
    for (int correct = 0; correct < 2; correct++) {
        pitot_optim *o = pitot_optim_new("eshampoo", NULL);
        pitot_optim_set(o, "lr", "0.125", NULL);
        pitot_optim_set(o, "betas", "0.75,0.9375", NULL);
        pitot_optim_set(o, "use_bias_correction", correct ? "true" : "false", NULL);
        assert_int_equal(pitot_optim_prepare(o, &t, 1, 1, NULL), PITOT_OK);
        x = 1;
        assert_int_equal(pitot_optim_step(o), PITOT_OK);
        assert_true(fabs((double)x - 0.875) < 1e-6); /* 0.25 / sqrt(0.0625) is 1 as well */
        assert_int_equal(pitot_optim_step(o), PITOT_OK);
        double c = correct ? 1 / 0.4375 / sqrt(1 / (1 - 0.9375 * 0.9375)) : 1;
        assert_true(fabs((double)x - 0.875 + 0.125 * c * 0.4375 / sqrt(1 - 0.9375 * 0.9375)) < 1e-6);
        pitot_optim_free(o);
    }
}

/* ---- RMSprop ---- */

/* The variance of a gradient that stays is 0 but for round-off, which may leave it below: the value goes on. */
static void test_no_variance(void **state) {
    (void)state;
    for (int k = 1; k < 40; k++) {
        pitot_real x = 0, g = (pitot_real)k / 40;
        const pitot_real *at = &g;
        pitot_optim_tensor t = { "w", 1, &x, &at, { 0 } };
        pitot_optim *o = pitot_optim_new("rmsprop", NULL);
        pitot_optim_set(o, "lr", "1e-9", NULL);
        pitot_optim_set(o, "alpha", "0.5", NULL);
        pitot_optim_set(o, "centered", "true", NULL);
        assert_int_equal(pitot_optim_prepare(o, &t, 1, 1, NULL), PITOT_OK);
        for (int i = 0; i < 200; i++) {
            pitot_real before = x;
            assert_int_equal(pitot_optim_step(o), PITOT_OK);
            if (!(x < before)) fail_msg("a gradient of %g: step %d: it stays", (double)g, i + 1);
        }
        pitot_optim_free(o);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_draws),         cmocka_unit_test(test_schedules),   cmocka_unit_test(test_memories),
        cmocka_unit_test(test_forgotten),     cmocka_unit_test(test_limit),       cmocka_unit_test(test_damping_beside),
        cmocka_unit_test(test_first_factors), cmocka_unit_test(test_no_variance), cmocka_unit_test(test_normalised),
        cmocka_unit_test(test_uncorrected),
    };
    return cmocka_run_group_tests(tests, on_one_thread, NULL);
}
