/* The probe precond_staleness in a run with our own optimizers: what it says against what follows from pitot_optim_view, blocks put together
   here, with the bias's gradient as a column of the matrix and not by its id; ages; refusals. pitot/stale.h itself: test_stale.c. */

#include "pitot/hooks.h"
#include "pitot/stale.h"
#include "pitot/train.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { SAMPLES = 8, INPUTS = 2 * 5 * 4, MOST = 256, FIELDS = 9 };

static const double tolerance =
    sizeof(pitot_real) == 8 ? 1e-9 : 2e-3; /* the same sums in another order, then differences of them */

typedef struct rig {
    pitot_net *net;
    pitot_optim *optim;
    pitot_provided provided;
    pitot_run *run;
    pitot_attached attached;
    pitot_net_batch batch;
    pitot_real x[SAMPLES * INPUTS];
    int32_t classes[SAMPLES];
} rig;

static void attach(rig *r, const char *options) {
    static pitot_real other[3];
    r->run = pitot_open(NULL, &(pitot_config){ sizeof(pitot_config), .probes = "precond_staleness", .options = options });
    pitot_param p = { .struct_size = sizeof p, .name = "other", .shape = { 3 }, .data = other }; /* ids are not the net's own */
    assert_int_equal(pitot_add_param(r->run, &p), 1);
    assert_int_equal(pitot_attach(&r->attached, r->net, r->run), PITOT_OK);
    r->attached.optim = r->optim;
}

static void open_rig(rig *r, const char *method, const char *const *set, const char *options) {
    pitot_error error = { 0 };
    *r = (rig){ .net = pitot_net_new("small", (const int64_t[]){ 2, 5, 4, 0 }, "cross_entropy", &error) };
    pitot_net_add(r->net, "conv2d", "conv", NULL, "out_channels=4, kernel=3,2, stride=2,1, padding=1, groups=2", &error);
    pitot_net_add(r->net, "tanh", NULL, NULL, NULL, &error);
    pitot_net_add(r->net, "flatten", NULL, NULL, NULL, &error);
    pitot_net_add(r->net, "linear", "fc", NULL, "out_features=3", &error);
    if (pitot_net_prepare(r->net, SAMPLES, 1, &error)) fail_msg("%s", error.text);
    assert_int_equal(pitot_net_init(r->net, 3), PITOT_OK);
    for (int i = 0; i < SAMPLES * INPUTS; i++) r->x[i] = (pitot_real)sin(1.7 * i * i + 0.3 * i);
    for (int i = 0; i < SAMPLES; i++) r->classes[i] = i * i % 3;
    r->batch = (pitot_net_batch){ sizeof r->batch, .n = SAMPLES, .x = r->x, .classes = r->classes, .training = 1 };
    r->optim = pitot_optim_new(method, &error);
    for (; *set; set += 2)
        if (pitot_optim_set(r->optim, set[0], set[1], &error)) fail_msg("%s", error.text);
    pitot_optim_plan(r->optim, 20, 5);
    if (pitot_provide_prepare(&r->provided, r->net, r->optim, 1, &error)) fail_msg("%s: %s", method, error.text);
    attach(r, options);
}

static void close_rig(rig *r) {
    pitot_close(r->run, PITOT_DONE);
    pitot_optim_free(r->optim);
    pitot_provide_end(&r->provided);
    pitot_net_free(r->net);
}

/* A step as the probe sees it, the update not yet made; samples change from step to step. */
static void pass(rig *r, int64_t step) {
    double loss;
    for (int i = 0; i < SAMPLES * INPUTS; i++) r->x[i] = (pitot_real)sin(1.7 * i * i + (0.3 + 0.07 * (double)step) * i);
    pitot_begin(r->run, step);
    assert_int_equal(pitot_net_forward(r->net, &r->batch, &loss), PITOT_OK);
    pitot_attached_forward(&r->attached, &r->batch, loss);
    assert_int_equal(pitot_net_backward(r->net), PITOT_OK);
    assert_int_equal(pitot_attached_backward(&r->attached), PITOT_OK);
    assert_int_equal(pitot_after_update(r->run, 0.1), PITOT_OK); /* which hands the values over */
}

static void finish(rig *r) {
    assert_int_equal(pitot_optim_step(r->optim), PITOT_OK);
}

/* ---- what it must say ---- */

