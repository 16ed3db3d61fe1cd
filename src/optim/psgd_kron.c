/* psgd_kron.c: Li 2015 (arXiv 1512.04202), 2024 (2402.11858), in the form of the author's current code (KronWhiten): a preconditioner P = Q'Q,
   Q = kron(Q0, Q1), is fitted so that P g is white, by steps relative to Q that need no inverse:

       T = P(g + noise); Ti: T T' or T'T, ci = D/ni, Li = max(bL Li + (1-bL) li, li), li = ||Ti|| + ci
       q0.5eq1.5:  Qi -= mu/Li (Ti - ci I) Qi, and Qi is turned towards a symmetric one
       qeq:        Qi -= mu/Li Qi (Ti - ci I)
       eq:         A = Q g, B = Q^-T v, v normal: Qi -= mu/Li triu(Ai - Bi) Qi, li = ||Ai + Bi||
       quad:       Qi = (I - h (Ti - ci I)) Qi (I - h (Ti - ci I)), h = mu/(2 Li), symmetric
       quad4p:     as quad with h = mu/Li, of Pi in place of Qi; in exact arithmetic what qeq makes of Q'Q
       pro4p:      as q0.5eq1.5, of Pi in place of Qi, turned up to ten times until it is nearly symmetric

   Axes longer than preconditioner_max_size, or with n^2 > preconditioner_max_skew D, have a diagonal Qi; of a matrix that is the longer one, and a
   vector's. Tensors of more axes are matrices (first axis, the rest), without an axis of length 1. Steps that are too long are clipped. */

#include "base/blas.h"
#include "base/random.h"
#include "base/threads.h"
#include "optim/core/matrix.h"
#include "optim/core/normals.h"
#include "optim/core/psgd.h"
#include "optim/core/room.h"
#include "pitot/hot.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#ifdef PITOT_DOUBLE
#define REAL_EPSILON DBL_EPSILON
#else
#define REAL_EPSILON FLT_EPSILON
#endif

typedef struct psgd_options {
    double lr, lr_preconditioner, beta_l, damping, momentum, grad_clip_max_amps[2];
    double preconditioner_max_skew, preconditioner_init_scale, preconditioner_update_probability;
    int64_t preconditioner_max_size, update_preconditioner_first, whiten_grad, dq;
} psgd_options;

enum { Q0P5EQ1P5, QEQ, EQ, QUAD, QUAD4P, PRO4P };
enum { WORTH_THREADS = 1 << 15 /* values */ };
enum {
    FACTOR,
    APPLIED = 2,
    LIPSCHITZ = 4,
    EXP_AVG,
    COMPUTED,
    INIT_SCALE = 0 /* of the run */
};                 /* FACTOR + side: Q, or what is fitted in its place; APPLIED + side: P = Q'Q */

