/* smooth.h: a host with a smooth model in plain loops, f = W2 tanh(W1 x + b1) + b2, and everything that pitot_callbacks asks for; its
   Hessian, Jacobian and GGN as dense matrices, by differences of fourth order in double. Its memory lies as oddly as a host's may, and its
   callbacks misbehave on request. For test_callbacks.c, test_promises.c and
   test_run_host.c. */

#ifndef PITOT_TESTS_SMOOTH_H
#define PITOT_TESTS_SMOOTH_H

#include "toy.h"

#include <fenv.h>

enum { WIDTH = 3, TENSORS = 4, D_ALL = 24, MOST_SAMPLES = 6, MOST_ROWS = 12, MOST_OUT = MOST_ROWS * WIDTH, PLACE = 256, WIDE = 5 };

static const int size_of[TENSORS] = { 9, 9, 3, 3 };                                                            /* W1, W2, b1, b2 */
static const char *const name_of[2][TENSORS] = { { "w1", "w2", "b1", "b2" }, { "w.0", "w.1", "b.0", "b.1" } }; /* alone; stacked */

/* ---- the model, in double ---- */

typedef struct problem {
    int32_t kind, reduction, class_of[MOST_ROWS];
    int t, weighted;
    double x[MOST_ROWS][WIDTH];
    pitot_real target[MOST_ROWS][WIDTH], weight[MOST_ROWS];
} problem;

static inline double weight_of(const problem *p, int row) {
    return p->weighted ? (double)p->weight[row] : 1;
}

/* What a term of weight 1 counts in the loss of samples from..to-1. */
static inline double term_share(const problem *p, int from, int to) {
    double sum = 0;
    if (p->reduction == PITOT_SUM) return 1;
    if (p->reduction == PITOT_MEAN) return 1.0 / ((to - from) * p->t);
    for (int row = from * p->t; row < to * p->t; row++) sum += weight_of(p, row);
    return 1 / sum;
}

/* Loss of one term, and its derivatives with respect to f. */
static inline double term_loss(const problem *p, int row, const double *f, double *d) {
    double loss = 0, sum = 0,
           scale = p->kind == PITOT_HALF_SQUARED_ERROR   ? 0.5
                   : p->kind == PITOT_MEAN_SQUARED_ERROR ? 1.0 / WIDTH
                                                         : 1;
    for (int i = 0; i < WIDTH; i++) sum += exp(f[i]);
    for (int i = 0; i < WIDTH; i++) {
        double y = (double)p->target[row][i];
        if (p->kind == PITOT_CROSS_ENTROPY) {
            d[i] = exp(f[i]) / sum - (i == p->class_of[row]);
            loss += i == p->class_of[row] ? log(sum) - f[i] : 0;
        } else if (p->kind == PITOT_BINARY_CROSS_ENTROPY) {
            d[i] = (1 / (1 + exp(-f[i])) - y) / WIDTH;
            loss += (log(1 + exp(f[i])) - y * f[i]) / WIDTH;
        } else {
            d[i] = 2 * scale * (f[i] - y);
            loss += scale * (f[i] - y) * (f[i] - y);
        }
    }
    return loss;
}

/* Outputs of one row, and with u: g += J'u */
static inline void one_row(const problem *p, const double *theta, int row, const double *u, double *f, double *g) {
    const double *w1 = theta, *w2 = theta + 9, *b1 = theta + 18, *b2 = theta + 21, *x = p->x[row];
    double a[WIDTH], back;
    for (int j = 0; j < WIDTH; j++) {
        a[j] = b1[j];
        for (int i = 0; i < WIDTH; i++) a[j] += w1[3 * j + i] * x[i];
        a[j] = tanh(a[j]);
    }
    for (int k = 0; k < WIDTH; k++) {
        f[k] = b2[k];
        for (int j = 0; j < WIDTH; j++) f[k] += w2[3 * k + j] * a[j];
    }
    for (int j = 0; u && j < WIDTH; j++) {
        back = 0;
        for (int k = 0; k < WIDTH; k++) {
            back += u[k] * w2[3 * k + j];
            g[9 + 3 * k + j] += u[k] * a[j];
        }
        back *= 1 - a[j] * a[j];
        g[18 + j] += back;
        g[21 + j] += u[j];
        for (int i = 0; i < WIDTH; i++) g[3 * j + i] += back * x[i];
    }
}

/* Outputs (MOST_OUT) of samples from..to-1, their loss, its gradient; f, g: NULL, not wanted. */
static inline double model(const problem *p, const double *theta, int from, int to, double *f, double *g) {
    double loss = 0, share = term_share(p, from, to), out[WIDTH], d[WIDTH];
    if (g) memset(g, 0, D_ALL * sizeof *g);
    for (int row = from * p->t; row < to * p->t; row++) {
        one_row(p, theta, row, NULL, out, NULL);
        double w = weight_of(p, row) * share, l = term_loss(p, row, out, d);
        if (f) memcpy(f + (row - from * p->t) * WIDTH, out, sizeof out);
        if (w == 0) continue; /* padding, whatever stands there */
        loss += w * l;
        for (int i = 0; i < WIDTH; i++) d[i] *= w;
        if (g) one_row(p, theta, row, d, out, g);
    }
    return loss;
}

