/* What goes wrong in a single step, for every optimizer and wrapper: an answer of the loop that is a status, NaN or infinity, whichever of a
   step's answers it is; a value of one gradient that is not finite, in any tensor and step; a tensor that has no gradient. Parameters and state
   stay finite, what was not to move has the same bits, and the method goes on and comes down. */

#include "optim_rig.h"

enum { MOST_CALLS = 14, AFTER = 12, SHORT = 2 };

static int descends; /* these options bring the loss down in AFTER steps */

static void go_on(rig *r, const char *name, const char *when) {
    clean_steps(r, descends ? AFTER : SHORT, name, when);
    must_be_finite(r, name, when);
    if (!descends) return;
    double lowest = r->lowest;
    pitot_real x[ROOM];
    copy_parameters(r, x);
    put_parameters(r, r->start);
    backward(r);
    if (!(lowest < r->loss)) complain("%s: %s: the loss went from %g to %g", name, when, r->loss, lowest);
    put_parameters(r, x);
}

/* ---- answers ---- */

/* 1: the step asked less often than that. */
static int check_answer(const char *name, const char *const *set, int before, int fault, int at) {
    char when[96];
    pitot_real x[ROOM];
    rig *r = open_rig(name, set);
    snprintf(when, sizeof when, "%s as answer %d in step %d",
             fault == FAULT_STATUS ? "a status"
             : fault == FAULT_NAN  ? "NaN"
                                   : "inf",
             at, before + 1);
    clean_steps(r, before, name, "before");
    copy_parameters(r, x);
    r->fault = fault;
    r->fault_at = at;
    int32_t status = one_step(r);
    int done = !r->faulty;
    if (!done && fault == FAULT_STATUS && status != PITOT_EBUDGET) complain("%s: %s: status %d", name, when, status);
    if (status && status != PITOT_EHOST && fault != FAULT_STATUS) complain("%s: %s: status %d", name, when, status);
    if (status && !same_parameters(r, x) && !r->optim->skipped) complain("%s: %s: parameters moved", name, when);
    must_be_finite(r, name, when);
    if (!done) go_on(r, name, when);
    close_rig(r);
    return done;
}

static void check_answers(const char *name, const char *const *set) {
    static const struct {
        int before, fault;
    } cases[] = { { 0, FAULT_NAN }, { 2, FAULT_STATUS }, { 0, FAULT_STATUS }, { 2, FAULT_INFINITE } };
    for (size_t c = 0; c < (descends ? 4 : 2); c++)
        for (int at = 1; at <= MOST_CALLS && !check_answer(name, set, cases[c].before, cases[c].fault, at); at++) continue;
}

static void test_answers(void **state) {
    (void)state;
    descends = 1;
    for_each(check_answers);
    descends = 0;
    for_settings(check_answers);
    end_of_test();
}

/* A sample's gradient that is not finite: clip_samples hands nothing on, and nothing moves. */
static void check_wrapped(const char *name, const char *const *set) {
    pitot_real x[ROOM];
    rig *r = open_rig(name, set);
    clean_steps(r, 2, name, "before");
    copy_parameters(r, x);
    r->fault = FAULT_NAN;
    r->fault_at = 3; /* batch, norms, weigh */
    int32_t status = one_step(r);
    if (!r->faulty || status != PITOT_EHOST) complain("%s: NaN from `weigh`: status %d", name, status);
    if (!same_parameters(r, x)) complain("%s: NaN from `weigh`: parameters moved", name);
    must_be_finite(r, name, "NaN from `weigh`");
    go_on(r, name, "NaN from `weigh`");
    close_rig(r);
}

static void test_wrapped(void **state) {
    char name[96];
    (void)state;
    descends = 0;
    for (const pitot_optimizer *const *m = pitot_optimizers(); *m; m++) {
        snprintf(name, sizeof name, "%s+clip_samples", (*m)->name);
        pitot_optim *o = pitot_optim_new(name, NULL);
        int goes = o && optim_check_parts(o, NULL) == PITOT_OK;
        pitot_optim_free(o);
        if (goes) check_wrapped(name, NULL);
    }
    end_of_test();
}

/* ---- gradients ---- */

static void check_gradient(const char *name, const char *const *set, int before, int tensor, double odd) {
    char when[96];
    rig *r = open_rig(name, set);
    snprintf(when, sizeof when, "%g in tensor %d in step %d", odd, tensor, before + 1);
    clean_steps(r, before, name, "before");
    backward(r);
    pitot_net_params(r->net)[tensor].grad[0] = (pitot_real)odd;
    int32_t status = step_now(r);
    if (status != PITOT_EHOST) complain("%s: %s: status %d", name, when, status);
    must_be_finite(r, name, when);
    go_on(r, name, when);
    close_rig(r);
}