static const pitot_option table[] = {
    { "lr", PITOT_REAL, 1, offsetof(psgd_options, lr), "0.001", 0, 1e6, NULL, "", "learning rate" },
    { "lr_preconditioner", PITOT_REAL, 1, offsetof(psgd_options, lr_preconditioner), "0.1", 0, 1, NULL, "",
      "step length of the preconditioner" },
    { "beta_l", PITOT_REAL, 1, offsetof(psgd_options, beta_l), "0.9", 0, PITOT_BELOW_ONE, NULL, "",
      "decay of the bound that its steps are divided by" },
    { "damping", PITOT_REAL, 1, offsetof(psgd_options, damping), "1e-9", 0, 1e6, NULL, "",
      "size of the noise added to what is whitened" },
    { "momentum", PITOT_REAL, 1, offsetof(psgd_options, momentum), "0", 0, PITOT_BELOW_ONE, NULL, "",
      "decay of the average of gradients; at first 1 - 1/t" },
    { "grad_clip_max_amps", PITOT_REAL, 2, offsetof(psgd_options, grad_clip_max_amps), "2,10", 0, 1e30, NULL, "",
      "largest root mean square of a tensor's step, largest value in it" },
    { "preconditioner_max_skew", PITOT_REAL, 1, offsetof(psgd_options, preconditioner_max_skew), "1", 0, 1e30, NULL, "",
      "axes with n^2 beyond this times the tensor's size get a diagonal" },
    { "preconditioner_init_scale", PITOT_REAL, 1, offsetof(psgd_options, preconditioner_init_scale), "0", 0, 1e6, NULL, "",
      "Q at first, times I; 0: from the first gradients" },
    { "preconditioner_update_probability", PITOT_REAL, 1, offsetof(psgd_options, preconditioner_update_probability), "1", 0, 1,
      NULL, "", "share of the steps that fit the preconditioner" },
    { "preconditioner_max_size", PITOT_INT, 1, offsetof(psgd_options, preconditioner_max_size), "1000000000", 1, 1e9, NULL, "",
      "longer axes get a diagonal" },
    { "update_preconditioner_first", PITOT_BOOL, 1, offsetof(psgd_options, update_preconditioner_first), "true", 0, 0, NULL, "",
      "fit before the step is taken" },
    { "whiten_grad", PITOT_BOOL, 1, offsetof(psgd_options, whiten_grad), "true", 0, 0, NULL, "",
      "whiten the gradient, else its average; that needs momentum > 0" },
    { "dq", PITOT_CHOICE, 1, offsetof(psgd_options, dq), "q0.5eq1.5", 0, 0, "q0.5eq1.5|qeq|eq|quad|quad4p|pro4p", "",
      "geometry of the fit; quad4p and pro4p fit P, not Q, which bears less round-off" },
    { 0 },
};

static int32_t check(const void *options, pitot_error *error) {
    const psgd_options *o = options;
    if (o->whiten_grad || o->momentum > 0) return PITOT_OK;
    return pitot_fail(error, PITOT_EINVAL, "optimizer psgd_kron: whiten_grad=false needs momentum > 0; set momentum=0.9, say");
}

/* ---- state ---- */

typedef struct shape {
    int64_t n[2], size; /* a vector: (size, 1) */
    int axes, dense[2];
} shape;

static shape shape_of(const pitot_tensor_state *t, const psgd_options *o) {
    shape s = { .n = { t->shape[0], t->size / t->shape[0] }, .size = t->size, .axes = 2 };
    if (s.n[0] == 1 || s.n[1] == 1) s = (shape){ .n = { t->size, 1 }, .size = t->size, .axes = 1 };
    for (int a = 0; a < s.axes; a++)
        s.dense[a] = s.n[a] > 1 && s.n[a] <= o->preconditioner_max_size &&
                     (double)s.n[a] * (double)s.n[a] <= o->preconditioner_max_skew * (double)t->size;
    return s;
}

static int64_t values_of(const shape *s, int a) {
    return s->dense[a] ? s->n[a] * s->n[a] : s->n[a];
}

typedef struct room_of { /* (size) four; (n,n) two; what norms take */
    pitot_real *noise, *v, *d, *half, *t1, *t2, *more;
} room_of;

static room_of take(room *r, const shape *s) {
    int64_t bytes = (int64_t)sizeof(pitot_real), n = 0, small;
    for (int a = 0; a < 2; a++) n = s->dense[a] && s->n[a] > n ? s->n[a] : n;
    small = s->n[0] > s->n[1] ? s->n[0] : s->n[1];
    small = n * n > small ? n * n : small;
    room_of w = { .noise = room_take(r, s->size * bytes), .v = room_take(r, s->size * bytes) };
    w.d = room_take(r, s->size * bytes);
    w.half = room_take(r, s->size * bytes);
    w.t1 = room_take(r, small * bytes);
    w.t2 = room_take(r, small * bytes);
    w.more = room_take(r, psgd_turn_work(n) * bytes);
    return w;
}