/* ---- dense matrices ---- */

typedef void (*vector_of)(const problem *p, const double *theta, int from, int to, double *out);

static inline void gradient_vector(const problem *p, const double *theta, int from, int to, double *out) {
    model(p, theta, from, to, NULL, out);
}

static inline void output_vector(const problem *p, const double *theta, int from, int to, double *out) {
    model(p, theta, from, to, out, NULL);
}

/* out (D_ALL, n): row i is the derivative with respect to value i; off by h^4 and 1e-16/h, together about 1e-12 */
static inline void derivative(vector_of v, const problem *p, const double *theta, int from, int to, int n, double *out) {
    static const double at[4] = { 1, -1, 2, -2 }, factor[4] = { 8, -8, -1, 1 };
    const double h = 1e-3;
    double moved[D_ALL], value[MOST_OUT];
    memset(out, 0, (size_t)(D_ALL * n) * sizeof *out);
    for (int i = 0; i < D_ALL; i++)
        for (int k = 0; k < 4; k++) {
            memcpy(moved, theta, sizeof moved);
            moved[i] += at[k] * h;
            v(p, moved, from, to, value);
            for (int j = 0; j < n; j++) out[i * n + j] += factor[k] * value[j] / (12 * h);
        }
}

static inline void dense_hessian(const problem *p, const double *theta, int from, int to, double *out) {
    derivative(gradient_vector, p, theta, from, to, D_ALL, out);
}

/* Second derivatives of one term, without its share. */
static inline void term_hessian(const problem *p, const double *f, double out[WIDTH][WIDTH]) {
    double sum = 0;
    for (int i = 0; i < WIDTH; i++) sum += exp(f[i]);
    for (int i = 0; i < WIDTH; i++)
        for (int j = 0; j < WIDTH; j++) {
            double s = 1 / (1 + exp(-f[i])), same = i == j;
            switch (p->kind) {
            case PITOT_CROSS_ENTROPY: out[i][j] = exp(f[i]) / sum * (same - exp(f[j]) / sum); break;
            case PITOT_BINARY_CROSS_ENTROPY: out[i][j] = same * s * (1 - s) / WIDTH; break;
            case PITOT_SQUARED_ERROR: out[i][j] = 2 * same; break;
            case PITOT_MEAN_SQUARED_ERROR: out[i][j] = 2 * same / WIDTH; break;
            default: out[i][j] = same;
            }
        }
}

static inline void dense_ggn(const problem *p, const double *theta, int from, int to, double *out) {
    static double jacobian[D_ALL * MOST_OUT];
    double f[MOST_OUT], h[WIDTH][WIDTH], share = term_share(p, from, to);
    int rows = (to - from) * p->t, n = rows * WIDTH;
    derivative(output_vector, p, theta, from, to, n, jacobian);
    model(p, theta, from, to, f, NULL);
    memset(out, 0, D_ALL * D_ALL * sizeof *out);
    for (int row = 0; row < rows; row++) {
        double w = share * weight_of(p, from * p->t + row);
        term_hessian(p, f + row * WIDTH, h);
        for (int a = 0; w != 0 && a < D_ALL; a++)
            for (int b = 0; b < D_ALL; b++)
                for (int i = 0; i < WIDTH; i++)
                    for (int j = 0; j < WIDTH; j++)
                        out[a * D_ALL + b] += w * jacobian[a * n + row * WIDTH + i] * h[i][j] * jacobian[b * n + row * WIDTH + j];
    }
}

/* ---- a host's memory ---- */

enum bad {
    GOOD,
    CHANGES_PARAMETER,
    CHANGES_FROZEN,
    CHANGES_GUARD,
    ANOTHER_EACH_TIME,
    OTHER_SAMPLES,
    SAYS_NOTHING,
    SAYS_CANNOT,
    SAYS_STATUS,
    GIVES_NAN,
    ROUNDS_UP,
    JUMPS, /* at call jump_at */
    CALLS_HOOKS,
    FAILS_LAST,
    WANTS_ONE_MORE /* value than there can be */
};

typedef struct host {
    problem p;
    int32_t dtype, grad_dtype;
    int strided, stacked, by_address, moving, carried, padded; /* padded: rows of outputs are WIDE */
    int frozen;                                                /* bit i: tensor i has no gradient */
    int n, micro;                                              /* samples of a step, in so many micro-batches */
    double grad_scale, loss_scale, turned; /* turned: what the gradients are wrong by, in the step and in `grad` alike */
    int captures, in_out, rooted, silent_output, coarse; /* coarse: losses are rounded to float */
    int late;                                            /* offers callbacks after the update, too */
    uint32_t offers;                                     /* bit i: callback i */
    enum bad bad;
    int bad_callback; /* CALL_... that does it */
    int jump_at;      /* -1: the last */
    _Alignas(64) unsigned char data[TENSORS][PLACE], grad[2][TENSORS][PLACE];
    int side; /* of the gradient buffers in use */
    void *data_at[TENSORS], *grad_at[TENSORS];
    pitot_run *run;
    int32_t id[TENSORS];
    double loss, share;
    int from, to; /* the micro-batch under way */
    pitot_real output[MOST_ROWS * WIDE], losses[MOST_ROWS];
    pitot_real seen[2][MOST_ROWS * WIDTH], back[2][MOST_ROWS * WIDTH]; /* what the two layers saw and what came back */
    double guarded[4];
    int calls[6], last_calls, calls_after_last, wrong_inside,
        away;                        /* away: calls of hvp, jvp, vjp, root, last with moved parameters */
    double home[D_ALL], next[D_ALL]; /* theta of the step, and as its update has left it */
    int updated;                     /* 1: from the update to the next step */
    jmp_buf landing;
} host;

