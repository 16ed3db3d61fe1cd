/* K-FAC's step by a quadratic model (step=model) against the same in full matrices: the Fisher matrix of all 43 parameters of a small net from the
   Jacobian of its outputs, written out for that net, the two unknowns by solving for them, the rules for damping line by line as in Martens and
   Grosse 2015, sections 6.4 to 7. */

#include "base/alloc.h"
#include "base/random.h"
#include "optim/core/optimizer.h"
#include "pitot/train.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { IN = 4, HID = 5, OUT = 3, N = 6, W1 = 0, B1 = HID * IN, W2 = B1 + HID, B2 = W2 + OUT * HID, D = B2 + OUT, WIDEST = 6 };

/* ---- small dense algebra ---- */

/* a (n,n) x = b (n,m), by elimination with pivots; b becomes x. */
static void solve(int n, int m, double *a, double *b) {
    for (int i = 0; i < n; i++) {
        int p = i;
        for (int k = i + 1; k < n; k++)
            if (fabs(a[k * n + i]) > fabs(a[p * n + i])) p = k;
        for (int j = 0; j < n; j++) {
            double t = a[i * n + j];
            a[i * n + j] = a[p * n + j];
            a[p * n + j] = t;
        }
        for (int j = 0; j < m; j++) {
            double t = b[i * m + j];
            b[i * m + j] = b[p * m + j];
            b[p * m + j] = t;
        }
        for (int k = 0; k < n; k++) {
            double f = a[k * n + i] / a[i * n + i];
            if (k == i) continue;
            for (int j = 0; j < n; j++) a[k * n + j] -= f * a[i * n + j];
            for (int j = 0; j < m; j++) b[k * m + j] -= f * b[i * m + j];
        }
    }
    for (int i = 0; i < n; i++)
        for (int j = 0; j < m; j++) b[i * m + j] /= a[i * n + i];
}

static double dot(const double *x, const double *y) {
    double sum = 0;
    for (int i = 0; i < D; i++) sum += x[i] * y[i];
    return sum;
}

/* ---- the net, written out ---- */

typedef struct problem {
    double x[N][IN];
    int y[N];
} problem;

typedef struct passed {
    double h[HID], p[OUT], loss;
} passed;

static void forward(const problem *q, const double *w, int n, passed *f) {
    double z[OUT], most = -INFINITY, sum = 0;
    for (int j = 0; j < HID; j++) {
        double a = w[B1 + j];
        for (int i = 0; i < IN; i++) a += w[W1 + j * IN + i] * q->x[n][i];
        f->h[j] = tanh(a);
    }
    for (int c = 0; c < OUT; c++) {
        z[c] = w[B2 + c];
        for (int j = 0; j < HID; j++) z[c] += w[W2 + c * HID + j] * f->h[j];
        most = fmax(most, z[c]);
    }
    for (int c = 0; c < OUT; c++) sum += f->p[c] = exp(z[c] - most);
    for (int c = 0; c < OUT; c++) f->p[c] /= sum;
    f->loss = -log(f->p[q->y[n]]);
}

/* Of diag p - p p', the loss's Hessian in the outputs. */
static double output_hessian(const passed *f, int c, int d) {
    return c == d ? f->p[c] - f->p[c] * f->p[c] : -f->p[c] * f->p[d];
}

/* Row c: dz_c/dw. */
static void jacobian(const problem *q, const double *w, int n, const passed *f, double jac[OUT][D]) {
    memset(jac, 0, sizeof(double) * OUT * D);
    for (int c = 0; c < OUT; c++) {
        jac[c][B2 + c] = 1;
        for (int j = 0; j < HID; j++) {
            double back = w[W2 + c * HID + j] * (1 - f->h[j] * f->h[j]);
            jac[c][W2 + c * HID + j] = f->h[j];
            jac[c][B1 + j] = back;
            for (int i = 0; i < IN; i++) jac[c][W1 + j * IN + i] = back * q->x[n][i];
        }
    }
}

typedef struct seen { /* at one point */
    double loss, grad[D], fisher[D][D];
    double a[2][WIDEST * WIDEST], s[2][WIDEST * WIDEST]; /* factors of both layers, bias as the last input */
} seen;

