/* The GGN in Gram space, of every op and of nets of all kinds: its eigenpairs rebuild products with the GGN as tangents, the losses' second
   derivatives written out, and transposed products make it, sample by sample; so do derivatives along them; steps against sums of those. */

#include "nets.h"

#include "base/blas.h"
#include "curve/vivit.h"

/* Sums of about a thousand products of a few dozen rounded values. */
static const double exact = sizeof(pitot_real) == 8 ? 1e-10 : 2e-4;

/* ---- what it must be ---- */

static double probability(int64_t c, const pitot_real *f, int64_t i) {
    double sum = 0;
    for (int64_t j = 0; j < c; j++) sum += exp((double)f[j] - (double)f[i]);
    return 1 / sum;
}

/* The second derivative of a sample's own loss times x. */
static void loss_hessian(const char *loss, int64_t c, const pitot_real *f, const double *x, double *out) {
    for (int64_t i = 0; i < c; i++) {
        double sigmoid = 1 / (1 + exp(-(double)f[i]));
        out[i] = strcmp(loss, "mse") == 0 ? 2 * x[i] / (double)c : sigmoid * (1 - sigmoid) / (double)c * x[i];
        if (strcmp(loss, "cross_entropy") != 0) continue;
        double mean = 0;
        for (int64_t j = 0; j < c; j++) mean += probability(c, f, j) * x[j];
        out[i] = probability(c, f, i) * (x[i] - mean);
    }
}

/* 1/M sum s s' x of M drawn columns. */
static void drawn_hessian(const pitot_net *net, const pitot_vivit_config *how, int64_t sample, const double *x, double *out) {
    int64_t c = net->node[net->n_nodes - 1].out.size;
    pitot_real *s = vector(how->draws * c);
    draw_key key = { how->seed, sample };
    net->loss->draw(c, pitot_net_output(net) + sample * c, &key, 0, how->draws, s);
    for (int64_t i = 0; i < c; i++) out[i] = 0;
    for (int64_t d = 0; d < how->draws; d++) {
        double along = 0;
        for (int64_t i = 0; i < c; i++) along += (double)s[d * c + i] * x[i];
        for (int64_t i = 0; i < c; i++) out[i] += along * (double)s[d * c + i] / (double)how->draws;
    }
    mem_free(s);
}

static void gradient_of_loss(const pitot_net *net, int64_t sample, double *out) {
    int64_t c = net->node[net->n_nodes - 1].out.size;
    const pitot_real *f = pitot_net_output(net) + sample * c, *t = data.targets + sample * c;
    for (int64_t i = 0; i < c; i++) {
        if (strcmp(net->loss->name, "cross_entropy") == 0) out[i] = probability(c, f, i) - (data.classes[sample] == i);
        else if (strcmp(net->loss->name, "mse") == 0) out[i] = 2 * (double)(f[i] - t[i]) / (double)c;
        else out[i] = (1 / (1 + exp(-(double)f[i])) - (double)t[i]) / (double)c;
    }
}

typedef struct subject {
    const net_case *c;
    pitot_net *net;
    pitot_vivit_config how;
    pitot_vivit *v;
    int64_t n, n_grad, outputs, ggn[ROOM], grad[ROOM];
} subject;

static subject subject_of(const net_case *c, int64_t n, const pitot_vivit_config *how) {
    subject s = { .c = c, .net = passed(c, n, 2), .how = *how };
    pitot_error error = { 0 };
    s.how.struct_size = sizeof s.how;
    s.how.net = s.net;
    s.outputs = outputs_of(s.net);
    s.n = how->ggn_samples ? how->n_ggn : n;
    s.n_grad = how->grad_samples ? how->n_grad : n;
    for (int64_t i = 0; i < s.n; i++) s.ggn[i] = how->ggn_samples ? how->ggn_samples[i] : i;
    for (int64_t i = 0; i < s.n_grad; i++) s.grad[i] = how->grad_samples ? how->grad_samples[i] : i;
    s.v = pitot_vivit_new(&s.how, &error);
    if (!s.v) fail_msg("%s: %s", c->what, error.text);
    return s;
}