static inline int offset_of(const host *h, int tensor, int k) {
    if (!h->strided) return k;
    return size_of[tensor] == 9 ? 7 * (k / 3) + 2 * (k % 3) : 2 * k;
}

static inline double get(const void *place, int32_t dtype, int at) {
    float single;
    double wide;
    memcpy(&single, (const char *)place + at * (int)sizeof single, sizeof single);
    memcpy(&wide, (const char *)place + at * (int)sizeof wide, sizeof wide);
    return dtype == PITOT_F32 ? (double)single : wide;
}

static inline void put(void *place, int32_t dtype, int at, double v) {
    float single = (float)v;
    if (dtype == PITOT_F32) memcpy((char *)place + at * (int)sizeof single, &single, sizeof single);
    else memcpy((char *)place + at * (int)sizeof v, &v, sizeof v);
}

static inline void read_theta(const host *h, double *theta) {
    for (int i = 0; i < TENSORS; i++)
        for (int k = 0; k < size_of[i]; k++) *theta++ = get(h->data[i], h->dtype, offset_of(h, i, k));
}

static inline int in_d(const host *h, int tensor) {
    return !(h->frozen & 1 << tensor);
}

/* From a vector of the D values that have a gradient to one of all, and back. */
static inline void widen(const host *h, const pitot_real *v, double *all) {
    for (int i = 0; i < TENSORS; i++)
        for (int k = 0; k < size_of[i]; k++) *all++ = in_d(h, i) ? (double)*v++ : 0;
}

static inline void narrow(const host *h, const double *all, pitot_real *v) {
    for (int i = 0; i < TENSORS; i++)
        for (int k = 0; k < size_of[i]; k++, all++)
            if (in_d(h, i)) *v++ = (pitot_real)*all;
}

static inline void put_gradient(host *h, const double *g, int adds) {
    double factor = h->turned * h->share * h->loss_scale / h->grad_scale;
    for (int i = 0; i < TENSORS; i++)
        for (int k = 0; k < size_of[i]; k++, g++) {
            int at = offset_of(h, i, k);
            if (!in_d(h, i)) continue;
            double old = adds ? get(h->grad[h->side][i], h->grad_dtype, at) : 0;
            put(h->grad[h->side][i], h->grad_dtype, at, old + factor * *g);
        }
}

/* The gradients lie elsewhere from now on. */
static inline void move_gradients(host *h) {
    memcpy(h->grad[!h->side], h->grad[h->side], sizeof h->grad[0]);
    memset(h->grad[h->side], 0x7e, sizeof h->grad[0]);
    h->side = !h->side;
    for (int i = 0; i < TENSORS; i++) {
        h->grad_at[i] = h->grad[h->side][i];
        if (in_d(h, i) && !h->by_address) pitot_bind_param(h->run, h->id[i], NULL, h->grad[h->side][h->stacked ? i / 2 * 2 : i]);
    }
}

/* ---- callbacks ---- */

/* Every hook, from inside a callback: none may do anything. */
static inline void call_hooks(host *h) {
    pitot_run *r = h->run;
    pitot_param p = { .struct_size = sizeof p, .name = "inside", .data = h->output, .shape = { 2 } };
    pitot_batch b = { .struct_size = sizeof b, .n = 2, .loss = 77 };
    pitot_capture c = { .struct_size = sizeof c, .kind = PITOT_LINEAR, .weight = 1, .A = h->output, .G = h->output };
    pitot_preconditioner f = { .struct_size = sizeof f, .param = 1, .axis = 0, .n = 3, .factor = h->output };
    int64_t errors = health_of(r).errors;
    h->wrong_inside += pitot_due(r) != 0;
    h->wrong_inside += pitot_begin(r, r->step) != 0 || pitot_begin(r, r->step + 1) != 0;
    pitot_after_forward(r, &b), pitot_add_capture(r, &c), pitot_after_backward(r), pitot_add_preconditioner(r, &f);
    pitot_after_update(r, 3);
    h->wrong_inside += pitot_add_param(r, &p) != PITOT_EORDER;
    h->wrong_inside += pitot_set_callbacks(r, NULL) != PITOT_EORDER || pitot_add_guard(r, "g", h->output, 4) != PITOT_EORDER;
    h->wrong_inside += pitot_scalar(r, "inside", 1) != PITOT_EORDER || pitot_hyper(r, -1, "lr", 1) != PITOT_EORDER;
    h->wrong_inside += pitot_request(r, "loss") != PITOT_EORDER || pitot_checkpoint(r, path_of("inside")) != PITOT_EORDER;
    h->wrong_inside += pitot_restore(r, path_of("inside")) != PITOT_EORDER || pitot_close(r, PITOT_FAILED) != PITOT_EORDER;
    h->wrong_inside += health_of(r).errors != errors || access(path_of("inside"), F_OK) == 0;
}