static double objective(const problem *q, const double *w, double decay) {
    double sum = 0;
    for (int n = 0; n < N; n++) {
        passed f;
        forward(q, w, n, &f);
        sum += f.loss / N;
    }
    return sum + decay / 2 * dot(w, w);
}

/* Factors of the exact Fisher: of a sample and a pair of outputs, root' root = diag p - p p'. */
static void add_factors(const problem *q, const double *w, int n, const passed *f, seen *s) {
    double in[2][WIDEST] = { { 0 } };
    for (int i = 0; i < IN; i++) in[0][i] = q->x[n][i];
    for (int j = 0; j < HID; j++) in[1][j] = f->h[j];
    in[0][IN] = in[1][HID] = 1;
    for (int l = 0; l < 2; l++) {
        int columns = l ? HID + 1 : IN + 1;
        for (int i = 0; i < columns; i++)
            for (int j = 0; j < columns; j++) s->a[l][i * columns + j] += in[l][i] * in[l][j] / N;
    }
    for (int c = 0; c < OUT; c++)
        for (int d = 0; d < OUT; d++) {
            double m = output_hessian(f, c, d);
            s->s[1][c * OUT + d] += m / N;
            for (int i = 0; i < HID; i++)
                for (int j = 0; j < HID; j++)
                    s->s[0][i * HID + j] +=
                        m * w[W2 + c * HID + i] * (1 - f->h[i] * f->h[i]) * w[W2 + d * HID + j] * (1 - f->h[j] * f->h[j]) / N;
        }
}

static void add_outer(seen *s, double by, const double *x, const double *y) {
    for (int i = 0; i < D; i++)
        for (int j = 0; j < D; j++) s->fisher[i][j] += by * x[i] * y[j];
}

static void look(const problem *q, const double *w, double decay, seen *s) {
    memset(s, 0, sizeof *s);
    s->loss = objective(q, w, decay);
    for (int i = 0; i < D; i++) s->grad[i] = decay * w[i];
    for (int n = 0; n < N; n++) {
        passed f;
        double jac[OUT][D];
        forward(q, w, n, &f);
        jacobian(q, w, n, &f, jac);
        add_factors(q, w, n, &f, s);
        for (int c = 0; c < OUT; c++) {
            double g = c == q->y[n] ? f.p[c] - 1 : f.p[c];
            for (int i = 0; i < D; i++) s->grad[i] += g * jac[c][i] / N;
            for (int d = 0; d < OUT; d++) add_outer(s, output_hessian(&f, c, d) / N, jac[c], jac[d]);
        }
    }
}

/* ---- the method, in full matrices ---- */

static double trace(const double *m, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += m[i * n + i];
    return sum;
}

/* Of layer l, into its places of d: -(S + gamma/pi I)^-1 G (A + pi gamma I)^-1. */
static void precondition(const seen *s, int l, double gamma, double *d) {
    int rows = l ? OUT : HID, columns = (l ? HID : IN) + 1, weight = l ? W2 : W1, bias = l ? B2 : B1;
    double a[WIDEST * WIDEST], c[WIDEST * WIDEST], g[WIDEST * WIDEST], t[WIDEST * WIDEST];
    double pi = sqrt(trace(s->a[l], columns) / columns / (trace(s->s[l], rows) / rows));
    memcpy(a, s->a[l], sizeof a);
    memcpy(c, s->s[l], sizeof c);
    for (int i = 0; i < columns; i++) a[i * columns + i] += pi * gamma;
    for (int i = 0; i < rows; i++) c[i * rows + i] += gamma / pi;
    for (int i = 0; i < rows; i++)
        for (int k = 0; k < columns; k++)
            g[i * columns + k] = k + 1 < columns ? s->grad[weight + i * (columns - 1) + k] : s->grad[bias + i];
    solve(rows, columns, c, g);
    for (int i = 0; i < rows; i++)
        for (int k = 0; k < columns; k++) t[k * rows + i] = g[i * columns + k];
    solve(columns, rows, a, t);
    for (int i = 0; i < rows; i++) {
        for (int k = 0; k + 1 < columns; k++) d[weight + i * (columns - 1) + k] = -t[k * rows + i];
        d[bias + i] = -t[(columns - 1) * rows + i];
    }
}