static const char *const fields[FIELDS] = {
    "", ".age", ".drift", ".error", ".inverse_error", ".condition", ".condition_after", ".angle", ".lost"
};

typedef struct want {
    double most[FIELDS];
    pitot_stale_update u;
    int blocks;
} want;

static void raise_to(double *x, double value) {
    if (!isnan(value) && !(*x >= value)) *x = value;
}

static void count_factor(want *w, const pitot_stale_factor *f, double age) {
    const double v[] = { f->basis_error, age, f->value_error, f->error, f->inverse_error, f->condition, f->condition_after };
    for (int i = 0; i < 7; i++) raise_to(&w->most[i], v[i]);
}

static void count_update(want *w, const pitot_stale_update *u) {
    if (!isfinite(u->lost)) return;
    w->blocks++;
    w->u.along += u->along, w->u.stale += u->stale, w->u.fresh += u->fresh;
    w->u.dot += u->dot, w->u.stale_square += u->stale_square, w->u.fresh_square += u->fresh_square;
}

static void conclude(want *w) {
    double cosine = w->u.dot / sqrt(w->u.stale_square * w->u.fresh_square);
    if (!w->blocks) return;
    w->most[7] = acos(fmin(1, cosine)) * 180 / M_PI;
    w->most[8] = fmax(0, 1 - w->u.along * w->u.along / (w->u.stale * w->u.fresh));
}

static void must_say(const rig *r, const char *tensor, const want *w, int64_t step) {
    for (int i = 0; i < FIELDS; i++) {
        char name[128];
        double value = NAN;
        int64_t at = -1;
        snprintf(name, sizeof name, "precond_staleness%s%s%s", fields[i], *tensor ? "/" : "", tensor);
        int32_t status = pitot_value(r->run, name, &value, &at);
        if (isnan(w->most[i])) {
            if (status == PITOT_OK && at == step) fail_msg("%s: %g where there is nothing to say", name, value);
            continue;
        }
        double off =
            i == 7 ? 1e-4 * (sizeof(pitot_real) == 8 ? 1 : 100) : tolerance * (1 + fabs(w->most[i])); /* acos near 1: root of eps */
        if (status || at != step || !(fabs(value - w->most[i]) <= off || value == w->most[i]))
            fail_msg("%s: %.15g, not %.15g (step %d)", name, value, w->most[i], (int)at);
    }
}

/* The block of tensor i that the two are about, the bias (the net's next tensor) its last column where it is. */
static void gather(const rig *r, int64_t i, const pitot_preconditioner *any, int64_t n, int64_t own, pitot_real *g) {
    const pitot_net_param *p = &pitot_net_params(r->net)[i];
    int64_t rows = p->shape[0], columns = p->size / rows;
    for (int64_t k = 0; k < rows - any->first_row; k++)
        for (int64_t j = 0; j < n; j++)
            g[k * n + j] =
                j < own ? p->grad[(any->first_row + k) * columns + any->first_column + j] : p[1].grad[any->first_row + k];
}

static want tensor_want(const rig *r, int64_t i, want *all) {
    want w = { .u.struct_size = sizeof w.u };
    pitot_preconditioner v[16], l, q;
    int n = 0;
    for (int k = 0; k < FIELDS; k++) w.most[k] = NAN;
    while (n < 16 && pitot_optim_view(r->optim, i, n, &v[n]) == PITOT_OK) n++;
    for (int k = 0; k + 1 < n; k += 2) { /* all of our methods show the rows' factor first, then the columns' */
        pitot_real g[MOST];
        pitot_stale_factor a, b;
        pitot_stale_update u;
        l = v[k], q = v[k + 1];
        assert_true(l.axis == 0 && q.axis == 1 && l.first_row == q.first_row && l.n * q.n <= MOST);
        assert_int_equal(q.bias, q.bias_column ? i + 2 : 0);
        gather(r, i, &l, q.n, q.n - q.bias_column, g);
        q.bias_column = 0;
        assert_int_equal(pitot_stale(&l, &q, l.n, q.n, g, q.n, NULL, &a, &b, &u), PITOT_OK);
        double age = (double)(pitot_optim_steps(r->optim) + 1);
        count_factor(&w, &a, age - (double)l.computed), count_factor(&w, &b, age - (double)q.computed), count_update(&w, &u);
        count_factor(all, &a, age - (double)l.computed), count_factor(all, &b, age - (double)q.computed), count_update(all, &u);
    }
    if (n == 1 && v[0].axis == 0) { /* a vector's */
        pitot_stale_factor a;
        pitot_stale_update u;
        double age = (double)(pitot_optim_steps(r->optim) + 1 - v[0].computed);
        assert_int_equal(pitot_stale(&v[0], NULL, v[0].n, 1, pitot_net_params(r->net)[i].grad, 1, NULL, &a, NULL, &u), PITOT_OK);
        count_factor(&w, &a, age), count_update(&w, &u), count_factor(all, &a, age), count_update(all, &u);
    }
    conclude(&w);
    return w;
}