/* What the callback does besides its work. */
static inline void misbehave(host *h, int which, const pitot_call *call) {
    int frozen = h->frozen & 1 ? 0 : h->frozen & 4 ? 2 : 3;
    if (h->bad_callback != which) return;
    switch (h->bad) {
    case CHANGES_PARAMETER:
        put(h->data[1], h->dtype, offset_of(h, 1, 4), get(h->data[1], h->dtype, offset_of(h, 1, 4)) + 0.5);
        break;
    case CHANGES_FROZEN:
        if (!call->last) put(h->data[frozen], h->dtype, 0, get(h->data[frozen], h->dtype, 0) + 0.25);
        break;
    case CHANGES_GUARD: h->guarded[1] += 1; break;
    case ROUNDS_UP: fesetround(FE_UPWARD); break;
    case JUMPS:
        if (h->calls[which] == h->jump_at || (call->last && h->jump_at < 0)) longjmp(h->landing, 1);
        break;
    case CALLS_HOOKS: call_hooks(h); break;
    default: break;
    }
}

/* Whether parameters are not those of the step. After the update they are moved back: to within rounding. */
static inline int is_away(const host *h, const double *theta) {
    const double unit = h->dtype == PITOT_F32 || sizeof(pitot_real) == 4 ? 0x1p-23 : 0x1p-52;
    if (!h->updated) return memcmp(theta, h->home, sizeof h->home) != 0;
    for (int i = 0; i < D_ALL; i++)
        if (!(fabs(theta[i] - h->home[i]) <= 2 * unit * (fabs(h->home[i]) + fabs(h->next[i])))) return 1;
    return 0;
}

/* Entering a callback: counted, parameters looked at. */
static inline void come_in(host *h, int which, const pitot_call *call, double *theta) {
    h->calls[which]++;
    h->last_calls += call->last;
    if (h->last_calls && !call->last) h->calls_after_last++;
    read_theta(h, theta);
    if ((which != CALL_GRAD && which != CALL_FORWARD) || call->last)
        h->away += h->bad != CHANGES_PARAMETER && h->bad != CHANGES_FROZEN && is_away(h, theta);
    else if (h->updated) h->away += memcmp(theta, h->next, sizeof h->next) != 0;
}

/* Leaving one: with the status last, or as it was asked to. */
static inline void go_out(host *h, int which, pitot_call *call) {
    int mine_to_fail = h->bad_callback == which;
    misbehave(h, which, call);
    if (mine_to_fail && h->bad == GIVES_NAN && call->out) call->out[0] = (pitot_real)NAN;
    if (mine_to_fail && h->bad == ANOTHER_EACH_TIME && call->out)
        for (int64_t i = 0; i < call->n_out; i++) call->out[i] *= (pitot_real)(1 + 0.05 * h->calls[which]);
    if (mine_to_fail && h->bad == WANTS_ONE_MORE) call->n_out++;
    if (mine_to_fail && h->bad == SAYS_NOTHING) return;
    call->status = PITOT_OK;
    if (mine_to_fail && h->bad == SAYS_CANNOT) call->status = PITOT_ENOTSUP;
    if (mine_to_fail && (h->bad == SAYS_STATUS || (h->bad == FAILS_LAST && call->last))) call->status = -77;
}

/* Over those of the step, as a host with one set of activations does. The barrier: gcc 12 at -O3 drops calls of this whose results only
   pitot reads (dead-call elimination in clones; gone with -fno-ipa-cp). */
static inline void put_output(host *h, const double *theta) {
    double f[MOST_OUT], d[WIDTH];
    int rows = (h->to - h->from) * h->p.t, stride = h->padded ? WIDE : WIDTH;
    model(&h->p, theta, h->from, h->to, f, NULL);
    for (int row = 0; row < rows; row++) {
        h->losses[row] = (pitot_real)term_loss(&h->p, h->from * h->p.t + row, f + row * WIDTH, d);
        for (int i = 0; i < WIDTH; i++) h->output[row * stride + i] = (pitot_real)f[row * WIDTH + i];
    }
    __asm__ volatile("" ::: "memory");
}

