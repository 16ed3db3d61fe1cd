/* What goes around what: which wrappers are refused and what is proposed instead, plans of schedules inside of an accumulation, and what the
   messages name. */

#include "pitot/optim.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* As prepared for a loop that provides nothing but gradients; whether wrappers go together is looked at before what is missing. */
static int32_t prepare(const char *name, const char *const *set, pitot_error *error) {
    static pitot_real x = 1, g = 1;
    static const pitot_real *at = &g;
    pitot_optim_tensor tensor = { "w", 1, &x, &at, { 0 } };
    memset(error, 0, sizeof *error);
    pitot_optim *o = pitot_optim_new(name, error);
    int32_t status = o ? PITOT_OK : error->status;
    for (; o && set && *set && !status; set += 2) status = pitot_optim_set(o, set[0], set[1], error);
    if (o && !status) status = pitot_optim_prepare(o, &tensor, 1, 1, error);
    pitot_optim_free(o);
    return status;
}

static void says(const pitot_error *error, const char *what) {
    if (!strstr(error->text, what)) fail_msg("no \"%s\" in: %s", what, error->text);
}

/* ---- refused ---- */

/* What is given anew, or held against losses and gradients of its own, is not to be changed from outside; the order that is proposed is one
   that goes. */
static void test_refused(void **state) {
    (void)state;
    static const char *const again[][2] = { { "sgd+sam+clip_norm", "sgd+clip_norm+sam" },
                                            { "adam+sam+clip_value+cosine", "adam+clip_value+sam+cosine" },
                                            { "sgd+sam+accumulate", "sgd+accumulate+sam" },
                                            { "sgd+sam+clip_samples", "sgd+clip_samples+sam" },
                                            { "sgd+clip_samples+clip_norm", "sgd+clip_norm+clip_samples" },
                                            { "kfac+average+clip_samples+accumulate", "kfac+average+accumulate+clip_samples" } };
    static const char *const alone[] = { "lbfgs+clip_norm",         "lbfgs+sam",
                                         "lbfgs+cosine+accumulate", "hessian_free+clip_value",
                                         "hessian_free+accumulate", "sania+clip_norm",
                                         "sania+clip_samples",      "sania+accumulate+sam" };
    pitot_error error;
    char option[96];
    for (size_t i = 0; i < sizeof again / sizeof *again; i++) {
        assert_int_equal(prepare(again[i][0], NULL, &error), PITOT_EINVAL);
        snprintf(option, sizeof option, "--optimizer %s", again[i][1]);
        says(&error, option);
        assert_int_not_equal(prepare(again[i][1], NULL, &error), PITOT_EINVAL);
    }
    for (size_t i = 0; i < sizeof alone / sizeof *alone; i++) {
        assert_int_equal(prepare(alone[i], NULL, &error), PITOT_EINVAL);
        says(&error, "away");
    }
    assert_int_equal(prepare("kfac+clip_norm", (const char *const[]){ "step", "model", "adapt_damping", "lambda", NULL }, &error),
                     PITOT_EINVAL);
    assert_int_equal(prepare("adamw_schedule_free+average", NULL, &error), PITOT_EINVAL);
    says(&error, "leave average away");
}

static void test_allowed(void **state) {
    (void)state;
    static const char *const fine[] = { "sgd+warmup+cosine",        "sgd+clip_norm+clip_value+accumulate",
                                        "sgd+accumulate+clip_norm", "lbfgs+cosine+average",
                                        "hessian_free+step",        "kfac+clip_norm",
                                        "sgd+sam+average",          "sgd+average+sam",
                                        "vr_adam+clip_norm",        "adamw_schedule_free+warmup+clip_norm",
                                        "sania+sam+cosine" };
    pitot_error error;
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++)
        if (prepare(fine[i], NULL, &error) == PITOT_EINVAL) fail_msg("%s: %s", fine[i], error.text);
}

/* ---- plans ---- */

/* A schedule inside of an accumulation makes as many steps as gradients are gathered for: it is through at the end all the same. */
static void test_planned(void **state) {
    (void)state;
    pitot_real x = 0, g = -1;
    const pitot_real *at = &g;
    pitot_optim_tensor tensor = { "w", 1, &x, &at, { 0 } };
    pitot_optim *o = pitot_optim_new("sgd+cosine+accumulate", NULL);
    assert_int_equal(pitot_optim_set(o, "lr", "1", NULL), PITOT_OK);
    assert_int_equal(pitot_optim_set(o, "accumulate.every", "3", NULL), PITOT_OK);
    pitot_optim_plan(o, 12, 1);
    assert_int_equal(pitot_optim_prepare(o, &tensor, 1, 1, NULL), PITOT_OK);
    for (int t = 0; t < 12; t++) {
        double want = (1 + cos(M_PI * (t / 3) / 4)) / 2; /* four steps in all */
        assert_true(fabs(pitot_optim_next_lr(o) - want) <= 1e-15);
        assert_int_equal(pitot_optim_step(o), PITOT_OK);
    }
    assert_true(fabs(pitot_optim_next_lr(o)) <= 1e-15);
    pitot_optim_free(o);
}

/* ---- what is said ---- */

static void test_missing(void **state) {
    (void)state;
    pitot_error error;
    assert_int_equal(prepare("lbfgs", NULL, &error), PITOT_ENOTSUP);
    says(&error, "optimizer lbfgs needs");
    says(&error, "source.gradient");
    says(&error, "source.loss");
    assert_int_equal(prepare("adam+sam", NULL, &error), PITOT_ENOTSUP);
    says(&error, "wrapper sam needs");
    assert_int_equal(prepare("hessian_free", NULL, &error), PITOT_ENOTSUP);
    says(&error, "source.ggnvp");
    says(&error, "source.squares");
}

static void test_names(void **state) {
    (void)state;
    static const struct {
        const char *name, *option, *value, *says;
    } list[] = {
        { "ADAMW", NULL, NULL, "did you mean \"adamw\"" },
        { "sgd+", NULL, NULL, "name is empty" },
        { "", NULL, NULL, "name is empty" },
        { "cosine+sgd", NULL, NULL, "as in sgd+cosine" },
        { "sgd+adam", NULL, NULL, "\"adam\" is an optimizer" },
        { "adam", "clip_norm", "1", "as in clip_norm.max=1" },
        { "adam", "betas", "0.9", "give 2 numbers in [0, 1), as in 0.9,0.999" },
        { "adam", "LR", "1", "did you mean \"lr\"" },
    };
    pitot_error error;
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        const char *const set[] = { list[i].option, list[i].value, NULL };
        assert_int_equal(prepare(list[i].name, set, &error), PITOT_EINVAL);
        says(&error, list[i].says);
    }
    assert_int_not_equal(prepare("kfac", (const char *const[]){ "step", "model", NULL }, &error),
                         PITOT_EINVAL); /* a wrapper's name, too */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused), cmocka_unit_test(test_allowed), cmocka_unit_test(test_planned),
        cmocka_unit_test(test_missing), cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