static want check_step(const rig *r, int64_t step) {
    want all = { .u.struct_size = sizeof all.u };
    for (int k = 0; k < FIELDS; k++) all.most[k] = NAN;
    for (int64_t i = 0; i < pitot_net_param_count(r->net); i++) {
        want w = tensor_want(r, i, &all);
        must_say(r, pitot_net_params(r->net)[i].name, &w, step);
    }
    conclude(&all);
    must_say(r, "", &all, step);
    return all;
}

typedef struct method {
    const char *name, *set[7];
    int64_t interval, first; /* between refreshes, the first update with one, by the method's own rule */
    int blocks;              /* that have an update */
} method;

static const method methods[] = {
    { "shampoo", { "precondition_frequency", "4", "start_preconditioning_step", "1", NULL }, 4, 4, 4 },
    { "soap", { "precondition_frequency", "4", NULL }, 4, 1, 2 },
    { "eshampoo", { "precondition_frequency", "4", NULL }, 4, 4, 4 },
    { "kfac", { "T_inv", "4", "T_first", "0", NULL }, 4, 1, 3 },
    { "kfac", { "T_inv", "4", "T_first", "0", "damping_form", "eigen", NULL }, 4, 1, 3 },
    { "ekfac", { "update_freq", "4", "stat_decay", "0.9", NULL }, 4, 1, 3 },
    { "singd", { NULL }, 0, 0, 3 },
};

static void test_methods(void **state) {
    (void)state;
    for (size_t m = 0; m < sizeof methods / sizeof *methods; m++) {
        rig r;
        double lost = 0;
        open_rig(&r, methods[m].name, methods[m].set, NULL);
        for (int64_t t = 0; t < 11; t++) { /* t updates made */
            pass(&r, 100 + t);
            if (t) {
                want w = check_step(&r, 100 + t);
                int64_t every = methods[m].interval, age = every ? (t - methods[m].first % every) % every + 1 : 0;
                if (every && t >= methods[m].first && strcmp(methods[m].name, "eshampoo")) assert_true(w.most[1] == (double)age);
                if (w.blocks) lost = fmax(lost, w.most[8]);
                if (w.blocks && t > methods[m].first) assert_int_equal(w.blocks, methods[m].blocks);
            }
            assert_string_equal(pitot_last_error(r.run), "");
            finish(&r);
        }
        if (methods[m].interval && !(lost > 1e-3)) fail_msg("%s lost %g: nothing was stale", methods[m].name, lost);
        pitot_close(r.run, PITOT_DONE); /* another run, with steps of its own, in the midst of the optimizer's */
        attach(&r, NULL);
        pass(&r, 7);
        check_step(&r, 7);
        close_rig(&r);
    }
}

/* Refreshed in every update, a preconditioner is the fresh one; round-off of pitot_real bases is what is left. */
static void test_fresh(void **state) {
    (void)state;
    static const method every[] = {
        { .name = "shampoo", .set = { "precondition_frequency", "1", NULL } },
        { .name = "kfac", .set = { "T_inv", "1", NULL } },
        { .name = "kfac", .set = { "T_inv", "1", "damping_form", "eigen", NULL } },
        { .name = "ekfac", .set = { "update_freq", "1", NULL } },
    };
    for (size_t m = 0; m < sizeof every / sizeof *every; m++) {
        rig r;
        double round_off = sizeof(pitot_real) == 8 ? 1e-9 : 1e-3, interval;
        int64_t at;
        open_rig(&r, every[m].name, every[m].set, NULL);
        for (int64_t t = 0; t < 5; t++) {
            pass(&r, t);
            want w = { 0 };
            if (t) w = check_step(&r, t);
            if (t && !(w.most[8] < round_off && !(w.most[0] > round_off) && w.most[1] == 1))
                fail_msg("%s: lost %g, off-diagonal %g, age %g", every[m].name, w.most[8], w.most[0], w.most[1]);
            finish(&r);
        }
        assert_int_equal(pitot_value(r.run, "precond_staleness.interval", &interval, &at),
                         PITOT_ENOTSUP); /* of age nothing was seen */
        close_rig(&r);
    }
}

