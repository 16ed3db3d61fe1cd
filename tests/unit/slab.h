/* slab.h: a host with one linear layer whose every number the test chooses: inputs, output gradients, outputs, answers, weights of the
   samples, the Hessian. What its probes must say follows from the per-sample gradients g_n = G_n A_n' alone. */

#ifndef PITOT_TESTS_SLAB_H
#define PITOT_TESTS_SLAB_H

#include "host.h"

enum { SLAB_IN = 2, SLAB_OUT = 3, SLAB_D = SLAB_IN * SLAB_OUT, SLAB_N = 32 };

typedef struct slab {
    pitot_run *run;
    int64_t n, t;                   /* samples; terms of each, for outputs alone */
    double a[SLAB_N][SLAB_IN];      /* inputs */
    double g[SLAB_N][SLAB_OUT];     /* of each sample's own loss, with respect to the outputs */
    double hessian[SLAB_D][SLAB_D]; /* of the mean loss */
    double diagonal[SLAB_D];        /* what the callback `diagonal` says */
    pitot_real f[SLAB_N * SLAB_OUT], targets[SLAB_N * SLAB_OUT], weight[SLAB_N];
    int32_t label[SLAB_N];
    int64_t ids[SLAB_N];
    int32_t kind;               /* of the loss */
    int masked, named, outputs; /* weights, ids, outputs are told */
    int summed;                 /* the host's loss is a sum over samples */
    int64_t first;              /* samples of the first of two micro-batches; 0: one piece */
    uint32_t offers;            /* 1 << CALL_GRAD ... */
    int32_t diagonal_kind;      /* which was asked for last, and how */
    int64_t diagonal_draws;
    pitot_real theta[SLAB_D], at[SLAB_D], grad[SLAB_D]; /* at: theta of the step */
    pitot_real A[SLAB_N * SLAB_IN], G[SLAB_N * SLAB_OUT];
} slab;

static inline double slab_weight(const slab *s, int64_t i) {
    return s->masked ? (double)s->weight[i] : 1;
}

static inline double slab_counted(const slab *s) {
    double n = 0;
    for (int64_t i = 0; i < s->n; i++) n += slab_weight(s, i) != 0;
    return n;
}

/* Value j of g_n; 0 for samples that do not count. */
static inline double slab_gradient(const slab *s, int64_t i, int64_t j) {
    return slab_weight(s, i) == 0 ? 0 : s->g[i][j / SLAB_IN] * s->a[i][j % SLAB_IN];
}

static inline double slab_product(const slab *s, int64_t i, int64_t k) {
    double sum = 0;
    for (int64_t j = 0; j < SLAB_D; j++) sum += slab_gradient(s, i, j) * slab_gradient(s, k, j);
    return sum;
}

/* Numbers at random: a Hessian that is positive definite, and classes for cross-entropy. */
static inline slab slab_draw(int64_t n, uint64_t seed) {
    slab s = { .n = n, .t = 1, .kind = PITOT_CROSS_ENTROPY, .outputs = 1, .named = 1 };
    s.offers = 1 << CALL_HVP | 1 << CALL_JVP | 1 << CALL_VJP | 1 << CALL_DIAGONAL;
    double root[SLAB_D][SLAB_D];
    for (int64_t i = 0; i < SLAB_N; i++) {
        for (int64_t j = 0; j < SLAB_IN; j++) s.a[i][j] = in_real(1 + 0.5 * draw_normal(&seed));
        for (int64_t j = 0; j < SLAB_OUT; j++) s.g[i][j] = in_real((double)j + draw_normal(&seed));
        for (int64_t j = 0; j < SLAB_OUT; j++) s.f[i * SLAB_OUT + j] = (pitot_real)(2 * draw_normal(&seed));
        for (int64_t j = 0; j < SLAB_OUT; j++) s.targets[i * SLAB_OUT + j] = (pitot_real)draw_normal(&seed);
        s.label[i] = (int32_t)(i * i % SLAB_OUT);
        s.ids[i] = 1000 + 7 * (i * 11 % SLAB_N);
        s.weight[i] = 1;
    }
    for (int64_t i = 0; i < SLAB_D * SLAB_D; i++) root[i / SLAB_D][i % SLAB_D] = draw_normal(&seed);
    for (int64_t i = 0; i < SLAB_D; i++)
        for (int64_t j = 0; j < SLAB_D; j++)
            for (int64_t k = 0; k < SLAB_D; k++) s.hessian[i][j] += root[i][k] * root[j][k] / SLAB_D;
    for (int64_t i = 0; i < SLAB_D; i++) s.theta[i] = s.at[i] = (pitot_real)draw_normal(&seed), s.diagonal[i] = 0.5 + (double)i;
    return s;
}

/* ---- callbacks ---- */

static inline void slab_multiply(const slab *s, const pitot_real *v, pitot_real *out) {
    for (int64_t i = 0; i < SLAB_D; i++) {
        double sum = 0;
        for (int64_t j = 0; j < SLAB_D; j++) sum += s->hessian[i][j] * (double)v[j];
        out[i] = (pitot_real)(s->summed ? slab_counted(s) * sum : sum);
    }
}

static inline void slab_hvp(void *user, pitot_call *call) {
    slab_multiply(user, call->v, call->out);
    call->status = PITOT_OK;
}

static inline void slab_jvp(void *user, pitot_call *call) {
    const slab *s = user;
    memset(call->out, 0, (size_t)call->n_out * sizeof *call->out);
    for (int64_t k = 0; k < s->n * SLAB_OUT; k++)
        for (int64_t i = 0; i < SLAB_IN; i++)
            call->out[k] += (pitot_real)(s->a[k / SLAB_OUT][i] * (double)call->v[k % SLAB_OUT * SLAB_IN + i]);
    call->status = PITOT_OK;
}