static int32_t layout(pitot_layout *l, pitot_error *error) {
    static const char *const factor[] = { "Q_rows", "Q_columns" }, *const applied[] = { "P_rows", "P_columns" };
    const psgd_options *o = l->options;
    if (l->i < 0) {
        pitot_slot_add(l, "init_scale", PITOT_F64, 0, NULL);
        return PITOT_OK;
    }
    shape s = shape_of(&l->tensor[l->i], o);
    room r = { 0 };
    if (s.axes == 2 && (s.n[0] > INT_MAX || s.n[1] > INT_MAX))
        return pitot_fail(error, PITOT_ENOTSUP, "optimizer psgd_kron: an axis of %s is too long for it", l->tensor[l->i].name);
    for (int k = 0; k < 4; k++)
        pitot_slot_add(l, k < 2 ? factor[k] : applied[k - 2], 0, k % 2 < s.axes ? 1 + s.dense[k % 2] : -1,
                       (int64_t[]){ s.n[k % 2], s.n[k % 2] });
    pitot_slot_add(l, "L", PITOT_F64, 1, (int64_t[]){ 2 });
    pitot_slot_like(l, "momentum", l->i, o->momentum > 0);
    pitot_slot_add(l, "computed", PITOT_F64, 0, NULL);
    take(&r, &s);
    l->scratch = r.used;
    return PITOT_OK;
}

static int fits_p(const psgd_options *o) {
    return o->dq >= QUAD4P;
}

static void set_factors(const psgd_options *o, pitot_tensor_state *t, const shape *s, double scale) {
    for (int a = 0; a < s->axes; a++) {
        double q = pow(scale, 1.0 / s->axes);
        for (int k = 0; k < 2; k++) {
            pitot_real *x = t->state[(k ? APPLIED : FACTOR) + a], value = (pitot_real)(k || fits_p(o) ? q * q : q);
            if (s->dense[a]) matrix_identity(s->n[a], (double)value, x);
            else
                for (int64_t i = 0; i < s->n[a]; i++) x[i] = value;
        }
    }
}

/* The inverse root of the largest of the tensors' fourth moments, damped. */
static double first_scale(const pitot_stepping *s, const psgd_options *o) {
    double most = 0;
    if (o->preconditioner_init_scale > 0) return o->preconditioner_init_scale;
    for (int64_t i = 0; i < s->n; i++) {
        const pitot_tensor_state *t = &s->tensor[i];
        double sum = 0;
        for (int64_t j = 0; t->g && j < t->size; j++) {
            double square = (double)t->g[j] * (double)t->g[j];
            sum += square * square;
        }
        most = fmax(most, sum / (double)t->size);
    }
    double scale = pow(most + pow(o->damping, 4), -0.125);
    return scale > 0 && scale < 1e15 ? scale : 1;
}

/* ---- products ---- */

typedef struct pass { /* over a matrix, or over values */
    int64_t n[2];     /* rows and columns */
    pitot_real a, b;
    const pitot_real *q, *x, *y;
    pitot_real *out;
} pass;

/* `task` on rows, or values, 0..n of what has `size` values. */
static void run(int64_t n, int64_t size, thread_task task, pass p) {
    threads_run(size >= WORTH_THREADS ? threads_default() : 1, n, task, &p);
}

PITOT_HOT static void scale_rows(void *job, int64_t begin, int64_t end, int thread) {
    const pass *p = job;
    int64_t cols = p->n[1];
    const pitot_real *restrict x = p->x;
    pitot_real *restrict out = p->out;
    (void)thread;
    for (int64_t i = begin; i < end; i++)
        for (int64_t j = 0; j < cols; j++) out[i * cols + j] = p->q[i] * x[i * cols + j];
}

PITOT_HOT static void scale_columns(void *job, int64_t begin, int64_t end, int thread) {
    const pass *p = job;
    int64_t cols = p->n[1];
    const pitot_real *restrict x = p->x, *restrict q = p->q;
    pitot_real *restrict out = p->out;
    (void)thread;
    for (int64_t i = begin; i < end; i++)
        for (int64_t j = 0; j < cols; j++) out[i * cols + j] = x[i * cols + j] * q[j];
}

/* Squares of each row, summed. */
static void row_squares(void *job, int64_t begin, int64_t end, int thread) {
    const pass *p = job;
    (void)thread;
    for (int64_t i = begin; i < end; i++) p->out[i] = (pitot_real)matrix_squares(p->x + i * p->n[1], 1, p->n[1], p->n[1]);
}