static inline void on_grad(void *user, pitot_call *call) {
    host *h = user;
    double theta[D_ALL], g[D_ALL];
    come_in(h, CALL_GRAD, call, theta);
    int other = h->bad == OTHER_SAMPLES && h->bad_callback == CALL_GRAD;
    call->loss = model(&h->p, theta, h->from, h->to - other, NULL, g);
    if (h->coarse) call->loss = (double)(float)call->loss;
    if (h->bad == GIVES_NAN && h->bad_callback == CALL_GRAD) g[5] = NAN;
    if (h->bad == ANOTHER_EACH_TIME && h->bad_callback == CALL_GRAD) g[5] *= 1 + 0.5 * h->calls[CALL_GRAD];
    if (h->moving) move_gradients(h);
    put_gradient(h, g, h->carried);
    put_output(h, theta);
    go_out(h, CALL_GRAD, call);
}

static inline void on_hvp(void *user, pitot_call *call) {
    static double dense[D_ALL * D_ALL];
    host *h = user;
    double theta[D_ALL], v[D_ALL], out[D_ALL] = { 0 };
    come_in(h, CALL_HVP, call, theta);
    dense_hessian(&h->p, theta, h->from, h->to, dense);
    widen(h, call->v, v);
    for (int i = 0; i < D_ALL; i++)
        for (int j = 0; j < D_ALL; j++) out[i] += dense[j * D_ALL + i] * v[j];
    narrow(h, out, call->out);
    go_out(h, CALL_HVP, call);
}

static inline void on_forward(void *user, pitot_call *call) {
    host *h = user;
    double theta[D_ALL];
    come_in(h, CALL_FORWARD, call, theta);
    if (h->bad == ANOTHER_EACH_TIME && h->bad_callback == CALL_FORWARD) theta[3] *= 1 + 0.5 * h->calls[CALL_FORWARD];
    put_output(h, theta);
    call->loss = model(&h->p, theta, h->from, h->to, NULL, NULL);
    call->output = h->silent_output ? NULL : h->output;
    go_out(h, CALL_FORWARD, call);
}

static inline void on_jvp(void *user, pitot_call *call) {
    static double jacobian[D_ALL * MOST_OUT];
    host *h = user;
    double theta[D_ALL], v[D_ALL];
    come_in(h, CALL_JVP, call, theta);
    int n = (h->to - h->from) * h->p.t * WIDTH;
    derivative(output_vector, &h->p, theta, h->from, h->to, n, jacobian);
    widen(h, call->v, v);
    for (int k = 0; k < n; k++) {
        double sum = 0;
        for (int i = 0; i < D_ALL; i++) sum += jacobian[i * n + k] * v[i];
        call->out[k] = (pitot_real)sum;
    }
    go_out(h, CALL_JVP, call);
}

static inline void on_vjp(void *user, pitot_call *call) {
    host *h = user;
    double theta[D_ALL], g[D_ALL] = { 0 }, u[WIDTH], f[WIDTH];
    come_in(h, CALL_VJP, call, theta);
    for (int row = h->from * h->p.t; row < h->to * h->p.t; row++) {
        for (int i = 0; i < WIDTH; i++) u[i] = (double)call->v[(row - h->from * h->p.t) * WIDTH + i];
        if (weight_of(&h->p, row) != 0) one_row(&h->p, theta, row, u, f, g);
        else h->wrong_inside += u[0] != 0 || u[1] != 0 || u[2] != 0; /* padding weighs nothing, whatever its outputs are */
    }
    if (h->moving) move_gradients(h);
    if (h->in_out) narrow(h, g, call->out);
    else put_gradient(h, g, h->carried);
    call->in_out = h->in_out;
    go_out(h, CALL_VJP, call);
}

/* S of one term: columns with S S' = its second derivatives */
static inline void on_root(void *user, pitot_call *call) {
    host *h = user;
    double theta[D_ALL], f[MOST_OUT];
    come_in(h, CALL_ROOT, call, theta);
    int rows = (h->to - h->from) * h->p.t, n = rows * WIDTH;
    if (!call->out) call->n_out = WIDTH * n;
    model(&h->p, theta, h->from, h->to, f, NULL);
    for (int r = 0; call->out && r < WIDTH; r++)
        for (int row = 0; row < rows; row++) {
            double sum = 0, a = sqrt(term_share(&h->p, h->from, h->to) * weight_of(&h->p, h->from * h->p.t + row));
            const double *o = f + row * WIDTH;
            for (int i = 0; i < WIDTH; i++) sum += exp(o[i]);
            for (int i = 0; i < WIDTH; i++)
                call->out[r * n + row * WIDTH + i] =
                    (pitot_real)(h->p.kind == PITOT_CROSS_ENTROPY ? a * sqrt(exp(o[r]) / sum) * ((i == r) - exp(o[i]) / sum)
                                                                  : a * (i == r));
        }
    go_out(h, CALL_ROOT, call);
}

/* ---- the loop ---- */

