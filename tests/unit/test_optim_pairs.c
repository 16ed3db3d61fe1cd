/* Every wrapper around every method, and several at once: resuming is bit for bit after any number of steps, also in an optimizer that has made
   other steps before; a step of NaN leaves everything as it was; a learning rate of 0 moves nothing, not by a bit; the mean of several batches'
   gradients is that of one large batch. */

#include "optim_rig.h"

enum { STEPS = 6 };

static const char *const together[] = {
    "accumulate+clip_norm+sam+cosine+average", /* the average sees every step, also those without a step inside */
    "average+accumulate+clip_samples",         /* and only those in which there was one */
    "clip_value+sam+warmup+restarts",
};

/* ---- each with each ---- */

/* Whether these go around each other (core/combine.c; test_combinations.c). */
static int goes(const char *name) {
    pitot_optim *o = pitot_optim_new(name, NULL);
    int good = o && optim_check_parts(o, NULL) == PITOT_OK;
    pitot_optim_free(o);
    return good;
}

static void check_pair(void (*check)(const char *name, const char *const *set), const char *method, const char *wrapper) {
    char name[128];
    const char *set[] = { strstr(wrapper, "accumulate") ? "accumulate.every" : NULL, "2", NULL };
    snprintf(name, sizeof name, "%s+%s", method, wrapper);
    if (goes(name)) check(name, set);
}

static void for_pairs(void (*check)(const char *name, const char *const *set)) {
    for (const pitot_optimizer *const *m = pitot_optimizers(); *m; m++) {
        for (const pitot_optimizer *const *w = pitot_wrappers(); *w; w++) check_pair(check, (*m)->name, (*w)->name);
        for (size_t k = 0; k < sizeof together / sizeof *together; k++) check_pair(check, (*m)->name, together[k]);
    }
}

/* ---- resuming ---- */

static void move_to(rig *from, rig *to, const char *name) {
    pitot_optim_array a, b;
    pitot_real x[ROOM];
    int64_t j = 0;
    copy_parameters(from, x);
    put_parameters(to, x);
    for (; pitot_optim_state(from->optim, j, &a) == PITOT_OK; j++) {
        if (pitot_optim_state(to->optim, j, &b) || strcmp(a.name, b.name) || a.bytes != b.bytes || a.dtype != b.dtype)
            fail_msg("%s: %s is not there", name, a.name);
        memcpy(b.data, a.data, (size_t)a.bytes);
    }
    assert_int_equal(pitot_optim_state(to->optim, j, &b), PITOT_EINVAL);
}

static int same_evaluated(rig *a, rig *b) {
    pitot_real x[ROOM];
    pitot_optim_evaluate(a->optim, 1);
    pitot_optim_evaluate(b->optim, 1);
    copy_parameters(a, x);
    int same = same_parameters(b, x);
    pitot_optim_evaluate(a->optim, 0);
    pitot_optim_evaluate(b->optim, 0);
    return same;
}

/* After each of its steps a run goes on in another optimizer, of which two take turns: all that lasts is in the arrays. */
static void check_resume(const char *name, const char *const *set) {
    rig *whole = open_rig(name, set), *turn[2] = { open_rig(name, set), open_rig(name, set) };
    turn[1]->x[0] = 3;
    one_step(turn[1]); /* of something else */
    one_step(turn[1]);
    turn[1]->x[0] = turn[0]->x[0];
    for (int i = 0; i < STEPS; i++) {
        one_step(whole);
        one_step(turn[i % 2]);
        if (!same_rigs(whole, turn[i % 2])) {
            complain("%s: resumed after %d steps: other bits", name, i);
            break;
        }
        move_to(turn[i % 2], turn[(i + 1) % 2], name);
        if (!same_evaluated(whole, turn[(i + 1) % 2])) complain("%s: resumed after %d steps: evaluates elsewhere", name, i + 1);
    }
    close_rig(whole);
    close_rig(turn[0]);
    close_rig(turn[1]);
}

static void test_resume(void **state) {
    (void)state;
    for_each(check_resume);
    for_settings(check_resume);
    for_pairs(check_resume);
    end_of_test();
}

/* ---- NaN ---- */

/* In the first step, in one in which what is cached is renewed, and in one in which it is not. */
static void check_nan(const char *name, const char *const *set) {
    rig *plain = open_rig(name, set), *odd = open_rig(name, set);
    for (int i = 0; i < STEPS; i++) {
        one_step(plain);
        for (int k = 0; k < TENSORS && i % 3 != 1; k++) {
            if (k == 0) backward(odd);
            pitot_net_params(odd->net)[k].grad[pitot_net_params(odd->net)[k].size - 1] = (pitot_real)(i ? -INFINITY : NAN);
        }
        if (i % 3 != 1 && step_now(odd) != PITOT_EHOST) complain("%s: step %d: a gradient of NaN is taken", name, i);
        one_step(odd);
    }
    if (!same_rigs(plain, odd)) complain("%s: not the same after a step of NaN", name);
    close_rig(plain);
    close_rig(odd);
}

static void test_nan(void **state) {
    (void)state;
    for_each(check_nan);
    for_settings(check_nan);
    for_pairs(check_nan);
    end_of_test();
}

