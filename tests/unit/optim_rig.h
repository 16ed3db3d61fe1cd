/* optim_rig.h: an optimizer on a small net through the trainer's own door (pitot_provide), where any gradient can be taken away and any answer of
   the loop can be made to fail or to hold a value that is not finite. */

#ifndef PITOT_TESTS_OPTIM_RIG_H
#define PITOT_TESTS_OPTIM_RIG_H

#include "optim_settings.h"

#include "base/alloc.h"
#include "base/random.h"
#include "optim/core/optimizer.h"
#include "pitot/train.h"

#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { N = 6, INPUTS = 16, TENSORS = 9, ROOM = 128 /* values of all tensors, at most */ };
enum { FAULT_STATUS, FAULT_NAN, FAULT_INFINITE, FAULTS };

typedef struct rig {
    pitot_net *net;
    pitot_optim *optim;
    pitot_provided provided;
    pitot_optim_source source; /* the net's own */
    pitot_real x[N * INPUTS];
    int32_t classes[N];
    pitot_real start[ROOM];
    const pitot_real *grad[TENSORS]; /* where the optimizer looks for gradients' addresses */
    double loss, lowest;             /* of the last batch; since clean_steps began */
    int calls, fault_at, fault;      /* answers in this step; the one, from 1, that is a fault; of which kind */
    int faulty;                      /* there was one in this step */
    pitot_real *spoilt, kept;        /* a value of what a layer saw, and what stood there */
} rig;

/* ---- answers of the loop ---- */

/* The status of an answer of `n` values (or of `n` doubles), which may be spoilt. */
static inline int32_t answered(rig *r, int32_t status, pitot_real *values, double *doubles) {
    if (status || ++r->calls != r->fault_at) return status;
    double odd = r->fault == FAULT_NAN ? NAN : INFINITY;
    r->faulty = 1;
    if (r->fault == FAULT_STATUS) return PITOT_EBUDGET;
    if (values) values[0] = (pitot_real)odd;
    if (doubles) doubles[0] = odd;
    return PITOT_OK;
}

static inline int32_t on_batch(void *user, int64_t *samples, int64_t *columns, double *loss) {
    rig *r = user;
    return answered(r, r->source.batch(r->source.user, samples, columns, loss), NULL, loss);
}

static inline int32_t on_gradient(void *user, double *loss) {
    rig *r = user;
    pitot_real *g = pitot_net_params(r->net)[TENSORS - 1].grad;
    return answered(r, r->source.gradient(r->source.user, loss), g, NULL);
}

static inline int32_t on_loss(void *user, double *loss) {
    rig *r = user;
    return answered(r, r->source.loss(r->source.user, loss), NULL, loss);
}

static inline int32_t on_hvp(void *user, const pitot_real *v, pitot_real *out) {
    rig *r = user;
    return answered(r, r->source.hvp(r->source.user, v, out), out, NULL);
}

static inline int32_t on_ggnvp(void *user, const pitot_real *v, pitot_real *out) {
    rig *r = user;
    return answered(r, r->source.ggnvp(r->source.user, v, out), out, NULL);
}

static inline int32_t on_drawn(void *user, uint64_t seed, pitot_real *out) {
    rig *r = user;
    return answered(r, r->source.drawn(r->source.user, seed, out), out, NULL);
}

static inline int32_t on_squares(void *user, pitot_real *out) {
    rig *r = user;
    return answered(r, r->source.squares(r->source.user, out), out, NULL);
}

static inline int32_t on_norms(void *user, double *out) {
    rig *r = user;
    return answered(r, r->source.norms(r->source.user, out), NULL, out);
}

static inline int32_t on_weigh(void *user, const double *weight, pitot_real *out) {
    rig *r = user;
    return answered(r, r->source.weigh(r->source.user, weight, out), out, NULL);
}

static inline int32_t on_send(void *user, int32_t root, uint64_t seed, int64_t column) {
    rig *r = user;
    return answered(r, r->source.send(r->source.user, root, seed, column), NULL, NULL);
}

/* A spoilt value of A in even answers, of G in odd ones: the net's own, put back behind the step. */
static inline int32_t on_layer(void *user, int64_t i, int32_t shape, pitot_capture *capture) {
    rig *r = user;
    int32_t status = r->source.layer(r->source.user, i, shape, capture);
    if (shape || status) return status;
    pitot_real *values = (pitot_real *)(r->calls % 2 ? capture->A : capture->G), before = values[0];
    status = answered(r, status, values, NULL);
    if (r->faulty && !r->spoilt && !status) {
        r->spoilt = values;
        r->kept = before;
    }
    return status;
}