static inline void host_start(host *h) {
    memset(h, 0, sizeof *h);
    h->n = 5, h->micro = 1, h->p.t = 1;
    h->p.kind = PITOT_CROSS_ENTROPY;
    h->dtype = h->grad_dtype = ARRAY_REAL;
    h->grad_scale = h->loss_scale = h->turned = h->share = 1;
    h->in_out = 1;
    h->bad_callback = -1;
    for (int row = 0; row < MOST_ROWS; row++) {
        h->p.class_of[row] = row * row % WIDTH;
        h->p.weight[row] = (pitot_real)(row % 4 == 3 ? 0 : 0.5 + 0.25 * (row % 3));
        for (int i = 0; i < WIDTH; i++) {
            h->p.x[row][i] = sin(1.7 * row + 2.3 * i + 0.4);
            h->p.target[row][i] = (pitot_real)(0.5 + 0.4 * cos(2.1 * row + i));
        }
    }
}

/* Memory is written once the types are known; between the values stands something that must stay. */
static inline void host_fill(host *h) {
    memset(h->data, 0x5b, sizeof h->data);
    memset(h->grad, 0x7e, sizeof h->grad);
    for (int i = 0, at = 0; i < TENSORS; i++)
        for (int k = 0; k < size_of[i]; k++, at++) {
            put(h->data[i], h->dtype, offset_of(h, i, k), 0.8 * sin(1.3 * at + 0.2));
            put(h->grad[0][i], h->grad_dtype, offset_of(h, i, k), 0);
        }
}

static inline void host_add_tensors(host *h) {
    static const char *const stacks[2] = { "w", "b" };
    for (int i = 0; i < TENSORS; i += h->stacked ? 2 : 1) {
        pitot_param p = { .struct_size = sizeof p,
                          .name = h->stacked ? stacks[i / 2] : name_of[0][i],
                          .shape = { 3, size_of[i] == 9 ? 3 : 0 },
                          .dtype = h->dtype,
                          .grad_dtype = h->grad_dtype };
        if (h->strided) p.stride[0] = size_of[i] == 9 ? 7 : 2, p.stride[1] = size_of[i] == 9 ? 2 : 0;
        if (h->stacked) p.stack = 2, p.stack_stride = PLACE / (h->dtype == PITOT_F32 ? 4 : 8);
        h->data_at[i] = h->data[i], h->grad_at[i] = h->grad[0][i];
        if (h->by_address) p.data_at = &h->data_at[i], p.grad_at = in_d(h, i) ? &h->grad_at[i] : NULL;
        else p.data = h->data[i], p.grad = in_d(h, i) ? h->grad[0][i] : NULL;
        h->id[i] = pitot_add_param(h->run, &p);
        h->id[i + (h->stacked ? 1 : 0)] = h->id[i] + (h->stacked ? 1 : 0);
    }
}

static inline void host_offer(host *h) {
    pitot_callbacks c = { .struct_size = sizeof c, .user = h };
    if (h->offers & 1u << CALL_GRAD) c.grad = on_grad;
    if (h->offers & 1u << CALL_HVP) c.hvp = on_hvp;
    if (h->offers & 1u << CALL_FORWARD) c.forward = on_forward;
    if (h->offers & 1u << CALL_JVP) c.jvp = on_jvp;
    if (h->offers & 1u << CALL_VJP) c.vjp = on_vjp;
    if (h->offers & 1u << CALL_ROOT) c.hessian_root = on_root;
    assert_int_equal(pitot_set_callbacks(h->run, &c), PITOT_OK);
}

static inline void host_open(host *h, const char *dir, const char *probes, const char *options) {
    pitot_config c = { .struct_size = sizeof c,
                       .probes = probes,
                       .options = options,
                       .grad_scale = h->grad_scale,
                       .reduction = h->p.reduction,
                       .flags = (h->carried ? PITOT_CARRIED : 0) | (h->late ? PITOT_LATE : 0) };
    host_fill(h);
    h->run = must_open(dir, &c);
    host_add_tensors(h);
    host_offer(h);
    assert_string_equal(pitot_last_error(h->run), "");
}

/* Level 1: both layers of the micro-batch under way. */
static inline void host_capture(host *h) {
    double f[WIDTH], d[WIDTH], share = term_share(&h->p, h->from, h->to);
    const double *w1 = h->home, *w2 = h->home + 9, *b1 = h->home + 18;
    for (int row = h->from * h->p.t, at = 0; row < h->to * h->p.t; row++, at += WIDTH) {
        one_row(&h->p, h->home, row, NULL, f, NULL);
        term_loss(&h->p, row, f, d);
        for (int j = 0; j < WIDTH; j++) h->back[1][at + j] = (pitot_real)(d[j] * share * weight_of(&h->p, row));
        for (int j = 0; j < WIDTH; j++) {
            double a = b1[j], back = 0;
            for (int i = 0; i < WIDTH; i++) a += w1[3 * j + i] * h->p.x[row][i];
            for (int k = 0; k < WIDTH; k++) back += (double)h->back[1][at + k] * w2[3 * k + j];
            h->seen[0][at + j] = (pitot_real)h->p.x[row][j];
            h->seen[1][at + j] = (pitot_real)tanh(a);
            h->back[0][at + j] = (pitot_real)(back * (1 - tanh(a) * tanh(a)));
        }
    }
    for (int layer = 0; layer < 2; layer++) {
        pitot_capture c = { .struct_size = sizeof c,
                            .kind = PITOT_LINEAR,
                            .weight = h->id[layer],
                            .bias = h->id[2 + layer],
                            .A = h->seen[layer],
                            .G = h->back[layer],
                            .scale = h->turned * h->share * h->loss_scale / h->grad_scale };
        assert_int_equal(pitot_add_capture(h->run, &c), PITOT_OK);
    }
}