static void subject_free(subject *s) {
    pitot_vivit_free(s->v);
    pitot_net_free(s->net);
}

/* From a group's vector to the net's, zeros elsewhere; or back. */
static void spread(const subject *s, int32_t group, pitot_real *of_group, pitot_real *of_net, int back) {
    const int64_t *at = s->v->group[group].at;
    if (!back) memset(of_net, 0, (size_t)s->net->size * sizeof *of_net);
    for (int64_t i = 0; i < s->net->n_params; i++)
        for (int64_t j = 0; at[i] >= 0 && j < s->net->param[i].size; j++) {
            pitot_real *a = of_group + at[i] + j, *b = of_net + s->net->flat[i] + j;
            if (back) *a = *b;
            else *b = *a;
        }
}

static void sample_hessian(const subject *s, int64_t sample, const pitot_real *jx, double *out) {
    double *x = mem_alloc(s->outputs, sizeof *x);
    for (int64_t i = 0; i < s->outputs; i++) x[i] = (double)jx[sample * s->outputs + i];
    if (s->how.draws) drawn_hessian(s->net, &s->how, sample, x, out);
    else loss_hessian(s->net->loss->name, s->outputs, pitot_net_output(s->net) + sample * s->outputs, x, out);
    mem_free(x);
}

/* G x = 1/n sum over samples J_n' H_n J_n x, of a group's x */
static void product(const subject *s, int32_t group, pitot_real *x, pitot_real *out) {
    pitot_real *all = vector(s->net->size), *jx = vector(s->net->last.n * s->outputs), *u = vector(s->net->last.n * s->outputs);
    double *h = mem_alloc(s->outputs, sizeof *h);
    spread(s, group, x, all, 0);
    assert_int_equal(pitot_net_jvp(s->net, all, jx), PITOT_OK);
    memset(u, 0, (size_t)(s->net->last.n * s->outputs) * sizeof *u);
    for (int64_t j = 0; j < s->n; j++) {
        sample_hessian(s, s->ggn[j], jx, h);
        for (int64_t i = 0; i < s->outputs; i++) u[s->ggn[j] * s->outputs + i] = (pitot_real)(h[i] / (double)s->n);
    }
    assert_int_equal(pitot_net_vjp(s->net, u, all), PITOT_OK);
    spread(s, group, out, all, 1);
    mem_free(all);
    mem_free(jx);
    mem_free(u);
    mem_free(h);
}

/* ---- eigenpairs ---- */

typedef struct pairs { /* of a group: all, and those that are not round-off */
    int64_t n, k, d;
    double *value, *vector;
    pitot_real *e; /* (k,d) */
} pairs;

static pairs pairs_of(const subject *s, int32_t group) {
    pairs p = { .n = pitot_vivit_columns(s->v), .d = pitot_vivit_parameters(s->v, group) };
    p.value = mem_alloc(p.n, sizeof *p.value);
    p.vector = mem_alloc(p.n * p.n, sizeof *p.vector);
    assert_int_equal(pitot_vivit_top(s->v, group, p.n, p.value, p.vector, NULL), PITOT_OK);
    while (p.k < p.n && p.value[p.k] > 100 * vivit_round_off(s->v) * p.value[0]) p.k++;
    p.e = mem_alloc(p.k * p.d, sizeof *p.e);
    if (p.k) assert_int_equal(pitot_vivit_vectors(s->v, group, p.k, p.vector, p.e, NULL), PITOT_OK);
    return p;
}

static void pairs_free(pairs *p) {
    mem_free(p->value);
    mem_free(p->vector);
    mem_free(p->e);
}

static void near(const subject *s, const char *what, double want, double got, double scale) {
    if (!(fabs(want - got) <= exact * scale)) fail_msg("%s: %s: %.12g, must be %.12g (of %g)", s->c->what, what, got, want, scale);
}