static inline int32_t on_data(void *user, double *loss) {
    rig *r = user;
    pitot_net_batch b = { .struct_size = sizeof b, .n = N, .x = r->x, .classes = r->classes };
    int32_t status = pitot_net_forward(r->net, &b, loss);
    return answered(r, status ? status : pitot_net_backward(r->net), pitot_net_params(r->net)[TENSORS - 1].grad, NULL);
}

/* Without `out`, whether it can be had: no answer of a step. */
static inline int32_t on_diagonal(void *user, int32_t kind, int64_t draws, uint64_t seed, pitot_real *out) {
    rig *r = user;
    int32_t status = r->source.diagonal(r->source.user, kind, draws, seed, out);
    return out ? answered(r, status, out, NULL) : status;
}

static inline pitot_optim_source meddling_source(rig *r) {
    return (pitot_optim_source){ .struct_size = sizeof(pitot_optim_source),
                                 .user = r,
                                 .layers = r->source.layers,
                                 .batch = on_batch,
                                 .gradient = on_gradient,
                                 .loss = on_loss,
                                 .hvp = on_hvp,
                                 .ggnvp = on_ggnvp,
                                 .drawn = on_drawn,
                                 .squares = on_squares,
                                 .norms = on_norms,
                                 .weigh = on_weigh,
                                 .send = on_send,
                                 .layer = on_layer,
                                 .data = on_data,
                                 .diagonal = on_diagonal };
}

/* ---- the rig ---- */

static inline void build_net(rig *r) {
    pitot_error error = { 0 };
    r->net = pitot_net_new("small", (const int64_t[]){ 1, 4, 4, 0 }, "cross_entropy", &error);
    pitot_net_add(r->net, "conv2d", "conv", NULL, "out_channels=2, kernel=2", &error);
    pitot_net_add(r->net, "tanh", NULL, NULL, NULL, &error);
    pitot_net_add(r->net, "conv2d", "narrow", NULL, "out_channels=1, kernel=1", &error); /* (1,2,1,1), and a bias of one value */
    pitot_net_add(r->net, "flatten", NULL, NULL, NULL, &error);
    pitot_net_add(r->net, "linear", "fc1", NULL, "out_features=3", &error);
    pitot_net_add(r->net, "tanh", NULL, NULL, NULL, &error);
    pitot_net_add(r->net, "linear", "one", NULL, "out_features=1", &error); /* 1xn, then nx1 */
    pitot_net_add(r->net, "linear", "fc2", NULL, "out_features=3, bias=false", &error);
    assert_int_equal(error.status, PITOT_OK);
    assert_int_equal(pitot_net_prepare(r->net, N, 1, &error), PITOT_OK);
    assert_int_equal(pitot_net_init(r->net, 3), PITOT_OK);
    assert_int_equal(pitot_net_param_count(r->net), TENSORS);
    for (int64_t i = 0; i < N * INPUTS; i++) r->x[i] = (pitot_real)(random_uniform(5, 5, 0, (uint64_t)i) - 0.5);
    for (int n = 0; n < N; n++) {
        r->classes[n] = n % 3;
        r->x[n * INPUTS + n % 3] += 2; /* something to learn */
    }
}

static inline void show_gradients(rig *r) {
    for (int64_t i = 0; i < TENSORS; i++) r->grad[i] = pitot_net_params(r->net)[i].grad;
}

static inline int64_t copy_parameters(const rig *r, pitot_real out[ROOM]) {
    int64_t at = 0;
    for (int64_t i = 0; i < TENSORS; i++) {
        const pitot_net_param *p = &pitot_net_params(r->net)[i];
        assert_true(at + p->size <= ROOM);
        memcpy(out + at, p->data, (size_t)p->size * sizeof *out);
        at += p->size;
    }
    return at;
}

static inline void put_parameters(rig *r, const pitot_real in[ROOM]) {
    for (int64_t i = 0, at = 0; i < TENSORS; at += pitot_net_params(r->net)[i++].size)
        memcpy(pitot_net_params(r->net)[i].data, in + at, (size_t)pitot_net_params(r->net)[i].size * sizeof *in);
}