/* Of columns begin..end. */
PITOT_HOT static void column_squares(void *job, int64_t begin, int64_t end, int thread) {
    const pass *p = job;
    int64_t rows = p->n[0], cols = p->n[1];
    pitot_real *restrict out = p->out;
    (void)thread;
    for (int64_t j = begin; j < end; j++) out[j] = 0;
    for (int64_t i = 0; i < rows; i++) {
        const pitot_real *restrict x = p->x + i * cols;
        for (int64_t j = begin; j < end; j++) out[j] += x[j] * x[j];
    }
}

/* out = F0 X F1', F: Q or Q'Q. */
static void multiply(const shape *s, const pitot_real *left, const pitot_real *right, const pitot_real *x, pitot_real *out,
                     pitot_real *half) {
    int64_t rows = s->n[0], cols = s->n[1];
    pitot_real *first = s->axes == 2 ? half : out;
    if (s->dense[0]) blas_gemm(0, 0, rows, cols, rows, 1, left, rows, x, cols, 0, first, cols);
    else run(rows, s->size, scale_rows, (pass){ .n = { rows, cols }, .q = left, .x = x, .out = first });
    if (s->axes < 2) return;
    if (s->dense[1]) blas_gemm(0, 1, rows, cols, cols, 1, half, cols, right, cols, 0, out, cols);
    else run(rows, s->size, scale_columns, (pass){ .n = { rows, cols }, .q = right, .x = half, .out = out });
}

/* x = Q0^-T X Q1^-1, Q triangular. */
static void divide(const shape *s, const pitot_real *left, const pitot_real *right, pitot_real *x) {
    int64_t rows = s->n[0], cols = s->n[1];
    if (s->dense[0]) blas_trsm(0, 1, rows, cols, left, x, cols);
    else
        for (int64_t i = 0; i < s->size; i++) x[i] /= left[i / cols];
    if (s->axes < 2) return;
    if (s->dense[1]) blas_trsm(1, 0, rows, cols, right, x, cols);
    else
        for (int64_t i = 0; i < s->size; i++) x[i] /= right[i % cols];
}

/* X X' (a = 0) or X'X (a = 1), or the diagonal of it. */
static void square(const shape *s, int a, const pitot_real *x, pitot_real *out) {
    int64_t rows = s->n[0], cols = s->n[1], n = s->n[a];
    if (s->dense[a]) {
        blas_syrk(a, n, s->n[!a], 1, x, cols, 0, out, n);
        matrix_mirror(n, out);
        return;
    }
    run(n, s->size, a ? column_squares : row_squares, (pass){ .n = { rows, cols }, .x = x, .out = out });
}

/* ---- fitting ---- */

static double step_length(const psgd_options *o, double *bound, double now) {
    double slow = o->beta_l * *bound + (1 - o->beta_l) * now;
    *bound = slow > now ? slow : now;
    return *bound > 0 ? o->lr_preconditioner / *bound : 0;
}

static double most_of(int64_t n, const pitot_real *x) {
    double most = (double)x[0];
    for (int64_t i = 1; i < n; i++) most = (double)x[i] > most ? (double)x[i] : most;
    return most;
}

static void fit_diagonal(const psgd_options *o, const shape *s, int a, double *bound, const room_of *w, pitot_real *q) {
    int64_t n = s->n[a];
    double c = (double)s->size / (double)n, most;
    for (int64_t i = 0; i < n && o->dq != EQ; i++) w->t2[i] = (pitot_real)c;
    for (int64_t i = 0; i < n; i++) w->half[i] = w->t1[i] + w->t2[i];
    most = most_of(n, w->half);
    double step = step_length(o, bound, most);
    double by = o->dq == QUAD ? step / 2 : step;
    for (int64_t i = 0; i < n; i++) {
        double gain = 1 - by * ((double)w->t1[i] - (double)w->t2[i]);
        q[i] *= (pitot_real)(o->dq == QUAD || o->dq == QUAD4P ? gain * gain : gain);
    }
}

