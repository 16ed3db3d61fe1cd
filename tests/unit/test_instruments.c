/* Every probe that needs more than a host of level 0 has, on nets of our own engine, against independent computation: the gradient of each
   sample from a batch of one, the Hessian column by column and its eigenvalues from LAPACK. A probe without a case here fails. */

#include "host.h"

#include <lapacke.h>

enum { MOST_D = 256, MOST_N = 9, MOST_X = 64 };

static const double rounding = sizeof(pitot_real) == 8 ? 1e-12 : 1e-4; /* of two ways through a net */

typedef struct net_case {
    const char *what, *loss;
    int64_t shape[4], n, outputs;
    const char *layer[5][2]; /* op, attributes */
} net_case;

static const net_case cases[] = {
    { "perceptron",
      "cross_entropy",
      { 5 },
      9,
      3,
      { { "linear", "out_features=6" }, { "tanh", NULL }, { "linear", "out_features=3" } } },
    { "convolution",
      "mse",
      { 2, 5, 4 },
      7,
      3,
      { { "conv2d", "out_channels=4, kernel=3,2, stride=2,1, padding=1, groups=2" },
        { "tanh", NULL },
        { "flatten", NULL },
        { "linear", "out_features=3, bias=false" } } },
};
enum { CASES = sizeof cases / sizeof *cases };

typedef struct situation { /* one step of one net, as the probes have seen it */
    const net_case *c;
    pitot_net *net;
    pitot_run *run;
    pitot_attached attached;
    int64_t step, size, n_params; /* size: D */
    pitot_real x[MOST_N * MOST_X], targets[MOST_N * MOST_X];
    int32_t classes[MOST_N];
    truth t;
    double *hessian, *vectors, *values; /* (D,D), (D,D), (D) ascending */
} situation;

/* ---- what is compared with ---- */

static pitot_net_batch batch_of(const situation *s, int64_t from, int64_t n) {
    const int64_t *d = s->c->shape;
    int64_t width = d[0] * (d[1] ? d[1] : 1) * (d[1] && d[2] ? d[2] : 1);
    return (pitot_net_batch){ .struct_size = sizeof(pitot_net_batch),
                              .n = n,
                              .x = s->x + from * width,
                              .classes = strcmp(s->c->loss, "mse") ? s->classes + from : NULL,
                              .targets = strcmp(s->c->loss, "mse") ? NULL : s->targets + from * s->c->outputs,
                              .training = 1 };
}

static void pass_samples(situation *s) {
    double loss;
    s->t = new_truth(s->c->n);
    s->t.by = rounding;
    for (int64_t k = 0; k < s->n_params; k++) truth_add(&s->t, pitot_net_params(s->net)[k].name, pitot_net_params(s->net)[k].size);
    for (int64_t i = 0; i < s->c->n; i++) {
        pitot_net_batch one = batch_of(s, i, 1);
        assert_int_equal(pitot_net_forward(s->net, &one, &loss), PITOT_OK);
        assert_int_equal(pitot_net_backward(s->net), PITOT_OK);
        for (int64_t k = 0; k < s->n_params; k++) {
            const pitot_net_param *p = &pitot_net_params(s->net)[k];
            for (int64_t j = 0; j < p->size; j++) s->t.g[k][i * p->size + j] = (double)p->grad[j];
        }
    }
    truth_settle(&s->t);
}

static void make_hessian(situation *s) {
    static pitot_real e[MOST_D], column[MOST_D];
    for (int64_t j = 0; j < s->size; j++) {
        memset(e, 0, sizeof e);
        e[j] = 1;
        assert_int_equal(pitot_net_hvp(s->net, e, column), PITOT_OK);
        for (int64_t i = 0; i < s->size; i++) s->hessian[i * s->size + j] = (double)column[i];
    }
    memcpy(s->vectors, s->hessian, (size_t)(s->size * s->size) * sizeof(double));
    assert_int_equal(LAPACKE_dsyev(LAPACK_ROW_MAJOR, 'V', 'U', (int)s->size, s->vectors, (int)s->size, s->values), 0);
}

/* ---- the probes ---- */

static void check_noise(const situation *s) {
    check_noise_scale(s->run, &s->t);
    assert_int_equal(check_readings(s->run, &s->t).intervals, 1);
}

static void check_mean_gsnr(const situation *s) {
    check_gsnr(s->run, &s->t, s->step);
}

static void check_sample_grad_l2(const situation *s) {
    assert_int_equal(check_readings(s->run, &s->t).lists, 1);
}

static void check_sum_grad_squared(const situation *s) {
    assert_int_equal(check_readings(s->run, &s->t).sums, s->t.n_tensors);
}