/* ---- a learning rate of 0 ---- */

static void check_still(const char *name, const char *const *set) {
    rig *r = open_rig(name, set);
    clean_steps(r, 1, name, "before");
    pitot_real x[ROOM];
    copy_parameters(r, x);
    assert_int_equal(pitot_optim_set(r->optim, "lr", "0", NULL), PITOT_OK);
    clean_steps(r, 3, name, "lr=0");
    if (!same_parameters(r, x)) complain("%s: lr=0 moves", name);
    must_be_finite(r, name, "lr=0");
    close_rig(r);
}

static void test_still(void **state) {
    (void)state;
    for_each(check_still);
    for_settings(check_still);
    for_pairs(check_still);
    end_of_test();
}

/* ---- a step that fails inside ---- */

static void take_gradient(rig *r, int away) {
    r->grad[0] = away ? NULL : pitot_net_params(r->net)[0].grad;
}

/* Answer `at` of step `fails`, in which tensor 0 has no gradient, is a status: nothing has changed, and the step made again is as if it had not
   been. */
static void check_failure(const char *name, const char *const *set, int fails, int at) {
    rig *plain = open_rig(name, set), *odd = open_rig(name, set), *before = open_rig(name, set);
    for (int i = 0; i < STEPS; i++) {
        take_gradient(plain, i == fails);
        take_gradient(odd, i == fails);
        one_step(plain);
        odd->fault = FAULT_STATUS;
        odd->fault_at = i == fails ? at : 0;
        move_to(odd, before, name);
        int32_t status = one_step(odd);
        if (!odd->faulty) continue;
        if (status != PITOT_EBUDGET) complain("%s: step %d: status %d", name, i, status);
        if (!same_rigs(before, odd)) complain("%s: step %d fails and changes something", name, i);
        odd->fault_at = 0;
        one_step(odd);
    }
    if (!same_rigs(plain, odd)) complain("%s: not the same after a step that failed", name);
    close_rig(plain);
    close_rig(odd);
    close_rig(before);
}

/* What may fail inside of wrappers that change the gradient: not SAM, which makes its own. */
static void test_failure(void **state) {
    (void)state;
    for (const pitot_optimizer *const *w = pitot_wrappers(); *w; w++) {
        char name[128];
        snprintf(name, sizeof name, strcmp((*w)->name, "sam") ? "sgd+sam+%s" : "sgd+%s", (*w)->name);
        if (!goes(name)) snprintf(name, sizeof name, "adahessian+%s", (*w)->name);
        const char *set[] = { "lr", "0.1", strcmp((*w)->name, "accumulate") ? NULL : "accumulate.every", "2", NULL };
        for (int k = 0; k < 2 * STEPS; k++) check_failure(name, set, k / 2, k % 2 ? 4 : 1);
    }
    end_of_test();
}

/* ---- several batches, and one ---- */

/* The first, then the second half of the samples. */
static void half_backward(rig *r, int half) {
    pitot_net_batch b = { .struct_size = sizeof b, .n = N / 2, .x = r->x + half * (N / 2) * INPUTS, .training = 1, .seed = 1 };
    b.classes = r->classes + half * (N / 2);
    assert_int_equal(pitot_net_forward(r->net, &b, &r->loss), PITOT_OK);
    assert_int_equal(pitot_net_backward(r->net), PITOT_OK);
}

/* Methods that want nothing but gradients; the others see the last of the batches, as accumulate.c says. Round-off chooses a basis where no gradient
   has been: the two that divide by moments in one differ. */
static void check_halves(const char *name, const char *const *set) {
    char full[128];
    pitot_real x[ROOM], y[ROOM];
    const double tolerance = sizeof(pitot_real) == 8 ? 1e-9 : 2e-3; /* round-off of gradients, through roots of their squares */
    if (strchr(name, '+') || strcmp(name, "soap") == 0 || strcmp(name, "eshampoo") == 0) return;
    snprintf(full, sizeof full, "%s+accumulate", name);
    if (!goes(full)) return;
    rig *large = open_rig(name, set);
    rig *small = open_rig(full, (const char *const[]){ "accumulate.every", "2", NULL });
    for (int i = 0; i < 8 && !pitot_optim_wants(large->optim); i++) {
        one_step(large);
        for (int half = 0; half < 2; half++) {
            half_backward(small, half);
            assert_int_equal(step_now(small), PITOT_OK);
        }
        int64_t n = copy_parameters(large, x);
        copy_parameters(small, y);
        for (int64_t k = 0; k < n; k++)
            if (!(fabs((double)x[k] - (double)y[k]) <= tolerance)) {
                complain("%s: step %d: %g, in two halves %g", name, i + 1, (double)x[k], (double)y[k]);
                break;
            }
    }
    close_rig(large);
    close_rig(small);
}

static void test_halves(void **state) {
    (void)state;
    for_each(check_halves);
    end_of_test();
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_resume), cmocka_unit_test(test_nan), cmocka_unit_test(test_still),
                                        cmocka_unit_test(test_failure), cmocka_unit_test(test_halves) };
    return cmocka_run_group_tests(tests, on_one_thread, NULL);
}