PITOT_HOT static void subtract(void *job, int64_t begin, int64_t end, int thread) {
    const pass *p = job;
    const pitot_real *restrict x = p->x;
    pitot_real *restrict out = p->out;
    (void)thread;
    for (int64_t i = begin; i < end; i++) out[i] -= x[i];
}

/* q -= by E q, or from the right by q E */
static void take_off(int64_t n, int right, double by, const pitot_real *e, pitot_real *change, pitot_real *q) {
    blas_gemm(0, 0, n, n, n, by, right ? q : e, n, right ? e : q, n, 0, change, n);
    run(n * n, n * n, subtract, (pass){ .x = change, .out = q });
}

/* t1: of T or A, t2: of B. */
static void fit_dense(const psgd_options *o, const shape *s, int a, double *bound, const psgd_draws *draws, const room_of *w,
                      pitot_real *q) {
    int64_t n = s->n[a];
    double c = (double)s->size / (double)n;
    pitot_real *e = w->t1, *change = w->t2;
    if (o->dq == EQ)
        for (int64_t i = 0; i < n * n; i++) {
            pitot_real sum = w->t1[i] + w->t2[i], difference = w->t1[i] - w->t2[i];
            w->t1[i] = i % n < i / n ? 0 : difference;
            w->t2[i] = sum;
        }
    double now = psgd_norm(n, o->dq == EQ ? w->t2 : w->t1, 0, draws, w->more) + (o->dq == EQ ? 0 : c);
    double step = step_length(o, bound, now);
    for (int64_t i = 0; i < n && o->dq != EQ; i++) e[i * n + i] -= (pitot_real)c;
    int both = o->dq == QUAD || o->dq == QUAD4P;
    double by = o->dq == QUAD ? step / 2 : step;
    take_off(n, o->dq == QEQ, by, e, change, q);
    if (both) take_off(n, 1, by, e, change, q);
    if (both) psgd_symmetrize(n, q);
    if (o->dq == Q0P5EQ1P5) psgd_turn(n, q, draws, w->more);
    for (int k = 0; k < 10 && o->dq == PRO4P; k++) {
        psgd_turn_far(n, q, draws, w->more);
        if (psgd_skew(n, q) < 0.001) break;
    }
}

/* The factors' largest values are made the same. */
static void balance(pitot_tensor_state *t, const shape *s) {
    double most[2] = { 0 };
    for (int a = 0; a < 2; a++)
        for (int64_t i = 0; i < values_of(s, a); i++)
            most[a] = fmax(most[a], fabs((double)((const pitot_real *)t->state[FACTOR + a])[i]));
    if (!(most[0] > 0) || !(most[1] > 0)) return;
    for (int a = 0; a < 2; a++) {
        pitot_real *q = t->state[FACTOR + a], by = (pitot_real)(sqrt(most[0] * most[1]) / most[a]);
        for (int64_t i = 0; i < values_of(s, a); i++) q[i] *= by;
    }
}

static void apply_from_factors(const psgd_options *o, pitot_tensor_state *t, const shape *s) {
    for (int a = 0; a < s->axes && fits_p(o); a++)
        memcpy(t->state[APPLIED + a], t->state[FACTOR + a], (size_t)values_of(s, a) * sizeof(pitot_real));
    if (fits_p(o)) return;
    for (int a = 0; a < s->axes; a++) {
        const pitot_real *q = t->state[FACTOR + a];
        pitot_real *p = t->state[APPLIED + a];
        int64_t n = s->n[a];
        for (int64_t i = 0; i < n && !s->dense[a]; i++) p[i] = q[i] * q[i];
        if (!s->dense[a]) continue;
        blas_syrk(1, n, n, 1, q, n, 0, p, n);
        matrix_mirror(n, p);
    }
}

/* a: damping */
PITOT_HOT static void add_noise(void *job, int64_t begin, int64_t end, int thread) {
    const pass *p = job;
    const pitot_real *restrict g = p->x, *restrict v = p->y;
    pitot_real *restrict out = p->out, damping = p->a, e = (pitot_real)REAL_EPSILON;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        pitot_real size = g[i] < 0 ? -g[i] : g[i];
        out[i] = g[i] + (damping + e * size) * v[i];
    }
}