static void check_grad_variance(const situation *s) {
    assert_int_equal(check_readings(s->run, &s->t).variances, s->t.n_tensors);
}

/* The eigenvector that the probe has kept: |H u - value u| in doubles. */
static double true_residual(const situation *s, int32_t which, double value) {
    double u[MOST_D], length = 0, all = 0;
    const slot *p = NULL;
    int64_t at = 0;
    for (int32_t i = 0; i < s->run->n_slots; i++)
        if (strcmp(s->run->slot[i].probe->name, "hess_max_ev") == 0) p = &s->run->slot[i];
    for (int64_t k = 0; k < s->n_params; k++)
        for (int64_t j = 0, size = pitot_net_params(s->net)[k].size; j < size; j++)
            u[at++] = (double)p->tensor_state[s->attached.first - 1 + k][which * size + j];
    assert_int_equal(at, s->size);
    for (int64_t i = 0; i < s->size; i++) {
        double sum = -value * u[i];
        for (int64_t j = 0; j < s->size; j++) sum += s->hessian[i * s->size + j] * u[j];
        all += sum * sum;
        length += u[i] * u[i];
    }
    assert_close(length, 1, 64 * close_by, 1, "length of the eigenvector");
    return sqrt(all);
}

static void check_hess_max_ev(const situation *s) {
    static const char *const names[2][2] = { { "hess_max_ev", "hess_max_ev.residual" },
                                             { "hess_max_ev.min", "hess_max_ev.min_residual" } };
    double largest = fmax(fabs(s->values[0]), fabs(s->values[s->size - 1])),
           noise = 16 * close_by * largest * sqrt((double)s->size);
    for (int end = 0; end < 2; end++) {
        double value = value_of(s->run, names[end][0]), residual = value_of(s->run, names[end][1]);
        double exact = s->values[end ? 0 : s->size - 1], is = true_residual(s, end, value);
        if (!(residual >= 0.5 * is - noise)) fail_msg("%s: residual %g, but it is %g", names[end][0], residual, is);
        if (!(residual <= 2 * is + noise)) fail_msg("%s: residual %g, it is only %g", names[end][0], residual, is);
        assert_true(residual <= 0.01 * largest * (1 + 1e-6));
        assert_close(value, exact, 1, residual + noise, names[end][0]);
        assert_true(end ? value >= exact - noise : value <= exact + noise); /* of all vectors, none goes beyond */
    }
    assert_true(value_of(s->run, "hess_max_ev.products") >= 3);
    double error;
    assert_int_equal(pitot_value(s->run, "hess_max_ev.product_error", &error, NULL), PITOT_ENOTSUP); /* products are exact */
}

static const struct reference {
    const char *probe;
    void (*check)(const situation *s);
} references[] = {
    { "grad_variance", check_grad_variance },   { "hess_max_ev", check_hess_max_ev },
    { "mean_gsnr", check_mean_gsnr },           { "noise_scale", check_noise },
    { "sample_grad_l2", check_sample_grad_l2 }, { "sum_grad_squared", check_sum_grad_squared },
};

static const struct reference *reference_of(const char *probe) {
    for (size_t i = 0; i < sizeof references / sizeof *references; i++)
        if (strcmp(references[i].probe, probe) == 0) return &references[i];
    return NULL;
}

/* ---- the nets ---- */

static void open_case(situation *s, const net_case *c) {
    pitot_error error = { 0 };
    *s = (situation){ .c = c };
    s->net = pitot_net_new(c->what, c->shape, c->loss, &error);
    for (int l = 0; c->layer[l][0]; l++)
        if (pitot_net_add(s->net, c->layer[l][0], NULL, NULL, c->layer[l][1], &error)) fail_msg("%s", error.text);
    if (pitot_net_prepare(s->net, c->n, 1, &error)) fail_msg("%s", error.text);
    assert_int_equal(pitot_net_init(s->net, 3), PITOT_OK);
    s->n_params = pitot_net_param_count(s->net);
    for (int64_t k = 0; k < s->n_params; k++) s->size += pitot_net_params(s->net)[k].size;
    assert_true(s->size <= MOST_D && c->n <= MOST_N);
    s->hessian = new_doubles(s->size * s->size), s->vectors = new_doubles(s->size * s->size), s->values = new_doubles(s->size);
    s->run = must_open(NULL, &(pitot_config){ sizeof(pitot_config), .probes = names_of_all() });
    /* a parameter of somebody else's first, without a gradient: ids and places are not the net's own */
    static pitot_real other[3];
    pitot_param p = { .struct_size = sizeof p, .name = "other", .shape = { 3 }, .data = other };
    assert_int_equal(pitot_add_param(s->run, &p), 1);
    assert_int_equal(pitot_attach(&s->attached, s->net, s->run), PITOT_OK);
}

