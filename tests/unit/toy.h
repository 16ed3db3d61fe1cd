/* toy.h: a training loop as a host would write it, small enough to follow by hand, and probes of the tests' own, registered at run
   time, that stand for what the registry does not have. For the tests of the
   hooks. */

#ifndef PITOT_TESTS_TOY_H
#define PITOT_TESTS_TOY_H

#include "pitot/hooks.h"
#include "pitot/log.h"
#include "pitot/probe.h"
#include "pitot/train.h"

#include "base/alloc.h"
#include "run/run.h"

#include <ftw.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- a folder of the tests' own ---- */

static char folder[64];

static inline int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static inline int remove_folder(void **state) {
    (void)state;
    return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline const char *path_of(const char *name) { /* each path is kept */
    static char path[64][128];
    static int known;
    char text[128];
    int i = 0;
    snprintf(text, sizeof text, "%s/%s", folder, name);
    while (i < known && strcmp(path[i], text)) i++;
    if (i == 64) abort();
    if (i == known) strcpy(path[known++], text);
    return path[i];
}

static inline char *read_text(const char *path) {
    FILE *in = fopen(path, "rb");
    assert_non_null(in);
    char *text = calloc(1, 1 << 22);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 22) - 1, in) < (1 << 22) - 1);
    fclose(in);
    return text;
}

/* ---- the toy loop: two tensors, a quadratic loss, plain gradient descent ---- */

enum { N_A = 6, N_B = 4, SAMPLES = 5 };

typedef struct toy {
    pitot_real a[N_A], b[N_B], grad_a[N_A], grad_b[N_B], losses[SAMPLES];
    double loss;
    int32_t id_a, id_b;
} toy;

static const pitot_param param_a = { .struct_size = sizeof param_a, .name = "net.a", .shape = { 2, 3 } };
static const pitot_param param_b = { .struct_size = sizeof param_b, .name = "net.b", .shape = { 4 }, .group = 1 };

static inline void toy_start(toy *t) {
    memset(t, 0, sizeof *t);
    for (int i = 0; i < N_A; i++) t->a[i] = (pitot_real)(0.3 * i - 0.7);
    for (int i = 0; i < N_B; i++) t->b[i] = (pitot_real)(1.0 / (i + 3));
}

static inline void toy_add(toy *t, pitot_run *run) {
    pitot_param a = param_a, b = param_b;
    a.data = t->a, a.grad = t->grad_a, b.data = t->b, b.grad = t->grad_b;
    t->id_a = pitot_add_param(run, &a);
    t->id_b = pitot_add_param(run, &b);
}

static inline void toy_forward(toy *t, int64_t step) {
    t->loss = 0;
    for (int i = 0; i < SAMPLES; i++) {
        t->losses[i] = (pitot_real)(exp(-0.1 * (double)step) + 0.01 * i);
        t->loss += (double)t->losses[i] / SAMPLES;
    }
}

static inline void toy_backward(toy *t, int64_t step) {
    for (int i = 0; i < N_A; i++) t->grad_a[i] = (pitot_real)(0.2 * (double)t->a[i] + 0.1 * sin((double)step + i));
    for (int i = 0; i < N_B; i++) t->grad_b[i] = (pitot_real)(0.1 * (double)t->b[i] + 0.05 * cos(2.0 * (double)step + i));
}

static inline void toy_update(toy *t, double lr) {
    for (int i = 0; i < N_A; i++) t->a[i] = (pitot_real)((double)t->a[i] - lr * (double)t->grad_a[i]);
    for (int i = 0; i < N_B; i++) t->b[i] = (pitot_real)((double)t->b[i] - lr * (double)t->grad_b[i]);
}

static inline void toy_tell_forward(const toy *t, pitot_run *run) {
    pitot_after_forward(run,
                        &(pitot_batch){ .struct_size = sizeof(pitot_batch), .n = SAMPLES, .loss = t->loss, .losses = t->losses });
}

static inline uint32_t toy_step(toy *t, pitot_run *run, int64_t step) {
    uint32_t due = pitot_begin(run, step);
    toy_forward(t, step);
    toy_tell_forward(t, run);
    toy_backward(t, step);
    pitot_after_backward(run);
    toy_update(t, 0.5);
    pitot_after_update(run, 0.5);
    return due;
}

/* Opens a run, with a message that must be "" */
static inline pitot_run *must_open(const char *dir, const pitot_config *config) {
    pitot_run *run = pitot_open(dir, config);
    assert_non_null(run);
    assert_string_equal(pitot_last_error(run), "");
    return run;
}

static inline pitot_run *open_toy(toy *t, const char *dir, const char *probes) {
    pitot_config c = { .struct_size = sizeof c, .probes = probes };
    pitot_run *run = must_open(dir, &c);
    toy_start(t);
    toy_add(t, run);
    return run;
}