static double value_of(const rig *r, const char *field) {
    char name[64];
    double value = NAN;
    int64_t at;
    snprintf(name, sizeof name, "precond_staleness.%s", field);
    pitot_value(r->run, name, &value, &at);
    return value;
}

/* The steepest rate since the last refresh, ages less one; cost as it is set, or measured. */
static void test_interval(void **state) {
    (void)state;
    for (int set = 0; set < 2; set++) {
        rig r;
        double lost = NAN, age = NAN;
        open_rig(&r, "kfac", (const char *const[]){ "T_inv", "5", "T_first", "0", NULL },
                 set ? "precond_staleness.refresh=3" : NULL);
        for (int64_t t = 0; t < 14; t++) {
            pass(&r, 20 + t);
            double a = value_of(&r, "age"), l = value_of(&r, "lost"), cost = value_of(&r, "cost");
            if (a == 2 || (a > 2 && l / (a - 1) >= lost / age)) lost = l, age = a - 1;
            if (t > 2) {
                assert_true(cost > 0 && (!set || cost == 3));
                double best = pitot_stale_interval(cost, lost, age), is = value_of(&r, "interval");
                if (!(fabs(is - best) <= 1e-9 * best) || !(is >= 1)) fail_msg("interval %g, not %g, at age %g", is, best, a);
            }
            finish(&r);
        }
        close_rig(&r);
    }
}

static void test_diagonal(void **state) {
    (void)state;
    rig r;
    open_rig(&r, "adam", (const char *const[]){ NULL }, NULL);
    for (int64_t t = 0; t < 6; t++) {
        double g2 = 0, v2 = 0, gv = 0;
        pass(&r, t);
        for (int64_t i = 0; t && i < pitot_net_param_count(r.net); i++) {
            const pitot_net_param *p = &pitot_net_params(r.net)[i];
            pitot_preconditioner v;
            assert_int_equal(pitot_optim_view(r.optim, i, 0, &v), PITOT_OK);
            for (int64_t k = 0; k < p->size; k++) {
                double g = (double)p->grad[k], second = v.bias_correction * (double)v.factor[k];
                g2 += g * g, v2 += second, gv += fabs(g) * sqrt(second);
            }
        }
        if (t) assert_true(fabs(value_of(&r, "moment_ratio") - g2 / v2) <= tolerance * g2 / v2);
        if (t) assert_true(fabs(value_of(&r, "moment_overlap") - gv / sqrt(g2 * v2)) <= tolerance);
        assert_true(isnan(value_of(&r, "lost")) && isnan(value_of(&r, "interval")));
        finish(&r);
    }
    close_rig(&r);
}

/* The linear layer's columns have more than 30 rows: what remains is the convolution's, and the remaining factor of the linear layer. */
static void test_largest(void **state) {
    (void)state;
    rig r;
    char text[4096];
    double x;
    int64_t at;
    open_rig(&r, "kfac", (const char *const[]){ NULL }, "precond_staleness.largest=30");
    for (int64_t t = 0; t < 3; t++) pass(&r, t), finish(&r);
    assert_int_equal(pitot_value(r.run, "precond_staleness.lost/conv.weight", &x, &at), PITOT_OK);
    assert_int_equal(pitot_value(r.run, "precond_staleness.lost/fc.weight", &x, &at), PITOT_ENOTSUP);
    assert_int_equal(pitot_value(r.run, "precond_staleness.inverse_error/fc.weight", &x, &at), PITOT_OK);
    assert_true(pitot_report(r.run, text, sizeof text) < (int64_t)sizeof text);
    if (!strstr(text, "1 factors of more than `largest` rows are left out")) fail_msg("no remark: %s", text);
    close_rig(&r);
}