static void draw_batch(situation *s, uint64_t *seed) {
    for (int64_t i = 0; i < MOST_N * MOST_X; i++) {
        s->x[i] = (pitot_real)draw_normal(seed);
        s->targets[i] = (pitot_real)draw_normal(seed);
    }
    for (int64_t i = 0; i < s->c->n; i++) s->classes[i] = (int32_t)((double)s->c->outputs * (0.5 + 0.5 * draw_uniform(seed)));
}

static void take_step(situation *s) {
    double loss;
    pass_samples(s);
    pitot_net_batch b = batch_of(s, 0, s->c->n);
    assert_true(pitot_begin(s->run, s->step) & PITOT_DUE_CAPTURES);
    assert_int_equal(pitot_net_forward(s->net, &b, &loss), PITOT_OK);
    assert_int_equal(pitot_attached_forward(&s->attached, &b, loss), PITOT_OK);
    assert_int_equal(pitot_net_backward(s->net), PITOT_OK);
    assert_int_equal(pitot_attached_backward(&s->attached), PITOT_OK);
    make_hessian(s);
    for (int64_t k = 0; k < s->n_params; k++) {
        const pitot_net_param *p = &pitot_net_params(s->net)[k];
        for (int64_t j = 0; j < p->size; j++) p->data[j] -= (pitot_real)0.3 * p->grad[j];
    }
    assert_int_equal(pitot_after_update(s->run, 0.3), PITOT_OK);
}

static void test_every_probe(void **state) {
    (void)state;
    static situation s;
    int cases_of_probes = 0;
    for (int i = 0; i < CASES; i++) {
        uint64_t seed = 40;
        open_case(&s, &cases[i]);
        for (s.step = 0; s.step < 6; s.step++) {
            draw_batch(&s, &seed);
            take_step(&s);
            assert_string_equal(pitot_last_error(s.run), "");
            for (const pitot_probe *const *p = pitot_probes(); *p; p++) {
                if (is_mine(*p) || !is_beyond(*p)) continue;
                const struct reference *r = reference_of((*p)->name);
                if (!r) fail_msg("probe %s has no reference case", (*p)->name);
                if (state_of(s.run, (*p)->name) != PITOT_STATE_OK) fail_msg("%s: %s", (*p)->name, why_of(s.run, (*p)->name));
                r->check(&s);
                cases_of_probes++;
            }
            truth_free(&s.t);
        }
        assert_true(health_of(s.run).covered == 1);
        pitot_close(s.run, PITOT_DONE);
        pitot_net_free(s.net);
        free(s.hessian), free(s.vectors), free(s.values);
    }
    assert_int_equal(cases_of_probes, CASES * 6 * (int)(sizeof references / sizeof *references)); /* nor a case without a probe */
}

/* More than one layer deep in options: a tolerance that is asked for is kept. */
static void test_tolerance(void **state) {
    (void)state;
    static situation s;
    uint64_t seed = 8;
    open_case(&s, &cases[0]);
    pitot_close(s.run, PITOT_DONE);
    s.run = must_open(NULL, &(pitot_config){ sizeof(pitot_config), .probes = "hess_max_ev",
                                             .options = sizeof(pitot_real) == 8 ? "hess_max_ev.tolerance=1e-8"
                                                                                : "hess_max_ev.tolerance=1e-4" });
    assert_int_equal(pitot_attach(&s.attached, s.net, s.run), PITOT_OK);
    draw_batch(&s, &seed);
    double loss, largest;
    pitot_net_batch b = batch_of(&s, 0, s.c->n);
    assert_int_equal(pitot_begin(s.run, 0) & (PITOT_DUE_CALLBACKS | PITOT_DUE_CAPTURES), PITOT_DUE_CALLBACKS);
    pitot_net_forward(s.net, &b, &loss);
    pitot_attached_forward(&s.attached, &b, loss);
    pitot_net_backward(s.net);
    pitot_attached_backward(&s.attached);
    make_hessian(&s);
    pitot_after_update(s.run, 1);
    check_hess_max_ev(&s);
    largest = fmax(fabs(s.values[0]), s.values[s.size - 1]);
    assert_true(value_of(s.run, "hess_max_ev.residual") <= (sizeof(pitot_real) == 8 ? 1e-8 : 1e-4) * largest * 1.001);
    pitot_close(s.run, PITOT_DONE);
    pitot_net_free(s.net);
    free(s.hessian), free(s.vectors), free(s.values);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_every_probe), cmocka_unit_test(test_tolerance) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