/* sum of lambda e e'x = G x for random x, e orthonormal; values as LAPACK has them, their sum as the trace. */
static void check_pairs(const subject *s, int32_t group, const pairs *p) {
    double *all = mem_alloc(p->n, sizeof *all), trace, sum = 0;
    assert_int_equal(pitot_vivit_eigenvalues(s->v, group, all, NULL), PITOT_OK);
    assert_int_equal(pitot_vivit_trace(s->v, group, &trace, NULL), PITOT_OK);
    for (int64_t i = 0; i < p->n; i++) {
        near(s, "eigenvalue", all[p->n - 1 - i], p->value[i], p->value[0]);
        sum += all[i];
    }
    near(s, "trace", sum, trace, trace);
    for (int64_t a = 0; a < p->k; a++)
        for (int64_t b = 0; b <= a && b < 12; b++)
            near(s, "orthonormal", a == b, dot(p->e + a * p->d, p->e + b * p->d, p->d), p->value[0] / p->value[a]);
    for (uint64_t i = 0; i < 2; i++) {
        pitot_real *x = random_vector(p->d, i), *want = vector(p->d), *got = vector(p->d);
        product(s, group, x, want);
        memset(got, 0, (size_t)p->d * sizeof *got);
        for (int64_t a = 0; a < p->k; a++) {
            double along = p->value[a] * dot(p->e + a * p->d, x, p->d);
            for (int64_t j = 0; j < p->d; j++) got[j] += (pitot_real)(along * (double)p->e[a * p->d + j]);
        }
        double left_out = 100 * vivit_round_off(s->v) * p->value[0] / exact; /* by pairs that are round-off */
        for (int64_t j = 0; j < p->d; j++) near(s, "G x", (double)want[j], (double)got[j], largest(want, p->d) + left_out + 1e-20);
        mem_free(x);
        mem_free(want);
        mem_free(got);
    }
    mem_free(all);
}

static void check_subject(const net_case *c, int64_t n, const pitot_vivit_config *how) {
    subject s = subject_of(c, n, how);
    for (int32_t g = 0; g < pitot_vivit_groups(s.v); g++) {
        pairs p = pairs_of(&s, g);
        check_pairs(&s, g, &p);
        pairs_free(&p);
    }
    subject_free(&s);
}

/* Many columns, for which LAPACK takes long. */
static int too_large(const net_case *c) {
    pitot_net *net = prepared(c, 1, 1);
    int64_t outputs = outputs_of(net);
    pitot_net_free(net);
    return outputs > 30;
}

static void test_pairs(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++)
        check_subject(&cases[i], too_large(&cases[i]) ? 1 : 4, &(pitot_vivit_config){ .per_layer = i % 2 });
}

static void test_both_ways(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i += 3)
        if (!too_large(&cases[i])) check_subject(&cases[i], 3, &(pitot_vivit_config){ .per_layer = !(i % 2) });
}

static void test_samples_and_draws(void **state) {
    static const int64_t some[] = { 5, 0, 1, 6 };
    (void)state;
    for (int i = 0; i < CASES; i += 2) {
        check_subject(&cases[i], BATCH, &(pitot_vivit_config){ .draws = 1 + 12 * (i % 4 == 0), .seed = 9 });
        if (!too_large(&cases[i]))
            check_subject(&cases[i], BATCH, &(pitot_vivit_config){ .ggn_samples = some, .n_ggn = 4, .per_layer = 1 });
    }
}

static const net_case small_conv = { "small conv",
                                     { 2, 6, 5 },
                                     "cross_entropy",
                                     { CONV(4),
                                       OP("tanh"),
                                       { "conv2d", "out_channels=4, kernel=3, groups=2", NULL },
                                       OP("relu"),
                                       OP("flatten"),
                                       LINEAR(7),
                                       OP("tanh"),
                                       LINEAR(3) } };