static double form(const seen *s, double e, const double *x, const double *y) {
    double sum = e * dot(x, y);
    for (int i = 0; i < D; i++)
        for (int j = 0; j < D; j++) sum += x[i] * s->fisher[i][j] * y[j];
    return sum;
}

typedef struct run {
    double w[D], before[D], lambda, gamma, decay, lr;
    int both; /* the step before is the second unknown, once there was one */
} run;

/* The step for that gamma, and M of it. */
static double plan(const run *r, const seen *s, double gamma, int first, double *step) {
    double d[D], e = r->lambda + r->decay, c[2];
    for (int l = 0; l < 2; l++) precondition(s, l, gamma, d);
    double dd = form(s, e, d, d), db = form(s, e, d, r->before), bb = form(s, e, r->before, r->before);
    c[0] = -dot(s->grad, d);
    c[1] = -dot(s->grad, r->before);
    if (r->both && !first) { /* eliminates the first unknown */
        c[1] = (c[1] - db / dd * c[0]) / (bb - db / dd * db);
        c[0] = (c[0] - db * c[1]) / dd;
    } else {
        c[1] = 0;
        c[0] /= dd;
    }
    for (int i = 0; i < D; i++) step[i] = c[0] * d[i] + c[1] * r->before[i];
    return form(s, e, step, step) / 2 + dot(s->grad, step);
}

static void step_by_hand(const problem *q, run *r, int t, int t_damping, int t_gamma) {
    static seen s;
    double step[D], best[D], least = INFINITY, w2 = pow(19 / 20.0, t_gamma / 2.0), w1 = pow(19 / 20.0, t_damping),
                             chosen = r->gamma;
    double tried[3] = { r->gamma, r->gamma * w2, r->gamma / w2 };
    look(q, r->w, r->decay, &s);
    for (int k = 0; k < (t % t_gamma == 0 ? 3 : 1); k++) {
        double value = plan(r, &s, tried[k], t == 1, step);
        if (!(value < least)) continue;
        least = value;
        chosen = tried[k];
        memcpy(best, step, sizeof best);
    }
    r->gamma = chosen;
    for (int i = 0; i < D; i++) {
        r->before[i] = r->lr * best[i];
        r->w[i] += r->before[i];
    }
    double promised = form(&s, r->lambda + r->decay, r->before, r->before) / 2 + dot(s.grad, r->before);
    double rho = (objective(q, r->w, r->decay) - s.loss) / promised;
    if (t % t_damping == 0) r->lambda *= rho > 0.75 ? w1 : rho < 0.25 ? 1 / w1 : 1;
}

/* ---- ours beside it ---- */

typedef struct rig {
    problem q;
    run r;
    pitot_net *net;
    pitot_optim *optim;
    pitot_provided provided;
    pitot_net_batch batch;
    pitot_real x[N * IN];
    int32_t classes[N];
} rig;

static int32_t try_rig(rig *g, const char *const *set, double scale, pitot_error *error) {
    memset(g, 0, sizeof *g);
    g->net = pitot_net_new("mlp", (const int64_t[]){ IN, 0 }, "cross_entropy", error);
    pitot_net_add(g->net, "linear", "fc1", NULL, "out_features=5", error);
    pitot_net_add(g->net, "tanh", NULL, NULL, NULL, error);
    pitot_net_add(g->net, "linear", "fc2", NULL, "out_features=3", error);
    assert_int_equal(pitot_net_prepare(g->net, N, 1, error), PITOT_OK);
    for (int i = 0; i < N * IN; i++) {
        g->x[i] = (pitot_real)(4 * random_uniform(3, 3, 0, (uint64_t)i) - 2);
        g->q.x[i / IN][i % IN] = (double)g->x[i];
    }
    static const int32_t classes[N] = { 0, 1, 2, 0, 1, 2 };
    memcpy(g->classes, classes, sizeof classes);
    for (int n = 0; n < N; n++) g->q.y[n] = classes[n];
    for (int64_t i = 0, at = 0; i < pitot_net_param_count(g->net); i++)
        for (int64_t k = 0; k < pitot_net_params(g->net)[i].size; k++, at++) {
            pitot_net_params(g->net)[i].data[k] = (pitot_real)(scale * (random_uniform(4, 3, 0, (uint64_t)at) - 0.5));
            g->r.w[at] = (double)pitot_net_params(g->net)[i].data[k];
        }
    g->batch = (pitot_net_batch){ .struct_size = sizeof g->batch, .n = N, .x = g->x, .classes = g->classes };
    g->optim = pitot_optim_new("kfac", error);
    static const char *const always[] = { "fisher", "exact", "stat_decay", "0",  "T_inv", "1", "T_first",
                                          "0",      "step",  "model",      "lr", "1",     NULL };
    for (int k = 0; k < 2; k++)
        for (const char *const *o = k ? set : always; *o; o += 2)
            if (pitot_optim_set(g->optim, o[0], o[1], error)) fail_msg("%s", error->text);
    return pitot_provide_prepare(&g->provided, g->net, g->optim, 1, error);
}