/* A (3,4) tensor of a host's: one factor good, one not; and one of an axis that is none of the matrix's. */
static void test_nonsense(void **state) {
    (void)state;
    static pitot_real w[12], g[12] = { 1, -2, 3, 1, 1, 2, 0, 1, -1, 1, 2, 1 }, A[144], B[144], C[144];
    for (int bad = 0; bad < 6; bad++) {
        double x;
        int64_t at;
        pitot_run *run = pitot_open(NULL, &(pitot_config){ sizeof(pitot_config), .probes = "precond_staleness" });
        assert_int_equal(pitot_add_param(run, &(pitot_param){ sizeof(pitot_param), "W", w, g, .shape = { 3, 4 } }), 1);
        int m = bad == 5 ? 12 : 3, n = bad == 4 ? 5 : 4;
        for (int i = 0; i < 144; i++) A[i] = i % (m + 1) == 0 ? 2 : 0, B[i] = i % (n + 1) == 0 ? 2 : 0;
        memcpy(C, B, sizeof C);
        pitot_preconditioner left = { sizeof left, .param = 1, .axis = 0, .n = 3, .factor = A, .inverse = A, .power = -1 },
                             right = { sizeof right, .param = 1, .axis = 1, .n = 4, .factor = B, .inverse = C, .power = -1 };
        if (bad == 1) right.n = 5;
        if (bad == 2) C[7] = NAN;
        if (bad == 3) right.factor = NULL;
        if (bad == 4) right.bias_column = 1, right.bias = 77, right.n = 5;
        if (bad == 5) left.n = 12; /* of the tensor laid flat */
        pitot_begin(run, 1);
        pitot_after_forward(run, &(pitot_batch){ sizeof(pitot_batch), .n = 2, .loss = 1 });
        assert_int_equal(pitot_add_preconditioner(run, &left), PITOT_OK);
        int32_t status = pitot_add_preconditioner(run, &right);
        assert_int_equal(status, bad == 1 || bad == 3 || bad == 4 ? PITOT_EINVAL : bad == 2 ? PITOT_EHOST : PITOT_OK);
        assert_true((*pitot_last_error(run) != 0) == (bad >= 1 && bad <= 4));
        assert_int_equal(pitot_after_backward(run), PITOT_OK);
        assert_int_equal(pitot_after_update(run, 0.1), PITOT_OK);
        assert_int_equal(pitot_value(run, "precond_staleness.inverse_error/W", &x, &at), PITOT_OK); /* of the factor that is left */
        assert_int_equal(pitot_value(run, "precond_staleness.lost/W", &x, &at) == PITOT_OK, bad != 5);
        pitot_close(run, PITOT_DONE);
    }
}

/* ---- a host's views that make no sense ---- */

typedef struct host {
    pitot_run *run;
    pitot_real w[12], g[12], A[16], B[16], nan[16], v[12];
    pitot_preconditioner left, right;
} host;

static void open_host(host *h) {
    *h = (host){ .run = pitot_open(NULL, &(pitot_config){ sizeof(pitot_config), .probes = "precond_staleness" }) };
    assert_int_equal(pitot_add_param(h->run, &(pitot_param){ sizeof(pitot_param), "W", h->w, h->g, .shape = { 3, 4 } }), 1);
    for (int i = 0; i < 12; i++) h->g[i] = (pitot_real)(1 + i % 5), h->v[i] = 4;
    for (int i = 0; i < 16; i++) h->B[i] = i % 5 == 0 ? 2 : 0, h->A[i] = i % 4 == 0 ? 2 : 0, h->nan[i] = NAN;
    h->left = (pitot_preconditioner){ sizeof h->left, .param = 1,      .axis = 0,   .n = 3,
                                      .factor = h->A, .inverse = h->A, .power = -1, .computed = 3 };
    h->right = h->left;
    h->right.axis = 1, h->right.n = 4, h->right.factor = h->right.inverse = h->B;
    pitot_begin(h->run, 5);
    pitot_after_forward(h->run, &(pitot_batch){ sizeof(pitot_batch), .n = 2, .loss = 1 });
}

static double close_host(host *h, const char *name, char *text, size_t room) {
    double value = NAN;
    int64_t at;
    assert_int_equal(pitot_after_backward(h->run), PITOT_OK);
    assert_int_equal(pitot_after_update(h->run, 0.1), PITOT_OK);
    if (pitot_value(h->run, name, &value, &at)) value = NAN;
    if (text) pitot_report(h->run, text, room);
    pitot_close(h->run, PITOT_DONE);
    return value;
}