static void test_groups(void **state) {
    (void)state;
    subject s = subject_of(&small_conv, 5, &(pitot_vivit_config){ .groups = "0.weight, 7 ;5.bias;2.bias,2.weight; 7.weight" });
    static const int64_t sizes[] = { 4 * 18 + 7 * 3 + 3, 7, 4 * 18 + 4, 21 };
    assert_int_equal(pitot_vivit_groups(s.v), 4);
    for (int32_t g = 0; g < 4; g++) {
        assert_int_equal(pitot_vivit_parameters(s.v, g), sizes[g]);
        pairs p = pairs_of(&s, g);
        check_pairs(&s, g, &p);
        pairs_free(&p);
    }
    assert_string_equal(pitot_vivit_name(s.v, 1), "5.bias");
    subject_free(&s);
}

/* Rank N (C - 1), and so many columns. */
static void test_rank(void **state) {
    (void)state;
    subject s = subject_of(&small_conv, 6, &(pitot_vivit_config){ 0 });
    assert_int_equal(pitot_vivit_columns(s.v), 12);
    subject_free(&s);
}

/* ---- derivatives and steps ---- */

static void check_derivatives(const net_case *c, const pitot_vivit_config *how) {
    subject s = subject_of(c, BATCH, how);
    pairs p = pairs_of(&s, 0);
    assert_true(p.k > 0);
    double *gamma = mem_alloc(p.k * s.n_grad, sizeof *gamma), *lambda = mem_alloc(p.k * s.n, sizeof *lambda);
    double *room = mem_alloc(5 * p.k, sizeof *room), *delta = room + 4 * p.k, *u = mem_alloc(s.outputs, sizeof *u);
    pitot_vivit_derivatives d = { sizeof d, gamma, lambda, room, room + p.k, room + 2 * p.k, room + 3 * p.k, NULL };
    pitot_vivit_damping how_damped = { .struct_size = sizeof how_damped, .kind = PITOT_DAMPING_CONSTANT, .constant = 0.3 };
    pitot_real *step = vector(p.d), *all = vector(s.net->size), *je = vector(BATCH * s.outputs), *want = vector(p.d);
    assert_int_equal(pitot_vivit_derive(s.v, 0, p.k, p.value, p.vector, &d, NULL), PITOT_OK);
    assert_int_equal(pitot_vivit_newton(s.v, 0, p.k, p.value, p.vector, &how_damped, step, delta, NULL), PITOT_OK);
    memset(want, 0, (size_t)p.d * sizeof *want);
    for (int64_t k = 0; k < p.k; k++) {
        double mean = 0, square = 0, curvature = 0, part = exact * 1e2 * p.value[0] / p.value[k];
        spread(&s, 0, p.e + k * p.d, all, 0);
        assert_int_equal(pitot_net_jvp(s.net, all, je), PITOT_OK);
        for (int64_t j = 0; j < s.n_grad; j++) {
            double along = 0;
            gradient_of_loss(s.net, s.grad[j], u);
            for (int64_t i = 0; i < s.outputs; i++) along += u[i] * (double)je[s.grad[j] * s.outputs + i];
            if (!(fabs(along - gamma[k * s.n_grad + j]) <= part))
                fail_msg("%s: gamma %lld %lld: %g, must be %g", c->what, (long long)k, (long long)j, gamma[k * s.n_grad + j],
                         along);
            mean += along / (double)s.n_grad;
            square += along * along;
        }
        double variance = (square - (double)s.n_grad * mean * mean) / (double)(s.n_grad - 1);
        assert_true(fabs(mean - d.gamma_mean[k]) <= part);
        assert_true(fabs(mean * mean - variance * d.gamma_snr[k]) <= part * (1 + d.gamma_snr[k]) * fmax(1, square));
        for (int64_t j = 0; j < s.n; j++) {
            double along = 0;
            sample_hessian(&s, s.ggn[j], je, u);
            for (int64_t i = 0; i < s.outputs; i++) along += u[i] * (double)je[s.ggn[j] * s.outputs + i];
            if (!(fabs(along - lambda[k * s.n + j]) <= part * p.value[k]))
                fail_msg("%s: lambda %lld %lld: %g, must be %g", c->what, (long long)k, (long long)j, lambda[k * s.n + j], along);
            curvature += along / (double)s.n;
        }
        near(&s, "mean of lambda", p.value[k], d.lambda_mean[k], p.value[0]);
        assert_true(delta[k] == 0.3);
        for (int64_t i = 0; i < p.d; i++) want[i] -= (pitot_real)(mean / (curvature + 0.3) * (double)p.e[k * p.d + i]);
    }
    for (int64_t i = 0; i < p.d; i++) near(&s, "step", (double)want[i], (double)step[i], 1e3 * fmax(largest(want, p.d), 1e-6));
    void *const blocks[] = { gamma, lambda, room, u, step, all, je, want };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) mem_free(blocks[i]);
    pairs_free(&p);
    subject_free(&s);
}