static inline void slab_vjp(void *user, pitot_call *call) {
    const slab *s = user;
    memset(call->out, 0, (size_t)call->n_out * sizeof *call->out);
    for (int64_t k = 0; k < s->n * SLAB_OUT; k++)
        for (int64_t i = 0; i < SLAB_IN; i++)
            call->out[k % SLAB_OUT * SLAB_IN + i] += (pitot_real)(s->a[k / SLAB_OUT][i] * (double)call->v[k]);
    call->in_out = 1;
    call->status = PITOT_OK;
}

static inline void slab_diagonal(void *user, pitot_call *call) {
    slab *s = user;
    call->gradients = 1;
    for (int64_t i = 0; call->out && i < SLAB_D; i++) call->out[i] = (pitot_real)s->diagonal[i];
    if (call->out) s->diagonal_kind = call->diagonal, s->diagonal_draws = call->draws;
    call->status = PITOT_OK;
}

static inline void slab_show(slab *s) {
    double n = s->summed ? 1 : slab_counted(s);
    for (int64_t i = 0; i < s->n * SLAB_IN; i++) s->A[i] = (pitot_real)s->a[i / SLAB_IN][i % SLAB_IN];
    for (int64_t i = 0; i < s->n * SLAB_OUT; i++)
        s->G[i] = slab_weight(s, i / SLAB_OUT) == 0 ? 0 : (pitot_real)(s->g[i / SLAB_OUT][i % SLAB_OUT] / n);
}

/* The quadratic with this gradient and Hessian (of means), run anew: A and G hold something else then, until the last call. */
static inline void slab_grad(void *user, pitot_call *call) {
    slab *s = user;
    pitot_real d[SLAB_D], product[SLAB_D];
    double n = slab_counted(s);
    call->loss = 1;
    for (int64_t j = 0; j < SLAB_D; j++) d[j] = s->theta[j] - s->at[j];
    slab_multiply(s, d, product);
    for (int64_t j = 0; j < SLAB_D; j++) {
        double g = 0;
        for (int64_t i = 0; i < s->n; i++) g += slab_gradient(s, i, j) / n;
        s->grad[j] = (pitot_real)(g + (double)product[j]);
        call->loss += (double)d[j] * (g + 0.5 * (double)product[j]);
    }
    if (call->last) slab_show(s);
    for (int64_t i = 0; !call->last && i < s->n * SLAB_OUT; i++) s->G[i] = s->A[i / SLAB_OUT] = (pitot_real)(3 + i);
    call->status = PITOT_OK;
}

/* ---- its loop ---- */

static inline void slab_open(slab *s, const char *probes, const char *options) {
    pitot_config c = { .struct_size = sizeof c, .probes = probes, .options = options, .seed = 5 };
    c.reduction = s->summed ? PITOT_SUM : PITOT_MEAN_TERMS;
    s->run = must_open(NULL, &c);
    pitot_param p = { .struct_size = sizeof p, .name = "w", .shape = { SLAB_OUT, SLAB_IN }, .data = s->theta, .grad = s->grad };
    assert_int_equal(pitot_add_param(s->run, &p), 1);
    pitot_callbacks b = { .struct_size = sizeof b, .user = s };
    if (s->offers & 1 << CALL_GRAD) b.grad = slab_grad;
    if (s->offers & 1 << CALL_HVP) b.hvp = slab_hvp;
    if (s->offers & 1 << CALL_JVP) b.jvp = slab_jvp;
    if (s->offers & 1 << CALL_VJP) b.vjp = slab_vjp;
    if (s->offers & 1 << CALL_DIAGONAL) b.diagonal = slab_diagonal;
    assert_int_equal(pitot_set_callbacks(s->run, &b), PITOT_OK);
}

static inline void slab_micro(slab *s, int64_t from, int64_t n, int more) {
    pitot_batch b = { .struct_size = sizeof b, .n = n, .t = s->t, .loss = 1, .more = more };
    if (s->masked) b.weight = s->weight + from * s->t;
    if (s->named) b.ids = s->ids + from;
    if (s->outputs) b.output = s->f + from * s->t * SLAB_OUT, b.c = SLAB_OUT, b.loss_kind = s->kind;
    if (s->outputs && s->kind == PITOT_CROSS_ENTROPY) b.target = s->label + from * s->t;
    else if (s->outputs) b.target = s->targets + from * s->t * SLAB_OUT;
    assert_int_equal(pitot_after_forward(s->run, &b), PITOT_OK);
    pitot_capture c = { .struct_size = sizeof c, .kind = PITOT_LINEAR, .weight = 1, .n = n, .t = 1 };
    c.A = s->A + from * SLAB_IN, c.G = s->G + from * SLAB_OUT;
    pitot_add_capture(s->run, &c);
    for (int64_t i = from; i < from + n; i++)
        for (int64_t j = 0; j < SLAB_D; j++) s->grad[j] += s->G[i * SLAB_OUT + j / SLAB_IN] * s->A[i * SLAB_IN + j % SLAB_IN];
    assert_int_equal(pitot_after_backward(s->run), PITOT_OK);
}

static inline void slab_step(slab *s, int64_t step) {
    slab_show(s);
    memset(s->grad, 0, sizeof s->grad);
    pitot_begin(s->run, step);
    if (s->first) slab_micro(s, 0, s->first, 1);
    slab_micro(s, s->first, s->n - s->first, 0);
    assert_int_equal(pitot_after_update(s->run, 0.1), PITOT_OK);
}

/* One step of a run of its own, which stays open. */
static inline void slab_run(slab *s, const char *probes, const char *options) {
    slab_open(s, probes, options);
    slab_step(s, 0);
}

#endif