static void check_gradients(const char *name, const char *const *set) {
    static const double odd[] = { NAN, INFINITY, -INFINITY };
    for (int k = 0; k < TENSORS + 3; k += descends ? 1 : 2) check_gradient(name, set, k % 4, k % TENSORS, odd[k % 3]);
}

static void test_gradients(void **state) {
    (void)state;
    descends = 1;
    for_each(check_gradients);
    descends = 0;
    for_settings(check_gradients);
    end_of_test();
}

/* ---- tensors without a gradient ---- */

/* Copies of the arrays called `tensor`:..., one behind the other; `out` NULL: their bytes. What is made beside the steps may come in at any of
   them, and an average of parameters goes on. */
static int64_t state_of(const rig *r, const char *tensor, char *out) {
    pitot_optim_array a;
    int64_t bytes = 0;
    size_t n = strlen(tensor);
    for (int64_t j = 0; pitot_optim_state(r->optim, j, &a) == PITOT_OK; j++)
        if (strstr(a.name, ":next_")) return 0;
    for (int64_t j = 0; pitot_optim_state(r->optim, j, &a) == PITOT_OK; j++) {
        if (strncmp(a.name, tensor, n) || a.name[n] != ':' || strstr(a.name, "average.average")) continue;
        if (out) memcpy(out + bytes, a.data, (size_t)a.bytes);
        bytes += a.bytes;
    }
    return bytes;
}

static void check_absent(const char *name, const char *const *set, int before, int tensor) {
    char when[96];
    rig *r = open_rig(name, set);
    const pitot_net_param *p = &pitot_net_params(r->net)[tensor];
    pitot_real x[ROOM], all[ROOM];
    snprintf(when, sizeof when, "%s without a gradient in step %d", p->name, before + 1);
    clean_steps(r, before, name, "before");
    int64_t bytes = state_of(r, p->name, NULL), count = (int64_t)r->optim->part[0].count[tensor + 1];
    char *was = mem_alloc(2 * bytes + 1, 1), *now = was + bytes;
    state_of(r, p->name, was);
    memcpy(x, p->data, (size_t)p->size * sizeof *x);
    copy_parameters(r, all);
    backward(r);
    r->grad[tensor] = NULL;
    int32_t status = step_now(r);
    if (status) complain("%s: %s: status %d", name, when, status);
    if (memcmp(x, p->data, (size_t)p->size * sizeof *x)) complain("%s: %s: it moved", name, when);
    state_of(r, p->name, now);
    int passes = (pitot_optim_wants(r->optim) & PITOT_WANTS_DATA) != 0; /* over data in which it has gradients */
    if (!passes && memcmp(was, now, (size_t)bytes)) complain("%s: %s: its state moved", name, when);
    if ((int64_t)r->optim->part[0].count[tensor + 1] != count) complain("%s: %s: it counts", name, when);
    if (same_parameters(r, all) && descends && before > 0) complain("%s: %s: nothing moved", name, when);
    show_gradients(r);
    go_on(r, name, when);
    mem_free(was);
    close_rig(r);
}

static void check_all_absent(const char *name, const char *const *set) {
    rig *r = open_rig(name, set);
    pitot_real x[ROOM];
    clean_steps(r, 1, name, "before");
    copy_parameters(r, x);
    backward(r);
    memset(r->grad, 0, sizeof r->grad);
    int32_t status = step_now(r);
    if (status) complain("%s: no gradient at all: status %d", name, status);
    if (!same_parameters(r, x)) complain("%s: no gradient at all: parameters moved", name);
    show_gradients(r);
    go_on(r, name, "no gradient at all");
    close_rig(r);
}

static void check_absences(const char *name, const char *const *set) {
    if (strstr(name, "accumulate")) return; /* takes earlier ones: test_wrappers.c */
    for (int k = 0; k < TENSORS + 3; k += descends ? 1 : 4) check_absent(name, set, k % 4, k % TENSORS);
    for (int k = 0; k < TENSORS && !descends; k++) check_absent(name, set, 2, k); /* what is due every second step was due */
    check_all_absent(name, set);
}

static void test_absent(void **state) {
    (void)state;
    descends = 1;
    for_each(check_absences);
    descends = 0;
    for_settings(check_absences);
    end_of_test();
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_answers), cmocka_unit_test(test_wrapped),
                                        cmocka_unit_test(test_gradients), cmocka_unit_test(test_absent) };
    return cmocka_run_group_tests(tests, on_one_thread, NULL);
}