static void test_derivatives(void **state) {
    static const int64_t some[] = { 5, 0, 1, 6 }, others[] = { 2, 3, 6 };
    static const int which[] = { 0, 1, 2, 4, 13, 14, 33, 55, 57, 60 };
    (void)state;
    check_derivatives(&small_conv, &(pitot_vivit_config){ 0 });
    check_derivatives(&small_conv, &(pitot_vivit_config){ .groups = "2" });
    check_derivatives(&small_conv, &(pitot_vivit_config){ .draws = 2, .seed = 4 });
    check_derivatives(&small_conv, &(pitot_vivit_config){ .ggn_samples = some, .n_ggn = 4, .grad_samples = others, .n_grad = 3 });
    for (size_t i = 0; i < sizeof which / sizeof *which; i++) {
        check_derivatives(&cases[which[i]], &(pitot_vivit_config){ .ggn_samples = some, .n_ggn = 1 + which[i] % 4 });
    }
}

static const net_case small_linear = { "small linear", { 4 }, "mse", { LINEAR(5), OP("tanh"), LINEAR(2) } };

/* Samples that are all the same leave no doubt: the least damping. Pairs that pull in opposite directions leave nothing else. */
static void test_bootstrap(void **state) {
    (void)state;
    pitot_net *net = prepared(&small_linear, 6, 1);
    pitot_real x[24], targets[12], step[64];
    double value[2], vector_of[24], delta[2];
    pitot_vivit_damping how = { .struct_size = sizeof how, .kind = PITOT_DAMPING_BOOTSTRAP, .seed = 3 };
    pitot_net_batch b = { .struct_size = sizeof b, .n = 6, .x = x, .targets = targets };
    for (int i = 0; i < 24; i++) x[i] = (pitot_real)(0.5 + 0.1 * (i % 4));
    for (int opposed = 0; opposed < 2; opposed++) {
        for (int i = 0; i < 12; i++) targets[i] = 3;
        assert_int_equal(pitot_net_forward(net, &b, NULL), PITOT_OK);
        for (int i = 0; opposed && i < 12; i++) targets[i] = pitot_net_output(net)[i] + (pitot_real)(i / 2 % 2 ? 1 : -1.01);
        assert_int_equal(pitot_net_forward(net, &b, NULL), PITOT_OK);
        assert_int_equal(pitot_net_backward(net), PITOT_OK);
        pitot_vivit *v = pitot_vivit_new(&(pitot_vivit_config){ .struct_size = sizeof(pitot_vivit_config), .net = net }, NULL);
        assert_int_equal(pitot_vivit_top(v, 0, 2, value, vector_of, NULL), PITOT_OK);
        assert_int_equal(pitot_vivit_newton(v, 0, 2, value, vector_of, &how, step, delta, NULL), PITOT_OK);
        for (int k = 0; k < 2; k++)
            if (!(opposed ? isinf(delta[k]) : fabs(delta[k] - 1e-3) < 1e-12)) fail_msg("opposed %d: %d: %g", opposed, k, delta[k]);
        if (opposed) assert_true(largest(step, net->size) == 0);
        else assert_true(largest(step, net->size) > 0.1);
        pitot_vivit_free(v);
    }
    pitot_net_free(net);
}

/* ---- edges ---- */