static void open_rig(rig *g, const char *const *set, double scale) {
    pitot_error error = { 0 };
    if (try_rig(g, set, scale, &error)) fail_msg("%s", error.text);
}

static void close_rig(rig *g) {
    pitot_optim_free(g->optim);
    pitot_provide_end(&g->provided);
    pitot_net_free(g->net);
}

static void step_ours(rig *g) {
    double loss;
    assert_int_equal(pitot_net_forward(g->net, &g->batch, &loss), PITOT_OK);
    assert_int_equal(pitot_net_backward(g->net), PITOT_OK);
    assert_int_equal(pitot_optim_step(g->optim), PITOT_OK);
}

static const double *damping_of(const rig *g) {
    pitot_optim_array a;
    for (int64_t j = 0; pitot_optim_state(g->optim, j, &a) == PITOT_OK; j++)
        if (strcmp(a.name, ":damping") == 0) return a.data;
    return NULL;
}

/* Round-off of six steps, each through inverses of conditions up to 10^4. */
static const double near = sizeof(pitot_real) == 8 ? 1e-10 : 3e-3;

static void compare(const rig *g, int t) {
    for (int64_t i = 0, at = 0; i < pitot_net_param_count(g->net); i++)
        for (int64_t k = 0; k < pitot_net_params(g->net)[i].size; k++, at++) {
            double x = (double)pitot_net_params(g->net)[i].data[k];
            if (!(fabs(x - g->r.w[at]) <= near)) fail_msg("step %d, value %d: %.12g, not %.12g", t, (int)at, x, g->r.w[at]);
        }
    const double *damping = damping_of(g);
    assert_non_null(damping);
    if (!(fabs(damping[0] / g->r.lambda - 1) < 1e-12)) fail_msg("step %d: lambda %g, not %g", t, damping[0], g->r.lambda);
    if (!(fabs(damping[1] / g->r.gamma - 1) < 1e-7)) fail_msg("step %d: gamma %g, not %g", t, damping[1], g->r.gamma);
}

typedef struct situation {
    const char *set[16];
    double damping, decay, lr;
    int both, t_damping, t_gamma;
    double scale; /* of the first weights */
} situation;

enum { NEVER = 1000 };

static int way(double before, double after) {
    return after > before ? 1 : after < before ? 2 : 0;
}

static void check_situation(const situation *o, int moved[2]) {
    rig g;
    open_rig(&g, o->set, o->scale);
    g.r.lambda = o->damping;
    g.r.decay = o->decay;
    g.r.lr = o->lr;
    g.r.gamma = sqrt(o->damping + o->decay);
    g.r.both = o->both;
    for (int t = 1; t <= 6; t++) {
        double lambda = g.r.lambda, gamma = g.r.gamma;
        step_by_hand(&g.q, &g.r, t, o->t_damping, o->t_gamma);
        step_ours(&g);
        compare(&g, t);
        moved[0] |= way(lambda, g.r.lambda);
        moved[1] |= way(gamma, g.r.gamma);
    }
    close_rig(&g);
}