static inline double value_of(const pitot_run *run, const char *name) {
    double value = -12345;
    if (pitot_value(run, name, &value, NULL)) fail_msg("there is no value of %s", name);
    return value;
}

static inline int64_t step_of(const pitot_run *run, const char *name) {
    int64_t step = -1;
    pitot_value(run, name, NULL, &step);
    return step;
}

static inline int32_t state_of(const pitot_run *run, const char *probe) {
    int32_t state = -1;
    assert_int_equal(pitot_probe_state(run, probe, &state, NULL), PITOT_OK);
    return state;
}

static inline const char *why_of(const pitot_run *run, const char *probe) {
    const char *why = NULL;
    assert_int_equal(pitot_probe_state(run, probe, NULL, &why), PITOT_OK);
    return why;
}

static inline pitot_health health_of(const pitot_run *run) {
    pitot_health h = { .struct_size = sizeof h };
    assert_int_equal(pitot_get_health(run, &h), PITOT_OK);
    return h;
}

static inline void assert_near(double value, double expected, const char *what) {
    if (!(fabs(value - expected) <= 1e-12 * fmax(1, fabs(expected)))) fail_msg("%s: %.17g, not %.17g", what, value, expected);
}

/* The log of a closed run: opened and read whole; nothing in it may be damaged. */
static inline pitot_log *read_log(const char *dir, pitot_log_state *state) {
    pitot_error error = { 0 };
    pitot_log *log = pitot_log_open(dir, &error);
    if (!log) fail_msg("%s", error.text);
    while (pitot_log_poll(log, 0, &error) > 0) {}
    state->struct_size = sizeof *state;
    pitot_log_get_state(log, state);
    assert_int_equal(state->damaged, 0);
    return log;
}

static inline pitot_series series_of(const pitot_log *log, const char *name) {
    pitot_series s = { 0 };
    int64_t i = pitot_log_find(log, name);
    if (i < 0) fail_msg("the log has no %s", name);
    assert_int_equal(pitot_log_series(log, i, &s), PITOT_OK);
    return s;
}

/* ---- probes of the tests' own ---- */

static const pitot_output some_outputs[] = { { "", PITOT_SCALAR, PITOT_LINEAR_AXIS, "", "a number", NULL }, { 0 } };

static inline int32_t two_backward(const pitot_frame *f) {
    *(double *)f->state = f->loss;
    return PITOT_OK;
}

/* How the loss changed: known only at the next step. */
static inline int32_t two_next(const pitot_frame *f) {
    pitot_emit(f, "", f->loss - *(double *)f->state);
    return PITOT_OK;
}

static inline int32_t emit_one(const pitot_frame *f) {
    pitot_emit(f, "", 1);
    return PITOT_OK;
}

static inline int32_t fail_later(const pitot_frame *f) {
    pitot_emit(f, "", 1);
    return f->step >= 2 ? PITOT_EHOST : PITOT_OK;
}

static inline int32_t fill_state(const pitot_frame *f) {
    for (int64_t i = 0; i < f->n_tensors; i++)
        for (int64_t k = 0; k < 3 * f->tensor[i].size; k++) f->tensor[i].state[k] += 1;
    pitot_emit(f, "", (double)f->tensor[0].state[0]);
    return PITOT_OK;
}

static double busy_seconds;

static inline void busy(double seconds) {
    for (double until = run_now() + seconds; run_now() < until;) {}
}

static inline int32_t be_busy(const pitot_frame *f) {
    busy(busy_seconds);
    return emit_one(f);
}

static inline int32_t draw(const pitot_frame *f) {
    pitot_emit(f, "", pitot_random(f, 0));
    pitot_emit(f, "second", pitot_random(f, 1));
    return PITOT_OK;
}

static inline int32_t emit_odd(const pitot_frame *f) {
    pitot_emit(f, "", NAN);
    pitot_emit(f, "up", INFINITY);
    pitot_emit(f, "down", -INFINITY);
    pitot_emit_tensor(f, "up", 1, INFINITY);
    pitot_emit_list(f, "list", (double[]){ 1, NAN, 3 }, 3);
    return PITOT_OK;
}

static inline int32_t undefined(const pitot_frame *f) {
    if (f->step % 2) pitot_emit(f, "", 1);
    else pitot_undefined(f, "even steps have none");
    return PITOT_OK;
}

static inline int32_t learning_rate(const pitot_frame *f) {
    pitot_emit(f, "", f->lr);
    return PITOT_OK;
}

static inline int32_t show_wrongs(const pitot_frame *f) { /* arithmetic that raises every flag */
    volatile double zero = 0, huge = 1e308, tiny = 1e-308;
    pitot_emit(f, "", 1 / zero + zero / zero + huge * huge + tiny * tiny);
    pitot_emit(f, "third", 1.0 / (3 + zero));
    return PITOT_OK;
}