/* Forward and backward of one micro-batch, adding to the gradients what it is of the step's. */
static inline void host_pass(host *h, int part) {
    double g[D_ALL];
    h->from = h->n * part / h->micro, h->to = h->n * (part + 1) / h->micro;
    h->share = term_share(&h->p, 0, h->n) / term_share(&h->p, h->from, h->to);
    h->loss = model(&h->p, h->home, h->from, h->to, NULL, g);
    put_output(h, h->home);
    pitot_batch b = { .struct_size = sizeof b,
                      .n = h->to - h->from,
                      .loss = h->loss,
                      .losses = h->losses,
                      .t = h->p.t,
                      .loss_scale = h->loss_scale,
                      .weight = h->p.weighted ? h->p.weight + h->from * h->p.t : NULL,
                      .output = h->output,
                      .target = h->p.kind == PITOT_CROSS_ENTROPY ? (const void *)(h->p.class_of + h->from * h->p.t)
                                                                 : h->p.target[h->from * h->p.t],
                      .c = WIDTH,
                      .c_stride = h->padded ? WIDE : 0,
                      .loss_kind = h->rooted ? PITOT_LOSS_UNKNOWN : h->p.kind,
                      .more = part < h->micro - 1 };
    pitot_after_forward(h->run, &b);
    put_gradient(h, g, 1);
    if (h->captures && pitot_due(h->run) & PITOT_DUE_CAPTURES) host_capture(h);
}

static inline void scale_gradients(host *h, double factor) {
    for (int i = 0; i < TENSORS; i++)
        for (int k = 0; k < size_of[i]; k++) {
            int at = offset_of(h, i, k);
            double g = get(h->grad[h->side][i], h->grad_dtype, at);
            put(h->grad[h->side][i], h->grad_dtype, at, factor == 0 ? 0 : factor * g);
        }
}

/* Plain descent with momentum in the gradient buffers where they are carried. */
static inline void host_update(host *h) {
    for (int i = 0; i < TENSORS; i++)
        for (int k = 0; in_d(h, i) && k < size_of[i]; k++) {
            int at = offset_of(h, i, k);
            double g = get(h->grad[h->side][i], h->grad_dtype, at) * h->grad_scale / h->loss_scale;
            put(h->data[i], h->dtype, at, get(h->data[i], h->dtype, at) - 0.05 * g);
        }
    for (int k = 0; k < 4; k++) h->guarded[k] = sin(h->guarded[k] + k);
    read_theta(h, h->next);
    h->updated = 1;
}

/* 0 if the hook never came back. */
static inline int host_backward_hook(host *h) {
    if (setjmp(h->landing)) return 0;
    pitot_after_backward(h->run);
    return 1;
}

/* A step up to, and with, after_backward: parameters, gradients and guards must be as they were. Little on the stack: hooks must not be
   deeper than a callback was that was jumped out of. */
static inline uint32_t host_half(host *h, int64_t step, int *came_back) {
    static unsigned char data[TENSORS][PLACE], grad[TENSORS][PLACE];
    static double guarded[4];
    h->updated = 0;
    scale_gradients(h, h->carried ? 0.5 : 0); /* what is carried stands there when the step begins */
    uint32_t due = pitot_begin(h->run, step);
    read_theta(h, h->home);
    for (int part = 0; part < h->micro; part++) {
        host_pass(h, part);
        memcpy(data, h->data, sizeof data), memcpy(grad, h->grad[h->side], sizeof grad);
        memcpy(guarded, h->guarded, sizeof guarded);
        h->last_calls = h->calls_after_last = 0;
        memset(h->calls, 0, sizeof h->calls);
        *came_back = host_backward_hook(h);
        if (!*came_back) return due;
        assert_memory_equal(data, h->data, sizeof data);
        assert_memory_equal(grad, h->grad[h->side], sizeof grad);
        assert_memory_equal(guarded, h->guarded, sizeof guarded);
    }
    return due;
}

/* The update and its hook, which changes nothing either. 0 if it never came back. */
static inline int host_finish(host *h) {
    static unsigned char data[TENSORS][PLACE], grad[TENSORS][PLACE];
    static double guarded[4];
    host_update(h);
    memcpy(data, h->data, sizeof data), memcpy(grad, h->grad[h->side], sizeof grad);
    memcpy(guarded, h->guarded, sizeof guarded);
    if (setjmp(h->landing)) return 0;
    pitot_after_update(h->run, 0.05);
    assert_memory_equal(data, h->data, sizeof data);
    assert_memory_equal(grad, h->grad[h->side], sizeof grad);
    assert_memory_equal(guarded, h->guarded, sizeof guarded);
    return 1;
}

static inline uint32_t host_step(host *h, int64_t step) {
    int came_back;
    uint32_t due = host_half(h, step, &came_back);
    assert_true(came_back);
    assert_true(host_finish(h));
    return due;
}