static void test_steps(void **state) {
    (void)state;
    static const situation all[] = {
        { { "damping", "0.5", "momentum", "0", NULL }, 0.5, 0, 1, 0, NEVER, NEVER, 3 },
        { { "damping", "0.5", "momentum", "0.9", "weight_decay", "0.02", NULL }, 0.5, 0.02, 1, 1, NEVER, NEVER, 3 },
        { { "damping", "2", "lr", "0.5", "adapt_damping", "lambda", "T_damping", "2", NULL }, 2, 0, 0.5, 1, 2, NEVER, 3 },
        { { "damping", "0.01", "adapt_damping", "gamma", "T_damping", "1", "T_gamma", "2", "weight_decay", "0.05", NULL },
          0.01,
          0.05,
          1,
          1,
          1,
          2,
          3 },
        { { "damping", "1", "adapt_damping", "gamma", "T_damping", "1", "T_gamma", "3", NULL }, 1, 0, 1, 1, 1, 3, 3 },
        /* rho on either side of 1/4 and of 3/4, and near enough to tell what the model promises for a shorter step */
        { { "damping", "0.001", "lr", "0.3", "adapt_damping", "lambda", "T_damping", "1", NULL }, 0.001, 0, 0.3, 1, 1, NEVER, 6 },
    };
    int moved[2] = { 0, 0 };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) check_situation(&all[i], moved);
    if (moved[0] != 3 || moved[1] != 3) fail_msg("lambda went %d, gamma %d (1: up, 2: down)", moved[0], moved[1]);
}

static int32_t no_loss(void *user, double *loss) {
    (void)user;
    *loss = INFINITY;
    return PITOT_OK;
}

/* A step to where there is no loss is taken back bit by bit, with the step before forgotten, and damping rises. */
static void test_taken_back(void **state) {
    (void)state;
    rig g;
    open_rig(&g, (const char *const[]){ "adapt_damping", "lambda", "T_damping", "2", "damping", "0.5", NULL }, 3);
    step_ours(&g);
    pitot_real before[D], *x = pitot_net_params(g.net)[0].data;
    memcpy(before, x, B1 * sizeof *x);
    g.optim->source.loss = no_loss;
    step_ours(&g);
    assert_memory_equal(before, x, B1 * sizeof *x);
    assert_true(fabs(damping_of(&g)[0] - 0.5 / pow(0.95, 2)) < 1e-15);
    pitot_optim_array a;
    for (int64_t j = 0; pitot_optim_state(g.optim, j, &a) == PITOT_OK; j++)
        if (strstr(a.name, "momentum_buffer")) assert_true(((const pitot_real *)a.data)[0] == 0);
    step_ours(&g);
    assert_memory_not_equal(before, x, B1 * sizeof *x);
    close_rig(&g);
}

/* lr^2 <D,G>, biases apart with it, is no more than kl_clip: two first steps of one net, with lr 1 and without momentum. To round-off of weights. */
static void test_apart_clipped(void **state) {
    double moved[2][D], product = 0;
    (void)state;
    for (int clip = 0; clip < 2; clip++) {
        rig g;
        int64_t at = 0;
        open_rig(&g,
                 (const char *const[]){ "step", "fixed", "bias", "apart", "damping", "0.5", "momentum", "0", "kl_clip",
                                        clip ? "0.001" : "0", NULL },
                 3);
        step_ours(&g);
        for (int64_t i = 0; i < pitot_net_param_count(g.net); i++) {
            const pitot_net_param *p = &pitot_net_params(g.net)[i];
            for (int64_t k = 0; k < p->size; k++, at++) {
                moved[clip][at] = g.r.w[at] - (double)p->data[k];
                if (!clip) product += moved[0][at] * (double)p->grad[k];
            }
        }
        close_rig(&g);
    }
    assert_true(product > 0.001);
    for (int i = 0; i < D; i++) assert_true(fabs(moved[1][i] - sqrt(0.001 / product) * moved[0][i]) <= 0.01 * near);
}

static void test_refused(void **state) {
    (void)state;
    static const char *const sets[][8] = { { "adapt_damping", "lambda", "step", "fixed", NULL },
                                           { "bias", "apart", "damping_form", "eigen", NULL },
                                           { "keep_damping", "true", "damping_form", "eigen", NULL },
                                           { "keep_damping", "true", "step", "model", "adapt_damping", "gamma", NULL } };
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        pitot_error error = { 0 };
        rig g;
        assert_int_equal(try_rig(&g, sets[i], 1, &error), PITOT_EINVAL);
        assert_true(strstr(error.text, "optimizer kfac: ") && strstr(error.text, "; set "));
        close_rig(&g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_steps), cmocka_unit_test(test_taken_back),
                                        cmocka_unit_test(test_apart_clipped), cmocka_unit_test(test_refused) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