static inline rig *open_rig(const char *name, const char *const *set) {
    pitot_error error = { 0 };
    pitot_optim_tensor list[TENSORS] = { { 0 } };
    rig *r = mem_alloc(1, sizeof *r);
    build_net(r);
    r->optim = pitot_optim_new(name, &error);
    if (!r->optim) fail_msg("%s", error.text);
    for (; set && *set; set += 2)
        if (pitot_optim_set(r->optim, set[0], set[1], &error)) fail_msg("%s: %s", name, error.text);
    pitot_optim_plan(r->optim, 0, 11);
    assert_int_equal(pitot_provide(&r->provided, r->net, r->optim, &error), PITOT_OK);
    r->source = r->optim->source;
    pitot_optim_source source = meddling_source(r);
    assert_int_equal(pitot_optim_offer(r->optim, &source), PITOT_OK);
    show_gradients(r);
    for (int64_t i = 0; i < TENSORS; i++) {
        const pitot_net_param *p = &pitot_net_params(r->net)[i];
        list[i] = (pitot_optim_tensor){ p->name, p->size, p->data, &r->grad[i], { 0 } };
        memcpy(list[i].shape, p->shape, sizeof list[i].shape);
    }
    if (pitot_optim_prepare(r->optim, list, TENSORS, 1, &error)) fail_msg("%s: %s", name, error.text);
    copy_parameters(r, r->start);
    return r;
}

static inline void close_rig(rig *r) {
    pitot_optim_free(r->optim);
    pitot_provide_end(&r->provided);
    pitot_net_free(r->net);
    mem_free(r);
}

static inline void backward(rig *r) {
    pitot_net_batch b = { .struct_size = sizeof b, .n = N, .x = r->x, .classes = r->classes, .training = 1, .seed = 1 };
    assert_int_equal(pitot_net_forward(r->net, &b, &r->loss), PITOT_OK);
    assert_int_equal(pitot_net_backward(r->net), PITOT_OK);
}

static inline int32_t step_now(rig *r) {
    r->calls = r->faulty = 0;
    int32_t status = pitot_optim_step(r->optim);
    if (r->spoilt) *r->spoilt = r->kept;
    r->spoilt = NULL;
    return status;
}

static inline int32_t one_step(rig *r) {
    backward(r);
    return step_now(r);
}

/* Matrices of a few values: threads that wait for each other take longer than the work, by far where others use the machine. */
static inline int on_one_thread(void **state) {
    (void)state;
    omp_set_num_threads(1);
    return 0;
}

/* What is wrong is said of every method; a test fails at its end. */
static int complaints;

#define complain(...) (complaints++, print_error(__VA_ARGS__), print_error("\n"))

static inline void end_of_test(void) {
    int n = complaints;
    complaints = 0;
    if (n) fail_msg("%d complaints", n);
}

static inline void clean_steps(rig *r, int n, const char *name, const char *when) {
    r->fault_at = 0;
    r->lowest = INFINITY;
    for (int i = 0; i < n; i++) {
        int32_t status = one_step(r);
        if (status) complain("%s: %s: step %d: status %d", name, when, i, status);
        r->lowest = fmin(r->lowest, r->loss);
    }
}

static inline int same_parameters(const rig *r, const pitot_real was[ROOM]) {
    pitot_real now[ROOM];
    int64_t n = copy_parameters(r, now);
    return memcmp(now, was, (size_t)n * sizeof *now) == 0;
}

static inline void must_be_finite(const rig *r, const char *name, const char *when) {
    pitot_real x[ROOM];
    pitot_optim_array a;
    int64_t n = copy_parameters(r, x);
    for (int64_t i = 0; i < n; i++)
        if (!isfinite((double)x[i])) complain("%s: %s: parameter %d is %g", name, when, (int)i, (double)x[i]);
    for (int64_t j = 0; pitot_optim_state(r->optim, j, &a) == PITOT_OK; j++) {
        int real = a.dtype == (sizeof(pitot_real) == 8 ? PITOT_F64 : PITOT_F32);
        for (int64_t i = 0; real && i < a.bytes / (int64_t)sizeof(pitot_real); i++)
            if (!isfinite((double)((const pitot_real *)a.data)[i])) complain("%s: %s: state %s is not finite", name, when, a.name);
    }
}

/* Whether everything, state too, has the same bits. */
static inline int same_rigs(const rig *a, const rig *b) {
    pitot_real x[ROOM];
    pitot_optim_array p, q;
    copy_parameters(a, x);
    if (!same_parameters(b, x)) return 0;
    for (int64_t j = 0; pitot_optim_state(a->optim, j, &p) == PITOT_OK; j++)
        if (pitot_optim_state(b->optim, j, &q) || p.bytes != q.bytes || memcmp(p.data, q.data, (size_t)p.bytes)) return 0;
    return 1;
}

#endif