static int fits(const shape *s, const pitot_real *x) {
    return matrix_squares(x, 1, s->size, s->size) < MATRIX_MOST;
}

/* g: what is to be whitened. Products that leave the range leave the factors as they are. */
static void fit(const psgd_options *o, pitot_tensor_state *t, const shape *s, const pitot_real *g, const psgd_draws *draws,
                const room_of *w) {
    int eq = o->dq == EQ, first = eq ? FACTOR : APPLIED;
    draws->normal(draws->self, s->size, w->v);
    run(s->size, s->size, add_noise, (pass){ .a = (pitot_real)o->damping, .x = g, .y = w->v, .out = w->noise });
    multiply(s, t->state[first], t->state[first + 1], w->noise, w->d, w->half);
    if (eq) divide(s, t->state[FACTOR], t->state[FACTOR + 1], w->v);
    if (fits(s, w->d) && (!eq || fits(s, w->v))) {
        for (int a = 0; a < s->axes; a++) {
            double *bound = (double *)t->state[LIPSCHITZ] + a;
            square(s, a, w->d, w->t1);
            if (eq) square(s, a, w->v, w->t2);
            if (s->dense[a]) fit_dense(o, s, a, bound, draws, w, t->state[FACTOR + a]);
            else fit_diagonal(o, s, a, bound, w, t->state[FACTOR + a]);
        }
    }
    if (draws->uniform(draws->self) < 0.01 && s->axes == 2) balance(t, s);
    apply_from_factors(o, t, s);
    *(double *)t->state[COMPUTED] = (double)t->t;
}

/* ---- a step ---- */

/* out = a out + b x */
PITOT_HOT static void average(void *job, int64_t begin, int64_t end, int thread) {
    const pass *p = job;
    const pitot_real *restrict x = p->x;
    pitot_real *restrict out = p->out, keep = p->a, add = p->b;
    (void)thread;
    for (int64_t i = begin; i < end; i++) out[i] = keep * out[i] + add * x[i];
}

static void average_gradient(const psgd_options *o, pitot_tensor_state *t) {
    double before = (double)(t->t - 1), beta = fmin(before / (1 + before), o->momentum);
    run(t->size, t->size, average,
        (pass){ .a = (pitot_real)beta, .b = (pitot_real)(1 - beta), .x = t->g, .out = t->state[EXP_AVG] });
}

typedef struct move_job {
    pitot_real lr, scale, most;
    const pitot_real *d;
    pitot_real *x;
} move_job;

PITOT_HOT static void move(void *job, int64_t begin, int64_t end, int thread) {
    const move_job *j = job;
    const pitot_real *restrict d = j->d;
    pitot_real *restrict x = j->x, lr = j->lr, scale = j->scale, most = j->most;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        pitot_real di = scale * d[i];
        di = di > most ? most : di < -most ? -most : di;
        x[i] -= lr * di;
    }
}

static void step_tensor(pitot_stepping *s, pitot_tensor_state *t, int update, const psgd_draws *draws) {
    const psgd_options *o = s->options;
    shape k = shape_of(t, o);
    room r = { s->scratch, 0 };
    room_of w = take(&r, &k);
    if (t->t == 1) set_factors(o, t, &k, *(const double *)s->run[INIT_SCALE]);
    if (o->momentum > 0) average_gradient(o, t);
    const pitot_real *step = o->momentum > 0 ? t->state[EXP_AVG] : t->g, *white = o->whiten_grad ? t->g : step;
    if (update && o->update_preconditioner_first) fit(o, t, &k, white, draws, &w);
    multiply(&k, t->state[APPLIED], t->state[APPLIED + 1], step, w.d, w.half);
    double amp = sqrt(matrix_squares(w.d, 1, t->size, t->size) / (double)t->size), most = o->grad_clip_max_amps[0];
    double scale = amp > most ? most / amp : 1;
    move_job m = { (pitot_real)o->lr, (pitot_real)scale, (pitot_real)o->grad_clip_max_amps[1], w.d, t->x };
    threads_run(t->size >= WORTH_THREADS ? s->threads : 1, t->size, move, &m);
    if (update && !o->update_preconditioner_first) fit(o, t, &k, white, draws, &w);
}