static void test_one_sample(void **state) {
    (void)state;
    subject s = subject_of(&small_linear, 1, &(pitot_vivit_config){ 0 });
    pairs p = pairs_of(&s, 0);
    double mean[2], snr[2];
    pitot_vivit_derivatives d = { sizeof d, NULL, NULL, mean, snr, NULL, NULL, NULL };
    check_pairs(&s, 0, &p);
    assert_int_equal(p.k, 2);
    assert_int_equal(pitot_vivit_derive(s.v, 0, 2, p.value, p.vector, &d, NULL), PITOT_OK);
    assert_true(isfinite(mean[0]) && isnan(snr[0]));
    pairs_free(&p);
    subject_free(&s);
}

/* Where the targets are met the gradient is 0, the GGN is not; without a way down to parameters it is 0, too, and nothing is divided. */
static void test_zeros(void **state) {
    static const net_case none = { "nothing", { 6 }, "mse", { LINEAR(5), ON("tanh", "input") } };
    (void)state;
    pitot_net *net = passed(&small_linear, 4, 1);
    pitot_net_batch b = *batch_of(4);
    double value[3], vectors[64], gamma[12];
    int32_t weak[3];
    pitot_real step[64], e[3 * 64];
    pitot_vivit_derivatives d = { sizeof d, gamma, NULL, NULL, NULL, NULL, NULL, weak };
    pitot_vivit_damping how = { .struct_size = sizeof how, .kind = PITOT_DAMPING_CONSTANT };
    b.targets = pitot_net_output(net);
    assert_int_equal(pitot_net_forward(net, &b, NULL), PITOT_OK);
    assert_int_equal(pitot_net_backward(net), PITOT_OK);
    pitot_vivit *v = pitot_vivit_new(&(pitot_vivit_config){ .struct_size = sizeof(pitot_vivit_config), .net = net }, NULL);
    assert_int_equal(pitot_vivit_top(v, 0, 3, value, vectors, NULL), PITOT_OK);
    assert_int_equal(pitot_vivit_derive(v, 0, 3, value, vectors, &d, NULL), PITOT_OK);
    assert_int_equal(pitot_vivit_newton(v, 0, 3, value, vectors, &how, step, NULL, NULL), PITOT_OK);
    for (int i = 0; i < 12; i++) assert_true(gamma[i] == 0);
    assert_true(value[2] > 0 && largest(step, net->size) == 0);
    pitot_vivit_free(v);
    pitot_net_free(net);
    subject s = subject_of(&none, 3, &(pitot_vivit_config){ 0 });
    assert_int_equal(pitot_vivit_top(s.v, 0, 2, value, vectors, NULL), PITOT_OK);
    d.gamma = NULL;
    assert_int_equal(pitot_vivit_derive(s.v, 0, 2, value, vectors, &d, NULL), PITOT_OK);
    assert_int_equal(pitot_vivit_vectors(s.v, 0, 2, vectors, e, NULL), PITOT_OK);
    assert_true(value[0] == 0 && weak[0] && weak[1] && largest(e, 2 * s.net->size) == 0);
    subject_free(&s);
}

static void test_nan(void **state) {
    (void)state;
    pitot_net *net = prepared(&small_conv, 4, 1);
    pitot_error error = { 0 };
    double value[8], vectors[8];
    net->param[0].data[1] = NAN;
    pass(net, 4);
    pitot_vivit *v = pitot_vivit_new(&(pitot_vivit_config){ .struct_size = sizeof(pitot_vivit_config), .net = net }, NULL);
    assert_non_null(v);
    assert_int_equal(pitot_vivit_eigenvalues(v, 0, value, &error), PITOT_EHOST);
    assert_true(strlen(error.text) > 10);
    assert_int_equal(pitot_vivit_top(v, 0, 1, value, vectors, NULL), PITOT_EHOST);
    pitot_vivit_free(v);
    pitot_net_free(net);
}

static void refuse(pitot_net *net, pitot_vivit_config c, int32_t status) {
    pitot_error error = { 0 };
    c.struct_size = sizeof c;
    c.net = net;
    assert_null(pitot_vivit_new(&c, &error));
    assert_int_equal(error.status, status);
    assert_true(strlen(error.text) > 10);
}