static void test_hostile(void **state) {
    (void)state;
    static char text[8192];
    host h;
    for (int bad = 0; bad < 9; bad++) {
        open_host(&h);
        pitot_preconditioner p = h.left;
        if (bad == 0) p.computed = 6; /* to come */
        if (bad == 1) p.struct_size = 24;
        if (bad == 2) p.struct_size = 0;
        if (bad == 3) p.n = 0;
        if (bad == 4) p.param = 2;
        if (bad == 5) p.param = 0; /* all of them, but not a diagonal */
        if (bad == 6) p.basis = h.nan;
        if (bad == 7) p.basis = h.A, p.corrected = h.nan, p.corrected_power = -1;
        if (bad == 8) p.axis = -1, p.param = 0, p.n = 12, p.factor = h.nan;
        assert_int_equal(pitot_add_preconditioner(h.run, &p), bad < 6 ? PITOT_EINVAL : PITOT_EHOST);
        assert_true(*pitot_last_error(h.run) != 0);
        if (bad == 0 && !strstr(pitot_last_error(h.run), "step 6")) fail_msg("%s", pitot_last_error(h.run));
        assert_int_equal(pitot_add_preconditioner(h.run, NULL), PITOT_EINVAL);
        assert_int_equal(pitot_add_preconditioner(h.run, &h.right), PITOT_OK); /* the others stay */
        assert_true(close_host(&h, "precond_staleness.age", NULL, 0) == 2);
    }
    for (int bad = 0; bad < 3; bad++) { /* seen only when they are looked at: left out, and said so */
        open_host(&h);
        if (bad == 0) h.A[1] = 3; /* a triangle alone */
        if (bad == 1) h.A[8] = -2;
        if (bad == 2) h.left.basis = h.A; /* its columns are of length 2 */
        assert_int_equal(pitot_add_preconditioner(h.run, &h.left), PITOT_OK);
        assert_int_equal(pitot_add_preconditioner(h.run, &h.right), PITOT_OK);
        double condition = close_host(&h, "precond_staleness.condition", text, sizeof text);
        assert_true(condition == 1);
        if (!strstr(text, "1 factors left out: not symmetric, not positive")) fail_msg("no remark: %s", text);
    }
}

/* Shown once more, with the next micro-batch, a factor takes the place of what it was. */
static void test_shown_again(void **state) {
    (void)state;
    host h;
    open_host(&h);
    for (int k = 0; k < 2; k++) {
        h.left.computed = h.right.computed = 2 + k;
        assert_int_equal(pitot_add_preconditioner(h.run, &h.left), PITOT_OK);
        assert_int_equal(pitot_add_preconditioner(h.run, &h.right), PITOT_OK);
    }
    assert_true(close_host(&h, "precond_staleness.age", NULL, 0) == 2);
}

/* Diagonals: an age where one is told; of what multiplies as it is (power 1) the second moment is that of its inverse. */
static void test_diagonal_views(void **state) {
    (void)state;
    for (int k = 0; k < 3; k++) {
        host h;
        double g2 = 0, gv = 0, v = k == 1 ? 1 / 16.0 : 4;
        const char *const name[] = { "precond_staleness.age", "precond_staleness.moment_ratio",
                                     "precond_staleness.moment_overlap" };
        for (int i = 0; i < 3; i++) {
            open_host(&h);
            pitot_preconditioner p = { sizeof p, .param = 1,    .axis = -1,
                                       .n = 12,  .factor = h.v, .power = k == 1 ? 1 : k == 2 ? -1 : -0.5 };
            p.computed = k == 2 ? 3 : 0;
            assert_int_equal(pitot_add_preconditioner(h.run, &p), PITOT_OK);
            g2 = gv = 0;
            for (int j = 0; j < 12; j++) g2 += (double)h.g[j] * (double)h.g[j], gv += (double)h.g[j] * sqrt(v);
            double value = close_host(&h, name[i], NULL, 0), is[] = { k == 2 ? 2 : NAN, g2 / (12 * v), gv / sqrt(g2 * 12 * v) };
            if (isnan(value) != isnan(is[i]) || fabs(value - is[i]) > tolerance) fail_msg("%s: %g, not %g", name[i], value, is[i]);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_methods),  cmocka_unit_test(test_fresh),       cmocka_unit_test(test_interval),
        cmocka_unit_test(test_diagonal), cmocka_unit_test(test_largest),     cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_hostile),  cmocka_unit_test(test_shown_again), cmocka_unit_test(test_diagonal_views),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