/* The same loop without pitot, from the start: what weights and guards must be after so many steps. */
static inline void assert_as_alone(const host *h, int64_t steps) {
    static host alone;
    alone = *h;
    alone.run = NULL;
    alone.side = 0;
    memset(alone.guarded, 0, sizeof alone.guarded);
    host_fill(&alone);
    for (int64_t step = 0; step < steps; step++) host_step(&alone, step);
    assert_memory_equal(alone.data, h->data, sizeof h->data);
    assert_memory_equal(alone.grad[alone.side], h->grad[h->side], sizeof h->grad[0]);
    assert_memory_equal(alone.guarded, h->guarded, sizeof h->guarded);
    assert_true(alone.loss == h->loss);
}

/* ---- probes that look at the operators column by column ---- */

static double dense_seen[D_ALL * D_ALL], error_seen;
static int64_t size_seen;
static int exact_seen, columns_wanted = D_ALL;

static inline int32_t look_at(const pitot_frame *f, const pitot_linop *a) {
    pitot_real *x = f->work, *y = f->work + f->size;
    assert_non_null(a);
    assert_true(a->symmetric && a->n == f->size && f->size <= D_ALL);
    size_seen = a->n;
    exact_seen = a->exact;
    for (int64_t j = 0; j < a->n && j < columns_wanted; j++) {
        for (int64_t i = 0; i < a->n; i++) x[i] = (pitot_real)(i == j ? 2 : 0); /* not of length 1 */
        int32_t status = a->apply(a->self, x, y, 1);
        if (status == PITOT_EHOST) return pitot_undefined(f, "a product failed"), PITOT_OK;
        if (status) return status;
        for (int64_t i = 0; i < a->n; i++) dense_seen[i * a->n + j] = (double)y[i] / 2;
    }
    error_seen = a->error;
    pitot_emit(f, "", 1);
    return PITOT_OK;
}

static inline int32_t look_at_hessian(const pitot_frame *f) {
    return look_at(f, f->hessian);
}

static inline int32_t look_at_ggn(const pitot_frame *f) {
    return look_at(f, f->ggn);
}

/* Parameters, gradients and losses as a probe sees them that comes after others: as in the step, bit by bit. */
static inline int32_t look_at_tensors(const pitot_frame *f) {
    double data = 0, grad = 0, losses = 0;
    for (int64_t i = 0; i < f->n_tensors; i++) {
        data += pitot_sum_squares(f->tensor[i].data, f->tensor[i].size);
        if (f->tensor[i].grad) grad += pitot_sum_squares(f->tensor[i].grad, f->tensor[i].size);
    }
    for (int64_t i = 0; f->losses && i < f->n; i++) losses += (double)f->losses[i];
    pitot_emit(f, "", data);
    pitot_emit(f, "grad", grad);
    pitot_emit(f, "losses", losses);
    return PITOT_OK;
}

#define LOOKS(NAME, NEEDS, ...)                                                                                          \
    {                                                                                                                    \
        .struct_size = sizeof(pitot_probe), .abi = PITOT_ABI, .needs = NEEDS, .presets = PITOT_ON_REQUEST, .spans = 1,   \
        .name = NAME, .summary = "of the tests", .paper = "", .formula = "", .outputs = some_outputs, .work_vectors = 2, \
        __VA_ARGS__                                                                                                      \
    }

static const pitot_probe looking[] = {
    LOOKS("t_dense_hessian", PITOT_NEED_HESSIAN, .backward = look_at_hessian),
    LOOKS("t_dense_ggn", PITOT_NEED_GGN, .backward = look_at_ggn),
    LOOKS("t_early", PITOT_NEED_GRADS, .backward = look_at_tensors),
    LOOKS("t_late", PITOT_NEED_GRADS | PITOT_NEED_HESSIAN, .backward = look_at_tensors), /* among those with callbacks */
    LOOKS("t_other", PITOT_NEED_GRADS, .backward = look_at_tensors),
};

static inline int is_looking(const pitot_probe *p) {
    return p >= looking && p < looking + sizeof looking / sizeof *looking;
}

static inline int set_up_smooth(void **state) {
    for (size_t i = 0; i < sizeof looking / sizeof *looking; i++)
        if (pitot_probe_register(&looking[i])) return -1;
    return set_up(state);
}

/* What the probe saw beside the dense matrix: largest difference, relative to the matrix' length (Frobenius). */
static inline double dense_apart(const host *h, const double *dense) {
    double off = 0, all = 0;
    int index[D_ALL], n = 0;
    for (int i = 0, at = 0; i < TENSORS; i++)
        for (int k = 0; k < size_of[i]; k++, at++)
            if (in_d(h, i)) index[n++] = at;
    assert_int_equal(size_seen, n);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            double is = dense[index[i] * D_ALL + index[j]], d = dense_seen[i * n + j] - is;
            off += d * d;
            all += is * is;
        }
    assert_true(all > 1e-4);
    return sqrt(off / all);
}

#endif