static void test_refusals(void **state) {
    static const int64_t twice[] = { 1, 2, 1 }, beyond[] = { 0, 4 };
    (void)state;
    int64_t before = mem_count().blocks;
    pitot_net *net = prepared(&small_conv, 4, 1);
    refuse(net, (pitot_vivit_config){ 0 }, PITOT_EORDER);
    pass(net, 4);
    refuse(net, (pitot_vivit_config){ .groups = "0, nobody" }, PITOT_EINVAL);
    refuse(net, (pitot_vivit_config){ .groups = "" }, PITOT_EINVAL);
    refuse(net, (pitot_vivit_config){ .draws = -1 }, PITOT_EINVAL);
    refuse(net, (pitot_vivit_config){ .draws = INT64_MAX / 2 }, PITOT_EBUDGET);
    refuse(net, (pitot_vivit_config){ .ggn_samples = twice, .n_ggn = 3 }, PITOT_EINVAL);
    refuse(net, (pitot_vivit_config){ .grad_samples = beyond, .n_grad = 2 }, PITOT_EINVAL);
    refuse(net, (pitot_vivit_config){ .memory = 100 }, PITOT_EBUDGET);
    pitot_vivit *v = pitot_vivit_new(&(pitot_vivit_config){ .struct_size = sizeof(pitot_vivit_config), .net = net }, NULL);
    double value[64], vectors[64];
    assert_int_equal(pitot_vivit_eigenvalues(v, 1, value, NULL), PITOT_EINVAL);
    assert_int_equal(pitot_vivit_eigenvalues(v, 0, NULL, NULL), PITOT_EINVAL);
    assert_int_equal(pitot_vivit_top(v, 0, 9, value, vectors, NULL), PITOT_EINVAL);
    assert_int_equal(pitot_vivit_top(v, 0, 0, value, vectors, NULL), PITOT_EINVAL);
    pitot_vivit_free(v);
    pitot_net_free(net);
    assert_int_equal(mem_count().blocks, before);
}

/* The same bits again and on another net; what the net holds stays; memory that runs out says so and leaves nothing. */
static int32_t everything(pitot_net *net, double *value, pitot_real *step) {
    double vectors[8 * 3], mean[3];
    pitot_vivit_derivatives d = { sizeof d, NULL, NULL, mean, NULL, NULL, NULL, NULL };
    pitot_vivit_damping how = { .struct_size = sizeof how, .kind = PITOT_DAMPING_BOOTSTRAP };
    pitot_error error = { 0 };
    pitot_vivit *v = pitot_vivit_new(&(pitot_vivit_config){ .struct_size = sizeof(pitot_vivit_config), .net = net }, &error);
    if (!v) return error.status;
    int32_t status = pitot_vivit_top(v, 0, 3, value, vectors, NULL);
    if (!status) status = pitot_vivit_eigenvalues(v, 0, value + 3, NULL);
    if (!status) status = pitot_vivit_derive(v, 0, 3, value, vectors, &d, NULL);
    if (!status) status = pitot_vivit_newton(v, 0, 3, value, vectors, &how, step, NULL, NULL);
    pitot_vivit_free(v);
    return status;
}

static void test_repetition(void **state) {
    (void)state;
    pitot_net *net = passed(&small_conv, 4, 2), *other = passed(&small_conv, 4, 2);
    double a[11], b[11];
    pitot_real step[2][1024];
    assert_true(net->size <= 1024);
    assert_int_equal(everything(net, a, step[0]), PITOT_OK);
    assert_int_equal(everything(net, b, step[1]), PITOT_OK);
    assert_memory_equal(a, b, sizeof a);
    assert_memory_equal(step[0], step[1], (size_t)net->size * sizeof **step);
    compare(&small_conv, "gradient", other->gradient, net->gradient, net->room, 0);
    assert_int_equal(everything(other, b, step[1]), PITOT_OK);
    assert_memory_equal(a, b, sizeof a);
    for (int32_t k = 0; k < net->n_nodes; k++)
        compare(&small_conv, "outputs", other->buffer[k].y, net->buffer[k].y, 4 * net->node[k].out.size, 0);
    pitot_net_free(net);
    pitot_net_free(other);
}