int32_t psgd_kron_step(pitot_stepping *s, const psgd_draws *draws) {
    const psgd_options *o = s->options;
    double *scale = s->run[INIT_SCALE];
    if (matrix_bounded(s)) return PITOT_EHOST;
    if (!(*scale > 0)) *scale = first_scale(s, o);
    int update = draws->uniform(draws->self) < o->preconditioner_update_probability;
    for (int64_t i = 0; i < s->n; i++)
        if (s->tensor[i].g) step_tensor(s, &s->tensor[i], update, draws);
    return PITOT_OK;
}

/* ---- random numbers from (seed, t) ---- */

typedef struct stream {
    const pitot_stepping *s;
    uint64_t purpose, index, block; /* the next ones: of uniform numbers, of normal ones */
} stream;

static void normal(void *self, int64_t n, pitot_real *out) {
    stream *d = self;
    normals(d->s->seed, d->purpose, (uint64_t)d->s->t, d->block, d->s->threads, n, out);
    d->block += (uint64_t)(n + NORMALS_BLOCK - 1) / NORMALS_BLOCK;
}

static double uniform(void *self) {
    stream *d = self;
    return random_uniform(d->s->seed, d->purpose, (uint64_t)d->s->t, d->index++);
}

static int32_t step(pitot_stepping *s) {
    stream d = { .s = s, .purpose = random_purpose("psgd_kron") };
    return psgd_kron_step(s, &(psgd_draws){ normal, uniform, &d });
}

/* Factors as what multiplies the gradient; of vectors and single values the diagonal. */
static int32_t view(const pitot_stepping *s, int64_t i, int32_t n, pitot_preconditioner *view) {
    const pitot_tensor_state *t = &s->tensor[i];
    shape k = shape_of(t, s->options);
    int a = k.dense[0] || k.axes == 1 || !k.dense[1] ? n : !n; /* a dense one first */
    view->power = 1;
    view->computed = (int64_t) * (const double *)t->state[COMPUTED];
    if (k.axes == 1 && !k.dense[0]) {
        view->axis = -1;
        view->n = t->size;
        view->factor = t->state[APPLIED];
        return n ? PITOT_EINVAL : PITOT_OK;
    }
    if (n >= k.axes) return PITOT_EINVAL;
    view->axis = a;
    view->diagonal = !k.dense[a];
    view->n = k.n[a];
    view->factor = view->inverse = t->state[APPLIED + a];
    view->rows = view->n_rows = k.n[0];
    view->columns = view->n_columns = k.n[1];
    return PITOT_OK;
}

const pitot_optimizer pitot_optimizer_psgd_kron = {
    .struct_size = sizeof(pitot_optimizer),
    .abi = PITOT_ABI,
    .name = "psgd_kron",
    .summary = "a Kronecker-factored preconditioner fitted so that gradients become white, without inverses",
    .paper = "Li 2015, arXiv 1512.04202; Pooladzandi, Li 2024, arXiv 2402.04553; Li 2024, arXiv 2402.11858",
    .formula = "Qi -= mu/Li (Ti - D/ni I) Qi, Ti = (P g)(P g)'; P = kron(Q0'Q0, Q1'Q1); x -= lr clip(P m)",
    .memory = "2 n^2 values for each axis with n^2 <= max_skew D, 2 n for others; D values with momentum",
    .tensors = "more than two axes: a matrix (first axis, the rest); axes that are too long for a matrix (max_skew, max_size), and "
               "vectors: a diagonal",
    .cost = "a normal number a value; about 7 D n + 200 n^2 + 8 n^3 flops for each dense axis",
    .options_size = sizeof(psgd_options),
    .options = table,
    .check = check,
    .layout = layout,
    .step = step,
    .view = view,
};