#define MINE(NAME, NEEDS, MORE)                                                                                        \
    {                                                                                                                  \
        .struct_size = sizeof(pitot_probe), .abi = PITOT_ABI, .needs = NEEDS, .presets = PITOT_ON_REQUEST, .spans = 1, \
        .name = NAME, .summary = "of the tests", .paper = "", .formula = "", .outputs = some_outputs, MORE             \
    }

static const pitot_probe mine[] = {
    { .struct_size = sizeof(pitot_probe),
      .abi = PITOT_ABI,
      .needs = PITOT_NEED_LOSS,
      .presets = PITOT_ON_REQUEST,
      .spans = 2,
      .name = "t_two",
      .summary = "of the tests",
      .paper = "",
      .formula = "",
      .outputs = some_outputs,
      .state_size = sizeof(double),
      .backward = two_backward,
      .next = two_next },
    MINE("t_fails", PITOT_NEED_LOSS, .backward = fail_later),
    MINE("t_samples", PITOT_NEED_SAMPLES, .backward = emit_one),
    MINE("t_hessian", PITOT_NEED_HESSIAN, .backward = emit_one),
    MINE("t_ggn", PITOT_NEED_GGN | PITOT_NEED_GRADS, .backward = emit_one),
    MINE("t_precond", PITOT_NEED_PRECONDITIONER, .backward = emit_one),
    MINE("t_random", PITOT_NEED_LOSS, .backward = draw),
    MINE("t_odd", PITOT_NEED_LOSS, .backward = emit_odd),
    MINE("t_undefined", PITOT_NEED_LOSS, .backward = undefined),
    MINE("t_lr", PITOT_NEED_LR, .update = learning_rate),
    MINE("t_wrongs", PITOT_NEED_LOSS, .backward = show_wrongs),
    { .struct_size = sizeof(pitot_probe),
      .abi = PITOT_ABI,
      .needs = PITOT_NEED_GRADS,
      .presets = PITOT_ON_REQUEST,
      .spans = 1,
      .name = "t_state",
      .summary = "of the tests",
      .paper = "",
      .formula = "",
      .outputs = some_outputs,
      .tensor_state = 3,
      .backward = fill_state },
    MINE("t_busy", PITOT_NEED_LOSS, .backward = be_busy),
    MINE("t_heavy", PITOT_NEED_HESSIAN, .backward = be_busy),
    { .struct_size = sizeof(pitot_probe),
      .abi = PITOT_ABI,
      .needs = PITOT_NEED_LOSS,
      .presets = PITOT_ON_REQUEST,
      .spans = 2,
      .name = "t_busy_two",
      .summary = "of the tests",
      .paper = "",
      .formula = "",
      .outputs = some_outputs,
      .backward = be_busy,
      .next = be_busy },
};
enum { MINE_COUNT = sizeof mine / sizeof *mine };

static inline int is_mine(const pitot_probe *p) {
    return p >= mine && p < mine + MINE_COUNT;
}

/* Needs more than a host of level 0 has; test_instruments.c has the reference cases of those. */
static inline int is_beyond(const pitot_probe *p) {
    const uint32_t here = PITOT_NEED_LOSS | PITOT_NEED_GRADS | PITOT_NEED_BEFORE | PITOT_NEED_LENGTH | PITOT_NEED_LOSSES |
                          PITOT_NEED_LR | PITOT_NEED_MICRO;
    return ((p->needs | p->needs_one) & ~here) != 0;
}

static inline int set_up(void **state) {
    (void)state;
    for (int i = 0; i < MINE_COUNT; i++)
        if (pitot_probe_register(&mine[i])) return -1;
    strcpy(folder, "/tmp/pitot-run-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static inline double sum_squares(const pitot_real *x, const pitot_real *y, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) {
        double d = (double)x[i] - (y ? (double)y[i] : 0);
        sum += d * d;
    }
    return sum;
}

/* |x - y| of tensor 0, of tensor 1, or (-1) of both; y NULL: |x| */
static inline double length(const toy *x, const toy *y, int tensor) {
    double a = sum_squares(x->a, y ? y->a : NULL, N_A), b = sum_squares(x->b, y ? y->b : NULL, N_B);
    return sqrt(tensor == 0 ? a : tensor == 1 ? b : a + b);
}

static inline char *names_of_all(void) {
    static char list[4096];
    list[0] = 0;
    for (const pitot_probe *const *p = pitot_probes(); *p; p++) {
        if (is_mine(*p)) continue;
        strcat(list, (*p)->name);
        strcat(list, ",");
    }
    return list;
}

#endif