static void test_memory(void **state) {
    (void)state;
    int64_t before = mem_count().blocks, fails = 1;
    for (int32_t status = PITOT_ENOMEM; status; fails++) {
        pitot_net *net = passed(&small_conv, 4, 2);
        double value[11];
        pitot_real step[1024];
        mem_fail_at(fails, 0);
        status = everything(net, value, step);
        mem_fail_at(0, 0);
        if (status && status != PITOT_ENOMEM) fail_msg("request %lld: %d", (long long)fails, status);
        pitot_net_free(net);
    }
    if (fails < 25) fail_msg("only %lld requests", (long long)fails);
    assert_int_equal(mem_count().blocks, before);
}

/* ---- the solver ---- */

enum { ORDER = 300 };

/* Mirrors on both sides of a diagonal. */
static void fill_matrix(const double *diagonal, double *a) {
    double u[ORDER], square = 0, t[ORDER];
    for (int i = 0; i < ORDER; i++) u[i] = random_uniform(1, 5, 6, (uint64_t)i) - 0.5, square += u[i] * u[i];
    for (int i = 0; i < ORDER; i++)
        for (int j = 0; j < ORDER; j++) a[i * ORDER + j] = i == j ? diagonal[i] : 0;
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < ORDER; i++) {
            double along = 0;
            for (int j = 0; j < ORDER; j++) t[j] = side ? a[j * ORDER + i] : a[i * ORDER + j];
            for (int j = 0; j < ORDER; j++) along += 2 * t[j] * u[j] / square;
            for (int j = 0; j < ORDER; j++) a[side ? j * ORDER + i : i * ORDER + j] = t[j] - along * u[j];
        }
}

static void test_leading(void **state) {
    static double a[ORDER * ORDER], vectors[ORDER * ORDER], value[ORDER], diagonal[ORDER];
    static const int64_t counts[] = { 1, 5, 10, 40, ORDER };
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        for (int i = 0; i < ORDER; i++)
            diagonal[i] = kind == 0 ? pow(0.8, i) : kind == 1 ? (i < 8 ? 3 : i < 13 ? 1 : 0.5) : kind == 2 ? 0 : 1 - 0.001 * i;
        fill_matrix(diagonal, a);
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            int64_t k = counts[c];
            assert_int_equal(vivit_leading(ORDER, a, k, value, vectors), PITOT_OK);
            for (int64_t r = 0; r < k; r++) {
                double worst = 0, accuracy = sizeof(pitot_real) == 8 ? 1e-11 : 4e-6;
                if (!(fabs(value[r] - diagonal[r]) <= accuracy)) fail_msg("%d: %.12g, must be %.12g", kind, value[r], diagonal[r]);
                for (int64_t i = 0; i < ORDER; i++) {
                    double sum = -value[r] * vectors[r * ORDER + i];
                    for (int64_t j = 0; j < ORDER; j++) sum += a[i * ORDER + j] * vectors[r * ORDER + j];
                    worst = fmax(worst, fabs(sum));
                }
                assert_true(worst <= accuracy);
                for (int64_t q = 0; q <= r && r < 12; q++) {
                    double sum = q == r ? -1 : 0;
                    for (int64_t j = 0; j < ORDER; j++) sum += vectors[q * ORDER + j] * vectors[r * ORDER + j];
                    assert_true(fabs(sum) <= 1e-11);
                }
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_leading),     cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_both_ways),   cmocka_unit_test(test_samples_and_draws),
        cmocka_unit_test(test_groups),      cmocka_unit_test(test_rank),
        cmocka_unit_test(test_derivatives), cmocka_unit_test(test_bootstrap),
        cmocka_unit_test(test_one_sample),  cmocka_unit_test(test_zeros),
        cmocka_unit_test(test_nan),         cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_repetition),  cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
